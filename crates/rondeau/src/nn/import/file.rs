//! Weights in files, by the framework that they are from. Sizes are read off the arrays.

use std::path::Path;

use super::{Weights, equinox, flax, haiku, keras, onnx, torch};
use crate::io::{npz, safetensors};
use crate::nn::{Activation, Gru, GruResetAfter, Lstm, Rnn};
use crate::{Array, Error, Result};

/// A framework whose weights can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Framework {
    Torch,
    Flax,
    Haiku,
    Equinox,
    Keras,
    Onnx,
}

/// The kind of a layer in another framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A plain recurrent layer, with the framework's default activation: tanh, but relu in Haiku.
    Rnn,
    /// A gated recurrent unit; which one, the framework says: that of ONNX by default is the one
    /// that resets before the product.
    Gru,
    /// ONNX's `GRU` with `linear_before_reset=1`; elsewhere the same as [`Kind::Gru`].
    GruResetAfter,
    /// A long short-term memory.
    Lstm,
}

/// A cell that was read.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Imported {
    Rnn(Rnn),
    Gru(Gru),
    GruResetAfter(GruResetAfter),
    Lstm(Lstm),
}

macro_rules! imported {
    ($($cell:ident)*) => {$(
        impl From<$cell> for Imported {
            fn from(cell: $cell) -> Imported {
                Imported::$cell(cell)
            }
        }
    )*};
}
imported!(Rnn Gru GruResetAfter Lstm);

/// All arrays of a file: an `.npz` archive if it is named so, else safetensors.
///
/// # Errors
/// If the file cannot be read, or is not what its name says.
pub fn read(path: impl AsRef<Path>) -> Result<Weights> {
    let path = path.as_ref();
    let record = match path.extension().is_some_and(|end| end == "npz") {
        true => npz::read(path)?,
        false => safetensors::read(path)?,
    };
    Ok(record.arrays().iter().cloned().collect())
}

impl Framework {
    /// The cells of a layer in the framework's own names behind `prefix`: of PyTorch all layers and
    /// directions (see [`torch::Layers`]), of ONNX all directions, elsewhere one.
    ///
    /// # Errors
    /// If the arrays that tell the sizes are missing, with all names that do not fit, and if the
    /// framework has no such layer.
    ///
    /// # Examples
    /// ```
    /// use rondeau::{Array, nn::import::{Framework, Imported, Kind, Weights}};
    ///
    /// let weights = Weights::from([
    ///     ("rnn.weight_ih_l0".to_owned(), Array::ones([24, 3])),
    ///     ("rnn.weight_hh_l0".to_owned(), Array::ones([24, 8])),
    /// ]);
    /// let Err(error) = Framework::Torch.cells(Kind::Lstm, &weights, "rnn.") else { panic!() };
    /// assert!(error.to_string().contains("rnn.weight_ih_l0 is f32[24,3] and must be [32,3]"));
    /// ```
    pub fn cells(self, kind: Kind, weights: &Weights, prefix: &str) -> Result<Vec<Imported>> {
        let given = Given { framework: self, kind, weights, prefix };
        match self {
            Framework::Torch => given.torch(),
            Framework::Onnx => given.onnx(),
            Framework::Flax => given.flax(),
            Framework::Haiku => given.haiku(),
            Framework::Equinox => given.equinox(),
            Framework::Keras => given.keras(),
        }
    }
}

struct Given<'a> {
    framework: Framework,
    kind: Kind,
    weights: &'a Weights,
    prefix: &'a str,
}

fn all<T: Into<Imported>>(cells: Vec<T>) -> Vec<Imported> {
    cells.into_iter().map(Into::into).collect()
}

fn one(cell: impl Into<Imported>) -> Result<Vec<Imported>> {
    Ok(vec![cell.into()])
}

