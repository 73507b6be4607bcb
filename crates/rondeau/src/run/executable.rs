//! A compiled program: called as often as one likes, from as many threads as one likes.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};

use rondeau_machine::{Arena, Executor, Tapped, as_bytes, as_bytes_mut};

use super::Engine;
use crate::buffer::{Buffer, DType, Layout, Mark};
use crate::compile::{Compiled, Sizes, TapPart, compile_with};
use crate::ir::{Aval, Plan, Program};
use crate::optimize::optimize;
use crate::prim::show_tap;

/// How many inputs or outputs find place on the stack.
const FEW: usize = 32;

/// Calls `f` with `get` of `0..n`, on the stack if they are few.
pub(super) fn few<T: Copy, R>(
    n: usize,
    mut get: impl FnMut(usize) -> T,
    f: impl FnOnce(&[T]) -> R,
) -> R {
    if n == 0 {
        return f(&[]);
    }
    if n > FEW {
        return f(&(0..n).map(get).collect::<Vec<T>>());
    }
    let mut slots = [get(0); FEW];
    for (i, slot) in slots[..n].iter_mut().enumerate().skip(1) {
        *slot = get(i);
    }
    f(&slots[..n])
}

/// The same for memory to be written.
pub(super) fn few_mut<'a>(
    mut memory: impl ExactSizeIterator<Item = &'a mut [u8]>,
    f: impl FnOnce(&mut [&mut [u8]]),
) {
    let n = memory.len();
    if n > FEW {
        return f(&mut memory.collect::<Vec<_>>());
    }
    let mut slots: [&mut [u8]; FEW] = std::array::from_fn(|_| memory.next().unwrap_or_default());
    f(&mut slots[..n]);
}

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
pub(super) struct Machine {
    compiled: Compiled,
    executable: rondeau_machine::Executable,
    /// How each output lies.
    layouts: Vec<Arc<Layout>>,
    /// Whether no input or output needs translation: truth values do.
    plain: bool,
    idle: Mutex<Vec<Memory>>,
}

/// The working memory of a call.
#[derive(Default)]
pub(super) struct Memory {
    arena: Arena,
    /// The inputs that the setup has read, once it has run. If they come again, so do its results.
    seen: Vec<Mark>,
    /// By their positions, the inputs that lie otherwise than the code reads them; empty if all lie
    /// well.
    laid: Vec<Option<Laid>>,
}

/// The values of an input as the code reads them: densely, truth values as bytes. They outlive the
/// call, so that the next one need not lay out the same view again, or does it without new memory.
struct Laid {
    /// What was laid out; nothing for truth values that lie densely, which are translated for each
    /// call: their memory may be written to, which a mark would forbid.
    mark: Option<Mark>,
    strides: Vec<isize>,
    values: Values,
}

impl Laid {
    /// Makes the values those of the buffer; whether they were already, if its memory is the same.
    fn renew(&mut self, buffer: &Buffer) -> bool {
        let same_view = self.strides == buffer.strides();
        if same_view && self.mark.as_ref().is_some_and(|mark| mark.is_of(buffer)) {
            return true;
        }
        let stays = same_view && self.mark.is_none();
        let is_dense = buffer.dtype() == DType::Bool && buffer.dense::<bool>().is_some();
        self.mark = (!is_dense).then(|| buffer.mark());
        buffer.strides().clone_into(&mut self.strides);
        self.values.copy_from(buffer);
        stays && is_dense
    }
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

    fn bytes(&self) -> &[u8] {
        match self {
            Values::F32(values) => as_bytes(values),
            Values::F64(values) => as_bytes(values),
            Values::I32(values) => as_bytes(values),
            Values::U32(values) => as_bytes(values),
            Values::Bool(values) => values,
        }
    }

    /// Makes them those of a buffer of the same element type.
    fn copy_from(&mut self, buffer: &Buffer) {
        match self {
            Values::F32(values) => buffer.gather_into(values),
            Values::F64(values) => buffer.gather_into(values),
            Values::I32(values) => buffer.gather_into(values),
            Values::U32(values) => buffer.gather_into(values),
            Values::Bool(values) => {
                let truths = buffer.values::<bool>();
                values.clear();
                values.extend(truths.iter().map(|&x| u8::from(x)));
            }
        }
    }

