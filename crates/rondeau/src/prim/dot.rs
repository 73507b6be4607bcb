//! Products summed over pairs of axes: inner products, matrix products and their batches.

use rondeau_machine::gemm::{MatRef, Order, gemm};

use super::elementwise::arity;
use super::*;
use crate::buffer::{DType, Element, Number, Shape};

/// Sums products over pairs of contracted axes, for each index of paired batch axes.
///
/// The axes of the result are the batch axes in the order of `lhs_batch`, then the free axes of the
/// left operand, then those of the right one, each in their order. Integers wrap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DotGeneral {
    /// The axes of the left operand that are summed over.
    pub lhs_contract: Vec<usize>,
    /// Their partners in the right operand.
    pub rhs_contract: Vec<usize>,
    /// The axes of the left operand that are kept, index by index.
    pub lhs_batch: Vec<usize>,
    /// Their partners in the right operand.
    pub rhs_batch: Vec<usize>,
}

/// Which operand of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The axes that are in neither list.
fn free_axes(rank: usize, contract: &[usize], batch: &[usize]) -> Vec<usize> {
    (0..rank).filter(|axis| !contract.contains(axis) && !batch.contains(axis)).collect()
}

fn sizes(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|&axis| shape[axis]).collect()
}

impl DotGeneral {
    /// The product with its operands exchanged.
    fn swapped(self) -> DotGeneral {
        DotGeneral {
            lhs_contract: self.rhs_contract,
            rhs_contract: self.lhs_contract,
            lhs_batch: self.rhs_batch,
            rhs_batch: self.lhs_batch,
        }
    }

    fn contract(&self, side: Side) -> &[usize] {
        match side {
            Side::Left => &self.lhs_contract,
            Side::Right => &self.rhs_contract,
        }
    }

    fn batch_axes(&self, side: Side) -> &[usize] {
        match side {
            Side::Left => &self.lhs_batch,
            Side::Right => &self.rhs_batch,
        }
    }

    fn free(&self, side: Side, rank: usize) -> Vec<usize> {
        free_axes(rank, self.contract(side), self.batch_axes(side))
    }

    /// In which order terms may be summed. A product whose sides both have free axes sums a chain,
    /// so that its rows do not depend on how many of them are computed together; a product with a
    /// vector may be faster.
    pub(crate) fn order(n_free: [usize; 2]) -> Order {
        if n_free.contains(&0) { Order::Lanes } else { Order::Chain }
    }

    /// The cotangent of the operand on `side`, from that of the result and the other operand.
    fn cotangent(&self, b: &mut Builder, side: Side, ct: Atom, other: Atom, rank: usize) -> Atom {
        let other_side = if side == Side::Left { Side::Right } else { Side::Left };
        let other_rank = b.aval(other).rank();
        let (n_batch, n_free) = (self.lhs_batch.len(), self.free(side, rank).len());
        let other_free = self.free(other_side, other_rank);
        // The result is [batch, left free, right free]; the other operand's free axes are summed.
        let ct_contract: Vec<usize> = match side {
            Side::Left => (0..other_free.len()).map(|i| n_batch + n_free + i).collect(),
            Side::Right => (0..other_free.len()).map(|i| n_batch + i).collect(),
        };
        let product = DotGeneral {
            lhs_contract: ct_contract,
            rhs_contract: other_free,
            lhs_batch: (0..n_batch).collect(),
            rhs_batch: self.batch_axes(other_side).to_vec(),
        };
        // What remains of the other operand are its contracted axes in ascending order; these are
        // the partners of the operand's contracted axes.
        let mut pairs: Vec<(usize, usize)> = self
            .contract(other_side)
            .iter()
            .copied()
            .zip(self.contract(side).iter().copied())
            .collect();
        pairs.sort_unstable();
        let contracted = pairs.into_iter().map(|(_, axis)| axis);
        let batch = self.batch_axes(side).iter().copied();
        // Which axis of the operand each axis of the product is, for both orders of its operands.
        let straight: Vec<usize> =
            batch.clone().chain(self.free(side, rank)).chain(contracted.clone()).collect();
        let swapped: Vec<usize> = batch.chain(contracted).chain(self.free(side, rank)).collect();
        let (product, inputs, axes) = if swapped.is_sorted() && !straight.is_sorted() {
            (product.swapped(), [other, ct], swapped)
        } else {
            (product, [ct, other], straight)
        };
        let result = b.bind1(product, &inputs);
        let mut permutation = vec![0; rank];
        for (i, axis) in axes.into_iter().enumerate() {
            permutation[axis] = i;
        }
        b.permute(result, &permutation)
    }
}

