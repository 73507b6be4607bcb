//! Program to code: which equations become one kernel, in which order kernels run, and where each
//! value lives. The language of the code is `rondeau_machine`'s.
//!
//! The way through: `lower` groups equations into kernels and writes each; `setup` takes out what
//! calls need not repeat; `chunk` divides loops over time so that what they leave stays in the
//! caches; `split` divides what is worth it between threads, with the help of `cut`; `memory` lays
//! temporaries out in one arena.

mod chunk;
mod cut;
mod lower;
mod memory;
mod setup;
mod split;

use std::sync::Arc;

use rondeau_machine::code::{Code, Place, View};

pub use chunk::Sizes;

use crate::buffer::DType;
use crate::ir::{Aval, Program};
use lower::{Lowerer, Target};

/// A program as code, and what a call of it needs to know.
#[derive(Debug)]
pub struct Compiled {
    /// What runs.
    pub code: Code,
    /// The types of the inputs.
    pub inputs: Vec<Aval>,
    /// The types of the outputs.
    pub outputs: Vec<Aval>,
    /// What the taps of the code show, by their number.
    pub taps: Vec<TapPart>,
    /// What was made of the program, one line for each kernel.
    pub notes: Vec<String>,
}

/// One value that a `debug_print` shows.
#[derive(Clone, Debug)]
pub struct TapPart {
    /// The user's label.
    pub label: Arc<str>,
    /// Which of the values.
    pub part: usize,
    /// How many values are shown together.
    pub n_parts: usize,
    /// The value's type.
    pub aval: Option<Aval>,
}

/// Lowers an optimized program, for calls that run on up to `n_threads` threads. The number changes
/// who computes a value, never its bits.
pub fn compile(program: &Program, n_threads: usize) -> Compiled {
    compile_with(program, n_threads, Sizes::DEFAULT)
}

/// As [`compile`], with other sizes of the chunks of long loops.
pub fn compile_with(program: &Program, n_threads: usize, sizes: Sizes) -> Compiled {
    let (inputs, outputs) = (program.input_avals(), program.output_avals());
    let mut lowerer = Lowerer::new();
    let values: Vec<View> = inputs
        .iter()
        .enumerate()
        .map(|(i, aval)| lowerer.memory.external(Place::Input(i), aval))
        .collect();
    let targets: Vec<Target> = outputs
        .iter()
        .enumerate()
        .map(|(i, aval)| vec![lowerer.memory.external(Place::Output(i), aval)])
        .collect();
    let body = lowerer.top(program, values, targets);
    let Lowerer { mut memory, taps, mut notes, .. } = lowerer;
    let (mut setup, body) = setup::split(body, &mut memory);
    let body = chunk::chunk(body, &mut memory, sizes, &mut notes);
    let body = split::split(body, &mut memory, n_threads, &mut notes);
    // Weights that are packed for threads.
    let (packed, body) = setup::split(body, &mut memory);
    setup.extend(packed);
    let buffers = memory.finish();
    Compiled { code: Code { buffers, setup, body }, inputs, outputs, taps, notes }
}

/// The machine's name for an element type.
fn machine_dtype(dtype: DType) -> rondeau_machine::code::DType {
    use rondeau_machine::code::DType as Machine;
    match dtype {
        DType::F32 => Machine::F32,
        DType::F64 => Machine::F64,
        DType::I32 => Machine::I32,
        DType::U32 => Machine::U32,
        DType::Bool => Machine::Bool,
    }
}
