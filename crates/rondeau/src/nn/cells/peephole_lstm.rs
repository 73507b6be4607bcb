//! The long short-term memory whose gates see the memory.

use super::{Lstm, LstmCarry};
use crate::nn::{Cell, init};
use crate::{Array, Tree, random};

/// A long short-term memory whose gates look at the memory.
///
/// `i = σ(Wi·x + Ui·h + pi∘c + bi)`, `f = σ(Wf·x + Uf·h + pf∘c + bf)`,
/// `g = tanh(Wg·x + Ug·h + bg)`, `c' = f∘c + i∘g`, `o = σ(Wo·x + Uo·h + po∘c' + bo)`,
/// `h' = o∘tanh(c')`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h, c: [hidden]` → `[hidden]`.
/// # Source
/// Gers and Schmidhuber 2000; ONNX's `LSTM` with `P`.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::PeepholeLstm::init(&random::key(0), 5, 8);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert_eq!(y.shape(), [8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct PeepholeLstm {
    /// The gates.
    pub lstm: Lstm,
    /// `pi`, the weights of the old memory in the input gate: `[hidden]`.
    pub input_peephole: Array,
    /// `pf`, the weights of the old memory in the forget gate: `[hidden]`.
    pub forget_peephole: Array,
    /// `po`, the weights of the new memory in the output gate: `[hidden]`.
    pub output_peephole: Array,
}

impl PeepholeLstm {
    /// Parameters as those of [`Lstm`]; peepholes by [`init::lecun_normal`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> PeepholeLstm {
        let keys = random::split(key, 4);
        let peephole = |i: usize| init::lecun_normal(&keys.at(i), [hidden]);
        PeepholeLstm {
            lstm: Lstm::init(&keys.at(0), input, hidden),
            input_peephole: peephole(1),
            forget_peephole: peephole(2),
            output_peephole: peephole(3),
        }
    }
}

impl Cell for PeepholeLstm {
    type Carry = LstmCarry;

    fn initial_carry(&self) -> LstmCarry {
        self.lstm.initial_carry()
    }

    #[track_caller]
    fn step(&self, LstmCarry { h, c }: &LstmCarry, x: &Array) -> (LstmCarry, Array) {
        let Lstm { input, forget, candidate, output } = &self.lstm;
        let i = (input.of(x, h) + &self.input_peephole * c).sigmoid();
        let f = (forget.of(x, h) + &self.forget_peephole * c).sigmoid();
        let g = candidate.of(x, h).tanh();
        let c = f * c + i * g;
        let o = (output.of(x, h) + &self.output_peephole * &c).sigmoid();
        let h = o * c.tanh();
        (LstmCarry { h: h.clone(), c }, h)
    }

    fn input_size(&self) -> Option<usize> {
        self.lstm.input_size()
    }
}
