//! The definition of a product, in safe code: the fallback of processors without vectors, and the oracle.

use super::{DOT_LANES, Form, MatRef, Order, Start};
use crate::Real;

pub(super) fn product<T: Real>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    c: &mut [T],
    start: Start,
    order: Order,
) {
    if let Form::Dots { rows, x } = Form::of(&a, &b, order) {
        for (i, c) in c.iter_mut().enumerate() {
            let sum = dot(rows.cols, |p| rows.at(i, p), |p| x.at(p, 0));
            *c = match start {
                Start::Zero => sum,
                Start::Old => *c + sum,
            };
        }
        return;
    }
    for (i, c) in c.chunks_exact_mut(b.cols).enumerate() {
        if start == Start::Zero {
            c.fill(T::ZERO);
        }
        for p in 0..a.cols {
            let factor = a.at(i, p);
            for (j, c) in c.iter_mut().enumerate() {
                *c = factor.fused(b.at(p, j), *c);
            }
        }
    }
}

fn dot<T: Real>(n: usize, a: impl Fn(usize) -> T, x: impl Fn(usize) -> T) -> T {
    let mut sums = [T::ZERO; DOT_LANES];
    for p0 in (0..n).step_by(DOT_LANES) {
        for (l, sum) in sums.iter_mut().enumerate() {
            let p = p0 + l;
            // The padding is a term too: fma(0, 0, -0) is +0.
            let (a, x) = if p < n { (a(p), x(p)) } else { (T::ZERO, T::ZERO) };
            *sum = a.fused(x, *sum);
        }
    }
    tree_sum(sums)
}

/// Adds the chains of a dot product in halves.
fn tree_sum<T: Real>(mut sums: [T; DOT_LANES]) -> T {
    let mut half = DOT_LANES / 2;
    while half > 0 {
        for l in 0..half {
            sums[l] = sums[l] + sums[l + half];
        }
        half /= 2;
    }
    sums[0]
}
