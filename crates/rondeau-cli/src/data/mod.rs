//! From a CSV file to the numbers a forecaster trains on: a checked table, a split by time,
//! normalisation, and windows. Knows no model.

pub mod calendar;
mod error;
mod prepare;
pub mod sequences;
mod table;

pub use error::{DataError, Place, Problem};
pub use prepare::{Calendar, Prepared, Scale, Scaler, Split, prepare, window_minimum, windows};
pub use table::{Column, Dates, Limits, Source, Table, Wanted};

/// The weather that the command ships: Seattle, daily, 2012 to 2015, from NOAA (public domain).
pub const SEATTLE_WEATHER: &str = include_str!("../../data/seattle-weather.csv");
