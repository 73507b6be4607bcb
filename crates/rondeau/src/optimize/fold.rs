//! Computes what is known: equations of numbers become numbers, and equations that only move
//! elements are joined, so that what stays of a chain of views is one.
//!
//! Every rule here gives the same bits.

use super::cost::is_elementwise;
use super::draft::{Draft, Rule, rewrite};
use crate::buffer::{Buffer, Scalar, Shape};
use crate::ir::{Atom, Program};
use crate::prim::{Bitcast, Broadcast, Prim, Reshape, Reverse, Slice, Transpose};

/// The program with known values computed and chains of views joined.
pub(super) fn fold(program: &Program) -> Program {
    rewrite(program, &[RULES]).0
}

pub(super) const RULES: &[Rule] = &[
    numbers,
    everywhere_one_number,
    nothing_moves,
    broadcast_of_broadcast,
    reshape_of_reshape,
    reshape_of_one_number,
    transpose_of_transpose,
    transpose_of_broadcast,
    slice_of_slice,
    slice_of_broadcast,
    slice_of_concat,
    reverse_of_reverse,
    bitcast_of_bitcast,
];

/// Folds of more elements than this are left to the run.
const MOST_ELEMENTS: usize = 4096;

/// A number in the shape of the result.
fn spread(draft: &mut Draft, value: Atom, shape: &Shape) -> Atom {
    match shape.rank() {
        0 => value,
        _ => draft.bind1(Broadcast { shape: shape.clone(), axes: vec![] }, &[value]),
    }
}

// f(1, 2) = the number that it is, by the meaning of f.
fn numbers(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let folds = is_elementwise(prim) || matches!(prim, Prim::Reduce(_) | Prim::DotGeneral(_));
    if !folds || inputs.is_empty() {
        return None;
    }
    let values = inputs.iter().map(|&atom| draft.uniform(atom)).collect::<Option<Vec<Scalar>>>()?;
    let avals: Vec<_> = inputs.iter().map(|&atom| draft.aval(atom)).collect();
    let n: usize = avals.iter().map(|aval| aval.shape.count()).sum();
    let result = prim.infer(&avals).ok()?.pop()?;
    if result.rank() > 0 || n > MOST_ELEMENTS {
        return None;
    }
    let buffers = values.into_iter().zip(avals);
    let buffers: Vec<Buffer> =
        buffers.map(|(value, aval)| Buffer::splat(value, aval.shape)).collect();
    Some(Atom::Lit(prim.eval(&buffers)[0].first()))
}

// f(1 1 1, 2 2 2) = f(1, 2) everywhere, and f(x x x) = f(x) everywhere, for elementwise f.
fn everywhere_one_number(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    if !is_elementwise(prim) {
        return None;
    }
    let mut shape = Shape::scalar();
    let mut scalars = Vec::new();
    for &atom in inputs {
        let aval = draft.aval(atom);
        match aval.rank() {
            0 => scalars.push(atom),
            _ => {
                scalars.push(spread_scalar(draft, atom)?);
                shape = aval.shape;
            }
        }
    }
    if shape.rank() == 0 {
        return None;
    }
    let value = draft.bind1(prim.clone(), &scalars);
    Some(spread(draft, value, &shape))
}

/// The scalar that an array repeats.
pub(super) fn spread_scalar(draft: &Draft, atom: Atom) -> Option<Atom> {
    let eqn = draft.def(atom)?;
    match &eqn.prim {
        Prim::Broadcast(_) if draft.aval(eqn.inputs[0]).rank() == 0 => Some(eqn.inputs[0]),
        _ => None,
    }
}

// An equation whose result is its operand.
fn nothing_moves(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let x = *inputs.first()?;
    let aval = draft.aval(x);
    let is_identity = match prim {
        // With increasing axes, as many of them as there are: each is its own.
        Prim::Broadcast(broadcast) => broadcast.shape == aval.shape,
        Prim::Reshape(reshape) => reshape.shape == aval.shape,
        Prim::Transpose(transpose) => transpose.permutation.is_sorted(),
        Prim::Slice(slice) => slice.sizes == *aval.shape,
        Prim::Reverse(reverse) => reverse.axes.iter().all(|&axis| aval.shape[axis] < 2),
        Prim::Concat(_) => inputs.len() == 1,
        Prim::Pad(pad) => {
            let none = |edges: &[i64]| edges.iter().all(|&edge| edge == 0);
            none(&pad.low) && none(&pad.high) && pad.interior.iter().all(|&gap| gap == 0)
        }
        Prim::Convert(convert) => convert.dtype == aval.dtype,
        Prim::Bitcast(bitcast) => bitcast.dtype == aval.dtype,
        _ => false,
    };
    is_identity.then_some(x)
}

