//! The cell of the chapter on the compiler, for its later blocks.

use rondeau::{Array, Tree, random, scan, sigmoid, tanh};

/// The weights of a gated recurrent unit without biases.
#[derive(Clone, Debug, Tree)]
#[allow(missing_docs)]
pub struct Gru {
    pub wz: Array,
    pub uz: Array,
    pub wr: Array,
    pub ur: Array,
    pub wh: Array,
    pub uh: Array,
}

/// `xs: [time, input]` → the last state, `[hidden]`.
pub fn sequence(p: &Gru, xs: &Array) -> Array {
    let step = |h: &Array, x: &Array| {
        let z = sigmoid(p.wz.dot(x) + p.uz.dot(h));
        let r = sigmoid(p.wr.dot(x) + p.ur.dot(h));
        let a = tanh(p.wh.dot(x) + p.uh.dot(r * h));
        ((1.0 - &z) * h + z * a, ())
    };
    scan(step, &Array::zeros([8]), xs).0
}

/// Random weights.
pub fn gru(input: usize, hidden: usize) -> Gru {
    let keys = random::split(&random::key(0), 6);
    let weight = |i: usize, columns: usize| random::normal(&keys.at(i), [hidden, columns]) * 0.3;
    let [wz, wr, wh] = [0, 1, 2].map(|i| weight(i, input));
    let [uz, ur, uh] = [3, 4, 5].map(|i| weight(i, hidden));
    Gru { wz, uz, wr, ur, wh, uh }
}
