//! Every engine runs the same programs: the compiled code against the interpreter.

use rondeau::buffer::{Buffer, DType};
use rondeau::compile::Sizes;
use rondeau::ir::{Program, eval};
use rondeau::optimize::optimize;
use rondeau::prim::Prim;
use rondeau::run::{Engine, Executable};

use crate::generate;

/// Integers must agree exactly, floats to rounding: sums are taken in another order.
fn assert_agree(program: &Program, got: &[Buffer], need: &[Buffer], what: &str) {
    for (i, (got, need)) in got.iter().zip(need).enumerate() {
        assert_eq!(got.shape(), need.shape(), "{what}, output {i} of\n{program}");
        let close = match need.dtype() {
            DType::F64 => close(&got.values::<f64>(), &need.values::<f64>(), 1e-11),
            DType::F32 => {
                let wide = |x: &Buffer| {
                    x.values::<f32>().iter().map(|&x| f64::from(x)).collect::<Vec<_>>()
                };
                close(&wide(got), &wide(need), 1e-5)
            }
            _ => got.same(need),
        };
        assert!(close, "{what}, output {i} of\n{program}\ngot  {got:?}\nneed {need:?}");
    }
}

fn close(got: &[f64], need: &[f64], tolerance: f64) -> bool {
    let scale = need.iter().filter(|x| x.is_finite()).fold(1.0_f64, |scale, x| scale.max(x.abs()));
    got.iter().zip(need).all(|(&got, &need)| {
        got == need || (got.is_nan() && need.is_nan()) || (got - need).abs() <= tolerance * scale
    })
}

fn compare(program: &Program, inputs: &[Buffer], what: &str) {
    let need = eval(program, inputs);
    let run = || {
        let inputs: Vec<&Buffer> = inputs.iter().collect();
        for sizes in [Sizes::DEFAULT, Sizes::LEAST] {
            let compiled = Executable::with_sizes(program, Engine::Native, 1, sizes);
            assert_agree(program, &compiled.call(&inputs), &need, what);
        }
    };
    if !what.is_empty() && std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
        let part = shrunk(first_fault(program, inputs).unwrap_or_else(|| program.clone()), inputs);
        let notes = Executable::with(&part, Engine::Native).notes().join("\n");
        panic!("{what}: the least part that differs is\n{part}\n{notes}");
    }
    run();
}

#[test]
fn compiled_primitives_are_what_the_interpreter_says() {
    let mut n = 0;
    for (prim, avals) in Prim::examples() {
        if matches!(prim, Prim::Tap(_)) {
            continue;
        }
        let mut b = rondeau::ir::Builder::new();
        let inputs = b.inputs(&avals);
        let outputs = b.bind(prim.clone(), &inputs);
        let program = b.finish(outputs);
        for seed in 0..2 {
            let inputs = generate::inputs(&program, seed);
            compare(&program, &inputs, prim.name());
            n += 1;
        }
    }
    println!("engines: {n} runs of primitives");
}

#[test]
fn compiled_random_programs_are_what_the_interpreter_says() {
    let cases: u64 =
        std::env::var("RONDEAU_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    for seed in 0..cases {
        let program = generate::seeded(seed, 40);
        let inputs = generate::inputs(&program, seed);
        compare(&program, &inputs, &format!("seed {seed}"));
        compare(&optimize(&program), &inputs, &format!("seed {seed}, optimized"));
    }
}

/// The program that returns what equation `i` computes.
fn up_to(program: &Program, i: usize) -> Program {
    let mut b = rondeau::ir::Builder::new();
    let mut env = std::collections::HashMap::new();
    for (&var, atom) in program.inputs().iter().zip(b.inputs(&program.input_avals())) {
        env.insert(var, atom);
    }
    let mut last = vec![];
    for eqn in &program.eqns()[..=i] {
        let read = |atom: &rondeau::ir::Atom| atom.var().map_or(*atom, |var| env[&var]);
        let inputs: Vec<_> = eqn.inputs.iter().map(read).collect();
        last = b.bind(eqn.prim.clone(), &inputs);
        for (&var, &atom) in eqn.outputs.iter().zip(&last) {
            env.insert(var, atom);
        }
    }
    b.finish(last)
}

/// Leaves out equations from the front as long as the results still differ.
fn shrunk(program: Program, inputs: &[Buffer]) -> Program {
    let differs = |part: &Program| {
        let run = || compare(part, inputs, "");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    };
    let pruned = rondeau::transform::prune(&program);
    if differs(&pruned) { pruned } else { program }
}

/// The least part of a program whose results differ.
fn first_fault(program: &Program, inputs: &[Buffer]) -> Option<Program> {
    (0..program.eqns().len()).map(|i| up_to(program, i)).find(|part| {
        let run = || compare(part, inputs, "");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    })
}
