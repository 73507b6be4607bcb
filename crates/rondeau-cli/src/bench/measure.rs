//! One workload, made ready and measured.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rondeau::api::program;
use rondeau::buffer::DType;
use rondeau::ir::Program;
use rondeau::optimize::optimize_with;
use rondeau::run::{Engine, Executable};
use rondeau::{Array, Explanation, Stream, Tree, explain, jit, tree, value_and_grad};
use serde::Serialize;

use super::cells::{self, Cell, Draw};
use super::library;
use super::workloads::{CellKind, Kind, Workload};

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Who was measured.
    pub peer: &'static str,
    /// Who ran it.
    pub variant: &'static str,
    /// The name of the workload.
    pub workload: String,
    /// What was timed.
    pub kind: Kind,
    /// Steps.
    #[serde(rename = "T")]
    pub steps: usize,
    /// Inputs.
    #[serde(rename = "I")]
    pub inputs: usize,
    /// Hidden units.
    #[serde(rename = "H")]
    pub hidden: usize,
    /// Sequences; none if there is no batch axis.
    #[serde(rename = "B")]
    pub batch: Option<usize>,
    /// Threads of a call.
    pub threads: usize,
    /// The median of the calls.
    pub median_us: f64,
    /// The median over the steps.
    pub ns_per_step: f64,
    /// The first compilation: tracing, optimization, and machine code; no call.
    pub compile_ms: f64,
    /// Its stages.
    pub stages: Stages,
    /// Working memory of a call.
    pub arena_bytes: usize,
    /// The same over the steps.
    pub bytes_per_step: f64,
    /// What is kept between loops.
    pub residual_bytes: usize,
    /// The least time that the processor can need.
    pub floor_us: f64,
    /// The largest difference to the same in double precision, relative to the largest magnitude of
    /// each array.
    pub max_err: f64,
}

/// How long the stages of a compilation took, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stages {
    /// Running the function once, with all transformations.
    pub trace_ms: f64,
    /// The passes.
    pub optimize_ms: f64,
    /// The kernels and the machine code.
    pub codegen_ms: f64,
    /// Each pass by its name.
    #[serde(skip)]
    pub passes: Vec<(&'static str, f64)>,
}

impl Stages {
    /// Compiles what `trace` traces.
    fn of(trace: impl FnOnce() -> rondeau::Result<Program>, engine: Engine) -> Result<Stages> {
        let begin = Instant::now();
        let traced = trace()?;
        let trace_ms = ms_since(begin);
        let (begin, mut passes) = (Instant::now(), vec![]);
        let mut before = begin;
        let optimized = optimize_with(&traced, &mut |name, _| {
            passes.push((name, ms_since(before)));
            before = Instant::now();
        });
        let optimize_ms = ms_since(begin);
        let begin = Instant::now();
        drop(Executable::with_threads(&optimized, engine, rondeau::run::threads()?));
        Ok(Stages { trace_ms, optimize_ms, codegen_ms: ms_since(begin), passes })
    }

    /// All of them together.
    pub fn sum_ms(&self) -> f64 {
        self.trace_ms + self.optimize_ms + self.codegen_ms
    }
}

type Outputs = Box<dyn Fn() -> Result<Vec<Array>>>;

/// A workload with its numbers, ready to be called.
pub(super) struct Subject {
    call: Box<dyn FnMut() -> rondeau::Result<()>>,
    outputs: Outputs,
    compiled64: Outputs,
    interpreted64: Outputs,
    explain: Box<dyn Fn() -> rondeau::Result<Explanation>>,
    program: Box<dyn Fn() -> rondeau::Result<Program>>,
    /// The first compilation.
    pub(super) stages: Stages,
}

/// What the results are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// The same function, compiled in double precision on the portable machine.
    Compiled,
    /// The same function in double precision, neither optimized nor compiled: each operation by the
    /// primitive's own definition, step by step.
    Interpreted,
}

/// Makes a workload ready.
///
/// # Errors
/// If its function is mistaken.
pub(super) fn subject(workload: &Workload, engine: Engine) -> Result<Subject> {
    match workload.cell {
        CellKind::Gru => of::<cells::Gru>(workload, engine),
        CellKind::Custom => of::<cells::Custom>(workload, engine),
        CellKind::Loop => of::<cells::Loop>(workload, engine),
        CellKind::LnLstm => of::<cells::LnLstm>(workload, engine),
        CellKind::Mgu => of::<cells::Mgu>(workload, engine),
        CellKind::S6 => of::<cells::S6>(workload, engine),
        CellKind::Library(name) => of_library(name, workload, engine),
    }
}

fn of<C: Cell + 'static>(workload: &Workload, engine: Engine) -> Result<Subject> {
    let Workload { kind, cell, steps, inputs, hidden, batch, .. } = *workload;
    let draw = &mut Draw::new(1);
    let params = C::init(draw, inputs, hidden);
    let leading: &[usize] = if batch > 0 { &[batch] } else { &[] };
    let carry = C::start(draw, leading, hidden);
    let is_whole = cell == CellKind::Loop;
    let rows: Vec<usize> = match kind {
        Kind::Step => vec![],
        // The loop alone sees the whole batch in each step.
        _ if is_whole => [&[steps], leading].concat(),
        _ => [leading, &[steps]].concat(),
    };
    let xs = C::input(draw, &rows, inputs, hidden);
    let y = draw.normal(&[&rows[..], &[hidden]].concat());
    let is_mapped = batch > 0 && !is_whole;
    let step = |p: &C::Params, carry: &C::Carry, x: &C::Input| C::step(p, carry, x);
    match kind {
        Kind::Step => {
            let mut stream = Stream::with_engine(engine, step, &params, &carry, &xs)?;
            let (x, mut y) = (xs.clone(), stream.output());
            let mut subject = three(step, engine, params, carry, xs)?;
            subject.call = Box::new(move || stream.step(&x, &mut y));
            Ok(subject)
        }
        Kind::Forward if is_mapped => three(cells::batched::<C>, engine, params, carry, xs),
        Kind::Forward => three(cells::sequence::<C>, engine, params, carry, xs),
        Kind::Gradient if is_mapped => four(cells::batched_loss::<C>, engine, params, carry, xs, y),
        Kind::Gradient => four(cells::loss::<C>, engine, params, carry, xs, y),
    }
}

