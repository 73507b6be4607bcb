//! The guides in `docs/src`, as tests.
//!
//! The tests of documentation run the blocks of Rust (`cargo test -p guides --doc`), and hold what
//! they print against the blocks of text; `tests/blocks.rs` and `tests/console.rs` run all others.
//! A block of a language that nobody tests fails. *Must not know* anything that readers cannot.

pub mod janet;
mod page;

use std::fmt::Display;

pub use page::{Block, Page, pages};

/// A page whose Rust is run by the tests of documentation.
macro_rules! run {
    ($($name:ident: $file:literal)*) => {
        /// The pages whose Rust is run.
        pub const RUN: &[&str] = &[$($file),*];
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../../docs/src/", $file, ".md"))]
            struct $name;
        )*
    };
}
run! {
    Introduction: "introduction"
    FromJax: "from-jax"
    FromPyTorch: "from-pytorch"
    YourOwnCell: "your-own-cell"
    CellFiles: "cell-files"
    Training: "training"
    Deployment: "deployment"
    Compiler: "compiler"
    Troubleshooting: "troubleshooting"
}

/// Asserts that a block of a page, `page/name`, shows what is printed here: the block of text below
/// the comment `<!-- name -->`. Source lines are compared without the file and the line, which the
/// tests of documentation have others of.
///
/// With `RONDEAU_GUIDES=write` in the environment, what is printed is written into the page instead.
///
/// # Panics
/// If it shows something else.
pub fn shows(place: &str, printed: impl Display) {
    let (page, name) = place.split_once('/').expect("a place is `page/name`");
    let printed = printed.to_string();
    let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
    let printed = printed.join("\n").trim_end().to_owned();
    let page = Page::read(page);
    let block = page.blocks.iter().find(|block| block.names().any(|other| other == name));
    let block = block.unwrap_or_else(|| panic!("no block of {} is called {name}", page.name));
    let shown = block.text.trim_end();
    if placeless(shown) == placeless(&printed) {
        return;
    }
    if std::env::var_os("RONDEAU_GUIDES").is_some_and(|what| what == "write") {
        let place = place_of(&printed);
        let line_and_column = place.splitn(2, ".md:").nth(1).unwrap_or("1:1");
        let place_shown = format!("src/main.rs:{line_and_column}");
        return page.write(block, &printed.replace(&place, &place_shown));
    }
    panic!("{place} shows\n{shown}\n\nbut this is printed:\n{printed}\n");
}

/// The source line in which a message ends, or nothing.
fn place_of(text: &str) -> String {
    let last = text.lines().rev().find_map(|line| line.strip_prefix("  at "));
    last.filter(|at| at.contains(".rs:") || at.contains(".md:")).unwrap_or("\0").to_owned()
}

/// A message without the line and the file it names; the column stays.
fn placeless(text: &str) -> String {
    let place = place_of(text);
    let column = place.rsplit(':').next().unwrap_or_default();
    text.replace(&place, &format!("the line, column {column}"))
}
