//! Generated code is compiled and run, and agrees with the library.

use std::path::Path;
use std::process::Command;

use super::step::Step;
use super::*;
use crate::buffer::{Buffer, DType, Scalar, dispatch};
use crate::ir::{Aval, Builder};
use crate::nn::{self, Activation, Cell};
use crate::prim::Prim;
use crate::{Array, Stream, random, tree};

/// A model, what goes in at each step, and what must come out.
struct Case {
    what: String,
    model: Model,
    xs: Vec<Vec<Buffer>>,
    ys: Vec<Vec<Buffer>>,
}

fn numbers(buffer: &Buffer) -> Vec<f64> {
    dispatch!(all buffer.dtype(), T => {
        let number = |&x: &T| crate::buffer::Element::scalar(x).to_f64();
        buffer.values::<T>().iter().map(number).collect()
    })
}

/// Numbers without a pattern; `i` tells arrays apart.
fn noise(aval: &Aval, i: usize) -> Buffer {
    let at = |k: usize| (0.9 + 1.7 * k as f64 + 3.1 * i as f64 + 0.01 * (k * k) as f64).sin();
    let n = aval.shape.count();
    dispatch!(all aval.dtype, T => {
        let value = |k: usize| match aval.dtype {
            DType::F32 | DType::F64 => Scalar::F64(1.5 * at(k)),
            DType::I32 => Scalar::F64((4.0 * at(k)).round()),
            DType::U32 => Scalar::F64((4e9 * at(k).abs()).round()),
            DType::Bool => Scalar::Bool(at(k) > 0.0),
        };
        let element = |k| <T as crate::buffer::Element>::from_scalar(value(k));
        Buffer::new(aval.shape.clone(), (0..n).map(element).collect())
    })
}

fn cell_case<C: Cell>(what: &str, cell: &C, input: usize) -> Case {
    let step = |cell: &C, carry: &C::Carry, x: &Array| cell.step(carry, x);
    let dtype = tree::leaves(cell).first().map_or(DType::F32, |leaf| leaf.dtype());
    let aval = Aval::new(dtype, [input]);
    let xs: Vec<Buffer> = (0..4).map(|t| noise(&aval, t)).collect();
    let arrays: Vec<Array> = xs.iter().cloned().map(Array::from_buffer).collect();
    let start = cell.initial_carry();
    let model = Model::new(step, cell, &start, &arrays[0]).unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut stream = Stream::new(step, cell, &start, &arrays[0]).unwrap();
    let ys = arrays.iter().map(|x| vec![stream.next(x).unwrap().buffer().unwrap().clone()]);
    let ys = ys.collect();
    Case { what: what.to_owned(), model, xs: xs.into_iter().map(|x| vec![x]).collect(), ys }
}

/// Every primitive on the types of its examples.
fn prim_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (prim, avals) in Prim::examples() {
        if prim.has_custom_linear() {
            continue;
        }
        let mut b = Builder::new();
        let inputs = b.inputs(&avals);
        let outputs = b.bind(prim.clone(), &inputs);
        let program = b.finish(outputs);
        let x: Vec<Buffer> = avals.iter().enumerate().map(|(i, aval)| noise(aval, i)).collect();
        let ys = prim.eval(&x);
        let names = |n: usize, root: &str| (0..n).map(|i| format!("{root}.{i}")).collect();
        let step = Step {
            x: names(avals.len(), "x"),
            y: names(ys.len(), "y"),
            program,
            carry: vec![],
            constants: vec![],
        };
        let avals: Vec<String> = avals.iter().map(Aval::to_string).collect();
        let what = format!("{} {:?} of {}", prim.name(), prim.params(), avals.join(", "));
        let model = Model { step, name: String::new() };
        cases.push(Case { what, model, xs: vec![x], ys: vec![ys] });
    }
    cases
}

