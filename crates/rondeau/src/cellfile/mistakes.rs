//! Every mistake that a cell file can hold, so that all texts can be read in one sitting, and how
//! the place of a mistake is shown.

use super::functions::FUNCTIONS;
use super::lex::Span;
use super::syntax::{Ident, Way};
use crate::error::Error;

/// A mistake in a text, before it is known which text that is.
#[derive(Debug)]
pub(super) struct Fault {
    headline: String,
    /// Places, the main one first, and what is said of each.
    marks: Vec<(Span, String)>,
    help: Option<String>,
}

/// The characters of a line that are shown at the most.
const WIDEST: usize = 90;

impl Fault {
    fn new(headline: impl Into<String>) -> Fault {
        Fault { headline: headline.into(), marks: vec![], help: None }
    }

    fn mark(mut self, span: Span, label: impl Into<String>) -> Fault {
        self.marks.push((span, label.into()));
        self
    }

    fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }

    /// The mistake with its places in the text.
    pub(super) fn into_error(self, text: &str, name: &str) -> Error {
        let mut details = Vec::new();
        let lines: Vec<usize> =
            self.marks.iter().map(|(span, _)| line_of(text, span.start)).collect();
        let gutter = lines.iter().max().map_or(0, |line| (line + 1).to_string().len());
        let mut shown = None;
        for ((span, label), line) in self.marks.iter().zip(lines) {
            let (source, column, width) = excerpt(text, *span);
            if shown.is_none() {
                let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
                let column = text[start..span.start].chars().count() + 1;
                details.push(format!("{}:{}:{column}", clean(name, WIDEST), line + 1));
            }
            if shown != Some(line) {
                details.push(format!("{:>gutter$} | {source}", line + 1).trim_end().to_owned());
                shown = Some(line);
            }
            let carets = format!("{}{}", " ".repeat(column), "^".repeat(width));
            let below = format!("{:gutter$} | {carets} {label}", "");
            details.push(below.trim_end().to_owned());
        }
        Error::in_text(self.headline, details, self.help)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].bytes().filter(|&byte| byte == b'\n').count()
}

/// A text of one line, no longer than that.
fn clean(text: &str, most: usize) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(most).map(visible).collect()
}

/// The line around a span, with where the span begins in it and how wide it is, in characters.
fn excerpt(text: &str, span: Span) -> (String, usize, usize) {
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
    let before = text[start..span.start].chars().count();
    let inside = text[span.start..span.end.clamp(span.start, end)].chars().count().max(1);
    // Of a long line, what is around the span.
    let skipped = if before > WIDEST / 2 { before - WIDEST / 4 } else { 0 };
    let shown: String = text[start..end].chars().skip(skipped).take(WIDEST).collect();
    let column = before - skipped;
    (clean(&shown, WIDEST), column, inside.min(WIDEST - column))
}

/// The name of `known` that is meant, if one is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of short names, only those that differ in the size of letters.
    let most = name.chars().count() / 3;
    let name = name.to_lowercase();
    let distances = known.into_iter().map(|other| (edits(&name, &other.to_lowercase()), other));
    distances.filter(|(n, _)| *n <= most).min_by_key(|(n, _)| *n).map(|(_, other)| other)
}

/// Whether names of four characters at least differ by one slip of the hand: neighbours exchanged, or
/// a character changed, left out or put in between the first and the last. Names that belong
/// together differ at their ends or in numbers, as `gate` and `Wgate`, `k1_in` and `k2_in`.
pub(super) fn slipped(a: &str, b: &str) -> bool {
    let ends = |name: &str| (name.chars().next(), name.chars().last());
    let letters = |name: &str| {
        let mut letters: Vec<char> = name.chars().collect();
        letters.sort_unstable();
        letters
    };
    let is_letter = |c: &char| !c.is_ascii_digit();
    let (n, m) = (a.chars().count(), b.chars().count());
    // What takes long is asked last: a file may have thousands of names, each asked about all others.
    n.min(m) >= 4
        && n.abs_diff(m) <= 1
        && !a.chars().filter(is_letter).eq(b.chars().filter(is_letter))
        && (ends(a) == ends(b) || letters(a) == letters(b))
        && edits(a, b) == 1
}

