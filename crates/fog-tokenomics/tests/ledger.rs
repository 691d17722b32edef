//! The ledger's operations one by one, and what SQLite itself refuses.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use fog_tokenomics::{
    Error, Founder, Genesis, Outcome, Role, genesis,
    ledger::{self, Account, EntryKind, JobAccountState, Mixing},
    open,
};

#[tokio::test]
async fn genesis_once() {
    let mut conn = memory().await;
    open(&mut conn, &Genesis::test(NETWORK)).await.unwrap();
    assert_eq!(genesis(&mut conn).await.unwrap(), Genesis::test(NETWORK));
    for (account, fog) in [
        (Account::Treasury, 15_000_000),
        (Account::Sovereign, 5_000_000),
        (Account::JoinerFund, 40_000_000),
        (Account::RewardsPool, 40_000_000),
        (Account::Issuance, 100_000_000),
    ] {
        assert_eq!(ledger::account_balance(&mut conn, &account).await.unwrap(), fog * FOG, "{account}");
    }
    assert_eq!(ledger::check(&mut conn).await.unwrap().supply, 100_000_000 * FOG);
    assert!(matches!(open(&mut conn, &Genesis::test([8; 32])).await, Err(Error::OtherGenesis)));
}

#[tokio::test]
async fn genesis_that_contradicts_itself() {
    let good = Genesis { joiner_permille: 100, ..Genesis::baseline(NETWORK) };
    let founder = |number, fog| Founder { person: person(number), role: Role::King, balance: fog * FOG };
    let bad = [
        Genesis { supply: 0, ..good.clone() },
        Genesis { supply: good.cap + 1, ..good.clone() },
        Genesis { cap: u128::MAX, ..good.clone() },
        Genesis { treasury_permille: 900, ..good.clone() },
        Genesis { quorum_percent: 101, ..good.clone() },
        Genesis { voting_ms: 0, ..good.clone() },
        Genesis { founders: vec![founder(1, 1), founder(1, 2)], ..good.clone() },
        Genesis { founders: vec![founder(1, 10_000_001)], ..good.clone() },
    ];
    for genesis in bad {
        assert!(matches!(genesis.validate(), Err(Error::InvalidGenesis(_))), "{genesis:?}");
    }
    let genesis = Genesis { founders: vec![founder(1, 10_000_000)], ..good };
    let mut conn = memory_with(&genesis).await;
    assert_eq!(ledger::balance(&mut conn, &person(1)).await.unwrap(), 10_000_000 * FOG);
    // A founder who joins gets no grant besides.
    assert_eq!(ledger::join(&mut conn, &person(1), NOW).await.unwrap(), Outcome::Known);
    assert_eq!(ledger::member(&mut conn, &person(1)).await.unwrap().unwrap().role, Role::King);
    ledger::check(&mut conn).await.unwrap();
}

