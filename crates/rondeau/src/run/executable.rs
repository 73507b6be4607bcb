//! A compiled program: called as often as one likes, from as many threads as one likes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use rondeau_machine::{Arena, Executor, Tapped, as_bytes, as_bytes_mut};

use super::Engine;
use crate::buffer::{Buffer, DType, dispatch};
use crate::compile::{Compiled, TapPart, compile};
use crate::ir::{Aval, Plan, Program};
use crate::optimize::optimize;
use crate::prim::show_tap;

/// A program that is ready to run: call it as often as you like, from as many threads as you like.
#[derive(Debug)]
pub struct Executable {
    program: Arc<Program>,
    engine: Engine,
    runner: Runner,
}

#[derive(Debug)]
enum Runner {
    Interpreter(Plan),
    Machine(Box<Machine>),
}

/// Compiled code, and the working memory of calls that have ended.
struct Machine {
    compiled: Compiled,
    executable: rondeau_machine::Executable,
    arenas: Mutex<Vec<Arena>>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("notes", &self.compiled.notes).finish_non_exhaustive()
    }
}

/// The values of an output, by element type.
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    Bool(Vec<u8>),
}

impl Values {
    fn zeros(aval: &Aval) -> Values {
        let n = aval.shape.count();
        match aval.dtype {
            DType::F32 => Values::F32(vec![0.0; n]),
            DType::F64 => Values::F64(vec![0.0; n]),
            DType::I32 => Values::I32(vec![0; n]),
            DType::U32 => Values::U32(vec![0; n]),
            DType::Bool => Values::Bool(vec![0; n]),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Values::F32(values) => as_bytes_mut(values),
            Values::F64(values) => as_bytes_mut(values),
            Values::I32(values) => as_bytes_mut(values),
            Values::U32(values) => as_bytes_mut(values),
            Values::Bool(values) => as_bytes_mut(values),
        }
    }

    fn into_buffer(self, aval: &Aval) -> Buffer {
        let shape = aval.shape.clone();
        match self {
            Values::F32(values) => Buffer::new(shape, values),
            Values::F64(values) => Buffer::new(shape, values),
            Values::I32(values) => Buffer::new(shape, values),
            Values::U32(values) => Buffer::new(shape, values),
            Values::Bool(values) => Buffer::new(shape, values.iter().map(|&x| x != 0).collect()),
        }
    }
}

impl Executable {
    /// Optimizes a program and makes it ready for an engine; calls run on up to `n_threads`
    /// threads, see [`Executable::with_threads`].
    pub fn compile(program: &Program, engine: Engine, n_threads: usize) -> Executable {
        Executable::with_threads(&optimize(program), engine, n_threads)
    }

    /// Makes a program ready as it is; calls run on the thread that makes them.
    pub fn with(program: &Program, engine: Engine) -> Executable {
        Executable::with_threads(program, engine, 1)
    }

    /// Makes a program ready as it is. Calls divide what is worth it between up to `n_threads`
    /// threads, at most [`MAX_THREADS`](super::MAX_THREADS); the results have the same bits for
    /// any number. The interpreter has one.
    pub fn with_threads(program: &Program, engine: Engine, n_threads: usize) -> Executable {
        let program = Arc::new(program.clone());
        let machine =
            |executor| Runner::Machine(Box::new(Machine::new(&program, executor, n_threads)));
        let runner = match engine {
            Engine::Interpreter => Runner::Interpreter(Plan::new(program.clone())),
            Engine::Vm => machine(Executor::Vm),
            Engine::Native => machine(Executor::Best),
        };
        Executable { program, engine, runner }
    }

    /// The program that runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Who runs it.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// What was made of the program, one line for each kernel; nothing if it is interpreted.
    pub fn notes(&self) -> &[String] {
        match &self.runner {
            Runner::Interpreter(_) => &[],
            Runner::Machine(machine) => &machine.compiled.notes,
        }
    }

    /// What runs as machine code, and what does not and why.
    pub fn explain(&self) -> String {
        match &self.runner {
            Runner::Interpreter(_) => "interpreter".to_owned(),
            Runner::Machine(machine) => machine.executable.explain(),
        }
    }

