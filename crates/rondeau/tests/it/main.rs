//! Tests of the language through its public interface.

mod generate;
mod golden;
mod laws;
