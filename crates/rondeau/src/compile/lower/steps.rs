//! Products of many rows with few weights, by steps: a loop over blocks of rows, each a kernel with
//! packed weights as in a recurrent step.
//!
//! Such a product is what `hoist` takes out of a loop: all steps at once,
//! `[time, batch, depth]·[depth, outputs]`. Its weights are packed once for all calls, a block of its
//! rows stays in the cache while all panels of the weights go by, and the rows of a batch need not
//! follow those of the step before: what lies batch by batch is read where it is.

use rondeau_machine::code::{
    Loop, Mat, Node, Order, Packed, Product, Stmt, Store, Terms, Val, View, Weights,
};

use super::place;
use crate::buffer::Shape;

/// The fewest rows that are worth to be divided, and the fewest of a step that takes an axis of
/// its own.
const MIN_ROWS: usize = 64;
const MIN_STEP_ROWS: usize = 16;

/// The most rows of a step: with each row that it computes, a kernel reads all weights again.
const MAX_STEP_ROWS: usize = 512;

/// Bytes of the left side that a step reads, so that they stay close.
const STEP_BYTES: usize = 64 << 10;

/// Bytes of the weights, so that they stay close from step to step, and the most terms of a sum.
const WEIGHT_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 2048;

/// A product without batch axes, as its equation has it.
pub(super) struct ByRows<'a> {
    /// The left side and the axes of its rows and its terms, in order.
    pub(super) a: (&'a View, &'a Shape),
    pub(super) a_free: &'a [usize],
    pub(super) a_contract: &'a [usize],
    /// The number of columns.
    pub(super) cols: usize,
    /// What the sums start from, and where they go; with the axes (rows.., columns..).
    pub(super) out: &'a Shape,
    pub(super) init: Option<&'a View>,
    pub(super) to: &'a View,
    pub(super) order: Order,
}

/// How a product is divided, with views for `[row, term]` and `[row, column]`.
pub(super) struct Steps {
    rows: usize,
    n_steps: usize,
    /// Rows after the last whole step.
    left: usize,
    depth: usize,
    cols: usize,
    source: View,
    init: Option<View>,
    to: View,
    /// Elements from step to step: of the source, of the start, of the result.
    by_step: [i64; 3],
}

impl ByRows<'_> {
    /// The division of a product into steps, if there is one that pays.
    pub(super) fn steps(&self) -> Option<Steps> {
        let count = |axes: &[usize]| axes.iter().map(|&axis| self.a.1[axis]).product::<usize>();
        let (m, depth) = (count(self.a_free), count(self.a_contract));
        let size = self.to.dtype.size();
        let fits = self.to.dtype.is_float()
            && self.order == Order::Chain
            && m >= MIN_ROWS
            && (1..=MAX_DEPTH).contains(&depth)
            && self.cols > 0
            && depth.saturating_mul(self.cols).saturating_mul(size) <= WEIGHT_BYTES;
        if !fits {
            return None;
        }
        let (&first, inner) = self.a_free.split_first()?;
        let inner_rows = count(inner);
        if (MIN_STEP_ROWS..=MAX_STEP_ROWS).contains(&inner_rows)
            && let Some((source, to, init)) = self.views(1)
        {
            let by_step = [
                self.a.0.strides[first],
                self.init.map_or(0, |init| init.strides[0]),
                self.to.strides[0],
            ];
            let steps = Steps {
                rows: inner_rows,
                n_steps: self.a.1[first],
                left: 0,
                depth,
                cols: self.cols,
                source,
                init,
                to,
                by_step,
            };
            return Some(steps);
        }
        let (source, to, init) = self.views(0)?;
        let rows = block(m, (STEP_BYTES / (depth * size)).clamp(32, MAX_STEP_ROWS));
        let by = |view: &View| view.strides[0] * rows as i64;
        let by_step = [by(&source), init.as_ref().map_or(0, by), by(&to)];
        let (n_steps, left) = (m / rows, m % rows);
        Some(Steps { rows, n_steps, left, depth, cols: self.cols, source, init, to, by_step })
    }

    /// The source, the result and the start with one axis for the rows from axis `from` on and one
    /// for the terms or columns; none if axes do not merge or columns are not side by side.
    fn views(&self, from: usize) -> Option<(View, View, Option<View>)> {
        let n_rows = self.a_free.len();
        let two = |view: &View, shape: &Shape, rows: &[usize], cols: &[usize]| {
            let row = place::merged_stride(view, shape, rows)?;
            let col = place::merged_stride(view, shape, cols)?;
            Some(view.clone().strides(vec![row, col]))
        };
        let out_rows: Vec<usize> = (from..n_rows).collect();
        let out_cols: Vec<usize> = (n_rows..self.out.rank()).collect();
        let of_out = |view: &View| two(view, self.out, &out_rows, &out_cols);
        let source = two(self.a.0, self.a.1, &self.a_free[from..], self.a_contract)?;
        let init = match self.init {
            Some(init) => Some(of_out(init)?),
            None => None,
        };
        let to = of_out(self.to)?;
        let beside = to.strides[1] == 1 && init.as_ref().is_none_or(|init| init.strides[1] <= 1);
        (beside || self.cols == 1).then_some((source, to, init))
    }
}

