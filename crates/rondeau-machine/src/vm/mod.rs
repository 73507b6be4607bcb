//! The tile machine: runs a checked [`Code`] by kernels over tiles, on every processor.
//!
//! [`Plan::new`] resolves views to addresses and DAGs to tile programs once; [`Plan::run`] walks the plan. It
//! relies on [`Code::check`] for every access.

mod gemm;
mod index;
mod line;
mod map;
mod mat;
mod ops;
mod pack;
mod parallel;
mod reduce;
#[cfg(test)]
mod tests;
mod tile;

use crate::code::{BLOCK_BYTES, Code, Place, Stmt, View};
use crate::cpu::Level;
use crate::dag::{self, DType, Node, Scope};
use crate::exec::Tapped;
use std::any::Any;
use std::cell::Cell;

pub(crate) use parallel::run_parts;
#[cfg(all(target_arch = "x86_64", unix))]
pub(crate) use tile::Space;

/// The state of one call. Machine code reads the first fields by their offsets.
#[repr(C)]
pub(crate) struct Frame<'a> {
    /// The address of each buffer.
    pub(crate) bases: *const *mut u8,
    /// The number of steps that each enclosing loop has made.
    pub(crate) steps: *mut usize,
    /// Memory for kernels, [`Plan::scratch_bytes`] long.
    pub(crate) scratch: *mut u8,
    /// The constants of tile programs.
    pub(crate) pool: *const u8,
    pub(crate) level: Level,
    /// Where machine code starts; null for the tile machine.
    pub(crate) code: *const u8,
    pub(crate) lanes: Lanes,
    pub(crate) taps: &'a dyn Fn(Tapped<'_>),
    /// What a call from machine code panicked with.
    pub(crate) panic: Cell<Option<Box<dyn Any + Send>>>,
}

/// Each part of a [`Stmt::Parallel`] has a lane of the call's memory for itself. From one lane to the next, in bytes:
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes {
    pub(crate) scratch: usize,
    pub(crate) steps: usize,
}

impl Frame<'_> {
    /// The address of a view at point 0 in the current steps.
    #[inline(always)]
    fn at(&self, addr: &Addr) -> *mut u8 {
        // SAFETY: buffers and levels are numbered within their arrays, by the check of the code.
        let base = unsafe { *self.bases.add(addr.buffer as usize) };
        let mut offset = addr.offset;
        for (level, &(stride, parity)) in addr.advance.iter().enumerate() {
            let t = self.step(level) as isize;
            offset += stride * t + parity * (t & 1);
        }
        base.wrapping_offset(offset)
    }

    #[inline(always)]
    fn step(&self, level: usize) -> usize {
        // SAFETY: as in `at`.
        unsafe { *self.steps.add(level) }
    }
}

/// A view's address in bytes, without its strides.
#[derive(Clone, Debug)]
pub(crate) struct Addr {
    pub(crate) buffer: u32,
    pub(crate) offset: isize,
    /// Stride and parity of each enclosing loop.
    pub(crate) advance: Box<[(isize, isize)]>,
}

impl Addr {
    pub(crate) fn new(view: &View) -> Addr {
        let size = view.dtype.size() as isize;
        let bytes = |n: i64| (n as isize).wrapping_mul(size);
        let advance = view.advance.iter().map(|a| (bytes(a.stride), bytes(a.parity))).collect();
        Addr { buffer: view.buffer.0, offset: bytes(view.offset), advance }
    }
}

/// A view with its strides in bytes.
#[derive(Clone, Debug)]
struct Strided {
    addr: Addr,
    strides: Vec<isize>,
    dtype: DType,
}

impl Strided {
    fn new(view: &View) -> Strided {
        let size = view.dtype.size() as isize;
        let strides = view.strides.iter().map(|&s| (s as isize).wrapping_mul(size)).collect();
        Strided { addr: Addr::new(view), strides, dtype: view.dtype }
    }

    /// Bytes from point 0 to the point `at`.
    #[inline(always)]
    fn offset(&self, at: &[usize]) -> isize {
        self.strides.iter().zip(at).map(|(s, &i)| s * i as isize).sum()
    }
}

/// What plans share while they are made.
pub(crate) struct Planner<'a> {
    code: &'a Code,
    n_levels: usize,
    pool: Vec<u8>,
    constants: Vec<(DType, u64, usize)>,
    scratch_bytes: usize,
    n_lanes: usize,
}

