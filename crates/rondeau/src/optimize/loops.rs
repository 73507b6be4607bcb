//! Loops taken apart and put together again, for the passes that move work across their borders.

use std::sync::Arc;

use super::cost::{MIN_STEPS, cost};
use super::draft::{Draft, rewrite_eqns};
use crate::ir::{Atom, Aval, Builder, Eqn, Program, Var};
use crate::prim::{Batched, Broadcast, Prim, Scan};
use crate::transform::{pruned, reorder};

/// A scan with what it is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loop<'a> {
    /// The loop.
    pub(super) scan: &'a Scan,
    /// Constants, initial carry, xs: atoms of the program around it.
    pub(super) inputs: &'a [Atom],
}

/// Where an input of the body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From outside: the same at every step, or a row of an array, outermost axis 0.
    Given(Batched),
    /// The carry at this position.
    Carry(usize),
}

impl<'a> Loop<'a> {
    pub(super) fn body(&self) -> &'a Program {
        &self.scan.body
    }

    pub(super) fn init(&self) -> &'a [Atom] {
        &self.inputs[self.scan.n_consts..self.scan.n_consts + self.scan.n_carry]
    }

    /// What the body returns as the next carry.
    pub(super) fn next(&self) -> &'a [Atom] {
        &self.body().outputs()[..self.scan.n_carry]
    }

    /// What the body returns as rows of ys.
    pub(super) fn ys(&self) -> &'a [Atom] {
        &self.body().outputs()[self.scan.n_carry..]
    }

    /// The variables of the carry in the body.
    pub(super) fn carry_vars(&self) -> &'a [Var] {
        &self.body().inputs()[self.scan.n_consts..self.scan.n_consts + self.scan.n_carry]
    }

    /// Where each variable of the body comes from; `None` for those that equations bind.
    pub(super) fn sources(&self) -> Vec<Option<Source>> {
        let (n_consts, n_carry) = (self.scan.n_consts, self.scan.n_carry);
        let mut sources = vec![None; self.body().n_vars()];
        for (i, (&var, &atom)) in self.body().inputs().iter().zip(self.inputs).enumerate() {
            sources[var.index()] = Some(if i < n_consts {
                Source::Given(Batched::Shared(atom))
            } else if i < n_consts + n_carry {
                Source::Carry(i - n_consts)
            } else {
                Source::Given(Batched::Mapped(atom))
            });
        }
        sources
    }

    /// The equation of the body that binds each variable.
    pub(super) fn bound_by(&self) -> Vec<Option<&'a Eqn>> {
        let mut bound_by = vec![None; self.body().n_vars()];
        for eqn in self.body().eqns() {
            for var in &eqn.outputs {
                bound_by[var.index()] = Some(eqn);
            }
        }
        bound_by
    }
}

/// A loop under construction. Constants and rows are asked for when an equation reads them, so
/// that the loop is given what it needs and nothing twice.
#[derive(Debug, Default)]
pub(super) struct LoopDraft {
    step: Builder,
    inner: Vec<Atom>,
    consts: Vec<(Atom, usize)>,
    carry: Vec<(Atom, usize)>,
    xs: Vec<(Atom, usize)>,
    ys: Vec<Atom>,
}

impl LoopDraft {
    fn input(&mut self, aval: Aval) -> usize {
        let atom = self.step.input(aval);
        self.inner.push(atom);
        self.inner.len() - 1
    }

    /// A carry that starts as `init`, of the program around the loop.
    pub(super) fn carry(&mut self, init: Atom, aval: Aval) -> Atom {
        let i = self.input(aval);
        self.carry.push((init, i));
        self.inner[i]
    }

    /// A value from outside, as a step sees it; `aval` is its type there.
    pub(super) fn given(&mut self, value: Batched, aval: Aval) -> Atom {
        let list = match value {
            Batched::Shared(Atom::Lit(_)) => return value.atom(),
            Batched::Shared(_) => &self.consts,
            Batched::Mapped(_) => &self.xs,
        };
        if let Some(&(_, i)) = list.iter().find(|&&(outer, _)| outer == value.atom()) {
            return self.inner[i];
        }
        let i = self.input(aval);
        match value {
            Batched::Shared(outer) => self.consts.push((outer, i)),
            Batched::Mapped(outer) => self.xs.push((outer, i)),
        }
        self.inner[i]
    }

    /// A row that the step returns; its position among ys.
    pub(super) fn y(&mut self, atom: Atom) -> usize {
        let known = self.ys.iter().position(|&y| y == atom);
        known.unwrap_or_else(|| {
            self.ys.push(atom);
            self.ys.len() - 1
        })
    }

    /// A row that the step returns behind all others, even if it returns it already.
    pub(super) fn another_y(&mut self, atom: Atom) {
        self.ys.push(atom);
    }

    /// Appends an equation to the step.
    pub(super) fn bind(&mut self, prim: &Prim, inputs: &[Atom]) -> Vec<Atom> {
        self.step.bind(prim.clone(), inputs)
    }

    /// The builder of the step.
    pub(super) fn step(&mut self) -> &mut Builder {
        &mut self.step
    }

