//! Work for several threads: statements at the top that take long become parts that run at the
//! same time.
//!
//! A statement is cut along something that it does for each of a number of *rows*: the examples
//! of a batch, through all steps of a loop; the rows of a product; a dimension of a map. Every
//! statement of a loop must have the same rows, and each buffer that the loop writes must have
//! one distance from row to row, so that all that belongs to a row goes to one part. Sums stay
//! whole, and in their order, so that no bit depends on the number of parts.
//!
//! The machine's check has the last word on whether parts stay apart. What it would refuse stays
//! whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use rondeau_machine::code::{
    Binary, Buffer, BufferId, Code, Loop, MAX_PARTS, Node, Stmt, Unary, View,
};

use super::memory::Memory;

/// The least estimated time of a part, in nanoseconds; to start it and to wait for it takes some
/// microseconds if the other thread is awake, and tens of them if it sleeps.
const PART_NS: f64 = 40_000.0;

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
    if stmts.iter().all(|stmt| n_parts_for(stmt, n_threads) < 2) {
        return stmts;
    }
    let buffers = memory.side_by_side();
    let mut divide = |stmt: Stmt| {
        let Some((rows, parts)) = parts(&stmt, &buffers, n_parts_for(&stmt, n_threads)) else {
            return stmt;
        };
        notes.push(format!("{} parts by {rows} rows: {}", parts.len(), name(&stmt)));
        let mut named = BTreeSet::new();
        stmt.views(&mut |view, _| {
            named.insert(view.buffer);
        });
        memory.keep_apart(named);
        Stmt::Parallel(parts)
    };
    stmts.into_iter().map(&mut divide).collect()
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

fn n_parts_for(stmt: &Stmt, n_threads: usize) -> usize {
    // The cast saturates, and a time that is no number is none.
    ((estimated_ns(stmt) / PART_NS) as usize).min(n_threads).min(MAX_PARTS)
}

