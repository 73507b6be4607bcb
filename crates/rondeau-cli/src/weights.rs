//! The weights file: tensors in the safetensors format, and with them all that is needed to use
//! them again. Reading trusts nothing in the file.
//!
//! Reading is our own because the reader in the `safetensors` crate overflows on crafted offsets
//! where overflow is checked, and accepts keys given twice.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::tensor::{Dtype, TensorView};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::args::{CellKind, MOST_HIDDEN, MOST_WINDOW};
use crate::data::Scaler;

/// The layout of [`Card`] that this version writes.
const FORMAT: u32 = 1;
/// The key of the card among the file's metadata. There is one key alone, because the order of
/// several would change from run to run.
const CARD_KEY: &str = "rondeau";
/// The largest file that is read.
const MOST_BYTES: u64 = 1 << 30;
/// The largest header that is read; a true one takes a few kilobytes.
const MOST_HEADER_BYTES: usize = 16 << 20;
const MOST_TENSORS: usize = 1_000;
const MOST_AXES: usize = 8;

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

/// An array with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its path in the parameters.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, the last axis fastest.
    pub values: Vec<f32>,
}

/// The bytes of a weights file; equal input gives equal bytes.
///
/// # Errors
/// If a shape does not fit its values, which is our own mistake.
pub fn encode(card: &Card, tensors: &[Tensor]) -> Result<Vec<u8>> {
    let bytes = |t: &Tensor| t.values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<Vec<u8>> = tensors.iter().map(bytes).collect();
    let views = tensors.iter().zip(&data).map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?;
        Ok((tensor.name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(CARD_KEY.to_owned(), serde_json::to_string(card)?)]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// Reads a weights file.
///
/// # Errors
/// If it cannot be read, is larger than we ever write, or is not what `rondeau train` writes.
pub fn read(path: &Path) -> Result<(Card, Vec<Tensor>)> {
    let refuse = || format!("cannot use the weights {}", path.display());
    let file = File::open(path)
        .map_err(|error| anyhow!("{error}\nhelp: name a directory that `rondeau train` wrote to"))
        .with_context(refuse)?;
    let mut bytes = Vec::new();
    // The bound holds for pipes and growing files too, whose length cannot be asked for.
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).with_context(refuse)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(anyhow!("the file is larger than {MOST_BYTES} bytes")).with_context(refuse);
    }
    decode(&bytes).with_context(refuse)
}

/// The card and the tensors, in the order of the file.
fn decode(bytes: &[u8]) -> Result<(Card, Vec<Tensor>)> {
    let (length, rest) = bytes.split_first_chunk().context("it is shorter than 8 bytes")?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    ensure!(length <= MOST_HEADER_BYTES, "its header claims {length} bytes");
    let (header, data) =
        rest.split_at_checked(length).context("it ends within its header: it is cut off")?;
    let header: Header = serde_json::from_slice(header).context("its header")?;

    let card = header.metadata.into_iter().find(|(key, _)| key == CARD_KEY);
    let (_, card) = card.context("it was not written by `rondeau train`: it has no card")?;
    let Version { format } = serde_json::from_str(&card).context("its card")?;
    ensure!(
        format == FORMAT,
        "its card has format {format}, and this version reads {FORMAT}: train again"
    );
    let card: Card = serde_json::from_str(&card).context("its card")?;
    let possible = (1..=MOST_HIDDEN).contains(&card.hidden)
        && (1..=MOST_WINDOW).contains(&card.window)
        && card.scaler.target < card.scaler.columns.len();
    ensure!(possible, "its card has a hidden size, a window or a target that no run has");
    ensure!(
        card.scaler.columns.iter().all(|c| c.mean.is_finite() && c.deviation > 0.0),
        "its card has a normalisation that is not positive"
    );
    Ok((card, tensors(header.entries, data)?))
}

/// Cuts the data into tensors, which must cover it without gaps or overlaps.
fn tensors(mut entries: Vec<(String, Entry)>, data: &[u8]) -> Result<Vec<Tensor>> {
    ensure!(entries.len() <= MOST_TENSORS, "it has more than {MOST_TENSORS} tensors");
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut at = 0;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, Entry { dtype, shape, data_offsets: [start, end] }) in entries {
        ensure!(dtype == "F32", "`{name}` holds {dtype} and not F32");
        ensure!(shape.len() <= MOST_AXES, "`{name}` has {} axes", shape.len());
        ensure!(start == at, "`{name}` starts at {start} and not at {at}");
        let n_bytes = shape.iter().try_fold(4_usize, |n, &axis| n.checked_mul(axis));
        let fits = n_bytes.is_some() && end.checked_sub(start) == n_bytes;
        ensure!(fits, "`{name}` of shape {shape:?} does not fill bytes {start} to {end}");
        let bytes = data.get(start..end).with_context(|| format!("`{name}` is cut off"))?;
        let (chunks, _) = bytes.as_chunks::<4>();
        let values = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        tensors.push(Tensor { name, shape, values });
        at = end;
    }
    if at != data.len() {
        bail!("{} bytes follow its last tensor", data.len() - at);
    }
    Ok(tensors)
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// A safetensors header whose keys are all different.
struct Header {
    metadata: Vec<(String, String)>,
    entries: Vec<(String, Entry)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (mut metadata, mut entries) = (None, Vec::new());
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        if metadata.is_some() {
                            return Err(A::Error::custom("`__metadata__` is given twice"));
                        }
                        metadata = Some(map.next_value::<Texts>()?.0);
                    } else {
                        entries.push((key, map.next_value::<Entry>()?));
                    }
                }
                distinct(&entries).map_err(A::Error::custom)?;
                Ok(Header { metadata: metadata.unwrap_or_default(), entries })
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// Texts by key, whose keys are all different.
struct Texts(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = map.next_entry()? {
                    texts.push(text);
                }
                distinct(&texts).map_err(A::Error::custom)?;
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(TextsVisitor)
    }
}

