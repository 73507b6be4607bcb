//! Divides long loops over time into chunks, so that what a step leaves for work before or after the
//! loop stays in the caches.
//!
//! What `hoist` computes before a loop for all steps, and what `defer` sums up after it, passes
//! through memory in between: megabytes that no cache holds. So the loop and that work become one
//! loop over chunks of the steps,
//!
//! ```text
//! for each chunk: { products before, for its steps; its steps; sums after, over its steps }
//! ```
//!
//! and a buffer between them holds the rows of one chunk. A sum over all steps goes on from chunk to
//! chunk, in the order of the loop. Whether and how a loop is divided depends on sizes alone, so that
//! no bit depends on the number of threads.

use std::collections::HashSet;

use rondeau_machine::code::{
    Advance, Binary, BufferId, Combine, Gemm, Loop, Map, Node, Order, Reduce, Reduction, Stmt,
    Store, Val, View,
};

use super::memory::Memory;

/// When it pays, and how long a chunk is.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes between a loop and the work around it that still find place in a cache.
    pub least_bytes: usize,
    /// Bytes that one chunk may leave.
    pub chunk_bytes: usize,
    /// The fewest terms that a sum adds at a time.
    pub least_terms: usize,
}

impl Sizes {
    /// What suits the second-level caches of today.
    pub const DEFAULT: Sizes =
        Sizes { least_bytes: 1 << 20, chunk_bytes: 512 << 10, least_terms: 256 };

    /// Chunks wherever there can be some, as short as they can be: for tests, whose programs are
    /// small.
    pub const LEAST: Sizes = Sizes { least_bytes: 1, chunk_bytes: 1, least_terms: 1 };
}

/// The fewest steps of a chunk.
const LEAST_STEPS: usize = 4;

/// Divides the loops of a whole code for which it pays.
pub(super) fn chunk(
    stmts: Vec<Stmt>,
    memory: &mut Memory,
    sizes: Sizes,
    notes: &mut Vec<String>,
) -> Vec<Stmt> {
    let mut slots: Vec<Vec<Stmt>> = stmts.iter().map(|stmt| vec![stmt.clone()]).collect();
    let mut gone = vec![false; stmts.len()];
    for at in 0..stmts.len() {
        let Some(region) = Region::around(at, &stmts, &gone) else { continue };
        let Some(plan) = Plan::of(&region, &stmts, memory, sizes) else { continue };
        notes.push(format!(
            "chunks of {} steps: {} products before a loop of {} steps, {} sums after it",
            plan.len,
            region.before.len(),
            plan.steps,
            region.after.len(),
        ));
        let taken = region.before.iter().chain(&region.after).chain(&region.moved);
        for &i in taken {
            gone[i] = true;
            slots[i].clear();
        }
        slots[at] = plan.rewrite(&region, &stmts, memory);
    }
    slots.into_iter().flatten().collect()
}

/// The buffers that a statement writes, and all that it names.
struct Effects {
    writes: HashSet<BufferId>,
    names: HashSet<BufferId>,
}

impl Effects {
    fn of(stmt: &Stmt) -> Effects {
        let (mut writes, mut names) = (HashSet::new(), HashSet::new());
        stmt.views(&mut |view, is_written| {
            names.insert(view.buffer);
            if is_written {
                writes.insert(view.buffer);
            }
        });
        Effects { writes, names }
    }

    /// What one of them writes and the other names.
    fn between<'a>(&'a self, other: &'a Effects) -> impl Iterator<Item = BufferId> + 'a {
        let these = self.writes.intersection(&other.names);
        these.chain(other.writes.intersection(&self.names)).copied()
    }

    fn apart(&self, other: &Effects) -> bool {
        self.between(other).next().is_none()
    }
}

/// The rows of a buffer, one for each step, as a view of a statement goes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rows {
    /// Elements from row to row.
    by: i64,
    /// The row of the first step, or of the last one if a loop goes backwards.
    first: i64,
}

/// How a statement goes through the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// It is a loop with a turn for each step.
    Loop,
    /// It sums over axes of which the outermost are the steps.
    Sum,
}

