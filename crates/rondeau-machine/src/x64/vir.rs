//! Straight lines of vector operations on virtual registers.
//!
//! A [`Block`] is built from DAGs and from the definitions of [`crate::math`], which are generic over
//! [`Lane`]: here a lane is a virtual register, and each operation appends an instruction. The room knows no
//! real registers.

use super::encode::{Isa, Op, Shift};
use crate::code::Combine;
use crate::dag::{Binary, DType, Node, Unary, Val};
use crate::math::poly::{self, Table};
use crate::math::{Lane, define};
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A virtual register: a vector of 32-bit or 64-bit lanes. Truth values are lanes of ones or zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct V(pub(super) u32);

/// A place in memory: one of the kernel's pointers, and bytes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) pointer: usize,
    pub(super) disp: i32,
    /// Whether the column counter is added, times the size of an element.
    pub(super) indexed: bool,
    /// Whether only the lanes of the tail are touched.
    pub(super) masked: bool,
}

/// What lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A vector of lanes.
    Lanes,
    /// One element for all lanes.
    One,
    /// A vector of bytes, truth values.
    Bytes,
    /// One byte for all lanes.
    OneByte,
}

/// A comparison of floats or of signed or unsigned integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compare {
    pub(super) of: Ordered,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ordered {
    Floats,
    Signed,
    Unsigned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Either is NaN.
    Unordered,
}

/// An instruction; the result is a new register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ins {
    Load {
        dst: V,
        at: At,
        form: Form,
    },
    Store {
        src: V,
        at: At,
        form: Form,
    },
    Op3 {
        op: Op,
        dst: V,
        a: V,
        b: V,
        commutes: bool,
    },
    Op2 {
        op: Op,
        dst: V,
        a: V,
        imm: Option<u8>,
    },
    Shift {
        shift: Shift,
        dst: V,
        a: V,
        by: u8,
    },
    /// `a·b + c`, or `c - a·b`.
    Fma {
        dst: V,
        a: V,
        b: V,
        c: V,
        negate: bool,
    },
    /// `a` in the lanes of the tail, `b` in the others.
    Tail {
        dst: V,
        a: V,
        b: V,
    },
    /// Bytes `half..2·half` of `a`, moved down.
    Upper {
        dst: V,
        a: V,
        half: usize,
    },
    /// The table of three bits in the immediate; EVEX alone.
    Ternlog {
        dst: V,
        a: V,
        b: V,
        c: V,
        imm: u8,
    },
    Compare {
        dst: V,
        compare: Compare,
        x: V,
        y: V,
    },
    /// `a` where the comparison holds, else `b`.
    Choose {
        dst: V,
        compare: Compare,
        x: V,
        y: V,
        a: V,
        b: V,
    },
}

impl Ins {
    pub(super) fn operands(&self) -> impl Iterator<Item = V> {
        let list = match *self {
            Ins::Load { .. } => [None; 4],
            Ins::Store { src: a, .. }
            | Ins::Op2 { a, .. }
            | Ins::Upper { a, .. }
            | Ins::Shift { a, .. } => [Some(a), None, None, None],
            Ins::Op3 { a, b, .. } | Ins::Tail { a, b, .. } | Ins::Compare { x: a, y: b, .. } => {
                [Some(a), Some(b), None, None]
            }
            Ins::Fma { a, b, c, .. } | Ins::Ternlog { a, b, c, .. } => {
                [Some(a), Some(b), Some(c), None]
            }
            Ins::Choose { x, y, a, b, .. } => [Some(x), Some(y), Some(a), Some(b)],
        };
        list.into_iter().flatten()
    }
}

/// What a virtual register is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Def {
    /// The same bits in all lanes.
    Const(u64),
    /// The result of an instruction, or given from outside.
    Value,
}

/// Instructions in order.
pub(super) struct Block {
    pub(super) isa: Isa,
    /// Whether lanes have 64 bits.
    pub(super) wide: bool,
    pub(super) ins: Vec<Ins>,
    pub(super) defs: Vec<Def>,
}

impl Block {
    pub(super) fn new(isa: Isa, wide: bool) -> Block {
        Block { isa, wide, ins: vec![], defs: vec![] }
    }

    pub(super) fn value(&mut self) -> V {
        self.defs.push(Def::Value);
        V(self.defs.len() as u32 - 1)
    }

