//! How far rounding may move the results of a program: the interpreter again, but each sum moves by
//! as much as another order of its terms could move it.
//!
//! Passes and kernels may take the terms of a sum in another order, one that is added later first, and products may
//! be fused with sums. For `n` terms that changes the result by at most about `n·ε·Σ|terms|` (Higham, *Accuracy and
//! Stability of Numerical Algorithms*, 4.2). Sums whose terms are small multiples of 1/16 have no
//! rounding in any order, and do not move.

use rondeau::buffer::{Buffer, DType, Scalar};
use rondeau::ir::{Atom, Aval, Program};
use rondeau::prim::{Binary, Call, Cond, Fold, Prim, Scan, Unary, While, Write};

use crate::generate::Rng;

/// One run with other rounding. Without `rng`, that of the interpreter.
pub(crate) fn run(program: &Program, inputs: &[Buffer], rng: Option<&mut Rng>) -> Vec<Buffer> {
    Noise { rng }.program(program, inputs, false)
}

struct Noise<'a> {
    rng: Option<&'a mut Rng>,
}

impl Noise<'_> {
    /// Terms that are added to a sum may be its first ones instead. In inner programs, that is any addition: a
    /// carry adds up over the steps, and what is outside becomes a part of it.
    fn program(&mut self, program: &Program, inputs: &[Buffer], is_inner: bool) -> Vec<Buffer> {
        let mut env: Vec<Option<Buffer>> = vec![None; program.n_vars()];
        let mut is_sum = vec![is_inner; program.n_vars()];
        for (var, value) in program.inputs().iter().zip(inputs) {
            env[var.index()] = Some(value.clone());
        }
        let read = |env: &[Option<Buffer>], atom: &Atom| match *atom {
            Atom::Lit(value) => Buffer::scalar(value),
            Atom::Var(var) => {
                env[var.index()].clone().expect("a variable is bound before it is read")
            }
        };
        for eqn in program.eqns() {
            let inputs: Vec<Buffer> = eqn.inputs.iter().map(|atom| read(&env, atom)).collect();
            let of_sum =
                eqn.inputs.iter().filter_map(|atom| atom.var()).any(|var| is_sum[var.index()]);
            let outputs = self.eqn(&eqn.prim, &inputs, of_sum, is_inner);
            let stays = of_sum && stays_a_sum(&eqn.prim) || makes_a_sum(&eqn.prim);
            for (var, value) in eqn.outputs.iter().zip(outputs) {
                env[var.index()] = Some(value);
                is_sum[var.index()] |= stays;
            }
        }
        program.outputs().iter().map(|atom| read(&env, atom)).collect()
    }

    fn eqn(&mut self, prim: &Prim, inputs: &[Buffer], of_sum: bool, is_inner: bool) -> Vec<Buffer> {
        match prim {
            Prim::Scan(scan) => self.scan(scan, inputs),
            Prim::While(loop_) => self.while_(loop_, inputs),
            Prim::Cond(Cond { branches }) => {
                let Scalar::I32(index) = inputs[0].first() else {
                    unreachable!("the index is i32")
                };
                let index = index.clamp(0, branches.len() as i32 - 1) as usize;
                self.program(&branches[index], &inputs[1..], true)
            }
            Prim::Call(Call { body, .. }) => self.program(body, inputs, true),
            _ => {
                let outputs = prim.eval(inputs);
                let is_float = outputs.iter().all(|y| y.dtype().is_float());
                if self.rng.is_none() || !is_float {
                    return outputs;
                }
                match terms(prim, inputs, of_sum) {
                    Some(n) => vec![self.moved(prim, inputs, &outputs[0], n, is_inner)],
                    None if is_inner && *prim == Prim::Binary(Binary::Mul) => {
                        vec![self.odd_product(&outputs[0])]
                    }
                    None => outputs,
                }
            }
        }
    }

    fn scan(&mut self, scan: &Scan, inputs: &[Buffer]) -> Vec<Buffer> {
        let (consts, rest) = inputs.split_at(scan.n_consts);
        let (carry, xs) = rest.split_at(scan.n_carry);
        let mut carry = carry.to_vec();
        let avals = scan.body.output_avals();
        let mut ys = vec![Vec::new(); avals.len() - scan.n_carry];
        for i in 0..scan.length {
            let t = if scan.reverse { scan.length - 1 - i } else { i };
            let rows: Vec<Buffer> = xs.iter().map(|x| x.row(t)).collect();
            carry = self.program(&scan.body, &[consts, &carry, &rows].concat(), true);
            for (rows, y) in ys.iter_mut().zip(carry.split_off(scan.n_carry)) {
                rows.push(y);
            }
        }
        for (mut rows, aval) in ys.into_iter().zip(&avals[scan.n_carry..]) {
            if scan.reverse {
                rows.reverse();
            }
            carry.push(Buffer::stack(&rows, &aval.shape, aval.dtype));
        }
        carry
    }

    fn while_(&mut self, it: &While, inputs: &[Buffer]) -> Vec<Buffer> {
        let (cond_consts, rest) = inputs.split_at(it.n_cond_consts);
        let (body_consts, carry) = rest.split_at(it.n_body_consts);
        let mut carry = carry.to_vec();
        // With other rounding a loop might not end.
        for _ in 0..1000 {
            let go = self.program(&it.cond, &[cond_consts, &carry].concat(), true);
            if go[0].first() != Scalar::Bool(true) {
                break;
            }
            carry = self.program(&it.body, &[body_consts, &carry].concat(), true);
        }
        carry
    }

    /// A product in a loop that is infinite, huge or NaN: if one factor is the same at every step, it may be taken
    /// once, with the sum of the other factors, and so not meet a zero, or overflow.
    fn odd_product(&mut self, y: &Buffer) -> Buffer {
        let huge = if y.dtype() == DType::F32 { 1e18 } else { 1e150 };
        let Some(rng) = self.rng.as_deref_mut() else { return y.clone() };
        let is_odd = |y: f64| y.is_nan() || y.abs() > huge;
        let values = floats(y).into_iter().map(|y| if is_odd(y) { anything(y, rng) } else { y });
        of_floats(y, values.collect())
    }

    /// The result of a sum or product, moved by its possible rounding.
    fn moved(
        &mut self,
        prim: &Prim,
        inputs: &[Buffer],
        y: &Buffer,
        n: usize,
        is_inner: bool,
    ) -> Buffer {
        let is_dot = matches!(prim, Prim::DotGeneral(_));
        let y = &if is_dot && is_inner { self.odd_product(y) } else { y.clone() };
        let Some(rng) = self.rng.as_deref_mut() else { return y.clone() };
        let (epsilon, least, most) = match y.dtype() {
            DType::F32 => (f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE), 2_f64.powi(22)),
            _ => (f64::EPSILON, f64::MIN_POSITIVE, 2_f64.powi(51)),
        };
        let products = is_product(prim);
        let with = |f: &dyn Fn(f64) -> f64| {
            let changed: Vec<Buffer> = inputs.iter().map(|x| map(x, f)).collect();
            floats(&prim.eval(&changed)[0])
        };
        // The sum of the sizes of finite terms, or how large and how small products may be on the way.
        let size = match products {
            true => with(&|x| if x.is_finite() { x.abs().max(1.0) } else { 1.0 }),
            false => with(&|x| if x.is_finite() { x.abs() } else { 0.0 }),
        };
        let low = match products {
            true => with(&|x| if x == 0.0 || x.is_nan() { 1.0 } else { x.abs().min(1.0) }),
            false => vec![1.0; size.len()],
        };
        let steps = if matches!(prim, Prim::DotGeneral(_)) { 256.0 } else { 16.0 };
        let in_grid = match products {
            true => inputs.iter().all(|x| in_grid(x, 1.0)),
            false => inputs.iter().all(|x| in_grid(x, 16.0)),
        };
        let move_one = |(i, y): (usize, f64)| {
            // A sum of zeros has the sign of the first, or of none.
            if y == 0.0 && rng.chance(2) {
                return -y;
            }
            if in_grid && size[i] * if products { 1.0 } else { steps } < most {
                return y;
            }
            if !size[i].is_finite() || low[i] < least / epsilon {
                // Another order overflows, or does not.
                return anything(y, rng);
            }
            let scale = if products { y.abs() } else { size[i] };
            let r = rng.between(-1.0, 1.0);
            y + r * (n as f64 * epsilon * scale + if scale > 0.0 { least * epsilon } else { 0.0 })
        };
        of_floats(y, floats(y).into_iter().enumerate().map(move_one).collect())
    }
}

