//! `Buffer`: a strided view of shared, immutable memory.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use super::dtype::dispatch;
use super::{DType, Element, Scalar, Shape};

/// Shared memory of one element type.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    F32(Arc<Vec<f32>>),
    F64(Arc<Vec<f64>>),
    I32(Arc<Vec<i32>>),
    U32(Arc<Vec<u32>>),
    Bool(Arc<Vec<bool>>),
}

/// An immutable array on the host: a strided view of shared memory. Cloning, slicing, transposing
/// and broadcasting copy nothing.
#[derive(Clone, Debug)]
pub struct Buffer {
    layout: Arc<Layout>,
    offset: usize,
    data: Data,
}

/// Remembers the memory of a buffer without holding on to it.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    data: WeakData,
    offset: usize,
}

#[derive(Clone, Debug)]
enum WeakData {
    F32(Weak<Vec<f32>>),
    F64(Weak<Vec<f64>>),
    I32(Weak<Vec<i32>>),
    U32(Weak<Vec<u32>>),
    Bool(Weak<Vec<bool>>),
}

impl Mark {
    /// Whether the buffer starts at the marked element of the marked memory. Memory is never
    /// changed while somebody can see it, and its address stays taken while it is marked, so the
    /// values of a dense buffer of the same shape are the same.
    pub(crate) fn is_of(&self, buffer: &Buffer) -> bool {
        fn same<T>(weak: &Weak<Vec<T>>, strong: &Arc<Vec<T>>) -> bool {
            std::ptr::eq(weak.as_ptr(), Arc::as_ptr(strong))
        }
        self.offset == buffer.offset
            && match (&self.data, &buffer.data) {
                (WeakData::F32(weak), Data::F32(strong)) => same(weak, strong),
                (WeakData::F64(weak), Data::F64(strong)) => same(weak, strong),
                (WeakData::I32(weak), Data::I32(strong)) => same(weak, strong),
                (WeakData::U32(weak), Data::U32(strong)) => same(weak, strong),
                (WeakData::Bool(weak), Data::Bool(strong)) => same(weak, strong),
                _ => false,
            }
    }
}

/// How a view walks its memory; shared by clones.
#[derive(Debug)]
pub(crate) struct Layout {
    shape: Shape,
    /// In elements, one for each axis; 0 along a broadcast axis. Every index inside `shape` lands
    /// inside the data.
    strides: Vec<isize>,
}

impl Layout {
    /// Row-major without gaps.
    pub(crate) fn dense(shape: Shape) -> Arc<Layout> {
        Arc::new(Layout { strides: shape.strides(), shape })
    }
}

impl Buffer {
    /// As many values as a row-major layout has, under it.
    pub(crate) fn with_layout<T: Element>(layout: &Arc<Layout>, values: Vec<T>) -> Buffer {
        debug_assert_eq!(layout.shape.count(), values.len());
        Buffer { layout: layout.clone(), offset: 0, data: T::wrap(values) }
    }

