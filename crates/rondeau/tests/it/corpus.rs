//! Programs as files: `tests/corpus/*.ir`, each with what it computes, run by every engine.
//!
//! A file is the text of a program. Comments of these forms say what is true of it:
//! ```text
//! # run: 0.5, [1.0, 2.0] -> [0.5, 1.0]       inputs and outputs, as nested lists
//! # grad: 0.5, [1.0, 2.0] -> 3.0, [0.5, 0.5] the gradient of the sum of all float outputs by
//!                                            each float input
//! # grad-error: text                         reverse mode fails, and says this
//! # opt: text                                the optimized program contains this
//! # opt-not: text                            it does not
//! # opt-inner-not: text                      no program within the optimized one contains this
//! # error: text                              the text is no program, and the error says this
//! ```
//! Element types and shapes are those of the program. Floats must agree to four units in the last
//! place, zeros in their sign, NaN as a class.

use std::fmt::Display;
use std::path::Path;

use rondeau::Error;
use rondeau::buffer::{Buffer, DType, Scalar, Shape};
use rondeau::compile::Sizes;
use rondeau::ir::{Aval, Program, eval};
use rondeau::optimize::optimize;
use rondeau::run::{Engine, Executable};
use rondeau::transform;

/// A line of a file, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    line: usize,
}

impl Place<'_> {
    #[track_caller]
    fn fail(self, what: impl Display) -> ! {
        panic!("tests/corpus/{}:{}: {what}", self.file, self.line)
    }
}

