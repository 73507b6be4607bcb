//! Random numbers, random values, and random well-typed programs.
//!
//! [`program`] and [`inputs`] are what tests need; whatever engine runs programs can be fed with
//! them.

use std::sync::Arc;

use rondeau::buffer::{Buffer, DType, Scalar, Shape};
use rondeau::ir::{Atom, Aval, Builder, Program};
use rondeau::prim::*;
use rondeau::transform;

/// A small generator of random numbers (SplitMix64): equal seeds, equal numbers, on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn chance(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// An array with each element drawn.
pub(crate) fn filled(aval: &Aval, draw: &mut dyn FnMut() -> Scalar) -> Buffer {
    let items: Vec<Scalar> = (0..aval.shape.count()).map(|_| draw()).collect();
    macro_rules! buffer {
        ($variant:ident) => {{
            let item = |item: &Scalar| match item {
                Scalar::$variant(x) => *x,
                other => panic!("{other} drawn for {aval}"),
            };
            Buffer::new(aval.shape.clone(), items.iter().map(item).collect())
        }};
    }
    match aval.dtype {
        DType::F32 => buffer!(F32),
        DType::F64 => buffer!(F64),
        DType::I32 => buffer!(I32),
        DType::U32 => buffer!(U32),
        DType::Bool => buffer!(Bool),
        other => panic!("no values of type {other}"),
    }
}

/// Random values: floats `±[0.2, 1.2)`, whole numbers from -2 (0 if unsigned) to 7.
pub(crate) fn values(aval: &Aval, rng: &mut Rng) -> Buffer {
    filled(aval, &mut || match aval.dtype {
        DType::F32 | DType::F64 => {
            let size = rng.between(0.2, 1.2);
            Scalar::of(if rng.chance(2) { -size } else { size }, aval.dtype)
        }
        DType::I32 => Scalar::I32(rng.below(10) as i32 - 2),
        DType::U32 => Scalar::U32(rng.below(8) as u32),
        _ => Scalar::Bool(rng.chance(2)),
    })
}

/// The equations of a random program: each gene decides about one, so that a program without some
/// of its genes is a program too, and failures shrink. The first gene decides about the inputs,
/// the last equations are the outputs.
pub(crate) type Genes = Vec<u64>;

/// The genes that a seed stands for.
pub(crate) fn genes(seed: u64, size: usize) -> Genes {
    let mut rng = Rng::new(seed);
    (0..=size).map(|_| rng.next()).collect()
}

/// A random well-typed program of `size` equations or a few more: smooth almost everywhere, with
/// values of size about 1 at the [`inputs`] that belong to it.
pub(crate) fn seeded(seed: u64, size: usize) -> Program {
    program(&genes(seed, size))
}

/// The program of these genes.
pub(crate) fn program(genes: &[u64]) -> Program {
    let (first, rest) = genes.split_first().unwrap_or((&0, &[]));
    let mut rng = Rng::new(*first);
    let mut gen_ = Generator::new(2);
    for i in 0..1 + rng.below(4) {
        // The first input is one to differentiate by.
        let aval =
            if i == 0 { Aval::new(DType::F64, some_shape(&mut rng)) } else { some_aval(&mut rng) };
        let atom = gen_.b.input(aval);
        gen_.add(atom, 1.2);
    }
    for &gene in rest {
        gen_.grow(&mut Rng::new(gene));
    }
    let outputs = gen_.outputs(1 + rng.below(3), &mut rng);
    gen_.b.finish(outputs)
}

/// A point for a program.
pub(crate) fn inputs(program: &Program, seed: u64) -> Vec<Buffer> {
    let mut rng = Rng::new(seed);
    program.input_avals().iter().map(|aval| values(aval, &mut rng)).collect()
}

/// Values stay below this size.
const BOUND: f64 = 2.0;
/// Arrays stay below this many elements.
const MOST: usize = 48;

fn some_shape(rng: &mut Rng) -> Shape {
    let rank = *rng.choose(&[0, 1, 1, 1, 2, 2, 3]);
    let size = |rng: &mut Rng| if rng.chance(60) { 0 } else { *rng.choose(&[1, 2, 2, 3, 3, 4]) };
    (0..rank).map(|_| size(rng)).collect()
}

