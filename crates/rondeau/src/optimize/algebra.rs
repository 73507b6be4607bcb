//! Identities of arithmetic that hold for every value, so for NaN, infinities and both zeros too.
//!
//! What is *not* here, and why: `x + 0 = x` (`-0 + 0 = 0`), `x · 0 = 0` and `0 · y` in products
//! (NaN, infinities), `x - x = 0` (NaN), `x / x = 1` (NaN), `-(x - y) = y - x` (the sign of zero),
//! `(x + y) - y = x` (rounding), `reduce_sum` over no axes `= x` (it starts from `0`: `-0` becomes
//! `0`). Integers wrap, so what holds in arithmetic modulo 2³² is used for them.

use std::borrow::Cow;

use super::cost::is_elementwise;
use super::draft::{Draft, Rule, rewrite};
use super::fold::{self, spread_scalar};
use crate::buffer::{DType, Scalar, Shape};
use crate::ir::{Atom, Eqn, Program};
use crate::prim::{Binary, Broadcast, DotGeneral, Fold, Prim, Unary};

/// The program with identities applied, and what becomes known by them folded.
pub(super) fn algebra(program: &Program) -> Program {
    // A rule that asks whether something else reads a value sees what other rules made only in
    // the next round.
    let mut program = Cow::Borrowed(program);
    loop {
        let (next, changed) = rewrite(&program, &[fold::RULES, RULES]);
        if !changed || next == *program {
            return next;
        }
        program = Cow::Owned(next);
    }
}

const RULES: &[Rule] = &[
    neutral,
    minus_one,
    divide_by_power_of_two,
    same_twice,
    negated_operand,
    unary_of_unary,
    is_its_operand,
    choose,
    fold_nothing,
    spread_operand,
    product_of_transposed,
    transposed_product,
    transposes_that_cancel,
];

/// `x` in the shape of the result of an elementwise equation.
fn shaped(draft: &mut Draft, x: Atom, inputs: &[Atom]) -> Atom {
    let full = inputs.iter().map(|&atom| draft.aval(atom).shape).find(|shape| shape.rank() > 0);
    match full {
        Some(shape) if draft.aval(x).shape != shape => {
            draft.bind1(Broadcast { shape, axes: vec![] }, &[x])
        }
        _ => x,
    }
}

/// Whether a number is `value`, zeros told apart by their signs.
fn is(x: Option<Scalar>, value: f64) -> bool {
    x.is_some_and(|x| x == Scalar::of(value, x.dtype()))
}

// x·1 = 1·x = x/1 = x,  x - 0 = x,  x + (-0) = x: exact for every float.
// For integers -0 is 0. And: true & x = x, false | x = x; likewise by bits.
fn neutral(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let &Prim::Binary(op) = prim else { return None };
    let (x, y) = (inputs[0], inputs[1]);
    let [left, right] = [x, y].map(|atom| draft.uniform(atom));
    let all_bits = |x: Option<Scalar>| {
        matches!(x, Some(Scalar::Bool(true) | Scalar::I32(-1) | Scalar::U32(u32::MAX)))
    };
    let stays = match op {
        Binary::Mul if is(right, 1.0) => x,
        Binary::Mul if is(left, 1.0) => y,
        Binary::Div if is(right, 1.0) => x,
        Binary::Add if is(right, -0.0) => x,
        Binary::Add if is(left, -0.0) => y,
        Binary::Sub if is(right, 0.0) => x,
        Binary::Or | Binary::Xor if is(right, 0.0) => x,
        Binary::Or | Binary::Xor if is(left, 0.0) => y,
        Binary::And if all_bits(right) => x,
        Binary::And if all_bits(left) => y,
        _ => return None,
    };
    Some(shaped(draft, stays, inputs))
}

