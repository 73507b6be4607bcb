//! Edges and gaps of one value, and the inverse: cropping.

use super::*;
use crate::buffer::{Element, Scalar, dispatch};
use crate::ir::Value;

/// Surrounds the first input by copies of the second, a scalar, and puts copies between its
/// elements. Negative edges crop, after the gaps are filled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Elements before the first along each axis.
    pub low: Vec<i64>,
    /// Elements after the last along each axis.
    pub high: Vec<i64>,
    /// Elements between neighbours along each axis.
    pub interior: Vec<usize>,
}

impl Pad {
    /// Edges without gaps.
    pub(in crate::prim) fn edges(low: &[i64], high: &[i64]) -> Pad {
        Pad { low: low.into(), high: high.into(), interior: vec![0; low.len()] }
    }

    /// Edges and gaps along one axis.
    pub(in crate::prim) fn along(
        rank: usize,
        axis: usize,
        low: i64,
        high: i64,
        interior: usize,
    ) -> Pad {
        let mut pad = Pad::edges(&vec![0; rank], &vec![0; rank]);
        pad.low[axis] = low;
        pad.high[axis] = high;
        pad.interior[axis] = interior;
        pad
    }

    /// The size of an axis of the result.
    fn extent(&self, axis: usize, size: usize) -> i128 {
        let filled = size as i128 + size.saturating_sub(1) as i128 * self.interior[axis] as i128;
        filled + i128::from(self.low[axis]) + i128::from(self.high[axis])
    }

    /// The same for all examples.
    fn prepend(&self) -> Pad {
        Pad {
            low: prepend(0, &self.low),
            high: prepend(0, &self.high),
            interior: prepend(0, &self.interior),
        }
    }

    fn eval_typed<T: Element>(&self, x: &Buffer, value: T, shape: &Shape) -> Buffer {
        // The operand's elements `first..first + count` along each axis land inside the result,
        // the first of them at `start`, in steps of `step`.
        let rank = shape.rank();
        let (mut firsts, mut counts, mut starts) = (vec![0; rank], vec![0; rank], vec![0; rank]);
        let mut steps = vec![1; rank];
        for axis in 0..rank {
            let (low, step) = (i128::from(self.low[axis]), self.interior[axis] as i128 + 1);
            let (size, extent) = (x.shape()[axis] as i128, shape[axis] as i128);
            // The least i with low + i·step >= 0, and with low + i·step >= extent.
            let reaching = |index: i128| ((index - low + step - 1).div_euclid(step)).clamp(0, size);
            let (first, end) = (reaching(0), reaching(extent));
            if first >= end {
                return Buffer::splat(value.scalar(), shape);
            }
            firsts[axis] = first as usize;
            counts[axis] = (end - first) as usize;
            starts[axis] = (low + first * step) as isize;
            steps[axis] = if end - first > 1 { step as isize } else { 1 };
        }
        let mut padded = vec![value; shape.count()];
        let source = x.slice(&firsts, &counts, &vec![1; rank]);
        let (values, offset) = source.raw::<T>();
        let strides = shape.strides();
        let start: isize = starts.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        let to: Vec<isize> =
            steps.iter().zip(&strides).map(|(step, stride)| step * stride).collect();
        walk_both(&counts, [source.strides(), &to], [offset as isize, start], &mut |run| {
            let [from, to] = run.starts;
            if run.strides == [1, 1] {
                let (from, to) = (from as usize, to as usize);
                padded[to..to + run.n].copy_from_slice(&values[from..from + run.n]);
                return;
            }
            for i in 0..run.n as isize {
                padded[(to + i * run.strides[1]) as usize] =
                    values[(from + i * run.strides[0]) as usize];
            }
        });
        Buffer::new(shape, padded)
    }

    /// Whether each element of the result is one of the operand, which has this shape.
    fn mask(&self, b: &mut Builder, operand: &Shape) -> Atom {
        let all = b.full(1.0, &Aval::new(DType::Bool, operand));
        b.bind1(self.clone(), &[all, Atom::Lit(Scalar::Bool(false))])
    }
}

