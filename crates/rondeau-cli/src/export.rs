//! `rondeau export`: a trained forecaster in another form.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use rondeau::io::{Record, atomic, npz, safetensors};
use rondeau::nn::Cell as _;
use rondeau::{Array, DType, export};

use crate::cells::Cells;
use crate::data::Scale;
use crate::model::{Carry, Inputs, Model};
use crate::weights::{Task, load};

const EXPORT_HELP: &str = "\
Source code and models have one step: they take one input (the normalised numbers of a row or a
step, or the number of a character) and give what is read off. Start from a new state; a forecaster
is fed a window of rows. What is printed says the order of the inputs and their normalisation.

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
pub fn run(cells: &Cells, args: &Export) -> Result<()> {
    let (card, model) = load(cells, &args.dir)?;
    let x = match card.model.inputs {
        Inputs::Numbers(n) => Array::zeros([n]),
        Inputs::Symbols(_) => Array::zeros(()).to(DType::I32),
    };
    let step = |model: &Model, carry: &Carry, x: &Array| model.step(carry, x);
    let exported = || -> Result<export::Model> {
        Ok(export::Model::new(step, &model, &model.initial_carry(), &x)?.name(&args.name))
    };
    let bytes = match args.format {
        Format::Rust => exported()?.rust()?.into_bytes(),
        Format::C => exported()?.c()?.into_bytes(),
        Format::Onnx => exported()?.onnx()?,
        Format::Safetensors => safetensors::encode(&Record::of(&model)?)?,
        Format::Npz => npz::encode(&Record::of(&model)?, npz::Packing::default())?,
    };
    atomic::write(&args.output, &bytes)
        .map_err(|error| anyhow!("{error}\nhelp: make room there, or write elsewhere (-o)"))?;
    let told =
        format!("{} bytes in {}\n{}", bytes.len(), args.output.display(), meaning(&card.task));
    crate::print(told.as_bytes())
}

/// What goes in and comes out, one line each.
fn meaning(task: &Task) -> String {
    let scaled = |i: usize, s: &Scale| {
        let sign = if s.mean < 0.0 { '+' } else { '-' };
        format!("x[{i}] = ({} {sign} {}) / {}\n", s.name, s.mean.abs(), s.deviation)
    };
    match task {
        Task::Series { scaler, .. } => {
            let scale = |name: &str| scaler.columns.iter().find(|column| column.name == name);
            let mut told = String::new();
            for (i, name) in scaler.input_names().iter().enumerate() {
                told += &scale(name).map_or_else(|| format!("x[{i}] = {name}\n"), |s| scaled(i, s));
            }
            let target = scaler.target();
            told + &format!("next {0} = {0} + {1} * y[0]\n", target.name, target.deviation)
        }
        Task::Text { symbols } => {
            format!(
                "x = the number of a character in {symbols:?}\ny = how likely each is next, before softmax\n"
            )
        }
        Task::Labels { classes, channels, .. } => {
            let told: String = channels.iter().enumerate().map(|(i, s)| scaled(i, s)).collect();
            let classes = classes.join(", ");
            told + &format!("y = how likely each of {classes} is, before pooling and softmax\n")
        }
    }
}
