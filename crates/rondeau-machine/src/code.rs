//! The kernel IR: what an executor runs. It knows buffers, strides and loops, and no programs.
//!
//! # For the author of a lowering
//!
//! A [`Code`] is a list of [`Buffer`]s and two lists of [`Stmt`]s that run in order: the `setup`, which need not be
//! repeated while its inputs stay the same, and the `body`. All shapes are static.
//!
//! **Buffers** are untyped ranges of bytes: an external input (read only), an external output, a range of the
//! arena (planned by the lowering; ranges may overlap when their lives do not), or a constant. Arena ranges hold
//! garbage until written, and are best aligned to 64 bytes.
//!
//! **A [`View`]** names the elements that a kernel touches: element `i` of the kernel's iteration space, in the
//! steps `t` of the enclosing loops, lies at
//! `offset + Σ strides[d]·i[d] + Σ (advance[l].stride·t[l] + advance[l].parity·(t[l] mod 2))`, in elements of
//! the view's type. So:
//!
//! | to say | write |
//! |---|---|
//! | `xs[t]`, a row of n | `View::new(xs, F32).strides([1]).advance(level, n)` |
//! | `ys[T-1-t]` (a reverse scan) | `.offset((T - 1) * n)` and `.advance(level, -n)` |
//! | broadcast along a dimension | stride 0 there |
//! | a flip | `.offset(n - 1)` and stride -1 |
//! | a carry in a double buffer of `2 n`: read | `.alternate(level, n)` |
//! | ... and written in the same step | `.offset(n)` and `.alternate(level, -n)` |
//! | the last carry after `T` steps | `.offset((T % 2) * n)` |
//!
//! A carry that a kernel reads only at the element that it writes (`h' = f(h)`) can stay in one buffer: a store
//! may lie exactly on a load. A carry that a `Mat` reads as a whole needs the double buffer.
//!
//! **Kernels.** [`Map`] computes a DAG at each point of up to [`MAX_DIMS`] dimensions; copies, fills, broadcasts,
//! transpositions, concatenation (one `Map` a part) and padding (a fill and a copy) are `Map`s too. Merge
//! dimensions where strides allow, and put the dimension with strides 1 and 0 innermost: such kernels run as
//! vectors. [`Mat`] computes products with weights and then a DAG (the epilogue) at each output, so that a gated
//! recurrent unit is two `Mat`s. Products that share one `source` are summed in one pass. Weights that stay the
//! same through a loop are rearranged before it by [`Pack`]. [`Gemm`] is the product for everything else: big,
//! integer, or both sides changing (put it in a `Loop` for batch dimensions). [`Reduce`] computes a DAG at each
//! point and combines along the last dimensions. [`Gather`] and [`Scatter`] index by data, and with indices of
//! stride 0 everywhere they are dynamic slice and dynamic update slice. [`Cumulative`] and [`Sort`] work along
//! one dimension.
//!
//! **Control.** [`Stmt::Loop`] repeats its body; it adds one level, outermost is level 0, so `advance` has one
//! entry an enclosing loop (missing entries are 0). A loop over a batch dimension is as good as a loop over time.
//! [`Stmt::While`] and [`Stmt::Switch`] choose by data in buffers and add no level. The carry of a `While` is
//! updated in place: the body computes the new one elsewhere and copies it. [`Stmt::Parallel`] stands only at the
//! top of a code and in loops there, not in the setup, in branches, or in other parts.
//!
//! # Meaning, bit for bit
//!
//! Every executor computes the same bits (NaNs only as a class). A [`Mat`] sums each product in `chains` chains:
//! chain `s` sums the terms `k ≡ s (mod chains)` in order of `k` with fused multiply-adds, first those of the first
//! [`Terms`] and last those of the last; chain 0 starts from `init`, the others from 0; then the upper half of the
//! chains is added to the lower half until one is left. A [`Gemm`] of floats sums as [`crate::gemm`] says, one of
//! integers in order of `k`. A [`Reduce`] is defined at [`Combine`]. DAGs are not contracted.
//!
//! # Hazards
//!
//! Statements run one after the other; within one kernel points run in any order. So a store must not touch what
//! another point of the same kernel loads or stores: `check` accepts a store that lies exactly on a load or that
//! it can see to be disjoint. A `source` or `weights` must be disjoint from all stores of its kernel.
//!
//! Parts of a [`Stmt::Parallel`] run in any order and at the same time, each through all of its own loops; loops
//! around it go on when all parts have ended. So what one part writes no other part may touch, in whichever steps
//! the two are. `check` sees that where the bytes lie in ranges that do not overlap, or, of data laid out `[time,
//! batch, hidden]`, in other rows of the batch: for a number of bytes `M`, such as `batch * hidden * 4`, in
//! residues modulo `M` that do not overlap.

