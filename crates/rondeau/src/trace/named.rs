//! Functions of several arrays at once that are no one's method.

use std::panic::Location;

use super::operators::broadcast_together;
use super::{Array, bind};
use crate::error::{Error, Result};
use crate::prim::{Sort, Threefry};

/// Runs what returns `N` arrays; a mistake is in all of them.
fn several<const N: usize>(
    at: &'static Location<'static>,
    run: impl FnOnce() -> Result<Vec<Array>>,
) -> [Array; N] {
    let made = run().map_err(|error| error.at(at));
    let made =
        made.map(|arrays| arrays.try_into().unwrap_or_else(|_| panic!("internal: {N} arrays")));
    made.unwrap_or_else(|error| std::array::from_fn(|_| Array::mistake(error.clone())))
}

/// The block cipher of the random numbers: encrypts the words `x` with the key `k`, elementwise.
///
/// # Shapes
/// All inputs are u32 and broadcast together.
/// # Source
/// Salmon et al. 2011, Threefry-2x32 with 20 rounds.
#[track_caller]
pub fn threefry2x32(k: [&Array; 2], x: [&Array; 2]) -> [Array; 2] {
    let at = Location::caller();
    several(at, || {
        let inputs = broadcast_together("threefry2x32", &[k[0], k[1], x[0], x[1]], at)?;
        bind(Threefry, &inputs, at)
    })
}

/// Both arrays sorted along an axis by the keys, ascending; equal keys keep their order.
///
/// # Errors
/// The results carry an [`Error`] if the shapes differ or there is no such axis.
#[track_caller]
pub fn sort_by_keys(keys: &Array, values: &Array, axis: isize) -> [Array; 2] {
    let at = Location::caller();
    several(at, || {
        let rank = keys.aval()?.rank() as isize;
        let resolved = if axis < 0 { axis + rank } else { axis };
        if !(0..rank).contains(&resolved) {
            return Err(Error::axis("sort_by_keys", axis, &keys.describe()));
        }
        let prim = Sort { axis: resolved as usize, n_keys: 1 };
        bind(prim, &[keys.clone(), values.clone()], at)
    })
}
