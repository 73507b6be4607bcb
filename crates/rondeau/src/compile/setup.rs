//! What need not be repeated from call to call: the rearranged weights, and what is computed from
//! inputs alone on the way to them.
//!
//! Calls of one function mostly bring the same parameters. What is made of them is found by
//! following the packed weights back to the inputs; if a statement on the way waits for a loop or
//! a product, the weights are not parameters, and stay where they are.

use std::collections::{HashMap, HashSet};

use rondeau_machine::code::{BufferId, Place, Stmt};

use super::memory::Memory;

/// The statements that a call may leave out if their inputs are those of the call before, and the
/// rest; both in order. What the former write is kept in the arena.
pub(super) fn split(body: Vec<Stmt>, memory: &mut Memory) -> (Vec<Stmt>, Vec<Stmt>) {
    let effects: Vec<Effects> = body.iter().map(Effects::of).collect();
    let mut writers: HashMap<BufferId, Vec<usize>> = HashMap::new();
    for (i, effects) in effects.iter().enumerate() {
        effects.writes.iter().for_each(|&buffer| writers.entry(buffer).or_default().push(i));
    }
    let mut chosen = vec![false; body.len()];
    for (i, stmt) in body.iter().enumerate() {
        if matches!(stmt, Stmt::Pack(_)) {
            for i in made_of_inputs(i, &body, &effects, &writers, memory).unwrap_or_default() {
                chosen[i] = true;
            }
        }
    }
    let (mut setup, mut rest) = (vec![], vec![]);
    for ((stmt, chosen), effects) in body.into_iter().zip(chosen).zip(effects) {
        if chosen {
            effects.writes.into_iter().for_each(|buffer| memory.keep(buffer));
            setup.push(stmt);
        } else {
            rest.push(stmt);
        }
    }
    (setup, rest)
}

/// The buffers that a statement, with all inside it, reads and writes.
struct Effects {
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
}

impl Effects {
    fn of(stmt: &Stmt) -> Effects {
        let (mut reads, mut writes) = (vec![], vec![]);
        stmt.views(&mut |view, is_written| match is_written {
            true => writes.push(view.buffer),
            false => reads.push(view.buffer),
        });
        Effects { reads, writes }
    }
}

/// The statements from the inputs to statement `last`; none if they do more than move and map.
fn made_of_inputs(
    last: usize,
    body: &[Stmt],
    effects: &[Effects],
    writers: &HashMap<BufferId, Vec<usize>>,
    memory: &Memory,
) -> Option<HashSet<usize>> {
    let (mut taken, mut waiting) = (HashSet::new(), vec![last]);
    while let Some(i) = waiting.pop() {
        if !matches!(body[i], Stmt::Pack(_) | Stmt::Map(_)) {
            return None;
        }
        if !taken.insert(i) {
            continue;
        }
        // All that write to a buffer go together; an output is never left out.
        for buffer in effects[i].reads.iter().chain(&effects[i].writes) {
            match memory.place(*buffer) {
                None => waiting.extend(writers.get(buffer).into_iter().flatten()),
                Some(Place::Output(_)) => return None,
                Some(Place::Input(_) | Place::Constant(_) | Place::Arena(_)) => {}
            }
        }
    }
    Some(taken)
}
