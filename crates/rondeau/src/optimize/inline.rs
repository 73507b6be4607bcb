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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buffer::DType;
    use crate::ir::{Aval, Builder};
    use crate::prim::Unary;
    use crate::transform::jvp;

    #[test]
    fn rules_are_gone_and_choices_made_but_checkpoints_stay() {
        let function = |op: Unary| {
            let mut b = Builder::new();
            let x = b.input(Aval::scalar(DType::F32));
            let y = b.unary(op, x);
            Arc::new(b.finish(vec![y]))
        };
        let body = function(Unary::Sin);
        let rule = jvp(&body, &[true], &[true]).program;
        let custom = CallKind::CustomJvp { n_consts: 0, rule: rule.into() };
        let mut b = Builder::new();
        let x = b.input(Aval::scalar(DType::F32));
        let y = b.bind1(Call { kind: custom, body }, &[x]);
        let branches = vec![function(Unary::Exp), function(Unary::Log)];
        let z = b.bind1(Cond { branches }, &[Atom::Lit(Scalar::I32(9)), y]);
        let w = b.bind1(Call { kind: CallKind::Remat, body: function(Unary::Cos) }, &[z]);
        insta::assert_snapshot!(inline(&b.finish(vec![w])), @r"
        { lambda a:f32[] .
          let b:f32[] = sin a
              c:f32[] = log b
              d:f32[] = checkpoint[
                body={ lambda a:f32[] .
                  let b:f32[] = cos a
                  in (b,) }
              ] c
          in (d,) }
        ");
    }
}
