//! Rules that hold in every room: where unsafe code is and how it is explained, words that must
//! not stay, how a file starts, and that no text names one machine.

use super::source::{self, Kind, Token};
use super::{File, Finding};

/// Where unsafe code may be.
const MACHINE: &str = "crates/rondeau-machine/";

/// Macros and attributes that must not stay, and what to do instead.
const WORDS: &[(&str, &str)] = &[
    ("todo", "write it, or leave the variant out until it can be written"),
    ("unimplemented", "write it, or return an `Error` that says what to use instead"),
    ("dbg", "remove it"),
    ("ignore", "make the test fast enough to run, or delete it"),
    ("should_panic", "return an `Error` and compare its text"),
];

/// Directories at the root of machines, without slashes.
const DIRECTORIES: &[&str] = &["work", "tmp", "home", "root", "Users", "mnt", "private"];

/// Parts of addresses of package registries and their mirrors.
const HOSTS: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "pypi.org/simple",
    "files.pythonhosted.org",
    "registry.npmjs.org",
    "proxy.golang.org",
    "artifactory",
    "localhost:",
    "127.0.0.1",
];

/// The file that holds the lists above, so names what they forbid.
const SELF: &str = "xtask/src/tidy/rules.rs";

/// Checks where unsafe code is, and that each piece of it says why it is sound.
pub(super) fn unsafe_code(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let tokens = source::tokens(&file.text);
        for at in (0..tokens.len()).filter(|&at| tokens[at].is("unsafe")) {
            let line = tokens[at].line;
            if !file.path.starts_with(MACHINE) {
                let help = format!("only {MACHINE} has any; give it a safe function");
                findings.push(file.finding(line, "unsafe code outside the machine", help));
                continue;
            }
            let (missing, help) = match Piece::at(&tokens, at) {
                Piece::Type => continue,
                Piece::Contract if has_contract(&tokens, at) => continue,
                Piece::Promise if comments_before(&tokens, at).contains("SAFETY:") => continue,
                Piece::Contract => (
                    "an `unsafe fn` or `unsafe trait` without `# Safety` in its docs",
                    "say there what the caller must uphold",
                ),
                Piece::Promise => (
                    "unsafe code without a `// SAFETY:` comment before it",
                    "name the fact that makes it sound, and who established it",
                ),
            };
            findings.push(file.finding(line, missing, help));
        }
    }
    findings
}

/// What `unsafe` begins.
enum Piece {
    /// The type of a function pointer: nothing to explain.
    Type,
    /// A function or trait: its docs say what others must uphold.
    Contract,
    /// A block, impl, extern block or attribute: a comment says why it holds.
    Promise,
}

