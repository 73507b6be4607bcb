//! Keras's recurrent layers, in f32: outputs and gradients from the same weights.

use rondeau::nn::import::{Weights, keras};
use rondeau::nn::{self, Cell};
use rondeau::{Array, DType, concatenate};

use super::function::check_named;
use super::sequences::{Masked, lstm};
use super::{Case, run_section};

#[test]
fn cells_keras() {
    run_section("cells_keras", &[], run);
}

fn one<C: Cell<Carry = Array>>(
    case: &Case<'_>,
    cell: impl Fn(&Weights, &str, usize, usize) -> rondeau::Result<C>,
    turn: impl Fn(&Array) -> Array,
) {
    check_named(case, &["out", "state.0"], &|given| {
        let cell = cell(given, "params.", 4, 6).expect("weights fit");
        let (last, hs) = nn::run_batch(&cell, &given["state.0"], &turn(&given["xs"]));
        vec![hs, last]
    });
}

fn run(case: &Case<'_>) {
    match case.id {
        "keras_simple" => one(case, keras::simple_rnn, Array::clone),
        "keras_gru_reset_before" => one(case, keras::gru_reset_before, Array::clone),
        "keras_gru_reset_after" => one(case, keras::gru, Array::clone),
        // The outputs stay in the order of the steps.
        "keras_gru_backwards" => one(case, keras::gru, |xs| xs.flip(1)),
        "keras_lstm" => check_named(case, &["out", "state.0", "state.1"], &|given| {
            let cell = keras::lstm(given, "params.", 4, 6).expect("weights fit");
            let state = lstm(given["state.0"].clone(), given["state.1"].clone());
            let (last, hs) = nn::run_batch(&cell, &state, &given["xs"]);
            vec![hs, last.h, last.c]
        }),
        "keras_gru_masked" => check_named(case, &["out", "state.0"], &|given| {
            let cell = keras::gru(given, "params.", 4, 6).expect("weights fit");
            let state = &given["state.0"];
            let carry = (state.clone(), state.zeros_like());
            let mask = given["mask"].to(DType::F32).expand_dims(-1);
            let xs = concatenate(&[&given["xs"], &mask], -1);
            let masked = Masked { cell, output: Array::zeros([6]) };
            let ((last, _), hs) = nn::run_batch(&masked, &carry, &xs);
            vec![hs, last]
        }),
        _ => case.fail("no test knows this case".to_owned()),
    }
}
