//! Rearranging weights.

use super::{Frame, Strided};
use crate::code::{Pack, Packed};
use crate::dag::DType;

/// A planned [`Pack`].
#[derive(Debug)]
pub(crate) struct Kernel {
    layout: Packed,
    from: Strided,
    to: Strided,
}

impl Kernel {
    pub(super) fn new(k: &Pack) -> Kernel {
        Kernel { layout: k.layout, from: Strided::new(&k.from), to: Strided::new(&k.to) }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        let (from, to) = (frame.at(&self.from.addr), frame.at(&self.to.addr));
        // SAFETY: `from` is valid for depth x cols, `to` for the whole layout, and they are apart.
        unsafe {
            match self.layout.dtype {
                DType::F64 => self.pack::<f64>(from as *const f64, to as *mut f64),
                _ => self.pack::<f32>(from as *const f32, to as *mut f32),
            }
        }
    }

    /// # Safety
    /// `from` is valid for depth x cols, `to` for the whole layout, and they are apart.
    unsafe fn pack<T: Copy + Default>(&self, from: *const T, to: *mut T) {
        let size = size_of::<T>() as isize;
        let (by_k, by_col) = (self.from.strides[0] / size, self.from.strides[1] / size);
        let Packed { depth, cols, panel, .. } = self.layout;
        let mut first = 0;
        while first < cols {
            let width = self.layout.width_at(first);
            let filled = width.min(cols - first);
            // SAFETY: rows of a panel lie within the layout; the elements of `from` are below depth and cols.
            unsafe {
                let to = to.add(first * depth);
                if by_k == 1 {
                    // Blocks of terms, so that the lines of `from` are used while they are in cache.
                    for k0 in (0..depth).step_by(16) {
                        for col in 0..filled {
                            let line = from.offset((first + col) as isize * by_col);
                            for k in k0..depth.min(k0 + 16) {
                                *to.add(k * width + col) = *line.add(k);
                            }
                        }
                    }
                } else {
                    for k in 0..depth {
                        let line = from.offset(k as isize * by_k + first as isize * by_col);
                        for col in 0..filled {
                            *to.add(k * width + col) = *line.offset(col as isize * by_col);
                        }
                    }
                }
                for k in 0..depth {
                    for col in filled..width {
                        *to.add(k * width + col) = T::default();
                    }
                }
            }
            first += panel;
        }
    }
}
