//! Combining along contiguous dimensions as machine code.
//!
//! The sixteen chains of [`Combine`] are the lanes of one register, or of several; the last steps fold a register
//! onto itself.

use super::Generator;
use super::encode::{If, Isa, RCX, Vec as Reg, Width};
use super::frame::{POINTERS, Pointers, SPILLS};
use super::map::{Elementwise, MOST_COLUMNS, Point, Port, form_of, is_wide, needed};
use super::regs::Setting;
use super::vir::{self, Block, Form, Ins, V};
use crate::code::{Combine, Reduce, View};
use crate::dag::{Binary, DType};
use crate::scalar::{Bitwise, identity};
use crate::vm::Space;
use std::cell::RefCell;

const CHAINS: usize = 16;

/// Vectors of one turn of the loop.
const TURN: usize = 8;

struct Kernel<'a> {
    elementwise: Elementwise<'a>,
    outputs: Vec<Output>,
    width: Width,
    lanes: usize,
    n: usize,
}

struct Output {
    op: Binary,
    dtype: DType,
    identity: u64,
    value: usize,
    port: Port,
}

impl Generator<'_> {
    /// Emits a kernel.
    ///
    /// # Errors
    /// Why the tile machine has to run it; then nothing is emitted.
    pub(super) fn reduce(&mut self, k: &Reduce) -> Result<(), String> {
        let all = [&k.dims[..], &k.reduced[..]].concat();
        let dtypes = self.infer(&k.dag, &k.loads, &[], all.len());
        let needed = needed(&k.dag, k.outputs.iter().map(|o| o.value));
        let wide = is_wide(&dtypes, &needed);
        vir::covers(self.asm.isa, wide, &k.dag, &dtypes, &needed)?;
        let n_kept = k.dims.len();
        let space = Space::new(&all, k.loads.iter(), &k.dag, n_kept).with_a_dim_after(n_kept);
        let [kept @ .., n] = space.dims() else { return Err("no dimensions".into()) };
        if kept.len() != n_kept || all.iter().any(|&n| n == 0 || n > MOST_COLUMNS) {
            return Err("several reduced dimensions".into());
        }
        if *n > MOST_COLUMNS {
            return Err("a dimension is too large".into());
        }
        // The loops over kept dimensions, without those of size 1.
        let looped: Vec<usize> = (0..n_kept).filter(|&d| k.dims[d] > 1).collect();
        let dims: Vec<usize> = looped.iter().map(|&d| k.dims[d]).collect();
        let mut pointers = Pointers::default();
        let mut port = |g: &mut Self, view: &View, strides: &[i64], form: Form| {
            let outer: Vec<_> = looped.iter().map(|&d| strides[d]).collect();
            let (pointer, disp) = pointers.of(&mut g.streams, g.code, view, &outer)?;
            Ok::<_, String>(Port { pointer, disp, by_row: 0, form })
        };
        let mut load_ports = vec![];
        for (l, view) in k.loads.iter().enumerate() {
            let load = crate::dag::Node::Load(l as u32);
            let used = (0..k.dag.len()).any(|i| needed[i] && k.dag[i] == load);
            let strides: Vec<i64> = space.strides(view).iter().map(|&s| s as i64).collect();
            let form = form_of(view, strides[n_kept], *n);
            load_ports.push(if used { Some(port(self, view, &strides, form?)?) } else { None });
        }
        let mut outputs = vec![];
        for o in &k.outputs {
            let dtype = dtypes[o.value.0 as usize];
            let op = vir::combine(o.combine, dtype)
                .filter(|_| (dtype.size() == 8) == wide)
                .ok_or_else(|| format!("{:?} of {dtype:?}", o.combine))?;
            let size = dtype.size() as i64;
            let strides: Vec<i64> = o.to.strides.iter().map(|s| s * size).collect();
            let port = port(self, &o.to, &strides, Form::One)?;
            let identity = identity_bits(o.combine, dtype);
            outputs.push(Output { op, dtype, identity, value: o.value.0 as usize, port });
        }
        let (width, bytes) = match self.asm.isa {
            Isa::Evex => (Width::Z, 64),
            Isa::Vex => (Width::Y, 32),
        };
        let lanes = bytes / if wide { 8 } else { 4 };
        // A turn of the loop has the sums before it and after it in registers.
        let most = if self.asm.isa == Isa::Evex { 8 } else { 6 };
        if outputs.len() * CHAINS / lanes > most {
            return Err("more sums than registers".into());
        }
        let elementwise = Elementwise {
            dag: &k.dag,
            dtypes,
            stores: &[],
            needed,
            wide,
            load_ports,
            store_ports: vec![],
        };
        let kernel = Kernel { elementwise, outputs, width, lanes, n: *n };
        self.emit_tail(n % lanes, wide);
        pointers.emit_start(&mut self.asm);
        let open = |(d, &n)| pointers.emit_open(&mut self.asm, d, n);
        let labels: Vec<_> = dims.iter().enumerate().map(open).collect();
        pointers.emit_load(&mut self.asm);
        self.emit_reduction(&kernel);
        for (d, &n) in dims.iter().enumerate().rev() {
            pointers.emit_close(&mut self.asm, d, n, labels[d]);
        }
        Ok(())
    }

    fn emit_reduction(&mut self, kernel: &Kernel<'_>) {
        let setting =
            Setting { width: kernel.width, pointers: &POINTERS, column: RCX, spills: SPILLS };
        let whole = kernel.n / kernel.lanes;
        let turns = if whole > 2 * TURN { whole / TURN } else { 0 };
        let fixed = |sums: &[V]| -> Vec<_> {
            sums.iter().enumerate().map(|(i, &v)| (v, Reg(i as u8))).collect()
        };
        if turns > 0 {
            let mut start = self.block(kernel);
            let sums = kernel.identities(&mut start);
            self.emit_block(&setting, &start, &[], &fixed(&sums));
            self.asm.mov_imm(RCX, 0);
            let top = self.asm.here();
            let block = RefCell::new(self.block(kernel));
            let before = kernel.inputs(&mut block.borrow_mut());
            let mut sums = before.clone();
            for v in 0..TURN {
                kernel.add(&block, &mut sums, v, true, false);
            }
            self.emit_block(&setting, &block.into_inner(), &fixed(&before), &fixed(&sums));
            self.asm.add_imm(RCX, (TURN * kernel.lanes) as i32);
            self.asm.cmp_imm(RCX, (turns * TURN * kernel.lanes) as i32);
            self.asm.jump_if(If::NotEqual, top);
        }
        let block = RefCell::new(self.block(kernel));
        let before = if turns > 0 { kernel.inputs(&mut block.borrow_mut()) } else { vec![] };
        let mut sums = match turns {
            0 => kernel.identities(&mut block.borrow_mut()),
            _ => before.clone(),
        };
        for v in turns * TURN..kernel.n.div_ceil(kernel.lanes) {
            kernel.add(&block, &mut sums, v, false, v == whole);
        }
        let mut block = block.into_inner();
        kernel.finish(&mut block, &sums);
        self.emit_block(&setting, &block, &fixed(&before), &[]);
    }

    fn block(&self, kernel: &Kernel<'_>) -> Block {
        Block::new(self.asm.isa, kernel.elementwise.wide)
    }
}

