//! The safetensors format: a header that names the arrays, and their bytes.
//!
//! Reading and writing are our own. The reader of the `safetensors` crate (0.8) overflows on sizes
//! whose sum passes 2^64, accepts a name that is given twice, and needs the whole file in memory; a
//! guard before it would have to read the whole header itself, and what is left behind such a guard
//! is a copy of bytes. Tests read our files with that crate and its files with ours.
//!
//! # Source
//! <https://github.com/huggingface/safetensors>, "Format". Stricter than that: names must differ,
//! and no array has more than 32 axes.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::io::Read;
use std::path::Path;

use super::elements::{self, Stored};
use super::json::{Fault, Json, quote};
use super::{Record, Source, atomic, source};
use crate::{DType, Error, Result, Tree};

/// The largest header that is read, in bytes.
pub const MOST_HEADER_BYTES: usize = 16 << 20;
/// The most arrays of one file.
pub const MOST_ARRAYS: usize = 20_000;
/// The most axes of an array.
pub const MOST_AXES: usize = 32;

/// The key of the texts.
const TEXTS: &str = "__metadata__";

/// Writes the leaves of a tree, by their paths, atomically.
///
/// # Errors
/// If a leaf carries a mistake or two paths are equal, or the file cannot be written; then the old
/// file stays.
pub fn save<T: Tree>(path: impl AsRef<Path>, tree: &T) -> Result<()> {
    write(path, &Record::of(tree)?)
}

/// The structure of `like` with the arrays in a file, which must be exactly those. Half precision
/// (F16 and BF16) is read as f32.
///
/// # Errors
/// If the file cannot be read or used; or arrays are missing, not expected, or of another type, of
/// which all are named.
pub fn load<T: Tree>(path: impl AsRef<Path>, like: &T) -> Result<T> {
    let path = path.as_ref();
    read(path)?.fill(like).map_err(|error| error.of_file(&path.display()))
}

/// Writes a record atomically.
///
/// # Errors
/// If an array carries a mistake, or the file cannot be written; then the old file stays.
pub fn write(path: impl AsRef<Path>, record: &Record) -> Result<()> {
    atomic::write(path, &encode(record)?)
}

/// Reads all arrays and texts of a file, in the order of its bytes.
///
/// # Errors
/// If the file cannot be read, or breaks a rule of the format.
pub fn read(path: impl AsRef<Path>) -> Result<Record> {
    source::read_with(path.as_ref(), decode_from)
}

/// The bytes of a file; equal records give equal bytes. Arrays with larger elements come first, so
/// that all are aligned, and otherwise keep their order.
///
/// # Errors
/// If an array carries a mistake, or there are more than a reader takes.
pub fn encode(record: &Record) -> Result<Vec<u8>> {
    let mut arrays = Vec::new();
    for (name, array) in record.arrays() {
        arrays.push((name, array, array.buffer()?.dtype()));
    }
    arrays.sort_by_key(|&(_, _, dtype)| std::cmp::Reverse(dtype.size()));

    let mut header = String::from("{");
    if !record.texts().is_empty() {
        quote(TEXTS, &mut header);
        header.push_str(":{");
        for (i, (key, text)) in record.texts().iter().enumerate() {
            header.push_str(if i > 0 { "," } else { "" });
            quote(key, &mut header);
            header.push(':');
            quote(text, &mut header);
        }
        header.push('}');
    }
    let mut data = Vec::new();
    for (name, array, dtype) in arrays {
        let start = data.len();
        elements::write(array, &mut data)?;
        header.push_str(if header.len() > 1 { "," } else { "" });
        quote(name, &mut header);
        let shape: Vec<String> = array.shape().iter().map(usize::to_string).collect();
        let (shape, end) = (shape.join(","), data.len());
        let name = name_of(dtype);
        let _ = write!(
            header,
            r#":{{"dtype":"{name}","shape":[{shape}],"data_offsets":[{start},{end}]}}"#
        );
    }
    header.push('}');
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let most_axes = record.arrays().iter().map(|(_, array)| array.rank()).max().unwrap_or(0);
    let is_large = header.len() > MOST_HEADER_BYTES || record.arrays().len() > MOST_ARRAYS;
    if is_large || most_axes > MOST_AXES {
        let fault = format!("{} arrays of at most {most_axes} axes", record.arrays().len());
        let help = format!("write at most {MOST_ARRAYS} arrays of {MOST_AXES} axes to one file");
        return Err(Error::format("safetensors file", &fault, &help));
    }
    let mut bytes = Vec::with_capacity(header.len().saturating_add(data.len()).saturating_add(8));
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.append(&mut data);
    Ok(bytes)
}

/// Reads the bytes of a file.
///
/// # Errors
/// If they break a rule of the format.
pub fn decode(bytes: &[u8]) -> Result<Record> {
    decode_from(&mut Source::of(bytes))
}

