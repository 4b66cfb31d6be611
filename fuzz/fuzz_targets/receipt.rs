//! Feeds `bodies::tlog::receipt`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::tlog::receipt(bytes));
