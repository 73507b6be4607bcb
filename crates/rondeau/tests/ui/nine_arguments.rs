//! A mistake that the compiler catches: nine arguments.

use rondeau::{Array, jit};

type A<'a> = &'a Array;

fn sum(a: A, b: A, c: A, d: A, e: A, f: A, g: A, h: A, i: A) -> Array {
    a + b + c + d + e + f + g + h + i
}

fn main() {
    let _ = jit(sum);
}
