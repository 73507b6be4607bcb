//! Tests of the language through its public interface.

mod engines;
mod generate;
mod golden;
mod laws;
