//! Folds over axes, and running folds along one.
//!
//! A fold takes what is elementwise before it into its kernel; `cluster` has said what that is.

use rondeau_machine::code::{
    Combine, Cumulative, MAX_DIMS, Node, Reduce, Reduction, Stmt, Store, View,
};

use super::Lowerer;
use super::body::Body;
use super::cluster::Cluster;
use super::dims::{Space, collapse_reduce, count_by_loops, move_last, step_by_loops};
use super::expr::Expr;
use super::place;
use crate::buffer::Shape;
use crate::ir::{Aval, Eqn};
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
        let mut folded = axes.to_vec();
        folded.sort_unstable();
        let kept: Vec<usize> = (0..shape.rank()).filter(|axis| !axes.contains(axis)).collect();
        let order = [&kept[..], &folded].concat();
        let space = Space::permuted(shape, &order);
        let is_fold = |&i: &usize| {
            matches!(body.program.eqns()[i].prim, Prim::Reduce(_) | Prim::ArgReduce(_))
        };
        let (folds, rest): (Vec<usize>, Vec<usize>) = cluster.eqns.iter().partition(|i| is_fold(i));
        let folds: Vec<&Eqn> = folds.iter().map(|&i| &body.program.eqns()[i]).collect();
        let mut expr = Expr::default();
        self.compute(body, &mut expr, &rest, &space);
        let fold = |eqn: &&Eqn| self.reduction(body, &mut expr, eqn, &space);
        let mut outputs: Vec<Reduction> = folds.iter().map(fold).collect();
        space.count_by_dims(&mut expr.nodes);
        let sizes = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).collect::<Vec<_>>();
        if shape.rank() > MAX_DIMS {
            let avals = folds.iter().map(|eqn| body.program.aval(eqn.inputs[0]));
            let dense = avals.map(|aval| Aval::new(aval.dtype, sizes(&order)));
            expr = self.densely(expr, &mut outputs, &dense.collect::<Vec<_>>());
        }
        self.emit_reduce(Reduce {
            dims: sizes(&kept),
            reduced: sizes(&folded),
            loads: expr.loads,
            dag: expr.nodes,
            outputs,
        });
        for eqn in folds {
            self.copy_on(body, eqn.outputs[0]);
        }
    }

    /// One fold of a kernel, with what it reads.
    fn reduction(
        &mut self,
        body: &mut Body<'_>,
        expr: &mut Expr,
        eqn: &Eqn,
        space: &Space,
    ) -> Reduction {
        let value = self.read(body, expr, eqn.inputs[0], space);
        let combine = match &eqn.prim {
            Prim::Reduce(reduce) => combine(reduce.fold),
            Prim::ArgReduce(reduce) if reduce.greatest => Combine::ArgMax,
            _ => Combine::ArgMin,
        };
        Reduction { combine, value, to: self.destination(body, eqn.outputs[0]) }
    }

    /// Computes what is folded into memory of these types, where the axes that go are one: there
    /// are more axes than a kernel has. What is left to compute are loads.
    fn densely(&mut self, expr: Expr, outputs: &mut [Reduction], avals: &[Aval]) -> Expr {
        let (mut stores, mut loads) = (Vec::new(), Expr::default());
        for (output, aval) in outputs.iter_mut().zip(avals) {
            let to = self.temporary(aval);
            stores.push(Store { value: output.value, to: to.clone() });
            output.value = loads.load(to);
        }
        self.emit_map(&avals[0].shape, expr, stores);
        loads
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
