//! Elementwise arithmetic: what a kernel computes at each point of its iteration space.
//!
//! A DAG is a list of [`Node`]s; a node names earlier nodes by [`Val`]. Every node has one [`DType`], which
//! [`infer`] finds. Nothing is contracted or reassociated: `a * b + c` rounds twice unless it is a [`Node::Fma`].
//!
//! # Meaning
//! Floats follow IEEE 754 in round-to-nearest-even; where a NaN comes out, its payload and sign are not defined.
//! `Max` and `Min` return NaN if either side is NaN, and order -0 before +0. Integers wrap. `x / 0 = -1` and
//! `rem(x, 0) = x` in integers (for `u32`, `x / 0` is `u32::MAX`), and `i32::MIN / -1` wraps. `Rem` has the sign of
//! its left side. Shifts by 32 or more give 0, or the sign for [`Binary::ShrArithmetic`]. A comparison with NaN is
//! false, but [`Binary::Ne`] is true. Conversions from floats to integers truncate and saturate, NaN becomes 0;
//! to `Bool` is `x != 0`. The functions that [`crate::math`] defines are computed by its definitions.

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Signed 32-bit integers, wrapping.
    I32,
    /// Unsigned 32-bit integers, wrapping.
    U32,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// All types.
    pub const ALL: [DType; 5] = [DType::F32, DType::F64, DType::I32, DType::U32, DType::Bool];

    /// Returns the bytes of one element in memory.
    pub const fn size(self) -> usize {
        match self {
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 => 8,
            DType::Bool => 1,
        }
    }

    /// Whether the type is `F32` or `F64`.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether the type is `I32` or `U32`.
    pub const fn is_int(self) -> bool {
        matches!(self, DType::I32 | DType::U32)
    }
}

/// The name of a node: its position in the DAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Val(pub u32);

/// Functions of one value. Floats unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`, integers too.
    Neg,
    /// `|x|`, integers too.
    Abs,
    /// -1, 0 or 1, integers too; keeps -0 and NaN.
    Sign,
    /// Rounds down.
    Floor,
    /// Rounds up.
    Ceil,
    /// Rounds to the nearest integer, halves to even.
    Round,
    /// The square root.
    Sqrt,
    /// `1 / sqrt(x)`, with both roundings.
    Rsqrt,
    /// `e^x`.
    Exp,
    /// `e^x - 1`.
    Expm1,
    /// The natural logarithm.
    Log,
    /// `log(1 + x)`.
    Log1p,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// The tangent.
    Tan,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The error function.
    Erf,
    /// The inverse of [`Unary::Erf`].
    ErfInv,
    /// The inverse sine.
    Asin,
    /// The inverse cosine.
    Acos,
    /// The inverse tangent.
    Atan,
    /// The hyperbolic sine.
    Sinh,
    /// The hyperbolic cosine.
    Cosh,
    /// `x * x`, integers too.
    Square,
    /// The complement: logical for `Bool`, bitwise for integers.
    Not,
    /// Whether `x` is neither infinite nor NaN; a `Bool`.
    IsFinite,
}

impl Unary {
    /// All functions of one value.
    pub const ALL: [Unary; 27] = [
        Unary::Neg,
        Unary::Abs,
        Unary::Sign,
        Unary::Floor,
        Unary::Ceil,
        Unary::Round,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Exp,
        Unary::Expm1,
        Unary::Log,
        Unary::Log1p,
        Unary::Sin,
        Unary::Cos,
        Unary::Tan,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Erf,
        Unary::ErfInv,
        Unary::Asin,
        Unary::Acos,
        Unary::Atan,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Square,
        Unary::Not,
        Unary::IsFinite,
    ];
}

/// Functions of two values of one type; comparisons give a `Bool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `x + y`.
    Add,
    /// `x - y`.
    Sub,
    /// `x * y`.
    Mul,
    /// `x / y`.
    Div,
    /// The remainder of the division that truncates.
    Rem,
    /// `x^y`, floats.
    Pow,
    /// The angle of the point (y: left side, x: right side), floats.
    Atan2,
    /// The larger; `Bool` too (or).
    Max,
    /// The smaller; `Bool` too (and).
    Min,
    /// Conjunction of `Bool`s, or of the bits of integers.
    And,
    /// Disjunction of `Bool`s, or of the bits of integers.
    Or,
    /// Exclusive disjunction of `Bool`s, or of the bits of integers.
    Xor,
    /// Shifts left, integers.
    Shl,
    /// Shifts right and fills with zeros, integers.
    ShrLogical,
    /// Shifts right and fills with the top bit, integers.
    ShrArithmetic,
    /// `x == y`.
    Eq,
    /// `x != y`.
    Ne,
    /// `x < y`; not for `Bool`.
    Lt,
    /// `x <= y`; not for `Bool`.
    Le,
    /// `x > y`; not for `Bool`.
    Gt,
    /// `x >= y`; not for `Bool`.
    Ge,
}

