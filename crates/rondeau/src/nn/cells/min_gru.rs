//! minGRU: a gated recurrent unit that is linear in its state.

use crate::nn::{Cell, Linear, Parallel, linear_recurrence};
use crate::{Array, Tree, random};

/// A gated recurrent unit whose gate and candidate see the input alone, so that it also runs in
/// parallel over time.
///
/// `z = σ(Wz·x + bz)`, `a = Wa·x + ba`, `h' = (1-z)∘h + z∘a`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// Feng et al. 2024 (arXiv:2410.01201), section 3.1.
/// # Examples
/// ```
/// use rondeau::{nn, nn::{Cell, Parallel}, random};
///
/// let cell = nn::MinGru::init(&random::key(0), 5, 8);
/// let xs = random::normal(&random::key(1), [100, 5]);
/// let (_, one_by_one) = nn::run(&cell, &cell.initial_carry(), &xs);
/// let (_, at_once) = cell.run_parallel(&cell.initial_carry(), &xs);
/// assert!((one_by_one - at_once).abs().max().item::<f32>()? < 1e-5);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct MinGru {
    /// The update gate `z`.
    pub update: Linear,
    /// The candidate `a`.
    pub candidate: Linear,
}

impl MinGru {
    /// Parameters by [`Linear::init`].
    pub fn init(key: &Array, input: usize, hidden: usize) -> MinGru {
        let [update, candidate] = random::split2(key).map(|key| Linear::init(&key, input, hidden));
        MinGru { update, candidate }
    }
}

impl Cell for MinGru {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.update.bias.zeros_like()
    }

    #[track_caller]
    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let z = self.update.of(x).sigmoid();
        let h = (1.0 - &z) * h + z * self.candidate.of(x);
        (h.clone(), h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.update.input_size())
    }
}

impl Parallel for MinGru {
    #[track_caller]
    fn run_parallel(&self, h: &Array, xs: &Array) -> (Array, Array) {
        let z = self.update.of(xs).sigmoid();
        let states = linear_recurrence(&(1.0 - &z), &(&z * self.candidate.of(xs)), h);
        (states.at(-1), states)
    }
}
