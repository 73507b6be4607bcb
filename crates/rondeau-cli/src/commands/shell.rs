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
    clap_complete::generate(args.shell, &mut args::command(cells), "rondeau", &mut text);
    crate::print(&text)
}

/// Prints the manual page of the command, or writes one for each of its commands.
///
/// # Errors
/// If they cannot be written.
pub fn man(cells: &Cells, args: &Man) -> Result<()> {
    let mut command = args::command(cells);
    command.build();
    let Some(dir) = &args.out else { return crate::print(&page(&command)?) };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    write(&command, "rondeau", dir)
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    Page::new(command.clone()).render(&mut text)?;
    Ok(text)
}

/// Writes the page of a command and those below it.
fn write(command: &Command, name: &str, dir: &Path) -> Result<()> {
    let path = dir.join(format!("{name}.1"));
    let title: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let text = page(&command.clone().name(title))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        write(inner, &format!("{name}-{}", inner.get_name()), dir)?;
    }
    Ok(())
}
