//! Memory asked for before it is needed.

/// A line of the cache; a wrong number costs time alone.
pub(super) const CACHE_LINE_BYTES: usize = 64;

/// Asks for the line at an address, without waiting for it. Any address will do; where the processor
/// has no such instruction, nothing happens.
#[inline]
#[allow(unsafe_code, reason = "prefetching has no safe function on stable Rust")]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see and faults on no address. Run by
    // every test that samples a metric, and by the fuzz targets `aggregation` and `drain`.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        for address in [0, 1, usize::MAX, std::ptr::from_ref(&()).addr()] {
            prefetch(std::ptr::without_provenance::<u64>(address));
        }
    }
}