// x·(-1) = -x,  x/(-1) = -x: only the sign changes.
fn minus_one(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let &Prim::Binary(op) = prim else { return None };
    let (x, y) = (inputs[0], inputs[1]);
    let [left, right] = [x, y].map(|atom| draft.uniform(atom));
    let is_signed = draft.aval(x).is_float();
    let negated = match op {
        Binary::Mul | Binary::Div if is_signed && is(right, -1.0) => x,
        Binary::Mul if is_signed && is(left, -1.0) => y,
        _ => return None,
    };
    let negated = shaped(draft, negated, inputs);
    Some(draft.bind1(Unary::Neg, &[negated]))
}

// x / 2ⁿ = x · 2⁻ⁿ: both round the same real number, as long as 2⁻ⁿ is a normal float.
fn divide_by_power_of_two(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Binary(Binary::Div) = prim else { return None };
    let is_power = |x: f64, fraction: u64| x.is_normal() && x.to_bits() & fraction == 0;
    const FRACTION: u64 = (1 << 52) - 1;
    let inverse = match draft.uniform(inputs[1])? {
        Scalar::F32(y) if y.is_normal() && (1.0 / y).is_normal() => {
            is_power(f64::from(y), FRACTION).then_some(Scalar::F32(1.0 / y))?
        }
        Scalar::F64(y) if y.is_normal() && (1.0 / y).is_normal() => {
            is_power(y, FRACTION).then_some(Scalar::F64(1.0 / y))?
        }
        _ => return None,
    };
    let x = shaped(draft, inputs[0], inputs);
    Some(draft.bind1(Binary::Mul, &[x, Atom::Lit(inverse)]))
}

// max(x, x) = min(x, x) = x & x = x | x = x, NaN included.
fn same_twice(_draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    match prim {
        Prim::Binary(Binary::Max | Binary::Min | Binary::And | Binary::Or)
            if inputs[0] == inputs[1] =>
        {
            Some(inputs[0])
        }
        _ => None,
    }
}

// x + (-y) = x - y,  (-x) + y = y - x,  x - (-y) = x + y,  (-x)·(-y) = x·y: a subtraction is the
// addition of the negated number, and signs multiply.
fn negated_operand(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let &Prim::Binary(op) = prim else { return None };
    let (x, y) = (inputs[0], inputs[1]);
    let [minus_x, minus_y] = [x, y].map(|atom| operand_of(draft, Unary::Neg, atom));
    let (op, operands) = match (op, minus_x, minus_y) {
        (Binary::Add, _, Some(y)) => (Binary::Sub, [x, y]),
        (Binary::Add, Some(x), None) => (Binary::Sub, [y, x]),
        (Binary::Sub, _, Some(y)) => (Binary::Add, [x, y]),
        (Binary::Mul, Some(x), Some(y)) => (Binary::Mul, [x, y]),
        (Binary::Div, Some(x), Some(y)) if draft.aval(x).is_float() => (Binary::Div, [x, y]),
        _ => return None,
    };
    Some(draft.bind1(op, &operands))
}

fn operand_of(draft: &Draft, op: Unary, atom: Atom) -> Option<Atom> {
    let eqn = draft.def(atom)?;
    (eqn.prim == Prim::Unary(op)).then(|| eqn.inputs[0])
}

