//! Which equations of a body become one kernel.
//!
//! Equations are taken in program order. An elementwise one joins a kernel over the same index
//! space that comes late enough to read its inputs; products of one shape join into one kernel
//! and elementwise equations after them become its epilogue. Then equations sink into the later
//! kernel that alone reads them, where that saves memory traffic.

use crate::buffer::Shape;
use crate::ir::{Atom, Program, Var};
use crate::prim::{Binary, DotGeneral, Prim};

/// The most products of one kernel: their sums are held in registers together.
const MAX_PRODUCTS: usize = 4;

/// The most rows of a product outside of loops for which its weights are packed as for a step.
const MAX_ROWS: usize = 64;

/// What surrounds a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Around<'a> {
    /// It is the whole program.
    Nothing,
    /// A loop, which leaves some inputs as they are.
    Loop {
        /// Which ones.
        invariant: &'a [bool],
    },
}

/// What a kernel computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Elementwise over a shape.
    Map(Shape),
    /// Products with loop-invariant weights, and elementwise over their shape.
    Mat(MatShape),
    /// Elementwise over a shape, folded over axes.
    Reduce(Shape, Vec<usize>),
    /// One equation by itself; for a product, perhaps the sum that follows it.
    Alone,
}

/// The sizes of a product with weights: `[rows, depth] · [depth, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MatShape {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// The number of axes of the result: one (then there is one row) or two.
    pub(super) rank: usize,
    pub(super) dtype: crate::buffer::DType,
}

/// A product with weights, seen from its equation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MatForm {
    pub(super) shape: MatShape,
    pub(super) depth: usize,
    /// Whether the left operand holds the weights.
    pub(super) weights_left: bool,
}

/// Equations that become one kernel, in program order.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) kind: Kind,
    pub(super) eqns: Vec<usize>,
}

impl Cluster {
    /// Whether an equation is part of the kernel.
    pub(super) fn has(&self, eqn: usize) -> bool {
        self.eqns.binary_search(&eqn).is_ok()
    }
}

/// What an equation is for the purpose of grouping.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Class {
    /// Only another view of its input.
    Alias,
    Elementwise(Shape),
    Product(MatForm),
    Fold(Shape, Vec<usize>),
    Alone,
}

fn class(program: &Program, eqn: usize, around: Around<'_>, invariant: &[bool]) -> Class {
    let eqn = &program.eqns()[eqn];
    let shape = || program.var_aval(eqn.outputs[0]).shape.clone();
    match &eqn.prim {
        Prim::Broadcast(_)
        | Prim::Reshape(_)
        | Prim::Transpose(_)
        | Prim::Slice(_)
        | Prim::Reverse(_) => Class::Alias,
        Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::Select(_)
        | Prim::Convert(_)
        | Prim::Bitcast(_)
        | Prim::Iota(_)
        | Prim::Threefry(_) => Class::Elementwise(shape()),
        Prim::DotGeneral(dot) => match mat_form(program, dot, &eqn.inputs, around, invariant) {
            Some(form) => Class::Product(form),
            None => Class::Alone,
        },
        Prim::Reduce(reduce) => Class::Fold(program.aval(eqn.inputs[0]).shape, reduce.axes.clone()),
        Prim::ArgReduce(reduce) => {
            Class::Fold(program.aval(eqn.inputs[0]).shape, vec![reduce.axis])
        }
        Prim::Pad(_)
        | Prim::Concat(_)
        | Prim::Cumulative(_)
        | Prim::Sort(_)
        | Prim::DynamicSlice(_)
        | Prim::DynamicUpdate(_)
        | Prim::Gather(_)
        | Prim::Scatter(_)
        | Prim::Tap(_)
        | Prim::Scan(_)
        | Prim::While(_)
        | Prim::Cond(_) => Class::Alone,
        Prim::Call(_) | Prim::CustomLinear(_) => {
            panic!("internal: {} is gone by now", eqn.prim.name())
        }
    }
}

