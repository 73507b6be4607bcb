//! `rondeau plot`: pictures of a run and of what its model does over time.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rondeau::buffer::Buffer;
use rondeau::io::atomic;
use rondeau::ir::{Atom, Builder, Program, eval};
use rondeau::nn::Cell;
use rondeau::prim::{Prim, Unary};
use rondeau::{Array, DType, grad, jit, program, scan, tree};
use serde_json::json;

use crate::args::Plot;
use crate::cells::Cells;
use crate::chart::axis::Kind;
use crate::chart::{Axis, HeatMap, LineChart, Mark, Series, Stroke};
use crate::commands::elsewhere;
use crate::commands::inspect::random_inputs;
use crate::commands::labels::normalise;
use crate::commands::text::{self, Symbols};
use crate::data::Wanted;
use crate::data::sequences::Sequences;
use crate::model::{Carry, Model};
use crate::report::network_name;
use crate::weights::{Card, Task, load};

/// The longest log that is read.
const MOST_LOG_BYTES: u64 = 1 << 26;
/// The part of the sigmoid's range at either end that counts as saturated.
const SATURATED: f32 = 0.05;

/// Draws, and tells the files.
///
/// # Errors
/// If the weights or the file cannot be used, or the directory not be written.
pub fn run(cells: &Cells, args: &Plot) -> Result<()> {
    let (card, model) = load(cells, &args.dir)?;
    let name = network_name(&cells.get(&card.model.cell)?.title, &card.model);
    let xs = match &args.file {
        Some(file) => sequence(&card, file, args.steps)?,
        None => random_inputs(card.model.inputs, args.steps, card.model.seed),
    };
    let shown = match args.file {
        Some(_) => name.clone(),
        None => format!("{name} · random inputs"),
    };
    let mut files = Vec::new();
    let log = args.dir.join("log.csv");
    if log.exists() {
        let svg = loss_svg(&log, &card, &name)
            .with_context(|| format!("cannot use {}", log.display()))?;
        files.push(("loss.svg", svg));
    }
    files.push(("hidden.svg", hidden_svg(&model, &xs, &shown)?));
    if let Some(svg) = gates_svg(&model, &xs, &shown)? {
        files.push(("gates.svg", svg));
    }
    files.push(("gradient.svg", gradient_svg(&model, &xs, &shown)?));
    let contents: Vec<(&str, &[u8])> =
        files.iter().map(|(name, svg)| (*name, svg.as_bytes())).collect();
    atomic::write_all(&args.dir, &contents).map_err(elsewhere)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    if args.json {
        return crate::print(
            format!("{}\n", json!({ "dir": args.dir, "files": names })).as_bytes(),
        );
    }
    crate::print(format!("{}: {}\n", args.dir.display(), names.join(", ")).as_bytes())
}

/// The first steps of a file as inputs of the model.
fn sequence(card: &Card, file: &Path, most: usize) -> Result<Array> {
    match &card.task {
        Task::Series { scaler, .. } => {
            let named = scaler.columns.iter().map(|scale| scale.name.clone()).collect();
            let table = crate::read_table(file, &Wanted { named, others: false })?;
            let (inputs, n) = (scaler.inputs(&table)?, scaler.n_inputs());
            let n_steps = table.n_rows.min(most);
            ensure!(n_steps > 0, "{}: there are no rows in it", file.display());
            Ok(Array::new([n_steps, n], inputs[..n_steps * n].to_vec()))
        }
        Task::Text { symbols } => {
            let text: String = text::read(file)?.chars().take(most).collect();
            let numbers = Symbols::stored(symbols)?.numbers(&text)?;
            ensure!(!numbers.is_empty(), "{}: there is no text in it", file.display());
            Ok(Array::new([numbers.len()], numbers))
        }
        Task::Labels { channels, .. } => {
            let all = Sequences::open(file)?;
            ensure!(
                all.n_channels() == channels.len(),
                "{}: its steps have {} numbers, and the \
                model takes {}",
                file.display(),
                all.n_channels(),
                channels.len()
            );
            let values = &all.sequences[0].values;
            let n_steps = (values.len() / channels.len()).min(most);
            let mut xs = vec![0.0; n_steps * channels.len()];
            normalise(values, channels, &mut xs);
            Ok(Array::new([n_steps, channels.len()], xs))
        }
    }
}

fn steps() -> Axis {
    Axis { label: "step".to_owned(), kind: Kind::Counts }
}

