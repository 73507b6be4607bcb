//! A read-out behind a cell.

use crate::nn::{Cell, Linear};
use crate::{Array, Tree};

/// A cell whose output goes through an affine map; its carry does not.
///
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let [cell, readout] = random::split2(&random::key(0));
/// let model = nn::Projection {
///     cell: nn::Gru::init(&cell, 3, 8),
///     projection: nn::Linear::init(&readout, 8, 2),
/// };
/// let xs = random::normal(&random::key(1), [10, 3]);
/// assert_eq!(nn::run(&model, &model.initial_carry(), &xs).1.shape(), [10, 2]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Projection<C> {
    /// The cell.
    pub cell: C,
    /// What its output goes through.
    pub projection: Linear,
}

impl<C: Cell> Cell for Projection<C> {
    type Carry = C::Carry;

    fn initial_carry(&self) -> C::Carry {
        self.cell.initial_carry()
    }

    fn step(&self, carry: &C::Carry, x: &Array) -> (C::Carry, Array) {
        let (carry, y) = self.cell.step(carry, x);
        (carry, self.projection.of(&y))
    }

    fn input_size(&self) -> Option<usize> {
        self.cell.input_size()
    }
}
