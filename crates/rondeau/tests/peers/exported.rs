//! Steps as C and Rust, compiled and run over the inputs of a framework's case.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use rondeau::Array;
use rondeau::export::Model;

/// A step in f64, what goes in, and what the framework says comes out: `[time, ..]`.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) model: Model,
    pub(crate) xs: Array,
    pub(crate) ys: Array,
}

/// The numbers of each time step.
fn rows(array: &Array) -> Vec<Vec<f64>> {
    let numbers = array.to_vec::<f64>().expect("arrays of cases are f64");
    numbers.chunks(array.shape()[1]).map(<[f64]>::to_vec).collect()
}

/// Compiles and runs all of the steps in both languages, and says how far they are off.
pub(crate) fn run(dir: &Path, steps: &[Step]) -> String {
    let found = [("C", c(dir, steps)), ("Rust", rust(dir, steps))];
    let told = found.map(|(language, printed)| {
        let mut numbers = printed.lines().map(|line| line.parse::<f64>().expect("a number a line"));
        let mut farthest = 0.0_f64;
        for Step { name, ys, .. } in steps {
            let ys = ys.to_vec::<f64>().expect("arrays of cases are f64");
            let scale = ys.iter().fold(0.0, |most: f64, y| most.max(y.abs()));
            for y in ys {
                let got = numbers.next().expect("there are as many numbers");
                let part = (got - y).abs() / scale;
                assert!(part <= 1e-12, "{name} in {language}: {got} and not {y}");
                farthest = farthest.max(part);
            }
        }
        assert_eq!(numbers.next(), None);
        format!("{farthest:.1e} in {language}")
    });
    format!("{} steps, largest error {}", steps.len(), told.join(", "))
}

fn c(dir: &Path, steps: &[Step]) -> String {
    let mut file = "#include <stdio.h>\n".to_owned();
    let mut calls = String::new();
    for Step { name, model, xs, ys } in steps {
        file += &model.c().expect("the step is exported");
        let (xs, n_out) = (rows(xs), ys.shape()[1]);
        let list: Vec<String> = xs.concat().iter().map(|x| format!("{x:?}")).collect();
        let _ = write!(
            file,
            "static void run_{name}(void) {{\n\
             static {name}_state s;\nstatic double y[{n_out}];\n\
             static const double xs[{n_time}][{n_in}] = {{{list}}};\n\
             {name}_state_init(&s);\n\
             for (int t = 0; t < {n_time}; t++) {{\n\
             {name}_step(&s, xs[t], y);\n\
             for (int i = 0; i < {n_out}; i++) printf(\"%.17g\\n\", y[i]);\n}}\n}}\n",
            n_time = xs.len(),
            n_in = xs[0].len(),
            list = list.join(", "),
        );
        let _ = writeln!(calls, "run_{name}();");
    }
    let _ = write!(file, "int main(void) {{\n{calls}return 0;\n}}\n");
    std::fs::write(dir.join("main.c"), file).expect("the file is written");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(compiler);
    // The braces of the rows of `xs` are left out.
    command.current_dir(dir).args(["-std=c99", "-Wall", "-Werror", "-Wno-missing-braces"]);
    crate::printed(command.args(["main.c", "-o", "main_c", "-lm"]));
    crate::printed(&mut Command::new(dir.join("main_c")))
}

fn rust(dir: &Path, steps: &[Step]) -> String {
    let (mut file, mut calls) = (String::new(), String::new());
    for Step { name, model, xs, ys } in steps {
        let text = model.rust().expect("the step is exported");
        let _ = write!(
            file,
            "mod {name} {{\n{text}}}\n\
             fn run_{name}() {{\n\
             let mut s = {name}::state_init();\n\
             for x in {xs:?} {{\n\
             let mut y = [0.0; {n_out}];\n\
             {name}::step(&mut s, &x, &mut y);\n\
             for y in y {{ println!(\"{{y:?}}\"); }}\n}}\n}}\n",
            xs = rows(xs),
            n_out = ys.shape()[1],
        );
        let _ = writeln!(calls, "run_{name}();");
    }
    let _ = writeln!(file, "fn main() {{\n{calls}}}");
    std::fs::write(dir.join("main.rs"), file).expect("the file is written");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let mut command = Command::new(compiler);
    command.current_dir(dir).args(["--edition", "2024", "-Awarnings", "main.rs"]);
    crate::printed(command.args(["-o", "main_rust"]));
    crate::printed(&mut Command::new(dir.join("main_rust")))
}
