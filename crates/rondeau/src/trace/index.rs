//! Indexing: static places and ranges, and places that are data.
//!
//! What is static is checked, and a mistake if it is out of range. What is data cannot be: reads
//! take the nearest element, writes out of range are dropped, as in JAX.

#[cfg(test)]
mod tests;
mod write;

use std::borrow::Borrow;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::panic::Location;

use super::methods::{bind_to, or_mistake, resolve_axis};
use super::operators::unify;
use super::shaping::{moved, permute, reshaped};
use super::{Array, Operand, bind1, where_};
use crate::buffer::{DType, Shape};
use crate::error::{Error, Result};
use crate::ir::Aval;
use crate::prim::{Bounds, DynamicSlice, DynamicUpdate, Gather, Reverse, Slice};

type At = &'static Location<'static>;

/// Which part of an axis is meant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Index {
    /// One place, without its axis; negative ones count from the end.
    At(isize),
    /// Places from `start` up to `end`, not included; negative bounds count from the end.
    Range {
        /// The first place; else the beginning of the axis.
        start: Option<isize>,
        /// The place after the last; else the end of the axis.
        end: Option<isize>,
        /// The distance between places; a negative one takes the range from its end.
        step: isize,
    },
    /// Places that are data: integers, negative ones counted from the end. Their axes stand in
    /// place of the indexed one.
    Array(Array),
    /// No part of an axis, but a new one of size 1.
    NewAxis,
}

/// A new axis of size 1 in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAxis;

/// A range with a distance between its places. A negative step takes the same range from its end.
///
/// # Examples
/// ```
/// use rondeau::{Array, trace::Step};
///
/// let x = Array::arange(6);
/// assert_eq!(x.at(Step(1.., 2)).to_vec::<i32>()?, [1, 3, 5]);
/// assert_eq!(x.at(Step(.., -1)).to_vec::<i32>()?, [5, 4, 3, 2, 1, 0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<R>(pub R, pub isize);

/// What [`Array::at`] takes: a whole number, a range of them, an array of integers, [`NewAxis`],
/// a [`Step`], or a tuple of up to four of these, one for each axis.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not index an array",
    note = "an index is a whole number, a range, an array of integers, `NewAxis`, `Step(range, n)`, \
            or a tuple of these, one for each axis"
)]
pub trait Indexer {
    /// Appends the parts that this index stands for.
    fn push(self, parts: &mut Vec<Index>);
}

impl Indexer for Index {
    fn push(self, parts: &mut Vec<Index>) {
        parts.push(self);
    }
}

impl Indexer for &Array {
    fn push(self, parts: &mut Vec<Index>) {
        parts.push(Index::Array(self.clone()));
    }
}

impl Indexer for Array {
    fn push(self, parts: &mut Vec<Index>) {
        parts.push(Index::Array(self));
    }
}

impl Indexer for NewAxis {
    fn push(self, parts: &mut Vec<Index>) {
        parts.push(Index::NewAxis);
    }
}

/// Whole numbers that count places.
trait Place: Copy {
    fn place(self) -> isize;
}

/// Ranges of them: the first place and the one after the last.
trait Places {
    fn bounds(self) -> (Option<isize>, Option<isize>);
}

impl Places for RangeFull {
    fn bounds(self) -> (Option<isize>, Option<isize>) {
        (None, None)
    }
}

impl<T: Place> Places for Range<T> {
    fn bounds(self) -> (Option<isize>, Option<isize>) {
        (Some(self.start.place()), Some(self.end.place()))
    }
}

impl<T: Place> Places for RangeFrom<T> {
    fn bounds(self) -> (Option<isize>, Option<isize>) {
        (Some(self.start.place()), None)
    }
}

impl<T: Place> Places for RangeTo<T> {
    fn bounds(self) -> (Option<isize>, Option<isize>) {
        (None, Some(self.end.place()))
    }
}

/// The place after one that is the last of a range.
fn after(last: isize) -> Option<isize> {
    // After the last place of an axis, which is -1, comes its end.
    (last != -1).then(|| last.saturating_add(1))
}

