//! The meaning of every operation of a DAG on single elements.
//!
//! These functions are the definition. The tile machine runs loops over them, and machine code is tested against
//! them. They have no branches that depend on data where a loop over them should become vector code.

use crate::code::Combine;
use crate::math::{define, erf_inv};

/// What all number types can do.
pub(crate) trait Number: Copy + PartialOrd + 'static {
    const ZERO: Self;
    const ONE: Self;
    /// The identity of the maximum.
    const LOWEST: Self;
    /// The identity of the minimum.
    const HIGHEST: Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn rem(self, other: Self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    /// `self·factor + addend`; rounded once if a float.
    fn fused(self, factor: Self, addend: Self) -> Self;

    /// `x^n` by repeated squaring.
    #[inline(always)]
    fn integer_pow(self, n: i32) -> Self {
        let (mut result, mut base, mut left) = (Self::ONE, self, n.unsigned_abs());
        while left > 0 {
            if left & 1 == 1 {
                result = result.mul(base);
            }
            left >>= 1;
            if left > 0 {
                base = base.mul(base);
            }
        }
        if n < 0 { Self::ONE.div(result) } else { result }
    }
}

/// What integers can do besides.
pub(crate) trait Int: Number {
    fn not(self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn shl(self, by: Self) -> Self;
    fn shr_logical(self, by: Self) -> Self;
    fn shr_arithmetic(self, by: Self) -> Self;
}

/// What floats can do besides.
pub(crate) trait Float: Number + crate::Real {
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round(self) -> Self;
    fn sqrt(self) -> Self;
    fn is_finite(self) -> bool;
    fn exp(self) -> Self;
    fn expm1(self) -> Self;
    fn log(self) -> Self;
    fn log1p(self) -> Self;
    fn tan(self) -> Self;
    fn tanh(self) -> Self;
    fn sigmoid(self) -> Self;
    fn erf(self) -> Self;
    fn erf_inv(self) -> Self;
    fn asin(self) -> Self;
    fn acos(self) -> Self;
    fn atan(self) -> Self;
    fn sinh(self) -> Self;
    fn cosh(self) -> Self;
    fn pow(self, other: Self) -> Self;
    fn atan2(self, other: Self) -> Self;
}

macro_rules! int {
    ($t:ident, $div:expr, $rem:expr, $sign:expr, $abs:expr) => {
        impl Number for $t {
            const ZERO: $t = 0;
            const ONE: $t = 1;
            const LOWEST: $t = $t::MIN;
            const HIGHEST: $t = $t::MAX;
            #[inline(always)]
            fn add(self, other: $t) -> $t {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn sub(self, other: $t) -> $t {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn mul(self, other: $t) -> $t {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn div(self, other: $t) -> $t {
                $div(self, other)
            }
            #[inline(always)]
            fn rem(self, other: $t) -> $t {
                $rem(self, other)
            }
            #[inline(always)]
            fn neg(self) -> $t {
                self.wrapping_neg()
            }
            #[inline(always)]
            fn abs(self) -> $t {
                $abs(self)
            }
            #[inline(always)]
            fn sign(self) -> $t {
                $sign(self)
            }
            #[inline(always)]
            fn max(self, other: $t) -> $t {
                Ord::max(self, other)
            }
            #[inline(always)]
            fn min(self, other: $t) -> $t {
                Ord::min(self, other)
            }
            #[inline(always)]
            fn fused(self, factor: $t, addend: $t) -> $t {
                self.wrapping_mul(factor).wrapping_add(addend)
            }
        }
        impl Int for $t {
            #[inline(always)]
            fn not(self) -> $t {
                !self
            }
            #[inline(always)]
            fn and(self, other: $t) -> $t {
                self & other
            }
            #[inline(always)]
            fn or(self, other: $t) -> $t {
                self | other
            }
            #[inline(always)]
            fn xor(self, other: $t) -> $t {
                self ^ other
            }
            #[inline(always)]
            fn shl(self, by: $t) -> $t {
                if (by as u32) < 32 { self.wrapping_shl(by as u32) } else { 0 }
            }
            #[inline(always)]
            fn shr_logical(self, by: $t) -> $t {
                if (by as u32) < 32 { (self as u32).wrapping_shr(by as u32) as $t } else { 0 }
            }
            #[inline(always)]
            fn shr_arithmetic(self, by: $t) -> $t {
                (self as i32).wrapping_shr(Ord::min(by as u32, 31)) as $t
            }
        }
    };
}
int!(
    i32,
    |x: i32, y: i32| if y == 0 { -1 } else { x.wrapping_div(y) },
    |x: i32, y: i32| if y == 0 { x } else { x.wrapping_rem(y) },
    i32::signum,
    i32::wrapping_abs
);
int!(
    u32,
    |x: u32, y: u32| x.checked_div(y).unwrap_or(u32::MAX),
    |x: u32, y: u32| x.checked_rem(y).unwrap_or(x),
    |x: u32| (x != 0) as u32,
    |x: u32| x
);

macro_rules! float {
    ($t:ident, $erf_inv:path) => {
        impl Number for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const LOWEST: $t = $t::NEG_INFINITY;
            const HIGHEST: $t = $t::INFINITY;
            #[inline(always)]
            fn add(self, other: $t) -> $t {
                self + other
            }
            #[inline(always)]
            fn sub(self, other: $t) -> $t {
                self - other
            }
            #[inline(always)]
            fn mul(self, other: $t) -> $t {
                self * other
            }
            #[inline(always)]
            fn div(self, other: $t) -> $t {
                self / other
            }
            #[inline(always)]
            fn rem(self, other: $t) -> $t {
                self % other
            }
            #[inline(always)]
            fn neg(self) -> $t {
                -self
            }
            #[inline(always)]
            fn abs(self) -> $t {
                $t::abs(self)
            }
            #[inline(always)]
            fn sign(self) -> $t {
                // Zeros and NaN are their own sign.
                let one = $t::copysign(1.0, self);
                if self.abs() > 0.0 { one } else { self }
            }
            #[inline(always)]
            fn max(self, other: $t) -> $t {
                // Of two zeros the positive one: the conjunction of their bits.
                let both = $t::from_bits(self.to_bits() & other.to_bits());
                let larger = if self > other { self } else { other };
                let larger = if self == other { both } else { larger };
                if self.is_nan() { self } else { larger }
            }
            #[inline(always)]
            fn min(self, other: $t) -> $t {
                let either = $t::from_bits(self.to_bits() | other.to_bits());
                let smaller = if self < other { self } else { other };
                let smaller = if self == other { either } else { smaller };
                if self.is_nan() { self } else { smaller }
            }
            #[inline(always)]
            fn fused(self, factor: $t, addend: $t) -> $t {
                self.mul_add(factor, addend)
            }
        }
        impl Float for $t {
            #[inline(always)]
            fn floor(self) -> $t {
                $t::floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> $t {
                $t::ceil(self)
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
            fn is_finite(self) -> bool {
                self.abs() < $t::INFINITY
            }
            #[inline(always)]
            fn exp(self) -> $t {
                define::exp(self)
            }
            #[inline(always)]
            fn tanh(self) -> $t {
                define::tanh(self)
            }
            #[inline(always)]
            fn sigmoid(self) -> $t {
                define::sigmoid(self)
            }
            #[inline(always)]
            fn expm1(self) -> $t {
                define::expm1(self)
            }
            #[inline(always)]
            fn log(self) -> $t {
                define::log(self)
            }
            #[inline(always)]
            fn log1p(self) -> $t {
                define::log1p(self)
            }
            fn tan(self) -> $t {
                (self as f64).tan() as $t
            }
            #[inline(always)]
            fn erf(self) -> $t {
                define::erf(self)
            }
            fn erf_inv(self) -> $t {
                $erf_inv(self)
            }
            fn asin(self) -> $t {
                (self as f64).asin() as $t
            }
            fn acos(self) -> $t {
                (self as f64).acos() as $t
            }
            fn atan(self) -> $t {
                (self as f64).atan() as $t
            }
            fn sinh(self) -> $t {
                (self as f64).sinh() as $t
            }
            fn cosh(self) -> $t {
                (self as f64).cosh() as $t
            }
            fn pow(self, other: $t) -> $t {
                (self as f64).powf(other as f64) as $t
            }
            fn atan2(self, other: $t) -> $t {
                (self as f64).atan2(other as f64) as $t
            }
        }
    };
}
float!(f32, erf_inv::single);
float!(f64, erf_inv::double);

/// The block of Threefry-2x32 with 20 rounds (Salmon et al. 2011), as JAX has it.
#[inline(always)]
pub(crate) fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for round in 0..5 {
        for rotation in ROTATIONS[round % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(rotation) ^ x[0];
        }
        x[0] = x[0].wrapping_add(keys[(round + 1) % 3]);
        x[1] = x[1].wrapping_add(keys[(round + 2) % 3]).wrapping_add(round as u32 + 1);
    }
    x
}

/// A truth value, 0 or 1, as a number of the field of two truths: sums are `or`, products are `and`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
#[repr(transparent)]
pub(crate) struct Truth(pub(crate) u8);

impl Number for Truth {
    const ZERO: Truth = Truth(0);
    const ONE: Truth = Truth(1);
    const LOWEST: Truth = Truth(0);
    const HIGHEST: Truth = Truth(1);
    fn add(self, other: Truth) -> Truth {
        Truth(self.0 | other.0)
    }
    fn sub(self, other: Truth) -> Truth {
        Truth(self.0 ^ other.0)
    }
    fn mul(self, other: Truth) -> Truth {
        Truth(self.0 & other.0)
    }
    fn div(self, _: Truth) -> Truth {
        self
    }
    fn rem(self, _: Truth) -> Truth {
        self
    }
    fn neg(self) -> Truth {
        self
    }
    fn abs(self) -> Truth {
        self
    }
    fn sign(self) -> Truth {
        self
    }
    fn max(self, other: Truth) -> Truth {
        Truth(self.0 | other.0)
    }
    fn min(self, other: Truth) -> Truth {
        Truth(self.0 & other.0)
    }
    fn fused(self, factor: Truth, addend: Truth) -> Truth {
        Truth(self.0 & factor.0 | addend.0)
    }
}

/// A type whose bits can be combined. Floats have them too, but no code that is checked asks for it.
pub(crate) trait Bitwise: Number {
    fn all_ones() -> Self;
    fn bit_and(self, other: Self) -> Self;
    fn bit_or(self, other: Self) -> Self;
    fn bit_xor(self, other: Self) -> Self;
}

macro_rules! bitwise {
    ($($t:ident, $ones:expr, $get:expr, $put:expr;)*) => {$(
        impl Bitwise for $t {
            #[inline(always)]
            fn all_ones() -> $t {
                $ones
            }
            #[inline(always)]
            fn bit_and(self, other: $t) -> $t {
                $put($get(self) & $get(other))
            }
            #[inline(always)]
            fn bit_or(self, other: $t) -> $t {
                $put($get(self) | $get(other))
            }
            #[inline(always)]
            fn bit_xor(self, other: $t) -> $t {
                $put($get(self) ^ $get(other))
            }
        }
    )*};
}
bitwise! {
    f32, f32::from_bits(u32::MAX), f32::to_bits, f32::from_bits;
    f64, f64::from_bits(u64::MAX), f64::to_bits, f64::from_bits;
    i32, -1, |x: i32| x, |x: i32| x;
    u32, u32::MAX, |x: u32| x, |x: u32| x;
    Truth, Truth(1), |x: Truth| x.0, Truth;
}

/// Combines two values; `ArgMax` and `ArgMin` have their own code.
#[inline(always)]
pub(crate) fn combine<T: Bitwise>(how: Combine, a: T, b: T) -> T {
    match how {
        Combine::Sum => a.add(b),
        Combine::Prod => a.mul(b),
        Combine::Max | Combine::ArgMax => a.max(b),
        Combine::Min | Combine::ArgMin => a.min(b),
        Combine::And => a.bit_and(b),
        Combine::Or => a.bit_or(b),
        Combine::Xor => a.bit_xor(b),
    }
}

/// The value that changes nothing.
#[inline(always)]
pub(crate) fn identity<T: Bitwise>(how: Combine) -> T {
    match how {
        Combine::Sum | Combine::Or | Combine::Xor => T::ZERO,
        Combine::Prod => T::ONE,
        Combine::Max | Combine::ArgMax => T::LOWEST,
        Combine::Min | Combine::ArgMin => T::HIGHEST,
        Combine::And => T::all_ones(),
    }
}
