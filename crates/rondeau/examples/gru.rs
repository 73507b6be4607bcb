//! A gated recurrent unit: one step as plain mathematics; run step by step, compiled, over a batch
//! of sequences, and differentiated. At the end, the results are compared with those of the same
//! program in JAX, in f32 and in f64.
//!
//! ```sh
//! cargo run --release --example gru
//! ```

use std::process::ExitCode;

use rondeau::buffer::DType;
use rondeau::{
    Arg, Array, Result, Tree, jit, random, scan, sigmoid, tanh, tree, value_and_grad, vmap,
};

const INPUT: usize = 5;
const HIDDEN: usize = 8;
const TIME: usize = 10;
const BATCH: usize = 32;

/// Weights of the update gate `z`, the reset gate `r` and the candidate `h`: `w: [hidden, input]`
/// for inputs, `u: [hidden, hidden]` for the state, `b: [hidden]`.
#[derive(Clone, Tree)]
struct Gru {
    wz: Array,
    uz: Array,
    bz: Array,
    wr: Array,
    ur: Array,
    br: Array,
    wh: Array,
    uh: Array,
    bh: Array,
}

/// One step. x: `[input]`, h: `[hidden]` -> the new carry and the output, both `[hidden]`.
fn gru_step(p: &Gru, h: &Array, x: &Array) -> (Array, Array) {
    let z = sigmoid(p.wz.dot(x) + p.uz.dot(h) + &p.bz);
    let r = sigmoid(p.wr.dot(x) + p.ur.dot(h) + &p.br);
    let candidate = tanh(p.wh.dot(x) + p.uh.dot(r * h) + &p.bh);
    let h = (1.0 - &z) * h + z * candidate;
    (h.clone(), h)
}

/// xs: `[time, input]` -> the last state `[hidden]` and all states `[time, hidden]`.
fn gru_sequence(p: &Gru, h0: &Array, xs: &Array) -> (Array, Array) {
    scan(|h, x| gru_step(p, h, x), h0, xs)
}

/// The sum of squares of all states.
fn loss(p: &Gru, h0: &Array, xs: &Array) -> Array {
    gru_sequence(p, h0, xs).1.square().sum()
}

/// Small random weights, zero biases.
fn init_gru(key: &Array, input: usize, hidden: usize) -> Gru {
    let keys = random::split(key, 6);
    let weight = |i: usize, shape: [usize; 2]| random::normal(&keys.at(i), shape) * 0.01;
    let bias = || Array::zeros([hidden]);
    Gru {
        wz: weight(0, [hidden, input]),
        uz: weight(1, [hidden, hidden]),
        bz: bias(),
        wr: weight(2, [hidden, input]),
        ur: weight(3, [hidden, hidden]),
        br: bias(),
        wh: weight(4, [hidden, input]),
        uh: weight(5, [hidden, hidden]),
        bh: bias(),
    }
}

/// The arrays that the example begins with.
#[derive(Clone, Tree)]
struct Inputs {
    params: Gru,
    h0: Array,
    xs: Array,
    more_xs: Array,
    many_h0: Array,
    many_xs: Array,
}

impl Inputs {
    fn draw() -> Inputs {
        let key = random::key(0);
        let params = init_gru(&key, INPUT, HIDDEN);
        let [key, sub] = random::split2(&key);
        let xs = random::normal(&sub, [TIME, INPUT]);
        let [key, sub] = random::split2(&key);
        Inputs {
            params,
            h0: Array::zeros([HIDDEN]),
            xs,
            more_xs: random::normal(&sub, [TIME, INPUT]),
            many_h0: Array::zeros([BATCH, HIDDEN]),
            many_xs: random::normal(&key, [BATCH, TIME, INPUT]),
        }
    }
}

/// What the example computes: last and all states three times, and the loss with its gradients.
struct Results {
    eager: (Array, Array),
    compiled: (Array, Array),
    batched: (Array, Array),
    loss: Array,
    gradients: (Gru, Array, Array),
}

