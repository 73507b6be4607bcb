//! What is known of a value before it is computed.

use std::fmt;

use crate::buffer::{Buffer, DType, Shape};

/// The element type and shape of a value (JAX: abstract value). Prints as `f32[8,5]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Aval {
    /// The element type.
    pub dtype: DType,
    /// The size of each axis.
    pub shape: Shape,
}

impl Aval {
    /// An aval from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Aval {
        Aval { dtype, shape: shape.into() }
    }

    /// The aval of a value without axes.
    pub fn scalar(dtype: DType) -> Aval {
        Aval { dtype, shape: Shape::scalar() }
    }

    /// The aval of existing data.
    pub fn of(buffer: &Buffer) -> Aval {
        Aval { dtype: buffer.dtype(), shape: buffer.shape().clone() }
    }

    /// Bytes of a value of this type.
    pub fn bytes(&self) -> usize {
        self.shape.count().saturating_mul(self.dtype.size())
    }

    /// The same element type in another shape.
    pub fn reshaped(&self, shape: impl Into<Shape>) -> Aval {
        Aval { dtype: self.dtype, shape: shape.into() }
    }

    /// This aval with a new outermost axis.
    pub fn prepend(&self, size: usize) -> Aval {
        Aval { dtype: self.dtype, shape: self.shape.prepend(size) }
    }

    /// The aval of one row: this one without axis 0.
    pub fn row(&self) -> Aval {
        Aval { dtype: self.dtype, shape: self.shape.without(0) }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// Whether the value has a derivative.
    pub fn is_float(&self) -> bool {
        self.dtype.is_float()
    }
}

impl fmt::Display for Aval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

impl fmt::Debug for Aval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
