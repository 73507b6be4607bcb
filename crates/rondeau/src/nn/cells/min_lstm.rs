//! minLSTM: a long short-term memory that is linear in its state.

use super::keys;
use crate::nn::{Cell, Linear, Parallel, linear_recurrence};
use crate::{Array, Tree};

/// A long short-term memory whose gates and candidate see the input alone, so that it also runs in
/// parallel over time.
///
/// `f = σ(Wf·x + bf)`, `i = σ(Wi·x + bi)`, `a = Wa·x + ba`,
/// `h' = f/(f+i)∘h + i/(f+i)∘a`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// Feng et al. 2024 (arXiv:2410.01201), section 3.2.
/// # Examples
/// ```
/// use rondeau::{nn, nn::{Cell, Parallel}, random};
///
/// let cell = nn::MinLstm::init(&random::key(0), 5, 8);
/// let xs = random::normal(&random::key(1), [100, 5]);
/// let (_, states) = cell.run_parallel(&cell.initial_carry(), &xs);
/// assert_eq!(states.shape(), [100, 8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct MinLstm {
    /// The forget gate `f`.
    pub forget: Linear,
    /// The input gate `i`.
    pub input: Linear,
    /// The candidate `a`.
    pub candidate: Linear,
}

impl MinLstm {
    /// Parameters by [`Linear::init`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> MinLstm {
        let [forget, write, candidate] = keys(key).map(|key| Linear::init(&key, input, hidden));
        MinLstm { forget, input: write, candidate }
    }

    /// What the old state is multiplied by, and what is added to it.
    #[track_caller]
    fn gates(&self, x: &Array) -> (Array, Array) {
        let f = self.forget.of(x).sigmoid();
        let i = self.input.of(x).sigmoid();
        let sum = &f + &i;
        (f / &sum, i / sum * self.candidate.of(x))
    }
}

impl Cell for MinLstm {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.forget.bias.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let (keep, add) = self.gates(x);
        let h = keep * h + add;
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.forget.input_size())
    }
}

impl Parallel for MinLstm {
    #[track_caller]
    fn run_parallel(&self, h: &Array, xs: &Array) -> (Array, Array) {
        let (keep, add) = self.gates(xs);
        let states = linear_recurrence(&keep, &add, h);
        (states.at(-1), states)
    }
}