impl Results {
    fn compute(inputs: &Inputs) -> Result<Results> {
        let Inputs { params, h0, xs, more_xs, many_h0, many_xs } = inputs;

        // Without `jit`, every operation computes at once.
        let eager = gru_sequence(params, h0, xs);

        // Compiled at the first call; a second sequence of the same length reuses the program.
        let fast = jit(gru_sequence);
        fast.call(params, h0, xs)?;
        let compiled = fast.call(params, h0, more_xs)?;
        assert_eq!(fast.n_compilations(), 1);

        // One set of parameters for all sequences; states and inputs have an axis of examples.
        let batched = jit(vmap(gru_sequence, (None, 0, 0))).call(params, many_h0, many_xs)?;

        // Gradients by the parameters, the first state and the inputs.
        let by_all = value_and_grad(loss).wrt((Arg::<0>, Arg::<1>, Arg::<2>));
        let (loss, gradients) = jit(by_all).call(params, h0, xs)?;
        Ok(Results { eager, compiled, batched, loss, gradients })
    }

    fn print(&self) {
        println!("Step by step:");
        show("the last state", &self.eager.0);
        println!("all states {:?}", self.eager.1.shape());
        println!("\nCompiled, on a second sequence:");
        show("the last state", &self.compiled.0);
        println!("all states {:?}", self.compiled.1.shape());
        println!("\nCompiled, {BATCH} sequences at once:");
        println!("the last states {:?}", self.batched.0.shape());
        println!("all states {:?}", self.batched.1.shape());
        show("the last state of the first sequence", &self.batched.0.at(0));
        println!("\nThe sum of squares of all states is {}.", self.loss);
        let (params, h0, xs) = &self.gradients;
        show("its gradient by the first state", h0);
        show("by the first input", &xs.at(0));
        println!("by the parameters, the square root of the sum of squares:");
        for (name, leaf) in tree::leaves_with_paths(params) {
            println!("  {name} {:7} {}", format!("{:?}", leaf.shape()), leaf.square().sum().sqrt());
        }
    }
}