/// The parts of a statement, at most `n_parts`, and the number of rows that they share out.
fn parts(stmt: &Stmt, buffers: &[Buffer], n_parts: usize) -> Option<(usize, Vec<Vec<Stmt>>)> {
    if n_parts < 2 {
        return None;
    }
    for (rows, least) in kinds_of_rows(stmt, n_parts) {
        let n_parts = n_parts.min(rows.div_ceil(least));
        if n_parts < 2 {
            continue;
        }
        for last_first in [false, true] {
            let ranges = ranges(rows, n_parts);
            let cut = ranges.into_iter().map(|range| {
                Cutter::new(stmt, rows, range, last_first).stmt(stmt, 0).map(|stmt| vec![stmt])
            });
            let Some(parts) = cut.collect::<Option<Vec<_>>>() else { continue };
            let body = vec![Stmt::Parallel(parts.clone())];
            if (Code { buffers: buffers.to_vec(), body }).check().is_ok() {
                return Some((rows, parts));
            }
        }
    }
    None
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

/// Even ranges of all rows, at the multiples that kernels like where there are many.
fn ranges(rows: usize, n_parts: usize) -> Vec<Range<usize>> {
    let unit = match rows / n_parts {
        0..4 => 1,
        4..64 => 4,
        _ => 16,
    };
    let end = |i: usize| match i == n_parts {
        true => rows,
        false => (rows * i / n_parts).next_multiple_of(unit).min(rows),
    };
    let ranges = (0..n_parts).map(|i| end(i)..end(i + 1));
    ranges.filter(|range| !range.is_empty()).collect()
}

/// Takes a range of rows from statements.
struct Cutter {
    rows: usize,
    range: Range<usize>,
    /// Tries dimensions from the innermost on.
    last_first: bool,
    /// What the whole statement writes.
    written: HashSet<BufferId>,
    /// Bytes from row to row of what is written, as far as they are known.
    pitches: HashMap<BufferId, i64>,
}

/// What a statement can be cut along.
struct Surface {
    dims: Vec<usize>,
    /// For each view, in the order of [`Stmt::views`], one stride for each of `dims`.
    strides: Vec<Vec<i64>>,
    /// The dimensions that are counted inside, from 0.
    counted: Vec<usize>,
}

impl Cutter {
    fn new(stmt: &Stmt, rows: usize, range: Range<usize>, last_first: bool) -> Cutter {
        let mut written = HashSet::new();
        stmt.views(&mut |view, is_written| {
            if is_written {
                written.insert(view.buffer);
            }
        });
        Cutter { rows, range, last_first, written, pitches: HashMap::new() }
    }

    fn body(&mut self, stmts: &[Stmt], level: usize) -> Option<Vec<Stmt>> {
        stmts.iter().map(|stmt| self.stmt(stmt, level)).collect()
    }

    /// The statement, which stands in `level` loops, for the rows of the range, if it has rows.
    fn stmt(&mut self, stmt: &Stmt, level: usize) -> Option<Stmt> {
        match stmt {
            Stmt::Loop(k) => {
                let known = self.pitches.clone();
                if let Some(body) = self.body(&k.body, level + 1) {
                    return Some(Stmt::Loop(Loop { body, ..k.clone() }));
                }
                self.pitches = known;
            }
            Stmt::While(k) => {
                let mut k = k.clone();
                k.cond = self.body(&k.cond, level)?;
                k.body = self.body(&k.body, level)?;
                return Some(Stmt::While(k));
            }
            Stmt::Switch(k) => {
                let mut k = k.clone();
                let branches = k.branches.iter().map(|branch| self.body(branch, level));
                k.branches = branches.collect::<Option<_>>()?;
                return Some(Stmt::Switch(k));
            }
            _ => {}
        }
        let surface = Surface::of(stmt, level)?;
        let (dim, points) = self.along(stmt, &surface)?;
        let (first, len) = (points * self.range.start, points * self.range.len());
        if len == 1 && matches!(stmt, Stmt::Gemm(_)) {
            // A product with a vector may be summed in another order.
            return None;
        }
        let mut cut = stmt.clone();
        let mut strides = surface.strides.iter();
        cut.views_mut(&mut |view| {
            let stride = strides.next().expect("internal: strides for each view")[dim];
            view.offset += stride * first as i64;
        });
        *size_mut(&mut cut, dim)? = len;
        Some(cut)
    }

    /// The dimension that has the rows, and how many of its points are a row.
    fn along(&mut self, stmt: &Stmt, surface: &Surface) -> Option<(usize, usize)> {
        let mut views: Vec<(BufferId, i64, bool)> = vec![];
        stmt.views(&mut |view, is_written| {
            views.push((view.buffer, view.dtype.size() as i64, is_written));
        });
        let mut dims: Vec<usize> = (0..surface.dims.len()).collect();
        if self.last_first {
            dims.reverse();
        }
        // A dimension of just the rows comes before one of which several points are a row.
        dims.sort_by_key(|&dim| surface.dims[dim] != self.rows);
        dims.into_iter().find_map(|dim| {
            let size = surface.dims[dim];
            if size == 0 || size % self.rows != 0 || surface.counted.contains(&dim) {
                return None;
            }
            let points = size / self.rows;
            let mut found = vec![];
            for (&(buffer, bytes, _), strides) in views.iter().zip(&surface.strides) {
                if !self.written.contains(&buffer) {
                    continue;
                }
                let pitch = strides[dim] * points as i64 * bytes;
                let known = self.pitches.get(&buffer).copied().unwrap_or(pitch);
                if pitch == 0 || pitch != known {
                    return None;
                }
                found.push((buffer, pitch));
            }
            self.pitches.extend(found);
            Some((dim, points))
        })
    }
}

impl Surface {
    /// None if the statement stays whole.
    fn of(stmt: &Stmt, level: usize) -> Option<Surface> {
        let (dims, strides): (&[usize], Vec<Vec<i64>>) = match stmt {
            Stmt::Map(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Reduce(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Gather(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Scatter(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Cumulative(k) => without_last(&k.dims, stmt),
            Stmt::Sort(k) => without_last(&k.dims, stmt),
            Stmt::Mat(k) => {
                let row = |view: &View| vec![view.strides[0]];
                let products = k.products.iter().flat_map(|p| [row(&p.source), vec![0]]);
                let stores = k.stores.iter().map(|store| row(&store.to));
                let all = products.chain(k.loads.iter().map(row)).chain(stores).collect();
                (&[k.rows], all)
            }
            Stmt::Gemm(k) => {
                let mut all = vec![vec![k.a.strides[0], 0], vec![0, k.b.strides[1]]];
                all.extend(k.init.iter().chain([&k.to]).map(|view| view.strides.clone()));
                (&[k.m, k.n], all)
            }
            Stmt::Loop(k) => {
                let mut all = vec![];
                let mut alternates = false;
                stmt.views(&mut |view, _| {
                    let advance = view.advance.get(level).copied().unwrap_or_default();
                    alternates |= advance.parity != 0;
                    all.push(vec![advance.stride]);
                });
                if alternates {
                    return None;
                }
                (&[k.n_steps], all)
            }
            Stmt::While(_) | Stmt::Switch(_) | Stmt::Pack(_) | Stmt::Tap(_) => return None,
            Stmt::Parallel(_) => return None,
        };
        let is_loop = matches!(stmt, Stmt::Loop(_));
        let mut counted = vec![];
        stmt.dags(&mut |dag| {
            counted.extend(dag.iter().filter_map(|node| match *node {
                Node::Iota { dim, .. } if !is_loop => Some(dim as usize),
                Node::Step { level: of, .. } if is_loop && of as usize == level => Some(0),
                _ => None,
            }));
        });
        Some(Surface { dims: dims.to_vec(), strides, counted })
    }
}

/// The first strides of each view.
fn leading(stmt: &Stmt, n: usize) -> Vec<Vec<i64>> {
    let mut all = vec![];
    stmt.views(&mut |view, _| all.push(view.strides[..n].to_vec()));
    all
}

/// All dimensions but the last, which a statement runs along.
fn without_last<'a>(dims: &'a [usize], stmt: &Stmt) -> (&'a [usize], Vec<Vec<i64>>) {
    let n = dims.len().saturating_sub(1);
    (&dims[..n], leading(stmt, n))
}

/// The size of a dimension of the [`Surface`].
fn size_mut(stmt: &mut Stmt, dim: usize) -> Option<&mut usize> {
    match stmt {
        Stmt::Map(k) => k.dims.get_mut(dim),
        Stmt::Reduce(k) => k.dims.get_mut(dim),
        Stmt::Gather(k) => k.dims.get_mut(dim),
        Stmt::Scatter(k) => k.dims.get_mut(dim),
        Stmt::Cumulative(k) => k.dims.get_mut(dim),
        Stmt::Sort(k) => k.dims.get_mut(dim),
        Stmt::Mat(k) => Some(&mut k.rows),
        Stmt::Gemm(k) => Some(if dim == 0 { &mut k.m } else { &mut k.n }),
        Stmt::Loop(k) => Some(&mut k.n_steps),
        Stmt::While(_) | Stmt::Switch(_) | Stmt::Pack(_) | Stmt::Tap(_) => None,
        Stmt::Parallel(_) => None,
    }
}

/// A rough estimate of how long a statement takes on one thread of a processor of today.
fn estimated_ns(stmt: &Stmt) -> f64 {
    let points = |dims: &[usize]| dims.iter().map(|&n| n as f64).product::<f64>();
    // Sixteen numbers an instruction, some instructions a nanosecond; memory from the second cache.
    let elementwise = |dag: &[Node], n_views: usize| {
        0.02 * dag.iter().map(instructions).sum::<f64>() + 0.1 * n_views as f64
    };
    match stmt {
        Stmt::Map(k) => points(&k.dims) * elementwise(&k.dag, k.loads.len() + k.stores.len()),
        Stmt::Reduce(k) => {
            let each = elementwise(&k.dag, k.loads.len()) + 0.1 * k.outputs.len() as f64;
            points(&k.dims) * points(&k.reduced) * each
        }
        Stmt::Mat(k) => {
            let depth: usize = k.products.iter().map(|product| product.depth).sum();
            let each = elementwise(&k.dag, k.loads.len() + k.stores.len()) + 0.02 * depth as f64;
            points(&[k.rows, k.cols]) * each
        }
        Stmt::Gemm(k) => {
            let each = if k.to.dtype.is_float() { 0.02 } else { 0.5 };
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
