//! Validation of a [`Code`] before it runs: after it, executors access memory without further checks.
//!
//! The address of a view is affine in the point, in the steps of the loops, and in their parity, so its extremes
//! are known exactly. Whether two views can meet is an integer equation; where a search with a small budget
//! finds no answer, the answer is "yes", and the code is refused. Whether parts that run at the same time can
//! meet is a question of all their steps at once; `parallel` answers it.

mod parallel;

use crate::code::*;
use crate::dag::{self, Scope};
use parallel::Footprint;
use std::collections::HashSet;
use std::fmt;

/// Why a [`Code`] may not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckError {
    /// Which statement, such as `body[3].body[0]`.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl std::error::Error for CheckError {}

/// What a checked [`Code`] needs of its caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The exact bytes and the alignment of each input.
    pub inputs: Vec<(usize, usize)>,
    /// The exact bytes and the alignment of each output.
    pub outputs: Vec<(usize, usize)>,
    /// The bytes of the arena that buffers use.
    pub arena_bytes: usize,
    /// The deepest nesting of loops.
    pub n_levels: usize,
}

impl Code {
    /// Proves that all accesses of all statements stay in their buffers, that types fit, and that no kernel
    /// disturbs itself.
    ///
    /// # Errors
    /// [`CheckError`] for the first statement that does not.
    pub fn check(&self) -> Result<Needs, CheckError> {
        let mut needs = Needs::default();
        for (i, buffer) in self.buffers.iter().enumerate() {
            declare(&mut needs, buffer).map_err(|what| at(format!("buffers[{i}]"), what))?;
        }
        let mut checker =
            Checker { code: self, needs, levels: vec![], divides: false, footprints: None };
        checker.body(&self.setup, "setup")?;
        checker.setup(&self.setup)?;
        checker.divides = true;
        checker.body(&self.body, "body")?;
        Ok(checker.needs)
    }
}

fn at(path: String, what: String) -> CheckError {
    CheckError { path, what }
}

fn declare(needs: &mut Needs, buffer: &Buffer) -> Result<(), String> {
    let fits = |list: &mut Vec<(usize, usize)>, i: usize| {
        if i > 4096 {
            return Err(format!("number {i} is out of proportion"));
        }
        if list.len() <= i {
            list.resize(i + 1, (usize::MAX, 1));
        }
        if list[i].0 != usize::MAX && list[i].0 != buffer.bytes {
            return Err(format!("{} bytes here, {} bytes before", buffer.bytes, list[i].0));
        }
        list[i].0 = buffer.bytes;
        Ok(())
    };
    match &buffer.place {
        Place::Input(i) => fits(&mut needs.inputs, *i),
        Place::Output(i) => fits(&mut needs.outputs, *i),
        Place::Arena(offset) => {
            let end = offset.checked_add(buffer.bytes).filter(|&end| end <= isize::MAX as usize);
            let end = end.ok_or("the arena cannot be so large")?;
            needs.arena_bytes = needs.arena_bytes.max(end);
            Ok(())
        }
        Place::Constant(data) if data.len() == buffer.bytes => Ok(()),
        Place::Constant(data) => Err(format!("{} bytes, of {}", data.len(), buffer.bytes)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Access {
    Read,
    Write,
}

/// A view with the dimensions that it is walked along.
#[derive(Clone)]
struct Walk<'a> {
    view: &'a View,
    dims: Vec<usize>,
    strides: Vec<i64>,
}

/// Memory that buffers can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Space {
    Input(usize),
    Output(usize),
    Arena,
    Constant(u32),
}

struct Checker<'a> {
    code: &'a Code,
    needs: Needs,
    /// The number of steps of each enclosing loop.
    levels: Vec<usize>,
    /// Whether a [`Stmt::Parallel`] may stand here: at the top of the body, and in loops there.
    divides: bool,
    /// What the part of a [`Stmt::Parallel`] touches that is being checked.
    footprints: Option<HashSet<Footprint>>,
}

type Checked<T = ()> = Result<T, String>;

