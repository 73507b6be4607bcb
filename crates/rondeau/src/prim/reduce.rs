//! Folds: of whole axes, running along an axis, and the place of the greatest value.
//!
//! Every fold is computed in the element type and in an order that depends on shapes only, never
//! on the layout in memory, so that equal inputs give equal bits: see [`Reduce`] and
//! [`Cumulative`].

use super::elementwise::arity;
use super::movement::{
    Run, batch_one, check_axes, check_axis, linear_jvp, linear_transpose, shift, walk_both,
};
use super::*;
use crate::buffer::{DType, Element, Number, Shape, dispatch};

/// How a fold joins two values. Of nothing, it gives the value that changes no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// `x + y`, from 0.
    Sum,
    /// `x · y`, from 1.
    Prod,
    /// The greater, from the least value of the type; NaN if one is NaN.
    Max,
    /// The smaller, from the greatest value of the type; NaN if one is NaN.
    Min,
    /// Whether both hold, from true.
    And,
    /// Whether one holds, from false.
    Or,
}

/// Folds axes into one value, which leaves the others.
///
/// A result takes the elements of the folded axes in row-major order. If the last axis (but for
/// axes of size 1) is folded, its rows are folded first, by eight accumulators: accumulator `l`
/// takes the elements `l`, `l + 8`, `l + 16` ... of the row's whole groups of eight, then `l` takes
/// over `l + 4`, then `l + 2`, then `l + 1`, and the last few elements follow in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How values join.
    pub fold: Fold,
    /// The folded axes, each at most once.
    pub axes: Vec<usize>,
}

/// The index (`i32`) of the greatest or least value along an axis, the first of equals. NaN comes
/// before every other value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// Whether the greatest value is meant, not the least.
    pub greatest: bool,
    /// The axis, which the result does not have.
    pub axis: usize,
}

/// Running folds along an axis: `y[i]` is the fold of `x[0..=i]`, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// How values join; not `And` or `Or`.
    pub fold: Fold,
    /// The axis.
    pub axis: usize,
    /// Whether it runs from the end: `y[i]` is the fold of `x[i..]`, last to first.
    pub reverse: bool,
}

impl Fold {
    const ALL: [Fold; 6] = [Fold::Sum, Fold::Prod, Fold::Max, Fold::Min, Fold::And, Fold::Or];

    /// Refuses element types that it does not join.
    fn check(self, dtype: DType) -> Result<(), Misfit> {
        let (takes, fits) = match self {
            Fold::Sum | Fold::Prod | Fold::Max | Fold::Min => ("numbers", dtype != DType::Bool),
            Fold::And | Fold::Or => ("truth values", dtype == DType::Bool),
        };
        if fits {
            return Ok(());
        }
        Err(Misfit::new(format!("takes {takes}, not {dtype}"))
            .help("convert the array with `.to(..)`"))
    }

    /// The primitive that joins two values.
    fn binary(self) -> Binary {
        match self {
            Fold::Sum => Binary::Add,
            Fold::Prod => Binary::Mul,
            Fold::Max => Binary::Max,
            Fold::Min => Binary::Min,
            Fold::And => Binary::And,
            Fold::Or => Binary::Or,
        }
    }
}

/// Accumulators of a row.
const LANES: usize = 8;

