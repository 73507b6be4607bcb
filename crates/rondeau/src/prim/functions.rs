//! The functions of the float types. Knows no primitives.

use rondeau_machine::math::{self, Function};

use crate::buffer::Real;

/// The functions of the float types: on slices where the machine room has them, with the bits that
/// compiled programs give; on single numbers otherwise.
pub(super) trait FloatFunctions: Real {
    /// The function of each number.
    fn map(f: Function, x: &[Self]) -> Vec<Self>;
    /// The inverse of the error function of each number: ±inf at ±1, NaN beyond.
    fn erf_inv(x: &[Self]) -> Vec<Self>;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn trunc(self) -> Self;
    /// The nearest whole number; ties go to the even neighbour.
    fn round_even(self) -> Self;
    fn sqrt(self) -> Self;
    fn tan(self) -> Self;
    fn asin(self) -> Self;
    fn acos(self) -> Self;
    fn atan(self) -> Self;
    fn sinh(self) -> Self;
    fn cosh(self) -> Self;
    fn is_finite(self) -> bool;
    /// `xʸ`, with the special cases of C's `pow`.
    fn powf(self, y: Self) -> Self;
    /// The angle of the point whose ordinate is `self` and whose abscissa is `y`.
    fn atan2(self, y: Self) -> Self;
}

macro_rules! float_functions {
    ($t:ident, $erf_inv:path) => {
        impl FloatFunctions for $t {
            fn map(f: Function, x: &[Self]) -> Vec<Self> {
                let mut y = vec![0.0; x.len()];
                math::apply(f, x, &mut y);
                y
            }
            fn erf_inv(x: &[Self]) -> Vec<Self> {
                x.iter().map(|&x| $erf_inv(x)).collect()
            }
            fn floor(self) -> Self {
                <$t>::floor(self)
            }
            fn ceil(self) -> Self {
                <$t>::ceil(self)
            }
            fn trunc(self) -> Self {
                <$t>::trunc(self)
            }
            fn round_even(self) -> Self {
                self.round_ties_even()
            }
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            fn tan(self) -> Self {
                Self::of(self.f64().tan())
            }
            fn asin(self) -> Self {
                Self::of(self.f64().asin())
            }
            fn acos(self) -> Self {
                Self::of(self.f64().acos())
            }
            fn atan(self) -> Self {
                Self::of(self.f64().atan())
            }
            fn sinh(self) -> Self {
                Self::of(self.f64().sinh())
            }
            fn cosh(self) -> Self {
                Self::of(self.f64().cosh())
            }
            fn is_finite(self) -> bool {
                <$t>::is_finite(self)
            }
            fn powf(self, y: Self) -> Self {
                Self::of(self.f64().powf(y.f64()))
            }
            fn atan2(self, y: Self) -> Self {
                Self::of(self.f64().atan2(y.f64()))
            }
        }
    };
}
float_functions!(f32, math::erf_inv::single);
float_functions!(f64, math::erf_inv::double);

#[cfg(test)]
mod tests {
    use super::*;

    fn one<T: FloatFunctions>(f: Function, x: T) -> T {
        T::map(f, &[x])[0]
    }

    fn erf(x: f64) -> f64 {
        one(Function::Erf, x)
    }

    fn erf_inv<T: FloatFunctions>(x: T) -> T {
        T::erf_inv(&[x])[0]
    }

    fn ulps(x: f64, y: f64) -> u64 {
        x.to_bits().abs_diff(y.to_bits())
    }

