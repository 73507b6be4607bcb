use rondeau::{Array, jit};

fn main() {
    let _ = jit(|x: Array| x.sum());
}
