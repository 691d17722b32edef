use super::*;
use crate::capabilities::Capabilities;
use crate::identity::Identity;
use crate::packet::{MessageType, Packet};

const NOW: u64 = 1_750_000_000_000;

fn person(n: u8) -> Identity {
    Identity::from_bytes(&[n; 32], &[n + 100; 32])
}

fn announcement(noise: &Identity, signing: &Identity) -> Announcement {
    Announcement {
        nickname: "somebody".into(),
        noise_public: *noise.noise_public(),
        signing_public: signing.signing_public(),
        neighbours: None,
        capabilities: None,
        bridge_geohash: None,
    }
}

fn frame(sender: PeerId, said: &Announcement, signer: &Identity, time: u64) -> Vec<u8> {
    let packet = Packet::new(MessageType::Announce, sender, time, said.encode().unwrap());
    packet.encode_signed(signer.signing_key()).unwrap()
}

fn announce(roster: &mut Roster, bytes: &[u8], now: u64) -> Result<(), Refusal> {
    roster.announced(&PacketRef::decode(bytes).unwrap(), now, false).map(|_| ())
}

fn honest(n: u8, time: u64) -> Vec<u8> {
    frame(person(n).peer_id(), &announcement(&person(n), &person(n)), &person(n), time)
}

#[test]
fn announcements_bind_and_pin() {
    let (alice, mallory) = (person(1), person(2));
    let mut roster = Roster::new(10);
    assert_eq!(announce(&mut roster, &honest(1, NOW), NOW), Ok(()));
    assert_eq!(roster.get(alice.peer_id()).unwrap().trust, Trust::FirstSeen);

    // Mallory's keys under alice's id.
    let stolen = frame(alice.peer_id(), &announcement(&mallory, &mallory), &mallory, NOW + 1);
    let binding = Refusal::Binding { claimed: alice.peer_id(), actual: mallory.peer_id() };
    assert_eq!(announce(&mut roster, &stolen, NOW), Err(binding));
    // Alice's Noise key with mallory's signing key.
    let mixed = frame(alice.peer_id(), &announcement(&alice, &mallory), &mallory, NOW + 1);
    assert_eq!(announce(&mut roster, &mixed, NOW), Err(Refusal::OtherKeys(alice.peer_id())));
    // Alice's keys, signed by mallory.
    let forged = frame(alice.peer_id(), &announcement(&alice, &alice), &mallory, NOW + 1);
    assert_eq!(announce(&mut roster, &forged, NOW), Err(Refusal::Signature(SignatureError::Wrong)));
    let packet = Packet::new(
        MessageType::Announce,
        alice.peer_id(),
        NOW + 1,
        announcement(&alice, &alice).encode().unwrap(),
    );
    let unsigned = packet.encode().unwrap();
    assert_eq!(announce(&mut roster, &unsigned, NOW), Err(Refusal::Signature(SignatureError::Missing)));

    assert_eq!(roster.get(alice.peer_id()).unwrap().announced, NOW);
    assert_eq!(announce(&mut roster, &honest(1, NOW + 1), NOW), Ok(()));
}

#[test]
fn old_announcements_do_not_come_back() {
    let mut roster = Roster::new(10);
    assert_eq!(announce(&mut roster, &honest(1, NOW), NOW), Ok(()));
    assert_eq!(announce(&mut roster, &honest(1, NOW), NOW), Err(Refusal::Replayed));
    assert_eq!(announce(&mut roster, &honest(1, NOW - 5), NOW), Err(Refusal::Replayed));
}

#[test]
fn packets_of_another_time_are_refused() {
    let mut roster = Roster::new(10);
    for time in [NOW - 120_001, NOW + 120_001, 0, u64::MAX] {
        let refused = announce(&mut roster, &honest(1, time), NOW);
        assert_eq!(refused, Err(Refusal::Clock(time.abs_diff(NOW))));
    }
    let old = honest(1, NOW - MAX_ANNOUNCE_AGE_MS);
    let packet = PacketRef::decode(&old).unwrap();
    assert!(roster.announced(&packet, NOW, true).is_ok());
    assert!(roster.announced(&packet, NOW + 1, true).is_err());
    let ahead = honest(2, NOW + 120_001);
    assert!(roster.announced(&PacketRef::decode(&ahead).unwrap(), NOW, true).is_err());
}

