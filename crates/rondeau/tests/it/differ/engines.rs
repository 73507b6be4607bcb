//! Who runs a program, and when two results are the same.
//!
//! | Between | Class | Why |
//! |---|---|---|
//! | tile machine and machine code, at any level of the processor | same bits | one definition of every function and of the order of every sum |
//! | interpreter and compiled code: integers, truth values, floats that no sum went into | same bits | one definition of every function; no fused or reordered arithmetic but in sums |
//! | the same, floats behind sums of terms | [`FACTOR`] times the spread of 64 runs with other rounding ([`noise`]), and [`ULPS`] | products are summed in the order that suits the layout, and passes move sums out of loops |
//! | the same, decisions by such floats | undecided where those runs differ too | a comparison of rounded numbers has no right answer |
//! | before and after a pass, interpreted | as interpreter and compiled code | passes move sums |
//!
//! All NaNs are the same. Zeros differ by their sign, but for those that are sums: a sum that leaves its loop begins
//! from `0`. Products in loops with an infinite constant are undecided: `Σ c·xₜ` may be computed as `c·Σ xₜ`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rondeau::buffer::{Buffer, DType, Scalar};
use rondeau::compile::{Compiled, Sizes, compile_with};
use rondeau::ir::{Aval, Program, eval};
use rondeau::optimize::PIPELINE;
use rondeau_machine::cpu::Level;
use rondeau_machine::{Arena, Executable, Executor, as_bytes, as_bytes_mut};

use super::noise;
use super::programs::Kind;
use crate::generate::Rng;

/// How many times the spread of runs with other rounding results may be apart.
const FACTOR: f64 = 16.0;
/// And how many units in the last place besides, where rounding plays a part at all.
const ULPS: f64 = 4.0;

/// A difference, told by who computed it.
pub(crate) type Difference = String;

/// What checks came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Runs of a program by someone, compared.
    pub(crate) runs: usize,
    /// Of them, those with the same bits.
    pub(crate) same: usize,
    /// Those with a value for which rounding decides.
    pub(crate) undecided: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.runs += other.runs;
        self.same += other.same;
        self.undecided += other.undecided;
    }
}

/// Which passes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passes {
    None,
    All,
    Only(usize),
    AllBut(usize),
}

/// The names of the passes, each once.
pub(crate) fn pass_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = PIPELINE.iter().map(|pass| pass.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Passes {
    /// All choices.
    pub(crate) fn each() -> Vec<Passes> {
        let n = pass_names().len();
        let single = (0..n).flat_map(|i| [Passes::Only(i), Passes::AllBut(i)]);
        [Passes::None, Passes::All].into_iter().chain(single).collect()
    }

    pub(crate) fn describe(self) -> String {
        let names = pass_names();
        match self {
            Passes::None => "as written".to_owned(),
            Passes::All => "optimized".to_owned(),
            Passes::Only(i) => format!("after `{}` alone", names[i]),
            Passes::AllBut(i) => format!("optimized without `{}`", names[i]),
        }
    }

    /// The program after these passes.
    fn run(self, program: &Program) -> Result<Program, Difference> {
        let names = pass_names();
        let mut program = program.clone();
        for pass in PIPELINE {
            let runs = match self {
                Passes::None => false,
                Passes::All => true,
                Passes::Only(i) => pass.name == names[i],
                Passes::AllBut(i) => pass.name != names[i],
            };
            if !runs {
                continue;
            }
            let next = (pass.run)(&program);
            if next.oversized().is_some() {
                continue;
            }
            next.check().map_err(|fault| format!("`{}` breaks a rule: {fault}", pass.name))?;
            program = next;
        }
        Ok(program)
    }
}

/// Everyone that compiled code is given to.
pub(crate) fn executors() -> Vec<Executor> {
    let at = |level| [Executor::NativeAt(level), Executor::VmAt(level)];
    Level::available().flat_map(at).collect()
}

fn run(
    compiled: &Compiled,
    executable: &Executable,
    inputs: &[Buffer],
) -> Result<Vec<Buffer>, Difference> {
    let inputs: Vec<Packed> = inputs.iter().map(Packed::of).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Packed::bytes).collect();
    let mut outputs: Vec<Packed> = compiled.outputs.iter().map(Packed::unset).collect();
    let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(Packed::bytes_mut).collect();
    executable
        .run(&inputs, &mut places, &mut Arena::new(), &|_| {})
        .map_err(|error| format!("the call is refused: {error}"))?;
    Ok(outputs.iter().zip(&compiled.outputs).map(|(y, aval)| y.buffer(aval)).collect())
}

