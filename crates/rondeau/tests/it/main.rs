//! Tests of the language through its public interface.

mod corners;
mod corpus;
mod engines;
mod generate;
mod golden;
mod laws;
