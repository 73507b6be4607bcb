//! Derivatives as linear functions: `jvp`, `vjp`, `linearize`, `hvp`, `linear_transpose`.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::function::{avals, checked, owned, paths_of, settle, trace_function};
use super::{Arguments, Function};
use crate::error::{Error, Result};
use crate::ir::{Aval, Builder, Program};
use crate::prim::{Cotangent, Tangent};
use crate::trace::{Array, apply, poisoned};
use crate::transform::{self, Linearized, jvp_into, pruned};
use crate::tree::{self, Tree};

/// Whether each leaf has a derivative.
fn floats(avals: &[Aval]) -> Vec<bool> {
    avals.iter().map(Aval::is_float).collect()
}

/// Tangents or cotangents must have their values' structure and types.
fn check_types<T: Tree>(op: &str, what: &str, values: &T, avals: &[Aval], given: &T) -> Result<()> {
    let (a, b) = (tree::structure_of(values), tree::structure_of(given));
    if a != b {
        let sides = [("the values are", a), (&*format!("the {what}s are"), b)];
        return Err(Error::trees_differ(op, &format!("values and {what}s"), &sides));
    }
    for ((path, aval), leaf) in paths_of(values).into_iter().zip(avals).zip(tree::leaves(given)) {
        let got = leaf.aval()?;
        if aval.is_float() && got != *aval {
            let (need, got) = (aval.to_string(), got.to_string());
            let place = match (op, path.as_str()) {
                ("vjp", "") => "the result".to_owned(),
                ("vjp", path) => format!("result {path}"),
                (_, path) => format!("argument {path}"),
            };
            return Err(Error::derivative_type(op, what, &place, &need, &got));
        }
    }
    Ok(())
}

pub(super) fn check_forward(program: &Program) -> Result<()> {
    match program.eqns().iter().any(|eqn| eqn.prim.has_custom_linear()) {
        true => Err(Error::forward_through_custom_vjp()),
        false => Ok(()),
    }
}

/// The float leaves of a tree.
fn float_leaves<T: Tree>(tree: &T, flags: &[bool]) -> Vec<Array> {
    owned(tree).into_iter().zip(flags).filter_map(|(leaf, &float)| float.then_some(leaf)).collect()
}

/// A tree of derivatives: the given ones for the float leaves, zeros for the others.
pub(super) fn derivative_tree<T: Tree>(template: &T, avals: &[Aval], values: Vec<Array>) -> T {
    let mut values = values.into_iter();
    let leaves = avals.iter().map(|aval| match aval.is_float() {
        true => values.next().expect("internal: one for each float leaf"),
        false => Array::from_buffer(crate::buffer::Buffer::splat(
            crate::buffer::Scalar::of(0.0, aval.dtype),
            aval.shape.clone(),
        )),
    });
    tree::rebuild(template, leaves.collect::<Vec<_>>())
}

/// The value of a function and its derivative along `tangents` (forward mode).
///
/// Tangents of integer leaves are ignored. The results carry an [`Error`] if tangents do not fit.
///
/// # Source
/// `jax.jvp`.
/// # Examples
/// ```
/// use rondeau::{Array, jvp};
///
/// let (y, dy) = jvp(|x: &Array| x.square(), (&Array::from(3.0_f32),), (&Array::from(1.0_f32),));
/// assert_eq!((y.item::<f32>()?, dy.item::<f32>()?), (9.0, 6.0));
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn jvp<F, Args>(
    f: F,
    primals: Args::Refs<'_>,
    tangents: Args::Refs<'_>,
) -> (F::Output, F::Output)
where
    F: Function<Args>,
    Args: Arguments,
{
    let at = Location::caller();
    try_jvp(&f, primals, tangents).unwrap_or_else(|error| {
        let error = error.at(at);
        let out = settle(&f, primals, Err(error.clone()));
        (out.clone(), out)
    })
}

