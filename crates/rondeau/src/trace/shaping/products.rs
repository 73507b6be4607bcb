//! Products: `dot`, `matmul`, `outer`, `einsum`. Each is one `dot_general`, and moves axes only
//! where its result has another order.

use std::borrow::Borrow;
use std::panic::Location;

use super::{At, bind_to, or_mistake, permute, reshaped};
use crate::buffer::Shape;
use crate::error::{Error, Result};
use crate::prim::{DotGeneral, Fold, Reduce};
use crate::trace::operators::unify;
use crate::trace::{Array, Operand, bind1};

impl Array {
    /// The sums of products over the last axis of `self` and the second to last of `other` (the
    /// only one of a vector); with a number, the product.
    ///
    /// # Shapes
    /// `[n]·[n] → []`, `[m, n]·[n] → [m]`, `[n]·[n, k] → [k]`, `[m, n]·[n, k] → [m, k]`,
    /// `[.., n]·[.., n, k] → [.., .., k]`.
    /// # Errors
    /// The result carries a mistake if the two sizes differ; it names both.
    /// # Source
    /// `jax.numpy.dot`.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let w = Array::from([[1.0_f32, 2.0], [3.0, 4.0]]);
    /// let x = Array::from([1.0_f32, 1.0]);
    /// assert_eq!(w.dot(&x).to_vec::<f32>()?, [3.0, 7.0]);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    #[track_caller]
    pub fn dot(&self, other: impl Operand) -> Array {
        let at = Location::caller();
        let (x, y) = match unify("dot", self, other) {
            Ok(pair) => pair,
            Err(error) => return Array::mistake(error.at(at)),
        };
        if x.rank() == 0 || y.rank() == 0 {
            return x * y;
        }
        let (left, right) = (x.rank() - 1, y.rank().saturating_sub(2));
        if x.shape()[left] != y.shape()[right] {
            let sides = [(x.describe(), left), (y.describe(), right)];
            return Array::mistake(Error::contracted("dot", &sides).at(at));
        }
        let prim = DotGeneral {
            lhs_contract: vec![left],
            rhs_contract: vec![right],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        bind1(prim, &[x, y], at)
    }

    /// The matrix products of the last two axes; the axes before them broadcast together. A
    /// vector is a row on the left, a column on the right.
    ///
    /// # Shapes
    /// `[.., m, n]·[.., n, k] → [.., m, k]`, `[n]·[.., n, k] → [.., k]`, `[.., m, n]·[n] → [.., m]`.
    /// # Source
    /// `jax.numpy.matmul`.
    /// # Examples
    /// ```
    /// use rondeau::Array;
    ///
    /// let (x, y) = (Array::ones([7, 2, 3]), Array::ones([3, 4]));
    /// assert_eq!(x.matmul(&y).shape(), [7, 2, 4]);
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: impl Operand) -> Array {
        let at = Location::caller();
        or_mistake(matmul(self, other, at), at)
    }

