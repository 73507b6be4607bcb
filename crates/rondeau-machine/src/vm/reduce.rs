//! Combining along dimensions.
//!
//! Where the last reduced dimension is the contiguous one, tiles run along it; where the last kept dimension is,
//! tiles run across it and hold sixteen chains for each of their elements. Both combine in the order that
//! [`Combine`] defines.

use super::tile::{Job, Space, TILE, Tiles};
use super::{Frame, Planner, Strided, with_number};
use crate::code::{self, BLOCK_BYTES, Combine, Reduction, View};
use crate::cpu::Level;
use crate::dag::{DType, Val};
use crate::scalar::{Bitwise, combine, identity};

/// The chains of every combination.
const CHAINS: usize = 16;

/// A planned [`code::Reduce`].
#[derive(Debug)]
pub(crate) struct Kernel {
    tiles: Tiles,
    /// How many dimensions of the space are looped over, outside of the chains.
    n_outer: usize,
    /// Whether tiles lie across the last kept dimension.
    across: bool,
    outputs: Vec<Output>,
    /// How many points are reduced.
    n_reduced: usize,
    /// Whether no element stays.
    is_empty: bool,
}

#[derive(Debug)]
struct Output {
    how: Combine,
    value: Val,
    dtype: DType,
    to: Strided,
    /// Where in scratch the chains are.
    scratch: usize,
}

impl Kernel {
    pub(super) fn new(planner: &mut Planner<'_>, k: &code::Reduce) -> Kernel {
        let all = [&k.dims[..], &k.reduced[..]].concat();
        let n_kept = k.dims.len();
        let dtypes = planner.infer(&k.dag, &k.loads, &[], all.len());
        let across = prefers_across(k);
        let space = if across {
            Space::across(&all, n_kept)
        } else {
            Space::new(&all, k.loads.iter(), &k.dag, n_kept).with_a_dim_after(n_kept)
        };
        let shape = if across || space.dims().len() == n_kept + 1 {
            (1, space.cols().clamp(1, TILE))
        } else {
            space.tile()
        };
        let keep: Vec<_> = k.outputs.iter().map(|o| o.value).collect();
        let job = Job { loads: &k.loads, dag: &k.dag, dtypes: &dtypes, stores: &[], keep: &keep };
        let n_outer = if across { n_kept - 1 } else { n_kept };
        let tiles = Tiles::compile(planner, space, shape, &job);
        let mut scratch = tiles.scratch_bytes().next_multiple_of(BLOCK_BYTES);
        let width = if across { shape.1 } else { 1 };
        let outputs = k.outputs.iter().map(|o| {
            let output = Output::new(o, dtypes[o.value.0 as usize], scratch);
            scratch += (CHAINS * width * 8).next_multiple_of(BLOCK_BYTES);
            output
        });
        let outputs = outputs.collect();
        planner.reserve(scratch);
        let n_reduced = k.reduced.iter().product();
        Kernel { tiles, n_outer, across, outputs, n_reduced, is_empty: k.dims.contains(&0) }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        if self.is_empty {
            return;
        }
        // SAFETY: the planner has reserved the scratch.
        unsafe { self.tiles.launch(frame, frame.scratch) };
        let dims = self.tiles.space.dims();
        if self.across {
            let last = dims.len() - 1;
            super::for_each_point(&dims[..self.n_outer], |outer| {
                for first in (0..dims[last]).step_by(self.tiles.shape.1) {
                    let width = self.tiles.shape.1.min(dims[last] - first);
                    // SAFETY: the tile lies in the iteration space.
                    unsafe { self.tile_across(frame, outer, first, width) };
                }
            });
        } else {
            super::for_each_point(&dims[..self.n_outer], |outer| {
                // SAFETY: the point lies in the iteration space.
                unsafe { self.point_along(frame, outer) };
            });
        }
    }

    /// # Safety
    /// As [`super::run_step`]; `outer` lies in the kept dimensions.
    unsafe fn point_along(&self, frame: &Frame<'_>, outer: &[usize]) {
        let mut origin = [0usize; code::MAX_DIMS + 1];
        let dims = self.tiles.space.dims();
        let origin = &mut origin[..dims.len()];
        origin[..outer.len()].copy_from_slice(outer);
        // SAFETY: chains lie in the reserved scratch; tiles in the iteration space.
        unsafe {
            self.start(frame, 1);
            let mut j = 0;
            if self.n_reduced > 0 {
                let n = dims.len();
                let shape = self.tiles.shape;
                // Tiles of the last two dimensions inside of points of the reduced ones before them.
                let n_tiled = if shape.0 > 1 { 2 } else { 1 };
                let middle = &dims[outer.len()..n - n_tiled];
                super::for_each_point(middle, |at| {
                    origin[outer.len()..n - n_tiled].copy_from_slice(at);
                    let rows = if n_tiled == 2 { dims[n - 2] } else { 1 };
                    for row in (0..rows).step_by(shape.0) {
                        for col in (0..dims[n - 1]).step_by(shape.1) {
                            if n_tiled == 2 {
                                origin[n - 2] = row;
                            }
                            origin[n - 1] = col;
                            let part = (shape.0.min(rows - row), shape.1.min(dims[n - 1] - col));
                            self.tiles.run(frame, frame.scratch, origin, part);
                            self.add_along(frame, j, part.0 * part.1);
                            j += part.0 * part.1;
                        }
                    }
                });
            }
            self.finish(frame, outer, 0, 1);
        }
    }

