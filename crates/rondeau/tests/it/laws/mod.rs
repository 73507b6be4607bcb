//! The laws that primitives, programs and transformations keep, as functions of a program and a
//! point. [`primitives`] puts every primitive's examples before them, [`programs`] random programs.

mod compare;
mod found;
mod primitives;
mod programs;

use std::io::Write as _;
use std::sync::Arc;

use compare::{Class, agree, inner, same};
use rondeau::buffer::Buffer;
use rondeau::error::ErrorKind;
use rondeau::ir::{Atom, Aval, Builder, Program, eval};
use rondeau::prim::{Call, CallKind, Cotangent, Fold, Operand, Prim};
use rondeau::transform::{self, Linearized};

use crate::generate::{Rng, values};

/// A broken law is told in a text that shows the program.
type Law = Result<(), String>;

/// Fails with a text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        // A comparison with NaN does not hold.
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($text)*));
        }
    };
}
use ensure;

/// Writes a line past the test harness, which would keep it to itself.
fn report(line: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether some equation's primitive, here or in an inner program, is such.
fn contains(program: &Program, is: &dyn Fn(&Prim) -> bool) -> bool {
    let here = |prim: &Prim| is(prim) || prim.bodies().iter().any(|body| contains(body, is));
    program.eqns().iter().any(|eqn| here(&eqn.prim))
}

fn has_while(program: &Program) -> bool {
    contains(program, &|prim| matches!(prim, Prim::While(_)))
}

fn has_custom_vjp(program: &Program) -> bool {
    let custom = |kind: &CallKind| matches!(kind, CallKind::CustomVjp { .. });
    contains(program, &|prim| matches!(prim, Prim::Call(call) if custom(&call.kind)))
}

/// Whether the order of a sum or product may depend on its place in the program.
fn has_sums(program: &Program) -> bool {
    contains(program, &|prim| match prim {
        Prim::DotGeneral(_) => true,
        Prim::Reduce(reduce) => matches!(reduce.fold, Fold::Sum | Fold::Prod),
        _ => false,
    })
}

fn floats(avals: &[Aval]) -> Vec<bool> {
    avals.iter().map(Aval::is_float).collect()
}

fn pick<T: Clone>(items: &[T], flags: &[bool]) -> Vec<T> {
    items.iter().zip(flags).filter(|&(_, &flag)| flag).map(|(item, _)| item.clone()).collect()
}

fn not(flags: &[bool]) -> Vec<bool> {
    flags.iter().map(|flag| !flag).collect()
}

/// All ways to choose among the allowed positions; of many, a sample with none and all of them.
fn subsets(allowed: &[bool], rng: &mut Rng) -> Vec<Vec<bool>> {
    let places: Vec<usize> = (0..allowed.len()).filter(|&i| allowed[i]).collect();
    let all = 1_u64 << places.len();
    let chosen: Vec<u64> = match all {
        0..=32 => (0..all).collect(),
        _ => [0, all - 1].into_iter().chain((0..30).map(|_| rng.next() % all)).collect(),
    };
    let subset = |bits: u64| {
        let mut flags = vec![false; allowed.len()];
        for (i, &place) in places.iter().enumerate() {
            flags[place] = bits >> i & 1 == 1;
        }
        flags
    };
    chosen.into_iter().map(subset).collect()
}

/// A random choice among the allowed positions, with at least one if there is one.
fn subset(allowed: &[bool], rng: &mut Rng) -> Vec<bool> {
    let mut flags: Vec<bool> = allowed.iter().map(|&allowed| allowed && rng.chance(2)).collect();
    let places: Vec<usize> = (0..allowed.len()).filter(|&i| allowed[i]).collect();
    if !places.is_empty() && !flags.contains(&true) {
        flags[places[rng.below(places.len())]] = true;
    }
    flags
}

/// The program, if it keeps the rules of programs and reads back as itself.
fn checked(what: &str, program: Program) -> Result<Program, String> {
    if let Err(error) = program.check() {
        return Err(format!("{what} does not check: {error}\n{program}"));
    }
    let text = program.to_string();
    match text.parse::<Program>() {
        Ok(back) if back == program => Ok(program),
        Ok(back) => Err(format!("{what} reads back as another program\n{text}\n{back}")),
        Err(error) => Err(format!("{what} does not read back: {error}\n{text}")),
    }
}

/// Outputs have the types that the program says.
fn types(program: &Program, inputs: &[Buffer]) -> Law {
    checked("the program", program.clone())?;
    let got: Vec<Aval> = eval(program, inputs).iter().map(Aval::of).collect();
    ensure!(got == program.output_avals(), "types: eval gives {got:?}\n{program}");
    Ok(())
}

/// The same values in other places of memory: the first axis innermost, each axis from its end,
/// and with gaps.
fn laid_otherwise(x: &Buffer) -> [Buffer; 3] {
    let axes: Vec<usize> = (0..x.shape().rank()).collect();
    let turned: Vec<usize> = axes.iter().rev().copied().collect();
    let last_first: Vec<usize> = [axes.len()].into_iter().chain(axes.iter().copied()).collect();
    let first_last: Vec<usize> = axes.iter().map(|axis| axis + 1).chain([0]).collect();
    let two = Buffer::stack(&[x.clone(), x.clone()], x.shape(), x.dtype());
    [
        x.transpose(&turned).to_dense().transpose(&turned),
        x.reverse(&axes).to_dense().reverse(&axes),
        two.transpose(&first_last).to_dense().transpose(&last_first).row(0),
    ]
}

/// Equal inputs give equal bits, however they lie in memory.
fn layouts(program: &Program, inputs: &[Buffer]) -> Law {
    let expected = eval(program, inputs);
    let dense: Vec<Buffer> = inputs.iter().map(Buffer::to_dense).collect();
    same("dense inputs", &eval(program, &dense), &expected, program)?;
    for (i, what) in ["first axis innermost", "reversed", "with gaps"].into_iter().enumerate() {
        let laid: Vec<Buffer> = inputs.iter().map(|x| laid_otherwise(x)[i].clone()).collect();
        same(what, &eval(program, &laid), &expected, program)
            .map_err(|text| format!("{text}\nat {inputs:?}"))?;
    }
    Ok(())
}

/// How far a derivative may be from a central difference, in units of the greatest element.
const DIFFERENCE: f64 = 1.0 / (1 << 23) as f64;

/// The derivative along a direction, by central differences of fourth order; `None` for outputs
/// without one.
fn differences(
    program: &Program,
    inputs: &[Buffer],
    by: &[bool],
    dx: &[Buffer],
    step: f64,
) -> Vec<Option<Vec<f64>>> {
    let at = |t: f64| {
        let mut dx = dx.iter();
        let moved: Vec<Buffer> =
            inputs
                .iter()
                .zip(by)
                .map(|(x, &by)| {
                    if by { compare::moved(x, t, dx.next().expect("one each")) } else { x.clone() }
                })
                .collect();
        eval(program, &moved)
    };
    // 8·(f(h) - f(-h)) - (f(2h) - f(-2h)) over 12h
    let points = [(8.0, step), (-8.0, -step), (-1.0, 2.0 * step), (1.0, -2.0 * step)];
    let outputs = points.map(|(weight, t)| (weight, at(t)));
    (0..program.outputs().len())
        .map(|i| {
            let mut sum = compare::floats(&outputs[0].1[i])?;
            sum.fill(0.0);
            for (weight, outputs) in &outputs {
                let values = compare::floats(&outputs[i]).expect("of one type");
                sum.iter_mut().zip(values).for_each(|(sum, y)| *sum += weight * y / (12.0 * step));
            }
            Some(sum)
        })
        .collect()
}

/// The tangents of the float outputs; zeros are written out.
fn push(
    program: &Program,
    inputs: &[Buffer],
    by: &[bool],
    dx: &[Buffer],
) -> Result<Vec<Option<Vec<f64>>>, String> {
    let n_out = program.outputs().len();
    let jvp = transform::jvp(program, by, &vec![false; n_out]);
    let step = checked("the jvp", jvp.program)?;
    let mut outputs = eval(&step, &[inputs, dx].concat());
    let mut tangents = outputs.split_off(n_out).into_iter();
    same("the values of the jvp", &outputs, &eval(program, inputs), program)?;
    let of = |(y, &nonzero): (&Buffer, &bool)| {
        let values = compare::floats(y)?;
        Some(match nonzero {
            true => compare::floats(&tangents.next().expect("one for each flag")).expect("a float"),
            false => vec![0.0; values.len()],
        })
    };
    Ok(outputs.iter().zip(&jvp.nonzero).map(of).collect())
}

/// What a comparison with differences found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Agreement,
    /// The function bends too much near the point for differences to tell.
    Nothing,
}

