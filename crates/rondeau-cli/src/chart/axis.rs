//! What an axis shows: its range, and the places that are named on it.

use crate::data::calendar::{Civil, DAY, Moment};

/// The horizontal axis of a chart.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures.
    pub label: String,
    /// What its numbers mean.
    pub kind: Kind,
}

/// What the numbers on an axis mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Themselves.
    Numbers,
    /// Whole numbers, such as epochs and rows.
    Counts,
    /// Seconds since 1970, as in [`Moment`].
    Moments,
}

/// A named place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where.
    pub at: f64,
    /// Its name.
    pub label: String,
    /// What stands below the name, where it changes: the year of a month, the date of an hour.
    pub below: Option<String>,
}

/// The least and the greatest of the finite values, made apart if they are equal.
pub fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|x| x.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        return None;
    }
    let room = low.abs().max(high.abs()).max(1e-3);
    let apart = high - low > room * 1e-9;
    Some(if apart { (low, high) } else { (low - room * 0.1, high + room * 0.1) })
}

/// The places named between two values, about `most` of them and not more.
pub fn ticks(kind: Kind, low: f64, high: f64, most: usize) -> Vec<Tick> {
    match kind {
        Kind::Numbers => number_ticks(low, high, nice_step(high - low, most.saturating_sub(1))),
        Kind::Counts => {
            number_ticks(low, high, nice_step(high - low, most.saturating_sub(1)).max(1.0))
        }
        Kind::Moments => moment_ticks(low, high, most),
    }
}

/// The smallest of 1, 2, 5, 10, .. times a power of ten that cuts `span` into at most `most` parts.
fn nice_step(span: f64, most: usize) -> f64 {
    let rough = span / most.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    // A step that is right but for rounding is taken.
    let fits = |&nice: &f64| nice * power >= rough * (1.0 - 1e-9);
    [1.0, 2.0, 5.0].into_iter().find(fits).unwrap_or(10.0) * power
}

/// The multiples of `step`.
fn number_ticks(low: f64, high: f64, step: f64) -> Vec<Tick> {
    let first = (low / step - 1e-9).ceil();
    let n = ((high / step + 1e-9).floor() - first).max(-1.0) as usize;
    let multiples = (0..=n).map(|i| (first + i as f64) * step);
    multiples
        .filter(|at| at.is_finite())
        .map(|at| Tick { at, label: tick_label(at, step), below: None })
        .collect()
}

/// A multiple of `step`, with just the digits that the step needs.
fn tick_label(at: f64, step: f64) -> String {
    let power = step.log10().floor() as i32;
    let scientific = !(-5..=5).contains(&power);
    if scientific && at.abs() < step * 1e-6 {
        return "0".to_owned();
    }
    if scientific {
        let digits = (at.abs().log10().floor() as i32 - power).max(0) as usize;
        return format!("{at:.digits$e}");
    }
    // Adding zero turns -0 into 0.
    format!("{:.*}", (-power).max(0) as usize, at + 0.0)
}

/// A step of the calendar.
#[derive(Clone, Copy)]
enum Every {
    Hours(i64),
    Days(i64),
    Months(i64),
}

fn moment_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let (low, high) = (Moment(low.ceil() as i64), Moment(high.floor() as i64));
    let years = |n: f64| Every::Months(12 * (n as i64));
    let span_in_years = (high.0 - low.0) as f64 / (365.25 * DAY as f64);
    let wide = years(nice_step(span_in_years, most.saturating_sub(1)).max(1.0));
    let every = [
        Every::Hours(1),
        Every::Hours(3),
        Every::Hours(6),
        Every::Hours(12),
        Every::Days(1),
        Every::Days(2),
        Every::Days(7),
        Every::Days(14),
        Every::Months(1),
        Every::Months(2),
        Every::Months(3),
        Every::Months(6),
        Every::Months(12),
    ];
    let counted = every.into_iter().map(|every| (every, moments(every, low, high, most + 1)));
    let fitting = counted.into_iter().find(|(_, moments)| moments.len() <= most);
    let (every, moments) = fitting.unwrap_or_else(|| (wide, moments(wide, low, high, most)));
    let mut last_below = None;
    let tick = |moment: Moment| {
        let (label, below) = moment_label(every, moment);
        let news = below.filter(|below| last_below.as_ref() != Some(below));
        if news.is_some() {
            last_below.clone_from(&news);
        }
        Tick { at: moment.0 as f64, label, below: news }
    };
    moments.into_iter().map(tick).collect()
}

/// The multiples of a step of the calendar between two moments, the first `limit` of them.
fn moments(every: Every, low: Moment, high: Moment, limit: usize) -> Vec<Moment> {
    let multiple = |i: i64| match every {
        Every::Hours(n) => Moment((low.0.div_euclid(n * 3600) + i) * n * 3600),
        // Days count from a Monday, 1969-12-29, so that weeks begin on Mondays.
        Every::Days(n) => Moment((((low.0.div_euclid(DAY) + 3).div_euclid(n) + i) * n - 3) * DAY),
        Every::Months(n) => {
            let Civil { year, month, .. } = low.date();
            let months = ((year * 12 + i64::from(month) - 1).div_euclid(n) + i) * n;
            Moment::midnight(Civil { year: 0, month: 1, day: 1 }.add_months(months))
        }
    };
    (0..).map(multiple).skip_while(|&m| m < low).take_while(|&m| m <= high).take(limit).collect()
}