impl<'a> Checker<'a> {
    fn body(&mut self, body: &'a [Stmt], path: &str) -> Result<(), CheckError> {
        body.iter().enumerate().try_for_each(|(i, s)| self.stmt(s, &format!("{path}[{i}]")))
    }

    /// What may be left out must leave its results where they stay.
    fn setup(&self, setup: &[Stmt]) -> Result<(), CheckError> {
        for (i, stmt) in setup.iter().enumerate() {
            let mut writes_output = false;
            stmt.views(&mut |view, is_written| {
                let place = &self.code.buffers[view.buffer.0 as usize].place;
                writes_output |= is_written && matches!(place, Place::Output(_));
            });
            if writes_output {
                return Err(at(format!("setup[{i}]"), "it writes to an output".into()));
            }
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &'a Stmt, path: &str) -> Result<(), CheckError> {
        let here = |what| at(path.to_string(), what);
        match stmt {
            Stmt::Map(k) => self.map(k).map_err(here),
            Stmt::Mat(k) => self.mat(k).map_err(here),
            Stmt::Pack(k) => self.pack(k).map_err(here),
            Stmt::Gemm(k) => self.gemm(k).map_err(here),
            Stmt::Reduce(k) => self.reduce(k).map_err(here),
            Stmt::Cumulative(k) => self.cumulative(k).map_err(here),
            Stmt::Sort(k) => self.sort(k).map_err(here),
            Stmt::Gather(k) => self.gather(k).map_err(here),
            Stmt::Scatter(k) => self.scatter(k).map_err(here),
            Stmt::Tap(_) if self.footprints.is_some() => {
                Err(here("a part of several shows nothing".into()))
            }
            Stmt::Tap(tap) => self.tap(tap).map_err(here),
            Stmt::Parallel(parts) if self.divides => self.undivided(|c| c.parallel(parts, path)),
            Stmt::Parallel(_) => Err(here(
                "parts that run at the same time stand at the top of a code or in loops there"
                    .into(),
            )),
            Stmt::Loop(l) => {
                if l.n_steps > i32::MAX as usize {
                    return Err(here(format!("{} steps are too many", l.n_steps)));
                }
                self.levels.push(l.n_steps);
                self.needs.n_levels = self.needs.n_levels.max(self.levels.len());
                self.body(&l.body, &format!("{path}.body"))?;
                self.levels.pop();
                Ok(())
            }
            Stmt::While(w) => {
                self.scalar(&w.flag, &[DType::Bool]).map_err(here)?;
                self.undivided(|c| {
                    c.body(&w.cond, &format!("{path}.cond"))?;
                    c.body(&w.body, &format!("{path}.body"))
                })
            }
            Stmt::Switch(s) => {
                self.scalar(&s.index, &[DType::I32, DType::U32]).map_err(here)?;
                if s.branches.is_empty() {
                    return Err(here("there is no branch".into()));
                }
                let mut branches = s.branches.iter().enumerate();
                self.undivided(|c| {
                    branches.try_for_each(|(i, b)| c.body(b, &format!("{path}.branches[{i}]")))
                })
            }
        }
    }

    /// Checks what no [`Stmt::Parallel`] may stand in.
    fn undivided(
        &mut self,
        check: impl FnOnce(&mut Self) -> Result<(), CheckError>,
    ) -> Result<(), CheckError> {
        let before = std::mem::replace(&mut self.divides, false);
        let checked = check(self);
        self.divides = before;
        checked
    }

    fn map(&mut self, k: &'a Map) -> Checked {
        dims_fit(&k.dims)?;
        let loads = self.views(&k.loads, &k.dims, "load", Access::Read)?;
        let dtypes = self.dag(&k.dag, &k.loads, &[], k.dims.len())?;
        let stores = self.stores(&k.stores, &dtypes, &k.dims)?;
        self.elementwise(&stores, &loads)
    }

    fn mat(&mut self, k: &'a Mat) -> Checked {
        let dims = [k.rows, k.cols];
        let loads = self.views(&k.loads, &dims, "load", Access::Read)?;
        if !matches!(k.chains, 1 | 2 | 4 | 8) {
            return Err(format!("{} chains, not 1, 2, 4 or 8", k.chains));
        }
        let mut sides = vec![];
        for (i, p) in k.products.iter().enumerate() {
            self.product(p, k, &mut sides).map_err(|what| format!("products[{i}]: {what}"))?;
        }
        let products: Vec<_> = k.products.iter().map(Product::dtype).collect();
        let dtypes = self.dag(&k.dag, &k.loads, &products, 2)?;
        let stores = self.stores(&k.stores, &dtypes, &dims)?;
        self.elementwise(&stores, &loads)?;
        for (i, store) in stores.iter().enumerate() {
            if sides.iter().any(|side| !self.disjoint(store, side)) {
                return Err(format!("stores[{i}] may overwrite a source or weights"));
            }
        }
        Ok(())
    }

    /// Adds the sources and the weights to `sides`.
    fn product(&mut self, p: &'a Product, k: &Mat, sides: &mut Vec<Walk<'a>>) -> Checked {
        let dtype = p.dtype();
        if !(1..=MAX_TERMS).contains(&p.terms.len()) {
            return Err(format!("{} sources, not 1 to {MAX_TERMS}", p.terms.len()));
        }
        if !dtype.is_float() {
            return Err(format!("sums floats, not {dtype:?}"));
        }
        for terms in &p.terms {
            // A product without outputs reads nothing.
            let depth = if k.rows * k.cols == 0 { 0 } else { terms.depth };
            let source = self.walk(&terms.source, &[k.rows, depth], "source", Access::Read)?;
            let weights = match &terms.weights {
                Weights::Packed(view, layout) => {
                    layout_fits(layout, view, terms.depth, k.cols)?;
                    self.block(view, layout.len(), "weights", Access::Read)?
                }
                Weights::Strided(view) => {
                    self.walk(view, &[depth, k.cols], "weights", Access::Read)?
                }
            };
            for (what, side) in [("source", source), ("weights", weights)] {
                if side.view.dtype != dtype {
                    return Err(format!("{what} of {:?} in a sum of {dtype:?}", side.view.dtype));
                }
                sides.push(side);
            }
        }
        if let Some(init) = p.init {
            match k.loads.get(init as usize) {
                Some(view) if view.dtype == dtype => {}
                Some(view) => return Err(format!("starts from {:?}, not {dtype:?}", view.dtype)),
                None => return Err(format!("there is no load {init} to start from")),
            }
        }
        Ok(())
    }

    fn pack(&mut self, k: &'a Pack) -> Checked {
        let from = self.walk(&k.from, &[k.layout.depth, k.layout.cols], "from", Access::Read)?;
        layout_fits(&k.layout, &k.from, k.layout.depth, k.layout.cols)?;
        layout_fits(&k.layout, &k.to, k.layout.depth, k.layout.cols)?;
        let to = self.block(&k.to, k.layout.len(), "to", Access::Write)?;
        self.apart(&to, &from)
    }

    fn gemm(&mut self, k: &'a Gemm) -> Checked {
        let depth = if k.m * k.n == 0 { 0 } else { k.k };
        let a = self.walk(&k.a, &[k.m, depth], "a", Access::Read)?;
        let b = self.walk(&k.b, &[depth, k.n], "b", Access::Read)?;
        let to = self.walk(&k.to, &[k.m, k.n], "to", Access::Write)?;
        injective(&to)?;
        self.leave_hull(&a);
        self.leave_hull(&b);
        let dtype = k.to.dtype;
        let init = k.init.iter().map(|v| self.walk(v, &[k.m, k.n], "init", Access::Read));
        let init = init.collect::<Checked<Vec<_>>>()?;
        if dtype == DType::Bool || [&a, &b].into_iter().chain(&init).any(|w| w.view.dtype != dtype)
        {
            return Err("needs numbers of one type".into());
        }
        self.apart(&to, &a)?;
        self.apart(&to, &b)?;
        init.iter().try_for_each(|init| self.on_or_apart(&to, init))
    }

    fn reduce(&mut self, k: &'a Reduce) -> Checked {
        let all = [&k.dims[..], &k.reduced[..]].concat();
        dims_fit(&all)?;
        if k.reduced.iter().product::<usize>() > i32::MAX as usize {
            return Err("reduces too many points to count in an I32".into());
        }
        let loads = self.views(&k.loads, &all, "load", Access::Read)?;
        let dtypes = self.dag(&k.dag, &k.loads, &[], all.len())?;
        let mut outputs: Vec<Walk<'_>> = vec![];
        for (i, output) in k.outputs.iter().enumerate() {
            let value = *dtypes.get(output.value.0 as usize).ok_or("there is no such value")?;
            let made = combine_fits(output.combine, value)?;
            if output.to.dtype != made {
                return Err(format!("outputs[{i}] is {made:?}, not {:?}", output.to.dtype));
            }
            let to = self.walk(&output.to, &k.dims, "output", Access::Write)?;
            injective(&to)?;
            for other in loads.iter().chain(&outputs) {
                self.apart(&to, other)?;
            }
            outputs.push(to);
        }
        Ok(())
    }

    fn cumulative(&mut self, k: &'a Cumulative) -> Checked {
        dims_fit(&k.dims)?;
        if k.dims.is_empty() {
            return Err("needs a dimension to run along".into());
        }
        if matches!(k.combine, Combine::ArgMax | Combine::ArgMin) {
            return Err(format!("{:?} has no running form", k.combine));
        }
        combine_fits(k.combine, k.from.dtype)?;
        let from = self.walk(&k.from, &k.dims, "from", Access::Read)?;
        let to = self.walk(&k.to, &k.dims, "to", Access::Write)?;
        same_type(&k.from, &k.to)?;
        injective(&to)?;
        self.on_or_apart(&to, &from)
    }

    fn sort(&mut self, k: &'a Sort) -> Checked {
        dims_fit(&k.dims)?;
        match k.dims.last() {
            Some(&n) if n <= i32::MAX as usize => {}
            _ => return Err("needs a dimension to sort along, countable in an I32".into()),
        }
        let from = self.walk(&k.from, &k.dims, "from", Access::Read)?;
        let mut outputs: Vec<Walk<'_>> = vec![];
        for (view, dtype) in
            k.to.iter()
                .map(|v| (v, k.from.dtype))
                .chain(k.to_indices.iter().map(|v| (v, DType::I32)))
        {
            let to = self.walk(view, &k.dims, "output", Access::Write)?;
            if view.dtype != dtype {
                return Err(format!("an output is {dtype:?}, not {:?}", view.dtype));
            }
            injective(&to)?;
            self.on_or_apart(&to, &from)?;
            outputs.iter().try_for_each(|other| self.apart(&to, other))?;
            outputs.push(to);
        }
        Ok(())
    }

    fn gather(&mut self, k: &'a Gather) -> Checked {
        dims_fit(&k.dims)?;
        same_type(&k.from, &k.to)?;
        let to = self.walk(&k.to, &k.dims, "to", Access::Write)?;
        injective(&to)?;
        let indices = self.indices(&k.indices, &k.dims, k.out_of_bounds)?;
        let from = self.indexed(&k.from, &k.dims, &k.indices, "from", Access::Read)?;
        indices.iter().chain([&from]).try_for_each(|other| self.apart(&to, other))
    }

    fn scatter(&mut self, k: &'a Scatter) -> Checked {
        dims_fit(&k.dims)?;
        same_type(&k.from, &k.to)?;
        if let Some(combine) = k.combine {
            if matches!(combine, Combine::ArgMax | Combine::ArgMin) {
                return Err(format!("{combine:?} has no running form"));
            }
            combine_fits(combine, k.from.dtype)?;
        }
        let from = self.walk(&k.from, &k.dims, "from", Access::Read)?;
        let indices = self.indices(&k.indices, &k.dims, k.out_of_bounds)?;
        let to = self.indexed(&k.to, &k.dims, &k.indices, "to", Access::Write)?;
        indices.iter().chain([&from]).try_for_each(|other| self.apart(&to, other))
    }

    fn tap(&mut self, tap: &'a Tap) -> Checked {
        self.walk(&tap.view, &tap.dims, "view", Access::Read)?;
        let mut stride = 1;
        for (&n, &s) in tap.dims.iter().zip(&tap.view.strides).rev() {
            if n > 1 && s != stride {
                return Err("the value has gaps".into());
            }
            stride = stride.saturating_mul(n as i64);
        }
        Ok(())
    }

    fn scalar(&mut self, view: &'a View, dtypes: &[DType]) -> Checked {
        if !dtypes.contains(&view.dtype) {
            return Err(format!("needs one of {dtypes:?}, not {:?}", view.dtype));
        }
        self.walk(view, &[], "view", Access::Read).map(|_| ())
    }

    fn indices(
        &mut self,
        indices: &'a [Index],
        dims: &[usize],
        out_of_bounds: OutOfBounds,
    ) -> Checked<Vec<Walk<'a>>> {
        let mut walks = vec![];
        for index in indices {
            if !index.view.dtype.is_int() {
                return Err(format!("an index is {:?}", index.view.dtype));
            }
            let none = index.len == 0 && !dims.contains(&0);
            if none && out_of_bounds == OutOfBounds::Clip {
                return Err("there is no position to clip to".into());
            }
            if index.len > i32::MAX as usize {
                return Err(format!("{} positions are too many", index.len));
            }
            walks.push(self.walk(&index.view, dims, "index", Access::Read)?);
        }
        Ok(walks)
    }

