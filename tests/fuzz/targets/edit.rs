#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cargo_lambda_bundle_fuzz::edit(bytes));
