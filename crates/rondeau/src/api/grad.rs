//! `grad`, `value_and_grad`.

use super::function::{Selected, avals, owned, selected, settle, trace_function};
use super::{Arg, Arguments, Function, Selection, Transformed};
use crate::error::{Error, Result};
use crate::ir::{Aval, Builder};
use crate::prim::Cotangent;
use crate::trace::{Array, apply, poisoned};
use crate::transform::{pruned, vjp_into};
use crate::tree::{self, Tree};
use std::sync::Arc;

/// The gradient of a function; see [`grad`].
#[derive(Clone, Copy)]
pub struct Grad<F, S> {
    f: F,
    by: S,
}

/// The value and gradient of a function; see [`value_and_grad`].
#[derive(Clone, Copy)]
pub struct ValueAndGrad<F, S> {
    f: F,
    by: S,
}

/// The value, auxiliary result and gradient of a function; see [`value_and_grad_aux`].
#[derive(Clone, Copy)]
pub struct ValueAndGradAux<F, S> {
    f: F,
    by: S,
}

/// The gradient of a function that returns one number, with respect to its first argument.
///
/// [`wrt`](Transformed::wrt) chooses other arguments.
///
/// # Shapes
/// The gradient has the structure and types of the argument.
/// # Errors
/// [`Error`] if the function does not return one float, or the argument holds integers.
/// # Source
/// `jax.grad`.
/// # Examples
/// ```
/// use rondeau::{Array, grad};
///
/// let cube = |x: &Array| x.powi(3);
/// let slope = grad(cube);
/// assert_eq!(slope.call(&Array::from(2.0_f32))?.item::<f32>()?, 12.0);
/// let curvature = grad(grad(cube));
/// assert_eq!(curvature.call(&Array::from(2.0_f32))?.item::<f32>()?, 12.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn grad<F, Args>(f: F) -> Transformed<Grad<F, Arg<0>>, Args>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
{
    Transformed::new(Grad { f, by: Arg })
}

/// The value of a function that returns one number, and its gradient with respect to its first
/// argument, for the cost of the gradient alone.
///
/// # Source
/// `jax.value_and_grad`.
/// # Examples
/// ```
/// use rondeau::{Arg, Array, value_and_grad};
///
/// let product = |x: &Array, y: &Array| (x * y).sum();
/// let (x, y) = (Array::from([1.0_f32, 2.0]), Array::from([3.0_f32, 4.0]));
/// let (value, dy) = value_and_grad(product).wrt(Arg::<1>).call(&x, &y)?;
/// assert_eq!(value.item::<f32>()?, 11.0);
/// assert_eq!(dy.to_vec::<f32>()?, [1.0, 2.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn value_and_grad<F, Args>(f: F) -> Transformed<ValueAndGrad<F, Arg<0>>, Args>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
{
    Transformed::new(ValueAndGrad { f, by: Arg })
}

/// As [`value_and_grad`] for a function that returns `(number, aux)`: the result is
/// `((number, aux), gradient)`.
///
/// # Source
/// `jax.value_and_grad(f, has_aux=True)`.
pub fn value_and_grad_aux<F, Args, Aux>(f: F) -> Transformed<ValueAndGradAux<F, Arg<0>>, Args>
where
    F: Function<Args, Output = (Array, Aux)>,
    Args: Arguments,
    Aux: Tree,
{
    Transformed::new(ValueAndGradAux { f, by: Arg })
}

macro_rules! wrt {
    ($($kind:ident)*) => {$(
        impl<F, S, Args> Transformed<$kind<F, S>, Args> {
            /// With respect to these arguments: `.wrt(Arg::<1>)`, or several as a tuple,
            /// `.wrt((Arg::<0>, Arg::<2>))`; the gradient is then a tuple.
            pub fn wrt<T: Selection<Args>>(self, by: T) -> Transformed<$kind<F, T>, Args> {
                self.map(|kind| $kind { f: kind.f, by })
            }
        }
    )*};
}
wrt!(Grad ValueAndGrad ValueAndGradAux);

