//! An assembler for the instructions that the generator uses.
//!
//! It knows encodings and no kernels. Vector instructions are written as EVEX where the target has AVX-512 and
//! as VEX otherwise; both take the same table of opcodes, [`Op`].

/// A general register, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gpr(pub(super) u8);

pub(super) const RAX: Gpr = Gpr(0);
pub(super) const RCX: Gpr = Gpr(1);
pub(super) const RDX: Gpr = Gpr(2);
pub(super) const RSP: Gpr = Gpr(4);
pub(super) const RSI: Gpr = Gpr(6);
pub(super) const RDI: Gpr = Gpr(7);

/// A vector register, by its number; its width is that of the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vec(pub(super) u8);

/// A mask register of AVX-512; number 0 means no mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask(pub(super) u8);

pub(super) const NO_MASK: Mask = Mask(0);

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mem {
    /// `[base + index·2^scale + disp]`
    At { base: Gpr, index: Option<(Gpr, u8)>, disp: i32 },
    /// A constant of the pool, by its offset there.
    Pool(u32),
}

impl Mem {
    pub(super) fn at(base: Gpr, disp: i32) -> Mem {
        Mem::At { base, index: None, disp }
    }
}

/// The last operand of a vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rm {
    Reg(Vec),
    Mem(Mem),
    /// One element for all lanes; EVEX alone.
    Broadcast(Mem),
}

/// How vector instructions are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    Vex,
    Evex,
}

/// The width of a vector in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Width {
    X = 16,
    Y = 32,
    Z = 64,
}

impl Width {
    pub(super) const fn bytes(self) -> usize {
        self as usize
    }
}

/// How large the memory operand is, for compressed displacements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tuple {
    Full,
    /// One element.
    Scalar,
    /// A quarter of a vector.
    Quarter,
    /// One byte.
    Byte,
}

/// A vector instruction: prefix, map and opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op {
    pp: u8,
    map: u8,
    opcode: u8,
    /// The element is 64 bits wide: `W` in EVEX, and in VEX where it matters.
    w: bool,
    /// `W` is 0 in VEX although the element is 64 bits wide.
    vex_w0: bool,
    tuple: Tuple,
}

const fn op(pp: u8, map: u8, opcode: u8, w: bool) -> Op {
    Op { pp, map, opcode, w, vex_w0: false, tuple: Tuple::Full }
}

/// An instruction on floats: `ps` without prefix, `pd` with 66.
const fn float(opcode: u8, f64: bool) -> Op {
    op(f64 as u8, 1, opcode, f64)
}

macro_rules! float_ops {
    ($($name:ident $opcode:literal),*) => {
        impl Op { $(pub(super) const fn $name(f64: bool) -> Op { float($opcode, f64) })* }
    };
}
float_ops!(add 0x58, mul 0x59, sub 0x5C, min 0x5D, div 0x5E, max 0x5F, sqrt 0x51, cmp 0xC2, load 0x10, store 0x11);

macro_rules! ops_66_38 {
    ($($name:ident $opcode:literal),*) => {
        impl Op { $(pub(super) const fn $name(w: bool) -> Op { op(1, 2, $opcode, w) })* }
    };
}
ops_66_38!(fma213 0xA8, fma231 0xB8, fnma213 0xAC, fnma231 0xBC, scalef 0x2C, blendm 0x65);

macro_rules! int_ops {
    ($($name:ident $map:literal $opcode:literal),*) => {
        impl Op { $(pub(super) const $name: Op = op(1, $map, $opcode, false);)* }
    };
}
int_ops!(
    ADD_D 1 0xFE, SUB_D 1 0xFA, MUL_D 2 0x40, MIN_SD 2 0x39, MAX_SD 2 0x3D, MIN_UD 2 0x3B, MAX_UD 2 0x3F,
    SLLV_D 2 0x47, SRLV_D 2 0x45, SRAV_D 2 0x46, CMPEQ_D 1 0x76, CMPGT_D 1 0x66
);