/// Whether a product has one side that does not change in the loop, and a simple shape. Outside of
/// loops only few rows meet weights so.
fn mat_form(
    program: &Program,
    dot: &DotGeneral,
    inputs: &[Atom],
    around: Around<'_>,
    invariant: &[bool],
) -> Option<MatForm> {
    let [lhs, rhs] = [program.aval(inputs[0]), program.aval(inputs[1])];
    let simple = dot.lhs_batch.is_empty() && dot.lhs_contract.len() == 1;
    if !simple || !lhs.is_float() {
        return None;
    }
    let still = |atom: Atom| atom.var().is_none_or(|var| invariant[var.index()]);
    let free = |rank: usize, contract: usize| (0..rank).filter(|&axis| axis != contract).collect();
    let lhs_free: Vec<usize> = free(lhs.rank(), dot.lhs_contract[0]);
    let rhs_free: Vec<usize> = free(rhs.rank(), dot.rhs_contract[0]);
    let depth = lhs.shape[dot.lhs_contract[0]];
    let (weights_left, rows, cols) = match (&lhs_free[..], &rhs_free[..]) {
        ([rows], [cols]) if still(inputs[1]) => (false, Some(lhs.shape[*rows]), rhs.shape[*cols]),
        ([], [cols]) if still(inputs[1]) => (false, None, rhs.shape[*cols]),
        ([cols], []) if still(inputs[0]) => (true, None, lhs.shape[*cols]),
        _ => return None,
    };
    let sizes = [rows.unwrap_or(1), cols, depth];
    if sizes.contains(&0) {
        return None;
    }
    let few = rows.is_some_and(|rows| rows <= MAX_ROWS.min(4 * cols)) && !weights_left;
    if matches!(around, Around::Nothing) && !few {
        return None;
    }
    let rank = 1 + usize::from(rows.is_some());
    let shape = MatShape { rows: rows.unwrap_or(1), cols, rank, dtype: lhs.dtype };
    Some(MatForm { shape, depth, weights_left })
}

impl Kind {
    /// The shape over which elementwise equations may join.
    fn space(&self) -> Option<Shape> {
        match self {
            Kind::Map(shape) => Some(shape.clone()),
            Kind::Mat(mat) if mat.rank == 1 => Some([mat.cols].into()),
            Kind::Mat(mat) => Some([mat.rows, mat.cols].into()),
            Kind::Reduce(..) | Kind::Alone => None,
        }
    }
}

/// The grouping under construction.
struct Grouping<'a> {
    program: &'a Program,
    around: Around<'a>,
    classes: Vec<Class>,
    clusters: Vec<Cluster>,
    /// For a variable computed elementwise or as a product: its kernel, where it can be read
    /// without memory.
    home: Vec<Option<usize>>,
    /// The first kernel that can read a variable from memory.
    readable: Vec<usize>,
    /// The equations that read a variable.
    readers: Vec<Vec<usize>>,
    is_output: Vec<bool>,
    cluster_of: Vec<Option<usize>>,
}

/// The kernels of a body, in the order in which they run.
pub(super) fn cluster(program: &Program, around: Around<'_>) -> Vec<Cluster> {
    let n = program.n_vars();
    // What does not change in the loop; outside of loops, what is made of inputs without much work.
    let mut invariant = vec![false; n];
    for (i, var) in program.inputs().iter().enumerate() {
        invariant[var.index()] = match around {
            Around::Nothing => true,
            Around::Loop { invariant } => invariant[i],
        };
    }
    let mut classes = Vec::new();
    for (i, eqn) in program.eqns().iter().enumerate() {
        let class = class(program, i, around, &invariant);
        let keeps = match around {
            Around::Nothing => {
                let is_concat = matches!(eqn.prim, Prim::Concat(_));
                is_concat || matches!(class, Class::Alias | Class::Elementwise(_))
            }
            Around::Loop { .. } => class == Class::Alias,
        };
        if keeps {
            let still = |atom: &Atom| atom.var().is_none_or(|var| invariant[var.index()]);
            invariant[eqn.outputs[0].index()] = eqn.inputs.iter().all(still);
        }
        classes.push(class);
    }
    let mut readers = vec![Vec::new(); n];
    for (i, eqn) in program.eqns().iter().enumerate() {
        for var in eqn.inputs.iter().filter_map(|atom| atom.var()) {
            readers[var.index()].push(i);
        }
    }
    let mut is_output = vec![false; n];
    for var in program.outputs().iter().filter_map(|atom| atom.var()) {
        is_output[var.index()] = true;
    }
    let mut grouping = Grouping {
        program,
        around,
        classes,
        clusters: Vec::new(),
        home: vec![None; n],
        readable: vec![0; n],
        readers,
        is_output,
        cluster_of: vec![None; program.eqns().len()],
    };
    (0..program.eqns().len()).for_each(|eqn| grouping.take(eqn));
    grouping.sink();
    grouping.add_after_products();
    let Grouping { mut clusters, .. } = grouping;
    clusters.iter_mut().for_each(|cluster| cluster.eqns.sort_unstable());
    clusters.retain(|cluster| !cluster.eqns.is_empty());
    clusters
}