impl Kernel<'_> {
    /// Registers for the chains of one output.
    fn registers(&self) -> usize {
        CHAINS / self.lanes
    }

    fn identities(&self, b: &mut Block) -> Vec<V> {
        let n = self.registers();
        self.outputs.iter().flat_map(|o| vec![b.constant(o.identity); n]).collect()
    }

    fn inputs(&self, b: &mut Block) -> Vec<V> {
        (0..self.outputs.len() * self.registers()).map(|_| b.value()).collect()
    }

    /// Appends vector `v`; where a register counts columns, `v` is relative to it.
    fn add(&self, block: &RefCell<Block>, sums: &mut [V], v: usize, indexed: bool, masked: bool) {
        let col = (v * self.lanes) as i32;
        let point = Point { row: 0, col, indexed, masked };
        let mut no_product = |_: &mut Block, _: usize| -> V {
            unreachable!("internal: a reduction has no products")
        };
        let values = self.elementwise.values(block, point, &mut vec![], &mut no_product);
        let b = &mut block.borrow_mut();
        for (i, o) in self.outputs.iter().enumerate() {
            let mut x = vir::lanes(b, values[o.value]);
            if masked {
                let (dst, identity) = (b.value(), b.constant(o.identity));
                b.ins.push(Ins::Tail { dst, a: x, b: identity });
                x = dst;
            }
            let sum = &mut sums[i * self.registers() + v % self.registers()];
            *sum = vir::binary(b, o.op, o.dtype, *sum, x);
        }
    }

    /// Appends the combination of the chains, and the stores.
    fn finish(&self, b: &mut Block, sums: &[V]) {
        for (o, sums) in self.outputs.iter().zip(sums.chunks(self.registers())) {
            let mut sums = sums.to_vec();
            while sums.len() > 1 {
                let upper = sums.split_off(sums.len() / 2);
                for (low, high) in sums.iter_mut().zip(upper) {
                    *low = vir::binary(b, o.op, o.dtype, *low, high);
                }
            }
            let (mut sum, mut half) = (sums[0], self.width.bytes() / 2);
            while half >= o.dtype.size() {
                let upper = b.value();
                b.ins.push(Ins::Upper { dst: upper, a: sum, half });
                sum = vir::binary(b, o.op, o.dtype, sum, upper);
                half /= 2;
            }
            let at = self.elementwise.place(&o.port, Point::ORIGIN);
            b.ins.push(Ins::Store { src: sum, at, form: Form::One });
        }
    }
}

fn identity_bits(how: Combine, dtype: DType) -> u64 {
    fn of<T: Bitwise>(how: Combine, bits: impl Fn(T) -> u64) -> u64 {
        bits(identity::<T>(how))
    }
    match dtype {
        DType::F32 => of(how, |x: f32| x.to_bits() as u64),
        DType::F64 => of(how, f64::to_bits),
        DType::I32 => of(how, |x: i32| x as u32 as u64),
        DType::U32 => of(how, |x: u32| x as u64),
        DType::Bool => 0,
    }
}
