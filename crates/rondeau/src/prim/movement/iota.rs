//! Counting along an axis, which moves nothing and reads nothing.

use super::*;
use crate::buffer::{Element, Scalar, dispatch};

/// Counts 0, 1, 2 ... along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// The element type: numbers.
    pub dtype: DType,
    /// The shape of the result.
    pub shape: Shape,
    /// The axis along which it counts; it is constant along the others.
    pub axis: usize,
}

impl Rules for Iota {
    fn name(&self) -> &'static str {
        "iota"
    }

    fn params(&self) -> Params {
        Params::new()
            .with("dtype", self.dtype.name())
            .with("shape", &*self.shape)
            .with("axis", self.axis)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "iota").then_some(())?;
        Some(Iota {
            dtype: DType::from_name(params.word("dtype")?)?,
            shape: params.sizes("shape")?.into(),
            axis: params.size("axis")?,
        })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        arity::<0>(inputs)?;
        check_axis(self.axis, self.shape.rank())?;
        if self.dtype == DType::Bool {
            return Err(Misfit::new("counts in numbers, not bool"));
        }
        Ok(vec![Aval::new(self.dtype, &self.shape)])
    }

    fn eval(&self, _inputs: &[Buffer]) -> Vec<Buffer> {
        let n = self.shape[self.axis];
        let counts = dispatch!(number self.dtype, T => {
            let count = |i: usize| T::from_scalar(Scalar::of(i as f64, self.dtype));
            Buffer::new(n, (0..n).map(count).collect::<Vec<T>>())
        });
        vec![counts.broadcast(&self.shape, &[self.axis])]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        _primals: &[Atom],
        _tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        (vec![b.bind1(self.clone(), &[])], vec![Tangent::Zero])
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        Ok(vec![])
    }

    fn batch(&self, b: &mut Builder, _size: usize, _inputs: &[Batched]) -> Vec<Batched> {
        vec![Batched::Shared(b.bind1(self.clone(), &[]))]
    }

    fn examples() -> Vec<Example<Self>> {
        let numbers = [DType::F32, DType::F64, DType::I32, DType::U32];
        let mut examples: Vec<_> = numbers
            .into_iter()
            .map(|dtype| (Iota { dtype, shape: [2, 3].into(), axis: 1 }, vec![]))
            .collect();
        examples.push((Iota { dtype: DType::F64, shape: [3, 2].into(), axis: 0 }, vec![]));
        examples.push((Iota { dtype: DType::F64, shape: [0].into(), axis: 0 }, vec![]));
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iota_counts_along_its_axis() {
        let iota = Iota { dtype: DType::U32, shape: [2, 3].into(), axis: 1 };
        assert_eq!(*iota.eval(&[])[0].values::<u32>(), [0, 1, 2, 0, 1, 2]);
    }
}
