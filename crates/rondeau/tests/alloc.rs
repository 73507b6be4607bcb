//! What a call of a compiled function allocates, and what compiling leaves behind when it is dropped.
//!
//! `RONDEAU_CYCLES` says how many functions are compiled and dropped.

#[path = "../../rondeau-machine/tests/counting/mod.rs"]
mod counting;

use counting::count;
use rondeau::run::Engine;
use rondeau::{Array, Result, Stream, Tree, grad, jit, scan, sigmoid, tanh, vmap};

/// How many pieces of memory a call may ask for besides those of its outputs: lists of its inputs and
/// outputs, and the path to a leaf of the result.
const MOST: usize = 3;
/// The pieces of an output: its values and their owner.
const OF_OUTPUT: usize = 2;

#[derive(Clone, Tree)]
struct Cell {
    wz: Array,
    uz: Array,
    wh: Array,
    uh: Array,
}

fn step(p: &Cell, h: &Array, x: &Array) -> (Array, Array) {
    let z = sigmoid(p.wz.dot(x) + p.uz.dot(h));
    let candidate = tanh(p.wh.dot(x) + p.uh.dot(h));
    let h = (1.0 - &z) * h + z * candidate;
    (h.clone(), h)
}

fn states(p: &Cell, h0: &Array, xs: &Array) -> (Array, Array) {
    scan(|h, x| step(p, h, x), h0, xs)
}

fn loss(p: &Cell, h0: &Array, xs: &Array) -> Array {
    states(p, h0, xs).1.square().sum()
}

fn arguments(time: usize) -> (Cell, Array, Array) {
    // Numbers that lie densely.
    let all = |shape: &[usize]| {
        let n: usize = shape.iter().product();
        Array::new(shape, (0..n).map(|i| (i as f32 * 0.7).sin()).collect())
    };
    let cell = Cell { wz: all(&[4, 3]), uz: all(&[4, 4]), wh: all(&[4, 3]), uh: all(&[4, 4]) };
    (cell, all(&[4]), all(&[time, 3]))
}

/// How many pieces of memory the second of two equal calls asks for.
fn of_second_call(mut call: impl FnMut() -> Result<()>) -> Result<usize> {
    call()?;
    call()?;
    let before = count().n;
    call()?;
    Ok(count().n - before)
}

#[test]
fn a_call_allocates_its_outputs_and_little_else() -> Result<()> {
    let mut of_states = vec![];
    for time in [2, 200] {
        let (p, h0, xs) = arguments(time);
        let fast = jit(states).engine(Engine::Native);
        let n = of_second_call(|| fast.call(&p, &h0, &xs).map(drop))?;
        println!("a call with 6 inputs and 2 outputs over {time} steps: {n} allocations");
        assert!(n <= MOST + 2 * OF_OUTPUT, "{n} allocations");
        of_states.push(n);
    }
    assert_eq!(of_states[0], of_states[1], "a step allocates");

    let (p, h0, xs) = arguments(20);
    let slope = jit(grad(loss)).engine(Engine::Native);
    let n = of_second_call(|| slope.call(&p, &h0, &xs).map(drop))?;
    println!("a call with 6 inputs and 4 outputs: {n} allocations");
    assert!(n <= MOST + 4 * OF_OUTPUT, "{n} allocations");
    Ok(())
}

#[test]
fn inputs_that_lie_otherwise_take_no_more_memory_from_call_to_call() -> Result<()> {
    let (p, h0, xs) = arguments(20);
    let fast = jit(states).engine(Engine::Native);
    let dense = of_second_call(|| fast.call(&p, &h0, &xs).map(drop))?;
    let columns = Array::new([3, 20], xs.t().to_vec::<f32>()?);
    for (what, p, h0, xs) in [
        ("one number seen everywhere", p.clone(), Array::zeros([4]), Array::ones([20, 3])),
        ("a transposed sequence", p.clone(), h0.clone(), columns.t()),
        ("a transposed parameter", Cell { uz: p.uz.t(), ..p.clone() }, h0, xs),
    ] {
        let n = of_second_call(|| fast.call(&p, &h0, &xs).map(drop))?;
        assert_eq!(n, dense, "{what}");
    }
    Ok(())
}

