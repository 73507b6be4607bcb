//! Folds over axes, and running folds along one.
//!
//! A fold takes what is elementwise before it into its kernel; `cluster` has said what that is.

use rondeau_machine::code::{
    Combine, Cumulative, MAX_DIMS, Node, Reduce, Reduction, Stmt, Store, View,
};

use super::Lowerer;
use super::body::Body;
use super::dims::{collapse_reduce, count_by_loops, move_last, step_by_loops};
use super::values::spread;
use crate::buffer::Shape;
use crate::compile::cluster::Cluster;
use crate::compile::expr::Expr;
use crate::compile::place;
use crate::ir::{Atom, Aval, Eqn};
use crate::prim::{self, Fold, Prim};

impl Lowerer {
    /// Writes a kernel that is elementwise over `shape`, and folded over `axes`.
    pub(super) fn reduce_cluster(
        &mut self,
        body: &mut Body<'_>,
        cluster: &Cluster,
        shape: &Shape,
        axes: &[usize],
    ) {
        let kept: Vec<usize> = (0..shape.rank()).filter(|axis| !axes.contains(axis)).collect();
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        let order = [&kept[..], &sorted].concat();
        let is_fold = |&&i: &&usize| {
            matches!(body.program.eqns()[i].prim, Prim::Reduce(_) | Prim::ArgReduce(_))
        };
        let folds: Vec<usize> = cluster.eqns.iter().filter(is_fold).copied().collect();
        let rest: Vec<usize> =
            cluster.eqns.iter().copied().filter(|i| !folds.contains(i)).collect();
        let mut expr = Expr::default();
        let arranged = order.clone();
        let arrange = move |view: View| {
            let strides = arranged.iter().map(|&axis| view.strides[axis]).collect::<Vec<_>>();
            view.strides(strides)
        };
        self.compute(body, &mut expr, &rest, shape, &arrange);
        let mut outputs = Vec::new();
        for &i in &folds {
            let eqn = &body.program.eqns()[i];
            let atom = eqn.inputs[0];
            let fetched = match atom {
                Atom::Var(var) if expr.defined(var).is_none() => Some(self.value(body, atom)),
                _ => None,
            };
            let value = expr.read(atom, |_| {
                let value = fetched.expect("internal: fetched above");
                spread(value, shape).map(|view| arrange(view.clone()))
            });
            let combine = match &eqn.prim {
                Prim::Reduce(reduce) => combine(reduce.fold),
                Prim::ArgReduce(reduce) if reduce.greatest => Combine::ArgMax,
                _ => Combine::ArgMin,
            };
            let to = self.destination(body, eqn.outputs[0]);
            outputs.push(Reduction { combine, value, to });
        }
        for node in &mut expr.nodes {
            if let Node::Iota { dim, .. } = node {
                let at = order.iter().position(|&axis| axis == *dim as usize);
                *dim = at.expect("internal: an axis of the shape") as u32;
            }
        }
        let sizes = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).collect::<Vec<_>>();
        if shape.rank() > MAX_DIMS {
            // More axes than a kernel has: laid out densely, those that go are one.
            let dense = Shape::from(sizes(&order));
            let (mut stores, mut loads) = (Vec::new(), Expr::default());
            for (output, &i) in outputs.iter_mut().zip(&folds) {
                let dtype = body.program.aval(body.program.eqns()[i].inputs[0]).dtype;
                let to = self.temporary(&Aval::new(dtype, dense.clone()));
                stores.push(Store { value: output.value, to: to.clone() });
                output.value = loads.load(to);
            }
            let computed = std::mem::replace(&mut expr, loads);
            self.emit_map(&dense, computed, stores);
        }
        let stmt = Reduce {
            dims: sizes(&kept),
            reduced: sizes(&sorted),
            loads: expr.loads,
            dag: expr.nodes,
            outputs,
        };
        self.emit_reduce(stmt);
        for &i in &folds {
            self.copy_on(body, body.program.eqns()[i].outputs[0]);
        }
    }

    /// Appends a fold; loops take the place of the dimensions beyond the most that a kernel has.
    fn emit_reduce(&mut self, mut stmt: Reduce) {
        if stmt.dims.contains(&0) {
            return;
        }
        self.touch(stmt.loads.iter().chain(stmt.outputs.iter().map(|output| &output.to)));
        if stmt.reduced.contains(&0) {
            // There is nothing to read, however many axes it has.
            stmt.reduced = vec![0];
            let n_kept = stmt.dims.len();
            for view in &mut stmt.loads {
                view.strides.truncate(n_kept);
                view.strides.push(0);
            }
            for node in &mut stmt.dag {
                if let Node::Iota { dim, .. } = node {
                    *dim = (*dim).min(n_kept as u32);
                }
            }
        }
        collapse_reduce(&mut stmt);
        self.note(format!(
            "reduce {:?} over {:?}: {} nodes",
            stmt.dims,
            stmt.reduced,
            stmt.dag.len()
        ));
        let n_loops = (stmt.dims.len() + stmt.reduced.len()).saturating_sub(MAX_DIMS);
        let n_loops = n_loops.min(stmt.dims.len());
        let outer: Vec<usize> = stmt.dims.drain(..n_loops).collect();
        let level = self.level();
        for view in
            stmt.loads.iter_mut().chain(stmt.outputs.iter_mut().map(|output| &mut output.to))
        {
            step_by_loops(view, n_loops, level);
        }
        for node in &mut stmt.dag {
            count_by_loops(node, n_loops, level);
        }
        self.emit(Stmt::Reduce(stmt).in_loops(&outer));
    }

    pub(super) fn cumulative(
        &mut self,
        body: &mut Body<'_>,
        eqn: &Eqn,
        running: &prim::Cumulative,
    ) {
        let (from, aval) = self.operand(body, eqn.inputs[0]);
        let to = self.destination(body, eqn.outputs[0]);
        if aval.shape.count() == 0 {
            return;
        }
        let last = move_last(aval.rank(), running.axis);
        let arrange = |view: &View| {
            let view = match running.reverse {
                true => place::reverse(view, &aval.shape, &[running.axis]),
                false => view.clone(),
            };
            place::transpose(&view, &last)
        };
        let dims = last.iter().map(|&axis| aval.shape[axis]).collect();
        self.touch([&from, &to]);
        self.note(format!("cumulative {dims:?}"));
        let stmt = Cumulative {
            combine: combine(running.fold),
            dims,
            from: arrange(&from),
            to: arrange(&to),
        };
        self.emit_rows(Stmt::Cumulative(stmt));
    }
}

fn combine(fold: Fold) -> Combine {
    match fold {
        Fold::Sum => Combine::Sum,
        Fold::Prod => Combine::Prod,
        Fold::Max => Combine::Max,
        Fold::Min => Combine::Min,
        Fold::And => Combine::And,
        Fold::Or => Combine::Or,
    }
}
