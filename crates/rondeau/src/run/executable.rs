//! A compiled program: called as often as one likes, from as many threads as one likes.

use std::sync::{Arc, Mutex, PoisonError};

use rondeau_machine::{Arena, Executor, Tapped, as_bytes, as_bytes_mut};

use crate::buffer::{Buffer, DType};
use crate::compile::{Compiled, compile};
use crate::ir::{Aval, Program};
use crate::optimize::optimize;

/// A compiled program: call it as often as you like, from as many threads as you like.
pub struct Executable {
    program: Arc<Program>,
    compiled: Compiled,
    machine: rondeau_machine::Executable,
    /// Working memory of calls that have ended.
    arenas: Mutex<Vec<Arena>>,
}

impl std::fmt::Debug for Executable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executable").field("program", &self.program).finish_non_exhaustive()
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
    /// Optimizes and compiles a program for the best executor of this machine.
    pub fn compile(program: &Program) -> Executable {
        Executable::with(&optimize(program), Executor::Best)
    }

    /// Compiles a program as it is.
    pub fn with(program: &Program, executor: Executor) -> Executable {
        let compiled = compile(program);
        let machine = rondeau_machine::Executable::new(&compiled.code, executor)
            .unwrap_or_else(|error| panic!("internal: the code is refused: {error}\n{program}"));
        Executable {
            program: Arc::new(program.clone()),
            compiled,
            machine,
            arenas: Mutex::new(vec![]),
        }
    }

    /// The program after optimization.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What was made of the program, one line for each kernel.
    pub fn notes(&self) -> &[String] {
        &self.compiled.notes
    }

    /// The code that runs.
    pub fn code(&self) -> &rondeau_machine::code::Code {
        &self.compiled.code
    }

    /// Bytes of working memory of a call.
    pub fn arena_bytes(&self) -> usize {
        self.machine.arena_bytes()
    }

    /// The outputs for inputs of the program's types.
    pub fn call(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let dense: Vec<Buffer> = inputs.iter().map(Buffer::to_dense).collect();
        let truths: Vec<Vec<u8>> = dense
            .iter()
            .filter(|buffer| buffer.dtype() == DType::Bool)
            .map(|buffer| buffer.values::<bool>().iter().map(|&x| u8::from(x)).collect())
            .collect();
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
        let result = self.machine.run(&bytes, &mut places, &mut arena, &|tapped| self.show(tapped));
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

    fn show(&self, _tapped: Tapped<'_>) {}
}
