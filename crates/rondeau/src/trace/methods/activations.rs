//! The activation functions of neural networks, as JAX defines them.

use std::panic::Location;

use super::reductions::{restore, shifted};
use super::{float_operand, resolve_axis, where_};
use crate::error::Result;
use crate::trace::{Array, Operand};

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident: $f:ident;)*) => {
        impl Array {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name(&self) -> Array {
                    match float_operand(self, stringify!($name), Location::caller()) {
                        Ok(x) => $f(&x),
                        Err(error) => Array::mistake(error),
                    }
                }
            )*
        }
        $(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(x: impl Operand) -> Array {
                x.argument().into_array().$name()
            }
        )*
    };
}

activations! {
    /// `max(x, 0)`, of floats; the gradient at 0 is 0.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([-1.0_f32, 0.0, 2.0]);
    /// assert_eq!(x.relu().to_vec::<f32>()?, [0.0, 0.0, 2.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    relu: relu_of;
    /// `log(1 + eˣ)`, of floats, without overflow.
    softplus: softplus_of;
    /// `x·sigmoid(x)`, of floats.
    silu: silu_of;
    /// `x·Φ(x)`, of floats, with the normal distribution `Φ` approximated by a tanh.
    ///
    /// # Source
    /// `jax.nn.gelu` with `approximate=True`.
    gelu: gelu_of;
    /// `x` above zero, `eˣ - 1` below, of floats.
    elu: elu_of;
    /// `min(max(x + 3, 0), 6) / 6`, of floats.
    hard_sigmoid: hard_sigmoid_of;
    /// `x` between -1 and 1, the nearer of both outside, of floats.
    hard_tanh: hard_tanh_of;
    /// `log(sigmoid(x))`, of floats, without overflow.
    log_sigmoid: log_sigmoid_of;
}

#[track_caller]
fn relu_of(x: &Array) -> Array {
    where_(x.le(0.0), 0.0, x)
}

#[track_caller]
fn softplus_of(x: &Array) -> Array {
    // max(x, 0) + log(1 + e^-|x|), by choices of one side, whose derivatives at 0 fit together.
    let above = x.gt(0.0);
    where_(&above, x, 0.0) + where_(&above, -x, x).exp().log1p()
}

#[track_caller]
fn silu_of(x: &Array) -> Array {
    x * x.sigmoid()
}

#[track_caller]
fn gelu_of(x: &Array) -> Array {
    // √(2/π)
    let scale = (2.0 / std::f64::consts::PI).sqrt();
    let inner = scale * (x + 0.044715 * x.powi(3));
    x * (0.5 * (1.0 + inner.tanh()))
}

#[track_caller]
fn elu_of(x: &Array) -> Array {
    let above = x.gt(0.0);
    // Where x is above zero its exponential may be infinite, and so must not be differentiated.
    let below = where_(&above, 0.0, x);
    where_(&above, x, below.expm1())
}

#[track_caller]
fn hard_sigmoid_of(x: &Array) -> Array {
    (x + 3.0).clip(0.0, 6.0) / 6.0
}

#[track_caller]
fn hard_tanh_of(x: &Array) -> Array {
    where_(x.gt(1.0), 1.0, where_(x.lt(-1.0), -1.0, x))
}

#[track_caller]
fn log_sigmoid_of(x: &Array) -> Array {
    -softplus_of(&-x)
}

impl Array {
    /// `x` from zero up, `slope·x` below, of floats.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Array {
        match float_operand(self, "leaky_relu", Location::caller()) {
            Ok(x) => where_(x.ge(0.0), &x, slope * &x),
            Err(error) => Array::mistake(error),
        }
    }

    /// `eˣ / Σ eˣ` along an axis, of floats: positive, with the sum 1.
    ///
    /// # Source
    /// `jax.nn.softmax`.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let p = Array::from([[0.0_f32, 0.0], [1000.0, 0.0]]).softmax(-1);
    /// assert_eq!(p.to_vec::<f32>()?, [0.5, 0.5, 1.0, 0.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Array {
        let axes = match float_axis("softmax", self, axis, Location::caller()) {
            Ok(axis) => [axis],
            Err(error) => return Array::mistake(error),
        };
        let powers = shifted(self, &axes).exp();
        let sum = powers.sum_axis(axis);
        &powers / restore(&sum, &powers, &axes)
    }

    /// `log(softmax(x))` along an axis, of floats, without overflow.
    ///
    /// # Source
    /// `jax.nn.log_softmax`.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Array {
        let axes = match float_axis("log_softmax", self, axis, Location::caller()) {
            Ok(axis) => [axis],
            Err(error) => return Array::mistake(error),
        };
        let shifted = shifted(self, &axes);
        let log_sum = shifted.exp().sum_axis(axis).log();
        &shifted - restore(&log_sum, &shifted, &axes)
    }
}

/// `x` from zero up, `slope·x` below, of floats.
#[track_caller]
pub fn leaky_relu(x: impl Operand, slope: f64) -> Array {
    x.argument().into_array().leaky_relu(slope)
}

/// An axis of an array of floats.
fn float_axis(op: &str, x: &Array, axis: isize, at: &'static Location<'static>) -> Result<usize> {
    float_operand(x, op, at)?;
    resolve_axis(op, axis, x).map_err(|error| error.at(at))
}
