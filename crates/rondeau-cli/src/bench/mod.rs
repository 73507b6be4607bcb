//! `rondeau bench`: times the workloads by which recurrent libraries are compared.
//!
//! Each result is one JSON line. A workload is a shape (steps, inputs, hidden units, batch) and
//! what is done: outputs of a sequence, one streaming step, or value and gradients. The cell is the
//! gated recurrent unit that resets before the product; `w6` is one that no library has fused.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rondeau::buffer::DType;
use rondeau::run::Engine;
use rondeau::{
    Array, Explanation, Tree, explain, jit, random, scan, sigmoid, tanh, value_and_grad, vmap,
};
use serde::Serialize;

use crate::args;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The outputs of a sequence, or of a batch of them.
    Forward,
    /// One step of a stream.
    Step,
    /// The mean squared error and its gradients by all parameters.
    Gradient,
}

/// A workload.
#[derive(Clone, Copy, Debug)]
struct Workload {
    name: &'static str,
    kind: Kind,
    custom: bool,
    steps: usize,
    inputs: usize,
    hidden: usize,
    /// 0 for one sequence without a batch axis.
    batch: usize,
}

const fn workload(
    name: &'static str,
    kind: Kind,
    custom: bool,
    [steps, inputs, hidden, batch]: [usize; 4],
) -> Workload {
    Workload { name, kind, custom, steps, inputs, hidden, batch }
}

const WORKLOADS: [Workload; 15] = [
    workload("w1", Kind::Forward, false, [10, 5, 8, 0]),
    workload("w2a", Kind::Step, false, [1, 64, 128, 0]),
    workload("w2b", Kind::Step, false, [1, 128, 256, 0]),
    workload("w3a", Kind::Forward, false, [1000, 64, 128, 0]),
    workload("w3b", Kind::Forward, false, [1000, 128, 256, 0]),
    workload("w3c", Kind::Forward, false, [1000, 256, 512, 0]),
    workload("w3d", Kind::Forward, false, [10_000, 8, 16, 0]),
    workload("w4a", Kind::Forward, false, [100, 128, 256, 32]),
    workload("w4b", Kind::Forward, false, [100, 256, 512, 64]),
    workload("w5a", Kind::Gradient, false, [100, 64, 128, 32]),
    workload("w5b", Kind::Gradient, false, [256, 128, 256, 32]),
    workload("w5c", Kind::Gradient, false, [1000, 8, 16, 0]),
    workload("w5d", Kind::Gradient, false, [10, 5, 8, 0]),
    workload("w6f", Kind::Forward, true, [1000, 64, 128, 0]),
    workload("w6g", Kind::Gradient, true, [100, 64, 128, 32]),
];

/// One measurement.
#[derive(Debug, Serialize)]
struct Line {
    peer: &'static str,
    variant: &'static str,
    workload: &'static str,
    kind: &'static str,
    #[serde(rename = "T")]
    steps: usize,
    #[serde(rename = "I")]
    inputs: usize,
    #[serde(rename = "H")]
    hidden: usize,
    #[serde(rename = "B")]
    batch: Option<usize>,
    threads: usize,
    median_us: f64,
    ns_per_step: f64,
    compile_ms: f64,
    max_err: Option<f64>,
}

/// The gated recurrent unit; the last three parameters belong to the cell of `w6` alone.
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
    extra: Option<Extra>,
}

/// A peephole on the update gate, and the gain and offset of a layer norm on the candidate.
#[derive(Clone, Tree)]
struct Extra {
    peephole: Array,
    gain: Array,
    offset: Array,
}

