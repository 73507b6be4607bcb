//! Real registers for the virtual ones of a [`Block`], and its instructions.
//!
//! One pass over the instructions. Where no register is free, the value that is needed last of all goes to the
//! stack. Constants are operands in memory, or are loaded again.

use super::encode::{Asm, Gpr, Isa, Mask, Mem, NO_MASK, Op, RSP, Rm, Vec as Reg, Width};
use super::vir::{At, Block, Compare, Def, Form, How, Ins, Ordered, V};

/// The mask of the tail, set by the kernel.
pub(super) const TAIL: Mask = Mask(2);
/// The mask of comparisons, free between instructions.
const COMPARED: Mask = Mask(1);
/// The mask of the tail where there are no mask registers.
pub(super) const VEX_TAIL: Reg = Reg(15);

/// What a block needs to know of its kernel.
pub(super) struct Setting<'a> {
    pub(super) width: Width,
    /// The registers of the kernel's pointers.
    pub(super) pointers: &'a [Gpr],
    /// The register that counts columns.
    pub(super) column: Gpr,
    /// Where on the stack values may be spilled.
    pub(super) spills: i32,
}

/// Emits `block`; `fixed` says where values from outside are, and `outputs` where values are to be at the end.
/// Returns the bytes of stack used for spills.
pub(super) fn emit(
    asm: &mut Asm,
    setting: &Setting<'_>,
    block: &Block,
    fixed: &[(V, Reg)],
    outputs: &[(V, Reg)],
) -> i32 {
    let mut emitter = Emitter::new(asm, setting, block);
    // Outputs are read after the last instruction.
    for &(v, _) in outputs {
        emitter.uses[v.0 as usize].insert(0, block.ins.len());
    }
    for &(v, reg) in fixed {
        // A value that nothing reads needs no register.
        if emitter.next_use(v).is_some() {
            emitter.assign(v, reg);
        }
    }
    for i in 0..block.ins.len() {
        emitter.now = i;
        emitter.pinned.clear();
        emitter.ins(&block.ins[i]);
    }
    emitter.outputs(outputs);
    emitter.spilled
}

/// Emits the load of a vector, or of the lanes of its tail alone.
pub(super) fn load_lanes(
    asm: &mut Asm,
    wide: bool,
    width: Width,
    reg: Reg,
    mem: Mem,
    masked: bool,
) {
    match asm.isa {
        _ if !masked => asm.op2(Op::load(wide), width, reg, Rm::Mem(mem)),
        Isa::Evex => asm.op3_masked(Op::load(wide), width, reg, Reg(0), Rm::Mem(mem), TAIL, true),
        Isa::Vex => asm.op3(Op::mask_load(wide), width, reg, VEX_TAIL, Rm::Mem(mem)),
    }
}

/// The number of vector registers; where there are no masks one is kept for the tail.
pub(super) fn n_registers(isa: Isa) -> u8 {
    match isa {
        Isa::Evex => 32,
        Isa::Vex => 15,
    }
}

struct Emitter<'a> {
    asm: &'a mut Asm,
    setting: &'a Setting<'a>,
    block: &'a Block,
    /// For each value the instructions that read it, the next one last.
    uses: Vec<Vec<usize>>,
    regs: Vec<Option<Reg>>,
    slots: Vec<Option<i32>>,
    owners: [Option<V>; 32],
    pinned: Vec<Reg>,
    now: usize,
    spilled: i32,
}

impl<'a> Emitter<'a> {
    fn new(asm: &'a mut Asm, setting: &'a Setting<'a>, block: &'a Block) -> Self {
        let mut uses = vec![vec![]; block.defs.len()];
        for (i, ins) in block.ins.iter().enumerate().rev() {
            for v in ins.operands() {
                let list: &mut Vec<usize> = &mut uses[v.0 as usize];
                if list.last() != Some(&i) {
                    list.push(i);
                }
            }
        }
        let n = block.defs.len();
        Emitter {
            asm,
            setting,
            block,
            uses,
            regs: vec![None; n],
            slots: vec![None; n],
            owners: [None; 32],
            pinned: vec![],
            now: 0,
            spilled: 0,
        }
    }

    /// The first instruction after this one that reads `v`.
    fn next_use(&self, v: V) -> Option<usize> {
        // Before the first instruction every use is to come.
        self.uses[v.0 as usize].last().copied()
    }

