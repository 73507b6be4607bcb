//! Products with weights, which are packed before the loop in which they stay the same, and what is
//! elementwise over their shape: one kernel, as a recurrent step is.

use rondeau_machine::code::{Mat, Node, Packed, Product, Stmt, Store, Terms};

use super::Lowerer;
use super::body::Body;
use super::cluster::{Cluster, MatShape};
use super::dims::Space;
use super::expr::Expr;
use crate::compile::machine_dtype;
use crate::ir::{Atom, Eqn, Program};
use crate::prim::Prim;

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
