use super::*;
use crate::identity::Identity;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use x25519_dalek::{PublicKey, StaticSecret};

const DAY: u64 = 86_400_000;

fn people() -> (Identity, Identity, ChaCha20Rng) {
    let one = |n: u8| Identity::from_bytes(&[n; 32], &[n + 1; 32]);
    (one(1), one(3), ChaCha20Rng::from_seed([5; 32]))
}

#[test]
fn only_the_receiver_opens_and_learns_who_wrote() {
    let (alice, bob, mut rng) = people();
    let sealed = seal(&alice, Target::Static(bob.noise_public()), b"hi", &mut rng).unwrap();
    let opened = open(&bob, &sealed).unwrap();
    assert_eq!((&opened.plain[..], opened.sender_id()), (&b"hi"[..], alice.peer_id()));
    assert_eq!(open(&alice, &sealed), Err(SealError::Sealed));
    for i in 0..sealed.len() {
        let mut bent = sealed.clone();
        bent[i] ^= 1;
        assert!(open(&bob, &bent).is_err(), "byte {i}");
    }
    assert!(open(&bob, &sealed[..50]).is_err() && open(&bob, &[]).is_err());
    let long = vec![0; MAX_CIPHERTEXT];
    let refused = seal(&alice, Target::Static(bob.noise_public()), &long, &mut rng);
    assert_eq!(refused, Err(SealError::TooLong(MAX_CIPHERTEXT)));
    let zero = seal(&alice, Target::Static(&[0; 32]), b"hi", &mut rng);
    assert_eq!(zero, Err(SealError::LowOrderKey));
}

#[test]
fn a_one_time_key_opens_what_names_it() {
    let (alice, bob, mut rng) = people();
    let private = [9; 32];
    let public = PublicKey::from(&StaticSecret::from(private)).to_bytes();
    let sealed = seal(&alice, Target::Prekey { id: 7, public: &public }, b"hi", &mut rng).unwrap();
    assert_eq!(open_with_prekey(&private, 7, &sealed).unwrap().plain, b"hi");
    assert_eq!(open_with_prekey(&private, 8, &sealed), Err(SealError::Sealed));
    assert_eq!(open_with_prekey(&[8; 32], 7, &sealed), Err(SealError::Sealed));
    assert_eq!(open(&bob, &sealed), Err(SealError::Sealed));
}

#[test]
fn envelopes_are_known_on_three_days_and_end() {
    let (_, bob, _) = people();
    let now = 20_254 * DAY + 5;
    let expiry = now + MAX_LIFE_MS;
    let tag = tag(bob.noise_public(), utc_day(now));
    let envelope = Envelope { tag, expiry, ciphertext: b"x", copies: Some(4), prekey_id: Some(7) };
    assert_eq!(Envelope::decode(&envelope.encode().unwrap()), Ok(envelope));
    for (at, known) in [(now - DAY, true), (now + DAY, true), (now - 2 * DAY, false), (now + 2 * DAY, false)]
    {
        assert_eq!(envelope.is_for(bob.noise_public(), at), known);
    }
    assert!(!envelope.is_for(&[1; 32], now));
    assert!(envelope.is_current(now) && !envelope.is_current(expiry));
    assert!(!envelope.is_current(now - 2 * 3_600_000), "it claims to last too long");
    let endless = Envelope { expiry: u64::MAX, ..envelope };
    assert!(!endless.is_current(now));
}

#[test]
fn copies_are_halved() {
    let envelope = |copies| Envelope { tag: [0; 16], expiry: 1, ciphertext: b"x", copies, prekey_id: None };
    let split = |copies| envelope(copies).split().map(|(a, b)| (a.copies.unwrap(), b.copies.unwrap()));
    assert_eq!(split(Some(4)), Some((2, 2)));
    assert_eq!(split(Some(3)), Some((2, 1)));
    assert_eq!((split(Some(1)), split(None)), (None, None));
    assert!(envelope(Some(0)).encode().is_err() && envelope(Some(9)).encode().is_err());
    let nine = [&envelope(Some(8)).encode().unwrap()[..]].concat();
    let bent: Vec<u8> = nine[..nine.len() - 1].iter().copied().chain([9]).collect();
    assert!(Envelope::decode(&bent).is_err());
    let long = vec![0; MAX_CIPHERTEXT + 1];
    assert!(Envelope { ciphertext: &long, ..envelope(None) }.encode().is_err());
}

#[test]
fn bundles_are_signed() {
    let (alice, bob, _) = people();
    let keys = |n: u32| (0..n).map(|id| Prekey { id, public: [id as u8; 32] }).collect::<Vec<_>>();
    let bundle = PrekeyBundle::sign(&alice, keys(8), 5).unwrap();
    assert!(bundle.is_valid(&alice.signing_public()) && !bundle.is_valid(&bob.signing_public()));
    assert_eq!(PrekeyBundle::decode(&bundle.encode().unwrap()), Ok(bundle.clone()));
    let mut swapped = bundle.clone();
    swapped.prekeys.swap(0, 1);
    assert!(!swapped.is_valid(&alice.signing_public()));
    assert!(!PrekeyBundle { generated_at: 6, ..bundle.clone() }.is_valid(&alice.signing_public()));
    assert!(PrekeyBundle::sign(&alice, keys(9), 5).is_err());
    let mut twice = bundle;
    twice.prekeys[1].id = 0;
    assert!(PrekeyBundle::decode(&twice.encode().unwrap()).is_err());
}