/// A value that another order of evaluation might make of `y`, with no bound on the difference.
fn anything(y: f64, rng: &mut Rng) -> f64 {
    *rng.choose(&[y, y, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0])
}

/// Values of the type and shape of `like`.
fn of_floats(like: &Buffer, values: Vec<f64>) -> Buffer {
    match like.dtype() {
        DType::F32 => Buffer::new(like.shape(), values.into_iter().map(|y| y as f32).collect()),
        _ => Buffer::new(like.shape(), values),
    }
}

fn makes_a_sum(prim: &Prim) -> bool {
    matches!(prim, Prim::DotGeneral(_) | Prim::Reduce(_)) || !prim.bodies().is_empty()
}

/// Whether a sum stays one that a term may be added to first.
fn stays_a_sum(prim: &Prim) -> bool {
    matches!(
        prim,
        Prim::Unary(Unary::Neg | Unary::StopGradient)
            | Prim::Binary(Binary::Add | Binary::Sub)
            | Prim::Broadcast(_)
            | Prim::Reshape(_)
            | Prim::Transpose(_)
            | Prim::Slice(_)
            | Prim::Reverse(_)
    )
}

fn is_product(prim: &Prim) -> bool {
    match prim {
        Prim::Reduce(reduce) => reduce.fold == Fold::Prod,
        Prim::Cumulative(cumulative) => cumulative.fold == Fold::Prod,
        _ => false,
    }
}

