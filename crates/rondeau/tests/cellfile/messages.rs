//! What is said of every kind of mistake, pinned.

use std::fmt::Write;

use rondeau::cellfile::{CellFile, FileCell};

/// The message about a text with these lines below the head of a cell with one carry.
fn body(lines: &str) -> String {
    format!("cell f(x, h)\n{lines}\n")
}

/// Complete but for the lines that are wrong.
fn with(lines: &str) -> String {
    body(&format!("{lines}\n  h' = tanh(W x + U h + b)\n  y = h'"))
}

#[test]
fn messages() {
    let cases = [
        ("no cell", "z = 1".to_owned()),
        ("nothing", String::new()),
        ("a cell without arguments", "cell f()\n  y = 1".to_owned()),
        ("a second cell", with("  cell g(x)")),
        ("unknown function", with("  z = sigmod(W x + U h)")),
        ("unknown function with a space", with("  z = tahn (h)")),
        ("unknown function, unlike any", with("  z = frobnicate(h)")),
        ("a function alone", with("  z = tanh + h")),
        ("too many arguments", with("  z = tanh(h, x)")),
        ("too few arguments", with("  z = where(h > 0, h)")),
        ("parenthesis not closed", body("  h' = tanh(W x + (U h + b)\n  y = h'")),
        ("parenthesis not opened", with("  z = tanh(h))")),
        ("bracket not closed", with("  z = h[0..2")),
        ("operator at the end", with("  z = h +")),
        ("two operators", with("  z = h * / x")),
        ("no equals sign", with("  z tanh(h)")),
        ("a strange character", with("  z = h & x")),
        ("a number beside", with("  z = 2 x")),
        ("a number that touches", with("  z = 2x")),
        ("a number behind", with("  z = x 2")),
        ("an endless number", with("  z = 1e999")),
        ("chained comparison", with("  z = where(0 < h < 1, h, x)")),
        ("too deep", with(&format!("  z = {}h{}", "(".repeat(60), ")".repeat(60)))),
        ("a long line", with(&format!("  z = {}sigmod(h)", "h + ".repeat(60)))),
        (
            "no equation for a carry",
            "cell lstm(x, h, c)\n  h' = tanh(W x + U h)\n  y = h'".to_owned(),
        ),
        ("no output", body("  h' = tanh(W x + U h)")),
        ("an equation for a carry itself", with("  h = W x")),
        ("an equation for the input", with("  x = 2 * h")),
        ("next value of no carry", with("  q' = W x")),
        ("next value of no carry, used", with("  z = q' + h")),
        ("defined twice", with("  z = h\n  z = x")),
        ("constant and equation", with("  const k = 1\n  k = h")),
        ("argument twice", "cell f(x, h, h)\n  h' = h\n  y = h".to_owned()),
        ("used before", body("  h' = z * h\n  z = sigmoid(h)\n  y = h'")),
        ("next value used before", body("  y = h'\n  h' = tanh(W x + U h)")),
        ("name of a function", with("  max = h")),
        ("name of a keyword", with("  z = param + h")),
        ("output an argument", "cell f(x, y)\n  y' = y\n  y = x".to_owned()),
        ("unknown size", with("  param W [hiden, input]")),
        ("unknown size, unlike any", with("  param W [hidden, width]")),
        ("unknown initializer", with("  param W ~ orthogonl")),
        ("initializer without its number", with("  param W ~ normal")),
        ("three sizes", with("  param W [hidden, input, 2]")),
        ("a size with a fraction", with("  param W [hidden, 1.5]")),
        ("a value misspelled", body("  gate = sigmoid(W x + U h)\n  h' = gaet * h\n  y = h'")),
        (
            "a carry misspelled",
            "cell f(x, memory)\n  memory' = 0.9 * memmory + W x\n  y = memory'".to_owned(),
        ),
        ("parameter not used", with("  param w [hidden, input]")),
        ("a vector that is orthogonal", with("  param b ~ orthogonal")),
        ("a carry drawn", with("  carry h = normal(1)")),
        ("no carry of that name", with("  carry g = ones")),
        (
            "sizes of a carry twice",
            "cell f(x, h [hidden])\n  carry h [3]\n  h' = h\n  y = h".to_owned(),
        ),
        (
            "sizes of a sum",
            with("  size a\n  param V [a, input]\n  param v [hidden]\n  z = V x + v"),
        ),
        ("sizes of a product", with("  param W [hidden, input]\n  param v [hidden]\n  z = W v")),
        ("sizes of a carry", "cell f(x, h [hidden])\n  h' = x\n  y = h'".to_owned()),
        ("a scalar as carry", "cell f(x, h)\n  h' = mean(x)\n  y = h'".to_owned()),
        (
            "one parameter, two sizes",
            "cell f(x, h [hidden])\n  a = W x\n  h' = W h\n  y = a".to_owned(),
        ),
        ("a vector before a vector", with("  z = h x")),
        ("a matrix and a scalar", with("  z = V mean(x)")),
        ("a truth value in a sum", with("  z = (x > 0) + x")),
        ("a truth value as output", body("  h' = tanh(W x + U h)\n  y = h > 0")),
        ("a number as condition", with("  z = where(h, h, x)")),
        ("size not determined", body("  h' = tanh(W x + U h)\n  y = V h'")),
        (
            "carries not determined",
            "cell f(x, h, c)\n  h' = A x + B h\n  c' = C x + D c\n  y = h".to_owned(),
        ),
        ("a part of the unknown", with("  z = v[0..2] + h")),
        (
            "a half",
            body("  h' = h + concat(a, a, a, 1 * b, b) * 0\n  y = concat(a, a) + concat(b, b, b)"),
        ),
        ("concatenated scalars", with("  z = concat(1, x)")),
    ];
    let mut told = String::new();
    for (name, text) in &cases {
        match CellFile::parse(text, "f.cell") {
            Ok(file) => panic!("`{name}` is read:\n{}", file.describe()),
            Err(error) => {
                let _ = writeln!(told, "# {name}\n{error}\n");
            }
        }
    }
    insta::assert_snapshot!("messages", told);
}

