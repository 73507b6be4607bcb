//! Failing programs made small, and printed as files of the corpus.

use std::fmt::Write as _;
use std::sync::Arc;

use rondeau::buffer::{Buffer, Scalar};
use rondeau::ir::{Atom, Builder, Program, eval};
use rondeau::prim::{Call, CallKind, Cond, Prim, Scan, While};
use rondeau::transform::prune;

/// A program and one point.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    pub(crate) program: Program,
    pub(crate) inputs: Vec<Buffer>,
}

/// The least program and point found that still fails.
pub(crate) fn shrink(mut failing: Failing, fails: &dyn Fn(&Failing) -> bool) -> Failing {
    // Each round takes the first smaller program that fails, and stops when there is none.
    let mut budget = 3000;
    loop {
        let mut smaller = candidates(&failing).into_iter();
        let found = smaller.find(|candidate| {
            budget -= 1;
            budget >= 0 && fails(candidate)
        });
        match found {
            Some(found) => failing = found,
            None => return failing,
        }
    }
}

/// Programs with less in them, the boldest changes first.
fn candidates(it: &Failing) -> Vec<Failing> {
    let mut all = vec![];
    let Failing { program, inputs } = it;
    let n_outputs = program.outputs().len();
    if n_outputs > 1 {
        all.extend(
            (0..n_outputs).map(|i| tidy(with_outputs(program, &[program.outputs()[i]]), inputs)),
        );
        for i in 0..n_outputs {
            let mut rest = program.outputs().to_vec();
            rest.remove(i);
            all.push(tidy(with_outputs(program, &rest), inputs));
        }
    }
    // Outputs of an earlier equation.
    let outputs = program.outputs();
    for eqn in program.eqns() {
        let early: Vec<Atom> = eqn.outputs.iter().map(|&var| Atom::Var(var)).collect();
        if early != outputs && early.iter().any(|atom| !outputs.contains(atom)) {
            let part = tidy(with_outputs(program, &early), inputs);
            if part.program.n_eqns() < program.n_eqns() {
                all.push(part);
            }
        }
    }
    all.extend((0..program.eqns().len()).filter_map(|i| cut(it, i)));
    all.extend(simpler(program).into_iter().map(|program| tidy(program, inputs)));
    all
}

fn with_outputs(program: &Program, outputs: &[Atom]) -> Program {
    let mut b = Builder::new();
    let given = b.inputs(&program.input_avals());
    let env = inlined(&mut b, program, &given, &mut |_, _| None);
    let outputs = outputs.iter().map(|&atom| read(&env, atom)).collect();
    b.finish(outputs)
}

fn read(env: &[Option<Atom>], atom: Atom) -> Atom {
    atom.var().map_or(atom, |var| env[var.index()].expect("bound before it is read"))
}

/// What `replace` says of equation `i`: other outputs for it.
type Replace<'a> = dyn FnMut(&mut Builder, usize) -> Option<Vec<Atom>> + 'a;

/// Appends a program's equations, some of them replaced; what its variables have become.
fn inlined(
    b: &mut Builder,
    program: &Program,
    given: &[Atom],
    replace: &mut Replace<'_>,
) -> Vec<Option<Atom>> {
    let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
    for (var, &atom) in program.inputs().iter().zip(given) {
        env[var.index()] = Some(atom);
    }
    for (i, eqn) in program.eqns().iter().enumerate() {
        let outputs = replace(b, i).unwrap_or_else(|| {
            let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
            b.bind(eqn.prim.clone(), &inputs)
        });
        for (var, atom) in eqn.outputs.iter().zip(outputs) {
            env[var.index()] = Some(atom);
        }
    }
    env
}

/// Without the equations and inputs that nothing needs.
fn tidy(program: Program, inputs: &[Buffer]) -> Failing {
    let program = prune(&program);
    let is_read = |i: usize| {
        let atom = Atom::Var(program.inputs()[i]);
        program.outputs().contains(&atom)
            || program.eqns().iter().any(|eqn| eqn.inputs.contains(&atom))
    };
    let mut b = Builder::new();
    let (mut given, mut kept) = (vec![], vec![]);
    for (i, aval) in program.input_avals().iter().enumerate() {
        if is_read(i) {
            given.push(b.input(aval.clone()));
            kept.push(inputs[i].clone());
        } else {
            given.push(Atom::Lit(Scalar::Bool(false)));
        }
    }
    let env = inlined(&mut b, &program, &given, &mut |_, _| None);
    let outputs = program.outputs().iter().map(|&atom| read(&env, atom)).collect();
    Failing { program: b.finish(outputs), inputs: kept }
}

