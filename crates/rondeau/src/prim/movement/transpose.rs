//! Another order of axes.

use super::*;

/// Permutes axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// Axis `i` of the result is the operand's axis `permutation[i]`.
    pub permutation: Vec<usize>,
}

impl Rules for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn params(&self) -> Params {
        Params::new().with("permutation", &self.permutation)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "transpose").then_some(())?;
        Some(Transpose { permutation: params.sizes("permutation")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        check_len("permutation", self.permutation.len(), x.rank())?;
        check_axes(&self.permutation, x.rank())?;
        let shape: Shape = self.permutation.iter().map(|&axis| x.shape[axis]).collect();
        Ok(vec![x.reshaped(shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        vec![inputs[0].transpose(&self.permutation)]
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
        let mut inverse = vec![0; self.permutation.len()];
        for (to, &from) in self.permutation.iter().enumerate() {
            inverse[from] = to;
        }
        linear_transpose(cts[0], |ct| b.permute(ct, &inverse))
    }

    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_one(b, Transpose { permutation: prepend(0, &shift(&self.permutation)) }, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |permutation: &[usize], operand: &[usize]| {
            let prim = Transpose { permutation: permutation.into() };
            (prim, vec![Aval::new(DType::F64, operand)])
        };
        let mut examples = vec![
            example(&[], &[]),
            example(&[0], &[3]),
            example(&[1, 0], &[2, 3]),
            example(&[2, 0, 1], &[2, 3, 4]),
            example(&[1, 2, 0], &[2, 0, 4]),
        ];
        examples.extend(
            DType::ALL.map(|dtype| {
                (Transpose { permutation: vec![1, 0] }, vec![Aval::new(dtype, [2, 3])])
            }),
        );
        examples
    }
}