fn check_side(aval: &Aval, name: &str, contract: &[usize], batch: &[usize]) -> Result<(), Misfit> {
    let mut seen = vec![false; aval.rank()];
    for &axis in contract.iter().chain(batch) {
        match seen.get_mut(axis) {
            None => {
                return Err(Misfit::new(format!("the {name} operand {aval} has no axis {axis}")));
            }
            Some(true) => {
                return Err(Misfit::new(format!(
                    "axis {axis} of the {name} operand is used twice"
                )));
            }
            Some(unused) => *unused = true,
        }
    }
    Ok(())
}

fn check_pairs(what: &str, avals: [&Aval; 2], axes: [&[usize]; 2]) -> Result<(), Misfit> {
    if axes[0].len() != axes[1].len() {
        return Err(Misfit::new(format!("the {what} axes must come in pairs")));
    }
    for (&left, &right) in axes[0].iter().zip(axes[1]) {
        let (m, n) = (avals[0].shape[left], avals[1].shape[right]);
        if m != n {
            return Err(Misfit::new(format!(
                "{what} axis {left} of {} has size {m}, its partner {right} of {} has size {n}",
                avals[0], avals[1]
            )));
        }
    }
    Ok(())
}

/// A group of axes as one axis: its size, and its stride if the group is laid out evenly.
fn merged(shape: &[usize], strides: &[isize]) -> Option<isize> {
    let mut merged: Option<(isize, isize)> = None;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size == 1 {
            continue;
        }
        merged = match merged {
            None => Some((stride, stride * size as isize)),
            Some((inner, next)) if next == stride => Some((inner, stride * size as isize)),
            Some(_) => return None,
        };
    }
    Some(merged.map_or(1, |(inner, _)| inner))
}

/// Whether the contracted axes are innermost if an operand of the shape is row-major.
fn has_rows(shape: &Shape, contract: &[usize]) -> bool {
    let all = shape.strides();
    let strides: Vec<isize> = contract.iter().map(|&axis| all[axis]).collect();
    merged(&sizes(shape, contract), &strides) == Some(1)
}

/// A batch of matrices in memory.
struct Matrices {
    buffer: Buffer,
    batch: Vec<isize>,
    row: isize,
    col: isize,
}

impl Matrices {
    /// `x` as matrices whose rows and columns run over two groups of axes. Copies only if a group
    /// cannot be walked with one stride.
    fn new(x: &Buffer, batch: &[usize], rows: &[usize], cols: &[usize]) -> Matrices {
        let view = x.transpose(&[batch, rows, cols].concat());
        let groups = [batch.len(), batch.len() + rows.len()];
        Matrices::of(&view, groups).unwrap_or_else(|| Matrices::dense(&view, groups))
    }

    /// As [`new`](Matrices::new), with rows that are contiguous. Copies if they are not.
    fn with_rows(x: &Buffer, batch: &[usize], rows: &[usize], cols: &[usize]) -> Matrices {
        let view = x.transpose(&[batch, rows, cols].concat());
        let groups = [batch.len(), batch.len() + rows.len()];
        let found = Matrices::of(&view, groups).filter(|matrices| matrices.col == 1);
        found.unwrap_or_else(|| Matrices::dense(&view, groups))
    }

    /// A view whose axes are in the order batch, rows, columns, of which the last two begin where
    /// `groups` say; `None` if one of them cannot be walked with one stride.
    fn of(view: &Buffer, groups: [usize; 2]) -> Option<Matrices> {
        let [first, second] = groups;
        let (shape, strides) = (view.shape(), view.strides());
        let (row, col) = match shape.count() {
            0 => (0, 0),
            _ => (
                merged(&shape[first..second], &strides[first..second])?,
                merged(&shape[second..], &strides[second..])?,
            ),
        };
        Some(Matrices { buffer: view.clone(), batch: strides[..first].to_vec(), row, col })
    }