    /// # Safety
    /// As [`super::run_step`]; the columns lie in the last kept dimension.
    unsafe fn tile_across(&self, frame: &Frame<'_>, outer: &[usize], first: usize, width: usize) {
        let mut origin = [0usize; code::MAX_DIMS + 1];
        let dims = self.tiles.space.dims();
        let origin = &mut origin[..dims.len()];
        let last = dims.len() - 1;
        origin[..outer.len()].copy_from_slice(outer);
        origin[last] = first;
        // SAFETY: chains lie in the reserved scratch; tiles in the iteration space.
        unsafe {
            self.start(frame, width);
            let mut j = 0;
            super::for_each_point(&dims[outer.len()..last], |at| {
                origin[outer.len()..last].copy_from_slice(at);
                self.tiles.run(frame, frame.scratch, origin, (1, width));
                for o in &self.outputs {
                    let values = self.tiles.value(frame.scratch, o.value);
                    let chains = frame.scratch.add(o.scratch);
                    if o.is_arg() {
                        with_number!(o.dtype, T, o.step_arg::<T>(chains, values, width, j));
                    } else {
                        let chain = chains.add(j % CHAINS * width * o.dtype.size());
                        accumulate(frame.level, o.how, o.dtype, chain, values, width);
                    }
                }
                j += 1;
            });
            self.finish(frame, outer, first, width);
        }
    }

    /// Sets all chains to the identity.
    ///
    /// # Safety
    /// The chains of `width` elements fit the reserved scratch.
    unsafe fn start(&self, frame: &Frame<'_>, width: usize) {
        for o in &self.outputs {
            // SAFETY: by contract.
            unsafe {
                let chains = frame.scratch.add(o.scratch);
                with_number!(o.dtype, T, {
                    let chains = chains as *mut T;
                    let n = if o.is_arg() { width } else { CHAINS * width };
                    std::slice::from_raw_parts_mut(chains, n).fill(identity::<T>(o.how));
                });
                if o.is_arg() {
                    let indices = o.indices(chains, width);
                    std::slice::from_raw_parts_mut(indices, width).fill(0);
                }
            }
        }
    }

    /// Adds points `j..j + n` to the chains of a single element.
    ///
    /// # Safety
    /// The tile has run and has `n` elements.
    unsafe fn add_along(&self, frame: &Frame<'_>, j: usize, n: usize) {
        for o in &self.outputs {
            // SAFETY: chains lie in the reserved scratch, values in the tile.
            unsafe {
                let values = self.tiles.value(frame.scratch, o.value);
                let chains = frame.scratch.add(o.scratch);
                let size = o.dtype.size();
                if o.is_arg() {
                    for i in 0..n {
                        let value = values.add(i * size);
                        with_number!(o.dtype, T, o.step_arg::<T>(chains, value, 1, j + i));
                    }
                    continue;
                }
                let mut i = 0;
                while i < n {
                    let chain = (j + i) % CHAINS;
                    let run = (CHAINS - chain).min(n - i);
                    let (to, from) = (chains.add(chain * size), values.add(i * size));
                    accumulate(frame.level, o.how, o.dtype, to, from, run);
                    i += run;
                }
            }
        }
    }

    /// Combines the chains and writes the results.
    ///
    /// # Safety
    /// As [`super::run_step`]; the element lies in the kept dimensions.
    unsafe fn finish(&self, frame: &Frame<'_>, outer: &[usize], first: usize, width: usize) {
        for o in &self.outputs {
            let size = o.dtype.size();
            let by_col = if self.across { o.to.strides[outer.len()] } else { 0 };
            let to = frame.at(&o.to.addr);
            let to = to.wrapping_offset(o.to.offset(outer) + by_col * first as isize);
            // SAFETY: chains lie in the reserved scratch, results in the checked view.
            unsafe {
                let chains = frame.scratch.add(o.scratch);
                if o.is_arg() {
                    let from = o.indices(chains, width) as *const u8;
                    super::tile::copy(4, from, (0, 4), to, (0, by_col), (1, width));
                    continue;
                }
                let mut half = CHAINS / 2;
                while half > 0 {
                    let n = half * width;
                    accumulate(frame.level, o.how, o.dtype, chains, chains.add(n * size), n);
                    half /= 2;
                }
                super::tile::copy(size, chains, (0, size as isize), to, (0, by_col), (1, width));
            }
        }
    }
}