impl Binary {
    /// All functions of two values.
    pub const ALL: [Binary; 21] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Rem,
        Binary::Pow,
        Binary::Atan2,
        Binary::Max,
        Binary::Min,
        Binary::And,
        Binary::Or,
        Binary::Xor,
        Binary::Shl,
        Binary::ShrLogical,
        Binary::ShrArithmetic,
        Binary::Eq,
        Binary::Ne,
        Binary::Lt,
        Binary::Le,
        Binary::Gt,
        Binary::Ge,
    ];
}

/// One value of a DAG.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// The element of the kernel's load of this number at the current point.
    Load(u32),
    /// The sum of the product of this number, in a [`crate::code::Mat`] alone.
    Product(u32),
    /// The same value everywhere: the lowest bytes of `bits`, as they lie in memory.
    Const {
        /// The type.
        dtype: DType,
        /// The bits; see [`Node::f32`] and its kin.
        bits: u64,
    },
    /// The index of the point along one dimension of the iteration space.
    Iota {
        /// Which dimension, outermost first.
        dim: u32,
        /// The type, not `Bool`.
        dtype: DType,
    },
    /// The number of steps that the loop at `level` (outermost first) has made.
    Step {
        /// Which of the enclosing loops.
        level: u32,
        /// The type, not `Bool`.
        dtype: DType,
    },
    /// A function of one value.
    Unary(Unary, Val),
    /// A function of two values.
    Binary(Binary, Val, Val),
    /// `x^n` for a whole `n`, by repeated squaring (`1 / x^-n` for negative `n`); floats and integers.
    IntegerPow(Val, i32),
    /// `a * b + c` with one rounding; floats.
    Fma(Val, Val, Val),
    /// The second where the first, a `Bool`, is true, else the third.
    Select(Val, Val, Val),
    /// The nearest value of another type.
    Convert(Val, DType),
    /// The same bits as another type of the same size; not `Bool`.
    Bitcast(Val, DType),
    /// One of the two words of the Threefry-2x32 block (20 rounds) of `counter` under `key`; all `U32`.
    Threefry {
        /// The two words of the key.
        key: [Val; 2],
        /// The two words of the counter.
        counter: [Val; 2],
        /// Which word of the block: 0 or 1.
        word: u32,
    },
}

impl Node {
    /// A constant of type `F32`.
    pub fn f32(x: f32) -> Node {
        Node::Const { dtype: DType::F32, bits: x.to_bits() as u64 }
    }

    /// A constant of type `F64`.
    pub fn f64(x: f64) -> Node {
        Node::Const { dtype: DType::F64, bits: x.to_bits() }
    }

    /// A constant of type `I32`.
    pub fn i32(x: i32) -> Node {
        Node::Const { dtype: DType::I32, bits: x as u32 as u64 }
    }

    /// A constant of type `U32`.
    pub fn u32(x: u32) -> Node {
        Node::Const { dtype: DType::U32, bits: x as u64 }
    }

    /// A constant of type `Bool`.
    pub fn bool(x: bool) -> Node {
        Node::Const { dtype: DType::Bool, bits: x as u64 }
    }

    /// Calls `f` on each value that the node reads, in order.
    pub fn for_each_operand(&self, mut f: impl FnMut(Val)) {
        match *self {
            Node::Load(_)
            | Node::Product(_)
            | Node::Const { .. }
            | Node::Iota { .. }
            | Node::Step { .. } => {}
            Node::Unary(_, a)
            | Node::IntegerPow(a, _)
            | Node::Convert(a, _)
            | Node::Bitcast(a, _) => f(a),
            Node::Binary(_, a, b) => [a, b].into_iter().for_each(f),
            Node::Fma(a, b, c) | Node::Select(a, b, c) => [a, b, c].into_iter().for_each(f),
            Node::Threefry { key, counter, .. } => key.into_iter().chain(counter).for_each(f),
        }
    }
}

/// What a DAG may refer to besides its own nodes.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The types of the kernel's loads.
    pub loads: &'a [DType],
    /// The types of the kernel's products; empty but in a `Mat`.
    pub products: &'a [DType],
    /// The number of dimensions of the iteration space.
    pub n_dims: usize,
    /// The number of enclosing loops.
    pub n_levels: usize,
}

