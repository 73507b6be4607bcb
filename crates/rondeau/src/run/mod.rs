//! Code and buffers to buffers.

mod executable;

pub use executable::Executable;
pub use rondeau_machine::Executor;