    fn is_constant(&self, v: V) -> Option<u64> {
        match self.block.defs[v.0 as usize] {
            Def::Const(bits) => Some(bits),
            Def::Value => None,
        }
    }

    fn assign(&mut self, v: V, reg: Reg) {
        self.regs[v.0 as usize] = Some(reg);
        self.owners[reg.0 as usize] = Some(v);
    }

    fn release(&mut self, v: V) {
        if let Some(reg) = self.regs[v.0 as usize].take() {
            self.owners[reg.0 as usize] = None;
        }
    }

    /// A register that holds nothing and is not in use by this instruction.
    fn free_register(&mut self) -> Reg {
        let all = 0..n_registers(self.asm.isa);
        let free = all
            .clone()
            .map(Reg)
            .find(|r| self.owners[r.0 as usize].is_none() && !self.pinned.contains(r));
        let reg = free.unwrap_or_else(|| {
            let candidates = all.map(Reg).filter(|r| !self.pinned.contains(r));
            let far = |r: &Reg| {
                let v = self.owners[r.0 as usize].expect("internal: no register is free");
                let next = self.next_use(v).unwrap_or(usize::MAX);
                // A constant or a value that is on the stack already costs nothing to drop.
                let cheap = self.is_constant(v).is_some() || self.slots[v.0 as usize].is_some();
                next.saturating_add(if cheap { 8 } else { 0 })
            };
            let reg = candidates.max_by_key(far).expect("internal: all registers are pinned");
            self.evict(reg);
            reg
        });
        self.pinned.push(reg);
        reg
    }

    fn evict(&mut self, reg: Reg) {
        let Some(v) = self.owners[reg.0 as usize].take() else {
            return;
        };
        self.regs[v.0 as usize] = None;
        if self.is_constant(v).is_some() || self.slots[v.0 as usize].is_some() {
            return;
        }
        let at = self.spilled;
        self.spilled += self.setting.width.bytes() as i32;
        self.slots[v.0 as usize] = Some(at);
        let mem = self.slot(at);
        self.asm.store(Op::store(false), self.setting.width, mem, reg, NO_MASK);
    }

    fn slot(&self, at: i32) -> Mem {
        Mem::at(RSP, self.setting.spills + at)
    }

    /// The constant in memory as an operand.
    fn pooled(&mut self, bits: u64) -> Rm {
        let size = if self.block.wide { 8 } else { 4 };
        let bytes = &bits.to_le_bytes()[..size];
        match self.asm.isa {
            Isa::Evex => Rm::Broadcast(self.asm.pooled(bytes)),
            Isa::Vex => Rm::Mem(self.asm.pooled(&bytes.repeat(32 / size))),
        }
    }

    /// The register that holds `v`, which is loaded into one if need be.
    fn reg(&mut self, v: V) -> Reg {
        if let Some(reg) = self.regs[v.0 as usize] {
            self.pinned.push(reg);
            return reg;
        }
        let reg = self.free_register();
        let width = self.setting.width;
        match (self.is_constant(v), self.slots[v.0 as usize]) {
            (Some(0), _) => self.asm.op3(Op::xor(false), width, reg, reg, Rm::Reg(reg)),
            (Some(bits), _) => match self.pooled(bits) {
                Rm::Broadcast(mem) => {
                    self.asm.op2(Op::broadcast(self.block.wide), width, reg, Rm::Mem(mem))
                }
                rm => self.asm.op2(Op::load(false), width, reg, rm),
            },
            (None, Some(at)) => {
                let mem = self.slot(at);
                self.asm.op2(Op::load(false), width, reg, Rm::Mem(mem));
            }
            (None, None) => unreachable!("internal: {v:?} is read before it is made"),
        }
        self.assign(v, reg);
        reg
    }

    /// `v` as the last operand of an instruction.
    fn rm(&mut self, v: V) -> Rm {
        if let Some(reg) = self.regs[v.0 as usize] {
            self.pinned.push(reg);
            return Rm::Reg(reg);
        }
        match (self.is_constant(v), self.slots[v.0 as usize]) {
            (Some(bits), _) => self.pooled(bits),
            (None, Some(at)) => Rm::Mem(self.slot(at)),
            (None, None) => Rm::Reg(self.reg(v)),
        }
    }

