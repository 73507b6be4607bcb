//! Functions with a derivative, or a memory policy, of their own.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

use super::function::{avals, owned, settle, trace_function};
use super::linear::derivative_tree;
use super::{Arguments, Function, Transformed};
use crate::error::{Error, Result};
use crate::ir::{Aval, Builder, Program};
use crate::prim::{Call, CallKind};
use crate::trace::{Array, Closed, bind, trace};
use crate::tree::{self, Tree};

/// A function whose intermediate values are computed again; see [`checkpoint`].
#[derive(Clone, Copy)]
pub struct Checkpoint<F> {
    f: F,
    at: &'static Location<'static>,
}

/// A function with a rule for tangents; see [`custom_jvp`].
#[derive(Clone, Copy)]
pub struct CustomJvp<F, Rule> {
    f: F,
    rule: Rule,
    at: &'static Location<'static>,
}

/// A function with a rule for cotangents; see [`custom_vjp`].
#[derive(Clone, Copy)]
pub struct CustomVjp<F, Forward, Backward> {
    f: F,
    forward: Forward,
    backward: Backward,
    at: &'static Location<'static>,
}

/// The same function; reverse mode keeps only its arguments and computes everything inside again
/// in the backward pass. Around the step of a scan it trades time for memory.
///
/// # Source
/// `jax.checkpoint` (rematerialisation).
/// # Examples
/// ```
/// use rondeau::{Array, checkpoint, grad};
///
/// let f = checkpoint(|x: &Array| x.sin().sin());
/// let slope = grad(f).call(&Array::from(0.5_f32))?;
/// assert_eq!(slope.item::<f32>()?, grad(|x: &Array| x.sin().sin()).call(&Array::from(0.5_f32))?.item()?);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn checkpoint<F, Args>(f: F) -> Transformed<Checkpoint<F>, Args>
where
    F: Function<Args>,
    Args: Arguments,
{
    Transformed::new(Checkpoint { f, at: Location::caller() })
}

impl<F: Function<Args>, Args: Arguments> Function<Args> for Checkpoint<F> {
    type Output = F::Output;
    fn invoke(&self, args: Args::Refs<'_>) -> F::Output {
        let run = || {
            let args = Args::own(args);
            let traced = trace_function(&self.f, &args, &avals(&args)?)?;
            let prim = Call { kind: CallKind::Remat, body: traced.closed.program };
            let inputs = [traced.closed.captured, owned(&args)].concat();
            Ok(tree::rebuild(&traced.output, bind(prim, &inputs, self.at)?))
        };
        settle(&self.f, args, run())
    }
}

/// A function with its own rule for tangents: `rule(&primals, &tangents)` returns the value and
/// its tangent, both of the function's type. Primals and tangents are tuples of the arguments;
/// tangents of integers are zero. The rule must be linear in the tangents, so that reverse mode
/// can transpose it.
///
/// # Source
/// `jax.custom_jvp`.
/// # Examples
/// ```
/// use rondeau::{Array, custom_jvp, grad};
///
/// // Rounds, and pretends to be the identity when differentiated.
/// let round = custom_jvp(|x: &Array| x.round(), |(x,), (dx,)| (x.round(), dx.clone()));
/// assert_eq!(grad(round).call(&Array::from(0.3_f32))?.item::<f32>()?, 1.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn custom_jvp<F, Args, Rule>(f: F, rule: Rule) -> Transformed<CustomJvp<F, Rule>, Args>
where
    F: Function<Args>,
    Args: Arguments,
    Rule: Fn(&Args, &Args) -> (F::Output, F::Output),
{
    Transformed::new(CustomJvp { f, rule, at: Location::caller() })
}

