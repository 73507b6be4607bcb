//! Work that no later step reads runs after the loop, for all steps at once.
//!
//! - A sum over the steps, `acc' = acc + f`, of which no step reads `acc`: the weight gradients of
//!   a backward loop. What `f` is made of is kept a row a step, and one product over the axis of
//!   steps gives the sum: `Σₜ δₜ ⊗ xₜ = Δᵀ·X`. Factors that are rows of xs are there already, and
//!   several sums share the rows that they have in common.
//! - Rows of ys that are a product of a constant and a value of the step, and what is computed
//!   from it: an output layer, or the cotangents of xs.
//!
//! Each sum and each row of ys moves only if the [`cost`](super::cost()) falls by it. The order of
//! summation changes, so results agree to rounding.

use std::collections::HashMap;

use super::cost::is_view;
use super::draft::Draft;
use super::hoist::{follows, for_all_steps, materialize};
use super::loops::{Changes, Loop, LoopDraft, Source, improve_loops};
use crate::ir::{Atom, Aval, Eqn, Program, Var};
use crate::prim::{Batched, Binary, DotGeneral, Fold, Prim, Reduce, Unary};

/// The program with loops that compute only what a later step reads.
pub(super) fn defer(program: &Program) -> Program {
    improve_loops(program, &|it| Box::new(Defer::new(it)))
}

/// Something that can move behind the loop.
#[derive(Clone, Debug)]
enum Choice {
    /// The carry at this position, the sum of these values over all steps.
    Sum(usize, Vec<Atom>),
    /// The rows at this position among ys.
    Rows(usize),
}

struct Defer<'a> {
    it: Loop<'a>,
    sources: Vec<Option<Source>>,
    bound_by: Vec<Option<&'a Eqn>>,
    /// Which variables are products with a constant, or computed from one, and are not read by a
    /// later step.
    movable: Vec<bool>,
    choices: Vec<Choice>,
}

impl Changes for Defer<'_> {
    fn n_choices(&self) -> usize {
        self.choices.len()
    }

    fn make(&self, draft: &mut Draft, chosen: &[bool]) -> Option<Vec<Atom>> {
        Some(self.run(draft, chosen))
    }
}

impl<'a> Defer<'a> {
    fn new(it: Loop<'a>) -> Defer<'a> {
        let none = vec![false; it.body().n_vars()];
        let (sources, bound_by) = (it.sources(), it.bound_by());
        let mut defer = Defer { it, sources, bound_by, movable: none, choices: vec![] };
        let sums = defer.sums();
        defer.find_movable(&sums);
        // Products first: what they keep, the other sums share. A plain running sum stays what it
        // is, in its order: to move it alone saves nothing.
        let is_made_by = |terms: &[Atom], fits: &dyn Fn(&Prim) -> bool| {
            terms.iter().any(|&term| defer.prim_of(term).is_some_and(fits))
        };
        let is_product = |prim: &Prim| matches!(prim, Prim::DotGeneral(_));
        let (products, mut others): (Vec<_>, Vec<_>) =
            sums.into_iter().partition(|(_, terms)| is_made_by(terms, &is_product));
        if products.is_empty() {
            let folds = |prim: &Prim| matches!(prim, Prim::Reduce(_));
            others.retain(|(_, terms)| is_made_by(terms, &folds));
        }
        let is_movable = |y: &Atom| y.var().is_some_and(|var| defer.movable[var.index()]);
        let rows: Vec<usize> = (0..it.ys().len()).filter(|&i| is_movable(&it.ys()[i])).collect();
        let sum = |(i, terms)| Choice::Sum(i, terms);
        defer.choices.extend(products.into_iter().map(sum));
        defer.choices.extend(rows.into_iter().map(Choice::Rows));
        defer.choices.extend(others.into_iter().map(sum));
        defer
    }

    fn eqn(&self, atom: Atom) -> Option<&'a Eqn> {
        self.bound_by[atom.var()?.index()]
    }

