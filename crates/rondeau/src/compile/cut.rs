//! Takes some rows of a statement out of it.
//!
//! *Rows* are what a statement does the same for: the examples of a batch, through all steps of a
//! loop; the rows of a product; a dimension of a map. Every statement of a loop must have the same
//! number of rows, and each buffer that the loop writes one distance from row to row, its pitch,
//! so that all that belongs to a row goes to one part. Sums stay whole, and in their order, so
//! that no bit depends on the number of parts.
//!
//! It finds rows by sizes and pitches, and may be wrong: whoever asks has the result checked.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rondeau_machine::code::{BufferId, Loop, Node, Stmt, View};

/// Even ranges of all rows, at the multiples that kernels like where there are many.
pub(super) fn ranges(rows: usize, n_parts: usize) -> Vec<Range<usize>> {
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
pub(super) struct Cutter {
    rows: usize,
    range: Range<usize>,
    /// Tries dimensions from the innermost on.
    last_first: bool,
    /// What the whole statements write.
    written: HashSet<BufferId>,
    /// Bytes from row to row, as far as they are known, of what is written and what was given.
    pitches: HashMap<BufferId, i64>,
    /// The same for what is only read.
    read: HashMap<BufferId, i64>,
}

/// What a statement can be cut along.
pub(super) struct Surface {
    pub(super) dims: Vec<usize>,
    /// For each view, in the order of [`Stmt::views`], one stride for each of `dims`.
    strides: Vec<Vec<i64>>,
    /// The dimensions that are counted inside, from 0.
    counted: Vec<usize>,
}

impl Cutter {
    /// For these rows of so many, which lie at `pitches` from each other in some buffers; it is to
    /// cut some or all of the statements.
    pub(super) fn new(
        stmts: &[Stmt],
        rows: usize,
        range: Range<usize>,
        last_first: bool,
        pitches: &HashMap<BufferId, i64>,
    ) -> Cutter {
        let mut written = HashSet::new();
        for stmt in stmts {
            stmt.views(&mut |view, is_written| {
                if is_written {
                    written.insert(view.buffer);
                }
            });
        }
        let (pitches, read) = (pitches.clone(), HashMap::new());
        Cutter { rows, range, last_first, written, pitches, read }
    }

    /// Bytes from row to row in the buffers of statements that were cut.
    pub(super) fn pitches(self) -> HashMap<BufferId, i64> {
        let mut all = self.read;
        all.extend(self.pitches);
        all
    }

    /// Statements one after the other, see [`Cutter::stmt`].
    pub(super) fn body(&mut self, stmts: &[Stmt], level: usize) -> Option<Vec<Stmt>> {
        stmts.iter().map(|stmt| self.stmt(stmt, level)).collect()
    }

    /// The statement, which stands in `level` loops, for the rows of the range, if it has rows.
    pub(super) fn stmt(&mut self, stmt: &Stmt, level: usize) -> Option<Stmt> {
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
            if size == 0 || !size.is_multiple_of(self.rows) || surface.counted.contains(&dim) {
                return None;
            }
            let points = size / self.rows;
            let (mut found, mut seen) = (vec![], vec![]);
            for (&(buffer, bytes, _), strides) in views.iter().zip(&surface.strides) {
                let pitch = strides[dim] * points as i64 * bytes;
                if self.written.contains(&buffer) {
                    let known = self.pitches.get(&buffer).copied().unwrap_or(pitch);
                    if pitch == 0 || pitch != known {
                        return None;
                    }
                    found.push((buffer, pitch));
                } else if pitch != 0 {
                    if self.pitches.get(&buffer).is_some_and(|&known| known != pitch) {
                        return None;
                    }
                    seen.push((buffer, pitch));
                }
            }
            self.pitches.extend(found);
            self.read.extend(seen);
            Some((dim, points))
        })
    }
}

impl Surface {
    /// None if the statement stays whole.
    pub(super) fn of(stmt: &Stmt, level: usize) -> Option<Surface> {
        let (dims, strides): (&[usize], Vec<Vec<i64>>) = match stmt {
            Stmt::Map(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Reduce(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Gather(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Scatter(k) => (&k.dims, leading(stmt, k.dims.len())),
            Stmt::Cumulative(k) => without_last(&k.dims, stmt),
            Stmt::Sort(k) => without_last(&k.dims, stmt),
            Stmt::Mat(k) => {
                let row = |view: &View| vec![view.strides[0]];
                let terms = k.products.iter().flat_map(|product| &product.terms);
                let products = terms.flat_map(|terms| [row(&terms.source), vec![0]]);
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
