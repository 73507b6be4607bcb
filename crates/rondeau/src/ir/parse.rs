//! Reading programs back from their text: the inverse of [`print`](super::print).
//!
//! ```text
//! program  = "{" "lambda" {binder} "." ["let" {equation}] "in" "(" [atom {"," atom} [","]] ")" "}"
//! equation = (binder {binder} | "_") "=" primitive ["[" {key "=" value} "]"] {atom}
//! binder   = variable ":" type                         .gru.wz:f32[8,5]
//! type     = element ["[" [size {"," size}] "]"]       f32[8,5]; f32 is f32[]
//! atom     = variable | number ":" element             a, 1.0:f32, true:bool
//! value    = integer | word | text | "[" [value {"," value}] "]" | program
//! ```
//!
//! White space only separates; `#` starts a comment that ends with its line. A variable is a word,
//! or a dot and a user's name; so the `.` after the inputs stands free. The words
//! `lambda let in nan inf true false` name no variable.
//!
//! Any text gives a checked program or an error: nesting and sizes are bounded.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use super::check::fit;
use super::print::RESERVED;
use super::{Atom, Aval, Eqn, Params, Program, Value, Var};
use crate::buffer::{DType, Scalar, Shape};
use crate::error::{Error, Result};
use crate::prim::Prim;

/// How deep programs and lists nest.
const MAX_DEPTH: usize = 64;

impl FromStr for Program {
    type Err = Error;

    /// The program that prints as this text.
    fn from_str(text: &str) -> Result<Program> {
        let mut parser = Parser { source: Source(text), tokens: lex(text)?, next: 0, depth: 0 };
        let program = parser.program()?;
        match parser.peek() {
            Token::End => program.check().map(|()| program),
            _ => Err(parser.expected("the end of the text")),
        }
    }
}

/// The text, to point into.
#[derive(Clone, Copy)]
struct Source<'a>(&'a str);

