//! The scalar functions of the float types. Knows no primitives.

use crate::buffer::Real;

/// The functions of the float types.
pub(super) trait FloatFunctions: Real {
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    /// The nearest whole number; ties go to the even neighbour.
    fn round_even(self) -> Self;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    fn expm1(self) -> Self;
    fn log(self) -> Self;
    fn log1p(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tan(self) -> Self;
    fn asin(self) -> Self;
    fn acos(self) -> Self;
    fn atan(self) -> Self;
    fn sinh(self) -> Self;
    fn cosh(self) -> Self;
    fn tanh(self) -> Self;
    /// `1 / (1 + e⁻ˣ)`
    fn logistic(self) -> Self;
    /// `2/√π · ∫₀ˣ e^(-t²) dt`
    fn erf(self) -> Self;
    /// The inverse of `erf`: ±inf at ±1, NaN beyond.
    fn erf_inv(self) -> Self;
    fn is_finite(self) -> bool;
    /// `xʸ`, with the special cases of C's `pow`.
    fn powf(self, y: Self) -> Self;
    /// The angle of the point whose ordinate is `self` and whose abscissa is `y`.
    fn atan2(self, y: Self) -> Self;
}

macro_rules! float_functions {
    ($t:ty, $erf:expr, $erf_inv:expr) => {
        impl FloatFunctions for $t {
            fn floor(self) -> Self {
                <$t>::floor(self)
            }
            fn ceil(self) -> Self {
                <$t>::ceil(self)
            }
            fn round_even(self) -> Self {
                self.round_ties_even()
            }
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            fn exp(self) -> Self {
                <$t>::exp(self)
            }
            fn expm1(self) -> Self {
                self.exp_m1()
            }
            fn log(self) -> Self {
                self.ln()
            }
            fn log1p(self) -> Self {
                self.ln_1p()
            }
            fn sin(self) -> Self {
                <$t>::sin(self)
            }
            fn cos(self) -> Self {
                <$t>::cos(self)
            }
            fn tan(self) -> Self {
                <$t>::tan(self)
            }
            fn asin(self) -> Self {
                <$t>::asin(self)
            }
            fn acos(self) -> Self {
                <$t>::acos(self)
            }
            fn atan(self) -> Self {
                <$t>::atan(self)
            }
            fn sinh(self) -> Self {
                <$t>::sinh(self)
            }
            fn cosh(self) -> Self {
                <$t>::cosh(self)
            }
            fn tanh(self) -> Self {
                <$t>::tanh(self)
            }
            // With e = e^(-|x|) <= 1, which cannot overflow: 1 / (1 + e), or e / (1 + e) left of 0.
            fn logistic(self) -> Self {
                let e = (-self.abs()).exp();
                if self < 0.0 {
                    e / (1.0 + e)
                } else {
                    1.0 / (1.0 + e)
                }
            }
            fn erf(self) -> Self {
                $erf(self)
            }
            fn erf_inv(self) -> Self {
                $erf_inv(self)
            }
            fn is_finite(self) -> bool {
                <$t>::is_finite(self)
            }
            fn powf(self, y: Self) -> Self {
                <$t>::powf(self, y)
            }
            fn atan2(self, y: Self) -> Self {
                <$t>::atan2(self, y)
            }
        }
    };
}
float_functions!(f32, |x: f32| erf(f64::from(x)) as f32, erf_inv_f32);
float_functions!(f64, erf, erf_inv_f64);

/// Horner's scheme; the coefficient of the highest power comes first.
macro_rules! polynomial {
    ($x:expr, $coefficients:expr) => {{
        let x = $x;
        $coefficients
            .iter()
            .fold(0.0, |sum, &coefficient| sum * x + coefficient)
    }};
}

/// `erf(x)/x - 1` in powers of `x²`, for `|x| <= 1`; off by less than 2·10⁻¹⁹.
const ERF_NEAR: [f64; 13] = [
    5.957176147748911e-11,
    -1.1372848856791674e-09,
    1.4659775274047436e-08,
    -1.6350312701054695e-07,
    1.6461000484121368e-06,
    -1.4925595266831182e-05,
    0.0001205533111164271,
    -0.000854832698083379,
    0.0052239776248180145,
    -0.026866170645076792,
    0.11283791670954879,
    -0.3761263890318375,
    0.1283791670955126,
];

/// `e^(x²)·(1 - erf(x))` in powers of `(x - 3) / (x + 3)`, for `1 <= x <= 6`; off by less than
/// 2·10⁻¹⁷.
const ERF_FAR: [f64; 15] = [
    1.2801900862962662e-06,
    2.023603179641757e-06,
    -8.008021319412685e-06,
    -1.284889451252353e-05,
    6.406182073530546e-05,
    4.525472635483354e-05,
    -0.0005970623517093284,
    0.0007077464443901538,
    0.004269136347508256,
    -0.024392499318273194,
    0.07166583719774874,
    -0.15011593650078744,
    0.24560380171233195,
    -0.32623356004303716,
    0.17900115118138996,
];

/// The error function; off by less than 2 units in the last place.
///
/// Both polynomials interpolate at Chebyshev's points. Near zero the leading `x` is kept apart, so
/// that its rounding does not enter; away from zero the complement is small, so that its error
/// shrinks in the sum with 1; from 6 on it is less than half a unit in the last place of 1.
fn erf(x: f64) -> f64 {
    let size = x.abs();
    if size <= 1.0 {
        x + x * polynomial!(x * x, ERF_NEAR)
    } else if size < 6.0 {
        let complement = (-x * x).exp() * polynomial!((size - 3.0) / (size + 3.0), ERF_FAR);
        (1.0 - complement).copysign(x)
    } else if x.is_nan() {
        x
    } else {
        1.0_f64.copysign(x)
    }
}

/// The inverse of the error function in single precision, with the roundings of XLA on CPUs: normal
/// draws are made of it, and are to be JAX's to the bit.
///
/// Source: Giles 2012, "Approximating the erfinv function": `x` times a polynomial in
/// `w = -log(1 - x²)`, or in its root in the tails.
fn erf_inv_f32(x: f32) -> f32 {
    const MIDDLE: [f32; 9] = [
        2.810_226_4e-8,
        3.432_739_4e-7,
        -3.523_387_7e-6,
        -4.391_506_5e-6,
        0.000_218_580_87,
        -0.001_253_725,
        -0.004_177_681_6,
        0.246_640_73,
        1.501_409_4,
    ];
    const TAIL: [f32; 9] = [
        -0.000_200_214_26,
        0.000_100_950_56,
        0.001_349_343_2,
        -0.003_673_428_4,
        0.005_739_507_7,
        -0.007_622_461_3,
        0.009_438_870_5,
        1.001_674,
        2.832_976_8,
    ];
    if x.abs() == 1.0 {
        return x * f32::INFINITY;
    }
    let w = -log1p_as_xla(-x * x);
    let slope = if w < 5.0 {
        fused_polynomial(w - 2.5, &MIDDLE)
    } else {
        fused_polynomial(w.sqrt() - 3.0, &TAIL)
    };
    slope * x
}

/// Horner's scheme with one rounding a step; the coefficient of the highest power comes first.
fn fused_polynomial(x: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().fold(0.0, |sum, &coefficient| sum.mul_add(x, coefficient))
}

/// `ln(1 + x)` with the roundings of XLA on CPUs.
///
/// # Source
/// Moshier's Cephes library, `log1p`, in single precision.
fn log1p_as_xla(x: f32) -> f32 {
    const NUMERATOR: [f32; 7] = [4.527e-05, 0.49854103, 6.5787325, 29.911919, 60.94967, 57.112965, 20.039553];
    const DENOMINATOR: [f32; 7] = [1.0, 15.062909, 83.04757, 221.7624, 309.09872, 216.42789, 60.11866];
    // √2 - 1
    const NEAR: f32 = 0.414_213_57;
    // NaN goes the way of what is far.
    if x.abs() < NEAR {
        let square = x * x;
        let ratio = fused_polynomial(x, &NUMERATOR) / fused_polynomial(x, &DENOMINATOR);
        // x - x²/2 + x³·P(x)/Q(x)
        x + (-0.5 * square + x * square * ratio)
    } else {
        ln_as_xla(1.0 + x)
    }
}

/// `ln(x)` of normal positive numbers, with the roundings of XLA on CPUs.
///
/// # Source
/// Moshier's Cephes library, `logf`, with the polynomial split in three by powers of `x³`.
fn ln_as_xla(x: f32) -> f32 {
    const P: [f32; 9] = [0.070376836, -0.1151461, 0.116769984, -0.12420141, 0.14249323, -0.16668057, 0.20000714, -0.24999994, 0.3333333];
    // ln 2 = HIGH + LOW, where products of HIGH with exponents are exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -0.000_212_194_44;
    if !(x > 0.0 && x < f32::INFINITY) {
        return x.ln();
    }
    // x = m·2ᵉ with √½ <= m < √2.
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as i32 - 126;
    let mut m = f32::from_bits(bits & 0x007f_ffff | 0.5_f32.to_bits());
    if m < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1;
        m *= 2.0;
    }
    let (x, e) = (m - 1.0, exponent as f32);
    let square = x * x;
    let cube = square * x;
    let [high, middle, low] = [0, 3, 6].map(|i| fused_polynomial(x, &P[i..i + 3]));
    let tail = high.mul_add(cube, middle).mul_add(cube, low);
    let correction = tail.mul_add(cube, LOW * e);
    (x - 0.5 * square) + correction + HIGH * e
}

