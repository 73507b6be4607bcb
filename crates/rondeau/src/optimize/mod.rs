//! Program to program, with the same meaning at a lower cost.
//!
//! Every pass is a function from a checked program to a checked program, and works inside loops,
//! choices and checkpoints too. What a checkpoint computes is never shared with anything outside
//! it. Passes that change the order of summation give the same results to rounding; all others
//! give the same bits.

mod algebra;
mod cost;
mod cse;
mod dce;
mod defer;
mod draft;
mod fold;
mod hoist;
mod inline;
mod inputs;
mod known;
mod loops;
mod regroup;
mod residuals;

#[cfg(test)]
mod tests;

pub use cost::{Cost, MIN_STEPS, WHILE_STEPS, cost};

use crate::ir::Program;

/// One step of the optimizer.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The name that `explain` and faults call it by.
    pub name: &'static str,
    /// The same program, better.
    pub run: fn(&Program) -> Program,
}

/// The passes, in the order in which they run.
pub const PIPELINE: &[Pass] = &[
    Pass { name: "inline", run: inline::inline },
    Pass { name: "dce", run: dce::dce },
    Pass { name: "fold", run: fold::fold },
    Pass { name: "algebra", run: algebra::algebra },
    Pass { name: "cse", run: cse::cse },
    Pass { name: "inputs", run: inputs::inputs },
    Pass { name: "algebra", run: algebra::algebra },
    Pass { name: "cse", run: cse::cse },
    Pass { name: "hoist", run: hoist::hoist },
    Pass { name: "defer", run: defer::defer },
    Pass { name: "residuals", run: residuals::residuals },
    Pass { name: "algebra", run: algebra::algebra },
    Pass { name: "cse", run: cse::cse },
    Pass { name: "inputs", run: inputs::inputs },
];

/// The program after all passes.
///
/// # Panics
/// In debug builds, if a pass breaks a rule of the language.
pub fn optimize(program: &Program) -> Program {
    optimize_with(program, &mut |_, _| {})
}

/// The program after all passes, each shown to `observe` by name with what it made.
///
/// # Panics
/// In debug builds, if a pass breaks a rule of the language.
pub fn optimize_with(
    program: &Program,
    observe: &mut dyn FnMut(&'static str, &Program),
) -> Program {
    let mut program = program.clone();
    for pass in PIPELINE {
        let next = (pass.run)(&program);
        // What a pass takes out of a loop exists for all steps at once, which may be too much.
        if next.oversized().is_some() {
            continue;
        }
        program = next;
        if cfg!(debug_assertions)
            && let Err(fault) = program.check()
        {
            panic!("internal: the pass `{}` broke the program: {fault}", pass.name);
        }
        observe(pass.name, &program);
    }
    program
}
