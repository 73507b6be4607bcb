//! Every block of every page: that somebody tests it, and whatever needs no other process.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use guides::{Block, Page, RUN, pages};
use rondeau::cellfile::CellFile;
use rondeau::nn::{self, Cell};
use rondeau::{Array, jit, random};

/// Runs a check over the blocks of one language; says how many there are.
fn each(language: &str, mut check: impl FnMut(&Page, &Block)) -> usize {
    let mut n = 0;
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == language) {
            check(&page, block);
            n += 1;
        }
    }
    n
}

#[test]
fn every_language_is_tested() {
    let tested = [
        // The tests of documentation.
        "rust",
        // `guides::shows`, called there.
        "text",
        // `tests/console.rs`.
        "console",
        // What commands read in `tests/console.rs`.
        "csv",
        "c",
        "options",
        // The tests of the library's `tests/ui`, of whose files these are parts.
        "rustc",
        // Below.
        "cell",
        "toml",
        "mistake",
        "message",
        "functions",
        "initializers",
        // The grammar, which the parser's tests hold.
        "ebnf",
    ];
    for page in pages() {
        for block in &page.blocks {
            let at = format!("{}.md:{}", page.name, block.line);
            assert!(tested.contains(&&*block.language), "{at}: nobody tests `{}`", block.language);
        }
    }
}

#[test]
fn every_page_is_run() {
    let run: BTreeSet<&str> = RUN.iter().copied().collect();
    let written = pages();
    let written: BTreeSet<&str> = written.iter().map(|page| &*page.name).collect();
    let summary = BTreeSet::from(["SUMMARY"]);
    assert_eq!(run, &written - &summary);
}

/// What a program prints is held against the page by the program itself.
#[test]
fn every_text_is_shown_by_a_program() {
    each("text", |page, block| {
        let name =
            block.name().unwrap_or_else(|| panic!("{}.md:{}: no name", page.name, block.line));
        let call = format!("guides::shows(\"{}/{name}\", ", page.name);
        let calls = page.blocks.iter().filter(|block| block.language == "rust");
        let n = calls.map(|block| block.text.matches(&call).count()).sum::<usize>();
        assert_eq!(n, 1, "{}.md:{}: {n} programs have `{call}`", page.name, block.line);
        let same = page.blocks.iter().filter(|other| other.comment == block.comment).count();
        assert_eq!(same, 1, "{}.md: {same} blocks are called {name}", page.name);
    });
}

/// A part of a file is that part of it.
#[test]
fn parts_of_files_are_parts_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for page in pages() {
        for block in &page.blocks {
            let Some(path) = block.said("from") else {
                assert_ne!(block.language, "rustc", "{}.md:{}", page.name, block.line);
                continue;
            };
            let file = fs::read_to_string(root.join(path)).unwrap();
            // Lines that readers do not see are no part.
            let shown = block.text.lines().filter(|line| !line.starts_with("# "));
            let shown = shown.collect::<Vec<_>>().join("\n");
            assert!(
                file.contains(shown.trim()),
                "{}.md:{} is not in {path}",
                page.name,
                block.line
            );
        }
    }
}

/// Cells are read, print as they read, and run compiled.
#[test]
fn cells_run() {
    let n = each("cell", |page, block| {
        let name = format!("{}.md:{}", page.name, block.line);
        let file = CellFile::parse(&block.text, &name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(CellFile::parse(&file.to_string(), "printed").unwrap(), file);
        let sizes: Vec<(&str, usize)> =
            file.sizes().iter().zip(3..).map(|(size, n)| (&**size, n)).collect();
        let cell = file.instantiate(&sizes).unwrap().init(&random::key(0));
        let input = sizes.iter().find(|(size, _)| *size == "input").unwrap().1;
        let xs = random::normal(&random::key(1), [5, input]);
        let (_, ys) = jit(nn::run).call(&cell, &cell.initial_carry(), &xs).unwrap();
        let ys: Array = ys;
        assert_eq!(ys.shape()[0], 5, "{name}");
        assert!(ys.to_vec::<f32>().unwrap().iter().all(|y| y.is_finite()), "{name}");
    });
    assert!(n >= 5);
}

#[test]
fn mistakes_make_their_messages() {
    let mut mistake = None;
    let mut n = 0;
    for page in pages() {
        for block in &page.blocks {
            match &*block.language {
                "mistake" => mistake = Some(block.text.clone()),
                "message" => {
                    let source = mistake.take().expect("a message follows its mistake");
                    let error = CellFile::parse(&source, "f.cell").unwrap_err();
                    assert_eq!(error.to_string().trim(), block.text.trim());
                    n += 1;
                }
                _ => {}
            }
        }
        assert!(mistake.is_none(), "{}.md: a mistake has no message", page.name);
    }
    assert!(n >= 2);
}

/// A section on a message is called by how the message begins.
#[test]
fn messages_are_found_by_their_titles() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/troubleshooting.md");
    let page = fs::read_to_string(path).unwrap();
    let sections: Vec<&str> = page.split("\n### ").skip(1).collect();
    for section in &sections {
        let (title, rest) = section.split_once('\n').unwrap();
        assert!(rest.contains(title), "no message is `{title}`");
    }
    assert!(sections.len() >= 20);
}

#[test]
fn functions_and_initializers_exist() {
    let mut n = 0;
    each("functions", |_, block| {
        for call in block.text.lines() {
            let text =
                format!("cell f(x)\n  a = x\n  b = x\n  W = outer(x, x)\n  r = {call}\n  y = x");
            CellFile::parse(&text, call).unwrap_or_else(|error| panic!("{error}"));
            n += 1;
        }
    });
    each("initializers", |_, block| {
        for way in block.text.lines() {
            let text = format!("cell f(x)\n  param W ~ {way}\n  y = W x + x");
            CellFile::parse(&text, way).unwrap_or_else(|error| panic!("{error}"));
            n += 1;
        }
    });
    assert!(n >= 61);
}

/// Files of options are read by the command that they are for: the word behind `options`.
#[test]
fn options_are_read() {
    let n = each("toml", |page, block| {
        let name = block.said("file").unwrap_or_else(|| panic!("{}.md: no file", page.name));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, &block.text).unwrap();
        let command = rondeau_cli::args::command(&rondeau_cli::Cells::of_the_library());
        let args = ["rondeau", "train", "--config"].map(Into::into).to_vec();
        let args = [args, vec![path.into_os_string()]].concat();
        let args = rondeau_cli::config::completed(&command, args).unwrap();
        let matches = command.try_get_matches_from(&args).unwrap_or_else(|error| panic!("{error}"));
        assert!(args.len() > 5 && matches.subcommand().is_some());
    });
    assert!(n >= 1);
}