impl<T: Place> Places for RangeInclusive<T> {
    fn bounds(self) -> (Option<isize>, Option<isize>) {
        (Some(self.start().place()), after(self.end().place()))
    }
}

impl<T: Place> Places for RangeToInclusive<T> {
    fn bounds(self) -> (Option<isize>, Option<isize>) {
        (None, after(self.end.place()))
    }
}

macro_rules! place {
    ($($t:ty)*) => {$(
        impl Place for $t {
            fn place(self) -> isize {
                // A place outside isize is outside every axis.
                isize::try_from(self).unwrap_or(isize::MAX)
            }
        }

        impl Indexer for $t {
            fn push(self, parts: &mut Vec<Index>) {
                parts.push(Index::At(self.place()));
            }
        }
    )*};
}
place!(i32 isize usize);

macro_rules! range {
    ($($range:ty)*) => {$(
        #[allow(private_bounds)]
        impl<T: Place> Indexer for $range {
            fn push(self, parts: &mut Vec<Index>) {
                Step(self, 1).push(parts);
            }
        }
    )*};
}
range!(Range<T> RangeFrom<T> RangeTo<T> RangeInclusive<T> RangeToInclusive<T>);

impl Indexer for RangeFull {
    fn push(self, parts: &mut Vec<Index>) {
        Step(self, 1).push(parts);
    }
}

#[allow(private_bounds)]
impl<R: Places> Indexer for Step<R> {
    fn push(self, parts: &mut Vec<Index>) {
        let (start, end) = self.0.bounds();
        parts.push(Index::Range { start, end, step: self.1 });
    }
}

/// All of the array.
impl Indexer for () {
    fn push(self, _: &mut Vec<Index>) {}
}

macro_rules! tuple {
    ($($part:ident)*) => {
        impl<$($part: Indexer),*> Indexer for ($($part,)*) {
            #[allow(non_snake_case)]
            fn push(self, parts: &mut Vec<Index>) {
                let ($($part,)*) = self;
                $($part.push(parts);)*
            }
        }
    };
}
tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);

/// What is taken of one axis, checked.
#[derive(Clone)]
enum Pick {
    /// One place, without the axis.
    One(usize),
    /// Places in steps; `reverse` takes them from the last to the first.
    Many { start: usize, size: usize, step: usize, reverse: bool },
    /// One place that is data, without the axis: i32, wrapped.
    Dynamic(Array),
    /// Places that are data, whose axes replace the axis: i32, wrapped.
    Rows(Array),
}

impl Pick {
    fn whole(size: usize) -> Pick {
        Pick::Many { start: 0, size, step: 1, reverse: false }
    }

    fn is_whole(&self, n: usize) -> bool {
        matches!(*self, Pick::Many { start: 0, size, step: 1, reverse: false } if size == n)
    }

    /// The sizes of the axes that stand for the picked one.
    fn sizes(&self) -> &[usize] {
        match self {
            Pick::One(_) | Pick::Dynamic(_) => &[],
            Pick::Many { size, .. } => std::slice::from_ref(size),
            Pick::Rows(rows) => rows.shape(),
        }
    }
}

/// An index for each axis, and where new axes are: the number of indexed axes before each.
struct Picks {
    picks: Vec<Pick>,
    new_axes: Vec<usize>,
}

impl Picks {
    fn shape(&self) -> Vec<usize> {
        self.picks.iter().flat_map(Pick::sizes).copied().collect()
    }
}

/// Integers as i32 with negative ones counted from the end of an axis of size `n`.
fn wrapped(index: &Array, n: usize) -> Result<Array> {
    let aval = index.aval()?;
    match aval.dtype {
        // Numbers beyond i32 stay beyond every axis.
        DType::U32 => Ok(index.minimum(i32::MAX).to(DType::I32)),
        DType::I32 => Ok(where_(index.lt(0), index + n as i32, index)),
        DType::Bool | DType::F32 | DType::F64 => Err(Error::index_dtype(&aval.to_string())),
    }
}

/// A bound of a range, counted from the start of the axis.
fn bound(place: isize, n: usize) -> Option<usize> {
    let from_start = if place < 0 { place + n as isize } else { place };
    usize::try_from(from_start).ok().filter(|&bound| bound <= n)
}

