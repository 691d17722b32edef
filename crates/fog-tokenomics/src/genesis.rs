//! The beginning of a network: supply, its first owners, and the rules of voting.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::{
    Person, UNITS_PER_FOG,
    amount::signed,
    db,
    error::{Error, Result},
    governance::Role,
    ledger::{Account, EntryKind, journal},
    membership,
};

const HOUR_MS: u64 = 3_600_000;
/// No genesis may allow more: 10^12 FOG, far below what the ledger's integers hold.
const MAX_CAP: u128 = 1_000_000_000_000 * UNITS_PER_FOG;

/// The numbers on which all nodes of a network agree. Amounts are smallest units, times milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The network's id. Statements of other networks are refused.
    pub network: [u8; 32],
    /// What exists.
    pub supply: u128,
    /// What may ever exist.
    pub cap: u128,
    /// The treasury's part of the supply, in thousandths.
    pub treasury_permille: u16,
    /// The sovereign fund's part of the supply, in thousandths.
    pub sovereign_permille: u16,
    /// The part of the supply from which founders and joiners are paid, in thousandths. What remains of the
    /// supply is the rewards pool.
    pub joiner_permille: u16,
    /// What each joiner receives.
    pub joiner_grant: u128,
    /// How long votes last.
    pub voting_ms: u64,
    /// The share of all power that must vote, percent.
    pub quorum_percent: u8,
    /// The share of yes among yes and no that it takes, percent.
    pub approval_percent: u8,
    /// Voting power that opening a proposal takes.
    pub propose_threshold: u128,
    /// The wait between passing and execution.
    pub execution_delay_ms: u64,
    /// How long emergency votes last. (They execute without delay.)
    pub emergency_voting_ms: u64,
    /// The quorum of emergency votes, percent.
    pub emergency_quorum_percent: u8,
    /// Persons who have balances or roles from the beginning.
    pub founders: Vec<Founder>,
    /// True for a test network, whose FOG has no worth.
    pub test: bool,
}

/// A person with a balance and a role from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Who.
    pub person: Person,
    /// Their role.
    pub role: Role,
    /// Their balance, paid from the joiners' part; they get no grant besides.
    pub balance: u128,
}

impl Genesis {
    /// The baseline's numbers: 100 million FOG of at most 1000 million; 15 % treasury, 5 % sovereign fund;
    /// a week's voting, quorum 10 %, approval 60 %, a day's delay; emergencies 24 hours, quorum 30 %. Nobody
    /// is given anything.
    pub fn baseline(network: [u8; 32]) -> Self {
        Self {
            network,
            supply: 100_000_000 * UNITS_PER_FOG,
            cap: 1_000_000_000 * UNITS_PER_FOG,
            treasury_permille: 150,
            sovereign_permille: 50,
            joiner_permille: 0,
            joiner_grant: 0,
            voting_ms: 168 * HOUR_MS,
            quorum_percent: 10,
            approval_percent: 60,
            propose_threshold: 1000 * UNITS_PER_FOG,
            execution_delay_ms: 24 * HOUR_MS,
            emergency_voting_ms: 24 * HOUR_MS,
            emergency_quorum_percent: 30,
            founders: Vec::new(),
            test: false,
        }
    }

    /// A test network: the baseline, but each joiner gets 10,000 FOG from 40 % of the supply (enough for
    /// 4000 joiners), and votes last 60 seconds.
    pub fn test(network: [u8; 32]) -> Self {
        Self {
            joiner_permille: 400,
            joiner_grant: 10_000 * UNITS_PER_FOG,
            voting_ms: 60_000,
            emergency_voting_ms: 60_000,
            execution_delay_ms: 60_000,
            test: true,
            ..Self::baseline(network)
        }
    }

    /// Checks that the numbers agree with one another.
    ///
    /// # Errors
    /// [`Error::InvalidGenesis`] says which do not.
    pub fn validate(&self) -> Result<()> {
        let fail = |reason| Err(Error::InvalidGenesis(reason));
        if self.supply == 0 || self.supply > self.cap || self.cap > MAX_CAP {
            return fail("the supply is zero or above the cap");
        }
        if u32::from(self.treasury_permille)
            + u32::from(self.sovereign_permille)
            + u32::from(self.joiner_permille)
            > 1000
        {
            return fail("the parts are more than the supply");
        }
        if self.quorum_percent > 100 || self.approval_percent > 100 || self.emergency_quorum_percent > 100 {
            return fail("a percentage is above 100");
        }
        if self.voting_ms == 0 || self.emergency_voting_ms == 0 {
            return fail("votes last no time");
        }
        let mut founded = 0u128;
        for (i, founder) in self.founders.iter().enumerate() {
            if self.founders[..i].iter().any(|other| other.person == founder.person) {
                return fail("a founder is named twice");
            }
            founded = founded.saturating_add(founder.balance);
        }
        if founded > self.part(self.joiner_permille) {
            return fail("the founders' balances are more than the joiners' part");
        }
        Ok(())
    }

