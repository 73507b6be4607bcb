//! `rondeau bench`: times the workloads by which recurrent libraries are compared, alone or beside
//! those libraries; and `rondeau explain`, which says what becomes of a workload.
//!
//! A workload is a shape (steps, inputs, hidden units, batch) and what is done: outputs of a
//! sequence, one streaming step, or value and gradients.

mod cells;
pub mod compare;
mod library;
mod measure;
pub mod peers;
pub mod workloads;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rondeau::optimize::{Rates, optimize_with};
use rondeau::run::Engine;
use rondeau_machine::limits::Limits;

use crate::args;
use crate::commands::inspect::no_pass;
use compare::{Plan, compare, table};
pub use measure::{Line, Stages};
use measure::{Reference, Subject, subject};
use peers::Peer;
use workloads::{Workload, chosen};

/// Runs the workloads that were asked for.
///
/// # Errors
/// If a name is no workload's, a peer is written wrongly, or a result cannot be printed.
pub fn run(args: &args::Bench) -> Result<()> {
    let workloads = chosen(&args.workloads)?;
    let engine = Engine::requested()?;
    let budget = duration(args.budget)?;
    let (limits, rates) = rates(budget.min(Duration::from_millis(400)));
    if args.explain {
        return compilation(&workloads, engine);
    }
    if args.roofline {
        return roofline(&workloads, engine, &limits, &rates);
    }
    let reference = if args.check { Reference::Interpreted } else { Reference::Compiled };
    let peers = if args.compare { wanted_peers(args)? } else { vec![] };
    let place = Scratch::new()?;
    let mut rows = vec![];
    for workload in &workloads {
        let mut subject = subject(workload, engine)?;
        let line = line(workload, &subject, engine, &rates, reference)?;
        if !args.compare {
            let median_us = subject.median_us(budget)?;
            let ns_per_step = median_us * 1e3 / workload.steps as f64;
            print_json(&Line { median_us, ns_per_step, ..line })?;
            continue;
        }
        let limit = Duration::from_secs(args.peer_limit);
        let (rounds, place) = (args.rounds, place.0.as_path());
        let plan = Plan { peers: &peers, rounds, budget, limit, place };
        let row = compare(workload, &mut subject, line, plan)?;
        for (peer, failure) in &row.failures {
            let _ = writeln!(std::io::stderr(), "note: {}: {peer} {failure}", workload.name);
        }
        if args.json {
            print_json(&row)?;
        }
        rows.push(row);
    }
    if args.compare && !args.json {
        crate::print(table(&rows).as_bytes())?;
    }
    Ok(())
}

/// All that is known of a workload but its time.
fn line(
    workload: &Workload,
    subject: &Subject,
    engine: Engine,
    rates: &Rates,
    reference: Reference,
) -> Result<Line> {
    let told = subject.explain()?;
    let Workload { kind, steps, inputs, hidden, batch, .. } = *workload;
    Ok(Line {
        peer: "rondeau",
        variant: engine.name(),
        workload: workload.name.clone(),
        kind,
        steps,
        inputs,
        hidden,
        batch: (batch > 0).then_some(batch),
        threads: rondeau::run::threads()?,
        median_us: f64::NAN,
        ns_per_step: f64::NAN,
        compile_ms: subject.stages.sum_ms(),
        stages: subject.stages.clone(),
        arena_bytes: told.arena_bytes,
        bytes_per_step: told.arena_bytes as f64 / steps as f64,
        residual_bytes: told.census.residual_bytes,
        floor_us: told.floor_ns(rates) / 1e3,
        max_err: subject.max_err(reference)?,
    })
}

fn print_json(line: &impl serde::Serialize) -> Result<()> {
    crate::print(format!("{}\n", serde_json::to_string(line)?).as_bytes())
}

fn duration(seconds: f64) -> Result<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(budget) if seconds <= 3600.0 => Ok(budget),
        _ => bail!("a budget is from 0 to 3600 seconds, and `{seconds}` is not"),
    }
}

/// The rates of this processor.
fn rates(budget: Duration) -> (Limits, Rates) {
    let limits = Limits::measure(budget);
    let rates = Rates {
        flops_per_ns: limits.flops_per_ns,
        latency_ns: limits.fma_ns,
        function_ns: limits.sigmoid_ns.min(limits.tanh_ns),
        reads: limits.reads.clone(),
    };
    (limits, rates)
}

