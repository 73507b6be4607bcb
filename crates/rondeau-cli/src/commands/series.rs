//! `rondeau train series`: from a CSV file to weights, tables and pictures.

use std::time::Instant;

use anyhow::{Result, ensure};
use rondeau::io::atomic;

use crate::args::Series;
use crate::baseline::{Score, baselines};
use crate::cells::Cells;
use crate::commands::elsewhere;
use crate::data::{Calendar, Limits, Prepared, SEATTLE_WEATHER, Source, Table, Wanted, prepare};
use crate::fit::{Fitted, Forecasts, Schedule, forecast_rows, last_value_loss};
use crate::forecaster::Forecaster;
use crate::interrupt;
use crate::model::{Inputs, Spec};
use crate::progress::Progress;
use crate::report::{
    NamedScore, Outcome, PartSizes, Stopped, TestScores, TestSpan, log_csv, loss_svg, network_name,
};
use crate::weights::{Card, Task, WEIGHTS, encode};

/// All files of a run. The weights are moved into place last: where they are new, all is.
const FILES: [&str; 6] = ["log.csv", "test.csv", "loss.svg", "forecast.svg", "hidden.svg", WEIGHTS];

/// Numbers in one minibatch, beyond which windows are surely too long.
const MOST_BATCH_NUMBERS: usize = 1 << 28;

/// Trains, tests, and writes the files.
///
/// # Errors
/// If the data cannot be used, the directory not be written, or the training fails; the directory
/// then holds what it held.
pub fn run(cells: &Cells, args: &Series) -> Result<()> {
    let common = &args.common;
    // A file needs a target, so the command line has none only for the weather.
    let target = args.target.as_deref().unwrap_or("temp_max");
    let table = read(args, target)?;
    let calendar = if args.no_calendar { Calendar::Never } else { Calendar::WhereSensible };
    let data = prepare(&table, target, args.window, calendar)?;
    crate::tell(common.quiet, &table.notes);
    crate::tell(common.quiet, &data.notes);
    let schedule = Schedule { epochs: common.epochs, patience: args.patience, batch: common.batch }
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
    atomic::prepare(&common.out, &FILES).map_err(elsewhere)?;

    let started = Instant::now();
    let spec = common.spec(Inputs::Numbers(data.n_inputs()), 1)?;
    let mut network = Forecaster::init(cells, &spec)?;
    let fitted = train(args, &data, schedule, &mut network)?;
    let seconds = started.elapsed().as_secs_f64();
    let test = data.split.test.clone();
    let said = forecast_rows(&network, &data.inputs, data.n_inputs(), data.window, test)?;
    let title = cells.get(&spec.cell)?.title;
    let run = Run { args, spec, title: &title, table: &table, data: &data };
    run.conclude(&network, &fitted, &said, seconds)
}

fn read(args: &Series, target: &str) -> Result<Table> {
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
    args: &Series,
    data: &Prepared,
    schedule: Schedule,
    network: &mut Forecaster,
) -> Result<Fitted> {
    let stop = interrupt::install("epoch")?;
    let mut progress = Progress::start(args.common.quiet, schedule.plan(data.split.train.len()));
    let fitted = network.train(data, schedule, &args.common, &mut progress, stop)?;
    let why = match fitted.stopped {
        Stopped::NoProgress => format!("stopped: no better for {} epochs", args.patience),
        other => other.to_string(),
    };
    progress.finish(&format!(
        "{why}; the weights are those of epoch {} of {}",
        fitted.best_epoch,
        fitted.losses.len()
    ));
    Ok(fitted)
}

/// What a run was made of.
struct Run<'a> {
    args: &'a Series,
    spec: Spec,
    title: &'a str,
    table: &'a Table,
    data: &'a Prepared,
}

impl Run<'_> {
    /// Judges the network on the test span, writes the files, and prints the result.
    fn conclude(
        &self,
        network: &Forecaster,
        fitted: &Fitted,
        said: &Forecasts,
        seconds: f64,
    ) -> Result<()> {
        let Run { args, spec, title, table, data } = self;
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
            cell: spec.cell.clone(),
            title: title.to_string(),
            hidden: spec.hidden,
            layers: spec.layers,
            window: args.window,
            seed: spec.seed,
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
            out: args.common.out.display().to_string(),
            files: FILES.to_vec(),
        };
        let network_name = network_name(title, spec);
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
        let task = Task::Series { window: args.window, scaler: data.scaler.clone() };
        let card = Card::new(spec.clone(), fitted.best_epoch, task);
        let contents = [
            log_csv(&fitted.losses).into_bytes(),
            span.csv()?,
            loss_svg(&fitted.losses, fitted.best_epoch, last_value, &network_name).into_bytes(),
            span.forecast_svg().into_bytes(),
            span.hidden_svg().into_bytes(),
            encode(&card, weights)?,
        ];
        let files = FILES.into_iter().zip(contents.iter().map(Vec::as_slice));
        atomic::write_all(&args.common.out, &files.collect::<Vec<_>>()).map_err(elsewhere)?;
        if args.common.json {
            return crate::print(
                format!("{}\n", serde_json::to_string_pretty(&outcome)?).as_bytes(),
            );
        }
        crate::print(outcome.text().as_bytes())
    }
}

/// Forecasts in the target's units, from the normalised changes into the rows from `first` on.
fn in_units(data: &Prepared, first: usize, changes: &[f32]) -> Vec<f64> {
    let deviation = data.scaler.target().deviation;
    let last = data.target[first - 1..].iter();
    last.zip(changes).map(|(last, &change)| last + f64::from(change) * deviation).collect()
}
