//! Properties that hold for whatever happens, in whichever order.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use fog_tokenomics::{
    Choice, ErrorKind, Genesis, Outcome, Person, Proposal, ProposalKind, Role, Signed, SignedVote,
    SnapshotMember, Tally, Vote,
    governance::{self, rules},
    ledger,
};
use proptest::prelude::*;
use sqlx::SqliteConnection;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

// ---- ledger ------------------------------------------------------------------------------------------

const PERSONS: u8 = 4;
/// Small, so that random sums meet the edges of the balances.
const GRANT: u128 = 20;

#[derive(Debug, Clone, Copy)]
enum Op {
    Join(u8),
    Lock(u8, u8, u128),
    Settle(u8, u8, u128),
    Refund(u8),
    Direct(u8, u8, u8, u128),
}

fn op() -> impl Strategy<Value = Op> {
    let (who, job) = (0..PERSONS, 0..6u8);
    // Mostly small amounts that often meet each other, at times absurd ones.
    let amount = prop_oneof![12 => 0..8u128, 4 => 8..30u128, 1 => Just(u128::MAX), 1 => Just(1u128 << 100)];
    prop_oneof![
        1 => who.clone().prop_map(Op::Join),
        3 => (job.clone(), who.clone(), amount.clone()).prop_map(|(j, w, a)| Op::Lock(j, w, a)),
        3 => (job.clone(), who.clone(), amount.clone()).prop_map(|(j, w, a)| Op::Settle(j, w, a)),
        1 => job.clone().prop_map(Op::Refund),
        2 => (job, who.clone(), who, amount).prop_map(|(j, f, t, a)| Op::Direct(j, f, t, a)),
    ]
}

async fn perform(conn: &mut SqliteConnection, op: Op) -> fog_tokenomics::Result<Outcome> {
    match op {
        Op::Join(who) => ledger::join(conn, &person(who), NOW).await,
        Op::Lock(id, who, amount) => ledger::escrow_lock(conn, &job(id), &person(who), amount, NOW).await,
        Op::Settle(id, who, price) => {
            ledger::escrow_settle(conn, &job(id), &person(who), price, NOW, "").await
        }
        Op::Refund(id) => ledger::escrow_refund(conn, &job(id), NOW).await,
        Op::Direct(id, from, to, price) => {
            ledger::settle_direct(conn, &job(id), &person(from), &person(to), price, NOW, "").await
        }
    }
}

/// Nothing while open, then worker and price, or nothing for a refund.
type Closed = Option<Option<(u8, u128)>>;

/// The same rules told a second time, as simply as can be.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    balances: BTreeMap<u8, u128>,
    joined: BTreeMap<u8, ()>,
    /// Payer, escrow, how it ended.
    jobs: BTreeMap<u8, (u8, Option<u128>, Closed)>,
}

