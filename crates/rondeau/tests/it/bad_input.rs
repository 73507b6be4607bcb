//! Bad input gives an error or a value: it never panics, nor asks for memory beyond reason.

use rondeau::buffer::DType;
use rondeau::trace::{Index, Step};
use rondeau::{
    Array, AssociativeOptions, NewAxis, ScanOptions, Tree, associative_scan_with, concatenate,
    dot_general, einsum, fori_loop, grad, jacfwd, jacrev, jit, jvp, program, random, scan_n,
    scan_with, sort_by_keys, stack, switch, tree, vjp, vmap, where_,
};

const AXES: [isize; 6] = [isize::MIN, -3, -1, 0, 2, isize::MAX];
const SIZES: [usize; 6] = [0, 1, 7, 1 << 33, 1 << 62, usize::MAX];

/// Arrays at the edges: without axes, without elements, as large as can be.
fn arrays() -> Vec<Array> {
    let shapes: [&[usize]; 9] =
        [&[], &[0], &[1], &[2, 3], &[0, 3], &[3, 0], &[2, 0, 2], &[1 << 32], &[1 << 16, 1 << 16]];
    let all = shapes.map(Array::zeros);
    // Without the largest ones, of which a copy in memory would be made.
    let others = all[..7]
        .iter()
        .flat_map(|x| [DType::F64, DType::I32, DType::U32, DType::Bool].map(|to| x.to(to)));
    let mut arrays: Vec<Array> = all.iter().cloned().chain(others).collect();
    arrays.push(Array::from([f32::NAN, -0.0, f32::INFINITY]));
    arrays.push(Array::from([i32::MIN, -1, 0, i32::MAX]));
    arrays.push(Array::zeros([2]) + Array::zeros([3]));
    arrays
}

/// Whether an array takes so much memory that only what copies nothing is asked of it.
fn is_large(x: &Array) -> bool {
    x.size() > 1 << 20
}

/// What comes out is a mistake with a text, or an array of a reasonable size.
fn sound<T: Tree>(result: &T) -> usize {
    let mut n = 0;
    for leaf in tree::leaves(result) {
        match leaf.error() {
            Some(error) => assert!(!error.to_string().contains("internal:"), "{error}"),
            None => assert!(leaf.size() <= 1 << 34),
        }
        n += 1;
    }
    n
}

#[test]
fn shapes_without_bounds() {
    let mut n = 0;
    for a in SIZES {
        n += sound(&Array::zeros(a));
        n += sound(&Array::full([a], true));
        n += sound(&Array::new([a], Vec::<f32>::new()));
        for b in SIZES {
            n += sound(&Array::new([a, b], Vec::<f64>::new()));
            n += sound(&Array::new([0, a, b], Vec::<f64>::new()));
            n += sound(&Array::ones([a, b]));
            for x in arrays() {
                n += sound(&x.reshape([a, b]));
                n += sound(&x.reshape([a, b, 0]));
                if a.saturating_mul(b) < 1 << 20 || x.size() <= 1 {
                    n += sound(&x.broadcast_to([a, b]));
                    n += sound(&x.tile(&[a, b]));
                }
            }
        }
        if !(1 << 20..1 << 40).contains(&a) {
            n += sound(&Array::arange(a));
            n += sound(&Array::eye(a));
            n += sound(&Array::linspace(0.0, 1.0, a));
            n += sound(&random::normal(&random::key(0), a));
            n += sound(&random::split(&random::key(0), a));
            n += sound(&random::permutation(&random::key(0), a));
            n += sound(&random::choice_without(&random::key(0), 3, a));
            n += sound(&Array::from([0, 5]).one_hot(a));
            let hot = program(move |x: &Array| x.one_hot(a)).call(&Array::from([0, 5]));
            n += usize::from(hot.is_ok() == (a < 1 << 30));
        }
    }
    eprintln!("bad input: {n} results of shapes");
}

