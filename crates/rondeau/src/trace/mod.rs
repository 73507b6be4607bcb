//! From closures to programs: the type users compute with, its operators, and the front ends of
//! loops and conditionals.
//!
//! An operator asks one question: is some operand a variable of a program being traced? Then it
//! appends an equation there; else it computes at once.

mod array;
mod bind;
mod control;
mod custom;
mod display;
mod index;
mod methods;
mod operators;
mod shaping;
mod tracer;

pub use array::Array;
pub use control::{
    associative_scan, cond, debug_print, fori_loop, map, scan, scan_n, switch, while_loop,
    associative_scan_reverse, scan_reverse, scan_n_reverse,
};
pub use custom::{checkpoint_call, custom_jvp_call, custom_vjp_call};
pub use index::{Index, Indexer};
pub use methods::*;
pub use operators::{Argument, Operand};
pub use shaping::{concatenate, dot_general, einsum, stack, where_};

pub(crate) use bind::{apply, bind, bind1, float_operand};
pub(crate) use tracer::{Closed, trace};
