//! Sorting several arrays together.

use std::cmp::Ordering;

use super::movement::check_axis;
use super::reduce::around;
use super::*;
use crate::buffer::{DType, Element, Scalar, dispatch};

/// Sorts arrays of one shape along an axis by the first of them, and by the next where those are
/// equal. Ascending and stable: what is equal in all keys keeps its order. `-0` and `0` are equal;
/// NaN comes last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// The axis.
    pub axis: usize,
    /// How many inputs, from the first, are compared; at least one.
    pub n_keys: usize,
}

/// The value's place among those of its type: greater values have greater places.
fn place<T: Element>(x: T) -> u64 {
    // Floats of one sign are ordered as their bits are, negative ones the other way round.
    let float = |bits: u64| {
        if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
    };
    match x.scalar() {
        Scalar::F32(x) if x.is_nan() => u64::MAX,
        Scalar::F64(x) if x.is_nan() => u64::MAX,
        // -0 + 0 = 0
        Scalar::F32(x) => float((f64::from(x) + 0.0).to_bits()),
        Scalar::F64(x) => float((x + 0.0).to_bits()),
        Scalar::I32(x) => u64::from(x as u32 ^ 1 << 31),
        Scalar::U32(x) => u64::from(x),
        Scalar::Bool(x) => u64::from(x),
    }
}

fn places(x: &Buffer) -> Vec<u64> {
    dispatch!(all x.dtype(), T => x.values::<T>().iter().map(|&x| place(x)).collect())
}

impl Sort {
    /// For each element of the results in row-major order, where in the inputs it comes from.
    fn sources(&self, inputs: &[Buffer]) -> Vec<usize> {
        let keys: Vec<Vec<u64>> = inputs[..self.n_keys].iter().map(places).collect();
        let compare = |i: &usize, j: &usize| {
            let differ = keys.iter().map(|key| key[*i].cmp(&key[*j])).find(|order| order.is_ne());
            differ.unwrap_or(Ordering::Equal)
        };
        let shape = inputs[0].shape();
        let [n_before, n, n_after] = around(shape, self.axis);
        let mut sources = vec![0; shape.count()];
        let mut line = Vec::with_capacity(n);
        for start in (0..n_before).flat_map(|i| (0..n_after).map(move |j| i * n * n_after + j)) {
            let places = (0..n).map(|i| start + i * n_after);
            line.clear();
            line.extend(places.clone());
            line.sort_by(compare);
            for (to, &from) in places.zip(&line) {
                sources[to] = from;
            }
        }
        sources
    }
}

