//! A mistake that the compiler catches: operand text.

use rondeau::{Array, where_};

fn main() {
    let x = Array::zeros([3]);
    let _ = where_(x.gt(0.0), "one", 0.0);
}