    /// Whether it has the layout's shape, in an order that is the same in memory.
    pub(crate) fn has_layout(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.layout, layout) || self.layout.shape == layout.shape
    }

    /// Row-major values of a shape. The number of values must be that of the shape.
    pub fn new<T: Element>(shape: impl Into<Shape>, values: Vec<T>) -> Buffer {
        let shape = shape.into();
        assert_eq!(shape.count(), values.len(), "internal: {} values for {shape}", values.len());
        Buffer { layout: Layout::dense(shape), offset: 0, data: T::wrap(values) }
    }

    /// One value without axes.
    pub fn scalar(value: Scalar) -> Buffer {
        dispatch!(all value.dtype(), T => Buffer::new((), vec![T::from_scalar(value)]))
    }

    /// One value seen at every index of a shape; it takes the memory of one.
    pub fn splat(value: Scalar, shape: impl Into<Shape>) -> Buffer {
        Buffer::scalar(value).broadcast(&shape.into(), &[])
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::I32(_) => DType::I32,
            Data::U32(_) => DType::U32,
            Data::Bool(_) => DType::Bool,
        }
    }

    /// The size of each axis.
    pub fn shape(&self) -> &Shape {
        &self.layout.shape
    }

    /// The step in memory from one index to the next along each axis, in elements.
    pub fn strides(&self) -> &[isize] {
        &self.layout.strides
    }

    /// The memory behind the view and the position of its first element, for kernels that walk
    /// strides themselves.
    pub fn raw<T: Element>(&self) -> (&[T], usize) {
        let data = T::unwrap(&self.data)
            .unwrap_or_else(|| panic!("internal: a {} buffer read as {}", self.dtype(), T::DTYPE));
        (data, self.offset)
    }

    /// The address of the memory behind the view, and the position of its first element.
    pub(crate) fn identity(&self) -> (usize, usize) {
        let memory = dispatch!(all self.dtype(), T => self.raw::<T>().0.as_ptr() as usize);
        (memory, self.offset)
    }

    /// The memory behind the view, if nobody else sees it and it has this type.
    pub(crate) fn into_values<T: Element>(self) -> Option<Vec<T>> {
        T::unwrap_owned(self.data)
    }

    /// The values in row-major order, to be overwritten, if they lie so and nobody else sees them.
    pub(crate) fn dense_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        let count = self.layout.shape.count();
        let offset = self.offset;
        self.dense::<T>()?;
        T::unwrap_mut(&mut self.data).map(|values| &mut values[offset..offset + count])
    }

    /// Remembers the memory.
    pub(crate) fn mark(&self) -> Mark {
        let data = match &self.data {
            Data::F32(data) => WeakData::F32(Arc::downgrade(data)),
            Data::F64(data) => WeakData::F64(Arc::downgrade(data)),
            Data::I32(data) => WeakData::I32(Arc::downgrade(data)),
            Data::U32(data) => WeakData::U32(Arc::downgrade(data)),
            Data::Bool(data) => WeakData::Bool(Arc::downgrade(data)),
        };
        Mark { data, offset: self.offset }
    }

    /// The values in row-major order, if that is how they lie in memory.
    pub fn dense<T: Element>(&self) -> Option<&[T]> {
        let (data, offset) = self.raw::<T>();
        let count = self.layout.shape.count();
        if count == 0 {
            return Some(&[]);
        }
        let mut expected = 1;
        for (&size, &stride) in self.layout.shape.iter().zip(&self.layout.strides).rev() {
            if size != 1 && stride != expected {
                return None;
            }
            expected *= size as isize;
        }
        Some(&data[offset..offset + count])
    }

    /// The values in row-major order, copied only if they lie otherwise.
    pub fn values<T: Element>(&self) -> Cow<'_, [T]> {
        match self.dense() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(self.gather()),
        }
    }

    /// The one value seen at all indices, if the view says so by itself.
    pub fn uniform(&self) -> Option<Scalar> {
        let still = |(&size, &stride): (&usize, &isize)| size == 1 || stride == 0;
        let one = self.layout.shape.count() > 0
            && self.layout.shape.iter().zip(&self.layout.strides).all(still);
        one.then(|| self.first())
    }

    /// The value at the first index. The buffer must not be empty.
    pub fn first(&self) -> Scalar {
        dispatch!(all self.dtype(), T => {
            let (data, offset) = self.raw::<T>();
            data[offset].scalar()
        })
    }

    /// Copies the values out in row-major order.
    fn gather<T: Element>(&self) -> Vec<T> {
        let mut values = Vec::with_capacity(self.layout.shape.count());
        self.gather_into(&mut values);
        values
    }

    /// The same into memory that is there already.
    pub(crate) fn gather_into<T: Element>(&self, values: &mut Vec<T>) {
        let (data, offset) = self.raw::<T>();
        values.clear();
        walk(&self.layout.shape, &self.layout.strides, offset as isize, &mut |start, n, stride| {
            match stride {
                1 => values.extend_from_slice(&data[start as usize..start as usize + n]),
                0 => values.resize(values.len() + n, data[start as usize]),
                _ => values.extend((0..n as isize).map(|i| data[(start + i * stride) as usize])),
            }
        });
    }

    /// This buffer laid out in row-major order.
    pub fn to_dense(&self) -> Buffer {
        dispatch!(all self.dtype(), T => match self.dense::<T>() {
            Some(_) => self.clone(),
            None => Buffer::new(self.layout.shape.clone(), self.gather::<T>()),
        })
    }

    fn view(&self, shape: Shape, strides: Vec<isize>, offset: isize) -> Buffer {
        // An empty view reads nothing, so that its offset may be anything.
        let offset = if shape.count() == 0 { 0 } else { offset as usize };
        Buffer { layout: Arc::new(Layout { shape, strides }), offset, data: self.data.clone() }
    }

    /// Operand axis `i` becomes axis `axes[i]` of `shape`; new axes and axes of size 1 repeat.
    pub fn broadcast(&self, shape: &Shape, axes: &[usize]) -> Buffer {
        let mut strides = vec![0; shape.rank()];
        for (i, &axis) in axes.iter().enumerate() {
            let repeats = self.layout.shape[i] == 1 && shape[axis] != 1;
            strides[axis] = if repeats { 0 } else { self.layout.strides[i] };
        }
        self.view(shape.clone(), strides, self.offset as isize)
    }

    /// Axis `i` of the result is axis `permutation[i]` of this buffer.
    pub fn transpose(&self, permutation: &[usize]) -> Buffer {
        let shape = permutation.iter().map(|&axis| self.layout.shape[axis]).collect();
        let strides = permutation.iter().map(|&axis| self.layout.strides[axis]).collect();
        self.view(shape, strides, self.offset as isize)
    }

    /// Along each axis, `sizes[i]` elements from `starts[i]` in steps of `steps[i]`.
    pub fn slice(&self, starts: &[usize], sizes: &[usize], steps: &[usize]) -> Buffer {
        let shift: isize =
            starts.iter().zip(&self.layout.strides).map(|(&i, s)| i as isize * s).sum();
        let strides =
            steps.iter().zip(&self.layout.strides).map(|(&step, s)| step as isize * s).collect();
        self.view(sizes.into(), strides, self.offset as isize + shift)
    }

    /// The elements of `axes` in reverse order.
    pub fn reverse(&self, axes: &[usize]) -> Buffer {
        let (mut strides, mut offset) = (self.layout.strides.clone(), self.offset as isize);
        for &axis in axes {
            offset += strides[axis] * (self.layout.shape[axis] as isize - 1);
            strides[axis] = -strides[axis];
        }
        self.view(self.layout.shape.clone(), strides, offset)
    }

    /// The same values in row-major order under another shape of the same count. Copies only if
    /// the memory is laid out otherwise.
    pub fn reshape(&self, shape: &Shape) -> Buffer {
        debug_assert_eq!(shape.count(), self.layout.shape.count());
        if let Some(value) = self.uniform() {
            return Buffer::splat(value, shape.clone());
        }
        let dense = self.to_dense();
        let offset = dense.offset as isize;
        dense.view(shape.clone(), shape.strides(), offset)
    }

    /// Index `i` of axis 0, without that axis.
    pub fn row(&self, i: usize) -> Buffer {
        let offset = self.offset as isize + self.layout.strides[0] * i as isize;
        self.view(self.layout.shape.without(0), self.layout.strides[1..].to_vec(), offset)
    }

    /// Buffers of one type as the rows of a new axis 0. `shape` and `dtype` are those of a row.
    pub fn stack(rows: &[Buffer], shape: &Shape, dtype: DType) -> Buffer {
        dispatch!(all dtype, T => {
            let mut values = Vec::with_capacity(shape.count() * rows.len());
            for row in rows {
                values.extend_from_slice(&row.values::<T>());
            }
            Buffer::new(shape.prepend(rows.len()), values)
        })
    }

    /// Whether both hold the same bits in the same shape and type, with all NaNs equal.
    pub fn same(&self, other: &Buffer) -> bool {
        self.layout.shape == other.layout.shape
            && self.dtype() == other.dtype()
            && dispatch!(all self.dtype(), T => {
                let (a, b) = (self.values::<T>(), other.values::<T>());
                a.iter().zip(b.iter()).all(|(x, y)| x.scalar() == y.scalar())
            })
    }
}

