//! The command line.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::cells::{Cells, is_file};
use crate::model::MOST_LAYERS;
use crate::weights::Pooling;

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
    /// Train a model: a forecaster of a series, a writer of text, or a classifier of sequences.
    Train(Train),
    /// Apply trained weights to a file: forecasts, classes, or bits a character.
    Predict(Predict),
    /// Write text with a model of text.
    Generate(Generate),
    /// Answer each line of standard input as it comes.
    Stream(Stream),
    /// Tell the parameters of a model, and what one step costs.
    Summary(Summary),
    /// Print the program of a model, as traced or after any pass.
    Program(Program),
    /// Check the gradients of cells against differences, the interpreter and streaming.
    Check(Check),
    /// Draw the losses of a run, and states, gates and gradients over time.
    Plot(Plot),
    /// Tell what this machine offers, and see that all executors agree on it.
    Doctor(Doctor),
    /// Time the workloads by which recurrent libraries are compared, alone or beside them.
    Bench(Bench),
    /// Say what becomes of a workload: passes, kernels, memory, and who runs what.
    Explain(Explain),
    /// Write a trained forecaster as source code, as an ONNX model, or as arrays.
    Export(crate::export::Export),
    /// Read the weights of another framework's recurrent layer.
    Import(crate::import::Import),
    /// Print the completions of a shell.
    Completions(Completions),
    /// Print the manual, or write a page for each command.
    Man(Man),
}

const BENCH_HELP: &str = "\
w1 is a tutorial's size, w2 one streaming step, w3 long sequences, w4 batches, w5 gradients, w6 a
cell that no library has fused, w7 gradients of very long sequences (their memory above all), w8
other cells, w9 each cell of the library (w9f_ the outputs of a sequence, w9g_ the gradient of a
batch, with the name that --cell has), and loop the recurrent loop alone. `w5` stands for all that
begin with it, and a whole name for itself; w9 and loop run only if they are named. Each result
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
  rondeau bench                       all workloads but w9 and the loops alone
  rondeau bench w9g                   the gradients of all cells of the library
  rondeau bench w3a w5 --budget 3     one of them and all gradients, three seconds each
  rondeau bench w1 --check            its error against the primitives' own definitions (slow)
  rondeau bench --roofline            what this core can do, and what follows for each workload
  rondeau bench w3 --compare --peer 'onednn [w3 w5] = ./onednn_gru {w} {threads} {budget}'";

/// What to time.
#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub struct Bench {
    /// Names of workloads, or their beginnings; all but w9 and the loops alone if none is given.
    #[arg(value_name = "WORKLOAD")]
    pub workloads: Vec<String>,

    /// Seconds of repeated calls for each workload.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = up_to(3600.0))]
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

    /// Instead of timing calls, time the stages of the first compilation, pass by pass, and of a
    /// second one. With several workloads, only the first is compiled by a process that has
    /// compiled nothing before.
    #[arg(long, conflicts_with_all = ["compare", "roofline"])]
    pub explain: bool,
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
Without a task, `rondeau train` is `rondeau train series`, which needs no file.

All tasks write weights.safetensors to the directory, which is all that the other commands need, and
checkpoints/, from which --resume goes on with the same bits as if the run had not ended. Ctrl-C
stops and saves; a second one stops at once. --config names a TOML file of options, such as
`hidden = 64`; options of the command line come before it. RONDEAU_THREADS says how many threads
share a batch, without changing the bits.";

/// How to train.
#[derive(Debug, Args)]
#[command(after_help = TRAIN_HELP, arg_required_else_help = true)]
pub struct Train {
    /// What to train.
    #[command(subcommand)]
    pub task: TrainTask,
}

/// What to train.
#[derive(Debug, Subcommand)]
pub enum TrainTask {
    /// A forecaster of the next row of a CSV file, or of the weather that comes with the command.
    Series(Series),
    /// A model of the characters of a text.
    Text(Text),
    /// A classifier of sequences.
    Labels(Labels),
}

