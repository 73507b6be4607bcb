//! Processes that are killed while they save.

use std::fs;
use std::path::Path;

use rondeau::Array;
use rondeau::io::{Checkpoints, Record, safetensors};

use crate::child::{Process, Role, idle};
use crate::harness::{Rng, Tally, count};

const N_NUMBERS: usize = 50_000;

/// Every number of a step's arrays is that of the step.
fn record(step: u64) -> Record {
    let numbers = Array::new([N_NUMBERS], vec![step as u32; N_NUMBERS]);
    Record::of(&numbers).unwrap()
}

fn step_of(record: &Record) -> u64 {
    let numbers = record.get("value").unwrap().to_vec::<u32>().unwrap();
    assert!(numbers.len() == N_NUMBERS && numbers.iter().all(|&x| x == numbers[0]));
    u64::from(numbers[0])
}

/// The child: saves, and says what is safe.
pub(crate) fn save_forever(dir: &Path) {
    let checkpoints = Checkpoints::in_dir(dir, 2).unwrap();
    let start = checkpoints.newest().unwrap().map_or(0, |found| found.step);
    for step in start + 1.. {
        safetensors::write(dir.join("weights.safetensors"), &record(step)).unwrap();
        checkpoints.save(step, &record(step)).unwrap();
        println!("child: {step}");
    }
}

#[test]
fn saving_survives_kill() {
    let mut rng = Rng::new("saving_survives_kill");
    let n_kills = count(1000, 20);
    let mut tally = Tally::new("kill -9 while saving", n_kills);
    let dir = tempfile::tempdir().unwrap();
    let mut n_mid = 0;
    for kill in 0..n_kills {
        let mut process = Process::start(Role::Save, dir.path());
        let mut safe = process.number().unwrap();
        for _ in 0..rng.below(3) {
            safe = process.number().unwrap();
        }
        // Somewhere in the next save.
        idle(rng.below(200_000));
        safe = process.kill().unwrap_or(safe);
        let is_stray = |name: &str| name.ends_with(".tmp");
        n_mid += u64::from(names(dir.path()).iter().any(|name| is_stray(name)));

        let checkpoints = Checkpoints::in_dir(dir.path(), 2).unwrap();
        let found = checkpoints.newest().unwrap().unwrap();
        assert!(found.passed_over.is_empty(), "kill {kill}: {:?}", found.passed_over);
        assert_eq!(step_of(&found.record), found.step);
        assert!(found.step >= safe, "kill {kill}: step {} was safe, {} is there", safe, found.step);
        let weights = safetensors::read(dir.path().join("weights.safetensors")).unwrap();
        assert!(step_of(&weights) >= safe);

        // Whoever writes next leaves nothing of the dead.
        safetensors::write(dir.path().join("weights.safetensors"), &weights).unwrap();
        let names = names(dir.path());
        assert!(!names.iter().any(|name| is_stray(name)), "kill {kill}: {names:?}");
        assert!(names.len() <= 2 + 3, "kill {kill}: {names:?}");
        tally.pass();
    }
    tally.done(&format!("0 lost, 0 stray files; {n_mid} hit a file half written"));
}

fn names(dir: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(dir).unwrap().map(name).collect()
}
