//! Code and buffers to buffers.

mod engine;
mod executable;
mod session;
mod threads;

pub use engine::Engine;
pub use executable::Executable;
pub use session::Session;
pub use threads::{MAX_THREADS, threads};
