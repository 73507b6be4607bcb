//! Matrix products: `c = a·b` and `c += a·b`, for operands in any strided layout.
//!
//! The room knows matrices as strided views of slices. It must not know arrays, shapes of higher rank or
//! broadcasting: a batched product is a loop of its caller.
//!
//! # Summation order
//! Every element of a product is one chain of fused multiply-adds over the inner index in ascending order,
//! started from zero (or from the old `c`):
//! `c[i,j] = fma(a[i,k-1], b[k-1,j], … fma(a[i,0], b[0,j], 0))`.
//! Blocking does not break the chain, because a tile is loaded back before it is continued. The one exception,
//! if the caller allows it by [`Order::Lanes`], is a matrix times a vector where the inner index is the
//! contiguous one: there [`DOT_LANES`] chains run side by side and are added as a balanced tree. So the bits of
//! a result depend on that, never on the instruction set, the blocking or the alignment; with [`Order::Chain`]
//! they do not even depend on layout or on how many rows are computed together. The safe code of `portable` is at
//! once the fallback, the definition and the oracle. No term is skipped: `0·inf` is NaN here as anywhere.

mod kernel;
mod portable;
#[cfg(test)]
mod tests;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod vector;

use crate::Real;
use crate::cpu::{self, Level};
use kernel::Kernels;

/// How many chains a dot product over contiguous operands runs side by side.
///
/// The remainder is padded with zeros, chain `l` takes the terms `l, l + 32, l + 64, …`, and the chains are
/// added in halves: `s[l] + s[l + 16]`, then `s[l] + s[l + 8]`, down to one.
pub const DOT_LANES: usize = 32;

/// A matrix read through strides: element `(i, j)` is `data[offset + i·row_stride + j·col_stride]`.
///
/// The fields are private because the kernels rely on one invariant: every element is inside `data`.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    data: &'a [T],
    offset: usize,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

impl<'a, T: Copy> MatRef<'a, T> {
    /// Returns the view, or `None` if one of its elements would be outside `data`.
    ///
    /// Strides count elements; they may be zero (a repeated row or column) or negative (a reversed one). A
    /// matrix without elements needs no data.
    pub fn new(
        data: &'a [T],
        offset: usize,
        rows: usize,
        cols: usize,
        row_stride: isize,
        col_stride: isize,
    ) -> Option<Self> {
        if rows > 0 && cols > 0 {
            let reach = |n: usize, stride: isize| (n as i128 - 1) * stride as i128;
            let (down, right) = (reach(rows, row_stride), reach(cols, col_stride));
            // Saturated sums are far outside any slice, as the true ones are.
            let first = (offset as i128).saturating_add(down.min(0)).saturating_add(right.min(0));
            let last = (offset as i128).saturating_add(down.max(0)).saturating_add(right.max(0));
            if first < 0 || last >= data.len() as i128 {
                return None;
            }
        }
        Some(MatRef { data, offset, rows, cols, row_stride, col_stride })
    }

    /// Returns `data` as a matrix whose rows are contiguous, or `None` if its length is not `rows·cols`.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Option<Self> {
        if data.len() != rows.checked_mul(cols)? {
            return None;
        }
        MatRef::new(data, 0, rows, cols, cols as isize, 1)
    }

    /// Returns the same elements with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        MatRef {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Returns element `(i, j)`.
    ///
    /// # Panics
    /// If `i` or `j` is outside the matrix.
    #[inline]
    pub fn at(&self, i: usize, j: usize) -> T {
        assert!(i < self.rows && j < self.cols, "internal: ({i}, {j}) outside the matrix");
        self.data[self.index(i, j)]
    }

    #[inline(always)]
    fn index(&self, i: usize, j: usize) -> usize {
        // Inside `data` for elements of the matrix, so the wrapped sum is the true one.
        self.offset
            .wrapping_add_signed((i as isize).wrapping_mul(self.row_stride))
            .wrapping_add_signed((j as isize).wrapping_mul(self.col_stride))
    }

    /// The address of element `(i, j)`, which must be one.
    #[inline(always)]
    fn ptr(&self, i: usize, j: usize) -> *const T {
        debug_assert!(i < self.rows && j < self.cols);
        if cfg!(checked) {
            assert!(self.index(i, j) < self.data.len(), "internal: address outside the matrix");
        }
        self.data.as_ptr().wrapping_add(self.index(i, j))
    }
}

/// In which order the terms of an element are summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// One ascending chain, however the operands lie.
    #[default]
    Chain,
    /// [`DOT_LANES`] chains where a matrix with contiguous rows meets a vector, which is faster there.
    Lanes,
}

/// What becomes of the old contents of `c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// `c = a·b`
    Zero,
    /// `c += a·b`
    Old,
}

/// Overwrites the row-major `c` with `a·b`.
///
/// `c` has `a.rows()·b.cols()` elements; if the inner dimension is zero it is filled with zeros.
///
/// # Panics
/// If the inner dimensions differ or `c` has another length.
///
/// # Examples
/// ```
/// use rondeau_machine::gemm::{MatRef, Order, gemm};
/// let a = MatRef::row_major(&[1.0f32, 2.0, 3.0, 4.0], 2, 2).unwrap();
/// let mut c = [0.0; 4];
/// gemm(a, a.transposed(), &mut c, Order::Chain);
/// assert_eq!(c, [5.0, 11.0, 11.0, 25.0]);
/// ```
pub fn gemm<T: Real>(a: MatRef<'_, T>, b: MatRef<'_, T>, c: &mut [T], order: Order) {
    product(cpu::level(), a, b, c, Start::Zero, order);
}

