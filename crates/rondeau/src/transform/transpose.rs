//! Runs a linear program backwards: from the cotangents of its outputs to those of its inputs.

use crate::error::Result;
use crate::ir::{Atom, Builder, Program};
use crate::prim::{Cotangent, Operand};

/// Appends the transpose of a program that is linear in its linear inputs; a cotangent for each
/// input, zero for the known ones.
///
/// # Errors
/// If a primitive on the way has no transpose.
pub fn backward(
    b: &mut Builder,
    program: &Program,
    inputs: &[Operand],
    cts: &[Cotangent],
) -> Result<Vec<Cotangent>> {
    // What the linear equations read of known values is computed first, in program order.
    let mut known: Vec<Option<Atom>> = vec![None; program.n_vars()];
    let mut linear = Vec::new();
    for (&var, operand) in program.inputs().iter().zip(inputs) {
        if let Operand::Known(atom) = operand {
            known[var.index()] = Some(*atom);
        }
    }
    for eqn in program.eqns() {
        let inputs: Vec<Option<Atom>> = eqn.inputs.iter().map(|&atom| read(&known, atom)).collect();
        match inputs.iter().copied().collect::<Option<Vec<Atom>>>() {
            Some(inputs) => {
                let outputs = b.bind(eqn.prim.clone(), &inputs);
                for (var, atom) in eqn.outputs.iter().zip(outputs) {
                    known[var.index()] = Some(atom);
                }
            }
            None => linear.push(eqn),
        }
    }
    // Each linear equation is visited once, after every equation that reads its outputs.
    let mut ct_of = vec![Cotangent::Zero; program.n_vars()];
    let add = |b: &mut Builder, ct_of: &mut Vec<Cotangent>, atom: Atom, ct: Cotangent| {
        if let Atom::Var(var) = atom {
            ct_of[var.index()] = b.add_cotangents(ct_of[var.index()], ct);
        }
    };
    for (&atom, &ct) in program.outputs().iter().zip(cts) {
        add(b, &mut ct_of, atom, ct);
    }
    for eqn in linear.into_iter().rev() {
        let cts: Vec<Cotangent> = eqn.outputs.iter().map(|var| ct_of[var.index()]).collect();
        if cts.iter().all(|ct| *ct == Cotangent::Zero) {
            continue;
        }
        let operands: Vec<Operand> = eqn
            .inputs
            .iter()
            .map(|&atom| match read(&known, atom) {
                Some(atom) => Operand::Known(atom),
                None => Operand::Linear(program.aval(atom)),
            })
            .collect();
        let results = eqn.prim.transpose(b, &cts, &operands)?;
        for ((&atom, operand), ct) in eqn.inputs.iter().zip(&operands).zip(results) {
            if operand.is_linear() {
                add(b, &mut ct_of, atom, ct);
            }
        }
    }
    let of_input = |(var, operand): (&crate::ir::Var, &Operand)| match operand {
        Operand::Linear(_) => ct_of[var.index()],
        Operand::Known(_) => Cotangent::Zero,
    };
    Ok(program.inputs().iter().zip(inputs).map(of_input).collect())
}

fn read(known: &[Option<Atom>], atom: Atom) -> Option<Atom> {
    match atom {
        Atom::Lit(_) => Some(atom),
        Atom::Var(var) => known[var.index()],
    }
}
