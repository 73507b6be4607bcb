//! Checkpoints: records that are numbered, checked when they are read, and of which the newest that
//! is whole is found.
//!
//! A file is the word `rondeauC`, the version (`u32`), the CRC-32 of the body (`u32`), the length of
//! the body (`u64`), all with the least significant byte first, and the body: a [`Record`] in the
//! safetensors format. Arrays so start at a multiple of 8, and after 24 bytes any tool reads it.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::atomic::{self, Disk, SystemDisk};
use super::checksum::crc32;
use super::{Record, Source, safetensors, source};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"rondeauC";
/// The version that is written; older ones are read.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
const LOCK: &str = ".lock";

/// The bytes of a checkpoint; equal records give equal bytes.
///
/// # Errors
/// If an array carries a mistake.
pub fn encode(record: &Record) -> Result<Vec<u8>> {
    let body = safetensors::encode(record)?;
    let mut bytes = Vec::with_capacity(body.len().saturating_add(HEADER_BYTES));
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(crc32(&body).to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

/// Reads the bytes of a checkpoint.
///
/// # Errors
/// If they are of another format or version, or damaged anywhere.
pub fn decode(bytes: &[u8]) -> Result<Record> {
    decode_from(&mut Source::of(bytes))
}

/// Reads one checkpoint.
///
/// # Errors
/// If the file cannot be read, is of another format or version, or is damaged anywhere.
pub fn read(path: impl AsRef<Path>) -> Result<Record> {
    source::read_with(path.as_ref(), decode_from)
}

/// The body is held in memory until it is checked: nothing of a damaged file is used.
fn decode_from(source: &mut Source<'_>) -> Result<Record> {
    let read = |source: &mut Source<'_>, out: &mut [u8]| {
        source.read_exact(out).map_err(|error| refused(&format!("it is cut off ({error})")))
    };
    let mut magic = [0; MAGIC.len()];
    read(source, &mut magic)?;
    if magic != *MAGIC {
        return Err(refused("it does not begin as one"));
    }
    let (mut version, mut sum, mut n_bytes) = ([0; 4], [0; 4], [0; 8]);
    read(source, &mut version)?;
    read(source, &mut sum)?;
    read(source, &mut n_bytes)?;
    let version = u32::from_le_bytes(version);
    if version != VERSION {
        let fault = format!("it has version {version}, and this library reads {VERSION}");
        return Err(Error::format(
            "checkpoint",
            &fault,
            "use the library that wrote it, or a newer one",
        ));
    }
    let n_bytes = u64::from_le_bytes(n_bytes);
    if n_bytes != source.left() {
        let left = source.left();
        return Err(refused(&format!("its body has {left} bytes and should have {n_bytes}")));
    }
    let mut body = vec![0; n_bytes as usize];
    read(source, &mut body)?;
    if crc32(&body) != u32::from_le_bytes(sum) {
        return Err(refused("its checksum is not that of its bytes"));
    }
    safetensors::decode(&body)
}

fn refused(fault: &str) -> Error {
    Error::format("checkpoint", fault, "the file is damaged: go on from an older one")
}

/// The checkpoints in a directory, of which the newest few are kept.
///
/// While this lives, no other run can keep its checkpoints there.
///
/// # Examples
/// ```
/// use rondeau::Array;
/// use rondeau::io::{Checkpoints, Record};
///
/// let dir = std::env::temp_dir().join(format!("rondeau-ckpt-{}", std::process::id()));
/// let checkpoints = Checkpoints::in_dir(&dir, 2)?;
/// for step in [10, 20, 30] {
///     checkpoints.save(step, &Record::of(&Array::from(step as f32))?)?;
/// }
/// let found = checkpoints.newest()?.expect("there are three");
/// assert_eq!((found.step, checkpoints.steps()?.len()), (30, 2));
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
    disk: Arc<dyn Disk>,
    /// Says to other processes that the directory is used.
    _lock: Arc<File>,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoints in {}, of which {} are kept", self.dir.display(), self.keep)
    }
}

/// The newest checkpoint that is whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The step that it was saved at.
    pub step: u64,
    /// What it holds.
    pub record: Record,
    /// Newer checkpoints that cannot be read, each with why: something to tell the user.
    pub passed_over: Vec<Error>,
}