    /// The memory of a buffer that nobody else sees and that has the type, or new memory.
    fn reuse(buffer: Option<Buffer>, aval: &Aval) -> Values {
        let fits = |buffer: &Buffer| buffer.dtype() == aval.dtype;
        let Some(buffer) = buffer.filter(fits) else { return Values::zeros(aval) };
        let n = aval.shape.count();
        let values = match aval.dtype {
            DType::F32 => buffer.into_values().map(Values::F32),
            DType::F64 => buffer.into_values().map(Values::F64),
            DType::I32 => buffer.into_values().map(Values::I32),
            DType::U32 => buffer.into_values().map(Values::U32),
            // They are bytes while code runs.
            DType::Bool => None,
        };
        values.filter(|values| values.len() == n).unwrap_or_else(|| Values::zeros(aval))
    }

    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::U32(values) => values.len(),
            Values::Bool(values) => values.len(),
        }
    }

    fn into_buffer(self, layout: &Arc<Layout>) -> Buffer {
        match self {
            Values::F32(values) => Buffer::with_layout(layout, values),
            Values::F64(values) => Buffer::with_layout(layout, values),
            Values::I32(values) => Buffer::with_layout(layout, values),
            Values::U32(values) => Buffer::with_layout(layout, values),
            Values::Bool(values) => {
                Buffer::with_layout(layout, values.iter().map(|&x| x != 0).collect())
            }
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
        Executable::with_sizes(program, engine, n_threads, Sizes::DEFAULT)
    }

    /// As [`with_threads`](Executable::with_threads), with other sizes of the chunks of long loops.
    /// Sums over the steps of a loop depend on them.
    pub fn with_sizes(
        program: &Program,
        engine: Engine,
        n_threads: usize,
        sizes: Sizes,
    ) -> Executable {
        let program = Arc::new(program.clone());
        let machine = |executor| {
            Runner::Machine(Box::new(Machine::new(&program, executor, n_threads, sizes)))
        };
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

    /// The compiled code, if nothing in it needs translation between calls: truth values do.
    pub(super) fn machine(&self) -> Option<&Machine> {
        match &self.runner {
            Runner::Machine(machine) if machine.plain => Some(machine),
            Runner::Machine(_) | Runner::Interpreter(_) => None,
        }
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
            Runner::Machine(machine) => machine.call(inputs, std::iter::empty()),
        }
    }

    /// As [`call`](Executable::call), with buffers whose memory the outputs may take over, one for
    /// each: it is used where nobody else sees it and the type fits.
    pub fn call_into(&self, inputs: &[&Buffer], used: Vec<Buffer>) -> Vec<Buffer> {
        match &self.runner {
            Runner::Interpreter(_) => self.call(inputs),
            Runner::Machine(machine) => machine.call(inputs, used.into_iter()),
        }
    }
}

impl Machine {
    fn new(program: &Program, executor: Executor, n_threads: usize, sizes: Sizes) -> Machine {
        let compiled = compile_with(program, n_threads, sizes);
        let executable = rondeau_machine::Executable::new(&compiled.code, executor)
            .unwrap_or_else(|error| panic!("internal: the code is refused: {error}\n{program}"));
        let layout = |aval: &Aval| Layout::dense(aval.shape.clone());
        let layouts = compiled.outputs.iter().map(layout).collect();
        let mut avals = compiled.inputs.iter().chain(&compiled.outputs);
        let plain = avals.all(|aval| aval.dtype != DType::Bool);
        Machine { compiled, executable, layouts, plain, idle: Mutex::new(vec![]) }
    }

