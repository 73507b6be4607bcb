//! When two results are the same, and how near they are otherwise.

use rondeau::buffer::{Buffer, DType, Scalar};
use rondeau::ir::{Aval, Program};

use super::Law;

/// How near two results have to be, in units of the greatest element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Rounding of double precision, in sums of some hundred terms.
    Double,
    /// Rounding of single precision, likewise.
    Single,
    /// A difference of fourth order.
    Difference,
}

impl Class {
    /// That of a program: of its least precise value.
    pub(super) fn of(program: &Program) -> Class {
        fn has_single(program: &Program) -> bool {
            let avals = program.input_avals();
            let results = program.eqns().iter().flat_map(|eqn| &eqn.outputs);
            let is_single = |aval: &Aval| aval.dtype == DType::F32;
            avals.iter().any(is_single)
                || results.into_iter().any(|&var| is_single(program.var_aval(var)))
                || program
                    .eqns()
                    .iter()
                    .any(|eqn| eqn.prim.bodies().iter().any(|body| has_single(body)))
        }
        if has_single(program) { Class::Single } else { Class::Double }
    }

    pub(super) fn tolerance(self) -> f64 {
        match self {
            Class::Double => 2_f64.powi(-42),
            Class::Single => 2_f64.powi(-16),
            Class::Difference => super::DIFFERENCE,
        }
    }
}

/// The values of a float array.
pub(super) fn floats(x: &Buffer) -> Option<Vec<f64>> {
    match x.dtype() {
        DType::F32 => Some(x.values::<f32>().iter().map(|&x| f64::from(x)).collect()),
        DType::F64 => Some(x.values::<f64>().into_owned()),
        _ => None,
    }
}

/// `x + t·dx`
pub(super) fn moved(x: &Buffer, t: f64, dx: &Buffer) -> Buffer {
    let (xs, dxs) = (floats(x).expect("a float"), floats(dx).expect("a float"));
    let moved = xs.iter().zip(&dxs).map(|(x, dx)| x + t * dx);
    match x.dtype() {
        DType::F32 => Buffer::new(x.shape(), moved.map(|x| x as f32).collect()),
        _ => Buffer::new(x.shape(), moved.collect::<Vec<f64>>()),
    }
}

pub(super) fn zeros(aval: &Aval) -> Buffer {
    Buffer::splat(Scalar::of(0.0, aval.dtype), aval.shape.clone())
}

/// The greatest difference, in units of the greatest element or of 1; infinite if one is NaN or
/// infinite and the other is not.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    let finite = a.iter().chain(b).filter(|x| x.is_finite());
    let size = finite.fold(1.0, |size: f64, x| size.max(x.abs()));
    let pairs = a.iter().zip(b);
    pairs.fold(0.0, |far: f64, (&x, &y)| match x == y || (x.is_nan() && y.is_nan()) {
        true => far,
        false if (x - y).is_finite() => far.max((x - y).abs() / size),
        false => f64::INFINITY,
    })
}

/// The sum of products, and the sum of their sizes.
pub(super) fn inner(pairs: impl Iterator<Item = (Vec<f64>, Vec<f64>)>) -> (f64, f64) {
    let mut sums = (0.0, 0.0);
    for (a, b) in pairs {
        for (x, y) in a.iter().zip(&b) {
            sums.0 += x * y;
            sums.1 += (x * y).abs();
        }
    }
    sums
}

/// Both lists hold the same bits, with all NaNs equal.
pub(super) fn same(what: &str, got: &[Buffer], expected: &[Buffer], program: &Program) -> Law {
    let differs = |(got, expected): (&Buffer, &Buffer)| !got.same(expected);
    match got.iter().zip(expected).position(differs) {
        None if got.len() == expected.len() => Ok(()),
        None => Err(format!("{what}: {} outputs, not {}\n{program}", got.len(), expected.len())),
        Some(i) => Err(format!(
            "{what}: output {i} is\n{:?}\nand must be\n{:?}\n{program}",
            got[i], expected[i]
        )),
    }
}

/// Both lists hold the same but for the rounding of floats.
pub(super) fn agree(
    what: &str,
    got: &[Buffer],
    expected: &[Buffer],
    class: Class,
    program: &Program,
) -> Law {
    let differs = |(got, expected): (&Buffer, &Buffer)| {
        let both = floats(got).zip(floats(expected));
        Aval::of(got) != Aval::of(expected)
            || match both {
                Some((got, expected)) => distance(&got, &expected) > class.tolerance(),
                None => !got.same(expected),
            }
    };
    match got.iter().zip(expected).position(differs) {
        None if got.len() == expected.len() => Ok(()),
        None => Err(format!("{what}: {} outputs, not {}\n{program}", got.len(), expected.len())),
        Some(i) => Err(format!(
            "{what}: output {i} is\n{:?}\nand must be\n{:?}\n{program}",
            got[i], expected[i]
        )),
    }
}
