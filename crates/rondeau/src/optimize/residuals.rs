//! What a loop keeps for a later one, and the later one can compute again from what else is kept,
//! is not kept: `1 - z`, `z·(1 - z)` and `1 - n²` follow from `z` and `n`.
//!
//! Rows are computed again by the same elementwise equations, so that results are the same bits,
//! where that takes fewer operations than the rows have bytes.

use std::collections::HashMap;
use std::rc::Rc;

use super::cost::{cost, flops, is_elementwise};
use super::draft::{Draft, with_bodies};
use super::loops::{Loop, LoopDraft, Source};
use crate::ir::{Atom, Eqn, Program, Var, read};
use crate::prim::{Batched, Prim, Scan};

/// The program with loops that keep only what cannot be computed again.
pub(super) fn residuals(program: &Program) -> Program {
    let mut draft = Draft::new(&[]);
    let inputs = draft.inputs_of(program);
    let outputs = draft.copy(program, &inputs, |draft, prim, inputs| {
        draft.bind(with_bodies(prim, &mut residuals), inputs)
    });
    let program = draft.finish(outputs);
    let kept: HashMap<Var, Kept<'_>> = find_kept(&program);
    if kept.values().all(|kept| !kept.again) {
        return program;
    }
    let slimmer = compute_again(&program, &kept);
    if cost(&slimmer).total() < cost(&program).total() { slimmer } else { program }
}

/// A row of ys of a loop.
#[derive(Clone, Debug)]
struct Kept<'a> {
    step: Rc<Step<'a>>,
    /// The equation of that loop.
    eqn: &'a Eqn,
    /// The value of a step that is kept.
    inner: Atom,
    /// Whether the loops that read it compute it again.
    again: bool,
}

/// A loop, and how each variable of its step comes about.
#[derive(Debug)]
struct Step<'a> {
    it: Loop<'a>,
    sources: Vec<Option<Source>>,
    bound_by: Vec<Option<&'a Eqn>>,
}

impl<'a> Kept<'a> {
    /// The variables that hold the ys of its loop, with the values of a step.
    fn siblings(&self) -> impl Iterator<Item = (Var, Atom)> + use<'a> {
        let it = self.step.it;
        self.eqn.outputs[it.scan.n_carry..].iter().copied().zip(it.ys().iter().copied())
    }
}

/// The ys of a program's loops by variable, and which of them are to be computed again.
fn find_kept(program: &Program) -> HashMap<Var, Kept<'_>> {
    let readers = loops_that_read(program);
    let mut all = HashMap::new();
    for eqn in program.eqns() {
        let Prim::Scan(scan) = &eqn.prim else { continue };
        let it = Loop { scan, inputs: &eqn.inputs };
        let step = Rc::new(Step { it, sources: it.sources(), bound_by: it.bound_by() });
        let mut order: Vec<usize> = (0..it.ys().len()).collect();
        // What is bound last can use all others, so it comes first.
        order.sort_by_key(|&i| std::cmp::Reverse(it.ys()[i].var()));
        let is_dropped = |all: &HashMap<Var, Kept<'_>>, var: Var| {
            all.get(&var).is_some_and(|kept: &Kept<'_>| kept.again)
        };
        for i in order {
            let outer = eqn.outputs[scan.n_carry + i];
            let mut kept = Kept { step: step.clone(), eqn, inner: it.ys()[i], again: false };
            if let Some(n_readers) = readers[outer.index()] {
                let leaves = |var: Var| {
                    let inner = Atom::Var(var);
                    let holds = |(outer, y): (Var, Atom)| y == inner && !is_dropped(&all, outer);
                    inner != kept.inner && kept.siblings().any(holds)
                };
                let work = Work::of(&step, kept.inner, &leaves);
                kept.again = work.is_some_and(|work| work.pays(&it, kept.inner, n_readers));
            }
            all.insert(outer, kept);
        }
    }
    all
}

