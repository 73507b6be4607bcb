//! The command from outside: what it prints, writes and returns.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

#[path = "cli/tasks.rs"]
mod tasks;

/// A series that a network can learn: two waves, and a second column that leads the first.
fn waves(n_rows: usize) -> String {
    let wave = |t: f64| (t / 3.0).sin() + 0.5 * (t / 7.0).cos();
    let row = |i: usize| format!("{:.4},{:.4}\n", 10.0 + wave(i as f64), wave(i as f64 + 1.0));
    "level,lead\n".to_owned() + &(0..n_rows).map(row).collect::<String>()
}

/// A directory with `a.csv` in it, to run the command in.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("a.csv", &waves(120));
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rondeau"));
        command.current_dir(self.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs a command until its first line of progress, which begins as said, interrupts it, and
    /// waits for its end; also what it said after that line.
    #[cfg(unix)]
    fn interrupted(&self, args: &str, first: &str) -> (Run, String) {
        let args: Vec<&str> = args.split_whitespace().collect();
        let mut child =
            self.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with(first), "{line}");
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        (Run::of(child.wait_with_output().unwrap()), rest)
    }

    fn run(&self, args: &str) -> Run {
        let args: Vec<&str> = args.split_whitespace().collect();
        Run::of(self.command(&args).output().unwrap())
    }

    /// Trains a small network for two epochs into a directory.
    fn train(&self, options: &str) -> Run {
        let small = "train a.csv --target level --window 5 --hidden 4 --epochs 2 --batch 16";
        self.run(&format!("{small} {options}"))
    }

    /// The bytes of every file in a directory, those of the directories in it left out.
    fn files(&self, dir: &str) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.path().join(dir)) else {
            return BTreeMap::new();
        };
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let is_file = entry.file_type().unwrap().is_file();
            is_file.then(|| (name, fs::read(entry.path()).unwrap()))
        };
        entries.filter_map(entry).collect()
    }
}

/// What a run of the command gave.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: Output) -> Run {
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Its standard output, if it went well.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }
}