#[tokio::test]
async fn a_job_paid_from_its_escrow() {
    let mut conn = with_members(2).await;
    let (payer, worker) = (person(1), person(2));
    let lock = async |conn: &mut _| ledger::escrow_lock(conn, &job(1), &payer, 100 * FOG, NOW).await;
    assert_eq!(lock(&mut conn).await.unwrap(), Outcome::New);
    assert_eq!(lock(&mut conn).await.unwrap(), Outcome::Known);
    assert_eq!(ledger::balance(&mut conn, &payer).await.unwrap(), 9_900 * FOG);
    assert_eq!(ledger::escrow_of(&mut conn, &payer).await.unwrap(), 100 * FOG);
    ledger::check(&mut conn).await.unwrap();

    let above = ledger::escrow_settle(&mut conn, &job(1), &worker, 101 * FOG, NOW, "").await;
    assert!(matches!(above, Err(Error::PriceAboveEscrow { .. })), "{above:?}");
    let price = 30 * FOG + 1;
    let settle = async |conn: &mut _, price| {
        ledger::escrow_settle(conn, &job(1), &worker, price, NOW + 5, "words").await
    };
    assert_eq!(settle(&mut conn, price).await.unwrap(), Outcome::New);
    assert_eq!(settle(&mut conn, price).await.unwrap(), Outcome::Known);
    assert!(matches!(settle(&mut conn, price + 1).await, Err(Error::AlreadySettled)));
    assert!(matches!(ledger::escrow_refund(&mut conn, &job(1), NOW).await, Err(Error::AlreadySettled)));
    assert_eq!(lock(&mut conn).await.unwrap(), Outcome::Known);

    assert_eq!(ledger::balance(&mut conn, &payer).await.unwrap(), 10_000 * FOG - price);
    assert_eq!(ledger::balance(&mut conn, &worker).await.unwrap(), 10_000 * FOG + price);
    assert_eq!(ledger::escrow_of(&mut conn, &payer).await.unwrap(), 0);
    assert_eq!(ledger::totals(&mut conn, &payer).await.unwrap().spent, price);
    assert_eq!(ledger::totals(&mut conn, &worker).await.unwrap().earned, price);
    let days = ledger::earned_by_day(&mut conn, &worker, NOW + 2 * 86_400_000, 4).await.unwrap();
    assert_eq!(days, [0, price, 0, 0]);
    for (since, who, earned) in
        [(0, worker, price), (NOW + 5, worker, price), (NOW + 6, worker, 0), (0, payer, 0)]
    {
        assert_eq!(ledger::earned_since(&mut conn, &who, since).await.unwrap(), earned);
    }

    let lines = ledger::entries(&mut conn, &payer, 10).await.unwrap();
    let seen: Vec<_> = lines.iter().map(|line| (line.kind, line.credit, line.amount, line.other)).collect();
    assert_eq!(
        seen,
        [
            (EntryKind::EscrowSettle, true, 100 * FOG - price, Account::Escrow(job(1))),
            (EntryKind::EscrowLock, false, 100 * FOG, Account::Escrow(job(1))),
            (EntryKind::Join, true, 10_000 * FOG, Account::JoinerFund),
        ]
    );
    assert_eq!((lines[0].counterparty, lines[0].job), (Some(worker), Some(job(1))));
    let lines = ledger::entries(&mut conn, &worker, 1).await.unwrap();
    assert_eq!((lines[0].memo.as_str(), lines[0].credit, lines[0].amount), ("words", true, price));
    assert_eq!((lines.len(), lines[0].counterparty), (1, Some(payer)));
    ledger::check(&mut conn).await.unwrap();
}

#[tokio::test]
async fn a_job_given_back() {
    let mut conn = with_members(2).await;
    ledger::escrow_lock(&mut conn, &job(1), &person(1), FOG, NOW).await.unwrap();
    assert_eq!(ledger::escrow_refund(&mut conn, &job(1), NOW).await.unwrap(), Outcome::New);
    assert_eq!(ledger::escrow_refund(&mut conn, &job(1), NOW).await.unwrap(), Outcome::Known);
    assert_eq!(ledger::balance(&mut conn, &person(1)).await.unwrap(), 10_000 * FOG);
    let settled = ledger::escrow_settle(&mut conn, &job(1), &person(2), FOG, NOW, "").await;
    assert!(matches!(settled, Err(Error::AlreadyRefunded)));
    let direct = ledger::settle_direct(&mut conn, &job(1), &person(1), &person(2), FOG, NOW, "").await;
    assert!(matches!(direct, Err(Error::AlreadyRefunded)));
    assert!(matches!(ledger::escrow_refund(&mut conn, &job(2), NOW).await, Err(Error::NoEscrow)));
    ledger::check(&mut conn).await.unwrap();
}

#[tokio::test]
async fn nobody_overdraws() {
    let mut conn = with_members(2).await;
    for amount in [10_000 * FOG + 1, u128::MAX] {
        let lock = ledger::escrow_lock(&mut conn, &job(1), &person(1), amount, NOW).await;
        let Err(error @ Error::Insufficient { .. }) = lock else { panic!("{lock:?}") };
        assert!(error.to_string().contains("has 10000 FOG"), "{error}");
        let direct = ledger::settle_direct(&mut conn, &job(1), &person(1), &person(2), amount, NOW, "").await;
        assert!(matches!(direct, Err(Error::Insufficient { .. })));
    }
    let stranger = ledger::escrow_lock(&mut conn, &job(1), &person(9), 1, NOW).await;
    assert!(matches!(stranger, Err(Error::Insufficient { available: 0, .. })));
    // The joiner fund, too: 4000 joiners, no more.
    let genesis = Genesis { joiner_grant: 30_000_000 * FOG, ..Genesis::test(NETWORK) };
    let mut conn = memory_with(&genesis).await;
    ledger::join(&mut conn, &person(1), NOW).await.unwrap();
    assert!(matches!(ledger::join(&mut conn, &person(2), NOW).await, Err(Error::Insufficient { .. })));
    assert_eq!(ledger::members(&mut conn).await.unwrap().len(), 1);
    ledger::check(&mut conn).await.unwrap();
}

