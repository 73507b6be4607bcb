//! Draws from distributions, each a function of a key.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::panic::Location;

use super::keys::{block, split2};
use crate::{Array, DType, Error, Shape, sort_by_keys};

/// The number just above -1, where the normal distribution's uniform numbers begin.
const ABOVE_MINUS_ONE: f32 = -1.0 + f32::EPSILON / 2.0;

/// Random u32 words.
///
/// # Source
/// `jax.random.bits`.
#[track_caller]
pub fn bits(key: &Array, shape: impl Into<Shape>) -> Array {
    let [a, b] = block(key, &shape.into());
    a ^ b
}

/// Two random u32 words for each element: the high and the low half of 64 random bits.
///
/// # Source
/// `jax.random.bits` of type uint64.
#[track_caller]
pub fn bits_pair(key: &Array, shape: impl Into<Shape>) -> [Array; 2] {
    block(key, &shape.into())
}

/// Uniform f32 numbers in `[0, 1)`.
///
/// # Source
/// `jax.random.uniform`.
#[track_caller]
pub fn uniform(key: &Array, shape: impl Into<Shape>) -> Array {
    // 23 random bits as the mantissa of a number in [1, 2).
    let one = 1.0_f32.to_bits();
    let mantissa = bits(key, shape) >> 9;
    (mantissa | Array::from(one)).bitcast(DType::F32) - 1.0
}

/// Uniform f32 numbers in `[low, high)`.
///
/// # Source
/// `jax.random.uniform(minval=, maxval=)`.
#[track_caller]
pub fn uniform_between(key: &Array, shape: impl Into<Shape>, low: f32, high: f32) -> Array {
    let unit = uniform(key, shape).to(DType::F64);
    // Scaled and shifted with one rounding, as a fused multiply-add does it.
    let scaled = unit * f64::from(high - low) + f64::from(low);
    scaled.to(DType::F32).maximum(f64::from(low))
}

/// Uniform f64 numbers in `[0, 1)`.
///
/// # Source
/// `jax.random.uniform` with 64-bit types enabled.
#[track_caller]
pub fn uniform_f64(key: &Array, shape: impl Into<Shape>) -> Array {
    // 52 random bits: 32 of the first word and 20 of the second.
    let [a, b] = block(key, &shape.into());
    let bits = a.to(DType::F64) * f64::from(1 << 20) + (b >> 12).to(DType::F64);
    bits * (-52.0_f64).exp2()
}

/// Uniform f64 numbers in `[low, high)`.
///
/// # Source
/// `jax.random.uniform(minval=, maxval=)` with 64-bit types enabled.
#[track_caller]
pub fn uniform_between_f64(key: &Array, shape: impl Into<Shape>, low: f64, high: f64) -> Array {
    (uniform_f64(key, shape) * (high - low) + low).maximum(low)
}

/// Normal f32 numbers with mean 0 and variance 1.
///
/// # Source
/// `jax.random.normal`: `√2·erf⁻¹(u)` for uniform `u` in `(-1, 1)`.
/// # Examples
/// ```
/// use rondeau::random;
///
/// let x = random::normal(&random::key(0), [10_000]);
/// assert!(x.mean().item::<f32>()?.abs() < 0.05);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn normal(key: &Array, shape: impl Into<Shape>) -> Array {
    uniform_between(key, shape, ABOVE_MINUS_ONE, 1.0).erf_inv() * SQRT_2
}

/// Normal f64 numbers with mean 0 and variance 1.
///
/// # Source
/// `jax.random.normal` with 64-bit types enabled.
#[track_caller]
pub fn normal_f64(key: &Array, shape: impl Into<Shape>) -> Array {
    let low = -1.0 + f64::EPSILON / 2.0;
    uniform_between_f64(key, shape, low, 1.0).erf_inv() * SQRT_2
}

/// Normal f32 numbers under the condition that they lie between `low` and `high`.
///
/// # Source
/// `jax.random.truncated_normal`.
#[track_caller]
pub fn truncated_normal(key: &Array, low: f32, high: f32, shape: impl Into<Shape>) -> Array {
    // As XLA divides by a constant: by multiplication with the inverse.
    let edge = |x: f32| (Array::from(x) * FRAC_1_SQRT_2).erf().item::<f32>().unwrap_or(f32::NAN);
    let u = uniform_between(key, shape, edge(low), edge(high));
    let draw = u.erf_inv() * SQRT_2;
    draw.clip(f64::from(low.next_up()), f64::from(high.next_down()))
}

