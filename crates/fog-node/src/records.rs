//! The network's signed statements: joins, proposals, votes. What is news is passed on to the other members that
//! this node knows, so that it reaches everybody.

use crate::contacts::{self, Stored};
use crate::error::{Result, bad_input, database, internal, refused};
use crate::work::Work;
use crate::{crossing, governance, mixing, network, settlements, wallet, wire};
use betanet::Key;
use betanet::directory::Consensus;
use fog_api::{ApiError, ContactState, ErrorKind};
use fog_p2p::outbox::Priority;
use fog_tokenomics::records::{self, Subject};
use fog_tokenomics::{Genesis, Join, Record, Signed};

/// The ledger's errors as the caller sees them.
pub(crate) fn api(e: fog_tokenomics::Error) -> ApiError {
    match e {
        fog_tokenomics::Error::Database(e) => database(e),
        e => match e.kind() {
            fog_tokenomics::ErrorKind::Refused => refused(sentence(&e)),
            fog_tokenomics::ErrorKind::Invalid => bad_input(sentence(&e)),
            fog_tokenomics::ErrorKind::Missing => ApiError::new(ErrorKind::NotFound, sentence(&e)),
            fog_tokenomics::ErrorKind::Storage => internal(e),
        },
    }
}

fn sentence(e: &fog_tokenomics::Error) -> String {
    let text = e.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect::<String>() + ".")
}

/// Opens the ledger of a network and joins it.
pub(crate) async fn open_ledger(work: &mut Work, document: &Consensus) -> Result<()> {
    let genesis =
        if document.network.test { Genesis::test(document.id()) } else { Genesis::baseline(document.id()) };
    fog_tokenomics::migrate(work.conn()).await.map_err(api)?;
    match fog_tokenomics::genesis(work.conn()).await {
        // Once open it stays as it was opened, also while the consensus cannot be verified (a wrong clock, say).
        Ok(known) if known.network == document.id() => {}
        _ => fog_tokenomics::open(work.conn(), &genesis).await.map_err(api)?,
    }
    let core = work.core.clone();
    let known = fog_tokenomics::membership::members(work.conn()).await.map_err(api)?;
    if !known.iter().any(|m| m.person == core.id) {
        let name = core.settings.read().name.clone();
        let join = Join { network: document.id(), person: core.id, name, time_ms: work.now() };
        let join = Signed::sign(join, &core.me.signing()).map_err(api)?;
        apply(work, &Record::Join(join)).await?;
    }
    Ok(())
}

/// True if this contact shares my ledger: a member of it, or somebody met in its network who will be one.
pub(crate) async fn shares_ledger(work: &mut Work, contact: &Stored) -> Result<bool> {
    let member = fog_tokenomics::membership::member(work.conn(), &contact.id).await.map_err(api)?;
    Ok(member.is_some() || contact.address.network == network::primary(work.conn()).await?)
}

/// Tells somebody who asks that I am a member.
pub(crate) async fn introduce_me(work: &mut Work, contact: &Stored) -> Result<()> {
    tell(work, contact, true).await
}

/// Tells a new contact everything that the network's members know.
pub(crate) async fn introduce(work: &mut Work, contact: &Stored) -> Result<()> {
    tell(work, contact, false).await
}

async fn tell(work: &mut Work, contact: &Stored, only_me: bool) -> Result<()> {
    if !shares_ledger(work, contact).await? {
        return Ok(());
    }
    let me = work.core.id;
    for id in records::ids(work.conn()).await.map_err(api)? {
        if let Some(bytes) = records::load(work.conn(), &id).await.map_err(api)? {
            if only_me && !matches!(Record::decode(&bytes), Ok(Record::Join(j)) if j.content.person == me) {
                continue;
            }
            work.send(contact.seal_key, wire::RECORD, Priority::Normal, bytes).await?;
        }
    }
    if !only_me {
        mixing::introduce(work, contact).await?;
        settlements::introduce(work, contact).await?;
    }
    Ok(())
}

/// Sends a statement to every member that this node knows, but not to where it came from.
pub(crate) async fn pass_on(work: &mut Work, kind: u16, bytes: &[u8], from: Option<&Key>) -> Result<()> {
    for contact in contacts::all(work.conn()).await? {
        let there = contact.state != ContactState::Blocked && shares_ledger(work, &contact).await?;
        if there && from != Some(&contact.seal_key) {
            work.send(contact.seal_key, kind, Priority::Normal, bytes.to_vec()).await?;
        }
    }
    Ok(())
}

async fn apply(work: &mut Work, record: &Record) -> Result<Vec<Record>> {
    let now = work.now();
    let applied = records::apply(work.conn(), record, now).await.map_err(api)?;
    if !applied.new {
        return Ok(Vec::new());
    }
    match applied.subject {
        Subject::Person(_) => wallet::emit(work).await?,
        Subject::Proposal(id) => governance::emit(work, &id, matches!(record, Record::Proposal(_))).await?,
    }
    Ok([vec![record.clone()], applied.released].concat())
}

/// My new name, for everybody's ledger.
pub(crate) async fn publish_name(work: &mut Work, name: &str) -> Result<()> {
    let (key, now) = (work.core.me.signing(), work.now());
    let join = fog_tokenomics::membership::build_join(work.conn(), name, &key, now).await.map_err(api)?;
    publish(work, &Record::Join(join)).await
}

/// A statement of mine.
pub(crate) async fn publish(work: &mut Work, record: &Record) -> Result<()> {
    spread(work, record, None).await
}

/// A statement came from another node.
pub(crate) async fn incoming(work: &mut Work, from: &Stored, body: &[u8]) -> Result<()> {
    let record = Record::decode(body).map_err(api)?;
    let moved = match &record {
        Record::Join(join) => crossing::resolve(work, from, join).await?,
        _ => false,
    };
    spread(work, &record, Some(&from.seal_key)).await?;
    if moved {
        crossing::tell(work, from).await?;
    }
    Ok(())
}

async fn spread(work: &mut Work, record: &Record, from: Option<&Key>) -> Result<()> {
    let news = apply(work, record).await?;
    for record in &news {
        let bytes = record.encode().map_err(api)?;
        pass_on(work, wire::RECORD, &bytes, from).await?;
    }
    if let (Record::Join(join), false) = (record, news.is_empty()) {
        // Joining pays: what this person owes may be covered now.
        settlements::credited(work, &[join.content.person]).await?;
        mixing::joined(work, &join.content.person).await?;
    }
    Ok(())
}