/// Whether some differences agree with a derivative. A step is small enough where a smaller one
/// gives the same, and kinks nearby need smaller ones.
///
/// # Errors
/// Two differences that agree with each other and not with the derivative.
fn against_differences(
    program: &Program,
    inputs: &[Buffer],
    by: &[bool],
    dx: &[Buffer],
    agrees: impl Fn(&[Option<Vec<f64>>]) -> bool,
) -> Result<Found, String> {
    let mut before: Option<Vec<Option<Vec<f64>>>> = None;
    for step in [2_f64.powi(-10), 2_f64.powi(-14), 2_f64.powi(-18)] {
        let differences = differences(program, inputs, by, dx, step);
        if agrees(&differences) {
            return Ok(Found::Agreement);
        }
        if before.is_some_and(|before| are_close(&before, &differences)) {
            return Err(format!(
                "differences by {step:e} are\n{differences:?}\nalong {dx:?} at {inputs:?}\n{program}"
            ));
        }
        before = Some(differences);
    }
    Ok(Found::Nothing)
}

fn are_close(a: &[Option<Vec<f64>>], b: &[Option<Vec<f64>>]) -> bool {
    a.iter().zip(b).all(|pair| match pair {
        (Some(a), Some(b)) => compare::distance(a, b) <= DIFFERENCE,
        (a, b) => a.is_none() && b.is_none(),
    })
}

