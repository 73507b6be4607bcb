//! Keras's layers: `kernel: [input, gates·hidden]`, `recurrent_kernel`, `bias`.

use super::{Reader, Weights, gates, inverted, layer};
use crate::nn::{Activation, Gate, Gru, GruResetAfter, Lstm, Rnn};
use crate::{Array, Result};

/// The weights of `n` gates with their rows first.
fn parts(reader: &mut Reader<'_>, n: usize, input: usize, hidden: usize) -> (Array, Array) {
    let w = reader.take("kernel", [input, n * hidden]).t();
    (w, reader.take("recurrent_kernel", [hidden, n * hidden]).t())
}

/// `SimpleRNN` with tanh.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn simple_rnn(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Rnn> {
    let mut reader = Reader::new(layer("keras's SimpleRNN", input, hidden), weights, prefix);
    let (w, u) = parts(&mut reader, 1, input, hidden);
    let gate = Gate { w, u, b: reader.take_or_zeros("bias", [hidden]) };
    reader.finish(Rnn { gate, activation: Activation::Tanh })
}

/// `GRU(reset_after=False)`, with the columns `z, r, h`. Its `z` keeps the old state, so the update
/// gate is turned around.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn gru_reset_before(
    weights: &Weights,
    prefix: &str,
    input: usize,
    hidden: usize,
) -> Result<Gru> {
    let name = layer("keras's GRU(reset_after=False)", input, hidden);
    let mut reader = Reader::new(name, weights, prefix);
    let (w, u) = parts(&mut reader, 3, input, hidden);
    let [z, reset, candidate] = gates(&w, &u, &reader.take_or_zeros("bias", [3 * hidden]));
    reader.finish(Gru { update: inverted(&z), reset, candidate })
}

/// `GRU` as it is by default, with `reset_after=True` and the columns `z, r, h`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn gru(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<GruResetAfter> {
    let mut reader = Reader::new(layer("keras's GRU", input, hidden), weights, prefix);
    let (w, u) = parts(&mut reader, 3, input, hidden);
    let both = reader.take_or_zeros("bias", [2, 3 * hidden]);
    let (b, recurrent) = (both.at(0), both.at(1));
    let [update, reset, candidate] = gates(&w, &u, &(&b + &recurrent));
    let last = 2 * hidden..;
    let candidate = Gate { b: b.at(last.clone()), ..candidate };
    let cell = GruResetAfter { reset, update, candidate, recurrent_bias: recurrent.at(last) };
    reader.finish(cell)
}

/// `LSTM`, with the columns `i, f, c, o`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn lstm(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Lstm> {
    let mut reader = Reader::new(layer("keras's LSTM", input, hidden), weights, prefix);
    let (w, u) = parts(&mut reader, 4, input, hidden);
    let b = reader.take_or_zeros("bias", [4 * hidden]);
    let [write, forget, candidate, output] = gates(&w, &u, &b);
    reader.finish(Lstm { input: write, forget, candidate, output })
}
