//! The safe twin of the executors: a naive interpreter of [`Code`], and random codes to compare them on.
//!
//! It walks points one by one over vectors of bytes, with the definitions of [`crate::scalar`].

use crate::code::*;
use crate::dag::{self, Scope};
use crate::math::{self, Function};
use crate::scalar::{Bitwise, Float, Int, Number, Truth, combine, identity, threefry};

/// Runs `code` and returns the outputs, which start as zeros.
pub(crate) fn run(code: &Code, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let needs = code.check().expect("the twin runs checked code");
    let mut twin = Twin {
        code,
        inputs: inputs.to_vec(),
        outputs: needs.outputs.iter().map(|o| vec![0; o.0]).collect(),
        arena: vec![0; needs.arena_bytes],
        steps: vec![],
    };
    twin.body(&code.setup);
    twin.body(&code.body);
    twin.outputs
}

struct Twin<'a> {
    code: &'a Code,
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
    arena: Vec<u8>,
    steps: Vec<usize>,
}

/// All points of `dims` in row-major order.
pub(crate) fn points(dims: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &n in dims {
        all = all.iter().flat_map(|p| (0..n).map(move |i| [&p[..], &[i]].concat())).collect();
    }
    all
}

impl Twin<'_> {
    fn body(&mut self, body: &[Stmt]) {
        body.iter().for_each(|s| self.stmt(s));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Map(k) => {
                for at in points(&k.dims) {
                    let values = self.dag(&k.dag, &k.loads, &[], &at);
                    k.stores
                        .iter()
                        .for_each(|s| self.write(&s.to, &at, values[s.value.0 as usize]));
                }
            }
            Stmt::Mat(k) => self.mat(k),
            Stmt::Pack(k) => {
                let whole = k.to.clone().strides([1]);
                (0..k.layout.len()).for_each(|i| self.write(&whole, &[i], 0));
                for at in points(&[k.layout.depth, k.layout.cols]) {
                    let bits = self.read(&k.from, &at);
                    self.write(&whole, &[k.layout.position(at[0], at[1])], bits);
                }
            }
            Stmt::Gemm(k) => self.gemm(k),
            Stmt::Reduce(k) => self.reduce(k),
            Stmt::Cumulative(k) => {
                let (&n, outer) = k.dims.split_last().unwrap();
                for outer in points(outer) {
                    let mut sum = None;
                    for i in 0..n {
                        let at = [&outer[..], &[i]].concat();
                        let next = self.read(&k.from, &at);
                        let joined =
                            sum.map_or(next, |s| combine_bits(k.combine, k.from.dtype, s, next));
                        self.write(&k.to, &at, joined);
                        sum = Some(joined);
                    }
                }
            }
            Stmt::Sort(k) => self.sort(k),
            Stmt::Gather(k) => {
                for at in points(&k.dims) {
                    let bits = match self.indexed(&k.from, &k.indices, k.out_of_bounds, &at) {
                        Some(view) => self.read(&view, &at),
                        None => match k.out_of_bounds {
                            OutOfBounds::Drop(bits) => bits,
                            OutOfBounds::Clip => unreachable!("internal: clipped"),
                        },
                    };
                    self.write(&k.to, &at, bits);
                }
            }
            Stmt::Scatter(k) => {
                for at in points(&k.dims) {
                    let Some(view) = self.indexed(&k.to, &k.indices, k.out_of_bounds, &at) else {
                        continue;
                    };
                    let mut bits = self.read(&k.from, &at);
                    if let Some(how) = k.combine {
                        bits = combine_bits(how, k.from.dtype, self.read(&view, &at), bits);
                    }
                    self.write(&view, &at, bits);
                }
            }
            Stmt::Loop(l) => {
                for t in 0..l.n_steps {
                    self.steps.push(t);
                    self.body(&l.body);
                    self.steps.pop();
                }
            }
            Stmt::While(w) => loop {
                self.body(&w.cond);
                if self.read(&w.flag, &[]) == 0 {
                    break;
                }
                self.body(&w.body);
            },
            Stmt::Switch(s) => {
                let bits = self.read(&s.index, &[]);
                let i = integer(bits, s.index.dtype).clamp(0, s.branches.len() as i64 - 1);
                self.body(&s.branches[i as usize]);
            }
            Stmt::Tap(_) => {}
            // Another order than the one that comes naturally to everybody else.
            Stmt::Parallel(parts) => parts.iter().rev().for_each(|part| self.body(part)),
        }
    }

    fn mat(&mut self, k: &Mat) {
        for at in points(&[k.rows, k.cols]) {
            let mut products = vec![];
            for p in &k.products {
                let dtype = p.dtype();
                let mut sums = vec![0; k.chains];
                if let Some(init) = p.init {
                    sums[0] = self.read(&k.loads[init as usize], &at);
                }
                for terms in &p.terms {
                    for term in 0..terms.depth {
                        let x = self.read(&terms.source, &[at[0], term]);
                        let w = match &terms.weights {
                            Weights::Packed(view, layout) => {
                                let view = view.clone().strides([1]);
                                self.read(&view, &[layout.position(term, at[1])])
                            }
                            Weights::Strided(view) => self.read(view, &[term, at[1]]),
                        };
                        sums[term % k.chains] = fused_bits(dtype, x, w, sums[term % k.chains]);
                    }
                }
                let sum = halve(sums, |a, b| combine_bits(Combine::Sum, dtype, a, b));
                products.push((sum, dtype));
            }
            let values = self.dag(&k.dag, &k.loads, &products, &at);
            k.stores.iter().for_each(|s| self.write(&s.to, &at, values[s.value.0 as usize]));
        }
    }

    fn gemm(&mut self, k: &Gemm) {
        let dtype = k.to.dtype;
        for at in points(&[k.m, k.n]) {
            let mut sum = k.init.as_ref().map_or(0, |v| self.read(v, &at));
            for term in 0..k.k {
                let (a, b) = (self.read(&k.a, &[at[0], term]), self.read(&k.b, &[term, at[1]]));
                sum = fused_bits(dtype, a, b, sum);
            }
            self.write(&k.to, &at, sum);
        }
    }

    fn reduce(&mut self, k: &Reduce) {
        for kept in points(&k.dims) {
            let all: Vec<_> = points(&k.reduced)
                .iter()
                .map(|r| self.dag(&k.dag, &k.loads, &[], &[&kept[..], r].concat()))
                .collect();
            let n_dims = k.dims.len() + k.reduced.len();
            let dtypes = self.infer(&k.dag, &k.loads, &[], n_dims);
            for o in &k.outputs {
                let dtype = dtypes[o.value.0 as usize];
                let values = all.iter().map(|v| v[o.value.0 as usize]);
                let bits = if matches!(o.combine, Combine::ArgMax | Combine::ArgMin) {
                    arg(o.combine, dtype, values.collect())
                } else {
                    let mut chains = vec![identity_bits(o.combine, dtype); 16];
                    for (j, x) in values.enumerate() {
                        chains[j % 16] = combine_bits(o.combine, dtype, chains[j % 16], x);
                    }
                    halve(chains, |a, b| combine_bits(o.combine, dtype, a, b))
                };
                self.write(&o.to, &kept, bits);
            }
        }
    }

    fn sort(&mut self, k: &Sort) {
        let (&n, outer) = k.dims.split_last().unwrap();
        for outer in points(outer) {
            let at = |i: usize| [&outer[..], &[i]].concat();
            let mut items: Vec<_> = (0..n).map(|i| (self.read(&k.from, &at(i)), i)).collect();
            let dtype = k.from.dtype;
            items.sort_by(|a, b| {
                let (x, y) = (wide(a.0, dtype), wide(b.0, dtype));
                match (x.is_nan(), y.is_nan()) {
                    (false, false) if k.descending => y.partial_cmp(&x).unwrap(),
                    (false, false) => x.partial_cmp(&y).unwrap(),
                    (x, y) => x.cmp(&y),
                }
            });
            for (i, item) in items.iter().enumerate() {
                k.to.iter().for_each(|v| self.write(v, &at(i), item.0));
                k.to_indices.iter().for_each(|v| self.write(v, &at(i), item.1 as u64));
            }
        }
    }

    fn indexed(
        &self,
        view: &View,
        indices: &[Index],
        out_of_bounds: OutOfBounds,
        at: &[usize],
    ) -> Option<View> {
        let mut view = view.clone();
        for index in indices {
            let i = integer(self.read(&index.view, at), index.view.dtype);
            let clipped = i.clamp(0, index.len as i64 - 1);
            if clipped != i && out_of_bounds != OutOfBounds::Clip {
                return None;
            }
            view.offset += clipped * index.stride;
        }
        Some(view)
    }

    fn infer(&self, dag: &[Node], loads: &[View], products: &[DType], n_dims: usize) -> Vec<DType> {
        let loads: Vec<_> = loads.iter().map(|v| v.dtype).collect();
        let n_levels = self.steps.len();
        dag::infer(dag, Scope { loads: &loads, products, n_dims, n_levels }).unwrap()
    }

    fn dag(
        &self,
        dag: &[Node],
        loads: &[View],
        products: &[(u64, DType)],
        at: &[usize],
    ) -> Vec<u64> {
        let product_dtypes: Vec<_> = products.iter().map(|p| p.1).collect();
        let dtypes = self.infer(dag, loads, &product_dtypes, at.len());
        let mut values: Vec<u64> = vec![];
        for (i, node) in dag.iter().enumerate() {
            let mut args = vec![];
            node.for_each_operand(|v| args.push((values[v.0 as usize], dtypes[v.0 as usize])));
            values.push(match *node {
                Node::Load(l) => self.read(&loads[l as usize], at),
                Node::Product(p) => products[p as usize].0,
                Node::Const { bits, .. } => bits,
                Node::Iota { dim, dtype } => count(at[dim as usize], dtype),
                Node::Step { level, dtype } => count(self.steps[level as usize], dtype),
                _ => eval(node, &args, dtypes[i]),
            });
        }
        values
    }

    fn position(&self, view: &View, at: &[usize]) -> usize {
        let mut i = view.offset;
        for (s, &x) in view.strides.iter().zip(at) {
            i += s * x as i64;
        }
        for (a, &t) in view.advance.iter().zip(&self.steps) {
            i += a.stride * t as i64 + a.parity * (t as i64 & 1);
        }
        i as usize * view.dtype.size()
    }

    fn read(&self, view: &View, at: &[usize]) -> u64 {
        let i = self.position(view, at);
        let buffer = &self.code.buffers[view.buffer.0 as usize];
        let (bytes, i): (&[u8], usize) = match &buffer.place {
            Place::Input(n) => (&self.inputs[*n], i),
            Place::Output(n) => (&self.outputs[*n], i),
            Place::Arena(offset) => (&self.arena, i + offset),
            Place::Constant(data) => (data, i),
        };
        let mut bits = [0; 8];
        let size = view.dtype.size();
        bits[..size].copy_from_slice(&bytes[i..i + size]);
        let bits = u64::from_le_bytes(bits);
        if view.dtype == DType::Bool { (bits != 0) as u64 } else { bits }
    }

    fn write(&mut self, view: &View, at: &[usize], bits: u64) {
        let i = self.position(view, at);
        let (bytes, i) = match self.code.buffers[view.buffer.0 as usize].place {
            Place::Output(n) => (&mut self.outputs[n], i),
            Place::Arena(offset) => (&mut self.arena, i + offset),
            _ => unreachable!("internal: written to memory that is only read"),
        };
        let size = view.dtype.size();
        bytes[i..i + size].copy_from_slice(&bits.to_le_bytes()[..size]);
    }
}

