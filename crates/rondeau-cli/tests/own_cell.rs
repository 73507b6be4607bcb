//! The example with a cell of one's own, from outside. Called with a variable set, this program is
//! the example.

#[path = "../examples/own_cell.rs"]
mod example;

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

const IS_EXAMPLE: &str = "RONDEAU_TEST_IS_EXAMPLE";

fn main() -> ExitCode {
    if std::env::var_os(IS_EXAMPLE).is_some() {
        return example::main();
    }
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..120).map(|i| format!("{:.4}\n", (f64::from(i) / 3.0).sin())).collect();
    let text = format!("level\n{rows}");
    std::fs::write(dir.path().join("a.csv"), &text).unwrap();
    let train = "train a.csv --target level --window 5 --hidden 4 --batch 16 --json --epochs";
    let run = |args: &str| good(dir.path(), args, "");

    run(&format!("{train} 4 --out whole"));
    run(&format!("{train} 2 --out parted"));
    let told = run(&format!("{train} 4 --out parted --resume"));
    assert!(told.contains("\"cell\": \"decay\""), "{told}");
    let weights = |out: &str| std::fs::read(dir.path().join(out).join("weights.safetensors"));
    assert_eq!(weights("whole").unwrap(), weights("parted").unwrap());

    let streamed = good(dir.path(), "stream whole --json", &text);
    let predicted = run("predict whole a.csv --json");
    let last = |text: &str| {
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        line["forecast"].as_f64().unwrap()
    };
    assert_eq!(streamed.lines().count(), 120);
    assert!((last(&streamed) - last(&predicted)).abs() < 1e-6, "{streamed}{predicted}");
    run("plot whole a.csv");
    for name in ["gates.svg", "gradient.svg", "hidden.svg"] {
        assert!(dir.path().join("whole").join(name).exists(), "{name}");
    }
    let checked = run("check decay gru");
    assert_eq!(checked.lines().count(), 3, "{checked}");
    println!("the example with a cell of one's own is well");
    ExitCode::SUCCESS
}

/// The standard output of the example, if it went well.
fn good(dir: &Path, args: &str, stdin: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .current_dir(dir)
        .args(args.split_whitespace())
        .env(IS_EXAMPLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(stdin.as_bytes()).unwrap();
    drop(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{args}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}