fn try_jvp<F, Args>(
    f: &F,
    primals: Args::Refs<'_>,
    tangents: Args::Refs<'_>,
) -> Result<(F::Output, F::Output)>
where
    F: Function<Args>,
    Args: Arguments,
{
    let (args, tangents) = (Args::own(primals), Args::own(tangents));
    let avals = avals(&args)?;
    check_types("jvp", "tangent", &args, &avals, &tangents)?;
    let flags = floats(&avals);
    let traced = trace_function(f, &args, &avals)?;
    let program = &traced.closed.program;
    let out_avals = program.output_avals();

    let mut b = Builder::new();
    let inputs = b.inputs(&program.input_avals());
    let mut input_tangents = vec![Tangent::Zero; traced.closed.captured.len()];
    for (aval, &float) in avals.iter().zip(&flags) {
        input_tangents.push(match float {
            true => Tangent::Value(b.input(aval.clone())),
            false => Tangent::Zero,
        });
    }
    let (outputs, tangents_out) = jvp_into(&mut b, program, &inputs, &input_tangents);
    let floats_out = floats(&out_avals);
    let values: Vec<_> = (0..outputs.len())
        .filter(|&i| floats_out[i])
        .map(|i| tangents_out[i].instantiate(&mut b, outputs[i]))
        .collect();
    let program = pruned(b.finish([outputs, values].concat()));
    check_forward(&program)?;
    let inputs = [traced.closed.captured, owned(&args), float_leaves(&tangents, &flags)].concat();
    let mut results = apply(&Arc::new(program), &inputs)?;
    let values = results.split_off(out_avals.len());
    let out = tree::rebuild(&traced.output, results);
    let dout = derivative_tree(&traced.output, &out_avals, values);
    Ok((out, dout))
}

/// A linear map between trees, with the values that it needs.
struct Map {
    program: Arc<Program>,
    residuals: Vec<Array>,
}

impl Map {
    fn run(&self, inputs: Vec<Array>) -> Result<Vec<Array>> {
        apply(&self.program, &[inputs, self.residuals.clone()].concat())
    }
}

/// The derivative of a function at a point, as a linear function of tangents; see [`linearize`].
pub struct Linear<Args, R> {
    map: Result<Map>,
    args: Args,
    arg_avals: Vec<Aval>,
    output: R,
    out_avals: Vec<Aval>,
}

/// The transposed derivative of a function at a point: from cotangents of the result to those of
/// the arguments; see [`vjp`].
pub struct Pullback<Args, R> {
    map: Result<Map>,
    args: Args,
    arg_avals: Vec<Aval>,
    output: R,
    out_avals: Vec<Aval>,
}

impl<Args, R> fmt::Debug for Linear<Args, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linear({:?} -> {:?})", self.arg_avals, self.out_avals)
    }
}

impl<Args, R> fmt::Debug for Pullback<Args, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pullback({:?} -> {:?})", self.out_avals, self.arg_avals)
    }
}

impl<Args: Arguments, R: Tree> Linear<Args, R> {
    /// The tangent of the result, for tangents of the arguments.
    ///
    /// # Errors
    /// [`Error`] if the tangents do not fit the arguments.
    #[track_caller]
    pub fn call(&self, tangents: Args::Refs<'_>) -> Result<R> {
        let at = Location::caller();
        checked(self.apply(tangents)).map_err(|error| error.at(at))
    }

    /// As [`call`](Linear::call), with mistakes inside the result.
    pub fn apply(&self, tangents: Args::Refs<'_>) -> R {
        let tangents = Args::own(tangents);
        let run = || {
            let map = self.map.as_ref().map_err(Error::clone)?;
            check_types("linearize", "tangent", &self.args, &self.arg_avals, &tangents)?;
            let values = map.run(float_leaves(&tangents, &floats(&self.arg_avals)))?;
            Ok(derivative_tree(&self.output, &self.out_avals, values))
        };
        run().unwrap_or_else(|error: Error| poisoned(&self.output, &error))
    }
}

impl<Args: Arguments, R: Tree> Pullback<Args, R> {
    /// The cotangents of the arguments, as a tuple, for a cotangent of the result.
    ///
    /// # Errors
    /// [`Error`] if the cotangent does not fit the result.
    #[track_caller]
    pub fn call(&self, ct: &R) -> Result<Args> {
        let at = Location::caller();
        checked(self.apply(ct)).map_err(|error| error.at(at))
    }

