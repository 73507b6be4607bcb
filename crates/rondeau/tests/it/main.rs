//! Tests of the language through its public interface.

mod corners;
mod generate;
mod golden;
mod laws;
