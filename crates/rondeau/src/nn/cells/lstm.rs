//! The long short-term memory.

use super::keys;
use crate::nn::{Cell, Gate};
use crate::{Array, Tree};

/// A long short-term memory with a forget gate.
///
/// `i = σ(Wi·x + Ui·h + bi)`, `f = σ(Wf·x + Uf·h + bf)`, `g = tanh(Wg·x + Ug·h + bg)`,
/// `o = σ(Wo·x + Uo·h + bo)`, `c' = f∘c + i∘g`, `h' = o∘tanh(c')`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h, c: [hidden]` → `[hidden]`.
/// # Source
/// Hochreiter and Schmidhuber 1997; Gers et al. 2000. The forget gate starts with the bias 1
/// (Jozefowicz et al. 2015). PyTorch's `LSTM`, Flax's and Equinox's `LSTMCell`, Haiku's `LSTM`
/// (whose step adds 1 to the forget gate).
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::Lstm::init(&random::key(0), 5, 8);
/// let xs = random::normal(&random::key(1), [10, 5]);
/// let (last, ys) = nn::run(&cell, &cell.initial_carry(), &xs);
/// assert_eq!((last.c.shape(), ys.shape()), ([8].as_slice(), [10, 8].as_slice()));
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Lstm {
    /// The input gate `i`.
    pub input: Gate,
    /// The forget gate `f`.
    pub forget: Gate,
    /// The candidate `g`.
    pub candidate: Gate,
    /// The output gate `o`.
    pub output: Gate,
}

/// The state of an LSTM.
#[derive(Clone, Debug, Tree)]
pub struct LstmCarry {
    /// The hidden state, which is the output.
    pub h: Array,
    /// The memory.
    pub c: Array,
}

impl Lstm {
    /// Parameters by [`Gate::init`], with the forget bias 1.
    pub fn init(key: &Array, input: usize, hidden: usize) -> Lstm {
        let gates = keys(key).map(|key| Gate::init(&key, input, hidden));
        let [input, forget, candidate, output] = gates;
        let forget = Gate { b: Array::ones([hidden]), ..forget };
        Lstm { input, forget, candidate, output }
    }

    /// The state after a step, before the output is made of it: `c'` and `o`.
    #[track_caller]
    pub(super) fn memory(&self, LstmCarry { h, c }: &LstmCarry, x: &Array) -> (Array, Array) {
        let i = self.input.of(x, h).sigmoid();
        let f = self.forget.of(x, h).sigmoid();
        let g = self.candidate.of(x, h).tanh();
        let o = self.output.of(x, h).sigmoid();
        (f * c + i * g, o)
    }
}

impl Cell for Lstm {
    type Carry = LstmCarry;

    fn initial_carry(&self) -> LstmCarry {
        let zero = self.input.b.zeros_like();
        LstmCarry { h: zero.clone(), c: zero }
    }

    #[track_caller]
    fn step(&self, carry: &LstmCarry, x: &Array) -> (LstmCarry, Array) {
        let (c, o) = self.memory(carry, x);
        let h = o * c.tanh();
        (LstmCarry { h: h.clone(), c }, h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.input.input_size())
    }
}