impl Source<'_> {
    /// The line and column of a byte, counted from 1, and what to show of the line.
    fn place(self, at: usize) -> (usize, usize, String) {
        const SHOWN: usize = 96;
        let before = &self.0[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = self.0[start..at].chars().count();
        // Of a long line, a part with the fault in it.
        let skipped = if column < SHOWN { 0 } else { column - SHOWN / 2 };
        let line = self.0[start..].lines().next().unwrap_or("");
        let shown = line.chars().skip(skipped).take(SHOWN);
        let shown = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
        (before.matches('\n').count() + 1, column - skipped + 1, shown)
    }

    fn expected(self, at: usize, expected: &str) -> Error {
        let (line, column, shown) = self.place(at);
        Error::parse(line, column, &shown, expected)
    }

    /// A rule of the language that is broken here.
    fn fault(self, at: usize, what: String) -> Error {
        let (line, column, shown) = self.place(at);
        let gutter = line.to_string();
        let (space, caret) = (" ".repeat(gutter.len()), " ".repeat(column - 1));
        Error::ill_formed(what, &format!("{gutter} | {shown}\n{space} | {caret}^"))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    /// A letter or `_`, then letters, digits and `_`.
    Word(&'a str),
    /// A user's name, with its dot.
    Name(&'a str),
    /// A number, its sign included; also `-inf`.
    Number(&'a str),
    /// A quoted text, without quotes and escapes.
    Text(String),
    /// One of `{}[]():=,.`
    Mark(char),
    /// The end of the text.
    End,
}

impl Token<'_> {
    fn describe(&self) -> String {
        match self {
            Token::Word(text) | Token::Name(text) | Token::Number(text) => {
                format!("`{}`", clip(text))
            }
            Token::Text(_) => "a text".to_owned(),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::End => "the end of the text".to_owned(),
        }
    }
}

/// The start of a text, enough to recognize it.
fn clip(text: &str) -> String {
    const SHOWN: usize = 96;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// The tokens of a text and where they start.
fn lex(text: &str) -> Result<Vec<(Token<'_>, usize)>> {
    let source = Source(text);
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let after = rest[c.len_utf8()..].chars().next();
        let token = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '#' => {
                at += span(rest, |c| c != '\n');
                continue;
            }
            c if c.is_ascii_alphabetic() || c == '_' => Token::Word(&rest[..span(rest, is_word)]),
            '.' if after.is_some_and(|c| is_word(c) || c == '.') => {
                Token::Name(&rest[..span(rest, |c| is_word(c) || c == '.')])
            }
            '-' if rest.starts_with("-inf") => Token::Number(&rest[..4]),
            c if is_digit(c) || c == '-' && after.is_some_and(is_digit) => {
                Token::Number(&rest[..number(rest)])
            }
            '"' => {
                let (text, length) = quoted(source, at)?;
                tokens.push((Token::Text(text), at));
                at += length;
                continue;
            }
            '{' | '}' | '[' | ']' | '(' | ')' | ':' | '=' | ',' | '.' => Token::Mark(c),
            c => return Err(source.expected(at, &format!("the text of a program, not {c:?}"))),
        };
        let length = match &token {
            Token::Word(text) | Token::Name(text) | Token::Number(text) => text.len(),
            Token::Text(_) | Token::Mark(_) | Token::End => 1,
        };
        tokens.push((token, at));
        at += length;
    }
    tokens.push((Token::End, text.trim_end().len()));
    Ok(tokens)
}

/// The bytes of the longest start of a text whose characters all are in a class.
fn span(text: &str, class: impl Fn(char) -> bool) -> usize {
    text.find(|c| !class(c)).unwrap_or(text.len())
}

/// The bytes of the number at the start of a text.
fn number(text: &str) -> usize {
    let digits = |from: usize| from + span(&text[from..], is_digit);
    let mut end = digits(usize::from(text.starts_with('-')));
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// The text quoted at `at`, and how many bytes it takes with quotes and escapes.
fn quoted(source: Source<'_>, at: usize) -> Result<(String, usize)> {
    let mut text = String::new();
    let mut chars = source.0[at..].char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((text, i + 1)),
            '\n' => break,
            '\\' => {
                let escaped = match chars.next().map(|(_, c)| c) {
                    Some(c @ ('"' | '\\')) => Some(c),
                    Some('n') => Some('\n'),
                    Some('r') => Some('\r'),
                    Some('t') => Some('\t'),
                    Some('u') => {
                        let digits = source.0[at + i + 2..].strip_prefix('{');
                        let digits = digits.and_then(|digits| digits.split_once('}'));
                        let digits = digits.map_or("", |(digits, _)| digits);
                        // Past the digits and the braces.
                        chars.by_ref().take(digits.len() + 2).for_each(|_| ());
                        u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
                    }
                    _ => None,
                };
                let what = "an escape: \\\" \\\\ \\n \\r \\t or \\u{..}";
                text.push(escaped.ok_or_else(|| source.expected(at + i, what))?);
            }
            c => text.push(c),
        }
    }
    Err(source.expected(at, "a text that ends on its line"))
}

struct Parser<'a> {
    source: Source<'a>,
    /// Ends with `End`.
    tokens: Vec<(Token<'a>, usize)>,
    next: usize,
    depth: usize,
}

/// A program while it is read, with the variables that its text names.
struct Scope<'a> {
    program: Program,
    vars: HashMap<&'a str, Var>,
}

