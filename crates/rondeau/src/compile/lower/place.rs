//! Where values are: views of buffers, and the movements that only change the view.

use rondeau_machine::code::View;

use crate::buffer::{Scalar, Shape};

/// A value while its program is lowered.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// The same number at all indices.
    Uniform(Scalar),
    /// In memory; the view has a stride for each axis.
    Stored(View),
}

impl Value {
    /// The view of a value that is in memory.
    pub(super) fn stored(&self) -> &View {
        match self {
            Value::Stored(view) => view,
            Value::Uniform(_) => panic!("internal: a number where a place is needed"),
        }
    }

    /// Applies a movement to the view; numbers stay what they are.
    pub(super) fn map(&self, f: impl FnOnce(&View) -> View) -> Value {
        match self {
            Value::Uniform(value) => Value::Uniform(*value),
            Value::Stored(view) => Value::Stored(f(view)),
        }
    }
}

/// The view with other strides and a shifted start.
fn moved(view: &View, shift: i64, strides: Vec<i64>) -> View {
    View { offset: view.offset + shift, strides, ..view.clone() }
}

/// Operand axis `i` becomes axis `axes[i]` of `shape`.
pub(super) fn broadcast(view: &View, from: &Shape, shape: &Shape, axes: &[usize]) -> View {
    let mut strides = vec![0; shape.rank()];
    for (i, &axis) in axes.iter().enumerate() {
        let repeats = from[i] == 1 && shape[axis] != 1;
        strides[axis] = if repeats { 0 } else { view.strides[i] };
    }
    moved(view, 0, strides)
}

/// Axis `i` of the result is axis `permutation[i]`.
pub(super) fn transpose(view: &View, permutation: &[usize]) -> View {
    moved(view, 0, permutation.iter().map(|&axis| view.strides[axis]).collect())
}

/// A range along each axis.
pub(super) fn slice(view: &View, starts: &[usize], steps: &[usize]) -> View {
    let shift = starts.iter().zip(&view.strides).map(|(&i, s)| i as i64 * s).sum();
    let strides = steps.iter().zip(&view.strides).map(|(&step, s)| step as i64 * s).collect();
    moved(view, shift, strides)
}

/// Some axes backwards.
pub(super) fn reverse(view: &View, shape: &Shape, axes: &[usize]) -> View {
    let mut strides = view.strides.clone();
    let mut shift = 0;
    for &axis in axes {
        shift += strides[axis] * (shape[axis] as i64 - 1);
        strides[axis] = -strides[axis];
    }
    moved(view, shift, strides)
}

/// The strides of another shape over the same elements in row-major order, if there are some.
pub(super) fn reshape(view: &View, from: &Shape, to: &Shape) -> Option<View> {
    if to.count() == 0 {
        return Some(moved(view, 0, vec![0; to.rank()]));
    }
    // Axes of the source as few as possible, each with one stride.
    let mut merged: Vec<(usize, i64)> = Vec::new();
    for (&size, &stride) in from.iter().zip(&view.strides).filter(|(size, _)| **size != 1) {
        match merged.last_mut() {
            Some((n, last)) if *last == stride * size as i64 => (*n, *last) = (*n * size, stride),
            _ => merged.push((size, stride)),
        }
    }
    // From the inside out, each axis of the result is taken from the innermost merged axis.
    let mut strides = vec![0; to.rank()];
    let mut left = merged.pop();
    let mut taken = 1;
    for (axis, &size) in to.iter().enumerate().rev().filter(|(_, size)| **size != 1) {
        let (n, stride) = left?;
        strides[axis] = stride * taken as i64;
        taken *= size;
        if n % taken != 0 {
            return None;
        }
        if n == taken {
            left = merged.pop();
            taken = 1;
        }
    }
    Some(moved(view, 0, strides))
}

/// Row `t` of axis 0, moving with a loop.
pub(super) fn row(view: &View, level: usize, length: usize, backwards: bool) -> View {
    let step = view.strides[0];
    let (shift, step) = match backwards {
        true => (step * (length as i64 - 1), -step),
        false => (0, step),
    };
    moved(view, shift, view.strides[1..].to_vec()).advance(level, step)
}

/// Row 0 of axis 0.
pub(super) fn first_row(view: &View) -> View {
    moved(view, 0, view.strides[1..].to_vec())
}

/// The part of a view from `index` on along one axis.
pub(super) fn from_index(view: &View, axis: usize, index: usize) -> View {
    moved(view, view.strides[axis] * index as i64, view.strides.clone())
}

/// One stride for several axes taken together in row-major order, if there is one.
pub(super) fn merged_stride(view: &View, shape: &Shape, axes: &[usize]) -> Option<i64> {
    let sizes: Shape = axes.iter().map(|&axis| shape[axis]).collect();
    let part =
        View { strides: axes.iter().map(|&axis| view.strides[axis]).collect(), ..view.clone() };
    let merged = reshape(&part, &sizes, &Shape::from([sizes.count()]))?;
    Some(merged.strides[0])
}

/// Whether the view lies in row-major order without gaps.
pub(super) fn is_dense(view: &View, shape: &Shape) -> bool {
    let dense = shape.strides();
    shape.iter().enumerate().all(|(i, &n)| n == 1 || view.strides[i] == dense[i] as i64)
}
