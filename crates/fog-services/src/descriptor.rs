//! Where a service can be reached: its introduction points, sealed for who knows its name.
//!
//! ```text
//! version 1 | blinded key 32 | period 8 | revision 8 | salt 32 | sealed | signature 64      always 768 bytes
//! sealed: ChaCha20-Poly1305 of: valid until 8 | number 1 | number x (relay 32 | box 32 | key 32) | zeros
//! ```
//!
//! Integers are big-endian. The sealing key is derived from the identity key, which only the name tells, and from the
//! header with its random salt; so a key seals once, and the nonce is zero. A storing relay checks size, day and
//! signature ([`SealedDescriptor::check`]) without learning whose it is. The size is the same for all, so it tells
//! nothing, and fits into one message of the mixnet.

use crate::address::Address;
use crate::blinding::{BlindedSigner, blinded_key};
use crate::{BoxAddress, Key};
use betanet::sealed::{self, SEALED_LEN};
pub use betanet::sealed::{DESCRIPTOR_LEN, SealedDescriptor, SealedError};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::SigningKey;
use rand::{CryptoRng, RngExt};
use zeroize::Zeroizing;

/// The most introduction points of a service.
pub const MAX_POINTS: usize = 3;
/// How many relays store a descriptor.
pub const COPIES: usize = 4;

const TAG_LEN: usize = 16;
const CONTENT_LEN: usize = SEALED_LEN - TAG_LEN;
const POINT_LEN: usize = 96;
const _: () = assert!(8 + 1 + MAX_POINTS * POINT_LEN <= CONTENT_LEN);

const SEAL: &str = "fog-services 1 descriptor seal";
const RING: &str = "fog-services 1 descriptor ring";

/// A box that passes introductions on to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntroductionPoint {
    /// Where the box is.
    pub at: BoxAddress,
    /// The service's static X25519 key for handshakes that come over this box. A service that gives each box a key
    /// of its own loses, with a stolen one, only what came over that box.
    pub key: Key,
}

/// What a descriptor says to who can open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Unix seconds until which the introduction points are kept.
    pub valid_until: u64,
    /// One to [`MAX_POINTS`].
    pub points: Vec<IntroductionPoint>,
}

/// Why a descriptor is not made, stored or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// It is malformed, of another day, or not signed by its key.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// It is of another service, or was altered by who cannot sign.
    #[error("the descriptor is not of this service")]
    OtherService,
    /// Its introduction points are not kept any more.
    #[error("the descriptor ended at {0} (Unix seconds): the service does not renew it")]
    Expired(u64),
    /// A service has one to three introduction points.
    #[error("a service has 1 to {MAX_POINTS} introduction points, not {0}")]
    Points(usize),
    /// The service's own key cannot be used.
    #[error("the service's key cannot be used")]
    Key,
}

