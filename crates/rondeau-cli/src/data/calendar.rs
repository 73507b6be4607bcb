//! Dates and times without zones: reading, printing, and the steps between them.
//! The calendar is the proleptic Gregorian one.

use std::fmt;

/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// A moment, in seconds since 1970-01-01 00:00 by the file's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

/// Year, month 1 to 12, day 1 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year, which may be negative.
    pub year: i64,
    /// The month, January is 1.
    pub month: u32,
    /// The day of the month, from 1.
    pub day: u32,
}

impl Civil {
    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        // Years start in March here, so that the leap day is the last of its year:
        // month m of such a year (March is 0) starts on its day (153·m + 2) / 5.
        let shifted = self.year - i64::from(self.month <= 2);
        let march_month = i64::from((self.month + 9) % 12);
        let day_of_year = (153 * march_month + 2) / 5 + i64::from(self.day) - 1;
        let leap_days = shifted.div_euclid(4) - shifted.div_euclid(100) + shifted.div_euclid(400);
        // Day 0 of year 0, which is 0000-03-01, lies 719,468 days before 1970-01-01.
        365 * shifted + leap_days + day_of_year - 719_468
    }

    /// The date that lies `days` after 1970-01-01.
    pub fn from_days(days: i64) -> Civil {
        const ERA: i64 = 146_097; // days in 400 years
        let since = days + 719_468;
        let era = since.div_euclid(ERA);
        let day_of_era = since.rem_euclid(ERA);
        // The leap days already passed within the era leave a year of 365 days each.
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * march_month + 2) / 5 + 1) as u32;
        let month = ((march_month + 2) % 12 + 1) as u32;
        Civil { year: 400 * era + year_of_era + i64::from(month <= 2), month, day }
    }

    /// The date `n` months later, on the last day of the month where that day does not exist.
    pub fn add_months(self, n: i64) -> Civil {
        let months = self.year * 12 + i64::from(self.month) - 1 + n;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        Civil { year, month, day: self.day.min(days_in_month(year, month)) }
    }
}

/// How many days the month has.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Moment {
    /// Midnight of a date.
    pub fn midnight(date: Civil) -> Moment {
        Moment(date.days() * DAY)
    }

    /// The moment that `text` names: `2012-01-31` or `2012/01/31`, then if wanted a space or `T`
    /// and `hh:mm` or `hh:mm:ss`, then if wanted `Z`.
    pub fn parse(text: &str) -> Option<Moment> {
        let text = text.trim();
        let (date, time) = match text.find([' ', 'T']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let mut parts = date.split(if date.contains('/') { '/' } else { '-' });
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || year.len() != 4 {
            return None;
        }
        let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
        let known_month = (1..=12).contains(&month);
        if !known_month || day == 0 || day > days_in_month(i64::from(year), month) {
            return None;
        }
        let midnight = Moment::midnight(Civil { year: i64::from(year), month, day });
        let Some(time) = time else {
            return Some(midnight);
        };
        let mut parts = time.strip_suffix('Z').unwrap_or(time).split(':');
        let (hour, minute) = (digits(parts.next()?)?, digits(parts.next()?)?);
        let second = parts.next().map_or(Some(0), digits)?;
        if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Moment(midnight.0 + i64::from(hour * 3600 + minute * 60 + second)))
    }

    /// The date of the moment.
    pub fn date(self) -> Civil {
        Civil::from_days(self.0.div_euclid(DAY))
    }

    /// How far the year has gone, from 0 at its start up to 1.
    pub fn year_fraction(self) -> f64 {
        let year = self.date().year;
        let start = Moment::midnight(Civil { year, month: 1, day: 1 }).0;
        let end = Moment::midnight(Civil { year: year + 1, month: 1, day: 1 }).0;
        (self.0 - start) as f64 / (end - start) as f64
    }

    /// The same day and time one year before; 28 February for 29 February.
    pub fn year_before(self) -> Moment {
        self.add_months(-12)
    }

    fn add_months(self, n: i64) -> Moment {
        Moment(self.date().add_months(n).days() * DAY + self.0.rem_euclid(DAY))
    }
}

/// One or two digits, or four for a year; signs and spaces are not digits.
fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day } = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")?;
        let second = self.0.rem_euclid(DAY);
        if second == 0 {
            return Ok(());
        }
        write!(f, " {:02}:{:02}", second / 3600, second / 60 % 60)?;
        if second % 60 == 0 { Ok(()) } else { write!(f, ":{:02}", second % 60) }
    }
}

/// The step from row to row of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many seconds.
    Seconds(i64),
    /// So many months, on the same day of the month or on the last one.
    Months(i64),
}

impl Step {
    /// The step that most rows of the series take, if more than half of them take it.
    pub fn of(moments: &[Moment]) -> Option<Step> {
        let pairs = moments.windows(2);
        let mut steps: Vec<Step> = pairs.map(|pair| Step::between(pair[0], pair[1])).collect();
        let n_steps = steps.len();
        steps.sort_by_key(|step| match step {
            Step::Seconds(n) => (0, *n),
            Step::Months(n) => (1, *n),
        });
        let common = steps.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?;
        (common.len() * 2 > n_steps).then(|| common[0])
    }

