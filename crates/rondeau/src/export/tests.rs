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
    let model =
        Model::new(step, cell, &start, &arrays[0]).unwrap_or_else(|e| panic!("{what}: {e}"));
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
        let model = Model { step, name: "prim".to_owned() };
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
    assert!(output.status.success(), "{what}:\n{}", told.chars().take(30_000).collect::<String>());
    String::from_utf8(output.stdout).expect("numbers are text")
}

fn check(cases: &[Case], printed: &str, lang: &str) {
    let mut lines = printed.lines().map(|line| line.parse::<f64>().expect("a number a line"));
    let mut worst = (0.0, "");
    for Case { what, ys, .. } in cases {
        for y in ys.iter().flatten() {
            let want = numbers(y);
            let scale =
                want.iter().filter(|y| y.is_finite()).fold(1e-3, |m: f64, y| m.max(y.abs()));
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
    let (mut models, mut main, mut all) = ("#![no_std]\n".to_owned(), String::new(), String::new());
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
                main += &format!(
                    "for v in &y{k}[..{n}] {{ let v = *v; println!(\"{{:e}}\", {cast}); }}\n"
                );
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
        command.current_dir(dir).args(["--edition", edition, file]).args(args);
        run(&mut command, file);
    };
    // Steps without a state do not use theirs; but no compiler is to complain of how a step is written.
    let lints = ["-Awarnings", "-Dunused-parens", "-Dunused-mut", "-Dunused-braces"];
    let lib = [&["--crate-type", "lib", "-Cdebug-assertions=on"][..], &lints].concat();
    compile("models.rs", "2021", &lib);
    compile("main.rs", "2024", &["--extern", "models=libmodels.rlib", "-Awarnings"]);
    check(cases, &run(&mut Command::new(dir.join("main")), "main"), "Rust");
}

fn c_runs(dir: &Path, cases: &[Case]) {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if Command::new(&cc).arg("--version").output().is_err() {
        println!("skipped: there is no C compiler `{cc}`");
        return;
    }
    let (mut all, mut main) = (String::new(), "#include <stdio.h>\n".to_owned());
    for (i, Case { what, model, xs, ys }) in cases.iter().enumerate() {
        let name = format!("m{i}");
        main += &model.clone().name(&name).c().unwrap_or_else(|error| panic!("{what}: {error}"));
        main +=
            &format!("void run_{name}(void) {{\nstatic {name}_state s;\n{name}_state_init(&s);\n");
        for (x, y) in xs.iter().zip(ys) {
            main += "{\n";
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
                main += &format!("static const {} x{k}[] = {{{list}}};\n", ty(x.dtype()));
                args += &format!(", x{k}");
            }
            for (k, y) in y.iter().enumerate() {
                main += &format!("static {} y{k}[{}];\n", ty(y.dtype()), y.shape().count().max(1));
                args += &format!(", y{k}");
            }
            main += &format!("{name}_step(&s{args});\n");
            for (k, y) in y.iter().enumerate() {
                let n = y.shape().count();
                let line = "printf(\"%.17g\\n\"";
                main += &format!("for (int i = 0; i < {n}; i++) {line}, (double)y{k}[i]);\n");
            }
            main += "}\n";
        }
        main += "}\n";
        all += &format!("run_{name}();\n");
    }
    main += &format!("int main(void) {{\n{all}return 0;\n}}\n");
    std::fs::write(dir.join("main.c"), main).unwrap();
    let mut command = Command::new(&cc);
    command.current_dir(dir).args(["-std=c99", "-O0", "-Wall", "-Wextra", "-Werror"]);
    // Arguments that a primitive does not read, and `x < 0` of numbers that never are.
    command.args(["-Wno-unused-parameter", "-Wno-type-limits", "-Wno-unused-variable"]);
    run(command.args(["main.c", "-o", "main_c", "-lm"]), "cc");
    check(cases, &run(&mut Command::new(dir.join("main_c")), "main_c"), "C");
}

/// The fields of a message of protocol buffers: a number, or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut x, mut shift) = (0, 0);
        loop {
            let (&byte, rest) = bytes.split_first().expect("a number ends");
            *bytes = rest;
            x |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return x;
            }
        }
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let number = varint(&mut bytes);
        let mut inside: &[u8] = &[];
        match tag & 7 {
            0 => {}
            2 => (inside, bytes) = bytes.split_at(usize::try_from(number).unwrap()),
            other => panic!("no field is of the wire type {other}"),
        }
        all.push((tag >> 3, number, inside));
    }
    all
}

