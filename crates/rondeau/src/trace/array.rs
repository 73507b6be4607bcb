//! `Array`: a value, a variable of the program being traced, or a mistake on its way out.

use std::panic::Location;

use super::tracer::Tracer;
use crate::buffer::{Buffer, DType, Element, Scalar, Shape};
use crate::error::{Error, Result};
use crate::ir::Aval;

/// An n-dimensional array of one element type, immutable and cheap to clone.
///
/// Outside transformed functions it holds values and computes at once. Inside `jit`, `grad`,
/// `vmap`, `scan` and the others it is a variable of the program being traced. Operators never
/// panic: a mistake becomes an array that carries the [`Error`] with the source line of the call,
/// passes through all further operators, and comes out as `Err` where values leave:
/// [`to_vec`](Array::to_vec), [`item`](Array::item), `call`.
///
/// # Examples
/// ```
/// use rondeau::Array;
///
/// let x = Array::from([[1.0_f32, 2.0], [3.0, 4.0]]);
/// let y = &x * 2.0 + 1.0;
/// assert_eq!(y.to_vec::<f32>()?, [3.0, 5.0, 7.0, 9.0]);
///
/// let wrong = &x + Array::from([1.0_f32, 2.0, 3.0]);
/// assert!(wrong.to_vec::<f32>().unwrap_err().to_string().contains("broadcast"));
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone)]
pub struct Array(pub(super) Repr);

#[derive(Clone)]
pub(super) enum Repr {
    Value(Buffer),
    Traced(Tracer),
    Mistake(Error),
}

impl Array {
    /// An array of existing data.
    pub fn from_buffer(buffer: Buffer) -> Array {
        Array(Repr::Value(buffer))
    }

    pub(super) fn traced(tracer: Tracer) -> Array {
        Array(Repr::Traced(tracer))
    }

    /// An array that carries a mistake.
    pub fn mistake(error: Error) -> Array {
        Array(Repr::Mistake(error))
    }

    /// Values in row-major order.
    ///
    /// # Errors
    /// The array carries a mistake if the number of values is not that of the shape.
    #[track_caller]
    pub fn new<T: Element>(shape: impl Into<Shape>, values: Vec<T>) -> Array {
        let shape = shape.into();
        if let Err(error) = check_size::<T>(&shape) {
            return Array::mistake(error.at(Location::caller()));
        }
        if shape.count() != values.len() {
            let headline = format!("{} values do not fill the shape {shape}", values.len());
            let help = format!("give {} values, or another shape", shape.count());
            return Array::mistake(Error::shape(headline, help).at(Location::caller()));
        }
        Array::from_buffer(Buffer::new(shape, values))
    }

    /// The same value at every index. Takes the memory of one value.
    #[track_caller]
    pub fn full<T: Element>(shape: impl Into<Shape>, value: T) -> Array {
        let shape = shape.into();
        if let Err(error) = check_size::<T>(&shape) {
            return Array::mistake(error.at(Location::caller()));
        }
        Array::from_buffer(Buffer::splat(value.scalar(), shape))
    }

