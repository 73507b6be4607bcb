//! Ranges whose start is data.
//!
//! A start is clamped so that its range fits. Under `vmap`, ranges whose starts differ between the
//! examples become rows chosen by indices, one axis after the other.

use super::*;

/// A range along each axis, of static size; its start, clamped so that the range fits, is data.
///
/// Inputs: the operand, then a start for each of its axes, i32 without axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DynamicSlice {
    /// The size of the range along each axis.
    pub sizes: Vec<usize>,
}

/// The operand with a range overwritten; its start, clamped so that the range fits, is data.
///
/// Inputs: the operand, the update, then a start for each axis, i32 without axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DynamicUpdate;

const FIRST: Atom = Atom::Lit(Scalar::I32(0));

fn check_starts(operand: &Aval, sizes: &[usize], starts: &[Aval]) -> Result<(), Misfit> {
    let rank = operand.rank();
    if starts.len() != rank || sizes.len() != rank {
        return Err(Misfit::new(format!(
            "{operand} has {rank} axes, and there are {} starts and {} sizes",
            starts.len(),
            sizes.len()
        )));
    }
    for (axis, (&size, &n)) in sizes.iter().zip(operand.shape.iter()).enumerate() {
        if size > n {
            let what = format!("a range of {size} does not fit axis {axis} of {operand}");
            return Err(Misfit::new(what));
        }
    }
    for start in starts {
        check_index(start)?;
        if start.rank() > 0 {
            return Err(Misfit::new(format!("a start has no axes, and one is {start}")));
        }
    }
    Ok(())
}

/// The starts as data, clamped.
fn clamped(starts: &[Buffer], sizes: &[usize], shape: &[usize]) -> Vec<usize> {
    let clamp = |(start, (&size, &n)): (&Buffer, (&usize, &usize))| match start.first() {
        Scalar::I32(start) => usize::try_from(start).unwrap_or(0).min(n - size),
        other => unreachable!("internal: infer let the start {other} through"),
    };
    starts.iter().zip(sizes.iter().zip(shape)).map(clamp).collect()
}

/// For a start for each example, the indices of its range in an axis of size `n`: `[examples, size]`.
fn ranges(b: &mut Builder, starts: Atom, size: usize, n: usize) -> Atom {
    let last = Atom::Lit(Scalar::of((n - size) as f64, DType::I32));
    let starts = b.binary(Binary::Max, starts, FIRST);
    let starts = b.binary(Binary::Min, starts, last);
    let shape: Shape = [b.aval(starts).shape[0], size].into();
    if size == 1 {
        return b.reshape(starts, &shape);
    }
    let starts = b.broadcast(starts, &shape, &[0]);
    let steps = count_up(b, size);
    let steps = b.broadcast(steps, &shape, &[1]);
    b.add(starts, steps)
}

/// The range of each example along an axis, counted without the axis of examples.
fn take(b: &mut Builder, x: Batched, axis: usize, starts: Atom, size: usize) -> Atom {
    let (x, n_batch) = match x {
        Batched::Shared(x) => (b.move_axis(x, axis, 0), 0),
        Batched::Mapped(x) => (b.move_axis(x, axis + 1, 1), 1),
    };
    let n = b.aval(x).shape[n_batch];
    let indices = ranges(b, starts, size, n);
    let rows = b.bind1(Gather { n_batch, bounds: Bounds::Clip }, &[x, indices]);
    b.move_axis(rows, 1, axis + 1)
}

