//! Two kinds of chart as SVG: lines, and a heat map. Equal input gives equal bytes.
//! Colours can be told apart by people with any common colour blindness. Knows no model and no file.

pub mod axis;
pub mod color;
mod heat;
mod line;
mod svg;

pub use axis::Axis;
pub use heat::HeatMap;
pub use line::{LineChart, Mark, Series, Stroke};
