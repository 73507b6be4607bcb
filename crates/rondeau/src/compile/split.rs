//! Work for several threads: statements at the top that take long become parts that run at the
//! same time.
//!
//! A statement is cut along *rows*, see [`cut`](super::cut). Loops are cut first. The rows of a
//! loop are those of a batch, and a buffer that it reads or writes has its rows at some distance
//! from each other. Statements around it that touch the same buffers are then cut by the same
//! rows, so that a thread finds what it wrote itself: to fetch it from another processor takes
//! longer than to compute it. A product of all steps `[time·batch, depth]·[depth, outputs]`
//! becomes a loop over time for that.
//!
//! A loop that cannot be cut, since a statement in it needs what others compute of all rows, may have
//! such statements in its body: those of a chunk of a long loop, and the sums over it. Then its body is
//! cut, and threads meet in each of its steps.
//!
//! The machine's check has the last word on whether parts stay apart. What it would refuse stays
//! whole.

use std::collections::{BTreeSet, HashMap, HashSet};

use rondeau_machine::code::{
    Binary, Buffer, BufferId, Code, Gemm, Loop, MAX_DIMS, MAX_PARTS, Mat, Node, Pack, Packed,
    Product, Stmt, Store, Terms, Unary, Val, View, Weights,
};

use super::cut::{Cutter, Surface, ranges};
use super::memory::Memory;

/// The least estimated time of a part of the first statement that is cut, in nanoseconds: to wake
/// a thread takes some tens of microseconds.
const FIRST_NS: f64 = 40_000.0;

/// The same for others, which find the threads awake and their data with them.
const NEXT_NS: f64 = 10_000.0;

/// Rows that a kernel with weights computes together, for each weight that it reads.
const MAT_ROWS: usize = 4;

/// How many kinds of rows are tried.
const MAX_TRIES: usize = 8;

/// Divides what is worth it between up to `n_threads` threads.
pub(super) fn split(
    stmts: Vec<Stmt>,
    memory: &mut Memory,
    n_threads: usize,
    notes: &mut Vec<String>,
) -> Vec<Stmt> {
    if stmts.iter().all(|stmt| n_parts_for(estimated_ns(stmt), n_threads, FIRST_NS) < 2) {
        return stmts;
    }
    let mut splitter = Splitter { memory, n_threads, known: HashMap::new(), notes };
    let mut done: Vec<Option<Vec<Stmt>>> = stmts.iter().map(|_| None).collect();
    for (stmt, done) in stmts.iter().zip(&mut done) {
        if matches!(stmt, Stmt::Loop(_)) {
            *done = splitter.alone(stmt, FIRST_NS).or_else(|| splitter.inside(stmt));
        }
    }
    // From the last to the first: what a loop reads is written before it.
    for (stmt, done) in stmts.iter().zip(&mut done).rev() {
        if done.is_none() {
            *done = splitter.beside(stmt).or_else(|| splitter.alone(stmt, NEXT_NS));
        }
    }
    let all = stmts.into_iter().zip(done);
    all.flat_map(|(stmt, done)| done.unwrap_or_else(|| vec![stmt])).collect()
}

/// How many parts of at least `least_ns` there are in so many nanoseconds.
fn n_parts_for(ns: f64, n_threads: usize, least_ns: f64) -> usize {
    // The cast saturates, and a time that is no number is none.
    ((ns / least_ns) as usize).min(n_threads).min(MAX_PARTS)
}

/// How the rows of a buffer lie that a loop has been cut by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rows {
    rows: usize,
    /// Bytes from row to row.
    pitch: i64,
    n_parts: usize,
}

struct Splitter<'a> {
    memory: &'a mut Memory,
    n_threads: usize,
    known: HashMap<BufferId, Rows>,
    notes: &'a mut Vec<String>,
}

