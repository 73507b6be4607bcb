//! The diagonal state space layer with one state for all channels.

use super::keys;
use crate::nn::{Cell, Complex, Parallel, complex_recurrence, init};
use crate::{Array, Tree, random};

/// A simplified state space layer: a continuous diagonal system, sampled at learned steps.
///
/// `λ = -exp(a) + i·ω`, `Δ = exp(s)`, `Λ = exp(λ∘Δ)`, `B' = (Λ-1)/λ∘B`, `s' = Λ∘s + B'·x`, output
/// `2·Re(C·s') + D∘x`: the states stand for conjugate pairs.
///
/// # Shapes
/// `x: [input]`, complex `s: [state]` → `[input]`.
/// # Source
/// Smith et al. 2022 (arXiv:2208.04933), by zero-order hold; started as S4D-Lin of Gu et al. 2022
/// (arXiv:2206.11893).
/// # Examples
/// ```
/// use rondeau::{nn, nn::{Cell, Parallel}, random};
///
/// let cell = nn::S5::init(&random::key(0), 5, 8);
/// let xs = random::normal(&random::key(1), [100, 5]);
/// let (_, ys) = cell.run_parallel(&cell.initial_carry(), &xs);
/// assert_eq!(ys.shape(), [100, 5]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct S5 {
    /// `a`, the logarithm of the decay: `[state]`.
    pub log_decay: Array,
    /// `ω`, the angular frequency: `[state]`.
    pub frequency: Array,
    /// `s`, the logarithm of the step in time: `[state]`.
    pub log_step: Array,
    /// `B: [state, input]`.
    pub b: Complex,
    /// `C: [input, state]`.
    pub c: Complex,
    /// `D`, the way past the state: `[input]`.
    pub d: Array,
}

impl S5 {
    /// Decay 1/2, frequencies `π·n`, steps log-uniform from 0.001 to 0.1, normal projections.
    pub fn init(key: &Array, input: usize, state: usize) -> S5 {
        let [step, b_re, b_im, c_re, c_im, d] = keys(key);
        let (least, most) = (0.001_f64.ln(), 0.1_f64.ln());
        let weight = |key: &Array, rows: usize, columns: usize| {
            init::normal(key, [rows, columns], (0.5 / columns.max(1) as f64).sqrt())
        };
        S5 {
            log_decay: Array::zeros([state]) + 0.5_f64.ln(),
            frequency: Array::arange(state).to(crate::DType::F32) * std::f64::consts::PI,
            log_step: random::uniform(&step, [state]) * (most - least) + least,
            b: Complex::new(weight(&b_re, state, input), weight(&b_im, state, input)),
            c: Complex::new(weight(&c_re, input, state), weight(&c_im, input, state)),
            d: random::normal(&d, [input]),
        }
    }

    /// `Λ`, and what `B·x` is multiplied by.
    #[track_caller]
    fn sampled(&self) -> (Complex, Complex) {
        let lambda = Complex::new(-self.log_decay.exp(), self.frequency.clone());
        let rate = lambda.scale(&self.log_step.exp()).exp();
        let minus_one = Complex::new(&rate.re - 1.0, rate.im.clone());
        (rate, minus_one.div(&lambda))
    }
}

impl Cell for S5 {
    type Carry = Complex;

    fn initial_carry(&self) -> Complex {
        Complex::new(self.frequency.zeros_like(), self.frequency.zeros_like())
    }

    #[track_caller]
    fn step(&self, s: &Complex, x: &Array) -> (Complex, Array) {
        let (rate, scale) = self.sampled();
        let s = rate.mul(s).add(&scale.mul(&self.b.dot_real(x)));
        let y = 2.0 * self.c.dot_to_real(&s) + &self.d * x;
        (s, y)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.d.len())
    }
}

impl Parallel for S5 {
    #[track_caller]
    fn run_parallel(&self, s: &Complex, xs: &Array) -> (Complex, Array) {
        let (rate, scale) = self.sampled();
        let inputs = scale.mul(&self.b.t().project(xs));
        let states = complex_recurrence(&rate.repeated(xs.len()), &inputs, s);
        let ys = 2.0 * self.c.t().project_to_real(&states) + &self.d * xs;
        (states.at(-1), ys)
    }
}