fn init(key: &Array, workload: &Workload) -> Gru {
    let keys = random::split(key, 12);
    let (inputs, hidden) = (workload.inputs, workload.hidden);
    let normal = |i: usize, shape: &[usize], fan_in: usize| {
        random::normal(&keys.at(i), shape) * (1.0 / (fan_in as f64).sqrt())
    };
    let bias = |i: usize| random::normal(&keys.at(i), [hidden]) * 0.1;
    let extra = || Extra { peephole: bias(9), gain: bias(10) + 1.0, offset: bias(11) };
    Gru {
        wz: normal(0, &[hidden, inputs], inputs),
        uz: normal(1, &[hidden, hidden], hidden),
        bz: bias(2),
        wr: normal(3, &[hidden, inputs], inputs),
        ur: normal(4, &[hidden, hidden], hidden),
        br: bias(5),
        wh: normal(6, &[hidden, inputs], inputs),
        uh: normal(7, &[hidden, hidden], hidden),
        bh: bias(8),
        extra: workload.custom.then(extra),
    }
}

/// One step. x: [inputs], h: [hidden] -> [hidden].
fn step(p: &Gru, h: &Array, x: &Array) -> Array {
    let mut update = p.wz.dot(x) + p.uz.dot(h) + &p.bz;
    if let Some(extra) = &p.extra {
        update += &extra.peephole * h;
    }
    let z = sigmoid(update);
    let r = sigmoid(p.wr.dot(x) + p.ur.dot(h) + &p.br);
    let mut candidate = p.wh.dot(x) + p.uh.dot(r * h) + &p.bh;
    if let Some(extra) = &p.extra {
        let centered = &candidate - candidate.mean();
        let variance = centered.square().mean();
        candidate = centered * (variance + 1e-5).rsqrt() * &extra.gain + &extra.offset;
    }
    (1.0 - &z) * h + z * tanh(candidate)
}

/// xs: [time, inputs] -> all states [time, hidden].
fn sequence(p: &Gru, h0: &Array, xs: &Array) -> Array {
    scan(
        |h, x| {
            let h = step(p, h, x);
            (h.clone(), h)
        },
        h0,
        xs,
    )
    .1
}

/// xs: [batch, time, inputs] -> [batch, time, hidden], or without the batch.
fn outputs(p: &Gru, h0: &Array, xs: &Array) -> Array {
    match xs.rank() {
        3 => vmap(sequence, (None, 0, 0)).apply(p, h0, xs),
        _ => sequence(p, h0, xs),
    }
}

fn loss(p: &Gru, h0: &Array, xs: &Array, target: &Array) -> Array {
    (outputs(p, h0, xs) - target).square().mean()
}

/// Runs the workloads that were asked for.
///
/// # Errors
/// If a name is no workload's, or a result cannot be printed.
pub fn run(args: &args::Bench) -> Result<()> {
    let all = args.workloads.is_empty();
    for name in &args.workloads {
        if !WORKLOADS.iter().any(|workload| workload.name == name) {
            let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
            bail!("there is no workload `{name}`; there are {}", names.join(" "));
        }
    }
    let engine = Engine::requested()?;
    let budget = Duration::from_secs_f64(args.budget);
    for workload in &WORKLOADS {
        if all || args.workloads.iter().any(|name| name == workload.name) {
            if args.explain {
                let told = explained(workload)?;
                let mut stdout = std::io::stdout().lock();
                writeln!(stdout, "{}\n{told}", workload.name)?;
                continue;
            }
            let line = measure(workload, engine, budget, args.check)?;
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "{}", serde_json::to_string(&line)?)?;
        }
    }
    Ok(())
}

/// What becomes of a workload's function.
fn explained(workload: &Workload) -> Result<Explanation> {
    let params = init(&random::key(0), workload);
    let Workload { steps, inputs, hidden, batch, .. } = *workload;
    let leading: &[usize] = if batch > 0 { &[batch] } else { &[] };
    let zeros = |shape: &[usize]| Array::zeros([leading, shape].concat());
    let h0 = zeros(&[hidden]);
    Ok(match workload.kind {
        Kind::Step => explain(step).call(&params, &h0, &zeros(&[inputs]))?,
        Kind::Forward => explain(outputs).call(&params, &h0, &zeros(&[steps, inputs]))?,
        Kind::Gradient => {
            let (xs, target) = (zeros(&[steps, inputs]), zeros(&[steps, hidden]));
            explain(value_and_grad(loss)).call(&params, &h0, &xs, &target)?
        }
    })
}

