//! Leaves out what no output needs.

use std::sync::Arc;

use super::pick;
use crate::ir::{Atom, Eqn, Program, Var};
use crate::prim::Prim;

/// The program with only the `used` outputs and the equations that they need, and which of its
/// inputs those read. It keeps all inputs, so that callers can decide about them.
pub fn dce(program: &Program, used: &[bool]) -> (Program, Vec<bool>) {
    let needed = Needed::of(program, used);
    let live = needed.inputs(program);
    let outputs = pick(&program.outputs, used);
    let (inputs, names) = (program.inputs.clone(), program.names.clone());
    (Program::numbered(&program.avals, inputs, names, needed.eqns(program), outputs), live)
}

/// The program without equations that no output needs.
pub fn prune(program: &Program) -> Program {
    pruned(program.clone())
}

/// The same, for a program that nobody else needs.
pub(crate) fn pruned(program: Program) -> Program {
    let all = vec![true; program.outputs.len()];
    if Needed::of(&program, &all).is_whole(&program) {
        return program;
    }
    dce(&program, &all).0
}

/// Which inputs the `used` outputs need.
pub(crate) fn live_inputs(program: &Program, used: &[bool]) -> Vec<bool> {
    Needed::of(program, used).inputs(program)
}

/// The program with only the `used` outputs, and only the inputs that they need or `keep` names;
/// which inputs those are. Where nothing is left out, it is the same program.
pub(crate) fn dce_inputs(
    program: &Arc<Program>,
    used: &[bool],
    keep: &[bool],
) -> (Arc<Program>, Vec<bool>) {
    let needed = Needed::of(program, used);
    let live = needed.inputs(program);
    let live: Vec<bool> = live.iter().zip(keep).map(|(&live, &keep)| live || keep).collect();
    if needed.is_whole(program) && !live.contains(&false) && !used.contains(&false) {
        return (program.clone(), live);
    }
    let (inputs, names) = (pick(&program.inputs, &live), pick(&program.names, &live));
    let (eqns, outputs) = (needed.eqns(program), pick(&program.outputs, used));
    (Arc::new(Program::numbered(&program.avals, inputs, names, eqns, outputs)), live)
}

/// What some outputs of a program need.
struct Needed {
    /// What of each equation.
    eqns: Vec<Part>,
    /// Which variables are read.
    live: Vec<bool>,
}

/// What of an equation is needed.
enum Part {
    Nothing,
    All,
    Some(Box<Eqn>),
}

impl Needed {
    fn of(program: &Program, used: &[bool]) -> Needed {
        let mut live = vec![false; program.n_vars()];
        let mark = |live: &mut Vec<bool>, atom: &Atom| {
            if let Atom::Var(var) = atom {
                live[var.index()] = true;
            }
        };
        let outputs = program.outputs.iter().zip(used).filter(|&(_, &used)| used);
        outputs.for_each(|(atom, _)| mark(&mut live, atom));
        // Backwards, so that every reader of a variable has been seen when its equation comes.
        let parts = program.eqns.iter().rev().map(|eqn| {
            let part = part(eqn, &live);
            match &part {
                Part::Nothing => {}
                Part::All => eqn.inputs.iter().for_each(|atom| mark(&mut live, atom)),
                Part::Some(eqn) => eqn.inputs.iter().for_each(|atom| mark(&mut live, atom)),
            }
            part
        });
        let mut eqns: Vec<Part> = parts.collect();
        eqns.reverse();
        Needed { eqns, live }
    }

    /// Whether that is every equation as it is, in a program in order: builders find inputs on the
    /// way.
    fn is_whole(&self, program: &Program) -> bool {
        self.eqns.iter().all(|part| matches!(part, Part::All)) && program.is_numbered()
    }

    /// Which inputs are needed.
    fn inputs(&self, program: &Program) -> Vec<bool> {
        program.inputs.iter().map(|var| self.live[var.index()]).collect()
    }

    /// The equations that are left.
    fn eqns(self, program: &Program) -> Vec<Eqn> {
        let left = program.eqns.iter().zip(self.eqns).filter_map(|(eqn, part)| match part {
            Part::Nothing => None,
            Part::All => Some(eqn.clone()),
            Part::Some(part) => Some(*part),
        });
        left.collect()
    }
}

/// What of an equation the `live` variables need.
fn part(eqn: &Eqn, live: &[bool]) -> Part {
    let is_live = |var: &Var| live[var.index()];
    if !eqn.outputs.iter().any(is_live) && !eqn.prim.has_effects() {
        return Part::Nothing;
    }
    let Some(rules) = eqn.prim.body_rules() else { return Part::All };
    let used: Vec<bool> = eqn.outputs.iter().map(is_live).collect();
    let kept = rules.dce(&used);
    let all = !kept.inputs.contains(&false) && !kept.outputs.contains(&false);
    if all && same_bodies(&kept.prim, &eqn.prim) {
        return Part::All;
    }
    Part::Some(Box::new(Eqn {
        prim: kept.prim,
        inputs: pick(&eqn.inputs, &kept.inputs),
        outputs: pick(&eqn.outputs, &kept.outputs),
    }))
}

fn same_bodies(prim: &Prim, other: &Prim) -> bool {
    let (bodies, others) = (prim.bodies(), other.bodies());
    bodies.iter().zip(others).all(|(body, other)| Arc::ptr_eq(body, other))
}
