//! Losses. [`mse`] and [`mae`] are one number; the others are one for each element, position or
//! sequence, to be averaged by `mean()` or [`mean_where`].

mod crf;
mod ctc;

pub use crf::Crf;
pub use ctc::ctc;

use crate::{Array, where_};

/// The mean of squared differences.
///
/// # Examples
/// ```
/// use rondeau::{Array, nn::loss};
///
/// let (predicted, target) = (Array::from([1.0_f32, 2.0]), Array::from([1.0_f32, 4.0]));
/// assert_eq!(loss::mse(&predicted, &target).item::<f32>()?, 2.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn mse(predicted: &Array, target: &Array) -> Array {
    (predicted - target).square().mean()
}

/// The mean of absolute differences.
#[track_caller]
pub fn mae(predicted: &Array, target: &Array) -> Array {
    (predicted - target).abs().mean()
}

/// Half the squared difference up to `delta`, from there on linear; elementwise.
///
/// # Source
/// Huber 1964; `optax.huber_loss`.
/// # Examples
/// ```
/// use rondeau::{Array, nn::loss};
///
/// let x = Array::from([0.5_f32, 3.0]);
/// assert_eq!(loss::huber(&x, &Array::from(0.0_f32), 1.0).to_vec::<f32>()?, [0.125, 2.5]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn huber(predicted: &Array, target: &Array, delta: f64) -> Array {
    let distance = (predicted - target).abs();
    let square = distance.minimum(delta);
    0.5 * square.square() + delta * (distance - square)
}

/// The cross entropy of the classes' probabilities `softmax(logits)` and integer labels.
///
/// # Shapes
/// `logits: [.., classes]`, `labels: i32[..]` → `[..]`.
/// # Source
/// `optax.softmax_cross_entropy_with_integer_labels`.
/// # Examples
/// ```
/// use rondeau::{Array, nn::loss};
///
/// let logits = Array::from([[0.0_f32, 0.0], [100.0, 0.0]]);
/// let losses = loss::cross_entropy(&logits, &Array::from([1, 0])).to_vec::<f32>()?;
/// assert_eq!(losses, [2.0_f32.ln(), 0.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Array, labels: &Array) -> Array {
    let chosen = logits.take_along_axis(labels.expand_dims(-1), -1).squeeze(-1);
    logits.logsumexp_axis(-1) - chosen
}

/// The cross entropy of the probability `sigmoid(logit)` and labels between 0 and 1; elementwise.
///
/// # Source
/// `optax.sigmoid_binary_cross_entropy`.
#[track_caller]
pub fn binary_cross_entropy(logits: &Array, labels: &Array) -> Array {
    -(labels * logits.log_sigmoid()) - (1.0 - labels) * (-logits).log_sigmoid()
}

/// The mean of the numbers at which `mask` holds, for padded sequences; 0 if it holds nowhere.
///
/// # Shapes
/// `losses` and `mask: bool` broadcast together → `[]`.
/// # Examples
/// ```
/// use rondeau::{Array, nn::loss};
///
/// let losses = Array::from([1.0_f32, 3.0, f32::NAN]);
/// let mask = Array::from([true, true, false]);
/// assert_eq!(loss::mean_where(&losses, &mask).item::<f32>()?, 2.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn mean_where(losses: &Array, mask: &Array) -> Array {
    let real = where_(mask, losses, 0.0);
    let count = where_(mask, losses.ones_like(), 0.0).sum();
    real.sum() / count.maximum(1.0)
}
