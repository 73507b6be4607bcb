//! Common subexpressions: equal equations with equal operands are computed once.
//!
//! Equations with effects stay as often as they are. So do `checkpoint`s: computing the same thing
//! again is what they are for.

use std::collections::HashMap;

use super::draft::{Draft, with_bodies};
use crate::ir::{Atom, Program};
use crate::prim::{Binary, CallKind, Prim};

/// The program without repeated equations.
pub(super) fn cse(program: &Program) -> Program {
    let mut seen: HashMap<(Prim, Vec<Atom>), Vec<Atom>> = HashMap::new();
    let mut draft = Draft::new(&[]);
    let inputs = draft.inputs_of(program);
    let outputs = draft.copy(program, &inputs, |draft, prim, inputs| {
        let prim = with_bodies(prim, &mut cse);
        if !may_share(&prim) {
            return draft.bind(prim, inputs);
        }
        let operands = in_order(&prim, inputs);
        seen.entry((prim, operands))
            .or_insert_with_key(|(prim, _)| draft.bind(prim.clone(), inputs))
            .clone()
    });
    draft.finish(outputs)
}

fn may_share(prim: &Prim) -> bool {
    let computes_again = matches!(prim, Prim::Call(call) if matches!(call.kind, CallKind::Remat));
    !computes_again && !prim.has_effects()
}

/// The operands, in one order for both ways to write what commutes exactly: `x + y = y + x`.
fn in_order(prim: &Prim, inputs: &[Atom]) -> Vec<Atom> {
    let mut inputs = inputs.to_vec();
    let commutes = matches!(
        prim,
        Prim::Binary(
            Binary::Add
                | Binary::Mul
                | Binary::And
                | Binary::Or
                | Binary::Xor
                | Binary::Eq
                | Binary::Ne
        )
    );
    if commutes {
        inputs.sort_by_key(|atom| atom.var());
    }
    inputs
}
