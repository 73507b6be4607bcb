//! The laws over every primitive's examples.
//!
//! Inputs come from a table of domains, so that derivatives exist at them; what has no derivative
//! is also asked at wild values: infinities, NaN, signed zeros, the ends of the integers.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rondeau::buffer::{Buffer, DType, Scalar};
use rondeau::ir::{Aval, Builder, Program, eval};
use rondeau::prim::{Binary, CallKind, Prim, Unary};
use rondeau::transform;

use super::compare::{agree, same};
use super::*;
use crate::generate::{Rng, filled, values};

/// Points at which each example is asked.
const POINTS: u64 = 3;

/// Where a float input is drawn from.
#[derive(Clone, Copy, Debug)]
enum Domain {
    /// `±[0.2, 1.2)`
    Any,
    /// `[low, high)`
    Between(f64, f64),
    /// `±[low, high)`
    Outside(f64, f64),
    /// Between a whole number and the half after it, from -3 to 3.
    OffWhole,
    /// `±[0.2, 2.5)` or `±[3.5, 5.5)`, which is off the multiples of about 3.
    OffThrees,
}

impl Domain {
    /// The domain of input `i`.
    fn of(prim: &Prim, i: usize) -> Domain {
        match prim {
            Prim::Unary(op) => match op {
                Unary::Log | Unary::Log1p | Unary::Sqrt | Unary::Rsqrt => Domain::Between(0.3, 2.0),
                Unary::Asin | Unary::Acos | Unary::ErfInv => Domain::Outside(0.1, 0.8),
                Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round => Domain::OffWhole,
                _ => Domain::Any,
            },
            Prim::Binary(Binary::Pow) if i == 0 => Domain::Between(0.3, 2.0),
            Prim::Binary(Binary::Rem) if i == 0 => Domain::OffThrees,
            Prim::Binary(Binary::Rem) => Domain::Outside(2.9, 3.1),
            _ => Domain::Any,
        }
    }

    fn draw(self, rng: &mut Rng) -> f64 {
        let sign = if rng.chance(2) { -1.0 } else { 1.0 };
        match self {
            Domain::Any => sign * rng.between(0.2, 1.2),
            Domain::Between(low, high) => rng.between(low, high),
            Domain::Outside(low, high) => sign * rng.between(low, high),
            Domain::OffWhole => rng.below(6) as f64 - 3.0 + rng.between(0.1, 0.4),
            Domain::OffThrees if rng.chance(2) => sign * rng.between(0.2, 2.5),
            Domain::OffThrees => sign * rng.between(3.5, 5.5),
        }
    }
}

fn tame(prim: &Prim, avals: &[Aval], rng: &mut Rng) -> Vec<Buffer> {
    let value = |(i, aval): (usize, &Aval)| match aval.is_float() {
        true => {
            let domain = Domain::of(prim, i);
            filled(aval, &mut || Scalar::of(domain.draw(rng), aval.dtype))
        }
        false => values(aval, rng),
    };
    avals.iter().enumerate().map(value).collect()
}

/// Values at which implementations differ. Loops whose number of steps is data keep tame counts.
fn wild(prim: &Prim, avals: &[Aval], rng: &mut Rng) -> Vec<Buffer> {
    let is_while = matches!(prim, Prim::While(_));
    const FLOATS: [f64; 10] =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-40];
    const WHOLE: [i32; 10] = [0, 1, -1, 2, -2, 31, 32, 40, i32::MAX, i32::MIN];
    let draw = |dtype: DType, rng: &mut Rng| match dtype {
        DType::F32 | DType::F64 => Scalar::of(FLOATS[rng.below(10)], dtype),
        DType::I32 => Scalar::I32(WHOLE[rng.below(10)]),
        DType::U32 => Scalar::U32(WHOLE[rng.below(10)] as u32),
        _ => Scalar::Bool(rng.chance(2)),
    };
    let value = |aval: &Aval| match is_while && aval.dtype.is_integer() {
        true => values(aval, rng),
        false => filled(aval, &mut || draw(aval.dtype, rng)),
    };
    avals.iter().map(value).collect()
}

/// A program of one equation.
fn alone(prim: &Prim, avals: &[Aval]) -> Program {
    let mut b = Builder::new();
    let inputs = b.inputs(avals);
    let outputs = b.bind(prim.clone(), &inputs);
    b.finish(outputs)
}

