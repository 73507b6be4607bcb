//! What others' tools find: sanitizers in the machine, licences and sources of what is depended on.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::plan::{ADDRESSES, LICENCES, RACES};
use super::{Outcome, Row, cargo};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A sanitizer, and what is needed beside it.
struct Sanitizer {
    what: &'static str,
    /// What the compiler calls it, and the library of the toolchain that it needs.
    flag: &'static str,
    library: &'static str,
    more_flags: &'static str,
    /// Further arguments of the test binaries.
    arguments: &'static [&'static str],
    /// What it is to keep to itself: the variable that names a file, and the lines of this file.
    suppressions: Option<(&'static str, &'static str)>,
    note: &'static str,
}

/// The machine's tests with every access to memory watched.
pub(super) fn addresses(root: &Path) -> Outcome {
    Sanitizer {
        what: ADDRESSES,
        flag: "address",
        library: "asan",
        more_flags: "",
        // That test measures the memory of the process, of which the sanitizer keeps much.
        arguments: &["--skip", "compiling_and_dropping_leaves_nothing_behind"],
        suppressions: None,
        note: "no access outside, no leak; machine code itself is not watched",
    }
    .run(root)
}

/// The machine's tests of threads with races watched.
///
/// The standard library is as it comes, which is not watched. Two things in it then look like races:
/// `Arc` frees what it holds behind a fence, and the harness of the tests passes their results through
/// a channel. Threads are joined by their handles in the tests, since only that is seen.
pub(super) fn races(root: &Path) -> Outcome {
    Sanitizer {
        what: RACES,
        flag: "thread",
        library: "tsan",
        more_flags: " -Cunsafe-allow-abi-mismatch=sanitizer",
        arguments: &["pool::", "thread", "parts", "side_by_side"],
        suppressions: Some((
            "TSAN_OPTIONS",
            "race:library/alloc/src/sync.rs\nrace:library/std/src/sync/mpmc\n",
        )),
        note: "no race; the standard library and machine code are not watched",
    }
    .run(root)
}

impl Sanitizer {
    fn run(&self, root: &Path) -> Outcome {
        let start = Instant::now();
        if let Some(why) = self.is_missing() {
            return Outcome::of(Row::skipped(self.what, &why));
        }
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        let flags = format!("{flags} -Zsanitizer={}{}", self.flag, self.more_flags);
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let target = root.join(target).join(self.library);
        let mut command = Command::new(cargo());
        command
            .args(["test", "-p", "rondeau-machine", "--lib", "--tests", "--target", TARGET, "--"])
            .args(self.arguments)
            // Sanitizers are switched on by an option that stable compilers keep for themselves.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", flags.trim())
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(root);
        if let Some((variable, lines)) = self.suppressions {
            let file = target.join("suppressions.txt");
            let written =
                std::fs::create_dir_all(&target).and_then(|()| std::fs::write(&file, lines));
            if let Err(error) = written {
                return Outcome::of(Row::skipped(
                    self.what,
                    &format!("no file of options: {error}"),
                ));
            }
            command.env(variable, format!("suppressions={}", file.display()));
        }
        let (lines, problem) = super::follow(command, |_| {});
        let sum = |word: &str| -> u64 {
            let results = lines.iter().filter(|line| line.starts_with("test result: "));
            results.filter_map(|line| number_before(line, word)).sum()
        };
        let (run, failed) = (sum(" passed"), sum(" failed"));
        // A report of a sanitizer ends the process, so that no result is told.
        let failed = failed.max(u64::from(problem.is_some()));
        let row = Row {
            what: self.what.to_owned(),
            asked: 0,
            run,
            failed,
            peak: None,
            ms: start.elapsed().as_millis() as u64,
            note: self.note.to_owned(),
        };
        Outcome { rows: vec![row], problem, lines }
    }

    /// Why it cannot run here.
    fn is_missing(&self) -> Option<String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Some("only on Linux on x86-64".to_owned());
        }
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let asked = Command::new(rustc).args(["--print", "sysroot"]).output();
        let sysroot = match asked {
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) => return Some(format!("rustc cannot be asked: {error}")),
        };
        let dir = Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib");
        let end = format!("_rt.{}.a", self.library);
        let mut files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let has = files.any(|file| file.file_name().to_string_lossy().ends_with(&end));
        (!has).then(|| format!("this toolchain has no library that ends in {end}"))
    }
}

/// The number before a word.
fn number_before(line: &str, word: &str) -> Option<u64> {
    line.split(word).next()?.rsplit(' ').next()?.parse().ok()
}

/// Licences, bans and sources of all dependencies, by `cargo deny` and `deny.toml`.
pub(super) fn licences(root: &Path) -> Outcome {
    let start = Instant::now();
    if !has_deny() {
        return Outcome::of(Row::skipped(LICENCES, "cargo-deny is not installed"));
    }
    let mut command = Command::new(cargo());
    command.args(["deny", "--all-features", "check", "bans", "licenses", "sources"]);
    let (lines, problem) = super::follow(command.current_dir(root), |_| {});
    // The last line is `bans ok, licenses ok, sources ok`.
    let told = lines.iter().rev().find(|line| line.contains("bans ")).cloned().unwrap_or_default();
    let run = told.matches(" ok").count() as u64;
    let row = Row {
        what: LICENCES.to_owned(),
        asked: 0,
        run,
        failed: told.matches(" FAILED").count() as u64,
        peak: None,
        ms: start.elapsed().as_millis() as u64,
        note: told,
    };
    Outcome { rows: vec![row], problem, lines }
}

/// Whether `cargo deny` is there.
fn has_deny() -> bool {
    Command::new(cargo()).args(["deny", "--version"]).output().is_ok_and(|out| out.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_tests_are_numbers() {
        let line = "test result: ok. 12 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out";
        assert_eq!(number_before(line, " passed"), Some(12));
        assert_eq!(number_before(line, " failed"), Some(3));
        assert_eq!(number_before("test result:", " passed"), None);
    }
}
