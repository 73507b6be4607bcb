//! Random well-typed programs of every element type, rank and primitive, and points for them.
//!
//! Unlike those of [`crate::generate`], which are smooth, these may do anything: overflow, divide by
//! zero, take NaN apart, index out of bounds, decide by a rounding error.

use std::sync::Arc;

use rondeau::buffer::{Buffer, DType, Scalar, Shape};
use rondeau::ir::{Atom, Aval, Builder, Program};
use rondeau::prim::*;
use rondeau::transform;

use crate::generate::{Rng, custom_vjp, filled};

/// What kind of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Values without axes, but for the rows of loops.
    Scalars,
    /// Arrays of up to eight axes.
    Arrays,
}

/// A program and points for it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) program: Program,
    pub(crate) points: Vec<Vec<Buffer>>,
}

/// The genes that a seed stands for. The first decides about inputs, transformations and points,
/// each other one about an equation: a case without some of them is a case too.
pub(crate) fn genes(kind: Kind, seed: u64) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    let most = if kind == Kind::Scalars { 14 } else { 18 };
    let n = 4 + rng.below(most);
    (0..n).map(|_| rng.next()).collect()
}

/// The case of these genes.
pub(crate) fn case(kind: Kind, genes: &[u64]) -> Case {
    let (first, rest) = genes.split_first().unwrap_or((&0, &[]));
    let mut rng = Rng::new(*first);
    let mut programs = Programs::new(kind, 2);
    for _ in 0..1 + rng.below(4) {
        let aval = programs.some_aval(&mut rng);
        let atom = programs.b.input(aval);
        programs.values.push(atom);
    }
    for &gene in rest {
        programs.grow(&mut Rng::new(gene));
    }
    let n = 1 + rng.below(3);
    let outputs = programs.outputs(n, &mut rng);
    let program = transformed(programs.b.finish(outputs), &mut rng);
    let n_points = if kind == Kind::Scalars { 2 } else { 1 };
    let points = (0..n_points).map(|_| point(&program, &mut rng)).collect();
    Case { program, points }
}

/// The program itself, or derivatives of it, or a batch.
fn transformed(program: Program, rng: &mut Rng) -> Program {
    match rng.below(20) {
        0..5 => backward(&program, rng),
        5 | 6 => forward(&program, rng),
        7..10 => batched(&program, rng),
        10 => batched(&backward(&program, rng), rng),
        11 => backward(&batched(&program, rng), rng),
        12 => backward(&backward(&program, rng), rng),
        _ => program,
    }
}

/// Some of the inputs that have derivatives, most of them more often.
fn some_floats(program: &Program, rng: &mut Rng) -> Vec<bool> {
    let all = rng.chance(2);
    program.input_avals().iter().map(|aval| aval.is_float() && (all || rng.chance(2))).collect()
}

fn backward(program: &Program, rng: &mut Rng) -> Program {
    let by = some_floats(program, rng);
    // Loops of unknown length have none.
    transform::vjp(program, &by).unwrap_or_else(|_| program.clone())
}

fn forward(program: &Program, rng: &mut Rng) -> Program {
    let by = some_floats(program, rng);
    // What a rule for cotangents leaves behind cannot be run.
    let jvp = transform::jvp(program, &by, &vec![false; program.outputs().len()]).program;
    let is_linear =
        |program: &Program| program.eqns().iter().any(|eqn| eqn.prim.has_custom_linear());
    if is_linear(&jvp) { program.clone() } else { jvp }
}

fn batched(program: &Program, rng: &mut Rng) -> Program {
    let size = *rng.choose(&[1, 2, 3, 3, 5, 7, 0]);
    let mapped: Vec<bool> = program.inputs().iter().map(|_| !rng.chance(3)).collect();
    let force: Vec<bool> = program.outputs().iter().map(|_| rng.chance(4)).collect();
    transform::vmap(program, size, &mapped, &force).program
}

