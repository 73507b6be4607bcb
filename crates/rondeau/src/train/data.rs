//! Where batches come from.

use crate::{Array, Error, Result, Tree, tree};

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
        for (path, leaf) in tree::leaves_with_paths(&arrays) {
            lines.push(format!("{path} is {}", leaf.aval()?));
            n_rows.push(leaf.shape().first().copied());
        }
        match n_rows.first() {
            Some(&Some(n)) if n_rows.iter().all(|&rows| rows == Some(n)) => Ok(Rows { arrays, n }),
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
        let rows = Array::new([rows.len()], rows.iter().map(|&row| row as i32).collect());
        let batch = tree::map(&self.arrays, |array| array.take(&rows, 0));
        for leaf in tree::leaves(&batch) {
            leaf.clone().ok()?;
        }
        Ok(batch)
    }
}
