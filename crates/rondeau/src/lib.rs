//! `lax.scan` for Rust.
#![forbid(unsafe_code)]

extern crate self as rondeau;

pub mod buffer;
pub mod error;
pub mod ir;
pub mod prim;
pub mod trace;
pub mod transform;
pub mod tree;

pub use error::{Error, Result};
pub use rondeau_derive::Tree;
pub use trace::Array;
pub use tree::Tree;
