//! Contacts: added by their cards; whoever adds me sends me theirs.

use crate::card::Card;
use crate::core::Core;
use crate::direct::Device;
use crate::error::{Result, bad_input, database, not_found, refused};
use crate::identity::{fingerprint, hex, unhex};
use crate::time::{now_ms, seconds};
use crate::wire::Place;
use crate::work::{After, Work};
use crate::{network, reach, records, settings, wire};
use betanet::Key;
use fog_api::{ApiError, CardView, Contact, ContactState, ErrorKind, EventBody, PrivacyLevel};
use fog_p2p::mixnet::{MixAddress, MoreHomes};
use fog_p2p::outbox::{self, Priority};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// People who added me and whom I have not answered. More are not let in.
const MAX_ASKING: i64 = 256;
/// Messages that wait for a contact, above which a change of their network sets off no introduction.
const MAX_QUEUED_RECORDS: i64 = 1024;
/// A contact counts as online this long after the last sign of life (the baseline's 300 s).
const ONLINE_MS: i64 = 300_000;

/// A contact as stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: Key,
    pub(crate) seal_key: Key,
    pub(crate) name: String,
    pub(crate) state: ContactState,
    pub(crate) address: MixAddress,
    pub(crate) last_seen_ms: Option<i64>,
    /// As I chose.
    pub(crate) privacy: PrivacyLevel,
    /// As they asked.
    pub(crate) asked: PrivacyLevel,
    /// Their device, while they allow direct connections.
    pub(crate) device: Option<Device>,
    /// Their box for me.
    pub(crate) their_box: Option<Place>,
    /// The relay of my box for them.
    pub(crate) own_box: Option<Key>,
    /// That box's number, or the number of the last one.
    pub(crate) own_box_number: u64,
}

fn state_text(state: ContactState) -> &'static str {
    match state {
        ContactState::Asking => "asking",
        ContactState::Accepted => "accepted",
        ContactState::Blocked => "blocked",
    }
}

fn from_row(row: &SqliteRow) -> sqlx::Result<Stored> {
    let key = |name: &str| -> sqlx::Result<Key> {
        row.try_get::<Vec<u8>, _>(name)?.try_into().map_err(|_| sqlx::Error::RowNotFound)
    };
    let optional = |name: &str| -> sqlx::Result<Option<Key>> {
        let bytes = row.try_get::<Option<Vec<u8>>, _>(name)?;
        bytes.map(|b| b.try_into().map_err(|_| sqlx::Error::RowNotFound)).transpose()
    };
    let addresses = row.try_get::<Option<String>, _>("direct_addresses")?;
    let addresses = addresses.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let privacy = match row.try_get::<bool, _>("direct")? {
        true => PrivacyLevel::Public,
        false => reach::level_from_text(&row.try_get::<String, _>("privacy")?),
    };
    Ok(Stored {
        id: key("id")?,
        seal_key: key("seal_key")?,
        name: row.try_get("name")?,
        state: match row.try_get::<String, _>("state")?.as_str() {
            "accepted" => ContactState::Accepted,
            "blocked" => ContactState::Blocked,
            _ => ContactState::Asking,
        },
        address: MixAddress {
            network: key("network")?,
            home: key("home")?,
            mailbox: key("mailbox")?,
            more: MoreHomes::from_bytes(
                &row.try_get::<Option<Vec<u8>>, _>("more_homes")?.unwrap_or_default(),
            ),
        },
        last_seen_ms: row.try_get("last_seen_ms")?,
        privacy,
        asked: reach::level_from_text(&row.try_get::<String, _>("asked")?),
        device: optional("direct_key")?.map(|key| Device { key, addresses }),
        their_box: optional("box_relay")?.zip(optional("box_id")?).map(|(relay, id)| Place { relay, id }),
        own_box: optional("own_box_relay")?,
        own_box_number: row.try_get::<i64, _>("own_box_number")?.unsigned_abs(),
    })
}

pub(crate) async fn all(conn: &mut SqliteConnection) -> Result<Vec<Stored>> {
    let rows = sqlx::query("SELECT * FROM node_contacts").fetch_all(conn).await.map_err(database)?;
    rows.iter().map(from_row).collect::<sqlx::Result<_>>().map_err(database)
}

pub(crate) async fn by_id(conn: &mut SqliteConnection, id: &Key) -> Result<Option<Stored>> {
    let row = sqlx::query("SELECT * FROM node_contacts WHERE id = ?")
        .bind(id.as_slice())
        .fetch_optional(conn)
        .await;
    row.map_err(database)?.as_ref().map(from_row).transpose().map_err(database)
}

