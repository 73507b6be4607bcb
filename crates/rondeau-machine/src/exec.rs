//! Running a [`Code`]: checked once, called many times.

use crate::Arena;
use crate::check::{CheckError, Needs};
use crate::code::{BLOCK_BYTES, Code, Place};
use crate::cpu::{self, Level};
use crate::dag::DType;
use crate::vm::{self, Part};
#[cfg(all(target_arch = "x86_64", unix))]
use crate::x64::Native;
use std::cell::Cell;
use std::fmt;
use std::ptr;

/// Who runs a code. All give the same bits, except for the payload of NaNs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Executor {
    /// Machine code where the processor and the system have it, else the tile machine.
    #[default]
    Best,
    /// Machine code as if the processor had no more than this, else the tile machine.
    NativeAt(Level),
    /// The tile machine, with the best instructions of the processor.
    Vm,
    /// The tile machine as if the processor had no more than this.
    VmAt(Level),
}

/// The value of the environment variable `RONDEAU_EXECUTOR`, which names who runs programs.
pub fn requested_executor() -> Option<String> {
    std::env::var("RONDEAU_EXECUTOR").ok()
}

/// A code that has passed its check, with the executor that runs it.
pub struct Executable {
    needs: Needs,
    places: Vec<Source>,
    plan: vm::Plan,
    /// The constants of buffers, and the pool of the plan after them.
    constants: Arena,
    pool: usize,
    level: Level,
    layout: Layout,
    setup_inputs: Vec<usize>,
    /// Machine code of the setup and of the body.
    native: [Option<Native>; 2],
}

/// Where the address of a buffer comes from in a call.
#[derive(Clone, Copy)]
enum Source {
    Input(usize),
    Output(usize),
    Arena(usize),
    Constant(usize),
}

/// How a call divides its arena: buffers, then these.
#[derive(Clone, Copy)]
struct Layout {
    scratch: usize,
    bases: usize,
    steps: usize,
    lanes: vm::Lanes,
    bytes: usize,
}

/// A value shown by a [`crate::code::Tap`].
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'a> {
    /// Which tap.
    pub id: u64,
    /// The type of the elements.
    pub dtype: DType,
    /// The shape.
    pub dims: &'a [usize],
    /// The elements, row-major.
    pub bytes: &'a [u8],
}

/// What a call may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Another number of inputs or outputs than the code has.
    Count {
        /// `input` or `output`.
        what: &'static str,
        /// How many there are to be.
        needed: usize,
        /// How many there were.
        given: usize,
    },
    /// An input or output of another length than the code declares.
    Bytes {
        /// `input` or `output`.
        what: &'static str,
        /// Its number.
        index: usize,
        /// How long it is to be.
        needed: usize,
        /// How long it was.
        given: usize,
    },
    /// An input or output that is not aligned for its elements.
    Alignment {
        /// `input` or `output`.
        what: &'static str,
        /// Its number.
        index: usize,
        /// The bytes that its address is to be a multiple of.
        needed: usize,
    },
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Count { what, needed, given } => {
                write!(f, "the code has {needed} {what}s, the call {given}")
            }
            CallError::Bytes { what, index, needed, given } => {
                write!(f, "{what} {index} has {given} bytes, the code needs {needed}")
            }
            CallError::Alignment { what, index, needed } => {
                write!(f, "{what} {index} is not aligned to {needed} bytes")
            }
        }
    }
}

impl std::error::Error for CallError {}

impl Executable {
    /// Checks `code` and prepares it for `executor`.
    ///
    /// # Errors
    /// [`CheckError`] if the code could access what it does not own, or makes no sense.
    pub fn new(code: &Code, executor: Executor) -> Result<Executable, CheckError> {
        let needs = code.check()?;
        let plan = vm::Plan::new(code);
        let (places, constants, pool) = place(code, &plan);
        let level = match executor {
            Executor::Best | Executor::Vm => cpu::level(),
            Executor::NativeAt(level) | Executor::VmAt(level) => level.min(cpu::level()),
        };
        let native = [Part::Setup, Part::Body].map(|part| match executor {
            Executor::Best | Executor::NativeAt(_) => Native::new(code, &plan, part, level),
            Executor::Vm | Executor::VmAt(_) => None,
        });
        let layout = Layout::new(&needs, &plan, places.len());
        let setup_inputs = setup_inputs(code);
        Ok(Executable { needs, places, plan, constants, pool, level, layout, setup_inputs, native })
    }

