//! The log of a run as CSV: a line for each epoch.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Epoch;
use crate::io::atomic;
use crate::{Error, Result};

/// A CSV file to which epochs are added. It is first written with the epochs that are done already,
/// so that a run that is gone on with ends with the log of one that was not interrupted.
#[derive(Debug)]
pub(super) struct CsvLog {
    path: PathBuf,
    file: Option<File>,
}

impl CsvLog {
    pub(super) fn new(path: &Path) -> CsvLog {
        CsvLog { path: path.to_owned(), file: None }
    }

    /// Adds the last of the epochs.
    pub(super) fn add(&mut self, epochs: &[Epoch]) -> Result<()> {
        let failed = |error| Error::file("write", &self.path.display(), &error);
        match (&mut self.file, epochs.last()) {
            (Some(file), Some(epoch)) => file.write_all(line(epoch).as_bytes()).map_err(failed),
            (Some(_), None) => Ok(()),
            (None, _) => {
                let lines = epochs.iter().map(line);
                let text: String = epochs.first().map(header).into_iter().chain(lines).collect();
                atomic::write(&self.path, text.as_bytes())?;
                if epochs.is_empty() {
                    // The header is not known yet; that the place can be written to is.
                    return Ok(());
                }
                let file = OpenOptions::new().append(true).open(&self.path).map_err(failed)?;
                self.file = Some(file);
                Ok(())
            }
        }
    }
}

fn header(epoch: &Epoch) -> String {
    let names = epoch.metrics.iter().map(|(name, _)| field(name));
    let validation = epoch.validation.map(|_| "validation".to_owned());
    let names: Vec<String> =
        ["epoch", "step"].map(str::to_owned).into_iter().chain(names).collect();
    names.into_iter().chain(validation).collect::<Vec<_>>().join(",") + "\n"
}

fn line(epoch: &Epoch) -> String {
    let numbers = epoch.metrics.iter().map(|(_, value)| *value).chain(epoch.validation);
    let numbers: String = numbers.map(|number| format!(",{number}")).collect();
    format!("{},{}{numbers}\n", epoch.epoch, epoch.step)
}

/// A name as CSV has it: in quotes if it needs them.
fn field(name: &str) -> String {
    if name.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}
