//! Products against a naive one, on every instruction set.

use super::*;

/// Numbers of all signs and sizes from a multiplicative generator, the same in every run.
fn numbers<T: Real>(n: usize, seed: u64, from: impl Fn(f64) -> T) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    (0..n).map(|_| from(next())).collect()
}

/// The layouts of a `rows`x`cols` matrix over `data`: contiguous rows, contiguous columns, gaps, repeated
/// rows, and both directions reversed.
fn layouts<T: Copy>(data: &[T], rows: usize, cols: usize) -> Vec<MatRef<'_, T>> {
    let (r, c) = (rows as isize, cols as isize);
    let last = (rows * cols).saturating_sub(1);
    [
        MatRef::new(data, 0, rows, cols, c, 1),
        MatRef::new(data, 0, rows, cols, 1, r),
        MatRef::new(data, 1, rows, cols, 2 * c + 1, 2),
        MatRef::new(data, 3, rows, cols, 0, 1),
        MatRef::new(data, last, rows, cols, -c, -1),
    ]
    .into_iter()
    .map(|m| m.expect("the data suffice for every layout"))
    .collect()
}

fn is_nan<T: Real>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// Compares every vector instruction set with the portable definition.
fn check_same_bits<T: Real>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    bits: impl Fn(T) -> u64,
    start: Start,
    order: Order,
) {
    let old: Vec<T> = a.data.iter().cycle().take(a.rows * b.cols).copied().collect();
    let mut want = old.clone();
    product(Level::Portable, a, b, &mut want, start, order);
    for level in Level::available().skip(1) {
        let mut got = old.clone();
        product(level, a, b, &mut got, start, order);
        for (i, (&want, &got)) in want.iter().zip(&got).enumerate() {
            let same = bits(want) == bits(got) || (is_nan(want) && is_nan(got));
            assert!(
                same,
                "{level:?} {start:?} element {i} of {}x{}x{}, strides {:?} {:?}: {got:?} instead of {want:?}",
                a.rows,
                a.cols,
                b.cols,
                (a.row_stride, a.col_stride),
                (b.row_stride, b.col_stride),
            );
        }
    }
}

fn check_shapes<T: Real>(
    shapes: &[[usize; 3]],
    from: impl Fn(f64) -> T + Copy,
    bits: impl Fn(T) -> u64 + Copy,
) {
    for &[m, k, n] in shapes {
        let a_data = numbers(2 * m * k + 2 * m + 2 * k + 8, 1 + m as u64, from);
        let b_data = numbers(2 * k * n + 2 * k + 2 * n + 8, 2 + n as u64, from);
        for a in layouts(&a_data, m, k) {
            for b in layouts(&b_data, k, n) {
                for start in [Start::Zero, Start::Old] {
                    check_same_bits(a, b, bits, start, Order::Chain);
                    if m == 1 || n == 1 {
                        check_same_bits(a, b, bits, start, Order::Lanes);
                    }
                }
            }
        }
    }
}

fn small_shapes() -> Vec<[usize; 3]> {
    let mut shapes = Vec::new();
    for m in [1, 2, 3, 7, 8, 9, 17] {
        for k in [0, 1, 2, 9, 32, 65] {
            for n in [1, 2, 4, 7, 8, 15, 16, 17, 32, 33] {
                shapes.push([m, k, n]);
            }
        }
    }
    shapes
}

fn large_shapes() -> Vec<[usize; 3]> {
    vec![
        [0, 3, 4],
        [4, 3, 0],
        [70, 70, 70],
        [190, 260, 150],
        [13, 520, 140],
        // Rows of `b` in place and far apart, and deeper than a block of each.
        [80, 2100, 40],
        [80, 300, 270],
        [520, 300, 40],
        [300, 1, 70],
        [1, 300, 200],
        [200, 300, 1],
        [200, 1, 1],
        [1, 1, 200],
        [2, 3, 2100],
    ]
}

