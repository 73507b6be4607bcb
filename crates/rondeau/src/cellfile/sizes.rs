//! Sizes as sums of multiples of unknowns, and what follows from equal ones.

use std::collections::BTreeMap;
use std::fmt;

/// The most terms of a sum, which bounds the memory of any file.
const MOST_TERMS: usize = 16;

/// A size: a number and multiples of unknowns, in the order of the unknowns, none of them zero
/// times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dim {
    constant: i64,
    terms: Vec<(usize, i64)>,
}

/// The sizes of a value, or the number of an unknown shape.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Unknown(usize),
    Known(Vec<Dim>),
}

/// A sum has too many terms or too large numbers.
#[derive(Debug)]
pub(super) struct Complex;

/// What is known of two sizes that must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equal {
    Yes,
    No,
    /// It depends on unknowns that do not follow from this alone.
    Later,
}

/// All unknowns, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Solver {
    /// The names of those that are given from outside.
    names: Vec<Option<String>>,
    values: Vec<Option<Dim>>,
    shapes: Vec<Option<Shape>>,
}

impl Dim {
    pub(super) fn constant(constant: i64) -> Dim {
        Dim { constant, terms: vec![] }
    }

    /// This and `count` times another.
    pub(super) fn plus(&self, count: i64, other: &Dim) -> Result<Dim, Complex> {
        let scaled = |n: i64| n.checked_mul(count).ok_or(Complex);
        let add = |a: i64, b: i64| a.checked_add(b).ok_or(Complex);
        let mut terms: BTreeMap<usize, i64> = self.terms.iter().copied().collect();
        for &(unknown, n) in &other.terms {
            let entry = terms.entry(unknown).or_insert(0);
            *entry = add(*entry, scaled(n)?)?;
        }
        let terms: Vec<_> = terms.into_iter().filter(|&(_, n)| n != 0).collect();
        match terms.len() <= MOST_TERMS {
            true => Ok(Dim { constant: add(self.constant, scaled(other.constant)?)?, terms }),
            false => Err(Complex),
        }
    }
}

impl Solver {
    fn unknown(&mut self, name: Option<&str>) -> Dim {
        self.names.push(name.map(str::to_owned));
        self.values.push(None);
        Dim { constant: 0, terms: vec![(self.names.len() - 1, 1)] }
    }

    /// A size that is to be found out.
    pub(super) fn fresh(&mut self) -> Dim {
        self.unknown(None)
    }

    /// The size of that name.
    pub(super) fn named(&mut self, name: &str) -> Dim {
        match self.names.iter().position(|known| known.as_deref() == Some(name)) {
            Some(unknown) => Dim { constant: 0, terms: vec![(unknown, 1)] },
            None => self.unknown(Some(name)),
        }
    }

    /// A shape that is to be found out.
    pub(super) fn fresh_shape(&mut self) -> Shape {
        self.shapes.push(None);
        Shape::Unknown(self.shapes.len() - 1)
    }

    /// The shape as far as it is known.
    pub(super) fn shape(&self, shape: &Shape) -> Shape {
        let mut shape = shape;
        while let Shape::Unknown(unknown) = shape {
            match &self.shapes[*unknown] {
                Some(known) => shape = known,
                None => break,
            }
        }
        shape.clone()
    }

    /// Says what an unknown shape is; it must not be itself.
    pub(super) fn set_shape(&mut self, unknown: usize, shape: Shape) {
        self.shapes[unknown] = Some(shape);
    }

    /// The size in unknowns that are not known.
    pub(super) fn resolve(&mut self, dim: &Dim) -> Result<Dim, Complex> {
        let mut resolved = dim.clone();
        while let Some((unknown, count, value)) = resolved.terms.iter().find_map(|&(unknown, n)| {
            self.values[unknown].as_ref().map(|value| (unknown, n, value))
        }) {
            let mut rest = resolved.clone();
            rest.terms.retain(|(other, _)| *other != unknown);
            resolved = rest.plus(count, value)?;
        }
        if let ([(unknown, 1)], 0) = (dim.terms.as_slice(), dim.constant)
            && self.values[*unknown].is_some()
        {
            self.values[*unknown] = Some(resolved.clone());
        }
        Ok(resolved)
    }