/// What all tasks have.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The recurrent cell.
    #[arg(long, value_name = "CELL", default_value = "gru")]
    pub cell: String,

    /// How many units each layer has.
    #[arg(long, value_name = "UNITS", default_value_t = 32, value_parser = between(1, MOST_HIDDEN))]
    pub hidden: usize,

    /// How many recurrent layers there are.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = between(1, MOST_LAYERS))]
    pub layers: usize,

    /// The most passes over the training data.
    #[arg(long, default_value_t = 200, value_parser = between(1, 1_000_000))]
    pub epochs: usize,

    /// How many sequences a step of the optimizer sees.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = between(1, 65_536))]
    pub batch: usize,

    /// The step size of Adam.
    #[arg(long, value_name = "RATE", default_value_t = 0.003, value_parser = rate)]
    pub learning_rate: f64,

    /// The seed of the first weights and of the order of the examples.
    #[arg(long, default_value_t = 0, value_parser = seed)]
    pub seed: u64,

    /// Where the files go; those of an earlier run are replaced.
    #[arg(long, value_name = "DIR", default_value = "rondeau-out")]
    pub out: PathBuf,

    /// Go on from the newest checkpoint in the directory, if there is one.
    #[arg(long)]
    pub resume: bool,

    /// Save a checkpoint after so many steps of the optimizer, and not only about each 20th part of
    /// the run and at its end.
    #[arg(long, value_name = "STEPS", value_parser = between(1, 1_000_000_000))]
    pub checkpoint_every: Option<usize>,

    /// Write the losses for TensorBoard too, to DIR/events.
    #[arg(long)]
    pub tensorboard: bool,

    /// A TOML file of options by their long names; those of the command line come before it.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,

    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,

    /// Say nothing but the result and errors.
    #[arg(long, short)]
    pub quiet: bool,
}

const SERIES_HELP: &str = "\
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

/// How to train a forecaster.
#[derive(Debug, Args)]
#[command(after_help = SERIES_HELP)]
pub struct Series {
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

    /// Stop after so many epochs without a better validation loss.
    #[arg(long, value_name = "EPOCHS", default_value_t = 20, value_parser = between(1, 1_000_000))]
    pub patience: usize,

    /// Do not let the network know the day of the year.
    #[arg(long)]
    pub no_calendar: bool,

    /// What all tasks have.
    #[command(flatten)]
    pub common: Common,
}

const TEXT_HELP: &str = "\
The text is read as characters. The last tenth is for the end, and the first twentieth for
choosing. The rest is cut into as many streams as a batch has sequences; a step of the optimizer sees
the next characters of each, and begins with the carry that the step before ended with. The learning
rate rises over the first hundredth of the run and falls to zero by a cosine. The weights that are
kept are those of the epoch that says the twentieth in the fewest bits a character; the result is how
many bits they take for the tenth, which is judged only once.

Into the directory go weights.safetensors, log.csv and loss.svg (both in bits a character).

Examples:
  rondeau train text shakespeare.txt                  a GRU of 256 units
  rondeau train text shakespeare.txt --cell lstm --layers 2 --epochs 20 --out runs/s
  rondeau generate rondeau-out --prompt 'KING:'       and what it has learned";

/// How to train a model of text.
#[derive(Debug, Args)]
#[command(after_help = TEXT_HELP)]
pub struct Text {
    /// A text in UTF-8; `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// How many characters gradients go back.
    #[arg(long, value_name = "CHARACTERS", default_value_t = 64, value_parser = between(1, MOST_WINDOW))]
    pub length: usize,

    /// What all tasks have.
    #[command(flatten)]
    pub common: Common,
}

const LABELS_HELP: &str = "\
A file is in the .ts format of the UEA and UCR archives, or CSV: a row for each step, a column
`sequence` that is equal for the rows of a sequence, a column `label`, and columns of numbers.
Sequences may differ in length. Columns are normalised by the training file. The learning rate falls
to zero by a cosine; the weights are a running mean over the last steps of the whole run, and nothing
is chosen by the test.

Into the directory go weights.safetensors, log.csv, loss.svg and, with --test, test.csv (what is said
of each sequence).

Examples:
  rondeau train labels JapaneseVowels_TRAIN.ts --test JapaneseVowels_TEST.ts
  rondeau train labels gestures.csv --hold-out 20 --cell lstm --pooling last";

/// How to train a classifier.
#[derive(Debug, Args)]
#[command(after_help = LABELS_HELP)]
pub struct Labels {
    /// The labelled sequences to train on.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Labelled sequences that training never sees, to test on.
    #[arg(long, value_name = "FILE", conflicts_with = "hold_out")]
    pub test: Option<PathBuf>,

    /// Hold out so many percent of each class, to test on.
    #[arg(long, value_name = "PERCENT", value_parser = between(1, 90))]
    pub hold_out: Option<usize>,

    /// What the class is read off.
    #[arg(long, value_enum, default_value_t = Pooling::Mean)]
    pub pooling: Pooling,

    /// Add normal noise of so many deviations to what goes in while training, so that examples are
    /// not learned by heart.
    #[arg(long, value_name = "DEVIATIONS", default_value_t = 0.2, value_parser = up_to(10.0))]
    pub noise: f64,

    /// What all tasks have.
    #[command(flatten)]
    pub common: Common,
}

