//! Primitives that move elements and compute nothing: all are linear in what they move.

use super::elementwise::arity;
use super::*;
use crate::buffer::{DType, Element, Scalar, Shape, dispatch};
use crate::ir::Value;

/// Repeats along new axes and axes of size 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Shape,
    /// The operand's axis `i` becomes axis `axes[i]` of `shape`; strictly increasing.
    pub axes: Vec<usize>,
}

/// Another shape for the same values in row-major order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The shape of the result.
    pub shape: Shape,
}

/// Permutes axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// Axis `i` of the result is the operand's axis `permutation[i]`.
    pub permutation: Vec<usize>,
}

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

/// Joins along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis along which the sizes add up.
    pub axis: usize,
}

/// Reverses axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reverse {
    /// The axes, each at most once.
    pub axes: Vec<usize>,
}

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

/// `y = f(x)` and `dy = f(dx)`, for `f` linear with one input.
pub(super) fn linear_jvp(
    b: &mut Builder,
    prim: impl Into<Prim>,
    x: Atom,
    dx: Tangent,
) -> (Vec<Atom>, Vec<Tangent>) {
    let prim = prim.into();
    let y = b.bind1(prim.clone(), &[x]);
    let dy = dx.value().map_or(Tangent::Zero, |dx| Tangent::Value(b.bind1(prim, &[dx])));
    (vec![y], vec![dy])
}

/// The cotangent of the one input, from that of the one output.
pub(super) fn linear_transpose(
    ct: Cotangent,
    transpose: impl FnOnce(Atom) -> Atom,
) -> Result<Vec<Cotangent>> {
    Ok(vec![ct.value().map_or(Cotangent::Zero, |ct| Cotangent::Value(transpose(ct)))])
}

/// The one output for all examples, from the one input, which is mapped.
pub(super) fn batch_one(b: &mut Builder, prim: impl Into<Prim>, x: Batched) -> Vec<Batched> {
    vec![Batched::Mapped(b.bind1(prim, &[x.atom()]))]
}

/// Axes of an example as axes of the batch.
pub(super) fn shift(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| axis + 1).collect()
}

/// `values` with one for the axis of examples in front.
fn prepend<T: Copy>(value: T, values: &[T]) -> Vec<T> {
    std::iter::once(value).chain(values.iter().copied()).collect()
}

/// Refuses axes that do not exist or come twice.
pub(super) fn check_axes(axes: &[usize], rank: usize) -> Result<(), Misfit> {
    for (i, &axis) in axes.iter().enumerate() {
        check_axis(axis, rank)?;
        if axes[..i].contains(&axis) {
            return Err(Misfit::new(format!("axis {axis} is named twice")));
        }
    }
    Ok(())
}

/// Refuses an axis that does not exist.
pub(super) fn check_axis(axis: usize, rank: usize) -> Result<(), Misfit> {
    if axis < rank {
        return Ok(());
    }
    Err(Misfit::new(format!("axis {axis} is not one of the {rank} axes of the array")))
}

/// Refuses a parameter without a value for each axis.
fn check_len(name: &str, len: usize, rank: usize) -> Result<(), Misfit> {
    if len == rank {
        return Ok(());
    }
    Err(Misfit::new(format!("`{name}` has {len} values, and the array has {rank} axes")))
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

impl Slice {
    /// Everything, but for `axis`, of which `size` elements from `start`.
    pub(super) fn along(shape: &Shape, axis: usize, start: usize, size: usize) -> Slice {
        Slice::strided(shape, axis, start, size, 1)
    }

    /// Everything, but for `axis`, of which `size` elements from `start` in steps of `step`.
    pub(super) fn strided(
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

impl Pad {
    /// Edges without gaps.
    pub(super) fn edges(low: &[i64], high: &[i64]) -> Pad {
        Pad { low: low.into(), high: high.into(), interior: vec![0; low.len()] }
    }

    /// Edges and gaps along one axis.
    pub(super) fn along(rank: usize, axis: usize, low: i64, high: i64, interior: usize) -> Pad {
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
}

/// An innermost run of two strided views of one shape.
pub(super) struct Run {
    /// Its length.
    pub(super) n: usize,
    /// Where it starts in each.
    pub(super) starts: [isize; 2],
    /// Its step in each.
    pub(super) strides: [isize; 2],
}

/// Calls `visit` for each innermost run of two strided views of one shape, in row-major order.
pub(super) fn walk_both(
    shape: &[usize],
    strides: [&[isize]; 2],
    starts: [isize; 2],
    visit: &mut dyn FnMut(Run),
) {
    match shape {
        [] => visit(Run { n: 1, starts, strides: [1, 1] }),
        [0, ..] => {}
        [n] => visit(Run { n: *n, starts, strides: [strides[0][0], strides[1][0]] }),
        [n, shape @ ..] => {
            let [x, y] = strides;
            for i in 0..*n as isize {
                let starts = [starts[0] + i * x[0], starts[1] + i * y[0]];
                walk_both(shape, [&x[1..], &y[1..]], starts, visit);
            }
        }
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

impl Pad {
    /// Whether each element of the result is one of the operand, which has this shape.
    fn mask(&self, b: &mut Builder, operand: &Shape) -> Atom {
        let all = b.full(1.0, &Aval::new(DType::Bool, operand));
        b.bind1(self.clone(), &[all, Atom::Lit(Scalar::Bool(false))])
    }
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

    #[test]
    fn slices_stay_inside() {
        let x = [Aval::new(DType::F64, [5])];
        let slice = |start, size, step| {
            Slice { starts: vec![start], sizes: vec![size], steps: vec![step] }.infer(&x).is_ok()
        };
        assert!(slice(0, 3, 2) && slice(4, 1, usize::MAX) && slice(5, 0, 1));
        assert!(!slice(1, 3, 2) && !slice(6, 0, 1) && !slice(0, 2, usize::MAX) && !slice(0, 1, 0));
    }

    #[test]
    fn concat_interleaves_the_rows_of_its_parts() {
        let x = Buffer::new([2, 2], vec![1, 2, 3, 4]);
        let y = Buffer::new([2, 1], vec![5, 6]);
        let empty = Buffer::new::<i32>([2, 0], vec![]);
        let z = Concat { axis: 1 }.eval(&[x, empty, y]).remove(0);
        assert_eq!(*z.values::<i32>(), [1, 2, 5, 3, 4, 6]);
    }

    #[test]
    fn iota_counts_along_its_axis() {
        let iota = Iota { dtype: DType::U32, shape: [2, 3].into(), axis: 1 };
        assert_eq!(*iota.eval(&[])[0].values::<u32>(), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn names_and_parameters_read_back() {
        fn check<P: Rules + PartialEq + std::fmt::Debug>() {
            for (prim, _) in P::examples() {
                assert_eq!(P::from_params(prim.name(), &prim.params()).as_ref(), Some(&prim));
            }
        }
        check::<Broadcast>();
        check::<Reshape>();
        check::<Transpose>();
        check::<Slice>();
        check::<Pad>();
        check::<Concat>();
        check::<Reverse>();
        check::<Iota>();
    }
}
