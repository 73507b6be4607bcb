//! Reads a CSV file into columns of numbers, in memory bounded by what is kept of it.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use super::calendar::{Moment, Step};
use super::error::{DataError, Place, Problem, SHOWN, quoted};

/// The largest number taken, so that sums of squares stay finite.
const LARGEST: f64 = 1e30;

/// Columns of finite numbers, all of one length, and the dates of the rows if there are any.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file's name, for messages.
    pub source: String,
    /// The columns that are kept, in the order of the file or in the order asked for.
    pub columns: Vec<Column>,
    /// The date of each row, from the file's first column of dates.
    pub dates: Option<Dates>,
    /// How many rows there are below the header.
    pub n_rows: usize,
    /// What a user should know: columns that are left out, and why.
    pub notes: Vec<String>,
}

/// A column of numbers.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// Its values, all finite.
    pub values: Vec<f64>,
}

/// A column of dates, which never go back.
#[derive(Clone, Debug)]
pub struct Dates {
    /// Its name in the header.
    pub name: String,
    /// Its values.
    pub moments: Vec<Moment>,
}

/// Which columns to keep.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Columns that must be there and hold numbers.
    pub named: Vec<String>,
    /// Whether every other column of numbers is kept too.
    pub others: bool,
}

/// Where the text comes from, by the name that messages give it.
#[derive(Debug)]
pub struct Source<R> {
    /// The name.
    pub name: String,
    /// The text.
    pub text: R,
}

/// How much a file may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest row, in bytes.
    pub row_bytes: u64,
    /// The most numbers kept, in all columns together.
    pub n_values: usize,
    /// The most columns.
    pub n_columns: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { row_bytes: 1 << 20, n_values: 50_000_000, n_columns: 10_000 }
    }
}

impl Table {
    /// Reads the columns that are wanted.
    ///
    /// # Errors
    /// [`DataError`] with the first problems of the file: a column that is missing or named twice,
    /// a row with too few or too many fields, a field that is not a finite number, a date that is
    /// unreadable or goes back, or more than the limits allow.
    pub fn read(
        source: Source<impl Read>,
        wanted: &Wanted,
        limits: Limits,
    ) -> Result<Table, DataError> {
        let Source { name, text } = source;
        let budget = Rc::new(Cell::new(limits.row_bytes));
        let text = Lines { text, left: Rc::clone(&budget), ended: true };
        let mut text = BufReader::new(text);
        let delimiter = delimiter(text.fill_buf().map_err(|e| unreadable(&name, &e))?);
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text);

        let refuse = |error: csv::Error, line: u64| match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                too_long(&name, line, limits.row_bytes)
            }
            csv::ErrorKind::Io(error) => unreadable(&name, &error),
            other => DataError::whole(&name, format!("{other:?}"), "is this a CSV file?"),
        };
        let header = reader.byte_headers().map_err(|e| refuse(e, 1))?.clone();
        let mut sheet = Sheet::new(name.clone(), &header, wanted, limits)?;
        let mut record = csv::ByteRecord::new();
        loop {
            budget.set(limits.row_bytes);
            let line = reader.position().line();
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(refuse(error, line)),
            }
            // The reader stands behind the row, whose own position is before empty lines above it.
            let n_breaks = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
            sheet.push(&record, reader.position().line().saturating_sub(1 + n_breaks))?;
        }
        sheet.finish()
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// What a row is called: its date, or its number from 1.
    pub fn row_label(&self, row: usize) -> String {
        match &self.dates {
            Some(dates) => dates.moments[row].to_string(),
            None => (row + 1).to_string(),
        }
    }
}

/// A reader that ends every line with `\n` alone, the last one too, so that the lines of a row can
/// be counted; and that gives no more than about `left` bytes until it is refilled.
struct Lines<R> {
    text: R,
    left: Rc<Cell<u64>>,
    ended: bool,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        loop {
            let n_read = match self.text.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                n_read => n_read?,
            };
            self.left.set(self.left.get().saturating_sub(n_read as u64));
            if n_read == 0 {
                let Some(first) = into.first_mut().filter(|_| !self.ended) else {
                    return Ok(0);
                };
                *first = b'\n';
                self.ended = true;
                return Ok(1);
            }
            let mut n = 0;
            for i in 0..n_read {
                into[n] = into[i];
                n += usize::from(into[i] != b'\r');
            }
            if n > 0 {
                self.ended = into[n - 1] == b'\n';
                return Ok(n);
            }
        }
    }
}

