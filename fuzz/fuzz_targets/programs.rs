//! Arbitrary bytes as a random program, which all engines run: `tests/it/differ` of the crate `rondeau`.
//!
//! ```sh
//! cargo +nightly fuzz run programs --features libfuzzer       # guided by coverage
//! cargo run --release --bin programs -- scalars --runs 1000000 --seed 0
//! cargo run --release --bin programs -- arrays --runs 100000
//! cargo run --release --bin programs -- FILE..                # bytes that libFuzzer has found
//! ```
#![cfg_attr(feature = "libfuzzer", no_main)]

#[allow(dead_code)]
#[path = "../../crates/rondeau/tests/it/differ/mod.rs"]
mod differ;
#[allow(dead_code)]
#[path = "../../crates/rondeau/tests/it/generate.rs"]
mod generate;

use differ::engines::{Plan, check};
use differ::programs::{Kind, case};

/// The first byte says what kind of program; each three of the others are a gene, so that a change of one byte
/// changes one equation.
fn run(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let kind = if first % 2 == 0 { Kind::Scalars } else { Kind::Arrays };
    let gene = |bytes: &[u8]| bytes.iter().fold(0, |gene, &byte| gene << 8 | u64::from(byte));
    let genes: Vec<u64> = rest.chunks(3).take(40).map(gene).collect();
    let number = u64::from(*first);
    let case = case(kind, &genes);
    if check(&case.program, &case.points, &Plan::usual(kind, number)).is_err() {
        panic!("{}", differ::told(kind, genes, number, "these bytes"));
    }
}

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(bytes));

#[cfg(not(feature = "libfuzzer"))]
#[path = "../driver.rs"]
mod driver;

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    let asked = driver::Asked::read();
    match asked.words.first().map(String::as_str) {
        Some("scalars") => differ::over(Kind::Scalars, asked.seed, asked.runs),
        Some("arrays") => differ::over(Kind::Arrays, asked.seed, asked.runs),
        _ => driver::over_bytes(&asked, 120, &run),
    }
}
