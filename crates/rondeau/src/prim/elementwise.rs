//! Elementwise primitives, as tables: a row a primitive in each match.
//!
//! All inputs have one shape, or no axes: a scalar stands for itself at every index.

use std::borrow::Cow;

use rondeau_machine::math::Function;

use super::functions::FloatFunctions;
use super::*;
use crate::buffer::{DType, Number, Real, Scalar, Shape, dispatch};

/// One input, elementwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Floor,
    Ceil,
    /// Toward zero.
    Trunc,
    /// Ties go to the even neighbour.
    Round,
    Sqrt,
    Rsqrt,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    /// The sigmoid `1 / (1 + e⁻ˣ)`.
    Logistic,
    /// `x / (1 + |x|)`.
    Softsign,
    Erf,
    ErfInv,
    /// `x` to a whole power.
    IntegerPow(i32),
    /// Negation of truth values, of each bit for integers.
    Not,
    IsFinite,
    /// The value itself, with a derivative of zero.
    StopGradient,
}

/// Two inputs, elementwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Integers truncate; `x / 0 = -1`.
    Div,
    /// The remainder of the truncated division, with the sign of the first input.
    Rem,
    /// NaN if one is NaN.
    Max,
    /// NaN if one is NaN.
    Min,
    Pow,
    Atan2,
    And,
    Or,
    Xor,
    /// Zero from 32 bits on.
    ShiftLeft,
    /// Fills with zeros, for signed integers too.
    ShiftRightLogical,
    /// Fills with the sign.
    ShiftRightArithmetic,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Which element types an elementwise primitive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Floats,
    Numbers,
    Integers,
    Bits,
    Anything,
}

impl Takes {
    fn includes(self, dtype: DType) -> bool {
        match self {
            Takes::Floats => dtype.is_float(),
            Takes::Numbers => dtype != DType::Bool,
            Takes::Integers => dtype.is_integer(),
            Takes::Bits => !dtype.is_float(),
            Takes::Anything => true,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Takes::Floats => "floats",
            Takes::Numbers => "numbers",
            Takes::Integers => "integers",
            Takes::Bits => "integers or truth values",
            Takes::Anything => "anything",
        }
    }

    fn check(self, dtype: DType) -> Result<(), Misfit> {
        if self.includes(dtype) {
            return Ok(());
        }
        Err(Misfit::new(format!("takes {}, not {dtype}", self.describe()))
            .help("convert the array with `.to(..)`"))
    }
}

/// The shape of an elementwise result.
pub(super) fn common_shape(inputs: &[Aval]) -> Result<Shape, Misfit> {
    let mut shape = Shape::scalar();
    for aval in inputs {
        if aval.rank() > 0 && shape.rank() > 0 && aval.shape != shape {
            return Err(Misfit::new(format!("{} and {shape} are different shapes", aval.shape)));
        }
        if aval.rank() > 0 {
            shape = aval.shape.clone();
        }
    }
    Ok(shape)
}

fn same_dtype(inputs: &[Aval]) -> Result<DType, Misfit> {
    let first = inputs[0].dtype;
    match inputs.iter().find(|aval| aval.dtype != first) {
        Some(other) => {
            Err(Misfit::new(format!("{first} and {} are different element types", other.dtype))
                .help("convert one of them with `.to(..)`"))
        }
        None => Ok(first),
    }
}

pub(super) fn arity<const N: usize>(inputs: &[Aval]) -> Result<&[Aval; N], Misfit> {
    inputs
        .try_into()
        .map_err(|_| Misfit::new(format!("takes {N} inputs, and there are {}", inputs.len())))
}

/// The values of an elementwise input: one for all indices, or one for each.
pub(super) enum Lane<'a, T: Clone> {
    One(T),
    Each(Cow<'a, [T]>),
}

pub(super) fn lane<T: crate::buffer::Element>(x: &Buffer) -> Lane<'_, T> {
    match x.uniform() {
        Some(value) => Lane::One(T::from_scalar(value)),
        None => Lane::Each(x.values()),
    }
}

fn result_shape(inputs: &[&Buffer]) -> Shape {
    let full = inputs.iter().find(|x| x.shape().rank() > 0);
    full.map_or_else(Shape::scalar, |x| x.shape().clone())
}

fn map1<T, U>(x: &Buffer, f: impl Fn(T) -> U) -> Buffer
where
    T: crate::buffer::Element,
    U: crate::buffer::Element,
{
    match lane::<T>(x) {
        Lane::One(x1) => Buffer::splat(f(x1).scalar(), x.shape().clone()),
        Lane::Each(xs) => Buffer::new(x.shape().clone(), xs.iter().map(|&x| f(x)).collect()),
    }
}

/// As [`map1`], for functions of whole slices.
fn map_slice<T: crate::buffer::Element>(x: &Buffer, f: impl Fn(&[T]) -> Vec<T>) -> Buffer {
    match lane::<T>(x) {
        Lane::One(x1) => Buffer::splat(f(&[x1])[0].scalar(), x.shape().clone()),
        Lane::Each(xs) => Buffer::new(x.shape().clone(), f(&xs)),
    }
}