fn directions(program: &Program, by: &[bool], rng: &mut Rng) -> Vec<Buffer> {
    pick(&program.input_avals(), by).iter().map(|aval| values(aval, rng)).collect()
}

/// The tangent along a random direction is the central difference along it.
fn tangents(
    program: &Program,
    inputs: &[Buffer],
    by: &[bool],
    rng: &mut Rng,
) -> Result<Found, String> {
    let dx = directions(program, by, rng);
    let tangents = push(program, inputs, by, &dx)?;
    against_differences(program, inputs, by, &dx, |differences| are_close(&tangents, differences))
        .map_err(|text| format!("tangents by {by:?} are\n{tangents:?}\nand {text}"))
}

/// A cotangent for each float output; some are zero.
fn cotangents(program: &Program, rng: &mut Rng) -> Vec<Option<Buffer>> {
    let mut cts: Vec<Option<Buffer>> = program
        .output_avals()
        .iter()
        .map(|aval| (aval.is_float() && !rng.chance(5)).then(|| values(aval, rng)))
        .collect();
    if let Some(i) = program.output_avals().iter().position(Aval::is_float) {
        cts[i].get_or_insert_with(|| values(&program.output_avals()[i], rng));
    }
    cts
}

fn pairing(cts: &[Option<Buffer>], tangents: &[Option<Vec<f64>>]) -> (f64, f64) {
    let pairs = cts.iter().zip(tangents).filter_map(|pair| match pair {
        (Some(ct), Some(tangent)) => Some((compare::floats(ct)?, tangent.clone())),
        _ => None,
    });
    inner(pairs)
}

