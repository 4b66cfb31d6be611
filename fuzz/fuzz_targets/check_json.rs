//! Feeds `bodies::check_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::check_json(bytes));