/// A comma, unless the first line has none and has semicolons or tabs.
fn delimiter(start: &[u8]) -> u8 {
    let first_line = start.split(|&b| b == b'\n').next().unwrap_or_default();
    let has = |delimiter: &u8| first_line.contains(delimiter);
    [b',', b';', b'\t'].into_iter().find(has).unwrap_or(b',')
}

fn unreadable(source: &str, error: &io::Error) -> DataError {
    DataError::whole(source, format!("cannot be read: {error}"), "check the path and its rights")
}

fn too_long(source: &str, line: u64, limit: u64) -> DataError {
    let headline = format!("the row that starts at line {line} is longer than {limit} bytes");
    DataError::whole(source, headline, "look there for a quote that is never closed")
}

/// The file as far as it has been read.
struct Sheet<'a> {
    source: String,
    wanted: &'a Wanted,
    limits: Limits,
    columns: Vec<Reading>,
    n_rows: usize,
    ragged: Trouble,
}

/// A column as far as it has been read.
struct Reading {
    name: String,
    asked_for: bool,
    keeps_numbers: bool,
    values: Vec<f64>,
    moments: Vec<Moment>,
    n_numbers: u64,
    n_dates: u64,
    n_filled: u64,
    /// The first field with something in it that is not a number.
    first_text: Option<String>,
    not_numbers: Trouble,
    not_dates: Trouble,
}

/// The first problems of a kind by row, and how many there are.
#[derive(Default)]
struct Trouble {
    first: Vec<((u64, u64), String)>,
    n: u64,
}

impl Trouble {
    /// Keeps the first `most` problems alone: a file can have many columns that have some.
    fn add(&mut self, row: (u64, u64), most: usize, what: impl FnOnce() -> String) {
        self.n += 1;
        if self.first.len() < most {
            self.first.reserve_exact(1);
            self.first.push((row, what()));
        }
    }
}

/// How many problems of a kind are kept for each of so many columns: all that are shown, unless the
/// file is very wide.
fn most_problems(n_columns: usize) -> usize {
    (1000 / n_columns.max(1)).clamp(1, SHOWN)
}

/// What a column turns out to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Numbers,
    Dates,
    Text,
    Nothing,
}

impl Reading {
    /// Takes the field of a row; of problems it keeps `most`.
    fn push(&mut self, field: &[u8], row: (u64, u64), most: usize) {
        let text = std::str::from_utf8(field).unwrap_or("\u{fffd}").trim();
        self.n_filled += u64::from(!text.is_empty());

        // A column of numbers holds no dates: `2012-01-31` reads as a date and never as a number.
        if self.n_numbers == 0 || self.n_dates > 0 {
            match Moment::parse(text) {
                Some(moment) => {
                    self.n_dates += 1;
                    if self.moments.last().is_some_and(|&last| moment < last) {
                        let what = || format!("{} is before the row above it", quoted(field));
                        self.not_dates.add(row, most, what);
                    }
                    self.moments.push(moment);
                }
                None => {
                    self.not_dates.add(row, most, || format!("{} is not a date", quoted(field)));
                }
            }
        }
        if !self.keeps_numbers {
            return;
        }
        let not_numbers = &mut self.not_numbers;
        match text.parse::<f64>() {
            Ok(value) => {
                self.n_numbers += 1;
                self.values.push(value);
                if !value.is_finite() {
                    let what = || format!("{} is not a finite number", quoted(field));
                    not_numbers.add(row, most, what);
                } else if value.abs() > LARGEST {
                    let what = || format!("{} is larger than {LARGEST:e}", quoted(field));
                    not_numbers.add(row, most, what);
                }
            }
            Err(_) if text.is_empty() => {
                not_numbers.add(row, most, || "the field is empty".to_owned());
            }
            Err(_) => {
                not_numbers.add(row, most, || format!("{} is not a number", quoted(field)));
                self.first_text.get_or_insert_with(|| quoted(field));
            }
        }
    }

    /// Most fields decide: a column of numbers with one word in it is a mistake, not text.
    fn holds(&self) -> Holds {
        if self.n_filled == 0 {
            Holds::Nothing
        } else if self.n_dates * 2 > self.n_filled {
            Holds::Dates
        } else if self.n_numbers * 2 > self.n_filled {
            Holds::Numbers
        } else {
            Holds::Text
        }
    }
}

