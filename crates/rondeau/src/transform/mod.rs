//! Program to program, with a new meaning: derivatives and batches.
//!
//! The loops here ask primitives their rules and name none but `Add`. What reverse mode needs is
//! composed: `vjp = jvp ∘ partial_eval ∘ transpose`.

mod dce;
mod jvp;
mod partial_eval;
mod transpose;
mod vjp;
mod vmap;

pub use dce::{dce, prune};
pub(crate) use dce::{dce_inputs, live_inputs, pruned};
pub use jvp::{Jvp, jvp, jvp_into};
pub use partial_eval::{Partial, PartialBuilder, Split, partial_eval};
pub use transpose::backward;
pub use vjp::{Linearized, linearize, split_and_backward, vjp, vjp_into};
pub use vmap::{Vmapped, vmap, vmap_into};

use crate::ir::Program;

/// The same program with its inputs and outputs in another order: input `i` of the result is
/// input `inputs[i]`, output `j` is output `outputs[j]`. Every input is named once; outputs may be
/// left out or repeated. Variables may be bound in any order.
pub(crate) fn reorder(mut program: Program, inputs: &[usize], outputs: &[usize]) -> Program {
    debug_assert_eq!(inputs.len(), program.inputs.len(), "internal: all named\n{program}");
    let vars = inputs.iter().map(|&i| program.inputs[i]).collect();
    let names = inputs.iter().map(|&i| std::mem::take(&mut program.names[i])).collect();
    let outputs = outputs.iter().map(|&j| program.outputs[j]).collect();
    Program::numbered(&program.avals, vars, names, program.eqns, outputs)
}

/// The positions `start..start + n`.
pub(crate) fn span(start: usize, n: usize) -> Vec<usize> {
    (start..start + n).collect()
}

/// The positions at which `flags` holds.
pub(crate) fn positions(flags: &[bool]) -> Vec<usize> {
    flags.iter().enumerate().filter_map(|(i, &flag)| flag.then_some(i)).collect()
}

/// The items at the positions at which `flags` holds.
pub(crate) fn pick<T: Clone>(items: &[T], flags: &[bool]) -> Vec<T> {
    items.iter().zip(flags).filter(|&(_, &flag)| flag).map(|(item, _)| item.clone()).collect()
}

/// Repeats `grow` until the flags stop changing; flags are only ever set.
pub(crate) fn fixed_point(
    mut flags: Vec<bool>,
    mut grow: impl FnMut(&[bool]) -> Vec<bool>,
) -> Vec<bool> {
    while flags.contains(&false) {
        let grown = grow(&flags);
        let next: Vec<bool> = flags.iter().zip(&grown).map(|(&old, &new)| old || new).collect();
        if next == flags {
            break;
        }
        flags = next;
    }
    flags
}
