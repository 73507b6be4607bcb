//! What happens when things go wrong, tried as often as before a release, as one table.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// What `reliability --help` prints.
pub(crate) const HELP: &str = "\
Tries what happens when things go wrong, as often as before a release, and prints one table:
processes that are killed while they save, runs that are killed and gone on with, disks that fail at
every step or are full, files with accidents and files that somebody made up, injected numbers that
are not finite. Takes about ten minutes.

Usage: cargo run -p xtask -- reliability

The same with the small counts that every test run takes:
  cargo test -p rondeau --test reliability
Other random cases: RONDEAU_SEED=7 cargo run -p xtask -- reliability
";

/// Packages and the tests in them that print rows. Readers of other packages, such as those of CSV
/// and TOML on the command line, are further lines.
const SUITES: &[(&str, &str)] = &[("rondeau", "reliability")];

/// What a row begins with; columns are separated by ` | `.
const MARK: &str = "reliability: ";

/// Runs all suites with full counts and prints the table.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for (package, test) in SUITES {
        let name = format!("{package}, test {test}");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut child = Command::new(cargo)
            .args(["test", "-p", package, "--test", test, "--", "--nocapture", "--test-threads=1"])
            .env("RONDEAU_RELIABILITY", "full")
            .current_dir(root)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("error: cargo did not start: {error}"))?;
        if let Some(stdout) = child.stdout.take() {
            rows.extend(read(stdout)?);
        }
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => failed.push(format!("{name} ended with {status}")),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    print!("{}", table(&rows));
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("error: {}\nhelp: the failure is printed above", failed.join("; "))),
    }
}

/// Shows all that a suite prints, and returns its rows.
fn read(output: impl Read) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| format!("error: the output cannot be read: {error}"))?;
        // Without a line of its own, a row stands behind the name of its test.
        match line.split_once(MARK) {
            Some((_, row)) => rows.push(row.to_string()),
            None => println!("{line}"),
        }
    }
    Ok(rows)
}

/// The rows, with their columns below each other.
fn table(rows: &[String]) -> String {
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.split(" | ").collect()).collect();
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (what, count) = (width(0), width(1));
    let mut text = String::from("\n");
    for row in &rows {
        let cell = |i: usize| row.get(i).copied().unwrap_or_default();
        text.push_str(&format!("{:what$}  {:>count$}  {}\n", cell(0), cell(1), cell(2)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_and_aligned() {
        let output =
            "test a ... reliability: kills | 1000 | 0 lost\nok\nreliability: b | 7 | fine\n";
        let rows = read(output.as_bytes()).expect("it is text");
        assert_eq!(table(&rows), "\nkills  1000  0 lost\nb         7  fine\n");
    }
}