impl Grouping<'_> {
    fn first_reader(&self, atom: Atom) -> usize {
        match atom {
            Atom::Lit(_) => 0,
            Atom::Var(var) => self.home[var.index()].map_or(self.readable[var.index()], |c| c + 1),
        }
    }

    fn join(&mut self, eqn: usize, cluster: usize) {
        self.clusters[cluster].eqns.push(eqn);
        self.cluster_of[eqn] = Some(cluster);
    }

    fn open(&mut self, kind: Kind) -> usize {
        self.clusters.push(Cluster { kind, eqns: vec![] });
        self.clusters.len() - 1
    }

    fn take(&mut self, i: usize) {
        let eqn = &self.program.eqns()[i];
        let cluster = match self.classes[i].clone() {
            Class::Alias => {
                let readable = self.first_reader(eqn.inputs[0]);
                self.readable[eqn.outputs[0].index()] = readable;
                return;
            }
            Class::Elementwise(space) => self.place_elementwise(&eqn.inputs, space),
            Class::Product(form) => self.place_product(&eqn.inputs, form),
            Class::Fold(space, axes) => {
                let earliest = self.first_reader(eqn.inputs[0]);
                let kind = Kind::Reduce(space, axes);
                let known =
                    (earliest..self.clusters.len()).find(|&c| self.clusters[c].kind == kind);
                known.unwrap_or_else(|| self.open(kind))
            }
            Class::Alone => self.open(Kind::Alone),
        };
        self.join(i, cluster);
        let homed = matches!(self.classes[i], Class::Elementwise(_) | Class::Product(_));
        for var in &self.program.eqns()[i].outputs {
            self.home[var.index()] = homed.then_some(cluster);
            self.readable[var.index()] = cluster + 1;
        }
    }

    fn place_elementwise(&mut self, inputs: &[Atom], space: Shape) -> usize {
        // An input computed at the same point of a kernel can be read there.
        let here = |atom: &Atom| -> Option<usize> {
            let var = atom.var()?;
            let home = self.home[var.index()]?;
            let same = self.clusters[home].kind.space() == Some(space.clone())
                && self.program.var_aval(var).shape == space;
            same.then_some(home)
        };
        let homes: Vec<Option<usize>> = inputs.iter().map(here).collect();
        let earliest = inputs
            .iter()
            .zip(&homes)
            .map(|(&atom, home)| home.unwrap_or_else(|| self.first_reader(atom)))
            .max()
            .unwrap_or(0);
        let fits = |c: &usize| self.clusters[*c].kind.space().as_ref() == Some(&space);
        let at_home = |c: &usize| homes.iter().filter(|home| **home == Some(*c)).count();
        let best = (earliest..self.clusters.len()).filter(fits).max_by_key(|c| (at_home(c), *c));
        best.unwrap_or_else(|| self.open(Kind::Map(space)))
    }

    fn place_product(&mut self, inputs: &[Atom], form: MatForm) -> usize {
        let earliest = inputs.iter().map(|&atom| self.first_reader(atom)).max().unwrap_or(0);
        let kind = Kind::Mat(form.shape);
        if matches!(self.around, Around::Nothing) {
            // One may start from the result of another.
            return self.open(kind);
        }
        let is_product = |&eqn: &usize| matches!(self.classes[eqn], Class::Product(_));
        let fits = |&c: &usize| {
            let cluster = &self.clusters[c];
            let n = cluster.eqns.iter().copied().filter(|eqn| is_product(eqn)).count();
            cluster.kind == kind && n < MAX_PRODUCTS
        };
        let known = (earliest..self.clusters.len()).find(fits);
        known.unwrap_or_else(|| self.open(kind))
    }

    /// Moves equations into the later kernel that alone reads them.
    fn sink(&mut self) {
        for i in (0..self.program.eqns().len()).rev() {
            if let Some(to) = self.sinks_to(i) {
                let from = self.cluster_of[i].expect("internal: it is in a kernel");
                self.clusters[from].eqns.retain(|&eqn| eqn != i);
                self.join(i, to);
                for var in &self.program.eqns()[i].outputs {
                    self.home[var.index()] = Some(to);
                }
            }
        }
    }

    fn sinks_to(&self, i: usize) -> Option<usize> {
        let Class::Elementwise(space) = &self.classes[i] else { return None };
        let eqn = &self.program.eqns()[i];
        let [out] = eqn.outputs[..] else { return None };
        let from = self.cluster_of[i]?;
        if self.is_output[out.index()] {
            return None;
        }
        let mut to = None;
        for &reader in &self.readers[out.index()] {
            let cluster = self.cluster_of[reader]?;
            if to.is_some_and(|to| to != cluster) {
                return None;
            }
            to = Some(cluster);
        }
        let to = to.filter(|&to| to > from)?;
        // The reader must read it at the same point.
        let fits = match &self.clusters[to].kind {
            Kind::Reduce(shape, _) => shape == space,
            Kind::Map(_) | Kind::Mat(_) => {
                self.clusters[to].kind.space().as_ref() == Some(space)
                    && !self.readers[out.index()].iter().any(|&r| self.reads_as_product(r, out))
            }
            Kind::Alone => false,
        };
        // It saves one store and one load; what it reads must then come from memory itself.
        (fits && self.new_traffic(i, from, to) <= 2).then_some(to)
    }

    fn reads_as_product(&self, reader: usize, var: Var) -> bool {
        matches!(self.classes[reader], Class::Product(_))
            && self.program.eqns()[reader].inputs.contains(&Atom::Var(var))
    }

    /// Loads and stores that appear if equation `i` moves between kernels, and with it what it alone
    /// reads.
    fn new_traffic(&self, i: usize, from: usize, to: usize) -> usize {
        let mut vars: Vec<Var> =
            self.program.eqns()[i].inputs.iter().filter_map(|atom| atom.var()).collect();
        vars.sort_unstable();
        vars.dedup();
        let mut traffic = 0;
        for var in vars {
            let readers = &self.readers[var.index()];
            if let Some(maker) = self.maker(var, i, from) {
                traffic += self.new_traffic(maker, from, to);
                continue;
            }
            let read_there = readers.iter().any(|&r| r != i && self.cluster_of[r] == Some(to));
            let made_there = self.home[var.index()] == Some(to);
            traffic += usize::from(!read_there && !made_there);
            let made_here = self.home[var.index()] == Some(from);
            let stored = self.is_output[var.index()]
                || readers.iter().any(|&r| r != i && self.cluster_of[r] != Some(from));
            traffic += usize::from(made_here && !stored);
        }
        traffic
    }

    /// The elementwise equation of kernel `from` that makes a variable for equation `i` alone.
    fn maker(&self, var: Var, i: usize, from: usize) -> Option<usize> {
        let alone = self.readers[var.index()].iter().all(|&reader| reader == i);
        if !alone || self.is_output[var.index()] || self.home[var.index()] != Some(from) {
            return None;
        }
        let makes = |&&eqn: &&usize| self.program.eqns()[eqn].outputs.contains(&var);
        let maker = *self.clusters[from].eqns.iter().find(makes)?;
        matches!(self.classes[maker], Class::Elementwise(_)).then_some(maker)
    }

    /// A sum of a big product and something known before it starts from that.
    fn add_after_products(&mut self) {
        for c in 0..self.clusters.len() {
            let is_big = match (&self.clusters[c].kind, self.around) {
                (Kind::Alone, _) | (Kind::Mat(_), Around::Nothing) => true,
                (Kind::Mat(_) | Kind::Map(_) | Kind::Reduce(..), _) => false,
            };
            let mut eqns = self.clusters[c].eqns.iter().map(|&eqn| &self.program.eqns()[eqn]);
            let product = eqns.find(|eqn| matches!(eqn.prim, Prim::DotGeneral(_)));
            let Some(eqn) = product.filter(|_| is_big) else { continue };
            let out = eqn.outputs[0];
            let [reader] = self.readers[out.index()][..] else { continue };
            let sum = &self.program.eqns()[reader];
            let is_sum = sum.prim == Prim::Binary(Binary::Add)
                && self.program.var_aval(sum.outputs[0]) == self.program.var_aval(out)
                && !self.is_output[out.index()];
            let other = sum.inputs.iter().find(|atom| **atom != Atom::Var(out));
            let known_before =
                other.is_some_and(|&other| other.var().is_some() && self.first_reader(other) <= c);
            let from = self.cluster_of[reader].filter(|&from| from != c);
            let Some(from) = from.filter(|_| is_sum && known_before) else { continue };
            self.clusters[from].eqns.retain(|&eqn| eqn != reader);
            self.join(reader, c);
            let (sum, is_mat) = (sum.outputs[0], self.clusters[c].kind != Kind::Alone);
            self.home[sum.index()] = is_mat.then_some(c);
            self.readable[sum.index()] = c + 1;
        }
    }
}
