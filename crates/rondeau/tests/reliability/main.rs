//! What must hold when things go wrong: processes that are killed, disks that fail or are full,
//! files that somebody made up, numbers that are not finite.
//!
//! The counts are small by default; `RONDEAU_RELIABILITY=full` takes those of a release, and
//! `RONDEAU_SEED` other cases. `cargo run -p xtask -- reliability` does both and prints a table.

mod cellfile;
mod child;
mod disk;
mod hostile;
mod kill;
mod mutate;
mod nonfinite;
mod train;

use rondeau_machine::count::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// How often something is tried: before a release, and otherwise.
fn count(full: u64, small: u64) -> u64 {
    match std::env::var("RONDEAU_RELIABILITY").as_deref() {
        Ok("full") => full,
        _ => small,
    }
}

/// A line of the table.
fn tell(what: &str, n: u64, outcome: &str) {
    println!("reliability: {what} | {n} | {outcome}");
}

/// Random numbers (SplitMix64), the same for the same seed.
struct Rng(u64);

impl Rng {
    /// Of the seed in `RONDEAU_SEED`, or 1, which is printed so that a failure can be repeated.
    fn new(what: &str) -> Rng {
        let seed = std::env::var("RONDEAU_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(1);
        println!("{what}: RONDEAU_SEED={seed}");
        Rng(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
