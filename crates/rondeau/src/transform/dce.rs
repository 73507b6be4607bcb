//! Leaves out what no output needs.

use super::partial_eval::without_inputs;
use crate::ir::{Atom, Builder, Eqn, Program, Var};

/// The program with only the `used` outputs and the equations that they need, and which of its
/// inputs those read. It keeps all inputs, so that callers can decide about them.
pub fn dce(program: &Program, used: &[bool]) -> (Program, Vec<bool>) {
    let mut live = vec![false; program.n_vars()];
    let mark = |live: &mut Vec<bool>, atom: &Atom| {
        if let Atom::Var(var) = atom {
            live[var.index()] = true;
        }
    };
    let outputs: Vec<Atom> = super::pick(program.outputs(), used);
    outputs.iter().for_each(|atom| mark(&mut live, atom));
    // Backwards, so that every reader of a variable has been seen when its equation comes.
    let mut kept: Vec<Eqn> = Vec::new();
    for eqn in program.eqns().iter().rev() {
        let used: Vec<bool> = eqn.outputs.iter().map(|var| live[var.index()]).collect();
        if !used.contains(&true) && !eqn.prim.has_effects() {
            continue;
        }
        let eqn = match eqn.prim.body_rules() {
            Some(rules) => {
                let kept = rules.dce(&used);
                Eqn {
                    prim: kept.prim,
                    inputs: super::pick(&eqn.inputs, &kept.inputs),
                    outputs: super::pick(&eqn.outputs, &kept.outputs),
                }
            }
            None => eqn.clone(),
        };
        eqn.inputs.iter().for_each(|atom| mark(&mut live, atom));
        kept.push(eqn);
    }
    kept.reverse();
    let used_inputs = program.inputs().iter().map(|var| live[var.index()]).collect();
    (renumber(program, kept, outputs), used_inputs)
}

/// The program without equations that no output needs.
pub fn prune(program: &Program) -> Program {
    dce(program, &vec![true; program.outputs().len()]).0
}

/// The program with only the `used` outputs, and only the inputs that they need or `keep` names;
/// which inputs those are.
pub(crate) fn dce_inputs(program: &Program, used: &[bool], keep: &[bool]) -> (Program, Vec<bool>) {
    let (pruned, live) = dce(program, used);
    let live: Vec<bool> = live.iter().zip(keep).map(|(&live, &keep)| live || keep).collect();
    (without_inputs(&pruned, &live), live)
}

/// A program of some equations of another, with variables in binding order again.
fn renumber(program: &Program, eqns: Vec<Eqn>, outputs: Vec<Atom>) -> Program {
    let mut b = Builder::new();
    let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
    for (&var, name) in program.inputs.iter().zip(&program.names) {
        env[var.index()] = Some(b.named_input(program.var_aval(var).clone(), name.clone()));
    }
    let read = |env: &[Option<Atom>], atom: Atom| match atom {
        Atom::Lit(_) => atom,
        Atom::Var(var) => env[var.index()].expect("internal: a dead variable is read"),
    };
    for eqn in eqns {
        let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
        let bound = b.bind(eqn.prim, &inputs);
        let vars: Vec<Var> = eqn.outputs;
        for (var, atom) in vars.into_iter().zip(bound) {
            env[var.index()] = Some(atom);
        }
    }
    let outputs = outputs.into_iter().map(|atom| read(&env, atom)).collect();
    b.finish(outputs)
}