pub(crate) async fn by_seal_key(conn: &mut SqliteConnection, key: &Key) -> Result<Option<Stored>> {
    let query = sqlx::query("SELECT * FROM node_contacts WHERE seal_key = ?");
    let row = query.bind(key.as_slice()).fetch_optional(conn).await;
    row.map_err(database)?.as_ref().map(from_row).transpose().map_err(database)
}

/// The contact that a command names.
pub(crate) async fn named(conn: &mut SqliteConnection, peer: &str) -> Result<Stored> {
    let id = unhex::<32>(peer).ok_or_else(|| bad_input("A person's id is 64 hexadecimal digits."))?;
    by_id(conn, &id).await?.ok_or_else(|| not_found("There is no contact with this id."))
}

/// The contact as the page shows it.
pub(crate) async fn view(
    conn: &mut SqliteConnection,
    contact: &Stored,
    test_network: bool,
) -> Result<Contact> {
    let unread: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM node_messages WHERE peer = ? AND outgoing = 0 AND status != 'read'",
    )
    .bind(contact.id.as_slice())
    .fetch_one(&mut *conn)
    .await
    .map_err(database)?;
    let last: Option<(String, i64)> =
        sqlx::query_as("SELECT text, time_ms FROM node_messages WHERE peer = ? ORDER BY number DESC LIMIT 1")
            .bind(contact.id.as_slice())
            .fetch_optional(conn)
            .await
            .map_err(database)?;
    let first_line = |t: &str| t.lines().next().unwrap_or_default().chars().take(120).collect::<String>();
    Ok(Contact {
        id: hex(&contact.id),
        name: contact.name.clone(),
        fingerprint: fingerprint(&contact.id),
        state: contact.state,
        online: contact.last_seen_ms.is_some_and(|t| now_ms() - t <= ONLINE_MS),
        last_seen: contact.last_seen_ms.map(seconds),
        unread: u32::try_from(unread).unwrap_or(u32::MAX),
        last_text: last.as_ref().map(|(t, _)| first_line(t)),
        last_time: last.map(|(_, t)| seconds(t)),
        network: hex(&contact.address.network),
        test_network,
        privacy: contact.privacy,
        privacy_asked: match contact.device {
            Some(_) if contact.asked == PrivacyLevel::Private => PrivacyLevel::Public,
            _ => contact.asked,
        },
    })
}

pub(crate) async fn emit(work: &mut Work, contact: &Stored) -> Result<Contact> {
    let test = work.core.network.is_test(&contact.address.network);
    let view = view(work.conn(), contact, test).await?;
    work.emit(EventBody::Contact(view.clone()));
    Ok(view)
}

pub(crate) async fn list(core: &Core) -> Result<Vec<Contact>> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let mut views = Vec::new();
    for contact in all(&mut conn).await? {
        let test = core.network.is_test(&contact.address.network);
        views.push(view(&mut conn, &contact, test).await?);
    }
    let activity = |c: &Contact| c.last_time.or(c.last_seen).unwrap_or(0.0);
    views.sort_by(|a, b| activity(b).total_cmp(&activity(a)).then_with(|| a.name.cmp(&b.name)));
    Ok(views)
}

async fn put(work: &mut Work, card: &Card, state: ContactState) -> Result<Stored> {
    let address = card.address();
    sqlx::query(
        "INSERT INTO node_contacts (id, seal_key, name, state, network, home, mailbox, card_ms, created_ms, \
         more_homes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, seal_key = excluded.seal_key, \
         network = excluded.network, home = excluded.home, mailbox = excluded.mailbox, card_ms = excluded.card_ms, \
         more_homes = excluded.more_homes, \
         box_relay = CASE WHEN network = excluded.network THEN box_relay END, \
         box_id = CASE WHEN network = excluded.network THEN box_id END, \
         own_box_relay = CASE WHEN network = excluded.network THEN own_box_relay END \
         WHERE excluded.card_ms >= node_contacts.card_ms",
    )
    .bind(card.id.as_slice())
    .bind(card.seal_key.as_slice())
    .bind(&card.name)
    .bind(state_text(state))
    .bind(address.network.as_slice())
    .bind(address.home.as_slice())
    .bind(address.mailbox.as_slice())
    .bind(card.issued_ms)
    .bind(work.now_ms)
    .bind(address.more.to_bytes())
    .execute(work.conn())
    .await
    .map_err(|e| match e.as_database_error() {
        Some(d) if d.is_unique_violation() => {
            ApiError::new(ErrorKind::Conflict, "Another contact has the same key: this card is not genuine.")
        }
        _ => database(e),
    })?;
    write_state(work, &card.id, state).await?;
    by_id(work.conn(), &card.id).await?.ok_or_else(|| not_found("The contact is gone."))
}

