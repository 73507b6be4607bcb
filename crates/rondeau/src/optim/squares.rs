//! Optimizers that divide by the root of the gradients' squares.

use super::optimizer::{Optimizer, average, like, no_steps, zeros, zip};
use super::schedule::{Rate, Schedule};
use crate::{Array, Tree, tree, where_};

/// RMSProp; see [`rmsprop`].
#[derive(Clone, Debug)]
pub struct RmsProp {
    rate: Rate,
    decay: f64,
    epsilon: f64,
    is_beside: bool,
    centered: bool,
    momentum: Option<f64>,
}

/// The state of [`RmsProp`].
#[derive(Clone, Debug, Tree)]
pub struct RmsPropState<P> {
    /// The number of updates so far: `i32[]`.
    pub count: Array,
    /// The decaying mean of the gradients' squares.
    pub square: P,
    /// The decaying mean of the gradients, if their variance is asked for.
    pub mean: Option<P>,
    /// The decaying sum of updates, with momentum.
    pub momentum: Option<P>,
}

/// RMSProp: `-rate·g / √(v + ε)` with the decaying mean `v` of the squares; the decay is 0.9,
/// `ε = 1e-8`. PyTorch's has the decay 0.99 and `ε` [beside the root](RmsProp::epsilon_beside_root).
///
/// # Source
/// Hinton 2012; `optax.rmsprop`.
/// # Examples
/// ```
/// use rondeau::optim;
///
/// let _ = optim::rmsprop(0.01).centered().momentum(0.9);
/// ```
pub fn rmsprop(rate: impl Schedule + 'static) -> RmsProp {
    let rate = Rate::new(rate);
    RmsProp { rate, decay: 0.9, epsilon: 1e-8, is_beside: false, centered: false, momentum: None }
}

impl RmsProp {
    /// How much of the mean is kept at each step.
    pub fn decay(mut self, decay: f64) -> RmsProp {
        self.decay = decay;
        self
    }

    /// `ε`, under the root.
    pub fn epsilon(mut self, epsilon: f64) -> RmsProp {
        self.epsilon = epsilon;
        self
    }

    /// `ε` beside the root, `√v + ε`, as PyTorch has it.
    pub fn epsilon_beside_root(mut self, epsilon: f64) -> RmsProp {
        (self.epsilon, self.is_beside) = (epsilon, true);
        self
    }

    /// The variance in place of the mean square (Graves 2013, arXiv:1308.0850).
    pub fn centered(mut self) -> RmsProp {
        self.centered = true;
        self
    }

    /// With a sum of earlier updates, which decays by this factor.
    pub fn momentum(mut self, decay: f64) -> RmsProp {
        self.momentum = Some(decay);
        self
    }
}

impl Optimizer for RmsProp {
    type State<P: Tree> = RmsPropState<P>;

    fn init<P: Tree>(&self, params: &P) -> RmsPropState<P> {
        RmsPropState {
            count: no_steps(),
            square: zeros(params),
            mean: self.centered.then(|| zeros(params)),
            momentum: self.momentum.map(|_| zeros(params)),
        }
    }

    fn update<P: Tree>(
        &self,
        gradient: &P,
        state: &RmsPropState<P>,
        _: &P,
    ) -> (P, RmsPropState<P>) {
        let squares = tree::map(gradient, Array::square);
        let square = average(&state.square, &squares, self.decay);
        let mean = state.mean.as_ref().map(|mean| average(mean, gradient, self.decay));
        let power = match &mean {
            Some(mean) => zip(&square, mean, |square, mean| square - mean.square()),
            None => square.clone(),
        };
        let rate = -self.rate.at(&state.count);
        let updates = zip(gradient, &power, |gradient, power| {
            let scale = match self.is_beside {
                false => (power + self.epsilon).rsqrt(),
                true => 1.0 / (power.sqrt() + self.epsilon),
            };
            gradient * scale * like(&rate, gradient)
        });
        let (updates, momentum) = match (&state.momentum, self.momentum) {
            (Some(m), Some(decay)) => {
                let m = zip(&updates, m, |update, m| update + decay * m);
                (m.clone(), Some(m))
            }
            _ => (updates, None),
        };
        (updates, RmsPropState { count: &state.count + 1, square, mean, momentum })
    }
}

/// Adagrad; see [`adagrad`].
#[derive(Clone, Debug)]
pub struct Adagrad {
    rate: Rate,
    initial: f64,
    epsilon: f64,
}

/// The state of [`Adagrad`].
#[derive(Clone, Debug, Tree)]
pub struct AdagradState<P> {
    /// The number of updates so far: `i32[]`.
    pub count: Array,
    /// The sum of the gradients' squares.
    pub square: P,
}

/// Adagrad: `-rate·g / √(s + ε)` with the sum `s` of all squares, which starts from 0.1;
/// `ε = 1e-7`.
///
/// # Source
/// Duchi et al. 2011; `optax.adagrad`.
pub fn adagrad(rate: impl Schedule + 'static) -> Adagrad {
    Adagrad { rate: Rate::new(rate), initial: 0.1, epsilon: 1e-7 }
}

impl Optimizer for Adagrad {
    type State<P: Tree> = AdagradState<P>;

    fn init<P: Tree>(&self, params: &P) -> AdagradState<P> {
        let square = tree::map(params, |leaf| leaf.full_like(self.initial));
        AdagradState { count: no_steps(), square }
    }

    fn update<P: Tree>(
        &self,
        gradient: &P,
        state: &AdagradState<P>,
        _: &P,
    ) -> (P, AdagradState<P>) {
        let square = zip(&state.square, gradient, |sum, gradient| sum + gradient.square());
        let rate = -self.rate.at(&state.count);
        let updates = zip(gradient, &square, |gradient, square| {
            let scale = where_(square.gt(0.0), (square + self.epsilon).rsqrt(), 0.0);
            gradient * scale * like(&rate, gradient)
        });
        (updates, AdagradState { count: &state.count + 1, square })
    }
}