    fn between(from: Moment, to: Moment) -> Step {
        let (a, b) = (from.date(), to.date());
        let months = (b.year - a.year) * 12 + i64::from(b.month) - i64::from(a.month);
        let ends = |d: Civil| d.day == days_in_month(d.year, d.month);
        let whole = from.add_months(months) == to
            || (ends(a) && ends(b) && from.0.rem_euclid(DAY) == to.0.rem_euclid(DAY));
        if months > 0 && whole { Step::Months(months) } else { Step::Seconds(to.0 - from.0) }
    }

    /// What a step is called, if it has a name of its own.
    pub fn name(self) -> Option<&'static str> {
        const WEEK: i64 = 7 * DAY;
        match self {
            Step::Seconds(60) => Some("minute"),
            Step::Seconds(3600) => Some("hour"),
            Step::Seconds(DAY) => Some("day"),
            Step::Seconds(WEEK) => Some("week"),
            Step::Months(1) => Some("month"),
            Step::Months(12) => Some("year"),
            Step::Seconds(_) | Step::Months(_) => None,
        }
    }

    /// The moment one step later.
    pub fn after(self, moment: Moment) -> Moment {
        match self {
            Step::Seconds(n) => Moment(moment.0 + n),
            Step::Months(n) => {
                let date = moment.date();
                let later = moment.add_months(n);
                // The end of a month is followed by the end of a month: 28 February, 31 March.
                if date.day == days_in_month(date.year, date.month) && date.day >= 28 {
                    let Civil { year, month, .. } = later.date();
                    let day = days_in_month(year, month);
                    let time = moment.0.rem_euclid(DAY);
                    return Moment(Civil { year, month, day }.days() * DAY + time);
                }
                later
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        Moment::parse(text).unwrap_or_else(|| panic!("`{text}` is a date"))
    }

    #[test]
    fn days_and_dates_are_inverse_over_four_eras() {
        let mut expected = Civil { year: 1199, month: 12, day: 31 };
        let first = expected.days();
        for days in first..first + 1_200 * 366 {
            let date = Civil::from_days(days);
            assert_eq!(date.days(), days);
            assert_eq!(date, expected);
            expected.day += 1;
            if expected.day > days_in_month(expected.year, expected.month) {
                expected = Civil { day: 1, ..expected }.add_months(1);
            }
        }
    }

    #[test]
    fn known_days() {
        assert_eq!(at("1970-01-01").0, 0);
        assert_eq!(at("2000-03-01").0, 951_868_800);
        assert_eq!(at("2012/01/31 06:30").0, 1_327_991_400);
    }

    #[test]
    fn text_that_is_no_date() {
        for text in [
            "",
            "12.5",
            "2012",
            "2012-13-01",
            "2012-02-30",
            "2013-02-29",
            "2012-00-10",
            "2012-01-00",
            "2012-01-01-01",
            "12-01-01",
            "2012-01-01 25:00",
            "2012-01-01 10",
            "2012-01-01 10:60",
            "2012-+1-01",
            "2012-01-01T",
            "01/02/2012",
            "٢٠١٢-01-01",
        ] {
            assert_eq!(Moment::parse(text), None, "`{text}`");
        }
    }

    #[test]
    fn printing_is_the_inverse_of_reading() {
        for text in ["2012-02-29", "1899-12-31 23:59", "2012-01-01 00:00:01"] {
            assert_eq!(at(text).to_string(), text);
        }
        assert_eq!(at("2012-02-29T10:30:00Z").to_string(), "2012-02-29 10:30");
    }

    #[test]
    fn a_year_before() {
        assert_eq!(at("2015-06-01 12:00").year_before(), at("2014-06-01 12:00"));
        assert_eq!(at("2016-02-29").year_before(), at("2015-02-28"));
    }

    #[test]
    fn the_common_step() {
        let series = |texts: &[&str]| texts.iter().map(|t| at(t)).collect::<Vec<_>>();
        let daily = series(&["2012-01-01", "2012-01-02", "2012-01-03", "2012-01-05"]);
        assert_eq!(Step::of(&daily), Some(Step::Seconds(DAY)));
        let monthly = series(&["2012-01-01", "2012-02-01", "2012-03-01"]);
        assert_eq!(Step::of(&monthly), Some(Step::Months(1)));
        let ends = series(&["2012-01-31", "2012-02-29", "2012-03-31"]);
        assert_eq!(Step::of(&ends), Some(Step::Months(1)));
        assert_eq!(Step::Months(1).after(at("2012-03-31")), at("2012-04-30"));
        assert_eq!(Step::Months(1).after(at("2013-02-28")), at("2013-03-31"));
        assert_eq!(Step::of(&series(&["2012-01-01", "2012-01-02", "2012-01-04"])), None);
        assert_eq!(Step::of(&daily[..1]), None);
    }
}