fn some_aval(rng: &mut Rng) -> Aval {
    match rng.below(8) {
        0 => Aval::scalar(DType::I32),
        1 => Aval::new(DType::I32, some_shape(rng)),
        2 => Aval::new(DType::Bool, some_shape(rng)),
        _ => Aval::new(DType::F64, some_shape(rng)),
    }
}

/// A program under construction, and what is known of its values.
struct Generator {
    b: Builder,
    /// Each value that can be read, and how large it may be.
    values: Vec<(Atom, f64)>,
    /// How many programs may still lie in one another.
    depth: usize,
}

impl Generator {
    fn new(depth: usize) -> Generator {
        Generator { b: Builder::new(), values: Vec::new(), depth }
    }

    fn add(&mut self, atom: Atom, bound: f64) {
        self.values.push((atom, bound));
    }

    fn shape(&self, x: Atom) -> Shape {
        self.b.aval(x).shape
    }

    /// A value that fits, later ones more likely.
    fn find(&self, rng: &mut Rng, fits: impl Fn(&Aval) -> bool) -> Option<(Atom, f64)> {
        let found: Vec<_> =
            self.values.iter().copied().filter(|&(atom, _)| fits(&self.b.aval(atom))).collect();
        let late = rng.below(found.len().max(1)).max(rng.below(found.len().max(1)));
        found.get(late).copied()
    }

    /// A float; there is always one.
    fn float(&self, rng: &mut Rng) -> (Atom, f64) {
        self.find(rng, Aval::is_float).unwrap_or((Atom::Lit(Scalar::F64(0.7)), 0.7))
    }

    /// A float with a first axis that is not empty, or any float broadcast to have one.
    fn rows(&mut self, rng: &mut Rng) -> (Atom, f64) {
        match self.find(rng, |aval| aval.is_float() && aval.rank() > 0 && aval.shape.count() > 0) {
            Some(found) => found,
            None => {
                let (x, bound) = self.float(rng);
                let shape = self.shape(x);
                match shape.count() {
                    0 => (self.b.full(0.5, &Aval::new(DType::F64, [3])), 0.5),
                    _ => (self.b.repeat(x, 2), bound),
                }
            }
        }
    }

    /// A float of this shape, made from another if there is none.
    fn float_of(&mut self, shape: &Shape, rng: &mut Rng) -> (Atom, f64) {
        let fits = |aval: &Aval| aval.is_float() && aval.shape == *shape;
        match self.find(rng, fits) {
            Some(found) if !rng.chance(8) => found,
            _ => {
                let scalar = self.find(rng, |aval| aval.is_float() && aval.rank() == 0);
                let (x, bound) = scalar.unwrap_or((Atom::Lit(Scalar::F64(0.6)), 0.6));
                let full = if shape.rank() == 0 { x } else { self.b.broadcast(x, shape, &[]) };
                (full, bound)
            }
        }
    }

    /// Small whole numbers of this shape: data, or counted, or the places of greatest values.
    fn index_of(&mut self, shape: &Shape, rng: &mut Rng) -> Atom {
        let fits = |aval: &Aval| aval.dtype == DType::I32 && aval.shape == *shape;
        match self.find(rng, fits) {
            Some((found, _)) => found,
            None if shape.rank() == 0 => {
                match self.find(rng, |aval| aval.is_float() && aval.rank() == 0) {
                    Some((x, _)) if rng.chance(2) => {
                        let scaled = self.b.mul(Atom::Lit(Scalar::F64(2.7)), x);
                        self.b.convert(scaled, DType::I32)
                    }
                    _ => Atom::Lit(Scalar::I32(rng.below(4) as i32)),
                }
            }
            None => {
                let axis = rng.below(shape.rank());
                let iota = Iota { dtype: DType::I32, shape: shape.clone(), axis };
                let counted = self.b.bind1(iota, &[]);
                let other = Atom::Lit(Scalar::I32(rng.below(5) as i32));
                self.b.binary(Binary::Xor, counted, other)
            }
        }
    }

