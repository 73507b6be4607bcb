//! Averages of parameters.

use super::optimizer::{average, like, no_steps, shortfall, zeros};
use crate::{Array, Tree, tree};

/// An exponential moving average of parameters, which often predicts better than the last ones.
///
/// # Source
/// Polyak and Juditsky 1992; `optax.ema`.
/// # Examples
/// ```
/// use rondeau::{Array, optim::Ema};
///
/// let ema = Ema::new(0.9);
/// let params = Array::from([2.0_f32]);
/// let state = ema.update(&ema.init(&params), &params);
/// // Corrected for its start from zero.
/// assert!((ema.params(&state).item::<f32>()? - 2.0).abs() < 1e-6);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Ema {
    decay: f64,
}

/// The state of [`Ema`].
#[derive(Clone, Debug, Tree)]
pub struct EmaState<P> {
    /// The number of updates so far: `i32[]`.
    pub count: Array,
    /// The average, which starts from zero.
    pub average: P,
}

impl Ema {
    /// An average that keeps this part of itself at each update.
    pub fn new(decay: f64) -> Ema {
        Ema { decay }
    }

    /// The state before the first update.
    pub fn init<P: Tree>(&self, params: &P) -> EmaState<P> {
        EmaState { count: no_steps(), average: zeros(params) }
    }

    /// The state with new parameters in it.
    #[track_caller]
    pub fn update<P: Tree>(&self, state: &EmaState<P>, params: &P) -> EmaState<P> {
        EmaState { count: &state.count + 1, average: average(&state.average, params, self.decay) }
    }

    /// The average of the parameters so far, after one update at least.
    #[track_caller]
    pub fn params<P: Tree>(&self, state: &EmaState<P>) -> P {
        let short = shortfall(self.decay, &state.count);
        tree::map(&state.average, |leaf| leaf / like(&short, leaf))
    }
}