    pub(super) fn constant(&mut self, bits: u64) -> V {
        let bits = if self.wide { bits } else { bits & 0xFFFF_FFFF };
        if let Some(i) = self.defs.iter().position(|d| *d == Def::Const(bits)) {
            return V(i as u32);
        }
        self.defs.push(Def::Const(bits));
        V(self.defs.len() as u32 - 1)
    }

    /// The constant with these bits, or the 32-bit ones.
    fn bits(&mut self, wide: u64, narrow: u32) -> V {
        self.constant(if self.wide { wide } else { narrow as u64 })
    }

    fn sign(&mut self) -> V {
        self.bits(1 << 63, 1 << 31)
    }

    fn float(&mut self, x: f64) -> V {
        self.bits(x.to_bits(), (x as f32).to_bits())
    }

    fn op3(&mut self, op: Op, a: V, b: V) -> V {
        let dst = self.value();
        self.ins.push(Ins::Op3 { op, dst, a, b, commutes: false });
        dst
    }

    fn op3_commuting(&mut self, op: Op, a: V, b: V) -> V {
        let dst = self.value();
        self.ins.push(Ins::Op3 { op, dst, a, b, commutes: true });
        dst
    }

    fn op2(&mut self, op: Op, a: V, imm: Option<u8>) -> V {
        let dst = self.value();
        self.ins.push(Ins::Op2 { op, dst, a, imm });
        dst
    }

    fn shift(&mut self, shift: Shift, a: V, by: u8) -> V {
        let dst = self.value();
        self.ins.push(Ins::Shift { shift, dst, a, by });
        dst
    }

    fn fma(&mut self, a: V, b: V, c: V, negate: bool) -> V {
        let dst = self.value();
        self.ins.push(Ins::Fma { dst, a, b, c, negate });
        dst
    }

    fn choose(&mut self, compare: Compare, x: V, y: V, a: V, b: V) -> V {
        let dst = self.value();
        self.ins.push(Ins::Choose { dst, compare, x, y, a, b });
        dst
    }

    fn compare(&mut self, compare: Compare, x: V, y: V) -> V {
        let dst = self.value();
        self.ins.push(Ins::Compare { dst, compare, x, y });
        dst
    }

    /// The magnitude of `a` with the sign of `b`.
    fn copysign(&mut self, a: V, b: V) -> V {
        let sign = self.sign();
        let magnitude = self.abs(a);
        if self.isa == Isa::Evex {
            // a | (b & sign)
            let dst = self.value();
            self.ins.push(Ins::Ternlog { dst, a: magnitude, b, c: sign, imm: 0xF8 });
            dst
        } else {
            let sign = self.op3_commuting(Op::and(self.wide), b, sign);
            self.op3_commuting(Op::or(self.wide), magnitude, sign)
        }
    }

    fn abs(&mut self, a: V) -> V {
        let magnitude = self.bits(u64::MAX >> 1, u32::MAX >> 1);
        self.op3_commuting(Op::and(self.wide), a, magnitude)
    }

    fn neg(&mut self, a: V) -> V {
        let sign = self.sign();
        // -|x| sets the sign bit at once.
        let magnitude = self.bits(u64::MAX >> 1, u32::MAX >> 1);
        let abs = Op::and(self.wide);
        if let Some(&Ins::Op3 { op, dst, a: x, b, .. }) = self.ins.last()
            && (op, dst, b) == (abs, a, magnitude)
        {
            return self.op3_commuting(Op::or(self.wide), x, sign);
        }
        self.op3_commuting(Op::xor(self.wide), a, sign)
    }
}

const LT: Compare = Compare { of: Ordered::Floats, how: How::Lt };
const EQ: Compare = Compare { of: Ordered::Floats, how: How::Eq };
const UNORDERED: Compare = Compare { of: Ordered::Floats, how: How::Unordered };

/// A register as a number of the definitions; `WIDE` says whether it is an `f64`.
#[derive(Clone, Copy)]
pub(super) struct Emitted<'a, const WIDE: bool> {
    block: &'a RefCell<Block>,
    v: V,
}

impl<'a, const WIDE: bool> Emitted<'a, WIDE> {
    fn with(self, f: impl FnOnce(&mut Block) -> V) -> Self {
        let v = f(&mut self.block.borrow_mut());
        Emitted { v, ..self }
    }

