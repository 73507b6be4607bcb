//! Folds over axes, running folds, sorting.

use std::panic::Location;

use super::{Array, bind_to, bind1, float_operand, or_mistake, resolve_axis, where_};
use crate::buffer::{Buffer, DType, Scalar, Shape};
use crate::error::Result;
use crate::prim::{ArgReduce, Broadcast, Cumulative, Fold, Pad, Reduce, Sort};
use crate::trace::bind;
use crate::trace::shaping::count;

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident, $name_axis:ident, $along:literal: $f:ident($($fold:ident)?);)*) => {
        impl Array {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name(&self) -> Array {
                    let axes: Vec<usize> = (0..self.rank()).collect();
                    $f(self, &axes, stringify!($name) $(, Fold::$fold)?)
                }

                #[doc = $along]
                #[track_caller]
                pub fn $name_axis(&self, axis: isize) -> Array {
                    match resolve_axis(stringify!($name_axis), axis, self) {
                        Ok(axis) => $f(self, &[axis], stringify!($name_axis) $(, Fold::$fold)?),
                        Err(error) => Array::mistake(error.at(Location::caller())),
                    }
                }
            )*
        }
    };
}

reductions! {
    /// The sum of all numbers, 0 of none; how many hold, as i32, of truth values.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([[1.0_f32, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.sum().item::<f32>()?, 10.0);
    /// assert_eq!(x.sum_axis(-1).to_vec::<f32>()?, [3.0, 7.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    sum, sum_axis, "The [`sum`](Array::sum) along an axis, which the result does not have.": fold(Sum);
    /// The product of all numbers, 1 of none.
    prod, prod_axis, "The [`prod`](Array::prod) along an axis, which the result does not have.": fold(Prod);
    /// The greatest of all numbers, NaN if one is NaN; the least number of the type if there is
    /// none. Equal values share the gradient.
    max, max_axis, "The [`max`](Array::max) along an axis, which the result does not have.": fold(Max);
    /// The least of all numbers, NaN if one is NaN; the greatest number of the type if there is
    /// none. Equal values share the gradient.
    min, min_axis, "The [`min`](Array::min) along an axis, which the result does not have.": fold(Min);
    /// Whether one element is true, or not zero: bool.
    any, any_axis, "The [`any`](Array::any) along an axis, which the result does not have.": fold(Or);
    /// Whether all elements are true, or not zero: bool.
    all, all_axis, "The [`all`](Array::all) along an axis, which the result does not have.": fold(And);
    /// The mean of all floats, NaN of none.
    mean, mean_axis, "The [`mean`](Array::mean) along an axis, which the result does not have.": mean_over();
    /// The mean squared distance of all floats from their mean (`ddof=0`).
    var, var_axis, "The [`var`](Array::var) along an axis, which the result does not have.": var_over();
    /// The square root of the [`var`](Array::var) of all floats.
    std, std_axis, "The [`std`](Array::std) along an axis, which the result does not have.": std_over();
    /// `log(Σ eˣ)` over all floats, without overflow; -inf of none or of -inf alone.
    ///
    /// # Source
    /// `jax.nn.logsumexp`.
    logsumexp, logsumexp_axis, "The [`logsumexp`](Array::logsumexp) along an axis, which the result does not have.": logsumexp_over();
    /// The Euclidean length `√(Σ x²)` of all floats; the gradient at zero is NaN, as in JAX.
    norm, norm_axis, "The [`norm`](Array::norm) along an axis, which the result does not have.": norm_over();
}

#[track_caller]
fn fold(x: &Array, axes: &[usize], _op: &str, fold: Fold) -> Array {
    let x = match (fold, x.dtype()) {
        (Fold::Sum | Fold::Prod, DType::Bool) => x.to(DType::I32),
        (Fold::And | Fold::Or, _) => x.to(DType::Bool),
        _ => x.clone(),
    };
    if axes.is_empty() {
        return x;
    }
    bind1(Reduce { fold, axes: axes.to_vec() }, &[x], Location::caller())
}

