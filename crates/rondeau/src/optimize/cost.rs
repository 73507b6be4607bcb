//! What a program costs to run, roughly: enough to tell a better program from a worse one.
//!
//! - **flops**: two for each term of a product; for elementwise equations one for each element,
//!   more for functions that are polynomials underneath; one for each element that is folded.
//! - **bytes**: what is read from memory and written there. Elementwise equations are taken to be
//!   fused, with each other and with the products before them: together they read once what they
//!   do not make, and write only what something else reads. A slice of a product is a part of it
//!   that is fused like a product of its own. Other views (`broadcast`, `reshape`, `transpose`,
//!   `slice`, `reverse`) move nothing; a broadcast is read as what it repeats.
//! - **kernels**, each of which costs a dispatch; elementwise equations are **light**, since they
//!   are fused; views are free.
//!
//! Everything in a loop counts once a step, and at least [`MIN_STEPS`] times; `while` is taken to run [`WHILE_STEPS`] steps, and
//! `cond` to run its dearest branch. The model knows no caches and no parallelism.

use std::ops::Add;

use crate::ir::{Atom, Aval, Eqn, Program, Var};
use crate::prim::{Prim, Scan, Unary};

/// The number of steps that a `while` loop is taken to run.
pub const WHILE_STEPS: f64 = 16.0;

/// The fewest steps that a loop is taken to run, if it runs at all, and the number of them by which
/// changes of loops are decided. Short loops are changed as long ones are, so that a loop over one
/// step, which is what a stream runs, computes the same sums in the same order as one over a whole
/// sequence.
pub const MIN_STEPS: usize = 16;

/// What running a program once takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Arithmetic operations.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// Equations that are kernels of their own, as often as they run.
    pub kernels: f64,
    /// Elementwise equations, as often as they run.
    pub light: f64,
}

impl Cost {
    /// One number to compare by, about in bytes: an operation is worth a byte, a kernel's dispatch
    /// 32, an elementwise equation 1.
    pub fn total(&self) -> f64 {
        self.flops + self.bytes + 32.0 * self.kernels + self.light
    }

    fn times(self, n: f64) -> Cost {
        Cost {
            flops: self.flops * n,
            bytes: self.bytes * n,
            kernels: self.kernels * n,
            light: self.light * n,
        }
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            kernels: self.kernels + other.kernels,
            light: self.light + other.light,
        }
    }
}

/// The cost of running a program once.
pub fn cost(program: &Program) -> Cost {
    let traffic = Cost { bytes: traffic(program), ..Cost::default() };
    program.eqns().iter().map(|eqn| eqn_cost(program, eqn)).fold(traffic, Cost::add)
}

/// What an equation costs, but for the memory that it reads and writes.
fn eqn_cost(program: &Program, eqn: &Eqn) -> Cost {
    let inputs: Vec<Aval> = eqn.inputs.iter().map(|&atom| program.aval(atom)).collect();
    let outputs: Vec<Aval> = eqn.outputs.iter().map(|&var| program.var_aval(var).clone()).collect();
    let kernel = Cost { kernels: 1.0, ..Cost::default() };
    match &eqn.prim {
        Prim::Scan(scan) => kernel + scan_cost(scan),
        Prim::While(prim) => kernel + (cost(&prim.cond) + cost(&prim.body)).times(WHILE_STEPS),
        Prim::Cond(cond) => {
            let costs = cond.branches.iter().map(|branch| cost(branch));
            let dearest = |x: Cost, y: Cost| if x.total() < y.total() { y } else { x };
            kernel + costs.fold(Cost::default(), dearest)
        }
        Prim::Call(call) => cost(&call.body),
        prim if is_view(prim) => Cost::default(),
        prim if is_elementwise(prim) => {
            Cost { light: 1.0, flops: flops(prim, &inputs, &outputs), ..Cost::default() }
        }
        prim => Cost { flops: flops(prim, &inputs, &outputs), ..kernel },
    }
}

fn scan_cost(scan: &Scan) -> Cost {
    // What the step returns without having made it, or as a view, is written all the same.
    let fused = fused(&scan.body);
    let makes = |eqn: &&Eqn| !is_view(&eqn.prim) || is_part(eqn, &fused);
    let made = scan.body.eqns().iter().filter(makes);
    let mut is_made = vec![false; scan.body.n_vars()];
    made.flat_map(|eqn| &eqn.outputs).for_each(|var| is_made[var.index()] = true);
    let outputs = scan.body.outputs();
    let copied = outputs.iter().enumerate().filter(|&(i, atom)| {
        !atom.var().is_some_and(|var| is_made[var.index()]) && !outputs[..i].contains(atom)
    });
    let bytes: usize = copied.map(|(_, &atom)| scan.body.aval(atom).bytes()).sum();
    let copies = Cost { bytes: bytes as f64, ..Cost::default() };
    (cost(&scan.body) + copies).times(assumed_steps(scan.length) as f64)
}

