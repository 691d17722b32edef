use super::*;
use crate::directory::consensus::tests::{key, network};
use crate::directory::{Descriptor, EpochKey};
use proptest::prelude::*;

fn relay(n: u8, published: u64, identity: u8) -> SignedDescriptor {
    let identity = key(identity);
    Descriptor {
        id: [n; 32],
        identity: Some(RelayIdentity { key: identity.verifying_key().to_bytes(), vrf_key: [n; 32] }),
        address: ([127, 0, 0, 1], 9000 + published as u16).into(),
        layer: n % 3 + 1,
        operator: String::new(),
        published,
        keys: vec![EpochKey { epoch: 10, sphinx_key: [n; 32], ticket: None }],
    }
    .sign(&identity)
}

fn standing(performance: u16) -> Standing {
    Standing { reputation: performance, performance, stake: u64::from(performance) }
}

fn vote(authority: u8, relays: Vec<(SignedDescriptor, Standing)>) -> Vote {
    let me = key(authority).verifying_key().to_bytes();
    Vote::new(&network(&[1, 2, 3], 0), me, 1000, None, relays)
}

#[test]
fn a_minority_can_neither_invent_nor_hide_nor_move_a_relay() {
    let net = network(&[1, 2, 3], 0);
    let invented = relay(9, 950, 9);
    let votes = [
        vote(1, vec![(relay(1, 900, 1), standing(800)), (relay(2, 900, 2), standing(500))]),
        vote(2, vec![(relay(1, 950, 1), standing(900)), (relay(2, 900, 2), standing(600))]),
        // The third hides relay 1, praises relay 2, and invents relay 9.
        vote(3, vec![(relay(2, 900, 2), standing(1000)), (invented, standing(1000))]),
    ];
    let all: Vec<&Vote> = votes.iter().collect();
    let consensus = tally(&net, 1000, &all).expect("enough");
    let relays: Vec<_> = consensus.relays.iter().map(|r| (r.id[0], r.published, r.standing)).collect();
    assert_eq!(relays, [(1, 950, standing(800)), (2, 900, standing(600))]);
    assert_eq!((consensus.valid_after, consensus.valid_until), (1000, 1150));
    assert!(tally(&net, 1000, &all[..1]).is_none(), "one of three is too few");
}

#[test]
fn an_id_that_two_claim_goes_to_the_one_that_more_saw() {
    let net = network(&[1, 2, 3], 0);
    let votes = [
        vote(1, vec![(relay(1, 900, 1), standing(800))]),
        vote(2, vec![(relay(1, 900, 1), standing(800))]),
        vote(3, vec![(relay(1, 990, 7), standing(800))]),
    ];
    let consensus = tally(&net, 1000, &votes.iter().collect::<Vec<_>>()).expect("enough");
    assert_eq!(consensus.relays.len(), 1);
    assert_eq!(consensus.relays[0].identity.map(|i| i.key), Some(key(1).verifying_key().to_bytes()));
}

#[test]
fn relays_that_were_not_heard_of_for_long_are_not_voted_for() {
    let listed = |published| vote(1, vec![(relay(1, published, 1), standing(1000))]).relays.len();
    assert_eq!([listed(849), listed(850), listed(1000), listed(1061)], [0, 1, 1, 0]);
}

#[test]
fn votes_are_of_authorities_and_of_true_descriptors() {
    let net = network(&[1, 2, 3], 0);
    let good = vote(1, vec![(relay(1, 900, 1), standing(1000))]);
    let signed = good.clone().sign(&key(1));
    let back = SignedVote::from_bytes(&signed.to_bytes()).expect("decodes");
    assert_eq!(back.verify(&net), Ok(&good));
    assert!(good.clone().sign(&key(2)).verify(&net).is_err(), "signed by another one");
    assert!(
        Vote { authority: key(4).verifying_key().to_bytes(), ..good.clone() }
            .sign(&key(4))
            .verify(&net)
            .is_err()
    );
    assert!(back.verify(&network(&[1, 2], 0)).is_err(), "of another network");
    let mut forged = good.clone();
    forged.relays[0].0.descriptor.address = ([6, 6, 6, 6], 6).into();
    assert_eq!(forged.sign(&key(1)).verify(&net), Err(DirectoryError::Signature));
    let mut too_good = good;
    too_good.relays[0].1.performance = 1001;
    assert!(too_good.sign(&key(1)).verify(&net).is_err());
}

proptest! {
    /// Authorities get the votes in different orders, and must sign the same document.
    #[test]
    fn the_order_of_votes_does_not_matter(
        said in proptest::collection::vec(proptest::collection::vec((1u8..6, 900u64..1000, 0u16..1000), 0..6), 3),
        order in Just(vec![0usize, 1, 2]).prop_shuffle(),
    ) {
        let net = network(&[1, 2, 3], 0);
        let votes: Vec<Vote> = said.into_iter().zip(1u8..).map(|(relays, n)| {
            vote(n, relays.into_iter().map(|(n, at, p)| (relay(n, at, n), standing(p))).collect())
        }).collect();
        let one = tally(&net, 1000, &votes.iter().collect::<Vec<_>>());
        let other = tally(&net, 1000, &order.iter().map(|i| &votes[*i]).collect::<Vec<_>>());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(vote) = SignedVote::from_bytes(&bytes) {
            prop_assert!(vote.verify(&network(&[1], 0)).is_err());
        }
    }
}
