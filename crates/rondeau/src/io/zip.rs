//! Zip archives, as far as `.npz` files need them: entries that are stored or deflated, found by
//! the directory at the end. Archives beyond 4 GiB, encryption and several disks are refused.
//!
//! Own code, since the `zip` crate is large, and what matters here is what it leaves to its caller:
//! that no entry unpacks to more than it says, nor all of them to more than they may.
//!
//! # Source
//! PKWARE's APPNOTE 6.3.10: 4.3.7 local headers, 4.3.12 the directory, 4.3.16 its end.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::borrow::Cow;
use std::collections::HashSet;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::checksum::crc32;

/// The most entries of an archive.
const MOST_ENTRIES: usize = 20_000;

const LOCAL: u32 = 0x0403_4b50;
const DIRECTORY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const LOCAL_BYTES: usize = 30;
const DIRECTORY_BYTES: usize = 46;
const END_BYTES: usize = 22;
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
/// The first of January 1980, where the dates of archives begin: files do not depend on the clock.
const DATE: u16 = 0x21;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// An entry of an archive, still packed.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: String,
    packed: &'a [u8],
    is_deflated: bool,
    n_bytes: usize,
    crc: u32,
}

impl<'a> Entry<'a> {
    /// The bytes that it unpacks to, which are no more than it says.
    pub(super) fn unpack(&self) -> Result<Cow<'a, [u8]>, String> {
        let bytes: Cow<'a, [u8]> = match self.is_deflated {
            false => self.packed.into(),
            true => decompress_to_vec_with_limit(self.packed, self.n_bytes)
                .map_err(|error| format!("`{}` does not unpack: {error}", self.shown()))?
                .into(),
        };
        if bytes.len() != self.n_bytes || crc32(&bytes) != self.crc {
            return Err(format!("`{}` does not unpack to what was packed", self.shown()));
        }
        Ok(bytes)
    }

    /// How many bytes it unpacks to.
    pub(super) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    fn shown(&self) -> String {
        self.name.chars().take(80).flat_map(char::escape_debug).collect()
    }
}

/// A place in bytes, from which numbers are read.
struct At<'a>(&'a [u8]);

impl<'a> At<'a> {
    fn of(bytes: &'a [u8], at: usize) -> Result<At<'a>, String> {
        bytes.get(at..).map(At).ok_or_else(|| format!("it has no byte {at}"))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.0.split_at_checked(n).ok_or("a part of it is cut off".to_owned())?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "a part of it is cut off".to_owned())
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    /// A size or place; those that do not fit 32 bits are marked by all bits set.
    fn size(&mut self) -> Result<usize, String> {
        match self.u32()? {
            u32::MAX => Err("it is larger than 4 GiB: save the arrays apart".to_owned()),
            size => Ok(size as usize),
        }
    }
}

/// The entries of an archive, in the order of its directory. Names differ, and no two entries share
/// bytes.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry<'_>>, String> {
    let end = find_end(bytes)?;
    let mut at = At::of(bytes, end.saturating_add(4))?;
    let disks = (at.u16()?, at.u16()?);
    let (n_here, n_entries) = (at.u16()?, at.u16()?);
    let (n_directory, start) = (at.size()?, at.size()?);
    if disks != (0, 0) || n_here != n_entries {
        return Err("it is one of several volumes".to_owned());
    }
    if usize::from(n_entries) > MOST_ENTRIES {
        return Err(format!("it has more than {MOST_ENTRIES} entries"));
    }
    if start.checked_add(n_directory) != Some(end) {
        return Err("its directory is not where it should be".to_owned());
    }
    let mut at = At::of(bytes, start)?;
    let mut at = At(at.take(n_directory)?);
    let mut entries = Vec::new();
    let mut names = HashSet::new();
    let mut spans = Vec::new();
    for _ in 0..n_entries {
        let (entry, span) = entry(&mut at, bytes, start)?;
        if !names.insert(entry.name.clone()) {
            return Err(format!("`{}` is there twice", entry.shown()));
        }
        spans.push(span);
        entries.push(entry);
    }
    if !at.0.is_empty() {
        return Err("its directory is longer than it says".to_owned());
    }
    spans.sort_unstable();
    if spans.windows(2).any(|pair| matches!(pair, [(_, end), (start, _)] if end > start)) {
        return Err("its entries overlap".to_owned());
    }
    Ok(entries)
}

/// The last place that can be the end of the directory: a comment may follow it.
fn find_end(bytes: &[u8]) -> Result<usize, String> {
    const MOST_COMMENT: usize = u16::MAX as usize;
    let missing = || "it has no directory: it is cut off, or no archive".to_owned();
    let last = bytes.len().checked_sub(END_BYTES).ok_or_else(missing)?;
    let first = last.saturating_sub(MOST_COMMENT);
    let is_end = |&at: &usize| {
        let mut here = At(bytes.get(at..).unwrap_or_default());
        let n_comment = bytes.len().saturating_sub(at).saturating_sub(END_BYTES);
        here.u32() == Ok(END)
            && here.take(16).is_ok()
            && here.u16().is_ok_and(|n| usize::from(n) == n_comment)
    };
    (first..=last).rev().find(is_end).ok_or_else(missing)
}

