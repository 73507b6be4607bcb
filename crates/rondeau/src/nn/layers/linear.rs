//! The affine layer.

use crate::nn::{Cell, init};
use crate::{Array, Tree};

/// An affine map: `W·x + b`.
///
/// # Shapes
/// `weight: [output, input]`, `bias: [output]`; `x: [.., input]` → `[.., output]`.
/// # Examples
/// ```
/// use rondeau::{nn, random};
///
/// let readout = nn::Linear::init(&random::key(0), 8, 2);
/// let states = random::normal(&random::key(1), [10, 8]);
/// assert_eq!(readout.of(&states).shape(), [10, 2]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Linear {
    /// `W`.
    pub weight: Array,
    /// `b`.
    pub bias: Array,
}

impl Linear {
    /// Weights by [`init::lecun_normal`], zero bias.
    pub fn init(key: &Array, input: usize, output: usize) -> Linear {
        Linear { weight: init::lecun_normal(key, [output, input]), bias: Array::zeros([output]) }
    }

    /// `W·x + b`, for the vectors along the last axis.
    #[track_caller]
    pub fn of(&self, x: &Array) -> Array {
        match x.rank() {
            1 => self.weight.dot(x) + &self.bias,
            _ => x.dot(self.weight.t()) + &self.bias,
        }
    }

    /// The length of the inputs.
    pub fn input_size(&self) -> usize {
        self.weight.shape().last().copied().unwrap_or(0)
    }
}

impl Cell for Linear {
    type Carry = ();

    fn initial_carry(&self) {}

    #[track_caller]
    fn step(&self, (): &(), x: &Array) -> ((), Array) {
        ((), self.of(x))
    }

    fn input_size(&self) -> Option<usize> {
        Some(Linear::input_size(self))
    }
}
