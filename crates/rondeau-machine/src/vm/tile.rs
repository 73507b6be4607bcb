//! Tile programs: a DAG compiled for tiles of a few hundred elements.
//!
//! A tile is a rectangle of the two innermost dimensions. Its values live in slots of scratch memory; loads and
//! stores without gaps are not copied, the operations work on the memory itself. Operands are positions in a
//! table of pointers, which [`Tiles::launch`] fills for a kernel and [`Tiles::run`] corrects for each tile.

use super::ops::{self, Inst, Op};
use super::{Addr, Frame, Planner};
use crate::code::{BLOCK_BYTES, Store, View};
use crate::dag::{DType, Node, Val};

/// The most elements of a tile.
pub(super) const TILE: usize = 256;

/// The iteration space of a tiled kernel after dimensions of size 1 are dropped and others are merged.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    /// Sizes, outermost first.
    dims: Vec<usize>,
    /// The original dimension of each, the innermost of merged ones.
    names: Vec<usize>,
}

/// The strides of one view over a [`Space`], in bytes.
type Strides = Vec<isize>;

impl Space {
    /// Drops dimensions of size 1 and merges those that all views walk without a break, but not those that the
    /// DAG counts; the first `n_kept` dimensions stay as they are.
    pub(crate) fn new<'a>(
        dims: &[usize],
        views: impl Iterator<Item = &'a View> + Clone,
        dag: &[Node],
        n_kept: usize,
    ) -> Space {
        let counted = |d: usize| {
            dag.iter().any(|node| matches!(node, Node::Iota { dim, .. } if *dim as usize == d))
        };
        let mut space = Space { dims: dims[..n_kept].to_vec(), names: (0..n_kept).collect() };
        for (d, &n) in dims.iter().enumerate().skip(n_kept).filter(|(_, n)| **n != 1) {
            let merges = space.names.last().is_some_and(|&last| {
                let steps = |v: &View| v.strides[last] == v.strides[d].wrapping_mul(n as i64);
                last >= n_kept && !counted(last) && !counted(d) && views.clone().all(steps)
            });
            match (merges, space.dims.last_mut(), space.names.last_mut()) {
                (true, Some(dim), Some(name)) => (*dim, *name) = (*dim * n, d),
                _ => {
                    space.dims.push(n);
                    space.names.push(d);
                }
            }
        }
        space
    }

    /// The space with at least one dimension after the first `n_kept`.
    pub(crate) fn with_a_dim_after(mut self, n_kept: usize) -> Space {
        if self.dims.len() == n_kept {
            self.dims.push(1);
            self.names.push(usize::MAX);
        }
        self
    }

    /// The last of the first `n_kept` dimensions after all others.
    pub(super) fn across(dims: &[usize], n_kept: usize) -> Space {
        let names = (0..n_kept - 1).chain(n_kept..dims.len()).chain([n_kept - 1]);
        let names: Vec<_> = names.collect();
        Space { dims: names.iter().map(|&d| dims[d]).collect(), names }
    }

    /// Sizes, outermost first.
    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Keeps two dimensions as they are.
    pub(super) fn rows_and_cols(rows: usize, cols: usize) -> Space {
        Space { dims: vec![rows, cols], names: vec![0, 1] }
    }

    pub(crate) fn strides(&self, view: &View) -> Vec<isize> {
        let size = view.dtype.size() as isize;
        let stride =
            |d: &usize| view.strides.get(*d).map_or(0, |&s| (s as isize).wrapping_mul(size));
        self.names.iter().map(stride).collect()
    }

    pub(super) fn cols(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }

    pub(super) fn rows(&self) -> usize {
        self.dims.iter().nth_back(1).copied().unwrap_or(1)
    }

    /// The rows and columns of a full tile.
    pub(super) fn tile(&self) -> (usize, usize) {
        let cols = self.cols().clamp(1, TILE);
        let rows = if self.cols() <= TILE { (TILE / cols).min(self.rows()).max(1) } else { 1 };
        (rows, cols)
    }

    /// Calls `f` with the origin and the shape of each tile, in row-major order.
    #[inline]
    pub(super) fn for_each_tile(
        &self,
        (tile_rows, tile_cols): (usize, usize),
        mut f: impl FnMut(&[usize], (usize, usize)),
    ) {
        let n = self.dims.len();
        let mut origin = [0usize; crate::code::MAX_DIMS];
        let origin = &mut origin[..n];
        if self.dims.contains(&0) {
            return;
        }
        loop {
            let rows = if n > 1 { tile_rows.min(self.dims[n - 2] - origin[n - 2]) } else { 1 };
            let cols = if n > 0 { tile_cols.min(self.dims[n - 1] - origin[n - 1]) } else { 1 };
            f(origin, (rows, cols));
            let mut d = n;
            loop {
                if d == 0 {
                    return;
                }
                d -= 1;
                origin[d] += match n - d {
                    1 => tile_cols,
                    2 => tile_rows,
                    _ => 1,
                };
                if origin[d] < self.dims[d] {
                    break;
                }
                origin[d] = 0;
            }
        }
    }
}