    /// Returns what the code needs of a call.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Returns the bytes of arena that a call uses; [`Executable::run`] grows a smaller one.
    pub fn arena_bytes(&self) -> usize {
        self.layout.bytes
    }

    /// Returns which executor runs the code, and what machine code leaves to the tile machine and why.
    pub fn explain(&self) -> String {
        match &self.native[Part::Body as usize] {
            Some(native) => native.explain(),
            None => format!("tile machine, {:?}", self.level),
        }
    }

    /// Returns the inputs that the setup reads, in ascending order.
    pub fn setup_inputs(&self) -> &[usize] {
        &self.setup_inputs
    }

    /// Runs the code.
    ///
    /// `taps` is called for each [`crate::code::Tap`]. Memory is allocated only where the arena is too small.
    ///
    /// # Errors
    /// [`CallError`] if the inputs or outputs are not what the code declares; then nothing has run.
    pub fn run(
        &self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        arena: &mut Arena,
        taps: &dyn Fn(Tapped<'_>),
    ) -> Result<(), CallError> {
        self.call(inputs, outputs, arena, taps, &[Part::Setup, Part::Body])
    }

    /// Runs the body of the code, on an arena that its last [`Executable::run`] has left, and with the same values
    /// in the [`Executable::setup_inputs`]; with others the outputs hold no sensible numbers.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn run_again(
        &self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        arena: &mut Arena,
        taps: &dyn Fn(Tapped<'_>),
    ) -> Result<(), CallError> {
        self.call(inputs, outputs, arena, taps, &[Part::Body])
    }

    fn call(
        &self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        arena: &mut Arena,
        taps: &dyn Fn(Tapped<'_>),
        parts: &[Part],
    ) -> Result<(), CallError> {
        fits("input", &self.needs.inputs, inputs.iter().map(|i| (i.len(), i.as_ptr())))?;
        fits("output", &self.needs.outputs, outputs.iter().map(|o| (o.len(), o.as_ptr())))?;
        arena.reserve(self.layout.bytes);
        let start = arena.start();
        // SAFETY: the arena holds `layout.bytes`, in which all offsets lie, aligned for pointers.
        let bases = unsafe { start.add(self.layout.bases) as *mut *mut u8 };
        for (i, place) in self.places.iter().enumerate() {
            let base = match *place {
                Source::Input(i) => inputs[i].as_ptr() as *mut u8,
                Source::Output(i) => outputs[i].as_mut_ptr(),
                Source::Arena(offset) => start.wrapping_add(offset),
                Source::Constant(offset) => {
                    self.constants.address().wrapping_add(offset) as *mut u8
                }
            };
            // SAFETY: `bases` has room for all buffers.
            unsafe { *bases.add(i) = base };
        }
        let mut frame = vm::Frame {
            bases,
            steps: start.wrapping_add(self.layout.steps) as *mut usize,
            scratch: start.wrapping_add(self.layout.scratch),
            pool: self.constants.address().wrapping_add(self.pool),
            level: self.level,
            code: ptr::null(),
            lanes: self.layout.lanes,
            taps,
            panic: Cell::new(None),
        };
        for &part in parts {
            frame.code = self.native[part as usize].as_ref().map_or(ptr::null(), Native::start);
            // SAFETY: the code is checked; inputs and outputs have the declared lengths and alignments; the arena
            // has room for buffers, scratch and steps; inputs and constants are only read, by the check. The
            // machine code was emitted for this plan, whose steps have not moved: they are on the heap.
            unsafe {
                match &self.native[part as usize] {
                    Some(native) => native.run(&frame),
                    None => self.plan.run(part, &frame),
                }
            }
        }
        Ok(())
    }
}

fn setup_inputs(code: &Code) -> Vec<usize> {
    let mut inputs = vec![];
    for stmt in &code.setup {
        stmt.views(&mut |view, _| {
            if let Place::Input(i) = code.buffers[view.buffer.0 as usize].place {
                inputs.push(i);
            }
        });
    }
    inputs.sort_unstable();
    inputs.dedup();
    inputs
}

impl fmt::Debug for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executable").field("needs", &self.needs).finish_non_exhaustive()
    }
}

