//! Cells that are files of equations: against the cells of the library, and their messages.

mod messages;

use std::collections::BTreeMap;

use rondeau::cellfile::{CellFile, FileCell};
use rondeau::nn::{self, Activation, Cell};
use rondeau::optimize::optimize;
use rondeau::{Array, DType, grad, jit, program, random, scan, tree};

const INPUT: usize = 3;
const HIDDEN: usize = 4;
const STEPS: usize = 7;

type Named = BTreeMap<String, Array>;

/// The path of a file of the library.
fn path(name: &str) -> String {
    format!("{}/cells/{name}.cell", env!("CARGO_MANIFEST_DIR"))
}

fn load(name: &str) -> FileCell {
    let sizes = [("input", INPUT), ("hidden", HIDDEN)];
    FileCell::load(path(name), &sizes).unwrap_or_else(|error| panic!("{error}"))
}

fn named<const N: usize>(entries: [(&str, &Array); N]) -> Named {
    entries.into_iter().map(|(name, array)| (name.to_owned(), array.clone())).collect()
}

/// The bits of all leaves.
fn bits<T: rondeau::Tree>(tree: &T) -> Vec<Vec<u32>> {
    let of = |leaf: &Array| -> Vec<u32> {
        leaf.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    tree::leaves(tree).into_iter().map(of).collect()
}

/// Checks that a file is the cell of the library: the same numbers to the bit, forward and backward,
/// and after optimization the very same program. The functions give the parameters and the carry
/// their names in the file, and take them away again.
#[track_caller]
fn same<C>(
    name: &str,
    cell: C,
    params: fn(&C) -> Named,
    carry_in: fn(&C::Carry) -> Named,
    carry_out: fn(&Named) -> C::Carry,
) where
    C: Cell + 'static,
    C::Carry: 'static,
{
    let file = load(name);
    let names: Vec<&String> = file.params.keys().collect();
    let given = params(&cell);
    assert_eq!(names, given.keys().collect::<Vec<_>>());
    for (name, own) in &given {
        assert_eq!(own.shape(), file.params[name].shape(), "{name}");
    }
    assert_eq!(file.input_size(), cell.input_size());

    // Parameters without zeros in them.
    let noise = |leaf: &Array| leaf + random::normal(&random::key(5), leaf.shape()) * 0.3;
    let cell = tree::map(&cell, noise);
    let carry = tree::map(&cell.initial_carry(), noise);
    let xs = random::normal(&random::key(3), [STEPS, INPUT]);

    let own = |cell: &C, carry: &C::Carry, xs: &Array| nn::run(cell, carry, xs);
    let from_file = move |cell: &C, carry: &C::Carry, xs: &Array| {
        let mut file = file.clone();
        file.params = params(cell);
        // The carry goes through the loop as that of the library, since its order is of the program.
        let step = |carry: &C::Carry, x: &Array| {
            let (next, y) = file.step(&carry_in(carry), x);
            (carry_out(&next), y)
        };
        scan(step, carry, xs)
    };
    let expected = jit(own).call(&cell, &carry, &xs).unwrap();
    let got = jit(from_file.clone()).call(&cell, &carry, &xs).unwrap();
    assert_eq!(bits(&got), bits(&expected));

    let sum = |(last, ys): &(C::Carry, Array)| {
        tree::leaves(last).into_iter().fold((ys * ys).sum(), |sum, leaf| sum + leaf.sin().sum())
    };
    let own_loss = move |cell: &C, carry: &C::Carry, xs: &Array| sum(&own(cell, carry, xs));
    let file_loss = move |cell: &C, carry: &C::Carry, xs: &Array| sum(&from_file(cell, carry, xs));
    let expected = jit(grad(own_loss)).call(&cell, &carry, &xs).unwrap();
    let got = jit(grad(file_loss.clone())).call(&cell, &carry, &xs).unwrap();
    assert_eq!(bits(&got), bits(&expected));
    assert!(bits(&got).iter().flatten().any(|&bits| bits != 0));

    let own_program = optimize(&program(own_loss).call(&cell, &carry, &xs).unwrap());
    let file_program = optimize(&program(file_loss.clone()).call(&cell, &carry, &xs).unwrap());
    assert_eq!(file_program.to_string(), own_program.to_string());
    let own_program = optimize(&program(grad(own_loss)).call(&cell, &carry, &xs).unwrap());
    let file_program = optimize(&program(grad(file_loss)).call(&cell, &carry, &xs).unwrap());
    assert_eq!(file_program.to_string(), own_program.to_string());
}

fn key() -> Array {
    random::key(1)
}

fn h_in(h: &Array) -> Named {
    named([("h", h)])
}

fn h_out(carry: &Named) -> Array {
    carry["h"].clone()
}

fn hc_in(carry: &nn::LstmCarry) -> Named {
    named([("h", &carry.h), ("c", &carry.c)])
}

fn hc_out(carry: &Named) -> nn::LstmCarry {
    nn::LstmCarry { h: carry["h"].clone(), c: carry["c"].clone() }
}

/// The parameters of gates, as `W`, `U` and `b` with the suffix of each.
fn gates<const N: usize>(gates: [(&str, &nn::Gate); N]) -> Named {
    let of = |(suffix, gate): (&str, &nn::Gate)| {
        [("W", &gate.w), ("U", &gate.u), ("b", &gate.b)]
            .map(|(letter, array)| (format!("{letter}{suffix}"), array.clone()))
    };
    gates.into_iter().flat_map(of).collect()
}

#[test]
fn names_near_a_value_are_parameters_if_they_are_declared_or_no_slip() {
    let parsed = |lines: &str| {
        let text = format!("cell f(x, h)\n{lines}\n  h' = gate * h\n  y = h'");
        CellFile::parse(&text, "f.cell")
    };
    assert!(parsed("  gate = gaet + W x").is_err());
    for lines in [
        "  param gaet\n  gate = gaet + W x",
        "  gate = Wgate x + gate2",
        // Written twice, it is meant.
        "  gate = gaet + W x + gaet",
    ] {
        assert!(parsed(lines).is_ok(), "{lines}");
    }
}

#[test]
fn gru_is_gru() {
    let params = |c: &nn::Gru| gates([("z", &c.update), ("r", &c.reset), ("h", &c.candidate)]);
    same("gru", nn::Gru::init(&key(), INPUT, HIDDEN), params, h_in, h_out);
}

#[test]
fn gru_reset_after_is_gru_reset_after() {
    let params = |c: &nn::GruResetAfter| {
        let mut all = gates([("z", &c.update), ("r", &c.reset), ("n", &c.candidate)]);
        all.insert("cn".to_owned(), c.recurrent_bias.clone());
        all
    };
    let cell = nn::GruResetAfter::init(&key(), INPUT, HIDDEN);
    same("gru_reset_after", cell, params, h_in, h_out);
}

#[test]
fn lstm_is_lstm() {
    let params = |c: &nn::Lstm| {
        gates([("i", &c.input), ("f", &c.forget), ("g", &c.candidate), ("o", &c.output)])
    };
    same("lstm", nn::Lstm::init(&key(), INPUT, HIDDEN), params, hc_in, hc_out);
}

#[test]
fn rnn_is_rnn() {
    let params = |c: &nn::Rnn| gates([("", &c.gate)]);
    let cell = nn::Rnn::init(&key(), INPUT, HIDDEN, Activation::Tanh);
    same("rnn", cell, params, h_in, h_out);
}

#[test]
fn mgu_is_mgu() {
    let params = |c: &nn::Mgu| gates([("f", &c.forget), ("a", &c.candidate)]);
    same("mgu", nn::Mgu::init(&key(), INPUT, HIDDEN), params, h_in, h_out);
}

#[test]
fn min_gru_is_min_gru() {
    let params = |c: &nn::MinGru| {
        named([
            ("Wz", &c.update.weight),
            ("bz", &c.update.bias),
            ("Wa", &c.candidate.weight),
            ("ba", &c.candidate.bias),
        ])
    };
    same("min_gru", nn::MinGru::init(&key(), INPUT, HIDDEN), params, h_in, h_out);
}

#[test]
fn layer_norm_lstm_is_layer_norm_lstm() {
    let params = |c: &nn::LayerNormLstm| {
        named([
            ("W", &c.gates.w),
            ("U", &c.gates.u),
            ("b", &c.gates.b),
            ("sx", &c.input_norm.scale),
            ("ox", &c.input_norm.offset),
            ("sh", &c.recurrent_norm.scale),
            ("oh", &c.recurrent_norm.offset),
            ("sc", &c.memory_norm.scale),
            ("oc", &c.memory_norm.offset),
        ])
    };
    let cell = nn::LayerNormLstm::init(&key(), INPUT, HIDDEN);
    same("layer_norm_lstm", cell, params, hc_in, hc_out);
}

#[test]
fn every_file_of_the_library_is_held_against_a_cell() {
    let dir = format!("{}/cells", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    let tested = ["gru", "gru_reset_after", "layer_norm_lstm", "lstm", "mgu", "min_gru", "rnn"];
    assert_eq!(names, tested);
    for name in names {
        let text = std::fs::read_to_string(path(&name)).unwrap();
        let file = CellFile::parse(&text, &name).unwrap();
        assert_eq!(file.name(), name);
        assert_eq!(CellFile::parse(&file.to_string(), "printed").unwrap(), file);
    }
}

#[test]
fn parameters_begin_as_the_file_says() {
    let cell = load("lstm").init(&key());
    assert_eq!(cell.params["bf"].to_vec::<f32>().unwrap(), [1.0; HIDDEN]);
    assert_eq!(cell.params["bi"].to_vec::<f32>().unwrap(), [0.0; HIDDEN]);
    let u = &cell.params["Ui"];
    let off = (u.matmul(u.t()) - Array::eye(HIDDEN)).abs().max();
    assert!(off.item::<f32>().unwrap() < 1e-6);
    assert_ne!(bits(&cell.params["Wi"]), bits(&cell.params["Wf"]));
    assert_eq!(bits(&cell), bits(&load("lstm").init(&key())));
    let scale = &load("layer_norm_lstm").init(&key()).params["sx"];
    assert_eq!(scale.to_vec::<f32>().unwrap(), [1.0; 4 * HIDDEN]);
}

/// A cell of this text with sizes from 3 on, drawn.
fn cell(text: &str) -> FileCell {
    let file = CellFile::parse(text, "test.cell").unwrap_or_else(|error| panic!("{error}"));
    let sizes: Vec<(&str, usize)> =
        file.sizes().iter().enumerate().map(|(i, name)| (name.as_str(), 3 + i)).collect();
    file.instantiate(&sizes).unwrap_or_else(|error| panic!("{error}")).init(&key())
}

/// The output for the input 1, -2, 3 and no carry but the first.
fn output(text: &str) -> Vec<f32> {
    let cell = cell(text);
    let (_, y) = cell.step(&cell.initial_carry(), &Array::from([1.0_f32, -2.0, 3.0]));
    y.to_vec::<f32>().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn equations_mean_what_they_say() {
    let of = |y: &str| output(&format!("cell f(x)\n  const k = -0.5\n  y = {y}"));
    assert_eq!(of("1 - x * 2"), [-1.0, 5.0, -5.0]);
    assert_eq!(of("-x^2"), [-1.0, -4.0, -9.0]);
    assert_eq!(of("2^-1 * x"), [0.5, -1.0, 1.5]);
    assert_eq!(of("x^3 / k"), [-2.0, 16.0, -54.0]);
    assert_eq!(of("where(x > 0, x, 10)"), [1.0, 10.0, 3.0]);
    assert_eq!(of("where(0 > x, 1, 2)"), [2.0, 1.0, 2.0]);
    assert_eq!(of("max(x, 0) + min(x)"), [-1.0, -2.0, 1.0]);
    assert_eq!(of("clip(x, k, 2)"), [1.0, -0.5, 2.0]);
    assert_eq!(of("concat(x[1..], x[..1])"), [-2.0, 3.0, 1.0]);
    assert_eq!(of("sum(x) + dot(x, x) + 0 * x"), [16.0; 3]);
    assert_eq!(of("round(3 * mean(x)) * x"), [2.0, -4.0, 6.0]);
    assert_eq!(of("outer(x, x) x"), [14.0, -28.0, 42.0]);
    assert_eq!(of("transpose(outer(x, x[..2])) x"), [14.0, -28.0]);
    assert_eq!(of("(2 + 1) * k - 1"), [-2.5]);
    assert_eq!(of("relu(x)\n  # the last line"), [1.0, 0.0, 3.0]);
    assert_eq!(of("(\n x\n + 1)"), [2.0, -1.0, 4.0]);
}

#[test]
fn carries_begin_as_the_file_says() {
    let text = "cell f(x, a, b, c [2])\n carry a [input] = ones\n carry b = constant(-2)\n \
                a' = a\n b' = b + x\n c' = c * 2\n y = a + b";
    let carry = cell(text).initial_carry();
    let values = |name: &str| carry[name].to_vec::<f32>().unwrap();
    assert_eq!(
        (values("a"), values("b"), values("c")),
        (vec![1.0; 3], vec![-2.0; 3], vec![0.0; 2])
    );
}

#[test]
fn a_file_is_as_good_as_any_cell() {
    let stack = (load("lstm").init(&key()), nn::Linear::init(&key(), HIDDEN, 2));
    let xs = random::normal(&key(), [5, STEPS, INPUT]);
    let (_, ys) = nn::run_batch(&stack, &nn::initial_carries(&stack, 5), &xs);
    assert_eq!(ys.shape(), [5, STEPS, 2]);
    assert!(ys.error().is_none());
    let wide = nn::cast(&stack.0, DType::F64);
    let (_, y) = wide.step(&wide.initial_carry(), &Array::zeros([INPUT]).to(DType::F64));
    assert_eq!(y.dtype(), DType::F64);
    // Two files with the same parameters are two functions.
    let other = cell("cell rnn(x, h)\n h' = sin(W x + U h + b)\n y = h'");
    let one = load("rnn");
    let run = |cell: &FileCell, x: &Array| cell.step(&cell.initial_carry(), x).1;
    let run = jit(run);
    let x = Array::ones([INPUT]);
    run.call(&one, &x).unwrap();
    run.call(&other, &x).unwrap();
    assert_eq!(run.n_compilations(), 2);
    let mut lacking = one.clone();
    lacking.params.remove("W");
    let error = run.call(&lacking, &x).unwrap_err().to_string();
    assert!(error.starts_with("the parameter `W` of the cell is missing"), "{error}");
}