    /// As [`call`](Pullback::call), with mistakes inside the result.
    pub fn apply(&self, ct: &R) -> Args {
        let run = || {
            let map = self.map.as_ref().map_err(Error::clone)?;
            check_types("vjp", "cotangent", &self.output, &self.out_avals, ct)?;
            let values = map.run(float_leaves(ct, &floats(&self.out_avals)))?;
            Ok(derivative_tree(&self.args, &self.arg_avals, values))
        };
        run().unwrap_or_else(|error: Error| poisoned(&self.args, &error))
    }
}

/// What `linearize` and `vjp` share: the value and the split derivative.
struct Split<Args, R> {
    args: Args,
    arg_avals: Vec<Aval>,
    output: R,
    out_avals: Vec<Aval>,
    linearized: Linearized,
    residuals: Vec<Array>,
}

fn split<F, Args>(f: &F, primals: Args::Refs<'_>) -> Result<Split<Args, F::Output>>
where
    F: Function<Args>,
    Args: Arguments,
{
    let args = Args::own(primals);
    let arg_avals = avals(&args)?;
    let traced = trace_function(f, &args, &arg_avals)?;
    let out_avals = traced.closed.program.output_avals();
    let captured = vec![false; traced.closed.captured.len()];
    let by = [captured, floats(&arg_avals)].concat();
    let linearized = transform::linearize(&traced.closed.program, &by);
    let inputs = [traced.closed.captured, owned(&args)].concat();
    let mut results = apply(&Arc::new(linearized.forward.clone()), &inputs)?;
    let residuals = results.split_off(out_avals.len());
    let output = tree::rebuild(&traced.output, results);
    Ok(Split { args, arg_avals, output, out_avals, linearized, residuals })
}

/// The value of a function, and its transposed derivative there (reverse mode).
///
/// The second result takes a cotangent of the function's result and returns those of all
/// arguments as a tuple; integer leaves get zeros.
///
/// # Source
/// `jax.vjp`.
/// # Examples
/// ```
/// use rondeau::{Array, vjp};
///
/// let (x, y) = (Array::from(3.0_f32), Array::from(4.0_f32));
/// let (_, pullback) = vjp(|x: &Array, y: &Array| x * y, (&x, &y));
/// let (dx, dy) = pullback.call(&Array::from(1.0_f32))?;
/// assert_eq!((dx.item::<f32>()?, dy.item::<f32>()?), (4.0, 3.0));
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn vjp<F, Args>(f: F, primals: Args::Refs<'_>) -> (F::Output, Pullback<Args, F::Output>)
where
    F: Function<Args>,
    Args: Arguments,
{
    let at = Location::caller();
    let made = split(&f, primals).and_then(|split| {
        let program = backward_program(&split)?;
        let map = Map { program: Arc::new(program), residuals: split.residuals };
        let pullback = Pullback {
            map: Ok(map),
            args: split.args,
            arg_avals: split.arg_avals,
            output: split.output.clone(),
            out_avals: split.out_avals,
        };
        Ok((split.output, pullback))
    });
    made.unwrap_or_else(|error| {
        let error = error.at(at);
        let output = settle(&f, primals, Err(error.clone()));
        let pullback = Pullback {
            map: Err(error),
            args: Args::own(primals),
            arg_avals: vec![],
            output: output.clone(),
            out_avals: vec![],
        };
        (output, pullback)
    })
}

/// From the cotangents of the float results and the residuals to those of the float arguments.
fn backward_program<Args, R>(split: &Split<Args, R>) -> Result<Program> {
    let mut b = Builder::new();
    let cts: Vec<Cotangent> = split
        .out_avals
        .iter()
        .map(|aval| match aval.is_float() {
            true => Cotangent::Value(b.input(aval.clone())),
            false => Cotangent::Zero,
        })
        .collect();
    let residuals = b.inputs(&split.linearized.residuals);
    let cts = split.linearized.backward(&mut b, &residuals, &cts)?;
    let avals = split.arg_avals.iter().filter(|aval| aval.is_float());
    let outputs = cts.iter().zip(avals).map(|(ct, aval)| ct.instantiate(&mut b, aval)).collect();
    Ok(pruned(b.finish(outputs)))
}

/// The value of a function, and its derivative there as a linear function, which can be applied
/// to many tangents without computing the value again.
///
/// # Source
/// `jax.linearize`.
#[track_caller]
pub fn linearize<F, Args>(f: F, primals: Args::Refs<'_>) -> (F::Output, Linear<Args, F::Output>)
where
    F: Function<Args>,
    Args: Arguments,
{
    let at = Location::caller();
    let made = split(&f, primals).and_then(|split| {
        let linear = &split.linearized;
        check_forward(&linear.linear)?;
        // Results that do not depend on the arguments have zero tangents.
        let mut b = Builder::new();
        let n_by = linear.linear.inputs().len() - linear.residuals.len();
        let tangents = b.inputs(&linear.linear.input_avals()[..n_by]);
        let residuals = b.inputs(&linear.residuals);
        let outputs = b.inline(&linear.linear, &[tangents, residuals].concat());
        let mut outputs = outputs.into_iter();
        let mut values = Vec::new();
        for (aval, &nonzero) in split.out_avals.iter().zip(&linear.nonzero) {
            match nonzero {
                true => values.push(outputs.next().expect("internal: one for each flag")),
                false if aval.is_float() => values.push(b.full(0.0, aval)),
                false => {}
            }
        }
        let map = Map { program: Arc::new(b.finish(values)), residuals: split.residuals };
        let linear = Linear {
            map: Ok(map),
            args: split.args,
            arg_avals: split.arg_avals,
            output: split.output.clone(),
            out_avals: split.out_avals,
        };
        Ok((split.output, linear))
    });
    made.unwrap_or_else(|error| {
        let error = error.at(at);
        let output = settle(&f, primals, Err(error.clone()));
        let linear = Linear {
            map: Err(error),
            args: Args::own(primals),
            arg_avals: vec![],
            output: output.clone(),
            out_avals: vec![],
        };
        (output, linear)
    })
}

/// The transpose of a function that is linear in its arguments, which say only their types.
///
/// # Source
/// `jax.linear_transpose`.
#[track_caller]
pub fn linear_transpose<F, Args>(f: F, like: Args::Refs<'_>) -> Pullback<Args, F::Output>
where
    F: Function<Args>,
    Args: Arguments,
{
    // The derivative of a linear function is the same everywhere, so it is taken at zero.
    let zeros = tree::map(&Args::own(like), Array::zeros_like);
    vjp(f, zeros.refs()).1
}

/// The product of the Hessian of a function that returns one number with `v`, by forward mode
/// over reverse mode; a tuple with a result for each argument.
///
/// # Examples
/// ```
/// use rondeau::{Array, hvp};
///
/// let x = Array::from([1.0_f32, 2.0]);
/// let (hv,) = hvp(|x: &Array| x.powi(3).sum(), (&x,), (&Array::from([1.0_f32, 0.0]),));
/// assert_eq!(hv.to_vec::<f32>()?, [6.0, 0.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn hvp<F, Args>(f: F, primals: Args::Refs<'_>, v: Args::Refs<'_>) -> Args
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
{
    let gradient = Gradient { f: &f };
    jvp::<_, Args>(gradient, primals, v).1
}

/// The gradient with respect to all arguments.
struct Gradient<'a, F> {
    f: &'a F,
}

impl<F, Args> Function<Args> for Gradient<'_, F>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
{
    type Output = Args;
    fn invoke(&self, args: Args::Refs<'_>) -> Args {
        let (value, pullback) = vjp(ByRef(self.f), args);
        match value.aval() {
            Ok(aval) if aval.is_float() && aval.rank() == 0 => pullback.apply(&value.ones_like()),
            Ok(aval) => poisoned(&Args::own(args), &Error::gradient_of(&aval.to_string())),
            Err(error) => poisoned(&Args::own(args), &error),
        }
    }
}

/// A function by reference.
pub(super) struct ByRef<'a, F>(pub(super) &'a F);

impl<F: Function<Args>, Args: Arguments> Function<Args> for ByRef<'_, F> {
    type Output = F::Output;
    fn invoke(&self, args: Args::Refs<'_>) -> F::Output {
        self.0.invoke(args)
    }
}