fn map2<T, U>(x: &Buffer, y: &Buffer, f: impl Fn(T, T) -> U) -> Buffer
where
    T: crate::buffer::Element,
    U: crate::buffer::Element,
{
    let shape = result_shape(&[x, y]);
    if shape.count() == 0 {
        return Buffer::new::<U>(shape, vec![]);
    }
    match (lane::<T>(x), lane::<T>(y)) {
        (Lane::One(x), Lane::One(y)) => Buffer::splat(f(x, y).scalar(), shape),
        (Lane::One(x), Lane::Each(ys)) => Buffer::new(shape, ys.iter().map(|&y| f(x, y)).collect()),
        (Lane::Each(xs), Lane::One(y)) => Buffer::new(shape, xs.iter().map(|&x| f(x, y)).collect()),
        (Lane::Each(xs), Lane::Each(ys)) => {
            Buffer::new(shape, xs.iter().zip(ys.iter()).map(|(&x, &y)| f(x, y)).collect())
        }
    }
}

/// Sums a cotangent over the axes that a scalar operand was repeated along.
fn unrepeat(b: &mut Builder, ct: Atom, operand: &Aval) -> Atom {
    let rank = b.aval(ct).rank();
    if operand.rank() == 0 && rank > 0 {
        return b.sum(ct, &(0..rank).collect::<Vec<_>>());
    }
    ct
}

/// Elementwise batching: brings all inputs to one rank, so that the axis of examples lines up.
pub(super) fn batch_elementwise(
    b: &mut Builder,
    prim: Prim,
    size: usize,
    inputs: &[Batched],
) -> Vec<Batched> {
    // The rank of one example.
    let rank = |b: &Builder, x: Batched| b.aval(x.atom()).rank() - usize::from(x.is_mapped());
    let full = inputs.iter().copied().max_by_key(|&x| rank(b, x)).expect("elementwise has inputs");
    let full_aval = b.aval(full.atom());
    let shape = match full {
        Batched::Mapped(_) => full_aval.shape,
        Batched::Shared(_) => full_aval.shape.prepend(size),
    };
    let atoms: Vec<Atom> = inputs
        .iter()
        .map(|&x| match (x, rank(b, x)) {
            (Batched::Shared(atom), 0) => atom,
            (Batched::Shared(atom), _) => b.repeat(atom, size),
            (Batched::Mapped(atom), 0) if shape.rank() > 1 => b.broadcast(atom, &shape, &[0]),
            (Batched::Mapped(atom), _) => atom,
        })
        .collect();
    b.bind(prim, &atoms).into_iter().map(Batched::Mapped).collect()
}

impl Unary {
    const ALL: [Unary; 30] = [
        Unary::Neg,
        Unary::Abs,
        Unary::Sign,
        Unary::Floor,
        Unary::Ceil,
        Unary::Trunc,
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
        Unary::Asin,
        Unary::Acos,
        Unary::Atan,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Tanh,
        Unary::Logistic,
        Unary::Softsign,
        Unary::Erf,
        Unary::ErfInv,
        Unary::IntegerPow(3),
        Unary::Not,
        Unary::IsFinite,
        Unary::StopGradient,
    ];

    fn takes(self) -> Takes {
        match self {
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::IntegerPow(_) => Takes::Numbers,
            Unary::Not => Takes::Bits,
            Unary::StopGradient => Takes::Anything,
            Unary::Floor
            | Unary::Ceil
            | Unary::Trunc
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
            | Unary::Asin
            | Unary::Acos
            | Unary::Atan
            | Unary::Sinh
            | Unary::Cosh
            | Unary::Tanh
            | Unary::Logistic
            | Unary::Softsign
            | Unary::Erf
            | Unary::ErfInv
            | Unary::IsFinite => Takes::Floats,
        }
    }