    /// Adds the number that leaves an integer in the low bits of the sum.
    fn plus_integer(self) -> Self {
        self + self.lit(Self::INTEGER)
    }

    const MANTISSA: u8 = if WIDE { 52 } else { 23 };
    const BIAS: u64 = if WIDE { 1023 } else { 127 };
    const INTEGER: f64 = (3u64 << (Self::MANTISSA - 1)) as f64;
}

macro_rules! operator {
    ($trait:ident, $f:ident, $op:ident, $emit:ident) => {
        impl<const WIDE: bool> $trait for Emitted<'_, WIDE> {
            type Output = Self;
            fn $f(self, other: Self) -> Self {
                self.with(|b| b.$emit(Op::$op(WIDE), self.v, other.v))
            }
        }
    };
}
operator!(Add, add, add, op3_commuting);
operator!(Sub, sub, sub, op3);
operator!(Mul, mul, mul, op3_commuting);
operator!(Div, div, div, op3);

impl<const WIDE: bool> Neg for Emitted<'_, WIDE> {
    type Output = Self;
    fn neg(self) -> Self {
        self.with(|b| b.neg(self.v))
    }
}

impl<const WIDE: bool> Lane for Emitted<'_, WIDE> {
    type Mask = (Compare, V, V);

    const TABLE: &'static Table = if WIDE { &poly::DOUBLE } else { &poly::SINGLE };

    fn lit(self, c: f64) -> Self {
        self.with(|b| b.float(c))
    }
    fn fma(self, factor: Self, addend: Self) -> Self {
        self.with(|b| b.fma(self.v, factor.v, addend.v, false))
    }
    fn abs(self) -> Self {
        self.with(|b| b.abs(self.v))
    }
    fn copysign(self, sign: Self) -> Self {
        self.with(|b| b.copysign(self.v, sign.v))
    }
    fn min(self, other: Self) -> Self {
        self.with(|b| b.op3(Op::min(WIDE), self.v, other.v))
    }
    fn max(self, other: Self) -> Self {
        self.with(|b| b.op3(Op::max(WIDE), self.v, other.v))
    }
    fn round(self) -> Self {
        self.with(|b| b.op2(Op::round(WIDE), self.v, Some(NEAREST)))
    }
    fn sqrt(self) -> Self {
        self.with(|b| b.op2(Op::sqrt(WIDE), self.v, None))
    }
    fn pow2(self) -> Self {
        let sum = self.plus_integer();
        self.with(|b| {
            let bias = b.constant(Self::BIAS);
            let biased = b.op3_commuting(Op::add_int(WIDE), sum.v, bias);
            b.shift(Shift::Left, biased, Self::MANTISSA)
        })
    }
    fn split(self) -> (Self, Self) {
        let root_half = self.lit(Self::TABLE.root_half);
        let one = self.with(|b| b.constant(Self::BIAS << Self::MANTISSA));
        let integer = self.lit(Self::INTEGER);
        let biased = self.with(|b| {
            let bits = b.op3(Op::sub_int(WIDE), self.v, root_half.v);
            let bits = b.op3_commuting(Op::add_int(WIDE), bits, one.v);
            b.shift(Shift::RightLogical, bits, Self::MANTISSA)
        });
        let m = self.with(|b| {
            let exponent = b.shift(Shift::Left, biased.v, Self::MANTISSA);
            let bits = b.op3(Op::sub_int(WIDE), self.v, exponent);
            b.op3_commuting(Op::add_int(WIDE), bits, one.v)
        });
        let e = self.with(|b| b.op3_commuting(Op::add_int(WIDE), biased.v, integer.v)) - integer;
        (m, e - self.lit(Self::BIAS as f64))
    }
    fn bit(self, k: u32) -> Self::Mask {
        // The bit becomes the sign of a one, which a comparison with zero finds.
        let bits = self.plus_integer();
        let (one, zero) = (self.lit(1.0), self.lit(0.0));
        let signed = self.with(|b| {
            let top = b.shift(Shift::Left, bits.v, if WIDE { 63 } else { 31 } - k as u8);
            b.copysign(one.v, top)
        });
        (LT, signed.v, zero.v)
    }
    fn lt(self, other: Self) -> Self::Mask {
        (LT, self.v, other.v)
    }
    fn le(self, other: Self) -> Self::Mask {
        (Compare { of: Ordered::Floats, how: How::Le }, self.v, other.v)
    }
    fn select((compare, x, y): Self::Mask, yes: Self, no: Self) -> Self {
        yes.with(|b| b.choose(compare, x, y, yes.v, no.v))
    }
    fn scale(self, n: Self) -> Self {
        if self.block.borrow().isa == Isa::Evex {
            return self.with(|b| b.op3(Op::scalef(WIDE), self.v, n.v));
        }
        let half = (n * n.lit(0.5)).round();
        self * half.pow2() * (n - half).pow2()
    }
}

