//! Forward mode: each value together with its tangent.

use super::{pick, positions};
use crate::ir::{Atom, Builder, Program};
use crate::prim::Tangent;

/// Appends the program with tangents; its outputs and their tangents.
pub fn jvp_into(
    b: &mut Builder,
    program: &Program,
    primals: &[Atom],
    tangents: &[Tangent],
) -> (Vec<Atom>, Vec<Tangent>) {
    let mut env = vec![None; program.n_vars()];
    for (i, &var) in program.inputs().iter().enumerate() {
        env[var.index()] = Some((primals[i], tangents[i]));
    }
    let read = |env: &[Option<(Atom, Tangent)>], atom: Atom| match atom {
        Atom::Lit(_) => (atom, Tangent::Zero),
        Atom::Var(var) => env[var.index()].expect("internal: bound before use"),
    };
    for eqn in program.eqns() {
        let (primals, tangents): (Vec<_>, Vec<_>) =
            eqn.inputs.iter().map(|&atom| read(&env, atom)).unzip();
        let (outs, out_tangents) = if tangents.iter().all(|t| *t == Tangent::Zero) {
            let outs = b.bind(eqn.prim.clone(), &primals);
            let zeros = vec![Tangent::Zero; outs.len()];
            (outs, zeros)
        } else {
            eqn.prim.jvp(b, &primals, &tangents)
        };
        for ((&var, out), tangent) in eqn.outputs.iter().zip(outs).zip(out_tangents) {
            env[var.index()] = Some((out, tangent));
        }
    }
    program.outputs().iter().map(|&atom| read(&env, atom)).unzip()
}

/// A program with tangents.
#[derive(Clone, Debug)]
pub struct Jvp {
    /// From the inputs and the tangents of the `by` inputs, to the outputs and the tangents of
    /// those that `nonzero` names.
    pub program: Program,
    /// Which outputs have a tangent.
    pub nonzero: Vec<bool>,
}

/// The program with tangents for the inputs `by`, which must be floats. Outputs named by
/// `instantiate` get a tangent even if it is zero, if they are floats.
pub fn jvp(program: &Program, by: &[bool], instantiate: &[bool]) -> Jvp {
    let mut b = Builder::new();
    let avals = program.input_avals();
    let primals = b.inputs(&avals);
    let mut tangents = vec![Tangent::Zero; avals.len()];
    for i in positions(by) {
        tangents[i] = Tangent::Value(b.input(avals[i].clone()));
    }
    let (outs, mut out_tangents) = jvp_into(&mut b, program, &primals, &tangents);
    for i in positions(instantiate) {
        if b.aval(outs[i]).is_float() {
            out_tangents[i] = Tangent::Value(out_tangents[i].instantiate(&mut b, outs[i]));
        }
    }
    let nonzero: Vec<bool> = out_tangents.iter().map(|t| *t != Tangent::Zero).collect();
    let values: Vec<Atom> =
        pick(&out_tangents, &nonzero).into_iter().filter_map(Tangent::value).collect();
    Jvp { program: b.finish([outs, values].concat()), nonzero }
}