async fn write_state(work: &mut Work, id: &Key, state: ContactState) -> Result<()> {
    sqlx::query("UPDATE node_contacts SET state = ? WHERE id = ?")
        .bind(state_text(state))
        .bind(id.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    Ok(())
}

/// My card for the network over which somebody is reached (none: the primary one).
pub(crate) fn my_card(core: &Core, network: Option<&Key>) -> Result<Card> {
    let name = core.settings.read().name.clone();
    card_as(core, network, &name, core.card_ms.load(Ordering::Relaxed))
}

fn card_as(core: &Core, network: Option<&Key>, name: &str, issued_ms: i64) -> Result<Card> {
    let (address, consensus) = core.network.my_address(&core.me, network)?;
    Ok(Card::new(&core.me, name, address, issued_ms, consensus))
}

pub(crate) fn card_view(core: &Core) -> Result<CardView> {
    let card = my_card(core, None)?;
    let text = card.to_text(&core.me);
    // A large network's card is too long for a QR code; then there is the text alone.
    let qr_svg = qrcode::QrCode::with_error_correction_level(&text, qrcode::EcLevel::L).map_or_else(
        |_| String::new(),
        |code| {
            code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(320, 320).quiet_zone(true).build()
        },
    );
    Ok(CardView { text, qr_svg, test_network: core.network.is_test(&card.address().network) })
}

async fn send_card(work: &mut Work, to: &Stored, card: &Card) -> Result<()> {
    let text = card.to_text(&work.core.me);
    work.send(to.seal_key, wire::HELLO, Priority::High, text.into_bytes()).await?;
    Ok(())
}

/// My primary network changes: a contact gets my card for it, in place of the one before.
pub(crate) async fn send_new_card(work: &mut Work, to: &Stored) -> Result<()> {
    let issued_ms = settings::renew_card(work).await?;
    let network = network::primary(work.conn()).await?;
    let name = work.core.settings.read().name.clone();
    let card = card_as(&work.core, Some(&network), &name, issued_ms)?;
    send_card(work, to, &card).await
}

/// My name changes: whoever has my card gets the new one.
pub(crate) async fn send_card_to_all(work: &mut Work, name: &str, issued_ms: i64) -> Result<()> {
    for contact in all(work.conn()).await? {
        if contact.state == ContactState::Accepted {
            let card = card_as(&work.core, Some(&contact.address.network), name, issued_ms)?;
            send_card(work, &contact, &card).await?;
        }
    }
    Ok(())
}

/// Adds the person of this card, joins their network, and introduces myself.
pub(crate) async fn add(core: &Arc<Core>, text: &str) -> Result<Contact> {
    let card = Card::from_text(text).map_err(|e| bad_input(e.to_string()))?;
    if card.id == core.id {
        return Err(bad_input("This is your own card. Give it to others, and add theirs here."));
    }
    let network = card.address().network;
    let member = core.network.is_member(&network);
    let added = add_card(core, &card).await;
    if added.is_err() && !member {
        core.network.forget(&network);
    }
    added
}

async fn add_card(core: &Arc<Core>, card: &Card) -> Result<Contact> {
    let mut work = Work::begin(core).await?;
    let primary = network::primary(work.conn()).await?;
    let known = by_id(work.conn(), &card.id).await?;
    let mut contact = match known {
        // We share a ledger already. Their card may be from before they joined it; it must not lead away again.
        Some(known) if known.address.network == primary && card.address().network != primary => {
            write_state(&mut work, &card.id, ContactState::Accepted).await?;
            Stored { state: ContactState::Accepted, ..known }
        }
        _ => {
            network::join(&mut work, card).await?;
            put(&mut work, card, ContactState::Accepted).await?
        }
    };
    contact = reach::arrange(&mut work, contact, false).await?;
    let mine = my_card(core, Some(&contact.address.network))?;
    send_card(&mut work, &contact, &mine).await?;
    records::introduce(&mut work, &contact).await?;
    let view = emit(&mut work, &contact).await?;
    work.commit().await?;
    Ok(view)
}

pub(crate) async fn set_state(core: &Arc<Core>, peer: &str, state: ContactState) -> Result<Contact> {
    if state == ContactState::Asking {
        return Err(bad_input("A contact can be accepted or blocked."));
    }
    let mut work = Work::begin(core).await?;
    let mut contact = named(work.conn(), peer).await?;
    write_state(&mut work, &contact.id, state).await?;
    if state == ContactState::Accepted && contact.state == ContactState::Asking {
        records::introduce(&mut work, &contact).await?;
    }
    contact.state = state;
    if state == ContactState::Blocked {
        work.after(After::Block(contact.seal_key));
        work.after(After::Direct);
        work.after(After::Boxes);
    } else {
        contact = reach::arrange(&mut work, contact, false).await?;
    }
    let view = emit(&mut work, &contact).await?;
    work.commit().await?;
    Ok(view)
}

/// Chooses how far what goes between a contact and me goes.
pub(crate) async fn set_privacy(core: &Arc<Core>, peer: &str, privacy: PrivacyLevel) -> Result<Contact> {
    let mut work = Work::begin(core).await?;
    let before = named(work.conn(), peer).await?;
    sqlx::query("UPDATE node_contacts SET privacy = ?, direct = ? WHERE id = ?")
        .bind(reach::level_text(privacy))
        .bind(privacy == PrivacyLevel::Public)
        .bind(before.id.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    let contact = if before.state == ContactState::Blocked {
        Stored { privacy, ..before }
    } else {
        reach::choose(&mut work, before, privacy).await?
    };
    let view = emit(&mut work, &contact).await?;
    work.commit().await?;
    Ok(view)
}

/// It may be possible later: the sender keeps it and sends it again.
fn later(why: &str) -> ApiError {
    ApiError::new(ErrorKind::Unavailable, why)
}

/// Somebody's card came: a new person asks, or a contact has a new name or home.
pub(crate) async fn hello(work: &mut Work, sender: &Key, body: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(body).map_err(|_| bad_input("a card that is not text"))?;
    let card = Card::from_text(text).map_err(|e| bad_input(e.to_string()))?;
    if card.seal_key != *sender || card.id == work.core.id {
        return Err(bad_input("a card that is not its sender's"));
    }
    if !work.core.network.is_member(&card.address().network) {
        return Err(later("a card for a network that this node is not in"));
    }
    let known = by_id(work.conn(), &card.id).await?;
    let state = match &known {
        Some(k) => k.state,
        None => {
            let asking: i64 = sqlx::query_scalar("SELECT count(*) FROM node_contacts WHERE state = 'asking'")
                .fetch_one(work.conn())
                .await
                .map_err(database)?;
            if asking >= MAX_ASKING {
                return Err(later("too many people are asking already"));
            }
            ContactState::Asking
        }
    };
    if state == ContactState::Blocked {
        return Err(refused("a blocked person's card"));
    }
    // This message proves that the key is theirs. A contact who claims the same key made it up: their card was
    // signed by them, but not by the key's owner.
    sqlx::query("UPDATE node_contacts SET seal_key = randomblob(32), state = 'blocked' WHERE seal_key = ? AND id != ?")
        .bind(card.seal_key.as_slice())
        .bind(card.id.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    let contact = put(work, &card, state).await?;
    let contact = reach::arrange(work, contact, false).await?;
    match known {
        // The rest follows when they are accepted: a stranger's card must not set off a flood.
        None => records::introduce_me(work, &contact).await?,
        Some(known) if known.state == ContactState::Accepted => came_here(work, &known, &contact).await?,
        Some(_) => {}
    }
    emit(work, &contact).await?;
    Ok(())
}

/// A contact who moves to the own network refused its records before, so they get them again.
async fn came_here(work: &mut Work, before: &Stored, now: &Stored) -> Result<()> {
    let primary = network::primary(work.conn()).await?;
    if before.address.network == now.address.network || now.address.network != primary {
        return Ok(());
    }
    let waiting = outbox::queued(work.conn(), &now.seal_key, Priority::Normal).await.map_err(database)?;
    // Whoever moves to and fro does not fill this disk with it: what waits holds the records already.
    if waiting < MAX_QUEUED_RECORDS { records::introduce(work, now).await } else { Ok(()) }
}

/// Something authentic came from this peer.
pub(crate) async fn heard(core: &Arc<Core>, peer: &Key) -> Result<()> {
    let mut work = Work::begin(core).await?;
    let Some(mut contact) = by_seal_key(work.conn(), peer).await? else { return Ok(()) };
    let now = work.now_ms;
    sqlx::query("UPDATE node_contacts SET last_seen_ms = ? WHERE id = ?")
        .bind(now)
        .bind(contact.id.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    contact.last_seen_ms = Some(now);
    emit(&mut work, &contact).await?;
    work.commit().await
}
