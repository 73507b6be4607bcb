//! The functions that equations may call: one row each.

use crate::Array;

/// A function, its kind and its meaning.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name
    }
}

type One = fn(&Array) -> Array;
type Two = fn(&Array, &Array) -> Array;

/// What a function takes and returns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Of each number.
    Each(One),
    /// Of vectors, to vectors of that size; of matrices, by rows.
    Rows(One),
    /// Of all numbers, to one.
    Fold(One),
    /// Of two at each index, with scalars repeated.
    Pair(Two),
    /// Of all numbers, to one; of two, at each index.
    FoldOrPair(One, Two),
    /// The choice by a condition.
    Where,
    /// The values moved into a range.
    Clip,
    /// Vectors one after another.
    Concat,
    /// The inner product of two vectors.
    Dot,
    /// The matrix of all products of two vectors' numbers.
    Outer,
    /// A matrix with its axes exchanged.
    Transpose,
}

impl Kind {
    /// The least and the greatest number of arguments.
    pub(super) fn arguments(self) -> (usize, usize) {
        match self {
            Kind::Each(_) | Kind::Rows(_) | Kind::Fold(_) | Kind::Transpose => (1, 1),
            Kind::Pair(_) | Kind::Dot | Kind::Outer => (2, 2),
            Kind::FoldOrPair(..) => (1, 2),
            Kind::Where | Kind::Clip => (3, 3),
            Kind::Concat => (2, 16),
        }
    }
}

impl Function {
    /// The function of that name.
    pub(super) fn find(name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }
}

/// The scale of `layernorm` and `rmsnorm` is left to a parameter of the file.
fn layernorm(x: &Array) -> Array {
    let centered = x - x.mean_axis(-1).expand_dims(-1);
    let variance = centered.square().mean_axis(-1).expand_dims(-1);
    centered * (variance + 1e-5).rsqrt()
}

fn rmsnorm(x: &Array) -> Array {
    let power = x.square().mean_axis(-1).expand_dims(-1);
    x * (power + 1e-6).rsqrt()
}

macro_rules! functions {
    ($($name:literal: $kind:expr,)*) => {
        /// All functions.
        pub(super) static FUNCTIONS: &[Function] = &[$(Function { name: $name, kind: $kind },)*];
    };
}
functions! {
    "sigmoid": Kind::Each(Array::sigmoid),
    "tanh": Kind::Each(Array::tanh),
    "relu": Kind::Each(Array::relu),
    "silu": Kind::Each(Array::silu),
    "gelu": Kind::Each(Array::gelu),
    "elu": Kind::Each(Array::elu),
    "softplus": Kind::Each(Array::softplus),
    "hard_sigmoid": Kind::Each(Array::hard_sigmoid),
    "hard_tanh": Kind::Each(Array::hard_tanh),
    "log_sigmoid": Kind::Each(Array::log_sigmoid),
    "exp": Kind::Each(Array::exp),
    "expm1": Kind::Each(Array::expm1),
    "log": Kind::Each(Array::log),
    "log1p": Kind::Each(Array::log1p),
    "sqrt": Kind::Each(Array::sqrt),
    "rsqrt": Kind::Each(Array::rsqrt),
    "square": Kind::Each(Array::square),
    "reciprocal": Kind::Each(Array::reciprocal),
    "abs": Kind::Each(Array::abs),
    "sign": Kind::Each(Array::sign),
    "floor": Kind::Each(Array::floor),
    "ceil": Kind::Each(Array::ceil),
    "round": Kind::Each(Array::round),
    "sin": Kind::Each(Array::sin),
    "cos": Kind::Each(Array::cos),
    "tan": Kind::Each(Array::tan),
    "asin": Kind::Each(Array::asin),
    "acos": Kind::Each(Array::acos),
    "atan": Kind::Each(Array::atan),
    "sinh": Kind::Each(Array::sinh),
    "cosh": Kind::Each(Array::cosh),
    "erf": Kind::Each(Array::erf),
    "stop_gradient": Kind::Each(Array::stop_gradient),
    "softmax": Kind::Rows(|x| x.softmax(-1)),
    "log_softmax": Kind::Rows(|x| x.log_softmax(-1)),
    "layernorm": Kind::Rows(layernorm),
    "rmsnorm": Kind::Rows(rmsnorm),
    "sum": Kind::Fold(Array::sum),
    "mean": Kind::Fold(Array::mean),
    "max": Kind::FoldOrPair(Array::max, |x, y| x.maximum(y)),
    "min": Kind::FoldOrPair(Array::min, |x, y| x.minimum(y)),
    "atan2": Kind::Pair(|x, y| x.atan2(y)),
    "where": Kind::Where,
    "clip": Kind::Clip,
    "concat": Kind::Concat,
    "dot": Kind::Dot,
    "outer": Kind::Outer,
    "transpose": Kind::Transpose,
}
