//! Loops, conditions and choices: where their carries and results are, and the bodies inside.
//!
//! A body is written by the same way through as the whole program, in a scope of its own.

use rondeau_machine::code::{Loop, Stmt, Switch, View, While};

use super::body::Body;
use super::carry::{Carry, State, state_in};
use super::place::{self, Value};
use super::{Lowerer, Target};
use crate::buffer::DType;
use crate::ir::{Atom, Aval, Eqn, Var};
use crate::prim;

/// Where the steps of a loop find and leave what changes from one to the next.
struct Places {
    carries: Vec<Carry>,
    xs: Vec<Value>,
    /// None where the places of a carry are the rows.
    ys: Vec<Option<View>>,
}

/// What the rows of a loop's ys show, so that the places of a carry can be the rows.
#[derive(Clone, Copy)]
struct Shows {
    carry: usize,
    state: State,
}

impl Places {
    /// The carry and the rows of xs that a step of the loop at this level reads.
    fn before(&self, scan: &prim::Scan, level: usize) -> Vec<Value> {
        let carries = self.carries.iter().map(|carry| Value::Stored(carry.before(level)));
        let row = |view: &View| place::row(view, level, scan.length, scan.reverse);
        let rows = self.xs.iter().map(|x| x.map(row));
        carries.chain(rows).collect()
    }

    /// Where it writes the carry and the rows of ys.
    fn after(&self, scan: &prim::Scan, level: usize) -> Vec<Target> {
        let carries = self.carries.iter().map(|carry| vec![carry.after(level)]);
        let row = |view: &View| place::row(view, level, scan.length, scan.reverse);
        let rows = self.ys.iter().map(|y| y.iter().map(row).collect());
        carries.chain(rows).collect()
    }
}

impl Lowerer {
    pub(super) fn scan(&mut self, body: &mut Body<'_>, eqn: &Eqn, scan: &prim::Scan) {
        let (consts, rest) = eqn.inputs.split_at(scan.n_consts);
        let (init, xs) = rest.split_at(scan.n_carry);
        let consts = self.inner_values(body, consts);
        let xs = self.inner_values(body, xs);
        if scan.length == 1 {
            return self.one_step(body, eqn, scan, consts, xs);
        }
        let (last, ys) = eqn.outputs.split_at(scan.n_carry);
        let shown = shown(body, scan, ys);
        let carries = self.place_carries(body, scan, init, &shown);
        let ys = self.place_ys(body, ys, &carries, &shown);
        self.touch(carries.iter().map(|carry| &carry.place));
        self.touch(ys.iter().flatten());
        let kind = if scan.reverse { "scan backwards" } else { "scan" };
        self.note(format!("{kind}, {} steps", scan.length));
        let places = Places { carries, xs, ys };
        if scan.length > 0 {
            let level = self.level();
            let (inputs, invariant) = inputs_of(consts, places.before(scan, level));
            let targets = places.after(scan, level);
            let stmts = self.enclosed(true, |lowerer| {
                lowerer.body(&scan.body, inputs, targets, &invariant);
            });
            self.emit_control(Stmt::Loop(Loop { n_steps: scan.length, body: stmts }));
        }
        for (&var, carry) in last.iter().zip(&places.carries) {
            self.leave(body, var, carry.last(scan.length));
        }
    }

    /// Makes places for the carries of a loop, with their initial values in the first ones.
    fn place_carries(
        &mut self,
        body: &mut Body<'_>,
        scan: &prim::Scan,
        init: &[Atom],
        shown: &[Option<Shows>],
    ) -> Vec<Carry> {
        let scope = self.scope();
        let mut carries = Vec::new();
        for (c, &atom) in init.iter().enumerate() {
            let aval = body.program.aval(atom);
            let carry = match shown.iter().flatten().any(|shows| shows.carry == c) {
                true => {
                    let track = self.temporary(&aval.prepend(scan.length + 1));
                    Carry::track(track, scan.length, scan.reverse)
                }
                false => Carry::twice(&mut self.memory, &aval, scope),
            };
            let value = self.value(body, atom);
            self.copy(&value, &aval.shape, carry.first());
            carries.push(carry);
        }
        carries
    }

    /// Where the rows of ys go that are not the places of a carry.
    fn place_ys(
        &mut self,
        body: &mut Body<'_>,
        ys: &[Var],
        carries: &[Carry],
        shown: &[Option<Shows>],
    ) -> Vec<Option<View>> {
        let mut places = Vec::new();
        for (&y, shown) in ys.iter().zip(shown) {
            places.push(match *shown {
                Some(Shows { carry, state }) => {
                    body.values[y.index()] = Some(Value::Stored(carries[carry].states(state)));
                    None
                }
                None => Some(self.destination(body, y)),
            });
        }
        places
    }

    /// The last carry of a loop is there; it is copied to where it is wanted.
    fn leave(&mut self, body: &mut Body<'_>, var: Var, last: View) {
        let value = Value::Stored(last);
        body.values[var.index()] = Some(value.clone());
        if let Some(target) = body.targets.get(&var).cloned() {
            let shape = &body.program.var_aval(var).shape;
            self.copy(&value, shape, target[0].clone());
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
        let rows = xs.iter().map(|x| x.map(place::first_row)).collect();
        let (inputs, invariant) = inputs_of(consts, [carry, rows].concat());
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
        // One statement holds both: its condition runs again after each step.
        let begin = self.memory.enter();
        let (inputs, invariant) = inputs_of(cond_consts, carry_values.clone());
        self.memory.enter();
        let cond = self.enclosed_from(begin, false, |lowerer| {
            lowerer.body(&while_.cond, inputs, vec![vec![flag.clone()]], &invariant);
        });
        let (inputs, invariant) = inputs_of(body_consts, carry_values);
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
            self.leave(body, var, carry);
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

/// What the rows of each of ys show of the first carry that they show; nothing if another place is
/// wanted for them.
fn shown(body: &Body<'_>, scan: &prim::Scan, ys: &[Var]) -> Vec<Option<Shows>> {
    let shows = |y, carry| Some(Shows { carry, state: state_in(scan, carry, y)? });
    let first = |y| (0..scan.n_carry).find_map(|carry| shows(y, carry));
    let is_free = |var: &Var| !body.targets.contains_key(var);
    ys.iter().enumerate().map(|(y, var)| first(y).filter(|_| is_free(var))).collect()
}

/// The inputs of a body, and which of them stay the same from step to step.
fn inputs_of(consts: Vec<Value>, moving: Vec<Value>) -> (Vec<Value>, Vec<bool>) {
    let invariant = [vec![true; consts.len()], vec![false; moving.len()]].concat();
    ([consts, moving].concat(), invariant)
}
