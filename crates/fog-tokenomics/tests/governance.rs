//! Proposals and votes through the store: what is kept, replaced, refused, parked.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use fog_tokenomics::{
    Choice, Error, Founder, Genesis, Outcome, Proposal, ProposalKind, Role, Signed, SignedProposal,
    SignedVote, State, Vote, VoteOutcome,
    governance::{self, rules},
    ledger,
};
use sqlx::SqliteConnection;

/// Makes a proposal of member 1 and keeps it.
async fn opened(conn: &mut SqliteConnection) -> SignedProposal {
    let kind = ProposalKind::General;
    let signed = governance::build_proposal(conn, kind, " Title ", "Body", &key(1), NOW).await.unwrap();
    assert_eq!(governance::put_proposal(conn, &signed, NOW).await.unwrap(), Outcome::New);
    signed
}

fn vote(proposal: &SignedProposal, voter: u8, choice: Choice, sequence: u64, time_ms: u64) -> SignedVote {
    let vote = Vote {
        proposal: proposal.content.id,
        network: NETWORK,
        voter: person(voter),
        choice,
        sequence,
        time_ms,
    };
    Signed::sign(vote, &key(voter)).unwrap()
}

/// Changes a proposal and signs it anew with its new id.
fn forged(signed: &SignedProposal, change: impl FnOnce(&mut Proposal)) -> SignedProposal {
    let mut proposal = signed.content.clone();
    change(&mut proposal);
    proposal.id = proposal.content_id().unwrap();
    Signed::sign(proposal, &key(1)).unwrap()
}

#[tokio::test]
async fn both_vote_and_the_second_vote_replaces() {
    let (mut a, mut b) = (with_members(3).await, with_members(3).await);
    let proposal = opened(&mut b).await;
    let id = proposal.content.id;
    assert_eq!(proposal.content.title, "Title");
    assert_eq!(proposal.content.ends_ms, NOW + 60_000);
    assert_eq!(governance::put_proposal(&mut a, &proposal, NOW + 5).await.unwrap(), Outcome::New);
    assert_eq!(governance::put_proposal(&mut a, &proposal, NOW + 6).await.unwrap(), Outcome::Known);

    let mine = governance::build_vote(&mut a, &id, Choice::No, &key(2), NOW + 10).await.unwrap();
    assert_eq!(governance::put_vote(&mut a, &mine, NOW + 10).await.unwrap(), VoteOutcome::New);
    let again = governance::build_vote(&mut a, &id, Choice::Yes, &key(2), NOW + 20).await.unwrap();
    assert_eq!(again.content.sequence, mine.content.sequence + 1);
    assert_eq!(governance::put_vote(&mut a, &again, NOW + 20).await.unwrap(), VoteOutcome::Replaced);
    assert_eq!(governance::put_vote(&mut a, &again, NOW + 21).await.unwrap(), VoteOutcome::Known);
    let theirs = governance::build_vote(&mut b, &id, Choice::Yes, &key(1), NOW + 15).await.unwrap();
    governance::put_vote(&mut b, &theirs, NOW + 15).await.unwrap();

    // Each hears of the other's votes in another order.
    governance::put_vote(&mut a, &theirs, NOW + 30).await.unwrap();
    assert_eq!(governance::put_vote(&mut b, &again, NOW + 30).await.unwrap(), VoteOutcome::New);
    assert_eq!(governance::put_vote(&mut b, &mine, NOW + 31).await.unwrap(), VoteOutcome::Stale);
    let (at_a, at_b) =
        (governance::get(&mut a, &id).await.unwrap(), governance::get(&mut b, &id).await.unwrap());
    let (at_a, at_b) = (at_a.unwrap(), at_b.unwrap());
    assert_eq!(at_a.tally, at_b.tally);
    assert_eq!((at_a.tally.yes, at_a.tally.no, at_a.tally.total), (20_000 * FOG, 0, 30_000 * FOG));
    assert!(at_a.snapshot_matches && at_b.snapshot_matches);
    assert_eq!(at_a.state(NOW + 60_000), State::Active);
    assert_eq!(at_a.state(NOW + 60_001), State::Passed);
    assert!(governance::faults(&mut b, 10).await.unwrap().is_empty());
    assert_eq!(governance::my_vote(&mut b, &id, &person(2)).await.unwrap(), Some(again));
    assert_eq!(governance::votes(&mut b, &id).await.unwrap().len(), 2);
    assert_eq!(governance::list_proposals(&mut b, 10).await.unwrap(), [at_b]);
}

