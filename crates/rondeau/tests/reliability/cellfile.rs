//! Cell files with accidents, and texts of random words: each is refused with a message or becomes a
//! cell that steps without a mistake, and prints as a text that reads as the same.

use rondeau::cellfile::CellFile;
use rondeau::nn::Cell;
use rondeau::{Array, Result, tree};

use crate::mutate::{bounded, mutate};
use crate::{Rng, count, tell};

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

/// Reads a text within the bound on memory; a panic says which one it was.
fn try_read(what: &str, bytes: &[u8]) -> bool {
    match std::panic::catch_unwind(|| bounded(bytes, read)) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            // A message shows a place, or says which size is meant.
            assert!(!error.to_string().is_empty());
            false
        }
        Err(_) => panic!("{what}: {:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn cell_files() {
    let n = count(1_000_000, 20_000);
    let what = "cell file, mutated";
    let mut rng = Rng::new(what);
    let seeds = seeds();
    for seed in &seeds {
        assert!(try_read(what, seed), "{}", String::from_utf8_lossy(seed));
    }
    let mut n_read = 0;
    for case in 0..n {
        let mut bytes = seeds[case as usize % seeds.len()].clone();
        mutate(&mut bytes, &WORDS, &mut rng);
        n_read += u64::from(try_read(what, &bytes));
    }
    tell(what, n, &format!("0 panics, memory within size + 16 MiB ({n_read} still read)"));
}

#[test]
fn cell_files_of_words() {
    let n = count(1_000_000, 20_000);
    let what = "cell file, random words";
    let mut rng = Rng::new(what);
    let mut n_read = 0;
    for _ in 0..n {
        let mut bytes = b"cell f(x, h)\n h' = ".to_vec();
        for _ in 0..rng.below(24) {
            bytes.extend(WORDS[rng.below(WORDS.len())]);
        }
        bytes.extend(b"\ny = h'");
        n_read += u64::from(try_read(what, &bytes));
    }
    tell(what, n, &format!("0 panics, memory within size + 16 MiB ({n_read} read)"));
}

#[test]
fn cell_files_that_are_deep_or_long() {
    let what = "cell file, deep or long";
    let body = |body: String| format!("cell f(x, h)\n h' = {body}\n y = h'").into_bytes();
    let chains = |line: &dyn Fn(usize) -> String, n: usize| {
        let lines: String = (1..n).map(line).collect();
        format!("cell f(x, h)\n v0 = x\n{lines} h' = h\n y = h").into_bytes()
    };
    let cases = [
        body("(".repeat(30_000)),
        body("-".repeat(60_000)),
        body("x^".repeat(30_000)),
        body("x + ".repeat(15_000) + "x"),
        body("W ".repeat(30_000) + "x"),
        body("x".to_owned() + &"[..]".repeat(15_000)),
        body("tanh(".repeat(10_000)),
        body("where(x > 0, ".repeat(5_000)),
        body("x > ".repeat(15_000)),
        body("a".repeat(60_000)),
        body("9".repeat(60_000)),
        body(" ".repeat(70_000)),
        body("[".repeat(60_000)),
        chains(&|i| format!(" v{i} = concat(v{0}, v{0})\n", i - 1), 2_000),
        chains(&|i| format!(" v{i} = concat(v{}, b{i})\n", i - 1), 2_000),
        chains(&|i| format!(" v{i} = outer(v0, v0)\n"), 2_000),
        chains(&|i| format!(" v{i} = W{i} v{} + x\n", i - 1), 2_000),
        chains(&|i| format!(" v{i} = v{} + b{i}\n", i - 1), 2_400),
        chains(&|i| format!(" v{i} = concat(a{i}, a{i}) + concat(b{i}, b{i}, b{i})\n"), 900),
        (0..5_000).map(|i| format!("size s{i}\n")).collect::<String>().into_bytes(),
        b"cell f(".iter().copied().chain(*b"x, ").cycle().take(60_000).collect(),
    ];
    let mut n_read = 0;
    for case in &cases {
        n_read += u64::from(try_read(what, case));
    }
    let n = cases.len() as u64;
    tell(what, n, &format!("0 panics, memory within size + 16 MiB ({n_read} read)"));
}