fn of_library(name: &str, workload: &Workload, engine: Engine) -> Result<Subject> {
    let Workload { kind, steps, inputs, hidden, batch, .. } = *workload;
    let draw = &mut Draw::new(1);
    let cell = library::cell(name, inputs, hidden)?;
    let carry = library::start(&cell, batch);
    let leading: &[usize] = if batch > 0 { &[batch] } else { &[] };
    let xs = draw.normal(&[leading, &[steps, inputs]].concat());
    let y = draw.normal(&[leading, &[steps, cell.output_size(inputs)?]].concat());
    match kind {
        Kind::Step => bail!("`{}` has no stream", workload.name),
        Kind::Forward if batch > 0 => three(library::batched, engine, cell, carry, xs),
        Kind::Forward => three(library::sequence, engine, cell, carry, xs),
        Kind::Gradient if batch > 0 => four(library::batched_loss, engine, cell, carry, xs, y),
        Kind::Gradient => four(library::loss, engine, cell, carry, xs, y),
    }
}

fn three<F, P, H, X, R>(f: F, engine: Engine, p: P, h: H, x: X) -> Result<Subject>
where
    F: Fn(&P, &H, &X) -> R + Copy + 'static,
    P: Tree + 'static,
    H: Tree + 'static,
    X: Tree + 'static,
    R: Tree + 'static,
{
    let narrow = (p, h, x);
    let wide = wide(&narrow);
    let compiled = jit(f).engine(engine);
    let stages = Stages::of(|| program(f).call(&narrow.0, &narrow.1, &narrow.2), engine)?;
    compiled.call(&narrow.0, &narrow.1, &narrow.2)?;
    let compiled = std::rc::Rc::new(compiled);
    let (timed, args) = (compiled.clone(), narrow.clone());
    let (args1, args2, args3) = (narrow.clone(), narrow.clone(), narrow);
    let (wide1, wide2) = (wide.clone(), wide);
    Ok(Subject {
        call: Box::new(move || timed.call(&args.0, &args.1, &args.2).map(drop)),
        outputs: Box::new(move || Ok(owned(&compiled.call(&args1.0, &args1.1, &args1.2)?))),
        compiled64: Box::new(move || {
            Ok(owned(&jit(f).engine(Engine::Vm).call(&wide1.0, &wide1.1, &wide1.2)?))
        }),
        interpreted64: Box::new(move || Ok(owned(&f(&wide2.0, &wide2.1, &wide2.2)))),
        explain: Box::new(move || explain(f).call(&args2.0, &args2.1, &args2.2)),
        program: Box::new(move || program(f).call(&args3.0, &args3.1, &args3.2)),
        stages,
    })
}

fn four<F, P, H, X>(f: F, engine: Engine, p: P, h: H, x: X, y: Array) -> Result<Subject>
where
    F: Fn(&P, &H, &X, &Array) -> Array + Copy + 'static,
    P: Tree + 'static,
    H: Tree + 'static,
    X: Tree + 'static,
{
    let grad = value_and_grad(f);
    let with_data = move |p: &P, h: &H, data: &(X, Array)| grad.apply(p, h, &data.0, &data.1);
    three(with_data, engine, p, h, (x, y))
}

fn wide<T: Tree>(tree: &T) -> T {
    tree::map(tree, |x| x.to(DType::F64))
}

fn owned<T: Tree>(tree: &T) -> Vec<Array> {
    tree::leaves(tree).into_iter().cloned().collect()
}

fn ms_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

impl Subject {
    /// The median of calls for about so long, in microseconds.
    pub(super) fn median_us(&mut self, budget: Duration) -> Result<f64> {
        (self.call)()?;
        let start = Instant::now();
        let mut times = Vec::new();
        while times.len() < 5 || (start.elapsed() < budget && times.len() < 100_000) {
            let begin = Instant::now();
            (self.call)()?;
            times.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(&mut times))
    }

    /// What becomes of it.
    pub(super) fn explain(&self) -> Result<Explanation> {
        Ok((self.explain)()?)
    }

    /// The program as it is traced.
    pub(super) fn program(&self) -> Result<Program> {
        Ok((self.program)()?)
    }

    /// The largest difference to double precision, relative to the largest magnitude of each array.
    pub(super) fn max_err(&self, reference: Reference) -> Result<f64> {
        let need = match reference {
            Reference::Compiled => (self.compiled64)()?,
            Reference::Interpreted => (self.interpreted64)()?,
        };
        let mut worst = 0.0_f64;
        for (got, need) in (self.outputs)()?.iter().zip(&need) {
            let difference = (got.to(DType::F64) - need).abs().max().item::<f64>()?;
            let error = difference / need.abs().max().item::<f64>()?.max(1e-30);
            // `max` of floats forgets NaN.
            worst = if error.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(error) };
        }
        Ok(worst)
    }

    /// How long the stages take when it is compiled once more.
    pub(super) fn stages_again(&self, engine: Engine) -> Result<Stages> {
        Stages::of(|| (self.program)(), engine)
    }
}

/// The middle one, the upper of two.
pub(super) fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
