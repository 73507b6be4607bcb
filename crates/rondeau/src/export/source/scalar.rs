//! Elementwise primitives as expressions. Every result can stand in any expression.

use super::{Lang, bare, math};
use crate::buffer::{DType, Scalar};
use crate::prim::{Binary, Prim, Unary};

/// The name of an element type.
pub(super) fn type_name(lang: Lang, dtype: DType) -> &'static str {
    match (lang, dtype) {
        (Lang::Rust, _) => dtype.name(),
        (Lang::C, DType::F32) => "float",
        (Lang::C, DType::F64) => "double",
        (Lang::C, DType::I32) => "int32_t",
        (Lang::C, DType::U32) => "uint32_t",
        (Lang::C, DType::Bool) => "bool",
    }
}

/// One number, with its type.
pub(super) fn literal(lang: Lang, value: Scalar) -> String {
    let typed = |text: String, suffix: &str| match lang {
        Lang::Rust if text.contains("::") => text,
        Lang::Rust if text.starts_with('-') => format!("({text}_{suffix})"),
        Lang::Rust => format!("{text}_{suffix}"),
        Lang::C if text.starts_with('-') => format!("({text})"),
        Lang::C => text,
    };
    match value {
        Scalar::F32(x) => typed(math::number(lang, x.into(), true), "f32"),
        Scalar::F64(x) => typed(math::number(lang, x, false), "f64"),
        Scalar::I32(i32::MIN) if lang == Lang::C => "INT32_MIN".to_owned(),
        Scalar::I32(x) => typed(x.to_string(), "i32"),
        Scalar::U32(x) if lang == Lang::C => format!("{x}u"),
        Scalar::U32(x) => format!("{x}_u32"),
        Scalar::Bool(x) => x.to_string(),
    }
}

/// A call of a function: of C's library where it has the function, else of one in the file.
fn call(lang: Lang, name: &str, dtype: DType, args: &[&str]) -> String {
    let libm = match name {
        "abs" => Some("fabs"),
        "round" => Some("rint"),
        "floor" | "ceil" | "trunc" | "sqrt" | "exp" | "expm1" | "log" | "log1p" | "sin" | "cos"
        | "tan" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh" | "erf" | "pow" | "atan2" => {
            Some(name)
        }
        _ => None,
    };
    let args: Vec<&str> = args.iter().map(|arg| bare(arg)).collect();
    let args = args.join(", ");
    match libm.filter(|_| lang == Lang::C) {
        Some(name) if dtype == DType::F32 => format!("{name}f({args})"),
        Some(name) => format!("{name}({args})"),
        None => format!("{name}_{}({args})", dtype.name()),
    }
}

fn unary(lang: Lang, op: Unary, dtype: DType, x: &str) -> String {
    let f = |name: &str| call(lang, name, dtype, &[x]);
    let integer = dtype.is_integer();
    match op {
        Unary::Neg if integer && lang == Lang::Rust => format!("{x}.wrapping_neg()"),
        Unary::Neg if integer => format!("({})(0u - (uint32_t){x})", type_name(lang, dtype)),
        Unary::Neg => format!("(-{x})"),
        Unary::Abs if dtype == DType::U32 => x.to_owned(),
        Unary::Abs if integer && lang == Lang::Rust => format!("{x}.wrapping_abs()"),
        Unary::Abs if integer => format!("({x} < 0 ? (int32_t)(0u - (uint32_t){x}) : {x})"),
        Unary::Abs => f("abs"),
        Unary::Sign => f("sign"),
        Unary::Floor => f("floor"),
        Unary::Ceil => f("ceil"),
        Unary::Trunc => f("trunc"),
        Unary::Round => f("round"),
        Unary::Sqrt => f("sqrt"),
        Unary::Rsqrt => format!("({} / {})", literal(lang, Scalar::of(1.0, dtype)), f("sqrt")),
        Unary::Exp => f("exp"),
        Unary::Expm1 => f("expm1"),
        Unary::Log => f("log"),
        Unary::Log1p => f("log1p"),
        Unary::Sin => f("sin"),
        Unary::Cos => f("cos"),
        Unary::Tan => f("tan"),
        Unary::Asin => f("asin"),
        Unary::Acos => f("acos"),
        Unary::Atan => f("atan"),
        Unary::Sinh => f("sinh"),
        Unary::Cosh => f("cosh"),
        Unary::Tanh => f("tanh"),
        Unary::Logistic => f("sigmoid"),
        Unary::Softsign => {
            format!("({x} / ({} + {}))", literal(lang, Scalar::of(1.0, dtype)), f("abs"))
        }
        Unary::Erf => f("erf"),
        Unary::ErfInv => f("erf_inv"),
        Unary::IntegerPow(n) => format!("powi_{}({}, {n})", dtype.name(), bare(x)),
        Unary::Not if dtype == DType::Bool || lang == Lang::Rust => format!("(!{x})"),
        Unary::Not => format!("(~{x})"),
        Unary::IsFinite if lang == Lang::Rust => format!("{x}.is_finite()"),
        Unary::IsFinite => format!("(bool)isfinite({x})"),
        Unary::StopGradient => x.to_owned(),
    }
}

