//! Any text is read as a program or refused, without a panic; what was read prints as text that reads back the same.
//!
//! ```sh
//! cargo +nightly fuzz run text --features libfuzzer ../crates/rondeau/tests/corpus
//! cargo run --release --bin text -- --runs 1000000 --seed 0   # texts of random programs with mistakes
//! cargo run --release --bin text -- FILE..
//! ```
#![cfg_attr(feature = "libfuzzer", no_main)]

use rondeau::ir::Program;

/// Whether the text is a program.
fn run(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Ok(program) = text.parse::<Program>() else { return false };
    let printed = program.to_string();
    match printed.parse::<Program>() {
        Ok(again) => assert!(again == program, "it reads back as another program:\n{printed}"),
        Err(error) => panic!("it does not read back: {error}\n{printed}"),
    }
    true
}

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    run(bytes);
});

#[cfg(not(feature = "libfuzzer"))]
#[allow(dead_code)]
#[path = "../../crates/rondeau/tests/it/differ/mod.rs"]
mod differ;
#[cfg(not(feature = "libfuzzer"))]
#[path = "../driver.rs"]
mod driver;
#[cfg(not(feature = "libfuzzer"))]
#[allow(dead_code)]
#[path = "../../crates/rondeau/tests/it/generate.rs"]
mod generate;

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    let asked = driver::Asked::read();
    if !asked.words.is_empty() {
        return driver::over_bytes(&asked, 0, &|bytes| {
            run(bytes);
        });
    }
    let (mut n_read, mut n_whole) = (0, 0);
    for seed in asked.seed..asked.seed + asked.runs {
        let mut rng = generate::Rng::new(seed);
        let kind = *rng.choose(&[differ::programs::Kind::Scalars, differ::programs::Kind::Arrays]);
        let genes: Vec<u64> = (0..2 + rng.below(8)).map(|_| rng.next()).collect();
        let mut text = differ::programs::case(kind, &genes).program.to_string().into_bytes();
        assert!(run(&text), "a printed program is refused");
        n_whole += 1;
        // And with mistakes: bytes changed, left out, and pieces moved.
        for _ in 0..16 {
            with_mistake(&mut text, &mut rng);
            n_read += u64::from(run(&text));
        }
    }
    println!(
        "{n_whole} programs, and {} texts with mistakes, {n_read} of them programs",
        16 * n_whole
    );
}

#[cfg(not(feature = "libfuzzer"))]
fn with_mistake(text: &mut Vec<u8>, rng: &mut generate::Rng) {
    const BYTES: &[u8] = b"{}[]()=:,. -0123456789abcxyz_fiu\n\xff";
    let at = rng.below(text.len().max(1));
    match rng.below(5) {
        0 if at < text.len() => text[at] = *rng.choose(BYTES),
        1 if at < text.len() => {
            text.remove(at);
        }
        2 => text.insert(at, *rng.choose(BYTES)),
        3 => {
            let digit = text[at..].iter().position(u8::is_ascii_digit);
            if let Some(i) = digit {
                text[at + i] = b"0123456789"[rng.below(10)];
            }
        }
        _ => {
            let end = (at + rng.below(20)).min(text.len());
            let piece = text[at..end].to_vec();
            let to = rng.below(text.len() + 1);
            text.splice(to..to, piece);
        }
    }
}
