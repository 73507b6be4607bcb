//! The constants of the definitions, and the order in which a polynomial is evaluated.
//!
//! Polynomials are minimax fits by the exchange algorithm of Remez, in 60 digits (`tools/minimax.py` prints
//! them); the comment above each gives the target, the interval and the largest error after rounding. Nothing
//! here computes anything but [`horner`] and [`estrin`].

use super::lane::Lane;

/// The constants of one precision. Polynomials list their highest coefficient first.
#[derive(Debug)]
pub struct Table {
    /// `1/ln 2`.
    pub log2_e: f64,
    /// `ln 2` as a sum of two numbers of this precision.
    pub ln2: [f64; 2],
    /// `(e^r - 1 - r)/r²` for `|r| <= ln 2/2`.
    pub exp: &'static [f64],
    /// From here on `e^x` rounds to infinity, and its exponent is still below twice the largest.
    pub exp_inf: f64,
    /// From here down `e^x` rounds to zero.
    pub exp_zero: f64,
    /// From here down `e^x - 1` rounds to -1.
    pub expm1_flat: f64,
    /// Below this magnitude `e^x - 1` rounds to `x`.
    pub expm1_tiny: f64,
    /// From here on `tanh x` rounds to 1.
    pub tanh_one: f64,
    /// The lower end of the mantissas that [`Lane::split`] returns: √½ rounded.
    pub root_half: f64,
    /// The least positive normal number.
    pub min_normal: f64,
    /// A power of two that makes every subnormal number normal.
    pub lift: f64,
    /// The exponent of `lift`.
    pub log2_lift: f64,
    /// `(2·atanh(√z)/√z - 2)/z` for `z` up to `((√2 - 1)/(√2 + 1))²`.
    pub log: &'static [f64],
    /// `erf(√z)/√z - 1` for `z` up to 1.
    pub erf: &'static [f64],
    /// `-log(1 - erf x)` for `x` from 1 to `erf_one`.
    pub erfc: &'static [f64],
    /// From here on `erf x` rounds to 1.
    pub erf_one: f64,
    /// `2/π`.
    pub two_over_pi: f64,
    /// `π/2` as a sum of three numbers of this precision.
    pub half_pi: [f64; 3],
    /// `(sin(√z)/√z - 1)/z` for `z` up to `(π/4)²`.
    pub sin: &'static [f64],
    /// `(cos(√z) - 1 + z/2)/z²` for `z` up to `(π/4)²`.
    pub cos: &'static [f64],
    /// Below this magnitude `sin x` rounds to `x`.
    pub sin_tiny: f64,
    /// The largest magnitude that three terms of π/2 reduce well enough for `sin` and `cos`.
    pub turns: f64,
}

/// Returns `(((c₀·x + c₁)·x + c₂)·x + …)`, each step one fused multiply-add.
#[inline(always)]
pub fn horner<L: Lane>(x: L, coefficients: &'static [f64]) -> L {
    let mut sum = x.lit(coefficients[0]);
    for &c in &coefficients[1..] {
        sum = sum.fma(x, x.lit(c));
    }
    sum
}

/// Returns the same polynomial by pairs of coefficients, which are joined by powers of `x2 = x·x`: half as long a
/// chain of dependent steps, for about as large an error.
#[inline(always)]
pub fn estrin<L: Lane>(x: L, x2: L, coefficients: &'static [f64]) -> L {
    let pair = |c: &[f64]| x.lit(c[0]).fma(x, x.lit(c[1]));
    let (first, rest) = coefficients.split_at(1 + (coefficients.len() + 1) % 2);
    let sum = if first.len() == 1 { x.lit(first[0]) } else { pair(first) };
    rest.chunks_exact(2).fold(sum, |sum, c| sum.fma(x2, pair(c)))
}