/// Numbers as bits and back.
pub(crate) trait Bits: Bitwise {
    fn get(bits: u64) -> Self;
    fn put(self) -> u64;
}
macro_rules! bits {
    ($($t:ident, $get:expr, $put:expr;)*) => {$(
        impl Bits for $t {
            fn get(bits: u64) -> $t { $get(bits) }
            fn put(self) -> u64 { $put(self) }
        }
    )*};
}
bits! {
    f32, |b| f32::from_bits(b as u32), |x: f32| x.to_bits() as u64;
    f64, f64::from_bits, f64::to_bits;
    i32, |b| b as i32, |x: i32| x as u32 as u64;
    u32, |b| b as u32, |x: u32| x as u64;
    Truth, |b| Truth(b as u8), |x: Truth| x.0 as u64;
}

macro_rules! typed {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::Bool => {
                type $t = Truth;
                $body
            }
        }
    };
}

fn combine_bits(how: Combine, dtype: DType, a: u64, b: u64) -> u64 {
    typed!(dtype, T => combine(how, T::get(a), T::get(b)).put())
}

fn identity_bits(how: Combine, dtype: DType) -> u64 {
    typed!(dtype, T => identity::<T>(how).put())
}

fn fused_bits(dtype: DType, a: u64, b: u64, c: u64) -> u64 {
    typed!(dtype, T => T::get(a).fused(T::get(b), T::get(c)).put())
}

