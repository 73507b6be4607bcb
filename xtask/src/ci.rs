//! Everything that must pass before a change is merged, in the order in which a mistake is cheapest
//! to find.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::tidy;

/// What `ci --help` prints.
pub(crate) const HELP: &str = "\
Runs everything that must pass before a change is merged; stops at the first failure.

Usage: cargo run -p xtask -- ci

Stages, each of which can be run alone:
  fmt          cargo fmt --all --check
  clippy       cargo clippy --workspace --all-features --all-targets -- -D warnings
  doc          RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps
  tidy         cargo run -p xtask -- tidy
  test         cargo test --workspace --all-features
  reliability  cargo run -p xtask -- reliability --quick
               what those of its tests have counted, held against the plan
  deny         cargo run -p xtask -- reliability --only deny
               licences and sources by cargo-deny, if it is installed
  checked      RUSTFLAGS='--cfg checked' cargo test -p rondeau-machine, in target/checked: every
               access to memory that is otherwise unchecked becomes an assertion
  examples     cargo run --release -p rondeau --example <name>, for each example
  cli          cargo run --release -p rondeau-cli -- --help

The time of each stage is printed at the end. The first run builds everything and takes some
minutes; later ones build what changed.
";

/// One thing that must pass.
struct Stage {
    name: String,
    action: Action,
}

enum Action {
    /// The source rules, in this process.
    Tidy,
    /// Cargo, with arguments and variables of the environment.
    Cargo { arguments: Vec<String>, variables: Vec<(&'static str, String)> },
}

impl Stage {
    fn cargo(name: impl Into<String>, arguments: &[&str]) -> Stage {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        Stage { name: name.into(), action: Action::Cargo { arguments, variables: Vec::new() } }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Stage {
        if let Action::Cargo { variables, .. } = &mut self.action {
            variables.push((name, value.into()));
        }
        self
    }

    fn run(&self, root: &Path) -> Result<(), String> {
        match &self.action {
            Action::Tidy => tidy::run(root),
            Action::Cargo { arguments, variables } => {
                let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
                let variables = variables.iter().map(|(name, value)| (name, value));
                let status =
                    Command::new(cargo).args(arguments).envs(variables).current_dir(root).status();
                match status {
                    Ok(status) if status.success() => Ok(()),
                    Ok(status) => Err(format!("cargo ended with {status}")),
                    Err(error) => Err(format!("cargo did not start: {error}")),
                }
            }
        }
    }
}

/// The stage as a line for a shell.
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Tidy => f.write_str("cargo run -p xtask -- tidy"),
            Action::Cargo { arguments, variables } => {
                for (name, value) in variables {
                    write!(f, "{name}='{value}' ")?;
                }
                write!(f, "cargo {}", arguments.join(" "))
            }
        }
    }
}

/// Runs all stages.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let examples = examples(&root.join("crates/rondeau/examples"))
        .map_err(|error| format!("error: cannot list the examples: {error}"))?;
    follow(&stages(&examples, &target, &flags), |stage| stage.run(root))
}

/// The stages, in order.
fn stages(examples: &[String], target: &Path, flags: &str) -> Vec<Stage> {
    let checked = format!("{flags} --cfg checked");
    let mut stages = vec![
        Stage::cargo("fmt", &["fmt", "--all", "--check"]),
        Stage::cargo(
            "clippy",
            &["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"],
        ),
        Stage::cargo("doc", &["doc", "--workspace", "--all-features", "--no-deps"])
            .with("RUSTDOCFLAGS", "-D warnings"),
        Stage { name: "tidy".to_string(), action: Action::Tidy },
        Stage::cargo("test", &["test", "--workspace", "--all-features"]),
        Stage::cargo("reliability", &["run", "-p", "xtask", "--", "reliability", "--quick"]),
        Stage::cargo("deny", &["run", "-p", "xtask", "--", "reliability", "--only", "deny"]),
        Stage::cargo("checked", &["test", "-p", "rondeau-machine"])
            .with("RUSTFLAGS", checked.trim())
            .with("CARGO_TARGET_DIR", target.join("checked").display().to_string()),
    ];
    for example in examples {
        let arguments = ["run", "--release", "-p", "rondeau", "--example", example];
        stages.push(Stage::cargo(format!("example {example}"), &arguments));
    }
    stages.push(Stage::cargo("cli", &["run", "--release", "-p", "rondeau-cli", "--", "--help"]));
    stages
}

