//! A mistake that the compiler catches: argument by value.

use rondeau::{Array, jit};

fn main() {
    let _ = jit(|x: Array| x.sum());
}