/// Whether central differences can say something: double precision only, a jvp that runs, and a
/// derivative that is meant to be that of the function.
fn is_smooth(program: &Program) -> bool {
    let stops = contains(program, &|prim| *prim == Prim::Unary(Unary::StopGradient));
    Class::of(program) == Class::Double && !has_custom_vjp(program) && !stops
}

/// One example of a primitive before a law.
struct Case<'a> {
    prim: &'a Prim,
    program: Program,
    avals: Vec<Aval>,
    rng: Rng,
    checks: usize,
}

impl Case<'_> {
    fn tame(&mut self) -> Vec<Buffer> {
        tame(self.prim, &self.avals, &mut self.rng)
    }

    /// The tame points, and two wild ones.
    fn points(&mut self) -> Vec<Vec<Buffer>> {
        let mut points: Vec<_> = (0..POINTS).map(|_| self.tame()).collect();
        points.extend((0..2).map(|_| wild(self.prim, &self.avals, &mut self.rng)));
        points
    }

    /// The non-empty choices of float inputs to differentiate by.
    fn float_subsets(&mut self) -> Vec<Vec<bool>> {
        let mut all = subsets(&floats(&self.avals), &mut self.rng);
        all.retain(|by| by.contains(&true));
        all
    }
}

/// Puts every example before a law, and tells all that break it.
fn over_examples(name: &str, law: impl Fn(&mut Case) -> Law) {
    let (mut n_checks, mut primitives, mut broken) = (0, BTreeSet::new(), Vec::new());
    let examples = Prim::examples();
    for (i, (prim, avals)) in examples.iter().enumerate() {
        primitives.insert(prim.name());
        let program = alone(prim, avals);
        let mut case =
            Case { prim, program, avals: avals.clone(), rng: Rng::new(i as u64), checks: 0 };
        // A rule's panic is told with its example too.
        let result = catch_unwind(AssertUnwindSafe(|| law(&mut case)));
        let result = result.unwrap_or_else(|_| Err(format!("it panics\n{}", case.program)));
        n_checks += case.checks;
        if let Err(text) = result {
            broken.push(format!("example {i}, {} {avals:?}: {text}", prim.name()));
        }
    }
    let (n, m) = (primitives.len(), examples.len());
    report(&format!("laws: {name}: {n} primitives, {m} examples, {n_checks} checks"));
    let shown = broken.iter().take(8).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(broken.is_empty(), "{} examples break the law of {name}\n{shown}", broken.len());
}

#[test]
fn inferred_types_are_those_of_the_values() {
    over_examples("infer = eval", |case| {
        for inputs in case.points() {
            types(&case.program, &inputs)?;
            case.checks += 1;
        }
        Ok(())
    });
}

#[test]
fn the_layout_of_inputs_changes_no_bit() {
    over_examples("layout", |case| {
        for inputs in case.points() {
            layouts(&case.program, &inputs)?;
            case.checks += 1;
        }
        Ok(())
    });
}

#[test]
fn tangents_are_central_differences() {
    over_examples("jvp = central difference", |case| {
        if !is_smooth(&case.program) {
            return Ok(());
        }
        for by in case.float_subsets() {
            for _ in 0..POINTS {
                let inputs = case.tame();
                let found = tangents(&case.program, &inputs, &by, &mut case.rng)?;
                ensure!(found == Found::Agreement, "differences are no help\n{}", case.program);
                case.checks += 1;
            }
        }
        Ok(())
    });
}

#[test]
fn cotangents_are_adjoint_to_tangents() {
    over_examples("adjoint identity", |case| {
        for by in case.float_subsets() {
            for _ in 0..POINTS {
                let inputs = case.tame();
                let found = adjoint(&case.program, &inputs, &by, &mut case.rng)?;
                ensure!(found == Found::Agreement, "differences are no help\n{}", case.program);
                case.checks += 1;
            }
        }
        Ok(())
    });
}