/// The names of the examples in a directory: `name.rs` or `name/main.rs`.
fn examples(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    if !directory.exists() {
        return Ok(names);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_example = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("main.rs").exists();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.extend(name.filter(|_| is_example).map(str::to_string));
    }
    names.sort();
    Ok(names)
}

/// Runs stages up to the first that fails, and says how long each took.
fn follow(
    stages: &[Stage],
    mut run: impl FnMut(&Stage) -> Result<(), String>,
) -> Result<(), String> {
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for stage in stages {
        println!("\nci: {}: {stage}", stage.name);
        let start = Instant::now();
        outcome = run(stage);
        times.push((stage.name.as_str(), start.elapsed()));
        if outcome.is_err() {
            break;
        }
    }
    println!("\n{}", table(&times));
    match (outcome, times.last()) {
        (Err(error), Some((name, _))) => {
            let alone = &stages[times.len() - 1];
            Err(format!("{error}\n\nci: stage `{name}` failed\nhelp: run it alone with\n  {alone}"))
        }
        _ => {
            println!("ci: all {} stages passed", stages.len());
            Ok(())
        }
    }
}

/// One line a stage, and their sum.
fn table(times: &[(&str, Duration)]) -> String {
    let total = ("total", times.iter().map(|(_, time)| *time).sum());
    let width = times.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(total.0.len());
    let line =
        |(name, time): &(&str, Duration)| format!("  {name:width$} {:8.1} s\n", time.as_secs_f64());
    times.iter().chain([&total]).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Stage> {
        stages(&["gru".to_string()], Path::new("target"), "")
    }

    #[test]
    fn the_help_shows_every_stage() {
        for stage in all() {
            let name = stage.name.replace("example gru", "examples");
            let command = stage.to_string().replace("CARGO_TARGET_DIR='target/checked' ", "");
            let command = command.replace("gru", "<name>");
            let shown = HELP.lines().any(|line| {
                let line = line.trim().strip_prefix(name.as_str()).map(str::trim_start);
                line.is_some_and(|line| line.starts_with(&command))
            });
            assert!(shown, "{name}: {command}");
        }
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        let mut ran = Vec::new();
        let outcome = follow(&all(), |stage| {
            ran.push(stage.name.clone());
            if stage.name == "doc" { Err("cargo ended with 101".to_string()) } else { Ok(()) }
        });
        assert_eq!(ran, ["fmt", "clippy", "doc"]);
        assert_eq!(
            outcome.expect_err("a stage failed"),
            "cargo ended with 101\n\nci: stage `doc` failed\nhelp: run it alone with\n  \
             RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps"
        );
    }

    #[test]
    fn all_stages_run_if_none_fails() {
        let mut ran = 0;
        let outcome = follow(&all(), |_| {
            ran += 1;
            Ok(())
        });
        assert_eq!((outcome, ran), (Ok(()), all().len()));
    }

    #[test]
    fn times_are_a_table_with_their_sum() {
        let times =
            [("fmt", Duration::from_millis(300)), ("clippy", Duration::from_millis(12_300))];
        assert_eq!(
            table(&times),
            "  fmt         0.3 s\n  clippy     12.3 s\n  total      12.6 s\n"
        );
    }

    #[test]
    fn flags_of_the_caller_are_kept() {
        let stages = stages(&[], Path::new("t"), "-C debuginfo=0");
        let checked = stages.iter().find(|stage| stage.name == "checked");
        let line = checked.map(Stage::to_string).unwrap_or_default();
        assert!(line.starts_with("RUSTFLAGS='-C debuginfo=0 --cfg checked' "), "{line}");
    }
}
