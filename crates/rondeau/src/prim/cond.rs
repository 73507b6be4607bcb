//! `cond`: one of several programs, chosen by an index.

use super::scan::same_types;
use super::*;
use crate::buffer::{DType, Scalar};
use crate::ir::eval;
use crate::transform::{self, backward, dce_inputs, live_inputs, positions};

/// Runs branch `index`, clamped into range. The inputs are the index (an i32 scalar) and the
/// operands that every branch takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cond {
    /// The programs to choose from; all have the same types.
    pub branches: Vec<Arc<Program>>,
}

impl Cond {
    fn each(&self, f: impl FnMut(&Arc<Program>) -> Program) -> Cond {
        Cond { branches: self.branches.iter().map(f).map(Arc::new).collect() }
    }

    /// Which outputs some branch flags.
    fn union(&self, flags: impl Fn(&Program) -> Vec<bool>) -> Vec<bool> {
        let mut all = vec![false; self.branches[0].outputs.len()];
        for branch in &self.branches {
            all.iter_mut().zip(flags(branch)).for_each(|(all, flag)| *all |= flag);
        }
        all
    }
}

impl Rules for Cond {
    fn name(&self) -> &'static str {
        "cond"
    }

    fn params(&self) -> Params {
        let branches: Vec<crate::ir::Value> = self.branches.iter().map(|b| b.into()).collect();
        Params::new().with("branches", branches)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "cond").then_some(())?;
        let program = |value: &crate::ir::Value| match value {
            crate::ir::Value::Program(program) => Some(program.clone()),
            _ => None,
        };
        let branches: Option<Vec<_>> =
            params.get("branches")?.items()?.iter().map(program).collect();
        branches.filter(|branches| !branches.is_empty()).map(|branches| Cond { branches })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let Some((index, operands)) = inputs.split_first() else {
            return Err(Misfit::new("needs an index to choose by"));
        };
        if *index != Aval::scalar(DType::I32) {
            return Err(Misfit::new(format!("the index must be i32[], not {index}")));
        }
        let outputs = self.branches[0].output_avals();
        for branch in &self.branches {
            same_types("the operands", operands, &branch.input_avals())?;
            same_types("the results of a branch", &branch.output_avals(), &outputs)?;
        }
        Ok(outputs)
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let Scalar::I32(index) = inputs[0].first() else {
            unreachable!("internal: the index is i32");
        };
        let index = index.clamp(0, self.branches.len() as i32 - 1) as usize;
        eval(&self.branches[index], &inputs[1..])
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let by: Vec<bool> = tangents[1..].iter().map(|t| *t != Tangent::Zero).collect();
        let none = vec![false; self.branches[0].outputs.len()];
        let nonzero = self.union(|branch| transform::jvp(branch, &by, &none).nonzero);
        let prim = self.each(|branch| transform::jvp(branch, &by, &nonzero).program);
        let values: Vec<Atom> = tangents[1..].iter().filter_map(|t| t.value()).collect();
        let mut outs = b.bind(prim, &[primals, &values].concat());
        let mut douts = outs.split_off(nonzero.len()).into_iter();
        let tangents = nonzero.iter().map(|&nonzero| match nonzero {
            true => Tangent::Value(douts.next().expect("internal: one for each flag")),
            false => Tangent::Zero,
        });
        let tangents = tangents.collect();
        (outs, tangents)
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let (index, operands) = inputs.split_first().expect("internal: cond has an index");
        let out_avals = self.branches[0].output_avals();
        let mut branches = Vec::new();
        for branch in &self.branches {
            let mut step = Builder::new();
            let operands: Vec<Operand> = operands
                .iter()
                .zip(branch.input_avals())
                .map(|(operand, aval)| match operand {
                    Operand::Known(_) => Operand::Known(step.input(aval)),
                    Operand::Linear(_) => Operand::Linear(aval),
                })
                .collect();
            let cts: Vec<Cotangent> = cts
                .iter()
                .zip(&out_avals)
                .map(|(ct, aval)| match ct {
                    Cotangent::Value(_) => Cotangent::Value(step.input(aval.clone())),
                    Cotangent::Zero => Cotangent::Zero,
                })
                .collect();
            let results = backward(&mut step, branch, &operands, &cts)?;
            let mut outputs = Vec::new();
            for (operand, ct) in operands.iter().zip(results) {
                if let Operand::Linear(aval) = operand {
                    outputs.push(ct.instantiate(&mut step, aval));
                }
            }
            branches.push(Arc::new(step.finish(outputs)));
        }
        let known = operands.iter().filter(|x| !x.is_linear()).map(Operand::known);
        let values = cts.iter().filter_map(|ct| ct.value());
        let inputs: Vec<Atom> = std::iter::once(index.known()).chain(known).chain(values).collect();
        let mut results = b.bind(Cond { branches }, &inputs).into_iter();
        let of = |operand: &Operand| match operand {
            Operand::Linear(_) => {
                Cotangent::Value(results.next().expect("internal: one for each linear operand"))
            }
            Operand::Known(_) => Cotangent::Zero,
        };
        let mut all = vec![Cotangent::Zero];
        all.extend(operands.iter().map(of));
        Ok(all)
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let mapped: Vec<bool> = inputs[1..].iter().map(|x| x.is_mapped()).collect();
        let none = vec![false; self.branches[0].outputs.len()];
        if inputs[0].is_mapped() {
            return self.batch_all_branches(b, size, inputs);
        }
        let out = self.union(|branch| transform::vmap(branch, size, &mapped, &none).mapped);
        let prim = self.each(|branch| transform::vmap(branch, size, &mapped, &out).program);
        let atoms: Vec<Atom> = inputs.iter().map(|x| x.atom()).collect();
        let tag = |(output, mapped): (Atom, &bool)| match mapped {
            true => Batched::Mapped(output),
            false => Batched::Shared(output),
        };
        b.bind(prim, &atoms).into_iter().zip(&out).map(tag).collect()
    }

    fn examples() -> Vec<Example<Self>> {
        use DType::{F64, I32};
        let branch = |make: &dyn Fn(&mut Builder, Atom, Atom) -> [Atom; 2]| {
            let mut b = Builder::new();
            let (x, y) = (b.input(Aval::new(F64, [3])), b.input(Aval::scalar(F64)));
            let outputs = make(&mut b, x, y);
            Arc::new(b.finish(outputs.to_vec()))
        };
        let product = branch(&|b, x, y| {
            let sin = b.unary(Unary::Sin, x);
            [b.mul(sin, y), y]
        });
        let through = branch(&|b, x, y| [x, b.mul(y, y)]);
        let constant = branch(&|b, x, _| {
            let aval = b.aval(x);
            [b.full(2.0, &aval), Atom::Lit(Scalar::F64(1.0))]
        });
        let inputs = vec![Aval::scalar(I32), Aval::new(F64, [3]), Aval::scalar(F64)];
        vec![
            (Cond { branches: vec![product.clone()] }, inputs.clone()),
            (Cond { branches: vec![product.clone(), through.clone()] }, inputs.clone()),
            (Cond { branches: vec![constant, through, product] }, inputs),
        ]
    }
}

