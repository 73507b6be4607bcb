//! How many threads a call runs on.

use std::sync::OnceLock;

use rondeau_machine::{available_threads, requested_threads};

use crate::error::{Error, Result};

/// The most threads of one call.
pub const MAX_THREADS: usize = rondeau_machine::code::MAX_PARTS;

/// The number of threads that calls of compiled functions divide their work between where nothing
/// else is said: what the environment variable `RONDEAU_THREADS` says (it is read once), else what
/// the system offers; at most [`MAX_THREADS`]. Results have the same bits for any number.
///
/// # Errors
/// [`Error`] if the variable is not a number above 0.
pub fn threads() -> Result<usize> {
    static REQUESTED: OnceLock<Result<usize>> = OnceLock::new();
    let read = || match requested_threads() {
        None => Ok(available_threads()),
        Some(text) => parsed(&text),
    };
    REQUESTED.get_or_init(read).clone()
}

fn parsed(text: &str) -> Result<usize> {
    match text.trim().parse() {
        Ok(n) if n > 0 => Ok(MAX_THREADS.min(n)),
        _ => Err(Error::threads(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads_are_read() {
        assert_eq!(parsed("1").unwrap(), 1);
        assert_eq!(parsed(" 3 ").unwrap(), 3);
        assert_eq!(parsed("1000").unwrap(), MAX_THREADS);
        for text in ["0", "", "-1", "two", "1.5"] {
            let said = parsed(text).unwrap_err().to_string();
            assert!(said.contains(&format!("`RONDEAU_THREADS` is `{text}`")), "{said}");
        }
    }
}