const NEAREST: u8 = 8;
const DOWN: u8 = 9;
const UP: u8 = 10;

/// Whether [`lower`] can lower each node that is needed, or the first that it cannot.
pub(super) fn covers(
    isa: Isa,
    wide: bool,
    dag: &[Node],
    dtypes: &[DType],
    needed: &[bool],
) -> Result<(), String> {
    let unfit = |i: usize| Err(format!("{:?} of {:?}", dag[i], dtypes[i]));
    for (i, node) in dag.iter().enumerate().filter(|(i, _)| needed[*i]) {
        let of = |v: Val| dtypes[v.0 as usize];
        let sized = |d: DType| match d {
            DType::Bool => true,
            _ => (d.size() == 8) == wide,
        };
        let unsigned_order = |d: DType| d == DType::U32 && isa == Isa::Vex;
        let fits = sized(dtypes[i])
            && match *node {
                Node::Load(_) => dtypes[i] != DType::Bool || (isa == Isa::Evex && !wide),
                Node::Product(_) | Node::Const { .. } => true,
                Node::Iota { .. } | Node::Step { .. } | Node::Threefry { .. } => false,
                Node::Unary(op, a) => match op {
                    Unary::Neg | Unary::Abs | Unary::Square | Unary::Not => true,
                    Unary::Sign => of(a).is_float(),
                    Unary::Floor
                    | Unary::Ceil
                    | Unary::Round
                    | Unary::Sqrt
                    | Unary::Rsqrt
                    | Unary::Exp
                    | Unary::Expm1
                    | Unary::Log
                    | Unary::Log1p
                    | Unary::Tanh
                    | Unary::Sigmoid
                    | Unary::Erf
                    | Unary::IsFinite => true,
                    Unary::Sin
                    | Unary::Cos
                    | Unary::Tan
                    | Unary::ErfInv
                    | Unary::Asin
                    | Unary::Acos
                    | Unary::Atan
                    | Unary::Sinh
                    | Unary::Cosh => false,
                },
                Node::Binary(op, a, _) => match op {
                    Binary::Add | Binary::Sub | Binary::Mul => true,
                    Binary::Div => of(a).is_float(),
                    Binary::Rem | Binary::Pow | Binary::Atan2 => false,
                    Binary::Max | Binary::Min => true,
                    Binary::And | Binary::Or | Binary::Xor => true,
                    Binary::Shl | Binary::ShrLogical | Binary::ShrArithmetic => true,
                    Binary::Eq | Binary::Ne => true,
                    Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => !unsigned_order(of(a)),
                },
                Node::IntegerPow(a, n) => n.unsigned_abs() <= 64 && (n >= 0 || of(a).is_float()),
                Node::Fma(..) | Node::Select(..) => true,
                Node::Convert(a, to) => match (of(a), to) {
                    (from, to) if from == to => true,
                    (DType::I32, DType::F32) | (DType::F32, DType::I32) => true,
                    (DType::U32, DType::F32) => isa == Isa::Evex,
                    (DType::I32, DType::U32) | (DType::U32, DType::I32) => true,
                    (DType::Bool, _) | (_, DType::Bool) => sized(of(a)),
                    _ => false,
                },
                Node::Bitcast(..) => true,
            };
        if !fits {
            return unfit(i);
        }
    }
    Ok(())
}

/// A value of a DAG while it is lowered: a comparison becomes lanes only where they are needed.
#[derive(Clone, Copy)]
pub(super) enum Lowered {
    Lanes(V),
    Compared(Compare, V, V),
}