use std::sync::Arc;

pub use crate::dag::{Binary, DType, Node, Unary, Val};
pub use crate::gemm::Order;

/// The most dimensions of a kernel's iteration space.
pub const MAX_DIMS: usize = 6;

/// The most [`Terms`] of a [`Product`].
pub const MAX_TERMS: usize = 4;

/// The most parts of a [`Stmt::Parallel`].
pub const MAX_PARTS: usize = 16;

/// The bytes of packed weights that stay in the first-level cache beside all else.
const PANEL_BYTES: usize = 32 << 10;

/// The bytes of one block of packed weights, and the best alignment of a buffer.
pub const BLOCK_BYTES: usize = 64;

/// A whole computation: buffers, and statements that run in order.
#[derive(Clone, Debug, Default)]
pub struct Code {
    /// All memory that the statements touch.
    pub buffers: Vec<Buffer>,
    /// What happens first: it reads inputs and constants, and leaves its results in the arena. A call with the
    /// same values in the inputs that it reads, and the same arena, may leave it out.
    pub setup: Vec<Stmt>,
    /// What happens then. It changes nothing that `setup` has written.
    pub body: Vec<Stmt>,
}

/// The name of a buffer: its position in [`Code::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// A range of bytes.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// The length.
    pub bytes: usize,
    /// Where the bytes are.
    pub place: Place,
}

/// Where a buffer is.
#[derive(Clone, Debug)]
pub enum Place {
    /// The input of this number; read only. Several buffers may name one input.
    Input(usize),
    /// The output of this number. Several buffers may name one output.
    Output(usize),
    /// The arena from this byte on.
    Arena(usize),
    /// The code itself; read only.
    Constant(Arc<[u8]>),
}

/// Where a kernel's elements lie in a buffer; the module's documentation has the formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The buffer.
    pub buffer: BufferId,
    /// The type of the elements.
    pub dtype: DType,
    /// The first element, in elements from the start of the buffer.
    pub offset: i64,
    /// One for each dimension of the iteration space, outermost first.
    pub strides: Vec<i64>,
    /// One for each enclosing loop, outermost first; missing ones stand still.
    pub advance: Vec<Advance>,
}

/// How a view moves from step to step of a loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// Elements a step.
    pub stride: i64,
    /// Elements that are added in odd steps.
    pub parity: i64,
}

impl View {
    /// The single element at the start of `buffer`.
    pub fn new(buffer: BufferId, dtype: DType) -> View {
        View { buffer, dtype, offset: 0, strides: vec![], advance: vec![] }
    }

    /// The view moved to start at this element.
    pub fn offset(mut self, offset: i64) -> View {
        self.offset = offset;
        self
    }

    /// The view with these strides.
    pub fn strides(mut self, strides: impl Into<Vec<i64>>) -> View {
        self.strides = strides.into();
        self
    }

    /// The view moving by `stride` in each step of the loop at `level`.
    pub fn advance(mut self, level: usize, stride: i64) -> View {
        self.level(level).stride = stride;
        self
    }

    /// The view moved by `parity` in the odd steps of the loop at `level`.
    pub fn alternate(mut self, level: usize, parity: i64) -> View {
        self.level(level).parity = parity;
        self
    }