fn named(message: &[u8], field: u64) -> String {
    let found = fields(message).into_iter().find(|(f, ..)| *f == field);
    String::from_utf8(found.expect("it has a name").2.to_vec()).unwrap()
}

/// Every name is bound once and before it is read; the operators in order.
fn check_graph(graph: &[u8], outer: &std::collections::BTreeSet<String>, ops: &mut Vec<String>) {
    let (mut bound, graph) = (outer.clone(), fields(graph));
    let mut inputs = std::collections::BTreeSet::new();
    for (_, _, info) in graph.iter().filter(|(f, ..)| *f == 11) {
        assert!(inputs.insert(named(info, 1)));
    }
    for name in graph.iter().filter(|(f, ..)| *f == 5).map(|(_, _, tensor)| named(tensor, 8)) {
        // One of an input's name is its default.
        assert!(inputs.contains(&name) || bound.insert(name));
    }
    for name in inputs {
        assert!(bound.insert(name));
    }
    for (_, _, node) in graph.iter().filter(|(f, ..)| *f == 1) {
        ops.push(named(node, 4));
        for (field, _, inside) in fields(node) {
            let text = || String::from_utf8(inside.to_vec()).unwrap();
            match field {
                1 => {
                    assert!(inside.is_empty() || bound.contains(&text()), "{} is not bound", text())
                }
                5 => {
                    let graphs = fields(inside).into_iter().filter(|(f, ..)| *f == 6);
                    graphs.for_each(|(_, _, graph)| check_graph(graph, &bound, ops));
                }
                _ => {}
            }
        }
        for (_, _, name) in fields(node).iter().filter(|(f, ..)| *f == 2) {
            assert!(bound.insert(String::from_utf8(name.to_vec()).unwrap()));
        }
    }
    for (_, _, info) in graph.iter().filter(|(f, ..)| *f == 12) {
        assert!(bound.contains(&named(info, 1)));
    }
}

fn operators(model: &[u8]) -> Vec<String> {
    let model = fields(model);
    let find = |field| model.iter().find(|(f, ..)| *f == field).expect("it is there");
    assert_eq!(find(1).1, 8);
    assert_eq!(fields(find(8).2)[1].1, 18);
    let mut ops = Vec::new();
    check_graph(find(7).2, &Default::default(), &mut ops);
    ops
}

/// Models with inputs and outputs in a directory, for a runtime to be compared with.
fn onnx_files(dir: &Path) -> Vec<String> {
    let mut refused = std::collections::BTreeSet::new();
    let write = |stem: &str, bytes: Vec<u8>, record: crate::io::Record| {
        std::fs::write(dir.join(format!("{stem}.onnx")), bytes).unwrap();
        crate::io::npz::write(dir.join(format!("{stem}.npz")), &record, Default::default())
            .unwrap();
    };
    let cells = cell_cases().into_iter().map(|case| ("cell", case));
    for (i, (kind, case)) in cells.chain(prim_cases().into_iter().map(|c| ("prim", c))).enumerate()
    {
        let Case { what, model, xs, ys } = case;
        let bytes = match model.onnx() {
            Ok(bytes) => bytes,
            Err(error) => {
                assert_eq!(kind, "prim", "{what}: {error}");
                refused.insert(error.to_string().lines().next().unwrap_or("").to_owned());
                continue;
            }
        };
        assert!(operators(&bytes).contains(&"Scan".to_owned()));
        let mut record = crate::io::Record::new();
        let stacked = |rows: &[Vec<Buffer>], k: usize| {
            let rows: Vec<Buffer> = rows.iter().map(|row| row[k].clone()).collect();
            Array::from_buffer(Buffer::stack(&rows, &rows[0].shape().clone(), rows[0].dtype()))
        };
        for (path, k) in model.step.x.iter().zip(0..) {
            record.insert(format!("in.{}", path.replacen('x', "xs", 1)), stacked(&xs, k)).unwrap();
        }
        for (path, k) in model.step.y.iter().zip(0..) {
            record.insert(format!("out.{}", path.replacen('y', "ys", 1)), stacked(&ys, k)).unwrap();
        }
        let letters: String = what
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(60)
            .collect();
        write(&format!("{kind}_{i}_{letters}"), bytes, record);
    }
    let key = random::split(&random::key(9), 8);
    let (gru, after) = (nn::Gru::init(&key.at(0), 3, 4), nn::GruResetAfter::init(&key.at(1), 4, 5));
    let after = nn::GruResetAfter { recurrent_bias: random::normal(&key.at(7), [5]), ..after };
    let lstm = nn::Lstm::init(&key.at(2), 5, 4);
    let peephole = nn::PeepholeLstm::init(&key.at(3), 4, 3);
    let rnn = nn::Rnn::init(&key.at(4), 3, 4, Activation::Relu);
    let linear = nn::Linear::init(&key.at(5), 4, 2);
    let layers = [
        (&gru).into(),
        (&after).into(),
        (&lstm).into(),
        (&peephole).into(),
        (&rnn).into(),
        (&linear).into(),
    ];
    let bytes = onnx_layers("stack", &layers).unwrap();
    let ops = operators(&bytes);
    let found = ["GRU", "LSTM", "RNN", "MatMul"].map(|op| ops.iter().filter(|o| *o == op).count());
    assert_eq!(found, [2, 2, 1, 1]);
    let stack = (gru, after, lstm, peephole, rnn, linear);
    let xs = random::normal(&key.at(6), [2, 5, 3]);
    let (_, ys) = nn::run_batch(&stack, &nn::initial_carries(&stack, 2), &xs);
    let mut record = crate::io::Record::new();
    record.insert("in.xs", xs.transpose(&[1, 0, 2])).unwrap();
    record.insert("out.ys", ys.transpose(&[1, 0, 2])).unwrap();
    write("layers", bytes, record);
    refused.into_iter().collect()
}

