//! Arithmetic: elementwise equations as the DAG of a kernel.

use std::collections::HashMap;

use rondeau_machine::code::{Binary as MBinary, Node, Unary as MUnary, Val, View};

use super::place::Value;
use crate::buffer::{DType, Scalar};
use crate::compile::machine_dtype;
use crate::ir::{Atom, Eqn, Program, Var};
use crate::prim::{Binary, Prim, Unary};

/// The DAG of one kernel under construction.
#[derive(Debug, Default)]
pub(super) struct Expr {
    pub(super) loads: Vec<View>,
    pub(super) nodes: Vec<Node>,
    /// What each variable of the program is in this kernel.
    known: HashMap<Var, Val>,
}

impl Expr {
    pub(super) fn push(&mut self, node: Node) -> Val {
        self.nodes.push(node);
        Val(self.nodes.len() as u32 - 1)
    }

    /// The same number everywhere.
    pub(super) fn constant(&mut self, value: Scalar) -> Val {
        let node = match value {
            Scalar::F32(x) => Node::f32(x),
            Scalar::F64(x) => Node::f64(x),
            Scalar::I32(x) => Node::i32(x),
            Scalar::U32(x) => Node::u32(x),
            Scalar::Bool(x) => Node::bool(x),
        };
        self.push(node)
    }

    /// The element of a view at each point; the view has a stride for each dimension.
    pub(super) fn load(&mut self, view: View) -> Val {
        let index = match self.loads.iter().position(|load| *load == view) {
            Some(index) => index,
            None => {
                self.loads.push(view);
                self.loads.len() - 1
            }
        };
        self.push(Node::Load(index as u32))
    }

    /// The variable is this value from now on.
    pub(super) fn define(&mut self, var: Var, val: Val) {
        self.known.insert(var, val);
    }

    /// The variable's value, if it is defined in this kernel.
    pub(super) fn defined(&self, var: Var) -> Option<Val> {
        self.known.get(&var).copied()
    }

    /// The value of what an equation reads; `fetch` makes a load's view where it is in memory.
    pub(super) fn read(&mut self, atom: Atom, fetch: impl FnOnce(Var) -> Value) -> Val {
        match atom {
            Atom::Lit(value) => self.constant(value),
            Atom::Var(var) => match self.defined(var) {
                Some(val) => val,
                None => {
                    let val = match fetch(var) {
                        Value::Uniform(value) => self.constant(value),
                        Value::Stored(view) => self.load(view),
                    };
                    self.define(var, val);
                    val
                }
            },
        }
    }

    /// Computes an elementwise equation from the values of its inputs.
    pub(super) fn compute(&mut self, program: &Program, eqn: &Eqn, inputs: &[Val]) {
        let from = eqn.inputs.first().map(|&atom| program.aval(atom).dtype);
        let vals: Vec<Val> = match &eqn.prim {
            Prim::Unary(op) => {
                let dtype = from.expect("internal: unary equations have an input");
                vec![self.unary(*op, dtype, inputs[0])]
            }
            Prim::Binary(op) => {
                let dtype = from.expect("internal: binary equations have inputs");
                vec![self.binary(*op, dtype, inputs[0], inputs[1])]
            }
            Prim::Select(_) => vec![self.push(Node::Select(inputs[0], inputs[1], inputs[2]))],
            Prim::Convert(convert) if from == Some(convert.dtype) => vec![inputs[0]],
            Prim::Convert(convert) => {
                vec![self.push(Node::Convert(inputs[0], machine_dtype(convert.dtype)))]
            }
            Prim::Bitcast(bitcast) if from == Some(bitcast.dtype) => vec![inputs[0]],
            Prim::Bitcast(bitcast) => {
                vec![self.push(Node::Bitcast(inputs[0], machine_dtype(bitcast.dtype)))]
            }
            Prim::Iota(iota) => {
                let dtype = machine_dtype(iota.dtype);
                vec![self.push(Node::Iota { dim: iota.axis as u32, dtype })]
            }
            Prim::Threefry(_) => {
                let [k0, k1, x0, x1] = [inputs[0], inputs[1], inputs[2], inputs[3]];
                let word = |word| Node::Threefry { key: [k0, k1], counter: [x0, x1], word };
                vec![self.push(word(0)), self.push(word(1))]
            }
            prim => panic!("internal: {} is not elementwise", prim.name()),
        };
        for (&var, val) in eqn.outputs.iter().zip(vals) {
            self.define(var, val);
        }
    }

