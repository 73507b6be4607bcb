//! The `rondeau` command, as a library of its parts.

pub mod args;
pub mod baseline;
pub mod bench;
pub mod chart;
pub mod data;
pub mod export;
pub mod fit;
pub mod import;
pub mod interrupt;
pub mod model;
pub mod predict;
pub mod progress;
pub mod report;
pub mod train;
pub mod weights;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Cli, Command};
use data::{DataError, Limits, Source, Table, Wanted};

/// Runs the command with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help is asked for and goes to stdout; whether it could be printed changes nothing.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match &cli.command {
        Command::Train(args) => train::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Explain(args) => bench::explain(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has all it wants, as in `rondeau predict .. | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    io.map(io::Error::kind).any(|kind| kind == io::ErrorKind::BrokenPipe)
}

/// Prints to standard output.
fn print(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    Ok(stdout.flush()?)
}

/// Tells the user something on standard error; nothing if quiet.
fn tell(quiet: bool, notes: &[String]) {
    if !quiet {
        for note in notes {
            let _ = writeln!(io::stderr(), "note: {note}");
        }
    }
}

/// Reads the table in a file; `-` is standard input.
fn read_table(path: &Path, wanted: &Wanted) -> Result<Table> {
    if path.as_os_str() == "-" {
        let source = Source { name: "standard input".to_owned(), text: io::stdin().lock() };
        return Ok(Table::read(source, wanted, Limits::default())?);
    }
    let name = path.display().to_string();
    let text = File::open(path).map_err(|error| {
        DataError::whole(&name, format!("cannot be opened: {error}"), "check the path")
    })?;
    Ok(Table::read(Source { name, text }, wanted, Limits::default())?)
}