impl Splitter<'_> {
    /// Cuts a statement by whatever rows it has.
    fn alone(&mut self, stmt: &Stmt, least_ns: f64) -> Option<Vec<Stmt>> {
        let (_, parts) = self.together(std::slice::from_ref(stmt), None, least_ns)?;
        Some(vec![parts])
    }

    /// Cuts as many of the statements as have the rows of the first one, and says how many. `around`
    /// are the steps of the loop that they stand in.
    fn together(
        &mut self,
        stmts: &[Stmt],
        around: Option<usize>,
        least_ns: f64,
    ) -> Option<(usize, Stmt)> {
        let ns: f64 = stmts.iter().map(estimated_ns).sum();
        let n_parts = n_parts_for(ns, self.n_threads, least_ns);
        if n_parts < 2 {
            return None;
        }
        let buffers = self.memory.side_by_side();
        for (rows, least) in kinds_of_rows(&stmts[0], n_parts) {
            let n_parts = n_parts.min(rows.div_ceil(least));
            let cuts = Cuts { rows, n_parts, around, pitches: &HashMap::new() };
            for n in cuts.lengths(stmts) {
                if let Some(parts) = self.parts(&stmts[..n], &cuts, &buffers) {
                    return Some((n, parts));
                }
            }
        }
        None
    }

    /// Cuts the statements in a loop's body, where that is worth it in each step.
    fn inside(&mut self, stmt: &Stmt) -> Option<Vec<Stmt>> {
        let Stmt::Loop(k) = stmt else { return None };
        let (mut body, mut rest, mut any) = (vec![], &k.body[..], false);
        while let Some(first) = rest.first() {
            // A loop by itself, and others with all up to the next one.
            let n = rest.iter().take_while(|stmt| !matches!(stmt, Stmt::Loop(_))).count().max(1);
            let (n, stmt) = match self.together(&rest[..n], Some(k.n_steps), FIRST_NS) {
                Some(cut) => {
                    any = true;
                    cut
                }
                None => (1, first.clone()),
            };
            body.push(stmt);
            rest = &rest[n..];
        }
        any.then(|| vec![Stmt::Loop(Loop { body, ..k.clone() })])
    }

    /// Cuts a statement by the rows that loops were cut by which touch the same buffers.
    fn beside(&mut self, stmt: &Stmt) -> Option<Vec<Stmt>> {
        if n_parts_for(estimated_ns(stmt), self.n_threads, NEXT_NS) < 2 {
            return None;
        }
        // Where a result goes matters most, since it has to be fetched to be written.
        let (mut written, mut read) = (vec![], vec![]);
        stmt.views(&mut |view, is_written| {
            let rows = self.known.get(&view.buffer).copied();
            if is_written { &mut written } else { &mut read }.extend(rows);
        });
        for rows in written.into_iter().chain(read) {
            let mut pitches = HashMap::new();
            stmt.views(&mut |view, _| {
                if let Some(of_buffer) = self.known.get(&view.buffer)
                    && of_buffer.rows == rows.rows
                {
                    pitches.insert(view.buffer, of_buffer.pitch);
                }
            });
            let (setup, stmt) = match by_steps(stmt, &pitches, rows.rows, self.memory) {
                Some(taken) => taken,
                None => (None, stmt.clone()),
            };
            let buffers = self.memory.side_by_side();
            let Rows { rows, n_parts, .. } = rows;
            let cuts = Cuts { rows, n_parts, around: None, pitches: &pitches };
            if let Some(parts) = self.parts(std::slice::from_ref(&stmt), &cuts, &buffers) {
                return Some(setup.into_iter().chain([parts]).collect());
            }
        }
        None
    }

    /// The parts of statements by these rows, if they have them.
    fn parts(&mut self, stmts: &[Stmt], cuts: &Cuts<'_>, buffers: &[Buffer]) -> Option<Stmt> {
        let &Cuts { rows, n_parts, around, pitches } = cuts;
        if n_parts < 2 {
            return None;
        }
        for last_first in [false, true] {
            let mut found = HashMap::new();
            let cut = ranges(rows, n_parts).into_iter().map(|range| {
                let mut cutter = Cutter::new(stmts, rows, range, last_first, pitches);
                let part = cutter.body(stmts, cuts.level())?;
                found = cutter.pitches();
                Some(part)
            });
            let Some(parts) = cut.collect::<Option<Vec<_>>>() else { continue };
            let parallel = Stmt::Parallel(parts);
            let body = match around {
                Some(n_steps) => vec![Stmt::Loop(Loop { n_steps, body: vec![parallel.clone()] })],
                None => vec![parallel.clone()],
            };
            let code = Code { buffers: buffers.to_vec(), setup: vec![], body };
            if code.check().is_err() {
                continue;
            }
            for (buffer, pitch) in found {
                self.known.entry(buffer).or_insert(Rows { rows, pitch, n_parts });
            }
            let names: Vec<String> = stmts.iter().map(name).collect();
            let place = around.map_or(String::new(), |n| format!(" in each of {n} steps"));
            self.notes.push(format!("{n_parts} parts by {rows} rows{place}: {}", names.join(", ")));
            let mut named = BTreeSet::new();
            for stmt in stmts {
                stmt.views(&mut |view, _| {
                    named.insert(view.buffer);
                });
            }
            self.memory.keep_apart(named);
            return Some(parallel);
        }
        None
    }
}

