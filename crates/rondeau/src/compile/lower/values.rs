//! Where values are: what an equation reads, where its results go, and copies between places.
//!
//! A movement becomes a view when a kernel asks for its result, and a copy where no view will do.

use rondeau_machine::code::{Store, View};

use super::Lowerer;
use super::body::Body;
use super::expr::Expr;
use super::place::{self, Value};
use crate::buffer::{Scalar, Shape};
use crate::ir::{Atom, Aval, Var};
use crate::prim::{self, Prim};

/// What tells a view outside of all loops: its buffer, its start, its strides, its shape.
pub(super) type CopyKey = (u32, i64, Vec<i64>, Shape);

impl Lowerer {
    /// Where what an equation reads is; views of views are made here.
    pub(super) fn value(&mut self, body: &mut Body<'_>, atom: Atom) -> Value {
        let var = match atom {
            Atom::Lit(scalar) => return Value::Uniform(scalar),
            Atom::Var(var) => var,
        };
        if let Some(value) = &body.values[var.index()] {
            return value.clone();
        }
        let eqn = body.binder(var);
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

    /// A value in memory.
    pub(super) fn operand(&mut self, body: &mut Body<'_>, atom: Atom) -> (View, Aval) {
        let aval = body.program.aval(atom);
        let value = self.value(body, atom);
        (self.stored(&value, aval.rank()), aval)
    }

    /// A value in memory with the axes of `shape`.
    pub(super) fn operand_over(&mut self, body: &mut Body<'_>, atom: Atom, shape: &Shape) -> View {
        let (view, _) = self.operand(body, atom);
        spread(Value::Stored(view), shape).stored().clone()
    }

    /// Values as the inputs of an inner program.
    pub(super) fn inner_values(&mut self, body: &mut Body<'_>, atoms: &[Atom]) -> Vec<Value> {
        let values: Vec<Value> = atoms.iter().map(|&atom| self.value(body, atom)).collect();
        self.touch(values.iter().filter_map(|value| match value {
            Value::Stored(view) => Some(view),
            Value::Uniform(_) => None,
        }));
        values
    }

    /// A place for a value; a number is written into one element that is read everywhere.
    pub(super) fn stored(&mut self, value: &Value, rank: usize) -> View {
        match value {
            Value::Stored(view) => view.clone(),
            Value::Uniform(scalar) => {
                let aval = Aval::scalar(scalar.dtype());
                let view = self.memory.constant(scalar_bytes(*scalar), &aval);
                view.strides(vec![0; rank])
            }
        }
    }

    /// A row-major copy of a value.
    pub(super) fn densified(&mut self, value: &Value, aval: &Aval) -> View {
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

    /// Writes a value of that shape to a place.
    pub(super) fn copy(&mut self, value: &Value, shape: &Shape, to: View) {
        let mut expr = Expr::default();
        let val = match value {
            Value::Uniform(scalar) => expr.constant(*scalar),
            Value::Stored(view) => expr.load(view.clone()),
        };
        self.emit_map(shape, expr, vec![Store { value: val, to }]);
    }

    /// Where a variable that this kernel computes is written; the first place is where later
    /// kernels read it.
    pub(super) fn destinations(&mut self, body: &mut Body<'_>, var: Var) -> Vec<View> {
        let places = match body.targets.get(&var) {
            Some(target) => target.clone(),
            None => vec![self.temporary(body.program.var_aval(var))],
        };
        body.values[var.index()] = Some(Value::Stored(places[0].clone()));
        places
    }

    /// Where the one result of an equation by itself is written, and where it is copied then.
    pub(super) fn destination(&mut self, body: &mut Body<'_>, var: Var) -> View {
        self.destinations(body, var).remove(0)
    }

    /// Copies a result to the places after the first.
    pub(super) fn copy_on(&mut self, body: &mut Body<'_>, var: Var) {
        let Some(target) = body.targets.get(&var).cloned() else { return };
        let aval = body.program.var_aval(var).clone();
        for to in target.into_iter().skip(1) {
            let value = body.values[var.index()].clone().expect("internal: it is computed");
            self.copy(&value, &aval.shape, to);
        }
    }
}

/// The strides of a value inside a kernel over `shape`: a scalar stands still.
pub(super) fn spread(value: Value, shape: &Shape) -> Value {
    value.map(|view| match view.strides.is_empty() {
        true => view.clone().strides(vec![0; shape.rank()]),
        false => view.clone(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{DType, dispatch};

    #[test]
    fn numbers_have_the_bytes_of_their_type() {
        for dtype in DType::ALL {
            let bytes = scalar_bytes(Scalar::of(1.0, dtype));
            assert_eq!(bytes.len(), dtype.size());
            dispatch!(all dtype, T => assert_eq!(std::mem::size_of::<T>(), bytes.len()));
        }
    }
}