impl Planner<'_> {
    /// Where the pool has a tile full of this constant.
    fn constant(&mut self, dtype: DType, bits: u64) -> usize {
        if let Some(c) = self.constants.iter().find(|c| (c.0, c.1) == (dtype, bits)) {
            return c.2;
        }
        let offset = self.pool.len();
        let bytes = bits.to_le_bytes();
        for _ in 0..tile::TILE {
            self.pool.extend_from_slice(&bytes[..dtype.size()]);
        }
        self.pool.resize(self.pool.len().next_multiple_of(BLOCK_BYTES), 0);
        self.constants.push((dtype, bits, offset));
        offset
    }

    /// Whether two views start at the same byte, so that one may lie on the other.
    fn same_start(&self, a: &View, b: &View) -> bool {
        let start = |v: &View| {
            let offset = v.offset as i128 * v.dtype.size() as i128;
            match self.code.buffers[v.buffer.0 as usize].place {
                Place::Input(i) => (0, i, offset),
                Place::Output(i) => (1, i, offset),
                Place::Arena(base) => (2, 0, offset + base as i128),
                Place::Constant(_) => (3, v.buffer.0 as usize, offset),
            }
        };
        start(a) == start(b)
    }

    fn infer(&self, dag: &[Node], loads: &[View], products: &[DType], n_dims: usize) -> Vec<DType> {
        let loads: Vec<_> = loads.iter().map(|v| v.dtype).collect();
        let scope = Scope { loads: &loads, products, n_dims, n_levels: self.n_levels };
        dag::infer(dag, scope).unwrap_or_else(|e| panic!("internal: unchecked code: {e}"))
    }

    fn reserve(&mut self, bytes: usize) {
        self.scratch_bytes = self.scratch_bytes.max(bytes);
    }
}

/// The lists of statements of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What calls may leave out.
    Setup,
    /// What every call runs.
    Body,
}

impl Part {
    /// Its statements.
    #[cfg(all(target_arch = "x86_64", unix))]
    pub(crate) fn of(self, code: &Code) -> &[Stmt] {
        match self {
            Part::Setup => &code.setup,
            Part::Body => &code.body,
        }
    }
}

/// A checked code, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    setup: Vec<Step>,
    body: Vec<Step>,
    /// Tiles full of constants; the caller keeps them where `Frame::pool` points.
    pub(crate) pool: Vec<u8>,
    /// What each lane needs.
    pub(crate) scratch_bytes: usize,
    /// The most parts that run at the same time.
    pub(crate) n_lanes: usize,
}

/// A planned statement.
#[derive(Debug)]
pub(crate) enum Step {
    Map(map::Kernel),
    Mat(mat::Kernel),
    Pack(pack::Kernel),
    Gemm(gemm::Kernel),
    Reduce(reduce::Kernel),
    Cumulative(line::Cumulative),
    Sort(line::Sort),
    Gather(index::Gather),
    Scatter(index::Scatter),
    Loop(usize, usize, Vec<Step>),
    While(Vec<Step>, Addr, Vec<Step>),
    Switch(Addr, DType, Vec<Vec<Step>>),
    Tap(u64, DType, Vec<usize>, Addr),
    Parallel(Vec<Vec<Step>>),
}

impl Plan {
    /// Plans a code that has passed [`Code::check`].
    pub(crate) fn new(code: &Code) -> Plan {
        let mut planner = Planner {
            code,
            n_levels: 0,
            pool: vec![],
            constants: vec![],
            scratch_bytes: 0,
            n_lanes: 1,
        };
        let setup = plan_body(&mut planner, &code.setup);
        let body = plan_body(&mut planner, &code.body);
        let Planner { pool, scratch_bytes, n_lanes, .. } = planner;
        Plan { setup, body, pool, scratch_bytes, n_lanes }
    }

    /// Runs the setup or the body.
    ///
    /// # Safety
    /// The buffers at `frame.bases` are as the checked code declares them, `frame.steps` has room for its levels,
    /// `frame.scratch` for [`Plan::scratch_bytes`], aligned to [`BLOCK_BYTES`]; both for [`Plan::n_lanes`] lanes;
    /// `frame.pool` is the plan's.
    pub(crate) unsafe fn run(&self, part: Part, frame: &Frame<'_>) {
        // SAFETY: by contract.
        unsafe { run_body(self.part(part), frame) }
    }

    /// The planned statements of a part, in the structure of the code's.
    pub(crate) fn part(&self, part: Part) -> &[Step] {
        match part {
            Part::Setup => &self.setup,
            Part::Body => &self.body,
        }
    }
}

fn plan_body(planner: &mut Planner<'_>, body: &[Stmt]) -> Vec<Step> {
    body.iter().map(|stmt| plan_stmt(planner, stmt)).collect()
}

