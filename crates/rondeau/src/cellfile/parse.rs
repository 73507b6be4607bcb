//! Tokens to a syntax tree, by recursive descent.
//!
//! Two bounds keep recursion shallow on any text: on how deep parentheses and signs nest, and on the
//! depth of the tree, which is also that of every later recursion over it.

use super::functions::Function;
use super::lex::{Kind, Span, Token, tokens};
use super::mistakes::Fault;
use super::syntax::{Expr, ExprKind, Ident, Initial, Item, Level, Op, Size, Sizes, Syntax, Way};

/// How deep parentheses and signs may nest.
const MOST_NESTED: usize = 48;
/// How deep a tree may be.
const DEEPEST: usize = 200;
/// The most terms of a size.
const MOST_TERMS: usize = 8;
/// The greatest number in a size.
const GREATEST: f64 = (1_u64 << 31) as f64;

/// Words that begin a line.
const KEYWORDS: [&str; 5] = ["cell", "size", "const", "param", "carry"];

/// The syntax tree of a text.
pub(super) fn parse(text: &str) -> Result<Syntax, Fault> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, nested: 0 };
    parser.file()
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    nested: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Token {
        self.tokens[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn text_of(&self, span: Span) -> &str {
        &self.text[span.start..span.end]
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, Kind::Symbol(found) if found == symbol)
    }

    fn eat(&mut self, symbol: &str) -> Option<Span> {
        self.is(symbol).then(|| self.next().span)
    }

    /// The token as a message calls it.
    fn found(&self) -> String {
        match self.peek().kind {
            Kind::Newline => "the end of the line".to_owned(),
            Kind::End => "the end of the file".to_owned(),
            _ => format!("`{}`", self.text_of(self.peek().span)),
        }
    }

    fn expected(&self, what: &str) -> Fault {
        let span = self.peek().span;
        Fault::expected(what, &self.found(), span)
    }

    fn expect(&mut self, symbol: &'static str, after: &str) -> Result<Span, Fault> {
        self.eat(symbol).ok_or_else(|| self.expected(&format!("`{symbol}` {after}")))
    }

    /// A closing parenthesis or bracket.
    fn close(&mut self, symbol: &'static str, open: Span, what: &str) -> Result<Span, Fault> {
        let fault = |parser: &Self| {
            let found = parser.peek();
            Fault::unclosed(parser.text_of(open), open, what, &parser.found(), found.span)
        };
        self.eat(symbol).ok_or_else(|| fault(self))
    }

    fn name(&mut self, what: &str) -> Result<Ident, Fault> {
        let token = self.peek();
        if token.kind != Kind::Name {
            return Err(self.expected(what));
        }
        let text = self.text_of(token.span).to_owned();
        self.at += 1;
        Ok(Ident { text, span: token.span })
    }

    /// A name that is bound: no keyword, no function, without a prime.
    fn own_name(&mut self, what: &str) -> Result<Ident, Fault> {
        let name = self.name(what)?;
        if KEYWORDS.contains(&name.text.as_str()) {
            return Err(Fault::reserved("a keyword", &name));
        }
        if Function::find(&name.text).is_some() {
            return Err(Fault::reserved("a function", &name));
        }
        if name.text.ends_with('\'') {
            return Err(Fault::prime(&name));
        }
        Ok(name)
    }

    fn skip_lines(&mut self) {
        while self.peek().kind == Kind::Newline {
            self.at += 1;
        }
    }

    fn end_of_line(&mut self) -> Result<(), Fault> {
        match self.peek().kind {
            Kind::Newline | Kind::End => {
                self.skip_lines();
                Ok(())
            }
            Kind::Number(_) => Err(Fault::number_beside(self.peek().span)),
            Kind::Symbol(symbol @ (")" | "]")) => {
                Err(Fault::closes_nothing(symbol, self.peek().span))
            }
            _ => Err(self.expected("an operator or the end of the line")),
        }
    }

    fn file(&mut self) -> Result<Syntax, Fault> {
        self.skip_lines();
        let head = self.peek();
        if head.kind != Kind::Name || self.text_of(head.span) != "cell" {
            return Err(Fault::no_cell(&self.found(), head.span));
        }
        self.at += 1;
        let name = self.own_name("the name of the cell")?;
        let open = self.expect("(", "and the arguments: the input, then the carries")?;
        let mut arguments = Vec::new();
        loop {
            let what = if arguments.is_empty() { "the name of the input" } else { "a carry" };
            let argument = self.own_name(what)?;
            let sizes = self.sizes()?;
            arguments.push((argument, sizes));
            if self.eat(",").is_none() {
                break;
            }
        }
        self.close(")", open, "`,` or `)`")?;
        self.end_of_line()?;
        let mut items = Vec::new();
        while self.peek().kind != Kind::End {
            items.push(self.item()?);
            self.end_of_line()?;
        }
        Ok(Syntax { name, arguments, items })
    }

    fn item(&mut self) -> Result<Item, Fault> {
        let token = self.peek();
        if token.kind != Kind::Name {
            return Err(self.expected("an equation, such as `h' = tanh(W x + U h)`"));
        }
        let keyword = self.text_of(token.span).to_owned();
        if !KEYWORDS.contains(&keyword.as_str()) {
            return self.equation();
        }
        self.at += 1;
        match keyword.as_str() {
            "size" => {
                let mut names = vec![self.own_name("the name of a size")?];
                while self.eat(",").is_some() {
                    names.push(self.own_name("the name of a size")?);
                }
                Ok(Item::Size(names))
            }
            "const" => {
                let name = self.own_name("the name of a constant")?;
                self.expect("=", "and a number")?;
                Ok(Item::Const { name, value: self.number()? })
            }
            "param" => {
                let name = self.own_name("the name of a parameter")?;
                let sizes = self.sizes()?;
                let initial = self.eat("~").map(|_| self.initial()).transpose()?;
                Ok(Item::Param { name, sizes, initial })
            }
            "carry" => {
                let name = self.own_name("the name of a carry")?;
                let sizes = self.sizes()?;
                let initial = self.eat("=").map(|_| self.initial()).transpose()?;
                Ok(Item::Carry { name, sizes, initial })
            }
            _ => Err(Fault::second_cell(token.span)),
        }
    }

    fn equation(&mut self) -> Result<Item, Fault> {
        let name = self.name("the name of a value")?;
        if Function::find(&name.text).is_some() {
            return Err(Fault::reserved("a function", &name));
        }
        self.expect("=", "and what it is equal to")?;
        Ok(Item::Equation { name, value: self.expression()? })
    }

    fn number(&mut self) -> Result<f64, Fault> {
        let sign = if self.eat("-").is_some() { -1.0 } else { 1.0 };
        match self.peek().kind {
            Kind::Number(value) => {
                self.at += 1;
                Ok(sign * value)
            }
            _ => Err(self.expected("a number")),
        }
    }

    fn initial(&mut self) -> Result<Initial, Fault> {
        let name = self.name("how the first values are made, such as `zeros`")?;
        let known = Way::ALL.iter().find(|(way, ..)| *way == name.text);
        let &(_, way, takes_number) = known.ok_or_else(|| Fault::unknown_way(&name))?;
        let mut number = 0.0;
        if takes_number {
            let open = self.expect("(", &format!("and the number of `{}`", name.text))?;
            number = self.number()?;
            self.close(")", open, "`)`")?;
        }
        Ok(Initial { way, number })
    }

    fn sizes(&mut self) -> Result<Option<Sizes>, Fault> {
        let Some(open) = self.eat("[") else { return Ok(None) };
        let mut axes = Vec::new();
        while !self.is("]") {
            axes.push(self.size()?);
            if self.eat(",").is_none() {
                break;
            }
        }
        let close = self.close("]", open, "`,` or `]`")?;
        let span = open.to(close);
        if axes.len() > 2 {
            return Err(Fault::many_axes(span));
        }
        Ok(Some(Sizes { axes, span }))
    }

    fn size(&mut self) -> Result<Size, Fault> {
        let start = self.peek().span;
        let mut terms = Vec::new();
        let mut sign = if self.eat("-").is_some() { -1 } else { 1 };
        loop {
            let (count, name) = self.size_term()?;
            terms.push((sign * count, name));
            let span = start.to(self.tokens[self.at - 1].span);
            if terms.len() > MOST_TERMS {
                return Err(Fault::many_terms(MOST_TERMS, span));
            }
            sign = match (self.is("+"), self.is("-")) {
                (true, _) => 1,
                (_, true) => -1,
                _ => return Ok(Size { terms, span }),
            };
            self.at += 1;
        }
    }

    fn size_term(&mut self) -> Result<(i64, Option<Ident>), Fault> {
        let token = self.peek();
        let Kind::Number(value) = token.kind else {
            return Ok((1, Some(self.own_name("a size: a number or a name")?)));
        };
        if value.fract() != 0.0 || value > GREATEST {
            return Err(Fault::size_number(token.span));
        }
        self.at += 1;
        let name =
            self.eat("*").is_some().then(|| self.own_name("the name of a size")).transpose()?;
        Ok((value as i64, name))
    }

    /// What `read` reads, one level deeper.
    fn deeper(&mut self, read: fn(&mut Self) -> Result<Expr, Fault>) -> Result<Expr, Fault> {
        if self.nested == MOST_NESTED {
            return Err(Fault::too_deep(self.peek().span));
        }
        self.nested += 1;
        let expr = read(self);
        self.nested -= 1;
        expr
    }

    fn expression(&mut self) -> Result<Expr, Fault> {
        self.deeper(Self::comparison)
    }

    fn op(&mut self, level: Level) -> Option<Op> {
        let Kind::Symbol(symbol) = self.peek().kind else { return None };
        let op = Op::find(level, symbol)?;
        self.at += 1;
        Some(op)
    }

    fn comparison(&mut self) -> Result<Expr, Fault> {
        let left = self.sum()?;
        let Some(op) = self.op(Level::Comparison) else { return Ok(left) };
        let right = self.sum()?;
        let both = binary(op, left, right)?;
        let span = self.peek().span;
        match self.op(Level::Comparison) {
            Some(_) => Err(Fault::chained(span)),
            None => Ok(both),
        }
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        let mut sum = self.term()?;
        while let Some(op) = self.op(Level::Sum) {
            sum = binary(op, sum, self.term()?)?;
        }
        Ok(sum)
    }

    fn term(&mut self) -> Result<Expr, Fault> {
        let mut term = self.sign()?;
        while let Some(op) = self.op(Level::Term) {
            term = binary(op, term, self.sign()?)?;
        }
        Ok(term)
    }

    fn sign(&mut self) -> Result<Expr, Fault> {
        match self.eat("-") {
            Some(minus) => {
                let x = self.deeper(Self::sign)?;
                negative(minus, x)
            }
            None => self.product(),
        }
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        let mut factors = vec![self.power()?];
        while self.is("(") || matches!(self.peek().kind, Kind::Name | Kind::Number(_)) {
            if let Kind::Number(_) = self.peek().kind {
                return Err(Fault::number_beside(self.peek().span));
            }
            if let Some(Expr { kind: ExprKind::Number(_), span, .. }) = factors.last() {
                return Err(Fault::number_beside(span.to(self.peek().span)));
            }
            factors.push(self.power()?);
        }
        let mut product = factors.pop().expect("there is a first factor");
        while let Some(w) = factors.pop() {
            let (span, depth) = (w.span.to(product.span), w.depth.max(product.depth));
            product = node(ExprKind::Product(Box::new(w), Box::new(product)), span, depth)?;
        }
        Ok(product)
    }

    fn power(&mut self) -> Result<Expr, Fault> {
        let base = self.part()?;
        match self.op(Level::Power) {
            Some(op) => {
                let exponent = self.deeper(Self::exponent)?;
                binary(op, base, exponent)
            }
            None => Ok(base),
        }
    }

    fn exponent(&mut self) -> Result<Expr, Fault> {
        match self.eat("-") {
            Some(minus) => {
                let x = self.deeper(Self::exponent)?;
                negative(minus, x)
            }
            None => self.power(),
        }
    }

    fn part(&mut self) -> Result<Expr, Fault> {
        let mut part = self.atom()?;
        while let Some(open) = self.eat("[") {
            let from = (!self.is("..")).then(|| self.size()).transpose()?;
            self.expect("..", "of a range, such as `x[0..hidden]`")?;
            let to = (!self.is("]")).then(|| self.size()).transpose()?;
            let close = self.close("]", open, "`]`")?;
            let (span, depth) = (part.span.to(close), part.depth);
            part = node(ExprKind::Slice(Box::new(part), from, to), span, depth)?;
        }
        Ok(part)
    }

    fn atom(&mut self) -> Result<Expr, Fault> {
        let token = self.peek();
        match token.kind {
            Kind::Number(value) => {
                self.at += 1;
                node(ExprKind::Number(value), token.span, 0)
            }
            Kind::Symbol("(") => {
                self.at += 1;
                let inner = self.expression()?;
                let close = self.close(")", token.span, "`)`")?;
                Ok(Expr { span: token.span.to(close), ..inner })
            }
            Kind::Name => {
                self.at += 1;
                let name = self.text_of(token.span).to_owned();
                let follows = self.peek().span;
                let is_glued = self.is("(") && follows.start == token.span.end;
                match Function::find(&name) {
                    Some(function) if self.is("(") => self.call(function, token.span),
                    Some(_) => Err(Fault::without_arguments(&name, token.span)),
                    None if is_glued => Err(Fault::unknown_function(&name, token.span)),
                    None if KEYWORDS.contains(&name.as_str()) => {
                        Err(Fault::reserved("a keyword", &Ident { text: name, span: token.span }))
                    }
                    None => node(ExprKind::Name(name), token.span, 0),
                }
            }
            _ => Err(self.expected("a value: a name, a number or `(`")),
        }
    }

    fn call(&mut self, function: &'static Function, name: Span) -> Result<Expr, Fault> {
        let open = self.next().span;
        let mut arguments = Vec::new();
        while !self.is(")") {
            arguments.push(self.expression()?);
            if self.eat(",").is_none() {
                break;
            }
        }
        let close = self.close(")", open, "`,` or `)`")?;
        let span = name.to(close);
        let (least, most) = function.kind.arguments();
        if !(least..=most).contains(&arguments.len()) {
            return Err(Fault::arguments(function.name, [least, most], arguments.len(), span));
        }
        let depth = arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
        node(ExprKind::Call(function, arguments), span, depth)
    }
}

/// An expression above others of that depth.
fn node(kind: ExprKind, span: Span, depth: usize) -> Result<Expr, Fault> {
    match depth < DEEPEST {
        true => Ok(Expr { kind, span, depth: depth + 1 }),
        false => Err(Fault::too_deep(span)),
    }
}

fn binary(op: Op, left: Expr, right: Expr) -> Result<Expr, Fault> {
    let (span, depth) = (left.span.to(right.span), left.depth.max(right.depth));
    node(ExprKind::Binary(op, Box::new(left), Box::new(right)), span, depth)
}

fn negative(minus: Span, x: Expr) -> Result<Expr, Fault> {
    let (span, depth) = (minus.to(x.span), x.depth);
    node(ExprKind::Neg(Box::new(x)), span, depth)
}
