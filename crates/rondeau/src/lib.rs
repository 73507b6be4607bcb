//! `lax.scan` for Rust: one step of a recurrent cell, written as plain mathematics, becomes the
//! compiled loop, its gradients and its batches.
//!
//! ```
//! use rondeau::{Array, grad, jit, scan};
//!
//! // An exponential average: x, the average so far -> the new one, twice.
//! fn step(rate: &Array, average: &Array, x: &Array) -> (Array, Array) {
//!     let average = average + rate * (x - average);
//!     (average.clone(), average)
//! }
//!
//! // How far each average is from the value after it, squared and summed.
//! fn loss(rate: &Array, xs: &Array) -> Array {
//!     let (_, averages) = scan(|average, x| step(rate, average, x), &xs.at(0), xs);
//!     (averages.at(..3) - xs.at(1..)).square().sum()
//! }
//!
//! let (rate, xs) = (Array::from(0.5_f32), Array::from([0.0_f32, 1.0, 2.0, 3.0]));
//! assert_eq!(jit(loss).call(&rate, &xs)?.item::<f32>()?, 6.3125);
//! assert!(jit(grad(loss)).call(&rate, &xs)?.item::<f32>()? < 0.0);
//! # Ok::<(), rondeau::Error>(())
//! ```
//!
//! # Where to start
//! - [`Array`] is the one type of values, with its operators and methods; [`Tree`] is any structure
//!   of them, such as a struct of parameters.
//! - [`scan()`] and its relatives [`while_loop`], [`fori_loop`], [`cond`] are the loops and choices.
//! - [`jit()`], [`grad()`], [`vmap()`], [`jvp()`], [`vjp()`], [`checkpoint`] transform functions of
//!   trees, in any order and depth; their results are called by `call`, and used inside other
//!   functions by `apply`.
//! - [`random`] has keys and draws, with the bits of JAX.
//! - [`io`] reads and writes arrays and checkpoints; [`train`] runs an update over batches, and goes
//!   on after a crash with the same bits.
//! - [`cellfile`] makes a cell of a file of equations.
//! - A mistake travels inside of arrays and comes out as an [`Error`] where values leave.
//!
//! # The rooms
//! In reading order, from what users call down to what runs. Each says at its head what it is for
//! and what it must not know.
//!
//! | Room | What it is |
//! |---|---|
//! | [`api`] | `jit`, `grad`, `vmap` and their relatives: a few lines each, naming the stations |
//! | [`trace`] | closures to programs; [`Array`], its operators, the front ends of loops |
//! | [`ir`] | the language: [`ir::Program`], its text, its rules and its meaning |
//! | [`prim`] | the primitives by family, each with all its rules |
//! | [`transform`] | program to program, new meaning: derivatives and batches |
//! | [`optimize`] | program to program, same meaning: the passes |
//! | [`compile`] | program to the machine's code: kernels, their order, their memory |
//! | [`export`] | program to files of Rust, C and ONNX |
//! | [`run`] | code and buffers to buffers: [`run::Executable`], [`run::Engine`] |
//! | [`tree`], [`buffer`], [`error`] | below everything: structure, host data, mistakes |
//! | [`random`], [`io`], [`train`], [`cellfile`] | above everything: could have been written by a user |
//!
//! The code that all of this ends in, and everything `unsafe`, is the crate `rondeau-machine`.
#![forbid(unsafe_code)]

extern crate self as rondeau;

pub mod api;
pub mod buffer;
pub mod cellfile;
pub mod compile;
pub mod error;
pub mod export;
pub mod io;
pub mod ir;
pub mod nn;
pub mod optim;
pub mod optimize;
pub mod prim;
pub mod random;
pub mod run;
pub mod trace;
pub mod train;
pub mod transform;
pub mod tree;

pub use api::*;
pub use buffer::{DType, Shape};
pub use error::{Error, Result};
pub use rondeau_derive::Tree;
pub use trace::*;
pub use tree::Tree;

/// The code of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
