//! A heat map: a value for each row and each moment, as a colour between blue and red.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::axis::{Axis, Kind, range, ticks};
use super::color::{NO_VALUE, diverging};
use super::line::{draw_x_ticks, headline};
use super::svg::{Anchor, LABEL, Svg, TICK, fitted, number, width_of};

const WIDTH: f64 = 960.0;
const PLOT_HEIGHT: f64 = 320.0;

/// The most cells that are drawn along either side; more are averaged.
const MOST_COLUMNS: usize = 480;
const MOST_ROWS: usize = 160;

/// The colours on either side of white.
const LEVELS: i32 = 32;

/// A value for each row and each place on the horizontal axis.
#[derive(Clone, Debug)]
pub struct HeatMap {
    /// What is seen.
    pub title: String,
    /// A second, smaller line.
    pub subtitle: String,
    /// The horizontal axis.
    pub x: Axis,
    /// Where the first and the last column are on it.
    pub x_range: (f64, f64),
    /// What the rows are.
    pub y_label: String,
    /// The name of each row, from the top.
    pub row_names: Vec<String>,
    /// The values, one row after the other; those that are not finite are grey.
    pub rows: Vec<Vec<f64>>,
    /// What the values are.
    pub value_label: String,
}

impl HeatMap {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        // Long names of rows take their place from the map.
        let widest = self.row_names.iter().map(|name| width_of(name, TICK)).fold(0.0, f64::max);
        let left = 38.0 + widest.clamp(40.0, 100.0);
        let (right, top) = (WIDTH - 108.0, 70.0);
        let bottom = top + PLOT_HEIGHT;
        let mut svg = Svg::new(WIDTH, bottom + 64.0, &self.title);
        headline(&mut svg, &self.title, &self.subtitle, left, WIDTH - 28.0);
        let rows = averaged(&self.rows, MOST_ROWS, MOST_COLUMNS);
        let n_columns = rows.first().map_or(0, Vec::len);
        let values = || self.rows.iter().flatten().copied();
        let Some(extreme) = range(values().map(f64::abs)) else {
            let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
            svg.text(middle, Anchor::Middle, LABEL, "nothing to draw: no finite values");
            return svg.finish();
        };
        let extreme = extreme.1;

        let size = (right - left, PLOT_HEIGHT);
        svg.rect((left, top), size, &format!("fill=\"{NO_VALUE}\""));
        let scale = (size.0 / n_columns as f64, size.1 / rows.len() as f64);
        for (color, path) in cells(&rows, extreme) {
            let [x, y] = [left, top].map(number);
            // The cells are drawn as unit squares and stretched, which keeps their paths short.
            svg.element(
                "path",
                &format!(
                    "d=\"{path}\" fill=\"{color}\" shape-rendering=\"crispEdges\" \
                 transform=\"translate({x} {y}) scale({:.5} {:.5})\"",
                    scale.0, scale.1
                ),
            );
        }
        svg.rect((left, top), size, "fill=\"none\" stroke=\"#888888\"");
        self.axes(&mut svg, (left, right), (top, bottom));
        self.color_bar(&mut svg, right + 22.0, (top, bottom), extreme);
        svg.finish()
    }

    fn axes(&self, svg: &mut Svg, (left, right): (f64, f64), (top, bottom): (f64, f64)) {
        // A cell stands for its place, so places are at the middles of cells.
        let n_columns = self.rows.first().map_or(2, Vec::len).max(2) as f64;
        let (first, last) = self.x_range;
        let half = if last > first { (last - first) / (n_columns - 1.0) / 2.0 } else { 0.5 };
        let (low, high) = (first - half, last + half);
        let x = |at: f64| left + (at - low) / (high - low) * (right - left);
        draw_x_ticks(svg, &ticks(self.x.kind, first, last, 10), x, bottom);
        svg.text(((left + right) / 2.0, bottom + 52.0), Anchor::Middle, LABEL, &self.x.label);

        let height = (bottom - top) / self.row_names.len().max(1) as f64;
        let every = (14.0 / height).ceil().max(1.0) as usize;
        for (i, name) in self.row_names.iter().enumerate().step_by(every) {
            let y = top + (i as f64 + 0.5) * height + 4.0;
            svg.text((left - 8.0, y), Anchor::End, TICK, &fitted(name, TICK, left - 38.0));
        }
        svg.upward_text((22.0, (top + bottom) / 2.0), LABEL, &self.y_label);
    }

    fn color_bar(&self, svg: &mut Svg, left: f64, (top, bottom): (f64, f64), extreme: f64) {
        let height = (bottom - top) / f64::from(2 * LEVELS + 1);
        for level in -LEVELS..=LEVELS {
            let color = diverging(f64::from(level) / f64::from(LEVELS));
            let y = bottom - f64::from(level + LEVELS + 1) * height;
            let style = format!("fill=\"{color}\" shape-rendering=\"crispEdges\"");
            // A little of it lies under its neighbour, so that rounding leaves no gap.
            svg.rect((left, y), (16.0, height + 0.5), &style);
        }
        svg.rect((left, top), (16.0, bottom - top), "fill=\"none\" stroke=\"#888888\"");
        for tick in ticks(Kind::Numbers, -extreme, extreme, 6) {
            let y = bottom - (tick.at + extreme) / (2.0 * extreme) * (bottom - top);
            svg.line((left + 16.0, y), (left + 20.0, y), "stroke=\"#888888\"");
            svg.text((left + 24.0, y + 4.0), Anchor::Start, TICK, &tick.label);
        }
        svg.upward_text((WIDTH - 12.0, (top + bottom) / 2.0), LABEL, &self.value_label);
    }
}

