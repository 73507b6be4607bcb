//! The cells of the workloads: plain mathematics of one step, as a user writes it.
//!
//! Weights are normal numbers over the square root of the number of their inputs, biases a tenth of
//! normal numbers, gains one plus that.

use rondeau::{Array, Tree, exp, random, scan, sigmoid, softplus, tanh, vmap};

/// A recurrent cell.
pub(super) trait Cell {
    /// What is trained.
    type Params: Tree + 'static;
    /// What goes from step to step.
    type Carry: Tree + 'static;
    /// What a step reads.
    type Input: Tree + 'static;
    /// The parameters for this number of inputs and hidden units.
    fn init(draw: &mut Draw, inputs: usize, hidden: usize) -> Self::Params;
    /// The first carry; `leading` are the axes of a batch.
    fn start(draw: &mut Draw, leading: &[usize], hidden: usize) -> Self::Carry;
    /// Inputs of a sequence or a step; `leading` are the axes before those of a step.
    fn input(draw: &mut Draw, leading: &[usize], inputs: usize, hidden: usize) -> Self::Input;
    /// One step: the next carry, and the output `[hidden]`.
    fn step(p: &Self::Params, carry: &Self::Carry, x: &Self::Input) -> (Self::Carry, Array);
}

/// All outputs of one sequence, `[time, hidden]`.
pub(super) fn sequence<C: Cell>(p: &C::Params, init: &C::Carry, xs: &C::Input) -> Array {
    scan(|carry, x| C::step(p, carry, x), init, xs).1
}

/// All outputs of a batch of sequences, `[batch, time, hidden]`.
pub(super) fn batched<C: Cell>(p: &C::Params, init: &C::Carry, xs: &C::Input) -> Array {
    vmap(sequence::<C>, (None, 0, 0)).apply(p, init, xs)
}

/// The mean squared error of one sequence.
pub(super) fn loss<C: Cell>(p: &C::Params, init: &C::Carry, xs: &C::Input, y: &Array) -> Array {
    (sequence::<C>(p, init, xs) - y).square().mean()
}

/// The mean squared error of a batch.
pub(super) fn batched_loss<C: Cell>(
    p: &C::Params,
    init: &C::Carry,
    xs: &C::Input,
    y: &Array,
) -> Array {
    (batched::<C>(p, init, xs) - y).square().mean()
}

/// Draws normal numbers, each time others.
pub(super) struct Draw {
    seed: i64,
}

impl Draw {
    /// From a seed.
    pub(super) fn new(seed: i64) -> Draw {
        Draw { seed: seed * 1000 }
    }

    /// Normal numbers.
    pub(super) fn normal(&mut self, shape: &[usize]) -> Array {
        self.seed += 1;
        random::normal(&random::key(self.seed), shape)
    }

    fn weights(&mut self, rows: usize, cols: usize) -> Array {
        self.normal(&[rows, cols]) * (1.0 / (cols as f64).sqrt())
    }

    fn bias(&mut self, n: usize) -> Array {
        self.normal(&[n]) * 0.1
    }

    fn gain(&mut self, n: usize) -> Array {
        self.bias(n) + 1.0
    }
}

/// The weights of a gate: `w·x + u·h + b`.
#[derive(Clone, Tree)]
pub(super) struct Gate {
    w: Array,
    u: Array,
    b: Array,
}

impl Gate {
    fn init(draw: &mut Draw, inputs: usize, hidden: usize) -> Gate {
        Gate {
            w: draw.weights(hidden, inputs),
            u: draw.weights(hidden, hidden),
            b: draw.bias(hidden),
        }
    }

    fn of(&self, h: &Array, x: &Array) -> Array {
        self.w.dot(x) + self.u.dot(h) + &self.b
    }
}

/// A layer norm: zero mean and unit variance, then a gain and an offset.
#[derive(Clone, Tree)]
pub(super) struct Norm {
    gain: Array,
    offset: Array,
}

impl Norm {
    fn init(draw: &mut Draw, n: usize) -> Norm {
        Norm { gain: draw.gain(n), offset: draw.bias(n) }
    }

    fn of(&self, x: &Array) -> Array {
        let centered = x - x.mean();
        let variance = centered.square().mean();
        centered * (variance + 1e-5).rsqrt() * &self.gain + &self.offset
    }
}

fn state(draw: &mut Draw, leading: &[usize], hidden: usize) -> Array {
    draw.normal(&[leading, &[hidden]].concat()) * 0.1
}

fn rows(draw: &mut Draw, leading: &[usize], inputs: usize) -> Array {
    draw.normal(&[leading, &[inputs]].concat())
}

/// The gated recurrent unit that resets before the product.
pub(super) struct Gru;

