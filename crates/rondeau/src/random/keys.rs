//! Keys, and keys from keys.

use crate::{Array, DType, Error, Result, Shape, stack, threefry2x32};

/// The two words of a key.
pub(super) fn words(key: &Array) -> Result<[Array; 2]> {
    let aval = key.aval()?;
    if aval.dtype != DType::U32 || *aval.shape != [2] {
        return Err(Error::key(&aval.to_string()));
    }
    Ok([key.at(0), key.at(1)])
}

/// Two random words for each element of a shape, from the element's number.
#[track_caller]
pub(super) fn block(key: &Array, shape: &Shape) -> [Array; 2] {
    let words = match words(key) {
        Ok(words) => words,
        Err(error) => {
            let error = error.at(std::panic::Location::caller());
            return [Array::mistake(error.clone()), Array::mistake(error)];
        }
    };
    if !shape.is_reasonable(8) {
        let error = Error::too_large(&shape.to_string()).at(std::panic::Location::caller());
        return [Array::mistake(error.clone()), Array::mistake(error)];
    }
    // A number has two words; arrays are too small for the high one to be used.
    let low = Array::new(shape.clone(), (0..shape.count() as u32).collect::<Vec<u32>>());
    let high = Array::full(shape.clone(), 0_u32);
    threefry2x32([&words[0], &words[1]], [&high, &low])
}

/// A key from a seed. As in JAX's default mode, the seed is cut to its low 32 bits.
///
/// # Source
/// `jax.random.PRNGKey`.
/// # Examples
/// ```
/// assert_eq!(rondeau::random::key(42).to_vec::<u32>()?, [0, 42]);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn key(seed: i64) -> Array {
    key_from_words(0, seed as u32)
}

/// A key from 64 bits; for seeds that differ in the high word (JAX with 64-bit types enabled).
pub fn key_from_words(high: u32, low: u32) -> Array {
    Array::from([high, low])
}

/// New keys, one for each element of a shape: `split(&key, 6)` is `[6, 2]`; take them with
/// `keys.at(i)`.
///
/// # Source
/// `jax.random.split`.
#[track_caller]
pub fn split(key: &Array, shape: impl Into<Shape>) -> Array {
    let [a, b] = block(key, &shape.into());
    stack(&[a, b], -1)
}

/// Two new keys.
#[track_caller]
pub fn split2(key: &Array) -> [Array; 2] {
    let keys = split(key, 2);
    [keys.at(0), keys.at(1)]
}

/// A new key from a key and a number, such as the number of a step.
///
/// # Source
/// `jax.random.fold_in`.
#[track_caller]
pub fn fold_in(key: &Array, data: impl Into<Array>) -> Array {
    let data = data.into();
    match words(key) {
        Ok(_) if data.aval().is_ok_and(|aval| !aval.dtype.is_integer()) => {
            let error = Error::dtype("fold_in", "a number of type i32 or u32", &data.describe());
            Array::mistake(error.at(std::panic::Location::caller()))
        }
        Ok([k0, k1]) => {
            let data = data.bitcast(DType::U32);
            let [a, b] = threefry2x32([&k0, &k1], [&Array::from(0_u32), &data]);
            stack(&[a, b], -1)
        }
        Err(error) => Array::mistake(error.at(std::panic::Location::caller())),
    }
}
