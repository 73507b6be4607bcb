//! Writing files so that a reader sees the old one or the new one, and never a part.
//!
//! All files of a run are written beside their places first, under names of their own, and moved
//! into place only when the last of them is safe on the disk. A failure before that leaves the
//! directory as it was; moving one file is atomic, so a crash while moving leaves each file whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A file to be written: its name within the directory, and its bytes.
#[derive(Debug)]
pub struct Output {
    /// The name, without directories.
    pub name: &'static str,
    /// What it will hold.
    pub bytes: Vec<u8>,
}

/// Makes the directory if there is none, and sees that a file can be made in it.
///
/// # Errors
/// If it cannot be made or written to, or something of the names is there that is not a file.
pub fn prepare_directory(dir: &Path, names: &[&str]) -> Result<()> {
    fs::create_dir_all(dir)
        .with_context(|| format!("cannot make the directory {} (--out)", dir.display()))?;
    refuse_strange(dir, names.iter().copied())?;
    Beside::write(dir, "probe", b"").map(drop)
}

/// Writes all of the files, or none.
///
/// # Errors
/// If a file cannot be written; then the directory is as it was.
pub fn write_all(dir: &Path, outputs: &[Output]) -> Result<()> {
    refuse_strange(dir, outputs.iter().map(|output| output.name))?;
    let written = outputs.iter().map(|output| Beside::write(dir, output.name, &output.bytes));
    let written = written.collect::<Result<Vec<_>>>()?;
    for (beside, output) in written.into_iter().zip(outputs) {
        beside.move_to(&dir.join(output.name))?;
    }
    sync_directory(dir)
}

/// A directory or a device in the place of a file would stop the files half way.
fn refuse_strange<'a>(dir: &Path, names: impl Iterator<Item = &'a str>) -> Result<()> {
    for name in names {
        let path = dir.join(name);
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            bail!(
                "{} is in the way: it is not a file\nhelp: move it, or write elsewhere (--out)",
                path.display()
            );
        }
    }
    Ok(())
}

/// A file beside its place, removed again unless it is moved there.
struct Beside {
    path: PathBuf,
    moved: bool,
}

impl Beside {
    fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<Beside> {
        let path = dir.join(format!(".{name}.{}.tmp", std::process::id()));
        // A name of an earlier process with our number is the only thing that can be there.
        let open = || OpenOptions::new().write(true).create_new(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path).and_then(|()| open())
            }
            file => file,
        };
        let failed =
            || format!("cannot write {} ({} bytes)", dir.join(name).display(), bytes.len());
        let mut file = file.with_context(failed)?;
        // From here on the file is ours to remove.
        let beside = Beside { path, moved: false };
        file.write_all(bytes).and_then(|()| file.sync_all()).with_context(failed)?;
        Ok(beside)
    }

    fn move_to(mut self, place: &Path) -> Result<()> {
        fs::rename(&self.path, place)
            .with_context(|| format!("cannot write {}", place.display()))?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.moved {
            // Nothing more can be done, and the first error is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the new names themselves safe on the disk.
fn sync_directory(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .with_context(|| format!("cannot sync {}", dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn outputs(text: &str) -> Vec<Output> {
        let output = |name| Output { name, bytes: format!("{text} {name}").into_bytes() };
        ["a", "b", "c"].map(output).into()
    }

    /// Every file in the directory with its text; directories are `None`.
    fn listing(dir: &Path) -> BTreeMap<String, Option<String>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).ok())
        };
        fs::read_dir(dir).unwrap().map(entry).collect()
    }

    #[test]
    fn files_are_written_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("new/inner");
        prepare_directory(&inner, &["a", "b", "c"]).unwrap();
        assert!(listing(&inner).is_empty());
        for text in ["old", "new"] {
            write_all(&inner, &outputs(text)).unwrap();
            let texts: Vec<_> = listing(&inner).into_values().flatten().collect();
            assert_eq!(texts, ["a", "b", "c"].map(|name| format!("{text} {name}")));
        }
    }

    #[test]
    fn a_failure_at_any_file_leaves_everything_as_it_was() {
        for name in ["a", "b", "c"] {
            let dir = tempfile::tempdir().unwrap();
            write_all(dir.path(), &outputs("old")).unwrap();
            // A directory in the place of the file beside makes this one file fail.
            let beside = format!(".{name}.{}.tmp", std::process::id());
            fs::create_dir(dir.path().join(beside)).unwrap();
            let before = listing(dir.path());
            let error = write_all(dir.path(), &outputs("new")).unwrap_err();
            assert!(format!("{error:#}").contains(&format!("/{name} (5 bytes)")), "{error:#}");
            assert_eq!(listing(dir.path()), before);
        }
    }

    #[test]
    fn a_directory_in_the_place_of_a_file_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        let before = listing(dir.path());
        let error = prepare_directory(dir.path(), &["a", "b"]).unwrap_err();
        assert!(format!("{error:#}").contains("is in the way"), "{error:#}");
        assert!(write_all(dir.path(), &outputs("new")).is_err());
        assert_eq!(listing(dir.path()), before);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(prepare_directory(&file.join("out"), &[]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_umask_decides_who_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path(), &outputs("new")).unwrap();
        fs::write(dir.path().join("plain"), "").unwrap();
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("a"), mode("plain"));
    }
}
