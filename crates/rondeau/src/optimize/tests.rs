//! The laws of all passes, over every primitive's examples and over cells and their gradients.

use super::*;
use crate::buffer::{Buffer, DType};
use crate::ir::{Atom, Aval, Builder, eval};
use crate::prim::{
    Binary, Broadcast, Call, CallKind, Concat, Cond, DotGeneral, Fold, Prim, Reduce, Reshape, Scan,
    Slice, Tap, Transpose, Unary,
};
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
struct Numbers {
    state: u64,
    /// Whether zeros, infinities and NaN are among them.
    special: bool,
}

impl Numbers {
    fn new(seed: u64, special: bool) -> Numbers {
        let mut numbers = Numbers { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), special };
        numbers.next();
        numbers
    }

    fn next(&mut self) -> f64 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.next() + 1.0) * 0.5 * n as f64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn one(&mut self) -> f64 {
        const SPECIAL: [f64; 7] =
            [0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-310];
        if self.special && self.below(3) == 0 { self.pick(&SPECIAL) } else { self.next() }
    }

    fn fill(&mut self, aval: &Aval) -> Buffer {
        let scale = if aval.is_float() { 1.0 } else { 4.0 };
        let values = (0..aval.shape.count()).map(|_| self.one() * scale);
        let rows: Vec<Buffer> =
            values.map(|x| Buffer::scalar(crate::buffer::Scalar::of(x, aval.dtype))).collect();
        Buffer::stack(&rows, &().into(), aval.dtype).reshape(&aval.shape)
    }

    fn inputs(&mut self, program: &Program) -> Vec<Buffer> {
        program.input_avals().iter().map(|aval| self.fill(aval)).collect()
    }
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
fn check_pass(pass: &Pass, how: Agreement, program: &Program) -> Program {
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
    for special in [false, true] {
        // Orders of summation differ where infinities meet.
        if special && how == Agreement::Rounding {
            continue;
        }
        let inputs = Numbers::new(7, special).inputs(program);
        let (expected, got) = (eval(program, &inputs), eval(&better, &inputs));
        for (i, (x, y)) in expected.iter().zip(&got).enumerate() {
            assert!(agree(x, y, how), "{name}, output {i}: {x:?} {y:?}\n{program}\n{better}");
        }
    }
    better
}

/// Runs the pipeline, with every law for every pass.
fn check(program: &Program) -> Program {
    let one = |program: Program, pass| check_pass(pass, agreement(pass.name), &program);
    PIPELINE.iter().fold(program.clone(), one)
}

