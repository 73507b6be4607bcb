//! A program on its way from one version to the next: equations are copied one by one, and each
//! meets the rules of the pass with what is known of its operands.

use std::cell::Cell;
use std::sync::Arc;

use crate::buffer::Scalar;
use crate::ir::{Atom, Aval, Builder, Eqn, Program, read};
use crate::prim::{Call, CallKind, Cond, Prim, Scan, While};
use crate::transform::pruned;

/// A local rewrite: what the equation `prim inputs`, which has one output, is equal to; `None` if
/// the rule has nothing to say. It may append equations, which meet the rules in turn; so what it
/// appends must be simpler than what it was given.
pub(super) type Rule = fn(&mut Draft, &Prim, &[Atom]) -> Option<Atom>;

/// What is made of each equation of a program that is copied: its outputs.
pub(super) type Copy<'a> = &'a dyn Fn(&mut Draft, &Prim, &[Atom]) -> Vec<Atom>;

/// A program under construction that remembers how each variable is bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    b: Builder,
    /// The position of the equation that binds each variable; none for inputs.
    bound_by: Vec<Option<usize>>,
    /// How often the program that is copied reads what each variable stands for.
    n_readers: Vec<usize>,
    rules: &'static [&'static [Rule]],
    /// How many equations the rules made something else of.
    n_rewritten: usize,
}

impl Draft {
    /// An empty program, under these rules.
    pub(super) fn new(rules: &'static [&'static [Rule]]) -> Draft {
        Draft { rules, ..Draft::default() }
    }

    /// New inputs, with the types and names of a program's.
    pub(super) fn inputs_of(&mut self, program: &Program) -> Vec<Atom> {
        let named = program.inputs.iter().zip(&program.names);
        named
            .map(|(&var, name)| self.b.named_input(program.var_aval(var).clone(), name.clone()))
            .collect()
    }

    /// A new input.
    pub(super) fn input(&mut self, aval: Aval) -> Atom {
        self.b.input(aval)
    }

    /// The type of an atom.
    pub(super) fn aval(&self, atom: Atom) -> Aval {
        self.b.aval(atom)
    }

    /// The equation that binds an atom; none for numbers and inputs.
    pub(super) fn def(&self, atom: Atom) -> Option<&Eqn> {
        let idx = *self.bound_by.get(atom.var()?.index())?;
        Some(self.b.eqn(idx?))
    }

    /// Whether the program that is copied reads this value in one place only.
    pub(super) fn is_read_once(&self, atom: Atom) -> bool {
        atom.var().is_some_and(|var| self.n_readers.get(var.index()) == Some(&1))
    }

    fn count_readers(&mut self, atom: Atom, n: usize) {
        if let Atom::Var(var) = atom {
            self.n_readers.resize(self.n_readers.len().max(var.index() + 1), 0);
            self.n_readers[var.index()] += n;
        }
    }

    /// The number that an atom is at every index, if it is one number and that is known.
    pub(super) fn uniform(&self, atom: Atom) -> Option<Scalar> {
        match (atom, self.def(atom)) {
            (Atom::Lit(value), _) => Some(value),
            (_, Some(eqn)) => match (&eqn.prim, eqn.inputs.first()) {
                (Prim::Broadcast(_), Some(Atom::Lit(value))) => Some(*value),
                _ => None,
            },
            _ => None,
        }
    }

    /// Appends an equation, or what the rules make of it; its outputs.
    pub(super) fn bind(&mut self, prim: impl Into<Prim>, inputs: &[Atom]) -> Vec<Atom> {
        let prim = prim.into();
        for rule in self.rules.iter().copied().flatten() {
            if let Some(atom) = rule(self, &prim, inputs) {
                debug_assert!(self.has_type(atom, &prim, inputs), "internal: a rule for {prim:?}");
                self.n_rewritten += 1;
                return vec![atom];
            }
        }
        let outputs = self.b.bind(prim, inputs);
        let idx = self.b.last_eqn_idx();
        for var in outputs.iter().filter_map(|atom| atom.var()) {
            self.bound_by.resize(var.index() + 1, None);
            self.bound_by[var.index()] = Some(idx);
        }
        outputs
    }

    /// Whether an atom has the type of the one output of an equation.
    fn has_type(&self, atom: Atom, prim: &Prim, inputs: &[Atom]) -> bool {
        let inferred = prim.infer(&self.b.avals(inputs));
        inferred.is_ok_and(|avals| avals == [self.aval(atom)])
    }

    /// Appends an equation with one output, or what the rules make of it.
    pub(super) fn bind1(&mut self, prim: impl Into<Prim>, inputs: &[Atom]) -> Atom {
        self.bind(prim, inputs)[0]
    }

    /// Appends a program's equations, each as `copy` makes it; the program's outputs.
    pub(super) fn copy(
        &mut self,
        program: &Program,
        inputs: &[Atom],
        mut copy: impl FnMut(&mut Draft, &Prim, &[Atom]) -> Vec<Atom>,
    ) -> Vec<Atom> {
        let n_readers = n_readers(program);
        let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
        for (&var, &atom) in program.inputs.iter().zip(inputs) {
            env[var.index()] = Some(atom);
            self.count_readers(atom, n_readers[var.index()]);
        }
        for eqn in &program.eqns {
            let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
            let outputs = copy(self, &eqn.prim, &inputs);
            for (var, atom) in eqn.outputs.iter().zip(outputs) {
                env[var.index()] = Some(atom);
                self.count_readers(atom, n_readers[var.index()]);
            }
        }
        program.outputs.iter().map(|&atom| read(&env, atom)).collect()
    }

    /// Appends a program's equations; its outputs.
    pub(super) fn inline(&mut self, program: &Program, inputs: &[Atom]) -> Vec<Atom> {
        self.copy(program, inputs, |draft, prim, inputs| draft.bind(prim.clone(), inputs))
    }

    /// Appends whatever a rule of a primitive makes; its results.
    pub(super) fn with_builder<R>(&mut self, make: impl FnOnce(&mut Builder) -> R) -> R {
        make(&mut self.b)
    }

    /// The finished program, without what its outputs do not need.
    pub(super) fn finish(self, outputs: Vec<Atom>) -> Program {
        pruned(self.b.finish(outputs))
    }
}

