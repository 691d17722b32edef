//! Who belongs to the network, and the signed statement by which one joins.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::{
    Outcome, Person,
    amount::{join_unsigned, signed},
    db::{self, array, hex, time_in, unsigned},
    error::{Error, Result},
    genesis,
    governance::{MAX_FUTURE_MS, Role},
    ledger::{
        Account, EntryKind,
        journal::{Entry, post},
    },
    records::Record,
    signed::{Signed, Statement},
};

/// Longest name, bytes.
pub const MAX_NAME: usize = 64;

/// A person joins a network, or changes their name by a later statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The network.
    pub network: [u8; 32],
    /// Who joins and signs.
    pub person: Person,
    /// Their name: 1 to 64 bytes, no control characters.
    pub name: String,
    /// When, milliseconds since 1970.
    pub time_ms: u64,
}

/// A signed join.
pub type SignedJoin = Signed<Join>;

impl Statement for Join {
    const DOMAIN: &'static [u8] = b"fog-tokenomics join 1\0";

    fn signer(&self) -> &Person {
        &self.person
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub person: Person,
    /// Their name; empty until their signed join was seen.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// When they joined, milliseconds since 1970.
    pub joined_ms: u64,
    /// What they can spend, smallest units.
    pub balance: u128,
}

/// Makes a signed join of the ledger's network. It takes effect by [`put_join`].
///
/// # Errors
/// [`Error::Invalid`] for the name.
pub async fn build_join(
    conn: &mut SqliteConnection,
    name: &str,
    key: &SigningKey,
    now_ms: u64,
) -> Result<SignedJoin> {
    let network = genesis(conn).await?.network;
    let person = key.verifying_key().to_bytes();
    let join = Join { network, person, name: name.trim().to_owned(), time_ms: now_ms };
    check_name(&join.name)?;
    Signed::sign(join, key)
}

/// Admits a person by their signed join: the first pays the genesis' grant, a later one changes the name. Of
/// two joins the later counts (at the same time the one with the greater signature), in whichever order
/// they come.
///
/// # Errors
/// [`Error::WrongSignature`], [`Error::WrongNetwork`], [`Error::Invalid`];
/// [`Error::Insufficient`] once the joiner fund is spent.
pub async fn put_join(conn: &mut SqliteConnection, signed: &SignedJoin, now_ms: u64) -> Result<Outcome> {
    let join = &signed.content;
    let genesis = genesis(conn).await?;
    if join.network != genesis.network {
        return Err(Error::WrongNetwork);
    }
    check_name(&join.name)?;
    if join.time_ms > now_ms.saturating_add(MAX_FUTURE_MS) {
        return Err(Error::Invalid("the join is dated in the future"));
    }
    signed.verify()?;

    let record = Record::Join(signed.clone());
    let bytes = record.encode()?;
    let mut tx = db::begin(conn).await?;
    // Who was admitted without a signed join (a founder) has no name yet: then this is news too.
    admit(&mut tx, &join.person, Role::Citizen, join.time_ms, genesis.joiner_grant).await?;
    let known: Option<(Option<Vec<u8>>,)> =
        sqlx::query_as("SELECT record FROM ledger_members WHERE person = ?")
            .bind(&join.person[..])
            .fetch_optional(&mut *tx)
            .await?;
    if let Some((Some(known),)) = known {
        let Record::Join(known) = Record::decode_stored(&known)? else {
            return Err(Error::Corrupt("a member's record is no join".into()));
        };
        if (known.content.time_ms, known.signature) >= (join.time_ms, signed.signature) {
            return Ok(Outcome::Known);
        }
    }
    sqlx::query("UPDATE ledger_members SET name = ?, record_id = ?, record = ? WHERE person = ?")
        .bind(&join.name)
        .bind(&Record::id_of(&bytes)[..])
        .bind(&bytes)
        .bind(&join.person[..])
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Outcome::New)
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() || name.len() > MAX_NAME {
        return Err(Error::Invalid("a name is 1 to 64 bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::Invalid("a name has no control characters"));
    }
    Ok(())
}

/// Makes a person a member and pays them, once. The caller holds a transaction.
pub(crate) async fn admit(
    conn: &mut SqliteConnection,
    person: &Person,
    role: Role,
    time_ms: u64,
    grant: u128,
) -> Result<Outcome> {
    let added = sqlx::query(
        "INSERT INTO ledger_members (person, name, role, joined_ms) VALUES (?, '', ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&person[..])
    .bind(role.number())
    .bind(time_in(time_ms)?)
    .execute(&mut *conn)
    .await?;
    if added.rows_affected() == 0 {
        return Ok(Outcome::Known);
    }
    if grant > 0 {
        let entry = Entry {
            op: format!("join:{}", hex(person)),
            kind: EntryKind::Join,
            time_ms,
            memo: "Joined the network",
            job: None,
            payer: None,
        };
        let units = signed(grant)?;
        post(conn, &entry, &[(Account::JoinerFund, -units), (Account::Person(*person), units)]).await?;
    }
    Ok(Outcome::New)
}

type MemberRow = (Vec<u8>, String, i64, i64, Option<i64>, Option<i64>);

const MEMBERS: &str = "SELECT m.person, m.name, m.role, m.joined_ms, a.fog, a.atto FROM ledger_members m
     LEFT JOIN ledger_accounts a ON a.kind = 'person' AND a.key = m.person";

/// All members with what they can spend, in the order of their keys.
///
/// # Errors
/// [`Error::Database`].
pub async fn members(conn: &mut SqliteConnection) -> Result<Vec<Member>> {
    let rows: Vec<MemberRow> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("{MEMBERS} ORDER BY m.person"))).fetch_all(conn).await?;
    rows.into_iter().map(parse).collect()
}

/// One member.
///
/// # Errors
/// [`Error::Database`].
pub async fn member(conn: &mut SqliteConnection, person: &Person) -> Result<Option<Member>> {
    let row: Option<MemberRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!("{MEMBERS} WHERE m.person = ?")))
        .bind(&person[..])
        .fetch_optional(conn)
        .await?;
    row.map(parse).transpose()
}

fn parse((person, name, role, joined_ms, fog, atto): MemberRow) -> Result<Member> {
    Ok(Member {
        person: array(&person)?,
        name,
        role: Role::from_number(role)?,
        joined_ms: unsigned(joined_ms)?,
        balance: join_unsigned((fog.unwrap_or(0), atto.unwrap_or(0)))?,
    })
}
