//! A learning rate that falls when the loss does not.

use crate::{Array, Tree, tree, where_};

/// Reduces a scale when a loss has not improved for some time.
///
/// # Source
/// `optax.contrib.reduce_on_plateau`, PyTorch's `ReduceLROnPlateau`.
/// # Examples
/// ```
/// use rondeau::{Array, optim::Plateau};
///
/// let plateau = Plateau::new(0.5, 2);
/// let mut state = plateau.init();
/// for loss in [1.0, 0.9, 0.95, 0.92] {
///     state = plateau.observe(&state, &Array::from(loss));
/// }
/// assert_eq!(state.scale.item::<f64>()?, 0.5);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Plateau {
    factor: f64,
    patience: i32,
    tolerance: f64,
    least: f64,
}

/// The state of [`Plateau`].
#[derive(Clone, Debug, Tree)]
pub struct PlateauState {
    /// What updates are multiplied by: `f64[]`.
    pub scale: Array,
    /// The best loss so far: `f64[]`.
    pub best: Array,
    /// For how many losses there was no better one: `i32[]`.
    pub waited: Array,
}

impl Plateau {
    /// Multiplies the scale by `factor` when `patience` losses in a row were no better.
    pub fn new(factor: f64, patience: usize) -> Plateau {
        let patience = i32::try_from(patience.max(1)).unwrap_or(i32::MAX);
        Plateau { factor, patience, tolerance: 1e-4, least: 0.0 }
    }

    /// By what part a loss must be below the best to be better; 1e-4 if it is not set.
    pub fn tolerance(mut self, tolerance: f64) -> Plateau {
        self.tolerance = tolerance;
        self
    }

    /// The scale does not fall below this.
    pub fn least(mut self, least: f64) -> Plateau {
        self.least = least;
        self
    }

    /// The state before the first loss.
    pub fn init(&self) -> PlateauState {
        PlateauState {
            scale: Array::from(1.0_f64),
            best: Array::from(f64::INFINITY),
            waited: Array::from(0),
        }
    }

    /// The state after a loss: `[]`.
    #[track_caller]
    pub fn observe(&self, state: &PlateauState, loss: &Array) -> PlateauState {
        let loss = loss.to(crate::DType::F64);
        let is_better = loss.lt((1.0 - self.tolerance) * &state.best);
        let waited = where_(&is_better, 0, &state.waited + 1);
        let is_over = waited.ge(self.patience);
        let reduced = (&state.scale * self.factor).maximum(self.least);
        PlateauState {
            scale: where_(&is_over, reduced, &state.scale),
            best: where_(is_better, loss, &state.best),
            waited: where_(is_over, 0, waited),
        }
    }

    /// Updates multiplied by the scale.
    #[track_caller]
    pub fn scaled<P: Tree>(&self, state: &PlateauState, updates: &P) -> P {
        tree::map(updates, |leaf| leaf * state.scale.to(leaf.dtype()))
    }
}