    /// The products of each element of one array with each of another, both along one axis.
    ///
    /// # Shapes
    /// `[m]`, `[n]` → `[m, n]`; other arrays are [raveled](Array::ravel) first.
    #[track_caller]
    pub fn outer(&self, other: impl Operand) -> Array {
        let at = Location::caller();
        let (x, y) = match unify("outer", self, other) {
            Ok(pair) => pair,
            Err(error) => return Array::mistake(error.at(at)),
        };
        let prim = DotGeneral {
            lhs_contract: vec![],
            rhs_contract: vec![],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        bind1(prim, &[x.ravel(), y.ravel()], at)
    }
}

/// A name for the axis that the index letter of an equation stands for.
type Label = u32;

fn matmul(x: &Array, y: impl Operand, at: At) -> Result<Array> {
    let (x, y) = unify("matmul", x, y)?;
    let (left, right) = (x.aval()?, y.aval()?);
    if left.rank() == 0 || right.rank() == 0 {
        let scalar = if left.rank() == 0 { left } else { right };
        return Err(Error::rank("matmul", "matrices or vectors", &scalar.to_string()));
    }
    let sides =
        [(left.to_string(), left.rank() - 1), (right.to_string(), right.rank().saturating_sub(2))];
    if left.shape[sides[0].1] != right.shape[sides[1].1] {
        return Err(Error::contracted("matmul", &sides));
    }
    const ROW: Label = 0;
    const INNER: Label = 1;
    const COL: Label = 2;
    let n_batch = |rank: usize| rank.saturating_sub(2);
    let batch = n_batch(left.rank()).max(n_batch(right.rank()));
    // Batch axes are named from the last, where they are matched.
    let name = |i: usize, rank: usize| COL + (rank - i) as Label;
    let axes = |rank: usize, last: &[Label]| -> Vec<Label> {
        let batch = n_batch(rank);
        (0..batch).map(|i| name(i, batch)).chain(last.iter().copied()).collect()
    };
    let x_last: &[Label] = if left.rank() == 1 { &[INNER] } else { &[ROW, INNER] };
    let y_last: &[Label] = if right.rank() == 1 { &[INNER] } else { &[INNER, COL] };
    let (x_axes, y_axes) = (axes(left.rank(), x_last), axes(right.rank(), y_last));
    let mut result: Vec<Label> = (0..batch).map(|i| name(i, batch)).collect();
    result.extend((left.rank() > 1).then_some(ROW));
    result.extend((right.rank() > 1).then_some(COL));

    let size = |label: Label, axes: &[Label], shape: &Shape| {
        axes.iter().position(|&axis| axis == label).map(|axis| shape[axis])
    };
    for &label in &result[..batch] {
        let sizes = (size(label, &x_axes, &left.shape), size(label, &y_axes, &right.shape));
        if let (Some(m), Some(n)) = sizes
            && m != n
            && m != 1
            && n != 1
        {
            return Err(Error::broadcast("matmul", &left.to_string(), &right.to_string()));
        }
    }
    // An axis of size 1 beside a larger one is left out: the other side has it alone.
    let squeeze = |x: &Array, axes: &[Label], other: &[Label], other_shape: &Shape| {
        let keep = |(axis, &label): (usize, &Label)| {
            let alone = size(label, other, other_shape).is_none_or(|n| n == 1);
            label <= COL || alone || x.shape()[axis] != 1
        };
        let kept: Vec<usize> = axes
            .iter()
            .enumerate()
            .filter(|&(axis, label)| keep((axis, label)))
            .map(|(axis, _)| axis)
            .collect();
        let shape: Shape = kept.iter().map(|&axis| x.shape()[axis]).collect();
        (reshaped(x, shape, at), kept.iter().map(|&axis| axes[axis]).collect::<Vec<_>>())
    };
    let (x, x_kept) = squeeze(&x, &x_axes, &y_axes, &right.shape);
    let (y, y_kept) = squeeze(&y, &y_axes, &x_axes, &left.shape);
    Ok(contract(&x, &x_kept, &y, &y_kept, &result, at))
}

/// The sums of products of two arrays over the labels that the result does not have. Labels are
/// unique on each side; equal ones have equal sizes; the result has no others.
fn contract(
    x: &Array,
    x_axes: &[Label],
    y: &Array,
    y_axes: &[Label],
    result: &[Label],
    at: At,
) -> Array {
    let (x, x_axes) =
        sum_out(x, x_axes, |label| y_axes.contains(&label) || result.contains(&label), at);
    let (y, y_axes) =
        sum_out(y, y_axes, |label| x_axes.contains(&label) || result.contains(&label), at);
    let (straight, axes) = product(&x_axes, &y_axes, result);
    let (prim, inputs, axes) = if axes == result {
        (straight, [x, y], axes)
    } else {
        let (swapped, other_axes) = product(&y_axes, &x_axes, result);
        if other_axes == result { (swapped, [y, x], other_axes) } else { (straight, [x, y], axes) }
    };
    let z = bind1(prim, &inputs, at);
    let place = |label: &Label| axes.iter().position(|axis| axis == label);
    permute(&z, result.iter().filter_map(place).collect(), at)
}

/// The product of arrays with these axes, and the axes of its result.
fn product(x: &[Label], y: &[Label], result: &[Label]) -> (DotGeneral, Vec<Label>) {
    let place = |axes: &[Label], label: Label| axes.iter().position(|&axis| axis == label);
    let mut prim = DotGeneral {
        lhs_contract: vec![],
        rhs_contract: vec![],
        lhs_batch: vec![],
        rhs_batch: vec![],
    };
    for (i, &label) in x.iter().enumerate() {
        if let (Some(j), false) = (place(y, label), result.contains(&label)) {
            prim.lhs_contract.push(i);
            prim.rhs_contract.push(j);
        }
    }
    // Batch axes come in the order that the result wants.
    for &label in result {
        if let (Some(i), Some(j)) = (place(x, label), place(y, label)) {
            prim.lhs_batch.push(i);
            prim.rhs_batch.push(j);
        }
    }
    let batch = prim.lhs_batch.iter().map(|&axis| x[axis]);
    let x_free = x.iter().copied().filter(|label| !y.contains(label));
    let y_free = y.iter().copied().filter(|label| !x.contains(label));
    let axes = batch.chain(x_free).chain(y_free).collect();
    (prim, axes)
}

/// Sums over the axes that are not kept.
fn sum_out(x: &Array, axes: &[Label], keep: impl Fn(Label) -> bool, at: At) -> (Array, Vec<Label>) {
    let (kept, summed): (Vec<usize>, Vec<usize>) = (0..axes.len()).partition(|&i| keep(axes[i]));
    let kept = kept.into_iter().map(|i| axes[i]).collect();
    if summed.is_empty() {
        return (x.clone(), kept);
    }
    (bind_to(Reduce { fold: Fold::Sum, axes: summed }, x, at), kept)
}

/// The sums of products over pairs of axes, for each index of paired batch axes.
///
/// `contract` and `batch` hold the axes of `x` and, in the same order, their partners of `y`. The
/// result has the batch axes, then the other axes of `x`, then those of `y`.
///
/// # Source
/// `jax.lax.dot_general`.
/// # Examples
/// ```
/// use rondeau::{Array, trace::dot_general};
///
/// let (x, y) = (Array::ones([7, 2, 3]), Array::ones([4, 3, 7]));
/// let z = dot_general(&x, &y, (&[2], &[1]), (&[0], &[2]));
/// assert_eq!(z.shape(), [7, 2, 4]);
/// ```
#[track_caller]
pub fn dot_general(
    x: &Array,
    y: &Array,
    contract: (&[usize], &[usize]),
    batch: (&[usize], &[usize]),
) -> Array {
    let prim = DotGeneral {
        lhs_contract: contract.0.to_vec(),
        rhs_contract: contract.1.to_vec(),
        lhs_batch: batch.0.to_vec(),
        rhs_batch: batch.1.to_vec(),
    };
    bind1(prim, &[x.clone(), y.clone()], Location::caller())
}

/// Sums of products in Einstein's notation, of one or two arrays: a letter names an axis, equal
/// letters run together, and letters that the result does not have are summed over.
///
/// # Errors
/// The result carries a mistake if the text does not fit the arrays, or a letter comes twice on
/// one array (use [`Array::diagonal`]).
/// # Examples
/// ```
/// use rondeau::{Array, trace::einsum};
///
/// let (x, w) = (Array::ones([4, 2]), Array::ones([2, 3]));
/// assert_eq!(einsum("bi,ij->bj", &[&x, &w]).shape(), [4, 3]);
/// assert_eq!(einsum("bi->i", &[&x]).to_vec::<f32>()?, [4.0, 4.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn einsum<A: Borrow<Array>>(equation: &str, arrays: &[A]) -> Array {
    let at = Location::caller();
    let arrays: Vec<Array> = arrays.iter().map(|array| array.borrow().clone()).collect();
    or_mistake(einsum_at(equation, &arrays, at), at)
}

