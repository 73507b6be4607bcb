//! Whole Jacobians and Hessians.

use std::sync::Arc;

use super::function::{Selected, TracedFunction, avals, owned, selected, trace_function};
use super::linear::check_forward;
use super::{Arg, Arguments, Function, Selection, Transformed};
use crate::buffer::{DType, Shape};
use crate::error::{Error, Result};
use crate::ir::{Atom, Aval, Builder, Program};
use crate::prim::{Batched, Binary, Cotangent, Iota};
use crate::trace::{Array, apply, poisoned};
use crate::transform::{Linearized, linearize, pruned, vmap_into};
use crate::tree;

/// The Jacobian by reverse mode; see [`jacrev`].
#[derive(Clone, Copy)]
pub struct JacRev<F, S> {
    f: F,
    by: S,
}

/// The Jacobian by forward mode; see [`jacfwd`].
#[derive(Clone, Copy)]
pub struct JacFwd<F, S> {
    f: F,
    by: S,
}

/// The matrix of second derivatives; see [`hessian`].
#[derive(Clone, Copy)]
pub struct Hessian<F, S> {
    f: F,
    by: S,
}

/// The Jacobian of a function that returns one array, by reverse mode: good for few outputs.
///
/// # Shapes
/// The structure of the first argument; a leaf of shape `in` becomes `[out.., in..]`.
/// # Source
/// `jax.jacrev`.
/// # Examples
/// ```
/// use rondeau::{Array, jacrev};
///
/// let x = Array::from([1.0_f32, 2.0]);
/// let jacobian = jacrev(|x: &Array| x.square()).call(&x)?;
/// assert_eq!(jacobian.to_vec::<f32>()?, [2.0, 0.0, 0.0, 4.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn jacrev<F, Args>(f: F) -> Transformed<JacRev<F, Arg<0>>, Args>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
{
    Transformed::new(JacRev { f, by: Arg })
}

/// The Jacobian of a function that returns one array, by forward mode: good for few inputs.
///
/// # Shapes
/// As for [`jacrev`].
/// # Source
/// `jax.jacfwd`.
pub fn jacfwd<F, Args>(f: F) -> Transformed<JacFwd<F, Arg<0>>, Args>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
{
    Transformed::new(JacFwd { f, by: Arg })
}

/// The second derivatives of a function that returns one number, by forward over reverse mode.
///
/// # Shapes
/// For each leaf of the first argument, in order, one tree of the argument's structure: entry `i`
/// holds, for a leaf `j` of its tree, the block `[leaf i.., leaf j..]`. For a single array it is
/// `hessian(f).call(&x)?[0]`.
/// # Source
/// `jax.hessian`.
/// # Examples
/// ```
/// use rondeau::{Array, hessian};
///
/// let x = Array::from([1.0_f32, 2.0]);
/// let h = hessian(|x: &Array| x.powi(3).sum()).call(&x)?;
/// assert_eq!(h[0].to_vec::<f32>()?, [6.0, 0.0, 0.0, 12.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn hessian<F, Args>(f: F) -> Transformed<Hessian<F, Arg<0>>, Args>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
{
    Transformed::new(Hessian { f, by: Arg })
}

macro_rules! wrt {
    ($($kind:ident)*) => {$(
        impl<F, S, Args> Transformed<$kind<F, S>, Args> {
            /// With respect to these arguments: `.wrt(Arg::<1>)`, or several as a tuple.
            pub fn wrt<T: Selection<Args>>(self, by: T) -> Transformed<$kind<F, T>, Args> {
                self.map(|kind| $kind { f: kind.f, by })
            }
        }
    )*};
}
wrt!(JacRev JacFwd Hessian);

/// A traced function and which of its inputs are selected.
struct Setting<R, T> {
    traced: TracedFunction<R>,
    inputs: Vec<Array>,
    /// Positions of the selected leaves among the program's inputs, in the order of selection.
    by: Vec<usize>,
    selected: T,
}

