//! `rondeau check`: whether a cell's gradient, its compiled code, its streams and its batches are
//! right.

use anyhow::{Result, anyhow, bail};
use rondeau::error::ErrorKind;
use rondeau::nn::{self, Cell, cast};
use rondeau::run::Engine;
use rondeau::{Array, DType, Stream, Tree, grad, jit, random, tree};
use serde::Serialize;

use crate::args::Check;
use crate::cells::{AnyCell, Cells, Entry};
use crate::model::key_of;

mod slope;

const N_STEPS: usize = 7;
const N_INPUTS: usize = 3;
const N_HIDDEN: usize = 5;
const N_BATCH: usize = 4;
const N_DIRECTIONS: u32 = 8;

/// How far the weights are moved from the first ones, of which many are zero: where functions have
/// kinks, and where a wrong derivative may be right.
const MOVED: f64 = 1e-3;

/// How far off what differs by rounding alone may be, relative to the larger of 1 and the largest
/// number.
const MOST_ROUNDING: f64 = 1e-10;

/// What was found of a cell: the largest errors.
#[derive(Debug, Serialize)]
struct Found {
    cell: String,
    /// The gradient along random directions against central differences, or at a kink against those
    /// of both sides.
    differences: f64,
    /// How many of the directions met a kink.
    kinks: usize,
    /// The compiled gradient against the interpreter's.
    gradient: f64,
    /// Compiled outputs against the interpreter's.
    outputs: f64,
    /// A stream of single steps against the whole sequence.
    stream: f64,
    /// A batch against its sequences one by one.
    batch: f64,
    good: bool,
}

/// Checks cells, and prints what was found.
///
/// # Errors
/// If there is no such cell, or one is wrong.
pub fn run(cells: &Cells, args: &Check) -> Result<()> {
    let names: Vec<String> = match args.cells.as_slice() {
        [] => cells.names().map(str::to_owned).collect(),
        named => named.to_vec(),
    };
    let entries = names.iter().map(|name| cells.get(name)).collect::<Result<Vec<Entry>>>()?;
    let mut text = String::new();
    if !args.json {
        let titles = ["differences", "gradient", "outputs", "stream", "batch"];
        text += &format!("{:18}", "largest error of");
        titles.iter().for_each(|title| text += &format!("{title:>13}"));
        text += "\n";
    }
    let mut wrong = Vec::new();
    for entry in entries {
        let found = checked(&entry, args.seed).map_err(in_double)?;
        text += &match args.json {
            true => serde_json::to_string(&found)? + "\n",
            false => found.line(),
        };
        if !found.good {
            wrong.push(entry.name);
        }
    }
    crate::print(text.as_bytes())?;
    if wrong.is_empty() {
        Ok(())
    } else {
        bail!("further off than it may be: {}", wrong.join(", "))
    }
}

impl Found {
    fn line(&self) -> String {
        let errors = [self.differences, self.gradient, self.outputs, self.stream, self.batch];
        let errors: String = errors.iter().map(|error| format!("{error:>13.1e}")).collect();
        let kinks = match self.kinks {
            0 => "",
            _ => "  kink",
        };
        format!("{:18}{errors}{kinks}{}\n", self.cell, if self.good { "" } else { "  wrong" })
    }
}

/// A mistake in the types of a cell that is right in single precision has its way out.
fn in_double(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<rondeau::Error>() {
        Some(mistake) if mistake.kind() == ErrorKind::DType => anyhow!(
            "{error}\nnote: `check` runs the cell in f64; what a step makes itself must have the type \
             of what it is given, as by `zeros_like` or `.to(x.dtype())`"
        ),
        _ => error,
    }
}

/// A cell of single precision in double: its parameters, and what it begins with.
#[derive(Clone, Tree)]
struct Double {
    cell: AnyCell,
}

impl Double {
    fn of(cell: &AnyCell) -> AnyCell {
        AnyCell::of(Double { cell: cast(cell, DType::F64) })
    }
}

impl Cell for Double {
    type Carry = Vec<Array>;

