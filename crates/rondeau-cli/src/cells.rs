//! Cells by name: those of the library, and a user's own. Behind [`AnyCell`] the rest of the command
//! knows no cell's type, so one of them costs no more code than another.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use rondeau::cellfile::CellFile;
use rondeau::nn::{self, Activation, Cell, Linear, Residual};
use rondeau::tree::{self, Path};
use rondeau::{Array, Tree, program, random};

/// A cell of your own, which [`run`](crate::run) gives all commands.
///
/// # Examples
/// ```no_run
/// use rondeau::{Array, Tree, nn::Cell, random};
///
/// /// An exponential average of a projection of the input.
/// #[derive(Clone, Tree)]
/// struct Average {
///     weight: Array,
///     rate: Array,
/// }
///
/// impl Cell for Average {
///     type Carry = Array;
///
///     fn initial_carry(&self) -> Array {
///         self.rate.zeros_like()
///     }
///
///     fn step(&self, h: &Array, x: &Array) -> (Array, Array) {
///         let h = h + self.rate.sigmoid() * (self.weight.dot(x) - h);
///         (h.clone(), h.tanh())
///     }
/// }
///
/// impl rondeau_cli::OwnCell for Average {
///     const NAME: &'static str = "average";
///
///     fn init(key: &Array, input: usize, hidden: usize) -> Average {
///         Average { weight: random::normal(key, [hidden, input]) * 0.3, rate: Array::zeros([hidden]) }
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     rondeau_cli::run::<Average>()
/// }
/// ```
pub trait OwnCell: Cell + 'static {
    /// What `--cell` calls it: small letters, digits and hyphens.
    const NAME: &'static str;

    /// Random parameters for inputs `[input]`. `hidden` is what `--hidden` says; outputs may have
    /// any length.
    fn init(key: &Array, input: usize, hidden: usize) -> Self;
}

/// A cell of any type. Its carry is the leaves of the cell's own.
pub struct AnyCell(Box<dyn Erased>);

/// What is called of a cell whose type is not known. The methods are those of [`Tree`] and [`Cell`].
trait Erased {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array));
    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Box<dyn Erased>;
    fn structure(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    fn initial_carry(&self) -> Vec<Array>;
    fn step(&self, carry: &[Array], x: &Array) -> (Vec<Array>, Array);
    fn input_size(&self) -> Option<usize>;
    fn carry_paths(&self) -> Vec<String>;
    fn boxed(&self) -> Box<dyn Erased>;
}

/// A cell, and a carry whose structure those of all steps have; its numbers do not matter.
#[derive(Clone)]
struct Holder<C: Cell> {
    cell: C,
    like: C::Carry,
}

fn owned<T: Tree>(tree: &T) -> Vec<Array> {
    tree::leaves(tree).into_iter().cloned().collect()
}

impl<C: Cell + 'static> Erased for Holder<C> {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        self.cell.visit(path, visit);
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Box<dyn Erased> {
        Box::new(Holder { cell: self.cell.map(path, f), like: self.like.clone() })
    }

    fn structure(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.cell.structure(out)
    }

    fn initial_carry(&self) -> Vec<Array> {
        owned(&self.cell.initial_carry())
    }

    fn step(&self, carry: &[Array], x: &Array) -> (Vec<Array>, Array) {
        let carry = tree::rebuild(&self.like, carry.iter().cloned());
        let (carry, y) = self.cell.step(&carry, x);
        (owned(&carry), y)
    }

    fn input_size(&self) -> Option<usize> {
        self.cell.input_size()
    }

    fn carry_paths(&self) -> Vec<String> {
        tree::leaves_with_paths(&self.like).into_iter().map(|(path, _)| path).collect()
    }

    fn boxed(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }
}

