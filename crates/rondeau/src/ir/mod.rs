//! The language: what is known of values before they are computed, programs, their text, their
//! rules and their meaning.
//!
//! A [`Program`] is a value: equal text means equal program. `eval` is the only place here, and
//! literals the only things, that touch data.

mod aval;
mod builder;
mod check;
mod eval;
mod params;
mod parse;
mod print;
mod program;

pub use aval::Aval;
pub use builder::Builder;
pub(crate) use builder::read;
pub use eval::{Plan, eval};
pub use params::{Params, Value};
pub use program::{Atom, Eqn, Program, Var};