const PREDICT_HELP: &str = "\
Of a series: a CSV of two columns, the row, by its date if the file has dates and else by its number,
and its forecast from the rows before it, in the target's own units. The last line forecasts the row
that the file does not have yet. Of sequences: the class of each, and its probability. Of a text: how
many bits a character it takes.

Examples:
  rondeau predict rondeau-out weather.csv             a forecast of every row
  rondeau predict rondeau-out weather.csv | tail -1   only tomorrow's
  tail -30 log.csv | cat header.csv - | rondeau predict runs/a -
  rondeau predict runs/vowels JapaneseVowels_TEST.ts";

/// How to predict.
#[derive(Debug, Args)]
#[command(after_help = PREDICT_HELP)]
pub struct Predict {
    /// The directory that `rondeau train` wrote to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// A file of the kind that the model was trained with; `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// One JSON object a line and not CSV.
    #[arg(long)]
    pub json: bool,

    /// Say nothing but the result and errors.
    #[arg(long, short)]
    pub quiet: bool,
}

/// How to write text.
#[derive(Debug, Args)]
pub struct Generate {
    /// The directory that `rondeau train text` wrote to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// What the text begins with; it is printed too.
    #[arg(long, value_name = "TEXT", default_value = "\n")]
    pub prompt: String,

    /// How many characters to add.
    #[arg(long, value_name = "CHARACTERS", default_value_t = 500, value_parser = between(0, 100_000_000))]
    pub length: usize,

    /// How far to stray: 0 takes the likeliest character always, 1 what the model says.
    #[arg(long, value_name = "T", default_value_t = 0.8, value_parser = up_to(100.0))]
    pub temperature: f64,

    /// The seed of the choices.
    #[arg(long, default_value_t = 0, value_parser = seed)]
    pub seed: u64,
}

const STREAM_HELP: &str = "\
The carry stays from line to line, and each answer is there before the next line is read.
Of a series: CSV with a header; after each row, the forecast of the next, from as many rows as the
model looks back on. Of sequences: CSV without a header, a row of numbers for each step; the class so
far. An empty line begins a new sequence. Of a text: the bits a character that each line took, and
what is likeliest next.

Examples:
  tail -F weather.csv | rondeau stream rondeau-out
  ./sensor | rondeau stream runs/gestures --json";

/// How to answer lines.
#[derive(Debug, Args)]
#[command(after_help = STREAM_HELP)]
pub struct Stream {
    /// The directory that `rondeau train` wrote to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// One JSON object a line and not CSV.
    #[arg(long)]
    pub json: bool,
}

/// A trained model, or a cell with random weights.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// The directory that `rondeau train` wrote to; without it, a cell with random weights.
    #[arg(value_name = "DIR", conflicts_with_all = ["cell", "inputs", "hidden", "layers"])]
    pub dir: Option<PathBuf>,

    /// The recurrent cell.
    #[arg(long, value_name = "CELL", default_value = "gru")]
    pub cell: String,

    /// How many numbers go in at each step.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = between(1, MOST_HIDDEN))]
    pub inputs: usize,

    /// How many units each layer has.
    #[arg(long, value_name = "UNITS", default_value_t = 32, value_parser = between(1, MOST_HIDDEN))]
    pub hidden: usize,

    /// How many recurrent layers there are.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = between(1, MOST_LAYERS))]
    pub layers: usize,
}

/// What to sum up.
#[derive(Debug, Args)]
pub struct Summary {
    /// The model.
    #[command(flatten)]
    pub which: Which,

    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

const PROGRAM_HELP: &str = "\
Examples:
  rondeau program --cell mgu                             one step, as it was traced
  rondeau program rondeau-out --of gradient --pass dce   the gradient of a run's model, optimized";

/// Which program to print.
#[derive(Debug, Args)]
#[command(after_help = PROGRAM_HELP)]
pub struct Program {
    /// The model.
    #[command(flatten)]
    pub which: Which,

    /// What of the model.
    #[arg(long, value_enum, default_value_t = Part::Step)]
    pub of: Part,

    /// The steps of a sequence.
    #[arg(long, value_name = "STEPS", default_value_t = 10, value_parser = between(1, 1_000_000))]
    pub steps: usize,

    /// The program after the last pass of this name; `trace` is the program before all.
    #[arg(long, value_name = "NAME", default_value = "trace")]
    pub pass: String,

