//! Elementwise functions of arrays, as methods and, for those of one array, as free functions.
//!
//! A method resolves its arguments and binds primitives; what they compute is told in `prim`.

mod activations;
mod reductions;
#[cfg(test)]
pub(super) mod tests;

use std::panic::Location;

pub use activations::*;

use super::operators::{Argument, binary, unary, unify};
use super::{Array, Operand, bind1, where_};
use crate::buffer::DType;
use crate::error::{Error, Result};
use crate::prim::{Binary, Bitcast, Convert, Prim, Unary};

/// The array, or one that carries the mistake made at `at`.
pub(super) fn or_mistake(result: Result<Array>, at: &'static Location<'static>) -> Array {
    result.unwrap_or_else(|error| Array::mistake(error.at(at)))
}

/// A primitive of one array.
pub(super) fn bind_to(prim: impl Into<Prim>, x: &Array, at: &'static Location<'static>) -> Array {
    bind1(prim, std::slice::from_ref(x), at)
}

/// An axis counted from 0; negative ones count from the end.
pub(super) fn resolve_axis(op: &str, axis: isize, x: &Array) -> Result<usize> {
    let aval = x.aval()?;
    let from_start = if axis < 0 { axis + aval.rank() as isize } else { axis };
    match usize::try_from(from_start) {
        Ok(resolved) if resolved < aval.rank() => Ok(resolved),
        _ => Err(Error::axis(op, axis, &aval.to_string())),
    }
}

/// The array, if its elements are floats; else a mistake that names the operation.
fn float_operand(x: &Array, op: &str, at: &'static Location<'static>) -> Result<Array> {
    let aval = x.aval()?;
    match aval.dtype.is_float() {
        true => Ok(x.clone()),
        false => Err(Error::dtype(op, "floats", &aval.to_string()).at(at)),
    }
}

macro_rules! unary_functions {
    ($($(#[$doc:meta])* $name:ident: $prim:ident;)*) => {
        impl Array {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name(&self) -> Array {
                    unary(Unary::$prim, self, Location::caller())
                }
            )*
        }
        $(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(x: impl Operand) -> Array {
                unary(Unary::$prim, x, Location::caller())
            }
        )*
    };
}

unary_functions! {
    /// The distance from zero, of numbers; the derivative at 0 is 1, as in JAX.
    abs: Abs;
    /// -1, 0 or 1, of numbers; keeps NaN and the sign of zero.
    sign: Sign;
    /// The greatest whole number that is not greater, of floats.
    floor: Floor;
    /// The least whole number that is not less, of floats.
    ceil: Ceil;
    /// The whole number toward zero, of floats; keeps the sign of zero.
    trunc: Trunc;
    /// The nearest whole number, of floats; halves go to the even neighbour.
    round: Round;
    /// The square root, of floats; NaN below zero.
    sqrt: Sqrt;
    /// `1 / √x`, of floats.
    rsqrt: Rsqrt;
    /// `eˣ`, of floats.
    exp: Exp;
    /// `eˣ - 1`, of floats, exact near zero.
    expm1: Expm1;
    /// The natural logarithm, of floats; -inf at zero, NaN below.
    log: Log;
    /// `log(1 + x)`, of floats, exact near zero.
    log1p: Log1p;
    /// The sine of floats in radians.
    sin: Sin;
    /// The cosine of floats in radians.
    cos: Cos;
    /// The tangent of floats in radians.
    tan: Tan;
    /// The angle with that sine, of floats; NaN outside -1 to 1.
    asin: Asin;
    /// The angle with that cosine, of floats; NaN outside -1 to 1.
    acos: Acos;
    /// The angle with that tangent, of floats.
    atan: Atan;
    /// The hyperbolic sine, of floats.
    sinh: Sinh;
    /// The hyperbolic cosine, of floats.
    cosh: Cosh;
    /// The hyperbolic tangent, of floats.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let y = Array::from([0.0_f32, 100.0]).tanh();
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 1.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    tanh: Tanh;
    /// `1 / (1 + e⁻ˣ)`, of floats.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let y = Array::from([0.0_f32, 200.0]).sigmoid();
    /// assert_eq!(y.to_vec::<f32>()?, [0.5, 1.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    sigmoid: Logistic;
    /// The error function `2/√π·∫₀ˣ e^(-t²) dt`, of floats.
    erf: Erf;
    /// The inverse of [`erf`](Array::erf), of floats between -1 and 1.
    erf_inv: ErfInv;
    /// Whether floats are neither infinite nor NaN: bool.
    is_finite: IsFinite;
    /// The array itself, taken as a constant by differentiation.
    ///
    /// # Source
    /// `jax.lax.stop_gradient`.
    stop_gradient: StopGradient;
}

impl Array {
    /// `x²`, of numbers.
    #[track_caller]
    pub fn square(&self) -> Array {
        self.powi(2)
    }

    /// `1 / x`, of floats.
    #[track_caller]
    pub fn reciprocal(&self) -> Array {
        1.0 / self
    }

    /// `x` to a whole power, of numbers; `x⁰ = 1` for all `x`.
    #[track_caller]
    pub fn powi(&self, n: i32) -> Array {
        unary(Unary::IntegerPow(n), self, Location::caller())
    }

    /// Whether floats are NaN: bool.
    #[track_caller]
    pub fn is_nan(&self) -> Array {
        match float_operand(self, "is_nan", Location::caller()) {
            Ok(x) => x.ne(&x),
            Err(error) => Array::mistake(error),
        }
    }

    /// The array in another element type; itself if it has that type.
    ///
    /// Floats become integers toward zero, at most the type's range, NaN becomes 0; anything but
    /// zero is true.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    /// use rondeau::buffer::DType;
    ///
    /// let x = Array::from([1.9_f32, -1.9]).to(DType::I32);
    /// assert_eq!(x.to_vec::<i32>()?, [1, -1]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn to(&self, dtype: DType) -> Array {
        match self.aval() {
            Ok(aval) if aval.dtype != dtype => bind_to(Convert { dtype }, self, Location::caller()),
            _ => self.clone(),
        }
    }

    /// The same bits read as another element type; both must have 32 bits.
    #[track_caller]
    pub fn bitcast(&self, dtype: DType) -> Array {
        bind_to(Bitcast { dtype }, self, Location::caller())
    }

    /// The values, moved into the range from `low` to `high`: `min(max(x, low), high)`.
    ///
    /// # Source
    /// `jax.numpy.clip`: where the bounds cross, `high` wins; a value on a bound shares the
    /// gradient with it.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([-2.0_f32, 0.5, 2.0]).clip(-1.0, 1.0);
    /// assert_eq!(x.to_vec::<f32>()?, [-1.0, 0.5, 1.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn clip(&self, low: impl Operand, high: impl Operand) -> Array {
        self.maximum(low).minimum(high)
    }
}

