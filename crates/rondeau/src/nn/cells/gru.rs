//! The gated recurrent unit whose reset gate acts before the product, as in JAX's tutorial.

use super::keys;
use crate::nn::{Cell, Gate};
use crate::{Array, Tree};

/// A gated recurrent unit that resets before the product.
///
/// `z = σ(Wz·x + Uz·h + bz)`, `r = σ(Wr·x + Ur·h + br)`, `a = tanh(Wa·x + Ua·(r∘h) + ba)`,
/// `h' = (1-z)∘h + z∘a`; the output is `h'`.
///
/// For the weights of PyTorch and cuDNN, which reset after the product, see
/// [`GruResetAfter`](crate::nn::GruResetAfter).
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// Cho et al. 2014 (arXiv:1406.1078), with the update gate as in Haiku's `GRU`; Keras's with
/// `reset_after=False` and ONNX's with `linear_before_reset=0` have `1-z` for this `z`.
/// # Examples
/// ```
/// use rondeau::{jit, nn, nn::Cell, random};
///
/// let cell = nn::Gru::init(&random::key(0), 5, 8);
/// let xs = random::normal(&random::key(1), [10, 5]);
/// let (last, states) = jit(nn::run::<nn::Gru>).call(&cell, &cell.initial_carry(), &xs)?;
/// assert_eq!((last.shape(), states.shape()), ([8].as_slice(), [10, 8].as_slice()));
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Gru {
    /// The update gate `z`: how much of the candidate is taken.
    pub update: Gate,
    /// The reset gate `r`: how much of the state the candidate sees.
    pub reset: Gate,
    /// The candidate `a`.
    pub candidate: Gate,
}

impl Gru {
    /// Parameters by [`Gate::init`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> Gru {
        let [update, reset, candidate] = keys(key).map(|key| Gate::init(&key, input, hidden));
        Gru { update, reset, candidate }
    }
}

impl Cell for Gru {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.update.b.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let z = self.update.of(x, h).sigmoid();
        let r = self.reset.of(x, h).sigmoid();
        let candidate = self.candidate.of(x, &(r * h)).tanh();
        let h = (1.0 - &z) * h + z * candidate;
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.update.input_size())
    }
}
