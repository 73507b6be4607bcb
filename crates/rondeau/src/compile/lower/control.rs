//! Loops, conditions and choices: where their carries and results are, and the bodies inside.
//!
//! A body is written by the same way through as the whole program, in a scope of its own.

use rondeau_machine::code::{Loop, Stmt, Switch, View, While};

use super::body::Body;
use super::{Lowerer, Target};
use crate::buffer::DType;
use crate::compile::carry::{Carry, state_in};
use crate::compile::place::{self, Value};
use crate::ir::{Aval, Eqn};
use crate::prim;

impl Lowerer {
    pub(super) fn scan(&mut self, body: &mut Body<'_>, eqn: &Eqn, scan: &prim::Scan) {
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

    pub(super) fn while_(&mut self, body: &mut Body<'_>, eqn: &Eqn, while_: &prim::While) {
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

    pub(super) fn cond(&mut self, body: &mut Body<'_>, eqn: &Eqn, cond: &prim::Cond) {
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