impl Model {
    /// True if the operation is to succeed with [`Outcome::New`].
    fn perform(&mut self, op: Op) -> bool {
        match op {
            Op::Join(who) => {
                let new = self.joined.insert(who, ()).is_none();
                *self.balances.entry(who).or_default() += if new { GRANT } else { 0 };
                new
            }
            Op::Lock(job, who, amount) => {
                let balance = self.balances.entry(who).or_default();
                if self.jobs.contains_key(&job) || *balance < amount {
                    return false;
                }
                *balance -= amount;
                self.jobs.insert(job, (who, Some(amount), None));
                true
            }
            Op::Settle(job, to, price) => match self.jobs.get_mut(&job) {
                Some((payer, Some(escrow), closed @ None)) if price <= *escrow => {
                    *closed = Some(Some((to, price)));
                    *self.balances.entry(to).or_default() += price;
                    *self.balances.entry(*payer).or_default() += *escrow - price;
                    true
                }
                _ => false,
            },
            Op::Refund(job) => match self.jobs.get_mut(&job) {
                Some((payer, Some(escrow), closed @ None)) => {
                    *closed = Some(None);
                    *self.balances.entry(*payer).or_default() += *escrow;
                    true
                }
                _ => false,
            },
            Op::Direct(job, from, to, price) => {
                if let Some((payer, ..)) = self.jobs.get(&job) {
                    return *payer == from && self.perform(Op::Settle(job, to, price));
                }
                let balance = self.balances.entry(from).or_default();
                if *balance < price {
                    return false;
                }
                *balance -= price;
                *self.balances.entry(to).or_default() += price;
                self.jobs.insert(job, (from, None, Some(Some((to, price)))));
                true
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_ledger_does_what_the_model_does(ops in prop::collection::vec(op(), 1..40)) {
        block_on(async {
            let genesis = Genesis { joiner_grant: GRANT, ..Genesis::test(NETWORK) };
            let (mut conn, mut model) = (memory_with(&genesis).await, Model::default());
            let mut done = Vec::new();
            // Most have something to spend from the start.
            let joins = [Op::Join(0), Op::Join(1), Op::Join(2)];
            for op in joins.into_iter().chain(ops) {
                let new = model.perform(op);
                let outcome = perform(&mut conn, op).await;
                prop_assert_eq!(matches!(outcome, Ok(Outcome::New)), new, "{:?}: {:?}", op, outcome);
                if new {
                    done.push(op);
                }
                if let Err(error) = outcome {
                    // Refused by a rule, not because SQLite's constraints had to catch it.
                    prop_assert!(error.kind() != ErrorKind::Storage, "{:?}: {:?}", op, error);
                }
                let audit = ledger::check(&mut conn).await.unwrap();
                prop_assert_eq!(audit.supply, genesis.supply);
            }
            let before = ledger::check(&mut conn).await.unwrap();
            for op in done {
                // Repeated, all that succeeded is known.
                prop_assert_eq!(perform(&mut conn, op).await.unwrap(), Outcome::Known, "{:?}", op);
            }
            prop_assert_eq!(ledger::check(&mut conn).await.unwrap(), before);
            for who in 0..PERSONS {
                let balance = ledger::balance(&mut conn, &person(who)).await.unwrap();
                prop_assert_eq!(balance, model.balances.get(&who).copied().unwrap_or(0));
                let escrow: u128 = model.jobs.values()
                    .filter(|(payer, _, closed)| *payer == who && closed.is_none())
                    .map(|(_, escrow, _)| escrow.unwrap_or(0)).sum();
                prop_assert_eq!(ledger::escrow_of(&mut conn, &person(who)).await.unwrap(), escrow);
                let paid = |side: fn(u8, u8) -> u8| -> u128 {
                    model.jobs.values()
                        .filter_map(|(payer, _, closed)| closed.flatten().map(|(to, price)| (*payer, to, price)))
                        .filter(|(payer, to, _)| payer != to && side(*payer, *to) == who)
                        .map(|(.., price)| price).sum()
                };
                let totals = ledger::totals(&mut conn, &person(who)).await.unwrap();
                prop_assert_eq!(totals.spent, paid(|payer, _| payer));
                prop_assert_eq!(totals.earned, paid(|_, to| to));
                let days = ledger::earned_by_day(&mut conn, &person(who), NOW, 3).await.unwrap();
                prop_assert_eq!(days, [0, 0, totals.earned]);
                // The journal from a person's side adds up to their balance.
                let lines = ledger::entries(&mut conn, &person(who), u32::MAX).await.unwrap();
                let sum: i128 = lines.iter()
                    .map(|line| if line.credit { line.amount as i128 } else { -(line.amount as i128) }).sum();
                prop_assert_eq!(sum, balance as i128);
            }
            Ok(())
        })?;
    }
}

// ---- votes -------------------------------------------------------------------------------------------

const VOTERS: u8 = 5;

fn ballot() -> impl Strategy<Value = (u8, u8, u64, u64)> {
    // Voter 5 is a stranger; few sequence numbers and times, so that there are ties and faults.
    (0..=VOTERS, 0..3u8, 1..4u64, 0..3u64)
}

fn proposal(weights: &[(u8, u64)]) -> Proposal {
    let mut snapshot: Vec<_> = (0..VOTERS)
        .zip(weights)
        .map(|(number, (role, power))| SnapshotMember {
            person: person(number),
            role: [Role::Citizen, Role::Delegate, Role::Councilor, Role::Guardian, Role::King]
                [usize::from(*role)],
            power_base: u128::from(*power),
        })
        .collect();
    snapshot.sort_by_key(|member| member.person);
    Proposal {
        id: [3; 16],
        network: NETWORK,
        kind: ProposalKind::General,
        title: "t".into(),
        body: String::new(),
        proposer: person(0),
        created_ms: NOW,
        ends_ms: NOW + 60_000,
        snapshot,
    }
}

fn cast(id: [u8; 16], (voter, choice, sequence, time): (u8, u8, u64, u64)) -> SignedVote {
    let vote = Vote {
        proposal: id,
        network: NETWORK,
        voter: person(voter),
        choice: [Choice::Yes, Choice::No, Choice::Abstain][usize::from(choice)],
        sequence,
        time_ms: NOW + time,
    };
    Signed::sign(vote, &key(voter)).unwrap()
}

/// Counts without cleverness: each member's votes sorted, the last one counts.
fn recount(proposal: &Proposal, votes: &[SignedVote]) -> [u128; 3] {
    let mut sums = [0; 3];
    for member in &proposal.snapshot {
        let mut theirs: Vec<_> = votes.iter().filter(|vote| vote.content.voter == member.person).collect();
        theirs.sort_by_key(|vote| (vote.content.sequence, vote.content.time_ms, vote.signature));
        let Some(last) = theirs.last() else { continue };
        let weight = match member.role {
            Role::Citizen => 10,
            Role::Delegate => 15,
            Role::Councilor => 20,
            Role::Guardian => 50,
            Role::King => 100,
        };
        sums[last.content.choice as usize] += member.power_base * weight / 10;
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_tally_is_a_naive_recount_in_any_order(
        weights in prop::collection::vec((0..5u8, 0..1000u64), usize::from(VOTERS)),
        ballots in prop::collection::vec(ballot(), 0..20),
        shuffled in any::<prop::sample::Index>(),
    ) {
        let genesis = Genesis::test(NETWORK);
        let proposal = proposal(&weights);
        let mut votes: Vec<_> = ballots.into_iter().map(|ballot| cast(proposal.id, ballot)).collect();
        let tally = rules::tally(&genesis, &proposal, &votes);
        prop_assert_eq!([tally.yes, tally.no, tally.abstain], recount(&proposal, &votes));
        prop_assert!(tally.voted() <= tally.total);
        if !votes.is_empty() {
            let middle = shuffled.index(votes.len());
            votes.rotate_left(middle);
            votes[..middle].reverse();
        }
        prop_assert_eq!(rules::tally(&genesis, &proposal, &votes), tally);
        // Repetitions count nothing, and votes out of time or of other proposals neither.
        let mut more = votes.clone();
        more.extend(votes);
        for (id, time) in [(proposal.id, 60_001), ([4; 16], 1)] {
            more.push(cast(id, (0, 0, 99, time)));
        }
        prop_assert_eq!(rules::tally(&genesis, &proposal, &more), tally);
    }

    #[test]
    fn a_later_vote_replaces(
        ballots in prop::collection::vec(ballot(), 0..10), voter in 0..VOTERS, choice in 0..3u8,
    ) {
        let proposal = proposal(&[(0, 7); VOTERS as usize]);
        let mut votes: Vec<_> = ballots.into_iter().map(|ballot| cast(proposal.id, ballot)).collect();
        let before = rules::tally(&Genesis::test(NETWORK), &proposal, &votes);
        let had = votes.iter().any(|vote| vote.content.voter == person(voter));
        votes.insert(votes.len() / 2, cast(proposal.id, (voter, choice, 10, 1)));
        let after = rules::tally(&Genesis::test(NETWORK), &proposal, &votes);
        let side = |tally: &Tally| [tally.yes, tally.no, tally.abstain][usize::from(choice)];
        prop_assert_eq!(after.voted() - before.voted(), if had { 0 } else { 7 });
        prop_assert!(side(&after) >= side(&before) && side(&after) >= 7);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two nodes get the same votes, and the proposal, in different orders.
    #[test]
    fn stores_agree_whatever_the_order(
        ballots in prop::collection::vec(ballot(), 1..7).prop_flat_map(|ballots| {
            let shuffled = Just(ballots.clone()).prop_shuffle();
            (Just(ballots), shuffled)
        }),
        proposal_at in (0..7usize, 0..7usize),
    ) {
        block_on(async {
            let mut origin = members(VOTERS).await;
            let proposal = governance::build_proposal(
                &mut origin, ProposalKind::General, "t", "", &key(0), NOW).await.unwrap();
            let id = proposal.content.id;
            let mut results = Vec::new();
            for (ballots, at) in [(&ballots.0, proposal_at.0), (&ballots.1, proposal_at.1)] {
                let mut conn = members(VOTERS).await;
                for (i, ballot) in ballots.iter().enumerate() {
                    if i == at {
                        governance::put_proposal(&mut conn, &proposal, NOW).await.unwrap();
                    }
                    // Strangers are refused or parked in vain.
                    let _ = governance::put_vote(&mut conn, &cast(id, *ballot), NOW + 5).await;
                }
                governance::put_proposal(&mut conn, &proposal, NOW).await.unwrap();
                let stored = governance::get(&mut conn, &id).await.unwrap().unwrap();
                let all: Vec<_> = ballots.iter().map(|ballot| cast(id, *ballot)).collect();
                let tally = stored.tally;
                prop_assert_eq!([tally.yes, tally.no, tally.abstain], recount(&proposal.content, &all));
                let mut faulty: Vec<(Person, u64)> = governance::faults(&mut conn, 100).await.unwrap()
                    .into_iter().map(|fault| (fault.votes[0].content.voter, fault.votes[0].content.sequence))
                    .collect();
                faulty.sort_unstable();
                results.push((governance::votes(&mut conn, &id).await.unwrap(), tally, faulty));
            }
            prop_assert_eq!(&results[0], &results[1]);
            Ok(())
        })?;
    }
}

async fn members(count: u8) -> SqliteConnection {
    let mut conn = memory().await;
    for number in 0..count {
        ledger::join(&mut conn, &person(number), NOW).await.unwrap();
    }
    conn
}
