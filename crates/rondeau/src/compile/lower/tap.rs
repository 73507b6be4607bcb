//! Showing values: the machine hands out numbered dense views, and `TapPart` says what they are.

use std::sync::Arc;

use rondeau_machine::code::{Stmt, Tap};

use super::Lowerer;
use super::body::Body;
use super::place::{self, Value};
use crate::buffer::DType;
use crate::compile::TapPart;
use crate::ir::{Aval, Eqn};

impl Lowerer {
    /// Shows each input, or that the place was reached if there are none.
    pub(super) fn tap(&mut self, body: &mut Body<'_>, eqn: &Eqn, label: &Arc<str>) {
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
}
