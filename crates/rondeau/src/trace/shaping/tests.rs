//! Shapes and products, by hand-computed values and texts.

use super::*;
use crate::ir::Program;
use crate::trace::methods::tests::{assert_near, gradient, texts_of};
use crate::trace::trace;

fn ints(x: &Array) -> Vec<i32> {
    x.to_vec().unwrap()
}

/// The program of `f` on f32 inputs of these shapes.
fn program(shapes: &[&[usize]], f: impl FnOnce(&[Array]) -> Array) -> String {
    let inputs = shapes.iter().map(|&shape| (Aval::new(DType::F32, shape), String::new()));
    let closed = trace(inputs.collect(), |inputs| Ok(vec![f(&inputs)])).unwrap();
    assert!(closed.captured.is_empty(), "nothing is captured");
    let program: &Program = &closed.program;
    program.to_string()
}

#[test]
fn dot_of_all_ranks() {
    let v = Array::from([1, 2, 3]);
    let m = Array::arange(6).reshape([2, 3]);
    let t = Array::arange(12).reshape([2, 2, 3]);
    assert_eq!(v.dot(&v).item::<i32>().unwrap(), 14);
    assert_eq!(ints(&m.dot(&v)), [8, 26]);
    assert_eq!(ints(&v.dot(m.t())), [8, 26]);
    assert_eq!(ints(&m.dot(m.t())), [5, 14, 14, 50]);
    assert_eq!(t.dot(m.t()).shape(), [2, 2, 2]);
    assert_eq!(ints(&t.dot(m.t())), [5, 14, 14, 50, 23, 86, 32, 122]);
    assert_eq!(m.dot(Array::arange(24).reshape([2, 3, 4])).shape(), [2, 2, 4]);
    assert_eq!(ints(&v.dot(2)), [2, 4, 6]);
    assert_eq!(ints(&Array::from(2).dot(&v)), [2, 4, 6]);
    assert_eq!(Array::zeros([2, 0]).dot(Array::zeros([0, 3])).to_vec::<f32>().unwrap(), [0.0; 6]);
}

#[test]
fn products_are_one_equation() {
    let texts = [
        program(&[&[8, 5], &[5]], |x| x[0].dot(&x[1])),
        program(&[&[4, 2, 3], &[4, 3, 5]], |x| x[0].matmul(&x[1])),
        program(&[&[4, 2, 3], &[3, 5]], |x| x[0].matmul(&x[1])),
        program(&[&[3, 5], &[7, 5]], |x| einsum("ij,bj->bi", x)),
        program(&[&[8], &[5]], |x| x[0].outer(&x[1])),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
        { lambda a:f32[8,5] b:f32[5] .
          let c:f32[8] = dot_general[lhs_contract=[1] rhs_contract=[0] lhs_batch=[] rhs_batch=[]] a b
          in (c,) }
        { lambda a:f32[4,2,3] b:f32[4,3,5] .
          let c:f32[4,2,5] = dot_general[lhs_contract=[2] rhs_contract=[1] lhs_batch=[0] rhs_batch=[0]] a b
          in (c,) }
        { lambda a:f32[4,2,3] b:f32[3,5] .
          let c:f32[4,2,5] = dot_general[lhs_contract=[2] rhs_contract=[0] lhs_batch=[] rhs_batch=[]] a b
          in (c,) }
        { lambda a:f32[3,5] b:f32[7,5] .
          let c:f32[7,3] = dot_general[lhs_contract=[1] rhs_contract=[1] lhs_batch=[] rhs_batch=[]] b a
          in (c,) }
        { lambda a:f32[8] b:f32[5] .
          let c:f32[8,5] = dot_general[lhs_contract=[] rhs_contract=[] lhs_batch=[] rhs_batch=[]] a b
          in (c,) }
        "#);
}

#[test]
fn matmul_broadcasts() {
    let x = Array::arange(12).reshape([2, 2, 3]);
    let y = Array::arange(6).reshape([3, 2]);
    let expected = ints(&x.dot(&y));
    assert_eq!(ints(&x.matmul(&y)), expected);
    // One matrix on the left, several on the right.
    let z = Array::arange(12).reshape([2, 3, 2]);
    let first = y.t();
    let rows: Vec<Array> = (0..2).map(|i| first.dot(z.at(i))).collect();
    assert_eq!(ints(&first.matmul(&z)), ints(&stack(&rows, 0)));
    assert_eq!(ints(&first.reshape([1, 2, 3]).matmul(&z)), ints(&stack(&rows, 0)));
    // Axes of size 1 on both sides in turn.
    let (a, b) = (x.reshape([2, 1, 2, 3]), z.reshape([1, 2, 3, 2]));
    let product = a.matmul(&b);
    assert_eq!(product.shape(), [2, 2, 2, 2]);
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(ints(&product.at((i, j))), ints(&x.at(i).dot(z.at(j))));
    }
    let ones = Array::ones([1, 2, 3]).matmul(Array::ones([1, 3, 2]));
    assert_eq!(ones.shape(), [1, 2, 2]);
    let v = Array::from([1, 1, 1]);
    assert_eq!(ints(&x.matmul(&v)), [3, 12, 21, 30]);
    assert_eq!(v.matmul(&z).shape(), [2, 2]);
    assert_eq!(v.matmul(&v).item::<i32>().unwrap(), 3);
}

