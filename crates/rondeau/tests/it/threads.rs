//! Calls on several threads: the same bits for any number of them.

use rondeau::buffer::{Buffer, DType};
use rondeau::compile::Sizes;
use rondeau::ir::Program;
use rondeau::optimize::optimize;
use rondeau::run::{Engine, Executable, MAX_THREADS};
use rondeau::{
    Array, Tree, jit, program, random, scan, sigmoid, tanh, value_and_grad, vmap, while_loop,
};

#[derive(Clone, Tree)]
struct Cell {
    wx: Array,
    wh: Array,
    wc: Array,
    b: Array,
}

fn draw(seed: i64, shape: &[usize]) -> Array {
    random::normal(&random::key(seed), shape)
}

fn cell(inputs: usize, hidden: usize) -> Cell {
    let scale = 1.0 / (hidden as f64).sqrt();
    Cell {
        wx: draw(1, &[hidden, inputs]) * scale,
        wh: draw(2, &[hidden, hidden]) * scale,
        wc: draw(3, &[hidden, hidden]) * scale,
        b: draw(4, &[hidden]),
    }
}

/// A gated unit over a sequence: xs [time, inputs] -> [time, hidden].
fn sequence(p: &Cell, h0: &Array, xs: &Array) -> Array {
    let step = |h: &Array, x: &Array| {
        let gate = sigmoid(p.wx.dot(x) + p.wh.dot(h));
        let h = &gate * h + (1.0 - &gate) * tanh(p.wc.dot(&gate * h) + &p.b);
        (h.clone(), h)
    };
    scan(step, h0, xs).1
}

fn batch(p: &Cell, h0: &Array, xs: &Array) -> Array {
    vmap(sequence, (None, 0, 0)).apply(p, h0, xs)
}

fn loss(p: &Cell, h0: &Array, xs: &Array) -> Array {
    batch(p, h0, xs).square().mean()
}

fn bits(buffer: &Buffer) -> Vec<u64> {
    match buffer.dtype() {
        DType::F32 => buffer.values::<f32>().iter().map(|x| u64::from(x.to_bits())).collect(),
        DType::F64 => buffer.values::<f64>().iter().map(|x| x.to_bits()).collect(),
        DType::I32 => buffer.values::<i32>().iter().map(|&x| x as u64).collect(),
        DType::U32 => buffer.values::<u32>().iter().map(|&x| u64::from(x)).collect(),
        _ => buffer.values::<bool>().iter().map(|&x| u64::from(x)).collect(),
    }
}

fn all_bits(outputs: &[Buffer]) -> Vec<Vec<u64>> {
    outputs.iter().map(bits).collect()
}

fn inputs(program: &Program) -> Vec<Buffer> {
    let avals = program.input_avals();
    let draw = |(i, aval): (usize, &rondeau::ir::Aval)| {
        let x = draw(i as i64 + 100, &aval.shape) * 0.3;
        let x = if aval.dtype.is_float() { x } else { x * 10.0 };
        x.to(aval.dtype).buffer().expect("a value").clone()
    };
    avals.iter().enumerate().map(draw).collect()
}

/// Compares the bits for all numbers of threads; returns the most parts that something had.
fn most_parts(program: &Program) -> usize {
    let program = &optimize(program);
    let most = [Sizes::DEFAULT, Sizes::LEAST].map(|sizes| most_parts_with(program, sizes));
    most[0].min(most[1])
}