#[tokio::test]
async fn votes_that_are_refused() {
    let mut conn = with_members(2).await;
    let proposal = opened(&mut conn).await;
    let good = vote(&proposal, 2, Choice::Yes, 1, NOW + 1);
    let put = async |conn: &mut _, vote: &SignedVote, now| governance::put_vote(conn, vote, now).await;

    let mut wrong = good.clone();
    wrong.signature[3] ^= 1;
    assert!(matches!(put(&mut conn, &wrong, NOW).await, Err(Error::WrongSignature)));
    let mut wrong = good.clone();
    wrong.content.choice = Choice::No;
    assert!(matches!(put(&mut conn, &wrong, NOW).await, Err(Error::WrongSignature)));
    let mut wrong = good.clone();
    wrong.content.voter = person(1);
    assert!(matches!(put(&mut conn, &wrong, NOW).await, Err(Error::WrongSignature)));
    // The neutral element as a key "signs" everything for those who check loosely.
    let mut weak = good.clone();
    (weak.content.voter, weak.signature) = ([0; 32], [0; 64]);
    weak.content.voter[0] = 1;
    weak.signature[0] = 1;
    assert!(matches!(put(&mut conn, &weak, NOW).await, Err(Error::WrongSignature)));

    let elsewhere = Signed::sign(Vote { network: [8; 32], ..good.content }, &key(2)).unwrap();
    assert!(matches!(put(&mut conn, &elsewhere, NOW).await, Err(Error::WrongNetwork)));
    let stranger = vote(&proposal, 9, Choice::Yes, 1, NOW);
    assert!(matches!(put(&mut conn, &stranger, NOW).await, Err(Error::NotInSnapshot)));
    let early = vote(&proposal, 2, Choice::Yes, 1, NOW - 1);
    assert!(matches!(put(&mut conn, &early, NOW).await, Err(Error::VoteTooEarly)));
    let late = vote(&proposal, 2, Choice::Yes, 1, NOW + 60_001);
    assert!(matches!(put(&mut conn, &late, NOW + 60_001).await, Err(Error::VotingEnded)));
    assert!(matches!(put(&mut conn, &good, NOW + 90_001).await, Err(Error::VotingEnded)));
    let huge = vote(&proposal, 2, Choice::Yes, u64::MAX, NOW);
    assert!(matches!(put(&mut conn, &huge, NOW).await, Err(Error::Invalid(_))));
    assert!(governance::votes(&mut conn, &proposal.content.id).await.unwrap().is_empty());

    assert_eq!(put(&mut conn, &good, NOW + 90_000).await.unwrap(), VoteOutcome::New);
    // Once taken it stays known, whenever it comes again.
    assert_eq!(put(&mut conn, &good, NOW + 990_000).await.unwrap(), VoteOutcome::Known);
    let build =
        governance::build_vote(&mut conn, &proposal.content.id, Choice::No, &key(2), NOW + 60_001).await;
    assert!(matches!(build, Err(Error::VotingEnded)));
    let build = governance::build_vote(&mut conn, &[0; 16], Choice::No, &key(2), NOW).await;
    assert!(matches!(build, Err(Error::NoSuchProposal)));
    assert!(matches!(Signed::sign(good.content, &key(1)), Err(Error::WrongKey)));
}