impl Checkpoints {
    /// The checkpoints in a directory, which is made if there is none. At least one is kept; with
    /// two, a damaged one has one to fall back on.
    ///
    /// # Errors
    /// If the directory cannot be made or written to, or another run uses it.
    pub fn in_dir(dir: impl Into<PathBuf>, keep: usize) -> Result<Checkpoints> {
        let dir = dir.into();
        atomic::prepare(&dir, &[LOCK])?;
        let lock = dir.join(LOCK);
        let failed = |error| Error::file("use the lock", &lock.display(), &error);
        let file = OpenOptions::new().append(true).create(true).open(&lock).map_err(failed)?;
        match file.try_lock() {
            // Where there are no locks, nobody is kept out.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::in_use(&dir.display())),
        }
        atomic::sweep_all(&dir, |name| step_of(name).is_some());
        let disk = Arc::new(SystemDisk);
        Ok(Checkpoints { dir, keep: keep.max(1), disk, _lock: Arc::new(file) })
    }

    /// These checkpoints on a disk of one's own.
    pub fn on(self, disk: Arc<dyn Disk>) -> Checkpoints {
        Checkpoints { disk, ..self }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of a step.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("step-{step:012}.ckpt"))
    }

    /// The steps that there are files of, the oldest first.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let failed = |error| Error::file("list", &self.dir.display(), &error);
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            steps.extend(name.to_str().and_then(step_of));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint atomically, and then removes those that are not kept: all but the newest,
    /// and those of later steps, which a run left that this one began before.
    ///
    /// # Errors
    /// If it cannot be written; the ones before are all there then.
    pub fn save(&self, step: u64, record: &Record) -> Result<()> {
        let path = self.path(step);
        atomic::write_on(&*self.disk, &path, &encode(record)?)?;
        let (earlier, later): (Vec<u64>, _) = self.steps()?.into_iter().partition(|&s| s <= step);
        let n_old = earlier.len().saturating_sub(self.keep);
        for old in earlier.into_iter().take(n_old).chain(later) {
            let path = self.path(old);
            let failed = |error| Error::file("remove the old", &path.display(), &error);
            self.disk.remove(&path).map_err(failed)?;
        }
        Ok(())
    }

    /// The newest checkpoint that is whole; nothing if there are none.
    ///
    /// # Errors
    /// If there are some and none can be read; each is named with why.
    pub fn newest(&self) -> Result<Option<Found>> {
        let mut passed_over = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match read(self.path(step)) {
                Ok(record) => return Ok(Some(Found { step, record, passed_over })),
                Err(error) => passed_over.push(error),
            }
        }
        if passed_over.is_empty() {
            return Ok(None);
        }
        let each: Vec<String> =
            passed_over.iter().map(|error| error.to_string().replace('\n', "\n  ")).collect();
        Err(Error::all_damaged(&self.dir.display(), &each))
    }
}

fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?.strip_suffix(".ckpt")?;
    let is_ours = digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_ours)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::Array;

    fn record(x: f32) -> Record {
        Record::of(&vec![Array::from([x, 2.0]), Array::from(1)]).unwrap().with_text("a", "b")
    }

    fn first(record: &Record) -> f32 {
        record.get("0").unwrap().to_vec::<f32>().unwrap()[0]
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(&record(1.0)).unwrap();
        assert_eq!(first(&decode(&bytes).unwrap()), 1.0);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "{n} bytes");
        }
        assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
    }

    #[test]
    fn a_damaged_one_falls_back_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::in_dir(dir.path(), 3).unwrap();
        assert!(checkpoints.newest().unwrap().is_none());
        for step in 1..=5 {
            checkpoints.save(step, &record(step as f32)).unwrap();
        }
        assert_eq!(checkpoints.steps().unwrap(), [3, 4, 5]);
        for damaged in [5, 4] {
            let mut bytes = fs::read(checkpoints.path(damaged)).unwrap();
            bytes[100] ^= 1;
            fs::write(checkpoints.path(damaged), bytes).unwrap();
            let found = checkpoints.newest().unwrap().unwrap();
            assert_eq!((found.step, first(&found.record)), (damaged - 1, damaged as f32 - 1.0));
            assert_eq!(found.passed_over.len() as u64, 6 - damaged);
            assert!(found.passed_over[0].to_string().contains("step-000000000005"));
        }
        // What is saved now is the newest, and damaged ones of later steps go.
        checkpoints.save(4, &record(4.0)).unwrap();
        assert_eq!(checkpoints.steps().unwrap(), [3, 4]);
        for step in [3, 4] {
            fs::write(checkpoints.path(step), "x").unwrap();
        }
        let error = checkpoints.newest().unwrap_err().to_string();
        assert!(error.contains("none can be read") && error.contains("step-000000000003"));
    }

    #[test]
    fn one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Checkpoints::in_dir(dir.path(), 1).unwrap();
        let error = Checkpoints::in_dir(dir.path(), 1).unwrap_err().to_string();
        assert!(error.starts_with("another run keeps its checkpoints"), "{error}");
        drop(first);
        assert!(Checkpoints::in_dir(dir.path(), 1).is_ok());
    }
}