/// Values for all inputs.
pub(crate) fn point(program: &Program, rng: &mut Rng) -> Vec<Buffer> {
    // One style for a whole point: in grids sums are exact, so that nothing is rounded.
    let style = rng.below(4);
    program
        .input_avals()
        .iter()
        .map(|aval| filled(aval, &mut || value(aval.dtype, style, rng)))
        .collect()
}

fn value(dtype: DType, style: usize, rng: &mut Rng) -> Scalar {
    let special = style == 3 && rng.chance(3);
    match dtype {
        DType::F32 | DType::F64 => {
            let x = match style {
                _ if special => special_float(dtype, rng),
                0 | 1 => (rng.below(65) as f64 - 32.0) / 16.0,
                _ => {
                    let size = rng.between(0.2, 1.2);
                    if rng.chance(2) { -size } else { size }
                }
            };
            Scalar::of(x, dtype)
        }
        DType::I32 if special => {
            let known = [i32::MIN, i32::MIN + 1, i32::MAX, -33, -32, -1, 0, 1, 31, 32, 33, 1 << 24];
            Scalar::I32(if rng.chance(3) { rng.next() as i32 } else { *rng.choose(&known) })
        }
        DType::U32 if special => {
            let known = [0, 1, 31, 32, 33, 1 << 31, u32::MAX, u32::MAX - 1, (1 << 24) + 1];
            Scalar::U32(if rng.chance(3) { rng.next() as u32 } else { *rng.choose(&known) })
        }
        DType::I32 => Scalar::I32(rng.below(10) as i32 - 2),
        DType::U32 => Scalar::U32(rng.below(8) as u32),
        DType::Bool => Scalar::Bool(rng.chance(2)),
        other => panic!("no values of type {other}"),
    }
}

fn special_float(dtype: DType, rng: &mut Rng) -> f64 {
    if rng.chance(3) {
        return match dtype {
            DType::F32 => f64::from(f32::from_bits(rng.next() as u32)),
            _ => f64::from_bits(rng.next()),
        };
    }
    let (least, most) = match dtype {
        DType::F32 => (f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)),
        _ => (f64::MIN_POSITIVE, f64::MAX),
    };
    let known = [
        0.0,
        1.0,
        0.5,
        2.0,
        f64::INFINITY,
        f64::NAN,
        least,
        least / 8.0,
        most,
        2_147_483_648.0,
        4_294_967_296.0,
        16_777_217.0,
        1e9,
        88.8,
    ];
    let x = *rng.choose(&known);
    if rng.chance(2) { -x } else { x }
}

const UNARY: [Unary; 32] = [
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
    Unary::Not,
    Unary::IsFinite,
    Unary::StopGradient,
    Unary::IntegerPow(2),
    Unary::IntegerPow(3),
    Unary::IntegerPow(-1),
];

