//! Common subexpressions: equal equations with equal operands are computed once.
//!
//! Equations with effects stay as often as they are. So do `checkpoint`s: computing the same thing
//! again is what they are for.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::draft::{Draft, with_bodies};
use crate::ir::{Atom, Program};
use crate::prim::{Binary, CallKind, Prim};

/// The program without repeated equations.
pub(super) fn cse(program: &Program) -> Program {
    let mut seen: HashMap<(Prim, Vec<Atom>), Vec<Atom>, BuildHasherDefault<Words>> =
        HashMap::default();
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

/// Hashes equations, which are many small numbers, and nothing that an adversary could choose to
/// much effect: a word at a time, by a rotation and a product.
#[derive(Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // An odd number with about as many ones as zeros: 2⁶⁴ over the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        // The high bits have seen all words, and tables look at the low ones too.
        self.0 ^ (self.0 >> 32)
    }
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
