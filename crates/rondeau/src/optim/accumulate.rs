//! Several gradients to one update.

use super::optimizer::{Optimizer, like, no_steps, zeros, zip};
use crate::Tree;
use crate::{Array, DType, cond};

/// See [`accumulate`].
#[derive(Clone, Debug)]
pub struct Accumulate<O> {
    optimizer: O,
    n_steps: i32,
}

/// The state of [`Accumulate`].
#[derive(Clone, Debug, Tree)]
pub struct AccumulateState<P, S> {
    /// The number of gradients since the last update: `i32[]`.
    pub count: Array,
    /// Their mean.
    pub mean: P,
    /// The state of the optimizer.
    pub inner: S,
}

/// An optimizer that updates once in `n_steps` steps, by the mean of their gradients, and not at
/// the others: as if the batch were so many times larger.
///
/// # Source
/// `optax.MultiSteps`.
/// # Examples
/// ```
/// use rondeau::{Array, optim, optim::Optimizer};
///
/// let optimizer = optim::accumulate(optim::sgd(1.0), 2);
/// let params = Array::from(0.0_f32);
/// let state = optimizer.init(&params);
/// let (first, state) = optimizer.update(&Array::from(1.0_f32), &state, &params);
/// let (second, _) = optimizer.update(&Array::from(3.0_f32), &state, &params);
/// assert_eq!((first.item::<f32>()?, second.item::<f32>()?), (0.0, -2.0));
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn accumulate<O: Optimizer>(optimizer: O, n_steps: usize) -> Accumulate<O> {
    Accumulate { optimizer, n_steps: i32::try_from(n_steps.max(1)).unwrap_or(i32::MAX) }
}

impl<O: Optimizer> Optimizer for Accumulate<O> {
    type State<P: Tree> = AccumulateState<P, O::State<P>>;

    fn init<P: Tree>(&self, params: &P) -> Self::State<P> {
        let inner = self.optimizer.init(params);
        AccumulateState { count: no_steps(), mean: zeros(params), inner }
    }

    fn update<P: Tree>(
        &self,
        gradient: &P,
        state: &Self::State<P>,
        params: &P,
    ) -> (P, Self::State<P>) {
        let count = &state.count + 1;
        let share = 1.0 / count.to(DType::F64);
        let mean = zip(&state.mean, gradient, |mean, gradient| {
            mean + (gradient - mean) * like(&share, mean)
        });
        let update = |(mean, inner, params): &(P, O::State<P>, P)| {
            let (updates, inner) = self.optimizer.update(mean, inner, params);
            (updates, zeros(mean), inner)
        };
        let wait =
            |(mean, inner, _): &(P, O::State<P>, P)| (zeros(mean), mean.clone(), inner.clone());
        let is_full = count.ge(self.n_steps);
        let operands = (mean, state.inner.clone(), params.clone());
        let (updates, mean, inner) = cond(&is_full, update, wait, &operands);
        let count = crate::where_(is_full, 0, count);
        (updates, AccumulateState { count, mean, inner })
    }
}
