//! The guides in `docs/src`, as tests.
//!
//! The tests of documentation run the blocks of Rust (`cargo test -p guides --doc`), and hold what
//! they print against the blocks of text; `tests/blocks.rs` and `tests/console.rs` run all others.
//! A block of a language that nobody tests fails. *Must not know* anything that readers cannot.

pub mod gru;
pub mod janet;
mod page;

use std::fmt::Display;
use std::process::Command;

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
/// the comment `<!-- name -->`. The source line of a message is shown as `src/main.rs:..`: the tests
/// of documentation have others.
///
/// With `RONDEAU_GUIDES=write` in the environment, what is printed is written into the page instead.
///
/// # Panics
/// If it shows something else.
pub fn shows(place: &str, printed: impl Display) {
    let (page, name) = place.split_once('/').expect("a place is `page/name`");
    let page = Page::read(page);
    let block = page.blocks.iter().find(|block| block.name() == Some(name));
    let block = block.unwrap_or_else(|| panic!("no block of {} is called {name}", page.name));
    let printed = printed.to_string();
    let printed: Vec<String> = printed.trim_end().lines().map(placeless).collect();
    let printed = printed.join("\n");
    if block.text.trim_end() == printed {
        return;
    }
    if std::env::var_os("RONDEAU_GUIDES").is_some_and(|what| what == "write") {
        return page.write(block, &printed);
    }
    if is_shown_by_default() {
        return;
    }
    panic!("{place} shows\n{}\nbut this is printed:\n{printed}\n", block.text);
}

/// Whether this program is well without what the environment chooses, such as another engine: pages
/// show what is printed where nothing is chosen.
fn is_shown_by_default() -> bool {
    const CHOICES: [&str; 2] = ["RONDEAU_EXECUTOR", "RONDEAU_THREADS"];
    if CHOICES.iter().all(|name| std::env::var_os(name).is_none()) {
        return false;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let mut again = Command::new(program);
    again.args(std::env::args_os().skip(1));
    for name in CHOICES {
        again.env_remove(name);
    }
    again.status().expect("this program can be run").success()
}

/// A line without the source line that it names.
fn placeless(line: &str) -> String {
    match line.strip_prefix("  at ") {
        Some(at) if at.contains(".rs:") || at.contains(".md:") => "  at src/main.rs:..".to_owned(),
        _ => line.trim_end().to_owned(),
    }
}