/// Adds `a·b` to the row-major `c`, continuing the chain of each element from its old value.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_add<T: Real>(a: MatRef<'_, T>, b: MatRef<'_, T>, c: &mut [T], order: Order) {
    product(cpu::level(), a, b, c, Start::Old, order);
}

pub(crate) mod sealed {
    use super::{Kernels, Level, Scratch};

    /// The tables of a type.
    pub trait Sealed: Sized + 'static {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can name or call it")]
        fn kernels(level: Level) -> Option<&'static Kernels<Self>>;
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can name or call it")]
        fn scratch() -> &'static std::thread::LocalKey<std::cell::Cell<Scratch<Self>>>;
    }
}

/// The packed operands of the product under way; one per thread and type, kept for the next call.
#[derive(Debug)]
struct Scratch<T> {
    a: Vec<T>,
    b: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Scratch { a: Vec::new(), b: Vec::new() }
    }
}

macro_rules! impl_sealed {
    ($t:ident, $avx2:ident, $avx512:ident) => {
        #[expect(private_interfaces, reason = "sealed: nobody outside can name or call it")]
        impl sealed::Sealed for $t {
            fn kernels(level: Level) -> Option<&'static Kernels<$t>> {
                match level {
                    Level::Portable => None,
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => Some(&kernel::$avx2),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => Some(&kernel::$avx512),
                    #[cfg(not(target_arch = "x86_64"))]
                    Level::Avx2 | Level::Avx512 => None,
                }
            }

            fn scratch() -> &'static std::thread::LocalKey<std::cell::Cell<Scratch<$t>>> {
                thread_local! {
                    static SCRATCH: std::cell::Cell<Scratch<$t>> = const {
                        std::cell::Cell::new(Scratch { a: Vec::new(), b: Vec::new() })
                    };
                }
                &SCRATCH
            }
        }
    };
}
impl_sealed!(f32, AVX2_F32, AVX512_F32);
impl_sealed!(f64, AVX2_F64, AVX512_F64);

fn product<T: Real>(
    level: Level,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    c: &mut [T],
    start: Start,
    order: Order,
) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(k, b.rows, "internal: the inner dimensions of a product differ");
    assert_eq!(Some(c.len()), m.checked_mul(n), "internal: the result of a product does not fit");
    assert!(level <= cpu::level(), "internal: {level:?} is not available");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if start == Start::Zero {
            c.fill(T::ZERO);
        }
        return;
    }
    let Some(kernels) = T::kernels(level) else {
        return portable::product(a, b, c, start, order);
    };
    match Form::of(&a, &b, order) {
        Form::Dots { rows, x } => with_contiguous(x, |x| dots(kernels, rows, x, c, start)),
        Form::Columns { columns, x } => {
            if start == Start::Zero {
                c.fill(T::ZERO);
            }
            with_contiguous(x, |x| add_columns(kernels, columns, x, c));
        }
        Form::Tiles => tiles::product(kernels, a, b, c, start),
    }
}

/// How a product is computed; the choice is part of the definition, since it fixes the summation order.
#[derive(Debug)]
enum Form<'a, T> {
    /// A matrix with contiguous rows times the vector `x` (the one column of `x`): a dot product per row.
    Dots { rows: MatRef<'a, T>, x: MatRef<'a, T> },
    /// A matrix with contiguous columns times a vector: a sum of columns.
    Columns { columns: MatRef<'a, T>, x: MatRef<'a, T> },
    /// Everything else.
    Tiles,
}

impl<'a, T: Copy> Form<'a, T> {
    fn of(a: &MatRef<'a, T>, b: &MatRef<'a, T>, order: Order) -> Self {
        // (x·B)ᵀ = Bᵀ·xᵀ, and a vector is contiguous either way.
        let (matrix, x) = match (a.rows, b.cols) {
            (_, 1) => (*a, *b),
            (1, _) => (b.transposed(), a.transposed()),
            _ => return Form::Tiles,
        };
        if matrix.col_stride == 1 && order == Order::Lanes {
            Form::Dots { rows: matrix, x }
        } else if matrix.row_stride == 1 {
            Form::Columns { columns: matrix, x }
        } else {
            Form::Tiles
        }
    }
}

/// Calls `f` with the one column of `x` as a slice, copied only if it is not one already.
fn with_contiguous<T: Real>(x: MatRef<'_, T>, f: impl FnOnce(&[T])) {
    if x.row_stride == 1 {
        return f(&x.data[x.offset..x.offset + x.rows]);
    }
    let mut scratch = T::scratch().take();
    scratch.a.clear();
    scratch.a.extend((0..x.rows).map(|p| x.at(p, 0)));
    f(&scratch.a);
    T::scratch().set(scratch);
}

/// `y = rows·x` or `y += rows·x`
fn dots<T: Real>(kernels: &Kernels<T>, rows: MatRef<'_, T>, x: &[T], y: &mut [T], start: Start) {
    assert_eq!((rows.rows, rows.cols), (y.len(), x.len()));
    // SAFETY: each of the `y.len()` rows has `x.len()` contiguous elements inside the matrix; the level of
    // `kernels` was checked by `product`.
    unsafe { (kernels.dots)(y, rows.ptr(0, 0), rows.row_stride, x, start) }
}

/// `y += columns·x`
fn add_columns<T: Real>(kernels: &Kernels<T>, columns: MatRef<'_, T>, x: &[T], y: &mut [T]) {
    assert_eq!((columns.rows, columns.cols), (y.len(), x.len()));
    // SAFETY: each of the `x.len()` columns has `y.len()` contiguous elements inside the matrix; the level of
    // `kernels` was checked by `product`.
    unsafe { (kernels.columns)(y, columns.ptr(0, 0), columns.col_stride, x) }
}