    /// Truth values of this shape, or one.
    fn condition_of(&mut self, shape: &Shape, rng: &mut Rng) -> Atom {
        let fits =
            |aval: &Aval| aval.dtype == DType::Bool && (aval.rank() == 0 || aval.shape == *shape);
        match self.find(rng, fits) {
            Some((found, _)) if rng.chance(2) => found,
            _ => {
                let (x, _) = self.float_of(shape, rng);
                let bar = Atom::Lit(Scalar::F64(rng.between(-0.8, 0.8)));
                let op = *rng.choose(&[Binary::Lt, Binary::Ge]);
                let holds = self.b.binary(op, x, bar);
                self.add(holds, 1.0);
                holds
            }
        }
    }

    /// Adds a float after bringing it back to size.
    fn settle(&mut self, x: Atom, bound: f64, rng: &mut Rng) {
        if bound <= BOUND {
            return self.add(x, bound);
        }
        if rng.chance(2) {
            let op = *rng.choose(&[Unary::Sin, Unary::Tanh, Unary::Atan]);
            let y = self.b.unary(op, x);
            return self.add(y, 1.6);
        }
        let scale = (BOUND / bound).log2().floor().exp2();
        let y = self.b.mul(Atom::Lit(Scalar::F64(scale)), x);
        self.add(y, BOUND);
    }

    /// Appends one equation, and those that it needs.
    fn grow(&mut self, rng: &mut Rng) {
        match rng.below(30) {
            0..5 => self.unary(rng),
            5..10 => self.binary(rng),
            10 => self.select(rng),
            11..13 => self.reduce(rng),
            13 => self.cumulative(rng),
            14..17 => self.dot(rng),
            17..20 => self.movement(rng),
            20 => self.join(rng),
            21 => self.rows_by_index(rng),
            22 => self.range_by_index(rng),
            23 => self.whole_numbers(rng),
            24 => self.sort(rng),
            _ if self.depth == 0 => self.unary(rng),
            25 | 26 => self.scan(rng),
            27 => self.cond(rng),
            28 if rng.chance(4) => self.while_(rng),
            _ => self.call(rng),
        }
    }

    fn unary(&mut self, rng: &mut Rng) {
        let (x, bound) = self.float(rng);
        let b = &mut self.b;
        let one = Atom::Lit(Scalar::F64(1.0));
        let (y, bound) = match rng.below(18) {
            0..3 => (b.unary(Unary::Sin, x), 1.0),
            3..5 => (b.unary(Unary::Cos, x), 1.0),
            5..8 => (b.unary(Unary::Tanh, x), 1.0),
            8 | 9 => (b.unary(Unary::Logistic, x), 1.0),
            10 => (b.unary(Unary::Atan, x), 1.6),
            11 => (b.unary(Unary::Erf, x), 1.0),
            12 => (b.neg(x), bound),
            13 => {
                (b.unary(Unary::IntegerPow(2 + rng.below(2) as i32), x), bound.powi(3).max(bound))
            }
            14 => (b.unary(Unary::Abs, x), bound),
            15 => {
                let half = b.mul(Atom::Lit(Scalar::F64(0.25)), x);
                (
                    b.unary(
                        *rng.choose(&[Unary::Exp, Unary::Expm1, Unary::Sinh, Unary::Cosh]),
                        half,
                    ),
                    2.0,
                )
            }
            16 => {
                let square = b.mul(x, x);
                (b.unary(Unary::Log1p, square), bound * bound)
            }
            _ => {
                let square = b.mul(x, x);
                let under = b.add(one, square);
                (b.unary(*rng.choose(&[Unary::Sqrt, Unary::Rsqrt]), under), 1.0 + bound)
            }
        };
        self.settle(y, bound, rng);
    }

