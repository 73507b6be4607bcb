//! Training: batches, validation, checkpoints and logs around a compiled update.
//!
//! [`Trainer`] runs an update `(params, optimizer, batch, key) → (params, optimizer, metrics)` over
//! shuffled batches, judges each epoch, and keeps the best parameters. All that changes during a
//! run is one value: parameters, the optimizer's state with its schedule, the position in the data,
//! the metrics so far. Random keys are functions of the run's key and the number of the step. So a
//! run that was killed at any moment and is gone on with from a checkpoint ends with the same bits
//! as one that was not.
//!
//! Written with the public operations alone. Besides [`io`](crate::io) it is the room that touches
//! files and the clock, for its logs.

mod data;
mod events;
mod log;
mod state;
mod stop;
#[cfg(test)]
mod tests;
mod trainer;

pub use data::{Data, Rows};
pub use events::EventWriter;
pub use stop::Stop;
pub use trainer::{Ended, Epoch, Observer, Plan, StepDone, Trained, Trainer};
