//! Other element types for the same numbers, or for the same bits.

use super::*;
use crate::buffer::dispatch;

/// Changes the element type: floats to integers truncate and saturate, NaN gives 0; anything but
/// zero is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convert {
    /// The element type of the result.
    pub dtype: DType,
}

impl Rules for Convert {
    fn name(&self) -> &'static str {
        "convert"
    }

    fn params(&self) -> Params {
        Params::new().with("to", self.dtype.name())
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "convert").then_some(())?;
        Some(Convert { dtype: DType::from_name(params.word("to")?)? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        Ok(vec![Aval::new(self.dtype, x.shape.clone())])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let x = &inputs[0];
        vec![dispatch!(all x.dtype(), T => {
            dispatch!(all self.dtype, U => map1(x, |x: T| <U as Element>::from_scalar(
                Element::scalar(x)
            )))
        })]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let y = b.bind1(*self, &[primals[0]]);
        let dy = match tangents[0] {
            Tangent::Value(dx) if self.dtype.is_float() => Tangent::Value(b.bind1(*self, &[dx])),
            _ => Tangent::Zero,
        };
        (vec![y], vec![dy])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let dtype = inputs[0].aval(b).dtype;
        Ok(vec![match cts[0] {
            Cotangent::Value(ct) => Cotangent::Value(b.convert(ct, dtype)),
            Cotangent::Zero => Cotangent::Zero,
        }])
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for from in DType::ALL {
            for to in DType::ALL {
                examples.push((Convert { dtype: to }, vec![Aval::new(from, [2, 3])]));
            }
        }
        examples
    }
}

/// Reads the bits of 32-bit elements as another 32-bit element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bitcast {
    /// The element type of the result.
    pub dtype: DType,
}

impl Rules for Bitcast {
    fn name(&self) -> &'static str {
        "bitcast"
    }

    fn params(&self) -> Params {
        Params::new().with("to", self.dtype.name())
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "bitcast").then_some(())?;
        Some(Bitcast { dtype: DType::from_name(params.word("to")?)? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        if x.dtype.size() != 4 || self.dtype.size() != 4 {
            return Err(Misfit::new(format!(
                "reads 32-bit elements as 32-bit elements, not {} as {}",
                x.dtype, self.dtype
            )));
        }
        Ok(vec![Aval::new(self.dtype, x.shape.clone())])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let x = &inputs[0];
        let bits = match x.dtype() {
            DType::F32 => map1(x, f32::to_bits),
            DType::I32 => map1(x, |x: i32| x as u32),
            _ => x.clone(),
        };
        vec![match self.dtype {
            DType::F32 => map1(&bits, f32::from_bits),
            DType::I32 => map1(&bits, |x: u32| x as i32),
            _ => bits,
        }]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        _tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        (vec![b.bind1(*self, &[primals[0]])], vec![Tangent::Zero])
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        panic!("internal: bitcast is not linear")
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let wide = [DType::F32, DType::I32, DType::U32];
        wide.into_iter()
            .flat_map(|from| wide.map(|to| (Bitcast { dtype: to }, vec![Aval::new(from, [3])])))
            .collect()
    }
}