#[test]
fn cotangents_of_batches_are_adjoint_to_their_tangents() {
    over_examples("adjoint identity of batches", |case| {
        let by = floats(&case.avals);
        let all = subsets(&vec![true; case.avals.len()], &mut case.rng);
        for mapped in all.into_iter().filter(|mapped| by.contains(&true) && mapped.contains(&true))
        {
            let none = vec![false; case.program.outputs().len()];
            let batched = transform::vmap(&case.program, 2, &mapped, &none).program;
            let inputs = tame(case.prim, &batched.input_avals(), &mut case.rng);
            let found = adjoint(&batched, &inputs, &by, &mut case.rng)?;
            ensure!(found == Found::Agreement, "differences are no help\n{batched}");
            case.checks += 1;
        }
        Ok(())
    });
}

/// The inputs, as sets, in which an equation is linear.
fn linear_subsets(case: &mut Case) -> Vec<Vec<bool>> {
    let all = case.float_subsets();
    let only = |place: usize| -> Vec<Vec<bool>> {
        let alone: Vec<bool> = (0..case.avals.len()).map(|i| i == place).collect();
        all.iter().filter(|by| **by == alone).cloned().collect()
    };
    let (first, second) = (only(0), only(1));
    match case.prim {
        Prim::Unary(Unary::Neg) => first,
        Prim::Binary(Binary::Add | Binary::Sub) => all,
        Prim::Binary(Binary::Mul) | Prim::DotGeneral(_) => [first, second].concat(),
        Prim::Binary(Binary::Div) => first,
        Prim::Convert(convert) if convert.dtype.is_float() => first,
        Prim::Reduce(reduce) if reduce.fold == Fold::Sum => first,
        Prim::Cumulative(cumulative) if cumulative.fold == Fold::Sum => first,
        Prim::Select(_)
        | Prim::Broadcast(_)
        | Prim::Reshape(_)
        | Prim::Transpose(_)
        | Prim::Slice(_)
        | Prim::Pad(_)
        | Prim::Concat(_)
        | Prim::Reverse(_)
        | Prim::DynamicSlice(_)
        | Prim::DynamicUpdate(_)
        | Prim::Gather(_)
        | Prim::Scatter(_) => all,
        Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::Convert(_)
        | Prim::Reduce(_)
        | Prim::Cumulative(_)
        | Prim::Bitcast(_)
        | Prim::Iota(_)
        | Prim::ArgReduce(_)
        | Prim::Sort(_)
        | Prim::Threefry(_)
        | Prim::Tap(_)
        | Prim::Scan(_)
        | Prim::While(_)
        | Prim::Cond(_)
        | Prim::Call(_)
        | Prim::CustomLinear(_) => vec![],
    }
}

#[test]
fn transposes_of_linear_primitives_are_adjoint() {
    over_examples("transpose", |case| {
        for linear in linear_subsets(case) {
            for _ in 0..POINTS {
                transposed(case.prim, &case.avals, &linear, &mut case.rng)?;
                case.checks += 1;
            }
        }
        // And the linear equations that derivatives are made of, loops among them.
        for by in case.float_subsets() {
            case.checks += transposes(&case.program, &by, &mut case.rng)?;
        }
        Ok(())
    });
}

