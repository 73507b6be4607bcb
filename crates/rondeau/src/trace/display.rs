//! Arrays as text, as NumPy prints them: columns line up, long arrays are shortened.

use std::fmt;

use super::Array;
use super::array::Repr;
use crate::buffer::{Buffer, Scalar};

/// Arrays of more elements are shortened.
const WHOLE: usize = 1000;
/// How many places at both ends of a shortened axis are shown.
const EDGE: usize = 3;
/// Characters of a line.
const WIDTH: usize = 75;
/// Digits after the point.
const DIGITS: usize = 8;

/// Values as NumPy prints them; a variable of a program being traced as its type; a mistake as its
/// message.
impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Value(buffer) => f.write_str(&text(buffer, " ", 0)),
            Repr::Traced(tracer) => write!(f, "traced {}", tracer.aval()),
            Repr::Mistake(error) => write!(f, "{error}"),
        }
    }
}

/// `Array(f32[2], [1., 2.])`, `Array(traced f32[2])`, or the mistake.
impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Value(buffer) => {
                let head = format!("Array({}{}, ", buffer.dtype(), buffer.shape());
                write!(f, "{head}{})", text(buffer, ", ", head.len()))
            }
            Repr::Traced(tracer) => write!(f, "Array(traced {})", tracer.aval()),
            Repr::Mistake(error) => write!(f, "Array({error:?})"),
        }
    }
}

/// The values, with `separator` between them, on lines that begin `indent` characters in.
fn text(buffer: &Buffer, separator: &str, indent: usize) -> String {
    match (buffer.shape().rank(), buffer.shape().count()) {
        (0, _) => bare(buffer.first()),
        (_, 0) => "[]".to_owned(),
        _ => {
            let shorten = buffer.shape().count() > WHOLE;
            let mut shown = Vec::new();
            collect(buffer, shorten, &mut shown);
            let layout = Layout { separator, shorten, words: columns(&shown) };
            let (mut out, mut next) = (String::new(), 0);
            layout.write(buffer.shape(), indent, WIDTH, &mut next, &mut out);
            out
        }
    }
}

/// A value without an array around it: its shortest digits, the exponent with two of them.
fn bare(value: Scalar) -> String {
    let text = value.to_string();
    match (value.dtype().is_float(), text.split_once('e')) {
        (true, Some((mantissa, exponent))) => format!("{mantissa}e{}", signed(exponent)),
        _ => text,
    }
}

/// An exponent with its sign and two digits or more.
fn signed(exponent: &str) -> String {
    match exponent.strip_prefix('-') {
        Some(digits) => format!("-{digits:0>2}"),
        None => format!("+{exponent:0>2}"),
    }
}

/// The places of an axis that are shown; `None` stands for those left out.
fn places(size: usize, shorten: bool) -> Vec<Option<usize>> {
    if shorten && size > 2 * EDGE {
        let tail = (size - EDGE..size).map(Some);
        return (0..EDGE).map(Some).chain([None]).chain(tail).collect();
    }
    (0..size).map(Some).collect()
}

/// The shown values in row-major order.
fn collect(buffer: &Buffer, shorten: bool, shown: &mut Vec<Scalar>) {
    let Some(&size) = buffer.shape().first() else {
        shown.push(buffer.first());
        return;
    };
    for i in places(size, shorten).into_iter().flatten() {
        collect(&buffer.row(i), shorten, shown);
    }
}

/// All values as words of one width.
fn columns(values: &[Scalar]) -> Vec<String> {
    let floats: Option<Vec<Float>> = values.iter().map(|&value| Float::of(value)).collect();
    let words = match floats {
        Some(floats) => float_words(&floats),
        None => values.iter().map(Scalar::to_string).collect(),
    };
    let width = words.iter().map(String::len).max().unwrap_or(0);
    words.into_iter().map(|word| format!("{word:>width$}")).collect()
}

/// A float, and the digits that tell it from its neighbours in its type.
struct Float {
    value: f64,
    /// `d.ddde-n`
    scientific: String,
}

impl Float {
    fn of(value: Scalar) -> Option<Float> {
        match value {
            Scalar::F32(x) => Some(Float { value: x.into(), scientific: format!("{x:e}") }),
            Scalar::F64(x) => Some(Float { value: x, scientific: format!("{x:e}") }),
            Scalar::I32(_) | Scalar::U32(_) | Scalar::Bool(_) => None,
        }
    }

    /// The digits after the first one, and the power of ten of the first one.
    fn parts(&self) -> (usize, i32) {
        let (mantissa, exponent) =
            self.scientific.split_once('e').unwrap_or((&self.scientific, "0"));
        let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        (fraction, exponent.parse().unwrap_or(0))
    }

