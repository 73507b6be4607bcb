//! The inverse of the error function: ±inf at ±1, NaN beyond.

use super::define;

/// Horner's scheme; the coefficient of the highest power comes first.
macro_rules! polynomial {
    ($x:expr, $coefficients:expr) => {{
        let x = $x;
        $coefficients.iter().fold(0.0, |sum, &coefficient| sum * x + coefficient)
    }};
}

/// The inverse of the error function in single precision, with the roundings of XLA on CPUs: normal
/// draws are made of it, and are to be JAX's to the bit.
///
/// Source: Giles 2012, "Approximating the erfinv function": `x` times a polynomial in
/// `w = -log(1 - x²)`, or in its root in the tails.
pub fn single(x: f32) -> f32 {
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
    const NUMERATOR: [f32; 7] =
        [4.527e-05, 0.49854103, 6.5787325, 29.911919, 60.94967, 57.112965, 20.039553];
    const DENOMINATOR: [f32; 7] =
        [1.0, 15.062909, 83.04757, 221.7624, 309.09872, 216.42789, 60.11866];
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
    const P: [f32; 9] = [
        0.070376836,
        -0.1151461,
        0.116769984,
        -0.12420141,
        0.14249323,
        -0.16668057,
        0.20000714,
        -0.24999994,
        0.3333333,
    ];
    // ln 2 = HIGH + LOW, where products of HIGH with exponents are exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -0.000_212_194_44;
    if x.is_nan() || x <= 0.0 || x == f32::INFINITY {
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
/// [`single`].
pub fn double(x: f64) -> f64 {
    let w = -define::log1p(-x * x);
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
}
