//! Memory that calls work in, reused from call to call.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;

/// The alignment of an arena: a page, so that vectors and cache lines are never split.
const ALIGN: usize = 4096;

/// A large page of the processor. Inside one, lines that lie apart fall into different sets of the second-level
/// cache; among small pages that is a matter of luck, and weights that nearly fill the cache push each other out.
const LARGE: usize = 2 << 20;

/// Arenas from this size on ask for large pages.
const ASK: usize = 256 << 10;

/// The working memory of [`crate::Executable::run`]. It grows when an executable needs more, and never shrinks.
pub struct Arena {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the arena owns its memory, and only `&mut self` gives access to it.
unsafe impl Send for Arena {}
// SAFETY: as above; `&self` reads `bytes` alone.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena without memory.
    pub const fn new() -> Arena {
        Arena { start: NonNull::dangling(), bytes: 0 }
    }

    /// Returns the bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows to at least this many bytes; what was in it is lost if it does.
    ///
    /// # Panics
    /// If the number of bytes is beyond what a pointer can span.
    pub fn reserve(&mut self, bytes: usize) {
        if bytes <= self.bytes {
            return;
        }
        let layout = layout(bytes);
        // SAFETY: the layout has a size above 0, as `bytes > self.bytes >= 0`.
        let start = unsafe { alloc(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        if layout.align() == LARGE {
            ask_for_large_pages(start, layout.size());
        }
        // SAFETY: the memory was allocated with this size.
        unsafe { start.as_ptr().write_bytes(0, layout.size()) };
        self.free();
        (self.start, self.bytes) = (start, bytes);
    }

    /// The first byte; valid for [`Arena::bytes`] bytes, all initialized.
    pub(crate) fn start(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The first byte, for reading.
    pub(crate) fn address(&self) -> *const u8 {
        self.start.as_ptr()
    }

    fn free(&mut self) {
        if self.bytes > 0 {
            // SAFETY: `start` was allocated by `reserve` with this layout, and is replaced or dropped next.
            unsafe { dealloc(self.start.as_ptr(), layout(self.bytes)) }
        }
    }
}

fn layout(bytes: usize) -> Layout {
    let layout = match bytes {
        ASK.. => Layout::from_size_align(bytes, LARGE).map(|layout| layout.pad_to_align()),
        _ => Layout::from_size_align(bytes, ALIGN),
    };
    layout.expect("an arena fits into the address space")
}

/// Asks for large pages behind memory that nothing has touched yet. A system that gives none changes nothing.
fn ask_for_large_pages(start: NonNull<u8>, bytes: usize) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    // SAFETY: the advice changes no contents, and the range is one allocation of whole large pages.
    unsafe {
        libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (start, bytes);
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({} bytes)", self.bytes)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_aligned_and_keeps_what_it_has() {
        let mut arena = Arena::new();
        arena.reserve(0);
        assert_eq!(arena.bytes(), 0);
        for bytes in [1, 100, 50, 10_000, ASK + 1] {
            arena.reserve(bytes);
            assert!(arena.bytes() >= bytes);
            assert_eq!(arena.start() as usize % ALIGN, 0);
        }
        assert_eq!(arena.bytes(), ASK + 1);
        assert_eq!(arena.start() as usize % LARGE, 0);
    }
}
