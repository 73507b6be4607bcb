//! The laws of all passes, over every primitive's examples and over cells and their gradients.

use super::*;
use crate::buffer::{Buffer, DType};
use crate::ir::{Atom, Aval, Builder, eval};
use crate::prim::{Binary, DotGeneral, Fold, Prim, Reduce, Scan, Unary};
use crate::transform::{vjp, vmap};

/// `m·v`: matrix times vector.
fn dot(b: &mut Builder, m: Atom, v: Atom) -> Atom {
    let prim = DotGeneral {
        lhs_contract: vec![1],
        rhs_contract: vec![0],
        lhs_batch: vec![],
        rhs_batch: vec![],
    };
    b.bind1(prim, &[m, v])
}

/// The cell of the design: resets before the product. Inputs: wz uz bz wr ur br wh uh bh, h, x.
fn gru_step(inputs: usize, hidden: usize) -> Program {
    let mut b = Builder::new();
    let f = |shape: &[usize]| Aval::new(DType::F64, shape);
    let mut gate =
        || [f(&[hidden, inputs]), f(&[hidden, hidden]), f(&[hidden])].map(|aval| b.input(aval));
    let [z, r, n] = [gate(), gate(), gate()];
    let (h, x) = (b.input(f(&[hidden])), b.input(f(&[inputs])));
    let affine = |b: &mut Builder, [w, u, bias]: [Atom; 3], h: Atom| {
        let (wx, uh) = (dot(b, w, x), dot(b, u, h));
        let sum = b.add(wx, uh);
        b.add(sum, bias)
    };
    let z = affine(&mut b, z, h);
    let z = b.unary(Unary::Logistic, z);
    let r = affine(&mut b, r, h);
    let r = b.unary(Unary::Logistic, r);
    let rh = b.mul(r, h);
    let n = affine(&mut b, n, rh);
    let n = b.unary(Unary::Tanh, n);
    let one = b.lit(1.0, z);
    let keep = b.sub(one, z);
    let (old, new) = (b.mul(keep, h), b.mul(z, n));
    let next = b.add(old, new);
    b.finish(vec![next, next])
}

/// Parameters, h0 `[hidden]`, xs `[time, inputs]` to the last state and all states.
fn gru(time: usize, inputs: usize, hidden: usize) -> Program {
    let body = gru_step(inputs, hidden);
    let mut b = Builder::new();
    let mut avals = body.input_avals();
    avals[10] = avals[10].prepend(time);
    let atoms = b.inputs(&avals);
    let prim = Scan { body: body.into(), n_consts: 9, n_carry: 1, length: time, reverse: false };
    let outputs = b.bind(prim, &atoms);
    b.finish(outputs)
}

/// The sum of the squares of a program's last output.
fn square_loss(program: &Program) -> Program {
    let mut b = Builder::new();
    let inputs = b.inputs(&program.input_avals());
    let outputs = b.inline(program, &inputs);
    let y = outputs[outputs.len() - 1];
    let square = b.mul(y, y);
    let axes = (0..b.aval(square).rank()).collect::<Vec<_>>();
    let loss = b.sum(square, &axes);
    b.finish(vec![loss])
}

/// The gradient of a loss by its first `n` inputs.
fn gradient(loss: &Program, n: usize) -> Program {
    let by: Vec<bool> = (0..loss.inputs().len()).map(|i| i < n).collect();
    let vjp = vjp(loss, &by).expect("the loss has a gradient");
    let mut b = Builder::new();
    let inputs = b.inputs(&loss.input_avals());
    let one = Atom::Lit(crate::buffer::Scalar::F64(1.0));
    let outputs = b.inline(&vjp, &[inputs, vec![one]].concat());
    b.finish(outputs[1..].to_vec())
}

/// The first `n_shared` inputs are the same for all examples.
fn batched(program: &Program, size: usize, n_shared: usize) -> Program {
    let mapped: Vec<bool> = (0..program.inputs().len()).map(|i| i >= n_shared).collect();
    vmap(program, size, &mapped, &vec![false; program.outputs().len()]).program
}

