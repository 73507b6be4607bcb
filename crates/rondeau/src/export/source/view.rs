//! Where a value is while generated code runs: part of an array, by strides, or one number.

use super::bare;
use crate::buffer::{DType, Scalar};

/// Part of an array: index `i` is at `offset + Σ terms + Σ strides[k]·i[k]`.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The array's expression; a buffer's is its mark.
    pub(super) base: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<isize>,
    pub(super) offset: usize,
    /// Variables of the code with their factors.
    pub(super) terms: Vec<(String, usize)>,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    One(Scalar),
    Many(View),
}

pub(super) fn dense_strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1] as isize;
    }
    strides
}

impl View {
    pub(super) fn dense(base: impl Into<String>, dtype: DType, shape: &[usize]) -> View {
        let (shape, strides) = (shape.to_vec(), dense_strides(shape));
        View { base: base.into(), dtype, shape, strides, offset: 0, terms: vec![] }
    }

    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements follow each other.
    pub(super) fn is_dense(&self) -> bool {
        let dense = dense_strides(&self.shape);
        let axes = self.shape.iter().zip(&self.strides).zip(&dense);
        axes.into_iter().all(|((&n, stride), dense)| n <= 1 || stride == dense)
    }

    /// The same elements under another shape, if they follow each other.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Option<View> {
        let strides = dense_strides(shape);
        self.is_dense().then(|| View { shape: shape.to_vec(), strides, ..self.clone() })
    }

    /// The row at a variable index.
    pub(super) fn row(&self, t: &str) -> View {
        let mut row = self.clone();
        let stride = row.strides.remove(0);
        row.shape.remove(0);
        assert!(stride >= 0, "internal: rows of a reversed array");
        if stride != 0 {
            row.terms.push((t.to_owned(), stride as usize));
        }
        row
    }

    /// The expression of an element.
    pub(super) fn at(&self, index: &[String]) -> String {
        let (mut plus, mut minus) = (Vec::new(), String::new());
        let mut term = |factor: usize, of: &str| match factor {
            0 => {}
            1 => plus.push(of.to_owned()),
            _ => plus.push(format!("{factor} * {of}")),
        };
        for (of, factor) in &self.terms {
            term(*factor, of);
        }
        for (&stride, of) in self.strides.iter().zip(index) {
            match stride {
                _ if of == "0" => {}
                0.. => term(stride as usize, of),
                -1 => minus += &format!(" - {of}"),
                _ => minus += &format!(" - {} * {of}", -stride),
            }
        }
        if self.offset > 0 || plus.is_empty() {
            plus.insert(0, self.offset.to_string());
        }
        let index = plus.join(" + ") + &minus;
        format!("{}[{}]", self.base, bare(&index))
    }
}
