//! Code and buffers to buffers.

mod engine;
mod executable;

pub use engine::Engine;
pub use executable::Executable;
