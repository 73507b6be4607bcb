//! What the tests of reliability share, those of the command line too: counts, random numbers,
//! accidents in files, the bound on memory, and the lines that `xtask reliability` puts in a table.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rondeau_machine::count::peak_bytes;

/// Beyond the size of the file, a reader may take so much.
pub(crate) const MOST_BYTES: usize = 16 << 20;

/// How often something is tried: before a release, and otherwise.
pub(crate) fn count(full: u64, small: u64) -> u64 {
    match std::env::var("RONDEAU_RELIABILITY").as_deref() {
        Ok("full") => full,
        _ => small,
    }
}

/// Counts what has gone as it must, and tells it as a row of the table: also when a test panics
/// before it is done, which is a failure after so many.
pub(crate) struct Tally {
    what: &'static str,
    asked: u64,
    run: u64,
    peak: Option<usize>,
    start: Instant,
    is_told: bool,
}

impl Tally {
    /// Of something that is to be tried so often.
    pub(crate) fn new(what: &'static str, asked: u64) -> Tally {
        Tally { what, asked, run: 0, peak: None, start: Instant::now(), is_told: false }
    }

    /// One more has gone as it must.
    pub(crate) fn pass(&mut self) {
        self.run += 1;
    }

    /// Something took so much memory beyond what it read.
    pub(crate) fn peak(&mut self, beyond: usize) {
        self.peak = self.peak.max(Some(beyond));
    }

    /// All of it is done. A note that begins with `skipped: ` says why it was not tried.
    pub(crate) fn done(mut self, note: &str) {
        self.tell(0, note);
    }

    fn tell(&mut self, failed: u64, note: &str) {
        self.is_told = true;
        let Tally { what, asked, run, .. } = self;
        let peak = self.peak.map_or("-".to_owned(), |peak| peak.to_string());
        let ms = self.start.elapsed().as_millis();
        println!("reliability: {what} | {asked} | {run} | {failed} | {peak} | {ms} | {note}");
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(1, "the first failure ended it");
        }
    }
}

/// Random numbers (SplitMix64), the same for the same seed.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// Of the seed in `RONDEAU_SEED`, or 1, which is printed so that a failure can be repeated.
    pub(crate) fn new(what: &str) -> Rng {
        let seed = std::env::var("RONDEAU_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(1);
        println!("{what}: RONDEAU_SEED={seed}");
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A few accidents in a file, some of which put in a word of the format.
pub(crate) fn mutate(bytes: &mut Vec<u8>, words: &[&[u8]], rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let at = rng.below(bytes.len());
        let end = at + rng.below(bytes.len() - at + 1).min(1 + rng.below(40));
        match rng.below(10) {
            0 | 1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes[at] = rng.next() as u8,
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            6 => drop(bytes.splice(at..end, words[rng.below(words.len())].iter().copied())),
            7 => {
                // A number written in digits becomes another.
                let digit = |byte: &u8| byte.is_ascii_digit();
                if let Some(at) = bytes[at..].iter().position(digit).map(|i| i + at) {
                    bytes[at] = b'0' + rng.below(10) as u8;
                }
            }
            8 => {
                let boundary = [0, 1, 0x7f, 0x80, 0xff][rng.below(5)];
                let n = [1, 2, 4, 8][rng.below(4)];
                bytes.iter_mut().skip(at).take(n).for_each(|byte| *byte = boundary);
            }
            _ => {
                let to = rng.below(bytes.len());
                bytes.swap(at, to);
            }
        }
    }
}

/// Runs a reader on a file within the bound on memory.
#[track_caller]
pub(crate) fn bounded<T>(tally: &mut Tally, bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    let (result, peak) = peak_bytes(|| read(bytes));
    let beyond = peak.saturating_sub(bytes.len());
    tally.peak(beyond);
    assert!(
        beyond <= MOST_BYTES,
        "{peak} bytes of memory for a file of {}: {}",
        bytes.len(),
        bytes[..bytes.len().min(400)].escape_ascii()
    );
    result
}

/// What is mutated: files that can be read, words to put in, and what puts right afterwards that
/// which would hide all mistakes behind it.
pub(crate) struct Mutation<'a> {
    pub(crate) seeds: &'a [Vec<u8>],
    pub(crate) words: &'a [&'a [u8]],
    pub(crate) repair: fn(&mut Vec<u8>, &mut Rng),
}

impl Mutation<'_> {
    /// Reads the seeds, and `n` mutations of them; the reader says whether it took a file, and
    /// panics if it took what it must not. A panic says which file it was.
    pub(crate) fn survive(&self, what: &'static str, n: u64, read: impl Fn(&[u8]) -> bool) {
        let mut rng = Rng::new(what);
        let mut tally = Tally::new(what, n);
        for seed in self.seeds {
            assert!(bounded(&mut tally, seed, &read), "{what}: {}", seed.escape_ascii());
        }
        let mut n_read = 0_u64;
        for case in 0..n {
            let start = rng.0;
            let mut bytes = self.seeds[case as usize % self.seeds.len()].clone();
            mutate(&mut bytes, self.words, &mut rng);
            (self.repair)(&mut bytes, &mut rng);
            match catch_unwind(AssertUnwindSafe(|| bounded(&mut tally, &bytes, &read))) {
                Ok(is_read) => n_read += u64::from(is_read),
                Err(_) => {
                    panic!("{what}: case {case}, state {start:#x}: \"{}\"", bytes.escape_ascii())
                }
            }
            tally.pass();
        }
        tally.done(&format!("no panic; {n_read} still read"));
    }
}

/// Nothing to put right.
pub(crate) fn leave(_: &mut Vec<u8>, _: &mut Rng) {}

/// A name, and the bytes of a file that somebody made up.
pub(crate) type Case = (&'static str, Vec<u8>);

/// Reads each of the files within the bound on memory, and returns what is said of each: that it is
/// read, or the first line of the refusal.
pub(crate) fn told<E: std::fmt::Display>(
    tally: &mut Tally,
    cases: &[Case],
    read: impl Fn(&[u8]) -> Result<(), E>,
) -> String {
    let mut told = String::new();
    for (name, bytes) in cases {
        let headline = match bounded(tally, bytes, &read) {
            Ok(()) => "(read)".to_owned(),
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        assert!(!headline.is_empty(), "{name}: refused without a word");
        let fault = headline.split_once("that can be used: ");
        let fault = fault.map_or(headline.as_str(), |(_, fault)| fault);
        told.push_str(&format!("{name}: {fault}\n"));
        tally.pass();
    }
    told
}
