//! Parts of a code that run at the same time.

use super::{Frame, Lanes};
use crate::cpu::Level;
use crate::pool;
use std::cell::Cell;

/// What parts have in common of their caller's frame.
struct Common {
    bases: *const *mut u8,
    steps: *mut usize,
    scratch: *mut u8,
    pool: *const u8,
    level: Level,
    code: *const u8,
    lanes: Lanes,
}

// SAFETY: what the pointers lead to is either only read while parts run (addresses of buffers, constants, machine
// code), or divided into lanes (steps, scratch), of which each part has its own, or it is the buffers' memory, where
// no part touches what another one writes, by the check of the code.
unsafe impl Sync for Common {}

impl Common {
    /// The frame of a part: it shows nothing, by the check of the code.
    ///
    /// # Safety
    /// There are more lanes than `lane`.
    unsafe fn frame(&self, lane: usize) -> Frame<'static> {
        // SAFETY: by contract.
        let (steps, scratch) = unsafe {
            (
                self.steps.byte_add(lane * self.lanes.steps),
                self.scratch.add(lane * self.lanes.scratch),
            )
        };
        Frame {
            bases: self.bases,
            steps,
            scratch,
            pool: self.pool,
            level: self.level,
            code: self.code,
            lanes: self.lanes,
            taps: &|_| {},
            panic: Cell::new(None),
        }
    }
}

/// Calls `part` with the number and the frame of each of `n` parts, on several threads, all in the steps of the
/// caller's loops.
///
/// # Panics
/// With what a part panicked with.
///
/// # Safety
/// The frame has `n` lanes. What one call of `part` writes through its frame, besides its lane, no other touches.
pub(crate) unsafe fn run_parts(
    frame: &Frame<'_>,
    n: usize,
    part: &(dyn Fn(usize, &Frame<'_>) + Sync),
) {
    let &Frame { bases, steps, scratch, pool, level, code, lanes, .. } = frame;
    for lane in 1..n {
        // SAFETY: the lanes lie one behind the other, each with room for the step of every level.
        unsafe {
            let to = steps.byte_add(lane * lanes.steps);
            steps.copy_to_nonoverlapping(to, lanes.steps / size_of::<usize>());
        }
    }
    let common = Common { bases, steps, scratch, pool, level, code, lanes };
    let common = &common;
    // SAFETY: the pool counts up to the number of lanes, by contract.
    pool::run(n, &|i| part(i, &unsafe { common.frame(i) }));
}