/// With the values of equation `i` as inputs.
fn cut(it: &Failing, i: usize) -> Option<Failing> {
    let Failing { program, inputs } = it;
    let eqn = &program.eqns()[i];
    let outputs: Vec<Atom> = eqn.outputs.iter().map(|&var| Atom::Var(var)).collect();
    if outputs == program.outputs() {
        return None;
    }
    let values = eval(&with_outputs(program, &outputs), inputs);
    let mut b = Builder::new();
    let given = b.inputs(&program.input_avals());
    let avals: Vec<_> = eqn.outputs.iter().map(|&var| program.var_aval(var).clone()).collect();
    let new = b.inputs(&avals);
    let env = inlined(&mut b, program, &given, &mut |_, j| (j == i).then(|| new.clone()));
    let outputs = program.outputs().iter().map(|&atom| read(&env, atom)).collect();
    Some(tidy(b.finish(outputs), &[inputs.clone(), values].concat()))
}

/// With one equation, here or in an inner program, less: numbers in the place of its outputs.
fn simpler(program: &Program) -> Vec<Program> {
    let mut all = vec![];
    for (i, eqn) in program.eqns().iter().enumerate() {
        let is_known = matches!(eqn.prim, Prim::Broadcast(_))
            && eqn.inputs.iter().all(|atom| atom.var().is_none());
        let avals: Vec<_> = eqn.outputs.iter().map(|&var| program.var_aval(var).clone()).collect();
        if !is_known {
            all.push(rebuilt(program, &mut |b, j| {
                (j == i).then(|| avals.iter().map(|aval| b.full(1.0, aval)).collect())
            }));
        }
        for prim in simpler_bodies(&eqn.prim) {
            let inputs = eqn.inputs.clone();
            let mut b = Builder::new();
            let given = b.inputs(&program.input_avals());
            let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
            for (var, &atom) in program.inputs().iter().zip(&given) {
                env[var.index()] = Some(atom);
            }
            for (j, other) in program.eqns().iter().enumerate() {
                let (prim, inputs) =
                    if i == j { (&prim, &inputs) } else { (&other.prim, &other.inputs) };
                let inputs: Vec<Atom> = inputs.iter().map(|&atom| read(&env, atom)).collect();
                for (var, atom) in other.outputs.iter().zip(b.bind(prim.clone(), &inputs)) {
                    env[var.index()] = Some(atom);
                }
            }
            let outputs = program.outputs().iter().map(|&atom| read(&env, atom)).collect();
            all.push(b.finish(outputs));
        }
    }
    all
}

fn rebuilt(program: &Program, replace: &mut Replace<'_>) -> Program {
    let mut b = Builder::new();
    let given = b.inputs(&program.input_avals());
    let env = inlined(&mut b, program, &given, replace);
    let outputs = program.outputs().iter().map(|&atom| read(&env, atom)).collect();
    b.finish(outputs)
}

fn simpler_bodies(prim: &Prim) -> Vec<Prim> {
    let each = |body: &Program| simpler(body).into_iter().map(|body| Arc::new(prune(&body)));
    match prim {
        Prim::Scan(scan) => {
            each(&scan.body).map(|body| Scan { body, ..scan.clone() }.into()).collect()
        }
        Prim::While(it) => each(&it.body).map(|body| While { body, ..it.clone() }.into()).collect(),
        Prim::Call(Call { body, .. }) => {
            each(body).map(|body| Call { kind: CallKind::Remat, body }.into()).collect()
        }
        Prim::Cond(cond) => {
            let with = |i: usize| {
                each(&cond.branches[i]).map(move |branch| {
                    let mut branches = cond.branches.clone();
                    branches[i] = branch;
                    Cond { branches }.into()
                })
            };
            (0..cond.branches.len()).flat_map(with).collect()
        }
        _ => vec![],
    }
}

/// The failing program as a file of the corpus, which says what the interpreter computes.
pub(crate) fn as_file(failing: &Failing, about: &str) -> String {
    let mut text = String::new();
    for line in about.lines() {
        let _ = writeln!(text, "# {line}");
    }
    let list = |buffers: &[Buffer]| buffers.iter().map(written).collect::<Vec<_>>().join(", ");
    let outputs = std::panic::catch_unwind(|| eval(&failing.program, &failing.inputs));
    let outputs = outputs.map_or_else(|_| "it panics".to_owned(), |outputs| list(&outputs));
    let _ = writeln!(text, "# run: {} -> {outputs}", list(&failing.inputs));
    let _ = writeln!(text, "{}", failing.program);
    text
}

/// An array as nested lists.
fn written(x: &Buffer) -> String {
    if x.shape().rank() == 0 {
        return x.first().to_string();
    }
    let rows: Vec<String> = (0..x.shape()[0]).map(|i| written(&x.row(i))).collect();
    format!("[{}]", rows.join(", "))
}
