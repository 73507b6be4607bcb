//! Child processes: this binary again, told by a variable of the environment to run one function.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::{disk, kill, train};

const ROLE: &str = "RONDEAU_CHILD_ROLE";
const DIR: &str = "RONDEAU_CHILD_DIR";

/// What a child does.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Save,
    Train,
    SaveWithoutRoom,
}

/// A child, and what it says on lines that begin with `child: `.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(role: Role, dir: &Path) -> Process {
        let this = std::env::current_exe().unwrap();
        Process::of(Command::new(this), role, dir)
    }

    /// A child of a command that runs the one that is appended to it.
    pub(crate) fn under(mut command: Command, role: Role, dir: &Path) -> Process {
        command.arg(std::env::current_exe().unwrap());
        Process::of(command, role, dir)
    }

    fn of(mut command: Command, role: Role, dir: &Path) -> Process {
        let role = match role {
            Role::Save => "save",
            Role::Train => "train",
            Role::SaveWithoutRoom => "save without room",
        };
        let mut child = command
            .args(["--exact", "child::acts", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(DIR, dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }

    /// The next number that it says; nothing once it has ended.
    pub(crate) fn number(&mut self) -> Option<u64> {
        loop {
            let line = self.lines.next()?.unwrap();
            if let Some((_, number)) = line.split_once("child: ") {
                return Some(number.parse().unwrap());
            }
        }
    }

    /// Kills it as `kill -9` does, and returns the last number that it said.
    pub(crate) fn kill(mut self) -> Option<u64> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.number()).last()
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn finish(mut self) {
        while self.number().is_some() {}
        assert!(self.child.wait().unwrap().success());
    }
}

/// Does nothing for some tens of nanoseconds a round. It keeps the processor: to give it away would
/// take a thousand times as long on a busy machine.
pub(crate) fn idle(n_rounds: usize) {
    (0..n_rounds).for_each(|_| std::hint::spin_loop());
}

/// In a child, what it is for; nothing in the tests themselves.
#[test]
fn acts() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    match role.as_str() {
        "save" => kill::save_forever(&dir),
        "train" => train::run(&dir),
        "save without room" => disk::save_without_room(&dir),
        other => panic!("no role `{other}`"),
    }
}
