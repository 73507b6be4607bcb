//! Where a number that is not finite comes from: the program is run by its definition with every
//! value kept, and followed back from the output to the equation that made it.

use std::fmt;

use super::function::{avals, paths_of, trace_function};
use super::{Arguments, Function};
use crate::buffer::{Buffer, DType, Scalar};
use crate::error::Result;
use crate::ir::{Atom, Plan, Program, Var};
use crate::prim::{Call, Prim, Scan, While};
use crate::trace::check_sizes;
use crate::tree;

/// An output that is not finite, and where that begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NonFinite {
    /// The path of the output.
    pub output: String,
    /// The first value of it that is NaN, or else infinite.
    pub value: f64,
    /// Where in the output it is.
    pub index: Vec<usize>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a number that is not finite begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// It is in an argument, or a captured value, already.
    Input {
        /// The path of the input, with the argument's position first.
        path: String,
    },
    /// An equation makes it of numbers that were not so.
    #[non_exhaustive]
    Equation {
        /// The name of the primitive.
        primitive: &'static str,
        /// The loops and calls around it, the outermost first, such as `row 7 of 50 of scan`.
        within: Vec<String>,
        /// The equations around it, with an arrow at it.
        excerpt: String,
        /// What it read, in order: types and ranges.
        inputs: Vec<String>,
        /// The first number of its result that is not finite.
        value: f64,
        /// Where in the result it is.
        index: Vec<usize>,
        /// For a NaN that was made of an infinity: where that was made, if a computation did.
        before: Option<Box<Origin>>,
    },
}

/// Runs a function by the definitions of its primitives, and finds where the first of its outputs
/// that is not finite begins: the primitive, the step of the loop, the equation and what it read.
/// Nothing if all outputs are finite.
///
/// NaN is looked for first, in all outputs, then infinities. It takes the time of the interpreter
/// and the memory of all intermediate values of one step: it is for a step that has gone wrong.
///
/// # Errors
/// The first mistake that was made on the way, with its source line.
///
/// # Examples
/// ```
/// use rondeau::{Array, Origin, find_nonfinite, scan};
///
/// // The logarithm of a number that falls below zero at the fourth row.
/// let f = |xs: &Array| scan(|x, dx| (x - dx, x.log()), &Array::from(3.0_f32), xs).1;
/// let found = find_nonfinite(f, (&Array::from([1.0_f32; 6]),))?.expect("the log of 0");
/// let Origin::Equation { primitive, within, .. } = found.origin else { panic!() };
/// assert_eq!((primitive, &*within[0]), ("log", "row 4 of 6 of scan"));
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn find_nonfinite<F, Args>(f: F, args: Args::Refs<'_>) -> Result<Option<NonFinite>>
where
    F: Function<Args>,
    Args: Arguments,
{
    let args = Args::own(args);
    let traced = trace_function(&f, &args, &avals(&args)?)?;
    let program = &traced.closed.program;
    check_sizes(program)?;
    let captured = &traced.closed.captured;
    let inputs = captured.iter().chain(tree::leaves(&args));
    let inputs = inputs.map(|array| array.buffer().cloned()).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> =
        (0..captured.len()).map(|i| format!("captured value {i}")).chain(paths_of(&args)).collect();
    let values = Values::of(program, &inputs);
    for kind in [Kind::Nan, Kind::Infinite] {
        let outputs = program.outputs().iter().zip(paths_of(&traced.output));
        for (&atom, output) in outputs {
            let Some((value, index)) = kind.find(&values.get(atom)) else { continue };
            let origin = match atom {
                Atom::Var(var) => values.follow(var, kind, &[]),
                Atom::Lit(_) => continue,
            };
            let origin = match origin {
                Came::From(i) => Origin::Input { path: names[i].clone() },
                Came::Here(mut found) => {
                    if let Some(i) = found.infinite_input {
                        found.origin.set_before(Origin::Input { path: names[i].clone() });
                    }
                    found.origin
                }
            };
            return Ok(Some(NonFinite { output, value, index, origin }));
        }
    }
    Ok(None)
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nan,
    Infinite,
}

impl Kind {
    fn is(self, x: f64) -> bool {
        match self {
            Kind::Nan => x.is_nan(),
            Kind::Infinite => x.is_infinite(),
        }
    }

    /// The first such number, and its index.
    fn find(self, buffer: &Buffer) -> Option<(f64, Vec<usize>)> {
        let values = floats(buffer)?;
        let at = values.iter().position(|&x| self.is(x))?;
        let mut rest = at;
        let mut index: Vec<usize> = buffer
            .shape()
            .iter()
            .rev()
            .map(|&size| {
                let i = rest % size;
                rest /= size;
                i
            })
            .collect();
        index.reverse();
        Some((values[at], index))
    }

    fn is_in(self, buffer: &Buffer) -> bool {
        match buffer.dtype() {
            DType::F32 => buffer.values::<f32>().iter().any(|&x| self.is(f64::from(x))),
            DType::F64 => buffer.values::<f64>().iter().any(|&x| self.is(x)),
            DType::I32 | DType::U32 | DType::Bool => false,
        }
    }
}

fn floats(buffer: &Buffer) -> Option<Vec<f64>> {
    match buffer.dtype() {
        DType::F32 => Some(buffer.values::<f32>().iter().map(|&x| f64::from(x)).collect()),
        DType::F64 => Some(buffer.values::<f64>().into_owned()),
        DType::I32 | DType::U32 | DType::Bool => None,
    }
}

/// Where a value came from: an input of the program, or an equation in it.
enum Came {
    From(usize),
    Here(Found),
}

/// An origin, and for a NaN that was made of an infinity, by which input of the program that came
/// in.
struct Found {
    origin: Origin,
    infinite_input: Option<usize>,
}

impl Origin {
    /// Says where the infinity was made that became this NaN, unless it is known.
    fn set_before(&mut self, earlier: Origin) {
        if let Origin::Equation { before: before @ None, .. } = self {
            *before = Some(Box::new(earlier));
        }
    }
}

/// A program with the value of every variable.
struct Values<'a> {
    program: &'a Program,
    env: Vec<Option<Buffer>>,
}

