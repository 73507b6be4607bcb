//! A Kalman filter forward in time and the smoother of Rauch, Tung and Striebel back, as two scans;
//! the noise of the measurements is found by the gradient of the likelihood.
//!
//! ```sh
//! cargo run --release --example kalman
//! ```

use rondeau::{Array, Result, Tree, grad, jit, random, scan, scan_reverse};

/// A position and its velocity; the position is measured.
///
/// `state' = F·state + noise (Q)`, `measured = H·state + noise (r)`, all of one number.
#[derive(Clone, Tree)]
pub(crate) struct Model {
    /// `F: [2, 2]`.
    pub(crate) transition: Array,
    /// `Q: [2, 2]`.
    pub(crate) process: Array,
    /// `H: [2]`.
    pub(crate) measure: Array,
    /// `r: []`.
    pub(crate) noise: Array,
}

/// A mean `[2]` and a covariance `[2, 2]`.
pub(crate) type Belief = (Array, Array);

/// The belief after each measurement, the one before it, and the logarithm of its likelihood.
///
/// `measured: [time]`.
pub(crate) fn filter(model: &Model, prior: &Belief, measured: &Array) -> (Belief, Belief, Array) {
    let Model { transition: f, process: q, measure: h, noise: r } = model;
    let step = |(mean, cov): &Belief, z: &Array| {
        let predicted = (f.dot(mean), f.matmul(cov).matmul(f.t()) + q);
        let (mean, cov) = &predicted;
        let surprise = z - h.dot(mean);
        let spread = h.dot(cov.dot(h)) + r;
        let gain = cov.dot(h) / &spread;
        let belief = (mean + &gain * &surprise, cov - gain.outer(cov.dot(h)));
        let density = -0.5 * (surprise.square() / &spread + (spread * std::f64::consts::TAU).log());
        (belief.clone(), (belief, predicted, density))
    };
    scan(step, prior, measured).1
}

/// The beliefs of all times, each after all measurements.
pub(crate) fn smooth(model: &Model, filtered: &Belief, predicted: &Belief) -> Belief {
    let f = &model.transition;
    let step = |(mean, cov): &Belief, ((m, p), (m_next, p_next)): &(Belief, Belief)| {
        let gain = p.matmul(f.t()).matmul(inverse(p_next));
        let mean = m + gain.dot(mean - m_next);
        let cov = p + gain.matmul(cov - p_next).matmul(gain.t());
        ((mean.clone(), cov.clone()), (mean, cov))
    };
    let last = (filtered.0.at(-1), filtered.1.at(-1));
    let rows = |x: &Array, range: std::ops::Range<usize>| x.at(range);
    let n = filtered.0.len();
    let before = (rows(&filtered.0, 0..n - 1), rows(&filtered.1, 0..n - 1));
    let after = (rows(&predicted.0, 1..n), rows(&predicted.1, 1..n));
    let (_, (means, covs)) = scan_reverse(step, &last, &(before, after));
    let with = |x: &Array, last: &Array| rondeau::concatenate(&[x, &last.expand_dims(0)], 0);
    (with(&means, &last.0), with(&covs, &last.1))
}

/// The inverse of a `[2, 2]` matrix.
fn inverse(m: &Array) -> Array {
    let (a, b, c, d) = (m.at((0, 0)), m.at((0, 1)), m.at((1, 0)), m.at((1, 1)));
    let turned = rondeau::stack(&[&d, &-&b, &-&c, &a], 0).reshape([2, 2]);
    turned / (a * d - b * c)
}

/// The negative logarithm of the likelihood of all measurements.
pub(crate) fn surprise(model: &Model, prior: &Belief, measured: &Array) -> Array {
    -filter(model, prior, measured).2.sum()
}

/// Steps of 0.1 at a velocity that wanders.
pub(crate) fn model(noise: f32) -> Model {
    Model {
        transition: Array::from([[1.0_f32, 0.1], [0.0, 1.0]]),
        process: Array::eye(2) * 0.01,
        measure: Array::from([1.0_f32, 0.0]),
        noise: Array::from(noise),
    }
}

fn main() -> Result<()> {
    let n = 100;
    let t = Array::arange(n).to(rondeau::DType::F32) * 0.1;
    let position = t.sin();
    let measured = &position + random::normal(&random::key(0), [n]) * 0.3;
    let prior = (Array::zeros([2]), Array::eye(2));

    let mut model = model(1.0);
    let slope = jit(grad(surprise));
    for _ in 0..200 {
        // The noise is positive, so its logarithm takes the steps.
        let slope = slope.call(&model, &prior, &measured)?;
        model.noise = &model.noise * (slope.noise * &model.noise * -0.01).exp();
    }
    println!("noise found: {}, true: 0.09", model.noise);

    let (filtered, predicted, _) = jit(filter).call(&model, &prior, &measured)?;
    let (means, _) = jit(smooth).call(&model, &filtered, &predicted)?;
    let error = |x: &Array| (x - &position).square().mean().sqrt();
    println!("error measured: {}", error(&measured));
    println!("error filtered: {}", error(&filtered.0.at((.., 0))));
    println!("error smoothed: {}", error(&means.at((.., 0))));
    Ok(())
}
