//! Running programs by the book: each equation in turn, by its primitive's own `eval`. This is
//! what a program means, and what every engine is compared with.

use std::sync::Arc;

use super::{Atom, Aval, Program, Var};
use crate::buffer::Buffer;

/// The outputs of a program.
///
/// Inputs must be of the program's input types. To run one program many times, make a [`Plan`].
pub fn eval(program: &Program, inputs: &[Buffer]) -> Vec<Buffer> {
    Schedule::new(program).run(program, inputs)
}

/// A program with the schedule of its run, made once for many runs.
#[derive(Clone, Debug)]
pub struct Plan {
    program: Arc<Program>,
    schedule: Schedule,
}

impl Plan {
    /// Plans the runs of a program.
    pub fn new(program: Arc<Program>) -> Plan {
        let schedule = Schedule::new(&program);
        Plan { program, schedule }
    }

    /// The program that it runs.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The program's outputs. Inputs must be of its input types.
    pub fn run(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        self.schedule.run(&self.program, inputs)
    }
}

/// Where an equation finds one of its inputs.
#[derive(Clone, Debug)]
enum Read {
    /// In a variable that is read again later.
    Share(Var),
    /// In a variable that dies here.
    Take(Var),
    /// In the program itself.
    Literal(Buffer),
}

/// How each value is read, so that a value lives from its equation to its last reader only.
#[derive(Clone, Debug)]
struct Schedule {
    eqns: Vec<Vec<Read>>,
    outputs: Vec<Read>,
    /// For each variable, whether anything reads it.
    is_read: Vec<bool>,
}

impl Schedule {
    fn new(program: &Program) -> Schedule {
        let mut is_read = vec![false; program.n_vars()];
        // Readers are visited from the last to the first, so the first visit is the last use.
        let mut reads = |atoms: &[Atom]| {
            let mut reads: Vec<Read> = atoms
                .iter()
                .rev()
                .map(|&atom| match atom {
                    Atom::Lit(value) => Read::Literal(Buffer::scalar(value)),
                    Atom::Var(var) if is_read[var.index()] => Read::Share(var),
                    Atom::Var(var) => {
                        is_read[var.index()] = true;
                        Read::Take(var)
                    }
                })
                .collect();
            reads.reverse();
            reads
        };
        let outputs = reads(&program.outputs);
        let mut eqns: Vec<_> = program.eqns.iter().rev().map(|eqn| reads(&eqn.inputs)).collect();
        eqns.reverse();
        Schedule { eqns, outputs, is_read }
    }

    fn run(&self, program: &Program, inputs: &[Buffer]) -> Vec<Buffer> {
        debug_assert!(
            fit(program, &program.inputs, inputs),
            "internal: inputs {:?} given to\n{program}",
            inputs.iter().map(Aval::of).collect::<Vec<_>>()
        );
        let mut env: Vec<Option<Buffer>> = vec![None; program.n_vars()];
        for (&var, value) in program.inputs.iter().zip(inputs) {
            if self.is_read[var.index()] {
                env[var.index()] = Some(value.clone());
            }
        }
        let mut operands = Vec::new();
        for (i, (eqn, reads)) in program.eqns.iter().zip(&self.eqns).enumerate() {
            operands.clear();
            operands.extend(reads.iter().map(|read| read.from(&mut env)));
            let results = eqn.prim.eval(&operands);
            debug_assert!(
                fit(program, &eqn.outputs, &results),
                "internal: `{}` gives {:?}\n{}",
                eqn.prim.name(),
                results.iter().map(Aval::of).collect::<Vec<_>>(),
                program.excerpt(i)
            );
            for (&var, value) in eqn.outputs.iter().zip(results) {
                if self.is_read[var.index()] {
                    env[var.index()] = Some(value);
                }
            }
        }
        self.outputs.iter().map(|read| read.from(&mut env)).collect()
    }
}

/// Whether there is a value of its type for each variable.
fn fit(program: &Program, vars: &[Var], values: &[Buffer]) -> bool {
    let fits = |(&var, value): (&Var, &Buffer)| {
        let aval = program.var_aval(var);
        aval.dtype == value.dtype() && aval.shape == *value.shape()
    };
    vars.len() == values.len() && vars.iter().zip(values).all(fits)
}

impl Read {
    fn from(&self, env: &mut [Option<Buffer>]) -> Buffer {
        let value = match self {
            Read::Share(var) => env[var.index()].clone(),
            Read::Take(var) => env[var.index()].take(),
            Read::Literal(value) => Some(value.clone()),
        };
        value.unwrap_or_else(|| panic!("internal: {self:?} is read before it is bound"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{DType, Scalar};
    use crate::ir::Builder;

    #[test]
    fn values_are_read_as_often_as_asked() {
        let mut b = Builder::new();
        let x = b.input(Aval::new(DType::F32, [2]));
        let unused = b.input(Aval::new(DType::I32, [1]));
        let y = b.mul(x, x);
        let one = b.lit(1.0, x);
        let z = b.add(y, one);
        b.sub(z, y);
        let plan = Plan::new(Arc::new(b.finish(vec![z, x, z, unused, one])));
        let inputs = [Buffer::new([2], vec![2f32, 3.0]), Buffer::new([1], vec![7])];
        for _ in 0..2 {
            let outputs = plan.run(&inputs);
            assert!(outputs[0].same(&Buffer::new([2], vec![5f32, 10.0])));
            assert!(outputs[1].same(&inputs[0]));
            assert!(outputs[2].same(&outputs[0]));
            assert!(outputs[3].same(&inputs[1]));
            assert!(outputs[4].same(&Buffer::scalar(Scalar::F32(1.0))));
        }
    }

    #[test]
    fn a_value_dies_with_its_last_reader() {
        let mut b = Builder::new();
        let x = b.input(Aval::new(DType::F32, [2]));
        let y = b.mul(x, x);
        b.neg(y);
        let schedule = Schedule::new(&b.finish(vec![y]));
        assert!(matches!(schedule.eqns[0][..], [Read::Share(Var(0)), Read::Take(Var(0))]));
        assert!(matches!(schedule.eqns[1][..], [Read::Share(Var(1))]));
        assert!(matches!(schedule.outputs[..], [Read::Take(Var(1))]));
        assert_eq!(schedule.is_read, [true, true, false]);
    }
}
