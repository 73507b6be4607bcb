//! A mistake that the compiler catches: closure without types.

use rondeau::jit;

fn main() {
    let _ = jit(|x| x + x);
}