    fn unary(&mut self, op: Unary, dtype: DType, x: Val) -> Val {
        let op = match op {
            Unary::Neg => MUnary::Neg,
            Unary::Abs => MUnary::Abs,
            Unary::Sign => MUnary::Sign,
            Unary::Floor => MUnary::Floor,
            Unary::Ceil => MUnary::Ceil,
            // sign(x)·⌊|x|⌋: the sign of a zero is its own, so -0 stays -0, and NaN stays NaN.
            Unary::Trunc => {
                let sign = self.push(Node::Unary(MUnary::Sign, x));
                let size = self.push(Node::Unary(MUnary::Abs, x));
                let whole = self.push(Node::Unary(MUnary::Floor, size));
                return self.push(Node::Binary(MBinary::Mul, sign, whole));
            }
            Unary::Round => MUnary::Round,
            Unary::Sqrt => MUnary::Sqrt,
            Unary::Rsqrt => MUnary::Rsqrt,
            Unary::Exp => MUnary::Exp,
            Unary::Expm1 => MUnary::Expm1,
            Unary::Log => MUnary::Log,
            Unary::Log1p => MUnary::Log1p,
            Unary::Sin => MUnary::Sin,
            Unary::Cos => MUnary::Cos,
            Unary::Tan => MUnary::Tan,
            Unary::Asin => MUnary::Asin,
            Unary::Acos => MUnary::Acos,
            Unary::Atan => MUnary::Atan,
            Unary::Sinh => MUnary::Sinh,
            Unary::Cosh => MUnary::Cosh,
            Unary::Tanh => MUnary::Tanh,
            Unary::Logistic => MUnary::Sigmoid,
            Unary::Softsign => {
                let one = self.constant(Scalar::of(1.0, dtype));
                let size = self.push(Node::Unary(MUnary::Abs, x));
                let below = self.push(Node::Binary(MBinary::Add, one, size));
                return self.push(Node::Binary(MBinary::Div, x, below));
            }
            Unary::Erf => MUnary::Erf,
            Unary::ErfInv => MUnary::ErfInv,
            Unary::IntegerPow(n) => return self.push(Node::IntegerPow(x, n)),
            Unary::Not => MUnary::Not,
            Unary::IsFinite => MUnary::IsFinite,
            Unary::StopGradient => return x,
        };
        self.push(Node::Unary(op, x))
    }

    fn binary(&mut self, op: Binary, dtype: DType, x: Val, y: Val) -> Val {
        let op = match op {
            Binary::Add => MBinary::Add,
            Binary::Sub => MBinary::Sub,
            Binary::Mul => MBinary::Mul,
            Binary::Div => MBinary::Div,
            Binary::Rem => MBinary::Rem,
            Binary::Max => MBinary::Max,
            Binary::Min => MBinary::Min,
            Binary::Pow => MBinary::Pow,
            Binary::Atan2 => MBinary::Atan2,
            Binary::And => MBinary::And,
            Binary::Or => MBinary::Or,
            Binary::Xor => MBinary::Xor,
            Binary::ShiftLeft => MBinary::Shl,
            Binary::ShiftRightLogical => MBinary::ShrLogical,
            Binary::ShiftRightArithmetic => MBinary::ShrArithmetic,
            Binary::Eq => MBinary::Eq,
            Binary::Ne => MBinary::Ne,
            Binary::Lt => MBinary::Lt,
            Binary::Le => MBinary::Le,
            Binary::Gt => MBinary::Gt,
            Binary::Ge => MBinary::Ge,
        };
        // Truth values are ordered as the numbers 0 and 1.
        let ordered = matches!(op, MBinary::Lt | MBinary::Le | MBinary::Gt | MBinary::Ge);
        let (x, y) = match dtype == DType::Bool && ordered {
            true => {
                let number = machine_dtype(DType::I32);
                (self.push(Node::Convert(x, number)), self.push(Node::Convert(y, number)))
            }
            false => (x, y),
        };
        self.push(Node::Binary(op, x, y))
    }
}
