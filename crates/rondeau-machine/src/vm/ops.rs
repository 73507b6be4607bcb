//! The operations of a DAG over tiles: loops over the functions of [`crate::scalar`].
//!
//! A tile's values lie one after the other. Each loop is plain code that the compiler turns into vectors of the
//! width that [`run`] is compiled for.

use crate::cpu::Level;
use crate::dag::{Binary, DType, Unary};
use crate::math::{self, Function};
use crate::scalar::{Float, Int, Number, threefry};
use std::slice;

/// One operation of a tile program; operands are positions in the table of pointers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inst {
    pub(super) op: Op,
    pub(super) operands: [u16; 4],
    pub(super) result: u16,
}

/// What an [`Inst`] computes, with the type of its operands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Unary(Unary, DType),
    Binary(Binary, DType),
    IntegerPow(i32, DType),
    Fma(DType),
    /// By the size of the two values.
    Select(usize),
    /// From, to.
    Convert(DType, DType),
    /// By the size.
    Copy(usize),
    Threefry(u32),
}

/// Runs `insts` over tiles of `n` elements.
///
/// # Safety
/// `level` is available. All operands in `table` are valid for `n` elements of the operation's types, `Bool`s are
/// 0 or 1, and no result overlaps an operand of its instruction.
pub(super) unsafe fn run(level: Level, insts: &[Inst], table: *const *mut u8, n: usize) {
    match level {
        // SAFETY: the level is available, by contract.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { run_avx512(insts, table, n) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { run_avx2(insts, table, n) },
        // SAFETY: the caller's contract is that of `run_inline`.
        _ => unsafe { run_inline(insts, table, n) },
    }
}

/// # Safety
/// As [`run`], with AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
unsafe fn run_avx512(insts: &[Inst], table: *const *mut u8, n: usize) {
    // SAFETY: the caller's contract is that of `run_inline`.
    unsafe { run_inline(insts, table, n) }
}

/// # Safety
/// As [`run`], with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2(insts: &[Inst], table: *const *mut u8, n: usize) {
    // SAFETY: the caller's contract is that of `run_inline`.
    unsafe { run_inline(insts, table, n) }
}

/// # Safety
/// As [`run`], where the caller's instruction set is the one that is compiled for.
#[inline(always)]
unsafe fn run_inline(insts: &[Inst], table: *const *mut u8, n: usize) {
    for inst in insts {
        // SAFETY: operands are positions in the table, by construction of the program.
        let at = |i: usize| unsafe { *table.add(inst.operands[i] as usize) } as *const u8;
        // SAFETY: as above.
        let tile = unsafe {
            Tile {
                a: at(0),
                b: at(1),
                c: at(2),
                d: at(3),
                n,
                result: *table.add(inst.result as usize),
            }
        };
        match inst.op {
            Op::Unary(op, dtype) => unary(op, dtype, tile),
            Op::Binary(op, dtype) => binary(op, dtype, tile),
            Op::IntegerPow(power, dtype) => match dtype {
                DType::F32 => tile.map1(|x: f32| x.integer_pow(power)),
                DType::F64 => tile.map1(|x: f64| x.integer_pow(power)),
                DType::I32 => tile.map1(|x: i32| x.integer_pow(power)),
                DType::U32 => tile.map1(|x: u32| x.integer_pow(power)),
                DType::Bool => {}
            },
            Op::Fma(DType::F64) => tile.map3(|a: f64, b: f64, c: f64| a.fused(b, c)),
            Op::Fma(_) => tile.map3(|a: f32, b: f32, c: f32| a.fused(b, c)),
            Op::Select(4) => tile.map3(|p: u8, a: u32, b: u32| if p != 0 { a } else { b }),
            Op::Select(8) => tile.map3(|p: u8, a: u64, b: u64| if p != 0 { a } else { b }),
            Op::Select(_) => tile.map3(|p: u8, a: u8, b: u8| if p != 0 { a } else { b }),
            Op::Convert(from, to) => convert(from, to, tile),
            Op::Copy(4) => tile.map1(|x: u32| x),
            Op::Copy(8) => tile.map1(|x: u64| x),
            Op::Copy(_) => tile.map1(|x: u8| x),
            Op::Threefry(word) => {
                tile.map4(|k0, k1, c0, c1| threefry([k0, k1], [c0, c1])[word as usize])
            }
        }
    }
}

/// The pointers of one instruction, valid as [`run`] demands.
#[derive(Clone, Copy)]
struct Tile {
    a: *const u8,
    b: *const u8,
    c: *const u8,
    d: *const u8,
    result: *mut u8,
    n: usize,
}

