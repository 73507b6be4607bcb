//! Forecasts that need no training, and the score that all forecasts share.
//! A network that does not beat them has learnt nothing of use.

use std::ops::Range;

use serde::Serialize;

use crate::data::Table;

/// How far forecasts are from the truth, in the target's own units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The mean of the absolute errors.
    pub mae: f64,
    /// The root of the mean of the squared errors.
    pub rmse: f64,
}

impl Score {
    /// The score of `forecasts` of `truth`, which are of one length and not empty.
    pub fn of(forecasts: &[f64], truth: &[f64]) -> Score {
        debug_assert_eq!(forecasts.len(), truth.len());
        let n = truth.len() as f64;
        let errors = || forecasts.iter().zip(truth).map(|(forecast, truth)| forecast - truth);
        let mae = errors().map(f64::abs).sum::<f64>() / n;
        let rmse = (errors().map(|error| error * error).sum::<f64>() / n).sqrt();
        Score { mae, rmse }
    }
}

/// A forecast that needs no training.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// What it does.
    pub name: String,
    /// Its forecasts of the rows asked for.
    pub forecasts: Vec<f64>,
}

/// The last value, the mean of the window, and the value one year before where the dates of all
/// rows allow it. Every row of `rows` has at least `window` rows before it.
pub fn baselines(
    table: &Table,
    target: &[f64],
    window: usize,
    rows: Range<usize>,
) -> Vec<Baseline> {
    let last = rows.clone().map(|row| target[row - 1]).collect();
    let mean = |row: usize| target[row - window..row].iter().sum::<f64>() / window as f64;
    let means = rows.clone().map(mean).collect();
    let mut all = vec![
        Baseline { name: "last value".to_owned(), forecasts: last },
        Baseline { name: format!("mean of the last {window}"), forecasts: means },
    ];
    if let Some(forecasts) = year_before(table, target, rows) {
        all.push(Baseline { name: "same day last year".to_owned(), forecasts });
    }
    all
}

/// The values at the same day and time one year before, if there is one for every row.
fn year_before(table: &Table, target: &[f64], rows: Range<usize>) -> Option<Vec<f64>> {
    let moments = &table.dates.as_ref()?.moments;
    let value = |row: usize| {
        let at = moments.binary_search(&moments[row].year_before()).ok()?;
        Some(target[at])
    };
    rows.map(value).collect()
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

    #[test]
    fn scores() {
        let score = Score::of(&[1.0, 2.0, 3.0, 8.0], &[1.0, 3.0, 3.0, 5.0]);
        assert_eq!(score, Score { mae: 1.0, rmse: 2.5_f64.sqrt() });
    }

    #[test]
    fn last_value_and_mean() {
        let text = "y\n1\n2\n6\n4\n5\n";
        let target = [1.0, 2.0, 6.0, 4.0, 5.0];
        let all = baselines(&table(text), &target, 2, 3..5);
        let forecasts: Vec<_> = all.iter().map(|b| (b.name.as_str(), &b.forecasts[..])).collect();
        assert_eq!(
            forecasts,
            [("last value", &[6.0, 4.0][..]), ("mean of the last 2", &[4.0, 5.0][..])]
        );
    }

    #[test]
    fn the_weather_of_last_year() {
        let weather = table(SEATTLE_WEATHER);
        let target = &weather.column("temp_max").unwrap().values;
        let all = baselines(&weather, target, 21, 1241..1461);
        assert_eq!(all.len(), 3);
        // 2015-12-31 from 2014-12-31, which no leap day parts.
        assert_eq!(all[2].forecasts[219], target[1460 - 365]);
        let scores = all.iter().map(|b| Score::of(&b.forecasts, &target[1241..1461]));
        let table = scores.map(|s| format!("{:.3} {:.3}", s.mae, s.rmse)).collect::<Vec<_>>();
        insta::assert_snapshot!(table.join("\n"), @"
        2.271 2.951
        3.097 3.756
        3.642 4.642
        ");
        // The first year has no year before it.
        assert_eq!(baselines(&weather, target, 21, 300..400).len(), 2);
    }
}