#[tokio::test]
async fn third_nodes_and_both_parties_agree() {
    let (payer, worker, price) = (person(1), person(2), 42 * FOG + 7);
    let mut held = with_members(2).await;
    ledger::escrow_lock(&mut held, &job(1), &payer, 50 * FOG, NOW).await.unwrap();
    let mut third = with_members(2).await;
    for conn in [&mut held, &mut third] {
        let direct = async |conn: &mut _, price| {
            ledger::settle_direct(conn, &job(1), &payer, &worker, price, NOW, "m").await
        };
        assert_eq!(direct(conn, price).await.unwrap(), Outcome::New);
        assert_eq!(direct(conn, price).await.unwrap(), Outcome::Known);
        assert!(matches!(direct(conn, price - 1).await, Err(Error::AlreadySettled)));
        let settle = ledger::escrow_settle(conn, &job(1), &worker, price, NOW, "m").await;
        assert_eq!(settle.unwrap(), Outcome::Known);
        assert_eq!(ledger::balance(conn, &payer).await.unwrap(), 10_000 * FOG - price);
        assert_eq!(ledger::balance(conn, &worker).await.unwrap(), 10_000 * FOG + price);
        assert_eq!(
            ledger::job(conn, &job(1)).await.unwrap().unwrap().state,
            JobAccountState::Settled { worker, price }
        );
        ledger::check(conn).await.unwrap();
    }
    // An escrow that comes after the settlement would hold the money twice.
    let late = ledger::escrow_lock(&mut third, &job(1), &payer, 50 * FOG, NOW).await;
    assert!(matches!(late, Err(Error::AlreadySettled)));
    // A receipt that names another payer than the escrow's.
    ledger::escrow_lock(&mut held, &job(2), &payer, FOG, NOW).await.unwrap();
    let other = ledger::settle_direct(&mut held, &job(2), &worker, &payer, FOG, NOW, "").await;
    assert!(matches!(other, Err(Error::EscrowDiffers)));
}

#[tokio::test]
async fn paying_oneself_mints_nothing() {
    let mut conn = with_members(1).await;
    ledger::escrow_lock(&mut conn, &job(1), &person(1), FOG, NOW).await.unwrap();
    ledger::escrow_settle(&mut conn, &job(1), &person(1), FOG / 2, NOW, "").await.unwrap();
    ledger::settle_direct(&mut conn, &job(2), &person(1), &person(1), 0, NOW, "").await.unwrap();
    ledger::settle_direct(&mut conn, &job(3), &person(1), &person(1), FOG, NOW, "").await.unwrap();
    assert_eq!(ledger::balance(&mut conn, &person(1)).await.unwrap(), 10_000 * FOG);
    assert_eq!(ledger::totals(&mut conn, &person(1)).await.unwrap(), ledger::Totals::default());
    assert_eq!(ledger::entries(&mut conn, &person(1), 100).await.unwrap().len(), 8);
    ledger::check(&mut conn).await.unwrap();
}

#[tokio::test]
async fn a_long_memo_does_not_stop_a_payment() {
    let mut conn = with_members(2).await;
    let memo = "ä".repeat(1000);
    ledger::settle_direct(&mut conn, &job(1), &person(1), &person(2), 1, NOW, &memo).await.unwrap();
    assert_eq!(ledger::entries(&mut conn, &person(1), 1).await.unwrap()[0].memo, "ä".repeat(128));
}

