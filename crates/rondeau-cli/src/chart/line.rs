//! A chart of lines over one horizontal axis.

use std::fmt::Write;

use super::axis::{Axis, Kind, Tick, range, ticks};
use super::color::{GRID, LINES, PAPER};
use super::svg::{Anchor, LABEL, SUBTITLE, Svg, TICK, TITLE, fitted, number, width_of};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 440.0;

/// Lines over a common horizontal axis.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// What is seen.
    pub title: String,
    /// A second, smaller line.
    pub subtitle: String,
    /// The horizontal axis.
    pub x: Axis,
    /// What the vertical axis measures.
    pub y_label: String,
    /// The lines, drawn in order; later ones lie above.
    pub series: Vec<Series>,
    /// A vertical line with a name.
    pub mark: Option<Mark>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right; a point that is not finite parts the line.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// In the next colour of the palette.
    Strong,
    /// In grey, as what the others are compared with.
    Quiet,
}

/// A vertical line with a name.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Where it stands.
    pub x: f64,
    /// Its name.
    pub label: String,
}

/// The rectangle inside the axes, and the values at its edges.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Plot {
    fn x(&self, x: f64) -> f64 {
        self.left + (x - self.x.0) / (self.x.1 - self.x.0) * (self.right - self.left)
    }

    fn y(&self, y: f64) -> f64 {
        self.bottom - (y - self.y.0) / (self.y.1 - self.y.0) * (self.bottom - self.top)
    }
}

