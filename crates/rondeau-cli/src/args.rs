//! The command line.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// The longest window.
pub const MOST_WINDOW: usize = 10_000;
/// The largest hidden state.
pub const MOST_HIDDEN: usize = 2_048;

/// Train recurrent models, and predict with them.
#[derive(Debug, Parser)]
#[command(name = "rondeau", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Results go to standard output, everything else to standard error.
The exit code is 0 if all went well, 1 if it did not, 2 if the command line is not understood.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a forecaster on a CSV file, or on the weather that comes with the command.
    Train(Train),
    /// Forecast the rows of a CSV file, and the one after its last, with trained weights.
    Predict(Predict),
    /// Time the workloads by which recurrent libraries are compared; one JSON line a result.
    Bench(Bench),
}

const BENCH_HELP: &str = "\
w1 is a tutorial's size, w2 one streaming step, w3 long sequences, w4 batches, w5 gradients, w6 a
cell that no library has fused, forward and gradient. RONDEAU_EXECUTOR=interpreter|vm|native
chooses who runs them. Pin the process to one processor to compare: taskset -c 0 rondeau bench.

Examples:
  rondeau bench                       all workloads
  rondeau bench w3a w5a --budget 3    two of them, three seconds each
  rondeau bench w1 --check            also the error against double precision";

/// What to time.
#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub struct Bench {
    /// Names of workloads; all if none is given.
    #[arg(value_name = "WORKLOAD")]
    pub workloads: Vec<String>,

    /// Seconds of repeated calls for each workload.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub budget: f64,

    /// Compare the results with those of the interpreter in double precision (slow).
    #[arg(long)]
    pub check: bool,

    /// Instead of timing, say what becomes of each: passes, kernels, memory, who runs what.
    #[arg(long)]
    pub explain: bool,
}

const TRAIN_HELP: &str = "\
Each row is forecast from the rows before it. The rows are split by time: the first 70 % train,
the next 15 % decide when to stop, the last 15 % test. A column of dates such as 2012-01-31 names
the rows, and gives the season to the network if the training rows span a year.

Into the directory go weights.safetensors (all that `rondeau predict` needs), log.csv (the losses),
test.csv (the forecasts of the test span), loss.svg, forecast.svg and hidden.svg. The same file,
options and seed give the same bytes. Ctrl-C stops after the epoch and saves the best weights.

Examples:
  rondeau train                                       the weather of Seattle, tomorrow's maximum
  rondeau train --target wind --cell lstm             its wind, by an LSTM
  rondeau train sales.csv --target sold --window 28   any CSV file of numbers
  rondeau train sales.csv --target sold --columns price,visits --out runs/a --seed 7
  rondeau train --quiet --json | jq .test.model.mae   the error alone, for a script";

/// How to train.
#[derive(Debug, Args)]
#[command(after_help = TRAIN_HELP)]
pub struct Train {
    /// A CSV file with a header, oldest row first; `-` reads standard input.
    #[arg(value_name = "FILE.csv", requires = "target")]
    pub file: Option<PathBuf>,

    /// The column to forecast.
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,

    /// The columns to forecast from, beside the target's own past: all columns of numbers.
    #[arg(long, value_name = "A,B,..", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,

    /// How many rows a forecast looks back on.
    #[arg(long, value_name = "ROWS", default_value_t = 21, value_parser = between(1, MOST_WINDOW))]
    pub window: usize,

    /// How many units the hidden state has.
    #[arg(long, value_name = "UNITS", default_value_t = 32, value_parser = between(1, MOST_HIDDEN))]
    pub hidden: usize,

    /// The recurrent cell.
    #[arg(long, value_enum, default_value_t = CellKind::Gru)]
    pub cell: CellKind,

    /// The most passes over the training rows.
    #[arg(long, default_value_t = 200, value_parser = between(1, 1_000_000))]
    pub epochs: usize,

    /// Stop after so many epochs without a better validation loss.
    #[arg(long, value_name = "EPOCHS", default_value_t = 20, value_parser = between(1, 1_000_000))]
    pub patience: usize,

    /// How many windows a step of the optimizer sees.
    #[arg(long, value_name = "WINDOWS", default_value_t = 32, value_parser = between(1, 65_536))]
    pub batch: usize,

    /// The step size of Adam.
    #[arg(long, value_name = "RATE", default_value_t = 0.003, value_parser = rate)]
    pub learning_rate: f64,

    /// The seed of the first weights and of the order of the windows.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Do not let the network know the day of the year.
    #[arg(long)]
    pub no_calendar: bool,

    /// Where the files go; those of an earlier run are replaced at the end.
    #[arg(long, value_name = "DIR", default_value = "rondeau-out")]
    pub out: PathBuf,

    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,

    /// Say nothing but the result and errors.
    #[arg(long, short)]
    pub quiet: bool,
}

const PREDICT_HELP: &str = "\
Prints a CSV of two columns: the row, by its date if the file has dates and else by its number,
and its forecast from the rows before it, in the target's own units. The last line forecasts the
row that the file does not have yet.

Examples:
  rondeau predict rondeau-out weather.csv             a forecast of every row
  rondeau predict rondeau-out weather.csv | tail -1   only tomorrow's
  tail -30 log.csv | cat header.csv - | rondeau predict runs/a -";

/// How to predict.
#[derive(Debug, Args)]
#[command(after_help = PREDICT_HELP)]
pub struct Predict {
    /// The directory that `rondeau train` wrote to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// A CSV file with the columns that the model was trained with; `-` reads standard input.
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,

    /// Say nothing but the forecasts and errors.
    #[arg(long, short)]
    pub quiet: bool,
}

/// The recurrent cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// A gated recurrent unit, its reset gate applied before the product.
    Gru,
    /// Long short-term memory.
    Lstm,
    /// A plain recurrent layer with tanh.
    Rnn,
}

impl CellKind {
    /// Its name as people write it.
    pub fn title(self) -> &'static str {
        match self {
            CellKind::Gru => "GRU",
            CellKind::Lstm => "LSTM",
            CellKind::Rnn => "RNN",
        }
    }
}

/// A whole number from `least` to `most`.
fn between(least: usize, most: usize) -> ValueParser {
    ValueParser::new(move |text: &str| match text.parse::<usize>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("a whole number from {least} to {most} is needed")),
    })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err("a number above 0, at most 1 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