    /// The walk over every element that a gather or scatter can reach.
    fn indexed(
        &mut self,
        view: &'a View,
        dims: &[usize],
        indices: &[Index],
        what: &str,
        access: Access,
    ) -> Checked<Walk<'a>> {
        if view.strides.len() != dims.len() {
            return Err(format!("{what} has {} strides, not {}", view.strides.len(), dims.len()));
        }
        let dims = dims.iter().copied().chain(indices.iter().map(|i| i.len)).collect();
        let strides =
            view.strides.iter().copied().chain(indices.iter().map(|i| i.stride)).collect();
        self.bounds(Walk { view, dims, strides }, what, access)
    }

    fn views(
        &mut self,
        views: &'a [View],
        dims: &[usize],
        what: &str,
        access: Access,
    ) -> Checked<Vec<Walk<'a>>> {
        let mut walks = vec![];
        for (i, view) in views.iter().enumerate() {
            walks.push(self.walk(view, dims, &format!("{what} {i}"), access)?);
        }
        Ok(walks)
    }

    fn stores(
        &mut self,
        stores: &'a [Store],
        dtypes: &[DType],
        dims: &[usize],
    ) -> Checked<Vec<Walk<'a>>> {
        let mut walks = vec![];
        for (i, store) in stores.iter().enumerate() {
            match dtypes.get(store.value.0 as usize) {
                Some(&dtype) if dtype == store.to.dtype => {}
                Some(dtype) => {
                    return Err(format!("store {i} puts {dtype:?} into {:?}", store.to.dtype));
                }
                None => return Err(format!("store {i}: there is no node {}", store.value.0)),
            }
            let walk = self.walk(&store.to, dims, &format!("store {i}"), Access::Write)?;
            injective(&walk).map_err(|what| format!("store {i}: {what}"))?;
            walks.push(walk);
        }
        Ok(walks)
    }

    fn dag(
        &self,
        dag: &[Node],
        loads: &[View],
        products: &[DType],
        n_dims: usize,
    ) -> Checked<Vec<DType>> {
        let loads: Vec<_> = loads.iter().map(|v| v.dtype).collect();
        let n_levels = self.levels.len();
        dag::infer(dag, Scope { loads: &loads, products, n_dims, n_levels })
    }

    fn walk(
        &mut self,
        view: &'a View,
        dims: &[usize],
        what: &str,
        access: Access,
    ) -> Checked<Walk<'a>> {
        if view.strides.len() != dims.len() {
            return Err(format!(
                "{what} has {} strides for {} dimensions",
                view.strides.len(),
                dims.len()
            ));
        }
        let walk = Walk { view, dims: dims.to_vec(), strides: view.strides.clone() };
        self.bounds(walk, what, access)
    }

    /// The walk over `len` elements without gaps.
    fn block(
        &mut self,
        view: &'a View,
        len: usize,
        what: &str,
        access: Access,
    ) -> Checked<Walk<'a>> {
        if !view.strides.is_empty() {
            return Err(format!("{what} is packed and has no strides"));
        }
        self.bounds(Walk { view, dims: vec![len], strides: vec![1] }, what, access)
    }

    fn bounds(&mut self, walk: Walk<'a>, what: &str, access: Access) -> Checked<Walk<'a>> {
        let view = walk.view;
        let size = view.dtype.size();
        let buffer = self.code.buffers.get(view.buffer.0 as usize);
        let buffer =
            buffer.ok_or_else(|| format!("{what}: there is no buffer {}", view.buffer.0))?;
        if view.advance.len() > self.levels.len() {
            return Err(format!(
                "{what} advances in {} loops, but only {} enclose it",
                view.advance.len(),
                self.levels.len()
            ));
        }
        let aligned = match &buffer.place {
            Place::Input(i) => {
                self.needs.inputs[*i].1 = self.needs.inputs[*i].1.max(size);
                access == Access::Read
            }
            Place::Output(i) => {
                self.needs.outputs[*i].1 = self.needs.outputs[*i].1.max(size);
                true
            }
            Place::Constant(_) => access == Access::Read,
            Place::Arena(offset) if offset % size != 0 => {
                return Err(format!("{what}: byte {offset} of the arena is not aligned"));
            }
            Place::Arena(_) => true,
        };
        if !aligned {
            return Err(format!("{what} writes to memory that is only read"));
        }
        if walk.dims.contains(&0) || self.levels.contains(&0) {
            return Ok(walk);
        }
        let (mut low, mut high) = (view.offset as i128, view.offset as i128);
        for (&n, &stride) in walk.dims.iter().zip(&walk.strides) {
            let reach = (n as i128 - 1) * stride as i128;
            low += reach.min(0);
            high += reach.max(0);
        }
        for (&n, a) in self.levels.iter().zip(&view.advance) {
            let (a, b) = advance_range(n, a.stride as i128, a.parity as i128);
            low += a;
            high += b;
        }
        if low < 0 || (high + 1) * size as i128 > buffer.bytes as i128 {
            return Err(format!(
                "{what} reaches elements {low}..={high} of a buffer of {} bytes, {} elements",
                buffer.bytes,
                buffer.bytes / size
            ));
        }
        self.leave_footprint(&walk, access);
        Ok(walk)
    }

    /// No store meets another store, and meets a load only at its own point.
    fn elementwise(&self, stores: &[Walk<'_>], loads: &[Walk<'_>]) -> Checked {
        for (i, store) in stores.iter().enumerate() {
            for (j, other) in stores[..i].iter().enumerate() {
                if !self.disjoint(store, other) {
                    return Err(format!("stores {j} and {i} may meet"));
                }
            }
            for (j, load) in loads.iter().enumerate() {
                if !self.exactly_on(store, load) && !self.disjoint(store, load) {
                    return Err(format!("store {i} may overwrite what load {j} reads elsewhere"));
                }
            }
        }
        Ok(())
    }

    fn apart(&self, a: &Walk<'_>, b: &Walk<'_>) -> Checked {
        if self.disjoint(a, b) { Ok(()) } else { Err("an output may overwrite an input".into()) }
    }

    fn on_or_apart(&self, a: &Walk<'_>, b: &Walk<'_>) -> Checked {
        if self.exactly_on(a, b) { Ok(()) } else { self.apart(a, b) }
    }

    fn origin(&self, view: &View) -> (Space, i128) {
        let (space, base) = match self.code.buffers[view.buffer.0 as usize].place {
            Place::Input(i) => (Space::Input(i), 0),
            Place::Output(i) => (Space::Output(i), 0),
            Place::Arena(offset) => (Space::Arena, offset as i128),
            Place::Constant(_) => (Space::Constant(view.buffer.0), 0),
        };
        (space, base + view.offset as i128 * view.dtype.size() as i128)
    }

    /// Whether both walks are at the same element at every point of every step.
    fn exactly_on(&self, a: &Walk<'_>, b: &Walk<'_>) -> bool {
        let strides = || a.strides.iter().zip(&b.strides).zip(&a.dims);
        a.dims == b.dims
            && a.view.dtype.size() == b.view.dtype.size()
            && self.origin(a.view) == self.origin(b.view)
            && strides().all(|((s, r), &n)| s == r || n <= 1)
            && self.levels.iter().enumerate().all(|(l, &n)| {
                let (a, b) = (advance_of(a.view, l), advance_of(b.view, l));
                n <= 1 || a == b
            })
    }

    /// Whether the walks touch no common byte in any one step.
    fn disjoint(&self, a: &Walk<'_>, b: &Walk<'_>) -> bool {
        let ((space_a, start_a), (space_b, start_b)) = (self.origin(a.view), self.origin(b.view));
        let idle = |w: &Walk<'_>| w.dims.contains(&0);
        if space_a != space_b || idle(a) || idle(b) || self.levels.contains(&0) {
            return true;
        }
        // Every distance from a to b that occurs, as a list if it is short, else as a range.
        let mut distances = vec![start_b - start_a];
        let mut spread = (0, 0);
        for (l, &n) in self.levels.iter().enumerate() {
            let (p, q) = (advance_of(a.view, l), advance_of(b.view, l));
            let (p_size, q_size) = (a.view.dtype.size() as i128, b.view.dtype.size() as i128);
            let stride = q.stride as i128 * q_size - p.stride as i128 * p_size;
            let parity = q.parity as i128 * q_size - p.parity as i128 * p_size;
            if stride == 0 && parity != 0 && n > 1 && distances.len() < 64 {
                distances.extend(distances.clone().iter().map(|d| d + parity));
            } else {
                let (low, high) = advance_range(n, stride, parity);
                spread = (spread.0 + low, spread.1 + high);
            }
        }
        let (bytes_a, bytes_b) = (extent(a), extent(b));
        distances.iter().all(|&d| {
            let apart =
                bytes_a.1 <= bytes_b.0 + d + spread.0 || bytes_b.1 + d + spread.1 <= bytes_a.0;
            apart || (spread == (0, 0) && never_meet(a, b, d))
        })
    }
}

