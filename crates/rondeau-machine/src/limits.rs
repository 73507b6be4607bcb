//! What one core can do at best, measured: the rates that bound the time of a computation from below.
//!
//! The room times its own small loops and nothing else. All rates are the best of several runs, since whatever
//! else the machine does can only lower them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::code::BLOCK_BYTES;
use crate::cpu::{self, Level};
use crate::math::{Function, apply};

/// The sizes of the ranges whose reading is timed, smallest first.
pub const READ_BYTES: [usize; 9] =
    [16 << 10, 32 << 10, 64 << 10, 256 << 10, 512 << 10, 2 << 20, 4 << 20, 16 << 20, 128 << 20];

/// The rates of one core for f32; nanoseconds, and operations or bytes a nanosecond.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Floating-point operations a nanosecond by fused multiply-adds, which count as two.
    pub flops_per_ns: f64,
    /// The time from the operand of a fused multiply-add to its result.
    pub fma_ns: f64,
    /// The time of a sigmoid, one of many.
    pub sigmoid_ns: f64,
    /// The time of a hyperbolic tangent, one of many.
    pub tanh_ns: f64,
    /// The sizes of [`READ_BYTES`], each with the bytes read a nanosecond when a range of that size is read over
    /// and over; they fall from size to size.
    pub reads: Vec<(usize, f64)>,
}

impl Limits {
    /// Measures the core that runs this, for about the time given; 300 ms are enough.
    ///
    /// It allocates the largest of [`READ_BYTES`].
    ///
    /// # Examples
    /// ```
    /// use rondeau_machine::limits::Limits;
    /// let limits = Limits::measure(std::time::Duration::from_millis(20));
    /// assert!(limits.flops_per_ns > 0.0 && limits.reads[0].1 >= limits.reads[8].1);
    /// ```
    pub fn measure(budget: Duration) -> Limits {
        let level = cpu::level();
        let each = budget / (READ_BYTES.len() as u32 + 4);
        let rounds = 20_000;
        let fma = best_ns(each, || chains(level, black_box(rounds)));
        let one = best_ns(each, || chain(level, black_box(rounds)));
        let x: Vec<f32> = (0..1024).map(|i| (i as f32 + 0.5) / 256.0 - 2.0).collect();
        let mut y = vec![0.0; x.len()];
        let mut function = |f| {
            let ns = best_ns(each, || {
                apply(f, black_box(&x), black_box(&mut y));
                0.0
            });
            ns / x.len() as f64
        };
        let (sigmoid_ns, tanh_ns) = (function(Function::Sigmoid), function(Function::Tanh));
        let data = vec![1.0_f32; READ_BYTES[READ_BYTES.len() - 1] / size_of::<f32>() + BLOCK_BYTES];
        // Loads that cross the border of two lines of the cache take twice as long.
        let data = &data[data.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES)..];
        let mut reads: Vec<(usize, f64)> = READ_BYTES
            .into_iter()
            .map(|bytes| {
                let data = &data[..bytes / size_of::<f32>()];
                // Small ranges are read several times, so that the clock does not count.
                let times = ((64 << 10) / bytes).max(1);
                let ns =
                    best_ns(each, || (0..times).map(|_| sum(level, black_box(data))).sum::<f32>());
                (bytes, (times * bytes) as f64 / ns)
            })
            .collect();
        // A larger range is not read faster; if it seems so, the smaller one was disturbed.
        for i in (1..reads.len()).rev() {
            reads[i - 1].1 = reads[i - 1].1.max(reads[i].1);
        }
        Limits {
            flops_per_ns: (rounds * FMAS * 2) as f64 / fma,
            fma_ns: one / (rounds * LINKS) as f64,
            sigmoid_ns,
            tanh_ns,
            reads,
        }
    }
}

/// The least time of a call, of those that fit into `budget` and of three at least.
fn best_ns(budget: Duration, mut call: impl FnMut() -> f32) -> f64 {
    black_box(call());
    let start = Instant::now();
    let (mut best, mut n) = (f64::INFINITY, 0);
    while n < 3 || start.elapsed() < budget {
        let begin = Instant::now();
        black_box(call());
        best = best.min(begin.elapsed().as_nanos() as f64);
        n += 1;
    }
    best.max(1.0)
}

/// Chains side by side, in each round one step of each: enough to keep two units busy at a latency of six.
const CHAINS: usize = 12;
/// Lanes of a chain.
const LANES: usize = 8;
/// What all chains compute again and again, `x·FACTOR + ADDEND`, has the fixed point 1.
const FACTOR: f32 = 0.999;
const ADDEND: f32 = 0.001;
/// Multiply-adds in a round of [`chains`].
const FMAS: usize = CHAINS * LANES;
/// Multiply-adds in a round of [`chain`].
const LINKS: usize = 4;
/// Sums that a read is spread over.
const SUMS: usize = 8;

