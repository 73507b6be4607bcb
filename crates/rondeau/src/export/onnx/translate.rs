//! Programs as nodes.

use super::proto::{self, Attr, Dim, Message, value_info};
use crate::buffer::{Buffer, DType, Scalar, Shape};
use crate::error::{Error, Result};
use crate::ir::{Atom, Aval, Builder, Eqn, Program};
use crate::prim::*;

/// Where messages say something has no form.
const TARGET: &str = "ONNX";

/// A graph that is being written. Names are unique in the whole model, since inner graphs see those
/// of the outer ones.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    n_names: usize,
}

/// A value in the graph.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) aval: Aval,
}

impl Graph {
    pub(super) fn name(&mut self, stem: &str) -> String {
        self.n_names += 1;
        format!("{stem}_{}", self.n_names)
    }

    /// A node with one output of this type.
    pub(super) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        attrs: &[(&str, Attr)],
        aval: &Aval,
    ) -> Value {
        let name = self.name(&op.to_lowercase());
        self.push(op, inputs, std::slice::from_ref(&name), attrs);
        Value { name, aval: aval.clone() }
    }

    pub(super) fn push(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[String],
        attrs: &[(&str, Attr)],
    ) {
        let inputs: Vec<String> = inputs.iter().map(|&name| name.to_owned()).collect();
        self.nodes.push(proto::node(op, &inputs, outputs, attrs));
    }

    pub(super) fn constant(&mut self, stem: &str, value: &Buffer) -> Value {
        let name = self.name(stem);
        self.constants.push(proto::tensor(&name, value));
        Value { name, aval: Aval::of(value) }
    }

    /// Says what an input is if it is not given.
    pub(super) fn preset(&mut self, name: &str, value: &Buffer) {
        self.constants.push(proto::tensor(name, value));
    }

    fn number(&mut self, value: Scalar) -> Value {
        self.constant("number", &Buffer::scalar(value))
    }

    fn of(&mut self, x: f64, dtype: DType) -> String {
        self.number(Scalar::of(x, dtype)).name
    }

    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let name = self.name("ints");
        self.constants.push(proto::int64s(&name, &[values.len()], values));
        name
    }

    fn sizes(&mut self, values: &[usize]) -> String {
        self.ints(&values.iter().map(|&n| n as i64).collect::<Vec<_>>())
    }

    fn cast(&mut self, x: &Value, to: DType) -> Value {
        let aval = Aval::new(to, x.aval.shape.clone());
        self.node("Cast", &[&x.name], &[("to", Attr::Int(proto::element(to)))], &aval)
    }

    fn int64(&mut self, x: &str) -> String {
        self.node("Cast", &[x], &[("to", Attr::Int(7))], &Aval::scalar(DType::I32)).name
    }

    pub(super) fn reshape(&mut self, x: &Value, shape: &Shape) -> Value {
        let sizes = self.sizes(shape);
        // Sizes of zero mean zero, not those of the input.
        let zero = ("allowzero", Attr::Int(1));
        self.node("Reshape", &[&x.name, &sizes], &[zero], &x.aval.reshaped(shape.clone()))
    }

    /// The graph with these inputs and outputs; the rest of the model goes on with `self`.
    pub(super) fn finish(
        &mut self,
        name: &str,
        inputs: &[Message],
        outputs: &[Message],
    ) -> Message {
        let (nodes, constants) =
            (std::mem::take(&mut self.nodes), std::mem::take(&mut self.constants));
        proto::graph(name, &nodes, &constants, inputs, outputs)
    }

    /// The graph of a program, whose inputs from `free` on are those of the graph; the others are
    /// given by the graph around it.
    fn inner(&mut self, program: &Program, given: &[Value]) -> Result<Message> {
        let outer = (std::mem::take(&mut self.nodes), std::mem::take(&mut self.constants));
        let mut inputs = Vec::new();
        let mut values = given.to_vec();
        for aval in program.input_avals().iter().skip(given.len()) {
            let name = self.name("in");
            inputs.push(info(&name, aval));
            values.push(Value { name, aval: aval.clone() });
        }
        let results = self.walk(program, &values)?;
        let mut outputs = Vec::new();
        for result in results {
            // An output is no input, and none comes twice.
            let result = self.node("Identity", &[&result.name], &[], &result.aval);
            outputs.push(info(&result.name, &result.aval));
        }
        let name = self.name("body");
        let graph = self.finish(&name, &inputs, &outputs);
        (self.nodes, self.constants) = outer;
        Ok(graph)
    }

    /// Writes a program; its outputs.
    pub(super) fn walk(&mut self, program: &Program, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut env: Vec<Option<Value>> = vec![None; program.n_vars()];
        for (&var, value) in program.inputs().iter().zip(inputs) {
            env[var.index()] = Some(value.clone());
        }
        let read = |g: &mut Graph, env: &[Option<Value>], atom: Atom| match atom {
            Atom::Lit(value) => g.number(value),
            Atom::Var(var) => env[var.index()].clone().expect("internal: it is bound"),
        };
        for eqn in program.eqns() {
            let x: Vec<Value> = eqn.inputs.iter().map(|&atom| read(self, &env, atom)).collect();
            let outs: Vec<Aval> =
                eqn.outputs.iter().map(|&var| program.var_aval(var).clone()).collect();
            let results = self.equation(eqn, &x, &outs)?;
            for (&var, value) in eqn.outputs.iter().zip(results) {
                env[var.index()] = Some(value);
            }
        }
        Ok(program.outputs().iter().map(|&atom| read(self, &env, atom)).collect())
    }

    fn equation(&mut self, eqn: &Eqn, x: &[Value], outs: &[Aval]) -> Result<Vec<Value>> {
        let refuse = || Err(Error::not_exported(TARGET, eqn.prim.name()));
        let one = |value: Value| Ok(vec![value]);
        match &eqn.prim {
            Prim::Unary(op) => self.unary(*op, &x[0], &outs[0]).map_or_else(refuse, one),
            Prim::Binary(op) => self.binary(*op, &x[0], &x[1], &outs[0]).map_or_else(refuse, one),
            Prim::Select(_) => {
                let [c, a, b] = [0, 1, 2].map(|i| x[i].name.as_str());
                one(self.node("Where", &[c, a, b], &[], &outs[0]))
            }
            Prim::Convert(c) if c.dtype.is_integer() && x[0].aval.is_float() => {
                // Saturates; NaN gives 0. In f32 the greatest number is that below the power of two.
                let dtype = x[0].aval.dtype;
                let single = dtype == DType::F32;
                let (low, high) = match c.dtype {
                    DType::U32 => (0.0, if single { 4_294_967_040.0 } else { 4_294_967_295.0 }),
                    _ => {
                        let most = if single { 2_147_483_520.0 } else { 2_147_483_647.0 };
                        (-2_147_483_648.0, most)
                    }
                };
                let [low, high, zero] = [low, high, 0.0].map(|bound| self.of(bound, dtype));
                let aval = &x[0].aval;
                let nan = self.node("IsNaN", &[&x[0].name], &[], &aval.clone());
                let number = self.node("Where", &[&nan.name, &zero, &x[0].name], &[], aval);
                let number = self.node("Max", &[&number.name, &low], &[], aval);
                let number = self.node("Min", &[&number.name, &high], &[], aval);
                one(self.cast(&number, c.dtype))
            }
            Prim::Convert(c) => one(self.cast(&x[0], c.dtype)),
            Prim::Broadcast(b) if b.shape.count() == 0 => one(self.constant(
                "nothing",
                &Buffer::splat(Scalar::of(0.0, outs[0].dtype), b.shape.clone()),
            )),
            Prim::Broadcast(b) => {
                let mut units = vec![1; b.shape.rank()];
                for (from, &to) in b.axes.iter().enumerate() {
                    units[to] = x[0].aval.shape[from];
                }
                let value = self.reshape(&x[0], &units.into());
                let sizes = self.sizes(&b.shape);
                one(self.node("Expand", &[&value.name, &sizes], &[], &outs[0]))
            }
            Prim::Reshape(r) => one(self.reshape(&x[0], &r.shape)),
            Prim::Transpose(t) => {
                let order = t.permutation.iter().map(|&axis| axis as i64).collect();
                one(self.node("Transpose", &[&x[0].name], &[("perm", Attr::Ints(order))], &outs[0]))
            }
            Prim::Slice(s) if s.sizes.is_empty() => one(x[0].clone()),
            Prim::Slice(s) => {
                let ends =
                    (s.starts.iter().zip(&s.sizes).zip(&s.steps)).map(|((start, n), step)| {
                        if *n == 0 { *start } else { start + (n - 1) * step + 1 }
                    });
                let ends: Vec<usize> = ends.collect();
                let axes: Vec<usize> = (0..s.sizes.len()).collect();
                let lists = [&s.starts, &ends, &axes, &s.steps].map(|list| self.sizes(list));
                let [a, b, c, d] = lists.each_ref().map(String::as_str);
                one(self.node("Slice", &[&x[0].name, a, b, c, d], &[], &outs[0]))
            }
            Prim::Reverse(r) if r.axes.is_empty() => one(x[0].clone()),
            Prim::Reverse(r) => {
                let list = |g: &mut Graph, n: i64| g.ints(&vec![n; r.axes.len()]);
                let (starts, ends, steps) =
                    (list(self, -1), list(self, i64::MIN + 1), list(self, -1));
                let axes = self.sizes(&r.axes);
                one(self.node("Slice", &[&x[0].name, &starts, &ends, &axes, &steps], &[], &outs[0]))
            }
            Prim::Pad(p) if p.low.is_empty() => one(x[0].clone()),
            Prim::Pad(p) => {
                if p.interior.iter().any(|&n| n > 0) {
                    return refuse();
                }
                let edges: Vec<i64> = p.low.iter().chain(&p.high).copied().collect();
                let edges = self.ints(&edges);
                one(self.node("Pad", &[&x[0].name, &edges, &x[1].name], &[], &outs[0]))
            }
            Prim::Concat(c) => {
                let names: Vec<&str> = x.iter().map(|x| x.name.as_str()).collect();
                one(self.node("Concat", &names, &[("axis", Attr::Int(c.axis as i64))], &outs[0]))
            }
            Prim::Iota(_) => one(self.constant("iota", &eqn.prim.eval(&[])[0])),
            Prim::Reduce(r) => one(self.reduce(r, &x[0], &outs[0])),
            Prim::ArgReduce(a) => {
                let op = if a.greatest { "ArgMax" } else { "ArgMin" };
                let attrs = [("axis", Attr::Int(a.axis as i64)), ("keepdims", Attr::Int(0))];
                let index = self.node(op, &[&x[0].name], &attrs, &outs[0]);
                one(self.cast(&index, DType::I32))
            }
            Prim::Cumulative(c) if c.fold == Fold::Sum => {
                let axis = self.number(Scalar::I32(c.axis as i32));
                let attrs = [("reverse", Attr::Int(c.reverse.into()))];
                one(self.node("CumSum", &[&x[0].name, &axis.name], &attrs, &outs[0]))
            }
            Prim::Cumulative(_) => refuse(),
            Prim::Sort(s) if x.len() == 1 && outs[0].dtype == DType::Bool => {
                let number = self.cast(&x[0], DType::I32);
                let aval = Aval::new(DType::I32, outs[0].shape.clone());
                let sorted = self.equation(
                    &Eqn { prim: s.clone().into(), ..eqn.clone() },
                    &[number],
                    &[aval],
                )?;
                one(self.cast(&sorted[0], DType::Bool))
            }
            Prim::Sort(s) if x.len() == 1 => {
                let k = self.sizes(&[x[0].aval.shape[s.axis]]);
                let attrs = [("axis", Attr::Int(s.axis as i64)), ("largest", Attr::Int(0))];
                let names = [self.name("sorted"), self.name("order")];
                self.push("TopK", &[&x[0].name, &k], &names, &attrs);
                let [name, _] = names;
                one(Value { name, aval: outs[0].clone() })
            }
            Prim::Sort(_) => refuse(),
            Prim::DotGeneral(d) => self.dot(d, &x[0], &x[1], &outs[0]).map_or_else(refuse, one),
            Prim::DynamicSlice(d) if d.sizes.is_empty() => one(x[0].clone()),
            Prim::DynamicSlice(d) => {
                let starts = self.starts(&x[0].aval.shape, &d.sizes, &x[1..]);
                let sizes = self.sizes(&d.sizes);
                let ends = self.node("Add", &[&starts, &sizes], &[], &outs[0]).name;
                let axes = self.sizes(&(0..d.sizes.len()).collect::<Vec<_>>());
                one(self.node("Slice", &[&x[0].name, &starts, &ends, &axes], &[], &outs[0]))
            }
            Prim::DynamicUpdate(DynamicUpdate) => {
                let sizes = &x[1].aval.shape;
                if sizes.rank() == 0 {
                    return one(x[1].clone());
                }
                let starts = self.starts(&x[0].aval.shape, sizes, &x[2..]);
                // The index of every element of the update, from its own origin.
                let mut grid = Vec::new();
                for k in 0..sizes.count() {
                    let strides = sizes.strides();
                    let at = |axis: usize| (k / strides[axis] as usize % sizes[axis]) as i64;
                    grid.extend((0..sizes.rank()).map(at));
                }
                let name = self.name("grid");
                let dims: Vec<usize> = sizes.iter().copied().chain([sizes.rank()]).collect();
                self.constants.push(proto::int64s(&name, &dims, &grid));
                let places = self.node("Add", &[&name, &starts], &[], &outs[0]).name;
                one(self.node("ScatterND", &[&x[0].name, &places, &x[1].name], &[], &outs[0]))
            }
            Prim::Gather(g) => {
                let n = x[0].aval.shape[g.n_batch];
                if n == 0 {
                    return refuse();
                }
                let rows = self.rows(&x[1], n);
                let attrs = [("batch_dims", Attr::Int(g.n_batch as i64))];
                let value = self.node("GatherND", &[&x[0].name, &rows], &attrs, &outs[0]);
                if g.bounds == Bounds::Clip {
                    return one(value);
                }
                let inside = self.inside(&x[1], n);
                let mut shape = x[1].aval.shape.to_vec();
                shape.resize(outs[0].rank(), 1);
                let inside = self.reshape(&inside, &shape.into());
                let zero = self.of(0.0, outs[0].dtype);
                one(self.node("Where", &[&inside.name, &value.name, &zero], &[], &outs[0]))
            }
            Prim::Scatter(s) => {
                let n = x[0].aval.shape[s.n_batch];
                if s.n_batch > 0 || s.bounds == Bounds::Drop || n == 0 {
                    return refuse();
                }
                let rows = self.rows(&x[1], n);
                let add = ("reduction", Attr::Text("add"));
                let attrs = if s.write == Write::Add { vec![add] } else { vec![] };
                let names = [x[0].name.as_str(), &rows, &x[2].name];
                one(self.node("ScatterND", &names, &attrs, &outs[0]))
            }
            Prim::Tap(_) => Ok(vec![]),
            Prim::Scan(s) => self.scan(s, x, outs),
            Prim::While(s) => self.while_(s, x, outs),
            Prim::Cond(c) => self.cond(&c.branches, 0, x, outs),
            Prim::Call(c) => self.walk(&c.body, x),
            Prim::Bitcast(_) | Prim::Threefry(_) | Prim::CustomLinear(_) => refuse(),
        }
    }

    fn unary(&mut self, op: Unary, x: &Value, out: &Aval) -> Option<Value> {
        let dtype = x.aval.dtype;
        let name = match op {
            Unary::Neg if dtype == DType::U32 => {
                let zero = self.of(0.0, dtype);
                return Some(self.node("Sub", &[&zero, &x.name], &[], out));
            }
            Unary::Neg => "Neg",
            Unary::Abs => "Abs",
            Unary::Sign => "Sign",
            Unary::Floor => "Floor",
            Unary::Ceil => "Ceil",
            Unary::Round => "Round",
            Unary::Sqrt => "Sqrt",
            Unary::Exp => "Exp",
            Unary::Log => "Log",
            Unary::Sin => "Sin",
            Unary::Cos => "Cos",
            Unary::Tan => "Tan",
            Unary::Asin => "Asin",
            Unary::Acos => "Acos",
            Unary::Atan => "Atan",
            Unary::Sinh => "Sinh",
            Unary::Cosh => "Cosh",
            Unary::Tanh => "Tanh",
            Unary::Logistic => "Sigmoid",
            Unary::Softsign => "Softsign",
            Unary::Erf => "Erf",
            Unary::Not if dtype == DType::Bool => "Not",
            Unary::Not => "BitwiseNot",
            Unary::StopGradient => "Identity",
            Unary::ErfInv => return None,
            Unary::IntegerPow(n) if dtype.is_integer() => {
                // The operator has no unsigned powers, and none that wrap.
                let mut left = u32::try_from(n).ok()?;
                let (mut base, mut power) = (x.name.clone(), self.of(1.0, dtype));
                while left > 0 {
                    if left & 1 == 1 {
                        power = self.node("Mul", &[&base, &power], &[], out).name;
                    }
                    left >>= 1;
                    base = self.node("Mul", &[&base, &base], &[], out).name;
                }
                let aval = Aval::scalar(dtype);
                let power = Value { name: power, aval: if n == 0 { aval } else { out.clone() } };
                let sizes = self.sizes(&out.shape);
                return Some(match n {
                    0 => self.node("Expand", &[&power.name, &sizes], &[], out),
                    _ => power,
                });
            }
            Unary::IntegerPow(n) => {
                let power = self.of(n.into(), dtype);
                return Some(self.node("Pow", &[&x.name, &power], &[], out));
            }
            Unary::Trunc => {
                let [size, sign] = ["Abs", "Sign"].map(|op| self.node(op, &[&x.name], &[], out));
                let whole = self.node("Floor", &[&size.name], &[], out);
                return Some(self.node("Mul", &[&sign.name, &whole.name], &[], out));
            }
            Unary::Rsqrt => {
                let root = self.node("Sqrt", &[&x.name], &[], out);
                return Some(self.node("Reciprocal", &[&root.name], &[], out));
            }
            Unary::IsFinite => {
                // inf - inf is NaN, which equals nothing.
                let zero = self.of(0.0, dtype);
                let gap = self.node("Sub", &[&x.name, &x.name], &[], &x.aval);
                return Some(self.node("Equal", &[&gap.name, &zero], &[], out));
            }
            Unary::Expm1 => {
                // Near zero 2t/(1 - t) for t = tanh(x/2), which loses no bits; eˣ - 1 elsewhere.
                let (one, half) = (self.of(1.0, dtype), self.of(0.5, dtype));
                let half = self.node("Mul", &[&x.name, &half], &[], out);
                let t = self.node("Tanh", &[&half.name], &[], out);
                let twice = self.node("Add", &[&t.name, &t.name], &[], out);
                let rest = self.node("Sub", &[&one, &t.name], &[], out);
                let near = self.node("Div", &[&twice.name, &rest.name], &[], out);
                let exp = self.node("Exp", &[&x.name], &[], out);
                let far = self.node("Sub", &[&exp.name, &one], &[], out);
                let size = self.node("Abs", &[&x.name], &[], out);
                let is_near = self.node("Less", &[&size.name, &one], &[], out);
                return Some(self.node("Where", &[&is_near.name, &near.name, &far.name], &[], out));
            }
            Unary::Log1p => {
                // log(u)·x/(u - 1) for u = 1 + x as it was rounded; x where that is 1.
                let one = self.of(1.0, dtype);
                let u = self.node("Add", &[&x.name, &one], &[], out);
                let log = self.node("Log", &[&u.name], &[], out);
                let v = self.node("Sub", &[&u.name, &one], &[], out);
                let ratio = self.node("Div", &[&x.name, &v.name], &[], out);
                let near = self.node("Mul", &[&log.name, &ratio.name], &[], out);
                let is_one = self.node("Equal", &[&u.name, &one], &[], out);
                let near = self.node("Where", &[&is_one.name, &x.name, &near.name], &[], out);
                // Beyond, u - 1 may be infinite.
                let size = self.node("Abs", &[&x.name], &[], out);
                let is_near = self.node("Less", &[&size.name, &one], &[], out);
                return Some(self.node("Where", &[&is_near.name, &near.name, &log.name], &[], out));
            }
        };
        Some(self.node(name, &[&x.name], &[], out))
    }

    fn binary(&mut self, op: Binary, x: &Value, y: &Value, out: &Aval) -> Option<Value> {
        let dtype = x.aval.dtype;
        let truth = dtype == DType::Bool;
        let name = match op {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div | Binary::Rem if dtype.is_integer() => {
                // x / 0 = -1 (all bits set) and x % 0 = x, which ONNX leaves open.
                let (zero, one) = (self.of(0.0, dtype), self.of(1.0, dtype));
                let test = Aval::new(DType::Bool, y.aval.shape.clone());
                let is_zero = self.node("Equal", &[&y.name, &zero], &[], &test).name;
                let by = self.node("Where", &[&is_zero, &one, &y.name], &[], &y.aval).name;
                let (value, other) = if op == Binary::Div {
                    let all = if dtype == DType::U32 { Scalar::U32(!0) } else { Scalar::I32(-1) };
                    (self.node("Div", &[&x.name, &by], &[], out), self.number(all).name)
                } else {
                    let attrs = [("fmod", Attr::Int(1))];
                    (self.node("Mod", &[&x.name, &by], &attrs, out), x.name.clone())
                };
                return Some(self.node("Where", &[&is_zero, &other, &value.name], &[], out));
            }
            Binary::Div => "Div",
            Binary::Rem => {
                let attrs = [("fmod", Attr::Int(1))];
                return Some(self.node("Mod", &[&x.name, &y.name], &attrs, out));
            }
            Binary::Max => "Max",
            Binary::Min => "Min",
            Binary::Pow => "Pow",
            Binary::And if truth => "And",
            Binary::Or if truth => "Or",
            Binary::Xor if truth => "Xor",
            Binary::And => "BitwiseAnd",
            Binary::Or => "BitwiseOr",
            Binary::Xor => "BitwiseXor",
            Binary::Eq => "Equal",
            Binary::Ne => {
                let equal = self.node("Equal", &[&x.name, &y.name], &[], out);
                return Some(self.node("Not", &[&equal.name], &[], out));
            }
            Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge if truth => {
                let (x, y) = (self.cast(x, DType::I32), self.cast(y, DType::I32));
                return self.binary(op, &x, &y, out);
            }
            Binary::Lt => "Less",
            Binary::Le => "LessOrEqual",
            Binary::Gt => "Greater",
            Binary::Ge => "GreaterOrEqual",
            Binary::Atan2
            | Binary::ShiftLeft
            | Binary::ShiftRightLogical
            | Binary::ShiftRightArithmetic => return None,
        };
        Some(self.node(name, &[&x.name, &y.name], &[], out))
    }

    fn reduce(&mut self, r: &Reduce, x: &Value, out: &Aval) -> Value {
        if r.axes.is_empty() {
            return x.clone();
        }
        let op = match r.fold {
            Fold::Sum => "ReduceSum",
            Fold::Prod => "ReduceProd",
            Fold::Max | Fold::Or => "ReduceMax",
            Fold::Min | Fold::And => "ReduceMin",
        };
        let axes = self.sizes(&r.axes);
        let flat = ("keepdims", Attr::Int(0));
        if out.dtype != DType::Bool {
            return self.node(op, &[&x.name, &axes], &[flat], out);
        }
        let x = self.cast(x, DType::I32);
        let whole = Aval::new(DType::I32, out.shape.clone());
        let folded = self.node(op, &[&x.name, &axes], &[flat], &whole);
        self.cast(&folded, DType::Bool)
    }

    fn dot(&mut self, d: &DotGeneral, a: &Value, b: &Value, out: &Aval) -> Option<Value> {
        let (p, q) = (a.aval.rank(), b.aval.rank());
        let plain = d.lhs_batch.is_empty() && (1..=2).contains(&p) && (1..=2).contains(&q);
        if plain && d.lhs_contract == [p - 1] && d.rhs_contract == [0] {
            return Some(self.node("MatMul", &[&a.name, &b.name], &[], out));
        }
        let mut letters = ('a'..='z').chain('A'..='Z');
        let (mut left, mut right) = (vec![' '; p], vec![' '; q]);
        let mut result = String::new();
        for (&i, &j) in d.lhs_batch.iter().zip(&d.rhs_batch) {
            let letter = letters.next()?;
            (left[i], right[j]) = (letter, letter);
            result.push(letter);
        }
        for (&i, &j) in d.lhs_contract.iter().zip(&d.rhs_contract) {
            let letter = letters.next()?;
            (left[i], right[j]) = (letter, letter);
        }
        for slot in left.iter_mut().chain(&mut right).filter(|slot| **slot == ' ') {
            *slot = letters.next()?;
            result.push(*slot);
        }
        let (left, right): (String, String) = (left.iter().collect(), right.iter().collect());
        let equation = Attr::Equation(format!("{left},{right}->{result}"));
        Some(self.node("Einsum", &[&a.name, &b.name], &[("equation", equation)], out))
    }

    /// The starts of a range, clamped so that it fits, as one list.
    fn starts(&mut self, shape: &[usize], sizes: &[usize], starts: &[Value]) -> String {
        let aval = Aval::new(DType::I32, [1]);
        let mut parts = Vec::new();
        for ((start, n), size) in starts.iter().zip(shape).zip(sizes) {
            let (zero, most) =
                (self.number(Scalar::I32(0)), self.number(Scalar::I32((n - size) as i32)));
            let at = self.node("Max", &[&start.name, &zero.name], &[], &aval);
            let at = self.node("Min", &[&at.name, &most.name], &[], &aval);
            parts.push(self.reshape(&at, &[1].into()).name);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let list = self.node("Concat", &parts, &[("axis", Attr::Int(0))], &aval);
        self.int64(&list.name)
    }

    /// Indices clamped to rows, as lists of one.
    fn rows(&mut self, indices: &Value, n: usize) -> String {
        let (zero, most) = (self.number(Scalar::I32(0)), self.number(Scalar::I32(n as i32 - 1)));
        let at = self.node("Max", &[&indices.name, &zero.name], &[], &indices.aval);
        let at = self.node("Min", &[&at.name, &most.name], &[], &indices.aval);
        let shape: Vec<usize> = indices.aval.shape.iter().copied().chain([1]).collect();
        let at = self.reshape(&at, &shape.into());
        self.int64(&at.name)
    }

    fn inside(&mut self, indices: &Value, n: usize) -> Value {
        let (zero, n) = (self.number(Scalar::I32(0)), self.number(Scalar::I32(n as i32)));
        let aval = Aval::new(DType::Bool, indices.aval.shape.clone());
        let from = self.node("GreaterOrEqual", &[&indices.name, &zero.name], &[], &aval);
        let to = self.node("Less", &[&indices.name, &n.name], &[], &aval);
        self.node("And", &[&from.name, &to.name], &[], &aval)
    }

    fn results(&mut self, outs: &[Aval]) -> Vec<Value> {
        let each = outs.iter().map(|aval| Value { name: self.name("out"), aval: aval.clone() });
        each.collect()
    }

    pub(super) fn scan(&mut self, s: &Scan, x: &[Value], outs: &[Aval]) -> Result<Vec<Value>> {
        let (consts, rest) = x.split_at(s.n_consts);
        let n_xs = rest.len() - s.n_carry;
        if outs.is_empty() {
            return Ok(vec![]);
        }
        if s.length == 0 {
            // The last carry is the first, and there are no rows.
            let rows = outs[s.n_carry..].iter().map(|aval| {
                let none = Buffer::splat(Scalar::of(0.0, aval.dtype), aval.shape.clone());
                self.constant("nothing", &none)
            });
            let rows: Vec<Value> = rows.collect();
            return Ok(rest[..s.n_carry].iter().cloned().chain(rows).collect());
        }
        if n_xs == 0 {
            // The operator counts its steps by its xs: numbers that nobody reads.
            let mut b = Builder::new();
            let inputs = b.inputs(&s.body.input_avals());
            b.input(Aval::scalar(DType::I32));
            let outputs = b.inline(&s.body, &inputs);
            let body = std::sync::Arc::new(b.finish_ordered(outputs));
            let steps = self.constant("steps", &Buffer::new([s.length], vec![0_i32; s.length]));
            let scan = Scan { body, ..s.clone() };
            return self.scan(&scan, &[x, &[steps]].concat(), outs);
        }
        let body = self.inner(&s.body, consts)?;
        let way = i64::from(s.reverse);
        let attrs = [
            ("body", Attr::Graph(body)),
            ("num_scan_inputs", Attr::Int(n_xs as i64)),
            ("scan_input_directions", Attr::Ints(vec![way; n_xs])),
            ("scan_output_directions", Attr::Ints(vec![way; outs.len() - s.n_carry])),
        ];
        let results = self.results(outs);
        let inputs: Vec<&str> = rest.iter().map(|x| x.name.as_str()).collect();
        let names: Vec<String> = results.iter().map(|value| value.name.clone()).collect();
        self.push("Scan", &inputs, &names, &attrs);
        Ok(results)
    }

    fn while_(&mut self, s: &While, x: &[Value], outs: &[Aval]) -> Result<Vec<Value>> {
        let (cond_consts, rest) = x.split_at(s.n_cond_consts);
        let (body_consts, carry) = rest.split_at(s.n_body_consts);
        let first = self.walk(&s.cond, &[cond_consts, carry].concat())?;
        // The loop's own graph: a step, then whether to take another one.
        let outer = (std::mem::take(&mut self.nodes), std::mem::take(&mut self.constants));
        let [step, goes_on] = [self.name("step"), self.name("goes")];
        // Both are of fixed types: the step is int64.
        let mut step_info = Message::default();
        let (mut ty, mut tensor) = (Message::default(), Message::default());
        tensor.int(1, 7).message(2, &Message::default());
        ty.message(1, &tensor);
        step_info.text(1, &step).message(2, &ty);
        let mut inputs = vec![step_info, value_info(&goes_on, DType::Bool, &[])];
        let mut now = Vec::new();
        for value in carry {
            let name = self.name("in");
            inputs.push(info(&name, &value.aval));
            now.push(Value { name, aval: value.aval.clone() });
        }
        let next = self.walk(&s.body, &[body_consts, &now].concat())?;
        let again = self.walk(&s.cond, &[cond_consts, &next].concat())?;
        let mut outputs = Vec::new();
        for value in again.iter().chain(&next) {
            let value = self.node("Identity", &[&value.name], &[], &value.aval);
            outputs.push(info(&value.name, &value.aval));
        }
        let name = self.name("body");
        let body = self.finish(&name, &inputs, &outputs);
        (self.nodes, self.constants) = outer;
        let results = self.results(outs);
        let mut inputs = vec!["", first[0].name.as_str()];
        inputs.extend(carry.iter().map(|value| value.name.as_str()));
        let names: Vec<String> = results.iter().map(|value| value.name.clone()).collect();
        self.push("Loop", &inputs, &names, &[("body", Attr::Graph(body))]);
        Ok(results)
    }

    /// The branches from `from` on, as a choice between the first of them and the rest.
    fn cond(
        &mut self,
        branches: &[std::sync::Arc<Program>],
        from: usize,
        x: &[Value],
        outs: &[Aval],
    ) -> Result<Vec<Value>> {
        if from + 1 == branches.len() {
            return self.walk(&branches[from], &x[1..]);
        }
        let bound = self.number(Scalar::I32(from as i32));
        let is_first =
            self.node("LessOrEqual", &[&x[0].name, &bound.name], &[], &Aval::scalar(DType::Bool));
        let graph = |g: &mut Graph, first: bool| -> Result<Message> {
            let outer = (std::mem::take(&mut g.nodes), std::mem::take(&mut g.constants));
            let values = match first {
                true => g.walk(&branches[from], &x[1..])?,
                false => g.cond(branches, from + 1, x, outs)?,
            };
            let mut outputs = Vec::new();
            for value in values {
                let value = g.node("Identity", &[&value.name], &[], &value.aval);
                outputs.push(info(&value.name, &value.aval));
            }
            let name = g.name("branch");
            let graph = g.finish(&name, &[], &outputs);
            (g.nodes, g.constants) = outer;
            Ok(graph)
        };
        let (then, other) = (graph(self, true)?, graph(self, false)?);
        let results = self.results(outs);
        let names: Vec<String> = results.iter().map(|value| value.name.clone()).collect();
        let attrs = [("then_branch", Attr::Graph(then)), ("else_branch", Attr::Graph(other))];
        self.push("If", &[&is_first.name], &names, &attrs);
        Ok(results)
    }
}

/// The type of a value with known sizes.
pub(super) fn info(name: &str, aval: &Aval) -> Message {
    let dims: Vec<Dim> = aval.shape.iter().map(|&n| Dim::Size(n)).collect();
    value_info(name, aval.dtype, &dims)
}
