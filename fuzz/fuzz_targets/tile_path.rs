//! Feeds `bodies::tlog::tile_path`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jeton_fuzz::bodies::tlog::tile_path(bytes));
