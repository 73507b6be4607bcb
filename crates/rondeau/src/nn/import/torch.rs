//! PyTorch's `nn.RNN`, `nn.GRU`, `nn.LSTM`, by the names of their `state_dict`.
//!
//! Rows of the weights: `r, z, n` of the GRU, `i, f, g, o` of the LSTM.

use super::{Reader, Weights, gates, layer};
use crate::nn::{Activation, Gate, GruResetAfter, Lstm, ProjectedLstm, Rnn};
use crate::{Array, Result};

/// A recurrent module: its sizes, and which of its layers there are.
///
/// The cells come in the order of PyTorch's `h_n`: the layers from below, of each layer the way
/// forward and then the way back. With directions, a layer above the first takes both outputs.
///
/// # Examples
/// ```
/// use rondeau::{Array, nn::import::{Weights, torch}};
///
/// let weights = Weights::from([
///     ("weight_ih_l0".to_owned(), Array::ones([24, 3])),
///     ("weight_hh_l0".to_owned(), Array::ones([24, 8])),
///     ("bias_ih_l0".to_owned(), Array::zeros([24])),
///     ("bias_hh_l0".to_owned(), Array::zeros([24])),
/// ]);
/// let cells = torch::Layers::new(3, 8).gru(&weights)?;
/// assert_eq!(cells[0].reset.w.shape(), [8, 3]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layers {
    prefix: String,
    input: usize,
    hidden: usize,
    projection: Option<usize>,
    n_layers: usize,
    bidirectional: bool,
}

/// The parameters of one layer and direction.
struct Part {
    w: Array,
    u: Array,
    b_ih: Array,
    b_hh: Array,
    projection: Option<Array>,
}

impl Layers {
    /// One layer, forward.
    pub fn new(input: usize, hidden: usize) -> Layers {
        Layers {
            prefix: String::new(),
            input,
            hidden,
            projection: None,
            n_layers: 1,
            bidirectional: false,
        }
    }

    /// What the names begin with.
    pub fn prefix(mut self, prefix: &str) -> Layers {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// `num_layers`.
    pub fn layers(mut self, n: usize) -> Layers {
        self.n_layers = n;
        self
    }

    /// `bidirectional=True`.
    pub fn bidirectional(mut self) -> Layers {
        self.bidirectional = true;
        self
    }

    /// `proj_size`, of an LSTM.
    pub fn projection(mut self, size: usize) -> Layers {
        self.projection = Some(size);
        self
    }

    /// The cells of an `nn.GRU`.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn gru(&self, weights: &Weights) -> Result<Vec<GruResetAfter>> {
        self.read("torch's GRU", 3, weights, |part| {
            let hidden = self.hidden;
            // Both biases of the gates are added; the candidate's act on both sides of the reset.
            let recurrent_bias = part.b_hh.at(2 * hidden..);
            let sum = &part.b_ih + &part.b_hh;
            let [reset, update, candidate] = gates(&part.w, &part.u, &sum);
            let candidate = Gate { b: part.b_ih.at(2 * hidden..), ..candidate };
            GruResetAfter { reset, update, candidate, recurrent_bias }
        })
    }

    /// The cells of an `nn.LSTM` without projection.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn lstm(&self, weights: &Weights) -> Result<Vec<Lstm>> {
        self.read("torch's LSTM", 4, weights, |part| lstm(&part))
    }

    /// The cells of an `nn.LSTM` with `proj_size`.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn projected_lstm(&self, weights: &Weights) -> Result<Vec<ProjectedLstm>> {
        let whole = self.clone().projection(self.projection.unwrap_or(self.hidden));
        whole.read("torch's LSTM with a projection", 4, weights, |part| ProjectedLstm {
            lstm: lstm(&part),
            projection: part.projection.clone().unwrap_or_else(|| Array::zeros([0, 0])),
        })
    }

    /// The cells of an `nn.RNN`, whose `nonlinearity` is in no weight.
    ///
    /// # Errors
    /// [`Error`](crate::Error) with all names that do not fit.
    #[track_caller]
    pub fn rnn(&self, weights: &Weights, activation: Activation) -> Result<Vec<Rnn>> {
        self.read("torch's RNN", 1, weights, |part| {
            let [gate] = gates(&part.w, &part.u, &(&part.b_ih + &part.b_hh));
            Rnn { gate, activation }
        })
    }

    #[track_caller]
    fn read<C>(
        &self,
        name: &str,
        n_gates: usize,
        weights: &Weights,
        cell: impl Fn(Part) -> C,
    ) -> Result<Vec<C>> {
        let mut reader = Reader::new(layer(name, self.input, self.hidden), weights, &self.prefix);
        let has_bias = weights.keys().any(|key| key.starts_with(&format!("{}bias_", self.prefix)));
        let directions = if self.bidirectional { ["", "_reverse"].as_slice() } else { &[""] };
        let rows = n_gates * self.hidden;
        let state = self.projection.unwrap_or(self.hidden);
        let mut cells = Vec::new();
        for k in 0..self.n_layers {
            let input = if k == 0 { self.input } else { state * directions.len() };
            for direction in directions {
                let mut take = |part: &str, shape: &[usize]| {
                    let name = format!("{part}_l{k}{direction}");
                    match has_bias || !part.starts_with("bias") {
                        true => reader.take(&name, shape),
                        false => reader.zeros(shape),
                    }
                };
                cells.push(cell(Part {
                    w: take("weight_ih", &[rows, input]),
                    u: take("weight_hh", &[rows, state]),
                    b_ih: take("bias_ih", &[rows]),
                    b_hh: take("bias_hh", &[rows]),
                    projection: self.projection.map(|n| take("weight_hr", &[n, self.hidden])),
                }));
            }
        }
        reader.finish(cells)
    }
}

fn lstm(part: &Part) -> Lstm {
    let [input, forget, candidate, output] = gates(&part.w, &part.u, &(&part.b_ih + &part.b_hh));
    Lstm { input, forget, candidate, output }
}
