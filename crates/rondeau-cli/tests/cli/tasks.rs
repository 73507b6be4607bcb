//! Texts, labelled sequences, and the commands that look into models.

use std::fmt::Write as _;

use super::*;

impl Place {
    /// Runs a command with some standard input.
    fn fed(&self, args: &str, stdin: &str) -> Run {
        let args: Vec<&str> = args.split_whitespace().collect();
        let mut child = self
            .command(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        Run::of(child.wait_with_output().unwrap())
    }

    /// Trains a small model of a text that repeats itself.
    fn text(&self, options: &str) -> Run {
        self.write("a.txt", &"the cat sat. the dog sat.\n".repeat(60));
        let small =
            "train text a.txt --hidden 12 --batch 4 --length 10 --learning-rate 0.02 --json";
        self.run(&format!("{small} {options}"))
    }

    /// Trains a small classifier of waves, up or down, of several lengths.
    fn labels(&self, options: &str) -> Run {
        self.write("train.ts", &waves_up_or_down(0, 24));
        self.write("test.ts", &waves_up_or_down(100, 10));
        let small = "train labels train.ts --hidden 6 --batch 8 --json";
        self.run(&format!("{small} {options}"))
    }
}

fn waves_up_or_down(first: u32, n: u32) -> String {
    let mut text = "@timeStamps false\n@classLabel true up down\n@data\n".to_owned();
    for i in first..first + n {
        let n_steps = 4 + i % 5;
        let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
        let noise = |t: u32, k: u32| f64::from((7 * i + 3 * t + k) % 11) / 20.0;
        let row = |k: u32| {
            let values = (0..n_steps).map(|t| format!("{:.3}", sign * f64::from(t) + noise(t, k)));
            values.collect::<Vec<_>>().join(",")
        };
        let label = if i % 2 == 0 { "up" } else { "down" };
        let _ = writeln!(text, "{}:{}:{label}", row(0), row(1));
    }
    text
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_text_is_learned_judged_written_and_streamed() {
    let place = Place::new();
    let told = json(&place.text("--epochs 12 --tensorboard").good());
    let bits = told["bits_per_character"].as_f64().unwrap();
    assert!(bits < 0.5 * told["bits_by_frequency"].as_f64().unwrap(), "{told}");
    assert_eq!(told["characters"]["test"], 156);
    assert_eq!(told["characters"]["validation"], 78);
    let log = place.files("rondeau-out")["log.csv"].clone();
    let log = String::from_utf8(log).unwrap();
    let losses: Vec<f64> = log.lines().skip(1).map(|l| field(l, 3)).collect();
    assert_eq!(losses.len(), 12);
    assert!(losses[11] < 0.7 * losses[0], "{losses:?}");
    assert_eq!(fs::read_dir(place.path().join("rondeau-out/events")).unwrap().count(), 1);

    // The held-out text is judged the same again.
    let text = "the cat sat. the dog sat.\n".repeat(60);
    place.write("end.txt", &text[text.len() - 156..]);
    let again = json(&place.run("predict rondeau-out end.txt --json").good());
    assert!((again["bits_per_character"].as_f64().unwrap() - bits).abs() < 0.1, "{again} {bits}");

    let write = |options: &str| {
        place.run(&format!("generate rondeau-out --prompt the --length 40 {options}")).good()
    };
    let likeliest = write("--temperature 0");
    assert_eq!(likeliest.chars().count(), 3 + 40 + 1);
    assert!(likeliest.starts_with("the "), "{likeliest}");
    assert_eq!(write("--seed 3 --temperature 1.5"), write("--seed 3 --temperature 1.5"));
    assert_ne!(write("--seed 3 --temperature 1.5"), write("--seed 4 --temperature 1.5"));

    let streamed = place.fed("stream rondeau-out --json", "the cat sat. the dog sat.\ntttttt\n");
    let streamed = streamed.good();
    let lines: Vec<serde_json::Value> = streamed.lines().map(json).collect();
    let bits = |i: usize| lines[i]["bits_per_character"].as_f64().unwrap();
    assert!(lines.len() == 2 && 2.0 * bits(0) < bits(1), "{lines:?}");
}

fn field(line: &str, i: usize) -> f64 {
    line.split(',').nth(i).unwrap().parse().unwrap()
}

#[test]
fn sequences_are_named_from_both_formats_and_line_by_line() {
    let place = Place::new();
    for pooling in ["mean", "last"] {
        let told = place.labels(&format!("--test test.ts --epochs 20 --pooling {pooling}"));
        let told = json(&told.good());
        assert_eq!(told["test_accuracy"], 1.0, "{told}");
        assert_eq!(
            (&told["sequences"]["train"], &told["sequences"]["test"]),
            (&24.into(), &10.into())
        );
        let said = place.run("predict rondeau-out test.ts").good();
        let files = place.files("rondeau-out");
        assert_eq!(said.as_bytes(), files["test.csv"]);

        // The same sequence as CSV and as a stream.
        let rows = "0,0.1\n1.2,1.1\n2,2.2\n3,3\n";
        let long: String = rows.lines().map(|row| format!("s,{row}\n")).collect();
        place.write("s.csv", &format!("sequence,x,y\n{long}"));
        let from_file = json(&place.run("predict rondeau-out s.csv --json").good());
        let streamed = place.fed("stream rondeau-out --json", &format!("{rows}\n{rows}")).good();
        let lines: Vec<serde_json::Value> = streamed.lines().map(json).collect();
        assert_eq!(lines.len(), 8);
        assert_eq!((&lines[7]["sequence"], &lines[7]["step"]), (&2.into(), &4.into()));
        for line in [&lines[3], &lines[7]] {
            assert_eq!(line["class"], from_file["class"]);
            let [a, b] = [line, &from_file].map(|told| told["probability"].as_f64().unwrap());
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    let held_out = json(&place.labels("--hold-out 25 --epochs 3").good());
    assert_eq!(held_out["sequences"]["test"], 6);
}

#[test]
fn every_cell_trains() {
    let place = Place::new();
    let cells = rondeau_cli::Cells::of_the_library();
    for name in cells.names() {
        let told = place.labels(&format!("--cell {name} --epochs 1")).good();
        assert_eq!(json(&told)["cell"], name);
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_goes_on_with_the_same_bits() {
    let place = Place::new();
    let options = "--epochs 100 --seed 5";
    place.labels(&format!("{options} --out whole")).good();
    let args = format!("train labels train.ts --hidden 6 --batch 8 --json {options} --out parted");
    let (run, rest) = place.interrupted(&args, "epoch   1/100");
    let told = json(&run.good());
    assert_eq!(told["stopped"], "interrupted", "{rest}");
    assert!(rest.contains("stopped by Ctrl-C, and --resume goes on ("), "{rest}");
    let parted = place.labels(&format!("{options} --out parted --resume")).good();
    assert_eq!(json(&parted)["epochs"], 100);
    let [whole, parted] = ["whole", "parted"].map(|out| place.files(out));
    for name in ["weights.safetensors", "log.csv", "loss.svg"] {
        assert_eq!(whole[name], parted[name], "{name}");
    }
}

#[test]
fn options_come_from_a_file_behind_those_of_the_command_line() {
    let place = Place::new();
    place.write("a.toml", "hidden = 3\nepochs = 2\ncell = 'mgu'\nquiet = true\njson = false\n");
    let run = place.run("train a.csv --target level --window 5 --config a.toml --json --epochs 1");
    assert_eq!(run.stderr, "");
    let told = json(&run.good());
    assert_eq!(
        (&told["hidden"], &told["epochs"], &told["cell"]),
        (&3.into(), &1.into(), &"mgu".into())
    );
}

#[test]
fn models_are_summed_up_printed_and_drawn() {
    let place = Place::new();
    place.labels("--epochs 1 --layers 2 --cell lstm").good();
    insta::assert_snapshot!("summary", place.run("summary rondeau-out").good());
    let told = json(&place.run("summary --cell gru --inputs 5 --hidden 8 --json").good());
    assert_eq!(told["n_parameters"], 3 * (5 * 8 + 8 * 8 + 8) + 9);
    assert_eq!(told["carry_bytes"], 32);
    let program = |options: &str| {
        place.run(&format!("program --cell mgu --inputs 2 --hidden 3 {options}")).good()
    };
    insta::assert_snapshot!("program", program(""));
    assert!(program("--of sequence").contains("scan"));
    assert_ne!(program("--of gradient"), program("--of gradient --pass dce"));
    let told = json(&program("--of gradient --json"));
    assert!(told["optimized"]["flops"].as_f64() > Some(0.0), "{told}");

    for file in ["", "test.ts"] {
        place.run(&format!("plot rondeau-out {file}")).good();
        let files = place.files("rondeau-out");
        for name in ["loss.svg", "hidden.svg", "gates.svg", "gradient.svg"] {
            let svg = String::from_utf8_lossy(&files[name]);
            assert!(svg.starts_with("<svg ") && !svg.contains("nothing to draw"), "{name}");
        }
    }
}

#[test]
fn cells_and_the_machine_are_checked() {
    let place = Place::new();
    let checked = place.run("check gru s5 --json --seed 2").good();
    let lines: Vec<serde_json::Value> = checked.lines().map(json).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["good"] == true), "{checked}");
    let doctor = json(&place.run("doctor --json").good());
    assert_eq!(doctor["tests"].as_array().unwrap().len(), 5);
    assert_eq!(doctor["tests"][4]["same_bits"], true);
}

#[test]
fn shells_and_manuals_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = place.run(&format!("completions {shell}")).good();
        assert!(text.contains("labels") && text.contains("temperature"), "{shell}");
    }
    assert!(place.run("man").good().contains(".TH rondeau"));
    place.run("man --out pages").good();
    let pages = place.files("pages");
    assert!(pages.contains_key("rondeau-train-labels.1") && pages.len() > 15, "{:?}", pages.keys());
    let page = String::from_utf8_lossy(&pages["rondeau-train-labels.1"]);
    // Examples are not filled into paragraphs.
    let examples =
        ".SH EXAMPLES\n.nf\n\\&  rondeau train labels JapaneseVowels_TRAIN.ts \\-\\-test ";
    assert!(page.contains(examples) && page.ends_with(".fi\n"), "{page}");
    // Whatever a page refers to is there.
    let main = String::from_utf8_lossy(&pages["rondeau.1"]);
    let named = main.lines().filter_map(|line| line.strip_suffix("(1)"));
    for name in named.map(|name| name.replace('\\', "")) {
        assert!(pages.contains_key(&format!("{name}.1")), "{name} in {main}");
    }
}

#[test]
fn mistakes_with_models_are_told() {
    let place = Place::new();
    place.text("--epochs 1 --out text").good();
    place.labels("--epochs 1 --out labels").good();
    place.train("--out series").good();
    place.write("short.txt", "abc");
    place.write("other.txt", "the cät");
    fs::write(place.path().join("binary.txt"), b"ab\xff").unwrap();
    place.write("none.csv", "a,b\n1,2\n");
    place.write("one.csv", "sequence,label,a\n1,x,1\n2,x,2\n");
    place.write("empty", "");
    place.write("other.csv", "sequence,label,x,y\n1,left,1,2\n");
    place.write("typo.toml", "hiden = 3\n");
    place.write("type.toml", "hidden = 'many'\n");
    place.write("syntax.toml", "hidden = \n");
    let cases = [
        "train text none.txt",
        "train text short.txt",
        "train text binary.txt",
        "train text a.txt --length 1500",
        "train text a.txt --cell transformer",
        "train text empty",
        "train labels none.csv",
        "train labels empty",
        "train labels binary.txt",
        "train labels one.csv",
        "train labels train.ts --test other.csv",
        "train labels train.ts --test one.csv",
        "train labels train.ts --hold-out 20 --test test.ts",
        "train labels train.ts --resume --out labels --batch 3",
        "train labels train.ts --resume --out labels --batch 8 --hidden 7",
        "train text a.txt --config typo.toml",
        "train text a.txt --config type.toml",
        "train text a.txt --config syntax.toml",
        "train text a.txt --config none.toml",
        "train --help=no",
        "generate labels",
        "generate text --prompt ä",
        "generate text --temperature -1",
        "generate text --seed 99999999999999999999",
        "predict text other.txt",
        "predict text empty",
        "predict labels one.csv",
        "summary none",
        "summary labels --hidden 3",
        "summary --hidden -3",
        "import one.csv --from torch --cell gru -o a.npz",
        "import labels/weights.safetensors --from torch --cell gru -o a.npz",
        "program --pass none",
        "check transformer",
        "plot none",
        "plot labels one.csv",
        "completions command.com",
    ];
    let mut told = String::new();
    for case in cases {
        let run = place.run(case);
        assert_eq!(run.stdout, "", "{case}");
        told.push_str(&format!("$ rondeau {case}\n{}exit {}\n\n", run.stderr, run.code.unwrap()));
    }
    for (case, stdin) in [
        ("stream series", "level\n1\n"),
        ("stream labels", "1,2\n1\n"),
        ("stream labels", "1,two\n"),
        ("stream text", "the cät\n"),
    ] {
        let run = place.fed(case, stdin);
        let code = run.code.unwrap();
        told.push_str(&format!("$ rondeau {case} <<< {stdin:?}\n{}exit {code}\n\n", run.stderr));
    }
    insta::assert_snapshot!("mistakes_with_models", told);
}
