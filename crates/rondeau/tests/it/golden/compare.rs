//! Classes of tolerance, and comparison with a text that names the worst elements.

use std::fmt;

use rondeau::Array;
use rondeau::buffer::DType;
use safetensors::Dtype;

use super::data::Tensor;

/// How far a result may be from JAX's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tolerance {
    /// Equal bits.
    Exact,
    /// So many representable numbers away.
    Steps(u64),
    /// `|got - want| <= atol + rtol·|want|`.
    Relative { rtol: f64, atol: f64 },
}

/// The largest difference seen, as a part of what is allowed.
#[derive(Clone, Debug, Default)]
pub(super) struct Distance {
    part: f64,
    text: String,
}

impl Distance {
    pub(super) fn widen(&mut self, other: Distance) {
        if other.part > self.part {
            *self = other;
        }
    }

    pub(super) fn at(mut self, name: &str) -> Distance {
        self.text = format!("{} at {name}", self.text);
        self
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part > 0.0 {
            true => write!(f, "farthest: {}", self.text),
            false => f.write_str("all equal"),
        }
    }
}

/// Numbers of one array as f64, which holds them exactly, with the size of their steps.
struct Numbers {
    values: Vec<f64>,
    /// Of floats, positions on the line of all representable numbers.
    ranks: Option<Vec<i64>>,
}

impl Numbers {
    fn of(array: &Array) -> Result<Numbers, String> {
        let dtype = array.aval().map_err(|error| error.to_string())?.dtype;
        macro_rules! values {
            ($t:ty) => {
                array.to_vec::<$t>().map_err(|error| error.to_string())?
            };
        }
        Ok(match dtype {
            DType::F32 => {
                let values = values!(f32);
                let rank = |x: &f32| line(i64::from(x.to_bits() as i32), i64::from(i32::MIN));
                let ranks = values.iter().map(rank).collect();
                Numbers { values: values.into_iter().map(f64::from).collect(), ranks: Some(ranks) }
            }
            DType::F64 => {
                let values = values!(f64);
                let rank = |x: &f64| line(x.to_bits() as i64, i64::MIN);
                let ranks = values.iter().map(rank).collect();
                Numbers { values, ranks: Some(ranks) }
            }
            DType::I32 => Numbers::whole(values!(i32).into_iter().map(f64::from)),
            DType::U32 => Numbers::whole(values!(u32).into_iter().map(f64::from)),
            DType::Bool => {
                Numbers::whole(values!(bool).into_iter().map(|x| f64::from(u8::from(x))))
            }
            other => return Err(format!("it has the type {}", other.name())),
        })
    }

    fn whole(values: impl Iterator<Item = f64>) -> Numbers {
        Numbers { values: values.collect(), ranks: None }
    }
}

/// The position of a float, whose bits begin with the sign: both zeros are at 0.
fn line(bits: i64, lowest: i64) -> i64 {
    if bits < 0 { lowest.wrapping_sub(bits) } else { bits }
}

/// Whether a result may have this type where the file has another.
fn same_type(stored: Dtype, got: DType) -> bool {
    match stored {
        Dtype::F32 => got == DType::F32,
        Dtype::F64 => got == DType::F64,
        Dtype::I32 | Dtype::I64 => got == DType::I32,
        Dtype::U32 | Dtype::U16 => got == DType::U32,
        Dtype::BOOL => got == DType::Bool,
        Dtype::U8 => got == DType::Bool || got == DType::U32,
        _ => false,
    }
}

impl Tolerance {
    /// As the manifest says, or the section's own.
    pub(super) fn of(case: &serde_json::Value, x64: bool) -> Tolerance {
        let tol = &case["tol"];
        let number = |key: &str| tol[key].as_f64().expect("a tolerance has numbers");
        match tol["kind"].as_str() {
            Some("exact") => Tolerance::Exact,
            Some("ulp") => Tolerance::Steps(tol["n"].as_u64().expect("a number of steps")),
            Some("rel") => Tolerance::Relative { rtol: number("rtol"), atol: number("atol") },
            Some(other) => panic!("a tolerance of kind {other}"),
            None if x64 => Tolerance::Relative { rtol: 1e-9, atol: 1e-11 },
            None => Tolerance::Relative { rtol: 1e-5, atol: 1e-6 },
        }
    }

    /// The largest difference.
    ///
    /// # Errors
    /// What is wrong, with the worst elements, if they differ by more than is allowed.
    pub(super) fn compare(self, want: &Tensor, got: &Array) -> Result<Distance, String> {
        let aval = got.aval().map_err(|error| error.to_string())?;
        if !same_type(want.stored, aval.dtype) || *aval.shape != *want.array.shape() {
            let (stored, shape) = (want.stored, want.array.shape());
            return Err(format!("it is {aval}, and JAX has {stored:?}{shape:?}"));
        }
        let (got, want_numbers) = (Numbers::of(got)?, Numbers::of(&want.array)?);
        let mut worst: Vec<(f64, usize)> = Vec::new();
        for i in 0..got.values.len() {
            worst.push((self.part(&got, &want_numbers, i), i));
        }
        worst.sort_by(|a, b| b.0.total_cmp(&a.0));
        let Some(&(part, i)) = worst.first() else { return Ok(Distance::default()) };
        let difference = |i: usize| (got.values[i] - want_numbers.values[i]).abs();
        if part <= 1.0 {
            let text = match self {
                Tolerance::Exact => String::new(),
                Tolerance::Steps(n) => format!("{} ulp of {n}", part * n as f64),
                Tolerance::Relative { .. } => {
                    let largest = want_numbers.values.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    let relative = difference(i) / largest.max(f64::MIN_POSITIVE);
                    let share = part * 100.0;
                    format!("{relative:.1e} of the largest, {share:.2}% of the tolerance,")
                }
            };
            return Ok(Distance { part, text });
        }
        let n_wrong = worst.iter().filter(|(part, _)| *part > 1.0).count();
        let mut text =
            format!("{n_wrong} of {} elements differ by more than {self:?}", worst.len());
        for &(part, i) in worst[..n_wrong].iter().take(3) {
            let index = unravel(i, want.array.shape());
            let (a, b) = (got.values[i], want_numbers.values[i]);
            text += &format!(
                "\n      {index:?} is {a:?}, and JAX has {b:?}: {part:.3} of the tolerance"
            );
        }
        Err(text)
    }

    /// The difference of one element as a part of what is allowed: wrong above 1.
    fn part(self, got: &Numbers, want: &Numbers, i: usize) -> f64 {
        let (a, b) = (got.values[i], want.values[i]);
        if a.is_nan() && b.is_nan() {
            return 0.0;
        }
        let equal = a == b && (a != 0.0 || a.is_sign_negative() == b.is_sign_negative());
        match (self, &got.ranks, &want.ranks) {
            _ if equal => 0.0,
            (Tolerance::Exact, ..) | (_, None, _) | (_, _, None) => f64::INFINITY,
            // Zeros of both signs are equal here.
            _ if a == b => 0.0,
            _ if !a.is_finite() || !b.is_finite() => f64::INFINITY,
            (Tolerance::Steps(n), Some(x), Some(y)) => x[i].abs_diff(y[i]) as f64 / n as f64,
            (Tolerance::Relative { rtol, atol }, ..) => {
                let (difference, allowed) = ((a - b).abs(), atol + rtol * b.abs());
                if allowed > 0.0 { difference / allowed } else { f64::INFINITY }
            }
        }
    }
}

/// The index of the `i`-th element in row-major order.
fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, &n) in index.iter_mut().zip(shape).rev() {
        (*place, i) = (i % n, i / n);
    }
    index
}