    fn binary(&mut self, rng: &mut Rng) {
        let (x, x_bound) = self.float(rng);
        let shape = self.shape(x);
        let fits = |aval: &Aval| aval.is_float() && (aval.rank() == 0 || aval.shape == shape);
        let (y, y_bound) = match self.find(rng, fits) {
            Some(found) if !rng.chance(6) => found,
            _ => {
                let value = rng.between(-1.5, 1.5);
                (Atom::Lit(Scalar::F64(value)), 1.5)
            }
        };
        let ((x, x_bound), (y, y_bound)) = match rng.chance(2) {
            true => ((x, x_bound), (y, y_bound)),
            false => ((y, y_bound), (x, x_bound)),
        };
        let b = &mut self.b;
        let (z, bound) = match rng.below(12) {
            0..3 => (b.add(x, y), x_bound + y_bound),
            3 | 4 => (b.sub(x, y), x_bound + y_bound),
            5..9 => (b.mul(x, y), x_bound * y_bound),
            9 => (b.binary(*rng.choose(&[Binary::Max, Binary::Min]), x, y), x_bound.max(y_bound)),
            10 => {
                // Off zero.
                let square = b.mul(y, y);
                let under = b.add(Atom::Lit(Scalar::F64(0.75)), square);
                (b.div(x, under), x_bound * 4.0 / 3.0)
            }
            _ => {
                let square = b.mul(y, y);
                let base = b.add(Atom::Lit(Scalar::F64(0.75)), square);
                let power = b.unary(Unary::Sin, x);
                (b.binary(Binary::Pow, base, power), 0.75 + y_bound * y_bound)
            }
        };
        self.settle(z, bound, rng);
    }

    fn select(&mut self, rng: &mut Rng) {
        let (x, x_bound) = self.float(rng);
        let shape = self.shape(x);
        let (y, y_bound) = self.float_of(&shape, rng);
        let condition = self.condition_of(&shape, rng);
        let z = self.b.select(condition, x, y);
        self.add(z, x_bound.max(y_bound));
    }

    fn reduce(&mut self, rng: &mut Rng) {
        let (x, bound) = self.float(rng);
        let shape = self.shape(x);
        let mut axes: Vec<usize> = (0..shape.rank()).filter(|_| !rng.chance(3)).collect();
        if rng.chance(4) {
            axes.reverse();
        }
        let n: usize = axes.iter().map(|&axis| shape[axis]).product();
        let (fold, bound) = match rng.below(6) {
            0 if n > 0 => (Fold::Max, bound),
            1 if n > 0 => (Fold::Min, bound),
            2 if n <= 6 => (Fold::Prod, bound.max(1.0).powi(n as i32)),
            _ => (Fold::Sum, bound * n as f64),
        };
        let y = self.b.bind1(Reduce { fold, axes }, &[x]);
        self.settle(y, bound, rng);
    }

    fn cumulative(&mut self, rng: &mut Rng) {
        let (x, bound) = self.rows(rng);
        let shape = self.shape(x);
        let axis = rng.below(shape.rank());
        let n = shape[axis];
        let (fold, bound) = match rng.below(6) {
            0 => (Fold::Max, bound),
            1 => (Fold::Min, bound),
            2 if n <= 6 => (Fold::Prod, bound.max(1.0).powi(n as i32)),
            _ => (Fold::Sum, bound * n as f64),
        };
        let prim = Cumulative { fold, axis, reverse: rng.chance(2) };
        let y = self.b.bind1(prim, &[x]);
        self.settle(y, bound, rng);
    }

    /// A product over the axes of two arrays that fit by size, some of them as a batch.
    fn dot(&mut self, rng: &mut Rng) {
        let (x, x_bound) = self.rows(rng);
        let (y, y_bound) = self.float(rng);
        let (xs, ys) = (self.shape(x), self.shape(y));
        let mut dot = DotGeneral {
            lhs_contract: vec![],
            rhs_contract: vec![],
            lhs_batch: vec![],
            rhs_batch: vec![],
        };
        let mut free: Vec<usize> = (0..ys.rank()).collect();
        let mut n = 1;
        for (i, &size) in xs.iter().enumerate() {
            let partner = free.iter().position(|&j| ys[j] == size);
            if let Some(j) = partner.map(|place| free[place]).filter(|_| !rng.chance(4)) {
                free.retain(|&other| other != j);
                if rng.chance(3) {
                    dot.lhs_batch.push(i);
                    dot.rhs_batch.push(j);
                } else {
                    dot.lhs_contract.push(i);
                    dot.rhs_contract.push(j);
                    n *= size;
                }
            }
        }
        let shared: usize = dot.lhs_batch.iter().map(|&i| xs[i]).product::<usize>() * n * n;
        let count = xs.count().max(1) * ys.count().max(1) / shared.max(1);
        if count > MOST {
            return self.unary(rng);
        }
        let z = self.b.bind1(dot, &[x, y]);
        self.settle(z, x_bound * y_bound * n as f64, rng);
    }

