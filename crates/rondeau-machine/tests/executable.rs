//! Whole codes through the public interface.

#[path = "../examples/step_speed/cells.rs"]
mod cells;

use rondeau_machine::code::*;
use rondeau_machine::cpu::Level;
use rondeau_machine::{Arena, CallError, Executable, Executor, as_bytes, as_bytes_mut};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};

const EVERY: [Executor; 6] = [
    Executor::Best,
    Executor::NativeAt(Level::Avx2),
    Executor::Vm,
    Executor::VmAt(Level::Avx2),
    Executor::VmAt(Level::Portable),
    Executor::NativeAt(Level::Portable),
];

fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// The gated recurrent unit of `cells`, in plain loops of doubles.
fn gru(h: usize, b: usize, t: usize, u: &[f64], xw: &[f64], h0: &[f64]) -> Vec<f64> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut state = h0.to_vec();
    let mut all = vec![];
    for step in xw.chunks(b * 3 * h).take(t) {
        for (s, x) in state.chunks_mut(h).zip(step.chunks(3 * h)) {
            let product = |gate: usize, i: usize, v: &[f64]| -> f64 {
                let row = &u[(gate * h + i) * h..][..h];
                row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>() + x[gate * h + i]
            };
            let z: Vec<_> = (0..h).map(|i| sigmoid(product(0, i, s))).collect();
            let rh: Vec<_> = (0..h).map(|i| sigmoid(product(1, i, s)) * s[i]).collect();
            let c: Vec<_> = (0..h).map(|i| product(2, i, &rh).tanh()).collect();
            for i in 0..h {
                s[i] = (1.0 - z[i]) * s[i] + z[i] * c[i];
            }
        }
        all.extend_from_slice(&state);
    }
    all
}

#[test]
fn a_recurrent_unit_is_right_and_has_the_same_bits_everywhere() {
    for (h, b, t) in
        [(1, 1, 3), (5, 1, 7), (8, 1, 20), (13, 3, 6), (16, 1, 9), (64, 1, 5), (96, 2, 4)]
    {
        let scale = 1.0 / (h as f64).sqrt();
        let round =
            |x: Vec<f64>, by: f64| -> Vec<f32> { x.iter().map(|x| (x * by) as f32).collect() };
        let u = round(numbers(3 * h * h, 1), scale);
        let xw = round(numbers(t * b * 3 * h, 2), 1.0);
        let h0 = round(numbers(b * h, 3), 1.0);
        let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| x as f64).collect() };
        let expected = gru(h, b, t, &wide(&u), &wide(&xw), &wide(&h0));
        let code = cells::gru(DType::F32, h, b, t);
        let mut first: Option<Vec<f32>> = None;
        for executor in EVERY {
            let exe = Executable::new(&code, executor).unwrap();
            let mut hs = vec![0f32; t * b * h];
            exe.run(
                &[as_bytes(&u), as_bytes(&xw), as_bytes(&h0)],
                &mut [as_bytes_mut(&mut hs)],
                &mut Arena::new(),
                &|_| {},
            )
            .unwrap();
            for (a, e) in hs.iter().zip(&expected) {
                assert!((*a as f64 - e).abs() < 2e-6, "{executor:?} {h} {b}: {a}, not {e}");
            }
            let first = first.get_or_insert_with(|| hs.clone());
            assert_eq!(as_bytes(first), as_bytes(&hs), "{executor:?} {h} {b}");
        }
        let code = cells::gru(DType::F64, h, b, t);
        let (u, xw, h0) = (wide(&u), wide(&xw), wide(&h0));
        let mut first: Option<Vec<f64>> = None;
        for executor in EVERY {
            let exe = Executable::new(&code, executor).unwrap();
            let mut hs = vec![0f64; t * b * h];
            exe.run(
                &[as_bytes(&u), as_bytes(&xw), as_bytes(&h0)],
                &mut [as_bytes_mut(&mut hs)],
                &mut Arena::new(),
                &|_| {},
            )
            .unwrap();
            for (a, e) in hs.iter().zip(&expected) {
                assert!((a - e).abs() < 1e-13, "{executor:?} {h} {b}: {a}, not {e}");
            }
            let first = first.get_or_insert_with(|| hs.clone());
            assert_eq!(as_bytes(first), as_bytes(&hs), "{executor:?} {h} {b}");
        }
    }
}