#[test]
fn a_step_of_a_stream_allocates_nothing() -> Result<()> {
    let (p, h0, xs) = arguments(1);
    let mut x = Array::new([3], xs.to_vec::<f32>()?);
    let batch = vmap(step, (None, 0, 0));
    let many = |n: usize, array: &Array| Array::new([8, n], array.to_vec::<f32>()?.repeat(8)).ok();
    for engine in [Engine::Native, Engine::Vm] {
        let mut stream = Stream::with_engine(engine, step, &p, &h0, &x)?;
        let mut y = stream.output();
        let n = of_second_call(|| {
            x.copy_from_slice(&[0.1_f32, 0.2, 0.3])?;
            stream.step(&x, &mut y)?;
            y.as_slice::<f32>().map(drop)
        })?;
        assert_eq!(n, 0, "{engine:?}");

        let (carry, x) = (many(4, &h0)?, many(3, &x)?);
        let mut streams = Stream::with_engine(engine, &batch, &p, &carry, &x)?;
        let mut y = streams.output();
        let n = of_second_call(|| streams.step(&x, &mut y))?;
        assert_eq!(n, 0, "{engine:?}, many streams");
    }
    Ok(())
}

#[test]
fn results_in_given_memory_need_none_of_their_own() -> Result<()> {
    let (p, h0, xs) = arguments(20);
    let fast = jit(states).engine(Engine::Native);
    let mut out = fast.call(&p, &h0, &xs)?;
    let place = out.1.as_slice::<f32>()?.as_ptr();
    let n = of_second_call(|| fast.call_into(&p, &h0, &xs, &mut out))?;
    println!("a call into given memory: {n} allocations");
    assert!(n <= MOST + 2 * OF_OUTPUT + 2, "{n} allocations");
    assert_eq!(out.1.as_slice::<f32>()?.as_ptr(), place);
    Ok(())
}

/// Compiles the gradient of a loop, calls it and drops it.
fn cycle(arguments: &(Cell, Array, Array)) -> Result<()> {
    let (p, h0, xs) = arguments;
    let slope: Cell = jit(grad(loss)).engine(Engine::Native).call(p, h0, xs)?;
    assert!(slope.uh.sum().item::<f32>()?.is_finite());
    Ok(())
}

#[cfg(target_os = "linux")]
fn mappings() -> (usize, bool) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the mappings of a process");
    (maps.lines().count(), maps.contains("rwx"))
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("the memory of a process");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn compiling_and_dropping_leaves_nothing_behind() -> Result<()> {
    let asked = std::env::var("RONDEAU_CYCLES").ok();
    let n_cycles: usize = asked.map_or(300, |n| n.parse().expect("RONDEAU_CYCLES is a number"));
    let arguments = arguments(3);
    for _ in 0..50 {
        cycle(&arguments)?;
    }
    let (live, resident, (n_maps, _)) = (count().live_bytes, resident_bytes(), mappings());
    for i in 0..n_cycles {
        cycle(&arguments)?;
        assert!(i % 16 != 0 || !mappings().1, "pages are writable and executable");
    }
    let leaked = count().live_bytes - live;
    let grown = resident_bytes().saturating_sub(resident);
    let more = mappings().0.saturating_sub(n_maps);
    println!("{n_cycles} functions: {leaked} bytes in use, {grown} resident, {more} mappings more");
    assert_eq!(leaked, 0, "memory is not given back");
    // The other test's thread comes and goes meanwhile.
    assert!(grown < 4 << 20, "{grown} bytes are left behind");
    assert!(more < 8, "{more} mappings are left behind");
    Ok(())
}