#[test]
fn training_writes_its_files_and_prints_the_result() {
    let place = Place::new();
    let run = place.train("");
    assert!(run.stderr.contains("epoch 1/2  train "), "{}", run.stderr);
    assert!(run.stderr.contains(" sequences/s  at most "), "{}", run.stderr);
    let text = run.good();
    for part in ["MAE", "RMSE", "GRU", "last value", "mean of the last 5", "rondeau-out: "] {
        assert!(text.contains(part), "`{part}` in\n{text}");
    }
    let files = place.files("rondeau-out");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["forecast.svg", "hidden.svg", "log.csv", "loss.svg", "test.csv", "weights.safetensors"]
    );
    assert_eq!(String::from_utf8_lossy(&files["log.csv"]).lines().count(), 3);
    assert_eq!(String::from_utf8_lossy(&files["test.csv"]).lines().count(), 19);
    for name in ["forecast.svg", "hidden.svg", "loss.svg"] {
        assert!(files[name].starts_with(b"<svg ") && files[name].ends_with(b"</svg>\n"), "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let place = Place::new();
    for cell in ["gru", "lstm", "rnn"] {
        place.train(&format!("--cell {cell} --seed 1 --out {cell}1")).good();
        place.train(&format!("--cell {cell} --seed 1 --out {cell}2")).good();
        place.train(&format!("--cell {cell} --seed 2 --out {cell}3")).good();
        let [first, second, other] = [1, 2, 3].map(|i| place.files(&format!("{cell}{i}")));
        assert_eq!(first, second);
        assert_ne!(first["weights.safetensors"], other["weights.safetensors"]);
    }
}

#[test]
fn json_is_quiet_and_whole() {
    let place = Place::new();
    let run = place.train("--json --quiet --cell lstm");
    assert_eq!(run.stderr, "");
    let json: serde_json::Value = serde_json::from_str(&run.good()).unwrap();
    assert_eq!(json["cell"], "lstm");
    assert_eq!(json["rows"]["test"], 18);
    assert_eq!(json["epochs"], 2);
    assert_eq!(json["stopped"], "all-epochs");
    assert!(json["test"]["model"]["mae"].as_f64().unwrap() > 0.0);
    assert_eq!(json["test"]["baselines"][0]["name"], "last value");
}

#[test]
fn prediction_repeats_the_forecasts_of_the_test_and_adds_the_next_row() {
    let place = Place::new();
    for cell in ["gru", "lstm", "rnn"] {
        place.train(&format!("--cell {cell}")).good();
        let text = place.run("predict rondeau-out a.csv").good();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "row,forecast");
        assert!(lines[1].starts_with("6,"), "{}", lines[1]);
        assert!(lines[116].starts_with("121,"), "{}", lines[116]);
        assert_eq!(lines.len(), 117);
        let files = place.files("rondeau-out");
        let test = String::from_utf8(files["test.csv"].clone()).unwrap();
        for line in test.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let same = format!("{},{}", fields[0], fields[2]);
            assert!(lines.contains(&same.as_str()), "{same} in\n{text}");
        }
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let place = Place::new();
    place.train("").good();
    let from_file = place.run("predict rondeau-out a.csv").good();
    let mut child = place
        .command(&["predict", "rondeau-out", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(waves(120).as_bytes()).unwrap();
    assert_eq!(Run::of(child.wait_with_output().unwrap()).stdout, from_file);
}

#[test]
fn the_shipped_weather_needs_no_file() {
    let place = Place::new();
    let run = place.run("train --epochs 1 --hidden 4 --window 7");
    assert!(run.stderr.contains("note: column `weather` is left out"), "{}", run.stderr);
    assert!(run.good().contains("same day last year"));
    let weather = include_str!("../data/seattle-weather.csv");
    let twenty: Vec<&str> = weather.lines().take(21).collect();
    place.write("w.csv", &twenty.join("\n"));
    let text = place.run("predict rondeau-out w.csv").good();
    assert_eq!(text.lines().count(), 1 + 14);
    assert!(text.starts_with("date,forecast\n2012-01-08,"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("2012-01-21,"), "{text}");
    // The network was told the day of the year, so a file without dates will not do.
    place.write(
        "w.csv",
        &twenty.iter().map(|l| l.split_once(',').unwrap().1.to_owned() + "\n").collect::<String>(),
    );
    let run = place.run("predict rondeau-out w.csv");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("a column of dates"), "{}", run.stderr);
}

#[test]
fn the_default_run_beats_every_simple_forecast() {
    let text = Place::new().run("train --json --quiet").good();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let test = &json["test"];
    for baseline in test["baselines"].as_array().unwrap() {
        for error in ["mae", "rmse"] {
            let (model, simple) = (&test["model"][error], &baseline[error]);
            let better = model.as_f64().unwrap() < simple.as_f64().unwrap();
            assert!(better, "{error} {model} against {simple} of {}", baseline["name"]);
        }
    }
}

/// Every mistake in a file and in the use of the command, with what is said about it.
#[test]
fn mistakes_are_told_and_leave_everything_as_it_was() {
    let place = Place::new();
    place.train("--out runs/a").good();
    let before = place.files("runs/a");

    let rows = |text: &str| format!("level,lead\n{text}{}", &waves(60)["level,lead\n".len()..]);
    place.write("text.csv", &rows("1,2\n3,four\nfive,6\n"));
    place.write("gaps.csv", &rows("1,\n,2\nNaN,1\n1,inf\nNA,-\n1,1e40\n"));
    place.write("ragged.csv", &rows("1,2,3\n4\n"));
    place.write("twice.csv", "level,level\n1,2\n");
    place.write("short.csv", &waves(15));
    place.write("numbers.csv", "1,2\n3,4\n");
    place.write("empty.csv", "");
    place.write("constant.csv", &format!("level,lead\n{}", "7,1\n".repeat(60)));
    place
        .write("dates.csv", "date,level\n2020-01-02,1\n2020-01-01,2\n2020-01-32,3\n2020-01-03,4\n");
    place.write("quote.csv", &format!("level,lead\n1,2\n\"{}", "3,4\n".repeat(400_000)));
    fs::create_dir_all(place.path().join("blocked/log.csv")).unwrap();
    fs::create_dir_all(place.path().join("broken")).unwrap();
    let mut broken = before["weights.safetensors"].clone();
    broken.truncate(broken.len() - 1);
    fs::write(place.path().join("broken/weights.safetensors"), broken).unwrap();

    let cases = [
        "train none.csv --target level",
        "train . --target level",
        "train text.csv --target level",
        "train text.csv --target level --columns lead",
        "train gaps.csv --target level",
        "train ragged.csv --target level",
        "train twice.csv --target level",
        "train short.csv --target level --window 5",
        "train short.csv --target level",
        "train numbers.csv --target level",
        "train empty.csv --target level",
        "train constant.csv --target level --window 5",
        "train dates.csv --target level",
        "train dates.csv --target date",
        "train quote.csv --target level",
        "train a.csv --target depth",
        "train a.csv --target level --columns lead,wind,rain",
        "train --target weather",
        "train a.csv --target level --window 5 --epochs 3 --learning-rate 1 --out blocked",
        "train a.csv --target level --window 5 --out a.csv",
        "train a.csv",
        "train a.csv --target level --window 0",
        "train a.csv --target level --learning-rate 2",
        "train a.csv --target level --cell transformer",
        "train a.csv --target level --epoch 3",
        "predict none a.csv",
        "predict broken a.csv",
        "predict runs/a none.csv",
        "predict runs/a numbers.csv",
        "predict runs/a text.csv",
        "predict runs/a dates.csv",
        "predict runs/a empty.csv",
        "bench w9x",
        "bench w1 --budget 1e9",
        "bench w1 --compare --peer jax",
        "bench w1 --rounds 2",
        "explain w1 --pass none",
        "fit",
    ];
    let mut told = String::new();
    for case in cases {
        let out =
            if case.contains("--out") || !case.starts_with("train") { "" } else { " --out runs/a" };
        let run = place.run(&format!("{case}{out}"));
        assert_eq!(run.stdout, "", "{case}");
        assert_eq!(place.files("runs/a"), before, "{case}");
        told.push_str(&format!("$ rondeau {case}\n{}exit {}\n\n", run.stderr, run.code.unwrap()));
    }
    assert_eq!(place.files("broken").len(), 1);
    insta::assert_snapshot!("mistakes", told);
}

#[test]
fn help_teaches() {
    let place = Place::new();
    let help = |args| place.run(args).good();
    insta::assert_snapshot!("help", help("--help"));
    insta::assert_snapshot!("help_train", help("train --help"));
    let tasks = ["series", "text", "labels"].map(|task| format!("train {task}"));
    let commands = ["generate", "stream", "summary", "program", "check", "plot", "doctor", "bench"];
    for command in tasks.into_iter().chain(commands.map(str::to_owned)) {
        let text = place.run(&format!("{command} --help")).good();
        insta::assert_snapshot!(format!("help_{}", command.replace(' ', "_")), text);
    }
    let version = format!("rondeau {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(help("--version"), version);
    assert_eq!(place.run("").code, Some(2));
}

#[test]
fn a_workload_is_timed_as_one_line_of_json() {
    let place = Place::new();
    for name in ["w1", "w5d"] {
        let text = place.run(&format!("bench {name} --budget 0.01")).good();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((line["workload"].as_str(), line["H"].as_u64()), (Some(name), Some(8)));
        for key in ["median_us", "ns_per_step", "floor_us", "compile_ms", "arena_bytes"] {
            assert!(line[key].as_f64().unwrap() > 0.0, "{key} in {text}");
        }
        let error = line["max_err"].as_f64().unwrap();
        assert!(error > 0.0 && error < 1e-5, "{text}");
    }
    let stages = place.run("bench w5d --explain").good();
    for told in ["w5d (gradient, a tutorial's size)", "trace and transform", "  cse", "  all"] {
        assert!(stages.contains(told), "{told} in {stages}");
    }
    let checked = place.run("bench w5d --budget 0.01 --check").good();
    let line: serde_json::Value = serde_json::from_str(&checked).unwrap();
    assert!(line["max_err"].as_f64().unwrap() < 1e-5, "{checked}");
}

#[cfg(unix)]
#[test]
fn peers_are_timed_in_turn_and_passed_over_if_they_fail() {
    let place = Place::new();
    let slow = r#"slow [w1] = echo '{"variant":"a","workload":"{w}","median_us":1e6}'"#;
    place.write("peers.txt", &format!("# two peers\n{slow}\nabsent = ./none {{w}}\n"));
    let mut args = vec!["bench", "w1", "w2a", "--budget", "0.01", "--compare", "--rounds", "2"];
    args.extend(["--peers", "peers.txt"]);
    let run =
        |args: &[&str]| Run::of(place.command(args).env_remove("RONDEAU_PEERS").output().unwrap());
    let table = run(&args);
    for told in ["note: w1: absent did not start: ", "note: w2a: absent did not start: "] {
        assert!(table.stderr.contains(told), "{}", table.stderr);
    }
    let text = table.good();
    let cells: Vec<Vec<&str>> =
        text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    assert_eq!(cells[0][3..7], ["rondeau", "slow", "of best", "floor"]);
    assert_eq!((cells[2][4], cells[2][5], cells[3][4]), ("1000000", "0.00", "-"), "{text}");
    args.push("--json");
    let json = run(&args).good();
    let line: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["peers"][0]["peer"], &line["peers"][0]["variant"]),
        (&"slow".into(), &"a".into())
    );
    assert!(line["ratio_to_best"].as_f64().unwrap() < 0.1, "{json}");
    assert_eq!(line["failures"][0][0], "absent");
}

#[test]
fn workloads_are_explained_and_their_programs_shown() {
    let place = Place::new();
    let told = place.run("explain w5d").good();
    for part in
        ["what `defer` did:", "kept between loops:", "working memory:", "floor on this core:"]
    {
        assert!(told.contains(part), "`{part}` in\n{told}");
    }
    let traced = place.run("explain w3d --pass trace").good();
    let hoisted = place.run("explain w3d --pass hoist").good();
    assert!(
        traced.starts_with("{ lambda ") && hoisted.starts_with("{ lambda ") && traced != hoisted
    );
    let floors = place.run("bench w1 --roofline --budget 0.01").good();
    assert!(floors.contains("GFLOP/s") && floors.contains("\nw1 "), "{floors}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    place.train("").good();
    for args in [&["predict", "rondeau-out", "a.csv"][..], &["train", "--help"]] {
        let mut child =
            place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn paths_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let name = |bytes| OsStr::from_bytes(bytes).to_owned();
    let (file, dir) = (name(b"\xff.csv"), name(b"o\xfeut"));
    fs::rename(place.path().join("a.csv"), place.path().join(&file)).unwrap();
    let text = |text: &str| OsStr::new(text).to_owned();
    let mut train = vec![text("train"), file.clone(), text("--out"), dir.clone()];
    train.extend("--target level --window 5 --hidden 4 --epochs 1".split(' ').map(text));
    Run::of(place.command(&train).output().unwrap()).good();
    let predict = [text("predict"), dir, file];
    Run::of(place.command(&predict).output().unwrap()).good();
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_the_best_so_far() {
    let place = Place::new();
    let args = "train a.csv --target level --window 5 --hidden 4 --epochs 1000000 --patience \
                1000000 --json";
    let (run, rest) = place.interrupted(args, "epoch       1/1000000");
    assert!(rest.contains("stopping after this epoch"), "{rest}");
    let json: serde_json::Value = serde_json::from_str(&run.good()).unwrap();
    assert_eq!(json["stopped"], "interrupted");
    assert_eq!(place.files("rondeau-out").len(), 6);
}

#[test]
fn a_trained_model_is_exported() {
    let place = Place::new();
    assert_eq!(place.train("--out m").code, Some(0));
    for (format, file, has) in [
        ("rust", "m.rs", "pub fn step(s: &mut State, x: &[f32; 2], y: &mut [f32; 1])"),
        ("c", "m.c", "void forecast_step(forecast_state *s, const float x[2], float y[1])"),
        ("onnx", "m.onnx", "Scan"),
        ("safetensors", "m.safetensors", "layers.0."),
        ("npz", "m.npz", "readout.weight.npy"),
    ] {
        let run = place.run(&format!("export m --format {format} -o {file}"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains("next level = level + "), "{}", run.stdout);
        let bytes = fs::read(place.path().join(file)).unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains(has), "{file}");
    }
    let run = place.run("export nothing --format c -o m.c");
    assert_eq!(run.code, Some(1));
}

#[test]
fn a_cell_is_a_file_of_equations() {
    let place = Place::new();
    let equations =
        "cell leaky(x, h)\n  r = sigmoid(b)\n  h' = (1 - r) * h + r * tanh(W x + U h)\n  y = h'\n";
    fs::write(place.path().join("leaky.cell"), equations).unwrap();
    let run = place.train("--cell leaky.cell --out m");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let checked = place.run("check leaky.cell");
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("leaky"), "{}", checked.stdout);
    // The model knows its equations without the file.
    fs::remove_file(place.path().join("leaky.cell")).unwrap();
    let told = place.run("summary m");
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let exported = place.run("export m --format c -o m.c");
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    fs::write(place.path().join("wrong.cell"), "cell wrong(x, h)\n  h' = tahn(W x + U h)\n")
        .unwrap();
    let run = place.train("--cell wrong.cell --out n");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("wrong.cell:2"), "{}", run.stderr);
}

#[test]
fn weights_of_a_framework_are_imported() {
    use rondeau::{Array, io};
    let place = Place::new();
    let mut record = io::Record::new();
    for (name, shape) in [("weight_ih_l0", [9, 2]), ("weight_hh_l0", [9, 3])] {
        record.insert(format!("rnn.{name}"), Array::ones(shape)).unwrap();
    }
    io::safetensors::write(place.path().join("torch.safetensors"), &record).unwrap();
    let run = place.run("import torch.safetensors --from torch --cell gru --prefix rnn. -o a.npz");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = io::npz::read(place.path().join("a.npz")).unwrap();
    assert_eq!(cell.get("reset.w").unwrap().shape(), [3, 2]);
    assert_eq!(cell.get("recurrent_bias").unwrap().shape(), [3]);
    let run = place.run("import torch.safetensors --from keras --cell gru -o b.npz");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("kernel is missing"), "{}", run.stderr);
}
