//! Rows chosen by indices: read, overwritten, added to.

use super::*;
use crate::buffer::{Element, Number, dispatch};

/// What becomes of an index outside the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bounds {
    /// It is moved to the nearest end.
    Clip,
    /// It reads zero and writes nothing.
    Drop,
}

/// How an update is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// In place of the old value; of several updates at one index the last one stays.
    Set,
    /// Added to the old value, in the order of the indices.
    Add,
}

impl Bounds {
    const ALL: [Bounds; 2] = [Bounds::Clip, Bounds::Drop];

    fn name(self) -> &'static str {
        match self {
            Bounds::Clip => "clip",
            Bounds::Drop => "drop",
        }
    }

    fn from_params(params: &Params) -> Option<Bounds> {
        let name = params.word("bounds")?;
        Bounds::ALL.into_iter().find(|bounds| bounds.name() == name)
    }

    /// The row that an index stands for. `n` is not zero if indices are clipped.
    fn place(self, index: i32, n: usize) -> Option<usize> {
        match self {
            Bounds::Clip => Some(usize::try_from(index).unwrap_or(0).min(n - 1)),
            Bounds::Drop => usize::try_from(index).ok().filter(|&row| row < n),
        }
    }
}

impl Write {
    const ALL: [Write; 2] = [Write::Set, Write::Add];

    fn name(self) -> &'static str {
        match self {
            Write::Set => "set",
            Write::Add => "add",
        }
    }

    fn from_params(params: &Params) -> Option<Write> {
        let name = params.word("write")?;
        Write::ALL.into_iter().find(|write| write.name() == name)
    }
}

/// Rows of the operand, chosen by indices.
///
/// Operand `[batch.., n, rest..]`, indices `[batch.., k..]` of type i32: `[batch.., k.., rest..]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The number of leading axes that operand and indices share.
    pub n_batch: usize,
    /// What becomes of an index outside the axis.
    pub bounds: Bounds,
}

/// The operand with rows written at indices, one after the other.
///
/// Operand `[batch.., n, rest..]`, indices `[batch.., k..]` of type i32, updates
/// `[batch.., k.., rest..]`: the operand's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scatter {
    /// The number of leading axes that operand, indices and updates share.
    pub n_batch: usize,
    /// How an update is written.
    pub write: Write,
    /// What becomes of an index outside the axis.
    pub bounds: Bounds,
}

/// The shape of the rows that the indices choose.
fn rows_shape(
    n_batch: usize,
    bounds: Bounds,
    operand: &Aval,
    indices: &Aval,
) -> Result<Shape, Misfit> {
    check_index(indices)?;
    if operand.rank() <= n_batch || indices.rank() < n_batch {
        return Err(Misfit::new(format!(
            "{operand} and the indices {indices} have too few axes beside {n_batch} batch axes"
        )));
    }
    if operand.shape[..n_batch] != indices.shape[..n_batch] {
        return Err(Misfit::new(format!(
            "the first {n_batch} axes of {operand} and of the indices {indices} differ"
        )));
    }
    if operand.shape[n_batch] == 0 && bounds == Bounds::Clip && indices.shape.count() > 0 {
        return Err(Misfit::new(format!("axis {n_batch} of {operand} is empty, so no index fits"))
            .help("index an axis that has elements, or drop what is outside"));
    }
    Ok(indices.shape.iter().chain(&operand.shape[n_batch + 1..]).copied().collect())
}

/// Calls `at` with the place in memory of each index, in row-major order.
fn for_each_place(shape: &[usize], strides: &[isize], place: isize, at: &mut dyn FnMut(isize)) {
    let Some((&n, inner)) = shape.split_first() else {
        return at(place);
    };
    for i in 0..n as isize {
        for_each_place(inner, &strides[1..], place + i * strides[0], at);
    }
}

fn is_dense(shape: &[usize], strides: &[isize]) -> bool {
    let expected = Shape::from(shape).strides();
    (0..shape.len()).all(|axis| shape[axis] == 1 || strides[axis] == expected[axis])
}

fn gather<T: Element>(prim: Gather, operand: &Buffer, indices: &[i32], n_indices: usize) -> Vec<T> {
    let (data, offset) = operand.raw::<T>();
    let (batch, [n, rest @ ..]) = operand.shape().split_at(prim.n_batch) else {
        unreachable!("internal: infer checks the rank")
    };
    let (batch_strides, strides) = operand.strides().split_at(prim.n_batch);
    let (row_stride, strides) = (strides[0], &strides[1..]);
    let row_count: usize = rest.iter().product();
    let dense = is_dense(rest, strides);
    let mut values: Vec<T> = Vec::with_capacity(indices.len() * row_count);
    if row_count == 0 || n_indices == 0 {
        return values;
    }
    let mut groups = indices.chunks_exact(n_indices);
    for_each_place(batch, batch_strides, offset as isize, &mut |place| {
        for &index in groups.next().expect("internal: indices for each batch index") {
            let Some(row) = prim.bounds.place(index, *n) else {
                values.resize(values.len() + row_count, T::default());
                continue;
            };
            let start = place + row as isize * row_stride;
            if dense {
                values.extend_from_slice(&data[start as usize..start as usize + row_count]);
            } else {
                for_each_place(rest, strides, start, &mut |at| values.push(data[at as usize]));
            }
        }
    });
    values
}

