//! Elementwise primitives. All inputs have one shape, or no axes: a scalar stands for itself at every
//! index.
//!
//! Here is what they share: which types they take, how values are mapped, how an axis of examples
//! comes in front. The families are tables, a row a primitive in each match.

mod binary;
mod convert;
mod select;
mod unary;

use std::borrow::Cow;

pub use binary::Binary;
pub use convert::{Bitcast, Convert};
pub use select::Select;
pub use unary::Unary;

use super::*;
use crate::buffer::{DType, Element, Shape};

/// Which element types an elementwise primitive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Floats,
    Numbers,
    Integers,
    Bits,
    Anything,
}

impl Takes {
    fn includes(self, dtype: DType) -> bool {
        match self {
            Takes::Floats => dtype.is_float(),
            Takes::Numbers => dtype != DType::Bool,
            Takes::Integers => dtype.is_integer(),
            Takes::Bits => !dtype.is_float(),
            Takes::Anything => true,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Takes::Floats => "floats",
            Takes::Numbers => "numbers",
            Takes::Integers => "integers",
            Takes::Bits => "integers or truth values",
            Takes::Anything => "anything",
        }
    }

    fn check(self, dtype: DType) -> Result<(), Misfit> {
        if self.includes(dtype) {
            return Ok(());
        }
        Err(Misfit::new(format!("takes {}, not {dtype}", self.describe()))
            .help("convert the array with `.to(..)`"))
    }
}

/// The shape of an elementwise result.
pub(super) fn common_shape(inputs: &[Aval]) -> Result<Shape, Misfit> {
    let mut shape = Shape::scalar();
    for aval in inputs {
        if aval.rank() > 0 && shape.rank() > 0 && aval.shape != shape {
            return Err(Misfit::new(format!("{} and {shape} are different shapes", aval.shape)));
        }
        if aval.rank() > 0 {
            shape = aval.shape.clone();
        }
    }
    Ok(shape)
}

fn same_dtype(inputs: &[Aval]) -> Result<DType, Misfit> {
    let first = inputs[0].dtype;
    match inputs.iter().find(|aval| aval.dtype != first) {
        Some(other) => {
            Err(Misfit::new(format!("{first} and {} are different element types", other.dtype))
                .help("convert one of them with `.to(..)`"))
        }
        None => Ok(first),
    }
}

pub(super) fn arity<const N: usize>(inputs: &[Aval]) -> Result<&[Aval; N], Misfit> {
    inputs
        .try_into()
        .map_err(|_| Misfit::new(format!("takes {N} inputs, and there are {}", inputs.len())))
}

/// The values of an elementwise input: one for all indices, or one for each.
pub(super) enum Lane<'a, T: Clone> {
    One(T),
    Each(Cow<'a, [T]>),
}

pub(super) fn lane<T: Element>(x: &Buffer) -> Lane<'_, T> {
    match x.uniform() {
        Some(value) => Lane::One(T::from_scalar(value)),
        None => Lane::Each(x.values()),
    }
}

fn result_shape(inputs: &[&Buffer]) -> Shape {
    let full = inputs.iter().find(|x| x.shape().rank() > 0);
    full.map_or_else(Shape::scalar, |x| x.shape().clone())
}

fn map1<T, U>(x: &Buffer, f: impl Fn(T) -> U) -> Buffer
where
    T: Element,
    U: Element,
{
    match lane::<T>(x) {
        Lane::One(x1) => Buffer::splat(f(x1).scalar(), x.shape().clone()),
        Lane::Each(xs) => Buffer::new(x.shape().clone(), xs.iter().map(|&x| f(x)).collect()),
    }
}

/// As [`map1`], for functions of whole slices.
fn map_slice<T: Element>(x: &Buffer, f: impl Fn(&[T]) -> Vec<T>) -> Buffer {
    match lane::<T>(x) {
        Lane::One(x1) => Buffer::splat(f(&[x1])[0].scalar(), x.shape().clone()),
        Lane::Each(xs) => Buffer::new(x.shape().clone(), f(&xs)),
    }
}

fn map2<T, U>(x: &Buffer, y: &Buffer, f: impl Fn(T, T) -> U) -> Buffer
where
    T: Element,
    U: Element,
{
    let shape = result_shape(&[x, y]);
    if shape.count() == 0 {
        return Buffer::new::<U>(shape, vec![]);
    }
    match (lane::<T>(x), lane::<T>(y)) {
        (Lane::One(x), Lane::One(y)) => Buffer::splat(f(x, y).scalar(), shape),
        (Lane::One(x), Lane::Each(ys)) => Buffer::new(shape, ys.iter().map(|&y| f(x, y)).collect()),
        (Lane::Each(xs), Lane::One(y)) => Buffer::new(shape, xs.iter().map(|&x| f(x, y)).collect()),
        (Lane::Each(xs), Lane::Each(ys)) => {
            Buffer::new(shape, xs.iter().zip(ys.iter()).map(|(&x, &y)| f(x, y)).collect())
        }
    }
}

/// Sums a cotangent over the axes that a scalar operand was repeated along.
fn unrepeat(b: &mut Builder, ct: Atom, operand: &Aval) -> Atom {
    let rank = b.aval(ct).rank();
    if operand.rank() == 0 && rank > 0 {
        return b.sum(ct, &(0..rank).collect::<Vec<_>>());
    }
    ct
}

/// Elementwise batching: brings all inputs to one rank, so that the axis of examples lines up.
pub(super) fn batch_elementwise(
    b: &mut Builder,
    prim: Prim,
    size: usize,
    inputs: &[Batched],
) -> Vec<Batched> {
    // The rank of one example.
    let rank = |b: &Builder, x: Batched| b.aval(x.atom()).rank() - usize::from(x.is_mapped());
    let full = inputs.iter().copied().max_by_key(|&x| rank(b, x)).expect("elementwise has inputs");
    let full_aval = b.aval(full.atom());
    let shape = match full {
        Batched::Mapped(_) => full_aval.shape,
        Batched::Shared(_) => full_aval.shape.prepend(size),
    };
    let atoms: Vec<Atom> = inputs
        .iter()
        .map(|&x| match (x, rank(b, x)) {
            (Batched::Shared(atom), 0) => atom,
            (Batched::Shared(atom), _) => b.repeat(atom, size),
            (Batched::Mapped(atom), 0) if shape.rank() > 1 => b.broadcast(atom, &shape, &[0]),
            (Batched::Mapped(atom), _) => atom,
        })
        .collect();
    b.bind(prim, &atoms).into_iter().map(Batched::Mapped).collect()
}
