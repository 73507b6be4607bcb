//! The text of programs. Equal programs print equally, and [`parse`](super::parse) reads the text
//! back as the same program.
//!
//! ```text
//! { lambda .gru.wz:f32[8,5] a:f32[5] .
//!   let b:f32[8] = dot_general[lhs_contract=[1] rhs_contract=[0]] .gru.wz a
//!       c:f32[8] = add b 1.0:f32
//!   in (c,) }
//! ```
//!
//! Inputs that a user named print as `.` and the name; all other variables get the letters
//! `a b .. z ba bb ..` in the order in which they are bound. A program inside a parameter starts
//! again from `a`: it sees nothing of the program around it.

use std::fmt::{self, Write};

use super::{Atom, Eqn, Params, Program, Value, Var};

/// Words that are no names of variables, since they mean something in a program's text.
pub(super) const RESERVED: [&str; 7] = ["lambda", "let", "in", "nan", "inf", "true", "false"];

/// Whether an input may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    !name.is_empty() && name.chars().all(fits)
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer { out: f, inner: Inner::Written }.program(self, 0)
    }
}

/// Prints as after a primitive's name: `[length=10 reverse=false]`, nothing if there are none.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer { out: f, inner: Inner::Elided }.params(self, 0)
    }
}

impl Program {
    /// The text of one equation, in one line: inner programs are left out.
    pub fn print_eqn(&self, i: usize) -> String {
        self.print_eqn_with(&names(self), i)
    }

    /// The equations around equation `i`, with an arrow at that one; at the outputs if `i` is the
    /// number of equations. Inner programs are left out.
    pub fn excerpt(&self, i: usize) -> String {
        self.around(i + 1)
    }

    /// The inputs and the first equations, with an arrow at the inputs.
    pub(super) fn excerpt_inputs(&self) -> String {
        self.around(0)
    }

    /// The lines around a line: 0 is the inputs', then come the equations, then the outputs.
    fn around(&self, middle: usize) -> String {
        const AROUND: usize = 2;
        let (n, names) = (self.eqns.len(), names(self));
        let width = n.saturating_sub(1).to_string().len();
        let lines = middle.saturating_sub(AROUND)..=(n + 1).min(middle + AROUND);
        let show = |i: usize| {
            let (label, text) = match i {
                0 => (String::new(), line(|printer| printer.binders(self, &names))),
                i if i <= n => ((i - 1).to_string(), self.print_eqn_with(&names, i - 1)),
                _ => (String::new(), line(|printer| printer.outputs(self, &names))),
            };
            let arrow = if i == middle { "-->" } else { "   " };
            format!("{arrow} {label:>width$} | {text}")
        };
        lines.map(show).collect::<Vec<_>>().join("\n")
    }

    fn print_eqn_with(&self, names: &Names, i: usize) -> String {
        line(|printer| printer.eqn(self, names, &self.eqns[i], 0))
    }

    /// How a variable prints.
    pub(super) fn print_var(&self, var: Var) -> String {
        let names = names(self);
        line(|printer| printer.atom(&names, Atom::Var(var)))
    }
}

/// One line, with inner programs left out.
fn line(print: impl FnOnce(&mut Printer<'_>) -> fmt::Result) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = print(&mut Printer { out: &mut text, inner: Inner::Elided });
    text
}

/// The name of each variable, as it prints. Programs that break the rules print too, so that an
/// error can show them: a variable that is bound nowhere has no name.
fn names(program: &Program) -> Vec<Option<String>> {
    let mut names: Vec<Option<String>> = vec![None; program.n_vars()];
    let mut letters = (0..).map(letters).filter(|name| !RESERVED.contains(&name.as_str()));
    let mut bind = |var: Var, user: &str| {
        if let Some(name @ None) = names.get_mut(var.index()) {
            *name = if user.is_empty() { letters.next() } else { Some(format!(".{user}")) };
        }
    };
    for (i, &var) in program.inputs.iter().enumerate() {
        let user = program.names.get(i).map_or("", String::as_str);
        let is_new = is_name(user) && !program.names[..i].iter().any(|name| name == user);
        bind(var, if is_new { user } else { "" });
    }
    for &var in program.eqns.iter().flat_map(|eqn| &eqn.outputs) {
        bind(var, "");
    }
    names
}

/// `i` in base 26, with letters for digits.
fn letters(mut i: usize) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from(b'a' + (i % 26) as u8));
        i /= 26;
        if i == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// What is shown of programs in parameters.
#[derive(Clone, Copy, PartialEq)]
enum Inner {
    Written,
    Elided,
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    inner: Inner,
}

type Names = [Option<String>];