fn set_up<F, Args, S>(
    f: &F,
    args: Args::Refs<'_>,
    by: S,
    op: &str,
) -> Result<Setting<F::Output, S::Selected>>
where
    F: Function<Args>,
    Args: Arguments,
    S: Selection<Args>,
{
    let args = Args::own(args);
    let avals = avals(&args)?;
    let Selected { leaves, tree } = selected(op, by, &args)?;
    let traced = trace_function(f, &args, &avals)?;
    let n_captured = traced.closed.captured.len();
    let inputs = [traced.closed.captured.clone(), owned(&args)].concat();
    let by = leaves.into_iter().map(|leaf| n_captured + leaf).collect();
    Ok(Setting { traced, inputs, by, selected: tree })
}

/// The one output's type, which must be a float.
fn float_output(op: &str, program: &Program) -> Result<Aval> {
    let aval = program.aval(program.outputs()[0]);
    match aval.is_float() {
        true => Ok(aval),
        false => Err(Error::derivative_of(op, &aval.to_string())),
    }
}

/// All unit arrays of a type, along a new axis 0.
fn basis(b: &mut Builder, aval: &Aval) -> Atom {
    let n = aval.shape.count();
    let square = Shape::from([n, n]);
    let [rows, columns] =
        [0, 1].map(|axis| b.bind1(Iota { dtype: DType::I32, shape: square.clone(), axis }, &[]));
    let diagonal = b.binary(Binary::Eq, rows, columns);
    let ones = b.convert(diagonal, aval.dtype);
    b.reshape(ones, &aval.shape.prepend(n))
}

/// The flags of the selected inputs, and for each its place among the flagged.
fn flags(n_inputs: usize, by: &[usize]) -> (Vec<bool>, Vec<usize>) {
    let mut flags = vec![false; n_inputs];
    by.iter().for_each(|&i| flags[i] = true);
    let place = |&i: &usize| flags[..i].iter().filter(|&&flag| flag).count();
    let places = by.iter().map(place).collect();
    (flags, places)
}

/// From the inputs to the blocks of the Jacobian of output 0, by reverse mode.
fn reverse_program(program: &Program, by: &[usize], out: &Aval) -> Result<Program> {
    let mut b = Builder::new();
    let inputs = b.inputs(&program.input_avals());
    let (flags, places) = flags(inputs.len(), by);
    let linearized = linearize(program, &flags);
    let residuals = b.inline(&linearized.forward, &inputs).split_off(program.outputs().len());
    let backward = backward_of_first(&linearized, program, out)?;
    let n = out.shape.count();
    let ct = basis(&mut b, out);
    let mut arguments = vec![Batched::Mapped(ct)];
    arguments.extend(residuals.into_iter().map(Batched::Shared));
    let rows = vmap_into(&mut b, &backward, n, &arguments);
    let blocks = by
        .iter()
        .zip(places)
        .map(|(&i, place)| {
            let row = rows[place].materialize(&mut b, n);
            let shape = [&out.shape[..], &program.input_avals()[i].shape].concat();
            b.reshape(row, &shape.into())
        })
        .collect();
    Ok(pruned(b.finish(blocks)))
}

/// From a cotangent of output 0 and the residuals to the cotangents of the selected inputs.
fn backward_of_first(linearized: &Linearized, program: &Program, out: &Aval) -> Result<Program> {
    let mut b = Builder::new();
    let ct = b.input(out.clone());
    let residuals = b.inputs(&linearized.residuals);
    let mut cts = vec![Cotangent::Zero; program.outputs().len()];
    cts[0] = Cotangent::Value(ct);
    let results = linearized.backward(&mut b, &residuals, &cts)?;
    let avals = linearized.linear.input_avals();
    let outputs =
        results.iter().zip(&avals).map(|(ct, aval)| ct.instantiate(&mut b, aval)).collect();
    Ok(b.finish(outputs))
}

