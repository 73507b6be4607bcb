//! Disks that fail at a step, or are full.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rondeau::Array;
use rondeau::io::atomic::{self, Disk, SystemDisk};
use rondeau::io::{Checkpoints, Record};

use crate::{count, tell};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    SyncDirectory,
}

/// Fails the n-th of one kind of step, from 0; or has room for so many bytes.
struct Faulty {
    step: Option<(Step, usize)>,
    n_seen: AtomicUsize,
    room: AtomicUsize,
}

impl Faulty {
    fn at(step: Step, n: usize) -> Faulty {
        let room = AtomicUsize::new(usize::MAX);
        Faulty { step: Some((step, n)), n_seen: AtomicUsize::new(0), room }
    }

    fn full(room: usize) -> Faulty {
        Faulty { step: None, n_seen: AtomicUsize::new(0), room: AtomicUsize::new(room) }
    }

    fn pass(&self, step: Step) -> io::Result<()> {
        if let Some((fails, n)) = self.step
            && fails == step
            && self.n_seen.fetch_add(1, Ordering::SeqCst) == n
        {
            return Err(io::Error::other("the disk fails"));
        }
        Ok(())
    }

    /// Whether it came to the step that fails.
    fn has_failed(&self) -> bool {
        self.step.is_some_and(|(_, n)| self.n_seen.load(Ordering::SeqCst) > n)
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.pass(Step::Create)?;
        SystemDisk.create(path)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.pass(Step::Write) {
            // A write that fails may have written a part.
            SystemDisk.write(file, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        let room = self.room.load(Ordering::SeqCst);
        let fits = bytes.len().min(room);
        self.room.store(room - fits, Ordering::SeqCst);
        SystemDisk.write(file, &bytes[..fits])?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.pass(Step::Sync)?;
        SystemDisk.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Step::Rename)?;
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass(Step::Remove)?;
        SystemDisk.remove(path)
    }

    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        self.pass(Step::SyncDirectory)?;
        SystemDisk.sync_directory(dir)
    }
}

fn record(step: u64) -> Record {
    // More than two pieces.
    Record::of(&Array::new([600_000], vec![step as u32; 600_000])).unwrap()
}

fn step_of(record: &Record) -> u64 {
    let numbers = record.get("value").unwrap().to_vec::<u32>().unwrap();
    assert!(numbers.iter().all(|&x| x == numbers[0]));
    u64::from(numbers[0])
}

fn strays(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_str().unwrap().ends_with(".tmp")).count()
}

#[test]
fn no_step_that_fails_loses_anything() {
    let steps =
        [Step::Create, Step::Write, Step::Sync, Step::Rename, Step::Remove, Step::SyncDirectory];
    let mut n_faults = 0;
    for step in steps {
        for n in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let faulty = Arc::new(Faulty::at(step, n));
            let checkpoints = Checkpoints::in_dir(dir.path(), 2).unwrap().on(faulty.clone());
            let mut safe = 0;
            let mut n_errors = 0;
            for at in 1..=5 {
                match checkpoints.save(at, &record(at)) {
                    Ok(()) => safe = at,
                    Err(error) => {
                        n_errors += 1;
                        assert!(error.to_string().contains("the disk fails"), "{error}");
                    }
                }
                match checkpoints.newest().unwrap() {
                    None => assert_eq!(safe, 0),
                    Some(found) => {
                        assert!(found.passed_over.is_empty() && found.step >= safe);
                        assert_eq!(step_of(&found.record), found.step);
                    }
                }
                assert_eq!(strays(dir.path()), 0, "{step:?} {n}");
            }
            assert!(safe >= 4, "{step:?} {n}");
            let again = checkpoints.on(Arc::new(SystemDisk));
            again.save(6, &record(6)).unwrap();
            let steps = again.steps().unwrap();
            assert!(steps.len() == 2 && steps[0] >= safe && steps[1] == 6, "{step:?} {n}");
            if !faulty.has_failed() {
                break;
            }
            assert_eq!(n_errors, 1, "{step:?} {n}");
            n_faults += 1;
        }
    }
    tell(
        "the n-th create, write, fsync, rename, remove fails, every n",
        n_faults,
        "0 lost, 0 stray files",
    );
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let n_sizes = count(200, 20);
    let (old, new) = (vec![1_u8; 3_000_000], vec![2_u8; 3_000_000]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    atomic::write(&path, &old).unwrap();
    for i in 0..n_sizes {
        let room = new.len() * i as usize / n_sizes as usize;
        let error = atomic::write_on(&Faulty::full(room), &path, &new).unwrap_err().to_string();
        assert!(error.starts_with("cannot write 3000000 bytes to"), "{error}");
        assert!(fs::read(&path).unwrap() == old, "{room} bytes");
        assert_eq!(strays(dir.path()), 0);
    }
    atomic::write_on(&Faulty::full(new.len()), &path, &new).unwrap();
    assert!(fs::read(&path).unwrap() == new);
    tell("disk full after so many bytes", n_sizes, "the old file stays, 0 stray files");
}

#[test]
fn several_files_are_written_or_none() {
    let files = |text: &'static str| ["a", "b", "c"].map(|name| (name, text.as_bytes()));
    let texts =
        |dir: &Path| ["a", "b", "c"].map(|name| fs::read_to_string(dir.join(name)).unwrap());
    for step in [Step::Create, Step::Write, Step::Sync] {
        for n in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            atomic::write_all(dir.path(), &files("old")).unwrap();
            let faulty = Faulty::at(step, n);
            assert!(atomic::write_all_on(&faulty, dir.path(), &files("new")).is_err());
            assert_eq!(texts(dir.path()), ["old"; 3]);
            assert_eq!(strays(dir.path()), 0);
        }
    }
}

#[test]
fn many_writers_of_one_file_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let n_writes = count(500, 50);
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..n_writes {
                    atomic::write(path, &[writer; 5000]).unwrap();
                    let read = fs::read(path).unwrap();
                    assert!(read.len() == 5000 && read.iter().all(|&x| x == read[0]));
                }
            });
        }
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    tell("writes of one file by 4 threads at once", 4 * n_writes, "each whole, 0 stray files");
}
