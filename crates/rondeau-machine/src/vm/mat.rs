//! Products with weights, and the DAG on them.
//!
//! For a tile of outputs every product is summed into scratch, block by block of 64 bytes of columns, and the
//! DAG's tile program reads it there.

use super::tile::{Job, Space, TILE, Tiles, copy};
use super::{Addr, Frame, Planner, Strided};
use crate::code::{BLOCK_BYTES, Mat, Product, Weights};
#[cfg(target_arch = "x86_64")]
use crate::cpu::Level;
use crate::dag::{DType, Node};

/// A planned [`Mat`].
#[derive(Debug)]
pub(crate) struct Kernel {
    tiles: Tiles,
    chains: usize,
    products: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    dtype: DType,
    depth: usize,
    source: Strided,
    weights: Placed,
    init: Option<Strided>,
    /// The nodes of the DAG that read the sums.
    nodes: Vec<usize>,
    /// Where in scratch the sums go.
    scratch: usize,
}

/// Where weights lie.
#[derive(Debug)]
enum Placed {
    Packed(Addr, crate::code::Packed),
    /// Strides in elements, for k and for columns.
    Strided(Addr, isize, isize),
}

impl Kernel {
    pub(super) fn new(planner: &mut Planner<'_>, k: &Mat) -> Kernel {
        let dtypes: Vec<_> = k.products.iter().map(|p| p.source.dtype).collect();
        let dtypes = planner.infer(&k.dag, &k.loads, &dtypes, 2);
        let rows = k.rows.clamp(1, 8);
        let cols = k.cols.clamp(1, TILE / rows / 16 * 16);
        let space = Space::rows_and_cols(k.rows, k.cols);
        let job =
            Job { loads: &k.loads, dag: &k.dag, dtypes: &dtypes, stores: &k.stores, keep: &[] };
        let tiles = Tiles::compile(planner, space, (rows, cols), &job);
        let mut scratch = tiles.scratch_bytes();
        let products = k.products.iter().enumerate().map(|(i, p)| {
            let nodes = (0..k.dag.len()).filter(|&n| k.dag[n] == Node::Product(i as u32));
            let planned = Planned::new(p, k, nodes.collect(), scratch);
            scratch += rows * (cols * p.source.dtype.size()).next_multiple_of(BLOCK_BYTES);
            planned
        });
        let products = products.collect();
        planner.reserve(scratch);
        Kernel { tiles, chains: k.chains, products }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        let tiles = &self.tiles;
        // SAFETY: the planner has reserved the scratch, for the tiles and behind them for the products; tiles
        // cover the checked iteration space.
        unsafe {
            tiles.launch(frame, frame.scratch);
            for p in &self.products {
                let at = frame.scratch.add(p.scratch);
                p.nodes.iter().for_each(|&node| tiles.set(frame.scratch, node, at));
            }
            tiles.space.for_each_tile(tiles.shape, |origin, shape| {
                for p in &self.products {
                    p.sum(frame, self.chains, (origin[0], origin[1]), shape);
                }
                tiles.run(frame, frame.scratch, origin, shape);
            });
        }
    }
}

impl Planned {
    fn new(p: &Product, k: &Mat, nodes: Vec<usize>, scratch: usize) -> Planned {
        let weights = match &p.weights {
            Weights::Packed(view, layout) => Placed::Packed(Addr::new(view), *layout),
            Weights::Strided(view) => {
                Placed::Strided(Addr::new(view), view.strides[0] as isize, view.strides[1] as isize)
            }
        };
        Planned {
            dtype: p.source.dtype,
            depth: p.depth,
            source: Strided::new(&p.source),
            weights,
            init: p.init.map(|i| Strided::new(&k.loads[i as usize])),
            nodes,
            scratch,
        }
    }

    /// Leaves the sums of a tile in scratch, without gaps.
    ///
    /// # Safety
    /// As [`super::run_step`]; the tile lies in the kernel's iteration space.
    unsafe fn sum(
        &self,
        frame: &Frame<'_>,
        chains: usize,
        origin: (usize, usize),
        shape: (usize, usize),
    ) {
        // SAFETY: the level is available; the contract is the same.
        unsafe {
            match (self.dtype, frame.level) {
                #[cfg(target_arch = "x86_64")]
                (DType::F64, Level::Avx512) => self.avx512_f64(frame, chains, origin, shape),
                #[cfg(target_arch = "x86_64")]
                (_, Level::Avx512) => self.avx512_f32(frame, chains, origin, shape),
                #[cfg(target_arch = "x86_64")]
                (DType::F64, Level::Avx2) => self.avx2_f64(frame, chains, origin, shape),
                #[cfg(target_arch = "x86_64")]
                (_, Level::Avx2) => self.avx2_f32(frame, chains, origin, shape),
                (DType::F64, _) => self.sum_as::<[f64; 8]>(frame, chains, origin, shape),
                (_, _) => self.sum_as::<[f32; 16]>(frame, chains, origin, shape),
            }
        }
    }

