//! `rondeau doctor`: what this machine offers, and whether all executors agree on it.

use anyhow::{Result, bail};
use rondeau::nn::{self, loss};
use rondeau::run::{Engine, threads};
use rondeau::{Array, jit, random, tree, value_and_grad};
use rondeau_machine::{available_threads, cpu};
use serde::Serialize;

use crate::args::Doctor;
use crate::cells::{AnyCell, Cells};

/// How far compiled results may be from the interpreter's, relative to the largest number.
const MOST_ROUNDING: f64 = 1e-5;

/// What is told.
#[derive(Debug, Serialize)]
struct Told {
    version: &'static str,
    system: &'static str,
    processor: &'static str,
    name: Option<String>,
    vectors: String,
    processors: usize,
    threads: usize,
    executor: &'static str,
    tests: Vec<Test>,
}

/// A test of an executor.
#[derive(Debug, Serialize)]
struct Test {
    executor: &'static str,
    threads: usize,
    /// The largest error of the loss and gradients of a small model, against the interpreter.
    error: f64,
    /// Whether all bits are those of the tile machine on one thread; the interpreter's need not be.
    same_bits: bool,
}

/// Tells, and tests.
///
/// # Errors
/// If executors do not agree.
pub fn run(args: &Doctor) -> Result<()> {
    let told = Told {
        version: env!("CARGO_PKG_VERSION"),
        system: std::env::consts::OS,
        processor: std::env::consts::ARCH,
        name: processor_name(),
        vectors: format!("{:?}", cpu::level()).to_lowercase(),
        processors: available_threads(),
        threads: threads()?,
        executor: Engine::requested()?.name(),
        tests: tests()?,
    };
    let text = if args.json { serde_json::to_string_pretty(&told)? + "\n" } else { told.text() };
    crate::print(text.as_bytes())?;
    let is_wrong = |test: &&Test| {
        test.error > MOST_ROUNDING
            || test.error.is_nan()
            || !test.same_bits && test.executor != "interpreter"
    };
    match told.tests.iter().find(is_wrong) {
        None => Ok(()),
        Some(test) => bail!(
            "the executor `{}` on {} threads does not agree with the others\n\
             help: RONDEAU_EXECUTOR=vm chooses the portable one; please report this",
            test.executor,
            test.threads
        ),
    }
}

impl Told {
    fn text(&self) -> String {
        let name = self.name.as_deref().unwrap_or("unknown");
        let rows = [
            ("rondeau", self.version.to_owned()),
            ("system", format!("{} on {}", self.system, self.processor)),
            ("processor", name.to_owned()),
            ("vectors", self.vectors.clone()),
            ("processors", self.processors.to_string()),
            ("threads of a call", format!("{} (RONDEAU_THREADS)", self.threads)),
            ("executor", format!("{} (RONDEAU_EXECUTOR)", self.executor)),
        ];
        let mut text: String =
            rows.iter().map(|(name, value)| format!("{name:20}{value}\n")).collect();
        text += "\nA small model, its loss and gradients:\n";
        for test in &self.tests {
            let bits = if test.same_bits { "the same bits" } else { "to rounding" };
            text += &format!(
                "  {:12} {:>2} threads  error {:.1e}  {bits}\n",
                test.executor, test.threads, test.error
            );
        }
        text
    }
}

/// The name of the processor, where the system tells it in a file.
fn processor_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The loss and gradients of two layers over a batch.
fn value(cells: &[AnyCell; 2], xs: &Array) -> Array {
    let layers = (cells[0].clone(), cells[1].clone());
    let (_, ys) = nn::run_batch(&layers, &nn::initial_carries(&layers, xs.len()), xs);
    loss::mse(&ys, &ys.zeros_like()).mean()
}

fn tests() -> Result<Vec<Test>> {
    let cells = Cells::of_the_library();
    let [first, second, data] = [0, 1, 2].map(random::key);
    let layers =
        [cells.get("gru")?.init(&first, 6, 16)?, cells.get("lstm")?.init(&second, 16, 16)?];
    let xs = random::normal(&data, [16, 12, 6]);
    let numbers = |engine: Engine, n_threads: usize| -> Result<Vec<f32>> {
        let compiled = jit(value_and_grad(value)).engine(engine).threads(n_threads);
        let (loss, gradient) = compiled.call(&layers, &xs)?;
        let mut numbers: Vec<f32> = loss.to_vec()?;
        for leaf in tree::leaves(&gradient) {
            numbers.extend(leaf.to_vec::<f32>()?);
        }
        Ok(numbers)
    };
    let defined = numbers(Engine::Interpreter, 1)?;
    let portable = numbers(Engine::Vm, 1)?;
    let scale = defined.iter().fold(0.0_f64, |most, &x| most.max(f64::from(x).abs()));
    let mut tests = Vec::new();
    let runs = [
        (Engine::Interpreter, 1),
        (Engine::Vm, 1),
        (Engine::Vm, 2),
        (Engine::Native, 1),
        (Engine::Native, 2),
    ];
    for (engine, n_threads) in runs {
        let found = numbers(engine, n_threads)?;
        let error = found.iter().zip(&defined).map(|(a, b)| f64::from((a - b).abs()));
        let error = error.fold(0.0, f64::max) / scale;
        let pairs = found.iter().zip(&portable);
        let same_bits = pairs.map(|(a, b)| (a.to_bits(), b.to_bits())).all(|(a, b)| a == b);
        tests.push(Test { executor: engine.name(), threads: n_threads, error, same_bits });
    }
    Ok(tests)
}
