//! Tracing: runs a closure on variables and records what it does.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Array;
use super::array::Repr;
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::ir::{Atom, Aval, Builder, Program};

/// A variable of a program being traced.
#[derive(Clone)]
pub(crate) struct Tracer {
    trace: Arc<Trace>,
    atom: Atom,
    aval: Aval,
}

impl Tracer {
    pub(super) fn aval(&self) -> &Aval {
        &self.aval
    }
}

/// A program being traced. Traces nest; the innermost one of an operator's operands records it.
pub(super) struct Trace {
    depth: usize,
    /// `None` once the trace has ended.
    state: Mutex<Option<State>>,
}

struct State {
    builder: Builder,
    /// Arrays from outside that the closure used, and the inputs that stand for them.
    captured: Vec<(Array, Atom)>,
    known: HashMap<Identity, Atom>,
}

/// What makes two captured arrays one.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Value(usize, usize, Vec<usize>, Vec<isize>),
    Outer(usize, Atom),
}

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        // A panic while the lock was held leaves a program without its last equation.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A traced closure: its program, and what it captured, which are the program's first inputs.
#[derive(Clone)]
pub(crate) struct Closed {
    pub(crate) program: Arc<Program>,
    pub(crate) captured: Vec<Array>,
}

impl Closed {
    /// The program for inputs of which the first are what several closures captured, of the types
    /// `all`; its own begin at `offset`.
    pub(crate) fn taking_all(&self, all: &[Aval], offset: usize) -> Program {
        let n_own = self.captured.len();
        let mut b = Builder::new();
        let captured = b.inputs(all);
        let rest = b.inputs(&self.program.input_avals()[n_own..]);
        let own = &captured[offset..offset + n_own];
        let outputs = b.inline(&self.program, &[own, &rest].concat());
        b.finish(outputs)
    }
}

