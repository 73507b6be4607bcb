//! A mistake that the compiler catches: wrt an argument that is not.

use rondeau::{Arg, Array, grad};

fn main() {
    let _ = grad(|x: &Array| x.sum()).wrt(Arg::<1>);
}