/// All views of a statement with their rows; none for a view that has no rows.
fn rows_of(stmt: &Stmt, walk: Walk, steps: usize) -> Option<Vec<(BufferId, Option<Rows>)>> {
    let mut all = vec![];
    let mut put = |view: &View, by: i64, backwards: bool| {
        let start = if backwards { view.offset + by * (steps as i64 - 1) } else { view.offset };
        let by = by.abs();
        let rows = (by > 0).then(|| Rows { by, first: start.div_euclid(by) });
        all.push((view.buffer, rows));
    };
    match (walk, stmt) {
        (Walk::Loop, stmt) => stmt.views(&mut |view, _| {
            let by = view.advance.first().copied().unwrap_or_default().stride;
            put(view, by, by < 0);
        }),
        (Walk::Sum, Stmt::Gemm(k)) => {
            let by_step = |stride: i64| stride * (k.k / steps) as i64;
            put(&k.a, by_step(k.a.strides[1]), false);
            put(&k.b, by_step(k.b.strides[0]), false);
            k.init.iter().chain([&k.to]).for_each(|view| put(view, 0, false));
        }
        (Walk::Sum, Stmt::Reduce(k)) => {
            let n_terms = k.reduced[0] / steps;
            for load in &k.loads {
                put(load, load.strides.last()? * n_terms as i64, false);
            }
            k.outputs.iter().for_each(|output| put(&output.to, 0, false));
        }
        _ => return None,
    }
    Some(all)
}

/// Whether a loop does the same for each of its steps, whatever their order.
fn is_product_by_rows(stmt: &Stmt) -> Option<usize> {
    let Stmt::Loop(k) = stmt else { return None };
    let [Stmt::Mat(_)] = k.body[..] else { return None };
    let effects = Effects::of(stmt);
    let mut reads_own = false;
    stmt.views(&mut |view, is_written| {
        reads_own |= !is_written && effects.writes.contains(&view.buffer);
    });
    (!reads_own).then_some(k.n_steps)
}

/// How many terms a sum over the steps has, if it can go on from chunk to chunk.
fn terms(stmt: &Stmt, steps: usize) -> Option<usize> {
    match stmt {
        Stmt::Gemm(k) => {
            let divides = k.k > 0 && k.k.is_multiple_of(steps);
            let fits = k.to.dtype.is_float() && k.order == Order::Chain && divides;
            (fits && k.a.strides[1] > 0 && k.b.strides[0] > 0).then_some(k.k)
        }
        Stmt::Reduce(k) => {
            let [n] = k.reduced[..] else { return None };
            let is_sum =
                |output: &Reduction| output.combine == Combine::Sum && output.to.dtype.is_float();
            let counts = k.dag.iter().any(|node| matches!(node, Node::Iota { .. }));
            let forwards = k.loads.iter().all(|load| load.strides.last() > Some(&0));
            let fits = k.outputs.iter().all(is_sum) && !counts && forwards && !k.loads.is_empty();
            (fits && n > 0 && n.is_multiple_of(steps)).then_some(n)
        }
        _ => None,
    }
}

/// A loop over time and the statements that can go through its steps with it.
struct Region {
    at: usize,
    /// Products for each step, in order.
    before: Vec<usize>,
    /// Sums over the steps and products for each of them, in order.
    after: Vec<usize>,
    /// What stands between, and goes before all.
    moved: Vec<usize>,
}

