//! Sums in the order in which their terms are known, so that the part that is known before the loop
//! can leave it. It changes how sums round, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::{Draft, n_readers};
use super::known::{Known, when_known};
use super::loops::Loop;
use crate::ir::{Atom, Program, Var, read};
use crate::prim::{Binary, Prim, Scan};

/// The loop with the terms of each sum in the order in which they are known, so that
/// `(W·x + U·h) + b` becomes `(b + W·x) + U·h`.
pub(super) fn regroup(it: Loop<'_>) -> Scan {
    let known = when_known(&it, &it.sources());
    let when = |atom: Atom| atom.var().map_or(Known::Always, |var| known[var.index()]);
    let body = it.body();
    let mut sums = Sums::of(body);
    sums.0.retain(|_, terms| {
        terms.sort_by_key(|&atom| when(atom));
        terms.get(1).is_some_and(|&second| when(second) != Known::InStep)
    });
    if sums.0.is_empty() {
        return it.scan.clone();
    }
    let mut draft = Draft::new(&[]);
    let mut env: Vec<Option<Atom>> = vec![None; body.n_vars()];
    for (var, atom) in body.inputs().iter().zip(draft.inputs_of(body)) {
        env[var.index()] = Some(atom);
    }
    for eqn in body.eqns() {
        let outputs = match eqn.outputs.first().and_then(|var| sums.0.get(var)) {
            Some(terms) => {
                let add = |sum: Atom, term: Atom| draft.bind1(Binary::Add, &[sum, term]);
                let terms = terms.iter().map(|&atom| read(&env, atom));
                vec![terms.reduce(add).expect("internal: a sum of nothing")]
            }
            None => {
                let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
                draft.bind(eqn.prim.clone(), &inputs)
            }
        };
        for (var, atom) in eqn.outputs.iter().zip(outputs) {
            env[var.index()] = Some(atom);
        }
    }
    let outputs = body.outputs().iter().map(|&atom| read(&env, atom)).collect();
    Scan { body: Arc::new(draft.finish(outputs)), ..it.scan.clone() }
}

/// The sums of a program that are not terms of another one, each with its terms: what is added,
/// directly or by additions that nothing else reads.
struct Sums(HashMap<Var, Vec<Atom>>);

impl Sums {
    fn of(program: &Program) -> Sums {
        let readers = n_readers(program);
        let mut sums: HashMap<Var, Vec<Atom>> = HashMap::new();
        for eqn in program.eqns() {
            if eqn.prim != Prim::Binary(Binary::Add) {
                continue;
            }
            let mut terms = Vec::new();
            for &atom in &eqn.inputs {
                let part = atom.var().filter(|var| readers[var.index()] == 1);
                match part.and_then(|var| sums.remove(&var)) {
                    Some(parts) => terms.extend(parts),
                    None => terms.push(atom),
                }
            }
            sums.insert(eqn.outputs[0], terms);
        }
        Sums(sums)
    }
}
