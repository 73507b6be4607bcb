//! Whether a number is the slope of a function at zero, by differences, where the function may have
//! kinks and jumps.

use anyhow::Result;

/// How far off a slope may be, relative to the larger of 1 and the difference.
pub(super) const MOST_DIFFERENCE: f64 = 1e-6;

/// Lengths of differences, the best first: a kink that is nearer than one of them is farther than
/// another, unless it is at zero. At the last, the rounding of a function near 1 is 1e-9.
const LENGTHS: [f64; 4] = [1e-4, 1e-5, 1e-6, 1e-7];

/// What is said of a slope.
#[derive(Debug)]
pub(super) struct Judged {
    /// How far it is from the difference, relative to the larger of 1 and that.
    pub(super) error: f64,
    /// Whether there is a kink or jump so near that the longest difference meets it.
    pub(super) kink: bool,
}

/// Holds a slope against differences of the function around zero.
///
/// It is right if it is that of the longest difference; or of a shorter one, which does not reach the
/// kink that the longest met; or if it is one of those that are between the slopes of both sides, where
/// they differ: at a kink, all of these are subgradients.
///
/// # Errors
/// Those of the function.
pub(super) fn judge(at: impl Fn(f64) -> Result<f64>, slope: f64) -> Result<Judged> {
    let error = |difference: f64| {
        let error = (slope - difference).abs() / difference.abs().max(1.0);
        if error.is_nan() { f64::INFINITY } else { error }
    };
    let longest = error(central(&at, LENGTHS[0])?);
    if longest <= MOST_DIFFERENCE {
        return Ok(Judged { error: longest, kink: false });
    }
    for h in &LENGTHS[1..] {
        let error = error(central(&at, *h)?);
        if error <= MOST_DIFFERENCE {
            return Ok(Judged { error, kink: true });
        }
    }
    let side = |sign: f64| -> Result<Option<f64>> {
        let [long, short] = [LENGTHS[1], LENGTHS[2]].map(|h| one_sided(&at, sign * h));
        let (long, short) = (long?, short?);
        let is_settled = (long - short).abs() <= 10.0 * MOST_DIFFERENCE * short.abs().max(1.0);
        Ok(is_settled.then_some(short))
    };
    if let (Some(left), Some(right)) = (side(-1.0)?, side(1.0)?) {
        let (low, high) = (left.min(right), left.max(right));
        let is_kink = high - low > 100.0 * MOST_DIFFERENCE * low.abs().max(high.abs()).max(1.0);
        if is_kink {
            return Ok(Judged { error: error(slope.clamp(low, high)), kink: true });
        }
    }
    Ok(Judged { error: longest, kink: false })
}

/// `(8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h`, of an error of the order h⁴.
fn central(at: impl Fn(f64) -> Result<f64>, h: f64) -> Result<f64> {
    Ok((8.0 * (at(h)? - at(-h)?) - (at(2.0 * h)? - at(-2.0 * h)?)) / (12.0 * h))
}

/// `(-3 f(0) + 4 f(h) - f(2h)) / 2h`, of an error of the order h², from the side of `h`.
fn one_sided(at: impl Fn(f64) -> Result<f64>, h: f64) -> Result<f64> {
    Ok((4.0 * at(h)? - 3.0 * at(0.0)? - at(2.0 * h)?) / (2.0 * h))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of slopes of a function: `kink`, `right` or `wrong`.
    #[track_caller]
    fn says(f: impl Fn(f64) -> f64, slopes: &[(f64, &str)]) {
        for &(slope, said) in slopes {
            let judged = judge(|x| Ok(f(x)), slope).unwrap();
            let told = match judged.error <= MOST_DIFFERENCE {
                true if judged.kink => "kink",
                true => "right",
                false => "wrong",
            };
            assert_eq!(told, said, "{slope}: {judged:?}");
        }
    }

    #[test]
    fn slopes_of_smooth_functions() {
        let f = |x: f64| (1.0 + 2.0 * x).sin() * x.exp();
        let slope = 2.0 * 1_f64.cos() + 1_f64.sin();
        says(f, &[(slope, "right"), (slope + 1e-5, "wrong"), (-slope, "wrong"), (0.0, "wrong")]);
        says(|x| 40.0 + 30.0 * f(x), &[(30.0 * slope, "right"), (30.01 * slope, "wrong")]);
        says(|_| 7.0, &[(0.0, "right"), (1e-3, "wrong"), (f64::NAN, "wrong")]);
    }

    #[test]
    fn slopes_at_a_kink_are_all_that_are_between() {
        let f = |x: f64| x.abs() + 0.5 * x + x.sin();
        says(f, &[(0.5, "kink"), (2.5, "kink"), (0.7, "kink"), (0.499, "wrong"), (2.51, "wrong")]);
        let relu = |x: f64| 3.0 + x.max(0.0).tanh();
        says(relu, &[(0.0, "kink"), (1.0, "kink"), (0.1, "kink"), (-0.01, "wrong")]);
        // The central difference itself.
        says(relu, &[(0.5, "right")]);
    }

    #[test]
    fn slopes_beside_a_kink_are_those_of_its_side() {
        for near in [1.5e-4, 4e-5, 3e-6, 2.5e-7] {
            says(|x| (x - near).abs(), &[(-1.0, "kink"), (1.0, "wrong"), (0.0, "wrong")]);
            says(|x| (x + near).max(0.0), &[(1.0, "kink"), (0.0, "wrong"), (0.5, "wrong")]);
            says(|x| x + f64::from(x > near), &[(1.0, "kink"), (0.0, "wrong")]);
        }
        says(|x| (x - 1e-3).abs(), &[(-1.0, "right"), (1.0, "wrong")]);
    }

    #[test]
    fn a_slope_is_wrong_where_the_function_is_no_number() {
        says(|_| f64::NAN, &[(0.0, "wrong")]);
        says(|x| x.sqrt(), &[(0.0, "wrong")]);
    }
}