/// How statements are to be cut.
struct Cuts<'a> {
    rows: usize,
    n_parts: usize,
    /// The steps of the loop at the top that they stand in, if they do.
    around: Option<usize>,
    /// Bytes from row to row, where they are known.
    pitches: &'a HashMap<BufferId, i64>,
}

impl Cuts<'_> {
    fn level(&self) -> usize {
        self.around.is_some() as usize
    }

    /// How many statements at the front to try to cut together: all, those that have such rows each
    /// by itself, and the first one.
    fn lengths(&self, stmts: &[Stmt]) -> Vec<usize> {
        let mut lengths = vec![stmts.len(), 1];
        if stmts.len() > 2
            && let Some(range) = ranges(self.rows, self.n_parts).into_iter().next()
        {
            let mut cutter = Cutter::new(stmts, self.rows, range, false, self.pitches);
            let has_rows = |stmt: &&Stmt| cutter.stmt(stmt, self.level()).is_some();
            lengths.insert(1, stmts.iter().take_while(has_rows).count().max(1));
        }
        lengths.dedup();
        lengths
    }
}

/// A statement over `[time·rows, ..]` with a dimension for time and one for rows; a product is a
/// loop over time then, after its weights have been packed.
fn by_steps(
    stmt: &Stmt,
    pitches: &HashMap<BufferId, i64>,
    rows: usize,
    memory: &mut Memory,
) -> Option<(Option<Stmt>, Stmt)> {
    let is_row = |view: &View, stride: i64| {
        pitches.get(&view.buffer) == Some(&(stride * view.dtype.size() as i64))
    };
    let n_steps = |n: usize| (n > rows && n.is_multiple_of(rows)).then(|| n / rows);
    match stmt {
        Stmt::Gemm(k) if k.to.dtype.is_float() && is_row(&k.to, k.to.strides[0]) => {
            let (pack, stmt) = mat_of(k, rows, n_steps(k.m)?, memory);
            Some((Some(pack), stmt))
        }
        Stmt::Map(k) if k.dims.len() < MAX_DIMS => {
            let counts = k.dag.iter().any(|node| matches!(node, Node::Iota { .. }));
            let stores = || k.stores.iter().map(|store| &store.to);
            let has_rows = |&d: &usize| {
                let any = k.loads.iter().chain(stores()).any(|view| is_row(view, view.strides[d]));
                any && n_steps(k.dims[d]).is_some()
            };
            let d = (0..k.dims.len()).find(has_rows).filter(|_| !counts)?;
            let mut k = k.clone();
            let n_steps = k.dims[d] / rows;
            k.dims.splice(d..=d, [n_steps, rows]);
            let stores = k.stores.iter_mut().map(|store| &mut store.to);
            for view in k.loads.iter_mut().chain(stores) {
                view.strides.insert(d, view.strides[d] * rows as i64);
            }
            Some((None, Stmt::Map(k)))
        }
        _ => None,
    }
}