    /// # Safety
    /// As [`Planned::sum`], where the instructions of `B` are enabled and its numbers are of `self.dtype`.
    #[inline(always)]
    unsafe fn sum_as<B: Block>(
        &self,
        frame: &Frame<'_>,
        chains: usize,
        (row, col): (usize, usize),
        (rows, cols): (usize, usize),
    ) {
        let size = size_of::<B::T>();
        let pitch = cols.next_multiple_of(B::LANES);
        // SAFETY: the sums' scratch holds the tile with padded rows; source and weights are valid for the tile.
        unsafe {
            let sums = frame.scratch.add(self.scratch) as *mut B::T;
            let gapless = ((pitch * size) as isize, size as isize);
            match &self.init {
                Some(init) => {
                    let from = frame.at(&init.addr).wrapping_offset(init.offset(&[row, col]));
                    let strides = (init.strides[0], init.strides[1]);
                    copy(size, from, strides, sums as *mut u8, gapless, (rows, cols));
                }
                None => std::ptr::write_bytes(sums as *mut u8, 0, rows * pitch * size),
            }
            let stride = |d: usize| self.source.strides[d] / size as isize;
            let source = Source {
                at: (frame.at(&self.source.addr) as *const B::T).offset(row as isize * stride(0)),
                by_row: stride(0),
                by_k: stride(1),
                depth: self.depth,
            };
            match &self.weights {
                Placed::Packed(addr, layout) => {
                    let at = frame.at(addr) as *const B::T;
                    let mut c = 0;
                    while c < cols {
                        let left = layout.panel - (col + c) % layout.panel;
                        let blocks = left.min(pitch - c) / B::LANES;
                        let weights = at.add(layout.position(0, col + c));
                        let by_k = layout.width_at(col + c) as isize;
                        let out = sums.add(c);
                        c += B::LANES
                            * blocks_of::<B>(
                                source, weights, by_k, out, pitch, rows, blocks, chains,
                            );
                    }
                }
                Placed::Strided(addr, by_k, by_col) => {
                    let at = (frame.at(addr) as *const B::T).offset(col as isize * by_col);
                    let mut c = 0;
                    while c + B::LANES <= cols && *by_col == 1 {
                        let blocks = (cols - c) / B::LANES;
                        let (weights, out) = (at.add(c), sums.add(c));
                        c += B::LANES
                            * blocks_of::<B>(
                                source, weights, *by_k, out, pitch, rows, blocks, chains,
                            );
                    }
                    for r in 0..rows {
                        for c in c..cols {
                            let weights = at.offset(c as isize * by_col);
                            let out = sums.add(r * pitch + c);
                            *out = one(source.row(r), weights, *by_k, *out, chains);
                        }
                    }
                }
            }
            if pitch != cols {
                for r in 1..rows {
                    std::ptr::copy(sums.add(r * pitch), sums.add(r * cols), cols);
                }
            }
        }
    }

    /// # Safety
    /// As [`Planned::sum`], with AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
    unsafe fn avx512_f32(
        &self,
        f: &Frame<'_>,
        chains: usize,
        o: (usize, usize),
        s: (usize, usize),
    ) {
        // SAFETY: the same contract.
        unsafe { self.sum_as::<std::arch::x86_64::__m512>(f, chains, o, s) }
    }

    /// # Safety
    /// As [`Planned::sum`], with AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
    unsafe fn avx512_f64(
        &self,
        f: &Frame<'_>,
        chains: usize,
        o: (usize, usize),
        s: (usize, usize),
    ) {
        // SAFETY: the same contract.
        unsafe { self.sum_as::<std::arch::x86_64::__m512d>(f, chains, o, s) }
    }

    /// # Safety
    /// As [`Planned::sum`], with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2_f32(&self, f: &Frame<'_>, chains: usize, o: (usize, usize), s: (usize, usize)) {
        // SAFETY: the same contract.
        unsafe { self.sum_as::<[std::arch::x86_64::__m256; 2]>(f, chains, o, s) }
    }

    /// # Safety
    /// As [`Planned::sum`], with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2_f64(&self, f: &Frame<'_>, chains: usize, o: (usize, usize), s: (usize, usize)) {
        // SAFETY: the same contract.
        unsafe { self.sum_as::<[std::arch::x86_64::__m256d; 2]>(f, chains, o, s) }
    }
}

