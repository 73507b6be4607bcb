//! What a training run leaves behind: its result as text and JSON, its tables, and its pictures.

use std::fmt::{self, Write};
use std::ops::Range;

use anyhow::Result;
use rondeau::train::Ended;
use serde::Serialize;

use crate::baseline::{Baseline, Score};
use crate::chart::axis::Kind;
use crate::chart::{Axis, HeatMap, LineChart, Mark, Series, Stroke};
use crate::data::Table;
use crate::data::calendar::Step;
use crate::model::Spec;

/// The result of a run, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The column that is forecast.
    pub target: String,
    /// What goes in for each row.
    pub inputs: Vec<String>,
    /// The recurrent cell.
    pub cell: String,
    /// Its name as people write it.
    #[serde(skip)]
    pub title: String,
    /// Its units.
    pub hidden: usize,
    /// The recurrent layers.
    pub layers: usize,
    /// How many rows a forecast looks back on.
    pub window: usize,
    /// The seed.
    pub seed: u64,
    /// How many numbers were fitted.
    pub n_weights: usize,
    /// How many rows each part has.
    pub rows: PartSizes,
    /// How many epochs were run.
    pub epochs: usize,
    /// The epoch with the lowest validation loss, whose weights are kept.
    pub best_epoch: usize,
    /// Why training stopped.
    pub stopped: Stopped,
    /// The time that training took.
    pub seconds: f64,
    /// The errors over the test span, in the target's units.
    pub test: TestScores,
    /// The directory of the files.
    pub out: String,
    /// The files.
    pub files: Vec<&'static str>,
}

/// How many rows each part has.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartSizes {
    /// Rows in the file.
    pub all: usize,
    /// Rows forecast while training.
    pub train: usize,
    /// Rows that decide when to stop.
    pub validation: usize,
    /// Rows of the test.
    pub test: usize,
}

/// Why training stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// The validation loss did not get better any more.
    NoProgress,
    /// All epochs were run.
    AllEpochs,
    /// The user asked for it.
    Interrupted,
}

impl From<Ended> for Stopped {
    fn from(ended: Ended) -> Stopped {
        match ended {
            Ended::NoProgress => Stopped::NoProgress,
            Ended::Stopped => Stopped::Interrupted,
            _ => Stopped::AllEpochs,
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stopped::NoProgress => "stopped: it did not get better any more",
            Stopped::AllEpochs => "all epochs are done",
            Stopped::Interrupted => "stopped by Ctrl-C, and --resume goes on",
        })
    }
}

/// The errors over the test span.
#[derive(Clone, Debug, Serialize)]
pub struct TestScores {
    /// Of the network.
    pub model: Score,
    /// Of the forecasts that need no training.
    pub baselines: Vec<NamedScore>,
}

/// A score with the name of what it judges.
#[derive(Clone, Debug, Serialize)]
pub struct NamedScore {
    /// The name.
    pub name: String,
    /// The score.
    #[serde(flatten)]
    pub score: Score,
}

impl Outcome {
    /// The result for a reader.
    pub fn text(&self) -> String {
        let title = self.title.as_str();
        let scores = &self.test;
        let rows = [(title, scores.model)].into_iter();
        let baselines = scores.baselines.iter().map(|b| (b.name.as_str(), b.score));
        let table: Vec<(&str, Score)> = rows.chain(baselines).collect();
        let width = table.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 2;
        let decimals = decimals(table.iter().map(|(_, score)| score.mae));

        let heading = format!("{} over the last {} rows", self.target, self.rows.test);
        let mut text = String::new();
        let _ = writeln!(text, "Error of the forecast of {heading}, which training never saw:\n");
        let _ = writeln!(text, "{:width$}{:>10}{:>10}", "", "MAE", "RMSE");
        for (name, Score { mae, rmse }) in &table {
            let _ = writeln!(text, "{name:width$}{mae:>10.decimals$}{rmse:>10.decimals$}");
        }
        let _ = writeln!(text, "\n{}", self.verdict());
        let _ = writeln!(text, "\n{}: {}", self.out, self.files.join(", "));
        text
    }

    /// Whether the network is worth its training, said plainly.
    fn verdict(&self) -> String {
        let title = self.title.as_str();
        let by_mae = |a: &&NamedScore, b: &&NamedScore| a.score.mae.total_cmp(&b.score.mae);
        let Some(best) = self.test.baselines.iter().min_by(by_mae) else {
            return format!("Nothing to compare the {title} with.");
        };
        let (model, baseline) = (self.test.model.mae, best.score.mae);
        if model < baseline {
            let percent = 100.0 * (1.0 - model / baseline);
            return format!(
                "The {title} is off by {percent:.0} % less than the best of the simple forecasts, \
                 \"{}\".",
                best.name
            );
        }
        format!(
            "The {title} is no better than \"{}\", so do not use it: try other --columns, a longer \
             --window or more rows.",
            best.name
        )
    }
}