    fn initial_carry(&self) -> Vec<Array> {
        cast(&self.cell.initial_carry(), DType::F64)
    }

    fn step(&self, carry: &Vec<Array>, x: &Array) -> (Vec<Array>, Array) {
        self.cell.step(carry, x)
    }
}

/// The weighted sum of all outputs.
fn loss(cell: &AnyCell, xs: &Array, weights: &Array) -> Array {
    (nn::run(cell, &cell.initial_carry(), xs).1 * weights).sum()
}

fn outputs(cell: &AnyCell, xs: &Array) -> Array {
    nn::run(cell, &cell.initial_carry(), xs).1
}

fn checked(entry: &Entry, seed: u64) -> Result<Found> {
    let key = |purpose: u32| random::fold_in(&key_of(seed), purpose);
    let random_like = |cell: &AnyCell, key: &Array| {
        let mut n = 0_u32;
        tree::map(cell, |leaf| {
            n += 1;
            random::normal_f64(&random::fold_in(key, n), leaf.shape())
        })
    };
    let first = Double::of(&entry.init(&key(0), N_INPUTS, N_HIDDEN)?);
    let cell = tree::map2(&first, &random_like(&first, &key(101)), |p, d| p + d * MOVED)?;
    let xs = random::normal_f64(&key(1), [N_STEPS, N_INPUTS]);
    let n_outputs = cell.output_size_of(&xs.at(0))?;
    let weights = random::normal_f64(&key(2), [N_STEPS, n_outputs]);

    let by = |engine| jit(grad(loss)).engine(engine).call(&cell, &xs, &weights);
    let (gradient, interpreted) = (by(Engine::Native)?, by(Engine::Interpreter)?);
    let mut gradient_error = 0.0_f64;
    for (a, b) in tree::leaves(&gradient).into_iter().zip(tree::leaves(&interpreted)) {
        gradient_error = gradient_error.max(distance(a, b)?);
    }

    let value = jit(loss);
    let (mut differences, mut kinks) = (0.0_f64, 0);
    for i in 0..N_DIRECTIONS {
        let mut slope = 0.0;
        let direction = random_like(&cell, &key(3 + i));
        for (g, d) in tree::leaves(&interpreted).into_iter().zip(tree::leaves(&direction)) {
            slope += (g * d).sum().item::<f64>()?;
        }
        let at = |h: f64| -> Result<f64> {
            let moved = tree::map2(&cell, &direction, |p, d| p + d * h)?;
            Ok(value.call(&moved, &xs, &weights)?.item::<f64>()?)
        };
        let judged = slope::judge(at, slope)?;
        differences = differences.max(judged.error);
        kinks += usize::from(judged.kink);
    }

    let whole = jit(outputs).engine(Engine::Native).call(&cell, &xs)?;
    let defined = jit(outputs).engine(Engine::Interpreter).call(&cell, &xs)?;
    let step = |cell: &AnyCell, carry: &Vec<Array>, x: &Array| cell.step(carry, x);
    let mut stream = Stream::new(step, &cell, &cell.initial_carry(), &xs.at(0))?;
    let mut stream_error = 0.0_f64;
    for t in 0..N_STEPS as isize {
        stream_error = stream_error.max(distance(&stream.next(&xs.at(t))?, &whole.at(t))?);
    }
    let many = random::normal_f64(&key(100), [N_BATCH, N_STEPS, N_INPUTS]);
    let batched = |cell: &AnyCell, many: &Array| {
        nn::run_batch(cell, &nn::initial_carries(cell, N_BATCH), many).1
    };
    let together = jit(batched).call(&cell, &many)?;
    let alone = jit(outputs);
    let mut batch_error = 0.0_f64;
    for i in 0..N_BATCH as isize {
        let one = alone.call(&cell, &many.at(i))?;
        batch_error = batch_error.max(distance(&one, &together.at(i))?);
    }

    let outputs_error = distance(&whole, &defined)?;
    let rounding = [gradient_error, outputs_error, stream_error, batch_error];
    let good =
        differences <= slope::MOST_DIFFERENCE && rounding.iter().all(|&e| e <= MOST_ROUNDING);
    Ok(Found {
        cell: entry.name.clone(),
        differences,
        kinks,
        gradient: gradient_error,
        outputs: outputs_error,
        stream: stream_error,
        batch: batch_error,
        good,
    })
}