/// How many steps a loop is taken to run.
fn assumed_steps(length: usize) -> usize {
    if length == 0 { 0 } else { length.max(MIN_STEPS) }
}

/// Bytes that the equations of a program, but for inner programs, read and write.
fn traffic(program: &Program) -> f64 {
    let fused = fused(program);
    let is_written = written(program, &fused);
    let read_from = read_from(program);
    let size = |atom: Atom| match atom.var().map(|var| read_from[var.index()]) {
        Some(source @ Atom::Var(_)) => program.aval(source).bytes(),
        Some(Atom::Lit(_)) | None => 0,
    };
    let mut bytes = 0;
    let mut read_by_fused = vec![false; program.n_vars()];
    for eqn in program.eqns() {
        // What inner programs read and write is counted there.
        let moves = !is_view(&eqn.prim) && eqn.prim.body_rules().is_none();
        if is_elementwise(&eqn.prim) {
            let vars = eqn.inputs.iter().filter_map(|atom| atom.var());
            let in_memory = vars.filter(|var| !fused[var.index()]);
            in_memory.for_each(|var| read_by_fused[var.index()] = true);
        } else if moves {
            bytes += eqn.inputs.iter().map(|&atom| size(atom)).sum::<usize>();
        }
        for &var in eqn.outputs.iter().filter(|_| moves || is_part(eqn, &fused)) {
            if !fused[var.index()] || is_written[var.index()] {
                bytes += program.var_aval(var).bytes();
            }
        }
    }
    let read = (0..program.n_vars()).filter(|&i| read_by_fused[i]);
    (bytes + read.map(|i| size(Atom::Var(Var(i as u32)))).sum::<usize>()) as f64
}

/// Whether it is a slice of a product, which is made like a product of its own.
fn is_part(eqn: &Eqn, fused: &[bool]) -> bool {
    matches!(eqn.prim, Prim::Slice(_)) && fused[eqn.outputs[0].index()]
}

/// Which variables elementwise equations find in registers: what products and elementwise
/// equations make, parts of products, and scalars repeated.
fn fused(program: &Program) -> Vec<bool> {
    let mut fused = vec![false; program.n_vars()];
    let mut is_product = vec![false; program.n_vars()];
    for eqn in program.eqns() {
        let operand = eqn.inputs.first().and_then(|atom| atom.var());
        let is_fused = match &eqn.prim {
            Prim::DotGeneral(_) => true,
            Prim::Slice(_) => operand.is_some_and(|var| is_product[var.index()]),
            Prim::Broadcast(_) => {
                operand.is_some_and(|var| fused[var.index()] && program.var_aval(var).rank() == 0)
            }
            prim => is_elementwise(prim),
        };
        for var in &eqn.outputs {
            fused[var.index()] = is_fused;
            is_product[var.index()] = matches!(eqn.prim, Prim::DotGeneral(_));
        }
    }
    fused
}

/// Which variables something reads from memory, or the program returns.
fn written(program: &Program, fused: &[bool]) -> Vec<bool> {
    let mut is_read = vec![false; program.n_vars()];
    for eqn in program.eqns().iter().rev() {
        let from_memory = match &eqn.prim {
            Prim::Slice(_) => !is_part(eqn, fused),
            // A repeated scalar that is returned is written in its full shape.
            Prim::Broadcast(_) => {
                let var = eqn.outputs[0].index();
                !fused[var] || is_read[var]
            }
            prim => !is_elementwise(prim),
        };
        if from_memory {
            let vars = eqn.inputs.iter().filter_map(|atom| atom.var());
            vars.for_each(|var| is_read[var.index()] = true);
        }
    }
    let outputs = program.outputs().iter().filter_map(|atom| atom.var());
    outputs.for_each(|var| is_read[var.index()] = true);
    is_read
}

/// The atom whose memory is read for each variable: for a broadcast, what it repeats.
fn read_from(program: &Program) -> Vec<Atom> {
    let mut from: Vec<Atom> = (0..program.n_vars()).map(|i| Atom::Var(Var(i as u32))).collect();
    for eqn in program.eqns() {
        if let Prim::Broadcast(_) = &eqn.prim {
            from[eqn.outputs[0].index()] = match eqn.inputs[0] {
                Atom::Var(var) => from[var.index()],
                number => number,
            };
        }
    }
    from
}