    fn prim_of(&self, atom: Atom) -> Option<&'a Prim> {
        self.eqn(atom).map(|eqn| &eqn.prim)
    }

    fn aval(&self, atom: Atom) -> Aval {
        self.it.body().aval(atom)
    }

    fn is_const(&self, atom: Atom) -> bool {
        match atom {
            Atom::Lit(_) => true,
            Atom::Var(var) => {
                matches!(self.sources[var.index()], Some(Source::Given(Batched::Shared(_))))
            }
        }
    }

    /// The carries that only sum up, with the terms of a step.
    fn sums(&self) -> Vec<(usize, Vec<Atom>)> {
        let body = self.it.body();
        let mut readers: Vec<Vec<Option<&Eqn>>> = vec![vec![]; body.n_vars()];
        for eqn in body.eqns() {
            for var in eqn.inputs.iter().filter_map(|atom| atom.var()) {
                readers[var.index()].push(Some(eqn));
            }
        }
        for var in body.outputs().iter().filter_map(|atom| atom.var()) {
            readers[var.index()].push(None);
        }
        let terms = |i: usize| {
            let mut terms = Vec::new();
            let mut sum = self.it.carry_vars()[i];
            loop {
                match readers[sum.index()][..] {
                    [None] if self.it.next()[i] == Atom::Var(sum) && !terms.is_empty() => {
                        return Some((i, terms));
                    }
                    [Some(Eqn { prim: Prim::Binary(Binary::Add), inputs, outputs })] => {
                        terms.push(inputs[usize::from(inputs[0] == Atom::Var(sum))]);
                        sum = outputs[0];
                    }
                    _ => return None,
                }
            }
        };
        (0..self.it.scan.n_carry).filter_map(terms).collect()
    }

    fn find_movable(&mut self, sums: &[(usize, Vec<Atom>)]) {
        let body = self.it.body();
        let mut is_read_later = vec![false; body.n_vars()];
        let mark = |flags: &mut Vec<bool>, atom: Atom| {
            atom.var().into_iter().for_each(|var| flags[var.index()] = true);
        };
        for (i, &atom) in self.it.next().iter().enumerate() {
            if sums.iter().all(|(sum, _)| *sum != i) {
                mark(&mut is_read_later, atom);
            }
        }
        for eqn in body.eqns().iter().rev() {
            if eqn.outputs.iter().any(|var| is_read_later[var.index()]) {
                eqn.inputs.iter().for_each(|&atom| mark(&mut is_read_later, atom));
            }
        }
        for eqn in body.eqns() {
            let is_movable = |atom: &Atom| atom.var().is_some_and(|v| self.movable[v.index()]);
            let moves = match &eqn.prim {
                Prim::DotGeneral(_) => eqn.inputs.iter().any(|&atom| self.is_const(atom)),
                Prim::Reduce(_) => eqn.inputs.iter().any(is_movable),
                prim => follows(prim) && eqn.inputs.iter().any(is_movable),
            };
            let var = eqn.outputs.first().filter(|var| moves && !is_read_later[var.index()]);
            var.into_iter().for_each(|var| self.movable[var.index()] = true);
        }
    }

    /// Appends the loop without what was chosen, and that after it; the outputs.
    fn run(&self, draft: &mut Draft, chosen: &[bool]) -> Vec<Atom> {
        let chosen: Vec<&Choice> = self
            .choices
            .iter()
            .zip(chosen)
            .filter(|(_, chosen)| **chosen)
            .map(|(c, _)| c)
            .collect();
        let mut after = After::new(self);
        let results: Vec<Atom> = chosen.iter().map(|choice| after.result(choice, draft)).collect();

        let body = self.it.body();
        let is_sum =
            |i: usize| chosen.iter().any(|c| matches!(c, Choice::Sum(sum, _) if *sum == i));
        let is_rows = |i: usize| chosen.iter().any(|c| matches!(c, Choice::Rows(row) if *row == i));
        let carried: Vec<usize> = (0..self.it.scan.n_carry).filter(|&i| !is_sum(i)).collect();
        let (mut new, env) = self.copy_step(&is_sum);
        let read = |atom: Atom| match atom {
            Atom::Lit(_) => Some(atom),
            Atom::Var(var) => env[var.index()],
        };
        let bound = |atom: Atom| read(atom).expect("internal: a sum is read");
        let next: Vec<Atom> = carried.iter().map(|&i| bound(self.it.next()[i])).collect();
        let rows: Vec<Option<usize>> = (0..self.it.ys().len())
            .map(|i| (!is_rows(i)).then(|| new.y(bound(self.it.ys()[i]))))
            .collect();
        let wanted: Vec<Wanted> = after
            .wanted
            .iter()
            .map(|&(_, wanted)| match wanted {
                From::Outside(atom) => Wanted::Atom(atom),
                From::Step(var) => Wanted::Row(new.y(bound(Atom::Var(var)))),
            })
            .collect();
        let (scan, inputs) = new.finish(self.it.scan, &next);
        let outputs = draft.bind(scan, &inputs);
        let (last, ys) = outputs.split_at(carried.len());
        let given: Vec<Atom> = wanted
            .into_iter()
            .map(|wanted| match wanted {
                Wanted::Atom(atom) => atom,
                Wanted::Row(i) => ys[i],
            })
            .collect();
        let results = draft.inline(&after.draft.finish(results), &given);

        let mut all: Vec<Option<Atom>> = vec![None; body.outputs().len()];
        carried.iter().zip(last).for_each(|(&i, &atom)| all[i] = Some(atom));
        for (i, row) in rows.into_iter().enumerate() {
            all[self.it.scan.n_carry + i] = row.map(|row| ys[row]);
        }
        for (choice, atom) in chosen.iter().zip(results) {
            match choice {
                Choice::Sum(i, _) => all[*i] = Some(atom),
                Choice::Rows(i) => all[self.it.scan.n_carry + i] = Some(atom),
            }
        }
        all.into_iter().map(|atom| atom.expect("internal: one for each output")).collect()
    }

    /// The step without the carries that `is_sum` names and what reads them.
    fn copy_step(&self, is_sum: &dyn Fn(usize) -> bool) -> (LoopDraft, Vec<Option<Atom>>) {
        let body = self.it.body();
        let mut new = LoopDraft::default();
        let mut env: Vec<Option<Atom>> = vec![None; body.n_vars()];
        for &var in body.inputs() {
            let aval = body.var_aval(var).clone();
            env[var.index()] = match self.sources[var.index()] {
                Some(Source::Carry(i)) if is_sum(i) => None,
                Some(Source::Carry(i)) => Some(new.carry(self.it.init()[i], aval)),
                Some(Source::Given(value)) => Some(new.given(value, aval)),
                None => unreachable!("internal: an input has a source"),
            };
        }
        for eqn in body.eqns() {
            let read = |&atom: &Atom| match atom {
                Atom::Lit(_) => Some(atom),
                Atom::Var(var) => env[var.index()],
            };
            let Some(inputs) = eqn.inputs.iter().map(read).collect::<Option<Vec<Atom>>>() else {
                continue;
            };
            new.step().copy(body, eqn, inputs, &mut env);
        }
        (new, env)
    }
}