/// A product of `n_steps·rows` rows as a loop over steps, with the same sums: a chain for each.
fn mat_of(k: &Gemm, rows: usize, n_steps: usize, memory: &mut Memory) -> (Stmt, Stmt) {
    let panel = Packed::panel_for(k.to.dtype, rows, k.n, 1, k.k);
    let layout = Packed { dtype: k.to.dtype, depth: k.k, cols: k.n, panel };
    let packed = View::new(memory.lasting(layout.len() * k.to.dtype.size()), k.to.dtype);
    let step = |view: &View| {
        let by_step = view.strides[0] * rows as i64;
        view.clone().advance(0, by_step)
    };
    let pack = Pack { layout, from: k.b.clone(), to: packed.clone() };
    let terms = Terms { depth: k.k, source: step(&k.a), weights: Weights::Packed(packed, layout) };
    let product = Product { terms: vec![terms], init: k.init.as_ref().map(|_| 0) };
    let loads: Vec<View> = k.init.iter().map(step).collect();
    let mat = Mat {
        rows,
        cols: k.n,
        chains: 1,
        products: vec![product],
        loads,
        dag: vec![Node::Product(0)],
        stores: vec![Store { value: Val(0), to: step(&k.to) }],
    };
    (Stmt::Pack(pack), Stmt::Loop(Loop { n_steps, body: vec![Stmt::Mat(mat)] }))
}

/// The numbers of rows that a statement may have, best first, and how many a part needs at least.
fn kinds_of_rows(stmt: &Stmt, n_parts: usize) -> Vec<(usize, usize)> {
    let (mut of_mats, mut others) = (vec![], vec![]);
    sizes(stmt, 0, &mut of_mats, &mut others);
    // Of other dimensions the outermost that can be shared out evenly, else the largest.
    let is_large = |rows: usize| rows >= 8 * n_parts;
    let (large, mut small): (Vec<_>, Vec<_>) = others.into_iter().partition(|&n| is_large(n));
    small.sort_by_key(|&rows| std::cmp::Reverse(rows));
    let others = large.into_iter().chain(small).map(|rows| (rows, 1));
    let mut seen = HashSet::new();
    let all = of_mats.into_iter().map(|rows| (rows, MAT_ROWS)).chain(others);
    all.filter(|&(rows, _)| rows > 1 && seen.insert(rows)).take(MAX_TRIES).collect()
}

/// Collects the rows of kernels with weights, and the sizes of what else can be cut.
fn sizes(stmt: &Stmt, level: usize, of_mats: &mut Vec<usize>, others: &mut Vec<usize>) {
    match stmt {
        Stmt::Loop(k) => k.body.iter().for_each(|s| sizes(s, level + 1, of_mats, others)),
        Stmt::While(k) => {
            k.cond.iter().chain(&k.body).for_each(|s| sizes(s, level, of_mats, others));
        }
        Stmt::Switch(k) => {
            k.branches.iter().flatten().for_each(|s| sizes(s, level, of_mats, others));
        }
        _ => {}
    }
    let of_this = if matches!(stmt, Stmt::Mat(_)) { of_mats } else { others };
    of_this.extend(Surface::of(stmt, level).into_iter().flat_map(|surface| surface.dims));
}

