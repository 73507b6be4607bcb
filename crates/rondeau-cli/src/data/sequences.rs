//! Labelled sequences of several lengths, from the .ts format of the UEA and UCR archives or from
//! CSV. Reading trusts nothing in the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::{DataError, Place, Problem, quoted};

/// The longest file.
const MOST_BYTES: u64 = 1 << 30;
/// The largest number taken.
const LARGEST: f64 = 1e30;

/// Sequences of vectors of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequences {
    /// The file's name, for messages.
    pub source: String,
    /// The names of the numbers of a step.
    pub channels: Vec<String>,
    /// The sequences, each of one step at least.
    pub sequences: Vec<Sequence>,
}

/// One sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// What it is called: its number from 1, or what the CSV file says.
    pub name: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Its numbers, step after step.
    pub values: Vec<f64>,
}

impl Sequences {
    /// Reads a file, as [`Sequences::read`] says; `-` is standard input.
    ///
    /// # Errors
    /// [`DataError`] if it cannot be read, or with the first place that is wrong.
    pub fn open(path: &Path) -> Result<Sequences, DataError> {
        let mut bytes = Vec::new();
        let mut read = |from: &mut dyn Read| from.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        let (name, done) = match path.as_os_str() == "-" {
            true => ("standard input".to_owned(), read(&mut io::stdin().lock())),
            false => {
                let opened = File::open(path).and_then(|mut file| read(&mut file));
                (path.display().to_string(), opened)
            }
        };
        if let Err(error) = done {
            let headline = format!("cannot be read: {error}");
            return Err(DataError::whole(&name, headline, "check the path"));
        }
        if bytes.len() as u64 > MOST_BYTES {
            let headline = format!("has more than {MOST_BYTES} bytes");
            return Err(DataError::whole(&name, headline, "take a part of it"));
        }
        Sequences::read(&name, &bytes)
    }

