//! A traced step, ready to be written in another language: everything that its parameters alone
//! determine is a constant.

use crate::api::{Function, TracedFunction, trace_function};
use crate::buffer::{Buffer, Scalar};
use crate::error::Result;
use crate::ir::{Atom, Aval, Builder, Program};
use crate::optimize::optimize;
use crate::prim::Prim;
use crate::trace::{Array, avals, check_carry, check_sizes};
use crate::tree::{self, Tree};

/// What an equation may make of constants at most beyond their own size, in bytes: smaller results
/// become constants, larger ones (a number repeated a million times) are left to the target.
const MOST_GROWTH: usize = 4096;

/// A step `(parameters, carry, x) -> (carry, y)` whose parameters are known.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Its inputs are the carry, x and the constants; its outputs the carry and y.
    pub(super) program: Program,
    /// What goes from step to step, with its first value.
    pub(super) carry: Vec<(String, Buffer)>,
    /// The inputs.
    pub(super) x: Vec<String>,
    /// The outputs.
    pub(super) y: Vec<String>,
    /// What the parameters determine.
    pub(super) constants: Vec<(String, Buffer)>,
}

impl Step {
    pub(super) fn trace<P, C, X, Y, F>(step: &F, params: &P, carry: &C, x: &X) -> Result<Step>
    where
        P: Tree,
        C: Tree,
        X: Tree,
        Y: Tree,
        F: Function<(P, C, X), Output = (C, Y)>,
    {
        let args = (params.clone(), carry.clone(), x.clone());
        let inputs = avals(&args)?;
        let names = tree::leaves_with_paths(&args).into_iter();
        let names: Vec<String> = names
            .map(|(path, _)| path.split_once('.').map_or("", |(_, name)| name).into())
            .collect();
        let TracedFunction { closed, output: (carry_out, y) } =
            trace_function(step, &args, &inputs)?;
        check_carry("export", carry, &carry_out)?;
        check_sizes(&closed.program)?;

        let mut known = Vec::new();
        for (i, array) in closed.captured.iter().enumerate() {
            known.push((format!("captured{i}"), array.buffer()?.clone()));
        }
        let params = names.iter().zip(tree::leaves(params));
        for (name, leaf) in params {
            known.push((or(name, "params"), leaf.buffer()?.clone()));
        }
        let n_carry = tree::count(carry);
        let carried = tree::leaves_with_paths(carry);
        let carry = carried
            .into_iter()
            .map(|(path, leaf)| Ok((or(&path, "carry"), leaf.buffer()?.clone())));
        let paths = |t: Vec<(String, _)>, root: &str| -> Vec<String> {
            t.into_iter().map(|(path, _): (String, &Array)| name_of(root, &path)).collect()
        };
        let (program, constants) = settle(&optimize(&closed.program), known);
        debug_assert_eq!(program.inputs().len(), n_carry + tree::count(x) + constants.len());
        Ok(Step {
            program,
            carry: carry.collect::<Result<_>>()?,
            x: paths(tree::leaves_with_paths(x), "x"),
            y: paths(tree::leaves_with_paths(&y), "y"),
            constants,
        })
    }
}

fn or(path: &str, root: &str) -> String {
    if path.is_empty() { root.to_owned() } else { path.to_owned() }
}

fn name_of(root: &str, path: &str) -> String {
    if path.is_empty() { root.to_owned() } else { format!("{root}.{path}") }
}

/// What is known of a value while constants are found.
enum Known {
    Value(String, Buffer),
    Atom(Atom),
}

/// The program with its first inputs known: what they determine is computed now. The constants that
/// are left are its last inputs.
fn settle(program: &Program, known: Vec<(String, Buffer)>) -> (Program, Vec<(String, Buffer)>) {
    let mut b = Builder::new();
    let mut env: Vec<Option<Known>> = (0..program.n_vars()).map(|_| None).collect();
    let (fixed, rest) = program.inputs().split_at(known.len());
    for &var in rest {
        env[var.index()] = Some(Known::Atom(b.input(program.var_aval(var).clone())));
    }
    for (&var, (name, value)) in fixed.iter().zip(known) {
        env[var.index()] = Some(Known::Value(name, value));
    }
    let mut constants = Vec::new();
    for eqn in program.eqns() {
        let bytes = |avals: Vec<Aval>| avals.iter().map(Aval::bytes).sum::<usize>();
        let values: Option<Vec<Buffer>> =
            eqn.inputs.iter().map(|&atom| value(&env, atom)).collect();
        let avals_in = eqn.inputs.iter().map(|&atom| program.aval(atom)).collect();
        let avals_out = eqn.outputs.iter().map(|&var| program.var_aval(var).clone()).collect();
        let small = bytes(avals_out) <= bytes(avals_in) + MOST_GROWTH;
        if let Some(values) = values.filter(|_| small && !eqn.prim.has_effects()) {
            let results = eqn.prim.eval(&values);
            for (&var, result) in eqn.outputs.iter().zip(results) {
                let name = eqn.inputs.iter().find_map(|&atom| match env[atom.var()?.index()] {
                    Some(Known::Value(ref name, _)) => Some(name.clone()),
                    _ => None,
                });
                let name = name.unwrap_or_else(|| eqn.prim.name().to_owned());
                env[var.index()] = Some(Known::Value(name, result));
            }
            continue;
        }
        let elementwise = matches!(eqn.prim, Prim::Binary(_) | Prim::Select(_));
        let shape = eqn.outputs.first().map(|&var| program.var_aval(var).shape.clone());
        // One number for all indices is written as that number, if another input has the shape.
        let shaped = |atom: Atom| {
            Some(&program.aval(atom).shape) == shape.as_ref() && value(&env, atom).is_none()
        };
        let one_will_do = elementwise && eqn.inputs.iter().any(|&atom| shaped(atom));
        let atoms: Vec<Atom> = (eqn.inputs.iter())
            .map(|&atom| lift(&mut b, &mut env, &mut constants, atom, one_will_do))
            .collect();
        let results = b.bind(eqn.prim.clone(), &atoms);
        for (&var, atom) in eqn.outputs.iter().zip(results) {
            env[var.index()] = Some(Known::Atom(atom));
        }
    }
    let outputs = program.outputs().iter();
    let outputs: Vec<Atom> =
        outputs.map(|&atom| lift(&mut b, &mut env, &mut constants, atom, false)).collect();
    (b.finish_ordered(outputs), constants)
}

fn value(env: &[Option<Known>], atom: Atom) -> Option<Buffer> {
    match atom {
        Atom::Lit(value) => Some(Buffer::scalar(value)),
        Atom::Var(var) => match &env[var.index()] {
            Some(Known::Value(_, value)) => Some(value.clone()),
            _ => None,
        },
    }
}

/// The value as an atom of the new program: a number, or an input for a constant.
fn lift(
    b: &mut Builder,
    env: &mut [Option<Known>],
    constants: &mut Vec<(String, Buffer)>,
    atom: Atom,
    one_will_do: bool,
) -> Atom {
    let Atom::Var(var) = atom else { return atom };
    let slot = env[var.index()].as_mut().expect("internal: it is bound before it is read");
    match slot {
        Known::Atom(atom) => *atom,
        Known::Value(_, value) if value.shape().rank() == 0 => Atom::Lit(value.first()),
        Known::Value(name, value) => {
            let one: Option<Scalar> = value.uniform();
            if let Some(one) = one.filter(|_| one_will_do) {
                return Atom::Lit(one);
            }
            let atom = b.input(Aval::of(value));
            constants.push((name.clone(), value.clone()));
            *slot = Known::Atom(atom);
            atom
        }
    }
}
