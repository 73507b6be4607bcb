//! From closures to programs: the type users compute with, its operators, and the front ends of
//! loops and conditionals.
//!
//! An operator asks one question: is some operand a variable of a program being traced? Then it
//! appends an equation there; else it computes at once.

mod array;
mod bind;
mod control;
mod display;
mod index;
#[cfg(feature = "ndarray")]
mod interop;
mod methods;
mod named;
mod operators;
mod shaping;
mod tracer;

pub use array::Array;
pub use control::{
    AssociativeOptions, ScanOptions, associative_scan, associative_scan_with, cond, debug_print,
    fori_loop, map, scan, scan_n, scan_reverse, scan_with, switch, while_loop,
};
pub use index::{Index, Indexer, NewAxis, Step};
pub use methods::*;
pub use named::{sort_by_keys, threefry2x32};
pub use operators::{Argument, Operand};
pub use shaping::{concatenate, dot_general, einsum, stack, where_};

pub(crate) use bind::{apply, bind, bind1, check_sizes};
pub(crate) use control::{avals, check_carry, owned, poisoned};
pub(crate) use tracer::{Closed, is_traced, outline, trace};
