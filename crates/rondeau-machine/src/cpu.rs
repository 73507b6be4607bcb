//! What the processor can do, asked once.
//!
//! Every kernel of this crate picks its instruction set by [`level`]. The room knows nothing of the kernels.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that the kernels are written for, from the poorest to the richest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What the compilation target guarantees, and safe Rust.
    Portable,
    /// 256-bit vectors with fused multiply-add: `avx2` and `fma`.
    Avx2,
    /// 512-bit vectors: `avx512f`, `avx512dq`, `avx512vl` and `avx512bw`, and all of [`Level::Avx2`].
    Avx512,
}

impl Level {
    /// All levels, poorest first.
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    /// Returns the levels that this processor can run, poorest first.
    pub fn available() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|&l| l <= level())
    }
}

/// Returns the richest level that this processor and its operating system support.
///
/// The processor is asked at the first call; later calls read one byte.
#[inline]
pub fn level() -> Level {
    // Relaxed suffices: every thread computes the same value, and nothing else is published with it.
    static LEVEL: AtomicU8 = AtomicU8::new(u8::MAX);
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::Portable,
        1 => Level::Avx2,
        2 => Level::Avx512,
        _ => {
            let found = detect();
            LEVEL.store(found as u8, Ordering::Relaxed);
            found
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[cold]
fn detect() -> Level {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        Level::Portable
    } else if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
    {
        Level::Avx512
    } else {
        Level::Avx2
    }
}

// Miri interprets no vector instructions of this kind; there the safe twins are what is tested.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[cold]
fn detect() -> Level {
    Level::Portable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_stable_and_available() {
        assert_eq!(level(), level());
        assert_eq!(Level::available().next(), Some(Level::Portable));
        assert_eq!(Level::available().last(), Some(level()));
    }
}