impl LineChart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let marked = self.mark.iter().map(|mark| mark.x);
        let x = range(points().map(|point| point.0).chain(marked));
        let y = range(points().map(|point| point.1)).map(with_room);
        let (Some(x), Some(y)) = (x, y) else {
            return self.empty();
        };
        let y_ticks = ticks(Kind::Numbers, y.0, y.1, 9);
        let widest = y_ticks.iter().map(|t| width_of(&t.label, TICK)).fold(0.0, f64::max);
        let left = (widest + 48.0).min(WIDTH / 4.0);
        let (right, top, bottom) = (WIDTH - 28.0, 92.0, HEIGHT - 64.0);
        let plot = Plot { left, right, top, bottom, x, y };
        let x_ticks = ticks(self.x.kind, x.0, x.1, 10);

        let mut svg = Svg::new(WIDTH, HEIGHT, &self.title);
        headline(&mut svg, &self.title, &self.subtitle, left, right);
        self.legend(&mut svg, &plot);
        self.axes(&mut svg, &plot, &x_ticks, &y_ticks);
        self.draw_mark(&mut svg, &plot);
        for (series, color) in self.series.iter().zip(self.colors()) {
            let width = if series.stroke == Stroke::Quiet { 1.5 } else { 1.9 };
            draw_line(&mut svg, &plot, &series.points, color, width);
        }
        self.name_mark(&mut svg, &plot);
        svg.finish()
    }

    fn empty(&self) -> String {
        let mut svg = Svg::new(WIDTH, HEIGHT, &self.title);
        headline(&mut svg, &self.title, &self.subtitle, 60.0, WIDTH - 28.0);
        let middle = (WIDTH / 2.0, HEIGHT / 2.0);
        svg.text(middle, Anchor::Middle, LABEL, "nothing to draw: no finite values");
        svg.finish()
    }

    fn colors(&self) -> Vec<&'static str> {
        let mut palette = LINES.iter().cycle();
        let strong = |series: &Series| match series.stroke {
            Stroke::Strong => palette.next().copied().unwrap_or(LINES[0]),
            Stroke::Quiet => "#7a7a7a",
        };
        self.series.iter().map(strong).collect()
    }

    fn legend(&self, svg: &mut Svg, plot: &Plot) {
        let mut x = plot.left;
        let y = plot.top - 20.0;
        for (series, color) in self.series.iter().zip(self.colors()) {
            let name = fitted(&series.name, LABEL, 260.0);
            let style = format!("stroke=\"{color}\" stroke-width=\"3\"");
            svg.line((x, y), (x + 22.0, y), &style);
            svg.text((x + 29.0, y + 4.5), Anchor::Start, LABEL, &name);
            x += 29.0 + width_of(&name, LABEL) + 26.0;
        }
    }

    fn axes(&self, svg: &mut Svg, plot: &Plot, x_ticks: &[Tick], y_ticks: &[Tick]) {
        let style = format!("stroke=\"{GRID}\"");
        for tick in y_ticks {
            let y = plot.y(tick.at);
            svg.line((plot.left, y), (plot.right, y), &style);
            svg.text((plot.left - 8.0, y + 4.0), Anchor::End, TICK, &tick.label);
        }
        draw_x_ticks(svg, x_ticks, |at| plot.x(at), plot.bottom);
        let axis = "stroke=\"#888888\"";
        svg.line((plot.left, plot.bottom), (plot.right, plot.bottom), axis);
        let middle = (plot.left + plot.right) / 2.0;
        svg.text((middle, HEIGHT - 12.0), Anchor::Middle, LABEL, &self.x.label);
        let label = fitted(&self.y_label, LABEL, plot.bottom - plot.top + 60.0);
        svg.upward_text((20.0, (plot.top + plot.bottom) / 2.0), LABEL, &label);
    }

    fn draw_mark(&self, svg: &mut Svg, plot: &Plot) {
        if let Some(Mark { x, .. }) = self.mark {
            let x = plot.x(x);
            let style = "stroke=\"#555555\" stroke-dasharray=\"4 4\"";
            svg.line((x, plot.top), (x, plot.bottom), style);
        }
    }

    /// The name of the mark; lines below it shine through a little.
    fn name_mark(&self, svg: &mut Svg, plot: &Plot) {
        let Some(Mark { x, label }) = &self.mark else {
            return;
        };
        let (x, width) = (plot.x(*x), width_of(label, TICK));
        // The name stands on the side that has room.
        let (at, left, anchor) = match x + 10.0 + width < plot.right {
            true => (x + 6.0, x + 3.0, Anchor::Start),
            false => (x - 6.0, x - 9.0 - width, Anchor::End),
        };
        let style = format!("fill=\"{PAPER}\" fill-opacity=\"0.8\"");
        svg.rect((left, plot.top), (width + 6.0, 17.0), &style);
        svg.text((at, plot.top + 12.0), anchor, TICK, label);
    }
}

/// Title and subtitle, at the left upper corner.
pub(super) fn headline(svg: &mut Svg, title: &str, subtitle: &str, left: f64, right: f64) {
    let title = fitted(title, TITLE, right - left);
    svg.text((left, 30.0), Anchor::Start, TITLE, &title);
    let subtitle = fitted(subtitle, SUBTITLE, right - left);
    svg.text((left, 50.0), Anchor::Start, SUBTITLE, &subtitle);
}

/// Short strokes below the axis with their names.
pub(super) fn draw_x_ticks(svg: &mut Svg, ticks: &[Tick], x: impl Fn(f64) -> f64, bottom: f64) {
    for tick in ticks {
        let x = x(tick.at);
        svg.line((x, bottom), (x, bottom + 5.0), "stroke=\"#888888\"");
        svg.text((x, bottom + 19.0), Anchor::Middle, TICK, &tick.label);
        if let Some(below) = &tick.below {
            svg.text((x, bottom + 34.0), Anchor::Middle, TICK, below);
        }
    }
}

/// A little more than the range, so that lines do not touch the frame; zero is the edge if it is
/// near and nothing lies below it.
fn with_room((low, high): (f64, f64)) -> (f64, f64) {
    let room = (high - low) * 0.05;
    let near_zero = low >= 0.0 && low < 0.25 * (high - low);
    (if near_zero { 0.0 } else { low - room }, high + room)
}

