//! Batches of sequences in the layouts of the frameworks, and the cells that only they have.

use rondeau::nn::{self, Cell};
use rondeau::{Array, Tree, stack, vmap};

/// [`nn::run_batch`] over `[time, batch, input]`.
pub(super) fn time_major<C: Cell>(cell: &C, carries: &C::Carry, xs: &Array) -> (C::Carry, Array) {
    let (carries, ys) = nn::run_batch(cell, carries, &xs.swap_axes(0, 1));
    (carries, ys.swap_axes(0, 1))
}

/// [`time_major`] from the last step to the first.
pub(super) fn time_major_reverse<C: Cell>(
    cell: &C,
    carries: &C::Carry,
    xs: &Array,
) -> (C::Carry, Array) {
    let one = |carry: &C::Carry, xs: &Array| nn::run_reverse(cell, carry, xs);
    let (carries, ys) = vmap(one, (0, 0)).apply(carries, &xs.swap_axes(0, 1));
    (carries, ys.swap_axes(0, 1))
}

/// Both directions over `[time, batch, input]`.
pub(super) fn both_ways<F: Cell, B: Cell>(
    cells: &nn::Bidirectional<F, B>,
    carries: &(F::Carry, B::Carry),
    xs: &Array,
) -> ((F::Carry, B::Carry), Array) {
    let one = |carry: &(F::Carry, B::Carry), xs: &Array| cells.run(carry, xs);
    let (carries, ys) = vmap(one, (0, 0)).apply(carries, &xs.swap_axes(0, 1));
    (carries, ys.swap_axes(0, 1))
}

/// [`both_ways`] over sequences of several lengths.
pub(super) fn both_ways_lengths<F: Cell, B: Cell>(
    cells: &nn::Bidirectional<F, B>,
    carries: &(F::Carry, B::Carry),
    xs: &Array,
    lengths: &Array,
) -> ((F::Carry, B::Carry), Array) {
    let one = |carry: &(F::Carry, B::Carry), xs: &Array, length: &Array| {
        cells.run_length(carry, xs, length)
    };
    let (carries, ys) = vmap(one, (0, 0, 0)).apply(carries, &xs.swap_axes(0, 1), lengths);
    (carries, ys.swap_axes(0, 1))
}

/// The states of an LSTM.
pub(super) fn lstm(h: Array, c: Array) -> nn::LstmCarry {
    nn::LstmCarry { h, c }
}

/// One array of the layers' or directions' states, which are its rows.
pub(super) fn rows(states: &[&Array]) -> Array {
    stack(states, 0)
}

/// A cell whose input ends with a number that says whether the step counts: if it is 0, the state
/// stays and the output is the one before.
#[derive(Clone, Tree)]
pub(super) struct Masked<C> {
    pub(super) cell: C,
    pub(super) output: Array,
}

impl<C: Cell> Cell for Masked<C> {
    type Carry = (C::Carry, Array);

    fn initial_carry(&self) -> Self::Carry {
        (self.cell.initial_carry(), self.output.clone())
    }

    fn step(&self, (carry, before): &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let counts = x.at(-1).gt(0.5);
        let choose = |new: &Array, old: &Array| counts.select(new, old);
        let (next, y) = self.cell.step(carry, &x.at(..-1));
        let next = rondeau::tree::map2(&next, carry, choose).expect("one structure");
        let y = choose(&y, before);
        ((next, y.clone()), y)
    }
}
