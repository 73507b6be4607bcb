//! The colours of all charts.

/// Text that is read first.
pub const INK: &str = "#1a1a1a";
/// Text on axes.
pub const FAINT_INK: &str = "#555555";
/// Lines of the grid.
pub const GRID: &str = "#e4e4e4";
/// What is behind.
pub const PAPER: &str = "#ffffff";
/// A cell of a heat map without a value.
pub const NO_VALUE: &str = "#bdbdbd";

/// Colours of lines, in the order of use: Okabe and Ito's, which stay apart under protanopia,
/// deuteranopia and tritanopia. The yellow of the set is left out: it is lost on white.
pub const LINES: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// Stops of the diverging colours, dark blue over white to dark red-brown, evenly spaced.
const DIVERGING: [[f64; 3]; 7] = [
    [0.0, 42.0, 92.0],
    [0.0, 98.0, 160.0],
    [120.0, 180.0, 220.0],
    [247.0, 247.0, 245.0],
    [244.0, 172.0, 118.0],
    [200.0, 82.0, 10.0],
    [103.0, 32.0, 4.0],
];

/// The colour of `x` between -1 and 1, as `#rrggbb`; beyond them, the colour of the nearer one.
pub fn diverging(x: f64) -> String {
    let at = (x.clamp(-1.0, 1.0) + 1.0) / 2.0 * (DIVERGING.len() - 1) as f64;
    let lower = (at.floor() as usize).min(DIVERGING.len() - 2);
    let part = at - lower as f64;
    let mix = |c: usize| {
        let (a, b) = (DIVERGING[lower][c], DIVERGING[lower + 1][c]);
        (a + (b - a) * part).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_middle() {
        assert_eq!(diverging(-1.0), "#002a5c");
        assert_eq!(diverging(0.0), "#f7f7f5");
        assert_eq!(diverging(1.0), "#672004");
        assert_eq!(diverging(7.0), "#672004");
    }
}
