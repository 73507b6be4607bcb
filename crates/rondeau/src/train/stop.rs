//! Asking a run to stop, from a signal handler, another thread, or an observer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A wish to stop, shared by its clones. A run that has it saves a checkpoint and returns.
///
/// # Examples
/// With the `ctrlc` crate, the first Ctrl-C stops and the second ends the process:
/// ```
/// use rondeau::train::Stop;
///
/// let stop = Stop::new();
/// let asked = stop.clone();
/// let handler = move || {
///     if asked.request() > 1 {
///         std::process::exit(130);
///     }
/// };
/// handler(); // ctrlc::set_handler(handler)
/// assert!(stop.is_requested());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// A wish that nobody has yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks to stop; returns how often that was asked, this time included.
    pub fn request(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}
