//! A step as one source file of Rust or C. Movements only change views, elementwise equations that
//! follow each other share one loop, and arrays that do not live at the same time share memory.

mod emit;
mod math;
mod scalar;
mod view;

use std::collections::BTreeSet;

use self::scalar::{literal, type_name};
use self::view::{Value, View};
use super::step::Step;
use crate::buffer::{Buffer, DType, dispatch};
use crate::error::Result;
use crate::ir::Aval;

/// The language of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lang {
    Rust,
    C,
}

/// Text that stands for the array with a number until memory is laid out.
const MARK: [char; 2] = ['\u{1}', '\u{2}'];

/// An array that the code writes.
struct Array {
    dtype: DType,
    count: usize,
    /// The lines between which it holds something.
    lives: Option<(usize, usize)>,
}

/// Source text as it is written.
struct Writer {
    lang: Lang,
    lines: Vec<String>,
    depth: usize,
    arrays: Vec<Array>,
    /// The loops, from their first line to their last.
    loops: Vec<(usize, usize)>,
    n_names: usize,
}

impl Writer {
    fn new(lang: Lang) -> Writer {
        Writer { lang, lines: vec![], depth: 1, arrays: vec![], loops: vec![], n_names: 0 }
    }

    fn line(&mut self, text: impl AsRef<str>) {
        let here = self.lines.len();
        for part in text.as_ref().split(MARK[0]).skip(1) {
            let number = part.split(MARK[1]).next().and_then(|number| number.parse::<usize>().ok());
            let array = &mut self.arrays[number.expect("internal: a mark holds a number")];
            let (first, _) = array.lives.unwrap_or((here, here));
            array.lives = Some((first, here));
        }
        self.lines.push(format!("{}{}", "    ".repeat(self.depth), text.as_ref()));
    }

    fn comment(&mut self, text: &str) {
        self.line(match self.lang {
            Lang::Rust => format!("// {text}"),
            Lang::C => format!("/* {text} */"),
        });
    }

    /// A name that is not used yet.
    fn name(&mut self, stem: &str) -> String {
        self.n_names += 1;
        format!("{stem}{}", self.n_names)
    }

    fn array(&mut self, dtype: DType, shape: &[usize]) -> View {
        let (number, count) = (self.arrays.len(), shape.iter().product());
        self.arrays.push(Array { dtype, count, lives: None });
        View::dense(format!("{}{number}{}", MARK[0], MARK[1]), dtype, shape)
    }

    /// Opens a block behind `head`.
    fn block<R>(&mut self, head: &str, inside: impl FnOnce(&mut Writer) -> R) -> R {
        self.line(format!("{head} {{"));
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        self.line("}");
        result
    }

    /// A block that runs several times: what lives when it begins lives to its end.
    fn repeat<R>(&mut self, head: &str, inside: impl FnOnce(&mut Writer) -> R) -> R {
        let first = self.lines.len();
        let result = self.block(head, inside);
        self.loops.push((first, self.lines.len() - 1));
        result
    }

    /// Counts `i` from `from` to below `to`.
    fn count<R>(
        &mut self,
        i: &str,
        from: &str,
        to: &str,
        inside: impl FnOnce(&mut Writer) -> R,
    ) -> R {
        let head = match self.lang {
            Lang::Rust => format!("for {i} in {from}..{to}"),
            Lang::C => format!("for (size_t {i} = {from}; {i} < {to}; {i}++)"),
        };
        self.repeat(&head, inside)
    }

    /// Loops over all indices of a shape.
    fn nest<R>(&mut self, shape: &[usize], inside: impl FnOnce(&mut Writer, &[String]) -> R) -> R {
        self.nest_from(shape, Vec::new(), inside)
    }

