//! Sphinx packets: fixed size, up to five hops, exponential delays drawn by the sender.
//!
//! Bytes and cryptography are those of the `sphinx-packet` crate (wire version 260).

use crate::Key;
use rand::{Rng, RngExt};
use sphinx_packet::constants::IDENTIFIER_LENGTH;
use sphinx_packet::header::HEADER_SIZE;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::payload::PAYLOAD_OVERHEAD_SIZE;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{ProcessedPacketData, SphinxPacket, SphinxPacketBuilder};
use std::time::Duration;
use x25519_dalek::{PublicKey, StaticSecret};

/// Bytes of a packet's payload as the relays see it.
pub const PAYLOAD_LEN: usize = 2048;
/// Bytes of a whole packet on the wire.
pub const PACKET_LEN: usize = HEADER_SIZE + PAYLOAD_LEN;
/// The longest message that a packet carries.
pub const MAX_MESSAGE: usize = PAYLOAD_LEN - PAYLOAD_OVERHEAD_SIZE;
/// The most hops of a packet.
pub const MAX_HOPS: usize = sphinx_packet::constants::MAX_PATH_LENGTH;
/// The longest delay that a relay accepts from a sender: more would only fill its queue.
pub const MAX_DELAY: Duration = Duration::from_secs(60);

/// Why a packet could not be built or was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Not [`PACKET_LEN`] bytes.
    #[error("a packet has {PACKET_LEN} bytes, this one has {0}")]
    Length(usize),
    /// The message does not fit.
    #[error("a message has at most {MAX_MESSAGE} bytes, this one has {0}")]
    TooLong(usize),
    /// The header's authentication failed, or the packet is for another relay or epoch.
    #[error("the packet is not for this relay, or was altered")]
    Header,
    /// The payload's authentication failed at the last hop.
    #[error("the payload was altered")]
    Payload,
    /// The sender asked for a delay above [`MAX_DELAY`].
    #[error("the packet asks for a delay of {0:?}; {MAX_DELAY:?} is the most")]
    Delay(Duration),
    /// The path has no hop or more than [`MAX_HOPS`].
    #[error("a path has 1 to {MAX_HOPS} hops, this one has {0}")]
    Path(usize),
}

/// One hop as the sender sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The relay's id.
    pub relay: Key,
    /// The relay's Sphinx public key.
    pub sphinx_key: Key,
    /// How long the relay is to hold the packet.
    pub delay: Duration,
}

/// Wraps `message` for the hops in order; the last one puts it into `mailbox`.
///
/// # Errors
/// [`PacketError::TooLong`] and [`PacketError::Path`].
pub fn build(message: &[u8], hops: &[Hop], mailbox: &Key) -> Result<Vec<u8>, PacketError> {
    if message.len() > MAX_MESSAGE {
        return Err(PacketError::TooLong(message.len()));
    }
    let route: Vec<Node> = hops
        .iter()
        .map(|h| Node::new(NodeAddressBytes::from_bytes(h.relay), PublicKey::from(h.sphinx_key)))
        .collect();
    let delays: Vec<Delay> = hops
        .iter()
        .map(|h| Delay::new_from_nanos(u64::try_from(h.delay.as_nanos()).unwrap_or(u64::MAX)))
        .collect();
    let destination = Destination::new(DestinationAddressBytes::from_bytes(*mailbox), [0; IDENTIFIER_LENGTH]);
    SphinxPacketBuilder::new()
        .with_payload_size(PAYLOAD_LEN)
        .build_packet(message, &route, &destination, &delays)
        .map(|p| p.to_bytes())
        .map_err(|_| PacketError::Path(hops.len()))
}

/// A packet whose header is opened: the replay tag is known, the payload is not yet touched.
pub struct Opened {
    packet: SphinxPacket,
    secret: sphinx_packet::header::shared_secret::ExpandedSharedSecret,
}

/// What a relay is to do with an unwrapped packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Unwrapped {
    /// Hold it for the delay, then pass it on.
    Forward {
        /// The next relay's id.
        next: Key,
        /// How long to hold it.
        delay: Duration,
        /// The packet for the next relay.
        packet: Vec<u8>,
    },
    /// This is the home relay: put the message into the mailbox.
    Deliver {
        /// Whose mailbox.
        mailbox: Key,
        /// The message, still sealed end to end.
        message: Vec<u8>,
    },
}

/// First step: the key agreement, which gives the replay tag.
///
/// # Errors
/// [`PacketError::Length`], [`PacketError::Header`].
pub fn open(secret: &StaticSecret, packet: &[u8]) -> Result<Opened, PacketError> {
    if packet.len() != PACKET_LEN {
        return Err(PacketError::Length(packet.len()));
    }
    let packet = SphinxPacket::from_bytes(packet).map_err(|_| PacketError::Header)?;
    let secret = packet.header.compute_expanded_shared_secret(secret);
    Ok(Opened { packet, secret })
}