// -(-x) = x,  not(not x) = x,  |-x| = ||x|| = |x|, but for unsigned numbers, which have no opposite
fn unary_of_unary(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let &Prim::Unary(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Unary(inner) = eqn.prim else { return None };
    match (outer, inner) {
        (Unary::Neg, Unary::Neg) | (Unary::Not, Unary::Not) => Some(eqn.inputs[0]),
        (Unary::Abs, Unary::Neg) if draft.aval(inputs[0]).dtype == DType::U32 => None,
        (Unary::Abs, Unary::Neg | Unary::Abs) => {
            let x = eqn.inputs[0];
            Some(draft.bind1(Unary::Abs, &[x]))
        }
        _ => None,
    }
}

// stop_gradient(x) = x where no derivative is asked for any more; x¹ = x
fn is_its_operand(_draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    match prim {
        Prim::Unary(Unary::StopGradient | Unary::IntegerPow(1)) => Some(inputs[0]),
        _ => None,
    }
}

// select(true, x, y) = x,  select(false, x, y) = y,  select(c, x, x) = x
fn choose(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Select(_) = prim else { return None };
    let chosen = match draft.uniform(inputs[0]) {
        Some(Scalar::Bool(true)) => inputs[1],
        Some(_) => inputs[2],
        None if inputs[1] == inputs[2] => inputs[1],
        None => return None,
    };
    Some(shaped(draft, chosen, inputs))
}

// A fold over no axes is its operand, but for the sum of floats, which starts from 0.
fn fold_nothing(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Reduce(reduce) = prim else { return None };
    let starts_from_zero = reduce.fold == Fold::Sum && draft.aval(inputs[0]).is_float();
    (reduce.axes.is_empty() && !starts_from_zero).then_some(inputs[0])
}

// f(x, y y y) = f(x, y), where x has the shape of the result: a scalar stands for itself at every
// index.
fn spread_operand(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    if !matches!(prim, Prim::Binary(_) | Prim::Select(_)) {
        return None;
    }
    if inputs.iter().all(|&atom| spread_scalar(draft, atom).is_none()) {
        return None;
    }
    let scalars: Vec<Option<Atom>> =
        inputs.iter().map(|&atom| spread_scalar(draft, atom)).collect();
    let keeps_shape =
        |(&atom, scalar): (&Atom, &Option<Atom>)| scalar.is_none() && draft.aval(atom).rank() > 0;
    let has_shape = inputs.iter().zip(&scalars).any(keeps_shape);
    if !has_shape {
        return None;
    }
    let new: Vec<Atom> =
        inputs.iter().zip(scalars).map(|(&atom, scalar)| scalar.unwrap_or(atom)).collect();
    Some(draft.bind1(prim.clone(), &new))
}

// xᵀ·y = the product over the other axis of x, if the free axes stay in order.
fn product_of_transposed(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::DotGeneral(dot) = prim else { return None };
    let left = untransposed(draft, inputs[0], &dot.lhs_contract, &dot.lhs_batch);
    let right = untransposed(draft, inputs[1], &dot.rhs_contract, &dot.rhs_batch);
    if left.is_none() && right.is_none() {
        return None;
    }
    let as_is =
        |x: Atom, contract: &[usize], batch: &[usize]| (x, contract.to_vec(), batch.to_vec());
    let (x, lhs_contract, lhs_batch) =
        left.unwrap_or_else(|| as_is(inputs[0], &dot.lhs_contract, &dot.lhs_batch));
    let (y, rhs_contract, rhs_batch) =
        right.unwrap_or_else(|| as_is(inputs[1], &dot.rhs_contract, &dot.rhs_batch));
    let product = DotGeneral { lhs_contract, rhs_contract, lhs_batch, rhs_batch };
    Some(draft.bind1(product, &[x, y]))
}

/// What an operand of a product is the transpose of, with its contracted and batch axes there.
fn untransposed(
    draft: &Draft,
    operand: Atom,
    contract: &[usize],
    batch: &[usize],
) -> Option<(Atom, Vec<usize>, Vec<usize>)> {
    let eqn = draft.def(operand)?;
    let Prim::Transpose(transpose) = &eqn.prim else { return None };
    let map = |axes: &[usize]| axes.iter().map(|&axis| transpose.permutation[axis]).collect();
    let free: Vec<usize> = (0..transpose.permutation.len())
        .filter(|axis| !contract.contains(axis) && !batch.contains(axis))
        .map(|axis| transpose.permutation[axis])
        .collect();
    free.is_sorted().then(|| (eqn.inputs[0], map(contract), map(batch)))
}

// (x·y)ᵀ = y·x, where the transpose exchanges the free axes of both, and nothing else reads x·y:
// each element of the result sums the same products in the same order.
fn transposed_product(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Transpose(transpose) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::DotGeneral(dot) = &eqn.prim else { return None };
    if !draft.is_read_once(inputs[0]) {
        return None;
    }
    let n_batch = dot.lhs_batch.len();
    let shapes: Vec<Shape> = eqn.inputs.iter().map(|&atom| draft.aval(atom).shape).collect();
    let n_left = shapes[0].rank() - n_batch - dot.lhs_contract.len();
    let n_right = shapes[1].rank() - n_batch - dot.rhs_contract.len();
    let (left, right) = (n_batch..n_batch + n_left, n_batch + n_left..n_batch + n_left + n_right);
    if !transpose.permutation.iter().copied().eq((0..n_batch).chain(right).chain(left)) {
        return None;
    }
    let swapped = DotGeneral {
        lhs_contract: dot.rhs_contract.clone(),
        rhs_contract: dot.lhs_contract.clone(),
        lhs_batch: dot.rhs_batch.clone(),
        rhs_batch: dot.lhs_batch.clone(),
    };
    let swapped_inputs = [eqn.inputs[1], eqn.inputs[0]];
    Some(draft.bind1(swapped, &swapped_inputs))
}

// f(xᵀ, yᵀ)ᵀ = f(x, y), for elementwise f that nothing else reads.
fn transposes_that_cancel(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Transpose(transpose) = prim else { return None };
    let is_elementwise = draft.def(inputs[0]).is_some_and(|eqn| is_elementwise(&eqn.prim));
    if !is_elementwise || !cancels(draft, inputs[0], &transpose.permutation) {
        return None;
    }
    Some(without_transposes(draft, inputs[0]))
}

/// Whether a transpose meets its inverse at each operand that the elementwise equations of `atom`
/// read.
fn cancels(draft: &Draft, atom: Atom, permutation: &[usize]) -> bool {
    if draft.aval(atom).rank() == 0 {
        return true;
    }
    let Some(eqn) = draft.def(atom) else { return false };
    match &eqn.prim {
        Prim::Transpose(inner) => {
            permutation.iter().enumerate().all(|(i, &axis)| inner.permutation[axis] == i)
        }
        prim => {
            is_elementwise(prim)
                && draft.is_read_once(atom)
                && eqn.inputs.iter().all(|&input| cancels(draft, input, permutation))
        }
    }
}

/// The same elementwise equations of what is transposed.
fn without_transposes(draft: &mut Draft, atom: Atom) -> Atom {
    match draft.def(atom).filter(|_| draft.aval(atom).rank() > 0) {
        None => atom,
        Some(eqn) if matches!(eqn.prim, Prim::Transpose(_)) => eqn.inputs[0],
        Some(eqn) => {
            let Eqn { prim, inputs, .. } = eqn.clone();
            let inputs: Vec<Atom> =
                inputs.into_iter().map(|input| without_transposes(draft, input)).collect();
            draft.bind1(prim, &inputs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::DType;
    use crate::ir::{Aval, Builder};
    use crate::prim::{Reduce, Transpose};

    /// What `algebra` makes of a program of x: f32[3], y: f32[3], m: f32[2,3].
    fn of(make: impl FnOnce(&mut Builder, [Atom; 3]) -> Vec<Atom>) -> String {
        let mut b = Builder::new();
        let inputs = [&[3][..], &[3], &[2, 3]].map(|s| b.input(Aval::new(DType::F32, s)));
        let outputs = make(&mut b, inputs);
        algebra(&b.finish(outputs)).to_string()
    }

    #[test]
    fn neutral_numbers_vanish() {
        let text = of(|b, [x, ..]| {
            let [one, zero, minus_zero, minus_one] = [1.0, 0.0, -0.0, -1.0].map(|v| b.lit(v, x));
            vec![
                b.mul(one, x),
                b.div(x, one),
                b.sub(x, zero),
                b.add(x, minus_zero),
                b.mul(x, minus_one),
            ]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[3] b:f32[3] c:f32[2,3] .
          let d:f32[3] = neg a
          in (a, a, a, a, d) }
        ");
    }

    #[test]
    fn what_is_wrong_for_some_float_stays() {
        let text = of(|b, [x, ..]| {
            let zero = b.lit(0.0, x);
            let sum = Reduce { fold: Fold::Sum, axes: vec![] };
            vec![b.add(x, zero), b.mul(x, zero), b.sub(x, x), b.div(x, x), b.bind1(sum, &[x])]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[3] b:f32[3] c:f32[2,3] .
          let d:f32[3] = add a 0.0:f32
              e:f32[3] = mul a 0.0:f32
              f:f32[3] = sub a a
              g:f32[3] = div a a
              h:f32[3] = reduce_sum[axes=[]] a
          in (d, e, f, g, h) }
        ");
    }

    #[test]
    fn signs_and_powers_of_two() {
        let text = of(|b, [x, y, _]| {
            let (minus_x, minus_y) = (b.neg(x), b.neg(y));
            let [four, three] = [4.0, 3.0].map(|v| b.lit(v, x));
            vec![
                b.add(x, minus_y),
                b.sub(x, minus_y),
                b.mul(minus_x, minus_y),
                b.neg(minus_x),
                b.div(x, four),
                b.div(x, three),
            ]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[3] b:f32[3] c:f32[2,3] .
          let d:f32[3] = sub a b
              e:f32[3] = add a b
              f:f32[3] = mul a b
              g:f32[3] = mul a 0.25:f32
              h:f32[3] = div a 3.0:f32
          in (d, e, f, a, g, h) }
        ");
    }

    #[test]
    fn choices_and_folds_of_nothing() {
        let text = of(|b, [x, y, _]| {
            let (yes, zero) = (Atom::Lit(Scalar::Bool(true)), b.lit(0.0, x));
            let which = b.binary(Binary::Lt, x, y);
            let most = Reduce { fold: Fold::Max, axes: vec![] };
            vec![
                b.select(yes, x, zero),
                b.select(which, y, y),
                b.binary(Binary::Max, x, x),
                b.bind1(most, &[y]),
            ]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[3] b:f32[3] c:f32[2,3] .
          in (a, b, a, b) }
        ");
    }

    #[test]
    fn transposes_join_products_and_cancel() {
        let text = of(|b, [x, _, m]| {
            let swap = Transpose { permutation: vec![1, 0] };
            let dot = |contract: [usize; 2]| DotGeneral {
                lhs_contract: vec![contract[0]],
                rhs_contract: vec![contract[1]],
                lhs_batch: vec![],
                rhs_batch: vec![],
            };
            let t = b.bind1(swap.clone(), &[m]);
            let product = b.bind1(dot([0, 0]), &[t, x]);
            let square = b.bind1(dot([1, 1]), &[m, m]);
            let half = b.lit(0.5, x);
            let sum = b.add(t, half);
            let sum = b.unary(Unary::Tanh, sum);
            vec![product, b.bind1(swap.clone(), &[square]), b.bind1(swap, &[sum])]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[3] b:f32[3] c:f32[2,3] .
          let d:f32[2] = dot_general[lhs_contract=[1] rhs_contract=[0] lhs_batch=[] rhs_batch=[]] c a
              e:f32[2,2] = dot_general[lhs_contract=[1] rhs_contract=[1] lhs_batch=[] rhs_batch=[]] c c
              f:f32[2,3] = add c 0.5:f32
              g:f32[2,3] = tanh f
          in (d, e, g) }
        ");
    }

    #[test]
    fn a_repeated_scalar_is_read_as_one() {
        let text = of(|b, [x, ..]| {
            let shape: Shape = [3].into();
            let scalar = b.sum(x, &[0]);
            let all = b.broadcast(scalar, &shape, &[]);
            let scaled = b.mul(x, all);
            let alone = b.unary(Unary::Exp, all);
            vec![scaled, alone]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[3] b:f32[3] c:f32[2,3] .
          let d:f32[] = reduce_sum[axes=[0]] a
              e:f32[3] = mul a d
              f:f32[] = exp d
              g:f32[3] = broadcast[shape=[3] axes=[]] f
          in (e, g) }
        ");
    }
}
