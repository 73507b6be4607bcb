//! The front ends of loops and conditionals: they trace the closures once and bind one primitive.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

use super::operators::Argument;
use super::tracer::{Closed, outline, trace};
use super::{Array, Operand, bind, bind1};
use crate::buffer::{DType, Scalar, Shape};
use crate::error::{Error, Result};
use crate::ir::Aval;
use crate::prim::{Concat, Cond, Convert, Reshape, Reverse, Scan, Slice, Tap, While};
use crate::tree::{self, Tree};

/// How a scan goes through its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanOptions {
    /// From the last row to the first; `ys[t]` still belongs to `xs[t]`.
    pub reverse: bool,
    /// The number of steps, for a scan without xs; else that of xs.
    pub length: Option<usize>,
}

impl ScanOptions {
    /// From the last row to the first.
    pub fn reverse(mut self) -> ScanOptions {
        self.reverse = true;
        self
    }

    /// The number of steps.
    pub fn length(mut self, length: usize) -> ScanOptions {
        self.length = Some(length);
        self
    }
}

/// Runs `step` over the rows of `xs`: the last carry, and what each step returned, stacked.
///
/// `step(&carry, &x) -> (carry, y)` sees one row of every leaf of `xs` and returns a carry of the
/// same types. It is traced once, whatever the length is, and may use arrays from around it.
///
/// # Shapes
/// Leaves of `xs`: `[time, ..]` → leaves of ys: `[time, ..]`; the carry keeps its shapes.
/// # Errors
/// The results carry an [`Error`] if the carry changes its type or structure (the message names
/// the leaf and both types) or leaves of `xs` differ in length.
/// # Source
/// `jax.lax.scan`.
/// # Examples
/// ```
/// use rondeau::{Array, scan};
///
/// // A running sum; each step returns the sum so far.
/// let xs = Array::from([1.0_f32, 2.0, 3.0]);
/// let (last, sums) = scan(|sum, x| (sum + x, sum + x), &Array::from(0.0_f32), &xs);
/// assert_eq!(sums.to_vec::<f32>()?, [1.0, 3.0, 6.0]);
/// assert_eq!(last.item::<f32>()?, 6.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn scan<C: Tree, X: Tree, Y: Tree>(
    step: impl Fn(&C, &X) -> (C, Y),
    init: &C,
    xs: &X,
) -> (C, Y) {
    scan_at("scan", ScanOptions::default(), step, init, xs, Location::caller())
}

/// [`scan`] from the last row to the first; `ys[t]` belongs to `xs[t]`.
#[track_caller]
pub fn scan_reverse<C: Tree, X: Tree, Y: Tree>(
    step: impl Fn(&C, &X) -> (C, Y),
    init: &C,
    xs: &X,
) -> (C, Y) {
    scan_at("scan_reverse", ScanOptions::default().reverse(), step, init, xs, Location::caller())
}

/// [`scan`] without input: `step(&carry) -> (carry, y)`, `length` times.
///
/// # Examples
/// ```
/// use rondeau::{Array, scan_n};
///
/// let (_, powers) = scan_n(|x| (x * 2, x.clone()), &Array::from(1), 5);
/// assert_eq!(powers.to_vec::<i32>()?, [1, 2, 4, 8, 16]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn scan_n<C: Tree, Y: Tree>(step: impl Fn(&C) -> (C, Y), init: &C, length: usize) -> (C, Y) {
    let options = ScanOptions::default().length(length);
    scan_at("scan_n", options, |carry, ()| step(carry), init, &(), Location::caller())
}

/// [`scan`] with options.
#[track_caller]
pub fn scan_with<C: Tree, X: Tree, Y: Tree>(
    options: ScanOptions,
    step: impl Fn(&C, &X) -> (C, Y),
    init: &C,
    xs: &X,
) -> (C, Y) {
    scan_at("scan_with", options, step, init, xs, Location::caller())
}