impl Region {
    /// The region of the loop at this position, if there is such a loop.
    fn around(at: usize, stmts: &[Stmt], gone: &[bool]) -> Option<Region> {
        let Stmt::Loop(main) = &stmts[at] else { return None };
        let mut counts = false;
        stmts[at].dags(&mut |dag| {
            counts |= dag.iter().any(|node| matches!(node, Node::Step { .. }));
        });
        if gone[at] || is_product_by_rows(&stmts[at]).is_some() || counts || has_tap(&stmts[at]) {
            return None;
        }
        let steps = main.n_steps;
        let effects: Vec<Effects> = stmts.iter().map(Effects::of).collect();
        let mut region = Region { at, before: vec![], after: vec![], moved: vec![] };
        let is_next = |i: usize| matches!(stmts[i], Stmt::Loop(_) | Stmt::While(_));
        let by_rows = |i: usize| is_product_by_rows(&stmts[i]) == Some(steps);
        let mut passed: Vec<usize> = vec![];
        for i in (0..at).rev().filter(|&i| !gone[i]) {
            let gives = effects[i].writes.iter().any(|buffer| effects[at].names.contains(buffer));
            let free = passed.iter().all(|&p| effects[i].apart(&effects[p]));
            if gives && free && by_rows(i) && region.walks(i, Walk::Loop, stmts, steps, &effects) {
                region.before.insert(0, i);
            } else if is_next(i) && !by_rows(i) {
                break;
            } else {
                passed.push(i);
            }
        }
        passed.clear();
        for i in (at + 1..stmts.len()).filter(|&i| !gone[i]) {
            let takes = effects[at].writes.iter().any(|buffer| effects[i].names.contains(buffer));
            let free = passed.iter().all(|&p| effects[i].apart(&effects[p]));
            let walk = match () {
                _ if by_rows(i) => Some(Walk::Loop),
                _ => terms(&stmts[i], steps).map(|_| Walk::Sum),
            };
            let walks = |walk: Option<Walk>| {
                walk.is_some_and(|w| region.walks(i, w, stmts, steps, &effects))
            };
            if takes && free && walks(walk) {
                region.after.push(i);
            } else if is_next(i) {
                break;
            } else {
                let all = region.before.iter().chain(&region.after).chain(&passed).chain([&at]);
                let apart = all.copied().all(|p| effects[i].apart(&effects[p]));
                if apart && matches!(stmts[i], Stmt::Map(_)) {
                    region.moved.push(i);
                } else {
                    passed.push(i);
                }
            }
        }
        let some = !(region.before.is_empty() && region.after.is_empty());
        some.then_some(region)
    }

    /// Whether a statement meets what is in the region only in the rows of the same step.
    fn walks(
        &self,
        i: usize,
        walk: Walk,
        stmts: &[Stmt],
        steps: usize,
        effects: &[Effects],
    ) -> bool {
        let Some(mine) = rows_of(&stmts[i], walk, steps) else { return false };
        let members = self.before.iter().chain(&self.after).chain([&self.at]);
        members.copied().all(|j| {
            let walk = self.walk(j, stmts);
            let theirs = rows_of(&stmts[j], walk, steps).unwrap_or_default();
            effects[i].between(&effects[j]).all(|buffer| {
                let of = |rows: &[(BufferId, Option<Rows>)]| -> Option<Vec<Rows>> {
                    rows.iter().filter(|(b, _)| *b == buffer).map(|(_, rows)| *rows).collect()
                };
                // The loop may look back at its own rows; what others read it has written.
                let written = match j == self.at && effects[j].writes.contains(&buffer) {
                    true => written_rows(&stmts[j], buffer, steps),
                    false => of(&theirs),
                };
                let (Some(mine), Some(theirs)) = (of(&mine), written) else { return false };
                let first = mine.first();
                mine.iter().chain(&theirs).all(|rows| Some(rows) == first)
            })
        })
    }

    fn walk(&self, i: usize, stmts: &[Stmt]) -> Walk {
        if matches!(stmts[i], Stmt::Loop(_)) { Walk::Loop } else { Walk::Sum }
    }

    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.before.iter().copied().chain([self.at]).chain(self.after.iter().copied())
    }
}

/// The rows of a buffer that a loop writes.
fn written_rows(stmt: &Stmt, buffer: BufferId, steps: usize) -> Option<Vec<Rows>> {
    let all = rows_of(stmt, Walk::Loop, steps)?;
    let mut flags = vec![];
    stmt.views(&mut |_, is_written| flags.push(is_written));
    let written = all.iter().zip(flags).filter(|((b, _), written)| *b == buffer && *written);
    written.map(|((_, rows), _)| *rows).collect()
}

