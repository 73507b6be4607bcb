//! TOML: the options of `--config`.

use std::ffi::OsString;
use std::fs;

use clap::Command;
use rondeau_cli::config::{completed, options};
use rondeau_cli::{Cells, args};

use crate::harness::{Case, Mutation, Tally, count, leave, told};

/// Texts that mean something in TOML or as an option.
const WORDS: [&[u8]; 30] = [
    b" = ",
    b"\n",
    b"\"",
    b"\"\"\"",
    b"'''",
    b"'",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b".",
    b",",
    b"#",
    b"\\",
    b"\\U00110000",
    b"true",
    b"false",
    b"nan",
    b"-inf",
    b"9223372036854775808",
    b"1e999",
    b"0x",
    b"1979-05-27T07:32:00Z",
    b"hidden",
    b"quiet = true\n",
    b"config",
    b"\0",
    b"\xff",
];

fn root() -> Command {
    args::command(&Cells::of_the_library())
}

/// The command that the options are for.
fn train(root: &Command) -> &Command {
    root.find_subcommand("train").unwrap().find_subcommand("series").unwrap()
}

fn given() -> Vec<OsString> {
    ["rondeau", "train", "series", "a.csv", "--seed", "3"].map(OsString::from).into()
}

#[test]
fn options_with_accidents() {
    let root = root();
    let command = train(&root);
    let seeds = [
        b"# options\nhidden = 32\nlearning-rate = 0.01\nepochs = 40\nquiet = true\ncell = \"gru\"\n"
            .to_vec(),
        b"columns = [\"a\", 'b']\ntarget = \"\"\"\nlevel\"\"\"\nwindow = 0x15\nseed = 1_000\n".to_vec(),
        b"\"hidden\" = 3 # three\n\n".to_vec(),
    ];
    for seed in &seeds {
        options(command, seed, &given()).unwrap();
    }
    let mutation = Mutation { seeds: &seeds, words: &WORDS, repair: leave };
    let n = count(1_000_000, 20_000);
    let given = given();
    mutation.survive("TOML options, mutated", n, |text| {
        let Ok(added) = options(command, text, &given) else { return false };
        // What is added is one argument for each option, and none that was given.
        for argument in &added {
            let text = argument.to_str().unwrap();
            assert!(text.starts_with("--") && !text.starts_with("--seed="), "{text}");
        }
        true
    });
}

