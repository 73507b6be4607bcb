//! Cells that also run in parallel over time.

use super::Cell;
use crate::Array;

/// A cell that is linear in its carry, so that all steps can be computed at once.
pub trait Parallel: Cell {
    /// What [`run`](crate::nn::run) computes, in a logarithmic number of rounds over all steps
    /// instead of one step after another. It needs at least one step.
    ///
    /// # Shapes
    /// `xs: [time, input]` → `[time, ..]`.
    fn run_parallel(&self, carry: &Self::Carry, xs: &Array) -> (Self::Carry, Array);
}
