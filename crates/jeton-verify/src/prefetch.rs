//! Asks the processor to fetch a cache line that will be read soon, without waiting for it.
//!
//! A read would do the same, but the processor cannot finish what comes after it before the line is there, and has room for
//! some hundred operations that wait: less than one hash. A prefetch waits for nothing.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "the instruction has no safe name; it reads no value, faults on no address, and changes nothing but a cache"
    )
)]

/// Fetches the first line of a thing into all caches. Does nothing where the processor has no such instruction.
#[inline]
pub(crate) fn prefetch<T>(thing: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and a prefetch is defined for any address (Intel SDM vol. 2, PREFETCHh).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(thing).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = thing;
}