/// `⟨ct, J dx⟩ = ⟨Jᵀ ct, dx⟩`, and the linear program is `J`. Where there is no `Jᵀ`, a `while` is
/// why. A rule for cotangents only has no `J`, so that differences stand for it.
fn adjoint(
    program: &Program,
    inputs: &[Buffer],
    by: &[bool],
    rng: &mut Rng,
) -> Result<Found, String> {
    let n_out = program.outputs().len();
    let dx = directions(program, by, rng);
    let cts = cotangents(program, rng);
    let lin = transform::linearize(program, by);
    let forward = checked("the forward program", lin.forward.clone())?;
    let linear = checked("the linear program", lin.linear.clone())?;
    let mut outputs = eval(&forward, inputs);
    let residuals = outputs.split_off(n_out);
    same("the values of the forward program", &outputs, &eval(program, inputs), program)?;
    let Some(back) = backward(program, &lin, by, &cts)? else { return Ok(Found::Agreement) };
    let given: Vec<Buffer> =
        residuals.iter().cloned().chain(cts.iter().flatten().cloned()).collect();
    let pulled = eval(&back, &given);
    let pairs = pulled.iter().zip(&dx);
    let (right, right_size) =
        inner(pairs.filter_map(|(ct, dx)| Some((compare::floats(ct)?, compare::floats(dx)?))));

    let is_adjoint = |tangents: &[Option<Vec<f64>>], class: Class| {
        let (left, left_size) = pairing(&cts, tangents);
        // Values inside are of size about 1, and may have canceled: so has their rounding to be
        // counted.
        let size = left_size.max(right_size).max(1.0);
        (left - right).abs() <= class.tolerance() * size
    };
    let tell = |text: String| {
        format!(
            "by {by:?}: ⟨Jᵀ ct, dx⟩ = {right}, and {text}\ndx = {dx:?}\nct = {cts:?}\n\
             at {inputs:?}\n{program}\nlinear: {linear}\nbackward: {back}"
        )
    };
    if has_custom_vjp(program) {
        let agrees = |differences: &[Option<Vec<f64>>]| is_adjoint(differences, Class::Difference);
        return against_differences(program, inputs, by, &dx, agrees).map_err(tell);
    }
    let (tangents, class) = (push(program, inputs, by, &dx)?, Class::of(program));
    let mut flat = eval(&linear, &[dx.clone(), residuals].concat()).into_iter();
    for i in (0..n_out).filter(|&i| lin.nonzero[i]) {
        let of_linear = flat.next().and_then(|y| compare::floats(&y));
        let both = of_linear.as_ref().zip(tangents[i].as_ref());
        ensure!(
            both.is_some_and(|(a, b)| compare::distance(a, b) <= class.tolerance()),
            "output {i}: the linear program gives {of_linear:?}, the jvp {:?}\n{program}\n{linear}",
            tangents[i]
        );
    }
    let (left, _) = pairing(&cts, &tangents);
    match is_adjoint(&tangents, class) {
        true => Ok(Found::Agreement),
        false => Err(tell(format!("⟨ct, J dx⟩ = {left}"))),
    }
}

/// From the residuals, and the cotangents that are there, to those of the `by` inputs; `None` if a
/// `while` is in the way.
fn backward(
    program: &Program,
    lin: &Linearized,
    by: &[bool],
    cts: &[Option<Buffer>],
) -> Result<Option<Program>, String> {
    let mut b = Builder::new();
    let residuals = b.inputs(&lin.residuals);
    let ct_atoms: Vec<Cotangent> = cts
        .iter()
        .map(|ct| match ct {
            Some(ct) => Cotangent::Value(b.input(Aval::of(ct))),
            None => Cotangent::Zero,
        })
        .collect();
    let back = match lin.backward(&mut b, &residuals, &ct_atoms) {
        Ok(back) => back,
        Err(error) => {
            let is_expected = has_while(program) && error.kind() == ErrorKind::Derivative;
            ensure!(is_expected, "there is no adjoint: {error}\n{program}");
            return Ok(None);
        }
    };
    let avals = pick(&program.input_avals(), by);
    let back = back.iter().zip(&avals).map(|(ct, aval)| ct.instantiate(&mut b, aval)).collect();
    checked("the backward program", b.finish(back)).map(Some)
}

