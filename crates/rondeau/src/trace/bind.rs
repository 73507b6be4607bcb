//! The one door from arrays to primitives and programs.

use std::panic::Location;
use std::sync::Arc;

use super::Array;
use super::array::Repr;
use super::tracer::{innermost, record};
use crate::buffer::Buffer;
use crate::error::{Error, Misfit, Result};
use crate::ir::{Aval, Program};
use crate::prim::Prim;

/// Computes a primitive, or appends it to the innermost trace; its outputs.
///
/// # Errors
/// The mistake that an input carries; or that the inputs do not fit.
pub(crate) fn bind(
    prim: impl Into<Prim>,
    inputs: &[Array],
    at: &'static Location<'static>,
) -> Result<Vec<Array>> {
    let prim = prim.into();
    let misfit = |misfit: Misfit| {
        let avals: Vec<String> = inputs.iter().map(Array::describe).collect();
        Error::misfit(prim.name(), &avals, misfit).at(at)
    };
    if let Some(error) = inputs.iter().find_map(Array::error) {
        return Err(error.clone());
    }
    if let Some(trace) = innermost(inputs) {
        return record(&trace, inputs, |builder, atoms| {
            builder.try_bind(prim.clone(), atoms).map_err(misfit)
        })
        .map_err(|error| error.at(at));
    }
    let avals: Result<Vec<Aval>> = inputs.iter().map(Array::aval).collect();
    prim.infer(&avals?).map_err(misfit)?;
    let outputs = prim.eval(&values(inputs));
    Ok(outputs.into_iter().map(Array::from_buffer).collect())
}

/// As [`bind`] for a primitive with one output; a mistake becomes the output.
pub(crate) fn bind1(
    prim: impl Into<Prim>,
    inputs: &[Array],
    at: &'static Location<'static>,
) -> Array {
    match bind(prim, inputs, at) {
        Ok(mut outputs) => outputs.pop().unwrap_or_else(|| unreachable!("internal: one output")),
        Err(error) => Array::mistake(error),
    }
}

/// Runs a program, or appends it to the innermost trace; its outputs. The inputs have its types.
///
/// # Errors
/// The mistake that an input carries; or that a value of the program is too large.
pub(crate) fn apply(program: &Arc<Program>, inputs: &[Array]) -> Result<Vec<Array>> {
    if let Some(error) = inputs.iter().find_map(Array::error) {
        return Err(error.clone());
    }
    check_sizes(program)?;
    if let Some(trace) = innermost(inputs) {
        return record(&trace, inputs, |builder, atoms| Ok(builder.inline(program, atoms)));
    }
    let outputs = crate::ir::eval(program, &values(inputs));
    Ok(outputs.into_iter().map(Array::from_buffer).collect())
}

/// Refuses a program with values that are larger than an array can be.
pub(crate) fn check_sizes(program: &Program) -> Result<()> {
    match program.oversized() {
        Some(aval) => Err(Error::too_large(&aval.shape.to_string())),
        None => Ok(()),
    }
}

fn values(inputs: &[Array]) -> Vec<Buffer> {
    let value = |array: &Array| match &array.0 {
        Repr::Value(buffer) => buffer.clone(),
        Repr::Traced(_) | Repr::Mistake(_) => unreachable!("internal: all inputs are values"),
    };
    inputs.iter().map(value).collect()
}