/// How many characters must be changed, put in, left out or exchanged with their neighbour to make
/// one name of the other.
fn edits(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|name| name.chars().collect::<Vec<char>>());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Mistakes of the text.
impl Fault {
    pub(super) fn too_long(most: usize) -> Fault {
        Fault::new(format!("a cell file has at most {most} bytes"))
            .help("a file holds one cell; stack cells where they are used")
    }

    pub(super) fn long_name(most: usize, span: Span) -> Fault {
        Fault::new(format!("a name has at most {most} characters")).mark(span, "")
    }

    pub(super) fn character(found: char, span: Span) -> Fault {
        let found = found.escape_debug();
        Fault::new(format!("`{found}` means nothing in a cell file"))
            .mark(span, "")
            .help("equations are made of names, numbers, parentheses and + - * / ^ < > == !=")
    }

    pub(super) fn number(span: Span) -> Fault {
        Fault::new("this number is too large").mark(span, "")
    }

    pub(super) fn number_beside(span: Span) -> Fault {
        Fault::new("a product with a number is written with `*`")
            .mark(span, "")
            .help("`2 * x` multiplies by a number; `W x` is the product of a matrix and a vector")
    }

    pub(super) fn expected(what: &str, found: &str, span: Span) -> Fault {
        Fault::new(format!("expected {what}, found {found}")).mark(span, "")
    }

    pub(super) fn closes_nothing(symbol: &str, span: Span) -> Fault {
        Fault::new(format!("this `{symbol}` closes nothing")).mark(span, "")
    }

    pub(super) fn unclosed(symbol: &str, open: Span, what: &str, found: &str, at: Span) -> Fault {
        Fault::new(format!("this `{symbol}` is not closed"))
            .mark(open, "opened here")
            .mark(at, format!("expected {what}, found {found}"))
    }

    pub(super) fn no_cell(found: &str, span: Span) -> Fault {
        Fault::new(format!("expected a cell, found {found}"))
            .mark(span, "")
            .help("a file begins with `cell`, a name, the input and the carries: `cell gru(x, h)`")
    }

    pub(super) fn second_cell(span: Span) -> Fault {
        Fault::new("a file holds one cell")
            .mark(span, "a second one begins here")
            .help("put it into a file of its own")
    }

    pub(super) fn reserved(what: &str, name: &Ident) -> Fault {
        Fault::new(format!("`{}` is {what} and cannot be the name of a value", name.text))
            .mark(name.span, "")
            .help("choose another name")
    }

    pub(super) fn prime(name: &Ident) -> Fault {
        Fault::new(format!("`{}` has a prime, which only the next value of a carry has", name.text))
            .mark(name.span, "")
            .help("write the name without it")
    }

    pub(super) fn unknown_way(name: &Ident) -> Fault {
        let ways = Way::ALL.iter().map(|(name, ..)| *name);
        let fault = Fault::new(format!("there is no initializer `{}`", name.text));
        let fault = fault.mark(name.span, "");
        match nearest(&name.text, ways.clone()) {
            Some(way) => fault.help(did_you_mean(way)),
            None => fault.help(format!("there are {}", ways.collect::<Vec<_>>().join(", "))),
        }
    }

    pub(super) fn many_axes(span: Span) -> Fault {
        Fault::new("a value has at most two sizes").mark(span, "").help(
            "a scalar is `[]`, a vector `[size]`, a matrix `[size of the result, size of the input]`",
        )
    }

    pub(super) fn many_terms(most: usize, span: Span) -> Fault {
        Fault::new(format!("a size is a sum of at most {most} terms")).mark(span, "")
    }

    pub(super) fn size_number(span: Span) -> Fault {
        Fault::new("a size is a whole number below 2^31").mark(span, "")
    }

    pub(super) fn too_deep(span: Span) -> Fault {
        Fault::new("this expression nests too deep")
            .mark(span, "")
            .help("give a part of it a name, in an equation of its own")
    }

    pub(super) fn chained(span: Span) -> Fault {
        Fault::new("comparisons do not follow each other")
            .mark(span, "")
            .help("compare twice, with `where(a < b, where(b < c, .., ..), ..)`")
    }