impl Descriptor {
    /// Seals and signs for one period. `revision` must be above that of every earlier one of the same period, else
    /// relays refuse it.
    ///
    /// # Errors
    /// [`DescriptorError::Points`], [`DescriptorError::Key`].
    pub fn seal(
        &self,
        identity: &SigningKey,
        period: u64,
        revision: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<SealedDescriptor, DescriptorError> {
        if !(1..=MAX_POINTS).contains(&self.points.len()) {
            return Err(DescriptorError::Points(self.points.len()));
        }
        let signer = BlindedSigner::new(identity, period).map_err(|_| DescriptorError::Key)?;
        let mut bytes = sealed::header(&signer.key(), period, revision, &rng.random());

        let mut content = Vec::with_capacity(CONTENT_LEN);
        content.extend(self.valid_until.to_be_bytes());
        content.push(self.points.len() as u8);
        for point in &self.points {
            content.extend(point.at.relay);
            content.extend(point.at.id);
            content.extend(point.key);
        }
        content.resize(CONTENT_LEN, 0);
        let sealed = cipher(identity.verifying_key().as_bytes(), &bytes)
            .encrypt(&Nonce::default(), Payload { msg: &content, aad: &bytes })
            .map_err(|_| DescriptorError::Key)?;
        bytes.extend(sealed);
        let signature = signer.sign(&sealed::signed_message(&bytes));
        bytes.extend(signature);
        Ok(SealedDescriptor::from_bytes(&bytes)?)
    }

    /// Checks a sealed descriptor and opens it with the service's name.
    ///
    /// # Errors
    /// [`DescriptorError::OtherService`], [`DescriptorError::Sealed`], [`DescriptorError::Expired`].
    pub fn open(
        descriptor: &SealedDescriptor,
        service: &Address,
        now_unix: u64,
    ) -> Result<Self, DescriptorError> {
        if blinded_key(service, descriptor.period()) != descriptor.blinded() {
            return Err(DescriptorError::OtherService);
        }
        descriptor.check(now_unix)?;
        let (header, sealed) = descriptor.parts();
        let content = cipher(service.key(), header)
            .decrypt(&Nonce::default(), Payload { msg: sealed, aad: header })
            .map_err(|_| DescriptorError::OtherService)?;
        let opened = Self::decode(&content).ok_or(SealedError::Malformed)?;
        if now_unix >= opened.valid_until {
            return Err(DescriptorError::Expired(opened.valid_until));
        }
        Ok(opened)
    }

    fn decode(content: &[u8]) -> Option<Self> {
        let (valid_until, rest) = content.split_first_chunk::<8>()?;
        let (&count, rest) = rest.split_first()?;
        let count = usize::from(count);
        if !(1..=MAX_POINTS).contains(&count) {
            return None;
        }
        let (points, padding) = rest.split_at_checked(count * POINT_LEN)?;
        if padding.iter().any(|b| *b != 0) {
            return None;
        }
        let points = points.chunks_exact(POINT_LEN).map(|p| {
            let key = |at: usize| p.get(at..at + 32).and_then(|k| Key::try_from(k).ok());
            Some(IntroductionPoint { at: BoxAddress { relay: key(0)?, id: key(32)? }, key: key(64)? })
        });
        Some(Self { valid_until: u64::from_be_bytes(*valid_until), points: points.collect::<Option<_>>()? })
    }
}

fn cipher(identity: &Key, header: &[u8]) -> ChaCha20Poly1305 {
    let key = blake3::Hasher::new_derive_key(SEAL).update(identity).update(header).finalize();
    let key = Zeroizing::new(*key.as_bytes());
    ChaCha20Poly1305::new((&*key).into())
}

/// The relays that store the descriptor of a blinded key: the [`COPIES`] with the lowest hash of key, period, seed and
/// their id (rendezvous hashing, Thaler and Ravishankar 1998), best first; all of them where there are fewer.
///
/// So service and client choose the same without asking anybody, a relay that comes or goes moves only what it
/// stores, and the places change daily. `seed` is a public random value of the network for that period: where there is
/// one, nobody can make a relay's id beforehand that will store a chosen service's descriptor. Zeros where there is
/// none.
pub fn responsible(relays: &[Key], blinded: &Key, period: u64, seed: &Key) -> Vec<Key> {
    let score = |relay: &Key| -> Key {
        blake3::Hasher::new_derive_key(RING)
            .update(blinded)
            .update(&period.to_le_bytes())
            .update(seed)
            .update(relay)
            .finalize()
            .into()
    };
    let mut scored: Vec<(Key, Key)> = relays.iter().map(|r| (score(r), *r)).collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(COPIES).map(|(_, relay)| relay).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use betanet::sealed::{HEADER_LEN, PERIOD_SECONDS, SIGNED_LEN};
    use proptest::prelude::*;
    use std::collections::HashMap;

    const DAY: u64 = 20_000;
    const NOW: u64 = DAY * PERIOD_SECONDS + 1000;

    fn identity(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn address(seed: u8) -> Address {
        Address::from_key(identity(seed).verifying_key().to_bytes()).expect("a good key")
    }

    fn descriptor(points: usize) -> Descriptor {
        let point = |n: u8| IntroductionPoint {
            at: BoxAddress { relay: [n; 32], id: [n + 50; 32] },
            key: [n + 100; 32],
        };
        Descriptor { valid_until: NOW + 100, points: (0..points as u8).map(point).collect() }
    }

    fn sealed(revision: u64) -> SealedDescriptor {
        descriptor(3).seal(&identity(1), DAY, revision, &mut rand::rng()).expect("seals")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn opens_for_who_knows_the_name(
            points in 1..=MAX_POINTS, revision in any::<u64>(), valid_until in NOW + 1..,
        ) {
            let plain = Descriptor { valid_until, ..descriptor(points) };
            let sealed = plain.seal(&identity(1), DAY, revision, &mut rand::rng())?;
            prop_assert_eq!(sealed.as_bytes().len(), DESCRIPTOR_LEN);
            let again = SealedDescriptor::from_bytes(sealed.as_bytes())?;
            prop_assert_eq!(again.check(NOW), Ok(()));
            prop_assert_eq!((again.period(), again.revision()), (DAY, revision));
            prop_assert_eq!(again.blinded(), blinded_key(&address(1), DAY));
            prop_assert_eq!(Descriptor::open(&again, &address(1), NOW), Ok(plain));
            prop_assert_eq!(Descriptor::open(&again, &address(2), NOW), Err(DescriptorError::OtherService));
        }

        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..900), whole in any::<bool>()) {
            let mut bytes = bytes;
            if whole {
                bytes.resize(DESCRIPTOR_LEN, 7);
                bytes[0] = sealed::VERSION;
                bytes[33..41].copy_from_slice(&DAY.to_be_bytes());
            }
            match SealedDescriptor::from_bytes(&bytes) {
                Err(e) => prop_assert_eq!(e, SealedError::Malformed),
                Ok(d) => {
                    prop_assert!(d.check(NOW).is_err());
                    prop_assert!(Descriptor::open(&d, &address(1), NOW).is_err());
                }
            }
        }

        /// What the owner of a name seals may be anything: it is decoded to what it was made of, or refused.
        #[test]
        fn any_content_is_decoded_or_refused(mut content in proptest::collection::vec(any::<u8>(), 0..=CONTENT_LEN), count in 0u8..5, padded in any::<bool>()) {
            if let Some(c) = content.get_mut(8) {
                *c = count;
            }
            if let Some(padding) = content.get_mut(9 + usize::from(count) * POINT_LEN..) {
                padding.fill(u8::from(!padded));
            }
            let padded = padded || content.len() <= 9 + usize::from(count) * POINT_LEN;
            let whole = padded && content.len() >= 9 + usize::from(count) * POINT_LEN && (1..=3).contains(&count);
            let decoded = Descriptor::decode(&content);
            prop_assert_eq!(decoded.is_some(), whole);
            if let Some(d) = decoded {
                prop_assert_eq!(d.points.len(), usize::from(count));
                prop_assert_eq!(&d.points[0].at.relay[..], &content[9..41]);
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let good = sealed(1);
        for at in 0..DESCRIPTOR_LEN * 8 {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            let bad = SealedDescriptor::from_bytes(&bytes).and_then(|d| d.check(NOW));
            assert!(bad.is_err(), "bit {at}");
        }
    }

    /// The seal holds on its own: a signature by the service under a content of somebody else's does not open.
    #[test]
    fn the_seal_is_bound_to_header_and_service() {
        let (a, b) = (sealed(1), sealed(2));
        let mut mixed = b.as_bytes().to_vec();
        mixed[HEADER_LEN..SIGNED_LEN].copy_from_slice(&a.as_bytes()[HEADER_LEN..SIGNED_LEN]);
        let signature = BlindedSigner::new(&identity(1), DAY)
            .expect("blinds")
            .sign(&sealed::signed_message(&mixed[..SIGNED_LEN]));
        mixed[SIGNED_LEN..].copy_from_slice(&signature);
        let mixed = SealedDescriptor::from_bytes(&mixed).expect("well-formed");
        assert_eq!(mixed.check(NOW), Ok(()));
        assert_eq!(Descriptor::open(&mixed, &address(1), NOW), Err(DescriptorError::OtherService));
        // Whoever has only what a relay has, has not the sealing key.
        let (header, rest) = a.as_bytes().split_at(HEADER_LEN);
        let opens = |key: &Key| {
            let sealed_part = Payload { msg: &rest[..CONTENT_LEN + TAG_LEN], aad: header };
            cipher(key, header).decrypt(&Nonce::default(), sealed_part).is_ok()
        };
        assert!(opens(address(1).key()));
        assert!(!opens(&a.blinded()) && !opens(&[0; 32]) && !opens(address(2).key()));
        assert_ne!(
            a.as_bytes()[HEADER_LEN..],
            sealed(1).as_bytes()[HEADER_LEN..],
            "the salt is new each time"
        );
    }

    #[test]
    fn it_holds_for_its_day_and_until_it_ends() {
        let d = sealed(1);
        for (now, ok) in [(DAY - 2, false), (DAY - 1, true), (DAY, true), (DAY + 1, true), (DAY + 2, false)] {
            let result = d.check(now * PERIOD_SECONDS);
            assert_eq!(result.is_ok(), ok, "{result:?}");
        }
        assert_eq!(Descriptor::open(&d, &address(1), NOW + 99).map(|d| d.points.len()), Ok(3));
        assert_eq!(Descriptor::open(&d, &address(1), NOW + 100), Err(DescriptorError::Expired(NOW + 100)));
        for n in [0, 4] {
            let refused = descriptor(n).seal(&identity(1), DAY, 1, &mut rand::rng());
            assert_eq!(refused.map(|_| ()), Err(DescriptorError::Points(n)));
        }
    }

    #[test]
    fn only_a_newer_one_of_the_same_key_and_day_supersedes() {
        let other = descriptor(1).seal(&identity(2), DAY, 9, &mut rand::rng()).expect("seals");
        let tomorrow = descriptor(1).seal(&identity(1), DAY + 1, 9, &mut rand::rng()).expect("seals");
        assert!(sealed(2).supersedes(&sealed(1)));
        // Today's key can sign what it likes, also with another day in it.
        let mut moved = sealed(9).as_bytes().to_vec();
        moved[33..41].copy_from_slice(&(DAY + 1).to_be_bytes());
        let signature = BlindedSigner::new(&identity(1), DAY)
            .expect("blinds")
            .sign(&sealed::signed_message(&moved[..SIGNED_LEN]));
        moved[SIGNED_LEN..].copy_from_slice(&signature);
        let moved = SealedDescriptor::from_bytes(&moved).expect("well-formed");
        assert_eq!(moved.check(NOW), Ok(()));
        assert!(!moved.supersedes(&sealed(2)));
        assert_eq!(Descriptor::open(&moved, &address(1), NOW), Err(DescriptorError::OtherService));
        for refused in [&sealed(1), &sealed(2), &other, &tomorrow] {
            assert!(!refused.supersedes(&sealed(2)));
        }
    }

    #[test]
    fn everybody_chooses_the_same_four_relays_and_all_relays_share_the_load() {
        let mut relays: Vec<Key> = (0..20u8).map(|n| [n; 32]).collect();
        let seed = [0; 32];
        let mut load: HashMap<Key, u32> = HashMap::new();
        for n in 0..2000u32 {
            let blinded: Key = blake3::hash(&n.to_le_bytes()).into();
            let chosen = responsible(&relays, &blinded, DAY, &seed);
            assert_eq!(chosen.len(), COPIES);
            assert_eq!(chosen.iter().collect::<std::collections::HashSet<_>>().len(), COPIES);
            chosen.iter().for_each(|r| *load.entry(*r).or_default() += 1);
            relays.reverse();
            assert_eq!(
                responsible(&relays, &blinded, DAY, &seed),
                chosen,
                "the order of the list does not count"
            );
            // One that goes is replaced; the others stay.
            let fewer: Vec<Key> = relays.iter().copied().filter(|r| *r != chosen[0]).collect();
            assert_eq!(responsible(&fewer, &blinded, DAY, &seed)[..3], chosen[1..]);
        }
        // 400 each are expected, with a standard deviation of 18.
        assert!(load.len() == 20 && load.values().all(|n| (310..490).contains(n)), "{load:?}");
        let at = |period, seed: &Key| responsible(&relays, &[7; 32], period, seed);
        assert_ne!(at(DAY, &seed), at(DAY + 1, &seed));
        assert_ne!(at(DAY, &seed), at(DAY, &[1; 32]));
        assert_eq!(responsible(&[[1; 32], [1; 32], [2; 32]], &[7; 32], DAY, &seed).len(), 2);
    }
}