impl<'a> Values<'a> {
    fn of(program: &'a Program, inputs: &[Buffer]) -> Values<'a> {
        let mut values = Values { program, env: vec![None; program.n_vars()] };
        for (&var, input) in program.inputs().iter().zip(inputs) {
            values.env[var.index()] = Some(input.clone());
        }
        for eqn in program.eqns() {
            let outputs = eqn.prim.eval(&values.all(&eqn.inputs));
            for (&var, output) in eqn.outputs.iter().zip(outputs) {
                values.env[var.index()] = Some(output);
            }
        }
        values
    }

    fn get(&self, atom: Atom) -> Buffer {
        match atom {
            Atom::Lit(value) => Buffer::scalar(value),
            Atom::Var(var) => {
                let value = &self.env[var.index()];
                value
                    .clone()
                    .unwrap_or_else(|| panic!("internal: {var:?} is read before it is bound"))
            }
        }
    }

    fn all(&self, atoms: &[Atom]) -> Vec<Buffer> {
        atoms.iter().map(|&atom| self.get(atom)).collect()
    }

    /// The first output that holds such a number, by its variable.
    fn bad_output(&self, kind: Kind) -> Option<Var> {
        let bad = |atom: &&Atom| atom.var().is_some() && kind.is_in(&self.get(**atom));
        self.program.outputs().iter().find(bad).and_then(|atom| atom.var())
    }

    /// From a variable that holds such a number back to where none was read.
    fn follow(&self, mut var: Var, kind: Kind, within: &[String]) -> Came {
        loop {
            if let Some(i) = self.program.inputs().iter().position(|&input| input == var) {
                return Came::From(i);
            }
            let eqns = self.program.eqns();
            let at = eqns.iter().position(|eqn| eqn.outputs.contains(&var));
            let at = at.unwrap_or_else(|| panic!("internal: {var:?} is bound nowhere"));
            let vars = eqns[at].inputs.iter().filter_map(|atom| atom.var());
            match vars.into_iter().find(|&input| kind.is_in(&self.get(Atom::Var(input)))) {
                Some(input) => var = input,
                None => return Came::Here(self.origin(at, var, kind, within)),
            }
        }
    }

    /// Equation `at` made such a number, and read none.
    fn origin(&self, at: usize, var: Var, kind: Kind, within: &[String]) -> Found {
        let eqn = &self.program.eqns()[at];
        let inputs = self.all(&eqn.inputs);
        if let Some(mut inner) = inside(&eqn.prim, &inputs, kind, within) {
            // What came in from outside is looked for outside.
            if let Some(i) = inner.infinite_input.take() {
                self.add_infinity(&mut inner, &eqn.inputs[i..=i], within);
            }
            return inner;
        }
        let result = self.get(Atom::Var(var));
        let (value, index) = kind.find(&result).unwrap_or((f64::NAN, vec![]));
        let origin = Origin::Equation {
            primitive: eqn.prim.name(),
            within: within.to_vec(),
            excerpt: self.program.excerpt(at),
            inputs: inputs.iter().map(summary).collect(),
            value,
            index,
            before: None,
        };
        let mut found = Found { origin, infinite_input: None };
        if kind == Kind::Nan {
            self.add_infinity(&mut found, &eqn.inputs, within);
        }
        found
    }

    /// Adds where an infinity among these was computed, unless it was written down.
    fn add_infinity(&self, found: &mut Found, atoms: &[Atom], within: &[String]) {
        let mut vars = atoms.iter().filter_map(|atom| atom.var());
        let infinite = |var: &Var| Kind::Infinite.is_in(&self.get(Atom::Var(*var)));
        let Some(var) = vars.find(infinite) else { return };
        match self.follow(var, Kind::Infinite, within) {
            Came::Here(earlier) if is_constant(&earlier.origin) => {}
            Came::Here(earlier) => found.origin.set_before(earlier.origin),
            Came::From(i) => found.infinite_input = Some(i),
        }
    }
}

/// Whether the origin reads infinities that are written into the program, such as those of a mask.
fn is_constant(origin: &Origin) -> bool {
    match origin {
        Origin::Input { .. } => false,
        Origin::Equation { inputs, .. } => inputs.iter().any(|input| input.contains("inf")),
    }
}

/// The origin inside of a primitive that holds programs, with inputs counted as the primitive's;
/// nothing if it is the primitive itself.
fn inside(prim: &Prim, inputs: &[Buffer], kind: Kind, within: &[String]) -> Option<Found> {
    match prim {
        Prim::Call(Call { body, .. }) => once(body, inputs, kind, within, "a call"),
        Prim::Cond(cond) => {
            let Scalar::I32(index) = inputs[0].first() else { return None };
            let index = index.clamp(0, cond.branches.len() as i32 - 1) as usize;
            let what = format!("branch {index} of cond");
            let mut found = once(&cond.branches[index], &inputs[1..], kind, within, &what)?;
            found.infinite_input = found.infinite_input.map(|i| i + 1);
            Some(found)
        }
        Prim::Scan(scan) => in_scan(scan, inputs, kind, within),
        Prim::While(while_) => in_while(while_, inputs, kind, within),
        // All others compute without programs, or never run.
        _ => None,
    }
}

fn once(
    body: &Program,
    inputs: &[Buffer],
    kind: Kind,
    within: &[String],
    what: &str,
) -> Option<Found> {
    let values = Values::of(body, inputs);
    let within = [within, &[what.to_owned()]].concat();
    match values.follow(values.bad_output(kind)?, kind, &within) {
        Came::Here(found) => Some(found),
        Came::From(_) => None,
    }
}

fn in_scan(scan: &Scan, inputs: &[Buffer], kind: Kind, within: &[String]) -> Option<Found> {
    let (consts, rest) = inputs.split_at(scan.n_consts);
    let (carry, xs) = rest.split_at(scan.n_carry);
    let steps = (0..scan.length).map(|i| {
        let t = if scan.reverse { scan.length - 1 - i } else { i };
        let rows: Vec<Buffer> = xs.iter().map(|x| x.row(t)).collect();
        (format!("row {t} of {} of scan", scan.length), rows)
    });
    in_steps(&scan.body, consts, carry, steps, kind, within)
}

fn in_while(while_: &While, inputs: &[Buffer], kind: Kind, within: &[String]) -> Option<Found> {
    let (cond_consts, rest) = inputs.split_at(while_.n_cond_consts);
    let (body_consts, carry) = rest.split_at(while_.n_body_consts);
    let cond = Plan::new(while_.cond.clone());
    // The condition is asked by a run of its own beside that of the steps.
    let mut own = carry.to_vec();
    let body = Plan::new(while_.body.clone());
    let mut n = 0;
    let steps = std::iter::from_fn(|| {
        let go = cond.run(&[cond_consts, &own].concat());
        if go[0].first() != Scalar::Bool(true) {
            return None;
        }
        own = body.run(&[body_consts, &own].concat());
        n += 1;
        Some((format!("step {} of while", n - 1), vec![]))
    });
    let mut found = in_steps(&while_.body, body_consts, carry, steps, kind, within)?;
    found.infinite_input = found.infinite_input.map(|i| i + while_.n_cond_consts);
    Some(found)
}

/// The first step after which some output is bad, entered.
fn in_steps(
    body: &Program,
    consts: &[Buffer],
    carry: &[Buffer],
    steps: impl Iterator<Item = (String, Vec<Buffer>)>,
    kind: Kind,
    within: &[String],
) -> Option<Found> {
    let n_carry = carry.len();
    let mut carry = carry.to_vec();
    // The first step that ended with an infinity, which may become a NaN later.
    let mut infinite: Option<(String, Vec<Buffer>)> = None;
    for (what, rows) in steps {
        let inputs = [consts, &carry, &rows].concat();
        let values = Values::of(body, &inputs);
        if let Some(var) = values.bad_output(kind) {
            let within_step = [within, &[what]].concat();
            let Came::Here(mut found) = values.follow(var, kind, &within_step) else {
                return None;
            };
            // An infinity in the carry was made by an earlier step.
            let is_carry = |i: &mut usize| (consts.len()..consts.len() + n_carry).contains(i);
            if found.infinite_input.take_if(is_carry).is_some()
                && let Some((what, inputs)) = infinite
                && let Some(earlier) = once(body, &inputs, Kind::Infinite, within, &what)
                && !is_constant(&earlier.origin)
            {
                found.origin.set_before(earlier.origin);
            }
            return Some(found);
        }
        if kind == Kind::Nan && infinite.is_none() && values.bad_output(Kind::Infinite).is_some() {
            infinite = Some((what, inputs));
        }
        carry = values.all(&body.outputs()[..n_carry]);
    }
    None
}

/// The type of a value, and its range.
fn summary(buffer: &Buffer) -> String {
    let aval = crate::ir::Aval::of(buffer);
    let Some(values) = floats(buffer) else { return aval.to_string() };
    if values.iter().any(|x| x.is_nan()) {
        return format!("{aval} with NaN");
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shown = |x: f64| match buffer.dtype() {
        DType::F32 => format!("{:?}", x as f32),
        _ => format!("{x:?}"),
    };
    match values.len() {
        0 => aval.to_string(),
        1 => format!("{aval}: {}", shown(least)),
        _ => format!("{aval} from {} to {}", shown(least), shown(greatest)),
    }
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = match self.output.as_str() {
            "" => "the output".to_owned(),
            path => format!("output {path}"),
        };
        writeln!(f, "{output} is {} at {:?}", self.value, self.index)?;
        write!(f, "{}", self.origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Input { path } => write!(f, "the input {path} is not finite already"),
            Origin::Equation { primitive, within, excerpt, inputs, value, index, before } => {
                let places = within.iter().rev().map(|place| format!(", in {place}"));
                let places: String = places.collect();
                write!(f, "`{primitive}` makes {value} at {index:?}{places}")?;
                write!(f, "\nit reads {}", inputs.join("; "))?;
                for line in excerpt.trim_end().lines() {
                    write!(f, "\n  {line}")?;
                }
                match before {
                    None => Ok(()),
                    Some(before) => write!(f, "\nbefore that, {before}"),
                }
            }
        }
    }
}
