//! Cells of Haiku, Flax and Equinox, and published ones as JAX computes them, in f64: outputs and
//! gradients from the same weights, in the framework's own layout.

use rondeau::nn::import::{self, Weights, equinox, flax, haiku};
use rondeau::nn::{self, Activation, Cell, Complex, Gate};
use rondeau::{Array, Tree, concatenate, vmap};

use super::function::check_named;
use super::sequences::{lstm, time_major};
use super::{Case, run_section};

const INPUT: usize = 4;
const HIDDEN: usize = 6;

#[test]
fn cells_jax() {
    run_section("cells_jax", &[], |case| {
        let groups = [of_haiku, of_flax, of_equinox, of_papers];
        super::function::run_groups(case, &groups);
    });
}

/// The cell, of weights that fit.
fn fits<C>(cell: rondeau::Result<C>) -> C {
    cell.unwrap_or_else(|error| panic!("{error}"))
}

fn of_haiku(case: &Case<'_>) -> bool {
    const GRU: &str = "params.gru.";
    match case.id {
        "haiku_gru" => check_named(case, &["0", "1"], &|given| {
            let cell = fits(haiku::gru(given, GRU, INPUT, HIDDEN));
            let (last, hs) = time_major(&cell, &given["state"], &given["xs"]);
            vec![hs, last]
        }),
        "haiku_lstm" => check_named(case, &["0", "1.hidden", "1.cell"], &|given| {
            let cell = fits(haiku::lstm(given, "params.lstm/linear.", INPUT, HIDDEN));
            let state = lstm(given["state.hidden"].clone(), given["state.cell"].clone());
            let (last, hs) = time_major(&cell, &state, &given["xs"]);
            vec![hs, last.h, last.c]
        }),
        "haiku_vanilla" | "haiku_vanilla_single_bias" => {
            check_named(case, &["0", "1"], &|given| {
                let cell = fits(haiku::vanilla(given, "params.vanilla_rnn/", INPUT, HIDDEN));
                let (last, hs) = time_major(&cell, &given["state"], &given["xs"]);
                vec![hs, last]
            });
        }
        "haiku_deep" => check_named(case, &["0", "1.0.hidden", "1.0.cell", "1.1"], &|given| {
            let cell = (
                fits(haiku::lstm(given, "params.lstm/linear.", INPUT, HIDDEN)),
                Activation::Tanh,
                fits(haiku::gru(given, GRU, HIDDEN, 5)),
            );
            let state = lstm(given["state.0.hidden"].clone(), given["state.0.cell"].clone());
            let state = (state, (), given["state.1"].clone());
            let ((first, (), last), hs) = time_major(&cell, &state, &given["xs"]);
            vec![hs, first.h, first.c, last]
        }),
        "haiku_deep_skip" => check_named(case, &["0", "1.0", "1.1"], &|given| {
            let cell = Skip {
                below: fits(haiku::gru(given, GRU, INPUT, HIDDEN)),
                above: fits(haiku::gru(given, "params.gru_1.", INPUT + HIDDEN, 5)),
            };
            let state = (given["state.0"].clone(), given["state.1"].clone());
            let ((below, above), hs) = time_major(&cell, &state, &given["xs"]);
            vec![hs, below, above]
        }),
        "haiku_resetcore_gru" => check_named(case, &["0", "1"], &|given| {
            let cell = fits(haiku::gru(given, GRU, INPUT, HIDDEN));
            let one = |h: &Array, xs: &Array, resets: &Array| nn::run_resets(&cell, h, xs, resets);
            let batch = |x: &Array| x.swap_axes(0, 1);
            let (xs, resets) = (batch(&given["xs"]), batch(&given["reset"]));
            let (last, hs) = vmap(one, (0, 0, 0)).apply(&given["state"], &xs, &resets);
            vec![batch(&hs), last]
        }),
        _ => return false,
    }
    true
}

/// Two cells, of which the second one also sees the input, and both are seen.
#[derive(Clone, Tree)]
struct Skip<A, B> {
    below: A,
    above: B,
}

impl<A: Cell, B: Cell> Cell for Skip<A, B> {
    type Carry = (A::Carry, B::Carry);

    fn initial_carry(&self) -> Self::Carry {
        (self.below.initial_carry(), self.above.initial_carry())
    }

    fn step(&self, (below, above): &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let (below, y) = self.below.step(below, x);
        let (above, z) = self.above.step(above, &concatenate(&[x, &y], 0));
        ((below, above), concatenate(&[y, z], 0))
    }
}

