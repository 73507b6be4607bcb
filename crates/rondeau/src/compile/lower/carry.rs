//! Where the carry of a loop is.
//!
//! Mostly it has two places, and each step reads one and writes the other. If a loop also leaves the
//! carry of each step as a row of its ys, those rows are its places: no step stores it twice.

use rondeau_machine::code::View;

use crate::compile::memory::Memory;
use crate::ir::{Atom, Aval};
use crate::prim::Scan;

/// What a row of ys shows of a carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The carry before the step.
    Before,
    /// The carry after it.
    After,
}

/// The places of a carry.
#[derive(Clone, Debug)]
pub(super) struct Carry {
    /// All of them, one behind the other along the first axis.
    pub(super) place: View,
    /// From place to place.
    by: i64,
    /// Where the loop starts, in elements.
    start: i64,
    /// Elements from step to step.
    step: i64,
    /// Whether steps alternate between two places.
    alternates: bool,
}

impl Carry {
    /// Two places.
    pub(super) fn twice(memory: &mut Memory, aval: &Aval, scope: usize) -> Carry {
        let (place, by) = (memory.temporary(aval, 2, scope), aval.shape.count() as i64);
        Carry { place, by, start: 0, step: 0, alternates: true }
    }

    /// A place for each state of `length` steps and one more, in rows of `track`.
    pub(super) fn track(track: View, length: usize, reverse: bool) -> Carry {
        let by = track.strides[0];
        let (start, step) = if reverse { (by * length as i64, -by) } else { (0, by) };
        let strides = track.strides[1..].to_vec();
        Carry { place: track.strides(strides), by, start, step, alternates: false }
    }

    fn at(&self, elements: i64) -> View {
        self.place.clone().offset(self.place.offset + elements)
    }

    /// Where the loop finds it.
    pub(super) fn first(&self) -> View {
        self.at(self.start)
    }

    /// Where a step of the loop at this level reads it.
    pub(super) fn before(&self, level: usize) -> View {
        match self.alternates {
            true => self.first().alternate(level, self.by),
            false => self.first().advance(level, self.step),
        }
    }

    /// Where a step writes it.
    pub(super) fn after(&self, level: usize) -> View {
        match self.alternates {
            true => self.at(self.by).alternate(level, -self.by),
            false => self.at(self.start + self.step).advance(level, self.step),
        }
    }

    /// Where it is after so many steps.
    pub(super) fn last(&self, length: usize) -> View {
        match self.alternates {
            true => self.at(length as i64 % 2 * self.by),
            false => self.at(self.start + self.step * length as i64),
        }
    }

    /// The rows of ys that show it; only for a carry with a place for each step.
    pub(super) fn states(&self, state: State) -> View {
        // Rows of a backward loop begin with its last step.
        let is_later = (state == State::After) == (self.step > 0);
        let offset = if is_later { self.by } else { 0 };
        let strides = [&[self.by], &self.place.strides[..]].concat();
        self.at(offset).strides(strides)
    }
}

/// What the row at this position of ys shows of a carry.
pub(super) fn state_in(scan: &Scan, carry: usize, y: usize) -> Option<State> {
    let before = Atom::Var(scan.body.inputs()[scan.n_consts + carry]);
    let (after, row) = (scan.body.outputs()[carry], scan.body.outputs()[scan.n_carry + y]);
    match () {
        _ if before == after => None,
        _ if row == before => Some(State::Before),
        _ if row == after => Some(State::After),
        _ => None,
    }
}