    /// Print the text, the equations of each pass and the estimated cost as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A function of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// One step.
    Step,
    /// A sequence.
    Sequence,
    /// The gradient, by all parameters, of the sum of the squares that a sequence gives.
    Gradient,
}

const CHECK_HELP: &str = "\
In double precision, with small random weights and inputs: the gradient of a weighted sum of all
outputs against central differences along random directions; the compiled gradient and outputs
against the interpreter's; a stream of single steps against the whole sequence; a batch against its
sequences one by one. `kink` behind a cell says that differences met one, as of relu: there they are
taken closer, or from both sides, and a gradient that is one of those between is right. The exit code
is 1 if one is further off than it may be.

Examples:
  rondeau check gru lstm              two cells of the library
  rondeau check my.cell --seed 3      a file of equations, with other weights and inputs";

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub struct Check {
    /// The cells; all if none is named.
    #[arg(value_name = "CELL")]
    pub cells: Vec<String>,

    /// The seed of weights, inputs and directions.
    #[arg(long, default_value_t = 0, value_parser = seed)]
    pub seed: u64,

    /// One JSON object a cell and not a table.
    #[arg(long)]
    pub json: bool,
}

const PLOT_HELP: &str = "\
Writes into the directory of the run: loss.svg, if there is a log.csv; and for a sequence, from FILE
or else a random one, hidden.svg (the last layer's output), gates.svg (how many of the sigmoids of the
step are nearly 0 or 1) and gradient.svg (how strongly the last output depends on the carry at each
step).";

/// What to draw.
#[derive(Debug, Args)]
#[command(after_help = PLOT_HELP)]
pub struct Plot {
    /// The directory that `rondeau train` wrote to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// A file of the kind that the model was trained with; its first sequence is drawn.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The most steps that are drawn.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = between(1, 100_000))]
    pub steps: usize,

    /// Print the names of the files as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to look after.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Whose completions to print.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// The manual.
#[derive(Debug, Args)]
pub struct Man {
    /// Write a page for each command into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The command line, with the cells that there are.
pub fn command(cells: &Cells) -> clap::Command {
    let names: Vec<&'static str> = cells.names().collect();
    let default = names[0];
    let with_cells = move |command: clap::Command| {
        let parser = CellParser { names: PossibleValuesParser::new(names.clone()) };
        command.mut_arg("cell", |arg| {
            arg.value_parser(parser).hide_possible_values(true).default_value(default).help(
                format!(
                    "The recurrent cell: {}, or a file of equations (my.cell)",
                    names.join(", ")
                ),
            )
        })
    };
    let with = |command: clap::Command, defaults: &[(&'static str, &'static str)]| {
        defaults.iter().fold(with_cells(command), |command, &(name, value)| {
            command.mut_arg(name, |arg| arg.default_value(value))
        })
    };
    let text: &[(&str, &str)] =
        &[("hidden", "256"), ("epochs", "12"), ("batch", "32"), ("learning_rate", "0.004")];
    let labels: &[(&str, &str)] = &[("hidden", "128"), ("epochs", "60"), ("batch", "16")];
    let train = |command: clap::Command| {
        command
            .mut_subcommand("series", |command| with(command, &[]))
            .mut_subcommand("text", |command| with(command, text))
            .mut_subcommand("labels", |command| with(command, labels))
    };
    let command = Cli::command()
        .mut_subcommand("train", train)
        .mut_subcommand("summary", |command| with(command, &[]))
        .mut_subcommand("program", |command| with(command, &[]));
    with_negatives(command)
}

/// Options take what begins with a minus and a digit as their value, so that it is said what value
/// they need, and not that there is no such option.
fn with_negatives(command: clap::Command) -> clap::Command {
    command.mut_subcommands(with_negatives).mut_args(|arg| {
        let is_option = arg.get_long().is_some() && arg.get_action().takes_values();
        arg.allow_negative_numbers(is_option)
    })
}

/// Names of cells, and files of equations.
#[derive(Clone)]
struct CellParser {
    names: PossibleValuesParser,
}

impl TypedValueParser for CellParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        match value.to_str().filter(|name| is_file(name)) {
            Some(name) => Ok(name.to_owned()),
            None => self.names.parse_ref(command, arg, value),
        }
    }

    fn possible_values(
        &self,
    ) -> Option<Box<dyn Iterator<Item = clap::builder::PossibleValue> + '_>> {
        self.names.possible_values()
    }
}

/// A whole number from `least` to `most`.
fn between(least: usize, most: usize) -> ValueParser {
    ValueParser::new(move |text: &str| match text.parse::<usize>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("a whole number from {least} to {most} is needed")),
    })
}

/// A number from 0 to `most`.
fn up_to(most: f64) -> ValueParser {
    ValueParser::new(move |text: &str| match text.parse::<f64>() {
        Ok(x) if (0.0..=most).contains(&x) => Ok(x),
        _ => Err(format!("a number from 0 to {most} is needed")),
    })
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {} is needed", u64::MAX))
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

    #[test]
    fn the_definition_is_sound() {
        command(&Cells::of_the_library()).debug_assert();
    }
}
