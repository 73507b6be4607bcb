//! The `rondeau` command, as a library of its parts. [`run`] gives a cell of your own all of it.

pub mod args;
pub mod baseline;
pub mod bench;
pub mod cells;
pub mod chart;
pub mod commands;
pub mod config;
pub mod data;
pub mod export;
pub mod fit;
pub mod forecaster;
pub mod import;
pub mod interrupt;
pub mod model;
pub mod progress;
pub mod report;
pub mod weights;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, FromArgMatches};

use args::{Cli, Command, TrainTask};
pub use cells::{Cells, OwnCell};
use data::{DataError, Limits, Source, Table, Wanted};

/// Runs the command with the arguments of the process.
pub fn main() -> ExitCode {
    with_cells(&Cells::of_the_library())
}

/// Runs the command with the arguments of the process and a cell of your own beside those of the
/// library. It is the one that `--cell` names if nothing else is said; `check` takes its name too.
/// See [`OwnCell`] for an example.
pub fn run<C: OwnCell>() -> ExitCode {
    with_cells(&Cells::of_the_library().with::<C>())
}

fn with_cells(cells: &Cells) -> ExitCode {
    let told = match parsed(cells, std::env::args_os().collect()) {
        Ok(Ok(cli)) => dispatch(cells, &cli.command),
        Ok(Err(error)) => {
            // Help is asked for and goes to stdout; whether it could be printed changes nothing.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(error) => Err(error),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has all it wants, as in `rondeau predict .. | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What this program is called: `rondeau`, or the name of a program with a cell of its own.
fn program() -> String {
    let path = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = path.as_deref().and_then(Path::file_stem).and_then(|name| name.to_str());
    name.unwrap_or("rondeau").to_owned()
}

/// The command line; the inner error is clap's.
fn parsed(cells: &Cells, args: Vec<OsString>) -> Result<Result<Cli, clap::Error>> {
    let command = args::command(cells);
    let args = config::completed(&command, args)?;
    let matches: Result<ArgMatches, clap::Error> = command.try_get_matches_from(args);
    Ok(matches.and_then(|matches| Cli::from_arg_matches(&matches)))
}

fn dispatch(cells: &Cells, command: &Command) -> Result<()> {
    match command {
        Command::Train(args) => match &args.task {
            TrainTask::Series(args) => commands::series::run(cells, args),
            TrainTask::Text(args) => commands::text::run(cells, args),
            TrainTask::Labels(args) => commands::labels::run(cells, args),
        },
        Command::Predict(args) => commands::predict::run(cells, args),
        Command::Generate(args) => commands::text::generate(cells, args),
        Command::Stream(args) => commands::stream::run(cells, args),
        Command::Summary(args) => commands::inspect::summary(cells, args),
        Command::Program(args) => commands::inspect::program(cells, args),
        Command::Check(args) => commands::check::run(cells, args),
        Command::Plot(args) => commands::plot::run(cells, args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Explain(args) => bench::explain(args),
        Command::Export(args) => export::run(cells, args),
        Command::Import(args) => import::run(args),
        Command::Completions(args) => commands::shell::completions(cells, args),
        Command::Man(args) => commands::shell::man(cells, args),
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
