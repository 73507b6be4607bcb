//! `scan`: one program, step after step, over the rows of arrays.

use super::*;
use crate::ir::Plan;
use crate::transform::{
    self, backward, dce_inputs, fixed_point, live_inputs, positions, reorder, span,
};

/// A loop of known length: `(carry, ys[t]) = body(consts, carry, xs[t])` for each `t`.
///
/// The inputs are constants, the initial carry, and xs with a leading axis of `length`; the
/// outputs are the last carry and ys. The body takes and returns the same without that axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// The program of one step.
    pub body: Arc<Program>,
    /// How many inputs are the same for every step.
    pub n_consts: usize,
    /// How many inputs, and outputs, go from step to step.
    pub n_carry: usize,
    /// The number of steps.
    pub length: usize,
    /// Whether the last row comes first.
    pub reverse: bool,
}

/// The three groups of a scan's inputs.
struct Parts<'a, T> {
    consts: &'a [T],
    carry: &'a [T],
    xs: &'a [T],
}

impl Scan {
    fn parts<'a, T>(&self, inputs: &'a [T]) -> Parts<'a, T> {
        let (consts, rest) = inputs.split_at(self.n_consts);
        let (carry, xs) = rest.split_at(self.n_carry);
        Parts { consts, carry, xs }
    }

    fn n_xs(&self) -> usize {
        self.body.inputs.len() - self.n_consts - self.n_carry
    }

    fn n_ys(&self) -> usize {
        self.body.outputs.len() - self.n_carry
    }

    fn with(&self, body: Program, n_consts: usize, n_carry: usize) -> Scan {
        Scan { body: Arc::new(body), n_consts, n_carry, ..*self }
    }

    /// Flags for the body's inputs, with other flags for the carry.
    fn flags(&self, inputs: &[bool], carry: &[bool]) -> Vec<bool> {
        let parts = self.parts(inputs);
        [parts.consts, carry, parts.xs].concat()
    }

    /// Flags for the body's outputs: those of the carry, none of ys.
    fn out_flags(&self, carry: &[bool]) -> Vec<bool> {
        [carry, &vec![false; self.n_ys()]].concat()
    }
}

