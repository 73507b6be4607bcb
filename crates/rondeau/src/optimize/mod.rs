//! Program to program, same meaning.

use crate::ir::Program;

/// Runs all passes.
pub fn optimize(program: &Program) -> Program {
    crate::transform::prune(program)
}