#[test]
fn a_batch_is_a_loop_over_examples() {
    over_examples("batch = loop", |case| {
        let exact = !has_sums(&case.program);
        let all = subsets(&vec![true; case.avals.len()], &mut case.rng);
        for mapped in all.into_iter().filter(|mapped| mapped.contains(&true)) {
            for size in [3, 1, 0] {
                for is_wild in [false, true] {
                    let of = |(aval, &mapped): (&Aval, &bool)| {
                        if mapped { aval.prepend(size) } else { aval.clone() }
                    };
                    let avals: Vec<Aval> = case.avals.iter().zip(&mapped).map(of).collect();
                    let inputs = match is_wild {
                        true => wild(case.prim, &avals, &mut case.rng),
                        false => tame(case.prim, &avals, &mut case.rng),
                    };
                    batch(&case.program, size, &mapped, &inputs, exact)?;
                    case.checks += 1;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn second_derivatives_are_derivatives_of_derivatives() {
    over_examples("second order", |case| {
        let by = floats(&case.avals);
        if !by.contains(&true) {
            return Ok(());
        }
        let vjp = gradients(&case.program, &by)?;
        // Where there is no reverse mode, forward mode twice.
        let again = match vjp {
            Some(vjp) => vjp,
            None => checked("the jvp", transform::jvp(&case.program, &by, &[]).program)?,
        };
        if !is_smooth(&again) {
            return Ok(());
        }
        let by = floats(&again.input_avals());
        for _ in 0..POINTS {
            let mut inputs = case.tame();
            for aval in &again.input_avals()[inputs.len()..] {
                inputs.push(values(aval, &mut case.rng));
            }
            let found = tangents(&again, &inputs, &by, &mut case.rng)?;
            ensure!(found == Found::Agreement, "differences are no help\n{again}");
            adjoint(&again, &inputs, &by, &mut case.rng)?;
            case.checks += 2;
        }
        Ok(())
    });
}

#[test]
fn programs_read_back_from_their_text() {
    over_examples("parse(print) = program", |case| {
        checked("the example", case.program.clone())?;
        case.checks += 1;
        Ok(())
    });
}

#[test]
fn unused_outputs_may_go() {
    over_examples("dce", |case| {
        let n_out = case.program.outputs().len();
        for used in subsets(&vec![true; n_out], &mut case.rng) {
            for inputs in case.points() {
                dead_code(&case.program, &used, &inputs, &mut case.rng)?;
                case.checks += 1;
            }
        }
        Ok(())
    });
}

#[test]
fn known_and_then_unknown_is_the_whole() {
    over_examples("partial evaluation", |case| {
        let n_out = case.program.outputs().len();
        for unknown in subsets(&vec![true; case.avals.len()], &mut case.rng) {
            let force = subset(&vec![true; n_out], &mut case.rng);
            for inputs in case.points() {
                split(&case.program, &unknown, &vec![false; n_out], &inputs)?;
                split(&case.program, &unknown, &force, &inputs)?;
                case.checks += 2;
            }
        }
        Ok(())
    });
}

#[test]
fn a_checkpoint_changes_no_gradient() {
    over_examples("checkpoint", |case| {
        let by = floats(&case.avals);
        let wrapped = checkpointed(&case.program);
        for inputs in case.points() {
            same(
                "the checkpoint",
                &eval(&wrapped, &inputs),
                &eval(&case.program, &inputs),
                &wrapped,
            )?;
        }
        let both = gradients(&case.program, &by)?.zip(gradients(&wrapped, &by)?);
        let Some((plain, remat)) = both.filter(|_| by.contains(&true)) else { return Ok(()) };
        for _ in 0..POINTS {
            let mut inputs = case.tame();
            for aval in &plain.input_avals()[inputs.len()..] {
                inputs.push(values(aval, &mut case.rng));
            }
            let (got, expected) = (eval(&remat, &inputs), eval(&plain, &inputs));
            agree("gradients", &got, &expected, Class::of(&plain), &remat)?;
            case.checks += 1;
        }
        Ok(())
    });
}

#[test]
fn a_stopped_gradient_is_zero() {
    for (prim, avals) in Prim::examples() {
        if prim == Prim::Unary(Unary::StopGradient) && avals[0].is_float() {
            let jvp = transform::jvp(&alone(&prim, &avals), &[true], &[false]);
            assert_eq!(jvp.nonzero, [false], "{}", jvp.program);
        }
    }
}

/// `while` has no reverse mode, and says so.
#[test]
fn loops_without_a_length_have_no_reverse_mode() {
    let whiles = Prim::examples().into_iter().filter(|(prim, _)| matches!(prim, Prim::While(_)));
    let mut n = 0;
    for (prim, avals) in whiles {
        let result = transform::vjp(&alone(&prim, &avals), &floats(&avals));
        let error = result.expect_err("while has no reverse mode");
        assert_eq!(error.kind(), ErrorKind::Derivative, "{error}");
        n += 1;
    }
    assert!(n > 0);
    let is_custom = |prim: &Prim| matches!(prim, Prim::CustomLinear(_));
    assert!(!Prim::examples().iter().any(|(prim, _)| is_custom(prim)));
}

/// Each kind of call has examples, since they are told apart by more than their name.
#[test]
fn every_kind_of_call_is_asked() {
    let mut kinds = [false; 3];
    for (prim, _) in Prim::examples() {
        if let Prim::Call(call) = prim {
            kinds[match call.kind {
                CallKind::Remat => 0,
                CallKind::CustomJvp { .. } => 1,
                CallKind::CustomVjp { .. } => 2,
            }] = true;
        }
    }
    assert_eq!(kinds, [true; 3]);
}
