//! The long short-term memory with normalized sums.

use super::{LstmCarry, keys};
use crate::nn::{Cell, Gate, LayerNorm};
use crate::{Array, Tree};

/// A long short-term memory that normalizes what enters its gates, and its memory.
///
/// With `N` for layer normalization, each sum of [`Lstm`](crate::nn::Lstm) is
/// `N(W·x) + N(U·h) + b`, over all four gates at once, and `h' = o∘tanh(N(c'))`; the output is
/// `h'`.
///
/// # Shapes
/// `x: [input]`, `h, c: [hidden]` → `[hidden]`. Stacked weights are `w: [4·hidden, input]` and
/// `u: [4·hidden, hidden]`, with the gates in the order i, f, g, o.
/// # Source
/// Ba et al. 2016 (arXiv:1607.06450), equations 20 to 22.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::LayerNormLstm::init(&random::key(0), 5, 8);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert_eq!(y.shape(), [8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct LayerNormLstm {
    /// The weights and biases of all gates, in the order i, f, g, o.
    pub gates: Gate,
    /// Normalizes `W·x`; its offset is left at zero by the paper, since the bias is one.
    pub input_norm: LayerNorm,
    /// Normalizes `U·h`.
    pub recurrent_norm: LayerNorm,
    /// Normalizes `c'`.
    pub memory_norm: LayerNorm,
}

impl LayerNormLstm {
    /// Parameters by [`Gate::init`], with the forget bias 1.
    pub fn init(key: &Array, input: usize, hidden: usize) -> LayerNormLstm {
        let each: [Gate; 4] = keys(key).map(|key| Gate::init(&key, input, hidden));
        let mut gates = Gate::stacked(&each);
        gates.b = gates.b.set(hidden..2 * hidden, 1.0);
        LayerNormLstm {
            gates,
            input_norm: LayerNorm::init(4 * hidden),
            recurrent_norm: LayerNorm::init(4 * hidden),
            memory_norm: LayerNorm::init(hidden),
        }
    }
}

impl Cell for LayerNormLstm {
    type Carry = LstmCarry;

    fn initial_carry(&self) -> LstmCarry {
        let zero = self.memory_norm.scale.zeros_like();
        LstmCarry { h: zero.clone(), c: zero }
    }

    #[track_caller]
    fn step(&self, LstmCarry { h, c }: &LstmCarry, x: &Array) -> (LstmCarry, Array) {
        let Gate { w, u, b } = &self.gates;
        let sums = self.input_norm.of(&w.dot(x)) + self.recurrent_norm.of(&u.dot(h)) + b;
        let n = c.len();
        let gate = |k: usize| sums.at(k * n..(k + 1) * n);
        let c = gate(1).sigmoid() * c + gate(0).sigmoid() * gate(2).tanh();
        let h = gate(3).sigmoid() * self.memory_norm.of(&c).tanh();
        (LstmCarry { h: h.clone(), c }, h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.gates.input_size())
    }
}