#[tokio::test]
async fn sqlite_refuses_what_the_code_would_not_do() {
    let mut conn = with_members(1).await;
    let entry = "INSERT INTO ledger_entries (op, kind, time_ms, memo) VALUES ('x', 'join', 0, '');
                 INSERT INTO ledger_postings SELECT max(id), 0, 6, 5, 0 FROM ledger_entries;";
    let seal = "UPDATE ledger_entries SET sealed = 1 WHERE op = 'x';";
    for (sql, why) in [
        ("DELETE FROM ledger_postings".into(), "never deleted"),
        ("DELETE FROM ledger_entries".into(), "never deleted"),
        ("UPDATE ledger_postings SET fog = 1".into(), "never changed"),
        ("UPDATE ledger_entries SET memo = 'x'".into(), "never changed"),
        ("UPDATE ledger_accounts SET fog = -1 WHERE kind = 'person'".into(), "CHECK"),
        ("INSERT INTO ledger_postings VALUES (1, 8, 1, 0, 0)".into(), "sealed"),
        (
            "INSERT INTO ledger_entries (op, kind, time_ms, memo) VALUES ('genesis', 'x', 0, '')".into(),
            "UNIQUE",
        ),
        // One side alone does not balance, and unsealed does not commit.
        (format!("BEGIN; {entry} {seal} COMMIT"), "balance"),
        (format!("BEGIN; {entry} COMMIT"), "FOREIGN KEY"),
    ] as [(String, &str); 9]
    {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&mut conn).await;
        let error = refused.expect_err(&sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut conn).await;
    }
    ledger::check(&mut conn).await.unwrap();
    // What nothing can refuse, the recount finds.
    sqlx::raw_sql("UPDATE ledger_accounts SET fog = fog + 1 WHERE kind = 'person'")
        .execute(&mut conn)
        .await
        .unwrap();
    assert!(matches!(ledger::check(&mut conn).await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn mixing_is_paid_from_the_pool_once_for_an_epoch_and_up_to_the_days_cap() {
    let mut conn = with_members(2).await;
    let pool = ledger::account_balance(&mut conn, &Account::RewardsPool).await.unwrap();
    let day = NOW / 86_400_000 * 86_400_000;
    let hour = |relay: u8, hour: u64, uptime_permille| Mixing {
        relay: [relay; 32],
        epoch: hour as u32,
        seconds: 3600,
        ended_ms: day + hour * 3_600_000,
        uptime_permille,
    };
    let me = person(1);
    assert_eq!(ledger::reward_mixing(&mut conn, &me, &hour(1, 0, 0)).await.unwrap(), (Outcome::New, 5 * FOG));
    assert_eq!(ledger::reward_mixing(&mut conn, &me, &hour(1, 0, 1000)).await.unwrap(), (Outcome::Known, 0));
    // Whoever is named for the same relay and epoch: it is paid already.
    assert_eq!(
        ledger::reward_mixing(&mut conn, &person(2), &hour(1, 0, 0)).await.unwrap(),
        (Outcome::Known, 0)
    );
    assert_eq!(
        ledger::reward_mixing(&mut conn, &me, &hour(2, 0, 60_000)).await.unwrap(),
        (Outcome::New, 15 * FOG / 2)
    );
    for n in 1..24 {
        ledger::reward_mixing(&mut conn, &me, &hour(1, n, 1000)).await.unwrap();
    }
    assert_eq!(ledger::mixing_rewards(&mut conn, &me).await.unwrap(), 100 * FOG, "the cap");
    assert_eq!(
        ledger::reward_mixing(&mut conn, &me, &hour(1, 24, 0)).await.unwrap(),
        (Outcome::New, 5 * FOG)
    );
    assert_eq!(
        ledger::account_balance(&mut conn, &Account::RewardsPool).await.unwrap(),
        pool - 105 * FOG,
        "nothing is minted"
    );
    let totals = ledger::totals(&mut conn, &me).await.unwrap();
    assert_eq!((totals.earned, totals.spent), (105 * FOG, 0));
    let by_day = ledger::earned_by_day(&mut conn, &me, day + 25 * 3_600_000, 3).await.unwrap();
    assert_eq!(by_day, [0, 100 * FOG, 5 * FOG]);
    let lines = ledger::entries(&mut conn, &me, 100).await.unwrap();
    assert!(
        lines
            .iter()
            .any(|l| l.kind == EntryKind::MixingReward && l.credit && l.other == Account::RewardsPool)
    );
    for bad in [Mixing { seconds: 0, ..hour(3, 0, 0) }, Mixing { seconds: 86_401, ..hour(3, 0, 0) }] {
        assert!(ledger::reward_mixing(&mut conn, &me, &bad).await.is_err());
    }
    assert!(ledger::reward_mixing(&mut conn, &person(9), &hour(3, 0, 0)).await.is_err(), "no member");
    ledger::check(&mut conn).await.unwrap();
}