    fn level(&mut self, level: usize) -> &mut Advance {
        if self.advance.len() <= level {
            self.advance.resize(level + 1, Advance::default());
        }
        &mut self.advance[level]
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Stmt {
    /// Elementwise arithmetic.
    Map(Map),
    /// Products with weights, and elementwise arithmetic on them.
    Mat(Mat),
    /// Rearranges weights for a [`Mat`].
    Pack(Pack),
    /// A general matrix product.
    Gemm(Gemm),
    /// Combines elements along dimensions.
    Reduce(Reduce),
    /// Running combinations along one dimension.
    Cumulative(Cumulative),
    /// Sorts along one dimension.
    Sort(Sort),
    /// Reads at indices that are data.
    Gather(Gather),
    /// Writes at indices that are data.
    Scatter(Scatter),
    /// Repeats a body a fixed number of times.
    Loop(Loop),
    /// Repeats a body while a flag is true.
    While(While),
    /// Runs one of several bodies.
    Switch(Switch),
    /// Shows a value to the caller.
    Tap(Tap),
    /// Runs bodies at the same time: at least one, at most [`MAX_PARTS`], without taps. What one of them writes
    /// no other may touch.
    Parallel(Vec<Vec<Stmt>>),
}

impl Stmt {
    /// The statement inside a loop for each of these numbers of steps, the first one outermost.
    pub fn in_loops(self, n_steps: &[usize]) -> Stmt {
        let wrap = |stmt, &n_steps: &usize| Stmt::Loop(Loop { n_steps, body: vec![stmt] });
        n_steps.iter().rev().fold(self, wrap)
    }

    /// Calls `f` with every view of the statement and of those inside it, and whether it is written.
    pub fn views<'a>(&'a self, f: &mut dyn FnMut(&'a View, bool)) {
        match self {
            Stmt::Map(k) => {
                k.loads.iter().for_each(|view| f(view, false));
                k.stores.iter().for_each(|store| f(&store.to, true));
            }
            Stmt::Mat(k) => {
                for terms in k.products.iter().flat_map(|product| &product.terms) {
                    f(&terms.source, false);
                    match &terms.weights {
                        Weights::Packed(view, _) | Weights::Strided(view) => f(view, false),
                    }
                }
                k.loads.iter().for_each(|view| f(view, false));
                k.stores.iter().for_each(|store| f(&store.to, true));
            }
            Stmt::Pack(k) => {
                f(&k.from, false);
                f(&k.to, true);
            }
            Stmt::Gemm(k) => {
                [&k.a, &k.b].into_iter().chain(&k.init).for_each(|view| f(view, false));
                f(&k.to, true);
            }
            Stmt::Reduce(k) => {
                k.loads.iter().for_each(|view| f(view, false));
                k.outputs.iter().for_each(|output| f(&output.to, true));
            }
            Stmt::Cumulative(k) => {
                f(&k.from, false);
                f(&k.to, true);
            }
            Stmt::Sort(k) => {
                f(&k.from, false);
                k.to.iter().chain(&k.to_indices).for_each(|view| f(view, true));
            }
            Stmt::Gather(k) => {
                k.indices.iter().for_each(|index| f(&index.view, false));
                f(&k.from, false);
                f(&k.to, true);
            }
            Stmt::Scatter(k) => {
                k.indices.iter().for_each(|index| f(&index.view, false));
                f(&k.from, false);
                f(&k.to, true);
            }
            Stmt::Loop(k) => k.body.iter().for_each(|stmt| stmt.views(f)),
            Stmt::While(k) => {
                f(&k.flag, false);
                k.cond.iter().chain(&k.body).for_each(|stmt| stmt.views(f));
            }
            Stmt::Switch(k) => {
                f(&k.index, false);
                k.branches.iter().flatten().for_each(|stmt| stmt.views(f));
            }
            Stmt::Tap(k) => f(&k.view, false),
            Stmt::Parallel(parts) => parts.iter().flatten().for_each(|stmt| stmt.views(f)),
        }
    }

    /// Calls `f` with every view of the statement and of those inside it, in the order of [`Stmt::views`].
    pub fn views_mut(&mut self, f: &mut dyn FnMut(&mut View)) {
        match self {
            Stmt::Map(k) => {
                k.loads.iter_mut().chain(k.stores.iter_mut().map(|store| &mut store.to)).for_each(f)
            }
            Stmt::Mat(k) => {
                for terms in k.products.iter_mut().flat_map(|product| &mut product.terms) {
                    f(&mut terms.source);
                    match &mut terms.weights {
                        Weights::Packed(view, _) | Weights::Strided(view) => f(view),
                    }
                }
                k.loads.iter_mut().chain(k.stores.iter_mut().map(|store| &mut store.to)).for_each(f)
            }
            Stmt::Pack(k) => [&mut k.from, &mut k.to].into_iter().for_each(f),
            Stmt::Gemm(k) => {
                [&mut k.a, &mut k.b].into_iter().chain(&mut k.init).chain([&mut k.to]).for_each(f)
            }
            Stmt::Reduce(k) => {
                k.loads.iter_mut().chain(k.outputs.iter_mut().map(|out| &mut out.to)).for_each(f)
            }
            Stmt::Cumulative(k) => [&mut k.from, &mut k.to].into_iter().for_each(f),
            Stmt::Sort(k) => {
                [&mut k.from].into_iter().chain(&mut k.to).chain(&mut k.to_indices).for_each(f)
            }
            Stmt::Gather(k) => {
                let indices = k.indices.iter_mut().map(|index| &mut index.view);
                indices.chain([&mut k.from, &mut k.to]).for_each(f)
            }
            Stmt::Scatter(k) => {
                let indices = k.indices.iter_mut().map(|index| &mut index.view);
                indices.chain([&mut k.from, &mut k.to]).for_each(f)
            }
            Stmt::Loop(k) => k.body.iter_mut().for_each(|stmt| stmt.views_mut(f)),
            Stmt::While(k) => {
                f(&mut k.flag);
                k.cond.iter_mut().chain(&mut k.body).for_each(|stmt| stmt.views_mut(f));
            }
            Stmt::Switch(k) => {
                f(&mut k.index);
                k.branches.iter_mut().flatten().for_each(|stmt| stmt.views_mut(f));
            }
            Stmt::Tap(k) => f(&mut k.view),
            Stmt::Parallel(parts) => parts.iter_mut().flatten().for_each(|stmt| stmt.views_mut(f)),
        }
    }

    /// Calls `f` with every DAG of the statement and of those inside it.
    pub fn dags<'a>(&'a self, f: &mut dyn FnMut(&'a [Node])) {
        match self {
            Stmt::Map(k) => f(&k.dag),
            Stmt::Mat(k) => f(&k.dag),
            Stmt::Reduce(k) => f(&k.dag),
            Stmt::Loop(k) => k.body.iter().for_each(|stmt| stmt.dags(f)),
            Stmt::While(k) => k.cond.iter().chain(&k.body).for_each(|stmt| stmt.dags(f)),
            Stmt::Switch(k) => k.branches.iter().flatten().for_each(|stmt| stmt.dags(f)),
            Stmt::Parallel(parts) => parts.iter().flatten().for_each(|stmt| stmt.dags(f)),
            Stmt::Pack(_)
            | Stmt::Gemm(_)
            | Stmt::Cumulative(_)
            | Stmt::Sort(_)
            | Stmt::Gather(_)
            | Stmt::Scatter(_)
            | Stmt::Tap(_) => {}
        }
    }
}

/// Elementwise arithmetic over an iteration space.
#[derive(Clone, Debug)]
pub struct Map {
    /// The iteration space, outermost dimension first; at most [`MAX_DIMS`].
    pub dims: Vec<usize>,
    /// What [`Node::Load`] reads; strides as `dims`.
    pub loads: Vec<View>,
    /// What is computed at each point.
    pub dag: Vec<Node>,
    /// What is written at each point.
    pub stores: Vec<Store>,
}

/// One value of a DAG written to memory.
#[derive(Clone, Debug)]
pub struct Store {
    /// The value.
    pub value: Val,
    /// Where; each point of the iteration space has its own element.
    pub to: View,
}

/// Products with weights, then a DAG at each output: the work of a recurrent step.
///
/// `Product(p)[row, col] = init + Σ_terms Σ_k source[row, k] · weights[k, col]`; the loads and stores of the DAG
/// have strides for `[row, col]`. Columns are the vectorized dimension.
#[derive(Clone, Debug)]
pub struct Mat {
    /// The number of rows: the batch, or 1.
    pub rows: usize,
    /// The number of columns: the outputs of each product.
    pub cols: usize,
    /// In how many chains each product is summed: 1, 2, 4 or 8; see [`Mat::chains_for`].
    pub chains: usize,
    /// The sums that the DAG reads as [`Node::Product`].
    pub products: Vec<Product>,
    /// What [`Node::Load`] reads; strides for `[row, col]`.
    pub loads: Vec<View>,
    /// What is computed at each output.
    pub dag: Vec<Node>,
    /// What is written at each output; strides for `[row, col]`.
    pub stores: Vec<Store>,
}

/// One sum of products in a [`Mat`]; floats of one type.
#[derive(Clone, Debug)]
pub struct Product {
    /// What is summed, one after the other: at least one, at most [`MAX_TERMS`].
    pub terms: Vec<Terms>,
    /// What the sum starts from: 0, or the load of this number.
    pub init: Option<u32>,
}

/// Terms of a [`Product`] that have one source.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The number of terms.
    pub depth: usize,
    /// The side that changes: strides for `[row, k]`.
    pub source: View,
    /// The side that is broadcast over the rows.
    pub weights: Weights,
}

impl Product {
    /// The type of the sum.
    pub fn dtype(&self) -> DType {
        self.terms.first().map_or(DType::F32, |terms| terms.source.dtype)
    }

