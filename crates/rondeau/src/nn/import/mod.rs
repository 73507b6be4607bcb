//! The weights of other frameworks' recurrent layers, as cells.
//!
//! Each function takes arrays by the names that the framework gives them, and makes the cell that
//! computes the same: gates are put in order, matrices transposed, biases added, and an update gate
//! that keeps the old state is turned around where the cell's own takes the new one. They are made
//! of array operations, so they can also be differentiated through. All names that are missing, not
//! expected or of another shape are told at once.
//!
//! `prefix` is what the names of the layer begin with, such as `encoder.rnn.`; other names are left
//! alone. A bias that the layer does not have becomes zeros, which training would change.
//!
//! | Framework | Layers |
//! |---|---|
//! | [`torch`] | `RNN`, `GRU`, `LSTM`, with layers, directions and projections |
//! | [`flax`] | `SimpleCell`, `GRUCell`, `MGUCell`, `LSTMCell`, `OptimizedLSTMCell` |
//! | [`haiku`] | `VanillaRNN`, `GRU`, `LSTM` |
//! | [`equinox`] | `GRUCell`, `LSTMCell` |
//! | [`keras`] | `SimpleRNN`, `GRU` with `reset_after` either way, `LSTM` |
//! | [`onnx`] | `RNN`, `GRU` with `linear_before_reset` either way, `LSTM` with peepholes |
//!
//! [`read`] takes the arrays of a file, and [`Framework`] makes cells of them with sizes read off.
//!
//! # Examples
//! ```
//! use rondeau::{Array, nn::import};
//!
//! let weights = import::Weights::from([
//!     ("rnn.weight_ih_l0".to_owned(), Array::zeros([24, 3])),
//!     ("rnn.weight_hh_l0".to_owned(), Array::zeros([24, 8])),
//!     ("rnn.bias_ih_l0".to_owned(), Array::zeros([16])),
//! ]);
//! let layer = import::torch::Layers::new(3, 8).prefix("rnn.");
//! let Err(error) = layer.gru(&weights) else { panic!("a bias is missing, one too short") };
//! assert_eq!(
//!     error.to_string().lines().take(3).collect::<Vec<_>>(),
//!     [
//!         "the weights are not those of torch's GRU with 3 inputs and a state of 8",
//!         "  rnn.bias_ih_l0 is f32[16] and must be [24]",
//!         "  rnn.bias_hh_l0 is missing; its shape is [24]",
//!     ],
//! );
//! ```

pub mod equinox;
mod file;
pub mod flax;
pub mod haiku;
pub mod keras;
pub mod onnx;
pub mod torch;

pub use file::{Framework, Imported, Kind, read};

use std::collections::{BTreeMap, BTreeSet};

use super::Gate;
use crate::{Array, DType, Error, Result, Shape};

/// Arrays by name, as a file of weights has them.
pub type Weights = BTreeMap<String, Array>;

/// Takes arrays out of weights, and notes what does not fit. For loaders of your own, too.
///
/// # Examples
/// ```
/// use rondeau::{Array, nn, nn::import::{Reader, Weights}};
///
/// fn dense(weights: &Weights, input: usize, output: usize) -> rondeau::Result<nn::Linear> {
///     let mut reader = Reader::new("a dense layer", weights, "head.");
///     let layer = nn::Linear {
///         weight: reader.take("kernel", [input, output]).t(),
///         bias: reader.take("bias", [output]),
///     };
///     reader.finish(layer)
/// }
///
/// let weights = Weights::from([("head.kernel".to_owned(), Array::zeros([3, 2]))]);
/// let Err(error) = dense(&weights, 3, 2) else { panic!("there is no bias") };
/// assert!(error.to_string().contains("head.bias is missing"));
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    what: String,
    weights: &'a Weights,
    prefix: String,
    taken: BTreeSet<String>,
    faults: Vec<String>,
    dtype: DType,
}

impl<'a> Reader<'a> {
    /// A reader of the names that begin with `prefix`. Messages call the layer `what`.
    pub fn new(what: impl Into<String>, weights: &'a Weights, prefix: &str) -> Reader<'a> {
        let below = weights.iter().find(|(name, _)| name.starts_with(prefix));
        Reader {
            what: what.into(),
            weights,
            prefix: prefix.to_owned(),
            taken: BTreeSet::new(),
            faults: vec![],
            dtype: below.map_or(DType::F32, |(_, array)| array.dtype()),
        }
    }

    /// The array of this name (after the prefix), which must have this shape; zeros in its place
    /// if it is not there.
    pub fn take(&mut self, name: &str, shape: impl Into<Shape>) -> Array {
        let shape = shape.into();
        self.take_if_there(name, shape.clone()).unwrap_or_else(|| {
            self.faults.push(format!("{}{name} is missing; its shape is {shape}", self.prefix));
            self.zeros(shape)
        })
    }

    /// [`Reader::take`], but zeros without complaint if there is no such name.
    pub fn take_or_zeros(&mut self, name: &str, shape: impl Into<Shape>) -> Array {
        let shape = shape.into();
        self.take_if_there(name, shape.clone()).unwrap_or_else(|| self.zeros(shape))
    }

    fn take_if_there(&mut self, name: &str, shape: Shape) -> Option<Array> {
        let full = format!("{}{name}", self.prefix);
        let array = self.weights.get(&full)?;
        self.taken.insert(full.clone());
        if array.error().is_none() && *array.shape() != *shape {
            self.faults.push(format!("{full} is {} and must be {shape}", array.describe()));
            return Some(self.zeros(shape));
        }
        Some(array.clone())
    }

    /// Whether there is an array of this name.
    pub fn has(&self, name: &str) -> bool {
        self.weights.contains_key(&format!("{}{name}", self.prefix))
    }

    /// Zeros of the weights' element type.
    pub fn zeros(&self, shape: impl Into<Shape>) -> Array {
        Array::zeros(shape).to(self.dtype)
    }

    /// What was made of the arrays.
    ///
    /// # Errors
    /// [`Error`] with all names that are missing, not expected or of another shape.
    #[track_caller]
    pub fn finish<T>(mut self, made: T) -> Result<T> {
        let below = self.weights.keys().filter(|name| name.starts_with(&self.prefix));
        let unexpected = below.filter(|name| !self.taken.contains(*name));
        self.faults.extend(unexpected.map(|name| format!("{name} is not expected")));
        match self.faults.is_empty() {
            true => Ok(made),
            false => {
                Err(Error::weights(&self.what, &self.faults).at(std::panic::Location::caller()))
            }
        }
    }
}

/// Gates of weights and biases whose rows follow each other, `hidden` for each.
fn gates<const N: usize>(w: &Array, u: &Array, b: &Array) -> [Gate; N] {
    let [w, u, b] = [w, u, b].map(|rows| rows.split(N, 0));
    std::array::from_fn(|i| Gate { w: w[i].clone(), u: u[i].clone(), b: b[i].clone() })
}

/// The gate that is open where this one is closed: `σ(-s) = 1 - σ(s)`.
fn inverted(gate: &Gate) -> Gate {
    Gate { w: -&gate.w, u: -&gate.u, b: -&gate.b }
}

/// What messages call a layer.
fn layer(name: &str, input: usize, hidden: usize) -> String {
    format!("{name} with {input} inputs and a state of {hidden}")
}