/// The side that is broadcast, element by element; strides in elements.
#[derive(Clone, Copy)]
struct Source<T> {
    at: *const T,
    by_row: isize,
    by_k: isize,
    depth: usize,
}

impl<T> Source<T> {
    fn row(self, r: usize) -> Source<T> {
        Source { at: self.at.wrapping_offset(r as isize * self.by_row), ..self }
    }
}

/// Sums some of the next `blocks` of columns for all rows; returns how many.
///
/// # Safety
/// `source` is valid for `rows` x depth, `weights` for depth x `blocks`, `out` for `rows` x `blocks`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a tile has many strides")]
unsafe fn blocks_of<B: Block>(
    source: Source<B::T>,
    weights: *const B::T,
    by_k: isize,
    out: *mut B::T,
    pitch: usize,
    rows: usize,
    blocks: usize,
    chains: usize,
) -> usize {
    let mut r = 0;
    // SAFETY: each call stays within the rows and blocks of the contract.
    unsafe {
        let rows_at = |r: usize| (source.row(r), out.add(r * pitch));
        match (chains, blocks) {
            (1, 1) => {
                while r + 4 <= rows {
                    let (source, out) = rows_at(r);
                    block::<B, 1, 4, 1>(source, weights, by_k, out, pitch);
                    r += 4;
                }
                while r < rows {
                    let (source, out) = rows_at(r);
                    block::<B, 1, 1, 1>(source, weights, by_k, out, pitch);
                    r += 1;
                }
                1
            }
            (1, 2..) => {
                while r + 4 <= rows {
                    let (source, out) = rows_at(r);
                    block::<B, 1, 4, 2>(source, weights, by_k, out, pitch);
                    r += 4;
                }
                while r < rows {
                    let (source, out) = rows_at(r);
                    block::<B, 1, 1, 2>(source, weights, by_k, out, pitch);
                    r += 1;
                }
                2
            }
            _ => {
                while r < rows {
                    let (source, out) = rows_at(r);
                    match chains {
                        8 => block::<B, 8, 1, 1>(source, weights, by_k, out, pitch),
                        4 => block::<B, 4, 1, 1>(source, weights, by_k, out, pitch),
                        _ => block::<B, 2, 1, 1>(source, weights, by_k, out, pitch),
                    }
                    r += 1;
                }
                1
            }
        }
    }
}

/// Sums `NV` blocks of columns for `MR` rows, in `S` chains.
///
/// # Safety
/// As [`blocks_of`].
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "the indices count three arrays at once")]
unsafe fn block<B: Block, const S: usize, const MR: usize, const NV: usize>(
    source: Source<B::T>,
    weights: *const B::T,
    by_k: isize,
    out: *mut B::T,
    pitch: usize,
) {
    // SAFETY: rows, blocks and terms are within the contract.
    unsafe {
        let mut sums = [[[B::zero(); NV]; MR]; S];
        for r in 0..MR {
            for v in 0..NV {
                sums[0][r][v] = B::load(out.add(r * pitch + v * B::LANES));
            }
        }
        let mut k = 0;
        while k + S <= source.depth {
            for (s, sums) in sums.iter_mut().enumerate() {
                terms::<B, MR, NV>(source, weights, by_k, k + s, sums);
            }
            k += S;
        }
        for (s, sums) in sums.iter_mut().enumerate() {
            if k + s < source.depth {
                terms::<B, MR, NV>(source, weights, by_k, k + s, sums);
            }
        }
        let mut half = S / 2;
        while half > 0 {
            for s in 0..half {
                for r in 0..MR {
                    for v in 0..NV {
                        sums[s][r][v] = sums[s][r][v].add(sums[s + half][r][v]);
                    }
                }
            }
            half /= 2;
        }
        for r in 0..MR {
            for v in 0..NV {
                sums[0][r][v].store(out.add(r * pitch + v * B::LANES));
            }
        }
    }
}

/// Adds term `k` to the sums.
///
/// # Safety
/// As [`block`].
#[inline(always)]
unsafe fn terms<B: Block, const MR: usize, const NV: usize>(
    source: Source<B::T>,
    weights: *const B::T,
    by_k: isize,
    k: usize,
    sums: &mut [[B; NV]; MR],
) {
    // SAFETY: by contract.
    unsafe {
        let line = weights.offset(k as isize * by_k);
        let weights: [B; NV] = std::array::from_fn(|v| B::load(line.add(v * B::LANES)));
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = B::splat(*source.row(r).at.offset(k as isize * source.by_k));
            for v in 0..NV {
                sums[v] = x.fused(weights[v], sums[v]);
            }
        }
    }
}

