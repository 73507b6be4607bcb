//! Pages as text: their blocks of code.

use std::fs;
use std::path::PathBuf;

/// A page of the guides.
#[derive(Clone, Debug)]
pub struct Page {
    /// The name of the file, without `.md`.
    pub name: String,
    /// The blocks of code, in order.
    pub blocks: Vec<Block>,
    text: String,
}

/// A block of code.
#[derive(Clone, Debug)]
pub struct Block {
    /// The word behind the backticks.
    pub language: String,
    /// What is between the backticks.
    pub text: String,
    /// The comment in the line above, without its arrows.
    pub comment: String,
    /// The line of the backticks, from 1.
    pub line: usize,
}

impl Block {
    /// What the comment calls the block, if it is one word.
    pub fn name(&self) -> Option<&str> {
        Some(self.comment.as_str()).filter(|name| !name.is_empty() && !name.contains(' '))
    }

    /// What follows a word of the comment, as in `<!-- file gru.cell -->`.
    pub fn said(&self, word: &str) -> Option<&str> {
        self.comment.strip_prefix(word)?.strip_prefix(' ')
    }
}

/// The directory of the pages.
fn dir() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src"))
}

/// All pages, by name.
pub fn pages() -> Vec<Page> {
    let entries = fs::read_dir(dir()).expect("the pages are there");
    let paths = entries.map(|entry| entry.expect("the directory can be read").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut names: Vec<String> =
        pages.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    /// The page of this name.
    ///
    /// # Panics
    /// If it cannot be read, or a block does not end.
    pub fn read(name: &str) -> Page {
        let path = dir().join(format!("{name}.md"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        let mut comment = String::new();
        for (i, line) in text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => block.text += &format!("{line}\n"),
                (None, Some(language)) => {
                    let (language, text) = (language.to_owned(), String::new());
                    let comment = comment.clone();
                    open = Some(Block { language, text, comment, line: i + 1 });
                }
                (None, None) => {
                    // A fence that is indented or of other characters would not be seen as one.
                    let hidden = line.trim_start().starts_with("```") || line.contains("~~~");
                    assert!(!hidden, "{name}.md:{}: a block begins with ``` in column 1", i + 1);
                }
            }
            let inner = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
            comment = inner.unwrap_or_default().to_owned();
        }
        assert!(open.is_none(), "{name}.md: a block does not end");
        Page { name: name.to_owned(), blocks, text }
    }

    /// Puts another text into a block.
    pub(crate) fn write(&self, block: &Block, text: &str) {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = block.line + block.text.lines().count();
        let lines = [&lines[..block.line], &text.lines().collect::<Vec<_>>(), &lines[end..]];
        let path = dir().join(format!("{}.md", self.name));
        fs::write(path, lines.concat().join("\n") + "\n").expect("the page can be written");
    }
}
