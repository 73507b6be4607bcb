use rondeau::{Array, Tree};

#[derive(Tree)]
struct Dense {
    weight: Array,
}

fn main() {}