/// Whether each element of the result depends on the elements at its own index only.
pub(super) fn is_elementwise(prim: &Prim) -> bool {
    matches!(
        prim,
        Prim::Unary(_) | Prim::Binary(_) | Prim::Select(_) | Prim::Convert(_) | Prim::Bitcast(_)
    )
}

/// Whether the result is the operand seen in another way, without a copy.
pub(super) fn is_view(prim: &Prim) -> bool {
    matches!(
        prim,
        Prim::Broadcast(_)
            | Prim::Reshape(_)
            | Prim::Transpose(_)
            | Prim::Slice(_)
            | Prim::Reverse(_)
    )
}

fn count(avals: &[Aval]) -> f64 {
    avals.iter().map(|aval| aval.shape.count() as f64).sum()
}

/// Operations of a primitive without inner programs.
pub(super) fn flops(prim: &Prim, inputs: &[Aval], outputs: &[Aval]) -> f64 {
    let n = count(outputs);
    match prim {
        Prim::Unary(unary) => n * unary_flops(*unary),
        Prim::Binary(_) | Prim::Select(_) | Prim::Convert(_) | Prim::Bitcast(_) => n,
        Prim::DotGeneral(dot) => {
            let terms: usize = dot.lhs_contract.iter().map(|&axis| inputs[0].shape[axis]).product();
            2.0 * n * terms as f64
        }
        Prim::Reduce(_) | Prim::ArgReduce(_) | Prim::Cumulative(_) => count(inputs),
        Prim::Sort(_) => count(inputs) * count(inputs).max(2.0).log2(),
        // Twenty rounds of three operations on two words, and the key schedule.
        Prim::Threefry(_) => 64.0 * n,
        Prim::Scatter(_) => count(inputs),
        Prim::Broadcast(_)
        | Prim::Reshape(_)
        | Prim::Transpose(_)
        | Prim::Slice(_)
        | Prim::Pad(_)
        | Prim::Concat(_)
        | Prim::Reverse(_)
        | Prim::Iota(_)
        | Prim::DynamicSlice(_)
        | Prim::DynamicUpdate(_)
        | Prim::Gather(_)
        | Prim::Tap(_)
        | Prim::CustomLinear(_)
        | Prim::Scan(_)
        | Prim::While(_)
        | Prim::Cond(_)
        | Prim::Call(_) => 0.0,
    }
}

fn unary_flops(unary: Unary) -> f64 {
    match unary {
        Unary::Neg
        | Unary::Abs
        | Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Trunc
        | Unary::Not
        | Unary::IsFinite
        | Unary::StopGradient => 1.0,
        Unary::Sqrt | Unary::Rsqrt => 4.0,
        // By repeated squares: two products for each bit at most.
        Unary::IntegerPow(n) => 2.0 * f64::from(n.unsigned_abs().max(1).ilog2() + 1),
        // A function, unless it is listed above.
        _ => 16.0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buffer::DType;
    use crate::ir::Builder;
    use crate::prim::{Broadcast, DotGeneral};

    /// tanh(w·h + bias), as the next carry and as a row.
    fn step() -> Program {
        let mut b = Builder::new();
        let [w, bias, h] =
            [[3, 3].as_slice(), &[], &[3]].map(|s| b.input(Aval::new(DType::F32, s)));
        let dot = DotGeneral {
            lhs_contract: vec![1],
            rhs_contract: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        let wh = b.bind1(dot, &[w, h]);
        let bias = b.bind1(Broadcast { shape: [3].into(), axes: vec![] }, &[bias]);
        let sum = b.add(wh, bias);
        let next = b.unary(Unary::Tanh, sum);
        b.finish(vec![next, next])
    }

    #[test]
    fn what_is_fused_stays_in_registers() {
        // Read: w, h, and one bias; written: the result.
        let bytes = 4.0 * (9.0 + 3.0 + 1.0 + 3.0);
        let flops = 18.0 + 3.0 + 3.0 * 16.0;
        assert_eq!(cost(&step()), Cost { flops, bytes, kernels: 1.0, light: 2.0 });
    }

    #[test]
    fn a_loop_costs_its_steps() {
        for (length, assumed) in [(0, 0), (1, MIN_STEPS), (20, 20)] {
            let body = step();
            let mut b = Builder::new();
            let inputs = b.inputs(&body.input_avals());
            let body = Arc::new(body);
            let scan = Scan { body, n_consts: 2, n_carry: 1, length, reverse: false };
            let outputs = b.bind(scan, &inputs);
            let loop_itself = Cost { kernels: 1.0, ..Cost::default() };
            let steps = cost(&step()).times(assumed as f64);
            assert_eq!(cost(&b.finish(outputs)), loop_itself + steps);
        }
    }
}
