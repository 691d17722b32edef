//! Any module: it is refused, or what comes out is valid (which `prepare` checks itself, and refuses with "went wrong").
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = fog_jobs::prepare::prepare(bytes) {
        assert!(!error.to_string().contains("went wrong"), "{error}");
    }
});
