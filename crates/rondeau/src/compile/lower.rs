//! Writes the kernels: an answer for every primitive.

use std::collections::HashMap;

use rondeau_machine::code::{
    Combine, Cumulative, Gather, Gemm, Index, Loop, MAX_DIMS, Map, Mat, Node, OutOfBounds, Pack,
    Packed, Product, Reduce, Reduction, Scatter, Sort, Stmt, Store, Switch, Tap, View, Weights,
    While,
};

use super::carry::{Carry, state_in};
use super::cluster::{Around, Cluster, Kind, MatShape, cluster};
use super::expr::Expr;
use super::flatten::flatten;
use super::memory::Memory;
use super::place::{self, Value};
use super::steps::{ByRows, Steps};
use super::{TapPart, machine_dtype};
use crate::buffer::{DType, Scalar, Shape};
use crate::ir::{Atom, Aval, Eqn, Program, Var};
use crate::prim::{self, Bounds, DotGeneral, Fold, Prim, Write};

/// The places that an output goes to.
pub(super) type Target = Vec<View>;

/// What has been written so far.
pub(super) struct Lowerer {
    pub(super) memory: Memory,
    pub(super) taps: Vec<TapPart>,
    pub(super) notes: Vec<String>,
    scopes: Vec<Scope>,
    /// For each loop that is being written, the scope of its body.
    level_scope: Vec<usize>,
    /// When the loop or choice of each scope began that is being written.
    begins: Vec<usize>,
    /// Packed weights, and the scope in which they were packed.
    packs: HashMap<PackKey, (usize, View)>,
    /// Row-major copies that were made outside of all loops.
    copies: HashMap<CopyKey, View>,
}

/// The statements of a body, and those that go before the loop in it that is being written.
#[derive(Default)]
struct Scope {
    stmts: Vec<Stmt>,
    prologue: Vec<Stmt>,
}

#[derive(PartialEq, Eq, Hash)]
struct PackKey {
    buffer: u32,
    offset: i64,
    strides: Vec<i64>,
    advance: Vec<(i64, i64)>,
    layout: (usize, usize, usize),
}

/// A view outside of all loops: its buffer, its start, its strides, its shape.
type CopyKey = (u32, i64, Vec<i64>, Shape);

/// A body while it is written.
struct Body<'a> {
    program: &'a Program,
    values: Vec<Option<Value>>,
    /// Where outputs go that are computed here.
    targets: HashMap<Var, Target>,
    /// The equation that binds a variable.
    binder: Vec<Option<usize>>,
    /// The kernel of an equation.
    cluster_of: Vec<Option<usize>>,
    /// The equations that read a variable.
    readers: Vec<Vec<usize>>,
}

impl Body<'_> {
    /// What a kernel computes of which an output is a transpose with the same last axis, or which
    /// it is; and which axis of the output each of its axes is.
    fn computed_as(&self, output: Atom) -> Option<(Var, Vec<usize>)> {
        let mut var = output.var()?;
        let rank = self.program.var_aval(var).rank();
        let mut axes: Vec<usize> = (0..rank).collect();
        loop {
            let eqn = self.binder[var.index()]?;
            if self.cluster_of[eqn].is_some() {
                return Some((var, axes));
            }
            let eqn = &self.program.eqns()[eqn];
            let Prim::Transpose(prim::Transpose { permutation }) = &eqn.prim else { return None };
            if permutation.last().is_none_or(|&last| last + 1 != rank) {
                return None;
            }
            let mut of_input = vec![0; rank];
            for (i, &axis) in permutation.iter().enumerate() {
                of_input[axis] = axes[i];
            }
            (var, axes) = (eqn.inputs[0].var()?, of_input);
        }
    }

    /// The one reader of a product if it adds something that is computed elsewhere, and that.
    fn sum_after(&self, product: usize) -> Option<(usize, Atom)> {
        let out = self.program.eqns()[product].outputs[0];
        let [reader] = self.readers[out.index()][..] else { return None };
        let sum = &self.program.eqns()[reader];
        let is_sum = sum.prim == Prim::Binary(prim::Binary::Add)
            && self.program.var_aval(sum.outputs[0]) == self.program.var_aval(out)
            && !self.targets.contains_key(&out);
        let other = *sum.inputs.iter().find(|atom| **atom != Atom::Var(out))?;
        let var = other.var().filter(|_| is_sum)?;
        let home = self.binder[var.index()].and_then(|eqn| self.cluster_of[eqn]);
        let elsewhere = home.is_none() || home != self.cluster_of[product];
        elsewhere.then_some((reader, other))
    }
}

impl Lowerer {
    pub(super) fn new() -> Lowerer {
        Lowerer {
            memory: Memory::default(),
            taps: vec![],
            notes: vec![],
            scopes: vec![],
            level_scope: vec![],
            begins: vec![],
            packs: HashMap::new(),
            copies: HashMap::new(),
        }
    }

    /// The statements of a whole program.
    pub(super) fn top(
        &mut self,
        program: &Program,
        inputs: Vec<Value>,
        targets: Vec<Target>,
    ) -> Vec<Stmt> {
        self.scopes.push(Scope::default());
        let invariant = vec![false; inputs.len()];
        self.body(program, inputs, targets, &invariant);
        self.scopes.pop().expect("internal: pushed above").stmts
    }

    fn scope(&self) -> usize {
        self.scopes.len() - 1
    }

    fn level(&self) -> usize {
        self.level_scope.len()
    }

    fn note(&mut self, note: impl Into<String>) {
        let indent = "  ".repeat(self.scope());
        self.notes.push(format!("{indent}{}", note.into()));
    }

    fn emit(&mut self, stmt: Stmt) {
        let scope = self.scope();
        self.scopes[scope].stmts.push(stmt);
        self.memory.tick();
    }