/// The elements of an array as bytes, in memory that is aligned for every type.
struct Packed {
    words: Vec<f64>,
    n_bytes: usize,
}

impl Packed {
    /// Memory that nothing has been written to yet: each byte 0xA5, which is no truth value.
    fn unset(aval: &Aval) -> Packed {
        let n_bytes = aval.bytes();
        let word = f64::from_bits(u64::from_ne_bytes([0xA5; 8]));
        Packed { words: vec![word; n_bytes.div_ceil(8)], n_bytes }
    }

    fn of(buffer: &Buffer) -> Packed {
        let mut packed = Packed::unset(&Aval::of(buffer));
        let bytes = match buffer.dtype() {
            DType::F32 => as_bytes(&buffer.values::<f32>()).to_vec(),
            DType::F64 => as_bytes(&buffer.values::<f64>()).to_vec(),
            DType::I32 => as_bytes(&buffer.values::<i32>()).to_vec(),
            DType::U32 => as_bytes(&buffer.values::<u32>()).to_vec(),
            DType::Bool => buffer.values::<bool>().iter().map(|&x| u8::from(x)).collect(),
            other => panic!("no values of type {other}"),
        };
        packed.bytes_mut().copy_from_slice(&bytes);
        packed
    }

    fn bytes(&self) -> &[u8] {
        &as_bytes(&self.words)[..self.n_bytes]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut as_bytes_mut(&mut self.words)[..self.n_bytes]
    }

    /// The array. A byte that is no truth value is an element that nobody wrote.
    fn buffer(&self, aval: &Aval) -> Buffer {
        let bytes = self.bytes();
        macro_rules! read {
            ($t:ty) => {{
                let (chunks, _) = bytes.as_chunks::<{ size_of::<$t>() }>();
                Buffer::new(
                    aval.shape.clone(),
                    chunks.iter().map(|&chunk| <$t>::from_ne_bytes(chunk)).collect::<Vec<_>>(),
                )
            }};
        }
        match aval.dtype {
            DType::F32 => read!(f32),
            DType::F64 => read!(f64),
            DType::I32 => read!(i32),
            DType::U32 => read!(u32),
            DType::Bool => {
                let truth = |&byte: &u8| match byte {
                    0 | 1 => byte == 1,
                    other => panic!("the byte {other:#x} among truth values"),
                };
                Buffer::new(aval.shape.clone(), bytes.iter().map(truth).collect())
            }
            other => panic!("no values of type {other}"),
        }
    }
}

/// How many runs with other rounding are asked, in turn: a few explain most differences, and where two numbers
/// cancel but for one rounding in a hundred, it takes hundreds to see that.
const RUNS: [usize; 4] = [4, 16, 64, 1024];

/// The values of a program at a point by the book, and how far rounding may move them.
pub(crate) struct Meaning<'a> {
    program: &'a Program,
    inputs: &'a [Buffer],
    values: Vec<Buffer>,
    /// What runs with other rounding give, made when first asked for.
    others: Vec<Vec<Buffer>>,
}

/// How one element compares.
#[derive(PartialEq)]
enum Verdict {
    Same,
    Rounded,
    Undecided,
    Different,
}

