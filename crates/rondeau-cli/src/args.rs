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
    /// Time the workloads by which recurrent libraries are compared, alone or beside them.
    Bench(Bench),
    /// Say what becomes of a workload: passes, kernels, memory, and who runs what.
    Explain(Explain),
    /// Write a trained forecaster as source code, as an ONNX model, or as arrays.
    Export(crate::export::Export),
    /// Read the weights of another framework's recurrent layer.
    Import(crate::import::Import),
}

const BENCH_HELP: &str = "\
w1 is a tutorial's size, w2 one streaming step, w3 long sequences, w4 batches, w5 gradients, w6 a
cell that no library has fused, w7 gradients of very long sequences (their memory above all), w8
other cells, and loop the recurrent loop alone. `w5` stands for all that begin with it. Each result
is one JSON line: the median of the calls, the stages of the compilation, memory, the least time
that this core can need (see --roofline), and the error against double precision.

With --compare, peers are timed too, in turn with rondeau: --rounds rounds share the budget, and the
medians of the rounds are compared. `of best` is the time over that of the fastest peer, so below 1
is faster. A peer is a command that prints one JSON line for each result, with at least
{\"workload\": \"w1\", \"median_us\": 2.5}, and \"variant\" if it has several ways. In the command, {w}
{T} {I} {H} {B} {threads} {budget} stand for those of the workload. The names in brackets say which
workloads it knows; words behind ` ; ` are added once its best {variant} is known. The variable
RONDEAU_PEERS names a directory with peers: its peers.txt if it has one, else the programs in it
whose names are known (Python programs by RONDEAU_PYTHON). Peers run on the processors that rondeau
may use, so pin it to one: taskset -c 0 rondeau bench. RONDEAU_EXECUTOR=interpreter|vm|native
chooses who runs rondeau's side.

Examples:
  rondeau bench                       all workloads but the loops alone
  rondeau bench w3a w5 --budget 3     one of them and all gradients, three seconds each
  rondeau bench w1 --check            its error against the primitives' own definitions (slow)
  rondeau bench --roofline            what this core can do, and what follows for each workload
  rondeau bench w3 --compare --peer 'onednn [w3 w5] = ./onednn_gru {w} {threads} {budget}'";

/// What to time.
#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub struct Bench {
    /// Names of workloads, or their beginnings; all but the loops alone if none is given.
    #[arg(value_name = "WORKLOAD")]
    pub workloads: Vec<String>,

    /// Seconds of repeated calls for each workload.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub budget: f64,

    /// Take the error against the primitives' own definitions in double precision, step by step,
    /// and not against compiled code in double precision (slow).
    #[arg(long)]
    pub check: bool,

    /// Time the peers too, and print a table.
    #[arg(long)]
    pub compare: bool,

    /// A peer: `NAME [WORKLOADS] = COMMAND`.
    #[arg(long, value_name = "PEER", requires = "compare")]
    pub peer: Vec<String>,

    /// A file of peers, one a line; `{dir}` is its directory.
    #[arg(long, value_name = "FILE", requires = "compare")]
    pub peers: Option<PathBuf>,

    /// How often rondeau and the peers take turns.
    #[arg(long, default_value_t = 3, value_parser = between(1, 1000), requires = "compare")]
    pub rounds: usize,

    /// The most seconds of one run of a peer.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "compare")]
    pub peer_limit: u64,

    /// With --compare: one JSON line a workload and not a table.
    #[arg(long, requires = "compare")]
    pub json: bool,

    /// Instead of timing, measure what this core can do at best, and say what follows.
    #[arg(long, conflicts_with = "compare")]
    pub roofline: bool,
}

const EXPLAIN_HELP: &str = "\
Tells the equations after each pass, what the passes did to loops and products, the estimated cost,
what is kept between loops, working memory, the kernels, what runs as machine code, and the least
time that this core can need. `rondeau::explain` tells the same of any function.

Examples:
  rondeau explain w5a                 the gradient of a batch
  rondeau explain w3a --pass hoist    the program after the pass `hoist`
  rondeau explain w1 --pass trace     the program as it was traced";

/// What to explain.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub struct Explain {
    /// Names of workloads of `bench`, or their beginnings.
    #[arg(value_name = "WORKLOAD", required = true)]
    pub workloads: Vec<String>,

    /// Print the program after the last pass of this name; `trace` is the program before all.
    #[arg(long, value_name = "NAME")]
    pub pass: Option<String>,
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
