//! NumPy's `.npy` files: one array.
//!
//! # Source
//! `numpy.lib.format`, versions 1.0 to 3.0. Arrays in Fortran order are read as views; half
//! precision (`<f2`) is read as f32.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::io::Read;
use std::path::Path;

use super::elements::{self, Stored};
use super::{Source, atomic, source};
use crate::{Array, DType, Error, Result};

/// The largest header that is read, in bytes; a usual one has 118.
pub const MOST_HEADER_BYTES: usize = 1 << 16;
/// The most axes of an array.
pub const MOST_AXES: usize = 32;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Writes an array atomically.
///
/// # Errors
/// If the array carries a mistake, or the file cannot be written; then the old file stays.
///
/// # Examples
/// ```
/// use rondeau::{Array, io::npy};
///
/// let path = std::env::temp_dir().join(format!("rondeau-doc-{}.npy", std::process::id()));
/// npy::write(&path, &Array::arange(6).reshape([2, 3]))?;
/// assert_eq!(npy::read(&path)?.shape(), [2, 3]);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(path: impl AsRef<Path>, array: &Array) -> Result<()> {
    atomic::write(path, &encode(array)?)
}

/// Reads an array.
///
/// # Errors
/// If the file cannot be read, breaks a rule of the format, or holds elements of another type than
/// f64, f32, f16, i32, u32 and truth values.
pub fn read(path: impl AsRef<Path>) -> Result<Array> {
    source::read_with(path.as_ref(), decode_from)
}

/// The bytes of a file.
///
/// # Errors
/// If the array carries a mistake.
pub fn encode(array: &Array) -> Result<Vec<u8>> {
    const ALIGN: usize = 64;
    const PREFIX: usize = 10;
    let name = name_of(array.aval()?.dtype);
    let mut shape = String::new();
    for size in array.shape() {
        shape.push_str(&format!("{size}, "));
    }
    // A tuple of one keeps its comma, longer ones do without.
    let shape = match array.rank() {
        1 => shape.trim_end(),
        _ => shape.trim_end_matches(", "),
    };
    let mut header = format!("{{'descr': '{name}', 'fortran_order': False, 'shape': ({shape}), }}");
    let length = header.len().saturating_add(PREFIX).saturating_add(1).next_multiple_of(ALIGN);
    while header.len().saturating_add(PREFIX).saturating_add(1) < length {
        header.push(' ');
    }
    header.push('\n');
    let n_header = u16::try_from(header.len()).map_err(|_| refused("it has too many axes"))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(n_header.to_le_bytes());
    bytes.extend(header.bytes());
    elements::write(array, &mut bytes)?;
    Ok(bytes)
}

/// Reads the bytes of a file.
///
/// # Errors
/// If they break a rule of the format, or hold elements of a type that is not read.
pub fn decode(bytes: &[u8]) -> Result<Array> {
    decode_from(&mut Source::of(bytes))
}

pub(super) fn decode_from(source: &mut Source<'_>) -> Result<Array> {
    let Header { descr, fortran_order, mut shape } = read_header(source)?;
    let stored = stored(&descr)?;
    let n_bytes = stored.n_bytes(&shape).map(|n| n as u64);
    if n_bytes != Some(source.left()) {
        let left = source.left();
        return Err(refused(&format!(
            "{left} bytes of data are not an array {shape:?} of {descr}"
        )));
    }
    if fortran_order {
        shape.reverse();
    }
    let array = stored.read(source, &shape).map_err(|error| refused(&error.to_string()))?;
    if !fortran_order {
        return Ok(array);
    }
    let axes: Vec<usize> = (0..shape.len()).rev().collect();
    array.transpose(&axes).ok()
}

fn refused(fault: &str) -> Error {
    let help = "the file is damaged or of another format: save it again with `numpy.save`";
    Error::format(".npy file", fault, help)
}

fn name_of(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::U32 => "<u4",
        DType::Bool => "|b1",
    }
}