    fn part(&self, permille: u16) -> u128 {
        self.supply / 1000 * u128::from(permille)
    }
}

/// Brings the tables up to date and applies the genesis, once. A later call with the same genesis changes
/// nothing.
///
/// # Errors
/// [`Error::OtherGenesis`] if the database was opened with another one; [`Error::InvalidGenesis`].
pub async fn open(conn: &mut SqliteConnection, genesis: &Genesis) -> Result<()> {
    genesis.validate()?;
    db::migrate(conn).await?;
    let body = postcard::to_stdvec(genesis).map_err(|_| Error::InvalidGenesis("it cannot be written"))?;
    let mut tx = db::begin(conn).await?;
    let stored: Option<(Vec<u8>,)> =
        sqlx::query_as("SELECT body FROM ledger_genesis").fetch_optional(&mut *tx).await?;
    match stored {
        Some((stored,)) if stored == body => return Ok(()),
        Some(_) => return Err(Error::OtherGenesis),
        None => {}
    }
    sqlx::query("INSERT INTO ledger_genesis (one, body) VALUES (1, ?)").bind(body).execute(&mut *tx).await?;
    issue(&mut tx, genesis).await?;
    tx.commit().await?;
    Ok(())
}

/// Leaves a test network for another: all tables begin anew, empty, and [`open`] takes another genesis. For a
/// node that began alone and then met a network.
///
/// # Errors
/// [`Error::NotOpened`]; [`Error::Invalid`] if the network is no test, or somebody else is a member already:
/// that history is not thrown away.
pub async fn abandon(conn: &mut SqliteConnection) -> Result<()> {
    let mut tx = db::begin(conn).await?;
    if !genesis(&mut tx).await?.test {
        return Err(Error::Invalid("only a test network can be left"));
    }
    if membership::members(&mut tx).await?.len() > 1 {
        return Err(Error::Invalid("other people are members of this network"));
    }
    // The youngest tables first: they refer to the older ones.
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND
             (name GLOB 'ledger_*' OR name GLOB 'dao_*' OR name = '_migrations_tokenomics')
         ORDER BY rowid DESC",
    )
    .fetch_all(&mut *tx)
    .await?;
    for (table,) in tables {
        let drop = sqlx::AssertSqlSafe(format!("DROP TABLE \"{table}\""));
        sqlx::query(drop).execute(&mut *tx).await?;
    }
    db::migrate(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Books the supply and its first owners.
async fn issue(conn: &mut SqliteConnection, genesis: &Genesis) -> Result<()> {
    let treasury = genesis.part(genesis.treasury_permille);
    let sovereign = genesis.part(genesis.sovereign_permille);
    let joiners = genesis.part(genesis.joiner_permille);
    let rewards = genesis.supply - treasury - sovereign - joiners;
    let lines = [
        (Account::Issuance, -signed(genesis.supply)?),
        (Account::Treasury, signed(treasury)?),
        (Account::Sovereign, signed(sovereign)?),
        (Account::RewardsPool, signed(rewards)?),
        (Account::JoinerFund, signed(joiners)?),
    ];
    let entry = journal::Entry {
        op: "genesis".into(),
        kind: EntryKind::Genesis,
        time_ms: 0,
        memo: "Genesis",
        job: None,
        payer: None,
    };
    journal::post(conn, &entry, &lines).await?;
    for founder in &genesis.founders {
        membership::admit(conn, &founder.person, founder.role, 0, founder.balance).await?;
    }
    Ok(())
}

/// The genesis with which the database was opened.
///
/// # Errors
/// [`Error::NotOpened`].
pub async fn genesis(conn: &mut SqliteConnection) -> Result<Genesis> {
    let stored: Option<(Vec<u8>,)> =
        sqlx::query_as("SELECT body FROM ledger_genesis").fetch_optional(conn).await?;
    let (body,) = stored.ok_or(Error::NotOpened)?;
    postcard::from_bytes(&body).map_err(|_| Error::Corrupt("the genesis cannot be read".into()))
}