    fn movement(&mut self, rng: &mut Rng) {
        let (x, bound) = self.float(rng);
        let shape = self.shape(x);
        let rank = shape.rank();
        let y = match rng.below(7) {
            0 if shape.count() <= MOST / 3 && rank < 4 => {
                // A new axis, and unit axes repeated.
                let at = rng.below(rank + 1);
                let mut sizes: Vec<usize> = shape
                    .iter()
                    .map(|&size| if size == 1 && rng.chance(2) { 2 } else { size })
                    .collect();
                sizes.insert(at, 1 + rng.below(3));
                let axes: Vec<usize> = (0..=rank).filter(|&axis| axis != at).collect();
                self.b.broadcast(x, &sizes.into(), &axes)
            }
            1 => {
                let (n, mut sizes) = (shape.count(), vec![]);
                match [2, 3].into_iter().find(|d| n > 0 && n % d == 0) {
                    Some(d) => sizes.extend([n / d, d]),
                    None => sizes.push(n),
                }
                self.b.bind1(Reshape { shape: sizes.into() }, &[x])
            }
            2 if rank > 1 => {
                let mut permutation: Vec<usize> = (0..rank).collect();
                (1..rank).for_each(|i| permutation.swap(i, rng.below(i + 1)));
                self.b.bind1(Transpose { permutation }, &[x])
            }
            3 => {
                let (mut starts, mut sizes, mut steps) = (vec![], vec![], vec![]);
                for &n in shape.iter() {
                    let start = rng.below(n.max(1));
                    let step = 1 + rng.below(2);
                    starts.push(start);
                    steps.push(step);
                    sizes.push((n - start).div_ceil(step).min(1 + rng.below(4)));
                }
                self.b.bind1(Slice { starts, sizes, steps }, &[x])
            }
            4 if shape.count() <= MOST / 6 => {
                let (value, _) = self.float_of(&Shape::scalar(), rng);
                let n_axes = 0..rank;
                let pad = Pad {
                    low: n_axes.clone().map(|_| rng.below(4) as i64 - 1).collect(),
                    high: n_axes.clone().map(|_| rng.below(4) as i64 - 1).collect(),
                    interior: n_axes.map(|_| rng.below(2)).collect(),
                };
                match self.b.try_bind(pad, &[x, value]) {
                    Ok(padded) => return self.add(padded[0], bound.max(BOUND)),
                    Err(_) => self.b.neg(x),
                }
            }
            5 => {
                let axes = (0..rank).filter(|_| rng.chance(2)).collect();
                self.b.bind1(Reverse { axes }, &[x])
            }
            _ => match rank {
                0 => self.b.repeat(x, 3),
                _ => {
                    let axes: Vec<usize> = (0..rank).rev().collect();
                    self.b.permute(x, &axes)
                }
            },
        };
        self.add(y, bound);
    }

    fn join(&mut self, rng: &mut Rng) {
        let (x, mut bound) = self.rows(rng);
        let shape = self.shape(x);
        let axis = rng.below(shape.rank());
        let mut parts = vec![x];
        while parts.len() < 3 && rng.chance(2) || parts.len() < 2 {
            let fits = |aval: &Aval| {
                aval.is_float()
                    && aval.rank() == shape.rank()
                    && aval.shape.with(axis, 0) == shape.with(axis, 0)
            };
            let (y, y_bound) = self.find(rng, fits).unwrap_or((x, bound));
            bound = bound.max(y_bound);
            parts.push(y);
        }
        let count: usize = parts.iter().map(|&part| self.shape(part).count()).sum();
        if count <= MOST {
            let y = self.b.bind1(Concat { axis }, &parts);
            self.add(y, bound);
        }
    }

