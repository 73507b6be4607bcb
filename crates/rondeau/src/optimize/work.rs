//! What a program has to do, counted: for those who want to know why it takes the time it takes.
//!
//! [`Census`] counts equations and bytes where loops make them matter; [`floor_ns`] is the least time
//! that a processor of given rates can need, which no compiler can beat without changing the
//! arithmetic.

use std::collections::{HashMap, HashSet};

use super::cost::is_elementwise;
use crate::ir::{Atom, Eqn, Program, Var};
use crate::prim::{Prim, Scan, Unary};

/// What there is in a program, inner programs included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Products.
    pub products: usize,
    /// Elementwise equations.
    pub elementwise: usize,
    /// Equations inside loops.
    pub in_loops: usize,
    /// Products inside loops.
    pub products_in_loops: usize,
    /// Bytes of what loops stack step by step and the program itself reads again: for a gradient,
    /// what the way forward keeps for the way back, and what the way back leaves for sums behind
    /// it. Results that are returned as well count too, if they are read.
    pub residual_bytes: usize,
}

impl Census {
    /// Counts what there is in a program.
    pub fn of(program: &Program) -> Census {
        let mut census = Census::default();
        census.count(program, false);
        census
    }

    fn count(&mut self, program: &Program, is_loop: bool) {
        let mut stacked: HashSet<Var> = HashSet::new();
        for eqn in program.eqns() {
            let is_product = matches!(eqn.prim, Prim::DotGeneral(_));
            self.products += usize::from(is_product);
            self.elementwise += usize::from(is_elementwise(&eqn.prim));
            self.in_loops += usize::from(is_loop);
            self.products_in_loops += usize::from(is_loop && is_product);
            for var in eqn.inputs.iter().filter_map(|atom| atom.var()) {
                if stacked.remove(&var) {
                    self.residual_bytes += program.var_aval(var).bytes();
                }
            }
            if let Prim::Scan(scan) = &eqn.prim {
                stacked.extend(&eqn.outputs[scan.n_carry..]);
            }
            let is_loop = is_loop || matches!(eqn.prim, Prim::Scan(_) | Prim::While(_));
            eqn.prim.bodies().iter().for_each(|body| self.count(body, is_loop));
        }
    }

