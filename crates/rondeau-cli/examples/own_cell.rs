//! A cell of your own with all of the command: it trains, goes on, streams, plots and is
//! exported.
//!
//! ```sh
//! cargo run --release -p rondeau-cli --example own_cell -- train --epochs 20 --out runs/own
//! cargo run --release -p rondeau-cli --example own_cell -- train --epochs 40 --out runs/own --resume
//! cargo run --release -p rondeau-cli --example own_cell -- stream runs/own < crates/rondeau-cli/data/seattle-weather.csv
//! cargo run --release -p rondeau-cli --example own_cell -- plot runs/own crates/rondeau-cli/data/seattle-weather.csv
//! cargo run --release -p rondeau-cli --example own_cell -- export runs/own --format c -o own.c
//! cargo run --release -p rondeau-cli --example own_cell -- check decay
//! ```
use std::process::ExitCode;

use rondeau::nn::{Cell, init};
use rondeau::{Array, Tree, random};
use rondeau_cli::OwnCell;

/// Each unit forgets at a rate that the input says: `a = σ(Wa·x + b)`, `h' = a∘h + (1-a)∘tanh(W·x)`.
#[derive(Clone, Tree)]
struct Decay {
    /// `Wa`, `W: [hidden, input]`.
    rate: Array,
    weight: Array,
    /// `b: [hidden]`.
    bias: Array,
}

impl Cell for Decay {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.bias.zeros_like()
    }

    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let a = (self.rate.dot(x) + &self.bias).sigmoid();
        let h = &a * h + (1.0 - &a) * self.weight.dot(x).tanh();
        (h.clone(), h)
    }
}

impl OwnCell for Decay {
    const NAME: &'static str = "decay";

    fn init(key: &Array, input: usize, hidden: usize) -> Decay {
        let [rate, weight] = random::split2(key);
        Decay {
            rate: init::lecun_normal(&rate, [hidden, input]),
            weight: init::lecun_normal(&weight, [hidden, input]),
            bias: Array::ones([hidden]),
        }
    }
}

pub(crate) fn main() -> ExitCode {
    rondeau_cli::run::<Decay>()
}
