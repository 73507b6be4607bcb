//! Kernels along one dimension: running combinations and sorting.

use super::{Frame, Planner, Strided, for_each_point, with_number};
use crate::code::{self, Combine};
use crate::dag::DType;
use crate::scalar::combine;

/// A planned [`code::Cumulative`].
#[derive(Debug)]
pub(crate) struct Cumulative {
    how: Combine,
    outer: Vec<usize>,
    n: usize,
    from: Strided,
    to: Strided,
}

impl Cumulative {
    pub(super) fn new(k: &code::Cumulative) -> Cumulative {
        let (&n, outer) = k.dims.split_last().unwrap_or((&0, &[]));
        let (from, to) = (Strided::new(&k.from), Strided::new(&k.to));
        Cumulative { how: k.combine, outer: outer.to_vec(), n, from, to }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        for_each_point(&self.outer, |at| {
            let from = frame.at(&self.from.addr).wrapping_offset(self.from.offset(at));
            let to = frame.at(&self.to.addr).wrapping_offset(self.to.offset(at));
            let (by_from, by_to) = (self.from.strides[at.len()], self.to.strides[at.len()]);
            with_number!(self.from.dtype, T, {
                let mut sum: Option<T> = None;
                for i in 0..self.n as isize {
                    // SAFETY: all points are checked; an element is read before it may be overwritten.
                    unsafe {
                        let next = *(from.wrapping_offset(i * by_from) as *const T);
                        let joined = sum.map_or(next, |sum| combine(self.how, sum, next));
                        *(to.wrapping_offset(i * by_to) as *mut T) = joined;
                        sum = Some(joined);
                    }
                }
            });
        });
    }
}

/// A planned [`code::Sort`].
#[derive(Debug)]
pub(crate) struct Sort {
    outer: Vec<usize>,
    n: usize,
    from: Strided,
    to: Option<Strided>,
    to_indices: Option<Strided>,
    descending: bool,
}

/// An element while it is sorted: its rank among values, where it was, its bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
struct Item {
    rank: u64,
    index: u64,
    bits: u64,
}

impl Sort {
    pub(super) fn new(planner: &mut Planner<'_>, k: &code::Sort) -> Sort {
        let (&n, outer) = k.dims.split_last().unwrap_or((&0, &[]));
        planner.reserve(n * size_of::<Item>());
        Sort {
            outer: outer.to_vec(),
            n,
            from: Strided::new(&k.from),
            to: k.to.as_ref().map(Strided::new),
            to_indices: k.to_indices.as_ref().map(Strided::new),
            descending: k.descending,
        }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        // SAFETY: the planner has reserved n items; scratch is initialized and aligned.
        let items = unsafe { std::slice::from_raw_parts_mut(frame.scratch as *mut Item, self.n) };
        for_each_point(&self.outer, |at| {
            let start = |view: &Strided| frame.at(&view.addr).wrapping_offset(view.offset(at));
            let (from, by) = (start(&self.from), self.from.strides[at.len()]);
            for (i, item) in items.iter_mut().enumerate() {
                // SAFETY: all points are checked.
                let bits = unsafe { read(from.wrapping_offset(i as isize * by), self.from.dtype) };
                *item = Item {
                    rank: rank(bits, self.from.dtype, self.descending),
                    index: i as u64,
                    bits,
                };
            }
            // Ties go by index, so that the order is stable.
            items.sort_unstable();
            for (i, item) in items.iter().enumerate() {
                if let Some(view) = &self.to {
                    let to = start(view).wrapping_offset(i as isize * view.strides[at.len()]);
                    // SAFETY: all points are checked; the line has been read.
                    unsafe { write(to, item.bits, view.dtype) };
                }
                if let Some(view) = &self.to_indices {
                    let to = start(view).wrapping_offset(i as isize * view.strides[at.len()]);
                    // SAFETY: as above.
                    unsafe { write(to, item.index, DType::I32) };
                }
            }
        });
    }
}

/// A number that orders values: -0 equals 0, NaN comes last in either direction.
fn rank(bits: u64, dtype: DType, descending: bool) -> u64 {
    let ordered = |bits: u64, width: u32| {
        let sign = 1u64 << (width - 1);
        match bits {
            _ if bits == sign => sign,
            _ if bits & sign != 0 => !bits & (u64::MAX >> (64 - width)),
            _ => bits | sign,
        }
    };
    let (key, is_nan) = match dtype {
        DType::F32 => (ordered(bits, 32), f32::from_bits(bits as u32).is_nan()),
        DType::F64 => (ordered(bits, 64), f64::from_bits(bits).is_nan()),
        DType::I32 => (bits ^ 1 << 31, false),
        DType::U32 | DType::Bool => (bits, false),
    };
    match (is_nan, descending) {
        (true, _) => u64::MAX,
        (false, true) => u64::MAX - 1 - key,
        (false, false) => key,
    }
}

/// # Safety
/// `at` is valid for an element.
unsafe fn read(at: *const u8, dtype: DType) -> u64 {
    // SAFETY: by contract.
    unsafe {
        match dtype.size() {
            4 => *(at as *const u32) as u64,
            8 => *(at as *const u64),
            _ => (*at != 0) as u64,
        }
    }
}

/// # Safety
/// `at` is valid for an element.
unsafe fn write(at: *mut u8, bits: u64, dtype: DType) {
    // SAFETY: by contract.
    unsafe {
        match dtype.size() {
            4 => *(at as *mut u32) = bits as u32,
            8 => *(at as *mut u64) = bits,
            _ => *at = bits as u8,
        }
    }
}