impl Rules for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn params(&self) -> Params {
        Params::new()
            .with("length", self.length)
            .with("reverse", self.reverse)
            .with("n_consts", self.n_consts)
            .with("n_carry", self.n_carry)
            .with("body", &self.body)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "scan").then_some(())?;
        Some(Scan {
            body: params.program("body")?,
            n_consts: params.size("n_consts")?,
            n_carry: params.size("n_carry")?,
            length: params.size("length")?,
            reverse: params.flag("reverse")?,
        })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let needs = self.body.input_avals();
        let fixed = self.n_consts.saturating_add(self.n_carry);
        if fixed > needs.len() || self.n_carry > self.body.outputs.len() {
            return Err(Misfit::new("its body has fewer inputs or outputs than it needs"));
        }
        if inputs.len() != needs.len() {
            let n = needs.len();
            return Err(Misfit::new(format!("takes {n} inputs, and there are {}", inputs.len())));
        }
        for (i, (input, need)) in inputs.iter().zip(&needs).enumerate() {
            let need = if i < fixed { need.clone() } else { need.prepend(self.length) };
            if *input != need {
                return Err(Misfit::new(format!("input {i} is {input} and must be {need}")));
            }
        }
        let mut outputs = self.body.output_avals();
        for i in 0..self.n_carry {
            let (enters, leaves) = (&needs[self.n_consts + i], &outputs[i]);
            if enters != leaves {
                let changes = format!("carry {i} enters as {enters} and leaves as {leaves}");
                return Err(Misfit::new(changes));
            }
        }
        for y in &mut outputs[self.n_carry..] {
            *y = y.prepend(self.length);
        }
        Ok(outputs)
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let plan = Plan::new(self.body.clone());
        let Parts { consts, carry, xs } = self.parts(inputs);
        let mut carry = carry.to_vec();
        let mut ys = vec![Vec::with_capacity(self.length); self.n_ys()];
        let mut step_inputs = Vec::with_capacity(inputs.len());
        for i in 0..self.length {
            let t = if self.reverse { self.length - 1 - i } else { i };
            step_inputs.clear();
            step_inputs.extend_from_slice(consts);
            step_inputs.append(&mut carry);
            step_inputs.extend(xs.iter().map(|x| x.row(t)));
            carry = plan.run(&step_inputs);
            for (rows, y) in ys.iter_mut().zip(carry.drain(self.n_carry..)) {
                rows.push(y);
            }
        }
        let avals = self.body.output_avals();
        for (mut rows, aval) in ys.into_iter().zip(&avals[self.n_carry..]) {
            if self.reverse {
                rows.reverse();
            }
            carry.push(Buffer::stack(&rows, &aval.shape, aval.dtype));
        }
        carry
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let nonzero: Vec<bool> = tangents.iter().map(|t| *t != Tangent::Zero).collect();
        let parts = self.parts(&nonzero);
        // A carry without a tangent may get one from another after a step.
        let carry = fixed_point(parts.carry.to_vec(), |carry| {
            let none = vec![false; self.body.outputs.len()];
            let step = transform::jvp(&self.body, &self.flags(&nonzero, carry), &none);
            step.nonzero[..self.n_carry].to_vec()
        });
        let by = self.flags(&nonzero, &carry);
        let step = transform::jvp(&self.body, &by, &self.out_flags(&carry));

        // The program takes primals, then tangents; the loop takes each group with its tangents.
        let n_in = self.body.inputs.len();
        let [n_dconsts, n_dcarry, n_dxs] =
            [parts.consts, &carry, parts.xs].map(|flags| positions(flags).len());
        let fixed = self.n_consts + self.n_carry;
        let order = [
            span(0, self.n_consts),
            span(n_in, n_dconsts),
            span(self.n_consts, self.n_carry),
            span(n_in + n_dconsts, n_dcarry),
            span(fixed, self.n_xs()),
            span(n_in + n_dconsts + n_dcarry, n_dxs),
        ]
        .concat();
        let n_out = self.body.outputs.len();
        let n_dys = positions(&step.nonzero[self.n_carry..]).len();
        let out_order = [
            span(0, self.n_carry),
            span(n_out, n_dcarry),
            span(self.n_carry, self.n_ys()),
            span(n_out + n_dcarry, n_dys),
        ]
        .concat();
        let body = reorder(step.program, &order, &out_order);
        let scan = self.with(body, self.n_consts + n_dconsts, self.n_carry + n_dcarry);

        let mut all: Vec<Tangent> = tangents.to_vec();
        for i in positions(&by) {
            all[i] = Tangent::Value(tangents[i].instantiate(b, primals[i]));
        }
        let values = |range: std::ops::Range<usize>| {
            all[range].iter().filter_map(|tangent| tangent.value()).collect::<Vec<_>>()
        };
        let inputs = [
            &primals[..self.n_consts],
            &values(0..self.n_consts),
            &primals[self.n_consts..fixed],
            &values(self.n_consts..fixed),
            &primals[fixed..],
            &values(fixed..n_in),
        ]
        .concat();
        let outputs = b.bind(scan, &inputs);
        let (carry_outs, y_outs) = outputs.split_at(self.n_carry + n_dcarry);
        let (last, dlast) = carry_outs.split_at(self.n_carry);
        let (ys, dys) = y_outs.split_at(self.n_ys());
        let mut out_tangents = dlast.iter().chain(dys);
        let tangents = step.nonzero.iter().map(|&nonzero| match nonzero {
            true => Tangent::Value(*out_tangents.next().expect("internal: one for each flag")),
            false => Tangent::Zero,
        });
        ([last, ys].concat(), tangents.collect())
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let Parts { consts, carry: init, xs } = self.parts(inputs);
        let avals = self.body.input_avals();
        let parts = self.parts(&avals);
        let (ct_last, ct_ys) = cts.split_at(self.n_carry);

        // The body of the backward loop. Known inputs are its constants and xs; the carry is the
        // cotangent of the carry, and, added at the end, the running sums of those of constants.
        let mut step = Builder::new();
        let known_operand = |step: &mut Builder, operand: &Operand, aval: &Aval| match operand {
            Operand::Known(_) => Operand::Known(step.input(aval.clone())),
            Operand::Linear(_) => Operand::Linear(aval.clone()),
        };
        let mut operands: Vec<Operand> = consts
            .iter()
            .zip(parts.consts)
            .map(|(x, aval)| known_operand(&mut step, x, aval))
            .collect();
        let ct_carry = step.inputs(parts.carry);
        operands.extend(parts.carry.iter().cloned().map(Operand::Linear));
        let y_avals = self.body.output_avals().split_off(self.n_carry);
        let mut step_cts: Vec<Cotangent> = ct_carry.into_iter().map(Cotangent::Value).collect();
        for (ct, aval) in ct_ys.iter().zip(&y_avals) {
            step_cts.push(match ct {
                Cotangent::Value(_) => Cotangent::Value(step.input(aval.clone())),
                Cotangent::Zero => Cotangent::Zero,
            });
        }
        operands.extend(xs.iter().zip(parts.xs).map(|(x, aval)| known_operand(&mut step, x, aval)));
        let ct_inputs = backward(&mut step, &self.body, &operands, &step_cts)?;
        let ct_of = self.parts(&ct_inputs);

        let mut next: Vec<Atom> = Vec::new();
        for (ct, aval) in ct_of.carry.iter().zip(parts.carry) {
            next.push(ct.instantiate(&mut step, aval));
        }
        let mut sums = Vec::new();
        for (ct, aval) in ct_of.consts.iter().zip(parts.consts) {
            if let Cotangent::Value(ct) = *ct {
                let sum = step.input(aval.clone());
                next.push(step.add(sum, ct));
                sums.push(aval.clone());
            }
        }
        let ct_xs: Vec<Atom> = ct_of.xs.iter().filter_map(|ct| ct.value()).collect();
        let body = step.finish_ordered([next, ct_xs].concat());

        // The sums were added as the last inputs; in the loop they come right after the carry.
        let n_known = consts.iter().filter(|x| !x.is_linear()).count();
        let n_before = n_known + self.n_carry;
        let n_rest = body.inputs.len() - n_before - sums.len();
        let order =
            [span(0, n_before), span(n_before + n_rest, sums.len()), span(n_before, n_rest)]
                .concat();
        let n_out = body.outputs.len();
        let body = reorder(body, &order, &span(0, n_out));
        let mut scan = self.with(body, n_known, self.n_carry + sums.len());
        scan.reverse = !self.reverse;

        let known = |operands: &[Operand]| -> Vec<Atom> {
            operands.iter().filter(|x| !x.is_linear()).map(Operand::known).collect()
        };
        let ct_last: Vec<Atom> =
            ct_last.iter().zip(parts.carry).map(|(ct, aval)| ct.instantiate(b, aval)).collect();
        let zeros: Vec<Atom> = sums.iter().map(|aval| b.full(0.0, aval)).collect();
        let ct_ys: Vec<Atom> = ct_ys.iter().filter_map(|ct| ct.value()).collect();
        let inputs = [known(consts), ct_last, zeros, ct_ys, known(xs)].concat();
        let outputs = b.bind(scan, &inputs);

        let (ct_init, rest) = outputs.split_at(self.n_carry);
        let mut rest = rest.iter().copied();
        let mut take = |ct: &Cotangent| match ct {
            Cotangent::Value(_) => {
                Cotangent::Value(rest.next().expect("internal: one for each value"))
            }
            Cotangent::Zero => Cotangent::Zero,
        };
        let ct_consts: Vec<Cotangent> = ct_of.consts.iter().map(&mut take).collect();
        let ct_xs: Vec<Cotangent> = ct_of.xs.iter().map(&mut take).collect();
        let ct_init = ct_init.iter().zip(init).map(|(&ct, operand)| match operand {
            Operand::Linear(_) => Cotangent::Value(ct),
            Operand::Known(_) => Cotangent::Zero,
        });
        Ok([ct_consts, ct_init.collect(), ct_xs].concat())
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let mapped: Vec<bool> = inputs.iter().map(|x| x.is_mapped()).collect();
        let parts = self.parts(&mapped);
        let carry = fixed_point(parts.carry.to_vec(), |carry| {
            let none = vec![false; self.body.outputs.len()];
            let step = transform::vmap(&self.body, size, &self.flags(&mapped, carry), &none);
            step.mapped[..self.n_carry].to_vec()
        });
        let flags = self.flags(&mapped, &carry);
        let step = transform::vmap(&self.body, size, &flags, &self.out_flags(&carry));
        let scan = self.with(step.program, self.n_consts, self.n_carry);
        let fixed = self.n_consts + self.n_carry;
        let atoms: Vec<Atom> = inputs
            .iter()
            .enumerate()
            .map(|(i, &input)| match (i < fixed, flags[i]) {
                (true, true) => input.materialize(b, size),
                // The axis of steps stays outermost.
                (false, true) => b.move_axis(input.atom(), 0, 1),
                (_, false) => input.atom(),
            })
            .collect();
        let outputs = b.bind(scan, &atoms);
        outputs
            .into_iter()
            .enumerate()
            .map(|(i, output)| match (step.mapped[i], i < self.n_carry) {
                (false, _) => Batched::Shared(output),
                (true, true) => Batched::Mapped(output),
                (true, false) => Batched::Mapped(b.move_axis(output, 1, 0)),
            })
            .collect()
    }

    fn examples() -> Vec<Example<Self>> {
        use crate::buffer::DType::{F64, I32};
        // consts w: [2,2], k: []; carry h: [2], n: i32; x: [2] -> h' = tanh(w h + k x), n + 1; y = h'·h
        let body = {
            let mut b = Builder::new();
            let [w, k] = [b.input(Aval::new(F64, [2, 2])), b.input(Aval::scalar(F64))];
            let [h, n] = [b.input(Aval::new(F64, [2])), b.input(Aval::scalar(I32))];
            let x = b.input(Aval::new(F64, [2]));
            let dot = DotGeneral {
                lhs_contract: vec![1],
                rhs_contract: vec![0],
                lhs_batch: vec![],
                rhs_batch: vec![],
            };
            let wh = b.bind1(dot, &[w, h]);
            let kx = b.mul(k, x);
            let sum = b.add(wh, kx);
            let next = b.unary(Unary::Tanh, sum);
            let one = b.lit(1.0, n);
            let count = b.add(n, one);
            let y = b.mul(next, h);
            Arc::new(b.finish(vec![next, count, y]))
        };
        let inputs = |length: usize| {
            vec![
                Aval::new(F64, [2, 2]),
                Aval::scalar(F64),
                Aval::new(F64, [2]),
                Aval::scalar(I32),
                Aval::new(F64, [length, 2]),
            ]
        };
        [(0, false), (1, false), (4, false), (3, true)]
            .into_iter()
            .map(|(length, reverse)| {
                let body = body.clone();
                (Scan { body, n_consts: 2, n_carry: 2, length, reverse }, inputs(length))
            })
            .collect()
    }
}

