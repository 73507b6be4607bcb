//! Work that does not wait for the carry leaves the loop.
//!
//! - What depends on constants only is computed once, before the loop.
//! - Products of a constant and a value that depends on xs only are computed for all steps at
//!   once, by the batching rules over the axis of steps: `W·xₜ + b` becomes one product of
//!   matrices. What such a product reads goes along, and so does what is computed from it, as long
//!   as no more bytes a step have to come back into the loop.
//! - Rows of ys that depend on xs only are computed for all steps at once too.
//!
//! Broadcasts and counts of constants are made again where they are read: it is cheaper than to
//! read them from memory. A loop is changed only where its [`cost`](super::cost()) falls.

use super::cost::{is_elementwise, is_view};
use super::draft::{Draft, n_readers};
use super::known::{Known, when_known};
use super::loops::{Changes, Loop, LoopDraft, Source, improve_loops};
use super::regroup::regroup;
use crate::ir::{Atom, Aval, Eqn, Program, Var};
use crate::prim::{Batched, Broadcast, Prim, Scan};

/// The program with loops that compute only what waits for their carry.
pub(super) fn hoist(program: &Program) -> Program {
    improve_loops(program, &|it| Box::new(Regrouped { scan: regroup(it), inputs: it.inputs }))
}

/// A loop with its sums regrouped, from which all that can leaves at once.
struct Regrouped<'a> {
    scan: Scan,
    inputs: &'a [Atom],
}

impl Changes for Regrouped<'_> {
    fn n_choices(&self) -> usize {
        1
    }

    fn make(&self, draft: &mut Draft, _: &[bool]) -> Option<Vec<Atom>> {
        Hoist::new(Loop { scan: &self.scan, inputs: self.inputs }).run(draft)
    }
}

struct Hoist<'a> {
    it: Loop<'a>,
    sources: Vec<Option<Source>>,
    known: Vec<Known>,
    /// Which equations leave the loop.
    leaves: Vec<bool>,
}