/// The value of a function whose first leaf is one number, and the number's gradient.
fn differentiate<F, Args, S>(f: &F, args: Args::Refs<'_>, by: S) -> Result<(F::Output, S::Selected)>
where
    F: Function<Args>,
    Args: Arguments,
    S: Selection<Args>,
{
    let args = Args::own(args);
    let avals = avals(&args)?;
    let Selected { leaves, tree: by } = selected("grad", by, &args)?;
    let traced = trace_function(f, &args, &avals)?;
    let program = &traced.closed.program;
    let number = program
        .output_avals()
        .into_iter()
        .next()
        .unwrap_or(Aval::new(crate::buffer::DType::Bool, [0]));
    if !number.is_float() || number.rank() > 0 {
        return Err(Error::gradient_of(&number.to_string()));
    }
    let n_captured = traced.closed.captured.len();
    let mut flags = vec![false; program.inputs().len()];
    leaves.iter().for_each(|&i| flags[n_captured + i] = true);

    let mut b = Builder::new();
    let inputs: Vec<_> = program
        .inputs()
        .iter()
        .zip(&program.names)
        .map(|(&var, name)| b.named_input(program.var_aval(var).clone(), name.clone()))
        .collect();
    let (outputs, cts) = vjp_into(&mut b, program, &inputs, &flags, |b, outputs| {
        let one = b.full(1.0, &number);
        let mut cts = vec![Cotangent::Zero; outputs.len()];
        cts[0] = Cotangent::Value(one);
        cts
    })?;
    // `cts` are in the order of the inputs; the gradient is in the order of the selection.
    let mut sorted = leaves.clone();
    sorted.sort_unstable();
    let mut grads = Vec::new();
    for &leaf in &leaves {
        let place = sorted.iter().position(|&i| i == leaf).expect("internal: it is one of them");
        grads.push(cts[place].instantiate(&mut b, &avals[leaf]));
    }
    let program = Arc::new(pruned(b.finish([outputs, grads].concat())));
    let inputs = [traced.closed.captured, owned(&args)].concat();
    let mut results = apply(&program, &inputs)?;
    let grads = results.split_off(tree::count(&traced.output));
    Ok((tree::rebuild(&traced.output, results), tree::rebuild(&by, grads)))
}

/// The gradient's structure with the mistake in every leaf.
fn poisoned_selection<Args: Arguments, S: Selection<Args>>(
    args: Args::Refs<'_>,
    by: S,
    error: &Error,
) -> S::Selected {
    poisoned(&by.select(&Args::own(args)), error)
}

impl<F, Args, S> Function<Args> for Grad<F, S>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
    S: Selection<Args>,
{
    type Output = S::Selected;
    fn invoke(&self, args: Args::Refs<'_>) -> S::Selected {
        match differentiate(&self.f, args, self.by) {
            Ok((_, grad)) => grad,
            Err(error) => poisoned_selection::<Args, S>(args, self.by, &error),
        }
    }
}

impl<F, Args, S> Function<Args> for ValueAndGrad<F, S>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
    S: Selection<Args>,
{
    type Output = (Array, S::Selected);
    fn invoke(&self, args: Args::Refs<'_>) -> (Array, S::Selected) {
        differentiate(&self.f, args, self.by).unwrap_or_else(|error| {
            let grad = poisoned_selection::<Args, S>(args, self.by, &error);
            (Array::mistake(error), grad)
        })
    }
}

impl<F, Args, S, Aux> Function<Args> for ValueAndGradAux<F, S>
where
    F: Function<Args, Output = (Array, Aux)>,
    Args: Arguments,
    S: Selection<Args>,
    Aux: Tree,
{
    type Output = ((Array, Aux), S::Selected);
    fn invoke(&self, args: Args::Refs<'_>) -> Self::Output {
        differentiate(&self.f, args, self.by).unwrap_or_else(|error| {
            let grad = poisoned_selection::<Args, S>(args, self.by, &error);
            (settle(&self.f, args, Err(error)), grad)
        })
    }
}

opaque_debug!(Grad<F, S> ValueAndGrad<F, S> ValueAndGradAux<F, S>);
