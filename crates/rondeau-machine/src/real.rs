//! The element types of the kernels: `f32` and `f64`.
//!
//! The room names what generic kernels may ask of a number. It must not know which kernels exist, beyond
//! handing each type to its own tables.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

/// A number that the kernels compute with: `f32` or `f64`, and nothing else.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + crate::gemm::sealed::Sealed
    + crate::math::sealed::Elementwise
    + 'static
{
    /// Positive zero.
    const ZERO: Self;

    /// Returns `self·factor + addend`, rounded once.
    fn fused(self, factor: Self, addend: Self) -> Self;
}

macro_rules! impl_real {
    ($($t:ident),*) => {$(
        impl Real for $t {
            const ZERO: $t = 0.0;

            #[inline(always)]
            fn fused(self, factor: $t, addend: $t) -> $t {
                self.mul_add(factor, addend)
            }
        }
    )*};
}
impl_real!(f32, f64);