fn name(stmt: &Stmt) -> String {
    match stmt {
        Stmt::Map(k) => format!("map {:?}", k.dims),
        Stmt::Mat(k) => format!("mat [{}, {}]", k.rows, k.cols),
        Stmt::Pack(_) => "pack".to_owned(),
        Stmt::Gemm(k) => format!("gemm [{}, {}]·[{}, {}]", k.m, k.k, k.k, k.n),
        Stmt::Reduce(k) => format!("reduce {:?} over {:?}", k.dims, k.reduced),
        Stmt::Cumulative(k) => format!("cumulative {:?}", k.dims),
        Stmt::Sort(k) => format!("sort {:?}", k.dims),
        Stmt::Gather(k) => format!("gather {:?}", k.dims),
        Stmt::Scatter(k) => format!("scatter {:?}", k.dims),
        Stmt::Loop(k) => format!("loop of {} steps", k.n_steps),
        Stmt::While(_) => "while".to_owned(),
        Stmt::Switch(_) => "switch".to_owned(),
        Stmt::Tap(_) => "tap".to_owned(),
        Stmt::Parallel(parts) => format!("{} parts", parts.len()),
    }
}

/// A rough estimate of how long a statement takes on one thread of a processor of today.
fn estimated_ns(stmt: &Stmt) -> f64 {
    let points = |dims: &[usize]| dims.iter().map(|&n| n as f64).product::<f64>();
    // Sixteen numbers an instruction, some instructions a nanosecond; memory from the second cache.
    let elementwise = |dag: &[Node], n_views: usize| {
        0.02 * dag.iter().map(instructions).sum::<f64>() + 0.05 * n_views as f64
    };
    match stmt {
        Stmt::Map(k) => points(&k.dims) * elementwise(&k.dag, k.loads.len() + k.stores.len()),
        Stmt::Reduce(k) => {
            let each = elementwise(&k.dag, k.loads.len()) + 0.05 * k.outputs.len() as f64;
            points(&k.dims) * points(&k.reduced) * each
        }
        Stmt::Mat(k) => {
            let depth: usize = k.products.iter().map(Product::depth).sum();
            let each = elementwise(&k.dag, k.loads.len() + k.stores.len()) + 0.01 * depth as f64;
            points(&[k.rows, k.cols]) * each
        }
        Stmt::Gemm(k) => {
            let each = if k.to.dtype.is_float() { 0.01 } else { 0.5 };
            points(&[k.m, k.n, k.k]) * each
        }
        Stmt::Pack(k) => points(&[k.layout.depth, k.layout.cols]),
        Stmt::Cumulative(k) => points(&k.dims),
        Stmt::Sort(k) => 20.0 * points(&k.dims),
        Stmt::Gather(k) => points(&k.dims),
        Stmt::Scatter(k) => points(&k.dims),
        Stmt::Loop(k) => k.n_steps as f64 * k.body.iter().map(estimated_ns).sum::<f64>(),
        Stmt::While(k) => k.cond.iter().chain(&k.body).map(estimated_ns).sum(),
        Stmt::Switch(k) => {
            let branches = k.branches.iter().map(|b| b.iter().map(estimated_ns).sum::<f64>());
            branches.fold(0.0, f64::max)
        }
        Stmt::Tap(_) | Stmt::Parallel(_) => 0.0,
    }
}

/// About how many instructions a node is, for each vector.
fn instructions(node: &Node) -> f64 {
    match node {
        Node::Load(_) | Node::Product(_) | Node::Const { .. } => 0.0,
        Node::Unary(op, _) => match op {
            Unary::Neg | Unary::Abs | Unary::Square | Unary::Not | Unary::IsFinite => 1.0,
            Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => 2.0,
            Unary::Sqrt | Unary::Rsqrt => 5.0,
            _ => 15.0,
        },
        Node::Binary(Binary::Pow | Binary::Atan2, ..) => 40.0,
        Node::Binary(Binary::Div | Binary::Rem, ..) => 4.0,
        Node::Threefry { .. } => 80.0,
        _ => 1.0,
    }
}