    /// `dy/dx · dx`, from `x`, `y` and `dx`; `None` where the derivative is zero everywhere.
    fn derivative(self, b: &mut Builder, x: Atom, y: Atom, dx: Atom) -> Option<Atom> {
        let one = b.lit(1.0, dx);
        Some(match self {
            // -dx
            Unary::Neg => b.neg(dx),
            // dx where x ≥ 0 (so also at 0, as in JAX), else -dx
            Unary::Abs => {
                let (zero, minus) = (b.lit(0.0, x), b.lit(-1.0, dx));
                let from_zero_up = b.binary(Binary::Ge, x, zero);
                let slope = b.select(from_zero_up, one, minus);
                b.mul(dx, slope)
            }
            // dx / 2y
            Unary::Sqrt => {
                let half = b.lit(0.5, dx);
                let slope = b.div(half, y);
                b.mul(dx, slope)
            }
            // -y/2x·dx
            Unary::Rsqrt => {
                let ratio = b.div(y, x);
                let half = b.lit(-0.5, dx);
                let slope = b.mul(half, ratio);
                b.mul(dx, slope)
            }
            // y·dx
            Unary::Exp => b.mul(dx, y),
            // (y + 1)·dx
            Unary::Expm1 => {
                let slope = b.add(y, one);
                b.mul(dx, slope)
            }
            // dx / x
            Unary::Log => b.div(dx, x),
            // dx / (1 + x)
            Unary::Log1p => {
                let slope = b.add(one, x);
                b.div(dx, slope)
            }
            // cos(x)·dx
            Unary::Sin => {
                let slope = b.unary(Unary::Cos, x);
                b.mul(dx, slope)
            }
            // -sin(x)·dx
            Unary::Cos => {
                let sin = b.unary(Unary::Sin, x);
                let slope = b.neg(sin);
                b.mul(dx, slope)
            }
            // (1 + y²)·dx
            Unary::Tan => {
                let square = b.mul(y, y);
                let slope = b.add(one, square);
                b.mul(dx, slope)
            }
            // dx / √(1 - x²)
            Unary::Asin => {
                let square = b.mul(x, x);
                let under = b.sub(one, square);
                let slope = b.unary(Unary::Rsqrt, under);
                b.mul(dx, slope)
            }
            // -dx / √(1 - x²)
            Unary::Acos => {
                let square = b.mul(x, x);
                let under = b.sub(one, square);
                let root = b.unary(Unary::Rsqrt, under);
                let slope = b.neg(root);
                b.mul(dx, slope)
            }
            // dx / (1 + x²)
            Unary::Atan => {
                let square = b.mul(x, x);
                let under = b.add(one, square);
                b.div(dx, under)
            }
            // cosh(x)·dx
            Unary::Sinh => {
                let slope = b.unary(Unary::Cosh, x);
                b.mul(dx, slope)
            }
            // sinh(x)·dx
            Unary::Cosh => {
                let slope = b.unary(Unary::Sinh, x);
                b.mul(dx, slope)
            }
            // (1 - y²)·dx
            Unary::Tanh => {
                let square = b.mul(y, y);
                let slope = b.sub(one, square);
                b.mul(dx, slope)
            }
            // y·(1 - y)·dx
            Unary::Logistic => {
                let rest = b.sub(one, y);
                let slope = b.mul(y, rest);
                b.mul(dx, slope)
            }
            // (1 - |y|)²·dx
            Unary::Softsign => {
                let size = b.unary(Unary::Abs, y);
                let rest = b.sub(one, size);
                let slope = b.mul(rest, rest);
                b.mul(dx, slope)
            }
            // 2/√π·e^(-x²)·dx
            Unary::Erf => {
                let square = b.mul(x, x);
                let minus = b.neg(square);
                let bell = b.unary(Unary::Exp, minus);
                let scale = b.lit(std::f64::consts::FRAC_2_SQRT_PI, dx);
                let slope = b.mul(scale, bell);
                b.mul(dx, slope)
            }
            // √π/2·e^(y²)·dx
            Unary::ErfInv => {
                let square = b.mul(y, y);
                let bell = b.unary(Unary::Exp, square);
                let scale = b.lit(1.0 / std::f64::consts::FRAC_2_SQRT_PI, dx);
                let slope = b.mul(scale, bell);
                b.mul(dx, slope)
            }
            Unary::IntegerPow(0) => return None,
            // n·xⁿ⁻¹·dx
            Unary::IntegerPow(n) => {
                let power = match n {
                    1 => one,
                    2 => x,
                    // xⁿ/x
                    i32::MIN => b.div(y, x),
                    _ => b.unary(Unary::IntegerPow(n - 1), x),
                };
                let factor = b.lit(f64::from(n), dx);
                let slope = b.mul(factor, power);
                b.mul(dx, slope)
            }
            Unary::Sign
            | Unary::Floor
            | Unary::Ceil
            | Unary::Trunc
            | Unary::Round
            | Unary::Not
            | Unary::IsFinite
            | Unary::StopGradient => return None,
        })
    }
}