#[test]
fn einsum_and_dot_general() {
    let (x, y) = (Array::arange(6).reshape([2, 3]), Array::arange(12).reshape([3, 4]));
    assert_eq!(ints(&einsum("ij,jk->ik", &[&x, &y])), ints(&x.dot(&y)));
    assert_eq!(ints(&einsum("ij, jk -> ki", &[&x, &y])), ints(&x.dot(&y).t()));
    assert_eq!(ints(&einsum("ij->ji", &[&x])), ints(&x.t()));
    assert_eq!(ints(&einsum("ij->", &[&x])), [15]);
    assert_eq!(ints(&einsum("ij,ij->i", &[&x, &x])), [5, 50]);
    assert_eq!(ints(&einsum("ij,jk->k", &[&x, &y])), ints(&x.dot(&y).sum_axis(0)));
    let z = Array::arange(24).reshape([2, 3, 4]);
    let batched = dot_general(&x, &z, (&[1], &[1]), (&[0], &[0]));
    assert_eq!(ints(&batched), ints(&einsum("bj,bjk->bk", &[&x, &z])));
    let w = Array::from([[1.0_f64, 2.0], [3.0, 4.0]]);
    let slopes = gradient(|x| einsum("ij,jk->ki", &[x, &w]), &w);
    assert_near(&slopes, &[3.0, 7.0, 3.0, 7.0]);
}

#[test]
fn shapes_and_orders() {
    let x = Array::arange(6).reshape([1, 2, 3]);
    assert_eq!(x.t().shape(), [3, 2, 1]);
    assert_eq!(ints(&x.transpose(&[2, 0, 1])), [0, 3, 1, 4, 2, 5]);
    assert_eq!(x.swap_axes(0, -1).shape(), [3, 2, 1]);
    assert_eq!(x.move_axis(0, -1).shape(), [2, 3, 1]);
    assert_eq!(x.ravel().shape(), [6]);
    assert_eq!(x.squeeze(0).shape(), [2, 3]);
    assert_eq!(x.expand_dims(-1).shape(), [1, 2, 3, 1]);
    assert_eq!(x.expand_dims(1).shape(), [1, 1, 2, 3]);
    assert_eq!(ints(&x.flip(-1)), [2, 1, 0, 5, 4, 3]);
    assert_eq!(ints(&Array::from([1, 2]).broadcast_to([2, 2])), [1, 2, 1, 2]);
    assert_eq!(Array::from(1).broadcast_to([2, 2]).shape(), [2, 2]);
    assert_eq!(ints(&Array::arange(5).roll(2, 0)), [3, 4, 0, 1, 2]);
    assert_eq!(ints(&Array::arange(5).roll(-1, 0)), [1, 2, 3, 4, 0]);
    assert_eq!(ints(&Array::arange(2).repeat(2, 0)), [0, 0, 1, 1]);
    assert_eq!(ints(&Array::from([[1, 2]]).repeat(2, -2)), [1, 2, 1, 2]);
    assert_eq!(ints(&Array::from([[1], [2]]).tile(&[2])), [1, 1, 2, 2]);
    assert_eq!(Array::from([1, 2]).tile(&[3, 2]).shape(), [3, 4]);
}