fn scan_at<C: Tree, X: Tree, Y: Tree>(
    op: &str,
    options: ScanOptions,
    step: impl Fn(&C, &X) -> (C, Y),
    init: &C,
    xs: &X,
    at: &'static Location<'static>,
) -> (C, Y) {
    try_scan(op, options, &step, init, xs, at).unwrap_or_else(|error| {
        let error = error.at(at);
        let y = match (avals(init), avals(xs)) {
            (Ok(carry_avals), Ok(x_avals)) => {
                let n_carry = carry_avals.len();
                let row = |aval: Aval| if aval.rank() == 0 { aval } else { aval.row() };
                let all: Vec<Aval> =
                    carry_avals.into_iter().chain(x_avals.into_iter().map(row)).collect();
                outline(&all, |mut arguments| {
                    let x = tree::rebuild(xs, arguments.split_off(n_carry));
                    step(&tree::rebuild(init, arguments), &x).1
                })
            }
            _ => step(&poisoned(init, &error), &poisoned(xs, &error)).1,
        };
        (poisoned(init, &error), poisoned(&y, &error))
    })
}

/// The tree with every leaf carrying a mistake.
pub(crate) fn poisoned<T: Tree>(tree: &T, error: &Error) -> T {
    tree::map(tree, |_| Array::mistake(error.clone()))
}

/// The types of the leaves.
///
/// # Errors
/// The first mistake that a leaf carries.
pub(crate) fn avals<T: Tree>(tree: &T) -> Result<Vec<Aval>> {
    tree::leaves(tree).into_iter().map(Array::aval).collect()
}

/// The leaves by value.
pub(crate) fn owned<T: Tree>(tree: &T) -> Vec<Array> {
    tree::leaves(tree).into_iter().cloned().collect()
}

/// `carry` or `carry.path`.
fn under(root: &str, path: &str) -> String {
    if path.is_empty() { root.to_owned() } else { format!("{root}.{path}") }
}

fn try_scan<C: Tree, X: Tree, Y: Tree>(
    op: &str,
    options: ScanOptions,
    step: &impl Fn(&C, &X) -> (C, Y),
    init: &C,
    xs: &X,
    at: &'static Location<'static>,
) -> Result<(C, Y)> {
    let carry_avals = avals(init)?;
    let x_avals = avals(xs)?;
    let length = scan_length(op, options, xs)?;
    let n_carry = carry_avals.len();
    let template = RefCell::new(None);
    let rows = x_avals.iter().map(Aval::row);
    let inputs = carry_avals.iter().cloned().chain(rows).map(|aval| (aval, String::new()));
    let Closed { program, captured } = trace(inputs.collect(), |mut arguments| {
        let x = tree::rebuild(xs, arguments.split_off(n_carry));
        let carry = tree::rebuild(init, arguments);
        let (next, y) = step(&carry, &x);
        check_carry(op, init, &next)?;
        let leaves = [owned(&next), owned(&y)].concat();
        *template.borrow_mut() = Some(y);
        Ok(leaves)
    })?;
    let prim =
        Scan { body: program, n_consts: captured.len(), n_carry, length, reverse: options.reverse };
    let inputs = [captured, owned(init), owned(xs)].concat();
    let mut outputs = bind(prim, &inputs, at)?;
    let ys = outputs.split_off(n_carry);
    let template = template.into_inner().expect("internal: the step has run");
    Ok((tree::rebuild(init, outputs), tree::rebuild(&template, ys)))
}

/// The number of steps, from the leading axes of xs and the given length.
fn scan_length<X: Tree>(op: &str, options: ScanOptions, xs: &X) -> Result<usize> {
    let leaves = tree::leaves_with_paths(xs);
    if let Some((path, leaf)) = leaves.iter().find(|(_, leaf)| leaf.rank() == 0) {
        let headline = format!("`{op}` goes over axis 0, and {} has none", under("xs", path));
        let help = "capture what does not change in the closure instead";
        return Err(Error::shape(headline, help).detailed(&format!("it is {}", leaf.describe())));
    }
    let Some((_, first)) = leaves.first() else {
        return options.length.ok_or_else(|| {
            Error::shape(
                format!("`{op}` without xs needs a length"),
                "use `scan_n`, or give `.length(n)`",
            )
        });
    };
    if leaves.iter().any(|(_, leaf)| leaf.len() != first.len()) {
        let all: Vec<(String, String)> =
            leaves.iter().map(|(path, leaf)| (under("xs", path), leaf.describe())).collect();
        return Err(Error::lengths(op, &all));
    }
    match options.length {
        Some(length) if length != first.len() => Err(Error::length(op, length, first.len())),
        _ => Ok(first.len()),
    }
}