/// Overwrites a range of each example. `x` and `update` have the axis of examples.
fn put(b: &mut Builder, x: Atom, update: Atom, starts: &[Batched]) -> Atom {
    let Some((axis, start)) = starts.iter().enumerate().find(|(_, start)| start.is_mapped()) else {
        let starts = starts.iter().map(|start| start.atom());
        let inputs: Vec<Atom> = [x, update, FIRST].into_iter().chain(starts).collect();
        return b.bind1(DynamicUpdate, &inputs);
    };
    let (shape, sizes) = (b.aval(x).shape, b.aval(update).shape);
    let (n, size) = (shape[axis + 1], sizes[axis + 1]);
    // What the range along this axis holds afterwards, with the other axes whole.
    let whole = sizes.with(axis + 1, n) == shape;
    let slab = if whole {
        update
    } else {
        let old = take(b, Batched::Mapped(x), axis, start.atom(), size);
        let mut others = starts.to_vec();
        others[axis] = Batched::Shared(FIRST);
        put(b, old, update, &others)
    };
    let indices = ranges(b, start.atom(), size, n);
    let rows = b.move_axis(x, axis + 1, 1);
    let slab = b.move_axis(slab, axis + 1, 1);
    let scatter = Scatter { n_batch: 1, write: Write::Set, bounds: Bounds::Clip };
    let rows = b.bind1(scatter, &[rows, indices, slab]);
    b.move_axis(rows, 1, axis + 1)
}

/// The starts with those replaced that a range leaves no choice.
fn effective(starts: &[Batched], sizes: &[usize], shape: &[usize]) -> Vec<Batched> {
    let replace = |(&start, (size, n)): (&Batched, (&usize, &usize))| {
        if size == n { Batched::Shared(FIRST) } else { start }
    };
    starts.iter().zip(sizes.iter().zip(shape)).map(replace).collect()
}

impl Rules for DynamicSlice {
    fn name(&self) -> &'static str {
        "dynamic_slice"
    }

    fn params(&self) -> Params {
        Params::new().with("sizes", &self.sizes)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "dynamic_slice").then_some(())?;
        Some(DynamicSlice { sizes: params.sizes("sizes")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let Some((operand, starts)) = inputs.split_first() else {
            return Err(Misfit::new("takes an operand, and there is none"));
        };
        check_starts(operand, &self.sizes, starts)?;
        Ok(vec![operand.reshaped(self.sizes.as_slice())])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (x, starts) = (&inputs[0], &inputs[1..]);
        let starts = clamped(starts, &self.sizes, x.shape());
        vec![x.slice(&starts, &self.sizes, &vec![1; self.sizes.len()])]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let y = b.bind1(self.clone(), primals);
        let dy = match tangents[0] {
            Tangent::Zero => Tangent::Zero,
            Tangent::Value(dx) => {
                let inputs = [&[dx], &primals[1..]].concat();
                Tangent::Value(b.bind1(self.clone(), &inputs))
            }
        };
        (vec![y], vec![dy])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let mut to = vec![Cotangent::Zero; inputs.len()];
        if let (Cotangent::Value(ct), Operand::Linear(aval)) = (cts[0], &inputs[0]) {
            let zeros = b.full(0.0, aval);
            let starts = inputs[1..].iter().map(Operand::known);
            let inputs: Vec<Atom> = [zeros, ct].into_iter().chain(starts).collect();
            to[0] = Cotangent::Value(b.bind1(DynamicUpdate, &inputs));
        }
        Ok(to)
    }

    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let operand = inputs[0];
        let aval = b.aval(operand.atom());
        let shape = if operand.is_mapped() { aval.row().shape } else { aval.shape.clone() };
        let starts = effective(&inputs[1..], &self.sizes, &shape);
        // First the ranges that all examples share, then those that differ.
        let mut first = DynamicSlice { sizes: shape.to_vec() };
        let mut shared = vec![FIRST; shape.rank()];
        for (axis, start) in starts.iter().enumerate() {
            if let Batched::Shared(start) = *start {
                first.sizes[axis] = self.sizes[axis];
                shared[axis] = start;
            }
        }
        let is_whole = first.sizes == shape[..];
        let mut result = match operand {
            operand if is_whole => operand,
            Batched::Shared(x) => Batched::Shared(b.bind1(first, &[vec![x], shared].concat())),
            Batched::Mapped(x) => {
                first.sizes.insert(0, aval.shape[0]);
                Batched::Mapped(b.bind1(first, &[vec![x, FIRST], shared].concat()))
            }
        };
        for (axis, start) in starts.into_iter().enumerate() {
            if let Batched::Mapped(start) = start {
                result = Batched::Mapped(take(b, result, axis, start, self.sizes[axis]));
            }
        }
        vec![result]
    }

    fn examples() -> Vec<Example<Self>> {
        let start = Aval::scalar(DType::I32);
        let example = |dtype: DType, shape: &[usize], sizes: &[usize]| {
            let starts = vec![start.clone(); shape.len()];
            let inputs = [vec![Aval::new(dtype, shape)], starts].concat();
            (DynamicSlice { sizes: sizes.to_vec() }, inputs)
        };
        let mut examples = vec![
            example(DType::F64, &[], &[]),
            example(DType::F64, &[5], &[2]),
            example(DType::F64, &[5], &[5]),
            example(DType::F64, &[5], &[0]),
            example(DType::F64, &[0, 3], &[0, 2]),
            example(DType::F64, &[5, 3], &[1, 3]),
            example(DType::F64, &[2, 4], &[2, 3]),
            example(DType::F64, &[3, 4, 5], &[2, 1, 3]),
        ];
        for dtype in DType::ALL {
            examples.push(example(dtype, &[4, 3], &[2, 2]));
        }
        examples
    }
}