    /// As [`of`](Matrices::of), copied if the view is not row-major.
    fn dense(view: &Buffer, groups: [usize; 2]) -> Matrices {
        Matrices::of(&view.to_dense(), groups).expect("internal: row-major axes merge")
    }

    /// The same matrices with rows and columns exchanged.
    fn transposed(self) -> Matrices {
        Matrices { row: self.col, col: self.row, ..self }
    }
}

/// Calls `at` with the offsets that two lists of strides give to each index, in row-major order.
fn for_each_pair(
    shape: &[usize],
    x: &[isize],
    y: &[isize],
    offsets: (isize, isize),
    at: &mut dyn FnMut(isize, isize),
) {
    let Some((&n, inner)) = shape.split_first() else {
        return at(offsets.0, offsets.1);
    };
    for i in 0..n as isize {
        let offsets = (offsets.0 + i * x[0], offsets.1 + i * y[0]);
        for_each_pair(inner, &x[1..], &y[1..], offsets, at);
    }
}

/// `c = a·b` for integers, row by row.
fn wrapping_product<T: Number>(a: MatRef<'_, T>, b: MatRef<'_, T>, c: &mut [T]) {
    for (i, row) in c.chunks_exact_mut(b.cols().max(1)).enumerate() {
        row.fill(T::ZERO);
        for p in 0..a.cols() {
            let factor = a.at(i, p);
            for (j, sum) in row.iter_mut().enumerate() {
                *sum = sum.add(factor.mul(b.at(p, j)));
            }
        }
    }
}

/// One product of matrices, `[m, k]·[k, n]`, for each batch index.
fn products<T: Element>(
    batch: &[usize],
    [m, k, n]: [usize; 3],
    x: &Matrices,
    y: &Matrices,
    multiply: impl Fn(MatRef<'_, T>, MatRef<'_, T>, &mut [T]),
) -> Vec<T> {
    let count: usize = batch.iter().product();
    let mut values = vec![T::default(); count * m * n];
    if values.is_empty() {
        return values;
    }
    let ((x_data, x_offset), (y_data, y_offset)) = (x.buffer.raw::<T>(), y.buffer.raw::<T>());
    let mut results = values.chunks_exact_mut(m * n);
    let offsets = (x_offset as isize, y_offset as isize);
    for_each_pair(batch, &x.batch, &y.batch, offsets, &mut |at_x, at_y| {
        let left = MatRef::new(x_data, at_x as usize, m, k, x.row, x.col);
        let right = MatRef::new(y_data, at_y as usize, k, n, y.row, y.col);
        let (Some(left), Some(right)) = (left, right) else {
            panic!("internal: a view reaches outside its memory")
        };
        multiply(left, right, results.next().expect("internal: a result for each batch index"));
    });
    values
}

