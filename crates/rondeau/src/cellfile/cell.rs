//! A file with its sizes and parameters: a cell.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::CellFile;
use super::functions::Kind;
use super::sizes::Known;
use super::syntax::{Expr, ExprKind, Initial, Item, Op, Size, Way};
use crate::error::Error;
use crate::nn::{Cell, init};
use crate::{Array, DType, Tree, concatenate, random, where_};

/// A cell that was read from a file; its leaves are the parameters of the equations.
///
/// Tracing a step goes over the equations once, so a compiled cell is the same program as the same
/// equations in Rust. The carry is a map from the names of the carries, without primes.
///
/// # Examples
/// ```
/// use rondeau::{cellfile::CellFile, nn, nn::Cell, random};
///
/// let text = "cell rnn(x, h)\n  h' = tanh(W x + U h + b)\n  y = h'";
/// let cell = CellFile::parse(text, "rnn.cell")?.instantiate(&[("input", 3), ("hidden", 8)])?;
/// let cell = cell.init(&random::key(0));
/// assert_eq!(cell.params["W"].shape(), [8, 3]);
///
/// let xs = random::normal(&random::key(1), [10, 3]);
/// let (last, ys) = nn::run(&cell, &cell.initial_carry(), &xs);
/// assert_eq!((last["h"].shape(), ys.shape()), ([8].as_slice(), [10, 8].as_slice()));
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct FileCell {
    /// The parameters by their names in the file.
    pub params: BTreeMap<String, Array>,
    #[tree(fixed)]
    program: Arc<Sized>,
}

/// A file and numbers for its sizes.
struct Sized {
    file: CellFile,
    sizes: BTreeMap<String, usize>,
    /// All of it in one line, which tells it from others.
    signature: String,
}

impl fmt::Debug for Sized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.signature)
    }
}

/// A value while the equations are gone through. Numbers take the element type of what they meet.
#[derive(Clone)]
enum Value {
    Number(f64),
    Array(Array),
}

impl FileCell {
    /// The cell of a file with these sizes, and zero for every parameter.
    pub(super) fn new(file: CellFile, sizes: BTreeMap<String, usize>) -> FileCell {
        let mut signature = String::new();
        let written = file.syntax().write(&mut signature, "; ");
        written.expect("a string takes any text");
        for (name, size) in &sizes {
            signature.push_str(&format!("; {name} = {size}"));
        }
        let zeros = |axes: &[Known]| Array::zeros(numbers(axes, &sizes));
        let params = file.inferred().params.iter();
        let params = params.map(|param| (param.name.clone(), zeros(&param.axes))).collect();
        FileCell { params, program: Arc::new(Sized { file, sizes, signature }) }
    }

    /// The same cell with parameters that are drawn anew, as the file says: each has a key of its
    /// own, in the order in which the file first names them.
    ///
    /// # Errors
    /// The parameters carry an [`Error`] if `key` is no key.
    pub fn init(&self, key: &Array) -> FileCell {
        let params = &self.file().inferred().params;
        let keys = random::split(key, params.len().max(1));
        let drawn = params.iter().enumerate().map(|(i, param)| {
            let shape: Vec<usize> = self.shape(&param.axes);
            (param.name.clone(), draw(&param.initial, &keys.at(i as i32), &shape))
        });
        FileCell { params: drawn.collect(), program: Arc::clone(&self.program) }
    }

    /// The file that the cell was made from.
    pub fn file(&self) -> &CellFile {
        &self.program.file
    }

    /// The numbers that were given for the sizes of the file.
    pub fn sizes(&self) -> &BTreeMap<String, usize> {
        &self.program.sizes
    }

    fn shape(&self, axes: &[Known]) -> Vec<usize> {
        numbers(axes, &self.program.sizes)
    }

    /// The element type of the parameters, f32 if there are none.
    fn dtype(&self) -> DType {
        self.params.values().next().map_or(DType::F32, Array::dtype)
    }
}

/// The sizes as numbers, all of which instantiation has checked to be 1 or more.
fn numbers(axes: &[Known], sizes: &BTreeMap<String, usize>) -> Vec<usize> {
    axes.iter().map(|axis| axis.value(sizes) as usize).collect()
}

