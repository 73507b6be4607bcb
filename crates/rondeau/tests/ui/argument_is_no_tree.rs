use rondeau::{Array, jit};

fn main() {
    let _ = jit(|x: &Array, factor: &f64| x * *factor);
}
