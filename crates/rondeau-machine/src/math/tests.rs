//! Functions against references, and vectors against single numbers.

use super::*;

mod double_double;
mod quarter_turns;
mod recorder;

use double_double::Dd;
use quarter_turns::QuarterTurns;
use std::sync::LazyLock;

/// The largest error that a function may have, in units in the last place of the exact result.
const ALLOWED_ULPS: f64 = 4.0;

/// Whether to test every `f32` and ten million `f64`, which takes half an hour: `RONDEAU_EXHAUSTIVE=1 cargo test
/// --release -p rondeau-machine is_accurate -- --nocapture` prints the largest errors as tables.
fn exhaustive() -> bool {
    std::env::var_os("RONDEAU_EXHAUSTIVE").is_some_and(|v| v == "1")
}

/// `f(x)` in double precision from the standard library, for results that are rounded to `f32`.
fn reference(f: Function, x: f64) -> f64 {
    match f {
        Function::Exp => x.exp(),
        Function::Expm1 => x.exp_m1(),
        Function::Log => x.ln(),
        Function::Log1p => x.ln_1p(),
        Function::Tanh => x.tanh(),
        Function::Sigmoid if x < 0.0 => x.exp() / (1.0 + x.exp()),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Erf => scalar(Function::Erf, x),
        Function::Sin => x.sin(),
        Function::Cos => x.cos(),
        Function::Sqrt => x.sqrt(),
        Function::Recip => 1.0 / x,
    }
}

/// [`reference`] of each of `xs`.
fn references(f: Function, xs: &[f32]) -> Vec<f64> {
    let mut exact: Vec<f64> = xs.iter().map(|&x| x.into()).collect();
    if f == Function::Erf {
        // The standard library has none; this one is itself tested against the series in double-double.
        apply_in_place(f, &mut exact);
    } else {
        exact.iter_mut().for_each(|x| *x = reference(f, *x));
    }
    exact
}

