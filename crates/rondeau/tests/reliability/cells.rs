//! Cells of many kinds, with what is done to each of them as a visitor, since their types differ.

use rondeau::cellfile::CellFile;
use rondeau::nn::{self, Cell};
use rondeau::{Array, DType, Tree, random, tanh, tree};

use crate::harness::Rng;

/// A step with parameters and a carry to start from.
pub(crate) struct Subject<P, K> {
    pub(crate) name: String,
    pub(crate) params: P,
    pub(crate) start: K,
    pub(crate) step: fn(&P, &K, &Array) -> (K, Array),
    /// The length of its inputs.
    pub(crate) input: usize,
}

/// What is done to a cell.
pub(crate) trait Visit {
    fn visit<P: Tree, K: Tree>(&mut self, subject: &Subject<P, K>);
}

/// The files of equations in `cells/`.
const FILES: [&str; 7] =
    ["gru", "gru_reset_after", "layer_norm_lstm", "lstm", "mgu", "min_gru", "rnn"];
/// How many kinds there are.
pub(crate) const N_KINDS: usize = FILES.len() + 5;

/// A cell that counts besides, in another element type, and looks at the last two inputs.
#[derive(Clone, Tree)]
struct Counting {
    w: Array,
    u: Array,
    v: Array,
}

impl Cell for Counting {
    type Carry = (Array, Array, Array);

    fn initial_carry(&self) -> Self::Carry {
        let inputs = self.v.shape()[1];
        let hidden = self.u.shape()[0];
        (Array::zeros([hidden]), Array::from(0), Array::zeros([inputs]))
    }

    fn step(&self, (h, count, last): &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let h = tanh(self.w.dot(x) + self.u.dot(h) + self.v.dot(last));
        let count = count + 1;
        let y = &h * count.to(DType::F32);
        ((h, count, x.clone()), y)
    }
}

/// Shows a visitor the cell of that kind, with inputs of the first size and states of the second, and
/// with random parameters and start.
pub(crate) fn visit(
    kind: usize,
    (input, hidden): (usize, usize),
    key: u64,
    visitor: &mut impl Visit,
) {
    let key = random::key(key as i64);
    match kind.checked_sub(FILES.len()) {
        None => {
            let name = FILES[kind];
            let path = format!("{}/cells/{name}.cell", env!("CARGO_MANIFEST_DIR"));
            let sizes = [("input", input), ("hidden", hidden)];
            let file = CellFile::read(path).unwrap();
            let cell = file.instantiate(&sizes).unwrap().init(&key);
            show(format!("{name}.cell"), cell, input, &key, visitor);
        }
        Some(0) => show("gru", nn::Gru::init(&key, input, hidden), input, &key, visitor),
        Some(1) => {
            let stack =
                (nn::Gru::init(&key, input, hidden), nn::Lstm::init(&key, hidden, 1 + hidden / 2));
            show("gru and lstm", stack, input, &key, visitor);
        }
        Some(2) => {
            let cell = nn::SelectiveSsm::init(&key, input, hidden, 2);
            show("selective", cell, input, &key, visitor);
        }
        Some(3) => show("s5", nn::S5::init(&key, input, hidden), input, &key, visitor),
        Some(4) => {
            let weight = |i, rows: usize, columns: usize| {
                random::normal(&random::fold_in(&key, i), [rows, columns]) * 0.5
            };
            let cell = Counting {
                w: weight(1, hidden, input),
                u: weight(2, hidden, hidden),
                v: weight(3, hidden, input),
            };
            show("counting", cell, input, &key, visitor);
        }
        Some(other) => panic!("there is no kind {other}"),
    }
}

fn show<C: Cell>(
    name: impl Into<String>,
    cell: C,
    input: usize,
    key: &Array,
    visitor: &mut impl Visit,
) {
    let noise = |leaf: &Array| match leaf.dtype() {
        DType::F32 => leaf + random::normal(key, leaf.shape()) * 0.3,
        _ => leaf.clone(),
    };
    let start = tree::map(&cell.initial_carry(), noise);
    let name = format!("{}, {input} inputs", name.into());
    visitor.visit(&Subject { name, params: cell, start, step: C::step, input });
}

/// Numbers of all sizes, with some that are special.
pub(crate) fn numbers(rng: &mut Rng, n: usize) -> Vec<f32> {
    let special = [0.0, -0.0, 1e-40, 1.0, -1.0, 1e3];
    let mut number = || match rng.below(12) {
        0 => special[rng.below(special.len())],
        _ => (rng.next() >> 40) as f32 / (1 << 23) as f32 * 3.0 - 3.0,
    };
    (0..n).map(|_| number()).collect()
}
