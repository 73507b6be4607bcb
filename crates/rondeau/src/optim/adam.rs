//! Adam and its relatives.

use super::Decay;
use super::optimizer::{Optimizer, average, like, no_steps, shortfall, zeros, zip};
use super::schedule::{Rate, Schedule};
use crate::{Array, Tree, tree};

/// Adam; see [`adam`], [`adamw`], [`nadam`].
#[derive(Clone, Debug)]
pub struct Adam {
    rate: Rate,
    b1: f64,
    b2: f64,
    epsilon: f64,
    nesterov: bool,
    decay: Option<Decay>,
}

/// The state of [`Adam`].
#[derive(Clone, Debug, Tree)]
pub struct AdamState<P> {
    /// The number of updates so far: `i32[]`.
    pub count: Array,
    /// The decaying mean of the gradients.
    pub mean: P,
    /// The decaying mean of their squares.
    pub square: P,
}

/// Adam: `-rate·m̂ / (√v̂ + ε)` with the decaying means `m` of the gradients and `v` of their
/// squares, corrected for their start at zero; `β₁ = 0.9`, `β₂ = 0.999`, `ε = 1e-8`.
///
/// # Source
/// Kingma and Ba 2014 (arXiv:1412.6980); `optax.adam`.
pub fn adam(rate: impl Schedule + 'static) -> Adam {
    let rate = Rate::new(rate);
    Adam { rate, b1: 0.9, b2: 0.999, epsilon: 1e-8, nesterov: false, decay: None }
}

/// [`adam`] with decay of the weights beside the gradient: `-rate·(.. + decay·w)`.
///
/// # Source
/// Loshchilov and Hutter 2019 (arXiv:1711.05101); `optax.adamw`.
/// # Examples
/// ```
/// use rondeau::optim::{self, Decay};
///
/// // Matrices shrink, biases do not.
/// let _ = optim::adamw(1e-3, Decay::new(0.01).matrices());
/// let _ = optim::adamw(optim::schedule::cosine(1e-3, 1000, 0.0), 0.01);
/// ```
pub fn adamw(rate: impl Schedule + 'static, decay: impl Into<Decay>) -> Adam {
    Adam { decay: Some(decay.into()), ..adam(rate) }
}

/// [`adam`] with Nesterov's momentum.
///
/// # Source
/// Dozat 2016; `optax.nadam`.
pub fn nadam(rate: impl Schedule + 'static) -> Adam {
    Adam { nesterov: true, ..adam(rate) }
}

impl Adam {
    /// How much of the means is kept at each step: `β₁` and `β₂`.
    pub fn betas(mut self, b1: f64, b2: f64) -> Adam {
        (self.b1, self.b2) = (b1, b2);
        self
    }

    /// `ε`, beside the root.
    pub fn epsilon(mut self, epsilon: f64) -> Adam {
        self.epsilon = epsilon;
        self
    }
}

impl Optimizer for Adam {
    type State<P: Tree> = AdamState<P>;

    fn init<P: Tree>(&self, params: &P) -> AdamState<P> {
        AdamState { count: no_steps(), mean: zeros(params), square: zeros(params) }
    }

    fn update<P: Tree>(&self, gradient: &P, state: &AdamState<P>, params: &P) -> (P, AdamState<P>) {
        let Adam { b1, b2, .. } = *self;
        let count = &state.count + 1;
        let mean = average(&state.mean, gradient, b1);
        let square = average(&state.square, &tree::map(gradient, Array::square), b2);
        let (short1, short2) = (shortfall(b1, &count), shortfall(b2, &count));
        let corrected = |x: &Array, short: &Array| x / like(short, x);
        let ahead = match self.nesterov {
            false => tree::map(&mean, |m| corrected(m, &short1)),
            true => {
                let next = shortfall(b1, &(&count + 1));
                zip(&mean, gradient, |m, gradient| {
                    b1 * corrected(m, &next) + (1.0 - b1) * corrected(gradient, &short1)
                })
            }
        };
        let direction =
            zip(&ahead, &square, |m, v| m / (corrected(v, &short2).sqrt() + self.epsilon));
        let direction = match &self.decay {
            Some(decay) => decay.added(&direction, params),
            None => direction,
        };
        let rate = -self.rate.at(&state.count);
        let updates = tree::map(&direction, |leaf| leaf * like(&rate, leaf));
        (updates, AdamState { count, mean, square })
    }
}
