//! Products with weights, and the DAG on them.
//!
//! For a tile of outputs every product is summed into scratch, block by block of 64 bytes of columns, and the
//! DAG's tile program reads it there.

use super::tile::{Job, Space, TILE, Tiles, copy};
use super::{Addr, Frame, Planner, Strided};
use crate::code::{BLOCK_BYTES, MAX_TERMS, Mat, Product, Terms, Weights};
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
    terms: Vec<PlannedTerms>,
    init: Option<Strided>,
    /// The nodes of the DAG that read the sums.
    nodes: Vec<usize>,
    /// Where in scratch the sums go.
    scratch: usize,
}

#[derive(Debug)]
struct PlannedTerms {
    depth: usize,
    source: Strided,
    weights: Placed,
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
        let dtypes: Vec<_> = k.products.iter().map(Product::dtype).collect();
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
            scratch += rows * (cols * p.dtype().size()).next_multiple_of(BLOCK_BYTES);
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
        Planned {
            dtype: p.dtype(),
            terms: p.terms.iter().map(PlannedTerms::new).collect(),
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
            let mut c = 0;
            while c < cols {
                // So many blocks follow each other in all weights.
                let mut blocks = (pitch - c) / B::LANES;
                let mut operands = [Operand::NONE; MAX_TERMS];
                for (operand, terms) in operands.iter_mut().zip(&self.terms) {
                    let (found, n) = terms.operand(frame, row, col + c, cols - c, B::LANES);
                    *operand = found;
                    blocks = blocks.min(n);
                }
                let operands = &operands[..self.terms.len()];
                let out = sums.add(c);
                if blocks > 0 {
                    c += B::LANES * blocks_of::<B>(operands, out, pitch, rows, blocks, chains);
                    continue;
                }
                for r in 0..rows {
                    let out = out.add(r * pitch);
                    *out = one(operands, r, *out, chains);
                }
                c += 1;
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

impl PlannedTerms {
    fn new(terms: &Terms) -> PlannedTerms {
        let weights = match &terms.weights {
            Weights::Packed(view, layout) => Placed::Packed(Addr::new(view), *layout),
            Weights::Strided(view) => {
                Placed::Strided(Addr::new(view), view.strides[0] as isize, view.strides[1] as isize)
            }
        };
        PlannedTerms { depth: terms.depth, source: Strided::new(&terms.source), weights }
    }

    /// What is multiplied from a row and a column on, and how many blocks of the `cols` columns from there follow
    /// each other in the weights.
    ///
    /// # Safety
    /// As [`super::run_step`]; the elements are of type `T`, and the column lies in the iteration space.
    #[inline(always)]
    unsafe fn operand<T>(
        &self,
        frame: &Frame<'_>,
        row: usize,
        col: usize,
        cols: usize,
        lanes: usize,
    ) -> (Operand<T>, usize) {
        let stride = |d: usize| self.source.strides[d] / size_of::<T>() as isize;
        let source = frame.at(&self.source.addr) as *const T;
        let (weights, by_term, blocks) = match &self.weights {
            Placed::Packed(addr, layout) => {
                let at = (frame.at(addr) as *const T).wrapping_add(layout.position(0, col));
                let left = layout.width_at(col) - col % layout.panel;
                (at, layout.width_at(col) as isize, left / lanes)
            }
            Placed::Strided(addr, by_term, by_col) => {
                let at = (frame.at(addr) as *const T).wrapping_offset(col as isize * by_col);
                (at, *by_term, if *by_col == 1 { cols / lanes } else { 0 })
            }
        };
        let operand = Operand {
            source: source.wrapping_offset(row as isize * stride(0)),
            by_row: stride(0),
            by_k: stride(1),
            weights,
            by_term,
            depth: self.depth,
        };
        (operand, blocks)
    }
}

/// Two sides that are multiplied: the source, which is broadcast element by element, and weights. Strides in
/// elements.
#[derive(Clone, Copy)]
struct Operand<T> {
    source: *const T,
    by_row: isize,
    by_k: isize,
    weights: *const T,
    by_term: isize,
    depth: usize,
}

impl<T> Operand<T> {
    const NONE: Operand<T> = Operand {
        source: std::ptr::null(),
        by_row: 0,
        by_k: 0,
        weights: std::ptr::null(),
        by_term: 0,
        depth: 0,
    };

    /// The element that term `k` of a row has from the source.
    #[inline(always)]
    fn at(&self, row: usize, k: usize) -> *const T {
        self.source.wrapping_offset(row as isize * self.by_row + k as isize * self.by_k)
    }

    /// The weights of term `k`, from the column on.
    #[inline(always)]
    fn line(&self, k: usize) -> *const T {
        self.weights.wrapping_offset(k as isize * self.by_term)
    }
}

/// Sums some of the next `blocks` of columns for all rows; returns how many.
///
/// # Safety
/// The operands are valid for `rows`, their depths and `blocks`, `out` for `rows` x `blocks`.
#[inline(always)]
unsafe fn blocks_of<B: Block>(
    operands: &[Operand<B::T>],
    out: *mut B::T,
    pitch: usize,
    rows: usize,
    blocks: usize,
    chains: usize,
) -> usize {
    let mut r = 0;
    // SAFETY: each call stays within the rows and blocks of the contract.
    unsafe {
        let at = |r: usize| out.add(r * pitch);
        match (chains, blocks) {
            (1, 1) => {
                while r + 4 <= rows {
                    block::<B, 1, 4, 1>(operands, r, at(r), pitch);
                    r += 4;
                }
                while r < rows {
                    block::<B, 1, 1, 1>(operands, r, at(r), pitch);
                    r += 1;
                }
                1
            }
            (1, 2..) => {
                while r + 4 <= rows {
                    block::<B, 1, 4, 2>(operands, r, at(r), pitch);
                    r += 4;
                }
                while r < rows {
                    block::<B, 1, 1, 2>(operands, r, at(r), pitch);
                    r += 1;
                }
                2
            }
            _ => {
                while r < rows {
                    match chains {
                        8 => block::<B, 8, 1, 1>(operands, r, at(r), pitch),
                        4 => block::<B, 4, 1, 1>(operands, r, at(r), pitch),
                        _ => block::<B, 2, 1, 1>(operands, r, at(r), pitch),
                    }
                    r += 1;
                }
                1
            }
        }
    }
}

/// Sums `NV` blocks of columns for the `MR` rows from `row` on, in `S` chains.
///
/// # Safety
/// As [`blocks_of`].
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "the indices count three arrays at once")]
unsafe fn block<B: Block, const S: usize, const MR: usize, const NV: usize>(
    operands: &[Operand<B::T>],
    row: usize,
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
        for operand in operands {
            let mut k = 0;
            while k + S <= operand.depth {
                for (s, sums) in sums.iter_mut().enumerate() {
                    term::<B, MR, NV>(operand, row, k + s, sums);
                }
                k += S;
            }
            for (s, sums) in sums.iter_mut().enumerate() {
                if k + s < operand.depth {
                    term::<B, MR, NV>(operand, row, k + s, sums);
                }
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
unsafe fn term<B: Block, const MR: usize, const NV: usize>(
    operand: &Operand<B::T>,
    row: usize,
    k: usize,
    sums: &mut [[B; NV]; MR],
) {
    // SAFETY: by contract.
    unsafe {
        let line = operand.line(k);
        let weights: [B; NV] = std::array::from_fn(|v| B::load(line.add(v * B::LANES)));
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = B::splat(*operand.at(row + r, k));
            for v in 0..NV {
                sums[v] = x.fused(weights[v], sums[v]);
            }
        }
    }
}

/// One output, in the order of [`block`].
///
/// # Safety
/// The operands are valid for the row and their depths.
unsafe fn one<T: crate::scalar::Number>(
    operands: &[Operand<T>],
    row: usize,
    init: T,
    chains: usize,
) -> T {
    let mut sums = [T::ZERO; 8];
    sums[0] = init;
    for operand in operands {
        for k in 0..operand.depth {
            // SAFETY: `k` is below the depth.
            let (x, w) = unsafe { (*operand.at(row, k), *operand.line(k)) };
            sums[k % chains] = x.fused(w, sums[k % chains]);
        }
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