/// Numbers that look random, between -1 and 1 for floats, small for integers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    fn fill(&mut self, aval: &Aval) -> Buffer {
        let scale = if aval.is_float() { 1.0 } else { 4.0 };
        let n = aval.shape.count();
        let rows: Vec<Buffer> = (0..n)
            .map(|_| {
                let value = crate::buffer::Scalar::of(self.next() * scale, aval.dtype);
                Buffer::splat(value, ())
            })
            .collect();
        Buffer::stack(&rows, &().into(), aval.dtype).reshape(&aval.shape)
    }
}

fn some_inputs(program: &Program) -> Vec<Buffer> {
    let mut numbers = Numbers(7);
    program.input_avals().iter().map(|aval| numbers.fill(aval)).collect()
}

/// How closely results must agree.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Agreement {
    /// Bit for bit.
    Exact,
    /// To `1e-12` of the greatest absolute value, in f64: the order of summation may change.
    Rounding,
}

/// What a pass promises.
fn agreement(name: &str) -> Agreement {
    match name {
        "inline" | "dce" | "fold" | "algebra" | "cse" | "inputs" | "residuals" => Agreement::Exact,
        _ => Agreement::Rounding,
    }
}

fn agree(x: &Buffer, y: &Buffer, how: Agreement) -> bool {
    if x.same(y) || how == Agreement::Exact {
        return x.same(y);
    }
    if x.dtype() != DType::F64 || x.shape() != y.shape() {
        return false;
    }
    let (xs, ys) = (x.values::<f64>(), y.values::<f64>());
    let greatest = xs.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
    xs.iter()
        .zip(ys.iter())
        .all(|(x, y)| (x - y).abs() <= 1e-12 * greatest || (x.is_nan() && y.is_nan()) || x == y)
}

/// Same results, a program that keeps the rules, no higher cost, and nothing left to do.
fn check_pass(pass: &Pass, program: &Program) -> Program {
    let name = pass.name;
    let better = (pass.run)(program);
    if let Err(fault) = better.check() {
        panic!("{name}: {fault}\nfrom\n{program}");
    }
    let (before, after) = (cost(program), cost(&better));
    assert!(
        after.total() <= before.total(),
        "{name} raises the cost: {before:?} {after:?}\n{program}\n{better}"
    );
    let again = (pass.run)(&better);
    assert!(again == better, "{name} is not idempotent\n{better}\n{again}");
    let inputs = some_inputs(program);
    let (expected, got) = (eval(program, &inputs), eval(&better, &inputs));
    for (i, (x, y)) in expected.iter().zip(&got).enumerate() {
        let how = agreement(name);
        assert!(agree(x, y, how), "{name}, output {i}: {x:?} {y:?}\n{program}\n{better}");
    }
    better
}

/// Runs the pipeline, with every law for every pass.
fn check(program: &Program) -> Program {
    PIPELINE.iter().fold(program.clone(), |program, pass| check_pass(pass, &program))
}

fn one_equation(prim: Prim, avals: &[Aval]) -> Program {
    let mut b = Builder::new();
    let inputs = b.inputs(avals);
    let outputs = b.bind(prim, &inputs);
    b.finish(outputs)
}

#[test]
fn every_primitive_keeps_its_meaning() {
    for (prim, avals) in Prim::examples() {
        if !matches!(prim, Prim::Tap(_) | Prim::CustomLinear(_)) {
            check(&one_equation(prim, &avals));
        }
    }
}

#[test]
fn cells_and_their_gradients_keep_their_meaning() {
    let forward = gru(12, 5, 8);
    check(&forward);
    check(&batched(&forward, 3, 9));
    let loss = square_loss(&forward);
    check(&gradient(&loss, 10));
    check(&gradient(&loss, 11));
    check(&gradient(&square_loss(&batched(&forward, 3, 9)), 10));
}

#[test]
fn look() {
    let loss = square_loss(&gru(100, 5, 8));
    let gradient = gradient(&loss, 10);
    println!("{gradient}\n{:?}", cost(&gradient));
    let optimized = optimize_with(&gradient, &mut |name, p| {
        println!("{name} {} {:?}", p.n_eqns(), cost(p).total())
    });
    println!("{optimized}\n{:?}", cost(&optimized));
}
