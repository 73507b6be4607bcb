//! Building a program, equation by equation.

use super::print::is_name;
use super::{Atom, Aval, Eqn, Program, Var};
use crate::buffer::Scalar;
use crate::error::Misfit;
use crate::prim::Prim;

/// A program under construction. Rules receive one and append their equations to it.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    avals: Vec<Aval>,
    inputs: Vec<Var>,
    eqns: Vec<Eqn>,
    names: Vec<String>,
}

impl Builder {
    /// A program without inputs or equations.
    pub fn new() -> Builder {
        Builder::default()
    }

    fn fresh(&mut self, aval: Aval) -> Var {
        self.avals.push(aval);
        Var((self.avals.len() - 1) as u32)
    }

    /// A new input.
    pub fn input(&mut self, aval: Aval) -> Atom {
        self.named_input(aval, String::new())
    }

    /// A new input with the user's name for it.
    ///
    /// A name that could not be told from other text, or from an earlier name, is dropped: names
    /// are made of `A-Z a-z 0-9 _ .`
    pub fn named_input(&mut self, aval: Aval, mut name: String) -> Atom {
        let var = self.fresh(aval);
        if !is_name(&name) || self.names.contains(&name) {
            name.clear();
        }
        self.inputs.push(var);
        self.names.push(name);
        Atom::Var(var)
    }

    /// New inputs of these types.
    pub fn inputs(&mut self, avals: &[Aval]) -> Vec<Atom> {
        avals.iter().map(|aval| self.input(aval.clone())).collect()
    }

    /// The type of an atom.
    pub fn aval(&self, atom: Atom) -> Aval {
        match atom {
            Atom::Var(var) => self.avals[var.index()].clone(),
            Atom::Lit(value) => Aval::scalar(value.dtype()),
        }
    }

    /// The types of atoms.
    pub fn avals(&self, atoms: &[Atom]) -> Vec<Aval> {
        atoms.iter().map(|&atom| self.aval(atom)).collect()
    }

    /// Appends an equation; its outputs.
    ///
    /// # Errors
    /// [`Misfit`] if the inputs do not fit the primitive.
    pub fn try_bind(
        &mut self,
        prim: impl Into<Prim>,
        inputs: &[Atom],
    ) -> Result<Vec<Atom>, Misfit> {
        let prim = prim.into();
        let avals = prim.infer(&self.avals(inputs))?;
        Ok(self.append(prim, inputs, avals))
    }

    fn append(&mut self, prim: Prim, inputs: &[Atom], avals: Vec<Aval>) -> Vec<Atom> {
        let outputs: Vec<Var> = avals.into_iter().map(|aval| self.fresh(aval)).collect();
        let atoms = outputs.iter().map(|&var| Atom::Var(var)).collect();
        self.eqns.push(Eqn { prim, inputs: inputs.to_vec(), outputs });
        atoms
    }

    /// Appends an equation that a rule of ours makes; its outputs.
    ///
    /// They may be larger than an array can be, since a rule has nobody to tell: whoever runs a
    /// program asks [`Program::oversized`].
    ///
    /// # Panics
    /// If the inputs do not fit: the rule is wrong.
    pub fn bind(&mut self, prim: impl Into<Prim>, inputs: &[Atom]) -> Vec<Atom> {
        let prim = prim.into();
        match prim.infer_of_any_size(&self.avals(inputs)) {
            Ok(avals) => self.append(prim, inputs, avals),
            Err(misfit) => panic!(
                "internal: a rule made an equation that does not fit\n{} {:?}: {}",
                prim.name(),
                self.avals(inputs),
                misfit.message
            ),
        }
    }

    /// Appends an equation with one output; that output.
    pub fn bind1(&mut self, prim: impl Into<Prim>, inputs: &[Atom]) -> Atom {
        self.bind(prim, inputs)[0]
    }

    /// Appends a program's equations, with `inputs` of the same types for its inputs; its outputs.
    pub fn inline(&mut self, program: &Program, inputs: &[Atom]) -> Vec<Atom> {
        debug_assert_eq!(program.inputs.len(), inputs.len(), "internal: inline\n{program}");
        let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
        for (&var, &atom) in program.inputs.iter().zip(inputs) {
            env[var.index()] = Some(atom);
        }
        for eqn in &program.eqns {
            let inputs = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
            self.copy(program, eqn, inputs, &mut env);
        }
        program.outputs.iter().map(|&atom| read(&env, atom)).collect()
    }

