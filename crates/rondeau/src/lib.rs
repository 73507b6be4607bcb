//! `lax.scan` for Rust.
#![forbid(unsafe_code)]

pub mod buffer;
pub mod error;
pub mod ir;
pub mod prim;
pub mod transform;
