//! A mistake that the compiler catches: argument is no tree.

use rondeau::{Array, jit};

fn main() {
    let _ = jit(|x: &Array, factor: &f64| x * *factor);
}