#[test]
fn a_differential_equation_has_the_same_bits_everywhere() {
    for lanes in [1, 7, 16, 40, 100] {
        let code = cells::lorenz(DType::F32, lanes, 50);
        let start: Vec<f32> = numbers(3 * lanes, 5).iter().map(|&x| x as f32).collect();
        let ends = EVERY.map(|executor| {
            let exe = Executable::new(&code, executor).unwrap();
            let mut end = vec![0f32; 3 * lanes];
            let outputs = &mut [as_bytes_mut(&mut end)];
            exe.run(&[as_bytes(&start)], outputs, &mut Arena::new(), &|_| {}).unwrap();
            end
        });
        assert!(ends.iter().all(|e| as_bytes(e) == as_bytes(&ends[0])));
        assert!(ends[0].iter().all(|x| x.is_finite()));
    }
}

/// Memory for `n` numbers.
fn buffer(place: Place, n: usize) -> Buffer {
    Buffer { bytes: 4 * n, place }
}

/// A loop of `n` steps that copies `xs[t]` to the output and shows it.
fn tapped(n: usize) -> Code {
    let view = |b: u32| View::new(BufferId(b), DType::F32);
    let copy = Map {
        dims: vec![],
        loads: vec![view(0).advance(0, 1)],
        dag: vec![Node::Load(0)],
        stores: vec![Store { value: Val(0), to: view(1) }],
    };
    let tap = Tap { id: 7, dims: vec![], view: view(1) };
    let body = vec![Stmt::Map(copy), Stmt::Tap(tap)];
    Code {
        buffers: vec![buffer(Place::Input(0), n), buffer(Place::Output(0), 1)],
        setup: vec![],
        body: vec![Stmt::Loop(Loop { n_steps: n, body })],
    }
}

/// The setup doubles the first input; the body adds the second.
fn doubled_and_added() -> Code {
    let view = |i: u32| View::new(BufferId(i), DType::F32).strides([1]);
    let map = |loads, op: fn(Val, Val) -> Node, to| {
        let dag = vec![Node::Load(0), Node::Load(1), op(Val(0), Val(1))];
        Stmt::Map(Map { dims: vec![4], loads, dag, stores: vec![Store { value: Val(2), to }] })
    };
    let add = |a, b| Node::Binary(Binary::Add, a, b);
    Code {
        buffers: vec![
            buffer(Place::Input(0), 4),
            buffer(Place::Input(1), 4),
            buffer(Place::Arena(0), 4),
            buffer(Place::Output(0), 4),
        ],
        setup: vec![map(vec![view(0), view(0)], add, view(2))],
        body: vec![map(vec![view(2), view(1)], add, view(3))],
    }
}

#[test]
fn a_call_may_leave_the_setup_out() {
    for executor in EVERY {
        let exe = Executable::new(&doubled_and_added(), executor).unwrap();
        assert_eq!(exe.setup_inputs(), [0]);
        let (mut arena, mut y) = (Arena::new(), [0f32; 4]);
        let (x, other, z) = ([1f32, 2.0, 3.0, 4.0], [9f32; 4], [10f32; 4]);
        let inputs = [as_bytes(&x), as_bytes(&z)];
        exe.run(&inputs, &mut [as_bytes_mut(&mut y)], &mut arena, &|_| {}).unwrap();
        assert_eq!(y, [12.0, 14.0, 16.0, 18.0]);
        // The first input is not read again.
        let inputs = [as_bytes(&other), as_bytes(&x)];
        exe.run_again(&inputs, &mut [as_bytes_mut(&mut y)], &mut arena, &|_| {}).unwrap();
        assert_eq!(y, [3.0, 6.0, 9.0, 12.0]);
    }
}

#[test]
fn a_setup_that_writes_an_output_is_refused() {
    let mut code = doubled_and_added();
    code.setup.append(&mut code.body);
    assert!(code.check().unwrap_err().to_string().contains("setup[1]: it writes to an output"));
}

