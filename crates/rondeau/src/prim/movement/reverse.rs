//! Axes backwards.

use super::*;

/// Reverses axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reverse {
    /// The axes, each at most once.
    pub axes: Vec<usize>,
}

impl Rules for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn params(&self) -> Params {
        Params::new().with("axes", &self.axes)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "reverse").then_some(())?;
        Some(Reverse { axes: params.sizes("axes")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        check_axes(&self.axes, x.rank())?;
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        vec![inputs[0].reverse(&self.axes)]
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
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        linear_transpose(cts[0], |ct| b.bind1(self.clone(), &[ct]))
    }

    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_one(b, Reverse { axes: shift(&self.axes) }, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |axes: &[usize], operand: &[usize]| {
            (Reverse { axes: axes.into() }, vec![Aval::new(DType::F64, operand)])
        };
        let mut examples = vec![
            example(&[], &[]),
            example(&[0], &[4]),
            example(&[1], &[2, 3]),
            example(&[0, 2], &[2, 3, 2]),
            example(&[0], &[0, 3]),
        ];
        examples.extend(
            DType::ALL.map(|dtype| (Reverse { axes: vec![0] }, vec![Aval::new(dtype, [3])])),
        );
        examples
    }
}