fn halve(mut chains: Vec<u64>, f: impl Fn(u64, u64) -> u64) -> u64 {
    while chains.len() > 1 {
        let upper = chains.split_off(chains.len() / 2);
        chains.iter_mut().zip(upper).for_each(|(a, b)| *a = f(*a, b));
    }
    chains[0]
}

fn arg(how: Combine, dtype: DType, values: Vec<u64>) -> u64 {
    let mut best = 0;
    for (j, &x) in values.iter().enumerate() {
        let (new, old) = (wide(x, dtype), wide(values[best], dtype));
        let beats = if how == Combine::ArgMax { new > old } else { new < old };
        if !old.is_nan() && (beats || new.is_nan()) {
            best = j;
        }
    }
    best as u64
}

fn integer(bits: u64, dtype: DType) -> i64 {
    if dtype == DType::U32 { bits as i64 } else { bits as i32 as i64 }
}

fn count(i: usize, dtype: DType) -> u64 {
    match dtype {
        DType::F32 => (i as f32).put(),
        DType::F64 => (i as f64).put(),
        _ => i as u64,
    }
}

/// The value as a double, exact for every type.
fn wide(bits: u64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f32::get(bits) as f64,
        DType::F64 => f64::get(bits),
        DType::I32 => i32::get(bits) as f64,
        DType::U32 | DType::Bool => bits as f64,
    }
}