impl AnyCell {
    /// A cell, without its type.
    pub fn of<C: Cell + 'static>(cell: C) -> AnyCell {
        let like = cell.initial_carry();
        AnyCell(Box::new(Holder { cell, like }))
    }

    /// The paths of the carry's leaves in the cell's own carry.
    pub fn carry_paths(&self) -> Vec<String> {
        self.0.carry_paths()
    }

    /// The length of its outputs for inputs of a length.
    ///
    /// # Errors
    /// If its step makes a mistake, or its output is no vector.
    pub fn output_size(&self, input: usize) -> Result<usize> {
        self.output_size_of(&Array::zeros([input]))
    }

    /// The length of its output for an input.
    ///
    /// # Errors
    /// As [`AnyCell::output_size`], and if its step changes the type of its carry.
    pub fn output_size_of(&self, x: &Array) -> Result<usize> {
        let step = |cell: &AnyCell, carry: &Vec<Array>, x: &Array| cell.step(carry, x);
        let first = self.initial_carry();
        let avals = program(step).call(self, &first, x)?.output_avals();
        let Some((y, carry)) = avals.split_last() else { bail!("a cell has an output") };
        ensure!(
            carry.len() == first.len(),
            "the step of a cell must keep its carry: {} arrays enter it, and {} leave it",
            first.len(),
            carry.len()
        );
        for ((path, entered), left) in self.carry_paths().iter().zip(&first).zip(carry) {
            let entered = entered.aval()?;
            let dot = if path.is_empty() { "" } else { "." };
            ensure!(
                entered == *left,
                "the step of a cell must keep the type of its carry\n  \
                 carry{dot}{path} enters it as {entered}\n  \
                 carry{dot}{path} leaves it as {left}\n\
                 help: return it as it came in, or begin with another `initial_carry`"
            );
        }
        ensure!(y.rank() == 1, "a cell's output must be a vector, and it is {y}");
        Ok(y.shape[0])
    }
}

impl Clone for AnyCell {
    fn clone(&self) -> AnyCell {
        AnyCell(self.0.boxed())
    }
}

impl fmt::Debug for AnyCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.structure(f)
    }
}

impl Tree for AnyCell {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        self.0.visit(path, visit);
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> AnyCell {
        AnyCell(self.0.map(path, f))
    }

    fn structure(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.0.structure(out)
    }
}

impl Cell for AnyCell {
    type Carry = Vec<Array>;

    fn initial_carry(&self) -> Vec<Array> {
        self.0.initial_carry()
    }

    #[track_caller]
    fn step(&self, carry: &Vec<Array>, x: &Array) -> (Vec<Array>, Array) {
        self.0.step(carry, x)
    }

    fn input_size(&self) -> Option<usize> {
        self.0.input_size()
    }
}

/// A cell that can be made.
#[derive(Clone)]
pub struct Entry {
    /// What `--cell` calls it.
    pub name: String,
    /// Its name as people write it.
    pub title: String,
    /// Whether it is a user's own.
    pub own: bool,
    init: Init,
}

/// How a cell is made.
#[derive(Clone)]
enum Init {
    Coded(fn(&Array, usize, usize) -> AnyCell),
    Equations(Box<CellFile>),
}

/// What names of files of equations end with.
const ENDING: &str = ".cell";

/// What a model stores of a cell: its name, or the equations that the named file holds.
///
/// # Errors
/// If the file cannot be read, or its equations are mistaken.
pub fn stored(name: &str) -> Result<String> {
    match is_file(name) {
        true => Ok(CellFile::read(name)?.to_string()),
        false => Ok(name.to_owned()),
    }
}

