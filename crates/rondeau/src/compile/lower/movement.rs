//! The movements that no view expresses: their results are put together by copies. Those that are
//! views are in `place`.

use super::Lowerer;
use super::body::Body;
use super::place;
use super::values::spread;
use crate::buffer::Shape;
use crate::ir::Eqn;
use crate::prim;

impl Lowerer {
    pub(super) fn concat(&mut self, body: &mut Body<'_>, eqn: &Eqn, axis: usize) {
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

    pub(super) fn pad(&mut self, body: &mut Body<'_>, eqn: &Eqn, pad: &prim::Pad) {
        let out = eqn.outputs[0];
        let out_shape = body.program.var_aval(out).shape.clone();
        let to = self.destination(body, out);
        let edge = self.value(body, eqn.inputs[1]);
        self.copy(&spread(edge, &out_shape), &out_shape, to.clone());
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
}
