//! Elements as bytes, the least significant first. What a reader hands over is turned into values
//! piece by piece, so that no second copy of it is held.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::io::{self, Read};

use super::Source;
use crate::buffer::{Buffer, Element};
use crate::{Array, DType, Result, Shape};

/// How the elements of an array are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// As one of our element types; truth values as the bytes 0 and 1.
    As(DType),
    /// IEEE 754 half precision, read as f32.
    F16,
    /// The upper half of an f32, read as f32.
    Bf16,
}

impl Stored {
    /// Bytes of one element in the file.
    pub(super) fn size(self) -> usize {
        match self {
            Stored::As(dtype) => dtype.size(),
            Stored::F16 | Stored::Bf16 => 2,
        }
    }

    /// The element type that they are read as.
    pub(super) fn dtype(self) -> DType {
        match self {
            Stored::As(dtype) => dtype,
            Stored::F16 | Stored::Bf16 => DType::F32,
        }
    }

    /// The bytes of an array of that shape; nothing if no array can be so large.
    pub(super) fn n_bytes(self, shape: &[usize]) -> Option<usize> {
        let is_possible = Shape::from(shape).is_reasonable(self.dtype().size());
        let n = shape.iter().try_fold(self.size(), |n, &axis| n.checked_mul(axis));
        n.filter(|_| is_possible)
    }

    /// Reads the elements of a shape, whose bytes the caller has found to be there.
    pub(super) fn read(self, source: &mut Source<'_>, shape: &[usize]) -> io::Result<Array> {
        let n = shape.iter().product();
        let shape = Shape::from(shape);
        let buffer = match self {
            Stored::As(DType::F32) => Buffer::new(shape, values(source, n, f32::from_le_bytes)?),
            Stored::As(DType::F64) => Buffer::new(shape, values(source, n, f64::from_le_bytes)?),
            Stored::As(DType::I32) => Buffer::new(shape, values(source, n, i32::from_le_bytes)?),
            Stored::As(DType::U32) => Buffer::new(shape, values(source, n, u32::from_le_bytes)?),
            Stored::As(DType::Bool) => {
                let mut strange = None;
                let truth = |[byte]: [u8; 1]| {
                    strange = strange.or(Some(byte).filter(|&byte| byte > 1));
                    byte == 1
                };
                let values = values(source, n, truth)?;
                if let Some(byte) = strange {
                    let fault = format!("a truth value is stored as {byte} and not as 0 or 1");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
                }
                Buffer::new(shape, values)
            }
            Stored::F16 => Buffer::new(shape, values(source, n, |b| f16(u16::from_le_bytes(b)))?),
            Stored::Bf16 => {
                let wide = |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16);
                Buffer::new(shape, values(source, n, wide)?)
            }
        };
        Ok(Array::from_buffer(buffer))
    }
}

fn values<T, const N: usize>(
    source: &mut Source<'_>,
    n: usize,
    mut value: impl FnMut([u8; N]) -> T,
) -> io::Result<Vec<T>> {
    const PIECE: usize = 1 << 16;
    let mut values = Vec::new();
    values.try_reserve_exact(n).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut piece = vec![0; PIECE.min(n.saturating_mul(N))];
    while values.len() < n {
        let left = n.saturating_sub(values.len()).saturating_mul(N);
        let Some(piece) = piece.get_mut(..left.min(PIECE)) else { break };
        source.read_exact(piece)?;
        let (chunks, _) = piece.as_chunks::<N>();
        values.extend(chunks.iter().map(|chunk| value(*chunk)));
    }
    Ok(values)
}

/// The value of a number of half precision, which is exact in f32.
fn f16(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    match exponent {
        // Subnormal: the fraction counts steps of 2^-24.
        0 => {
            let size = fraction as f32 * f32::from_bits(0x3380_0000);
            f32::from_bits(size.to_bits() | sign)
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        // The exponent counts from -15 there, and from -127 here.
        _ => f32::from_bits(sign | exponent.saturating_add(112) << 23 | fraction << 13),
    }
}

/// Appends the elements of an array, the last axis fastest.
///
/// # Errors
/// If the array has no values: it carries a mistake, or is being traced.
pub(super) fn write(array: &Array, out: &mut Vec<u8>) -> Result<()> {
    let buffer = array.buffer()?;
    match buffer.dtype() {
        DType::F32 => each(buffer, f32::to_le_bytes, out),
        DType::F64 => each(buffer, f64::to_le_bytes, out),
        DType::I32 => each(buffer, i32::to_le_bytes, out),
        DType::U32 => each(buffer, u32::to_le_bytes, out),
        DType::Bool => each(buffer, |truth: bool| [u8::from(truth)], out),
    }
    Ok(())
}

fn each<T: Element, const N: usize>(
    buffer: &Buffer,
    bytes: impl Fn(T) -> [u8; N],
    out: &mut Vec<u8>,
) {
    let values = buffer.values::<T>();
    out.reserve(values.len().saturating_mul(N));
    for &value in values.iter() {
        out.extend_from_slice(&bytes(value));
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// The definition: sign · 2^(exponent - 15) · (1 + fraction / 1024), without the 1 at exponent 0.
    fn definition(bits: u16) -> f64 {
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
        match exponent {
            0 => sign * fraction * 2_f64.powi(-14),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * (1.0 + fraction) * 2_f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_is_its_definition() {
        for bits in 0..=u16::MAX {
            let (got, want) = (f64::from(f16(bits)), definition(bits));
            let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
            assert!(same, "{bits:#06x}: {got} and not {want}");
        }
    }
}
