//! Indices, by hand-computed values and texts.

use super::*;
use crate::trace::methods::tests::{assert_near, gradient, texts_of};
use crate::vmap;

fn ints(x: &Array) -> Vec<i32> {
    x.to_vec().unwrap()
}

/// `0, 1, .. 23` in [2, 3, 4].
fn cube() -> Array {
    Array::arange(24).reshape([2, 3, 4])
}

#[test]
fn static_places_and_ranges() {
    let x = Array::arange(7);
    let last = -1;
    assert_eq!(x.at(2).item::<i32>().unwrap(), 2);
    assert_eq!(x.at(-1).item::<i32>().unwrap(), 6);
    assert_eq!(x.at(2_usize).rank(), 0);
    assert_eq!(x.at(-1_isize).rank(), 0);
    assert_eq!(ints(&x.at(2..4)), [2, 3]);
    assert_eq!(ints(&x.at(-2..)), [5, 6]);
    assert_eq!(ints(&x.at(..2)), [0, 1]);
    assert_eq!(ints(&x.at(..=2)), [0, 1, 2]);
    assert_eq!(ints(&x.at(1..=last)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(ints(&x.at(1..last)), [1, 2, 3, 4, 5]);
    assert_eq!(ints(&x.at(..)), ints(&x));
    assert_eq!(ints(&x.at(7..)), [0_i32; 0]);
    assert_eq!(ints(&x.at(Step(.., 2))), [0, 2, 4, 6]);
    assert_eq!(ints(&x.at(Step(1..6, 3))), [1, 4]);
    assert_eq!(ints(&x.at(Step(1..6, -1))), [5, 4, 3, 2, 1]);
    assert_eq!(ints(&x.at(Step(.., -3))), [6, 3, 0]);
    assert_eq!(ints(&x.at(Step(..6, -3))), [5, 2]);
    assert_eq!(ints(&x.at(Index::At(3))), [3]);
}

#[test]
fn several_axes() {
    let x = cube();
    assert_eq!(ints(&x.at((1, 2, 3))), [23]);
    assert_eq!(ints(&x.at((.., 0, -1))), [3, 15]);
    assert_eq!(ints(&x.at((1, .., 1..3))), [13, 14, 17, 18, 21, 22]);
    assert_eq!(x.at((NewAxis, 0, NewAxis, ..)).shape(), [1, 1, 3, 4]);
    assert_eq!(x.at((.., .., .., NewAxis)).shape(), [2, 3, 4, 1]);
    let keys = Array::new([6, 2], (0..12_u32).collect());
    assert_eq!(keys.at(5_usize).to_vec::<u32>().unwrap(), [10, 11]);
    assert_eq!(keys.at(Array::from([1, 0])).shape(), [2, 2]);
    assert_eq!(keys.at(Array::from(-1)).to_vec::<u32>().unwrap(), [10, 11]);
}

#[test]
fn places_that_are_data() {
    let x = cube();
    // Negative places wrap; then the nearest one is taken.
    for (place, row) in [(0, 0), (1, 1), (-1, 1), (-2, 0), (-9, 0), (9, 1)] {
        assert_eq!(ints(&x.at(Array::from(place))), ints(&x.at(row)), "{place}");
        assert_eq!(ints(&x.at(Array::from([place]))), ints(&x.at(row)), "{place}");
    }
    assert_eq!(ints(&x.at(Array::from(u32::MAX))), ints(&x.at(1)));
    assert_eq!(ints(&x.at((Array::from(1), Array::from(-1), 0))), [20]);
    assert_eq!(ints(&x.at((.., Array::from(1), 1..3))), [5, 6, 17, 18]);
    let rows = Array::from([[2, 0], [-1, 9]]);
    let y = x.at((1, &rows, Step(.., 3)));
    assert_eq!(y.shape(), [2, 2, 2]);
    assert_eq!(ints(&y), [20, 23, 12, 15, 20, 23, 20, 23]);
    assert_eq!(x.at((.., .., &rows)).shape(), [2, 3, 2, 2]);
    assert_eq!(x.at(((NewAxis, ..), &rows, NewAxis, 0)).shape(), [1, 2, 2, 2, 1]);
    assert_eq!(ints(&x.take(Array::from([3, 0]), -1)), ints(&x.at((.., .., Array::from([3, 0])))));
    assert_eq!(ints(&x.take(1, 0)), ints(&x.at(1)));

    let table = Array::from([[1.0_f64, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    let slopes = gradient(|table| table.at(Array::from([0, 2, 0])), &table);
    assert_near(&slopes, &[2.0, 2.0, 0.0, 0.0, 1.0, 1.0]);
    let each = vmap(|x: &Array, i: &Array| x.at(i), (None, 0));
    let looked_up = each.call(&table, &Array::from([2, -2])).unwrap();
    assert_near(&looked_up, &[5.0, 6.0, 3.0, 4.0]);
}

#[test]
fn elements_along_an_axis() {
    let x = Array::from([[1, 2, 3], [4, 5, 6]]);
    let order = Array::from([[2, 0, 1], [-1, -2, 9]]);
    assert_eq!(ints(&x.take_along_axis(&order, 1)), [3, 1, 2, 6, 5, 6]);
    assert_eq!(ints(&x.take_along_axis(Array::from([[1, 0, 1]]), 0)), [4, 2, 6]);
    assert_eq!(ints(&x.take_along_axis(Array::from([[0]]), 1)), [1, 4]);
    assert_eq!(ints(&x.take_along_axis(x.argsort(1), 1)), ints(&x.sort(1)));
}

#[test]
fn ranges_whose_start_is_data() {
    let x = Array::arange(20).reshape([5, 4]);
    let starts = |i: i32, j: i32| [Array::from(i), Array::from(j)];
    assert_eq!(ints(&x.dynamic_slice(&starts(9, -3), &[2, 2])), [13, 14, 17, 18]);
    assert_eq!(ints(&Array::arange(6).dynamic_slice(&[Array::from(-2)], &[2])), [4, 5]);
    let y = Array::arange(6).dynamic_update(Array::from([7, 8, 9]), &[Array::from(5)]);
    assert_eq!(ints(&y), [0, 1, 2, 7, 8, 9]);
}

#[test]
fn writes() {
    let x = Array::from([1, 2, 3, 4, 5]);
    assert_eq!(ints(&x.set(-1, 9)), [1, 2, 3, 4, 9]);
    assert_eq!(ints(&x.add_at(1..3, 10)), [1, 12, 13, 4, 5]);
    assert_eq!(ints(&x.set(.., 0)), [0; 5]);
    assert_eq!(ints(&x.set(Step(.., 2), Array::from([7, 8, 9]))), [7, 2, 8, 4, 9]);
    assert_eq!(ints(&x.set(Step(.., -2), Array::from([7, 8, 9]))), [9, 2, 8, 4, 7]);
    assert_eq!(ints(&x.set(5.., 0)), [1, 2, 3, 4, 5]);
    assert_eq!(ints(&Array::from(3).set((), 4)), [4]);
    // Data: negative places wrap, those out of range are dropped.
    for (place, expected) in
        [(1, [1, 0, 3, 4, 5]), (-1, [1, 2, 3, 4, 0]), (5, [1, 2, 3, 4, 5]), (-6, [1, 2, 3, 4, 5])]
    {
        assert_eq!(ints(&x.set(Array::from(place), 0)), expected, "{place}");
    }
    let places = Array::from([1, 9, -1, -9]);
    assert_eq!(ints(&x.add_at(&places, Array::from([10, 20, 30, 40]))), [1, 12, 3, 4, 35]);
    let twice = Array::from([0, 0]);
    assert_eq!(ints(&x.add_at(&twice, 1)), [3, 2, 3, 4, 5]);
    assert_eq!(ints(&x.set(&twice, Array::from([7, 8]))), [8, 2, 3, 4, 5]);
}

#[test]
fn writes_to_several_axes() {
    let x = Array::zeros([3, 4]).to(DType::I32);
    assert_eq!(ints(&x.set((1, 2), 5)), [0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0]);
    assert_eq!(ints(&x.set((.., 3), Array::from([1, 2, 3]))), [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    let (i, j) = (Array::from(-1), Array::from(1));
    assert_eq!(ints(&x.set((&i, &j), 5)), [0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]);
    assert_eq!(ints(&x.add_at((&i, Array::from(4)), 5)), [0; 12]);
    assert_eq!(ints(&x.add_at((&i, 1..3), 5)), [0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 5, 0]);
    let columns = Array::from([0, 3, 4]);
    let y = x.set((.., &columns), Array::from([1, 2, 3]));
    assert_eq!(ints(&y), [1, 0, 0, 2, 1, 0, 0, 2, 1, 0, 0, 2]);
    let y = x.add_at((Step(.., 2), &columns), Array::from([1, 2, 3]));
    assert_eq!(ints(&y), [1, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 2]);
    let y = x.set((Step(.., 2), Step(.., -2)), Array::from([1, 2]));
    assert_eq!(ints(&y), [0, 2, 0, 1, 0, 0, 0, 0, 0, 2, 0, 1]);
    let y = x.set((&j, &columns), 7);
    assert_eq!(ints(&y), [0, 0, 0, 0, 7, 0, 0, 7, 0, 0, 0, 0]);
    assert_eq!(ints(&x.set((Array::from(3), &columns), 7)), [0; 12]);
}

#[test]
fn every_kind_of_read_is_written_back() {
    let x = cube();
    fn check(x: &Array, index: impl Indexer + Clone) {
        let part = x.at(index.clone());
        assert_eq!(ints(&x.set(index.clone(), &part)), ints(x));
        let zeros = part.zeros_like();
        assert_eq!(ints(&x.add_at(index.clone(), &zeros)), ints(x));
        let marked = x.set(index.clone(), &part + 100);
        assert_eq!(ints(&marked.at(index)), ints(&(part + 100)));
    }
    let (one, rows) = (Array::from(1), Array::from([[2, 0]]));
    check(&x, 1);
    check(&x, (.., 1..3));
    check(&x, (1, .., -1));
    check(&x, (.., Step(.., -2), Step(1.., 2)));
    check(&x, (.., one.clone()));
    check(&x, (0, one.clone(), 1..));
    check(&x, (Step(.., -1), one.clone(), one.clone()));
    check(&x, (.., rows.clone()));
    check(&x, (one.clone(), rows.clone(), 2));
    check(&x, (Step(.., -1), rows.clone(), Step(.., 3)));
}

#[test]
fn gradients_flow_through_writes() {
    let x = Array::from([1.0_f64, 2.0, 3.0]);
    let w = Array::from([10.0_f64, 20.0, 30.0]);
    let slopes = gradient(|x| x.set(Array::from(1), 0.0) * &w, &x);
    assert_near(&slopes, &[10.0, 0.0, 30.0]);
    let slopes = gradient(|x| Array::zeros_like(x).add_at(Array::from([2, 2, 7]), x) * &w, &x);
    assert_near(&slopes, &[30.0, 30.0, 0.0]);
    let slopes = gradient(|x| x.set(0..2, x.at(1..)) * &w, &x);
    assert_near(&slopes, &[0.0, 10.0, 50.0]);
}

#[test]
fn mistakes_name_the_rule_and_the_way_out() {
    let x = Array::zeros([2, 3]);
    let (rows, one) = (Array::from([0, 1]), 1);
    let mistakes = [
        x.at(2),
        x.at((.., -4)),
        x.at((.., 1..5)),
        x.at((.., 2..one)),
        x.at(Step(.., 0)),
        x.at((0, 0, 0)),
        x.at((&rows, &rows)),
        x.at(Array::from([0.5_f32])),
        x.at(Array::from([true, false])),
        x.take(0.5, 0),
        x.take(&rows, 2),
        x.take_along_axis(&rows, 0),
        x.dynamic_slice(&[Array::from(0)], &[1, 1]),
        x.dynamic_slice(&[Array::from(0), Array::from(0)], &[1, 4]),
        x.dynamic_update(Array::zeros([2]), &[Array::from(0), Array::from(0)]),
        x.set(0, Array::zeros([4])),
        x.set(0, rows.clone()),
        x.set((NewAxis, 0), 1.0),
        Array::zeros([0]).at(Array::from([1])),
    ];
    insta::assert_snapshot!(texts_of(mistakes), @r#"
        index 2 is outside axis 0
          the array is f32[2,3]
        help: places count from 0; negative ones from the end

        index -4 is outside axis 1
          the array is f32[2,3]
        help: places count from 0; negative ones from the end

        index 1..5 is outside axis 1
          the array is f32[2,3]
        help: places count from 0; negative ones from the end

        the range 2..1 of axis 1 ends before it starts
          the array is f32[2,3]
        help: use `Step(range, -1)` to go backwards

        the step along axis 0 is 0
          the array is f32[2,3]
        help: give a positive step, or a negative one to go backwards

        3 indices are more than the array has axes
          the array is f32[2,3]
        help: give one for each axis at most; `NewAxis` makes another axis

        an index has at most one array of several places
        help: index one axis after the other, or use `take_along_axis`

        an array is indexed by integers
          got f32[1]
        help: convert with `.to(DType::I32)`; use `where_` to choose by truth values

        an array is indexed by integers
          got bool[2]
        help: convert with `.to(DType::I32)`; use `where_` to choose by truth values

        an array is indexed by integers
          got f32[]
        help: convert with `.to(DType::I32)`; use `where_` to choose by truth values

        `take`: there is no axis 2
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `take_along_axis` needs two shapes that broadcast together
          the left side is f32[2,3]
          the right side is i32[2]
        help: axes are matched from the last; two sizes fit if they are equal or one is 1

        `dynamic_slice` needs starts for each axis
          given are 1
          the array is f32[2,3]
        help: give as many starts as the array has axes

        `dynamic_slice`: a range of 4 does not fit axis 1 of f32[2,3]
          its inputs are f32[2,3], i32[], i32[]

        `dynamic_update`: f32[2,3] has 2 axes, and there are 2 starts and 1 sizes
          its inputs are f32[2,3], f32[2], i32[], i32[]

        `set`: the value does not broadcast to the part
          the part has the shape [3]
          the value is f32[4]
        help: axes are matched from the last; two sizes fit if they are equal or one is 1

        `set` needs both sides of one element type
          the left side is f32[2,3]
          the right side is i32[2]
        help: convert one side, for example with `.to(DType::F32)`

        `set` writes to existing axes, and `NewAxis` is none
          the array is f32[2,3]
        help: leave it out; the value broadcasts to the part that is written

        `gather`: axis 0 of f32[0] is empty, so no index fits
          its inputs are f32[0], i32[1]
        help: index an axis that has elements, or drop what is outside
        "#);
}

#[test]
fn examples_index_and_write_apart() {
    let xs = Array::arange(6).reshape([2, 3]);
    let places = Array::from([-1, 3]);
    let written = vmap(|x: &Array, i: &Array| x.set(i, 9), (0, 0)).call(&xs, &places).unwrap();
    assert_eq!(ints(&written), [0, 1, 9, 3, 4, 5]);
    let added = vmap(|x: &Array, i: &Array| x.add_at((i,), 9), (None, 0));
    assert_eq!(ints(&added.call(&xs.at(0), &places).unwrap()), [0, 1, 11, 0, 1, 2]);
    let both = vmap(|x: &Array, i: &Array| x.set((i, 1..), 9), (None, 0));
    let both = both.call(&xs, &Array::from([1, 2])).unwrap();
    assert_eq!(ints(&both), [0, 1, 2, 3, 9, 9, 0, 1, 2, 3, 4, 5]);
}
