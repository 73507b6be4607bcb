//! The machine room: all unsafe code of rondeau, behind safe functions over slices.
//!
//! The room computes on plain numbers and instructions. It must not know programs, primitives, trees or
//! derivatives: what it is asked to run arrives already lowered. Every public function validates what it is
//! given; every kernel that uses special instructions has a safe twin, chosen where the processor lacks them.
//!
//! In reading order:
//! - [`cpu`]: which instruction set to use;
//! - [`Real`]: the element types, `f32` and `f64`;
//! - [`gemm`]: matrix products of strided operands;
//! - [`math`]: elementwise functions;
//! - [`code`], [`dag`]: the kernel IR, and [`check`], its validation;
//! - [`Executable`]: a checked code with its executor, and [`Arena`], the memory that a call works in;
//! - [`limits`]: what one core can do at best.

mod arena;
pub mod check;
pub mod code;
#[doc(hidden)]
pub mod count;
pub mod cpu;
pub mod dag;
mod exec;
pub mod gemm;
pub mod limits;
pub mod math;
mod pool;
mod real;
mod scalar;
#[cfg(test)]
mod twin;
mod vm;
#[cfg(all(target_arch = "x86_64", unix))]
mod x64;

pub use arena::Arena;
pub use exec::{
    CallError, Element, Executable, Executor, Tapped, as_bytes, as_bytes_mut, requested_executor,
};
pub use pool::{available_threads, requested_threads};
pub use real::Real;