/// A number of rows close to `wanted` that leaves few or none of `m` over.
fn block(m: usize, wanted: usize) -> usize {
    let even = (wanted / 2..=wanted).rev().filter(|n| n % 8 == 0).find(|&n| m.is_multiple_of(n));
    even.unwrap_or(wanted / 8 * 8).min(m)
}

impl Steps {
    /// What is told of it.
    pub(super) fn note(&self) -> String {
        let Steps { rows, n_steps, left, depth, cols, .. } = self;
        let steps = if *n_steps > 1 { format!(", {n_steps} steps") } else { String::new() };
        let rest = if *left > 0 { format!(" and {left} rows") } else { String::new() };
        format!("mat [{rows}, {cols}]{steps}{rest}: 1 product of depth {depth}")
    }

    /// How the kernels want the weights.
    pub(super) fn layout(&self) -> Packed {
        let Steps { depth, cols, .. } = *self;
        let dtype = self.to.dtype;
        let panel = Packed::panel_for(dtype, self.rows, cols, 1, depth);
        Packed { dtype, depth, cols, panel }
    }

    /// The loop over the steps and the rows after it, with weights in that layout.
    pub(super) fn stmts(&self, weights: &Weights) -> Vec<Stmt> {
        let mat = |rows: usize, place: &dyn Fn(&View, usize) -> View| {
            let terms = Terms {
                depth: self.depth,
                source: place(&self.source, 0),
                weights: weights.clone(),
            };
            let product = Product { terms: vec![terms], init: self.init.as_ref().map(|_| 0) };
            Stmt::Mat(Mat {
                rows,
                cols: self.cols,
                chains: 1,
                products: vec![product],
                loads: self.init.iter().map(|init| place(init, 1)).collect(),
                dag: vec![Node::Product(0)],
                stores: vec![Store { value: Val(0), to: place(&self.to, 2) }],
            })
        };
        if self.n_steps == 1 && self.left == 0 {
            return vec![mat(self.rows, &|view, _| view.clone())];
        }
        let moving = |view: &View, i: usize| view.clone().advance(0, self.by_step[i]);
        let body = vec![mat(self.rows, &moving)];
        let mut stmts = vec![Stmt::Loop(Loop { n_steps: self.n_steps, body })];
        if self.left > 0 {
            let last = |view: &View, i: usize| {
                let offset = view.offset + self.by_step[i] * self.n_steps as i64;
                view.clone().offset(offset)
            };
            stmts.push(mat(self.left, &last));
        }
        stmts
    }
}
