//! A cell over sequences: one or many, forward or backward, with lengths and restarts.

use std::panic::Location;

use super::Cell;
use crate::error::{Error, Result};
use crate::tree::{self, Tree};
use crate::{Array, ScanOptions, scan_with, vmap, where_};

/// Runs a cell over a sequence: the last carry, and the outputs.
///
/// # Shapes
/// `xs: [time, input]` → `[time, ..]`, the outputs of the steps.
/// # Errors
/// The results carry an [`Error`] if the carry or the inputs do not fit the cell.
/// # Examples
/// ```
/// use rondeau::{Array, nn, nn::Cell, random};
///
/// let cell = nn::Gru::init(&random::key(0), 3, 8);
/// let xs = random::normal(&random::key(1), [10, 3]);
/// let (last, ys) = nn::run(&cell, &cell.initial_carry(), &xs);
/// assert_eq!(ys.shape(), [10, 8]);
/// assert_eq!(last.to_vec::<f32>()?, ys.at(-1).to_vec::<f32>()?);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn run<C: Cell>(cell: &C, carry: &C::Carry, xs: &Array) -> (C::Carry, Array) {
    run_with(ScanOptions::default(), cell, carry, xs)
}

/// [`run`] from the last input to the first; `ys[t]` belongs to `xs[t]`.
#[track_caller]
pub fn run_reverse<C: Cell>(cell: &C, carry: &C::Carry, xs: &Array) -> (C::Carry, Array) {
    run_with(ScanOptions::default().reverse(), cell, carry, xs)
}

/// [`run`] with the options of a scan.
#[track_caller]
pub fn run_with<C: Cell>(
    options: ScanOptions,
    cell: &C,
    carry: &C::Carry,
    xs: &Array,
) -> (C::Carry, Array) {
    let result = scan_with(options, |carry, x| cell.step(carry, x), carry, xs);
    explained(cell, carry, xs, result, Location::caller())
}

/// Runs a cell over many sequences at once: the last carries, and the outputs.
///
/// # Shapes
/// `carries`: the leaves of a carry as `[batch, ..]`; `xs: [batch, time, input]` →
/// `[batch, time, ..]`.
/// # Errors
/// As [`run`].
/// # Examples
/// ```
/// use rondeau::{nn, random};
///
/// let cell = nn::Lstm::init(&random::key(0), 3, 8);
/// let xs = random::normal(&random::key(1), [4, 10, 3]);
/// let (last, ys) = nn::run_batch(&cell, &nn::initial_carries(&cell, 4), &xs);
/// assert_eq!((last.c.shape(), ys.shape()), ([4, 8].as_slice(), [4, 10, 8].as_slice()));
/// ```
#[track_caller]
pub fn run_batch<C: Cell>(cell: &C, carries: &C::Carry, xs: &Array) -> (C::Carry, Array) {
    let at = Location::caller();
    if xs.error().is_none() && xs.rank() < 2 {
        let error = Error::rank("run_batch", "a batch of sequences", &xs.describe()).at(at);
        return poisoned(&(carries.clone(), xs.clone()), &error);
    }
    let one = |carry: &C::Carry, xs: &Array| {
        let result = scan_with(ScanOptions::default(), |carry, x| cell.step(carry, x), carry, xs);
        explained(cell, carry, xs, result, at)
    };
    vmap(one, (0, 0)).apply(carries, xs)
}

/// The initial carry once for each sequence of a batch: leaves `[batch, ..]`.
#[track_caller]
pub fn initial_carries<C: Cell>(cell: &C, batch: usize) -> C::Carry {
    tree::map(&cell.initial_carry(), |leaf| leaf.broadcast_to([&[batch], leaf.shape()].concat()))
}

/// Runs a cell over the steps at which `mask` holds. At the others the carry stays as it is, and
/// the output is zero.
///
/// For sequences of several lengths in one batch, give each the mask `t < length`: the last carry
/// is that of its last real step. See [`run_lengths`].
///
/// # Shapes
/// `xs: [time, input]`, `mask: bool[time]` → `[time, ..]`.
/// # Examples
/// ```
/// use rondeau::{Array, nn, nn::Cell, random};
///
/// let cell = nn::Gru::init(&random::key(0), 3, 8);
/// let xs = random::normal(&random::key(1), [4, 3]);
/// let mask = Array::from([true, true, false, false]);
/// let (last, ys) = nn::run_masked(&cell, &cell.initial_carry(), &xs, &mask);
/// assert_eq!(last.to_vec::<f32>()?, ys.at(1).to_vec::<f32>()?);
/// assert_eq!(ys.at(3).to_vec::<f32>()?, [0.0; 8]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn run_masked<C: Cell>(
    cell: &C,
    carry: &C::Carry,
    xs: &Array,
    mask: &Array,
) -> (C::Carry, Array) {
    let step = |carry: &C::Carry, (x, real): &(Array, Array)| {
        let (next, y) = cell.step(carry, x);
        (choose(real, &next, carry), where_(real, &y, 0.0))
    };
    let result = scan_with(ScanOptions::default(), step, carry, &(xs.clone(), mask.clone()));
    explained(cell, carry, xs, result, Location::caller())
}