/// Appends a DAG that [`covers`] accepts; `given` has the loads and products.
pub(super) fn lower(
    block: &RefCell<Block>,
    dag: &[Node],
    dtypes: &[DType],
    mut given: impl FnMut(&mut Block, usize, &Node) -> V,
    needed: &[bool],
) -> Vec<Lowered> {
    let mut values: Vec<Lowered> = vec![];
    for (i, node) in dag.iter().enumerate() {
        if !needed[i] {
            values.push(Lowered::Lanes(V(u32::MAX)));
            continue;
        }
        let lowered = match *node {
            Node::Load(_) | Node::Product(_) => {
                Lowered::Lanes(given(&mut block.borrow_mut(), i, node))
            }
            Node::Const { dtype, bits } => {
                let bits = if dtype == DType::Bool && bits != 0 { u64::MAX } else { bits };
                Lowered::Lanes(block.borrow_mut().constant(bits))
            }
            _ => lower_node(block, node, &values, dtypes),
        };
        values.push(lowered);
    }
    values
}

/// The lanes of a value.
pub(super) fn lanes(block: &mut Block, value: Lowered) -> V {
    match value {
        Lowered::Lanes(v) => v,
        Lowered::Compared(compare, x, y) => block.compare(compare, x, y),
    }
}

fn lower_node(
    block: &RefCell<Block>,
    node: &Node,
    values: &[Lowered],
    dtypes: &[DType],
) -> Lowered {
    let value = |v: Val| values[v.0 as usize];
    let of = |v: Val| dtypes[v.0 as usize];
    let reg = |v: Val| lanes(&mut block.borrow_mut(), value(v));
    let wide = block.borrow().wide;
    let v = match *node {
        Node::Unary(op, a) if of(a).is_float() => {
            let a = reg(a);
            if op == Unary::IsFinite {
                let mut b = block.borrow_mut();
                let (magnitude, inf) = (b.abs(a), b.float(f64::INFINITY));
                return Lowered::Compared(LT, magnitude, inf);
            }
            unary_float(block, op, a, wide)
        }
        Node::Unary(op, a) => {
            let (dtype, a) = (of(a), reg(a));
            unary_int(&mut block.borrow_mut(), op, dtype, a)
        }
        Node::Binary(op, a, b) => {
            let (dtype, a, b) = (of(a), reg(a), reg(b));
            match compare_of(op, dtype) {
                Some(compare) => return Lowered::Compared(compare, a, b),
                None => binary(&mut block.borrow_mut(), op, dtype, a, b),
            }
        }
        Node::IntegerPow(a, n) => {
            let (dtype, a) = (of(a), reg(a));
            integer_pow(&mut block.borrow_mut(), dtype, a, n)
        }
        Node::Fma(a, b, c) => {
            let (a, b, c) = (reg(a), reg(b), reg(c));
            block.borrow_mut().fma(a, b, c, false)
        }
        Node::Select(p, a, b) => {
            let (a, b) = (reg(a), reg(b));
            match value(p) {
                Lowered::Compared(compare, x, y) => block.borrow_mut().choose(compare, x, y, a, b),
                Lowered::Lanes(p) => select(&mut block.borrow_mut(), p, a, b),
            }
        }
        Node::Convert(a, to) => {
            let (from, a) = (of(a), reg(a));
            return convert(&mut block.borrow_mut(), from, to, a);
        }
        Node::Bitcast(a, _) => reg(a),
        Node::Load(_)
        | Node::Product(_)
        | Node::Const { .. }
        | Node::Iota { .. }
        | Node::Step { .. }
        | Node::Threefry { .. } => unreachable!("internal: {node:?} is not lowered here"),
    };
    Lowered::Lanes(v)
}

fn compare_of(op: Binary, dtype: DType) -> Option<Compare> {
    let how = match op {
        Binary::Eq => How::Eq,
        Binary::Ne => How::Ne,
        Binary::Lt => How::Lt,
        Binary::Le => How::Le,
        Binary::Gt => How::Gt,
        Binary::Ge => How::Ge,
        _ => return None,
    };
    let of = match dtype {
        DType::F32 | DType::F64 => Ordered::Floats,
        DType::I32 => Ordered::Signed,
        DType::U32 => Ordered::Unsigned,
        // Truth values are equal where their lanes are; `binary` has that.
        DType::Bool => return None,
    };
    Some(Compare { of, how })
}

