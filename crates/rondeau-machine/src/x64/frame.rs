//! The frame of the emitted function: which pointers it keeps on the stack, and how loops move them.
//!
//! A [`Stream`] is a pointer for all views of one region of memory that move alike through the loops. It stands
//! on the stack, at the place of the current steps; a loop adds to it after each step, and takes all of that
//! back when it is done. Offsets within the region are displacements.

use super::encode::{Asm, Gpr, If, Label, Mem, RAX, RCX, RDX, RSP};
use crate::code::{Code, Place, View};

/// General registers for a kernel's pointers.
pub(super) const POINTERS: [Gpr; 12] = [
    Gpr(3),
    Gpr(5),
    Gpr(6),
    Gpr(7),
    Gpr(8),
    Gpr(9),
    Gpr(10),
    Gpr(11),
    Gpr(12),
    Gpr(13),
    Gpr(14),
    Gpr(15),
];

const MAX_STREAMS: usize = 128;
const MAX_PARITIES: usize = 128;
const MAX_COUNTERS: usize = 8;

const FRAME: i32 = 0;
const STEPS: i32 = 8;
const CALLER: i32 = 16;
const STREAMS: i32 = 24;
const PARITIES: i32 = STREAMS + 8 * MAX_STREAMS as i32;
const CURSORS: i32 = PARITIES + 8 * MAX_PARITIES as i32;
const COUNTERS: i32 = CURSORS + 8 * POINTERS.len() as i32;
/// Where spilled vectors start.
pub(super) const SPILLS: i32 = (COUNTERS + 8 * MAX_COUNTERS as i32 + 63) / 64 * 64;

/// The frame of the call.
pub(super) fn frame() -> Mem {
    Mem::at(RSP, FRAME)
}

/// The array of steps.
pub(super) fn steps() -> Mem {
    Mem::at(RSP, STEPS)
}

/// The stack pointer of the caller.
pub(super) fn caller() -> Mem {
    Mem::at(RSP, CALLER)
}

/// The pointer of a kernel while its outer loops run.
pub(super) fn cursor(i: usize) -> Mem {
    Mem::at(RSP, CURSORS + 8 * i as i32)
}

/// A counter of a kernel's outer loops.
pub(super) fn counter(i: usize) -> Mem {
    Mem::at(RSP, COUNTERS + 8 * i as i32)
}

/// A region of memory that one pointer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    Input(usize),
    Output(usize),
    Arena,
    Constant(u32),
}

#[derive(Debug)]
struct Stream {
    region: Region,
    /// A buffer of the region, and the bytes from the region's start to it.
    buffer: u32,
    start: i64,
    /// Stride and parity in bytes of each loop.
    advance: Vec<(i64, i64)>,
    /// For each loop with a parity, where on the stack the next change is.
    parities: Vec<Option<usize>>,
}

/// The streams of a function, and the loops around the place where code is emitted.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Vec<Stream>,
    n_parities: usize,
    /// For each enclosing loop, the streams that its body uses.
    used: Vec<Vec<usize>>,
}

impl Streams {
    /// The stream of a view, and the view's displacement; none if it does not fit the frame.
    pub(super) fn of(&mut self, code: &Code, view: &View) -> Option<(usize, i32)> {
        let size = view.dtype.size() as i64;
        let buffer = view.buffer.0;
        let (region, start) = match code.buffers[buffer as usize].place {
            Place::Input(i) => (Region::Input(i), 0),
            Place::Output(i) => (Region::Output(i), 0),
            Place::Arena(offset) => (Region::Arena, offset as i64),
            Place::Constant(_) => (Region::Constant(buffer), 0),
        };
        let mut advance: Vec<_> =
            view.advance.iter().map(|a| (a.stride * size, a.parity * size)).collect();
        while advance.last() == Some(&(0, 0)) {
            advance.pop();
        }
        // Half of what a displacement can be: kernels add the places of rows and columns.
        let disp = i32::try_from(view.offset * size + start).ok()?;
        if disp.unsigned_abs() >= 1 << 30 {
            return None;
        }
        let found = self.all.iter().position(|s| s.region == region && s.advance == advance);
        let i = match found {
            Some(i) => i,
            None => {
                let wanted = advance.iter().filter(|a| a.1 != 0).count();
                if self.all.len() == MAX_STREAMS || self.n_parities + wanted > MAX_PARITIES {
                    return None;
                }
                let parities = advance
                    .iter()
                    .map(|a| {
                        let slot = self.n_parities;
                        self.n_parities += (a.1 != 0) as usize;
                        (a.1 != 0).then_some(slot)
                    })
                    .collect();
                self.all.push(Stream { region, buffer, start, advance, parities });
                self.all.len() - 1
            }
        };
        for used in &mut self.used {
            if !used.contains(&i) {
                used.push(i);
            }
        }
        Some((i, disp))
    }

    /// The pointer of a stream.
    pub(super) fn slot(i: usize) -> Mem {
        Mem::at(RSP, STREAMS + 8 * i as i32)
    }

    /// Emits what every stream starts from, in a function that is called inside of `n_outer` loops.
    pub(super) fn emit_start(&self, asm: &mut Asm, n_outer: usize) {
        for (i, stream) in self.all.iter().enumerate() {
            asm.mov_load(RAX, frame());
            // The addresses of buffers are the first field.
            asm.mov_load(RAX, Mem::at(RAX, 0));
            asm.mov_load(RAX, Mem::at(RAX, 8 * stream.buffer as i32));
            if stream.start != 0 {
                asm.mov_imm(RCX, -stream.start);
                asm.add_reg(RAX, RCX);
            }
            for (level, &(stride, parity)) in stream.advance.iter().enumerate().take(n_outer) {
                for (by, is_parity) in [(stride, false), (parity, true)] {
                    if by == 0 {
                        continue;
                    }
                    asm.mov_load(RCX, steps());
                    asm.mov_load(RCX, Mem::at(RCX, 8 * level as i32));
                    if is_parity {
                        asm.and_imm(RCX, 1);
                    }
                    asm.mov_imm(RDX, by);
                    asm.mul_reg(RCX, RDX);
                    asm.add_reg(RAX, RCX);
                }
            }
            asm.mov_store(Streams::slot(i), RAX);
            for (&(_, parity), slot) in stream.advance.iter().zip(&stream.parities) {
                if let Some(slot) = slot {
                    asm.mov_imm(RAX, parity);
                    asm.mov_store(parity_slot(*slot), RAX);
                }
            }
        }
    }