/// A function with its own rule for cotangents: `forward(&arguments)` returns the value and what
/// the other needs, `backward(&residuals, &cotangent)` the cotangents of the arguments as a tuple.
/// Reverse mode uses them; forward mode gives a clear error.
///
/// # Source
/// `jax.custom_vjp`.
/// # Examples
/// ```
/// use rondeau::{Array, custom_vjp, grad};
///
/// // The identity, whose gradient is clipped.
/// let gentle = custom_vjp(
///     |x: &Array| x.clone(),
///     |(x,): &(Array,)| (x.clone(), ()),
///     |(): &(), ct: &Array| (ct.clip(-0.1, 0.1),),
/// );
/// let slope = grad(|x: &Array| gentle.apply(&(x * 3.0)));
/// assert_eq!(slope.call(&Array::from(1.0_f32))?.item::<f32>()?, 0.3);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn custom_vjp<F, Args, Forward, Backward, Residuals>(
    f: F,
    forward: Forward,
    backward: Backward,
) -> Transformed<CustomVjp<F, Forward, Backward>, Args>
where
    F: Function<Args>,
    Args: Arguments,
    Forward: Fn(&Args) -> (F::Output, Residuals),
    Backward: Fn(&Residuals, &F::Output) -> Args,
    Residuals: Tree,
{
    Transformed::new(CustomVjp { f, forward, backward, at: Location::caller() })
}

fn unnamed(avals: &[Aval]) -> Vec<(Aval, String)> {
    avals.iter().map(|aval| (aval.clone(), String::new())).collect()
}

fn floats(avals: &[Aval]) -> Vec<Aval> {
    avals.iter().filter(|aval| aval.is_float()).cloned().collect()
}

/// The float leaves of a result that a rule returned; it must have the structure and types that
/// `need` has.
fn rule_result<T: Tree>(
    rule: &str,
    what: &str,
    need: &T,
    avals: &[Aval],
    got: &T,
) -> Result<Vec<Array>> {
    let (a, b) = (tree::structure_of(need), tree::structure_of(got));
    if a != b {
        let whole = what.replace(" of argument", "s of the arguments together");
        return Err(Error::custom_rule(rule, &whole, &a, &b));
    }
    let mut leaves = Vec::new();
    for (aval, (path, leaf)) in avals.iter().zip(tree::leaves_with_paths(got)) {
        let path = if path.is_empty() { what.to_owned() } else { format!("{what} {path}") };
        if leaf.aval()? != *aval {
            return Err(Error::custom_rule(rule, &path, &aval.to_string(), &leaf.describe()));
        }
        if aval.is_float() {
            leaves.push(leaf.clone());
        }
    }
    Ok(leaves)
}

impl<F, Args, Rule> Function<Args> for CustomJvp<F, Rule>
where
    F: Function<Args>,
    Args: Arguments,
    Rule: Fn(&Args, &Args) -> (F::Output, F::Output),
{
    type Output = F::Output;
    fn invoke(&self, args: Args::Refs<'_>) -> F::Output {
        let run = || {
            let args = Args::own(args);
            let arg_avals = avals(&args)?;
            let traced = trace_function(&self.f, &args, &arg_avals)?;
            let out_avals = traced.closed.program.output_avals();
            let n_args = arg_avals.len();
            let inputs = unnamed(&[&arg_avals[..], &floats(&arg_avals)].concat());
            let rule = trace(inputs, |mut variables| {
                let tangents = variables.split_off(n_args);
                let tangents = derivative_tree(&args, &arg_avals, tangents);
                let (out, dout) = (self.rule)(&tree::rebuild(&args, variables), &tangents);
                let need = &traced.output;
                rule_result("custom_jvp", "the value", need, &out_avals, &out)?;
                let dout = rule_result("custom_jvp", "the tangent", need, &out_avals, &dout)?;
                Ok([owned(&out), dout].concat())
            })?;
            let captured = [traced.closed.captured.clone(), rule.captured.clone()].concat();
            let all: Result<Vec<Aval>> = captured.iter().map(Array::aval).collect();
            let all = all?;
            let prim = Call {
                body: Arc::new(traced.closed.taking_all(&all, 0)),
                kind: CallKind::CustomJvp {
                    n_consts: all.len(),
                    rule: Arc::new(rule.taking_all(&all, traced.closed.captured.len())),
                },
            };
            let outputs = bind(prim, &[captured, owned(&args)].concat(), self.at)?;
            Ok(tree::rebuild(&traced.output, outputs))
        };
        settle(&self.f, args, run().map_err(|error: Error| error.at(self.at)))
    }
}

