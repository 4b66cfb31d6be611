//! Feeds `bodies::tlog::bundle`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::tlog::bundle(bytes));
