//! What happens when things go wrong, tried as often as before a release, as one table.

mod outside;
mod plan;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use plan::{PLAN, Planned, Suite};

/// What `reliability --help` prints.
pub(crate) const HELP: &str = "\
Tries what happens when things go wrong, as often as before a release, and prints one table:
processes that are killed while they save, runs that are killed and gone on with, disks that fail at
every step or are full, files with accidents and files that somebody made up, streams that go back and
forth, injected numbers that are not finite, the machine under sanitizers, licences.

It fails if a test fails, or if a count of the plan is not reached; what cannot be tried on a machine
is shown as skipped, and counts neither as passed nor as failed. Memory is the most that a reader took
beyond the size of its file; the bound is 16 MiB.

Usage: cargo run -p xtask -- reliability [--quick] [--only NAME]...

  --quick      the small counts that every test run takes, without sanitizers and licences
  --only NAME  what has NAME in its name; or a part: library, command, asan, tsan, deny

Other random cases: RONDEAU_SEED=7 cargo run -p xtask -- reliability
";

/// What a row begins with; columns are separated by ` | `.
const MARK: &str = "reliability: ";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Asked<'a> {
    is_quick: bool,
    only: Vec<&'a str>,
}

/// A line of the table.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    what: String,
    /// How often its test meant to try it.
    asked: u64,
    run: u64,
    failed: u64,
    /// The most bytes beyond the size of a file.
    peak: Option<u64>,
    ms: u64,
    note: String,
}

/// What a suite tells.
struct Outcome {
    rows: Vec<Row>,
    /// How it ended, if not well.
    problem: Option<String>,
    /// All that it printed.
    lines: Vec<String>,
}

impl Outcome {
    fn of(row: Row) -> Outcome {
        Outcome { rows: vec![row], problem: None, lines: vec![] }
    }
}

impl Row {
    fn skipped(what: &str, why: &str) -> Row {
        Row { what: what.to_owned(), note: format!("skipped: {why}"), ..Row::default() }
    }

    fn is_skipped(&self) -> bool {
        self.run == 0 && self.failed == 0 && self.note.starts_with("skipped: ")
    }

    /// The row in a line, which may stand behind the name of its test.
    fn parse(line: &str) -> Option<Row> {
        let (_, row) = line.split_once(MARK)?;
        let columns: Vec<&str> = row.splitn(7, " | ").collect();
        let [what, asked, run, failed, peak, ms, note] = columns[..] else { return None };
        let peak = if peak == "-" { None } else { Some(peak.parse().ok()?) };
        Some(Row {
            what: what.to_owned(),
            asked: asked.parse().ok()?,
            run: run.parse().ok()?,
            failed: failed.parse().ok()?,
            peak,
            ms: ms.parse().ok()?,
            note: note.to_owned(),
        })
    }
}

/// Runs what is asked for and prints the table.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<(), String> {
    let asked = parse(options)?;
    let planned: Vec<&Planned> = PLAN.iter().filter(|planned| asked.wants(planned)).collect();
    if planned.is_empty() {
        let names = PLAN.iter().map(|planned| planned.what).collect::<Vec<_>>().join("\n  ");
        let only = asked.only.join(", ");
        return Err(format!("error: nothing has {only} in its name\nhelp: there are\n  {names}"));
    }
    let (mut rows, mut problems) = (vec![], vec![]);
    for suites in Suite::TOGETHER {
        let own = planned.iter().copied().filter(|planned| suites.contains(&planned.suite));
        let own: Vec<&Planned> = own.collect();
        let Some(first) = own.first() else { continue };
        let names: Vec<&str> = suites.iter().map(|suite| suite.name()).collect();
        let names = names.join(" and ");
        println!("reliability: {names}, {} to try", own.len());
        let outcome = match first.suite {
            Suite::Library | Suite::Command => tests(root, &own, &asked),
            Suite::Asan => outside::addresses(root),
            Suite::Tsan => outside::races(root),
            Suite::Deny => outside::licences(root),
        };
        if let Some(problem) = outcome.problem {
            let last = outcome.lines.len().saturating_sub(60);
            println!("{}", outcome.lines[last..].join("\n"));
            problems.push(format!("{names}: {problem}"));
        }
        rows.extend(outcome.rows);
    }
    problems.extend(judge(&planned, &rows, asked.is_quick));
    print!("{}", table(&planned, &rows, asked.is_quick));
    match problems.as_slice() {
        [] => Ok(()),
        problems => Err(format!("error: {}\nhelp: see above", problems.join("\n       "))),
    }
}

