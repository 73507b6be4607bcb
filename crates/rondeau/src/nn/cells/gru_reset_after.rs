//! The gated recurrent unit whose reset gate acts after the product, as in PyTorch and cuDNN.

use super::keys;
use crate::nn::{Cell, Gate};
use crate::{Array, Tree};

/// A gated recurrent unit that resets after the product.
///
/// `r = σ(Wr·x + Ur·h + br)`, `z = σ(Wz·x + Uz·h + bz)`, `n = tanh(Wn·x + bn + r∘(Un·h + cn))`,
/// `h' = (1-z)∘n + z∘h`; the output is `h'`. Note that `z` keeps the old state, where that of
/// [`Gru`](crate::nn::Gru) takes the new one.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// PyTorch's `GRU`, Flax's and Equinox's `GRUCell`, Keras's `GRU` by default; ONNX's with
/// `linear_before_reset=1`.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::GruResetAfter::init(&random::key(0), 5, 8);
/// let x = random::normal(&random::key(1), [5]);
/// let (h, y) = cell.step(&cell.initial_carry(), &x);
/// assert_eq!(h.to_vec::<f32>()?, y.to_vec::<f32>()?);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct GruResetAfter {
    /// The reset gate `r`.
    pub reset: Gate,
    /// The update gate `z`: how much of the old state is kept.
    pub update: Gate,
    /// The candidate `n`; its bias is `bn`, outside of the reset.
    pub candidate: Gate,
    /// The bias `cn` of the candidate, which the reset gate scales.
    pub recurrent_bias: Array,
}

impl GruResetAfter {
    /// Parameters by [`Gate::init`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> GruResetAfter {
        let [reset, update, candidate] = keys(key).map(|key| Gate::init(&key, input, hidden));
        GruResetAfter { reset, update, candidate, recurrent_bias: Array::zeros([hidden]) }
    }
}

impl Cell for GruResetAfter {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.update.b.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let r = self.reset.of(x, h).sigmoid();
        let z = self.update.of(x, h).sigmoid();
        let Gate { w, u, b } = &self.candidate;
        let n = (w.dot(x) + b + r * (u.dot(h) + &self.recurrent_bias)).tanh();
        let h = (1.0 - &z) * n + z * h;
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.update.input_size())
    }
}
