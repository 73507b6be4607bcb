//! `+ - * / % & | ^ << >>` between arrays and with Rust numbers, with NumPy's broadcasting.

use std::ops;
use std::panic::Location;

use super::{Array, bind1};
use crate::buffer::{Buffer, DType, Scalar, Shape};
use crate::error::{Error, Result};
use crate::ir::Aval;
use crate::prim::{Binary, Broadcast, Unary};

/// What functions take where an array is asked for: an array, a reference to one, or a Rust
/// number (`f64`, `i32`, `bool`), which adapts to the element type of the array beside it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not stand for an array",
    label = "not an operand",
    note = "operands are `Array`, `&Array`, and the numbers `f64`, `i32` and `bool`, which adapt to \
            the array beside them: write `1.0`, not `1.0_f32`"
)]
pub trait Operand {
    /// The argument as it was given.
    fn argument(self) -> Argument;
}

/// An operand as it was given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Argument {
    /// An array.
    Array(Array),
    /// A Rust number with a fraction.
    Float(f64),
    /// A whole Rust number.
    Integer(i32),
    /// A Rust truth value.
    Truth(bool),
}

impl Operand for Array {
    fn argument(self) -> Argument {
        Argument::Array(self)
    }
}

impl Operand for &Array {
    fn argument(self) -> Argument {
        Argument::Array(self.clone())
    }
}

impl Operand for f64 {
    fn argument(self) -> Argument {
        Argument::Float(self)
    }
}

impl Operand for i32 {
    fn argument(self) -> Argument {
        Argument::Integer(self)
    }
}

impl Operand for bool {
    fn argument(self) -> Argument {
        Argument::Truth(self)
    }
}

impl Operand for Argument {
    fn argument(self) -> Argument {
        self
    }
}

impl Argument {
    /// The array; a number becomes f32, i32 or bool.
    pub fn into_array(self) -> Array {
        match self {
            Argument::Array(array) => array,
            Argument::Float(value) => Array::from(value as f32),
            Argument::Integer(value) => Array::from(value),
            Argument::Truth(value) => Array::from(value),
        }
    }

    /// The array; a number adapts to `dtype`.
    pub(crate) fn adapt(self, dtype: DType, op: &str, beside: &Aval) -> Result<Array> {
        let unfit =
            |text: String, help: &str| Err(Error::literal(op, &text, &beside.to_string(), help));
        let signed = "convert the array first, for example with `.to(DType::I32)`";
        let scalar = match (self, dtype) {
            (Argument::Array(array), _) => return Ok(array),
            (Argument::Float(x), DType::F32 | DType::F64) => Scalar::of(x, dtype),
            (Argument::Float(x), _) => {
                let help = "convert the array first, for example with `.to(DType::F32)`";
                return unfit(format!("{x:?}"), help);
            }
            (Argument::Integer(x), DType::Bool) => return unfit(x.to_string(), signed),
            (Argument::Integer(x), DType::U32) if x < 0 => return unfit(x.to_string(), signed),
            (Argument::Integer(x), _) => Scalar::I32(x).convert(dtype),
            (Argument::Truth(x), DType::Bool) => Scalar::Bool(x),
            (Argument::Truth(x), _) => {
                return unfit(x.to_string(), "compare the array first, for example with `.ne(0)`");
            }
        };
        Ok(Array::from_buffer(Buffer::scalar(scalar)))
    }
}

/// Both operands as arrays of one element type.
pub(crate) fn unify(op: &str, x: impl Operand, y: impl Operand) -> Result<(Array, Array)> {
    let (x, y) = match (x.argument(), y.argument()) {
        (Argument::Array(x), y) => {
            let aval = x.aval()?;
            let y = y.adapt(aval.dtype, op, &aval)?;
            (x, y)
        }
        (x, Argument::Array(y)) => {
            let aval = y.aval()?;
            let x = x.adapt(aval.dtype, op, &aval)?;
            (x, y)
        }
        (x, y) => {
            let x = x.into_array();
            let aval = x.aval()?;
            let y = y.adapt(aval.dtype, op, &aval)?;
            (x, y)
        }
    };
    let (a, b) = (x.aval()?, y.aval()?);
    if a.dtype != b.dtype {
        return Err(Error::dtypes_differ(op, &a.to_string(), &b.to_string(), &a.dtype.variant()));
    }
    Ok((x, y))
}

/// Arrays broadcast to their common shape; scalars stay scalars.
pub(crate) fn broadcast_together(
    op: &str,
    arrays: &[&Array],
    at: &'static Location<'static>,
) -> Result<Vec<Array>> {
    let avals: Result<Vec<Aval>> = arrays.iter().map(|array| array.aval()).collect();
    let avals = avals?;
    let mut shape = Shape::scalar();
    let mut widest = 0;
    for (i, aval) in avals.iter().enumerate() {
        shape = shape
            .broadcast(&aval.shape)
            .ok_or_else(|| Error::broadcast(op, &avals[widest].to_string(), &aval.to_string()))?;
        if aval.rank() >= avals[widest].rank() {
            widest = i;
        }
    }
    Ok(arrays.iter().map(|array| spread(array, &shape, at)).collect())
}