/// A view as tiles read or write it.
#[derive(Clone, Debug)]
struct Port {
    addr: Addr,
    strides: Strides,
    size: usize,
    /// The position in the table.
    entry: u16,
    /// Whether operations work on the memory itself.
    direct: bool,
    /// Whether the bytes are truth values, to be made 0 or 1.
    is_bool: bool,
}

impl Port {
    fn row_stride(&self) -> isize {
        self.strides.iter().nth_back(1).copied().unwrap_or(0)
    }

    fn col_stride(&self) -> isize {
        self.strides.last().copied().unwrap_or(0)
    }

    /// Whether full and partial tiles of this shape have no gaps.
    fn is_contiguous(&self, (rows, cols): (usize, usize)) -> bool {
        let whole = cols == 1 || self.col_stride() == self.size as isize;
        whole && (rows == 1 || self.row_stride() == (cols * self.size) as isize)
    }

    fn origin(&self, origin: &[usize]) -> isize {
        self.strides.iter().zip(origin).map(|(s, &i)| s * i as isize).sum()
    }
}

/// A value that is filled in for each tile.
#[derive(Clone, Debug)]
struct Count {
    entry: u16,
    dtype: DType,
    of: Counted,
}

#[derive(Clone, Copy, Debug)]
enum Counted {
    Step(usize),
    /// Which dimension of the space; none for a dropped one.
    Dim(Option<usize>),
}

/// A DAG compiled for tiles of one shape.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    pub(super) space: Space,
    pub(super) shape: (usize, usize),
    loads: Vec<Port>,
    counts: Vec<Count>,
    insts: Vec<Inst>,
    stores: Vec<Port>,
    /// Table entries of slots: bytes from the end of the table. Constants follow: bytes into the pool.
    slots: Vec<usize>,
    constants: Vec<usize>,
    n_ports: usize,
    /// The entry of each value of the DAG, `u16::MAX` where it is not needed.
    entries: Vec<u16>,
    scratch_bytes: usize,
}

/// What is computed, for which outlets.
pub(super) struct Job<'a> {
    pub(super) loads: &'a [View],
    pub(super) dag: &'a [Node],
    pub(super) dtypes: &'a [DType],
    pub(super) stores: &'a [Store],
    /// Values that must stay until the next tile.
    pub(super) keep: &'a [Val],
}

/// What an entry of the table stands for, while compiling.
#[derive(Clone, Copy)]
enum Entry {
    Slot(usize),
    Constant(usize),
    /// Set for each tile: memory, or a product.
    Port,
}

impl Tiles {
    pub(super) fn compile(
        planner: &mut Planner<'_>,
        space: Space,
        shape: (usize, usize),
        job: &Job<'_>,
    ) -> Tiles {
        Compiler::new(planner, space, shape, job).run()
    }

    /// The bytes that [`Tiles::launch`] and [`Tiles::run`] need at `scratch`.
    pub(super) fn scratch_bytes(&self) -> usize {
        self.scratch_bytes
    }