fn eval(node: &Node, args: &[(u64, DType)], out: DType) -> u64 {
    let (a, dtype) = args[0];
    let b = args.get(1).map_or(0, |x| x.0);
    let c = args.get(2).map_or(0, |x| x.0);
    match *node {
        Node::Unary(op, _) => match dtype {
            DType::F32 => unary_float::<f32>(op, a),
            DType::F64 => unary_float::<f64>(op, a),
            DType::I32 => unary_int::<i32>(op, a),
            DType::U32 => unary_int::<u32>(op, a),
            DType::Bool => a ^ 1,
        },
        Node::Binary(op, ..) => match dtype {
            DType::F32 => binary_float::<f32>(op, a, b),
            DType::F64 => binary_float::<f64>(op, a, b),
            DType::I32 => binary_int::<i32>(op, a, b),
            DType::U32 => binary_int::<u32>(op, a, b),
            DType::Bool => match op {
                Binary::Max | Binary::Or => a | b,
                Binary::Min | Binary::And => a & b,
                Binary::Eq => (a == b) as u64,
                _ => a ^ b,
            },
        },
        Node::IntegerPow(_, n) => typed!(dtype, T => T::get(a).integer_pow(n).put()),
        Node::Fma(..) => fused_bits(dtype, a, b, c),
        Node::Select(..) => {
            if a != 0 {
                b
            } else {
                c
            }
        }
        Node::Convert(..) => convert(a, dtype, out),
        Node::Bitcast(..) => a,
        Node::Threefry { word, .. } => {
            let key = [a as u32, b as u32];
            threefry(key, [c as u32, args[3].0 as u32])[word as usize] as u64
        }
        _ => unreachable!("internal: {node:?} has no operands"),
    }
}

