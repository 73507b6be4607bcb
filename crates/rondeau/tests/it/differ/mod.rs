//! The compiler against the interpreter at scale: random programs of every kind, by every executor,
//! with every pass on and off.
//!
//! `RONDEAU_SCALARS` and `RONDEAU_ARRAYS` say how many random programs run, `RONDEAU_SEED` which is
//! the first. A failure names its seed, is made small, and is printed as a file for `tests/corpus`.
//! [`engines`] has the table of what must be the same to what precision.

pub(crate) mod engines;
pub(crate) mod noise;
pub(crate) mod programs;
pub(crate) mod shrink;

use engines::{Plan, Tally, check};
use programs::{Kind, case, genes};
use shrink::{Failing, as_file, shrink};

#[cfg(test)]
mod tests;

/// Makes a failing case small, first by its genes and then by its equations, and prints it.
pub(crate) fn told(kind: Kind, mut genes: Vec<u64>, number: u64, seed: &str) -> String {
    let plan = Plan::usual(kind, number);
    let fails = |genes: &[u64]| {
        let made = std::panic::catch_unwind(|| case(kind, genes));
        made.is_ok_and(|case| check(&case.program, &case.points, &plan).is_err())
    };
    let mut i = 1;
    while i < genes.len() {
        let mut fewer = genes.clone();
        fewer.remove(i);
        if fails(&fewer) { genes = fewer } else { i += 1 }
    }
    let case = case(kind, &genes);
    let asks =
        |it: &Failing, plan: &Plan| check(&it.program, std::slice::from_ref(&it.inputs), plan);
    let point = (case.points.iter())
        .map(|inputs| Failing { program: case.program.clone(), inputs: inputs.clone() })
        .find(|it| asks(it, &plan).is_err());
    let Some(point) = point else {
        return format!("{seed}: fails at no single point\n{}", case.program);
    };
    let least = shrink(point, &|it| asks(it, &plan).is_err());
    let why = asks(&least, &plan).expect_err("it fails");
    format!("{seed}\n{why}\n{}", as_file(&least, "..."))
}

/// After so many failures, a run ends.
const MOST_FAILURES: usize = 20;

/// Puts programs of this kind before all engines.
pub(crate) fn over(kind: Kind, first: u64, n: u64) {
    let (mut tally, mut n_eqns, mut undecided, mut failures) = (Tally::default(), 0, 0_u64, vec![]);
    for seed in first..first + n {
        let genes = genes(kind, seed);
        let seed_of = format!("seed {seed} of {kind:?}");
        let failure = match std::panic::catch_unwind(|| case(kind, &genes)) {
            Err(_) => format!("{seed_of}: a rule panics"),
            Ok(case) => {
                n_eqns += case.program.n_eqns();
                match check(&case.program, &case.points, &Plan::usual(kind, seed)) {
                    Ok(found) => {
                        tally.add(found);
                        undecided += u64::from(found.undecided > 0);
                        continue;
                    }
                    Err(_) => told(kind, genes, seed, &seed_of),
                }
            }
        };
        println!("{failure}\n");
        failures.push(failure);
        assert!(failures.len() < MOST_FAILURES, "too much fails\n{}", failures.join("\n"));
    }
    println!(
        "differ: {n} programs of {kind:?} from seed {first}, {:.0} equations on average, {} runs \
         compared, {} with the same bits, {undecided} programs undecided",
        n_eqns as f64 / n.max(1) as f64,
        tally.runs,
        tally.same
    );
    assert!(failures.is_empty(), "{} programs differ\n{}", failures.len(), failures.join("\n"));
    assert!(undecided * 20 <= n, "rounding decides about {undecided} of {n} programs");
}