impl<'a> Meaning<'a> {
    pub(crate) fn of(program: &'a Program, inputs: &'a [Buffer]) -> Meaning<'a> {
        Meaning { program, inputs, values: eval(program, inputs), others: vec![] }
    }

    /// Compares results with the meaning.
    pub(crate) fn compare(&mut self, who: &str, got: &[Buffer]) -> Result<Tally, Difference> {
        let mut tally = Tally { runs: 1, ..Tally::default() };
        let same = |(got, need): (&Buffer, &Buffer)| got.same(need);
        if got.len() == self.values.len() && got.iter().zip(&self.values).all(same) {
            tally.same = 1;
            return Ok(tally);
        }
        let n_outputs = self.values.len();
        for n in RUNS {
            self.make_others(n);
            let verdicts = (0..n_outputs).map(|i| self.verdict(i, &got[i])).collect::<Vec<_>>();
            if let Some(i) = verdicts.iter().position(|verdict| *verdict == Verdict::Different) {
                if n == RUNS[RUNS.len() - 1] {
                    let fault = first_difference(&got[i], &self.values[i]);
                    return Err(format!("{who}: output {i} {fault} by the book"));
                }
                continue;
            }
            tally.undecided = usize::from(verdicts.contains(&Verdict::Undecided));
            break;
        }
        Ok(tally)
    }

    fn make_others(&mut self, n: usize) {
        for seed in self.others.len()..n {
            let mut rng = Rng::new(seed as u64 + 1);
            self.others.push(noise::run(self.program, self.inputs, Some(&mut rng)));
        }
    }

    /// The verdict on an output: that on its worst element.
    fn verdict(&self, i: usize, got: &Buffer) -> Verdict {
        let need = &self.values[i];
        if Aval::of(got) != Aval::of(need) {
            return Verdict::Different;
        }
        if got.same(need) {
            return Verdict::Same;
        }
        if !need.dtype().is_float() {
            let differs = |got: &Buffer, need: &Buffer| {
                let (got, need) = (scalars(got), scalars(need));
                got.iter().zip(&need).map(|(got, need)| got != need).collect::<Vec<_>>()
            };
            let mut moves = vec![false; need.shape().count()];
            for other in &self.others {
                let all = differs(&other[i], need).into_iter().zip(&mut moves);
                all.for_each(|(differs, moves)| *moves |= differs);
            }
            let wrong = differs(got, need).into_iter().zip(moves).any(|(d, moves)| d && !moves);
            return if wrong { Verdict::Different } else { Verdict::Undecided };
        }
        let epsilon = match need.dtype() {
            DType::F32 => f64::from(f32::EPSILON),
            _ => f64::EPSILON,
        };
        let others: Vec<Vec<f64>> = self.others.iter().map(|run| noise::floats(&run[i])).collect();
        let mut worst = Verdict::Same;
        for (j, (got, need)) in noise::floats(got).into_iter().zip(noise::floats(need)).enumerate()
        {
            if Scalar::F64(got) == Scalar::F64(need) {
                continue;
            }
            let is_odd = |x: f64| !x.is_finite() && Scalar::F64(x) != Scalar::F64(need);
            let odd = others.iter().any(|run| is_odd(run[j]))
                || !need.is_finite() && others.iter().any(|run| run[j].is_finite());
            // The sign of a zero, or overflow: as in another run.
            if others.iter().any(|run| Scalar::F64(run[j]) == Scalar::F64(got)) {
                worst = Verdict::Rounded;
                continue;
            }
            let spread = others.iter().fold(0.0, |far: f64, run| far.max((run[j] - need).abs()));
            let allowed = FACTOR * spread + ULPS * epsilon * need.abs();
            if odd {
                worst = Verdict::Undecided;
            } else if !(spread > 0.0 && (got - need).abs() <= allowed) {
                return Verdict::Different;
            } else if worst == Verdict::Same {
                worst = Verdict::Rounded;
            }
        }
        worst
    }
}

/// Where two results have other bits first.
fn first_difference(got: &Buffer, need: &Buffer) -> String {
    if Aval::of(got) != Aval::of(need) {
        return format!("is {}, and {}", Aval::of(got), Aval::of(need));
    }
    let (got, need) = (scalars(got), scalars(need));
    match got.iter().zip(&need).enumerate().find(|(_, (got, need))| got != need) {
        Some((i, (got, need))) => format!("has {got} at {i}, and {need}"),
        None => "has the same values".to_owned(),
    }
}

