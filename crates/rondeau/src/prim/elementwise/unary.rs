//! Functions of one value.

use rondeau_machine::math::Function;

use super::*;
use crate::buffer::{Number, Real, dispatch};
use crate::prim::functions::FloatFunctions;

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
