//! `lax.scan` for Rust.
#![forbid(unsafe_code)]
