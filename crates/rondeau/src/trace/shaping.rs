//! Products, and the movement of elements: other shapes, other orders, other sizes.

mod products;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::panic::Location;

pub use products::{dot_general, einsum};

use super::methods::{bind_to, or_mistake, resolve_axis};
use super::operators::{Argument, broadcast_together, unify};
use super::tracer::{innermost, record};
use super::{Array, Operand, bind1};
use crate::buffer::{DType, Shape};
use crate::error::{Error, Result};
use crate::ir::Aval;
use crate::prim::{Broadcast, Concat, Iota, Pad, Prim, Reshape, Reverse, Select, Slice, Transpose};

type At = &'static Location<'static>;

/// As many parts of nothing, or mistakes in place of parts, are made of one array.
const MAX_EMPTY_PARTS: usize = 1 << 16;

/// Counts `0, 1, ..` along an axis of a shape, in the trace that `beside` belongs to.
pub(super) fn count(dtype: DType, shape: &[usize], axis: usize, beside: &Array) -> Result<Array> {
    let prim = Prim::from(Iota { dtype, shape: shape.into(), axis });
    if !Shape::from(shape).is_reasonable(dtype.size()) {
        return Err(Error::too_large(&Shape::from(shape).to_string()));
    }
    match innermost([beside]) {
        None => bind1(prim, &[], Location::caller()).ok(),
        Some(trace) => {
            let counted = record(&trace, std::slice::from_ref(beside), |builder, _| {
                Ok(vec![builder.bind1(prim, &[])])
            })?;
            Ok(counted.into_iter().collect::<Vec<_>>().swap_remove(0))
        }
    }
}

/// The array with its axes permuted; itself if nothing moves.
pub(super) fn permute(x: &Array, permutation: Vec<usize>, at: At) -> Array {
    if permutation.iter().copied().eq(0..x.rank()) {
        return x.clone();
    }
    bind_to(Transpose { permutation }, x, at)
}

/// The array in a shape of the same count; itself if it has that shape.
pub(super) fn reshaped(x: &Array, shape: Shape, at: At) -> Array {
    if *x.shape() == *shape {
        return x.clone();
    }
    bind_to(Reshape { shape }, x, at)
}

/// The order of axes in which one of them is moved.
pub(super) fn moved(rank: usize, from: usize, to: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    let axis = order.remove(from);
    order.insert(to, axis);
    order
}

/// A part of one axis.
fn part(x: &Array, axis: usize, start: usize, size: usize, at: At) -> Array {
    if start == 0 && x.shape()[axis] == size {
        return x.clone();
    }
    let (mut starts, mut sizes) = (vec![0; x.rank()], x.shape().to_vec());
    (starts[axis], sizes[axis]) = (start, size);
    bind_to(Slice { starts, sizes, steps: vec![1; x.rank()] }, x, at)
}

/// Repeats along new and unit axes; the array itself if it has that shape.
fn repeated(x: &Array, shape: Shape, axes: Vec<usize>, at: At) -> Array {
    if *x.shape() == *shape {
        return x.clone();
    }
    bind_to(Broadcast { shape, axes }, x, at)
}

impl Array {
    /// The array with the order of its axes reversed; a matrix is transposed.
    #[track_caller]
    pub fn t(&self) -> Array {
        permute(self, (0..self.rank()).rev().collect(), Location::caller())
    }

    /// The array with axis `permutation[i]` as its axis `i`.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::zeros([2, 3, 5]);
    /// assert_eq!(x.transpose(&[2, 0, 1]).shape(), [5, 2, 3]);
    /// ```
    #[track_caller]
    pub fn transpose(&self, permutation: &[usize]) -> Array {
        permute(self, permutation.to_vec(), Location::caller())
    }

    /// The array with two axes exchanged.
    #[track_caller]
    pub fn swap_axes(&self, a: isize, b: isize) -> Array {
        let at = Location::caller();
        let resolved = resolve_axis("swap_axes", a, self)
            .and_then(|a| Ok((a, resolve_axis("swap_axes", b, self)?)));
        match resolved {
            Ok((a, b)) => {
                let mut order: Vec<usize> = (0..self.rank()).collect();
                order.swap(a, b);
                permute(self, order, at)
            }
            Err(error) => Array::mistake(error.at(at)),
        }
    }

