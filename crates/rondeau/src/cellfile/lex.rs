//! Text to tokens, each with its place.

use super::mistakes::Fault;

/// The most bytes that a file may have.
pub(super) const MOST_BYTES: usize = 64 << 10;
/// The most characters of a name.
const LONGEST_NAME: usize = 64;

/// Where something stands in the text, in bytes. Two spans are always equal, so that syntax trees
/// compare by what they say.
#[derive(Clone, Copy, Debug, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

impl Span {
    /// From the start of one to the end of another.
    pub(super) fn to(self, end: Span) -> Span {
        Span { start: self.start, end: end.end }
    }

    pub(super) fn is_at(self, other: Span) -> bool {
        (self.start, self.end) == (other.start, other.end)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name, with a prime if it is that of a next carry.
    Name,
    Number(f64),
    Symbol(&'static str),
    /// The end of a line that is not inside of parentheses.
    Newline,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// Longer symbols stand before those that they begin with.
const SYMBOLS: [&str; 21] = [
    "==", "!=", "<=", ">=", "..", "(", ")", "[", "]", ",", "=", "+", "-", "*", "/", "^", "~", "<",
    ">", "'", ":",
];

/// The tokens of a text; the last one is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    if text.len() > MOST_BYTES {
        return Err(Fault::too_long(MOST_BYTES));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut depth = 0_usize;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let start = at;
        if first == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if first == '\n' {
            at += 1;
            if depth == 0 {
                tokens.push(Token { kind: Kind::Newline, span: Span { start, end: at } });
            }
            continue;
        }
        if first.is_whitespace() || (first == '\u{feff}' && at == 0) {
            at += first.len_utf8();
            continue;
        }
        let kind = if first.is_alphabetic() || first == '_' {
            at += name(rest);
            let span = Span { start, end: at };
            if text[start..at].chars().count() > LONGEST_NAME {
                return Err(Fault::long_name(LONGEST_NAME, span));
            }
            at += usize::from(text[at..].starts_with('\''));
            Kind::Name
        } else if first.is_ascii_digit() {
            let (value, length) = number(rest, start)?;
            at += length;
            Kind::Number(value)
        } else {
            let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
            let end = start + first.len_utf8();
            let symbol = symbol.ok_or_else(|| Fault::character(first, Span { start, end }))?;
            match symbol {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += symbol.len();
            Kind::Symbol(symbol)
        };
        tokens.push(Token { kind, span: Span { start, end: at } });
    }
    tokens.push(Token { kind: Kind::End, span: Span { start: text.len(), end: text.len() } });
    Ok(tokens)
}

/// The bytes of the name at the start.
fn name(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The number at the start, and how many bytes it takes.
fn number(text: &str, start: usize) -> Result<(f64, usize), Fault> {
    let digits = |from: usize| {
        let rest = &text[from..];
        from + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let mut end = digits(0);
    if text[end..].starts_with('.') && is_digit(end + 1) {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        if is_digit(end + 1 + sign) {
            end = digits(end + 1 + sign);
        }
    }
    let span = Span { start, end: start + end };
    let value: f64 = text[..end].parse().map_err(|_| Fault::number(span))?;
    if !value.is_finite() {
        return Err(Fault::number(span));
    }
    if text[end..].starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return Err(Fault::number_beside(Span { start, end: start + end + name(&text[end..]) }));
    }
    Ok((value, end))
}