/// Lays the constants out in memory of their own.
fn place(code: &Code, plan: &vm::Plan) -> (Vec<Source>, Arena, usize) {
    let mut bytes = 0;
    let mut places = vec![];
    for buffer in &code.buffers {
        places.push(match &buffer.place {
            Place::Input(i) => Source::Input(*i),
            Place::Output(i) => Source::Output(*i),
            Place::Arena(offset) => Source::Arena(*offset),
            Place::Constant(data) => {
                let offset = bytes;
                bytes += data.len().next_multiple_of(BLOCK_BYTES);
                Source::Constant(offset)
            }
        });
    }
    let pool = bytes;
    let mut constants = Arena::new();
    constants.reserve(pool + plan.pool.len());
    let start = constants.start();
    let copy = |from: &[u8], offset: usize| {
        // SAFETY: the arena has been made to hold all constants and the pool.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), start.add(offset), from.len()) }
    };
    for (buffer, place) in code.buffers.iter().zip(&places) {
        if let (Place::Constant(data), Source::Constant(offset)) = (&buffer.place, place) {
            copy(data, *offset);
        }
    }
    copy(&plan.pool, pool);
    (places, constants, pool)
}

impl Layout {
    fn new(needs: &Needs, plan: &vm::Plan, n_buffers: usize) -> Layout {
        let scratch = needs.arena_bytes.next_multiple_of(BLOCK_BYTES);
        let lanes = vm::Lanes {
            // Kernels may write a block beyond the end of a product's sums.
            scratch: plan.scratch_bytes.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES,
            // A pair of cache lines, which no other thread writes to.
            steps: (needs.n_levels * size_of::<usize>()).next_multiple_of(2 * BLOCK_BYTES),
        };
        let bases = scratch + plan.n_lanes * lanes.scratch;
        let steps = bases + n_buffers * size_of::<*mut u8>();
        let steps = steps.next_multiple_of(2 * BLOCK_BYTES);
        let bytes = steps + plan.n_lanes * lanes.steps;
        Layout { scratch, bases, steps, lanes, bytes }
    }
}

fn fits(
    what: &'static str,
    needs: &[(usize, usize)],
    given: impl ExactSizeIterator<Item = (usize, *const u8)>,
) -> Result<(), CallError> {
    if given.len() != needs.len() {
        return Err(CallError::Count { what, needed: needs.len(), given: given.len() });
    }
    for (index, (&(bytes, alignment), (len, start))) in needs.iter().zip(given).enumerate() {
        // A number that no buffer names has no length.
        if bytes != usize::MAX && len != bytes {
            return Err(CallError::Bytes { what, index, needed: bytes, given: len });
        }
        if len > 0 && !(start as usize).is_multiple_of(alignment) {
            return Err(CallError::Alignment { what, index, needed: alignment });
        }
    }
    Ok(())
}

/// The types whose slices can be inputs and outputs.
pub trait Element: sealed::Plain {}
impl Element for f32 {}
impl Element for f64 {}
impl Element for i32 {}
impl Element for u32 {}
impl Element for u8 {}

mod sealed {
    /// Numbers without padding, of which every pattern of bits is one.
    pub trait Plain: Copy + 'static {}
    impl Plain for f32 {}
    impl Plain for f64 {}
    impl Plain for i32 {}
    impl Plain for u32 {}
    impl Plain for u8 {}
}

/// Returns the bytes of a slice of numbers.
pub fn as_bytes<T: Element>(data: &[T]) -> &[u8] {
    // SAFETY: elements have no padding, by `Plain`.
    unsafe { std::slice::from_raw_parts(data.as_ptr() as *const u8, size_of_val(data)) }
}

/// Returns the bytes of a slice of numbers, to be overwritten.
pub fn as_bytes_mut<T: Element>(data: &mut [T]) -> &mut [u8] {
    // SAFETY: elements have no padding and all patterns of bits are elements, by `Plain`.
    unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr() as *mut u8, size_of_val(data)) }
}

/// Machine code, where there is none.
#[cfg(not(all(target_arch = "x86_64", unix)))]
enum Native {}

#[cfg(not(all(target_arch = "x86_64", unix)))]
impl Native {
    fn new(_: &Code, _: &vm::Plan, _: Part, _: Level) -> Option<Native> {
        None
    }

    fn explain(&self) -> String {
        match *self {}
    }

    fn start(&self) -> *const u8 {
        match *self {}
    }

    /// # Safety
    /// There is no such value.
    unsafe fn run(&self, _: &vm::Frame<'_>) {
        match *self {}
    }
}
