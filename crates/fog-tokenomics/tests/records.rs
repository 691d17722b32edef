//! Joins, and signed statements as bytes: what goes between nodes.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use fog_tokenomics::{
    Choice, Error, ErrorKind, Join, Outcome, Proposal, ProposalKind, Record, Role, Signed, SnapshotMember,
    Vote, governance, ledger, membership,
    records::{self, MAX_RECORD, Subject},
};
use proptest::prelude::*;

fn join(number: u8, name: &str, time_ms: u64) -> Record {
    let join = Join { network: NETWORK, person: person(number), name: name.into(), time_ms };
    Record::Join(Signed::sign(join, &key(number)).unwrap())
}

#[tokio::test]
async fn joining_and_changing_a_name() {
    let first = join(1, "Ada", NOW);
    let second = join(1, "Ada L.", NOW + 5);
    for order in [[&first, &second], [&second, &first]] {
        let mut conn = memory().await;
        assert!(records::apply(&mut conn, order[0], NOW).await.unwrap().new);
        let later = records::apply(&mut conn, order[1], NOW).await.unwrap();
        assert_eq!(later.new, order[1] == &second);
        assert_eq!(later.subject, Subject::Person(person(1)));
        assert!(!records::apply(&mut conn, order[0], NOW).await.unwrap().new);
        let member = ledger::member(&mut conn, &person(1)).await.unwrap().unwrap();
        assert_eq!((member.name.as_str(), member.balance), ("Ada L.", 10_000 * FOG));
        assert_eq!(ledger::entries(&mut conn, &person(1), 10).await.unwrap().len(), 1, "one grant");
    }
}

#[tokio::test]
async fn joins_that_are_refused() {
    let mut conn = memory().await;
    let long = "x".repeat(65);
    for name in ["", "  ", "a\nb", "a\u{0}b", long.as_str()] {
        let refused = records::apply(&mut conn, &join(1, name, NOW), NOW).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{name:?}");
        assert!(membership::build_join(&mut conn, name, &key(1), NOW).await.is_err() || name.contains('\n'));
    }
    let future = records::apply(&mut conn, &join(1, "a", NOW + 300_001), NOW).await;
    assert!(matches!(future, Err(Error::Invalid(_))));
    let other = Join { network: [8; 32], person: person(1), name: "a".into(), time_ms: NOW };
    let other = Signed::sign(other, &key(1)).unwrap();
    assert!(matches!(membership::put_join(&mut conn, &other, NOW).await, Err(Error::WrongNetwork)));
    let Record::Join(mut wrong) = join(1, "a", NOW) else { unreachable!() };
    wrong.content.name = "b".into();
    let refused = membership::put_join(&mut conn, &wrong, NOW).await.unwrap_err();
    assert!(matches!(refused, Error::WrongSignature));
    assert_eq!(
        (refused.kind(), refused.to_string().as_str()),
        (ErrorKind::Invalid, "wrong signature: it does not belong to this statement and its signer")
    );
    assert!(ledger::members(&mut conn).await.unwrap().is_empty());
    let edge = "ä".repeat(32);
    let edge = membership::build_join(&mut conn, &edge, &key(1), NOW).await.unwrap();
    assert_eq!(membership::put_join(&mut conn, &edge, NOW).await.unwrap(), Outcome::New);
}

#[tokio::test]
async fn a_newcomer_catches_up() {
    let mut a = memory().await;
    for number in [1, 2] {
        records::apply(&mut a, &join(number, "name", NOW), NOW).await.unwrap();
    }
    let proposal =
        governance::build_proposal(&mut a, ProposalKind::General, "t", "b", &key(1), NOW).await.unwrap();
    let id = proposal.content.id;
    let proposal = Record::Proposal(proposal);
    records::apply(&mut a, &proposal, NOW).await.unwrap();
    let vote = governance::build_vote(&mut a, &id, Choice::Yes, &key(2), NOW).await.unwrap();
    let vote = Record::Vote(vote);
    assert!(records::apply(&mut a, &vote, NOW).await.unwrap().new);

    // In order, from bytes.
    let mut b = memory().await;
    for id in records::ids(&mut a).await.unwrap() {
        let bytes = records::load(&mut a, &id).await.unwrap().unwrap();
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record.id().unwrap(), id);
        let applied = records::apply(&mut b, &record, NOW).await.unwrap();
        assert!(applied.new && applied.released.is_empty());
        assert!(!records::apply(&mut b, &record, NOW).await.unwrap().new);
    }
    assert_eq!(records::ids(&mut a).await.unwrap(), records::ids(&mut b).await.unwrap());
    assert_eq!(governance::get(&mut a, &id).await.unwrap(), governance::get(&mut b, &id).await.unwrap());

    // The vote first: it waits, is not passed on, and comes out with the proposal.
    let mut c = memory().await;
    assert!(!records::apply(&mut c, &vote, NOW).await.unwrap().new);
    let applied = records::apply(&mut c, &proposal, NOW).await.unwrap();
    assert_eq!(applied.subject, Subject::Proposal(id));
    assert_eq!(applied.released, [vote]);
    assert_eq!(records::load(&mut c, &[0; 32]).await.unwrap(), None);
}

