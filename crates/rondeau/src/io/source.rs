//! Where bytes come from, and how many are left: readers hold every size in a file against that.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// The largest file that is read (2^35 bytes).
const MOST_BYTES: u64 = 1 << 35;

/// Bytes to be read, of which it is known how many there are.
pub(super) struct Source<'a> {
    reader: Box<dyn Read + 'a>,
    left: u64,
}

impl<'a> Source<'a> {
    /// The bytes of a slice.
    pub(super) fn of(bytes: &'a [u8]) -> Source<'a> {
        Source { left: bytes.len() as u64, reader: Box::new(bytes) }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let n = self.reader.read(out.get_mut(..most).unwrap_or_default())?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// Reads a file by `decode`. A pipe is read to its end first, since its length cannot be asked for.
pub(super) fn read_with<T>(
    path: &Path,
    decode: impl FnOnce(&mut Source<'_>) -> Result<T>,
) -> Result<T> {
    let refuse = |cause: io::Error| Error::file("read", &path.display(), &cause);
    let file = File::open(path).map_err(refuse)?;
    let metadata = file.metadata().map_err(refuse)?;
    if metadata.is_dir() {
        return Err(refuse(io::ErrorKind::IsADirectory.into()));
    }
    let result = if metadata.is_file() {
        let left = metadata.len();
        too_large(left).map_err(refuse)?;
        decode(&mut Source { reader: Box::new(file), left })
    } else {
        let mut bytes = Vec::new();
        file.take(MOST_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(refuse)?;
        too_large(bytes.len() as u64).map_err(refuse)?;
        decode(&mut Source::of(&bytes))
    };
    result.map_err(|error| error.of_file(&path.display()))
}

fn too_large(n_bytes: u64) -> io::Result<()> {
    let fault =
        || io::Error::new(io::ErrorKind::FileTooLarge, format!("{n_bytes} bytes are too many"));
    if n_bytes > MOST_BYTES { Err(fault()) } else { Ok(()) }
}
