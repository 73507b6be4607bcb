//! `rondeau export`: a trained forecaster in another form.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use rondeau::io::{atomic, npz, safetensors};

use crate::model::{Forecaster, Plan};
use crate::train::WEIGHTS;
use crate::weights;

const EXPORT_HELP: &str = "\
Source code and models have one step: they take the inputs of a row, normalised, and give the
normalised change of the target into the next row; start from a new state and feed a window of rows.
What is printed says the order of the inputs and their normalisation.

Examples:
  rondeau export rondeau-out --format c -o forecast.c         C99, no dependencies
  rondeau export rondeau-out --format rust -o forecast.rs     a module without std
  rondeau export rondeau-out --format onnx -o forecast.onnx   for ONNX Runtime";

/// What to export.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub struct Export {
    /// The directory that `rondeau train` wrote to.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// The form.
    #[arg(long, value_enum)]
    pub format: Format,

    /// Where the file goes.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: PathBuf,

    /// What names in the file begin with.
    #[arg(long, default_value = "forecast")]
    pub name: String,
}

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A module of Rust without std.
    Rust,
    /// A file of C99.
    C,
    /// An ONNX model.
    Onnx,
    /// The weights, in safetensors.
    Safetensors,
    /// The weights, for NumPy.
    Npz,
}

/// Writes the file, and prints what goes into the model.
///
/// # Errors
/// If the weights cannot be used or the file not be written.
pub fn run(args: &Export) -> Result<()> {
    let from = args.dir.join(WEIGHTS);
    let (card, stored) = weights::read(&from)?;
    let n_inputs = card.scaler.n_inputs();
    let plan = Plan { cell: card.cell, n_inputs, hidden: card.hidden, seed: card.seed };
    let network = Forecaster::load(&plan, &stored)
        .with_context(|| format!("cannot use the weights {}", from.display()))?;
    let model = || network.exported(&args.name);
    let bytes = match args.format {
        Format::Rust => model()?.rust()?.into_bytes(),
        Format::C => model()?.c()?.into_bytes(),
        Format::Onnx => model()?.onnx()?,
        Format::Safetensors => safetensors::encode(&network.weights()?)?,
        Format::Npz => npz::encode(&network.weights()?, npz::Packing::default())?,
    };
    atomic::write(&args.output, &bytes)
        .map_err(|error| anyhow!("{error}\nhelp: make room there, or write elsewhere (-o)"))?;
    let mut told = format!("{} bytes in {}\n", bytes.len(), args.output.display());
    let scale = |name: &str| card.scaler.columns.iter().find(|column| column.name == name);
    for (i, name) in card.scaler.input_names().iter().enumerate() {
        told += &match scale(name) {
            Some(s) => format!("x[{i}] = ({name} - {}) / {}\n", s.mean, s.deviation),
            None => format!("x[{i}] = {name}\n"),
        };
    }
    let target = card.scaler.target();
    told += &format!("next {0} = {0} + {1} * y[0]\n", target.name, target.deviation);
    crate::print(told.as_bytes())
}