    /// The values are computed with 40 digits.
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
            let back = erf(erf_inv(x));
            assert!((back - x).abs() <= 1e-15, "erf(erf_inv({x})) = {back}");
        }
    }

    /// Up to 1 - 2⁻²⁶ the square of `x` is exact, so that the polynomials alone are seen, all three.
    #[test]
    fn erf_inv_keeps_its_precision_in_the_tails() {
        let known = [
            (2, 0.8134198475976185),
            (4, 1.3171503349861307),
            (6, 1.7094723742995115),
            (9, 2.190099968353768),
            (12, 2.5939005131344874),
            (16, 3.058179581850916),
            (20, 3.465505025803331),
            (23, 3.7439211627767994),
            (26, 4.004131885114475),
        ];
        for (exponent, exact) in known {
            let x = 1.0 - 2.0_f64.powi(-exponent);
            let error = (erf_inv(x) - exact).abs() / exact;
            assert!(error <= 1e-15, "erf_inv({x}) = {}, not {exact}", erf_inv(x));
            assert_eq!(erf_inv(-x), -erf_inv(x));
        }
    }

    /// Besides its own error of 10⁻⁶, the rounding of x² moves the result by up to 2⁻²⁵·dy/d(x²).
    #[test]
    fn erf_inv_in_single_precision_follows_the_double() {
        for i in -99_999..=99_999 {
            let x = i as f32 * 1e-5;
            let (y, exact) = (f64::from(erf_inv(x)), erf_inv(f64::from(x)));
            let slope = (exact * exact).exp() / std::f64::consts::FRAC_2_SQRT_PI / 2.0;
            let tolerance = 1e-6 * exact.abs() + 2.0_f64.powi(-25) * slope;
            assert!((y - exact).abs() <= tolerance, "erf_inv({x}) = {y}, not {exact}");
        }
    }

    #[test]
    fn erf_inv_at_and_beyond_the_ends() {
        assert_eq!(f64::erf_inv(&[1.0, -1.0]), [f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!(f32::erf_inv(&[1.0, -1.0]), [f32::INFINITY, f32::NEG_INFINITY]);
        assert!(f64::erf_inv(&[1.5, -1.5, f64::NAN]).iter().all(|y| y.is_nan()));
        assert!(f32::erf_inv(&[1.5, -1.5, f32::NAN]).iter().all(|y| y.is_nan()));
        assert_eq!(erf_inv(0.0), 0.0);
    }

    #[test]
    fn logistic_is_stable_at_both_ends() {
        let logistic = |x: f64| one(Function::Sigmoid, x);
        assert_eq!([logistic(800.0), logistic(-800.0)], [1.0, 0.0]);
        let (tiny, exp) = (logistic(-700.0), (-700.0_f64).exp());
        assert!((tiny - exp).abs() <= 1e-15 * exp, "logistic(-700) = {tiny}, not {exp}");
        assert_eq!([logistic(f64::NEG_INFINITY), logistic(f64::INFINITY)], [0.0, 1.0]);
        assert_eq!(logistic(0.0), 0.5);
        assert!(logistic(f64::NAN).is_nan());
        assert_eq!([-800.0, 0.0, 800.0].map(|x: f32| one(Function::Sigmoid, x)), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn functions_have_their_limits() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let limits = [
            (Function::Exp, [-inf, inf], [0.0, inf]),
            (Function::Expm1, [-inf, inf], [-1.0, inf]),
            (Function::Log, [0.0, inf], [-inf, inf]),
            (Function::Log1p, [-1.0, inf], [-inf, inf]),
            (Function::Tanh, [-inf, inf], [-1.0, 1.0]),
            (Function::Erf, [-inf, inf], [-1.0, 1.0]),
        ];
        for (f, x, y) in limits {
            assert_eq!(f64::map(f, &x), y, "{f:?}");
            assert_eq!(f32::map(f, &x.map(|x| x as f32)), y.map(|y| y as f32), "{f:?}");
            assert!(one(f, nan).is_nan() && one(f, f32::NAN).is_nan(), "{f:?}");
        }
        for f in [Function::Sin, Function::Cos] {
            assert!(one(f, inf).is_nan() && one(f, nan).is_nan(), "{f:?}");
        }
        assert!(one::<f64>(Function::Log, -1.0).is_nan());
        assert!(one::<f64>(Function::Log1p, -1.5).is_nan());
    }

    #[test]
    fn rounding_and_powers_have_their_special_cases() {
        assert_eq!([0.5, 1.5, 2.5, -0.5].map(f64::round_even), [0.0, 2.0, 2.0, -0.0]);
        assert_eq!(FloatFunctions::powf(f64::NAN, 0.0), 1.0);
        assert_eq!(FloatFunctions::powf(0.0_f64, -1.0), f64::INFINITY);
        assert!(FloatFunctions::powf(-1.0_f64, 0.5).is_nan());
        assert_eq!(FloatFunctions::atan2(1.0_f64, 0.0), std::f64::consts::FRAC_PI_2);
    }
}
