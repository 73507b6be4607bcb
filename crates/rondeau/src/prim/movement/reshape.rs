//! Another shape for the same values.

use super::*;

/// Another shape for the same values in row-major order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The shape of the result.
    pub shape: Shape,
}

impl Rules for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn params(&self) -> Params {
        Params::new().with("shape", &*self.shape)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "reshape").then_some(())?;
        Some(Reshape { shape: params.sizes("shape")?.into() })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        let (from, to) = (x.shape.count(), self.shape.count());
        if from != to {
            return Err(Misfit::new(format!(
                "{} has {from} elements, and {} has {to}",
                x.shape, self.shape
            )));
        }
        Ok(vec![x.reshaped(&self.shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        vec![inputs[0].reshape(&self.shape)]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        linear_jvp(b, self.clone(), primals[0], tangents[0])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let shape = inputs[0].aval(b).shape;
        linear_transpose(cts[0], |ct| b.reshape(ct, &shape))
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_one(b, Reshape { shape: self.shape.prepend(size) }, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |shape: &[usize], operand: &[usize]| {
            (Reshape { shape: shape.into() }, vec![Aval::new(DType::F64, operand)])
        };
        let mut examples = vec![
            example(&[], &[]),
            example(&[1, 1], &[]),
            example(&[], &[1]),
            example(&[3, 2], &[2, 3]),
            example(&[2, 3], &[2, 3]),
            example(&[4, 0], &[0, 3]),
        ];
        examples.extend(
            DType::ALL.map(|dtype| (Reshape { shape: [6].into() }, vec![Aval::new(dtype, [2, 3])])),
        );
        examples
    }
}
