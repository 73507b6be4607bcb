//! Dropping outputs at random while training.

use crate::nn::Cell;
use crate::{Array, Shape, Tree, random, where_};

/// The array with each number replaced by zero with probability `rate`, and the others divided by
/// `1 - rate`, so that their mean stays.
///
/// # Source
/// Srivastava et al. 2014.
/// # Examples
/// ```
/// use rondeau::{Array, nn, random};
///
/// let x = Array::ones([1000]);
/// let y = nn::dropout(&random::key(0), &x, 0.5);
/// assert!((y.mean().item::<f32>()? - 1.0).abs() < 0.1);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn dropout(key: &Array, x: &Array, rate: f64) -> Array {
    drop_by(&kept(key, x.shape(), rate), x, rate)
}

/// Where numbers are kept.
pub(super) fn kept(key: &Array, shape: impl Into<Shape>, rate: f64) -> Array {
    random::bernoulli(key, (1.0 - rate) as f32, shape)
}

#[track_caller]
fn drop_by(kept: &Array, x: &Array, rate: f64) -> Array {
    // At the rate 1 nothing is kept, and nothing may be divided by zero.
    let share = if rate < 1.0 { 1.0 - rate } else { 1.0 };
    where_(kept, x / share, 0.0)
}

/// A cell whose outputs are dropped at random, anew at each step.
///
/// The carry says whether anything is dropped: [`Dropout::training`] starts one with a key,
/// [`Cell::initial_carry`] one without, for the trained model.
///
/// # Source
/// Srivastava et al. 2014; on outputs alone, Zaremba et al. 2014 (arXiv:1409.2329).
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let model = nn::Dropout { cell: nn::Gru::init(&random::key(0), 3, 8), rate: 0.5 };
/// let xs = random::normal(&random::key(1), [10, 3]);
/// let (_, trained) = nn::run(&model, &model.initial_carry(), &xs);
/// let (_, training) = nn::run(&model, &model.training(&random::key(2)), &xs);
/// assert!(training.eq(0.0).any().item::<bool>()? && !trained.eq(0.0).any().item::<bool>()?);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Dropout<C> {
    /// The cell.
    pub cell: C,
    /// The probability that a number is dropped.
    #[tree(fixed)]
    pub rate: f64,
}

/// The carry of [`Dropout`].
#[derive(Clone, Debug, Tree)]
pub struct DropoutCarry<T> {
    /// The carry of the cell.
    pub cell: T,
    /// The key of the next step, while training.
    pub key: Option<Array>,
}

impl<C: Cell> Dropout<C> {
    /// The initial carry while training.
    pub fn training(&self, key: &Array) -> DropoutCarry<C::Carry> {
        DropoutCarry { cell: self.cell.initial_carry(), key: Some(key.clone()) }
    }
}

impl<C: Cell> Cell for Dropout<C> {
    type Carry = DropoutCarry<C::Carry>;

    fn initial_carry(&self) -> Self::Carry {
        DropoutCarry { cell: self.cell.initial_carry(), key: None }
    }

    fn step(&self, carry: &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let (cell, y) = self.cell.step(&carry.cell, x);
        let Some(key) = &carry.key else {
            return (DropoutCarry { cell, key: None }, y);
        };
        let [next, now] = random::split2(key);
        (DropoutCarry { cell, key: Some(next) }, dropout(&now, &y, self.rate))
    }

    fn input_size(&self) -> Option<usize> {
        self.cell.input_size()
    }
}

/// A cell whose inputs are dropped at random, the same ones at each step of a sequence.
///
/// # Source
/// Gal and Ghahramani 2016 (arXiv:1512.05287), for the inputs.
/// # Examples
/// ```
/// use rondeau::{nn, random};
///
/// let model = nn::VariationalDropout { cell: nn::Gru::init(&random::key(0), 3, 8), rate: 0.5 };
/// let xs = random::normal(&random::key(1), [10, 3]);
/// let (carry, _) = nn::run(&model, &model.training(&random::key(2), 3), &xs);
/// assert_eq!(carry.kept.map(|kept| kept.size()), Some(3));
/// ```
#[derive(Clone, Debug, Tree)]
pub struct VariationalDropout<C> {
    /// The cell.
    pub cell: C,
    /// The probability that a number is dropped.
    #[tree(fixed)]
    pub rate: f64,
}

/// The carry of [`VariationalDropout`].
#[derive(Clone, Debug, Tree)]
pub struct VariationalCarry<T> {
    /// The carry of the cell.
    pub cell: T,
    /// Where inputs are kept, while training: `bool[input]`.
    pub kept: Option<Array>,
}

impl<C: Cell> VariationalDropout<C> {
    /// The initial carry while training, for inputs of this length.
    pub fn training(&self, key: &Array, input: usize) -> VariationalCarry<C::Carry> {
        let kept = kept(key, [input], self.rate);
        VariationalCarry { cell: self.cell.initial_carry(), kept: Some(kept) }
    }
}

impl<C: Cell> Cell for VariationalDropout<C> {
    type Carry = VariationalCarry<C::Carry>;

    fn initial_carry(&self) -> Self::Carry {
        VariationalCarry { cell: self.cell.initial_carry(), kept: None }
    }

    fn step(&self, carry: &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let x = match &carry.kept {
            Some(kept) => drop_by(kept, x, self.rate),
            None => x.clone(),
        };
        let (cell, y) = self.cell.step(&carry.cell, &x);
        (VariationalCarry { cell, kept: carry.kept.clone() }, y)
    }

    fn input_size(&self) -> Option<usize> {
        self.cell.input_size()
    }
}