/// A value as it is written.
enum Written<'a> {
    One(&'a str),
    List(Vec<Written<'a>>),
}

/// Reads values with commas between, up to the end or a closing bracket; what is left.
fn written<'a>(text: &'a str, place: Place<'_>) -> (Vec<Written<'a>>, &'a str) {
    let mut rest = text.trim_start();
    let mut values = Vec::new();
    while !rest.is_empty() && !rest.starts_with(']') {
        if let Some(inner) = rest.strip_prefix('[') {
            let (items, after) = written(inner, place);
            let closed = after.strip_prefix(']');
            rest = closed.unwrap_or_else(|| place.fail("a list is not closed"));
            values.push(Written::List(items));
        } else {
            let end = rest.find([',', ']']).unwrap_or(rest.len());
            values.push(Written::One(rest[..end].trim_end()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || rest.starts_with(']') => {}
            None => place.fail(format!("`,` is expected before `{rest}`")),
        }
    }
    (values, rest)
}

/// Appends the elements of a value of this shape.
fn flatten<'a>(
    value: &Written<'a>,
    shape: &[usize],
    elements: &mut Vec<&'a str>,
    place: Place<'_>,
) {
    match (value, shape) {
        (Written::One(element), []) => elements.push(element),
        // An empty array is written without its inner lists.
        (Written::List(items), shape) if items.is_empty() && shape.contains(&0) => {}
        (Written::List(items), [n, shape @ ..]) if items.len() == *n => {
            items.iter().for_each(|item| flatten(item, shape, elements, place));
        }
        (Written::One(element), _) => place.fail(format!("`{element}` is not of shape {shape:?}")),
        (Written::List(items), _) => {
            place.fail(format!("a list of {} is not of shape {shape:?}", items.len()))
        }
    }
}

/// The values of one side of a directive.
fn buffers(text: &str, avals: &[Aval], place: Place<'_>) -> Vec<Buffer> {
    let (values, rest) = written(text, place);
    if !rest.is_empty() || values.len() != avals.len() {
        let n = avals.len();
        place.fail(format!("{n} values are needed, not {} and `{rest}`", values.len()));
    }
    values.iter().zip(avals).map(|(value, aval)| buffer(value, aval, place)).collect()
}

fn buffer(value: &Written<'_>, aval: &Aval, place: Place<'_>) -> Buffer {
    let mut elements = Vec::new();
    flatten(value, &aval.shape, &mut elements, place);
    macro_rules! parsed {
        ($t:ty) => {{
            let read = |text: &&str| {
                let value = text.parse::<$t>();
                value.unwrap_or_else(|_| place.fail(format!("`{text}` is no {}", aval.dtype)))
            };
            Buffer::new(aval.shape.clone(), elements.iter().map(read).collect::<Vec<$t>>())
        }};
    }
    match aval.dtype {
        DType::F32 => parsed!(f32),
        DType::F64 => parsed!(f64),
        DType::I32 => parsed!(i32),
        DType::U32 => parsed!(u32),
        DType::Bool => parsed!(bool),
        other => place.fail(format!("values of type {other} are not read here")),
    }
}

/// Whether values agree, as the head of this file says.
fn agree(got: &Buffer, need: &Buffer) -> bool {
    let floats = |buffer: &Buffer| -> Option<(Vec<f64>, f64)> {
        match buffer.dtype() {
            DType::F32 => {
                let wide = buffer.values::<f32>().iter().map(|&x| f64::from(x)).collect();
                Some((wide, f64::from(f32::EPSILON)))
            }
            DType::F64 => Some((buffer.values::<f64>().into_owned(), f64::EPSILON)),
            _ => None,
        }
    };
    if got.shape() != need.shape() || got.dtype() != need.dtype() {
        return false;
    }
    let (Some((got, epsilon)), Some((need, _))) = (floats(got), floats(need)) else {
        return got.same(need);
    };
    got.iter().zip(&need).all(|(&got, &need)| {
        let same = Scalar::F64(got) == Scalar::F64(need);
        same || need.is_finite() && need != 0.0 && (got - need).abs() <= 4.0 * epsilon * need.abs()
    })
}

/// Runs a program by the book and compiled, as it is and optimized; the number of runs.
fn every_engine(program: &Program, inputs: &[Buffer], need: &[Buffer], place: Place<'_>) -> usize {
    let mut runs = 0;
    for (how, program) in [("as written", program), ("optimized", &optimize(program))] {
        let mut check = |engine: &str, got: Vec<Buffer>| {
            for (i, (got, need)) in got.iter().zip(need).enumerate() {
                if !agree(got, need) {
                    let what = format!("{engine}, {how}: output {i} is {got:?}");
                    place.fail(format!("{what}\nand must be {need:?}, of\n{program}"));
                }
            }
            runs += 1;
        };
        check("interpreted", eval(program, inputs));
        for executor in [Engine::Vm, Engine::Native] {
            for (sizes, chunks) in [(Sizes::DEFAULT, ""), (Sizes::LEAST, ", in chunks")] {
                let compiled = Executable::with_sizes(program, executor, 1, sizes);
                check(
                    &format!("compiled for {executor:?}{chunks}"),
                    compiled.call(&inputs.iter().collect::<Vec<_>>()),
                );
            }
        }
    }
    runs
}

/// The values and, by the float inputs, the gradient of the sum of the float outputs.
fn gradient(program: &Program) -> Result<Program, Error> {
    let by: Vec<bool> = program.input_avals().iter().map(Aval::is_float).collect();
    transform::vjp(program, &by)
}

fn run(program: &Program, given: &str, place: Place<'_>) -> usize {
    let (inputs, outputs) = sides(given, place);
    let inputs = buffers(inputs, &program.input_avals(), place);
    let need = buffers(outputs, &program.output_avals(), place);
    every_engine(program, &inputs, &need, place)
}

fn grad(program: &Program, given: &str, place: Place<'_>) -> usize {
    let (inputs, cts) = sides(given, place);
    let inputs = buffers(inputs, &program.input_avals(), place);
    let mut need = eval(program, &inputs);
    let by = program.input_avals().into_iter().filter(Aval::is_float).collect::<Vec<_>>();
    need.extend(buffers(cts, &by, place));
    let pulled = gradient(program).unwrap_or_else(|error| place.fail(error));
    let ones = program.output_avals().into_iter().filter(Aval::is_float);
    let ones = ones.map(|aval| Buffer::splat(Scalar::of(1.0, aval.dtype), aval.shape));
    let inputs: Vec<Buffer> = inputs.into_iter().chain(ones).collect();
    every_engine(&pulled, &inputs, &need, place)
}

fn sides<'a>(given: &'a str, place: Place<'_>) -> (&'a str, &'a str) {
    let sides = given.split_once("->");
    sides.unwrap_or_else(|| place.fail("inputs and outputs need a `->` between"))
}

