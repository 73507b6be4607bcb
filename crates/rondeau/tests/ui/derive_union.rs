//! A mistake that the compiler catches: derive union.

use rondeau::Tree;

#[derive(Clone, Copy, Tree)]
union Number {
    whole: u32,
    float: f32,
}

fn main() {}