impl<F, Args, Forward, Backward, Residuals> Function<Args> for CustomVjp<F, Forward, Backward>
where
    F: Function<Args>,
    Args: Arguments,
    Forward: Fn(&Args) -> (F::Output, Residuals),
    Backward: Fn(&Residuals, &F::Output) -> Args,
    Residuals: Tree,
{
    type Output = F::Output;
    fn invoke(&self, args: Args::Refs<'_>) -> F::Output {
        let run = || {
            let args = Args::own(args);
            let arg_avals = avals(&args)?;
            let traced = trace_function(&self.f, &args, &arg_avals)?;
            let out_avals = traced.closed.program.output_avals();
            let template = RefCell::new(None);
            let forward = trace(unnamed(&arg_avals), |variables| {
                let (out, residuals) = (self.forward)(&tree::rebuild(&args, variables));
                rule_result("custom_vjp", "the value", &traced.output, &out_avals, &out)?;
                let leaves = [owned(&out), owned(&residuals)].concat();
                *template.borrow_mut() = Some(residuals);
                Ok(leaves)
            })?;
            let template = template.into_inner().expect("internal: it has run");
            let residual_avals = forward.program.output_avals().split_off(out_avals.len());
            let n_residuals = residual_avals.len();
            let inputs = unnamed(&[&residual_avals[..], &floats(&out_avals)].concat());
            let backward = trace(inputs, |mut variables| {
                let cts =
                    derivative_tree(&traced.output, &out_avals, variables.split_off(n_residuals));
                let result = (self.backward)(&tree::rebuild(&template, variables), &cts);
                rule_result("custom_vjp", "the cotangent of argument", &args, &arg_avals, &result)
            })?;

            let groups = [&traced.closed.captured, &forward.captured, &backward.captured];
            let captured: Vec<Array> = groups.into_iter().flatten().cloned().collect();
            let all: Result<Vec<Aval>> = captured.iter().map(Array::aval).collect();
            let all = all?;
            let n_body = traced.closed.captured.len();
            let n_forward = n_body + forward.captured.len();
            let prim = Call {
                body: Arc::new(traced.closed.taking_all(&all, 0)),
                kind: CallKind::CustomVjp {
                    n_consts: all.len(),
                    forward: Arc::new(forward_with(&forward, &all, n_body, n_forward)),
                    backward: Arc::new(backward_with(&backward, n_residuals)),
                },
            };
            let outputs = bind(prim, &[captured, owned(&args)].concat(), self.at)?;
            Ok(tree::rebuild(&traced.output, outputs))
        };
        settle(&self.f, args, run().map_err(|error: Error| error.at(self.at)))
    }
}

/// The forward rule; what the backward rule captured is passed on behind its residuals.
fn forward_with(forward: &Closed, all: &[Aval], offset: usize, backward_from: usize) -> Program {
    let program = forward.taking_all(all, offset);
    let mut b = Builder::new();
    let inputs = b.inputs(&program.input_avals());
    let outputs = b.inline(&program, &inputs);
    b.finish([&outputs[..], &inputs[backward_from..all.len()]].concat())
}

/// The backward rule, with what it captured between its residuals and the cotangents.
fn backward_with(backward: &Closed, n_residuals: usize) -> Program {
    let n_captured = backward.captured.len();
    let avals = backward.program.input_avals();
    let (captured, rest) = avals.split_at(n_captured);
    let (residuals, cts) = rest.split_at(n_residuals);
    let mut b = Builder::new();
    let residuals = b.inputs(residuals);
    let captured = b.inputs(captured);
    let cts = b.inputs(cts);
    let outputs = b.inline(&backward.program, &[captured, residuals, cts].concat());
    b.finish(outputs)
}

opaque_debug!(Checkpoint<F> CustomJvp<F, Rule> CustomVjp<F, Forward, Backward>);