/// An array broadcast to a shape that it fits; a scalar stays one.
fn spread(array: &Array, shape: &Shape, at: &'static Location<'static>) -> Array {
    let rank = array.rank();
    if rank == 0 || *array.shape() == **shape {
        return array.clone();
    }
    let axes = (shape.rank() - rank..shape.rank()).collect();
    bind1(Broadcast { shape: shape.clone(), axes }, std::slice::from_ref(array), at)
}

/// A binary primitive with broadcasting.
pub(crate) fn binary(
    prim: Binary,
    op: &str,
    x: impl Operand,
    y: impl Operand,
    at: &'static Location<'static>,
) -> Array {
    let arrays = unify(op, x, y).and_then(|(x, y)| broadcast_together(op, &[&x, &y], at));
    match arrays {
        // As in Rust, `>>` fills unsigned integers with zeros and signed ones with the sign.
        Ok(arrays) if prim == Binary::ShiftRightArithmetic && arrays[0].dtype() == DType::U32 => {
            bind1(Binary::ShiftRightLogical, &arrays, at)
        }
        Ok(arrays) => bind1(prim, &arrays, at),
        Err(error) => Array::mistake(error.at(at)),
    }
}

/// A unary primitive.
pub(crate) fn unary(prim: Unary, x: impl Operand, at: &'static Location<'static>) -> Array {
    bind1(prim, &[x.argument().into_array()], at)
}

macro_rules! operator {
    ($($trait:ident, $method:ident, $prim:ident, $symbol:literal;)*) => {$(
        operator!(@impl [] $trait, $method, $prim, $symbol, Array, Array);
        operator!(@impl ['a] $trait, $method, $prim, $symbol, Array, &'a Array);
        operator!(@impl ['a] $trait, $method, $prim, $symbol, &'a Array, Array);
        operator!(@impl ['a, 'b] $trait, $method, $prim, $symbol, &'a Array, &'b Array);
        operator!(@numbers $trait, $method, $prim, $symbol, f64 i32 bool);
    )*};
    (@numbers $trait:ident, $method:ident, $prim:ident, $symbol:literal, $($t:ty)*) => {$(
        operator!(@impl [] $trait, $method, $prim, $symbol, Array, $t);
        operator!(@impl ['a] $trait, $method, $prim, $symbol, &'a Array, $t);
        operator!(@impl [] $trait, $method, $prim, $symbol, $t, Array);
        operator!(@impl ['a] $trait, $method, $prim, $symbol, $t, &'a Array);
    )*};
    (@impl [$($l:lifetime),*] $trait:ident, $method:ident, $prim:ident, $symbol:literal,
        $left:ty, $right:ty) => {
        impl<$($l),*> ops::$trait<$right> for $left {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: $right) -> Array {
                binary(Binary::$prim, $symbol, self, other, Location::caller())
            }
        }
    };
}

operator! {
    Add, add, Add, "+";
    Sub, sub, Sub, "-";
    Mul, mul, Mul, "*";
    Div, div, Div, "/";
    Rem, rem, Rem, "%";
    BitAnd, bitand, And, "&";
    BitOr, bitor, Or, "|";
    BitXor, bitxor, Xor, "^";
    Shl, shl, ShiftLeft, "<<";
    Shr, shr, ShiftRightArithmetic, ">>";
}

macro_rules! unary_operator {
    ($($trait:ident, $method:ident, $prim:ident;)*) => {$(
        impl ops::$trait for Array {
            type Output = Array;
            #[track_caller]
            fn $method(self) -> Array {
                unary(Unary::$prim, self, Location::caller())
            }
        }

        impl ops::$trait for &Array {
            type Output = Array;
            #[track_caller]
            fn $method(self) -> Array {
                unary(Unary::$prim, self, Location::caller())
            }
        }
    )*};
}

unary_operator! {
    Neg, neg, Neg;
    Not, not, Not;
}

macro_rules! assign_operator {
    ($($trait:ident, $method:ident, $prim:ident, $symbol:literal;)*) => {$(
        impl<T: Operand> ops::$trait<T> for Array {
            #[track_caller]
            fn $method(&mut self, other: T) {
                *self = binary(Binary::$prim, $symbol, &*self, other, Location::caller());
            }
        }
    )*};
}

assign_operator! {
    AddAssign, add_assign, Add, "+=";
    SubAssign, sub_assign, Sub, "-=";
    MulAssign, mul_assign, Mul, "*=";
    DivAssign, div_assign, Div, "/=";
}
