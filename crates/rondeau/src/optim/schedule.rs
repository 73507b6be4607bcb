//! Learning rates that change from step to step.
//!
//! A schedule is a number, or a closure from the count of updates so far (i32, 0 before the first)
//! to a number. It is computed in f64 whatever the parameters are, and inside of compiled code.

use std::fmt;
use std::sync::Arc;

use crate::{Array, DType, where_};

/// A number for each count of steps.
///
/// # Examples
/// ```
/// use rondeau::{Array, DType, optim, optim::Schedule};
///
/// // 1/√n, as a schedule of one's own.
/// let rate = |count: &Array| 0.1 / (count.to(DType::F64) + 1.0).sqrt();
/// assert_eq!(rate.at(&Array::from(3)).item::<f64>()?, 0.05);
/// let _ = optim::sgd(rate);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub trait Schedule: Send + Sync {
    /// The number, f64, after `count: i32[]` steps.
    fn at(&self, count: &Array) -> Array;
}

impl Schedule for f64 {
    fn at(&self, _: &Array) -> Array {
        Array::from(*self)
    }
}

impl<F: Fn(&Array) -> Array + Send + Sync> Schedule for F {
    fn at(&self, count: &Array) -> Array {
        self(count)
    }
}

/// A schedule of any kind.
#[derive(Clone)]
pub struct Rate(Arc<dyn Schedule>);

impl Rate {
    /// A schedule that forgets its type.
    pub fn new(schedule: impl Schedule + 'static) -> Rate {
        Rate(Arc::new(schedule))
    }
}

impl Schedule for Rate {
    fn at(&self, count: &Array) -> Array {
        self.0.at(count)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rate(..)")
    }
}

fn f64_of(count: &Array) -> Array {
    count.to(DType::F64)
}

/// How far `count` is on the way from `begin` to `begin + steps`: 0 before, 1 after.
fn part(count: &Array, begin: usize, steps: usize) -> Array {
    ((f64_of(count) - begin as f64) / steps.max(1) as f64).clip(0.0, 1.0)
}

/// The same number at each step.
pub fn constant(value: f64) -> Rate {
    Rate::new(value)
}

/// From `first` to `last` in a straight line, over `steps` steps after `begin`.
///
/// # Source
/// `optax.linear_schedule(first, last, steps, transition_begin=begin)`.
pub fn linear(first: f64, last: f64, steps: usize, begin: usize) -> Rate {
    polynomial(first, last, 1.0, steps, begin)
}

/// From `first` to `last` over `steps` steps after `begin`, as `last + (first - last)·(1 - t)ⁿ`.
///
/// # Source
/// `optax.polynomial_schedule`.
pub fn polynomial(first: f64, last: f64, power: f64, steps: usize, begin: usize) -> Rate {
    Rate::new(move |count: &Array| {
        let rest = 1.0 - part(count, begin, steps);
        last + (first - last) * rest.pow(power)
    })
}

/// Half a period of a cosine from `first` down to `last_part·first`, over `steps` steps.
///
/// # Source
/// Loshchilov and Hutter 2017 (arXiv:1608.03983); `optax.cosine_decay_schedule`.
/// # Examples
/// ```
/// use rondeau::{Array, optim::{Schedule, schedule}};
///
/// let rate = schedule::cosine(0.1, 10, 0.0);
/// let at = |count: i32| rate.at(&Array::from(count)).item::<f64>();
/// assert_eq!((at(0)?, at(10)?, at(99)?), (0.1, 0.0, 0.0));
/// assert!((at(5)? - 0.05).abs() < 1e-15);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn cosine(first: f64, steps: usize, last_part: f64) -> Rate {
    Rate::new(move |count: &Array| {
        let wave = 0.5 * (1.0 + (part(count, 0, steps) * std::f64::consts::PI).cos());
        first * ((1.0 - last_part) * wave + last_part)
    })
}

/// Up in a straight line from `first` to `peak` over `warmup` steps, then down as a cosine to
/// `last`, which is reached after `steps` steps in all.
///
/// # Source
/// `optax.warmup_cosine_decay_schedule`.
pub fn warmup_cosine(first: f64, peak: f64, warmup: usize, steps: usize, last: f64) -> Rate {
    let down = cosine(peak, steps.saturating_sub(warmup), last / peak);
    join(linear(first, peak, warmup, 0), warmup, down)
}

/// `first·factor^(count / steps)`.
///
/// # Source
/// `optax.exponential_decay`.
pub fn exponential(first: f64, steps: usize, factor: f64) -> Rate {
    Rate::new(move |count: &Array| {
        first * Array::from(factor).pow(f64_of(count) / steps.max(1) as f64)
    })
}

/// `first` until `begin` steps are over, then multiplied by `factor` after each `steps` more.
///
/// # Source
/// `optax.exponential_decay(staircase=True)`.
pub fn staircase(first: f64, steps: usize, factor: f64, begin: usize) -> Rate {
    Rate::new(move |count: &Array| {
        let stairs = ((f64_of(count) - begin as f64) / steps.max(1) as f64).floor();
        first * Array::from(factor).pow(stairs.maximum(0.0))
    })
}

/// `first`, multiplied by each factor once its number of steps is over.
///
/// # Source
/// `optax.piecewise_constant_schedule`.
pub fn piecewise(first: f64, factors: &[(usize, f64)]) -> Rate {
    let factors = factors.to_vec();
    Rate::new(move |count: &Array| {
        let count = f64_of(count);
        factors.iter().fold(Array::from(first), |rate, &(steps, factor)| {
            rate * where_(count.ge(steps as f64), Array::from(factor), 1.0)
        })
    })
}

/// One schedule for `steps` steps, then the other from its beginning.
///
/// # Source
/// `optax.join_schedules`.
pub fn join(first: impl Schedule + 'static, steps: usize, then: impl Schedule + 'static) -> Rate {
    Rate::new(move |count: &Array| {
        let steps = i32::try_from(steps).unwrap_or(i32::MAX);
        where_(count.lt(steps), first.at(count), then.at(&(count - steps)))
    })
}

/// One cycle: up from `peak / 25` to `peak` over the first 30% of the steps, down to the beginning
/// until 85%, and from there to a part of `1 / 10⁴` of that at the end; in straight lines.
///
/// # Source
/// Smith and Topin 2017 (arXiv:1708.07120); `optax.linear_onecycle_schedule` with its defaults.
pub fn one_cycle(steps: usize, peak: f64) -> Rate {
    let (rise, fall) = ((0.3 * steps as f64) as usize, (0.85 * steps as f64) as usize);
    let first = peak / 25.0;
    let down = linear(peak, first, fall - rise, 0);
    let out = linear(first, first / 1e4, steps - fall, 0);
    join(linear(first, peak, rise, 0), rise, join(down, fall - rise, out))
}
