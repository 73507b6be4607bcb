//! Arrays of the `ndarray` crate (feature `ndarray`).

use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};

use super::Array;
use crate::buffer::{Buffer, Element};
use crate::error::Result;

/// Copies the values, in row-major order.
impl<T, S, D> From<&ArrayBase<S, D>> for Array
where
    T: Element,
    S: Data<Elem = T>,
    D: Dimension,
{
    fn from(array: &ArrayBase<S, D>) -> Array {
        Array::from_buffer(Buffer::new(array.shape(), array.iter().copied().collect()))
    }
}

/// Copies the values, in row-major order.
impl<T: Element, D: Dimension> From<ndarray::Array<T, D>> for Array {
    fn from(array: ndarray::Array<T, D>) -> Array {
        Array::from(&array)
    }
}

impl Array {
    /// The values as an array of the `ndarray` crate.
    ///
    /// # Errors
    /// As [`to_vec`](Array::to_vec).
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from(ndarray::arr2(&[[1.0_f32, 2.0], [3.0, 4.0]]));
    /// assert_eq!((x * 2.0).to_ndarray::<f32>()?, ndarray::arr2(&[[2.0, 4.0], [6.0, 8.0]]).into_dyn());
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn to_ndarray<T: Element>(&self) -> Result<ArrayD<T>> {
        let values = self.to_vec::<T>()?;
        Ok(ArrayD::from_shape_vec(IxDyn(self.shape()), values)
            .expect("internal: as many values as the shape has"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_there_and_back() {
        let there = ndarray::Array::from_shape_fn((2, 3), |(i, j)| (3 * i + j) as f64);
        let transposed = there.t();
        let array = Array::from(&transposed);
        assert_eq!(array.shape(), [3, 2]);
        assert_eq!(array.to_ndarray::<f64>().unwrap(), transposed.into_dyn());
        assert!(array.to_ndarray::<f32>().is_err());
    }
}