/// The next entry of the directory, and the bytes that it takes before the directory's start.
fn entry<'a>(
    at: &mut At<'a>,
    bytes: &'a [u8],
    most: usize,
) -> Result<(Entry<'a>, (usize, usize)), String> {
    if at.u32()? != DIRECTORY {
        return Err("its directory is damaged".to_owned());
    }
    at.take(4)?;
    let (flags, method) = (at.u16()?, at.u16()?);
    at.take(4)?;
    let crc = at.u32()?;
    let (n_packed, n_bytes) = (at.size()?, at.size()?);
    let (n_name, n_extra, n_comment) = (at.u16()?, at.u16()?, at.u16()?);
    at.take(8)?;
    let start = at.size()?;
    let name = at.take(usize::from(n_name))?;
    at.take(usize::from(n_extra))?;
    at.take(usize::from(n_comment))?;
    let name = std::str::from_utf8(name).map_err(|_| "a name in it is not UTF-8".to_owned())?;
    let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();

    // The local header repeats the directory, but for names and extras of other lengths.
    let mut local = At::of(bytes.get(..most).unwrap_or_default(), start)?;
    if local.u32()? != LOCAL {
        return Err(format!("`{shown}` is not where its directory says"));
    }
    local.take(22)?;
    let (n_name, n_extra) = (local.u16()?, local.u16()?);
    local.take(usize::from(n_name))?;
    local.take(usize::from(n_extra))?;
    let packed = local.take(n_packed)?;
    let end = most.saturating_sub(local.0.len());
    let is_deflated = match method {
        STORED => false,
        DEFLATED => true,
        other => {
            return Err(format!("`{shown}` is packed by method {other}, not stored or deflated"));
        }
    };
    if flags & 1 == 1 {
        return Err(format!("`{shown}` is encrypted"));
    }
    // Deflate packs 258 bytes into two bits at best.
    const MOST_RATIO: usize = 1032;
    let most_bytes = if is_deflated { n_packed.saturating_mul(MOST_RATIO) } else { n_packed };
    if n_bytes > most_bytes {
        return Err(format!("`{shown}` says that {n_packed} bytes unpack to {n_bytes}"));
    }
    let name = name.to_owned();
    Ok((Entry { name, packed, is_deflated, n_bytes, crc }, (start, end)))
}

/// An archive that is being written.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    n_entries: usize,
}

impl Archive {
    /// Adds an entry, deflated or as it is.
    ///
    /// # Errors
    /// If the archive is larger than 4 GiB, or has too many entries.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8], deflate: bool) -> Result<(), String> {
        /// zlib's default: slower levels hardly help.
        const LEVEL: u8 = 6;
        let packed: Cow<'_, [u8]> = match deflate {
            true => compress_to_vec(bytes, LEVEL).into(),
            false => bytes.into(),
        };
        let method = if deflate { DEFLATED } else { STORED };
        let n_name = u16::try_from(name.len()).map_err(|_| format!("`{name}` is too long"))?;
        let start = small(self.bytes.len())?;
        let mut common = Vec::with_capacity(DIRECTORY_BYTES);
        // The version that is needed, flags, method, time, date.
        for number in [20, UTF8, method, 0, DATE] {
            common.extend(number.to_le_bytes());
        }
        for number in [crc32(bytes), small(packed.len())?, small(bytes.len())?] {
            common.extend(number.to_le_bytes());
        }
        common.extend(n_name.to_le_bytes());
        // No extra field.
        common.extend([0; 2]);

        self.bytes.reserve(packed.len().saturating_add(name.len()).saturating_add(LOCAL_BYTES));
        self.bytes.extend(LOCAL.to_le_bytes());
        self.bytes.extend(&common);
        self.bytes.extend(name.bytes());
        self.bytes.extend(&*packed);

        self.directory.extend(DIRECTORY.to_le_bytes());
        self.directory.extend(20_u16.to_le_bytes());
        self.directory.extend(common);
        // No comment, the first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(start.to_le_bytes());
        self.directory.extend(name.bytes());
        self.n_entries = self.n_entries.saturating_add(1);
        if self.n_entries > MOST_ENTRIES {
            return Err(format!("more than {MOST_ENTRIES} entries"));
        }
        Ok(())
    }

    /// The bytes of the archive.
    ///
    /// # Errors
    /// If it is larger than 4 GiB.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, String> {
        let (start, n_directory) = (small(self.bytes.len())?, small(self.directory.len())?);
        let n_entries = (self.n_entries as u16).to_le_bytes();
        self.bytes.append(&mut self.directory);
        self.bytes.extend(END.to_le_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(n_entries);
        self.bytes.extend(n_entries);
        self.bytes.extend(n_directory.to_le_bytes());
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend([0; 2]);
        Ok(self.bytes)
    }
}

fn small(size: usize) -> Result<u32, String> {
    let fits = u32::try_from(size).ok().filter(|&size| size < u32::MAX);
    fits.ok_or_else(|| "more than 4 GiB".to_owned())
}
