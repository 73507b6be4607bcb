//! Calls of inner programs whose derivative, or whose use of memory, is not the ordinary one.

use super::scan::same_types;
use super::*;
use crate::ir::eval;
use crate::transform::{self, dce_inputs, jvp_into, partial_eval, pick, split_and_backward};

/// Runs a program, with something special about its derivative.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// What is special.
    pub kind: CallKind,
    /// What is computed.
    pub body: Arc<Program>,
}

/// What is special about the derivative of a [`Call`].
///
/// The first `n_consts` inputs of a call with a rule of its own are what the user's function
/// captured; the rule speaks of the others, and captured values are differentiated as usual.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// Intermediate values are computed again in the backward pass instead of being kept.
    Remat,
    /// The user's rule for tangents.
    CustomJvp {
        /// The number of captured inputs.
        n_consts: usize,
        /// From the inputs and the tangents of all float arguments to the outputs and the tangents
        /// of all float outputs.
        rule: Arc<Program>,
    },
    /// The user's rule for cotangents.
    CustomVjp {
        /// The number of captured inputs.
        n_consts: usize,
        /// From the inputs to the outputs and the residuals.
        forward: Arc<Program>,
        /// From the residuals and the cotangents of all float outputs to those of all float
        /// arguments.
        backward: Arc<Program>,
    },
}

/// The linear part of a function with a rule for cotangents only. It exists between the steps of
/// reverse mode and never runs: its transpose is the rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomLinear {
    /// From the residuals and the cotangents of the outputs to those of the linear inputs.
    pub backward: Arc<Program>,
    /// The number of residuals; the other inputs are linear.
    pub n_residuals: usize,
}

fn float_flags(avals: &[Aval]) -> Vec<bool> {
    avals.iter().map(Aval::is_float).collect()
}

impl Call {
    fn remat(body: impl Into<Arc<Program>>) -> Call {
        Call { kind: CallKind::Remat, body: body.into() }
    }

    /// The part of the tangents that comes through captured values, by the ordinary derivative.
    fn captured_tangents(
        &self,
        b: &mut Builder,
        n_consts: usize,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> Vec<Tangent> {
        let mut through = vec![Tangent::Zero; tangents.len()];
        through[..n_consts].copy_from_slice(&tangents[..n_consts]);
        if through.iter().all(|tangent| *tangent == Tangent::Zero) {
            return vec![Tangent::Zero; self.body.outputs.len()];
        }
        jvp_into(b, &self.body, primals, &through).1
    }

    /// The tangents of the float arguments, with zeros written out.
    fn argument_tangents(
        b: &mut Builder,
        n_consts: usize,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> Vec<Atom> {
        (n_consts..primals.len())
            .filter(|&i| b.aval(primals[i]).is_float())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|i| tangents[i].instantiate(b, primals[i]))
            .collect()
    }
}

/// A tangent for each output, from those of the float outputs.
fn spread(outs: &[Aval], values: Vec<Atom>) -> Vec<Tangent> {
    let mut values = values.into_iter();
    let of = |aval: &Aval| match aval.is_float() {
        true => Tangent::Value(values.next().expect("internal: one for each float output")),
        false => Tangent::Zero,
    };
    outs.iter().map(of).collect()
}

impl Rules for Call {
    fn name(&self) -> &'static str {
        match self.kind {
            CallKind::Remat => "checkpoint",
            CallKind::CustomJvp { .. } => "custom_jvp",
            CallKind::CustomVjp { .. } => "custom_vjp",
        }
    }

