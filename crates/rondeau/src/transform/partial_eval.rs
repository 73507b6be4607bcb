//! Splits a program by what is known: one part to run now, one to run when the rest is there.

use std::collections::HashMap;

use super::{dce, pick, positions};
use crate::ir::{Atom, Aval, Builder, Program};

/// A value of a program that is being split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// Determined by the known inputs: an atom of the known part.
    Known(Atom),
    /// Not determined yet: an atom of the unknown part.
    Unknown(Atom),
}

impl Partial {
    /// Whether it has to wait.
    pub fn is_unknown(self) -> bool {
        matches!(self, Partial::Unknown(_))
    }

    /// The atom in the known part.
    pub fn known(self) -> Atom {
        match self {
            Partial::Known(atom) => atom,
            Partial::Unknown(_) => panic!("internal: an unknown value where a known one is needed"),
        }
    }
}

/// The two parts under construction, and the values that pass from one to the other.
#[derive(Debug, Default)]
pub struct PartialBuilder {
    /// What can be computed now.
    pub known: Builder,
    /// What has to wait.
    pub unknown: Builder,
    residuals: Vec<Atom>,
    lifted: HashMap<Atom, Atom>,
}

impl PartialBuilder {
    /// The atom of the unknown part for a known value; the value becomes a residual, once.
    pub fn residual(&mut self, known: Atom) -> Atom {
        if let Atom::Lit(_) = known {
            return known;
        }
        if let Some(&atom) = self.lifted.get(&known) {
            return atom;
        }
        let atom = self.unknown.input(self.known.aval(known));
        self.residuals.push(known);
        self.lifted.insert(known, atom);
        atom
    }

    /// The atom of the unknown part for any value.
    pub fn lift(&mut self, value: Partial) -> Atom {
        match value {
            Partial::Known(atom) => self.residual(atom),
            Partial::Unknown(atom) => atom,
        }
    }

    /// The type of a value.
    pub fn aval(&self, value: Partial) -> Aval {
        match value {
            Partial::Known(atom) => self.known.aval(atom),
            Partial::Unknown(atom) => self.unknown.aval(atom),
        }
    }
}

/// A program in two parts.
#[derive(Clone, Debug)]
pub struct Split {
    /// From the known inputs to the known outputs and the residuals.
    pub known: Program,
    /// From the unknown inputs and the residuals to the unknown outputs.
    pub unknown: Program,
    /// Which outputs are unknown.
    pub unknown_out: Vec<bool>,
    /// The types of the residuals.
    pub residuals: Vec<Aval>,
}

/// Splits a program by which inputs are unknown. Outputs named by `force` are unknown in any case.
pub fn partial_eval(program: &Program, unknown: &[bool], force: &[bool]) -> Split {
    let mut b = PartialBuilder::default();
    let mut env = vec![None; program.n_vars()];
    for (&var, &unknown) in program.inputs().iter().zip(unknown) {
        let aval = program.var_aval(var).clone();
        env[var.index()] = Some(match unknown {
            true => Partial::Unknown(b.unknown.input(aval)),
            false => Partial::Known(b.known.input(aval)),
        });
    }
    let read = |env: &[Option<Partial>], atom: Atom| match atom {
        Atom::Lit(_) => Partial::Known(atom),
        Atom::Var(var) => env[var.index()].expect("internal: bound before use"),
    };
    for eqn in program.eqns() {
        let inputs: Vec<Partial> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
        let is_known = !inputs.iter().any(|x| x.is_unknown());
        let outputs: Vec<Partial> = if is_known && !eqn.prim.has_custom_linear() {
            let inputs: Vec<Atom> = inputs.into_iter().map(Partial::known).collect();
            b.known.bind(eqn.prim.clone(), &inputs).into_iter().map(Partial::Known).collect()
        } else if let Some(rules) = eqn.prim.body_rules() {
            rules.partial_eval(&mut b, &inputs)
        } else {
            let inputs: Vec<Atom> = inputs.into_iter().map(|x| b.lift(x)).collect();
            b.unknown.bind(eqn.prim.clone(), &inputs).into_iter().map(Partial::Unknown).collect()
        };
        for (&var, value) in eqn.outputs.iter().zip(outputs) {
            env[var.index()] = Some(value);
        }
    }
    let outputs: Vec<Partial> = program.outputs().iter().map(|&atom| read(&env, atom)).collect();
    finish(b, &outputs, force, unknown)
}

fn finish(mut b: PartialBuilder, outputs: &[Partial], force: &[bool], unknown: &[bool]) -> Split {
    let (mut known_outs, mut unknown_outs, mut unknown_out) = (vec![], vec![], vec![]);
    for (&output, &force) in outputs.iter().zip(force) {
        match output {
            Partial::Known(atom) if !force => known_outs.push(atom),
            value => unknown_outs.push(b.lift(value)),
        }
        unknown_out.push(output.is_unknown() || force);
    }
    // Residuals that only dead equations read are dropped on both sides.
    let n_unknown_inputs = positions(unknown).len();
    let all = vec![true; unknown_outs.len()];
    let (pruned, mut used) = dce(&b.unknown.finish_ordered(unknown_outs), &all);
    used[..n_unknown_inputs].fill(true);
    let residuals = pick(&b.residuals, &used[n_unknown_inputs..]);
    let avals = b.known.avals(&residuals);
    let known = b.known.finish([known_outs, residuals].concat());
    Split {
        known: super::pruned(known),
        unknown: without_inputs(pruned, &used),
        unknown_out,
        residuals: avals,
    }
}

/// The program without the inputs that are not used, which no equation reads.
fn without_inputs(program: Program, used: &[bool]) -> Program {
    let (inputs, names) = (pick(&program.inputs, used), pick(&program.names, used));
    Program::numbered(&program.avals, inputs, names, program.eqns, program.outputs)
}
