//! Functions of two values, and comparisons.

use super::*;
use crate::buffer::{Number, dispatch};
use crate::prim::functions::FloatFunctions;

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
