//! The table of speed in the README.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

/// What `bench --help` prints.
pub(crate) const HELP: &str = "\
Measures the workloads of `rondeau bench` and rewrites the table of speed in README.md.

Usage: cargo run -p xtask -- bench

It builds the command with optimizations, runs it on processor 0 (if `taskset` is there), and puts
the table between the lines `<!-- speed -->` and `<!-- /speed -->`. If the variable RONDEAU_PEERS
names a directory with the programs of peers, they are measured in turn with rondeau, and are columns
of the table; `rondeau bench --help` says how they are found. RONDEAU_BENCH holds further arguments
of `rondeau bench`, such as workloads or `--budget 3`. Read the change before you commit it, and say
in the text around the table which machine it was.
";

const BEGIN: &str = "<!-- speed -->";
const END: &str = "<!-- /speed -->";

/// Measures, and rewrites the table.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme)
        .map_err(|error| format!("error: README.md cannot be read: {error}"))?;
    // Before the minutes that measuring takes.
    replaced(&text, "")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "-p", "rondeau-cli"];
    let status = Command::new(cargo).args(build).current_dir(root).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err("error: the command could not be built".to_string());
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    let program = target.join("release").join(format!("rondeau{}", env::consts::EXE_SUFFIX));
    let mut command = pinned(&program);
    command.args(["bench", "--compare"]);
    command.args(env::var("RONDEAU_BENCH").unwrap_or_default().split_whitespace());
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .current_dir(root)
        .output()
        .map_err(|error| format!("error: {} did not start: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("error: `rondeau bench` ended with {}", output.status));
    }
    let table = String::from_utf8_lossy(&output.stdout);
    print!("{table}");
    fs::write(&readme, replaced(&text, &table)?)
        .map_err(|error| format!("error: README.md cannot be written: {error}"))
}

/// The program on one processor, where that can be asked for.
fn pinned(program: &Path) -> Command {
    let there = Command::new("taskset").arg("--version").stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// The text with another table between the marks.
fn replaced(text: &str, table: &str) -> Result<String, String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        return Err(format!(
            "error: README.md has no place for the table\nhelp: put `{BEGIN}` and `{END}` there"
        ));
    };
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_between_the_marks_is_replaced() {
        let text = "a\n<!-- speed -->\nold\n<!-- /speed -->\nb\n";
        let need = "a\n<!-- speed -->\n| new |\n<!-- /speed -->\nb\n";
        assert_eq!(replaced(text, "| new |\n").as_deref(), Ok(need));
        assert_eq!(replaced(need, "| new |\n").as_deref(), Ok(need));
    }

    #[test]
    fn a_text_without_marks_is_refused() {
        let error = replaced("a <!-- /speed --> <!-- speed -->", "").expect_err("no place");
        assert!(
            error.contains("help: put `<!-- speed -->` and `<!-- /speed -->` there"),
            "{error}"
        );
    }
}