    /// Prepares the table at the start of `scratch`.
    ///
    /// # Safety
    /// `scratch` is valid for [`Tiles::scratch_bytes`], aligned to [`BLOCK_BYTES`], and the kernel's alone.
    pub(super) unsafe fn launch(&self, frame: &Frame<'_>, scratch: *mut u8) {
        let table = scratch as *mut *mut u8;
        let base = scratch.wrapping_add(self.table_bytes());
        let first_constant = self.n_ports + self.slots.len();
        for (i, offset) in self.slots.iter().enumerate() {
            // SAFETY: the table has room for all entries.
            unsafe { *table.add(self.n_ports + i) = base.wrapping_add(*offset) };
        }
        for (i, offset) in self.constants.iter().enumerate() {
            // SAFETY: as above.
            unsafe { *table.add(first_constant + i) = frame.pool.wrapping_add(*offset) as *mut u8 };
        }
    }

    /// Computes the tile at `origin`.
    ///
    /// # Safety
    /// [`Tiles::launch`] came before; products are set by [`Tiles::set`]; the tile lies in the kernel's
    /// iteration space, whose accesses are checked.
    pub(super) unsafe fn run(
        &self,
        frame: &Frame<'_>,
        scratch: *mut u8,
        origin: &[usize],
        shape: (usize, usize),
    ) {
        let table = scratch as *mut *mut u8;
        let n = shape.0 * shape.1;
        // SAFETY: entries lie in the table; memory is in bounds by the check of the code; slots hold a tile.
        unsafe {
            for port in &self.loads {
                let from = frame.at(&port.addr).wrapping_offset(port.origin(origin));
                if port.direct {
                    *table.add(port.entry as usize) = from;
                } else {
                    let to = *table.add(port.entry as usize);
                    copy_in(port, from, to, shape);
                }
            }
            for count in &self.counts {
                let to = *table.add(count.entry as usize);
                fill_count(count, frame, origin, shape, to, self.space.dims.len());
            }
            for port in self.stores.iter().filter(|p| p.direct) {
                let to = frame.at(&port.addr).wrapping_offset(port.origin(origin));
                *table.add(port.entry as usize) = to;
            }
            ops::run(frame.level, &self.insts, table, n);
            for port in self.stores.iter().filter(|p| !p.direct) {
                let to = frame.at(&port.addr).wrapping_offset(port.origin(origin));
                copy_out(port, *table.add(port.entry as usize), to, shape);
            }
        }
    }

    /// The elements of `value` in the last tile.
    ///
    /// # Safety
    /// As [`Tiles::run`], which came before; `value` was kept.
    pub(super) unsafe fn value(&self, scratch: *mut u8, value: Val) -> *const u8 {
        // SAFETY: kept values have an entry in the table.
        unsafe { *(scratch as *mut *mut u8).add(self.entries[value.0 as usize] as usize) }
    }

    /// Says where the product of the node `value` lies, for the tiles to come.
    ///
    /// # Safety
    /// `scratch` as for [`Tiles::launch`].
    pub(super) unsafe fn set(&self, scratch: *mut u8, value: usize, at: *mut u8) {
        if let Some(&entry) = self.entries.get(value).filter(|e| **e != u16::MAX) {
            // SAFETY: the entry lies in the table.
            unsafe { *(scratch as *mut *mut u8).add(entry as usize) = at };
        }
    }

    fn table_bytes(&self) -> usize {
        table_bytes(self.n_ports + self.slots.len() + self.constants.len())
    }
}

fn table_bytes(n_entries: usize) -> usize {
    (n_entries * size_of::<*mut u8>()).next_multiple_of(BLOCK_BYTES)
}

struct Compiler<'a, 'p, 'c> {
    planner: &'p mut Planner<'c>,
    space: Space,
    shape: (usize, usize),
    job: &'a Job<'a>,
    /// For each node, the number of the last instruction that reads it.
    last_use: Vec<usize>,
    entries: Vec<Option<usize>>,
    kinds: Vec<Entry>,
    free: Vec<(usize, usize)>,
    slot_bytes: usize,
}