fn unary_float(block: &RefCell<Block>, op: Unary, v: V, wide: bool) -> V {
    if wide {
        defined(Emitted::<true> { block, v }, op).v
    } else {
        defined(Emitted::<false> { block, v }, op).v
    }
}

fn defined<'a, const WIDE: bool>(x: Emitted<'a, WIDE>, op: Unary) -> Emitted<'a, WIDE> {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign => {
            let one = x.lit(1.0).copysign(x);
            Lane::select(x.lit(0.0).lt(x.abs()), one, x)
        }
        Unary::Floor => x.with(|b| b.op2(Op::round(WIDE), x.v, Some(DOWN))),
        Unary::Ceil => x.with(|b| b.op2(Op::round(WIDE), x.v, Some(UP))),
        Unary::Round => x.round(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => x.lit(1.0) / x.sqrt(),
        Unary::Exp => define::exp(x),
        Unary::Expm1 => define::expm1(x),
        Unary::Log => define::log(x),
        Unary::Log1p => define::log1p(x),
        Unary::Tanh => define::tanh(x),
        Unary::Sigmoid => define::sigmoid(x),
        Unary::Erf => define::erf(x),
        Unary::Square => x * x,
        Unary::Not
        | Unary::IsFinite
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::ErfInv
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh => unreachable!("internal: {op:?} is not covered"),
    }
}

fn unary_int(b: &mut Block, op: Unary, dtype: DType, a: V) -> V {
    match op {
        Unary::Abs if dtype == DType::U32 => a,
        Unary::Neg => {
            let zero = b.constant(0);
            b.op3(Op::SUB_D, zero, a)
        }
        Unary::Abs => {
            // (a ^ s) - s with s = a >> 31.
            let s = b.shift(Shift::RightArithmetic, a, 31);
            let flipped = b.op3_commuting(Op::xor(false), a, s);
            b.op3(Op::SUB_D, flipped, s)
        }
        Unary::Square => b.op3_commuting(Op::MUL_D, a, a),
        // `Not`; the rest is not covered.
        _ => {
            let ones = b.constant(u64::MAX);
            b.op3_commuting(Op::xor(b.wide), a, ones)
        }
    }
}

/// The values of `how` combined as the tile machine does it; none if that is not emitted.
pub(super) fn combine(how: Combine, dtype: DType) -> Option<Binary> {
    match (how, dtype) {
        (_, DType::Bool) | (Combine::ArgMax | Combine::ArgMin, _) => None,
        (Combine::Sum, _) => Some(Binary::Add),
        (Combine::Prod, _) => Some(Binary::Mul),
        (Combine::Max, _) => Some(Binary::Max),
        (Combine::Min, _) => Some(Binary::Min),
        (Combine::And, _) => Some(Binary::And),
        (Combine::Or, _) => Some(Binary::Or),
        (Combine::Xor, _) => Some(Binary::Xor),
    }
}

pub(super) fn binary(b: &mut Block, op: Binary, dtype: DType, x: V, y: V) -> V {
    let wide = b.wide;
    match (op, dtype) {
        (Binary::Add, DType::F32 | DType::F64) => b.op3_commuting(Op::add(wide), x, y),
        (Binary::Sub, DType::F32 | DType::F64) => b.op3(Op::sub(wide), x, y),
        (Binary::Mul, DType::F32 | DType::F64) => b.op3_commuting(Op::mul(wide), x, y),
        (Binary::Div, DType::F32 | DType::F64) => b.op3(Op::div(wide), x, y),
        (Binary::Max, DType::F32 | DType::F64) => extreme(b, Op::max(wide), Op::and(wide), x, y),
        (Binary::Min, DType::F32 | DType::F64) => extreme(b, Op::min(wide), Op::or(wide), x, y),
        (Binary::Add, _) => b.op3_commuting(Op::ADD_D, x, y),
        (Binary::Sub, _) => b.op3(Op::SUB_D, x, y),
        (Binary::Mul, _) => b.op3_commuting(Op::MUL_D, x, y),
        (Binary::Max, DType::I32) => b.op3_commuting(Op::MAX_SD, x, y),
        (Binary::Min, DType::I32) => b.op3_commuting(Op::MIN_SD, x, y),
        (Binary::Max, DType::U32) => b.op3_commuting(Op::MAX_UD, x, y),
        (Binary::Min, DType::U32) => b.op3_commuting(Op::MIN_UD, x, y),
        (Binary::Max | Binary::Or, _) => b.op3_commuting(Op::or(wide), x, y),
        (Binary::Min | Binary::And, _) => b.op3_commuting(Op::and(wide), x, y),
        (Binary::Xor | Binary::Ne, _) => b.op3_commuting(Op::xor(wide), x, y),
        (Binary::Eq, _) => {
            let differ = b.op3_commuting(Op::xor(wide), x, y);
            let ones = b.constant(u64::MAX);
            b.op3_commuting(Op::xor(wide), differ, ones)
        }
        (Binary::Shl, _) => b.op3(Op::SLLV_D, x, y),
        (Binary::ShrLogical, _) => b.op3(Op::SRLV_D, x, y),
        (Binary::ShrArithmetic, _) => b.op3(Op::SRAV_D, x, y),
        _ => unreachable!("internal: {op:?} of {dtype:?} is not covered"),
    }
}

