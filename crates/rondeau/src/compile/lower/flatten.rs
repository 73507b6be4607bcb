//! Calls dissolve: all that was special about them was their derivative.

use crate::ir::{Atom, Builder, Program};
use crate::prim::Prim;

/// The program with the bodies of calls in their place.
pub(super) fn flatten(program: &Program) -> Program {
    let has_calls = program.eqns().iter().any(|eqn| matches!(eqn.prim, Prim::Call(_)));
    if !has_calls {
        return program.clone();
    }
    let mut b = Builder::new();
    let inputs = b.inputs(&program.input_avals());
    let outputs = inline(&mut b, program, &inputs);
    b.finish(outputs)
}

fn inline(b: &mut Builder, program: &Program, inputs: &[Atom]) -> Vec<Atom> {
    let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
    for (var, &atom) in program.inputs().iter().zip(inputs) {
        env[var.index()] = Some(atom);
    }
    let read = |env: &[Option<Atom>], atom: Atom| match atom {
        Atom::Lit(_) => atom,
        Atom::Var(var) => env[var.index()].expect("internal: bound before use"),
    };
    for eqn in program.eqns() {
        let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
        let outputs = match &eqn.prim {
            Prim::Call(call) => inline(b, &call.body, &inputs),
            prim => b.bind(prim.clone(), &inputs),
        };
        for (var, atom) in eqn.outputs.iter().zip(outputs) {
            env[var.index()] = Some(atom);
        }
    }
    program.outputs().iter().map(|&atom| read(&env, atom)).collect()
}