fn has_tap(stmt: &Stmt) -> bool {
    let any = |stmts: &[Stmt]| stmts.iter().any(has_tap);
    match stmt {
        Stmt::Tap(_) => true,
        Stmt::Loop(k) => any(&k.body),
        Stmt::While(k) => any(&k.cond) || any(&k.body),
        Stmt::Switch(k) => k.branches.iter().any(|branch| any(branch)),
        Stmt::Parallel(parts) => parts.iter().any(|part| any(part)),
        _ => false,
    }
}

/// How a region is divided.
struct Plan {
    steps: usize,
    /// Steps of a chunk, an even number: what alternates from step to step starts each chunk alike.
    len: usize,
    backwards: bool,
    /// Buffers that hold the rows of one chunk.
    short: HashSet<BufferId>,
}

/// A chunk: one of those of the loop, or the steps that are left after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Rest,
}

impl Plan {
    /// The division of a region, if it pays.
    fn of(region: &Region, stmts: &[Stmt], memory: &Memory, sizes: Sizes) -> Option<Plan> {
        let Stmt::Loop(main) = &stmts[region.at] else { return None };
        let steps = main.n_steps;
        let mut directions = HashSet::new();
        stmts[region.at].views(&mut |view, _| {
            let by = view.advance.first().copied().unwrap_or_default().stride;
            directions.extend((by != 0).then_some(by < 0));
        });
        let backwards = match directions.len() {
            1 => directions.contains(&true),
            _ => return None,
        };
        let inside: HashSet<usize> = region.all().collect();
        let mut elsewhere = HashSet::new();
        let outside = (0..stmts.len()).filter(|i| !inside.contains(i));
        outside.for_each(|i| elsewhere.extend(Effects::of(&stmts[i]).names));
        let mut rows = vec![];
        let mut bytes_of = vec![];
        for i in region.all() {
            rows.extend(rows_of(&stmts[i], region.walk(i, stmts), steps)?);
            stmts[i].views(&mut |view, _| bytes_of.push((view.buffer, view.dtype.size())));
        }
        // A buffer between two of them, of which each step knows one row.
        let mut short = HashSet::new();
        let mut by_step = 0;
        for &(buffer, size) in &bytes_of {
            let mine: Option<Vec<Rows>> =
                rows.iter().filter(|(b, _)| *b == buffer).map(|(_, rows)| *rows).collect();
            let same = mine.as_ref().and_then(|mine| {
                let first = *mine.first()?;
                (first.first == 0 && mine.iter().all(|rows| *rows == first)).then_some(first)
            });
            let written = region.all().any(|i| Effects::of(&stmts[i]).writes.contains(&buffer));
            let fits = !elsewhere.contains(&buffer) && memory.is_free(buffer) && written;
            if let Some(rows) = same.filter(|_| fits)
                && short.insert(buffer)
            {
                by_step += rows.by as usize * size;
            }
        }
        if by_step.saturating_mul(steps) < sizes.least_bytes {
            return None;
        }
        let of_sums = region.after.iter().filter_map(|&i| terms(&stmts[i], steps));
        let per_step = of_sums.map(|n| n / steps).min();
        let for_sums = per_step.map_or(1, |n| sizes.least_terms.div_ceil(n));
        let wanted = (sizes.chunk_bytes / by_step).max(for_sums).max(LEAST_STEPS);
        let wanted = wanted.next_multiple_of(2);
        let even = (wanted..=2 * wanted).step_by(2).find(|&n| steps.is_multiple_of(n));
        let len = even.unwrap_or(wanted);
        (steps >= 2 * len).then_some(Plan { steps, len, backwards, short })
    }

    fn n_chunks(&self) -> usize {
        self.steps / self.len
    }

    /// Steps of a part.
    fn len_of(&self, part: Part) -> usize {
        match part {
            Part::Whole => self.len,
            Part::Rest => self.steps % self.len,
        }
    }