impl Rules for DynamicUpdate {
    fn name(&self) -> &'static str {
        "dynamic_update"
    }

    fn params(&self) -> Params {
        Params::new()
    }

    fn from_params(name: &str, _params: &Params) -> Option<Self> {
        (name == "dynamic_update").then_some(DynamicUpdate)
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [operand, update, starts @ ..] = inputs else {
            return Err(Misfit::new("takes an operand and an update, and one is missing"));
        };
        check_same_dtype(operand, update)?;
        check_starts(operand, &update.shape, starts)?;
        Ok(vec![operand.clone()])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (x, update) = (&inputs[0], &inputs[1]);
        let (shape, sizes) = (x.shape(), update.shape());
        if sizes == shape {
            return vec![update.clone()];
        }
        let starts = clamped(&inputs[2..], sizes, shape);
        vec![crate::buffer::dispatch!(all x.dtype(), T => {
            let mut values = x.values::<T>().into_owned();
            write_range(&mut values, &shape.strides(), &starts, sizes, &update.values::<T>());
            Buffer::new(shape.clone(), values)
        })]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let y = b.bind1(*self, primals);
        if tangents[..2] == [Tangent::Zero; 2] {
            return (vec![y], vec![Tangent::Zero]);
        }
        let dx = tangents[0].instantiate(b, primals[0]);
        let du = tangents[1].instantiate(b, primals[1]);
        let dy = b.bind1(*self, &[&[dx, du], &primals[2..]].concat());
        (vec![y], vec![Tangent::Value(dy)])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let mut to = vec![Cotangent::Zero; inputs.len()];
        let Cotangent::Value(ct) = cts[0] else {
            return Ok(to);
        };
        let starts: Vec<Atom> = inputs[2..].iter().map(Operand::known).collect();
        let update = inputs[1].aval(b);
        if inputs[0].is_linear() {
            let zeros = b.full(0.0, &update);
            let inputs = [vec![ct, zeros], starts.clone()].concat();
            to[0] = Cotangent::Value(b.bind1(*self, &inputs));
        }
        if inputs[1].is_linear() {
            let slice = DynamicSlice { sizes: update.shape.to_vec() };
            to[1] = Cotangent::Value(b.bind1(slice, &[vec![ct], starts].concat()));
        }
        Ok(to)
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let shape = |b: &Builder, x: Batched| {
            let aval = b.aval(x.atom());
            if x.is_mapped() { aval.row().shape } else { aval.shape }
        };
        let (operand, update) = (inputs[0], inputs[1]);
        let (shape, sizes) = (shape(b, operand), shape(b, update));
        if sizes == shape {
            return vec![update];
        }
        let starts = effective(&inputs[2..], &sizes, &shape);
        let x = operand.materialize(b, size);
        let update = update.materialize(b, size);
        vec![Batched::Mapped(put(b, x, update, &starts))]
    }

    fn examples() -> Vec<Example<Self>> {
        let start = Aval::scalar(DType::I32);
        let example = |dtype: DType, shape: &[usize], sizes: &[usize]| {
            let starts = vec![start.clone(); shape.len()];
            let values = vec![Aval::new(dtype, shape), Aval::new(dtype, sizes)];
            (DynamicUpdate, [values, starts].concat())
        };
        let mut examples = vec![
            example(DType::F64, &[], &[]),
            example(DType::F64, &[5], &[2]),
            example(DType::F64, &[5], &[5]),
            example(DType::F64, &[5], &[0]),
            example(DType::F64, &[0, 3], &[0, 2]),
            example(DType::F64, &[5, 3], &[1, 3]),
            example(DType::F64, &[2, 4], &[2, 3]),
            example(DType::F64, &[3, 4, 5], &[2, 1, 3]),
        ];
        for dtype in DType::ALL {
            examples.push(example(dtype, &[4, 3], &[2, 2]));
        }
        examples
    }
}