#[test]
fn edges_and_parts() {
    let x = Array::from([1, 2, 3]);
    assert_eq!(ints(&x.pad(&[(1, 2)], 9)), [9, 1, 2, 3, 9, 9]);
    assert_eq!(ints(&x.pad_interior(&[(1, -1, 1)], 0)), [0, 1, 0, 2, 0]);
    assert_eq!(ints(&concatenate(&[&x, &x], 0)), [1, 2, 3, 1, 2, 3]);
    assert_eq!(ints(&concatenate(&[&x], 0)), [1, 2, 3]);
    assert_eq!(ints(&stack(&[&x, &x], 1)), [1, 1, 2, 2, 3, 3]);
    let parts = Array::arange(6).split(3, 0);
    assert_eq!(parts.iter().map(ints).collect::<Vec<_>>(), [[0, 1], [2, 3], [4, 5]]);
}

#[test]
fn choices() {
    let condition = Array::from([true, false]).expand_dims(-1);
    let chosen = where_(&condition, Array::from([[1, 2, 3], [4, 5, 6]]), Array::from([7, 8, 9]));
    assert_eq!(ints(&chosen), [1, 2, 3, 7, 8, 9]);
    assert_eq!(condition.select(1.0, 0.0).to_vec::<f32>().unwrap(), [1.0, 0.0]);
    assert_eq!(where_(true, 1, 2).item::<i32>().unwrap(), 1);
    // The root of what is not chosen is not differentiated.
    let x = Array::from([0.0_f64, 4.0]);
    let safe = |x: &Array| {
        let inside = x.gt(0.0);
        where_(&inside, where_(&inside, x, 1.0).sqrt(), 0.0)
    };
    assert_near(&gradient(safe, &x), &[0.0, 0.25]);
}