fn cell_cases() -> Vec<Case> {
    let keys = random::split(&random::key(5), 64);
    let mut i = 0;
    let mut key = || {
        i += 1;
        keys.at(i)
    };
    let (input, hidden) = (3, 4);
    let double = nn::cast(&nn::Gru::init(&key(), input, hidden), DType::F64);
    vec![
        cell_case("gru", &nn::Gru::init(&key(), input, hidden), input),
        cell_case("gru in f64", &double, input),
        cell_case("gru_reset_after", &nn::GruResetAfter::init(&key(), input, hidden), input),
        cell_case("indrnn", &nn::IndRnn::init(&key(), input, hidden), input),
        cell_case("layer_norm_gru", &nn::LayerNormGru::init(&key(), input, hidden), input),
        cell_case("layer_norm_lstm", &nn::LayerNormLstm::init(&key(), input, hidden), input),
        cell_case("lru", &nn::Lru::init(&key(), input, hidden), input),
        cell_case("lstm", &nn::Lstm::init(&key(), input, hidden), input),
        cell_case("mgu", &nn::Mgu::init(&key(), input, hidden), input),
        cell_case("mgu_reset_after", &nn::MguResetAfter::init(&key(), input, hidden), input),
        cell_case("min_gru", &nn::MinGru::init(&key(), input, hidden), input),
        cell_case("min_lstm", &nn::MinLstm::init(&key(), input, hidden), input),
        cell_case("peephole_lstm", &nn::PeepholeLstm::init(&key(), input, hidden), input),
        cell_case("projected_lstm", &nn::ProjectedLstm::init(&key(), input, hidden, 2), input),
        cell_case("rnn", &nn::Rnn::init(&key(), input, hidden, Activation::Gelu), input),
        cell_case("s5", &nn::S5::init(&key(), input, hidden), input),
        cell_case("selective_ssm", &nn::SelectiveSsm::init(&key(), input, hidden, 2), input),
        cell_case("slstm", &nn::SLstm::init(&key(), input, hidden), input),
        cell_case(
            "stack",
            &(
                nn::LayerNorm::init(input),
                nn::Gru::init(&key(), input, hidden),
                vec![nn::Lstm::init(&key(), hidden, hidden); 2],
                nn::Linear::init(&key(), hidden, 2),
            ),
            input,
        ),
    ]
}

fn run(command: &mut Command, what: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}:\n{}", told.chars().take(6000).collect::<String>());
    String::from_utf8(output.stdout).expect("numbers are text")
}

fn check(cases: &[Case], printed: &str, lang: &str) {
    let mut lines = printed.lines().map(|line| line.parse::<f64>().expect("a number a line"));
    let mut worst = (0.0, "");
    for Case { what, ys, .. } in cases {
        for y in ys.iter().flatten() {
            let want = numbers(y);
            let scale = want.iter().filter(|y| y.is_finite()).fold(1e-3, |m: f64, y| m.max(y.abs()));
            let tolerance = match y.dtype() {
                DType::F32 => 1e-5 * scale,
                DType::F64 => 1e-11 * scale,
                DType::I32 | DType::U32 | DType::Bool => 0.0,
            };
            for (k, want) in want.iter().enumerate() {
                let got = lines.next().expect("there are as many numbers");
                let close = (got - want).abs() <= tolerance || got == *want;
                let equal = close || (got.is_nan() && want.is_nan());
                assert!(equal, "{what} in {lang}, number {k}: {got} and not {want}");
                let error = (got - want).abs() / scale;
                if y.dtype() == DType::F32 && error > worst.0 {
                    worst = (error, what);
                }
            }
        }
    }
    assert_eq!(lines.next(), None);
    println!("{lang}: the largest error of f32 is {:e}, in {}", worst.0, worst.1);
}

