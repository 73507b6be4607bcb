//! Single facts of initial weights, layers, wrappers, masks and messages.

use rondeau::nn::{self, Cell, import, init};
use rondeau::{Array, DType, concatenate, jit, random, tree, vmap};

fn largest(x: &Array) -> f64 {
    x.to(DType::F64).abs().max().item::<f64>().unwrap_or_else(|error| panic!("{error}"))
}

fn draw(shape: &[usize]) -> Array {
    random::normal(&random::key(9), shape)
}

#[test]
fn orthogonal_matrices_are() {
    for [rows, columns] in [[1, 1], [5, 5], [3, 8], [8, 3], [40, 40]] {
        let q = init::orthogonal(&random::key(3), [rows, columns]);
        assert_eq!(q.shape(), [rows, columns]);
        let (n, product) = match rows <= columns {
            true => (rows, q.matmul(q.t())),
            false => (columns, q.t().matmul(&q)),
        };
        let error = largest(&(product - Array::eye(n)));
        assert!(error < 1e-6, "[{rows}, {columns}]: {error:e}");
    }
    assert_eq!(init::orthogonal(&random::key(3), [0, 4]).shape(), [0, 4]);
    let error = init::orthogonal(&random::key(3), [2, 3, 4]).to_vec::<f32>().unwrap_err();
    assert!(error.to_string().contains("`orthogonal` needs the shape of a matrix"), "{error}");
}

#[test]
fn an_ensemble_is_initialized_by_vmap() {
    let make = |key: &Array| nn::Gru::init(key, 3, 4);
    let keys = random::split(&random::key(0), 2);
    let cells = jit(vmap(make, (0,))).call(&keys).unwrap_or_else(|error| panic!("{error}"));
    let second = make(&keys.at(1));
    for (many, one) in tree::leaves(&cells).into_iter().zip(tree::leaves(&second)) {
        assert!(largest(&(many.at(1) - one)) < 1e-6);
    }
}

#[test]
fn initial_weights_have_their_variance() {
    let (key, shape) = (random::key(1), [200, 300]);
    let glorot = 2.0 / 500.0;
    for (name, weights, variance) in [
        ("normal", init::normal(&key, shape, 0.5), 0.25),
        ("truncated_normal", init::truncated_normal(&key, shape, 0.5), 0.25),
        ("uniform", init::uniform(&key, shape, 3.0), 3.0),
        ("glorot_normal", init::glorot_normal(&key, shape), glorot),
        ("glorot_uniform", init::glorot_uniform(&key, shape), glorot),
        ("he_normal", init::he_normal(&key, shape), 2.0 / 300.0),
        ("he_uniform", init::he_uniform(&key, shape), 2.0 / 300.0),
        ("lecun_normal", init::lecun_normal(&key, shape), 1.0 / 300.0),
        ("lecun_uniform", init::lecun_uniform(&key, shape), 1.0 / 300.0),
    ] {
        let got = f64::from(weights.var().item::<f32>().unwrap());
        // 60,000 draws: the variance of a normal distribution is within 3% with 5 deviations.
        assert!((got / variance - 1.0).abs() < 0.03, "{name}: {got} and not {variance}");
        let mean = f64::from(weights.mean().item::<f32>().unwrap());
        assert!(mean.abs() < 5.0 * (variance / 60_000.0).sqrt(), "{name}: mean {mean}");
    }
}

#[test]
fn attention_with_one_head_is_its_formula() {
    let attention = nn::Attention::init(&random::key(0), 4, 3, 2, 1);
    let (x, memory) = (draw(&[4]), draw(&[5, 3]));
    let query = attention.wq.dot(&x);
    let scores = memory.dot(attention.wk.t()).dot(&query) / 2.0_f64.sqrt();
    let read = scores.softmax(0).dot(memory.dot(attention.wv.t()));
    let want = attention.wo.dot(read);
    assert!(largest(&(attention.of(&x, &memory, None) - want)) < 1e-6);

    // Rows that are masked are as if they were not there.
    let two = nn::Attention::init(&random::key(0), 4, 3, 4, 2);
    let mask = Array::from([true, true, true, false, false]);
    let masked = two.of(&x, &memory, Some(&mask));
    assert!(largest(&(masked - two.of(&x, &memory.at(..3), None))) < 1e-6);
}

