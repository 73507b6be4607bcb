//! What runs a target without libFuzzer: on files, or on random bytes.

use crate::generate::Rng;

/// The arguments `--runs N`, `--seed S`, and others.
#[derive(Debug)]
pub struct Asked {
    pub runs: u64,
    pub seed: u64,
    pub words: Vec<String>,
}

impl Asked {
    pub fn read() -> Asked {
        let mut asked = Asked { runs: 1000, seed: 0, words: vec![] };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || {
                let text = args.next().unwrap_or_default();
                text.parse().unwrap_or_else(|_| panic!("{arg} takes a number, not `{text}`"))
            };
            match arg.as_str() {
                "--runs" => asked.runs = number(),
                "--seed" => asked.seed = number(),
                _ => asked.words.push(arg),
            }
        }
        asked
    }
}

/// Runs the target on each of the files, or on random bytes if there are none.
pub fn over_bytes(asked: &Asked, most: usize, run: &dyn Fn(&[u8])) {
    for file in &asked.words {
        let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        run(&bytes);
        println!("{file}: as it should be");
    }
    if !asked.words.is_empty() {
        return;
    }
    for seed in asked.seed..asked.seed + asked.runs {
        let mut rng = Rng::new(seed);
        let bytes: Vec<u8> = (0..rng.below(most)).map(|_| rng.next() as u8).collect();
        run(&bytes);
    }
    println!("{} runs from seed {}", asked.runs, asked.seed);
}
