//! A mistake that the compiler catches: axes of floats.

use rondeau::{Array, vmap};

fn main() {
    let add = |x: &Array, y: &Array| x + y;
    let _ = vmap(add, (0.0, 1.0));
}
