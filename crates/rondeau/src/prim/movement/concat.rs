//! Joining along an axis.

use super::*;
use crate::buffer::dispatch;

/// Joins along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis along which the sizes add up.
    pub axis: usize,
}

impl Rules for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn params(&self) -> Params {
        Params::new().with("axis", self.axis)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "concat").then_some(())?;
        Some(Concat { axis: params.size("axis")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let Some(first) = inputs.first() else {
            return Err(Misfit::new("joins at least one array, and there is none"));
        };
        check_axis(self.axis, first.rank())?;
        let mut size = 0usize;
        for aval in inputs {
            if aval.dtype != first.dtype {
                return Err(Misfit::new(format!(
                    "{} and {} are different element types",
                    first.dtype, aval.dtype
                ))
                .help("convert one of them with `.to(..)`"));
            }
            if aval.rank() != first.rank()
                || aval.shape.with(self.axis, 0) != first.shape.with(self.axis, 0)
            {
                return Err(Misfit::new(format!(
                    "{} and {} differ in more than the size of axis {}",
                    first.shape, aval.shape, self.axis
                )));
            }
            size = size.saturating_add(aval.shape[self.axis]);
        }
        Ok(vec![first.reshaped(first.shape.with(self.axis, size))])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        // What is empty along the axis adds nothing.
        let parts: Vec<&Buffer> = inputs.iter().filter(|x| x.shape()[self.axis] > 0).collect();
        match parts[..] {
            [] => return vec![inputs[0].clone()],
            [one] => return vec![one.clone()],
            _ => {}
        }
        let size = parts.iter().map(|x| x.shape()[self.axis]).sum();
        let shape = parts[0].shape().with(self.axis, size);
        vec![dispatch!(all parts[0].dtype(), T => {
            let rows: Vec<_> = parts.iter().map(|x| x.values::<T>()).collect();
            let n_rows: usize = shape[..self.axis].iter().product();
            let mut values = Vec::with_capacity(shape.count());
            for i in 0..n_rows {
                for part in &rows {
                    let n = part.len() / n_rows;
                    values.extend_from_slice(&part[i * n..(i + 1) * n]);
                }
            }
            Buffer::new(shape, values)
        })]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let y = b.bind1(self.clone(), primals);
        if tangents.iter().all(|&tangent| tangent == Tangent::Zero) {
            return (vec![y], vec![Tangent::Zero]);
        }
        let pairs = primals.iter().zip(tangents);
        let dxs: Vec<Atom> = pairs.map(|(&x, dx)| dx.instantiate(b, x)).collect();
        let dy = b.bind1(self.clone(), &dxs);
        (vec![y], vec![Tangent::Value(dy)])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let Cotangent::Value(ct) = cts[0] else {
            return Ok(vec![Cotangent::Zero; inputs.len()]);
        };
        let shape = b.aval(ct).shape;
        let mut start = 0;
        let mut part = |operand: &Operand| {
            let size = operand.aval(b).shape[self.axis];
            start += size;
            if !operand.is_linear() {
                return Cotangent::Zero;
            }
            let slice = Slice::along(&shape, self.axis, start - size, size);
            Cotangent::Value(b.bind1(slice, &[ct]))
        };
        Ok(inputs.iter().map(&mut part).collect())
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let atoms: Vec<Atom> = inputs.iter().map(|x| x.materialize(b, size)).collect();
        vec![Batched::Mapped(b.bind1(Concat { axis: self.axis + 1 }, &atoms))]
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |axis: usize, operands: &[&[usize]]| {
            let avals = operands.iter().map(|&shape| Aval::new(DType::F64, shape)).collect();
            (Concat { axis }, avals)
        };
        let mut examples = vec![
            example(0, &[&[3]]),
            example(0, &[&[2, 3], &[1, 3]]),
            example(1, &[&[2, 3], &[2, 1], &[2, 2]]),
            example(0, &[&[0], &[3], &[0]]),
            example(1, &[&[2, 0], &[2, 0]]),
            example(1, &[&[0, 2], &[0, 3]]),
        ];
        examples.extend(
            DType::ALL.map(|dtype| {
                (Concat { axis: 0 }, vec![Aval::new(dtype, [2]), Aval::new(dtype, [1])])
            }),
        );
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concat_interleaves_the_rows_of_its_parts() {
        let x = Buffer::new([2, 2], vec![1, 2, 3, 4]);
        let y = Buffer::new([2, 1], vec![5, 6]);
        let empty = Buffer::new::<i32>([2, 0], vec![]);
        let z = Concat { axis: 1 }.eval(&[x, empty, y]).remove(0);
        assert_eq!(*z.values::<i32>(), [1, 2, 5, 3, 4, 6]);
    }
}