impl<'a> Hoist<'a> {
    fn new(it: Loop<'a>) -> Hoist<'a> {
        let sources = it.sources();
        let known = when_known(&it, &sources);
        let leaves = vec![false; it.body().eqns().len()];
        Hoist { it, sources, known, leaves }
    }

    /// Appends the loop and what leaves it; the outputs. `None` if nothing leaves.
    fn run(mut self, draft: &mut Draft) -> Option<Vec<Atom>> {
        self.choose();
        if !self.leaves.contains(&true) {
            return None;
        }
        let outer = self.outside(draft);
        let (mut new, mut env) = (LoopDraft::default(), vec![None; self.it.body().n_vars()]);
        for (i, &var) in self.it.carry_vars().iter().enumerate() {
            let aval = self.it.body().var_aval(var).clone();
            env[var.index()] = Some(new.carry(self.it.init()[i], aval));
        }
        let mut inside = Inside { hoist: &self, outer: &outer, new, env };
        for (eqn, &leaves) in self.it.body().eqns().iter().zip(&self.leaves) {
            if !leaves && !self.is_remade(eqn) {
                inside.copy(eqn);
            }
        }
        let next: Vec<Atom> = self.it.next().iter().map(|&atom| inside.read(atom)).collect();
        let rows: Vec<Result<Batched, usize>> =
            self.it.ys().iter().map(|&y| inside.row(y)).collect();
        let (scan, inputs) = inside.new.finish(self.it.scan, &next);
        let outputs = draft.bind(scan, &inputs);
        let (last, ys) = outputs.split_at(next.len());
        let rows = rows.into_iter().map(|row| match row {
            Ok(value) => materialize(draft, value, self.it.scan.length),
            Err(i) => ys[i],
        });
        let rows: Vec<Atom> = rows.collect();
        Some([last, &rows].concat())
    }

    fn known(&self, atom: Atom) -> Known {
        atom.var().map_or(Known::Always, |var| self.known[var.index()])
    }

    fn known_of(&self, eqn: &Eqn) -> Known {
        eqn.outputs.first().map_or(Known::InStep, |var| self.known[var.index()])
    }

    /// A broadcast or count that is the same at every step: cheaper to make than to read.
    fn is_remade(&self, eqn: &Eqn) -> bool {
        matches!(eqn.prim, Prim::Broadcast(_) | Prim::Iota(_))
            && self.known_of(eqn) == Known::Always
    }

    fn choose(&mut self) {
        let body = self.it.body();
        for (i, eqn) in body.eqns().iter().enumerate() {
            self.leaves[i] = match self.known_of(eqn) {
                Known::Always => !self.is_remade(eqn),
                Known::Rows => self.is_shared_product(eqn),
                Known::InStep => false,
            };
        }
        let mut needed: Vec<Var> = self.it.ys().iter().filter_map(|atom| atom.var()).collect();
        needed.retain(|var| self.known[var.index()] == Known::Rows);
        self.take_what_they_read(&needed);
        self.take_what_follows();
    }

    /// A product of rows with a constant: one product of matrices for all steps.
    fn is_shared_product(&self, eqn: &Eqn) -> bool {
        matches!(eqn.prim, Prim::DotGeneral(_))
            && eqn.inputs.iter().any(|&atom| self.known(atom) == Known::Always)
    }

    /// What leaves takes along what it reads; so does what is `needed` outside.
    fn take_what_they_read(&mut self, needed: &[Var]) {
        let mut is_needed = vec![false; self.known.len()];
        needed.iter().for_each(|var| is_needed[var.index()] = true);
        for (i, eqn) in self.it.body().eqns().iter().enumerate().rev() {
            let is_read = eqn.outputs.iter().any(|var| is_needed[var.index()]);
            self.leaves[i] |= is_read && !self.is_remade(eqn);
            if self.leaves[i] || is_read {
                let vars = eqn.inputs.iter().filter_map(|atom| atom.var());
                vars.for_each(|var| is_needed[var.index()] = true);
            }
        }
    }

    /// Elementwise equations and views of what leaves leave too, if all that they read is outside and
    /// no more bytes come back.
    fn take_what_follows(&mut self) {
        let body = self.it.body();
        let mut readers = n_readers(body);
        let mut is_outside = vec![false; self.known.len()];
        let mut is_given: Vec<bool> =
            self.sources.iter().map(|source| matches!(source, Some(Source::Given(_)))).collect();
        for (i, eqn) in body.eqns().iter().enumerate() {
            if self.is_remade(eqn) {
                eqn.outputs.iter().for_each(|var| is_given[var.index()] = true);
            }
            let can_leave =
                vars_once(eqn).all(|var| is_outside[var.index()] || is_given[var.index()]);
            let is_rows = self.known_of(eqn) == Known::Rows;
            if !self.leaves[i] && is_rows && can_leave && follows(&eqn.prim) {
                // What the loop no longer needs from outside, if this equation leaves it.
                let freed: usize = vars_once(eqn)
                    .filter(|var| is_outside[var.index()])
                    .filter(|var| readers[var.index()] == reads_of(eqn, *var))
                    .map(|var| body.var_aval(var).bytes())
                    .sum();
                let comes_back: usize =
                    eqn.outputs.iter().map(|&var| body.var_aval(var).bytes()).sum();
                self.leaves[i] = freed > 0 && comes_back <= freed;
            }
            if self.leaves[i] {
                eqn.outputs.iter().for_each(|var| is_outside[var.index()] = true);
                vars_once(eqn).for_each(|var| readers[var.index()] -= reads_of(eqn, var));
            }
        }
    }

    /// Appends what leaves, for all steps at once: the value of each variable of the body that is
    /// known outside.
    fn outside(&self, draft: &mut Draft) -> Vec<Option<Batched>> {
        let mut outer: Vec<Option<Batched>> = self
            .sources
            .iter()
            .map(|source| match source {
                Some(Source::Given(value)) => Some(*value),
                Some(Source::Carry(_)) | None => None,
            })
            .collect();
        for (eqn, &leaves) in self.it.body().eqns().iter().zip(&self.leaves) {
            if leaves || self.is_remade(eqn) {
                let read = |atom: &Atom| match atom {
                    Atom::Lit(_) => Batched::Shared(*atom),
                    Atom::Var(var) => outer[var.index()].expect("internal: known outside"),
                };
                let inputs: Vec<Batched> = eqn.inputs.iter().map(read).collect();
                let outputs = for_all_steps(draft, &eqn.prim, self.it.scan.length, &inputs);
                for (var, value) in eqn.outputs.iter().zip(outputs) {
                    outer[var.index()] = Some(value);
                }
            }
        }
        outer
    }
}

/// Equations that may follow a product out of the loop.
pub(super) fn follows(prim: &Prim) -> bool {
    is_elementwise(prim) || is_view(prim)
}

fn vars_once(eqn: &Eqn) -> impl Iterator<Item = Var> {
    let vars = eqn.inputs.iter().enumerate();
    let first = |&(i, atom): &(usize, &Atom)| !eqn.inputs[..i].contains(atom);
    vars.filter(first).filter_map(|(_, atom)| atom.var())
}

fn reads_of(eqn: &Eqn, var: Var) -> usize {
    eqn.inputs.iter().filter(|&&atom| atom == Atom::Var(var)).count()
}

/// Appends an equation for all steps at once.
pub(super) fn for_all_steps(
    draft: &mut Draft,
    prim: &Prim,
    length: usize,
    inputs: &[Batched],
) -> Vec<Batched> {
    if inputs.iter().any(|x| x.is_mapped()) {
        return draft.with_builder(|b| prim.batch(b, length, inputs));
    }
    let atoms: Vec<Atom> = inputs.iter().map(|x| x.atom()).collect();
    draft.bind(prim.clone(), &atoms).into_iter().map(Batched::Shared).collect()
}

/// The rows of a value from outside, repeated (without a copy) if they are all the same.
pub(super) fn materialize(draft: &mut Draft, value: Batched, length: usize) -> Atom {
    let Batched::Shared(x) = value else { return value.atom() };
    let aval = draft.aval(x);
    let axes = (1..=aval.rank()).collect();
    draft.bind1(Broadcast { shape: aval.shape.prepend(length), axes }, &[x])
}

/// The loop that is left, under construction.
struct Inside<'a, 'b> {
    hoist: &'b Hoist<'a>,
    outer: &'b [Option<Batched>],
    new: LoopDraft,
    env: Vec<Option<Atom>>,
}

impl Inside<'_, '_> {
    fn copy(&mut self, eqn: &Eqn) {
        let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| self.read(atom)).collect();
        self.new.step().copy(self.hoist.it.body(), eqn, inputs, &mut self.env);
    }

    /// A value as the step sees it: bound in the step, made there, or given.
    fn read(&mut self, atom: Atom) -> Atom {
        let Atom::Var(var) = atom else { return atom };
        if let Some(atom) = self.env[var.index()] {
            return atom;
        }
        let body = self.hoist.it.body();
        let made = body.eqns().iter().find(|eqn| eqn.outputs.contains(&var));
        if let Some(eqn) = made.filter(|eqn| self.hoist.is_remade(eqn)) {
            self.copy(eqn);
        } else {
            let aval: Aval = body.var_aval(var).clone();
            let value = self.outer[var.index()].expect("internal: known outside");
            self.env[var.index()] = Some(self.new.given(value, aval));
        }
        self.env[var.index()].expect("internal: just bound")
    }

    /// A row of ys: known outside, or this one of the loop's.
    fn row(&mut self, y: Atom) -> Result<Batched, usize> {
        let Atom::Var(var) = y else { return Ok(Batched::Shared(y)) };
        match self.outer[var.index()] {
            Some(value) => Ok(value),
            None => {
                let atom = self.read(y);
                Err(self.new.y(atom))
            }
        }
    }
}
