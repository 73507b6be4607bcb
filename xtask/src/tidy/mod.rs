//! The rules of the source that neither rustc, nor Clippy, nor rustfmt knows.

mod links;
mod rooms;
mod rules;
mod source;

use std::fs;
use std::path::Path;

/// What `tidy --help` prints.
pub(crate) const HELP: &str = "\
Checks the rules of the source that the compiler does not know.

Usage: cargo run -p xtask -- tidy

Checks:
  arrows      rooms of crates/rondeau/src use only rooms below them
  primitives  crates/rondeau/src/transform names no primitive but Binary::Add
  world       files, clocks, the environment and threads stay in io, train and run
  unsafe      unsafe code is in crates/rondeau-machine alone; blocks and impls have a
              `// SAFETY:` comment, unsafe functions and traits have `# Safety` in their docs
  words       no todo!, unimplemented!, dbg!, #[ignore] or #[should_panic]
  headers     every Rust file starts with `//!`
  machines    no text names a directory of one machine or a package registry
  links       relative links between pages lead to a text, and their anchors to a heading
  book        every page of docs/src is in SUMMARY.md

Comments and strings are not code, so they break no rule but `machines`. Modules under
`#[cfg(test)]` may use any room and name any primitive.

What is allowed to whom is data at the top of xtask/src/tidy/rooms.rs and rules.rs: a new room
of the library, or a new exception, is a line there, and so shows in the diff.
";

/// A check by name.
type Check = (&'static str, fn(&[File]) -> Vec<Finding>);

const CHECKS: &[Check] = &[
    ("arrows", rooms::arrows),
    ("primitives", rooms::primitives),
    ("world", rooms::world),
    ("unsafe", rules::unsafe_code),
    ("words", rules::words),
    ("headers", rules::headers),
    ("machines", rules::machines),
    ("links", links::links),
    ("book", links::book),
];

/// Directories that are made, not written.
const MADE: &[&str] = &["target", "rondeau-out", "book"];

/// A text file of the repository; its path is relative to the root, with `/`.
struct File {
    path: String,
    text: String,
}

/// A place that breaks a rule.
struct Finding {
    path: String,
    line: usize,
    message: String,
    help: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn finding(&self, line: usize, message: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into(), help: help.into() }
    }
}

/// Checks everything below `root`.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    read(root, "", &mut files)
        .map_err(|error| format!("error: cannot read the source: {error}"))?;
    let mut report = String::new();
    let mut n_findings = 0;
    for (name, check) in CHECKS {
        for Finding { path, line, message, help } in check(&files) {
            n_findings += 1;
            report += &format!("error[{name}]: {message}\n  at {path}:{line}\nhelp: {help}\n\n");
        }
    }
    match n_findings {
        0 => {
            println!("tidy: {} files keep {} rules", files.len(), CHECKS.len());
            Ok(())
        }
        1 => Err(format!("{report}tidy: 1 place breaks a rule")),
        n => Err(format!("{report}tidy: {n} places break a rule")),
    }
}

/// Reads the text files below a directory in the order of their names. Hidden directories other
/// than `.ci` and `.github` are no part of the source.
fn read(directory: &Path, prefix: &str, files: &mut Vec<File>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci" && name != ".github";
            if !hidden && !MADE.contains(&name.as_str()) {
                read(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file() && name != ".git" {
            // What is not UTF-8 is data, not text.
            files.extend(
                String::from_utf8(fs::read(entry.path())?).ok().map(|text| File { path, text }),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_check() {
        for (name, _) in CHECKS {
            assert!(HELP.contains(&format!("\n  {name} ")), "{name}");
        }
    }
}