/// Calls `run(start, n, stride)` for each innermost run of a strided view, in row-major order.
pub(crate) fn walk(
    shape: &[usize],
    strides: &[isize],
    offset: isize,
    run: &mut dyn FnMut(isize, usize, isize),
) {
    match (shape, strides) {
        ([], _) => run(offset, 1, 1),
        ([n], [stride]) => {
            if *n > 0 {
                run(offset, *n, *stride)
            }
        }
        ([n, shape @ ..], [stride, strides @ ..]) => {
            for i in 0..*n as isize {
                walk(shape, strides, offset + i * stride, run);
            }
        }
        _ => unreachable!("internal: a stride for each axis"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> Buffer {
        Buffer::new([2, 3], vec![0, 1, 2, 3, 4, 5])
    }

    #[test]
    fn views_read_what_their_names_say() {
        let x = counting();
        assert_eq!(*x.transpose(&[1, 0]).values::<i32>(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(*x.reverse(&[1]).values::<i32>(), [2, 1, 0, 5, 4, 3]);
        assert_eq!(*x.slice(&[0, 1], &[2, 1], &[1, 2]).values::<i32>(), [1, 4]);
        assert_eq!(*x.row(1).broadcast(&[2, 3].into(), &[1]).values::<i32>(), [3, 4, 5, 3, 4, 5]);
        assert_eq!(*x.transpose(&[1, 0]).reshape(&[6].into()).values::<i32>(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(
            *Buffer::stack(&[x.row(1), x.row(0)], &[3].into(), DType::I32).values::<i32>(),
            [3, 4, 5, 0, 1, 2]
        );
    }

    #[test]
    fn views_of_nothing_are_empty() {
        let x = Buffer::new::<f32>([0, 3], vec![]);
        assert_eq!(x.reverse(&[0]).values::<f32>().len(), 0);
        assert_eq!(x.transpose(&[1, 0]).values::<f32>().len(), 0);
        assert_eq!(x.uniform(), None);
    }

    #[test]
    fn a_splat_is_uniform_whatever_its_size() {
        let x = Buffer::splat(Scalar::F32(2.5), [1 << 20, 1 << 10]);
        assert_eq!(x.uniform(), Some(Scalar::F32(2.5)));
        assert_eq!(x.reshape(&[1 << 30].into()).uniform(), Some(Scalar::F32(2.5)));
    }
}