fn most_parts_with(program: &Program, sizes: Sizes) -> usize {
    let inputs = inputs(program);
    let inputs: Vec<&Buffer> = inputs.iter().collect();
    let made = |engine, n| Executable::with_sizes(program, engine, n, sizes);
    let need = all_bits(&made(Engine::Native, 1).call(&inputs));
    let mut most = 0;
    for n in [2, 3, 4, 5, 7, 11, MAX_THREADS] {
        for engine in [Engine::Native, Engine::Vm] {
            let executable = made(engine, n);
            for _ in 0..2 {
                assert!(all_bits(&executable.call(&inputs)) == need, "{n} threads of {engine:?}");
            }
            let parts = |note: &String| note.split_once(" parts by ")?.0.trim().parse().ok();
            let parts: Vec<usize> = executable.notes().iter().filter_map(parts).collect();
            assert!(parts.iter().all(|&parts| parts <= n), "{parts:?} for {n} threads");
            most = most.max(parts.into_iter().max().unwrap_or(0));
        }
    }
    most
}

/// Chunks change where values are, and in which order sums over the steps are taken.
#[test]
fn chunks_compute_what_whole_loops_do() {
    let mut n = 0;
    for t in [8, 9, 12, 13, 31] {
        for b in [1, 3, 16] {
            let (p, h0, xs) = (cell(5, 12), draw(5, &[b, 12]), draw(6, &[b, t, 5]));
            let forward = program(batch).call(&p, &h0, &xs).expect("a program");
            let gradient = program(value_and_grad(loss)).call(&p, &h0, &xs).expect("a program");
            for program in [forward, gradient] {
                let program = optimize(&program);
                let inputs = inputs(&program);
                let inputs: Vec<&Buffer> = inputs.iter().collect();
                for engine in [Engine::Vm, Engine::Native] {
                    let whole = Executable::with(&program, engine).call(&inputs);
                    let chunked = Executable::with_sizes(&program, engine, 1, Sizes::LEAST);
                    n += chunked.notes().iter().filter(|note| note.contains("chunks of")).count();
                    for (whole, got) in whole.iter().zip(chunked.call(&inputs)) {
                        let (whole, got) = (whole.values::<f32>(), got.values::<f32>());
                        for (whole, got) in whole.iter().zip(got.iter()) {
                            let scale = whole.abs().max(1.0);
                            assert!((whole - got).abs() <= 1e-5 * scale, "{t} {b}: {whole} {got}");
                        }
                    }
                }
            }
        }
    }
    assert!(n >= 30, "only {n} loops were divided");
}

#[test]
fn batches_have_the_same_bits_on_any_number_of_threads() {
    for [t, i, h, b] in [[60, 9, 48, 13], [100, 5, 32, 67], [40, 64, 64, 32]] {
        let (p, h0, xs) = (cell(i, h), draw(5, &[b, h]), draw(6, &[b, t, i]));
        let forward = program(batch).call(&p, &h0, &xs).expect("a program");
        assert!(most_parts(&forward) > 1, "[{t}, {i}, {h}, {b}]");
        let gradient = program(value_and_grad(loss)).call(&p, &h0, &xs).expect("a program");
        assert!(most_parts(&gradient) > 1, "[{t}, {i}, {h}, {b}]");
    }
}

#[test]
fn a_chunk_and_its_sums_have_the_same_bits_on_any_number_of_threads() {
    let (p, h0, xs) = (cell(24, 96), draw(5, &[48, 96]), draw(6, &[48, 80, 24]));
    let gradient = program(value_and_grad(loss)).call(&p, &h0, &xs).expect("a program");
    let executable = Executable::with_sizes(&optimize(&gradient), Engine::Vm, 2, Sizes::DEFAULT);
    let shared = executable.notes().iter().filter(|note| note.contains(" in each of ")).count();
    assert!(shared >= 2, "the loop's steps and the sums: {:?}", executable.notes());
    assert!(most_parts(&gradient) > 1);
}

#[test]
fn batches_of_batches_have_the_same_bits_on_any_number_of_threads() {
    let (p, h0) = (cell(7, 48), draw(5, &[5, 6, 48]));
    let xs = draw(6, &[5, 6, 120, 7]);
    let f = |p: &Cell, h0: &Array, xs: &Array| vmap(batch, (None, 0, 0)).apply(p, h0, xs);
    assert!(most_parts(&program(f).call(&p, &h0, &xs).expect("a program")) > 1);
}

