//! `while`: one program, step after step, as long as a condition holds.

use super::scan::same_types;
use super::*;
use crate::buffer::{DType, Scalar};
use crate::error::Error;
use crate::ir::Plan;
use crate::transform::{
    self, dce_inputs, fixed_point, live_inputs, pick, positions, reorder, span,
};

/// A loop whose number of steps is data: `while cond(cond_consts, carry) { carry =
/// body(body_consts, carry) }`. The inputs are both groups of constants and the initial carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct While {
    /// Whether to take another step: returns one truth value.
    pub cond: Arc<Program>,
    /// The program of one step.
    pub body: Arc<Program>,
    /// How many inputs only the condition reads.
    pub n_cond_consts: usize,
    /// How many inputs only the body reads.
    pub n_body_consts: usize,
}

struct Parts<'a, T> {
    cond_consts: &'a [T],
    body_consts: &'a [T],
    carry: &'a [T],
}

impl While {
    fn parts<'a, T>(&self, inputs: &'a [T]) -> Parts<'a, T> {
        let (cond_consts, rest) = inputs.split_at(self.n_cond_consts);
        let (body_consts, carry) = rest.split_at(self.n_body_consts);
        Parts { cond_consts, body_consts, carry }
    }

    fn n_carry(&self) -> usize {
        self.body.outputs.len()
    }
}