/// The constants of `f32`.
pub static SINGLE: Table = Table {
    log2_e: 1.4426950216293335,
    ln2: [0.6931471824645996, -1.9046542121259336e-9],
    // Largest error 1.56e-8 relative to r.
    exp: &[
        0.0013946451945230365,
        0.008366583846509457,
        0.04166628047823906,
        0.1666654348373413,
        0.5,
    ],
    exp_inf: 89.0,
    exp_zero: -105.0,
    expm1_flat: -20.0,
    expm1_tiny: 1.0 / (1u64 << 30) as f64,
    tanh_one: 9.5,
    root_half: 0.7071067690849304,
    min_normal: f32::MIN_POSITIVE as f64,
    lift: (1u64 << 25) as f64,
    log2_lift: 25.0,
    // Largest error 1.75e-9 relative.
    log: &[0.2987183630466461, 0.3997753858566284, 0.6666677594184875],
    // Largest error 1.53e-8 relative to 1.
    erf: &[
        7.889122935011983e-05,
        -0.0008020842215046287,
        0.005189535673707724,
        -0.026854444295167923,
        0.11283600330352783,
        -0.3761262595653534,
        0.12837916612625122,
    ],
    // Largest error 1.96e-9 in erf.
    erfc: &[
        -0.00018557399744167924,
        0.002939607249572873,
        -0.02180531807243824,
        0.10303737223148346,
        0.6382256746292114,
        1.1270400285720825,
        0.00035371925332583487,
    ],
    erf_one: 4.0,
    two_over_pi: 0.6366197466850281,
    half_pi: [1.5707963705062866, -4.371138828673793e-8, -1.7151245100058819e-15],
    // Largest error 5.36e-9 of sin, relative.
    sin: &[-0.00019517235341481864, 0.008332177996635437, -0.16666655242443085],
    // Largest error 4.96e-10 of cos.
    cos: &[2.4438379114144482e-05, -0.0013887366512790322, 0.04166664555668831],
    sin_tiny: 1.0 / (1u64 << 13) as f64,
    turns: 65536.0,
};

/// The constants of `f64`.
pub static DOUBLE: Table = Table {
    log2_e: std::f64::consts::LOG2_E,
    ln2: [std::f64::consts::LN_2, 2.3190468138462996e-17],
    // Largest error 1.88e-17 relative to r.
    exp: &[
        2.511446866469993e-08,
        2.7626326891818494e-07,
        2.7557227968905444e-06,
        2.480150444501241e-05,
        0.00019841269903012434,
        0.00138888889323796,
        0.0083333333333146,
        0.04166666666657362,
        0.16666666666666685,
        0.5000000000000006,
    ],
    exp_inf: 710.0,
    exp_zero: -746.0,
    expm1_flat: -40.0,
    expm1_tiny: 1.0 / (1u64 << 60) as f64,
    tanh_one: 20.0,
    root_half: std::f64::consts::FRAC_1_SQRT_2,
    min_normal: f64::MIN_POSITIVE,
    lift: (1u64 << 54) as f64,
    log2_lift: 54.0,
    // Largest error 3.62e-18 relative.
    log: &[
        0.1479606536723246,
        0.15314040130007128,
        0.18183564684493916,
        0.2222219856735352,
        0.2857142874243226,
        0.3999999999941455,
        0.6666666666666734,
    ],
    // Largest error 3.12e-17 relative to 1.
    erf: &[
        -7.801188874097751e-10,
        1.3722976265924504e-08,
        -1.6209175911748696e-07,
        1.6447517677871873e-06,
        -1.4924744663335489e-05,
        0.00012055295320494294,
        -0.0008548325989696758,
        0.005223977607423468,
        -0.02686617064327622,
        0.11283791670945253,
        -0.3761263890318355,
        0.12837916709551256,
    ],
    // Largest error 7.26e-18 in erf.
    erfc: &[
        4.865188296302495e-12,
        -2.0203770957782872e-10,
        3.890076219541629e-09,
        -4.593392749032493e-08,
        3.695710324555391e-07,
        -2.114831726755434e-06,
        8.578917515109204e-06,
        -2.2533318396996647e-05,
        1.952397218809836e-05,
        0.00013655383825459226,
        -0.0007730424738691921,
        0.0019189448010197424,
        -0.0004135357051101226,
        -0.018988042720202134,
        0.10270229019592705,
        0.6366440549402285,
        1.1283739917504727,
        5.132369390637237e-07,
    ],
    erf_one: 6.0,
    two_over_pi: std::f64::consts::FRAC_2_PI,
    half_pi: [std::f64::consts::FRAC_PI_2, 6.123233995736766e-17, -1.4973849048591698e-33],
    // Largest error 6.02e-18 of sin, relative.
    sin: &[
        1.5896795725295123e-10,
        -2.5050758116643418e-08,
        2.755731369192769e-06,
        -0.00019841269829807837,
        0.008333333333322413,
        -0.16666666666666632,
    ],
    // Largest error 8.96e-19 of cos.
    cos: &[
        -1.1359647726932242e-11,
        2.087572327174541e-09,
        -2.75573143523218e-07,
        2.4801587289482147e-05,
        -0.0013888888888874125,
        0.0416666666666666,
    ],
    sin_tiny: 1.0 / (1u64 << 28) as f64,
    turns: 1048576.0,
};