    /// The type of each output, and how it lies.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (&Aval, &Arc<Layout>)> {
        self.compiled.outputs.iter().zip(&self.layouts)
    }

    /// Calls with memory for the outputs that is used where it fits and nobody else sees it.
    fn call(&self, inputs: &[&Buffer], mut used: impl Iterator<Item = Buffer>) -> Vec<Buffer> {
        let mut memory = self.lock().pop().unwrap_or_default();
        let avals = &self.compiled.outputs;
        let mut outputs: Vec<Values> =
            avals.iter().map(|aval| Values::reuse(used.next(), aval)).collect();
        let places = outputs.iter_mut().map(Values::bytes_mut);
        few_mut(places, |places| self.run(inputs, places, &mut memory));
        self.lock().push(memory);
        let both = outputs.into_iter().zip(&self.layouts);
        both.map(|(values, layout)| values.into_buffer(layout)).collect()
    }

    /// Runs the code on given memory.
    pub(super) fn run(&self, inputs: &[&Buffer], outputs: &mut [&mut [u8]], memory: &mut Memory) {
        let lie_well = Cell::new(true);
        let get = |i: usize| {
            let bytes = dense_bytes(inputs[i]);
            lie_well.set(lie_well.get() && bytes.is_some());
            bytes.unwrap_or_default()
        };
        few(inputs.len(), get, |bytes| {
            if !lie_well.get() {
                return self.run_laid_out(inputs, outputs, memory);
            }
            if !memory.laid.is_empty() {
                (memory.laid, memory.seen) = (vec![], vec![]);
            }
            self.run_dense(inputs, bytes, outputs, memory);
        });
    }

    /// The same where some inputs lie otherwise than the code reads them.
    fn run_laid_out(&self, inputs: &[&Buffer], outputs: &mut [&mut [u8]], memory: &mut Memory) {
        let mut laid = std::mem::take(&mut memory.laid);
        laid.resize_with(inputs.len(), || None);
        for (i, (slot, buffer)) in laid.iter_mut().zip(inputs).enumerate() {
            let stays = lay_out(slot, buffer);
            if !stays && self.executable.setup_inputs().contains(&i) {
                memory.seen.clear();
            }
        }
        let get = |i: usize| match &laid[i] {
            Some(laid) => laid.values.bytes(),
            None => dense_bytes(inputs[i]).unwrap_or_default(),
        };
        few(inputs.len(), get, |bytes| self.run_dense(inputs, bytes, outputs, memory));
        memory.laid = laid;
    }

    fn run_dense(
        &self,
        inputs: &[&Buffer],
        bytes: &[&[u8]],
        outputs: &mut [&mut [u8]],
        memory: &mut Memory,
    ) {
        let taps = Taps { parts: &self.compiled.taps, seen: RefCell::new(vec![]) };
        let show = |tapped: Tapped<'_>| taps.show(&tapped);
        let read = self.executable.setup_inputs();
        let is_seen = |(mark, &i): (&Mark, &usize)| mark.is_of(inputs[i]);
        let known = memory.arena.bytes() > 0
            && memory.seen.len() == read.len()
            && memory.seen.iter().zip(read).all(is_seen);
        let result = match known {
            true => self.executable.run_again(bytes, outputs, &mut memory.arena, &show),
            false => {
                memory.seen.clear();
                self.executable.run(bytes, outputs, &mut memory.arena, &show)
            }
        };
        result.unwrap_or_else(|error| panic!("internal: the call is refused: {error}"));
        if !known {
            memory.seen.extend(read.iter().map(|&i| inputs[i].mark()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of numbers that lie densely.
fn dense_bytes(buffer: &Buffer) -> Option<&[u8]> {
    match buffer.dtype() {
        DType::F32 => buffer.dense::<f32>().map(as_bytes),
        DType::F64 => buffer.dense::<f64>().map(as_bytes),
        DType::I32 => buffer.dense::<i32>().map(as_bytes),
        DType::U32 => buffer.dense::<u32>().map(as_bytes),
        DType::Bool => None,
    }
}

/// Lays an input out as the code reads it, if it lies otherwise. Whether that is what it was in the
/// last call, if the buffer's memory is the same.
fn lay_out(slot: &mut Option<Laid>, buffer: &Buffer) -> bool {
    if dense_bytes(buffer).is_some() {
        return slot.take().is_none();
    }
    match slot {
        Some(laid) => laid.renew(buffer),
        None => {
            let values = Values::zeros(&Aval::of(buffer));
            let mut laid = Laid { mark: None, strides: vec![], values };
            laid.renew(buffer);
            *slot = Some(laid);
            false
        }
    }
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
    values.into_buffer(&Layout::dense(aval.shape.clone()))
}