/// Normal f64 numbers under the condition that they lie between `low` and `high`.
///
/// # Source
/// `jax.random.truncated_normal` with 64-bit types enabled.
#[track_caller]
pub fn truncated_normal_f64(key: &Array, low: f64, high: f64, shape: impl Into<Shape>) -> Array {
    let edge = |x: f64| (Array::from(x) * FRAC_1_SQRT_2).erf().item::<f64>().unwrap_or(f64::NAN);
    let u = uniform_between_f64(key, shape, edge(low), edge(high));
    (u.erf_inv() * SQRT_2).clip(low.next_up(), high.next_down())
}

/// Truth values that are true with probability `p`.
///
/// # Source
/// `jax.random.bernoulli`.
#[track_caller]
pub fn bernoulli(key: &Array, p: f32, shape: impl Into<Shape>) -> Array {
    uniform(key, shape).lt(f64::from(p))
}

/// 1 or -1 with equal probability, as i32.
///
/// # Source
/// `jax.random.rademacher`.
#[track_caller]
pub fn rademacher(key: &Array, shape: impl Into<Shape>) -> Array {
    bernoulli(key, 0.5, shape).to(DType::I32) * 2 - 1
}

/// Numbers of the exponential distribution with rate 1.
///
/// # Source
/// `jax.random.exponential`.
#[track_caller]
pub fn exponential(key: &Array, shape: impl Into<Shape>) -> Array {
    -(-uniform(key, shape)).log1p()
}

/// Numbers of the standard Gumbel distribution.
///
/// # Source
/// `jax.random.gumbel`.
#[track_caller]
pub fn gumbel(key: &Array, shape: impl Into<Shape>) -> Array {
    -(-uniform_between(key, shape, f32::MIN_POSITIVE, 1.0).log()).log()
}

/// f64 numbers of the standard Gumbel distribution.
///
/// # Source
/// `jax.random.gumbel` with 64-bit types enabled.
#[track_caller]
pub fn gumbel_f64(key: &Array, shape: impl Into<Shape>) -> Array {
    -(-uniform_between_f64(key, shape, f64::MIN_POSITIVE, 1.0).log()).log()
}

/// Gumbel numbers of the element type of the logits, added to them.
#[track_caller]
fn perturbed(key: &Array, logits: &Array, shape: Shape) -> Array {
    match logits.dtype() {
        DType::F64 => gumbel_f64(key, shape) + logits,
        _ => gumbel(key, shape) + logits,
    }
}

/// Numbers of the Laplace distribution with mean 0 and scale 1.
///
/// # Source
/// `jax.random.laplace`.
#[track_caller]
pub fn laplace(key: &Array, shape: impl Into<Shape>) -> Array {
    let u = uniform_between(key, shape, ABOVE_MINUS_ONE, 1.0);
    u.sign() * (-u.abs()).log1p()
}

/// Numbers of the logistic distribution with mean 0 and scale 1.
///
/// # Source
/// `jax.random.logistic`.
#[track_caller]
pub fn logistic(key: &Array, shape: impl Into<Shape>) -> Array {
    let u = uniform_between(key, shape, f32::MIN_POSITIVE, 1.0);
    (&u / (1.0 - &u)).log()
}

/// Indices drawn with probabilities `softmax(logits)` along the last axis, as i32.
///
/// # Shapes
/// `logits: [.., classes]` → `[..]`.
/// # Source
/// `jax.random.categorical`.
#[track_caller]
pub fn categorical(key: &Array, logits: &Array) -> Array {
    if logits.error().is_none() && logits.rank() == 0 {
        let error = Error::rank("categorical", "an axis of classes", &logits.describe());
        return Array::mistake(error.at(Location::caller()));
    }
    let shape = Shape::from(logits.shape());
    perturbed(key, logits, shape).argmax(-1)
}

/// As [`categorical`] with the classes along another axis, and many draws: the result has `shape`,
/// which ends with the other axes of `logits`.
///
/// # Source
/// `jax.random.categorical(axis=, shape=)`.
#[track_caller]
pub fn categorical_with(
    key: &Array,
    logits: &Array,
    axis: isize,
    shape: impl Into<Shape>,
) -> Array {
    let at = Location::caller();
    let shape = shape.into();
    let rank = logits.rank();
    let resolved = if axis < 0 { axis + rank as isize } else { axis };
    if !(0..rank as isize).contains(&resolved) {
        let error = Error::axis("categorical", axis, &logits.describe());
        return Array::mistake(error.at(at));
    }
    if shape.rank() + 1 < rank {
        let headline = format!("`categorical`: the shape {shape} is smaller than one draw");
        let help = format!("logits are {}; give their other axes at least", logits.describe());
        return Array::mistake(Error::shape(headline, help).at(at));
    }
    // The axis of classes, counted in the shape of the draws.
    let axis = shape.rank() + 1 - rank + resolved as usize;
    let mut full = shape.to_vec();
    full.insert(axis, logits.shape()[resolved as usize]);
    perturbed(key, logits, full.into()).argmax(axis as isize)
}

