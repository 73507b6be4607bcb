//! What the definitions of this module may ask of a number, be it a number or its place in machine code.
//!
//! The room must not know any function; [`define`](super::define) must not know any more than this.

use super::poly::{self, Table};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number in one lane of a vector, and the operations that every instruction set has for it.
///
/// Each operation is exactly specified, down to the last bit except the payload and sign of a NaN, so an
/// implementation that emits instructions instead of computing gives the same results. Constants are
/// made from a number at hand ([`lit`](Lane::lit)) to let such an implementation find where it emits to.
pub trait Lane:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The answer of a comparison.
    type Mask: Copy;

    /// The constants of this precision.
    const TABLE: &'static Table;

    /// Returns the constant `c`, rounded to this precision.
    fn lit(self, c: f64) -> Self;
    /// Returns `self·factor + addend`, rounded once.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// Clears the sign bit.
    fn abs(self) -> Self;
    /// Returns `self` with the sign bit of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// Returns `self` if `self < other`, else `other`; so a NaN in `other` stays.
    fn min(self, other: Self) -> Self;
    /// Returns `self` if `self > other`, else `other`; so a NaN in `other` stays.
    fn max(self, other: Self) -> Self;
    /// Returns the nearest integer, the even one of two; zero keeps the sign of `self`.
    fn round(self) -> Self;
    /// Returns the correctly rounded square root.
    fn sqrt(self) -> Self;
    /// Returns `2^self` for an integer `self` whose power is a normal number; else anything.
    fn pow2(self) -> Self;
    /// Returns `(m, e)` with `self = m·2^e` and `m` from √½ to √2, for a positive normal `self`; else anything.
    ///
    /// The lower end is [`Table::root_half`], included.
    fn split(self) -> (Self, Self);
    /// Whether bit `k` (0 or 1) of the integer `self` is set, counted in two's complement; else anything.
    ///
    /// `self` is an integer of magnitude at most [`Table::turns`].
    fn bit(self, k: u32) -> Self::Mask;
    /// Whether `self < other`; false if either is NaN.
    fn lt(self, other: Self) -> Self::Mask;
    /// Whether `self <= other`; false if either is NaN.
    fn le(self, other: Self) -> Self::Mask;
    /// Returns `yes` where the mask is set, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// Returns `self·2^n`, rounded once, for `self` from ½ to 2 and any integer `n` of at most twice the range
    /// of [`pow2`](Lane::pow2).
    ///
    /// The first of the two products is exact. One instruction that scales by an exponent does the same.
    #[inline(always)]
    fn scale(self, n: Self) -> Self {
        let half = (n * n.lit(0.5)).round();
        self * half.pow2() * (n - half).pow2()
    }
}

macro_rules! impl_lane {
    ($t:ident, $bits:ident, $table:ident, mantissa $mantissa:literal, bias $bias:literal) => {
        impl Lane for $t {
            type Mask = bool;

            const TABLE: &'static Table = &poly::$table;

            #[inline(always)]
            fn lit(self, c: f64) -> $t {
                c as $t
            }
            #[inline(always)]
            fn fma(self, factor: $t, addend: $t) -> $t {
                self.mul_add(factor, addend)
            }
            #[inline(always)]
            fn abs(self) -> $t {
                $t::abs(self)
            }
            #[inline(always)]
            fn copysign(self, sign: $t) -> $t {
                $t::copysign(self, sign)
            }
            #[inline(always)]
            fn min(self, other: $t) -> $t {
                if self < other { self } else { other }
            }
            #[inline(always)]
            fn max(self, other: $t) -> $t {
                if self > other { self } else { other }
            }
            #[inline(always)]
            fn round(self) -> $t {
                self.round_ties_even()
            }
            #[inline(always)]
            fn sqrt(self) -> $t {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn pow2(self) -> $t {
                $t::from_bits((self + INTEGER).to_bits().wrapping_add($bias) << $mantissa)
            }
            #[inline(always)]
            fn split(self) -> ($t, $t) {
                // Subtracting the bits of √½ puts a borrow between the binades where `m` starts anew.
                let root_half = ($t::TABLE.root_half as $t).to_bits();
                let one = ($bias as $bits) << $mantissa;
                let biased = self.to_bits().wrapping_sub(root_half).wrapping_add(one) >> $mantissa;
                let m = self.to_bits().wrapping_sub(biased << $mantissa).wrapping_add(one);
                let e = $t::from_bits(INTEGER.to_bits().wrapping_add(biased)) - INTEGER;
                ($t::from_bits(m), e - $bias as $t)
            }
            #[inline(always)]
            fn bit(self, k: u32) -> bool {
                (self + INTEGER).to_bits() >> k & 1 != 0
            }
            #[inline(always)]
            fn lt(self, other: $t) -> bool {
                self < other
            }
            #[inline(always)]
            fn le(self, other: $t) -> bool {
                self <= other
            }
            #[inline(always)]
            fn select(mask: bool, yes: $t, no: $t) -> $t {
                if mask { yes } else { no }
            }
        }
        /// `1.5·2^mantissa`: added to a small integer, leaves it in the low bits of the sum.
        const INTEGER: $t = (3u64 << ($mantissa - 1)) as $t;
    };
}

mod single {
    use super::*;
    impl_lane!(f32, u32, SINGLE, mantissa 23, bias 127);
}

mod double {
    use super::*;
    impl_lane!(f64, u64, DOUBLE, mantissa 52, bias 1023);
}
