//! Ctrl-C: the first asks to stop after the epoch and save, the second stops at once.

use std::io::Write;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Whether the user asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over Ctrl-C for the rest of the process.
    ///
    /// # Errors
    /// If the system does not let us, or it has been taken before.
    pub fn install() -> Result<Interrupt> {
        /// What shells report of a process that Ctrl-C stopped: 128 and the signal's number.
        const STOPPED: i32 = 130;
        let interrupt = Interrupt::default();
        let asked = interrupt.clone();
        ctrlc::set_handler(move || {
            if asked.0.swap(true, Ordering::SeqCst) {
                process::exit(STOPPED);
            }
            let _ = writeln!(
                std::io::stderr(),
                "\nstopping after this epoch, to save the best weights; Ctrl-C again stops at once"
            );
        })
        .context("cannot listen to Ctrl-C")?;
        Ok(interrupt)
    }

    /// One that has been pressed already.
    #[cfg(test)]
    pub(crate) fn pressed() -> Interrupt {
        Interrupt(Arc::new(AtomicBool::new(true)))
    }

    /// Whether Ctrl-C has been pressed.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