    /// Whether this instruction is the last to read `v`, which is not a constant.
    fn dies(&self, v: V) -> bool {
        let uses = &self.uses[v.0 as usize];
        self.is_constant(v).is_none() && uses.len() <= 1
    }

    /// Forgets the operands of this instruction that nothing reads later.
    fn retire(&mut self, ins: &Ins) {
        for v in ins.operands() {
            let uses = &mut self.uses[v.0 as usize];
            if uses.last() == Some(&self.now) {
                uses.pop();
                if uses.is_empty() {
                    self.release(v);
                }
            }
        }
    }

    /// A register for the result, after the operands have been retired.
    fn result(&mut self, dst: V) -> Reg {
        // Operands have been read when the result is written, so their registers may be taken.
        self.pinned.retain(|r| self.owners[r.0 as usize].is_some());
        let reg = self.free_register();
        if self.next_use(dst).is_some() {
            self.assign(dst, reg);
        }
        reg
    }

    /// Moves values to where they are to be: first out of each other's way.
    fn outputs(&mut self, outputs: &[(V, Reg)]) {
        let width = self.setting.width;
        self.pinned = outputs.iter().map(|o| o.1).collect();
        let mut parked = vec![];
        for &(v, target) in outputs {
            let from = self.reg(v);
            let in_the_way = outputs.iter().any(|o| o.1 == from) && from != target;
            parked.push(if in_the_way {
                let free = self.free_register();
                self.asm.mov(width, free, from);
                free
            } else {
                from
            });
        }
        for (&(_, target), from) in outputs.iter().zip(parked) {
            if from != target {
                self.asm.mov(width, target, from);
            }
        }
    }

    fn ins(&mut self, ins: &Ins) {
        let width = self.setting.width;
        match *ins {
            Ins::Load { dst, at, form } => {
                let reg = self.result(dst);
                self.load(reg, at, form);
            }
            Ins::Store { src, at, form } => {
                let reg = self.reg(src);
                self.store(reg, at, form);
                self.retire(ins);
            }
            Ins::Op3 { op, dst, mut a, mut b, commutes } => {
                let in_memory = |v: V| self.regs[v.0 as usize].is_none();
                if commutes && in_memory(a) && !in_memory(b) {
                    (a, b) = (b, a);
                }
                let (a, b) = (self.reg(a), self.rm(b));
                self.retire(ins);
                let reg = self.result(dst);
                self.asm.op3(op, width, reg, a, b);
            }
            Ins::Op2 { op, dst, a, imm } => {
                let a = self.rm(a);
                self.retire(ins);
                let reg = self.result(dst);
                match imm {
                    Some(imm) => self.asm.op2_imm(op, width, reg, a, imm),
                    None => self.asm.op2(op, width, reg, a),
                }
            }
            Ins::Shift { shift, dst, a, by } => {
                let a = self.reg(a);
                self.retire(ins);
                let reg = self.result(dst);
                self.asm.shift(shift, self.block.wide, width, reg, a, by);
            }
            Ins::Tail { dst, a, b } => {
                let (b, a) = (self.reg(b), self.rm(a));
                self.retire(ins);
                let reg = self.result(dst);
                if self.asm.isa == Isa::Evex {
                    let op = Op::blendm(self.block.wide);
                    self.asm.op3_masked(op, width, reg, b, a, TAIL, false);
                } else {
                    let op = Op::blendv(self.block.wide);
                    self.asm.op3_imm(op, width, reg, b, a, VEX_TAIL.0 << 4);
                }
            }
            Ins::Upper { dst, a, half } => {
                let a = self.reg(a);
                self.retire(ins);
                let reg = self.result(dst);
                self.asm.upper(half, reg, a);
            }
            Ins::Fma { dst, a, b, c, negate } => self.fma(ins, dst, [a, b, c], negate),
            Ins::Ternlog { dst, a, b, c, imm } => {
                let from = self.reg(a);
                let (b, c) = (self.reg(b), self.rm(c));
                let reg = self.overwrite(ins, dst, a, from);
                self.asm.op3_imm(Op::ternlog(self.block.wide), width, reg, b, c, imm);
            }
            Ins::Compare { dst, compare, x, y } => {
                if self.asm.isa == Isa::Evex {
                    self.compare_into_mask(compare, x, y);
                    self.retire(ins);
                    let reg = self.result(dst);
                    let mask = Rm::Reg(Reg(COMPARED.0));
                    self.asm.op2(Op::mask_to_lanes(self.block.wide), width, reg, mask);
                } else {
                    let (reg, inverted) = self.compare_into_lanes(compare, x, y);
                    self.retire(ins);
                    if inverted {
                        let ones = self.pooled(u64::MAX);
                        self.asm.op3(Op::xor(false), width, reg, reg, ones);
                    }
                    if self.next_use(dst).is_some() {
                        self.assign(dst, reg);
                    }
                }
            }
            Ins::Choose { dst, compare, x, y, a, b } => {
                if self.asm.isa == Isa::Evex {
                    self.compare_into_mask(compare, x, y);
                    // The comparison's operands are done with, but may be a and b too.
                    let (b, a) = (self.reg(b), self.rm(a));
                    self.retire(ins);
                    let reg = self.result(dst);
                    let op = Op::blendm(self.block.wide);
                    self.asm.op3_masked(op, width, reg, b, a, COMPARED, false);
                } else {
                    let (mask, inverted) = self.compare_into_lanes(compare, x, y);
                    let (a, b) = if inverted { (b, a) } else { (a, b) };
                    let (b, a) = (self.reg(b), self.rm(a));
                    self.retire(ins);
                    let reg = self.result(dst);
                    let op = Op::blendv(self.block.wide);
                    self.asm.op3_imm(op, width, reg, b, a, mask.0 << 4);
                }
            }
        }
    }