/// The elements, one by one.
fn scalars(x: &Buffer) -> Vec<Scalar> {
    match x.dtype() {
        DType::F32 => x.values::<f32>().iter().map(|&x| Scalar::F32(x)).collect(),
        DType::F64 => x.values::<f64>().iter().map(|&x| Scalar::F64(x)).collect(),
        DType::I32 => x.values::<i32>().iter().map(|&x| Scalar::I32(x)).collect(),
        DType::U32 => x.values::<u32>().iter().map(|&x| Scalar::U32(x)).collect(),
        DType::Bool => x.values::<bool>().iter().map(|&x| Scalar::Bool(x)).collect(),
        other => panic!("no values of type {other}"),
    }
}

/// What of all that can be compared, is.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The passes after which the program is interpreted.
    pub(crate) interpreted: Vec<Passes>,
    /// The passes after which it is compiled.
    pub(crate) compiled: Vec<Passes>,
    pub(crate) executors: Vec<Executor>,
}

impl Plan {
    /// What is worth its time for one of many programs: all passes and none, and one pass by itself or
    /// left out, another for each number. Of many small programs, half of that.
    pub(crate) fn usual(kind: Kind, number: u64) -> Plan {
        let all = Passes::each();
        let one = all[2 + number as usize % (all.len() - 2)];
        if kind == Kind::Arrays || number.is_multiple_of(16) {
            return Plan {
                interpreted: vec![Passes::All, one],
                compiled: vec![Passes::None, Passes::All, one],
                executors: executors(),
            };
        }
        // The richest instructions on the tile machine, and every machine code.
        let most = executors().pop().expect("there is an executor");
        let native = executors().into_iter().filter(|executor| match executor {
            Executor::NativeAt(level) => *level > Level::Portable,
            _ => false,
        });
        let other = if number.is_multiple_of(2) { Passes::None } else { one };
        Plan {
            interpreted: vec![one],
            compiled: vec![Passes::All, other],
            executors: [most].into_iter().chain(native).collect(),
        }
    }
}

/// Runs a program at its points as the plan says. A panic is a difference too.
pub(crate) fn check(
    program: &Program,
    points: &[Vec<Buffer>],
    plan: &Plan,
) -> Result<Tally, Difference> {
    let result = catch_unwind(AssertUnwindSafe(|| check_or_panic(program, points, plan)));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panics: {}", text.unwrap_or("without words")))
    })
}

fn check_or_panic(
    program: &Program,
    points: &[Vec<Buffer>],
    plan: &Plan,
) -> Result<Tally, Difference> {
    program.check().map_err(|fault| format!("the program breaks a rule: {fault}"))?;
    let mut tally = Tally::default();
    let mut meanings: Vec<Meaning> = points.iter().map(|x| Meaning::of(program, x)).collect();
    for &passes in &plan.interpreted {
        let better = passes.run(program)?;
        let who = format!("interpreted, {}", passes.describe());
        for (meaning, inputs) in meanings.iter_mut().zip(points) {
            tally.add(meaning.compare(&who, &eval(&better, inputs))?);
        }
    }
    for &passes in &plan.compiled {
        // The number of threads may change nothing.
        let n_threads = 1 + program.n_eqns() % 3;
        let sizes = if program.n_eqns().is_multiple_of(2) { Sizes::DEFAULT } else { Sizes::LEAST };
        let compiled = compile_with(&passes.run(program)?, n_threads, sizes);
        let mut first: Vec<Option<Vec<Buffer>>> = vec![None; points.len()];
        for &executor in &plan.executors {
            let who = format!("{executor:?}, {}", passes.describe());
            let executable = Executable::new(&compiled.code, executor)
                .map_err(|error| format!("{who}: the code is refused: {error}"))?;
            for ((meaning, inputs), first) in meanings.iter_mut().zip(points).zip(&mut first) {
                let got = run(&compiled, &executable, inputs)?;
                let Some(first) = first else {
                    tally.add(meaning.compare(&who, &got)?);
                    *first = Some(got);
                    continue;
                };
                tally.runs += 1;
                tally.same += 1;
                let pairs = got.iter().zip(first.iter());
                if let Some(i) = pairs.into_iter().position(|(got, first)| !got.same(first)) {
                    let fault = first_difference(&got[i], &first[i]);
                    return Err(format!("{who}: output {i} {fault} by {:?}", plan.executors[0]));
                }
            }
        }
    }
    Ok(tally)
}
