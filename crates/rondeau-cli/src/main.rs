//! The `rondeau` command.
fn main() {}
