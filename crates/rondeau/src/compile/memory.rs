//! Buffers: what is given, what is returned, and temporaries, which share one arena.
//!
//! A temporary lives from the statement that first names it to the last one that does. If a loop
//! names one that is older than the loop, it lives until the loop ends. Those that parts name which
//! run at the same time are kept apart for all of their lives, since no part waits for another.

use std::collections::HashSet;
use std::sync::Arc;

use rondeau_machine::code::{BLOCK_BYTES, Buffer, BufferId, Place, View};

use super::machine_dtype;
use crate::ir::Aval;

/// How many times as large the arena may become so that no two threads share memory.
const MOST_GROWTH: usize = 2;

/// All buffers of a code under construction.
#[derive(Debug, Default)]
pub(super) struct Memory {
    buffers: Vec<Known>,
    /// Counts statements.
    now: usize,
    /// When the loops began that are being written.
    loops: Vec<usize>,
    /// How many sets of buffers are kept apart.
    n_sets: usize,
}

#[derive(Debug)]
struct Known {
    bytes: usize,
    place: Option<Place>,
    born: usize,
    last: usize,
    /// How many loops and branches enclose the statement that made it.
    scope: usize,
    /// The sets whose buffers share no memory.
    sets: Vec<usize>,
}

impl Known {
    /// Whether both may not be in one place.
    fn collides(&self, other: &Known) -> bool {
        let at_once = self.born <= other.last && other.born <= self.last;
        at_once || self.sets.iter().any(|set| other.sets.contains(set))
    }
}

impl Memory {
    fn add(&mut self, bytes: usize, place: Option<Place>, scope: usize) -> BufferId {
        let (born, last) = (self.now, self.now);
        self.buffers.push(Known { bytes, place, born, last, scope, sets: vec![] });
        BufferId((self.buffers.len() - 1) as u32)
    }

    /// A row-major view of an input or output.
    pub(super) fn external(&mut self, place: Place, aval: &Aval) -> View {
        let buffer = self.add(aval.bytes(), Some(place), 0);
        dense(buffer, aval)
    }

    /// A row-major view of new memory for `copies` values of a type, one behind the other.
    pub(super) fn temporary(&mut self, aval: &Aval, copies: usize, scope: usize) -> View {
        let buffer = self.add(aval.bytes() * copies, None, scope);
        dense(buffer, aval)
    }

    /// Memory of that many elements, written in a scope before the loop in it that is being
    /// written and began at `begin`, or else now.
    pub(super) fn elements_before(
        &mut self,
        n: usize,
        dtype: crate::buffer::DType,
        scope: usize,
        begin: Option<usize>,
    ) -> BufferId {
        let buffer = self.add(n * dtype.size(), None, scope);
        self.buffers[buffer.0 as usize].born = begin.unwrap_or(self.now).saturating_sub(1);
        buffer
    }

    /// Memory that is shared with nothing.
    pub(super) fn lasting(&mut self, bytes: usize) -> BufferId {
        let buffer = self.add(bytes, None, 0);
        self.keep(buffer);
        buffer
    }

    /// Memory with these bytes in it.
    pub(super) fn constant(&mut self, bytes: Vec<u8>, aval: &Aval) -> View {
        let place = Place::Constant(Arc::from(bytes));
        let buffer = self.add(aval.bytes(), Some(place), 0);
        dense(buffer, aval)
    }

    /// In how many loops and branches the buffer was made.
    pub(super) fn scope(&self, buffer: BufferId) -> usize {
        self.buffers[buffer.0 as usize].scope
    }

    /// Where a buffer is; nothing for one in the arena.
    pub(super) fn place(&self, buffer: BufferId) -> Option<&Place> {
        self.buffers[buffer.0 as usize].place.as_ref()
    }

    /// The buffer lives from before the first statement until after the last one.
    pub(super) fn keep(&mut self, buffer: BufferId) {
        let known = &mut self.buffers[buffer.0 as usize];
        (known.born, known.last) = (0, usize::MAX);
    }

    /// Whether the buffer is a temporary that no caller's call needs to find again.
    pub(super) fn is_free(&self, buffer: BufferId) -> bool {
        let known = &self.buffers[buffer.0 as usize];
        known.place.is_none() && known.last != usize::MAX
    }

    /// The buffer holds `rows` of `of` rows alone.
    pub(super) fn shorten(&mut self, buffer: BufferId, of: usize, rows: usize) {
        let known = &mut self.buffers[buffer.0 as usize];
        known.bytes = known.bytes / of * rows;
    }