/// The error of `y` in ulps of `f32` at `exact`; infinite if one is NaN or infinite and the other is not so.
fn ulps_f32(y: f32, exact: f64) -> f64 {
    if exact.is_nan() || y.is_nan() {
        return if exact.is_nan() && y.is_nan() { 0.0 } else { f64::INFINITY };
    }
    // Infinity counts as the next power of two, so that overflow is an error like any other.
    let top = 2f64.powi(128);
    let exact = exact.clamp(-top, top);
    let y = f64::from(y).clamp(-top, top);
    if exact == 0.0 {
        return if y.abs() == 0.0 && y.is_sign_negative() == exact.is_sign_negative() {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    let ulp = 2f64.powi(exponent.clamp(-126, 127) - 23);
    (y - exact).abs() / ulp
}

#[test]
fn single_precision_is_accurate() {
    // An odd stride meets all exponents and all low bits.
    let stride: u64 = if exhaustive() { 1 } else { 4093 };
    println!("| `f32`, each {stride}. of all | ulp | at |\n|---|---|---|");
    for f in Function::ALL {
        let mut worst = (0.0, 0.0f32);
        let mut next = 0u64;
        let mut x = vec![0.0f32; 4096];
        let mut y = vec![0.0f32; 4096];
        while next < 1 << 32 {
            let n = x.len().min(((1u64 << 32) - next).div_ceil(stride) as usize);
            for x in &mut x[..n] {
                *x = f32::from_bits(next as u32);
                next += stride;
            }
            apply(f, &x[..n], &mut y[..n]);
            for ((&x, &y), exact) in x[..n].iter().zip(&y[..n]).zip(references(f, &x[..n])) {
                let error = ulps_f32(y, exact);
                if error > worst.0 {
                    worst = (error, x);
                }
            }
        }
        println!("| `{f:?}` | {:.3} | {:e} |", worst.0, worst.1);
        assert!(worst.0 <= ALLOWED_ULPS, "{f:?} errs by {} ulp at {:e}", worst.0, worst.1);
    }
}

static QUARTER_TURNS: LazyLock<QuarterTurns> = LazyLock::new(QuarterTurns::new);

/// `f(x)` to about 100 bits.
fn reference_dd(f: Function, x: f64) -> Dd {
    let one = Dd::from(1.0);
    match f {
        Function::Exp => Dd::from(x).exp(),
        Function::Expm1 => Dd::from(x).exp_m1(),
        Function::Log => Dd::from(x).ln(),
        Function::Log1p if x.abs() < 1e-9 => {
            let x = Dd::from(x);
            x - x * x / Dd::from(2.0) + x * x * x / Dd::from(3.0)
        }
        Function::Log1p => Dd::sum(1.0, x).ln(),
        Function::Tanh => {
            let t = Dd::from(2.0 * x.abs().min(40.0)).exp_m1();
            let y = t / (t + Dd::from(2.0));
            if x < 0.0 { Dd::from(0.0) - y } else { y }
        }
        Function::Sigmoid if x < 0.0 => {
            let e = Dd::from(x).exp();
            e / (one + e)
        }
        Function::Sigmoid => one / (one + Dd::from(-x).exp()),
        Function::Erf => Dd::from(x).erf(),
        Function::Sin => QUARTER_TURNS.sin(x),
        Function::Cos => QUARTER_TURNS.cos(x),
        // Roots and reciprocals of even powers of two are exact, and so is this scaling.
        Function::Sqrt if x < 1e-200 => Dd::from(x).scaled(512).sqrt().scaled(-256),
        Function::Sqrt => Dd::from(x).sqrt(),
        Function::Recip => one / Dd::from(x),
    }
}

/// The range of arguments on which a function is neither constant nor infinite.
fn range(f: Function) -> [f64; 2] {
    match f {
        Function::Exp | Function::Sigmoid => [-745.0, 709.7],
        Function::Expm1 => [-40.0, 709.7],
        Function::Log => [0.0, f64::MAX],
        Function::Log1p => [-0.999999, f64::MAX],
        Function::Tanh => [-20.0, 20.0],
        Function::Erf => [-6.0, 6.0],
        Function::Sin | Function::Cos => [-f64::MAX, f64::MAX],
        Function::Sqrt => [0.0, f64::MAX],
        Function::Recip => [1e-290, 1e290],
    }
}

/// A multiplicative generator, the same in every run.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An argument of `f`: one third uniform over the range, or what of it is below a million in size, one third
    /// near one in size, one third of all sizes.
    fn argument(&mut self, f: Function) -> f64 {
        let [low, high] = range(f);
        let [least, most] = [low.max(-1e6), high.min(1e6)];
        loop {
            let x = match self.bits() % 3 {
                0 => least + (most - least) * self.unit(),
                1 => (self.unit() - 0.5) * 2f64.powi((self.bits() % 6) as i32 - 1),
                _ => f64::from_bits(self.bits()),
            };
            if low <= x && x <= high && x != 0.0 {
                return x;
            }
        }
    }
}

#[test]
fn double_precision_is_accurate() {
    let samples = if exhaustive() { 10_000_000 } else { 1 << 15 };
    println!("| `f64`, {samples} arguments each | ulp | at |\n|---|---|---|");
    for f in Function::ALL {
        let mut random = Random(0x5eed ^ f as u64);
        let mut worst = (0.0, 0.0);
        for _ in 0..samples {
            let x = random.argument(f);
            let mut y = [x];
            apply_in_place(f, &mut y);
            let exact = reference_dd(f, x);
            let exponent = (exact.high().abs().to_bits() >> 52) as i32 - 1023;
            let error = (Dd::from(y[0]) - exact).high().abs();
            // The ulp itself may be subnormal as a power, so scale in two steps.
            let error = error * 2f64.powi(52) / 2f64.powi(exponent.max(-1022));
            if error > worst.0 || error.is_nan() {
                worst = (error, x);
            }
        }
        println!("| `{f:?}` | {:.3} | {:e} |", worst.0, worst.1);
        assert!(worst.0 <= ALLOWED_ULPS, "{f:?} errs by {} ulp at {:e}", worst.0, worst.1);
    }
}

fn check_special<T: Real>(f: Function, x: T, want: T, bits: impl Fn(T) -> u64) {
    for level in Level::available() {
        // In the vector loop and in its tail.
        for n in [1, 64] {
            let mut y = vec![T::ZERO; n];
            apply_at(level, f, &vec![x; n], &mut y);
            for y in y {
                let both_nan = y.partial_cmp(&y).is_none() && want.partial_cmp(&want).is_none();
                assert!(
                    both_nan || bits(y) == bits(want),
                    "{f:?}({x:?}) is {y:?} instead of {want:?} with {level:?}"
                );
            }
        }
    }
}

#[test]
fn special_values_are_exact() {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    use Function::*;
    let table = [
        (Exp, [1.0, 1.0, INF, 0.0]),
        (Expm1, [0.0, -0.0, INF, -1.0]),
        (Log, [-INF, -INF, INF, NAN]),
        (Log1p, [0.0, -0.0, INF, NAN]),
        (Tanh, [0.0, -0.0, 1.0, -1.0]),
        (Sigmoid, [0.5, 0.5, 1.0, 0.0]),
        (Erf, [0.0, -0.0, 1.0, -1.0]),
        (Sin, [0.0, -0.0, NAN, NAN]),
        (Cos, [1.0, 1.0, NAN, NAN]),
        (Sqrt, [0.0, -0.0, INF, NAN]),
        (Recip, [INF, -INF, 0.0, -0.0]),
    ];
    for (f, results) in table {
        for (x, want) in
            [0.0, -0.0, INF, -INF, NAN].into_iter().zip(results.into_iter().chain([NAN]))
        {
            check_special(f, x, want, f64::to_bits);
            check_special(f, x as f32, want as f32, |x| x.to_bits().into());
        }
    }
    let more = [
        (Log, 1.0, 0.0),
        (Log, -1.0, NAN),
        (Log1p, -1.0, -INF),
        (Log1p, -1.5, NAN),
        (Exp, 1e30, INF),
        (Exp, -1e30, 0.0),
        (Expm1, 1e30, INF),
        (Expm1, -1e30, -1.0),
        (Tanh, 1e30, 1.0),
        (Tanh, -1e30, -1.0),
        (Sigmoid, 1e30, 1.0),
        (Sigmoid, -1e30, 0.0),
        (Erf, 1e30, 1.0),
        (Erf, -1e30, -1.0),
        (Sqrt, -1.0, NAN),
    ];
    for (f, x, want) in more {
        check_special(f, x, want, f64::to_bits);
        check_special(f, x as f32, want as f32, |x| x.to_bits().into());
    }
}

#[test]
fn tiny_arguments_come_back_unchanged() {
    use Function::*;
    for f in [Expm1, Log1p, Tanh, Sin] {
        for x in [1e-45f32, -1e-45, 3e-42, 1.1754944e-38, -2e-30, 1e-10] {
            check_special(f, x, x, |x| x.to_bits().into());
        }
        for x in [5e-324, -5e-324, 1e-310, 2.2250738585072014e-308, -1e-200, 1e-20] {
            check_special(f, x, x, f64::to_bits);
        }
    }
}

fn check_levels<T: Real>(from: impl Fn(f64) -> T, bits: impl Fn(T) -> u64) {
    for f in Function::ALL {
        let mut random = Random(0xb175 ^ f as u64);
        for n in 0..=70 {
            let x: Vec<T> = (0..n)
                .map(|i| match i % 5 {
                    // Also what is outside the range, and what only the slow path covers.
                    4 => from(f64::from_bits(random.bits())),
                    3 => from(random.argument(f) * 1e6),
                    _ => from(random.argument(f)),
                })
                .collect();
            for level in Level::available() {
                let mut y = vec![T::ZERO; n];
                apply_at(level, f, &x, &mut y);
                for (&x, &y) in x.iter().zip(&y) {
                    let want = scalar(f, x);
                    let both_nan = y.partial_cmp(&y).is_none() && want.partial_cmp(&want).is_none();
                    assert!(
                        both_nan || bits(y) == bits(want),
                        "{f:?}({x:?}) is {y:?} among {n} with {level:?}, and {want:?} alone"
                    );
                }
            }
            let (mut y, mut in_place) = (vec![T::ZERO; n], x.clone());
            apply(f, &x, &mut y);
            apply_in_place(f, &mut in_place);
            assert!(y.iter().zip(&in_place).all(|(&y, &z)| {
                bits(y) == bits(z) || (y.partial_cmp(&y).is_none() && z.partial_cmp(&z).is_none())
            }));
        }
    }
}

#[test]
fn vectors_and_tails_have_the_bits_of_single_numbers() {
    check_levels(|x| x as f32, |x| x.to_bits().into());
    check_levels(|x| x, f64::to_bits);
}

#[test]
fn a_recorded_definition_has_the_bits_of_the_computed_one() {
    let mut random = Random(0xc0de);
    for f in Function::ALL {
        let turns = poly::SINGLE.turns as f32;
        let x: Vec<f32> = (0..20_000)
            .map(|i| match i % 2 {
                0 => random.argument(f) as f32,
                _ => f32::from_bits(random.bits() as u32),
            })
            .filter(|x| x.abs() <= turns || !matches!(f, Function::Sin | Function::Cos))
            .collect();
        for (&x, y) in x.iter().zip(recorder::replay(f, &x)) {
            let want = scalar(f, x);
            assert!(
                y.to_bits() == want.to_bits() || (y.is_nan() && want.is_nan()),
                "{f:?}({x:e}) is {y:e} as recorded and {want:e} as computed"
            );
        }
    }
}
