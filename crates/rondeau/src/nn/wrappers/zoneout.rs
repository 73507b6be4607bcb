//! Keeping parts of the state at random while training.

use super::dropout::kept;
use crate::nn::Cell;
use crate::tree;
use crate::{Array, Tree, random, where_};

/// A cell whose state keeps its old numbers at random: while training, each with probability
/// `rate`; afterwards it is the mean of what that would be.
///
/// # Source
/// Krueger et al. 2016 (arXiv:1606.01305), with one rate for all parts of the carry.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let model = nn::Zoneout { cell: nn::Gru::init(&random::key(0), 3, 8), rate: 0.5 };
/// let xs = random::normal(&random::key(1), [1, 3]);
/// let (carry, _) = nn::run(&model, &model.training(&random::key(2)), &xs);
/// assert!(carry.cell.eq(0.0).any().item::<bool>()?);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Zoneout<C> {
    /// The cell.
    pub cell: C,
    /// The probability that a number stays.
    #[tree(fixed)]
    pub rate: f64,
}

/// The carry of [`Zoneout`].
#[derive(Clone, Debug, Tree)]
pub struct ZoneoutCarry<T> {
    /// The carry of the cell.
    pub cell: T,
    /// The key of the next step, while training.
    pub key: Option<Array>,
}

impl<C: Cell> Zoneout<C> {
    /// The initial carry while training.
    pub fn training(&self, key: &Array) -> ZoneoutCarry<C::Carry> {
        ZoneoutCarry { cell: self.cell.initial_carry(), key: Some(key.clone()) }
    }

    /// The carry of which some numbers stay. Those that are no floats, such as keys and counts, go
    /// on as the cell says.
    fn between(&self, old: &C::Carry, new: &C::Carry, key: Option<&Array>) -> C::Carry {
        let mut i = 0;
        let stay = |new: &Array, old: &Array| {
            i += 1;
            match key {
                _ if !new.dtype().is_float() => new.clone(),
                Some(key) => {
                    let key = random::fold_in(key, i);
                    where_(kept(&key, new.shape(), self.rate), new, old)
                }
                None => new * (1.0 - self.rate) + old * self.rate,
            }
        };
        // A carry of another structure is reported by the scan around the step.
        tree::map2(new, old, stay).unwrap_or_else(|_| new.clone())
    }
}

impl<C: Cell> Cell for Zoneout<C> {
    type Carry = ZoneoutCarry<C::Carry>;

    fn initial_carry(&self) -> Self::Carry {
        ZoneoutCarry { cell: self.cell.initial_carry(), key: None }
    }

    fn step(&self, carry: &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let (new, y) = self.cell.step(&carry.cell, x);
        let Some(key) = &carry.key else {
            return (ZoneoutCarry { cell: self.between(&carry.cell, &new, None), key: None }, y);
        };
        let [next, now] = random::split2(key);
        let cell = self.between(&carry.cell, &new, Some(&now));
        (ZoneoutCarry { cell, key: Some(next) }, y)
    }

    fn input_size(&self) -> Option<usize> {
        self.cell.input_size()
    }
}