    /// The statements of a region, divided.
    fn rewrite(self, region: &Region, stmts: &[Stmt], memory: &mut Memory) -> Vec<Stmt> {
        let mut new: Vec<Stmt> = region.moved.iter().map(|&i| stmts[i].clone()).collect();
        let sums = region.all().filter(|&i| terms(&stmts[i], self.steps).is_some());
        let sums: Vec<Sum> = sums.map(|i| Sum::of(&stmts[i], memory)).collect();
        let mut named: HashSet<BufferId> =
            region.moved.iter().flat_map(|&i| Effects::of(&stmts[i]).names).collect();
        region.all().for_each(|i| named.extend(Effects::of(&stmts[i]).names));
        named.extend(sums.iter().flat_map(|sum| &sum.partial).map(|view| view.buffer));
        memory.live_together(&named);
        new.extend(sums.iter().flat_map(Sum::start));
        new.extend(self.in_chunks(&|plan, part| {
            let mut sums = sums.iter();
            let each = |i: usize| match terms(&stmts[i], plan.steps) {
                Some(_) => sums.next().map(|sum| sum.part(plan, part)).unwrap_or_default(),
                None => vec![plan.loop_part(&stmts[i], part)],
            };
            region.all().flat_map(each).collect()
        }));
        for &buffer in &self.short {
            memory.shorten(buffer, self.steps, self.len);
        }
        new
    }

    /// A loop over the whole chunks, and the rest after it.
    fn in_chunks(&self, part: &dyn Fn(&Plan, Part) -> Vec<Stmt>) -> Vec<Stmt> {
        let body = part(self, Part::Whole);
        let mut stmts = vec![Stmt::Loop(Loop { n_steps: self.n_chunks(), body })];
        if self.len_of(Part::Rest) > 0 {
            stmts.extend(part(self, Part::Rest));
        }
        stmts
    }

    /// A loop over time, for the steps of a part.
    fn loop_part(&self, stmt: &Stmt, part: Part) -> Stmt {
        let mut stmt = stmt.clone();
        // A product by rows goes through them in the order of the loop.
        if is_product_by_rows(&stmt).is_some() && self.backwards {
            stmt.views_mut(&mut |view| {
                if let Some(advance) = view.advance.first_mut() {
                    view.offset += advance.stride * (self.steps as i64 - 1);
                    advance.stride = -advance.stride;
                }
            });
        }
        let n = self.len_of(part);
        stmt.views_mut(&mut |view| {
            let is_short = self.short.contains(&view.buffer);
            let advance = view.advance.first().copied().unwrap_or_default();
            let rest = view.advance.get(1..).unwrap_or_default().to_vec();
            if is_short && advance.stride < 0 {
                // The first row of the loop is the last one of the part.
                view.offset += advance.stride * (self.steps - n) as i64;
            }
            let by_chunk = if is_short { 0 } else { advance.stride * self.len as i64 };
            view.advance = match part {
                Part::Whole => {
                    let outer = Advance { stride: by_chunk, parity: 0 };
                    [&[outer, advance], &rest[..]].concat()
                }
                Part::Rest => {
                    view.offset += by_chunk * self.n_chunks() as i64;
                    [&[advance], &rest[..]].concat()
                }
            };
        });
        if let Stmt::Loop(k) = &mut stmt {
            k.n_steps = n;
        }
        stmt
    }

    /// A view of terms that lie `by_step` elements apart from step to step, for the steps of a part.
    fn terms_part(&self, view: &View, by_step: i64, part: Part) -> View {
        let mut view = view.clone();
        if self.short.contains(&view.buffer) {
            return view;
        }
        let by_chunk = by_step * self.len as i64;
        match (part, self.backwards) {
            (Part::Whole, false) => view.advance(0, by_chunk),
            (Part::Whole, true) => {
                view.offset += by_step * (self.steps - self.len) as i64;
                view.advance(0, -by_chunk)
            }
            (Part::Rest, false) => {
                view.offset += by_chunk * self.n_chunks() as i64;
                view
            }
            // The rest of a loop that goes backwards are the first steps.
            (Part::Rest, true) => view,
        }
    }
}