    pub(super) fn unknown_function(name: &str, span: Span) -> Fault {
        let fault = Fault::new(format!("there is no function `{name}`")).mark(span, "");
        match nearest(name, FUNCTIONS.iter().map(|function| function.name)) {
            Some(function) => fault.help(did_you_mean(function)),
            None => fault.help(format!(
                "the product of a matrix and a vector is written with a space: `{name} (..)`"
            )),
        }
    }

    pub(super) fn without_arguments(name: &str, span: Span) -> Fault {
        Fault::new(format!("the function `{name}` stands without arguments"))
            .mark(span, "")
            .help(format!("write `{name}(..)`"))
    }

    pub(super) fn arguments(name: &str, needs: [usize; 2], given: usize, span: Span) -> Fault {
        let needs = match needs {
            [least, most] if least == most => format!("{least}"),
            [least, most] => format!("{least} to {most}"),
        };
        let plural = if needs == "1" { "" } else { "s" };
        Fault::new(format!("`{name}` takes {needs} argument{plural}"))
            .mark(span, format!("given are {given}"))
    }
}

/// Mistakes of names.
impl Fault {
    pub(super) fn twice(name: &Ident, first: Span) -> Fault {
        Fault::new(format!("`{}` is defined twice", name.text))
            .mark(name.span, "again here")
            .mark(first, "first here")
            .help("give one of them another name")
    }

    pub(super) fn sizes_twice(name: &str, again: Span, first: Span) -> Fault {
        Fault::new(format!("the sizes of `{name}` are said twice"))
            .mark(again, "again here")
            .mark(first, "first here")
            .help("leave one of them out")
    }

    pub(super) fn argument(name: &Ident, is_input: bool, at: Span) -> Fault {
        let role = if is_input { "the input" } else { "a carry" };
        let fault = Fault::new(format!("`{}` is {role}, and has no equation", name.text))
            .mark(name.span, "")
            .mark(at, "an argument of the cell");
        match is_input {
            true => fault.help("give the value another name"),
            false => fault.help(format!("its next value is called `{}'`", name.text)),
        }
    }

    pub(super) fn output_is_argument(name: &Ident) -> Fault {
        Fault::new("`y` is the output and cannot be an argument").mark(name.span, "")
    }

    pub(super) fn not_a_carry(name: &Ident, carries: &[String]) -> Fault {
        let plain = name.text.trim_end_matches('\'');
        Fault::new(format!("`{plain}` is no carry of the cell")).mark(name.span, "").help(
            match carries {
                [] => "carries stand behind the input: `cell rnn(x, h)`".to_owned(),
                carries => format!("the carries are {}", carries.join(", ")),
            },
        )
    }

    pub(super) fn no_equation(carry: &Ident) -> Fault {
        let name = &carry.text;
        Fault::new(format!("the carry `{name}` has no equation"))
            .mark(carry.span, "")
            .help(format!("say its next value: `{name}' = ..`"))
    }

    pub(super) fn no_output(cell: &Ident, first_carry: Option<&Ident>) -> Fault {
        let example = first_carry.map_or("..".to_owned(), |carry| format!("{}'", carry.text));
        Fault::new("the cell has no output")
            .mark(cell.span, "")
            .help(format!("say what it is: `y = {example}`"))
    }

    pub(super) fn used_before(name: &str, at: Span, equation: Span) -> Fault {
        Fault::new(format!("`{name}` is used before its equation"))
            .mark(at, "used here")
            .mark(equation, "its equation is here")
            .help("move the equation up; values from the step before are carries")
    }

    pub(super) fn unknown_size(name: &Ident, known: &[String]) -> Fault {
        let text = &name.text;
        let fault = Fault::new(format!("there is no size `{text}`")).mark(name.span, "");
        match nearest(text, known.iter().map(String::as_str)) {
            Some(near) => fault.help(did_you_mean(near)),
            None => fault.help(format!("declare it: `size {text}`")),
        }
    }

    pub(super) fn unused(name: &Ident, near: Option<&str>) -> Fault {
        let fault = Fault::new(format!("the parameter `{}` is not used", name.text));
        let fault = fault.mark(name.span, "");
        match near {
            Some(near) => fault.help(format!("the equations use `{near}`")),
            None => fault.help("use it in an equation, or leave it out"),
        }
    }

