//! The long short-term memory with a smaller state.

use super::{Lstm, LstmCarry, keys};
use crate::nn::{Cell, Gate, init};
use crate::{Array, Tree, random};

/// A long short-term memory whose state is a projection of what its memory shows.
///
/// The gates of [`Lstm`], then `h' = P·(o∘tanh(c'))`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `c: [hidden]`, `h: [projection]` → `[projection]`.
/// # Source
/// Sak et al. 2014 (arXiv:1402.1128); PyTorch's `LSTM` with `proj_size`.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::ProjectedLstm::init(&random::key(0), 5, 8, 3);
/// let (carry, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert_eq!((carry.c.shape(), y.shape()), ([8].as_slice(), [3].as_slice()));
/// ```
#[derive(Clone, Debug, Tree)]
pub struct ProjectedLstm {
    /// The gates; their recurrent weights are `[hidden, projection]`.
    pub lstm: Lstm,
    /// `P: [projection, hidden]`.
    pub projection: Array,
}

impl ProjectedLstm {
    /// Parameters as those of [`Lstm`]; the projection by [`init::lecun_normal`].
    pub fn init(key: &Array, input: usize, hidden: usize, projection: usize) -> ProjectedLstm {
        let [gates, last] = random::split2(key);
        let gates = keys(&gates).map(|key| Gate::init_with(&key, input, projection, hidden));
        let [input, forget, candidate, output] = gates;
        let forget = Gate { b: Array::ones([hidden]), ..forget };
        ProjectedLstm {
            lstm: Lstm { input, forget, candidate, output },
            projection: init::lecun_normal(&last, [projection, hidden]),
        }
    }
}

impl Cell for ProjectedLstm {
    type Carry = LstmCarry;

    fn initial_carry(&self) -> LstmCarry {
        let c = self.lstm.input.b.zeros_like();
        LstmCarry { h: self.projection.dot(&c), c }
    }

    #[track_caller]
    fn step(&self, carry: &LstmCarry, x: &Array) -> (LstmCarry, Array) {
        let (c, o) = self.lstm.memory(carry, x);
        let h = self.projection.dot(o * c.tanh());
        (LstmCarry { h: h.clone(), c }, h)
    }

    fn input_size(&self) -> Option<usize> {
        self.lstm.input_size()
    }
}