/// Whether `--cell` may say this although it is the name of no cell.
pub fn is_file(name: &str) -> bool {
    name.ends_with(ENDING)
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Entry {
    /// A cell with random parameters.
    ///
    /// # Errors
    /// If equations have a size that nobody gives.
    pub fn init(&self, key: &Array, input: usize, hidden: usize) -> Result<AnyCell> {
        let file = match &self.init {
            Init::Coded(init) => return Ok(init(key, input, hidden)),
            Init::Equations(file) => file,
        };
        let mut sizes = Vec::new();
        for name in file.sizes() {
            sizes.push((
                name.as_str(),
                match name.as_str() {
                    "input" => input,
                    "hidden" | "output" => hidden,
                    _ => bail!(
                        "the cell `{}` has a size `{name}`, which nothing here says\n\
                     help: name its sizes `input`, `hidden` and `output`",
                        file.name()
                    ),
                },
            ));
        }
        Ok(AnyCell::of(file.instantiate(&sizes)?.init(key)))
    }
}

/// A cell that this program has.
#[derive(Clone, Copy, Debug)]
struct Known {
    name: &'static str,
    title: &'static str,
    own: bool,
    init: fn(&Array, usize, usize) -> AnyCell,
}

impl Known {
    fn entry(&self) -> Entry {
        let (name, title) = (self.name.to_owned(), self.title.to_owned());
        Entry { name, title, own: self.own, init: Init::Coded(self.init) }
    }
}

/// The cells that there are; the first is the default.
#[derive(Clone, Debug)]
pub struct Cells(Vec<Known>);

macro_rules! entries {
    ($($name:literal $title:literal: |$key:ident, $input:ident, $hidden:ident| $cell:expr;)*) => {
        vec![$(Known {
            name: $name,
            title: $title,
            own: false,
            init: |$key, $input, $hidden| AnyCell::of($cell),
        }),*]
    };
}

/// A layer around a cell that is linear in its state: into `hidden` numbers, and a way around the
/// cell and the function behind it.
fn mixed<C: Cell>(
    key: &Array,
    input: usize,
    hidden: usize,
    cell: impl FnOnce(&Array) -> C,
) -> (Linear, Residual<(C, Activation)>) {
    let [first, second] = random::split2(key);
    let cell = (cell(&second), Activation::Silu);
    (Linear::init(&first, input, hidden), Residual { cell })
}

impl Cells {
    /// The cells of the library.
    pub fn of_the_library() -> Cells {
        Cells(entries! {
            "gru" "GRU": |k, i, h| nn::Gru::init(k, i, h);
            "gru-reset-after" "GRU": |k, i, h| nn::GruResetAfter::init(k, i, h);
            "layer-norm-gru" "layer-norm GRU": |k, i, h| nn::LayerNormGru::init(k, i, h);
            "mgu" "MGU": |k, i, h| nn::Mgu::init(k, i, h);
            "mgu-reset-after" "MGU": |k, i, h| nn::MguResetAfter::init(k, i, h);
            "min-gru" "minGRU": |k, i, h| nn::MinGru::init(k, i, h);
            "lstm" "LSTM": |k, i, h| nn::Lstm::init(k, i, h);
            "peephole-lstm" "peephole LSTM": |k, i, h| nn::PeepholeLstm::init(k, i, h);
            "projected-lstm" "projected LSTM":
                |k, i, h| nn::ProjectedLstm::init(k, i, h, h.div_ceil(2));
            "layer-norm-lstm" "layer-norm LSTM": |k, i, h| nn::LayerNormLstm::init(k, i, h);
            "slstm" "sLSTM": |k, i, h| nn::SLstm::init(k, i, h);
            "min-lstm" "minLSTM": |k, i, h| nn::MinLstm::init(k, i, h);
            "rnn" "RNN": |k, i, h| nn::Rnn::init(k, i, h, Activation::Tanh);
            "indrnn" "IndRNN": |k, i, h| nn::IndRnn::init(k, i, h);
            "lru" "LRU": |k, i, h| mixed(k, i, h, |k| nn::Lru::init(k, h, h));
            "s5" "S5": |k, i, h| mixed(k, i, h, |k| nn::S5::init(k, h, h.div_ceil(2)));
            "selective-ssm" "selective SSM":
                |k, i, h| mixed(k, i, h, |k| nn::SelectiveSsm::init(k, h, 16, h.div_ceil(16)));
        })
    }

    /// These cells and a user's own, which is the default. One of the library's of the same name is
    /// hidden by it.
    pub fn with<C: OwnCell>(mut self) -> Cells {
        self.0.retain(|entry| entry.name != C::NAME);
        let init = |key: &Array, input, hidden| AnyCell::of(C::init(key, input, hidden));
        self.0.insert(0, Known { name: C::NAME, title: C::NAME, own: true, init });
        self
    }

    /// The names, the default first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|known| known.name)
    }

    /// The cell of a name, of a file of equations, or of equations.
    ///
    /// # Errors
    /// If there is none, with those that there are; or the equations are mistaken.
    pub fn get(&self, name: &str) -> Result<Entry> {
        let file = match name {
            _ if is_file(name) => Some(CellFile::read(name)?),
            _ if name.contains('\n') => Some(CellFile::parse(name, "the cell of the model")?),
            _ => None,
        };
        if let Some(file) = file {
            let title = file.name().to_owned();
            let init = Init::Equations(Box::new(file));
            return Ok(Entry { name: title.clone(), title, own: true, init });
        }
        let found = self.0.iter().find(|known| known.name == name).map(Known::entry);
        found.with_context(|| {
            let names: Vec<&str> = self.names().collect();
            format!("there is no cell `{name}` in this program; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_the_library_goes_without_its_type() {
        let cells = Cells::of_the_library();
        for name in cells.names() {
            let cell = cells.get(name).unwrap().init(&random::key(1), 3, 4).unwrap();
            let size = cell.output_size(3).unwrap();
            let xs = random::normal(&random::key(2), [5, 3]);
            let (carry, ys) = nn::run(&cell, &cell.initial_carry(), &xs);
            assert_eq!(ys.shape(), [5, size], "{name}");
            assert_eq!(carry.len(), cell.carry_paths().len(), "{name}");
            assert!(ys.to_vec::<f32>().unwrap().iter().all(|y| y.is_finite()), "{name}");
        }
        assert_eq!(cells.names().count(), 17);
    }

    /// What it holds is added to a carry, and given out.
    #[derive(Clone, Tree)]
    struct Adds(Array);

    impl Cell for Adds {
        type Carry = (Array, Array);

        fn initial_carry(&self) -> (Array, Array) {
            (Array::zeros(()), Array::zeros([3]))
        }

        fn step(&self, (a, b): &(Array, Array), _: &Array) -> ((Array, Array), Array) {
            ((a.clone(), b + &self.0), self.0.clone())
        }
    }

    #[test]
    fn a_step_that_does_not_fit_is_told() {
        let size = |shape: &[usize]| AnyCell::of(Adds(Array::zeros(shape))).output_size(2);
        assert_eq!(size(&[3]).unwrap(), 3);
        insta::assert_snapshot!(size(&[2, 3]).unwrap_err(), @"
        the step of a cell must keep the type of its carry
          carry.1 enters it as f32[3]
          carry.1 leaves it as f32[2,3]
        help: return it as it came in, or begin with another `initial_carry`
        ");
        insta::assert_snapshot!(size(&[]).unwrap_err(), @"a cell's output must be a vector, and it is f32[]");
    }

    #[test]
    fn the_type_makes_no_difference() {
        let typed = nn::Lstm::init(&random::key(1), 3, 4);
        let any = AnyCell::of(typed.clone());
        let xs = random::normal(&random::key(2), [5, 3]);
        let (_, ys) = nn::run(&typed, &typed.initial_carry(), &xs);
        let (_, same) = nn::run(&any, &any.initial_carry(), &xs);
        assert_eq!(ys.to_vec::<f32>().unwrap(), same.to_vec::<f32>().unwrap());
        let paths = |tree: &[(String, &Array)]| tree.iter().map(|(p, _)| p.clone()).collect();
        let names: [Vec<String>; 2] =
            [paths(&tree::leaves_with_paths(&typed)), paths(&tree::leaves_with_paths(&any))];
        assert_eq!(names[0], names[1]);
    }
}