/// The fold of a row, in the order that [`Reduce`] tells.
fn fold_row<T: Element>(row: &[T], identity: T, join: impl Fn(T, T) -> T) -> T {
    let groups = row.chunks_exact(LANES);
    let rest = groups.remainder();
    let mut lanes = [identity; LANES];
    for group in groups {
        for (lane, &x) in lanes.iter_mut().zip(group) {
            *lane = join(*lane, x);
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for l in 0..width {
            lanes[l] = join(lanes[l], lanes[l + width]);
        }
    }
    rest.iter().fold(lanes[0], |y, &x| join(y, x))
}

/// The fold over `axes`.
fn fold_axes<T: Element>(
    x: &Buffer,
    axes: &[usize],
    identity: T,
    join: impl Fn(T, T) -> T + Copy,
) -> Buffer {
    let keep = |axis: &usize| !axes.contains(axis);
    let result: Shape = (0..x.shape().rank()).filter(keep).map(|axis| x.shape()[axis]).collect();
    // The operand's axes of size other than 1, with the steps that the result takes along them: none
    // along folded axes.
    let mut kept = result.strides().into_iter();
    let (mut shape, mut from, mut to) = (vec![], vec![], vec![]);
    for (axis, &size) in x.shape().iter().enumerate() {
        let step = if keep(&axis) { kept.next().expect("internal: a kept axis") } else { 0 };
        if size != 1 {
            shape.push(size);
            from.push(x.strides()[axis]);
            to.push(step);
        }
    }
    let (values, offset) = x.raw::<T>();
    let mut results = vec![identity; result.count()];
    let mut row = Vec::new();
    walk_both(&shape, [&from, &to], [offset as isize, 0], &mut |run: Run| {
        let (start, to) = (run.starts[0], run.starts[1] as usize);
        let element = |i: usize| values[(start + i as isize * run.strides[0]) as usize];
        let xs = match run.strides[0] {
            1 => &values[start as usize..start as usize + run.n],
            _ => {
                row.clear();
                row.extend((0..run.n).map(element));
                &row[..]
            }
        };
        if run.strides[1] == 0 {
            results[to] = join(results[to], fold_row(xs, identity, join));
        } else {
            // The last axis is kept, so that its results are neighbours.
            results[to..to + run.n].iter_mut().zip(xs).for_each(|(y, &x)| *y = join(*y, x));
        }
    });
    Buffer::new(result, results)
}

impl Reduce {
    /// The axes that stay.
    fn kept(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|axis| !self.axes.contains(axis)).collect()
    }

    /// The tangent of the greatest or least values: the mean of those of all the places where it is
    /// taken.
    fn extreme_tangent(&self, b: &mut Builder, x: Atom, y: Atom, dx: Atom) -> Atom {
        let aval = b.aval(x);
        let y = b.broadcast(y, &aval.shape, &self.kept(aval.rank()));
        let winners = b.binary(Binary::Eq, x, y);
        let zero = b.lit(0.0, dx);
        let picked = b.select(winners, dx, zero);
        let ones = b.convert(winners, aval.dtype);
        let sum = b.sum(picked, &self.axes);
        let count = b.sum(ones, &self.axes);
        b.div(sum, count)
    }

    /// The tangent of products: `Σᵢ dxᵢ · Π(x before i) · Π(x after i)`, which divides by nothing
    /// and so holds for zeros too.
    fn product_tangent(&self, b: &mut Builder, x: Atom, dx: Atom) -> Atom {
        // One folded axis, behind the kept ones.
        let aval = b.aval(x);
        let kept = self.kept(aval.rank());
        let axis = kept.len();
        let n = self.axes.iter().map(|&axis| aval.shape[axis]).product();
        let sizes = kept.iter().map(|&axis| aval.shape[axis]);
        let shape: Shape = sizes.chain([n]).collect();
        let order: Vec<usize> = kept.iter().chain(&self.axes).copied().collect();
        let flat = |b: &mut Builder, x: Atom| {
            let permuted = b.permute(x, &order);
            b.reshape(permuted, &shape)
        };
        let (x, dx) = (flat(b, x), flat(b, dx));
        let one = b.lit(1.0, x);
        let mut others = |reverse: bool| {
            let through = b.bind1(Cumulative { fold: Fold::Prod, axis, reverse }, &[x]);
            let shift = if reverse { -1 } else { 1 };
            b.bind1(Pad::along(axis + 1, axis, shift, -shift, 0), &[through, one])
        };
        let (before, after) = (others(false), others(true));
        let slope = b.mul(before, after);
        let terms = b.mul(dx, slope);
        b.sum(terms, &[axis])
    }
}