    /// The number of all terms.
    pub fn depth(&self) -> usize {
        self.terms.iter().map(|terms| terms.depth).sum()
    }
}

/// The weights of [`Terms`].
#[derive(Clone, Debug)]
pub enum Weights {
    /// As [`Pack`] left them; the view has no strides.
    Packed(View, Packed),
    /// Anywhere: strides for `[k, col]`. Fast where the stride of `col` is 1.
    Strided(View),
}

impl Mat {
    /// Returns the number of chains that keeps a processor busy without costing exactness anything.
    pub fn chains_for(rows: usize, cols: usize, n_products: usize) -> usize {
        match rows * cols.div_ceil(16) * n_products {
            0..=1 => 8,
            2..=7 => 4,
            _ => 1,
        }
    }

    /// Returns the bytes of all weights, without padding.
    pub fn weights_bytes(&self) -> usize {
        self.products.iter().map(|p| p.depth() * self.cols * p.dtype().size()).sum()
    }
}

/// How packed weights lie: panels of columns, in each of them `k` is the slow direction.
///
/// Columns are padded with zeros to whole blocks of [`BLOCK_BYTES`]. Panel `p` holds the columns from
/// `p * panel` on, `panel` of them or what is left in whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The type, `F32` or `F64`.
    pub dtype: DType,
    /// The number of terms.
    pub depth: usize,
    /// The number of columns, without padding.
    pub cols: usize,
    /// Columns in a panel, a multiple of [`Packed::lanes`].
    pub panel: usize,
}