/// The carry that leaves a step must be of the type that entered.
pub(crate) fn check_carry<C: Tree>(op: &str, entered: &C, left: &C) -> Result<()> {
    if let Some(error) = tree::leaves(left).into_iter().find_map(Array::error) {
        return Err(error.clone());
    }
    let (before, after) = (tree::structure_of(entered), tree::structure_of(left));
    if before != after {
        return Err(Error::carry_tree(op, &before, &after));
    }
    let changes: Vec<(String, String, String)> = tree::leaves_with_paths(entered)
        .into_iter()
        .zip(tree::leaves(left))
        .map(|((path, before), after)| (under("carry", &path), before.describe(), after.describe()))
        .filter(|(_, before, after)| before != after)
        .collect();
    match changes.is_empty() {
        true => Ok(()),
        false => Err(Error::carry_changed(op, &changes)),
    }
}

/// Applies `f` to each row of `xs`, one after another; the results, stacked.
///
/// # Source
/// `jax.lax.map`. For all rows at once, see [`vmap`](crate::vmap).
#[track_caller]
pub fn map<X: Tree, Y: Tree>(f: impl Fn(&X) -> Y, xs: &X) -> Y {
    let step = |(): &(), x: &X| ((), f(x));
    scan_at("map", ScanOptions::default(), step, &(), xs, Location::caller()).1
}

/// Repeats `body` as long as `cond` holds; the last carry.
///
/// Forward mode (`jvp`, `jacfwd`) works through it, reverse mode does not, since the number of
/// steps is not known before it runs.
///
/// # Errors
/// The result carries an [`Error`] if the carry changes its type, or the condition is not one
/// truth value.
/// # Source
/// `jax.lax.while_loop`.
/// # Examples
/// ```
/// use rondeau::{Array, while_loop};
///
/// let doubled = while_loop(|x| x.lt(100.0), |x| x * 2.0, &Array::from(3.0_f32));
/// assert_eq!(doubled.item::<f32>()?, 192.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn while_loop<C: Tree>(cond: impl Fn(&C) -> Array, body: impl Fn(&C) -> C, init: &C) -> C {
    let at = Location::caller();
    try_while(&cond, &body, init, at).unwrap_or_else(|error| poisoned(init, &error.at(at)))
}

fn try_while<C: Tree>(
    cond: &impl Fn(&C) -> Array,
    body: &impl Fn(&C) -> C,
    init: &C,
    at: &'static Location<'static>,
) -> Result<C> {
    let inputs: Vec<(Aval, String)> =
        avals(init)?.into_iter().map(|aval| (aval, String::new())).collect();
    let go = trace(inputs.clone(), |arguments| {
        let go = cond(&tree::rebuild(init, arguments)).ok()?;
        match go.aval()? {
            aval if aval == Aval::scalar(DType::Bool) => Ok(vec![go]),
            aval => Err(Error::predicate("while_loop", &aval.to_string())),
        }
    })?;
    let step = trace(inputs, |arguments| {
        let next = body(&tree::rebuild(init, arguments));
        check_carry("while_loop", init, &next)?;
        Ok(owned(&next))
    })?;
    let prim = While {
        cond: go.program,
        body: step.program,
        n_cond_consts: go.captured.len(),
        n_body_consts: step.captured.len(),
    };
    let inputs = [go.captured, step.captured, owned(init)].concat();
    Ok(tree::rebuild(init, bind(prim, &inputs, at)?))
}

/// As many numbers are listed as the xs of a `fori_loop`.
const MAX_LISTED: i64 = 1 << 20;

