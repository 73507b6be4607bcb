//! A way around a cell.

use crate::nn::Cell;
use crate::{Array, Tree};

/// A cell whose output is added to its input, which has the same length.
///
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::Residual { cell: nn::Gru::init(&random::key(0), 8, 8) };
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [8]));
/// assert_eq!(y.shape(), [8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Residual<C> {
    /// The cell.
    pub cell: C,
}

impl<C: Cell> Cell for Residual<C> {
    type Carry = C::Carry;

    fn initial_carry(&self) -> C::Carry {
        self.cell.initial_carry()
    }

    fn step(&self, carry: &C::Carry, x: &Array) -> (C::Carry, Array) {
        let (carry, y) = self.cell.step(carry, x);
        (carry, x + y)
    }

    fn input_size(&self) -> Option<usize> {
        self.cell.input_size()
    }
}
