//! A contact's message about a job, and its papers.
#![no_main]
use fog_jobs::{JobMessage, Settlement, SignedSpec, message::old_settlement};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = JobMessage::decode(bytes) {
        assert_eq!(JobMessage::decode(&message.encode().expect("it came from as many bytes")).ok(), Some(message));
    }
    if let Ok(spec) = SignedSpec::decode(bytes) {
        let _ = spec.verify();
    }
    if let Some(settlement) = old_settlement(bytes) {
        let _ = settlement.verify();
    }
    if let Ok(settlement) = Settlement::decode(bytes) {
        let _ = settlement.verify();
    }
});