    /// A register with the value of `a`, in `from`, that the instruction may overwrite with its result.
    fn overwrite(&mut self, ins: &Ins, dst: V, a: V, from: Reg) -> Reg {
        let reuse = self.dies(a);
        let others: Vec<Reg> = self.pinned.clone();
        self.retire(ins);
        if reuse {
            if self.next_use(dst).is_some() {
                self.assign(dst, from);
            }
            return from;
        }
        // The other operands are still to be read, so their registers stay pinned.
        self.pinned = others;
        let reg = self.free_register();
        self.asm.mov(self.setting.width, reg, from);
        if self.next_use(dst).is_some() {
            self.assign(dst, reg);
        }
        reg
    }

    fn fma(&mut self, ins: &Ins, dst: V, [mut a, mut b, c]: [V; 3], negate: bool) {
        let (width, wide) = (self.setting.width, self.block.wide);
        let (op213, op231) = match negate {
            false => (Op::fma213(wide), Op::fma231(wide)),
            true => (Op::fnma213(wide), Op::fnma231(wide)),
        };
        let in_memory = |v: V| self.regs[v.0 as usize].is_none();
        // dst = ±a·b + dst, if c is done with or nothing is; b may be in memory.
        let onto_addend =
            self.dies(c) || (self.is_constant(c).is_none() && !self.dies(a) && !self.dies(b));
        if onto_addend {
            if in_memory(a) && !in_memory(b) {
                (a, b) = (b, a);
            }
            let from = self.reg(c);
            let (a, b) = (self.reg(a), self.rm(b));
            let reg = self.overwrite(ins, dst, c, from);
            self.asm.op3(op231, width, reg, a, b);
        } else {
            // dst = ±b·dst + c; c may be in memory.
            if !self.dies(a) && self.dies(b) {
                (a, b) = (b, a);
            }
            let from = self.reg(a);
            let (b, c) = (self.reg(b), self.rm(c));
            let reg = self.overwrite(ins, dst, a, from);
            self.asm.op3(op213, width, reg, b, c);
        }
    }

    fn compare_into_mask(&mut self, compare: Compare, x: V, y: V) {
        let width = self.setting.width;
        let (x, y) = (self.reg(x), self.rm(y));
        let (op, imm) = match compare.of {
            Ordered::Floats => (Op::cmp(self.block.wide), float_predicate(compare.how)),
            Ordered::Signed => (Op::cmp_int(true), int_predicate(compare.how)),
            Ordered::Unsigned => (Op::cmp_int(false), int_predicate(compare.how)),
        };
        self.asm.cmp_mask(op, width, COMPARED, x, y, imm);
    }

