use super::*;
use crate::directory::{Authority, EpochKey, RelayIdentity, Timing};
use crate::lottery::VrfSecret;
use proptest::prelude::*;

pub(in crate::directory) fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

/// A network of these authorities, whose keys are [`key`].
pub(in crate::directory) fn network(authorities: &[u8], seats: u16) -> Network {
    let authority = |n: &u8| Authority {
        key: key(*n).verifying_key().to_bytes(),
        link: [*n; 32],
        address: ([127, 0, 0, 1], 9000).into(),
    };
    let timing = Timing { epoch: 100, overlap: 10, voting: 50 };
    Network::new(false, authorities.iter().map(authority).collect(), timing, seats)
}

fn listed(n: u8, layer: u8) -> Listed {
    let descriptor = Descriptor {
        id: [n; 32],
        identity: Some(RelayIdentity { key: [n; 32], vrf_key: VrfSecret::from_seed([n; 32]).public() }),
        address: ([127, 0, 0, 1], 9000 + u16::from(n)).into(),
        layer,
        operator: String::new(),
        published: 900,
        keys: vec![EpochKey { epoch: 10, sphinx_key: [n; 32], ticket: None }],
    };
    Listed { descriptor, standing: Standing { reputation: 1000, performance: 1000, stake: 0 } }
}

pub(in crate::directory) fn document(network: Network) -> Consensus {
    Consensus {
        network,
        valid_after: 1000,
        valid_until: 1150,
        seeds: vec![(10, [1; 32]), (11, [2; 32])],
        relays: vec![listed(1, 1), listed(2, 2), listed(3, 3)],
    }
}

#[test]
fn more_than_half_of_the_authorities_must_sign() {
    let document = document(network(&[1, 2, 3], 0));
    let signed = |keys: &[u8]| {
        let keys: Vec<SigningKey> = keys.iter().map(|n| key(*n)).collect();
        document.clone().sign(&keys)
    };
    assert!(signed(&[1, 2]).verify(1000).is_ok() && signed(&[1, 2, 3]).verify(1149).is_ok());
    // One alone, one twice, and strangers are too few.
    for few in [&[1][..], &[], &[1, 1, 1], &[1, 4, 5, 6]] {
        assert_eq!(signed(few).verify(1000), Err(DirectoryError::Signature), "{few:?}");
    }
    let back = SignedConsensus::from_bytes(&signed(&[1, 3]).to_bytes()).expect("decodes");
    for now in [999, 1150] {
        assert!(matches!(back.verify(now), Err(DirectoryError::Stale { .. })));
    }
    assert!(back.authentic().is_ok(), "stale, and authentic still");
}

#[test]
fn a_document_that_was_signed_whole_is_still_good() {
    let document = document(network(&[1, 2, 3], 0));
    let whole = |n: u8| (key(n).verifying_key().to_bytes(), signing::sign(DOMAIN_WHOLE, &document, &key(n)));
    let mut old = SignedConsensus { signatures: vec![whole(1), whole(2)], document: document.clone() };
    assert!(old.verify(1000).is_ok());
    old.document.relays[0].descriptor.layer = 2;
    assert_eq!(old.verify(1000), Err(DirectoryError::Signature));
}

#[test]
fn signatures_of_two_copies_come_together_and_forged_ones_do_not() {
    let document = document(network(&[1, 2, 3], 0));
    let mut one = document.clone().sign([&key(1)]);
    let mut forged = document.clone().sign([&key(3)]);
    forged.signatures[0].0 = key(2).verifying_key().to_bytes();
    assert!(one.merge(&forged));
    assert!(one.verify(1000).is_err());
    assert!(one.merge(&document.clone().sign([&key(2)])));
    assert!(one.verify(1000).is_ok());
    let mut other = document;
    other.valid_until += 1;
    assert!(!one.merge(&other.sign([&key(3)])));
}

#[test]
fn forgeries_and_unusable_documents_are_refused() {
    let keys = [key(1)];
    let good = document(network(&[1], 0));
    let mut forged = good.clone().sign(&keys);
    forged.document.relays[0].descriptor.address = ([6, 6, 6, 6], 666).into();
    assert_eq!(forged.verify(1000), Err(DirectoryError::Signature));
    let changes: [fn(&mut Consensus); 6] = [
        |d| _ = d.relays.remove(1),
        |d| d.relays.push(d.relays[2].clone()),
        |d| d.relays.swap(0, 1),
        |d| d.relays[0].descriptor.layer = 4,
        |d| d.relays[0].descriptor.keys.clear(),
        |d| d.seeds.push((12, [0; 32])),
    ];
    for change in changes {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(matches!(bad.sign(&keys).verify(1000), Err(DirectoryError::Unusable(_))));
    }
    // Whoever signs for a network of their own does not sign for this one.
    let own = document(network(&[9], 0)).sign([&key(9)]);
    assert!(own.verify(1000).is_ok());
    assert_ne!(own.network(), good.id());
}