fn binary(lang: Lang, op: Binary, dtype: DType, x: &str, y: &str) -> String {
    let infix = |op: &str| format!("({x} {op} {y})");
    let signed = dtype == DType::I32;
    // Integers wrap.
    let arithmetic = |op: &str, method: &str| match lang {
        Lang::Rust if dtype.is_integer() => format!("{x}.{method}({})", bare(y)),
        Lang::C if signed => format!("(int32_t)((uint32_t){x} {op} (uint32_t){y})"),
        Lang::Rust | Lang::C => infix(op),
    };
    let f = |name: &str| call(lang, name, dtype, &[x, y]);
    let name = type_name(lang, dtype);
    match op {
        Binary::Add => arithmetic("+", "wrapping_add"),
        Binary::Sub => arithmetic("-", "wrapping_sub"),
        Binary::Mul => arithmetic("*", "wrapping_mul"),
        Binary::Div if dtype.is_integer() => f("div"),
        Binary::Div => infix("/"),
        Binary::Rem if dtype.is_integer() => f("rem"),
        Binary::Rem if lang == Lang::Rust => infix("%"),
        Binary::Rem if dtype == DType::F32 => format!("fmodf({x}, {y})"),
        Binary::Rem => format!("fmod({x}, {y})"),
        Binary::Max => f("max"),
        Binary::Min => f("min"),
        Binary::Pow => f("pow"),
        Binary::Atan2 => f("atan2"),
        Binary::And if lang == Lang::C && dtype == DType::Bool => infix("&&"),
        Binary::And => infix("&"),
        Binary::Or if lang == Lang::C && dtype == DType::Bool => infix("||"),
        Binary::Or => infix("|"),
        Binary::Xor if lang == Lang::C && dtype == DType::Bool => infix("!="),
        Binary::Xor => infix("^"),
        Binary::ShiftLeft => match lang {
            Lang::Rust => format!("{x}.checked_shl({y} as u32).unwrap_or(0)"),
            Lang::C => {
                format!("({name})((uint32_t){y} < 32 ? (uint32_t){x} << (uint32_t){y} : 0u)")
            }
        },
        Binary::ShiftRightLogical => match lang {
            Lang::Rust => {
                format!("(({x} as u32).checked_shr({y} as u32).unwrap_or(0) as {name})")
            }
            Lang::C => {
                format!("({name})((uint32_t){y} < 32 ? (uint32_t){x} >> (uint32_t){y} : 0u)")
            }
        },
        Binary::ShiftRightArithmetic => match lang {
            Lang::Rust => format!(
                "((({x} as i32) >> (if {y} as u32 > 31 {{ 31 }} else {{ {y} as u32 }})) as {name})"
            ),
            Lang::C => {
                format!("({name})((int32_t){x} >> ((uint32_t){y} > 31 ? 31 : (uint32_t){y}))")
            }
        },
        Binary::Eq => infix("=="),
        Binary::Ne => infix("!="),
        // Truth values are ordered, false first.
        Binary::Lt => infix("<"),
        Binary::Le => infix("<="),
        Binary::Gt => infix(">"),
        Binary::Ge => infix(">="),
    }
}

