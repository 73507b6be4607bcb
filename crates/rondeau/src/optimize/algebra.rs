//! Identities of arithmetic that hold for every value, so for NaN, infinities and both zeros too.
//!
//! What is *not* here, and why: `x + 0 = x` (`-0 + 0 = 0`), `x · 0 = 0` and `0 · y` in products
//! (NaN, infinities), `x - x = 0` (NaN), `x / x = 1` (NaN), `-(x - y) = y - x` (the sign of zero),
//! `(x + y) - y = x` (rounding), `reduce_sum` over no axes `= x` (it starts from `0`: `-0` becomes
//! `0`). Integers wrap, so what holds in arithmetic modulo 2³² is used for them.

use super::draft::{Draft, Rule, rewrite};
use super::fold::{self, spread_scalar};
use crate::buffer::{Scalar, Shape};
use crate::ir::{Atom, Program};
use crate::prim::{Binary, Broadcast, DotGeneral, Fold, Prim, Unary};

/// The program with identities applied, and what becomes known by them folded.
pub(super) fn algebra(program: &Program) -> Program {
    rewrite(program, &[fold::RULES, RULES])
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

// -(-x) = x,  not(not x) = x,  |-x| = ||x|| = |x|
fn unary_of_unary(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let &Prim::Unary(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Unary(inner) = eqn.prim else { return None };
    match (outer, inner) {
        (Unary::Neg, Unary::Neg) | (Unary::Not, Unary::Not) => Some(eqn.inputs[0]),
        (Unary::Abs, Unary::Neg | Unary::Abs) => Some(draft.bind1(Unary::Abs, &eqn.inputs)),
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
    let scalars: Vec<Option<Atom>> =
        inputs.iter().map(|&atom| spread_scalar(draft, atom)).collect();
    let keeps_shape =
        |(&atom, scalar): (&Atom, &Option<Atom>)| scalar.is_none() && draft.aval(atom).rank() > 0;
    let has_shape = inputs.iter().zip(&scalars).any(keeps_shape);
    if !has_shape || scalars.iter().all(Option::is_none) {
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

// (x·y)ᵀ = y·x, where the transpose exchanges the free axes of both: each element of the result
// sums the same products in the same order.
fn transposed_product(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Transpose(transpose) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::DotGeneral(dot) = &eqn.prim else { return None };
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
    Some(draft.bind1(swapped, &[eqn.inputs[1], eqn.inputs[0]]))
}