    fn rows_by_index(&mut self, rng: &mut Rng) {
        let (x, bound) = self.rows(rng);
        let shape = self.shape(x);
        let n_batch = if shape.rank() > 1 && rng.chance(3) { 1 } else { 0 };
        let bounds = *rng.choose(&[Bounds::Clip, Bounds::Drop]);
        let mut sizes = shape[..n_batch].to_vec();
        if !rng.chance(4) {
            sizes.push(1 + rng.below(3));
        }
        let at = self.index_of(&sizes.clone().into(), rng);
        if rng.chance(2) {
            let y = self.b.bind1(Gather { n_batch, bounds }, &[x, at]);
            return self.add(y, bound);
        }
        sizes.extend(&shape[n_batch + 1..]);
        let (updates, update_bound) = self.float_of(&sizes.into(), rng);
        let write = *rng.choose(&[Write::Set, Write::Add]);
        let y = self.b.bind1(Scatter { n_batch, write, bounds }, &[x, at, updates]);
        self.settle(y, bound + 3.0 * update_bound, rng);
    }

    fn range_by_index(&mut self, rng: &mut Rng) {
        let (x, bound) = self.rows(rng);
        let shape = self.shape(x);
        let sizes: Vec<usize> = shape.iter().map(|&n| n - rng.below(n.min(2))).collect();
        let starts: Vec<Atom> =
            (0..shape.rank()).map(|_| self.index_of(&Shape::scalar(), rng)).collect();
        if rng.chance(2) {
            let y = self.b.bind1(DynamicSlice { sizes }, &[vec![x], starts].concat());
            return self.add(y, bound);
        }
        let (update, update_bound) = self.float_of(&sizes.into(), rng);
        let y = self.b.bind1(DynamicUpdate, &[vec![x, update], starts].concat());
        self.add(y, bound.max(update_bound));
    }

    /// Indices and truth values, some of them from floats.
    fn whole_numbers(&mut self, rng: &mut Rng) {
        let y = match rng.below(4) {
            0 => {
                let (x, _) = self.rows(rng);
                let axis = rng.below(self.b.aval(x).rank());
                self.b.bind1(ArgReduce { greatest: rng.chance(2), axis }, &[x])
            }
            1 => {
                let (x, _) = self.float(rng);
                let shape = self.shape(x);
                let holds = self.condition_of(&shape, rng);
                return self.add(holds, 1.0);
            }
            2 => {
                let (x, _) = self.float(rng);
                let scaled = self.b.mul(Atom::Lit(Scalar::F64(1.7)), x);
                self.b.convert(scaled, DType::I32)
            }
            _ => {
                let shape = some_shape(rng);
                let at = self.index_of(&shape, rng);
                let x = self.b.convert(at, DType::F64);
                let y = self.b.unary(Unary::Sin, x);
                return self.add(y, 1.0);
            }
        };
        self.add(y, 4.0);
    }

    fn sort(&mut self, rng: &mut Rng) {
        let (x, bound) = self.rows(rng);
        let shape = self.shape(x);
        let axis = rng.below(shape.rank());
        let (y, y_bound) = self.float_of(&shape, rng);
        let sorted = self.b.bind(Sort { axis, n_keys: 1 + rng.below(2) }, &[x, y]);
        self.add(sorted[0], bound);
        self.add(sorted[1], y_bound);
    }

    /// A program of one or more equations with these inputs; `finish` makes its outputs.
    fn body(
        &self,
        inputs: &[(Aval, f64)],
        rng: &mut Rng,
        finish: impl FnOnce(&mut Generator, &mut Rng) -> Vec<Atom>,
    ) -> Arc<Program> {
        let mut body = Generator::new(self.depth - 1);
        for (aval, bound) in inputs {
            let atom = body.b.input(aval.clone());
            body.add(atom, *bound);
        }
        for _ in 0..1 + rng.below(4) {
            body.grow(rng);
        }
        let outputs = finish(&mut body, rng);
        Arc::new(body.b.finish(outputs))
    }

    /// A few values of any type, for a body to read.
    fn operands(&self, n: usize, rng: &mut Rng) -> Vec<(Atom, f64)> {
        (0..n).filter_map(|_| self.find(rng, |_| true)).collect()
    }

