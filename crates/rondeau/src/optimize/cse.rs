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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buffer::DType;
    use crate::ir::{Aval, Builder};
    use crate::prim::{Call, Tap, Unary};

    #[test]
    fn equal_equations_are_computed_once_but_not_effects_and_checkpoints() {
        let body = {
            let mut b = Builder::new();
            let x = b.input(Aval::scalar(DType::F32));
            let (y, z) = (b.unary(Unary::Exp, x), b.unary(Unary::Exp, x));
            let sum = b.add(y, z);
            Arc::new(b.finish(vec![sum]))
        };
        let mut b = Builder::new();
        let (x, y) = (b.input(Aval::scalar(DType::F32)), b.input(Aval::scalar(DType::F32)));
        let (xy, yx) = (b.mul(x, y), b.mul(y, x));
        let difference = b.sub(xy, yx);
        let mut outputs = vec![difference];
        for _ in 0..2 {
            b.bind(Tap { label: "x".into() }, &[x]);
            outputs.push(b.bind1(Call { kind: CallKind::Remat, body: body.clone() }, &[x]));
        }
        insta::assert_snapshot!(cse(&b.finish(outputs)), @r#"
        { lambda a:f32[] b:f32[] .
          let c:f32[] = mul a b
              d:f32[] = sub c c
              _ = debug_print[label="x"] a
              e:f32[] = checkpoint[
                body={ lambda a:f32[] .
                  let b:f32[] = exp a
                      c:f32[] = add b b
                  in (c,) }
              ] a
              _ = debug_print[label="x"] a
              f:f32[] = checkpoint[
                body={ lambda a:f32[] .
                  let b:f32[] = exp a
                      c:f32[] = add b b
                  in (c,) }
              ] a
          in (d, e, f) }
        "#);
    }
}