    /// A new register with lanes of the comparison, and whether they are inverted.
    fn compare_into_lanes(&mut self, compare: Compare, x: V, y: V) -> (Reg, bool) {
        let width = self.setting.width;
        if compare.of == Ordered::Floats {
            let (x, y) = (self.reg(x), self.rm(y));
            let reg = self.free_register();
            let imm = float_predicate(compare.how);
            self.asm.op3_imm(Op::cmp(self.block.wide), width, reg, x, y, imm);
            return (reg, false);
        }
        let (op, swapped, inverted) = match compare.how {
            How::Eq => (Op::CMPEQ_D, false, false),
            How::Ne | How::Unordered => (Op::CMPEQ_D, false, true),
            How::Gt => (Op::CMPGT_D, false, false),
            How::Lt => (Op::CMPGT_D, true, false),
            How::Le => (Op::CMPGT_D, false, true),
            How::Ge => (Op::CMPGT_D, true, true),
        };
        let (x, y) = if swapped { (y, x) } else { (x, y) };
        let (x, y) = (self.reg(x), self.rm(y));
        let reg = self.free_register();
        self.asm.op3(op, width, reg, x, y);
        (reg, inverted)
    }

    fn mem(&self, at: At, scale: u8) -> Mem {
        let index = at.indexed.then_some((self.setting.column, scale));
        Mem::At { base: self.setting.pointers[at.pointer], index, disp: at.disp }
    }

    fn load(&mut self, reg: Reg, at: At, form: Form) {
        let (width, wide) = (self.setting.width, self.block.wide);
        let mem = self.mem(at, element_scale(form, wide));
        match form {
            Form::One => self.asm.op2(Op::broadcast(wide), width, reg, Rm::Mem(mem)),
            Form::Lanes => load_lanes(self.asm, wide, width, reg, mem, at.masked),
            Form::Bytes | Form::OneByte => {
                // Lanes whose byte is not 0.
                let widen = Op::BYTES_TO_LANES;
                if form == Form::OneByte {
                    self.asm.op2(Op::BYTE_TO_ALL, width, reg, Rm::Mem(mem));
                    self.asm.op3(Op::TEST_BYTES, width, Reg(COMPARED.0), reg, Rm::Reg(reg));
                } else {
                    let mask = if at.masked { TAIL } else { NO_MASK };
                    self.asm.op3_masked(widen, width, reg, Reg(0), Rm::Mem(mem), mask, at.masked);
                    self.asm.op3(Op::TEST_D, width, Reg(COMPARED.0), reg, Rm::Reg(reg));
                }
                self.asm.op2(Op::mask_to_lanes(false), width, reg, Rm::Reg(Reg(COMPARED.0)));
            }
        }
    }

    fn store(&mut self, reg: Reg, at: At, form: Form) {
        let (width, wide) = (self.setting.width, self.block.wide);
        let mem = self.mem(at, element_scale(form, wide));
        let mask = if at.masked { TAIL } else { NO_MASK };
        match form {
            Form::Bytes | Form::OneByte => {
                let ones = self.free_register();
                self.asm.shift(super::encode::Shift::RightLogical, false, width, ones, reg, 31);
                self.asm.store(Op::LANES_TO_BYTES, width, mem, ones, mask);
            }
            Form::Lanes if at.masked && self.asm.isa == Isa::Vex => {
                self.asm.op3(Op::mask_store(wide), width, reg, VEX_TAIL, Rm::Mem(mem));
            }
            Form::One => self.asm.store(Op::store_one(wide), Width::X, mem, reg, NO_MASK),
            Form::Lanes => self.asm.store(Op::store(wide), width, mem, reg, mask),
        }
    }
}

/// The scale of the column counter for an element in memory.
fn element_scale(form: Form, wide: bool) -> u8 {
    match form {
        Form::Bytes | Form::OneByte => 0,
        Form::Lanes | Form::One => 2 + wide as u8,
    }
}

/// Predicates that raise no exception for quiet NaNs.
fn float_predicate(how: How) -> u8 {
    match how {
        How::Eq => 0x00,
        How::Lt => 0x11,
        How::Le => 0x12,
        How::Unordered => 0x03,
        How::Ne => 0x04,
        How::Ge => 0x1D,
        How::Gt => 0x1E,
    }
}

fn int_predicate(how: How) -> u8 {
    match how {
        How::Eq => 0,
        How::Lt => 1,
        How::Le => 2,
        How::Ne | How::Unordered => 4,
        How::Ge => 5,
        How::Gt => 6,
    }
}
