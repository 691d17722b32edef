//! A stranger's checkpoint.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut reader) = fog_jobs::checkpoint::Reader::open(std::io::Cursor::new(bytes)) {
        let _ = reader.pages(|_, _| Ok(()));
    }
});
