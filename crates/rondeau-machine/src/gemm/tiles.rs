//! The blocked product: `c` in blocks that keep the operands in the caches, blocks in tiles that keep `c` in
//! registers.
//!
//! The room knows how much to pack and when. It must not know what a kernel does inside a tile.

use super::kernel::{Kernels, Tile};
use super::{MatRef, Scratch, Start};
use crate::Real;
use std::ops::Range;

/// Inner dimension of a block: one packed panel of `b` of this depth fits the first-level cache.
const DEPTH: usize = 256;
/// The same where `b` stays where it is, so in the second-level cache.
const DEPTH_IN_PLACE: usize = 1024;
/// Rows of `a` for which `b` is read so often that packing pays in any case.
const MANY_ROWS: usize = 512;
/// Rows of `b` that are further apart than these bytes share too few sets of the caches.
const FAR: usize = 1024;
/// Rows of `a` in a block, a multiple of every `Kernels::packed_rows`: the packed block fits the second-level
/// cache.
const BLOCK_ROWS: usize = 168;
/// Columns of `b` in a block: the packed block fits the last-level cache.
const BLOCK_COLS: usize = 2048;

/// `c = a·b` or `c += a·b`, none of whose dimensions is zero.
pub(super) fn product<T: Real>(
    kernels: &Kernels<T>,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    c: &mut [T],
    start: Start,
) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let panel = kernels.panel_cols;
    // Packing moves an element once; it pays when the element is read often enough afterwards, or when the
    // kernel cannot read it in place: it needs contiguous rows of `b`, but any strides of `a`.
    let is_far = b.row_stride.unsigned_abs() > FAR / size_of::<T>();
    let is_read_often = m > MANY_ROWS || (m > 64 && is_far);
    let pack_b = b.col_stride != 1 || (is_read_often && k * n > 64 * 64);
    let depth = if pack_b { DEPTH } else { DEPTH_IN_PLACE };
    let pack_a = n > 4 * panel && m * k > 64 * 64;
    let step = if pack_a { kernels.packed_rows } else { kernels.rows };
    let packs = pack_a || pack_b;
    let mut scratch = if packs { T::scratch().take() } else { Scratch::default() };
    for j in blocks(n, BLOCK_COLS) {
        for p in blocks(k, k.div_ceil(k.div_ceil(depth))) {
            let start = if p.start == 0 { start } else { Start::Old };
            let b_tiles = if pack_b {
                pack_panels(kernels, b.transposed(), &j, &p, panel, &mut scratch.b)
            } else {
                Tiles::in_place(b.transposed(), &j, &p, panel)
            };
            for i in blocks(m, BLOCK_ROWS) {
                let a_tiles = if pack_a {
                    pack_panels(kernels, a, &i, &p, step, &mut scratch.a)
                } else {
                    Tiles::in_place(a, &i, &p, step)
                };
                let c = &mut c[i.start * n + j.start..(i.end - 1) * n + j.end];
                // SAFETY: both operands have tiles of depth `p.len()` for all of `i` and `j`, those of `b`
                // with contiguous rows, and the scratch vectors stay as they are until the next packing. The
                // level of `kernels` was checked by `product`.
                unsafe {
                    block(kernels, &a_tiles, &b_tiles, [i.len(), p.len(), j.len()], c, n, start)
                };
            }
        }
    }
    if packs {
        T::scratch().set(scratch);
    }
}

/// The ranges of at most `size` that make up `0..n`.
fn blocks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    // `step_by` would divide, which the smallest products feel.
    let mut from = 0;
    std::iter::from_fn(move || {
        let range = from..n.min(from + size);
        from = range.end;
        (!range.is_empty()).then_some(range)
    })
}

/// One operand of a block, cut into tiles of `width` rows (`b` is seen as its transpose).
struct Tiles<T> {
    first: *const T,
    width: usize,
    /// From one tile to the next.
    skip: isize,
    row_stride: isize,
    col_stride: isize,
}

impl<T: Real> Tiles<T> {
    /// The tiles of rows `i` and columns `p` where they are.
    fn in_place(source: MatRef<'_, T>, i: &Range<usize>, p: &Range<usize>, width: usize) -> Self {
        if cfg!(checked) {
            source.ptr(i.end - 1, p.end - 1);
        }
        Tiles {
            first: source.ptr(i.start, p.start),
            width,
            skip: (width as isize).wrapping_mul(source.row_stride),
            row_stride: source.row_stride,
            col_stride: source.col_stride,
        }
    }

    /// The address of tile `i`, which must be one.
    fn tile(&self, i: usize) -> *const T {
        self.first.wrapping_offset((i as isize).wrapping_mul(self.skip))
    }
}

