//! Batches: a program for all examples at once. The axis of examples is always axis 0.

use super::positions;
use crate::ir::{Atom, Builder, Program};
use crate::prim::Batched;

/// Appends the program for `size` examples; its outputs.
pub fn vmap_into(
    b: &mut Builder,
    program: &Program,
    size: usize,
    inputs: &[Batched],
) -> Vec<Batched> {
    let mut env = vec![None; program.n_vars()];
    for (&var, &input) in program.inputs().iter().zip(inputs) {
        env[var.index()] = Some(input);
    }
    let read = |env: &[Option<Batched>], atom: Atom| match atom {
        Atom::Lit(_) => Batched::Shared(atom),
        Atom::Var(var) => env[var.index()].expect("internal: bound before use"),
    };
    for eqn in program.eqns() {
        let inputs: Vec<Batched> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
        let outputs: Vec<Batched> = if inputs.iter().any(|x| x.is_mapped()) {
            eqn.prim.batch(b, size, &inputs)
        } else {
            let inputs: Vec<Atom> = inputs.into_iter().map(Batched::atom).collect();
            b.bind(eqn.prim.clone(), &inputs).into_iter().map(Batched::Shared).collect()
        };
        for (&var, output) in eqn.outputs.iter().zip(outputs) {
            env[var.index()] = Some(output);
        }
    }
    program.outputs().iter().map(|&atom| read(&env, atom)).collect()
}

/// A program for all examples at once.
#[derive(Clone, Debug)]
pub struct Vmapped {
    /// From inputs to outputs, the mapped ones with the axis of examples.
    pub program: Program,
    /// Which outputs have the axis of examples.
    pub mapped: Vec<bool>,
}

/// The program for `size` examples, of which the `mapped` inputs have one each. Outputs named by
/// `force` have the axis of examples in any case.
pub fn vmap(program: &Program, size: usize, mapped: &[bool], force: &[bool]) -> Vmapped {
    let mut b = Builder::new();
    let inputs: Vec<Batched> = program
        .input_avals()
        .iter()
        .zip(mapped)
        .map(|(aval, &mapped)| match mapped {
            true => Batched::Mapped(b.input(aval.prepend(size))),
            false => Batched::Shared(b.input(aval.clone())),
        })
        .collect();
    let mut outputs = vmap_into(&mut b, program, size, &inputs);
    for i in positions(force) {
        outputs[i] = Batched::Mapped(outputs[i].materialize(&mut b, size));
    }
    let mapped = outputs.iter().map(|output| output.is_mapped()).collect();
    Vmapped { program: b.finish(outputs.into_iter().map(Batched::atom).collect()), mapped }
}
