//! Sizes of the axes of an array.

use std::fmt;
use std::ops::Deref;

/// An array holds at most this many bytes (2^34).
pub const MAX_BYTES: usize = 1 << 34;

/// The size of each axis, outermost first. A scalar has none.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape of a scalar: no axes.
    pub const fn scalar() -> Shape {
        Shape(Vec::new())
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements. Shapes whose number overflows are refused where arrays are made;
    /// here it saturates.
    pub fn count(&self) -> usize {
        self.0.iter().fold(1, |count, &size| count.saturating_mul(size))
    }

    /// Whether an array of this shape, with elements of `size` bytes, stays within [`MAX_BYTES`],
    /// also if axes of size zero were one.
    pub fn is_reasonable(&self, size: usize) -> bool {
        let count = self.0.iter().try_fold(size, |count, &n| count.checked_mul(n.max(1)));
        count.is_some_and(|bytes| bytes <= MAX_BYTES)
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> Vec<isize> {
        let mut strides = vec![1; self.rank()];
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis] * self.0[axis].max(1) as isize;
        }
        strides
    }

    /// This shape with a new outermost axis.
    pub fn prepend(&self, size: usize) -> Shape {
        std::iter::once(size).chain(self.iter().copied()).collect()
    }

    /// This shape without one of its axes.
    pub fn without(&self, axis: usize) -> Shape {
        let keep = |&(i, _): &(usize, &usize)| i != axis;
        self.iter().enumerate().filter(keep).map(|(_, &size)| size).collect()
    }

    /// This shape with axis `axis` of another size.
    pub fn with(&self, axis: usize, size: usize) -> Shape {
        let mut shape = self.clone();
        shape.0[axis] = size;
        shape
    }

    /// The shape that NumPy's rules broadcast both to, if there is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let size = |shape: &Shape, i: usize| {
            let missing = rank - shape.rank();
            if i < missing { 1 } else { shape.0[i - missing] }
        };
        (0..rank)
            .map(|i| match (size(self, i), size(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect()
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(sizes: I) -> Shape {
        Shape(sizes.into_iter().collect())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Shape {
        Shape(sizes.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Shape {
        Shape(sizes.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(sizes: Vec<usize>) -> Shape {
        Shape(sizes)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        shape.clone()
    }
}

impl From<usize> for Shape {
    fn from(size: usize) -> Shape {
        Shape(vec![size])
    }
}

impl From<()> for Shape {
    fn from((): ()) -> Shape {
        Shape::scalar()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, size) in self.0.iter().enumerate() {
            write!(f, "{}{size}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