    /// Zeros of type f32.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Array {
        Array::full(shape, 0.0_f32)
    }

    /// Ones of type f32.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Array {
        Array::full(shape, 1.0_f32)
    }

    /// Zeros of an array's shape and element type.
    pub fn zeros_like(&self) -> Array {
        self.full_like(0.0)
    }

    /// Ones of an array's shape and element type.
    pub fn ones_like(&self) -> Array {
        self.full_like(1.0)
    }

    /// One value in an array's shape and element type.
    pub fn full_like(&self, value: f64) -> Array {
        match self.aval() {
            Ok(aval) => {
                Array::from_buffer(Buffer::splat(Scalar::of(value, aval.dtype), aval.shape))
            }
            Err(error) => Array::mistake(error),
        }
    }

    /// `0, 1, .., n - 1` as i32.
    ///
    /// # Errors
    /// The array carries a mistake if `n - 1` is no i32.
    #[track_caller]
    pub fn arange(n: usize) -> Array {
        match i32::try_from(n) {
            Ok(n) => Array::from((0..n).collect::<Vec<i32>>()),
            Err(_) => {
                let headline = format!("`arange` counts in i32, which does not hold {n}");
                let help = "count fewer, or add an offset to the array";
                Array::mistake(Error::shape(headline, help).at(Location::caller()))
            }
        }
    }

    /// `n` evenly spaced f32 values from `start` to `end`, both included.
    #[track_caller]
    pub fn linspace(start: f64, end: f64, n: usize) -> Array {
        if let Err(error) = check_size::<f32>(&[n].into()) {
            return Array::mistake(error.at(Location::caller()));
        }
        let step = if n > 1 { (end - start) / (n - 1) as f64 } else { 0.0 };
        Array::new([n], (0..n).map(|i| (start + step * i as f64) as f32).collect())
    }

    /// The f32 identity matrix.
    #[track_caller]
    pub fn eye(n: usize) -> Array {
        if let Err(error) = check_size::<f32>(&[n, n].into()) {
            return Array::mistake(error.at(Location::caller()));
        }
        Array::new(
            [n, n],
            (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0_f32 }).collect(),
        )
    }

    /// What is known of the array without its values.
    ///
    /// # Errors
    /// The mistake that the array carries.
    pub fn aval(&self) -> Result<Aval> {
        match &self.0 {
            Repr::Value(buffer) => Ok(Aval::of(buffer)),
            Repr::Traced(tracer) => Ok(tracer.aval().clone()),
            Repr::Mistake(error) => Err(error.clone()),
        }
    }

    /// The type as messages show it.
    pub(crate) fn describe(&self) -> String {
        match self.aval() {
            Ok(aval) => aval.to_string(),
            Err(_) => "a mistake".to_owned(),
        }
    }

    /// The size of each axis, outermost first; empty for an array that carries a mistake.
    pub fn shape(&self) -> &[usize] {
        match &self.0 {
            Repr::Value(buffer) => buffer.shape(),
            Repr::Traced(tracer) => &tracer.aval().shape,
            Repr::Mistake(_) => &[],
        }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape().len()
    }

    /// The number of elements.
    pub fn size(&self) -> usize {
        self.shape().iter().product()
    }

    /// The length of axis 0; 0 if there is none.
    pub fn len(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    /// Whether there are no elements along axis 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type; f32 for an array that carries a mistake.
    pub fn dtype(&self) -> DType {
        self.aval().map_or(DType::F32, |aval| aval.dtype)
    }

    /// The mistake that the array carries, if it does.
    pub fn error(&self) -> Option<&Error> {
        match &self.0 {
            Repr::Mistake(error) => Some(error),
            Repr::Value(_) | Repr::Traced(_) => None,
        }
    }

    /// The data, to be exchanged.
    pub(crate) fn value_mut(&mut self) -> Option<&mut Buffer> {
        match &mut self.0 {
            Repr::Value(buffer) => Some(buffer),
            Repr::Traced(_) | Repr::Mistake(_) => None,
        }
    }

    /// The data, if there are any yet.
    pub(crate) fn value(&self) -> Option<&Buffer> {
        match &self.0 {
            Repr::Value(buffer) => Some(buffer),
            Repr::Traced(_) | Repr::Mistake(_) => None,
        }
    }

    /// The array, or the mistake that it carries.
    ///
    /// # Errors
    /// The mistake.
    pub fn ok(self) -> Result<Array> {
        match self.0 {
            Repr::Mistake(error) => Err(error),
            _ => Ok(self),
        }
    }

    /// The data.
    ///
    /// # Errors
    /// The mistake that the array carries; or that it is a variable of a program being traced.
    #[track_caller]
    pub fn buffer(&self) -> Result<&Buffer> {
        self.buffer_for("buffer", Location::caller())
    }

    fn buffer_for(&self, what: &str, at: &'static Location<'static>) -> Result<&Buffer> {
        match &self.0 {
            Repr::Value(buffer) => Ok(buffer),
            Repr::Traced(tracer) => Err(Error::traced(what, &tracer.aval().to_string()).at(at)),
            Repr::Mistake(error) => Err(error.clone()),
        }
    }

    /// The values in row-major order, where they are: nothing is copied.
    ///
    /// # Errors
    /// As [`to_vec`](Array::to_vec); and if the array is a view whose values lie in another order.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let x = Array::from([1.0_f32, 2.0]);
    /// assert_eq!(x.as_slice::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        let at = Location::caller();
        let buffer = self.buffer_for("as_slice", at)?;
        if buffer.dtype() != T::DTYPE {
            return Err(Error::read_as(T::DTYPE.name(), &self.describe()).at(at));
        }
        buffer.dense().ok_or_else(|| Error::not_dense("as_slice", &self.describe()).at(at))
    }

    /// Overwrites the values, given in row-major order. Memory that no other array shares is used
    /// again, so that repeated use allocates nothing.
    ///
    /// # Errors
    /// If the array is no value, has another element type than `T`, or another number of values.
    /// It keeps what it had then.
    ///
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let mut x = Array::zeros([2]);
    /// x.copy_from_slice(&[1.0_f32, 2.0])?;
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn copy_from_slice<T: Element>(&mut self, values: &[T]) -> Result<()> {
        let at = Location::caller();
        let buffer = self.buffer_for("copy_from_slice", at)?;
        if buffer.dtype() != T::DTYPE {
            return Err(Error::read_as(T::DTYPE.name(), &self.describe()).at(at));
        }
        let count = buffer.shape().count();
        if count != values.len() {
            let (given, shape) = (values.len(), buffer.shape());
            let headline = format!("{given} values do not fill the shape {shape}");
            return Err(Error::shape(headline, format!("give {count} values")).at(at));
        }
        if let Some(memory) = self.value_mut().and_then(Buffer::dense_mut) {
            memory.copy_from_slice(values);
            return Ok(());
        }
        let shape = self.buffer_for("copy_from_slice", at)?.shape().clone();
        *self = Array::from_buffer(Buffer::new(shape, values.to_vec()));
        Ok(())
    }

    /// The values in row-major order.
    ///
    /// # Errors
    /// The mistake that the array carries; another element type than `T`; or that the array is a
    /// variable of a program being traced.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let at = Location::caller();
        let buffer = self.buffer_for("to_vec", at)?;
        if buffer.dtype() != T::DTYPE {
            return Err(Error::read_as(T::DTYPE.name(), &self.describe()).at(at));
        }
        Ok(buffer.values::<T>().into_owned())
    }

    /// The one value of an array with one element.
    ///
    /// # Errors
    /// As [`to_vec`](Array::to_vec); or that there is not exactly one value.
    #[track_caller]
    pub fn item<T: Element>(&self) -> Result<T> {
        let at = Location::caller();
        let buffer = self.buffer_for("item", at)?;
        if buffer.dtype() != T::DTYPE {
            return Err(Error::read_as(T::DTYPE.name(), &self.describe()).at(at));
        }
        if buffer.shape().count() != 1 {
            return Err(Error::not_one(&self.describe()).at(at));
        }
        Ok(T::from_scalar(buffer.first()))
    }
}

