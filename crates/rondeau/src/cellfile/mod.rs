//! A cell as a file of equations.
//!
//! ```text
//! cell gru(x, h)
//!   z = sigmoid(Wz x + Uz h + bz)
//!   r = sigmoid(Wr x + Ur h + br)
//!   c = tanh(Wh x + Uh (r * h) + bh)
//!   h' = (1 - z) * h + z * c
//!   y = h'
//! ```
//!
//! The first argument is the input, the others are carries; `h'` is the next value of the carry `h`,
//! and `y` the output. Names that nothing binds are parameters; their sizes follow from their use.
//! `docs/src/cell-files.md` has the whole grammar.
//!
//! [`CellFile::parse`] reads a text, [`CellFile::instantiate`] gives numbers for its sizes and makes
//! a [`FileCell`], which is a [`Cell`](crate::nn::Cell) as any other: its step goes over the
//! equations while it is traced, so that what is compiled is what the same equations in Rust
//! would be.
//!
//! `lex`, `parse` and `syntax` know only text; `infer` and `sizes` find the parameters and all sizes;
//! `cell` computes. *Must not know* anything that users cannot.

mod cell;
mod functions;
mod infer;
mod lex;
mod mistakes;
mod parse;
mod sizes;
mod syntax;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

pub use cell::FileCell;

use infer::{Check, Inferred};
use mistakes::Fault;
use sizes::Known;
use syntax::Syntax;

use crate::error::{Error, Result};

/// The greatest size, and the most numbers that a value or all parameters together may hold.
const MOST_NUMBERS: i128 = 1 << 28;

/// A file of equations that was read and understood. Cloning is cheap.
///
/// It prints as its equations, without comments; two are equal if they say the same.
///
/// # Examples
/// ```
/// use rondeau::cellfile::CellFile;
///
/// let text = "cell average(x, h)  # smooths its input\n  h' = h + 0.1 * (x - h)\n  y = h'";
/// let file = CellFile::parse(text, "average.cell")?;
/// assert_eq!(file.sizes(), ["input"]);
/// assert_eq!(CellFile::parse(&file.to_string(), "printed")?, file);
///
/// let mistake = CellFile::parse("cell f(x)\n  y = tahn(W x)", "f.cell").unwrap_err();
/// assert!(mistake.to_string().ends_with("help: did you mean `tanh`?"));
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone)]
pub struct CellFile(Arc<Content>);

struct Content {
    text: String,
    name: String,
    syntax: Syntax,
    inferred: Inferred,
}

