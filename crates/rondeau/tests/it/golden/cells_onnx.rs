//! ONNX's recurrent operators as ONNX Runtime computes them, in f32.

use rondeau::nn::import::{Weights, onnx::Operator};
use rondeau::nn::{self, Bidirectional, Cell, Gate, Gru, Lstm, LstmCarry};
use rondeau::{Array, Tree, stack};

use super::function::check_named;
use super::sequences::{both_ways, both_ways_lengths, lstm, rows, time_major, time_major_reverse};
use super::{Case, run_section};

#[test]
fn cells_onnx() {
    run_section("cells_onnx", &[], |case| {
        super::function::run_groups(case, &[units, memories]);
    });
}

/// `Y: [time, directions, batch, hidden]` of outputs `[time, batch, directions·hidden]`.
fn directions(hs: &Array, n: usize) -> Array {
    stack(&hs.split(n, -1), 1)
}

/// The initial state of a direction of a GRU or RNN.
fn first(given: &Weights, i: usize) -> Array {
    given["initial_h"].at(i)
}

fn state(given: &Weights, i: usize) -> LstmCarry {
    lstm(given["initial_h"].at(i), given["initial_c"].at(i))
}

/// What ONNX's names are, without those of the tensors that are no weights.
fn weights(given: &Weights) -> Weights {
    let is_weight = |name: &str| ["w", "r", "b", "p"].contains(&name.to_lowercase().as_str());
    let names = given.iter().filter(|(name, _)| is_weight(name));
    names.map(|(name, array)| (name.clone(), array.clone())).collect()
}

fn one<C: Cell<Carry = Array>>(cell: &C, given: &Weights) -> Vec<Array> {
    let (last, hs) = time_major(cell, &first(given, 0), &given["X"]);
    vec![directions(&hs, 1), rows(&[&last])]
}

fn units(case: &Case<'_>) -> bool {
    let operator = Operator::new(4, 6);
    let outputs = ["Y", "Y_h"].as_slice();
    match case.id {
        "onnx_rnn" => check_named(case, outputs, &|given| {
            one(&operator.rnn(&weights(given)).expect("weights fit")[0], given)
        }),
        "onnx_gru_lbr0" => check_named(case, outputs, &|given| {
            one(&operator.gru(&weights(given)).expect("weights fit")[0], given)
        }),
        "onnx_gru_lbr1" => check_named(case, outputs, &|given| {
            one(&operator.gru_reset_after(&weights(given)).expect("weights fit")[0], given)
        }),
        "onnx_gru_reverse" => check_named(case, outputs, &|given| {
            let cell = &operator.gru(&weights(given)).expect("weights fit")[0];
            let (last, hs) = time_major_reverse(cell, &first(given, 0), &given["X"]);
            vec![directions(&hs, 1), rows(&[&last])]
        }),
        "onnx_gru_hard" => check_named(case, outputs, &|given| {
            let cell = operator.gru(&weights(given)).expect("weights fit").remove(0);
            one(&HardGru { cell }, given)
        }),
        "onnx_gru_bi_lens" => check_named(case, outputs, &|given| {
            let cells = operator.clone().bidirectional().gru(&weights(given)).expect("weights fit");
            let cell = Bidirectional { forward: cells[0].clone(), backward: cells[1].clone() };
            let carry = (first(given, 0), first(given, 1));
            let ((forward, backward), hs) =
                both_ways_lengths(&cell, &carry, &given["X"], &given["sequence_lens"]);
            vec![directions(&hs, 2), rows(&[&forward, &backward])]
        }),
        _ => return false,
    }
    true
}

fn memories(case: &Case<'_>) -> bool {
    let operator = Operator::new(4, 6);
    let outputs = ["Y", "Y_h", "Y_c"].as_slice();
    let one = |cell: &dyn Fn(&Weights) -> Kind| {
        check_named(case, outputs, &|given| {
            let carry = state(given, 0);
            let (last, hs) = match cell(&weights(given)) {
                Kind::Plain(cell) => time_major(&cell, &carry, &given["X"]),
                Kind::Peephole(cell) => time_major(&cell, &carry, &given["X"]),
                Kind::Bent(cell) => time_major(&cell, &carry, &given["X"]),
            };
            vec![directions(&hs, 1), rows(&[&last.h]), rows(&[&last.c])]
        });
    };
    let plain = |given: &Weights| operator.lstm(given).expect("weights fit").remove(0);
    let bent = |given: &Weights, limit: Option<f64>| {
        Kind::Bent(BentLstm { cell: plain(given), limit, is_coupled: limit.is_none() })
    };
    match case.id {
        "onnx_lstm" => one(&|given| Kind::Plain(plain(given))),
        "onnx_lstm_peep" => one(&|given| {
            Kind::Peephole(operator.peephole_lstm(given).expect("weights fit").remove(0))
        }),
        "onnx_lstm_input_forget" => one(&|given| bent(given, None)),
        "onnx_lstm_clip" => one(&|given| bent(given, Some(0.5))),
        "onnx_lstm_bi" => check_named(case, outputs, &|given| {
            let cells =
                operator.clone().bidirectional().lstm(&weights(given)).expect("weights fit");
            let cell = Bidirectional { forward: cells[0].clone(), backward: cells[1].clone() };
            let carry = (state(given, 0), state(given, 1));
            let ((forward, backward), hs) = both_ways(&cell, &carry, &given["X"]);
            let both = |a: &Array, b: &Array| rows(&[a, b]);
            vec![directions(&hs, 2), both(&forward.h, &backward.h), both(&forward.c, &backward.c)]
        }),
        _ => return false,
    }
    true
}

enum Kind {
    Plain(Lstm),
    Peephole(nn::PeepholeLstm),
    Bent(BentLstm),
}

/// A GRU with ONNX's `HardSigmoid` for its gates. In an imported one, the update gate is negated,
/// which this function allows for: `1 - f(s) = f(-s)`.
#[derive(Clone, Tree)]
struct HardGru {
    cell: Gru,
}

impl Cell for HardGru {
    type Carry = Array;

    fn initial_carry(&self) -> Array {
        self.cell.initial_carry()
    }

    fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
        let hard = |gate: &Gate| (0.2 * gate.of(x, h) + 0.5).clip(0.0, 1.0);
        let (z, r) = (hard(&self.cell.update), hard(&self.cell.reset));
        let candidate = self.cell.candidate.of(x, &(r * h)).tanh();
        let h = (1.0 - &z) * h + z * candidate;
        (h.clone(), h)
    }
}

/// An LSTM with ONNX's attributes `clip` and `input_forget`.
#[derive(Clone, Tree)]
struct BentLstm {
    cell: Lstm,
    #[tree(fixed)]
    limit: Option<f64>,
    #[tree(fixed)]
    is_coupled: bool,
}

impl Cell for BentLstm {
    type Carry = LstmCarry;

    fn initial_carry(&self) -> LstmCarry {
        self.cell.initial_carry()
    }

    fn step(&self, LstmCarry { h, c }: &LstmCarry, x: &Array) -> (LstmCarry, Array) {
        let Lstm { input, forget, candidate, output } = &self.cell;
        let sum = |gate: &Gate| match self.limit {
            Some(limit) => gate.of(x, h).clip(-limit, limit),
            None => gate.of(x, h),
        };
        let i = sum(input).sigmoid();
        let f = if self.is_coupled { 1.0 - &i } else { sum(forget).sigmoid() };
        let c = f * c + i * sum(candidate).tanh();
        let h = sum(output).sigmoid() * c.tanh();
        (LstmCarry { h: h.clone(), c }, h)
    }
}
