//! Elementwise functions over slices: one definition, the same bits on every instruction set.
//!
//! The room knows functions of one number. It must not know arrays, dtypes beyond `f32` and `f64`, or
//! derivatives.
//!
//! A function is [defined](define) once as straight-line code over [`Lane`]; the loops below compile that
//! definition for each [`Level`], where the compiler turns it into vector instructions. Since every operation is
//! exactly specified (products and sums are fused where the definition says so and nowhere else), a single
//! number, a vector and the tail of a slice agree to the last bit. A code generator gets the same bits by
//! implementing [`Lane`] for the values it emits.
//!
//! # Accuracy
//! The largest error found, in units in the last place of the exact result, subnormal results included: over
//! every `f32` against double precision, and over samples of `f64` of all sizes against double-double arithmetic.
//!
//! | | `f32` | `f64` |
//! |---|---|---|
//! | `Exp` | 1.07 | 1.01 |
//! | `Expm1` | 1.68 | 2.01 |
//! | `Log` | 0.84 | 0.79 |
//! | `Log1p` | 1.40 | 1.30 |
//! | `Tanh` | 2.83 | 2.82 |
//! | `Sigmoid` | 2.41 | 2.41 |
//! | `Erf` | 1.22 | 1.19 |
//! | `Sin`, `Cos` | 1.58 | 1.49 |
//! | `Sqrt`, `Recip` | 0.5 | 0.5 |
//!
//! The tests allow 4. Beyond [`poly::Table::turns`] sine and cosine are as good as the standard library's.

pub mod define;
pub mod erf_inv;
mod lane;
pub mod poly;
#[cfg(test)]
mod tests;

pub use lane::Lane;

use crate::Real;
use crate::cpu::{self, Level};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `e^x`.
    Exp,
    /// `e^x - 1`, accurate near zero.
    Expm1,
    /// The natural logarithm: NaN below zero, -inf at both zeros.
    Log,
    /// `log (1 + x)`, accurate near zero.
    Log1p,
    /// The hyperbolic tangent.
    Tanh,
    /// The logistic function `1 / (1 + e^-x)`.
    Sigmoid,
    /// The error function.
    Erf,
    /// The sine of an angle in radians, reduced by the standard library beyond [`poly::Table::turns`].
    Sin,
    /// The cosine of an angle in radians, reduced by the standard library beyond [`poly::Table::turns`].
    Cos,
    /// The square root.
    Sqrt,
    /// `1/x`.
    Recip,
}

impl Function {
    /// All functions.
    pub const ALL: [Function; 11] = [
        Function::Exp,
        Function::Expm1,
        Function::Log,
        Function::Log1p,
        Function::Tanh,
        Function::Sigmoid,
        Function::Erf,
        Function::Sin,
        Function::Cos,
        Function::Sqrt,
        Function::Recip,
    ];
}

/// Writes `f(x[i])` to each `y[i]`.
///
/// # Panics
/// If the lengths differ.
///
/// # Examples
/// ```
/// use rondeau_machine::math::{Function, apply, scalar};
/// let x = [-1.0f32, 0.0, 1.0];
/// let mut y = [0.0; 3];
/// apply(Function::Tanh, &x, &mut y);
/// assert_eq!(y[2], scalar(Function::Tanh, 1.0));
/// assert_eq!(y[0], -y[2]);
/// ```
pub fn apply<T: Real>(f: Function, x: &[T], y: &mut [T]) {
    apply_at(cpu::level(), f, x, y);
}

/// Replaces each `y[i]` by `f(y[i])`.
pub fn apply_in_place<T: Real>(f: Function, y: &mut [T]) {
    let level = cpu::level();
    for y in y.chunks_mut(BLOCK) {
        let mut x = [T::ZERO; BLOCK];
        x[..y.len()].copy_from_slice(y);
        apply_at(level, f, &x[..y.len()], y);
    }
}

/// Returns `f(x)`, with the bits that [`apply`] writes.
pub fn scalar<T: Real>(f: Function, x: T) -> T {
    T::scalar(f, x)
}

