//! PyTorch's recurrent modules and optimizers, in f64: outputs, gradients and trained weights in
//! the layout of its `state_dict`.

use rondeau::nn::import::{Weights, torch::Layers};
use rondeau::nn::{self, Activation, Bidirectional, Cell, loss};
use rondeau::optim::{self, Optimizer};
use rondeau::{Array, jit};

use super::function::check_named;
use super::sequences::{both_ways, both_ways_lengths, lstm, rows, time_major};
use super::{Case, run_section};

#[test]
fn cells_torch() {
    run_section("cells_torch", &[], |case| {
        super::function::run_groups(case, &[modules, trained]);
    });
}

/// One layer, forward: `h0` and `hn` are `[1, batch, hidden]`.
fn one<C: Cell<Carry = Array>>(cell: &C, given: &Weights) -> Vec<Array> {
    let (last, hs) = time_major(cell, &given["h0"].at(0), &given["xs"]);
    vec![hs, rows(&[&last])]
}

/// The state of an LSTM's layer or direction.
fn state(given: &Weights, i: usize) -> nn::LstmCarry {
    lstm(given["h0"].at(i), given["c0"].at(i))
}

fn modules(case: &Case<'_>) -> bool {
    let layers = Layers::new(4, 6).prefix("params.");
    let both = ["out", "hn"].as_slice();
    let all = ["out", "hn", "cn"].as_slice();
    match case.id {
        "torch_rnn_tanh" | "torch_rnn_relu" => check_named(case, both, &|given| {
            let relu = case.id.ends_with("relu");
            let activation = if relu { Activation::Relu } else { Activation::Tanh };
            one(&layers.rnn(given, activation).expect("weights fit")[0], given)
        }),
        "torch_gru" => check_named(case, both, &|given| {
            one(&layers.gru(given).expect("weights fit")[0], given)
        }),
        "torch_gru_nobias_bf" => check_named(case, both, &|given| {
            let cell = &layers.gru(given).expect("weights fit")[0];
            let (last, hs) = nn::run_batch(cell, &given["h0"].at(0), &given["xs"]);
            vec![hs, rows(&[&last])]
        }),
        "torch_gru_2layer_bi" => check_named(case, both, &|given| {
            let cells = layers.clone().layers(2).bidirectional().gru(given).expect("weights fit");
            let (mut xs, mut last) = (given["xs"].clone(), vec![]);
            for (k, pair) in cells.chunks(2).enumerate() {
                let cell = Bidirectional { forward: pair[0].clone(), backward: pair[1].clone() };
                let carry = (given["h0"].at(2 * k), given["h0"].at(2 * k + 1));
                let ((forward, backward), ys) = both_ways(&cell, &carry, &xs);
                last.extend([forward, backward]);
                xs = ys;
            }
            vec![xs, rows(&last.iter().collect::<Vec<_>>())]
        }),
        "torch_gru_packed" => check_named(case, both, &|given| {
            let cells = layers.clone().bidirectional().gru(given).expect("weights fit");
            let cell = Bidirectional { forward: cells[0].clone(), backward: cells[1].clone() };
            let carry = (given["h0"].at(0), given["h0"].at(1));
            let ((forward, backward), hs) =
                both_ways_lengths(&cell, &carry, &given["xs"], &given["lens"]);
            vec![hs, rows(&[&forward, &backward])]
        }),
        "torch_lstm" => check_named(case, all, &|given| {
            let cell = &layers.lstm(given).expect("weights fit")[0];
            let (last, hs) = time_major(cell, &state(given, 0), &given["xs"]);
            vec![hs, rows(&[&last.h]), rows(&[&last.c])]
        }),
        "torch_lstm_2layer" => check_named(case, all, &|given| {
            let cells = layers.clone().layers(2).lstm(given).expect("weights fit");
            let carry = vec![state(given, 0), state(given, 1)];
            let (last, hs) = time_major(&cells, &carry, &given["xs"]);
            let each = |part: fn(&nn::LstmCarry) -> &Array| {
                rows(&last.iter().map(part).collect::<Vec<_>>())
            };
            vec![hs, each(|carry| &carry.h), each(|carry| &carry.c)]
        }),
        "torch_lstm_bi_packed" => check_named(case, all, &|given| {
            let cells = layers.clone().bidirectional().lstm(given).expect("weights fit");
            let cell = Bidirectional { forward: cells[0].clone(), backward: cells[1].clone() };
            let carry = (state(given, 0), state(given, 1));
            let ((forward, backward), hs) =
                both_ways_lengths(&cell, &carry, &given["xs"], &given["lens"]);
            vec![hs, rows(&[&forward.h, &backward.h]), rows(&[&forward.c, &backward.c])]
        }),
        "torch_lstm_proj" => check_named(case, all, &|given| {
            let cells = layers.clone().projection(3).projected_lstm(given).expect("weights fit");
            let (last, hs) = time_major(&cells[0], &state(given, 0), &given["xs"]);
            vec![hs, rows(&[&last.h]), rows(&[&last.c])]
        }),
        _ => return false,
    }
    true
}

/// 25 steps of an optimizer on the mean squared error of a GRU, with PyTorch's own parameters.
fn trained(case: &Case<'_>) -> bool {
    match case.id {
        "torch_train_sgd" => train(case, optim::sgd(0.1)),
        "torch_train_sgd_mom_nesterov" => train(case, optim::sgd(0.05).momentum(0.9).nesterov()),
        "torch_train_adam" => train(case, optim::adam(0.01)),
        "torch_train_adamw" => train(case, optim::adamw(0.01, 0.1)),
        "torch_train_rmsprop" => {
            train(case, optim::rmsprop(0.01).decay(0.99).epsilon_beside_root(1e-8));
        }
        _ => return false,
    }
    true
}

fn train<O: Optimizer>(case: &Case<'_>, optimizer: O) {
    let error = |weights: &Weights, xs: &Array, ys: &Array| {
        let cell = Layers::new(4, 6).gru(weights).expect("weights fit").remove(0);
        let zeros = nn::initial_carries(&cell, 3);
        loss::mse(&time_major(&cell, &zeros, xs).1, ys)
    };
    let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
    let mut params: Weights = names
        .map(|name| (name.to_owned(), case.input(&format!("params.{name}"))))
        .into_iter()
        .collect();
    let (xs, ys) = (case.input("xs"), case.input("ys"));
    let mut state = optimizer.init(&params);
    let step = jit(optim::training_step(error, optimizer));
    let mut losses = vec![];
    for _ in 0..25 {
        let (next, next_state, loss) = step.apply(&params, &state, &xs, &ys);
        (params, state) = (next, next_state);
        losses.push(loss.item::<f64>().unwrap_or_else(|error| panic!("{error}")));
    }
    case.check("out/losses", &Array::from(losses));
    for (name, array) in &params {
        case.check(&format!("out/params.{name}"), array);
    }
}
