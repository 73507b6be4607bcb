//! Elementwise equations: into the DAG of any kernel, and as kernels of their own.
//!
//! What a primitive computes is `expr`'s knowledge; here are only its loads and its stores.

use rondeau_machine::code::{MAX_DIMS, Map, Stmt, Store, Val};

use super::Lowerer;
use super::body::Body;
use super::cluster::Cluster;
use super::dims::{Space, collapse, count_by_loops, step_by_loops};
use super::expr::Expr;
use super::values::spread;
use crate::buffer::Shape;
use crate::ir::Atom;

impl Lowerer {
    /// Writes a kernel that is elementwise over `shape`.
    pub(super) fn map_cluster(&mut self, body: &mut Body<'_>, cluster: &Cluster, shape: &Shape) {
        let space = Space::of(shape);
        let mut expr = Expr::default();
        self.compute(body, &mut expr, &cluster.eqns, &space);
        let stores = self.stores(body, &expr, cluster, &space);
        self.emit_map(shape, expr, stores);
    }

    /// Appends a map over `shape`; the views of `expr` and `stores` have its axes.
    pub(super) fn emit_map(&mut self, shape: &Shape, expr: Expr, stores: Vec<Store>) {
        if shape.count() == 0 || stores.is_empty() {
            return;
        }
        let n_nodes = expr.nodes.len();
        let mut map = Map { dims: shape.to_vec(), loads: expr.loads, dag: expr.nodes, stores };
        self.touch(map.loads.iter().chain(map.stores.iter().map(|store| &store.to)));
        collapse(&mut map);
        self.note(format!(
            "map {:?}: {n_nodes} nodes, {} loads, {} stores",
            map.dims,
            map.loads.len(),
            map.stores.len()
        ));
        // More axes than a kernel has become loops.
        let n_loops = map.dims.len().saturating_sub(MAX_DIMS);
        let outer: Vec<usize> = map.dims.drain(..n_loops).collect();
        let level = self.level();
        for view in map.loads.iter_mut().chain(map.stores.iter_mut().map(|store| &mut store.to)) {
            step_by_loops(view, n_loops, level);
        }
        for node in &mut map.dag {
            count_by_loops(node, n_loops, level);
        }
        self.emit(Stmt::Map(map).in_loops(&outer));
    }

    /// Computes elementwise equations of a kernel into its DAG.
    pub(super) fn compute(
        &mut self,
        body: &mut Body<'_>,
        expr: &mut Expr,
        eqns: &[usize],
        space: &Space,
    ) {
        for &i in eqns {
            let eqn = &body.program.eqns()[i];
            let read = |&atom: &Atom| self.read(body, expr, atom, space);
            let inputs: Vec<Val> = eqn.inputs.iter().map(read).collect();
            expr.compute(body.program, eqn, &inputs);
        }
    }

    /// The value of what an equation reads: what the kernel knows it to be, or a load.
    pub(super) fn read(
        &mut self,
        body: &mut Body<'_>,
        expr: &mut Expr,
        atom: Atom,
        space: &Space,
    ) -> Val {
        let fetched = match atom {
            Atom::Var(var) if expr.defined(var).is_none() => Some(self.value(body, atom)),
            _ => None,
        };
        expr.read(atom, |_| {
            let value = fetched.expect("internal: fetched above");
            spread(value, &space.shape).map(|view| space.arrange(view))
        })
    }

    /// The stores of what is read outside of a kernel.
    pub(super) fn stores(
        &mut self,
        body: &mut Body<'_>,
        expr: &Expr,
        cluster: &Cluster,
        space: &Space,
    ) -> Vec<Store> {
        let mut stores = Vec::new();
        for &i in &cluster.eqns {
            for &var in &body.program.eqns()[i].outputs {
                if !body.is_read_outside(var, cluster) {
                    continue;
                }
                let value = expr.defined(var).expect("internal: computed here");
                for to in self.destinations(body, var) {
                    stores.push(Store { value, to: space.arrange(&to) });
                }
            }
        }
        stores
    }
}