fn dims_fit(dims: &[usize]) -> Checked {
    if dims.len() > MAX_DIMS {
        return Err(format!("{} dimensions, more than {MAX_DIMS}", dims.len()));
    }
    let points = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    match points {
        Some(n) if n <= isize::MAX as usize => Ok(()),
        _ => Err("too many points".into()),
    }
}

fn same_type(a: &View, b: &View) -> Checked {
    if a.dtype == b.dtype {
        Ok(())
    } else {
        Err(format!("{:?} does not fit {:?}", a.dtype, b.dtype))
    }
}

fn layout_fits(layout: &Packed, view: &View, depth: usize, cols: usize) -> Checked {
    let whole = layout.panel > 0 && layout.panel.is_multiple_of(layout.lanes());
    let bounded = layout.depth.checked_mul(layout.cols + layout.lanes()).is_some();
    if !layout.dtype.is_float() || !whole || !bounded {
        return Err("the packed layout has no sense".into());
    }
    if (layout.depth, layout.cols, layout.dtype) != (depth, cols, view.dtype) {
        return Err(format!(
            "{layout:?} is not for {depth} terms, {cols} columns, {:?}",
            view.dtype
        ));
    }
    Ok(())
}

fn combine_fits(combine: Combine, value: DType) -> Checked<DType> {
    let (fits, out) = match combine {
        Combine::Sum | Combine::Prod => (value != DType::Bool, value),
        Combine::Max | Combine::Min => (true, value),
        Combine::And | Combine::Or | Combine::Xor => (!value.is_float(), value),
        Combine::ArgMax | Combine::ArgMin => (value != DType::Bool, DType::I32),
    };
    if fits { Ok(out) } else { Err(format!("{combine:?} is not defined on {value:?}")) }
}

