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
use super::dims::Space;
use crate::buffer::{DType, Shape};
use crate::compile::cluster::{Cluster, MatShape};
use crate::compile::expr::Expr;
use crate::compile::machine_dtype;
use crate::compile::place::{self, Value};
use crate::compile::steps::{ByRows, Steps};
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
        let out = sum.map_or(product, |sum| sum.outputs[0]);
        let out_shape = body.program.var_aval(product).shape.clone();
        let (a, a_aval) = self.operand(body, eqn.inputs[0]);
        let (b, b_aval) = self.operand(body, eqn.inputs[1]);
        let init = sum.map(|sum| {
            let other = sum.inputs.iter().find(|atom| **atom != Atom::Var(product));
            let other = *other.expect("internal: a sum of the product and something else");
            self.operand_over(body, other, &out_shape)
        });
        let to = self.destination(body, out);
        let free = |rank: usize, contract: &[usize], batch: &[usize]| -> Vec<usize> {
            (0..rank).filter(|axis| !contract.contains(axis) && !batch.contains(axis)).collect()
        };
        let a_free = free(a_aval.rank(), &dot.lhs_contract, &dot.lhs_batch);
        let b_free = free(b_aval.rank(), &dot.rhs_contract, &dot.rhs_batch);
        let n_batch = dot.lhs_batch.len();
        let span = |from: usize, n: usize| (from..from + n).collect::<Vec<usize>>();
        let rows = span(n_batch, a_free.len());
        let cols = span(n_batch + a_free.len(), b_free.len());
        // Each side becomes a matrix, by one stride for its rows and one for its columns.
        let b = self.matrix(b, &b_aval, &dot.rhs_batch, &dot.rhs_contract, &b_free);
        let order = DotGeneral::order([a_free.len(), b_free.len()]);
        if n_batch == 0 && self.scope() == 0 {
            let by_rows = ByRows {
                a: (&a, &a_aval.shape),
                a_free: &a_free,
                a_contract: &dot.lhs_contract,
                cols: b_free.iter().map(|&axis| b_aval.shape[axis]).product(),
                out: &out_shape,
                init: init.as_ref(),
                to: &to,
                order,
            };
            if let Some(steps) = by_rows.steps() {
                return self.by_steps(&steps, b, a_aval.dtype);
            }
        }
        let a = self.matrix(a, &a_aval, &dot.lhs_batch, &a_free, &dot.lhs_contract);
        let batch_axes = span(0, n_batch);
        let aval = body.program.var_aval(product).clone();
        let init = init.map(|view| self.matrix(view, &aval, &batch_axes, &rows, &cols));
        let target = matrix_view(&to, &out_shape, &batch_axes, &rows, &cols);
        let direct = target.clone().unwrap_or_else(|| {
            let dense = self.temporary(&aval);
            matrix_view(&dense, &out_shape, &batch_axes, &rows, &cols)
                .expect("internal: dense arrays are matrices")
        });
        let count = |shape: &Shape, axes: &[usize]| axes.iter().map(|&i| shape[i]).product();
        let (m, n, k): (usize, usize, usize) = (
            count(&a_aval.shape, &a_free),
            count(&b_aval.shape, &b_free),
            count(&a_aval.shape, &dot.lhs_contract),
        );
        self.touch([&a, &b, &direct].into_iter().chain(init.as_ref()));
        self.note(format!(
            "gemm [{m}, {k}]·[{k}, {n}]{}",
            if n_batch > 0 { ", batched" } else { "" }
        ));
        let batch: Vec<usize> = out_shape[..n_batch].to_vec();
        if out_shape.count() > 0 {
            let level = self.level();
            let moved = |view: &View| {
                let (batch_strides, matrix) = view.strides.split_at(n_batch);
                let still = View { strides: matrix.to_vec(), ..view.clone() };
                let step =
                    |view: View, (i, &stride): (usize, &i64)| view.advance(level + i, stride);
                batch_strides.iter().enumerate().fold(still, step)
            };
            let gemm = Gemm {
                m,
                n,
                k,
                a: moved(&a),
                b: moved(&b),
                init: init.as_ref().map(moved),
                to: moved(&direct),
                order,
            };
            self.emit(Stmt::Gemm(gemm).in_loops(&batch));
        }
        if target.is_none() && out_shape.count() > 0 {
            let shape: Shape = [&batch[..], &[m, n]].concat().into();
            let result = place::reshape(&direct, &shape, &out_shape);
            let result = result.expect("internal: dense arrays reshape");
            self.copy(&Value::Stored(result), &out_shape, to);
        }
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
    fn matrix(
        &mut self,
        view: View,
        aval: &Aval,
        batch: &[usize],
        rows: &[usize],
        cols: &[usize],
    ) -> View {
        if let Some(view) = matrix_view(&view, &aval.shape, batch, rows, cols) {
            return view;
        }
        let order = [batch, rows, cols].concat();
        let shape: Shape = order.iter().map(|&axis| aval.shape[axis]).collect();
        let permuted = place::transpose(&view, &order);
        let dense = self.densified(&Value::Stored(permuted), &Aval::new(aval.dtype, shape.clone()));
        let at = |from: usize, n: usize| (from..from + n).collect::<Vec<usize>>();
        let (nb, nr) = (batch.len(), rows.len());
        matrix_view(&dense, &shape, &at(0, nb), &at(nb, nr), &at(nb + nr, cols.len()))
            .expect("internal: dense arrays are matrices")
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

/// A view with the axes (batch.., rows, columns), if the axes of each merge.
fn matrix_view(
    view: &View,
    shape: &Shape,
    batch: &[usize],
    rows: &[usize],
    cols: &[usize],
) -> Option<View> {
    let mut strides: Vec<i64> = batch.iter().map(|&axis| view.strides[axis]).collect();
    strides.push(place::merged_stride(view, shape, rows)?);
    strides.push(place::merged_stride(view, shape, cols)?);
    Some(View { strides, ..view.clone() })
}