fn convert(lang: Lang, from: DType, to: DType, x: &str) -> String {
    let name = type_name(lang, to);
    match (lang, from, to) {
        _ if from == to => x.to_owned(),
        (Lang::Rust, DType::Bool, DType::F32 | DType::F64) => format!("({x} as u8 as {name})"),
        (Lang::Rust, _, DType::Bool) if from.is_float() => format!("({x} != 0.0)"),
        (_, _, DType::Bool) => format!("({x} != 0)"),
        (Lang::C, DType::F32 | DType::F64, DType::I32) => format!("to_i32({x})"),
        (Lang::C, DType::F32 | DType::F64, DType::U32) => format!("to_u32({x})"),
        (Lang::Rust, ..) => format!("({x} as {name})"),
        (Lang::C, ..) => format!("(({name}){x})"),
    }
}

fn bitcast(lang: Lang, from: DType, to: DType, x: &str) -> String {
    match (lang, from, to) {
        _ if from == to => x.to_owned(),
        (Lang::Rust, DType::F32, DType::U32) => format!("{x}.to_bits()"),
        (Lang::Rust, DType::F32, _) => format!("({x}.to_bits() as i32)"),
        (Lang::Rust, _, DType::F32) => format!("f32::from_bits({x} as u32)"),
        (Lang::C, DType::F32, _) => format!("(({})bits_f32({x}))", type_name(lang, to)),
        (Lang::C, _, DType::F32) => format!("from_bits_f32((uint32_t){x})"),
        (Lang::Rust | Lang::C, ..) => convert(lang, from, to, x),
    }
}

/// The expression of an elementwise primitive with one output; `None` for every other primitive.
/// `dtypes` are those of the inputs.
pub(super) fn expression(
    lang: Lang,
    prim: &Prim,
    dtypes: &[DType],
    x: &[String],
) -> Option<String> {
    Some(match prim {
        Prim::Unary(op) => unary(lang, *op, dtypes[0], &x[0]),
        Prim::Binary(op) => binary(lang, *op, dtypes[0], &x[0], &x[1]),
        Prim::Select(_) => match lang {
            Lang::Rust => {
                let [test, x, y] = [&x[0], &x[1], &x[2]].map(|x| bare(x));
                format!("(if {test} {{ {x} }} else {{ {y} }})")
            }
            Lang::C => format!("({} ? {} : {})", x[0], x[1], x[2]),
        },
        Prim::Convert(to) => convert(lang, dtypes[0], to.dtype, &x[0]),
        Prim::Bitcast(to) => bitcast(lang, dtypes[0], to.dtype, &x[0]),
        Prim::Broadcast(_)
        | Prim::Reshape(_)
        | Prim::Transpose(_)
        | Prim::Slice(_)
        | Prim::Pad(_)
        | Prim::Concat(_)
        | Prim::Reverse(_)
        | Prim::Iota(_)
        | Prim::Reduce(_)
        | Prim::ArgReduce(_)
        | Prim::Cumulative(_)
        | Prim::Sort(_)
        | Prim::DotGeneral(_)
        | Prim::DynamicSlice(_)
        | Prim::DynamicUpdate(_)
        | Prim::Gather(_)
        | Prim::Scatter(_)
        | Prim::Threefry(_)
        | Prim::Tap(_)
        | Prim::Scan(_)
        | Prim::While(_)
        | Prim::Cond(_)
        | Prim::Call(_)
        | Prim::CustomLinear(_) => return None,
    })
}
