//! Vectors for symbols.

use crate::nn::{Cell, init};
use crate::{Array, Tree};

/// A vector for each of a number of symbols.
///
/// # Shapes
/// `table: [symbols, size]`; `x: i32[..]` → `[.., size]`.
/// # Examples
/// ```
/// use rondeau::{Array, nn, random};
///
/// let embedding = nn::Embedding::init(&random::key(0), 26, 4);
/// let word = embedding.of(&Array::from([7, 4, 11, 11, 14]));
/// assert_eq!(word.shape(), [5, 4]);
/// assert_eq!(word.at(2).to_vec::<f32>()?, word.at(3).to_vec::<f32>()?);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Embedding {
    /// The vectors, a row for each symbol.
    pub table: Array,
}

impl Embedding {
    /// Normal numbers with the variance `1 / size`.
    pub fn init(key: &Array, symbols: usize, size: usize) -> Embedding {
        Embedding { table: init::lecun_normal(key, [symbols, size]) }
    }

    /// The vectors of symbols.
    #[track_caller]
    pub fn of(&self, symbols: &Array) -> Array {
        self.table.take(symbols, 0)
    }
}

impl Cell for Embedding {
    type Carry = ();

    fn initial_carry(&self) {}

    #[track_caller]
    fn step(&self, (): &(), symbol: &Array) -> ((), Array) {
        ((), self.of(symbol))
    }
}