/// From the inputs to the blocks `[output][selected input]` of the Jacobian, by forward mode.
fn forward_program(program: &Program, by: &[usize]) -> Result<Program> {
    let mut b = Builder::new();
    let in_avals = program.input_avals();
    let inputs = b.inputs(&in_avals);
    let (flags, places) = flags(inputs.len(), by);
    let linearized = linearize(program, &flags);
    check_forward(&linearized.linear)?;
    let residuals = b.inline(&linearized.forward, &inputs).split_off(program.outputs().len());
    let tangent_avals = linearized.linear.input_avals();
    let n_by = tangent_avals.len() - residuals.len();
    // One batch of unit tangents for each selected input.
    let mut columns: Vec<Vec<Option<Atom>>> = Vec::new();
    for (&i, &place) in by.iter().zip(&places) {
        let n = in_avals[i].shape.count();
        let unit = basis(&mut b, &in_avals[i]);
        let mut arguments: Vec<Batched> = Vec::new();
        for (j, aval) in tangent_avals[..n_by].iter().enumerate() {
            arguments.push(match j == place {
                true => Batched::Mapped(unit),
                false => Batched::Shared(b.full(0.0, aval)),
            });
        }
        arguments.extend(residuals.iter().map(|&atom| Batched::Shared(atom)));
        let mut outs = vmap_into(&mut b, &linearized.linear, n, &arguments).into_iter();
        let mut column = Vec::new();
        for &nonzero in &linearized.nonzero {
            let out = nonzero.then(|| outs.next().expect("internal: one for each flag"));
            column.push(out.map(|out| out.materialize(&mut b, n)));
        }
        columns.push(column);
    }
    let mut blocks = Vec::new();
    for (o, out) in program.output_avals().iter().enumerate() {
        for (column, &i) in columns.iter().zip(by) {
            let shape: Shape = [&out.shape[..], &in_avals[i].shape].concat().into();
            blocks.push(match column[o] {
                Some(column) => {
                    let rank = out.rank();
                    let last = b.move_axis(column, 0, rank);
                    b.reshape(last, &shape)
                }
                None => b.full(0.0, &Aval::new(out.dtype, shape)),
            });
        }
    }
    Ok(pruned(b.finish(blocks)))
}

impl<F, Args, S> Function<Args> for JacRev<F, S>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
    S: Selection<Args>,
{
    type Output = S::Selected;
    fn invoke(&self, args: Args::Refs<'_>) -> S::Selected {
        let run = || {
            let setting = set_up(&self.f, args, self.by, "jacrev")?;
            let program = &setting.traced.closed.program;
            let out = float_output("jacrev", program)?;
            let jacobian = reverse_program(program, &setting.by, &out)?;
            let blocks = apply(&Arc::new(jacobian), &setting.inputs)?;
            Ok(tree::rebuild(&setting.selected, blocks))
        };
        run().unwrap_or_else(|error| poisoned(&self.by.select(&Args::own(args)), &error))
    }
}

impl<F, Args, S> Function<Args> for JacFwd<F, S>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
    S: Selection<Args>,
{
    type Output = S::Selected;
    fn invoke(&self, args: Args::Refs<'_>) -> S::Selected {
        let run = || {
            let setting = set_up(&self.f, args, self.by, "jacfwd")?;
            let program = &setting.traced.closed.program;
            float_output("jacfwd", program)?;
            let jacobian = forward_program(program, &setting.by)?;
            let blocks = apply(&Arc::new(jacobian), &setting.inputs)?;
            Ok(tree::rebuild(&setting.selected, blocks))
        };
        run().unwrap_or_else(|error| poisoned(&self.by.select(&Args::own(args)), &error))
    }
}

impl<F, Args, S> Function<Args> for Hessian<F, S>
where
    F: Function<Args, Output = Array>,
    Args: Arguments,
    S: Selection<Args>,
{
    type Output = Vec<S::Selected>;
    fn invoke(&self, args: Args::Refs<'_>) -> Vec<S::Selected> {
        let run = || {
            let gradient = super::grad(super::linear::ByRef(&self.f)).wrt(self.by);
            let setting = set_up(&gradient, args, self.by, "hessian")?;
            let second = forward_program(&setting.traced.closed.program, &setting.by)?;
            let blocks = apply(&Arc::new(second), &setting.inputs)?;
            let rows = blocks.chunks(setting.by.len().max(1));
            Ok(rows.map(|row| tree::rebuild(&setting.selected, row.to_vec())).collect())
        };
        run().unwrap_or_else(|error| {
            let selected = self.by.select(&Args::own(args));
            vec![poisoned(&selected, &error); tree::count(&selected)]
        })
    }
}

opaque_debug!(JacRev<F, S> JacFwd<F, S> Hessian<F, S>);