impl Op {
    /// Bits are bits: one form for all types; `w` says how masks count lanes.
    pub(super) const fn and(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 1, 0xDB, w) }
    }
    /// `!a & b`
    pub(super) const fn andn(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 1, 0xDF, w) }
    }
    pub(super) const fn or(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 1, 0xEB, w) }
    }
    pub(super) const fn xor(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 1, 0xEF, w) }
    }
    /// Sums of integers as wide as the element.
    pub(super) const fn add_int(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 1, if w { 0xD4 } else { 0xFE }, w) }
    }
    pub(super) const fn sub_int(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 1, if w { 0xFB } else { 0xFA }, w) }
    }
    /// Rounds by the mode in the immediate.
    pub(super) const fn round(f64: bool) -> Op {
        Op { vex_w0: true, ..op(1, 3, if f64 { 0x09 } else { 0x08 }, f64) }
    }
    /// Shifts by an immediate; the extension in [`Asm::shift`] says which way.
    const fn shift(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 1, if w { 0x73 } else { 0x72 }, w) }
    }
    /// One element of memory into all lanes.
    pub(super) const fn broadcast(w: bool) -> Op {
        let opcode = if w { 0x19 } else { 0x18 };
        Op { vex_w0: true, tuple: Tuple::Scalar, ..op(1, 2, opcode, w) }
    }
    /// `(a & b) | (!a & c)` and the like, by the table in the immediate; EVEX alone.
    pub(super) const fn ternlog(w: bool) -> Op {
        op(1, 3, 0x25, w)
    }
    /// A mask register into lanes of ones and zeros; EVEX alone.
    pub(super) const fn mask_to_lanes(w: bool) -> Op {
        op(2, 2, 0x38, w)
    }
    /// Compares integers by the predicate in the immediate, into a mask; EVEX alone.
    pub(super) const fn cmp_int(signed: bool) -> Op {
        op(1, 3, if signed { 0x1F } else { 0x1E }, false)
    }
    /// The lanes of `b` where the top bit of the mask in the immediate is set, else `a`; VEX alone.
    pub(super) const fn blendv(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 3, if w { 0x4B } else { 0x4A }, w) }
    }
    /// Loads the lanes whose mask has its top bit set; VEX alone.
    pub(super) const fn mask_load(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 2, if w { 0x2D } else { 0x2C }, w) }
    }
    /// Stores the lanes whose mask has its top bit set; VEX alone.
    pub(super) const fn mask_store(w: bool) -> Op {
        Op { vex_w0: true, ..op(1, 2, if w { 0x2F } else { 0x2E }, w) }
    }
    /// The lowest lane, to memory.
    pub(super) const fn store_one(w: bool) -> Op {
        Op { tuple: Tuple::Scalar, ..op(if w { 3 } else { 2 }, 1, 0x11, w) }
    }
    /// The upper half of 64 bytes; EVEX alone.
    const UPPER_32: Op = op(1, 3, 0x1B, true);
    /// The upper half of 32 bytes.
    const UPPER_16: Op = op(1, 3, 0x19, false);
    /// Moves the 32-bit lanes of each 16 bytes by the immediate.
    const SHUFFLE: Op = op(1, 1, 0x70, false);
    /// Any two lanes of 128 bits of `a`, then of `b`, by the immediate; EVEX alone, and not for 128 bits.
    pub(super) const LANES_128: Op = op(1, 3, 0x23, false);
    /// Any two halves of `a` and `b`, by the immediate; VEX alone, for 256 bits.
    pub(super) const HALVES: Op = op(1, 3, 0x06, false);
    /// Moves `f32` within each 128 bits, by the immediate.
    pub(super) const WITHIN_FOURS: Op = op(1, 3, 0x04, false);
    /// `f32` to `i32`, truncating; `i32::MIN` where that is impossible.
    pub(super) const F32_TO_I32: Op = op(2, 1, 0x5B, false);
    /// `i32` to `f32`.
    pub(super) const I32_TO_F32: Op = op(0, 1, 0x5B, false);
    /// `u32` to `f32`; EVEX alone.
    pub(super) const U32_TO_F32: Op = op(3, 1, 0x7A, false);
    /// Bytes to 32-bit lanes.
    pub(super) const BYTES_TO_LANES: Op = Op { tuple: Tuple::Quarter, ..op(1, 2, 0x31, false) };
    /// One byte of memory into all bytes; EVEX alone here.
    pub(super) const BYTE_TO_ALL: Op = Op { tuple: Tuple::Byte, ..op(1, 2, 0x78, false) };
    /// The bytes that share a bit with another's, into a mask; EVEX alone.
    pub(super) const TEST_BYTES: Op = op(1, 2, 0x26, false);
    /// The lanes that share a bit with another's, into a mask; EVEX alone.
    pub(super) const TEST_D: Op = op(1, 2, 0x27, false);
    /// 32-bit lanes to bytes, in memory; EVEX alone.
    pub(super) const LANES_TO_BYTES: Op = Op { tuple: Tuple::Quarter, ..op(2, 2, 0x31, false) };
}

