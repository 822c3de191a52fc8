//! A global allocator that counts: what each thread allocates, and how many bytes it holds.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, with counts per thread.
pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Allocations that this thread has made so far, growing ones included.
#[allow(dead_code, reason = "not every program that weighs what it allocates counts it")]
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Bytes that this thread has allocated and not freed. Below zero if it freed what others
/// allocated.
#[allow(dead_code, reason = "not every program that counts allocations weighs them")]
pub fn live_bytes() -> i64 {
    LIVE.get()
}

fn note(allocations: u64, bytes: i64) {
    // A thread that is ending has no counters any more; what it frees then is not counted.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

fn size(layout: Layout) -> i64 {
    layout.size() as i64
}

// SAFETY: every call goes to `System` with the caller's arguments; the counters are `Cell`s without
// a destructor, so that touching them never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(0, -size(layout));
        // SAFETY: `at` came from `System`, with this layout.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, new_size as i64 - size(layout));
        // SAFETY: `at` came from `System`, with this layout.
        unsafe { System.realloc(at, layout, new_size) }
    }
}
