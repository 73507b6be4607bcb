//! Layers of the frameworks: outputs and gradients from their weights, and the layers as exported.

use std::path::Path;

use rondeau::export::{self, Model};
use rondeau::io::{Record, safetensors};
use rondeau::nn::import::{Weights, equinox, flax, haiku, torch};
use rondeau::nn::{self, Activation, Cell};
use rondeau::{Array, DType, Result, Tree, jit, vjp, vmap};

use crate::exported::Step;

/// The states of a layer, as the frameworks have them: row `i` of `h0` and `c0`.
trait State: Tree {
    fn given(given: &Weights, i: usize) -> Self;
}

impl State for Array {
    fn given(given: &Weights, i: usize) -> Array {
        given["h0"].at(i)
    }
}

impl State for nn::LstmCarry {
    fn given(given: &Weights, i: usize) -> nn::LstmCarry {
        nn::LstmCarry { h: given["h0"].at(i), c: given["c0"].at(i) }
    }
}

/// A cell that a framework has.
trait Peer: Cell<Carry: State> {
    /// The operator of ONNX that it is.
    fn operator(&self) -> Option<export::Layer<'_>>;
}

macro_rules! peers {
    ($($cell:ident: $operator:expr,)*) => {$(
        impl Peer for nn::$cell {
            fn operator(&self) -> Option<export::Layer<'_>> {
                let operator: fn(&nn::$cell) -> Option<export::Layer<'_>> = $operator;
                operator(self)
            }
        }
    )*};
}
peers! {
    Rnn: |cell| Some(cell.into()),
    Gru: |cell| Some(cell.into()),
    GruResetAfter: |cell| Some(cell.into()),
    Lstm: |cell| Some(cell.into()),
    ProjectedLstm: |_| None,
    MguResetAfter: |_| None,
}

/// A layer of a framework, and what it computes.
struct Case<'a> {
    name: &'a str,
    dir: &'a Path,
    record: &'a Record,
}

/// What was seen of all cases.
#[derive(Default)]
struct Seen {
    n_cases: usize,
    n_arrays: usize,
    /// The largest difference, as a part of the largest number of its array.
    farthest: f64,
    steps: Vec<Step>,
}

fn text<'a>(record: &'a Record, key: &str) -> Option<&'a str> {
    record.texts().get(key).map(String::as_str)
}

fn size(record: &Record, key: &str) -> usize {
    text(record, key).map_or(1, |text| text.parse().expect("a size"))
}

impl Case<'_> {
    fn array(&self, name: &str) -> Array {
        self.record.get(name).unwrap_or_else(|| panic!("{}: no {name}", self.name)).clone()
    }

    /// All that is differentiated by.
    fn given(&self) -> Weights {
        let arrays = self.record.arrays().iter().cloned();
        arrays
            .filter(|(name, _)| {
                name.starts_with("w/") || ["xs", "h0", "c0"].contains(&name.as_str())
            })
            .collect()
    }

    /// Compares outputs and gradients with the framework's, and exports the layer.
    fn check<C: Peer>(&self, seen: &mut Seen, cells: &dyn Fn(&Weights) -> Result<Vec<C>>) {
        let n_directions = size(self.record, "directions");
        let cells =
            |given: &Weights| cells(given).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let ys = |given: &Weights| {
            let mut xs = given["xs"].swap_axes(0, 1);
            for (k, cells) in cells(given).chunks(n_directions).enumerate() {
                let carry = |i| C::Carry::given(given, k * n_directions + i);
                xs = match cells {
                    [cell] => nn::run_batch(cell, &carry(0), &xs).1,
                    [forward, backward] => {
                        let both = nn::Bidirectional {
                            forward: forward.clone(),
                            backward: backward.clone(),
                        };
                        let run =
                            |carries: &(C::Carry, C::Carry), xs: &Array| both.run(carries, xs).1;
                        vmap(run, (0, 0)).apply(&(carry(0), carry(1)), &xs)
                    }
                    _ => panic!("a layer has one direction or two"),
                };
            }
            xs.swap_axes(0, 1)
        };
        let given = self.given();
        seen.n_cases += 1;
        self.compare(seen, "ys", &jit(ys).apply(&given));
        let pull = |given: &Weights, ct: &Array| vjp(ys, (given,)).1.apply(ct).0;
        for (name, gradient) in jit(pull).apply(&given, &self.array("ct")) {
            self.compare(seen, &format!("g/{name}"), &gradient);
        }
        let cells = cells(&given);
        self.operators(&cells, n_directions);
        if n_directions == 1 {
            seen.steps.push(self.step(&cells, &given));
        }
    }

    /// Writes each layer and direction as an operator of ONNX, where it has one.
    fn operators<C: Peer>(&self, cells: &[C], n_directions: usize) {
        for (i, cell) in cells.iter().enumerate() {
            let cell = nn::cast(cell, DType::F32);
            let Some(operator) = cell.operator() else { return };
            let model = export::onnx_layers(self.name, &[operator]).expect("the cell is exported");
            let (layer, direction) = (i / n_directions, i % n_directions);
            let name = format!("{}.{layer}.{direction}.onnx", self.name);
            std::fs::write(self.dir.join(name), model).expect("the model is written");
        }
    }

    /// The layers from the states of the first sequence: as a `Scan` beside the case, and for the
    /// languages.
    fn step<C: Peer>(&self, cells: &[C], given: &Weights) -> Step {
        let cells = cells.to_vec();
        let carries: Vec<C::Carry> = (0..cells.len())
            .map(|i| rondeau::tree::map(&C::Carry::given(given, i), |rows| rows.at(0)))
            .collect();
        let (xs, ys) = (given["xs"].at((.., 0)), self.array("ys").at((.., 0)));
        let step = |cells: &Vec<C>, carries: &Vec<C::Carry>, x: &Array| cells.step(carries, x);
        let model = Model::new(step, &cells, &carries, &xs.at(0));
        let model = model.unwrap_or_else(|error| panic!("{}: {error}", self.name)).name(self.name);
        let onnx = model.onnx().expect("the step is exported");
        let path = self.dir.join(format!("{}.scan.onnx", self.name));
        std::fs::write(path, onnx).expect("the model is written");
        Step { name: self.name.to_owned(), model, xs, ys }
    }

    fn compare(&self, seen: &mut Seen, name: &str, got: &Array) {
        let numbers = |array: &Array| match array.to_vec::<f64>() {
            Ok(numbers) => numbers,
            Err(error) => panic!("{}: {name}: {error}", self.name),
        };
        let want = self.array(name);
        assert_eq!(got.shape(), want.shape(), "{}: {name}", self.name);
        let (got, want) = (numbers(got), numbers(&want));
        let scale = want.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let error = got.iter().zip(&want).fold(0.0, |most: f64, (x, y)| most.max((x - y).abs()));
        // Some layers have gradients of exactly zero.
        let part = if error == 0.0 { 0.0 } else { error / scale };
        assert!(part <= 1e-12, "{}: {name} is off by {part:.1e} of {scale:.1e}", self.name);
        seen.n_arrays += 1;
        seen.farthest = seen.farthest.max(part);
    }
}

