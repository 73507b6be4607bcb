//! Code and buffers to buffers.

mod executable;

pub use executable::Executable;
