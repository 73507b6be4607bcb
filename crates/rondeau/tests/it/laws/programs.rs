//! The laws over random programs.
//!
//! `RONDEAU_CASES` says how many programs all laws take together, `RONDEAU_SEED` which; a failure
//! shows the smallest program found that breaks its law.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use super::compare::agree;
use super::*;
use crate::generate::{self, Genes, Rng, values};

/// What share of the programs goes to each law, in parts of 100.
const SHARES: [(&str, u32); 8] = [
    ("infer = eval", 5),
    ("jvp = central difference", 20),
    ("adjoint identity", 20),
    ("vmap = loop", 15),
    ("second order", 12),
    ("dce", 8),
    ("partial evaluation", 12),
    ("checkpoint", 8),
];

fn from_env(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// One random program before a law.
struct Case {
    program: Program,
    inputs: Vec<Buffer>,
    rng: Rng,
}

impl Case {
    fn new(genes: &Genes, seed: u64) -> Case {
        let program = generate::program(genes);
        let inputs = generate::inputs(&program, seed);
        Case { program, inputs, rng: Rng::new(!seed) }
    }

    /// Some inputs to differentiate by: often all.
    fn by(&mut self) -> Vec<bool> {
        let all = floats(&self.program.input_avals());
        match self.rng.chance(2) {
            true => all,
            false => subset(&all, &mut self.rng),
        }
    }
}

/// Puts a law's share of random programs before it. The law says how many checks it made.
fn over_programs(name: &str, law: impl Fn(&mut Case) -> Result<usize, String>) {
    let (_, share) = SHARES.iter().find(|(law, _)| *law == name).expect("every law has a share");
    let cases = (from_env("RONDEAU_CASES", 10_000) * u64::from(*share)).div_ceil(100);
    let config = Config {
        cases: cases as u32,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        rng_seed: RngSeed::Fixed(from_env("RONDEAU_SEED", 0) ^ u64::from(*share) << 32),
        ..Config::default()
    };
    // Genes are drawn, taken away and never changed; the point is drawn and kept.
    let genes = vec(any::<u64>().no_shrink(), 4..=16);
    let strategy = (genes, any::<u64>().no_shrink());
    let (n_checks, n_eqns, n_programs) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let result = TestRunner::new(config).run(&strategy, |(genes, seed)| {
        let mut case = Case::new(&genes, seed);
        n_eqns.set(n_eqns.get() + case.program.n_eqns());
        n_programs.set(n_programs.get() + 1);
        // A rule's panic is told with its program too.
        let result = catch_unwind(AssertUnwindSafe(|| law(&mut case)));
        let result = result.unwrap_or_else(|_| Err(format!("it panics\n{}", case.program)));
        let n = result.map_err(TestCaseError::fail)?;
        n_checks.set(n_checks.get() + n);
        Ok(())
    });
    let (n, m) = (n_programs.get(), n_checks.get());
    let mean = n_eqns.get() as f64 / f64::from(n.max(1));
    report(&format!(
        "laws: {name}: {n} random programs of {mean:.0} equations on average, {m} checks"
    ));
    if let Err(error) = result {
        panic!("random programs break the law of {name}\n{error}");
    }
}

#[test]
fn inferred_types_are_those_of_the_values_and_layouts_change_no_bit() {
    over_programs("infer = eval", |case| {
        types(&case.program, &case.inputs)?;
        layouts(&case.program, &case.inputs)?;
        Ok(2)
    });
}

/// Counts what differences could not tell; more than one in fifty would make the law hollow.
struct Told {
    n: Cell<usize>,
    nothing: Cell<usize>,
}

impl Told {
    fn new() -> Told {
        Told { n: Cell::new(0), nothing: Cell::new(0) }
    }

    fn count(&self, found: Found) {
        self.n.set(self.n.get() + 1);
        self.nothing.set(self.nothing.get() + usize::from(found == Found::Nothing));
    }

    fn check(&self) {
        let (n, nothing) = (self.n.get(), self.nothing.get());
        assert!(nothing * 50 <= n, "differences tell nothing about {nothing} of {n} programs");
    }
}

#[test]
fn tangents_are_central_differences() {
    let told = Told::new();
    over_programs("jvp = central difference", |case| {
        if has_custom_vjp(&case.program) {
            return Ok(0);
        }
        let by = case.by();
        let found = tangents(&case.program, &case.inputs, &by, &mut case.rng)?;
        told.count(found);
        Ok(1)
    });
    told.check();
}

#[test]
fn cotangents_are_adjoint_to_tangents() {
    let told = Told::new();
    over_programs("adjoint identity", |case| {
        let by = case.by();
        told.count(adjoint(&case.program, &case.inputs, &by, &mut case.rng)?);
        let n = 1 + transposes(&case.program, &by, &mut case.rng)?;
        // Of one in four, the gradients of a batch too.
        if !case.rng.chance(4) {
            return Ok(n);
        }
        let mapped = subset(&vec![true; case.inputs.len()], &mut case.rng);
        let none = vec![false; case.program.outputs().len()];
        let batched = transform::vmap(&case.program, 2, &mapped, &none).program;
        let inputs = generate::inputs(&batched, case.rng.next());
        told.count(adjoint(&batched, &inputs, &by, &mut case.rng)?);
        Ok(n + 1)
    });
    told.check();
}

/// The program at a batch of points.
fn batched(program: &Program, rng: &mut Rng) -> Law {
    let avals = program.input_avals();
    let mapped = subset(&vec![true; avals.len()], rng);
    let size = 1 + rng.below(3);
    let of = |(aval, &mapped): (&Aval, &bool)| {
        values(&if mapped { aval.prepend(size) } else { aval.clone() }, rng)
    };
    let inputs: Vec<Buffer> = avals.iter().zip(&mapped).map(of).collect();
    batch(program, size, &mapped, &inputs, !has_sums(program))
}

#[test]
fn a_batch_is_a_loop_over_examples() {
    over_programs("vmap = loop", |case| {
        batched(&case.program, &mut case.rng)?;
        // Of one in four, the gradients in a batch too.
        if !case.rng.chance(4) {
            return Ok(1);
        }
        let by = case.by();
        match gradients(&case.program, &by)? {
            Some(vjp) => batched(&vjp, &mut case.rng).map(|()| 2),
            None => Ok(1),
        }
    });
}

#[test]
fn second_derivatives_are_derivatives_of_derivatives() {
    let told = Told::new();
    over_programs("second order", |case| {
        let by = case.by();
        let again = match gradients(&case.program, &by)? {
            Some(vjp) => vjp,
            None if has_custom_vjp(&case.program) => return Ok(0),
            None => checked("the jvp", transform::jvp(&case.program, &by, &[]).program)?,
        };
        let mut inputs = case.inputs.clone();
        for aval in &again.input_avals()[inputs.len()..] {
            inputs.push(values(aval, &mut case.rng));
        }
        let by = floats(&again.input_avals());
        told.count(adjoint(&again, &inputs, &by, &mut case.rng)?);
        // A rule for cotangents that nothing was differentiated through is still there.
        if has_custom_vjp(&again) {
            return Ok(1);
        }
        told.count(tangents(&again, &inputs, &by, &mut case.rng)?);
        Ok(2)
    });
    told.check();
}

#[test]
fn unused_outputs_may_go() {
    over_programs("dce", |case| {
        let n_out = case.program.outputs().len();
        let used = subset(&vec![true; n_out], &mut case.rng);
        dead_code(&case.program, &used, &case.inputs, &mut case.rng)?;
        Ok(1)
    });
}

#[test]
fn known_and_then_unknown_is_the_whole() {
    over_programs("partial evaluation", |case| {
        let (n_in, n_out) = (case.inputs.len(), case.program.outputs().len());
        for _ in 0..3 {
            let unknown: Vec<bool> = (0..n_in).map(|_| case.rng.chance(2)).collect();
            let force: Vec<bool> = (0..n_out).map(|_| case.rng.chance(4)).collect();
            split(&case.program, &unknown, &force, &case.inputs)?;
        }
        Ok(3)
    });
}

#[test]
fn a_checkpoint_changes_no_gradient() {
    over_programs("checkpoint", |case| {
        let by = case.by();
        let wrapped = checkpointed(&case.program);
        let both = gradients(&case.program, &by)?.zip(gradients(&wrapped, &by)?);
        let Some((plain, remat)) = both else { return Ok(0) };
        let mut inputs = case.inputs.clone();
        for aval in &plain.input_avals()[inputs.len()..] {
            inputs.push(values(aval, &mut case.rng));
        }
        let (got, expected) = (eval(&remat, &inputs), eval(&plain, &inputs));
        agree("gradients", &got, &expected, Class::of(&plain), &remat)?;
        Ok(1)
    });
}

/// The generator reaches what it is meant to reach.
#[test]
fn random_programs_hold_every_kind_of_equation() {
    fn count(program: &Program, depth: usize, seen: &mut BTreeMap<&'static str, usize>) -> usize {
        let mut deepest = depth;
        for eqn in program.eqns() {
            *seen.entry(eqn.prim.name()).or_default() += 1;
            for body in eqn.prim.bodies() {
                deepest = deepest.max(count(body, depth + 1, seen));
            }
        }
        deepest
    }
    let mut seen = BTreeMap::new();
    let mut n_reverse = 0;
    let mut deepest = 0;
    let n = 400;
    for seed in 0..n {
        let program = generate::seeded(seed, 10);
        deepest = deepest.max(count(&program, 0, &mut seen));
        n_reverse += usize::from(!has_while(&program));
    }
    assert!(deepest >= 2, "bodies lie in one another {deepest} deep");
    assert!(n_reverse as u64 * 10 > n * 8, "{n_reverse} of {n} programs have a reverse mode");
    let must = [
        "scan",
        "while",
        "cond",
        "checkpoint",
        "custom_jvp",
        "custom_vjp",
        "gather",
        "scatter",
        "dynamic_slice",
        "dynamic_update",
        "sort",
        "dot_general",
        "reduce_sum",
        "reduce_prod",
        "reduce_max",
        "cumsum",
        "pad",
        "concat",
        "select",
        "broadcast",
        "transpose",
        "reshape",
        "slice",
        "reverse",
        "argmax",
        "iota",
        "convert",
        "pow",
        "div",
        "max",
    ];
    let missing: Vec<&str> = must.into_iter().filter(|name| !seen.contains_key(name)).collect();
    assert!(missing.is_empty(), "no program holds {missing:?}, of {seen:?}");
}