/// One output, in the order of [`block`].
///
/// # Safety
/// `source` and `weights` are valid for the depth.
unsafe fn one<T: crate::scalar::Number>(
    source: Source<T>,
    weights: *const T,
    by_k: isize,
    init: T,
    chains: usize,
) -> T {
    let mut sums = [T::ZERO; 8];
    sums[0] = init;
    for k in 0..source.depth {
        let i = k as isize;
        // SAFETY: `k` is below the depth.
        let (x, w) = unsafe { (*source.at.offset(i * source.by_k), *weights.offset(i * by_k)) };
        sums[k % chains] = x.fused(w, sums[k % chains]);
    }
    let mut half = chains / 2;
    while half > 0 {
        for s in 0..half {
            sums[s] = sums[s].add(sums[s + half]);
        }
        half /= 2;
    }
    sums[0]
}

/// The numbers of [`BLOCK_BYTES`], in registers.
///
/// # Safety
/// Functions may only be called where the instruction set of the registers is enabled; pointers must be valid
/// for a block.
trait Block: Copy {
    type T: crate::scalar::Number;
    const LANES: usize = BLOCK_BYTES / size_of::<Self::T>();
    unsafe fn splat(x: Self::T) -> Self;
    unsafe fn load(at: *const Self::T) -> Self;
    unsafe fn store(self, at: *mut Self::T);
    unsafe fn fused(self, factor: Self, addend: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: by contract.
        unsafe { Self::splat(crate::scalar::Number::ZERO) }
    }
}

macro_rules! portable_block {
    ($t:ident, $lanes:literal) => {
        impl Block for [$t; $lanes] {
            type T = $t;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                [x; $lanes]
            }
            #[inline(always)]
            unsafe fn load(at: *const $t) -> Self {
                // SAFETY: by contract.
                unsafe { (at as *const Self).read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(self, at: *mut $t) {
                // SAFETY: by contract.
                unsafe { (at as *mut Self).write_unaligned(self) }
            }
            #[inline(always)]
            unsafe fn fused(self, factor: Self, addend: Self) -> Self {
                std::array::from_fn(|i| self[i].mul_add(factor[i], addend[i]))
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                std::array::from_fn(|i| self[i] + other[i])
            }
        }
    };
}
portable_block!(f32, 16);
portable_block!(f64, 8);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Block;
    use std::arch::x86_64::*;

    macro_rules! whole {
        ($v:ident, $t:ident, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident) => {
            impl Block for $v {
                type T = $t;
                #[inline(always)]
                unsafe fn splat(x: $t) -> Self {
                    // SAFETY: the instruction set is enabled, by contract.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(at: *const $t) -> Self {
                    // SAFETY: as `splat`; the pointer is valid, by contract.
                    unsafe { $load(at) }
                }
                #[inline(always)]
                unsafe fn store(self, at: *mut $t) {
                    // SAFETY: as `load`.
                    unsafe { $store(at, self) }
                }
                #[inline(always)]
                unsafe fn fused(self, factor: Self, addend: Self) -> Self {
                    // SAFETY: as `splat`.
                    unsafe { $fma(self, factor, addend) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: as `splat`.
                    unsafe { $add(self, other) }
                }
            }
        };
    }
    whole!(
        __m512,
        f32,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps
    );
    whole!(
        __m512d,
        f64,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_add_pd
    );

    macro_rules! halves {
        ($v:ident, $t:ident, $n:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident) => {
            impl Block for [$v; 2] {
                type T = $t;
                #[inline(always)]
                unsafe fn splat(x: $t) -> Self {
                    // SAFETY: the instruction set is enabled, by contract.
                    unsafe { [$splat(x); 2] }
                }
                #[inline(always)]
                unsafe fn load(at: *const $t) -> Self {
                    // SAFETY: as `splat`; the pointer is valid, by contract.
                    unsafe { [$load(at), $load(at.add($n))] }
                }
                #[inline(always)]
                unsafe fn store(self, at: *mut $t) {
                    // SAFETY: as `load`.
                    unsafe {
                        $store(at, self[0]);
                        $store(at.add($n), self[1]);
                    }
                }
                #[inline(always)]
                unsafe fn fused(self, f: Self, a: Self) -> Self {
                    // SAFETY: as `splat`.
                    unsafe { [$fma(self[0], f[0], a[0]), $fma(self[1], f[1], a[1])] }
                }
                #[inline(always)]
                unsafe fn add(self, o: Self) -> Self {
                    // SAFETY: as `splat`.
                    unsafe { [$add(self[0], o[0]), $add(self[1], o[1])] }
                }
            }
        };
    }
    halves!(
        __m256,
        f32,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps
    );
    halves!(
        __m256d,
        f64,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_fmadd_pd,
        _mm256_add_pd
    );
}
