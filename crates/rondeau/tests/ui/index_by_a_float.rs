//! A mistake that the compiler catches: index by a float.

use rondeau::Array;

fn main() {
    let _ = Array::zeros([3]).at(1.5);
}
