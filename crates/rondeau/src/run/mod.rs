//! Code and buffers to buffers.

mod engine;
mod executable;
mod session;

pub use engine::Engine;
pub use executable::Executable;
pub use session::Session;
