//! What must hold when things go wrong: processes that are killed, disks that fail or are full,
//! files that somebody made up, numbers that are not finite; and streams that go back and forth.
//!
//! The counts are small by default; `RONDEAU_RELIABILITY=full` takes those of a release, and
//! `RONDEAU_SEED` other cases. `cargo run -p xtask -- reliability` does both and prints a table.

mod cellfile;
mod cells;
mod child;
mod disk;
mod harness;
mod hostile;
mod kill;
mod mutate;
mod nonfinite;
mod schedule;
mod train;

use rondeau_machine::count::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