    fn nest_from<R>(
        &mut self,
        shape: &[usize],
        mut index: Vec<String>,
        inside: impl FnOnce(&mut Writer, &[String]) -> R,
    ) -> R {
        let Some(&n) = shape.get(index.len()) else { return inside(self, &index) };
        if n == 1 {
            index.push("0".to_owned());
            return self.nest_from(shape, index, inside);
        }
        let i = self.name("i");
        index.push(i.clone());
        self.count(&i, "0", &n.to_string(), |w| w.nest_from(shape, index, inside))
    }

    /// Declares a variable.
    fn declare(&mut self, name: &str, dtype: DType, value: &str, mutable: bool) {
        let value = bare(value);
        self.line(match (self.lang, mutable) {
            (Lang::Rust, true) => format!("let mut {name}: {} = {value};", dtype.name()),
            (Lang::Rust, false) => format!("let {name}: {} = {value};", dtype.name()),
            (Lang::C, true) => format!("{} {name} = {value};", type_name(self.lang, dtype)),
            (Lang::C, false) => format!("const {} {name} = {value};", type_name(self.lang, dtype)),
        });
    }

    fn set(&mut self, place: &str, value: &str) {
        self.line(format!("{place} = {};", bare(value)));
    }

    /// The element of a value.
    fn read(&self, value: &Value, index: &[String]) -> String {
        match value {
            Value::One(value) => literal(self.lang, *value),
            Value::Many(view) => view.at(if view.shape.is_empty() { &[] } else { index }),
        }
    }

    /// Lays the arrays out: each gets a place whose owners never live at the same time as it. The
    /// sizes of the places, by type, and the place of each array.
    fn places(&self) -> (Vec<(DType, usize)>, Vec<Option<usize>>) {
        let mut lives: Vec<Option<(usize, usize)>> = self.arrays.iter().map(|a| a.lives).collect();
        for (first, last) in lives.iter_mut().flatten() {
            // Inner loops were closed first, so one pass reaches the outermost.
            for &(head, end) in &self.loops {
                if *first < head && (head..=end).contains(last) {
                    *last = end;
                }
                if (head..=end).contains(first) && *last > end {
                    *first = head;
                }
            }
        }
        let mut order: Vec<usize> = (0..lives.len()).filter(|&i| lives[i].is_some()).collect();
        order.sort_by_key(|&i| lives[i]);
        let mut places: Vec<(DType, usize, usize)> = Vec::new();
        let mut of = vec![None; lives.len()];
        for i in order {
            let (first, last) = lives[i].expect("internal: only those that live");
            let (dtype, count) = (self.arrays[i].dtype, self.arrays[i].count);
            let free = |(d, _, until): &(DType, usize, usize)| *d == dtype && *until < first;
            // The place that fits with the least to add.
            let fits = (0..places.len()).filter(|&p| free(&places[p]));
            let best = fits.min_by_key(|&p| places[p].1.abs_diff(count));
            let place = best.unwrap_or_else(|| {
                places.push((dtype, 0, 0));
                places.len() - 1
            });
            places[place] = (dtype, places[place].1.max(count), last);
            of[i] = Some(place);
        }
        (places.into_iter().map(|(dtype, n, _)| (dtype, n)).collect(), of)
    }
}

/// The expression without parentheses around all of it.
fn bare(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else {
        return text;
    };
    let mut depth = 0_i32;
    for c in inner.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 {
            return text;
        }
    }
    inner
}

/// Names that differ, made of letters, digits and `_`.
fn identifiers<'a>(paths: impl Iterator<Item = &'a str>, upper: bool) -> Vec<String> {
    const TAKEN: [&str; 26] = [
        "s", "type", "fn", "in", "loop", "match", "mod", "move", "ref", "self", "use", "where",
        "int", "float", "double", "char", "long", "short", "for", "if", "else", "do", "while",
        "static", "const", "auto",
    ];
    let mut seen = BTreeSet::new();
    let identifier = |path: &str| {
        let of = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut name: String = path.chars().map(of).collect();
        name = if upper { name.to_uppercase() } else { name.to_lowercase() };
        // The code's own names end in digits.
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_own = stem.len() < name.len() && !stem.ends_with('_');
        let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_own || !is_plain || TAKEN.contains(&name.as_str()) {
            name = format!("{}{name}", if upper { "P" } else { "p" });
        }
        let mut unique = name.clone();
        let mut n = 2;
        while !seen.insert(unique.clone()) {
            unique = format!("{name}_{n}");
            n += 1;
        }
        unique
    };
    paths.map(identifier).collect()
}