/// Whether different points have different elements: each stride exceeds what smaller ones reach together.
fn injective(walk: &Walk<'_>) -> Checked {
    if walk.dims.contains(&0) {
        return Ok(());
    }
    let mut dims: Vec<_> = walk.dims.iter().zip(&walk.strides).filter(|(n, _)| **n > 1).collect();
    dims.sort_by_key(|(_, stride)| stride.unsigned_abs());
    let mut reach = 0i128;
    for (&n, stride) in dims {
        let stride = stride.unsigned_abs() as i128;
        if stride <= reach {
            return Err("several points may write to one element".into());
        }
        reach += stride * (n as i128 - 1);
    }
    Ok(())
}

fn advance_of(view: &View, level: usize) -> Advance {
    view.advance.get(level).copied().unwrap_or_default()
}

/// Returns the extremes of `stride·t + parity·(t mod 2)` for t in `0..n`, n at least 1.
fn advance_range(n: usize, stride: i128, parity: i128) -> (i128, i128) {
    let last = n as i128 - 1;
    let mut range = (0, 0);
    for t in [1, last - 1, last].into_iter().filter(|t| (0..=last).contains(t)) {
        let x = stride * t + parity * (t & 1);
        range = (range.0.min(x), range.1.max(x));
    }
    range
}