    /// Reads the bytes of a file. It is .ts if its name ends so or its first line begins with `#` or
    /// `@`, else CSV.
    ///
    /// # Errors
    /// [`DataError`] with the first place that is wrong.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Sequences, DataError> {
        let is_ts = Path::new(name).extension().is_some_and(|ending| ending == "ts")
            || matches!(bytes.first(), Some(b'#' | b'@'));
        if is_ts { Sequences::ts(name, bytes) } else { Sequences::csv(name, bytes) }
    }

    /// How many numbers a step has.
    pub fn n_channels(&self) -> usize {
        self.channels.len()
    }

    /// The steps of the longest sequence.
    pub fn longest(&self) -> usize {
        let lengths = self.sequences.iter().map(|sequence| sequence.values.len());
        lengths.max().unwrap_or(0) / self.n_channels().max(1)
    }

    /// Reads the .ts format: lines of `#` and `@` above `@data`, then a line for each case, its
    /// dimensions divided by `:`, their values by `,`, and the label behind the last `:`.
    fn ts(name: &str, bytes: &[u8]) -> Result<Sequences, DataError> {
        let mut sequences: Vec<Sequence> = Vec::new();
        let mut head = TsHead::default();
        let mut n_channels = None;
        for (i, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let wrong = |what: String| wrong(name, i as u64 + 1, None, what);
            let line = std::str::from_utf8(line).map_err(|_| wrong("it is not UTF-8".into()))?;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !head.is_over {
                head.read(line).map_err(wrong)?;
                continue;
            }
            let mut dimensions: Vec<&str> = line.split(':').collect();
            let label = if head.has_labels { dimensions.pop() } else { None };
            let n = *n_channels.get_or_insert(dimensions.len());
            if n == 0 || dimensions.len() != n {
                let told = dimensions.len();
                return Err(wrong(format!("it has {told} dimensions, and the first case has {n}")));
            }
            let values = by_steps(&dimensions).map_err(wrong)?;
            let name = (sequences.len() + 1).to_string();
            let label = label.map(|label| label.trim().to_owned());
            sequences.push(Sequence { name, label, values });
        }
        let channels = (1..=n_channels.unwrap_or(0)).map(|i| format!("dimension {i}")).collect();
        Sequences { source: name.to_owned(), channels, sequences }.checked()
    }

    /// Reads CSV: a row for each step, with the columns `sequence` and perhaps `label`.
    fn csv(name: &str, bytes: &[u8]) -> Result<Sequences, DataError> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let refused = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            let headline = match error.kind() {
                csv::ErrorKind::Utf8 { .. } => format!("line {line} is not UTF-8"),
                _ => error.to_string(),
            };
            DataError::whole(name, headline, "a CSV file in UTF-8 is needed")
        };
        let header = reader.headers().map_err(refused)?.clone();
        if header.is_empty() {
            let help = "the first line names the columns";
            return Err(DataError::whole(name, "the file is empty", help));
        }
        let column = |wanted: &str| header.iter().position(|field| field.trim() == wanted);
        let Some(sequence) = column("sequence") else {
            let help = "give all rows of a sequence the same value in such a column";
            return Err(DataError::whole(name, "there is no column `sequence`", help));
        };
        let label = column("label");
        let numbers: Vec<usize> =
            (0..header.len()).filter(|&i| i != sequence && Some(i) != label).collect();
        let channels = numbers.iter().map(|&i| header[i].to_owned()).collect();
        let mut sequences: Vec<Sequence> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(refused)?;
            let line = record.position().map_or(0, csv::Position::line);
            let wrong = |column: Option<usize>, what: String| {
                wrong(name, line, column.map(|i| header[i].to_owned()), what)
            };
            if record.len() != header.len() {
                let (n, all) = (record.len(), header.len());
                return Err(wrong(None, format!("it has {n} fields, and the header has {all}")));
            }
            let own_label = label.map(|i| record[i].to_owned());
            match sequences.last() {
                Some(last) if last.name == record[sequence] => {
                    if last.label != own_label {
                        let what = "the label changes within a sequence".to_owned();
                        return Err(wrong(label, what));
                    }
                }
                _ => sequences.push(Sequence {
                    name: record[sequence].to_owned(),
                    label: own_label,
                    values: Vec::new(),
                }),
            }
            for &i in &numbers {
                let value = number(&record[i]).map_err(|what| wrong(Some(i), what))?;
                sequences.last_mut().expect("internal: one has begun").values.push(value);
            }
        }
        Sequences { source: name.to_owned(), channels, sequences }.checked()
    }

    /// Itself, if there is something in it.
    fn checked(self) -> Result<Sequences, DataError> {
        if self.channels.is_empty() || self.sequences.is_empty() {
            let help = "a file has one sequence at least, with a number in each step";
            return Err(DataError::whole(&self.source, "there are no sequences in it", help));
        }
        Ok(self)
    }
}

/// What stands above the data of a .ts file.
#[derive(Default)]
struct TsHead {
    has_labels: bool,
    is_over: bool,
}

impl TsHead {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let lower = line.to_ascii_lowercase();
        let mut words = lower.split_whitespace();
        match (words.next().unwrap_or_default(), words.next()) {
            ("@timestamps", Some("true")) => Err("values with time stamps are not read".to_owned()),
            ("@classlabel", value) => {
                self.has_labels = value == Some("true");
                Ok(())
            }
            ("@data", _) => {
                self.is_over = true;
                Ok(())
            }
            (word, _) if word.starts_with('@') => Ok(()),
            _ => Err(format!("{} stands above `@data`", quoted(line.as_bytes()))),
        }
    }
}

/// The values of dimensions of one length, step after step.
fn by_steps(dimensions: &[&str]) -> Result<Vec<f64>, String> {
    let rows = dimensions
        .iter()
        .map(|dimension| dimension.split(',').map(number).collect::<Result<Vec<f64>, String>>());
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let length = rows[0].len();
    if let Some(i) = rows.iter().position(|row| row.len() != length) {
        let other = rows[i].len();
        return Err(format!("dimension {} has {other} values, and the first has {length}", i + 1));
    }
    Ok((0..length).flat_map(|t| rows.iter().map(move |row| row[t])).collect())
}