fn stored(descr: &str) -> Result<Stored> {
    if descr == "<f2" {
        return Ok(Stored::F16);
    }
    let dtype = DType::ALL.into_iter().find(|&dtype| name_of(dtype) == descr);
    dtype.map(Stored::As).ok_or_else(|| {
        let fault = format!("its elements are `{}`", descr.escape_debug());
        let help = "float64, float32, float16, int32, uint32 and bool are read, with the least \
                    significant byte first: convert it, for example by `x.astype(numpy.int32)`";
        Error::format(".npy file", &fault, help)
    })
}

#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

fn read_header(source: &mut Source<'_>) -> Result<Header> {
    fn bytes<const N: usize>(source: &mut Source<'_>) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        let cut_off = |_| refused("it is cut off");
        source.read_exact(&mut bytes).map_err(cut_off)?;
        Ok(bytes)
    }
    if bytes(source)? != *MAGIC {
        return Err(refused("it does not begin as one"));
    }
    let n_bytes = match bytes(source)? {
        [1, 0] => usize::from(u16::from_le_bytes(bytes(source)?)),
        [2 | 3, 0] => u32::from_le_bytes(bytes(source)?) as usize,
        [major, minor] => return Err(refused(&format!("it has version {major}.{minor}"))),
    };
    if n_bytes > MOST_HEADER_BYTES || n_bytes as u64 > source.left() {
        return Err(refused(&format!("its header claims {n_bytes} bytes")));
    }
    let mut text = vec![0; n_bytes];
    source.read_exact(&mut text).map_err(|_| refused("it is cut off"))?;
    let text = std::str::from_utf8(&text).map_err(|_| refused("its header is not UTF-8"))?;
    parse(text).map_err(|expected| refused(&format!("its header needs {expected}")))
}

/// The part of Python's literals that headers are written in: a dictionary of three keys.
fn parse(text: &str) -> Result<Header, &'static str> {
    let mut rest = text.trim_end().strip_prefix('{').ok_or("a `{`")?;
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    loop {
        rest = rest.trim_start();
        if let Some(end) = rest.strip_prefix('}') {
            if !end.is_empty() {
                return Err("nothing behind its `}`");
            }
            break;
        }
        let (key, behind) = quoted(rest)?;
        rest = behind.trim_start().strip_prefix(':').ok_or("a `:`")?.trim_start();
        let is_new = match key {
            "descr" => {
                let (value, behind) = quoted(rest)?;
                rest = behind;
                descr.replace(value).is_none()
            }
            "fortran_order" => {
                let is_true = rest.starts_with("True");
                let name = if is_true { "True" } else { "False" };
                rest = rest.strip_prefix(name).ok_or("`fortran_order` to be True or False")?;
                fortran_order.replace(is_true).is_none()
            }
            "shape" => {
                let (value, behind) = tuple(rest)?;
                rest = behind;
                shape.replace(value).is_none()
            }
            _ => return Err("`descr`, `fortran_order` and `shape` alone"),
        };
        if !is_new {
            return Err("each key once");
        }
        rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with('}') => {}
            None => return Err("a `,`"),
        }
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => {
            Ok(Header { descr: descr.to_owned(), fortran_order, shape })
        }
        _ => Err("`descr`, `fortran_order` and `shape`"),
    }
}

/// A string, without escapes, and what is behind it.
fn quoted(text: &str) -> Result<(&str, &str), &'static str> {
    const EXPECTED: &str = "a name in quotes";
    let quote = text.chars().next().filter(|&c| c == '\'' || c == '"').ok_or(EXPECTED)?;
    let (value, behind) = text.get(1..).unwrap_or_default().split_once(quote).ok_or(EXPECTED)?;
    if value.contains('\\') { Err(EXPECTED) } else { Ok((value, behind)) }
}

