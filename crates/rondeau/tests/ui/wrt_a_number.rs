//! A mistake that the compiler catches: wrt a number.

use rondeau::{Array, grad};

fn main() {
    let _ = grad(|x: &Array| x.sum()).wrt(0);
}