impl Cond {
    /// Where examples choose differently, all branches run and each example takes its own.
    fn batch_all_branches(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let last = self.branches.len() as f64 - 1.0;
        let index = inputs[0].atom();
        let (least, most) = (b.lit(0.0, index), b.lit(last, index));
        let index = b.binary(Binary::Max, index, least);
        let index = b.binary(Binary::Min, index, most);
        let mut chosen: Vec<Atom> = Vec::new();
        for (i, branch) in self.branches.iter().enumerate() {
            let outputs: Vec<Atom> = transform::vmap_into(b, branch, size, &inputs[1..])
                .into_iter()
                .map(|output| output.materialize(b, size))
                .collect();
            if i == 0 {
                chosen = outputs;
                continue;
            }
            let this = b.lit(i as f64, index);
            let here = b.binary(Binary::Eq, index, this);
            for (chosen, output) in chosen.iter_mut().zip(outputs) {
                let shape = b.aval(output).shape;
                let here = b.broadcast(here, &shape, &[0]);
                *chosen = b.select(here, output, *chosen);
            }
        }
        chosen.into_iter().map(Batched::Mapped).collect()
    }
}

impl BodyRules for Cond {
    fn bodies(&self) -> Vec<&Arc<Program>> {
        self.branches.iter().collect()
    }

