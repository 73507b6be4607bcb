//! The choice between two values by a condition.

use super::*;
use crate::buffer::{Scalar, dispatch};

/// Where the condition holds the second input, elsewhere the third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl Rules for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn params(&self) -> Params {
        Params::new()
    }

    fn from_params(name: &str, _params: &Params) -> Option<Self> {
        (name == "select").then_some(Select)
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [condition, _, _] = arity(inputs)?;
        if condition.dtype != DType::Bool {
            return Err(Misfit::new(format!(
                "the condition must be bool, not {}",
                condition.dtype
            ))
            .help("compare first, for example with `.gt(0.0)`"));
        }
        Ok(vec![Aval::new(same_dtype(&inputs[1..])?, common_shape(inputs)?)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let [condition, x, y] = inputs else { unreachable!("internal: three inputs") };
        let shape = result_shape(&[condition, x, y]);
        let chosen = dispatch!(all x.dtype(), T => {
            let pick = |lane: &Lane<'_, T>, i: usize| match lane {
                Lane::One(value) => *value,
                Lane::Each(values) => values[i],
            };
            match lane::<bool>(condition) {
                Lane::One(holds) => {
                    let chosen = if holds { x } else { y };
                    match chosen.shape().rank() {
                        0 => chosen.broadcast(&shape, &[]),
                        _ => chosen.clone(),
                    }
                }
                Lane::Each(conditions) => {
                    let (xs, ys) = match shape.count() {
                        0 => (Lane::Each(Cow::Borrowed(&[][..])), Lane::Each(Cow::Borrowed(&[][..]))),
                        _ => (lane::<T>(x), lane::<T>(y)),
                    };
                    let choose = |(i, &holds): (usize, &bool)| pick(if holds { &xs } else { &ys }, i);
                    Buffer::new(shape, conditions.iter().enumerate().map(choose).collect())
                }
            }
        });
        vec![chosen]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let z = b.select(primals[0], primals[1], primals[2]);
        let (dx, dy) = (tangents[1], tangents[2]);
        if dx == Tangent::Zero && dy == Tangent::Zero {
            return (vec![z], vec![Tangent::Zero]);
        }
        let aval = b.aval(z);
        let zero = Atom::Lit(Scalar::of(0.0, aval.dtype));
        let dx = dx.value().unwrap_or(zero);
        let dy = dy.value().unwrap_or(zero);
        let dz = b.select(primals[0], dx, dy);
        let dz =
            if b.aval(dz).shape == aval.shape { dz } else { b.broadcast(dz, &aval.shape, &[]) };
        (vec![z], vec![Tangent::Value(dz)])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let Cotangent::Value(ct) = cts[0] else {
            return Ok(vec![Cotangent::Zero; 3]);
        };
        let condition = inputs[0].known();
        let zero = b.lit(0.0, ct);
        let mut part = |operand: &Operand, x: Atom, y: Atom| {
            if !operand.is_linear() {
                return Cotangent::Zero;
            }
            let part = b.select(condition, x, y);
            let aval = operand.aval(b);
            Cotangent::Value(unrepeat(b, part, &aval))
        };
        Ok(vec![Cotangent::Zero, part(&inputs[1], ct, zero), part(&inputs[2], zero, ct)])
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for dtype in DType::ALL {
            let (condition, full) = (Aval::new(DType::Bool, [2, 3]), Aval::new(dtype, [2, 3]));
            let (one, scalar) = (Aval::scalar(DType::Bool), Aval::scalar(dtype));
            examples.push((Select, vec![condition.clone(), full.clone(), full.clone()]));
            examples.push((Select, vec![condition.clone(), scalar.clone(), full.clone()]));
            examples.push((Select, vec![condition, scalar.clone(), scalar.clone()]));
            examples.push((Select, vec![one, full, scalar]));
        }
        examples
    }
}