/// For each variable, by how many loops it is read row by row; `None` if anything else reads it.
fn loops_that_read(program: &Program) -> Vec<Option<usize>> {
    let mut readers = vec![Some(0); program.n_vars()];
    for eqn in program.eqns() {
        let n_whole = match &eqn.prim {
            Prim::Scan(scan) => scan.n_consts + scan.n_carry,
            _ => eqn.inputs.len(),
        };
        for (i, var) in eqn.inputs.iter().enumerate().filter_map(|(i, x)| Some((i, x.var()?))) {
            let count = &mut readers[var.index()];
            *count = if i < n_whole { None } else { count.map(|n| n + 1) };
        }
    }
    for var in program.outputs().iter().filter_map(|atom| atom.var()) {
        readers[var.index()] = None;
    }
    readers.iter_mut().for_each(|n| *n = n.filter(|&n| n > 0));
    readers
}

/// What it takes to compute a value of a step from what is kept.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    flops: f64,
    n_eqns: usize,
}

impl Work {
    /// `None` if it takes more than elementwise equations of values that are kept or given.
    fn of(step: &Step<'_>, atom: Atom, is_kept: &dyn Fn(Var) -> bool) -> Option<Work> {
        let Atom::Var(var) = atom else { return Some(Work::default()) };
        if is_kept(var) {
            return Some(Work::default());
        }
        let Some(eqn) = step.bound_by[var.index()] else {
            let is_given = matches!(step.sources[var.index()], Some(Source::Given(_)));
            return is_given.then(Work::default);
        };
        if !is_elementwise(&eqn.prim) {
            return None;
        }
        let body = step.it.body();
        let avals =
            |atoms: &[Atom]| -> Vec<_> { atoms.iter().map(|&atom| body.aval(atom)).collect() };
        let flops = flops(&eqn.prim, &avals(&eqn.inputs), &avals(&[atom]));
        let mut work = Work { flops, n_eqns: 1 };
        for &input in &eqn.inputs {
            let part = Work::of(step, input, is_kept)?;
            work.flops += part.flops;
            work.n_eqns += part.n_eqns;
        }
        Some(work)
    }

    /// Whether it is less than to write the rows and to read them again.
    fn pays(&self, it: &Loop<'_>, kept: Atom, n_readers: usize) -> bool {
        let work = (self.flops + self.n_eqns as f64) * n_readers as f64;
        // A value that the loop writes for another reason is written in any case.
        let read_by = |eqn: &&Eqn| eqn.inputs.contains(&kept) && !is_elementwise(&eqn.prim);
        let is_written = it.body().eqns().iter().any(|eqn| read_by(&eqn));
        let moves = n_readers + usize::from(!is_written);
        work < (moves * it.body().aval(kept).bytes()) as f64
    }
}

/// The program in which loops compute again what `kept` says.
fn compute_again(program: &Program, kept: &HashMap<Var, Kept<'_>>) -> Program {
    let mut draft = Draft::new(&[]);
    let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
    for (var, atom) in program.inputs().iter().zip(draft.inputs_of(program)) {
        env[var.index()] = Some(atom);
    }
    for eqn in program.eqns() {
        let drops = |atom: &Atom| atom.var().is_some_and(|v| kept.get(&v).is_some_and(|k| k.again));
        let outputs = match &eqn.prim {
            Prim::Scan(scan) if eqn.inputs.iter().any(drops) => {
                let mut reader = Reader::new(kept, &env);
                let (scan, inputs) = reader.remake(Loop { scan, inputs: &eqn.inputs });
                draft.bind(scan, &inputs)
            }
            prim => {
                let inputs: Vec<Atom> = eqn.inputs.iter().map(|&x| read(&env, x)).collect();
                draft.bind(prim.clone(), &inputs)
            }
        };
        eqn.outputs.iter().zip(outputs).for_each(|(var, atom)| env[var.index()] = Some(atom));
    }
    let outputs = program.outputs().iter().map(|&atom| read(&env, atom)).collect();
    draft.finish(outputs)
}