#[track_caller]
fn mean_over(x: &Array, axes: &[usize], op: &str) -> Array {
    if let Err(error) = float_operand(x, op, Location::caller()) {
        return Array::mistake(error);
    }
    let count: usize = axes.iter().map(|&axis| x.shape()[axis]).product();
    fold(x, axes, op, Fold::Sum) / count as f64
}

#[track_caller]
fn var_over(x: &Array, axes: &[usize], op: &str) -> Array {
    let mean = mean_over(x, axes, op);
    let centered = x - restore(&mean, x, axes);
    mean_over(&centered.square(), axes, op)
}

#[track_caller]
fn std_over(x: &Array, axes: &[usize], op: &str) -> Array {
    var_over(x, axes, op).sqrt()
}

#[track_caller]
fn norm_over(x: &Array, axes: &[usize], op: &str) -> Array {
    match float_operand(x, op, Location::caller()) {
        Ok(x) => fold(&x.square(), axes, op, Fold::Sum).sqrt(),
        Err(error) => Array::mistake(error),
    }
}

#[track_caller]
fn logsumexp_over(x: &Array, axes: &[usize], op: &str) -> Array {
    if let Err(error) = float_operand(x, op, Location::caller()) {
        return Array::mistake(error);
    }
    let greatest = fold(x, axes, op, Fold::Max);
    // An infinite shift would turn infinities into NaN.
    let shift = where_(greatest.is_finite(), &greatest, 0.0).stop_gradient();
    let powers = (x - restore(&shift, x, axes)).exp();
    fold(&powers, axes, op, Fold::Sum).log() + shift
}

/// `x` less its greatest values along `axes`, which are constants to differentiation.
#[track_caller]
pub(super) fn shifted(x: &Array, axes: &[usize]) -> Array {
    let greatest = fold(x, axes, "max", Fold::Max).stop_gradient();
    x - restore(&greatest, x, axes)
}

/// A result of folding `axes` of `x`, repeated along them; a scalar stands for itself.
#[track_caller]
pub(super) fn restore(folded: &Array, x: &Array, axes: &[usize]) -> Array {
    if folded.rank() == 0 {
        return folded.clone();
    }
    let kept = (0..x.rank()).filter(|axis| !axes.contains(axis)).collect();
    let shape = Shape::from(x.shape());
    bind_to(Broadcast { shape, axes: kept }, folded, Location::caller())
}

