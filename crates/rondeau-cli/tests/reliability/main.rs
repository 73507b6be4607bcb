//! Files for the command that have had accidents, or that somebody made up to break it: data in CSV
//! and options in TOML. None makes it panic, abort, hang, or take more memory than the file's size
//! and 16 MiB.
//!
//! Counts are those of the library's own tests of reliability, and told in the same way.

#[path = "../../../rondeau/tests/reliability/harness.rs"]
mod harness;

mod data;
mod options;

use rondeau_machine::count::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