impl Rules for Reduce {
    fn name(&self) -> &'static str {
        match self.fold {
            Fold::Sum => "reduce_sum",
            Fold::Prod => "reduce_prod",
            Fold::Max => "reduce_max",
            Fold::Min => "reduce_min",
            Fold::And => "reduce_and",
            Fold::Or => "reduce_or",
        }
    }

    fn params(&self) -> Params {
        Params::new().with("axes", &self.axes)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        let reduce = |fold| Reduce { fold, axes: vec![] };
        let found = Fold::ALL.into_iter().map(reduce).find(|reduce| reduce.name() == name)?;
        Some(Reduce { axes: params.sizes("axes")?, ..found })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        self.fold.check(x.dtype)?;
        check_axes(&self.axes, x.rank())?;
        let shape: Shape = self.kept(x.rank()).into_iter().map(|axis| x.shape[axis]).collect();
        Ok(vec![x.reshaped(shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (x, axes) = (&inputs[0], &self.axes);
        vec![match self.fold {
            Fold::And => fold_axes(x, axes, true, |x, y| x & y),
            Fold::Or => fold_axes(x, axes, false, |x, y| x | y),
            Fold::Sum => {
                dispatch!(number x.dtype(), T => fold_axes(x, axes, T::ZERO, |x: T, y| x.add(y)))
            }
            Fold::Prod => {
                dispatch!(number x.dtype(), T => fold_axes(x, axes, T::ONE, |x: T, y| x.mul(y)))
            }
            Fold::Max => dispatch!(number x.dtype(), T => {
                fold_axes(x, axes, T::LEAST, <T as Number>::max)
            }),
            Fold::Min => dispatch!(number x.dtype(), T => {
                fold_axes(x, axes, T::GREATEST, <T as Number>::min)
            }),
        }]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let x = primals[0];
        if self.fold == Fold::Sum {
            return linear_jvp(b, self.clone(), x, tangents[0]);
        }
        let y = b.bind1(self.clone(), &[x]);
        let Tangent::Value(dx) = tangents[0] else {
            return (vec![y], vec![Tangent::Zero]);
        };
        let dy = match self.fold {
            Fold::Max | Fold::Min => self.extreme_tangent(b, x, y, dx),
            Fold::Prod => self.product_tangent(b, x, dx),
            Fold::Sum | Fold::And | Fold::Or => {
                panic!("internal: {} has no tangent of this kind", self.name())
            }
        };
        (vec![y], vec![Tangent::Value(dy)])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        assert!(self.fold == Fold::Sum, "internal: {} is not linear", self.name());
        let shape = inputs[0].aval(b).shape;
        linear_transpose(cts[0], |ct| b.broadcast(ct, &shape, &self.kept(shape.rank())))
    }

    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_one(b, Reduce { fold: self.fold, axes: shift(&self.axes) }, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for fold in Fold::ALL {
            for dtype in DType::ALL.into_iter().filter(|&dtype| fold.check(dtype).is_ok()) {
                let mut example = |axes: &[usize], operand: &[usize]| {
                    let prim = Reduce { fold, axes: axes.into() };
                    examples.push((prim, vec![Aval::new(dtype, operand)]));
                };
                example(&[], &[]);
                example(&[1], &[2, 3]);
                example(&[0, 2], &[2, 3, 2]);
                if dtype.is_float() || dtype == DType::Bool {
                    example(&[], &[2, 3]);
                    example(&[0], &[19]);
                    example(&[0], &[4, 3]);
                    example(&[2, 0], &[2, 1, 3]);
                    example(&[0, 1], &[2, 3]);
                    example(&[0], &[2, 0]);
                }
            }
        }
        // Of nothing there is no greatest value but an infinite one, which no difference measures.
        for fold in [Fold::Sum, Fold::Prod] {
            let avals = vec![Aval::new(DType::F64, [2, 0])];
            examples.push((Reduce { fold, axes: vec![1] }, avals));
        }
        let avals = vec![Aval::new(DType::I32, [2, 0])];
        examples.push((Reduce { fold: Fold::Max, axes: vec![1] }, avals.clone()));
        examples.push((Reduce { fold: Fold::Min, axes: vec![1] }, avals));
        examples
    }
}

/// The sizes of the axes before `axis`, of it, and of those after it.
pub(super) fn around(shape: &Shape, axis: usize) -> [usize; 3] {
    let (before, after) = (&shape[..axis], &shape[axis + 1..]);
    [before.iter().product(), shape[axis], after.iter().product()]
}

impl ArgReduce {
    fn eval_typed<T: Number>(&self, x: &Buffer) -> Buffer {
        let [n_before, n, n_after] = around(x.shape(), self.axis);
        let better = |x: T, best: T| {
            let further = if self.greatest { x > best } else { x < best };
            !best.is_nan() && (further || x.is_nan())
        };
        let values = x.values::<T>();
        let mut indices = Vec::with_capacity(n_before * n_after);
        for block in values.chunks_exact((n * n_after).max(1)) {
            let (first, rest) = block.split_at(n_after);
            let mut best = first.to_vec();
            let start = indices.len();
            indices.resize(start + n_after, 0);
            for (i, row) in rest.chunks_exact(n_after).enumerate() {
                let so_far = best.iter_mut().zip(&mut indices[start..]);
                for ((best, index), &x) in so_far.zip(row) {
                    if better(x, *best) {
                        (*best, *index) = (x, i as i32 + 1);
                    }
                }
            }
        }
        Buffer::new(x.shape().without(self.axis), indices)
    }
}

impl Rules for ArgReduce {
    fn name(&self) -> &'static str {
        if self.greatest { "argmax" } else { "argmin" }
    }

    fn params(&self) -> Params {
        Params::new().with("axis", self.axis)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        let greatest = match name {
            "argmax" => true,
            "argmin" => false,
            _ => return None,
        };
        Some(ArgReduce { greatest, axis: params.size("axis")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        check_axis(self.axis, x.rank())?;
        if x.dtype == DType::Bool {
            return Err(
                Misfit::new("takes numbers, not bool").help("convert the array with `.to(..)`")
            );
        }
        if x.shape[self.axis] == 0 {
            return Err(Misfit::new(format!(
                "axis {} of {x} has no elements to choose from",
                self.axis
            )));
        }
        Ok(vec![Aval::new(DType::I32, x.shape.without(self.axis))])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let x = &inputs[0];
        vec![dispatch!(number x.dtype(), T => self.eval_typed::<T>(x))]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        _tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        (vec![b.bind1(self.clone(), primals)], vec![Tangent::Zero])
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        panic!("internal: {} is not linear", self.name())
    }

    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_one(b, ArgReduce { axis: self.axis + 1, ..*self }, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for greatest in [true, false] {
            for dtype in [DType::F32, DType::F64, DType::I32, DType::U32] {
                let mut example = |axis: usize, operand: &[usize]| {
                    examples.push((ArgReduce { greatest, axis }, vec![Aval::new(dtype, operand)]));
                };
                example(0, &[5]);
                example(1, &[2, 3]);
                example(1, &[2, 3, 4]);
                example(1, &[0, 3]);
                example(0, &[3, 0]);
            }
        }
        examples
    }
}

/// A value and its tangent.
type Dual = [Atom; 2];

impl Cumulative {
    fn eval_typed<T: Number>(&self, x: &Buffer) -> Buffer {
        let join = match self.fold {
            Fold::Sum => T::add,
            Fold::Prod => T::mul,
            Fold::Max => <T as Number>::max,
            Fold::Min => <T as Number>::min,
            Fold::And | Fold::Or => unreachable!("internal: infer let {:?} through", self.fold),
        };
        let [_, n, n_after] = around(x.shape(), self.axis);
        let mut values = x.values::<T>().into_owned();
        for block in values.chunks_exact_mut((n * n_after).max(1)) {
            for i in 1..n {
                // The row that is ready, and the next one.
                let (to, from) = if self.reverse { (n - 1 - i, n - i) } else { (i, i - 1) };
                let (low, high) = block.split_at_mut(to.max(from) * n_after);
                let (low, high) = (&mut low[to.min(from) * n_after..], &mut high[..n_after]);
                let (ready, next) = if self.reverse { (high, low) } else { (low, high) };
                next.iter_mut().zip(ready.iter()).for_each(|(y, &sum)| *y = join(sum, *y));
            }
        }
        Buffer::new(x.shape().clone(), values)
    }

    /// `x` and its tangent, joined.
    fn join(&self, b: &mut Builder, [x, dx]: Dual, [y, dy]: Dual) -> Dual {
        let tangents = [Tangent::Value(dx), Tangent::Value(dy)];
        let (z, dz) = self.fold.binary().jvp(b, &[x, y], &tangents);
        [z[0], dz[0].instantiate(b, z[0])]
    }

    /// All running folds and their tangents, by pairs: first of neighbours, then, from the running
    /// folds of these, which are every second result, of the others. The tree decides how ties
    /// share a tangent, and is that of `jax.lax.associative_scan`.
    fn scan(&self, b: &mut Builder, xs: Dual) -> Dual {
        let axis = self.axis;
        let shape = b.aval(xs[0]).shape;
        let n = shape[axis];
        if n < 2 {
            return xs;
        }
        let take = |b: &mut Builder, xs: Dual, start: usize, size: usize, step: usize| {
            xs.map(|x| {
                let shape = b.aval(x).shape;
                b.bind1(Slice::strided(&shape, axis, start, size, step), &[x])
            })
        };
        let (n_odd, n_even) = (n / 2, n - n / 2);
        let left = take(b, xs, 0, n_odd, 2);
        let right = take(b, xs, 1, n_odd, 2);
        let pairs = self.join(b, left, right);
        let odd = self.scan(b, pairs);
        let mut even = take(b, xs, 0, 1, 1);
        if n_even > 1 {
            let before = take(b, odd, 0, n_even - 1, 1);
            let at = take(b, xs, 2, n_even - 1, 2);
            let rest = self.join(b, before, at);
            even = [0, 1].map(|i| b.bind1(Concat { axis }, &[even[i], rest[i]]));
        }
        // The results at even and odd places, with zeros between them, add up to all.
        let last_even = (n % 2) as i64;
        [0, 1].map(|i| {
            let zero = b.lit(0.0, xs[0]);
            let rank = shape.rank();
            let even = b.bind1(Pad::along(rank, axis, 0, 1 - last_even, 1), &[even[i], zero]);
            let odd = b.bind1(Pad::along(rank, axis, 1, last_even, 1), &[odd[i], zero]);
            b.add(even, odd)
        })
    }
}

impl Rules for Cumulative {
    fn name(&self) -> &'static str {
        match self.fold {
            Fold::Sum => "cumsum",
            Fold::Prod => "cumprod",
            Fold::Max => "cummax",
            Fold::Min => "cummin",
            Fold::And => "cumand",
            Fold::Or => "cumor",
        }
    }

    fn params(&self) -> Params {
        Params::new().with("axis", self.axis).with("reverse", self.reverse)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        let fold = match name {
            "cumsum" => Fold::Sum,
            "cumprod" => Fold::Prod,
            "cummax" => Fold::Max,
            "cummin" => Fold::Min,
            _ => return None,
        };
        Some(Cumulative { fold, axis: params.size("axis")?, reverse: params.flag("reverse")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        if matches!(self.fold, Fold::And | Fold::Or) {
            return Err(Misfit::new("truth values have no running folds")
                .help("convert to numbers, then take `cummin` for and, `cummax` for or"));
        }
        self.fold.check(x.dtype)?;
        check_axis(self.axis, x.rank())?;
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let x = &inputs[0];
        vec![dispatch!(number x.dtype(), T => self.eval_typed::<T>(x))]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let x = primals[0];
        if self.fold == Fold::Sum {
            return linear_jvp(b, self.clone(), x, tangents[0]);
        }
        let y = b.bind1(self.clone(), &[x]);
        let Tangent::Value(dx) = tangents[0] else {
            return (vec![y], vec![Tangent::Zero]);
        };
        let turn = |b: &mut Builder, x: Atom| match self.reverse {
            true => b.bind1(Reverse { axes: vec![self.axis] }, &[x]),
            false => x,
        };
        let xs = [x, dx].map(|x| turn(b, x));
        let [_, dy] = self.scan(b, xs);
        (vec![y], vec![Tangent::Value(turn(b, dy))])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        assert!(self.fold == Fold::Sum, "internal: {} is not linear", self.name());
        let back = Cumulative { reverse: !self.reverse, ..self.clone() };
        linear_transpose(cts[0], |ct| b.bind1(back, &[ct]))
    }

    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_one(b, Cumulative { axis: self.axis + 1, ..self.clone() }, inputs[0])
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for fold in [Fold::Sum, Fold::Prod, Fold::Max, Fold::Min] {
            for reverse in [false, true] {
                let mut example = |axis: usize, dtype: DType, operand: &[usize]| {
                    let prim = Cumulative { fold, axis, reverse };
                    examples.push((prim, vec![Aval::new(dtype, operand)]));
                };
                for dtype in [DType::F32, DType::F64, DType::I32, DType::U32] {
                    example(1, dtype, &[2, 3]);
                }
                example(0, DType::F64, &[1]);
                example(0, DType::F64, &[7]);
                example(0, DType::F64, &[4, 2]);
                example(1, DType::F64, &[2, 5, 2]);
                example(0, DType::F64, &[0]);
                example(0, DType::F64, &[3, 0]);
            }
        }
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(fold: Fold, axes: &[usize], x: &Buffer) -> Buffer {
        let prim = Reduce { fold, axes: axes.into() };
        let inferred = prim.infer(&[Aval::of(x)]).unwrap();
        let y = prim.eval(std::slice::from_ref(x)).remove(0);
        assert_eq!(Aval::of(&y), inferred[0]);
        y
    }

    fn counting(shape: &[usize]) -> Buffer {
        let shape = Shape::from(shape);
        Buffer::new(shape.clone(), (0..shape.count() as i32).collect())
    }

    #[test]
    fn folds_take_the_axes_they_name() {
        let x = counting(&[2, 3, 2]);
        assert_eq!(*reduce(Fold::Sum, &[0], &x).values::<i32>(), [6, 8, 10, 12, 14, 16]);
        assert_eq!(*reduce(Fold::Sum, &[1], &x).values::<i32>(), [6, 9, 24, 27]);
        assert_eq!(*reduce(Fold::Sum, &[2, 0], &x).values::<i32>(), [14, 22, 30]);
        assert_eq!(*reduce(Fold::Max, &[0, 1, 2], &x).values::<i32>(), [11]);
        assert_eq!(*reduce(Fold::Min, &[1], &x).values::<i32>(), [0, 1, 6, 7]);
        assert_eq!(*reduce(Fold::Prod, &[0, 2], &x).values::<i32>(), [0, 432, 2200]);
        let y = x.transpose(&[2, 0, 1]);
        assert_eq!(*reduce(Fold::Sum, &[0, 2], &y).values::<i32>(), [15, 51]);
    }

    #[test]
    fn folds_of_nothing_change_nothing() {
        let x = Buffer::new::<f32>([2, 0], vec![]);
        let of = |fold| reduce(fold, &[1], &x).values::<f32>().to_vec();
        assert_eq!(of(Fold::Sum), [0.0; 2]);
        assert_eq!(of(Fold::Prod), [1.0; 2]);
        assert_eq!(of(Fold::Max), [f32::NEG_INFINITY; 2]);
        assert_eq!(of(Fold::Min), [f32::INFINITY; 2]);
        let x = Buffer::new::<bool>([0], vec![]);
        assert_eq!(*reduce(Fold::And, &[0], &x).values::<bool>(), [true]);
        assert_eq!(*reduce(Fold::Or, &[0], &x).values::<bool>(), [false]);
    }

    #[test]
    fn nan_wins_the_greatest_and_the_least() {
        let x = Buffer::new(3, vec![1.0, f64::NAN, 2.0]);
        assert!(reduce(Fold::Max, &[0], &x).values::<f64>()[0].is_nan());
        assert!(reduce(Fold::Min, &[0], &x).values::<f64>()[0].is_nan());
    }

    #[test]
    fn the_order_of_a_sum_does_not_depend_on_the_layout() {
        let values: Vec<f32> = (0..3 * 29).map(|i| 1.0 / (i as f32 + 0.7)).collect();
        let x = Buffer::new([3, 29], values);
        let y = x.transpose(&[1, 0]).to_dense().transpose(&[1, 0]);
        for axes in [&[0][..], &[1], &[0, 1]] {
            assert!(reduce(Fold::Sum, axes, &x).same(&reduce(Fold::Sum, axes, &y)));
        }
    }

    #[test]
    fn a_row_is_summed_by_eight_accumulators() {
        // 1e8 and -1e8 meet in one accumulator, so that the ones are not lost.
        let mut row = vec![1.0f32; 17];
        (row[3], row[11]) = (1e8, -1e8);
        assert_eq!(*reduce(Fold::Sum, &[0], &Buffer::new(17, row)).values::<f32>(), [15.0]);
    }

    #[test]
    fn the_first_of_equals_and_nan_are_chosen() {
        let arg = |greatest, values: &[f64]| {
            let x = Buffer::new(values.len(), values.to_vec());
            ArgReduce { greatest, axis: 0 }.eval(&[x])[0].values::<i32>()[0]
        };
        assert_eq!(arg(true, &[1., 3., 3., -1., 3., -1.]), 1);
        assert_eq!(arg(false, &[1., 3., 3., -1., 3., -1.]), 3);
        assert_eq!(arg(true, &[1., f64::NAN, 9., f64::NAN]), 1);
        assert_eq!(arg(false, &[f64::NAN, f64::NEG_INFINITY]), 0);
        assert_eq!(arg(true, &[f64::NEG_INFINITY, f64::NEG_INFINITY]), 0);
        assert_eq!(arg(false, &[0.0, -0.0]), 0);
        let x = Buffer::new([2, 3, 2], vec![1, 9, 5, 9, 5, 2, 0, 0, -1, 4, 7, 3]);
        let y = ArgReduce { greatest: true, axis: 1 }.eval(&[x]).remove(0);
        assert_eq!(*y.values::<i32>(), [1, 0, 2, 1]);
    }

    #[test]
    fn running_folds_go_both_ways() {
        let x = Buffer::new([3, 2], vec![1, 5, 2, -4, 3, 0]);
        let run = |fold, axis, reverse| {
            Cumulative { fold, axis, reverse }.eval(std::slice::from_ref(&x))[0]
                .values::<i32>()
                .to_vec()
        };
        assert_eq!(run(Fold::Sum, 0, false), [1, 5, 3, 1, 6, 1]);
        assert_eq!(run(Fold::Sum, 0, true), [6, 1, 5, -4, 3, 0]);
        assert_eq!(run(Fold::Sum, 1, false), [1, 6, 2, -2, 3, 3]);
        assert_eq!(run(Fold::Prod, 1, true), [5, 5, -8, -4, 0, 0]);
        assert_eq!(run(Fold::Max, 0, true), [3, 5, 3, 0, 3, 0]);
        assert_eq!(run(Fold::Min, 0, false), [1, 5, 1, -4, 1, -4]);
    }

    #[test]
    fn names_and_parameters_read_back() {
        fn check<P: Rules + PartialEq + std::fmt::Debug>() {
            for (prim, _) in P::examples() {
                assert_eq!(P::from_params(prim.name(), &prim.params()).as_ref(), Some(&prim));
            }
        }
        check::<Reduce>();
        check::<ArgReduce>();
        check::<Cumulative>();
    }
}
