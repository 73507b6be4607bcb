//! Gives loops only what changes: numbers are written into the step, rows that are all alike
//! become constants, equal inputs one input; a carry that no step changes becomes a constant; and
//! ys that are not computed by the step are made outside.

use super::draft::{Draft, rewrite_eqns};
use super::hoist::materialize;
use super::loops::{Loop, LoopDraft, Source};
use crate::ir::{Atom, Aval, Program};
use crate::prim::{Batched, Prim};

/// The program with loops that are given, and return, only what they have to.
pub(super) fn inputs(program: &Program) -> Program {
    // What one loop no longer takes, the loop around it may not have to give.
    let mut program = once(program);
    loop {
        let next = once(&program);
        if next == program {
            return program;
        }
        program = next;
    }
}

fn once(program: &Program) -> Program {
    rewrite_eqns(program, &[], &|draft, prim, inputs| match prim {
        Prim::Scan(scan) => narrow(draft, Loop { scan, inputs }),
        _ => draft.bind(prim.clone(), inputs),
    })
}

/// Appends the loop, narrowed; its outputs.
fn narrow(draft: &mut Draft, old: Loop<'_>) -> Vec<Atom> {
    let body = old.body();
    let sources = settle(&old);
    let mut new = LoopDraft::default();
    let mut env: Vec<Option<Atom>> = vec![None; body.n_vars()];
    for &var in body.inputs() {
        let aval = body.var_aval(var).clone();
        env[var.index()] = Some(match sources[var.index()] {
            Some(Source::Carry(i)) => new.carry(old.init()[i], aval),
            Some(Source::Given(value)) => given(draft, &mut new, value, aval),
            None => unreachable!("internal: an input has a source"),
        });
    }
    let read = |env: &[Option<Atom>], atom: Atom| match atom {
        Atom::Lit(_) => atom,
        Atom::Var(var) => env[var.index()].expect("internal: bound before use"),
    };
    for eqn in body.eqns() {
        let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
        for (var, atom) in eqn.outputs.iter().zip(new.bind(&eqn.prim, &inputs)) {
            env[var.index()] = Some(atom);
        }
    }
    let is_carry =
        |i: &usize| matches!(sources[old.carry_vars()[*i].index()], Some(Source::Carry(_)));
    let carried: Vec<usize> = (0..old.scan.n_carry).filter(is_carry).collect();
    let next: Vec<Atom> = carried.iter().map(|&i| read(&env, old.next()[i])).collect();
    // A row that the step does not compute is known outside.
    let outside = |atom: Atom| match atom {
        Atom::Lit(_) => Some(Batched::Shared(atom)),
        Atom::Var(var) => match sources[var.index()] {
            Some(Source::Given(value)) => Some(value),
            _ => None,
        },
    };
    let rows: Vec<Result<Batched, usize>> =
        old.ys().iter().map(|&y| outside(y).ok_or_else(|| new.y(read(&env, y)))).collect();
    let (scan, inputs) = new.finish(old.scan, &next);
    let outputs = draft.bind(scan, &inputs);
    let (last, ys) = outputs.split_at(carried.len());
    let mut all: Vec<Atom> = old.init().to_vec();
    for (&i, &atom) in carried.iter().zip(last) {
        all[i] = atom;
    }
    all.extend(rows.into_iter().map(|row| match row {
        Ok(value) => materialize(draft, value, old.scan.length),
        Err(i) => ys[i],
    }));
    all
}

/// Where each input of the body comes from, once carries that stay what they are count as given.
fn settle(old: &Loop<'_>) -> Vec<Option<Source>> {
    let mut sources = old.sources();
    for (i, (&var, &next)) in old.carry_vars().iter().zip(old.next()).enumerate() {
        if next == Atom::Var(var) {
            sources[var.index()] = Some(Source::Given(Batched::Shared(old.init()[i])));
        }
    }
    sources
}

/// A value from outside as the step gets it.
fn given(draft: &mut Draft, new: &mut LoopDraft, value: Batched, aval: Aval) -> Atom {
    let full = |new: &mut LoopDraft, number: Atom| match aval.rank() {
        0 => number,
        _ => new.step().broadcast(number, &aval.shape, &[]),
    };
    // One number: the step makes it.
    if let Some(number) = draft.uniform(value.atom()) {
        return full(new, Atom::Lit(number));
    }
    match (value, draft.def(value.atom())) {
        // Rows that are all alike: x x x, repeated along the axis of steps.
        (Batched::Mapped(_), Some(eqn)) => match &eqn.prim {
            Prim::Broadcast(broadcast) if !broadcast.axes.contains(&0) => {
                let x = eqn.inputs[0];
                if draft.aval(x).rank() == 0 {
                    let scalar = aval.reshaped(());
                    let number = new.given(Batched::Shared(x), scalar);
                    return full(new, number);
                }
                let inner = new.given(Batched::Shared(x), draft.aval(x));
                if draft.aval(x) == aval {
                    return inner;
                }
                let axes: Vec<usize> = broadcast.axes.iter().map(|axis| axis - 1).collect();
                new.step().broadcast(inner, &aval.shape, &axes)
            }
            _ => new.given(value, aval),
        },
        _ => new.given(value, aval),
    }
}
