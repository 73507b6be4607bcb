//! Programs: a list of equations in the order of evaluation.

use super::Aval;
use crate::buffer::Scalar;
use crate::prim::Prim;

/// A variable of one program, bound once: an index into its avals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub(crate) u32);

impl Var {
    /// The position in tables with an entry for each variable.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an equation reads: a variable, or one number written into the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Atom {
    /// A variable.
    Var(Var),
    /// A number without axes.
    Lit(Scalar),
}

impl Atom {
    /// The variable, if it is one.
    pub fn var(self) -> Option<Var> {
        match self {
            Atom::Var(var) => Some(var),
            Atom::Lit(_) => None,
        }
    }
}

/// One equation: `outputs = prim inputs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Eqn {
    /// What is computed.
    pub prim: Prim,
    /// What it reads.
    pub inputs: Vec<Atom>,
    /// The variables that it binds.
    pub outputs: Vec<Var>,
}

/// A function of arrays as data: inputs, equations in the order of evaluation, outputs.
///
/// Variables are numbered in the order in which they are bound: inputs first, then the outputs of
/// each equation. So equal programs print equally and the other way round.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    pub(crate) avals: Vec<Aval>,
    pub(crate) inputs: Vec<Var>,
    pub(crate) eqns: Vec<Eqn>,
    pub(crate) outputs: Vec<Atom>,
    /// The user's name of each input, a path such as `gru.wz`; empty where there is none.
    pub(crate) names: Vec<String>,
}

impl Program {
    /// The input variables.
    pub fn inputs(&self) -> &[Var] {
        &self.inputs
    }

    /// The equations, in the order of evaluation.
    pub fn eqns(&self) -> &[Eqn] {
        &self.eqns
    }

    /// What the program returns.
    pub fn outputs(&self) -> &[Atom] {
        &self.outputs
    }

    /// The number of variables.
    pub fn n_vars(&self) -> usize {
        self.avals.len()
    }

    /// The type of a variable or number.
    pub fn aval(&self, atom: Atom) -> Aval {
        match atom {
            Atom::Var(var) => self.avals[var.index()].clone(),
            Atom::Lit(value) => Aval::scalar(value.dtype()),
        }
    }

    /// The type of a variable.
    pub fn var_aval(&self, var: Var) -> &Aval {
        &self.avals[var.index()]
    }

    /// The types of the inputs.
    pub fn input_avals(&self) -> Vec<Aval> {
        self.inputs.iter().map(|&var| self.var_aval(var).clone()).collect()
    }

    /// The types of the outputs.
    pub fn output_avals(&self) -> Vec<Aval> {
        self.outputs.iter().map(|&atom| self.aval(atom)).collect()
    }

    /// The number of equations, those of inner programs included.
    pub fn n_eqns(&self) -> usize {
        let inner = |eqn: &Eqn| eqn.prim.bodies().iter().map(|body| body.n_eqns()).sum::<usize>();
        self.eqns.iter().map(|eqn| 1 + inner(eqn)).sum()
    }

    /// The type of a value, here or in an inner program, that is larger than an array can be.
    pub fn oversized(&self) -> Option<&Aval> {
        let here = self.avals.iter().find(|aval| !aval.shape.is_reasonable(aval.dtype.size()));
        let mut bodies = self.eqns.iter().flat_map(|eqn| eqn.prim.bodies());
        here.or_else(|| bodies.find_map(|body| body.oversized()))
    }

    /// Whether some equation, here or in an inner program, acts on the world outside.
    pub fn has_effects(&self) -> bool {
        self.eqns.iter().any(|eqn| eqn.prim.has_effects())
    }
}
