//! The commands in the guides, run in order, page by page, each page in a directory of its own.
//! What they print is held against the page: `..` stands for any text within a line, and a line of
//! `..` for any lines. Called with a variable set, this program is the command.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use guides::janet::Janet;
use guides::{Block, pages};

/// Says which command this program is.
const WHICH: &str = "RONDEAU_GUIDES_COMMAND";

fn main() -> ExitCode {
    match std::env::var(WHICH).as_deref() {
        Ok("own") => return rondeau_cli::run::<Janet>(),
        Ok(_) => return rondeau_cli::main(),
        Err(_) => {}
    }
    if cfg!(not(unix)) {
        println!("the commands of the guides are for a shell");
        return ExitCode::SUCCESS;
    }
    let mut n = 0;
    for page in pages() {
        let dir = tempfile::tempdir().expect("there is room");
        prepare(dir.path());
        for block in &page.blocks {
            let at = format!("{}.md:{}", page.name, block.line);
            if let Some(name) = block.said("file") {
                fs::write(dir.path().join(name), &block.text).expect("there is room");
            }
            if block.language == "console" {
                for (command, shown) in commands(&at, block) {
                    let printed = run(dir.path(), &at, command);
                    assert!(
                        is_like(&shown, &printed.lines().collect::<Vec<_>>()),
                        "{at}: `{command}` is shown to print\n{}\n\nand prints\n{printed}",
                        shown.join("\n")
                    );
                    n += 1;
                }
            }
        }
    }
    assert!(n >= 20, "there are {n} commands");
    println!("{n} commands of the guides do what is said");
    ExitCode::SUCCESS
}

/// The directory of a page: `rondeau`, and `cargo` that runs what the chapter on cells has built.
fn prepare(dir: &Path) {
    let own = std::env::current_exe().expect("this program has a path");
    let own = own.display();
    let script = |name: &str, text: String| {
        let path = dir.join("bin").join(name);
        fs::write(&path, text).expect("there is room");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
    };
    fs::create_dir(dir.join("bin")).expect("there is room");
    script("rondeau", format!("#!/bin/sh\n{WHICH}=library exec '{own}' \"$@\"\n"));
    let begin = "while [ \"$1\" != -- ]; do shift; done; shift";
    script("cargo", format!("#!/bin/sh\n{begin}\n{WHICH}=own exec '{own}' \"$@\"\n"));
}

/// Commands, which begin with `$ `, and the lines that each is shown to print.
fn commands<'a>(at: &str, block: &'a Block) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, shown))) => shown.push(line.trim_end()),
            (None, None) => panic!("{at}: a block begins with `$ `"),
        }
    }
    commands
}

/// What a command prints to both outputs. It must end well, unless it is to be seen how it fails.
fn run(dir: &Path, at: &str, command: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    // The pages show what is printed where nothing is chosen by a variable.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("RONDEAU_")) {
            shell.env_remove(name);
        }
    }
    let output = shell
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .env("PATH", format!("{}:{path}", dir.join("bin").display()))
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let fails = printed.starts_with("error: ");
    assert!(output.status.success() != fails, "{at}: `{command}`: {}\n{printed}", output.status);
    printed
}

/// Whether lines are as shown.
fn is_like(shown: &[&str], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((&"..", rest)), _) => (0..=lines.len()).any(|n| is_like(rest, &lines[n..])),
        (Some((first, shown)), Some((line, lines))) => {
            is_line(first, line.trim_end()) && is_like(shown, lines)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Whether a line is as shown, `..` being any text.
fn is_line(shown: &str, line: &str) -> bool {
    let mut parts = shown.split("..");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}
