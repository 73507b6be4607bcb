//! Primitives that move elements and compute nothing: all are linear in what they move.
//!
//! Here is what they share: the rules of a linear primitive with one input, and checks of axes.

mod broadcast;
mod concat;
mod iota;
mod pad;
mod reshape;
mod reverse;
mod slice;
mod transpose;

pub use broadcast::Broadcast;
pub use concat::Concat;
pub use iota::Iota;
pub use pad::Pad;
pub use reshape::Reshape;
pub use reverse::Reverse;
pub use slice::Slice;
pub use transpose::Transpose;

use super::elementwise::arity;
use super::*;
use crate::buffer::{DType, Shape};

/// `y = f(x)` and `dy = f(dx)`, for `f` linear with one input.
pub(super) fn linear_jvp(
    b: &mut Builder,
    prim: impl Into<Prim>,
    x: Atom,
    dx: Tangent,
) -> (Vec<Atom>, Vec<Tangent>) {
    let prim = prim.into();
    let y = b.bind1(prim.clone(), &[x]);
    let dy = dx.value().map_or(Tangent::Zero, |dx| Tangent::Value(b.bind1(prim, &[dx])));
    (vec![y], vec![dy])
}

/// The cotangent of the one input, from that of the one output.
pub(super) fn linear_transpose(
    ct: Cotangent,
    transpose: impl FnOnce(Atom) -> Atom,
) -> Result<Vec<Cotangent>> {
    Ok(vec![ct.value().map_or(Cotangent::Zero, |ct| Cotangent::Value(transpose(ct)))])
}

/// The one output for all examples, from the one input, which is mapped.
pub(super) fn batch_one(b: &mut Builder, prim: impl Into<Prim>, x: Batched) -> Vec<Batched> {
    vec![Batched::Mapped(b.bind1(prim, &[x.atom()]))]
}

/// Axes of an example as axes of the batch.
pub(super) fn shift(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| axis + 1).collect()
}

/// `values` with one for the axis of examples in front.
fn prepend<T: Copy>(value: T, values: &[T]) -> Vec<T> {
    std::iter::once(value).chain(values.iter().copied()).collect()
}

/// Refuses axes that do not exist or come twice.
pub(super) fn check_axes(axes: &[usize], rank: usize) -> Result<(), Misfit> {
    for (i, &axis) in axes.iter().enumerate() {
        check_axis(axis, rank)?;
        if axes[..i].contains(&axis) {
            return Err(Misfit::new(format!("axis {axis} is named twice")));
        }
    }
    Ok(())
}

/// Refuses an axis that does not exist.
pub(super) fn check_axis(axis: usize, rank: usize) -> Result<(), Misfit> {
    if axis < rank {
        return Ok(());
    }
    Err(Misfit::new(format!("axis {axis} is not one of the {rank} axes of the array")))
}

/// Refuses a parameter without a value for each axis.
fn check_len(name: &str, len: usize, rank: usize) -> Result<(), Misfit> {
    if len == rank {
        return Ok(());
    }
    Err(Misfit::new(format!("`{name}` has {len} values, and the array has {rank} axes")))
}

/// An innermost run of two strided views of one shape.
pub(super) struct Run {
    /// Its length.
    pub(super) n: usize,
    /// Where it starts in each.
    pub(super) starts: [isize; 2],
    /// Its step in each.
    pub(super) strides: [isize; 2],
}

/// Calls `visit` for each innermost run of two strided views of one shape, in row-major order.
pub(super) fn walk_both(
    shape: &[usize],
    strides: [&[isize]; 2],
    starts: [isize; 2],
    visit: &mut dyn FnMut(Run),
) {
    match shape {
        [] => visit(Run { n: 1, starts, strides: [1, 1] }),
        [0, ..] => {}
        [n] => visit(Run { n: *n, starts, strides: [strides[0][0], strides[1][0]] }),
        [n, shape @ ..] => {
            let [x, y] = strides;
            for i in 0..*n as isize {
                let starts = [starts[0] + i * x[0], starts[1] + i * y[0]];
                walk_both(shape, [&x[1..], &y[1..]], starts, visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_parameters_read_back() {
        fn check<P: Rules + PartialEq + std::fmt::Debug>() {
            for (prim, _) in P::examples() {
                assert_eq!(P::from_params(prim.name(), &prim.params()).as_ref(), Some(&prim));
            }
        }
        check::<Broadcast>();
        check::<Reshape>();
        check::<Transpose>();
        check::<Slice>();
        check::<Pad>();
        check::<Concat>();
        check::<Reverse>();
        check::<Iota>();
    }
}