/// A sum over all steps that is made part by part.
struct Sum {
    stmt: Stmt,
    /// Where a reduction leaves the sum of a part, one for each output.
    partial: Vec<View>,
}

impl Sum {
    fn of(stmt: &Stmt, memory: &mut Memory) -> Sum {
        let mut partial = vec![];
        if let Stmt::Reduce(k) = stmt {
            let n: usize = k.dims.iter().product();
            let mut strides = vec![1; k.dims.len()];
            for d in (1..k.dims.len()).rev() {
                strides[d - 1] = strides[d] * k.dims[d] as i64;
            }
            for output in &k.outputs {
                let buffer = memory.lasting(n * output.to.dtype.size());
                partial.push(View::new(buffer, output.to.dtype).strides(strides.clone()));
            }
        }
        Sum { stmt: stmt.clone(), partial }
    }

    /// What it starts from.
    fn start(&self) -> Vec<Stmt> {
        let set = |dims: &[usize], to: &View, from: Option<&View>| {
            let loads = from.cloned().into_iter().collect();
            let node = if from.is_some() { Node::Load(0) } else { zero(to) };
            let stores = vec![Store { value: Val(0), to: to.clone() }];
            Stmt::Map(Map { dims: dims.to_vec(), loads, dag: vec![node], stores })
        };
        match &self.stmt {
            Stmt::Gemm(k) if k.init.as_ref() == Some(&k.to) => vec![],
            Stmt::Gemm(k) => vec![set(&[k.m, k.n], &k.to, k.init.as_ref())],
            Stmt::Reduce(k) => {
                k.outputs.iter().map(|output| set(&k.dims, &output.to, None)).collect()
            }
            _ => vec![],
        }
    }

    /// What the steps of a part add.
    fn part(&self, plan: &Plan, part: Part) -> Vec<Stmt> {
        let n = plan.len_of(part);
        match &self.stmt {
            Stmt::Gemm(k) => {
                let per_step = k.k / plan.steps;
                let by = |stride: i64| stride * per_step as i64;
                vec![Stmt::Gemm(Gemm {
                    k: n * per_step,
                    a: plan.terms_part(&k.a, by(k.a.strides[1]), part),
                    b: plan.terms_part(&k.b, by(k.b.strides[0]), part),
                    init: Some(k.to.clone()),
                    ..k.clone()
                })]
            }
            Stmt::Reduce(k) => {
                let per_step = k.reduced[0] / plan.steps;
                let load = |view: &View| {
                    let stride = view.strides.last().copied().unwrap_or_default();
                    plan.terms_part(view, stride * per_step as i64, part)
                };
                let to_partial = |(output, to): (&Reduction, &View)| Reduction {
                    to: to.clone(),
                    ..output.clone()
                };
                let sum = Reduce {
                    reduced: vec![n * per_step],
                    loads: k.loads.iter().map(load).collect(),
                    outputs: k.outputs.iter().zip(&self.partial).map(to_partial).collect(),
                    ..k.clone()
                };
                let mut add =
                    Map { dims: k.dims.clone(), loads: vec![], dag: vec![], stores: vec![] };
                for (output, partial) in k.outputs.iter().zip(&self.partial) {
                    let (load, node) = (add.loads.len() as u32, add.dag.len() as u32);
                    add.loads.extend([output.to.clone(), partial.clone()]);
                    add.dag.extend([
                        Node::Load(load),
                        Node::Load(load + 1),
                        Node::Binary(Binary::Add, Val(node), Val(node + 1)),
                    ]);
                    add.stores.push(Store { value: Val(node + 2), to: output.to.clone() });
                }
                vec![Stmt::Reduce(sum), Stmt::Map(add)]
            }
            _ => vec![],
        }
    }
}

fn zero(view: &View) -> Node {
    match view.dtype {
        rondeau_machine::code::DType::F64 => Node::f64(0.0),
        _ => Node::f32(0.0),
    }
}
