//! Static ranges.

use super::*;

/// Along each axis, `sizes[i]` elements from `starts[i]` in steps of `steps[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The first index along each axis.
    pub starts: Vec<usize>,
    /// The shape of the result.
    pub sizes: Vec<usize>,
    /// The distance between neighbours along each axis; at least 1.
    pub steps: Vec<usize>,
}

impl Slice {
    /// Everything, but for `axis`, of which `size` elements from `start`.
    pub(in crate::prim) fn along(shape: &Shape, axis: usize, start: usize, size: usize) -> Slice {
        Slice::strided(shape, axis, start, size, 1)
    }

    /// Everything, but for `axis`, of which `size` elements from `start` in steps of `step`.
    pub(in crate::prim) fn strided(
        shape: &Shape,
        axis: usize,
        start: usize,
        size: usize,
        step: usize,
    ) -> Slice {
        let (mut starts, mut steps) = (vec![0; shape.rank()], vec![1; shape.rank()]);
        starts[axis] = start;
        steps[axis] = step;
        Slice { starts, sizes: shape.with(axis, size).to_vec(), steps }
    }
}

impl Rules for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn params(&self) -> Params {
        Params::new()
            .with("starts", &self.starts)
            .with("sizes", &self.sizes)
            .with("steps", &self.steps)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "slice").then_some(())?;
        Some(Slice {
            starts: params.sizes("starts")?,
            sizes: params.sizes("sizes")?,
            steps: params.sizes("steps")?,
        })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        check_len("starts", self.starts.len(), x.rank())?;
        check_len("sizes", self.sizes.len(), x.rank())?;
        check_len("steps", self.steps.len(), x.rank())?;
        for (axis, &extent) in x.shape.iter().enumerate() {
            let (start, size, step) = (self.starts[axis], self.sizes[axis], self.steps[axis]);
            if step == 0 {
                return Err(Misfit::new(format!("the step of axis {axis} is 0")));
            }
            let span = if size == 0 { Some(0) } else { (size - 1).checked_mul(step) };
            let end = span.and_then(|span| start.checked_add(span)?.checked_add(size.min(1)));
            if end.is_none_or(|end| end > extent) {
                return Err(Misfit::new(format!(
                    "{size} elements from {start} in steps of {step} leave axis {axis}, \
                     of size {extent}"
                )));
            }
        }
        Ok(vec![x.reshaped(&*self.sizes)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        // The step from a lone element leads nowhere and may be of any size.
        let step = |(&step, &size): (&usize, &usize)| if size > 1 { step } else { 1 };
        let steps: Vec<usize> = self.steps.iter().zip(&self.sizes).map(step).collect();
        vec![inputs[0].slice(&self.starts, &self.sizes, &steps)]
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
        let mut pad = Pad::edges(&vec![0; shape.rank()], &vec![0; shape.rank()]);
        for (axis, &extent) in shape.iter().enumerate() {
            let (start, size, step) = (self.starts[axis], self.sizes[axis], self.steps[axis]);
            let end = if size == 0 { start } else { start + (size - 1) * step + 1 };
            pad.low[axis] = start as i64;
            pad.high[axis] = (extent - end) as i64;
            pad.interior[axis] = if size > 1 { step - 1 } else { 0 };
        }
        linear_transpose(cts[0], |ct| {
            let zero = b.lit(0.0, ct);
            b.bind1(pad, &[ct, zero])
        })
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let batched = Slice {
            starts: prepend(0, &self.starts),
            sizes: prepend(size, &self.sizes),
            steps: prepend(1, &self.steps),
        };
        batch_one(b, batched, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |starts: &[usize], sizes: &[usize], steps: &[usize], operand: &[usize]| {
            let (starts, sizes, steps) = (starts.into(), sizes.into(), steps.into());
            (Slice { starts, sizes, steps }, vec![Aval::new(DType::F64, operand)])
        };
        let mut examples = vec![
            example(&[], &[], &[], &[]),
            example(&[0, 0], &[2, 3], &[1, 1], &[2, 3]),
            example(&[1, 0], &[3, 2], &[2, 3], &[8, 5]),
            example(&[4], &[1], &[7], &[5]),
            example(&[5], &[0], &[2], &[5]),
            example(&[2, 0], &[0, 2], &[1, 1], &[4, 3]),
            example(&[0], &[0], &[1], &[0]),
        ];
        examples.extend(DType::ALL.map(|dtype| {
            let prim = Slice { starts: vec![1], sizes: vec![2], steps: vec![2] };
            (prim, vec![Aval::new(dtype, [5])])
        }));
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_stay_inside() {
        let x = [Aval::new(DType::F64, [5])];
        let slice = |start, size, step| {
            Slice { starts: vec![start], sizes: vec![size], steps: vec![step] }.infer(&x).is_ok()
        };
        assert!(slice(0, 3, 2) && slice(4, 1, usize::MAX) && slice(5, 0, 1));
        assert!(!slice(1, 3, 2) && !slice(6, 0, 1) && !slice(0, 2, usize::MAX) && !slice(0, 1, 0));
    }
}
