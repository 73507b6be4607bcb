//! A mistake that the compiler catches: scan step without pair.

use rondeau::{Array, scan};

fn main() {
    let xs = Array::zeros([3]);
    let _ = scan(|c: &Array, x: &Array| c + x, &Array::from(0.0_f32), &xs);
}