/// First values.
fn draw(initial: &Initial, key: &Array, shape: &[usize]) -> Array {
    match initial.way {
        Way::Zeros => Array::zeros(shape),
        Way::Ones => Array::ones(shape),
        Way::Constant => Array::zeros(shape).full_like(initial.number),
        Way::Normal => init::normal(key, shape, initial.number),
        Way::TruncatedNormal => init::truncated_normal(key, shape, initial.number),
        Way::Uniform => init::uniform(key, shape, initial.number),
        Way::Glorot => init::glorot_uniform(key, shape),
        Way::GlorotNormal => init::glorot_normal(key, shape),
        Way::He => init::he_normal(key, shape),
        Way::HeUniform => init::he_uniform(key, shape),
        Way::Lecun => init::lecun_normal(key, shape),
        Way::LecunUniform => init::lecun_uniform(key, shape),
        Way::Orthogonal => init::orthogonal(key, shape),
    }
}

impl Cell for FileCell {
    type Carry = BTreeMap<String, Array>;

    fn initial_carry(&self) -> Self::Carry {
        let carries = self.file().inferred().carries.iter();
        let first = carries.map(|carry| {
            let zeros = Array::zeros(self.shape(&carry.axes)).to(self.dtype());
            let value = match carry.initial.way {
                Way::Ones => zeros.ones_like(),
                Way::Constant => zeros.full_like(carry.initial.number),
                _ => zeros,
            };
            (carry.name.clone(), value)
        });
        first.collect()
    }

    fn step(&self, carry: &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let file = self.file();
        let carries = &file.inferred().carries;
        let lacking = |what: &str, name: &str| Array::mistake(Error::cell_lacks(what, name));
        let given = |what: &str, map: &BTreeMap<String, Array>, name: &str| {
            Value::Array(map.get(name).cloned().unwrap_or_else(|| lacking(what, name)))
        };
        let mut step = Step { cell: self, dtype: self.dtype(), values: BTreeMap::new() };
        step.values.insert(&file.syntax().arguments[0].0.text, Value::Array(x.clone()));
        for known in carries {
            step.values.insert(&known.name, given("carry", carry, &known.name));
        }
        for param in &file.inferred().params {
            step.values.insert(&param.name, given("parameter", &self.params, &param.name));
        }
        for item in &file.syntax().items {
            let (name, value) = match item {
                Item::Const { name, value } => (name, Value::Number(*value)),
                Item::Equation { name, value } => (name, step.value(value)),
                Item::Size(_) | Item::Param { .. } | Item::Carry { .. } => continue,
            };
            step.values.insert(&name.text, value);
        }
        let next = carries.iter().map(|carry| {
            (carry.name.clone(), step.array(&step.values[format!("{}'", carry.name).as_str()]))
        });
        (next.collect(), step.array(&step.values["y"]))
    }

    fn input_size(&self) -> Option<usize> {
        match self.shape(&self.file().inferred().input).as_slice() {
            [size] => Some(*size),
            _ => None,
        }
    }
}

/// One step: the values of all names so far.
struct Step<'a> {
    cell: &'a FileCell,
    dtype: DType,
    values: BTreeMap<&'a str, Value>,
}

macro_rules! arithmetic {
    ($a:expr, $op:tt, $b:expr) => {
        match ($a, $b) {
            (Value::Number(a), Value::Number(b)) => Value::Number(a $op b),
            (Value::Number(a), Value::Array(b)) => Value::Array(a $op &b),
            (Value::Array(a), Value::Number(b)) => Value::Array(&a $op b),
            (Value::Array(a), Value::Array(b)) => Value::Array(&a $op &b),
        }
    };
}

macro_rules! comparison {
    ($step:expr, $a:expr, $method:ident, $flipped:ident, $b:expr) => {
        Value::Array(match ($a, $b) {
            (Value::Array(a), Value::Array(b)) => a.$method(&b),
            (Value::Array(a), Value::Number(b)) => a.$method(b),
            (Value::Number(a), Value::Array(b)) => b.$flipped(a),
            (a @ Value::Number(_), Value::Number(b)) => $step.array(&a).$method(b),
        })
    };
}

