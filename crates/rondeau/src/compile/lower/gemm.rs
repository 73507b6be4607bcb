//! Products of matrices, and of batches of them.
//!
//! Axes are gathered into rows and columns here; when many rows become a loop, `steps` knows, and in
//! which order terms are summed, the primitive and the machine.

use rondeau_machine::code::{Gemm, Stmt, View};

use super::Lowerer;
use super::body::Body;
use super::dims::step_by_loops;
use super::place::{self, Value};
use super::steps::{ByRows, Steps};
use crate::buffer::{DType, Shape};
use crate::ir::{Atom, Aval, Eqn};
use crate::prim::DotGeneral;

/// The axes of an array as a batch of matrices, which have one stride for their rows and one for
/// their columns.
struct Axes {
    batch: Vec<usize>,
    rows: Vec<usize>,
    cols: Vec<usize>,
}

impl Axes {
    /// So many axes of the batch, then of the rows, then of the columns.
    fn in_order(n_batch: usize, n_rows: usize, n_cols: usize) -> Axes {
        let span = |from: usize, n: usize| (from..from + n).collect();
        Axes {
            batch: span(0, n_batch),
            rows: span(n_batch, n_rows),
            cols: span(n_batch + n_rows, n_cols),
        }
    }

    /// The numbers of rows and columns.
    fn sizes(&self, shape: &Shape) -> [usize; 2] {
        [&self.rows, &self.cols].map(|axes| axes.iter().map(|&axis| shape[axis]).product())
    }

    /// A view with the axes (batch.., rows, columns), if the axes of each merge.
    fn matrix(&self, view: &View, shape: &Shape) -> Option<View> {
        let mut strides: Vec<i64> = self.batch.iter().map(|&axis| view.strides[axis]).collect();
        strides.push(place::merged_stride(view, shape, &self.rows)?);
        strides.push(place::merged_stride(view, shape, &self.cols)?);
        Some(view.clone().strides(strides))
    }

    /// The same of an array in row-major order, whose axes are in order.
    fn of_dense(&self, view: &View, shape: &Shape) -> View {
        self.matrix(view, shape).expect("internal: dense arrays are matrices")
    }
}

/// The axes of both sides of a product and of its result.
struct ProductAxes {
    a: Axes,
    b: Axes,
    out: Axes,
}

impl ProductAxes {
    fn of(dot: &DotGeneral, a_rank: usize, b_rank: usize) -> ProductAxes {
        let free = |rank: usize, contract: &[usize], batch: &[usize]| -> Vec<usize> {
            (0..rank).filter(|axis| !contract.contains(axis) && !batch.contains(axis)).collect()
        };
        let a = Axes {
            batch: dot.lhs_batch.clone(),
            rows: free(a_rank, &dot.lhs_contract, &dot.lhs_batch),
            cols: dot.lhs_contract.clone(),
        };
        let b = Axes {
            batch: dot.rhs_batch.clone(),
            rows: dot.rhs_contract.clone(),
            cols: free(b_rank, &dot.rhs_contract, &dot.rhs_batch),
        };
        let out = Axes::in_order(a.batch.len(), a.rows.len(), b.cols.len());
        ProductAxes { a, b, out }
    }
}

impl Lowerer {
    /// Writes a product of matrices, perhaps with the sum that follows it.
    pub(super) fn gemm(
        &mut self,
        body: &mut Body<'_>,
        eqn: &Eqn,
        dot: &DotGeneral,
        sum: Option<&Eqn>,
    ) {
        let product = eqn.outputs[0];
        let out = body.program.var_aval(product).clone();
        let (a, a_aval) = self.operand(body, eqn.inputs[0]);
        let (b, b_aval) = self.operand(body, eqn.inputs[1]);
        let init = sum.map(|sum| {
            let other = sum.inputs.iter().find(|atom| **atom != Atom::Var(product));
            let other = *other.expect("internal: a sum of the product and something else");
            self.operand_over(body, other, &out.shape)
        });
        let to = self.destination(body, sum.unwrap_or(eqn).outputs[0]);
        let axes = ProductAxes::of(dot, a_aval.rank(), b_aval.rank());
        let ([m, k], [_, n]) = (axes.a.sizes(&a_aval.shape), axes.b.sizes(&b_aval.shape));
        let order = DotGeneral::order([axes.a.rows.len(), axes.b.cols.len()]);
        let b = self.matrix(b, &b_aval, &axes.b);
        if axes.out.batch.is_empty() && self.scope() == 0 {
            let by_rows = ByRows {
                a: (&a, &a_aval.shape),
                a_free: &axes.a.rows,
                a_contract: &axes.a.cols,
                cols: n,
                out: &out.shape,
                init: init.as_ref(),
                to: &to,
                order,
            };
            if let Some(steps) = by_rows.steps() {
                return self.by_steps(&steps, b, a_aval.dtype);
            }
        }
        let a = self.matrix(a, &a_aval, &axes.a);
        let init = init.map(|view| self.matrix(view, &out, &axes.out));
        let batch = &out.shape[..axes.out.batch.len()];
        let gemm = |to: View| Gemm { m, n, k, a, b, init, to, order };
        match axes.out.matrix(&to, &out.shape) {
            Some(to) => self.emit_gemm(gemm(to), batch),
            None => {
                let dense = self.temporary(&out);
                self.emit_gemm(gemm(axes.out.of_dense(&dense, &out.shape)), batch);
                self.copy(&Value::Stored(dense), &out.shape, to);
            }
        }
    }

    /// Appends a product; its views have the axes (batch.., rows, columns), and its batch becomes
    /// loops.
    fn emit_gemm(&mut self, gemm: Gemm, batch: &[usize]) {
        let Gemm { m, n, k, .. } = gemm;
        let mut stmt = Stmt::Gemm(gemm);
        stmt.views(&mut |view, _| self.memory.touch(view.buffer));
        let batched = if batch.is_empty() { "" } else { ", batched" };
        self.note(format!("gemm [{m}, {k}]·[{k}, {n}]{batched}"));
        if m == 0 || n == 0 || batch.contains(&0) {
            return;
        }
        let level = self.level();
        stmt.views_mut(&mut |view| step_by_loops(view, batch.len(), level));
        self.emit(stmt.in_loops(batch));
    }

    /// A product of many rows, by steps.
    fn by_steps(&mut self, steps: &Steps, weights: View, dtype: DType) {
        let weights = self.packed(weights, steps.layout(), dtype);
        self.note(steps.note());
        for stmt in steps.stmts(&weights) {
            stmt.views(&mut |view, _| self.memory.touch(view.buffer));
            self.emit(stmt);
        }
    }

    /// A view with the axes (batch.., rows, columns), by a copy if the axes do not merge.
    fn matrix(&mut self, view: View, aval: &Aval, axes: &Axes) -> View {
        if let Some(view) = axes.matrix(&view, &aval.shape) {
            return view;
        }
        let order = [&axes.batch[..], &axes.rows, &axes.cols].concat();
        let shape: Shape = order.iter().map(|&axis| aval.shape[axis]).collect();
        let permuted = place::transpose(&view, &order);
        let dense = self.densified(&Value::Stored(permuted), &Aval::new(aval.dtype, shape.clone()));
        Axes::in_order(axes.batch.len(), axes.rows.len(), axes.cols.len()).of_dense(&dense, &shape)
    }
}