fn parse<'a>(options: &[&'a str]) -> Result<Asked<'a>, String> {
    let mut asked = Asked::default();
    let mut options = options.iter();
    while let Some(&option) = options.next() {
        match option {
            "--quick" => asked.is_quick = true,
            "--only" => match options.next() {
                Some(name) => asked.only.push(name),
                None => return Err("error: `--only` needs a name".to_owned()),
            },
            other => {
                let help = "help: see `reliability --help`";
                return Err(format!("error: `reliability` takes no argument `{other}`\n{help}"));
            }
        }
    }
    Ok(asked)
}

impl Asked<'_> {
    fn wants(&self, planned: &Planned) -> bool {
        let is_named = |name: &&str| planned.suite.name() == *name || planned.what.contains(*name);
        match self.only.as_slice() {
            [] => !self.is_quick || planned.suite.is_quick(),
            only => only.iter().any(is_named),
        }
    }
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The tests of reliability: all, or those that are asked for. They are built as the test stage of
/// `ci` builds them, of the whole workspace, so that nothing is built twice.
fn tests(root: &Path, planned: &[&Planned], asked: &Asked<'_>) -> Outcome {
    let mut command = Command::new(cargo());
    command
        .args(["test", "--workspace", "--all-features", "--no-fail-fast", "--test", "reliability"])
        .args(["--", "--nocapture", "--test-threads=1"])
        .env("RONDEAU_RELIABILITY", if asked.is_quick { "quick" } else { "full" })
        .current_dir(root);
    if !asked.only.is_empty() {
        command.arg("--exact").args(planned.iter().map(|planned| planned.test));
    }
    let mut rows = vec![];
    let (lines, problem) = follow(command, |line| {
        if let Some(row) = Row::parse(line) {
            let (done, all) = (rows.len() + 1, planned.len());
            let seconds = row.ms as f64 / 1000.0;
            println!(
                "  {done} of {all}: {}: {} in {seconds:.1} s; {}",
                row.what, row.run, row.note
            );
            rows.push(row);
        }
    });
    Outcome { rows, problem, lines }
}

/// Runs a command, shows its lines to someone, and returns them, and how it ended if not well.
fn follow(
    mut command: impl std::borrow::BorrowMut<Command>,
    mut each: impl FnMut(&str),
) -> (Vec<String>, Option<String>) {
    let command = command.borrow_mut();
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return (vec![], Some(format!("cargo did not start: {error}"))),
    };
    let mut lines = vec![];
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        each(&line);
        // What the tests of training say to each other.
        if !line.starts_with("child: ") {
            lines.push(line);
        }
    }
    let problem = match child.wait() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("cargo ended with {status}")),
        Err(error) => Some(error.to_string()),
    };
    (lines, problem)
}

/// What of the plan is not as it must be.
fn judge(planned: &[&Planned], rows: &[Row], is_quick: bool) -> Vec<String> {
    let mut problems = vec![];
    for planned in planned {
        let need = if is_quick { planned.quick } else { planned.full };
        let what = planned.what;
        match rows.iter().find(|row| row.what == what) {
            None => problems.push(format!("{what}: it told nothing, as if it had been ended")),
            Some(row) if row.is_skipped() => {}
            Some(row) if row.failed > 0 => {
                problems.push(format!("{what}: {} failed after {}", row.failed, row.run));
            }
            Some(row) if row.run < need.max(row.asked) => {
                problems.push(format!("{what}: {} were tried of {need}", row.run));
            }
            Some(_) => {}
        }
    }
    for row in rows.iter().filter(|row| planned.iter().all(|planned| planned.what != row.what)) {
        problems.push(format!("{}: it is not in the plan, `reliability/plan.rs`", row.what));
    }
    problems
}