/// `x²`, of numbers.
#[track_caller]
pub fn square(x: impl Operand) -> Array {
    x.argument().into_array().square()
}

/// `1 / x`, of floats.
#[track_caller]
pub fn reciprocal(x: impl Operand) -> Array {
    x.argument().into_array().reciprocal()
}

/// Whether floats are NaN: bool.
#[track_caller]
pub fn is_nan(x: impl Operand) -> Array {
    x.argument().into_array().is_nan()
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $name:ident: $prim:ident;)*) => {
        impl Array {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name(&self, other: impl Operand) -> Array {
                    binary(Binary::$prim, stringify!($name), self, other, Location::caller())
                }
            )*
        }
    };
}

binary_methods! {
    /// The greater of two numbers at each index, with broadcasting; NaN if one is NaN.
    ///
    /// # Source
    /// `jax.numpy.maximum`: equal values share the gradient.
    maximum: Max;
    /// The smaller of two numbers at each index, with broadcasting; NaN if one is NaN.
    ///
    /// # Source
    /// `jax.numpy.minimum`: equal values share the gradient.
    minimum: Min;
    /// The angle of the point with ordinate `self` and abscissa `other`, of floats.
    atan2: Atan2;
    /// The bits moved to the right, zeros moving in; 0 from 32 bits on. `>>` keeps the sign of
    /// signed integers.
    shift_right_logical: ShiftRightLogical;
    /// Whether both are equal at each index, with broadcasting: bool. NaN equals nothing.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let same = Array::from([1, 2, 3]).eq(2);
    /// assert_eq!(same.to_vec::<bool>()?, [false, true, false]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    eq: Eq;
    /// Whether both differ at each index, with broadcasting: bool. NaN differs from everything.
    ne: Ne;
    /// Whether `self` is less at each index, with broadcasting: bool.
    lt: Lt;
    /// Whether `self` is less or equal at each index, with broadcasting: bool.
    le: Le;
    /// Whether `self` is greater at each index, with broadcasting: bool.
    gt: Gt;
    /// Whether `self` is greater or equal at each index, with broadcasting: bool.
    ge: Ge;
}