impl<'a, 'p, 'c> Compiler<'a, 'p, 'c> {
    fn new(
        planner: &'p mut Planner<'c>,
        space: Space,
        shape: (usize, usize),
        job: &'a Job<'a>,
    ) -> Self {
        let mut last_use = vec![0; job.dag.len()];
        for value in job.keep.iter().copied().chain(job.stores.iter().map(|s| s.value)) {
            last_use[value.0 as usize] = usize::MAX;
        }
        for (i, node) in job.dag.iter().enumerate().rev() {
            if last_use[i] > 0 {
                node.for_each_operand(|v| {
                    let last = &mut last_use[v.0 as usize];
                    *last = (*last).max(i);
                });
            }
        }
        let entries = vec![None; job.dag.len()];
        Compiler {
            planner,
            space,
            shape,
            job,
            last_use,
            entries,
            kinds: vec![],
            free: vec![],
            slot_bytes: 0,
        }
    }

    fn run(mut self) -> Tiles {
        let (mut loads, mut counts, mut insts, mut stores) = (vec![], vec![], vec![], vec![]);
        let mut store_entries: Vec<Option<Port>> = vec![None; self.job.stores.len()];
        for (i, node) in self.job.dag.iter().enumerate() {
            if self.last_use[i] == 0 {
                continue;
            }
            let dtype = self.job.dtypes[i];
            match *node {
                Node::Load(l) => {
                    let view = &self.job.loads[l as usize];
                    let mut port = self.port(view);
                    port.direct = port.is_contiguous(self.shape)
                        && dtype != DType::Bool
                        && !self.job.stores.iter().any(|s| self.planner.same_start(&s.to, view));
                    let entry =
                        if port.direct { self.entry(Entry::Port) } else { self.fresh_slot(dtype) };
                    port.entry = entry as u16;
                    self.entries[i] = Some(entry);
                    loads.push(port);
                }
                Node::Product(_) => self.entries[i] = Some(self.entry(Entry::Port)),
                Node::Const { dtype, bits } => {
                    let offset = self.planner.constant(dtype, bits);
                    self.entries[i] = Some(self.entry(Entry::Constant(offset)));
                }
                Node::Iota { dim, dtype } => {
                    let position = self.space.names.iter().position(|&d| d == dim as usize);
                    let entry = self.fresh_slot(dtype);
                    self.entries[i] = Some(entry);
                    counts.push(Count { entry: entry as u16, dtype, of: Counted::Dim(position) });
                }
                Node::Step { level, dtype } => {
                    let entry = self.fresh_slot(dtype);
                    self.entries[i] = Some(entry);
                    let of = Counted::Step(level as usize);
                    counts.push(Count { entry: entry as u16, dtype, of });
                }
                Node::Unary(..)
                | Node::Binary(..)
                | Node::IntegerPow(..)
                | Node::Fma(..)
                | Node::Select(..)
                | Node::Convert(..)
                | Node::Bitcast(..)
                | Node::Threefry { .. } => {
                    let direct = self.job.stores.iter().position(|s| {
                        s.value.0 as usize == i && self.port(&s.to).is_contiguous(self.shape)
                    });
                    let entry = match direct {
                        Some(s) => {
                            let entry = self.entry(Entry::Port);
                            let mut port = self.port(&self.job.stores[s].to);
                            (port.direct, port.entry) = (true, entry as u16);
                            store_entries[s] = Some(port);
                            entry
                        }
                        None => self.slot(dtype),
                    };
                    self.entries[i] = Some(entry);
                    insts.push(self.inst(node, entry));
                }
            }
            self.release(node, i);
        }
        for (store, direct) in self.job.stores.iter().zip(store_entries) {
            stores.push(direct.unwrap_or_else(|| {
                let mut port = self.port(&store.to);
                port.entry = self.entries[store.value.0 as usize].unwrap_or(0) as u16;
                port
            }));
        }
        self.finish(loads, counts, insts, stores)
    }

