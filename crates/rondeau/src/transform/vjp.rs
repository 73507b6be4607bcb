//! Reverse mode, composed: `vjp = jvp ∘ partial_eval ∘ transpose`.

use super::{Split, backward, jvp, partial_eval, pick};
use crate::error::Result;
use crate::ir::{Atom, Aval, Builder, Program};
use crate::prim::{Cotangent, Operand};

/// A program at a point: its value, and its derivative there as a linear program.
#[derive(Clone, Debug)]
pub struct Linearized {
    /// From the inputs to the outputs and the residuals.
    pub forward: Program,
    /// From the tangents of the `by` inputs and the residuals to the tangents of the outputs that
    /// `nonzero` names.
    pub linear: Program,
    /// Which outputs depend on the `by` inputs.
    pub nonzero: Vec<bool>,
    /// The types of the residuals.
    pub residuals: Vec<Aval>,
}

/// Splits a program into its value and its derivative by the inputs `by`, which must be floats.
pub fn linearize(program: &Program, by: &[bool]) -> Linearized {
    let n_out = program.outputs().len();
    let jvp = jvp(program, by, &vec![false; n_out]);
    let n_tangents = jvp.program.inputs().len() - by.len();
    let n_nonzero = jvp.program.outputs().len() - n_out;
    let unknown = [vec![false; by.len()], vec![true; n_tangents]].concat();
    let force = [vec![false; n_out], vec![true; n_nonzero]].concat();
    let Split { known, unknown, residuals, .. } = partial_eval(&jvp.program, &unknown, &force);
    Linearized { forward: known, linear: unknown, nonzero: jvp.nonzero, residuals }
}

impl Linearized {
    /// Appends the backward pass: from the residuals and a cotangent for each output to one for
    /// each of the `by` inputs.
    ///
    /// # Errors
    /// If a primitive on the way has no transpose.
    pub fn backward(
        &self,
        b: &mut Builder,
        residuals: &[Atom],
        cts: &[Cotangent],
    ) -> Result<Vec<Cotangent>> {
        let avals = self.linear.input_avals();
        let n_by = avals.len() - residuals.len();
        let mut operands: Vec<Operand> =
            avals[..n_by].iter().cloned().map(Operand::Linear).collect();
        operands.extend(residuals.iter().map(|&atom| Operand::Known(atom)));
        let mut result = backward(b, &self.linear, &operands, &pick(cts, &self.nonzero))?;
        result.truncate(n_by);
        Ok(result)
    }
}

/// Appends the program and its backward pass; its outputs, and a cotangent for each of the `by`
/// inputs. `cts` makes the cotangents of the outputs.
///
/// # Errors
/// If a primitive on the way has no transpose.
pub fn vjp_into(
    b: &mut Builder,
    program: &Program,
    inputs: &[Atom],
    by: &[bool],
    cts: impl FnOnce(&mut Builder, &[Atom]) -> Vec<Cotangent>,
) -> Result<(Vec<Atom>, Vec<Cotangent>)> {
    let linearized = linearize(program, by);
    let mut outputs = b.inline(&linearized.forward, inputs);
    let residuals = outputs.split_off(program.outputs().len());
    let cts = cts(b, &outputs);
    let cts = linearized.backward(b, &residuals, &cts)?;
    Ok((outputs, cts))
}

/// The vector-Jacobian product as one program: from the inputs and a cotangent for each float
/// output, to the outputs and a cotangent for each of the `by` inputs.
///
/// # Errors
/// If a primitive on the way has no transpose.
pub fn vjp(program: &Program, by: &[bool]) -> Result<Program> {
    let mut b = Builder::new();
    let avals = program.input_avals();
    let inputs = b.inputs(&avals);
    let cts: Vec<Cotangent> = program
        .output_avals()
        .into_iter()
        .map(|aval| match aval.is_float() {
            true => Cotangent::Value(b.input(aval)),
            false => Cotangent::Zero,
        })
        .collect();
    let (outputs, cts) = vjp_into(&mut b, program, &inputs, by, |_, _| cts)?;
    let avals = pick(&avals, by);
    let cts: Vec<Atom> =
        cts.iter().zip(&avals).map(|(ct, aval)| ct.instantiate(&mut b, aval)).collect();
    Ok(super::pruned(b.finish([outputs, cts].concat())))
}

/// Appends the backward pass of a program of which some equations mix known and linear values:
/// the known part is computed first.
///
/// # Errors
/// If a primitive on the way has no transpose.
pub fn split_and_backward(
    b: &mut Builder,
    program: &Program,
    inputs: &[Operand],
    cts: &[Cotangent],
) -> Result<Vec<Cotangent>> {
    let linear: Vec<bool> = inputs.iter().map(Operand::is_linear).collect();
    let split = partial_eval(program, &linear, &vec![true; cts.len()]);
    let known: Vec<Atom> =
        inputs.iter().filter(|x| !x.is_linear()).map(|operand| operand.known()).collect();
    let residuals = b.inline(&split.known, &known);
    let operands: Vec<Operand> = pick(inputs, &linear)
        .into_iter()
        .chain(residuals.into_iter().map(Operand::Known))
        .collect();
    let mut of_linear = backward(b, &split.unknown, &operands, cts)?.into_iter();
    let of = |operand: &Operand| match operand {
        Operand::Linear(_) => of_linear.next().expect("internal: one for each linear input"),
        Operand::Known(_) => Cotangent::Zero,
    };
    Ok(inputs.iter().map(of).collect())
}