/// All columns of a log but the epoch and the steps, and the epoch that is kept if one was chosen.
fn loss_svg(log: &Path, card: &Card, name: &str) -> Result<String> {
    let bytes = fs::metadata(log)?.len();
    ensure!(bytes <= MOST_LOG_BYTES, "it has more than {MOST_LOG_BYTES} bytes");
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(log)?;
    let header = reader.headers()?.clone();
    let mut series: Vec<Series> = Vec::new();
    let records = reader.records().collect::<Result<Vec<_>, _>>()?;
    for (i, name) in header.iter().enumerate() {
        if ["epoch", "step", "best", "accuracy"].contains(&name) {
            continue;
        }
        let number = |field: Option<&str>| field.and_then(|f| f.parse::<f64>().ok());
        let points = records.iter().map(|record| {
            (number(record.get(0)).unwrap_or(f64::NAN), number(record.get(i)).unwrap_or(f64::NAN))
        });
        let points = points.collect();
        // By the names that `train` gives them.
        let name = match name.trim_end_matches("_loss") {
            "loss" => "train".to_owned(),
            name => name.replace('_', " "),
        };
        series.push(Series { name, points, stroke: Stroke::Strong });
    }
    let x = Axis { label: "epoch".to_owned(), kind: Kind::Counts };
    let unit = match card.task {
        Task::Series { .. } => "mean squared error, in deviations of the target",
        Task::Text { .. } => "bits a character",
        Task::Labels { .. } => "cross entropy in nats",
    };
    let is_chosen = series.iter().any(|line| line.name.starts_with("validation"));
    let kept = Mark { x: card.epoch as f64, label: format!("kept: epoch {}", card.epoch) };
    Ok(LineChart {
        title: "Loss".to_owned(),
        subtitle: format!("{name} · {unit}"),
        x,
        y_label: "loss".to_owned(),
        series,
        mark: (is_chosen && card.epoch > 0).then_some(kept),
    }
    .svg())
}

/// The last layer's output over time.
fn hidden_svg(model: &Model, xs: &Array, shown: &str) -> Result<String> {
    let run = |model: &Model, xs: &Array| {
        let step = |carry: &Carry, x: &Array| model.output(carry, x);
        scan(step, &model.initial_carry(), xs).1
    };
    let outputs = jit(run).call(model, xs)?;
    let n_units = outputs.shape()[1];
    let values: Vec<f32> = outputs.to_vec()?;
    let unit = |i: usize| values.iter().skip(i).step_by(n_units).map(|&y| f64::from(y)).collect();
    Ok(HeatMap {
        title: "Output of the last layer".to_owned(),
        subtitle: shown.to_owned(),
        x: steps(),
        x_range: (1.0, xs.len() as f64),
        y_label: "unit".to_owned(),
        row_names: (0..n_units).map(|i| i.to_string()).collect(),
        rows: (0..n_units).map(unit).collect(),
        value_label: "output".to_owned(),
    }
    .svg())
}

/// The program with the outputs of all its sigmoids as further outputs.
fn with_gates(step: &Program) -> Program {
    let mut b = Builder::new();
    let mut atoms: Vec<Option<Atom>> = vec![None; step.n_vars()];
    for (var, atom) in step.inputs().iter().zip(b.inputs(&step.input_avals())) {
        atoms[var.index()] = Some(atom);
    }
    let at = |atoms: &[Option<Atom>], atom: &Atom| match atom.var() {
        Some(var) => atoms[var.index()].expect("internal: it is bound before it is used"),
        None => *atom,
    };
    let mut gates = Vec::new();
    for eqn in step.eqns() {
        let inputs: Vec<Atom> = eqn.inputs.iter().map(|atom| at(&atoms, atom)).collect();
        let outputs = b.bind(eqn.prim.clone(), &inputs);
        if eqn.prim == Prim::Unary(Unary::Logistic) {
            gates.extend(&outputs);
        }
        for (var, atom) in eqn.outputs.iter().zip(outputs) {
            atoms[var.index()] = Some(atom);
        }
    }
    let outputs = step.outputs().iter().map(|atom| at(&atoms, atom)).chain(gates).collect();
    b.finish(outputs)
}

