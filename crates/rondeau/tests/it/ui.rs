//! What the compiler says to programs that it refuses: `tests/ui/*.rs` and the texts beside them.

#[test]
fn mistakes_that_the_compiler_finds() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