/// A variable where it is bound.
struct Binder<'a> {
    name: &'a str,
    aval: Aval,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        &self.tokens[self.next].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next].1
    }

    fn is_before(&self, mark: char) -> bool {
        matches!(self.tokens.get(self.next + 1), Some((Token::Mark(c), _)) if *c == mark)
    }

    /// Passes the next token, but never the end.
    fn advance(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn expected(&self, what: &str) -> Error {
        self.source.expected(self.at(), &format!("{what}, got {}", self.peek().describe()))
    }

    fn accept(&mut self, token: &Token<'_>) -> bool {
        let found = self.peek() == token;
        if found {
            self.advance();
        }
        found
    }

    fn mark(&mut self, mark: char) -> Result<()> {
        match self.accept(&Token::Mark(mark)) {
            true => Ok(()),
            false => Err(self.expected(&format!("`{mark}`"))),
        }
    }

    fn keyword(&mut self, word: &str, instead: &str) -> Result<()> {
        match self.accept(&Token::Word(word)) {
            true => Ok(()),
            false => Err(self.expected(&format!("{instead}`{word}`"))),
        }
    }

    fn word(&mut self, what: &str) -> Result<&'a str> {
        match *self.peek() {
            Token::Word(word) => {
                self.advance();
                Ok(word)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Reads something that may contain itself.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            let what = format!("at most {MAX_DEPTH} programs and lists within each other");
            return Err(self.source.expected(self.at(), &what));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Items with commas between, after the opening mark and through the closing one.
    fn list<T>(
        &mut self,
        close: char,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while !self.accept(&Token::Mark(close)) {
            items.push(read(self)?);
            if !self.accept(&Token::Mark(',')) {
                match self.accept(&Token::Mark(close)) {
                    true => break,
                    false => return Err(self.expected(&format!("`,` or `{close}`"))),
                }
            }
        }
        Ok(items)
    }

    fn program(&mut self) -> Result<Program> {
        self.nested(|parser| {
            let program = Program {
                avals: vec![],
                inputs: vec![],
                eqns: vec![],
                outputs: vec![],
                names: vec![],
            };
            let mut scope = Scope { program, vars: HashMap::new() };
            parser.mark('{')?;
            parser.keyword("lambda", "")?;
            while !parser.accept(&Token::Mark('.')) {
                parser.input(&mut scope)?;
            }
            if parser.accept(&Token::Word("let")) {
                while *parser.peek() != Token::Word("in") {
                    parser.eqn(&mut scope)?;
                }
                parser.keyword("in", "")?;
            } else {
                parser.keyword("in", "`let` or ")?;
            }
            parser.mark('(')?;
            scope.program.outputs = parser.list(')', |parser| parser.atom(&scope))?;
            parser.mark('}')?;
            Ok(scope.program)
        })
    }

    fn input(&mut self, scope: &mut Scope<'a>) -> Result<()> {
        let binder = self.binder("an input and its type, as in `a:f32[8]`, or `.`")?;
        let user = binder.name.strip_prefix('.').unwrap_or("").to_owned();
        let var = scope.bind(self.source, binder)?;
        scope.program.inputs.push(var);
        scope.program.names.push(user);
        Ok(())
    }

    fn binder(&mut self, what: &str) -> Result<Binder<'a>> {
        let at = self.at();
        let name = match *self.peek() {
            Token::Name(name) => name,
            Token::Word(name) if name != "_" && !RESERVED.contains(&name) => name,
            _ => return Err(self.expected(what)),
        };
        self.advance();
        self.mark(':')?;
        Ok(Binder { name, aval: self.aval()?, at })
    }

    fn dtype(&mut self) -> Result<DType> {
        let what = "an element type (f32 f64 i32 u32 bool)";
        match *self.peek() {
            Token::Word(word) => match DType::from_name(word) {
                Some(dtype) => {
                    self.advance();
                    Ok(dtype)
                }
                None => Err(self.expected(what)),
            },
            _ => Err(self.expected(what)),
        }
    }

    fn aval(&mut self) -> Result<Aval> {
        let at = self.at();
        let dtype = self.dtype()?;
        let sizes = match self.accept(&Token::Mark('[')) {
            true => self.list(']', Parser::size)?,
            false => vec![],
        };
        let aval = Aval::new(dtype, Shape::from(sizes));
        match aval.shape.is_reasonable(dtype.size()) {
            true => Ok(aval),
            false => Err(self.source.expected(at, "a type of at most 2^34 bytes")),
        }
    }

    fn size(&mut self) -> Result<usize> {
        let size = match *self.peek() {
            Token::Number(text) => text.parse().ok(),
            _ => None,
        };
        let size = size.ok_or_else(|| self.expected("the size of an axis"))?;
        self.advance();
        Ok(size)
    }

    fn eqn(&mut self, scope: &mut Scope<'a>) -> Result<()> {
        let outputs = self.outputs()?;
        self.mark('=')?;
        let at = self.at();
        let name = self.word("the name of a primitive")?;
        let params = match self.accept(&Token::Mark('[')) {
            true => self.params()?,
            false => Params::new(),
        };
        let prim = self.prim(name, &params, at)?;
        let inputs = self.operands(scope)?;
        let says: Vec<Aval> = outputs.iter().map(|binder| binder.aval.clone()).collect();
        // Bound only now, so that no equation reads its own outputs.
        let outputs = outputs.into_iter().map(|binder| scope.bind(self.source, binder));
        let eqn = Eqn { prim, inputs, outputs: outputs.collect::<Result<_>>()? };
        let reads: Vec<Aval> = eqn.inputs.iter().map(|&atom| scope.program.aval(atom)).collect();
        fit(&eqn, &reads, &says).map_err(|what| self.source.fault(at, what))?;
        scope.program.eqns.push(eqn);
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<Binder<'a>>> {
        let mut outputs = Vec::new();
        if self.accept(&Token::Word("_")) {
            return Ok(outputs);
        }
        while outputs.is_empty() || *self.peek() != Token::Mark('=') {
            if let Token::Name(_) = self.peek() {
                return Err(self.expected("an output without a dot, since only inputs have names"));
            }
            outputs.push(self.binder(match outputs.is_empty() {
                true => "an equation, as in `b:f32[8] = neg a`, or `in`",
                false => "`=` or one more output",
            })?);
        }
        Ok(outputs)
    }

    /// Parameters, after the opening bracket and through the closing one.
    fn params(&mut self) -> Result<Params> {
        let mut params = Params::new();
        while !self.accept(&Token::Mark(']')) {
            let name = self.word("a parameter, as in `axis=0`, or `]`")?;
            self.mark('=')?;
            let value = self.value()?;
            params = params.with(name, value);
        }
        Ok(params)
    }

    fn value(&mut self) -> Result<Value> {
        let what = "the value of a parameter";
        let value = match self.peek() {
            Token::Mark('{') => return Ok(Value::Program(Arc::new(self.program()?))),
            Token::Mark('[') => {
                return self.nested(|parser| {
                    parser.advance();
                    Ok(Value::List(parser.list(']', Parser::value)?))
                });
            }
            Token::Word(word) => Value::Word((*word).to_owned()),
            Token::Text(text) => Value::Text(text.clone()),
            Token::Number(text) => match text.parse() {
                Ok(n) => Value::Int(n),
                Err(_) => return Err(self.expected("a whole number of 64 bits")),
            },
            Token::Name(_) | Token::Mark(_) | Token::End => return Err(self.expected(what)),
        };
        self.advance();
        Ok(value)
    }

    /// The primitive of these parameters, all of them and no others.
    fn prim(&self, name: &str, params: &Params, at: usize) -> Result<Prim> {
        let prim = Prim::from_params(name, params);
        if let Some(prim) = prim.filter(|prim| are_same(&prim.params(), params)) {
            return Ok(prim);
        }
        let known = Prim::examples().into_iter().find(|(prim, _)| prim.name() == name);
        let got = clip(&format!("{name}{params}"));
        let expected = match known.map(|(prim, _)| prim.params()) {
            None => format!("a primitive; none is named `{}`", clip(name)),
            Some(ours) if ours == Params::new() => {
                format!("`{name}` without parameters, got `{got}`")
            }
            Some(ours) => format!("`{name}{ours}` or the like, got `{got}`"),
        };
        Err(self.source.expected(at, &expected))
    }

    /// Atoms, up to the next equation or `in`.
    fn operands(&mut self, scope: &Scope<'a>) -> Result<Vec<Atom>> {
        let mut operands = Vec::new();
        loop {
            match *self.peek() {
                Token::Word("_" | "in" | "let" | "lambda") => return Ok(operands),
                // The first output of the next equation.
                Token::Word(word) if !is_value(word) && self.is_before(':') => return Ok(operands),
                Token::Word(_) | Token::Name(_) | Token::Number(_) => {
                    operands.push(self.atom(scope)?)
                }
                Token::Text(_) | Token::Mark(_) | Token::End => return Ok(operands),
            }
        }
    }

    fn atom(&mut self, scope: &Scope<'a>) -> Result<Atom> {
        match *self.peek() {
            Token::Number(text) => self.literal(text),
            Token::Word(text) if is_value(text) => self.literal(text),
            Token::Word(name) | Token::Name(name) => match scope.vars.get(name) {
                Some(&var) => {
                    self.advance();
                    Ok(Atom::Var(var))
                }
                None => Err(self.expected("a variable that is bound before")),
            },
            Token::Text(_) | Token::Mark(_) | Token::End => {
                Err(self.expected("a variable, or a number and its type, as in `1.0:f32`"))
            }
        }
    }

    fn literal(&mut self, text: &str) -> Result<Atom> {
        let at = self.at();
        self.advance();
        self.mark(':')?;
        let dtype = self.dtype()?;
        match scalar(text, dtype) {
            Some(value) => Ok(Atom::Lit(value)),
            None => Err(self
                .source
                .expected(at, &format!("a value of type {dtype}, got `{}`", clip(text)))),
        }
    }
}

impl<'a> Scope<'a> {
    fn bind(&mut self, source: Source<'_>, binder: Binder<'a>) -> Result<Var> {
        let Binder { name, aval, at } = binder;
        let var = Var(self.program.avals.len() as u32);
        if self.vars.insert(name, var).is_some() {
            return Err(source.fault(at, format!("`{}` is bound twice", clip(name))));
        }
        self.program.avals.push(aval);
        Ok(var)
    }
}

/// Whether a word is a number or truth value.
fn is_value(word: &str) -> bool {
    matches!(word, "nan" | "inf" | "true" | "false")
}

fn scalar(text: &str, dtype: DType) -> Option<Scalar> {
    // Only the word is infinite: a number out of range is a mistake.
    let is_in_range = |is_finite: bool| is_finite || matches!(text, "nan" | "inf" | "-inf");
    match dtype {
        DType::F32 => {
            text.parse().ok().filter(|x: &f32| is_in_range(x.is_finite())).map(Scalar::F32)
        }
        DType::F64 => {
            text.parse().ok().filter(|x: &f64| is_in_range(x.is_finite())).map(Scalar::F64)
        }
        DType::I32 => text.parse().ok().map(Scalar::I32),
        DType::U32 => text.parse().ok().map(Scalar::U32),
        DType::Bool => text.parse().ok().map(Scalar::Bool),
    }
}

/// Whether the same parameters are given, in any order.
fn are_same(ours: &Params, given: &Params) -> bool {
    let is_given = |(name, value): &(String, Value)| given.get(name) == Some(value);
    ours.0.len() == given.0.len() && ours.0.iter().all(is_given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Builder;

    #[track_caller]
    fn round_trip(program: &Program) {
        let text = program.to_string();
        let read: Program = text.parse().unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        assert_eq!(read, *program, "\n{text}");
        assert_eq!(read.to_string(), text);
    }

    fn programs() -> Vec<Program> {
        let one = |(prim, avals): (Prim, Vec<Aval>)| {
            let mut b = Builder::new();
            let inputs = b.inputs(&avals);
            let outputs = b.bind(prim, &inputs);
            b.finish(outputs)
        };
        Prim::examples().into_iter().map(one).collect()
    }

    #[test]
    fn every_example_reads_back() {
        programs().iter().for_each(round_trip);
    }

    #[test]
    fn names_and_many_variables_read_back() {
        let mut b = Builder::new();
        let avals = [Aval::scalar(DType::F32), Aval::new(DType::F32, [0, 3])];
        for name in ["w", "gru.w_1", "gru.w_1", "", ".", "..x", "1.5", "a", "in", "é", "x."] {
            b.named_input(avals[name.len() % 2].clone(), name.to_owned());
        }
        let x = b.named_input(Aval::scalar(DType::F32), "layers.0.bias".to_owned());
        // Far enough that letters would spell `in`, `inf` and `nan`.
        let y = (0..9000).fold(x, |y, _| b.neg(y));
        round_trip(&b.finish(vec![y, x, y]));
        round_trip(&Builder::new().finish(vec![]));
    }

    #[test]
    fn literals_read_back_bit_for_bit() {
        let mut outputs = vec![Atom::Lit(Scalar::Bool(true)), Atom::Lit(Scalar::Bool(false))];
        for x in [0.0, -0.0, 1.0, 0.1, 1e-45, 1e38, 3.4e38, -1e-7, f32::NAN, f32::MAX, 16777217.0] {
            outputs.push(Atom::Lit(Scalar::F32(x)));
            outputs.push(Atom::Lit(Scalar::F64(f64::from(x) * 1.1)));
        }
        for x in [f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324, 1e300] {
            outputs.push(Atom::Lit(Scalar::F64(x)));
            outputs.push(Atom::Lit(Scalar::F32(x as f32)));
        }
        for x in [0, 3, -3, i32::MIN, i32::MAX] {
            outputs.push(Atom::Lit(Scalar::I32(x)));
            outputs.push(Atom::Lit(Scalar::U32(x as u32)));
        }
        let mut b = Builder::new();
        let lits = [Atom::Lit(Scalar::F32(f32::INFINITY)), Atom::Lit(Scalar::F32(f32::NAN))];
        outputs.push(b.add(lits[0], lits[1]));
        round_trip(&b.finish(outputs));
    }

    #[test]
    fn texts_read_back() {
        for text in ["", "a b", "\"\\\n\r\t", "\u{0}\u{7f}\u{9b}é\u{10ffff}", "\\u{41}", "#{}"] {
            let params = Params::new().with("text", Value::Text(text.to_owned()));
            let printed = params.to_string();
            let tokens = lex(&printed).unwrap();
            assert!(tokens.iter().any(|(token, _)| *token == Token::Text(text.to_owned())));
        }
    }

    #[test]
    fn layout_comments_and_letters_are_free() {
        let text =
            "# A comment.\n{lambda x:f32[3].gain:f32 . let # another\n y : f32[ 3 ]=mul x\t.gain
            z:f32[3]=max y -inf:f32 w:f32[3]=neg z in(w,z,x)}\r\n";
        let program: Program = text.parse().unwrap();
        insta::assert_snapshot!(program, @r"
        { lambda a:f32[3] .gain:f32[] .
          let b:f32[3] = mul a .gain
              c:f32[3] = max b -inf:f32
              d:f32[3] = neg c
          in (d, c, a) }
        ");
    }

    fn error(text: &str) -> String {
        match text.parse::<Program>() {
            Ok(program) => panic!("this is a program:\n{program}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn errors_show_the_place_and_what_is_expected() {
        insta::assert_snapshot!(error("in"), @r"
        expected `{`, got `in`
          1 | in
            | ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32[3]"), @r"
        expected an input and its type, as in `a:f32[8]`, or `.`, got the end of the text
          1 | { lambda a:f32[3]
            |                  ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f16[3] . in (a,) }"), @r"
        expected an element type (f32 f64 i32 u32 bool), got `f16`
          1 | { lambda a:f16[3] . in (a,) }
            |            ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32[-3] . in (a,) }"), @r"
        expected the size of an axis, got `-3`
          1 | { lambda a:f32[-3] . in (a,) }
            |                ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32[9999999999] . in (a,) }"), @r"
        expected a type of at most 2^34 bytes
          1 | { lambda a:f32[9999999999] . in (a,) }
            |            ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 a:f32 .\n  in (a,) }"), @r"
        `a` is bound twice
          1 | { lambda a:f32 a:f32 .
            |                ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let .b:f32 = neg a in (a,) }"), @r"
        expected an output without a dot, since only inputs have names, got `.b`
          2 |   let .b:f32 = neg a in (a,) }
            |       ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let b:f32 = neg c in (a,) }"), @r"
        expected a variable that is bound before, got `c`
          2 |   let b:f32 = neg c in (a,) }
            |                   ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let b:f32 = neg b in (a,) }"), @r"
        expected a variable that is bound before, got `b`
          2 |   let b:f32 = neg b in (a,) }
            |                   ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 . in (a,) } é"), @r"
        expected the text of a program, not 'é'
          1 | { lambda a:f32 . in (a,) } é
            |                            ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 . in (a,) } in"), @r"
        expected the end of the text, got `in`
          1 | { lambda a:f32 . in (a,) } in
            |                            ^
        ");
    }

    #[test]
    fn errors_name_primitives() {
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let b:f32 = gegate a in (a,) }"), @r"
        expected a primitive; none is named `gegate`
          2 |   let b:f32 = gegate a in (a,) }
            |               ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let b:f32 = convert[n=3] a in (a,) }"), @r"
        expected `convert[to=f32]` or the like, got `convert[n=3]`
          2 |   let b:f32 = convert[n=3] a in (a,) }
            |               ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let b:f32 = neg[n=3] a in (a,) }"), @r"
        expected `neg` without parameters, got `neg[n=3]`
          2 |   let b:f32 = neg[n=3] a in (a,) }
            |               ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let b:f32 = add a in (a,) }"), @r"
        `add`: takes 2 inputs, and there are 1
          2 |   let b:f32 = add a in (a,) }
            |               ^
        ");
        insta::assert_snapshot!(error("{ lambda a:f32 .\n  let b:f64 = neg a in (a,) }"), @r"
        `neg` gives f32[], and is said to give f64[]
          2 |   let b:f64 = neg a in (a,) }
            |               ^
        ");
    }

    #[test]
    fn errors_name_values() {
        insta::assert_snapshot!(error("{ lambda . in (1e99:f32,) }"), @r"
        expected a value of type f32, got `1e99`
          1 | { lambda . in (1e99:f32,) }
            |                ^
        ");
        insta::assert_snapshot!(error("{ lambda . in (1.5:i32,) }"), @r"
        expected a value of type i32, got `1.5`
          1 | { lambda . in (1.5:i32,) }
            |                ^
        ");
        insta::assert_snapshot!(error("{ lambda . let _ = neg[n=99999999999999999999] in () }"), @r"
        expected a whole number of 64 bits, got `99999999999999999999`
          1 | { lambda . let _ = neg[n=99999999999999999999] in () }
            |                          ^
        ");
        insta::assert_snapshot!(error("{ lambda . let _ = neg[n=\"a\\x\"] in () }"), @r#"
        expected an escape: \" \\ \n \r \t or \u{..}
          1 | { lambda . let _ = neg[n="a\x"] in () }
            |                            ^
        "#);
        insta::assert_snapshot!(error("{ lambda . let _ = neg[n=\"a\n\"] in () }"), @r#"
        expected a text that ends on its line
          1 | { lambda . let _ = neg[n="a
            |                          ^
        "#);
    }

    #[test]
    fn long_lines_are_shown_in_part() {
        let text = format!("{{ lambda . let{}b:f32 = oops in (b,) }}", " ".repeat(500));
        insta::assert_snapshot!(error(&text), @r"
        expected a primitive; none is named `oops`
          1 |                                         b:f32 = oops in (b,) }
            |                                                 ^
        ");
    }

    #[test]
    fn nesting_is_bounded() {
        let lists = format!("{{ lambda . let _ = neg[n={}", "[".repeat(100_000));
        insta::assert_snapshot!(error(&lists).lines().next().unwrap(), @"expected at most 64 programs and lists within each other");
        let programs = "{ lambda . let _ = neg[body=".repeat(10_000);
        assert!(error(&programs).starts_with("expected at most 64 programs"));
    }

    /// Edits of good text, of all kinds: what is read is a program that reads back.
    #[test]
    fn no_text_makes_the_parser_panic() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % n.max(1) as u64) as usize
        };
        let pieces = "{ } [ ] ( ) : = , . - \" \\ # _ in let lambda nan -inf 0 1 -1 7 4294967295 \
            9223372036854775807 -9223372036854775808 1e9 f32 f64 i32 u32 bool true a b .w é \n \
            [1] [] [0,0] n=3 1.0:f32 3:i32 {lambda.in()}";
        let pieces: Vec<&str> = pieces.split(' ').collect();
        for program in programs() {
            let text = program.to_string();
            let is_edge = |&i: &usize| text.is_char_boundary(i);
            let edges: Vec<usize> = (0..=text.len()).filter(is_edge).collect();
            for _ in 0..30 {
                let mut edited = text.clone();
                for _ in 0..1 + below(3) {
                    let edges: Vec<usize> =
                        (0..=edited.len()).filter(|&i| edited.is_char_boundary(i)).collect();
                    let from = below(edges.len());
                    let to = (from + below(4)).min(edges.len() - 1);
                    let piece = pieces[below(pieces.len())];
                    edited.replace_range(edges[from]..edges[to], piece);
                }
                if let Ok(program) = edited.parse::<Program>() {
                    round_trip(&program);
                }
            }
            for _ in 0..10 {
                let end = edges[below(edges.len() - 1)];
                assert!(text[..end].parse::<Program>().is_err());
            }
        }
    }
}
