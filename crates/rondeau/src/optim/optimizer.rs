//! What an optimizer is, chains of them, and a whole step of training.

use crate::tree::{self, Tree};
use crate::{Array, DType, value_and_grad};

/// Makes updates of gradients.
pub trait Optimizer: Clone {
    /// What goes from update to update: a tree for parameters of the structure `P`.
    type State<P: Tree>: Tree;

    /// The state before the first update.
    fn init<P: Tree>(&self, params: &P) -> Self::State<P>;

    /// What to add to the parameters, and the next state. Gradients have the structure and types
    /// of the parameters.
    fn update<P: Tree>(
        &self,
        gradient: &P,
        state: &Self::State<P>,
        params: &P,
    ) -> (P, Self::State<P>);
}

/// The state of an optimizer for parameters of a type.
pub type StateOf<O, P> = <O as Optimizer>::State<P>;

macro_rules! chain {
    ($($o:ident $i:tt)*) => {
        impl<$($o: Optimizer),*> Optimizer for ($($o,)*) {
            type State<P: Tree> = ($($o::State<P>,)*);

            fn init<P: Tree>(&self, params: &P) -> Self::State<P> {
                ($(self.$i.init(params),)*)
            }

            fn update<P: Tree>(
                &self,
                gradient: &P,
                state: &Self::State<P>,
                params: &P,
            ) -> (P, Self::State<P>) {
                let mut updates = gradient.clone();
                let state = ($({
                    let (next, state) = self.$i.update(&updates, &state.$i, params);
                    updates = next;
                    state
                },)*);
                (updates, state)
            }
        }
    };
}
chain!(A 0);
chain!(A 0 B 1);
chain!(A 0 B 1 C 2);
chain!(A 0 B 1 C 2 D 3);

/// The parameters with updates added.
///
/// # Examples
/// ```
/// use rondeau::{Array, optim, optim::Optimizer};
///
/// let (params, gradient) = (Array::from([1.0_f32, 2.0]), Array::from([10.0_f32, 0.0]));
/// let sgd = optim::sgd(0.1);
/// let (updates, _) = sgd.update(&gradient, &sgd.init(&params), &params);
/// assert_eq!(optim::apply(&params, &updates).to_vec::<f32>()?, [0.0, 2.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn apply<P: Tree>(params: &P, updates: &P) -> P {
    zip(params, updates, |param, update| param + update)
}

/// One step of training as a function: parameters, the optimizer's state and two trees of data ->
/// the next parameters, the next state, and the loss before the step.
///
/// `loss(&params, &x, &y)` is one number. Compile the whole step with [`jit`](crate::jit), or go
/// through many with [`scan`](crate::scan()). If `loss` needs more or other arguments, this is all
/// it does:
///
/// ```
/// use rondeau::{Array, optim, optim::Optimizer, value_and_grad};
///
/// fn step<O: Optimizer>(optimizer: &O, params: &Array, state: &O::State<Array>) -> (Array, O::State<Array>) {
///     let loss = |params: &Array| params.square().sum();
///     let (_, gradient) = value_and_grad(loss).apply(params);
///     let (updates, state) = optimizer.update(&gradient, state, params);
///     (optim::apply(params, &updates), state)
/// }
///
/// let adam = optim::adam(0.1);
/// let params = Array::from([1.0_f32]);
/// let (next, _) = step(&adam, &params, &adam.init(&params));
/// assert!((next.item::<f32>()? - 0.9).abs() < 1e-6);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[expect(clippy::type_complexity, reason = "a function's type is its arguments")]
pub fn training_step<P, X, Y, O, F>(
    loss: F,
    optimizer: O,
) -> impl Fn(&P, &O::State<P>, &X, &Y) -> (P, O::State<P>, Array)
where
    P: Tree,
    X: Tree,
    Y: Tree,
    O: Optimizer,
    F: Fn(&P, &X, &Y) -> Array,
{
    move |params, state, x, y| {
        let (loss, gradient) = value_and_grad(&loss).apply(params, x, y);
        let (updates, state) = optimizer.update(&gradient, state, params);
        (apply(params, &updates), state, loss)
    }
}

/// `f` of each pair of leaves. Trees of several structures become a mistake in every leaf.
#[track_caller]
pub(super) fn zip<P: Tree>(a: &P, b: &P, f: impl FnMut(&Array, &Array) -> Array) -> P {
    let at = std::panic::Location::caller();
    tree::map2(a, b, f).unwrap_or_else(|error| {
        let error = error.at(at);
        tree::map(a, |_| Array::mistake(error.clone()))
    })
}

/// Zeros like the floats of a tree.
pub(super) fn zeros<P: Tree>(params: &P) -> P {
    tree::map(params, Array::zeros_like)
}

/// `decay·average + (1 - decay)·x`, for each pair of leaves.
#[track_caller]
pub(super) fn average<P: Tree>(average: &P, x: &P, decay: f64) -> P {
    zip(average, x, |average, x| decay * average + (1.0 - decay) * x)
}

/// A number of no steps.
pub(super) fn no_steps() -> Array {
    Array::from(0)
}

/// An f64 number in an array's element type.
pub(super) fn like(number: &Array, x: &Array) -> Array {
    if number.dtype() == x.dtype() { number.clone() } else { number.to(x.dtype()) }
}

/// `1 - decay^count`, in f64: what an average that began with zero is short of.
pub(super) fn shortfall(decay: f64, count: &Array) -> Array {
    1.0 - Array::from(decay).pow(count.to(DType::F64))
}
