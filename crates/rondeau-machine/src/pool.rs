//! Threads that wait for parts of a code to run.
//!
//! The pool is the process's. It starts threads when they are first needed and keeps them; an idle one spins for
//! some microseconds and then sleeps. The room knows numbered parts of a job. It must not know codes.
//!
//! # How a job is handed over
//! Each worker has a [`Seat`] that holds a pointer: null while there is nothing to do, a [`Job`] that is offered,
//! or [`TAKEN`]. The caller writes its job, which lies on its stack, to the seats, and works too: caller and
//! workers claim parts, each by a bit, until there are none left. Then the caller takes back each offer by one
//! exchange of job for null. Where that succeeds, the worker has never seen the job. Where it fails, the worker
//! has exchanged job for `TAKEN` before, and the caller waits until the worker writes null, the last that it
//! does with the job. So no worker has a pointer to a job whose call has returned, and no call waits for a thread
//! that has not begun: with no worker awake, or none at all, the caller runs every part itself.
//!
//! Part 0 is first for the caller and part `w + 1` for worker `w`, and then what others have not begun. So a part
//! of one job and the same part of the next mostly run on one processor, which has their data.
//!
//! # Why there are no races
//! The job is written before the offers, which are releases, and a worker reads it after its exchange, which
//! acquires. What parts have written is written before the worker's null, a release, which the caller acquires:
//! either in the exchange that fails or in the loads after it. Only one thread finds the bit of a part unset. Only
//! the holder of the lock offers, so that a seat it finds null stays its own until it lets go.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread::{self, Thread};

use crate::code::MAX_PARTS;

/// How often a thread looks before it sleeps; a look takes 10 to 50 ns.
const LOOKS: u32 = 2000;

/// The value of the environment variable `RONDEAU_THREADS`, which says how many threads a call may use.
pub fn requested_threads() -> Option<String> {
    std::env::var("RONDEAU_THREADS").ok()
}

/// Returns how many threads a call may use where nothing else is said: what the system offers, at most
/// [`MAX_PARTS`].
pub fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_PARTS)
}

/// Numbered parts, and who works on them.
struct Job<'a> {
    part: &'a (dyn Fn(usize) + Sync),
    n_parts: usize,
    /// A bit for each part that somebody has claimed.
    claimed: AtomicU64,
    caller: Thread,
    /// What the first part that panicked did so with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    /// Runs parts as long as there are some, part `first` first.
    fn work(&self, first: usize) {
        for i in (first..self.n_parts).chain(0..first.min(self.n_parts)) {
            // Only the bit itself matters: what the part reads was there before the job was offered.
            if self.claimed.fetch_or(1 << i, Ordering::Relaxed) & 1 << i != 0 {
                continue;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.part)(i))) {
                let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(panic);
            }
        }
    }
}

/// Where a worker gets its jobs.
struct Seat {
    /// The part that its worker claims first.
    first: usize,
    job: AtomicPtr<Job<'static>>,
}

/// In a seat: the worker has the job that was there.
const TAKEN: *mut Job<'static> = ptr::without_provenance_mut(1);

/// A worker that has been started.
struct Worker {
    seat: &'static Seat,
    thread: Thread,
}

/// The workers; who holds the lock is the one whose job they do.
static WORKERS: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

