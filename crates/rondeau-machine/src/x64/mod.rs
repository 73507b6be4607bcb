//! Machine code for x86-64: a whole code as one function, and one for each part that runs beside others.
//!
//! Loops, branches, and the kernels that [`vir::covers`] are emitted in line; every other kernel is a call of the
//! tile machine. So all codes run, and what is emitted computes the same bits as the tile machine.

mod encode;
mod frame;
mod held;
mod map;
mod mat;
mod pages;
mod reduce;
mod regs;
#[cfg(test)]
mod tests;
mod vir;

use crate::code::{Code, Stmt, View};
use crate::cpu::Level;
use crate::vm::{Frame, Part, Plan, Step, run_parts, run_step};
use encode::{Asm, Gpr, If, Isa, Label, Mem, RAX, RDI, RDX, RSI, RSP};
use frame::Streams;
use held::Held;
use pages::Pages;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Registers that a function must leave as it found them.
const SAVED: [Gpr; 6] = [Gpr(3), Gpr(5), Gpr(12), Gpr(13), Gpr(14), Gpr(15)];

/// The emitted function; it returns 0, or 1 where a call of the tile machine has panicked.
type Entry = unsafe extern "sysv64" fn(*const Frame<'_>) -> u32;

/// Machine code for one part of a plan.
#[derive(Debug)]
pub(crate) struct Native {
    pages: Pages,
    /// Where in the pages the main function is.
    main: usize,
    /// Where in the pages the parts of each parallel statement are. The machine code knows these arrays.
    _parts: Vec<Box<[usize]>>,
    /// What the tile machine runs, and why.
    report: Vec<String>,
    isa: Isa,
    code_bytes: usize,
    n_emitted: usize,
}

impl Native {
    /// Emits machine code for a part of a checked code and its plan; none if there is nothing to gain or no memory
    /// for it.
    pub(crate) fn new(code: &Code, plan: &Plan, part: Part, level: Level) -> Option<Native> {
        let isa = match level {
            Level::Avx512 => Isa::Evex,
            Level::Avx2 => Isa::Vex,
            Level::Portable => return None,
        };
        let mut generator = Generator {
            code,
            asm: Asm::new(isa),
            streams: Streams::default(),
            exit: Label::default(),
            n_levels: 0,
            spilled: 0,
            n_emitted: 0,
            report: vec![],
            parts: vec![],
            n_started: 0,
            wanted: vec![],
            held: None,
            weights: 0,
        };
        let (stmts, steps) = (part.of(code), plan.part(part));
        generator.parts(stmts, steps, "body");
        let main = generator.function(stmts, steps, "body");
        let bytes = std::mem::replace(&mut generator.asm, Asm::new(isa)).finish();
        if generator.n_emitted == 0 {
            return None;
        }
        let pages = Pages::new(&bytes).ok()?;
        let Generator { report, n_emitted, parts, .. } = generator;
        let code_bytes = bytes.len();
        Some(Native { pages, main, _parts: parts, report, isa, code_bytes, n_emitted })
    }

    /// Says how much is machine code, and what is not and why.
    pub(crate) fn explain(&self) -> String {
        let Native { isa, code_bytes, n_emitted, .. } = self;
        let mut text = format!("machine code, {isa:?}, {n_emitted} kernels in {code_bytes} bytes");
        for line in &self.report {
            text.push_str("\n  tile machine: ");
            text.push_str(line);
        }
        text
    }

    /// Where the machine code starts.
    pub(crate) fn start(&self) -> *const u8 {
        self.pages.start()
    }

    /// Runs the part.
    ///
    /// # Safety
    /// As [`Plan::run`], with the plan that the code was emitted for, at the same address; `frame.code` is
    /// [`Native::start`].
    pub(crate) unsafe fn run(&self, frame: &Frame<'_>) {
        // SAFETY: the pages hold a function of this type there, emitted for this processor.
        let entry = unsafe {
            std::mem::transmute::<*const u8, Entry>(self.start().wrapping_add(self.main))
        };
        // SAFETY: by contract; the function's accesses are those of the checked code.
        if unsafe { entry(frame) } != 0
            && let Some(panic) = frame.panic.take()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Runs a step of the plan for machine code. A panic must not pass through it, so it waits in the frame.
///
/// # Safety
/// As [`run_step`].
unsafe extern "sysv64" fn run_in_vm(frame: *const Frame<'_>, step: *const Step) -> u32 {
    // SAFETY: by contract.
    let (frame, step) = unsafe { (&*frame, &*step) };
    // SAFETY: by contract.
    match catch_unwind(AssertUnwindSafe(|| unsafe { run_step(step, frame) })) {
        Ok(()) => 0,
        Err(panic) => {
            frame.panic.set(Some(panic));
            1
        }
    }
}

/// Runs parts for machine code, whose functions are at `offsets` from the start of the code.
///
/// # Safety
/// As [`Native::run`], of the code that has these parts.
unsafe extern "sysv64" fn run_beside(
    frame: *const Frame<'_>,
    offsets: *const usize,
    n: usize,
) -> u32 {
    // SAFETY: by contract; the emitted call has the address and the length of an array.
    let (frame, offsets) = unsafe { (&*frame, std::slice::from_raw_parts(offsets, n)) };
    let part = |i: usize, frame: &Frame<'_>| {
        // SAFETY: there is a function of this type at each offset, emitted for this processor.
        let entry =
            unsafe { std::mem::transmute::<*const u8, Entry>(frame.code.wrapping_add(offsets[i])) };
        // SAFETY: the accesses of the part are those of the checked code.
        if unsafe { entry(frame) } != 0
            && let Some(panic) = frame.panic.take()
        {
            std::panic::resume_unwind(panic);
        }
    };
    // SAFETY: the frame has a lane for each part of the plan; parts are apart by the check of the code.
    match catch_unwind(AssertUnwindSafe(|| unsafe { run_parts(frame, n, &part) })) {
        Ok(()) => 0,
        Err(panic) => {
            frame.panic.set(Some(panic));
            1
        }
    }
}

/// A function under construction, behind others that are done.
struct Generator<'a> {
    code: &'a Code,
    asm: Asm,
    streams: Streams,
    exit: Label,
    n_levels: usize,
    spilled: i32,
    n_emitted: usize,
    report: Vec<String>,
    /// Where the functions of the parts of each parallel statement start.
    parts: Vec<Box<[usize]>>,
    /// How many parallel statements the main function has so far.
    n_started: usize,
    /// What the next kernel would take from a register, and what the one before has left there.
    wanted: Vec<View>,
    held: Option<Held>,
    /// The bytes of weights that the kernels of the innermost body read together, each time it runs.
    weights: usize,
}

impl Generator<'_> {
    /// Emits a function for each part of each parallel statement, which the main function finds in `self.parts` in
    /// the order in which it comes to them.
    fn parts(&mut self, body: &[Stmt], steps: &[Step], path: &str) {
        for (i, (stmt, step)) in body.iter().zip(steps).enumerate() {
            let path = format!("{path}[{i}]");
            match (stmt, step) {
                (Stmt::Loop(l), Step::Loop(_, n_steps, steps)) if *n_steps > 0 => {
                    self.n_levels += 1;
                    self.parts(&l.body, steps, &format!("{path}.body"));
                    self.n_levels -= 1;
                }
                (Stmt::Parallel(parts), Step::Parallel(steps)) => {
                    let mut offsets = vec![];
                    for (p, (part, steps)) in parts.iter().zip(steps).enumerate() {
                        let said = self.report.len();
                        offsets.push(self.function(part, steps, &format!("{path}.parts[{p}]")));
                        if p > 0 {
                            // Parts are alike, and what is said of one goes for all.
                            self.report.truncate(said);
                        }
                    }
                    self.parts.push(offsets.into());
                }
                _ => {}
            }
        }
    }

    /// Emits a function that is called inside of `n_levels` loops; returns where it starts.
    fn function(&mut self, stmts: &[Stmt], steps: &[Step], path: &str) -> usize {
        let at = self.asm.len();
        self.streams = Streams::default();
        self.spilled = 0;
        self.exit = self.asm.label();
        let (start, body) = (self.asm.label(), self.asm.label());
        // The size of the frame and the streams are known at the end, so the function starts there.
        self.asm.jump(start);
        self.asm.bind(body);
        self.body(stmts, steps, path);
        self.asm.mov_imm(RAX, 0);
        self.asm.bind(self.exit);
        self.asm.vzeroupper();
        self.asm.mov_load(RSP, frame::caller());
        SAVED.iter().rev().for_each(|&r| self.asm.pop(r));
        self.asm.ret();
        self.asm.bind(start);
        self.prologue();
        self.asm.jump(body);
        at
    }

    fn prologue(&mut self) {
        let asm = &mut self.asm;
        SAVED.iter().for_each(|&r| asm.push(r));
        asm.mov_reg(RAX, RSP);
        let bytes = frame::SPILLS + self.spilled;
        // Each page of the stack is touched in turn, so that its end is not jumped over.
        (4096..=bytes).step_by(4096).for_each(|at| asm.mov_store(Mem::at(RSP, -at), RAX));
        asm.lea(RSP, Mem::at(RSP, -bytes));
        asm.align_stack();
        asm.mov_store(frame::caller(), RAX);
        asm.mov_store(frame::frame(), RDI);
        // The array of steps is the second field of the call's frame.
        asm.mov_load(RAX, Mem::at(RDI, 8));
        asm.mov_store(frame::steps(), RAX);
        self.streams.emit_start(asm, self.n_levels);
    }

    fn body(&mut self, body: &[Stmt], steps: &[Step], path: &str) {
        self.loop_body(body, steps, path, None);
    }

    /// Emits a body that finds in a register what it leaves there, in the place `carried.1`.
    fn loop_body(
        &mut self,
        body: &[Stmt],
        steps: &[Step],
        path: &str,
        carried: Option<(Held, View)>,
    ) {
        let (arrives, leaves) = carried.unzip();
        self.held = arrives;
        let of_mat = |stmt: &Stmt| if let Stmt::Mat(k) = stmt { k.weights_bytes() } else { 0 };
        let around = std::mem::replace(&mut self.weights, body.iter().map(of_mat).sum());
        for (i, (stmt, step)) in body.iter().zip(steps).enumerate() {
            self.wanted = match (body.get(i + 1), &leaves) {
                (None, Some(place)) => vec![place.clone()],
                (next, _) => held::wanted(next),
            };
            self.stmt(stmt, step, &format!("{path}[{i}]"));
        }
        assert!(leaves.is_none() || self.held.is_some(), "internal: a loop lost what it carries");
        self.wanted.clear();
        self.held = None;
        self.weights = around;
    }

    fn stmt(&mut self, stmt: &Stmt, step: &Step, path: &str) {
        let held = self.held.take();
        match (stmt, step) {
            (Stmt::Loop(l), Step::Loop(level, n_steps, steps)) => {
                if *n_steps == 0 {
                    return;
                }
                self.n_levels += 1;
                let carried = self.carried(l, *level);
                if let Some((held, _)) = &carried {
                    self.emit_carried(held);
                }
                let top = self.streams.enter(&mut self.asm, *level);
                self.loop_body(&l.body, steps, &format!("{path}.body"), carried);
                self.streams.leave(&mut self.asm, *level, *n_steps, top);
                self.n_levels -= 1;
            }
            (Stmt::While(w), Step::While(cond, _, steps)) => {
                let Some(flag) = self.scalar(&w.flag) else {
                    return self.in_vm(step, path, "an offset is too large");
                };
                let (top, end) = (self.asm.here(), self.asm.label());
                self.body(&w.cond, cond, &format!("{path}.cond"));
                self.emit_address(flag);
                self.asm.cmp_byte_imm(Mem::at(RAX, flag.1), 0);
                self.asm.jump_if(If::Equal, end);
                self.body(&w.body, steps, &format!("{path}.body"));
                self.asm.jump(top);
                self.asm.bind(end);
            }
            (Stmt::Switch(s), Step::Switch(_, dtype, branches)) => {
                let Some(index) = self.scalar(&s.index) else {
                    return self.in_vm(step, path, "an offset is too large");
                };
                self.emit_address(index);
                match dtype {
                    crate::dag::DType::U32 => self.asm.mov_load_u32(RAX, Mem::at(RAX, index.1)),
                    _ => self.asm.mov_load_i32(RAX, Mem::at(RAX, index.1)),
                }
                let labels: Vec<_> = branches.iter().map(|_| self.asm.label()).collect();
                let (end, last) = (self.asm.label(), branches.len() - 1);
                for (i, &label) in labels[..last].iter().enumerate() {
                    self.asm.cmp_imm(RAX, i as i32 + 1);
                    self.asm.jump_if(If::Less, label);
                }
                for i in (0..branches.len()).rev() {
                    self.asm.bind(labels[i]);
                    self.body(&s.branches[i], &branches[i], &format!("{path}.branches[{i}]"));
                    self.asm.jump(end);
                }
                self.asm.bind(end);
            }
            (Stmt::Map(k), _) => self.kernel(step, path, |g| g.map(k)),
            (Stmt::Mat(k), _) => self.kernel(step, path, |g| g.mat(k, held)),
            (Stmt::Pack(_), _) => self.in_vm(step, path, "a Pack"),
            (Stmt::Gemm(_), _) => self.in_vm(step, path, "a Gemm"),
            (Stmt::Reduce(k), _) => self.kernel(step, path, |g| g.reduce(k)),
            (Stmt::Cumulative(_), _) => self.in_vm(step, path, "a Cumulative"),
            (Stmt::Sort(_), _) => self.in_vm(step, path, "a Sort"),
            (Stmt::Gather(_), _) => self.in_vm(step, path, "a Gather"),
            (Stmt::Scatter(_), _) => self.in_vm(step, path, "a Scatter"),
            (Stmt::Tap(_), _) => self.in_vm(step, path, "a Tap"),
            (Stmt::Parallel(_), Step::Parallel(_)) => self.beside(),
            (Stmt::Loop(_) | Stmt::While(_) | Stmt::Switch(_) | Stmt::Parallel(_), _) => {
                unreachable!("internal: the plan has another shape than the code")
            }
        }
    }

    /// Emits a kernel in line if `emit` can, else a call.
    fn kernel(
        &mut self,
        step: &Step,
        path: &str,
        emit: impl FnOnce(&mut Self) -> Result<(), String>,
    ) {
        match emit(self) {
            Ok(()) => self.n_emitted += 1,
            Err(why) => self.in_vm(step, path, &why),
        }
    }

    /// Emits a call of the tile machine.
    fn in_vm(&mut self, step: &Step, path: &str, why: &str) {
        self.report.push(format!("{path}: {why}"));
        self.asm.vzeroupper();
        self.asm.mov_load(RDI, frame::frame());
        self.asm.mov_imm(RSI, step as *const Step as i64);
        self.asm.mov_imm(RAX, run_in_vm as *const () as i64);
        self.asm.call(RAX);
        self.asm.test32(RAX);
        self.asm.jump_if(If::NotEqual, self.exit);
    }

    /// Emits the call that runs the parts of the next parallel statement.
    fn beside(&mut self) {
        let offsets = &self.parts[self.n_started];
        self.n_started += 1;
        self.asm.vzeroupper();
        self.asm.mov_load(RDI, frame::frame());
        self.asm.mov_imm(RSI, offsets.as_ptr() as i64);
        self.asm.mov_imm(RDX, offsets.len() as i64);
        self.asm.mov_imm(RAX, run_beside as *const () as i64);
        self.asm.call(RAX);
        self.asm.test32(RAX);
        self.asm.jump_if(If::NotEqual, self.exit);
    }

    /// The stream and displacement of a view without dimensions.
    fn scalar(&mut self, view: &View) -> Option<(usize, i32)> {
        self.streams.of(self.code, view)
    }

    fn emit_address(&mut self, (stream, _): (usize, i32)) {
        self.asm.mov_load(RAX, Streams::slot(stream));
    }
}