impl Rules for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn params(&self) -> Params {
        Params::new().with("n_batch", self.n_batch).with("bounds", self.bounds.name())
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "gather").then_some(())?;
        Some(Gather { n_batch: params.size("n_batch")?, bounds: Bounds::from_params(params)? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [operand, indices] = arity(inputs)?;
        let shape = rows_shape(self.n_batch, self.bounds, operand, indices)?;
        Ok(vec![operand.reshaped(shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (operand, indices) = (&inputs[0], &inputs[1]);
        let rest = &operand.shape()[self.n_batch + 1..];
        let shape: Shape = indices.shape().iter().chain(rest).copied().collect();
        let n_indices = indices.shape()[self.n_batch..].iter().product();
        let indices = indices.values::<i32>();
        vec![dispatch!(all operand.dtype(), T => {
            Buffer::new(shape, gather::<T>(*self, operand, &indices, n_indices))
        })]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let y = b.bind1(*self, primals);
        let dy = match tangents[0] {
            Tangent::Zero => Tangent::Zero,
            Tangent::Value(dx) => Tangent::Value(b.bind1(*self, &[dx, primals[1]])),
        };
        (vec![y], vec![dy])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let (Cotangent::Value(ct), Operand::Linear(aval)) = (cts[0], &inputs[0]) else {
            return Ok(vec![Cotangent::Zero; 2]);
        };
        let zeros = b.full(0.0, aval);
        let scatter = Scatter { n_batch: self.n_batch, write: Write::Add, bounds: self.bounds };
        let to_operand = b.bind1(scatter, &[zeros, inputs[1].known(), ct]);
        Ok(vec![Cotangent::Value(to_operand), Cotangent::Zero])
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let rows = match (inputs[0], inputs[1]) {
            // The axis of examples is one more axis of indices.
            (Batched::Shared(operand), Batched::Mapped(indices)) => {
                let indices = b.move_axis(indices, 0, self.n_batch);
                let rows = b.bind1(*self, &[operand, indices]);
                b.move_axis(rows, self.n_batch, 0)
            }
            (operand, indices) => {
                let inputs = [operand.materialize(b, size), indices.materialize(b, size)];
                b.bind1(Gather { n_batch: self.n_batch + 1, ..*self }, &inputs)
            }
        };
        vec![Batched::Mapped(rows)]
    }

    fn examples() -> Vec<Example<Self>> {
        let shapes: [(usize, &[usize], &[usize]); 8] = [
            (0, &[5], &[]),
            (0, &[5], &[4]),
            (0, &[5, 3], &[]),
            (0, &[5, 3], &[2, 4]),
            (1, &[2, 5, 3], &[2, 4]),
            (1, &[2, 5], &[2]),
            (2, &[2, 3, 4, 2, 1], &[2, 3, 6]),
            (0, &[5, 0], &[3]),
        ];
        let example = |n_batch, bounds, dtype, operand: &[usize], indices: &[usize]| {
            let avals = vec![Aval::new(dtype, operand), Aval::new(DType::I32, indices)];
            (Gather { n_batch, bounds }, avals)
        };
        let mut examples = Vec::new();
        for bounds in Bounds::ALL {
            for (n_batch, operand, indices) in shapes {
                examples.push(example(n_batch, bounds, DType::F64, operand, indices));
            }
            for dtype in DType::ALL {
                examples.push(example(0, bounds, dtype, &[3, 2], &[4]));
            }
            examples.push(example(0, bounds, DType::F64, &[0, 2], &[0]));
        }
        examples.push(example(0, Bounds::Drop, DType::F64, &[0, 2], &[3]));
        examples
    }
}

/// Writes each update where its index says. All values are row-major.
fn scatter<T: Element>(
    bounds: Bounds,
    [n, n_indices, row_count]: [usize; 3],
    values: &mut [T],
    indices: &[i32],
    updates: &[T],
    write: impl Fn(T, T) -> T,
) {
    if updates.is_empty() {
        return;
    }
    let rows = updates.chunks_exact(row_count);
    for (i, (&index, update)) in indices.iter().zip(rows).enumerate() {
        let Some(row) = bounds.place(index, n) else {
            continue;
        };
        let start = (i / n_indices * n + row) * row_count;
        for (value, &update) in values[start..start + row_count].iter_mut().zip(update) {
            *value = write(*value, update);
        }
    }
}

impl Scatter {
    /// For each index, whether its update is the one that stays.
    fn winners(self, b: &mut Builder, operand: &Aval, indices: Atom) -> Atom {
        let shape = b.aval(indices).shape;
        let numbers = count_up(b, shape.count());
        let numbers = b.reshape(numbers, &shape);
        let board = Aval::new(DType::I32, &operand.shape[..=self.n_batch]);
        let board = b.full(0.0, &board);
        let board = b.bind1(self, &[board, indices, numbers]);
        let gather = Gather { n_batch: self.n_batch, bounds: self.bounds };
        let last = b.bind1(gather, &[board, indices]);
        b.binary(Binary::Eq, last, numbers)
    }

    /// The part of the operand's cotangent that belongs to the updates.
    fn to_updates(self, b: &mut Builder, operand: &Aval, indices: Atom, ct: Atom) -> Atom {
        let gather = Gather { n_batch: self.n_batch, bounds: self.bounds };
        let rows = b.bind1(gather, &[ct, indices]);
        let indices_shape = b.aval(indices).shape;
        let n_indices: usize = indices_shape[self.n_batch..].iter().product();
        if self.write == Write::Add || n_indices <= 1 {
            return rows;
        }
        let winners = self.winners(b, operand, indices);
        let shape = b.aval(rows).shape;
        let axes: Vec<usize> = (0..indices_shape.rank()).collect();
        let winners = b.broadcast(winners, &shape, &axes);
        let zero = b.lit(0.0, rows);
        b.select(winners, rows, zero)
    }
}

impl Rules for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn params(&self) -> Params {
        Params::new()
            .with("n_batch", self.n_batch)
            .with("write", self.write.name())
            .with("bounds", self.bounds.name())
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "scatter").then_some(())?;
        Some(Scatter {
            n_batch: params.size("n_batch")?,
            write: Write::from_params(params)?,
            bounds: Bounds::from_params(params)?,
        })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [operand, indices, updates] = arity(inputs)?;
        check_same_dtype(operand, updates)?;
        if self.write == Write::Add && operand.dtype == DType::Bool {
            return Err(
                Misfit::new("adds numbers, not bool").help("convert the array with `.to(..)`")
            );
        }
        let shape = rows_shape(self.n_batch, self.bounds, operand, indices)?;
        if updates.shape != shape {
            return Err(Misfit::new(format!(
                "the updates for {operand} at indices {indices} must be of shape {shape}, not {}",
                updates.shape
            )));
        }
        Ok(vec![operand.clone()])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (operand, indices, updates) = (&inputs[0], &inputs[1], &inputs[2]);
        let shape = operand.shape();
        let n_indices = indices.shape()[self.n_batch..].iter().product();
        let row_count = shape[self.n_batch + 1..].iter().product();
        let sizes = [shape[self.n_batch], n_indices, row_count];
        let indices = indices.values::<i32>();
        macro_rules! scattered {
            ($t:ty, $write:expr) => {{
                let mut values = operand.values::<$t>().into_owned();
                let updates = updates.values::<$t>();
                scatter(self.bounds, sizes, &mut values, &indices, &updates, $write);
                Buffer::new(shape.clone(), values)
            }};
        }
        vec![match self.write {
            Write::Set => dispatch!(all operand.dtype(), T => scattered!(T, |_, update| update)),
            Write::Add => dispatch!(number operand.dtype(), T => scattered!(T, T::add)),
        }]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let y = b.bind1(*self, primals);
        let dy = match (self.write, tangents[0], tangents[2]) {
            (_, Tangent::Zero, Tangent::Zero) => Tangent::Zero,
            // Zeros are added to dx.
            (Write::Add, dx, Tangent::Zero) => dx,
            (_, dx, du) => {
                let dx = dx.instantiate(b, primals[0]);
                let du = du.instantiate(b, primals[2]);
                Tangent::Value(b.bind1(*self, &[dx, primals[1], du]))
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
        let Cotangent::Value(ct) = cts[0] else {
            return Ok(vec![Cotangent::Zero; 3]);
        };
        let indices = inputs[1].known();
        let (operand, updates) = (inputs[0].aval(b), inputs[2].aval(b));
        let to_operand = match (&inputs[0], self.write) {
            (Operand::Known(_), _) => Cotangent::Zero,
            (Operand::Linear(_), Write::Add) => Cotangent::Value(ct),
            (Operand::Linear(_), Write::Set) => {
                let zeros = b.full(0.0, &updates);
                Cotangent::Value(b.bind1(*self, &[ct, indices, zeros]))
            }
        };
        let to_updates = match &inputs[2] {
            Operand::Known(_) => Cotangent::Zero,
            Operand::Linear(_) => Cotangent::Value(self.to_updates(b, &operand, indices, ct)),
        };
        Ok(vec![to_operand, Cotangent::Zero, to_updates])
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let inputs: Vec<Atom> = inputs.iter().map(|input| input.materialize(b, size)).collect();
        let scatter = Scatter { n_batch: self.n_batch + 1, ..*self };
        vec![Batched::Mapped(b.bind1(scatter, &inputs))]
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for (gather, avals) in Gather::examples() {
            let Ok(updates) = gather.infer(&avals) else {
                unreachable!("internal: an example of gather does not fit")
            };
            for write in Write::ALL {
                if write == Write::Add && avals[0].dtype == DType::Bool {
                    continue;
                }
                let Gather { n_batch, bounds } = gather;
                let inputs = [avals.as_slice(), &updates].concat();
                examples.push((Scatter { n_batch, write, bounds }, inputs));
            }
        }
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(values: &[i32]) -> Buffer {
        Buffer::new([values.len()], values.to_vec())
    }

    fn table() -> Buffer {
        Buffer::new([3, 2], vec![1, 2, 3, 4, 5, 6])
    }

    fn gathered(bounds: Bounds, operand: &Buffer, at: &[i32]) -> Vec<i32> {
        let prim = Gather { n_batch: 0, bounds };
        prim.eval(&[operand.clone(), indices(at)])[0].values::<i32>().to_vec()
    }

    fn scattered(write: Write, bounds: Bounds, at: &[i32], updates: &[i32]) -> Vec<i32> {
        let operand = Buffer::new([3], vec![10, 20, 30]);
        let updates = indices(updates);
        let prim = Scatter { n_batch: 0, write, bounds };
        prim.eval(&[operand, indices(at), updates])[0].values::<i32>().to_vec()
    }

    #[test]
    fn indices_outside_are_clipped_or_dropped() {
        let at = [2, -1, 0, 3, i32::MIN, i32::MAX];
        let clipped = [5, 6, 1, 2, 1, 2, 5, 6, 1, 2, 5, 6];
        assert_eq!(gathered(Bounds::Clip, &table(), &at), clipped);
        let dropped = [5, 6, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0];
        assert_eq!(gathered(Bounds::Drop, &table(), &at), dropped);
        let clipped = scattered(Write::Set, Bounds::Clip, &[-4, 7], &[1, 2]);
        assert_eq!(clipped, [1, 20, 2]);
        let dropped = scattered(Write::Set, Bounds::Drop, &[-4, 7, 1], &[1, 2, 3]);
        assert_eq!(dropped, [10, 3, 30]);
    }

    #[test]
    fn of_several_updates_the_last_stays_and_all_add() {
        let set = scattered(Write::Set, Bounds::Clip, &[1, 0, 1, 1], &[1, 2, 3, 4]);
        assert_eq!(set, [2, 4, 30]);
        let add = scattered(Write::Add, Bounds::Drop, &[1, 0, 1, -1], &[1, 2, 3, 4]);
        assert_eq!(add, [12, 24, 30]);
    }

    #[test]
    fn rows_of_views_are_read_in_place() {
        let view = table().transpose(&[1, 0]);
        assert_eq!(gathered(Bounds::Clip, &view, &[1, 0]), [2, 4, 6, 1, 3, 5]);
        let repeated = table().row(1).broadcast(&[4, 2].into(), &[1]);
        assert_eq!(gathered(Bounds::Clip, &repeated, &[3]), [3, 4]);
    }

    #[test]
    fn each_batch_index_has_its_own_rows() {
        let operand = Buffer::new([2, 2, 2], (0..8).collect());
        let at = Buffer::new([2, 3], vec![0, 1, 1, 1, 0, 9]);
        let prim = Gather { n_batch: 1, bounds: Bounds::Clip };
        let rows = &prim.eval(&[operand.clone(), at.clone()])[0];
        assert_eq!(*rows.values::<i32>(), [0, 1, 2, 3, 2, 3, 6, 7, 4, 5, 6, 7]);
        let prim = Scatter { n_batch: 1, write: Write::Add, bounds: Bounds::Drop };
        let ones = Buffer::new([2, 3, 2], vec![1; 12]);
        let sums = &prim.eval(&[operand, at, ones])[0];
        assert_eq!(*sums.values::<i32>(), [1, 2, 4, 5, 5, 6, 7, 8]);
    }

    #[test]
    fn an_empty_axis_has_no_rows_to_clip_to() {
        let avals = [Aval::new(DType::F32, [0, 2]), Aval::new(DType::I32, [3])];
        assert!(Gather { n_batch: 0, bounds: Bounds::Clip }.infer(&avals).is_err());
        assert!(Gather { n_batch: 0, bounds: Bounds::Drop }.infer(&avals).is_ok());
    }
}