/// Returns the type of each node, or what is wrong with the first bad one.
pub fn infer(nodes: &[Node], scope: Scope<'_>) -> Result<Vec<DType>, String> {
    let mut dtypes = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.iter().enumerate() {
        let dtype = infer_node(node, &dtypes, scope)
            .map_err(|what| format!("node {i}, {node:?}: {what}"))?;
        dtypes.push(dtype);
    }
    Ok(dtypes)
}

fn infer_node(node: &Node, known: &[DType], scope: Scope<'_>) -> Result<DType, String> {
    let mut unknown = None;
    node.for_each_operand(|v| {
        if v.0 as usize >= known.len() {
            unknown = Some(v);
        }
    });
    if let Some(v) = unknown {
        return Err(format!("reads node {}, which does not come before it", v.0));
    }
    let of = |v: Val| known[v.0 as usize];
    let need = |ok: bool, what: &str| if ok { Ok(()) } else { Err(what.to_string()) };
    let nth = |list: &[DType], i: u32, what: &str| {
        list.get(i as usize).copied().ok_or_else(|| format!("there is no such {what}"))
    };
    match *node {
        Node::Load(i) => nth(scope.loads, i, "load"),
        Node::Product(i) => nth(scope.products, i, "product"),
        Node::Const { dtype, bits } => {
            need(dtype != DType::Bool || bits <= 1, "a Bool is 0 or 1")?;
            Ok(dtype)
        }
        Node::Iota { dim, dtype } => {
            need((dim as usize) < scope.n_dims, "there is no such dimension")?;
            need(dtype != DType::Bool, "an index is a number")?;
            Ok(dtype)
        }
        Node::Step { level, dtype } => {
            need((level as usize) < scope.n_levels, "there is no such enclosing loop")?;
            need(dtype != DType::Bool, "an index is a number")?;
            Ok(dtype)
        }
        Node::Unary(op, a) => infer_unary(op, of(a)),
        Node::Binary(op, a, b) => infer_binary(op, of(a), of(b)),
        Node::IntegerPow(a, _) => {
            need(of(a) != DType::Bool, "needs a number")?;
            Ok(of(a))
        }
        Node::Fma(a, b, c) => {
            need(of(a).is_float() && of(a) == of(b) && of(b) == of(c), "needs floats of one type")?;
            Ok(of(a))
        }
        Node::Select(p, a, b) => {
            need(of(p) == DType::Bool, "needs a Bool to choose by")?;
            need(of(a) == of(b), "needs two values of one type")?;
            Ok(of(a))
        }
        Node::Convert(_, to) => Ok(to),
        Node::Bitcast(a, to) => {
            need(of(a) != DType::Bool && to != DType::Bool, "Bool has no other reading")?;
            need(of(a).size() == to.size(), "needs a type of the same size")?;
            Ok(to)
        }
        Node::Threefry { key, counter, word } => {
            let words = key.into_iter().chain(counter);
            need(words.into_iter().all(|v| of(v) == DType::U32), "needs four U32")?;
            need(word < 2, "a block has two words")?;
            Ok(DType::U32)
        }
    }
}

fn infer_unary(op: Unary, a: DType) -> Result<DType, String> {
    let (fits, out) = match op {
        Unary::Neg | Unary::Abs | Unary::Sign | Unary::Square => (a != DType::Bool, a),
        Unary::Not => (!a.is_float(), a),
        Unary::IsFinite => (a.is_float(), DType::Bool),
        Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::Tanh
        | Unary::Sigmoid
        | Unary::Erf
        | Unary::ErfInv
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh => (a.is_float(), a),
    };
    if fits { Ok(out) } else { Err(format!("is not defined on {a:?}")) }
}

fn infer_binary(op: Binary, a: DType, b: DType) -> Result<DType, String> {
    if a != b {
        return Err(format!("needs two values of one type, not {a:?} and {b:?}"));
    }
    let (fits, out) = match op {
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem => {
            (a != DType::Bool, a)
        }
        Binary::Pow | Binary::Atan2 => (a.is_float(), a),
        Binary::Max | Binary::Min => (true, a),
        Binary::And | Binary::Or | Binary::Xor => (!a.is_float(), a),
        Binary::Shl | Binary::ShrLogical | Binary::ShrArithmetic => (a.is_int(), a),
        Binary::Eq | Binary::Ne => (true, DType::Bool),
        Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => (a != DType::Bool, DType::Bool),
    };
    if fits { Ok(out) } else { Err(format!("is not defined on {a:?}")) }
}
