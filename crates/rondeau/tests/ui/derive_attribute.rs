//! A mistake that the compiler catches: derive attribute.

use rondeau::{Array, Tree};

#[derive(Clone, Tree)]
struct Dense {
    weight: Array,
    #[tree(skip)]
    name: String,
}

fn main() {}