impl Rules for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn params(&self) -> Params {
        Params::new().with("axis", self.axis).with("n_keys", self.n_keys)
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "sort").then_some(())?;
        Some(Sort { axis: params.size("axis")?, n_keys: params.size("n_keys")? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        if self.n_keys == 0 || self.n_keys > inputs.len() {
            return Err(Misfit::new(format!(
                "sorts by the first {} of {} arrays",
                self.n_keys,
                inputs.len()
            ))
            .help("sort by at least one of the arrays"));
        }
        let shape = &inputs[0].shape;
        check_axis(self.axis, shape.rank())?;
        if let Some(other) = inputs.iter().find(|aval| aval.shape != *shape) {
            return Err(Misfit::new(format!("{shape} and {} are different shapes", other.shape)));
        }
        Ok(inputs.to_vec())
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let sources = self.sources(inputs);
        let sorted = |x: &Buffer| {
            dispatch!(all x.dtype(), T => {
                let values = x.values::<T>();
                let sorted: Vec<T> = sources.iter().map(|&from| values[from]).collect();
                Buffer::new(x.shape().clone(), sorted)
            })
        };
        inputs.iter().map(sorted).collect()
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        if tangents.iter().all(|&tangent| tangent == Tangent::Zero) {
            return (b.bind(self.clone(), primals), tangents.to_vec());
        }
        // An index that is sorted along says where each value came from.
        let shape = b.aval(primals[0]).shape;
        let rank = shape.rank();
        let index = b.bind1(Iota { dtype: DType::I32, shape, axis: self.axis }, &[]);
        let inputs: Vec<Atom> = primals.iter().copied().chain([index]).collect();
        let mut sorted = b.bind(self.clone(), &inputs);
        let from = sorted.pop().expect("internal: the sorted index");
        let from = b.move_axis(from, self.axis, rank - 1);
        let gather = Gather { n_batch: rank - 1, bounds: Bounds::Clip };
        let mut take = |dx: &Tangent| match *dx {
            Tangent::Zero => Tangent::Zero,
            Tangent::Value(dx) => {
                let dx = b.move_axis(dx, self.axis, rank - 1);
                let dy = b.bind1(gather, &[dx, from]);
                Tangent::Value(b.move_axis(dy, rank - 1, self.axis))
            }
        };
        let tangents = tangents.iter().map(&mut take).collect();
        (sorted, tangents)
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        panic!("internal: sort is not linear")
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let atoms: Vec<Atom> = inputs.iter().map(|x| x.materialize(b, size)).collect();
        let batched = Sort { axis: self.axis + 1, n_keys: self.n_keys };
        b.bind(batched, &atoms).into_iter().map(Batched::Mapped).collect()
    }

    fn examples() -> Vec<Example<Self>> {
        let example = |axis: usize, n_keys: usize, dtypes: &[DType], shape: &[usize]| {
            let avals = dtypes.iter().map(|&dtype| Aval::new(dtype, shape)).collect();
            (Sort { axis, n_keys }, avals)
        };
        let f64 = DType::F64;
        let mut examples = vec![
            example(0, 1, &[f64], &[5]),
            example(0, 1, &[f64], &[4, 2]),
            example(1, 1, &[f64, f64], &[2, 4]),
            example(1, 2, &[f64, f64], &[2, 3, 2]),
            example(0, 2, &[DType::Bool, f64, DType::I32], &[6]),
            example(0, 1, &[DType::I32, f64], &[5]),
            example(0, 1, &[f64], &[0]),
            example(1, 1, &[f64], &[0, 3]),
        ];
        examples.extend(DType::ALL.map(|dtype| example(0, 1, &[dtype], &[5])));
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Shape;

    #[test]
    fn zeros_are_equal_and_nan_comes_last() {
        let x = Buffer::new(6, vec![f64::NAN, 0.0, -1.5, -0.0, f64::INFINITY, -f64::NAN]);
        let index = Iota { dtype: DType::I32, shape: [6].into(), axis: 0 }.eval(&[]).remove(0);
        let sorted = Sort { axis: 0, n_keys: 1 }.eval(&[x, index]);
        assert_eq!(*sorted[1].values::<i32>(), [2, 1, 3, 4, 0, 5]);
        let zeros = &sorted[0].values::<f64>()[1..3];
        assert!(zeros[0].is_sign_positive() && zeros[1].is_sign_negative());
    }

    #[test]
    fn later_keys_break_ties_and_the_rest_follows() {
        let x = Buffer::new(5, vec![2, -1, 2, -1, 2]);
        let y = Buffer::new(5, vec![0.5f32, 1.0, -0.5, f32::NEG_INFINITY, 0.5]);
        let z = Buffer::new(5, vec![0u32, 1, 2, 3, 4]);
        let sorted = Sort { axis: 0, n_keys: 2 }.eval(&[x, y, z]);
        assert_eq!(*sorted[0].values::<i32>(), [-1, -1, 2, 2, 2]);
        assert_eq!(*sorted[1].values::<f32>(), [f32::NEG_INFINITY, 1.0, -0.5, 0.5, 0.5]);
        assert_eq!(*sorted[2].values::<u32>(), [3, 1, 2, 0, 4]);
    }

    #[test]
    fn each_line_along_the_axis_is_sorted_for_itself() {
        let x = Buffer::new([2, 3, 2], vec![3, 9, 1, 8, 2, 7, 6, 1, 5, 2, 4, 3]);
        let sorted = Sort { axis: 1, n_keys: 1 }.eval(&[x]).remove(0);
        assert_eq!(*sorted.shape(), Shape::from([2, 3, 2]));
        assert_eq!(*sorted.values::<i32>(), [1, 7, 2, 8, 3, 9, 4, 1, 5, 2, 6, 3]);
    }

    #[test]
    fn greater_values_have_greater_places() {
        fn check<T: Element>(ascending: &[T]) {
            assert!(ascending.windows(2).all(|pair| place(pair[0]) < place(pair[1])));
        }
        check(&[f32::NEG_INFINITY, -2.0, -1e-40, 0.0, 1e-40, 2.0, f32::INFINITY, f32::NAN]);
        check(&[f64::NEG_INFINITY, -2.0, -1e-310, 0.0, 1e-310, 2.0, f64::INFINITY, f64::NAN]);
        check(&[i32::MIN, -1, 0, 1, i32::MAX]);
        check(&[0, 1, u32::MAX]);
        check(&[false, true]);
        assert_eq!(place(0.0), place(-0.0));
    }

    #[test]
    fn names_and_parameters_read_back() {
        for (sort, _) in Sort::examples() {
            assert_eq!(Sort::from_params("sort", &sort.params()), Some(sort));
        }
    }
}