fn cases() -> Vec<Case> {
    let nested = |open: &str, close: &str, n: usize| {
        format!("hidden = {}1{}", open.repeat(n), close.repeat(n)).into_bytes()
    };
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("empty", vec![]),
        ("one byte", text("h")),
        ("zeros", vec![0; 1000]),
        ("60,000 line ends", vec![b'\n'; 60_000]),
        ("returns without line ends", text("hidden = 3\rseed = 4")),
        ("60,000 comments", text(&"#\n".repeat(30_000))),
        ("a byte order mark", b"\xef\xbb\xbfhidden = 3\n".to_vec()),
        ("UTF-16", "hidden = 3".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("not UTF-8", b"cell = \"\xff\"\n".to_vec()),
        ("half a character", b"cell = \"\xc3".to_vec()),
        ("64 KiB of spaces", vec![b' '; 1 << 16]),
        ("more than 64 KiB", vec![b' '; (1 << 16) + 1]),
        ("64 KiB of brackets", vec![b'['; 1 << 16]),
        ("64 KiB of braces", [b"hidden = ".to_vec(), vec![b'{'; 1 << 15]].concat()),
        ("64 KiB of points", vec![b'.'; 1 << 16]),
        ("64 KiB of quotes", vec![b'"'; 1 << 16]),
        ("64 KiB of equals signs", vec![b'='; 1 << 16]),
        ("a list of 30,000 numbers", text(&format!("columns = [{}]", "1,".repeat(30_000)))),
        ("a list of 20,000 lists", text(&format!("columns = [{}]", "[],".repeat(20_000)))),
        ("a list of 20,000 tables", text(&format!("columns = [{}]", "{},".repeat(20_000)))),
        ("a list of 16,000 texts", text(&format!("columns = [{}]", "'a',".repeat(16_000)))),
        ("5,500 unknown options", {
            text(&(0..5_500).map(|i| format!("o{i} = 1\n")).collect::<String>())
        }),
        ("7,000 tables", text(&(0..7_000).map(|i| format!("[t{i}]\n")).collect::<String>())),
        ("10,000 tables of one name", text(&"[[t]]\n".repeat(10_000))),
        ("a key of 30,000 parts", text(&format!("{}a = 1", "a.".repeat(30_000)))),
        ("a table of 30,000 parts", text(&format!("[{}a]", "a.".repeat(30_000)))),
        ("150 keys of 200 parts", {
            let line = |i: usize| format!("{}k{i} = 1\n", "a.".repeat(200));
            text(&(0..150).map(line).collect::<String>())
        }),
        ("100 keys of 300 other parts", {
            let line = |i: usize| format!("k{i}{} = 1\n", ".a".repeat(300));
            text(&(0..100).map(line).collect::<String>())
        }),
        ("79 lists in lists", nested("[", "]", 79)),
        ("30,000 lists in lists", nested("[", "]", 30_000)),
        ("60,000 lists that are not closed", nested("[", "", 60_000)),
        ("10,000 tables in tables", nested("{a = ", "}", 10_000)),
        ("a name twice", text("hidden = 3\nhidden = 4\n")),
        ("a name twice, once in quotes", text("hidden = 3\n\"hidden\" = 4\n")),
        ("a name twice, once escaped", text("hidden = 3\n\"h\\u0069dden\" = 4\n")),
        ("a name of 60,000 letters", text(&format!("{} = 1", "h".repeat(60_000)))),
        ("a name of nothing", text("\"\" = 1\n")),
        ("a name with an escape sequence", text("\"\\u001b[2J\" = 1\n")),
        ("a name that begins with hyphens", text("--hidden = 3\n")),
        ("the file's own name", text("config = 'b.toml'\n")),
        ("the option for help", text("help = true\n")),
        ("an option of another command", text("out = 'x'\nformat = 'c'\n")),
        ("an unknown option", text("hiden = 3\n")),
        ("no value", text("hidden =\n")),
        ("no equals sign", text("hidden 3\n")),
        ("two values", text("hidden = 3 4\n")),
        ("a value over two lines", text("hidden =\n3\n")),
        ("a number for a switch", text("quiet = 1\n")),
        ("a text for a switch", text("quiet = 'true'\n")),
        ("a date", text("hidden = 1979-05-27\n")),
        ("a table for a number", text("[hidden]\na = 3\n")),
        ("a table in a list", text("columns = [{a = 1}]\n")),
        ("the number 2^63", text("hidden = 9223372036854775808\n")),
        ("the number -2^63 - 1", text("hidden = -9223372036854775809\n")),
        ("a number of 60,000 digits", text(&format!("hidden = {}", "9".repeat(60_000)))),
        ("a number of 60,000 digits behind the point", {
            text(&format!("hidden = 0.{}", "9".repeat(60_000)))
        }),
        ("an exponent of 2^64", text("hidden = 1e18446744073709551616\n")),
        ("not a number", text("learning-rate = nan\n")),
        ("infinity", text("learning-rate = inf\n")),
        ("a number with a leading zero", text("hidden = 03\n")),
        ("an underscore at the end", text("hidden = 3_\n")),
        ("a text that is not closed", text("cell = \"gru\n")),
        ("a text of many lines that is not closed", {
            text(&format!("cell = '''{}", "a\n".repeat(30_000)))
        }),
        ("a character beyond the last", text("cell = \"\\U00110000\"\n")),
        ("half a surrogate", text("cell = \"\\ud800\"\n")),
        ("an escape that there is not", text("cell = \"\\q\"\n")),
        ("a text of arguments", text("cell = \"gru --out x --hidden=9\"\n")),
        ("a text with a zero byte", text("cell = \"a\\u0000b\"\n")),
        ("a text of 60,000 letters", text(&format!("cell = '{}'", "g".repeat(60_000)))),
        ("a comment with a control character", b"hidden = 3 # \x07\n".to_vec()),
        ("a list that mixes", text("columns = ['a', 1, true, 2.5]\n")),
        ("a list of nothing", text("columns = []\n")),
    ]
}

/// What is said of each file is that of the command: the file is read from a disk, and what it adds
/// goes through the command line.
#[test]
fn options_made_by_hand() {
    let cases = cases();
    let mut tally = Tally::new("TOML, made by hand", cases.len() as u64);
    let root = root();
    let said = told(&mut tally, &cases, |text| options(train(&root), text, &given()).map(drop));
    insta::assert_snapshot!("options", said);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    for ((name, text), line) in cases.iter().zip(said.lines()) {
        fs::write(&path, text).unwrap();
        let mut args = given();
        args.extend(["--config".into(), path.clone().into()]);
        match completed(&root, args) {
            // Whatever clap says of the values, it says it.
            Ok(args) => drop(root.clone().try_get_matches_from(args)),
            Err(error) => {
                let told = format!("{error:#}");
                let told = told.lines().next().unwrap_or_default();
                let fault = line.strip_prefix(name).unwrap_or(line).trim_start_matches(": ");
                assert!(told.ends_with(fault), "{name}: {told}");
            }
        }
    }
    tally.done("each refused with its reason, or read");
}