fn range_text(start: Option<isize>, end: Option<isize>) -> String {
    let text = |bound: Option<isize>| bound.map_or_else(String::new, |bound| bound.to_string());
    format!("{}..{}", text(start), text(end))
}

fn resolve(part: Index, axis: usize, aval: &Aval) -> Result<Pick> {
    let n = aval.shape[axis];
    let outside = |text: &str| Err(Error::index(text, axis, &aval.to_string()));
    match part {
        Index::At(place) => match bound(place, n) {
            Some(place) if place < n => Ok(Pick::One(place)),
            _ => outside(&place.to_string()),
        },
        Index::Range { start, end, step } => {
            if step == 0 {
                return Err(Error::step(axis, &aval.to_string()));
            }
            let first = bound(start.unwrap_or(0), n);
            let (Some(first), Some(last)) = (first, end.map_or(Some(n), |end| bound(end, n)))
            else {
                return outside(&range_text(start, end));
            };
            if first > last {
                return Err(Error::range(&range_text(start, end), axis, &aval.to_string()));
            }
            let (width, distance) = (last - first, step.unsigned_abs());
            let size = width.div_ceil(distance);
            // From the end, the places are those that the last one is a whole number of steps from.
            let start = match size {
                0 => first,
                _ if step < 0 => last - 1 - (size - 1) * distance,
                _ => first,
            };
            // The step of fewer than two places is of no matter.
            let step_size = if size < 2 { 1 } else { distance };
            Ok(Pick::Many { start, size, step: step_size, reverse: step < 0 && size > 1 })
        }
        Index::Array(index) => {
            let index = wrapped(&index, n)?.ok()?;
            Ok(if index.rank() == 0 { Pick::Dynamic(index) } else { Pick::Rows(index) })
        }
        Index::NewAxis => unreachable!("internal: new axes are resolved apart"),
    }
}

/// An index for each axis of `x`.
fn picks(x: &Array, index: impl Indexer) -> Result<Picks> {
    let aval = x.aval()?;
    let mut parts = Vec::new();
    index.push(&mut parts);
    let indexed = parts.iter().filter(|part| !matches!(part, Index::NewAxis)).count();
    if indexed > aval.rank() {
        return Err(Error::too_many_indices(indexed, &aval.to_string()));
    }
    let (mut picks, mut new_axes) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Index::NewAxis => new_axes.push(picks.len()),
            part => picks.push(resolve(part, picks.len(), &aval)?),
        }
    }
    picks.extend(aval.shape[picks.len()..].iter().map(|&size| Pick::whole(size)));
    let is_rows = |pick: &&Pick| matches!(pick, Pick::Rows(_));
    if picks.iter().filter(is_rows).count() > 1 {
        return Err(Error::two_index_arrays());
    }
    Ok(Picks { picks, new_axes })
}

/// The rows of `x` along an axis that a pick of data names, in place of the axis.
fn gather(x: &Array, axis: usize, rows: &Array, at: At) -> Array {
    let first = permute(x, moved(x.rank(), axis, 0), at);
    let prim = Gather { n_batch: 0, bounds: Bounds::Clip };
    let gathered = bind1(prim, &[first, rows.clone()], at);
    let (rows, rank) = (rows.rank(), gathered.rank());
    // [rows.., before.., after..] -> [before.., rows.., after..]
    let order = (rows..rows + axis).chain(0..rows).chain(rows + axis..rank).collect();
    permute(&gathered, order, at)
}

/// The static part of picks; places that are data are left whole.
fn static_part(x: &Array, picks: &[Pick], at: At) -> Array {
    let (mut starts, mut sizes, mut steps) = (vec![], x.shape().to_vec(), vec![]);
    let mut reversed = vec![];
    for (axis, pick) in picks.iter().enumerate() {
        let (start, size, step) = match *pick {
            Pick::One(place) => (place, 1, 1),
            Pick::Many { start, size, step, reverse } => {
                reversed.extend(reverse.then_some(axis));
                (start, size, step)
            }
            Pick::Dynamic(_) | Pick::Rows(_) => (0, sizes[axis], 1),
        };
        starts.push(start);
        sizes[axis] = size;
        steps.push(step);
    }
    let part = match *x.shape() == *sizes {
        true => x.clone(),
        false => bind_to(Slice { starts, sizes, steps }, x, at),
    };
    match reversed.is_empty() {
        true => part,
        false => bind1(Reverse { axes: reversed }, &[part], at),
    }
}