impl Printer<'_> {
    fn new_line(&mut self, indent: usize) -> fmt::Result {
        write!(self.out, "\n{:indent$}", "")
    }

    /// Items with `separator` between them.
    fn list<T>(
        &mut self,
        separator: &str,
        items: &[T],
        mut print: impl FnMut(&mut Self, &T) -> fmt::Result,
    ) -> fmt::Result {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.write_str(separator)?;
            }
            print(self, item)?;
        }
        Ok(())
    }

    fn program(&mut self, program: &Program, indent: usize) -> fmt::Result {
        let names = names(program);
        self.out.write_str("{ ")?;
        self.binders(program, &names)?;
        for (i, eqn) in program.eqns.iter().enumerate() {
            self.new_line(indent + 2)?;
            self.out.write_str(if i == 0 { "let " } else { "    " })?;
            self.eqn(program, &names, eqn, indent + 6)?;
        }
        self.new_line(indent + 2)?;
        self.outputs(program, &names)?;
        self.out.write_str(" }")
    }

    fn binders(&mut self, program: &Program, names: &Names) -> fmt::Result {
        self.out.write_str("lambda ")?;
        for &var in &program.inputs {
            self.binder(program, names, var)?;
            self.out.write_str(" ")?;
        }
        self.out.write_str(".")
    }

    fn outputs(&mut self, program: &Program, names: &Names) -> fmt::Result {
        self.out.write_str("in (")?;
        self.list(", ", &program.outputs, |printer, &atom| printer.atom(names, atom))?;
        self.out.write_str(if program.outputs.len() == 1 { ",)" } else { ")" })
    }

    fn eqn(&mut self, program: &Program, names: &Names, eqn: &Eqn, indent: usize) -> fmt::Result {
        match &eqn.outputs[..] {
            [] => self.out.write_str("_")?,
            outputs => {
                self.list(" ", outputs, |printer, &var| printer.binder(program, names, var))?
            }
        }
        write!(self.out, " = {}", eqn.prim.name())?;
        self.params(&eqn.prim.params(), indent)?;
        for &atom in &eqn.inputs {
            self.out.write_str(" ")?;
            self.atom(names, atom)?;
        }
        Ok(())
    }

    fn binder(&mut self, program: &Program, names: &Names, var: Var) -> fmt::Result {
        self.atom(names, Atom::Var(var))?;
        match program.avals.get(var.index()) {
            Some(aval) => write!(self.out, ":{aval}"),
            None => self.out.write_str(":?"),
        }
    }

    fn atom(&mut self, names: &Names, atom: Atom) -> fmt::Result {
        match atom {
            Atom::Lit(value) => write!(self.out, "{value}:{}", value.dtype()),
            Atom::Var(var) => match names.get(var.index()) {
                Some(Some(name)) => self.out.write_str(name),
                _ => write!(self.out, "?{}", var.0),
            },
        }
    }

    /// In one line, unless a program is written: then one line each.
    fn params(&mut self, params: &Params, indent: usize) -> fmt::Result {
        if params.0.is_empty() {
            return Ok(());
        }
        let is_long = params.0.iter().any(|(_, value)| self.is_long(value));
        self.out.write_str("[")?;
        for (i, (name, value)) in params.0.iter().enumerate() {
            match is_long {
                true => self.new_line(indent + 2)?,
                false if i > 0 => self.out.write_str(" ")?,
                false => (),
            }
            write!(self.out, "{name}=")?;
            self.value(value, indent + 2)?;
        }
        if is_long {
            self.new_line(indent)?;
        }
        self.out.write_str("]")
    }

    fn is_long(&self, value: &Value) -> bool {
        match value {
            Value::Program(_) => self.inner == Inner::Written,
            Value::List(items) => items.iter().any(|item| self.is_long(item)),
            Value::Int(_) | Value::Word(_) | Value::Text(_) => false,
        }
    }

    fn value(&mut self, value: &Value, indent: usize) -> fmt::Result {
        match value {
            Value::Int(n) => write!(self.out, "{n}"),
            Value::Word(word) => self.out.write_str(word),
            Value::Text(text) => self.text(text),
            Value::List(items) if self.is_long(value) => {
                self.out.write_str("[")?;
                self.list(",", items, |printer, item| {
                    printer.new_line(indent + 2)?;
                    printer.value(item, indent + 2)
                })?;
                self.new_line(indent)?;
                self.out.write_str("]")
            }
            Value::List(items) => {
                self.out.write_str("[")?;
                self.list(", ", items, |printer, item| printer.value(item, indent))?;
                self.out.write_str("]")
            }
            Value::Program(program) => match self.inner {
                Inner::Written => self.program(program, indent),
                Inner::Elided => self.out.write_str("{ .. }"),
            },
        }
    }

    fn text(&mut self, text: &str) -> fmt::Result {
        self.out.write_str("\"")?;
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(self.out, "\\{c}")?,
                '\n' => self.out.write_str("\\n")?,
                '\r' => self.out.write_str("\\r")?,
                '\t' => self.out.write_str("\\t")?,
                c if c.is_control() => write!(self.out, "\\u{{{:x}}}", u32::from(c))?,
                c => self.out.write_char(c)?,
            }
        }
        self.out.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buffer::{DType, Scalar};
    use crate::ir::{Aval, Builder};

    fn small() -> Program {
        let mut b = Builder::new();
        let w = b.named_input(Aval::new(DType::F32, [8]), "gru.w".to_owned());
        let x = b.input(Aval::scalar(DType::F32));
        let n = b.named_input(Aval::new(DType::I32, [2, 3]), "not a name".to_owned());
        let y = b.mul(w, x);
        let z = b.add(y, Atom::Lit(Scalar::F32(1e-7)));
        b.add(n, Atom::Lit(Scalar::I32(-3)));
        b.finish(vec![z, Atom::Lit(Scalar::Bool(true))])
    }

    #[test]
    fn programs_print_an_equation_a_line() {
        insta::assert_snapshot!(small(), @r"
        { lambda .gru.w:f32[8] a:f32[] b:i32[2,3] .
          let c:f32[8] = mul .gru.w a
              d:f32[8] = add c 1e-7:f32
              e:i32[2,3] = add b -3:i32
          in (d, true:bool) }
        ");
    }

    #[test]
    fn programs_in_parameters_are_indented() {
        let (body, empty) = (Arc::new(small()), Arc::new(Builder::new().finish(vec![])));
        let params = Params::new()
            .with("length", 10usize)
            .with("reverse", true)
            .with("axes", vec![Value::Int(0), Value::List(vec![Value::Int(2), Value::Int(-3)])])
            .with("text", Value::Text("a \"b\"\n\u{7}é".to_owned()))
            .with("body", &body)
            .with("branches", vec![Value::from(&empty), Value::from(&body)]);
        let mut text = String::new();
        Printer { out: &mut text, inner: Inner::Written }.params(&params, 0).unwrap();
        insta::assert_snapshot!(text, @r#"
        [
          length=10
          reverse=true
          axes=[0, [2, -3]]
          text="a \"b\"\n\u{7}é"
          body={ lambda .gru.w:f32[8] a:f32[] b:i32[2,3] .
            let c:f32[8] = mul .gru.w a
                d:f32[8] = add c 1e-7:f32
                e:i32[2,3] = add b -3:i32
            in (d, true:bool) }
          branches=[
            { lambda .
              in () },
            { lambda .gru.w:f32[8] a:f32[] b:i32[2,3] .
              let c:f32[8] = mul .gru.w a
                  d:f32[8] = add c 1e-7:f32
                  e:i32[2,3] = add b -3:i32
              in (d, true:bool) }
          ]
        ]
        "#);
        insta::assert_snapshot!(params, @r#"[length=10 reverse=true axes=[0, [2, -3]] text="a \"b\"\n\u{7}é" body={ .. } branches=[{ .. }, { .. }]]"#);
    }

    #[test]
    fn excerpts_point_at_an_equation_or_at_the_outputs() {
        let program = small();
        insta::assert_snapshot!(program.excerpt(1), @r"
              | lambda .gru.w:f32[8] a:f32[] b:i32[2,3] .
            0 | c:f32[8] = mul .gru.w a
        --> 1 | d:f32[8] = add c 1e-7:f32
            2 | e:i32[2,3] = add b -3:i32
              | in (d, true:bool)
        ");
        insta::assert_snapshot!(program.excerpt(3), @r"
            1 | d:f32[8] = add c 1e-7:f32
            2 | e:i32[2,3] = add b -3:i32
        -->   | in (d, true:bool)
        ");
        insta::assert_snapshot!(program.print_eqn(2), @"e:i32[2,3] = add b -3:i32");
    }

    #[test]
    fn letters_are_never_words_of_the_language() {
        let mut b = Builder::new();
        b.inputs(&vec![Aval::scalar(DType::F32); 60_000]);
        let names: Vec<String> = names(&b.finish(vec![])).into_iter().flatten().collect();
        assert_eq!(names.len(), 60_000);
        assert_eq!([&names[25], &names[26], &names[220], &names[221]], ["z", "ba", "im", "io"]);
        assert!(RESERVED.iter().all(|word| names.iter().all(|name| name != word)));
    }

    #[test]
    fn builders_keep_only_names_that_read_back() {
        let mut b = Builder::new();
        for name in ["a.b", "a.b", "", "a b", "é", "..", "1"] {
            b.named_input(Aval::scalar(DType::F32), name.to_owned());
        }
        assert_eq!(b.finish(vec![]).names, ["a.b", "", "", "", "", "..", "1"]);
    }
}