/// Applies `body(i, &carry)` for `i` from `lower` up to, but not including, `upper`; the last
/// carry.
///
/// The bounds are Rust integers or i32 arrays. If they are known, the loop is a [`scan`] and
/// reverse mode works through it; if they are variables of the program, it is a [`while_loop`].
///
/// # Source
/// `jax.lax.fori_loop`.
/// # Examples
/// ```
/// use rondeau::{Array, fori_loop};
///
/// let factorial = fori_loop(1, 6, |i, product| product * i, &Array::from(1));
/// assert_eq!(factorial.item::<i32>()?, 120);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn fori_loop<C: Tree>(
    lower: impl Operand,
    upper: impl Operand,
    body: impl Fn(&Array, &C) -> C,
    init: &C,
) -> C {
    let at = Location::caller();
    let bound = |bound: Argument| -> Result<(Array, Option<i32>)> {
        let array = bound.into_array().ok()?;
        if array.aval()? != Aval::scalar(DType::I32) {
            return Err(Error::one_integer("fori_loop", "bounds", &array.describe()));
        }
        let known = match array.buffer().map(|buffer| buffer.first()) {
            Ok(Scalar::I32(known)) => Some(known),
            _ => None,
        };
        Ok((array, known))
    };
    let bounds = bound(lower.argument()).and_then(|lower| Ok((lower, bound(upper.argument())?)));
    let ((lower, from), (upper, to)) = match bounds {
        Ok(bounds) => bounds,
        Err(error) => return poisoned(init, &error.at(at)),
    };
    match (from, to) {
        // Numbers beyond these are counted, not listed.
        (Some(from), Some(to)) if i64::from(to) - i64::from(from) > MAX_LISTED => {
            let options = ScanOptions::default().length(to.abs_diff(from) as usize);
            let step = |(i, carry): &(Array, C), (): &()| ((i + 1, body(i, carry)), ());
            scan_at("fori_loop", options, step, &(lower, init.clone()), &(), at).0.1
        }
        (Some(from), Some(to)) => {
            let steps = Array::from((from..to).collect::<Vec<i32>>());
            let step = |carry: &C, i: &Array| (body(i, carry), ());
            scan_at("fori_loop", ScanOptions::default(), step, init, &steps, at).0
        }
        _ => {
            let go = |(i, _): &(Array, C)| i.lt(&upper);
            let step = |(i, carry): &(Array, C)| (i + 1, body(i, carry));
            let init = (lower, init.clone());
            try_while(&go, &step, &init, at)
                .unwrap_or_else(|error| poisoned(&init, &error.at(at)))
                .1
        }
    }
}

/// `on_true(operand)` where the predicate holds, else `on_false(operand)`; only one of them runs.
///
/// # Errors
/// The result carries an [`Error`] if the branches return different types, or the predicate is
/// not one truth value.
/// # Source
/// `jax.lax.cond`. To choose per element, see [`where_`](crate::where_).
/// # Examples
/// ```
/// use rondeau::{Array, cond};
///
/// let x = Array::from(-3.0_f32);
/// let y = cond(x.gt(0.0), |x| x.clone(), |x| x * -2.0, &x);
/// assert_eq!(y.item::<f32>()?, 6.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn cond<T: Tree, R: Tree>(
    predicate: impl Operand,
    on_true: impl Fn(&T) -> R,
    on_false: impl Fn(&T) -> R,
    operand: &T,
) -> R {
    let at = Location::caller();
    let predicate = predicate.argument().into_array();
    let index = match predicate.aval() {
        Ok(aval) if aval == Aval::scalar(DType::Bool) => {
            bind1(Convert { dtype: DType::I32 }, &[predicate], at)
        }
        Ok(aval) => Array::mistake(Error::predicate("cond", &aval.to_string()).at(at)),
        Err(error) => Array::mistake(error),
    };
    let branches: [&dyn Fn(&T) -> R; 2] = [&on_false, &on_true];
    branch("cond", index, &branches, operand, at)
}

/// The branch of that number, applied to the operand; the index is clamped into range.
///
/// # Errors
/// The result carries an [`Error`] if the branches return different types, or the index is not
/// one i32.
/// # Panics
/// If there are no branches.
/// # Source
/// `jax.lax.switch`.
#[track_caller]
pub fn switch<T: Tree, R: Tree>(
    index: impl Operand,
    branches: &[&dyn Fn(&T) -> R],
    operand: &T,
) -> R {
    assert!(!branches.is_empty(), "`switch` needs at least one branch");
    let at = Location::caller();
    let index = index.argument().into_array();
    let index = match index.aval() {
        Ok(aval) if aval != Aval::scalar(DType::I32) => {
            Array::mistake(Error::one_integer("switch", "an index", &aval.to_string()).at(at))
        }
        _ => index,
    };
    branch("switch", index, branches, operand, at)
}