/// The adjoint identity of one equation that is linear in these inputs, asked of its own rule.
fn transposed(prim: &Prim, avals: &[Aval], linear: &[bool], rng: &mut Rng) -> Law {
    let mut b = Builder::new();
    let inputs = b.inputs(avals);
    let outputs = b.bind(prim.clone(), &inputs);
    let program = b.finish(outputs);
    let out_avals = program.output_avals();
    let cts = cotangents(&program, rng);

    let mut b = Builder::new();
    let operands: Vec<Operand> = avals
        .iter()
        .zip(linear)
        .map(|(aval, &linear)| match linear {
            true => Operand::Linear(aval.clone()),
            false => Operand::Known(b.input(aval.clone())),
        })
        .collect();
    let ct_atoms: Vec<Cotangent> = cts
        .iter()
        .zip(&out_avals)
        .map(|(ct, aval)| match ct {
            Some(_) => Cotangent::Value(b.input(aval.clone())),
            None => Cotangent::Zero,
        })
        .collect();
    let back =
        prim.transpose(&mut b, &ct_atoms, &operands).map_err(|e| format!("{e}\n{program}"))?;
    ensure!(
        back.len() == avals.len(),
        "transposed: {} cotangents for {} inputs\n{program}",
        back.len(),
        avals.len()
    );
    for (i, ct) in back.iter().enumerate() {
        ensure!(
            linear[i] || *ct == Cotangent::Zero,
            "transposed: a cotangent for input {i}, which is known\n{program}"
        );
    }
    let linear_avals = pick(avals, linear);
    let back = pick(&back, linear);
    let back: Vec<Atom> =
        back.iter().zip(&linear_avals).map(|(ct, aval)| ct.instantiate(&mut b, aval)).collect();
    let back = checked("the transposed equation", b.finish(back))?;

    let known: Vec<Buffer> = avals.iter().map(|aval| values(aval, rng)).collect();
    let dx: Vec<Buffer> = linear_avals.iter().map(|aval| values(aval, rng)).collect();
    let given: Vec<Buffer> =
        pick(&known, &not(linear)).into_iter().chain(cts.iter().flatten().cloned()).collect();
    let pulled = eval(&back, &given);
    // An equation may add a known value: f(dx) - f(0) leaves it out.
    let at = |dx: &dyn Fn(usize) -> Buffer| {
        let mut next = 0..;
        let mixed: Vec<Buffer> = (known.iter().zip(linear))
            .map(|(x, &linear)| if linear { dx(next.next().expect("endless")) } else { x.clone() })
            .collect();
        eval(&program, &mixed)
    };
    let (there, here) = (at(&|i| dx[i].clone()), at(&|i| compare::zeros(&linear_avals[i])));
    let tangents: Vec<Option<Vec<f64>>> = there
        .iter()
        .zip(&here)
        .map(|(there, here)| {
            let (there, here) = (compare::floats(there)?, compare::floats(here)?);
            Some(there.iter().zip(&here).map(|(a, b)| a - b).collect())
        })
        .collect();
    let (left, left_size) = pairing(&cts, &tangents);
    let pairs = pulled
        .iter()
        .zip(&dx)
        .filter_map(|(ct, dx)| Some((compare::floats(ct)?, compare::floats(dx)?)));
    let (right, right_size) = inner(pairs);
    let tolerance = Class::of(&program).tolerance() * left_size.max(right_size).max(1.0);
    ensure!(
        (left - right).abs() <= tolerance,
        "transposed by {linear:?}: ⟨ct, L dx⟩ = {left}, ⟨Lᵀ ct, dx⟩ = {right}\n{program}\n{back}"
    );
    Ok(())
}

/// [`transposed`] for each equation of the derivative that reads a tangent.
fn transposes(program: &Program, by: &[bool], rng: &mut Rng) -> Result<usize, String> {
    let lin = transform::linearize(program, by);
    let mut is_tangent = vec![false; lin.linear.n_vars()];
    let n_by = by.iter().filter(|&&by| by).count();
    lin.linear.inputs()[..n_by].iter().for_each(|var| is_tangent[var.index()] = true);
    let mut n = 0;
    for eqn in lin.linear.eqns() {
        let flags: Vec<bool> = eqn
            .inputs
            .iter()
            .map(|atom| atom.var().is_some_and(|var| is_tangent[var.index()]))
            .collect();
        if !flags.contains(&true) {
            continue;
        }
        eqn.outputs.iter().for_each(|var| is_tangent[var.index()] = true);
        // Loops without a length have no transpose; a rule for cotangents does not run forwards.
        let is_one_way = |prim: &Prim| matches!(prim, Prim::While(_) | Prim::CustomLinear(_));
        let bodies = eqn.prim.bodies();
        if is_one_way(&eqn.prim) || bodies.iter().any(|body| contains(body, &is_one_way)) {
            continue;
        }
        let avals: Vec<Aval> = eqn.inputs.iter().map(|&atom| lin.linear.aval(atom)).collect();
        transposed(&eqn.prim, &avals, &flags, rng)?;
        n += 1;
    }
    Ok(n)
}

