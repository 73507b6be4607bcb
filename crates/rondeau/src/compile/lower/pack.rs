//! Weights in the layout that kernels want: packed once, before the loop in which they stay the same.

use rondeau_machine::code::{Pack, Packed, Stmt, View, Weights};

use super::Lowerer;
use crate::buffer::DType;
use crate::compile::machine_dtype;

/// What is packed, and how.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct PackKey {
    buffer: u32,
    offset: i64,
    strides: Vec<i64>,
    advance: Vec<(i64, i64)>,
    layout: (usize, usize, usize),
}

impl Lowerer {
    /// Weights in that layout, or where they are if they change with each step.
    pub(super) fn packed(&mut self, weights: View, layout: Packed, dtype: DType) -> Weights {
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

    /// In how many scopes a view keeps still: the scope from which on it is the same.
    fn settled(&self, view: &View) -> usize {
        let moving = view.advance.iter().enumerate();
        let moving = moving.filter(|(_, a)| a.stride != 0 || a.parity != 0);
        let last = moving.map(|(level, _)| self.level_scope[level]).max().unwrap_or(0);
        last.max(self.memory.scope(view.buffer))
    }
}