#[tokio::test]
async fn two_votes_with_one_sequence_are_evidence() {
    let proposal = opened(&mut with_members(2).await).await;
    let id = proposal.content.id;
    let yes = vote(&proposal, 2, Choice::Yes, 5, NOW + 1);
    let no = vote(&proposal, 2, Choice::No, 5, NOW + 1);
    let abstain = vote(&proposal, 2, Choice::Abstain, 6, NOW + 2);
    let mut seen = Vec::new();
    for order in [[&yes, &no, &abstain], [&no, &yes, &abstain], [&abstain, &no, &yes], [&yes, &abstain, &no]]
    {
        let mut conn = with_members(2).await;
        governance::put_proposal(&mut conn, &proposal, NOW).await.unwrap();
        for vote in order {
            governance::put_vote(&mut conn, vote, NOW + 3).await.unwrap();
        }
        let faults = governance::faults(&mut conn, 10).await.unwrap();
        seen.push((governance::votes(&mut conn, &id).await.unwrap(), faults));
    }
    assert_eq!(seen[0].0, [abstain]);
    assert!(seen[0].1[0].votes.contains(&yes) && seen[0].1[0].votes.contains(&no));
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn a_tie_is_decided_by_the_signature() {
    let mut conn = with_members(2).await;
    let proposal = opened(&mut conn).await;
    let one = vote(&proposal, 2, Choice::Yes, 1, NOW);
    let mut other = one.clone();
    other.signature[0] ^= 1;
    assert_ne!(rules::supersedes(&one, &other), rules::supersedes(&other, &one));
    assert!(!rules::supersedes(&one, &one));
}

#[tokio::test]
async fn a_vote_before_its_proposal_waits() {
    let proposal = opened(&mut with_members(3).await).await;
    let id = proposal.content.id;
    let mut conn = with_members(3).await;
    let first = vote(&proposal, 2, Choice::No, 1, NOW + 1);
    let second = vote(&proposal, 2, Choice::Yes, 2, NOW + 2);
    let stranger = vote(&proposal, 9, Choice::Yes, 1, NOW + 2);
    for vote in [&second, &first, &stranger] {
        assert_eq!(governance::put_vote(&mut conn, vote, NOW + 3).await.unwrap(), VoteOutcome::Parked);
        assert_eq!(governance::put_vote(&mut conn, vote, NOW + 4).await.unwrap(), VoteOutcome::Known);
    }
    // One that came too late stays too late, though the proposal comes later still.
    let late = vote(&proposal, 3, Choice::Yes, 1, NOW + 2);
    assert_eq!(governance::put_vote(&mut conn, &late, NOW + 95_000).await.unwrap(), VoteOutcome::Parked);
    governance::put_proposal(&mut conn, &proposal, NOW + 100_000).await.unwrap();
    assert_eq!(governance::votes(&mut conn, &id).await.unwrap(), [second]);
    let stored = governance::get(&mut conn, &id).await.unwrap().unwrap();
    assert_eq!((stored.received_ms, stored.tally.yes), (NOW + 100_000, 10_000 * FOG));
}

#[tokio::test]
async fn waiting_votes_are_bounded() {
    let proposal = opened(&mut with_members(2).await).await;
    let mut conn = with_members(2).await;
    let honest = vote(&proposal, 2, Choice::Yes, 1, NOW);
    governance::put_vote(&mut conn, &honest, NOW).await.unwrap();
    let mut tx = sqlx::Connection::begin(&mut conn).await.unwrap();
    for number in 0..1100u32 {
        let mut seed = [200; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        let vote = Vote { voter: key.verifying_key().to_bytes(), ..honest.content };
        governance::put_vote(&mut tx, &Signed::sign(vote, &key).unwrap(), NOW).await.unwrap();
    }
    for sequence in 2..30 {
        let vote = vote(&proposal, 1, Choice::No, sequence, NOW);
        governance::put_vote(&mut tx, &vote, NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
    let count = async |conn: &mut SqliteConnection, what: &'static str| -> i64 {
        let row: (i64,) = sqlx::query_as(what).fetch_one(conn).await.unwrap();
        row.0
    };
    assert_eq!(count(&mut conn, "SELECT count(*) FROM dao_parked").await, 1024);
    governance::put_proposal(&mut conn, &proposal, NOW).await.unwrap();
    assert_eq!(count(&mut conn, "SELECT count(*) FROM dao_parked").await, 0);
    let votes = governance::votes(&mut conn, &proposal.content.id).await.unwrap();
    assert!(votes.contains(&honest), "strangers must not push a member's vote out");
    assert_eq!(votes.len(), 2);
    // Of the hundreds of sequence numbers that somebody may sign, few are kept, and the highest counts.
    for sequence in 100..200 {
        governance::put_vote(&mut conn, &vote(&proposal, 1, Choice::No, sequence, NOW), NOW).await.unwrap();
    }
    assert_eq!(count(&mut conn, "SELECT count(*) FROM dao_votes").await, 33);
    let pruned = vote(&proposal, 1, Choice::Yes, 40, NOW);
    assert_eq!(governance::put_vote(&mut conn, &pruned, NOW).await.unwrap(), VoteOutcome::Stale);
    let mine = governance::my_vote(&mut conn, &proposal.content.id, &person(1)).await.unwrap().unwrap();
    assert_eq!(mine.content.sequence, 199);
}

#[tokio::test]
async fn proposals_that_are_refused() {
    let mut conn = with_members(2).await;
    let good = opened(&mut conn).await;
    let mut wrong = good.clone();
    wrong.signature[9] ^= 1;
    assert!(matches!(governance::put_proposal(&mut conn, &wrong, NOW).await, Err(Error::WrongSignature)));
    let mut renamed = good.content.clone();
    renamed.id[0] ^= 1;
    let renamed = Signed::sign(renamed, &key(1)).unwrap();
    assert!(matches!(governance::put_proposal(&mut conn, &renamed, NOW).await, Err(Error::Invalid(_))));

    let network = forged(&good, |p| p.network = [8; 32]);
    assert!(matches!(governance::put_proposal(&mut conn, &network, NOW).await, Err(Error::WrongNetwork)));
    let poor = forged(&good, |p| {
        let at = p.snapshot.iter().position(|member| member.person == person(1)).unwrap();
        p.snapshot[at].power_base = 1000 * FOG - 1;
    });
    assert!(matches!(
        governance::put_proposal(&mut conn, &poor, NOW).await,
        Err(Error::BelowThreshold { .. })
    ));
    let emergency = forged(&good, |p| p.kind = ProposalKind::EmergencyAction);
    assert!(matches!(governance::put_proposal(&mut conn, &emergency, NOW).await, Err(Error::RoleTooLow)));

    type Change = fn(&mut Proposal);
    let invalid: [(&str, Change); 11] = [
        ("no title", |p| p.title = " ".into()),
        ("long title", |p| p.title = "ä".repeat(121)),
        ("two lines", |p| p.title = "a\nb".into()),
        ("long body", |p| p.body = "x".repeat(8 * 1024 + 1)),
        ("longer voting", |p| p.ends_ms += 1),
        ("future", |p| {
            p.created_ms += 300_001;
            p.ends_ms += 300_001;
        }),
        ("end of time", |p| p.created_ms = u64::MAX),
        ("order", |p| p.snapshot.reverse()),
        ("twice", |p| p.snapshot.push(p.snapshot[1])),
        ("more than the supply", |p| p.snapshot[0].power_base = 100_000_000 * FOG),
        ("more than numbers", |p| p.snapshot.iter_mut().for_each(|member| member.power_base = u128::MAX)),
    ];
    for (what, change) in invalid {
        let refused = governance::put_proposal(&mut conn, &forged(&good, change), NOW).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{what}: {refused:?}");
    }
    let crowd = forged(&good, |p| {
        let member = p.snapshot[0];
        p.snapshot = (0..10_001u32)
            .map(|number| {
                let mut person = [0; 32];
                person[..4].copy_from_slice(&number.to_be_bytes());
                fog_tokenomics::SnapshotMember { person, power_base: 1, ..member }
            })
            .collect();
    });
    assert!(matches!(governance::put_proposal(&mut conn, &crowd, NOW).await, Err(Error::Invalid(_))));
    assert_eq!(governance::list_proposals(&mut conn, 10).await.unwrap().len(), 1);

    let stranger = governance::build_proposal(&mut conn, ProposalKind::General, "t", "", &key(9), NOW).await;
    assert!(matches!(stranger, Err(Error::BelowThreshold { power: 0, .. })));
    let edge = forged(&good, |p| p.title = "ä".repeat(120));
    assert_eq!(governance::put_proposal(&mut conn, &edge, NOW).await.unwrap(), Outcome::New);
}

#[tokio::test]
async fn a_false_snapshot_is_flagged_and_bounded() {
    let mut conn = with_members(2).await;
    let good =
        governance::build_proposal(&mut conn, ProposalKind::General, "t", "", &key(1), NOW).await.unwrap();
    let richer = forged(&good, |p| p.snapshot[0].power_base += 1);
    let without = forged(&good, |p| p.snapshot.retain(|member| member.person == person(1)));
    let role = forged(&good, |p| p.snapshot[1].role = Role::King);
    for (signed, matches) in [(&good, true), (&richer, false), (&without, false), (&role, false)] {
        governance::put_proposal(&mut conn, signed, NOW).await.unwrap();
        let stored = governance::get(&mut conn, &signed.content.id).await.unwrap().unwrap();
        assert_eq!(stored.snapshot_matches, matches);
    }
    // Members whom we do not know yet are no contradiction.
    let mut behind = memory().await;
    ledger::join(&mut behind, &person(1), NOW).await.unwrap();
    governance::put_proposal(&mut behind, &good, NOW).await.unwrap();
    assert!(governance::get(&mut behind, &good.content.id).await.unwrap().unwrap().snapshot_matches);

    let mut refused = 0;
    for number in 0..256 {
        let signed = forged(&richer, |p| p.title = number.to_string());
        match governance::put_proposal(&mut conn, &signed, NOW).await {
            Ok(_) => {}
            Err(Error::TooManyUnverified) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 3);
    let honest = forged(&good, |p| p.title = "honest".into());
    assert_eq!(governance::put_proposal(&mut conn, &honest, NOW).await.unwrap(), Outcome::New);
}

#[tokio::test]
async fn the_snapshot_is_of_the_proposals_time() {
    // B spends after the proposal, and A hears of the payment before it hears of the proposal.
    let (mut a, mut b) = (with_members(2).await, with_members(2).await);
    ledger::escrow_lock(&mut b, &job(1), &person(1), 100 * FOG, NOW).await.unwrap();
    let proposal =
        governance::build_proposal(&mut b, ProposalKind::General, "t", "", &key(1), NOW + 10).await.unwrap();
    // What B holds in escrow is still B's, as it is on A, which saw no escrow.
    assert_eq!(proposal.content.power_of(&person(1)), 10_000 * FOG);
    ledger::settle_direct(&mut a, &job(1), &person(1), &person(2), 60 * FOG, NOW + 20, "").await.unwrap();
    ledger::join(&mut a, &person(3), NOW + 30).await.unwrap();
    governance::put_proposal(&mut a, &proposal, NOW + 40).await.unwrap();
    assert!(governance::get(&mut a, &proposal.content.id).await.unwrap().unwrap().snapshot_matches);
}

#[tokio::test]
async fn roles_weigh_and_open() {
    let founder = |number, role, fog| Founder { person: person(number), role, balance: fog * FOG };
    let genesis = Genesis {
        founders: vec![
            founder(1, Role::Councilor, 0),
            founder(2, Role::Guardian, 100),
            founder(3, Role::King, 100),
            founder(4, Role::Delegate, 100),
            founder(5, Role::Citizen, 100),
        ],
        ..Genesis::test(NETWORK)
    };
    let mut conn = memory_with(&genesis).await;
    let build = async |conn: &mut _, kind, number| {
        governance::build_proposal(conn, kind, "t", "", &key(number), NOW).await
    };
    let proposal = build(&mut conn, ProposalKind::General, 1).await.unwrap().content;
    let powers: Vec<_> = (1..=5).map(|number| proposal.power_of(&person(number)) / FOG).collect();
    assert_eq!(powers, [0, 500, 1000, 150, 100]);
    assert!(matches!(build(&mut conn, ProposalKind::General, 5).await, Err(Error::BelowThreshold { .. })));
    assert!(matches!(build(&mut conn, ProposalKind::General, 4).await, Err(Error::BelowThreshold { .. })));
    assert!(matches!(build(&mut conn, ProposalKind::EmergencyAction, 1).await, Err(Error::RoleTooLow)));
    let emergency = build(&mut conn, ProposalKind::EmergencyAction, 2).await.unwrap().content;
    let tally = rules::tally(&genesis, &emergency, []);
    assert_eq!((tally.quorum_percent, tally.approval_percent), (30, 60));
    assert_eq!(rules::tally(&genesis, &proposal, []).quorum_percent, 10);
}

#[test]
fn quorum_and_approval_at_their_edges() {
    let tally = |yes, no, abstain| rules_tally(yes, no, abstain).0;
    // (yes, no, abstain) of 1000: quorum 10 %, approval 60 %.
    for (yes, no, abstain, state) in [
        (0, 0, 0, State::Expired),
        (99, 0, 0, State::Expired),
        (100, 0, 0, State::Passed),
        (60, 40, 0, State::Passed),
        (59, 41, 0, State::Rejected),
        (1, 0, 99, State::Passed),
        (0, 0, 100, State::Rejected),
        (599, 401, 0, State::Rejected),
        (600, 400, 0, State::Passed),
    ] {
        let (_, proposal) = rules_tally(0, 0, 0);
        let found = rules::state(&proposal, &tally(yes, no, abstain), proposal.ends_ms + 1);
        assert_eq!(found, state, "{yes} {no} {abstain}");
    }
    // Where nobody has power, nothing is decided.
    let nobody = governance::Tally { total: 0, ..tally(0, 0, 0) };
    assert!(!nobody.quorum_met() && !nobody.approved());
}

fn rules_tally(yes: u128, no: u128, abstain: u128) -> (governance::Tally, Proposal) {
    let proposal = Proposal {
        id: [0; 16],
        network: NETWORK,
        kind: ProposalKind::General,
        title: "t".into(),
        body: String::new(),
        proposer: person(1),
        created_ms: 0,
        ends_ms: 1,
        snapshot: Vec::new(),
    };
    let tally = governance::Tally { yes, no, abstain, total: 1000, quorum_percent: 10, approval_percent: 60 };
    (tally, proposal)
}