#[test]
fn messages_of_instantiation() {
    let gru = "cell f(x, h)\n  h' = tanh(W x + U h + b)\n  y = h'[2..4]";
    let sizes: [(&str, &[(&str, usize)]); 8] = [
        ("missing", &[("input", 3)]),
        ("unknown", &[("input", 3), ("hiden", 4)]),
        ("zero", &[("input", 0), ("hidden", 4)]),
        ("huge", &[("input", 1 << 40), ("hidden", 4)]),
        ("twice", &[("input", 3), ("input", 3)]),
        ("too many numbers", &[("input", 1 << 20), ("hidden", 1 << 20)]),
        ("a range that is too long", &[("input", 3), ("hidden", 3)]),
        ("right", &[("input", 3), ("hidden", 4)]),
    ];
    let file = CellFile::parse(gru, "f.cell").unwrap();
    let mut told = String::new();
    for (name, sizes) in sizes {
        let said =
            file.instantiate(sizes).map_or_else(|error| error.to_string(), |_| "a cell".into());
        let _ = writeln!(told, "# {name}\n{said}\n");
    }
    let text = "cell f(x)\n  param W [input - 5, input]\n  y = W x";
    let error = CellFile::parse(text, "f.cell").unwrap().instantiate(&[("input", 4)]).unwrap_err();
    let _ = writeln!(told, "# a size below zero\n{error}\n");
    insta::assert_snapshot!("instantiation", told);
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.cell");
    let said = |path| FileCell::load(path, &[]).unwrap_err().to_string();
    assert!(said(&path).starts_with("cannot read "));
    std::fs::write(&path, b"cell \xff").unwrap();
    assert!(said(&path).contains("UTF-8"));
    std::fs::write(&path, " ".repeat(1 << 20)).unwrap();
    assert!(said(&path).starts_with("a cell file has at most 65536 bytes"));
}