/// The text of the programs within a program.
fn inner(program: &Program) -> String {
    let bodies = program.eqns().iter().flat_map(|eqn| eqn.prim.bodies());
    bodies.map(|body| body.to_string()).collect::<Vec<_>>().join("\n")
}

/// Checks a directive; the number of runs.
fn obey(program: &Program, directive: &str, given: &str, place: Place<'_>) -> usize {
    let optimized = || optimize(program);
    match directive {
        "run" => return run(program, given, place),
        "grad" => return grad(program, given, place),
        "grad-error" => match gradient(program) {
            Ok(pulled) => place.fail(format!("there is a gradient\n{pulled}")),
            Err(error) if error.to_string().contains(given) => {}
            Err(error) => place.fail(format!("the error is\n{error}")),
        },
        "opt" if !optimized().to_string().contains(given) => {
            place.fail(format!("`{given}` is missing in\n{}", optimized()))
        }
        "opt-not" if optimized().to_string().contains(given) => {
            place.fail(format!("`{given}` is left in\n{}", optimized()))
        }
        "opt-inner-not" if inner(&optimized()).contains(given) => {
            place.fail(format!("`{given}` is left within\n{}", optimized()))
        }
        "opt" | "opt-not" | "opt-inner-not" => {}
        _ => place.fail(format!("there is no directive `{directive}`")),
    }
    0
}

/// The directives of a file: where, which, and what it is given.
fn directives<'a>(file: &'a str, text: &'a str) -> Vec<(Place<'a>, &'a str, &'a str)> {
    let directive = |(i, line): (usize, &'a str)| {
        let (word, given) = line.strip_prefix("# ")?.split_once(':')?;
        let is_word = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        is_word.then_some((Place { file, line: i + 1 }, word, given.trim()))
    };
    text.lines().enumerate().filter_map(directive).collect()
}

/// Checks a file; the number of runs.
fn check(file: &str, text: &str) -> usize {
    let directives = directives(file, text);
    let top = Place { file, line: 1 };
    if directives.is_empty() {
        top.fail("it says nothing about its program");
    }
    let program = match text.parse::<Program>() {
        Ok(program) => program,
        Err(error) => {
            for &(place, directive, given) in &directives {
                if directive != "error" || !error.to_string().contains(given) {
                    place.fail(format!("the text does not read:\n{error}"));
                }
            }
            return 0;
        }
    };
    let printed = program.to_string();
    if printed.parse::<Program>().ok().as_ref() != Some(&program) {
        top.fail(format!("it prints as what does not read back:\n{printed}"));
    }
    directives.iter().map(|&(place, word, given)| obey(&program, word, given, place)).sum()
}

#[test]
fn every_engine_computes_what_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = std::fs::read_dir(&folder).expect("the folder of the corpus");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let mut runs = 0;
    for path in &files {
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = std::fs::read_to_string(path).expect("the text of a file");
        runs += check(&name, &text);
    }
    eprintln!("corpus: {} files, {runs} runs", files.len());
    assert!(files.len() > 30 && runs > 300, "files are missing");
}

#[test]
fn a_wrong_file_is_told_by_its_line() {
    let text = "# Twice the input.\n# run: [1.0, 2.0] -> [2.0, 5.0]\n\
        { lambda a:f32[2] . let b:f32[2] = add a a in (b,) }";
    let failed = std::panic::catch_unwind(|| check("wrong.ir", text)).expect_err("it is wrong");
    let message = failed.downcast_ref::<String>().expect("a message");
    assert!(message.starts_with("tests/corpus/wrong.ir:2: interpreted"), "{message}");
}

#[test]
fn agreement_is_strict() {
    let one = |x: f32| Buffer::new(Shape::scalar(), vec![x]);
    assert!(agree(&one(1.0 + 4.0 * f32::EPSILON), &one(1.0)));
    assert!(!agree(&one(1.0 + 6.0 * f32::EPSILON), &one(1.0)));
    assert!(!agree(&one(-0.0), &one(0.0)));
    assert!(!agree(&one(1e-30), &one(0.0)));
    assert!(!agree(&one(f32::MAX), &one(f32::INFINITY)));
    assert!(agree(&one(-f32::NAN), &one(f32::NAN)));
}