thread_local! {
    /// How many traces are under way in this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Leaves a level when it is dropped, also if the closure panics.
struct Level;

impl Level {
    fn enter() -> (Level, usize) {
        let depth = DEPTH.get() + 1;
        DEPTH.set(depth);
        (Level, depth)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Runs `f` on variables of the given types and names; the program of what it did.
///
/// # Errors
/// What `f` says, or the first mistake among the results.
pub(crate) fn trace(
    inputs: Vec<(Aval, String)>,
    f: impl FnOnce(Vec<Array>) -> Result<Vec<Array>>,
) -> Result<Closed> {
    let (_level, depth) = Level::enter();
    let mut builder = Builder::new();
    let n_inputs = inputs.len();
    let arguments: Vec<(Atom, Aval)> = inputs
        .into_iter()
        .map(|(aval, name)| (builder.named_input(aval.clone(), name), aval))
        .collect();
    let state = State { builder, captured: vec![], known: HashMap::new() };
    let trace = Arc::new(Trace { depth, state: Mutex::new(Some(state)) });
    let variable = |(atom, aval)| Array::traced(Tracer { trace: trace.clone(), atom, aval });
    let results = f(arguments.into_iter().map(variable).collect());

    let outputs: Result<Vec<Atom>> = {
        let mut guard = trace.lock();
        let state = guard.as_mut().expect("internal: the trace is open");
        results
            .and_then(|results| results.iter().map(|result| state.lift(&trace, result)).collect())
    };
    let state = trace.lock().take().expect("internal: the trace is open");
    let outputs = outputs?;
    let all: Vec<usize> = (0..outputs.len()).collect();
    // What was captured comes first.
    let n_captured = state.captured.len();
    let order: Vec<usize> = (n_inputs..n_inputs + n_captured).chain(0..n_inputs).collect();
    let program = crate::transform::reorder(state.builder.finish(outputs), &order, &all);
    let captured = state.captured.into_iter().map(|(array, _)| array).collect();
    Ok(Closed { program: Arc::new(program), captured })
}

/// What `f` returns for variables of these types, of which only the structure is of use: the
/// program is forgotten.
pub(crate) fn outline<R>(avals: &[Aval], f: impl FnOnce(Vec<Array>) -> R) -> R {
    let inputs = avals.iter().map(|aval| (aval.clone(), String::new())).collect();
    let mut result = None;
    let traced = trace(inputs, |variables| {
        result = Some(f(variables));
        Ok(vec![])
    });
    debug_assert!(traced.is_ok(), "internal: nothing is returned, so nothing is wrong");
    result.expect("internal: it was called")
}

impl State {
    /// The atom that stands for an array in this trace.
    fn lift(&mut self, trace: &Arc<Trace>, array: &Array) -> Result<Atom> {
        let identity = match &array.0 {
            Repr::Mistake(error) => return Err(error.clone()),
            Repr::Traced(tracer) if Arc::ptr_eq(&tracer.trace, trace) => return Ok(tracer.atom),
            Repr::Traced(tracer) => {
                if tracer.trace.depth >= trace.depth {
                    return Err(Error::leaked(&tracer.aval.to_string()));
                }
                Identity::Outer(Arc::as_ptr(&tracer.trace) as usize, tracer.atom)
            }
            Repr::Value(buffer) => {
                if let Some(atom) = self.constant(buffer) {
                    return Ok(atom);
                }
                let (memory, offset) = buffer.identity();
                Identity::Value(memory, offset, buffer.shape().to_vec(), buffer.strides().to_vec())
            }
        };
        if let Some(&atom) = self.known.get(&identity) {
            return Ok(atom);
        }
        let atom = self.builder.input(array.aval()?);
        self.captured.push((array.clone(), atom));
        self.known.insert(identity, atom);
        Ok(atom)
    }

    /// One value at all indices is written into the program.
    fn constant(&mut self, buffer: &Buffer) -> Option<Atom> {
        let lit = Atom::Lit(buffer.uniform()?);
        match buffer.shape().rank() {
            0 => Some(lit),
            _ => Some(self.builder.broadcast(lit, buffer.shape(), &[])),
        }
    }
}

/// Whether some array is a variable of a program being traced.
pub(crate) fn is_traced<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> bool {
    arrays.into_iter().any(|array| matches!(array.0, Repr::Traced(_)))
}

/// The innermost trace among arrays, if one of them is traced.
pub(super) fn innermost<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Option<Arc<Trace>> {
    let traced = arrays.into_iter().filter_map(|array| match &array.0 {
        Repr::Traced(tracer) => Some(&tracer.trace),
        Repr::Value(_) | Repr::Mistake(_) => None,
    });
    traced.max_by_key(|trace| trace.depth).cloned()
}

/// Appends to a trace what `record` does with the atoms of `inputs`.
///
/// # Errors
/// The mistake that an input carries; that the trace has ended; what `record` says.
pub(super) fn record(
    trace: &Arc<Trace>,
    inputs: &[Array],
    record: impl FnOnce(&mut Builder, &[Atom]) -> Result<Vec<Atom>>,
) -> Result<Vec<Array>> {
    let mut guard = trace.lock();
    let Some(state) = guard.as_mut() else {
        let aval = inputs.iter().find_map(|array| match &array.0 {
            Repr::Traced(tracer) if Arc::ptr_eq(&tracer.trace, trace) => Some(tracer.aval.clone()),
            _ => None,
        });
        return Err(Error::leaked(&aval.map_or_else(String::new, |aval| aval.to_string())));
    };
    let atoms: Result<Vec<Atom>> = inputs.iter().map(|array| state.lift(trace, array)).collect();
    let outputs = record(&mut state.builder, &atoms?)?;
    let array = |atom| {
        let aval = state.builder.aval(atom);
        Array::traced(Tracer { trace: trace.clone(), atom, aval })
    };
    Ok(outputs.into_iter().map(array).collect())
}
