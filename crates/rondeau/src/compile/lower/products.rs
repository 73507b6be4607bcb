//! Products: with weights that are packed before the loop in which they stay the same, and of
//! matrices.
//!
//! Axes are gathered into rows and columns here; when many rows become a loop, `steps` knows, and in
//! which order terms are summed, the primitive and the machine.

use rondeau_machine::code::{
    Gemm, Mat, Node, Pack, Packed, Product, Stmt, Store, Terms, View, Weights,
};

use super::Lowerer;
use super::body::Body;
use super::cluster::{Cluster, MatShape};
use super::dims::{Space, step_by_loops};
use super::expr::Expr;
use super::place::{self, Value};
use super::steps::{ByRows, Steps};
use crate::buffer::{DType, Shape};
use crate::compile::machine_dtype;
use crate::ir::{Atom, Aval, Eqn, Program};
use crate::prim::{self, DotGeneral, Prim};

/// What is packed, and how.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct PackKey {
    buffer: u32,
    offset: i64,
    strides: Vec<i64>,
    advance: Vec<(i64, i64)>,
    layout: (usize, usize, usize),
}

/// An input of a product with weights, and its axis of terms.
#[derive(Clone, Copy)]
struct Side {
    input: usize,
    axis: usize,
}

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
    /// Writes a kernel of products with weights, and what is elementwise over their shape.
    pub(super) fn mat_cluster(&mut self, body: &mut Body<'_>, cluster: &Cluster, mat: MatShape) {
        let space = match mat.rank {
            1 => Space::of_row(mat.cols),
            _ => Space::of(&[mat.rows, mat.cols].into()),
        };
        let mut expr = Expr::default();
        let (products, done) = self.products(body, &mut expr, cluster, mat, &space);
        let rest: Vec<usize> = cluster.eqns.iter().copied().filter(|i| !done.contains(i)).collect();
        self.compute(body, &mut expr, &rest, &space);
        space.count_by_dims(&mut expr.nodes);
        let stores = self.stores(body, &expr, cluster, &space);
        self.emit_mat(mat, products, expr, stores);
    }

    /// The products of a kernel, as nodes of its DAG; and the equations that they compute.
    fn products(
        &mut self,
        body: &mut Body<'_>,
        expr: &mut Expr,
        cluster: &Cluster,
        mat: MatShape,
        space: &Space,
    ) -> (Vec<Product>, Vec<usize>) {
        let eqns = body.program.eqns();
        let all = body.summed(&cluster.eqns);
        let panel = panel_for(body.program, mat, all.iter().flat_map(|summed| &summed.dots));
        let (mut products, mut done) = (Vec::new(), Vec::new());
        for summed in &all {
            let terms = summed.dots.iter().map(|&i| self.terms(body, &eqns[i], mat, panel));
            let mut product = Product { terms: terms.collect(), init: None };
            let val = expr.push(Node::Product(products.len() as u32));
            let whole = *summed.eqns.last().expect("internal: a product at least");
            expr.define(eqns[whole].outputs[0], val);
            done.extend(&summed.eqns);
            // Many rows would wait for the memory that they start from.
            let may_start = self.scope() == 0 || mat.rows == 1;
            let start = body.sum_after(whole).filter(|&(sum, _)| may_start && cluster.has(sum));
            if let Some((sum, other)) = start {
                let view = self.operand_over(body, other, &space.shape);
                product.init = Some(expr.loads.len() as u32);
                expr.loads.push(space.arrange(&view));
                expr.define(eqns[sum].outputs[0], val);
                done.push(sum);
            }
            products.push(product);
        }
        (products, done)
    }

    /// One product as terms of a `Mat`, its weights packed before the loop in which they stay the
    /// same.
    fn terms(&mut self, body: &mut Body<'_>, eqn: &Eqn, mat: MatShape, panel: usize) -> Terms {
        let views = [0, 1].map(|i| self.operand(body, eqn.inputs[i]).0);
        let [source, weights] = sides(body.program, eqn);
        let depth = body.program.aval(eqn.inputs[source.input]).shape[source.axis];
        // Along the terms, and across them; a vector is one row.
        let strides = |side: Side| match views[side.input].strides[..] {
            [term] => [term, 0],
            ref strides => [strides[side.axis], strides[1 - side.axis]],
        };
        let ([term, row], [weight, col]) = (strides(source), strides(weights));
        let source = views[source.input].clone().strides(vec![row, term]);
        let weights = views[weights.input].clone().strides(vec![weight, col]);
        let layout = Packed { dtype: machine_dtype(mat.dtype), depth, cols: mat.cols, panel };
        Terms { depth, source, weights: self.packed(weights, layout, mat.dtype) }
    }

    /// Appends a kernel of products.
    fn emit_mat(&mut self, mat: MatShape, products: Vec<Product>, expr: Expr, stores: Vec<Store>) {
        let (rows, cols) = (mat.rows, mat.cols);
        self.note(format!(
            "mat [{rows}, {cols}]: {} products of depth {}, {} nodes, {} loads, {} stores",
            products.len(),
            products.iter().map(depths).collect::<Vec<_>>().join(" "),
            expr.nodes.len(),
            expr.loads.len(),
            stores.len()
        ));
        // Outside of loops it is a product of matrices like those that a `Gemm` computes.
        let chains = match self.scope() {
            0 => 1,
            _ => Mat::chains_for(rows, cols, products.len()),
        };
        let (loads, dag) = (expr.loads, expr.nodes);
        let stmt = Stmt::Mat(Mat { rows, cols, chains, products, loads, dag, stores });
        stmt.views(&mut |view, _| self.memory.touch(view.buffer));
        self.emit(stmt);
    }

    /// Weights in that layout, or where they are if they change with each step.
    fn packed(&mut self, weights: View, layout: Packed, dtype: DType) -> Weights {
        let settled = self.settled(&weights);
        if settled >= self.scope() && settled > 0 {
            return Weights::Strided(weights);
        }
        let key = PackKey {
            buffer: weights.buffer.0,
            offset: weights.offset,
            strides: weights.strides.clone(),
            advance: weights.advance.iter().map(|a| (a.stride, a.parity)).collect(),
            layout: (layout.depth, layout.cols, layout.panel),
        };
        if let Some((_, view)) = self.packs.get(&key).cloned() {
            return Weights::Packed(view, layout);
        }
        let begin = self.begins.get(settled).copied();
        let buffer = self.memory.elements_before(layout.len(), dtype, settled, begin);
        let to = View::new(buffer, machine_dtype(dtype));
        self.touch([&weights, &to]);
        let pack = Stmt::Pack(Pack { layout, from: weights, to: to.clone() });
        match begin {
            Some(_) => self.scopes[settled].prologue.push(pack),
            None => self.emit(pack),
        }
        self.packs.insert(key, (settled, to.clone()));
        Weights::Packed(to, layout)
    }

    /// In how many scopes a view keeps still: the scope from which on it is the same.
    fn settled(&self, view: &View) -> usize {
        let moving = view.advance.iter().enumerate();
        let moving = moving.filter(|(_, a)| a.stride != 0 || a.parity != 0);
        let last = moving.map(|(level, _)| self.level_scope[level]).max().unwrap_or(0);
        last.max(self.memory.scope(view.buffer))
    }

    /// Writes a product of matrices, perhaps with the sum that follows it.
    pub(super) fn gemm(
        &mut self,
        body: &mut Body<'_>,
        eqn: &Eqn,
        dot: &prim::DotGeneral,
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

/// The source and the weights of a product: the source is the vector, or of two matrices the left
/// one.
fn sides(program: &Program, eqn: &Eqn) -> [Side; 2] {
    let Prim::DotGeneral(dot) = &eqn.prim else {
        panic!("internal: {} of weights", eqn.prim.name())
    };
    let lhs = Side { input: 0, axis: dot.lhs_contract[0] };
    let rhs = Side { input: 1, axis: dot.rhs_contract[0] };
    match [0, 1].map(|i| program.aval(eqn.inputs[i]).rank()) {
        [2, 1] => [rhs, lhs],
        _ => [lhs, rhs],
    }
}

/// The columns of a panel that suit all of these products of one kernel.
fn panel_for<'a>(program: &Program, mat: MatShape, dots: impl Iterator<Item = &'a usize>) -> usize {
    let source = |&i: &usize| {
        let eqn = &program.eqns()[i];
        let [source, _] = sides(program, eqn);
        let atom = eqn.inputs[source.input];
        (atom, program.aval(atom).shape[source.axis])
    };
    let sources: Vec<(Atom, usize)> = dots.map(source).collect();
    let sharing = |one: &(Atom, usize)| sources.iter().filter(|other| other.0 == one.0).count();
    let n_sharing = sources.iter().map(sharing).max().unwrap_or(1);
    let depth = sources.iter().map(|source| source.1).max().unwrap_or(0);
    Packed::panel_for(machine_dtype(mat.dtype), mat.rows, mat.cols, n_sharing, depth)
}

/// The depths of a product's terms, as in `64+128`.
fn depths(product: &Product) -> String {
    let depths = product.terms.iter().map(|terms| terms.depth.to_string());
    depths.collect::<Vec<_>>().join("+")
}