/// The inverse of the error function in double precision, as XLA computes it; its source is that of
/// [`erf_inv_f32`].
fn erf_inv_f64(x: f64) -> f64 {
    const MIDDLE: [f64; 23] = [
        -3.64441206401782e-21,
        -1.6850591381820166e-19,
        1.28584807152564e-18,
        1.1157877678025181e-17,
        -1.333171662854621e-16,
        2.0972767875968562e-17,
        6.637638134358324e-15,
        -4.054566272975207e-14,
        -8.151934197605472e-14,
        2.6335093153082323e-12,
        -1.2975133253453532e-11,
        -5.415412054294628e-11,
        1.0512122733215323e-09,
        -4.112633980346984e-09,
        -2.9070369957882005e-08,
        4.2347877827932404e-07,
        -1.3654692000834679e-06,
        -1.3882523362786469e-05,
        0.00018673420803405714,
        -0.000740702534166267,
        -0.006033670871430149,
        0.24015818242558962,
        1.6536545626831027,
    ];
    const SHOULDER: [f64; 19] = [
        2.2137376921775787e-09,
        9.075656193888539e-08,
        -2.7517406297064545e-07,
        1.8239629214389228e-08,
        1.5027403968909828e-06,
        -4.013867526981546e-06,
        2.9234449089955446e-06,
        1.2475304481671779e-05,
        -4.7318229009055734e-05,
        6.828485145957318e-05,
        2.4031110387097894e-05,
        -0.0003550375203628475,
        0.0009532893797373805,
        -0.0016882755560235047,
        0.002491442096107851,
        -0.003751208507569241,
        0.005370914553590064,
        1.0052589676941592,
        3.0838856104922208,
    ];
    const TAIL: [f64; 17] = [
        -2.7109920616438573e-11,
        -2.555641816996525e-10,
        1.5076572693500548e-09,
        -3.789465440126737e-09,
        7.61570120807834e-09,
        -1.496002662714924e-08,
        2.914795345090108e-08,
        -6.771199775845234e-08,
        2.2900482228026655e-07,
        -9.9298272942317e-07,
        4.526062597223154e-06,
        -1.968177810553167e-05,
        7.599527703001776e-05,
        -0.00021503011930044477,
        -0.00013871931833623122,
        1.0103004648645344,
        4.849906401408584,
    ];
    if x.abs() == 1.0 {
        return x * f64::INFINITY;
    }
    let w = -(-x * x).ln_1p();
    let slope = if w < 6.25 {
        polynomial!(w - 3.125, MIDDLE)
    } else if w < 16.0 {
        polynomial!(w.sqrt() - 3.25, SHOULDER)
    } else {
        polynomial!(w.sqrt() - 5.0, TAIL)
    };
    slope * x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(x: f64, y: f64) -> u64 {
        x.to_bits().abs_diff(y.to_bits())
    }

    /// Values to 17 digits, computed with 40.
    #[test]
    fn erf_is_within_two_units_of_known_values() {
        let known = [
            (1e-300_f64, 1.1283791670955126e-300),
            (1e-10, 1.1283791670955126e-10),
            (0.01, 0.011283415555849618),
            (0.1, 0.1124629160182849),
            (0.25, 0.27632639016823696),
            (0.5, 0.5204998778130465),
            (0.75, 0.7111556336535151),
            (0.9, 0.7969082124228322),
            (0.99, 0.8385080695553698),
            (1.0, 0.8427007929497149),
            (1.0000000000000002, 0.842700792949715),
            (1.1, 0.8802050695740817),
            (1.25, 0.9229001282564583),
            (1.5, 0.9661051464753108),
            (1.75, 0.9866716712191824),
            (2.0, 0.9953222650189527),
            (2.5, 0.999593047982555),
            (3.0, 0.9999779095030014),
            (3.5, 0.9999992569016276),
            (4.0, 0.9999999845827421),
            (5.0, 0.9999999999984626),
            (5.5, 0.9999999999999927),
            (5.9, 0.9999999999999999),
        ];
        for (x, y) in known {
            assert!(ulps(erf(x), y) <= 2, "erf({x}) = {}, not {y}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert_eq!(erf(0.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(erf(-0.0).to_bits(), (-0.0_f64).to_bits());
        assert_eq!((erf(f64::INFINITY), erf(f64::NEG_INFINITY)), (1.0, -1.0));
        assert!(erf(f64::NAN).is_nan());
    }

    /// The series `2/√π·e^(-x²)·Σ 2ⁿ·x²ⁿ⁺¹ / (1·3·…·(2n+1))` has positive terms only, so that it is
    /// good to a few units everywhere.
    #[test]
    fn erf_agrees_with_its_series() {
        for i in 1..6000 {
            let x = f64::from(i) * 1e-3;
            let (mut term, mut sum, mut n) = (x, x, 1.0);
            while term > sum * 1e-18 {
                term *= 2.0 * x * x / (2.0 * n + 1.0);
                sum += term;
                n += 1.0;
            }
            let series = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum;
            let error = (erf(x) - series).abs() / series;
            assert!(error < 1e-14, "erf({x}) = {}, its series {series}", erf(x));
        }
    }

    #[test]
    fn erf_inv_inverts_erf() {
        for i in -9999..=9999 {
            let x = f64::from(i) * 1e-4;
            let back = erf(erf_inv_f64(x));
            assert!((back - x).abs() <= 1e-15, "erf(erf_inv({x})) = {back}");
        }
        // The tails, seen through the complement, where erf itself can tell nothing apart.
        for exponent in 5..50 {
            let x = 1.0 - 2.0_f64.powi(-exponent);
            let y = erf_inv_f64(x);
            let slope = std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp();
            let error = (erf(y) - x).abs() / slope;
            assert!(error <= 1e-15 / slope, "erf_inv({x}) = {y}, off by {error}");
        }
    }

    /// Besides its own error of 10⁻⁶, the rounding of x² moves the result by up to 2⁻²⁵·dy/d(x²).
    #[test]
    fn erf_inv_in_single_precision_follows_the_double() {
        for i in -99_999..=99_999 {
            let x = i as f32 * 1e-5;
            let (y, exact) = (f64::from(erf_inv_f32(x)), erf_inv_f64(f64::from(x)));
            let slope = (exact * exact).exp() / std::f64::consts::FRAC_2_SQRT_PI / 2.0;
            let tolerance = 1e-6 * exact.abs() + 2.0_f64.powi(-25) * slope;
            assert!(
                (y - exact).abs() <= tolerance,
                "erf_inv({x}) = {y}, not {exact}"
            );
        }
    }

    #[test]
    fn logarithms_with_the_roundings_of_xla_are_within_two_units() {
        for i in 1..2000_i32 {
            let x = -(i as f32) / 2000.0;
            let exact = f64::from(x).ln_1p();
            let unit = f64::from((exact as f32).abs().next_up() - (exact as f32).abs());
            let y = log1p_as_xla(x);
            assert!((f64::from(y) - exact).abs() <= 2.0 * unit, "log1p({x}) = {y}, not {exact}");
        }
        assert_eq!(log1p_as_xla(0.0), 0.0);
        assert!(log1p_as_xla(f32::NAN).is_nan() && log1p_as_xla(-2.0).is_nan());
        assert_eq!(log1p_as_xla(-1.0), f32::NEG_INFINITY);
    }

    #[test]
    fn erf_inv_at_and_beyond_the_ends() {
        assert_eq!(
            (erf_inv_f64(1.0), erf_inv_f64(-1.0)),
            (f64::INFINITY, f64::NEG_INFINITY)
        );
        assert_eq!(
            (erf_inv_f32(1.0), erf_inv_f32(-1.0)),
            (f32::INFINITY, f32::NEG_INFINITY)
        );
        assert!(erf_inv_f64(1.5).is_nan() && erf_inv_f32(-1.5).is_nan());
        assert!(erf_inv_f64(f64::NAN).is_nan() && erf_inv_f32(f32::NAN).is_nan());
        assert_eq!(erf_inv_f64(0.0), 0.0);
    }

    #[test]
    fn logistic_is_stable_at_both_ends() {
        assert_eq!(800.0_f64.logistic(), 1.0);
        assert_eq!((-800.0_f64).logistic(), 0.0);
        assert_eq!((-740.0_f64).logistic(), (-740.0_f64).exp());
        assert_eq!((-100.0_f32).logistic(), (-100.0_f32).exp());
        assert_eq!(0.0_f32.logistic(), 0.5);
        assert_eq!(
            (f64::NEG_INFINITY.logistic(), f64::INFINITY.logistic()),
            (0.0, 1.0)
        );
        assert!(f64::NAN.logistic().is_nan());
    }

    #[test]
    fn rounding_and_powers_have_their_special_cases() {
        assert_eq!(
            [0.5, 1.5, 2.5, -0.5].map(f64::round_even),
            [0.0, 2.0, 2.0, -0.0]
        );
        assert_eq!(FloatFunctions::powf(f64::NAN, 0.0), 1.0);
        assert_eq!(FloatFunctions::powf(0.0_f64, -1.0), f64::INFINITY);
        assert!(FloatFunctions::powf(-1.0_f64, 0.5).is_nan());
        assert_eq!(
            FloatFunctions::atan2(1.0_f64, 0.0),
            std::f64::consts::FRAC_PI_2
        );
    }
}