/// Where the part after the loop finds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Outside of the loop.
    Outside(Atom),
    /// In the rows that a variable of the step leaves.
    Step(Var),
}

/// The same, once the place among ys is known.
enum Wanted {
    Atom(Atom),
    Row(usize),
}

/// The part after the loop, under construction.
struct After<'a, 'b> {
    defer: &'b Defer<'a>,
    draft: Draft,
    /// What it is given.
    wanted: Vec<(Atom, From)>,
    /// The values of variables of the body for all steps.
    values: HashMap<Var, Batched>,
}

impl<'a, 'b> After<'a, 'b> {
    fn new(defer: &'b Defer<'a>) -> After<'a, 'b> {
        After { defer, draft: Draft::new(&[]), wanted: vec![], values: HashMap::new() }
    }

    fn length(&self) -> usize {
        self.defer.it.scan.length
    }

    fn want(&mut self, from: From, aval: Aval) -> Atom {
        if let Some(&(atom, _)) = self.wanted.iter().find(|(_, wanted)| *wanted == from) {
            return atom;
        }
        let atom = self.draft.input(aval);
        self.wanted.push((atom, from));
        atom
    }

    /// What replaces an output of the loop. `around` is the program around it.
    fn result(&mut self, choice: &Choice, around: &Draft) -> Atom {
        let defer = self.defer;
        match choice {
            Choice::Rows(i) => {
                let value = self.value(defer.it.ys()[*i]);
                let length = self.length();
                materialize(&mut self.draft, value, length)
            }
            Choice::Sum(i, terms) => {
                let mut sum = self.sum(terms[0]);
                for &term in &terms[1..] {
                    let next = self.sum(term);
                    sum = self.draft.bind1(Binary::Add, &[sum, next]);
                }
                let init = defer.it.init()[*i];
                let aval = around.aval(init);
                // From zero: of the sum, only the sign of a zero could change.
                let from_zero = around.uniform(init).is_some_and(|x| x.to_f64() == 0.0);
                if from_zero && self.draft.aval(sum) == aval {
                    return sum;
                }
                let init = match init {
                    Atom::Lit(_) => init,
                    Atom::Var(_) => self.want(From::Outside(init), aval),
                };
                self.draft.bind1(Binary::Add, &[init, sum])
            }
        }
    }