#[test]
fn dropout_keeps_the_mean_and_its_extremes_work() {
    let (key, x) = (random::key(4), Array::ones([10_000]));
    let half = nn::dropout(&key, &x, 0.5);
    let dropped = half.eq(0.0).to(DType::F32).mean().item::<f32>().unwrap();
    assert!((dropped - 0.5).abs() < 0.05, "{dropped}");
    assert_eq!(half.max().item::<f32>().unwrap(), 2.0);
    assert_eq!(nn::dropout(&key, &x, 0.0).to_vec::<f32>().unwrap(), vec![1.0; 10_000]);
    assert_eq!(nn::dropout(&key, &x, 1.0).to_vec::<f32>().unwrap(), vec![0.0; 10_000]);
}

#[test]
fn dropout_is_anew_at_each_step_and_variational_is_not() {
    let ones = Array::ones([6, 50]);
    let none = nn::Activation::Identity;
    let each = nn::Dropout { cell: none, rate: 0.5 };
    let (_, ys) = nn::run(&each, &each.training(&random::key(0)), &ones);
    assert_ne!(ys.at(0).to_vec::<f32>().unwrap(), ys.at(1).to_vec::<f32>().unwrap());
    let same = nn::VariationalDropout { cell: none, rate: 0.5 };
    let (_, ys) = nn::run(&same, &same.training(&random::key(0), 50), &ones);
    assert_eq!(ys.at(0).to_vec::<f32>().unwrap(), ys.at(5).to_vec::<f32>().unwrap());
    assert!(ys.eq(0.0).any().item::<bool>().unwrap());
}

#[test]
fn zoneout_keeps_old_numbers_or_takes_new_ones() {
    let cell = nn::Gru::init(&random::key(0), 3, 200);
    let zoneout = nn::Zoneout { cell: cell.clone(), rate: 0.25 };
    let (h, x) = (draw(&[200]), draw(&[3]));
    let (new, _) = cell.step(&h, &x);
    let start = nn::ZoneoutCarry { cell: h.clone(), key: Some(random::key(1)) };
    let (kept, _) = zoneout.step(&start, &x);
    let old_ones = kept.cell.eq(&h);
    let new_ones = kept.cell.eq(&new);
    assert!((&old_ones | &new_ones).all().item::<bool>().unwrap());
    let share = old_ones.to(DType::F32).mean().item::<f32>().unwrap();
    assert!((share - 0.25).abs() < 0.12, "{share}");
    let (mean, _) = zoneout.step(&nn::ZoneoutCarry { cell: h.clone(), key: None }, &x);
    assert!(largest(&(mean.cell - (0.75 * new + 0.25 * h))) < 1e-6);
}

#[test]
fn lengths_give_what_the_sequences_alone_give() {
    let cell = nn::Lstm::init(&random::key(0), 3, 4);
    let xs = draw(&[3, 6, 3]);
    let lengths = Array::from([6, 2, 0]);
    let carries = nn::initial_carries(&cell, 3);
    let run = |xs: &Array, lengths: &Array| nn::run_lengths(&cell, &carries, xs, lengths);
    let (last, ys) = jit(run).apply(&xs, &lengths);
    for (i, length) in [6_i32, 2, 0].into_iter().enumerate() {
        let (alone, real) = nn::run(&cell, &cell.initial_carry(), &xs.at((i, ..length)));
        assert!(largest(&(last.c.at(i) - alone.c)) < 1e-6);
        let padding = Array::zeros([6 - length as usize, 4]);
        assert!(largest(&(ys.at(i) - concatenate(&[real, padding], 0))) < 1e-6);
    }
}