#[test]
fn axes_without_bounds() {
    let mut n = 0;
    for x in arrays() {
        let large = is_large(&x);
        for axis in AXES {
            n += sound(&x.expand_dims(axis));
            n += sound(&x.squeeze(axis));
            n += sound(&x.flip(axis));
            n += sound(&x.swap_axes(axis, 0));
            n += sound(&x.move_axis(0, axis));
            n += sound(&x.at(axis));
            n += sound(&x.at((NewAxis, axis)));
            n += sound(&x.at(axis..));
            n += sound(&x.at(..=axis));
            n += sound(&x.at(Step(.., axis)));
            n +=
                sound(&x.at(Index::Range { start: Some(axis), end: Some(isize::MIN), step: axis }));
            n += sound(&x.split(3, axis));
            if large {
                continue;
            }
            n += sound(&x.roll(axis, axis));
            n += sound(&x.sum_axis(axis));
            n += sound(&x.max_axis(axis));
            n += sound(&x.mean_axis(axis));
            n += sound(&x.argmax(axis));
            n += sound(&x.argmin(axis));
            n += sound(&x.sort(axis));
            n += sound(&x.argsort(axis));
            n += sound(&x.cumsum(axis));
            n += sound(&x.cumprod_reverse(axis));
            n += sound(&x.softmax(axis));
            n += sound(&x.logsumexp_axis(axis));
            n += sound(&x.take(Array::from([0, i32::MIN, i32::MAX]), axis));
            n += sound(&x.take_along_axis(Array::from([0]), axis));
            n += sound(&x.set(axis, 1));
            n += sound(&x.add_at(axis..=axis, 1.0));
            n += sound(&stack(&[&x, &x], axis));
            n += sound(&concatenate(&[&x, &x], axis));
            n += sound(&sort_by_keys(&x, &x, axis));
            n += sound(&random::permute(&random::key(0), &x, axis));
            n += sound(&random::categorical_with(&random::key(0), &x, axis, [2]));
            let options = AssociativeOptions::default().axis(axis);
            n += sound(&associative_scan_with(options, |a, b| a.maximum(b), &x));
            n += vmap(|x: &Array| x.clone(), axis).call(&x).map_or(1, |y| sound(&y));
            n += vmap(|x: &Array| x.clone(), 0).out_axes(axis).call(&x).map_or(1, |y| sound(&y));
        }
        for size in SIZES {
            n += sound(&x.split(size, 0));
            if !large {
                n += sound(&x.repeat(if x.size() > 0 { size.max(1 << 40) } else { size }, 0));
                n += sound(&x.pad(&vec![(size.max(1 << 40), size); x.rank()], 0));
                n += sound(
                    &x.dynamic_slice(&vec![Array::from(-1); x.rank()], &vec![size; x.rank()]),
                );
                n += sound(&x.transpose(&[size]));
                n += sound(&x.at(size));
            }
        }
        if !large {
            for edge in [i64::MIN, -1, 0, 1 << 40, i64::MAX] {
                n += sound(&x.pad_interior(&vec![(edge, edge, 0); x.rank()], 0));
                n += sound(&x.pad_interior(&vec![(edge, -1, usize::MAX); x.rank()], 0));
            }
        }
    }
    eprintln!("bad input: {n} results of axes");
}