fn eval_float<T: Real + FloatFunctions>(op: Unary, x: &Buffer) -> Option<Buffer> {
    Some(match op {
        Unary::Floor => map1(x, T::floor),
        Unary::Ceil => map1(x, T::ceil),
        Unary::Trunc => map1(x, T::trunc),
        Unary::Round => map1(x, T::round_even),
        Unary::Sqrt => map1(x, T::sqrt),
        Unary::Rsqrt => map1(x, |x: T| T::ONE.div(x.sqrt())),
        Unary::Exp => map_slice(x, |x| T::map(Function::Exp, x)),
        Unary::Expm1 => map_slice(x, |x| T::map(Function::Expm1, x)),
        Unary::Log => map_slice(x, |x| T::map(Function::Log, x)),
        Unary::Log1p => map_slice(x, |x| T::map(Function::Log1p, x)),
        Unary::Sin => map_slice(x, |x| T::map(Function::Sin, x)),
        Unary::Cos => map_slice(x, |x| T::map(Function::Cos, x)),
        Unary::Tan => map1(x, T::tan),
        Unary::Asin => map1(x, T::asin),
        Unary::Acos => map1(x, T::acos),
        Unary::Atan => map1(x, T::atan),
        Unary::Sinh => map1(x, T::sinh),
        Unary::Cosh => map1(x, T::cosh),
        Unary::Tanh => map_slice(x, |x| T::map(Function::Tanh, x)),
        Unary::Logistic => map_slice(x, |x| T::map(Function::Sigmoid, x)),
        Unary::Softsign => map1(x, |x: T| x.div(T::ONE.add(x.abs()))),
        Unary::Erf => map_slice(x, |x| T::map(Function::Erf, x)),
        Unary::ErfInv => map_slice(x, T::erf_inv),
        Unary::IsFinite => map1(x, T::is_finite),
        Unary::Neg
        | Unary::Abs
        | Unary::Sign
        | Unary::IntegerPow(_)
        | Unary::Not
        | Unary::StopGradient => return None,
    })
}

fn eval_number<T: Number>(op: Unary, x: &Buffer) -> Option<Buffer> {
    Some(match op {
        Unary::Neg => map1(x, T::neg),
        Unary::Abs => map1(x, T::abs),
        Unary::Sign => map1(x, T::sign),
        Unary::IntegerPow(n) => map1(x, |x: T| x.powi(n)),
        _ => return None,
    })
}

fn unary_not(x: &Buffer) -> Buffer {
    match x.dtype() {
        DType::Bool => map1(x, |x: bool| !x),
        DType::I32 => map1(x, |x: i32| !x),
        DType::U32 => map1(x, |x: u32| !x),
        DType::F32 | DType::F64 => unreachable!("internal: infer let a float through"),
    }
}

impl Rules for Unary {
    fn name(&self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Sign => "sign",
            Unary::Floor => "floor",
            Unary::Ceil => "ceil",
            Unary::Trunc => "trunc",
            Unary::Round => "round",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Exp => "exp",
            Unary::Expm1 => "expm1",
            Unary::Log => "log",
            Unary::Log1p => "log1p",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tan => "tan",
            Unary::Asin => "asin",
            Unary::Acos => "acos",
            Unary::Atan => "atan",
            Unary::Sinh => "sinh",
            Unary::Cosh => "cosh",
            Unary::Tanh => "tanh",
            Unary::Logistic => "logistic",
            Unary::Softsign => "softsign",
            Unary::Erf => "erf",
            Unary::ErfInv => "erf_inv",
            Unary::IntegerPow(_) => "integer_pow",
            Unary::Not => "not",
            Unary::IsFinite => "is_finite",
            Unary::StopGradient => "stop_gradient",
        }
    }

    fn params(&self) -> Params {
        match self {
            Unary::IntegerPow(n) => Params::new().with("n", i64::from(*n)),
            _ => Params::new(),
        }
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        match Unary::ALL.into_iter().find(|op| op.name() == name)? {
            Unary::IntegerPow(_) => Some(Unary::IntegerPow(i32::try_from(params.int("n")?).ok()?)),
            op => Some(op),
        }
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        self.takes().check(x.dtype)?;
        Ok(vec![match self {
            Unary::IsFinite => Aval::new(DType::Bool, x.shape.clone()),
            _ => x.clone(),
        }])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let x = &inputs[0];
        let y = match self {
            Unary::Not => Some(unary_not(x)),
            Unary::StopGradient => Some(x.clone()),
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::IntegerPow(_) => {
                dispatch!(number x.dtype(), T => eval_number::<T>(*self, x))
            }
            _ => dispatch!(float x.dtype(), T => eval_float::<T>(*self, x)),
        };
        vec![y.expect("internal: every unary primitive has a table")]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let x = primals[0];
        let y = b.unary(*self, x);
        let dy = tangents[0].value().and_then(|dx| self.derivative(b, x, y, dx));
        (vec![y], vec![dy.map_or(Tangent::Zero, Tangent::Value)])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        match (self, cts[0]) {
            (Unary::Neg, Cotangent::Value(ct)) => Ok(vec![Cotangent::Value(b.neg(ct))]),
            _ => panic!("internal: {} is not linear", self.name()),
        }
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for op in Unary::ALL {
            for dtype in DType::ALL.into_iter().filter(|&dtype| op.takes().includes(dtype)) {
                examples.push((op, vec![Aval::new(dtype, [2, 3])]));
            }
            let dtype = if op == Unary::Not { DType::Bool } else { DType::F64 };
            examples.push((op, vec![Aval::scalar(dtype)]));
            examples.push((op, vec![Aval::new(dtype, [0, 3])]));
        }
        for n in [-2, -1, 0, 1, 2, 5] {
            examples.push((Unary::IntegerPow(n), vec![Aval::new(DType::F64, [4])]));
        }
        examples
    }
}