fn branch<T: Tree, R: Tree>(
    op: &str,
    index: Array,
    branches: &[&dyn Fn(&T) -> R],
    operand: &T,
    at: &'static Location<'static>,
) -> R {
    try_branch(op, index, branches, operand, at).unwrap_or_else(|error| {
        let error = error.at(at);
        let result = match avals(operand) {
            Ok(avals) => {
                outline(&avals, |arguments| branches[0](&tree::rebuild(operand, arguments)))
            }
            Err(_) => branches[0](&poisoned(operand, &error)),
        };
        poisoned(&result, &error)
    })
}

fn try_branch<T: Tree, R: Tree>(
    op: &str,
    index: Array,
    branches: &[&dyn Fn(&T) -> R],
    operand: &T,
    at: &'static Location<'static>,
) -> Result<R> {
    let index = index.ok()?;
    let operand_avals = avals(operand)?;
    let mut first: Option<R> = None;
    let mut closed = Vec::new();
    for (i, branch) in branches.iter().enumerate() {
        let inputs = operand_avals.iter().map(|aval| (aval.clone(), String::new())).collect();
        closed.push(trace(inputs, |arguments| {
            let result = branch(&tree::rebuild(operand, arguments));
            let leaves = owned(&result);
            if let Some(error) = leaves.iter().find_map(Array::error) {
                return Err(error.clone());
            }
            match &first {
                Some(first) => check_branch(op, first, &result, i)?,
                None => first = Some(result),
            }
            Ok(leaves)
        })?);
    }
    let captured: Vec<Array> = closed.iter().flat_map(|closed| closed.captured.clone()).collect();
    let mut offset = 0;
    let all: Vec<Aval> = captured.iter().map(Array::aval).collect::<Result<_>>()?;
    let programs = closed.iter().map(|branch| {
        let program = branch.taking_all(&all, offset);
        offset += branch.captured.len();
        Arc::new(program)
    });
    let prim = Cond { branches: programs.collect() };
    let inputs = [vec![index], captured.clone(), owned(operand)].concat();
    let outputs = bind(prim, &inputs, at)?;
    Ok(tree::rebuild(&first.expect("internal: there is a branch"), outputs))
}

fn check_branch<R: Tree>(op: &str, first: &R, other: &R, branch: usize) -> Result<()> {
    // The branches of `cond` are in the order of its index, `false` first.
    let name = |i: usize| match (op, i) {
        ("cond", 0) => "`on_false`".to_owned(),
        ("cond", _) => "`on_true`".to_owned(),
        (_, i) => format!("branch {i}"),
    };
    let sides = |a: String, b: String| [(name(0), a), (name(branch), b)];
    let (a, b) = (tree::structure_of(first), tree::structure_of(other));
    if a != b {
        return Err(Error::branches(op, "the result", &sides(a, b)));
    }
    let leaves = tree::leaves_with_paths(first).into_iter().zip(tree::leaves(other));
    for ((path, first), other) in leaves {
        let (a, b) = (first.describe(), other.describe());
        if a != b {
            let place = if path.is_empty() { "the result" } else { &format!("result {path}") };
            return Err(Error::branches(op, place, &sides(a, b)));
        }
    }
    Ok(())
}

/// How an associative scan goes through its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssociativeOptions {
    /// From the end: element `t` combines all elements from `t` on.
    pub reverse: bool,
    /// The axis to go along; negative from the end.
    pub axis: isize,
}

impl AssociativeOptions {
    /// From the end.
    pub fn reverse(mut self) -> AssociativeOptions {
        self.reverse = true;
        self
    }

    /// Along another axis than 0.
    pub fn axis(mut self, axis: isize) -> AssociativeOptions {
        self.axis = axis;
        self
    }
}

