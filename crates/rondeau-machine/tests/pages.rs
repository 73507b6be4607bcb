//! What executables leave behind when they are dropped: nothing. And what they are while they live: never writable
//! and executable.
//!
//! One test in a process of its own, since it counts what the whole process has mapped.
#![cfg(all(target_os = "linux", not(miri)))]

#[path = "../examples/step_speed/cells.rs"]
#[expect(dead_code, reason = "one of the cells is enough")]
mod cells;

use rondeau_machine::code::DType;
use rondeau_machine::{Arena, Executable, Executor, as_bytes, as_bytes_mut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn maps() -> String {
    std::fs::read_to_string("/proc/self/maps").unwrap()
}

/// Bytes of memory that the process has in use.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Compiles a cell, runs it once, and drops it.
fn cycle(arena: &mut Arena) {
    let (h, b, t) = (4, 1, 2);
    let executable = Executable::new(&cells::gru(DType::F32, h, b, t), Executor::Best).unwrap();
    let (u, xw, h0) = (vec![0.1f32; 3 * h * h], vec![0.2f32; t * b * 3 * h], vec![0f32; b * h]);
    let mut hs = vec![0f32; t * b * h];
    executable
        .run(
            &[as_bytes(&u), as_bytes(&xw), as_bytes(&h0)],
            &mut [as_bytes_mut(&mut hs)],
            arena,
            &|_| {},
        )
        .unwrap();
    assert!(hs[0] > 0.0);
}

#[test]
fn compiling_and_dropping_leaves_nothing_behind() {
    let n_cycles = 10_000;
    let mut arena = Arena::new();
    // The allocator finds its size first.
    for _ in 0..n_cycles / 10 {
        cycle(&mut arena);
    }
    let (n_maps, resident) = (maps().lines().count(), resident_bytes());
    let (is_over, n_looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Another thread looks at the mappings as often as it can.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let maps = maps();
                let both = maps.lines().find(|line| line.contains("rwx"));
                assert_eq!(both, None, "pages are writable and executable");
                n_looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..n_cycles {
            cycle(&mut arena);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let grown = resident_bytes().saturating_sub(resident);
    let n_more = maps().lines().count().saturating_sub(n_maps);
    println!(
        "{n_cycles} executables: {grown} bytes more, {n_more} mappings more, {} looks at them",
        n_looks.load(Ordering::Relaxed)
    );
    assert!(n_looks.load(Ordering::Relaxed) > 0, "nobody looked");
    // The stack and the heap of the thread that looked stay.
    assert!(grown < 1 << 20, "{grown} bytes are left behind");
    assert!(n_more < 8, "{n_more} mappings are left behind");
}
