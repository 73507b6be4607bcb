//! A mistake that the compiler catches: derive without clone.

use rondeau::{Array, Tree};

#[derive(Tree)]
struct Dense {
    weight: Array,
}

fn main() {}