fn moment_label(every: Every, moment: Moment) -> (String, Option<String>) {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day } = moment.date();
    let name = NAMES[month as usize - 1];
    match every {
        Every::Hours(_) => {
            let hour = moment.0.rem_euclid(DAY) / 3600;
            (format!("{hour:02}:00"), Some(format!("{day} {name} {year}")))
        }
        Every::Days(_) => (format!("{day} {name}"), Some(year.to_string())),
        Every::Months(n) if n < 12 => (name.to_owned(), Some(year.to_string())),
        Every::Months(_) => (year.to_string(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> String {
        let label = |tick: &Tick| match &tick.below {
            Some(below) => format!("{}/{below}", tick.label),
            None => tick.label.clone(),
        };
        ticks.iter().map(label).collect::<Vec<_>>().join(" ")
    }

    fn numbers(low: f64, high: f64) -> String {
        labels(&ticks(Kind::Numbers, low, high, 6))
    }

    fn dates(from: &str, to: &str) -> String {
        let at = |text| Moment::parse(text).unwrap().0 as f64;
        labels(&ticks(Kind::Moments, at(from), at(to), 9))
    }

    #[test]
    fn nice_numbers() {
        insta::assert_snapshot!(numbers(0.0, 1.0), @"0.0 0.2 0.4 0.6 0.8 1.0");
        insta::assert_snapshot!(numbers(-3.2, 37.9), @"0 10 20 30");
        insta::assert_snapshot!(numbers(0.013, 0.0174), @"0.013 0.014 0.015 0.016 0.017");
        insta::assert_snapshot!(numbers(0.0, 3.0e7), @"0 1e7 2e7 3e7");
        insta::assert_snapshot!(numbers(-2e-9, 3e-9), @"-2e-9 -1e-9 0 1e-9 2e-9 3e-9");
        insta::assert_snapshot!(numbers(1e9, 1e9 + 5.0), @"1000000000 1000000001 1000000002 1000000003 1000000004 1000000005");
    }

    #[test]
    fn counts_are_whole() {
        let counts = |low, high| labels(&ticks(Kind::Counts, low, high, 6));
        insta::assert_snapshot!(counts(1.0, 3.0), @"1 2 3");
        insta::assert_snapshot!(counts(0.9, 1.1), @"1");
        insta::assert_snapshot!(counts(1.0, 87.0), @"20 40 60 80");
    }

    #[test]
    fn never_more_than_asked_for() {
        let mut x = 1e-12;
        while x < 1e15 {
            for low in [0.0, -x, x / 3.0, 1e3] {
                let n = ticks(Kind::Numbers, low, low + x, 6).len();
                assert!((2..=6).contains(&n) || low / x > 1e9, "{low} {x}: {n}");
            }
            x *= 1.37;
        }
        for days in 1..2000 {
            let high = (days * days * DAY) as f64;
            let n = ticks(Kind::Moments, 1e9, 1e9 + high, 9).len();
            assert!((1..=9).contains(&n), "{days}: {n}");
        }
    }

    #[test]
    fn dates_from_hours_to_centuries() {
        insta::assert_snapshot!(dates("2015-05-31 20:30", "2015-06-01 04:00"), @"21:00/31 May 2015 22:00 23:00 00:00/1 Jun 2015 01:00 02:00 03:00 04:00");
        insta::assert_snapshot!(dates("2015-12-28", "2016-01-03"), @"28 Dec/2015 29 Dec 30 Dec 31 Dec 1 Jan/2016 2 Jan 3 Jan");
        insta::assert_snapshot!(dates("2015-12-01", "2016-01-20"), @"7 Dec/2015 14 Dec 21 Dec 28 Dec 4 Jan/2016 11 Jan 18 Jan");
        insta::assert_snapshot!(dates("2015-05-26", "2015-12-31"), @"Jun/2015 Jul Aug Sep Oct Nov Dec");
        insta::assert_snapshot!(dates("2012-01-01", "2015-12-31"), @"Jan/2012 Jul Jan/2013 Jul Jan/2014 Jul Jan/2015 Jul");
        insta::assert_snapshot!(dates("1850-01-01", "2015-12-31"), @"1850 1900 1950 2000");
    }

    #[test]
    fn ranges() {
        assert_eq!(range([2.0, f64::NAN, -1.0]), Some((-1.0, 2.0)));
        assert_eq!(range([f64::NAN]), None);
        let (low, high) = range([5.0, 5.0]).unwrap();
        assert!(low < 5.0 && high > 5.0);
    }
}
