//! Host data: element types, shapes, and strided views of shared memory. Knows no programs.

mod data;
mod dtype;
mod scalar;
mod shape;

pub use data::Buffer;
pub(crate) use data::{Layout, Mark};
pub(crate) use dtype::dispatch;
pub use dtype::{DType, Element, Number, Real};
pub use scalar::Scalar;
pub use shape::{MAX_BYTES, Shape};
