//! Registers of the x86-64 vector instruction sets, under one name for the kernels.

use std::arch::x86_64::*;

/// A vector register of `LANES` numbers.
///
/// # Safety
/// All functions may only be called (and are only inlined well) where the instruction set of the register is
/// enabled; pointers must be valid for the lanes that are read or written.
pub(super) trait Vector: Copy {
    type Scalar: Copy;
    const LANES: usize;
    unsafe fn splat(x: Self::Scalar) -> Self;
    unsafe fn load(p: *const Self::Scalar) -> Self;
    unsafe fn store(self, p: *mut Self::Scalar);
    /// Loads the first `n < LANES` lanes and zeros the others.
    unsafe fn load_first(p: *const Self::Scalar, n: usize) -> Self;
    /// Stores the first `n < LANES` lanes.
    unsafe fn store_first(self, p: *mut Self::Scalar, n: usize);
    /// Returns `self·factor + addend`, rounded once.
    unsafe fn fused(self, factor: Self, addend: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    /// Adds the upper half of the lanes to the lower one, and so on down to one lane.
    unsafe fn tree_sum(self) -> Self::Scalar;
}

// SAFETY comment of all four implementations: each body is one instruction (or a mask and one instruction)
// whose requirements are those of the trait function.
// The last three arguments look like closures but are substituted: a closure would not inherit the
// instruction set of the function it ends up in.
macro_rules! vector {
    ($v:ident, $t:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident,
     |$v1:ident| $sum:expr, |$p2:ident, $n2:ident| $load_first:expr,
     |$p3:ident, $v3:ident, $n3:ident| $store_first:expr) => {
        impl Vector for $v {
            type Scalar = $t;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                // SAFETY: the instruction set is enabled, by the contract of the trait.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: as `splat`; `p` is valid for all lanes.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: as `splat`; `p` is valid for all lanes.
                unsafe { $store(p, self) }
            }
            #[inline(always)]
            unsafe fn load_first(p: *const $t, n: usize) -> Self {
                // SAFETY: as `splat`; the mask confines the access to `n` lanes.
                unsafe {
                    let ($p2, $n2) = (p, n);
                    $load_first
                }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $t, n: usize) {
                // SAFETY: as `splat`; the mask confines the access to `n` lanes.
                unsafe {
                    let ($p3, $v3, $n3) = (p, self, n);
                    $store_first
                }
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
            #[inline(always)]
            unsafe fn tree_sum(self) -> $t {
                // SAFETY: as `splat`.
                unsafe {
                    let $v1 = self;
                    $sum
                }
            }
        }
    };
}

vector!(
    __m512,
    f32,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    |v| _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)).tree_sum(),
    |p, n| _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, p),
    |p, v, n| _mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as u16, v)
);
vector!(
    __m512d,
    f64,
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_add_pd,
    |v| _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd::<1>(v)).tree_sum(),
    |p, n| _mm512_maskz_loadu_pd(((1u32 << n) - 1) as u8, p),
    |p, v, n| _mm512_mask_storeu_pd(p, ((1u32 << n) - 1) as u8, v)
);
vector!(
    __m256,
    f32,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    |v| {
        let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    },
    |p, n| _mm256_maskload_ps(p, mask_32(n)),
    |p, v, n| _mm256_maskstore_ps(p, mask_32(n), v)
);
vector!(
    __m256d,
    f64,
    4,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_fmadd_pd,
    _mm256_add_pd,
    |v| {
        let two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
        _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
    },
    |p, n| _mm256_maskload_pd(p, mask_64(n)),
    |p, v, n| _mm256_maskstore_pd(p, mask_64(n), v)
);

/// All bits of the first `n` of eight lanes.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn mask_32(n: usize) -> __m256i {
    // SAFETY: AVX2 is enabled, by contract.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes)
    }
}

/// All bits of the first `n` of four lanes.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn mask_64(n: usize) -> __m256i {
    // SAFETY: AVX2 is enabled, by contract.
    unsafe {
        let lanes = _mm256_setr_epi64x(0, 1, 2, 3);
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), lanes)
    }
}

/// Writes the transpose of a square of numbers: `to[c·to_stride + r] = from[r·from_stride + c]`.
///
/// # Safety
/// AVX2 is enabled; both squares are valid and do not overlap.
#[inline(always)]
pub(super) unsafe fn transpose_8x8(
    from: *const f32,
    from_stride: isize,
    to: *mut f32,
    to_stride: usize,
) {
    // SAFETY: by contract.
    unsafe {
        let row = |r: isize| _mm256_loadu_ps(from.offset(r * from_stride));
        let [r0, r1, r2, r3] = [row(0), row(1), row(2), row(3)];
        let [r4, r5, r6, r7] = [row(4), row(5), row(6), row(7)];
        // Pairs of rows, then quads within each 128-bit half, then the halves.
        let pairs = [
            _mm256_unpacklo_ps(r0, r1),
            _mm256_unpackhi_ps(r0, r1),
            _mm256_unpacklo_ps(r2, r3),
            _mm256_unpackhi_ps(r2, r3),
            _mm256_unpacklo_ps(r4, r5),
            _mm256_unpackhi_ps(r4, r5),
            _mm256_unpacklo_ps(r6, r7),
            _mm256_unpackhi_ps(r6, r7),
        ];
        let quad = |h: usize, l: usize| {
            let (x, y) = (_mm256_castps_pd(pairs[h + l]), _mm256_castps_pd(pairs[h + l + 2]));
            let low = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
            let high = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
            [low, high]
        };
        for l in 0..2 {
            let (upper, lower) = (quad(0, l), quad(4, l));
            for s in 0..2 {
                let c = 2 * l + s;
                let first = _mm256_permute2f128_ps::<0x20>(upper[s], lower[s]);
                let second = _mm256_permute2f128_ps::<0x31>(upper[s], lower[s]);
                _mm256_storeu_ps(to.add(c * to_stride), first);
                _mm256_storeu_ps(to.add((c + 4) * to_stride), second);
            }
        }
    }
}

/// As [`transpose_8x8`], for four rows of four doubles.
///
/// # Safety
/// As [`transpose_8x8`].
#[inline(always)]
pub(super) unsafe fn transpose_4x4(
    from: *const f64,
    from_stride: isize,
    to: *mut f64,
    to_stride: usize,
) {
    // SAFETY: by contract.
    unsafe {
        let row = |r: isize| _mm256_loadu_pd(from.offset(r * from_stride));
        let (low, high) = (
            [_mm256_unpacklo_pd(row(0), row(1)), _mm256_unpacklo_pd(row(2), row(3))],
            [_mm256_unpackhi_pd(row(0), row(1)), _mm256_unpackhi_pd(row(2), row(3))],
        );
        for (c, [x, y]) in [low, high].into_iter().enumerate() {
            _mm256_storeu_pd(to.add(c * to_stride), _mm256_permute2f128_pd::<0x20>(x, y));
            _mm256_storeu_pd(to.add((c + 2) * to_stride), _mm256_permute2f128_pd::<0x31>(x, y));
        }
    }
}