    /// Without an exponent, as few digits as possible, at most [`DIGITS`] after the point.
    fn positional(&self) -> String {
        let (fraction, exponent) = self.parts();
        let needed = (fraction as i32 - exponent).max(0) as usize;
        let text = format!("{:.*}", needed.min(DIGITS), self.value);
        match text.contains('.') {
            true => text.trim_end_matches('0').to_owned(),
            false => text + ".",
        }
    }

    /// With an exponent and at most `digits` digits after the point: the mantissa and exponent.
    fn with_exponent(&self, digits: usize) -> (String, String) {
        let (fraction, _) = self.parts();
        let text = match fraction <= digits {
            true => self.scientific.clone(),
            false => format!("{:.digits$e}", self.value),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let point = if mantissa.contains('.') { "" } else { "." };
        (format!("{mantissa}{point}"), signed(exponent))
    }
}

/// Floats with their points below each other; if they differ much in size, with exponents.
fn float_words(floats: &[Float]) -> Vec<String> {
    let finite = || floats.iter().filter(|float| float.value.is_finite());
    let sizes = || finite().map(|float| float.value.abs()).filter(|&size| size != 0.0);
    let (least, greatest) = sizes().fold((f64::INFINITY, 0.0_f64), |(least, greatest), size| {
        (least.min(size), greatest.max(size))
    });
    let exponents = greatest >= 1e8 || least < 1e-4 || greatest > 1000.0 * least;
    let special = |value: f64| {
        let text = if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        };
        text.to_owned()
    };
    if exponents {
        let parts: Vec<(String, String)> =
            finite().map(|float| float.with_exponent(DIGITS)).collect();
        let digits = |mantissa: &str| mantissa.split_once('.').map_or(0, |(_, part)| part.len());
        let widest = parts.iter().map(|(mantissa, _)| digits(mantissa)).max().unwrap_or(0);
        let exponent_width = parts.iter().map(|(_, exponent)| exponent.len()).max().unwrap_or(0);
        let word = |float: &Float| {
            if !float.value.is_finite() {
                return special(float.value);
            }
            let (mantissa, exponent) = float.with_exponent(DIGITS);
            let zeros = "0".repeat(widest - digits(&mantissa));
            let (sign, power) = exponent.split_at(1);
            format!("{mantissa}{zeros}e{sign}{power:0>width$}", width = exponent_width - 1)
        };
        return floats.iter().map(word).collect();
    }
    let fraction = |text: &str| text.split_once('.').map_or(0, |(_, part)| part.len());
    let words: Vec<String> = floats
        .iter()
        .map(|float| match float.value.is_finite() {
            true => float.positional(),
            false => special(float.value),
        })
        .collect();
    let widest = finite().map(|float| fraction(&float.positional())).max().unwrap_or(0);
    let pad = |(word, float): (String, &Float)| match float.value.is_finite() {
        true => format!("{word}{}", " ".repeat(widest - fraction(&word))),
        false => word,
    };
    words.into_iter().zip(floats).map(pad).collect()
}

struct Layout<'a> {
    separator: &'a str,
    shorten: bool,
    /// The shown values in row-major order.
    words: Vec<String>,
}

