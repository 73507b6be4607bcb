use rondeau::jit;

fn main() {
    let _ = jit(|x| x + x);
}