/// The rows in the order of the plan, and their sum.
fn table(planned: &[&Planned], rows: &[Row], is_quick: bool) -> String {
    let head = ["what", "asked", "run", "failed", "memory", "seconds", ""].map(str::to_owned);
    let mut cells = vec![head];
    let none = Row { note: "told nothing".to_owned(), failed: 1, ..Row::default() };
    let (mut n_passed, mut n_skipped) = (0, 0);
    for planned in planned {
        let need = if is_quick { planned.quick } else { planned.full };
        let row = rows.iter().find(|row| row.what == planned.what).unwrap_or(&none);
        n_skipped += usize::from(row.is_skipped());
        n_passed += usize::from(row.failed == 0 && row.run >= need.max(row.asked));
        let mib = |bytes: u64| format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20));
        cells.push([
            planned.what.to_owned(),
            need.to_string(),
            row.run.to_string(),
            row.failed.to_string(),
            row.peak.map_or("-".to_owned(), mib),
            format!("{:.1}", row.ms as f64 / 1000.0),
            row.note.clone(),
        ]);
    }
    let width = |i: usize| cells.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::from("\n");
    for row in &cells {
        let [what, asked, run, failed, memory, seconds, note] = row;
        let [a, b, c, d, e, f] = widths;
        let line = format!(
            "{what:a$}  {asked:>b$}  {run:>c$}  {failed:>d$}  {memory:>e$}  {seconds:>f$}  {note}"
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let seconds = rows.iter().map(|row| row.ms).sum::<u64>() as f64 / 1000.0;
    let all = planned.len();
    text.push_str(&format!(
        "\n{n_passed} of {all} passed, {n_skipped} skipped, in {seconds:.0} s\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(what: &'static str, full: u64) -> Planned {
        Planned { suite: Suite::Library, test: "a::b", what, full, quick: 2 }
    }

    #[test]
    fn rows_are_found_behind_the_names_of_tests() {
        let line = "test a ... reliability: kills | 9 | 8 | 1 | 2048 | 1500 | a note | more";
        let row = Row::parse(line).expect("it is a row");
        assert_eq!((row.what.as_str(), row.asked, row.run, row.failed), ("kills", 9, 8, 1));
        assert_eq!((row.peak, row.ms, row.note.as_str()), (Some(2048), 1500, "a note | more"));
        assert_eq!(Row::parse("reliability: kills | 9"), None);
        assert_eq!(Row::parse("ok"), None);
    }

    #[test]
    fn counts_that_are_not_reached_are_told() {
        let all = ["good", "few", "bad", "silent", "absent", "own count"].map(|w| planned(w, 10));
        let planned: Vec<&Planned> = all.iter().collect();
        let row = |what: &str, asked, run, failed| Row {
            what: what.to_owned(),
            asked,
            run,
            failed,
            ..Row::default()
        };
        let rows = [
            row("good", 10, 10, 0),
            row("few", 3, 3, 0),
            row("bad", 10, 10, 1),
            Row::skipped("absent", "no such thing here"),
            row("own count", 50, 20, 0),
            row("stranger", 1, 1, 0),
        ];
        assert_eq!(
            judge(&planned, &rows, false),
            [
                "few: 3 were tried of 10",
                "bad: 1 failed after 10",
                "silent: it told nothing, as if it had been ended",
                "own count: 20 were tried of 10",
                "stranger: it is not in the plan, `reliability/plan.rs`",
            ]
        );
        assert!(judge(&planned[..2], &rows[..2], true).is_empty());
        let table = table(&planned, &rows, false);
        assert!(table.contains("\n1 of 6 passed, 1 skipped, in 0 s\n"), "{table}");
        assert!(
            table.contains("absent        10    0       0       -      0.0  skipped: no"),
            "{table}"
        );
    }

    #[test]
    fn options_choose() {
        let asked = parse(&["--quick", "--only", "npy", "--only", "asan"]).expect("it is known");
        let wanted: Vec<&str> = PLAN
            .iter()
            .filter(|planned| asked.wants(planned))
            .map(|planned| planned.what)
            .collect();
        assert_eq!(wanted, ["npy, mutated", "npy, made by hand", plan::ADDRESSES]);
        let all = |options: &[&str]| {
            let asked = parse(options).expect("it is known");
            PLAN.iter().filter(|planned| asked.wants(planned)).count()
        };
        assert_eq!((all(&[]), all(&["--quick"])), (PLAN.len(), PLAN.len() - 3));
        let error = parse(&["--fast"]).expect_err("there is no such option");
        assert_eq!(
            error,
            "error: `reliability` takes no argument `--fast`\nhelp: see `reliability --help`"
        );
    }

    #[test]
    fn names_of_the_plan_differ() {
        for (i, planned) in PLAN.iter().enumerate() {
            assert!(PLAN[..i].iter().all(|other| other.what != planned.what), "{}", planned.what);
        }
    }
}