#[test]
fn taps_see_each_step() {
    for executor in EVERY {
        let exe = Executable::new(&tapped(3), executor).unwrap();
        let (mut y, seen) = ([0f32], RefCell::new(vec![]));
        exe.run(
            &[as_bytes(&[1f32, 2.0, 3.0])],
            &mut [as_bytes_mut(&mut y)],
            &mut Arena::new(),
            &|t| seen.borrow_mut().push((t.id, t.bytes.to_vec())),
        )
        .unwrap();
        let expected = [1f32, 2.0, 3.0].map(|x| (7, x.to_le_bytes().to_vec()));
        assert_eq!(*seen.borrow(), expected, "{executor:?}");
    }
}

#[test]
fn a_panic_in_a_tap_comes_out_of_the_call() {
    for executor in EVERY {
        let exe = Executable::new(&tapped(3), executor).unwrap();
        let calls = Cell::new(0);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let tap = |_: rondeau_machine::Tapped<'_>| {
                calls.set(calls.get() + 1);
                if calls.get() == 2 {
                    std::panic::panic_any("stop");
                }
            };
            let x = [1f32, 2.0, 3.0];
            exe.run(&[as_bytes(&x)], &mut [as_bytes_mut(&mut [0f32])], &mut Arena::new(), &tap)
        }));
        assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"stop"));
        assert_eq!(calls.get(), 2, "{executor:?}");
    }
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let exe = Executable::new(&tapped(3), Executor::Best).unwrap();
    let mut y = [0f32];
    let (x, arena) = ([0f32; 3], &mut Arena::new());
    let error = exe.run(&[], &mut [as_bytes_mut(&mut y)], arena, &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "the code has 1 inputs, the call 0");
    let error = exe.run(&[&as_bytes(&x)[..8]], &mut [as_bytes_mut(&mut y)], arena, &|_| {});
    assert_eq!(
        error.unwrap_err(),
        CallError::Bytes { what: "input", index: 0, needed: 12, given: 8 }
    );
    let bytes = [0u8; 16];
    let odd = (0..4).find(|i| (bytes[*i..].as_ptr() as usize) % 4 == 1).unwrap();
    let error = exe.run(&[&bytes[odd..odd + 12]], &mut [as_bytes_mut(&mut y)], arena, &|_| {});
    assert_eq!(error.unwrap_err(), CallError::Alignment { what: "input", index: 0, needed: 4 });
}

#[test]
fn an_executable_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let exe = Executable::new(&cells::lorenz(DType::F32, 5, 10), Executor::Best).unwrap();
    shared(&exe);
    let start: Vec<f32> = numbers(15, 5).iter().map(|&x| x as f32).collect();
    let run = || {
        let mut end = vec![0f32; 15];
        let outputs = &mut [as_bytes_mut(&mut end)];
        exe.run(&[as_bytes(&start)], outputs, &mut Arena::new(), &|_| {}).unwrap();
        end
    };
    let expected = run();
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|_| s.spawn(run)).collect();
        threads.into_iter().for_each(|t| assert_eq!(t.join().unwrap(), expected));
    });
}

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|a| a.set(a.get() + 1));
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

#[test]
fn calls_allocate_nothing_but_the_arena() {
    let code = cells::gru(DType::F32, 24, 3, 5);
    for executor in EVERY {
        let exe = Executable::new(&code, executor).unwrap();
        let inputs: Vec<Vec<f32>> = exe.needs().inputs.iter().map(|i| vec![0.5; i.0 / 4]).collect();
        let inputs: Vec<_> = inputs.iter().map(|i| as_bytes(i)).collect();
        let mut hs = vec![0f32; 24 * 3 * 5];
        let mut arena = Arena::new();
        arena.reserve(exe.arena_bytes());
        let before = ALLOCATIONS.with(Cell::get);
        exe.run(&inputs, &mut [as_bytes_mut(&mut hs)], &mut arena, &|_| {}).unwrap();
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{executor:?}");
    }
}