impl Layout<'_> {
    /// Appends an array of this shape. Further lines begin `indent` characters in, and no line
    /// passes `width`, but for single words that do.
    fn write(
        &self,
        shape: &[usize],
        indent: usize,
        width: usize,
        next: &mut usize,
        out: &mut String,
    ) {
        let Some((&size, rest)) = shape.split_first() else { return };
        let (indent, width) = (indent + 1, width - 1);
        let margin = " ".repeat(indent);
        let places = places(size, self.shorten);
        let last = places.len() - 1;
        out.push('[');
        let mut line = indent;
        for (i, place) in places.into_iter().enumerate() {
            if rest.is_empty() {
                let word = match place {
                    Some(_) => {
                        *next += 1;
                        self.words[*next - 1].as_str()
                    }
                    None => "...",
                };
                // Room is kept for the separator or the bracket behind the word.
                if line + word.len() > width && line > indent {
                    out.truncate(out.trim_end().len());
                    out.push('\n');
                    out.push_str(&margin);
                    line = indent;
                }
                out.push_str(word);
                line += word.len();
                if i < last {
                    out.push_str(self.separator);
                    line += self.separator.len();
                }
            } else {
                match place {
                    Some(_) => self.write(rest, indent, width, next, out),
                    None => out.push_str("..."),
                }
                if i < last {
                    out.push_str(self.separator.trim_end());
                    out.push_str(&"\n".repeat(rest.len()));
                    out.push_str(&margin);
                }
            }
        }
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Aval;
    use crate::trace::trace;

    #[test]
    fn values_are_laid_out_as_numpy_does() {
        let nan = f32::NAN;
        let arrays = [
            Array::from([[1.0_f32, 2.5], [3.0, -4.0]]),
            Array::from([1e-5_f32, 1.0, 2.0]),
            Array::from([0.1_f32, 0.25, 1.0 / 3.0]),
            Array::from([0.1_f64, 1.0 / 3.0, 2.0 / 3.0]),
            Array::from([nan, f32::INFINITY, f32::NEG_INFINITY, 1.5]),
            Array::from([1e10_f32, 1.25, nan]),
            Array::from([nan, f32::NEG_INFINITY]),
            Array::from([std::f64::consts::PI, 1e-3]),
            Array::from([1e8_f64, 1.0]),
            Array::from([12345678.0_f64, 123456.7]),
            Array::from([-0.0_f64, -1e-200]),
            Array::zeros([3]),
            Array::from([[1, -20], [300, 4]]),
            Array::from([true, false]),
            Array::arange(30).to(crate::buffer::DType::F32) / 7.0,
            Array::arange(8).reshape([2, 2, 2]),
            Array::arange(2000),
            Array::arange(3000).reshape([30, 100]),
            Array::zeros([0, 3]),
            Array::ones([2, 3]).t(),
        ];
        let texts: Vec<String> = arrays.iter().map(Array::to_string).collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
        [[ 1.   2.5]
         [ 3.  -4. ]]
        [1.e-05 1.e+00 2.e+00]
        [0.1        0.25       0.33333334]
        [0.1        0.33333333 0.66666667]
        [ nan  inf -inf  1.5]
        [1.00e+10 1.25e+00      nan]
        [ nan -inf]
        [3.14159265e+00 1.00000000e-03]
        [1.e+08 1.e+00]
        [12345678.    123456.7]
        [-0.e+000 -1.e-200]
        [0. 0. 0.]
        [[  1 -20]
         [300   4]]
        [ true false]
        [0.         0.14285715 0.2857143  0.42857143 0.5714286  0.71428573
         0.85714287 1.         1.1428572  1.2857143  1.4285715  1.5714285
         1.7142857  1.8571428  2.         2.142857   2.2857144  2.4285715
         2.5714285  2.7142856  2.857143   3.         3.142857   3.2857144
         3.4285715  3.5714285  3.7142856  3.857143   4.         4.142857  ]
        [[[0 1]
          [2 3]]

         [[4 5]
          [6 7]]]
        [   0    1    2 ... 1997 1998 1999]
        [[   0    1    2 ...   97   98   99]
         [ 100  101  102 ...  197  198  199]
         [ 200  201  202 ...  297  298  299]
         ...
         [2700 2701 2702 ... 2797 2798 2799]
         [2800 2801 2802 ... 2897 2898 2899]
         [2900 2901 2902 ... 2997 2998 2999]]
        []
        [[1. 1.]
         [1. 1.]
         [1. 1.]]
        "#);
    }

    #[test]
    fn scalars_are_bare() {
        let scalars = [
            Array::from(3.0_f32),
            Array::from(0.1_f32),
            Array::from(1e-7_f32),
            Array::from(1.5e-7_f32),
            Array::from(1e300_f64),
            Array::from(f64::NAN),
            Array::from(f64::NEG_INFINITY),
            Array::from(-3),
            Array::from(true),
        ];
        let texts: Vec<String> = scalars.iter().map(Array::to_string).collect();
        insta::assert_snapshot!(texts.join(" "), @r#"3.0 0.1 1e-07 1.5e-07 1e+300 nan -inf -3 true"#);
    }

    #[test]
    fn debug_shows_the_type() {
        let mut texts = vec![
            format!("{:?}", Array::from([[1.0_f32, 2.5], [3.0, -4.0]])),
            format!("{:?}", Array::from(1.5_f64)),
            format!("{:?}", Array::arange(25) * 1000),
            format!("{:?}", Array::zeros([2, 0])),
        ];
        let input = (Aval::new(crate::buffer::DType::F32, [8]), String::new());
        let traced = trace(vec![input], |inputs| {
            texts.push(format!("{:?}", inputs[0]));
            texts.push(inputs[0].to_string());
            Ok(inputs)
        });
        assert!(traced.is_ok());
        insta::assert_snapshot!(texts.join("\n"), @r#"
        Array(f32[2,2], [[ 1. ,  2.5],
                         [ 3. , -4. ]])
        Array(f64[], 1.5)
        Array(i32[25], [    0,  1000,  2000,  3000,  4000,  5000,  6000,  7000,
                         8000,  9000, 10000, 11000, 12000, 13000, 14000, 15000,
                        16000, 17000, 18000, 19000, 20000, 21000, 22000, 23000,
                        24000])
        Array(f32[2,0], [])
        Array(traced f32[8])
        traced f32[8]
        "#);
        let mistake = Array::ones([2]) + Array::ones([3]);
        assert!(format!("{mistake:?}").starts_with("Array(error: `+` needs two shapes"));
        assert!(mistake.to_string().starts_with("`+` needs two shapes"));
    }
}
