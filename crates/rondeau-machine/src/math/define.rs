//! The definitions: each function once, for every precision, instruction set and code generator.
//!
//! A definition is straight-line code over [`Lane`]; the order of its operations is the order of evaluation,
//! and nothing may be reassociated. Its constants are in [`poly`](super::poly). Where a branch is needed, both
//! sides are computed and one is selected.

use super::Function;
use super::lane::Lane;
use super::poly::{estrin, horner};

/// `f(x)` by its definition; see [`sin`] and [`cos`] for the range that theirs cover.
#[inline(always)]
pub fn define<L: Lane>(f: Function, x: L) -> L {
    match f {
        Function::Exp => exp(x),
        Function::Expm1 => expm1(x),
        Function::Log => log(x),
        Function::Log1p => log1p(x),
        Function::Tanh => tanh(x),
        Function::Sigmoid => sigmoid(x),
        Function::Erf => erf(x),
        Function::Sin => sin(x),
        Function::Cos => cos(x),
        Function::Sqrt => sqrt(x),
        Function::Recip => recip(x),
    }
}

/// Returns `(n, p)` with `e^x = 2^n·(1 + p)` and `p` from √½ - 1 to √2 - 1.
#[inline(always)]
fn exp_parts<L: Lane>(x: L) -> (L, L) {
    exp_parts_at(x, (x * x.lit(L::TABLE.log2_e)).round())
}

/// The same for `2x`: the doubling does not delay `n`.
#[inline(always)]
fn exp_parts_twice<L: Lane>(x: L) -> (L, L) {
    exp_parts_at(x + x, (x * x.lit(2.0 * L::TABLE.log2_e)).round())
}

#[inline(always)]
fn exp_parts_at<L: Lane>(x: L, n: L) -> (L, L) {
    let t = L::TABLE;
    let r = n.fma(x.lit(-t.ln2[0]), x);
    let r = n.fma(x.lit(-t.ln2[1]), r);
    let r2 = r * r;
    (n, r2.fma(estrin(r, r2, t.exp), r))
}

/// `e^x` for `x` that is not above the overflow threshold by more than a binade.
#[inline(always)]
fn exp_below<L: Lane>(x: L) -> L {
    let (n, p) = exp_parts(x.lit(L::TABLE.exp_zero).max(x));
    (p + x.lit(1.0)).scale(n)
}

/// `e^x`
#[inline(always)]
pub fn exp<L: Lane>(x: L) -> L {
    exp_below(x.lit(L::TABLE.exp_inf).min(x))
}

/// `e^x - 1`
#[inline(always)]
pub fn expm1<L: Lane>(x: L) -> L {
    let t = L::TABLE;
    let (n, p) = exp_parts(x.lit(t.expm1_flat).max(x.lit(t.exp_inf).min(x)));
    // 2^n·(1 + p) - 1, halved in between: 2^n itself may overflow.
    let s = (n - x.lit(1.0)).pow2();
    let y = p.fma(s, s - x.lit(0.5));
    // x + x²/2 rounds to x; the halving would lose a bit of a subnormal x.
    L::select(x.abs().lt(x.lit(t.expm1_tiny)), x, y + y)
}

/// `(e^2x - 1) / (e^2x + 1)`
#[inline(always)]
pub fn tanh<L: Lane>(x: L) -> L {
    let one = x.lit(1.0);
    let y = x.lit(L::TABLE.tanh_one).min(x.abs());
    let (n, p) = exp_parts_twice(y);
    let s = n.pow2();
    (p.fma(s, s - one) / p.fma(s, s + one)).copysign(x)
}

/// `1 / (1 + e^-x)`, computed for negative `x` as `e^x / (1 + e^x)`, which cannot overflow.
#[inline(always)]
pub fn sigmoid<L: Lane>(x: L) -> L {
    let e = exp_below(-x.abs());
    let one = x.lit(1.0);
    L::select(x.lt(x.lit(0.0)), e, one) / (e + one)
}

