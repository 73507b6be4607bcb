//! General matrix products, by [`crate::gemm`] for floats.

use super::tile::copy;
use super::{Frame, Planner, Strided};
use crate::Real;
use crate::code::Gemm;
use crate::dag::DType;
use crate::gemm::{MatRef, Order, gemm, gemm_add};
use crate::scalar::Number;

/// A planned [`Gemm`].
#[derive(Debug)]
pub(crate) struct Kernel {
    m: usize,
    n: usize,
    k: usize,
    a: Strided,
    b: Strided,
    init: Option<Strided>,
    to: Strided,
    order: Order,
    /// Whether the result has no gaps, so that it is computed in place.
    in_place: bool,
}

impl Kernel {
    pub(super) fn new(planner: &mut Planner<'_>, g: &Gemm) -> Kernel {
        let to = Strided::new(&g.to);
        let size = g.to.dtype.size();
        let rows = g.m <= 1 || to.strides[0] == (g.n * size) as isize;
        let in_place = rows && (g.n <= 1 || to.strides[1] == size as isize);
        if !in_place {
            planner.reserve(g.m * g.n * size);
        }
        Kernel {
            m: g.m,
            n: g.n,
            k: g.k,
            a: Strided::new(&g.a),
            b: Strided::new(&g.b),
            init: g.init.as_ref().map(Strided::new),
            to,
            order: g.order,
            in_place,
        }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        if self.m == 0 || self.n == 0 {
            return;
        }
        let size = self.to.dtype.size();
        let to = frame.at(&self.to.addr);
        let strides = (self.to.strides[0], self.to.strides[1]);
        let gapless = ((self.n * size) as isize, size as isize);
        let shape = (self.m, self.n);
        // SAFETY: the planner has reserved scratch for the result where it has gaps; `init` is exactly on `to` or
        // apart from it, and both from a and b.
        unsafe {
            let result = if self.in_place { to } else { frame.scratch };
            if let Some(init) = &self.init {
                let from = frame.at(&init.addr);
                if from != result {
                    let strides = (init.strides[0], init.strides[1]);
                    copy(size, from, strides, result, gapless, shape);
                }
            }
            match self.to.dtype {
                DType::F32 => self.floats::<f32>(frame, result),
                DType::F64 => self.floats::<f64>(frame, result),
                DType::I32 => self.ints::<i32>(frame, result),
                _ => self.ints::<u32>(frame, result),
            }
            if !self.in_place {
                copy(size, result, gapless, to, strides, shape);
            }
        }
    }

    /// # Safety
    /// `result` is valid for m x n of `T`, initialized if there is an `init`, and apart from a and b.
    unsafe fn floats<T: Real>(&self, frame: &Frame<'_>, result: *mut u8) {
        // SAFETY: by contract.
        unsafe {
            let a = matrix::<T>(frame, &self.a, self.m, self.k);
            let b = matrix::<T>(frame, &self.b, self.k, self.n);
            let c = std::slice::from_raw_parts_mut(result as *mut T, self.m * self.n);
            match self.init {
                Some(_) => gemm_add(a, b, c, self.order),
                None => gemm(a, b, c, self.order),
            }
        }
    }

    /// # Safety
    /// As [`Kernel::floats`].
    unsafe fn ints<T: Number>(&self, frame: &Frame<'_>, result: *mut u8) {
        let (a, b) = (frame.at(&self.a.addr), frame.at(&self.b.addr));
        let c = result as *mut T;
        // SAFETY: by contract and the check of the code.
        unsafe {
            if self.init.is_none() {
                std::slice::from_raw_parts_mut(c, self.m * self.n).fill(T::ZERO);
            }
            for i in 0..self.m {
                for k in 0..self.k {
                    let x = *(a.wrapping_offset(self.a.offset(&[i, k])) as *const T);
                    for j in 0..self.n {
                        let y = *(b.wrapping_offset(self.b.offset(&[k, j])) as *const T);
                        let sum = c.add(i * self.n + j);
                        *sum = x.fused(y, *sum);
                    }
                }
            }
        }
    }
}

/// # Safety
/// The view is valid for rows x cols.
unsafe fn matrix<'a, T: Real>(
    frame: &Frame<'_>,
    view: &Strided,
    rows: usize,
    cols: usize,
) -> MatRef<'a, T> {
    let size = size_of::<T>() as isize;
    let (by_row, by_col) = (view.strides[0] / size, view.strides[1] / size);
    let reach = |n: usize, stride: isize| (n.max(1) - 1) as isize * stride;
    let (down, right) = (reach(rows, by_row), reach(cols, by_col));
    let first = down.min(0) + right.min(0);
    let len = if rows * cols == 0 { 0 } else { down.max(0) + right.max(0) - first + 1 };
    let data = if len == 0 {
        &[][..]
    } else {
        let start = (frame.at(&view.addr) as *const T).wrapping_offset(first);
        // SAFETY: from the lowest to the highest element, all in one buffer, by contract.
        unsafe { std::slice::from_raw_parts(start, len as usize) }
    };
    MatRef::new(data, (-first) as usize, rows, cols, by_row, by_col)
        .expect("internal: a matrix reaches beyond its own slice")
}