impl Tile {
    #[inline(always)]
    fn map1<A: Copy, R>(self, f: impl Fn(A) -> R) {
        // SAFETY: valid for `n` elements of these types and apart from the result, by the contract of `run`.
        let (a, r) = unsafe { (self.read::<A>(self.a), self.write::<R>()) };
        for (r, &a) in r.iter_mut().zip(a) {
            *r = f(a);
        }
    }

    #[inline(always)]
    fn map2<A: Copy, R>(self, f: impl Fn(A, A) -> R) {
        // SAFETY: as in `map1`.
        let (a, b, r) = unsafe { (self.read::<A>(self.a), self.read::<A>(self.b), self.write()) };
        for ((r, &a), &b) in r.iter_mut().zip(a).zip(b) {
            *r = f(a, b);
        }
    }

    #[inline(always)]
    fn map3<P: Copy, A: Copy>(self, f: impl Fn(P, A, A) -> A) {
        // SAFETY: as in `map1`.
        let (a, b, c) = unsafe { (self.read(self.a), self.read(self.b), self.read(self.c)) };
        // SAFETY: as in `map1`.
        let r = unsafe { self.write() };
        for (((r, &a), &b), &c) in r.iter_mut().zip(a).zip(b).zip(c) {
            *r = f(a, b, c);
        }
    }

    #[inline(always)]
    fn map4(self, f: impl Fn(u32, u32, u32, u32) -> u32) {
        // SAFETY: as in `map1`.
        let (a, b, c) = unsafe { (self.read(self.a), self.read(self.b), self.read(self.c)) };
        // SAFETY: as in `map1`.
        let (d, r) = unsafe { (self.read(self.d), self.write()) };
        for ((((r, &a), &b), &c), &d) in r.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *r = f(a, b, c, d);
        }
    }

    #[inline(always)]
    fn apply<T: Float>(self, f: Function) {
        // SAFETY: as in `map1`.
        let (x, y) = unsafe { (self.read::<T>(self.a), self.write::<T>()) };
        math::apply(f, x, y);
    }

    /// # Safety
    /// `p` is valid for `n` elements of `A`.
    #[inline(always)]
    unsafe fn read<'a, A>(self, p: *const u8) -> &'a [A] {
        // SAFETY: by contract.
        unsafe { slice::from_raw_parts(p as *const A, self.n) }
    }

    /// # Safety
    /// The result is valid for `n` elements of `A` and nothing else refers to it.
    #[inline(always)]
    unsafe fn write<'a, A>(self) -> &'a mut [A] {
        // SAFETY: by contract.
        unsafe { slice::from_raw_parts_mut(self.result as *mut A, self.n) }
    }
}

#[inline(always)]
fn unary(op: Unary, dtype: DType, tile: Tile) {
    match dtype {
        DType::F32 => unary_float::<f32>(op, tile),
        DType::F64 => unary_float::<f64>(op, tile),
        DType::I32 => unary_int::<i32>(op, tile),
        DType::U32 => unary_int::<u32>(op, tile),
        // `Not` alone is defined on `Bool`.
        DType::Bool => tile.map1(|x: u8| x ^ 1),
    }
}

#[inline(always)]
fn unary_float<T: Float>(op: Unary, tile: Tile) {
    match op {
        Unary::Neg => tile.map1(T::neg),
        Unary::Abs => tile.map1(T::abs),
        Unary::Sign => tile.map1(T::sign),
        Unary::Floor => tile.map1(T::floor),
        Unary::Ceil => tile.map1(T::ceil),
        Unary::Round => tile.map1(T::round),
        Unary::Sqrt => tile.map1(T::sqrt),
        Unary::Rsqrt => tile.map1(|x: T| Number::div(T::ONE, x.sqrt())),
        Unary::Exp => tile.map1(T::exp),
        Unary::Expm1 => tile.map1(T::expm1),
        Unary::Log => tile.map1(T::log),
        Unary::Log1p => tile.map1(T::log1p),
        Unary::Sin => tile.apply::<T>(Function::Sin),
        Unary::Cos => tile.apply::<T>(Function::Cos),
        Unary::Tan => tile.map1(T::tan),
        Unary::Tanh => tile.map1(T::tanh),
        Unary::Sigmoid => tile.map1(T::sigmoid),
        Unary::Erf => tile.map1(T::erf),
        Unary::ErfInv => tile.map1(T::erf_inv),
        Unary::Asin => tile.map1(T::asin),
        Unary::Acos => tile.map1(T::acos),
        Unary::Atan => tile.map1(T::atan),
        Unary::Sinh => tile.map1(T::sinh),
        Unary::Cosh => tile.map1(T::cosh),
        Unary::Square => tile.map1(|x: T| Number::mul(x, x)),
        Unary::IsFinite => tile.map1(|x: T| x.is_finite() as u8),
        // Not defined on floats, and refused by `check`.
        Unary::Not => {}
    }
}

