//! Functional updates: the array with a part overwritten or added to.

use super::*;
use crate::prim::{Scatter, Write};
use crate::trace::operators::Argument;

impl Array {
    /// The array with the part that an index names overwritten by `value`, which broadcasts to it.
    ///
    /// Indices are those of [`at`](Array::at) without new axes. Places that are data and out of
    /// range are not written.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([1, 2, 3]);
    /// assert_eq!(x.set(0, 9).to_vec::<i32>()?, [9, 2, 3]);
    /// assert_eq!(x.set(1.., Array::from([7, 8])).to_vec::<i32>()?, [1, 7, 8]);
    /// assert_eq!(x.set(Array::from([-1, 5]), 0).to_vec::<i32>()?, [1, 2, 0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn set(&self, index: impl Indexer, value: impl Operand) -> Array {
        let at = Location::caller();
        or_mistake(update("set", self, index, value.argument(), Write::Set, at), at)
    }

    /// The array with `value`, which broadcasts to the part that an index names, added there.
    ///
    /// As [`set`](Array::set); places that are named twice are added to twice.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let counts = Array::from([0, 0, 0]).add_at(Array::from([2, 0, 2]), 1);
    /// assert_eq!(counts.to_vec::<i32>()?, [1, 0, 2]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn add_at(&self, index: impl Indexer, value: impl Operand) -> Array {
        let at = Location::caller();
        or_mistake(update("add_at", self, index, value.argument(), Write::Add, at), at)
    }
}

fn update(
    op: &str,
    x: &Array,
    index: impl Indexer,
    value: Argument,
    write: Write,
    at: At,
) -> Result<Array> {
    let picks = picks(x, index)?;
    if !picks.new_axes.is_empty() {
        return Err(Error::new_axis_write(op, &x.describe()));
    }
    let (x, value) = unify(op, x, value)?;
    let part = Shape::from(picks.shape());
    if value.aval()?.shape.broadcast(&part).as_ref() != Some(&part) {
        return Err(Error::update(op, &part.to_string(), &value.describe()));
    }
    put(&x, &picks.picks, &value.broadcast_to(part), write, at)
}

/// Writes a value of the shape of the picked part.
fn put(x: &Array, picks: &[Pick], value: &Array, write: Write, at: At) -> Result<Array> {
    let whole = |axis: usize| picks[axis].is_whole(x.shape()[axis]);
    let Some((axis, rows)) = one_by_one(picks)? else {
        return put_range(x, picks, value, write, at);
    };
    if (0..picks.len()).all(|other| other == axis || whole(other)) {
        return Ok(scatter(x, axis, &rows, value, write, at));
    }
    // The part that the other picks name is read, written to, and put back.
    let mut outer = picks.to_vec();
    outer[axis] = Pick::whole(x.shape()[axis]);
    let part = read(x, &Picks { picks: outer.clone(), new_axes: vec![] }, at);
    let place = outer[..axis].iter().map(|pick| pick.sizes().len()).sum();
    let changed = scatter(&part, place, &rows, value, write, at);
    put(x, &outer, &changed, Write::Set, at)
}

/// An axis whose places are written one by one, and these: rows of data, else a lone place of data,
/// else a range in steps.
fn one_by_one(picks: &[Pick]) -> Result<Option<(usize, Array)>> {
    let rows = picks.iter().enumerate().find_map(|(axis, pick)| match pick {
        Pick::Rows(rows) => Some((axis, rows.clone())),
        _ => None,
    });
    let stepped = picks.iter().enumerate().find_map(|(axis, pick)| match *pick {
        Pick::Many { start, size, step, reverse } if step != 1 || reverse => {
            let place = |i: usize| start + step * if reverse { size - 1 - i } else { i };
            let places: Vec<i32> = (0..size).map(|i| place(i) as i32).collect();
            Some((axis, Array::from(places)))
        }
        _ => None,
    });
    if let Some(found) = rows.or(stepped) {
        return Ok(Some(found));
    }
    let mut dynamic = picks.iter().enumerate().filter_map(|(axis, pick)| match pick {
        Pick::Dynamic(place) => Some((axis, place.clone())),
        _ => None,
    });
    let first = dynamic.next();
    // Several places of data are one range whose start is data.
    let others_are_ranges = picks.iter().all(|pick| !matches!(pick, Pick::One(_)));
    Ok(first.filter(|_| others_are_ranges && dynamic.next().is_none()))
}

/// Writes at places along one axis; those out of range are dropped.
fn scatter(x: &Array, axis: usize, rows: &Array, value: &Array, write: Write, at: At) -> Array {
    let first = permute(x, moved(x.rank(), axis, 0), at);
    // [before.., rows.., after..] -> [rows.., before.., after..]
    let order = (axis..axis + rows.rank()).chain(0..axis).chain(axis + rows.rank()..value.rank());
    let value = permute(value, order.collect(), at);
    let prim = Scatter { n_batch: 0, write, bounds: Bounds::Drop };
    let written = bind1(prim, &[first, rows.clone(), value], at);
    permute(&written, moved(x.rank(), 0, axis), at)
}

/// Writes a range without steps; it is dropped if a place of data is out of range.
fn put_range(x: &Array, picks: &[Pick], value: &Array, write: Write, at: At) -> Result<Array> {
    let (mut starts, mut sizes) = (Vec::new(), Vec::new());
    let mut inside: Option<Array> = None;
    for (pick, &n) in picks.iter().zip(x.shape()) {
        let (start, size) = match pick {
            Pick::One(place) => (Array::from(*place as i32), 1),
            Pick::Many { start, size, .. } => (Array::from(*start as i32), *size),
            Pick::Dynamic(place) => {
                let fits = place.ge(0) & place.lt(n as i32);
                inside = Some(match inside {
                    Some(inside) => inside & fits,
                    None => fits,
                });
                (place.clone(), 1)
            }
            Pick::Rows(_) => unreachable!("internal: rows are written one by one"),
        };
        starts.push(start);
        sizes.push(size);
    }
    let mut value = reshaped(value, sizes.as_slice().into(), at);
    if write == Write::Add || inside.is_some() {
        let inputs = [vec![x.clone()], starts.clone()].concat();
        let old = bind1(DynamicSlice { sizes }, &inputs, at);
        if write == Write::Add {
            value = super::super::operators::binary(
                crate::prim::Binary::Add,
                "add_at",
                &old,
                &value,
                at,
            );
        }
        if let Some(inside) = inside {
            value = where_(inside, &value, &old);
        }
    }
    if *x.shape() == *value.shape() && starts.is_empty() {
        return Ok(value);
    }
    Ok(bind1(DynamicUpdate, &[vec![x.clone(), value], starts].concat(), at))
}
