//! `rondeau train`: from a CSV file to weights, tables and pictures.

use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use rondeau::io::atomic;

use crate::args::Train;
use crate::baseline::{Score, baselines};
use crate::data::{Calendar, Limits, Prepared, SEATTLE_WEATHER, Source, Table, Wanted, prepare};
use crate::fit::{Fitted, Forecasts, Schedule, forecast_rows, last_value_loss};
use crate::interrupt;
use crate::model::{self, Forecaster};
use crate::progress::Progress;
use crate::report::{
    NamedScore, Outcome, PartSizes, Stopped, TestScores, TestSpan, log_csv, loss_svg,
};
use crate::weights::{Card, encode};

/// What the weights are written to.
pub const WEIGHTS: &str = "weights.safetensors";
/// All files of a run. The weights are moved into place last: where they are new, all is.
const FILES: [&str; 6] = ["log.csv", "test.csv", "loss.svg", "forecast.svg", "hidden.svg", WEIGHTS];

/// Numbers in one minibatch, beyond which windows are surely too long.
const MOST_BATCH_NUMBERS: usize = 1 << 28;

/// Trains, tests, and writes the files.
///
/// # Errors
/// If the data cannot be used, the directory not be written, or the training fails; the directory
/// then holds what it held.
pub fn run(args: &Train) -> Result<()> {
    // A file needs a target, so the command line has none only for the weather.
    let target = args.target.as_deref().unwrap_or("temp_max");
    let table = read(args, target)?;
    let calendar = if args.no_calendar { Calendar::Never } else { Calendar::WhereSensible };
    let data = prepare(&table, target, args.window, calendar)?;
    crate::tell(args.quiet, &table.notes);
    crate::tell(args.quiet, &data.notes);
    let schedule = Schedule { epochs: args.epochs, patience: args.patience, batch: args.batch }
        .for_rows(data.split.train.len());
    let n_numbers =
        [args.window, data.n_inputs()].iter().fold(schedule.batch, |n, &m| n.saturating_mul(m));
    ensure!(
        n_numbers <= MOST_BATCH_NUMBERS,
        "{} windows of {} rows of {} numbers are more than {MOST_BATCH_NUMBERS} numbers\n\
         help: take a smaller --batch or --window, or fewer --columns",
        schedule.batch,
        args.window,
        data.n_inputs()
    );
    atomic::prepare(&args.out, &FILES).map_err(elsewhere)?;

    let started = Instant::now();
    let plan = model::Plan {
        cell: args.cell,
        n_inputs: data.n_inputs(),
        hidden: args.hidden,
        seed: args.seed,
    };
    let mut network = Forecaster::init(&plan, args.learning_rate);
    let fitted = train(args, &data, schedule, &mut network)?;
    let seconds = started.elapsed().as_secs_f64();
    let test = data.split.test.clone();
    let said = forecast_rows(&network, &data.inputs, data.n_inputs(), data.window, test)?;
    conclude(args, &table, &data, &network, &fitted, &said, seconds)
}

fn read(args: &Train, target: &str) -> Result<Table> {
    let named = args.columns.iter().flatten().cloned().chain([target.to_owned()]);
    let wanted = Wanted { named: named.collect(), others: args.columns.is_none() };
    let Some(path) = &args.file else {
        let name = "the weather of Seattle".to_owned();
        let source = Source { name, text: SEATTLE_WEATHER.as_bytes() };
        return Ok(Table::read(source, &wanted, Limits::default())?);
    };
    crate::read_table(path, &wanted)
}

fn train(
    args: &Train,
    data: &Prepared,
    schedule: Schedule,
    network: &mut Forecaster,
) -> Result<Fitted> {
    let stop = interrupt::install()?;
    let mut progress = Progress::start(args.quiet, schedule.plan(data.split.train.len()));
    let fitted = network.train(data, schedule, &mut progress, stop)?;
    let why = match fitted.stopped {
        Stopped::NoProgress => format!("stopped: no better for {} epochs", args.patience),
        Stopped::AllEpochs => "all epochs are done".to_owned(),
        Stopped::Interrupted => "stopped by Ctrl-C".to_owned(),
    };
    progress.finish(&format!(
        "{why}; the weights are those of epoch {} of {}",
        fitted.best_epoch,
        fitted.losses.len()
    ));
    Ok(fitted)
}

/// Judges the network on the test span, writes the files, and prints the result.
fn conclude(
    args: &Train,
    table: &Table,
    data: &Prepared,
    network: &Forecaster,
    fitted: &Fitted,
    said: &Forecasts,
    seconds: f64,
) -> Result<()> {
    let test = data.split.test.clone();
    let truth = &data.target[test.clone()];
    let forecasts = in_units(data, test.start, &said.changes);
    let simple = baselines(table, &data.target, data.window, test.clone());
    let score = |b: &crate::baseline::Baseline| NamedScore {
        name: b.name.clone(),
        score: Score::of(&b.forecasts, truth),
    };
    let target = data.scaler.target().name.clone();
    let weights = network.weights()?;
    let outcome = Outcome {
        target: target.clone(),
        inputs: data.scaler.input_names(),
        cell: args.cell,
        hidden: args.hidden,
        window: args.window,
        seed: args.seed,
        n_weights: weights.arrays().iter().map(|(_, array)| array.size()).sum(),
        rows: PartSizes {
            all: table.n_rows,
            train: data.split.train.len(),
            validation: data.split.validation.len(),
            test: test.len(),
        },
        epochs: fitted.losses.len(),
        best_epoch: fitted.best_epoch,
        stopped: fitted.stopped,
        seconds,
        test: TestScores {
            model: Score::of(&forecasts, truth),
            baselines: simple.iter().map(score).collect(),
        },
        out: args.out.display().to_string(),
        files: FILES.to_vec(),
    };
    let network_name = format!("{} with {} units", args.cell.title(), args.hidden);
    let span = TestSpan {
        table,
        target: &target,
        rows: test,
        truth,
        forecasts: &forecasts,
        baselines: &simple,
        states: &said.states,
        network: &network_name,
    };
    let last_value = last_value_loss(data, data.split.validation.clone());
    let card = Card {
        epoch: fitted.best_epoch,
        ..Card::new(args.cell, args.hidden, args.window, args.seed, data.scaler.clone())
    };
    let contents = [
        log_csv(&fitted.losses).into_bytes(),
        span.csv()?,
        loss_svg(&fitted.losses, fitted.best_epoch, last_value, &network_name).into_bytes(),
        span.forecast_svg().into_bytes(),
        span.hidden_svg().into_bytes(),
        encode(&card, weights)?,
    ];
    let files = FILES.into_iter().zip(contents.iter().map(Vec::as_slice));
    atomic::write_all(&args.out, &files.collect::<Vec<_>>()).map_err(elsewhere)?;
    if args.json {
        return crate::print(format!("{}\n", serde_json::to_string_pretty(&outcome)?).as_bytes());
    }
    crate::print(outcome.text().as_bytes())
}

/// A directory that cannot be written to.
fn elsewhere(error: rondeau::Error) -> anyhow::Error {
    anyhow!("{error}\nhelp: make room there, or write elsewhere (--out)")
}

/// Forecasts in the target's units, from the normalised changes into the rows from `first` on.
fn in_units(data: &Prepared, first: usize, changes: &[f32]) -> Vec<f64> {
    let deviation = data.scaler.target().deviation;
    let last = data.target[first - 1..].iter();
    last.zip(changes).map(|(last, &change)| last + f64::from(change) * deviation).collect()
}
