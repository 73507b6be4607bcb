//! Rust text as tokens, enough of it to read paths and comments. Knows no rules.

/// What a token is. Strings, characters, lifetimes and numbers are all literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Sign,
    Literal,
    Comment,
}

/// A piece of the text, and the line (from 1) on which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    /// Whether it is this word or sign; never true of strings and comments.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text == text
    }

    pub(crate) fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// The tokens of Rust text, comments included. `::` and `=>` are one sign each, others are split
/// into characters.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = match first {
            _ if first.is_whitespace() => (None, first.len_utf8()),
            _ if rest.starts_with("//") => {
                (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len()))
            }
            _ if rest.starts_with("/*") => (Some(Kind::Comment), block_comment(rest)),
            '"' => (Some(Kind::Literal), string(rest, 0)),
            '\'' => (Some(Kind::Literal), quote(rest)),
            _ if first.is_alphanumeric() || first == '_' => word(rest),
            _ if rest.starts_with("::") || rest.starts_with("=>") => (Some(Kind::Sign), 2),
            _ => (Some(Kind::Sign), first.len_utf8()),
        };
        let piece = &rest[..length];
        found.extend(kind.map(|kind| Token { kind, text: piece, line }));
        line += piece.matches('\n').count();
        at += length;
    }
    found
}

/// A word, a number, or a string with a prefix: `r"..."`, `br#"..."#`, `b"..."`, `b'.'`.
fn word(rest: &str) -> (Option<Kind>, usize) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(length);
    let raw = matches!(name, "r" | "br" | "cr");
    let hashes = after.len() - after.trim_start_matches('#').len();
    if raw && after[hashes..].starts_with('"') {
        let close = format!("\"{}", "#".repeat(hashes));
        let open = length + hashes + 1;
        let end = rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len());
        return (Some(Kind::Literal), end);
    }
    if matches!(name, "b" | "c") && after.starts_with('"') {
        return (Some(Kind::Literal), string(rest, length));
    }
    if name == "b" && after.starts_with('\'') {
        return (Some(Kind::Literal), length + quote(after));
    }
    let kind = if name.starts_with(|c: char| c.is_numeric()) { Kind::Literal } else { Kind::Word };
    (Some(kind), length)
}

/// The end of a string whose opening quote is at `open`.
fn string(rest: &str, open: usize) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().filter(|&(at, _)| at > open) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The end of a character or lifetime that starts with a quote.
fn quote(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            rest[from..].find('\'').map_or(rest.len(), |close| from + close + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => {
            let name = rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_');
            name.map_or(rest.len(), |end| end + 1)
        }
    }
}

/// The end of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The tokens without comments.
pub(crate) fn code<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    tokens.iter().copied().filter(|token| token.kind != Kind::Comment).collect()
}

/// The code without modules under `#[cfg(test)]`.
pub(crate) fn without_tests<'a>(code: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::with_capacity(code.len());
    let mut at = 0;
    while at < code.len() {
        match test_module(&code[at..]) {
            Some(length) => at += length,
            None => {
                kept.push(code[at]);
                at += 1;
            }
        }
    }
    kept
}

/// The length of the test module that starts here.
fn test_module(code: &[Token<'_>]) -> Option<usize> {
    let header = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let starts = code.len() > 9 && header.iter().zip(code).all(|(text, token)| token.is(text));
    if !starts || !code[9].is("{") {
        return None;
    }
    let mut depth = 0;
    for (i, token) in code.iter().enumerate().skip(9) {
        match token.text {
            "{" if token.kind == Kind::Sign => depth += 1,
            "}" if token.kind == Kind::Sign => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(i + 1);
        }
    }
    Some(code.len())
}

/// A path such as `crate::ir::Aval`; a group `a::{b, c}` is several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathUse<'a> {
    pub(crate) segments: Vec<&'a str>,
    pub(crate) line: usize,
    /// How many modules of the file are around it.
    pub(crate) modules: usize,
}