impl Packed {
    /// The columns of a panel that suit a `Mat` with these numbers of rows and columns, of whose products `n_sharing`
    /// have one source in common, with at most `depth` terms.
    pub fn panel_for(
        dtype: DType,
        rows: usize,
        cols: usize,
        n_sharing: usize,
        depth: usize,
    ) -> usize {
        let lanes = BLOCK_BYTES / dtype.size();
        let n_sharing = n_sharing.clamp(1, 8);
        let blocks = match rows {
            // One row needs eight sums in flight, several need sixteen.
            0..=3 => 8 / n_sharing,
            // Where the panel stays in the first-level cache, rows come first: each weight that is loaded serves as
            // many.
            4.. if n_sharing * depth * BLOCK_BYTES <= PANEL_BYTES => 16 / (n_sharing * rows.min(8)),
            4.. => 4 / n_sharing,
        };
        blocks.min(cols.div_ceil(lanes)).max(1) * lanes
    }

    /// Returns the elements of a block of [`BLOCK_BYTES`].
    pub fn lanes(&self) -> usize {
        BLOCK_BYTES / self.dtype.size()
    }

    /// Returns the number of columns with their padding.
    pub fn padded_cols(&self) -> usize {
        self.cols.next_multiple_of(self.lanes())
    }

    /// Returns the number of elements of the whole.
    pub fn len(&self) -> usize {
        self.padded_cols() * self.depth
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the width of the panel that holds column `col`.
    pub fn width_at(&self, col: usize) -> usize {
        self.panel.min(self.padded_cols() - col / self.panel * self.panel)
    }

    /// Returns the position of one weight.
    pub fn position(&self, k: usize, col: usize) -> usize {
        let first = col / self.panel * self.panel;
        first * self.depth + k * self.width_at(col) + (col - first)
    }
}

/// Rearranges weights for a [`Mat`].
#[derive(Clone, Debug)]
pub struct Pack {
    /// The layout to make.
    pub layout: Packed,
    /// The weights: strides for `[k, col]`.
    pub from: View,
    /// The first element of the packed weights; no strides.
    pub to: View,
}

/// A general matrix product, `to[m, n] = init[m, n] + Σ_k a[m, k] · b[k, n]`; not `Bool`.
#[derive(Clone, Debug)]
pub struct Gemm {
    /// Rows.
    pub m: usize,
    /// Columns.
    pub n: usize,
    /// Terms.
    pub k: usize,
    /// The left side: strides for `[m, k]`.
    pub a: View,
    /// The right side: strides for `[k, n]`.
    pub b: View,
    /// What the sums start from, 0 if absent: strides for `[m, n]`. May lie exactly on `to`.
    pub init: Option<View>,
    /// The result: strides for `[m, n]`.
    pub to: View,
    /// In which order floats are summed.
    pub order: Order,
}

/// Computes a DAG at each point of `dims` x `reduced`, and combines its values along `reduced`.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// The dimensions that stay.
    pub dims: Vec<usize>,
    /// The dimensions that go, in the order in which their points are counted; with `dims` at most [`MAX_DIMS`].
    pub reduced: Vec<usize>,
    /// What [`Node::Load`] reads: strides for `dims`, then `reduced`.
    pub loads: Vec<View>,
    /// What is computed at each point.
    pub dag: Vec<Node>,
    /// What is combined, and where to.
    pub outputs: Vec<Reduction>,
}

