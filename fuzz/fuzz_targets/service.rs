//! What a stranger sends to a hidden service, to a storing relay, and to the SOCKS5 port.
#![no_main]
use fog_services::descriptor::SealedDescriptor;
use fog_services::socks::Handshake;
use fog_services::stream::{Config, Mux, Side, Target};
use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(descriptor) = SealedDescriptor::from_bytes(bytes) {
        let _ = descriptor.check(1_800_000_000);
    }
    let _ = Handshake::new().receive(bytes, &mut Vec::new());
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<fog_services::address::Address>();
    }

    let now = Instant::now();
    for side in [Side::Client, Side::Service] {
        let mut mux = Mux::new(side, 1866, Config::default(), now);
        let _ = mux.open(Target::Service { port: 1 });
        // Datagrams are cut where the input says: a byte is the length of the next.
        let mut rest = bytes;
        while let Some((len, more)) = rest.split_first() {
            let (datagram, more) = more.split_at(more.len().min(usize::from(*len)));
            mux.receive(now, datagram);
            while mux.poll_transmit(now).is_some() {}
            rest = more;
        }
        assert!(mux.held().0 <= 256 * 64 * 1024);
    }
});
