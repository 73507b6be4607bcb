//! A mistake that the compiler catches: derive enum.

use rondeau::{Array, Tree};

#[derive(Clone, Tree)]
enum Layer {
    Dense(Array),
    Dropout,
}

fn main() {}