#[inline(always)]
fn unary_int<T: Int>(op: Unary, tile: Tile) {
    match op {
        Unary::Neg => tile.map1(T::neg),
        Unary::Abs => tile.map1(T::abs),
        Unary::Sign => tile.map1(T::sign),
        Unary::Square => tile.map1(|x: T| Number::mul(x, x)),
        Unary::Not => tile.map1(T::not),
        // Not defined on integers, and refused by `check`.
        Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::Tanh
        | Unary::Sigmoid
        | Unary::Erf
        | Unary::ErfInv
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh
        | Unary::IsFinite => {}
    }
}

#[inline(always)]
fn binary(op: Binary, dtype: DType, tile: Tile) {
    match dtype {
        DType::F32 => binary_float::<f32>(op, tile),
        DType::F64 => binary_float::<f64>(op, tile),
        DType::I32 => binary_int::<i32>(op, tile),
        DType::U32 => binary_int::<u32>(op, tile),
        DType::Bool => match op {
            Binary::Max | Binary::Or => tile.map2(|x: u8, y: u8| x | y),
            Binary::Min | Binary::And => tile.map2(|x: u8, y: u8| x & y),
            Binary::Eq => tile.map2(|x: u8, y: u8| x ^ y ^ 1),
            // `Xor` and `Ne`; the rest is not defined on `Bool`.
            _ => tile.map2(|x: u8, y: u8| x ^ y),
        },
    }
}

#[inline(always)]
fn binary_float<T: Float>(op: Binary, tile: Tile) {
    match op {
        Binary::Pow => tile.map2(T::pow),
        Binary::Atan2 => tile.map2(T::atan2),
        _ => binary_number::<T>(op, tile),
    }
}

#[inline(always)]
fn binary_int<T: Int>(op: Binary, tile: Tile) {
    match op {
        Binary::And => tile.map2(T::and),
        Binary::Or => tile.map2(T::or),
        Binary::Xor => tile.map2(T::xor),
        Binary::Shl => tile.map2(T::shl),
        Binary::ShrLogical => tile.map2(T::shr_logical),
        Binary::ShrArithmetic => tile.map2(T::shr_arithmetic),
        _ => binary_number::<T>(op, tile),
    }
}

#[inline(always)]
fn binary_number<T: Number>(op: Binary, tile: Tile) {
    match op {
        Binary::Add => tile.map2(T::add),
        Binary::Sub => tile.map2(T::sub),
        Binary::Mul => tile.map2(T::mul),
        Binary::Div => tile.map2(T::div),
        Binary::Rem => tile.map2(T::rem),
        Binary::Max => tile.map2(T::max),
        Binary::Min => tile.map2(T::min),
        Binary::Eq => tile.map2(|x: T, y: T| (x == y) as u8),
        Binary::Ne => tile.map2(|x: T, y: T| (x != y) as u8),
        Binary::Lt => tile.map2(|x: T, y: T| (x < y) as u8),
        Binary::Le => tile.map2(|x: T, y: T| (x <= y) as u8),
        Binary::Gt => tile.map2(|x: T, y: T| (x > y) as u8),
        Binary::Ge => tile.map2(|x: T, y: T| (x >= y) as u8),
        // Defined on floats or integers alone, which the callers have handled.
        Binary::Pow
        | Binary::Atan2
        | Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::Shl
        | Binary::ShrLogical
        | Binary::ShrArithmetic => {}
    }
}

#[inline(always)]
fn convert(from: DType, to: DType, tile: Tile) {
    macro_rules! numbers {
        ($($from:ident $f:ident, $to:ident $t:ident;)*) => {
            match (from, to) {
                $((DType::$from, DType::$to) => tile.map1(|x: $f| x as $t),)*
                (DType::F32, DType::Bool) => tile.map1(|x: f32| (x != 0.0) as u8),
                (DType::F64, DType::Bool) => tile.map1(|x: f64| (x != 0.0) as u8),
                (DType::I32 | DType::U32, DType::Bool) => tile.map1(|x: u32| (x != 0) as u8),
                (DType::F32, DType::F32) | (DType::I32 | DType::U32, DType::I32 | DType::U32) => {
                    tile.map1(|x: u32| x)
                }
                (DType::F64, DType::F64) => tile.map1(|x: u64| x),
                (DType::Bool, DType::Bool) => tile.map1(|x: u8| x),
            }
        };
    }
    numbers! {
        F32 f32, F64 f64; F32 f32, I32 i32; F32 f32, U32 u32;
        F64 f64, F32 f32; F64 f64, I32 i32; F64 f64, U32 u32;
        I32 i32, F32 f32; I32 i32, F64 f64;
        U32 u32, F32 f32; U32 u32, F64 f64;
        Bool u8, F32 f32; Bool u8, F64 f64; Bool u8, I32 i32; Bool u8, U32 u32;
    }
}
