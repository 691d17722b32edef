//! What a peer says inside a session, and the other payloads: all are read or refused, and written as they were read.
#![no_main]
use bitchat::announce::Announcement;
use bitchat::board::BoardEntry;
use bitchat::courier::{Envelope, PrekeyBundle};
use bitchat::group::{GroupEnvelope, GroupState};
use bitchat::message::LegacyMessage;
use bitchat::private::PrivatePayload;
use bitchat::verification::QrCode;
use bitchat::{Identity, courier, noise};

macro_rules! survives {
    ($type:ty, $bytes:expr) => {
        if let Ok(read) = <$type>::decode($bytes) {
            // Lists may be cut when they are read; what is written then stays.
            if let Ok(written) = read.encode() {
                assert_eq!(<$type>::decode(&written).expect("what was written is read"), read);
            }
        }
    };
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    survives!(PrivatePayload<'_>, bytes);
    survives!(Announcement, bytes);
    survives!(BoardEntry, bytes);
    survives!(Envelope<'_>, bytes);
    survives!(PrekeyBundle, bytes);
    survives!(GroupEnvelope<'_>, bytes);
    survives!(GroupState, bytes);
    survives!(LegacyMessage, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = QrCode::read(text, 0);
        let query = format!("bitchat://verify?{text}");
        let _ = QrCode::read(&query, 0);
    }
    if let Ok(PrivatePayload::GroupInvite(state)) = PrivatePayload::decode(bytes) {
        let _ = state.check(state.creator, None);
    }
    let _ = noise::open_with_key(&[1; 32], bytes);
    if bytes.len() < 200 {
        let _ = courier::open(&Identity::from_bytes(&[1; 32], &[2; 32]), bytes);
    }
});