    /// The array with an axis moved to another place; the others keep their order.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::zeros([2, 3, 5]);
    /// assert_eq!(x.move_axis(0, -1).shape(), [3, 5, 2]);
    /// ```
    #[track_caller]
    pub fn move_axis(&self, from: isize, to: isize) -> Array {
        let at = Location::caller();
        let resolved = resolve_axis("move_axis", from, self)
            .and_then(|from| Ok((from, resolve_axis("move_axis", to, self)?)));
        match resolved {
            Ok((from, to)) => permute(self, moved(self.rank(), from, to), at),
            Err(error) => Array::mistake(error.at(at)),
        }
    }

    /// The values in row-major order in another shape.
    ///
    /// # Errors
    /// The array carries a mistake if the shape holds another number of elements.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::arange(6).reshape([2, 3]);
    /// assert_eq!(x.shape(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Array {
        let (shape, at) = (shape.into(), Location::caller());
        match self.aval() {
            Ok(aval) if aval.shape.count() != shape.count() || !shape.is_reasonable(1) => {
                let error = Error::reshape(&aval.to_string(), aval.shape.count(), &shape);
                Array::mistake(error.at(at))
            }
            _ => reshaped(self, shape, at),
        }
    }

    /// The values in row-major order along one axis.
    #[track_caller]
    pub fn ravel(&self) -> Array {
        reshaped(self, self.size().into(), Location::caller())
    }

    /// The array repeated to a larger shape, by NumPy's rules: axes are matched from the last, and
    /// axes of size 1 repeat.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Array {
        let (shape, at) = (shape.into(), Location::caller());
        let fits = |aval: &Aval| aval.shape.broadcast(&shape).as_ref() == Some(&shape);
        match self.aval() {
            Ok(aval) if !fits(&aval) => {
                Array::mistake(Error::broadcast_to(&aval.to_string(), &shape.to_string()).at(at))
            }
            Ok(aval) => {
                let axes = (shape.rank() - aval.rank()..shape.rank()).collect();
                repeated(self, shape, axes, at)
            }
            Err(error) => Array::mistake(error),
        }
    }

    /// The array with a new axis of size 1, which will be axis `axis`.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::zeros([2, 3]);
    /// assert_eq!(x.expand_dims(-1).shape(), [2, 3, 1]);
    /// ```
    #[track_caller]
    pub fn expand_dims(&self, axis: isize) -> Array {
        let at = Location::caller();
        match self.aval().and_then(|aval| new_axis("expand_dims", axis, &aval)) {
            Ok(axis) => {
                let mut sizes = self.shape().to_vec();
                sizes.insert(axis, 1);
                reshaped(self, sizes.into(), at)
            }
            Err(error) => Array::mistake(error.at(at)),
        }
    }

    /// The array without an axis of size 1.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Array {
        let at = Location::caller();
        match resolve_axis("squeeze", axis, self) {
            Ok(axis) if self.shape()[axis] == 1 => {
                reshaped(self, Shape::from(self.shape()).without(axis), at)
            }
            Ok(axis) => Array::mistake(Error::squeeze(axis, &self.describe()).at(at)),
            Err(error) => Array::mistake(error.at(at)),
        }
    }

    /// The array with the order along an axis reversed.
    #[track_caller]
    pub fn flip(&self, axis: isize) -> Array {
        let at = Location::caller();
        match resolve_axis("flip", axis, self) {
            Ok(axis) => bind_to(Reverse { axes: vec![axis] }, self, at),
            Err(error) => Array::mistake(error.at(at)),
        }
    }

    /// The array with copies of `value` around it: `(before, after)` for each axis.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([1, 2]).pad(&[(1, 2)], 0);
    /// assert_eq!(x.to_vec::<i32>()?, [0, 1, 2, 0, 0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn pad(&self, edges: &[(usize, usize)], value: impl Operand) -> Array {
        let edges: Vec<(i64, i64, usize)> =
            edges.iter().map(|&(low, high)| (edge(low), edge(high), 0)).collect();
        let at = Location::caller();
        or_mistake(pad("pad", self, &edges, value.argument(), at), at)
    }

    /// The array with copies of `value` around and between its elements:
    /// `(before, after, between)` for each axis. Negative edges crop, after the gaps are filled.
    ///
    /// # Source
    /// `jax.lax.pad`.
    #[track_caller]
    pub fn pad_interior(&self, edges: &[(i64, i64, usize)], value: impl Operand) -> Array {
        let at = Location::caller();
        or_mistake(pad("pad_interior", self, edges, value.argument(), at), at)
    }

    /// The array with its elements moved along an axis, those that leave entering at the other
    /// end: `y[i] = x[i - shift]`.
    #[track_caller]
    pub fn roll(&self, shift: isize, axis: isize) -> Array {
        let at = Location::caller();
        let axis = match resolve_axis("roll", axis, self) {
            Ok(axis) => axis,
            Err(error) => return Array::mistake(error.at(at)),
        };
        let n = self.shape()[axis];
        let shift = if n == 0 { 0 } else { shift.rem_euclid(n as isize) as usize };
        if shift == 0 {
            return self.clone();
        }
        let (head, tail) =
            (part(self, axis, 0, n - shift, at), part(self, axis, n - shift, shift, at));
        bind1(Concat { axis }, &[tail, head], at)
    }

    /// The array with each element `n` times in a row along an axis.
    #[track_caller]
    pub fn repeat(&self, n: usize, axis: isize) -> Array {
        let at = Location::caller();
        let axis = match resolve_axis("repeat", axis, self) {
            Ok(axis) => axis,
            Err(error) => return Array::mistake(error.at(at)),
        };
        let mut sizes = self.shape().to_vec();
        sizes.insert(axis + 1, n);
        let axes = (0..=self.rank()).filter(|&i| i != axis + 1).collect();
        let repeated = repeated(self, sizes.into(), axes, at);
        let size = self.shape()[axis].saturating_mul(n);
        repeated.reshape(Shape::from(self.shape()).with(axis, size))
    }

    /// The array `counts[i]` times in a row along axis `i`; missing axes of either are of size 1.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([1, 2]).tile(&[2, 2]);
    /// assert_eq!(x.shape(), [2, 4]);
    /// assert_eq!(x.to_vec::<i32>()?, [1, 2, 1, 2, 1, 2, 1, 2]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn tile(&self, counts: &[usize]) -> Array {
        if let Some(error) = self.error() {
            return Array::mistake(error.clone());
        }
        let rank = self.rank().max(counts.len());
        let padded = |sizes: &[usize]| [vec![1; rank - sizes.len()], sizes.to_vec()].concat();
        let (counts, sizes) = (padded(counts), padded(self.shape()));
        let pairs = || counts.iter().zip(&sizes);
        let apart: Shape = pairs().flat_map(|(&count, &size)| [count, size]).collect();
        let axes = (rank - self.rank()..rank).map(|axis| 2 * axis + 1).collect();
        let joined: Shape = pairs().map(|(count, size)| count.saturating_mul(*size)).collect();
        repeated(self, apart, axes, Location::caller()).reshape(joined)
    }

    /// `n` parts of equal size along an axis.
    ///
    /// # Errors
    /// Each part carries a mistake if `n` does not divide the axis.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let gates = Array::arange(6).split(3, 0);
    /// assert_eq!(gates[1].to_vec::<i32>()?, [2, 3]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, n: usize, axis: isize) -> Vec<Array> {
        let at = Location::caller();
        let size = resolve_axis("split", axis, self).and_then(|axis| {
            let size = self.shape()[axis];
            if n == 0 || !size.is_multiple_of(n) || n > size.max(MAX_EMPTY_PARTS) {
                return Err(Error::split(n, axis, &self.describe()));
            }
            Ok((axis, size / n))
        });
        match size {
            Ok((axis, size)) => (0..n).map(|i| part(self, axis, i * size, size, at)).collect(),
            Err(error) => vec![Array::mistake(error.at(at)); n.clamp(1, MAX_EMPTY_PARTS)],
        }
    }

    /// Where the array, which is bool, holds: `x`; elsewhere `y`. As [`where_`].
    #[track_caller]
    pub fn select(&self, x: impl Operand, y: impl Operand) -> Array {
        where_(self, x, y)
    }

    /// For each index, `classes` numbers (f32), 1 at the index and 0 elsewhere; an index that is
    /// out of range gives zeros.
    ///
    /// # Shapes
    /// `[..]` of i32 or u32 → `[.., classes]`.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([2, 0]).one_hot(3);
    /// assert_eq!(x.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Array {
        let counted = self.aval().and_then(|aval| {
            if !aval.dtype.is_integer() {
                return Err(Error::dtype("one_hot", "integers", &aval.to_string()));
            }
            count(aval.dtype, &[classes], 0, self)
        });
        match counted {
            Ok(counted) => self.expand_dims(-1).eq(counted).to(DType::F32),
            Err(error) => Array::mistake(error.at(Location::caller())),
        }
    }

    /// Matrices with zeros above the `k`th diagonal; 0 is the main one, those above are positive.
    #[track_caller]
    pub fn tril(&self, k: i32) -> Array {
        match below("tril", self, k) {
            Ok(below) => where_(below, self, self.zeros_like()),
            Err(error) => Array::mistake(error.at(Location::caller())),
        }
    }

    /// Matrices with zeros below the `k`th diagonal; 0 is the main one, those above are positive.
    #[track_caller]
    pub fn triu(&self, k: i32) -> Array {
        match below("triu", self, k.saturating_sub(1)) {
            Ok(below) => where_(below, self.zeros_like(), self),
            Err(error) => Array::mistake(error.at(Location::caller())),
        }
    }

    /// The main diagonal of a matrix.
    #[track_caller]
    pub fn diagonal(&self) -> Array {
        let at = Location::caller();
        match self.aval() {
            Ok(aval) if aval.rank() == 2 => {
                let (rows, cols) = (aval.shape[0], aval.shape[1]);
                let n = rows.min(cols);
                let flat = reshaped(self, aval.shape.count().into(), at);
                let steps = Slice { starts: vec![0], sizes: vec![n], steps: vec![cols + 1] };
                bind1(steps, &[flat], at)
            }
            Ok(aval) => {
                let error = Error::rank("diagonal", "a matrix", &aval.to_string());
                Array::mistake(error.at(at))
            }
            Err(error) => Array::mistake(error),
        }
    }

    /// The sum of the main diagonal of a matrix of numbers.
    #[track_caller]
    pub fn trace(&self) -> Array {
        self.diagonal().sum()
    }
}