impl Binary {
    const ALL: [Binary; 21] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Rem,
        Binary::Max,
        Binary::Min,
        Binary::Pow,
        Binary::Atan2,
        Binary::And,
        Binary::Or,
        Binary::Xor,
        Binary::ShiftLeft,
        Binary::ShiftRightLogical,
        Binary::ShiftRightArithmetic,
        Binary::Eq,
        Binary::Ne,
        Binary::Lt,
        Binary::Le,
        Binary::Gt,
        Binary::Ge,
    ];

    /// Whether the result is a truth value.
    pub fn is_comparison(self) -> bool {
        match self {
            Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => true,
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Max
            | Binary::Min
            | Binary::Pow
            | Binary::Atan2
            | Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::ShiftLeft
            | Binary::ShiftRightLogical
            | Binary::ShiftRightArithmetic => false,
        }
    }

    fn takes(self) -> Takes {
        match self {
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Max
            | Binary::Min => Takes::Numbers,
            Binary::Pow | Binary::Atan2 => Takes::Floats,
            Binary::And | Binary::Or | Binary::Xor => Takes::Bits,
            Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => {
                Takes::Integers
            }
            Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
                Takes::Anything
            }
        }
    }

    /// The parts of the tangent that come from each input, from `x`, `y`, `z = x op y`.
    fn derivatives(
        self,
        b: &mut Builder,
        [x, y, z]: [Atom; 3],
        [dx, dy]: [Tangent; 2],
    ) -> [Tangent; 2] {
        let left = |b: &mut Builder, f: &mut dyn FnMut(&mut Builder, Atom) -> Atom| {
            dx.value().map_or(Tangent::Zero, |dx| Tangent::Value(f(b, dx)))
        };
        let right = |b: &mut Builder, f: &mut dyn FnMut(&mut Builder, Atom) -> Atom| {
            dy.value().map_or(Tangent::Zero, |dy| Tangent::Value(f(b, dy)))
        };
        match self {
            // dx + dy
            Binary::Add => [dx, dy],
            // dx - dy
            Binary::Sub => [dx, right(b, &mut |b, dy| b.neg(dy))],
            // dx·y + x·dy
            Binary::Mul => {
                [left(b, &mut |b, dx| b.mul(dx, y)), right(b, &mut |b, dy| b.mul(x, dy))]
            }
            // dx/y - z/y·dy
            Binary::Div => [
                left(b, &mut |b, dx| b.div(dx, y)),
                right(b, &mut |b, dy| {
                    let slope = b.div(z, y);
                    let minus = b.neg(slope);
                    b.mul(minus, dy)
                }),
            ],
            // dx - trunc(x/y)·dy
            Binary::Rem => [
                dx,
                right(b, &mut |b, dy| {
                    let ratio = b.div(x, y);
                    let size = b.unary(Unary::Abs, ratio);
                    let whole = b.unary(Unary::Floor, size);
                    let sign = b.unary(Unary::Sign, ratio);
                    let trunc = b.mul(sign, whole);
                    let minus = b.neg(trunc);
                    b.mul(minus, dy)
                }),
            ],
            // The winner's tangent; half of each in a tie.
            Binary::Max | Binary::Min => [
                left(b, &mut |b, dx| {
                    let share = winners_share(b, x, y, z);
                    b.mul(dx, share)
                }),
                right(b, &mut |b, dy| {
                    let share = winners_share(b, y, x, z);
                    b.mul(dy, share)
                }),
            ],
            // y·xʸ⁻¹·dx + log(x)·z·dy, with 0 where y = 0, and log 0 taken as 0
            Binary::Pow => [
                left(b, &mut |b, dx| {
                    let (zero, one) = (b.lit(0.0, x), b.lit(1.0, x));
                    let constant = b.binary(Binary::Eq, y, zero);
                    let less = b.sub(y, one);
                    let safe = b.select(constant, one, less);
                    let power = b.binary(Binary::Pow, x, safe);
                    let slope = b.mul(y, power);
                    let slope = b.select(constant, zero, slope);
                    b.mul(dx, slope)
                }),
                right(b, &mut |b, dy| {
                    let (zero, one) = (b.lit(0.0, x), b.lit(1.0, x));
                    let at_zero = b.binary(Binary::Eq, x, zero);
                    let safe = b.select(at_zero, one, x);
                    let log = b.unary(Unary::Log, safe);
                    let slope = b.mul(log, z);
                    b.mul(slope, dy)
                }),
            ],
            // (y·dx - x·dy) / (x² + y²)
            Binary::Atan2 => {
                let slope = |b: &mut Builder, by: Atom| {
                    let (xx, yy) = (b.mul(x, x), b.mul(y, y));
                    let norm = b.add(xx, yy);
                    b.div(by, norm)
                };
                [
                    left(b, &mut |b, dx| {
                        let slope = slope(b, y);
                        b.mul(dx, slope)
                    }),
                    right(b, &mut |b, dy| {
                        let slope = slope(b, x);
                        let minus = b.neg(slope);
                        b.mul(minus, dy)
                    }),
                ]
            }
            Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::ShiftLeft
            | Binary::ShiftRightLogical
            | Binary::ShiftRightArithmetic
            | Binary::Eq
            | Binary::Ne
            | Binary::Lt
            | Binary::Le
            | Binary::Gt
            | Binary::Ge => [Tangent::Zero, Tangent::Zero],
        }
    }
}

