//! Round trips with the libraries of others, live: layers of PyTorch, Haiku, Flax and Equinox to
//! rondeau, and on to ONNX Runtime, C and Rust; files of NumPy, safetensors and TensorBoard.
//!
//! `RONDEAU_PYTHON` names a Python that has some of these libraries. Where it has one not, and
//! without such a Python at all, the test says so and is over. `RONDEAU_SEED` chooses other sizes and
//! weights; it is 0 if nothing is said.

mod exported;
mod files;
mod layers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The status of a script whose library is not installed.
const NOT_INSTALLED: i32 = 3;

/// Says something past the test runner, which would keep it to itself.
fn tell(text: &str) {
    // Nothing depends on it being seen.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

/// What a script beside this file prints, or nothing if what it needs is not installed.
fn python(test: &str, script: &str, args: &[&str]) -> Option<String> {
    let Some(python) = std::env::var_os("RONDEAU_PYTHON") else {
        tell(&format!("peers {test}: skipped, RONDEAU_PYTHON names no Python"));
        return None;
    };
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "peers", script].iter().collect();
    let mut command = Command::new(&python);
    command.arg("-B").arg(path).args(args);
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    let told = String::from_utf8_lossy(&stdout).trim_end().to_owned();
    if status.code() == Some(NOT_INSTALLED) {
        tell(&format!("peers {test}: skipped, {told}"));
        return None;
    }
    let errors = String::from_utf8_lossy(&stderr);
    let end = errors.char_indices().rev().nth(8000).map_or(0, |(i, _)| i);
    assert!(status.success(), "{script} {args:?} failed: {told}\n{}", &errors[end..]);
    Some(told)
}

/// What a program prints, which must end well.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("numbers are text")
}

/// The files of a directory whose names end so, in order.
fn files_in(dir: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == end)).collect();
    paths.sort();
    paths
}