/// The numbers of a buffer, eight a line.
fn numbers(lang: Lang, buffer: &Buffer) -> String {
    let values: Vec<String> = dispatch!(all buffer.dtype(), T => {
        let scalar = |&x: &T| crate::buffer::Element::scalar(x);
        buffer.values::<T>().iter().map(scalar).map(|x| plain(lang, x)).collect()
    });
    let lines = values.chunks(8).map(|line| format!("    {},\n", line.join(", ")));
    lines.collect()
}

/// A number where its type is known.
fn plain(lang: Lang, value: crate::buffer::Scalar) -> String {
    let text = literal(lang, value);
    let bare = bare(&text);
    let ends = ["_f32", "_f64", "_i32", "_u32"];
    ends.iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(bare).to_owned()
}

/// The file.
pub(super) fn source(lang: Lang, name: &str, step: &Step) -> Result<String> {
    let mut w = Writer::new(lang);
    let carry = identifiers(step.carry.iter().map(|(name, _)| name.as_str()), false);
    let mut constants = identifiers(step.constants.iter().map(|(name, _)| name.as_str()), true);
    if lang == Lang::C {
        constants.iter_mut().for_each(|constant| *constant = own(name, constant));
    }
    let io = identifiers(step.x.iter().chain(&step.y).map(String::as_str), false);
    let (x, y) = io.split_at(step.x.len());
    let state = match lang {
        Lang::Rust => "s.",
        Lang::C => "s->",
    };
    let program = &step.program;
    let bases = (carry.iter().map(|name| format!("{state}{name}")))
        .chain(x.iter().cloned())
        .chain(constants.iter().cloned());
    let inputs: Vec<Value> = (program.input_avals().iter().zip(bases))
        .map(|(aval, base)| Value::Many(View::dense(base, aval.dtype, &aval.shape)))
        .collect();
    let outputs = emit::walk(&mut w, program, &inputs)?;
    let avals = program.output_avals();
    let places = carry.iter().map(|name| format!("{state}{name}")).chain(y.iter().cloned());
    let places: Vec<View> = (avals.iter().zip(places))
        .map(|(aval, base)| View::dense(base, aval.dtype, &aval.shape))
        .collect();
    // What is still in the old carry is moved out of the way before that is overwritten.
    let mut moved = Vec::new();
    for (value, place) in outputs.into_iter().zip(&places) {
        let own = |view: &View| view.base == place.base && view.is_dense() && view.offset == 0;
        moved.push(match value {
            Value::Many(view) if view.base.starts_with(state) && !own(&view) => {
                let copy = w.array(view.dtype, &view.shape);
                emit::copy(&mut w, &copy, &Value::Many(view));
                Value::Many(copy)
            }
            value => value,
        });
    }
    w.comment("the outputs, and the state of the next step");
    for (value, place) in moved.iter().zip(&places).rev() {
        if !matches!(value, Value::Many(view) if view.base == place.base) {
            emit::copy(&mut w, place, value);
        }
    }
    Ok(file(&w, name, step, &carry, x, y, &constants))
}

