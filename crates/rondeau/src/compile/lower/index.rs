//! Reading and writing at places that are data: ranges, and rows chosen by indices.
//!
//! Both become indices with strides, by which the machine moves; it also keeps them inside.

use rondeau_machine::code::{Combine, Gather, Index, OutOfBounds, Scatter, Stmt, View};

use super::Lowerer;
use super::body::Body;
use super::place::Value;
use crate::buffer::{Scalar, Shape};
use crate::ir::{Atom, Eqn};
use crate::prim::{self, Bounds, Write};

impl Lowerer {
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

    pub(super) fn dynamic_slice(&mut self, body: &mut Body<'_>, eqn: &Eqn) {
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

    pub(super) fn dynamic_update(&mut self, body: &mut Body<'_>, eqn: &Eqn) {
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

    pub(super) fn gather(&mut self, body: &mut Body<'_>, eqn: &Eqn, gather: &prim::Gather) {
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

    pub(super) fn scatter(&mut self, body: &mut Body<'_>, eqn: &Eqn, scatter: &prim::Scatter) {
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
}
