//! Cells of recurrent models, and what is made of them.
//!
//! A cell is a struct of parameters with one step; see [`Cell`]. [`run`] makes a sequence model of
//! it, [`run_batch`] one of many sequences. Everything here is written with what users can call,
//! so a cell of your own is as good as these: it has the same compiled loop and the same
//! gradients.
//!
//! Weights are `[outputs, inputs]`, vectors `[size]`, sequences `[time, ..]` and batches
//! `[batch, time, ..]`. `init` takes a key and makes f32 parameters; [`cast`] converts them.
//!
//! | Cells | |
//! |---|---|
//! | [`Rnn`], [`IndRnn`] | without gates |
//! | [`Gru`], [`GruResetAfter`], [`LayerNormGru`], [`Mgu`], [`MguResetAfter`] | gated units |
//! | [`Lstm`], [`PeepholeLstm`], [`ProjectedLstm`], [`LayerNormLstm`], [`SLstm`] | with a memory |
//! | [`MinGru`], [`MinLstm`], [`Lru`], [`S5`], [`SelectiveSsm`] | also parallel over time ([`Parallel`]) |
//!
//! Tuples and vectors of cells are stacks; [`Residual`], [`Projection`], [`Dropout`],
//! [`VariationalDropout`] and [`Zoneout`] are cells around a cell; [`Bidirectional`] goes both ways.
//! [`Linear`], [`Embedding`], [`LayerNorm`], [`RmsNorm`] and [`Activation`] are layers, and cells
//! without a carry. [`loss`] has losses, [`init`] initial weights, [`import`] the weights of other
//! frameworks.
//!
//! # Examples
//! ```
//! use rondeau::{Array, nn, nn::Cell, nn::loss, random, value_and_grad};
//!
//! // Two layers and a read-out, as one cell.
//! type Model = (nn::Gru, nn::Lstm, nn::Linear);
//! let keys = random::split(&random::key(0), 3);
//! let model: Model = (
//!     nn::Gru::init(&keys.at(0), 3, 8),
//!     nn::Lstm::init(&keys.at(1), 8, 8),
//!     nn::Linear::init(&keys.at(2), 8, 1),
//! );
//!
//! let error = |model: &Model, xs: &Array, ys: &Array| {
//!     let (_, predicted) = nn::run(model, &model.initial_carry(), xs);
//!     loss::mse(&predicted, ys)
//! };
//! let xs = random::normal(&random::key(1), [20, 3]);
//! let ys = xs.sum_axis(-1).expand_dims(-1);
//! let (error, gradient) = value_and_grad(error).call(&model, &xs, &ys)?;
//! assert!(error.item::<f32>()? > 0.0);
//! assert_eq!(gradient.1.forget.w.shape(), [8, 8]);
//! # Ok::<(), rondeau::Error>(())
//! ```

mod activation;
mod cell;
mod cells;
mod gate;
pub mod import;
pub mod init;
mod layers;
pub mod loss;
mod parallel;
mod recurrence;
mod run;
mod wrappers;

pub use activation::Activation;
pub use cell::Cell;
pub use cells::*;
pub use gate::Gate;
pub use layers::*;
pub use parallel::Parallel;
pub use recurrence::{Complex, complex_recurrence, linear_recurrence};
pub use run::{
    flip_length, initial_carries, run, run_batch, run_lengths, run_masked, run_resets, run_reverse,
    run_with,
};
pub use wrappers::*;

use crate::{Array, DType, Tree, tree};

/// The tree with its floats converted to another type, such as parameters to f64.
///
/// # Examples
/// ```
/// use rondeau::{DType, nn, random};
///
/// let cell = nn::cast(&nn::Gru::init(&random::key(0), 3, 4), DType::F64);
/// assert_eq!(cell.update.w.dtype(), DType::F64);
/// ```
#[track_caller]
pub fn cast<T: Tree>(tree: &T, dtype: DType) -> T {
    tree::map(tree, |leaf: &Array| match leaf.dtype().is_float() {
        true => leaf.to(dtype),
        false => leaf.clone(),
    })
}
