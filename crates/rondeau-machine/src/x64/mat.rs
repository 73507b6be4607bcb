//! Products with weights as machine code.
//!
//! A tile is some rows by some vectors of columns. Its sums stay in registers while the terms go by: the source's
//! elements are broadcast, the weights come as vectors. Then the DAG follows, on the sums where they are. Loops
//! go over panels of columns, and inside over tiles of rows.

use super::Generator;
use super::encode::{Asm, Gpr, If, Isa, Mem, Op, RAX, RCX, Rm, Vec as Reg, Width};
use super::frame::{POINTERS, Pointers, SPILLS};
use super::held::{Fours, Held};
use super::map::{Elementwise, Point, Port, form_of, is_wide, needed, width_for};
use super::regs::{Setting, load_lanes, n_registers};
use super::vir::{self, Block, Form, V};
use crate::code::{Mat, Product, Terms, View, Weights};
use crate::dag::{DType, Node};
use std::cell::RefCell;

/// Views that move less than this from step to step leave it to the processor to see what comes next.
const PAGE: u64 = 4096;

/// So many bytes of weights in one body come from the third-level cache each time, which answers too late for those
/// that the processor sees coming by itself.
const FAR: usize = 2 << 20;

/// How far ahead of their use such weights are fetched, in bytes.
const AHEAD: i32 = 1024;

/// So many rows use weights longer than they take to come.
const MANY_ROWS: usize = 4;

/// Passes are unrolled up to this many multiplications.
const UNROLLED: usize = 256;

/// A place that terms start from.
#[derive(Clone, Copy, PartialEq)]
struct Side {
    pointer: usize,
    disp: i32,
}

/// Terms with one source and one depth, summed in one pass, each for another product.
struct Pass {
    depth: usize,
    source: Side,
    by_row: i32,
    by_k: i32,
    /// The source in a register, if the kernel before has left it there.
    held: Option<Held>,
    summands: Vec<Summand>,
}

/// What a pass adds to a product.
#[derive(Clone, Copy)]
struct Summand {
    /// Its position among the products.
    product: usize,
    panel: Panel,
    /// Whether these are the first terms of the product, and whether they are the last.
    is_first: bool,
    is_last: bool,
}

/// Where a pass takes the elements of its source from.
#[derive(Clone, Copy)]
enum Source {
    Memory(Gpr, i32),
    Registers(Fours),
}

/// The weights of terms.
#[derive(Clone, Copy)]
struct Panel {
    side: Side,
    depth: usize,
    /// Bytes from term to term in a strided layout; packed panels have their own width.
    by_k: Option<i32>,
}

impl Panel {
    /// The bytes from where the panel's pointer is to the weights of term `k` in a column of the tile.
    fn offset(&self, tile: &Tile<'_>, size: usize, k: usize, col: usize) -> i32 {
        match self.by_k {
            None => ((tile.first * self.depth + k * tile.padded + col) * size) as i32,
            Some(by_k) => by_k * k as i32 + ((tile.first + col) * size) as i32,
        }
    }
}

pub(super) struct Kernel<'a> {
    k: &'a Mat,
    elementwise: Elementwise<'a>,
    passes: Vec<Pass>,
    inits: Vec<Option<Port>>,
    /// What comes from beyond the second-level cache, and the bytes from a tile's step to that of the next tile.
    ahead: Vec<(Port, i32)>,
    pointers: Pointers,
    shape: Shape,
}

/// How the outputs are divided.
#[derive(Clone, Copy)]
struct Shape {
    wide: bool,
    size: usize,
    width: Width,
    lanes: usize,
    /// Rows of a tile, and how many such tiles.
    tile_rows: usize,
    row_tiles: usize,
    /// Vectors of a tile.
    tile_vectors: usize,
    /// Columns of a panel, and how many whole panels.
    panel: usize,
    panels: usize,
}