/// All running combinations of the elements along axis 0, in a logarithmic number of rounds:
/// `x₀, x₀∘x₁, x₀∘x₁∘x₂, ..`.
///
/// `combine(&earlier, &later)` must be associative. It works on many elements at once: it sees
/// trees whose leaves keep axis 0, with any number of elements.
///
/// # Errors
/// The results carry an [`Error`] if leaves differ in length or the operator changes their types.
/// # Source
/// `jax.lax.associative_scan`; Blelloch 1990.
/// # Examples
/// ```
/// use rondeau::{Array, associative_scan};
///
/// let xs = Array::from([1.0_f32, 2.0, 3.0, 4.0]);
/// let products = associative_scan(|a, b| a * b, &xs);
/// assert_eq!(products.to_vec::<f32>()?, [1.0, 2.0, 6.0, 24.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn associative_scan<T: Tree>(combine: impl Fn(&T, &T) -> T, xs: &T) -> T {
    associative_at(AssociativeOptions::default(), &combine, xs, Location::caller())
}

/// [`associative_scan`] with options.
#[track_caller]
pub fn associative_scan_with<T: Tree>(
    options: AssociativeOptions,
    combine: impl Fn(&T, &T) -> T,
    xs: &T,
) -> T {
    associative_at(options, &combine, xs, Location::caller())
}

fn associative_at<T: Tree>(
    options: AssociativeOptions,
    combine: &dyn Fn(&T, &T) -> T,
    xs: &T,
    at: &'static Location<'static>,
) -> T {
    let along = Along { axis: options.axis, at };
    let length = match along.length(xs) {
        Ok(length) => length,
        Err(error) => return poisoned(xs, &error.at(at)),
    };
    let flip = |xs: &T| along.each(xs, |along, x| along.flip(x));
    let result = match options.reverse {
        false => along.running(combine, xs, length),
        true => flip(&along.running(&|a, b| combine(a, b), &flip(xs), length)),
    };
    match check_combined(xs, &result) {
        Ok(()) => result,
        Err(error) => poisoned(xs, &error.at(at)),
    }
}

/// What was combined must be of the type of the elements.
fn check_combined<T: Tree>(xs: &T, result: &T) -> Result<()> {
    if let Some(error) = tree::leaves(result).into_iter().find_map(Array::error) {
        return Err(error.clone());
    }
    let (a, b) = (tree::structure_of(xs), tree::structure_of(result));
    if a != b {
        return Err(Error::combined("xs", &a, &b));
    }
    for ((path, x), y) in tree::leaves_with_paths(xs).into_iter().zip(tree::leaves(result)) {
        if x.describe() != y.describe() {
            return Err(Error::combined(&under("xs", &path), &x.describe(), &y.describe()));
        }
    }
    Ok(())
}

/// Cutting and joining trees along one axis.
#[derive(Clone, Copy)]
struct Along {
    axis: isize,
    at: &'static Location<'static>,
}

impl Along {
    fn axis_of(&self, x: &Array) -> Result<usize> {
        let rank = x.aval()?.rank() as isize;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        match (0..rank).contains(&axis) {
            true => Ok(axis as usize),
            false => Err(Error::axis("associative_scan", self.axis, &x.describe())),
        }
    }

    fn length<T: Tree>(&self, xs: &T) -> Result<usize> {
        let leaves = tree::leaves_with_paths(xs);
        let lengths: Result<Vec<usize>> =
            leaves.iter().map(|(_, x)| Ok(x.shape()[self.axis_of(x)?])).collect();
        let lengths = lengths?;
        let first = lengths.first().copied().unwrap_or(0);
        if lengths.iter().all(|&length| length == first) {
            return Ok(first);
        }
        let all: Vec<(String, String)> =
            leaves.iter().map(|(path, x)| (under("xs", path), x.describe())).collect();
        Err(Error::lengths("associative_scan", &all))
    }

    fn each<T: Tree>(&self, xs: &T, f: impl Fn(&Along, &Array) -> Array) -> T {
        tree::map(xs, |x| match x.error() {
            Some(_) => x.clone(),
            None => f(self, x),
        })
    }

