//! Feeds `bodies::tlog::checkpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::tlog::checkpoint(bytes));