impl Rules for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn params(&self) -> Params {
        let ints = |ints: &[i64]| Value::List(ints.iter().map(|&n| n.into()).collect());
        Params::new()
            .with("low", ints(&self.low))
            .with("high", ints(&self.high))
            .with("interior", &self.interior)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "pad").then_some(())?;
        let ints = |name: &str| -> Option<Vec<i64>> {
            let int = |value: &Value| match value {
                Value::Int(n) => Some(*n),
                _ => None,
            };
            params.get(name)?.items()?.iter().map(int).collect()
        };
        Some(Pad { low: ints("low")?, high: ints("high")?, interior: params.sizes("interior")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x, value] = arity(inputs)?;
        if value.rank() != 0 || value.dtype != x.dtype {
            return Err(Misfit::new(format!("pads {x} with a value of type {}[]", x.dtype))
                .help(format!("the value is {value}")));
        }
        check_len("low", self.low.len(), x.rank())?;
        check_len("high", self.high.len(), x.rank())?;
        check_len("interior", self.interior.len(), x.rank())?;
        let mut shape = x.shape.clone();
        for (axis, &size) in x.shape.iter().enumerate() {
            let (low, high, extent) = (self.low[axis], self.high[axis], self.extent(axis, size));
            if low.checked_neg().is_none() || high.checked_neg().is_none() || extent < 0 {
                return Err(Misfit::new(format!(
                    "edges of {low} and {high} crop axis {axis}, of size {size}, to size {extent}"
                )));
            }
            // What does not fit is refused as too large.
            shape = shape.with(axis, usize::try_from(extent).unwrap_or(usize::MAX));
        }
        Ok(vec![x.reshaped(shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (x, value) = (&inputs[0], inputs[1].first());
        let shape: Shape = x
            .shape()
            .iter()
            .enumerate()
            .map(|(axis, &size)| self.extent(axis, size) as usize)
            .collect();
        vec![dispatch!(all x.dtype(), T => self.eval_typed::<T>(x, T::from_scalar(value), &shape))]
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
        let dx = tangents[0].instantiate(b, primals[0]);
        let dvalue = tangents[1].instantiate(b, primals[1]);
        let dy = b.bind1(self.clone(), &[dx, dvalue]);
        (vec![y], vec![Tangent::Value(dy)])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let Cotangent::Value(ct) = cts[0] else {
            return Ok(vec![Cotangent::Zero; 2]);
        };
        let (x, zero) = (inputs[0].aval(b), b.lit(0.0, ct));
        let mut result = vec![Cotangent::Zero; 2];
        if inputs[0].is_linear() {
            // Crops the edges, fills in zeros for what was cropped, and skips the gaps.
            let minus = |edges: &[i64]| edges.iter().map(|n| -n).collect::<Vec<_>>();
            let edges = Pad::edges(&minus(&self.low), &minus(&self.high));
            let filled = b.bind1(edges, &[ct, zero]);
            let gaps = Slice {
                starts: vec![0; x.rank()],
                sizes: x.shape.to_vec(),
                steps: self.interior.iter().map(|n| n + 1).collect(),
            };
            result[0] = Cotangent::Value(b.bind1(gaps, &[filled]));
        }
        if inputs[1].is_linear() {
            let operand = self.mask(b, &x.shape);
            let rest = b.select(operand, zero, ct);
            let axes: Vec<usize> = (0..x.rank()).collect();
            result[1] = Cotangent::Value(b.sum(rest, &axes));
        }
        Ok(result)
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let (x, value) = (inputs[0], inputs[1]);
        let Batched::Mapped(value) = value else {
            return vec![Batched::Mapped(b.bind1(self.prepend(), &[x.atom(), value.atom()]))];
        };
        // Each example has its value, so that a mask says where the operand shows.
        let x = x.materialize(b, size);
        let zero = b.lit(0.0, x);
        let padded = b.bind1(self.prepend(), &[x, zero]);
        let shape = b.aval(padded).shape;
        let operand = self.mask(b, &b.aval(x).shape.without(0));
        let operand = b.repeat(operand, size);
        let values = b.broadcast(value, &shape, &[0]);
        vec![Batched::Mapped(b.select(operand, padded, values))]
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |low: &[i64], high: &[i64], interior: &[usize], operand: &[usize]| {
            let prim = Pad { low: low.into(), high: high.into(), interior: interior.into() };
            (prim, vec![Aval::new(DType::F64, operand), Aval::scalar(DType::F64)])
        };
        let mut examples = vec![
            example(&[], &[], &[], &[]),
            example(&[1, 0], &[2, 3], &[0, 0], &[2, 3]),
            example(&[1, 2], &[-1, 0], &[2, 1], &[3, 2]),
            example(&[-1], &[-2], &[0], &[5]),
            example(&[-3], &[6], &[1], &[4]),
            example(&[-9], &[9], &[0], &[3]),
            example(&[2], &[1], &[3], &[0]),
            example(&[-1], &[-1], &[0], &[2]),
            example(&[0, 1], &[0, 1], &[0, 0], &[0, 2]),
        ];
        examples.extend(DType::ALL.map(|dtype| {
            let prim = Pad { low: vec![1], high: vec![-1], interior: vec![1] };
            (prim, vec![Aval::new(dtype, [3]), Aval::scalar(dtype)])
        }));
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f64s(values: &[f64]) -> Buffer {
        Buffer::new(values.len(), values.to_vec())
    }

    fn pad(x: &[f64], low: i64, high: i64, interior: usize) -> Vec<f64> {
        let pad = Pad { low: vec![low], high: vec![high], interior: vec![interior] };
        let inputs = [f64s(x), Buffer::scalar(Scalar::F64(9.0))];
        let inferred = pad.infer(&inputs.each_ref().map(Aval::of)).unwrap();
        let y = pad.eval(&inputs).remove(0);
        assert_eq!(Aval::of(&y), inferred[0]);
        y.values::<f64>().to_vec()
    }

    #[test]
    fn negative_edges_crop_after_the_gaps_are_filled() {
        assert_eq!(pad(&[1., 2., 3.], 1, -1, 1), [9., 1., 9., 2., 9.]);
        assert_eq!(pad(&[1., 2., 3.], -1, 1, 1), [9., 2., 9., 3., 9.]);
        assert_eq!(pad(&[1., 2., 3.], -3, 2, 1), [9., 3., 9., 9.]);
        assert_eq!(pad(&[1., 2., 3.], -5, 3, 0), [9.]);
        assert_eq!(pad(&[1., 2., 3.], 4, -3, 0), [9., 9., 9., 9.]);
        assert_eq!(pad(&[], 2, -1, 5), [9.]);
        assert_eq!(pad(&[1., 2.], 0, -2, 0), [0.; 0]);
    }

    #[test]
    fn padding_goes_around_rows_and_columns_of_a_view() {
        let x = Buffer::new([2, 3], vec![1, 2, 3, 4, 5, 6]).transpose(&[1, 0]);
        let pad = Pad { low: vec![0, 1], high: vec![-1, 0], interior: vec![0, 1] };
        let y = pad.eval(&[x, Buffer::scalar(Scalar::I32(0))]).remove(0);
        assert_eq!(*y.shape(), Shape::from([2, 4]));
        assert_eq!(*y.values::<i32>(), [0, 1, 0, 4, 0, 2, 0, 5]);
    }

    #[test]
    fn padding_that_leaves_less_than_nothing_is_refused() {
        let avals = [Aval::new(DType::F64, [2]), Aval::scalar(DType::F64)];
        assert!(Pad::edges(&[-1], &[-2]).infer(&avals).is_err());
        assert!(Pad::edges(&[i64::MIN], &[i64::MIN]).infer(&avals).is_err());
        assert!(Pad::edges(&[-1], &[-1]).infer(&avals).is_ok());
    }
}