pub(super) fn decode_from(source: &mut Source<'_>) -> Result<Record> {
    let header = read_header(source).map_err(|fault| refused(&fault, HELP))?;
    let mut entries = header.entries;
    entries.sort_by_key(|entry| (entry.start, entry.end));
    let mut at = 0;
    for entry in &entries {
        let Entry { name, shape, start, end, .. } = entry;
        let name = shown(name);
        let stored = stored(entry)?;
        if *start != at {
            let fault = format!("`{name}` starts at byte {start} and the one before ends at {at}");
            return Err(refused(&fault, HELP));
        }
        let n_bytes = stored.n_bytes(shape).map(|n| n as u64);
        if n_bytes.is_none() || end.checked_sub(*start) != n_bytes {
            let fault = format!("`{name}` of shape {shape:?} does not fill bytes {start} to {end}");
            return Err(refused(&fault, HELP));
        }
        at = *end;
    }
    if at != source.left() {
        let fault = match source.left() {
            left if left < at => format!("it is cut off: {left} bytes of data of {at} are there"),
            left => format!("{} bytes follow its last array", left.saturating_sub(at)),
        };
        return Err(refused(&fault, HELP));
    }
    let mut record = Record::new();
    for (key, text) in header.texts {
        record = record.with_text(&key, text);
    }
    for entry in entries {
        let array = stored(&entry)?.read(source, &entry.shape).map_err(|error| {
            refused(&format!("`{}` cannot be read: {error}", shown(&entry.name)), HELP)
        })?;
        record.insert(entry.name, array)?;
    }
    Ok(record)
}

const HELP: &str = "the file is damaged or of another format: write or download it again";

fn refused(fault: &str, help: &str) -> Error {
    Error::format("safetensors file", fault, help)
}

/// A name from a file as messages show it: without control characters, and not endless.
fn shown(name: &str) -> String {
    const MOST_SHOWN: usize = 80;
    let mut shown: String = name.chars().take(MOST_SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST_SHOWN).is_some() {
        shown.push_str("..");
    }
    shown
}

fn name_of(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::I32 => "I32",
        DType::U32 => "U32",
        DType::Bool => "BOOL",
    }
}

fn stored(entry: &Entry) -> Result<Stored> {
    let known = match entry.dtype.as_str() {
        "F16" => Some(Stored::F16),
        "BF16" => Some(Stored::Bf16),
        name => DType::ALL.into_iter().find(|&d| name_of(d) == name).map(Stored::As),
    };
    known.ok_or_else(|| {
        let fault = format!("`{}` holds {}", shown(&entry.name), shown(&entry.dtype));
        let help = "F64, F32, F16, BF16, I32, U32 and BOOL are read; store it as one of those, for \
                    example by `tensor.int()` or `tensor.float()` in PyTorch";
        refused(&fault, help)
    })
}

struct Header {
    texts: HashMap<String, String>,
    entries: Vec<Entry>,
}

/// An array as the header describes it.
#[derive(Debug, Default)]
struct Entry {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    start: u64,
    end: u64,
}

fn read_header(source: &mut Source<'_>) -> Result<Header, Fault> {
    let cut_off = |error: std::io::Error| format!("it ends within its header ({error})");
    let mut n_bytes = [0; 8];
    source.read_exact(&mut n_bytes).map_err(cut_off)?;
    let n_bytes = u64::from_le_bytes(n_bytes);
    if n_bytes > source.left() {
        return Err(format!("its header claims {n_bytes} bytes and {} are there", source.left()));
    }
    if n_bytes > MOST_HEADER_BYTES as u64 {
        return Err(format!("its header of {n_bytes} bytes is larger than {MOST_HEADER_BYTES}"));
    }
    let mut text = vec![0; n_bytes as usize];
    source.read_exact(&mut text).map_err(cut_off)?;

    let mut json = Json::new(&text)?;
    let mut header = Header { texts: HashMap::new(), entries: Vec::new() };
    let mut names = HashSet::new();
    json.object(&mut |json, name| {
        if names.len() > MOST_ARRAYS {
            return Err(format!("it has more than {MOST_ARRAYS} arrays"));
        }
        if !names.insert(name.clone()) {
            return Err(twice(&name));
        }
        if name == TEXTS {
            return json.object(&mut |json, key| match header
                .texts
                .insert(key.clone(), json.string()?)
            {
                Some(_) => Err(twice(&key)),
                None if header.texts.len() > MOST_ARRAYS => {
                    Err(format!("it has more than {MOST_ARRAYS} texts"))
                }
                None => Ok(()),
            });
        }
        header.entries.push(entry(json, name)?);
        Ok(())
    })?;
    json.end()?;
    Ok(header)
}

fn twice(name: &str) -> Fault {
    format!("`{}` is given twice", shown(name))
}