/// One output of a [`Reduce`].
#[derive(Clone, Debug)]
pub struct Reduction {
    /// How values are combined.
    pub combine: Combine,
    /// The value of the DAG.
    pub value: Val,
    /// Where the result goes: strides for `dims`. `I32` for `ArgMax` and `ArgMin`, else the type of the value.
    pub to: View,
}

/// How a [`Reduce`] combines values.
///
/// Point `j` of the reduced dimensions (in row-major order) goes to chain `j mod 16`, in order of `j`. Each chain
/// starts from the identity, and then the upper half of the chains is combined into the lower half until one
/// is left. Without points the result is the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// The sum, from 0; not `Bool`.
    Sum,
    /// The product, from 1; not `Bool`.
    Prod,
    /// The maximum, as [`Binary::Max`], from the lowest value.
    Max,
    /// The minimum, as [`Binary::Min`], from the highest value.
    Min,
    /// The conjunction, from all ones; `Bool` and integers.
    And,
    /// The disjunction, from zero; `Bool` and integers.
    Or,
    /// The exclusive disjunction, from zero; `Bool` and integers.
    Xor,
    /// The first index of the maximum, NaN above all; not `Bool`. 0 without points.
    ArgMax,
    /// The first index of the minimum, NaN below all; not `Bool`. 0 without points.
    ArgMin,
}

