//! Lion.

use super::Decay;
use super::optimizer::{Optimizer, average, like, no_steps, zeros};
use super::schedule::{Rate, Schedule};
use crate::{Array, Tree, tree};

/// Lion; see [`lion`].
#[derive(Clone, Debug)]
pub struct Lion {
    rate: Rate,
    b1: f64,
    b2: f64,
    decay: Decay,
}

/// The state of [`Lion`].
#[derive(Clone, Debug, Tree)]
pub struct LionState<P> {
    /// The number of updates so far: `i32[]`.
    pub count: Array,
    /// The decaying mean of the gradients.
    pub mean: P,
}

/// Lion: `-rate·(sign(β₁·m + (1-β₁)·g) + decay·w)`, then `m' = β₂·m + (1-β₂)·g`; `β₁ = 0.9`,
/// `β₂ = 0.99`.
///
/// # Source
/// Chen et al. 2023 (arXiv:2302.06675); `optax.lion`.
/// # Examples
/// ```
/// use rondeau::optim;
///
/// let _ = optim::lion(1e-4, 0.1);
/// ```
pub fn lion(rate: impl Schedule + 'static, decay: impl Into<Decay>) -> Lion {
    Lion { rate: Rate::new(rate), b1: 0.9, b2: 0.99, decay: decay.into() }
}

impl Lion {
    /// How much of the mean is kept, in the direction and in the state.
    pub fn betas(mut self, b1: f64, b2: f64) -> Lion {
        (self.b1, self.b2) = (b1, b2);
        self
    }
}

impl Optimizer for Lion {
    type State<P: Tree> = LionState<P>;

    fn init<P: Tree>(&self, params: &P) -> LionState<P> {
        LionState { count: no_steps(), mean: zeros(params) }
    }

    fn update<P: Tree>(&self, gradient: &P, state: &LionState<P>, params: &P) -> (P, LionState<P>) {
        let direction = average(&state.mean, gradient, self.b1);
        let direction = self.decay.added(&tree::map(&direction, Array::sign), params);
        let rate = -self.rate.at(&state.count);
        let updates = tree::map(&direction, |leaf| leaf * like(&rate, leaf));
        let mean = average(&state.mean, gradient, self.b2);
        (updates, LionState { count: &state.count + 1, mean })
    }
}