/// A loop that reads what was kept, under construction.
struct Reader<'a> {
    kept: &'a HashMap<Var, Kept<'a>>,
    /// What the variables of the program around it have become.
    around: &'a [Option<Atom>],
    new: LoopDraft,
    /// Values of the loops before it, as its step has them: by the equation and variable.
    again: HashMap<(Var, Atom), Atom>,
}

impl<'a> Reader<'a> {
    fn new(kept: &'a HashMap<Var, Kept<'a>>, around: &'a [Option<Atom>]) -> Reader<'a> {
        Reader { kept, around, new: LoopDraft::default(), again: HashMap::new() }
    }

    fn remake(&mut self, it: Loop<'_>) -> (Scan, Vec<Atom>) {
        let body = it.body();
        let sources = it.sources();
        let mut env: Vec<Option<Atom>> = vec![None; body.n_vars()];
        for &var in body.inputs() {
            let aval = body.var_aval(var).clone();
            env[var.index()] = Some(match sources[var.index()] {
                Some(Source::Carry(i)) => self.new.carry(read(self.around, it.init()[i]), aval),
                Some(Source::Given(Batched::Mapped(Atom::Var(outer)))) => {
                    self.row(outer, var, body)
                }
                Some(Source::Given(Batched::Mapped(x))) => self.new.given(Batched::Mapped(x), aval),
                Some(Source::Given(Batched::Shared(x))) => {
                    self.new.given(Batched::Shared(read(self.around, x)), aval)
                }
                None => unreachable!("internal: an input has a source"),
            });
        }
        for eqn in body.eqns() {
            let inputs = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
            self.new.step().copy(body, eqn, inputs, &mut env);
        }
        let outputs: Vec<Atom> = body.outputs().iter().map(|&atom| read(&env, atom)).collect();
        let (next, rows) = outputs.split_at(it.scan.n_carry);
        // Each row of ys keeps its place, so that equal ones are not joined here.
        rows.iter().for_each(|&row| self.new.another_y(row));
        std::mem::take(&mut self.new).finish(it.scan, next)
    }

    /// A row that the loop was given: given as before, or computed.
    fn row(&mut self, outer: Var, inner: Var, body: &Program) -> Atom {
        match self.kept.get(&outer) {
            Some(kept) if kept.again => self.compute(kept, kept.inner),
            _ => {
                let rows = Batched::Mapped(read(self.around, Atom::Var(outer)));
                self.new.given(rows, body.var_aval(inner).clone())
            }
        }
    }

    /// A value of a step of the loop that `kept` is of.
    fn compute(&mut self, kept: &Kept<'a>, atom: Atom) -> Atom {
        let Atom::Var(var) = atom else { return atom };
        let key = (kept.eqn.outputs[0], atom);
        if let Some(&atom) = self.again.get(&key) {
            return atom;
        }
        let step = &kept.step;
        let aval = step.it.body().aval(atom);
        let is_there = |&(outer, y): &(Var, Atom)| y == atom && !self.kept[&outer].again;
        let there = kept.siblings().find(is_there);
        let value = match (there, step.sources[var.index()], step.bound_by[var.index()]) {
            (Some((outer, _)), _, _) => {
                let rows = read(self.around, Atom::Var(outer));
                self.new.given(Batched::Mapped(rows), aval)
            }
            (None, Some(Source::Given(Batched::Shared(x))), _) => {
                self.new.given(Batched::Shared(read(self.around, x)), aval)
            }
            (None, Some(Source::Given(Batched::Mapped(x))), _) => {
                self.new.given(Batched::Mapped(read(self.around, x)), aval)
            }
            (None, None, Some(eqn)) => {
                let inputs: Vec<Atom> =
                    eqn.inputs.iter().map(|&input| self.compute(kept, input)).collect();
                self.new.bind(&eqn.prim, &inputs)[0]
            }
            _ => unreachable!("internal: {atom:?} is not kept"),
        };
        self.again.insert(key, value);
        value
    }
}
