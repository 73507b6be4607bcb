//! Ctrl-C: the first asks to stop and save, the second stops at once.

use std::io::Write;
use std::process;

use anyhow::{Context, Result};
use rondeau::train::Stop;

/// Takes over Ctrl-C for the rest of the process; `unit` is what is still done, such as an epoch.
///
/// # Errors
/// If the system does not let us, or it has been taken before.
pub fn install(unit: &'static str) -> Result<Stop> {
    /// What shells report of a process that Ctrl-C stopped: 128 and the signal's number.
    const STOPPED: i32 = 130;
    let stop = Stop::new();
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.request() > 1 {
            process::exit(STOPPED);
        }
        let _ = writeln!(
            std::io::stderr(),
            "\nstopping after this {unit}, to save the weights; Ctrl-C again stops at once"
        );
    })
    .context("cannot listen to Ctrl-C")?;
    Ok(stop)
}