fn rust_runs(dir: &Path, cases: &[Case]) {
    let (mut models, mut main, mut all) =
        ("#![no_std]\n".to_owned(), String::new(), String::new());
    for (i, Case { what, model, xs, ys }) in cases.iter().enumerate() {
        let text = model.rust().unwrap_or_else(|error| panic!("{what}: {error}"));
        models += &format!("pub mod m{i} {{\n{text}}}\n");
        main += &format!("fn m{i}() {{\nlet mut s = models::m{i}::state_init();\n");
        for (x, y) in xs.iter().zip(ys) {
            let mut args = String::new();
            for x in x {
                let list = match x.dtype() {
                    DType::Bool => format!("{:?}", x.values::<bool>()),
                    DType::I32 => format!("{:?}", x.values::<i32>()),
                    DType::U32 => format!("{:?}", x.values::<u32>()),
                    DType::F32 => format!("{:?}", x.values::<f32>()),
                    DType::F64 => format!("{:?}", x.values::<f64>()),
                };
                let list = if list == "[]" { "[Default::default()]".to_owned() } else { list };
                args += &format!(", &{list}");
            }
            for (k, y) in y.iter().enumerate() {
                let zero = if y.dtype() == DType::Bool { "false" } else { "Default::default()" };
                main += &format!("let mut y{k} = [{zero}; {}];\n", y.shape().count().max(1));
                args += &format!(", &mut y{k}");
            }
            main += &format!("models::m{i}::step(&mut s{args});\n");
            for (k, y) in y.iter().enumerate() {
                let cast = if y.dtype() == DType::Bool { "v as u8 as f64" } else { "v as f64" };
                let n = y.shape().count();
                main += &format!("for v in &y{k}[..{n}] {{ let v = *v; println!(\"{{:e}}\", {cast}); }}\n");
            }
        }
        main += "}\n";
        all += &format!("m{i}();\n");
    }
    main += &format!("fn main() {{\n{all}}}\n");
    std::fs::write(dir.join("models.rs"), models).unwrap();
    std::fs::write(dir.join("main.rs"), main).unwrap();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compile = |file: &str, edition: &str, args: &[&str]| {
        let mut command = Command::new(&rustc);
        command.current_dir(dir).args(["--edition", edition, "-Awarnings", file]).args(args);
        run(&mut command, file);
    };
    compile("models.rs", "2021", &["--crate-type", "lib", "-Cdebug-assertions=on"]);
    compile("main.rs", "2024", &["--extern", "models=libmodels.rlib"]);
    check(cases, &run(&mut Command::new(dir.join("main")), "main"), "Rust");
}

fn c_runs(dir: &Path, cases: &[Case]) {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if Command::new(&cc).arg("--version").output().is_err() {
        println!("skipped: there is no C compiler `{cc}`");
        return;
    }
    let mut all = String::new();
    let mut main = "#include <stdio.h>\n#include <stdbool.h>\n#include <stdint.h>\n".to_owned();
    let mut command = Command::new(&cc);
    command.current_dir(dir).args(["-std=c99", "-O0", "-Wall", "-Wextra", "-Werror"]);
    // Helpers are not all called, and comparisons with 0 of unsigned numbers are.
    command.args(["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-type-limits", "-Wno-unused-variable"]);
    for (i, Case { what, model, xs, ys }) in cases.iter().enumerate() {
        let name = format!("m{i}");
        let text = model.clone().name(&name).c().unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut text = text + "#include <stdio.h>\n";
        text += &format!("void run_{name}(void) {{\nstatic {name}_state s;\n{name}_state_init(&s);\n");
        for (x, y) in xs.iter().zip(ys) {
            text += "{\n";
            let mut args = String::new();
            let ty = |dtype: DType| match dtype {
                DType::F32 => "float",
                DType::F64 => "double",
                DType::I32 => "int32_t",
                DType::U32 => "uint32_t",
                DType::Bool => "bool",
            };
            for (k, x) in x.iter().enumerate() {
                let list: Vec<String> = numbers(x).iter().map(|x| format!("{x:?}")).collect();
                let list = if list.is_empty() { "0".to_owned() } else { list.join(", ") };
                text += &format!("static const {} x{k}[] = {{{list}}};\n", ty(x.dtype()));
                args += &format!(", x{k}");
            }
            for (k, y) in y.iter().enumerate() {
                text += &format!("static {} y{k}[{}];\n", ty(y.dtype()), y.shape().count().max(1));
                args += &format!(", y{k}");
            }
            text += &format!("{name}_step(&s{args});\n");
            for (k, y) in y.iter().enumerate() {
                let n = y.shape().count();
                text += &format!("for (int i = 0; i < {n}; i++) printf(\"%.17g\\n\", (double)y{k}[i]);\n");
            }
            text += "}\n";
        }
        text += "}\n";
        std::fs::write(dir.join(format!("{name}.c")), text).unwrap();
        command.arg(format!("{name}.c"));
        main += &format!("void run_{name}(void);\n");
        all += &format!("run_{name}();\n");
    }
    main += &format!("int main(void) {{\n{all}return 0;\n}}\n");
    std::fs::write(dir.join("main.c"), main).unwrap();
    run(command.args(["main.c", "-o", "main_c", "-lm"]), "cc");
    check(cases, &run(&mut Command::new(dir.join("main_c")), "main_c"), "C");
}

#[test]
fn generated_code_computes_what_the_library_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut cases = cell_cases();
    cases.extend(prim_cases());
    rust_runs(dir.path(), &cases);
    c_runs(dir.path(), &cases);
}