fn draw_line(svg: &mut Svg, plot: &Plot, points: &[(f64, f64)], color: &str, width: f64) {
    let is_finite = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    let (mut lines, mut dots) = (String::new(), String::new());
    for piece in points.split(|point| !is_finite(point)).filter(|piece| !piece.is_empty()) {
        let to_screen = |&(x, y): &(f64, f64)| (plot.x(x), plot.y(y));
        let piece = thinned(piece.iter().map(to_screen).collect());
        if let [(x, y)] = piece[..] {
            // A line of no length with round ends is a dot.
            let _ = write!(dots, "M{} {}h0", number(x), number(y));
            continue;
        }
        for (i, (x, y)) in piece.into_iter().enumerate() {
            let _ = write!(lines, "{}{} {}", if i == 0 { 'M' } else { 'L' }, number(x), number(y));
        }
    }
    for (path, width) in [(lines, width), (dots, 2.5 * width)] {
        if !path.is_empty() {
            let round = "stroke-linejoin=\"round\" stroke-linecap=\"round\"";
            let pen = format!("stroke=\"{color}\" stroke-width=\"{}\" {round}", number(width));
            svg.element("path", &format!("d=\"{path}\" fill=\"none\" {pen}"));
        }
    }
}

/// The points that can be seen: of those within half a pixel, the first, least, greatest and last.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() < 4 * WIDTH as usize {
        return points;
    }
    let column = |point: &(f64, f64)| (point.0 * 2.0).floor();
    let mut kept = Vec::new();
    for same in points.chunk_by(|a, b| column(a) == column(b)) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let least = same.iter().min_by(by_height);
        let greatest = same.iter().max_by(by_height);
        let mut seen: Vec<_> =
            [same.first(), least, greatest, same.last()].into_iter().flatten().collect();
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        seen.dedup();
        kept.extend(seen);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<Series>) -> LineChart {
        LineChart {
            title: "Loss <of> \"x\" & more".to_owned(),
            subtitle: "a GRU".to_owned(),
            x: Axis { label: "epoch".to_owned(), kind: Kind::Counts },
            y_label: "loss".to_owned(),
            series,
            mark: Some(Mark { x: 3.0, label: "best: epoch 3".to_owned() }),
        }
    }

    fn series(points: &[(f64, f64)], stroke: Stroke) -> Series {
        Series { name: "train".to_owned(), points: points.to_vec(), stroke }
    }

    #[test]
    fn two_lines_one_with_a_gap() {
        let gap = [(1.0, 3.0), (2.0, 2.0), (3.0, f64::NAN), (4.0, 1.0), (5.0, f64::NAN)];
        let whole = [(1.0, 2.5), (2.0, 1.5), (3.0, 1.0), (4.0, 0.8), (5.0, 0.7)];
        let lines = vec![series(&gap, Stroke::Quiet), series(&whole, Stroke::Strong)];
        insta::assert_snapshot!(chart(lines).svg());
    }

    #[test]
    fn nothing_one_point_and_equal_values_can_be_drawn() {
        for points in [&[][..], &[(1.0, 1.0)], &[(1.0, 0.0), (2.0, 0.0)], &[(1.0, f64::INFINITY)]] {
            for mark in [None, Some(Mark { x: 1.0, label: "m".to_owned() })] {
                let svg = LineChart { mark, ..chart(vec![series(points, Stroke::Strong)]) }.svg();
                assert!(
                    svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf\"")
                );
            }
        }
    }

    #[test]
    fn a_long_line_is_thinned_and_keeps_its_peaks() {
        let wave = |i: usize| (i as f64 / 1000.0, if i == 54_321 { 9.0 } else { (i % 7) as f64 });
        let thin = thinned((0..100_000).map(wave).collect());
        assert!(thin.len() < 1000, "{}", thin.len());
        assert!(thin.iter().any(|point| point.1 == 9.0));
        assert!(thin.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }
}