impl CellFile {
    /// Reads a text; `name` is what messages call it, such as the path of the file.
    ///
    /// # Errors
    /// [`Error`] with the line and what was expected, if the text breaks a rule of the language.
    /// Texts have at most 64 KiB.
    pub fn parse(text: &str, name: &str) -> Result<CellFile> {
        let read = || {
            let syntax = parse::parse(text)?;
            let inferred = infer::infer(&syntax)?;
            Ok((syntax, inferred))
        };
        let (syntax, inferred) = read().map_err(|fault: Fault| fault.into_error(text, name))?;
        let (text, name) = (text.to_owned(), name.to_owned());
        Ok(CellFile(Arc::new(Content { text, name, syntax, inferred })))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be read, is not UTF-8, or as [`CellFile::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<CellFile> {
        let path = path.as_ref();
        let fail = |cause: std::io::Error| Error::file("read", &path.display(), &cause);
        let mut text = String::new();
        // One byte more than a text may have shows that it is too long.
        let mut bytes = File::open(path).map_err(fail)?.take(lex::MOST_BYTES as u64 + 1);
        bytes.read_to_string(&mut text).map_err(fail)?;
        CellFile::parse(&text, &path.display().to_string())
    }

    /// The name of the cell.
    pub fn name(&self) -> &str {
        &self.0.syntax.name.text
    }

    /// The names of the sizes that [`CellFile::instantiate`] needs.
    pub fn sizes(&self) -> &[String] {
        &self.0.inferred.sizes
    }

    /// The cell with numbers for its sizes, and zero for every parameter; [`FileCell::init`] draws
    /// them.
    ///
    /// # Errors
    /// [`Error`] if a size is missing, unknown, zero or too large, or if a value would be without
    /// numbers or hold more than 2^28 of them.
    pub fn instantiate(&self, sizes: &[(&str, usize)]) -> Result<FileCell> {
        let own = self.sizes();
        let fail = |fault: String| Err(Error::cell_sizes(fault, own));
        let mut given = BTreeMap::new();
        for &(name, size) in sizes {
            if !own.iter().any(|known| known == name) {
                return fail(format!("the cell `{}` has no size `{name}`", self.name()));
            }
            if size == 0 || size as i128 > MOST_NUMBERS {
                return fail(format!("the size `{name}` is {size}, and must be from 1 to 2^28"));
            }
            if given.insert(name.to_owned(), size).is_some() {
                return fail(format!("the size `{name}` is given twice"));
            }
        }
        if let Some(missing) = own.iter().find(|name| !given.contains_key(*name)) {
            return fail(format!(
                "the size `{missing}` of the cell `{}` is not given",
                self.name()
            ));
        }
        match self.check(&given) {
            Ok(()) => Ok(FileCell::new(self.clone(), given)),
            Err(fault) => Err(fault.into_error(&self.0.text, &self.0.name)),
        }
    }

    /// Whether everything has numbers, and not too many.
    fn check(&self, given: &BTreeMap<String, usize>) -> Result<(), Fault> {
        let with: Vec<String> = given.iter().map(|(name, n)| format!("{name} = {n}")).collect();
        let with = with.join(", ");
        let count = |span, axes: &[Known]| {
            let mut numbers: i128 = 1;
            for axis in axes {
                let size = axis.value(given);
                if size < 1 {
                    let what = "a size is at least 1";
                    return Err(Fault::out_of_range(what, &axis.to_string(), size, span, &with));
                }
                numbers = numbers.saturating_mul(size);
            }
            match numbers > MOST_NUMBERS {
                true => Err(Fault::too_large(span, numbers, MOST_NUMBERS, &with)),
                false => Ok(numbers),
            }
        };
        let mut total = 0;
        let inferred = &self.0.inferred;
        for variable in inferred.params.iter().chain(&inferred.carries) {
            total += count(variable.span, &variable.axes)?;
            if total > MOST_NUMBERS {
                return Err(Fault::too_large(variable.span, total, MOST_NUMBERS, &with));
            }
        }
        for check in &inferred.checks {
            match check {
                Check::Made(span, axes) => drop(count(*span, axes)?),
                Check::Range(span, range) => {
                    let [from, to, size] = range.each_ref().map(|end| end.value(given));
                    let fail = |what, axis: &Known, value| {
                        Err(Fault::out_of_range(what, &axis.to_string(), value, *span, &with))
                    };
                    if from < 0 {
                        return fail("a range begins at 0 or above", &range[0], from);
                    }
                    if to > size {
                        return fail(&format!("a range ends at the size {size}"), &range[1], to);
                    }
                    if to <= from {
                        return fail(&format!("a range ends above {from}"), &range[1], to);
                    }
                }
            }
        }
        Ok(())
    }

    /// What was found out, a line for each argument, parameter and the output: names, sizes, and how
    /// the values begin.
    ///
    /// # Examples
    /// ```
    /// use rondeau::cellfile::CellFile;
    ///
    /// let text = "cell rnn(x, h)\n  h' = tanh(W x + U h + b)\n  y = h'";
    /// let shown = CellFile::parse(text, "rnn.cell")?.describe();
    /// assert_eq!(shown.lines().nth(3), Some("  param W [hidden, input] ~ lecun"));
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    pub fn describe(&self) -> String {
        let Content { syntax, inferred, .. } = &*self.0;
        let axes = |axes: &[Known]| {
            let axes: Vec<String> = axes.iter().map(Known::to_string).collect();
            format!("[{}]", axes.join(", "))
        };
        let mut lines = vec![format!("cell {}", self.name())];
        lines.push(format!("  input {} {}", syntax.arguments[0].0.text, axes(&inferred.input)));
        for (keyword, sign, variables) in
            [("carry", "=", &inferred.carries), ("param", "~", &inferred.params)]
        {
            for v in variables {
                let sizes = axes(&v.axes);
                lines.push(format!("  {keyword} {} {sizes} {sign} {}", v.name, v.initial));
            }
        }
        lines.push(format!("  output y {}", axes(&inferred.output)));
        lines.join("\n")
    }

    fn syntax(&self) -> &Syntax {
        &self.0.syntax
    }

    fn inferred(&self) -> &Inferred {
        &self.0.inferred
    }
}

impl FileCell {
    /// Reads a file and gives numbers for its sizes; parameters are zero until [`FileCell::init`]
    /// draws them.
    ///
    /// # Errors
    /// As [`CellFile::read`] and [`CellFile::instantiate`].
    pub fn load(path: impl AsRef<Path>, sizes: &[(&str, usize)]) -> Result<FileCell> {
        CellFile::read(path)?.instantiate(sizes)
    }
}

impl PartialEq for CellFile {
    fn eq(&self, other: &CellFile) -> bool {
        self.0.syntax == other.0.syntax
    }
}

impl fmt::Display for CellFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.syntax.write(f, "\n  ")?;
        f.write_str("\n")
    }
}

impl fmt::Debug for CellFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
