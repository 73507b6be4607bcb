//! Optimizers: gradients in, updates out, all of them trees of the parameters' structure.
//!
//! An [`Optimizer`] is a value without state; the state is a tree of its own, so that a whole step
//! (gradient, clipping, optimizer) is one function to be compiled, and can be a step of a scan or
//! saved like any other tree. A tuple of optimizers is a chain: each takes the updates of the one
//! before. Learning rates are numbers or [`Schedule`]s of the count of steps, which is an i32 of
//! the state and is computed with in f64.
//!
//! The numbers are those of optax.
//!
//! # Examples
//! ```
//! use rondeau::{Array, jit, nn, nn::Cell, nn::loss, optim, random, value_and_grad};
//! use optim::Optimizer;
//!
//! type Model = (nn::Gru, nn::Linear);
//! let keys = random::split(&random::key(0), 3);
//! let mut model: Model =
//!     (nn::Gru::init(&keys.at(0), 2, 8), nn::Linear::init(&keys.at(1), 8, 1));
//! let error = |model: &Model, xs: &Array, ys: &Array| {
//!     loss::mse(&nn::run(model, &model.initial_carry(), xs).1, ys)
//! };
//!
//! // Gradient, clipping, optimizer: one compiled function.
//! let optimizer = (optim::clip_by_global_norm(1.0), optim::adam(0.01));
//! let step = jit(optim::training_step(error, optimizer.clone()));
//!
//! let xs = random::normal(&keys.at(2), [20, 2]);
//! let ys = xs.at((.., ..1)).cumsum(0);
//! let mut state = optimizer.init(&model);
//! let mut losses = vec![];
//! for _ in 0..50 {
//!     let (next, next_state, loss) = step.call(&model, &state, &xs, &ys)?;
//!     (model, state) = (next, next_state);
//!     losses.push(loss.item::<f32>()?);
//! }
//! assert!(losses[49] < 0.5 * losses[0]);
//! # Ok::<(), rondeau::Error>(())
//! ```

mod accumulate;
mod adam;
mod clip;
mod decay;
mod ema;
mod lion;
mod optimizer;
mod plateau;
pub mod schedule;
mod sgd;
mod squares;

pub use accumulate::{Accumulate, AccumulateState, accumulate};
pub use adam::{Adam, AdamState, adam, adamw, nadam};
pub use clip::{ClipByGlobalNorm, ClipByValue, clip_by_global_norm, clip_by_value, global_norm};
pub use decay::{AddDecay, Decay, add_decay};
pub use ema::{Ema, EmaState};
pub use lion::{Lion, LionState, lion};
pub use optimizer::{Optimizer, StateOf, apply, training_step};
pub use plateau::{Plateau, PlateauState};
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdState, sgd};
pub use squares::{Adagrad, AdagradState, RmsProp, RmsPropState, adagrad, rmsprop};
