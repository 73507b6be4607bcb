//! A mistake that the compiler catches: operator f32.

use rondeau::Array;

fn main() {
    let _ = Array::zeros([3]) * 2.0_f32;
}
