//! The whole text of every mistake that a user can make. The list of cases follows JAX's own
//! errors, and `src/error.rs`: each of its constructors that is reached from outside is here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use insta::assert_snapshot;
use rondeau::buffer::DType;
use rondeau::ir::Program;
use rondeau::trace::Step;
use rondeau::{
    Arg, Array, Axes, Error, NewAxis, Result, ScanOptions, Tree, associative_scan, checkpoint,
    concatenate, cond, custom_jvp, custom_vjp, dot_general, einsum, fori_loop, grad, hessian, hvp,
    jacfwd, jacrev, jit, jvp, linearize, map, random, scan, scan_n, scan_with, sort_by_keys, stack,
    switch, tree, value_and_grad, vjp, vmap, where_, while_loop,
};

/// The text of an error, with the line of this file left out.
fn text(error: &Error) -> String {
    let place = error.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
    match place {
        Some(place) if place.contains("errors.rs") => {
            error.to_string().replace(&place, "this line")
        }
        Some(_) => panic!("an error of another file: {error}"),
        None => error.to_string(),
    }
}

/// The text of the first mistake in a result.
#[track_caller]
fn of<T: Tree>(result: &T) -> String {
    match tree::leaves(result).into_iter().find_map(Array::error) {
        Some(error) => text(error),
        None => panic!("there is no mistake"),
    }
}

/// The text of an error that is returned.
#[track_caller]
fn err<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("there is no mistake"),
        Err(error) => text(&error),
    }
}

fn zeros(shape: &[usize]) -> Array {
    Array::zeros(shape)
}

fn one() -> Array {
    Array::from(1.0_f32)
}

#[derive(Clone, Tree)]
struct Cell {
    w: Array,
    h: Option<Array>,
}

