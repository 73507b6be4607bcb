//! The selective state space model of Mamba.

use super::keys;
use crate::nn::{Cell, Linear, Parallel, init, linear_recurrence};
use crate::{Array, NewAxis, Tree, random};

/// A selective state space model: a diagonal system for each channel, whose step in time, input
/// and output depend on the input.
///
/// `Δ = softplus(WΔ·(W↓·x) + bΔ)`, `B = WB·x`, `C = WC·x`, `A = -exp(a)`,
/// `s' = exp(Δ·A)∘s + (Δ∘x)·Bᵀ`, output `s'·C + D∘x`.
///
/// It is the recurrence alone; the block around it in Mamba (expansion, convolution, gate) is made
/// of other layers.
///
/// # Shapes
/// `x: [channels]`, `s: [channels, state]` → `[channels]`.
/// # Source
/// Gu and Dao 2023 (arXiv:2312.00752), algorithm 2 (S6).
/// # Examples
/// ```
/// use rondeau::{nn, nn::{Cell, Parallel}, random};
///
/// let cell = nn::SelectiveSsm::init(&random::key(0), 5, 4, 2);
/// let xs = random::normal(&random::key(1), [100, 5]);
/// let (last, ys) = cell.run_parallel(&cell.initial_carry(), &xs);
/// assert_eq!((last.shape(), ys.shape()), ([5, 4].as_slice(), [100, 5].as_slice()));
/// ```
#[derive(Clone, Debug, Tree)]
pub struct SelectiveSsm {
    /// `a`, the logarithm of the decay: `[channels, state]`.
    pub log_decay: Array,
    /// `W↓: [rank, channels]`.
    pub step_down: Array,
    /// `WΔ: [channels, rank]` and `bΔ`.
    pub step_up: Linear,
    /// `WB: [state, channels]`.
    pub write: Array,
    /// `WC: [state, channels]`.
    pub read: Array,
    /// `D`, the way past the state: `[channels]`.
    pub d: Array,
}

impl SelectiveSsm {
    /// Decays `1, 2, .., state` in each channel, steps log-uniform from 0.001 to 0.1; the step in
    /// time depends on the input through `rank` numbers.
    pub fn init(key: &Array, channels: usize, state: usize, rank: usize) -> SelectiveSsm {
        let [down, up, bias, write, read] = keys(key);
        let (least, most) = (0.001_f64.ln(), 0.1_f64.ln());
        let step = (random::uniform(&bias, [channels]) * (most - least) + least).exp();
        let decay = (Array::arange(state).to(crate::DType::F32) + 1.0).log();
        let up = init::uniform(&up, [channels, rank], (rank.max(1) as f64).powf(-0.5));
        SelectiveSsm {
            log_decay: decay.broadcast_to([channels, state]),
            step_down: init::lecun_normal(&down, [rank, channels]),
            // softplus(log(eˢ - 1)) = s
            step_up: Linear { weight: up, bias: step.expm1().log() },
            write: init::lecun_normal(&write, [state, channels]),
            read: init::lecun_normal(&read, [state, channels]),
            d: Array::ones([channels]),
        }
    }

    /// What the state is multiplied by, and what is added to it; for one input or a sequence.
    #[track_caller]
    fn gates(&self, x: &Array) -> (Array, Array) {
        let step = self.step_up.of(&x.dot(self.step_down.t())).softplus();
        let rate = (step.expand_dims(-1) * -self.log_decay.exp()).exp();
        let write = x.dot(self.write.t());
        (rate, (step * x).expand_dims(-1) * write.expand_dims(-2))
    }
}

impl Cell for SelectiveSsm {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.log_decay.zeros_like()
    }

    #[track_caller]
    fn step(&self, s: &Array, x: &Array) -> (Array, Array) {
        let (keep, add) = self.gates(x);
        let s = keep * s + add;
        let y = s.dot(self.read.dot(x)) + &self.d * x;
        (s, y)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.d.len())
    }
}

impl Parallel for SelectiveSsm {
    #[track_caller]
    fn run_parallel(&self, s: &Array, xs: &Array) -> (Array, Array) {
        let (keep, add) = self.gates(xs);
        let states = linear_recurrence(&keep, &add, s);
        let read = xs.dot(self.read.t()).at((.., NewAxis));
        let ys = (&states * read).sum_axis(-1) + &self.d * xs;
        (states.at(-1), ys)
    }
}
