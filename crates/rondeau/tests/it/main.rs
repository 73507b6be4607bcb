//! Tests of the language through its public interface.

mod corners;
mod golden;
