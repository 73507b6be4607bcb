//! Sizes of the axes of an array.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// An array holds at most this many bytes (2^34).
pub const MAX_BYTES: usize = 1 << 34;

/// So many axes take no memory of their own. Programs hold a shape for each variable, and passes
/// copy them all.
const FEW: usize = 4;

/// The size of each axis, outermost first. A scalar has none.
#[derive(Clone)]
pub struct Shape(Sizes);

#[derive(Clone)]
enum Sizes {
    Few { rank: u8, sizes: [usize; FEW] },
    Many(Box<[usize]>),
}

impl Shape {
    /// The shape of a scalar: no axes.
    pub const fn scalar() -> Shape {
        Shape(Sizes::Few { rank: 0, sizes: [0; FEW] })
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.len()
    }

    /// The number of elements. Shapes whose number overflows are refused where arrays are made;
    /// here it saturates.
    pub fn count(&self) -> usize {
        self.iter().fold(1, |count, &size| count.saturating_mul(size))
    }

    /// Whether an array of this shape, with elements of `size` bytes, stays within [`MAX_BYTES`],
    /// also if axes of size zero were one.
    pub fn is_reasonable(&self, size: usize) -> bool {
        let count = self.iter().try_fold(size, |count, &n| count.checked_mul(n.max(1)));
        count.is_some_and(|bytes| bytes <= MAX_BYTES)
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> Vec<isize> {
        let mut strides = vec![1; self.rank()];
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis] * self[axis].max(1) as isize;
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
        let change = |(i, &old)| if i == axis { size } else { old };
        self.iter().enumerate().map(change).collect()
    }

    /// The shape that NumPy's rules broadcast both to, if there is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let size = |shape: &Shape, i: usize| {
            let missing = rank - shape.rank();
            if i < missing { 1 } else { shape[i - missing] }
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
        match &self.0 {
            Sizes::Few { rank, sizes } => &sizes[..usize::from(*rank)],
            Sizes::Many(sizes) => sizes,
        }
    }
}

impl Default for Shape {
    fn default() -> Shape {
        Shape::scalar()
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        **self == **other
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialOrd for Shape {
    fn partial_cmp(&self, other: &Shape) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Shape {
    fn cmp(&self, other: &Shape) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Shape {
        let mut iter = iter.into_iter();
        let (mut rank, mut sizes) = (0, [0; FEW]);
        while let Some(size) = iter.next() {
            if rank == FEW {
                let all = sizes.into_iter().chain([size]).chain(iter);
                return Shape(Sizes::Many(all.collect()));
            }
            sizes[rank] = size;
            rank += 1;
        }
        Shape(Sizes::Few { rank: rank as u8, sizes })
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Shape {
        Shape::from(&sizes[..])
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Shape {
        sizes.iter().copied().collect()
    }
}

impl From<Vec<usize>> for Shape {
    fn from(sizes: Vec<usize>) -> Shape {
        Shape::from(&sizes[..])
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        shape.clone()
    }
}

impl From<usize> for Shape {
    fn from(size: usize) -> Shape {
        Shape::from([size])
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
        for (i, size) in self.iter().enumerate() {
            write!(f, "{}{size}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
