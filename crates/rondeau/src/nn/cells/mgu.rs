//! The minimal gated unit.

use super::keys;
use crate::nn::{Cell, Gate};
use crate::{Array, Tree};

/// The minimal gated unit: a gated recurrent unit with one gate.
///
/// `f = σ(Wf·x + Uf·h + bf)`, `a = tanh(Wa·x + Ua·(f∘h) + ba)`, `h' = (1-f)∘h + f∘a`; the output
/// is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// Zhou et al. 2016 (arXiv:1603.09420). For Flax's `MGUCell`, see
/// [`MguResetAfter`](crate::nn::MguResetAfter).
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::Mgu::init(&random::key(0), 5, 8);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert_eq!(y.shape(), [8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Mgu {
    /// The one gate `f`.
    pub forget: Gate,
    /// The candidate `a`.
    pub candidate: Gate,
}

impl Mgu {
    /// Parameters by [`Gate::init`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> Mgu {
        let [forget, candidate] = keys(key).map(|key| Gate::init(&key, input, hidden));
        Mgu { forget, candidate }
    }
}

impl Cell for Mgu {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.forget.b.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let f = self.forget.of(x, h).sigmoid();
        let a = self.candidate.of(x, &(&f * h)).tanh();
        let h = (1.0 - &f) * h + f * a;
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.forget.input_size())
    }
}
