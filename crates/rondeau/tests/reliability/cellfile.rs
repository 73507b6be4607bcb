//! Cell files with accidents, and texts of random words: each is refused with a message or becomes a
//! cell that steps without a mistake, and prints as a text that reads as the same.

use std::panic::AssertUnwindSafe;

use rondeau::cellfile::CellFile;
use rondeau::nn::Cell;
use rondeau::{Array, Result, tree};

use crate::harness::{Case, Mutation, Rng, Tally, bounded, count, leave, told};

/// Words of the language.
const WORDS: [&[u8]; 40] = [
    b"cell ",
    b"size ",
    b"const ",
    b"param ",
    b"carry ",
    b" ~ ",
    b" = ",
    b"h'",
    b"y = ",
    b"\n",
    b"(",
    b")",
    b"[",
    b"]",
    b"[..hidden]",
    b"[1..]",
    b"[hidden, input]",
    b", ",
    b" + ",
    b" - ",
    b" * ",
    b" / ",
    b"^2",
    b" < ",
    b"where(x > 0, ",
    b"concat(x, ",
    b"outer(",
    b"transpose(W) ",
    b"max(",
    b"softmax(",
    b"orthogonal",
    b"x",
    b"h",
    b"W ",
    b"b",
    b"0.5",
    b"1e308",
    b"2147483648",
    b"-",
    b"\xce\xb1",
];

/// The most numbers of parameters with which a cell is tried.
const MOST_TRIED: usize = 4096;

fn seeds() -> Vec<Vec<u8>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/cells");
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() >= 6);
    seeds.push(
        b"cell all(x [input], h [hidden], m [hidden, input])
  size keys
  const k = 0.25
  param A [keys, input] ~ glorot
  param s [] ~ constant(2)
  carry h = ones
  q = softmax(A x) - s * k^-2
  m' = m * 0.9 + outer(tanh(h), x)
  big = x > mean(x) / 2
  h' = where(h >= 0, m' x, -h) + B concat(q, where(big, x, 0))[1..]
  y = concat(layernorm(h'), clip(q, -1, 1), max(x, 0)) * transpose(C) h'
"
        .to_vec(),
    );
    seeds
}

/// Reads a text, prints it, and runs a step of the cell if it is small.
fn read(bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let file = CellFile::parse(&text, "mutated.cell")?;
    let printed = file.to_string();
    let again = CellFile::parse(&printed, "printed.cell").unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(again == file, "it reads back as another file:\n{printed}");
    assert_eq!(again.to_string(), printed);
    assert!(!file.describe().is_empty());
    let sizes: Vec<(&str, usize)> =
        file.sizes().iter().enumerate().map(|(i, name)| (name.as_str(), 3 + i % 3)).collect();
    let cell = file.instantiate(&sizes)?;
    let carry = cell.initial_carry();
    let numbers: usize =
        tree::leaves(&cell).into_iter().chain(tree::leaves(&carry)).map(Array::size).sum();
    let (Some(input), true) = (cell.input_size(), numbers <= MOST_TRIED) else { return Ok(()) };
    if input > MOST_TRIED || text.matches(['2', '3', '4', '5', '6', '7', '8', '9']).count() > 40 {
        return Ok(());
    }
    let (next, y) = cell.step(&carry, &Array::ones([input]));
    // What is understood has no mistake of sizes or types left in it.
    assert!(y.error().is_none(), "{:?}\n{printed}", y.error());
    for (own, next) in tree::leaves(&carry).into_iter().zip(tree::leaves(&next)) {
        assert!(next.error().is_none(), "{:?}\n{printed}", next.error());
        assert_eq!((own.shape(), own.dtype()), (next.shape(), next.dtype()), "\n{printed}");
    }
    Ok(())
}

#[test]
fn cell_files() {
    let seeds = seeds();
    let mutation = Mutation { seeds: &seeds, words: &WORDS, repair: leave };
    let n = count(1_000_000, 20_000);
    mutation.survive(".cell, mutated", n, |bytes| read(bytes).is_ok());
}