impl Given<'_> {
    /// A mistake of a file: no line of a program is at fault.
    fn fault(&self, fault: String) -> Error {
        let what = format!("a {:?} of {:?}", self.kind, self.framework);
        Error::weights(&what, &[fault])
    }

    fn none<T>(&self) -> Result<T> {
        Err(self.fault("the framework has no such layer that can be read".to_owned()))
    }

    /// The array, which must have so many axes.
    fn array(&self, name: &str, rank: usize) -> Result<&Array> {
        let full = format!("{}{name}", self.prefix);
        match self.weights.get(&full) {
            None => Err(self.fault(format!("{full} is missing"))),
            Some(array) if array.aval()?.rank() != rank => {
                Err(self.fault(format!("{full} is {} and must have {rank} axes", array.describe())))
            }
            Some(array) => Ok(array),
        }
    }

    /// The size of an axis of an array.
    fn size(&self, name: &str, rank: usize, axis: usize) -> Result<usize> {
        Ok(self.array(name, rank)?.shape()[axis])
    }

    fn torch(&self) -> Result<Vec<Imported>> {
        let (input, hidden) = (self.size("weight_ih_l0", 2, 1)?, self.size("weight_hh_l0", 2, 1)?);
        let has = |name: String| self.weights.contains_key(&format!("{}{name}", self.prefix));
        let n = (1..).find(|k| !has(format!("weight_ih_l{k}"))).unwrap_or(1);
        let layers = torch::Layers::new(input, hidden).prefix(self.prefix).layers(n);
        let layers = match has("weight_ih_l0_reverse".to_owned()) {
            true => layers.bidirectional(),
            false => layers,
        };
        Ok(match self.kind {
            Kind::Rnn => all(layers.rnn(self.weights, Activation::Tanh)?),
            Kind::Gru | Kind::GruResetAfter => all(layers.gru(self.weights)?),
            Kind::Lstm => all(layers.lstm(self.weights)?),
        })
    }

    fn onnx(&self) -> Result<Vec<Imported>> {
        let sizes = (self.size("W", 3, 2)?, self.size("R", 3, 2)?);
        let operator = onnx::Operator::new(sizes.0, sizes.1).prefix(self.prefix);
        let operator = match self.size("W", 3, 0)? {
            2 => operator.bidirectional(),
            _ => operator,
        };
        Ok(match self.kind {
            Kind::Rnn => all(operator.rnn(self.weights)?),
            Kind::Gru => all(operator.gru(self.weights)?),
            Kind::GruResetAfter => all(operator.gru_reset_after(self.weights)?),
            Kind::Lstm => all(operator.lstm(self.weights)?),
        })
    }

    fn flax(&self) -> Result<Vec<Imported>> {
        let name = match self.kind {
            Kind::Rnn => "i.kernel",
            Kind::Gru | Kind::GruResetAfter => "ir.kernel",
            Kind::Lstm => "ii.kernel",
        };
        let (input, hidden) = (self.size(name, 2, 0)?, self.size(name, 2, 1)?);
        match self.kind {
            Kind::Rnn => one(flax::simple(self.weights, self.prefix, input, hidden)?),
            Kind::Gru | Kind::GruResetAfter => {
                one(flax::gru(self.weights, self.prefix, input, hidden)?)
            }
            Kind::Lstm => one(flax::lstm(self.weights, self.prefix, input, hidden)?),
        }
    }

    fn haiku(&self) -> Result<Vec<Imported>> {
        match self.kind {
            Kind::Rnn => {
                let sizes = (self.size("linear.w", 2, 0)?, self.size("linear.w", 2, 1)?);
                one(haiku::vanilla(self.weights, self.prefix, sizes.0, sizes.1)?)
            }
            Kind::Gru => {
                let sizes = (self.size("w_i", 2, 0)?, self.size("w_h", 2, 0)?);
                one(haiku::gru(self.weights, self.prefix, sizes.0, sizes.1)?)
            }
            Kind::GruResetAfter => self.none(),
            Kind::Lstm => {
                let hidden = self.size("w", 2, 1)? / 4;
                let input = self.size("w", 2, 0)?.saturating_sub(hidden);
                one(haiku::lstm(self.weights, self.prefix, input, hidden)?)
            }
        }
    }

    fn equinox(&self) -> Result<Vec<Imported>> {
        let (input, hidden) = (self.size("weight_ih", 2, 1)?, self.size("weight_hh", 2, 1)?);
        match self.kind {
            Kind::Rnn => self.none(),
            Kind::Gru | Kind::GruResetAfter => {
                one(equinox::gru(self.weights, self.prefix, input, hidden)?)
            }
            Kind::Lstm => one(equinox::lstm(self.weights, self.prefix, input, hidden)?),
        }
    }

    fn keras(&self) -> Result<Vec<Imported>> {
        let (input, hidden) = (self.size("kernel", 2, 0)?, self.size("recurrent_kernel", 2, 0)?);
        // The GRU that resets after the product has a row of biases for each side of it.
        let bias = self.weights.get(&format!("{}bias", self.prefix));
        let resets_before = bias.is_some_and(|bias| bias.rank() == 1);
        match self.kind {
            Kind::Rnn => one(keras::simple_rnn(self.weights, self.prefix, input, hidden)?),
            Kind::Gru if resets_before => {
                one(keras::gru_reset_before(self.weights, self.prefix, input, hidden)?)
            }
            Kind::Gru | Kind::GruResetAfter => {
                one(keras::gru(self.weights, self.prefix, input, hidden)?)
            }
            Kind::Lstm => one(keras::lstm(self.weights, self.prefix, input, hidden)?),
        }
    }
}