/// The median of repeated calls, in microseconds.
fn median_us(budget: Duration, mut call: impl FnMut() -> rondeau::Result<()>) -> Result<f64> {
    call()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 7 || (start.elapsed() < budget && times.len() < 100_000) {
        let begin = Instant::now();
        call()?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The largest difference, relative to the largest magnitude of each array.
fn max_err<T: Tree>(got: &T, need: &T) -> Result<f64> {
    let mut worst = 0.0_f64;
    for (got, need) in rondeau::tree::leaves(got).into_iter().zip(rondeau::tree::leaves(need)) {
        let difference = (got.to(DType::F64) - need).abs().max().item::<f64>()?;
        worst = worst.max(difference / need.abs().max().item::<f64>()?.max(1e-30));
    }
    Ok(worst)
}

fn measure(workload: &Workload, engine: Engine, budget: Duration, check: bool) -> Result<Line> {
    let params = init(&random::key(0), workload);
    let Workload { steps, inputs, hidden, batch, .. } = *workload;
    let leading: &[usize] = if batch > 0 { &[batch] } else { &[] };
    let draw =
        |seed: i64, shape: &[usize]| random::normal(&random::key(seed), [leading, shape].concat());
    let h0 = draw(1, &[hidden]) * 0.1;
    let wide = |x: &Array| x.to(DType::F64);
    let params64 = rondeau::tree::map(&params, wide);
    let (kind, us, compile_ms, error) = match workload.kind {
        Kind::Step => {
            let x = random::normal(&random::key(2), [inputs]);
            let f = jit(step).engine(engine);
            let begin = Instant::now();
            let got = f.call(&params, &h0, &x)?;
            let compile_ms = begin.elapsed().as_secs_f64() * 1e3;
            let us = median_us(budget, || f.call(&params, &h0, &x).map(drop))?;
            let need = || Ok(step(&params64, &wide(&h0), &wide(&x)).ok()?);
            ("step", us, compile_ms, checked(check, &got, need)?)
        }
        Kind::Forward => {
            let xs = draw(2, &[steps, inputs]);
            let f = jit(outputs).engine(engine);
            let begin = Instant::now();
            let got = f.call(&params, &h0, &xs)?;
            let compile_ms = begin.elapsed().as_secs_f64() * 1e3;
            let us = median_us(budget, || f.call(&params, &h0, &xs).map(drop))?;
            let need = || Ok(outputs(&params64, &wide(&h0), &wide(&xs)).ok()?);
            ("fwd", us, compile_ms, checked(check, &got, need)?)
        }
        Kind::Gradient => {
            let xs = draw(2, &[steps, inputs]);
            let target = draw(3, &[steps, hidden]) * 0.5;
            let f = jit(value_and_grad(loss)).engine(engine);
            let begin = Instant::now();
            let got = f.call(&params, &h0, &xs, &target)?;
            let compile_ms = begin.elapsed().as_secs_f64() * 1e3;
            let us = median_us(budget, || f.call(&params, &h0, &xs, &target).map(drop))?;
            let need = || {
                let args = (&wide(&h0), &wide(&xs), &wide(&target));
                Ok(value_and_grad(loss).call(&params64, args.0, args.1, args.2)?)
            };
            ("grad", us, compile_ms, checked(check, &got, need)?)
        }
    };
    Ok(Line {
        peer: "rondeau",
        variant: engine.name(),
        workload: workload.name,
        kind,
        steps,
        inputs,
        hidden,
        batch: (batch > 0).then_some(batch),
        threads: 1,
        median_us: us,
        ns_per_step: us * 1e3 / steps as f64,
        compile_ms,
        max_err: error,
    })
}

/// The error against the same in f64 by the interpreter, if that is asked for.
fn checked<T: Tree>(check: bool, got: &T, need: impl Fn() -> Result<T>) -> Result<Option<f64>> {
    if !check {
        return Ok(None);
    }
    Ok(Some(max_err(got, &need()?)?))
}