/// For each colour the squares that have it, runs of them within a row as one rectangle.
fn cells(rows: &[Vec<f64>], extreme: f64) -> Vec<(String, String)> {
    let level = |value: f64| {
        let level = (value / extreme * f64::from(LEVELS)).round() as i32;
        value.is_finite().then_some(level)
    };
    let mut paths = BTreeMap::<i32, String>::new();
    for (y, row) in rows.iter().enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|&a, &b| level(a) == level(b)) {
            if let Some(level) = level(run[0]) {
                let n = run.len();
                let _ = write!(paths.entry(level).or_default(), "M{x} {y}h{n}v1h-{n}z");
            }
            x += run.len();
        }
    }
    let color = |level: i32| diverging(f64::from(level) / f64::from(LEVELS));
    paths.into_iter().map(|(level, path)| (color(level), path)).collect()
}

/// The rows in at most so many cells, each the mean of the finite values that it stands for.
fn averaged(rows: &[Vec<f64>], most_rows: usize, most_columns: usize) -> Vec<Vec<f64>> {
    let parts = |n: usize, most: usize| {
        let n_parts = n.min(most);
        (0..n_parts).map(move |i| i * n / n_parts..(i + 1) * n / n_parts)
    };
    let n_columns = rows.iter().map(Vec::len).min().unwrap_or(0);
    let cell = |rows: &[Vec<f64>], columns: std::ops::Range<usize>| {
        let values = rows.iter().flat_map(|row| &row[columns.clone()]);
        let finite = values.filter(|value| value.is_finite());
        let (sum, n) = finite.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
        sum / n // NaN if there is none
    };
    let row = |range: std::ops::Range<usize>| {
        parts(n_columns, most_columns).map(|columns| cell(&rows[range.clone()], columns)).collect()
    };
    parts(rows.len(), most_rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: Vec<Vec<f64>>) -> HeatMap {
        let n_columns = rows.first().map_or(0, Vec::len);
        HeatMap {
            title: "State".to_owned(),
            subtitle: "of a <GRU>".to_owned(),
            x: Axis { label: "row".to_owned(), kind: Kind::Counts },
            x_range: (1.0, n_columns as f64),
            y_label: "unit".to_owned(),
            row_names: (0..rows.len()).map(|i| i.to_string()).collect(),
            rows,
            value_label: "activation".to_owned(),
        }
    }

    #[test]
    fn a_small_map() {
        let rows = vec![vec![-1.0, -0.5, 0.0, 0.0], vec![1.0, f64::NAN, 0.25, 0.5]];
        insta::assert_snapshot!(map(rows).svg());
    }

    #[test]
    fn maps_of_nothing_and_of_one_cell() {
        for rows in [vec![], vec![vec![]], vec![vec![f64::NAN]], vec![vec![0.0]], vec![vec![3.0]]] {
            let svg = map(rows).svg();
            assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn means_of_parts() {
        let rows = vec![vec![1.0, 3.0, 5.0, f64::NAN], vec![1.0, 3.0, 7.0, f64::NAN]];
        assert_eq!(averaged(&rows, 1, 2), [[2.0, 6.0]]);
        assert_eq!(averaged(&rows, 2, 2), [[2.0, 5.0], [2.0, 7.0]]);
    }

    #[test]
    fn a_large_map_is_a_file_of_bearable_size() {
        let value = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1000) as f64 / 500.0 - 1.0;
        let rows = (0..512).map(|i| (0..5000).map(|j| value(i, j)).collect()).collect();
        assert!(map(rows).svg().len() < 2 << 20);
    }
}
