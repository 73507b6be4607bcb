//! Elementwise kernels as machine code.

use super::Generator;
use super::encode::{If, Isa, RAX, RCX, Rm, Width};
use super::frame::{POINTERS, Pointers, SPILLS};
use super::regs::{self, Setting, TAIL, VEX_TAIL};
use super::vir::{self, At, Block, Form, Ins, Lowered, V};
use crate::code::{Map, Store, View};
use crate::dag::{DType, Node, Val};
use crate::vm::Space;
use std::cell::RefCell;

/// The most instructions that instances of a DAG are unrolled to.
const UNROLLED: usize = 600;

/// The most columns of a row, so that their bytes fit a displacement.
pub(super) const MOST_COLUMNS: usize = 1 << 26;

/// A DAG with its loads and stores, for one width of lanes.
pub(super) struct Elementwise<'a> {
    pub(super) dag: &'a [Node],
    pub(super) dtypes: Vec<DType>,
    pub(super) stores: &'a [Store],
    pub(super) needed: Vec<bool>,
    pub(super) wide: bool,
    /// For each load and each store where it is, if it is needed.
    pub(super) load_ports: Vec<Option<Port>>,
    pub(super) store_ports: Vec<Port>,
}

/// A view as a kernel reads or writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) pointer: usize,
    pub(super) disp: i32,
    /// Bytes from row to row of a tile.
    pub(super) by_row: i32,
    pub(super) form: Form,
}

/// Where an instance of a DAG is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Rows from where the pointers are.
    pub(super) row: i32,
    /// Columns from the counter, or from where the pointers are.
    pub(super) col: i32,
    /// Whether the counter is added.
    pub(super) indexed: bool,
    /// Whether only the lanes of the tail are touched.
    pub(super) masked: bool,
}

impl Point {
    /// Where the pointers are.
    pub(super) const ORIGIN: Point = Point { row: 0, col: 0, indexed: false, masked: false };
}

/// The nodes that these values need.
pub(super) fn needed(dag: &[Node], values: impl Iterator<Item = Val>) -> Vec<bool> {
    let mut needed = vec![false; dag.len()];
    values.for_each(|v| needed[v.0 as usize] = true);
    for i in (0..dag.len()).rev() {
        if needed[i] {
            dag[i].for_each_operand(|v| needed[v.0 as usize] = true);
        }
    }
    needed
}

/// Whether the needed lanes have 64 bits.
pub(super) fn is_wide(dtypes: &[DType], needed: &[bool]) -> bool {
    dtypes.iter().zip(needed).any(|(d, n)| *n && *d == DType::F64)
}

/// How a view is read along the columns, by its stride there in bytes.
pub(super) fn form_of(view: &View, col_stride: i64, cols: usize) -> Result<Form, String> {
    let size = view.dtype.size() as i64;
    let is_bool = view.dtype == DType::Bool;
    match col_stride {
        s if s == size || cols == 1 => Ok(if is_bool { Form::Bytes } else { Form::Lanes }),
        0 => Ok(if is_bool { Form::OneByte } else { Form::One }),
        _ => Err(format!("a stride of {} elements", col_stride / size)),
    }
}

impl Elementwise<'_> {
    /// Appends one instance; `shared` has the loads that all instances of a row have in common.
    pub(super) fn instance(
        &self,
        block: &RefCell<Block>,
        point: Point,
        shared: &mut Vec<Option<V>>,
        product: &mut dyn FnMut(&mut Block, usize) -> V,
    ) {
        let values = self.values(block, point, shared, product);
        for (store, port) in self.stores.iter().zip(&self.store_ports) {
            let mut b = block.borrow_mut();
            let src = vir::lanes(&mut b, values[store.value.0 as usize]);
            b.ins.push(Ins::Store { src, at: self.place(port, point), form: port.form });
        }
    }

    /// Appends the loads and the DAG of one instance.
    pub(super) fn values(
        &self,
        block: &RefCell<Block>,
        point: Point,
        shared: &mut Vec<Option<V>>,
        product: &mut dyn FnMut(&mut Block, usize) -> V,
    ) -> Vec<Lowered> {
        shared.resize(self.load_ports.len(), None);
        let given = |b: &mut Block, _: usize, node: &Node| match *node {
            Node::Load(l) => {
                let port = self.load_ports[l as usize].expect("internal: a needed load");
                if let Some(v) = shared[l as usize] {
                    return v;
                }
                let dst = b.value();
                b.ins.push(Ins::Load { dst, at: self.place(&port, point), form: port.form });
                if matches!(port.form, Form::One | Form::OneByte) {
                    shared[l as usize] = Some(dst);
                }
                dst
            }
            Node::Product(p) => product(b, p as usize),
            _ => unreachable!("internal: {node:?} is not given"),
        };
        vir::lower(block, self.dag, &self.dtypes, given, &self.needed)
    }

    pub(super) fn place(&self, port: &Port, point: Point) -> At {
        let (step, one) = match port.form {
            Form::Lanes => (if self.wide { 8 } else { 4 }, false),
            Form::Bytes => (1, false),
            Form::One | Form::OneByte => (0, true),
        };
        At {
            pointer: port.pointer,
            disp: port.disp + port.by_row * point.row + point.col * step,
            indexed: point.indexed && !one,
            masked: point.masked && !one,
        }
    }
}

