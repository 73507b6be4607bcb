//! The weights file: arrays in the safetensors format, and with them a card of all that is needed to
//! use them again. Reading trusts nothing in the file.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use rondeau::error::ErrorKind;
use rondeau::io::{Record, safetensors};
use serde::{Deserialize, Serialize};

use crate::args::{CellKind, MOST_HIDDEN, MOST_WINDOW};
use crate::data::Scaler;

/// The layout of [`Card`] that this version writes.
const FORMAT: u32 = 1;
/// The key of the card among the file's texts.
const CARD_KEY: &str = "rondeau";

/// All that is needed beside the numbers to predict again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The version of this layout.
    pub format: u32,
    /// The recurrent cell.
    pub cell: CellKind,
    /// Its units.
    pub hidden: usize,
    /// How many rows a forecast looks back on.
    pub window: usize,
    /// The seed of the run.
    pub seed: u64,
    /// The epoch that the weights are from.
    pub epoch: usize,
    /// The columns and their normalisation.
    pub scaler: Scaler,
}

impl Card {
    /// A card of the present format.
    pub fn new(cell: CellKind, hidden: usize, window: usize, seed: u64, scaler: Scaler) -> Card {
        Card { format: FORMAT, cell, hidden, window, seed, epoch: 0, scaler }
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
        ErrorKind::Io => anyhow!("{error}\nhelp: name a directory that `rondeau train` wrote to"),
        _ => error.into(),
    });
    read.and_then(with_card).with_context(|| format!("cannot use the weights {}", path.display()))
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
    let possible = (1..=MOST_HIDDEN).contains(&card.hidden)
        && (1..=MOST_WINDOW).contains(&card.window)
        && card.scaler.target < card.scaler.columns.len();
    ensure!(possible, "its card has a hidden size, a window or a target that no run has");
    ensure!(
        card.scaler.columns.iter().all(|c| c.mean.is_finite() && c.deviation > 0.0),
        "its card has a normalisation that is not positive"
    );
    Ok((card, weights))
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Scale;
    use rondeau::Array;

    fn card() -> Card {
        let scale =
            |name: &str| Scale { name: name.to_owned(), mean: 0.1 + 0.2, deviation: 1.0 / 3.0 };
        let columns = vec![scale("wärme"), scale("wind")];
        Card::new(CellKind::Gru, 3, 21, u64::MAX, Scaler { columns, target: 1, calendar: true })
    }

    fn weights() -> Record {
        Record::of(&(Array::arange(6).reshape([2, 3]), Array::from(0.1_f32))).unwrap()
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
            ("format 2", r#"{"format":2}"#.to_owned()),
            ("unknown field", with(&|_| ()).replace("\"hidden\"", "\"x\":1,\"hidden\"")),
            ("hidden 0", with(&|card| card.hidden = 0)),
            ("window 2^64 - 1", with(&|card| card.window = usize::MAX)),
            ("no target", with(&|card| card.scaler.target = 2)),
            ("deviation 0", with(&|card| card.scaler.columns[0].deviation = 0.0)),
        ];
        let refused = |record| format!("{:#}", with_card(record).expect_err("the card is refused"));
        let mut told = format!("no card: {}", refused(weights()));
        for (name, card) in cases {
            told += &format!("\n{name}: {}", refused(weights().with_text(CARD_KEY, card)));
        }
        insta::assert_snapshot!(told, @r#"
        no card: it was not written by `rondeau train`: it has no card
        not JSON: its card: EOF while parsing an object at line 1 column 1
        format 2: its card has format 2, and this version reads 1: train again
        unknown field: its card: unknown field `x`, expected one of `format`, `cell`, `hidden`, `window`, `seed`, `epoch`, `scaler` at line 1 column 28
        hidden 0: its card has a hidden size, a window or a target that no run has
        window 2^64 - 1: its card has a hidden size, a window or a target that no run has
        no target: its card has a hidden size, a window or a target that no run has
        deviation 0: its card has a normalisation that is not positive
        "#);
    }
}
