//! The weights file: arrays in the safetensors format, and with them a card of all that is needed to
//! use them again. Reading trusts nothing in the file.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use rondeau::error::ErrorKind;
use rondeau::io::{Record, safetensors};
use serde::{Deserialize, Serialize};

use crate::args::{MOST_HIDDEN, MOST_WINDOW};
use crate::cells::Cells;
use crate::data::{Scale, Scaler};
use crate::model::{Inputs, MOST_LAYERS, Model, Spec};

/// The layout of [`Card`] that this version writes.
const FORMAT: u32 = 2;
/// The key of the card among the file's texts.
const CARD_KEY: &str = "rondeau";
/// What the weights of a run are written to.
pub const WEIGHTS: &str = "weights.safetensors";

/// All that is needed beside the numbers to use a model again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The version of this layout.
    pub format: u32,
    /// The model.
    pub model: Spec,
    /// The epoch that the weights are from.
    pub epoch: usize,
    /// What it was trained for.
    pub task: Task,
}

/// What a model was trained for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Task {
    /// To forecast the next row.
    Series {
        /// How many rows a forecast looks back on.
        window: usize,
        /// The columns and their normalisation.
        scaler: Scaler,
    },
    /// To say the next character.
    Text {
        /// The characters, in the order of their numbers.
        symbols: String,
    },
    /// To name the class of a sequence.
    Labels {
        /// The classes, in the order of their numbers.
        classes: Vec<String>,
        /// The numbers of a step, and their normalisation.
        channels: Vec<Scale>,
        /// What is read off.
        pooling: Pooling,
    },
}

/// What a class is read off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean of the outputs over all steps.
    Mean,
    /// The output of the last step.
    Last,
}

impl Task {
    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Task::Series { .. } => "series",
            Task::Text { .. } => "text",
            Task::Labels { .. } => "labels",
        }
    }

    /// What such a model takes in, and how many numbers come out.
    fn shape(&self) -> (Inputs, usize) {
        match self {
            Task::Series { scaler, .. } => (Inputs::Numbers(scaler.n_inputs()), 1),
            Task::Text { symbols } => {
                let n = symbols.chars().count();
                (Inputs::Symbols(n), n)
            }
            Task::Labels { classes, channels, .. } => {
                (Inputs::Numbers(channels.len()), classes.len())
            }
        }
    }
}

impl Card {
    /// A card of the present format.
    pub fn new(model: Spec, epoch: usize, task: Task) -> Card {
        Card { format: FORMAT, model, epoch, task }
    }

    /// Whether a run can have written it.
    fn check(&self) -> Result<()> {
        let Spec { hidden, layers, inputs, outputs, .. } = self.model;
        let mut possible = (1..=MOST_HIDDEN).contains(&hidden)
            && (1..=MOST_LAYERS).contains(&layers)
            && (inputs, outputs) == self.task.shape()
            && outputs > 0;
        let scales = match &self.task {
            Task::Series { window, scaler } => {
                possible &= (1..=MOST_WINDOW).contains(window);
                possible &= scaler.target < scaler.columns.len();
                scaler.columns.as_slice()
            }
            Task::Text { .. } => &[],
            Task::Labels { channels, .. } => {
                possible &= !channels.is_empty();
                channels
            }
        };
        ensure!(possible, "its card has sizes or a target that no run has");
        ensure!(
            scales.iter().all(|scale| scale.mean.is_finite() && scale.deviation > 0.0),
            "its card has a normalisation that is not positive"
        );
        Ok(())
    }
}

/// The bytes of a weights file; equal input gives equal bytes.
///
/// # Errors
/// If an array carries a mistake.
pub fn encode(card: &Card, weights: Record) -> Result<Vec<u8>> {
    Ok(safetensors::encode(&weights.with_text(CARD_KEY, serde_json::to_string(card)?))?)
}

/// Reads a weights file.
///
/// # Errors
/// If it cannot be read, or is not what `rondeau train` writes.
pub fn read(path: &Path) -> Result<(Card, Record)> {
    let read = safetensors::read(path).map_err(|error| match error.kind() {
        ErrorKind::Io => {
            // Its first line says the path, as what is put before it does.
            let text = error.to_string();
            let why = text.lines().nth(1).map_or(text.as_str(), str::trim);
            anyhow!("{why}\nhelp: name a directory that `rondeau train` wrote to")
        }
        _ => error.into(),
    });
    read.and_then(with_card).with_context(|| format!("cannot use the weights {}", path.display()))
}

