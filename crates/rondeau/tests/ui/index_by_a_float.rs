use rondeau::Array;

fn main() {
    let _ = Array::zeros([3]).at(1.5);
}
