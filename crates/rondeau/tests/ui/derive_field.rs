//! A mistake that the compiler catches: derive field.

use rondeau::{Array, Tree};

#[derive(Clone, Tree)]
struct Dense {
    weight: Array,
    name: String,
}

fn main() {}
