//! Gives loops only what changes: numbers are written into the step, rows that are all alike
//! become constants, equal inputs one input; a carry that no step changes becomes a constant; and
//! ys that are not computed by the step are made outside.

use std::borrow::Cow;
use std::cell::Cell;

use super::draft::{Draft, rewrite_eqns};
use super::hoist::materialize;
use super::loops::{Loop, LoopDraft, Source};
use crate::ir::{Atom, Aval, Program, Var, read};
use crate::prim::{Batched, Prim};

/// The program with loops that are given, and return, only what they have to.
pub(super) fn inputs(program: &Program) -> Program {
    // What one loop no longer takes, the loop around it may not have to give.
    let mut program = Cow::Borrowed(program);
    loop {
        let changed = Cell::new(false);
        let next = rewrite_eqns(&program, &[], &|draft, prim, inputs| match prim {
            Prim::Scan(scan) if !is_narrow(draft, Loop { scan, inputs }) => {
                changed.set(true);
                narrow(draft, Loop { scan, inputs })
            }
            _ => draft.bind(prim.clone(), inputs),
        });
        if !changed.get() || next == *program {
            return next;
        }
        program = Cow::Owned(next);
    }
}

/// Whether there is nothing that the loop could be without.
fn is_narrow(draft: &Draft, it: Loop<'_>) -> bool {
    let (n_consts, n_carry) = (it.scan.n_consts, it.scan.n_carry);
    let (consts, rest) = it.inputs.split_at(n_consts);
    let xs = &rest[n_carry..];
    let is_repeated =
        |&x: &Atom| matches!(draft.def(x).map(|eqn| &eqn.prim), Some(Prim::Broadcast(_)));
    let is_given = |&y: &Atom| match y {
        Atom::Lit(_) => true,
        Atom::Var(var) => {
            let i = it.body().inputs().iter().position(|&input| input == var);
            i.is_some_and(|i| i < n_consts || i >= n_consts + n_carry)
        }
    };
    let stays = |(&var, &next): (&Var, &Atom)| next == Atom::Var(var);
    all_differ(consts)
        && all_differ(xs)
        && all_differ(it.ys())
        && !consts.iter().chain(xs).any(|&x| draft.uniform(x).is_some())
        && !xs.iter().any(is_repeated)
        && !it.ys().iter().any(is_given)
        && !it.carry_vars().iter().zip(it.next()).any(stays)
}

fn all_differ(atoms: &[Atom]) -> bool {
    atoms.iter().enumerate().all(|(i, atom)| !atoms[..i].contains(atom))
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
    for eqn in body.eqns() {
        let inputs = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
        new.step().copy(body, eqn, inputs, &mut env);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::DType;
    use crate::ir::Builder;
    use crate::prim::{Scan, Unary};

    #[test]
    fn a_loop_is_given_only_what_changes() {
        let row = Aval::new(DType::F32, [2]);
        // consts: k, k again, halves; carry: a sum, one that stays; xs: x, ones, rows of k
        let body = {
            let mut b = Builder::new();
            let [k, again, halves] = [(); 3].map(|()| b.input(row.clone()));
            let [sum, stays] = [(); 2].map(|()| b.input(row.clone()));
            let [x, ones, ks] = [(); 3].map(|()| b.input(row.clone()));
            let all = [k, again, halves, stays, x, ones, ks];
            let next = all.into_iter().fold(sum, |sum, term| b.add(sum, term));
            let y = b.unary(Unary::Exp, next);
            b.finish(vec![next, stays, y, y, x, k])
        };
        let mut b = Builder::new();
        let (k, x) = (b.input(row.clone()), b.input(row.prepend(4)));
        let (h0, stays) = (b.input(row.clone()), b.input(row.clone()));
        let halves = b.full(0.5, &row);
        let ones = b.full(1.0, &row.prepend(4));
        let ks = b.repeat(k, 4);
        let prim = Scan { body: body.into(), n_consts: 3, n_carry: 2, length: 4, reverse: false };
        let outputs = b.bind(prim, &[k, k, halves, h0, stays, x, ones, ks]);
        insta::assert_snapshot!(inputs(&b.finish(outputs)), @r"
        { lambda a:f32[2] b:f32[4,2] c:f32[2] d:f32[2] .
          let e:f32[2] f:f32[4,2] = scan[
                length=4
                reverse=false
                n_consts=2
                n_carry=1
                body={ lambda a:f32[2] b:f32[2] c:f32[2] d:f32[2] .
                  let e:f32[2] = broadcast[shape=[2] axes=[]] 0.5:f32
                      f:f32[2] = broadcast[shape=[2] axes=[]] 1.0:f32
                      g:f32[2] = add c a
                      h:f32[2] = add g a
                      i:f32[2] = add h e
                      j:f32[2] = add i b
                      k:f32[2] = add j d
                      l:f32[2] = add k f
                      m:f32[2] = add l a
                      n:f32[2] = exp m
                  in (m, n) }
              ] a d c b
              g:f32[4,2] = broadcast[shape=[4, 2] axes=[1]] a
          in (e, d, f, f, b, g) }
        ");
    }
}
