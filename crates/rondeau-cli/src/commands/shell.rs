//! `rondeau completions` and `rondeau man`: what shells and readers of manuals need.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man as Page;

use crate::args::{self, Completions, Man};
use crate::cells::Cells;

/// Prints the completions of a shell.
///
/// # Errors
/// If they cannot be printed.
pub fn completions(cells: &Cells, args: &Completions) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(cells), crate::program(), &mut text);
    crate::print(&text)
}

/// Prints the manual page of the command, or writes one for each of its commands.
///
/// # Errors
/// If they cannot be written.
pub fn man(cells: &Cells, args: &Man) -> Result<()> {
    let name = crate::program();
    // There is no page for `help`.
    let mut command = args::command(cells).name(leaked(&name)).disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.out else { return crate::print(&page(&command)?) };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    write(&command, &name, dir)
}

/// Clap's names live as long as the program.
fn leaked(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

/// The page of a command. What its help ends with keeps its lines: examples stand in columns.
fn page(command: &Command) -> Result<Vec<u8>> {
    let page = Page::new(command.clone().after_help(None::<&str>))
        .source(format!("rondeau {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text)?;
    let Some(more) = command.get_after_help().map(ToString::to_string) else { return Ok(text) };
    let (told, examples) = match more.split_once("Examples:\n") {
        Some((told, examples)) => (told, Some(examples)),
        None => (more.as_str(), None),
    };
    if !told.trim().is_empty() {
        text.extend(format!(".SH NOTES\n{}", lines(told)).bytes());
    }
    if let Some(examples) = examples {
        text.extend(format!(".SH EXAMPLES\n.nf\n{}.fi\n", lines(examples)).bytes());
    }
    Ok(text)
}

/// Lines of text as a page has them: an empty one begins a paragraph.
fn lines(text: &str) -> String {
    let line = |line: &str| match line {
        "" => ".PP\n".to_owned(),
        // A point or a quote at the beginning would be a request.
        line => format!("\\&{}\n", line.replace('\\', "\\e").replace('-', "\\-")),
    };
    text.trim_end().lines().map(line).collect()
}

/// Writes the page of a command and those below it.
fn write(command: &Command, name: &str, dir: &Path) -> Result<()> {
    let path = dir.join(format!("{name}.1"));
    let text = page(&command.clone().name(leaked(name)))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    for inner in command.get_subcommands() {
        write(inner, &format!("{name}-{}", inner.get_name()), dir)?;
    }
    Ok(())
}
