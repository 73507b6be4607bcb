//! From a table to what a network takes in: rows split by time, normalised by the training rows,
//! and cut into windows.
//!
//! Sample `i` forecasts row `i` from the `window` rows before it. Its target is the change of the
//! target column from row `i - 1` to row `i`, in units of that column's deviation: a network that
//! says nothing repeats the last value, and learns only where that is wrong.

use std::f64::consts::TAU;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::calendar::DAY;
use super::error::DataError;
use super::table::Table;

/// The fewest samples of each part that say anything.
const LEAST_TRAIN: usize = 10;
const LEAST_HELD_OUT: usize = 3;

/// Normalised inputs stay within this many deviations, so that a stray value cannot overflow f32.
const FARTHEST: f64 = 1e6;

/// The rows to forecast, in order of time: 70 % train, 15 % validate, 15 % test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows that weights are fitted to; the first `window` rows have too short a past.
    pub train: Range<usize>,
    /// Rows that decide when to stop.
    pub validation: Range<usize>,
    /// Rows that are forecast once, at the end.
    pub test: Range<usize>,
}

impl Split {
    /// The split of `n_rows` rows, if each part has enough samples.
    pub fn by_time(n_rows: usize, window: usize) -> Option<Split> {
        let n_train = n_rows.checked_mul(7)? / 10;
        let n_validation = n_rows.checked_mul(3)? / 20;
        let test = n_train + n_validation..n_rows;
        let enough = n_train >= window.checked_add(LEAST_TRAIN)?
            && n_validation >= LEAST_HELD_OUT
            && test.len() >= LEAST_HELD_OUT;
        enough.then(|| Split {
            train: window..n_train,
            validation: n_train..n_train + n_validation,
            test,
        })
    }
}

/// The fewest rows that can be split for the window.
pub fn window_minimum(window: usize) -> usize {
    let least = window.saturating_add(LEAST_TRAIN);
    (least..).find(|&n| Split::by_time(n, window).is_some()).unwrap_or(usize::MAX)
}

/// How a table becomes inputs; it is stored with the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    /// The columns that go in, the target among them.
    pub columns: Vec<Scale>,
    /// Which of the columns is forecast.
    pub target: usize,
    /// Whether sine and cosine of the day of the year go in as well.
    pub calendar: bool,
}

/// One column's normalisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The column.
    pub name: String,
    /// Its mean over the training rows.
    pub mean: f64,
    /// Its deviation over the training rows; 1 if it never changes there.
    pub deviation: f64,
}

impl Scaler {
    /// How many numbers go in for each row.
    pub fn n_inputs(&self) -> usize {
        self.columns.len() + if self.calendar { 2 } else { 0 }
    }

    /// What the numbers of a row are.
    pub fn input_names(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|scale| scale.name.clone());
        let calendar = ["sine of the day of the year", "cosine of the day of the year"];
        let calendar = calendar.iter().filter(|_| self.calendar).map(|&name| name.to_owned());
        columns.chain(calendar).collect()
    }

    /// The scale of the column that is forecast.
    pub fn target(&self) -> &Scale {
        &self.columns[self.target]
    }

    /// The normalised rows, `[n_rows, n_inputs]`.
    ///
    /// # Errors
    /// [`DataError`] if the table lacks a column or dates that the scaler needs.
    pub fn inputs(&self, table: &Table) -> Result<Vec<f32>, DataError> {
        let column = |scale: &Scale| {
            let column = table.column(&scale.name);
            column.ok_or_else(|| lacks(table, &format!("a column `{}`", scale.name)))
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let dates = match (&table.dates, self.calendar) {
            (None, true) => return Err(lacks(table, "a column of dates")),
            (dates, true) => dates.as_ref(),
            (_, false) => None,
        };
        let mut inputs = Vec::with_capacity(table.n_rows * self.n_inputs());
        for row in 0..table.n_rows {
            for (scale, column) in self.columns.iter().zip(&columns) {
                let x = (column.values[row] - scale.mean) / scale.deviation;
                inputs.push(x.clamp(-FARTHEST, FARTHEST) as f32);
            }
            if let Some(dates) = dates {
                let (sine, cosine) = (dates.moments[row].year_fraction() * TAU).sin_cos();
                inputs.extend([sine as f32, cosine as f32]);
            }
        }
        Ok(inputs)
    }
}

fn lacks(table: &Table, what: &str) -> DataError {
    let headline = format!("the file has no such thing as {what}");
    DataError::whole(&table.source, headline, "the model was trained with it, so add it")
}