    /// A value of the step for all steps: given, kept, or computed from such values.
    fn value(&mut self, atom: Atom) -> Batched {
        let Atom::Var(var) = atom else { return Batched::Shared(atom) };
        if let Some(&value) = self.values.get(&var) {
            return value;
        }
        let defer = self.defer;
        let aval = defer.aval(atom);
        let rows = aval.prepend(self.length());
        let value = match defer.sources[var.index()] {
            Some(Source::Given(Batched::Shared(Atom::Lit(number)))) => {
                Batched::Shared(Atom::Lit(number))
            }
            Some(Source::Given(Batched::Shared(outer))) => {
                Batched::Shared(self.want(From::Outside(outer), aval))
            }
            Some(Source::Given(Batched::Mapped(outer))) => {
                Batched::Mapped(self.want(From::Outside(outer), rows))
            }
            Some(Source::Carry(_)) => Batched::Mapped(self.want(From::Step(var), rows)),
            None => match defer.bound_by[var.index()] {
                Some(eqn) if defer.movable[var.index()] || is_cheap_view(eqn) => {
                    let inputs: Vec<Batched> =
                        eqn.inputs.iter().map(|&atom| self.value(atom)).collect();
                    let length = self.length();
                    for_all_steps(&mut self.draft, &eqn.prim, length, &inputs)[0]
                }
                _ => Batched::Mapped(self.want(From::Step(var), rows)),
            },
        };
        self.values.insert(var, value);
        value
    }

    /// The sum of a value over all steps, from as little as it can be computed from.
    fn sum(&mut self, atom: Atom) -> Atom {
        let defer = self.defer;
        let Some(eqn) = defer.eqn(atom) else { return self.sum_rows(atom) };
        let same_shape = || eqn.inputs.iter().all(|&x| defer.aval(x) == defer.aval(atom));
        match &eqn.prim {
            // Σ xₜ·yₜ, also over t
            Prim::DotGeneral(dot) if !eqn.inputs.iter().any(|&x| defer.is_const(x)) => {
                self.sum_of_products(dot, eqn)
            }
            // Σ (xₜ ± yₜ) = Σ xₜ ± Σ yₜ, for products alone: what nearly cancels in each step may not
            // cancel in the sums.
            Prim::Binary(op @ (Binary::Add | Binary::Sub))
                if same_shape() && eqn.inputs.iter().all(|&x| self.is_product(x)) =>
            {
                let sums = [self.sum(eqn.inputs[0]), self.sum(eqn.inputs[1])];
                self.draft.bind1(*op, &sums)
            }
            // Σ f(xₜ) = f(Σ xₜ), for f that only moves, or changes the sign
            Prim::Unary(Unary::Neg)
            | Prim::Broadcast(_)
            | Prim::Reshape(_)
            | Prim::Transpose(_) => {
                let sum = self.sum(eqn.inputs[0]);
                self.draft.bind1(eqn.prim.clone(), &[sum])
            }
            // Σ over t and over axes, at once
            Prim::Reduce(Reduce { fold: Fold::Sum, axes }) => match self.value(eqn.inputs[0]) {
                Batched::Mapped(rows) => {
                    let axes = [&[0], &shift(axes)[..]].concat();
                    self.draft.bind1(Reduce { fold: Fold::Sum, axes }, &[rows])
                }
                Batched::Shared(_) => self.sum_rows(atom),
            },
            _ => self.sum_rows(atom),
        }
    }

    /// Whether a value of the step is a product of two that change from step to step.
    fn is_product(&self, atom: Atom) -> bool {
        let defer = self.defer;
        let changes = |eqn: &Eqn| !eqn.inputs.iter().any(|&x| defer.is_const(x));
        let is_dot = |eqn: &&Eqn| matches!(eqn.prim, Prim::DotGeneral(_)) && changes(eqn);
        defer.eqn(atom).filter(is_dot).is_some()
    }

    fn sum_of_products(&mut self, dot: &DotGeneral, eqn: &Eqn) -> Atom {
        let length = self.length();
        let operands = [eqn.inputs[0], eqn.inputs[1]].map(|x| {
            let value = self.value(x);
            materialize(&mut self.draft, value, length)
        });
        let over_steps = DotGeneral {
            lhs_contract: [&[0], &shift(&dot.lhs_contract)[..]].concat(),
            rhs_contract: [&[0], &shift(&dot.rhs_contract)[..]].concat(),
            lhs_batch: shift(&dot.lhs_batch),
            rhs_batch: shift(&dot.rhs_batch),
        };
        self.draft.bind1(over_steps, &operands)
    }

    fn sum_rows(&mut self, atom: Atom) -> Atom {
        let (value, length) = (self.value(atom), self.length());
        let rows = materialize(&mut self.draft, value, length);
        self.draft.bind1(Reduce { fold: Fold::Sum, axes: vec![0] }, &[rows])
    }
}

/// Axes of a step's value as axes of the values of all steps.
fn shift(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| axis + 1).collect()
}

/// A view that is no smaller than what it shows: that is kept instead.
fn is_cheap_view(eqn: &Eqn) -> bool {
    is_view(&eqn.prim) && !matches!(eqn.prim, Prim::Slice(_))
}