fn distinct<T>(entries: &[(String, T)]) -> Result<(), String> {
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("`{}` is given twice", pair[0].escape_debug())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Scale;

    fn card() -> Card {
        let scale =
            |name: &str| Scale { name: name.to_owned(), mean: 0.1 + 0.2, deviation: 1.0 / 3.0 };
        let columns = vec![scale("wärme"), scale("wind")];
        Card::new(CellKind::Gru, 3, 21, u64::MAX, Scaler { columns, target: 1, calendar: true })
    }

    fn weights() -> Vec<Tensor> {
        let tensor = |name: &str, shape: &[usize]| {
            let n: usize = shape.iter().product();
            let values = (0..n).map(|i| i as f32 * 0.1 - 1.0).collect();
            Tensor { name: name.to_owned(), shape: shape.to_vec(), values }
        };
        vec![tensor("a", &[2, 3]), tensor("b", &[]), tensor("c", &[0, 4])]
    }

    /// A file of that header and that much data.
    fn file(header: &str, n_data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + n_data, 0);
        bytes
    }

    fn refused(bytes: &[u8]) -> String {
        format!("{:#}", decode(bytes).expect_err("the file is refused"))
    }

    /// A header with our card and these entries.
    fn with_card(entries: &str) -> String {
        let card = serde_json::to_string(&serde_json::to_string(&card()).unwrap()).unwrap();
        format!(r#"{{"__metadata__":{{"rondeau":{card}}}{entries}}}"#)
    }

    #[test]
    fn reading_is_the_inverse_of_writing() {
        let bytes = encode(&card(), &weights()).unwrap();
        assert_eq!(bytes, encode(&card(), &weights()).unwrap());
        let (read_card, mut read_weights) = decode(&bytes).unwrap();
        assert_eq!(read_card, card());
        read_weights.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(read_weights, weights());
        // The crate's own reader agrees.
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("a").unwrap().shape(), [2, 3]);
    }

    #[test]
    fn every_cut_is_refused_and_no_flipped_bit_panics() {
        let bytes = encode(&card(), &weights()).unwrap();
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "{n} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&flipped);
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(decode(&longer).is_err());
    }

    #[test]
    fn attacks() {
        let entry = |name: &str, shape: &str, start: u64, end: u64| {
            format!(r#","{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
        };
        let huge = u64::MAX / 8;
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("empty", vec![]),
            ("header of 2^64 - 1 bytes", vec![0xff; 64]),
            ("header of 17 MiB", file(&" ".repeat(17 << 20), 0)),
            ("not JSON", file("{", 0)),
            ("not UTF-8", {
                let mut bytes = file(&with_card(""), 0);
                bytes[20] = 0xff;
                bytes
            }),
            ("no card", file("{}", 0)),
            ("metadata twice", file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0)),
            ("card twice", file(r#"{"__metadata__":{"rondeau":"1","rondeau":"2"}}"#, 0)),
            ("format 2", file(r#"{"__metadata__":{"rondeau":"{\"format\":2}"}}"#, 0)),
            ("name twice", file(&with_card(&entry("a", "[1]", 0, 4).repeat(2)), 8)),
            ("sums that overflow", {
                let many =
                    (0..8).map(|i| entry(&format!("t{i}"), "[2305843009213693951]", 0, huge));
                file(&with_card(&many.collect::<String>()), 8)
            }),
            ("shape that overflows", {
                file(&with_card(&entry("a", "[4294967296,4294967296]", 0, 4)), 4)
            }),
            ("negative", file(&with_card(&entry("a", "[-1]", 0, 4)), 4)),
            ("end before start", file(&with_card(&entry("a", "[1]", 4, 0)), 4)),
            ("beyond the file", file(&with_card(&entry("a", "[1000000000]", 0, 4_000_000_000)), 4)),
            ("a hole", file(&with_card(&entry("a", "[1]", 4, 8)), 8)),
            ("overlap", {
                let two = entry("a", "[2]", 0, 8) + &entry("b", "[1]", 4, 8);
                file(&with_card(&two), 8)
            }),
            ("rest", file(&with_card(&entry("a", "[1]", 0, 4)), 9)),
            ("many axes", {
                let shape = format!("[{}1]", "1,".repeat(999));
                file(&with_card(&entry("a", &shape, 0, 4)), 4)
            }),
            ("other numbers", file(&with_card(&entry("a", "[1]", 0, 4)).replace("F32", "F64"), 4)),
            ("unknown field", {
                file(
                    &with_card(&entry("a", "[1]", 0, 4)).replace("\"shape\"", "\"x\":1,\"shape\""),
                    4,
                )
            }),
        ];
        let told: Vec<String> =
            cases.iter().map(|(name, bytes)| format!("{name}: {}", refused(bytes))).collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