#[test]
fn two_documents_for_one_time_accuse_those_who_signed_both() {
    let one = document(network(&[1, 2, 3], 0));
    let mut two = one.clone();
    two.relays[0].standing.stake = 5;
    let (a, b) = (one.clone().sign([&key(1), &key(2)]), two.clone().sign([&key(2), &key(3)]));
    assert_eq!(equivocators(&a, &b), [key(2).verifying_key().to_bytes()]);
    assert_eq!(equivocators(&a, &one.sign([&key(3), &key(2)])), Vec::<Key>::new(), "the same document");
    two.valid_after += 50;
    assert_eq!(equivocators(&a, &two.sign([&key(1), &key(2)])), Vec::<Key>::new(), "the next one");
}

/// Five entries for two seats: those win whom the lottery says, and nobody without a ticket, with another's or with one
/// for another epoch.
#[test]
fn seats_go_to_the_winners_with_valid_tickets() {
    let mut doc = document(network(&[1], 2));
    doc.relays = (1..=5).map(|n| listed(n, 1)).chain([listed(6, 2), listed(7, 3)]).collect();
    let id = doc.id();
    let ticket = |n: u8, epoch| Some(VrfSecret::from_seed([n; 32]).draw(&id, epoch, &[1; 32]));
    for (n, relay) in (1..).zip(&mut doc.relays) {
        relay.descriptor.keys[0].ticket = ticket(n, 10);
    }
    let drawn = doc.drawn(10);
    let entries = |drawn: &HashSet<Key>| (1..=5).filter(|n| drawn.contains(&[*n; 32])).collect::<Vec<u8>>();
    let winners = entries(&drawn);
    assert_eq!((winners.len(), drawn.len()), (2, 4));
    let (a, b) = (usize::from(winners[0]) - 1, usize::from(winners[1]) - 1);
    for bad in [None, ticket(winners[1], 10), ticket(winners[0], 11)] {
        let mut doc = doc.clone();
        doc.relays[a].descriptor.keys[0].ticket = bad;
        assert!(!doc.drawn(10).contains(&[winners[0]; 32]));
        assert!(doc.drawn(10).contains(&[winners[1]; 32]));
    }
    // One that does not run makes room.
    doc.relays[b].standing.performance = 400;
    let others = entries(&doc.drawn(10));
    assert!(others.len() == 2 && !others.contains(&winners[1]) && others.contains(&winners[0]), "{others:?}");
    assert_eq!(doc.drawn(11).len(), 0, "nobody has keys of that epoch");
    doc.network.seats = 0;
    assert_eq!(doc.drawn(10).len(), 6, "without seats all that run");
}

/// An epoch's seed is fixed by the last document before the epoch before it began, whatever comes later.
#[test]
fn seeds_follow_from_the_tickets_before() {
    let net = network(&[1], 2);
    let first = Consensus::seeds_for(&net, None, 1000);
    assert_eq!(first.iter().map(|s| s.0).collect::<Vec<_>>(), [10, 11]);
    let mut doc = document(net.clone());
    doc.seeds.clone_from(&first);
    assert_eq!(Consensus::seeds_for(&net, Some(&doc), 1050), first, "the same epoch");
    let draw = |doc: &mut Consensus, n: u8| {
        let secret = VrfSecret::from_seed([n; 32]);
        let ticket = secret.draw(&net.id(), 11, &first[1].1);
        doc.relays[usize::from(n) - 1].descriptor.keys =
            vec![EpochKey { epoch: 11, sphinx_key: [n; 32], ticket: Some(ticket) }];
    };
    let without = Consensus::seeds_for(&net, Some(&doc), 1100);
    draw(&mut doc, 1);
    let with = Consensus::seeds_for(&net, Some(&doc), 1100);
    assert_eq!((with[0], without[0]), (first[1], first[1]));
    assert_eq!((with[1].0, without[1].0), (12, 12));
    assert_ne!(with[1], without[1], "each ticket counts");
    // A ticket that does not verify does not.
    let mut forged = doc.clone();
    forged.relays[0].descriptor.identity = Some(RelayIdentity { key: [1; 32], vrf_key: [3; 32] });
    assert_eq!(Consensus::seeds_for(&net, Some(&forged), 1100), without);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(c) = SignedConsensus::from_bytes(&bytes) {
            prop_assert!(c.verify(150).is_err());
        }
    }

    /// Any byte of a signed document that is altered makes it another one, or none.
    #[test]
    fn an_altered_byte_is_noticed(place: prop::sample::Index, to: u8) {
        let mut bytes = document(network(&[1], 0)).sign([&key(1)]).to_bytes();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != to);
        let id = network(&[1], 0).id();
        bytes[place] = to;
        let accepted = SignedConsensus::from_bytes(&bytes)
            .is_ok_and(|c| c.verify(1000).is_ok() && c.network() == id && c.document == document(network(&[1], 0)));
        // The authorities' addresses are no part of the id, but signed.
        prop_assert!(!accepted || bytes.len() < place);
    }
}