impl Kernel<'_> {
    /// The register of a sum: of a product, a chain, and a point of the tile.
    fn sum(&self, tile: &Tile<'_>, product: usize, chain: usize, (m, v): (usize, usize)) -> Reg {
        let of_product = chain * self.k.products.len() + product;
        Reg(((of_product * tile.rows + m) * tile.vectors.len() + v) as u8)
    }

    /// The number of all sums, which are in the first registers.
    fn n_sums(&self, tile: &Tile<'_>) -> usize {
        self.k.products.len() * self.k.chains * tile.rows * tile.vectors.len()
    }

    /// How wide the vector is that this store could leave in a register, if it can.
    pub(super) fn leaves(&self, store: usize) -> Option<Width> {
        let form = self.elementwise.store_ports[store].form;
        (self.shape.is_vector(self.k) && !self.shape.wide && form == Form::Lanes)
            .then_some(self.shape.width)
    }
}

/// A tile: its rows and vectors relative to where the pointers are.
struct Tile<'a> {
    row: usize,
    rows: usize,
    /// The first column of the panel, and the panel's width with padding.
    first: usize,
    padded: usize,
    /// The first column of each vector in its panel, and whether it is the tail.
    vectors: &'a [(usize, bool)],
}

impl Tile<'_> {
    /// Its rows and vectors.
    fn points(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let n = self.vectors.len();
        (0..self.rows).flat_map(move |m| (0..n).map(move |v| (m, v)))
    }
}

impl Shape {
    fn new(isa: Isa, k: &Mat, wide: bool) -> Result<Shape, String> {
        let size = if wide { 8 } else { 4 };
        let (width, lanes) = width_for(isa, wide, k.cols);
        let n = k.products.len();
        let sums = match isa {
            Isa::Evex => 24,
            Isa::Vex => 12,
        };
        let mut panel = None;
        for terms in k.products.iter().flat_map(|p| &p.terms) {
            if let Weights::Packed(_, layout) = &terms.weights {
                if panel.is_some_and(|p| p != layout.panel) {
                    return Err("weights with panels of several widths".into());
                }
                panel = Some(layout.panel);
            }
        }
        let wanted = match (k.rows, isa) {
            (1, _) => 16.min(sums) / (n * k.chains),
            (rows, Isa::Evex) => {
                let panel = panel.map_or(4, |panel| panel / lanes);
                panel.min(4).min(sums / (n * k.chains * rows.min(4)))
            }
            (_, Isa::Vex) => 2 / n,
        };
        let wanted = wanted.max(1);
        let panel = panel.unwrap_or(wanted * lanes);
        let tile_vectors = wanted.min(panel.div_ceil(lanes)).min(k.cols.div_ceil(lanes));
        let most = (sums / (n * k.chains * tile_vectors)).min(k.rows).min(8);
        if most == 0 {
            return Err("more sums than registers".into());
        }
        let even = (most.div_ceil(2)..=most).rev().find(|r| k.rows.is_multiple_of(*r));
        let tile_rows = even.unwrap_or(most);
        Ok(Shape {
            wide,
            size,
            width,
            lanes,
            tile_rows,
            row_tiles: k.rows / tile_rows,
            tile_vectors,
            panel,
            panels: k.cols / panel,
        })
    }

    /// Whether a kernel has one row of one vector.
    fn is_vector(&self, k: &Mat) -> bool {
        k.rows == 1 && k.cols <= self.lanes
    }

    /// How far the loops over panels and over tiles of rows move a pointer.
    fn outer(&self, by_col_panel: i64, by_row: i64) -> [i64; 2] {
        let panel = if self.panels > 1 { by_col_panel } else { 0 };
        let row = if self.row_tiles > 1 { by_row * self.tile_rows as i64 } else { 0 };
        [panel, row]
    }
}

fn narrow(bytes: i64) -> Result<i32, String> {
    // Room for the sum of a few of them.
    i32::try_from(bytes)
        .ok()
        .filter(|b| b.unsigned_abs() < 1 << 28)
        .ok_or_else(|| "an offset is too large".into())
}

