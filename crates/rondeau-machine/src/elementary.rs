//! The elementary functions that machine code computes in line, each written once for both executors.
//!
//! A function is a straight line of the operations of [`Arith`], without branches. Over plain numbers
//! ([`Plain`]) it is the function itself, and loops over it become vector code; over the assembler's registers
//! it emits the same operations one by one. So both executors give the same bits by construction.

// Coefficients stand as they were published.
#![expect(clippy::excessive_precision)]

use std::marker::PhantomData;

/// The arithmetic of one float type, one operation at a time; each rounds once, to nearest even.
pub(crate) trait Arith {
    /// A float.
    type F: Copy;
    /// A truth value.
    type M: Copy;

    /// The float nearest to a constant.
    fn lit(&mut self, x: f64) -> Self::F;
    fn add(&mut self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(&mut self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(&mut self, a: Self::F, b: Self::F) -> Self::F;
    fn div(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a·b + c`.
    fn fma(&mut self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a·b`.
    fn fnma(&mut self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` if `a > b`, else `b`: a NaN in `b` stays.
    fn max(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` if `a < b`, else `b`: a NaN in `b` stays.
    fn min(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// Rounds to an integer, halves to even.
    fn round(&mut self, a: Self::F) -> Self::F;
    /// `a·2^n`, rounded once, for `a` near 1 and an integral `n`, at most 250 (`f32`) or 2,000 (`f64`) either way.
    fn scale(&mut self, a: Self::F, n: Self::F) -> Self::F;
    fn abs(&mut self, a: Self::F) -> Self::F;
    fn neg(&mut self, a: Self::F) -> Self::F;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(&mut self, a: Self::F, b: Self::F) -> Self::F;
    fn lt(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a` where `m`, else `b`.
    fn select(&mut self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
}

/// The polynomials of one precision.
pub(crate) trait Elementary {
    /// `e^x`.
    fn exp<A: Arith>(a: &mut A, x: A::F) -> A::F;
    /// The hyperbolic tangent.
    fn tanh<A: Arith>(a: &mut A, x: A::F) -> A::F;
    /// `1 / (1 + e^-x)`.
    #[inline(always)]
    fn sigmoid<A: Arith>(a: &mut A, x: A::F) -> A::F {
        let one = a.lit(1.0);
        let x = a.neg(x);
        let e = Self::exp(a, x);
        let d = a.add(e, one);
        a.div(one, d)
    }
}

impl Elementary for f32 {
    /// `e^x = 2^n·e^r`, `|r| <= ln 2 / 2`; a polynomial of degree 7 (Cephes), by Estrin's scheme.
    #[inline(always)]
    fn exp<A: Arith>(a: &mut A, x: A::F) -> A::F {
        let (low, high) = (a.lit(-104.0), a.lit(89.0));
        let x = a.max(low, x);
        let x = a.min(high, x);
        let log2e = a.lit(std::f64::consts::LOG2_E);
        let n = a.mul(x, log2e);
        let n = a.round(n);
        let (ln2_high, ln2_low) = (a.lit(0.693359375), a.lit(-2.12194440e-4));
        let r = a.fnma(n, ln2_high, x);
        let r = a.fnma(n, ln2_low, r);
        let r2 = a.mul(r, r);
        let (c7, c6) = (a.lit(1.9875691500e-4), a.lit(1.3981999507e-3));
        let p67 = a.fma(r, c7, c6);
        let (c5, c4) = (a.lit(8.3334519073e-3), a.lit(4.1665795894e-2));
        let p45 = a.fma(r, c5, c4);
        let (c3, c2) = (a.lit(1.6666665459e-1), a.lit(5.0000001201e-1));
        let p23 = a.fma(r, c3, c2);
        let one = a.lit(1.0);
        let p01 = a.add(r, one);
        let p = a.fma(p67, r2, p45);
        let p = a.fma(p, r2, p23);
        let p = a.fma(p, r2, p01);
        a.scale(p, n)
    }

    /// A rational function of degree 13 over 6, as Eigen and XLA have it.
    #[inline(always)]
    fn tanh<A: Arith>(a: &mut A, x: A::F) -> A::F {
        let (low, high) = (a.lit(-7.90531110763549805), a.lit(7.90531110763549805));
        let x = a.max(low, x);
        let x = a.min(high, x);
        let y = a.mul(x, x);
        let y2 = a.mul(y, y);
        let (a3, a1) = (a.lit(6.37261928875436e-04), a.lit(4.89352455891786e-03));
        let p01 = a.fma(y, a3, a1);
        let (a7, a5) = (a.lit(5.12229709037114e-08), a.lit(1.48572235717979e-05));
        let p23 = a.fma(y, a7, a5);
        let (a11, a9) = (a.lit(2.00018790482477e-13), a.lit(-8.60467152213735e-11));
        let p45 = a.fma(y, a11, a9);
        let a13 = a.lit(-2.76076847742355e-16);
        let p = a.fma(y2, a13, p45);
        let p = a.fma(p, y2, p23);
        let p = a.fma(p, y2, p01);
        let p = a.mul(p, x);
        let (b2, b0) = (a.lit(2.26843463243900e-03), a.lit(4.89352518554385e-03));
        let q01 = a.fma(y, b2, b0);
        let (b6, b4) = (a.lit(1.19825839466702e-06), a.lit(1.18534705686654e-04));
        let q23 = a.fma(y, b6, b4);
        let q = a.fma(q23, y2, q01);
        a.div(p, q)
    }
}

impl Elementary for f64 {
    /// `e^x = 2^n·e^r`, `|r| <= ln 2 / 2`; the Taylor polynomial of degree 13.
    #[inline(always)]
    fn exp<A: Arith>(a: &mut A, x: A::F) -> A::F {
        let (low, high) = (a.lit(-746.0), a.lit(710.0));
        let x = a.max(low, x);
        let x = a.min(high, x);
        let log2e = a.lit(std::f64::consts::LOG2_E);
        let n = a.mul(x, log2e);
        let n = a.round(n);
        let (ln2_high, ln2_low) = (a.lit(6.93145751953125e-1), a.lit(1.42860682030941723212e-6));
        let r = a.fnma(n, ln2_high, x);
        let r = a.fnma(n, ln2_low, r);
        let r2 = a.mul(r, r);
        let mut p = None;
        // Pairs of coefficients 1/k!, from the highest.
        for (odd, even) in [
            (1.0 / 6227020800.0, 1.0 / 479001600.0),
            (1.0 / 39916800.0, 1.0 / 3628800.0),
            (1.0 / 362880.0, 1.0 / 40320.0),
            (1.0 / 5040.0, 1.0 / 720.0),
            (1.0 / 120.0, 1.0 / 24.0),
            (1.0 / 6.0, 0.5),
            (1.0, 1.0),
        ] {
            let (odd, even) = (a.lit(odd), a.lit(even));
            let pair = a.fma(r, odd, even);
            p = Some(match p {
                Some(p) => a.fma(p, r2, pair),
                None => pair,
            });
        }
        match p {
            Some(p) => a.scale(p, n),
            None => n,
        }
    }

    /// Cephes: a rational function for small `x`, else `1 - 2 / (e^2x + 1)`.
    #[inline(always)]
    fn tanh<A: Arith>(a: &mut A, x: A::F) -> A::F {
        let z = a.mul(x, x);
        let (p0, p1, p2) = (
            a.lit(-9.64399179425052238628e-1),
            a.lit(-9.92877231001918586564e1),
            a.lit(-1.61468768441708447952e3),
        );
        let p = a.fma(p0, z, p1);
        let p = a.fma(p, z, p2);
        let (q0, q1, q2) = (
            a.lit(1.12811678491632931402e2),
            a.lit(2.23548839060100448583e3),
            a.lit(4.84406305325125486048e3),
        );
        let q = a.add(z, q0);
        let q = a.fma(q, z, q1);
        let q = a.fma(q, z, q2);
        let ratio = a.div(p, q);
        let xz = a.mul(x, z);
        let small = a.fma(xz, ratio, x);
        let magnitude = a.abs(x);
        let twice = a.add(magnitude, magnitude);
        let e = <f64 as Elementary>::exp(a, twice);
        let (one, two) = (a.lit(1.0), a.lit(2.0));
        let d = a.add(e, one);
        let d = a.div(two, d);
        let large = a.sub(one, d);
        let large = a.copysign(large, x);
        let limit = a.lit(0.625);
        let is_small = a.lt(magnitude, limit);
        a.select(is_small, small, large)
    }
}

/// Numbers themselves.
pub(crate) struct Plain<T>(pub(crate) PhantomData<T>);

macro_rules! plain {
    ($t:ident, $int:ident, $mantissa:literal, $bias:literal) => {
        impl Arith for Plain<$t> {
            type F = $t;
            type M = bool;
            #[inline(always)]
            fn lit(&mut self, x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn add(&mut self, a: $t, b: $t) -> $t {
                a + b
            }
            #[inline(always)]
            fn sub(&mut self, a: $t, b: $t) -> $t {
                a - b
            }
            #[inline(always)]
            fn mul(&mut self, a: $t, b: $t) -> $t {
                a * b
            }
            #[inline(always)]
            fn div(&mut self, a: $t, b: $t) -> $t {
                a / b
            }
            #[inline(always)]
            fn fma(&mut self, a: $t, b: $t, c: $t) -> $t {
                a.mul_add(b, c)
            }
            #[inline(always)]
            fn fnma(&mut self, a: $t, b: $t, c: $t) -> $t {
                (-a).mul_add(b, c)
            }
            #[inline(always)]
            fn max(&mut self, a: $t, b: $t) -> $t {
                if a > b { a } else { b }
            }
            #[inline(always)]
            fn min(&mut self, a: $t, b: $t) -> $t {
                if a < b { a } else { b }
            }
            #[inline(always)]
            fn round(&mut self, a: $t) -> $t {
                a.round_ties_even()
            }
            #[inline(always)]
            fn scale(&mut self, a: $t, n: $t) -> $t {
                // Two exact powers of two: the first product is exact, so the second alone rounds.
                let n = n as $int;
                let half = n >> 1;
                let power = |n: $int| $t::from_bits(((n + $bias) << $mantissa) as _);
                a * power(half) * power(n - half)
            }
            #[inline(always)]
            fn abs(&mut self, a: $t) -> $t {
                a.abs()
            }
            #[inline(always)]
            fn neg(&mut self, a: $t) -> $t {
                -a
            }
            #[inline(always)]
            fn copysign(&mut self, a: $t, b: $t) -> $t {
                a.copysign(b)
            }
            #[inline(always)]
            fn lt(&mut self, a: $t, b: $t) -> bool {
                a < b
            }
            #[inline(always)]
            fn select(&mut self, m: bool, a: $t, b: $t) -> $t {
                if m { a } else { b }
            }
        }
    };
}
plain!(f32, i32, 23, 127);
plain!(f64, i64, 52, 1023);