impl Output {
    fn new(o: &Reduction, dtype: DType, scratch: usize) -> Output {
        Output { how: o.combine, value: o.value, dtype, to: Strided::new(&o.to), scratch }
    }

    fn is_arg(&self) -> bool {
        matches!(self.how, Combine::ArgMax | Combine::ArgMin)
    }

    /// The best indices so far, after the best values.
    fn indices(&self, chains: *mut u8, width: usize) -> *mut i32 {
        chains.wrapping_add((width * self.dtype.size()).next_multiple_of(8)) as *mut i32
    }

    /// Looks whether point `j` has better values.
    ///
    /// # Safety
    /// `chains` has room for `width` values and indices, `values` for as many values.
    #[inline(always)]
    unsafe fn step_arg<T: Bitwise>(
        &self,
        chains: *mut u8,
        values: *const u8,
        width: usize,
        j: usize,
    ) {
        let (best, indices) = (chains as *mut T, self.indices(chains, width));
        let values = values as *const T;
        for i in 0..width {
            // SAFETY: by contract.
            unsafe {
                let (new, old) = (*values.add(i), *best.add(i));
                let beats = if self.how == Combine::ArgMax { new > old } else { new < old };
                let is_nan = |x: T| x.partial_cmp(&x).is_none();
                if j == 0 || beats && !is_nan(old) || is_nan(new) && !is_nan(old) {
                    *best.add(i) = new;
                    *indices.add(i) = j as i32;
                }
            }
        }
    }
}

/// Whether the contiguous dimension is the last kept one rather than the last reduced one.
fn prefers_across(k: &code::Reduce) -> bool {
    let n = k.dims.len();
    let (Some(&kept), Some(_)) = (k.dims.last(), k.reduced.last()) else {
        return false;
    };
    let steps = |d: usize| move |v: &&View| v.strides[d] == 1;
    let contiguous = |d: usize| k.loads.iter().filter(steps(d)).count();
    kept > 1 && contiguous(n - 1) > contiguous(n + k.reduced.len() - 1)
}

/// `to[i] = combine(to[i], from[i])` for `n` elements.
///
/// # Safety
/// Both are valid for `n` elements and apart; the level is available.
unsafe fn accumulate(
    level: Level,
    how: Combine,
    dtype: DType,
    to: *mut u8,
    from: *const u8,
    n: usize,
) {
    match level {
        // SAFETY: by contract.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx2 => unsafe { accumulate_avx2(how, dtype, to, from, n) },
        // SAFETY: by contract.
        _ => unsafe { accumulate_inline(how, dtype, to, from, n) },
    }
}

/// # Safety
/// As [`accumulate`], with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn accumulate_avx2(how: Combine, dtype: DType, to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: by contract.
    unsafe { accumulate_inline(how, dtype, to, from, n) }
}

/// # Safety
/// As [`accumulate`].
#[inline(always)]
unsafe fn accumulate_inline(how: Combine, dtype: DType, to: *mut u8, from: *const u8, n: usize) {
    with_number!(dtype, T, {
        // SAFETY: by contract.
        let (to, from) = unsafe {
            (
                std::slice::from_raw_parts_mut(to as *mut T, n),
                std::slice::from_raw_parts(from as *const T, n),
            )
        };
        match how {
            Combine::Sum => each(to, from, |a, b| combine(Combine::Sum, a, b)),
            Combine::Prod => each(to, from, |a, b| combine(Combine::Prod, a, b)),
            Combine::Max | Combine::ArgMax => each(to, from, |a, b| combine(Combine::Max, a, b)),
            Combine::Min | Combine::ArgMin => each(to, from, |a, b| combine(Combine::Min, a, b)),
            Combine::And => each(to, from, |a, b| combine(Combine::And, a, b)),
            Combine::Or => each(to, from, |a, b| combine(Combine::Or, a, b)),
            Combine::Xor => each(to, from, |a, b| combine(Combine::Xor, a, b)),
        }
    });
}

#[inline(always)]
fn each<T: Copy>(to: &mut [T], from: &[T], f: impl Fn(T, T) -> T) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f(*to, from);
    }
}