impl<'a> Sheet<'a> {
    fn new(
        source: String,
        header: &csv::ByteRecord,
        wanted: &'a Wanted,
        limits: Limits,
    ) -> Result<Sheet<'a>, DataError> {
        let names = column_names(&source, header, limits)?;
        let has = |name: &&String| !names.contains(name);
        let missing: Vec<&String> = wanted.named.iter().filter(has).collect();
        if !missing.is_empty() {
            let have = format!("take one of {}", listed(&names));
            return Err(DataError::whole(&source, no_columns(&missing), have));
        }
        let mut places = HashMap::new();
        for (i, name) in names.iter().enumerate() {
            let used = wanted.others || wanted.named.contains(name);
            let first = *places.entry(name).or_insert(i);
            if first < i && used {
                let headline = format!(
                    "the header names `{name}` twice, as columns {} and {}",
                    first + 1,
                    i + 1
                );
                return Err(DataError::whole(&source, headline, "rename one of them"));
            }
        }
        let reading = |name: String| {
            let asked_for = wanted.named.contains(&name);
            Reading {
                name,
                asked_for,
                keeps_numbers: asked_for || wanted.others,
                values: Vec::new(),
                moments: Vec::new(),
                n_numbers: 0,
                n_dates: 0,
                n_filled: 0,
                first_text: None,
                not_numbers: Trouble::default(),
                not_dates: Trouble::default(),
            }
        };
        let columns = names.into_iter().map(reading).collect();
        Ok(Sheet { source, wanted, limits, columns, n_rows: 0, ragged: Trouble::default() })
    }

    fn push(&mut self, record: &csv::ByteRecord, line: u64) -> Result<(), DataError> {
        self.n_rows += 1;
        let row = (self.n_rows as u64, line);
        if record.len() != self.columns.len() {
            let what = format!(
                "{} where the header names {}",
                count(record.len(), "field"),
                count(self.columns.len(), "column")
            );
            self.ragged.add(row, SHOWN, || what);
            return Ok(());
        }
        let most = most_problems(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(record) {
            column.push(field, row, most);
        }
        let takes_memory = |column: &&Reading| column.keeps_numbers || !column.moments.is_empty();
        let kept = self.columns.iter().filter(takes_memory).count().max(1);
        if self.n_rows.saturating_mul(kept) > self.limits.n_values {
            let headline = format!("more than {} numbers in the file", self.limits.n_values);
            let help = "keep fewer columns with --columns, or a part of the rows";
            return Err(DataError::whole(&self.source, headline, help));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Table, DataError> {
        let holds: Vec<Holds> = self.columns.iter().map(Reading::holds).collect();
        let date_idx = holds.iter().position(|&holds| holds == Holds::Dates);
        self.refuse_problems(&holds, date_idx)?;

        let mut notes = Vec::new();
        let mut columns = Vec::new();
        let mut dates = None;
        for (i, reading) in self.columns.into_iter().enumerate() {
            let Reading { name, values, moments, asked_for, .. } = reading;
            if holds[i] == Holds::Numbers || asked_for {
                if reading.keeps_numbers {
                    columns.push(Column { name, values });
                }
            } else if Some(i) == date_idx {
                dates = Some(Dates { name, moments });
            } else if self.wanted.others {
                let why = match (holds[i], reading.first_text) {
                    (Holds::Text, Some(text)) => format!("it holds text, such as {text}"),
                    (Holds::Dates, _) => "it is a second column of dates".to_owned(),
                    _ => "it is empty".to_owned(),
                };
                notes.push(format!("column `{name}` is left out: {why}"));
            }
        }
        notes.extend(dates.as_ref().and_then(uneven));
        if !self.wanted.others {
            let order = |column: &Column| self.wanted.named.iter().position(|n| *n == column.name);
            columns.sort_by_key(order);
        }
        Ok(Table { source: self.source, columns, dates, n_rows: self.n_rows, notes })
    }

    /// Fails if a row, a column that is used, or the dates have a problem.
    fn refuse_problems(&mut self, holds: &[Holds], dates: Option<usize>) -> Result<(), DataError> {
        let ragged = std::mem::take(&mut self.ragged);
        let mut n_problems = ragged.n;
        let mut problems = vec![];
        earliest(&mut problems, ragged, None);
        let mut helps = Vec::new();
        if n_problems > 0 {
            helps.push("give each row one field for each column of the header".to_owned());
        }
        for (i, column) in self.columns.iter_mut().enumerate() {
            let as_numbers = column.keeps_numbers
                && (column.asked_for || holds[i] == Holds::Numbers)
                && column.not_numbers.n > 0;
            let trouble = if as_numbers {
                std::mem::take(&mut column.not_numbers)
            } else if Some(i) == dates && !column.asked_for {
                std::mem::take(&mut column.not_dates)
            } else {
                continue;
            };
            if trouble.n == 0 {
                continue;
            }
            helps.push(match holds[i] {
                Holds::Dates if as_numbers => format!(
                    "`{}` holds dates, which are used by themselves: do not name it as a column",
                    column.name
                ),
                Holds::Dates => "write dates as 2012-01-31, with the oldest row first".to_owned(),
                Holds::Text => format!("`{}` holds text: name columns of numbers", column.name),
                Holds::Numbers | Holds::Nothing => {
                    "correct the value or remove the row, or train without the column (--columns)"
                        .to_owned()
                }
            });
            helps.dedup();
            n_problems += trouble.n;
            earliest(&mut problems, trouble, Some(&column.name));
        }
        if n_problems == 0 {
            return Ok(());
        }
        Err(DataError {
            source: self.source.clone(),
            headline: format!("the file has {}", count(n_problems as usize, "problem")),
            problems,
            n_problems,
            help: helps.join("\n      "),
        })
    }
}

/// Adds the problems of a column, or of whole rows, and keeps the first of all by row.
fn earliest(problems: &mut Vec<Problem>, more: Trouble, column: Option<&String>) {
    for (row, what) in more.first {
        let place = Place { row: Some(row), column: column.cloned() };
        problems.push(Problem { place, what });
    }
    problems.sort_by_key(|problem| problem.place.row);
    problems.truncate(SHOWN);
}

/// A note on dates that do not follow each other in equal steps: windows count rows.
fn uneven(dates: &Dates) -> Option<String> {
    let moments = &dates.moments;
    let Some(step) = Step::of(moments) else {
        let many = moments.len() > 2;
        return many.then(|| format!("the dates in `{}` follow no even step", dates.name));
    };
    let is_odd = |&row: &usize| step.after(moments[row - 1]) != moments[row];
    let odd: Vec<usize> = (1..moments.len()).filter(is_odd).collect();
    let first = moments[odd.first()? - 1];
    let step = step.name().map_or("of the common length".to_owned(), |name| format!("one {name}"));
    Some(format!(
        "{} of {} steps in `{}` are not {step}, the first after {first}; a window counts rows",
        odd.len(),
        moments.len() - 1,
        dates.name
    ))
}

/// The names in the header; a column without a name is called by its number.
fn column_names(
    source: &str,
    header: &csv::ByteRecord,
    limits: Limits,
) -> Result<Vec<String>, DataError> {
    let whole = |headline: String, help: &str| Err(DataError::whole(source, headline, help));
    if header.is_empty() {
        return whole("the file is empty".to_owned(), "the first line names the columns");
    }
    if header.len() > limits.n_columns {
        let headline = format!("the header names more than {} columns", limits.n_columns);
        return whole(headline, "is this a CSV file with one row for each moment?");
    }
    let texts = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned());
    let texts: Vec<String> = texts.collect();
    if texts.iter().all(|name| name.parse::<f64>().is_ok()) {
        let headline = "line 1 should name the columns, and holds only numbers".to_owned();
        return whole(headline, "put a first line above it, such as `date,temperature,wind`");
    }
    let named = |(i, name): (usize, String)| match name.is_empty() {
        true => format!("column {}", i + 1),
        false => name.chars().flat_map(char::escape_debug).collect(),
    };
    Ok(texts.into_iter().enumerate().map(named).collect())
}

fn no_columns(missing: &[&String]) -> String {
    match missing {
        [one] => format!("line 1 names no column `{one}`"),
        many => format!("line 1 names no columns {}", listed(many)),
    }
}

/// The names, each as [`quoted`], the first twenty of them.
fn listed(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().take(20).map(|name| quoted(name.as_ref().as_bytes()));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if names.len() > 20 {
        text.push_str(&format!(" and {} more", names.len() - 20));
    }
    text
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SEATTLE_WEATHER;

    fn read_with(text: &str, named: &[&str], others: bool) -> Result<Table, String> {
        let named = named.iter().map(|&name| name.to_owned()).collect();
        let source = Source { name: "a.csv".to_owned(), text: text.as_bytes() };
        let limits = Limits { row_bytes: 64 << 10, n_values: 10_000, n_columns: 30 };
        Table::read(source, &Wanted { named, others }, limits).map_err(|e| e.to_string())
    }

    fn read(text: &str) -> Result<Table, String> {
        read_with(text, &[], true)
    }

    fn refused(text: &str) -> String {
        read_with(text, &["x"], true).expect_err("the file is refused")
    }

    #[test]
    fn the_shipped_weather() {
        let table = read(SEATTLE_WEATHER).unwrap();
        assert_eq!(table.n_rows, 1461);
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["precipitation", "temp_max", "temp_min", "wind"]);
        assert_eq!(table.column("temp_max").unwrap().values[1460], 5.6);
        assert_eq!(table.row_label(1460), "2015-12-31");
        assert_eq!(table.notes, ["column `weather` is left out: it holds text, such as `drizzle`"]);
    }

    #[test]
    fn columns_come_in_the_order_asked_for() {
        let table = read_with("a,b,c,d\n1,2,x,4\n", &["d", "a"], false).unwrap();
        let values: Vec<f64> = table.columns.iter().map(|c| c.values[0]).collect();
        assert_eq!(values, [4.0, 1.0]);
        assert!(table.notes.is_empty());
    }

    #[test]
    fn other_delimiters_marks_quotes_and_line_ends() {
        for text in ["x;y\n1;2\n", "x\ty\r\n1\t2\r\n", "\u{feff}x,y\n1,2", "x,y\n\n\"1\", 2 \n\n"] {
            let table = read(text).unwrap();
            assert_eq!(table.column("x").unwrap().values, [1.0], "{text:?}");
            assert_eq!(table.column("y").unwrap().values, [2.0], "{text:?}");
        }
    }

    #[test]
    fn five_problems_are_told_with_their_places() {
        let text = "date,x,y\n2012-01-01,1,1\n2012-01-02,one,1\n\n2012-01-02,,inf\n\
                    2012-01-01,2,nan\n2012-02-30,3,1e999\n2012-01-05,4\n2012-01-06,5,6\n";
        insta::assert_snapshot!(refused(text), @"
        a.csv: the file has 8 problems
          row 2 (line 3), column `x`: `one` is not a number
          row 3 (line 5), column `x`: the field is empty
          row 3 (line 5), column `y`: `inf` is not a finite number
          row 4 (line 6), column `date`: `2012-01-01` is before the row above it
          row 4 (line 6), column `y`: `nan` is not a finite number
          and 3 more
        help: give each row one field for each column of the header
              write dates as 2012-01-31, with the oldest row first
              correct the value or remove the row, or train without the column (--columns)
        ");
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        for (text, line) in [
            ("x,y\n1,2\n?,3\n1,2", 3),
            ("x,y\n1,2\n1,2\n?,3", 4),
            ("x,y\r\n1,2\r\n\r\n\r\n?,3\r\n1,2\r\n", 5),
            ("x,y\r\n1,\"2\r\n\"\r\n?,\"\r\n3\"\r\n1,2\r\n", 4),
            ("\n\nx,y\n1,2\n1,2\n?,3\n", 6),
        ] {
            let error = refused(text);
            assert!(error.contains(&format!("(line {line}), column `x`: `?`")), "{text:?} {error}");
        }
    }

    #[test]
    fn a_column_of_text_or_dates_asked_for() {
        insta::assert_snapshot!(refused("x,y\nred,1\nblue,2\n"), @r"
        a.csv: the file has 2 problems
          row 1 (line 2), column `x`: `red` is not a number
          row 2 (line 3), column `x`: `blue` is not a number
        help: `x` holds text: name columns of numbers
        ");
        insta::assert_snapshot!(refused("x,y\n2012/01/01,1\n"), @r"
        a.csv: the file has 1 problem
          row 1 (line 2), column `x`: `2012/01/01` is not a number
        help: `x` holds dates, which are used by themselves: do not name it as a column
        ");
    }

    #[test]
    fn a_bad_header() {
        insta::assert_snapshot!(refused(""), @r"
        a.csv: the file is empty
        help: the first line names the columns
        ");
        insta::assert_snapshot!(refused("1,2\n3,4\n"), @"
        a.csv: line 1 should name the columns, and holds only numbers
        help: put a first line above it, such as `date,temperature,wind`
        ");
        insta::assert_snapshot!(refused("y,,X\n1,2,3\n"), @"
        a.csv: line 1 names no column `x`
        help: take one of `y`, `column 2`, `X`
        ");
        insta::assert_snapshot!(refused("x,y,x\n1,2,3\n"), @r"
        a.csv: the header names `x` twice, as columns 1 and 3
        help: rename one of them
        ");
        let wide = vec!["x"; 31].join(",");
        insta::assert_snapshot!(refused(&wide), @r"
        a.csv: the header names more than 30 columns
        help: is this a CSV file with one row for each moment?
        ");
    }

    #[test]
    fn memory_is_bounded() {
        let open_quote = format!("x,y\n1,2\n\"{}\n", "1,2\n".repeat(100_000));
        insta::assert_snapshot!(refused(&open_quote), @r"
        a.csv: the row that starts at line 3 is longer than 65536 bytes
        help: look there for a quote that is never closed
        ");
        let long = format!("x,y\n{}", "1,2\n".repeat(5_001));
        insta::assert_snapshot!(refused(&long), @r"
        a.csv: more than 10000 numbers in the file
        help: keep fewer columns with --columns, or a part of the rows
        ");
    }

    #[test]
    fn no_bytes_make_it_panic_or_give_an_unusable_table() {
        let start =
            b"date,x,\"y\"\n2012-01-01,1,2\r\n\n2012-01-02,\"1\n\",3.5\n2012-01-03,4e1,-5\n";
        let alphabet = b"\"\"\n\r,,;\t 0129-/.:eENa\x00\xef\xbb\xbf\xff";
        let mut state = 1_u64;
        let mut random = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % n
        };
        let wanted = Wanted { named: Vec::new(), others: true };
        for _ in 0..20_000 {
            let mut bytes = start.to_vec();
            for _ in 0..random(8) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = alphabet[random(alphabet.len())],
                    1 => bytes.insert(at, alphabet[random(alphabet.len())]),
                    _ => bytes.truncate(at + 1),
                }
            }
            let source = Source { name: "a.csv".to_owned(), text: &bytes[..] };
            let Ok(table) = Table::read(source, &wanted, Limits::default()) else {
                continue;
            };
            for column in &table.columns {
                assert_eq!(
                    column.values.len(),
                    table.n_rows,
                    "{:?}",
                    bytes.escape_ascii().to_string()
                );
                assert!(column.values.iter().all(|x| x.is_finite()));
            }
            assert!(table.dates.is_none_or(|dates| dates.moments.len() == table.n_rows));
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        let source = Source { name: "a.csv".to_owned(), text: &b"x,y\n\xff\xfe,1\n1,2\n3,4\n"[..] };
        let wanted = Wanted { named: vec!["x".to_owned()], others: true };
        let error = Table::read(source, &wanted, Limits::default()).unwrap_err();
        insta::assert_snapshot!(error.to_string(), @"
        a.csv: the file has 1 problem
          row 1 (line 2), column `x`: `��` is not a number
        help: correct the value or remove the row, or train without the column (--columns)
        ");
    }

    #[test]
    fn uneven_dates_are_noted() {
        let notes = |days: &[&str]| {
            let rows: String = days.iter().map(|day| format!("2012-{day},1\n")).collect();
            read(&format!("day,x\n{rows}")).unwrap().notes.join("\n")
        };
        let gap = notes(&["01-30", "01-31", "02-01", "02-04", "02-05", "02-05", "02-06"]);
        insta::assert_snapshot!(gap, @"2 of 6 steps in `day` are not one day, the first after 2012-02-01; a window counts rows");
        insta::assert_snapshot!(notes(&["01-01", "01-02", "02-07", "05-01"]), @"the dates in `day` follow no even step");
        assert_eq!(notes(&["01-31", "02-29", "03-31", "04-30"]), "");
        assert_eq!(notes(&["02-01", "02-29", "03-28"]), "");
        assert_eq!(notes(&["02-01"]), "");
    }

    #[test]
    fn a_second_column_of_dates_and_an_empty_one_are_left_out() {
        let table = read("day,made,x,note\n2012-01-01,2013-01-01,1,\n").unwrap();
        assert_eq!(table.dates.as_ref().unwrap().name, "day");
        insta::assert_snapshot!(table.notes.join("\n"), @r"
        column `made` is left out: it is a second column of dates
        column `note` is left out: it is empty
        ");
    }
}