fn file(
    w: &Writer,
    name: &str,
    step: &Step,
    carry: &[String],
    x: &[String],
    y: &[String],
    constants: &[String],
) -> String {
    let lang = w.lang;
    let (places, of) = w.places();
    let state = if lang == Lang::Rust { "s.b" } else { "s->b" };
    let mut body: String = w.lines.iter().map(|line| format!("{line}\n")).collect();
    for (i, place) in of.iter().enumerate() {
        if let Some(place) = place {
            body = body.replace(&format!("{}{i}{}", MARK[0], MARK[1]), &format!("{state}{place}"));
        }
    }
    let avals = step.program.input_avals();
    let outs = step.program.output_avals();
    let n_carry = carry.len();
    let ty = |dtype| type_name(lang, dtype);
    let size = |shape: &crate::buffer::Shape| shape.count().max(1);
    let helpers = math::helpers(lang, &body);
    let bytes: usize = avals[..n_carry].iter().map(|aval| aval.bytes()).sum::<usize>()
        + places.iter().map(|(dtype, n)| dtype.size() * n).sum::<usize>();
    let weights: usize =
        step.constants.iter().map(|(_, c)| c.shape().count() * c.dtype().size()).sum();
    let mut out = String::new();
    let about = format!(
        "One step of `{name}`, generated by rondeau: {weights} bytes of constants, {bytes} of state"
    );
    let mut put = |text: String| out += &text;
    let firsts: Vec<(usize, String)> = (step.carry.iter().enumerate())
        .filter(|(_, (_, first))| first.uniform().is_none())
        .map(|(i, _)| {
            let table = format!("{}_INIT", carry[i].to_uppercase());
            (i, if lang == Lang::C { own(name, &table) } else { table })
        })
        .collect();
    let tables = (step.constants.iter().zip(constants))
        .map(|((path, value), name)| (path.clone(), value.clone(), name.clone()))
        .chain(firsts.iter().map(|(i, name)| {
            let (path, value) = &step.carry[*i];
            (format!("{path}, before the first step"), value.clone(), name.clone())
        }));
    let place_fields =
        places.iter().enumerate().map(|(i, (dtype, n))| (format!("b{i}"), *dtype, (*n).max(1)));
    match lang {
        Lang::Rust => {
            put(format!("//! {about}.\n//! Without `std`, allocation or dependencies.\n"));
            put("#![allow(dead_code, clippy::all)]\n\n".to_owned());
            for (path, value, name) in tables {
                put(format!("/// `{path}`: {}.\n", Aval::of(&value)));
                put(format!(
                    "static {name}: [{}; {}] = [\n",
                    ty(value.dtype()),
                    value.shape().count()
                ));
                put(format!("{}];\n\n", numbers(lang, &value)));
            }
            put("/// What goes from step to step, and room for what is computed on the way.\n"
                .to_owned());
            put("#[derive(Clone)]\npub struct State {\n".to_owned());
            for (name, aval) in carry.iter().zip(&avals) {
                put(format!(
                    "    /// {aval}\n    pub {name}: [{}; {}],\n",
                    ty(aval.dtype),
                    size(&aval.shape)
                ));
            }
            for (name, dtype, n) in place_fields.clone() {
                put(format!("    {name}: [{}; {n}],\n", ty(dtype)));
            }
            put("}\n\n/// The state before the first step.\npub fn state_init() -> State {\n    State {\n".to_owned());
            for (i, ((_, first), name)) in step.carry.iter().zip(carry).enumerate() {
                match first.uniform() {
                    Some(value) => put(format!(
                        "        {name}: [{}; {}],\n",
                        plain(lang, value),
                        size(first.shape())
                    )),
                    None => {
                        let table = &firsts.iter().find(|(j, _)| *j == i).expect("it has one").1;
                        put(format!("        {name}: {table},\n"));
                    }
                }
            }
            for (name, dtype, n) in place_fields {
                let zero = plain(lang, crate::buffer::Scalar::of(0.0, dtype));
                put(format!("        {name}: [{zero}; {n}],\n"));
            }
            put("    }\n}\n\n".to_owned());
            let takes = x.iter().zip(&avals[n_carry..]).map(|(name, aval)| {
                format!(", {name}: &[{}; {}]", ty(aval.dtype), size(&aval.shape))
            });
            let gives = y.iter().zip(&outs[n_carry..]).map(|(name, aval)| {
                format!(", {name}: &mut [{}; {}]", ty(aval.dtype), size(&aval.shape))
            });
            let takes: String = takes.chain(gives).collect();
            put(format!("/// {}.\n", signature(x, y, &avals[n_carry..], &outs[n_carry..])));
            put(format!("pub fn step(s: &mut State{takes}) {{\n{body}}}\n"));
            if !helpers.is_empty() {
                put(format!("\n{helpers}"));
            }
        }
        Lang::C => {
            put(format!("/* {about}.\n   C99; needs nothing but the library of mathematics. */\n"));
            put("#include <math.h>\n#include <stdbool.h>\n#include <stddef.h>\n".to_owned());
            put("#include <stdint.h>\n#include <string.h>\n\n".to_owned());
            for (path, value, name) in tables {
                put(format!("/* {path}: {}. */\n", Aval::of(&value)));
                let n = size(value.shape());
                put(format!("static const {} {name}[{n}] = {{\n", ty(value.dtype())));
                put(if value.shape().count() == 0 {
                    "    0\n".to_owned()
                } else {
                    numbers(lang, &value)
                });
                put("};\n\n".to_owned());
            }
            put("/* What goes from step to step, and room for what is computed on the way. */\n"
                .to_owned());
            put("typedef struct {\n".to_owned());
            for (name, aval) in carry.iter().zip(&avals) {
                put(format!(
                    "    {} {name}[{}]; /* {aval} */\n",
                    ty(aval.dtype),
                    size(&aval.shape)
                ));
            }
            for (name, dtype, n) in place_fields.clone() {
                put(format!("    {} {name}[{n}];\n", ty(dtype)));
            }
            if carry.is_empty() && places.is_empty() {
                put("    char none;\n".to_owned());
            }
            put(format!("}} {name}_state;\n\n"));
            if !helpers.is_empty() {
                put(format!("{helpers}\n"));
            }
            put("/* The state before the first step. */\n".to_owned());
            put(format!(
                "void {name}_state_init({name}_state *s) {{\n    memset(s, 0, sizeof *s);\n"
            ));
            for (i, ((_, first), name)) in step.carry.iter().zip(carry).enumerate() {
                match first.uniform() {
                    Some(value) if value.to_f64() == 0.0 => {}
                    Some(value) => put(format!(
                        "    for (size_t i = 0; i < {}; i++) s->{name}[i] = {};\n",
                        first.shape().count(),
                        plain(lang, value)
                    )),
                    None => {
                        let table = &firsts.iter().find(|(j, _)| *j == i).expect("it has one").1;
                        put(format!("    memcpy(s->{name}, {table}, sizeof s->{name});\n"));
                    }
                }
            }
            put("}\n\n".to_owned());
            let takes = x.iter().zip(&avals[n_carry..]).map(|(name, aval)| {
                format!(", const {} {name}[{}]", ty(aval.dtype), size(&aval.shape))
            });
            let gives = y
                .iter()
                .zip(&outs[n_carry..])
                .map(|(name, aval)| format!(", {} {name}[{}]", ty(aval.dtype), size(&aval.shape)));
            let takes: String = takes.chain(gives).collect();
            put(format!("/* {}. */\n", signature(x, y, &avals[n_carry..], &outs[n_carry..])));
            put(format!("void {name}_step({name}_state *s{takes}) {{\n{body}}}\n"));
        }
    }
    out
}

/// The name of a table in C, where all models of a file share one space of names.
fn own(name: &str, table: &str) -> String {
    format!("{}_{table}", name.to_uppercase())
}

fn signature(x: &[String], y: &[String], takes: &[Aval], gives: &[Aval]) -> String {
    let list = |names: &[String], avals: &[Aval]| {
        let each = names.iter().zip(avals).map(|(name, aval)| format!("{name}: {aval}"));
        each.collect::<Vec<_>>().join(", ")
    };
    format!("One step: the state and {} to the next state and {}", list(x, takes), list(y, gives))
}
