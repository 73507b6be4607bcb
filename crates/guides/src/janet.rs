//! The cell of the chapter on cells of your own, which shows parts of this file.

use rondeau::nn::{Cell, Gate};
use rondeau::{Array, Tree, random};
use rondeau_cli::OwnCell;

/// A memory with a forget gate alone.
///
/// `s = Wf·x + Uf·h + bf`, `a = tanh(Wa·x + Ua·h + ba)`,
/// `h' = σ(s)∘h + (1 - σ(s - 1))∘a`; the output is `h'`.
///
/// # Shapes
/// `x: [input]`, `h: [hidden]` → `[hidden]`.
/// # Source
/// JANET: van der Westhuizen and Lasenby 2018 (arXiv:1804.04849).
#[derive(Clone, Debug, Tree)]
pub struct Janet {
    /// What the gate `σ(s)` is made of: `Wf`, `Uf`, `bf`.
    pub forget: Gate,
    /// The candidate `a`: `Wa`, `Ua`, `ba`.
    pub candidate: Gate,
}

impl Cell for Janet {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.forget.b.zeros_like()
    }

    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let s = self.forget.of(x, h);
        let a = self.candidate.of(x, h).tanh();
        let h = s.sigmoid() * h + (1.0 - (&s - 1.0).sigmoid()) * a;
        (h.clone(), h)
    }
}

impl OwnCell for Janet {
    const NAME: &'static str = "janet";

    fn init(key: &Array, input: usize, hidden: usize) -> Janet {
        let [forget, candidate] = random::split2(key);
        let forget = Gate { b: Array::ones([hidden]), ..Gate::init(&forget, input, hidden) };
        Janet { forget, candidate: Gate::init(&candidate, input, hidden) }
    }
}
