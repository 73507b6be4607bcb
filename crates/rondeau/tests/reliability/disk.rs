//! Disks that fail at a step, or are full: injected, and by the system.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rondeau::Array;
use rondeau::io::atomic::{self, Disk, SystemDisk};
use rondeau::io::{Checkpoints, Record};

use crate::child::{self, Role};
use crate::harness::{Tally, count};

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
    // At least; how many steps of each kind there are is found on the way.
    let mut tally = Tally::new("n-th create, write, fsync, rename, remove", 30);
    for step in steps {
        let mut n_faults = 0;
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
            tally.pass();
        }
        assert!(n_faults >= 3, "{step:?} is done {n_faults} times");
    }
    tally.done("every n: 0 lost, 0 stray files");
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let n_sizes = count(200, 20);
    let mut tally = Tally::new("disk full, injected after any number of bytes", n_sizes);
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
        tally.pass();
    }
    atomic::write_on(&Faulty::full(new.len()), &path, &new).unwrap();
    assert!(fs::read(&path).unwrap() == new);
    tally.done("the old file stays, 0 stray files");
}

/// What the system does not let one write.
const SIZE: usize = 3_000_000;

/// A child on a file system that is too small, or that may not write large files: saves a file of
/// [`SIZE`] bytes so often, each time with less room than it needs, and says how often it was
/// refused as it must be.
pub(crate) fn save_without_room(dir: &Path) {
    let path = dir.join("file");
    let n_times = count(100, 10);
    let (old, new) = (vec![1_u8; 1000], vec![2_u8; SIZE]);
    atomic::write(&path, &old).unwrap();
    for i in 0..n_times {
        // On the small file system, what is left is between nothing and almost enough.
        let ballast = dir.join("ballast");
        let is_small = std::env::var_os(ROOM).is_some();
        if is_small {
            let room: usize = std::env::var(ROOM).unwrap().parse().unwrap();
            let left = (SIZE - (100 << 10)) * i as usize / n_times as usize;
            // 64 KiB for the old file and what the file system keeps for itself.
            fs::write(&ballast, vec![3_u8; room - left - (64 << 10)]).unwrap();
        }
        let error = atomic::write(&path, &new).unwrap_err().to_string();
        assert!(error.starts_with("cannot write 3000000 bytes to"), "{error}");
        assert!(fs::read(&path).unwrap() == old, "time {i}");
        assert_eq!(strays(dir), 0, "time {i}");
        if is_small {
            fs::remove_file(&ballast).unwrap();
            // With room again, nothing is in the way.
            atomic::write(&path, &new).unwrap();
            assert!(fs::read(&path).unwrap() == new);
            atomic::write(&path, &old).unwrap();
        }
        println!("child: {}", i + 1);
    }
}

/// How many bytes the small file system has.
const ROOM: &str = "RONDEAU_CHILD_ROOM";

/// Counts what a child says.
fn follow(tally: &mut Tally, mut process: child::Process) {
    while process.number().is_some() {
        tally.pass();
    }
    process.finish();
}

/// A real file system of 8 MiB in memory, in a name space of its own; needs rights to mount.
#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_is_full_leaves_the_old_file() {
    use std::process::{Command, Stdio};

    let mut tally = Tally::new("disk full, a file system of 8 MiB", count(100, 10));
    let dir = tempfile::tempdir().unwrap();
    // With the rights of a user of a name space of its own, or else with those of root.
    let ways = [["--user", "--map-root-user", "--mount"].as_slice(), &["--mount"]];
    let mount = "mount -t tmpfs -o size=8m tmpfs \"$RONDEAU_CHILD_DIR\"";
    let can = |way: &&[&str]| {
        let mut command = Command::new("unshare");
        command.args(*way).args(["sh", "-c", mount]).env("RONDEAU_CHILD_DIR", dir.path());
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let Some(way) = ways.into_iter().find(can) else {
        return tally.done("skipped: neither root nor a user's name space may mount here");
    };
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]);
    command.env(ROOM, (8 << 20).to_string());
    follow(&mut tally, child::Process::under(command, Role::SaveWithoutRoom, dir.path()));
    tally.done("the old file stays, 0 stray files");
}

/// A limit on the size of files (RLIMIT_FSIZE), for which nobody needs rights.
#[cfg(unix)]
#[test]
fn a_limit_on_files_leaves_the_old_file() {
    let mut tally = Tally::new("write refused by a limit of the system", count(100, 10));
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    // 1000 blocks of 512 or 1024 bytes; without the signal, the write returns an error.
    command.args(["-c", "trap '' XFSZ && ulimit -f 1000 && exec \"$0\" \"$@\""]);
    follow(&mut tally, child::Process::under(command, Role::SaveWithoutRoom, dir.path()));
    tally.done("the old file stays, 0 stray files");
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
    let mut tally = Tally::new("writes of one file by 4 threads at once", 4 * n_writes);
    let n_whole: u64 = std::thread::scope(|scope| {
        let writers = [0_u8, 1, 2, 3].map(|writer| {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..n_writes {
                    atomic::write(path, &[writer; 5000]).unwrap();
                    let read = fs::read(path).unwrap();
                    assert!(read.len() == 5000 && read.iter().all(|&x| x == read[0]));
                }
                n_writes
            })
        });
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    (0..n_whole).for_each(|_| tally.pass());
    tally.done("each whole, 0 stray files");
}
