//! The page on cell files: its cells are read, its mistakes make its messages, and every function
//! and initializer that it lists exists.

use rondeau::cellfile::CellFile;

/// The blocks of code: the word behind the backticks, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut parts = page.split("```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        blocks.push(block.split_once('\n').expect("a block has lines"));
    }
    blocks
}

#[test]
fn the_page_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cell-files.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut mistake = None;
    let mut counts = [0; 4];
    for (language, text) in blocks(&page) {
        match language {
            "cell" => {
                let file = CellFile::parse(text, "page.cell");
                let file = file.unwrap_or_else(|error| panic!("{error}\n{text}"));
                assert_eq!(CellFile::parse(&file.to_string(), "printed").unwrap(), file);
                counts[0] += 1;
            }
            "mistake" => mistake = Some(text),
            "message" => {
                let source = mistake.take().expect("a message follows its mistake");
                let error = CellFile::parse(source, "f.cell").unwrap_err();
                assert_eq!(error.to_string().trim(), text.trim());
                counts[1] += 1;
            }
            "functions" => {
                for call in text.lines() {
                    let text = format!(
                        "cell f(x)\n  a = x\n  b = x\n  W = outer(x, x)\n  r = {call}\n  y = x"
                    );
                    CellFile::parse(&text, call).unwrap_or_else(|error| panic!("{error}"));
                    counts[2] += 1;
                }
            }
            "initializers" => {
                for way in text.lines() {
                    let text = format!("cell f(x)\n  param W ~ {way}\n  y = W x + x");
                    CellFile::parse(&text, way).unwrap_or_else(|error| panic!("{error}"));
                    counts[3] += 1;
                }
            }
            // The tests of the documentation run these; the grammar is what the parser's tests hold.
            "rust" | "ebnf" => {}
            other => panic!("a block of `{other}` is not tested"),
        }
    }
    assert!(mistake.is_none());
    assert_eq!(counts, [4, 2, 48, 13]);
}
