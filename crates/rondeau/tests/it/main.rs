//! Tests of the language through its public interface.

mod bad_input;
mod corners;
mod corpus;
mod engines;
mod errors;
mod generate;
mod golden;
mod laws;
mod stream;
mod threads;
mod ui;