/// A tuple of whole numbers, and what is behind it.
fn tuple(text: &str) -> Result<(Vec<usize>, &str), &'static str> {
    const EXPECTED: &str = "`shape` to be a tuple of whole numbers";
    let inside = text.strip_prefix('(').ok_or(EXPECTED)?;
    let (inside, behind) = inside.split_once(')').ok_or(EXPECTED)?;
    let mut sizes = Vec::new();
    let mut items = inside.trim().split(',').peekable();
    while let Some(item) = items.next() {
        let item = item.trim();
        if item.is_empty() {
            // Only after the last comma, or in the empty tuple.
            if items.peek().is_some() || (inside.contains(',') && sizes.is_empty()) {
                return Err(EXPECTED);
            }
            break;
        }
        if !item.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EXPECTED);
        }
        // A single number in parentheses is no tuple.
        if sizes.is_empty() && items.peek().is_none() {
            return Err(EXPECTED);
        }
        if sizes.len() >= MOST_AXES {
            return Err("at most 32 axes");
        }
        sizes.push(item.parse().map_err(|_| "sizes below 2^64")?);
    }
    Ok((sizes, behind))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_numpy() {
        // numpy.save of numpy.array([1.0, -2.0], numpy.float32)
        let mut want = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        want.extend(header);
        want.extend(vec![b' '; 127 - want.len()]);
        want.extend(b"\n\x00\x00\x80\x3f\x00\x00\x00\xc0");
        assert_eq!(encode(&Array::from([1.0_f32, -2.0])).unwrap(), want);
    }

    #[test]
    fn reading_is_the_inverse_of_writing() {
        let arrays = [
            Array::from(true),
            Array::from([0.1_f64, f64::NEG_INFINITY]),
            Array::from([[1, 2, 3], [4, 5, 6]]),
            Array::arange(24).reshape([2, 3, 4]).transpose(&[2, 0, 1]),
            Array::zeros([3, 0, 2]),
            Array::from([7_u32]),
        ];
        for array in arrays {
            let again = decode(&encode(&array).unwrap()).unwrap();
            assert_eq!(again.aval().unwrap(), array.aval().unwrap());
            assert!(again.buffer().unwrap().same(array.buffer().unwrap()), "{array}");
        }
    }

    #[test]
    fn fortran_order_is_a_view() {
        let x = Array::arange(6).reshape([2, 3]);
        let bytes = encode(&x.t()).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("(3, 2)"));
        let mut fortran = bytes.clone();
        let swap = |bytes: &mut Vec<u8>, old: &[u8], new: &[u8]| {
            let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
            bytes.splice(at..at + old.len(), new.iter().copied());
        };
        swap(&mut fortran, b"False", b"True ");
        swap(&mut fortran, b"(3, 2)", b"(2, 3)");
        assert!(decode(&fortran).unwrap().buffer().unwrap().same(x.buffer().unwrap()));
    }

    #[test]
    fn headers() {
        let header =
            |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
        for (shape, sizes) in
            [("()", vec![]), ("(3,)", vec![3]), ("( 3 , 4 )", vec![3, 4]), ("(3,4,)", vec![3, 4])]
        {
            assert_eq!(parse(&header(shape)).unwrap().shape, sizes, "{shape}");
        }
        for shape in [
            "(3)",
            "(,)",
            "(3,,4)",
            "(-1,)",
            "[3]",
            "(3",
            "(3, 4.0)",
            "(99999999999999999999,)",
            "(3,) 4",
        ] {
            assert!(parse(&header(shape)).is_err(), "{shape}");
        }
        for text in ["", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'descr': '<f4'}", "{'x': 1}"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let double = r#"{"shape": (), "fortran_order": True, "descr": "<f8", }  "#;
        assert!(parse(double).unwrap().fortran_order);
    }

    #[test]
    fn what_is_not_read_is_told_with_a_way_out() {
        let mut bytes = encode(&Array::from([1.0_f64])).unwrap();
        let at = bytes.windows(3).position(|window| window == b"<f8").unwrap();
        bytes[at + 1] = b'i';
        insta::assert_snapshot!(decode(&bytes).err().unwrap(), @"
        this is no .npy file that can be used: its elements are `<i8`
        help: float64, float32, float16, int32, uint32 and bool are read, with the least significant byte first: convert it, for example by `x.astype(numpy.int32)`
        ");
    }
}
