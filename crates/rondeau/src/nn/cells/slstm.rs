//! sLSTM, the scalar cell of xLSTM.

use super::keys;
use crate::nn::{Cell, Gate};
use crate::{Array, Tree};

/// A long short-term memory with an exponential input gate and a normalizer.
///
/// With the sums `ĩ, f̃, z̃, õ` of the gates: `m' = max(log σ(f̃) + m, ĩ)`, `i = exp(ĩ - m')`,
/// `f = exp(log σ(f̃) + m - m')`, `c' = f∘c + i∘tanh(z̃)`, `n' = f∘n + i`, `h' = σ(õ)∘c'/n'`; the
/// output is `h'`. The stabilizer `m` keeps the exponentials from overflow and has no part in what
/// is computed.
///
/// # Shapes
/// `x: [input]`, `h, c, n, m: [hidden]` → `[hidden]`.
/// # Source
/// Beck et al. 2024 (arXiv:2405.04517), section 2.2, with one head and the forget gate `σ`.
/// # Examples
/// ```
/// use rondeau::{nn, nn::Cell, random};
///
/// let cell = nn::SLstm::init(&random::key(0), 5, 8);
/// let (_, y) = cell.step(&cell.initial_carry(), &random::normal(&random::key(1), [5]));
/// assert!(y.abs().max().item::<f32>()? < 1.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct SLstm {
    /// The input gate `ĩ`.
    pub input: Gate,
    /// The forget gate `f̃`.
    pub forget: Gate,
    /// The candidate `z̃`.
    pub candidate: Gate,
    /// The output gate `õ`.
    pub output: Gate,
}

/// The state of an sLSTM.
#[derive(Clone, Debug, Tree)]
pub struct SLstmCarry {
    /// The hidden state, which is the output.
    pub h: Array,
    /// The memory.
    pub c: Array,
    /// The normalizer: the sum of the weights in the memory.
    pub n: Array,
    /// The stabilizer: the logarithm that `c` and `n` are scaled by.
    pub m: Array,
}

impl SLstm {
    /// Parameters by [`Gate::init`], with the forget bias 1.
    pub fn init(key: &Array, input: usize, hidden: usize) -> SLstm {
        let gates = keys(key).map(|key| Gate::init(&key, input, hidden));
        let [input, forget, candidate, output] = gates;
        let forget = Gate { b: Array::ones([hidden]), ..forget };
        SLstm { input, forget, candidate, output }
    }
}

impl Cell for SLstm {
    type Carry = SLstmCarry;

    /// Nothing is in the memory, whatever its scale: the first step sets it.
    fn initial_carry(&self) -> SLstmCarry {
        let zero = self.input.b.zeros_like();
        let m = zero.full_like(-1e30);
        SLstmCarry { h: zero.clone(), c: zero.clone(), n: zero, m }
    }

    #[track_caller]
    fn step(&self, SLstmCarry { h, c, n, m }: &SLstmCarry, x: &Array) -> (SLstmCarry, Array) {
        let log_i = self.input.of(x, h);
        let log_f = self.forget.of(x, h).log_sigmoid() + m;
        let m = log_f.maximum(&log_i);
        let (i, f) = ((log_i - &m).exp(), (log_f - &m).exp());
        let c = &f * c + &i * self.candidate.of(x, h).tanh();
        let n = f * n + i;
        let h = self.output.of(x, h).sigmoid() * &c / &n;
        (SLstmCarry { h: h.clone(), c, n, m }, h)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.input.input_size())
    }
}