impl Piece {
    fn at(tokens: &[Token<'_>], at: usize) -> Piece {
        let code = tokens[at + 1..].iter().filter(|token| token.kind != Kind::Comment);
        let mut code = code.skip_while(|t| t.is("extern") || t.kind == Kind::Literal);
        match (code.next().map(|token| token.text), code.next().map(|token| token.text)) {
            (Some("fn"), Some("(")) => Piece::Type,
            (Some("fn" | "trait"), _) => Piece::Contract,
            _ => Piece::Promise,
        }
    }
}

/// Where the statement or item around this token starts: after the last `;`, `{` or `}` that is not
/// inside parentheses or brackets of its own.
fn start_of(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens[..at].iter().enumerate().rev() {
        match token.text {
            _ if matches!(token.kind, Kind::Comment | Kind::Literal) => {}
            ")" | "]" => depth += 1,
            "(" | "[" => depth = depth.saturating_sub(1),
            ";" | "{" | "}" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    0
}

/// The comments between the start of the statement or item and this token.
fn comments_before(tokens: &[Token<'_>], at: usize) -> String {
    let before = tokens[start_of(tokens, at)..at].iter();
    let comments = before.filter(|token| token.kind == Kind::Comment);
    comments.map(|comment| comment.text).collect::<Vec<_>>().join("\n")
}

/// Whether the docs of a function have `# Safety`, or those of the trait around it, or it stands in
/// the impl of a trait, where the trait's docs hold.
fn has_contract(tokens: &[Token<'_>], at: usize) -> bool {
    if comments_before(tokens, at).contains("# Safety") {
        return true;
    }
    let mut depth = 0;
    for i in (0..at).rev() {
        if tokens[i].is("}") {
            depth += 1;
        } else if tokens[i].is("{") && depth > 0 {
            depth -= 1;
        } else if tokens[i].is("{") {
            let header = &tokens[start_of(tokens, i)..i];
            let has = |word: &str| header.iter().any(|token| token.is(word));
            return has("impl") && has("for")
                || has("trait") && comments_before(tokens, i).contains("# Safety");
        }
    }
    false
}

/// Checks that nothing unfinished or switched off stays.
pub(super) fn words(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = source::code(&source::tokens(&file.text));
        for (i, token) in code.iter().enumerate().filter(|(_, token)| token.is_word()) {
            let Some((word, help)) = WORDS.iter().find(|(word, _)| token.is(word)) else {
                continue;
            };
            let is_macro = code.get(i + 1).is_some_and(|next| next.is("!"));
            let is_attribute = i >= 2 && code[i - 1].is("[") && code[i - 2].is("#");
            let name = match *word {
                "ignore" if is_attribute => "#[ignore]".to_string(),
                "should_panic" => "#[should_panic]".to_string(),
                "todo" | "unimplemented" | "dbg" if is_macro => format!("{word}!"),
                _ => continue,
            };
            findings.push(file.finding(token.line, format!("`{name}` must not stay"), *help));
        }
    }
    findings
}

/// Checks that every file says first what it is for.
pub(super) fn headers(files: &[File]) -> Vec<Finding> {
    let lacking = files.iter().filter(|file| file.is_rust() && !file.text.starts_with("//!"));
    let help = "start it with `//!`: what it is for, and what it must not know";
    lacking.map(|file| file.finding(1, "the file does not say what it is for", help)).collect()
}

/// Checks that no text names a directory of one machine or a registry.
pub(super) fn machines(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path != SELF) {
        for (i, line) in file.text.lines().enumerate() {
            if let Some(path) = machine_path(line) {
                let message = format!("the path `{path}` exists on one machine only");
                let help = "use a path relative to the repository, or a temporary directory";
                findings.push(file.finding(i + 1, message, help));
            }
            if let Some(host) = HOSTS.iter().find(|host| line.contains(*host)) {
                let message = format!("the text names the registry host `{host}`");
                findings.push(file.finding(
                    i + 1,
                    message,
                    "leave that to the user's configuration",
                ));
            }
        }
    }
    findings
}

/// The first directory of a machine that a line names: `/name`, not as a part of a longer path.
fn machine_path(line: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || "_-.~/}".contains(c);
    let names = |&(at, _): &(usize, &str)| {
        let starts = !line[..at].ends_with(is_part);
        let name = &line[at + 1..];
        let end = name.find(|c: char| !c.is_alphanumeric() && !"_-".contains(c));
        starts && DIRECTORIES.contains(&&name[..end.unwrap_or(name.len())])
    };
    let (at, _) = line.match_indices('/').find(names)?;
    let path = &line[at..];
    let end = path.find(|c: char| !is_part(c)).unwrap_or(path.len());
    Some(path[..end].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings of `check` in one file, as `line message`.
    fn findings(check: fn(&[File]) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
        let files = [File { path: path.to_string(), text: text.to_string() }];
        let short = |finding: Finding| format!("{} {}", finding.line, finding.message);
        check(&files).into_iter().map(short).collect()
    }

    fn machine(text: &str) -> Vec<String> {
        findings(unsafe_code, "crates/rondeau-machine/src/lib.rs", text)
    }

    #[test]
    fn unsafe_code_stays_in_the_machine() {
        let text = "//! unsafe\nfn f() { unsafe { g() } }";
        let found = findings(unsafe_code, "crates/rondeau/src/run/mod.rs", text);
        assert_eq!(found, ["2 unsafe code outside the machine"]);
        assert!(findings(unsafe_code, "xtask/src/main.rs", "#![forbid(unsafe_code)]").is_empty());
    }

    #[test]
    fn blocks_say_why_they_are_sound() {
        let lacking = "unsafe code without a `// SAFETY:` comment before it";
        assert_eq!(machine("fn f() {\n    unsafe { g() }\n}"), [format!("2 {lacking}")]);
        assert!(machine("fn f() {\n    // SAFETY: in bounds.\n    unsafe { g() }\n}").is_empty());
        assert!(machine("// SAFETY: in bounds.\nlet x =\n    h(1, unsafe { g() });").is_empty());
        assert!(machine("match x {\n// SAFETY: a.\nA => unsafe { g() },\n}").is_empty());
        assert_eq!(machine("// SAFETY: a.\nunsafe { g() };\nunsafe { h() }").len(), 1);
        assert_eq!(machine("unsafe impl Send for A {}"), [format!("1 {lacking}")]);
        assert!(machine("// SAFETY: plain data.\nunsafe impl Send for A {}").is_empty());
    }

    #[test]
    fn functions_say_what_they_need() {
        let lacking = "an `unsafe fn` or `unsafe trait` without `# Safety` in its docs";
        assert_eq!(machine("/// Adds.\nunsafe fn f() {}"), [format!("2 {lacking}")]);
        assert!(
            machine(
                "/// Adds.\n///\n/// # Safety\n/// AVX2.\n#[inline]\npub(crate) unsafe fn f() {}"
            )
            .is_empty()
        );
        assert!(machine("struct S { f: unsafe fn(u8), g: unsafe extern \"C\" fn(u8) }").is_empty());
        assert!(machine("impl<T> Lanes for A<T> { fn g() {} unsafe fn f() {} }").is_empty());
        assert!(machine("impl Lanes for [f32; 8] { unsafe fn f() {} }").is_empty());
        assert_eq!(machine("impl A { unsafe fn f() {} }").len(), 1);
        assert!(
            machine("/// # Safety\n/// AVX2.\ntrait L { fn a() {} unsafe fn f(); }").is_empty()
        );
        assert_eq!(machine("trait L { unsafe fn f(); }").len(), 1);
    }

    #[test]
    fn nothing_unfinished_stays() {
        let found = |text| findings(words, "a.rs", text);
        assert_eq!(found("fn f() { todo!() }"), ["1 `todo!` must not stay"]);
        assert_eq!(
            found("#[test]\n#[ignore = \"slow\"]\nfn f() {}"),
            ["2 `#[ignore]` must not stay"]
        );
        assert_eq!(found("#[should_panic(expected = \"x\")]").len(), 1);
        assert_eq!(found("let x = dbg!(y); unimplemented!()").len(), 2);
        assert!(found("// todo!()\nlet todo = \"dbg!\"; fn ignore(dbg: u8) {}").is_empty());
    }

    #[test]
    fn files_say_what_they_are_for() {
        assert!(findings(headers, "a.rs", "//! A room.\n").is_empty());
        assert_eq!(
            findings(headers, "a.rs", "\n//! A room."),
            ["1 the file does not say what it is for"]
        );
        assert!(findings(headers, "a.toml", "[package]").is_empty());
    }

    #[test]
    fn texts_name_no_machine() {
        let found = |text| findings(machines, "README.md", text);
        assert_eq!(found("see /tmp/x.txt"), ["1 the path `/tmp/x.txt` exists on one machine only"]);
        assert_eq!(found("a\n\"/home/me\""), ["2 the path `/home/me` exists on one machine only"]);
        assert!(found("https://example.org/work/x src/tmp/a /workshop ~/tmp ./tmp").is_empty());
        assert_eq!(
            found("url = https://index.crates.io/"),
            ["1 the text names the registry host `index.crates.io`"]
        );
        let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        assert!(found(lock).is_empty());
    }
}