/// How much of the tangent of `max(x, y) = z` is that of `x`: 1, 0, or 1/2 in a tie.
fn winners_share(b: &mut Builder, x: Atom, y: Atom, z: Atom) -> Atom {
    let (zero, half, one) = (b.lit(0.0, z), b.lit(0.5, z), b.lit(1.0, z));
    let wins = b.binary(Binary::Eq, x, z);
    let also = b.binary(Binary::Eq, y, z);
    let share = b.select(also, half, one);
    b.select(wins, share, zero)
}

fn eval_arithmetic<T: Number>(op: Binary, x: &Buffer, y: &Buffer) -> Option<Buffer> {
    Some(match op {
        Binary::Add => map2(x, y, T::add),
        Binary::Sub => map2(x, y, T::sub),
        Binary::Mul => map2(x, y, T::mul),
        Binary::Div => map2(x, y, T::div),
        Binary::Rem => map2(x, y, T::rem),
        Binary::Max => map2(x, y, T::max),
        Binary::Min => map2(x, y, T::min),
        _ => return None,
    })
}

fn eval_bits(op: Binary, x: &Buffer, y: &Buffer) -> Option<Buffer> {
    macro_rules! integers {
        ($t:ty) => {
            match op {
                Binary::And => map2(x, y, |x: $t, y| x & y),
                Binary::Or => map2(x, y, |x: $t, y| x | y),
                Binary::Xor => map2(x, y, |x: $t, y| x ^ y),
                Binary::ShiftLeft => map2(x, y, |x: $t, y| x.checked_shl(y as u32).unwrap_or(0)),
                Binary::ShiftRightLogical => {
                    map2(x, y, |x: $t, y| (x as u32).checked_shr(y as u32).unwrap_or(0) as $t)
                }
                // A shift by more than 31 leaves the sign at every bit.
                Binary::ShiftRightArithmetic => {
                    map2(x, y, |x: $t, y| ((x as i32) >> Ord::min(y as u32, 31)) as $t)
                }
                _ => return None,
            }
        };
    }
    Some(match x.dtype() {
        DType::I32 => integers!(i32),
        DType::U32 => integers!(u32),
        DType::Bool => match op {
            Binary::And => map2(x, y, |x: bool, y| x & y),
            Binary::Or => map2(x, y, |x: bool, y| x | y),
            Binary::Xor => map2(x, y, |x: bool, y| x ^ y),
            _ => return None,
        },
        DType::F32 | DType::F64 => return None,
    })
}