    fn touch<'a>(&mut self, views: impl IntoIterator<Item = &'a View>) {
        for view in views {
            self.memory.touch(view.buffer);
        }
    }

    fn temporary(&mut self, aval: &Aval) -> View {
        let scope = self.scope();
        self.memory.temporary(aval, 1, scope)
    }

    /// Statements in a scope of their own; what they pack goes before what they become.
    fn enclosed(&mut self, is_loop: bool, write: impl FnOnce(&mut Lowerer)) -> Vec<Stmt> {
        let begin = self.memory.enter();
        self.enclosed_from(begin, is_loop, write)
    }

    /// As [`enclosed`](Lowerer::enclosed) in a statement that began before; the memory has been
    /// told to enter.
    fn enclosed_from(
        &mut self,
        begin: usize,
        is_loop: bool,
        write: impl FnOnce(&mut Lowerer),
    ) -> Vec<Stmt> {
        self.begins.push(begin);
        self.scopes.push(Scope::default());
        if is_loop {
            self.level_scope.push(self.scope());
        }
        write(self);
        if is_loop {
            self.level_scope.pop();
        }
        let scope = self.scopes.pop().expect("internal: pushed above");
        self.begins.pop();
        // What was packed in a body is not there outside of it.
        let open = self.scopes.len();
        self.packs.retain(|_, (packed, _)| *packed < open);
        self.memory.leave();
        scope.stmts
    }

    /// Appends a loop, a condition or a choice, after what was packed for it.
    fn emit_control(&mut self, stmt: Stmt) {
        let scope = self.scope();
        let prologue = std::mem::take(&mut self.scopes[scope].prologue);
        self.scopes[scope].stmts.extend(prologue);
        self.emit(stmt);
    }

    /// A place for a value; a number is written into one element that is read everywhere.
    fn stored(&mut self, value: &Value, rank: usize) -> View {
        match value {
            Value::Stored(view) => view.clone(),
            Value::Uniform(scalar) => {
                let aval = Aval::scalar(scalar.dtype());
                let view = self.memory.constant(scalar_bytes(*scalar), &aval);
                view.strides(vec![0; rank])
            }
        }
    }

    /// In how many scopes a view keeps still: the scope from which on it is the same.
    fn settled(&self, view: &View) -> usize {
        let moving = view.advance.iter().enumerate();
        let moving = moving.filter(|(_, a)| a.stride != 0 || a.parity != 0);
        let last = moving.map(|(level, _)| self.level_scope[level]).max().unwrap_or(0);
        last.max(self.memory.scope(view.buffer))
    }

    /// Writes the kernels of a program.
    fn body(
        &mut self,
        program: &Program,
        inputs: Vec<Value>,
        targets: Vec<Target>,
        invariant: &[bool],
    ) {
        let program = &flatten(program);
        let clusters = match self.scope() {
            0 => cluster(program, Around::Nothing),
            _ => cluster(program, Around::Loop { invariant }),
        };
        let n = program.n_vars();
        let mut body = Body {
            program,
            values: vec![None; n],
            targets: HashMap::new(),
            binder: vec![None; n],
            cluster_of: vec![None; program.eqns().len()],
            readers: vec![Vec::new(); n],
        };
        for (var, value) in program.inputs().iter().zip(inputs) {
            body.values[var.index()] = Some(value);
        }
        for (i, eqn) in program.eqns().iter().enumerate() {
            eqn.outputs.iter().for_each(|var| body.binder[var.index()] = Some(i));
            for var in eqn.inputs.iter().filter_map(|atom| atom.var()) {
                body.readers[var.index()].push(i);
            }
        }
        for (c, cluster) in clusters.iter().enumerate() {
            cluster.eqns.iter().for_each(|&eqn| body.cluster_of[eqn] = Some(c));
        }
        // What a kernel computes goes straight to its targets; the rest is copied at the end.
        let mut copies = Vec::new();
        for (&atom, target) in program.outputs().iter().zip(targets) {
            match body.computed_as(atom) {
                Some((var, permutation)) => {
                    let arranged = target.iter().map(|to| place::transpose(to, &permutation));
                    body.targets.entry(var).or_default().extend(arranged);
                }
                None => copies.push((atom, target)),
            }
        }
        for (c, cluster) in clusters.iter().enumerate() {
            match &cluster.kind {
                Kind::Map(shape) => self.map_cluster(&mut body, c, cluster, shape),
                Kind::Mat(shape) => self.mat_cluster(&mut body, c, cluster, *shape),
                Kind::Reduce(shape, axes) => self.reduce_cluster(&mut body, cluster, shape, axes),
                Kind::Alone => self.alone(&mut body, cluster),
            }
        }
        for (atom, target) in copies {
            let value = self.value(&mut body, atom);
            let aval = program.aval(atom);
            for to in target {
                self.copy(&value, &aval.shape, to);
            }
        }
    }

    /// Where what an equation reads is; views of views are made here.
    fn value(&mut self, body: &mut Body<'_>, atom: Atom) -> Value {
        let var = match atom {
            Atom::Lit(scalar) => return Value::Uniform(scalar),
            Atom::Var(var) => var,
        };
        if let Some(value) = &body.values[var.index()] {
            return value.clone();
        }
        let eqn = &body.program.eqns()[body.binder[var.index()].expect("internal: bound")];
        let operand = self.value(body, eqn.inputs[0]);
        let from = body.program.aval(eqn.inputs[0]).shape;
        let value = match &eqn.prim {
            Prim::Broadcast(prim::Broadcast { shape, axes }) => {
                operand.map(|view| place::broadcast(view, &from, shape, axes))
            }
            Prim::Transpose(prim::Transpose { permutation }) => {
                operand.map(|view| place::transpose(view, permutation))
            }
            Prim::Slice(prim::Slice { starts, steps, .. }) => {
                operand.map(|view| place::slice(view, starts, steps))
            }
            Prim::Reverse(prim::Reverse { axes }) => {
                operand.map(|view| place::reverse(view, &from, axes))
            }
            Prim::Reshape(prim::Reshape { shape }) => match &operand {
                Value::Uniform(scalar) => Value::Uniform(*scalar),
                Value::Stored(view) => match place::reshape(view, &from, shape) {
                    Some(view) => Value::Stored(view),
                    None => {
                        let aval = body.program.aval(eqn.inputs[0]);
                        let dense = self.densified(&operand, &aval);
                        let reshaped = place::reshape(&dense, &from, shape);
                        Value::Stored(reshaped.expect("internal: dense arrays reshape"))
                    }
                },
            },
            prim => panic!("internal: {} is read before it is computed", prim.name()),
        };
        body.values[var.index()] = Some(value.clone());
        value
    }

    /// A row-major copy of a value.
    fn densified(&mut self, value: &Value, aval: &Aval) -> View {
        let key = match value {
            // Outside of loops a place is written once.
            Value::Stored(view) if self.scope() == 0 => {
                let View { buffer, offset, strides, .. } = view.clone();
                Some((buffer.0, offset, strides, aval.shape.clone()))
            }
            _ => None,
        };
        if let Some(known) = key.as_ref().and_then(|key| self.copies.get(key)) {
            return known.clone();
        }
        let to = self.temporary(aval);
        self.copy(value, &aval.shape, to.clone());
        self.copies.extend(key.map(|key| (key, to.clone())));
        to
    }

    fn copy(&mut self, value: &Value, shape: &Shape, to: View) {
        let mut expr = Expr::default();
        let val = match value {
            Value::Uniform(scalar) => expr.constant(*scalar),
            Value::Stored(view) => expr.load(view.clone()),
        };
        self.emit_map(shape, expr, vec![Store { value: val, to }]);
    }

    /// Where a variable that this kernel computes is written; the first place is where later
    /// kernels read it.
    fn destinations(&mut self, body: &mut Body<'_>, var: Var) -> Vec<View> {
        let places = match body.targets.get(&var) {
            Some(target) => target.clone(),
            None => vec![self.temporary(body.program.var_aval(var))],
        };
        body.values[var.index()] = Some(Value::Stored(places[0].clone()));
        places
    }

    /// Where the one result of an equation by itself is written, and where it is copied then.
    fn destination(&mut self, body: &mut Body<'_>, var: Var) -> View {
        self.destinations(body, var).remove(0)
    }

    /// Copies a result to the places after the first.
    fn copy_on(&mut self, body: &mut Body<'_>, var: Var) {
        let Some(target) = body.targets.get(&var).cloned() else { return };
        let aval = body.program.var_aval(var).clone();
        for to in target.into_iter().skip(1) {
            let value = body.values[var.index()].clone().expect("internal: it is computed");
            self.copy(&value, &aval.shape, to);
        }
    }

    /// Whether some equation outside of kernel `c`, or a target, reads the variable.
    fn is_read_outside(&self, body: &Body<'_>, var: Var, c: usize) -> bool {
        body.targets.contains_key(&var)
            || body.readers[var.index()].iter().any(|&eqn| body.cluster_of[eqn] != Some(c))
    }

    /// The strides of a value inside a kernel over `shape`: a scalar stands still.
    fn spread(value: Value, shape: &Shape) -> Value {
        value.map(|view| match view.strides.is_empty() {
            true => view.clone().strides(vec![0; shape.rank()]),
            false => view.clone(),
        })
    }

    /// Computes the elementwise equations of a kernel over `shape` into its DAG; `arrange` turns
    /// the strides of a view of that shape into those of the kernel.
    fn compute(
        &mut self,
        body: &mut Body<'_>,
        expr: &mut Expr,
        eqns: &[usize],
        shape: &Shape,
        arrange: &dyn Fn(View) -> View,
    ) {
        for &i in eqns {
            let eqn = &body.program.eqns()[i];
            let mut inputs = Vec::new();
            for &atom in &eqn.inputs {
                let fetched = match atom {
                    Atom::Var(var) if expr.defined(var).is_none() => Some(self.value(body, atom)),
                    _ => None,
                };
                inputs.push(expr.read(atom, |_| {
                    let value = fetched.expect("internal: fetched above");
                    Lowerer::spread(value, shape).map(|view| arrange(view.clone()))
                }));
            }
            expr.compute(body.program, eqn, &inputs);
        }
    }

    /// The stores of what is read outside of kernel `c`.
    fn stores(
        &mut self,
        body: &mut Body<'_>,
        expr: &Expr,
        c: usize,
        eqns: &[usize],
        arrange: &dyn Fn(View) -> View,
    ) -> Vec<Store> {
        let mut stores = Vec::new();
        for &i in eqns {
            for &var in &body.program.eqns()[i].outputs {
                if !self.is_read_outside(body, var, c) {
                    continue;
                }
                let value = expr.defined(var).expect("internal: computed here");
                for to in self.destinations(body, var) {
                    stores.push(Store { value, to: arrange(to) });
                }
            }
        }
        stores
    }

    fn map_cluster(&mut self, body: &mut Body<'_>, c: usize, cluster: &Cluster, shape: &Shape) {
        let mut expr = Expr::default();
        self.compute(body, &mut expr, &cluster.eqns, shape, &|view| view);
        let stores = self.stores(body, &expr, c, &cluster.eqns, &|view| view);
        self.emit_map(shape, expr, stores);
    }

    /// Appends a map over `shape`; the views of `expr` and `stores` have its axes.
    fn emit_map(&mut self, shape: &Shape, expr: Expr, stores: Vec<Store>) {
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
        self.emit(in_loops(&outer, Stmt::Map(map)));
    }

    fn mat_cluster(&mut self, body: &mut Body<'_>, c: usize, cluster: &Cluster, mat: MatShape) {
        let arrange = move |view: View| match view.strides.len() {
            1 => {
                let col = view.strides[0];
                view.strides(vec![0, col])
            }
            _ => view,
        };
        let shape: Shape =
            if mat.rank == 1 { [mat.cols].into() } else { [mat.rows, mat.cols].into() };
        let is_product = |&&i: &&usize| matches!(body.program.eqns()[i].prim, Prim::DotGeneral(_));
        let dots: Vec<usize> = cluster.eqns.iter().filter(is_product).copied().collect();
        let mut expr = Expr::default();
        let mut products = Vec::new();
        let mut done = dots.clone();
        for &i in &dots {
            let eqn = &body.program.eqns()[i];
            let Prim::DotGeneral(dot) = &eqn.prim else { unreachable!("internal: filtered") };
            let mut product = self.product(body, eqn, dot, mat, dots.len());
            let val = expr.push(Node::Product(products.len() as u32));
            expr.define(eqn.outputs[0], val);
            // Many rows would wait for the memory that they start from.
            if (self.scope() == 0 || mat.rows == 1)
                && let Some((sum, other)) = body.sum_after(i)
                && body.cluster_of[sum] == Some(c)
            {
                let value = self.value(body, other);
                let view = self.stored(&value, body.program.aval(other).rank());
                let view = Lowerer::spread(Value::Stored(view), &shape).stored().clone();
                product.init = Some(expr.loads.len() as u32);
                expr.loads.push(arrange(view));
                expr.define(body.program.eqns()[sum].outputs[0], val);
                done.push(sum);
            }
            products.push(product);
        }
        let rest: Vec<usize> = cluster.eqns.iter().copied().filter(|i| !done.contains(i)).collect();
        self.compute(body, &mut expr, &rest, &shape, &arrange);
        for node in &mut expr.nodes {
            // A vector is the one row of the kernel.
            if let (Node::Iota { dim, .. }, 1) = (node, mat.rank) {
                *dim += 1;
            }
        }
        let stores = self.stores(body, &expr, c, &cluster.eqns, &arrange);
        let (rows, cols) = (mat.rows, mat.cols);
        self.note(format!(
            "mat [{rows}, {cols}]: {} products of depth {}, {} nodes, {} loads, {} stores",
            products.len(),
            products.iter().map(|p| p.depth.to_string()).collect::<Vec<_>>().join(" "),
            expr.nodes.len(),
            expr.loads.len(),
            stores.len()
        ));
        // Outside of loops it is a product of matrices like those that a `Gemm` computes.
        let chains = match self.scope() {
            0 => 1,
            _ => Mat::chains_for(rows, cols, products.len()),
        };
        let stmt = Mat { rows, cols, chains, products, loads: expr.loads, dag: expr.nodes, stores };
        self.touch(stmt.loads.iter().chain(stmt.stores.iter().map(|store| &store.to)));
        self.touch(stmt.products.iter().map(|product| &product.source));
        for product in &stmt.products {
            match &product.weights {
                Weights::Packed(view, _) | Weights::Strided(view) => {
                    self.memory.touch(view.buffer);
                }
            }
        }
        self.emit(Stmt::Mat(stmt));
    }

    /// One product of a `Mat`, its weights packed before the loop in which they stay the same.
    fn product(
        &mut self,
        body: &mut Body<'_>,
        eqn: &Eqn,
        dot: &prim::DotGeneral,
        mat: MatShape,
        n_products: usize,
    ) -> Product {
        let [lhs, rhs] = [0, 1].map(|i| {
            let value = self.value(body, eqn.inputs[i]);
            let rank = body.program.aval(eqn.inputs[i]).rank();
            self.stored(&value, rank)
        });
        let avals = [0, 1].map(|i| body.program.aval(eqn.inputs[i]));
        let depth = avals[0].shape[dot.lhs_contract[0]];
        let (lk, rk) = (dot.lhs_contract[0], dot.rhs_contract[0]);
        // The vector side is the source; of two matrices it is the left one.
        let weights_left = rhs.strides.len() == 1 && lhs.strides.len() == 2;
        let (source, sk, weights, wk) =
            if weights_left { (rhs, rk, lhs, lk) } else { (lhs, lk, rhs, rk) };
        let row = if source.strides.len() == 2 { source.strides[1 - sk] } else { 0 };
        let source_strides = vec![row, source.strides[sk]];
        let weight_strides = vec![weights.strides[wk], weights.strides[1 - wk]];
        let source = source.strides(source_strides);
        let weights = weights.strides(weight_strides);
        let layout =
            Packed::for_mat(machine_dtype(mat.dtype), depth, mat.cols, mat.rows, n_products);
        Product { depth, source, weights: self.packed(weights, layout, mat.dtype), init: None }
    }

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

    fn reduce_cluster(
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
                Lowerer::spread(value, shape).map(|view| arrange(view.clone()))
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
        self.emit(in_loops(&outer, Stmt::Reduce(stmt)));
    }

    fn alone(&mut self, body: &mut Body<'_>, cluster: &Cluster) {
        let program = body.program;
        let eqn = &program.eqns()[cluster.eqns[0]];
        match &eqn.prim {
            Prim::DotGeneral(dot) => {
                let sum = cluster.eqns.get(1).map(|&i| &program.eqns()[i]);
                self.gemm(body, eqn, dot, sum);
            }
            Prim::Concat(concat) => self.concat(body, eqn, concat.axis),
            Prim::Pad(pad) => self.pad(body, eqn, pad),
            Prim::Cumulative(running) => self.cumulative(body, eqn, running),
            Prim::Sort(sort) => self.sort(body, eqn, sort),
            Prim::DynamicSlice(_) => self.dynamic_slice(body, eqn),
            Prim::DynamicUpdate(_) => self.dynamic_update(body, eqn),
            Prim::Gather(gather) => self.gather(body, eqn, gather),
            Prim::Scatter(scatter) => self.scatter(body, eqn, scatter),
            Prim::Tap(tap) => self.tap(body, eqn, &tap.label),
            Prim::Scan(scan) => self.scan(body, eqn, scan),
            Prim::While(loop_) => self.while_(body, eqn, loop_),
            Prim::Cond(cond) => self.cond(body, eqn, cond),
            // These never stand alone: they are views, or part of another kernel.
            Prim::Unary(_)
            | Prim::Binary(_)
            | Prim::Select(_)
            | Prim::Convert(_)
            | Prim::Bitcast(_)
            | Prim::Broadcast(_)
            | Prim::Reshape(_)
            | Prim::Transpose(_)
            | Prim::Slice(_)
            | Prim::Reverse(_)
            | Prim::Iota(_)
            | Prim::Reduce(_)
            | Prim::ArgReduce(_)
            | Prim::Threefry(_)
            | Prim::Call(_)
            | Prim::CustomLinear(_) => panic!("internal: {} by itself", eqn.prim.name()),
        }
        let last = cluster.eqns.last().map(|&i| &program.eqns()[i]).unwrap_or(eqn);
        for &var in &last.outputs {
            self.copy_on(body, var);
        }
    }

    /// A value in memory.
    fn operand(&mut self, body: &mut Body<'_>, atom: Atom) -> (View, Aval) {
        let aval = body.program.aval(atom);
        let value = self.value(body, atom);
        (self.stored(&value, aval.rank()), aval)
    }

    fn gemm(&mut self, body: &mut Body<'_>, eqn: &Eqn, dot: &prim::DotGeneral, sum: Option<&Eqn>) {
        let product = eqn.outputs[0];
        let out = sum.map_or(product, |sum| sum.outputs[0]);
        let out_shape = body.program.var_aval(product).shape.clone();
        let (a, a_aval) = self.operand(body, eqn.inputs[0]);
        let (b, b_aval) = self.operand(body, eqn.inputs[1]);
        let init = sum.map(|sum| {
            let other = sum.inputs.iter().find(|atom| **atom != Atom::Var(product));
            let other = *other.expect("internal: a sum of the product and something else");
            let value = self.value(body, other);
            let view = self.stored(&value, body.program.aval(other).rank());
            Lowerer::spread(Value::Stored(view), &out_shape).stored().clone()
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
            self.emit(in_loops(&batch, Stmt::Gemm(gemm)));
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

    fn concat(&mut self, body: &mut Body<'_>, eqn: &Eqn, axis: usize) {
        let to = self.destination(body, eqn.outputs[0]);
        let mut index = 0;
        for &atom in &eqn.inputs {
            let shape = body.program.aval(atom).shape;
            let value = self.value(body, atom);
            let part = place::from_index(&to, axis, index);
            self.copy(&value, &shape, part);
            index += shape[axis];
        }
    }

    fn pad(&mut self, body: &mut Body<'_>, eqn: &Eqn, pad: &prim::Pad) {
        let out = eqn.outputs[0];
        let out_shape = body.program.var_aval(out).shape.clone();
        let to = self.destination(body, out);
        let edge = self.value(body, eqn.inputs[1]);
        self.copy(&Lowerer::spread(edge, &out_shape), &out_shape, to.clone());
        let value = self.value(body, eqn.inputs[0]);
        let shape = body.program.aval(eqn.inputs[0]).shape;
        // Element i lands at low + i·(interior + 1); some of the first and last may be cropped.
        let (mut first, mut sizes, mut at, mut steps) = (vec![], vec![], vec![], vec![]);
        for (axis, &n) in shape.iter().enumerate() {
            let step = pad.interior[axis] as i64 + 1;
            let position = |i: i64| pad.low[axis] + i * step;
            let inside = |i: &i64| (0..out_shape[axis] as i64).contains(&position(*i));
            let mut kept = (0..n as i64).filter(inside);
            let start = kept.next();
            let count = start.map_or(0, |_| 1 + kept.count());
            let start = start.unwrap_or(0);
            first.push(start as usize);
            sizes.push(count);
            at.push(if count == 0 { 0 } else { position(start) as usize });
            steps.push(step as usize);
        }
        let sizes = Shape::from(sizes);
        if sizes.count() == 0 {
            return;
        }
        let ones = vec![1; shape.rank()];
        let kept = value.map(|view| place::slice(view, &first, &ones));
        self.copy(&kept, &sizes, place::slice(&to, &at, &steps));
    }

    fn cumulative(&mut self, body: &mut Body<'_>, eqn: &Eqn, running: &prim::Cumulative) {
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

    /// Appends a statement along a last dimension; leading dimensions beyond the most that a
    /// kernel has become loops.
    fn emit_rows(&mut self, mut stmt: Stmt) {
        let level = self.level();
        let (dims, views): (&mut Vec<usize>, Vec<&mut View>) = match &mut stmt {
            Stmt::Cumulative(c) => (&mut c.dims, vec![&mut c.from, &mut c.to]),
            Stmt::Sort(s) => {
                let views = [Some(&mut s.from), s.to.as_mut(), s.to_indices.as_mut()];
                (&mut s.dims, views.into_iter().flatten().collect())
            }
            Stmt::Gather(g) => {
                let indices = g.indices.iter_mut().map(|index| &mut index.view);
                (&mut g.dims, indices.chain([&mut g.from, &mut g.to]).collect())
            }
            Stmt::Scatter(s) => {
                let indices = s.indices.iter_mut().map(|index| &mut index.view);
                (&mut s.dims, indices.chain([&mut s.from, &mut s.to]).collect())
            }
            _ => panic!("internal: not a statement along rows"),
        };
        let n_loops = dims.len().saturating_sub(MAX_DIMS);
        let outer: Vec<usize> = dims.drain(..n_loops).collect();
        for view in views {
            step_by_loops(view, n_loops, level);
        }
        self.emit(in_loops(&outer, stmt));
    }

    fn sort(&mut self, body: &mut Body<'_>, eqn: &Eqn, sort: &prim::Sort) {
        let operands: Vec<(View, Aval)> =
            eqn.inputs.iter().map(|&atom| self.operand(body, atom)).collect();
        let places: Vec<View> =
            eqn.outputs.iter().map(|&var| self.destination(body, var)).collect();
        let shape = operands[0].1.shape.clone();
        if shape.count() == 0 {
            return;
        }
        let last = move_last(shape.rank(), sort.axis);
        let dims: Vec<usize> = last.iter().map(|&axis| shape[axis]).collect();
        let sorted_shape = Shape::from(dims.clone());
        let index_aval = Aval::new(DType::I32, sorted_shape.clone());
        self.note(format!("sort {dims:?} by {} keys", sort.n_keys));
        // From the last key to the first; each stable sort keeps the order of the ones before.
        let mut order: Option<View> = None;
        for key in (0..sort.n_keys).rev() {
            let (view, aval) = &operands[key];
            let keys = place::transpose(view, &last);
            let keys = match &order {
                None => keys,
                Some(order) => {
                    let to = self.temporary(&Aval::new(aval.dtype, sorted_shape.clone()));
                    self.take_rows(&dims, order.clone(), keys, to.clone());
                    to
                }
            };
            let indices = self.temporary(&index_aval);
            self.touch([&keys, &indices]);
            self.emit_rows(Stmt::Sort(Sort {
                dims: dims.clone(),
                from: keys,
                to: None,
                to_indices: Some(indices.clone()),
                descending: false,
            }));
            order = Some(match order {
                None => indices,
                Some(order) => {
                    let to = self.temporary(&index_aval);
                    self.take_rows(&dims, indices, order, to.clone());
                    to
                }
            });
        }
        let order = order.unwrap_or_else(|| {
            panic!("internal: a sort without keys");
        });
        for ((view, _), to) in operands.iter().zip(places) {
            let from = place::transpose(view, &last);
            self.take_rows(&dims, order.clone(), from, place::transpose(&to, &last));
        }
    }

    /// `to[.., i] = from[.., order[.., i]]`.
    fn take_rows(&mut self, dims: &[usize], order: View, from: View, to: View) {
        let axis = dims.len() - 1;
        let stride = from.strides[axis];
        let mut strides = from.strides.clone();
        strides[axis] = 0;
        self.touch([&order, &from, &to]);
        self.emit_rows(Stmt::Gather(Gather {
            dims: dims.to_vec(),
            indices: vec![Index { view: order, len: dims[axis], stride }],
            out_of_bounds: OutOfBounds::Clip,
            from: from.strides(strides),
            to,
        }));
    }

    /// The starts of a dynamic range as indices; they are clamped so that `sizes` fit.
    fn starts(
        &mut self,
        body: &mut Body<'_>,
        starts: &[Atom],
        of: &View,
        shape: &Shape,
        sizes: &Shape,
    ) -> Vec<Index> {
        let mut indices = Vec::new();
        for (axis, &start) in starts.iter().enumerate() {
            let (view, _) = self.operand(body, start);
            indices.push(Index {
                view: view.strides(vec![0; sizes.rank()]),
                len: shape[axis] - sizes[axis] + 1,
                stride: of.strides[axis],
            });
        }
        indices
    }

    fn dynamic_slice(&mut self, body: &mut Body<'_>, eqn: &Eqn) {
        let (from, aval) = self.operand(body, eqn.inputs[0]);
        let sizes = body.program.var_aval(eqn.outputs[0]).shape.clone();
        let to = self.destination(body, eqn.outputs[0]);
        if sizes.count() == 0 {
            return;
        }
        let indices = self.starts(body, &eqn.inputs[1..], &from, &aval.shape, &sizes);
        self.touch([&from, &to].into_iter().chain(indices.iter().map(|index| &index.view)));
        self.note(format!("dynamic slice {sizes}"));
        let out_of_bounds = OutOfBounds::Clip;
        self.emit_rows(Stmt::Gather(Gather {
            dims: sizes.to_vec(),
            indices,
            out_of_bounds,
            from,
            to,
        }));
    }

    fn dynamic_update(&mut self, body: &mut Body<'_>, eqn: &Eqn) {
        let shape = body.program.var_aval(eqn.outputs[0]).shape.clone();
        let operand = self.value(body, eqn.inputs[0]);
        let to = self.destination(body, eqn.outputs[0]);
        self.copy(&operand, &shape, to.clone());
        let (from, update) = self.operand(body, eqn.inputs[1]);
        if update.shape.count() == 0 {
            return;
        }
        let indices = self.starts(body, &eqn.inputs[2..], &to, &shape, &update.shape);
        self.touch([&from, &to].into_iter().chain(indices.iter().map(|index| &index.view)));
        self.note(format!("dynamic update {}", update.shape));
        self.emit_rows(Stmt::Scatter(Scatter {
            dims: update.shape.to_vec(),
            indices,
            out_of_bounds: OutOfBounds::Clip,
            combine: None,
            from,
            to,
        }));
    }

    /// The index of a gather or scatter, and the strides of its indexed side over the points.
    fn rows_index(
        &mut self,
        body: &mut Body<'_>,
        indices: Atom,
        indexed: &View,
        shape: &Shape,
        n_batch: usize,
    ) -> (Index, View) {
        let (view, aval) = self.operand(body, indices);
        let n_rest = shape.rank() - n_batch - 1;
        let strides = [&view.strides[..], &vec![0; n_rest]].concat();
        let n_k = aval.rank() - n_batch;
        let points =
            [&indexed.strides[..n_batch], &vec![0; n_k], &indexed.strides[n_batch + 1..]].concat();
        let index = Index {
            view: view.strides(strides),
            len: shape[n_batch],
            stride: indexed.strides[n_batch],
        };
        (index, indexed.clone().strides(points))
    }

    fn gather(&mut self, body: &mut Body<'_>, eqn: &Eqn, gather: &prim::Gather) {
        let (from, aval) = self.operand(body, eqn.inputs[0]);
        let out = body.program.var_aval(eqn.outputs[0]).clone();
        let to = self.destination(body, eqn.outputs[0]);
        if out.shape.count() == 0 {
            return;
        }
        if aval.shape[gather.n_batch] == 0 {
            // There is nothing to read: all indices are outside.
            return self.copy(&Value::Uniform(Scalar::of(0.0, out.dtype)), &out.shape, to);
        }
        let (index, from) =
            self.rows_index(body, eqn.inputs[1], &from, &aval.shape, gather.n_batch);
        let out_of_bounds = match gather.bounds {
            Bounds::Clip => OutOfBounds::Clip,
            Bounds::Drop => OutOfBounds::Drop(0),
        };
        self.touch([&from, &to, &index.view]);
        self.note(format!("gather {}", out.shape));
        let dims = out.shape.to_vec();
        self.emit_rows(Stmt::Gather(Gather {
            dims,
            indices: vec![index],
            out_of_bounds,
            from,
            to,
        }));
    }

    fn scatter(&mut self, body: &mut Body<'_>, eqn: &Eqn, scatter: &prim::Scatter) {
        let out = body.program.var_aval(eqn.outputs[0]).clone();
        let operand = self.value(body, eqn.inputs[0]);
        let to = self.destination(body, eqn.outputs[0]);
        self.copy(&operand, &out.shape, to.clone());
        let (from, updates) = self.operand(body, eqn.inputs[2]);
        if updates.shape.count() == 0 || out.shape.count() == 0 {
            return;
        }
        let (index, to) = self.rows_index(body, eqn.inputs[1], &to, &out.shape, scatter.n_batch);
        let out_of_bounds = match scatter.bounds {
            Bounds::Clip => OutOfBounds::Clip,
            Bounds::Drop => OutOfBounds::Drop(0),
        };
        let combine = match scatter.write {
            Write::Set => None,
            Write::Add => Some(Combine::Sum),
        };
        self.touch([&from, &to, &index.view]);
        self.note(format!("scatter {}", updates.shape));
        let dims = updates.shape.to_vec();
        let indices = vec![index];
        self.emit_rows(Stmt::Scatter(Scatter { dims, indices, out_of_bounds, combine, from, to }));
    }

    fn tap(&mut self, body: &mut Body<'_>, eqn: &Eqn, label: &std::sync::Arc<str>) {
        let n_parts = eqn.inputs.len();
        let mut shown = Vec::new();
        for &atom in &eqn.inputs {
            let aval = body.program.aval(atom);
            let value = self.value(body, atom);
            let view = self.stored(&value, aval.rank());
            let view = match place::is_dense(&view, &aval.shape) {
                true => view,
                false => self.densified(&Value::Stored(view), &aval),
            };
            shown.push((view, aval));
        }
        for (part, (view, aval)) in shown.into_iter().enumerate() {
            let id = self.taps.len() as u64;
            let dims = aval.shape.to_vec();
            self.taps.push(TapPart { label: label.clone(), part, n_parts, aval: Some(aval) });
            self.touch([&view]);
            self.emit(Stmt::Tap(Tap { id, dims, view }));
        }
        if n_parts == 0 {
            let id = self.taps.len() as u64;
            self.taps.push(TapPart { label: label.clone(), part: 0, n_parts, aval: None });
            let one = self.memory.constant(vec![1], &Aval::scalar(DType::Bool));
            self.touch([&one]);
            self.emit(Stmt::Tap(Tap { id, dims: vec![], view: one }));
        }
    }

    /// Values as the inputs of an inner program.
    fn inner_values(&mut self, body: &mut Body<'_>, atoms: &[Atom]) -> Vec<Value> {
        let values: Vec<Value> = atoms.iter().map(|&atom| self.value(body, atom)).collect();
        self.touch(values.iter().filter_map(|value| match value {
            Value::Stored(view) => Some(view),
            Value::Uniform(_) => None,
        }));
        values
    }

    fn scan(&mut self, body: &mut Body<'_>, eqn: &Eqn, scan: &prim::Scan) {
        let (consts, rest) = eqn.inputs.split_at(scan.n_consts);
        let (init, xs) = rest.split_at(scan.n_carry);
        let consts = self.inner_values(body, consts);
        let xs = self.inner_values(body, xs);
        if scan.length == 1 {
            return self.one_step(body, eqn, scan, consts, xs);
        }
        let avals = scan.body.input_avals();
        let carry_avals = &avals[scan.n_consts..scan.n_consts + scan.n_carry];
        let (last, ys) = eqn.outputs.split_at(scan.n_carry);
        let mut tracked = vec![None; ys.len()];
        let mut carries = Vec::new();
        for (c, (&init, aval)) in init.iter().zip(carry_avals).enumerate() {
            let free = |i: &usize| tracked[*i].is_none() && !body.targets.contains_key(&ys[*i]);
            let states = (0..ys.len()).filter(free);
            let states: Vec<_> = states.filter_map(|i| Some((i, state_in(scan, c, i)?))).collect();
            let carry = match states.is_empty() {
                true => Carry::twice(&mut self.memory, aval, self.scopes.len() - 1),
                false => {
                    let track = self.temporary(&aval.prepend(scan.length + 1));
                    states.iter().for_each(|&(i, state)| tracked[i] = Some((c, state)));
                    Carry::track(track, scan.length, scan.reverse)
                }
            };
            let value = self.value(body, init);
            self.copy(&value, &aval.shape, carry.first());
            carries.push(carry);
        }
        let mut y_places = Vec::new();
        for (&y, tracked) in ys.iter().zip(&tracked) {
            y_places.push(match *tracked {
                Some((c, state)) => {
                    let rows = carries[c].states(state);
                    body.values[y.index()] = Some(Value::Stored(rows));
                    None
                }
                None => Some(self.destination(body, y)),
            });
        }
        self.touch(carries.iter().map(|carry| &carry.place));
        self.touch(y_places.iter().flatten());
        let kind = if scan.reverse { "scan backwards" } else { "scan" };
        self.note(format!("{kind}, {} steps", scan.length));
        let level = self.level();
        if scan.length > 0 {
            let stmts = self.enclosed(true, |lowerer| {
                let row = |view: &View| place::row(view, level, scan.length, scan.reverse);
                let mut inputs = consts;
                let mut invariant = vec![true; inputs.len()];
                inputs.extend(carries.iter().map(|carry| Value::Stored(carry.before(level))));
                inputs.extend(xs.iter().map(|x| x.map(row)));
                invariant.resize(inputs.len(), false);
                let mut targets: Vec<Target> =
                    carries.iter().map(|carry| vec![carry.after(level)]).collect();
                targets.extend(y_places.iter().map(|y| y.iter().map(row).collect()));
                lowerer.body(&scan.body, inputs, targets, &invariant);
            });
            self.emit_control(Stmt::Loop(Loop { n_steps: scan.length, body: stmts }));
        }
        for ((&var, carry), aval) in last.iter().zip(&carries).zip(carry_avals) {
            let value = Value::Stored(carry.last(scan.length));
            body.values[var.index()] = Some(value.clone());
            if let Some(target) = body.targets.get(&var).cloned() {
                self.copy(&value, &aval.shape, target[0].clone());
            }
        }
    }

    /// A loop of one step is its body, from the initial carry to where the last one goes.
    fn one_step(
        &mut self,
        body: &mut Body<'_>,
        eqn: &Eqn,
        scan: &prim::Scan,
        consts: Vec<Value>,
        xs: Vec<Value>,
    ) {
        let carry = &eqn.inputs[scan.n_consts..scan.n_consts + scan.n_carry];
        let carry = self.inner_values(body, carry);
        let (last, ys) = eqn.outputs.split_at(scan.n_carry);
        let mut targets: Vec<Target> =
            last.iter().map(|&var| vec![self.destination(body, var)]).collect();
        for &y in ys {
            let first = self.destination(body, y);
            targets.push(vec![place::first_row(&first)]);
        }
        self.touch(targets.iter().flatten());
        self.note("scan, 1 step");
        let mut invariant = vec![true; consts.len()];
        invariant.resize(consts.len() + carry.len() + xs.len(), false);
        let rows = xs.iter().map(|x| x.map(place::first_row)).collect();
        let inputs = [consts, carry, rows].concat();
        let stmts = self.enclosed(false, |lowerer| {
            lowerer.body(&scan.body, inputs, targets, &invariant);
        });
        let scope = self.scope();
        let prologue = std::mem::take(&mut self.scopes[scope].prologue);
        self.scopes[scope].stmts.extend(prologue);
        self.scopes[scope].stmts.extend(stmts);
        self.memory.tick();
    }

    fn while_(&mut self, body: &mut Body<'_>, eqn: &Eqn, while_: &prim::While) {
        let (cond_consts, rest) = eqn.inputs.split_at(while_.n_cond_consts);
        let (body_consts, init) = rest.split_at(while_.n_body_consts);
        let cond_consts = self.inner_values(body, cond_consts);
        let body_consts = self.inner_values(body, body_consts);
        let avals: Vec<Aval> = init.iter().map(|&atom| body.program.aval(atom)).collect();
        let mut carries = Vec::new();
        for (&init, aval) in init.iter().zip(&avals) {
            let value = self.value(body, init);
            let carry = self.temporary(aval);
            self.copy(&value, &aval.shape, carry.clone());
            carries.push(carry);
        }
        let flag = self.temporary(&Aval::scalar(DType::Bool));
        let next: Vec<View> = avals.iter().map(|aval| self.temporary(aval)).collect();
        self.touch(carries.iter().chain(&next).chain([&flag]));
        self.note("while");
        let carry_values: Vec<Value> = carries.iter().cloned().map(Value::Stored).collect();
        let write = |consts: Vec<Value>| {
            let invariant = vec![true; consts.len()];
            let inputs = [consts, carry_values.clone()].concat();
            let invariant = [invariant, vec![false; carry_values.len()]].concat();
            (inputs, invariant)
        };
        // One statement holds both: its condition runs again after each step.
        let begin = self.memory.enter();
        let (inputs, invariant) = write(cond_consts);
        self.memory.enter();
        let cond = self.enclosed_from(begin, false, |lowerer| {
            lowerer.body(&while_.cond, inputs, vec![vec![flag.clone()]], &invariant);
        });
        let (inputs, invariant) = write(body_consts);
        self.memory.enter();
        let steps = self.enclosed_from(begin, false, |lowerer| {
            let targets = next.iter().map(|view| vec![view.clone()]).collect();
            lowerer.body(&while_.body, inputs, targets, &invariant);
            for ((next, carry), aval) in next.iter().zip(&carries).zip(&avals) {
                lowerer.copy(&Value::Stored(next.clone()), &aval.shape, carry.clone());
            }
        });
        self.memory.leave();
        self.emit_control(Stmt::While(While { cond, flag, body: steps }));
        for (&var, carry) in eqn.outputs.iter().zip(carries) {
            let value = Value::Stored(carry);
            body.values[var.index()] = Some(value.clone());
            if let Some(target) = body.targets.get(&var).cloned() {
                let shape = body.program.var_aval(var).shape.clone();
                self.copy(&value, &shape, target[0].clone());
            }
        }
    }

    fn cond(&mut self, body: &mut Body<'_>, eqn: &Eqn, cond: &prim::Cond) {
        let (index, _) = self.operand(body, eqn.inputs[0]);
        let operands = self.inner_values(body, &eqn.inputs[1..]);
        let places: Vec<View> =
            eqn.outputs.iter().map(|&var| self.destination(body, var)).collect();
        self.note(format!("switch between {}", cond.branches.len()));
        let invariant = vec![true; operands.len()];
        // The index is read after what the branches packed before the choice.
        let begin = self.memory.enter();
        self.touch(places.iter().chain([&index]));
        let branches = cond
            .branches
            .iter()
            .map(|branch| {
                let targets = places.iter().map(|view| vec![view.clone()]).collect();
                let inputs = operands.clone();
                self.memory.enter();
                self.enclosed_from(begin, false, |lowerer| {
                    lowerer.body(branch, inputs, targets, &invariant);
                })
            })
            .collect();
        self.memory.leave();
        self.emit_control(Stmt::Switch(Switch { index, branches }));
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

/// A statement inside a loop for each of these sizes, the first one outermost.
fn in_loops(sizes: &[usize], stmt: Stmt) -> Stmt {
    let wrap = |stmt, &n_steps: &usize| Stmt::Loop(Loop { n_steps, body: vec![stmt] });
    sizes.iter().rev().fold(stmt, wrap)
}

/// The first `n_loops` dimensions of a view become steps of the loops from `level` on.
fn step_by_loops(view: &mut View, n_loops: usize, level: usize) {
    let strides: Vec<i64> = view.strides.drain(..n_loops).collect();
    for (i, stride) in strides.into_iter().enumerate() {
        *view = view.clone().advance(level + i, stride);
    }
}

/// The same for what counts along a dimension.
fn count_by_loops(node: &mut Node, n_loops: usize, level: usize) {
    if let Node::Iota { dim, dtype } = *node {
        *node = match (dim as usize).checked_sub(n_loops) {
            Some(dim) => Node::Iota { dim: dim as u32, dtype },
            None => Node::Step { level: level as u32 + dim, dtype },
        };
    }
}

/// The order of axes that puts one last.
fn move_last(rank: usize, axis: usize) -> Vec<usize> {
    (0..rank).filter(|&other| other != axis).chain([axis]).collect()
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

fn scalar_bytes(scalar: Scalar) -> Vec<u8> {
    match scalar {
        Scalar::F32(x) => x.to_ne_bytes().to_vec(),
        Scalar::F64(x) => x.to_ne_bytes().to_vec(),
        Scalar::I32(x) => x.to_ne_bytes().to_vec(),
        Scalar::U32(x) => x.to_ne_bytes().to_vec(),
        Scalar::Bool(x) => vec![u8::from(x)],
    }
}

/// Merges neighbouring dimensions over which every view steps evenly.
fn collapse(map: &mut Map) {
    if map.dag.iter().any(|node| matches!(node, Node::Iota { .. })) {
        return;
    }
    let mut views: Vec<&mut View> =
        map.loads.iter_mut().chain(map.stores.iter_mut().map(|store| &mut store.to)).collect();
    merge_dims(&mut map.dims, &mut views, 0);
}

fn collapse_reduce(reduce: &mut Reduce) {
    if reduce.dag.iter().any(|node| matches!(node, Node::Iota { .. })) {
        return;
    }
    let n_kept = reduce.dims.len();
    let mut loads: Vec<&mut View> = reduce.loads.iter_mut().collect();
    merge_dims(&mut reduce.reduced, &mut loads, n_kept);
    let mut all: Vec<&mut View> = reduce
        .loads
        .iter_mut()
        .chain(reduce.outputs.iter_mut().map(|output| &mut output.to))
        .collect();
    merge_dims(&mut reduce.dims, &mut all, 0);
}

/// Merges the dimensions `dims`, which are those of the views from `first` on.
fn merge_dims(dims: &mut Vec<usize>, views: &mut [&mut View], first: usize) {
    let mut d = 0;
    while d < dims.len() {
        if dims[d] == 1 {
            dims.remove(d);
            views.iter_mut().for_each(|view| {
                view.strides.remove(first + d);
            });
            continue;
        }
        let even = |view: &&mut View| {
            d > 0 && view.strides[first + d - 1] == view.strides[first + d] * dims[d] as i64
        };
        if d > 0 && views.iter().all(even) {
            dims[d - 1] *= dims[d];
            dims.remove(d);
            views.iter_mut().for_each(|view| {
                view.strides.remove(first + d - 1);
            });
            continue;
        }
        d += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::dispatch;

    #[test]
    fn numbers_have_the_bytes_of_their_type() {
        for dtype in DType::ALL {
            let bytes = scalar_bytes(Scalar::of(1.0, dtype));
            assert_eq!(bytes.len(), dtype.size());
            dispatch!(all dtype, T => assert_eq!(std::mem::size_of::<T>(), bytes.len()));
        }
    }
}
