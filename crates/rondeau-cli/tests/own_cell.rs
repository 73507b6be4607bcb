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
    exported(dir.path(), &text, last(&streamed));
    let checked = run("check decay gru");
    assert_eq!(checked.lines().count(), 3, "{checked}");
    let name = std::env::current_exe().unwrap();
    let name = name.file_stem().unwrap().to_str().unwrap();
    assert!(run("completions bash").contains(name));
    assert!(run("man").contains(&name.replace('-', "\\-")));
    println!("the example with a cell of one's own is well");
    ExitCode::SUCCESS
}

/// Exports the forecaster in every form, and uses each: fed the last window, it says what was
/// streamed.
fn exported(dir: &Path, table: &str, streamed: f64) {
    let export = |format: &str, file: &str| {
        good(dir, &format!("export whole --format {format} --name own -o {file}"), "")
    };
    let told = export("c", "own.c");
    export("rust", "own.rs");
    export("onnx", "own.onnx");

    let line = told.lines().find_map(|line| line.strip_prefix("x[0] = (level - "));
    let (mean, deviation) = line.and_then(|line| line.split_once(") / ")).expect("what goes in");
    let [mean, deviation] = [mean, deviation].map(|number| number.parse::<f64>().unwrap());
    let rows: Vec<f64> = table.lines().skip(1).map(|row| row.parse().unwrap()).collect();
    let window: Vec<f32> =
        rows[rows.len() - 5..].iter().map(|x| ((x - mean) / deviation) as f32).collect();
    let check = |form: &str, printed: &str| {
        let change: f64 = printed.trim().parse().expect("a number is printed");
        let said = rows[rows.len() - 1] + deviation * change;
        assert!((said - streamed).abs() < 1e-6, "{form} says {said}, and the stream {streamed}");
    };

    let list: Vec<String> = window.iter().map(|x| format!("{x:?}f")).collect();
    let list = list.join(", ");
    let main = format!(
        "#include <stdio.h>\n#include \"own.c\"\nint main(void) {{\n\
         static own_state s; float y[1]; const float xs[5][1] = {{ {list} }};\n\
         own_state_init(&s);\nfor (int t = 0; t < 5; t++) own_step(&s, xs[t], y);\n\
         printf(\"%.9g\\n\", y[0]);\nreturn 0;\n}}\n"
    );
    std::fs::write(dir.join("main.c"), main).unwrap();
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    printed(dir, &cc, &["-std=c99", "main.c", "-o", "main_c", "-lm"]);
    check("C", &printed(dir, "./main_c", &[]));

    let main = format!(
        "mod own;\nfn main() {{\n\
         let (mut s, mut y) = (own::state_init(), [0.0_f32]);\n\
         for x in {window:?} {{ own::step(&mut s, &[x], &mut y); }}\n\
         println!(\"{{:?}}\", y[0]);\n}}\n"
    );
    std::fs::write(dir.join("main.rs"), main).unwrap();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    printed(dir, &rustc, &["--edition", "2024", "-Awarnings", "main.rs", "-o", "main_rust"]);
    check("Rust", &printed(dir, "./main_rust", &[]));

    let Ok(python) = std::env::var("RONDEAU_PYTHON") else {
        println!("ONNX Runtime is skipped: RONDEAU_PYTHON names no Python that has it");
        return;
    };
    let script = format!(
        "import numpy, onnxruntime\n\
         session = onnxruntime.InferenceSession('own.onnx', providers=['CPUExecutionProvider'])\n\
         xs = numpy.array({window:?}, numpy.float32)[:, None]\n\
         print(repr(float(session.run(['ys'], {{'xs': xs}})[0][-1, 0])))\n"
    );
    std::fs::write(dir.join("main.py"), script).unwrap();
    check("ONNX Runtime", &printed(dir, &python, &["main.py"]));
}

/// What a program prints, which must end well.
fn printed(dir: &Path, program: &str, args: &[&str]) -> String {
    // A path that begins with `.` is one below the directory.
    let path = if program.starts_with("./") { dir.join(program) } else { program.into() };
    let output = Command::new(path).current_dir(dir).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
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
