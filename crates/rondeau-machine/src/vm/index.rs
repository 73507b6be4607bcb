//! Reading and writing at indices that are data.

use super::tile::copy;
use super::{Frame, Strided, for_each_point, read_index, with_number};
use crate::code::{self, Combine, OutOfBounds};
use crate::scalar::combine;

/// A planned [`code::Gather`].
#[derive(Debug)]
pub(crate) struct Gather {
    rows: Rows,
    from: Strided,
    to: Strided,
}

/// A planned [`code::Scatter`].
#[derive(Debug)]
pub(crate) struct Scatter {
    rows: Rows,
    combine: Option<Combine>,
    from: Strided,
    to: Strided,
}

/// The iteration space, as rows of its last dimension, and the indices.
#[derive(Debug)]
struct Rows {
    outer: Vec<usize>,
    cols: usize,
    indices: Vec<Index>,
    out_of_bounds: OutOfBounds,
    /// Whether all points of a row have the same indices.
    by_row: bool,
}

#[derive(Debug)]
struct Index {
    view: Strided,
    len: usize,
    /// In bytes.
    stride: isize,
}

impl Rows {
    fn new(
        dims: &[usize],
        indices: &[code::Index],
        out_of_bounds: OutOfBounds,
        size: usize,
    ) -> Rows {
        let (&cols, outer) = dims.split_last().unwrap_or((&1, &[]));
        let indices: Vec<_> = indices
            .iter()
            .map(|i| Index {
                view: Strided::new(&i.view),
                len: i.len,
                stride: (i.stride as isize).wrapping_mul(size as isize),
            })
            .collect();
        let stands_still = |i: &Index| i.view.strides.last().is_none_or(|&s| s == 0);
        let by_row = indices.iter().all(stands_still);
        Rows { outer: outer.to_vec(), cols, indices, out_of_bounds, by_row }
    }

    /// Bytes from the view at index 0 to where the indices of a point say, none if outside.
    ///
    /// # Safety
    /// The point lies in the iteration space.
    #[inline(always)]
    unsafe fn offset(&self, frame: &Frame<'_>, row: &[usize], col: usize) -> Option<isize> {
        let mut offset = 0;
        for index in &self.indices {
            let by_col = index.view.strides.get(row.len()).copied().unwrap_or(0);
            let at = frame.at(&index.view.addr);
            let at = at.wrapping_offset(index.view.offset(row) + by_col * col as isize);
            // SAFETY: index views are checked for every point.
            let i = unsafe { read_index(at, index.view.dtype) };
            let clipped = i.clamp(0, index.len as i64 - 1);
            if clipped != i && self.out_of_bounds != OutOfBounds::Clip {
                return None;
            }
            offset += index.stride * clipped as isize;
        }
        Some(offset)
    }
}

/// The address of a row, and the stride along it.
fn row_of(frame: &Frame<'_>, view: &Strided, row: &[usize]) -> (*mut u8, isize) {
    let by_col = view.strides.get(row.len()).copied().unwrap_or(0);
    (frame.at(&view.addr).wrapping_offset(view.offset(row)), by_col)
}

impl Gather {
    pub(super) fn new(k: &code::Gather) -> Gather {
        let rows = Rows::new(&k.dims, &k.indices, k.out_of_bounds, k.from.dtype.size());
        Gather { rows, from: Strided::new(&k.from), to: Strided::new(&k.to) }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        let size = self.from.dtype.size();
        let fill = match self.rows.out_of_bounds {
            OutOfBounds::Drop(bits) => bits.to_le_bytes(),
            OutOfBounds::Clip => [0; 8],
        };
        for_each_point(&self.rows.outer, |row| {
            let (from, from_stride) = row_of(frame, &self.from, row);
            let (to, to_stride) = row_of(frame, &self.to, row);
            let (step, n) =
                if self.rows.by_row { (self.rows.cols, self.rows.cols) } else { (1, 1) };
            for col in (0..self.rows.cols).step_by(step.max(1)) {
                let c = col as isize;
                let to = to.wrapping_offset(c * to_stride);
                // SAFETY: indices are within their lengths, for which the code is checked; `fill` is one element,
                // and an array of bytes is read as such.
                unsafe {
                    match self.rows.offset(frame, row, col) {
                        Some(offset) => {
                            let from = from.wrapping_offset(c * from_stride + offset);
                            copy(size, from, (0, from_stride), to, (0, to_stride), (1, n));
                        }
                        None => {
                            for i in 0..n as isize {
                                let to = to.wrapping_offset(i * to_stride);
                                std::ptr::copy_nonoverlapping(fill.as_ptr(), to, size);
                            }
                        }
                    }
                }
            }
        });
    }
}

impl Scatter {
    pub(super) fn new(k: &code::Scatter) -> Scatter {
        let rows = Rows::new(&k.dims, &k.indices, k.out_of_bounds, k.from.dtype.size());
        Scatter { rows, combine: k.combine, from: Strided::new(&k.from), to: Strided::new(&k.to) }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        let size = self.from.dtype.size();
        for_each_point(&self.rows.outer, |row| {
            let (from, from_stride) = row_of(frame, &self.from, row);
            let (to, to_stride) = row_of(frame, &self.to, row);
            let (step, n) =
                if self.rows.by_row { (self.rows.cols, self.rows.cols) } else { (1, 1) };
            for col in (0..self.rows.cols).step_by(step.max(1)) {
                let c = col as isize;
                // SAFETY: indices are within their lengths, for which the code is checked; `to` is apart from `from`.
                unsafe {
                    let Some(offset) = self.rows.offset(frame, row, col) else {
                        continue;
                    };
                    let from = from.wrapping_offset(c * from_stride);
                    let to = to.wrapping_offset(c * to_stride + offset);
                    match self.combine {
                        None => copy(size, from, (0, from_stride), to, (0, to_stride), (1, n)),
                        Some(how) => with_number!(self.from.dtype, T, {
                            for i in 0..n as isize {
                                let x = *(from.wrapping_offset(i * from_stride) as *const T);
                                let y = to.wrapping_offset(i * to_stride) as *mut T;
                                *y = combine(how, *y, x);
                            }
                        }),
                    }
                }
            }
        });
    }
}
