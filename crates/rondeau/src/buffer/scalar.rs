//! One value of any element type.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::DType;

/// One value, tagged with its element type. Equality and hash are by bits, with all NaNs equal.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Scalar {
    F32(f32),
    F64(f64),
    I32(i32),
    U32(u32),
    Bool(bool),
}

impl Scalar {
    /// The element type.
    pub fn dtype(self) -> DType {
        match self {
            Scalar::F32(_) => DType::F32,
            Scalar::F64(_) => DType::F64,
            Scalar::I32(_) => DType::I32,
            Scalar::U32(_) => DType::U32,
            Scalar::Bool(_) => DType::Bool,
        }
    }

    /// The value in another element type, as the primitive `convert` does it: floats to integers
    /// saturate and NaN gives 0; anything but zero is true.
    pub fn convert(self, to: DType) -> Scalar {
        macro_rules! to {
            ($x:expr, $truth:expr) => {
                match to {
                    DType::F32 => Scalar::F32($x as f32),
                    DType::F64 => Scalar::F64($x as f64),
                    DType::I32 => Scalar::I32($x as i32),
                    DType::U32 => Scalar::U32($x as u32),
                    DType::Bool => Scalar::Bool($truth),
                }
            };
        }
        match self {
            Scalar::F32(x) => to!(x, x != 0.0),
            Scalar::F64(x) => to!(x, x != 0.0),
            Scalar::I32(x) => to!(x, x != 0),
            Scalar::U32(x) => to!(x, x != 0),
            Scalar::Bool(x) => to!(u8::from(x), x),
        }
    }

    /// The value `x`, rounded to `dtype`.
    pub fn of(x: f64, dtype: DType) -> Scalar {
        Scalar::F64(x).convert(dtype)
    }

    /// The value as a float, exact but for nothing: all element types fit.
    pub fn to_f64(self) -> f64 {
        match self.convert(DType::F64) {
            Scalar::F64(x) => x,
            _ => unreachable!("internal: convert returns the asked type"),
        }
    }

    fn bits(self) -> (DType, u64) {
        let bits = match self {
            Scalar::F32(x) if x.is_nan() => u64::from(f32::NAN.to_bits()),
            Scalar::F32(x) => u64::from(x.to_bits()),
            Scalar::F64(x) if x.is_nan() => f64::NAN.to_bits(),
            Scalar::F64(x) => x.to_bits(),
            Scalar::I32(x) => u64::from(x as u32),
            Scalar::U32(x) => u64::from(x),
            Scalar::Bool(x) => u64::from(x),
        };
        (self.dtype(), bits)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

/// The shortest text that reads back as the same value.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::F32(x) if x.is_nan() => f.write_str("nan"),
            Scalar::F64(x) if x.is_nan() => f.write_str("nan"),
            Scalar::F32(x) => write!(f, "{x:?}"),
            Scalar::F64(x) => write!(f, "{x:?}"),
            Scalar::I32(x) => write!(f, "{x}"),
            Scalar::U32(x) => write!(f, "{x}"),
            Scalar::Bool(x) => write!(f, "{x}"),
        }
    }
}
