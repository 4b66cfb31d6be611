//! Feeds `bodies::token_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::token_text(bytes));