impl Rules for Binary {
    fn name(&self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Rem => "rem",
            Binary::Max => "max",
            Binary::Min => "min",
            Binary::Pow => "pow",
            Binary::Atan2 => "atan2",
            Binary::And => "and",
            Binary::Or => "or",
            Binary::Xor => "xor",
            Binary::ShiftLeft => "shift_left",
            Binary::ShiftRightLogical => "shift_right_logical",
            Binary::ShiftRightArithmetic => "shift_right_arithmetic",
            Binary::Eq => "eq",
            Binary::Ne => "ne",
            Binary::Lt => "lt",
            Binary::Le => "le",
            Binary::Gt => "gt",
            Binary::Ge => "ge",
        }
    }

    fn params(&self) -> Params {
        Params::new()
    }

    fn from_params(name: &str, _params: &Params) -> Option<Self> {
        Binary::ALL.into_iter().find(|op| op.name() == name)
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        arity::<2>(inputs)?;
        let dtype = same_dtype(inputs)?;
        self.takes().check(dtype)?;
        let shape = common_shape(inputs)?;
        Ok(vec![Aval::new(if self.is_comparison() { DType::Bool } else { dtype }, shape)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let (x, y) = (&inputs[0], &inputs[1]);
        let z = match self {
            Binary::Eq => Some(dispatch!(all x.dtype(), T => map2(x, y, |x: T, y| x == y))),
            Binary::Ne => Some(dispatch!(all x.dtype(), T => map2(x, y, |x: T, y| x != y))),
            Binary::Lt => Some(dispatch!(all x.dtype(), T => map2(x, y, |x: T, y| T::lt(&x, &y)))),
            Binary::Le => Some(dispatch!(all x.dtype(), T => map2(x, y, |x: T, y| x <= y))),
            Binary::Gt => Some(dispatch!(all x.dtype(), T => map2(x, y, |x: T, y| T::gt(&x, &y)))),
            Binary::Ge => Some(dispatch!(all x.dtype(), T => map2(x, y, |x: T, y| x >= y))),
            Binary::Pow => {
                Some(dispatch!(float x.dtype(), T => map2(x, y, <T as FloatFunctions>::powf)))
            }
            Binary::Atan2 => {
                Some(dispatch!(float x.dtype(), T => map2(x, y, <T as FloatFunctions>::atan2)))
            }
            Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::ShiftLeft
            | Binary::ShiftRightLogical
            | Binary::ShiftRightArithmetic => eval_bits(*self, x, y),
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Max
            | Binary::Min => dispatch!(number x.dtype(), T => eval_arithmetic::<T>(*self, x, y)),
        };
        vec![z.expect("internal: every binary primitive has a table")]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let (x, y) = (primals[0], primals[1]);
        let z = b.binary(*self, x, y);
        let [left, right] = self.derivatives(b, [x, y, z], [tangents[0], tangents[1]]);
        // A scalar beside an array contributes at every index.
        let shape = b.aval(z).shape;
        let mut spread = |tangent: Tangent| match tangent {
            Tangent::Value(atom) if b.aval(atom).shape != shape => {
                Tangent::Value(b.broadcast(atom, &shape, &[]))
            }
            tangent => tangent,
        };
        let dz = match (left, right) {
            (Tangent::Value(_), Tangent::Value(_)) => b.add_tangents(left, right),
            (one, Tangent::Zero) | (Tangent::Zero, one) => spread(one),
        };
        (vec![z], vec![dz])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let Cotangent::Value(ct) = cts[0] else {
            return Ok(vec![Cotangent::Zero; 2]);
        };
        let (x, y) = (&inputs[0], &inputs[1]);
        let (to_x, to_y) = match self {
            Binary::Add => (x.is_linear().then_some(ct), y.is_linear().then_some(ct)),
            Binary::Sub => {
                let minus = y.is_linear().then(|| b.neg(ct));
                (x.is_linear().then_some(ct), minus)
            }
            Binary::Mul if x.is_linear() => (Some(b.mul(ct, y.known())), None),
            Binary::Mul => (None, Some(b.mul(x.known(), ct))),
            Binary::Div => (Some(b.div(ct, y.known())), None),
            // Its tangent never takes this form: `jvp` passes dx on and scales dy.
            _ => panic!("internal: {} is not linear", self.name()),
        };
        let mut fit = |ct: Option<Atom>, operand: &Operand| match ct {
            None => Cotangent::Zero,
            Some(ct) => {
                let aval = operand.aval(b);
                Cotangent::Value(unrepeat(b, ct, &aval))
            }
        };
        Ok(vec![fit(to_x, x), fit(to_y, y)])
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for op in Binary::ALL {
            for dtype in DType::ALL.into_iter().filter(|&dtype| op.takes().includes(dtype)) {
                let full = Aval::new(dtype, [2, 3]);
                examples.push((op, vec![full.clone(), full.clone()]));
                examples.push((op, vec![full.clone(), Aval::scalar(dtype)]));
                examples.push((op, vec![Aval::scalar(dtype), full]));
                examples.push((op, vec![Aval::new(dtype, [0]), Aval::new(dtype, [0])]));
            }
        }
        examples
    }
}

/// Where the condition holds the second input, elsewhere the third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl Rules for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn params(&self) -> Params {
        Params::new()
    }

    fn from_params(name: &str, _params: &Params) -> Option<Self> {
        (name == "select").then_some(Select)
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [condition, _, _] = arity(inputs)?;
        if condition.dtype != DType::Bool {
            return Err(Misfit::new(format!(
                "the condition must be bool, not {}",
                condition.dtype
            ))
            .help("compare first, for example with `.gt(0.0)`"));
        }
        Ok(vec![Aval::new(same_dtype(&inputs[1..])?, common_shape(inputs)?)])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let [condition, x, y] = inputs else { unreachable!("internal: three inputs") };
        let shape = result_shape(&[condition, x, y]);
        let chosen = dispatch!(all x.dtype(), T => {
            let pick = |lane: &Lane<'_, T>, i: usize| match lane {
                Lane::One(value) => *value,
                Lane::Each(values) => values[i],
            };
            match lane::<bool>(condition) {
                Lane::One(holds) => {
                    let chosen = if holds { x } else { y };
                    match chosen.shape().rank() {
                        0 => chosen.broadcast(&shape, &[]),
                        _ => chosen.clone(),
                    }
                }
                Lane::Each(conditions) => {
                    let (xs, ys) = match shape.count() {
                        0 => (Lane::Each(Cow::Borrowed(&[][..])), Lane::Each(Cow::Borrowed(&[][..]))),
                        _ => (lane::<T>(x), lane::<T>(y)),
                    };
                    let choose = |(i, &holds): (usize, &bool)| pick(if holds { &xs } else { &ys }, i);
                    Buffer::new(shape, conditions.iter().enumerate().map(choose).collect())
                }
            }
        });
        vec![chosen]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let z = b.select(primals[0], primals[1], primals[2]);
        let (dx, dy) = (tangents[1], tangents[2]);
        if dx == Tangent::Zero && dy == Tangent::Zero {
            return (vec![z], vec![Tangent::Zero]);
        }
        let aval = b.aval(z);
        let zero = Atom::Lit(Scalar::of(0.0, aval.dtype));
        let dx = dx.value().unwrap_or(zero);
        let dy = dy.value().unwrap_or(zero);
        let dz = b.select(primals[0], dx, dy);
        let dz =
            if b.aval(dz).shape == aval.shape { dz } else { b.broadcast(dz, &aval.shape, &[]) };
        (vec![z], vec![Tangent::Value(dz)])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let Cotangent::Value(ct) = cts[0] else {
            return Ok(vec![Cotangent::Zero; 3]);
        };
        let condition = inputs[0].known();
        let zero = b.lit(0.0, ct);
        let mut part = |operand: &Operand, x: Atom, y: Atom| {
            if !operand.is_linear() {
                return Cotangent::Zero;
            }
            let part = b.select(condition, x, y);
            let aval = operand.aval(b);
            Cotangent::Value(unrepeat(b, part, &aval))
        };
        Ok(vec![Cotangent::Zero, part(&inputs[1], ct, zero), part(&inputs[2], zero, ct)])
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for dtype in DType::ALL {
            let (condition, full) = (Aval::new(DType::Bool, [2, 3]), Aval::new(dtype, [2, 3]));
            let (one, scalar) = (Aval::scalar(DType::Bool), Aval::scalar(dtype));
            examples.push((Select, vec![condition.clone(), full.clone(), full.clone()]));
            examples.push((Select, vec![condition.clone(), scalar.clone(), full.clone()]));
            examples.push((Select, vec![condition, scalar.clone(), scalar.clone()]));
            examples.push((Select, vec![one, full, scalar]));
        }
        examples
    }
}