/// The larger or smaller; of two zeros the one that `zeros` makes, and NaN if either is.
fn extreme(b: &mut Block, op: Op, zeros: Op, x: V, y: V) -> V {
    let both = b.op3_commuting(zeros, x, y);
    // A NaN in y stays, as the second operand.
    let extreme = b.op3(op, x, y);
    let extreme = b.choose(EQ, x, y, both, extreme);
    b.choose(UNORDERED, x, x, x, extreme)
}

fn integer_pow(b: &mut Block, dtype: DType, x: V, n: i32) -> V {
    let one = if dtype.is_float() { b.float(1.0) } else { b.constant(1) };
    let (mut result, mut base, mut left) = (one, x, n.unsigned_abs());
    while left > 0 {
        if left & 1 == 1 {
            // 1·x = x, also for NaN as a class.
            result = if result == one { base } else { binary(b, Binary::Mul, dtype, result, base) };
        }
        left >>= 1;
        if left > 0 {
            base = binary(b, Binary::Mul, dtype, base, base);
        }
    }
    if n < 0 { binary(b, Binary::Div, dtype, one, result) } else { result }
}

fn select(b: &mut Block, p: V, x: V, y: V) -> V {
    if b.isa == Isa::Evex {
        let dst = b.value();
        b.ins.push(Ins::Ternlog { dst, a: p, b: x, c: y, imm: 0xCA });
        return dst;
    }
    let kept = b.op3_commuting(Op::and(b.wide), p, x);
    let other = b.op3(Op::andn(b.wide), p, y);
    b.op3_commuting(Op::or(b.wide), kept, other)
}

fn convert(b: &mut Block, from: DType, to: DType, a: V) -> Lowered {
    let v = match (from, to) {
        (DType::I32, DType::F32) => b.op2(Op::I32_TO_F32, a, None),
        (DType::U32, DType::F32) => b.op2(Op::U32_TO_F32, a, None),
        (DType::F32, DType::I32) => {
            // Where it is impossible the instruction gives i32::MIN; right for large negative numbers alone.
            let truncated = b.op2(Op::F32_TO_I32, a, None);
            let (limit, highest) = (b.float(2147483648.0), b.constant(i32::MAX as u64));
            let ge = Compare { of: Ordered::Floats, how: How::Ge };
            let saturated = b.choose(ge, a, limit, highest, truncated);
            let zero = b.constant(0);
            b.choose(UNORDERED, a, a, zero, saturated)
        }
        (DType::Bool, DType::F32 | DType::F64) => {
            let one = b.float(1.0);
            b.op3_commuting(Op::and(b.wide), a, one)
        }
        (DType::Bool, DType::I32 | DType::U32) => {
            let one = b.constant(1);
            b.op3_commuting(Op::and(b.wide), a, one)
        }
        (DType::F32 | DType::F64, DType::Bool) => {
            let zero = b.constant(0);
            return Lowered::Compared(Compare { of: Ordered::Floats, how: How::Ne }, a, zero);
        }
        (DType::I32 | DType::U32, DType::Bool) => {
            let zero = b.constant(0);
            return Lowered::Compared(Compare { of: Ordered::Signed, how: How::Ne }, a, zero);
        }
        _ => a,
    };
    Lowered::Lanes(v)
}
