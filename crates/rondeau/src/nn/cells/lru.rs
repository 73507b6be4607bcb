//! The linear recurrent unit.

use super::keys;
use crate::nn::{Cell, Complex, Parallel, complex_recurrence, init};
use crate::{Array, Tree, random};

/// A linear recurrent unit: a stable diagonal recurrence of complex numbers.
///
/// `λ = exp(-exp(ν) + i·exp(θ))`, `s' = λ∘s + √(1-|λ|²)∘(B·x)`, output `Re(C·s') + D∘x`.
///
/// The normalization is made of `λ` itself, where the paper trains it as a parameter of its own
/// that starts from this value.
///
/// # Shapes
/// `x: [input]`, complex `s: [state]` → `[input]`.
/// # Source
/// Orvieto et al. 2023 (arXiv:2303.06349).
/// # Examples
/// ```
/// use rondeau::{nn, nn::{Cell, Parallel}, random};
///
/// let cell = nn::Lru::init(&random::key(0), 5, 8);
/// let xs = random::normal(&random::key(1), [100, 5]);
/// let (_, one_by_one) = nn::run(&cell, &cell.initial_carry(), &xs);
/// let (_, at_once) = cell.run_parallel(&cell.initial_carry(), &xs);
/// assert!((one_by_one - at_once).abs().max().item::<f32>()? < 1e-4);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Lru {
    /// `ν`, the logarithm of the decay: `[state]`.
    pub nu: Array,
    /// `θ`, the logarithm of the angle: `[state]`.
    pub theta: Array,
    /// `B: [state, input]`.
    pub b: Complex,
    /// `C: [input, state]`.
    pub c: Complex,
    /// `D`, the way past the state: `[input]`.
    pub d: Array,
}

impl Lru {
    /// Eigenvalues uniform in the ring `0.4 ≤ |λ| < 0.99`, with angles up to `π/10` (the paper's
    /// choice for long sequences); normal projections.
    pub fn init(key: &Array, input: usize, state: usize) -> Lru {
        let [radius, angle, b_re, b_im, c_re, c_im, d] = keys(key);
        let (inner, outer) = (0.4_f64, 0.99_f64);
        let square =
            random::uniform(&radius, [state]) * (outer.powi(2) - inner.powi(2)) + inner.powi(2);
        let angle = random::uniform(&angle, [state]) * (std::f64::consts::PI / 10.0) + 1e-6;
        let weight = |key: &Array, shape: [usize; 2], fan_in: f64| {
            init::normal(key, shape, (0.5 / fan_in).sqrt())
        };
        let (fan_b, fan_c) = (input.max(1) as f64, state.max(1) as f64);
        Lru {
            nu: (-0.5 * square.log()).log(),
            theta: angle.log(),
            b: Complex::new(
                weight(&b_re, [state, input], fan_b),
                weight(&b_im, [state, input], fan_b),
            ),
            c: Complex::new(
                weight(&c_re, [input, state], fan_c),
                weight(&c_im, [input, state], fan_c),
            ),
            d: random::normal(&d, [input]),
        }
    }

    /// `λ` and the normalization of the input.
    #[track_caller]
    fn rates(&self) -> (Complex, Array) {
        let lambda = Complex::new(-self.nu.exp(), self.theta.exp()).exp();
        let square = (-2.0 * self.nu.exp()).exp();
        (lambda, (1.0 - square).sqrt())
    }
}

impl Cell for Lru {
    type Carry = Complex;

    fn initial_carry(&self) -> Complex {
        Complex::new(self.nu.zeros_like(), self.nu.zeros_like())
    }

    #[track_caller]
    fn step(&self, s: &Complex, x: &Array) -> (Complex, Array) {
        let (lambda, gamma) = self.rates();
        let input = self.b.dot_real(x).scale(&gamma);
        let s = lambda.mul(s).add(&input);
        let y = self.c.dot_to_real(&s) + &self.d * x;
        (s, y)
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.d.len())
    }
}

impl Parallel for Lru {
    #[track_caller]
    fn run_parallel(&self, s: &Complex, xs: &Array) -> (Complex, Array) {
        let (lambda, gamma) = self.rates();
        let inputs = self.b.t().project(xs).scale(&gamma);
        let states = complex_recurrence(&lambda.repeated(xs.len()), &inputs, s);
        let ys = self.c.t().project_to_real(&states) + &self.d * xs;
        (states.at(-1), ys)
    }
}