fn read(x: &Array, picks: &Picks, at: At) -> Array {
    let Picks { picks, new_axes } = picks;
    let mut y = static_part(x, picks, at);
    if picks.iter().any(|pick| matches!(pick, Pick::Dynamic(_))) {
        let mut sizes = y.shape().to_vec();
        let mut inputs = vec![y];
        for (pick, size) in picks.iter().zip(&mut sizes) {
            if let Pick::Dynamic(place) = pick {
                *size = 1;
                inputs.push(place.clone());
            } else {
                inputs.push(Array::from(0));
            }
        }
        y = bind1(DynamicSlice { sizes }, &inputs, at);
    }
    let rows = picks.iter().enumerate().find_map(|(axis, pick)| match pick {
        Pick::Rows(rows) => Some((axis, rows)),
        _ => None,
    });
    if let Some((axis, rows)) = rows {
        // Without the axes that one place is taken of.
        let stays = |pick: &Pick| !matches!(pick, Pick::One(_) | Pick::Dynamic(_));
        let shape = y.shape().iter().zip(picks).filter(|(_, pick)| stays(pick));
        let shape: Shape = shape.map(|(&size, _)| size).collect();
        let axis = picks[..axis].iter().filter(|pick| stays(pick)).count();
        y = gather(&reshaped(&y, shape, at), axis, rows, at);
    }
    let mut sizes = Vec::new();
    for axis in 0..=picks.len() {
        sizes.extend(new_axes.iter().filter(|&&place| place == axis).map(|_| 1));
        sizes.extend(picks.get(axis).into_iter().flat_map(Pick::sizes));
    }
    reshaped(&y, sizes.into(), at)
}