/// Which way [`Asm::shift`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    RightLogical = 2,
    RightArithmetic = 4,
    Left = 6,
}

/// The condition of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum If {
    Equal = 0x4,
    NotEqual = 0x5,
    Less = 0xC,
}

/// A place in the code that jumps go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Code under construction, and its pool of constants.
pub(super) struct Asm {
    pub(super) isa: Isa,
    code: std::vec::Vec<u8>,
    labels: std::vec::Vec<Option<usize>>,
    /// Where a distance to a label is to be written.
    jumps: std::vec::Vec<(usize, Label)>,
    pool: std::vec::Vec<u8>,
    /// Where a distance to the pool is to be written, from which end, to which offset.
    pool_uses: std::vec::Vec<(usize, usize, u32)>,
}

impl Asm {
    pub(super) fn new(isa: Isa) -> Asm {
        Asm { isa, code: vec![], labels: vec![], jumps: vec![], pool: vec![], pool_uses: vec![] }
    }

    /// The bytes of code so far.
    pub(super) fn len(&self) -> usize {
        self.code.len()
    }

    /// The finished bytes: code, then pool.
    pub(super) fn finish(mut self) -> std::vec::Vec<u8> {
        for &(at, label) in &self.jumps {
            let target = self.labels[label.0].expect("internal: a jump to nowhere");
            let distance = target as i64 - (at as i64 + 4);
            self.code[at..at + 4].copy_from_slice(&(distance as i32).to_le_bytes());
        }
        let pool = self.code.len().next_multiple_of(64);
        for &(at, end, offset) in &self.pool_uses {
            let distance = (pool + offset as usize) as i64 - end as i64;
            self.code[at..at + 4].copy_from_slice(&(distance as i32).to_le_bytes());
        }
        self.code.resize(pool, 0xCC);
        self.code.extend_from_slice(&self.pool);
        self.code
    }