/// Runs a cell over batches first, as `nn.RNN` does.
fn flax_case<C: Cell<Carry = Array>>(
    case: &Case<'_>,
    cell: impl Fn(&Weights) -> rondeau::Result<C>,
) {
    check_named(case, &["0", "1"], &|given| {
        let (last, hs) = nn::run_batch(&fits(cell(given)), &given["carry"], &given["xs"]);
        vec![last, hs]
    });
}

fn of_flax(case: &Case<'_>) -> bool {
    const CELL: &str = "params.cell.";
    let gru = |given: &Weights| flax::gru(given, CELL, INPUT, HIDDEN);
    match case.id {
        "flax_gru" => flax_case(case, gru),
        "flax_simple" => flax_case(case, |given| flax::simple(given, CELL, INPUT, HIDDEN)),
        "flax_simple_residual" => flax_case(case, |given| {
            Ok(StateResidual { cell: flax::simple(given, CELL, INPUT, HIDDEN)? })
        }),
        "flax_mgu" => flax_case(case, |given| flax::mgu(given, CELL, INPUT, HIDDEN)),
        "flax_mgu_noreset" => flax_case(case, |given| {
            let mut reader = import::Reader::new("flax's MGUCell without reset", given, CELL);
            let mut gate = |part: &str| Gate {
                w: reader.take(&format!("i{part}.kernel"), [INPUT, HIDDEN]).t(),
                u: reader.take(&format!("h{part}.kernel"), [HIDDEN, HIDDEN]).t(),
                b: reader.take(&format!("i{part}.bias"), [HIDDEN]),
            };
            let cell = MguWithoutReset { forget: gate("f"), candidate: gate("n") };
            reader.finish(cell)
        }),
        "flax_lstm" | "flax_optimized_lstm" => {
            check_named(case, &["0.0", "0.1", "1"], &|given| {
                let cell = fits(flax::lstm(given, CELL, INPUT, HIDDEN));
                let carry = lstm(given["carry.1"].clone(), given["carry.0"].clone());
                let (last, hs) = nn::run_batch(&cell, &carry, &given["xs"]);
                vec![last.c, last.h, hs]
            });
        }
        "flax_gru_lengths" => check_named(case, &["0", "1"], &|given| {
            let (cell, xs) = (fits(gru(given)), &given["xs"]);
            let (last, _) = nn::run_lengths(&cell, &given["carry"], xs, &given["lens"]);
            vec![last, nn::run_batch(&cell, &given["carry"], xs).1]
        }),
        "flax_gru_reverse_keep" => check_named(case, &["0", "1"], &|given| {
            let (cell, carry, lengths) = (fits(gru(given)), &given["carry"], &given["lens"]);
            let xs = turned(&given["xs"], lengths);
            let (last, _) = nn::run_lengths(&cell, carry, &xs, lengths);
            vec![last, turned(&nn::run_batch(&cell, carry, &xs).1, lengths)]
        }),
        "flax_bidirectional_gru" => check_named(case, &[""], &|given| {
            let [forward, backward] = ["forward", "backward"].map(|way| {
                fits(flax::gru(given, &format!("params.{way}_rnn.cell."), INPUT, HIDDEN))
            });
            let (xs, lengths) = (&given["xs"], &given["lens"]);
            let zeros = nn::initial_carries(&forward, xs.len());
            let (_, left) = nn::run_batch(&forward, &zeros, xs);
            let (_, right) = nn::run_batch(&backward, &zeros, &turned(xs, lengths));
            vec![concatenate(&[left, turned(&right, lengths)], -1)]
        }),
        _ => return false,
    }
    true
}

/// Each sequence turned around within its length, and its padding within itself, as Flax does.
fn turned(xs: &Array, lengths: &Array) -> Array {
    let one = |xs: &Array, length: &Array| {
        let n = xs.len() as i32;
        xs.at((n - 1 - Array::arange(xs.len()) + length).rem_floor(n))
    };
    vmap(one, (0, 0)).apply(xs, lengths)
}

/// Flax's `SimpleCell(residual=True)`: the state is added before the activation.
#[derive(Clone, Tree)]
struct StateResidual {
    cell: nn::Rnn,
}

impl Cell for StateResidual {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.cell.initial_carry()
    }

    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let h = (h + self.cell.gate.of(x, h)).tanh();
        (h.clone(), h)
    }
}

