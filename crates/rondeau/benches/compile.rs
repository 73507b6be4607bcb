//! How long the stages of a compilation take: tracing, with and without the transformation to
//! gradients; each pass of the optimizer; kernels and machine code. The first compilation of a
//! process takes longer than these: `rondeau bench --explain` measures that.
//!
//! `cargo bench -p rondeau --bench compile`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rondeau::api::program;
use rondeau::ir::Program;
use rondeau::nn::{Cell, Gru, LayerNormGru, LayerNormLstm, initial_carries, loss, run, run_batch};
use rondeau::optimize::{PIPELINE, optimize};
use rondeau::random::{key, normal};
use rondeau::run::{Engine, Executable};
use rondeau::{Array, value_and_grad};

const INPUTS: usize = 8;
const HIDDEN: usize = 16;
const BATCH: usize = 4;

/// The stages of the gradient of a sequence's error, or of that of a batch of sequences.
fn stages<C: Cell + 'static>(
    c: &mut Criterion,
    name: &str,
    cell: C,
    steps: usize,
    error: fn(&C, &Array, &Array) -> Array,
    rows: &[usize],
) {
    let mut group = c.benchmark_group(format!("{name}/{steps}"));
    let sizes = |n: usize| [rows, &[steps, n]].concat();
    let (xs, ys) = (normal(&key(1), sizes(INPUTS)), normal(&key(2), sizes(HIDDEN)));
    let fits = "the arguments fit";
    let forward = || program(error).call(&cell, &xs, &ys).expect(fits);
    let gradient = || program(value_and_grad(error)).call(&cell, &xs, &ys).expect(fits);
    let machine_code = |optimized: &Program| Executable::with(optimized, Engine::Native);

    group.bench_function("trace", |b| b.iter(|| black_box(forward())));
    group.bench_function("trace and transform", |b| b.iter(|| black_box(gradient())));
    let traced = gradient();
    group.bench_function("optimize", |b| b.iter(|| black_box(optimize(&traced))));
    let mut before = traced.clone();
    for (i, pass) in PIPELINE.iter().enumerate() {
        let name = format!("optimize/{i:02} {}", pass.name);
        group.bench_function(name, |b| b.iter(|| black_box((pass.run)(&before))));
        before = (pass.run)(&before);
    }
    group.bench_function("machine code", |b| b.iter(|| black_box(machine_code(&before))));
    group.bench_function("all", |b| {
        b.iter(|| black_box(machine_code(&optimize(&gradient()))));
    });
    group.finish();
}

fn of_sequence<C: Cell>(cell: &C, xs: &Array, ys: &Array) -> Array {
    loss::mse(&run(cell, &cell.initial_carry(), xs).1, ys)
}

fn of_batch<C: Cell>(cell: &C, xs: &Array, ys: &Array) -> Array {
    loss::mse(&run_batch(cell, &initial_carries(cell, BATCH), xs).1, ys)
}

fn gradients(c: &mut Criterion) {
    let key = key(0);
    // The number of steps should make no difference.
    for steps in [10, 1000] {
        let gru = Gru::init(&key, INPUTS, HIDDEN);
        stages(c, "gru", gru, steps, of_sequence::<Gru>, &[]);
    }
    let gru = Gru::init(&key, INPUTS, HIDDEN);
    stages(c, "gru, batch", gru, 10, of_batch::<Gru>, &[BATCH]);
    let cell = LayerNormGru::init(&key, INPUTS, HIDDEN);
    stages(c, "layer norm gru, batch", cell, 10, of_batch::<LayerNormGru>, &[BATCH]);
    let cell = LayerNormLstm::init(&key, INPUTS, HIDDEN);
    stages(c, "layer norm lstm, batch", cell, 10, of_batch::<LayerNormLstm>, &[BATCH]);
}

criterion_group!(benches, gradients);
criterion_main!(benches);