impl Rules for While {
    fn name(&self) -> &'static str {
        "while"
    }

    fn params(&self) -> Params {
        Params::new()
            .with("n_cond_consts", self.n_cond_consts)
            .with("n_body_consts", self.n_body_consts)
            .with("cond", &self.cond)
            .with("body", &self.body)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "while").then_some(())?;
        Some(While {
            cond: params.program("cond")?,
            body: params.program("body")?,
            n_cond_consts: params.size("n_cond_consts")?,
            n_body_consts: params.size("n_body_consts")?,
        })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        if inputs.len() < self.n_cond_consts.saturating_add(self.n_body_consts) {
            return Err(Misfit::new("has fewer inputs than constants"));
        }
        let Parts { cond_consts, body_consts, carry } = self.parts(inputs);
        same_types(
            "inputs of the condition",
            &[cond_consts, carry].concat(),
            &self.cond.input_avals(),
        )?;
        same_types("inputs of the body", &[body_consts, carry].concat(), &self.body.input_avals())?;
        same_types("the carry that leaves the body", &self.body.output_avals(), carry)?;
        let truth = [Aval::scalar(DType::Bool)];
        same_types("the results of the condition", &self.cond.output_avals(), &truth)?;
        Ok(carry.to_vec())
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (cond, body) = (Plan::new(self.cond.clone()), Plan::new(self.body.clone()));
        let Parts { cond_consts, body_consts, carry } = self.parts(inputs);
        let mut carry = carry.to_vec();
        loop {
            let go = cond.run(&[cond_consts, &carry].concat());
            if go[0].first() != Scalar::Bool(true) {
                return carry;
            }
            carry = body.run(&[body_consts, &carry].concat());
        }
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let nonzero: Vec<bool> = tangents.iter().map(|t| *t != Tangent::Zero).collect();
        let parts = self.parts(&nonzero);
        let by = |carry: &[bool]| [parts.body_consts, carry].concat();
        let carry = fixed_point(parts.carry.to_vec(), |carry| {
            let none = vec![false; self.n_carry()];
            transform::jvp(&self.body, &by(carry), &none).nonzero
        });
        let step = transform::jvp(&self.body, &by(&carry), &carry);
        let (n_in, n_carry) = (self.body.inputs.len(), self.n_carry());
        let (n_dconsts, n_dcarry) = (positions(parts.body_consts).len(), positions(&carry).len());
        let order = [
            span(0, self.n_body_consts),
            span(n_in, n_dconsts),
            span(self.n_body_consts, n_carry),
            span(n_in + n_dconsts, n_dcarry),
        ]
        .concat();
        let body = reorder(step.program, &order, &span(0, n_carry + n_dcarry));
        // The condition takes the tangents and ignores them.
        let mut cond = Builder::new();
        let cond_inputs = cond.inputs(&self.cond.input_avals());
        for &i in &positions(&carry) {
            cond.input(self.body.output_avals()[i].clone());
        }
        let go = cond.inline(&self.cond, &cond_inputs);
        let prim = While {
            cond: Arc::new(cond.finish(go)),
            body: Arc::new(body),
            n_body_consts: self.n_body_consts + n_dconsts,
            ..*self
        };
        let Parts { cond_consts, body_consts, carry: init } = self.parts(primals);
        let tangent_parts = self.parts(tangents);
        let dconsts: Vec<Atom> =
            tangent_parts.body_consts.iter().filter_map(|tangent| tangent.value()).collect();
        let dinit: Vec<Atom> = positions(&carry)
            .into_iter()
            .map(|i| tangent_parts.carry[i].instantiate(b, init[i]))
            .collect();
        let inputs = [cond_consts, body_consts, &dconsts, init, &dinit].concat();
        let outputs = b.bind(prim, &inputs);
        let (outs, douts) = outputs.split_at(n_carry);
        let mut douts = douts.iter();
        let tangents = carry.iter().map(|&nonzero| match nonzero {
            true => Tangent::Value(*douts.next().expect("internal: one for each flag")),
            false => Tangent::Zero,
        });
        (outs.to_vec(), tangents.collect())
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        Err(Error::while_reverse())
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let mapped: Vec<bool> = inputs.iter().map(|x| x.is_mapped()).collect();
        let parts = self.parts(&mapped);
        let cond_of = |carry: &[bool]| {
            transform::vmap(&self.cond, size, &[parts.cond_consts, carry].concat(), &[false])
        };
        // Where the condition differs between examples, so does every carry.
        let carry = fixed_point(parts.carry.to_vec(), |carry| {
            if cond_of(carry).mapped[0] {
                return vec![true; carry.len()];
            }
            let none = vec![false; self.n_carry()];
            let flags = [parts.body_consts, carry].concat();
            transform::vmap(&self.body, size, &flags, &none).mapped
        });
        let cond = cond_of(&carry);
        let flags = [parts.body_consts, &carry].concat();
        let body = transform::vmap(&self.body, size, &flags, &carry).program;
        let prim = match cond.mapped[0] {
            false => While { cond: Arc::new(cond.program), body: Arc::new(body), ..*self },
            true => self.per_example(size, &cond.program, &body),
        };
        let atoms: Vec<Atom> = inputs.iter().map(|x| x.atom()).collect();
        let Parts { cond_consts, body_consts, .. } = self.parts(&atoms);
        let init: Vec<Atom> = self
            .parts(inputs)
            .carry
            .iter()
            .zip(&carry)
            .map(|(&x, &mapped)| if mapped { x.materialize(b, size) } else { x.atom() })
            .collect();
        // The per-example body decides by itself, so it reads the condition's constants too.
        let again = if cond.mapped[0] { cond_consts } else { &[] };
        let inputs = [cond_consts, again, body_consts, &init].concat();
        let outputs = b.bind(prim, &inputs);
        let tag = |(output, mapped): (Atom, &bool)| match mapped {
            true => Batched::Mapped(output),
            false => Batched::Shared(output),
        };
        outputs.into_iter().zip(&carry).map(tag).collect()
    }

    fn examples() -> Vec<Example<Self>> {
        use DType::{F64, I32};
        // limit: i32, k: [2]; carry n: i32, x: [2] -> while n < limit { n + 1, sin(k x) }
        let cond = {
            let mut b = Builder::new();
            let [limit, n] = [b.input(Aval::scalar(I32)), b.input(Aval::scalar(I32))];
            b.input(Aval::new(F64, [2]));
            // At most five steps, whatever the limit is.
            let five = b.lit(5.0, limit);
            let limit = b.binary(Binary::Min, limit, five);
            let go = b.binary(Binary::Lt, n, limit);
            Arc::new(b.finish(vec![go]))
        };
        let body = {
            let mut b = Builder::new();
            let k = b.input(Aval::new(F64, [2]));
            let [n, x] = [b.input(Aval::scalar(I32)), b.input(Aval::new(F64, [2]))];
            let one = b.lit(1.0, n);
            let (next, kx) = (b.add(n, one), b.mul(k, x));
            let step = b.unary(Unary::Sin, kx);
            Arc::new(b.finish(vec![next, step]))
        };
        let inputs =
            vec![Aval::scalar(I32), Aval::new(F64, [2]), Aval::scalar(I32), Aval::new(F64, [2])];
        vec![(While { cond, body, n_cond_consts: 1, n_body_consts: 1 }, inputs)]
    }
}

impl While {
    /// The loop that runs until every example is done; finished examples keep their values.
    fn per_example(&self, size: usize, cond: &Program, body: &Program) -> While {
        let cond_avals = cond.input_avals();
        let (cond_const_avals, carry_avals) = cond_avals.split_at(self.n_cond_consts);
        let body_const_avals = &body.input_avals()[..self.n_body_consts];

        let mut any = Builder::new();
        let inputs = any.inputs(&cond_avals);
        let go = any.inline(cond, &inputs)[0];
        let some = any.bind1(Reduce { fold: Fold::Or, axes: vec![0] }, &[go]);
        let any = any.finish(vec![some]);

        let mut step = Builder::new();
        let cond_consts = step.inputs(cond_const_avals);
        let body_consts = step.inputs(body_const_avals);
        let carry = step.inputs(carry_avals);
        let go = step.inline(cond, &[&cond_consts[..], &carry].concat())[0];
        let next = step.inline(body, &[&body_consts[..], &carry].concat());
        debug_assert_eq!(step.aval(go).shape[0], size);
        let kept: Vec<Atom> = carry
            .iter()
            .zip(next)
            .map(|(&old, new)| {
                let shape = step.aval(old).shape;
                let go = step.broadcast(go, &shape, &[0]);
                step.select(go, new, old)
            })
            .collect();
        While {
            cond: Arc::new(any),
            body: Arc::new(step.finish(kept)),
            n_cond_consts: self.n_cond_consts,
            n_body_consts: self.n_cond_consts + self.n_body_consts,
        }
    }
}

