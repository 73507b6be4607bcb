//! What is tried before a release, and how often.

/// One thing that is tried.
pub(super) struct Planned {
    pub(super) suite: Suite,
    /// The test that tells of it; nothing for what is no test.
    pub(super) test: &'static str,
    /// Its name in the table, which the test says too.
    pub(super) what: &'static str,
    /// How often before a release.
    pub(super) full: u64,
    /// How often with `--quick`.
    pub(super) quick: u64,
}

/// Where a thing is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// The tests of the library.
    Library,
    /// The tests of the command line.
    Command,
    /// The machine, with accesses to memory watched.
    Asan,
    /// The machine, with races watched.
    Tsan,
    /// What is depended on.
    Deny,
}

impl Suite {
    /// All, in the order in which they run; those that one command runs stand together.
    pub(super) const TOGETHER: [&[Suite]; 4] =
        [&[Suite::Library, Suite::Command], &[Suite::Asan], &[Suite::Tsan], &[Suite::Deny]];

    /// What `--only` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Suite::Library => "library",
            Suite::Command => "command",
            Suite::Asan => "asan",
            Suite::Tsan => "tsan",
            Suite::Deny => "deny",
        }
    }

    /// Whether it is a part of `--quick`.
    pub(super) fn is_quick(self) -> bool {
        matches!(self, Suite::Library | Suite::Command)
    }
}

const fn library(test: &'static str, what: &'static str, full: u64, quick: u64) -> Planned {
    Planned { suite: Suite::Library, test, what, full, quick }
}

const fn command(test: &'static str, what: &'static str, full: u64, quick: u64) -> Planned {
    Planned { suite: Suite::Command, test, what, full, quick }
}

const fn outside(suite: Suite, what: &'static str, full: u64) -> Planned {
    Planned { suite, test: "", what, full, quick: 0 }
}

const MILLION: u64 = 1_000_000;
/// Files with accidents in the quick run.
const FEW: u64 = 20_000;

/// All of it.
pub(super) const PLAN: &[Planned] = &[
    library("kill::saving_survives_kill", "kill -9 while saving", 1000, 20),
    library(
        "train::a_run_that_is_killed_ends_with_the_same_bits",
        "runs killed and gone on with",
        100,
        3,
    ),
    library(
        "train::a_run_that_is_stopped_after_any_step_ends_with_the_same_bits",
        "runs stopped after each step, gone on with",
        39,
        5,
    ),
    library(
        "train::a_damaged_checkpoint_falls_back_and_ends_with_the_same_bits",
        "damaged newest checkpoints",
        100,
        3,
    ),
    library(
        "disk::no_step_that_fails_loses_anything",
        "n-th create, write, fsync, rename, remove",
        30,
        30,
    ),
    library(
        "disk::a_full_disk_leaves_the_old_file",
        "disk full, injected after any number of bytes",
        200,
        20,
    ),
    library(
        "disk::a_file_system_that_is_full_leaves_the_old_file",
        "disk full, a file system of 8 MiB",
        100,
        10,
    ),
    library(
        "disk::a_limit_on_files_leaves_the_old_file",
        "write refused by a limit of the system",
        100,
        10,
    ),
    library(
        "disk::many_writers_of_one_file_do_not_disturb_each_other",
        "writes of one file by 4 threads at once",
        2000,
        200,
    ),
    library("mutate::safetensors_files", "safetensors, mutated", MILLION, FEW),
    library("mutate::npy_files", "npy, mutated", MILLION, FEW),
    library("mutate::npz_files", "npz, mutated", MILLION, FEW),
    library("mutate::checkpoint_files", "checkpoint, mutated", MILLION, FEW),
    library("cellfile::cell_files", ".cell, mutated", MILLION, FEW),
    library("cellfile::cell_files_of_words", ".cell, random words", MILLION, FEW),
    command("data::series_with_accidents", "CSV series, mutated", MILLION, FEW),
    command("data::sequences_with_accidents", "CSV and .ts sequences, mutated", MILLION, FEW),
    command("options::options_with_accidents", "TOML options, mutated", MILLION, FEW),
    library("hostile::safetensors_files", "safetensors, made by hand", 60, 60),
    library("hostile::npy_files", "npy, made by hand", 60, 60),
    library("hostile::npz_files", "npz, made by hand", 60, 60),
    library("hostile::checkpoint_files", "checkpoint, made by hand", 60, 60),
    library("cellfile::cell_files_made_by_hand", ".cell, made by hand", 60, 60),
    command("data::series_made_by_hand", "CSV, made by hand", 60, 60),
    command("data::sequences_made_by_hand", "CSV and .ts sequences, made by hand", 60, 60),
    command("options::options_made_by_hand", "TOML, made by hand", 60, 60),
    library(
        "schedule::streams_on_any_schedule_are_a_scan",
        "stream schedules equal to scan",
        100_000,
        600,
    ),
    library(
        "nonfinite::the_primitive_and_the_row_are_named",
        "NaN or infinity from a random primitive, located",
        1000,
        50,
    ),
    library(
        "nonfinite::nan_in_any_place_of_any_cell_is_located",
        "NaN in a random place of a random cell, located",
        1000,
        60,
    ),
    outside(Suite::Asan, ADDRESSES, 60),
    outside(Suite::Tsan, RACES, 10),
    outside(Suite::Deny, LICENCES, 3),
];

pub(super) const ADDRESSES: &str = "tests of rondeau-machine under ASan";
pub(super) const RACES: &str = "tests of rondeau-machine under TSan";
pub(super) const LICENCES: &str = "cargo deny: bans, licences, sources";