#[test]
fn operators() {
    let (x, n) = (zeros(&[2, 3]), Array::from([1, 2, 3]));
    assert_snapshot!(of(&(&x + zeros(&[4]))), @r"
    `+` needs two shapes that broadcast together
      the left side is f32[2,3]
      the right side is f32[4]
    help: axes are matched from the last; two sizes fit if they are equal or one is 1
      at this line
    ");
    assert_snapshot!(of(&(1.0 - &x * zeros(&[4, 3]).exp())), @r"
    `*` needs two shapes that broadcast together
      the left side is f32[2,3]
      the right side is f32[4,3]
    help: axes are matched from the last; two sizes fit if they are equal or one is 1
      at this line
    ");
    assert_snapshot!(of(&(&x + &n)), @r"
    `+` needs both sides of one element type
      the left side is f32[2,3]
      the right side is i32[3]
    help: convert one side, for example with `.to(DType::F32)`
      at this line
    ");
    assert_snapshot!(of(&x.maximum(Array::from(1.0_f64))), @r"
    `maximum` needs both sides of one element type
      the left side is f32[2,3]
      the right side is f64[]
    help: convert one side, for example with `.to(DType::F32)`
      at this line
    ");
    assert_snapshot!(of(&(&n * 1.5)), @r"
    `*`: the number 1.5 does not fit the array's element type
      the array is i32[3]
    help: convert the array first, for example with `.to(DType::F32)`
      at this line
    ");
    assert_snapshot!(of(&(-1 + Array::from(1_u32))), @r"
    `+`: the number -1 does not fit the array's element type
      the array is u32[]
    help: convert the array first, for example with `.to(DType::I32)`
      at this line
    ");
    assert_snapshot!(of(&(&n & true)), @r"
    `&`: the number true does not fit the array's element type
      the array is i32[3]
    help: compare the array first, for example with `.ne(0)`
      at this line
    ");
    assert_snapshot!(of(&where_(&x, 1.0, 2.0)), @r"
    the condition of `where_` must be bool
      got f32[2,3]
    help: compare first, for example with `.gt(0.0)`
      at this line
    ");
    assert_snapshot!(of(&where_(x.gt(0.0), 1.0, &n)), @r"
    `where_`: the number 1.0 does not fit the array's element type
      the array is i32[3]
    help: convert the array first, for example with `.to(DType::F32)`
      at this line
    ");
    assert_snapshot!(of(&n.exp()), @r"
    `exp`: takes floats, not i32
      its inputs are i32[3]
    help: convert the array with `.to(..)`
      at this line
    ");
    assert_snapshot!(of(&(&x & &x)), @r"
    `and`: takes integers or truth values, not f32
      its inputs are f32[2,3], f32[2,3]
    help: convert the array with `.to(..)`
      at this line
    ");
    assert_snapshot!(of(&-x.gt(0.0)), @r"
    `neg`: takes numbers, not bool
      its inputs are bool[2,3]
    help: convert the array with `.to(..)`
      at this line
    ");
    assert_snapshot!(of(&n.is_nan()), @r"
    `is_nan` needs floats
      got i32[3]
      at this line
    ");
    assert_snapshot!(of(&Array::from(1.0_f64).bitcast(DType::U32)), @r"
    `bitcast`: reads 32-bit elements as 32-bit elements, not f64 as u32
      its inputs are f64[]
      at this line
    ");
}

#[test]
fn making_arrays() {
    assert_snapshot!(of(&Array::new([2, 2], vec![1.0_f32; 3])), @r"
    3 values do not fill the shape [2,2]
    help: give 4 values, or another shape
      at this line
    ");
    assert_snapshot!(of(&Array::zeros([1 << 20, 1 << 20])), @r"
    an array of shape [1048576,1048576] is too large
    help: arrays hold at most 2^34 bytes
      at this line
    ");
    assert_snapshot!(of(&Array::zeros([1 << 20, 1]).broadcast_to([1 << 20, 1 << 20])), @r"
    `broadcast`: its result f32[1048576,1048576] is too large
      its inputs are f32[1048576,1]
    help: arrays hold at most 2^34 bytes
      at this line
    ");
    assert_snapshot!(of(&Array::arange(1 << 32)), @r"
    `arange` counts in i32, which does not hold 4294967296
    help: count fewer, or add an offset to the array
      at this line
    ");
    assert_snapshot!(of(&Array::eye(1 << 20)), @r"
    an array of shape [1048576,1048576] is too large
    help: arrays hold at most 2^34 bytes
      at this line
    ");
    assert_snapshot!(of(&Array::from([0]).one_hot(1 << 40)), @r"
    an array of shape [1099511627776] is too large
    help: arrays hold at most 2^34 bytes
      at this line
    ");
    assert_snapshot!(of(&zeros(&[2]).one_hot(3)), @r"
    `one_hot` needs integers
      got f32[2]
      at this line
    ");
}

#[test]
fn shapes() {
    let x = zeros(&[2, 3]);
    assert_snapshot!(of(&x.reshape([4])), @r"
    `reshape` keeps the number of elements
      the array is f32[2,3], of 6
      the new shape is [4]
    help: use `broadcast_to` to repeat elements, or `at` to take some of them
      at this line
    ");
    assert_snapshot!(of(&x.broadcast_to([3, 2])), @r"
    `broadcast_to` repeats new axes and axes of size 1 only
      the array is f32[2,3]
      the new shape is [3,2]
    help: axes are matched from the last; use `expand_dims` to make one of size 1
      at this line
    ");
    assert_snapshot!(of(&x.squeeze(0)), @r"
    `squeeze` leaves out axes of size 1, and 0 is not
      the array is f32[2,3]
    help: use `at` to take one place of the axis, or fold it, for example with `sum_axis`
      at this line
    ");
    assert_snapshot!(of(&x.split(2, 1)), @r"
    `split` makes equal parts, and 2 do not fit axis 1
      the array is f32[2,3]
    help: give a number that divides the axis, or use `at` for parts of several sizes
      at this line
    ");
    assert_snapshot!(of(&x.split(0, 1)), @r"
    `split` makes equal parts, and 0 do not fit axis 1
      the array is f32[2,3]
    help: give a number that divides the axis, or use `at` for parts of several sizes
      at this line
    ");
    assert_snapshot!(of(&x.transpose(&[0, 0])), @r"
    `transpose`: axis 0 is named twice
      its inputs are f32[2,3]
      at this line
    ");
    assert_snapshot!(of(&x.transpose(&[0])), @r"
    `transpose`: `permutation` has 1 values, and the array has 2 axes
      its inputs are f32[2,3]
      at this line
    ");
    assert_snapshot!(of(&x.sum_axis(2)), @r"
    `sum_axis`: there is no axis 2
      the array is f32[2,3]
    help: axes count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&x.expand_dims(-4)), @r"
    `expand_dims`: there is no axis -4
      the array is f32[2,3]
    help: axes count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&x.sum_axes(&[0, -2])), @r"
    `reduce_sum`: axis 0 is named twice
      its inputs are f32[2,3]
      at this line
    ");
    assert_snapshot!(of(&zeros(&[3]).tril(0)), @r"
    `tril` needs matrices
      got f32[3]
    help: use `reshape` or `expand_dims` to give it other axes
      at this line
    ");
    assert_snapshot!(of(&zeros(&[3]).diagonal()), @r"
    `diagonal` needs a matrix
      got f32[3]
    help: use `reshape` or `expand_dims` to give it other axes
      at this line
    ");
    assert_snapshot!(of(&x.pad(&[(1, 1)], 0.0)), @r"
    `pad` needs edges for each axis
      given are 1
      the array is f32[2,3]
    help: give as many edges as the array has axes
      at this line
    ");
    assert_snapshot!(of(&x.pad_interior(&[(-2, -1, 0), (0, 0, 0)], 0.0)), @r"
    `pad`: edges of -2 and -1 crop axis 0, of size 2, to size -1
      its inputs are f32[2,3], f32[]
      at this line
    ");
    assert_snapshot!(of(&concatenate::<Array>(&[], 0)), @r"
    `concatenate` needs at least one array
    help: its element type and shape come from the first one
      at this line
    ");
    assert_snapshot!(of(&concatenate(&[&x, &zeros(&[2, 4])], 0)), @r"
    `concat`: [2,3] and [2,4] differ in more than the size of axis 0
      its inputs are f32[2,3], f32[2,4]
      at this line
    ");
    assert_snapshot!(of(&stack::<Array>(&[], 0)), @r"
    `stack` needs at least one array
    help: its element type and shape come from the first one
      at this line
    ");
    assert_snapshot!(of(&stack(&[&x, &zeros(&[2, 4])], 0)), @r"
    `stack` needs arrays of one type
      array 0 is f32[2,3]
      array 1 is f32[2,4]
    help: use `concatenate` for arrays of several sizes along an axis that they have
      at this line
    ");
    assert_snapshot!(of(&sort_by_keys(&x, &zeros(&[3]), 0)), @r"
    `sort`: [2,3] and [3] are different shapes
      its inputs are f32[2,3], f32[3]
      at this line
    ");
    assert_snapshot!(of(&zeros(&[0]).argmax(0)), @r"
    `argmax`: axis 0 of f32[0] has no elements to choose from
      its inputs are f32[0]
      at this line
    ");
}

#[test]
fn products() {
    let x = zeros(&[2, 3]);
    assert_snapshot!(of(&x.dot(zeros(&[4]))), @r"
    `dot` sums over two axes, which must have one size
      the left side is f32[2,3], summed over axis 1
      the right side is f32[4], summed over axis 0
    help: transpose one side with `.t()`, or name other axes with `dot_general`
      at this line
    ");
    assert_snapshot!(of(&x.dot(Array::from([1, 2, 3]))), @r"
    `dot` needs both sides of one element type
      the left side is f32[2,3]
      the right side is i32[3]
    help: convert one side, for example with `.to(DType::F32)`
      at this line
    ");
    assert_snapshot!(of(&x.matmul(1.0)), @r"
    `matmul` needs matrices or vectors
      got f32[]
    help: use `reshape` or `expand_dims` to give it other axes
      at this line
    ");
    assert_snapshot!(of(&x.matmul(&x)), @r"
    `matmul` sums over two axes, which must have one size
      the left side is f32[2,3], summed over axis 1
      the right side is f32[2,3], summed over axis 0
    help: transpose one side with `.t()`, or name other axes with `dot_general`
      at this line
    ");
    assert_snapshot!(of(&zeros(&[5, 2, 3]).matmul(zeros(&[4, 3, 2]))), @r"
    `matmul` needs two shapes that broadcast together
      the left side is f32[5,2,3]
      the right side is f32[4,3,2]
    help: axes are matched from the last; two sizes fit if they are equal or one is 1
      at this line
    ");
    assert_snapshot!(of(&dot_general(&x, &x, (&[1], &[0]), (&[], &[]))), @r"
    `dot_general`: contracted axis 1 of f32[2,3] has size 3, its partner 0 of f32[2,3] has size 2
      its inputs are f32[2,3], f32[2,3]
      at this line
    ");
    assert_snapshot!(of(&dot_general(&x, &x, (&[7], &[1]), (&[], &[]))), @r"
    `dot_general`: the left operand f32[2,3] has no axis 7
      its inputs are f32[2,3], f32[2,3]
      at this line
    ");
    assert_snapshot!(of(&dot_general(&x, &x, (&[0, 1], &[0]), (&[], &[]))), @r"
    `dot_general`: the contracted axes must come in pairs
      its inputs are f32[2,3], f32[2,3]
      at this line
    ");
    assert_snapshot!(of(&einsum("ij,jk", &[&x, &x])), @r#"
    `einsum` of "ij,jk": there is no `->`
      the arrays are f32[2,3], f32[2,3]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
    assert_snapshot!(of(&einsum("ij,jk->ik", &[&x, &x])), @r#"
    `einsum` of "ij,jk->ik": `j` has the sizes 3 and 2
      the arrays are f32[2,3], f32[2,3]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
    assert_snapshot!(of(&einsum("ij->ik", &[&x])), @r#"
    `einsum` of "ij->ik": `k` is in the result alone
      the arrays are f32[2,3]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
    assert_snapshot!(of(&einsum("ijk->ij", &[&x])), @r#"
    `einsum` of "ijk->ij": `ijk` does not name the axes of f32[2,3]
      the arrays are f32[2,3]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
    assert_snapshot!(of(&einsum("ii->i", &[&x])), @r#"
    `einsum` of "ii->i": `i` has the sizes 2 and 3
      the arrays are f32[2,3]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
    assert_snapshot!(of(&einsum("i1->i", &[&x])), @r#"
    `einsum` of "i1->i": `1` is not a letter
      the arrays are f32[2,3]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
    assert_snapshot!(of(&einsum("ij->i", &[&x, &x])), @r#"
    `einsum` of "ij->i": it has 1 inputs, and 2 are given
      the arrays are f32[2,3], f32[2,3]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
    assert_snapshot!(of(&einsum("i,i,i->i", &[zeros(&[2]), zeros(&[2]), zeros(&[2])])), @r#"
    `einsum` of "i,i,i->i": one or two inputs are supported
      the arrays are f32[2], f32[2], f32[2]
    help: write a letter for each axis, as in "bi,ij->bj"
      at this line
    "#);
}

#[test]
fn indices() {
    let x = zeros(&[2, 3]);
    let rows = Array::from([0, 1]);
    assert_snapshot!(of(&x.at(2)), @r"
    index 2 is outside axis 0
      the array is f32[2,3]
    help: places count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&x.at((.., -4))), @r"
    index -4 is outside axis 1
      the array is f32[2,3]
    help: places count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&x.at(1..5)), @r"
    index 1..5 is outside axis 0
      the array is f32[2,3]
    help: places count from 0; negative ones from the end
      at this line
    ");
    let (start, end) = (2, 1);
    assert_snapshot!(of(&x.at((.., start..end))), @r"
    the range 2..1 of axis 1 ends before it starts
      the array is f32[2,3]
    help: use `Step(range, -1)` to go backwards
      at this line
    ");
    assert_snapshot!(of(&x.at(Step(.., 0))), @r"
    the step along axis 0 is 0
      the array is f32[2,3]
    help: give a positive step, or a negative one to go backwards
      at this line
    ");
    assert_snapshot!(of(&x.at((0, 0, 0))), @r"
    3 indices are more than the array has axes
      the array is f32[2,3]
    help: give one for each axis at most; `NewAxis` makes another axis
      at this line
    ");
    assert_snapshot!(of(&x.at(one())), @r"
    an array is indexed by integers
      got f32[]
    help: convert with `.to(DType::I32)`; use `where_` to choose by truth values
      at this line
    ");
    assert_snapshot!(of(&x.at(x.gt(0.0))), @r"
    an array is indexed by integers
      got bool[2,3]
    help: convert with `.to(DType::I32)`; use `where_` to choose by truth values
      at this line
    ");
    assert_snapshot!(of(&x.at((&rows, &rows))), @r"
    an index has at most one array of several places
    help: index one axis after the other, or use `take_along_axis`
      at this line
    ");
    assert_snapshot!(of(&x.take(&rows, 2)), @r"
    `take`: there is no axis 2
      the array is f32[2,3]
    help: axes count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&zeros(&[0]).take(&rows, 0)), @r"
    `gather`: axis 0 of f32[0] is empty, so no index fits
      its inputs are f32[0], i32[2]
    help: index an axis that has elements, or drop what is outside
      at this line
    ");
    assert_snapshot!(of(&x.take_along_axis(&rows, 1)), @r"
    `take_along_axis` needs two shapes that broadcast together
      the left side is f32[2,3]
      the right side is i32[2]
    help: axes are matched from the last; two sizes fit if they are equal or one is 1
      at this line
    ");
    assert_snapshot!(of(&x.set((0, NewAxis), 1.0)), @r"
    `set` writes to existing axes, and `NewAxis` is none
      the array is f32[2,3]
    help: leave it out; the value broadcasts to the part that is written
      at this line
    ");
    assert_snapshot!(of(&x.set(0, zeros(&[2]))), @r"
    `set`: the value does not broadcast to the part
      the part has the shape [3]
      the value is f32[2]
    help: axes are matched from the last; two sizes fit if they are equal or one is 1
      at this line
    ");
    assert_snapshot!(of(&x.add_at(rows, Array::from(1))), @r"
    `add_at` needs both sides of one element type
      the left side is f32[2,3]
      the right side is i32[]
    help: convert one side, for example with `.to(DType::F32)`
      at this line
    ");
    assert_snapshot!(of(&x.dynamic_slice(&[Array::from(0)], &[1])), @r"
    `dynamic_slice` needs starts for each axis
      given are 1
      the array is f32[2,3]
    help: give as many starts as the array has axes
      at this line
    ");
    assert_snapshot!(of(&x.dynamic_slice(&[Array::from(0), Array::from(0)], &[1, 4])), @r"
    `dynamic_slice`: a range of 4 does not fit axis 1 of f32[2,3]
      its inputs are f32[2,3], i32[], i32[]
      at this line
    ");
    assert_snapshot!(of(&x.dynamic_slice(&[Array::from(0), Array::from([0])], &[1, 1])), @r"
    `dynamic_slice`: a start has no axes, and one is i32[1]
      its inputs are f32[2,3], i32[], i32[1]
      at this line
    ");
    assert_snapshot!(of(&x.dynamic_update(zeros(&[3, 3]), &[Array::from(0), Array::from(0)])), @r"
    `dynamic_update`: a range of 3 does not fit axis 0 of f32[2,3]
      its inputs are f32[2,3], f32[3,3], i32[], i32[]
      at this line
    ");
}

#[test]
fn values_that_leave() {
    let x = zeros(&[2, 3]);
    assert_snapshot!(err(x.to_vec::<i32>()), @r"
    values are read as i32
      the array is f32[2,3]
    help: read them as the array's element type, or convert it with `.to(..)`
      at this line
    ");
    assert_snapshot!(err(x.item::<f32>()), @r"
    `item` reads the one value of an array
      the array is f32[2,3]
    help: index it first, or use `to_vec`
      at this line
    ");
    assert_snapshot!(err(x.sum().item::<f64>()), @r"
    values are read as f64
      the array is f32[]
    help: read them as the array's element type, or convert it with `.to(..)`
      at this line
    ");
    let reads = |x: &Array| match x.item::<f32>() {
        Ok(value) if value > 0.0 => x.clone(),
        Ok(_) => -x,
        Err(error) => Array::mistake(error),
    };
    assert_snapshot!(err(jit(reads).call(&one())), @r"
    `item` needs a value, and this array has none yet
      it is a variable of type f32[] of the program being traced
    help: use `where_` or `cond` to choose by data, or read values outside the function
      at this line
    ");
    let counts = |n: &Array| match n.to_vec::<i32>() {
        Ok(sizes) => Array::zeros(sizes[0] as usize),
        Err(error) => Array::mistake(error),
    };
    assert_snapshot!(err(jit(counts).call(&Array::from(3))), @r"
    `to_vec` needs a value, and this array has none yet
      it is a variable of type i32[] of the program being traced
    help: use `where_` or `cond` to choose by data, or read values outside the function
      at this line
    ");
}

#[test]
fn variables_that_leave() {
    let kept = RefCell::new(one());
    let keep = |x: &Array| {
        *kept.borrow_mut() = x.exp();
        x.clone()
    };
    jit(keep).call(&one()).map(|_| ()).expect("keeping alone is no mistake");
    let kept = kept.into_inner();
    assert_snapshot!(of(&(&kept + 1.0)), @r"
    a traced variable is used outside the function it belongs to
      it is a variable of type f32[]
    help: return the value from the function instead of storing it elsewhere
      at this line
    ");
    assert_snapshot!(err(kept.item::<f32>()), @r"
    `item` needs a value, and this array has none yet
      it is a variable of type f32[] of the program being traced
    help: use `where_` or `cond` to choose by data, or read values outside the function
      at this line
    ");
    assert_snapshot!(err(jit(|x: &Array| x + &kept).call(&one())), @r"
    a traced variable is used outside the function it belongs to
      it is a variable of type f32[]
    help: return the value from the function instead of storing it elsewhere
      at this line
    ");
}

#[test]
fn carries() {
    let (xs, start) = (zeros(&[3]), one());
    assert_snapshot!(of(&scan(|c, _| (Array::from(1), c.clone()), &start, &xs)), @r"
    the carry of `scan` must keep its type from step to step
      carry enters the step as f32[]
      carry leaves the step as i32[]
    help: return carry as f32[], or start the scan from i32[]
      at this line
    ");
    assert_snapshot!(of(&scan(|c, x| (c + x.to(DType::I32).to(DType::F64), ()), &start, &xs)), @r"
    `+` needs both sides of one element type
      the left side is f32[]
      the right side is f64[]
    help: convert one side, for example with `.to(DType::F32)`
      at this line
    ");
    let grows = |c: &Array, x: &Array| (concatenate(&[c, &x.reshape([1])], 0), ());
    assert_snapshot!(of(&scan(grows, &zeros(&[2]), &xs)), @r"
    the carry of `scan` must keep its type from step to step
      carry enters the step as f32[2]
      carry leaves the step as f32[3]
    help: return carry as f32[2], or start the scan from f32[3]
      at this line
    ");
    let cell = Cell { w: zeros(&[2, 2]), h: Some(zeros(&[2])) };
    let step = |c: &Cell, x: &Array| (Cell { w: c.w.to(DType::F64), h: Some(x.clone()) }, ());
    assert_snapshot!(of(&scan(step, &cell, &xs)), @r"
    the carry of `scan` must keep its type from step to step
      carry.w enters the step as f32[2,2]
      carry.w leaves the step as f64[2,2]
      carry.h enters the step as f32[2]
      carry.h leaves the step as f32[]
    help: return carry.w as f32[2,2], or start the scan from f64[2,2]
      at this line
    ");
    let step = |c: &Cell, _: &Array| (Cell { w: c.w.clone(), h: None }, ());
    assert_snapshot!(of(&scan(step, &cell, &xs)), @r"
    the carry of `scan` must keep its structure from step to step
      it enters the step as Cell { w: *, h: Some(*) }
      it leaves the step as Cell { w: *, h: None }
    help: return the carry with the fields, lengths and options that it had
      at this line
    ");
    let keys = |names: &[&str]| -> BTreeMap<String, Array> {
        names.iter().map(|name| ((*name).to_owned(), one())).collect()
    };
    let step = |c: &BTreeMap<String, Array>, x: &Array| {
        (BTreeMap::from([("a".to_owned(), &c["a"] + x)]), ())
    };
    assert_snapshot!(of(&scan(step, &keys(&["a", "b"]), &xs)), @r#"
    the carry of `scan` must keep its structure from step to step
      it enters the step as {"a": *, "b": *}
      it leaves the step as {"a": *}
    help: return the carry with the fields, lengths and options that it had
      at this line
    "#);
    assert_snapshot!(of(&scan_n(|c| (c.sum(), ()), &xs, 4)), @r"
    the carry of `scan_n` must keep its type from step to step
      carry enters the step as f32[3]
      carry leaves the step as f32[]
    help: return carry as f32[3], or start the scan_n from f32[]
      at this line
    ");
    assert_snapshot!(of(&while_loop(|c| c.lt(3.0), |c| (c + 1.5).reshape([1]), &start)), @r"
    the carry of `while_loop` must keep its type from step to step
      carry enters the step as f32[]
      carry leaves the step as f32[1]
    help: return carry as f32[], or start the while_loop from f32[1]
      at this line
    ");
    assert_snapshot!(of(&fori_loop(0, 3, |i, c| c.to(DType::I32) + i, &start)), @r"
    the carry of `fori_loop` must keep its type from step to step
      carry enters the step as f32[]
      carry leaves the step as i32[]
    help: return carry as f32[], or start the fori_loop from i32[]
      at this line
    ");
    let twice = |a: &Array, b: &Array| concatenate(&[a, b], 0);
    assert_snapshot!(of(&associative_scan(twice, &xs)), @r"
    `associative_scan` needs an operator that keeps the type of its arguments
      xs is f32[3]
      combined it is f32[5]
    help: combine element by element: the operator sees many elements along the axis
      at this line
    ");
}

#[test]
fn mistakes_within_a_step_keep_their_line() {
    let step = |c: &Array, x: &Array| (c + x.reshape([7]), c.shape()[0] as f64 * x);
    assert_snapshot!(of(&scan(step, &zeros(&[2]), &zeros(&[3, 2]))), @r"
    `reshape` keeps the number of elements
      the array is f32[2], of 2
      the new shape is [7]
    help: use `broadcast_to` to repeat elements, or `at` to take some of them
      at this line
    ");
    let batched = vmap(|x: &Array| x.dot(zeros(&[x.shape()[0] + 1])), 0);
    assert_snapshot!(err(jit(batched).call(&zeros(&[3, 2]))), @r"
    `dot` sums over two axes, which must have one size
      the left side is f32[2], summed over axis 0
      the right side is f32[3], summed over axis 0
    help: transpose one side with `.t()`, or name other axes with `dot_general`
      at this line
    ");
}

#[test]
fn lengths() {
    let (three, four) = (zeros(&[3]), zeros(&[4, 2]));
    let step = |c: &Array, _: &(Array, Array)| (c.clone(), ());
    assert_snapshot!(of(&scan(step, &one(), &(three.clone(), four.clone()))), @r"
    `scan` needs all leaves of xs to have one length in axis 0
      xs.0 is f32[3]
      xs.1 is f32[4,2]
    help: cut or pad them to one length
      at this line
    ");
    let options = ScanOptions::default();
    assert_snapshot!(of(&scan_with(options.length(4), |c, x| (c + x, ()), &one(), &three)), @r"
    `scan_with`: the given length is not that of xs
      the length is given as 4
      xs have 3 steps
    help: leave the length out, or make it that of xs
      at this line
    ");
    assert_snapshot!(of(&scan_with(options, |c, (): &()| (c + 1.0, ()), &one(), &())), @r"
    `scan_with` without xs needs a length
    help: use `scan_n`, or give `.length(n)`
      at this line
    ");
    assert_snapshot!(of(&scan(|c, x| (c + x, ()), &one(), &one())), @r"
    `scan` goes over axis 0, and xs has none
      it is f32[]
    help: capture what does not change in the closure instead
      at this line
    ");
    assert_snapshot!(of(&map(|x| x.square(), &one())), @r"
    `map` goes over axis 0, and xs has none
      it is f32[]
    help: capture what does not change in the closure instead
      at this line
    ");
    let first = |a: &(Array, Array), _: &(Array, Array)| a.clone();
    assert_snapshot!(of(&associative_scan(first, &(three, four))), @r"
    `associative_scan` needs all leaves of xs to have one length in axis 0
      xs.0 is f32[3]
      xs.1 is f32[4,2]
    help: cut or pad them to one length
      at this line
    ");
    assert_snapshot!(of(&scan_n(|c| (c.clone(), c.clone()), &one(), 1 << 40)), @r"
    `scan`: its result f32[1099511627776] is too large
      its inputs are f32[]
    help: arrays hold at most 2^34 bytes
      at this line
    ");
}

#[test]
fn decisions() {
    let x = one();
    assert_snapshot!(of(&cond(true, |x| x.clone(), |_| Array::from(1), &x)), @r"
    all branches of `cond` must return one type
      the result of `on_false` is i32[]
      the result of `on_true` is f32[]
    help: convert or broadcast the results to one type
      at this line
    ");
    let two = |x: &Array| vec![x.clone(), x.clone()];
    assert_snapshot!(of(&cond(true, two, |x: &Array| vec![x.clone()], &x)), @r"
    all branches of `cond` must return one type
      the result of `on_false` is [*]
      the result of `on_true` is [*, *]
    help: convert or broadcast the results to one type
      at this line
    ");
    assert_snapshot!(of(&cond(zeros(&[2]).gt(0.0), |x| x.clone(), |x| x + 1.0, &x)), @r"
    `cond` needs one truth value to decide by
      got bool[2]
    help: compare numbers, for example with `.gt(0.0)`; reduce many values with `.all()` or `.any()`, or choose per element with `where_`
      at this line
    ");
    assert_snapshot!(of(&cond(&x, |x| x.clone(), |x| x + 1.0, &x)), @r"
    `cond` needs one truth value to decide by
      got f32[]
    help: compare numbers, for example with `.gt(0.0)`; reduce many values with `.all()` or `.any()`, or choose per element with `where_`
      at this line
    ");
    assert_snapshot!(of(&switch(1.0, &[&|x: &Array| x.clone()], &x)), @r"
    `switch` needs an index of type i32[]
      got f32[]
    help: convert it with `.to(DType::I32)`, or take one element with `at`
      at this line
    ");
    type Pair<'a> = &'a dyn Fn(&Array) -> (Array, Array);
    let pair: [Pair<'_>; 2] = [&|x| (x.clone(), x.clone()), &|x| (x.clone(), x.reshape([1]))];
    assert_snapshot!(of(&switch(1, &pair, &x)), @r"
    all branches of `switch` must return one type
      result 1 of branch 0 is f32[]
      result 1 of branch 1 is f32[1]
    help: convert or broadcast the results to one type
      at this line
    ");
    assert_snapshot!(of(&while_loop(|c| c.clone(), |c| c.clone(), &x)), @r"
    `while_loop` needs one truth value to decide by
      got f32[]
    help: compare numbers, for example with `.gt(0.0)`; reduce many values with `.all()` or `.any()`, or choose per element with `where_`
      at this line
    ");
    assert_snapshot!(of(&fori_loop(0.0, 3, |_, c| c.clone(), &x)), @r"
    `fori_loop` needs bounds of type i32[]
      got f32[]
    help: convert it with `.to(DType::I32)`, or take one element with `at`
      at this line
    ");
}

#[test]
fn gradients() {
    let (xs, n) = (zeros(&[3]), Array::from(1));
    assert_snapshot!(err(grad(|x: &Array| x * 2.0).call(&xs)), @r"
    `grad` needs a function that returns one float number
      it returns f32[3]
    help: reduce it with `.sum()` or `.mean()`, or use `vjp` or `jacrev`
      at this line
    ");
    assert_snapshot!(err(grad(|x: &Array| x.to(DType::F32) * 2.0).call(&n)), @r"
    `grad` differentiates with respect to floats only
      argument 0 is i32[]
    help: differentiate with respect to another argument, or convert it to a float
      at this line
    ");
    assert_snapshot!(err(grad(|x: &Array| x.to(DType::I32)).call(&one())), @r"
    `grad` needs a function that returns one float number
      it returns i32[]
    help: reduce it with `.sum()` or `.mean()`, or use `vjp` or `jacrev`
      at this line
    ");
    assert_snapshot!(err(value_and_grad(|_: &Array, c: &Cell| c.w.sum()).wrt(Arg::<1>).call(
        &one(), &Cell { w: n.clone(), h: None })), @r"
    `grad` differentiates with respect to floats only
      argument 1.w is i32[]
    help: differentiate with respect to another argument, or convert it to a float
      at this line
    ");
    let both = (Arg::<0>, Arg::<0>);
    assert_snapshot!(err(grad(|x: &Array| x.sum()).wrt(both).call(&xs)), @r"
    `grad` is asked for argument 0 more than once
    help: name each argument once
      at this line
    ");
    assert_snapshot!(err(jacrev(|x: &Array| x.gt(0.0)).call(&xs)), @r"
    `jacrev` needs a function that returns floats
      it returns bool[3]
    help: return a float, or differentiate another function
      at this line
    ");
    assert_snapshot!(err(jacfwd(|x: &Array| x.to(DType::F32)).call(&n)), @r"
    `jacfwd` differentiates with respect to floats only
      argument 0 is i32[]
    help: differentiate with respect to another argument, or convert it to a float
      at this line
    ");
    assert_snapshot!(err(hessian(|x: &Array| x * 2.0).call(&xs)), @r"
    `grad` needs a function that returns one float number
      it returns f32[3]
    help: reduce it with `.sum()` or `.mean()`, or use `vjp` or `jacrev`
      at this line
    ");
    assert_snapshot!(of(&hvp(|x: &Array| x * 2.0, (&xs,), (&xs,))), @r"
    `grad` needs a function that returns one float number
      it returns f32[3]
    help: reduce it with `.sum()` or `.mean()`, or use `vjp` or `jacrev`
      at this line
    ");
    let large = Array::zeros([1 << 17]);
    assert_snapshot!(err(jacrev(|x: &Array| x.sin()).call(&large)), @r"
    an array of shape [131072,131072] is too large
    help: arrays hold at most 2^34 bytes
      at this line
    ");
}

#[test]
fn tangents_and_cotangents() {
    let xs = zeros(&[3]);
    let sin = |x: &Array| x.sin();
    assert_snapshot!(of(&jvp(sin, (&one(),), (&Array::from(1),))), @r"
    `jvp`: the tangent must have its value's type
      argument 0 is f32[]
      its tangent is i32[]
    help: make the tangent of zeros with `zeros_like`, or convert it
      at this line
    ");
    assert_snapshot!(of(&jvp(sin, (&xs,), (&zeros(&[2]),))), @r"
    `jvp`: the tangent must have its value's type
      argument 0 is f32[3]
      its tangent is f32[2]
    help: make the tangent of zeros with `zeros_like`, or convert it
      at this line
    ");
    assert_snapshot!(err(vjp(sin, (&xs,)).1.call(&zeros(&[2]))), @r"
    `vjp`: the cotangent must have its value's type
      the result is f32[3]
      its cotangent is f32[2]
    help: make the cotangent of zeros with `zeros_like`, or convert it
      at this line
    ");
    let cell = |h| Cell { w: zeros(&[2]), h };
    let f = |c: &Cell| c.w.sin();
    assert_snapshot!(of(&jvp(f, (&cell(None),), (&cell(Some(zeros(&[2]))),))), @r"
    `jvp`: values and tangents must have one structure
      the values are (Cell { w: *, h: None })
      the tangents are (Cell { w: *, h: Some(*) })
    help: give both the same fields, lengths and options
      at this line
    ");
    assert_snapshot!(err(linearize(f, (&cell(None),)).1.call((&cell(Some(one())),))), @r"
    `linearize`: values and tangents must have one structure
      the values are (Cell { w: *, h: None })
      the tangents are (Cell { w: *, h: Some(*) })
    help: give both the same fields, lengths and options
      at this line
    ");
    assert_snapshot!(err(tree::map2(&cell(None), &cell(Some(one())), |a, b| a + b)), @r"
    `map2`: the left and the right tree must have one structure
      the left is Cell { w: *, h: None }
      the right is Cell { w: *, h: Some(*) }
    help: give both the same fields, lengths and options
    ");
}

#[test]
fn loops_and_rules_of_one_direction() {
    let doubles = |x: &Array| while_loop(|c| c.lt(10.0), |c| c * 2.0, x);
    assert_snapshot!(err(grad(doubles).call(&one())), @r"
    reverse-mode differentiation does not work through `while_loop`
      its number of steps is not known before it runs, so its values cannot be kept
    help: use `scan`, or `fori_loop` with bounds that are Rust integers, or forward mode (`jvp`, `jacfwd`)
      at this line
    ");
    assert_snapshot!(err(jit(grad(doubles)).call(&one())), @r"
    reverse-mode differentiation does not work through `while_loop`
      its number of steps is not known before it runs, so its values cannot be kept
    help: use `scan`, or `fori_loop` with bounds that are Rust integers, or forward mode (`jvp`, `jacfwd`)
      at this line
    ");
    let upto = |x: &Array, n: &Array| fori_loop(0, n, |_, c| c * 2.0, x);
    assert_snapshot!(err(jit(grad(upto)).call(&one(), &Array::from(3))), @r"
    reverse-mode differentiation does not work through `while_loop`
      its number of steps is not known before it runs, so its values cannot be kept
    help: use `scan`, or `fori_loop` with bounds that are Rust integers, or forward mode (`jvp`, `jacfwd`)
      at this line
    ");
    let gentle = custom_vjp(
        |x: &Array| x.clone(),
        |(x,): &(Array,)| (x.clone(), ()),
        |(): &(), ct: &Array| (ct.clip(-0.1, 0.1),),
    );
    assert_snapshot!(of(&jvp(&|x: &Array| gentle.apply(x), (&one(),), (&one(),))), @r"
    forward-mode differentiation does not work through `custom_vjp`
      only a rule for the reverse direction was given
    help: give the rule with `custom_jvp`, or use `grad`, `vjp` or `jacrev`
      at this line
    ");
    assert_snapshot!(err(jacfwd(|x: &Array| gentle.apply(x)).call(&one())), @r"
    forward-mode differentiation does not work through `custom_vjp`
      only a rule for the reverse direction was given
    help: give the rule with `custom_jvp`, or use `grad`, `vjp` or `jacrev`
      at this line
    ");
}

#[test]
fn rules() {
    let x = zeros(&[2]);
    let wrong = custom_jvp(|x: &Array| x.sin(), |(x,), (dx,)| (x.sin(), dx.sum()));
    assert_snapshot!(err(wrong.call(&x)), @r"
    the custom_jvp rule returns another type than it must
      the tangent must be f32[2]
      the tangent is f32[]
    help: return the type of the value itself, with its fields and options
      at this line
    ");
    let wrong = custom_jvp(|x: &Array| x.sin(), |(x,), (dx,)| (x.sin().to(DType::F64), dx.clone()));
    assert_snapshot!(err(wrong.call(&x)), @r"
    the custom_jvp rule returns another type than it must
      the value must be f32[2]
      the value is f64[2]
    help: return the type of the value itself, with its fields and options
      at this line
    ");
    let wrong = custom_vjp(
        |c: &Cell| c.w.sin(),
        |(c,): &(Cell,)| (c.w.sin(), c.w.clone()),
        |w: &Array, ct: &Array| (Cell { w: (w * ct).sum(), h: None },),
    );
    assert_snapshot!(err(wrong.call(&Cell { w: x.clone(), h: None })), @r"
    the custom_vjp rule returns another type than it must
      the cotangent of argument 0.w must be f32[2]
      the cotangent of argument 0.w is f32[]
    help: return the type of the value itself, with its fields and options
      at this line
    ");
    let wrong = custom_vjp(
        |c: &Cell| c.w.sin(),
        |(c,): &(Cell,)| (c.w.sin(), c.w.clone()),
        |w: &Array, ct: &Array| (Cell { w: w * ct, h: Some(one()) },),
    );
    assert_snapshot!(err(wrong.call(&Cell { w: x.clone(), h: None })), @r"
    the custom_vjp rule returns another type than it must
      the cotangents of the arguments together must be (Cell { w: *, h: None })
      the cotangents of the arguments together is (Cell { w: *, h: Some(*) })
    help: return the type of the value itself, with its fields and options
      at this line
    ");
    assert_snapshot!(err(checkpoint(|x: &Array| x + zeros(&[3])).call(&x)), @r"
    `+` needs two shapes that broadcast together
      the left side is f32[2]
      the right side is f32[3]
    help: axes are matched from the last; two sizes fit if they are equal or one is 1
      at this line
    ");
}

#[test]
fn batches() {
    let (three, four) = (zeros(&[3]), zeros(&[4, 2]));
    let add = |a: &Array, b: &Array| a + b;
    let same = |a: &Array| a.clone();
    assert_snapshot!(err(vmap(add, 0).call(&three, &four)), @r"
    `vmap` needs all mapped axes to have one size
      argument 0 is f32[3], mapped over axis 0
      argument 1 is f32[4,2], mapped over axis 0
    help: give `None` for arguments that all examples share
      at this line
    ");
    assert_snapshot!(err(vmap(add, (0,)).call(&three, &three)), @r"
    `vmap`: the in_axes do not fit the structure they describe
      the axes are (0,)
      the structure is (*, *)
    help: give one axis for all, or one for each argument, item and named field
      at this line
    ");
    assert_snapshot!(err(vmap(add, (0, 0, 0)).call(&three, &three)), @r"
    `vmap`: the in_axes do not fit the structure they describe
      the axes are (0, 0, 0)
      the structure is (*, *)
    help: give one axis for all, or one for each argument, item and named field
      at this line
    ");
    assert_snapshot!(err(vmap(same, 0).call(&one())), @r"
    `vmap`: argument 0 has no axis 0 to map over
      argument 0 is f32[]
    help: give `None` for arguments that all examples share
      at this line
    ");
    assert_snapshot!(err(vmap(same, 2).call(&four)), @r"
    `vmap`: argument 0 has no axis 2 to map over
      argument 0 is f32[4,2]
    help: give `None` for arguments that all examples share
      at this line
    ");
    assert_snapshot!(err(vmap(same, None).call(&three)), @r"
    `vmap` needs at least one mapped argument, or an axis size
    help: give an axis for one argument, or `.axis_size(n)`
      at this line
    ");
    assert_snapshot!(err(vmap(same, 0).out_axes(None).call(&three)), @r"
    `vmap`: the result differs between examples, so it needs an output axis
    help: give it an axis in `.out_axes(..)`
      at this line
    ");
    assert_snapshot!(err(vmap(same, 0).out_axes(3).call(&three)), @r"
    `vmap`: the result has no axis 3 for the examples
      of all examples it is f32[3]
    help: axes count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(err(vmap(same, 0).axis_size(5).call(&three)), @r"
    `vmap` needs all mapped axes to have one size
      `axis_size` is given as 5
      argument 0 is f32[3], mapped over axis 0
    help: give `None` for arguments that all examples share
      at this line
    ");
    let cell = Cell { w: four.clone(), h: Some(three) };
    let get = |c: &Cell| c.w.clone();
    assert_snapshot!(err(vmap(get, 0).call(&cell)), @r"
    `vmap` needs all mapped axes to have one size
      argument 0.w is f32[4,2], mapped over axis 0
      argument 0.h is f32[3], mapped over axis 0
    help: give `None` for arguments that all examples share
      at this line
    ");
    assert_snapshot!(err(vmap(get, (Axes::fields([("wz", 0)]),)).call(&cell)), @r#"
    `vmap`: the in_axes do not fit the structure they describe
      the axes are {"wz": 0}
      the structure is (Cell { w: *, h: Some(*) })
    help: give one axis for all, or one for each argument, item and named field
      at this line
    "#);
    assert_snapshot!(err(vmap(get, ((0, 0),)).call(&cell)), @r"
    `vmap`: the in_axes do not fit the structure they describe
      the axes are (0, 0)
      the structure is (Cell { w: *, h: Some(*) })
    help: give one axis for all, or one for each argument, item and named field
      at this line
    ");
    assert_snapshot!(err(vmap(same, None).axis_size(1 << 40).call(&four)), @r"
    an array of shape [1099511627776,4,2] is too large
    help: arrays hold at most 2^34 bytes
      at this line
    ");
}

#[test]
fn keys() {
    let key = random::key(0);
    assert_snapshot!(of(&random::normal(&zeros(&[2]), [3])), @r"
    a random key is a u32[2] array
      got f32[2]
    help: make one with `random::key(seed)`, and more with `random::split`
      at this line
    ");
    assert_snapshot!(of(&random::split(&Array::from([1_u32, 2, 3]), 2)), @r"
    a random key is a u32[2] array
      got u32[3]
    help: make one with `random::key(seed)`, and more with `random::split`
      at this line
    ");
    assert_snapshot!(of(&random::fold_in(&zeros(&[2]), 1)), @r"
    a random key is a u32[2] array
      got f32[2]
    help: make one with `random::key(seed)`, and more with `random::split`
      at this line
    ");
    assert_snapshot!(of(&random::fold_in(&key, 1.5_f64)), @r"
    `fold_in` needs a number of type i32 or u32
      got f64[]
      at this line
    ");
    assert_snapshot!(of(&random::uniform(&key, [1 << 20, 1 << 20])), @r"
    an array of shape [1048576,1048576] is too large
    help: arrays hold at most 2^34 bytes
      at this line
    ");
    assert_snapshot!(of(&random::categorical(&key, &one())), @r"
    `categorical` needs an axis of classes
      got f32[]
    help: use `reshape` or `expand_dims` to give it other axes
      at this line
    ");
    assert_snapshot!(of(&random::categorical_with(&key, &zeros(&[2, 3]), 2, [2])), @r"
    `categorical`: there is no axis 2
      the array is f32[2,3]
    help: axes count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&random::categorical_with(&key, &zeros(&[2, 3]), 1, ())), @r"
    `categorical`: the shape [] is smaller than one draw
    help: logits are f32[2,3]; give their other axes at least
      at this line
    ");
    assert_snapshot!(of(&random::permute(&key, &zeros(&[3]), 1)), @r"
    `permute`: there is no axis 1
      the array is f32[3]
    help: axes count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&random::choice_without(&key, 3, 4)), @r"
    index 0..4 is outside axis 0
      the array is i32[3]
    help: places count from 0; negative ones from the end
      at this line
    ");
    assert_snapshot!(of(&random::choice_weighted(&key, &one(), [2])), @r"
    `choice_weighted` needs a vector of probabilities
      got f32[]
    help: use `reshape` or `expand_dims` to give it other axes
      at this line
    ");
}

#[test]
fn texts() {
    let parse = |text: &str| text.parse::<Program>();
    assert_snapshot!(err(parse("{ lambda a:f32[2] .\n  let b:f32[2] = sine a in (b,) }")), @r"
    expected a primitive; none is named `sine`
      2 |   let b:f32[2] = sine a in (b,) }
        |                  ^
    ");
    assert_snapshot!(err(parse("{ lambda a:f32[2] .\n  let b:f32[3] = sin a in (b,) }")), @r"
    `sin` gives f32[2], and is said to give f32[3]
      2 |   let b:f32[3] = sin a in (b,) }
        |                  ^
    ");
}

/// A mistake that comes with the arguments comes out, whatever the function asks of its arguments.
#[test]
fn a_mistake_that_is_passed_in_comes_out() {
    let bad = zeros(&[2, 3]) + zeros(&[4]);
    let mean = |x: &Array| x.sum() / x.shape()[0] as f64;
    assert_snapshot!(err(jit(mean).call(&bad)), @r"
    `+` needs two shapes that broadcast together
      the left side is f32[2,3]
      the right side is f32[4]
    help: axes are matched from the last; two sizes fit if they are equal or one is 1
      at this line
    ");
    let parts = |x: &Array| (0..x.len()).map(|i| x.at(i)).collect::<Vec<_>>();
    assert!(vmap(parts, 0).call(&bad).is_err());
    // Also one that is found between two functions, when the result has no leaves without shapes.
    assert!(vmap(parts, 5).call(&zeros(&[2, 3])).is_err());
    assert!(jit(vmap(parts, 5)).call(&zeros(&[2, 3])).is_err());
}