    /// Makes two sizes equal, if they can be.
    pub(super) fn equate(&mut self, a: &Dim, b: &Dim) -> Result<Equal, Complex> {
        let (a, b) = (self.resolve(a)?, self.resolve(b)?);
        let difference = a.plus(-1, &b)?;
        if difference.terms.is_empty() {
            return Ok(if difference.constant == 0 { Equal::Yes } else { Equal::No });
        }
        let counts = difference.terms.iter().map(|&(_, n)| n.unsigned_abs());
        let divisor = counts.fold(difference.constant.unsigned_abs(), gcd) as i64;
        let free = |&&(unknown, _): &&(usize, i64)| self.names[unknown].is_none();
        if difference.terms.iter().find(free).is_none() {
            return Ok(Equal::No);
        }
        let single = |&&(unknown, n): &&(usize, i64)| {
            self.names[unknown].is_none() && (n / divisor).unsigned_abs() == 1
        };
        // The newest one, so that older ones keep what is said of them.
        let Some(&(unknown, n)) = difference.terms.iter().rev().find(single) else {
            return Ok(Equal::Later);
        };
        // n·u + rest = 0, so u = -rest/n, and n divides all of rest.
        let over = |m: i64| -(m / n);
        let rest = difference.terms.iter().filter(|(other, _)| *other != unknown);
        let value = Dim {
            constant: over(difference.constant),
            terms: rest.map(|&(other, m)| (other, over(m))).collect(),
        };
        self.values[unknown] = Some(value);
        Ok(Equal::Yes)
    }

    /// The one unknown that a resolved size is, if it is one without a name.
    pub(super) fn free(&self, dim: &Dim) -> Option<usize> {
        match (dim.terms.as_slice(), dim.constant) {
            (&[(unknown, 1)], 0) if self.names[unknown].is_none() => Some(unknown),
            _ => None,
        }
    }

    /// The size in names alone, if it is determined.
    pub(super) fn known(&mut self, dim: &Dim) -> Result<Option<Known>, Complex> {
        let dim = self.resolve(dim)?;
        let named = |&(unknown, n): &(usize, i64)| Some((self.names[unknown].clone()?, n));
        let terms: Option<Vec<_>> = dim.terms.iter().map(named).collect();
        Ok(terms.map(|terms| Known { constant: dim.constant, terms }))
    }

    /// The sizes as a message shows them.
    pub(super) fn text(&mut self, shape: &Shape) -> String {
        let Shape::Known(axes) = self.shape(shape) else { return "of unknown sizes".to_owned() };
        if axes.is_empty() {
            return "a scalar".to_owned();
        }
        let axis = |dim: &Dim| match self.resolve(dim) {
            Ok(dim) => {
                let name = |unknown: usize| self.names[unknown].as_deref().unwrap_or("?");
                let terms = dim.terms.iter().map(|&(unknown, n)| (name(unknown), n));
                Written { constant: dim.constant, terms: terms.collect() }.to_string()
            }
            Err(Complex) => "?".to_owned(),
        };
        let axes: Vec<String> = axes.iter().map(axis).collect();
        format!("[{}]", axes.join(", "))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A size in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    constant: i64,
    terms: Vec<(String, i64)>,
}

impl Known {
    /// Its value; every name is given, and every size is below 2^32, so that nothing overflows.
    pub(super) fn value(&self, sizes: &BTreeMap<String, usize>) -> i128 {
        let terms = self.terms.iter();
        let values =
            terms.map(|(name, n)| i128::from(*n) * sizes.get(name).map_or(0, |&n| n as i128));
        values.sum::<i128>() + i128::from(self.constant)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|(name, _)| name.as_str())
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self.terms.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        Written { constant: self.constant, terms }.fmt(f)
    }
}

/// A sum as text.
struct Written<'a> {
    constant: i64,
    terms: Vec<(&'a str, i64)>,
}

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sign = ["", "-"];
        for &(name, n) in &self.terms {
            f.write_str(sign[usize::from(n < 0)])?;
            match n.unsigned_abs() {
                1 => f.write_str(name)?,
                n => write!(f, "{n}*{name}")?,
            }
            sign = [" + ", " - "];
        }
        match self.constant {
            0 if !self.terms.is_empty() => Ok(()),
            n => write!(f, "{}{}", sign[usize::from(n < 0)], n.unsigned_abs()),
        }
    }
}
