//! The part of JSON that headers are written in: a reader that hands values over one by one, so
//! that what it keeps is decided, and bounded, by who asks; and the text of a string.
//!
//! Numbers are whole and not negative, since headers have no others.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::fmt::Write;

/// What is wrong with a text, and where.
pub(super) type Fault = String;

/// Arrays and objects may be nested so deep.
const MOST_DEPTH: usize = 16;

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Json<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Json<'a> {
    /// The start of a text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Json<'a>, Fault> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Json { text, at: 0, depth: 0 }),
            Err(error) => Err(format!("byte {} of its header is not UTF-8", error.valid_up_to())),
        }
    }

    fn fault<T>(&self, expected: &str) -> Result<T, Fault> {
        Err(format!("its header needs {expected} at byte {}", self.at))
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, n: usize) {
        self.at = self.at.saturating_add(n);
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.next(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.advance(1);
        }
        self.next()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn need(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { self.fault(&format!("`{}`", char::from(byte))) }
    }

    /// Sees that only spaces follow.
    pub(super) fn end(mut self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { self.fault("its end") }
    }

    /// A whole number.
    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        let first = self.peek();
        let mut value = 0_u64;
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.next() {
            let digit = u64::from(digit.wrapping_sub(b'0'));
            let Some(next) = value.checked_mul(10).and_then(|tens| tens.checked_add(digit)) else {
                return self.fault("a number below 2^64");
            };
            value = next;
            self.advance(1);
        }
        let n_digits = self.at.saturating_sub(start);
        let is_whole = n_digits > 0 && !matches!(self.next(), Some(b'.' | b'e' | b'E'));
        let is_plain = first != Some(b'0') || n_digits == 1;
        if is_whole && is_plain { Ok(value) } else { self.fault("a whole number") }
    }

    /// A string.
    pub(super) fn string(&mut self) -> Result<String, Fault> {
        self.need(b'"')?;
        let mut string = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(end) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                return self.fault("the end of a string");
            };
            string.push_str(rest.get(..end).unwrap_or_default());
            self.advance(end);
            match self.next() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                _ => return self.fault("no control character in a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        self.advance(1);
        let kind = self.next();
        self.advance(1);
        Ok(match kind {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.hex()?;
                // Characters beyond the first plane are written as two halves.
                let is_half = (0xd800..0xdc00).contains(&high);
                let code =
                    if is_half && self.text.get(self.at..).is_some_and(|t| t.starts_with("\\u")) {
                        self.advance(2);
                        let low = self.hex()?;
                        let bits = (high & 0x3ff) << 10 | (low & 0x3ff);
                        if (0xdc00..0xe000).contains(&low) {
                            bits.saturating_add(0x1_0000)
                        } else {
                            high
                        }
                    } else {
                        high
                    };
                match char::from_u32(code) {
                    Some(c) => c,
                    None => return self.fault("both halves of a character"),
                }
            }
            _ => return self.fault("an escape that JSON has"),
        })
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let end = self.at.saturating_add(4);
        let digits =
            self.text.get(self.at..end).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                self.at = end;
                Ok(code)
            }
            None => self.fault("four hexadecimal digits"),
        }
    }

    /// An object; `value` takes each value.
    pub(super) fn object(
        &mut self,
        value: &mut dyn FnMut(&mut Json<'a>, String) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.items(b'{', b'}', &mut |json| {
            let key = json.string()?;
            json.need(b':')?;
            value(json, key)
        })
    }

    /// An array; `value` takes each value.
    pub(super) fn array(
        &mut self,
        value: &mut dyn FnMut(&mut Json<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.items(b'[', b']', value)
    }

    fn items(
        &mut self,
        open: u8,
        close: u8,
        item: &mut dyn FnMut(&mut Json<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.need(open)?;
        self.depth = self.depth.saturating_add(1);
        if self.depth > MOST_DEPTH {
            return self.fault("less nesting");
        }
        if !self.take(close) {
            loop {
                item(self)?;
                if self.take(close) {
                    break;
                }
                self.need(b',')?;
            }
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }
}

/// Appends a string in quotes.
pub(super) fn quote(string: &str, out: &mut String) {
    out.push('"');
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn string(text: &str) -> Result<String, Fault> {
        let mut json = Json::new(text.as_bytes())?;
        let string = json.string()?;
        json.end().map(|()| string)
    }

    fn number(text: &str) -> Result<u64, Fault> {
        let mut json = Json::new(text.as_bytes())?;
        let number = json.number()?;
        json.end().map(|()| number)
    }

    #[test]
    fn strings() {
        for plain in ["", "a", "ü\u{1f600}", "\"\\/\n\t\u{0}\u{1f}", "\u{7f}"] {
            let mut quoted = String::new();
            quote(plain, &mut quoted);
            assert_eq!(string(&quoted).unwrap(), plain);
            let theirs: String = serde_json::from_str(&quoted).unwrap();
            assert_eq!(theirs, plain);
        }
        assert_eq!(string(r#" "\u00e4\ud83d\ude00\/\b\f" "#).unwrap(), "ä\u{1f600}/\u{8}\u{c}");
        let bad = [
            "",
            "a",
            "\"",
            "\"\n\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\ud83d""#,
            r#""\ud83d\u0041""#,
            r#""\ude00""#,
            r#""a"b"#,
            r#""\u+123""#,
            r#""\"#,
        ];
        for text in bad {
            assert!(string(text).is_err(), "{text}");
            assert!(serde_json::from_str::<String>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers() {
        for n in [0, 7, 10, u64::MAX] {
            assert_eq!(number(&n.to_string()), Ok(n));
        }
        for text in ["", "-1", "01", "1.0", "1e3", "18446744073709551616", "0x1", "1 1", "+1"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        fn enter(json: &mut Json<'_>) -> Result<(), Fault> {
            json.array(&mut enter)
        }
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(enter(&mut Json::new(nested(16).as_bytes()).unwrap()).is_ok());
        assert!(enter(&mut Json::new(nested(17).as_bytes()).unwrap()).is_err());
        assert!(enter(&mut Json::new("[[],]".as_bytes()).unwrap()).is_err());
        assert!(enter(&mut Json::new("[[]".as_bytes()).unwrap()).is_err());
    }
}