fn labels(text: &str) -> Vec<Label> {
    text.chars().filter(|c| !c.is_whitespace()).map(Label::from).collect()
}

fn einsum_at(equation: &str, arrays: &[Array], at: At) -> Result<Array> {
    if let Some(error) = arrays.iter().find_map(Array::error) {
        return Err(error.clone());
    }
    let fault = |what: String| {
        let described: Vec<String> = arrays.iter().map(Array::describe).collect();
        Error::einsum(equation, &what, &described)
    };
    let Some((inputs, result)) = equation.split_once("->") else {
        return Err(fault("there is no `->`".to_owned()));
    };
    let inputs: Vec<Vec<Label>> = inputs.split(',').map(labels).collect();
    let result = labels(result);
    if inputs.len() != arrays.len() {
        return Err(fault(format!(
            "it has {} inputs, and {} are given",
            inputs.len(),
            arrays.len()
        )));
    }
    let letter = |label: Label| char::from_u32(label).unwrap_or('?');
    let mut sizes: Vec<(Label, usize)> = Vec::new();
    for (axes, array) in inputs.iter().zip(arrays) {
        if axes.len() != array.rank() {
            let text: String = axes.iter().map(|&label| letter(label)).collect();
            return Err(fault(format!("`{text}` does not name the axes of {}", array.describe())));
        }
        for (&label, &size) in axes.iter().zip(array.shape()) {
            if !letter(label).is_ascii_alphabetic() {
                return Err(fault(format!("`{}` is not a letter", letter(label))));
            }
            match sizes.iter().find(|(known, _)| *known == label) {
                Some((_, known)) if *known != size => {
                    let letter = letter(label);
                    return Err(fault(format!("`{letter}` has the sizes {known} and {size}")));
                }
                _ => sizes.push((label, size)),
            }
        }
    }
    for axes in inputs.iter().chain([&result]) {
        if let Some(i) = (1..axes.len()).find(|&i| axes[..i].contains(&axes[i])) {
            let letter = letter(axes[i]);
            return Err(fault(format!(
                "`{letter}` comes twice on one array; take its `diagonal` first"
            )));
        }
    }
    if let Some(&label) =
        result.iter().find(|&&label| sizes.iter().all(|(known, _)| *known != label))
    {
        return Err(fault(format!("`{}` is in the result alone", letter(label))));
    }
    match (arrays, &inputs[..]) {
        ([x], [axes]) => {
            let (summed, kept) = sum_out(x, axes, |label| result.contains(&label), at);
            let place = |label: &Label| kept.iter().position(|axis| axis == label);
            Ok(permute(&summed, result.iter().filter_map(place).collect(), at))
        }
        ([x, y], [x_axes, y_axes]) => {
            let (x, y) = unify("einsum", x, y)?;
            Ok(contract(&x, x_axes, &y, y_axes, &result, at))
        }
        _ => Err(fault("one or two inputs are supported".to_owned())),
    }
}