/// Calls `part` once with each number below `n_parts`, on this thread and others, in any order and at the same
/// time. While the pool works for somebody else, or where there are no threads to have, this thread does all.
///
/// # Panics
/// With what a part panicked with, after all parts have ended.
pub(crate) fn run(n_parts: usize, part: &(dyn Fn(usize) + Sync)) {
    let workers = match WORKERS.try_lock() {
        _ if n_parts <= 1 || n_parts > MAX_PARTS => None,
        Ok(workers) => Some(workers),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    let Some(mut workers) = workers else {
        return (0..n_parts).for_each(part);
    };
    hire(&mut workers, n_parts - 1);
    let helpers = &workers[..workers.len().min(n_parts - 1)];
    let job = Job {
        part,
        n_parts,
        claimed: AtomicU64::new(0),
        caller: thread::current(),
        panic: Mutex::new(None),
    };
    let address = ptr::from_ref(&job).cast_mut().cast::<Job<'static>>();
    for helper in helpers {
        helper.seat.job.store(address, Ordering::Release);
        helper.thread.unpark();
    }
    // Nothing from here to the last `wait` unwinds: parts are caught.
    job.work(0);
    helpers.iter().for_each(|helper| helper.seat.wait(address));
    drop(workers);
    if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

/// Starts workers until there are `n`, or no more to have.
fn hire(workers: &mut Vec<Worker>, n: usize) {
    while workers.len() < n {
        let seat: &'static Seat =
            Box::leak(Box::new(Seat { first: workers.len() + 1, job: AtomicPtr::default() }));
        let started = thread::Builder::new().name("rondeau".into()).spawn(|| seat.serve());
        let Ok(handle) = started else { return };
        workers.push(Worker { seat, thread: handle.thread().clone() });
    }
}

impl Seat {
    /// Does the jobs of this seat, for ever.
    fn serve(&self) {
        loop {
            let job = self.take();
            // SAFETY: the exchange in `take` has told the caller that this thread has the job; `run` keeps it until
            // the seat is null again. Its lifetime does not outlast this block.
            let caller = unsafe {
                let job: &Job<'_> = &*job;
                let caller = job.caller.clone();
                job.work(self.first);
                caller
            };
            self.job.store(ptr::null_mut(), Ordering::Release);
            caller.unpark();
        }
    }

    /// Waits for an offer, and takes it.
    fn take(&self) -> *mut Job<'static> {
        let mut looks = 0;
        loop {
            let job = self.job.load(Ordering::Relaxed);
            if !job.is_null() {
                let taken =
                    self.job.compare_exchange(job, TAKEN, Ordering::AcqRel, Ordering::Relaxed);
                if taken.is_ok() {
                    return job;
                }
            }
            pause(&mut looks);
        }
    }

    /// Takes back the offer of `job`, or waits until the worker is done with it.
    fn wait(&self, job: *mut Job<'static>) {
        let retracted =
            self.job.compare_exchange(job, ptr::null_mut(), Ordering::AcqRel, Ordering::Acquire);
        if retracted.is_ok() {
            return;
        }
        let mut looks = 0;
        while !self.job.load(Ordering::Acquire).is_null() {
            pause(&mut looks);
        }
    }
}

/// Lets a little time pass before the next look; after many looks, sleeps until somebody calls `unpark`.
fn pause(looks: &mut u32) {
    if *looks < LOOKS {
        *looks += 1;
        std::hint::spin_loop();
    } else {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, AtomicUsize};

    #[test]
    fn every_part_runs_once_and_is_seen_by_the_caller() {
        for n in [0, 1, 2, 3, 16, 40] {
            for _ in 0..200 {
                let counts: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
                run(n, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{n} parts");
            }
        }
    }

    #[test]
    fn callers_at_the_same_time_and_inside_of_each_other_do_not_wait_for_each_other() {
        let call = |t: usize| {
            for round in 0..500 {
                let sums: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
                run(4, &|i| {
                    run(3, &|j| {
                        sums[i].fetch_add(t * round + j, Ordering::Relaxed);
                    });
                });
                for sum in &sums {
                    assert_eq!(sum.load(Ordering::Relaxed), 3 * t * round + 3);
                }
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|t| scope.spawn(move || call(t))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_after_all_parts_and_the_pool_goes_on() {
        for bad in 0..5 {
            let done = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                run(5, &|i| {
                    if i == bad {
                        resume_unwind(Box::new(i));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&bad));
            // A pool that works for another test runs all here, and stops at the panic.
            assert!(done.load(Ordering::Relaxed) <= 4);
            run(5, &|_| ());
        }
    }
}
