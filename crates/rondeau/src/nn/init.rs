//! Initial weights. Weights here are `[outputs, inputs]`, so the fan-in is the last axis and the
//! fan-out the one before; a vector's are both its length.

use crate::{Array, Shape, jit, random, scan};

/// The standard deviation of a normal distribution that is cut at two of them.
const CUT_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// Normal numbers with this standard deviation.
#[track_caller]
pub fn normal(key: &Array, shape: impl Into<Shape>, deviation: f64) -> Array {
    random::normal(key, shape) * deviation
}

/// Normal numbers cut at two standard deviations, scaled so that theirs is `deviation`.
///
/// # Source
/// `jax.nn.initializers.variance_scaling(distribution="truncated_normal")`.
#[track_caller]
pub fn truncated_normal(key: &Array, shape: impl Into<Shape>, deviation: f64) -> Array {
    random::truncated_normal(key, -2.0, 2.0, shape) * (deviation / CUT_DEVIATION)
}

/// Uniform numbers in `[-limit, limit)`.
#[track_caller]
pub fn uniform(key: &Array, shape: impl Into<Shape>, limit: f64) -> Array {
    (random::uniform(key, shape) * 2.0 - 1.0) * limit
}

macro_rules! scaled {
    ($($what:literal $source:literal $normal:ident $uniform:ident: $variance:expr;)*) => {$(
        #[doc = concat!("Truncated normal numbers with the variance ", $what, ".")]
        ///
        /// # Source
        #[doc = $source]
        #[track_caller]
        pub fn $normal(key: &Array, shape: impl Into<Shape>) -> Array {
            let shape = shape.into();
            let variance: fn(f64, f64) -> f64 = $variance;
            let [fan_in, fan_out] = fans(&shape);
            truncated_normal(key, shape, variance(fan_in, fan_out).sqrt())
        }

        #[doc = concat!("Uniform numbers around zero with the variance ", $what, ".")]
        ///
        /// # Source
        #[doc = $source]
        #[track_caller]
        pub fn $uniform(key: &Array, shape: impl Into<Shape>) -> Array {
            let shape = shape.into();
            let variance: fn(f64, f64) -> f64 = $variance;
            let [fan_in, fan_out] = fans(&shape);
            uniform(key, shape, (3.0 * variance(fan_in, fan_out)).sqrt())
        }
    )*};
}

scaled! {
    "`2 / (fan_in + fan_out)`" "Glorot and Bengio 2010." glorot_normal glorot_uniform:
        |fan_in, fan_out| 2.0 / (fan_in + fan_out);
    "`2 / fan_in`" "He et al. 2015 (arXiv:1502.01852)." he_normal he_uniform: |fan_in, _| 2.0 / fan_in;
    "`1 / fan_in`" "LeCun et al. 1998." lecun_normal lecun_uniform: |fan_in, _| 1.0 / fan_in;
}

/// The numbers of inputs and outputs of a weight.
fn fans(shape: &Shape) -> [f64; 2] {
    let n = shape.rank();
    let [fan_out, fan_in] = match n {
        0 => [1, 1],
        1 => [shape[0], shape[0]],
        _ => [shape[n - 2], shape[n - 1]],
    };
    // The axes before the last two repeat the weight, as those of a convolution do.
    let field: usize = shape.iter().take(n.saturating_sub(2)).product();
    [fan_in, fan_out].map(|fan| (fan * field).max(1) as f64)
}

/// A random matrix whose rows (or columns, if there are more rows than columns) are orthonormal,
/// uniformly distributed.
///
/// # Errors
/// The result carries an [`Error`](crate::Error) if the shape is not that of a matrix.
/// # Source
/// Saxe et al. 2013 (arXiv:1312.6120). The orthogonal factor, with positive diagonal of the other
/// one, of a normal matrix (Mezzadri 2007, arXiv:math-ph/0609050), by Gram-Schmidt's method applied
/// twice to each vector (Giraud et al. 2005).
/// # Examples
/// ```
/// use rondeau::{Array, nn::init, random};
///
/// let q = init::orthogonal(&random::key(0), [3, 5]);
/// let error = (q.matmul(&q.t()) - Array::eye(3)).abs().max();
/// assert!(error.item::<f32>()? < 1e-6);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn orthogonal(key: &Array, shape: impl Into<Shape>) -> Array {
    let shape = shape.into();
    let draw = random::normal(key, shape.clone());
    if draw.error().is_none() && shape.rank() != 2 {
        let error = crate::Error::rank("orthogonal", "the shape of a matrix", &draw.describe());
        return Array::mistake(error.at(std::panic::Location::caller()));
    }
    if draw.size() == 0 {
        return draw;
    }
    match draw.error() {
        Some(_) => draw,
        None if shape[0] > shape[1] => jit(orthonormal_rows).apply(&draw.t()).t(),
        None => jit(orthonormal_rows).apply(&draw),
    }
}

/// Each row less its parts along the rows before it, with length 1. No more rows than columns.
fn orthonormal_rows(a: &Array) -> Array {
    let step = |q: &Array, (row, place): &(Array, Array)| {
        // What rounding leaves of the other rows after the first time, the second one takes.
        let once = row - q.t().dot(q.dot(row));
        let twice = &once - q.t().dot(q.dot(&once));
        let unit = &twice / twice.square().sum().sqrt();
        (q + place.outer(unit), ())
    };
    let places = Array::eye(a.len()).to(a.dtype());
    scan(step, &a.zeros_like(), &(a.clone(), places)).0
}