#[test]
fn cell_files_of_words() {
    let n = count(1_000_000, 20_000);
    let what = ".cell, random words";
    let mut rng = Rng::new(what);
    let mut tally = Tally::new(what, n);
    let mut n_read = 0;
    for _ in 0..n {
        let mut bytes = b"cell f(x, h)\n h' = ".to_vec();
        for _ in 0..rng.below(24) {
            bytes.extend(WORDS[rng.below(WORDS.len())]);
        }
        bytes.extend(b"\ny = h'");
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
            bounded(&mut tally, &bytes, read).is_ok()
        }));
        match result {
            Ok(is_read) => n_read += u64::from(is_read),
            Err(_) => panic!("{what}: {:?}", String::from_utf8_lossy(&bytes)),
        }
        tally.pass();
    }
    tally.done(&format!("no panic; {n_read} read"));
}

/// Files that are hard on the reader: deep, long, large when they are a cell, or on the border of
/// what is allowed.
fn cases() -> Vec<Case> {
    let body = |body: String| format!("cell f(x, h)\n h' = {body}\n y = h'").into_bytes();
    let line = |line: &str| format!("cell f(x, h)\n{line}\n h' = h\n y = h").into_bytes();
    let chains = |line: &dyn Fn(usize) -> String, n: usize| {
        let lines: String = (1..n).map(line).collect();
        format!("cell f(x, h)\n v0 = x\n{lines} h' = h\n y = h").into_bytes()
    };
    vec![
        ("empty", vec![]),
        ("one byte", b"c".to_vec()),
        ("zeros", vec![0; 1000]),
        ("a byte order mark", "\u{feff}cell f(x, h)\n h' = h\n y = x".as_bytes().to_vec()),
        ("UTF-16", "cell f(x, h)".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("not UTF-8", b"cell f(x, h)\n h' = \xff\xfe\n y = h'".to_vec()),
        ("half a character", b"cell f(x, h)\n h' = \xc3".to_vec()),
        ("an escape sequence", body("\u{1b}[2J".to_owned())),
        ("text from right to left", body("\u{202e}x + h\u{202c}".to_owned())),
        ("a name of combining marks", body(format!("a{}", "\u{301}".repeat(5_000)))),
        ("lines that end with \\r", b"cell f(x, h)\r h' = h\r y = h'".to_vec()),
        ("lines that end with \\r\\n", b"cell f(x, h)\r\n h' = h\r\n y = h'\r\n".to_vec()),
        ("nothing but line ends", vec![b'\n'; 60_000]),
        ("nothing but comments", b"#\n".repeat(30_000)),
        ("nothing but tabs", vec![b'\t'; 60_000]),
        ("one byte too long", vec![b' '; (64 << 10) + 1]),
        (
            "a megabyte",
            b"cell f(x, h)\n h' = x + ".iter().copied().chain(vec![b'x'; 1 << 20]).collect(),
        ),
        ("the head alone", b"cell f(x, h)".to_vec()),
        ("the head cut off", b"cell f(x,".to_vec()),
        ("no arguments", b"cell f()\n y = 1".to_vec()),
        ("no name", b"cell (x, h)\n h' = h\n y = x".to_vec()),
        ("60 carries of nothing", {
            let names: Vec<String> = (0..60).map(|i| format!("h{i}")).collect();
            format!("cell f(x, {})\n y = x", names.join(", ")).into_bytes()
        }),
        ("10,000 carries", {
            let names: Vec<String> = (0..10_000).map(|i| format!("h{i}")).collect();
            format!("cell f(x, {})\n y = x", names.join(", ")).into_bytes()
        }),
        ("a head that does not end", {
            b"cell f(".iter().copied().chain(*b"x, ").cycle().take(60_000).collect()
        }),
        ("100 cells", b"cell f(x, h)\n h' = h\n y = x\n".repeat(100)),
        ("the number 2^63", line(" z = h * 9223372036854775808")),
        ("the number 1e308 squared", line(" const k = 1e308\n z = h * k^2")),
        ("the number 1e999", line(" z = h * 1e999")),
        ("the number 1e-999", line(" z = h * 1e-999")),
        ("a number of 60,000 digits", body("9".repeat(60_000))),
        ("a number of 60,000 zeros", body(format!("0.{}1 * h", "0".repeat(60_000)))),
        ("a power of 2^31", line(" z = h^2147483648")),
        ("a power of a power", line(" z = h^2^2^2^2^2^2")),
        ("division by nothing", line(" z = h / 0")),
        ("a constant of nothing over nothing", line(" const k = 0 / 0\n z = k * h")),
        ("a size of 0", line(" param v [0]\n z = v")),
        ("a size of 2^31", line(" param v [2147483648]\n z = v")),
        ("a size of 2^64", line(" param v [18446744073709551616]\n z = v")),
        ("a size below 0", line(" param v [-1]\n z = v")),
        ("a size of its own square", line(" param v [hidden*hidden]\n z = v")),
        ("a matrix of 2^40 numbers", line(" param V [1048576, 1048576]\n z = V")),
        ("a matrix of 2^28 + 1 rows", line(" param V [268435457, 1]\n z = V")),
        ("300 matrices of 2^20 numbers", {
            let lines: String =
                (0..300).map(|i| format!(" param V{i} [1024, 1024]\n z{i} = V{i}\n")).collect();
            line(lines.trim_end())
        }),
        ("an index beyond the end", line(" z = h[5..2]")),
        ("an index of 2^63", line(" z = h[9223372036854775808..]")),
        ("an index below 0", line(" z = h[-5..]")),
        ("a name of 60,000 letters", body("a".repeat(60_000))),
        ("a function of nothing", body("tanh()".to_owned())),
        ("a function of 10,000 arguments", body(format!("concat({}h)", "h, ".repeat(10_000)))),
        ("30,000 parentheses", body("(".repeat(30_000))),
        ("60,000 signs", body("-".repeat(60_000))),
        ("30,000 powers", body("x^".repeat(30_000))),
        ("15,000 sums", body("x + ".repeat(15_000) + "x")),
        ("30,000 products", body("W ".repeat(30_000) + "x")),
        ("15,000 parts of a part", body("x".to_owned() + &"[..]".repeat(15_000))),
        ("10,000 functions of functions", body("tanh(".repeat(10_000))),
        ("5,000 choices of choices", body("where(x > 0, ".repeat(5_000))),
        ("15,000 comparisons", body("x > ".repeat(15_000))),
        ("70,000 spaces", body(" ".repeat(70_000))),
        ("60,000 brackets", body("[".repeat(60_000))),
        ("2,000 doublings", chains(&|i| format!(" v{i} = concat(v{0}, v{0})\n", i - 1), 2_000)),
        ("2,000 prolongations", {
            chains(&|i| format!(" v{i} = concat(v{}, b{i})\n", i - 1), 2_000)
        }),
        ("2,000 outer products", chains(&|i| format!(" v{i} = outer(v0, v0)\n"), 2_000)),
        ("2,000 products of unknown sizes", {
            chains(&|i| format!(" v{i} = W{i} v{} + x\n", i - 1), 2_000)
        }),
        ("2,400 sums", chains(&|i| format!(" v{i} = v{} + b{i}\n", i - 1), 2_400)),
        ("900 equations between unknown sizes", {
            chains(&|i| format!(" v{i} = concat(a{i}, a{i}) + concat(b{i}, b{i}, b{i})\n"), 900)
        }),
        (
            "5,000 sizes",
            (0..5_000).map(|i| format!("size s{i}\n")).collect::<String>().into_bytes(),
        ),
        ("5,000 sizes in a cell", {
            line((0..5_000).map(|i| format!(" size s{i}\n")).collect::<String>().trim_end())
        }),
        ("an equation of itself", line(" z = z + h")),
        ("two equations of each other", line(" a = b\n b = a")),
    ]
}

#[test]
fn cell_files_made_by_hand() {
    let cases = cases();
    let mut tally = Tally::new(".cell, made by hand", cases.len() as u64);
    let all = told(&mut tally, &cases, read);
    insta::assert_snapshot!("cell", all);
    tally.done("each refused with its reason, or read");
}
