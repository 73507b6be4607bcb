//! Element types, and the Rust types that hold them.

use std::fmt;

use super::data::Data;
use super::scalar::Scalar;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
    /// Signed 32-bit integer; arithmetic wraps.
    I32,
    /// Unsigned 32-bit integer; arithmetic wraps.
    U32,
    /// A truth value, stored as one byte.
    Bool,
}

impl DType {
    /// All element types, in the order of the enum.
    pub const ALL: [DType; 5] = [DType::F32, DType::F64, DType::I32, DType::U32, DType::Bool];

    /// The name in programs and messages: `f32`, `f64`, `i32`, `u32`, `bool`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::Bool => "bool",
        }
    }

    /// The element type of that [`name`](DType::name).
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// The name of the enum's variant, for messages that show code.
    pub(crate) fn variant(self) -> String {
        format!("{self:?}")
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 => 8,
            DType::Bool => 1,
        }
    }

    /// Whether values of this type have derivatives.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether this is a signed or unsigned integer type.
    pub fn is_integer(self) -> bool {
        matches!(self, DType::I32 | DType::U32)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for i32 {}
    impl Sealed for u32 {}
    impl Sealed for bool {}
}

/// A Rust type that is an element type: `f32`, `f64`, `i32`, `u32`, `bool`.
pub trait Element:
    sealed::Sealed + Copy + PartialEq + PartialOrd + Default + fmt::Debug + Send + Sync + 'static
{
    /// The element type.
    const DTYPE: DType;
    /// This value, tagged with its type.
    fn scalar(self) -> Scalar;
    /// The value in `scalar`, converted as [`Scalar::convert`] does.
    fn from_scalar(scalar: Scalar) -> Self;
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn wrap(values: Vec<Self>) -> Data;
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn unwrap(data: &Data) -> Option<&[Self]>;
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn unwrap_owned(data: Data) -> Option<Vec<Self>>;
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn unwrap_mut(data: &mut Data) -> Option<&mut [Self]>;
}

macro_rules! element {
    ($($rust:ty, $variant:ident;)*) => {$(
        impl Element for $rust {
            const DTYPE: DType = DType::$variant;
            fn scalar(self) -> Scalar {
                Scalar::$variant(self)
            }
            fn from_scalar(scalar: Scalar) -> Self {
                match scalar.convert(DType::$variant) {
                    Scalar::$variant(value) => value,
                    _ => unreachable!("internal: convert returns the asked type"),
                }
            }
            #[allow(private_interfaces)]
            fn wrap(values: Vec<Self>) -> Data {
                Data::$variant(std::sync::Arc::new(values))
            }
            #[allow(private_interfaces)]
            fn unwrap(data: &Data) -> Option<&[Self]> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
            #[allow(private_interfaces)]
            fn unwrap_owned(data: Data) -> Option<Vec<Self>> {
                match data {
                    Data::$variant(values) => std::sync::Arc::try_unwrap(values).ok(),
                    _ => None,
                }
            }
            #[allow(private_interfaces)]
            fn unwrap_mut(data: &mut Data) -> Option<&mut [Self]> {
                match data {
                    Data::$variant(values) => std::sync::Arc::get_mut(values).map(|v| &mut v[..]),
                    _ => None,
                }
            }
        }
    )*};
}

element! { f32, F32; f64, F64; i32, I32; u32, U32; bool, Bool; }

/// An element type with arithmetic. Integers wrap; division by zero gives what XLA gives:
/// `x / 0 = -1` (all bits set) and `x % 0 = x`.
pub trait Number: Element {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The least value: `-inf` for floats.
    const LEAST: Self;
    /// The greatest value: `inf` for floats.
    const GREATEST: Self;
    /// `x + y`.
    fn add(self, y: Self) -> Self;
    /// `x - y`.
    fn sub(self, y: Self) -> Self;
    /// `x · y`.
    fn mul(self, y: Self) -> Self;
    /// `x / y`, truncated for integers.
    fn div(self, y: Self) -> Self;
    /// The remainder of the truncated division, with the sign of `x`.
    fn rem(self, y: Self) -> Self;
    /// `-x`.
    fn neg(self) -> Self;
    /// `|x|`.
    fn abs(self) -> Self;
    /// -1, 0 or 1; keeps the sign of zero and NaN.
    fn sign(self) -> Self;
    /// The greater of two, NaN if one is NaN.
    fn max(self, y: Self) -> Self;
    /// The smaller of two, NaN if one is NaN.
    fn min(self, y: Self) -> Self;
    /// `x` to an integer power.
    fn powi(self, n: i32) -> Self;
    /// Whether the value is NaN.
    fn is_nan(self) -> bool;
}

/// A floating-point element type.
pub trait Real: Number {
    /// Rounds an `f64` to this type.
    fn of(x: f64) -> Self;
    /// This value as an `f64`.
    fn f64(self) -> f64;
}

