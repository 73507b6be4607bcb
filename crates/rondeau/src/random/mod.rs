//! Random numbers as JAX has them: the same bits for the same key.
//!
//! A key is a `u32[2]` array. Every draw takes one and is a pure function of it; new keys come from
//! [`split`] and [`fold_in`]. The generator is Threefry-2x32 in JAX's partitionable mode (its
//! default), so that element `i` of a draw depends on the key and `i` alone. Keys can be arguments,
//! carries and xs like any other array. Written with the public operations alone.
//!
//! # Examples
//! ```
//! use rondeau::random;
//!
//! let key = random::key(0);
//! let [weights, noise] = random::split2(&key);
//! let w = random::normal(&weights, [2, 3]);
//! assert_eq!(w.shape(), [2, 3]);
//! assert_ne!(noise.to_vec::<u32>()?, weights.to_vec::<u32>()?);
//! # Ok::<(), rondeau::Error>(())
//! ```

mod draws;
mod keys;

pub use draws::{
    bernoulli, bits, bits_pair, categorical, categorical_with, choice, choice_weighted,
    choice_without, exponential, gumbel, gumbel_f64, laplace, logistic, normal, normal_f64,
    permutation, permute, permute_independent, rademacher, randint, truncated_normal,
    truncated_normal_f64, uniform, uniform_between, uniform_between_f64, uniform_f64,
};
pub use keys::{fold_in, key, key_from_words, split, split2};
