//! Where batches come from.

use crate::buffer::{Buffer, Element};
use crate::{Array, DType, Error, Result, Shape, Tree, tree};

/// Numbered examples, of which batches are made. The same rows must always give the same batch: a
/// run that is gone on with asks for what it would have asked for.
pub trait Data {
    /// Some examples together.
    type Batch: Tree;

    /// How many examples there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The examples of these numbers, in this order.
    ///
    /// # Errors
    /// If they cannot be made.
    fn batch(&self, rows: &[usize]) -> Result<Self::Batch>;
}

/// Examples that are rows of arrays: a batch has the same structure, and of each array the rows of
/// the batch along axis 0.
///
/// # Examples
/// ```
/// use rondeau::Array;
/// use rondeau::train::{Data, Rows};
///
/// let rows = Rows::of((Array::arange(6).reshape([3, 2]), Array::from([7, 8, 9])))?;
/// let (xs, ys) = rows.batch(&[2, 0])?;
/// assert_eq!(xs.to_vec::<i32>()?, [4, 5, 0, 1]);
/// assert_eq!(ys.to_vec::<i32>()?, [9, 7]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rows<T> {
    /// Each lies in memory row after row.
    arrays: T,
    n: usize,
}

impl<T: Tree> Rows<T> {
    /// The rows of arrays that all have as many.
    ///
    /// # Errors
    /// If there are no arrays, one has no axis, or their first axes differ; all are named.
    pub fn of(arrays: T) -> Result<Rows<T>> {
        let mut n_rows = Vec::new();
        let mut lines = Vec::new();
        let mut dense = Vec::new();
        for (path, leaf) in tree::leaves_with_paths(&arrays) {
            let name = if path.is_empty() { "the array" } else { &path };
            lines.push(format!("{name} is {}", leaf.aval()?));
            n_rows.push(leaf.shape().first().copied());
            dense.push(Array::from_buffer(leaf.buffer()?.to_dense()));
        }
        match n_rows.first() {
            Some(&Some(n)) if n_rows.iter().all(|&rows| rows == Some(n)) => {
                Ok(Rows { arrays: tree::rebuild(&arrays, dense), n })
            }
            _ => Err(Error::rows_differ(&lines)),
        }
    }
}

impl<T: Tree> Data for Rows<T> {
    type Batch = T;

    fn len(&self) -> usize {
        self.n
    }

    fn batch(&self, rows: &[usize]) -> Result<T> {
        let leaves = tree::leaves(&self.arrays).into_iter();
        let leaves = leaves.map(|leaf| Ok(Array::from_buffer(take(leaf.buffer()?, rows))));
        Ok(tree::rebuild(&self.arrays, leaves.collect::<Result<Vec<_>>>()?))
    }
}

/// Some rows of an array, copied. `Array::take` would do the same number by number.
fn take(array: &Buffer, rows: &[usize]) -> Buffer {
    fn copy<T: Element>(array: &Buffer, rows: &[usize]) -> Buffer {
        let row_shape = array.shape().without(0);
        let n = row_shape.count();
        let values = array.values::<T>();
        let mut taken = Vec::with_capacity(rows.len() * n);
        for &row in rows {
            taken.extend_from_slice(&values[row * n..(row + 1) * n]);
        }
        Buffer::new::<T>(Shape::prepend(&row_shape, rows.len()), taken)
    }
    match array.dtype() {
        DType::F32 => copy::<f32>(array, rows),
        DType::F64 => copy::<f64>(array, rows),
        DType::I32 => copy::<i32>(array, rows),
        DType::U32 => copy::<u32>(array, rows),
        DType::Bool => copy::<bool>(array, rows),
    }
}