/// The place of a new axis; negative ones count from the end.
fn new_axis(op: &str, axis: isize, aval: &Aval) -> Result<usize> {
    let from_start = if axis < 0 { axis + aval.rank() as isize + 1 } else { axis };
    match usize::try_from(from_start) {
        Ok(place) if place <= aval.rank() => Ok(place),
        _ => Err(Error::axis(op, axis, &aval.to_string())),
    }
}

/// Where matrices are on or below their `k`th diagonal.
fn below(op: &str, x: &Array, k: i32) -> Result<Array> {
    let aval = x.aval()?;
    let [.., rows, cols] = aval.shape[..] else {
        return Err(Error::rank(op, "matrices", &aval.to_string()));
    };
    let row = count(DType::I32, &[rows, cols], 0, x)?;
    let col = count(DType::I32, &[rows, cols], 1, x)?;
    // k is moved into the range where it matters, so that the sum stays in that of i32.
    let k = k.clamp(-(rows.min(1 << 30) as i32), cols.min(1 << 30) as i32);
    Ok((row + k).ge(col))
}

/// The number of elements before or after; what does not fit is refused as too large.
fn edge(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn pad(op: &str, x: &Array, edges: &[(i64, i64, usize)], value: Argument, at: At) -> Result<Array> {
    let aval = x.aval()?;
    if edges.len() != aval.rank() {
        return Err(Error::per_axis(op, "edges", edges.len(), &aval.to_string()));
    }
    let (x, value) = unify(op, x, value)?;
    let prim = Pad {
        low: edges.iter().map(|edge| edge.0).collect(),
        high: edges.iter().map(|edge| edge.1).collect(),
        interior: edges.iter().map(|edge| edge.2).collect(),
    };
    Ok(bind1(prim, &[x, value], at))
}

fn owned<A: Borrow<Array>>(arrays: &[A]) -> Vec<Array> {
    arrays.iter().map(|array| array.borrow().clone()).collect()
}

/// The arrays one after the other along an axis, on which alone their shapes may differ.
///
/// # Examples
/// ```
/// use rondeau::{Array, trace::concatenate};
///
/// let (x, y) = (Array::from([1, 2]), Array::from([3]));
/// assert_eq!(concatenate(&[&x, &y], 0).to_vec::<i32>()?, [1, 2, 3]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn concatenate<A: Borrow<Array>>(arrays: &[A], axis: isize) -> Array {
    let at = Location::caller();
    let arrays = owned(arrays);
    or_mistake(concatenate_at(&arrays, axis, at), at)
}