/// Makes the cells of a case by what the file says it is.
fn check(case: &Case<'_>, seen: &mut Seen) {
    let (input, hidden) = (size(case.record, "input"), size(case.record, "hidden"));
    let mut of_torch =
        torch::Layers::new(input, hidden).prefix("w/").layers(size(case.record, "layers"));
    if size(case.record, "directions") == 2 {
        of_torch = of_torch.bidirectional();
    }
    /// The one cell of the frameworks that have no layers.
    macro_rules! one {
        ($read:path, $prefix:literal) => {
            case.check(seen, &|given| Ok(vec![$read(given, $prefix, input, hidden)?]))
        };
    }
    match text(case.record, "kind").expect("a case has a kind") {
        "torch_rnn" => {
            let relu = text(case.record, "nonlinearity") == Some("relu");
            let activation = if relu { Activation::Relu } else { Activation::Tanh };
            case.check(seen, &|given| of_torch.rnn(given, activation));
        }
        "torch_gru" => case.check(seen, &|given| of_torch.gru(given)),
        "torch_lstm" if text(case.record, "proj_size").is_some() => {
            let of_torch = of_torch.projection(size(case.record, "proj_size"));
            case.check(seen, &|given| of_torch.projected_lstm(given));
        }
        "torch_lstm" => case.check(seen, &|given| of_torch.lstm(given)),
        "haiku_gru" => one!(haiku::gru, "w/gru."),
        "haiku_lstm" => one!(haiku::lstm, "w/lstm/linear."),
        "haiku_vanilla" => one!(haiku::vanilla, "w/vanilla_rnn/"),
        "flax_simple" => one!(flax::simple, "w/cell."),
        "flax_gru" => one!(flax::gru, "w/cell."),
        "flax_mgu" => one!(flax::mgu, "w/cell."),
        "flax_lstm" | "flax_optimized_lstm" => one!(flax::lstm, "w/cell."),
        "equinox_gru" => one!(equinox::gru, "w/"),
        "equinox_lstm" => one!(equinox::lstm, "w/"),
        other => panic!("no test knows {other}"),
    }
}

/// All the way from a framework.
fn round_trip(framework: &str) {
    let dir = tempfile::tempdir().expect("there is a directory for temporary files");
    let at = dir.path().to_str().expect("its name is UTF-8");
    let seed = std::env::var("RONDEAU_SEED").unwrap_or_else(|_| "0".to_owned());
    let made = crate::python(framework, "frameworks.py", &["make", framework, at, &seed]);
    let Some(version) = made else { return };
    let mut seen = Seen::default();
    for path in crate::files_in(dir.path(), "safetensors") {
        let record = safetensors::read(&path).expect("the case can be read");
        let name = path.file_stem().and_then(|name| name.to_str()).expect("the case has a name");
        check(&Case { name, dir: dir.path(), record: &record }, &mut seen);
    }
    let Seen { n_cases, n_arrays, farthest, steps } = seen;
    assert!(n_cases > 0, "{framework} made no cases");
    crate::tell(&format!(
        "peers {framework} {version}, seed {seed}: {n_cases} layers, {n_arrays} outputs and \
         gradients, largest error {farthest:.1e}"
    ));
    let languages = crate::exported::run(dir.path(), &steps);
    crate::tell(&format!("peers {framework} to C and Rust: {languages}"));
    let what = format!("{framework} to ONNX Runtime");
    if let Some(told) = crate::python(&what, "frameworks.py", &["run", at]) {
        crate::tell(&format!("peers {framework} to {told}"));
    }
}

#[test]
fn pytorch() {
    round_trip("torch");
}

#[test]
fn haiku() {
    round_trip("haiku");
}

#[test]
fn flax() {
    round_trip("flax");
}

#[test]
fn equinox() {
    round_trip("equinox");
}