    fn params(&self) -> Params {
        match &self.kind {
            CallKind::Remat => Params::new().with("body", &self.body),
            CallKind::CustomJvp { n_consts, rule } => Params::new()
                .with("n_consts", *n_consts)
                .with("body", &self.body)
                .with("rule", rule),
            CallKind::CustomVjp { n_consts, forward, backward } => Params::new()
                .with("n_consts", *n_consts)
                .with("body", &self.body)
                .with("forward", forward)
                .with("backward", backward),
        }
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        let kind = match name {
            "checkpoint" => CallKind::Remat,
            "custom_jvp" => CallKind::CustomJvp {
                n_consts: params.size("n_consts")?,
                rule: params.program("rule")?,
            },
            "custom_vjp" => CallKind::CustomVjp {
                n_consts: params.size("n_consts")?,
                forward: params.program("forward")?,
                backward: params.program("backward")?,
            },
            _ => return None,
        };
        Some(Call { kind, body: params.program("body")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        same_types("the inputs", inputs, &self.body.input_avals())?;
        let outputs = self.body.output_avals();
        let floats = |avals: &[Aval]| pick(avals, &float_flags(avals));
        match &self.kind {
            CallKind::Remat => {}
            CallKind::CustomJvp { n_consts, rule } => {
                let arguments = inputs.get(*n_consts..).unwrap_or_default();
                let need = [inputs, &floats(arguments)].concat();
                same_types("the inputs of the rule", &rule.input_avals(), &need)?;
                let need = [&outputs[..], &floats(&outputs)].concat();
                same_types("the results of the rule", &rule.output_avals(), &need)?;
            }
            CallKind::CustomVjp { n_consts, forward, backward } => {
                same_types("the inputs of the forward rule", &forward.input_avals(), inputs)?;
                let results = forward.output_avals();
                let n_out = outputs.len().min(results.len());
                let (outs, residuals) = results.split_at(n_out);
                same_types("the results of the forward rule", outs, &outputs)?;
                let need = [residuals, &floats(&outputs)].concat();
                same_types("the inputs of the backward rule", &backward.input_avals(), &need)?;
                let arguments = inputs.get(*n_consts..).unwrap_or_default();
                let need = floats(arguments);
                same_types("the results of the backward rule", &backward.output_avals(), &need)?;
            }
        }
        Ok(outputs)
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        eval(&self.body, inputs)
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let out_avals = self.body.output_avals();
        let n_out = out_avals.len();
        let is_zero = |tangent: &Tangent| *tangent == Tangent::Zero;
        let (outs, own, captured) = match &self.kind {
            CallKind::Remat => {
                let by: Vec<bool> = tangents.iter().map(|t| *t != Tangent::Zero).collect();
                let step = transform::jvp(&self.body, &by, &vec![false; n_out]);
                let values = tangents.iter().filter_map(|t| t.value());
                let inputs: Vec<Atom> = primals.iter().copied().chain(values).collect();
                let mut outs = b.bind(Call::remat(step.program), &inputs);
                let mut values = outs.split_off(n_out).into_iter();
                let tangents = step.nonzero.iter().map(|&nonzero| match nonzero {
                    true => Tangent::Value(values.next().expect("internal: one for each flag")),
                    false => Tangent::Zero,
                });
                return (outs, tangents.collect());
            }
            // Where no argument changes, the rule has no part.
            CallKind::CustomJvp { n_consts, .. } | CallKind::CustomVjp { n_consts, .. }
                if tangents[*n_consts..].iter().all(is_zero) =>
            {
                let outs = b.bind(self.clone(), primals);
                let captured = self.captured_tangents(b, *n_consts, primals, tangents);
                return (outs, captured);
            }
            CallKind::CustomJvp { n_consts, rule } => {
                let values = Call::argument_tangents(b, *n_consts, primals, tangents);
                let mut outs = b.inline(rule, &[primals, &values].concat());
                let own = spread(&out_avals, outs.split_off(n_out));
                (outs, own, self.captured_tangents(b, *n_consts, primals, tangents))
            }
            CallKind::CustomVjp { n_consts, forward, backward } => {
                let values = Call::argument_tangents(b, *n_consts, primals, tangents);
                let mut outs = b.inline(forward, primals);
                let residuals = outs.split_off(n_out);
                let prim =
                    CustomLinear { backward: backward.clone(), n_residuals: residuals.len() };
                let own = b.bind(prim, &[residuals, values].concat());
                let own = spread(&out_avals, own);
                (outs, own, self.captured_tangents(b, *n_consts, primals, tangents))
            }
        };
        let add = |(own, captured): (Tangent, Tangent)| b.add_tangents(own, captured);
        let tangents = own.into_iter().zip(captured).map(add).collect();
        (outs, tangents)
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let CallKind::Remat = self.kind else {
            panic!("internal: {} is not linear", self.name());
        };
        // The known part is computed again inside, next to the backward pass that reads it.
        let mut step = Builder::new();
        let operands: Vec<Operand> = inputs
            .iter()
            .zip(self.body.input_avals())
            .map(|(operand, aval)| match operand {
                Operand::Known(_) => Operand::Known(step.input(aval)),
                Operand::Linear(_) => Operand::Linear(aval),
            })
            .collect();
        let step_cts: Vec<Cotangent> = cts
            .iter()
            .zip(self.body.output_avals())
            .map(|(ct, aval)| match ct {
                Cotangent::Value(_) => Cotangent::Value(step.input(aval)),
                Cotangent::Zero => Cotangent::Zero,
            })
            .collect();
        let results = split_and_backward(&mut step, &self.body, &operands, &step_cts)?;
        let values: Vec<Atom> = results.iter().filter_map(|ct| ct.value()).collect();
        let body = transform::pruned(step.finish(values));
        let known = inputs.iter().filter(|x| !x.is_linear()).map(Operand::known);
        let atoms: Vec<Atom> = known.chain(cts.iter().filter_map(|ct| ct.value())).collect();
        let mut outs = b.bind(Call::remat(body), &atoms).into_iter();
        let of = |ct: &Cotangent| match ct {
            Cotangent::Value(_) => {
                Cotangent::Value(outs.next().expect("internal: one for each value"))
            }
            Cotangent::Zero => Cotangent::Zero,
        };
        Ok(results.iter().map(of).collect())
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let mapped: Vec<bool> = inputs.iter().map(|x| x.is_mapped()).collect();
        let n_out = self.body.outputs.len();
        let atoms: Vec<Atom> = inputs.iter().map(|x| x.atom()).collect();
        // A rule of the user's speaks of all outputs, so all are mapped.
        let all = vec![!matches!(self.kind, CallKind::Remat); n_out];
        let body = transform::vmap(&self.body, size, &mapped, &all);
        let avals = self.body.input_avals();
        let kind = match &self.kind {
            CallKind::Remat => CallKind::Remat,
            CallKind::CustomJvp { n_consts, rule } => {
                let arguments = float_flags(&avals[*n_consts..]);
                let flags = [&mapped[..], &pick(&mapped[*n_consts..], &arguments)].concat();
                let force = vec![true; rule.outputs.len()];
                let rule = transform::vmap(rule, size, &flags, &force).program;
                CallKind::CustomJvp { n_consts: *n_consts, rule: Arc::new(rule) }
            }
            CallKind::CustomVjp { n_consts, forward, backward } => {
                let n_residuals = forward.outputs.len() - n_out;
                let force = [vec![true; n_out], vec![false; n_residuals]].concat();
                let forward = transform::vmap(forward, size, &mapped, &force);
                let n_cts = backward.inputs.len() - n_residuals;
                let flags = [&forward.mapped[n_out..], &vec![true; n_cts]].concat();
                let arguments = float_flags(&avals[*n_consts..]);
                let wanted = pick(&mapped[*n_consts..], &arguments);
                let backward = batch_backward(backward, size, &flags, &wanted);
                CallKind::CustomVjp {
                    n_consts: *n_consts,
                    forward: Arc::new(forward.program),
                    backward: Arc::new(backward),
                }
            }
        };
        let outs = b.bind(Call { kind, body: Arc::new(body.program) }, &atoms);
        let tag = |(out, &mapped): (Atom, &bool)| match mapped {
            true => Batched::Mapped(out),
            false => Batched::Shared(out),
        };
        outs.into_iter().zip(&body.mapped).map(tag).collect()
    }

    fn examples() -> Vec<Example<Self>> {
        use crate::buffer::DType::F64;
        // y = sin(x)·k, z = k²
        let inputs = vec![Aval::scalar(F64), Aval::new(F64, [3])];
        let function = |b: &mut Builder, k: Atom, x: Atom| {
            let sin = b.unary(Unary::Sin, x);
            (vec![b.mul(sin, k), b.mul(k, k)], sin)
        };
        let body = {
            let mut b = Builder::new();
            let atoms = b.inputs(&inputs);
            let outs = function(&mut b, atoms[0], atoms[1]).0;
            Arc::new(b.finish(outs))
        };
        // The ordinary rules for the arguments, with `n_consts` inputs captured.
        let forward = {
            let mut b = Builder::new();
            let atoms = b.inputs(&inputs);
            let (outs, _) = function(&mut b, atoms[0], atoms[1]);
            Arc::new(b.finish([outs, atoms].concat()))
        };
        let kinds = |n_consts: usize| {
            let by = [n_consts == 0, true];
            let rule = transform::jvp(&body, &by, &[true, true]).program;
            let mut b = Builder::new();
            let res = b.inputs(&inputs);
            let cts = b.inputs(&[inputs[1].clone(), inputs[0].clone()]);
            let cts: Vec<Cotangent> = cts.into_iter().map(Cotangent::Value).collect();
            let linearized = transform::linearize(&body, &by);
            let residuals = b.inline(&linearized.forward, &res).split_off(2);
            let cts = linearized.backward(&mut b, &residuals, &cts).expect("internal: linear");
            let avals = pick(&inputs, &by);
            let cts =
                cts.iter().zip(&avals).map(|(ct, aval)| ct.instantiate(&mut b, aval)).collect();
            let (forward, backward) = (forward.clone(), Arc::new(b.finish(cts)));
            [
                CallKind::CustomJvp { n_consts, rule: Arc::new(rule) },
                CallKind::CustomVjp { n_consts, forward, backward },
            ]
        };
        let kinds = [CallKind::Remat].into_iter().chain([0, 1].into_iter().flat_map(kinds));
        kinds.map(|kind| (Call { kind, body: body.clone() }, inputs.clone())).collect()
    }
}

/// The backward rule for all examples: what examples share gets the sum of their cotangents.
fn batch_backward(backward: &Program, size: usize, mapped: &[bool], wanted: &[bool]) -> Program {
    let batched = transform::vmap(backward, size, mapped, &vec![true; wanted.len()]).program;
    let mut b = Builder::new();
    let inputs = b.inputs(&batched.input_avals());
    let outs = b.inline(&batched, &inputs);
    let sum = |(out, &wanted): (Atom, &bool)| if wanted { out } else { b.sum(out, &[0]) };
    let outs = outs.into_iter().zip(wanted).map(sum).collect();
    b.finish(outs)
}

impl BodyRules for Call {
    fn bodies(&self) -> Vec<&Arc<Program>> {
        match &self.kind {
            CallKind::Remat => vec![&self.body],
            CallKind::CustomJvp { rule, .. } => vec![&self.body, rule],
            CallKind::CustomVjp { forward, backward, .. } => vec![&self.body, forward, backward],
        }
    }

    fn partial_eval(&self, b: &mut PartialBuilder, inputs: &[Partial]) -> Vec<Partial> {
        let CallKind::Remat = self.kind else {
            // A function with a rule of its own stays whole.
            let atoms: Vec<Atom> = inputs.iter().map(|&x| b.lift(x)).collect();
            let outs = b.unknown.bind(self.clone(), &atoms);
            return outs.into_iter().map(Partial::Unknown).collect();
        };
        // Known outputs are computed now; the rest computes everything again from the inputs.
        let unknown: Vec<bool> = inputs.iter().map(|x| x.is_unknown()).collect();
        let split = partial_eval(&self.body, &unknown, &vec![false; self.body.outputs.len()]);
        let n_known = split.unknown_out.iter().filter(|&&unknown| !unknown).count();
        let used: Vec<bool> = (0..split.known.outputs.len()).map(|i| i < n_known).collect();
        let (known, _) = transform::dce(&split.known, &used);
        let known_inputs: Vec<Atom> =
            inputs.iter().filter(|x| !x.is_unknown()).map(|x| x.known()).collect();
        let mut known = b.known.inline(&known, &known_inputs).into_iter();

        let keep = vec![false; inputs.len()];
        let (body, live) = dce_inputs(&self.body, &split.unknown_out, &keep);
        let atoms: Vec<Atom> = pick(inputs, &live).into_iter().map(|x| b.lift(x)).collect();
        let mut rest = b.unknown.bind(Call::remat(body), &atoms).into_iter();
        let outs = split.unknown_out.iter().map(|&unknown| match unknown {
            true => rest.next().map(Partial::Unknown),
            false => known.next().map(Partial::Known),
        });
        outs.map(|out| out.expect("internal: one for each output")).collect()
    }

    fn dce(&self, used: &[bool]) -> Kept {
        match self.kind {
            CallKind::Remat => {
                let keep = vec![false; self.body.inputs.len()];
                let (body, inputs) = dce_inputs(&self.body, used, &keep);
                Kept { prim: Call::remat(body).into(), inputs, outputs: used.to_vec() }
            }
            CallKind::CustomJvp { .. } | CallKind::CustomVjp { .. } => Kept {
                prim: self.clone().into(),
                inputs: vec![true; self.body.inputs.len()],
                outputs: vec![true; used.len()],
            },
        }
    }
}

impl Rules for CustomLinear {
    fn name(&self) -> &'static str {
        "custom_linear"
    }

    fn params(&self) -> Params {
        Params::new().with("n_residuals", self.n_residuals).with("backward", &self.backward)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "custom_linear").then_some(())?;
        Some(CustomLinear {
            backward: params.program("backward")?,
            n_residuals: params.size("n_residuals")?,
        })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let avals = self.backward.input_avals();
        if self.n_residuals > avals.len() {
            return Err(Misfit::new("its rule has fewer inputs than residuals"));
        }
        let (residuals, outputs) = avals.split_at(self.n_residuals);
        let need = [residuals, &self.backward.output_avals()].concat();
        same_types("the inputs", inputs, &need)?;
        Ok(outputs.to_vec())
    }