/// The paths of at least two segments in code without comments.
pub(crate) fn paths<'a>(code: &[Token<'a>]) -> Vec<PathUse<'a>> {
    let mut found = Vec::new();
    // For each open brace, whether it is that of a module.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let token = code[at];
        if token.is("{") {
            braces.push(at >= 2 && code[at - 2].is("mod"));
        } else if token.is("}") {
            braces.pop();
        } else if token.is_word() && code.get(at + 1).is_some_and(|next| next.is("::")) {
            let modules = braces.iter().filter(|&&module| module).count();
            at = expand(code, at, &mut Vec::new(), modules, &mut found);
            continue;
        }
        at += 1;
    }
    found
}

/// Reads one path, or the rest of one; returns the position after it.
fn expand<'a>(
    code: &[Token<'a>],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    modules: usize,
    found: &mut Vec<PathUse<'a>>,
) -> usize {
    let depth = prefix.len();
    let line = code.get(at).map_or(0, |token| token.line);
    let is_sign = |at: usize, text: &str| code.get(at).is_some_and(|token| token.is(text));
    let mut is_group = false;
    while let Some(&token) = code.get(at) {
        if token.is("{") {
            is_group = true;
            at += 1;
            while at < code.len() && !is_sign(at, "}") {
                let before = at;
                at = expand(code, at, prefix, modules, found);
                while at < code.len() && !is_sign(at, ",") && !is_sign(at, "}") {
                    at += 1;
                }
                at += usize::from(is_sign(at, ","));
                at = at.max(before + 1);
            }
            at += 1;
            break;
        }
        if !token.is_word() && !token.is("*") {
            break;
        }
        prefix.push(token.text);
        at += 1;
        if !is_sign(at, "::") {
            break;
        }
        at += 1;
    }
    if !is_group {
        found.push(PathUse { segments: prefix.clone(), line, modules });
    }
    prefix.truncate(depth);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let words = tokens(text).into_iter().filter(Token::is_word);
        words.map(|token| token.text).collect()
    }

    fn paths_of(text: &str) -> Vec<String> {
        paths(&code(&tokens(text))).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn strings_and_comments_hold_no_words() {
        assert_eq!(
            words(r##"a "b \" c" d r#"e " f"# g b"h" 'i' '\'' 'j k"##),
            ["a", "d", "g", "k"]
        );
        assert_eq!(
            words("a // b\nc /* d /* e */ f */ g '\\u{1F600}' h 'é' i"),
            ["a", "c", "g", "h", "i"]
        );
        assert_eq!(words("1e5 0xff 'a: loop \"unclosed"), ["loop"]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let text = "a\n\"b\n\"\n/*\n*/ c // d\ne";
        let lines: Vec<usize> = tokens(text).iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 4, 5, 5, 6]);
    }

    #[test]
    fn groups_are_several_paths() {
        assert_eq!(
            paths_of("use crate::{ir::{self, Aval}, prim::*, buffer as b};"),
            ["crate::ir::self", "crate::ir::Aval", "crate::prim::*", "crate::buffer"]
        );
        assert_eq!(
            paths_of("fn f(x: &crate::a::B) { g::<std::fs::File>(x); }"),
            ["crate::a::B", "g", "std::fs::File"]
        );
        assert_eq!(paths_of("$crate::a::b!{ c::d }"), ["crate::a::b", "c::d"]);
        assert_eq!(paths_of("match x { A::B { y } => A::C { y } }"), ["A::B", "A::C"]);
    }

    #[test]
    fn paths_know_the_modules_around_them() {
        let found = code(&tokens("a::b; mod m { c::d; fn f() { e::f } } g::h"));
        let modules: Vec<usize> = paths(&found).iter().map(|path| path.modules).collect();
        assert_eq!(modules, [0, 1, 1, 0]);
    }

    #[test]
    fn test_modules_are_left_out() {
        let text = "a #[cfg(test)] mod tests { b { c } } d #[cfg(test)] mod e; #[cfg(test)] f";
        let found = tokens(text);
        let kept = without_tests(&found);
        let words: Vec<&str> =
            kept.iter().filter(|token| token.is_word()).map(|t| t.text).collect();
        assert_eq!(words, ["a", "d", "cfg", "test", "mod", "e", "cfg", "test", "f"]);
    }
}