#[test]
fn operators_of_any_arrays() {
    let mut n = 0;
    let arrays: Vec<Array> = arrays().into_iter().filter(|x| !is_large(x)).collect();
    for x in &arrays {
        for k in [i32::MIN, -1, 0, 1, 31, i32::MAX] {
            n += sound(&x.powi(k));
            n += sound(&x.tril(k));
            n += sound(&x.triu(k));
            n += sound(&(x / k));
            n += sound(&(x % k));
            n += sound(&(x << k));
            n += sound(&(x >> k));
            n += sound(&(x + k));
            n += sound(&x.div_floor(k));
            n += sound(&x.rem_floor(k));
            let slope = grad(move |x: &Array| x.powi(k).sum()).call(x);
            n += slope.map_or(1, |y| sound(&y));
        }
        n += sound(&[x.sum(), x.max(), x.min(), x.prod(), x.mean(), x.var(), x.all(), x.any()]);
        n += sound(&[
            x.exp(),
            x.abs(),
            x.sign(),
            -x,
            !x,
            x.t(),
            x.ravel(),
            x.diagonal(),
            x.softplus(),
        ]);
        n += sound(&[x.to(DType::I32), x.to(DType::Bool), x.bitcast(DType::U32), x.zeros_like()]);
        assert!(x.to_vec::<u32>().is_err() || x.dtype() == DType::U32);
        assert!(!format!("{x} {x:?}").is_empty());
        for y in &arrays {
            n += sound(&[x + y, x / y, x % y, x.dot(y), x.matmul(y), x.outer(y), x.maximum(y)]);
            n += sound(&[x & y, x << y, x.pow(y), x.logaddexp(y), x.lt(y), x.at(y), x.set(y, x)]);
            n += sound(&[where_(x, y, x), where_(x, y, y), x.take(y, 0), x.take_along_axis(y, -1)]);
            n += sound(&dot_general(x, y, (&[0], &[usize::MAX]), (&[1], &[])));
            n += sound(&dot_general(x, y, (&[0, 0], &[0, 0]), (&[0], &[0])));
            n += sound(&x.dynamic_update(y, &vec![Array::from(i32::MAX); x.rank()]));
            n += sound(&random::fold_in(x, y));
            n += sound(&random::choice_weighted(&random::key(0), x, [2]));
            n += sound(&switch(y, &[&|x: &Array| x.clone(), &|x: &Array| x + 1], x));
            n += sound(&jvp(|x: &Array| x.sin(), (x,), (y,)));
            n += vjp(|x: &Array| x.sin(), (x,)).1.call(y).map_or(1, |y| sound(&y));
            n += grad(|x: &Array, y: &Array| (x * y).max()).call(x, y).map_or(1, |y| sound(&y));
        }
        for text in ["", "->", "i->i", "ij->", "ij,j->i", "ab->ba", "é->é", "i->ii", ",->", "i,i"]
        {
            n += sound(&einsum(text, &[x]));
            n += sound(&einsum(text, &[x, x]));
        }
    }
    eprintln!("bad input: {n} results of operators");
}

#[test]
fn transformations_without_bounds() {
    let x = Array::from([1.0_f32, 2.0]);
    let large = Array::zeros([1 << 20]);
    let mut n = 0;
    for size in [1 << 33, 1 << 62, usize::MAX] {
        n += sound(&scan_n(|c: &Array| (c.sin(), c.clone()), &x, size));
        let options = ScanOptions::default().length(size);
        n += sound(&scan_with(options, |c: &Array, (): &()| (c * 1.0, c.clone()), &x, &()));
        let batched = vmap(|x: &Array| x.sin(), None).axis_size(size);
        n += batched.call(&x).map_or(1, |y| sound(&y));
        // The values of all steps are kept for the backward pass, and would be too many.
        let many = move |x: &Array| scan_n(|c: &Array| (c.sin(), ()), x, size).0.sum();
        assert!(jit(grad(many)).call(&x).is_err());
        let twice = jit(vmap(grad(many), 0));
        assert!(twice.call(&x.reshape([2, 1])).is_err());
        n += 2;
    }
    assert!(jacrev(|x: &Array| x.sin()).call(&large).is_err());
    assert!(jacfwd(|x: &Array| x.sin()).call(&large).is_err());
    let outer = vmap(|x: &Array| Array::zeros([1 << 20, 1 << 10]) + x, 0);
    assert!(outer.call(&large).is_err());
    assert!(program(|x: &Array| outer.apply(x)).call(&large).is_err());
    // The program is only made, not run: counting takes no memory.
    let counts = |x: &Array| fori_loop(i32::MIN, i32::MAX, |_, c| c + 1.0, x);
    let text = program(counts).call(&x).map(|program| program.to_string());
    assert!(text.is_ok_and(|text| text.contains("length=4294967295")));
    eprintln!("bad input: {n} results of transformations");
}