#[test]
fn resets_start_anew() {
    let cell = nn::Gru::init(&random::key(0), 3, 4);
    let xs = draw(&[5, 3]);
    let resets = Array::from([false, false, true, false, false]);
    let (_, ys) = nn::run_resets(&cell, &cell.initial_carry(), &xs, &resets);
    let (_, after) = nn::run(&cell, &cell.initial_carry(), &xs.at(2..));
    assert!(largest(&(ys.at(2..) - after)) < 1e-6);
}

#[test]
fn flipping_within_a_length_is_its_own_inverse() {
    let xs = Array::arange(6);
    for length in 0..=6 {
        let length = Array::from(length);
        let flipped = nn::flip_length(&xs, &length);
        let back = nn::flip_length(&flipped, &length);
        assert_eq!(back.to_vec::<i32>().unwrap(), [0, 1, 2, 3, 4, 5]);
    }
    let flipped = nn::flip_length(&xs, &Array::from(4));
    assert_eq!(flipped.to_vec::<i32>().unwrap(), [3, 2, 1, 0, 4, 5]);
}

/// The text of a mistake without its source line, which must be in this file.
fn message(error: &rondeau::Error) -> String {
    let text = error.to_string();
    let (text, line) = text.rsplit_once("\n  at ").unwrap_or((&text, ""));
    assert!(line.contains("facts.rs"), "the line is {line:?} in {error}");
    text.to_owned()
}

#[test]
fn what_does_not_fit_a_cell_is_told_at_the_call() {
    let cell = nn::Lstm::init(&random::key(0), 3, 4);
    let (_, ys) = nn::run(&cell, &cell.initial_carry(), &Array::zeros([10, 5]));
    insta::assert_snapshot!(message(ys.error().unwrap()), @r"
    the cell takes sequences of shape [time, 3]
      xs is f32[10,5]
    help: a batch [batch, time, input] is for `nn::run_batch`
    ");
    let mut carry = cell.initial_carry();
    carry.c = Array::zeros([7]);
    let (last, _) = nn::run(&cell, &carry, &Array::zeros([10, 3]));
    insta::assert_snapshot!(message(last.h.error().unwrap()), @r"
    the carry does not fit the cell
      carry.c is f32[7]
      the cell's own is f32[4]
    help: start from `cell.initial_carry()`; for a batch, use `nn::run_batch`
    ");
    let (_, ys) = nn::run_batch(&cell, &nn::initial_carries(&cell, 2), &Array::zeros([2, 10, 5]));
    assert!(message(ys.error().unwrap()).contains("[time, 3]"));
    let (_, y) = cell.step(&cell.initial_carry(), &Array::zeros([5]));
    assert!(message(y.error().unwrap()).contains("`dot`"));
}

#[test]
fn all_weights_that_do_not_fit_are_told_at_once() {
    let weights = import::Weights::from([
        ("enc.weight_ih_l0".to_owned(), Array::zeros([32, 3])),
        ("enc.weight_hh_l0".to_owned(), Array::zeros([24, 8])),
        ("enc.bias_ih_l0".to_owned(), Array::zeros([32])),
        ("enc.weight_hr_l0".to_owned(), Array::zeros([2, 8])),
        ("head.weight".to_owned(), Array::zeros([2, 8])),
    ]);
    let layer = import::torch::Layers::new(3, 8).prefix("enc.");
    let Err(error) = layer.lstm(&weights) else { panic!("they do not fit") };
    insta::assert_snapshot!(message(&error), @r"
    the weights are not those of torch's LSTM with 3 inputs and a state of 8
      enc.weight_hh_l0 is f32[24,8] and must be [32,8]
      enc.bias_hh_l0 is missing; its shape is [32]
      enc.weight_hr_l0 is not expected
    help: check the sizes, the prefix, and whether the file is of this layer
    ");
}