#[test]
fn onnx_models_compute_what_the_library_does() {
    let dir = tempfile::tempdir().unwrap();
    let refused = onnx_files(dir.path());
    insta::assert_snapshot!(refused.join("\n"), @"
    `a step without results` has no form in ONNX
    `a step without x` has no form in ONNX
    `atan2` has no form in ONNX
    `bitcast` has no form in ONNX
    `cummax` has no form in ONNX
    `cummin` has no form in ONNX
    `cumprod` has no form in ONNX
    `erf_inv` has no form in ONNX
    `gather` has no form in ONNX
    `pad` has no form in ONNX
    `scatter` has no form in ONNX
    `shift_left` has no form in ONNX
    `shift_right_arithmetic` has no form in ONNX
    `shift_right_logical` has no form in ONNX
    `sort` has no form in ONNX
    `threefry2x32` has no form in ONNX
    ");
    let Ok(python) = std::env::var("RONDEAU_PYTHON") else {
        println!("skipped: RONDEAU_PYTHON names no Python with onnx and onnxruntime");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/check.py");
    let told = run(Command::new(python).arg(script).arg(dir.path()), "check.py");
    println!("{told}");
}

#[test]
fn a_gru_in_both_languages() {
    let gate = |i: usize| {
        let numbers = |n: usize| (0..n).map(|k| ((k + 7 * i) % 5) as f32 * 0.25 - 0.5).collect();
        nn::Gate {
            w: Array::new([2, 2], numbers(4)),
            u: Array::new([2, 2], numbers(4)),
            b: Array::new([2], numbers(2)),
        }
    };
    let cell = nn::Gru { update: gate(0), reset: gate(1), candidate: gate(2) };
    let step = |cell: &nn::Gru, h: &Array, x: &Array| cell.step(h, x);
    let model =
        Model::new(step, &cell, &cell.initial_carry(), &Array::zeros([2])).unwrap().name("gru");
    insta::assert_snapshot!("gru.rs", model.rust().unwrap());
    insta::assert_snapshot!("gru.c", model.c().unwrap());
}

#[test]
fn a_carry_that_changes_is_named() {
    let step = |(): &(), h: &Array, _: &Array| (h.sum(), ());
    let error = Model::new(step, &(), &Array::zeros([2]), &Array::zeros([2])).unwrap_err();
    insta::assert_snapshot!(error, @r"
    the carry of `export` must keep its type from step to step
      carry enters the step as f32[2]
      carry leaves the step as f32[]
    help: return carry as f32[2], or start the export from f32[]
    ");
}

#[test]
fn generated_code_computes_what_the_library_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut cases = cell_cases();
    cases.extend(prim_cases());
    rust_runs(dir.path(), &cases);
    c_runs(dir.path(), &cases);
}