impl BodyRules for Scan {
    fn bodies(&self) -> Vec<&Arc<Program>> {
        vec![&self.body]
    }

    fn partial_eval(&self, b: &mut PartialBuilder, inputs: &[Partial]) -> Vec<Partial> {
        let unknown: Vec<bool> = inputs.iter().map(|x| x.is_unknown()).collect();
        let parts = self.parts(&unknown);
        let carry_unknown = fixed_point(parts.carry.to_vec(), |carry| {
            let none = vec![false; self.body.outputs.len()];
            let flags = self.flags(&unknown, carry);
            transform::partial_eval(&self.body, &flags, &none).unknown_out[..self.n_carry].to_vec()
        });
        let flags = self.flags(&unknown, &carry_unknown);
        let force = self.out_flags(&carry_unknown);
        let split = transform::partial_eval(&self.body, &flags, &force);

        let known_inputs: Vec<Atom> = inputs
            .iter()
            .zip(&flags)
            .filter(|&(_, &unknown)| !unknown)
            .map(|(x, _)| x.known())
            .collect();
        let n_known_consts = parts.consts.iter().filter(|&&unknown| !unknown).count();
        let n_known_carry = carry_unknown.iter().filter(|&&unknown| !unknown).count();
        let n_known_in = split.known.inputs.len();
        let n_known_out = split.unknown_out.iter().filter(|&&unknown| !unknown).count();
        let residuals = place_residuals(&split.known, n_known_consts, n_known_carry, n_known_out);

        // The known loop: its own outputs, and the residuals that change from step to step.
        let stacked: Vec<usize> = (0..residuals.len())
            .filter(|&i| residuals[i] == Place::Stacked)
            .map(|i| n_known_out + i)
            .collect();
        let order = [span(0, n_known_out), stacked].concat();
        let known_body = reorder(split.known.clone(), &span(0, n_known_in), &order);
        let known_scan = self.with(transform::pruned(known_body), n_known_consts, n_known_carry);
        let mut known_outs = b.known.bind(known_scan, &known_inputs);
        let mut stacked = known_outs.split_off(n_known_out).into_iter();

        // Residuals that do not change are computed once, before the loop.
        let invariant: Vec<bool> = [
            vec![false; n_known_out],
            residuals.iter().map(|place| *place == Place::Invariant).collect(),
        ]
        .concat();
        let keep: Vec<bool> = (0..n_known_in).map(|i| i < n_known_consts).collect();
        let (hoisted, live) = dce_inputs(&Arc::new(split.known), &invariant, &keep);
        debug_assert_eq!(live, keep, "internal: an invariant residual reads what changes");
        let mut invariants = b.known.inline(&hoisted, &known_inputs[..n_known_consts]).into_iter();

        let mut const_residuals = Vec::new();
        let mut row_residuals = Vec::new();
        for (i, place) in residuals.iter().enumerate() {
            match *place {
                Place::Invariant => {
                    let atom = invariants.next().expect("internal: one for each place");
                    const_residuals.push((i, b.residual(atom)));
                }
                Place::Stacked => {
                    let atom = stacked.next().expect("internal: one for each place");
                    row_residuals.push((i, b.residual(atom)));
                }
                Place::Row(x) => row_residuals.push((i, b.residual(known_inputs[x]))),
            }
        }

        // The unknown loop: (residual consts, consts), carry, (xs, residual rows).
        let n_unknown = positions(&flags).len();
        let n_unknown_consts = positions(parts.consts).len();
        let n_unknown_carry = positions(&carry_unknown).len();
        let n_unknown_xs = n_unknown - n_unknown_consts - n_unknown_carry;
        let place = |list: &[(usize, Atom)]| -> Vec<usize> {
            list.iter().map(|&(i, _)| n_unknown + i).collect()
        };
        let order = [
            place(&const_residuals),
            span(0, n_unknown_consts + n_unknown_carry + n_unknown_xs),
            place(&row_residuals),
        ]
        .concat();
        let n_unknown_out = split.unknown.outputs.len();
        let body = reorder(split.unknown, &order, &span(0, n_unknown_out));
        let scan = self.with(body, const_residuals.len() + n_unknown_consts, n_unknown_carry);
        let lifted: Vec<Atom> = inputs
            .iter()
            .zip(&flags)
            .filter(|&(_, &unknown)| unknown)
            .map(|(&x, _)| b.lift(x))
            .collect();
        let atoms =
            |list: &[(usize, Atom)]| -> Vec<Atom> { list.iter().map(|&(_, a)| a).collect() };
        let unknown_inputs = [atoms(&const_residuals), lifted, atoms(&row_residuals)].concat();
        let mut unknown_outs = b.unknown.bind(scan, &unknown_inputs).into_iter();
        let mut known_outs = known_outs.into_iter();
        let outputs = split.unknown_out.iter().map(|&unknown| match unknown {
            true => unknown_outs.next().map(Partial::Unknown),
            false => known_outs.next().map(Partial::Known),
        });
        outputs.map(|output| output.expect("internal: one for each output")).collect()
    }