    /// Bytes of working memory of a call; 0 if it is interpreted.
    pub fn arena_bytes(&self) -> usize {
        match &self.runner {
            Runner::Interpreter(_) => 0,
            Runner::Machine(machine) => machine.executable.arena_bytes(),
        }
    }

    /// The outputs for inputs of the program's types.
    pub fn call(&self, inputs: &[&Buffer]) -> Vec<Buffer> {
        match &self.runner {
            Runner::Interpreter(plan) => {
                let inputs: Vec<Buffer> = inputs.iter().map(|&buffer| buffer.clone()).collect();
                plan.run(&inputs)
            }
            Runner::Machine(machine) => machine.call(inputs),
        }
    }
}

impl Machine {
    fn new(program: &Program, executor: Executor, n_threads: usize) -> Machine {
        let compiled = compile(program, n_threads);
        let executable = rondeau_machine::Executable::new(&compiled.code, executor)
            .unwrap_or_else(|error| panic!("internal: the code is refused: {error}\n{program}"));
        Machine { compiled, executable, arenas: Mutex::new(vec![]) }
    }

    fn call(&self, inputs: &[&Buffer]) -> Vec<Buffer> {
        // Views are laid out densely, and truth values as bytes; most inputs need neither.
        let dense: Vec<Cow<'_, Buffer>> = inputs.iter().map(|&buffer| densely(buffer)).collect();
        let truths: Vec<Vec<u8>> = dense.iter().filter_map(|buffer| truths(buffer)).collect();
        let mut truths = truths.iter();
        let bytes: Vec<&[u8]> = dense
            .iter()
            .map(|buffer| {
                let dense = "internal: it is dense";
                match buffer.dtype() {
                    DType::F32 => as_bytes(buffer.dense::<f32>().expect(dense)),
                    DType::F64 => as_bytes(buffer.dense::<f64>().expect(dense)),
                    DType::I32 => as_bytes(buffer.dense::<i32>().expect(dense)),
                    DType::U32 => as_bytes(buffer.dense::<u32>().expect(dense)),
                    DType::Bool => truths.next().expect("internal: one for each"),
                }
            })
            .collect();
        let mut outputs: Vec<Values> = self.compiled.outputs.iter().map(Values::zeros).collect();
        let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(Values::bytes_mut).collect();
        let mut arena = self.lock().pop().unwrap_or_default();
        let taps = Taps { parts: &self.compiled.taps, seen: RefCell::new(vec![]) };
        let result =
            self.executable.run(&bytes, &mut places, &mut arena, &|tapped| taps.show(&tapped));
        result.unwrap_or_else(|error| panic!("internal: the call is refused: {error}"));
        self.lock().push(arena);
        outputs
            .into_iter()
            .zip(&self.compiled.outputs)
            .map(|(values, aval)| values.into_buffer(aval))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arena>> {
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn densely(buffer: &Buffer) -> Cow<'_, Buffer> {
    let is_dense = dispatch!(all buffer.dtype(), T => buffer.dense::<T>().is_some());
    if is_dense { Cow::Borrowed(buffer) } else { Cow::Owned(buffer.to_dense()) }
}

/// Truth values as bytes.
fn truths(buffer: &Buffer) -> Option<Vec<u8>> {
    let is_truth = buffer.dtype() == DType::Bool;
    is_truth.then(|| buffer.values::<bool>().iter().map(|&x| u8::from(x)).collect())
}

/// Collects what belongs to one `debug_print` and prints it together.
struct Taps<'a> {
    parts: &'a [TapPart],
    seen: RefCell<Vec<Buffer>>,
}

impl Taps<'_> {
    fn show(&self, tapped: &Tapped<'_>) {
        let part = &self.parts[tapped.id as usize];
        let mut seen = self.seen.borrow_mut();
        if let Some(aval) = &part.aval {
            seen.push(from_bytes(tapped.bytes, aval));
        }
        if part.part + 1 >= part.n_parts {
            show_tap(&part.label, &std::mem::take(&mut *seen));
        }
    }
}

fn from_bytes(bytes: &[u8], aval: &Aval) -> Buffer {
    let mut values = Values::zeros(aval);
    values.bytes_mut().copy_from_slice(bytes);
    values.into_buffer(aval)
}
