//! What a program costs to run, roughly: enough to tell a better program from a worse one.
//!
//! - **flops**: two for each term of a product; for elementwise equations a few for each element,
//!   more for functions that are polynomials underneath; one for each element that is folded.
//! - **bytes**: what an equation reads and writes. Views (`broadcast`, `reshape`, `transpose`,
//!   `slice`, `reverse`) move nothing. A loop also reads a row of each of its xs and writes a row
//!   of each of its ys at every step.
//! - **equations** that compute something, each of which costs a dispatch, and **views**, which
//!   cost next to nothing.
//!
//! Everything in a loop counts once a step; `while` is taken to run [`WHILE_STEPS`] steps, and
//! `cond` to run its dearest branch. The model knows no fusion and no caches.

use std::ops::Add;

use crate::ir::{Aval, Eqn, Program};
use crate::prim::{Prim, Scan, Unary};

/// The number of steps that a `while` loop is taken to run.
pub const WHILE_STEPS: f64 = 16.0;

/// What running a program once takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Arithmetic operations.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// Equations that compute something, as often as they run.
    pub eqns: f64,
    /// Equations that only look at their operand in another way, as often as they run.
    pub views: f64,
}

impl Cost {
    /// One number to compare by, about in bytes: an operation is worth a byte, an equation a
    /// dispatch of 32, a view 1.
    pub fn total(&self) -> f64 {
        self.flops + self.bytes + 32.0 * self.eqns + self.views
    }

    fn times(self, n: f64) -> Cost {
        Cost {
            flops: self.flops * n,
            bytes: self.bytes * n,
            eqns: self.eqns * n,
            views: self.views * n,
        }
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            eqns: self.eqns + other.eqns,
            views: self.views + other.views,
        }
    }
}

/// The cost of running a program once.
pub fn cost(program: &Program) -> Cost {
    program.eqns().iter().map(|eqn| eqn_cost(program, eqn)).fold(Cost::default(), Cost::add)
}

fn eqn_cost(program: &Program, eqn: &Eqn) -> Cost {
    let inputs: Vec<Aval> = eqn.inputs.iter().map(|&atom| program.aval(atom)).collect();
    let outputs: Vec<Aval> =
        eqn.outputs.iter().map(|&var| program.var_aval(var).clone()).collect();
    let dearest = |bodies: &[&Program]| {
        let costs = bodies.iter().map(|body| cost(body));
        costs.fold(Cost::default(), |x, y| if x.total() < y.total() { y } else { x })
    };
    match &eqn.prim {
        prim if is_view(prim) => Cost { views: 1.0, ..Cost::default() },
        Prim::Scan(scan) => scan_cost(scan, &inputs, &outputs),
        Prim::While(prim) => {
            one_eqn() + (cost(&prim.cond) + cost(&prim.body)).times(WHILE_STEPS)
        }
        Prim::Cond(cond) => {
            let branches: Vec<&Program> = cond.branches.iter().map(|branch| &**branch).collect();
            one_eqn() + dearest(&branches)
        }
        Prim::Call(call) => cost(&call.body),
        prim => Cost {
            flops: flops(prim, &inputs, &outputs),
            bytes: bytes(&inputs) + bytes(&outputs),
            ..one_eqn()
        },
    }
}

fn one_eqn() -> Cost {
    Cost { eqns: 1.0, ..Cost::default() }
}

fn scan_cost(scan: &Scan, inputs: &[Aval], outputs: &[Aval]) -> Cost {
    let rows = bytes(&inputs[scan.n_consts + scan.n_carry..]) + bytes(&outputs[scan.n_carry..]);
    let loop_itself = Cost { bytes: rows, ..one_eqn() };
    loop_itself + cost(&scan.body).times(scan.length as f64)
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

fn bytes(avals: &[Aval]) -> f64 {
    avals.iter().map(|aval| aval.bytes() as f64).sum()
}

fn count(avals: &[Aval]) -> f64 {
    avals.iter().map(|aval| aval.shape.count() as f64).sum()
}

/// Operations of a primitive without inner programs.
fn flops(prim: &Prim, inputs: &[Aval], outputs: &[Aval]) -> f64 {
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
        | Unary::Not
        | Unary::IsFinite
        | Unary::StopGradient => 1.0,
        Unary::Sqrt | Unary::Rsqrt => 4.0,
        // By repeated squares: two products for each bit at most.
        Unary::IntegerPow(n) => 2.0 * f64::from(n.unsigned_abs().max(1).ilog2() + 1),
        Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh
        | Unary::Tanh
        | Unary::Logistic
        | Unary::Erf
        | Unary::ErfInv => 16.0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buffer::DType;
    use crate::ir::Builder;
    use crate::prim::DotGeneral;

    #[test]
    fn a_loop_costs_its_steps() {
        let mut step = Builder::new();
        let [w, h] = [[3, 3].as_slice(), &[3]].map(|s| step.input(Aval::new(DType::F32, s)));
        let dot = DotGeneral {
            lhs_contract: vec![1],
            rhs_contract: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        let next = step.bind1(dot, &[w, h]);
        let body = step.finish(vec![next, next]);
        let once = cost(&body);
        assert_eq!(once, Cost { flops: 18.0, bytes: 4.0 * 15.0, eqns: 1.0, views: 0.0 });
        let mut b = Builder::new();
        let inputs = b.inputs(&body.input_avals());
        let scan = Scan { body: Arc::new(body), n_consts: 1, n_carry: 1, length: 7, reverse: false };
        let outputs = b.bind(scan, &inputs);
        let rows = 7.0 * 12.0;
        let loop_cost =
            Cost { flops: 7.0 * 18.0, bytes: 7.0 * 60.0 + rows, eqns: 8.0, views: 0.0 };
        assert_eq!(cost(&b.finish(outputs)), loop_cost);
    }
}