    /// `n` elements from `start` in steps of `step`.
    fn cut(&self, x: &Array, start: usize, n: usize, step: usize) -> Array {
        let axis = match self.axis_of(x) {
            Ok(axis) => axis,
            Err(error) => return Array::mistake(error.at(self.at)),
        };
        let rank = x.rank();
        let (mut starts, mut sizes, mut steps) = (vec![0; rank], x.shape().to_vec(), vec![1; rank]);
        (starts[axis], sizes[axis], steps[axis]) = (start, n, step);
        bind1(Slice { starts, sizes, steps }, std::slice::from_ref(x), self.at)
    }

    fn flip(&self, x: &Array) -> Array {
        match self.axis_of(x) {
            Ok(axis) => bind1(Reverse { axes: vec![axis] }, std::slice::from_ref(x), self.at),
            Err(error) => Array::mistake(error.at(self.at)),
        }
    }

    fn join(&self, parts: &[Array]) -> Array {
        match self.axis_of(&parts[0]) {
            Ok(axis) => bind1(Concat { axis }, parts, self.at),
            Err(error) => Array::mistake(error.at(self.at)),
        }
    }

    /// `even[0], odd[0], even[1], odd[1], ..`; there may be one more even element.
    fn interleave(&self, even: &Array, odd: &Array) -> Array {
        let (Ok(axis), None) = (self.axis_of(even), odd.error()) else {
            return if even.error().is_some() { even.clone() } else { odd.clone() };
        };
        let n = odd.shape()[axis];
        let beside = |x: &Array| {
            let mut shape = x.shape().to_vec();
            shape.insert(axis + 1, 1);
            bind1(Reshape { shape: shape.into() }, std::slice::from_ref(x), self.at)
        };
        let pairs = [beside(&self.cut(even, 0, n, 1)), beside(odd)];
        let pairs = bind1(Concat { axis: axis + 1 }, &pairs, self.at);
        let shape = Shape::from(even.shape()).with(axis, 2 * n);
        let pairs = bind1(Reshape { shape }, &[pairs], self.at);
        match even.shape()[axis] > n {
            true => self.join(&[pairs, self.cut(even, n, 1, 1)]),
            false => pairs,
        }
    }

    /// Pairs are combined, the rest follows from the running combinations of the pairs.
    fn running<T: Tree>(&self, combine: &dyn Fn(&T, &T) -> T, xs: &T, length: usize) -> T {
        if length < 2 {
            return xs.clone();
        }
        let take = |xs: &T, start: usize, n: usize, step: usize| {
            self.each(xs, |along, x| along.cut(x, start, n, step))
        };
        let n_pairs = length / 2;
        let pairs = combine(&take(xs, 0, n_pairs, 2), &take(xs, 1, n_pairs, 2));
        let odd = self.running(combine, &pairs, n_pairs);
        let n_rest = (length - 1) / 2;
        let rest = match n_rest {
            0 => take(xs, 0, 0, 1),
            _ => combine(&take(&odd, 0, n_rest, 1), &take(xs, 2, n_rest, 2)),
        };
        let first = take(xs, 0, 1, 1);
        let both = |a: &T, b: &T, f: &dyn Fn(&Array, &Array) -> Array| {
            tree::map2(a, b, f).unwrap_or_else(|error| poisoned(a, &error))
        };
        let even = both(&first, &rest, &|first, rest| match (first.error(), rest.error()) {
            (Some(_), _) => first.clone(),
            (_, Some(_)) => rest.clone(),
            _ => self.join(&[first.clone(), rest.clone()]),
        });
        both(&even, &odd, &|even, odd| self.interleave(even, odd))
    }
}

/// Prints the leaves of a tree when the program runs, each time it comes by.
///
/// In a loop it prints at each step; under `vmap` it prints all examples at once. It does not
/// change what is computed.
///
/// # Source
/// `jax.debug.print`.
#[track_caller]
pub fn debug_print<T: Tree>(label: &str, values: &T) {
    let leaves = owned(values);
    if let Err(error) = bind(Tap { label: label.into() }, &leaves, Location::caller()) {
        let shown =
            bind(Tap { label: format!("{label}: {error}").into() }, &[], Location::caller());
        debug_assert!(shown.is_ok(), "internal: a tap without inputs");
    }
}