impl Array {
    /// `self` to the power `other`, of floats; a Rust integer is a whole power of numbers, as
    /// [`powi`](Array::powi).
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([4.0_f32, 9.0]);
    /// assert_eq!(x.pow(0.5).to_vec::<f32>()?, [2.0, 3.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn pow(&self, other: impl Operand) -> Array {
        match other.argument() {
            Argument::Integer(n) => self.powi(n),
            other => binary(Binary::Pow, "pow", self, other, Location::caller()),
        }
    }

    /// The remainder with the sign of the divisor, with broadcasting. `%` has that of `self`.
    ///
    /// # Source
    /// `jax.numpy.remainder`.
    #[track_caller]
    pub fn rem_floor(&self, divisor: impl Operand) -> Array {
        let (x, y) = match unify("rem_floor", self, divisor) {
            Ok(pair) => pair,
            Err(error) => return Array::mistake(error.at(Location::caller())),
        };
        // Integers have the remainder 0 by 0.
        let y = if y.dtype().is_integer() { where_(y.eq(0), 1, &y) } else { y };
        let rem = &x % &y;
        let misses = &rem.lt(0).ne(y.lt(0)) & rem.ne(0);
        where_(misses, &rem + &y, &rem)
    }

    /// The quotient rounded down, with broadcasting. `/` rounds integers toward zero.
    ///
    /// # Source
    /// `jax.numpy.floor_divide`.
    #[track_caller]
    pub fn div_floor(&self, divisor: impl Operand) -> Array {
        let (x, y) = match unify("div_floor", self, divisor) {
            Ok(pair) => pair,
            Err(error) => return Array::mistake(error.at(Location::caller())),
        };
        let rem = &x % &y;
        match x.dtype() {
            DType::F32 | DType::F64 => {
                // The exact multiple below x, divided, is whole but for its rounding.
                let quotient = (&x - &rem) / &y;
                let misses = rem.ne(0) & y.sign().ne(rem.sign());
                where_(misses, &quotient - 1.0, &quotient).round()
            }
            DType::I32 => {
                let quotient = &x / &y;
                let misses = x.sign().ne(y.sign()) & rem.ne(0);
                where_(misses, &quotient - 1, &quotient)
            }
            DType::U32 | DType::Bool => &x / &y,
        }
    }

    /// `log(eˣ + eʸ)`, of floats, with broadcasting, without overflow.
    ///
    /// # Source
    /// `jax.numpy.logaddexp`.
    #[track_caller]
    pub fn logaddexp(&self, other: impl Operand) -> Array {
        let (x, y) = match unify("logaddexp", self, other) {
            Ok(pair) => pair,
            Err(error) => return Array::mistake(error.at(Location::caller())),
        };
        if let Err(error) = float_operand(&x, "logaddexp", Location::caller()) {
            return Array::mistake(error);
        }
        // Two equal infinities differ by NaN; a difference of 0 keeps gradients finite.
        let difference = &x - &y;
        let unknown = difference.is_nan();
        let difference = where_(&unknown, 0.0, &difference);
        // max(x, y) + log(1 + e^-|x - y|), by choices of one side, whose derivatives fit together
        // where both are equal.
        let above = difference.gt(0.0);
        let smaller = where_(&above, -&difference, &difference);
        where_(unknown, x.maximum(&y), where_(above, &x, &y) + smaller.exp().log1p())
    }
}

macro_rules! binary_functions {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x: impl Operand, y: impl Operand) -> Array {
            match (x.argument(), y.argument()) {
                (Argument::Array(x), y) => x.$name(y),
                // A number takes the element type of the array beside it.
                (x, Argument::Array(y)) => match y.aval() {
                    Err(error) => Array::mistake(error),
                    Ok(aval) => match x.adapt(aval.dtype, stringify!($name), &aval) {
                        Ok(x) => x.$name(y),
                        Err(error) => Array::mistake(error.at(Location::caller())),
                    },
                },
                (x, y) => x.into_array().$name(y),
            }
        }
    )*};
}

binary_functions! {
    /// The greater of two numbers at each index, with broadcasting; NaN if one is NaN.
    maximum;
    /// The smaller of two numbers at each index, with broadcasting; NaN if one is NaN.
    minimum;
    /// The angle of the point with ordinate `x` and abscissa `y`, of floats.
    atan2;
    /// `x` to the power `y`, of floats.
    pow;
    /// `log(eˣ + eʸ)`, of floats, with broadcasting, without overflow.
    logaddexp;
}
