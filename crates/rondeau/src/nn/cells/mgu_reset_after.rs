//! The minimal gated unit as Flax has it.

use super::keys;
use crate::nn::{Cell, Gate};
use crate::{Array, Tree};

/// The minimal gated unit whose gate acts after the product, and keeps the old state.
///
/// `f = σ(Wf·x + Uf·h + bf)`, `n = tanh(Wn·x + bn + f∘(Un·h + cn))`, `h' = (1-f)∘n + f∘h`; the
/// output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// Flax's `MGUCell`, after Zhou et al. 2016 (arXiv:1603.09420).
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::MguResetAfter::init(&random::key(0), 5, 8);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert_eq!(y.shape(), [8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct MguResetAfter {
    /// The one gate `f`.
    pub forget: Gate,
    /// The candidate `n`; its bias is `bn`.
    pub candidate: Gate,
    /// The bias `cn` of the candidate, which the gate scales.
    pub recurrent_bias: Array,
}

impl MguResetAfter {
    /// Parameters by [`Gate::init`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> MguResetAfter {
        let [forget, candidate] = keys(key).map(|key| Gate::init(&key, input, hidden));
        MguResetAfter { forget, candidate, recurrent_bias: Array::zeros([hidden]) }
    }
}

impl Cell for MguResetAfter {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.forget.b.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let f = self.forget.of(x, h).sigmoid();
        let Gate { w, u, b } = &self.candidate;
        let n = (w.dot(x) + b + &f * (u.dot(h) + &self.recurrent_bias)).tanh();
        let h = (1.0 - &f) * n + f * h;
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.forget.input_size())
    }
}
