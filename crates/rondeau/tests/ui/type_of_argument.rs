//! A mistake that the compiler catches: type of argument.

use rondeau::{Array, jit};

fn main() {
    let add = jit(|x: &Array, y: &Array| x + y);
    let _ = add.call(&Array::from(1.0_f32), &2.0);
}
