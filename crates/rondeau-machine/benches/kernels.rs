//! Times the kernels by which everything else is made: products, functions, and a recurrent step.
//!
//! `cargo bench -p rondeau-machine`, or with a name behind `--` for one of them. Compare only within one run on
//! one processor: `taskset -c 0`.

#[path = "../examples/step_speed/cells.rs"]
#[allow(dead_code, reason = "the example uses more of it")]
mod cells;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rondeau_machine::code::DType;
use rondeau_machine::gemm::{MatRef, Order, gemm};
use rondeau_machine::math::{Function, apply};
use rondeau_machine::{Arena, Executable, Executor, as_bytes, as_bytes_mut};

/// A matrix times a vector, and matrix times matrix, with contiguous rows.
fn products(c: &mut Criterion) {
    let shapes = [(128, 128, 1), (512, 512, 1), (1536, 512, 1), (128, 128, 32), (512, 512, 512)];
    let mut group = c.benchmark_group("gemm");
    for (m, k, n) in shapes {
        let (a, b) = (vec![0.5_f32; m * k], vec![0.25_f32; k * n]);
        let mut out = vec![0.0; m * n];
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        group.bench_function(format!("{m}x{k}x{n}"), |bench| {
            let a = MatRef::row_major(&a, m, k).expect("the data fit");
            let b = MatRef::row_major(&b, k, n).expect("the data fit");
            bench.iter(|| gemm(black_box(a), black_box(b), black_box(&mut out), Order::Lanes));
        });
    }
    group.finish();
}

/// A function of each of 1024 numbers.
fn maps(c: &mut Criterion) {
    let x: Vec<f32> = (0..1024).map(|i| (i as f32 + 0.5) / 128.0 - 4.0).collect();
    let mut y = vec![0.0; x.len()];
    let mut group = c.benchmark_group("map");
    group.throughput(Throughput::Elements(x.len() as u64));
    for (name, f) in [("sigmoid", Function::Sigmoid), ("tanh", Function::Tanh)] {
        group.bench_function(name, |bench| {
            bench.iter(|| apply(f, black_box(&x), black_box(&mut y)));
        });
    }
    group.finish();
}

/// The recurrent part of the gated recurrent unit, per step.
fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("gru");
    let n_steps = 100;
    group.throughput(Throughput::Elements(n_steps as u64));
    for (hidden, batch) in [(8, 1), (32, 1), (128, 1), (512, 1), (128, 32)] {
        let code = cells::gru(DType::F32, hidden, batch, n_steps);
        for (name, executor) in [("native", Executor::Best), ("vm", Executor::Vm)] {
            let exe = Executable::new(&code, executor).expect("the code is right");
            let sizes = |needs: &[(usize, usize)]| -> Vec<Vec<f32>> {
                needs.iter().map(|need| vec![0.01; need.0 / size_of::<f32>()]).collect()
            };
            let inputs = sizes(&exe.needs().inputs);
            let mut outputs = sizes(&exe.needs().outputs);
            let mut arena = Arena::new();
            let id = BenchmarkId::new(name, format!("H={hidden} B={batch}"));
            group.bench_function(id, |bench| {
                let inputs: Vec<&[u8]> = inputs.iter().map(|input| as_bytes(input)).collect();
                bench.iter(|| {
                    let mut outputs: Vec<&mut [u8]> =
                        outputs.iter_mut().map(|output| as_bytes_mut(output)).collect();
                    exe.run(&inputs, &mut outputs, &mut arena, &|_| {}).expect("the call fits");
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots();
    targets = products, maps, steps
}
criterion_main!(kernels);
