//! Executable memory.
//!
//! Pages are writable until they hold the code, then readable and executable: never both. They are given back
//! when the owner is dropped.

use std::io;
use std::ptr::{self, NonNull};

/// Pages that hold finished code.
#[derive(Debug)]
pub(super) struct Pages {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the pages are owned, and after `new` they are only read and executed.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps pages with a copy of `code`.
    ///
    /// # Errors
    /// What the system says, if it gives no pages or lets none be executed.
    pub(super) fn new(code: &[u8]) -> io::Result<Pages> {
        let bytes = code.len().max(1).next_multiple_of(4096);
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new private mapping disturbs no memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start as *mut u8).ok_or_else(|| io::Error::other("no pages"))?;
        let pages = Pages { start, bytes };
        // SAFETY: the mapping is writable and at least as long as the code.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), start.as_ptr(), code.len()) };
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the range is this mapping.
        if unsafe { libc::mprotect(start.as_ptr().cast(), bytes, protection) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pages)
    }

    /// The first byte of the code.
    pub(super) fn start(&self) -> *const u8 {
        self.start.as_ptr()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned, and nothing runs in it: to run it takes a reference to `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The permissions of the mapping that holds `address`, none if there is no such mapping.
    fn permissions(address: usize) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        maps.lines().find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (low, high) = range.split_once('-')?;
            let bound = |s| usize::from_str_radix(s, 16).ok();
            (bound(low)?..bound(high)?).contains(&address).then(|| rest[..4].to_string())
        })
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn pages_are_never_writable_and_executable_and_are_given_back() {
        // mov eax, 42; ret
        let pages = Pages::new(&[0xB8, 42, 0, 0, 0, 0xC3]).unwrap();
        let start = pages.start();
        assert_eq!(permissions(start as usize).unwrap(), "r-xp");
        // SAFETY: the code is a function without arguments that returns an i32.
        let f: extern "sysv64" fn() -> i32 = unsafe { std::mem::transmute(start) };
        assert_eq!(f(), 42);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains("rwxp"));
        drop(pages);
        assert!(permissions(start as usize).is_none_or(|p| p != "r-xp"));
    }
}
