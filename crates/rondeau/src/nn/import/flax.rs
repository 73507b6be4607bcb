//! Flax's cells, by the names `<gate>.kernel` and `<gate>.bias`. Kernels are `[input, hidden]`.

use super::{Reader, Weights, layer};
use crate::nn::{Activation, Gate, GruResetAfter, Lstm, MguResetAfter, Rnn};
use crate::{Array, Result};

/// Takes the parts of cells of one size.
struct Parts<'a> {
    reader: Reader<'a>,
    input: usize,
    hidden: usize,
}

impl Parts<'_> {
    fn new<'a>(
        name: &str,
        weights: &'a Weights,
        prefix: &str,
        input: usize,
        hidden: usize,
    ) -> Parts<'a> {
        let name = layer(&format!("flax's {name}"), input, hidden);
        Parts { reader: Reader::new(name, weights, prefix), input, hidden }
    }

    fn bias(&mut self, name: &str) -> Array {
        self.reader.take(&format!("{name}.bias"), [self.hidden])
    }

    /// A gate whose bias is with the part named by `bias`.
    fn gate(&mut self, w: &str, u: &str, bias: &str) -> Gate {
        let hidden = self.hidden;
        Gate {
            w: self.reader.take(&format!("{w}.kernel"), [self.input, hidden]).t(),
            u: self.reader.take(&format!("{u}.kernel"), [hidden, hidden]).t(),
            b: self.bias(bias),
        }
    }
}

/// `SimpleCell`, with tanh and without `residual`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn simple(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Rnn> {
    let mut parts = Parts::new("SimpleCell", weights, prefix, input, hidden);
    let gate = parts.gate("i", "h", "i");
    parts.reader.finish(Rnn { gate, activation: Activation::Tanh })
}

/// `GRUCell`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn gru(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<GruResetAfter> {
    let mut parts = Parts::new("GRUCell", weights, prefix, input, hidden);
    let cell = GruResetAfter {
        reset: parts.gate("ir", "hr", "ir"),
        update: parts.gate("iz", "hz", "iz"),
        candidate: parts.gate("in", "hn", "in"),
        recurrent_bias: parts.bias("hn"),
    };
    parts.reader.finish(cell)
}

/// `MGUCell` with its reset gate.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn mgu(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<MguResetAfter> {
    let mut parts = Parts::new("MGUCell", weights, prefix, input, hidden);
    let cell = MguResetAfter {
        forget: parts.gate("if", "hf", "if"),
        candidate: parts.gate("in", "hn", "in"),
        recurrent_bias: parts.bias("hn"),
    };
    parts.reader.finish(cell)
}

/// `LSTMCell` and `OptimizedLSTMCell`, whose parameters are the same.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn lstm(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Lstm> {
    let mut parts = Parts::new("LSTMCell", weights, prefix, input, hidden);
    let cell = Lstm {
        input: parts.gate("ii", "hi", "hi"),
        forget: parts.gate("if", "hf", "hf"),
        candidate: parts.gate("ig", "hg", "hg"),
        output: parts.gate("io", "ho", "ho"),
    };
    parts.reader.finish(cell)
}
