//! A vector that a kernel leaves in a register for the next one.
//!
//! Where a product's source has been stored just before, its broadcasts from memory wait until the store has gone
//! through the store queue. In a step of a small cell everything waits for them. So a kernel of one vector leaves
//! in a register what the next one broadcasts, and the lanes are taken from there; memory has it all the same.

use super::Generator;
use super::encode::{Asm, Isa, Mem, Op, RAX, Rm, Vec as Reg, Width};
use super::frame::Streams;
use super::map::width_for;
use super::regs::{Setting, load_lanes, n_registers};
use super::vir::{Block, Form, Ins, V};
use crate::code::{Advance, Loop, Stmt, Store, Terms, View};
use crate::dag::DType;

/// A vector of `f32` on its way to the next kernel, in the last register.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Where it was stored, and how many elements.
    pub(super) place: View,
    pub(super) cols: usize,
    pub(super) width: Width,
}

impl Held {
    /// Whether it has all that terms read of their source.
    pub(super) fn is_source(&self, terms: &Terms) -> bool {
        let has_all = terms.depth <= self.cols;
        is_vector(terms) && has_all && same_place(&self.place, &terms.source)
    }
}

/// The register that holds it: the last one.
pub(super) fn register(isa: Isa) -> Reg {
    Reg(n_registers(isa) - 1)
}

/// Whether two views start at the same element and go on alike through the loops.
fn same_place(a: &View, b: &View) -> bool {
    (a.buffer, a.dtype, a.offset, &a.advance) == (b.buffer, b.dtype, b.offset, &b.advance)
}

/// The sources of a statement that could come from a register.
pub(super) fn wanted(stmt: Option<&Stmt>) -> Vec<View> {
    let Some(Stmt::Mat(k)) = stmt else { return vec![] };
    let terms = k.products.iter().flat_map(|p| &p.terms);
    terms.filter(|t| k.rows == 1 && is_vector(t)).map(|t| t.source.clone()).collect()
}

fn is_vector(terms: &Terms) -> bool {
    let source = &terms.source;
    let follows = source.strides[1] == 1 || terms.depth == 1;
    source.dtype == DType::F32 && follows && (1..=MOST).contains(&terms.depth)
}

/// The most elements that are taken from a register: of sixteen, the moves cost what the waiting did.
const MOST: usize = 8;

/// Where what a view reads in a step of the loop `level` has been written in the step before.
fn a_step_before(view: &View, level: usize) -> Option<View> {
    let mut view = view.clone();
    let Advance { stride, parity } = view.advance.get_mut(level)?;
    view.offset += *stride + *parity;
    *parity = -*parity;
    Some(view)
}

impl Generator<'_> {
    /// What the last kernel of a loop's body can leave in a register for the first one of the next step, and
    /// where it stores it.
    pub(super) fn carried(&mut self, l: &Loop, level: usize) -> Option<(Held, View)> {
        let (Some(Stmt::Mat(first)), Some(Stmt::Mat(last))) = (l.body.first(), l.body.last())
        else {
            return None;
        };
        // As in `Generator::mat`, the source of the first pass.
        let terms = first.products.first()?.terms.first()?;
        let written = a_step_before(&terms.source, level)?;
        let store = last.stores.iter().position(|s| same_place(&s.to, &written))?;
        if first.rows != 1 || !is_vector(terms) || self.mat_kernel(first, None).is_err() {
            return None;
        }
        let kernel = self.mat_kernel(last, None).ok()?;
        let width = kernel.leaves(store)?;
        let (loaded, lanes) = width_for(self.asm.isa, false, terms.depth);
        if terms.depth > last.cols.min(lanes) {
            return None;
        }
        let width = if loaded.bytes() > width.bytes() { loaded } else { width };
        let place = terms.source.clone();
        Some((Held { place, cols: terms.depth, width }, written))
    }

    /// Emits the load of what a loop carries, before its first step.
    pub(super) fn emit_carried(&mut self, held: &Held) {
        let (stream, disp) =
            self.streams.of(self.code, &held.place).expect("internal: a known view");
        let (width, lanes) = width_for(self.asm.isa, false, held.cols);
        self.emit_tail(held.cols % lanes, false);
        self.asm.mov_load(RAX, Streams::slot(stream));
        let (mem, to) = (Mem::at(RAX, disp), register(self.asm.isa));
        load_lanes(&mut self.asm, false, width, to, mem, held.cols < lanes);
    }

    /// Emits the only block of a kernel with one row of `cols`, and holds what the next kernel wants of it.
    pub(super) fn emit_only_block(
        &mut self,
        setting: &Setting<'_>,
        block: &Block,
        fixed: &[(V, Reg)],
        stores: &[Store],
        cols: usize,
    ) {
        let stored = block.ins.iter().filter_map(|ins| match *ins {
            Ins::Store { src, form, .. } => Some((src, form)),
            _ => None,
        });
        let is_wanted = |to: &View| self.wanted.iter().any(|w| same_place(w, to));
        let found = stored
            .zip(stores)
            .find(|((_, form), store)| !block.wide && *form == Form::Lanes && is_wanted(&store.to));
        let Some(((v, _), store)) = found else {
            return self.emit_block(setting, block, fixed, &[]);
        };
        self.emit_block(setting, block, fixed, &[(v, register(self.asm.isa))]);
        self.held = Some(Held { place: store.to.clone(), cols, width: setting.width });
    }
}

/// The elements of a held vector, four to each of the registers from `first` on, in all lanes of 128 bits.
#[derive(Clone, Copy)]
pub(super) struct Fours {
    first: Reg,
}

impl Fours {
    /// Emits them for the first `n` elements; none if there are not enough registers from `free` on.
    pub(super) fn emit(
        asm: &mut Asm,
        held: &Held,
        n: usize,
        width: Width,
        free: u8,
    ) -> Option<Fours> {
        let (n_fours, last) = (n.div_ceil(4) as u8, register(asm.isa));
        // The held vector makes place for the last of them.
        let first = last.0 + 1 - n_fours;
        if first < free {
            return None;
        }
        let wide = if held.width.bytes() > width.bytes() { held.width } else { width };
        for i in 0..n_fours {
            let to = Reg(first + i);
            match asm.isa {
                _ if wide == Width::X => asm.mov(wide, to, last),
                Isa::Evex => {
                    // Two bits for each of four lanes, or one for each of two.
                    let which = if wide == Width::Z { 0x55 } else { 0x03 };
                    asm.op3_imm(Op::LANES_128, wide, to, last, Rm::Reg(last), i * which);
                }
                Isa::Vex => asm.op3_imm(Op::HALVES, wide, to, last, Rm::Reg(last), i * 0x11),
            }
        }
        Some(Fours { first: Reg(first) })
    }

    /// Emits the element `k` into all lanes of a register.
    pub(super) fn broadcast(self, asm: &mut Asm, width: Width, to: Reg, k: usize) {
        let four = Rm::Reg(Reg(self.first.0 + (k / 4) as u8));
        asm.op2_imm(Op::WITHIN_FOURS, width, to, four, (k % 4) as u8 * 0x55);
    }
}