    fn partial_eval(&self, b: &mut PartialBuilder, inputs: &[Partial]) -> Vec<Partial> {
        if inputs[0].is_unknown() {
            let atoms: Vec<Atom> = inputs.iter().map(|&x| b.lift(x)).collect();
            let outputs = b.unknown.bind(self.clone(), &atoms);
            return outputs.into_iter().map(Partial::Unknown).collect();
        }
        let operands = &inputs[1..];
        let unknown: Vec<bool> = operands.iter().map(|x| x.is_unknown()).collect();
        let none = vec![false; self.branches[0].outputs.len()];
        let split =
            |branch: &Program, force: &[bool]| transform::partial_eval(branch, &unknown, force);
        let unknown_out = self.union(|branch| split(branch, &none).unknown_out);
        let splits: Vec<_> =
            self.branches.iter().map(|branch| split(branch, &unknown_out)).collect();

        // One slot serves residuals of one type of different branches.
        let mut slots: Vec<Aval> = Vec::new();
        let slots_of: Vec<Vec<usize>> = splits
            .iter()
            .map(|split| {
                let mut taken = vec![false; slots.len()];
                let mut place = |aval: &Aval| {
                    let free = (0..slots.len()).find(|&i| !taken[i] && slots[i] == *aval);
                    let i = free.unwrap_or_else(|| {
                        slots.push(aval.clone());
                        taken.push(false);
                        slots.len() - 1
                    });
                    taken[i] = true;
                    i
                };
                split.residuals.iter().map(&mut place).collect()
            })
            .collect();

        let n_known_out = unknown_out.iter().filter(|&&unknown| !unknown).count();
        let (mut known_branches, mut unknown_branches) = (Vec::new(), Vec::new());
        for (split, slots_of) in splits.iter().zip(&slots_of) {
            let mut known = Builder::new();
            let atoms = known.inputs(&split.known.input_avals());
            let outputs = known.inline(&split.known, &atoms);
            let (outs, residuals) = outputs.split_at(n_known_out);
            let filled: Vec<Atom> = slots
                .iter()
                .enumerate()
                .map(|(i, aval)| match slots_of.iter().position(|&slot| slot == i) {
                    Some(residual) => residuals[residual],
                    None => known.full(0.0, aval),
                })
                .collect();
            known_branches.push(Arc::new(known.finish([outs, &filled].concat())));

            let mut rest = Builder::new();
            let n_unknown = positions(&unknown).len();
            let atoms = rest.inputs(&split.unknown.input_avals()[..n_unknown]);
            let slot_atoms = rest.inputs(&slots);
            let residuals: Vec<Atom> = slots_of.iter().map(|&slot| slot_atoms[slot]).collect();
            let outputs = rest.inline(&split.unknown, &[atoms, residuals].concat());
            unknown_branches.push(Arc::new(rest.finish(outputs)));
        }

        let known_operands = operands.iter().filter(|x| !x.is_unknown()).map(|x| x.known());
        let index = inputs[0].known();
        let known_inputs: Vec<Atom> = std::iter::once(index).chain(known_operands).collect();
        let mut known = b.known.bind(Cond { branches: known_branches }, &known_inputs);
        let residuals = known.split_off(n_known_out);
        let mut unknown_inputs = vec![b.residual(index)];
        for &operand in operands.iter().filter(|x| x.is_unknown()) {
            unknown_inputs.push(b.lift(operand));
        }
        for residual in residuals {
            unknown_inputs.push(b.residual(residual));
        }
        let rest = b.unknown.bind(Cond { branches: unknown_branches }, &unknown_inputs);
        let (mut known, mut rest) = (known.into_iter(), rest.into_iter());
        let outputs = unknown_out.iter().map(|&unknown| match unknown {
            true => rest.next().map(Partial::Unknown),
            false => known.next().map(Partial::Known),
        });
        outputs.map(|output| output.expect("internal: one for each output")).collect()
    }

    fn dce(&self, used: &[bool]) -> Kept {
        let mut inputs = vec![false; self.branches[0].inputs.len()];
        for branch in &self.branches {
            let live = live_inputs(branch, used);
            inputs.iter_mut().zip(live).for_each(|(all, live)| *all |= live);
        }
        let smaller = |branch| dce_inputs(branch, used, &inputs).0;
        let prim = Cond { branches: self.branches.iter().map(smaller).collect() };
        Kept { prim: prim.into(), inputs: [vec![true], inputs].concat(), outputs: used.to_vec() }
    }
}