// broadcast(broadcast(x)) = broadcast(x)
fn broadcast_of_broadcast(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Broadcast(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Broadcast(inner) = &eqn.prim else { return None };
    let axes = inner.axes.iter().map(|&axis| outer.axes[axis]).collect();
    let x = eqn.inputs[0];
    Some(draft.bind1(Broadcast { shape: outer.shape.clone(), axes }, &[x]))
}

// reshape(reshape(x)) = reshape(x)
fn reshape_of_reshape(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Reshape(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Reshape(_) = &eqn.prim else { return None };
    let x = eqn.inputs[0];
    Some(draft.bind1(Reshape { shape: outer.shape.clone() }, &[x]))
}

// reshape(x x x) = x x x, of a scalar x
fn reshape_of_one_number(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Reshape(reshape) = prim else { return None };
    let x = match draft.aval(inputs[0]).rank() {
        0 => inputs[0],
        _ => spread_scalar(draft, inputs[0])?,
    };
    Some(spread(draft, x, &reshape.shape))
}

// transpose(transpose(x)) = transpose(x)
fn transpose_of_transpose(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Transpose(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Transpose(inner) = &eqn.prim else { return None };
    let permutation = outer.permutation.iter().map(|&axis| inner.permutation[axis]).collect();
    let x = eqn.inputs[0];
    Some(draft.bind1(Transpose { permutation }, &[x]))
}

// transpose(broadcast(x)) = broadcast(x), if the axes of x stay in order
fn transpose_of_broadcast(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Transpose(Transpose { permutation }) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Broadcast(inner) = &eqn.prim else { return None };
    let to = |axis: &usize| permutation.iter().position(|from| from == axis);
    let axes = inner.axes.iter().map(to).collect::<Option<Vec<usize>>>()?;
    if !axes.is_sorted() {
        return None;
    }
    let shape = permutation.iter().map(|&axis| inner.shape[axis]).collect();
    let x = eqn.inputs[0];
    Some(draft.bind1(Broadcast { shape, axes }, &[x]))
}

// slice(slice(x)) = slice(x)
fn slice_of_slice(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Slice(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Slice(inner) = &eqn.prim else { return None };
    let axes = 0..outer.sizes.len();
    // The step from a lone element leads nowhere, so that it may be 1, and nothing overflows.
    let step = |axis: usize| match outer.sizes[axis] {
        0 | 1 => 1,
        _ => outer.steps[axis] * inner.steps[axis],
    };
    let start = |axis: usize| match outer.sizes[axis] {
        0 => 0,
        _ => inner.starts[axis] + outer.starts[axis] * inner.steps[axis],
    };
    let joined = Slice {
        starts: axes.clone().map(start).collect(),
        sizes: outer.sizes.clone(),
        steps: axes.map(step).collect(),
    };
    let x = eqn.inputs[0];
    Some(draft.bind1(joined, &[x]))
}

// slice(broadcast(x)) = broadcast(x), if only repeated axes are cut
fn slice_of_broadcast(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Slice(slice) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Broadcast(inner) = &eqn.prim else { return None };
    let operand = draft.aval(eqn.inputs[0]).shape;
    let is_kept = |(&axis, &size): (&usize, &usize)| {
        slice.sizes[axis] == inner.shape[axis] || (size == 1 && inner.shape[axis] != 1)
    };
    if !inner.axes.iter().zip(operand.iter()).all(is_kept) {
        return None;
    }
    let shape = slice.sizes.clone().into();
    let x = eqn.inputs[0];
    Some(draft.bind1(Broadcast { shape, axes: inner.axes.clone() }, &[x]))
}

// slice(concat(x, y)) = slice(x), if it lies within x
fn slice_of_concat(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Slice(slice) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Concat(concat) = &eqn.prim else { return None };
    let axis = concat.axis;
    let (first, size) = (slice.starts[axis], slice.sizes[axis]);
    if size == 0 {
        return None;
    }
    let last = first + (size - 1) * slice.steps[axis];
    let mut start = 0;
    let holds = |&piece: &Atom| {
        let end = start + draft.aval(piece).shape[axis];
        let holds = (start..end).contains(&first) && last < end;
        start = if holds { start } else { end };
        holds
    };
    let piece = eqn.inputs.iter().copied().find(holds)?;
    let mut within = slice.clone();
    within.starts[axis] -= start;
    Some(draft.bind1(within, &[piece]))
}

// reverse(reverse(x)) = x, for the same axes
fn reverse_of_reverse(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Reverse(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Reverse(inner) = &eqn.prim else { return None };
    let once = |axes: &[usize], others: &[usize]| -> Vec<usize> {
        axes.iter().copied().filter(|axis| !others.contains(axis)).collect()
    };
    let mut axes = [once(&outer.axes, &inner.axes), once(&inner.axes, &outer.axes)].concat();
    axes.sort_unstable();
    let x = eqn.inputs[0];
    Some(draft.bind1(Reverse { axes }, &[x]))
}

// bitcast(bitcast(x)) = bitcast(x)
fn bitcast_of_bitcast(draft: &mut Draft, prim: &Prim, inputs: &[Atom]) -> Option<Atom> {
    let Prim::Bitcast(outer) = prim else { return None };
    let eqn = draft.def(inputs[0])?;
    let Prim::Bitcast(_) = &eqn.prim else { return None };
    let x = eqn.inputs[0];
    Some(draft.bind1(Bitcast { dtype: outer.dtype }, &[x]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::DType;
    use crate::ir::{Aval, Builder};
    use crate::prim::{Binary, Concat, Unary};

    /// What `fold` makes of a program of x: f32[2,3].
    fn of(make: impl FnOnce(&mut Builder, Atom) -> Vec<Atom>) -> String {
        let mut b = Builder::new();
        let x = b.input(Aval::new(DType::F32, [2, 3]));
        let outputs = make(&mut b, x);
        fold(&b.finish(outputs)).to_string()
    }

    #[test]
    fn numbers_are_computed() {
        let text = of(|b, x| {
            let [two, three] = [2.0, 3.0].map(|v| Atom::Lit(Scalar::F32(v)));
            let five = b.add(two, three);
            let root = b.unary(Unary::Sqrt, five);
            let twos = b.full(2.0, &Aval::new(DType::F32, [4]));
            let eight = b.sum(twos, &[0]);
            let less = b.binary(Binary::Lt, two, three);
            vec![b.mul(x, root), eight, b.select(less, x, two)]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[2,3] .
          let b:f32[2,3] = mul a 2.236068:f32
              c:f32[2,3] = select true:bool a 2.0:f32
          in (b, 8.0:f32, c) }
        ");
    }

    #[test]
    fn chains_of_views_are_one_view() {
        let text = of(|b, x| {
            let swap = Transpose { permutation: vec![1, 0] };
            let turned = b.bind1(swap.clone(), &[x]);
            let back = b.bind1(swap.clone(), &[turned]);
            let rows = b.broadcast(x, &[4, 2, 3].into(), &[1, 2]);
            let more = b.broadcast(rows, &[5, 4, 2, 3].into(), &[1, 2, 3]);
            let flat = b.reshape(x, &[6].into());
            let tall = b.reshape(flat, &[3, 2].into());
            let slice = |starts: [usize; 2], sizes: [usize; 2]| Slice {
                starts: starts.into(),
                sizes: sizes.into(),
                steps: vec![1, 1],
            };
            let part = b.bind1(slice([0, 1], [2, 2]), &[x]);
            let part = b.bind1(slice([1, 1], [1, 1]), &[part]);
            let both = b.bind1(Concat { axis: 0 }, &[x, x]);
            let second = b.bind1(slice([2, 0], [2, 3]), &[both]);
            vec![back, more, tall, part, second]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[2,3] .
          let b:f32[5,4,2,3] = broadcast[shape=[5, 4, 2, 3] axes=[2, 3]] a
              c:f32[3,2] = reshape[shape=[3, 2]] a
              d:f32[1,1] = slice[starts=[1, 2] sizes=[1, 1] steps=[1, 1]] a
          in (a, b, c, d, a) }
        ");
    }

    #[test]
    fn views_of_what_repeats_repeat_less() {
        let text = of(|b, x| {
            let one = b.broadcast(x, &[4, 2, 3].into(), &[1, 2]);
            let turned = b.bind1(Transpose { permutation: vec![1, 2, 0] }, &[one]);
            let cut = Slice { starts: vec![0, 0, 1], sizes: vec![2, 3, 2], steps: vec![1, 1, 1] };
            let fewer = b.bind1(cut, &[turned]);
            let halves = b.full(0.5, &Aval::new(DType::F32, [4, 3]));
            vec![fewer, b.reshape(halves, &[12].into()), b.unary(Unary::Exp, halves)]
        });
        insta::assert_snapshot!(text, @r"
        { lambda a:f32[2,3] .
          let b:f32[2,3,2] = broadcast[shape=[2, 3, 2] axes=[0, 1]] a
              c:f32[12] = broadcast[shape=[12] axes=[]] 0.5:f32
              d:f32[4,3] = broadcast[shape=[4, 3] axes=[]] 1.6487212:f32
          in (b, c, d) }
        ");
    }
}
