//! The parameters of a primitive as structured text: `contract=([1], [0]) length=10`.

use std::sync::Arc;

use super::Program;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A word: an element type, `true`, the name of a mode.
    Word(String),
    /// A quoted text.
    Text(String),
    /// A list, printed as `[a, b]`.
    List(Vec<Value>),
    /// A program within the program.
    Program(Arc<Program>),
}

/// Named parameters, in the order in which they print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(String, Value)>);

impl Params {
    /// No parameters.
    pub fn new() -> Params {
        Params::default()
    }

    /// The same with one more.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Params {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A count or index.
    pub fn size(&self, name: &str) -> Option<usize> {
        self.get(name)?.size()
    }

    /// A signed whole number.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// A list of counts or indices.
    pub fn sizes(&self, name: &str) -> Option<Vec<usize>> {
        self.get(name)?.sizes()
    }

    /// A word.
    pub fn word(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.word(name)?.parse().ok()
    }

    /// A program.
    pub fn program(&self, name: &str) -> Option<Arc<Program>> {
        match self.get(name)? {
            Value::Program(program) => Some(program.clone()),
            _ => None,
        }
    }
}

impl Value {
    /// A count or index.
    pub fn size(&self) -> Option<usize> {
        match self {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// A list of counts or indices.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        self.items()?.iter().map(Value::size).collect()
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Value {
        Value::Int(n as i64)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Word(flag.to_string())
    }
}

impl From<&str> for Value {
    fn from(word: &str) -> Value {
        Value::Word(word.to_owned())
    }
}

impl From<&[usize]> for Value {
    fn from(sizes: &[usize]) -> Value {
        Value::List(sizes.iter().map(|&n| n.into()).collect())
    }
}

impl From<&Vec<usize>> for Value {
    fn from(sizes: &Vec<usize>) -> Value {
        sizes.as_slice().into()
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::List(items)
    }
}

impl From<&Arc<Program>> for Value {
    fn from(program: &Arc<Program>) -> Value {
        Value::Program(program.clone())
    }
}