/// Prints what this core can do, and what follows for the workloads.
fn roofline(workloads: &[Workload], engine: Engine, limits: &Limits, rates: &Rates) -> Result<()> {
    let mut text = format!(
        "f32 multiply-adds   {:8.1} GFLOP/s, {:.2} ns from one to the next\n\
         sigmoid, tanh       {:8.2}, {:.2} ns an element\n",
        limits.flops_per_ns, limits.fma_ns, limits.sigmoid_ns, limits.tanh_ns
    );
    for (bytes, rate) in &limits.reads {
        text += &format!("reads of {:7} KiB {rate:8.1} GB/s\n", bytes >> 10);
    }
    text += &format!(
        "\n{:11} {:18} {:>11} {:>11} {:>11} {:>11}\n",
        "workload", "T, I, H, B", "MFLOP", "MB moved", "MB kept", "floor us"
    );
    for workload in workloads {
        let told = subject(workload, engine)?.explain()?;
        let mega = |n: f64| format!("{:.3}", n / 1e6);
        text += &format!(
            "{:11} {:18} {:>11} {:>11} {:>11} {:>11.1}\n",
            workload.name,
            workload.shape(),
            mega(told.optimized.flops),
            mega(told.optimized.bytes),
            mega(told.census.residual_bytes as f64),
            told.floor_ns(rates) / 1e3
        );
    }
    crate::print(text.as_bytes())
}

/// Prints how long the stages of compilations take.
fn compilation(workloads: &[Workload], engine: Engine) -> Result<()> {
    for workload in workloads {
        let subject = subject(workload, engine)?;
        let (first, again) = (&subject.stages, subject.stages_again(engine)?);
        let title = format!("{} ({})", workload.name, workload.title);
        let mut text = format!("{title:40} {:>10} {:>10}\n", "first ms", "again ms");
        let mut row = |name: &str, first: f64, again: f64| {
            text += &format!("  {name:38} {first:10.3} {again:10.3}\n");
        };
        row("trace and transform", first.trace_ms, again.trace_ms);
        for ((name, first), (_, again)) in first.passes.iter().zip(&again.passes) {
            row(&format!("  {name}"), *first, *again);
        }
        row("optimize", first.optimize_ms, again.optimize_ms);
        row("kernels and machine code", first.codegen_ms, again.codegen_ms);
        row("all", first.sum_ms(), again.sum_ms());
        crate::print(text.as_bytes())?;
    }
    Ok(())
}

/// The peers of the options and of the environment.
fn wanted_peers(args: &args::Bench) -> Result<Vec<Peer>> {
    let mut peers = vec![];
    for text in &args.peer {
        peers.push(Peer::parse(text)?);
    }
    if let Some(path) = &args.peers {
        peers.extend(peers::read(path)?);
    }
    if let Some(directory) = std::env::var_os("RONDEAU_PEERS") {
        let found = peers::discover(Path::new(&directory)).context("of RONDEAU_PEERS")?;
        peers.extend(found);
    }
    if peers.is_empty() {
        let _ = writeln!(
            std::io::stderr(),
            "note: there are no peers to compare with; see `rondeau bench --help`"
        );
    }
    Ok(peers)
}

/// A directory of its own for what peers write, removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let name = format!("rondeau-bench-{}", std::process::id());
        let place = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&place)
            .with_context(|| format!("{} cannot be made", place.display()))?;
        Ok(Scratch(place))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the directory of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Says what becomes of workloads.
///
/// # Errors
/// If a name is no workload's or pass's, or nothing can be printed.
pub fn explain(args: &args::Explain) -> Result<()> {
    let engine = Engine::requested()?;
    let workloads = chosen(&args.workloads)?;
    let (_, rates) = rates(Duration::from_millis(200));
    for workload in &workloads {
        let subject = subject(workload, engine)?;
        let text = match &args.pass {
            Some(pass) => after(&subject, pass)?,
            None => {
                let told = subject.explain()?;
                let floor = told.floor_ns(&rates) / 1e3;
                format!("{}\n{told}floor on this core:        {floor:.1} us\n", workload.name)
            }
        };
        crate::print(text.as_bytes())?;
    }
    Ok(())
}

/// The program of a workload after the last pass of a name; `trace` is the program before all.
fn after(subject: &Subject, pass: &str) -> Result<String> {
    let traced = subject.program()?;
    if pass == "trace" {
        return Ok(traced.to_string());
    }
    let (mut found, mut names) = (None, vec!["trace"]);
    optimize_with(&traced, &mut |name, program| {
        if name == pass {
            found = Some(program.to_string());
        }
        names.push(name);
    });
    found.with_context(|| no_pass(pass, names.into_iter()))
}
