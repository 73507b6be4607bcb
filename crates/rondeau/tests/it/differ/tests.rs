//! The runs, and that they see what they are meant to see.

use std::collections::BTreeMap;

use rondeau::buffer::{Buffer, DType};
use rondeau::ir::{Program, eval};
use rondeau::prim::Prim;

use super::engines::{Plan, check};
use super::programs::{Kind, case, genes};
use super::shrink::{Failing, as_file, shrink};
use super::{noise, over};

fn from_env(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

#[test]
fn random_scalar_programs_are_what_the_interpreter_says() {
    over(Kind::Scalars, from_env("RONDEAU_SEED", 0), from_env("RONDEAU_SCALARS", 1_000));
}

#[test]
fn random_array_programs_are_what_the_interpreter_says() {
    over(Kind::Arrays, from_env("RONDEAU_SEED", 0), from_env("RONDEAU_ARRAYS", 250));
}

/// Without noise, the walk over a program is the interpreter.
#[test]
fn a_run_without_noise_is_the_meaning() {
    for seed in 0..60 {
        let case = case(Kind::Arrays, &genes(Kind::Arrays, seed));
        let (got, need) = (
            noise::run(&case.program, &case.points[0], None),
            eval(&case.program, &case.points[0]),
        );
        let same = got.iter().zip(&need).all(|(got, need)| got.same(need));
        assert!(same, "seed {seed}\n{}", case.program);
    }
}

/// Of a program that fails for one of its equations, that one is left, with what it read as input.
#[test]
fn failures_are_made_small_and_printed_as_files() {
    let text = "{ lambda a:f32[3] b:f32[3] .
        let c:f32[3] = mul a b
            d:f32[3] = neg c
            e:f32[] = reduce_sum[axes=[0]] d
            f:f32[] = mul e 2.0:f32
        in (f, d) }";
    let program: Program = text.parse().expect("it is a program");
    let inputs = vec![
        Buffer::new([3], vec![1.0_f32, 2.0, 3.0]),
        Buffer::new([3], vec![0.5_f32, 0.25, 0.125]),
    ];
    let has_neg = |it: &Failing| it.program.eqns().iter().any(|eqn| eqn.prim.name() == "neg");
    let least = shrink(Failing { program, inputs }, &has_neg);
    assert_eq!(
        as_file(&least, "Why."),
        "# Why.\n# run: [0.5, 0.5, 0.375] -> [-0.5, -0.5, -0.375]\n\
         { lambda a:f32[3] .\n  let b:f32[3] = neg a\n  in (b,) }\n"
    );
}

/// Programs of every element type and rank, with every primitive, loops of no steps and empty arrays.
#[test]
fn random_programs_reach_everything() {
    #[derive(Default)]
    struct Seen {
        names: BTreeMap<String, usize>,
        deepest: usize,
    }
    fn look(program: &Program, depth: usize, seen: &mut Seen) {
        seen.deepest = seen.deepest.max(depth);
        let mut note = |name: String| *seen.names.entry(name).or_default() += 1;
        for eqn in program.eqns() {
            note(eqn.prim.name().to_owned());
            if let Prim::Scan(scan) = &eqn.prim {
                note(if scan.reverse { "a reverse scan" } else { "a forward scan" }.to_owned());
                if scan.length == 0 {
                    note("a scan of no steps".to_owned());
                }
            }
            for &var in &eqn.outputs {
                let aval = program.var_aval(var);
                note(format!("rank {}", aval.rank()));
                note(aval.dtype.to_string());
                if aval.shape.count() == 0 {
                    note("an empty array".to_owned());
                }
            }
        }
        for eqn in program.eqns() {
            eqn.prim.bodies().iter().for_each(|body| look(body, depth + 1, seen));
        }
    }
    let mut seen = Seen::default();
    for seed in 0..1500 {
        look(&case(Kind::Arrays, &genes(Kind::Arrays, seed)).program, 0, &mut seen);
    }
    let mut must: Vec<String> = (0..=8).map(|rank| format!("rank {rank}")).collect();
    must.extend(DType::ALL.map(|dtype| dtype.to_string()));
    must.extend(
        ["a reverse scan", "a forward scan", "a scan of no steps", "an empty array"]
            .map(str::to_owned),
    );
    let examples = Prim::examples().into_iter().map(|(prim, _)| prim);
    let runs = |prim: &Prim| !matches!(prim, Prim::Tap(_) | Prim::CustomLinear(_));
    must.extend(examples.filter(runs).map(|prim| prim.name().to_owned()));
    let missing: Vec<&String> =
        must.iter().filter(|&name| !seen.names.contains_key(name)).collect();
    assert!(missing.is_empty(), "no program holds {missing:?}, of {:?}", seen.names);
    assert!(seen.deepest >= 2, "programs lie in one another {} deep", seen.deepest);
}

/// Compiled code with another constant is told from what it should be.
#[test]
fn a_wrong_result_is_seen() {
    let program: Program = "{ lambda a:f64[3] . let b:f64[3] = mul a 3.0:f64 in (b,) }"
        .parse()
        .expect("it is a program");
    let inputs = vec![Buffer::new([3], vec![1.0, f64::NAN, -0.0])];
    let plan = Plan::usual(Kind::Arrays, 0);
    let tally = check(&program, std::slice::from_ref(&inputs), &plan).expect("it is right");
    assert!(tally.runs == tally.same && tally.runs > 10);
    let mut meaning = super::engines::Meaning::of(&program, &inputs);
    let almost = Buffer::new([3], vec![3.0000000000000004, f64::NAN, -0.0]);
    assert!(meaning.compare("someone", &[almost]).is_err(), "an ulp where nothing is rounded");
    let unsigned = Buffer::new([3], vec![3.0, f64::NAN, 0.0]);
    assert!(meaning.compare("someone", &[unsigned]).is_err(), "the sign of a zero");
    let other_nan = Buffer::new([3], vec![3.0, -f64::NAN, -0.0]);
    assert!(meaning.compare("someone", &[other_nan]).is_ok(), "all NaNs are the same");
}