/// A table made ready to train on.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The normalisation, by the training rows.
    pub scaler: Scaler,
    /// How many rows a forecast looks back on.
    pub window: usize,
    /// Which rows are for what.
    pub split: Split,
    /// The normalised rows, `[n_rows, n_inputs]`.
    pub inputs: Vec<f32>,
    /// The target column, in its own units.
    pub target: Vec<f64>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// Splits and normalises a table for forecasting `target` from `window` rows.
///
/// # Errors
/// [`DataError`] if there are too few rows for the window, no column `target`, or the target never
/// changes over the training rows.
pub fn prepare(
    table: &Table,
    target: &str,
    window: usize,
    calendar: Calendar,
) -> Result<Prepared, DataError> {
    let Some(split) = Split::by_time(table.n_rows, window) else {
        return Err(too_few_rows(table, window));
    };
    let Some(target_idx) = table.columns.iter().position(|column| column.name == target) else {
        return Err(lacks(table, &format!("a column `{target}`")));
    };
    let known = 0..split.train.end;
    let mut notes = Vec::new();
    let mut columns = Vec::new();
    for column in &table.columns {
        let (mean, deviation) = mean_and_deviation(&column.values[known.clone()]);
        // Rounding alone leaves a deviation of about 1e-16 of the mean.
        let constant = deviation <= 1e-12 * mean.abs();
        if constant && column.name == target {
            let headline = format!("the target `{target}` never changes over the training rows");
            let help = "choose another --target, or a file in which it changes";
            return Err(DataError::whole(&table.source, headline, help));
        }
        if constant {
            notes.push(format!("column `{}` never changes over the training rows", column.name));
        }
        let deviation = if constant { 1.0 } else { deviation };
        columns.push(Scale { name: column.name.clone(), mean, deviation });
    }
    // Within less than a year the day of the year is a trend, which would be followed off the edge.
    let moments = table.dates.as_ref().map(|dates| &dates.moments[known.clone()]);
    let spans_a_year = moments.is_some_and(|m| m[m.len() - 1].0 - m[0].0 >= 365 * DAY);
    let calendar = calendar == Calendar::WhereSensible && spans_a_year;
    let scaler = Scaler { columns, target: target_idx, calendar };
    let inputs = scaler.inputs(table)?;
    let target = table.columns[target_idx].values.clone();
    Ok(Prepared { scaler, window, split, inputs, target, notes })
}

/// Whether the day of the year goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// If there are dates, and the training rows span a year.
    WhereSensible,
    /// Never.
    Never,
}

fn too_few_rows(table: &Table, window: usize) -> DataError {
    let (n_rows, least) = (table.n_rows, window_minimum(window));
    let headline = format!("{n_rows} rows are too few: a window of {window} needs {least}");
    let largest = (1..window).rev().find(|&w| Split::by_time(n_rows, w).is_some());
    let help = match largest {
        Some(w) => format!("add rows, or take a window of at most {w} (--window {w})"),
        None => format!("add rows: even a window of 1 needs {}", window_minimum(1)),
    };
    DataError::whole(&table.source, headline, help)
}

/// Mean, and root of the mean squared distance from it.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

impl Prepared {
    /// How many numbers go in for each row.
    pub fn n_inputs(&self) -> usize {
        self.scaler.n_inputs()
    }

    /// The windows before the rows, `[rows, window, n_inputs]`.
    pub fn windows(&self, rows: impl IntoIterator<Item = usize>) -> Vec<f32> {
        windows(&self.inputs, self.n_inputs(), self.window, rows)
    }

    /// The normalised changes into the rows, `[rows]`.
    pub fn changes(&self, rows: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let deviation = self.scaler.target().deviation;
        let change = |row: usize| {
            let change = (self.target[row] - self.target[row - 1]) / deviation;
            change.clamp(-FARTHEST, FARTHEST) as f32
        };
        rows.into_iter().map(change).collect()
    }
}

