//! A mistake that the compiler catches: operand f32.

use rondeau::Array;

fn main() {
    let _ = Array::zeros([3]).maximum(2.0_f32);
}
