//! `rondeau import`: the weights of another framework, as a cell's.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use rondeau::io::{Record, atomic, npz, safetensors};
use rondeau::nn::import::{self, Framework, Imported, Kind};

const IMPORT_HELP: &str = "\
Reads .npz archives and safetensors, by the names that the framework gives to its weights, and
writes them by the paths of rondeau's cell (update.w and so on), which Record::fill and
safetensors::load put into it. Of several layers or directions, names begin with a number.

Examples:
  rondeau import gru.safetensors --from torch --cell gru -o cell.safetensors
  rondeau import params.npz --from keras --cell lstm --prefix lstm/ -o cell.npz";

/// What to import.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_HELP)]
pub struct Import {
    /// A file of weights, .npz or safetensors.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The framework that they are from.
    #[arg(long, value_enum)]
    pub from: From,

    /// The layer.
    #[arg(long, value_enum)]
    pub cell: Cell,

    /// What the names of the layer begin with.
    #[arg(long, default_value = "")]
    pub prefix: String,

    /// Where the cell goes: an .npz archive if it is named so, else safetensors.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: PathBuf,
}

/// The frameworks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum From {
    Torch,
    Flax,
    Haiku,
    Equinox,
    Keras,
    Onnx,
}

/// The layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cell {
    /// A plain recurrent layer.
    Rnn,
    /// A gated recurrent unit.
    Gru,
    /// ONNX's GRU with linear_before_reset=1.
    GruResetAfter,
    /// Long short-term memory.
    Lstm,
}

/// Writes the cell.
///
/// # Errors
/// If the file cannot be read, does not fit, or the result not be written.
pub fn run(args: &Import) -> Result<()> {
    let framework = match args.from {
        From::Torch => Framework::Torch,
        From::Flax => Framework::Flax,
        From::Haiku => Framework::Haiku,
        From::Equinox => Framework::Equinox,
        From::Keras => Framework::Keras,
        From::Onnx => Framework::Onnx,
    };
    let kind = match args.cell {
        Cell::Rnn => Kind::Rnn,
        Cell::Gru => Kind::Gru,
        Cell::GruResetAfter => Kind::GruResetAfter,
        Cell::Lstm => Kind::Lstm,
    };
    let cells = framework.cells(kind, &import::read(&args.file)?, &args.prefix)?;
    let mut record = Record::new();
    for (i, cell) in cells.iter().enumerate() {
        let (own, name) = match cell {
            Imported::Rnn(cell) => (Record::of(cell)?, "Rnn"),
            Imported::Gru(cell) => (Record::of(cell)?, "Gru"),
            Imported::GruResetAfter(cell) => (Record::of(cell)?, "GruResetAfter"),
            Imported::Lstm(cell) => (Record::of(cell)?, "Lstm"),
        };
        for (path, array) in own.arrays() {
            let one = cells.len() == 1;
            record.insert(if one { path.clone() } else { format!("{i}.{path}") }, array.clone())?;
        }
        record = record.with_text("cell", name);
    }
    let bytes = match args.output.extension().is_some_and(|end| end == "npz") {
        true => npz::encode(&record, npz::Packing::default())?,
        false => safetensors::encode(&record)?,
    };
    atomic::write(&args.output, &bytes)
        .map_err(|error| anyhow!("{error}\nhelp: make room there, or write elsewhere (-o)"))?;
    let each = record.arrays().iter();
    let lines = each.map(|(name, array)| Ok(format!("{name} {}\n", array.aval()?)));
    crate::print(lines.collect::<Result<String>>()?.as_bytes())
}