/// The digits after the point that show errors of such sizes to three figures.
fn decimals(errors: impl Iterator<Item = f64>) -> usize {
    let least = errors.filter(|error| *error > 0.0).fold(f64::INFINITY, f64::min);
    if least.is_finite() { (2 - least.log10().floor() as i32).clamp(0, 9) as usize } else { 3 }
}

/// What a model is, for subtitles.
pub fn network_name(title: &str, spec: &Spec) -> String {
    let units = match spec.hidden {
        1 => "1 unit".to_owned(),
        n => format!("{n} units"),
    };
    match spec.layers {
        1 => format!("{title} with {units}"),
        n => format!("{title} with {n} layers of {units}"),
    }
}

/// The losses of an epoch, as mean squares of the target's deviation over the training rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochLoss {
    /// Over the minibatches, while the weights change.
    pub train: f64,
    /// Over the validation span, after the epoch.
    pub validation: f64,
}

/// `log.csv`: the losses of every epoch, and which is the best so far.
pub fn log_csv(losses: &[EpochLoss]) -> String {
    let mut text = "epoch,train_loss,validation_loss,best\n".to_owned();
    let mut best = f64::INFINITY;
    for (i, EpochLoss { train, validation }) in losses.iter().enumerate() {
        let is_best = *validation < best;
        best = best.min(*validation);
        let _ = writeln!(text, "{},{train},{validation},{}", i + 1, u8::from(is_best));
    }
    text
}

/// The rows of the test, and what was forecast of them.
#[derive(Debug)]
pub struct TestSpan<'a> {
    /// The table that the rows are of.
    pub table: &'a Table,
    /// The column that is forecast.
    pub target: &'a str,
    /// The rows.
    pub rows: Range<usize>,
    /// The true values of the rows.
    pub truth: &'a [f64],
    /// The network's forecasts of the rows.
    pub forecasts: &'a [f64],
    /// The forecasts that need no training.
    pub baselines: &'a [Baseline],
    /// The network's state when it forecast each row, `[rows, hidden]`.
    pub states: &'a [f32],
    /// What the network is, for subtitles.
    pub network: &'a str,
}

impl TestSpan<'_> {
    /// `test.csv`: for each row the truth and all forecasts.
    ///
    /// # Errors
    /// If the texts cannot be written as CSV, which does not happen in memory.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let label = self.table.dates.as_ref().map_or("row", |dates| &dates.name);
        let baselines = self.baselines.iter().map(|baseline| baseline.name.as_str());
        writer.write_record([label, self.target, "forecast"].into_iter().chain(baselines))?;
        for (i, row) in self.rows.clone().enumerate() {
            let baselines = self.baselines.iter().map(|baseline| baseline.forecasts[i]);
            let numbers = [self.truth[i], f64::from(self.forecasts[i] as f32)];
            let numbers = numbers.into_iter().chain(baselines).map(shortest);
            writer.write_record([self.table.row_label(row)].into_iter().chain(numbers))?;
        }
        Ok(writer.into_inner().map_err(|error| error.into_error())?)
    }

    /// `forecast.svg`: the forecasts over the truth.
    pub fn forecast_svg(&self) -> String {
        let points = |values: &[f64]| {
            let rows = self.rows.clone().zip(values);
            rows.map(|(row, &value)| (self.x(row), value)).collect()
        };
        let score = Score::of(self.forecasts, self.truth);
        let digits = decimals([score.mae].into_iter());
        LineChart {
            title: format!("Forecast of {}, one {} ahead", self.target, self.step_name()),
            subtitle: format!(
                "the test span, which training never saw · {} · mean absolute error {:.digits$}",
                self.network, score.mae
            ),
            x: self.axis(),
            y_label: self.target.to_owned(),
            series: vec![
                Series { name: "truth".into(), points: points(self.truth), stroke: Stroke::Quiet },
                Series {
                    name: "forecast".into(),
                    points: points(self.forecasts),
                    stroke: Stroke::Strong,
                },
            ],
            mark: None,
        }
        .svg()
    }

    /// `hidden.svg`: the state of every unit over time.
    pub fn hidden_svg(&self) -> String {
        let n_units = self.states.len() / self.rows.len().max(1);
        let unit = |unit: usize| -> Vec<f64> {
            self.states.iter().skip(unit).step_by(n_units).map(|&h| f64::from(h)).collect()
        };
        // Units that follow the target come first and those that oppose it last, so that the
        // picture has a form; the order of the units means nothing to the network.
        let mut units: Vec<(usize, Vec<f64>)> = (0..n_units).map(|i| (i, unit(i))).collect();
        let follows = |values: &[f64]| correlation(values, self.truth);
        units.sort_by(|a, b| follows(&b.1).total_cmp(&follows(&a.1)));
        HeatMap {
            title: "Hidden state over time".to_owned(),
            subtitle: format!(
                "the test span · {} · units that rise with {} at the top, those that fall at the \
                 bottom",
                self.network, self.target
            ),
            x: self.axis(),
            x_range: (self.x(self.rows.start), self.x(self.rows.end - 1)),
            y_label: "hidden unit".to_owned(),
            row_names: units.iter().map(|(i, _)| i.to_string()).collect(),
            rows: units.into_iter().map(|(_, values)| values).collect(),
            value_label: "state".to_owned(),
        }
        .svg()
    }

    fn step_name(&self) -> &'static str {
        let step = self.table.dates.as_ref().and_then(|dates| Step::of(&dates.moments));
        step.and_then(Step::name).unwrap_or("row")
    }

    fn axis(&self) -> Axis {
        match &self.table.dates {
            Some(dates) => Axis { label: dates.name.clone(), kind: Kind::Moments },
            None => Axis { label: "row".to_owned(), kind: Kind::Counts },
        }
    }

    fn x(&self, row: usize) -> f64 {
        match &self.table.dates {
            Some(dates) => dates.moments[row].0 as f64,
            None => (row + 1) as f64,
        }
    }
}