impl Opened {
    /// The tag by which a replay is recognised; 16 of its 32 bytes are collision-free in practice.
    pub fn replay_tag(&self) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&self.secret.replay_tag()[..16]);
        u128::from_le_bytes(half)
    }

    /// Second step: check the header's authentication and take off one layer.
    ///
    /// # Errors
    /// [`PacketError::Header`], [`PacketError::Payload`], [`PacketError::Delay`].
    pub fn unwrap_layer(self) -> Result<Unwrapped, PacketError> {
        let processed =
            self.packet.process_with_expanded_secret(&self.secret).map_err(|_| PacketError::Header)?;
        match processed.data {
            ProcessedPacketData::ForwardHop { next_hop_packet, next_hop_address, delay } => {
                let delay = delay.to_duration();
                if delay > MAX_DELAY {
                    return Err(PacketError::Delay(delay));
                }
                Ok(Unwrapped::Forward {
                    next: next_hop_address.to_bytes(),
                    delay,
                    packet: next_hop_packet.to_bytes(),
                })
            }
            ProcessedPacketData::FinalHop { destination, payload, .. } => Ok(Unwrapped::Deliver {
                mailbox: destination.as_bytes(),
                message: payload.recover_plaintext().map_err(|_| PacketError::Payload)?,
            }),
        }
    }
}

/// Draws a delay from the exponential distribution with this mean, cut at [`MAX_DELAY`].
pub fn exponential_delay<R: Rng>(rng: &mut R, mean: Duration) -> Duration {
    let uniform: f64 = rng.random(); // in [0, 1), so 1 - u is never 0
    mean.mul_f64(-(1.0 - uniform).ln()).min(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn relays(n: usize) -> (Vec<StaticSecret>, Vec<Hop>) {
        let secrets: Vec<_> = (0..n).map(|_| StaticSecret::random()).collect();
        let hops = secrets
            .iter()
            .enumerate()
            .map(|(i, s)| Hop {
                relay: [i as u8 + 1; 32],
                sphinx_key: PublicKey::from(s).to_bytes(),
                delay: Duration::from_millis(i as u64),
            })
            .collect();
        (secrets, hops)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_length_arrives_over_every_number_of_hops(
            message in proptest::collection::vec(any::<u8>(), 0..=MAX_MESSAGE), n in 1usize..=MAX_HOPS
        ) {
            let (secrets, hops) = relays(n);
            let mut packet = build(&message, &hops, &[9; 32])?;
            for (i, secret) in secrets.iter().enumerate() {
                prop_assert_eq!(packet.len(), PACKET_LEN);
                match open(secret, &packet)?.unwrap_layer()? {
                    Unwrapped::Forward { next, delay, packet: p } => {
                        prop_assert_eq!(next, hops[i + 1].relay);
                        prop_assert_eq!(delay, hops[i].delay);
                        packet = p;
                    }
                    Unwrapped::Deliver { mailbox, message: m } => {
                        prop_assert_eq!(i, n - 1);
                        prop_assert_eq!(mailbox, [9; 32]);
                        prop_assert_eq!(&m, &message);
                    }
                }
            }
        }

        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), PACKET_LEN)) {
            let secret = StaticSecret::from([7; 32]);
            prop_assert!(open(&secret, &bytes).and_then(Opened::unwrap_layer).is_err());
        }

        #[test]
        fn a_flipped_header_bit_is_refused(bit in 0usize..HEADER_SIZE * 8) {
            let (secrets, hops) = relays(3);
            let mut packet = build(b"x", &hops, &[9; 32])?;
            packet[bit / 8] ^= 1 << (bit % 8);
            // The top bit of a Curve25519 point is ignored by RFC 7748, so it changes nothing.
            if bit != 32 * 8 - 1 {
                prop_assert!(open(&secrets[0], &packet).and_then(Opened::unwrap_layer).is_err());
            }
        }
    }

    #[test]
    fn too_long_too_far_and_too_slow_are_refused() {
        let (secrets, mut hops) = relays(3);
        assert_eq!(
            build(&vec![0; MAX_MESSAGE + 1], &hops, &[0; 32]),
            Err(PacketError::TooLong(MAX_MESSAGE + 1))
        );
        assert_eq!(build(b"", &[], &[0; 32]), Err(PacketError::Path(0)));
        assert_eq!(build(b"", &[hops[0]; 6], &[0; 32]), Err(PacketError::Path(6)));
        hops[0].delay = MAX_DELAY * 2;
        let packet = build(b"", &hops, &[0; 32]).expect("builds");
        let refused = open(&secrets[0], &packet).and_then(Opened::unwrap_layer);
        assert_eq!(refused, Err(PacketError::Delay(MAX_DELAY * 2)));
        assert!(matches!(open(&secrets[0], &packet[1..]), Err(PacketError::Length(_))));
    }

    /// Kolmogorov-Smirnov against the exponential: the statistic of 4,000 draws stays below the 0.1 % point.
    #[test]
    fn delays_are_exponential() {
        let mut rng = StdRng::seed_from_u64(1);
        let n = 4000;
        let mut draws: Vec<f64> =
            (0..n).map(|_| exponential_delay(&mut rng, Duration::from_millis(50)).as_secs_f64()).collect();
        draws.sort_by(f64::total_cmp);
        let distance = draws
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let expected = 1.0 - (-x / 0.05).exp();
                (expected - i as f64 / n as f64).abs().max((expected - (i + 1) as f64 / n as f64).abs())
            })
            .fold(0.0, f64::max);
        assert!(distance < 1.95 / f64::from(n).sqrt(), "distance {distance}");
        assert_eq!(exponential_delay(&mut rng, Duration::ZERO), Duration::ZERO);
    }
}