#[test]
fn masks_and_diagonals() {
    let x = Array::from([[1, 2, 3], [4, 5, 6]]);
    assert_eq!(ints(&x.tril(0)), [1, 0, 0, 4, 5, 0]);
    assert_eq!(ints(&x.tril(-1)), [0, 0, 0, 4, 0, 0]);
    assert_eq!(ints(&x.triu(0)), [1, 2, 3, 0, 5, 6]);
    assert_eq!(ints(&x.triu(i32::MIN)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(ints(&x.tril(i32::MAX)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(ints(&x.diagonal()), [1, 5]);
    assert_eq!(ints(&x.t().diagonal()), [1, 5]);
    assert_eq!(Array::eye(3).trace().item::<f32>().unwrap(), 3.0);
    let hot = Array::from([1, -1, 3]).one_hot(3);
    let expected = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(hot.to_vec::<f32>().unwrap(), expected);
    assert_eq!(Array::from(1_u32).one_hot(2).to_vec::<f32>().unwrap(), [0.0, 1.0]);
    // Counting belongs to the program, so that nothing is captured.
    program(&[&[3, 3]], |x| x[0].tril(0));
    program(&[&[3]], |x| x[0].argsort(0));
}

#[test]
fn mistakes_name_the_rule_and_the_way_out() {
    let (x, y) = (Array::zeros([2, 3]), Array::zeros([4]));
    let mistakes = [
        x.dot(&y),
        x.matmul(&y),
        x.matmul(Array::from(1.0_f32)),
        Array::zeros([2, 2, 3]).matmul(Array::zeros([4, 3, 1])),
        dot_general(&x, &y, (&[1], &[0]), (&[], &[])),
        x.transpose(&[0]),
        x.transpose(&[0, 0]),
        x.swap_axes(0, 2),
        x.move_axis(5, 0),
        x.reshape([4]),
        x.broadcast_to([3, 2]),
        x.broadcast_to([3]),
        x.expand_dims(4),
        x.squeeze(0),
        x.pad(&[(1, 1)], 0.0),
        x.pad(&[(1, 1), (0, 0)], true),
        x.split(2, 1).remove(0),
        concatenate(&[&x, &y], 0),
        concatenate::<Array>(&[], 0),
        stack(&[&x, &y], 0),
        where_(&x, 1.0, 0.0),
        x.one_hot(3),
        y.tril(0),
        y.diagonal(),
        einsum("ij,j", &[&x, &y]),
        einsum("ij,j->i", &[&x, &y]),
        einsum("ijk->i", &[&x]),
        einsum("ii->i", &[&Array::eye(2)]),
        einsum("ij->k", &[&x]),
        einsum("i,i,i->i", &[&y, &y, &y]),
    ];
    insta::assert_snapshot!(texts_of(mistakes), @r#"
        `dot` sums over two axes, which must have one size
          the left side is f32[2,3], summed over axis 1
          the right side is f32[4], summed over axis 0
        help: transpose one side with `.t()`, or name other axes with `dot_general`

        `matmul` sums over two axes, which must have one size
          the left side is f32[2,3], summed over axis 1
          the right side is f32[4], summed over axis 0
        help: transpose one side with `.t()`, or name other axes with `dot_general`

        `matmul` needs matrices or vectors
          got f32[]
        help: use `reshape` or `expand_dims` to give it other axes

        `matmul` needs two shapes that broadcast together
          the left side is f32[2,2,3]
          the right side is f32[4,3,1]
        help: axes are matched from the last; two sizes fit if they are equal or one is 1

        `dot_general`: contracted axis 1 of f32[2,3] has size 3, its partner 0 of f32[4] has size 4
          its inputs are f32[2,3], f32[4]

        `transpose`: `permutation` has 1 values, and the array has 2 axes
          its inputs are f32[2,3]

        `transpose`: axis 0 is named twice
          its inputs are f32[2,3]

        `swap_axes`: there is no axis 2
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `move_axis`: there is no axis 5
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `reshape` keeps the number of elements
          the array is f32[2,3], of 6
          the new shape is [4]
        help: use `broadcast_to` to repeat elements, or `at` to take some of them

        `broadcast_to` repeats new axes and axes of size 1 only
          the array is f32[2,3]
          the new shape is [3,2]
        help: axes are matched from the last; use `expand_dims` to make one of size 1

        `broadcast_to` repeats new axes and axes of size 1 only
          the array is f32[2,3]
          the new shape is [3]
        help: axes are matched from the last; use `expand_dims` to make one of size 1

        `expand_dims`: there is no axis 4
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `squeeze` leaves out axes of size 1, and 0 is not
          the array is f32[2,3]
        help: use `at` to take one place of the axis, or fold it, for example with `sum_axis`

        `pad` needs edges for each axis
          given are 1
          the array is f32[2,3]
        help: give as many edges as the array has axes

        `pad`: the number true does not fit the array's element type
          the array is f32[2,3]
        help: compare the array first, for example with `.ne(0)`

        `split` makes equal parts, and 2 do not fit axis 1
          the array is f32[2,3]
        help: give a number that divides the axis, or use `at` for parts of several sizes

        `concat`: [2,3] and [4] differ in more than the size of axis 0
          its inputs are f32[2,3], f32[4]

        `concatenate` needs at least one array
        help: its element type and shape come from the first one

        `stack` needs arrays of one type
          array 0 is f32[2,3]
          array 1 is f32[4]
        help: use `concatenate` for arrays of several sizes along an axis that they have

        the condition of `where_` must be bool
          got f32[2,3]
        help: compare first, for example with `.gt(0.0)`

        `one_hot` needs integers
          got f32[2,3]

        `tril` needs matrices
          got f32[4]
        help: use `reshape` or `expand_dims` to give it other axes

        `diagonal` needs a matrix
          got f32[4]
        help: use `reshape` or `expand_dims` to give it other axes

        `einsum` of "ij,j": there is no `->`
          the arrays are f32[2,3], f32[4]
        help: write a letter for each axis, as in "bi,ij->bj"

        `einsum` of "ij,j->i": `j` has the sizes 3 and 4
          the arrays are f32[2,3], f32[4]
        help: write a letter for each axis, as in "bi,ij->bj"

        `einsum` of "ijk->i": `ijk` does not name the axes of f32[2,3]
          the arrays are f32[2,3]
        help: write a letter for each axis, as in "bi,ij->bj"

        `einsum` of "ii->i": `i` comes twice on one array; take its `diagonal` first
          the arrays are f32[2,2]
        help: write a letter for each axis, as in "bi,ij->bj"

        `einsum` of "ij->k": `k` is in the result alone
          the arrays are f32[2,3]
        help: write a letter for each axis, as in "bi,ij->bj"

        `einsum` of "i,i,i->i": one or two inputs are supported
          the arrays are f32[4], f32[4], f32[4]
        help: write a letter for each axis, as in "bi,ij->bj"
        "#);
}