    /// The finished loop, of the length and direction of `like`, and its inputs. `next` is the
    /// carry that leaves a step.
    pub(super) fn finish(self, like: &Scan, next: &[Atom]) -> (Scan, Vec<Atom>) {
        let given: Vec<(Atom, usize)> = [&self.consts[..], &self.carry[..], &self.xs[..]].concat();
        let order: Vec<usize> = given.iter().map(|&(_, i)| i).collect();
        let outputs = [next, &self.ys].concat();
        let all: Vec<usize> = (0..outputs.len()).collect();
        let body = reorder(self.step.finish(outputs), &order, &all);
        let scan = Scan {
            body: Arc::new(pruned(body)),
            n_consts: self.consts.len(),
            n_carry: self.carry.len(),
            ..*like
        };
        (scan, given.into_iter().map(|(atom, _)| atom).collect())
    }
}

/// Changes to a loop that can be made one by one.
pub(super) trait Changes {
    /// How many there are.
    fn n_choices(&self) -> usize;
    /// Appends what becomes of the loop if the `chosen` changes are made; the outputs. `None` if
    /// nothing changes.
    fn make(&self, draft: &mut Draft, chosen: &[bool]) -> Option<Vec<Atom>>;
}

/// Each loop of a program, inner ones first, with those of its changes that lower the cost: each
/// is made, in turn, that lowers it further.
///
/// What pays is decided as if the loop had [`MIN_STEPS`] steps, however many it has: a stream, which
/// is a loop of one step, then computes the same sums in the same order as a loop of any length.
pub(super) fn improve_loops(
    program: &Program,
    changes: &dyn for<'a> Fn(Loop<'a>) -> Box<dyn Changes + 'a>,
) -> Program {
    rewrite_eqns(program, &[], &|draft, prim, inputs| {
        let Prim::Scan(scan) = prim else { return draft.bind(prim.clone(), inputs) };
        let decided = Scan { length: scan.length.clamp(0, 1) * MIN_STEPS, ..scan.clone() };
        let alone = Alone::new(draft, &decided, inputs);
        let it = Loop { scan: &decided, inputs: &alone.inputs };
        let trial = changes(it);
        let mut chosen = vec![false; trial.n_choices()];
        let mut least = None;
        for i in 0..chosen.len() {
            chosen[i] = true;
            let Some(new) = alone.program(|draft| trial.make(draft, &chosen)) else {
                chosen[i] = false;
                continue;
            };
            let as_it_is = || {
                let kept = alone.program(|draft| Some(draft.bind(decided.clone(), it.inputs)));
                cost(&kept.expect("internal: the loop itself is made")).total()
            };
            let (total, bound) = (cost(&new).total(), least.get_or_insert_with(as_it_is));
            chosen[i] = total < *bound;
            if chosen[i] {
                *bound = total;
            }
        }
        if !chosen.contains(&true) {
            return draft.bind(prim.clone(), inputs);
        }
        let alone = Alone::new(draft, scan, inputs);
        let changes = changes(Loop { scan, inputs: &alone.inputs });
        match alone.program(|draft| changes.make(draft, &chosen)) {
            Some(new) => draft.inline(&new, &alone.outer),
            None => draft.bind(prim.clone(), inputs),
        }
    })
}

/// The surroundings of a loop as a program of their own, in which numbers, and arrays of one
/// number, are made, so that whoever changes the loop sees them.
struct Alone {
    draft: Draft,
    /// What the loop is given, in that program.
    inputs: Vec<Atom>,
    /// What the inputs of that program stand for.
    outer: Vec<Atom>,
}

impl Alone {
    /// Arrays of rows have as many as `scan` has steps, which may be others than the loop around has.
    fn new(around: &Draft, scan: &Scan, inputs: &[Atom]) -> Alone {
        let n_whole = scan.n_consts + scan.n_carry;
        let aval = |i: usize| match inputs[i] {
            atom if i < n_whole => around.aval(atom),
            _ => scan.body.var_aval(scan.body.inputs()[i]).prepend(scan.length),
        };
        let mut draft = Draft::new(&[]);
        let (mut outer, mut inner): (Vec<(Atom, Aval)>, Vec<Atom>) = (vec![], vec![]);
        for (i, &atom) in inputs.iter().enumerate() {
            let key = (atom, aval(i));
            if atom.var().is_some() && around.uniform(atom).is_none() && !outer.contains(&key) {
                inner.push(draft.input(key.1.clone()));
                outer.push(key);
            }
        }
        let stand_in = |(i, &atom): (usize, &Atom)| {
            let key = (atom, aval(i));
            match (outer.iter().position(|o| *o == key), around.uniform(atom)) {
                (Some(i), _) => inner[i],
                (None, Some(value)) if atom.var().is_some() => {
                    let every = Broadcast { shape: key.1.shape, axes: vec![] };
                    draft.bind1(every, &[Atom::Lit(value)])
                }
                (None, _) => atom,
            }
        };
        let inputs = inputs.iter().enumerate().map(stand_in).collect();
        Alone { draft, inputs, outer: outer.into_iter().map(|(atom, _)| atom).collect() }
    }

    /// What `make` makes there.
    fn program(&self, make: impl FnOnce(&mut Draft) -> Option<Vec<Atom>>) -> Option<Program> {
        let mut draft = self.draft.clone();
        let outputs = make(&mut draft)?;
        Some(draft.finish(outputs))
    }
}