/// The width of vectors for this many columns, and the lanes of one.
pub(super) fn width_for(isa: Isa, wide: bool, cols: usize) -> (Width, usize) {
    let size = if wide { 8 } else { 4 };
    // Doubles are not broadcast to 128 bits.
    let widths: &[Width] = match (isa, wide) {
        (Isa::Evex, false) => &[Width::X, Width::Y, Width::Z],
        (Isa::Evex, true) => &[Width::Y, Width::Z],
        (Isa::Vex, false) => &[Width::X, Width::Y],
        (Isa::Vex, true) => &[Width::Y],
    };
    let fits = |w: &&Width| w.bytes() / size >= cols;
    let width = widths.iter().find(fits).or(widths.last()).copied().unwrap_or(Width::X);
    (width, width.bytes() / size)
}

impl Generator<'_> {
    /// Emits the mask of the tail.
    pub(super) fn emit_tail(&mut self, lanes: usize, wide: bool) {
        if lanes == 0 {
            return;
        }
        match self.asm.isa {
            Isa::Evex => {
                self.asm.mov_imm(RAX, (1 << lanes) - 1);
                self.asm.kmovd(TAIL, RAX);
            }
            Isa::Vex => {
                let size = if wide { 8 } else { 4 };
                let mut mask = vec![0xFFu8; lanes * size];
                mask.resize(32, 0);
                let mem = self.asm.pooled(&mask);
                let op = super::encode::Op::load(false);
                self.asm.op2(op, Width::Y, VEX_TAIL, Rm::Mem(mem));
            }
        }
    }

    /// Emits a kernel.
    ///
    /// # Errors
    /// Why the tile machine has to run it; then nothing is emitted.
    pub(super) fn map(&mut self, k: &Map) -> Result<(), String> {
        let dtypes = self.infer(&k.dag, &k.loads, &[], k.dims.len());
        let needed = needed(&k.dag, k.stores.iter().map(|s| s.value));
        let wide = is_wide(&dtypes, &needed);
        vir::covers(self.asm.isa, wide, &k.dag, &dtypes, &needed)?;
        let views = k.loads.iter().chain(k.stores.iter().map(|s| &s.to));
        let space = Space::new(&k.dims, views, &k.dag, 0);
        let (&cols, outer) = space.dims().split_last().unwrap_or((&1, &[]));
        if outer.iter().any(|&n| n > i32::MAX as usize) || cols > MOST_COLUMNS {
            return Err("a dimension is too large".into());
        }
        let mut pointers = Pointers::default();
        let mut port = |g: &mut Self, view: &View, write: bool| {
            let strides: Vec<i64> = space.strides(view).iter().map(|&s| s as i64).collect();
            let (&by_col, outer) = strides.split_last().unwrap_or((&0, &[]));
            let form = form_of(view, by_col, cols)?;
            if write && form == Form::Bytes && (g.asm.isa == Isa::Vex || wide) {
                return Err("a store of truth values".to_string());
            }
            let (pointer, disp) = pointers.of(&mut g.streams, g.code, view, outer)?;
            Ok(Port { pointer, disp, by_row: 0, form })
        };
        let used =
            |l: usize| (0..k.dag.len()).any(|i| needed[i] && k.dag[i] == Node::Load(l as u32));
        let mut load_ports = vec![];
        for (l, view) in k.loads.iter().enumerate() {
            load_ports.push(if used(l) { Some(port(self, view, false)?) } else { None });
        }
        let mut store_ports = vec![];
        for store in &k.stores {
            store_ports.push(port(self, &store.to, true)?);
        }
        if k.dims.contains(&0) {
            return Ok(());
        }
        let kernel = Elementwise {
            dag: &k.dag,
            dtypes,
            stores: &k.stores,
            needed,
            wide,
            load_ports,
            store_ports,
        };
        pointers.emit_start(&mut self.asm);
        let open = |(d, &n)| pointers.emit_open(&mut self.asm, d, n);
        let labels: Vec<_> = outer.iter().enumerate().map(open).collect();
        pointers.emit_load(&mut self.asm);
        self.columns(&kernel, cols);
        for (d, &n) in outer.iter().enumerate().rev() {
            pointers.emit_close(&mut self.asm, d, n, labels[d]);
        }
        Ok(())
    }

    /// Emits all columns of a row.
    fn columns(&mut self, kernel: &Elementwise<'_>, cols: usize) {
        let (width, lanes) = width_for(self.asm.isa, kernel.wide, cols);
        let (whole, tail) = (cols / lanes, cols % lanes);
        self.emit_tail(tail, kernel.wide);
        let n = whole + (tail > 0) as usize;
        let setting = Setting { width, pointers: &POINTERS, column: RCX, spills: SPILLS };
        let mut no_product =
            |_: &mut Block, _: usize| -> V { unreachable!("internal: a map has no products") };
        if n <= 4 && n * kernel.dag.len() * 4 <= UNROLLED {
            let block = RefCell::new(Block::new(self.asm.isa, kernel.wide));
            let mut shared = vec![];
            for v in 0..n {
                let masked = v == whole;
                let col = (v * lanes) as i32;
                let point = Point { row: 0, col, indexed: false, masked };
                kernel.instance(&block, point, &mut shared, &mut no_product);
            }
            let block = block.into_inner();
            match n {
                1 => self.emit_only_block(&setting, &block, &[], kernel.stores, cols),
                _ => self.emit_block(&setting, &block, &[], &[]),
            }
            return;
        }
        if whole > 0 {
            // Small DAGs twice a turn.
            let twice = whole.is_multiple_of(2) && kernel.dag.len() < 12;
            let block = RefCell::new(Block::new(self.asm.isa, kernel.wide));
            let mut shared = vec![];
            for v in 0..1 + twice as usize {
                let col = (v * lanes) as i32;
                let point = Point { row: 0, col, indexed: true, masked: false };
                kernel.instance(&block, point, &mut shared, &mut no_product);
            }
            self.asm.mov_imm(RCX, 0);
            let top = self.asm.here();
            self.emit_block(&setting, &block.into_inner(), &[], &[]);
            self.asm.add_imm(RCX, (lanes << twice as u8) as i32);
            self.asm.cmp_imm(RCX, (whole * lanes) as i32);
            self.asm.jump_if(If::NotEqual, top);
        }
        if tail > 0 {
            let block = RefCell::new(Block::new(self.asm.isa, kernel.wide));
            let col = (whole * lanes) as i32;
            let point = Point { row: 0, col, indexed: false, masked: true };
            kernel.instance(&block, point, &mut vec![], &mut no_product);
            self.emit_block(&setting, &block.into_inner(), &[], &[]);
        }
    }

    /// Emits a block and remembers the stack that it needs.
    pub(super) fn emit_block(
        &mut self,
        setting: &Setting<'_>,
        block: &Block,
        fixed: &[(V, super::encode::Vec)],
        outputs: &[(V, super::encode::Vec)],
    ) {
        let spilled = regs::emit(&mut self.asm, setting, block, fixed, outputs);
        self.spilled = self.spilled.max(spilled);
    }

    pub(super) fn infer(
        &self,
        dag: &[Node],
        loads: &[View],
        products: &[DType],
        n_dims: usize,
    ) -> Vec<DType> {
        let loads: Vec<_> = loads.iter().map(|v| v.dtype).collect();
        let scope = crate::dag::Scope { loads: &loads, products, n_dims, n_levels: self.n_levels };
        crate::dag::infer(dag, scope).unwrap_or_else(|e| panic!("internal: unchecked code: {e}"))
    }
}
