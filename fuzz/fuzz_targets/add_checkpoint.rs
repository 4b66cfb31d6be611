//! Feeds `bodies::tlog::add_checkpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::tlog::add_checkpoint(bytes));
