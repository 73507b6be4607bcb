//! ONNX's operators `RNN`, `GRU`, `LSTM` with their default activations: the tensors `W`, `R`, `B`
//! and `P`, whose first axis are the directions. There is a cell for each direction; the one of
//! the direction `reverse` goes from the last input to the first.
//!
//! Rows: `z, r, h` of the GRU, `i, o, f, c` of the LSTM, `i, o, f` of its peepholes.

use super::{Reader, Weights, gates, inverted, layer};
use crate::nn::{Activation, Gate, Gru, GruResetAfter, Lstm, PeepholeLstm, Rnn};
use crate::{Array, Result};

/// The sizes of an operator.
///
/// # Examples
/// ```
/// use rondeau::{Array, nn::import::{Weights, onnx}};
///
/// let weights = Weights::from([
///     ("W".to_owned(), Array::ones([1, 24, 3])),
///     ("R".to_owned(), Array::ones([1, 24, 8])),
/// ]);
/// let cells = onnx::Operator::new(3, 8).gru(&weights)?;
/// assert_eq!(cells[0].reset.w.shape(), [8, 3]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Operator {
    prefix: String,
    input: usize,
    hidden: usize,
    n_directions: usize,
}

/// The parameters of one direction: the two biases follow each other in ONNX's.
struct Part {
    w: Array,
    u: Array,
    b: Array,
    recurrent: Array,
    peepholes: Array,
}

impl Operator {
    /// One direction.
    pub fn new(input: usize, hidden: usize) -> Operator {
        Operator { prefix: String::new(), input, hidden, n_directions: 1 }
    }

    /// What the names begin with.
    pub fn prefix(mut self, prefix: &str) -> Operator {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// The direction `bidirectional`.
    pub fn bidirectional(mut self) -> Operator {
        self.n_directions = 2;
        self
    }

    /// The cells of `RNN`.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn rnn(&self, weights: &Weights) -> Result<Vec<Rnn>> {
        self.read("onnx's RNN", 1, false, weights, |Part { w, u, b, recurrent, .. }| Rnn {
            gate: Gate { w, u, b: b + recurrent },
            activation: Activation::Tanh,
        })
    }

    /// The cells of `GRU` with `linear_before_reset=0`, the default. Its `z` keeps the old state,
    /// so the update gate is turned around.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn gru(&self, weights: &Weights) -> Result<Vec<Gru>> {
        self.read("onnx's GRU", 3, false, weights, |Part { w, u, b, recurrent, .. }| {
            let [z, reset, candidate] = gates(&w, &u, &(b + recurrent));
            Gru { update: inverted(&z), reset, candidate }
        })
    }

    /// The cells of `GRU` with `linear_before_reset=1`.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn gru_reset_after(&self, weights: &Weights) -> Result<Vec<GruResetAfter>> {
        let name = "onnx's GRU with linear_before_reset=1";
        self.read(name, 3, false, weights, |Part { w, u, b, recurrent, .. }| {
            let [update, reset, candidate] = gates(&w, &u, &(&b + &recurrent));
            let last = 2 * self.hidden..;
            let candidate = Gate { b: b.at(last.clone()), ..candidate };
            GruResetAfter { reset, update, candidate, recurrent_bias: recurrent.at(last) }
        })
    }

    /// The cells of `LSTM` without peepholes.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn lstm(&self, weights: &Weights) -> Result<Vec<Lstm>> {
        self.read("onnx's LSTM", 4, false, weights, |part| lstm(&part))
    }

    /// The cells of `LSTM` with peepholes.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn peephole_lstm(&self, weights: &Weights) -> Result<Vec<PeepholeLstm>> {
        self.read("onnx's LSTM with peepholes", 4, true, weights, |part| {
            let peepholes = part.peepholes.split(3, 0);
            PeepholeLstm {
                lstm: lstm(&part),
                input_peephole: peepholes[0].clone(),
                output_peephole: peepholes[1].clone(),
                forget_peephole: peepholes[2].clone(),
            }
        })
    }

    #[track_caller]
    fn read<C>(
        &self,
        name: &str,
        n_gates: usize,
        has_peepholes: bool,
        weights: &Weights,
        cell: impl Fn(Part) -> C,
    ) -> Result<Vec<C>> {
        let (n, rows) = (self.n_directions, n_gates * self.hidden);
        let mut reader = Reader::new(layer(name, self.input, self.hidden), weights, &self.prefix);
        let w = reader.take("W", [n, rows, self.input]);
        let u = reader.take("R", [n, rows, self.hidden]);
        let b = reader.take_or_zeros("B", [n, 2 * rows]);
        let peepholes = match has_peepholes {
            true => reader.take("P", [n, 3 * self.hidden]),
            false => reader.zeros([n, 0]),
        };
        let part = |direction: usize| Part {
            w: w.at(direction),
            u: u.at(direction),
            b: b.at((direction, ..rows)),
            recurrent: b.at((direction, rows..)),
            peepholes: peepholes.at(direction),
        };
        let cells = (0..n).map(|direction| cell(part(direction))).collect();
        reader.finish(cells)
    }
}

fn lstm(part: &Part) -> Lstm {
    let [input, output, forget, candidate] = gates(&part.w, &part.u, &(&part.b + &part.recurrent));
    Lstm { input, forget, candidate, output }
}