impl Step<'_> {
    /// The value as an array.
    fn array(&self, value: &Value) -> Array {
        match value {
            Value::Array(array) => array.clone(),
            Value::Number(number) => Array::from(*number).to(self.dtype),
        }
    }

    fn value(&self, expr: &Expr) -> Value {
        match &expr.kind {
            ExprKind::Number(number) => Value::Number(*number),
            ExprKind::Name(name) => self.values[name.as_str()].clone(),
            ExprKind::Neg(x) => match self.value(x) {
                Value::Number(number) => Value::Number(-number),
                Value::Array(array) => Value::Array(-array),
            },
            ExprKind::Binary(op, left, right) => {
                let left = self.value(left);
                self.binary(*op, left, self.value(right))
            }
            ExprKind::Product(w, x) => {
                let w = self.array(&self.value(w));
                Value::Array(w.dot(self.array(&self.value(x))))
            }
            ExprKind::Call(function, arguments) => {
                let arguments: Vec<Value> =
                    arguments.iter().map(|argument| self.value(argument)).collect();
                Value::Array(self.call(function.kind, &arguments))
            }
            ExprKind::Slice(x, from, to) => {
                let x = self.array(&self.value(x));
                let from = from.as_ref().map_or(0, |from| self.size(from));
                let to = to.as_ref().map_or(x.len(), |to| self.size(to));
                Value::Array(x.at(from..to))
            }
        }
    }

    /// The number of a size; instantiation has checked that it is none below zero.
    fn size(&self, size: &Size) -> usize {
        let sizes = self.cell.sizes();
        let value = |name: &str| sizes.get(name).map_or(0, |&size| size as i128);
        let terms = size.terms.iter().map(|(count, name)| {
            i128::from(*count) * name.as_ref().map_or(1, |name| value(&name.text))
        });
        usize::try_from(terms.sum::<i128>()).unwrap_or(0)
    }

    fn binary(&self, op: Op, a: Value, b: Value) -> Value {
        match op {
            Op::Add => arithmetic!(a, +, b),
            Op::Sub => arithmetic!(a, -, b),
            Op::Mul => arithmetic!(a, *, b),
            Op::Div => arithmetic!(a, /, b),
            Op::Pow => self.power(&a, &b),
            Op::Lt => comparison!(self, a, lt, gt, b),
            Op::Le => comparison!(self, a, le, ge, b),
            Op::Gt => comparison!(self, a, gt, lt, b),
            Op::Ge => comparison!(self, a, ge, le, b),
            Op::Eq => comparison!(self, a, eq, eq, b),
            Op::Ne => comparison!(self, a, ne, ne, b),
        }
    }

    /// A whole number as exponent is a product of factors, whatever the sign of the base.
    fn power(&self, a: &Value, b: &Value) -> Value {
        let whole = |b: f64| b.fract() == 0.0 && b.abs() <= f64::from(i32::MAX);
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => Value::Number(a.powf(*b)),
            (Value::Array(a), Value::Number(b)) if whole(*b) => Value::Array(a.powi(*b as i32)),
            (Value::Array(a), Value::Number(b)) => Value::Array(a.pow(*b)),
            (a, Value::Array(b)) => Value::Array(self.array(a).pow(b)),
        }
    }

    fn call(&self, kind: Kind, arguments: &[Value]) -> Array {
        let x = self.array(&arguments[0]);
        let argument = |i: usize| self.array(&arguments[i]);
        match kind {
            Kind::Each(f) | Kind::Rows(f) | Kind::Fold(f) => f(&x),
            Kind::FoldOrPair(f, _) if arguments.len() == 1 => f(&x),
            Kind::FoldOrPair(_, f) | Kind::Pair(f) => f(&x, &argument(1)),
            Kind::Where => match (&arguments[1], &arguments[2]) {
                (Value::Array(yes), Value::Array(no)) => where_(x, yes, no),
                (Value::Array(yes), Value::Number(no)) => where_(x, yes, *no),
                (Value::Number(yes), Value::Array(no)) => where_(x, *yes, no),
                (Value::Number(_), Value::Number(no)) => where_(x, argument(1), *no),
            },
            Kind::Clip => match (&arguments[1], &arguments[2]) {
                (Value::Number(low), Value::Number(high)) => x.clip(*low, *high),
                _ => x.clip(argument(1), argument(2)),
            },
            Kind::Concat => {
                let parts: Vec<Array> = arguments.iter().map(|part| self.array(part)).collect();
                concatenate(&parts, 0)
            }
            Kind::Dot => x.dot(argument(1)),
            Kind::Outer => x.outer(argument(1)),
            Kind::Transpose => x.t(),
        }
    }
}
