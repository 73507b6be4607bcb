//! An allocator that counts, for tests of this crate and of those above it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What the current thread has asked of the allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// How many pieces of memory, made or grown.
    pub(crate) n: usize,
    /// Bytes that are still in use, less those that this thread gave back for others.
    pub(crate) live_bytes: isize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { n: 0, live_bytes: 0 }) };
}

/// Returns the counts of the current thread.
pub(crate) fn count() -> Count {
    COUNT.with(Cell::get)
}

fn add(n: usize, bytes: isize) {
    // A thread that ends frees its last memory after its counts are gone.
    let _ = COUNT.try_with(|count| {
        let Count { n: all, live_bytes } = count.get();
        count.set(Count { n: all + n, live_bytes: live_bytes + bytes });
    });
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as isize);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as isize);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        add(1, bytes as isize - layout.size() as isize);
        // SAFETY: by the contract of this function.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        add(0, -(layout.size() as isize));
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;
