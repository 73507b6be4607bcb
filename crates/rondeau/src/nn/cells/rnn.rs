//! The simple recurrent network.

use crate::nn::{Activation, Cell, Gate};
use crate::{Array, Tree};

/// The simple recurrent cell: `h' = f(W·x + U·h + b)`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// Elman 1990; PyTorch's `RNN` (tanh or relu), Haiku's `VanillaRNN` (relu), Flax's `SimpleCell`
/// (tanh).
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::Rnn::init(&random::key(0), 5, 8, nn::Activation::Relu);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert!(y.min().item::<f32>()? >= 0.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Rnn {
    /// What goes into the activation.
    pub gate: Gate,
    /// The activation `f`.
    #[tree(fixed)]
    pub activation: Activation,
}

impl Rnn {
    /// Parameters by [`Gate::init`].
    pub fn init(key: &Array, input: usize, hidden: usize, activation: Activation) -> Rnn {
        Rnn { gate: Gate::init(key, input, hidden), activation }
    }
}

impl Cell for Rnn {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.gate.b.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let h = self.activation.of(&self.gate.of(x, h));
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.gate.input_size())
    }
}