#[test]
fn signed_packets_are_checked_by_the_pinned_key() {
    let alice = person(1);
    let mut roster = Roster::new(10);
    let said = |signer: &Identity, time| {
        let packet = Packet::new(MessageType::Message, alice.peer_id(), time, b"hi".to_vec());
        packet.encode_signed(signer.signing_key()).unwrap()
    };
    let verify = |roster: &mut Roster, bytes: &[u8], now, oldest| {
        roster.verify(&PacketRef::decode(bytes).unwrap(), now, oldest)
    };
    let early = verify(&mut roster, &said(&alice, NOW), NOW, None);
    assert_eq!(early, Err(Refusal::Unannounced(alice.peer_id())));
    announce(&mut roster, &honest(1, NOW), NOW).unwrap();
    assert_eq!(verify(&mut roster, &said(&alice, NOW), NOW + 5, None), Ok(()));
    assert_eq!(roster.get(alice.peer_id()).unwrap().last_seen, NOW + 5);
    let forged = verify(&mut roster, &said(&person(2), NOW), NOW, None);
    assert_eq!(forged, Err(Refusal::Signature(SignatureError::Wrong)));
    let hours = 3_600_000;
    assert!(verify(&mut roster, &said(&alice, NOW), NOW + 5 * hours, None).is_err());
    let answer = Some(crate::message::MAX_AGE_MS);
    assert_eq!(verify(&mut roster, &said(&alice, NOW), NOW + 5 * hours, answer), Ok(()));
    assert!(verify(&mut roster, &said(&alice, NOW), NOW + 7 * hours, answer).is_err());
}

#[test]
fn what_is_said_in_a_session_wins() {
    // Mallory was first to announce alice's Noise key with a signing key of her own.
    let (alice, mallory) = (person(1), person(2));
    let mut roster = Roster::new(10);
    let usurped = frame(alice.peer_id(), &announcement(&alice, &mallory), &mallory, NOW);
    announce(&mut roster, &usurped, NOW).unwrap();
    assert_eq!(announce(&mut roster, &honest(1, NOW + 1), NOW), Err(Refusal::OtherKeys(alice.peer_id())));

    let state =
        PeerState { capabilities: Capabilities::PRIVATE_MEDIA, signing_public: alice.signing_public() };
    assert!(roster.authenticated(alice.peer_id(), &state));
    assert!(!roster.authenticated(mallory.peer_id(), &state));
    assert_eq!(announce(&mut roster, &honest(1, NOW + 2), NOW), Ok(()));
    assert_eq!(roster.get(alice.peer_id()).unwrap().trust, Trust::Session);
    assert!(
        announce(
            &mut roster,
            &frame(alice.peer_id(), &announcement(&alice, &mallory), &mallory, NOW + 3),
            NOW
        )
        .is_err()
    );
}

#[test]
fn strangers_make_room_and_contacts_do_not() {
    let mut roster = Roster::new(3);
    for n in 1..=3 {
        announce(&mut roster, &honest(n, NOW), NOW + u64::from(n)).unwrap();
    }
    assert!(roster.keep(person(1).peer_id(), true));
    for n in 10..30 {
        announce(&mut roster, &honest(n, NOW), NOW + u64::from(n)).unwrap();
        assert_eq!(roster.len(), 3);
    }
    assert!(roster.get(person(1).peer_id()).is_some() && roster.get(person(2).peer_id()).is_none());
    for n in [28, 29] {
        assert!(roster.keep(person(n).peer_id(), true));
    }
    assert_eq!(announce(&mut roster, &honest(40, NOW), NOW + 60), Err(Refusal::Full));
    assert!(roster.forget(person(28).peer_id()) && !roster.forget(person(28).peer_id()));
}

#[test]
fn pins_outlive_a_restart() {
    let mut roster = Roster::new(3);
    announce(&mut roster, &honest(1, NOW), NOW).unwrap();
    let kept: Vec<(PeerId, Known)> = roster.iter().map(|(id, k)| (id, k.clone())).collect();
    let mut again = Roster::new(3);
    for (id, known) in kept {
        assert!(again.restore(PeerId([9; 8]), known.clone()).is_err());
        again.restore(id, known).unwrap();
    }
    let (alice, mallory) = (person(1), person(2));
    let other = frame(alice.peer_id(), &announcement(&alice, &mallory), &mallory, NOW + 9);
    assert_eq!(announce(&mut again, &other, NOW), Err(Refusal::OtherKeys(alice.peer_id())));
}
