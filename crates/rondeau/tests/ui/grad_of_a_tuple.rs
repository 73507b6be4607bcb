//! A mistake that the compiler catches: grad of a tuple.

use rondeau::{Array, grad};

fn main() {
    let _ = grad(|x: &Array| (x.sum(), x.clone()));
}