    /// Opens a loop; returns where its steps begin.
    pub(super) fn enter(&mut self, asm: &mut Asm, level: usize) -> Label {
        self.used.push(vec![]);
        asm.mov_load(RAX, steps());
        asm.mov_mem_imm(Mem::at(RAX, 8 * level as i32), 0);
        asm.here()
    }

    /// Closes the loop that [`Streams::enter`] opened.
    pub(super) fn leave(&mut self, asm: &mut Asm, level: usize, n_steps: usize, top: Label) {
        let used = self.used.pop().unwrap_or_default();
        let moving = |i: &&usize| self.all[**i].advance.get(level).is_some_and(|a| *a != (0, 0));
        for &i in used.iter().filter(moving) {
            let stream = &self.all[i];
            add(asm, Streams::slot(i), stream.advance[level].0);
            if let Some(slot) = stream.parities[level] {
                asm.mov_load(RAX, parity_slot(slot));
                asm.add_store(Streams::slot(i), RAX);
                asm.neg(RAX);
                asm.mov_store(parity_slot(slot), RAX);
            }
        }
        asm.mov_load(RAX, steps());
        let counter = Mem::at(RAX, 8 * level as i32);
        asm.add_mem_imm(counter, 1);
        asm.cmp_mem_imm(counter, n_steps as i32);
        asm.jump_if(If::Less, top);
        for &i in used.iter().filter(moving) {
            let stream = &self.all[i];
            let (stride, parity) = stream.advance[level];
            add(asm, Streams::slot(i), -(stride * n_steps as i64));
            if let Some(slot) = stream.parities[level]
                && n_steps % 2 == 1
            {
                add(asm, Streams::slot(i), -parity);
                asm.mov_imm(RAX, parity);
                asm.mov_store(parity_slot(slot), RAX);
            }
        }
    }
}

fn parity_slot(i: usize) -> Mem {
    Mem::at(RSP, PARITIES + 8 * i as i32)
}

/// `[mem] += bytes`
pub(super) fn add(asm: &mut Asm, mem: Mem, bytes: i64) {
    match i32::try_from(bytes) {
        Ok(0) => {}
        Ok(bytes) => asm.add_mem_imm(mem, bytes),
        Err(_) => {
            asm.mov_imm(RAX, bytes);
            asm.add_store(mem, RAX);
        }
    }
}

/// The pointers of one kernel: a stream each, and how far outer loops move it.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    list: Vec<(usize, Vec<i64>)>,
}

impl Pointers {
    /// The pointer for a view that outer loops move by `outer` bytes, and the view's displacement.
    pub(super) fn of(
        &mut self,
        streams: &mut Streams,
        code: &Code,
        view: &View,
        outer: &[i64],
    ) -> Result<(usize, i32), String> {
        let (stream, disp) = streams.of(code, view).ok_or("an offset is too large")?;
        let found = self.list.iter().position(|p| p.0 == stream && p.1 == outer);
        let i = found.unwrap_or_else(|| {
            self.list.push((stream, outer.to_vec()));
            self.list.len() - 1
        });
        if i >= POINTERS.len() {
            return Err("more pointers than registers".into());
        }
        Ok((i, disp))
    }

    fn moves(&self, i: usize) -> bool {
        self.list[i].1.iter().any(|&s| s != 0)
    }

    /// Emits loads of all pointers, as outer loops have moved them, into [`POINTERS`].
    pub(super) fn emit_load(&self, asm: &mut Asm) {
        for (i, (stream, _)) in self.list.iter().enumerate() {
            let from = if self.moves(i) { cursor(i) } else { Streams::slot(*stream) };
            asm.mov_load(POINTERS[i], from);
        }
    }

    /// Emits what outer loops start from.
    pub(super) fn emit_start(&self, asm: &mut Asm) {
        for (i, (stream, _)) in self.list.iter().enumerate().filter(|(i, _)| self.moves(*i)) {
            asm.mov_load(RAX, Streams::slot(*stream));
            asm.mov_store(cursor(i), RAX);
        }
    }

    /// Emits the start of the outer loop `d`, of `n` turns.
    pub(super) fn emit_open(&self, asm: &mut Asm, d: usize, n: usize) -> Label {
        asm.mov_mem_imm(counter(d), n as i32);
        asm.here()
    }

    /// Emits the end of the outer loop `d`, after which pointers are where they were before it.
    pub(super) fn emit_close(&self, asm: &mut Asm, d: usize, n: usize, top: Label) {
        for (i, (_, outer)) in self.list.iter().enumerate() {
            add(asm, cursor(i), outer[d]);
        }
        asm.add_mem_imm(counter(d), -1);
        asm.jump_if(If::NotEqual, top);
        for (i, (_, outer)) in self.list.iter().enumerate().filter(|_| d > 0) {
            add(asm, cursor(i), -outer[d] * n as i64);
        }
    }

    /// The registers that are free beside the pointers.
    pub(super) fn spare(&self) -> &'static [Gpr] {
        &POINTERS[self.list.len()..]
    }
}