/// Returns the bytes from the first point to beyond the last, relative to point 0.
fn extent(walk: &Walk<'_>) -> (i128, i128) {
    let size = walk.view.dtype.size() as i128;
    let (mut low, mut high) = (0, size);
    for (&n, &stride) in walk.dims.iter().zip(&walk.strides) {
        let reach = (n as i128 - 1) * stride as i128 * size;
        low += reach.min(0);
        high += reach.max(0);
    }
    (low, high)
}

/// Whether no point of `a` is at the element of a point of `b`, which starts `distance` bytes later.
fn never_meet(a: &Walk<'_>, b: &Walk<'_>, distance: i128) -> bool {
    let size = a.view.dtype.size() as i128;
    if b.view.dtype.size() as i128 != size || distance % size != 0 {
        return false;
    }
    // a's terms minus b's terms, as (coefficient, lowest, highest); equal strides merge into one term.
    let mut terms: Vec<(i128, i128, i128)> = vec![];
    let mut term = |c: i64, low: i128, high: i128| {
        if c != 0 && low != high {
            match terms.iter_mut().find(|t| t.0 == c as i128) {
                Some(t) => (t.1, t.2) = (t.1 + low, t.2 + high),
                None => terms.push((c as i128, low, high)),
            }
        }
    };
    for (&n, &s) in a.dims.iter().zip(&a.strides) {
        term(s, 0, n as i128 - 1);
    }
    for (&n, &s) in b.dims.iter().zip(&b.strides) {
        term(s, -(n as i128 - 1), 0);
    }
    terms.sort_by_key(|t| std::cmp::Reverse(t.0.abs()));
    let mut budget = 4096;
    !has_solution(&terms, distance / size, &mut budget)
}

/// Whether `Σ c·x = target` for some x within bounds, or the budget is spent.
fn has_solution(terms: &[(i128, i128, i128)], target: i128, budget: &mut u32) -> bool {
    let Some((&(c, low, high), rest)) = terms.split_first() else {
        return target == 0;
    };
    let (mut rest_low, mut rest_high) = (0, 0);
    for &(c, low, high) in rest {
        rest_low += (c * low).min(c * high);
        rest_high += (c * low).max(c * high);
    }
    // c·x must lie in target - rest_high ..= target - rest_low.
    let (p, q) = (target - rest_high, target - rest_low);
    let (from, to) = if c > 0 {
        (-((-p).div_euclid(c)), q.div_euclid(c))
    } else {
        (-(q.div_euclid(-c)), (-p).div_euclid(-c))
    };
    for x in from.max(low)..=to.min(high) {
        if *budget == 0 {
            return true;
        }
        *budget -= 1;
        if has_solution(rest, target - c * x, budget) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
