//! Whatever the facts are, what is decided makes sense.

use super::*;
use crate::message::{Fault, Stage};
use crate::spec::{BlobRef, Class, Hash, Limits, Person, Program};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const NOW: u64 = 10_000_000;

fn order(class: Class, copies: u8, state: State, persons: u8) -> Order {
    let module = BlobRef { hash: [1; 32], size: 5, chunks: vec![[1; 32]] };
    let spec = OrderSpec {
        name: String::new(),
        program: Program::Wasm { module, deterministic: true },
        stdin: None,
        inputs: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        limits: Limits::default(),
        class,
        privacy: 0,
        network: false,
        deadline_ms: None,
        price_limit: None,
        target: if persons == 0 {
            Target::Anyone
        } else {
            Target::Persons((1..=persons).map(|p| [p; 32]).collect())
        },
        checkpoint_seconds: 60,
    };
    Order {
        id: [0; 16],
        spec: Arc::new(spec),
        parent: None,
        index: None,
        range: None,
        state,
        note: String::new(),
        copies,
        tries: 0,
        due_ms: None,
        permille: None,
        checkpoint: None,
        result: None,
        winner: None,
        created_ms: 0,
        since_ms: NOW - 600_000,
        started_ms: None,
        finished_ms: None,
    }
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let steps = vec![
        Step::Offered,
        Step::Waiting,
        Step::Running,
        Step::Committed,
        Step::Delivering,
        Step::Held,
        Step::Preempted,
        Step::Failed,
        Step::Declined,
        Step::Cancelled,
    ];
    let stages = vec![Stage::Fetching, Stage::Waiting, Stage::Running, Stage::Paused, Stage::Done];
    let faults = vec![None, Some(Fault::Program), Some(Fault::Device), Some(Fault::Owner)];
    (
        1u8..6,
        prop::sample::select(steps),
        prop::sample::select(stages),
        any::<bool>(),
        1u8..3,
        prop::sample::select(faults),
        [0u64..700_000, 0..700_000, 0..700_000],
    )
        .prop_map(|(peer, step, stage, revealed, result, fault, ages)| Attempt {
            job: [0; 16],
            peer: Some([peer; 32]),
            step,
            stage,
            sealed: false,
            revealed: revealed || matches!(step, Step::Delivering | Step::Held),
            result: (step == Step::Held).then_some([result; 32]),
            fault,
            created_ms: NOW - 700_000,
            heard_ms: NOW - ages[0],
            since_ms: NOW - ages[1],
            ended_ms: if step.is_open() { 0 } else { NOW - ages[2] },
        })
}

fn candidates(ready: &[bool]) -> Vec<Candidate> {
    (1u8..)
        .zip(ready)
        .map(|(p, ready)| Candidate { peer: Some([p; 32]), ready: *ready, check: 1.0 })
        .collect()
}