fn number(field: &str) -> Result<f64, String> {
    match field.trim().parse::<f64>() {
        Ok(x) if x.abs() <= LARGEST => Ok(x),
        _ if field.trim() == "?" => Err("a value is missing".to_owned()),
        _ => Err(format!("{} is no number that can be used", quoted(field.as_bytes()))),
    }
}

fn wrong(source: &str, line: u64, column: Option<String>, what: String) -> DataError {
    let problem = Problem { place: Place { row: None, column }, what };
    DataError {
        source: source.to_owned(),
        headline: format!("line {line} cannot be used"),
        problems: vec![problem],
        n_problems: 1,
        help: "put it right, or take it out".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TS: &str = "# two cases\n@problemName a\n@timeStamps false\n@classLabel true x y\n@data\n\
                      1,2,3:4,5,6:x\n7:8:y\n";

    #[test]
    fn both_formats_say_the_same() {
        let ts = Sequences::ts("a.ts", TS.as_bytes()).unwrap();
        assert_eq!((ts.n_channels(), ts.longest(), ts.sequences.len()), (2, 3, 2));
        assert_eq!(ts.sequences[0].values, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let csv = "sequence,a,label,b\n1,1,x,4\n1,2,x,5\n1,3,x,6\n2,7,y,8\n";
        let csv = Sequences::csv("a.csv", csv.as_bytes()).unwrap();
        assert_eq!(csv.channels, ["a", "b"]);
        assert_eq!(csv.sequences, ts.sequences);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let ts = |text: &str| Sequences::ts("a.ts", text.as_bytes()).unwrap_err().to_string();
        let csv = |text: &str| Sequences::csv("a.csv", text.as_bytes()).unwrap_err().to_string();
        let told = [
            ts(""),
            ts("1,2:a\n"),
            ts("@timestamps true\n"),
            ts(&TS.replace("5", "?")),
            ts(&TS.replace("5", "inf")),
            ts(&TS.replace("5,", "")),
            ts(&TS.replace("7:", "")),
            csv("a,b\n1,2\n"),
            csv("sequence,label,a\n1,x,one\n"),
            csv("sequence,label,a\n1,x,1\n1,y,2\n"),
            csv("sequence,label,a\n1,x\n"),
            csv("sequence,label\n1,x\n"),
        ];
        insta::assert_snapshot!(told.join("\n"), @"
        a.ts: there are no sequences in it
        help: a file has one sequence at least, with a number in each step
        a.ts: line 1 cannot be used
          `1,2:a` stands above `@data`
        help: put it right, or take it out
        a.ts: line 1 cannot be used
          values with time stamps are not read
        help: put it right, or take it out
        a.ts: line 6 cannot be used
          a value is missing
        help: put it right, or take it out
        a.ts: line 6 cannot be used
          `inf` is no number that can be used
        help: put it right, or take it out
        a.ts: line 6 cannot be used
          dimension 2 has 2 values, and the first has 3
        help: put it right, or take it out
        a.ts: line 7 cannot be used
          it has 1 dimensions, and the first case has 2
        help: put it right, or take it out
        a.csv: there is no column `sequence`
        help: give all rows of a sequence the same value in such a column
        a.csv: line 2 cannot be used
          column `a`: `one` is no number that can be used
        help: put it right, or take it out
        a.csv: line 3 cannot be used
          column `label`: the label changes within a sequence
        help: put it right, or take it out
        a.csv: line 2 cannot be used
          it has 2 fields, and the header has 3
        help: put it right, or take it out
        a.csv: there are no sequences in it
        help: a file has one sequence at least, with a number in each step
        ");
    }
}