/// The model of a directory that `rondeau train` wrote to, and its card.
///
/// # Errors
/// As [`read`], and if the weights do not fit the card or the program does not have the cell.
pub fn load(cells: &Cells, dir: &Path) -> Result<(Card, Model)> {
    let path = dir.join(WEIGHTS);
    let (card, stored) = read(&path)?;
    let model = Model::load(cells, &card.model, &stored)
        .with_context(|| format!("cannot use the weights {}", path.display()))?;
    Ok((card, model))
}

/// The card in a file that has been read.
fn with_card(weights: Record) -> Result<(Card, Record)> {
    let card = weights.texts().get(CARD_KEY);
    let card = card.context("it was not written by `rondeau train`: it has no card")?;
    let Version { format } = serde_json::from_str(card).context("its card")?;
    ensure!(
        format == FORMAT,
        "its card has format {format}, and this version reads {FORMAT}: train again"
    );
    let card: Card = serde_json::from_str(card).context("its card")?;
    card.check()?;
    Ok((card, weights))
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondeau::Array;

    fn card() -> Card {
        let scale =
            |name: &str| Scale { name: name.to_owned(), mean: 0.1 + 0.2, deviation: 1.0 / 3.0 };
        let columns = vec![scale("wärme"), scale("wind")];
        let scaler = Scaler { columns, target: 1, calendar: true };
        let inputs = Inputs::Numbers(4);
        let (cell, seed) = ("gru".to_owned(), u64::MAX);
        let model = Spec { cell, hidden: 3, layers: 1, inputs, outputs: 1, seed };
        Card::new(model, 0, Task::Series { window: 21, scaler })
    }

    fn weights() -> Record {
        Record::of(&(Array::arange(6).reshape([2, 3]), Array::from(0.1_f32))).unwrap()
    }

    fn series(card: &mut Card) -> (&mut usize, &mut Scaler) {
        match &mut card.task {
            Task::Series { window, scaler } => (window, scaler),
            _ => unreachable!("it is the card of a series"),
        }
    }

    fn decode(bytes: &[u8]) -> Result<(Card, Record)> {
        with_card(safetensors::decode(bytes)?)
    }

    #[test]
    fn reading_is_the_inverse_of_writing() {
        let bytes = encode(&card(), weights()).unwrap();
        assert_eq!(bytes, encode(&card(), weights()).unwrap());
        let (read_card, read) = decode(&bytes).unwrap();
        assert_eq!(read_card, card());
        assert_eq!(read.get("1").unwrap().item::<f32>().unwrap(), 0.1);
        // The crate of that name agrees.
        let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("0").unwrap().shape(), [2, 3]);
    }

    #[test]
    fn no_flipped_bit_panics() {
        let bytes = encode(&card(), weights()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&flipped);
        }
    }

    #[test]
    fn cards_that_no_run_writes() {
        let with = |change: &dyn Fn(&mut Card)| {
            let mut card = card();
            change(&mut card);
            serde_json::to_string(&card).unwrap()
        };
        let cases = [
            ("not JSON", "{".to_owned()),
            ("format 1", r#"{"format":1}"#.to_owned()),
            ("unknown field", with(&|_| ()).replace("\"hidden\"", "\"x\":1,\"hidden\"")),
            ("hidden 0", with(&|card| card.model.hidden = 0)),
            ("layers 2^64 - 1", with(&|card| card.model.layers = usize::MAX)),
            ("inputs 5", with(&|card| card.model.inputs = Inputs::Numbers(5))),
            ("window 2^64 - 1", with(&|card| series(card).0.clone_from(&usize::MAX))),
            ("no target", with(&|card| series(card).1.target = 2)),
            ("deviation 0", with(&|card| series(card).1.columns[0].deviation = 0.0)),
            ("no symbols", with(&|card| card.task = Task::Text { symbols: String::new() })),
        ];
        let refused = |record| format!("{:#}", with_card(record).expect_err("the card is refused"));
        let mut told = format!("no card: {}", refused(weights()));
        for (name, card) in cases {
            told += &format!("\n{name}: {}", refused(weights().with_text(CARD_KEY, card)));
        }
        insta::assert_snapshot!(told, @"
        no card: it was not written by `rondeau train`: it has no card
        not JSON: its card: EOF while parsing an object at line 1 column 1
        format 1: its card has format 1, and this version reads 2: train again
        unknown field: its card: unknown field `x`, expected one of `cell`, `hidden`, `layers`, `inputs`, `outputs`, `seed` at line 1 column 37
        hidden 0: its card has sizes or a target that no run has
        layers 2^64 - 1: its card has sizes or a target that no run has
        inputs 5: its card has sizes or a target that no run has
        window 2^64 - 1: its card has sizes or a target that no run has
        no target: its card has sizes or a target that no run has
        deviation 0: its card has a normalisation that is not positive
        no symbols: its card has sizes or a target that no run has
        ");
    }
}