    fn eval(&self, _inputs: &[Buffer]) -> Vec<Buffer> {
        panic!("internal: custom_linear exists between the steps of reverse mode only")
    }

    fn jvp(
        &self,
        _b: &mut Builder,
        _primals: &[Atom],
        _tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        panic!("internal: custom_linear exists between the steps of reverse mode only")
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let (residuals, linear) = inputs.split_at(self.n_residuals);
        let avals = self.backward.input_avals().split_off(self.n_residuals);
        let residuals = residuals.iter().map(Operand::known).collect::<Vec<_>>();
        let cts: Vec<Atom> =
            cts.iter().zip(&avals).map(|(ct, aval)| ct.instantiate(b, aval)).collect();
        let results = b.inline(&self.backward, &[residuals, cts].concat());
        let mut all = vec![Cotangent::Zero; self.n_residuals];
        all.extend(linear.iter().zip(results).map(|(operand, ct)| match operand {
            Operand::Linear(_) => Cotangent::Value(ct),
            Operand::Known(_) => Cotangent::Zero,
        }));
        Ok(all)
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let mapped: Vec<bool> = inputs.iter().map(|x| x.is_mapped()).collect();
        let n_out = self.backward.inputs.len() - self.n_residuals;
        let flags = [&mapped[..self.n_residuals], &vec![true; n_out]].concat();
        let backward = batch_backward(&self.backward, size, &flags, &mapped[self.n_residuals..]);
        let atoms: Vec<Atom> = inputs.iter().map(|x| x.atom()).collect();
        let prim = CustomLinear { backward: Arc::new(backward), n_residuals: self.n_residuals };
        b.bind(prim, &atoms).into_iter().map(Batched::Mapped).collect()
    }

    fn examples() -> Vec<Example<Self>> {
        // It never runs, so there is nothing for the laws to compare; `custom_vjp` covers it.
        vec![]
    }
}

impl BodyRules for CustomLinear {
    fn bodies(&self) -> Vec<&Arc<Program>> {
        vec![&self.backward]
    }

    fn partial_eval(&self, b: &mut PartialBuilder, inputs: &[Partial]) -> Vec<Partial> {
        // A tangent that waits for no other is zero, though written out.
        if !inputs[self.n_residuals..].iter().any(|x| x.is_unknown()) {
            let avals = self.backward.input_avals().split_off(self.n_residuals);
            return avals.iter().map(|aval| Partial::Known(b.known.full(0.0, aval))).collect();
        }
        let atoms: Vec<Atom> = inputs.iter().map(|&x| b.lift(x)).collect();
        b.unknown.bind(self.clone(), &atoms).into_iter().map(Partial::Unknown).collect()
    }

    fn dce(&self, used: &[bool]) -> Kept {
        let inputs = vec![true; self.n_residuals + self.backward.outputs.len()];
        Kept { prim: self.clone().into(), inputs, outputs: vec![true; used.len()] }
    }
}
