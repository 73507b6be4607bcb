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
//! - [`math`]: elementwise functions.

pub mod cpu;
pub mod gemm;
pub mod math;
mod real;

pub use real::Real;