macro_rules! cumulative {
    ($($(#[$doc:meta])* $name:ident, $name_reverse:ident, $reverse:literal: $f:expr;)*) => {
        impl Array {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name(&self, axis: isize) -> Array {
                    let at = Location::caller();
                    or_mistake($f(self, stringify!($name), axis, false, at), at)
                }

                #[doc = $reverse]
                #[track_caller]
                pub fn $name_reverse(&self, axis: isize) -> Array {
                    let at = Location::caller();
                    or_mistake($f(self, stringify!($name_reverse), axis, true, at), at)
                }
            )*
        }
    };
}

type At = &'static Location<'static>;

/// A running fold by a primitive.
fn running(fold: Fold) -> impl Fn(&Array, &str, isize, bool, At) -> Result<Array> {
    move |x, op, axis, reverse, at| {
        let axis = resolve_axis(op, axis, x)?;
        Ok(bind_to(Cumulative { fold, axis, reverse }, x, at))
    }
}

cumulative! {
    /// The running sums of numbers along an axis: `y[i] = x[0] + .. + x[i]`.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([1, 2, 3]);
    /// assert_eq!(x.cumsum(0).to_vec::<i32>()?, [1, 3, 6]);
    /// assert_eq!(x.cumsum_reverse(0).to_vec::<i32>()?, [6, 5, 3]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    cumsum, cumsum_reverse, "The running sums from the end: `y[i] = x[i] + .. + x[n-1]`.": running(Fold::Sum);
    /// The running products of numbers along an axis.
    cumprod, cumprod_reverse, "The running products from the end.": running(Fold::Prod);
    /// The running maxima of numbers along an axis.
    cummax, cummax_reverse, "The running maxima from the end.": running(Fold::Max);
    /// The running minima of numbers along an axis.
    cummin, cummin_reverse, "The running minima from the end.": running(Fold::Min);
    /// The running `log(Σ eˣ)` of floats along an axis, without overflow.
    cumlogsumexp, cumlogsumexp_reverse, "The running `log(Σ eˣ)` from the end.": cumlogsumexp_along;
}

/// In `log₂ n` rounds: after round `k`, `y[i]` has the `2ᵏ` values up to `x[i]`.
fn cumlogsumexp_along(x: &Array, op: &str, axis: isize, reverse: bool, at: At) -> Result<Array> {
    let x = float_operand(x, op, at)?;
    let axis = resolve_axis(op, axis, &x)?;
    let n = x.shape()[axis];
    let mut y = x.clone();
    let mut distance = 1;
    let nothing = Scalar::of(f64::NEG_INFINITY, x.dtype());
    let nothing = Array::from_buffer(Buffer::scalar(nothing));
    while distance < n {
        let mut low = vec![0; x.rank()];
        low[axis] = if reverse { -(distance as i64) } else { distance as i64 };
        let high = low.iter().map(|edge| -edge).collect();
        let earlier = Pad { low, high, interior: vec![0; x.rank()] };
        let earlier = bind1(earlier, &[y.clone(), nothing.clone()], at);
        y = y.logaddexp(&earlier);
        distance *= 2;
    }
    Ok(y)
}

impl Array {
    /// The [`sum`](Array::sum) over several axes, which the result does not have.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::ones([2, 3, 4]);
    /// assert_eq!(x.sum_axes(&[0, -1]).to_vec::<f32>()?, [8.0, 8.0, 8.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn sum_axes(&self, axes: &[isize]) -> Array {
        let resolved: Result<Vec<usize>> =
            axes.iter().map(|&axis| resolve_axis("sum_axes", axis, self)).collect();
        match resolved {
            Ok(axes) => fold(self, &axes, "sum_axes", Fold::Sum),
            Err(error) => Array::mistake(error.at(Location::caller())),
        }
    }

    /// Where the greatest number along an axis is, the first of equals: i32. NaN is greatest.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Array {
        match resolve_axis("argmax", axis, self) {
            Ok(axis) => bind_to(ArgReduce { greatest: true, axis }, self, Location::caller()),
            Err(error) => Array::mistake(error.at(Location::caller())),
        }
    }

    /// Where the least number along an axis is, the first of equals: i32. NaN is least.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Array {
        match resolve_axis("argmin", axis, self) {
            Ok(axis) => bind_to(ArgReduce { greatest: false, axis }, self, Location::caller()),
            Err(error) => Array::mistake(error.at(Location::caller())),
        }
    }

    /// The values along an axis in ascending order, NaN last.
    #[track_caller]
    pub fn sort(&self, axis: isize) -> Array {
        match resolve_axis("sort", axis, self) {
            Ok(axis) => bind_to(Sort { axis, n_keys: 1 }, self, Location::caller()),
            Err(error) => Array::mistake(error.at(Location::caller())),
        }
    }

    /// The indices (i32) that sort the values along an axis; equal values keep their order.
    #[track_caller]
    pub fn argsort(&self, axis: isize) -> Array {
        let at = Location::caller();
        or_mistake(argsort(self, axis, at), at)
    }
}

fn argsort(x: &Array, axis: isize, at: At) -> Result<Array> {
    let axis = resolve_axis("argsort", axis, x)?;
    let places = count(DType::I32, x.shape(), axis, x)?;
    let mut sorted = bind(Sort { axis, n_keys: 1 }, &[x.clone(), places], at)?;
    Ok(sorted.swap_remove(1))
}