/// The shortest digits that read back as the same number.
fn shortest(x: f64) -> String {
    let single = x as f32;
    if f64::from(single) == x { single.to_string() } else { x.to_string() }
}

/// Pearson's correlation; zero if either never changes.
fn correlation(xs: &[f64], ys: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(xs), mean(ys));
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        xs.iter().zip(ys).map(|(x, y)| f(x - mean_x, y - mean_y)).sum::<f64>()
    };
    let scale = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    if scale > 0.0 { sum(&|x, y| x * y) / scale } else { 0.0 }
}

/// `loss.svg`: the losses over the epochs, with the loss of repeating the last value.
pub fn loss_svg(losses: &[EpochLoss], best_epoch: usize, last_value: f64, network: &str) -> String {
    let line = |name: &str, stroke: Stroke, loss: &dyn Fn(&EpochLoss) -> f64| Series {
        name: name.to_owned(),
        points: losses.iter().enumerate().map(|(i, l)| ((i + 1) as f64, loss(l))).collect(),
        stroke,
    };
    LineChart {
        title: "Loss".to_owned(),
        subtitle: format!("{network} · mean squared error, in deviations of the target"),
        x: Axis { label: "epoch".to_owned(), kind: Kind::Counts },
        y_label: "loss".to_owned(),
        series: vec![
            line("train", Stroke::Strong, &|l| l.train),
            line("validation", Stroke::Strong, &|l| l.validation),
            line("validation of the last value", Stroke::Quiet, &|_| last_value),
        ],
        mark: Some(Mark { x: best_epoch as f64, label: format!("kept: epoch {best_epoch}") }),
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::baselines;
    use crate::data::{Limits, SEATTLE_WEATHER, Source, Wanted};

    fn outcome(mae: f64) -> Outcome {
        let named = |name: &str, mae| NamedScore {
            name: name.to_owned(),
            score: Score { mae, rmse: 1.5 * mae },
        };
        Outcome {
            target: "temp_max".to_owned(),
            inputs: vec!["temp_max".to_owned()],
            cell: "gru".to_owned(),
            title: "GRU".to_owned(),
            hidden: 32,
            layers: 1,
            window: 21,
            seed: 0,
            n_weights: 3_777,
            rows: PartSizes { all: 1461, train: 1001, validation: 219, test: 220 },
            epochs: 40,
            best_epoch: 20,
            stopped: Stopped::NoProgress,
            seconds: 12.0,
            test: TestScores {
                model: Score { mae, rmse: 1.5 * mae },
                baselines: vec![named("last value", 2.25), named("mean of the last 21", 3.125)],
            },
            out: "rondeau-out".to_owned(),
            files: vec!["weights.safetensors", "log.csv"],
        }
    }

    #[test]
    fn a_result_is_said_plainly() {
        insta::assert_snapshot!(outcome(1.8).text(), @r#"
        Error of the forecast of temp_max over the last 220 rows, which training never saw:

                                    MAE      RMSE
        GRU                        1.80      2.70
        last value                 2.25      3.38
        mean of the last 21        3.12      4.69

        The GRU is off by 20 % less than the best of the simple forecasts, "last value".

        rondeau-out: weights.safetensors, log.csv
        "#);
        insta::assert_snapshot!(outcome(2.5).text(), @r#"
        Error of the forecast of temp_max over the last 220 rows, which training never saw:

                                    MAE      RMSE
        GRU                        2.50      3.75
        last value                 2.25      3.38
        mean of the last 21        3.12      4.69

        The GRU is no better than "last value", so do not use it: try other --columns, a longer --window or more rows.

        rondeau-out: weights.safetensors, log.csv
        "#);
        insta::assert_snapshot!(serde_json::to_string(&outcome(1.8)).unwrap(), @r#"{"target":"temp_max","inputs":["temp_max"],"cell":"gru","hidden":32,"layers":1,"window":21,"seed":0,"n_weights":3777,"rows":{"all":1461,"train":1001,"validation":219,"test":220},"epochs":40,"best_epoch":20,"stopped":"no-progress","seconds":12.0,"test":{"model":{"mae":1.8,"rmse":2.7},"baselines":[{"name":"last value","mae":2.25,"rmse":3.375},{"name":"mean of the last 21","mae":3.125,"rmse":4.6875}]},"out":"rondeau-out","files":["weights.safetensors","log.csv"]}"#);
    }

    #[test]
    fn the_log() {
        let losses = [(0.5, 0.4), (0.3, 0.45), (0.2, 0.25)];
        let losses = losses.map(|(train, validation)| EpochLoss { train, validation });
        insta::assert_snapshot!(log_csv(&losses), @"
        epoch,train_loss,validation_loss,best
        1,0.5,0.4,1
        2,0.3,0.45,0
        3,0.2,0.25,1
        ");
    }

    #[test]
    fn correlations() {
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((correlation(&[1.0, 2.0, 3.0], &[6.0, 4.0, 2.0]) + 1.0).abs() < 1e-12);
        assert_eq!(correlation(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
    }

    #[test]
    fn the_files_of_a_test_span() {
        let source = Source { name: "weather".to_owned(), text: SEATTLE_WEATHER.as_bytes() };
        let wanted = Wanted { named: Vec::new(), others: true };
        let table = Table::read(source, &wanted, Limits::default()).unwrap();
        let target = &table.column("temp_max").unwrap().values;
        let rows = 1241..1461;
        let forecasts: Vec<f64> =
            rows.clone().map(|row| (target[row - 1] + target[row]) / 2.0).collect();
        let state = |row: usize, unit: usize| {
            ((row as f32 / (5.0 + unit as f32)).sin() * 0.2
                + (target[row - 1] as f32 / 20.0 - 1.0) * (unit as f32 / 8.0 - 1.0))
                .tanh()
        };
        let states: Vec<f32> =
            rows.clone().flat_map(|row| (0..16).map(move |unit| state(row, unit))).collect();
        let span = TestSpan {
            table: &table,
            target: "temp_max",
            rows: rows.clone(),
            truth: &target[rows.clone()],
            forecasts: &forecasts,
            baselines: &baselines(&table, target, 21, rows),
            states: &states,
            network: "GRU with 16 units",
        };
        let csv = String::from_utf8(span.csv().unwrap()).unwrap();
        assert_eq!(csv.lines().count(), 221);
        insta::assert_snapshot!(csv.lines().take(4).collect::<Vec<_>>().join("\n"), @"
        date,temp_max,forecast,last value,mean of the last 21,same day last year
        2015-05-26,21.7,18.65,15.6,18.980952380952385,18.3
        2015-05-27,24.4,23.05,21.7,19.32857142857143,20
        2015-05-28,27.8,26.1,24.4,19.695238095238096,18.9
        ");
        insta::assert_snapshot!("forecast", span.forecast_svg());
        insta::assert_snapshot!("hidden", span.hidden_svg());
        let loss = |i: usize| EpochLoss {
            train: 0.1 + 0.5 / (i + 1) as f64,
            validation: 0.12 + 0.4 / (i + 1) as f64 + 0.002 * i as f64,
        };
        let losses: Vec<EpochLoss> = (0..35).map(loss).collect();
        insta::assert_snapshot!("loss", loss_svg(&losses, 14, 0.16, "GRU with 16 units"));
    }
}