/// The `window` rows of `inputs` before each of `rows`, one after the other.
pub fn windows(
    inputs: &[f32],
    n_inputs: usize,
    window: usize,
    rows: impl IntoIterator<Item = usize>,
) -> Vec<f32> {
    let past = |row: usize| &inputs[(row - window) * n_inputs..row * n_inputs];
    rows.into_iter().flat_map(past).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Limits, SEATTLE_WEATHER, Source, Wanted};

    fn table(text: &str) -> Table {
        let source = Source { name: "a.csv".to_owned(), text: text.as_bytes() };
        let wanted = Wanted { named: Vec::new(), others: true };
        Table::read(source, &wanted, Limits::default()).unwrap()
    }

    fn rows(n: usize, row: impl Fn(usize) -> String) -> String {
        (0..n).map(|i| row(i) + "\n").collect()
    }

    #[test]
    fn parts_follow_each_other_and_cover_the_rows() {
        for n_rows in 0..300 {
            for window in [1, 2, 7, 21, 100] {
                let Some(split) = Split::by_time(n_rows, window) else {
                    assert!(n_rows < window_minimum(window), "{n_rows} {window}");
                    continue;
                };
                assert!(n_rows >= window_minimum(window), "{n_rows} {window}");
                assert_eq!(split.train.start, window);
                assert_eq!(split.train.end, split.validation.start);
                assert_eq!(split.validation.end, split.test.start);
                assert_eq!(split.test.end, n_rows);
            }
        }
        assert_eq!(Split::by_time(usize::MAX, 21), None);
    }

    #[test]
    fn the_weather_is_normalised_by_its_training_rows() {
        let weather = table(SEATTLE_WEATHER);
        let prepared = prepare(&weather, "temp_max", 21, Calendar::WhereSensible).unwrap();
        assert_eq!(
            prepared.split,
            Split { train: 21..1022, validation: 1022..1241, test: 1241..1461 }
        );
        assert_eq!(prepared.n_inputs(), 6);
        let column = |i: usize| (0..1022).map(move |row| row * 6 + i);
        for i in 0..4 {
            let values: Vec<f64> = column(i).map(|k| f64::from(prepared.inputs[k])).collect();
            let (mean, deviation) = mean_and_deviation(&values);
            assert!(mean.abs() < 1e-6 && (deviation - 1.0).abs() < 1e-6, "{mean} {deviation}");
        }
        let never = prepare(&weather, "temp_max", 21, Calendar::Never).unwrap();
        assert_eq!(never.n_inputs(), 4);
    }

    #[test]
    fn a_window_ends_just_before_its_row() {
        let text = format!("x,y\n{}", rows(60, |i| format!("{i},{}", i * i)));
        let prepared = prepare(&table(&text), "y", 3, Calendar::WhereSensible).unwrap();
        let windows = prepared.windows([3, 10]);
        assert_eq!(windows.len(), 2 * 3 * 2);
        assert_eq!(windows[..6], prepared.inputs[..6]);
        assert_eq!(windows[6..], prepared.inputs[14..20]);
        let deviation = prepared.scaler.target().deviation;
        assert_eq!(prepared.changes([10]), [((100.0 - 81.0) / deviation) as f32]);
    }

    #[test]
    fn too_few_rows_and_a_target_that_never_changes() {
        let text = format!("x,y\n{}", rows(25, |i| format!("{i},7")));
        let refused =
            |window| prepare(&table(&text), "y", window, Calendar::Never).unwrap_err().to_string();
        insta::assert_snapshot!(refused(21), @"
        a.csv: 25 rows are too few: a window of 21 needs 45
        help: add rows, or take a window of at most 7 (--window 7)
        ");
        insta::assert_snapshot!(refused(1), @"
        a.csv: the target `y` never changes over the training rows
        help: choose another --target, or a file in which it changes
        ");
        let short = table("y\n1\n2\n");
        let refused = prepare(&short, "y", 1, Calendar::Never).unwrap_err();
        insta::assert_snapshot!(refused.to_string(), @"
        a.csv: 2 rows are too few: a window of 1 needs 20
        help: add rows: even a window of 1 needs 20
        ");
    }

    #[test]
    fn a_constant_column_is_zero_and_a_stray_value_stays_finite() {
        let last = |i| {
            if i == 59 { "1e30".to_owned() } else { format!("{}", i % 2) }
        };
        let text = format!("x,y\n{}", rows(60, |i| format!("0.1,{}", last(i))));
        let prepared = prepare(&table(&text), "y", 3, Calendar::Never).unwrap();
        assert_eq!(prepared.scaler.columns[0].deviation, 1.0);
        assert!(prepared.inputs.iter().all(|x| x.is_finite()));
        assert!(prepared.inputs.iter().step_by(2).all(|x| x.abs() < 1e-15));
        assert_eq!(prepared.notes, ["column `x` never changes over the training rows"]);
    }

    #[test]
    fn less_than_a_year_has_no_calendar() {
        let date = |i: usize| super::super::calendar::Moment(i as i64 * DAY);
        let dated = |n| format!("date,y\n{}", rows(n, |i| format!("{},{}", date(i), i % 5)));
        let calendar = |n| {
            let table = table(&dated(n));
            prepare(&table, "y", 3, Calendar::WhereSensible).unwrap().scaler.calendar
        };
        assert!(!calendar(365));
        assert!(calendar(600));
    }
}
