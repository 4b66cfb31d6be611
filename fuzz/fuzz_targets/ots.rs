//! Feeds `bodies::ots`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::ots(bytes));