/// Running combinations: `to[.., i]` combines `from[.., 0..=i]` in order, from the first on, which stays as it is.
#[derive(Clone, Debug)]
pub struct Cumulative {
    /// How values are combined; not `ArgMax` or `ArgMin`.
    pub combine: Combine,
    /// The iteration space; combinations run along the last dimension.
    pub dims: Vec<usize>,
    /// The values: strides for `dims`.
    pub from: View,
    /// The results: strides for `dims`. May lie exactly on `from`.
    pub to: View,
}

/// Sorts along the last dimension, stable; NaNs come last, and -0 equals 0.
#[derive(Clone, Debug)]
pub struct Sort {
    /// The iteration space; sorted along the last dimension.
    pub dims: Vec<usize>,
    /// The values: strides for `dims`.
    pub from: View,
    /// The sorted values: strides for `dims`. May lie exactly on `from`.
    pub to: Option<View>,
    /// Where each sorted value was, an `I32`: strides for `dims`.
    pub to_indices: Option<View>,
    /// The largest first; NaNs still last.
    pub descending: bool,
}

/// One index that is data.
#[derive(Clone, Debug)]
pub struct Index {
    /// The indices, `I32` or `U32`: strides for the dimensions of the kernel.
    pub view: View,
    /// How many positions there are.
    pub len: usize,
    /// Elements between one position and the next.
    pub stride: i64,
}

/// What happens to an index outside of `0..len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfBounds {
    /// The nearest position takes its place.
    Clip,
    /// A [`Gather`] gives these bits instead; a [`Scatter`] does nothing.
    Drop(u64),
}

/// `to[i] = from[i, and Σ indices[i]·stride on]`.
#[derive(Clone, Debug)]
pub struct Gather {
    /// The iteration space.
    pub dims: Vec<usize>,
    /// The indices, together.
    pub indices: Vec<Index>,
    /// What happens outside.
    pub out_of_bounds: OutOfBounds,
    /// Where the values are when all indices are 0: strides for `dims`.
    pub from: View,
    /// Where the values go: strides for `dims`.
    pub to: View,
}

/// `to[i, and Σ indices[i]·stride on]` combined with `from[i]`, point by point in row-major order.
#[derive(Clone, Debug)]
pub struct Scatter {
    /// The iteration space.
    pub dims: Vec<usize>,
    /// The indices, together.
    pub indices: Vec<Index>,
    /// What happens outside.
    pub out_of_bounds: OutOfBounds,
    /// How a value meets what is there: it takes its place, or is combined (not `ArgMax` or `ArgMin`).
    pub combine: Option<Combine>,
    /// The values: strides for `dims`.
    pub from: View,
    /// Where the values go when all indices are 0: strides for `dims`.
    pub to: View,
}

/// Repeats a body a fixed number of times.
#[derive(Clone, Debug)]
pub struct Loop {
    /// How often; at most `i32::MAX`.
    pub n_steps: usize,
    /// What is repeated.
    pub body: Vec<Stmt>,
}

/// Runs `cond`, and while it leaves `flag` true, `body` and `cond` again.
#[derive(Clone, Debug)]
pub struct While {
    /// Computes the flag.
    pub cond: Vec<Stmt>,
    /// A `Bool`; no strides.
    pub flag: View,
    /// What is repeated.
    pub body: Vec<Stmt>,
}

/// Runs one of several bodies.
#[derive(Clone, Debug)]
pub struct Switch {
    /// Which, an `I32` or `U32`; clamped to what there is. No strides.
    pub index: View,
    /// The bodies; at least one.
    pub branches: Vec<Vec<Stmt>>,
}

/// Shows a value to the caller.
#[derive(Clone, Debug)]
pub struct Tap {
    /// Says which tap, to the caller.
    pub id: u64,
    /// The shape of the value.
    pub dims: Vec<usize>,
    /// The value, row-major without gaps: strides for `dims`.
    pub view: View,
}