    /// Statements that name these buffers now run in another order: each lives as long as any.
    pub(super) fn live_together(&mut self, buffers: &HashSet<BufferId>) {
        let known = |buffer: &BufferId| &self.buffers[buffer.0 as usize];
        let temporary = || buffers.iter().filter(|buffer| known(buffer).place.is_none());
        let Some(born) = temporary().map(|buffer| known(buffer).born).min() else { return };
        let ends = temporary().map(|buffer| known(buffer).last).filter(|&last| last != usize::MAX);
        let last = ends.max().unwrap_or(usize::MAX);
        let all: Vec<BufferId> = temporary().copied().collect();
        for buffer in all {
            let known = &mut self.buffers[buffer.0 as usize];
            (known.born, known.last) = (known.born.min(born), known.last.max(last));
        }
    }

    /// A statement begins; what it names lives.
    pub(super) fn tick(&mut self) {
        self.now += 1;
    }

    /// The buffer is named by the current statement.
    pub(super) fn touch(&mut self, buffer: BufferId) {
        let known = &mut self.buffers[buffer.0 as usize];
        known.last = known.last.max(self.now);
    }

    /// A loop begins; when.
    pub(super) fn enter(&mut self) -> usize {
        self.tick();
        self.loops.push(self.now);
        self.now
    }

    /// The loop ends: what is older than it and was named in it lives until here.
    pub(super) fn leave(&mut self) {
        let begin = self.loops.pop().expect("internal: a loop was entered");
        self.tick();
        for known in &mut self.buffers {
            if known.born < begin && known.last >= begin {
                known.last = self.now;
            }
        }
    }

    /// None of these buffers may share memory with another one of them, whenever they live.
    pub(super) fn keep_apart(&mut self, buffers: impl IntoIterator<Item = BufferId>) {
        for buffer in buffers {
            self.buffers[buffer.0 as usize].sets.push(self.n_sets);
        }
        self.n_sets += 1;
    }

    /// The buffers, with a place for each temporary that it shares with no other.
    pub(super) fn side_by_side(&self) -> Vec<Buffer> {
        let mut end = 0;
        let place = |known: &Known| {
            let start = end;
            end += known.bytes.next_multiple_of(BLOCK_BYTES);
            Buffer { bytes: known.bytes, place: known.place.clone().unwrap_or(Place::Arena(start)) }
        };
        self.buffers.iter().map(place).collect()
    }

    /// The buffers, with a place in the arena for each temporary: the first gap that is free for
    /// all of its life.
    ///
    /// What several threads touch gets memory of its own if that does not make the arena much
    /// larger: then a thread finds in its caches what it left there, as bytes have one owner.
    pub(super) fn finish(self) -> Vec<Buffer> {
        let (tight, tight_bytes) = self.offsets(&|a, b| a.collides(b));
        let shared = |known: &Known| !known.sets.is_empty();
        let (wide, wide_bytes) = self.offsets(&|a, b| a.collides(b) || (shared(a) && shared(b)));
        let offsets = if wide_bytes <= MOST_GROWTH * tight_bytes { wide } else { tight };
        self.buffers
            .into_iter()
            .zip(offsets)
            .map(|(known, offset)| Buffer {
                bytes: known.bytes,
                place: known.place.unwrap_or(Place::Arena(offset)),
            })
            .collect()
    }

    /// An offset for each temporary so that those that collide are apart, and the bytes of all.
    fn offsets(&self, collide: &dyn Fn(&Known, &Known) -> bool) -> (Vec<usize>, usize) {
        let mut order: Vec<usize> = (0..self.buffers.len()).collect();
        order.retain(|&i| self.buffers[i].place.is_none());
        // Large ones first, so that they do not end up behind holes that small ones left.
        order.sort_by_key(|&i| (std::cmp::Reverse(self.buffers[i].bytes), i));
        let mut placed: Vec<(usize, usize, usize)> = Vec::new();
        let mut offsets = vec![0; self.buffers.len()];
        let mut end_of_all = 0;
        for i in order {
            let known = &self.buffers[i];
            let bytes = known.bytes.next_multiple_of(BLOCK_BYTES);
            let mut taken: Vec<(usize, usize)> = placed
                .iter()
                .filter(|&&(j, ..)| collide(known, &self.buffers[j]))
                .map(|&(_, start, end)| (start, end))
                .collect();
            taken.sort_unstable();
            let mut offset = 0;
            for (start, end) in taken {
                if offset + bytes <= start {
                    break;
                }
                offset = offset.max(end);
            }
            offsets[i] = offset;
            placed.push((i, offset, offset + bytes));
            end_of_all = end_of_all.max(offset + bytes);
        }
        (offsets, end_of_all)
    }
}

fn dense(buffer: BufferId, aval: &Aval) -> View {
    let strides: Vec<i64> = aval.shape.strides().into_iter().map(|s| s as i64).collect();
    View::new(buffer, machine_dtype(aval.dtype)).strides(strides)
}