/// The same for programs with products of operands in any layout: how products round depends on
/// the layout, and passes that only drop a copy change it.
fn check_to_rounding(program: &Program) -> Program {
    let one = |program: Program, pass| check_pass(pass, Agreement::Rounding, &program);
    PIPELINE.iter().fold(program.clone(), one)
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

/// Programs that look random, of small f64 arrays.
struct Programs {
    numbers: Numbers,
    products: bool,
    b: Builder,
    pool: Vec<Atom>,
}

impl Programs {
    fn new(seed: u64, products: bool) -> Programs {
        let numbers = Numbers::new(seed, false);
        Programs { numbers, products, b: Builder::new(), pool: vec![] }
    }

    fn program(seed: u64, products: bool, n_eqns: usize) -> Program {
        let avals = [&[3][..], &[2, 3], &[3, 3], &[3, 2, 3], &[]].map(|s| Aval::new(DType::F64, s));
        let mut it = Programs::new(seed, products);
        it.pool = it.b.inputs(&avals);
        it.grow(n_eqns, 2);
        let outputs = (0..3).map(|_| it.latest()).collect();
        it.b.finish(outputs)
    }

    /// A body for given types of inputs, the first outputs of the types of inputs `keep`.
    fn body(&mut self, avals: &[Aval], keep: &[usize], depth: usize) -> Program {
        let mut it = Programs::new(self.numbers.below(1 << 20) as u64, self.products);
        let inputs = it.b.inputs(avals);
        it.pool = inputs.clone();
        it.grow(8, depth);
        let mut outputs: Vec<Atom> = keep.iter().map(|&i| it.next_carry(inputs[i])).collect();
        outputs.extend([it.latest(), it.latest()]);
        it.b.finish(outputs)
    }

    /// A sum that runs, or a new value that stays small.
    fn next_carry(&mut self, carry: Atom) -> Atom {
        let aval = self.b.aval(carry);
        let fits: Vec<Atom> =
            self.pool.iter().copied().filter(|&x| self.b.aval(x) == aval).collect();
        let value = fits[fits.len() - 1 - self.numbers.below(fits.len().min(3))];
        let sum = self.b.add(carry, value);
        if self.numbers.below(2) == 0 { sum } else { self.b.unary(Unary::Tanh, sum) }
    }

    fn latest(&mut self) -> Atom {
        let n = self.pool.len();
        self.pool[n - 1 - self.numbers.below(n.min(5))]
    }

    fn grow(&mut self, n: usize, depth: usize) {
        while self.pool.len() < n + 5 {
            let x = if self.numbers.below(2) == 0 {
                self.latest()
            } else {
                let pool = self.pool.clone();
                self.numbers.pick(&pool)
            };
            let new = self.equation(x, depth);
            self.pool.extend(new.into_iter().filter(|&x| self.b.aval(x).rank() < 4));
        }
    }

    fn equation(&mut self, x: Atom, depth: usize) -> Vec<Atom> {
        let aval = self.b.aval(x);
        let rank = aval.rank();
        let one = |atom: Atom| vec![atom];
        match self.numbers.below(16) {
            0 | 1 => {
                let ops =
                    [Unary::Tanh, Unary::Logistic, Unary::Neg, Unary::Abs, Unary::StopGradient];
                let op = self.numbers.pick(&ops);
                one(self.b.unary(op, x))
            }
            2..=5 => {
                let ops = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Add];
                let op = self.numbers.pick(&ops);
                let y = self.partner(&aval);
                one(self.b.binary(op, x, y))
            }
            6..=8 if self.products => self.product(x).into_iter().collect(),
            9 if rank > 0 => {
                let axes = vec![self.numbers.below(rank)];
                one(self.b.bind1(Reduce { fold: Fold::Sum, axes }, &[x]))
            }
            10 if rank < 3 => {
                let axes = (0..rank + 1).collect::<Vec<_>>();
                let new = self.numbers.below(rank + 1);
                let axes = axes.into_iter().filter(|&axis| axis != new).collect();
                let mut shape = aval.shape.to_vec();
                shape.insert(new, 3);
                one(self.b.bind1(Broadcast { shape: shape.into(), axes }, &[x]))
            }
            11 if rank > 1 => {
                let permutation = (0..rank).rev().collect();
                one(self.b.bind1(Transpose { permutation }, &[x]))
            }
            12 if rank > 0 && aval.shape[0] > 1 => {
                let start = self.numbers.below(2);
                let mut starts = vec![0; rank];
                starts[0] = start;
                let sizes = aval.shape.with(0, aval.shape[0] - 1).to_vec();
                one(self.b.bind1(Slice { starts, sizes, steps: vec![1; rank] }, &[x]))
            }
            13 if rank > 0 && aval.shape[0] < 4 => {
                let y = self.partner(&aval);
                if self.b.aval(y) != aval {
                    return one(self.b.bind1(Reshape { shape: aval.shape.count().into() }, &[x]));
                }
                one(self.b.bind1(Concat { axis: 0 }, &[x, y]))
            }
            14 if depth > 0 && rank > 0 => self.scan(x, depth - 1),
            15 if depth > 0 => self.call(x, depth - 1),
            _ => vec![],
        }
    }

    /// A value of that type, or a number.
    fn partner(&mut self, aval: &Aval) -> Atom {
        let fits = |x: &Atom| self.b.aval(*x) == *aval;
        let mut all: Vec<Atom> = self.pool.iter().copied().filter(fits).collect();
        let number = self.numbers.pick(&[0.0, -0.0, 1.0, -1.0, 0.5]);
        let number = self.b.full(number, aval);
        all.push(number);
        self.numbers.pick(&all)
    }

    fn product(&mut self, x: Atom) -> Option<Atom> {
        let pool = self.pool.clone();
        let y = self.numbers.pick(&pool);
        let (a, b) = (self.b.aval(x), self.b.aval(y));
        if a.rank() == 0 || b.rank() == 0 || a.rank() + b.rank() > 5 {
            return None;
        }
        let (i, j) = (self.numbers.below(a.rank()), self.numbers.below(b.rank()));
        let prim = DotGeneral {
            lhs_contract: vec![i],
            rhs_contract: vec![j],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        (a.shape[i] == b.shape[j]).then(|| self.b.bind1(prim, &[x, y]))
    }

    fn scan(&mut self, x: Atom, depth: usize) -> Vec<Atom> {
        let length = self.b.aval(x).shape[0];
        let pool = self.pool.clone();
        let fixed: Vec<Atom> = (0..5).map(|_| self.numbers.pick(&pool)).collect();
        let rows = |atom: &Atom| self.b.aval(*atom).shape.first() == Some(&length);
        let rows: Vec<Atom> = pool.into_iter().filter(rows).collect();
        let rows = [x, self.numbers.pick(&rows)];
        let mut avals = self.b.avals(&fixed);
        avals.extend(self.b.avals(&rows).iter().map(Aval::row));
        let body = self.body(&avals, &[2, 3, 4], depth);
        let reverse = self.numbers.below(2) == 0;
        let prim = Scan { body: body.into(), n_consts: 2, n_carry: 3, length, reverse };
        self.b.bind(prim, &[&fixed[..], &rows].concat())
    }

    fn call(&mut self, x: Atom, depth: usize) -> Vec<Atom> {
        let pool = self.pool.clone();
        let inputs = [x, self.numbers.pick(&pool)];
        let avals = self.b.avals(&inputs);
        let body = self.body(&avals, &[], depth);
        match self.numbers.below(3) {
            0 => {
                let index = Atom::Lit(crate::buffer::Scalar::I32(self.numbers.below(2) as i32));
                let other = self.body(&avals, &[], depth);
                let branches = if other.output_avals() == body.output_avals() {
                    vec![body.into(), other.into()]
                } else {
                    vec![body.into()]
                };
                self.b.bind(Cond { branches }, &[&[index], &inputs[..]].concat())
            }
            _ => self.b.bind(Call { kind: CallKind::Remat, body: body.into() }, &inputs),
        }
    }
}

#[test]
fn random_programs_keep_their_meaning() {
    for seed in 0..100 {
        println!("seed {seed}");
        let program = Programs::program(seed, false, 14);
        check(&program);
        check(&gradient(&square_loss(&program), 5));
        let program = Programs::program(seed, true, 14);
        check_to_rounding(&program);
        check_to_rounding(&gradient(&square_loss(&program), 5));
    }
}

/// The loops of a program.
fn loops(program: &Program) -> Vec<&Scan> {
    let scan = |eqn: &'_ crate::ir::Eqn| matches!(eqn.prim, Prim::Scan(_));
    let loops = program.eqns().iter().filter(|eqn| scan(eqn));
    loops
        .map(|eqn| match &eqn.prim {
            Prim::Scan(scan) => scan,
            _ => unreachable!("only scans are left"),
        })
        .collect()
}

/// The products of a program, as the shapes of their operands.
fn products(program: &Program) -> Vec<String> {
    let products = program.eqns().iter().filter(|eqn| matches!(eqn.prim, Prim::DotGeneral(_)));
    products
        .map(|eqn| {
            let [x, y] = [0, 1].map(|i| program.aval(eqn.inputs[i]).shape);
            format!("{x}·{y}")
        })
        .collect()
}

/// The program after each pass that changes it.
fn story(program: &Program) -> String {
    let mut text = format!("{program}");
    let mut last = program.clone();
    optimize_with(program, &mut |name, program| {
        if *program != last {
            text += &format!("\n\n{name}: {} equations\n{program}", program.n_eqns());
            last = program.clone();
        }
    });
    text
}

#[test]
fn the_forward_loop_holds_what_waits_for_the_carry() {
    let forward = gru(100, 5, 8);
    insta::assert_snapshot!("gru_forward", story(&forward));
    let optimized = optimize(&forward);
    let step = &loops(&optimized)[0].body;
    assert_eq!(products(step), ["[8,8]·[8]"; 3]);
    assert_eq!((loops(&forward)[0].body.n_eqns(), step.n_eqns()), (20, 14));
}

#[test]
fn the_backward_loop_sums_no_weight_gradients() {
    let gradient = gradient(&square_loss(&gru(100, 5, 8)), 10);
    insta::assert_snapshot!("gru_gradient", story(&gradient));
    let optimized = optimize(&gradient);
    let [forward, backward] = loops(&optimized)[..] else { panic!("two loops") };
    // States, the carry that entered, z, r, r∘h, and the candidate.
    assert_eq!(forward.body.outputs().len() - forward.n_carry, 6);
    assert_eq!(backward.n_carry, 1);
    assert_eq!(products(&backward.body), ["[8]·[8,8]"; 3]);
    let [before_forward, before_backward] = loops(&gradient)[..] else { panic!("two loops") };
    let sizes = [before_forward, forward, before_backward, backward].map(|it| it.body.n_eqns());
    assert_eq!(sizes, [26, 14, 33, 23]);
}

#[test]
fn a_batch_shares_the_products_with_its_weights() {
    let forward = batched(&gru(100, 5, 8), 3, 9);
    let optimized = optimize(&forward);
    assert_eq!(products(&loops(&optimized)[0].body), ["[3,8]·[8,8]"; 3]);
    assert_eq!(products(&optimized), ["[100,3,5]·[8,5]"; 3]);
    let gradient = optimize(&gradient(&square_loss(&forward), 10));
    let backward = loops(&gradient)[1];
    assert_eq!(backward.n_carry, 1);
    assert_eq!(products(&backward.body), ["[3,8]·[8,8]"; 3]);
}

#[test]
fn second_derivatives_keep_their_meaning() {
    let first = gradient(&square_loss(&gru(7, 2, 3)), 11);
    check_to_rounding(&gradient(&square_loss(&first), 11));
}

#[test]
fn an_output_layer_runs_after_the_loop() {
    let step = gru_step(5, 8);
    let mut b = Builder::new();
    let f = |shape: &[usize]| Aval::new(DType::F64, shape);
    let weights = b.inputs(&step.input_avals()[..9]);
    let (w, bias) = (b.input(f(&[4, 8])), b.input(f(&[4])));
    let (h, x) = (b.input(f(&[8])), b.input(f(&[5])));
    let h = b.inline(&step, &[&weights[..], &[h, x]].concat())[0];
    let y = dot(&mut b, w, h);
    let y = b.add(y, bias);
    let y = b.unary(Unary::Logistic, y);
    let body = b.finish(vec![h, y]);
    let mut b = Builder::new();
    let mut avals = body.input_avals();
    avals[12] = avals[12].prepend(20);
    let atoms = b.inputs(&avals);
    let prim = Scan { body: body.into(), n_consts: 11, n_carry: 1, length: 20, reverse: false };
    let outputs = b.bind(prim, &atoms);
    let optimized = check(&b.finish(outputs));
    assert!(products(&optimized).contains(&"[20,8]·[4,8]".to_owned()), "{optimized}");
}

#[test]
fn loops_of_no_steps_give_their_start() {
    check(&gru(0, 5, 8));
    check(&gradient(&square_loss(&gru(0, 5, 8)), 11));
    check(&gradient(&square_loss(&gru(1, 5, 8)), 11));
}

#[test]
fn what_is_checkpointed_is_computed_again() {
    let step = gru_step(5, 8);
    let mut b = Builder::new();
    let inputs = b.inputs(&step.input_avals());
    let outputs = b.bind(Call { kind: CallKind::Remat, body: step.into() }, &inputs);
    let body = b.finish(outputs);
    let mut b = Builder::new();
    let mut avals = body.input_avals();
    avals[10] = avals[10].prepend(100);
    let atoms = b.inputs(&avals);
    let prim = Scan { body: body.into(), n_consts: 9, n_carry: 1, length: 100, reverse: false };
    let outputs = b.bind(prim, &atoms);
    let gradient = gradient(&square_loss(&b.finish(outputs)), 10);
    let optimized = check_to_rounding(&gradient);
    let [forward, backward] = loops(&optimized)[..] else { panic!("two loops") };
    // The states and the carry that entered are kept; everything else is computed again.
    assert_eq!(forward.body.outputs().len() - forward.n_carry, 2);
    let again = backward.body.eqns().iter().filter(|eqn| matches!(eqn.prim, Prim::Call(_)));
    assert_eq!(again.count(), 1);
}

#[test]
fn effects_stay_in_their_steps() {
    let mut step = Builder::new();
    let f = |shape: &[usize]| Aval::new(DType::F64, shape);
    let (k, h, x) = (step.input(f(&[])), step.input(f(&[])), step.input(f(&[])));
    step.bind(Tap { label: "k".into() }, &[k]);
    step.bind(Tap { label: "x".into() }, &[x]);
    let next = step.add(h, k);
    let body = step.finish(vec![next]);
    let mut b = Builder::new();
    let atoms = b.inputs(&[f(&[]), f(&[]), f(&[4])]);
    let prim = Scan { body: body.into(), n_consts: 1, n_carry: 1, length: 4, reverse: false };
    b.bind(prim, &atoms);
    let optimized = optimize(&b.finish(vec![]));
    let n_taps = |program: &Program| {
        program.eqns().iter().filter(|eqn| matches!(eqn.prim, Prim::Tap(_))).count()
    };
    assert_eq!((n_taps(&optimized), n_taps(&loops(&optimized)[0].body)), (0, 2));
}