/// Refuses shapes that are larger than an array of this type can be.
fn check_size<T: Element>(shape: &Shape) -> Result<()> {
    match shape.is_reasonable(T::DTYPE.size()) {
        true => Ok(()),
        false => Err(Error::too_large(&shape.to_string())),
    }
}

/// Nested Rust arrays of one element type, for `Array::from([[1.0, 2.0], [3.0, 4.0]])`.
trait Nested {
    type Leaf: Element;
    fn axes(axes: &mut Vec<usize>);
    fn flatten(self, values: &mut Vec<Self::Leaf>);
}

macro_rules! nested_leaf {
    ($($t:ty)*) => {$(
        impl Nested for $t {
            type Leaf = $t;
            fn axes(_: &mut Vec<usize>) {}
            fn flatten(self, values: &mut Vec<$t>) {
                values.push(self);
            }
        }

        impl From<$t> for Array {
            fn from(value: $t) -> Array {
                Array::from_buffer(Buffer::scalar(value.scalar()))
            }
        }

        impl From<Vec<$t>> for Array {
            fn from(values: Vec<$t>) -> Array {
                Array::from_buffer(Buffer::new([values.len()], values))
            }
        }

        impl From<&[$t]> for Array {
            fn from(values: &[$t]) -> Array {
                Array::from(values.to_vec())
            }
        }
    )*};
}
nested_leaf!(f32 f64 i32 u32 bool);

impl<T: Nested, const N: usize> Nested for [T; N] {
    type Leaf = T::Leaf;
    fn axes(axes: &mut Vec<usize>) {
        axes.push(N);
        T::axes(axes);
    }
    fn flatten(self, values: &mut Vec<T::Leaf>) {
        self.into_iter().for_each(|item| item.flatten(values));
    }
}

#[allow(private_bounds)]
impl<T: Nested, const N: usize> From<[T; N]> for Array {
    fn from(nested: [T; N]) -> Array {
        let (mut axes, mut values) = (vec![], vec![]);
        <[T; N]>::axes(&mut axes);
        nested.flatten(&mut values);
        Array::from_buffer(Buffer::new(axes, values))
    }
}

impl From<Buffer> for Array {
    fn from(buffer: Buffer) -> Array {
        Array::from_buffer(buffer)
    }
}

impl From<&Array> for Array {
    fn from(array: &Array) -> Array {
        array.clone()
    }
}