fn entry(json: &mut Json<'_>, name: String) -> Result<Entry, Fault> {
    let mut entry = Entry { name, ..Entry::default() };
    let (mut has_dtype, mut has_shape, mut has_offsets) = (false, false, false);
    json.object(&mut |json, key| {
        let has = match key.as_str() {
            "dtype" => {
                entry.dtype = json.string()?;
                &mut has_dtype
            }
            "shape" => {
                json.array(&mut |json| {
                    let size = json.number()?;
                    if entry.shape.len() >= MOST_AXES {
                        let name = shown(&entry.name);
                        return Err(format!("`{name}` has more than {MOST_AXES} axes"));
                    }
                    entry.shape.push(usize::try_from(size).map_err(|error| error.to_string())?);
                    Ok(())
                })?;
                &mut has_shape
            }
            "data_offsets" => {
                let mut offsets = [0; 2];
                let mut n = 0_usize;
                json.array(&mut |json| {
                    let offset = json.number()?;
                    if let Some(place) = offsets.get_mut(n) {
                        *place = offset;
                    }
                    n = n.saturating_add(1);
                    Ok(())
                })?;
                if n != 2 {
                    return Err(format!("`{}` has {n} offsets", shown(&entry.name)));
                }
                [entry.start, entry.end] = offsets;
                &mut has_offsets
            }
            other => {
                return Err(format!("`{}` has an unknown `{}`", shown(&entry.name), shown(other)));
            }
        };
        if std::mem::replace(has, true) {
            return Err(twice(&format!("{}.{key}", entry.name)));
        }
        Ok(())
    })?;
    if has_dtype && has_shape && has_offsets {
        return Ok(entry);
    }
    Err(format!("`{}` lacks its dtype, shape or data_offsets", shown(&entry.name)))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::Array;

    fn record() -> Record {
        let mut record = Record::new();
        let flags = Array::from([true, false, true]);
        let arrays = [
            ("flags", flags),
            ("w", Array::from([[1.5_f32, -0.0], [f32::NAN, f32::INFINITY]])),
            ("wide", Array::from([0.1_f64, -1e300])),
            ("n", Array::from(-7)),
            ("key", Array::from([u32::MAX, 0])),
            ("nothing", Array::zeros([0, 3])),
            ("view", Array::arange(6).reshape([2, 3]).t()),
        ];
        for (name, array) in arrays {
            record.insert(name, array).unwrap();
        }
        record.with_text("a \"text\"", "with\nlines").with_text("another", "ü")
    }

    fn same(a: &Record, b: &Record) {
        assert_eq!(a.texts(), b.texts());
        assert_eq!(a.arrays().len(), b.arrays().len());
        for (name, array) in a.arrays() {
            let other = b.get(name).unwrap();
            assert_eq!(array.aval().unwrap(), other.aval().unwrap());
            let [mut x, mut y] = [vec![], vec![]];
            elements::write(array, &mut x).unwrap();
            elements::write(other, &mut y).unwrap();
            assert_eq!(x, y, "{name}");
        }
    }

    #[test]
    fn reading_is_the_inverse_of_writing() {
        let bytes = encode(&record()).unwrap();
        assert_eq!(bytes, encode(&record()).unwrap());
        same(&decode(&bytes).unwrap(), &record());
        assert_eq!(decode(&encode(&Record::new()).unwrap()).unwrap().arrays().len(), 0);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("a"), &record()).unwrap();
        same(&read(dir.path().join("a")).unwrap(), &record());
    }

    #[test]
    fn the_crate_of_that_name_agrees() {
        use ::safetensors::tensor::{Dtype, SafeTensors, TensorView};
        let bytes = encode(&record()).unwrap();
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.len(), record().arrays().len());
        assert_eq!(theirs.tensor("view").unwrap().shape(), [3, 2]);
        for (name, array) in record().arrays() {
            let mut data = Vec::new();
            elements::write(array, &mut data).unwrap();
            assert_eq!(theirs.tensor(name).unwrap().data(), data);
        }
        let half: Vec<u8> = [0x3c00_u16, 0xc100].into_iter().flat_map(u16::to_le_bytes).collect();
        let brain: Vec<u8> = [0x3f80_u16, 0xc049].into_iter().flat_map(u16::to_le_bytes).collect();
        let views = [(Dtype::F16, &half), (Dtype::BF16, &brain)];
        let views =
            views.map(|(d, data)| (format!("{d:?}"), TensorView::new(d, vec![2], data).unwrap()));
        let ours = decode(&::safetensors::serialize(views, None).unwrap()).unwrap();
        let values = |name| ours.get(name).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(values("F16"), [1.0, -2.5]);
        assert_eq!(values("BF16"), [1.0, -3.140625]);
    }

    #[test]
    fn every_cut_and_every_longer_file_is_refused() {
        let bytes = encode(&record()).unwrap();
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "{n} bytes");
        }
        assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
    }

    #[test]
    fn mistakes_are_not_stored() {
        let mistake = Array::ones([2]) + Array::ones([3]);
        assert!(encode(&Record::of(&mistake).unwrap()).is_err());
    }
}
