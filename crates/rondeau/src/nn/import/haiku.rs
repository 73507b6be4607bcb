//! Haiku's cores. `prefix` ends where the parameter's name begins, as in `gru.` for `gru.w_i`.

use super::{Reader, Weights, gates, layer};
use crate::Result;
use crate::nn::{Activation, Gate, Gru, Lstm, Rnn};

/// `VanillaRNN`, with or without its second bias: `linear.w`, `linear.b`, `linear_1.w`,
/// `linear_1.b`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn vanilla(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Rnn> {
    let mut reader = Reader::new(layer("haiku's VanillaRNN", input, hidden), weights, prefix);
    let gate = Gate {
        w: reader.take("linear.w", [input, hidden]).t(),
        u: reader.take("linear_1.w", [hidden, hidden]).t(),
        b: reader.take("linear.b", [hidden]) + reader.take_or_zeros("linear_1.b", [hidden]),
    };
    reader.finish(Rnn { gate, activation: Activation::Relu })
}

/// `GRU`: `w_i: [input, 3·hidden]`, `w_h`, `b`, with the columns `z, r, a`.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn gru(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Gru> {
    let mut reader = Reader::new(layer("haiku's GRU", input, hidden), weights, prefix);
    let w = reader.take("w_i", [input, 3 * hidden]).t();
    let u = reader.take("w_h", [hidden, 3 * hidden]).t();
    let [update, reset, candidate] = gates(&w, &u, &reader.take("b", [3 * hidden]));
    reader.finish(Gru { update, reset, candidate })
}

/// `LSTM`: the parameters `w: [input + hidden, 4·hidden]` and `b` of its linear part, with the
/// columns `i, g, f, o`. The 1 that Haiku adds to the forget gate becomes part of the bias.
///
/// # Errors
/// [`Error`](crate::Error) with all names that do not fit.
#[track_caller]
pub fn lstm(weights: &Weights, prefix: &str, input: usize, hidden: usize) -> Result<Lstm> {
    let mut reader = Reader::new(layer("haiku's LSTM", input, hidden), weights, prefix);
    let both = reader.take("w", [input + hidden, 4 * hidden]);
    let (w, u) = (both.at(..input).t(), both.at(input..).t());
    let [write, candidate, forget, output] = gates(&w, &u, &reader.take("b", [4 * hidden]));
    let forget = Gate { b: &forget.b + 1.0, ..forget };
    reader.finish(Lstm { input: write, forget, candidate, output })
}
