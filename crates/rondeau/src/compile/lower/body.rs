//! A body while it is written: its kernels, and what is known of each variable.
//!
//! It says who binds and who reads a value, by the program and its clusters alone, and must not know
//! how a kernel is written.

use std::collections::HashMap;

use rondeau_machine::code::MAX_TERMS;

use super::Target;
use super::cluster::Cluster;
use super::place::Value;
use crate::ir::{Atom, Eqn, Program, Var};
use crate::prim::{self, Prim};

/// Products of a kernel that are read only as their sum.
#[derive(Default)]
pub(super) struct Summed {
    /// The products, in the order of the sum.
    pub(super) dots: Vec<usize>,
    /// They and the sums of them, the whole sum last.
    pub(super) eqns: Vec<usize>,
}

/// A body while it is written.
pub(super) struct Body<'a> {
    pub(super) program: &'a Program,
    /// Where variables are that have been computed, or asked for.
    pub(super) values: Vec<Option<Value>>,
    /// Where outputs go that are computed here.
    pub(super) targets: HashMap<Var, Target>,
    /// The equation that binds a variable.
    binder: Vec<Option<usize>>,
    /// The kernel of an equation.
    cluster_of: Vec<Option<usize>>,
    /// The equations that read a variable.
    readers: Vec<Vec<usize>>,
}

impl<'a> Body<'a> {
    /// Nothing is written yet; the inputs have their places.
    pub(super) fn new(program: &'a Program, clusters: &[Cluster], inputs: Vec<Value>) -> Body<'a> {
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
        body
    }

    /// The equation that binds a variable, which is no input.
    pub(super) fn binder(&self, var: Var) -> &'a Eqn {
        &self.program.eqns()[self.binder[var.index()].expect("internal: bound")]
    }

    /// Whether some equation outside of a kernel, or a target, reads the variable.
    pub(super) fn is_read_outside(&self, var: Var, cluster: &Cluster) -> bool {
        self.targets.contains_key(&var)
            || self.readers[var.index()].iter().any(|&eqn| !cluster.has(eqn))
    }

    /// What a kernel computes of which an output is a transpose with the same last axis, or which
    /// it is; and which axis of the output each of its axes is.
    pub(super) fn computed_as(&self, output: Atom) -> Option<(Var, Vec<usize>)> {
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

    /// The products among these equations of one kernel, those together that only their sum reads.
    pub(super) fn summed(&self, eqns: &[usize]) -> Vec<Summed> {
        let mut all: Vec<Summed> = vec![];
        for &i in eqns {
            let eqn = &self.program.eqns()[i];
            match &eqn.prim {
                Prim::DotGeneral(_) => all.push(Summed { dots: vec![i], eqns: vec![i] }),
                Prim::Binary(prim::Binary::Add) => {
                    let whole = |atom: Atom| {
                        let var = atom.var().filter(|var| self.is_read_once(*var))?;
                        let binder = self.binder[var.index()]?;
                        all.iter().position(|summed| summed.eqns.last() == Some(&binder))
                    };
                    let (Some(a), Some(b)) = (whole(eqn.inputs[0]), whole(eqn.inputs[1])) else {
                        continue;
                    };
                    if all[a].dots.len() + all[b].dots.len() <= MAX_TERMS {
                        let first = std::mem::take(&mut all[a]);
                        let second = std::mem::take(&mut all[b]);
                        all[a.min(b)] = Summed {
                            dots: [first.dots, second.dots].concat(),
                            eqns: [first.eqns, second.eqns, vec![i]].concat(),
                        };
                        all.remove(a.max(b));
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Whether one equation reads a variable, once, and nothing else does.
    fn is_read_once(&self, var: Var) -> bool {
        self.readers[var.index()].len() == 1 && !self.targets.contains_key(&var)
    }

    /// The one reader of a product if it adds something that is computed elsewhere, and that.
    pub(super) fn sum_after(&self, product: usize) -> Option<(usize, Atom)> {
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
