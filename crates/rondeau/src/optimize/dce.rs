//! Leaves out what no output needs, inside loops too: equations, carries that only feed
//! themselves, xs that no step reads, ys that nobody reads.

use crate::ir::Program;

/// The program without what its outputs do not need. Equations with effects stay.
pub(super) fn dce(program: &Program) -> Program {
    crate::transform::prune(program)
}