/// How many terms an equation adds or multiplies in an order that may change.
fn terms(prim: &Prim, inputs: &[Buffer], of_sum: bool) -> Option<usize> {
    let size = |x: &Buffer, axes: &[usize]| axes.iter().map(|&axis| x.shape()[axis]).product();
    let moves = |fold: Fold| matches!(fold, Fold::Sum | Fold::Prod);
    match prim {
        Prim::Reduce(reduce) if moves(reduce.fold) => Some(size(&inputs[0], &reduce.axes)),
        Prim::Cumulative(cumulative) if moves(cumulative.fold) => {
            Some(size(&inputs[0], &[cumulative.axis]))
        }
        Prim::DotGeneral(dot) => Some(size(&inputs[0], &dot.lhs_contract) + 1),
        Prim::Scatter(scatter) if scatter.write == Write::Add => {
            Some(inputs[1].shape().count() + 1)
        }
        Prim::Binary(Binary::Add | Binary::Sub) if of_sum => Some(2),
        _ => None,
    }
}

/// The values of a float array.
pub(crate) fn floats(x: &Buffer) -> Vec<f64> {
    match x.dtype() {
        DType::F32 => x.values::<f32>().iter().map(|&x| f64::from(x)).collect(),
        _ => x.values::<f64>().into_owned(),
    }
}

/// The function of each float; other arrays as they are.
fn map(x: &Buffer, f: &dyn Fn(f64) -> f64) -> Buffer {
    match x.dtype() {
        DType::F32 => Buffer::new(x.shape(), floats(x).into_iter().map(|x| f(x) as f32).collect()),
        DType::F64 => Buffer::new(x.shape(), floats(x).into_iter().map(f).collect::<Vec<_>>()),
        _ => x.clone(),
    }
}

/// Whether all floats are whole multiples of `1 / steps`.
fn in_grid(x: &Buffer, steps: f64) -> bool {
    !Aval::of(x).is_float()
        || floats(x).into_iter().all(|x| (x * steps).fract() == 0.0 && x.abs() < 2_f64.powi(40))
}
