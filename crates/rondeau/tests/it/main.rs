//! Tests of the language through its public interface.

mod bad_input;
mod corners;
mod corpus;
mod differ;
mod engines;
mod errors;
mod examples;
mod generate;
mod golden;
mod laws;
mod nn;
mod stream;
mod threads;
mod ui;