/// What must hold of decisions about an order under way.
fn sensible(attempts: &[Attempt], decisions: &[Decision]) -> Result<(), TestCaseError> {
    let mut busy: BTreeSet<Person> =
        attempts.iter().filter(|a| a.step.is_open()).filter_map(|a| a.peer).collect();
    let open = |job: &crate::JobId| attempts.iter().find(|a| a.job == *job && a.step.is_open());
    let (mut ends, mut paid) = (0, BTreeSet::new());
    for decision in decisions {
        match decision {
            Decision::Start { peer, .. } => {
                prop_assert!(busy.insert(peer.unwrap()), "two attempts at one device");
            }
            Decision::Stop { job, .. } => {
                let stopped = open(job);
                prop_assert!(stopped.is_some(), "stops what is not under way");
                prop_assert!(!paid.contains(job), "stops what was paid");
            }
            Decision::Reveal(job) => prop_assert!(open(job).is_some_and(|a| a.step == Step::Committed)),
            Decision::Pay(job) => {
                prop_assert!(open(job).is_some_and(|a| a.step == Step::Held));
                prop_assert!(paid.insert(*job), "paid twice");
            }
            Decision::Reject(job) => prop_assert!(open(job).is_some_and(|a| a.step == Step::Held)),
            Decision::Complete { .. } | Decision::Fail(_) => ends += 1,
            Decision::Copies(_) | Decision::Look { .. } => {}
        }
    }
    prop_assert!(ends <= 1, "ends twice");
    // Something follows, or it is looked at again.
    let looks = decisions.iter().any(|d| matches!(d, Decision::Look { .. }));
    prop_assert!(ends == 1 || looks);
    // An offer may get no answer, and then nothing else happens.
    let offers = decisions.iter().any(|d| matches!(d, Decision::Start { peer: Some(_), .. }));
    let timed = decisions.iter().any(|d| matches!(d, Decision::Look { at_ms: Some(_), .. }));
    prop_assert!(timed || !offers);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_copy(
        attempts in prop::collection::vec(any_attempt(), 0..8),
        ready in prop::collection::vec(any::<bool>(), 0..6),
        start in any::<bool>(), a in any::<bool>(), persons in 0u8..4, draw in 0.0f64..1.0,
    ) {
        let mut attempts = attempts;
        attempts.retain(|a| !matches!(a.step, Step::Committed | Step::Held));
        number(&mut attempts);
        let order = order(if a { Class::A } else { Class::B }, 1, State::Pending, persons);
        let candidates = candidates(&ready);
        let decisions = decided(&order, &attempts, start.then_some(&candidates[..]), draw);
        sensible(&attempts, &decisions)?;
        let began = decisions.iter().filter(|d| matches!(d, Decision::Start { .. })).count();
        prop_assert!(began <= 1 && (start || began == 0));
    }

    #[test]
    fn several_copies(
        attempts in prop::collection::vec(any_attempt(), 0..8),
        ready in prop::collection::vec(any::<bool>(), 0..6),
        start in any::<bool>(), copies in 2u8..4,
    ) {
        let mut attempts = attempts;
        attempts.iter_mut().for_each(|a| a.sealed = true);
        number(&mut attempts);
        let class = if copies == 3 { Class::S } else { Class::B };
        let order = order(class, copies, State::Running, 0);
        let candidates = candidates(&ready);
        let decisions = decided(&order, &attempts, start.then_some(&candidates[..]), 0.5);
        sensible(&attempts, &decisions)?;
        let quorum = usize::from(copies) / 2 + 1;
        let of = |job: &crate::JobId| attempts.iter().find(|a| a.job == *job).unwrap();
        for decision in &decisions {
            if let Decision::Complete { job, agreed } = decision {
                let result: Option<Hash> = of(job).result;
                let equal = attempts.iter().filter(|a| a.result.is_some() && a.result == result).count();
                prop_assert!(equal >= quorum && usize::from(*agreed) == equal);
                for other in &decisions {
                    match other {
                        Decision::Pay(paid) => prop_assert_eq!(of(paid).result, result),
                        Decision::Reject(wrong) => prop_assert_ne!(of(wrong).result, result),
                        _ => {}
                    }
                }
            }
        }
        let completes = decisions.iter().any(|d| matches!(d, Decision::Complete { .. }));
        let judges = decisions.iter().any(|d| matches!(d, Decision::Pay(_) | Decision::Reject(_)));
        prop_assert!(completes || !judges, "nobody is judged without a majority");
    }

    #[test]
    fn what_has_ended_is_closed(attempts in prop::collection::vec(any_attempt(), 0..8), cancelled in any::<bool>()) {
        let mut attempts = attempts;
        number(&mut attempts);
        let state = if cancelled { State::Cancelled } else { State::Failed };
        let decisions = decided(&order(Class::B, 1, state, 0), &attempts, Some(&candidates(&[true])), 0.5);
        sensible(&attempts, &decisions)?;
        let stopped = decisions.iter().filter(|d| matches!(d, Decision::Stop { .. })).count();
        prop_assert_eq!(stopped, attempts.iter().filter(|a| a.step.is_open()).count());
        let goes_on = decisions.iter().any(|d| matches!(d, Decision::Start { .. } | Decision::Pay(_)));
        prop_assert!(!goes_on);
    }
}

fn decided(
    order: &Order,
    attempts: &[Attempt],
    candidates: Option<&[Candidate]>,
    draw: f64,
) -> Vec<Decision> {
    let patience = Patience::default();
    let since_ms = order.since_ms;
    decide(&Facts { order, attempts, candidates, since_ms, now_ms: NOW, draw, patience: &patience })
}

/// One open attempt for each device, and an id for each attempt.
fn number(attempts: &mut Vec<Attempt>) {
    let mut busy = BTreeSet::new();
    attempts.retain(|a| !a.step.is_open() || busy.insert(a.peer));
    for (number, attempt) in (1u8..).zip(attempts.iter_mut()) {
        attempt.job = [number; 16];
    }
}