/// Elements that are surely in the first-level cache when they are read a second time.
const BLOCK: usize = 256;

fn apply_at<T: Real>(level: Level, f: Function, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "internal: an elementwise function keeps the length");
    assert!(level <= cpu::level(), "internal: {level:?} is not available");
    match f {
        Function::Sin | Function::Cos => {
            for (x, y) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)) {
                T::map(level, f, x, y);
                if T::any_far(x) {
                    for (y, &x) in y.iter_mut().zip(x).filter(|(_, x)| x.is_far()) {
                        *y = T::scalar(f, x);
                    }
                }
            }
        }
        Function::Exp
        | Function::Expm1
        | Function::Log
        | Function::Log1p
        | Function::Tanh
        | Function::Sigmoid
        | Function::Erf
        | Function::Sqrt
        | Function::Recip => T::map(level, f, x, y),
    }
}

pub(crate) mod sealed {
    use super::{Function, Level};

    /// The loops of a type. The level has been found available.
    pub trait Elementwise: Sized {
        #[doc(hidden)]
        fn map(level: Level, f: Function, x: &[Self], y: &mut [Self]);
        #[doc(hidden)]
        fn scalar(f: Function, x: Self) -> Self;
        /// Whether the definitions of sine and cosine do not cover `self`.
        #[doc(hidden)]
        fn is_far(&self) -> bool;
        #[doc(hidden)]
        fn any_far(x: &[Self]) -> bool;
    }
}

macro_rules! each {
    ($x:ident, $y:ident, $f:path) => {
        for (y, &x) in $y.iter_mut().zip($x) {
            *y = $f(x);
        }
    };
}

/// A loop per function, compiled with the given attributes.
macro_rules! loops {
    ($name:ident, $t:ident $(, #[$features:meta])?) => {
        $(#[$features])?
        fn $name(f: Function, x: &[$t], y: &mut [$t]) {
            match f {
                Function::Exp => each!(x, y, define::exp),
                Function::Expm1 => each!(x, y, define::expm1),
                Function::Log => each!(x, y, define::log),
                Function::Log1p => each!(x, y, define::log1p),
                Function::Tanh => each!(x, y, define::tanh),
                Function::Sigmoid => each!(x, y, define::sigmoid),
                Function::Erf => each!(x, y, define::erf),
                Function::Sin => each!(x, y, define::sin),
                Function::Cos => each!(x, y, define::cos),
                Function::Sqrt => each!(x, y, define::sqrt),
                Function::Recip => each!(x, y, define::recip),
            }
        }
    };
}

macro_rules! impl_elementwise {
    ($t:ident, $portable:ident, $avx2:ident, $avx512:ident) => {
        loops!($portable, $t);
        #[cfg(target_arch = "x86_64")]
        loops!($avx2, $t, #[target_feature(enable = "avx2,fma")]);
        #[cfg(target_arch = "x86_64")]
        loops!($avx512, $t,
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]);

        impl sealed::Elementwise for $t {
            fn map(level: Level, f: Function, x: &[$t], y: &mut [$t]) {
                match level {
                    // SAFETY: the processor has the features, since `level` is available.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => unsafe { $avx512(f, x, y) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => unsafe { $avx2(f, x, y) },
                    #[cfg(not(target_arch = "x86_64"))]
                    Level::Avx2 | Level::Avx512 => $portable(f, x, y),
                    Level::Portable => $portable(f, x, y),
                }
            }

            fn scalar(f: Function, x: $t) -> $t {
                match f {
                    Function::Sin if x.is_far() => return x.sin(),
                    Function::Cos if x.is_far() => return x.cos(),
                    _ => {}
                }
                define::define(f, x)
            }

            fn is_far(&self) -> bool {
                self.abs() > <$t as Lane>::TABLE.turns as $t
            }

            fn any_far(x: &[$t]) -> bool {
                x.iter().fold(false, |any, x| any | x.is_far())
            }
        }
    };
}
impl_elementwise!(f32, portable_f32, avx2_f32, avx512_f32);
impl_elementwise!(f64, portable_f64, avx2_f64, avx512_f64);