/// `e·ln 2 + log(1 + f)` for `f` from √½ - 1 to √2 - 1.
///
/// With `s = f/(2 + f)`: `log(1 + f) = 2·atanh(s) = f - (f²/2 - s·(f²/2 + R(s²)))`.
#[inline(always)]
fn log_sum<L: Lane>(f: L, e: L) -> L {
    let t = L::TABLE;
    let s = f / (f + f.lit(2.0));
    let z = s * s;
    let half = f * f * f.lit(0.5);
    let tail = s.fma(z.fma(horner(z, t.log), half), e * f.lit(t.ln2[1]));
    e.fma(f.lit(t.ln2[0]), f - (half - tail))
}

/// `log x`
#[inline(always)]
pub fn log<L: Lane>(x: L) -> L {
    let t = L::TABLE;
    let (zero, one) = (x.lit(0.0), x.lit(1.0));
    let subnormal = x.lt(x.lit(t.min_normal));
    let normal = x * L::select(subnormal, x.lit(t.lift), one);
    let (m, e) = normal.split();
    let e = e - L::select(subnormal, x.lit(t.log2_lift), zero);
    let y = log_sum(m - one, e);
    let y = L::select(x.lt(x.lit(f64::INFINITY)), y, x);
    let outside = L::select(x.lt(zero), x.lit(f64::NAN), x.lit(f64::NEG_INFINITY));
    L::select(x.le(zero), outside, y)
}

/// `log (1 + x)`
#[inline(always)]
pub fn log1p<L: Lane>(x: L) -> L {
    let one = x.lit(1.0);
    let (m, e) = (x + one).split();
    // (1 + x)·2^-e - 1 from x itself, so that no bit of x is lost in the sum; for large e the one is.
    let s = (-e).pow2();
    let f = x.fma(s, s - one);
    let f = L::select(x.lit(64.0).lt(e), m - one, f);
    let y = log_sum(f, e).copysign(x);
    let y = L::select(x.lt(x.lit(f64::INFINITY)), y, x);
    let outside = L::select(x.lt(-one), x.lit(f64::NAN), x.lit(f64::NEG_INFINITY));
    L::select(x.le(-one), outside, y)
}

/// `erf x`: a polynomial below one, and `1 - e^-q(x)` above.
#[inline(always)]
pub fn erf<L: Lane>(x: L) -> L {
    let t = L::TABLE;
    let a = x.abs();
    let inner = x.fma(horner(x * x, t.erf), x);
    let q = horner(x.lit(t.erf_one).min(a), t.erfc);
    let outer = (x.lit(1.0) - exp_below(-q)).copysign(x);
    L::select(a.lt(x.lit(1.0)), inner, outer)
}

/// Returns `(n, sin r, cos r)` with `x = n·π/2 + r` and `r` from -π/4 to π/4.
#[inline(always)]
fn sin_cos<L: Lane>(x: L) -> (L, L, L) {
    let t = L::TABLE;
    let n = (x * x.lit(t.two_over_pi)).round();
    let r = n.fma(x.lit(-t.half_pi[0]), x);
    let r = n.fma(x.lit(-t.half_pi[1]), r);
    let r = n.fma(x.lit(-t.half_pi[2]), r);
    let z = r * r;
    let sin = (r * z).fma(horner(z, t.sin), r);
    let cos = (z * z).fma(horner(z, t.cos), z.fma(x.lit(-0.5), x.lit(1.0)));
    (n, sin, cos)
}

/// `sin x` for `|x|` up to [`Table::turns`](super::poly::Table::turns).
#[inline(always)]
pub fn sin<L: Lane>(x: L) -> L {
    let (n, sin, cos) = sin_cos(x);
    let y = L::select(n.bit(0), cos, sin);
    let y = L::select(n.bit(1), -y, y);
    // x - x³/6 rounds to x; the reduction would lose the sign of zero.
    L::select(x.abs().lt(x.lit(L::TABLE.sin_tiny)), x, y)
}

/// `cos x` for `|x|` up to [`Table::turns`](super::poly::Table::turns).
#[inline(always)]
pub fn cos<L: Lane>(x: L) -> L {
    let (n, sin, cos) = sin_cos(x);
    let y = L::select(n.bit(0), sin, cos);
    L::select((n + x.lit(1.0)).bit(1), -y, y)
}

/// `√x`
#[inline(always)]
pub fn sqrt<L: Lane>(x: L) -> L {
    x.sqrt()
}

/// `1/x`
#[inline(always)]
pub fn recip<L: Lane>(x: L) -> L {
    x.lit(1.0) / x
}
