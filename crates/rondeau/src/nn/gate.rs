//! The affine part of a gate, which most cells have several of.

use super::init;
use crate::{Array, Tree, concatenate, random};

/// What goes into one gate: `W·x + U·h + b`.
///
/// # Shapes
/// `w: [hidden, input]`, `u: [hidden, recurrent]`, `b: [hidden]`; `x: [input]`, `h: [recurrent]` →
/// `[hidden]`.
#[derive(Clone, Debug, Tree)]
pub struct Gate {
    /// The weights of the input.
    pub w: Array,
    /// The weights of the state.
    pub u: Array,
    /// The bias.
    pub b: Array,
}

impl Gate {
    /// Input weights by [`init::lecun_normal`], orthogonal recurrent weights, zero bias.
    pub fn init(key: &Array, input: usize, hidden: usize) -> Gate {
        Gate::init_with(key, input, hidden, hidden)
    }

    /// [`Gate::init`] for a state of another length than the gate's.
    pub fn init_with(key: &Array, input: usize, recurrent: usize, hidden: usize) -> Gate {
        let [w, u] = random::split2(key);
        Gate {
            w: init::lecun_normal(&w, [hidden, input]),
            u: init::orthogonal(&u, [hidden, recurrent]),
            b: Array::zeros([hidden]),
        }
    }

    /// `W·x + U·h + b`.
    #[track_caller]
    pub fn of(&self, x: &Array, h: &Array) -> Array {
        self.w.dot(x) + self.u.dot(h) + &self.b
    }

    /// Several gates as one, whose numbers follow each other.
    #[track_caller]
    pub fn stacked(gates: &[Gate]) -> Gate {
        let all = |part: fn(&Gate) -> &Array| {
            let parts: Vec<&Array> = gates.iter().map(part).collect();
            concatenate(&parts, 0)
        };
        Gate { w: all(|gate| &gate.w), u: all(|gate| &gate.u), b: all(|gate| &gate.b) }
    }

    /// The length of the inputs.
    pub fn input_size(&self) -> usize {
        self.w.shape().last().copied().unwrap_or(0)
    }
}