    fn typed(&self, operands: &[(Atom, f64)]) -> Vec<(Aval, f64)> {
        operands.iter().map(|&(atom, bound)| (self.b.aval(atom), bound)).collect()
    }

    /// The last values, and sometimes others: inputs, values twice, a number.
    fn outputs(&mut self, n: usize, rng: &mut Rng) -> Vec<Atom> {
        let last: Vec<Atom> = self.values.iter().rev().take(n).map(|&(atom, _)| atom).collect();
        let mut outputs = last;
        if rng.chance(3) {
            outputs.extend(self.find(rng, |_| true).map(|(atom, _)| atom));
        }
        if rng.chance(12) {
            outputs.push(Atom::Lit(Scalar::F64(0.25)));
        }
        outputs
    }

    /// A value of the type of each of these, of size at most 1: made of the body's values.
    fn next_of(&mut self, avals: &[Aval], rng: &mut Rng) -> Vec<Atom> {
        let next = |aval: &Aval| match aval.dtype {
            DType::F64 => {
                let (x, _) = self.float_of(&aval.shape, rng);
                match rng.chance(6) {
                    // Left as it is: a carry that changes places, or does not change.
                    true => x,
                    false => self.b.unary(*rng.choose(&[Unary::Tanh, Unary::Sin]), x),
                }
            }
            DType::I32 => self.index_of(&aval.shape, rng),
            _ => {
                let holds = self.condition_of(&aval.shape, rng);
                match self.b.aval(holds).shape == aval.shape {
                    true => holds,
                    false => self.b.broadcast(holds, &aval.shape, &[]),
                }
            }
        };
        avals.iter().map(next).collect()
    }

    fn scan(&mut self, rng: &mut Rng) {
        let n_consts = rng.below(3);
        let n_carry = rng.below(3);
        let consts = self.operands(n_consts, rng);
        let init = self.operands(n_carry, rng);
        let (length, mut xs) = match self.find(rng, |aval| aval.rank() > 0 && aval.shape[0] < 5) {
            Some(x) => (self.shape(x.0)[0], vec![x]),
            None => (rng.below(4), vec![]),
        };
        if rng.chance(2) {
            xs.extend(self.find(rng, |aval| aval.rank() > 0 && aval.shape[0] == length));
        }
        let mut inputs = self.typed(&[&consts[..], &init].concat());
        let carry_avals: Vec<Aval> = self.typed(&init).into_iter().map(|(aval, _)| aval).collect();
        for (_, bound) in &mut inputs[consts.len()..] {
            *bound = BOUND;
        }
        inputs.extend(self.typed(&xs).into_iter().map(|(aval, bound)| (aval.row(), bound)));
        let n_ys = rng.below(3);
        let body = self.body(&inputs, rng, |body, rng| {
            let mut outputs = body.next_of(&carry_avals, rng);
            if n_ys > 0 || outputs.is_empty() {
                outputs.extend(body.outputs(n_ys.max(1), rng));
            }
            outputs
        });
        let (n_consts, n_carry) = (consts.len(), init.len());
        let scan = Scan { body, n_consts, n_carry, length, reverse: rng.chance(3) };
        self.close(scan, &[consts, init, xs].concat());
    }

    fn while_(&mut self, rng: &mut Rng) {
        let n = 1 + rng.below(2);
        let init = self.operands(n, rng);
        let n = rng.below(2);
        let consts = self.operands(n, rng);
        let carry_avals: Vec<Aval> = self.typed(&init).into_iter().map(|(aval, _)| aval).collect();
        let counter = (Aval::scalar(DType::I32), 0.0);
        // At most three steps: the count is the first of the carry, and its limit a constant.
        let cond = {
            let mut b = Builder::new();
            let limit = b.input(counter.0.clone());
            let n = b.input(counter.0.clone());
            let carry = b.inputs(&carry_avals);
            let limit = b.binary(Binary::Min, limit, Atom::Lit(Scalar::I32(3)));
            let mut go = b.binary(Binary::Lt, n, limit);
            if let Some(&x) = carry.iter().find(|&&x| b.aval(x) == Aval::scalar(DType::F64)) {
                let small = b.binary(Binary::Lt, x, Atom::Lit(Scalar::F64(0.4)));
                go = b.binary(Binary::And, go, small);
            }
            Arc::new(b.finish(vec![go]))
        };
        let mut inputs = self.typed(&consts);
        inputs.push(counter);
        inputs.extend(carry_avals.iter().map(|aval| (aval.clone(), BOUND)));
        let n_consts = consts.len();
        let body = self.body(&inputs, rng, |body, rng| {
            let n = body.values[n_consts].0;
            let next = body.b.add(n, Atom::Lit(Scalar::I32(1)));
            [vec![next], body.next_of(&carry_avals, rng)].concat()
        });
        let limit = (self.index_of(&Shape::scalar(), rng), 4.0);
        let start = (Atom::Lit(Scalar::I32(rng.below(2) as i32)), 1.0);
        let inputs = [vec![limit], consts, vec![start], init].concat();
        let prim = While { cond, body, n_cond_consts: 1, n_body_consts: n_consts };
        self.close(prim, &inputs);
    }

