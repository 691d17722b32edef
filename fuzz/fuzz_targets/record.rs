//! A member's signed statement.
#![no_main]
use fog_tokenomics::Record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(record.encode().expect("it came from as many bytes"), bytes, "one form only");
    }
});