fn plan_stmt(planner: &mut Planner<'_>, stmt: &Stmt) -> Step {
    match stmt {
        Stmt::Map(k) => Step::Map(map::Kernel::new(planner, k)),
        Stmt::Mat(k) => Step::Mat(mat::Kernel::new(planner, k)),
        Stmt::Pack(k) => Step::Pack(pack::Kernel::new(k)),
        Stmt::Gemm(k) => Step::Gemm(gemm::Kernel::new(planner, k)),
        Stmt::Reduce(k) => Step::Reduce(reduce::Kernel::new(planner, k)),
        Stmt::Cumulative(k) => Step::Cumulative(line::Cumulative::new(k)),
        Stmt::Sort(k) => Step::Sort(line::Sort::new(planner, k)),
        Stmt::Gather(k) => Step::Gather(index::Gather::new(k)),
        Stmt::Scatter(k) => Step::Scatter(index::Scatter::new(k)),
        Stmt::Loop(l) => {
            let level = planner.n_levels;
            planner.n_levels += 1;
            let body = plan_body(planner, &l.body);
            planner.n_levels -= 1;
            Step::Loop(level, l.n_steps, body)
        }
        Stmt::While(w) => {
            let cond = plan_body(planner, &w.cond);
            Step::While(cond, Addr::new(&w.flag), plan_body(planner, &w.body))
        }
        Stmt::Switch(s) => {
            let branches = s.branches.iter().map(|b| plan_body(planner, b)).collect();
            Step::Switch(Addr::new(&s.index), s.index.dtype, branches)
        }
        Stmt::Tap(t) => Step::Tap(t.id, t.view.dtype, t.dims.clone(), Addr::new(&t.view)),
        Stmt::Parallel(parts) => {
            planner.n_lanes = planner.n_lanes.max(parts.len());
            Step::Parallel(parts.iter().map(|part| plan_body(planner, part)).collect())
        }
    }
}

/// # Safety
/// As [`Plan::run`]; the steps are part of the plan and `frame.steps` holds their enclosing loops' steps.
unsafe fn run_body(body: &[Step], frame: &Frame<'_>) {
    for step in body {
        // SAFETY: by contract.
        unsafe { run_step(step, frame) }
    }
}

/// # Safety
/// As [`Plan::run`]; the step is part of the plan and `frame.steps` holds its enclosing loops' steps.
pub(crate) unsafe fn run_step(step: &Step, frame: &Frame<'_>) {
    // SAFETY: each kernel's contract is this function's: its accesses are checked.
    unsafe {
        match step {
            Step::Map(k) => k.run(frame),
            Step::Mat(k) => k.run(frame),
            Step::Pack(k) => k.run(frame),
            Step::Gemm(k) => k.run(frame),
            Step::Reduce(k) => k.run(frame),
            Step::Cumulative(k) => k.run(frame),
            Step::Sort(k) => k.run(frame),
            Step::Gather(k) => k.run(frame),
            Step::Scatter(k) => k.run(frame),
            Step::Loop(level, n_steps, body) => {
                for t in 0..*n_steps {
                    *frame.steps.add(*level) = t;
                    run_body(body, frame);
                }
            }
            Step::While(cond, flag, body) => loop {
                run_body(cond, frame);
                if *frame.at(flag) == 0 {
                    break;
                }
                run_body(body, frame);
            },
            Step::Switch(index, dtype, branches) => {
                let last = branches.len() - 1;
                run_body(
                    &branches[read_index(frame.at(index), *dtype).clamp(0, last as i64) as usize],
                    frame,
                );
            }
            Step::Tap(id, dtype, dims, addr) => {
                let bytes = dims.iter().product::<usize>() * dtype.size();
                let bytes = if bytes == 0 {
                    &[][..]
                } else {
                    std::slice::from_raw_parts(frame.at(addr), bytes)
                };
                (frame.taps)(Tapped { id: *id, dtype: *dtype, dims, bytes });
            }
            Step::Parallel(parts) => {
                run_parts(frame, parts.len(), &|i, frame| run_body(&parts[i], frame));
            }
        }
    }
}

/// # Safety
/// `at` is valid for an `I32` or `U32`.
#[inline(always)]
unsafe fn read_index(at: *const u8, dtype: DType) -> i64 {
    // SAFETY: by contract.
    unsafe {
        if dtype == DType::U32 { *(at as *const u32) as i64 } else { *(at as *const i32) as i64 }
    }
}

/// Calls `f` with every point of `dims` in row-major order.
#[inline]
fn for_each_point(dims: &[usize], mut f: impl FnMut(&[usize])) {
    let mut at = [0usize; crate::code::MAX_DIMS];
    let at = &mut at[..dims.len()];
    if dims.contains(&0) {
        return;
    }
    loop {
        f(at);
        let mut d = dims.len();
        loop {
            if d == 0 {
                return;
            }
            d -= 1;
            at[d] += 1;
            if at[d] < dims[d] {
                break;
            }
            at[d] = 0;
        }
    }
}

/// Runs `$body` with `$t` as the type of the elements, `Bool` as `u8`.
macro_rules! with_number {
    ($dtype:expr, $t:ident, $body:expr) => {
        match $dtype {
            $crate::dag::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::dag::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::dag::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::dag::DType::U32 => {
                type $t = u32;
                $body
            }
            $crate::dag::DType::Bool => {
                type $t = $crate::scalar::Truth;
                $body
            }
        }
    };
}
use with_number;