    /// The place of `bytes` in the pool, whose length is a power of two.
    pub(super) fn pooled(&mut self, bytes: &[u8]) -> Mem {
        let n = bytes.len();
        let found = self.pool.chunks_exact(n).position(|c| c == bytes);
        let offset = found.map(|i| i * n).unwrap_or_else(|| {
            self.pool.resize(self.pool.len().next_multiple_of(n), 0);
            self.pool.extend_from_slice(bytes);
            self.pool.len() - n
        });
        Mem::Pool(offset as u32)
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// A new label, bound here.
    pub(super) fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    // Vector instructions.

    /// `dst = a op b`, or for two operands `dst = op b` with `a` left out as register 0.
    pub(super) fn op3(&mut self, op: Op, width: Width, dst: Vec, a: Vec, b: Rm) {
        self.vector(op, width, dst.0, a.0, b, NO_MASK, false, None);
    }

    /// `dst = op b`
    pub(super) fn op2(&mut self, op: Op, width: Width, dst: Vec, b: Rm) {
        self.vector(op, width, dst.0, 0, b, NO_MASK, false, None);
    }

    /// As [`Asm::op3`], with an immediate.
    pub(super) fn op3_imm(&mut self, op: Op, width: Width, dst: Vec, a: Vec, b: Rm, imm: u8) {
        self.vector(op, width, dst.0, a.0, b, NO_MASK, false, Some(imm));
    }

    /// As [`Asm::op2`], with an immediate.
    pub(super) fn op2_imm(&mut self, op: Op, width: Width, dst: Vec, b: Rm, imm: u8) {
        self.vector(op, width, dst.0, 0, b, NO_MASK, false, Some(imm));
    }

    /// As [`Asm::op3`], under a mask; other lanes become 0 or stay.
    #[expect(clippy::too_many_arguments, reason = "an instruction has that many fields")]
    pub(super) fn op3_masked(
        &mut self,
        op: Op,
        width: Width,
        dst: Vec,
        a: Vec,
        b: Rm,
        mask: Mask,
        zero: bool,
    ) {
        self.vector(op, width, dst.0, a.0, b, mask, zero, None);
    }

    /// Compares into a mask register; EVEX alone.
    pub(super) fn cmp_mask(&mut self, op: Op, width: Width, dst: Mask, a: Vec, b: Rm, imm: u8) {
        self.vector(op, width, dst.0, a.0, b, NO_MASK, false, Some(imm));
    }

    /// `dst = shift(a, imm)`
    pub(super) fn shift(&mut self, shift: Shift, w: bool, width: Width, dst: Vec, a: Vec, imm: u8) {
        self.vector(Op::shift(w), width, shift as u8, dst.0, Rm::Reg(a), NO_MASK, false, Some(imm));
    }

    /// Moves bytes `half..2·half` of `a` down to the start of `dst`; the rest of `dst` is anything.
    pub(super) fn upper(&mut self, half: usize, dst: Vec, a: Vec) {
        match half {
            32 => {
                let rm = Rm::Reg(dst);
                self.vector(Op::UPPER_32, Width::Z, a.0, 0, rm, NO_MASK, false, Some(1));
            }
            16 => {
                let rm = Rm::Reg(dst);
                self.vector(Op::UPPER_16, Width::Y, a.0, 0, rm, NO_MASK, false, Some(1));
            }
            8 => self.op2_imm(Op::SHUFFLE, Width::X, dst, Rm::Reg(a), 0x4E),
            _ => self.op2_imm(Op::SHUFFLE, Width::X, dst, Rm::Reg(a), 0x55),
        }
    }

    pub(super) fn mov(&mut self, width: Width, dst: Vec, a: Vec) {
        self.op2(Op::load(false), width, dst, Rm::Reg(a));
    }

    pub(super) fn store(&mut self, op: Op, width: Width, mem: Mem, src: Vec, mask: Mask) {
        self.vector(op, width, src.0, 0, Rm::Mem(mem), mask, false, None);
    }

    /// Ends the use of wide registers before code of another kind.
    pub(super) fn vzeroupper(&mut self) {
        self.code.extend_from_slice(&[0xC5, 0xF8, 0x77]);
    }

    /// `mask = the low bits of a general register`
    pub(super) fn kmovd(&mut self, mask: Mask, from: Gpr) {
        // VEX.L0.F2.0F.W0 92 /r
        let b = if from.0 >= 8 { 0 } else { 0x20 };
        self.code.extend_from_slice(&[0xC4, 0xC1 | b, 0x7B, 0x92]);
        self.code.push(0xC0 | mask.0 << 3 | from.0 & 7);
    }

    #[expect(clippy::too_many_arguments, reason = "an instruction has that many fields")]
    fn vector(
        &mut self,
        op: Op,
        width: Width,
        reg: u8,
        vvvv: u8,
        rm: Rm,
        mask: Mask,
        zero: bool,
        imm: Option<u8>,
    ) {
        let (x, b) = match rm {
            Rm::Reg(r) => (r.0 >> 4, r.0 >> 3),
            Rm::Mem(Mem::At { base, index, .. }) | Rm::Broadcast(Mem::At { base, index, .. }) => {
                (index.map_or(0, |i| i.0.0 >> 3), base.0 >> 3)
            }
            Rm::Mem(Mem::Pool(_)) | Rm::Broadcast(Mem::Pool(_)) => (0, 0),
        };
        let element = if op.w { 8 } else { 4 };
        let scale = match self.isa {
            Isa::Evex => {
                let inverted = |bit: u8, at: u8| (!bit & 1) << at;
                self.code.push(0x62);
                self.code.push(
                    inverted(reg >> 3, 7)
                        | inverted(x, 6)
                        | inverted(b, 5)
                        | inverted(reg >> 4, 4)
                        | op.map,
                );
                self.code.push((op.w as u8) << 7 | (!vvvv & 15) << 3 | 4 | op.pp);
                let length = match width {
                    Width::X => 0,
                    Width::Y => 1,
                    Width::Z => 2,
                };
                let broadcast = matches!(rm, Rm::Broadcast(_));
                self.code.push(
                    (zero as u8) << 7
                        | length << 5
                        | (broadcast as u8) << 4
                        | inverted(vvvv >> 4, 3)
                        | mask.0,
                );
                match (broadcast, op.tuple) {
                    (true, _) | (_, Tuple::Scalar) => element,
                    (_, Tuple::Full) => width.bytes() as i32,
                    (_, Tuple::Quarter) => width.bytes() as i32 / 4,
                    (_, Tuple::Byte) => 1,
                }
            }
            Isa::Vex => {
                debug_assert!(reg < 16 && vvvv < 16 && mask == NO_MASK && width != Width::Z);
                self.code.push(0xC4);
                let inverted = |bit: u8, at: u8| (!bit & 1) << at;
                self.code.push(inverted(reg >> 3, 7) | inverted(x, 6) | inverted(b, 5) | op.map);
                let w = op.w && !op.vex_w0;
                let length = (width == Width::Y) as u8;
                self.code.push((w as u8) << 7 | (!vvvv & 15) << 3 | length << 2 | op.pp);
                1
            }
        };
        self.code.push(op.opcode);
        match rm {
            Rm::Reg(r) => self.code.push(0xC0 | (reg & 7) << 3 | r.0 & 7),
            Rm::Mem(mem) | Rm::Broadcast(mem) => self.mem(reg, mem, scale, imm.is_some() as usize),
        }
        self.code.extend(imm);
    }

    /// The bytes that name `reg` and a memory operand; `trailing` bytes of immediate follow.
    fn mem(&mut self, reg: u8, mem: Mem, scale: i32, trailing: usize) {
        let reg = (reg & 7) << 3;
        match mem {
            Mem::Pool(offset) => {
                self.code.push(reg | 5);
                let at = self.code.len();
                self.pool_uses.push((at, at + 4 + trailing, offset));
                self.code.extend_from_slice(&[0; 4]);
            }
            Mem::At { base, index, disp } => {
                let short = disp % scale == 0 && i8::try_from(disp / scale).is_ok();
                // A base of rbp or r13 needs a displacement; one of rsp or r12, or an index, needs a SIB byte.
                let mode = match (disp, short) {
                    (0, _) if base.0 & 7 != 5 => 0x00,
                    (_, true) => 0x40,
                    _ => 0x80,
                };
                if index.is_some() || base.0 & 7 == 4 {
                    let (index, scale) = index.map_or((4, 0), |(i, scale)| (i.0 & 7, scale));
                    self.code
                        .extend_from_slice(&[mode | reg | 4, scale << 6 | index << 3 | base.0 & 7]);
                } else {
                    self.code.push(mode | reg | base.0 & 7);
                }
                match mode {
                    0x40 => self.code.push((disp / scale) as i8 as u8),
                    0x80 => self.code.extend_from_slice(&disp.to_le_bytes()),
                    _ => {}
                }
            }
        }
    }

    // General instructions, on 64 bits.

    fn rex_mem(&mut self, opcode: u8, reg: u8, mem: Mem, trailing: usize) {
        let (x, b) = match mem {
            Mem::At { base, index, .. } => (index.map_or(0, |i| i.0.0 >> 3), base.0 >> 3),
            Mem::Pool(_) => (0, 0),
        };
        self.code.extend_from_slice(&[0x48 | (reg >> 3) << 2 | x << 1 | b, opcode]);
        self.mem(reg, mem, 1, trailing);
    }

    fn rex_reg(&mut self, opcode: u8, reg: u8, rm: Gpr) {
        self.code.extend_from_slice(&[0x48 | (reg >> 3) << 2 | rm.0 >> 3, opcode]);
        self.code.push(0xC0 | (reg & 7) << 3 | rm.0 & 7);
    }

    pub(super) fn mov_load(&mut self, dst: Gpr, mem: Mem) {
        self.rex_mem(0x8B, dst.0, mem, 0);
    }

    /// Brings the line of `mem` into the first-level cache; never faults.
    pub(super) fn prefetch(&mut self, mem: Mem) {
        let (x, b) = match mem {
            Mem::At { base, index, .. } => (index.map_or(0, |i| i.0.0 >> 3), base.0 >> 3),
            Mem::Pool(_) => (0, 0),
        };
        self.code.extend_from_slice(&[0x40 | x << 1 | b, 0x0F, 0x18]);
        self.mem(1, mem, 1, 0);
    }

    /// 32 bits with sign.
    pub(super) fn mov_load_i32(&mut self, dst: Gpr, mem: Mem) {
        self.rex_mem(0x63, dst.0, mem, 0);
    }

    /// 32 bits without sign.
    pub(super) fn mov_load_u32(&mut self, dst: Gpr, mem: Mem) {
        let (x, b) = match mem {
            Mem::At { base, index, .. } => (index.map_or(0, |i| i.0.0 >> 3), base.0 >> 3),
            Mem::Pool(_) => (0, 0),
        };
        self.code.extend_from_slice(&[0x40 | (dst.0 >> 3) << 2 | x << 1 | b, 0x8B]);
        self.mem(dst.0, mem, 1, 0);
    }

    /// `[mem] = imm`, in 32 bits with sign.
    pub(super) fn mov_mem_imm(&mut self, mem: Mem, imm: i32) {
        self.rex_mem(0xC7, 0, mem, 4);
        self.code.extend_from_slice(&imm.to_le_bytes());
    }

    pub(super) fn mov_store(&mut self, mem: Mem, src: Gpr) {
        self.rex_mem(0x89, src.0, mem, 0);
    }

    pub(super) fn mov_reg(&mut self, dst: Gpr, src: Gpr) {
        self.rex_reg(0x8B, dst.0, src);
    }

    pub(super) fn lea(&mut self, dst: Gpr, mem: Mem) {
        self.rex_mem(0x8D, dst.0, mem, 0);
    }

    /// `dst = imm`
    pub(super) fn mov_imm(&mut self, dst: Gpr, imm: i64) {
        if let Ok(imm) = u32::try_from(imm) {
            if dst.0 >= 8 {
                self.code.push(0x41);
            }
            self.code.push(0xB8 | dst.0 & 7);
            self.code.extend_from_slice(&imm.to_le_bytes());
        } else {
            self.code.extend_from_slice(&[0x48 | dst.0 >> 3, 0xB8 | dst.0 & 7]);
            self.code.extend_from_slice(&imm.to_le_bytes());
        }
    }

    /// `dst += src`
    pub(super) fn add_reg(&mut self, dst: Gpr, src: Gpr) {
        self.rex_reg(0x03, dst.0, src);
    }

    /// `dst *= src`, the low 64 bits.
    pub(super) fn mul_reg(&mut self, dst: Gpr, src: Gpr) {
        self.code.extend_from_slice(&[0x48 | (dst.0 >> 3) << 2 | src.0 >> 3, 0x0F, 0xAF]);
        self.code.push(0xC0 | (dst.0 & 7) << 3 | src.0 & 7);
    }

    /// `dst &= imm`, in 32 bits with sign.
    pub(super) fn and_imm(&mut self, dst: Gpr, imm: i32) {
        self.rex_reg(0x81, 4, dst);
        self.code.extend_from_slice(&imm.to_le_bytes());
    }

    /// `[mem] += src`
    pub(super) fn add_store(&mut self, mem: Mem, src: Gpr) {
        self.rex_mem(0x01, src.0, mem, 0);
    }

    /// `dst += imm`, in 32 bits with sign.
    pub(super) fn add_imm(&mut self, dst: Gpr, imm: i32) {
        self.rex_reg(0x81, 0, dst);
        self.code.extend_from_slice(&imm.to_le_bytes());
    }

    /// `dst = -dst`
    pub(super) fn neg(&mut self, dst: Gpr) {
        self.rex_reg(0xF7, 3, dst);
    }

    /// `[mem] += imm`, in 32 bits with sign.
    pub(super) fn add_mem_imm(&mut self, mem: Mem, imm: i32) {
        self.rex_mem(0x81, 0, mem, 4);
        self.code.extend_from_slice(&imm.to_le_bytes());
    }

    /// Compares a register with 32 bits with sign.
    pub(super) fn cmp_imm(&mut self, a: Gpr, imm: i32) {
        self.rex_reg(0x81, 7, a);
        self.code.extend_from_slice(&imm.to_le_bytes());
    }

    /// Compares memory with 32 bits with sign.
    pub(super) fn cmp_mem_imm(&mut self, mem: Mem, imm: i32) {
        self.rex_mem(0x81, 7, mem, 4);
        self.code.extend_from_slice(&imm.to_le_bytes());
    }

    /// Compares a byte of memory with an immediate.
    pub(super) fn cmp_byte_imm(&mut self, mem: Mem, imm: u8) {
        if let Mem::At { base, index, .. } = mem {
            self.code.push(0x40 | index.map_or(0, |i| i.0.0 >> 3) << 1 | base.0 >> 3);
        }
        self.code.push(0x80);
        self.mem(7, mem, 1, 1);
        self.code.push(imm);
    }

    /// Whether the low half of a register is zero, as the flags of a later jump.
    pub(super) fn test32(&mut self, a: Gpr) {
        let rex = if a.0 >= 8 { 0x45 } else { 0x40 };
        self.code.extend_from_slice(&[rex, 0x85, 0xC0 | (a.0 & 7) << 3 | a.0 & 7]);
    }

    pub(super) fn jump(&mut self, label: Label) {
        self.code.push(0xE9);
        self.distance(label);
    }

    pub(super) fn jump_if(&mut self, condition: If, label: Label) {
        self.code.extend_from_slice(&[0x0F, 0x80 | condition as u8]);
        self.distance(label);
    }

    fn distance(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.code.extend_from_slice(&[0; 4]);
    }

    pub(super) fn call(&mut self, target: Gpr) {
        if target.0 >= 8 {
            self.code.push(0x41);
        }
        self.code.extend_from_slice(&[0xFF, 0xD0 | target.0 & 7]);
    }

    pub(super) fn push(&mut self, a: Gpr) {
        if a.0 >= 8 {
            self.code.push(0x41);
        }
        self.code.push(0x50 | a.0 & 7);
    }

    pub(super) fn pop(&mut self, a: Gpr) {
        if a.0 >= 8 {
            self.code.push(0x41);
        }
        self.code.push(0x58 | a.0 & 7);
    }

    /// `rsp &= -64`
    pub(super) fn align_stack(&mut self) {
        self.code.extend_from_slice(&[0x48, 0x83, 0xE4, 0xC0]);
    }

    pub(super) fn ret(&mut self) {
        self.code.push(0xC3);
    }
}

#[cfg(test)]
mod tests;