/// The largest distance of two numbers at one place, relative to the larger of 1 and the largest of
/// the second; infinite if one is not finite.
fn distance(a: &Array, b: &Array) -> Result<f64> {
    let (a, b): (Vec<f64>, Vec<f64>) = (a.to_vec()?, b.to_vec()?);
    if a.len() != b.len() || a.iter().chain(&b).any(|x| !x.is_finite()) {
        return Ok(f64::INFINITY);
    }
    let scale = b.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
    Ok(a.iter().zip(&b).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs())) / scale)
}

#[cfg(test)]
mod tests {
    use rondeau::custom_jvp;

    use super::*;
    use crate::OwnCell;

    /// A cell whose new state is a function of its input and state.
    #[derive(Clone, Tree)]
    struct Made<const WHICH: usize> {
        weight: Array,
        bias: Array,
    }

    /// Sums of `relu`, `|x|` and `max`.
    const KINKS: usize = 0;
    /// `tanh` with a rule that says too much.
    const WRONG: usize = 1;
    /// Both.
    const WRONG_AT_KINKS: usize = 2;
    /// With a number that is always single.
    const SINGLE: usize = 3;

    impl<const WHICH: usize> Cell for Made<WHICH> {
        type Carry = Array;

        /// Always single.
        fn initial_carry(&self) -> Array {
            Array::zeros(self.bias.shape())
        }

        fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
            let u = self.weight.dot(x) + h;
            let kinked = |u: &Array| u.relu() - u.abs() * 0.5 + u.maximum(&self.bias * 2.0);
            let tanh = custom_jvp(
                |u: &Array| u.tanh(),
                |(u,): &(Array,), (du,): &(Array,)| (u.tanh(), du * (1.001 - u.tanh().square())),
            );
            let h = match WHICH {
                KINKS => kinked(&(u + &self.bias)),
                WRONG => tanh.apply(&u) + &self.bias,
                SINGLE => u + Array::from(1.0_f32),
                _ => tanh.apply(&kinked(&(u + &self.bias))),
            };
            (h.clone(), h)
        }
    }

    impl<const WHICH: usize> OwnCell for Made<WHICH> {
        const NAME: &'static str = "made";

        /// So small that at many steps a difference is longer than the way to a kink.
        fn init(key: &Array, input: usize, hidden: usize) -> Self {
            let weight = random::normal(key, [hidden, input]) * 0.002;
            Made { weight, bias: Array::zeros([hidden]) }
        }
    }

    fn found<const WHICH: usize>(seed: u64) -> Found {
        let cells = Cells::of_the_library().with::<Made<WHICH>>();
        checked(&cells.get("made").unwrap(), seed).unwrap()
    }

    #[test]
    fn a_cell_with_kinks_is_right() {
        for seed in 0..4 {
            let found = found::<{ KINKS }>(seed);
            assert!(found.good && found.kinks > 0, "{found:?}");
            assert!(found.line().ends_with("  kink\n"), "{}", found.line());
        }
    }

    #[test]
    fn a_cell_that_is_always_single_is_told() {
        let cells = Cells::of_the_library().with::<Made<SINGLE>>();
        let args = Check { cells: vec!["made".to_owned()], seed: 0, json: false };
        let error = run(&cells, &args).unwrap_err().to_string();
        assert!(error.contains("f64") && error.contains("`.to(x.dtype())`"), "{error}");
    }

    #[test]
    fn a_wrong_rule_is_found() {
        let wrong =
            [found::<{ WRONG }>(0), found::<{ WRONG_AT_KINKS }>(0), found::<{ WRONG_AT_KINKS }>(1)];
        for found in wrong {
            assert!(!found.good && found.differences > 1e-5, "{found:?}");
            assert!(found.line().ends_with("  wrong\n"), "{}", found.line());
        }
    }
}