macro_rules! float_number {
    ($($t:ty)*) => {$(
        impl Number for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LEAST: Self = <$t>::NEG_INFINITY;
            const GREATEST: Self = <$t>::INFINITY;
            fn add(self, y: Self) -> Self { self + y }
            fn sub(self, y: Self) -> Self { self - y }
            fn mul(self, y: Self) -> Self { self * y }
            fn div(self, y: Self) -> Self { self / y }
            fn rem(self, y: Self) -> Self { self % y }
            fn neg(self) -> Self { -self }
            fn abs(self) -> Self { <$t>::abs(self) }
            fn sign(self) -> Self {
                if self > 0.0 { 1.0 } else if self < 0.0 { -1.0 } else { self }
            }
            // max(-0, +0) is +0, and NaN wins, as in IEEE 754-2019 `maximum`.
            fn max(self, y: Self) -> Self {
                if self.is_nan() || y.is_nan() { <$t>::NAN }
                else if self == y { if self.is_sign_negative() { y } else { self } }
                else if self > y { self } else { y }
            }
            fn min(self, y: Self) -> Self {
                if self.is_nan() || y.is_nan() { <$t>::NAN }
                else if self == y { if self.is_sign_negative() { self } else { y } }
                else if self < y { self } else { y }
            }
            // Repeated squaring in a fixed order, so that every engine can give the same bits.
            fn powi(self, n: i32) -> Self {
                let (mut base, mut left, mut acc) = (self, n.unsigned_abs(), 1.0);
                let mut first = true;
                while left > 0 {
                    if left & 1 == 1 {
                        acc = if first { base } else { acc * base };
                        first = false;
                    }
                    left >>= 1;
                    if left > 0 { base *= base; }
                }
                if n < 0 { 1.0 / acc } else { acc }
            }
            fn is_nan(self) -> bool { <$t>::is_nan(self) }
        }
        impl Real for $t {
            fn of(x: f64) -> Self { x as $t }
            fn f64(self) -> f64 { f64::from(self) }
        }
    )*};
}
float_number!(f32 f64);

macro_rules! integer_number {
    ($($t:ty, $abs:expr, $sign:expr;)*) => {$(
        impl Number for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LEAST: Self = <$t>::MIN;
            const GREATEST: Self = <$t>::MAX;
            fn add(self, y: Self) -> Self { self.wrapping_add(y) }
            fn sub(self, y: Self) -> Self { self.wrapping_sub(y) }
            fn mul(self, y: Self) -> Self { self.wrapping_mul(y) }
            fn div(self, y: Self) -> Self {
                if y == 0 { !0 } else { self.wrapping_div(y) }
            }
            fn rem(self, y: Self) -> Self {
                if y == 0 { self } else { self.wrapping_rem(y) }
            }
            fn neg(self) -> Self { self.wrapping_neg() }
            fn abs(self) -> Self { ($abs)(self) }
            fn sign(self) -> Self { ($sign)(self) }
            fn max(self, y: Self) -> Self { Ord::max(self, y) }
            fn min(self, y: Self) -> Self { Ord::min(self, y) }
            // Negative powers are 0 but for the units, as integer division would have it.
            fn powi(self, n: i32) -> Self {
                if n >= 0 { return self.wrapping_pow(n as u32); }
                Number::div(1, self.wrapping_pow(n.unsigned_abs()))
            }
            fn is_nan(self) -> bool { false }
        }
    )*};
}
integer_number! {
    i32, i32::wrapping_abs, i32::signum;
    u32, |x| x, |x: u32| u32::from(x > 0);
}

/// Runs `$body` with `$t` standing for the Rust type of `$dtype`, which must be one of the listed.
macro_rules! dispatch {
    (@arm all $dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::buffer::DType::F32 => { type $t = f32; $body }
            $crate::buffer::DType::F64 => { type $t = f64; $body }
            $crate::buffer::DType::I32 => { type $t = i32; $body }
            $crate::buffer::DType::U32 => { type $t = u32; $body }
            $crate::buffer::DType::Bool => { type $t = bool; $body }
        }
    };
    (@arm number $dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::buffer::DType::F32 => { type $t = f32; $body }
            $crate::buffer::DType::F64 => { type $t = f64; $body }
            $crate::buffer::DType::I32 => { type $t = i32; $body }
            $crate::buffer::DType::U32 => { type $t = u32; $body }
            $crate::buffer::DType::Bool => unreachable!("internal: infer let bool through"),
        }
    };
    (@arm float $dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::buffer::DType::F32 => { type $t = f32; $body }
            $crate::buffer::DType::F64 => { type $t = f64; $body }
            other => unreachable!("internal: infer let {other} through"),
        }
    };
    ($class:ident $dtype:expr, $t:ident => $body:expr) => {
        $crate::buffer::dispatch!(@arm $class $dtype, $t => $body)
    };
}
pub(crate) use dispatch;
