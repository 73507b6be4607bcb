//! Tests of the language through its public interface.

mod golden;