/// The part of each sigmoid's numbers that is nearly 0 or 1, over time; none if there are no
/// sigmoids.
fn gates_svg(model: &Model, xs: &Array, shown: &str) -> Result<Option<String>> {
    let step = |model: &Model, carry: &Carry, x: &Array| model.output(carry, x).0;
    let first = model.initial_carry();
    let traced = program(step).call(model, &first, &xs.at(0))?;
    let n_carry = traced.outputs().len();
    let gated = with_gates(&traced);
    let n_gates = gated.outputs().len() - n_carry;
    if n_gates == 0 {
        return Ok(None);
    }
    let buffers = |arrays: Vec<&Array>| -> Result<Vec<Buffer>> {
        Ok(arrays.into_iter().map(|array| array.buffer().cloned()).collect::<Result<_, _>>()?)
    };
    let weights = buffers(tree::leaves(model))?;
    let mut carry = buffers(tree::leaves(&first))?;
    let mut parts = vec![(Vec::new(), Vec::new()); n_gates];
    for t in 0..xs.len() {
        let x = xs.at(t as isize);
        let inputs = [weights.clone(), carry, buffers(vec![&x])?].concat();
        let mut outputs = eval(&gated, &inputs);
        let gates = outputs.split_off(n_carry);
        carry = outputs;
        for ((low, high), gate) in parts.iter_mut().zip(gates) {
            let values: Vec<f32> = Array::from_buffer(gate).to_vec()?;
            let part = |is: &dyn Fn(f32) -> bool| {
                values.iter().filter(|&&x| is(x)).count() as f64 / values.len().max(1) as f64
            };
            low.push(-part(&|x| x < SATURATED));
            high.push(part(&|x| x > 1.0 - SATURATED));
        }
    }
    let mut rows = Vec::new();
    let mut row_names = Vec::new();
    for (i, (low, high)) in parts.into_iter().enumerate() {
        rows.extend([high, low]);
        row_names.extend([format!("{} near 1", i + 1), format!("{} near 0", i + 1)]);
    }
    Ok(Some(
        HeatMap {
            title: "Saturated gates".to_owned(),
            subtitle: format!("{shown} · the part that is nearly 1 or, below zero, nearly 0"),
            x: steps(),
            x_range: (1.0, xs.len() as f64),
            y_label: "gate, in the order of the program".to_owned(),
            row_names,
            rows,
            value_label: "part".to_owned(),
        }
        .svg(),
    ))
}

/// What is added to a carry; nothing to leaves without a gradient.
type Added = Vec<Vec<Option<Array>>>;

/// A function of each leaf of a carry.
fn each_leaf<R>(carry: &Carry, mut f: impl FnMut(&Array) -> R) -> Vec<Vec<R>> {
    carry.iter().map(|layer| layer.iter().map(&mut f).collect()).collect()
}

/// The norm of the gradient of the sum of the squares of the last output, by the carry at each step.
fn gradient_svg(model: &Model, xs: &Array, shown: &str) -> Result<String> {
    let n_steps = xs.len();
    // Zeros added to the carry before each step have the gradients of the carry there. What counts,
    // in whole numbers, has none.
    let zeros = |leaf: &Array| {
        let shape = [&[n_steps], leaf.shape()].concat();
        leaf.dtype().is_float().then(|| Array::full(shape, 0.0_f32).to(leaf.dtype()))
    };
    let zeros: Added = each_leaf(&model.initial_carry(), zeros);
    let last = |added: &Added, model: &Model, xs: &Array| {
        let step = |carry: &Carry, (x, added): &(Array, Added)| {
            let mut added = added.iter().flatten();
            let carry = each_leaf(carry, |leaf| match added.next() {
                Some(Some(added)) => leaf + added,
                _ => leaf.clone(),
            });
            model.output(&carry, x)
        };
        let (_, outputs) = scan(step, &model.initial_carry(), &(xs.clone(), added.clone()));
        outputs.at(-1).square().sum()
    };
    let gradient = match tree::leaves(&zeros).is_empty() {
        true => zeros.clone(),
        false => jit(grad(last)).call(&zeros, model, xs)?,
    };
    let mut squares = vec![0.0_f64; n_steps];
    for leaf in tree::leaves(&gradient) {
        let values: Vec<f32> = leaf.to(DType::F32).to_vec()?;
        let n = (values.len() / n_steps).max(1);
        for (square, row) in squares.iter_mut().zip(values.chunks(n)) {
            *square += row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        }
    }
    let points = squares.iter().enumerate();
    // Of zero there is no logarithm: the line is parted there.
    let points = points.map(|(t, &square)| ((t + 1) as f64, square.sqrt().log10())).collect();
    Ok(LineChart {
        title: "Gradient of the last output over time".to_owned(),
        subtitle: format!("{shown} · by the carry before each step"),
        x: steps(),
        y_label: "log10 of its norm".to_owned(),
        series: vec![Series { name: "gradient".to_owned(), points, stroke: Stroke::Strong }],
        mark: None,
    }
    .svg())
}