impl Rules for DotGeneral {
    fn name(&self) -> &'static str {
        "dot_general"
    }

    fn params(&self) -> Params {
        Params::new()
            .with("lhs_contract", &self.lhs_contract)
            .with("rhs_contract", &self.rhs_contract)
            .with("lhs_batch", &self.lhs_batch)
            .with("rhs_batch", &self.rhs_batch)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "dot_general").then_some(())?;
        Some(DotGeneral {
            lhs_contract: params.sizes("lhs_contract")?,
            rhs_contract: params.sizes("rhs_contract")?,
            lhs_batch: params.sizes("lhs_batch")?,
            rhs_batch: params.sizes("rhs_batch")?,
        })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x, y] = arity(inputs)?;
        if x.dtype != y.dtype {
            let (left, right) = (x.dtype, y.dtype);
            return Err(Misfit::new(format!("{left} and {right} are different element types"))
                .help("convert one of them with `.to(..)`"));
        }
        if x.dtype == DType::Bool {
            return Err(
                Misfit::new("takes numbers, not bool").help("convert the array with `.to(..)`")
            );
        }
        check_side(x, "left", &self.lhs_contract, &self.lhs_batch)?;
        check_side(y, "right", &self.rhs_contract, &self.rhs_batch)?;
        check_pairs("contracted", [x, y], [&self.lhs_contract, &self.rhs_contract])?;
        check_pairs("batch", [x, y], [&self.lhs_batch, &self.rhs_batch])?;
        let shape = [
            sizes(&x.shape, &self.lhs_batch),
            sizes(&x.shape, &self.free(Side::Left, x.rank())),
            sizes(&y.shape, &self.free(Side::Right, y.rank())),
        ]
        .concat();
        Ok(vec![x.reshaped(shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (x, y) = (&inputs[0], &inputs[1]);
        let left_free = self.free(Side::Left, x.shape().rank());
        let right_free = self.free(Side::Right, y.shape().rank());
        let batch = sizes(x.shape(), &self.lhs_batch);
        let (rows, cols) = (sizes(x.shape(), &left_free), sizes(y.shape(), &right_free));
        let inner: usize = sizes(x.shape(), &self.lhs_contract).iter().product();
        let mkn = [rows.iter().product(), inner, cols.iter().product()];
        let shape: Shape = [batch.as_slice(), &rows, &cols].concat().into();
        // Whether a vector meets rows that would be contiguous in a row-major matrix decides the
        // order, not how this matrix lies: equal operands give equal bits.
        let order = DotGeneral::order([left_free.len(), right_free.len()]);
        let (matrix, contract) =
            if mkn[2] == 1 { (x, &self.lhs_contract) } else { (y, &self.rhs_contract) };
        let order = if has_rows(matrix.shape(), contract) { order } else { Order::Chain };
        let (lhs, rhs) = (&self.lhs_contract, &self.rhs_contract);
        let left = match (order, mkn[2]) {
            (Order::Lanes, 1) => Matrices::with_rows(x, &self.lhs_batch, &left_free, lhs),
            _ => Matrices::new(x, &self.lhs_batch, &left_free, lhs),
        };
        let right = match (order, mkn[2]) {
            (Order::Lanes, 2..) => {
                Matrices::with_rows(y, &self.rhs_batch, &right_free, rhs).transposed()
            }
            _ => Matrices::new(y, &self.rhs_batch, rhs, &right_free),
        };
        vec![match x.dtype() {
            DType::F32 => Buffer::new(
                shape,
                products(&batch, mkn, &left, &right, |a, b, c| gemm::<f32>(a, b, c, order)),
            ),
            DType::F64 => Buffer::new(
                shape,
                products(&batch, mkn, &left, &right, |a, b, c| gemm::<f64>(a, b, c, order)),
            ),
            DType::I32 => {
                Buffer::new(shape, products(&batch, mkn, &left, &right, wrapping_product::<i32>))
            }
            DType::U32 => {
                Buffer::new(shape, products(&batch, mkn, &left, &right, wrapping_product::<u32>))
            }
            DType::Bool => unreachable!("internal: infer let bool through"),
        }]
    }

    // dx·y + x·dy
    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let (x, y) = (primals[0], primals[1]);
        let z = b.bind1(self.clone(), &[x, y]);
        let mut part = |inputs: Option<[Atom; 2]>| {
            inputs.map_or(Tangent::Zero, |inputs| Tangent::Value(b.bind1(self.clone(), &inputs)))
        };
        let left = part(tangents[0].value().map(|dx| [dx, y]));
        let right = part(tangents[1].value().map(|dy| [x, dy]));
        (vec![z], vec![b.add_tangents(left, right)])
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
        Ok(match inputs {
            [Operand::Linear(x), y] => {
                let to_x = self.cotangent(b, Side::Left, ct, y.known(), x.rank());
                vec![Cotangent::Value(to_x), Cotangent::Zero]
            }
            [x, Operand::Linear(y)] => {
                let to_y = self.cotangent(b, Side::Right, ct, x.known(), y.rank());
                vec![Cotangent::Zero, Cotangent::Value(to_y)]
            }
            _ => vec![Cotangent::Zero; 2],
        })
    }

    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let shift = |axes: &[usize]| -> Vec<usize> { axes.iter().map(|axis| axis + 1).collect() };
        let with_example = |axes: &[usize]| [vec![0], shift(axes)].concat();
        let n_batch = self.lhs_batch.len();
        let result = match (inputs[0], inputs[1]) {
            (Batched::Shared(_), Batched::Shared(_)) => {
                panic!("internal: batch without a mapped input")
            }
            (Batched::Mapped(x), Batched::Mapped(y)) => {
                let prim = DotGeneral {
                    lhs_contract: shift(&self.lhs_contract),
                    rhs_contract: shift(&self.rhs_contract),
                    lhs_batch: with_example(&self.lhs_batch),
                    rhs_batch: with_example(&self.rhs_batch),
                };
                b.bind1(prim, &[x, y])
            }
            // The axis of examples is the first free axis on the left.
            (Batched::Mapped(x), Batched::Shared(y)) => {
                let prim = DotGeneral {
                    lhs_contract: shift(&self.lhs_contract),
                    lhs_batch: shift(&self.lhs_batch),
                    ..self.clone()
                };
                let result = b.bind1(prim, &[x, y]);
                b.move_axis(result, n_batch, 0)
            }
            (Batched::Shared(x), Batched::Mapped(y)) => {
                let prim = DotGeneral {
                    rhs_contract: shift(&self.rhs_contract),
                    rhs_batch: shift(&self.rhs_batch),
                    ..self.clone()
                };
                let n_left = self.free(Side::Left, b.aval(x).rank()).len();
                let n_right = self.free(Side::Right, b.aval(y).rank() - 1).len();
                // The axis of examples is the first free axis on the right. Without free axes on
                // one of the sides, exchanging the operands puts it in front of the others.
                if n_left > 0 && n_right == 0 {
                    let result = b.bind1(prim.swapped(), &[y, x]);
                    b.move_axis(result, n_batch, 0)
                } else {
                    let result = b.bind1(prim, &[x, y]);
                    b.move_axis(result, n_batch + n_left, 0)
                }
            }
        };
        vec![Batched::Mapped(result)]
    }

    fn examples() -> Vec<Example<Self>> {
        type Pair<'a> = [&'a [usize]; 2];
        let dot = |contract: Pair<'_>, batch: Pair<'_>| DotGeneral {
            lhs_contract: contract[0].to_vec(),
            rhs_contract: contract[1].to_vec(),
            lhs_batch: batch[0].to_vec(),
            rhs_batch: batch[1].to_vec(),
        };
        let cases: [(Pair<'_>, Pair<'_>, &[usize], &[usize]); 14] = [
            // x·y, W·x, x·W, A·B, A·Bᵀ, Aᵀ·B
            ([&[0], &[0]], [&[], &[]], &[3], &[3]),
            ([&[1], &[0]], [&[], &[]], &[2, 3], &[3]),
            ([&[0], &[0]], [&[], &[]], &[3], &[3, 2]),
            ([&[1], &[0]], [&[], &[]], &[2, 3], &[3, 4]),
            ([&[1], &[1]], [&[], &[]], &[2, 3], &[4, 3]),
            ([&[0], &[0]], [&[], &[]], &[3, 2], &[3, 4]),
            // outer products
            ([&[], &[]], [&[], &[]], &[2], &[3]),
            ([&[], &[]], [&[], &[]], &[], &[3]),
            ([&[], &[]], [&[], &[]], &[], &[]),
            // batches, axes out of order
            ([&[2], &[1]], [&[0], &[0]], &[2, 3, 4], &[2, 4, 3]),
            ([&[0, 2], &[3, 1]], [&[3], &[0]], &[2, 3, 4, 5], &[5, 4, 3, 2]),
            ([&[2, 0], &[0, 1]], [&[1], &[2]], &[2, 3, 4], &[4, 2, 3, 2]),
            // nothing to sum, nothing to return
            ([&[1], &[0]], [&[], &[]], &[2, 0], &[0, 3]),
            ([&[1], &[0]], [&[], &[]], &[0, 2], &[2, 3]),
        ];
        let mut examples = Vec::new();
        for (contract, batch, x, y) in cases {
            let prim = dot(contract, batch);
            examples.push((prim, vec![Aval::new(DType::F64, x), Aval::new(DType::F64, y)]));
        }
        for dtype in [DType::F32, DType::I32, DType::U32] {
            let prim = dot([&[1], &[0]], [&[], &[]]);
            examples.push((prim, vec![Aval::new(dtype, [2, 3]), Aval::new(dtype, [3, 4])]));
        }
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small numbers that repeat, from a linear congruence.
    fn numbers(seed: &mut u32, count: usize) -> Vec<i32> {
        let mut next = || {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*seed >> 16) as i32 % 19 - 9
        };
        (0..count).map(|_| next()).collect()
    }

    fn index(shape: &[usize], mut flat: usize) -> Vec<usize> {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = flat % shape[axis];
            flat /= shape[axis];
        }
        index
    }

    fn at(x: &[i32], shape: &Shape, index: &[usize]) -> i32 {
        let place: isize = index.iter().zip(shape.strides()).map(|(&i, s)| i as isize * s).sum();
        x[place as usize]
    }

    /// The definition, one element at a time.
    fn naive(prim: &DotGeneral, x: &Buffer, y: &Buffer, shape: &Shape) -> Vec<i32> {
        let (xs, ys) = (x.values::<i32>(), y.values::<i32>());
        let left_free = prim.free(Side::Left, x.shape().rank());
        let right_free = prim.free(Side::Right, y.shape().rank());
        let inner: Shape = sizes(x.shape(), &prim.lhs_contract).into();
        let element = |flat: usize| {
            let out = index(shape, flat);
            let (mut i, mut j) = (vec![0; x.shape().rank()], vec![0; y.shape().rank()]);
            let (batch, free) = out.split_at(prim.lhs_batch.len());
            for (n, &value) in batch.iter().enumerate() {
                i[prim.lhs_batch[n]] = value;
                j[prim.rhs_batch[n]] = value;
            }
            left_free.iter().zip(free).for_each(|(&axis, &value)| i[axis] = value);
            right_free.iter().zip(&free[left_free.len()..]).for_each(|(&axis, &v)| j[axis] = v);
            (0..inner.count())
                .map(|p| {
                    for (n, value) in index(&inner, p).into_iter().enumerate() {
                        i[prim.lhs_contract[n]] = value;
                        j[prim.rhs_contract[n]] = value;
                    }
                    at(&xs, x.shape(), &i) * at(&ys, y.shape(), &j)
                })
                .sum()
        };
        (0..shape.count()).map(element).collect()
    }

    fn check(prim: &DotGeneral, x: &Buffer, y: &Buffer) {
        let shape = prim.infer(&[Aval::of(x), Aval::of(y)]).unwrap()[0].shape.clone();
        let expected = naive(prim, x, y, &shape);
        let z = &prim.eval(&[x.clone(), y.clone()])[0];
        assert_eq!(*z.shape(), shape);
        assert_eq!(*z.values::<i32>(), expected, "{prim:?} {x:?} {y:?}");
        let float = |x: &Buffer| {
            let values = x.values::<i32>().iter().map(|&x| f64::from(x)).collect();
            // In the layout of `x` reversed twice, so that strides are negative on the way.
            let axes: Vec<usize> = (0..x.shape().rank()).collect();
            let dense = Buffer::new(x.shape().clone(), values);
            dense.reverse(&axes).to_dense().reverse(&axes)
        };
        let z = &prim.eval(&[float(x), float(y)])[0];
        let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
        assert_eq!(*z.values::<f64>(), expected, "{prim:?}");
    }

    #[test]
    fn the_axes_of_the_result_are_those_of_the_definition() {
        let mut seed = 7;
        for (prim, avals) in DotGeneral::examples() {
            let mut buffer = |aval: &Aval| {
                let count = aval.shape.count();
                Buffer::new(aval.shape.clone(), numbers(&mut seed, count))
            };
            check(&prim, &buffer(&avals[0]), &buffer(&avals[1]));
        }
    }

    #[test]
    fn random_axes_agree_with_the_definition() {
        let mut seed = 1;
        for _ in 0..300 {
            let mut pick = |n: usize| numbers(&mut seed, 1)[0].unsigned_abs() as usize % n;
            // A pair of axes for each role; then both operands are shuffled.
            let roles: Vec<usize> = (0..pick(5) + 1).map(|_| pick(4)).collect();
            let (mut left, mut right) = (vec![], vec![]);
            for (n, role) in roles.into_iter().enumerate() {
                let size = pick(4);
                if role != 3 {
                    left.insert(pick(left.len() + 1), (role, n, size));
                }
                if role != 2 {
                    right.insert(pick(right.len() + 1), (role, n, size));
                }
            }
            let shape = |axes: &[(usize, usize, usize)]| -> Shape {
                axes.iter().map(|&(_, _, size)| size).collect()
            };
            let mut pairs = [(vec![], vec![]), (vec![], vec![])];
            for (i, &(role, n, _)) in left.iter().enumerate() {
                if role < 2 {
                    pairs[role].0.push(i);
                    pairs[role].1.push(right.iter().position(|axis| axis.1 == n).unwrap());
                }
            }
            let [(lhs_contract, rhs_contract), (lhs_batch, rhs_batch)] = pairs;
            let prim = DotGeneral { lhs_contract, rhs_contract, lhs_batch, rhs_batch };
            let mut buffer = |shape: Shape| {
                let count = shape.count();
                Buffer::new(shape, numbers(&mut seed, count))
            };
            check(&prim, &buffer(shape(&left)), &buffer(shape(&right)));
        }
    }

    #[test]
    fn the_order_of_a_sum_does_not_depend_on_the_layout() {
        let prim = |left: usize, right: usize| DotGeneral {
            lhs_contract: vec![left],
            rhs_contract: vec![right],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        let numbers = |shape: &[usize]| {
            let value = |i: usize| 1.0 / (i as f32 + 0.7);
            Buffer::new(shape, (0..shape.iter().product()).map(value).collect())
        };
        let turned = |x: &Buffer| x.transpose(&[1, 0]).to_dense().transpose(&[1, 0]);
        for (contract, shape) in [(0, [100, 7]), (1, [7, 100]), (0, [100, 1]), (1, [1, 100])] {
            let (x, v) = (numbers(&shape), numbers(&[100]));
            let y = turned(&x);
            let of = |prim: DotGeneral, left: &Buffer, right: &Buffer| {
                prim.eval(&[left.clone(), right.clone()]).remove(0)
            };
            assert!(of(prim(contract, 0), &x, &v).same(&of(prim(contract, 0), &y, &v)));
            assert!(of(prim(0, contract), &v, &x).same(&of(prim(0, contract), &v, &y)));
        }
    }

    #[test]
    fn a_sum_of_no_products_is_zero() {
        let prim = DotGeneral {
            lhs_contract: vec![1],
            rhs_contract: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        let (x, y) = (Buffer::new::<f32>([2, 0], vec![]), Buffer::new::<f32>([0, 2], vec![]));
        assert_eq!(*prim.eval(&[x, y])[0].values::<f32>(), [0.0; 4]);
    }

    #[test]
    fn integers_wrap() {
        let prim = DotGeneral {
            lhs_contract: vec![0],
            rhs_contract: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        let x = Buffer::new([2], vec![i32::MAX, 1]);
        let y = Buffer::new([2], vec![2, 5]);
        assert_eq!(*prim.eval(&[x, y])[0].values::<i32>(), [3]);
    }

    #[test]
    fn shared_weights_times_mapped_vectors_are_one_product() {
        let prim = DotGeneral {
            lhs_contract: vec![1],
            rhs_contract: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        let mut b = Builder::new();
        let w = b.input(Aval::new(DType::F32, [4, 3]));
        let xs = b.input(Aval::new(DType::F32, [8, 3]));
        let out = prim.batch(&mut b, 8, &[Batched::Shared(w), Batched::Mapped(xs)]);
        assert_eq!(b.aval(out[0].atom()), Aval::new(DType::F32, [8, 4]));
        let program = b.finish(vec![out[0].atom()]);
        assert_eq!(program.n_eqns(), 1);
        assert_eq!(program.eqns()[0].prim.name(), "dot_general");
    }
}