impl BodyRules for While {
    fn bodies(&self) -> Vec<&Arc<Program>> {
        vec![&self.cond, &self.body]
    }

    fn partial_eval(&self, b: &mut PartialBuilder, inputs: &[Partial]) -> Vec<Partial> {
        let unknown: Vec<bool> = inputs.iter().map(|x| x.is_unknown()).collect();
        let parts = self.parts(&unknown);
        let carry = fixed_point(parts.carry.to_vec(), |carry| {
            let none = vec![false; self.n_carry()];
            let flags = [parts.body_consts, carry].concat();
            transform::partial_eval(&self.body, &flags, &none).unknown_out
        });
        let cond_flags = [parts.cond_consts, &carry].concat();
        let cond = transform::partial_eval(&self.cond, &cond_flags, &[false]);
        let all: Vec<Atom> = inputs.iter().map(|&x| b.lift(x)).collect();
        let whole = b.unknown.bind(self.clone(), &all);
        // The number of steps waits for what is unknown, or nothing is known: all has to wait.
        if cond.unknown_out[0] || carry.iter().all(|&unknown| unknown) {
            return whole.into_iter().map(Partial::Unknown).collect();
        }
        // The known carries are computed now. The unknown ones take the whole loop once more,
        // since its intermediate values cannot be kept.
        let known_carry: Vec<bool> = carry.iter().map(|&unknown| !unknown).collect();
        let keep = |consts: &[bool]| -> Vec<bool> {
            [consts.iter().map(|&unknown| !unknown).collect(), known_carry.clone()].concat()
        };
        let body_keep = keep(parts.body_consts);
        let flags = [parts.body_consts, &carry].concat();
        let body = transform::partial_eval(&self.body, &flags, &carry).known;
        let n_known = positions(&known_carry).len();
        let used: Vec<bool> = (0..body.outputs.len()).map(|i| i < n_known).collect();
        let (body, _) = transform::dce(&body, &used);
        let cond_keep = keep(parts.cond_consts);
        let (cond, cond_live) = dce_inputs(&self.cond, &[true], &cond_keep);
        debug_assert!(cond_live == cond_keep, "internal: {self:?}");
        let known_of = |items: &[Partial], keep: &[bool]| -> Vec<Atom> {
            pick(items, keep).into_iter().map(Partial::known).collect()
        };
        let Parts { cond_consts, body_consts, carry: init } = self.parts(inputs);
        let known_inputs = [
            known_of(cond_consts, &cond_keep[..self.n_cond_consts]),
            known_of(body_consts, &body_keep[..self.n_body_consts]),
            known_of(init, &known_carry),
        ];
        let prim = While {
            cond,
            body: Arc::new(body),
            n_cond_consts: known_inputs[0].len(),
            n_body_consts: known_inputs[1].len(),
        };
        let mut known = b.known.bind(prim, &known_inputs.concat()).into_iter();
        let of = |(&unknown, whole): (&bool, Atom)| match unknown {
            true => Partial::Unknown(whole),
            false => Partial::Known(known.next().expect("internal: one for each known carry")),
        };
        carry.iter().zip(whole).map(of).collect()
    }

    fn dce(&self, used: &[bool]) -> Kept {
        let cond_inputs = live_inputs(&self.cond, &[true]);
        let (cond_consts, cond_carry) = cond_inputs.split_at(self.n_cond_consts);
        let needed: Vec<bool> = used.iter().zip(cond_carry).map(|(&a, &b)| a || b).collect();
        let carry = fixed_point(needed, |carry| {
            live_inputs(&self.body, carry)[self.n_body_consts..].to_vec()
        });
        let none = vec![false; self.n_body_consts];
        let (body, body_inputs) = dce_inputs(&self.body, &carry, &[&none[..], &carry].concat());
        let keep = [cond_consts, &carry].concat();
        let (cond, _) = dce_inputs(&self.cond, &[true], &keep);
        let body_consts = &body_inputs[..self.n_body_consts];
        let prim = While {
            cond,
            body,
            n_cond_consts: positions(cond_consts).len(),
            n_body_consts: positions(body_consts).len(),
        };
        let inputs = [cond_consts, body_consts, &carry].concat();
        Kept { prim: prim.into(), inputs, outputs: carry }
    }
}
