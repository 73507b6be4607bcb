//! Opens what need not be closed: once no derivative is asked for any more, a function with a rule
//! of its own is its body, and a choice that is made is the branch that was chosen.

use super::draft::{Draft, rewrite_eqns};
use crate::buffer::Scalar;
use crate::ir::{Atom, Program};
use crate::prim::{Call, CallKind, Cond, Prim};

/// The program with calls and decided choices replaced by what they run.
pub(super) fn inline(program: &Program) -> Program {
    rewrite_eqns(program, &[], &open)
}

fn open(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Vec<Atom> {
    match prim {
        Prim::Call(call) if !computes_again(call) => {
            // Its body was not rewritten with those around it.
            draft.inline(&inline(&call.body), inputs)
        }
        Prim::Cond(cond) => match inputs {
            [Atom::Lit(Scalar::I32(index)), operands @ ..] => {
                draft.inline(chosen(cond, *index), operands)
            }
            _ => draft.bind(prim.clone(), inputs),
        },
        _ => draft.bind(prim.clone(), inputs),
    }
}

fn computes_again(call: &Call) -> bool {
    matches!(call.kind, CallKind::Remat)
}

/// The branch of that index, clamped into range.
fn chosen(cond: &Cond, index: i32) -> &Program {
    &cond.branches[index.clamp(0, cond.branches.len() as i32 - 1) as usize]
}