    /// What became of the loops when a pass turned this into `after`, in words; nothing if nothing.
    pub fn changes(&self, after: &Census) -> Option<String> {
        let mut parts = Vec::new();
        let mut changed = |what: &str, before: usize, after: usize| {
            if before != after {
                parts.push(format!("{what} {before} -> {after}"));
            }
        };
        changed("products", self.products, after.products);
        changed("products in loops", self.products_in_loops, after.products_in_loops);
        changed("equations in loops", self.in_loops, after.in_loops);
        changed("bytes kept between loops", self.residual_bytes, after.residual_bytes);
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The rates of a processor, by nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Floating-point operations a nanosecond.
    pub flops_per_ns: f64,
    /// The time of one multiply-add that the next one waits for.
    pub latency_ns: f64,
    /// The time of a function such as `tanh`, one element of many.
    pub function_ns: f64,
    /// Sizes, smallest first, each with the bytes a nanosecond at which a range of that size is read
    /// over and over.
    pub reads: Vec<(usize, f64)>,
}

impl Rates {
    /// Bytes a nanosecond, if so many bytes are read over and over: the rate of the largest size
    /// that is not larger.
    fn read(&self, bytes: usize) -> f64 {
        let fits = |entry: &&(usize, f64)| entry.0 <= bytes;
        let found = self.reads.iter().rev().find(fits).or(self.reads.first());
        found.map_or(f64::INFINITY, |entry| entry.1)
    }
}

/// The least time of a program, in nanoseconds, on a processor of these rates.
///
/// A product takes as long as its arithmetic or the reading of its operands, whatever is longer;
/// a function takes its time for each element; nothing else counts. A loop takes at least what its
/// steps take, at least as long as the chain of operations from carry to carry, and at least as
/// long as it takes to read and write its rows. `while` counts as no steps, `cond` as its cheapest
/// branch. The count is that of the program as it is: optimize it first.
pub fn floor_ns(program: &Program, rates: &Rates) -> f64 {
    let operands: HashSet<Var> = products(program).flat_map(operands).collect();
    let resident: usize = operands.iter().map(|&var| program.var_aval(var).bytes()).sum();
    let mut unread = operands;
    let mut ns = 0.0;
    for eqn in program.eqns() {
        ns += match &eqn.prim {
            Prim::DotGeneral(_) => {
                let read = operands_once(eqn, &mut unread);
                let bytes: usize = read.map(|var| program.var_aval(var).bytes()).sum();
                let flops = 2.0 * terms(program, eqn) as f64 * elements(program, eqn);
                (flops / rates.flops_per_ns).max(bytes as f64 / rates.read(resident))
            }
            Prim::Unary(unary) if is_function(*unary) => elements(program, eqn) * rates.function_ns,
            Prim::Scan(scan) => scan_ns(program, eqn, scan, rates),
            Prim::While(prim) => floor_ns(&prim.cond, rates),
            Prim::Cond(cond) => {
                let times = cond.branches.iter().map(|branch| floor_ns(branch, rates));
                times.fold(f64::INFINITY, f64::min)
            }
            Prim::Call(call) => floor_ns(&call.body, rates),
            _ => 0.0,
        };
    }
    ns
}

fn scan_ns(program: &Program, eqn: &Eqn, scan: &Scan, rates: &Rates) -> f64 {
    let n_steps = scan.length as f64;
    let steps = n_steps * floor_ns(&scan.body, rates);
    let chain = n_steps * chain(scan) * rates.latency_ns;
    let xs = eqn.inputs[scan.n_consts + scan.n_carry..].iter().filter_map(|atom| atom.var());
    let rows = xs.chain(eqn.outputs[scan.n_carry..].iter().copied());
    let bytes: usize = rows.map(|var| program.var_aval(var).bytes()).sum();
    steps.max(chain).max(bytes as f64 / rates.read(bytes))
}

fn products(program: &Program) -> impl Iterator<Item = &Eqn> {
    program.eqns().iter().filter(|eqn| matches!(eqn.prim, Prim::DotGeneral(_)))
}

fn operands(eqn: &Eqn) -> impl Iterator<Item = Var> {
    eqn.inputs.iter().filter_map(|atom| atom.var())
}

/// The operands that no earlier product has read.
fn operands_once<'a>(eqn: &'a Eqn, unread: &'a mut HashSet<Var>) -> impl Iterator<Item = Var> + 'a {
    operands(eqn).filter(|var| unread.remove(var))
}

/// How many terms each element of a product sums.
fn terms(program: &Program, eqn: &Eqn) -> usize {
    let Prim::DotGeneral(dot) = &eqn.prim else { return 1 };
    let left = program.aval(eqn.inputs[0]);
    dot.lhs_contract.iter().map(|&axis| left.shape[axis]).product()
}

fn elements(program: &Program, eqn: &Eqn) -> f64 {
    let n: usize = eqn.outputs.iter().map(|&var| program.var_aval(var).shape.count()).sum();
    n as f64
}

/// Whether it is a polynomial or more underneath.
fn is_function(unary: Unary) -> bool {
    matches!(
        unary,
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
            | Unary::ErfInv
    )
}

/// The longest chain of dependent operations from a carry to a carry of the next step, each as long
/// as a multiply-add.
fn chain(scan: &Scan) -> f64 {
    let body = &scan.body;
    let carries = &body.inputs()[scan.n_consts..][..scan.n_carry];
    let mut depths: HashMap<Var, f64> = carries.iter().map(|&var| (var, 0.0)).collect();
    for eqn in body.eqns() {
        let from = eqn.inputs.iter().filter_map(|atom| depths.get(&atom.var()?).copied());
        if let Some(from) = from.reduce(f64::max) {
            let depth = from + links(body, eqn);
            depths.extend(eqn.outputs.iter().map(|&var| (var, depth)));
        }
    }
    let ends = body.outputs()[..scan.n_carry].iter().copied().filter_map(Atom::var);
    ends.filter_map(|var| depths.get(&var).copied()).fold(0.0, f64::max)
}

/// How many dependent operations an equation takes at least.
fn links(program: &Program, eqn: &Eqn) -> f64 {
    let tree = |n: usize| f64::from(n.max(1).next_power_of_two().ilog2());
    let inner = |body: &Program| body.eqns().iter().map(|eqn| links(body, eqn)).fold(0.0, f64::max);
    match &eqn.prim {
        // One multiply-add for each term at once, then a tree of sums.
        Prim::DotGeneral(_) => 1.0 + tree(terms(program, eqn)),
        // The argument is reduced, a polynomial of degree 5 at least evaluated, and the result scaled.
        Prim::Unary(unary) if is_function(*unary) => 7.0,
        Prim::Reduce(_) => {
            let n = program.aval(eqn.inputs[0]).shape.count();
            tree(n / (elements(program, eqn) as usize).max(1))
        }
        Prim::Scan(scan) => scan.length as f64 * chain(scan),
        Prim::Call(call) => inner(&call.body),
        prim if is_elementwise(prim) => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buffer::DType;
    use crate::ir::{Aval, Builder};
    use crate::prim::DotGeneral;

    fn dot() -> DotGeneral {
        DotGeneral {
            lhs_contract: vec![1],
            rhs_contract: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
        }
    }

    /// A loop of `h = tanh(w·h)` that stacks `h`, and a product that reads the stack.
    fn looped(length: usize) -> Program {
        let mut b = Builder::new();
        let [w, h] = [[8, 8].as_slice(), &[8]].map(|s| b.input(Aval::new(DType::F32, s)));
        let wh = b.bind1(dot(), &[w, h]);
        let next = b.unary(Unary::Tanh, wh);
        let body = Arc::new(b.finish(vec![next, next]));
        let mut b = Builder::new();
        let [w, h] = [[8, 8].as_slice(), &[8]].map(|s| b.input(Aval::new(DType::F32, s)));
        let scan = Scan { body, n_consts: 1, n_carry: 1, length, reverse: false };
        let outputs = b.bind(scan, &[w, h]);
        let again = b.bind1(dot(), &[outputs[1], w]);
        b.finish(vec![again])
    }

    fn rates() -> Rates {
        Rates {
            flops_per_ns: 1e6,
            latency_ns: 0.0,
            function_ns: 0.0,
            reads: vec![(1, 1e3), (1_000_000, 1.0)],
        }
    }

    #[test]
    fn what_is_kept_between_loops_is_counted_once() {
        let census = Census::of(&looped(10));
        let need = Census {
            products: 2,
            elementwise: 1,
            in_loops: 2,
            products_in_loops: 1,
            residual_bytes: 10 * 8 * 4,
        };
        assert_eq!(census, need);
        assert_eq!(census.changes(&census), None);
        let fewer = Census { products_in_loops: 0, ..census };
        assert_eq!(census.changes(&fewer).as_deref(), Some("products in loops 1 -> 0"));
    }

    #[test]
    fn a_floor_is_made_of_arithmetic_reading_functions_and_chains() {
        let floor = |rates: &Rates| floor_ns(&looped(10), rates);
        // Reading: the weights and the state in each step, and both operands behind the loop.
        let step = (64.0 + 8.0) * 4.0 / 1e3;
        let behind = (80.0 + 64.0) * 4.0 / 1e3;
        assert!((floor(&rates()) - (10.0 * step + behind)).abs() < 1e-9);
        // Arithmetic: 2 · 64 operations a step, 2 · 640 behind it.
        let slow = Rates { flops_per_ns: 1.0, ..rates() };
        assert!((floor(&slow) - 2560.0).abs() < 1e-9);
        // Functions: 8 a step.
        let functions = Rates { function_ns: 100.0, ..rates() };
        assert!((floor(&functions) - (8000.0 + 10.0 * step + behind)).abs() < 1e-9);
        // The chain: one multiply-add, three sums, and the function.
        let late = Rates { latency_ns: 50.0, ..rates() };
        assert!((floor(&late) - (10.0 * 11.0 * 50.0 + behind)).abs() < 1e-9);
    }

    #[test]
    fn reading_is_as_fast_as_the_place_it_fits_into() {
        let rates = rates();
        assert_eq!([0, 1, 999_999, 1_000_000].map(|n| rates.read(n)), [1e3, 1e3, 1e3, 1.0]);
    }
}