#[test]
fn every_instruction_set_gives_the_same_bits_f32() {
    check_shapes(&small_shapes(), |x| x as f32, |x| x.to_bits() as u64);
    check_shapes(&large_shapes(), |x| x as f32, |x| x.to_bits() as u64);
}

#[test]
fn every_instruction_set_gives_the_same_bits_f64() {
    check_shapes(&small_shapes(), |x| x, f64::to_bits);
    check_shapes(&large_shapes(), |x| x, f64::to_bits);
}

#[test]
fn special_values_pass_through_every_term() {
    let specials = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, 1e-45, 1.0];
    let pick = |x: f64| specials[((x + 1.0) * 3.999) as usize];
    check_shapes(&[[9, 7, 17], [1, 40, 33], [33, 40, 1], [3, 1, 5]], pick, |x| x.to_bits() as u64);
}

#[test]
fn products_are_close_to_exact_ones() {
    let (m, k, n) = (37, 129, 45);
    let a = numbers(m * k, 5, |x| x as f32);
    let b = numbers(k * n, 6, |x| x as f32);
    let mut c = vec![0.0; m * n];
    gemm(
        MatRef::row_major(&a, m, k).expect("sizes agree"),
        MatRef::row_major(&b, k, n).expect("sizes agree"),
        &mut c,
        Order::Lanes,
    );
    for i in 0..m {
        for j in 0..n {
            let exact: f64 = (0..k).map(|p| a[i * k + p] as f64 * b[p * n + j] as f64).sum();
            // The error of a chain of k roundings, each at most half an ulp of a partial sum below k.
            let bound = k as f64 * k as f64 * f32::EPSILON as f64 / 2.0;
            assert!((c[i * n + j] as f64 - exact).abs() <= bound, "element ({i}, {j})");
        }
    }
}

#[test]
fn a_chain_does_not_see_how_many_rows_there_are() {
    let (m, k, n) = (5, 70, 19);
    let a = numbers(m * k, 5, |x| x as f32);
    let b = numbers(k * n, 6, |x| x as f32);
    for level in Level::available() {
        for transposed in [false, true] {
            let right = match transposed {
                false => MatRef::row_major(&b, k, n),
                true => MatRef::row_major(&b, n, k).map(MatRef::transposed),
            };
            let right = right.expect("sizes agree");
            let mut all = vec![0.0; m * n];
            let left = MatRef::row_major(&a, m, k).expect("sizes agree");
            product(level, left, right, &mut all, Start::Zero, Order::Chain);
            for (row, need) in a.chunks(k).zip(all.chunks(n)) {
                let row = MatRef::row_major(row, 1, k).expect("sizes agree");
                let mut one = vec![0.0; n];
                product(level, row, right, &mut one, Start::Zero, Order::Chain);
                assert_eq!(one, need, "{level:?} transposed: {transposed}");
            }
        }
    }
}

#[test]
fn views_outside_the_data_are_refused() {
    let data = [0.0f32; 12];
    assert!(MatRef::row_major(&data, 3, 4).is_some());
    assert!(MatRef::row_major(&data, 3, 5).is_none());
    assert!(MatRef::row_major(&data, usize::MAX, 2).is_none());
    assert!(MatRef::new(&data, 0, 3, 4, 4, 1).is_some());
    assert!(MatRef::new(&data, 1, 3, 4, 4, 1).is_none());
    assert!(MatRef::new(&data, 11, 3, 4, -4, -1).is_some());
    assert!(MatRef::new(&data, 10, 3, 4, -4, -1).is_none());
    assert!(MatRef::new(&data, 0, usize::MAX, usize::MAX, isize::MAX, isize::MAX).is_none());
    assert!(MatRef::new(&data, 11, 1000, 1000, 0, 0).is_some());
    assert!(MatRef::new(&data, 99, 0, 7, 1, 1).is_some());
}