/// Copies row-major values into a range of row-major values.
fn write_range<T: Copy>(
    values: &mut [T],
    strides: &[isize],
    starts: &[usize],
    sizes: &[usize],
    update: &[T],
) {
    if update.is_empty() {
        return;
    }
    match (strides, starts, sizes) {
        ([stride, strides @ ..], [start, starts @ ..], [size, sizes @ ..]) => {
            let stride = *stride as usize;
            if sizes.is_empty() {
                values[*start..start + size].copy_from_slice(update);
                return;
            }
            for (i, part) in update.chunks_exact(update.len() / size).enumerate() {
                write_range(&mut values[(start + i) * stride..], strides, starts, sizes, part);
            }
        }
        _ => values[0] = update[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(i: i32) -> Buffer {
        Buffer::new((), vec![i])
    }

    fn grid() -> Buffer {
        Buffer::new([3, 4], (0..12).collect())
    }

    #[test]
    fn slices_are_clamped_into_the_operand() {
        let slice = |i, j| {
            let prim = DynamicSlice { sizes: vec![2, 2] };
            prim.eval(&[grid(), start(i), start(j)])[0].values::<i32>().to_vec()
        };
        assert_eq!(slice(1, 1), [5, 6, 9, 10]);
        assert_eq!(slice(-7, 2), [2, 3, 6, 7]);
        assert_eq!(slice(2, i32::MAX), [6, 7, 10, 11]);
        assert_eq!(slice(i32::MIN, 3), [2, 3, 6, 7]);
    }

    #[test]
    fn updates_are_clamped_into_the_operand() {
        let update = |i, j| {
            let new = Buffer::new([2, 2], vec![-1, -2, -3, -4]);
            DynamicUpdate.eval(&[grid(), new, start(i), start(j)])[0].values::<i32>().to_vec()
        };
        assert_eq!(update(1, 1), [0, 1, 2, 3, 4, -1, -2, 7, 8, -3, -4, 11]);
        assert_eq!(update(9, -9), [0, 1, 2, 3, -1, -2, 6, 7, -3, -4, 10, 11]);
    }

    #[test]
    fn a_range_of_the_whole_axis_has_no_choice() {
        let mut b = Builder::new();
        let x = b.input(Aval::new(DType::F32, [4, 3]));
        let (i, j) = (b.input(Aval::new(DType::I32, [8])), b.input(Aval::new(DType::I32, [8])));
        let prim = DynamicSlice { sizes: vec![4, 3] };
        let starts = [Batched::Mapped(i), Batched::Mapped(j)];
        let out = prim.batch(&mut b, 8, &[Batched::Shared(x), starts[0], starts[1]]);
        assert_eq!(out, [Batched::Shared(x)]);
    }

    #[test]
    fn a_row_of_a_shared_table_for_each_example_is_one_gather() {
        let mut b = Builder::new();
        let x = b.input(Aval::new(DType::F32, [4, 3]));
        let i = b.input(Aval::new(DType::I32, [8]));
        let prim = DynamicSlice { sizes: vec![1, 3] };
        let inputs = [Batched::Shared(x), Batched::Mapped(i), Batched::Shared(FIRST)];
        let out = prim.batch(&mut b, 8, &inputs)[0].atom();
        assert_eq!(b.aval(out), Aval::new(DType::F32, [8, 1, 3]));
        let program = b.finish(vec![out]);
        let names: Vec<_> = program.eqns().iter().map(|eqn| eqn.prim.name()).collect();
        assert_eq!(names, ["max", "min", "reshape", "gather"]);
    }
}
