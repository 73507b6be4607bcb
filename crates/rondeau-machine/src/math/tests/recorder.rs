//! A [`Lane`] that computes nothing: it writes down the operations, as a code generator does.

use crate::math::poly::{SINGLE, Table};
use crate::math::{Function, Lane, define};
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// An operation on earlier entries of the tape.
#[derive(Clone, Copy, Debug)]
enum Op {
    Input,
    Lit(f32),
    Unary(fn(f32) -> f32, usize),
    Binary(fn(f32, f32) -> f32, [usize; 2]),
    Fma([usize; 3]),
    Bit(u32, usize),
    Compare(fn(f32, f32) -> bool, [usize; 2]),
    Select([usize; 3]),
}

type Tape = RefCell<Vec<Op>>;

/// An entry of a tape: a number or a mask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded<'a> {
    tape: &'a Tape,
    at: usize,
}

impl Recorded<'_> {
    fn push(self, op: Op) -> Self {
        let mut ops = self.tape.borrow_mut();
        ops.push(op);
        Recorded { at: ops.len() - 1, ..self }
    }

    fn unary(self, f: fn(f32) -> f32) -> Self {
        self.push(Op::Unary(f, self.at))
    }

    fn binary(self, f: fn(f32, f32) -> f32, other: Self) -> Self {
        self.push(Op::Binary(f, [self.at, other.at]))
    }
}

/// Records the definition of `f` once and runs the recording on each of `xs`.
pub(super) fn replay(f: Function, xs: &[f32]) -> Vec<f32> {
    let tape = Tape::new(vec![Op::Input]);
    let result = define::define(f, Recorded { tape: &tape, at: 0 }).at;
    let ops = tape.borrow();
    let run = |x: f32| {
        // A mask is stored as 1 or 0.
        let mut v: Vec<f32> = Vec::new();
        for &op in ops.iter() {
            let y = match op {
                Op::Input => x,
                Op::Lit(c) => c,
                Op::Unary(f, a) => f(v[a]),
                Op::Binary(f, [a, b]) => f(v[a], v[b]),
                Op::Fma([a, b, c]) => v[a].mul_add(v[b], v[c]),
                Op::Bit(k, a) => v[a].bit(k) as u8 as f32,
                Op::Compare(f, [a, b]) => f(v[a], v[b]) as u8 as f32,
                Op::Select([mask, a, b]) => v[if v[mask] == 1.0 { a } else { b }],
            };
            v.push(y);
        }
        v[result]
    };
    xs.iter().map(|&x| run(x)).collect()
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Recorded<'_> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.binary(f32::$method, other)
            }
        }
    )*};
}
operators!(Add add, Sub sub, Mul mul, Div div);

impl Neg for Recorded<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary(f32::neg)
    }
}

impl Lane for Recorded<'_> {
    type Mask = Self;

    const TABLE: &'static Table = &SINGLE;

    fn lit(self, c: f64) -> Self {
        self.push(Op::Lit(c as f32))
    }
    fn fma(self, factor: Self, addend: Self) -> Self {
        self.push(Op::Fma([self.at, factor.at, addend.at]))
    }
    fn abs(self) -> Self {
        self.unary(f32::abs)
    }
    fn copysign(self, sign: Self) -> Self {
        self.binary(f32::copysign, sign)
    }
    fn min(self, other: Self) -> Self {
        self.binary(<f32 as Lane>::min, other)
    }
    fn max(self, other: Self) -> Self {
        self.binary(<f32 as Lane>::max, other)
    }
    fn round(self) -> Self {
        self.unary(<f32 as Lane>::round)
    }
    fn sqrt(self) -> Self {
        self.unary(f32::sqrt)
    }
    fn pow2(self) -> Self {
        self.unary(<f32 as Lane>::pow2)
    }
    fn split(self) -> (Self, Self) {
        (self.unary(|x| x.split().0), self.unary(|x| x.split().1))
    }
    fn bit(self, k: u32) -> Self {
        self.push(Op::Bit(k, self.at))
    }
    fn lt(self, other: Self) -> Self {
        self.push(Op::Compare(|a, b| a < b, [self.at, other.at]))
    }
    fn le(self, other: Self) -> Self {
        self.push(Op::Compare(|a, b| a <= b, [self.at, other.at]))
    }
    fn select(mask: Self, yes: Self, no: Self) -> Self {
        mask.push(Op::Select([mask.at, yes.at, no.at]))
    }
    /// One instruction of its own, as the richest instruction set has it.
    fn scale(self, n: Self) -> Self {
        self.binary(|x, n| (f64::from(x) * f64::from(n).exp2()) as f32, n)
    }
}
