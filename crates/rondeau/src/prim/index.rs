//! Reading and writing at places that are data: ranges, and rows chosen by indices.

mod dynamic;
mod rows;

pub use dynamic::{DynamicSlice, DynamicUpdate};
pub use rows::{Bounds, Gather, Scatter, Write};

use super::elementwise::arity;
use super::*;
use crate::buffer::{DType, Scalar, Shape};

/// The numbers `0, 1, …, n - 1`.
fn count_up(b: &mut Builder, n: usize) -> Atom {
    b.bind1(Iota { dtype: DType::I32, shape: n.into(), axis: 0 }, &[])
}

fn check_index(aval: &Aval) -> Result<(), Misfit> {
    if aval.dtype == DType::I32 {
        return Ok(());
    }
    Err(Misfit::new(format!("indices are of type i32, not {}", aval.dtype))
        .help("convert them with `.to(DType::I32)`"))
}

fn check_same_dtype(operand: &Aval, updates: &Aval) -> Result<(), Misfit> {
    if operand.dtype == updates.dtype {
        return Ok(());
    }
    let (left, right) = (operand.dtype, updates.dtype);
    Err(Misfit::new(format!("{right} values are written into {left}"))
        .help("convert one of them with `.to(..)`"))
}