/// Changes the element type: floats to integers truncate and saturate, NaN gives 0; anything but
/// zero is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convert {
    /// The element type of the result.
    pub dtype: DType,
}

impl Rules for Convert {
    fn name(&self) -> &'static str {
        "convert"
    }

    fn params(&self) -> Params {
        Params::new().with("to", self.dtype.name())
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "convert").then_some(())?;
        Some(Convert { dtype: DType::from_name(params.word("to")?)? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        Ok(vec![Aval::new(self.dtype, x.shape.clone())])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let x = &inputs[0];
        vec![dispatch!(all x.dtype(), T => {
            dispatch!(all self.dtype, U => map1(x, |x: T| <U as crate::buffer::Element>::from_scalar(
                crate::buffer::Element::scalar(x)
            )))
        })]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        let y = b.bind1(*self, &[primals[0]]);
        let dy = match tangents[0] {
            Tangent::Value(dx) if self.dtype.is_float() => Tangent::Value(b.bind1(*self, &[dx])),
            _ => Tangent::Zero,
        };
        (vec![y], vec![dy])
    }

    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        let dtype = inputs[0].aval(b).dtype;
        Ok(vec![match cts[0] {
            Cotangent::Value(ct) => Cotangent::Value(b.convert(ct, dtype)),
            Cotangent::Zero => Cotangent::Zero,
        }])
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let mut examples = Vec::new();
        for from in DType::ALL {
            for to in DType::ALL {
                examples.push((Convert { dtype: to }, vec![Aval::new(from, [2, 3])]));
            }
        }
        examples
    }
}

/// Reads the bits of 32-bit elements as another 32-bit element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bitcast {
    /// The element type of the result.
    pub dtype: DType,
}

impl Rules for Bitcast {
    fn name(&self) -> &'static str {
        "bitcast"
    }

    fn params(&self) -> Params {
        Params::new().with("to", self.dtype.name())
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "bitcast").then_some(())?;
        Some(Bitcast { dtype: DType::from_name(params.word("to")?)? })
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        let [x] = arity(inputs)?;
        if x.dtype.size() != 4 || self.dtype.size() != 4 {
            return Err(Misfit::new(format!(
                "reads 32-bit elements as 32-bit elements, not {} as {}",
                x.dtype, self.dtype
            )));
        }
        Ok(vec![Aval::new(self.dtype, x.shape.clone())])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let x = &inputs[0];
        let bits = match x.dtype() {
            DType::F32 => map1(x, f32::to_bits),
            DType::I32 => map1(x, |x: i32| x as u32),
            _ => x.clone(),
        };
        vec![match self.dtype {
            DType::F32 => map1(&bits, f32::from_bits),
            DType::I32 => map1(&bits, |x: u32| x as i32),
            _ => bits,
        }]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        _tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        (vec![b.bind1(*self, &[primals[0]])], vec![Tangent::Zero])
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        panic!("internal: bitcast is not linear")
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let wide = [DType::F32, DType::I32, DType::U32];
        wide.into_iter()
            .flat_map(|from| wide.map(|to| (Bitcast { dtype: to }, vec![Aval::new(from, [3])])))
            .collect()
    }
}