/// [`run_batch`] over sequences of several lengths: each carry is that after the last real step,
/// and outputs beyond a length are zero.
///
/// # Shapes
/// `xs: [batch, time, input]`, `lengths: i32[batch]` → `[batch, time, ..]`.
/// # Source
/// `torch.nn.utils.rnn.pack_padded_sequence`; ONNX's `sequence_lens`.
#[track_caller]
pub fn run_lengths<C: Cell>(
    cell: &C,
    carries: &C::Carry,
    xs: &Array,
    lengths: &Array,
) -> (C::Carry, Array) {
    let one = |carry: &C::Carry, xs: &Array, length: &Array| {
        run_masked(cell, carry, xs, &Array::arange(xs.len()).lt(length))
    };
    vmap(one, (0, 0, 0)).apply(carries, xs, lengths)
}

/// Runs a cell over a sequence that holds several episodes: where `resets` holds, the carry starts
/// anew before the step.
///
/// # Shapes
/// `xs: [time, input]`, `resets: bool[time]` → `[time, ..]`.
/// # Source
/// Haiku's `ResetCore`.
#[track_caller]
pub fn run_resets<C: Cell>(
    cell: &C,
    carry: &C::Carry,
    xs: &Array,
    resets: &Array,
) -> (C::Carry, Array) {
    let first = cell.initial_carry();
    let step =
        |carry: &C::Carry, (x, reset): &(Array, Array)| cell.step(&choose(reset, &first, carry), x);
    let result = scan_with(ScanOptions::default(), step, carry, &(xs.clone(), resets.clone()));
    explained(cell, carry, xs, result, Location::caller())
}

/// The first `length` rows in reverse order, then the rest as they are: a padded sequence turned
/// around. Its own inverse.
///
/// # Shapes
/// `xs: [time, ..]`, `length: i32[]` → `[time, ..]`.
#[track_caller]
pub fn flip_length(xs: &Array, length: &Array) -> Array {
    let t = Array::arange(xs.len());
    xs.at(where_(t.lt(length), length - 1 - &t, &t))
}

/// Both trees by one truth value; the first one where their structures differ, which the scan
/// around it reports.
fn choose<T: Tree>(condition: &Array, yes: &T, no: &T) -> T {
    tree::map2(yes, no, |yes, no| where_(condition, yes, no)).unwrap_or_else(|_| yes.clone())
}

/// The result; if it carries a mistake that comes from a carry or inputs that do not fit the
/// cell, then one that says so, at the line of the call.
fn explained<C: Cell>(
    cell: &C,
    carry: &C::Carry,
    xs: &Array,
    result: (C::Carry, Array),
    at: &'static Location<'static>,
) -> (C::Carry, Array) {
    if result.1.error().is_none() {
        return result;
    }
    match fits(cell, carry, xs) {
        Ok(()) => result,
        Err(error) => poisoned(&result, &error.at(at)),
    }
}

/// Whether the carry has the types of the cell's own, and the inputs the length of its weights.
fn fits<C: Cell>(cell: &C, carry: &C::Carry, xs: &Array) -> Result<()> {
    let own = cell.initial_carry();
    if let Some(error) = tree::leaves(carry).into_iter().find_map(Array::error) {
        return Err(error.clone());
    }
    let xs_aval = xs.aval()?;
    if tree::structure_of(&own) == tree::structure_of(carry) {
        for ((path, own), given) in
            tree::leaves_with_paths(&own).into_iter().zip(tree::leaves(carry))
        {
            if own.aval()? != given.aval()? {
                return Err(Error::cell_carry(&path, &own.describe(), &given.describe()));
            }
        }
    }
    match cell.input_size() {
        Some(n) if xs_aval.rank() != 2 || xs_aval.shape[1] != n => {
            Err(Error::cell_input(n, &xs.describe()))
        }
        _ => Ok(()),
    }
}

/// The tree with every leaf carrying a mistake.
fn poisoned<T: Tree>(tree: &T, error: &Error) -> T {
    tree::map(tree, |_| Array::mistake(error.clone()))
}
