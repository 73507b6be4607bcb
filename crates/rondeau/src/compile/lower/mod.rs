//! Writes the kernels of a program: an answer for every primitive.
//!
//! Here are the way through a body, kernel by kernel, and the scopes that statements go into. First
//! `flatten` removes calls, and `cluster` groups the equations of the body into kernels. `body` knows
//! who reads a value, `values` where it is, `place` which movements only change a view, `pack` where
//! weights are packed, and `dims` fits a statement to its dimensions. The other files write one kind
//! of kernel each, with what it alone needs (`expr`: arithmetic, `steps`: products of many rows,
//! `carry`: the places of a loop's carry), and must not know each other, but for `elementwise`:
//! arithmetic is part of most kernels.

mod body;
mod carry;
mod cluster;
mod control;
mod dims;
mod elementwise;
mod expr;
mod flatten;
mod gemm;
mod index;
mod mat;
mod movement;
mod pack;
mod place;
mod reduce;
mod sort;
mod steps;
mod tap;
mod values;

use std::collections::HashMap;

use rondeau_machine::code::{Stmt, View};

use self::body::Body;
use self::cluster::{Around, Cluster, Kind, cluster};
use self::flatten::flatten;
use self::pack::PackKey;
use self::place::Value;
use self::values::CopyKey;
use super::TapPart;
use super::memory::Memory;
use crate::ir::{Aval, Program};
use crate::prim::Prim;

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
        inputs: Vec<View>,
        targets: Vec<Target>,
    ) -> Vec<Stmt> {
        self.scopes.push(Scope::default());
        let inputs: Vec<Value> = inputs.into_iter().map(Value::Stored).collect();
        let invariant = vec![false; inputs.len()];
        self.body(program, inputs, targets, &invariant);
        self.scopes.pop().expect("internal: pushed above").stmts
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
        let mut body = Body::new(program, &clusters, inputs);
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
        for cluster in &clusters {
            match &cluster.kind {
                Kind::Map(shape) => self.map_cluster(&mut body, cluster, shape),
                Kind::Mat(shape) => self.mat_cluster(&mut body, cluster, *shape),
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

    /// Writes the kernel of one equation by itself.
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
}