    /// Orders the entries as ports, slots, constants, and renames them everywhere.
    fn finish(
        self,
        mut loads: Vec<Port>,
        mut counts: Vec<Count>,
        mut insts: Vec<Inst>,
        mut stores: Vec<Port>,
    ) -> Tiles {
        let rank = |e: &Entry| match e {
            Entry::Port => 0,
            Entry::Slot(_) => 1,
            Entry::Constant(_) => 2,
        };
        let mut order: Vec<usize> = (0..self.kinds.len()).collect();
        order.sort_by_key(|&e| rank(&self.kinds[e]));
        let mut names = vec![0u16; order.len()];
        for (new, &old) in order.iter().enumerate() {
            names[old] = new as u16;
        }
        let rename = |e: &mut u16| *e = names[*e as usize];
        loads.iter_mut().chain(&mut stores).for_each(|p| rename(&mut p.entry));
        counts.iter_mut().for_each(|c| rename(&mut c.entry));
        for inst in &mut insts {
            inst.operands.iter_mut().chain([&mut inst.result]).for_each(rename);
        }
        let (mut slots, mut constants, mut n_ports) = (vec![], vec![], 0);
        for &e in &order {
            match self.kinds[e] {
                Entry::Port => n_ports += 1,
                Entry::Slot(offset) => slots.push(offset),
                Entry::Constant(offset) => constants.push(offset),
            }
        }
        let entries = self.entries.iter().map(|e| e.map_or(u16::MAX, |e| names[e])).collect();
        let scratch_bytes = table_bytes(order.len()) + self.slot_bytes;
        Tiles {
            space: self.space,
            shape: self.shape,
            loads,
            counts,
            insts,
            stores,
            slots,
            constants,
            n_ports,
            entries,
            scratch_bytes,
        }
    }

    fn port(&self, view: &View) -> Port {
        Port {
            addr: Addr::new(view),
            strides: self.space.strides(view),
            size: view.dtype.size(),
            entry: 0,
            direct: false,
            is_bool: view.dtype == DType::Bool,
        }
    }

    fn entry(&mut self, kind: Entry) -> usize {
        self.kinds.push(kind);
        self.kinds.len() - 1
    }

    /// A slot that nothing else has used: for what is filled in before the instructions run.
    fn fresh_slot(&mut self, dtype: DType) -> usize {
        let offset = self.slot_bytes;
        self.slot_bytes += self.bytes_of_slot(dtype);
        self.entry(Entry::Slot(offset))
    }

    /// A slot for the result of an instruction.
    fn slot(&mut self, dtype: DType) -> usize {
        let bytes = self.bytes_of_slot(dtype);
        match self.free.iter().position(|f| f.1 == bytes) {
            Some(i) => {
                let offset = self.free.swap_remove(i).0;
                self.entry(Entry::Slot(offset))
            }
            None => self.fresh_slot(dtype),
        }
    }

    fn bytes_of_slot(&self, dtype: DType) -> usize {
        (self.shape.0 * self.shape.1 * dtype.size()).next_multiple_of(BLOCK_BYTES)
    }

    /// Gives back the slots of the operands that `node` is the last to read.
    fn release(&mut self, node: &Node, i: usize) {
        let mut done = vec![];
        node.for_each_operand(|v| {
            let v = v.0 as usize;
            if self.last_use[v] == i && !done.contains(&v) {
                done.push(v);
            }
        });
        for v in done {
            let Some(entry) = self.entries[v] else {
                continue;
            };
            if let Entry::Slot(offset) = self.kinds[entry] {
                let bytes = self.bytes_of_slot(self.job.dtypes[v]);
                self.free.push((offset, bytes));
            }
        }
    }

    fn inst(&self, node: &Node, result: usize) -> Inst {
        let mut operands = [result as u16; 4];
        let mut n = 0;
        node.for_each_operand(|v| {
            operands[n] = self.entries[v.0 as usize].unwrap_or(0) as u16;
            n += 1;
        });
        let dtype = |v: Val| self.job.dtypes[v.0 as usize];
        let op = match *node {
            Node::Unary(op, a) => Op::Unary(op, dtype(a)),
            Node::Binary(op, a, _) => Op::Binary(op, dtype(a)),
            Node::IntegerPow(a, n) => Op::IntegerPow(n, dtype(a)),
            Node::Fma(a, ..) => Op::Fma(dtype(a)),
            Node::Select(_, a, _) => Op::Select(dtype(a).size()),
            Node::Convert(a, to) => Op::Convert(dtype(a), to),
            Node::Bitcast(_, to) => Op::Copy(to.size()),
            Node::Threefry { word, .. } => Op::Threefry(word),
            Node::Load(_)
            | Node::Product(_)
            | Node::Const { .. }
            | Node::Iota { .. }
            | Node::Step { .. } => unreachable!("internal: {node:?} is no instruction"),
        };
        Inst { op, operands, result: result as u16 }
    }
}