impl Generator<'_> {
    /// Emits a kernel, whose source may be in a register.
    ///
    /// # Errors
    /// Why the tile machine has to run it; then nothing is emitted.
    pub(super) fn mat(&mut self, k: &Mat, held: Option<Held>) -> Result<(), String> {
        if k.rows > 0 && k.cols > 0 {
            let kernel = self.mat_kernel(k, held)?;
            self.emit_mat(&kernel);
        }
        Ok(())
    }

    pub(super) fn mat_kernel<'k>(
        &mut self,
        k: &'k Mat,
        mut held: Option<Held>,
    ) -> Result<Kernel<'k>, String> {
        let isa = self.asm.isa;
        let types: Vec<_> = k.products.iter().map(Product::dtype).collect();
        let Some(first) = types.first() else {
            return Err("no products".into());
        };
        let wide = *first == DType::F64;
        let dtypes = self.infer(&k.dag, &k.loads, &types, 2);
        let needed = needed(&k.dag, k.stores.iter().map(|s| s.value));
        if types.iter().any(|t| t != first) || is_wide(&dtypes, &needed) != wide {
            return Err("types of several sizes".into());
        }
        vir::covers(isa, wide, &k.dag, &dtypes, &needed)?;
        let shape = Shape::new(isa, k, wide)?;
        narrow(k.cols as i64 * 8)?;
        let mut pointers = Pointers::default();
        let mut passes: Vec<Pass> = vec![];
        for (product, p) in k.products.iter().enumerate() {
            // Terms of one product follow each other, so in later and later passes.
            let mut earliest = 0;
            for (i, terms) in p.terms.iter().enumerate() {
                let panel = self.panel(&mut pointers, &shape, terms)?;
                let stride = |d: usize| narrow(terms.source.strides[d] * shape.size as i64);
                let (by_row, by_k) = (stride(0)?, stride(1)?);
                narrow(by_row as i64 * k.rows as i64 + by_k as i64 * terms.depth as i64)?;
                let outer = shape.outer(0, by_row as i64);
                let (pointer, disp) =
                    pointers.of(&mut self.streams, self.code, &terms.source, &outer)?;
                let source = Side { pointer, disp };
                let same = |q: &Pass| {
                    (q.depth, q.source, q.by_row, q.by_k) == (terms.depth, source, by_row, by_k)
                };
                let is_last = i + 1 == p.terms.len();
                let summand = Summand { product, panel, is_first: i == 0, is_last };
                let found = (earliest..passes.len()).find(|&at| same(&passes[at]));
                let at = found.unwrap_or(passes.len());
                if found.is_none() {
                    // In the first pass of the only tile: what follows may need the registers.
                    let held =
                        held.take().filter(|held| shape.is_vector(k) && held.is_source(terms));
                    let depth = terms.depth;
                    passes.push(Pass { depth, source, by_row, by_k, held, summands: vec![] });
                }
                passes[at].summands.push(summand);
                earliest = at + 1;
            }
        }
        let used = |l: usize| {
            (0..k.dag.len()).any(|i| needed[i] && k.dag[i] == Node::Load(l as u32))
                || k.products.iter().any(|p| p.init == Some(l as u32))
        };
        let mut load_ports = vec![];
        for (l, view) in k.loads.iter().enumerate() {
            let port =
                if used(l) { Some(self.mat_port(&mut pointers, &shape, k, view)?) } else { None };
            load_ports.push(port);
        }
        let mut store_ports = vec![];
        for store in &k.stores {
            let port = self.mat_port(&mut pointers, &shape, k, &store.to)?;
            if port.form == Form::Bytes && (isa == Isa::Vex || wide) {
                return Err("a store of truth values".into());
            }
            store_ports.push(port);
        }
        // Each source and each weights may need a register of its own to walk along the terms.
        if passes.iter().any(|p| p.summands.len() + 1 > pointers.spare().len() + 1) {
            return Err("more pointers than registers".into());
        }
        let ahead = load_ports.iter().zip(&k.loads).filter_map(|(port, view)| {
            let port = (*port)?;
            Some((port, self.ahead(&shape, view, &port)?))
        });
        let ahead = ahead.collect();
        let inits = k.products.iter().map(|p| load_ports[p.init? as usize]).collect();
        let elementwise = Elementwise {
            dag: &k.dag,
            dtypes,
            stores: &k.stores,
            needed,
            wide,
            load_ports,
            store_ports,
        };
        Ok(Kernel { k, elementwise, passes, inits, ahead, pointers, shape })
    }

    fn panel(
        &mut self,
        pointers: &mut Pointers,
        shape: &Shape,
        terms: &Terms,
    ) -> Result<Panel, String> {
        let (size, depth) = (shape.size as i64, terms.depth);
        let (view, by_panel, by_k) = match &terms.weights {
            Weights::Packed(view, layout) => {
                narrow(layout.len() as i64 * size)?;
                (view, (shape.panel * depth) as i64 * size, None)
            }
            Weights::Strided(view) => {
                if view.strides[1] != 1 {
                    return Err(format!("weights with a stride of {} columns", view.strides[1]));
                }
                let by_k = narrow(view.strides[0] * size)?;
                narrow(by_k as i64 * depth as i64)?;
                (view, shape.panel as i64 * size, Some(by_k))
            }
        };
        let outer = shape.outer(by_panel, 0);
        let (pointer, disp) = pointers.of(&mut self.streams, self.code, view, &outer)?;
        Ok(Panel { side: Side { pointer, disp }, depth, by_k })
    }

    fn mat_port(
        &mut self,
        pointers: &mut Pointers,
        shape: &Shape,
        k: &Mat,
        view: &View,
    ) -> Result<Port, String> {
        let size = view.dtype.size() as i64;
        let by_row = narrow(view.strides[0] * size)?;
        narrow(by_row as i64 * k.rows as i64)?;
        let by_col = view.strides[1] * size;
        let form = form_of(view, by_col, k.cols)?;
        let outer = shape.outer(by_col * shape.panel as i64, by_row as i64);
        let (pointer, disp) = pointers.of(&mut self.streams, self.code, view, &outer)?;
        Ok(Port { pointer, disp, by_row, form })
    }

    /// The bytes from the step of a tile to that of the next one, if it is worth to fetch the lines ahead that the
    /// next one loads: the view moves on with the loop, so no cache has them, and the epilogue waits for each.
    fn ahead(&self, shape: &Shape, view: &View, port: &Port) -> Option<i32> {
        let level = self.n_levels.checked_sub(1)?;
        let by_step = view.advance.get(level)?.stride * view.dtype.size() as i64;
        let lines = port.form == Form::Lanes && by_step.unsigned_abs() >= PAGE;
        match shape.row_tiles {
            _ if !lines || shape.tile_rows == 1 => None,
            2.. => Some(0),
            _ => narrow(by_step).ok(),
        }
    }

    fn emit_mat(&mut self, kernel: &Kernel<'_>) {
        let Kernel { k, shape, pointers, .. } = kernel;
        self.emit_tail(k.cols % shape.lanes, shape.wide);
        let whole: Vec<_> = (0..shape.panel).step_by(shape.lanes).map(|c| (c, false)).collect();
        if shape.panels > 1 {
            pointers.emit_start(&mut self.asm);
            let top = pointers.emit_open(&mut self.asm, 0, shape.panels);
            self.emit_rows(kernel, 0, shape.panel, &whole);
            pointers.emit_close(&mut self.asm, 0, shape.panels, top);
        } else if shape.panels == 1 {
            pointers.emit_start(&mut self.asm);
            self.emit_rows(kernel, 0, shape.panel, &whole);
        }
        let first = shape.panels * shape.panel;
        let left = k.cols - first;
        if left > 0 {
            let rest: Vec<_> =
                (0..left).step_by(shape.lanes).map(|c| (c, c + shape.lanes > left)).collect();
            let lanes_of_block = crate::code::BLOCK_BYTES / shape.size;
            let padded = left.next_multiple_of(lanes_of_block);
            pointers.emit_start(&mut self.asm);
            self.emit_rows(kernel, first, padded, &rest);
        }
    }

    /// Emits all rows of a panel.
    fn emit_rows(
        &mut self,
        kernel: &Kernel<'_>,
        first: usize,
        padded: usize,
        vectors: &[(usize, bool)],
    ) {
        let Kernel { k, shape, pointers, .. } = kernel;
        if shape.row_tiles > 1 && !kernel.ahead.is_empty() {
            // The first tile of the next panel follows the last one of this.
            pointers.emit_load(&mut self.asm);
            let rows = shape.tile_rows;
            let next = Tile { row: 0, rows, first: first + shape.panel, padded, vectors };
            self.emit_ahead(kernel, &next);
        }
        let tiles = |g: &mut Self, row: usize, rows: usize| {
            pointers.emit_load(&mut g.asm);
            for vectors in vectors.chunks(shape.tile_vectors) {
                g.emit_mat_tile(kernel, &Tile { row, rows, first, padded, vectors });
            }
        };
        if shape.row_tiles > 1 {
            let top = pointers.emit_open(&mut self.asm, 1, shape.row_tiles);
            tiles(self, 0, shape.tile_rows);
            pointers.emit_close(&mut self.asm, 1, shape.row_tiles, top);
        } else {
            tiles(self, 0, shape.tile_rows);
        }
        let done = shape.row_tiles * shape.tile_rows;
        if done < k.rows {
            tiles(self, done, k.rows - done);
        }
    }

    fn emit_mat_tile(&mut self, kernel: &Kernel<'_>, tile: &Tile<'_>) {
        let shape = &kernel.shape;
        let on = if shape.row_tiles > 1 { shape.tile_rows } else { 0 };
        self.emit_ahead(kernel, &Tile { row: tile.row + on, ..*tile });
        for pass in &kernel.passes {
            self.emit_pass(kernel, pass, tile);
        }
        let block = RefCell::new(Block::new(self.asm.isa, shape.wide));
        let mut fixed = vec![];
        for m in 0..tile.rows {
            let mut shared = vec![];
            for (v, &(col, masked)) in tile.vectors.iter().enumerate() {
                let mut product = |b: &mut Block, p: usize| -> V {
                    let value = b.value();
                    fixed.push((value, kernel.sum(tile, p, 0, (m, v))));
                    value
                };
                let point = Point {
                    row: (tile.row + m) as i32,
                    col: (tile.first + col) as i32,
                    indexed: false,
                    masked,
                };
                kernel.elementwise.instance(&block, point, &mut shared, &mut product);
            }
        }
        let setting =
            Setting { width: shape.width, pointers: &POINTERS, column: RCX, spills: SPILLS };
        let block = block.into_inner();
        if shape.is_vector(kernel.k) {
            self.emit_only_block(&setting, &block, &fixed, &kernel.k.stores, kernel.k.cols);
        } else {
            self.emit_block(&setting, &block, &fixed, &[]);
        }
    }

    /// Emits the fetch of what [`Kernel::ahead`] says for a tile that comes later.
    fn emit_ahead(&mut self, kernel: &Kernel<'_>, tile: &Tile<'_>) {
        for &(port, by_step) in &kernel.ahead {
            for m in 0..tile.rows {
                for &(col, _) in tile.vectors {
                    let row = (tile.row + m) as i32 * port.by_row;
                    let col = ((tile.first + col) * kernel.shape.size) as i32;
                    let disp = port.disp + row + col + by_step;
                    self.asm.prefetch(Mem::at(POINTERS[port.pointer], disp));
                }
            }
        }
    }

    /// Emits the sums of a pass.
    fn emit_pass(&mut self, kernel: &Kernel<'_>, pass: &Pass, tile: &Tile<'_>) {
        let (shape, chains) = (&kernel.shape, kernel.k.chains);
        for &Summand { product, .. } in pass.summands.iter().filter(|s| s.is_first) {
            for (m, v) in tile.points() {
                let reg = kernel.sum(tile, product, 0, (m, v));
                match &kernel.inits[product] {
                    Some(port) => {
                        let (col, masked) = tile.vectors[v];
                        let col = if port.form == Form::One { 0 } else { tile.first + col };
                        let row = (tile.row + m) as i32 * port.by_row;
                        let disp = port.disp + row + (col * shape.size) as i32;
                        let mem = Mem::at(POINTERS[port.pointer], disp);
                        load(&mut self.asm, shape, reg, mem, port.form, masked);
                    }
                    None => zero(&mut self.asm, shape, reg),
                }
                for chain in 1..chains {
                    zero(&mut self.asm, shape, kernel.sum(tile, product, chain, (m, v)));
                }
            }
        }
        self.emit_terms(kernel, pass, tile);
        let mut half = chains / 2;
        while half > 0 {
            for &Summand { product, .. } in pass.summands.iter().filter(|s| s.is_last) {
                for (chain, at) in (0..half).flat_map(|c| tile.points().map(move |at| (c, at))) {
                    let low = kernel.sum(tile, product, chain, at);
                    let high = kernel.sum(tile, product, half + chain, at);
                    self.asm.op3(Op::add(shape.wide), shape.width, low, low, Rm::Reg(high));
                }
            }
            half /= 2;
        }
    }

    fn emit_terms(&mut self, kernel: &Kernel<'_>, pass: &Pass, tile: &Tile<'_>) {
        let chains = kernel.k.chains;
        let per_term = pass.summands.len() * tile.rows * tile.vectors.len();
        let fixed = |side: Side| (POINTERS[side.pointer], side.disp);
        if pass.depth * per_term <= UNROLLED {
            let weights: Vec<_> = pass.summands.iter().map(|s| fixed(s.panel.side)).collect();
            // Sums, then one register for the source and one for weights.
            let free = kernel.n_sums(tile) + 2;
            let fours = pass.held.as_ref().and_then(|held| {
                Fours::emit(&mut self.asm, held, pass.depth, kernel.shape.width, free as u8)
            });
            let (at, disp) = fixed(pass.source);
            let source = fours.map_or(Source::Memory(at, disp), Source::Registers);
            for k in 0..pass.depth {
                self.emit_term(kernel, pass, tile, k, source, &weights);
            }
            return;
        }
        // Weights that stream in from beyond the first cache come fastest when each instruction walks line by
        // line, so that the prefetchers see it.
        let turn = chains.max(if tile.rows > 1 { 2 } else { 1 });
        // Walkers start where their pointers are, and go on a turn's terms at a time.
        let mut spare = kernel.pointers.spare().iter().copied();
        let mut walker = |asm: &mut Asm, side: Side, reg: Option<Gpr>| {
            let reg = reg.or_else(|| spare.next()).expect("internal: too few registers");
            asm.mov_reg(reg, POINTERS[side.pointer]);
            reg
        };
        let source = walker(&mut self.asm, pass.source, Some(RAX));
        let mut walkers: Vec<(usize, i32, Gpr)> = vec![];
        let mut weights = vec![];
        for Summand { panel, .. } in &pass.summands {
            let by_k = panel.by_k.unwrap_or((tile.padded * kernel.shape.size) as i32);
            let found = walkers.iter().find(|w| (w.0, w.1) == (panel.side.pointer, by_k));
            let reg = match found {
                Some(w) => w.2,
                None => {
                    let reg = walker(&mut self.asm, panel.side, None);
                    walkers.push((panel.side.pointer, by_k, reg));
                    reg
                }
            };
            weights.push((reg, panel.side.disp));
        }
        let from = Source::Memory(source, pass.source.disp);
        let turns = pass.depth / turn;
        self.asm.mov_imm(RCX, turns as i64);
        let top = self.asm.here();
        let is_far = self.weights >= FAR && kernel.k.rows < MANY_ROWS;
        for k in 0..turn {
            self.emit_term(kernel, pass, tile, k, from, &weights);
            if is_far {
                self.emit_weights_ahead(kernel, pass, tile, k, &weights);
            }
        }
        self.asm.add_imm(source, pass.by_k * turn as i32);
        for &(_, by_k, reg) in &walkers {
            self.asm.add_imm(reg, by_k * turn as i32);
        }
        self.asm.add_imm(RCX, -1);
        self.asm.jump_if(If::NotEqual, top);
        for k in 0..pass.depth % turn {
            self.emit_term(kernel, pass, tile, k, from, &weights);
        }
    }

    /// Emits the fetch of packed weights ahead of those of term `k`.
    fn emit_weights_ahead(
        &mut self,
        kernel: &Kernel<'_>,
        pass: &Pass,
        tile: &Tile<'_>,
        k: usize,
        weights: &[(Gpr, i32)],
    ) {
        for (Summand { panel, .. }, &(at, disp)) in pass.summands.iter().zip(weights) {
            if panel.by_k.is_none() {
                for &(col, _) in tile.vectors {
                    let offset = panel.offset(tile, kernel.shape.size, k, col);
                    self.asm.prefetch(Mem::at(at, disp + offset + AHEAD));
                }
            }
        }
    }

    /// Emits term `k`, counted from where the registers are.
    fn emit_term(
        &mut self,
        kernel: &Kernel<'_>,
        pass: &Pass,
        tile: &Tile<'_>,
        k: usize,
        source: Source,
        weights: &[(Gpr, i32)],
    ) {
        let shape = &kernel.shape;
        let n = tile.vectors.len();
        let n_products = pass.summands.len();
        let chain = k % kernel.k.chains;
        let sum = |i: usize, m: usize, v: usize| {
            kernel.sum(tile, pass.summands[i].product, chain, (m, v))
        };
        let from = |(at, disp): (Gpr, i32), m: usize| {
            let moved = pass.by_row * (tile.row + m) as i32 + pass.by_k * k as i32;
            Mem::at(at, disp + moved)
        };
        let weight = |i: usize, v: usize| {
            let (at, disp) = weights[i];
            let panel = &pass.summands[i].panel;
            Mem::at(at, disp + panel.offset(tile, shape.size, k, tile.vectors[v].0))
        };
        let is_strided = |i: usize| pass.summands[i].panel.by_k.is_some();
        let fma = Op::fma231(shape.wide);
        let (width, wide) = (shape.width, shape.wide);
        // Registers above all sums: one for the source, the rest for weights.
        let free = kernel.n_sums(tile);
        let broadcast = Reg(free as u8);
        let all_fit = free + 1 + n_products * n <= n_registers(self.asm.isa) as usize;
        // A tail that is loaded for each row needs one register alone.
        let register =
            |i: usize, v: usize| Reg((free + 1 + if all_fit { i * n + v } else { 0 }) as u8);
        let preloads = tile.rows > 1 && all_fit;
        let asm = &mut self.asm;
        if preloads {
            for i in 0..n_products {
                for v in 0..n {
                    let masked = tile.vectors[v].1 && is_strided(i);
                    load(asm, shape, register(i, v), weight(i, v), Form::Lanes, masked);
                }
            }
            if let Source::Memory(at, disp) = source
                && n_products * n == 1
                && asm.isa == Isa::Evex
            {
                for m in 0..tile.rows {
                    let element = Rm::Broadcast(from((at, disp), m));
                    asm.op3(fma, width, sum(0, m, 0), register(0, 0), element);
                }
                return;
            }
        }
        for m in 0..tile.rows {
            match source {
                Source::Memory(at, disp) => {
                    let element = Rm::Mem(from((at, disp), m));
                    asm.op2(Op::broadcast(wide), width, broadcast, element);
                }
                Source::Registers(fours) => fours.broadcast(asm, width, broadcast, k),
            }
            for i in 0..n_products {
                for v in 0..n {
                    let b = if preloads {
                        Rm::Reg(register(i, v))
                    } else if tile.vectors[v].1 && is_strided(i) {
                        load(asm, shape, register(i, v), weight(i, v), Form::Lanes, true);
                        Rm::Reg(register(i, v))
                    } else {
                        Rm::Mem(weight(i, v))
                    };
                    asm.op3(fma, width, sum(i, m, v), broadcast, b);
                }
            }
        }
    }
}

fn zero(asm: &mut Asm, shape: &Shape, reg: Reg) {
    asm.op3(Op::xor(false), shape.width, reg, reg, Rm::Reg(reg));
}

fn load(asm: &mut Asm, shape: &Shape, reg: Reg, mem: Mem, form: Form, masked: bool) {
    let (width, wide) = (shape.width, shape.wide);
    match form {
        Form::One => asm.op2(Op::broadcast(wide), width, reg, Rm::Mem(mem)),
        _ => load_lanes(asm, wide, width, reg, mem, masked),
    }
}
