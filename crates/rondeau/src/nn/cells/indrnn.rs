//! IndRNN: a recurrent network whose neurons see no others.

use crate::nn::{Activation, Cell, Linear, init};
use crate::{Array, Tree, random};

/// A recurrent cell in which each neuron sees its own state alone: `h' = f(W·x + u∘h + b)`; the
/// output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// Li et al. 2018 (arXiv:1803.04831), with relu as in the paper.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::IndRnn::init(&random::key(0), 5, 8);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert_eq!(y.shape(), [8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct IndRnn {
    /// The part of the input.
    pub input: Linear,
    /// `u`, the weight of each neuron's own state: `[hidden]`.
    pub recurrent: Array,
    /// The activation `f`.
    #[tree(fixed)]
    pub activation: Activation,
}

impl IndRnn {
    /// Input weights by [`Linear::init`], recurrent weights uniform in `[-1, 1)`, relu.
    pub fn init(key: &Array, input: usize, hidden: usize) -> IndRnn {
        let [weights, recurrent] = random::split2(key);
        IndRnn {
            input: Linear::init(&weights, input, hidden),
            recurrent: init::uniform(&recurrent, [hidden], 1.0),
            activation: Activation::Relu,
        }
    }
}

impl Cell for IndRnn {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.recurrent.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let h = self.activation.of(&(self.input.of(x) + &self.recurrent * h));
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.input.input_size())
    }
}