    pub(super) fn almost_value(name: &Ident, value: &str, origin: Span) -> Fault {
        let text = &name.text;
        Fault::new(format!("nothing binds `{text}`, and it is almost `{value}`"))
            .mark(name.span, "")
            .mark(origin, format!("`{value}` is bound here"))
            .help(format!(
                "did you mean `{value}`? if it is a parameter, declare it: `param {text}`"
            ))
    }

    pub(super) fn almost_function(name: &str, function: &str, span: Span) -> Fault {
        Fault::new(format!("there is no function `{name}`")).mark(span, "").help(format!(
            "did you mean `{function}`? if it is a matrix, declare it: `param {name}`"
        ))
    }

    pub(super) fn carry_way(way: &str, span: Span) -> Fault {
        Fault::new(format!("a carry does not begin with `{way}`, which draws numbers"))
            .mark(span, "")
            .help("it begins with `zeros`, `ones` or `constant(..)`")
    }

    pub(super) fn orthogonal(name: &Ident) -> Fault {
        Fault::new(format!("`{}` is no matrix, and only a matrix is `orthogonal`", name.text))
            .mark(name.span, "")
    }
}

/// Mistakes of sizes. Each side of a disagreement is a place and its sizes.
impl Fault {
    pub(super) fn disagree(what: &str, sides: [(Span, String); 2]) -> Fault {
        let [left, right] = sides;
        Fault::new(format!("sizes disagree: {what}")).mark(left.0, left.1).mark(right.0, right.1)
    }

    /// One more place that a disagreement comes from.
    pub(super) fn because(self, span: Span, label: String) -> Fault {
        self.mark(span, label)
    }

    pub(super) fn not_a_matrix(span: Span, sizes: &str, right: Span) -> Fault {
        Fault::new("the left side of a product is a matrix")
            .mark(span, sizes)
            .mark(right, "multiplied by this")
            .help("to multiply the numbers at each index, write `*` between the two")
    }

    pub(super) fn scalar_product(span: Span, sizes: &str) -> Fault {
        Fault::new("a matrix is multiplied by a vector")
            .mark(span, sizes)
            .help("to multiply by a scalar, write `*` between the two")
    }

    pub(super) fn needs(function: &str, needs: &str, span: Span, sizes: &str) -> Fault {
        Fault::new(format!("`{function}` takes {needs}")).mark(span, sizes)
    }

    pub(super) fn truth(what: &str, span: Span) -> Fault {
        Fault::new(format!("{what} is a number, not a truth value"))
            .mark(span, "a truth value")
            .help("choose between numbers with `where(condition, a, b)`")
    }

    pub(super) fn no_truth(span: Span) -> Fault {
        Fault::new("the condition of `where` is a truth value")
            .mark(span, "a number")
            .help("compare it, for example with `x > 0`")
    }

    pub(super) fn undetermined(name: &str, sizes: &str, span: Span, help: String) -> Fault {
        Fault::new(format!("the sizes of `{name}` are not determined")).mark(span, sizes).help(help)
    }

    pub(super) fn not_known_yet(span: Span) -> Fault {
        Fault::new("the sizes of this are not known where a part of it is taken")
            .mark(span, "")
            .help("declare the parameter with its sizes: `param W [4*hidden, input]`")
    }

    pub(super) fn complex(span: Span) -> Fault {
        Fault::new("the sizes here are too complex")
            .mark(span, "")
            .help("declare parameters with their sizes, in named sizes: `size hidden`")
    }

    pub(super) fn out_of_range(
        what: &str,
        size: &str,
        value: i128,
        span: Span,
        with: &str,
    ) -> Fault {
        let value = value.to_string();
        let is = if size == value { String::new() } else { format!(" is {value}") };
        Fault::new(format!("{what}: {size}{is}, with {with}")).mark(span, "")
    }

    pub(super) fn too_large(span: Span, numbers: i128, most: i128, with: &str) -> Fault {
        Fault::new(format!("this holds {numbers} numbers, with {with}; at most {most} are allowed"))
            .mark(span, "")
    }
}
