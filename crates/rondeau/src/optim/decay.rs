//! Decay of weights.

use std::fmt;
use std::sync::Arc;

use super::optimizer::Optimizer;
use crate::{Array, Tree, tree};

/// How much weights shrink at each step, and which of them.
#[derive(Clone)]
pub struct Decay {
    factor: f64,
    of: Arc<Chooses>,
}

/// Whether the weight at a path shrinks.
type Chooses = dyn Fn(&str, &Array) -> bool + Send + Sync;

impl Decay {
    /// All weights by this factor.
    pub fn new(factor: f64) -> Decay {
        Decay { factor, of: Arc::new(|_, _| true) }
    }

    /// The leaves that `of(path, leaf)` chooses.
    ///
    /// # Examples
    /// ```
    /// use rondeau::optim::Decay;
    ///
    /// let _ = Decay::new(0.01).of(|path, _| path.ends_with(".w"));
    /// ```
    pub fn of(mut self, of: impl Fn(&str, &Array) -> bool + Send + Sync + 'static) -> Decay {
        self.of = Arc::new(of);
        self
    }

    /// The leaves of two axes and more, so that biases and scales stay.
    pub fn matrices(self) -> Decay {
        self.of(|_, leaf| leaf.rank() > 1)
    }

    /// Updates with the decay of the parameters added.
    #[track_caller]
    pub(super) fn added<P: Tree>(&self, updates: &P, params: &P) -> P {
        let mut paths = tree::leaves_with_paths(params).into_iter();
        super::optimizer::zip(updates, params, |update, param| {
            let chosen = paths.next().is_some_and(|(path, leaf)| (self.of)(&path, leaf));
            if chosen { update + self.factor * param } else { update.clone() }
        })
    }
}

impl From<f64> for Decay {
    fn from(factor: f64) -> Decay {
        Decay::new(factor)
    }
}

impl fmt::Debug for Decay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decay").field("factor", &self.factor).finish_non_exhaustive()
    }
}

/// See [`add_decay`].
#[derive(Clone, Debug)]
pub struct AddDecay {
    decay: Decay,
}

/// Gradients with a multiple of the weights added: before an optimizer, the gradient of a penalty
/// of the squares.
///
/// # Source
/// `optax.add_decayed_weights`.
pub fn add_decay(decay: impl Into<Decay>) -> AddDecay {
    AddDecay { decay: decay.into() }
}

impl Optimizer for AddDecay {
    type State<P: Tree> = ();

    fn init<P: Tree>(&self, _: &P) {}

    fn update<P: Tree>(&self, gradient: &P, (): &(), params: &P) -> (P, ()) {
        (self.decay.added(gradient, params), ())
    }
}
