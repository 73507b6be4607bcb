//! Stochastic gradient descent.

use super::optimizer::{Optimizer, like, no_steps, zeros, zip};
use super::schedule::{Rate, Schedule};
use crate::{Array, Tree, tree};

/// Gradient descent, with or without momentum; see [`sgd`].
#[derive(Clone, Debug)]
pub struct Sgd {
    rate: Rate,
    momentum: Option<f64>,
    nesterov: bool,
}

/// The state of [`Sgd`].
#[derive(Clone, Debug, Tree)]
pub struct SgdState<P> {
    /// The number of updates so far: `i32[]`.
    pub count: Array,
    /// The decaying sum of gradients, with momentum.
    pub momentum: Option<P>,
}

/// Gradient descent: `-rate·g`; with momentum, `-rate·m` with `m' = g + momentum·m`.
///
/// # Source
/// `optax.sgd`; Polyak 1964, Nesterov 1983 as in Sutskever et al. 2013.
/// # Examples
/// ```
/// use rondeau::optim;
///
/// let _ = optim::sgd(0.1).momentum(0.9).nesterov();
/// ```
pub fn sgd(rate: impl Schedule + 'static) -> Sgd {
    Sgd { rate: Rate::new(rate), momentum: None, nesterov: false }
}

impl Sgd {
    /// With a sum of earlier gradients, which decays by this factor.
    pub fn momentum(mut self, decay: f64) -> Sgd {
        self.momentum = Some(decay);
        self
    }

    /// The momentum as it will be after the next gradient like this one: `g + momentum·m'`.
    pub fn nesterov(mut self) -> Sgd {
        self.nesterov = true;
        self
    }
}

impl Optimizer for Sgd {
    type State<P: Tree> = SgdState<P>;

    fn init<P: Tree>(&self, params: &P) -> SgdState<P> {
        SgdState { count: no_steps(), momentum: self.momentum.map(|_| zeros(params)) }
    }

    fn update<P: Tree>(&self, gradient: &P, state: &SgdState<P>, _: &P) -> (P, SgdState<P>) {
        let follow = |m: &P, decay: f64| zip(gradient, m, |gradient, m| gradient + decay * m);
        let (direction, momentum) = match (&state.momentum, self.momentum) {
            (Some(m), Some(decay)) => {
                let m = follow(m, decay);
                (if self.nesterov { follow(&m, decay) } else { m.clone() }, Some(m))
            }
            _ => (gradient.clone(), None),
        };
        let rate = -self.rate.at(&state.count);
        let updates = tree::map(&direction, |leaf| leaf * like(&rate, leaf));
        (updates, SgdState { count: &state.count + 1, momentum })
    }
}