const BINARY: [Binary; 21] = [
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

/// A program under construction.
struct Programs {
    kind: Kind,
    b: Builder,
    /// What can be read.
    values: Vec<Atom>,
    /// How many programs may still lie in one another.
    depth: usize,
}

impl Programs {
    fn new(kind: Kind, depth: usize) -> Programs {
        Programs { kind, b: Builder::new(), values: Vec::new(), depth }
    }

    /// Arrays stay below this many elements.
    fn most(&self) -> usize {
        match self.kind {
            Kind::Scalars => 24,
            Kind::Arrays => 400,
        }
    }

    fn some_dtype(&self, rng: &mut Rng) -> DType {
        use DType::{Bool, F32, F64, I32, U32};
        *rng.choose(&[F32, F32, F32, F64, F64, F64, I32, I32, U32, Bool])
    }

    fn some_shape(&self, rng: &mut Rng) -> Shape {
        let (ranks, sizes): (&[usize], &[usize]) = match self.kind {
            Kind::Scalars => (&[0, 0, 0, 1], &[1, 2, 3, 5]),
            Kind::Arrays => (
                &[0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8],
                &[1, 1, 2, 2, 2, 3, 3, 4, 5, 7, 8, 11, 13, 16, 17, 31, 37],
            ),
        };
        let mut left = self.most();
        let rank = *rng.choose(ranks);
        let mut size = |_| {
            let size = if rng.chance(60) { 0 } else { *rng.choose(sizes) };
            // What is left of the room, so that many axes are short.
            let size = if size > left { 1 } else { size };
            left /= size.max(1);
            size
        };
        (0..rank).map(&mut size).collect()
    }

    fn some_aval(&self, rng: &mut Rng) -> Aval {
        Aval::new(self.some_dtype(rng), self.some_shape(rng))
    }

    fn aval(&self, x: Atom) -> Aval {
        self.b.aval(x)
    }

    fn literal(&self, dtype: DType, rng: &mut Rng) -> Atom {
        let style = rng.below(8).min(3);
        Atom::Lit(value(dtype, style, rng))
    }

    /// A value that fits, later ones more likely.
    fn find(&self, rng: &mut Rng, fits: impl Fn(&Aval) -> bool) -> Option<Atom> {
        let found: Vec<Atom> =
            self.values.iter().copied().filter(|&atom| fits(&self.b.aval(atom))).collect();
        let late = rng.below(found.len().max(1)).max(rng.below(found.len().max(1)));
        found.get(late).copied()
    }

    fn any(&self, rng: &mut Rng) -> Atom {
        self.find(rng, |_| true).unwrap_or(Atom::Lit(Scalar::F32(0.5)))
    }

    fn float(&self, rng: &mut Rng) -> Atom {
        self.find(rng, Aval::is_float).unwrap_or(Atom::Lit(Scalar::F32(0.5)))
    }

    /// A value with at least one axis.
    fn rows(&mut self, rng: &mut Rng) -> Atom {
        match self.find(rng, |aval| aval.rank() > 0) {
            Some(found) => found,
            None => {
                let x = self.any(rng);
                let size = *rng.choose(&[1, 2, 3, 5]);
                self.b.repeat(x, size)
            }
        }
    }

    /// A value of this type, made from another if there is none.
    fn of(&mut self, aval: &Aval, rng: &mut Rng) -> Atom {
        if let Some(found) = self.find(rng, |other| other == aval).filter(|_| !rng.chance(8)) {
            return found;
        }
        let x = match self.find(rng, |other| other.shape == aval.shape).filter(|_| !rng.chance(3)) {
            Some(found) => found,
            None => match self.find(rng, |other| other.rank() == 0).filter(|_| !rng.chance(3)) {
                Some(found) => found,
                None => self.literal(aval.dtype, rng),
            },
        };
        let x = self.b.convert(x, aval.dtype);
        match self.aval(x).shape == aval.shape {
            true => x,
            false => self.b.broadcast(x, &aval.shape, &[]),
        }
    }

    /// Whole numbers for indices, most of them inside of what they index.
    fn index_of(&mut self, shape: &Shape, rng: &mut Rng) -> Atom {
        let aval = Aval::new(DType::I32, shape.clone());
        if shape.rank() > 0 && rng.chance(2) {
            let axis = rng.below(shape.rank());
            let counted = self.b.bind1(Iota { dtype: DType::I32, shape: shape.clone(), axis }, &[]);
            let other = Atom::Lit(Scalar::I32(rng.below(5) as i32));
            return self.b.binary(*rng.choose(&[Binary::Xor, Binary::Sub]), counted, other);
        }
        match rng.chance(2) {
            true => self.of(&aval, rng),
            false => self.b.full(rng.below(4) as f64, &aval),
        }
    }

    /// Appends an equation if it fits, and nothing of it is too large; its outputs can be read.
    fn bind(&mut self, prim: impl Into<Prim>, inputs: &[Atom]) -> bool {
        let prim = prim.into();
        let Ok(avals) = prim.infer(&self.b.avals(inputs)) else { return false };
        if avals.iter().any(|aval| aval.shape.count() > self.most() || aval.rank() > 8) {
            return false;
        }
        let outputs = self.b.bind(prim, inputs);
        self.values.extend(outputs);
        true
    }

    /// Appends one equation, and those that it needs.
    fn grow(&mut self, rng: &mut Rng) {
        let scalars = self.kind == Kind::Scalars;
        let done = match rng.below(40) {
            0..7 => self.unary(rng),
            7..15 => self.binary(rng),
            15 => self.select(rng),
            16 | 17 => self.convert(rng),
            18..27 if scalars => self.unary(rng) || self.binary(rng),
            18 | 19 => self.reduce(rng),
            20 => self.cumulative(rng),
            21 | 22 => self.dot(rng),
            23..26 => self.movement(rng),
            26 => self.join(rng),
            27 | 28 => self.rows_by_index(rng),
            29 => self.range_by_index(rng),
            30 => self.order(rng),
            31 => self.counted(rng),
            _ if self.depth == 0 => self.binary(rng),
            32..36 => self.scan(rng),
            36 => self.cond(rng),
            37 => self.while_(rng),
            _ => self.call(rng),
        };
        if !done && !self.binary(rng) {
            let x = self.any(rng);
            self.bind(Unary::StopGradient, &[x]);
        }
    }

    fn unary(&mut self, rng: &mut Rng) -> bool {
        (0..4).any(|_| {
            let x = if rng.chance(3) { self.any(rng) } else { self.float(rng) };
            let op = match rng.below(12) {
                0 => Unary::IntegerPow(rng.below(13) as i32 - 5),
                _ => *rng.choose(&UNARY),
            };
            self.bind(op, &[x])
        })
    }

    fn binary(&mut self, rng: &mut Rng) -> bool {
        (0..4).any(|_| {
            let x = if rng.chance(3) { self.any(rng) } else { self.float(rng) };
            let aval = self.aval(x);
            let fits = |other: &Aval| {
                other.dtype == aval.dtype
                    && (other.rank() == 0 || aval.rank() == 0 || other.shape == aval.shape)
            };
            let y = match self.find(rng, fits).filter(|_| !rng.chance(6)) {
                Some(found) => found,
                None => self.literal(aval.dtype, rng),
            };
            // The four rules of arithmetic are half of all.
            let op = if rng.chance(2) { BINARY[rng.below(4)] } else { *rng.choose(&BINARY) };
            let inputs = if rng.chance(2) { [x, y] } else { [y, x] };
            self.bind(op, &inputs)
        })
    }

    fn condition_of(&mut self, shape: &Shape, rng: &mut Rng) -> Atom {
        let fits =
            |aval: &Aval| aval.dtype == DType::Bool && (aval.rank() == 0 || aval.shape == *shape);
        if let Some(found) = self.find(rng, fits).filter(|_| rng.chance(2)) {
            return found;
        }
        let dtype = self.some_dtype(rng);
        let x = self.of(&Aval::new(dtype, shape.clone()), rng);
        let bar = self.literal(dtype, rng);
        let holds = self.b.binary(*rng.choose(&BINARY[15..]), x, bar);
        self.values.push(holds);
        holds
    }

    fn select(&mut self, rng: &mut Rng) -> bool {
        let x = self.any(rng);
        let aval = self.aval(x);
        let y = match rng.chance(4) {
            true => self.literal(aval.dtype, rng),
            false => self.of(&aval, rng),
        };
        let condition = self.condition_of(&aval.shape, rng);
        let inputs = if rng.chance(2) { [condition, x, y] } else { [condition, y, x] };
        self.bind(Select, &inputs)
    }

    fn convert(&mut self, rng: &mut Rng) -> bool {
        let x = self.any(rng);
        let dtype = self.some_dtype(rng);
        let from = self.aval(x);
        if !rng.chance(3) {
            return self.bind(Convert { dtype }, &[x]);
        }
        // The bits of NaN are anybody's.
        let x = match from.is_float() {
            true => {
                let is_number = self.b.binary(Binary::Eq, x, x);
                let zero = self.b.lit(0.0, x);
                self.b.select(is_number, x, zero)
            }
            false => x,
        };
        self.bind(Bitcast { dtype }, &[x])
    }

    fn reduce(&mut self, rng: &mut Rng) -> bool {
        use Fold::{And, Max, Min, Or, Prod, Sum};
        (0..4).any(|_| {
            let x = self.rows(rng);
            let rank = self.aval(x).rank();
            let keep = 2 + rng.below(3);
            let mut axes: Vec<usize> = (0..rank).filter(|_| !rng.chance(keep)).collect();
            if rng.chance(4) {
                axes.reverse();
            }
            let fold = *rng.choose(&[Sum, Sum, Sum, Sum, Max, Max, Min, Prod, And, Or]);
            self.bind(Reduce { fold, axes }, &[x])
        })
    }

    fn cumulative(&mut self, rng: &mut Rng) -> bool {
        use Fold::{Max, Min, Prod, Sum};
        let x = self.rows(rng);
        let axis = rng.below(self.aval(x).rank());
        let fold = *rng.choose(&[Sum, Sum, Max, Min, Prod]);
        self.bind(Cumulative { fold, axis, reverse: rng.chance(2) }, &[x])
    }

    /// A product over the axes of two arrays that fit by size, some of them as a batch.
    fn dot(&mut self, rng: &mut Rng) -> bool {
        (0..3).any(|_| {
            let x = self.rows(rng);
            let aval = self.aval(x);
            let same = |other: &Aval| other.dtype == aval.dtype;
            let y = self.find(rng, |other| same(other) && other.rank() > 0).unwrap_or(x);
            let (xs, ys) = (aval.shape.clone(), self.aval(y).shape);
            let mut dot = DotGeneral {
                lhs_contract: vec![],
                rhs_contract: vec![],
                lhs_batch: vec![],
                rhs_batch: vec![],
            };
            let mut free: Vec<usize> = (0..ys.rank()).collect();
            let is_batch = 2 + rng.below(3);
            for (i, &size) in xs.iter().enumerate() {
                let partner = free.iter().position(|&j| ys[j] == size).map(|place| free[place]);
                if let Some(j) = partner.filter(|_| !rng.chance(4)) {
                    free.retain(|&other| other != j);
                    let (lhs, rhs) = match rng.chance(is_batch) {
                        true => (&mut dot.lhs_batch, &mut dot.rhs_batch),
                        false => (&mut dot.lhs_contract, &mut dot.rhs_contract),
                    };
                    lhs.push(i);
                    rhs.push(j);
                }
            }
            self.bind(dot, &[x, y])
        })
    }

    fn movement(&mut self, rng: &mut Rng) -> bool {
        let x = self.any(rng);
        let shape = self.aval(x).shape;
        let rank = shape.rank();
        match rng.below(8) {
            0 | 1 => {
                // A new axis, and unit axes repeated.
                let at = rng.below(rank + 1);
                let mut sizes: Vec<usize> = shape
                    .iter()
                    .map(|&size| if size == 1 && rng.chance(2) { 3 } else { size })
                    .collect();
                sizes.insert(at, *rng.choose(&[1, 1, 2, 3, 5]));
                let axes: Vec<usize> = (0..=rank).filter(|&axis| axis != at).collect();
                self.bind(Broadcast { shape: sizes.into(), axes }, &[x])
            }
            2 => {
                let (mut left, mut sizes) = (shape.count(), vec![]);
                while left > 1 && sizes.len() < 7 && !rng.chance(4) {
                    let factors = [2, 3, 5, 7];
                    let Some(d) = factors.into_iter().find(|d| left % d == 0) else { break };
                    sizes.push(d);
                    left /= d;
                    if rng.chance(6) {
                        sizes.push(1);
                    }
                }
                sizes.push(left);
                let at = rng.below(sizes.len());
                sizes.rotate_left(at);
                self.bind(Reshape { shape: sizes.into() }, &[x])
            }
            3 => {
                let mut permutation: Vec<usize> = (0..rank).collect();
                (1..rank).for_each(|i| permutation.swap(i, rng.below(i + 1)));
                self.bind(Transpose { permutation }, &[x])
            }
            4 | 5 => {
                let (mut starts, mut sizes, mut steps) = (vec![], vec![], vec![]);
                for &n in shape.iter() {
                    let start = if rng.chance(2) { 0 } else { rng.below(n.max(1)) };
                    let step = 1 + rng.below(3) / 2;
                    let most = (n - start).div_ceil(step);
                    starts.push(start);
                    steps.push(step);
                    sizes.push(if rng.chance(2) { most } else { rng.below(most + 1) });
                }
                self.bind(Slice { starts, sizes, steps }, &[x])
            }
            6 => {
                let value = self.of(&Aval::scalar(self.aval(x).dtype), rng);
                let some = |rng: &mut Rng| if rng.chance(2) { 0 } else { rng.below(5) as i64 - 2 };
                let pad = Pad {
                    low: shape.iter().map(|_| some(rng)).collect(),
                    high: shape.iter().map(|_| some(rng)).collect(),
                    interior: shape.iter().map(|_| usize::from(rng.chance(4))).collect(),
                };
                self.bind(pad, &[x, value])
            }
            _ => {
                let axes = (0..rank).filter(|_| rng.chance(2)).collect();
                self.bind(Reverse { axes }, &[x])
            }
        }
    }

    fn join(&mut self, rng: &mut Rng) -> bool {
        let x = self.rows(rng);
        let aval = self.aval(x);
        let axis = rng.below(aval.rank());
        let mut parts = vec![x];
        while parts.len() < 2 || parts.len() < 5 && rng.chance(2) {
            let fits = |other: &Aval| {
                other.dtype == aval.dtype
                    && other.rank() == aval.rank()
                    && other.shape.with(axis, 0) == aval.shape.with(axis, 0)
            };
            parts.push(self.find(rng, fits).unwrap_or(x));
        }
        self.bind(Concat { axis }, &parts)
    }

    fn rows_by_index(&mut self, rng: &mut Rng) -> bool {
        let x = self.rows(rng);
        let aval = self.aval(x);
        let shape = &aval.shape;
        let n_batch =
            if shape.rank() > 1 && rng.chance(3) { 1 + rng.below(shape.rank() - 1) } else { 0 };
        let bounds = *rng.choose(&[Bounds::Clip, Bounds::Drop]);
        let mut sizes = shape[..n_batch].to_vec();
        for _ in 0..rng.below(3) {
            sizes.push(*rng.choose(&[1, 2, 3, 5, 0]));
        }
        if sizes.iter().product::<usize>() > self.most() {
            return false;
        }
        let at = self.index_of(&sizes.clone().into(), rng);
        if rng.chance(2) {
            return self.bind(Gather { n_batch, bounds }, &[x, at]);
        }
        sizes.extend(&shape[n_batch + 1..]);
        if sizes.iter().product::<usize>() > self.most() {
            return false;
        }
        let updates = self.of(&aval.reshaped(sizes), rng);
        let write = *rng.choose(&[Write::Set, Write::Add]);
        self.bind(Scatter { n_batch, write, bounds }, &[x, at, updates])
    }

    fn range_by_index(&mut self, rng: &mut Rng) -> bool {
        let x = self.rows(rng);
        let aval = self.aval(x);
        let sizes: Vec<usize> = aval.shape.iter().map(|&n| n - rng.below(n.clamp(1, 3))).collect();
        let starts: Vec<Atom> =
            (0..aval.rank()).map(|_| self.index_of(&Shape::scalar(), rng)).collect();
        if rng.chance(2) {
            return self.bind(DynamicSlice { sizes }, &[vec![x], starts].concat());
        }
        let update = self.of(&aval.reshaped(sizes), rng);
        self.bind(DynamicUpdate, &[vec![x, update], starts].concat())
    }

    fn order(&mut self, rng: &mut Rng) -> bool {
        let x = self.rows(rng);
        let aval = self.aval(x);
        let axis = rng.below(aval.rank());
        if rng.chance(2) {
            return self.bind(ArgReduce { greatest: rng.chance(2), axis }, &[x]);
        }
        let dtype = self.some_dtype(rng);
        let y = self.of(&Aval::new(dtype, aval.shape), rng);
        self.bind(Sort { axis, n_keys: 1 + rng.below(2) }, &[x, y])
    }

    fn counted(&mut self, rng: &mut Rng) -> bool {
        let shape = self.some_shape(rng);
        if shape.rank() == 0 || rng.chance(3) {
            let aval = Aval::new(DType::U32, shape);
            let words: Vec<Atom> = (0..4).map(|_| self.of(&aval, rng)).collect();
            return self.bind(Threefry, &words);
        }
        let axis = rng.below(shape.rank());
        let dtype = *rng.choose(&[DType::F32, DType::F64, DType::I32, DType::U32]);
        self.bind(Iota { dtype, shape, axis }, &[])
    }

    /// A program of one or more equations with these inputs; `finish` makes its outputs.
    fn body(
        &self,
        inputs: &[Aval],
        rng: &mut Rng,
        finish: impl FnOnce(&mut Programs, &mut Rng) -> Vec<Atom>,
    ) -> Arc<Program> {
        let mut body = Programs::new(self.kind, self.depth - 1);
        body.values = body.b.inputs(inputs);
        for _ in 0..1 + rng.below(5) {
            body.grow(rng);
        }
        let outputs = finish(&mut body, rng);
        Arc::new(body.b.finish(outputs))
    }

    /// A few values of any type, for a body to read.
    fn operands(&self, n: usize, rng: &mut Rng) -> Vec<Atom> {
        (0..n).filter_map(|_| self.find(rng, |_| true)).collect()
    }

    /// The last values, and sometimes others: inputs, values twice, a number.
    fn outputs(&mut self, n: usize, rng: &mut Rng) -> Vec<Atom> {
        let mut outputs: Vec<Atom> = self.values.iter().rev().take(n).copied().collect();
        if rng.chance(3) {
            outputs.extend(self.find(rng, |_| true));
        }
        if rng.chance(12) || outputs.is_empty() {
            let dtype = self.some_dtype(rng);
            outputs.push(self.literal(dtype, rng));
        }
        outputs
    }

    fn each_of(&mut self, avals: &[Aval], rng: &mut Rng) -> Vec<Atom> {
        avals.iter().map(|aval| self.of(aval, rng)).collect()
    }

    /// The next carry: often the last one with something added, as in a sum.
    fn next_of(&mut self, carry: &[Atom], rng: &mut Rng) -> Vec<Atom> {
        let avals = self.b.avals(carry);
        let next = |(&x, aval): (&Atom, &Aval)| {
            let y = self.of(aval, rng);
            match rng.below(6) {
                0 | 1 if aval.dtype != DType::Bool => self.b.add(x, y),
                2 if aval.is_float() => self.b.unary(Unary::Tanh, y),
                3 => x,
                _ => y,
            }
        };
        carry.iter().zip(&avals).map(next).collect()
    }

    fn scan(&mut self, rng: &mut Rng) -> bool {
        let (n_consts, n_carry) = (rng.below(4), rng.below(4));
        let (consts, init) = (self.operands(n_consts, rng), self.operands(n_carry, rng));
        let rows = |aval: &Aval| aval.rank() > 0 && aval.shape[0] < 20;
        let (length, mut xs) = match self.find(rng, rows).filter(|_| !rng.chance(5)) {
            Some(x) => (self.aval(x).shape[0], vec![x]),
            None => (*rng.choose(&[0, 1, 2, 3, 5, 7]), vec![]),
        };
        let fits = |aval: &Aval| aval.rank() > 0 && aval.shape[0] == length;
        while rng.chance(2) && xs.len() < 3 {
            match self.find(rng, fits) {
                Some(x) => xs.push(x),
                None => break,
            }
        }
        let mut inputs = self.b.avals(&[&consts[..], &init].concat());
        inputs.extend(self.b.avals(&xs).iter().map(Aval::row));
        let n_ys = rng.below(3);
        let n_consts = consts.len();
        let body = self.body(&inputs, rng, |body, rng| {
            let carry = body.values[n_consts..n_consts + init.len()].to_vec();
            let mut outputs = body.next_of(&carry, rng);
            if n_ys > 0 || outputs.is_empty() {
                outputs.extend(body.outputs(n_ys.max(1), rng));
            }
            outputs
        });
        let n_carry = init.len();
        let scan = Scan { body, n_consts, n_carry, length, reverse: rng.chance(3) };
        self.bind(scan, &[consts, init, xs].concat())
    }

    fn while_(&mut self, rng: &mut Rng) -> bool {
        let (n, n_consts) = (1 + rng.below(2), rng.below(2));
        let (init, consts) = (self.operands(n, rng), self.operands(n_consts, rng));
        let carry_avals = self.b.avals(&init);
        let counter = Aval::scalar(DType::I32);
        // A few steps at most: the count is the first of the carry, and its limit a constant.
        let cond = {
            let mut b = Builder::new();
            let limit = b.input(counter.clone());
            let n = b.input(counter.clone());
            let carry = b.inputs(&carry_avals);
            let limit = b.binary(Binary::Min, limit, Atom::Lit(Scalar::I32(4)));
            let mut go = b.binary(Binary::Lt, n, limit);
            if let Some(&x) = carry.iter().find(|&&x| b.aval(x).rank() == 0 && b.aval(x).is_float())
            {
                let bar = b.lit(0.4, x);
                let small = b.binary(Binary::Lt, x, bar);
                go = b.binary(Binary::And, go, small);
            }
            Arc::new(b.finish(vec![go]))
        };
        let mut inputs = self.b.avals(&consts);
        inputs.push(counter);
        inputs.extend(carry_avals);
        let n_consts = consts.len();
        let body = self.body(&inputs, rng, |body, rng| {
            let n = body.values[n_consts];
            let next = body.b.add(n, Atom::Lit(Scalar::I32(1)));
            let carry = body.values[n_consts + 1..n_consts + 1 + init.len()].to_vec();
            [vec![next], body.next_of(&carry, rng)].concat()
        });
        let limit = self.index_of(&Shape::scalar(), rng);
        let start = Atom::Lit(Scalar::I32(rng.below(2) as i32));
        let inputs = [vec![limit], consts, vec![start], init].concat();
        self.bind(While { cond, body, n_cond_consts: 1, n_body_consts: n_consts }, &inputs)
    }

    fn cond(&mut self, rng: &mut Rng) -> bool {
        let n = 1 + rng.below(3);
        let operands = self.operands(n, rng);
        let inputs = self.b.avals(&operands);
        let index = self.index_of(&Shape::scalar(), rng);
        let types: Vec<Aval> = (0..1 + rng.below(2)).map(|_| self.some_aval(rng)).collect();
        let branches = (0..1 + rng.below(3))
            .map(|_| self.body(&inputs, rng, |body, rng| body.each_of(&types, rng)))
            .collect();
        self.bind(Cond { branches }, &[vec![index], operands].concat())
    }

    /// A checkpoint, or a function with a rule of its own that is the ordinary one.
    fn call(&mut self, rng: &mut Rng) -> bool {
        let n = 1 + rng.below(3);
        let operands = self.operands(n, rng);
        let inputs = self.b.avals(&operands);
        let n_outs = 1 + rng.below(2);
        let body = self.body(&inputs, rng, |body, rng| body.outputs(n_outs, rng));
        // The rule speaks of the floats behind the captured values.
        let n_consts = rng.below(2).min(operands.len());
        let by: Vec<bool> =
            (0..inputs.len()).map(|i| i >= n_consts && inputs[i].is_float()).collect();
        let kind = match rng.below(5) {
            0 | 1 => {
                let all = vec![true; body.outputs().len()];
                let rule = Arc::new(transform::jvp(&body, &by, &all).program);
                // A rule for cotangents inside has no tangents to make a rule of.
                match rule.eqns().iter().any(|eqn| eqn.prim.has_custom_linear()) {
                    true => CallKind::Remat,
                    false => CallKind::CustomJvp { n_consts, rule },
                }
            }
            2 => custom_vjp(&body, n_consts, &by).unwrap_or(CallKind::Remat),
            _ => CallKind::Remat,
        };
        self.bind(Call { kind, body }, &operands)
    }
}