/// # Safety
/// `from` is valid for the port's elements of the shape, `to` for as many without gaps.
unsafe fn copy_in(port: &Port, from: *const u8, to: *mut u8, shape: (usize, usize)) {
    let strides = (port.row_stride(), port.col_stride());
    let gapless = ((shape.1 * port.size) as isize, port.size as isize);
    // SAFETY: by contract.
    unsafe {
        copy(port.size, from, strides, to, gapless, shape);
        if port.is_bool {
            let n = shape.0 * shape.1;
            std::slice::from_raw_parts_mut(to, n).iter_mut().for_each(|b| *b = (*b != 0) as u8);
        }
    }
}

/// # Safety
/// As [`copy_in`], the other way.
unsafe fn copy_out(port: &Port, from: *const u8, to: *mut u8, shape: (usize, usize)) {
    let strides = (port.row_stride(), port.col_stride());
    let gapless = ((shape.1 * port.size) as isize, port.size as isize);
    // SAFETY: by contract.
    unsafe { copy(port.size, from, gapless, to, strides, shape) }
}

/// Copies a rectangle of elements of `size` bytes; strides are in bytes, of rows and of columns.
///
/// # Safety
/// Both sides are valid for all elements, aligned, and apart.
pub(super) unsafe fn copy(
    size: usize,
    from: *const u8,
    from_strides: (isize, isize),
    to: *mut u8,
    to_strides: (isize, isize),
    shape: (usize, usize),
) {
    // SAFETY: by contract.
    unsafe {
        match size {
            4 => copy_as::<u32>(from, from_strides, to, to_strides, shape),
            8 => copy_as::<u64>(from, from_strides, to, to_strides, shape),
            _ => copy_as::<u8>(from, from_strides, to, to_strides, shape),
        }
    }
}

/// # Safety
/// As [`copy`].
unsafe fn copy_as<T: Copy>(
    from: *const u8,
    from_strides: (isize, isize),
    to: *mut u8,
    to_strides: (isize, isize),
    (rows, cols): (usize, usize),
) {
    let size = size_of::<T>() as isize;
    for r in 0..rows as isize {
        let from = from.wrapping_offset(r * from_strides.0) as *const T;
        let to = to.wrapping_offset(r * to_strides.0) as *mut T;
        // SAFETY: the elements are valid, aligned and apart, by contract.
        unsafe {
            if from_strides.1 == size && to_strides.1 == size {
                std::ptr::copy_nonoverlapping(from, to, cols);
            } else if from_strides.1 == 0 && to_strides.1 == size {
                std::slice::from_raw_parts_mut(to, cols).fill(*from);
            } else {
                let (f, t) = (from_strides.1 / size, to_strides.1 / size);
                for c in 0..cols as isize {
                    *to.offset(c * t) = *from.offset(c * f);
                }
            }
        }
    }
}

/// # Safety
/// `to` is valid for the shape's elements without gaps.
unsafe fn fill_count(
    count: &Count,
    frame: &Frame<'_>,
    origin: &[usize],
    (rows, cols): (usize, usize),
    to: *mut u8,
    n_dims: usize,
) {
    let (start, by_row, by_col) = match count.of {
        Counted::Step(level) => (frame.step(level), 0, 0),
        Counted::Dim(None) => (0, 0, 0),
        Counted::Dim(Some(d)) => {
            (origin[d], (d + 2 == n_dims) as usize, (d + 1 == n_dims) as usize)
        }
    };
    for r in 0..rows {
        for c in 0..cols {
            let (i, at) = (start + r * by_row + c * by_col, r * cols + c);
            // SAFETY: `at` is below the number of elements.
            unsafe {
                match count.dtype {
                    DType::F32 => *(to as *mut f32).add(at) = i as f32,
                    DType::F64 => *(to as *mut f64).add(at) = i as f64,
                    DType::I32 | DType::U32 | DType::Bool => *(to as *mut u32).add(at) = i as u32,
                }
            }
        }
    }
}