/// Uniform i32 integers in `low..high`; `low` where the range is empty.
///
/// # Source
/// `jax.random.randint`.
#[track_caller]
pub fn randint(key: &Array, shape: impl Into<Shape>, low: i32, high: i32) -> Array {
    let shape = shape.into();
    let [high_key, low_key] = split2(key);
    let span = if high <= low { 1 } else { high.wrapping_sub(low) as u32 };
    // 64 random bits modulo the span, from two words: 2³² mod span by squaring 2¹⁶ mod span.
    let half = (1 << 16) % span;
    let multiplier = half.wrapping_mul(half) % span;
    let span = Array::from(span);
    let upper = (bits(&high_key, shape.clone()) % &span) * Array::from(multiplier);
    let offset = (upper + bits(&low_key, shape) % &span) % &span;
    offset.bitcast(DType::I32) + low
}

/// `0..n` in random order.
///
/// # Source
/// `jax.random.permutation`.
#[track_caller]
pub fn permutation(key: &Array, n: usize) -> Array {
    permute(key, &Array::arange(n), 0)
}

/// The slices of an array along an axis, in random order.
///
/// # Source
/// `jax.random.permutation`.
#[track_caller]
pub fn permute(key: &Array, x: &Array, axis: isize) -> Array {
    let resolved = if axis < 0 { axis + x.rank() as isize } else { axis };
    let Some(&n) = usize::try_from(resolved).ok().and_then(|axis| x.shape().get(axis)) else {
        let error = x.error().cloned();
        let error = error.unwrap_or_else(|| Error::axis("permute", axis, &x.describe()));
        return Array::mistake(error.at(Location::caller()));
    };
    let order = shuffled(key, Array::arange(n), 0);
    if x.rank() == 1 && x.dtype() == DType::I32 { x.at(&order) } else { x.take(&order, axis) }
}

/// The elements of an array moved along an axis, every line along it in a random order of its own.
///
/// # Source
/// `jax.random.permutation(independent=True)`.
#[track_caller]
pub fn permute_independent(key: &Array, x: &Array, axis: isize) -> Array {
    shuffled(key, x.clone(), axis)
}

/// Sorted along an axis by fresh words, in enough rounds that ties do not matter.
#[track_caller]
fn shuffled(key: &Array, mut x: Array, axis: isize) -> Array {
    let rounds = (3.0 * (x.size().max(1) as f64).ln() / f64::from(u32::MAX).ln()).ceil() as usize;
    let mut key = key.clone();
    for _ in 0..rounds {
        let [next, now] = split2(&key);
        key = next;
        [_, x] = sort_by_keys(&bits(&now, x.shape()), &x, axis);
    }
    x
}

/// Draws from `0..n` with equal probabilities, with replacement.
///
/// # Source
/// `jax.random.choice`.
#[track_caller]
pub fn choice(key: &Array, n: usize, shape: impl Into<Shape>) -> Array {
    randint(key, shape, 0, n as i32)
}

/// `count` different draws from `0..n`.
///
/// # Errors
/// The result carries an [`Error`] if `count` is more than `n`.
/// # Source
/// `jax.random.choice(replace=False)`.
#[track_caller]
pub fn choice_without(key: &Array, n: usize, count: usize) -> Array {
    permutation(key, n).at(0..count)
}

/// Draws from `0..p.len()` with probabilities `p`, with replacement.
///
/// # Source
/// `jax.random.choice(p=)`.
#[track_caller]
pub fn choice_weighted(key: &Array, p: &Array, shape: impl Into<Shape>) -> Array {
    if p.error().is_none() && p.rank() != 1 {
        let error = Error::rank("choice_weighted", "a vector of probabilities", &p.describe());
        return Array::mistake(error.at(Location::caller()));
    }
    let edges = p.cumsum(0);
    let draw = (1.0 - uniform(key, shape)) * edges.at(-1);
    // The first interval whose upper edge is not below the draw.
    edges.lt(draw.expand_dims(-1)).to(DType::I32).sum_axis(-1)
}