/// How often each variable is read, by equations and by the outputs.
pub(super) fn n_readers(program: &Program) -> Vec<usize> {
    let mut n_readers = vec![0; program.n_vars()];
    let read = program.eqns().iter().flat_map(|eqn| &eqn.inputs).chain(program.outputs());
    read.filter_map(|atom| atom.var()).for_each(|var| n_readers[var.index()] += 1);
    n_readers
}

/// The program after each of its equations, inner programs included, has met the rules; whether
/// any of them had something to say.
pub(super) fn rewrite(program: &Program, rules: &'static [&'static [Rule]]) -> (Program, bool) {
    let changed = Cell::new(false);
    let new = rewrite_eqns(program, rules, &|draft, prim, inputs| {
        let before = draft.n_rewritten;
        let outputs = draft.bind(prim.clone(), inputs);
        changed.set(changed.get() || draft.n_rewritten > before);
        outputs
    });
    (new, changed.get())
}

/// The program with each equation, inner programs first, as `copy` makes it.
pub(super) fn rewrite_eqns(
    program: &Program,
    rules: &'static [&'static [Rule]],
    copy: Copy<'_>,
) -> Program {
    let mut draft = Draft::new(rules);
    let inputs = draft.inputs_of(program);
    let outputs = draft.copy(program, &inputs, |draft, prim, inputs| {
        let prim = with_bodies(prim, &mut |body| rewrite_eqns(body, rules, copy));
        copy(draft, &prim, inputs)
    });
    draft.finish(outputs)
}

/// The primitive with the programs that it runs rewritten, each to one with the same inputs and
/// outputs. Rules for derivatives never run, so they stay.
pub(super) fn with_bodies(prim: &Prim, rewrite: &mut dyn FnMut(&Program) -> Program) -> Prim {
    let mut new = |body: &Arc<Program>| Arc::new(rewrite(body));
    match prim {
        Prim::Scan(scan) => Scan { body: new(&scan.body), ..scan.clone() }.into(),
        Prim::While(prim) => {
            While { cond: new(&prim.cond), body: new(&prim.body), ..prim.clone() }.into()
        }
        Prim::Cond(cond) => Cond { branches: cond.branches.iter().map(new).collect() }.into(),
        Prim::Call(call) => match call.kind {
            CallKind::Remat => Call { kind: CallKind::Remat, body: new(&call.body) }.into(),
            CallKind::CustomJvp { .. } | CallKind::CustomVjp { .. } => prim.clone(),
        },
        Prim::CustomLinear(_)
        | Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::Select(_)
        | Prim::Convert(_)
        | Prim::Bitcast(_)
        | Prim::Broadcast(_)
        | Prim::Reshape(_)
        | Prim::Transpose(_)
        | Prim::Slice(_)
        | Prim::Pad(_)
        | Prim::Concat(_)
        | Prim::Reverse(_)
        | Prim::Iota(_)
        | Prim::Reduce(_)
        | Prim::ArgReduce(_)
        | Prim::Cumulative(_)
        | Prim::Sort(_)
        | Prim::DotGeneral(_)
        | Prim::DynamicSlice(_)
        | Prim::DynamicUpdate(_)
        | Prim::Gather(_)
        | Prim::Scatter(_)
        | Prim::Threefry(_)
        | Prim::Tap(_) => prim.clone(),
    }
}