/// Its parameters.
#[derive(Clone, Tree)]
pub(super) struct GruParams {
    update: Gate,
    reset: Gate,
    candidate: Gate,
}

impl Cell for Gru {
    type Params = GruParams;
    type Carry = Array;
    type Input = Array;

    fn init(draw: &mut Draw, inputs: usize, hidden: usize) -> GruParams {
        let mut gate = || Gate::init(draw, inputs, hidden);
        GruParams { update: gate(), reset: gate(), candidate: gate() }
    }

    fn start(draw: &mut Draw, leading: &[usize], hidden: usize) -> Array {
        state(draw, leading, hidden)
    }

    fn input(draw: &mut Draw, leading: &[usize], inputs: usize, _: usize) -> Array {
        rows(draw, leading, inputs)
    }

    fn step(p: &GruParams, h: &Array, x: &Array) -> (Array, Array) {
        let z = sigmoid(p.update.of(h, x));
        let r = sigmoid(p.reset.of(h, x));
        let candidate = tanh(p.candidate.of(&(r * h), x));
        let h = (1.0 - &z) * h + z * candidate;
        (h.clone(), h)
    }
}

/// The same with a peephole on the update gate and a layer norm on the candidate.
pub(super) struct Custom;

/// Its parameters.
#[derive(Clone, Tree)]
pub(super) struct CustomParams {
    gru: GruParams,
    peephole: Array,
    norm: Norm,
}

impl Cell for Custom {
    type Params = CustomParams;
    type Carry = Array;
    type Input = Array;

    fn init(draw: &mut Draw, inputs: usize, hidden: usize) -> CustomParams {
        CustomParams {
            gru: Gru::init(draw, inputs, hidden),
            peephole: draw.bias(hidden),
            norm: Norm::init(draw, hidden),
        }
    }

    fn start(draw: &mut Draw, leading: &[usize], hidden: usize) -> Array {
        state(draw, leading, hidden)
    }

    fn input(draw: &mut Draw, leading: &[usize], inputs: usize, _: usize) -> Array {
        rows(draw, leading, inputs)
    }

    fn step(p: &CustomParams, h: &Array, x: &Array) -> (Array, Array) {
        let z = sigmoid(p.gru.update.of(h, x) + &p.peephole * h);
        let r = sigmoid(p.gru.reset.of(h, x));
        let candidate = tanh(p.norm.of(&p.gru.candidate.of(&(r * h), x)));
        let h = (1.0 - &z) * h + z * candidate;
        (h.clone(), h)
    }
}

/// The recurrent part of the gated recurrent unit. The step reads what the products with the inputs
/// gave; a batch is the first axis of all that the step sees.
pub(super) struct Loop;

/// Its weights.
#[derive(Clone, Tree)]
pub(super) struct LoopParams {
    uz: Array,
    ur: Array,
    uh: Array,
}

/// What is added to the products of the three gates.
#[derive(Clone, Tree)]
pub(super) struct LoopInput {
    z: Array,
    r: Array,
    h: Array,
}

impl Cell for Loop {
    type Params = LoopParams;
    type Carry = Array;
    type Input = LoopInput;

    fn init(draw: &mut Draw, _: usize, hidden: usize) -> LoopParams {
        let mut weights = || draw.weights(hidden, hidden);
        LoopParams { uz: weights(), ur: weights(), uh: weights() }
    }

    fn start(draw: &mut Draw, leading: &[usize], hidden: usize) -> Array {
        state(draw, leading, hidden)
    }

    fn input(draw: &mut Draw, leading: &[usize], _: usize, hidden: usize) -> LoopInput {
        let mut rows = || rows(draw, leading, hidden);
        LoopInput { z: rows(), r: rows(), h: rows() }
    }

    fn step(p: &LoopParams, h: &Array, x: &LoopInput) -> (Array, Array) {
        let product = |u: &Array, h: &Array| if h.rank() == 1 { u.dot(h) } else { h.dot(u.t()) };
        let z = sigmoid(product(&p.uz, h) + &x.z);
        let r = sigmoid(product(&p.ur, h) + &x.r);
        let candidate = tanh(product(&p.uh, &(r * h)) + &x.h);
        let h = (1.0 - &z) * h + z * candidate;
        (h.clone(), h)
    }
}

/// Long short-term memory, with a layer norm on each gate and on the cell.
///
/// Source: Ba et al. 2016 (arXiv:1607.06450), with one norm for the sum of both products.
pub(super) struct LnLstm;

/// Its parameters.
#[derive(Clone, Tree)]
pub(super) struct LnLstmParams {
    gates: [Gate; 4],
    norms: [Norm; 4],
    cell: Norm,
}

impl Cell for LnLstm {
    type Params = LnLstmParams;
    type Carry = (Array, Array);
    type Input = Array;

