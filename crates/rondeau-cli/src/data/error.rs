//! What is wrong with a file, said so that it can be found and put right.

use std::fmt;

/// At most so many problems are told at once.
pub(super) const SHOWN: usize = 5;

/// Where in a file a problem is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The row and its line in the file, both from 1; the header is line 1 and no row.
    pub row: Option<(u64, u64)>,
    /// The column's name.
    pub column: Option<String>,
}

/// One thing that is wrong, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub what: String,
}

/// A file that cannot be used: what is wrong, each place where it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// The file.
    pub source: String,
    /// What is wrong, as one line.
    pub headline: String,
    /// The first places.
    pub problems: Vec<Problem>,
    /// How many problems there are in all.
    pub n_problems: u64,
    /// The way out.
    pub help: String,
}

impl DataError {
    /// A mistake that is not at one place.
    pub fn whole(source: &str, headline: impl Into<String>, help: impl Into<String>) -> DataError {
        DataError {
            source: source.to_owned(),
            headline: headline.into(),
            problems: Vec::new(),
            n_problems: 0,
            help: help.into(),
        }
    }
}

impl std::error::Error for DataError {}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.headline)?;
        for Problem { place, what } in &self.problems {
            f.write_str("\n  ")?;
            if let Some((row, line)) = place.row {
                write!(f, "row {row} (line {line})")?;
            }
            if let Some(column) = &place.column {
                let comma = if place.row.is_some() { ", " } else { "" };
                write!(f, "{comma}column `{column}`")?;
            }
            let colon = if *place == Place::default() { "" } else { ": " };
            write!(f, "{colon}{what}")?;
        }
        let told = self.problems.len() as u64;
        if self.n_problems > told {
            write!(f, "\n  and {} more", self.n_problems - told)?;
        }
        write!(f, "\nhelp: {}", self.help)
    }
}

/// The text of a field, short and without control characters, in backticks.
pub(super) fn quoted(field: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(field);
    let mut short = String::from("`");
    let mut n = 0;
    for escaped in text.chars().map(char::escape_debug) {
        n += escaped.len();
        if n > LONGEST {
            short.push('…');
            break;
        }
        short.extend(escaped);
    }
    short.push('`');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_length_are_tamed() {
        assert_eq!(quoted(b"a\x1b[31mb\n"), "`a\\u{1b}[31mb\\n`");
        assert_eq!(quoted(&[b'x'; 99]), format!("`{}…`", "x".repeat(40)));
        assert_eq!(quoted(b"\xff1"), "`\u{fffd}1`");
    }
}