/// The program of all examples at once is a loop over them.
fn batch(program: &Program, size: usize, mapped: &[bool], inputs: &[Buffer], exact: bool) -> Law {
    let n_out = program.outputs().len();
    let batched = transform::vmap(program, size, mapped, &vec![false; n_out]);
    let all = checked("the batched program", batched.program)?;
    let outputs = eval(&all, inputs);
    for t in 0..size {
        let of_example = |(x, &mapped): (&Buffer, &bool)| if mapped { x.row(t) } else { x.clone() };
        let example: Vec<Buffer> = inputs.iter().zip(mapped).map(of_example).collect();
        let expected = eval(program, &example);
        let got: Vec<Buffer> = outputs.iter().zip(&batched.mapped).map(of_example).collect();
        let what = format!("example {t} of {size}, mapped {mapped:?}");
        match exact {
            true => same(&what, &got, &expected, program),
            false => agree(&what, &got, &expected, Class::of(program), program),
        }
        .map_err(|text| format!("{text}\nat {example:?}\nbatched: {all}"))?;
    }
    let avals: Vec<Aval> = outputs.iter().map(Aval::of).collect();
    ensure!(
        avals == all.output_avals(),
        "batch: eval gives {avals:?} for {size} examples, mapped {mapped:?}\n{all}"
    );
    Ok(())
}

/// The program with only some outputs computes these, and reads the inputs that it says.
fn dead_code(program: &Program, used: &[bool], inputs: &[Buffer], rng: &mut Rng) -> Law {
    let (pruned, live) = transform::dce(program, used);
    let pruned = checked("the pruned program", pruned)?;
    let expected = pick(&eval(program, inputs), used);
    let other =
        |(x, &live): (&Buffer, &bool)| if live { x.clone() } else { values(&Aval::of(x), rng) };
    let inputs: Vec<Buffer> = inputs.iter().zip(&live).map(other).collect();
    same("the pruned program", &eval(&pruned, &inputs), &expected, program)?;
    ensure!(
        pruned.n_eqns() <= program.n_eqns(),
        "the pruned program is longer\n{program}\n{pruned}"
    );
    let all = vec![true; pruned.outputs().len()];
    ensure!(transform::dce(&pruned, &all).0 == pruned, "the pruned program is not done\n{pruned}");
    Ok(())
}

/// The known part and then the unknown part compute what the whole does.
fn split(program: &Program, unknown: &[bool], force: &[bool], inputs: &[Buffer]) -> Law {
    let split = transform::partial_eval(program, unknown, force);
    let known = checked("the known part", split.known)?;
    let rest = checked("the unknown part", split.unknown)?;
    let mut known_outs = eval(&known, &pick(inputs, &not(unknown)));
    let n_known = split.unknown_out.iter().filter(|&&unknown| !unknown).count();
    let residuals = known_outs.split_off(n_known);
    let avals: Vec<Aval> = residuals.iter().map(Aval::of).collect();
    ensure!(avals == split.residuals, "residuals are {avals:?}\n{program}");
    let unknown_outs = eval(&rest, &[pick(inputs, unknown), residuals].concat());
    let (mut known_outs, mut unknown_outs) = (known_outs.into_iter(), unknown_outs.into_iter());
    let outputs: Option<Vec<Buffer>> = (split.unknown_out.iter())
        .map(|&unknown| if unknown { unknown_outs.next() } else { known_outs.next() })
        .collect();
    let outputs = outputs.ok_or_else(|| format!("an output is missing\n{program}"))?;
    for (i, (&unknown, &force)) in split.unknown_out.iter().zip(force).enumerate() {
        ensure!(unknown || !force, "output {i} was to be unknown\n{program}");
    }
    same("known and then unknown", &outputs, &eval(program, inputs), program)
        .map_err(|text| format!("{text}\nunknown: {unknown:?}\nknown part: {known}\nrest: {rest}"))
}

/// The program that returns the gradients by these inputs too, given cotangents; `None` where a
/// `while` has none.
fn gradients(program: &Program, by: &[bool]) -> Result<Option<Program>, String> {
    match transform::vjp(program, by) {
        Ok(vjp) => checked("the vjp", vjp).map(Some),
        Err(error) if has_while(program) && error.kind() == ErrorKind::Derivative => Ok(None),
        Err(error) => Err(format!("there is no vjp: {error}\n{program}")),
    }
}

/// The program inside one `checkpoint`.
fn checkpointed(program: &Program) -> Program {
    let mut b = Builder::new();
    let inputs = b.inputs(&program.input_avals());
    let call = Call { kind: CallKind::Remat, body: Arc::new(program.clone()) };
    let outputs = b.bind(call, &inputs);
    b.finish(outputs)
}
