//! The network's packets: [`crate::sphinx`] with one size, one version, and delays within bounds.

use crate::Key;
use crate::sphinx::{
    self, Builder, Destination, HEADER_LEN, IDENTIFIER_LEN, Identifier, PAYLOAD_OVERHEAD, Recovery, Routed,
    Surb, Version,
};
use crate::x25519::{Backend, Table};
use parking_lot::RwLock;
use rand::{Rng, RngExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use x25519_dalek::StaticSecret;

/// Bytes of a packet's payload as the relays see it.
pub const PAYLOAD_LEN: usize = 2048;
/// Bytes of a whole packet on the wire.
pub const PACKET_LEN: usize = HEADER_LEN + PAYLOAD_LEN;
/// The longest message that a packet carries.
pub const MAX_MESSAGE: usize = PAYLOAD_LEN - PAYLOAD_OVERHEAD;
/// The most hops of a packet.
pub const MAX_HOPS: usize = sphinx::MAX_HOPS;
/// The longest delay that a relay accepts from a sender: more would only fill its queue.
pub const MAX_DELAY: Duration = Duration::from_secs(60);
/// The identifier of a packet that is no answer.
pub const MESSAGE: Identifier = [0; IDENTIFIER_LEN];
/// Tables that a sender keeps: 8 MiB. Those of further relays are made anew for each packet.
const MAX_TABLES: usize = 256;

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
    /// Its sender built it in a version that this network does not use.
    #[error("the packet is of version {0}; this network uses {used}", used = Version::default().number())]
    Version(u16),
    /// The payload's authentication failed at the last hop.
    #[error("the payload was altered")]
    Payload,
    /// The sender asked for a delay above [`MAX_DELAY`].
    #[error("the packet asks for a delay of {0:?}; {MAX_DELAY:?} is the most")]
    Delay(Duration),
    /// The path has no hop or more than [`MAX_HOPS`].
    #[error("a path has 1 to {MAX_HOPS} hops, this one has {0}")]
    Path(usize),
    /// The directory names a relay whose key no honest relay has.
    #[error("the key of relay {0} cannot be used")]
    RelayKey(String),
    /// The bytes are not a reply block of this network.
    #[error("this is not a reply block of this network")]
    ReplyBlock,
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

/// The tables of the relays that a sender uses, by their Sphinx keys: made when first needed, 0.7 ms each.
#[derive(Default)]
pub struct Tables(RwLock<HashMap<Key, Arc<Table>>>);

impl Tables {
    fn get(&self, hop: &Hop) -> Result<Arc<Table>, PacketError> {
        if let Some(table) = self.0.read().get(&hop.sphinx_key) {
            return Ok(table.clone());
        }
        let table = Table::new(&hop.sphinx_key).map(Arc::new);
        let table = table.ok_or_else(|| PacketError::RelayKey(crate::short(&hop.relay)))?;
        let mut tables = self.0.write();
        if tables.len() < MAX_TABLES {
            tables.insert(hop.sphinx_key, table.clone());
        }
        Ok(table)
    }

    /// Forgets the tables of keys that are used no more.
    pub fn retain(&self, in_use: impl Fn(&Key) -> bool) {
        self.0.write().retain(|key, _| in_use(key));
    }

    /// Wraps `message` for the hops in order; the last one puts it into `mailbox`.
    ///
    /// # Errors
    /// [`PacketError::TooLong`], [`PacketError::Path`], [`PacketError::RelayKey`].
    pub fn build(&self, message: &[u8], hops: &[Hop], mailbox: &Key) -> Result<Vec<u8>, PacketError> {
        if message.len() > MAX_MESSAGE {
            return Err(PacketError::TooLong(message.len()));
        }
        let to = Destination { address: *mailbox, identifier: MESSAGE };
        let mut packet = Vec::with_capacity(PACKET_LEN);
        self.with_path(hops, |path| {
            Builder::new(Version::default(), PAYLOAD_LEN)
                .build(&mut rand::rng(), message, path, &to, &mut packet)
                .map_err(|_| PacketError::Path(hops.len()))
        })?;
        Ok(packet)
    }

    /// A reply block over the hops in order; the last one puts the answer into `mailbox`, with this identifier, which
    /// must not be [`MESSAGE`]. The [`Recovery`] reads the answer.
    ///
    /// # Errors
    /// [`PacketError::Path`] (here also for a single hop), [`PacketError::RelayKey`], [`PacketError::ReplyBlock`] for
    /// the identifier.
    pub fn reply_block(
        &self,
        hops: &[Hop],
        mailbox: &Key,
        identifier: Identifier,
    ) -> Result<(Surb, Recovery), PacketError> {
        if identifier == MESSAGE {
            return Err(PacketError::ReplyBlock);
        }
        // A single relay would read the answer.
        if hops.len() < 2 {
            return Err(PacketError::Path(hops.len()));
        }
        let to = Destination { address: *mailbox, identifier };
        self.with_path(hops, |path| {
            Surb::new(&mut rand::rng(), path, &to).map_err(|_| PacketError::Path(hops.len()))
        })
    }

    fn with_path<T>(
        &self,
        hops: &[Hop],
        with: impl FnOnce(&[sphinx::Hop<'_>]) -> Result<T, PacketError>,
    ) -> Result<T, PacketError> {
        let tables: Vec<_> = hops.iter().map(|h| self.get(h)).collect::<Result<_, _>>()?;
        let path: Vec<_> = hops
            .iter()
            .zip(&tables)
            .map(|(h, key)| sphinx::Hop { address: h.relay, key, delay: h.delay })
            .collect();
        with(&path)
    }
}

/// The packet that answers with `message` by a reply block, and the relay that it goes to first.
///
/// # Errors
/// [`PacketError::ReplyBlock`], [`PacketError::TooLong`].
pub fn answer(block: &[u8], message: &[u8]) -> Result<(Key, Vec<u8>), PacketError> {
    if message.len() > MAX_MESSAGE {
        return Err(PacketError::TooLong(message.len()));
    }
    let block = Surb::from_bytes(block).map_err(|_| PacketError::ReplyBlock)?;
    let first = block.first_hop();
    let packet = block.answer(message, PAYLOAD_LEN).map_err(|_| PacketError::ReplyBlock)?;
    Ok((first, packet))
}

/// [`Tables::build`] for a packet or two.
///
/// # Errors
/// As there.
pub fn build(message: &[u8], hops: &[Hop], mailbox: &Key) -> Result<Vec<u8>, PacketError> {
    Tables::default().build(message, hops, mailbox)
}

/// What a home relay puts into a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// [`MESSAGE`], or the identifier of the reply block that was used.
    pub identifier: Identifier,
    /// The message, sealed end to end by whoever sent it; or the payload of an answer, for the block's [`Recovery`].
    pub bytes: Vec<u8>,
}

/// A relay's Sphinx secret of one epoch.
#[derive(Clone)]
pub struct EpochSecret {
    /// Which epoch.
    pub epoch: u32,
    /// The secret.
    pub secret: StaticSecret,
}

/// A packet whose header is opened and authentic. The payload is not touched yet.
pub struct Opened {
    epoch: u32,
    keys: sphinx::Opened,
    routed: Routed,
    packet: Vec<u8>,
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
        /// What to put there.
        mail: Mail,
    },
}

/// First step, for as many packets as there are: key agreement, the header's authentication, its layer. The first of
/// the secrets is the one that most packets are for; only packets that are not for it are tried with the others.
pub fn open(secrets: &[EpochSecret], packets: Vec<Vec<u8>>) -> Vec<Result<Opened, PacketError>> {
    let mut opened: Vec<Option<(u32, sphinx::Opened)>> = packets.iter().map(|_| None).collect();
    for EpochSecret { epoch, secret } in secrets {
        let left: Vec<usize> = (0..packets.len()).filter(|i| opened[*i].is_none()).collect();
        let tried =
            sphinx::open(Backend::best(), secret.as_bytes(), left.iter().map(|i| packets[*i].as_slice()));
        for (i, keys) in left.iter().zip(tried) {
            opened[*i] = keys.ok().filter(|k| k.is_authentic(&packets[*i])).map(|k| (*epoch, k));
        }
    }
    let header = |(opened, mut packet): (Option<(u32, sphinx::Opened)>, Vec<u8>)| {
        if packet.len() != PACKET_LEN {
            return Err(PacketError::Length(packet.len()));
        }
        let (epoch, keys) = opened.ok_or(PacketError::Header)?;
        let routed = keys.route_authentic(&mut packet).map_err(|_| PacketError::Header)?;
        if routed.version() != Version::default() {
            return Err(PacketError::Version(routed.version().number()));
        }
        match routed {
            Routed::Forward { delay, .. } if delay > MAX_DELAY => Err(PacketError::Delay(delay)),
            _ => Ok(Opened { epoch, keys, routed, packet }),
        }
    };
    opened.into_iter().zip(packets).map(header).collect()
}

impl Opened {
    /// The epoch of the key that it was built for.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How long it asks to be held.
    pub fn delay(&self) -> Duration {
        match self.routed {
            Routed::Forward { delay, .. } => delay,
            Routed::Last { .. } => Duration::ZERO,
        }
    }

    /// The tag by which a replay is recognised: 8 of its 32 bytes. That two of a hundred million packets have the
    /// same happens to one relay in a few thousand, and costs it one packet.
    pub fn replay_tag(&self) -> u64 {
        self.keys.replay_tag().first_chunk().map_or(0, |start| u64::from_le_bytes(*start))
    }
}

/// Second step, for those that were not here before: takes a layer off the payloads.
pub fn unwrap(mut opened: Vec<Opened>) -> Vec<Result<Unwrapped, PacketError>> {
    let mut jobs: Vec<sphinx::Job<'_>> =
        opened.iter_mut().map(|o| (&o.keys, o.routed, &mut o.packet[..])).collect();
    sphinx::finish(Backend::best(), &mut jobs);
    let tell = |Opened { routed, packet, .. }: Opened| match routed {
        Routed::Forward { next, delay, .. } => Ok(Unwrapped::Forward { next, delay, packet }),
        Routed::Last { destination: mailbox, identifier: MESSAGE, .. } => sphinx::message(&packet)
            .map(|message| Unwrapped::Deliver {
                mailbox,
                mail: Mail { identifier: MESSAGE, bytes: message.to_vec() },
            })
            .map_err(|_| PacketError::Payload),
        // An answer: only the block's maker can read it.
        Routed::Last { destination: mailbox, identifier, .. } => {
            let bytes = packet[HEADER_LEN..].to_vec();
            Ok(Unwrapped::Deliver { mailbox, mail: Mail { identifier, bytes } })
        }
    };
    opened.into_iter().map(tell).collect()
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
    use x25519_dalek::PublicKey;

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

    /// What one relay makes of one packet.
    fn at(secret: &StaticSecret, packet: &[u8]) -> Result<Unwrapped, PacketError> {
        // Keys of other epochs are in the way.
        let old = EpochSecret { epoch: 6, secret: StaticSecret::from([8; 32]) };
        let secrets = [old.clone(), EpochSecret { epoch: 7, secret: secret.clone() }, old];
        let opened = open(&secrets, vec![packet.to_vec()]).into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(opened[0].epoch(), 7);
        unwrap(opened).pop().expect("one")
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
                match at(secret, &packet)? {
                    Unwrapped::Forward { next, delay, packet: p } => {
                        prop_assert_eq!(next, hops[i + 1].relay);
                        prop_assert_eq!(delay, hops[i].delay);
                        packet = p;
                    }
                    Unwrapped::Deliver { mailbox, mail } => {
                        prop_assert_eq!(i, n - 1);
                        prop_assert_eq!(mailbox, [9; 32]);
                        prop_assert_eq!(&mail, &Mail { identifier: MESSAGE, bytes: message.clone() });
                    }
                }
            }
        }

        #[test]
        fn an_answer_arrives_for_its_maker_alone(
            message in proptest::collection::vec(any::<u8>(), 0..=MAX_MESSAGE), n in 2usize..=MAX_HOPS
        ) {
            let (secrets, hops) = relays(n);
            prop_assert!(Tables::default().reply_block(&hops[..1], &[9; 32], [5; IDENTIFIER_LEN]).is_err());
            let (block, recovery) = Tables::default().reply_block(&hops, &[9; 32], [5; IDENTIFIER_LEN])?;
            let (first, mut packet) = answer(&block.to_bytes(), &message)?;
            prop_assert_eq!(first, hops[0].relay);
            for (i, secret) in secrets.iter().enumerate() {
                match at(secret, &packet)? {
                    Unwrapped::Forward { packet: p, .. } => packet = p,
                    Unwrapped::Deliver { mailbox, mut mail } => {
                        prop_assert_eq!((i, mailbox), (n - 1, [9; 32]));
                        prop_assert_eq!(mail.identifier, [5; IDENTIFIER_LEN]);
                        prop_assert!(message.len() < 8 || !mail.bytes.windows(message.len()).any(|w| w == message));
                        prop_assert_eq!(recovery.open(&mut mail.bytes).map(<[u8]>::to_vec), Ok(message.clone()));
                    }
                }
            }
        }

        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), PACKET_LEN)) {
            prop_assert_eq!(at(&StaticSecret::from([7; 32]), &bytes), Err(PacketError::Header));
        }
    }

    #[test]
    fn too_long_too_far_too_slow_and_too_old_are_refused() {
        let (secrets, mut hops) = relays(3);
        assert_eq!(
            build(&vec![0; MAX_MESSAGE + 1], &hops, &[0; 32]),
            Err(PacketError::TooLong(MAX_MESSAGE + 1))
        );
        assert_eq!(build(b"", &[], &[0; 32]), Err(PacketError::Path(0)));
        assert_eq!(build(b"", &[hops[0]; 6], &[0; 32]), Err(PacketError::Path(6)));
        hops[0].delay = MAX_DELAY * 2;
        let packet = build(b"", &hops, &[0; 32]).expect("builds");
        assert_eq!(at(&secrets[0], &packet), Err(PacketError::Delay(MAX_DELAY * 2)));
        assert_eq!(at(&secrets[0], &packet[1..]), Err(PacketError::Length(PACKET_LEN - 1)));
        hops[2].sphinx_key = [0; 32];
        assert!(matches!(build(b"", &hops, &[0; 32]), Err(PacketError::RelayKey(_))));

        let tables: Vec<_> = hops[..2].iter().map(|h| Table::new(&h.sphinx_key).expect("a key")).collect();
        let path: Vec<_> =
            tables.iter().map(|key| sphinx::Hop { address: [1; 32], key, delay: Duration::ZERO }).collect();
        let to = Destination { address: [1; 32], identifier: [0; IDENTIFIER_LEN] };
        let mut old = Vec::new();
        Builder::new(Version::X25519, PAYLOAD_LEN)
            .build(&mut rand::rng(), b"", &path, &to, &mut old)
            .expect("builds");
        assert_eq!(at(&secrets[0], &old), Err(PacketError::Version(258)));
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