/// `c = a·b` or `c += a·b` for a block of `c`, which starts at its first element and ends after its last.
///
/// # Safety
/// The instruction set of `kernels` is available. `a` has tiles for `m` rows and `b` for `n`, of `depth` columns,
/// all of them readable; `b` is contiguous along its rows.
unsafe fn block<T: Real>(
    kernels: &Kernels<T>,
    a: &Tiles<T>,
    b: &Tiles<T>,
    [m, depth, n]: [usize; 3],
    c: &mut [T],
    c_stride: usize,
    start: Start,
) {
    assert_eq!(c.len(), (m - 1) * c_stride + n, "internal: a block of the result");
    for (j_tile, j) in blocks(n, b.width).enumerate() {
        for (i_tile, i) in blocks(m, a.width).enumerate() {
            let tile = Tile {
                rows: i.len(),
                cols: j.len(),
                depth,
                a: a.tile(i_tile),
                a_row_stride: a.row_stride,
                a_col_stride: a.col_stride,
                b: b.tile(j_tile),
                b_stride: b.col_stride,
                c: c[i.start * c_stride + j.start..].as_mut_ptr(),
                c_stride,
                start,
            };
            // SAFETY: rows `i` and columns `j` are inside `c` by its length, and the operands are readable
            // by contract.
            unsafe { (kernels.tile)(&tile) };
        }
    }
}

/// Packs rows `i` and columns `p` of `source` into panels of `width` rows.
///
/// A panel holds its elements column after column, `width` at a time; rows that the matrix does not have are
/// zeros. `b` is packed as its own transpose.
fn pack_panels<T: Real>(
    kernels: &Kernels<T>,
    source: MatRef<'_, T>,
    i: &Range<usize>,
    p: &Range<usize>,
    width: usize,
    packed: &mut Vec<T>,
) -> Tiles<T> {
    let size = width * p.len();
    let n_panels = i.len().div_ceil(width);
    if packed.len() < n_panels * size {
        packed.resize(n_panels * size, T::ZERO);
    }
    if source.row_stride == 1 {
        match width {
            32 => pack_columns::<T, 32>(source, i, p, packed),
            16 => pack_columns::<T, 16>(source, i, p, packed),
            14 => pack_columns::<T, 14>(source, i, p, packed),
            8 => pack_columns::<T, 8>(source, i, p, packed),
            6 => pack_columns::<T, 6>(source, i, p, packed),
            _ => unreachable!("internal: panels of {width} rows"),
        }
    } else {
        for (panel, rows) in packed.chunks_exact_mut(size).zip(blocks(i.len(), width)) {
            pack_panel(kernels, source, i.start + rows.start..i.start + rows.end, p, width, panel);
        }
    }
    Tiles {
        first: packed.as_ptr(),
        width,
        skip: size as isize,
        row_stride: 1,
        col_stride: width as isize,
    }
}

/// As [`pack_panels`] for panels of `W` rows of a source whose columns are contiguous: each column is read as
/// it lies, once, and shared out among the panels.
fn pack_columns<T: Real, const W: usize>(
    source: MatRef<'_, T>,
    i: &Range<usize>,
    p: &Range<usize>,
    packed: &mut [T],
) {
    let size = W * p.len();
    for (at, p) in p.clone().enumerate() {
        let first = source.index(i.start, p);
        let (whole, rest) = source.data[first..first + i.len()].as_chunks::<W>();
        let mut places = packed[at * W..].chunks_mut(size);
        for (chunk, place) in whole.iter().zip(&mut places) {
            if let Some(place) = place.first_chunk_mut::<W>() {
                *place = *chunk;
            }
        }
        if !rest.is_empty()
            && let Some(place) = places.next()
        {
            place[..rest.len()].copy_from_slice(rest);
            place[rest.len()..W].fill(T::ZERO);
        }
    }
}

fn pack_panel<T: Real>(
    kernels: &Kernels<T>,
    source: MatRef<'_, T>,
    i: Range<usize>,
    p: &Range<usize>,
    width: usize,
    panel: &mut [T],
) {
    if i.len() < width {
        panel.fill(T::ZERO);
    }
    let mut r = 0;
    while source.col_stride == 1 && r + kernels.strip <= i.len() {
        let (from, to) = (source.ptr(i.start + r, p.start), panel[r..].as_mut_ptr());
        // SAFETY: `strip` rows of `p.len()` contiguous elements of the matrix, into `strip` of the `width`
        // places of each column of the panel; the level of `kernels` was checked by `product`.
        unsafe { (kernels.transpose)(p.len(), from, source.row_stride, to, width) };
        r += kernels.strip;
    }
    for r in r..i.len() {
        for (out, p) in panel[r..].iter_mut().step_by(width).zip(p.clone()) {
            *out = source.data[source.index(i.start + r, p)];
        }
    }
}