    fn init(draw: &mut Draw, inputs: usize, hidden: usize) -> LnLstmParams {
        LnLstmParams {
            gates: std::array::from_fn(|_| Gate::init(draw, inputs, hidden)),
            norms: std::array::from_fn(|_| Norm::init(draw, hidden)),
            cell: Norm::init(draw, hidden),
        }
    }

    fn start(draw: &mut Draw, leading: &[usize], hidden: usize) -> (Array, Array) {
        (state(draw, leading, hidden), state(draw, leading, hidden))
    }

    fn input(draw: &mut Draw, leading: &[usize], inputs: usize, _: usize) -> Array {
        rows(draw, leading, inputs)
    }

    fn step(p: &LnLstmParams, (h, c): &(Array, Array), x: &Array) -> ((Array, Array), Array) {
        let gate = |k: usize| p.norms[k].of(&p.gates[k].of(h, x));
        let c = sigmoid(gate(0)) * c + sigmoid(gate(1)) * tanh(gate(2));
        let h = sigmoid(gate(3)) * tanh(p.cell.of(&c));
        ((h.clone(), c), h)
    }
}

/// The minimal gated unit: one gate that forgets and resets.
///
/// Source: Zhou et al. 2016 (arXiv:1603.09420).
pub(super) struct Mgu;

/// Its parameters.
#[derive(Clone, Tree)]
pub(super) struct MguParams {
    forget: Gate,
    candidate: Gate,
}

impl Cell for Mgu {
    type Params = MguParams;
    type Carry = Array;
    type Input = Array;

    fn init(draw: &mut Draw, inputs: usize, hidden: usize) -> MguParams {
        let mut gate = || Gate::init(draw, inputs, hidden);
        MguParams { forget: gate(), candidate: gate() }
    }

    fn start(draw: &mut Draw, leading: &[usize], hidden: usize) -> Array {
        state(draw, leading, hidden)
    }

    fn input(draw: &mut Draw, leading: &[usize], inputs: usize, _: usize) -> Array {
        rows(draw, leading, inputs)
    }

    fn step(p: &MguParams, h: &Array, x: &Array) -> (Array, Array) {
        let f = sigmoid(p.forget.of(h, x));
        let candidate = tanh(p.candidate.of(&(&f * h), x));
        let h = (1.0 - &f) * h + f * candidate;
        (h.clone(), h)
    }
}

/// A selective state space: a diagonal recurrence of [`STATES`] states a channel, whose step size and
/// whose ways in and out depend on the input.
///
/// `u = W·x`, `Δ = softplus(D·(E·u) + b)`, `h' = e^(Δ·A)∘h + (Δ∘u)⊗(B·u)`, `y = h'·(C·u) + skip∘u`,
/// for `h: [hidden, STATES]`. Source: Gu and Dao 2023 (arXiv:2312.00752), section 3.2.
pub(super) struct S6;

/// States of a channel.
const STATES: usize = 16;
/// The rank of the step size.
const RANK: usize = 8;

/// Its parameters.
#[derive(Clone, Tree)]
pub(super) struct S6Params {
    w: Array,
    narrow: Array,
    widen: Array,
    bias: Array,
    /// The logarithm of the decay, `[hidden, STATES]`.
    log_decay: Array,
    b: Array,
    c: Array,
    skip: Array,
}

impl Cell for S6 {
    type Params = S6Params;
    type Carry = Array;
    type Input = Array;

    fn init(draw: &mut Draw, inputs: usize, hidden: usize) -> S6Params {
        S6Params {
            w: draw.weights(hidden, inputs),
            narrow: draw.weights(RANK, hidden),
            widen: draw.weights(hidden, RANK),
            bias: draw.bias(hidden) - 2.0,
            log_decay: draw.normal(&[hidden, STATES]) * 0.5 + 1.0,
            b: draw.weights(STATES, hidden),
            c: draw.weights(STATES, hidden),
            skip: draw.gain(hidden),
        }
    }

    fn start(draw: &mut Draw, leading: &[usize], hidden: usize) -> Array {
        draw.normal(&[leading, &[hidden, STATES]].concat()) * 0.1
    }

    fn input(draw: &mut Draw, leading: &[usize], inputs: usize, _: usize) -> Array {
        rows(draw, leading, inputs)
    }

    fn step(p: &S6Params, h: &Array, x: &Array) -> (Array, Array) {
        let u = p.w.dot(x);
        let delta = softplus(p.widen.dot(p.narrow.dot(&u)) + &p.bias);
        let decay = exp(-(exp(&p.log_decay) * delta.expand_dims(1)));
        let h = decay * h + (&delta * &u).outer(p.b.dot(&u));
        let y = h.dot(p.c.dot(&u)) + &p.skip * u;
        (h, y)
    }
}
