//! Writing files so that a reader sees the old one or the new one, and never a part: not after a
//! crash, a full disk, or an error at any step.
//!
//! A file is written beside its place under a name of its own, brought to the disk, and renamed
//! over its place; then the directory is brought to the disk too. A failure leaves the old file and
//! removes the new one. A process that is killed cannot remove what it wrote beside; the next
//! write of the same file does. It knows by a lock, which the system takes off with the process,
//! what nobody writes to any more.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// What is asked of a disk, step by step, so that tests can make any step fail. The default is what
/// the system does.
pub trait Disk: Send + Sync {
    /// Makes a new file.
    ///
    /// # Errors
    /// If the system refuses, or there is one.
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    /// Appends to a file. Large files are written in several pieces.
    ///
    /// # Errors
    /// If the system refuses, as when the disk is full.
    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Brings a file to the disk.
    ///
    /// # Errors
    /// If the system refuses.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Moves a file over another.
    ///
    /// # Errors
    /// If the system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If the system refuses.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// Brings the names in a directory to the disk.
    ///
    /// # Errors
    /// If the system refuses.
    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
    }
}

/// The disk of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {}

/// Writes a file, or leaves what was there. The directory must exist; who may read the file is for
/// the umask to say. It takes the room of the old and the new file while it is being written.
///
/// # Errors
/// If a step fails; the message names the file and its size.
///
/// # Examples
/// ```
/// let path = std::env::temp_dir().join(format!("rondeau-atomic-{}", std::process::id()));
/// rondeau::io::atomic::write(&path, b"all of it")?;
/// assert_eq!(std::fs::read(&path)?, b"all of it");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_on(&SystemDisk, path.as_ref(), bytes)
}

/// [`write()`], on a disk of one's own.
///
/// # Errors
/// If a step fails.
pub fn write_on(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let (dir, name) = place(path)?;
    write_all_on(disk, dir, &[(name, bytes)])
}

/// Writes several files of a directory, or none: they are moved into place when the last of them is
/// safe on the disk. Only a crash while they are being moved leaves some old and some new, each of
/// them whole; they are moved in the order of the list.
///
/// # Errors
/// If a file cannot be written, or something of its name is there that is not a file. Then the
/// directory is as it was, unless moving itself fails half way.
pub fn write_all<N: AsRef<OsStr>>(dir: impl AsRef<Path>, files: &[(N, &[u8])]) -> Result<()> {
    write_all_on(&SystemDisk, dir.as_ref(), files)
}

/// [`write_all`], on a disk of one's own.
///
/// # Errors
/// If a file cannot be written.
pub fn write_all_on<N: AsRef<OsStr>>(
    disk: &dyn Disk,
    dir: &Path,
    files: &[(N, &[u8])],
) -> Result<()> {
    let names: Vec<&OsStr> = files.iter().map(|(name, _)| name.as_ref()).collect();
    refuse_strange(dir, &names)?;
    sweep(disk, dir, &names);
    let beside = |(name, bytes): &(N, &[u8])| {
        let place = dir.join(name.as_ref());
        Beside::write(disk, &place, bytes).map_err(|error| failed(&place, bytes.len(), &error))
    };
    let written = files.iter().map(beside).collect::<Result<Vec<_>>>()?;
    for (beside, (name, bytes)) in written.into_iter().zip(files) {
        let place = dir.join(name.as_ref());
        beside.move_to(&place).map_err(|error| failed(&place, bytes.len(), &error))?;
    }
    let unsafe_yet = |error| Error::file("bring to the disk the names in", &dir.display(), &error);
    disk.sync_directory(dir).map_err(unsafe_yet)
}

/// Makes the directory if there is none, and sees that files of these names could be written into
/// it, so that a long computation does not fail at its end.
///
/// # Errors
/// If it cannot be made or written to, or something of the names is there that is not a file.
pub fn prepare<N: AsRef<OsStr>>(dir: impl AsRef<Path>, names: &[N]) -> Result<()> {
    let dir = dir.as_ref();
    let make = |error| Error::file("make the directory", &dir.display(), &error);
    fs::create_dir_all(dir).map_err(make)?;
    refuse_strange(dir, &names.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
    let place = dir.join("probe");
    Beside::write(&SystemDisk, &place, b"").map(drop).map_err(|error| failed(&place, 0, &error))
}

fn failed(path: &Path, n_bytes: usize, error: &io::Error) -> Error {
    let what = match n_bytes {
        0 => "write".to_owned(),
        n => format!("write {n} bytes to"),
    };
    Error::file(&what, &path.display(), error)
}

/// The directory and the name of a path.
fn place(path: &Path) -> Result<(&Path, &OsStr)> {
    let no_name = || Error::file("write", &path.display(), &"the path ends in no name");
    let name = path.file_name().ok_or_else(no_name)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    Ok((dir.unwrap_or(Path::new(".")), name))
}

/// A directory or a device in the place of a file would stop the files half way.
fn refuse_strange(dir: &Path, names: &[&OsStr]) -> Result<()> {
    for name in names {
        let path = dir.join(name);
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            let cause = "something that is not a file is in its place";
            return Err(Error::file("write", &path.display(), &cause));
        }
    }
    Ok(())
}

/// What names beside end in.
const BESIDE: &str = ".tmp";

