//! The gated recurrent unit with normalized sums.

use super::keys;
use crate::nn::{Cell, Gate, LayerNorm};
use crate::{Array, Tree};

/// A gated recurrent unit that normalizes what enters its gates.
///
/// With `N` for layer normalization: `[z; r] = σ(N(W·x) + N(U·h) + b)`,
/// `a = tanh(N(Wa·x) + r∘N(Ua·h) + ba)`, `h' = (1-z)∘a + z∘h`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`. The stacked weights of the gates are
/// `w: [2·hidden, input]` and `u: [2·hidden, hidden]`, in the order z, r.
/// # Source
/// Ba et al. 2016 (arXiv:1607.06450), equations 23 to 27.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::LayerNormGru::init(&random::key(0), 5, 8);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert_eq!(y.shape(), [8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct LayerNormGru {
    /// The weights and biases of the update gate `z` and the reset gate `r`.
    pub gates: Gate,
    /// Those of the candidate `a`.
    pub candidate: Gate,
    /// Normalizes `W·x`.
    pub input_norm: LayerNorm,
    /// Normalizes `U·h`.
    pub recurrent_norm: LayerNorm,
    /// Normalizes `Wa·x`.
    pub candidate_input_norm: LayerNorm,
    /// Normalizes `Ua·h`.
    pub candidate_recurrent_norm: LayerNorm,
}

impl LayerNormGru {
    /// Parameters by [`Gate::init`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> LayerNormGru {
        let [z, r, candidate] = keys(key).map(|key| Gate::init(&key, input, hidden));
        LayerNormGru {
            gates: Gate::stacked(&[z, r]),
            candidate,
            input_norm: LayerNorm::init(2 * hidden),
            recurrent_norm: LayerNorm::init(2 * hidden),
            candidate_input_norm: LayerNorm::init(hidden),
            candidate_recurrent_norm: LayerNorm::init(hidden),
        }
    }
}

impl Cell for LayerNormGru {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.candidate.b.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let Gate { w, u, b } = &self.gates;
        let sums = self.input_norm.of(&w.dot(x)) + self.recurrent_norm.of(&u.dot(h)) + b;
        let n = h.len();
        let (z, r) = (sums.at(..n).sigmoid(), sums.at(n..).sigmoid());
        let Gate { w, u, b } = &self.candidate;
        let of_input = self.candidate_input_norm.of(&w.dot(x));
        let of_state = self.candidate_recurrent_norm.of(&u.dot(h));
        let a = (of_input + r * of_state + b).tanh();
        let h = (1.0 - &z) * a + z * h;
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.candidate.input_size())
    }
}