/// Flax's `MGUCell(reset_gate=False)`.
#[derive(Clone, Tree)]
struct MguWithoutReset {
    forget: Gate,
    candidate: Gate,
}

impl Cell for MguWithoutReset {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.forget.b.zeros_like()
    }

    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let f = self.forget.of(x, h).sigmoid();
        let h = (1.0 - &f) * self.candidate.of(x, h).tanh() + f * h;
        (h.clone(), h)
    }
}

fn of_equinox(case: &Case<'_>) -> bool {
    match case.id {
        "equinox_gru" => check_named(case, &["0", "1"], &|given| {
            let cell = fits(equinox::gru(given, "0.", INPUT, HIDDEN));
            let (last, hs) = nn::run(&cell, &given["1"], &given["2"]);
            vec![last, hs]
        }),
        "equinox_lstm" => check_named(case, &["0.0", "0.1", "1.0", "1.1"], &|given| {
            let cell = Whole { cell: fits(equinox::lstm(given, "0.", INPUT, HIDDEN)) };
            let state = lstm(given["1.0"].clone(), given["1.1"].clone());
            let (last, states) = nn::run(&cell, &state, &given["2"]);
            vec![last.h, last.c, states.at((.., 0)), states.at((.., 1))]
        }),
        _ => return false,
    }
    true
}

/// An LSTM that shows its memory too.
#[derive(Clone, Tree)]
struct Whole {
    cell: nn::Lstm,
}

impl Cell for Whole {
    type Carry = nn::LstmCarry;

    fn initial_carry(&self) -> nn::LstmCarry {
        self.cell.initial_carry()
    }

    fn step(&self, carry: &nn::LstmCarry, x: &Array) -> (nn::LstmCarry, Array) {
        let (carry, h) = self.cell.step(carry, x);
        let y = rondeau::stack(&[&h, &carry.c], 0);
        (carry, y)
    }
}

fn of_papers(case: &Case<'_>) -> bool {
    let part = |given: &Weights, name: &str| given[&format!("p.{name}")].clone();
    match case.id {
        "seed_gru_batched" => check_named(case, &["0", "1"], &|given| {
            let gate = |letter: &str| Gate {
                w: part(given, &format!("W{letter}")),
                u: part(given, &format!("U{letter}")),
                b: part(given, &format!("b{letter}")),
            };
            let cell = nn::Gru { update: gate("z"), reset: gate("r"), candidate: gate("h") };
            let (last, hs) = time_major(&cell, &given["h0"], &given["xs"]);
            vec![last, hs]
        }),
        "peephole_lstm" => check_named(case, &["0.0", "0.1", "1"], &|given| {
            let parts = ["W", "U", "b"].map(|name| part(given, name).split(4, 0));
            let [input, forget, candidate, output] = std::array::from_fn(|i| Gate {
                w: parts[0][i].clone(),
                u: parts[1][i].clone(),
                b: parts[2][i].clone(),
            });
            let cell = nn::PeepholeLstm {
                lstm: nn::Lstm { input, forget, candidate, output },
                input_peephole: part(given, "pi"),
                forget_peephole: part(given, "pf"),
                output_peephole: part(given, "po"),
            };
            let state = lstm(given["s.0"].clone(), given["s.1"].clone());
            let (last, hs) = time_major(&cell, &state, &given["xs"]);
            vec![last.h, last.c, hs]
        }),
        "min_gru" => check_named(case, &["0", "1"], &|given| {
            let linear = |letter: &str| nn::Linear {
                weight: part(given, &format!("W{letter}")),
                bias: part(given, &format!("b{letter}")),
            };
            let cell = nn::MinGru { update: linear("z"), candidate: linear("h") };
            let (last, hs) = time_major(&cell, &given["h0"], &given["xs"]);
            vec![last, hs]
        }),
        "lru" => check_named(case, &["0.0", "0.1", "1"], &|given| {
            let cell = nn::Lru {
                nu: part(given, "nu"),
                theta: part(given, "th"),
                b: Complex::new(part(given, "Br"), part(given, "Bi")),
                c: Complex::new(part(given, "Cr"), part(given, "Ci")),
                d: part(given, "D"),
            };
            let state = Complex::new(given["s0.0"].clone(), given["s0.1"].clone());
            let (last, ys) = time_major(&cell, &state, &given["xs"]);
            vec![last.re, last.im, ys]
        }),
        _ => return false,
    }
    true
}
