//! Two cells, one in each direction.

use crate::nn::{Cell, flip_length, run, run_masked, run_reverse};
use crate::{Array, Tree, concatenate};

/// Two cells that go over a sequence in both directions; the outputs are side by side.
///
/// It needs the whole sequence, so it is no cell.
///
/// # Examples
/// ```
/// use rondeau::{nn, random};
///
/// let [a, b] = random::split2(&random::key(0));
/// let both = nn::Bidirectional {
///     forward: nn::Gru::init(&a, 3, 4),
///     backward: nn::Gru::init(&b, 3, 4),
/// };
/// let xs = random::normal(&random::key(1), [10, 3]);
/// let (_, ys) = both.run(&both.initial_carry(), &xs);
/// assert_eq!(ys.shape(), [10, 8]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Bidirectional<F, B> {
    /// The cell that goes from the first input to the last.
    pub forward: F,
    /// The cell that goes from the last input to the first.
    pub backward: B,
}

impl<F: Cell, B: Cell> Bidirectional<F, B> {
    /// The carries before the first and the last step.
    pub fn initial_carry(&self) -> (F::Carry, B::Carry) {
        (self.forward.initial_carry(), self.backward.initial_carry())
    }

    /// Runs both cells; the last carry of each, and the outputs.
    ///
    /// # Shapes
    /// `xs: [time, input]` → `[time, forward + backward]`.
    #[track_caller]
    pub fn run(
        &self,
        (forward, backward): &(F::Carry, B::Carry),
        xs: &Array,
    ) -> ((F::Carry, B::Carry), Array) {
        let (forward, left) = run(&self.forward, forward, xs);
        let (backward, right) = run_reverse(&self.backward, backward, xs);
        ((forward, backward), concatenate(&[left, right], -1))
    }

    /// [`Bidirectional::run`] over the first `length` inputs: the way back begins at the last of
    /// them, and the outputs beyond are zero.
    ///
    /// # Shapes
    /// `xs: [time, input]`, `length: i32[]` → `[time, forward + backward]`.
    #[track_caller]
    pub fn run_length(
        &self,
        (forward, backward): &(F::Carry, B::Carry),
        xs: &Array,
        length: &Array,
    ) -> ((F::Carry, B::Carry), Array) {
        let mask = Array::arange(xs.len()).lt(length);
        let (forward, left) = run_masked(&self.forward, forward, xs, &mask);
        let flipped = flip_length(xs, length);
        let (backward, right) = run_masked(&self.backward, backward, &flipped, &mask);
        let right = flip_length(&right, length);
        ((forward, backward), concatenate(&[left, right], -1))
    }
}