/// A name beside a place, which nobody else has.
fn beside_of(place: &Path) -> PathBuf {
    let unique = RandomState::new().build_hasher().finish();
    let mut name = OsStr::new(".").to_owned();
    name.push(place.file_name().unwrap_or_default());
    name.push(format!(".{unique:016x}{BESIDE}"));
    place.with_file_name(name)
}

/// Whether `beside` is a name beside `name`.
fn is_beside(beside: &OsStr, name: &OsStr) -> bool {
    let unique = beside
        .as_encoded_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(BESIDE.as_bytes()));
    unique.is_some_and(|unique| unique.len() == 16 && unique.iter().all(u8::is_ascii_hexdigit))
}

/// Removes what processes that are gone left beside these names. What cannot be seen or removed
/// stays: it is in nobody's way.
fn sweep(disk: &dyn Disk, dir: &Path, names: &[&OsStr]) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let beside = entry.file_name();
        if names.iter().any(|name| is_beside(&beside, name)) {
            let path = entry.path();
            // The lock is held until the file is gone, so that its writer, if there is one after
            // all, finds it gone or not at all.
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() {
                let _ = disk.remove(&path);
            }
        }
    }
}

/// Removes what processes that are gone left beside any name that `is_ours` accepts.
pub(super) fn sweep_all(dir: &Path, is_ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let beside = entry.file_name();
        let Some(beside) = beside.to_str() else { continue };
        // `.name.0123456789abcdef.tmp`
        let name = beside.strip_prefix('.').and_then(|rest| rest.strip_suffix(BESIDE));
        let name = name.and_then(|rest| rest.rsplit_once('.')).map(|(name, _)| name);
        names.extend(name.filter(|name| is_ours(name)).map(str::to_owned));
    }
    sweep(&SystemDisk, dir, &names.iter().map(OsStr::new).collect::<Vec<_>>());
}

/// A file beside its place, removed again unless it is moved there.
struct Beside<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    /// Keeps the lock.
    file: File,
    moved: bool,
}

impl<'a> Beside<'a> {
    fn write(disk: &'a dyn Disk, place: &Path, bytes: &[u8]) -> io::Result<Beside<'a>> {
        const PIECE: usize = 1 << 20;
        let beside = Beside::create(disk, place)?;
        for piece in bytes.chunks(PIECE) {
            disk.write(&beside.file, piece)?;
        }
        disk.sync(&beside.file)?;
        Ok(beside)
    }

    /// Between the making of a file and its lock, somebody may sweep it away; then it is made again.
    fn create(disk: &'a dyn Disk, place: &Path) -> io::Result<Beside<'a>> {
        const ATTEMPTS: usize = 16;
        for _ in 0..ATTEMPTS {
            let path = beside_of(place);
            let file = disk.create(&path)?;
            let beside = Beside { disk, path, file, moved: false };
            match beside.file.try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                // Without locks nobody sweeps.
                Err(TryLockError::Error(_)) => return Ok(beside),
                Ok(()) if beside.path.exists() => return Ok(beside),
                Ok(()) => continue,
            }
        }
        Err(io::Error::other("what is written beside it is removed again and again"))
    }

    fn move_to(mut self, place: &Path) -> io::Result<()> {
        self.disk.rename(&self.path, place)?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if !self.moved {
            // Nothing more can be done, and the first error is the one to tell.
            let _ = self.disk.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Every file in the directory with its text; directories are `None`.
    fn listing(dir: &Path) -> BTreeMap<String, Option<String>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).ok())
        };
        fs::read_dir(dir).unwrap().map(entry).collect()
    }

    fn write_three(dir: &Path, text: &str) -> Result<()> {
        write_all(dir, &["a", "b", "c"].map(|name| (name, text.as_bytes())))
    }

    #[test]
    fn files_are_written_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("new/inner");
        prepare(&inner, &["a", "b", "c"]).unwrap();
        assert!(listing(&inner).is_empty());
        for text in ["old", "new"] {
            write_three(&inner, text).unwrap();
            let texts: Vec<_> = listing(&inner).into_values().flatten().collect();
            assert_eq!(texts, [text; 3]);
        }
    }

    #[test]
    fn something_else_in_the_place_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        let before = listing(dir.path());
        for error in [prepare(dir.path(), &["a", "b"]), write_three(dir.path(), "new")] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("/b\n  something that is not a file"), "{error}");
        }
        assert_eq!(listing(dir.path()), before);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(prepare(file.join("out"), &[""; 0]).is_err());
        assert!(write(file.join("out"), b"").is_err());
        assert!(write("/", b"").is_err());
    }

    #[test]
    fn what_the_dead_left_is_swept_and_what_the_living_write_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in [".a.0123456789abcdef.tmp", ".b.0123456789abcdef.tmp", ".a.tmp", ".a.x.tmp"] {
            fs::write(path(name), "").unwrap();
        }
        let living = Beside::write(&SystemDisk, &path("a"), b"living").unwrap();
        write(path("a"), b"new").unwrap();
        assert!(!path(".a.0123456789abcdef.tmp").exists());
        assert!(path(".b.0123456789abcdef.tmp").exists());
        assert!(path(".a.tmp").exists() && path(".a.x.tmp").exists());
        living.move_to(&path("a")).unwrap();
        assert_eq!(fs::read(path("a")).unwrap(), b"living");
    }

    #[cfg(unix)]
    #[test]
    fn the_umask_decides_who_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        write_three(dir.path(), "new").unwrap();
        fs::write(dir.path().join("plain"), "").unwrap();
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("a"), mode("plain"));
    }
}
