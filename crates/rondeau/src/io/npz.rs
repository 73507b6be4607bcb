//! NumPy's `.npz` archives: `.npy` files by name.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::io::Read;
use std::path::Path;

use super::zip::{self, Archive};
use super::{Record, Source, atomic, npy, source};
use crate::{Error, Result, Tree};

/// All arrays of an archive together unpack to at most so many bytes (2^30), unless
/// [`read_up_to`] is told otherwise.
pub const MOST_UNPACKED: u64 = 1 << 30;

/// How the arrays of an archive are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// As they are, as by `numpy.savez`.
    #[default]
    Stored,
    /// Deflated, as by `numpy.savez_compressed`: smaller and much slower.
    Deflated,
}

/// Writes the leaves of a tree, by their paths, atomically and as they are.
///
/// # Errors
/// If a leaf carries a mistake or two paths are equal, or the file cannot be written; then the old
/// file stays.
pub fn save<T: Tree>(path: impl AsRef<Path>, tree: &T) -> Result<()> {
    write(path, &Record::of(tree)?, Packing::Stored)
}

/// The structure of `like` with the arrays in a file, which must be exactly those.
///
/// # Errors
/// If the file cannot be read or used; or arrays are missing, not expected, or of another type, of
/// which all are named.
pub fn load<T: Tree>(path: impl AsRef<Path>, like: &T) -> Result<T> {
    let path = path.as_ref();
    read(path)?.fill(like).map_err(|error| error.of_file(&path.display()))
}

/// Writes the arrays of a record atomically. Its texts are left out: the format has none.
///
/// # Errors
/// If an array carries a mistake, or the file cannot be written; then the old file stays.
pub fn write(path: impl AsRef<Path>, record: &Record, packing: Packing) -> Result<()> {
    atomic::write(path, &encode(record, packing)?)
}

/// Reads all arrays of a file.
///
/// # Errors
/// If the file cannot be read, breaks a rule of the format, or unpacks to more than
/// [`MOST_UNPACKED`].
pub fn read(path: impl AsRef<Path>) -> Result<Record> {
    read_up_to(path, MOST_UNPACKED)
}

/// Reads all arrays of a file, if they unpack to no more bytes.
///
/// # Errors
/// If the file cannot be read, breaks a rule of the format, or unpacks to more.
pub fn read_up_to(path: impl AsRef<Path>, most_unpacked: u64) -> Result<Record> {
    source::read_with(path.as_ref(), |source| decode_from(source, most_unpacked))
}

/// The bytes of an archive; equal records give equal bytes.
///
/// # Errors
/// If an array carries a mistake, or the archive is larger than 4 GiB.
pub fn encode(record: &Record, packing: Packing) -> Result<Vec<u8>> {
    let too_large = |fault: String| {
        Error::format(".npz file", &fault, "write the arrays to several files, or as safetensors")
    };
    let mut archive = Archive::default();
    for (name, array) in record.arrays() {
        let bytes = npy::encode(array)?;
        archive
            .add(&format!("{name}.npy"), &bytes, packing == Packing::Deflated)
            .map_err(too_large)?;
    }
    archive.finish().map_err(too_large)
}

/// Reads the bytes of an archive, if its arrays unpack to no more bytes.
///
/// # Errors
/// If they break a rule of the format, or unpack to more.
pub fn decode(bytes: &[u8], most_unpacked: u64) -> Result<Record> {
    let refused = |fault: String| {
        let help = "the file is damaged or of another format: save it again with `numpy.savez`";
        Error::format(".npz file", &fault, help)
    };
    let entries = zip::entries(bytes).map_err(refused)?;
    let n_unpacked = entries.iter().fold(0, |n: u64, e| n.saturating_add(e.n_bytes() as u64));
    if n_unpacked > most_unpacked {
        let fault = format!("it unpacks to {n_unpacked} bytes, more than {most_unpacked}");
        let help = "if you trust it, allow more with `npz::read_up_to`";
        return Err(Error::format(".npz file", &fault, help));
    }
    let mut record = Record::new();
    for entry in entries {
        let name = entry.name.strip_suffix(".npy").unwrap_or(&entry.name);
        let bytes = entry.unpack().map_err(refused)?;
        let array = npy::decode(&bytes).map_err(|error| error.of_file(&name.escape_debug()))?;
        record.insert(name, array)?;
    }
    Ok(record)
}

fn decode_from(source: &mut Source<'_>, most_unpacked: u64) -> Result<Record> {
    let mut bytes = vec![0; usize::try_from(source.left()).unwrap_or(usize::MAX)];
    let cut_off = |error: std::io::Error| {
        Error::format(".npz file", &error.to_string(), "read it when it is no longer written to")
    };
    source.read_exact(&mut bytes).map_err(cut_off)?;
    decode(&bytes, most_unpacked)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::Array;

    fn tree() -> (Array, Vec<Array>) {
        let w = Array::arange(600).reshape([20, 30]);
        (w.t(), vec![Array::from([true, false]), Array::zeros([0, 2]), Array::from(1.5_f64)])
    }

    #[test]
    fn reading_is_the_inverse_of_writing() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(&tree()).unwrap();
        for (packing, path) in [(Packing::Stored, "a.npz"), (Packing::Deflated, "b.npz")] {
            let path = dir.path().join(path);
            write(&path, &record, packing).unwrap();
            let again = load(&path, &tree()).unwrap();
            assert!(again.0.buffer().unwrap().same(tree().0.buffer().unwrap()));
            assert!(again.1[2].buffer().unwrap().same(tree().1[2].buffer().unwrap()));
            assert_eq!(
                read(&path).unwrap().names().collect::<Vec<_>>(),
                ["0", "1.0", "1.1", "1.2"]
            );
        }
        let [stored, deflated] =
            ["a.npz", "b.npz"].map(|name| std::fs::metadata(dir.path().join(name)).unwrap().len());
        assert!(deflated < stored);
    }

    #[test]
    fn every_cut_is_refused_and_no_damage_goes_unseen() {
        for packing in [Packing::Stored, Packing::Deflated] {
            let record = Record::of(&(Array::from([1.0_f32, 2.0]), Array::from([3]))).unwrap();
            let bytes = encode(&record, packing).unwrap();
            for n in 0..bytes.len() {
                assert!(decode(&bytes[..n], MOST_UNPACKED).is_err(), "{n} bytes");
            }
            // Times, versions and attributes may change; the arrays may not.
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let Ok(read) = decode(&flipped, MOST_UNPACKED) else { continue };
                for ((_, a), (_, b)) in read.arrays().iter().zip(record.arrays()) {
                    assert!(a.buffer().unwrap().same(b.buffer().unwrap()), "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_told_before_it_unpacks() {
        let record = Record::of(&Array::zeros([1 << 20])).unwrap();
        let bytes = encode(&record, Packing::Deflated).unwrap();
        assert!(bytes.len() < 10_000);
        insta::assert_snapshot!(decode(&bytes, 1 << 20).err().unwrap(), @"
        this is no .npz file that can be used: it unpacks to 4194432 bytes, more than 1048576
        help: if you trust it, allow more with `npz::read_up_to`
        ");
        assert!(decode(&bytes, MOST_UNPACKED).is_ok());
    }
}
