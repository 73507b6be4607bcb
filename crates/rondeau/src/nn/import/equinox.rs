//! Equinox's cells: `weight_ih`, `weight_hh`, `bias` and `bias_n`.

use super::{Reader, Weights, gates, layer};
use crate::Result;
use crate::nn::{GruResetAfter, Lstm};

/// `GRUCell`, with the rows `r, z, n`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn gru(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<GruResetAfter> {
    let mut reader = Reader::new(layer("equinox's GRUCell", input, hidden), weights, prefix);
    let w = reader.take("weight_ih", [3 * hidden, input]);
    let u = reader.take("weight_hh", [3 * hidden, hidden]);
    let [reset, update, candidate] = gates(&w, &u, &reader.take_or_zeros("bias", [3 * hidden]));
    let recurrent_bias = reader.take_or_zeros("bias_n", [hidden]);
    reader.finish(GruResetAfter { reset, update, candidate, recurrent_bias })
}

/// `LSTMCell`, with the rows `i, f, g, o`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn lstm(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Lstm> {
    let mut reader = Reader::new(layer("equinox's LSTMCell", input, hidden), weights, prefix);
    let w = reader.take("weight_ih", [4 * hidden, input]);
    let u = reader.take("weight_hh", [4 * hidden, hidden]);
    let b = reader.take_or_zeros("bias", [4 * hidden]);
    let [write, forget, candidate, output] = gates(&w, &u, &b);
    reader.finish(Lstm { input: write, forget, candidate, output })
}