fn show(what: &str, array: &Array) {
    println!("{what} {:?}\n{array}", array.shape());
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the numbers differ from JAX's by more than rounding");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints everything; whether the numbers are JAX's.
fn run() -> std::result::Result<bool, Box<dyn std::error::Error>> {
    let narrow = Inputs::draw();
    let results = Results::compute(&narrow)?;
    results.print();

    let wide = tree::map(&narrow, |array| array.to(DType::F64));
    let wide_results = Results::compute(&wide)?;
    let narrow_rows = reference::differences("seed_f32.safetensors", &narrow, &results)?;
    let wide_rows = reference::differences("seed_f64.safetensors", &wide, &wide_results)?;

    println!("\nLargest differences from JAX, relative to the largest number of the array:");
    println!("{:32} {:>8} {:>8}", "", "f32", "f64");
    for ((what, f32), (_, f64)) in narrow_rows.iter().zip(&wide_rows) {
        println!("{what:32} {f32:8.1e} {f64:8.1e}");
    }
    // NaN is not within.
    let within = |rows: &[(&str, f64)], limit: f64| rows.iter().all(|(_, worst)| *worst <= limit);
    Ok(within(&narrow_rows, 1e-6) && within(&wide_rows, 1e-12))
}

/// The numbers of JAX, from the files that the tests read.
mod reference {
    use std::error::Error;
    use std::path::Path;

    use rondeau::buffer::DType;
    use rondeau::{Array, Tree, tree};
    use safetensors::{Dtype, SafeTensors};

    use super::{Inputs, Results};

    type Result<T> = std::result::Result<T, Box<dyn Error>>;

    /// For each group of arrays, the largest relative difference.
    pub(super) fn differences(
        file: &str,
        inputs: &Inputs,
        results: &Results,
    ) -> Result<Vec<(&'static str, f64)>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let bytes = std::fs::read(folder.join(file))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let mut rows = Vec::new();
        for (what, arrays) in groups(inputs, results) {
            let mut worst = 0.0;
            for (name, array) in arrays {
                worst = larger(worst, difference(&numbers(&tensors, &name)?, &array)?);
            }
            rows.push((what, worst));
        }
        Ok(rows)
    }

    /// What is compared: each array with its name in the file.
    fn groups(inputs: &Inputs, r: &Results) -> Vec<(&'static str, Vec<(String, Array)>)> {
        let (params, h0, xs) = &r.gradients;
        let pair = |(last, states): &(Array, Array), names: [&str; 2]| {
            vec![(names[0].to_owned(), last.clone()), (names[1].to_owned(), states.clone())]
        };
        let compiled = ["verbatim/out/final_state_jit", "verbatim/out/hidden_states_sequence_jit"];
        let batched = ["verbatim/out/final_states_batch", "verbatim/out/hidden_sequences_batch"];
        vec![
            ("parameters", named("verbatim/out/gru_params", &inputs.params)),
            ("inputs", named("verbatim/out/input_sequence", &inputs.xs)),
            (
                "inputs of the second sequence",
                named("verbatim/out/input_sequence_2", &inputs.more_xs),
            ),
            ("inputs of the batch", named("verbatim/out/batched_inputs", &inputs.many_xs)),
            (
                "states, step by step",
                pair(&r.eager, ["seed_forward/out/final", "seed_forward/out/hs"]),
            ),
            ("states, compiled", pair(&r.compiled, compiled)),
            ("states of the batch", pair(&r.batched, batched)),
            ("loss", named("seed_grad_loss_seq/out/value", &r.loss)),
            ("gradient by the parameters", named("seed_grad_loss_seq/out/g.params", params)),
            ("gradient by the first state", named("seed_grad_loss_seq/out/g.h0", h0)),
            ("gradient by the inputs", named("seed_grad_loss_seq/out/g.xs", xs)),
        ]
    }

    /// The leaves of a tree, named by their paths.
    fn named<T: Tree>(name: &str, tree: &T) -> Vec<(String, Array)> {
        let name = |path: String| match path.is_empty() {
            true => name.to_owned(),
            false => format!("{name}.{path}"),
        };
        let leaves = tree::leaves_with_paths(tree).into_iter();
        leaves.map(|(path, leaf)| (name(path), leaf.clone())).collect()
    }

    /// The numbers of a tensor, whose name may differ in case: `Wz` is the field `wz`.
    fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<f64>> {
        let found = tensors.names().into_iter().find(|other| other.eq_ignore_ascii_case(name));
        let tensor = tensors.tensor(found.ok_or_else(|| format!("there is no tensor {name}"))?)?;
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => {
                let words = bytes.chunks_exact(4).map(<[u8; 4]>::try_from);
                words.map(|word| Ok(f64::from(f32::from_le_bytes(word?)))).collect()
            }
            Dtype::F64 => {
                let words = bytes.chunks_exact(8).map(<[u8; 8]>::try_from);
                words.map(|word| Ok(f64::from_le_bytes(word?))).collect()
            }
            other => Err(format!("{name} has the type {other:?}").into()),
        }
    }

    /// The largest difference, relative to the largest of the wanted numbers.
    fn difference(want: &[f64], got: &Array) -> Result<f64> {
        let got = got.to(DType::F64).to_vec::<f64>()?;
        if got.len() != want.len() {
            return Err(format!("{} numbers, and JAX has {}", got.len(), want.len()).into());
        }
        let largest = want.iter().fold(f64::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
        let differences = got.iter().zip(want).map(|(a, b)| (a - b).abs() / largest);
        Ok(differences.fold(0.0, larger))
    }

    /// The larger number; NaN if one is, unlike `max`.
    fn larger(x: f64, y: f64) -> f64 {
        if x >= y || x.is_nan() { x } else { y }
    }
}