fn concatenate_at(arrays: &[Array], axis: isize, at: At) -> Result<Array> {
    let Some(first) = arrays.first() else {
        return Err(Error::no_arrays("concatenate"));
    };
    let axis = resolve_axis("concatenate", axis, first)?;
    match arrays {
        [one] => Ok(one.clone()),
        arrays => Ok(bind1(Concat { axis }, arrays, at)),
    }
}

/// Arrays of one shape along a new axis, which will be axis `axis`.
///
/// # Errors
/// The result carries a mistake if there are no arrays, or their types differ.
/// # Examples
/// ```
/// use rondeau::{Array, trace::stack};
///
/// let (x, y) = (Array::from([1, 2]), Array::from([3, 4]));
/// assert_eq!(stack(&[&x, &y], -1).to_vec::<i32>()?, [1, 3, 2, 4]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn stack<A: Borrow<Array>>(arrays: &[A], axis: isize) -> Array {
    let at = Location::caller();
    let arrays = owned(arrays);
    or_mistake(stack_at(&arrays, axis, at), at)
}

fn stack_at(arrays: &[Array], axis: isize, at: At) -> Result<Array> {
    let avals: Result<Vec<Aval>> = arrays.iter().map(Array::aval).collect();
    let avals = avals?;
    let Some(first) = avals.first() else {
        return Err(Error::no_arrays("stack"));
    };
    if let Some(i) = avals.iter().position(|aval| aval != first) {
        return Err(Error::stack(&first.to_string(), i, &avals[i].to_string()));
    }
    let axis = new_axis("stack", axis, first)?;
    let mut sizes = first.shape.to_vec();
    sizes.insert(axis, 1);
    let rows: Vec<Array> =
        arrays.iter().map(|array| reshaped(array, sizes.as_slice().into(), at)).collect();
    concatenate_at(&rows, axis as isize, at)
}

/// Where the condition, which is bool, holds: `x`; elsewhere `y`; all three broadcast together.
///
/// Both sides are computed; gradients flow to the one that is chosen.
///
/// # Source
/// `jax.numpy.where`.
/// # Examples
/// ```
/// use rondeau::{Array, trace::where_};
///
/// let x = Array::from([-1.0_f32, 4.0]);
/// assert_eq!(where_(x.gt(0.0), &x, 0.0).to_vec::<f32>()?, [0.0, 4.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn where_(condition: impl Operand, x: impl Operand, y: impl Operand) -> Array {
    let at = Location::caller();
    let condition = condition.argument().into_array();
    let chosen = condition.aval().and_then(|aval| {
        if aval.dtype != DType::Bool {
            return Err(Error::condition("where_", &aval.to_string()));
        }
        let (x, y) = unify("where_", x, y)?;
        let inputs = broadcast_together("where_", &[&condition, &x, &y], at)?;
        Ok(bind1(Select, &inputs, at))
    });
    or_mistake(chosen, at)
}