/// Nodes do all this in tasks, so the futures must be `Send`. (It need only compile.)
#[tokio::test]
async fn tasks_can_do_it() {
    let task = tokio::spawn(async {
        let mut conn = with_members(1).await;
        let proposal = governance::build_proposal(&mut conn, ProposalKind::General, "t", "", &key(1), NOW)
            .await
            .unwrap();
        let id = proposal.content.id;
        records::apply(&mut conn, &Record::Proposal(proposal), NOW).await.unwrap();
        let vote = governance::build_vote(&mut conn, &id, Choice::Yes, &key(1), NOW).await.unwrap();
        records::apply(&mut conn, &Record::Vote(vote), NOW).await.unwrap();
        let join = membership::build_join(&mut conn, "name", &key(1), NOW).await.unwrap();
        records::apply(&mut conn, &Record::Join(join), NOW).await.unwrap();
        let ids = records::ids(&mut conn).await.unwrap();
        assert!(records::load(&mut conn, &ids[0]).await.unwrap().is_some());
        assert_eq!(governance::list_proposals(&mut conn, 9).await.unwrap()[0].tally.yes, 10_000 * FOG);
        ledger::check(&mut conn).await.unwrap();
    });
    task.await.unwrap();
}

#[test]
fn hostile_bytes() {
    assert!(matches!(Record::decode(&[]), Err(Error::MalformedRecord)));
    assert!(matches!(Record::decode(&vec![0; MAX_RECORD + 1]), Err(Error::RecordTooLong { .. })));
    let good = join(1, "name", NOW).encode().unwrap();
    let mut trailing = good.clone();
    trailing.push(0);
    assert!(matches!(Record::decode(&trailing), Err(Error::MalformedRecord)));
    // The variant's number in two bytes instead of one: the same meaning, another id.
    let mut padded = vec![0x80, 0x00];
    padded.extend(&good[1..]);
    assert!(matches!(Record::decode(&padded), Err(Error::MalformedRecord)));
    // Lengths of 2^64 - 1 where the name, the title and the snapshot announce theirs.
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    let mut name = vec![0];
    name.extend([7; 64]);
    let mut title = vec![1];
    title.extend([7; 48]);
    title.push(5);
    let mut snapshot = title.clone();
    snapshot.extend([0, 0]);
    snapshot.extend([7; 32]);
    snapshot.extend([0, 0]);
    for mut bytes in [name, title, snapshot] {
        bytes.extend(huge);
        bytes.extend([0; 100]);
        assert!(matches!(Record::decode(&bytes), Err(Error::MalformedRecord)));
    }
}

#[test]
fn the_largest_proposal_fits() {
    let member = SnapshotMember { person: [255; 32], role: Role::King, power_base: u128::MAX };
    let proposal = Proposal {
        id: [255; 16],
        network: [255; 32],
        kind: ProposalKind::General,
        title: "\u{10FFFF}".repeat(120),
        body: "x".repeat(8 * 1024),
        proposer: [255; 32],
        created_ms: u64::MAX,
        ends_ms: u64::MAX,
        snapshot: vec![member; 10_000],
    };
    let record = Record::Proposal(Signed { content: proposal, signature: [255; 64] });
    let bytes = record.encode().unwrap();
    assert!(bytes.len() <= MAX_RECORD && bytes.len() + 2048 > MAX_RECORD, "{}", bytes.len());
    assert_eq!(Record::decode(&bytes).unwrap(), record);
}

fn records_of_any_kind() -> impl Strategy<Value = Record> {
    let signature = any::<[u8; 32]>().prop_map(|half| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&half);
        signature[32..].copy_from_slice(&half);
        signature
    });
    let join = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<String>(), any::<u64>())
        .prop_map(|(network, person, name, time_ms)| Join { network, person, name, time_ms });
    let choice = prop_oneof![Just(Choice::Yes), Just(Choice::No), Just(Choice::Abstain)];
    let vote = (any::<[u8; 16]>(), any::<[u8; 32]>(), choice, any::<u64>(), any::<u64>()).prop_map(
        |(proposal, voter, choice, sequence, time_ms)| Vote {
            proposal,
            network: voter,
            voter,
            choice,
            sequence,
            time_ms,
        },
    );
    let member = (any::<[u8; 32]>(), any::<u128>()).prop_map(|(person, power_base)| SnapshotMember {
        person,
        role: Role::Guardian,
        power_base,
    });
    let proposal = (
        any::<[u8; 16]>(),
        any::<[u8; 32]>(),
        any::<String>(),
        any::<u64>(),
        prop::collection::vec(member, 0..20),
    )
        .prop_map(|(id, proposer, title, created_ms, snapshot)| Proposal {
            id,
            network: proposer,
            kind: ProposalKind::TreasuryAllocation,
            body: title.repeat(3),
            title,
            proposer,
            created_ms,
            ends_ms: created_ms,
            snapshot,
        });
    prop_oneof![
        (join, signature.clone())
            .prop_map(|(content, signature)| Record::Join(Signed { content, signature })),
        (vote, signature.clone())
            .prop_map(|(content, signature)| Record::Vote(Signed { content, signature })),
        (proposal, signature)
            .prop_map(|(content, signature)| Record::Proposal(Signed { content, signature })),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(record in records_of_any_kind()) {
        let bytes = record.encode().unwrap();
        prop_assert_eq!(Record::decode(&bytes).unwrap(), record);
    }

    #[test]
    fn garbage_is_refused_or_is_the_one_form(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn damaged_records_are_never_taken(
        record in records_of_any_kind(), at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<bool>(),
    ) {
        let good = record.encode().unwrap();
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        if let Ok(other) = Record::decode(&bytes) {
            // Another record with other bytes, whose signature will not hold; never the same one.
            prop_assert_ne!(&other, &record);
            prop_assert_eq!(other.encode().unwrap(), bytes);
        }
    }
}