    /// Appends an equation of a program, with `inputs` of the same types for its inputs; `env`
    /// learns what its outputs have become. Nothing is inferred again.
    pub(crate) fn copy(
        &mut self,
        program: &Program,
        eqn: &Eqn,
        inputs: Vec<Atom>,
        env: &mut [Option<Atom>],
    ) {
        debug_assert!(
            eqn.prim.infer_of_any_size(&self.avals(&inputs)).is_ok_and(|avals| {
                avals.iter().eq(eqn.outputs.iter().map(|&var| program.var_aval(var)))
            }),
            "internal: inputs of other types\n{program}"
        );
        let outputs: Vec<Var> =
            eqn.outputs.iter().map(|&var| self.fresh(program.var_aval(var).clone())).collect();
        for (&var, &new) in eqn.outputs.iter().zip(&outputs) {
            env[var.index()] = Some(Atom::Var(new));
        }
        self.eqns.push(Eqn { prim: eqn.prim.clone(), inputs, outputs });
    }

    /// A number of the type and shape of `aval`, without taking memory for it.
    pub fn full(&mut self, value: f64, aval: &Aval) -> Atom {
        let lit = Atom::Lit(Scalar::of(value, aval.dtype));
        match aval.shape.rank() {
            0 => lit,
            _ => self.broadcast(lit, &aval.shape, &[]),
        }
    }

    /// The finished program.
    pub fn finish(self, outputs: Vec<Atom>) -> Program {
        let Builder { avals, inputs, eqns, names } = self;
        Program { avals, inputs, eqns, outputs, names }
    }

    /// The finished program, renumbered so that inputs come before everything else.
    ///
    /// For builders whose inputs were found on the way.
    pub fn finish_ordered(self, outputs: Vec<Atom>) -> Program {
        Program::numbered(&self.avals, self.inputs, self.names, self.eqns, outputs)
    }

    /// The position of the equation that was appended last.
    pub(crate) fn last_eqn_idx(&self) -> usize {
        self.eqns.len() - 1
    }

    /// An equation by its position.
    pub(crate) fn eqn(&self, idx: usize) -> &Eqn {
        &self.eqns[idx]
    }
}

impl Program {
    /// The program of these equations, with its variables numbered anew in the order in which they
    /// are bound: `inputs` first, then the outputs of each equation. `avals` are the types by the
    /// old numbers; variables that nothing binds are dropped.
    pub(crate) fn numbered(
        avals: &[Aval],
        inputs: Vec<Var>,
        names: Vec<String>,
        mut eqns: Vec<Eqn>,
        mut outputs: Vec<Atom>,
    ) -> Program {
        let mut ordered = Builder { names, ..Builder::default() };
        ordered.avals.reserve(avals.len());
        let mut new: Vec<Option<Atom>> = vec![None; avals.len()];
        let bind = |ordered: &mut Builder, new: &mut [Option<Atom>], old: Var| {
            let var = ordered.fresh(avals[old.index()].clone());
            new[old.index()] = Some(Atom::Var(var));
            var
        };
        ordered.inputs = inputs.into_iter().map(|old| bind(&mut ordered, &mut new, old)).collect();
        for eqn in &mut eqns {
            eqn.inputs.iter_mut().for_each(|atom| *atom = read(&new, *atom));
            for var in &mut eqn.outputs {
                *var = bind(&mut ordered, &mut new, *var);
            }
        }
        outputs.iter_mut().for_each(|atom| *atom = read(&new, *atom));
        Builder { eqns, ..ordered }.finish(outputs)
    }

    /// Whether the variables are numbered in the order in which they are bound.
    pub(crate) fn is_numbered(&self) -> bool {
        let bound = self.eqns.iter().flat_map(|eqn| &eqn.outputs);
        self.inputs.iter().chain(bound).map(|var| var.index()).eq(0..self.avals.len())
    }
}

/// What a renaming says an atom has become.
pub(crate) fn read(env: &[Option<Atom>], atom: Atom) -> Atom {
    match atom {
        Atom::Var(var) => env[var.index()].unwrap_or_else(|| panic!("internal: {var:?} unbound")),
        Atom::Lit(_) => atom,
    }
}