    fn cond(&mut self, rng: &mut Rng) {
        let n = 1 + rng.below(3);
        let operands = self.operands(n, rng);
        let inputs = self.typed(&operands);
        let index = match rng.chance(3) {
            true => {
                let holds = self.condition_of(&Shape::scalar(), rng);
                self.b.convert(holds, DType::I32)
            }
            false => self.index_of(&Shape::scalar(), rng),
        };
        let types: Vec<Aval> = (0..1 + rng.below(2))
            .map(|i| if i == 0 { Aval::new(DType::F64, some_shape(rng)) } else { some_aval(rng) })
            .collect();
        let branches = (0..1 + rng.below(3))
            .map(|_| self.body(&inputs, rng, |body, rng| body.next_of(&types, rng)))
            .collect();
        self.close(Cond { branches }, &[vec![(index, 4.0)], operands].concat());
    }

    /// A checkpoint, or a function with a rule of its own that is the ordinary one.
    fn call(&mut self, rng: &mut Rng) {
        let n = 1 + rng.below(3);
        let operands = self.operands(n, rng);
        let n_outs = 1 + rng.below(2);
        let body = self.body(&self.typed(&operands), rng, |body, rng| body.outputs(n_outs, rng));
        // The rule speaks of the floats behind the captured values.
        let n_consts = rng.below(2).min(operands.len());
        let avals = body.input_avals();
        let by: Vec<bool> =
            (0..avals.len()).map(|i| i >= n_consts && avals[i].is_float()).collect();
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
        self.close(Call { kind, body }, &operands);
    }

    /// Binds a primitive with bodies; all its outputs can be read.
    fn close(&mut self, prim: impl Into<Prim>, inputs: &[(Atom, f64)]) {
        let atoms: Vec<Atom> = inputs.iter().map(|&(atom, _)| atom).collect();
        for y in self.b.bind(prim, &atoms) {
            self.add(y, BOUND);
        }
    }
}

/// The ordinary rule for cotangents, from the inputs as residuals; `None` if there is none.
pub(crate) fn custom_vjp(body: &Program, n_consts: usize, by: &[bool]) -> Option<CallKind> {
    let avals = body.input_avals();
    let mut forward = Builder::new();
    let inputs = forward.inputs(&avals);
    let outputs = forward.inline(body, &inputs);
    let forward = forward.finish([outputs, inputs].concat());

    let mut backward = Builder::new();
    let inputs = backward.inputs(&avals);
    let cts: Vec<Cotangent> = (body.output_avals().into_iter())
        .map(|aval| match aval.is_float() {
            true => Cotangent::Value(backward.input(aval)),
            false => Cotangent::Zero,
        })
        .collect();
    let (_, cts) = transform::vjp_into(&mut backward, body, &inputs, by, |_, _| cts).ok()?;
    let floats: Vec<&Aval> = (0..avals.len()).filter(|&i| by[i]).map(|i| &avals[i]).collect();
    let cts =
        cts.iter().zip(floats).map(|(ct, aval)| ct.instantiate(&mut backward, aval)).collect();
    let (forward, backward) = (Arc::new(forward), Arc::new(backward.finish(cts)));
    Some(CallKind::CustomVjp { n_consts, forward, backward })
}
