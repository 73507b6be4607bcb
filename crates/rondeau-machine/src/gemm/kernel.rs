//! The loops that touch numbers, compiled once per instruction set and element type.

use super::Start;

/// One tile of `c` and the operands that it needs.
#[derive(Debug)]
pub(super) struct Tile<T> {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) depth: usize,
    pub(super) a: *const T,
    pub(super) a_row_stride: isize,
    pub(super) a_col_stride: isize,
    /// Rows of contiguous elements: `cols` of them, or a whole panel if packed.
    pub(super) b: *const T,
    pub(super) b_stride: isize,
    pub(super) c: *mut T,
    pub(super) c_stride: usize,
    pub(super) start: Start,
}

/// The kernels of one instruction set.
///
/// # Safety
/// Every function requires the instruction set, and pointers valid for what its comment says.
#[derive(Debug)]
pub(super) struct Kernels<T: 'static> {
    /// Rows of a tile that reads `a` in place.
    pub(super) rows: usize,
    /// Rows of a tile that reads packed `a`: constant offsets leave registers for more rows.
    pub(super) packed_rows: usize,
    /// Columns of a tile.
    pub(super) panel_cols: usize,
    /// Rows that `transpose` takes at a time.
    pub(super) strip: usize,
    /// `c = a·b` or `c += a·b` for one tile of at most `packed_rows` by `panel_cols`; a tile of more than
    /// `rows` rows has `a` packed.
    pub(super) tile: unsafe fn(&Tile<T>),
    /// `y = rows·x` or `y += rows·x`: `y.len()` rows of `x.len()` elements from the pointer on, this stride
    /// apart.
    pub(super) dots: unsafe fn(&mut [T], *const T, isize, &[T], Start),
    /// `y += columns·x`: columns of `y.len()` elements from the pointer on, this stride apart.
    pub(super) columns: unsafe fn(&mut [T], *const T, isize, &[T]),
    /// Transposes `strip` rows of `depth` elements, this stride apart, into columns this stride apart.
    pub(super) transpose: unsafe fn(usize, *const T, isize, *mut T, usize),
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{AVX2_F32, AVX2_F64, AVX512_F32, AVX512_F64};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::DOT_LANES;
    use super::super::vector::{Vector, transpose_4x4, transpose_8x8};
    use super::{Kernels, Start, Tile};
    use std::arch::x86_64::*;

    /// Whether the last vector of a row of the tile is whole.
    const WHOLE: bool = true;
    const PARTIAL: bool = false;

    /// The tile of `R` rows by `N` vectors.
    ///
    /// # Safety
    /// The instruction set of `V` is enabled, and the tile is valid.
    #[inline(always)]
    unsafe fn tile<V: Vector, const R: usize, const N: usize, const LAST: bool>(
        t: &Tile<V::Scalar>,
        zero: V::Scalar,
    ) {
        let n_last = t.cols - (N - 1) * V::LANES;
        // SAFETY: the tile is valid by contract: `R` rows, and columns up to `n_last` of vector `N - 1`.
        unsafe {
            let load = |p: *const V::Scalar, n: usize| {
                let p = p.add(n * V::LANES);
                if LAST == WHOLE || n < N - 1 { V::load(p) } else { V::load_first(p, n_last) }
            };
            let mut acc = [[V::splat(zero); N]; R];
            if t.start == Start::Old {
                for (r, acc) in acc.iter_mut().enumerate() {
                    for (n, acc) in acc.iter_mut().enumerate() {
                        *acc = load(t.c.add(r * t.c_stride), n);
                    }
                }
            }
            let (mut a, mut b) = (t.a, t.b);
            for _ in 0..t.depth {
                let mut row = [V::splat(zero); N];
                for (n, row) in row.iter_mut().enumerate() {
                    *row = load(b, n);
                }
                for (r, acc) in acc.iter_mut().enumerate() {
                    let factor = V::splat(*a.offset(r as isize * t.a_row_stride));
                    for (acc, row) in acc.iter_mut().zip(row) {
                        *acc = factor.fused(row, *acc);
                    }
                }
                a = a.wrapping_offset(t.a_col_stride);
                b = b.wrapping_offset(t.b_stride);
            }
            for (r, acc) in acc.iter().enumerate() {
                for (n, acc) in acc.iter().enumerate() {
                    let p = t.c.add(r * t.c_stride + n * V::LANES);
                    if LAST == WHOLE || n < N - 1 {
                        acc.store(p);
                    } else {
                        acc.store_first(p, n_last);
                    }
                }
            }
        }
    }

    /// As [`tile`], where `a` is packed in panels of exactly `R` rows.
    ///
    /// # Safety
    /// As [`tile`].
    #[inline(always)]
    unsafe fn tile_packed<V: Vector, const R: usize, const N: usize, const LAST: bool>(
        t: &Tile<V::Scalar>,
        zero: V::Scalar,
    ) {
        // SAFETY: the same tile, with strides that the compiler can see.
        unsafe {
            tile::<V, R, N, LAST>(&Tile { a_row_stride: 1, a_col_stride: R as isize, ..*t }, zero)
        }
    }

    /// `R` dot products, the chains of each in `N` registers.
    ///
    /// # Safety
    /// The instruction set of `V` is enabled; `R` rows from `a` on have `x.len()` elements.
    #[inline(always)]
    unsafe fn dot<V: Vector, const R: usize, const N: usize>(
        a: *const V::Scalar,
        stride: isize,
        x: &[V::Scalar],
        zero: V::Scalar,
    ) -> [V::Scalar; R] {
        const { assert!(N * V::LANES == DOT_LANES && N.is_power_of_two()) };
        // SAFETY: `p + DOT_LANES <= x.len()` in the loop; after it, only the lanes below `rest` are read.
        unsafe {
            let mut acc = [[V::splat(zero); N]; R];
            let mut p = 0;
            while p + DOT_LANES <= x.len() {
                for n in 0..N {
                    let at = p + n * V::LANES;
                    let x = V::load(x.as_ptr().add(at));
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let a = V::load(a.offset(r as isize * stride).add(at));
                        acc[n] = a.fused(x, acc[n]);
                    }
                }
                p += DOT_LANES;
            }
            if p < x.len() {
                for n in 0..N {
                    let at = p + n * V::LANES;
                    let rest = x.len().saturating_sub(at);
                    let load = |q: *const V::Scalar| match rest {
                        0 => V::splat(zero),
                        rest if rest < V::LANES => V::load_first(q.add(at), rest),
                        _ => V::load(q.add(at)),
                    };
                    let x = load(x.as_ptr());
                    for (r, acc) in acc.iter_mut().enumerate() {
                        acc[n] = load(a.offset(r as isize * stride)).fused(x, acc[n]);
                    }
                }
            }
            // The tree of `portable::tree_sum`: halves of the registers, then halves of the last one.
            let mut sums = [zero; R];
            for (sum, mut acc) in sums.iter_mut().zip(acc) {
                let mut half = N / 2;
                while half > 0 {
                    for n in 0..half {
                        acc[n] = acc[n].add(acc[n + half]);
                    }
                    half /= 2;
                }
                *sum = acc[0].tree_sum();
            }
            sums
        }
    }

    /// `y += columns·x` for `R` columns, the sums passing through memory.
    ///
    /// # Safety
    /// The instruction set of `V` is enabled; `R` columns from `a` on have `y.len()` elements, and `x` has `R`.
    #[inline(always)]
    unsafe fn columns<V: Vector, const R: usize>(
        y: &mut [V::Scalar],
        a: *const V::Scalar,
        stride: isize,
        x: *const V::Scalar,
    ) {
        // SAFETY: `i + LANES <= y.len()` in the loop; after it, only the lanes below the rest are touched.
        unsafe {
            let mut factors = [V::splat(*x); R];
            for (r, factor) in factors.iter_mut().enumerate() {
                *factor = V::splat(*x.add(r));
            }
            let mut i = 0;
            while i + V::LANES <= y.len() {
                let mut acc = V::load(y.as_ptr().add(i));
                for (r, &factor) in factors.iter().enumerate() {
                    acc = factor.fused(V::load(a.offset(r as isize * stride).add(i)), acc);
                }
                acc.store(y.as_mut_ptr().add(i));
                i += V::LANES;
            }
            let rest = y.len() - i;
            if rest > 0 {
                let mut acc = V::load_first(y.as_ptr().add(i), rest);
                for (r, &factor) in factors.iter().enumerate() {
                    let column = a.offset(r as isize * stride).add(i);
                    acc = factor.fused(V::load_first(column, rest), acc);
                }
                acc.store_first(y.as_mut_ptr().add(i), rest);
            }
        }
    }

    /// Picks the tile function by its number of rows.
    macro_rules! by_rows {
        ($v:ident, $t:ident, $n:literal, $last:ident, [$($r:literal)*]) => {
            match $t.rows {
                $($r => tile::<$v, $r, $n, $last>($t, 0.0),)*
                rows => unreachable!("internal: a tile of {rows} rows"),
            }
        };
    }

    /// One table of kernels. `rows` lists the tiles that read `a` in place, `short` the numbers of vectors in
    /// the one row of a short sum of columns.
    macro_rules! kernels {
        ($table:ident, $module:ident, $t:ident, $v:ident, $features:literal, lanes $lanes:literal,
         rows [$($r:literal)*] of $rows:literal, packed $packed:literal, dot $dot_rows:literal,
         transpose $transpose:ident $square:literal) => {
            pub(crate) static $table: Kernels<$t> = Kernels {
                rows: $rows,
                packed_rows: $packed,
                panel_cols: 2 * $lanes,
                strip: $square,
                tile: $module::tile_any,
                dots: $module::dots_any,
                columns: $module::columns_any,
                transpose: $module::transpose_any,
            };

            mod $module {
                use super::*;

                /// # Safety
                /// As [`Kernels`] says.
                #[target_feature(enable = $features)]
                pub(super) unsafe fn tile_any(t: &Tile<$t>) {
                    // SAFETY: the features are enabled here, and the tile is valid by contract.
                    unsafe {
                        let packed = t.rows == $packed && t.a_row_stride == 1 && t.a_col_stride == $packed;
                        match (t.cols, packed) {
                            (c, true) if c == 2 * $lanes => {
                                tile_packed::<$v, $packed, 2, WHOLE>(t, 0.0)
                            }
                            (c, true) if c > $lanes => tile_packed::<$v, $packed, 2, PARTIAL>(t, 0.0),
                            (c, true) if c == $lanes => tile_packed::<$v, $packed, 1, WHOLE>(t, 0.0),
                            (_, true) => tile_packed::<$v, $packed, 1, PARTIAL>(t, 0.0),
                            (_, false) if t.rows > $rows => {
                                let (a_skip, c_skip) = ($rows * t.a_row_stride, $rows * t.c_stride);
                                tile_any(&Tile { rows: $rows, ..*t });
                                tile_any(&Tile {
                                    rows: t.rows - $rows,
                                    a: t.a.offset(a_skip),
                                    c: t.c.add(c_skip),
                                    ..*t
                                });
                            }
                            (c, false) if c == 2 * $lanes => by_rows!($v, t, 2, WHOLE, [$($r)*]),
                            (c, false) if c > $lanes => by_rows!($v, t, 2, PARTIAL, [$($r)*]),
                            (c, false) if c == $lanes => by_rows!($v, t, 1, WHOLE, [$($r)*]),
                            (_, false) => by_rows!($v, t, 1, PARTIAL, [$($r)*]),
                        }
                    }
                }

                /// # Safety
                /// As [`Kernels`] says.
                #[target_feature(enable = $features)]
                pub(super) unsafe fn dots_any(
                    y: &mut [$t],
                    a: *const $t,
                    stride: isize,
                    x: &[$t],
                    start: Start,
                ) {
                    const N: usize = DOT_LANES / $lanes;
                    let set = |y: &mut [$t], sums: &[$t]| {
                        for (y, &sum) in y.iter_mut().zip(sums) {
                            *y = match start {
                                Start::Zero => sum,
                                Start::Old => *y + sum,
                            };
                        }
                    };
                    let mut i = 0;
                    // SAFETY: the features are enabled here; rows below `y.len()` are valid by contract.
                    unsafe {
                        while y.len() - i >= $dot_rows {
                            let a = a.offset(i as isize * stride);
                            set(&mut y[i..], &dot::<$v, $dot_rows, N>(a, stride, x, 0.0));
                            i += $dot_rows;
                        }
                        while i < y.len() {
                            let a = a.offset(i as isize * stride);
                            set(&mut y[i..], &dot::<$v, 1, N>(a, stride, x, 0.0));
                            i += 1;
                        }
                    }
                }

                /// # Safety
                /// As [`Kernels`] says.
                #[target_feature(enable = $features)]
                pub(super) unsafe fn columns_any(y: &mut [$t], a: *const $t, stride: isize, x: &[$t]) {
                    // A short result stays in registers: it is a tile of one row, with `x` for `a`.
                    // SAFETY: the features are enabled here; the columns are valid by contract, and each
                    // step below takes as many of them as it consumes elements of `x`.
                    unsafe {
                        let vectors = y.len() / $lanes;
                        let mut from = 0;
                        if vectors <= 8 {
                            let mut t = Tile {
                                rows: 1,
                                cols: 0,
                                depth: x.len(),
                                a: x.as_ptr(),
                                a_row_stride: 0,
                                a_col_stride: 1,
                                b: a,
                                b_stride: stride,
                                c: y.as_mut_ptr(),
                                c_stride: y.len(),
                                start: Start::Old,
                            };
                            t.cols = vectors * $lanes;
                            match vectors {
                                1 => tile::<$v, 1, 1, WHOLE>(&t, 0.0),
                                2 => tile::<$v, 1, 2, WHOLE>(&t, 0.0),
                                3 => tile::<$v, 1, 3, WHOLE>(&t, 0.0),
                                4 => tile::<$v, 1, 4, WHOLE>(&t, 0.0),
                                5 => tile::<$v, 1, 5, WHOLE>(&t, 0.0),
                                6 => tile::<$v, 1, 6, WHOLE>(&t, 0.0),
                                7 => tile::<$v, 1, 7, WHOLE>(&t, 0.0),
                                8 => tile::<$v, 1, 8, WHOLE>(&t, 0.0),
                                _ => {}
                            }
                            from = vectors * $lanes;
                            if from < y.len() {
                                t.cols = y.len() - from;
                                t.b = t.b.add(from);
                                t.c = t.c.add(from);
                                tile::<$v, 1, 1, PARTIAL>(&t, 0.0);
                            }
                            return;
                        }
                        while from + 8 <= x.len() {
                            let a = a.offset(from as isize * stride);
                            columns::<$v, 8>(y, a, stride, x.as_ptr().add(from));
                            from += 8;
                        }
                        while from < x.len() {
                            let a = a.offset(from as isize * stride);
                            columns::<$v, 1>(y, a, stride, x.as_ptr().add(from));
                            from += 1;
                        }
                    }
                }

                /// # Safety
                /// As [`Kernels`] says.
                #[target_feature(enable = $features)]
                pub(super) unsafe fn transpose_any(
                    depth: usize,
                    from: *const $t,
                    from_stride: isize,
                    to: *mut $t,
                    to_stride: usize,
                ) {
                    // SAFETY: the features are enabled here; the squares below tile the two blocks, which
                    // are valid by contract.
                    unsafe {
                        let mut p = 0;
                        while p + $square <= depth {
                            $transpose(from.add(p), from_stride, to.add(p * to_stride), to_stride);
                            p += $square;
                        }
                        for p in p..depth {
                            for r in 0..$square {
                                let x = *from.offset(r as isize * from_stride).add(p);
                                *to.add(p * to_stride + r) = x;
                            }
                        }
                    }
                }
            }
        };
    }

    kernels!(
        AVX512_F32, avx512_f32, f32, __m512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma", lanes 16,
        rows [1 2 3 4 5 6 7 8] of 8, packed 14, dot 4, transpose transpose_8x8 8
    );
    kernels!(
        AVX512_F64, avx512_f64, f64, __m512d, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma", lanes 8,
        rows [1 2 3 4 5 6 7 8] of 8, packed 14, dot 4, transpose transpose_4x4 4
    );
    kernels!(
        AVX2_F32, avx2_f32, f32, __m256, "avx2,fma", lanes 8,
        rows [1 2 3 4] of 4, packed 6, dot 2, transpose transpose_8x8 8
    );
    kernels!(
        AVX2_F64, avx2_f64, f64, __m256d, "avx2,fma", lanes 4,
        rows [1 2 3 4] of 4, packed 6, dot 1, transpose transpose_4x4 4
    );
}
