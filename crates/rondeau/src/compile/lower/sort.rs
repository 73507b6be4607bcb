//! Sorts of several arrays by several keys: the machine sorts by one, and what it says of the order
//! is applied to the rest.

use rondeau_machine::code::{Gather, Index, OutOfBounds, Sort, Stmt, View};

use super::Lowerer;
use super::body::Body;
use super::dims::move_last;
use super::place;
use crate::buffer::{DType, Shape};
use crate::ir::{Aval, Eqn};
use crate::prim;

impl Lowerer {
    pub(super) fn sort(&mut self, body: &mut Body<'_>, eqn: &Eqn, sort: &prim::Sort) {
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
}