    fn dce(&self, used: &[bool]) -> Kept {
        // A carry is needed if its last value is read, or if a needed output of the step reads it.
        let (used_carry, used_ys) = used.split_at(self.n_carry);
        let body_inputs = |carry: &[bool]| {
            let used = [carry, used_ys].concat();
            live_inputs(&self.body, &used)
        };
        let carry = fixed_point(used_carry.to_vec(), |carry| {
            self.parts(&body_inputs(carry)).carry.to_vec()
        });
        let outputs = [&carry, used_ys].concat();
        let keep = self.flags(&vec![false; self.body.inputs.len()], &carry);
        let (body, inputs) = dce_inputs(&self.body, &outputs, &keep);
        let n_consts = positions(&inputs[..self.n_consts]).len();
        let n_carry = positions(&carry).len();
        let prim = Scan { body, n_consts, n_carry, ..*self }.into();
        Kept { prim, inputs, outputs }
    }
}

/// Where a residual of a loop's step comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It depends on constants only: one value for all steps.
    Invariant,
    /// It is a row of an input, at this position among the known ones.
    Row(usize),
    /// It changes: one value a step is kept.
    Stacked,
}

/// The places of the outputs of `known` after the first `n_outs`.
fn place_residuals(known: &Program, n_consts: usize, n_carry: usize, n_outs: usize) -> Vec<Place> {
    let mut invariant = vec![false; known.n_vars()];
    for var in &known.inputs[..n_consts] {
        invariant[var.index()] = true;
    }
    for eqn in &known.eqns {
        let still = |atom: &Atom| atom.var().is_none_or(|var| invariant[var.index()]);
        if eqn.inputs.iter().all(still) && !eqn.prim.has_effects() {
            for var in &eqn.outputs {
                invariant[var.index()] = true;
            }
        }
    }
    let place = |&atom: &Atom| {
        let Atom::Var(var) = atom else { return Place::Invariant };
        let input = known.inputs.iter().position(|&input| input == var);
        match input {
            _ if invariant[var.index()] => Place::Invariant,
            Some(i) if i >= n_consts + n_carry => Place::Row(i),
            _ => Place::Stacked,
        }
    };
    known.outputs[n_outs..].iter().map(place).collect()
}

/// A scan's inputs must be as many as its body's; used by the other loops too.
pub(super) fn same_types(what: &str, got: &[Aval], need: &[Aval]) -> Result<(), Misfit> {
    if got.len() != need.len() {
        let (n, m) = (need.len(), got.len());
        return Err(Misfit::new(format!("{what} must be {n}, and there are {m}")));
    }
    match got.iter().zip(need).position(|(got, need)| got != need) {
        Some(i) => Err(Misfit::new(format!("{what} {i} is {} and must be {}", got[i], need[i]))),
        None => Ok(()),
    }
}
