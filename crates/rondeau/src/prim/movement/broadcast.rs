//! Repeating values along axes.

use super::*;

/// Repeats along new axes and axes of size 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Shape,
    /// The operand's axis `i` becomes axis `axes[i]` of `shape`; strictly increasing.
    pub axes: Vec<usize>,
}

impl Rules for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn params(&self) -> Params {
        Params::new().with("shape", &*self.shape).with("axes", &self.axes)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "broadcast").then_some(())?;
        Some(Broadcast { shape: params.sizes("shape")?.into(), axes: params.sizes("axes")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        check_len("axes", self.axes.len(), x.rank())?;
        if let Some(pair) = self.axes.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Misfit::new(format!("axis {} comes after axis {}", pair[1], pair[0]))
                .help("name the axes in increasing order, and transpose first"));
        }
        for (&axis, &size) in self.axes.iter().zip(x.shape.iter()) {
            check_axis(axis, self.shape.rank())?;
            if size != 1 && size != self.shape[axis] {
                return Err(Misfit::new(format!(
                    "an axis of size {size} does not repeat to size {}",
                    self.shape[axis]
                )));
            }
        }
        Ok(vec![x.reshaped(&self.shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        vec![inputs[0].broadcast(&self.shape, &self.axes)]
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
        let operand = inputs[0].aval(b).shape;
        // What repeats: the new axes, and axes of size 1 that became longer (or empty).
        let repeats = |axis: &usize| match self.axes.iter().position(|to| to == axis) {
            Some(from) => operand[from] != self.shape[*axis],
            None => true,
        };
        let repeated: Vec<usize> = (0..self.shape.rank()).filter(repeats).collect();
        linear_transpose(cts[0], |ct| {
            let sum = b.sum(ct, &repeated);
            b.reshape(sum, &operand)
        })
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let axes = prepend(0, &shift(&self.axes));
        batch_one(b, Broadcast { shape: self.shape.prepend(size), axes }, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |shape: &[usize], axes: &[usize], operand: &[usize]| {
            let aval = Aval::new(DType::F64, operand);
            (Broadcast { shape: shape.into(), axes: axes.into() }, vec![aval])
        };
        let mut examples = vec![
            example(&[], &[], &[]),
            example(&[2, 3], &[], &[]),
            example(&[2, 3], &[0, 1], &[2, 3]),
            example(&[2, 3, 4], &[0, 2], &[2, 4]),
            example(&[2, 3, 4], &[1, 2], &[1, 4]),
            example(&[2, 1, 4], &[1], &[1]),
            example(&[0, 3], &[1], &[3]),
            example(&[0, 3], &[0, 1], &[1, 3]),
            example(&[2, 0], &[1], &[0]),
        ];
        examples.extend(DType::ALL.map(|dtype| {
            let prim = Broadcast { shape: [2, 3].into(), axes: vec![1] };
            (prim, vec![Aval::new(dtype, [3])])
        }));
        examples
    }
}
