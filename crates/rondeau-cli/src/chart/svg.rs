//! Writing SVG text.

use std::fmt::Write;

use super::color::{INK, PAPER};

/// An SVG document as far as it is drawn.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) color: &'static str,
    pub(super) bold: bool,
}

/// The title of a chart.
pub(super) const TITLE: Font = Font { size: 17.0, color: INK, bold: true };
/// What stands below the title.
pub(super) const SUBTITLE: Font = Font { size: 13.0, color: super::color::FAINT_INK, bold: false };
/// The name of an axis or a line.
pub(super) const LABEL: Font = Font { size: 13.0, color: INK, bold: false };
/// A number or date on an axis.
pub(super) const TICK: Font = Font { size: 12.0, color: super::color::FAINT_INK, bold: false };

impl Svg {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Svg {
        let (w, h) = (number(width), number(height));
        let title = escaped(title);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{w}\" height=\"{h}\" \
             viewBox=\"0 0 {w} {h}\" font-family=\"Helvetica, Arial, 'Liberation Sans', \
             sans-serif\">\n<title>{title}</title>\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"{PAPER}\"/>\n"
        );
        Svg { text }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// An element of attributes alone. The attributes are ours, never a user's text.
    pub(super) fn element(&mut self, name: &str, attributes: &str) {
        let _ = writeln!(self.text, "<{name} {attributes}/>");
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        self.element("line", &format!("x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" {style}"));
    }

    /// A rectangle by its left upper corner and its size.
    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), style: &str) {
        let [x, y, w, h] = [at.0, at.1, size.0, size.1].map(number);
        self.element("rect", &format!("x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" {style}"));
    }

    /// A text whose base line starts, is centred or ends at a point.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, font: Font, text: &str) {
        let place = format!("x=\"{}\" y=\"{}\"", number(at.0), number(at.1));
        self.placed_text(&place, anchor, font, text);
    }

    /// A text that is read upwards, centred at a point.
    pub(super) fn upward_text(&mut self, at: (f64, f64), font: Font, text: &str) {
        let (x, y) = (number(at.0), number(at.1));
        let place = format!("transform=\"translate({x} {y}) rotate(-90)\"");
        self.placed_text(&place, Anchor::Middle, font, text);
    }

    fn placed_text(&mut self, place: &str, anchor: Anchor, font: Font, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let Font { size, color, bold } = font;
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let text = escaped(text);
        let _ = writeln!(
            self.text,
            "<text {place}{anchor} font-size=\"{}\" fill=\"{color}\"{weight}>{text}</text>",
            number(size)
        );
    }
}

/// About how wide a text is.
pub(super) fn width_of(text: &str, font: Font) -> f64 {
    text.chars().count() as f64 * letter(font)
}

/// About how wide a letter is; Helvetica's are a little over half as wide as high.
fn letter(font: Font) -> f64 {
    font.size * if font.bold { 0.64 } else { 0.56 }
}

/// A text cut to about a width, with a sign that it is cut.
pub(super) fn fitted(text: &str, font: Font, width: f64) -> String {
    let fits = (width / letter(font)).max(1.0) as usize;
    if text.chars().count() <= fits {
        return text.to_owned();
    }
    text.chars().take(fits.saturating_sub(1)).chain(['…']).collect()
}

/// A coordinate to a hundredth, without needless digits.
pub(super) fn number(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A text safe between tags and in quotes; characters that XML cannot hold are replaced.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts() {
        assert_eq!(
            [1.0, -0.001, 2.345_6, 10.0, -3.5].map(number),
            ["1", "0", "2.35", "10", "-3.5"]
        );
        assert_eq!(
            escaped("a<b & \"c\"\u{7}\u{ffff}"),
            "a&lt;b &amp; &quot;c&quot;\u{fffd}\u{fffd}"
        );
        assert_eq!(fitted("abcdefghij", TICK, 40.0), "abcd…");
        assert_eq!(fitted("abc", TICK, 40.0), "abc");
    }
}