/// [`FMAS`] multiply-adds for each of an even number of rounds that do not wait for each other; what they come to
/// for each chain and lane, on average.
fn chains(level: Level, rounds: usize) -> f32 {
    match level {
        Level::Portable => portable_chains(rounds),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX2 and FMA at this level.
        Level::Avx2 => unsafe { vector::chains(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX-512 at this level.
        Level::Avx512 => unsafe { vector::chains_wide(rounds / 2) },
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => portable_chains(rounds),
    }
}

/// Multiply-adds each of which waits for the one before it.
fn chain(level: Level, rounds: usize) -> f32 {
    match level {
        Level::Portable => portable_chain(rounds),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has FMA at these levels.
        Level::Avx2 | Level::Avx512 => unsafe { vector::chain(rounds) },
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => portable_chain(rounds),
    }
}

/// The sum, by loads as wide as the level has them.
fn sum(level: Level, data: &[f32]) -> f32 {
    match level {
        Level::Portable => portable_sum(data),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX2 at this level.
        Level::Avx2 => unsafe { vector::sum(data) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX-512 at this level.
        Level::Avx512 => unsafe { vector::sum_wide(data) },
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => portable_sum(data),
    }
}

fn portable_chains(rounds: usize) -> f32 {
    let (x, y) = (black_box(FACTOR), black_box(ADDEND));
    let mut lanes = [[0.5_f32; LANES]; CHAINS];
    for _ in 0..rounds {
        for lane in lanes.as_flattened_mut() {
            *lane = *lane * x + y;
        }
    }
    lanes.as_flattened().iter().sum::<f32>() / FMAS as f32
}

fn portable_chain(rounds: usize) -> f32 {
    let (x, y) = (black_box(FACTOR), black_box(ADDEND));
    (0..rounds * LINKS).fold(0.5_f32, |link, _| link * x + y)
}

fn portable_sum(data: &[f32]) -> f32 {
    let mut sums = [0.0_f32; SUMS * LANES];
    let (lines, rest) = data.as_chunks::<{ SUMS * LANES }>();
    for line in lines {
        for (sum, x) in sums.iter_mut().zip(line) {
            *sum += x;
        }
    }
    sums.iter().chain(rest).sum()
}

/// The same loops for instruction sets that the compilation target may lack.
#[cfg(target_arch = "x86_64")]
mod vector {
    use super::{ADDEND, CHAINS, FACTOR, LINKS, SUMS};
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn chains(rounds: usize) -> f32 {
        let (x, y) = (_mm256_set1_ps(black_box(FACTOR)), _mm256_set1_ps(black_box(ADDEND)));
        let mut chains = [_mm256_set1_ps(0.5); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, x, y);
            }
        }
        let mut sum = _mm256_setzero_ps();
        for chain in chains {
            sum = _mm256_add_ps(sum, chain);
        }
        // All lanes hold the same.
        _mm256_cvtss_f32(sum) / CHAINS as f32
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn chains_wide(rounds: usize) -> f32 {
        let (x, y) = (_mm512_set1_ps(black_box(FACTOR)), _mm512_set1_ps(black_box(ADDEND)));
        let mut chains = [_mm512_set1_ps(0.5); CHAINS];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, x, y);
            }
        }
        let mut sum = _mm512_setzero_ps();
        for chain in chains {
            sum = _mm512_add_ps(sum, chain);
        }
        _mm512_cvtss_f32(sum) / CHAINS as f32
    }

    #[target_feature(enable = "fma")]
    pub(super) fn chain(rounds: usize) -> f32 {
        let (x, y) = (_mm_set_ss(black_box(FACTOR)), _mm_set_ss(black_box(ADDEND)));
        let mut link = _mm_set_ss(0.5);
        for _ in 0..rounds * LINKS {
            link = _mm_fmadd_ss(link, x, y);
        }
        _mm_cvtss_f32(link)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn sum(data: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); SUMS];
        let (groups, rest) = data.as_chunks::<{ SUMS * 8 }>();
        for group in groups {
            for (sum, line) in sums.iter_mut().zip(group.as_chunks::<8>().0) {
                // SAFETY: a line is eight numbers.
                *sum = _mm256_add_ps(*sum, unsafe { _mm256_loadu_ps(line.as_ptr()) });
            }
        }
        let mut lanes = [0.0; 8];
        let sum = sums.into_iter().fold(_mm256_setzero_ps(), |x, y| _mm256_add_ps(x, y));
        // SAFETY: there is room for eight numbers.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        lanes.iter().chain(rest).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn sum_wide(data: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); SUMS];
        let (groups, rest) = data.as_chunks::<{ SUMS * 16 }>();
        for group in groups {
            for (sum, line) in sums.iter_mut().zip(group.as_chunks::<16>().0) {
                // SAFETY: a line is sixteen numbers.
                *sum = _mm512_add_ps(*sum, unsafe { _mm512_loadu_ps(line.as_ptr()) });
            }
        }
        let sum = sums.into_iter().fold(_mm512_setzero_ps(), |x, y| _mm512_add_ps(x, y));
        _mm512_reduce_add_ps(sum) + rest.iter().sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_levels_compute_the_same() {
        let data: Vec<f32> = (0..1000).map(|i| (i % 7) as f32).collect();
        let need: f32 = data.iter().sum();
        for level in Level::available() {
            assert_eq!(sum(level, &data), need);
            // Both creep up to the fixed point y / (1 - x) = 1.
            assert!((chain(level, 50_000) - 1.0).abs() < 1e-3);
            assert!((chains(level, 50_000) - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn rates_are_those_of_a_processor() {
        let limits = Limits::measure(Duration::from_millis(10));
        assert!(limits.flops_per_ns > 0.0 && limits.flops_per_ns.is_finite());
        assert!(limits.fma_ns > 0.0 && limits.sigmoid_ns > 0.0 && limits.tanh_ns > 0.0);
        assert_eq!(limits.reads.len(), READ_BYTES.len());
        assert!(limits.reads.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }
}
