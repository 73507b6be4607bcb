//! `lax.scan` for Rust.
#![forbid(unsafe_code)]

extern crate self as rondeau;

pub mod api;
pub mod buffer;
pub mod compile;
pub mod error;
pub mod ir;
pub mod optimize;
pub mod prim;
pub mod random;
pub mod run;
pub mod trace;
pub mod transform;
pub mod tree;

pub use api::*;
pub use buffer::DType;
pub use error::{Error, Result};
pub use rondeau_derive::Tree;
pub use trace::*;
pub use tree::Tree;