#[test]
fn large_kernels_have_the_same_bits_on_any_number_of_threads() {
    let (x, y) = (draw(1, &[411, 273]), draw(2, &[273, 390]));
    let many =
        |f: fn(&Array, &Array) -> Array| most_parts(&program(f).call(&x, &y).expect("a program"));
    assert!(many(|x, y| x.dot(y) + 1.0) > 1);
    assert!(many(|x, y| x.to(DType::F64).dot(y.to(DType::F64))) > 1);
    assert!(many(|x, y| tanh(x.dot(y)).transpose(&[1, 0])) > 1);
    assert!(many(|x, y| (x.dot(y)).sort(0)) > 1);
    assert!(many(|x, y| x.dot(y).exp().cumsum(1)) > 1);
    assert!(many(|x, y| x.dot(y).sum_axes(&[0])) > 1);
    // A vector for each row, and one number for all: sums of many terms stay whole.
    assert!(many(|x, y| x.dot(y).square().sum()) > 1);
}

#[test]
fn elementwise_loops_and_choices_have_the_same_bits_on_any_number_of_threads() {
    // Each element by itself, in whatever shape the loop has.
    let leaky = |h0: &Array, xs: &Array| {
        let step = |h: &Array, x: &Array| {
            let h = h * 0.9 + tanh(x) * 0.1;
            (h.clone(), h.sin())
        };
        scan(step, h0, xs)
    };
    let (h0, xs) = (draw(1, &[37, 61]), draw(2, &[300, 37, 61]));
    assert!(most_parts(&program(leaky).call(&h0, &xs).expect("a program")) > 1);
    // Each example has its own number of steps: one flag for all, so that nothing is cut there.
    let halved =
        |x: &Array| while_loop(|x: &Array| x.abs().max().gt(0.1), |x: &Array| tanh(x) * 0.5, x);
    let xs = draw(3, &[64, 300]);
    most_parts(&program(vmap(halved, 0)).call(&xs).expect("a program"));
}

#[test]
fn small_programs_stay_on_one_thread() {
    let (p, h0, xs) = (cell(5, 8), draw(5, &[8]), draw(6, &[10, 5]));
    assert_eq!(most_parts(&program(sequence).call(&p, &h0, &xs).expect("a program")), 0);
    let step = |h: &Array, x: &Array| h.dot(x).tanh();
    let (h, x) = (draw(1, &[128, 128]), draw(2, &[128]));
    assert_eq!(most_parts(&program(step).call(&h, &x).expect("a program")), 0);
}

#[test]
fn calls_at_the_same_time_have_the_same_bits() {
    let (p, h0, xs) = (cell(9, 32), draw(5, &[19, 32]), draw(6, &[19, 40, 9]));
    let traced = program(value_and_grad(loss)).call(&p, &h0, &xs).expect("a program");
    let inputs = inputs(&traced);
    let inputs: Vec<&Buffer> = inputs.iter().collect();
    let need = all_bits(&Executable::compile(&traced, Engine::Native, 1).call(&inputs));
    let executable = Executable::compile(&traced, Engine::Native, 4);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..40 {
                    assert!(all_bits(&executable.call(&inputs)) == need);
                }
            });
        }
    });
}

#[test]
fn compiled_functions_take_a_number_of_threads() {
    let (p, h0, xs) = (cell(9, 32), draw(5, &[19, 32]), draw(6, &[19, 40, 9]));
    let need = jit(batch).threads(1).call(&p, &h0, &xs).expect("a value");
    // Numbers that make no sense are taken as the nearest that do.
    for n in [0, 2, 6, 1000] {
        let got = jit(batch).threads(n).call(&p, &h0, &xs).expect("a value");
        assert_eq!(got.to_vec::<f32>().ok(), need.to_vec::<f32>().ok());
    }
}