impl Array {
    /// The part of the array that an index names, one part for each axis from the first; axes
    /// without a part stay whole.
    ///
    /// - A whole number takes one place, without its axis; negative ones count from the end.
    /// - A range takes places, likewise; [`Step`] takes every nth, or goes backwards. (Clippy takes
    ///   a literal `1..-1` for a slip; give its end a name.)
    /// - An array of integers takes places that are data: without axes one place, with axes as
    ///   many as it has elements, its axes standing in place of the indexed one. Negative numbers
    ///   count from the end; what is then out of range takes the nearest place.
    /// - [`NewAxis`] makes an axis of size 1.
    ///
    /// # Errors
    /// The result carries a mistake if a number or range is out of range, or there are more parts
    /// than axes.
    /// # Examples
    /// ```
    /// use rondeau::{Array, trace::NewAxis};
    ///
    /// let x = Array::arange(6).reshape([2, 3]);
    /// assert_eq!(x.at(1).to_vec::<i32>()?, [3, 4, 5]);
    /// assert_eq!(x.at((.., -1)).to_vec::<i32>()?, [2, 5]);
    /// assert_eq!(x.at((0, 1..)).to_vec::<i32>()?, [1, 2]);
    /// assert_eq!(x.at((.., Array::from([0, 0, 2]))).shape(), [2, 3]);
    /// assert_eq!(x.at((.., NewAxis)).shape(), [2, 1, 3]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn at(&self, index: impl Indexer) -> Array {
        let at = Location::caller();
        or_mistake(picks(self, index).map(|picks| read(self, &picks, at)), at)
    }

    /// The places along an axis that an array of integers names; its axes stand in place of the
    /// axis. Negative numbers count from the end; what is out of range takes the nearest place.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::arange(6).reshape([2, 3]);
    /// let y = x.take(Array::from([2, -3]), 1);
    /// assert_eq!(y.to_vec::<i32>()?, [2, 0, 5, 3]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn take(&self, indices: impl Operand, axis: isize) -> Array {
        let at = Location::caller();
        let taken = resolve_axis("take", axis, self).and_then(|axis| {
            let indices = indices.argument().into_array();
            Ok(gather(self, axis, &wrapped(&indices, self.shape()[axis])?, at))
        });
        or_mistake(taken, at)
    }

    /// For each index, the element along an axis that `indices` names there. Other axes broadcast
    /// together.
    ///
    /// # Shapes
    /// `[.., n, ..]`, indices `[.., k, ..]` → `[.., k, ..]`.
    /// # Source
    /// `jax.numpy.take_along_axis`, with indices out of range taking the nearest place.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let scores = Array::from([[1.0_f32, 2.0], [3.0, 4.0]]);
    /// let picked = scores.take_along_axis(Array::from([[1], [0]]), 1);
    /// assert_eq!(picked.to_vec::<f32>()?, [2.0, 3.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn take_along_axis(&self, indices: impl Operand, axis: isize) -> Array {
        let at = Location::caller();
        or_mistake(take_along(self, indices, axis, at), at)
    }

    /// The range of `sizes` whose first index is data: i32 or u32, one for each axis.
    ///
    /// Negative numbers count from the end; a start is then moved so that its range fits.
    ///
    /// # Source
    /// `jax.lax.dynamic_slice`.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::arange(6);
    /// let y = x.dynamic_slice(&[Array::from(5)], &[2]);
    /// assert_eq!(y.to_vec::<i32>()?, [4, 5]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn dynamic_slice<A: Borrow<Array>>(&self, starts: &[A], sizes: &[usize]) -> Array {
        let at = Location::caller();
        let slice = dynamic_starts("dynamic_slice", self, starts).map(|starts| {
            let inputs = [vec![self.clone()], starts].concat();
            bind1(DynamicSlice { sizes: sizes.to_vec() }, &inputs, at)
        });
        or_mistake(slice, at)
    }

    /// The array with a range overwritten by `update`, whose first index is data, as in
    /// [`dynamic_slice`](Array::dynamic_slice).
    ///
    /// # Source
    /// `jax.lax.dynamic_update_slice`.
    #[track_caller]
    pub fn dynamic_update<A: Borrow<Array>>(&self, update: impl Operand, starts: &[A]) -> Array {
        let at = Location::caller();
        let updated = unify("dynamic_update", self, update).and_then(|(x, update)| {
            let starts = dynamic_starts("dynamic_update", &x, starts)?;
            Ok(bind1(DynamicUpdate, &[vec![x, update], starts].concat(), at))
        });
        or_mistake(updated, at)
    }
}

/// Starts for each axis, negative ones counted from the end.
fn dynamic_starts<A: Borrow<Array>>(op: &str, x: &Array, starts: &[A]) -> Result<Vec<Array>> {
    let aval = x.aval()?;
    if starts.len() != aval.rank() {
        return Err(Error::per_axis(op, "starts", starts.len(), &aval.to_string()));
    }
    starts.iter().zip(aval.shape.iter()).map(|(start, &n)| wrapped(start.borrow(), n)).collect()
}

fn take_along(x: &Array, indices: impl Operand, axis: isize, at: At) -> Result<Array> {
    let axis = resolve_axis("take_along_axis", axis, x)?;
    let indices = indices.argument().into_array();
    let (aval, index_aval) = (x.aval()?, indices.aval()?);
    let mismatch =
        || Error::broadcast("take_along_axis", &aval.to_string(), &index_aval.to_string());
    if index_aval.rank() != aval.rank() {
        return Err(mismatch());
    }
    let rest = aval.shape.with(axis, 1);
    let rest = rest.broadcast(&index_aval.shape.with(axis, 1)).ok_or_else(mismatch)?;
    let last = aval.rank() - 1;
    let lines = |x: &Array, size: usize| {
        permute(&x.broadcast_to(rest.with(axis, size)), moved(last + 1, axis, last), at)
    };
    let indices = wrapped(&indices, aval.shape[axis])?;
    let inputs = [lines(x, aval.shape[axis]), lines(&indices, index_aval.shape[axis])];
    let taken = bind1(Gather { n_batch: last, bounds: Bounds::Clip }, &inputs, at);
    Ok(permute(&taken, moved(last + 1, last, axis), at))
}
