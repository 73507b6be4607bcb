//! What leaves the library: a step as a source file of Rust or C that needs nothing else, or as an
//! ONNX model.
//!
//! A step `(parameters, carry, x) -> (carry, y)` is traced and optimized, all that its parameters
//! determine is computed, and what is left is written in the target's language, primitive by
//! primitive: a target has an answer for each of them, if only that it cannot express it.
//!
//! Like `compile`, this room *must not know* derivatives, nor how a step was made.
//!
//! # Examples
//! ```
//! use rondeau::{Array, export};
//!
//! fn step(rate: &Array, average: &Array, x: &Array) -> (Array, Array) {
//!     let average = average + rate * (x - average);
//!     (average.clone(), average)
//! }
//!
//! let (rate, start) = (Array::from(0.5_f32), Array::zeros([2]));
//! let text = export::rust(step, &rate, &start, &start)?;
//! assert!(text.contains("pub fn step(s: &mut State, x: &[f32; 2], y: &mut [f32; 2])"));
//! # Ok::<(), rondeau::Error>(())
//! ```

mod onnx;
mod source;
mod step;
#[cfg(test)]
mod tests;

use crate::api::Function;
use crate::error::Result;
use crate::tree::Tree;
pub use onnx::{Layer, onnx_layers};
use source::Lang;
use step::Step;

/// A step with its parameters, ready to be written in another language.
#[derive(Clone, Debug)]
pub struct Model {
    step: Step,
    name: String,
}

impl Model {
    /// Traces a step `(parameters, carry, x) -> (carry, y)` for inputs of the type of `x`. The model
    /// starts with this carry.
    ///
    /// # Errors
    /// The first mistake that the step makes, and a carry that leaves with another type than it has
    /// entered.
    pub fn new<P, C, X, Y, F>(step: F, params: &P, carry: &C, x: &X) -> Result<Model>
    where
        P: Tree,
        C: Tree,
        X: Tree,
        Y: Tree,
        F: Function<(P, C, X), Output = (C, Y)>,
    {
        Ok(Model { step: Step::trace(&step, params, carry, x)?, name: "rondeau".to_owned() })
    }

    /// What the functions of C begin with, and messages call it; `rondeau` if nothing is said.
    /// What is no letter, digit or `_` becomes `_`.
    pub fn name(mut self, name: &str) -> Model {
        let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        self.name = name.chars().map(fits).collect();
        if !self.name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.name.insert(0, 'm');
        }
        self
    }

    /// A module of Rust, of the editions 2021 and 2024, without `std`, allocation or dependencies:
    /// the constants, `State` (all memory that a step needs), `state_init()`, and
    /// `step(&mut State, x.., y..)` with an argument for each leaf of `x` and of `y`.
    ///
    /// The functions of floats are in the file, and agree with the library's to a few units in the
    /// last place; powers of f64, and sines of arguments beyond a million, are less exact.
    /// `debug_print` is left out.
    ///
    /// # Errors
    /// If a primitive has no form there; it is named.
    pub fn rust(&self) -> Result<String> {
        source::source(Lang::Rust, &self.name, &self.step)
    }

    /// The same as a file of C99, with the names `NAME_state`, `NAME_state_init`, `NAME_step`. The
    /// functions of floats are those of the library of mathematics (`-lm`).
    ///
    /// # Errors
    /// If a primitive has no form there; it is named.
    pub fn c(&self) -> Result<String> {
        source::source(Lang::C, &self.name, &self.step)
    }

    /// A model of ONNX (operators of set 18): a `Scan` whose body is the step.
    ///
    /// It takes `xs` (of a struct `xs.field`) with a leading axis `time`, and `carry`, which is that
    /// of the model if it is not given; it returns `last`, the carry after the last step, and `ys`.
    /// So it runs whole sequences, or one step after the other.
    ///
    /// # Errors
    /// If a primitive has no form there; it is named.
    pub fn onnx(&self) -> Result<Vec<u8>> {
        onnx::onnx(&self.name, &self.step)
    }
}

/// A step as a model of ONNX; see [`Model::onnx`].
///
/// # Errors
/// As [`Model::new`] and [`Model::onnx`].
pub fn onnx<P, C, X, Y, F>(step: F, params: &P, carry: &C, x: &X) -> Result<Vec<u8>>
where
    P: Tree,
    C: Tree,
    X: Tree,
    Y: Tree,
    F: Function<(P, C, X), Output = (C, Y)>,
{
    Model::new(step, params, carry, x)?.onnx()
}

/// A step as a module of Rust; see [`Model::rust`].
///
/// # Errors
/// As [`Model::new`] and [`Model::rust`].
pub fn rust<P, C, X, Y, F>(step: F, params: &P, carry: &C, x: &X) -> Result<String>
where
    P: Tree,
    C: Tree,
    X: Tree,
    Y: Tree,
    F: Function<(P, C, X), Output = (C, Y)>,
{
    Model::new(step, params, carry, x)?.rust()
}

/// A step as a file of C; see [`Model::c`].
///
/// # Errors
/// As [`Model::new`] and [`Model::c`].
pub fn c<P, C, X, Y, F>(step: F, params: &P, carry: &C, x: &X) -> Result<String>
where
    P: Tree,
    C: Tree,
    X: Tree,
    Y: Tree,
    F: Function<(P, C, X), Output = (C, Y)>,
{
    Model::new(step, params, carry, x)?.c()
}
