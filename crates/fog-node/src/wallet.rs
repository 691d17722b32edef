//! My account as the page shows it.

use crate::core::Core;
use crate::error::{Result, database};
use crate::identity::hex;
use crate::records::api;
use crate::time::{now_ms, seconds};
use crate::work::Work;
use fog_api::{Amount, EntryView, EventBody, WalletView};
use fog_tokenomics::ledger::{self, Account, EntryKind};
use sqlx::SqliteConnection;
use std::collections::HashMap;

const ENTRIES: u32 = 200;
const DAYS: u32 = 14;

fn millis(ms: u64) -> fog_api::Seconds {
    seconds(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The names of the members, by id.
pub(crate) async fn names(conn: &mut SqliteConnection) -> Result<HashMap<[u8; 32], String>> {
    let members = fog_tokenomics::membership::members(conn).await.map_err(api)?;
    Ok(members.into_iter().map(|m| (m.person, m.name)).collect())
}

async fn read(conn: &mut SqliteConnection, me: &[u8; 32]) -> Result<WalletView> {
    let names = names(conn).await?;
    let name = |person: &[u8; 32]| match names.get(person) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => betanet::short(person),
    };
    let totals = ledger::totals(conn, me).await.map_err(api)?;
    let now = now_ms().unsigned_abs();
    let mut entries = ledger::entries(conn, me, ENTRIES).await.map_err(api)?;
    for entry in &mut entries {
        // What a payer gets back when a job is settled is no payment.
        if entry.credit
            && entry.kind == EntryKind::EscrowSettle
            && let Some(id) = entry.job
            && ledger::job(conn, &id).await.map_err(api)?.is_some_and(|j| j.payer == *me)
        {
            entry.memo = "Rest of a job's escrow".into();
        }
    }
    Ok(WalletView {
        balance: Amount(ledger::balance(conn, me).await.map_err(api)?),
        escrow: Amount(ledger::escrow_of(conn, me).await.map_err(api)?),
        earned: Amount(totals.earned),
        spent: Amount(totals.spent),
        earned_by_day: ledger::earned_by_day(conn, me, now, DAYS)
            .await
            .map_err(api)?
            .into_iter()
            .map(Amount)
            .collect(),
        entries: entries
            .into_iter()
            .map(|e| EntryView {
                id: e.id.to_string(),
                time: millis(e.time_ms),
                memo: e.memo,
                credit: e.credit,
                amount: Amount(e.amount),
                other: match (&e.counterparty, &e.other) {
                    (Some(person), _) | (None, Account::Person(person)) => name(person),
                    (None, other) => other.to_string(),
                },
                job: e.job.map(|j| hex(&j)),
            })
            .collect(),
    })
}

pub(crate) async fn view(core: &Core) -> Result<WalletView> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    read(&mut conn, &core.id).await
}

pub(crate) async fn emit(work: &mut Work) -> Result<()> {
    let me = work.core.id;
    let view = read(work.conn(), &me).await?;
    work.emit(EventBody::Wallet(view));
    Ok(())
}
