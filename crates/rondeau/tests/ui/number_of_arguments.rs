//! A mistake that the compiler catches: number of arguments.

use rondeau::{Array, jit};

fn main() {
    let add = jit(|x: &Array, y: &Array| x + y);
    let _ = add.call(&Array::from(1.0_f32));
}