fn convert(bits: u64, from: DType, to: DType) -> u64 {
    // A double holds every other type exactly; f32 from f64 and integers rounds once either way.
    match to {
        DType::F32 => (wide(bits, from) as f32).put(),
        DType::F64 => wide(bits, from).put(),
        DType::I32 if from == DType::U32 => bits,
        DType::U32 if from == DType::I32 => bits,
        DType::I32 => (wide(bits, from) as i32).put(),
        DType::U32 => (wide(bits, from) as u32).put(),
        DType::Bool => (wide(bits, from) != 0.0) as u64,
    }
}

fn unary_float<T: Float + Bits>(op: Unary, a: u64) -> u64 {
    let x = T::get(a);
    let y = match op {
        Unary::Neg => x.neg(),
        Unary::Abs => x.abs(),
        Unary::Sign => x.sign(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => Number::div(T::ONE, x.sqrt()),
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.expm1(),
        Unary::Log => x.log(),
        Unary::Log1p => x.log1p(),
        Unary::Sin => math::scalar(Function::Sin, x),
        Unary::Cos => math::scalar(Function::Cos, x),
        Unary::Tan => x.tan(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => x.sigmoid(),
        Unary::Erf => x.erf(),
        Unary::ErfInv => x.erf_inv(),
        Unary::Asin => x.asin(),
        Unary::Acos => x.acos(),
        Unary::Atan => x.atan(),
        Unary::Sinh => x.sinh(),
        Unary::Cosh => x.cosh(),
        Unary::Square => Number::mul(x, x),
        Unary::IsFinite => return x.is_finite() as u64,
        Unary::Not => unreachable!("internal: floats have no complement"),
    };
    y.put()
}

fn unary_int<T: Int + Bits>(op: Unary, a: u64) -> u64 {
    let x = T::get(a);
    let y = match op {
        Unary::Neg => Number::neg(x),
        Unary::Abs => Number::abs(x),
        Unary::Sign => x.sign(),
        Unary::Square => Number::mul(x, x),
        Unary::Not => Int::not(x),
        _ => unreachable!("internal: integers have no {op:?}"),
    };
    y.put()
}

fn binary_float<T: Float + Bits>(op: Binary, a: u64, b: u64) -> u64 {
    match op {
        Binary::Pow => T::get(a).pow(T::get(b)).put(),
        Binary::Atan2 => T::get(a).atan2(T::get(b)).put(),
        _ => binary_number::<T>(op, a, b),
    }
}

fn binary_int<T: Int + Bits>(op: Binary, a: u64, b: u64) -> u64 {
    let (x, y) = (T::get(a), T::get(b));
    match op {
        Binary::And => Int::and(x, y).put(),
        Binary::Or => Int::or(x, y).put(),
        Binary::Xor => Int::xor(x, y).put(),
        Binary::Shl => Int::shl(x, y).put(),
        Binary::ShrLogical => x.shr_logical(y).put(),
        Binary::ShrArithmetic => x.shr_arithmetic(y).put(),
        _ => binary_number::<T>(op, a, b),
    }
}

fn binary_number<T: Number + Bits>(op: Binary, a: u64, b: u64) -> u64 {
    let (x, y) = (T::get(a), T::get(b));
    match op {
        Binary::Add => x.add(y).put(),
        Binary::Sub => x.sub(y).put(),
        Binary::Mul => x.mul(y).put(),
        Binary::Div => x.div(y).put(),
        Binary::Rem => x.rem(y).put(),
        Binary::Max => Number::max(x, y).put(),
        Binary::Min => Number::min(x, y).put(),
        Binary::Eq => (x == y) as u64,
        Binary::Ne => (x != y) as u64,
        Binary::Lt => (x < y) as u64,
        Binary::Le => (x <= y) as u64,
        Binary::Gt => (x > y) as u64,
        Binary::Ge => (x >= y) as u64,
        _ => unreachable!("internal: {op:?} is handled by its family"),
    }
}

/// A xorshift generator.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// The steps of up to two loops.
    pub(crate) fn levels(&mut self) -> Vec<usize> {
        (0..self.below(3)).map(|_| self.pick(&[1, 2, 3, 5])).collect()
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 20) % n as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A size: mostly small, sometimes 0 or larger than a tile.
    pub(crate) fn size(&mut self) -> usize {
        self.pick(&[0, 1, 1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 31, 33, 64, 97])
    }

    /// Bytes of `n` elements, with some special values among them.
    pub(crate) fn data(&mut self, dtype: DType, n: usize) -> Vec<u8> {
        let special = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let mut bytes = vec![];
        for _ in 0..n {
            let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
            let x = if self.below(12) == 0 { self.pick(&special) } else { unit * 8.0 - 4.0 };
            let bits = match dtype {
                DType::F32 => (x as f32).put(),
                DType::F64 => x.put(),
                DType::Bool => self.next() >> 40 & 1,
                _ if self.below(8) == 0 => self.next() >> 20,
                _ => (self.below(40) as i64 - 8) as u64,
            };
            bytes.extend_from_slice(&bits.to_le_bytes()[..dtype.size()]);
        }
        bytes
    }

    /// Floats that are small whole numbers, so that sums are exact in any order.
    pub(crate) fn whole(&mut self, dtype: DType, n: usize) -> Vec<u8> {
        let mut bytes = vec![];
        for _ in 0..n {
            let x = self.below(9) as f64 - 4.0;
            let bits = match dtype {
                DType::F32 => (x as f32).put(),
                DType::F64 => x.put(),
                _ => x as i64 as u64,
            };
            bytes.extend_from_slice(&bits.to_le_bytes()[..dtype.size()]);
        }
        bytes
    }
}

/// Asserts that two arrays have the same bits, NaNs as a class.
pub(crate) fn assert_same(dtype: DType, a: &[u8], b: &[u8], what: &dyn std::fmt::Debug) {
    assert_eq!(a.len(), b.len());
    for (i, (x, y)) in a.chunks(dtype.size()).zip(b.chunks(dtype.size())).enumerate() {
        let bits = |x: &[u8]| {
            let mut bits = [0; 8];
            bits[..x.len()].copy_from_slice(x);
            u64::from_le_bytes(bits)
        };
        let both_nan =
            dtype.is_float() && wide(bits(x), dtype).is_nan() && wide(bits(y), dtype).is_nan();
        assert!(
            x == y || both_nan,
            "element {i}: {:?} ({:x}) and {:?} ({:x}) differ in {what:?}",
            wide(bits(x), dtype),
            bits(x),
            wide(bits(y), dtype),
            bits(y),
        );
    }
}

/// A code under construction, with its inputs.
#[derive(Default)]
pub(crate) struct Sketch {
    pub(crate) code: Code,
    pub(crate) inputs: Vec<Vec<u8>>,
    pub(crate) outputs: Vec<DType>,
    arena: usize,
}

impl Sketch {
    pub(crate) fn input(&mut self, bytes: Vec<u8>) -> BufferId {
        let place = Place::Input(self.inputs.len());
        self.code.buffers.push(Buffer { bytes: bytes.len(), place });
        self.inputs.push(bytes);
        BufferId(self.code.buffers.len() as u32 - 1)
    }

    pub(crate) fn output(&mut self, dtype: DType, n: usize) -> BufferId {
        let place = Place::Output(self.outputs.len());
        self.code.buffers.push(Buffer { bytes: n * dtype.size(), place });
        self.outputs.push(dtype);
        BufferId(self.code.buffers.len() as u32 - 1)
    }

    pub(crate) fn arena(&mut self, dtype: DType, n: usize) -> BufferId {
        let bytes = n * dtype.size();
        self.code.buffers.push(Buffer { bytes, place: Place::Arena(self.arena) });
        self.arena += bytes.next_multiple_of(64);
        BufferId(self.code.buffers.len() as u32 - 1)
    }

    /// Weights in new memory of the arena, which a statement among `packs` takes there.
    pub(crate) fn packed(&mut self, from: View, layout: Packed, packs: &mut Vec<Stmt>) -> Weights {
        let to = View::new(self.arena(layout.dtype, layout.len()), layout.dtype);
        packs.push(Stmt::Pack(Pack { layout, from, to: to.clone() }));
        Weights::Packed(to, layout)
    }

    /// A view of new memory that `make` provides for a number of elements: dimensions in a random order, some
    /// flipped, gapped or (`broadcast`) of stride 0, moving through `levels`.
    pub(crate) fn view(
        &mut self,
        rng: &mut Rng,
        dtype: DType,
        dims: &[usize],
        levels: &[usize],
        broadcast: bool,
        make: impl FnOnce(&mut Sketch, &mut Rng, usize) -> BufferId,
    ) -> View {
        let mut order: Vec<usize> = (0..dims.len()).collect();
        if rng.below(3) == 0 {
            (1..order.len()).for_each(|i| order.swap(i, rng.below(i + 1)));
        }
        let mut strides = vec![0i64; dims.len()];
        let (mut reach, mut offset) = (1i64, 0i64);
        for &d in order.iter().rev() {
            if broadcast && rng.below(4) == 0 {
                continue;
            }
            let gap = if rng.below(6) == 0 { 2 } else { 1 };
            let span = dims[d].max(1) as i64;
            strides[d] = reach * gap;
            if rng.below(6) == 0 {
                offset += strides[d] * (span - 1);
                strides[d] = -strides[d];
            }
            reach *= gap * span;
        }
        let mut view = View::new(BufferId(0), dtype).strides(strides);
        for (l, &n) in levels.iter().enumerate() {
            match rng.below(4) {
                0 => {}
                1 => {
                    view = view.alternate(l, reach);
                    reach *= 2;
                }
                2 => {
                    view = view.advance(l, -reach);
                    offset += reach * (n as i64 - 1).max(0);
                    reach *= n.max(1) as i64;
                }
                _ => {
                    view = view.advance(l, reach);
                    reach *= n.max(1) as i64;
                }
            }
        }
        view.buffer = make(self, rng, reach as usize);
        view.offset(offset)
    }

    pub(crate) fn load(
        &mut self,
        rng: &mut Rng,
        dtype: DType,
        dims: &[usize],
        levels: &[usize],
    ) -> View {
        self.view(rng, dtype, dims, levels, true, |s, rng, n| {
            let data = rng.data(dtype, n);
            s.input(data)
        })
    }

    pub(crate) fn store(
        &mut self,
        rng: &mut Rng,
        dtype: DType,
        dims: &[usize],
        levels: &[usize],
    ) -> View {
        self.view(rng, dtype, dims, levels, false, |s, _, n| s.output(dtype, n))
    }

    /// Asserts that `run` gives what the twin gives.
    pub(crate) fn compare(&self, executors: &[crate::Executor]) {
        let expected = run(&self.code, &self.inputs);
        for &executor in executors {
            let exe = crate::Executable::new(&self.code, executor).expect("checked code");
            let mut outputs: Vec<Vec<u64>> =
                expected.iter().map(|o| vec![0; o.len().div_ceil(8)]).collect();
            let inputs: Vec<Vec<u64>> = self.inputs.iter().map(|i| aligned(i)).collect();
            let inputs: Vec<&[u8]> = inputs
                .iter()
                .zip(&self.inputs)
                .map(|(words, bytes)| &bytes_of(words)[..bytes.len()])
                .collect();
            let mut slices: Vec<&mut [u8]> = outputs
                .iter_mut()
                .zip(&expected)
                .map(|(words, bytes)| &mut bytes_of_mut(words)[..bytes.len()])
                .collect();
            exe.run(&inputs, &mut slices, &mut crate::Arena::new(), &|_| {})
                .expect("a call that fits");
            for ((&dtype, a), b) in self.outputs.iter().zip(&expected).zip(&slices) {
                assert_same(dtype, a, b, &(executor, &self.code.body));
            }
        }
    }
}

fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytes_of_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: a word is eight bytes, and bytes have no alignment.
    unsafe { std::slice::from_raw_parts(words.as_ptr() as *const u8, words.len() * 8) }
}

fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as above; all bits make a word.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr() as *mut u8, words.len() * 8) }
}

/// A DAG over `loads`, of `n` random nodes that `allow` accepts by their first operand's type and their own.
pub(crate) fn random_dag(
    rng: &mut Rng,
    loads: &[DType],
    products: &[DType],
    n_dims: usize,
    n_levels: usize,
    n: usize,
    allow: &dyn Fn(&Node, DType, DType) -> bool,
) -> (Vec<Node>, Vec<DType>) {
    let mut nodes: Vec<Node> = (0..loads.len()).map(|i| Node::Load(i as u32)).collect();
    nodes.extend((0..products.len()).map(|i| Node::Product(i as u32)));
    nodes.extend([Node::f32(1.5), Node::i32(-3), Node::f64(0.25), Node::bool(true)]);
    let scope = Scope { loads, products, n_dims, n_levels };
    let mut dtypes = dag::infer(&nodes, scope).unwrap();
    let target = nodes.len() + n;
    while nodes.len() < target {
        let v = |rng: &mut Rng| Val(rng.below(nodes.len()) as u32);
        let (a, b, c) = (v(rng), v(rng), v(rng));
        let node = match rng.below(12) {
            0..4 => Node::Unary(rng.pick(&Unary::ALL), a),
            4..8 => Node::Binary(rng.pick(&Binary::ALL), a, b),
            8 => Node::Select(a, b, c),
            9 => match rng.below(4) {
                0 => Node::Fma(a, b, c),
                1 => Node::IntegerPow(a, rng.below(9) as i32 - 3),
                2 if n_dims > 0 => {
                    Node::Iota { dim: rng.below(n_dims) as u32, dtype: rng.pick(&DType::ALL) }
                }
                _ if n_levels > 0 => {
                    Node::Step { level: rng.below(n_levels) as u32, dtype: rng.pick(&DType::ALL) }
                }
                _ => Node::Fma(a, b, c),
            },
            10 => Node::Convert(a, rng.pick(&DType::ALL)),
            _ => match rng.below(3) {
                0 => Node::Threefry { key: [a, b], counter: [c, a], word: rng.below(2) as u32 },
                _ => Node::Bitcast(a, rng.pick(&DType::ALL)),
            },
        };
        // The bits of a NaN that was computed are not defined.
        if let Node::Bitcast(a, _) = node
            && dtypes[a.0 as usize].is_float()
            && !matches!(nodes[a.0 as usize], Node::Load(_))
        {
            continue;
        }
        nodes.push(node);
        match dag::infer(&nodes, scope) {
            Ok(all) if allow(&node, dtypes[a.0 as usize], all[all.len() - 1]) => dtypes = all,
            _ => {
                nodes.pop();
            }
        }
    }
    (nodes, dtypes)
}
