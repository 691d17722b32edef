//! Settings of the node, kept in the database.

use crate::card::valid_name;
use crate::core::Core;
use crate::error::{Result, bad_input, database, internal};
use crate::network::mixnode_addresses;
use crate::store;
use crate::work::{After, Work};
use fog_api::{EventBody, Settings};
use sqlx::SqliteConnection;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const KEY: &str = "settings";
const CARD_KEY: &str = "card_ms";
const MAX_DELAY_MS: u32 = 5000;

/// Reads the settings; a new data folder has these.
pub(crate) async fn load(conn: &mut SqliteConnection, name: &str, mean_delay_ms: u32) -> Result<Settings> {
    match store::meta(conn, KEY).await.map_err(database)? {
        Some(text) => serde_json::from_str(&text).map_err(internal),
        None => Ok(Settings {
            name: name.into(),
            mean_delay_ms: mean_delay_ms.min(MAX_DELAY_MS),
            read_receipts: true,
            jobs_from_accepted_only: true,
            cover: None,
            mixnode: None,
            homes: 1,
            direct: None,
            jobs: fog_api::JobSettings::default(),
        }),
    }
}

/// When what my card says was last changed; now, for a new data folder.
pub(crate) async fn card_ms(conn: &mut SqliteConnection) -> Result<i64> {
    if let Some(text) = store::meta(conn, CARD_KEY).await.map_err(database)? {
        return text.parse().map_err(internal);
    }
    let now = crate::time::now_ms();
    store::set_meta(conn, CARD_KEY, &now.to_string()).await.map_err(database)?;
    Ok(now)
}

/// What my card says changes: the new card's time, which is later than the one before whatever the clock says.
pub(crate) async fn renew_card(work: &mut Work) -> Result<i64> {
    let core = work.core.clone();
    let time = work.now_ms.max(card_ms(work.conn()).await? + 1);
    store::set_meta(work.conn(), CARD_KEY, &time.to_string()).await.map_err(database)?;
    // If this work comes to nothing, the cards of the meantime are only dated too late.
    core.card_ms.fetch_max(time, Ordering::Relaxed);
    Ok(time)
}

pub(crate) async fn save(conn: &mut SqliteConnection, settings: &Settings) -> Result<()> {
    let text = serde_json::to_string(settings).map_err(internal)?;
    store::set_meta(conn, KEY, &text).await.map_err(database)
}

pub(crate) async fn set(core: &Arc<Core>, settings: Settings) -> Result<Settings> {
    if !valid_name(&settings.name) {
        return Err(bad_input("A name has 1 to 64 bytes and no control characters."));
    }
    if settings.mean_delay_ms > MAX_DELAY_MS {
        return Err(bad_input(format!("The mean delay is at most {MAX_DELAY_MS} ms.")));
    }
    if let Some(direct) = &settings.direct {
        crate::direct::check(direct).map_err(bad_input)?;
    }
    if !(1..=3).contains(&settings.homes) {
        return Err(bad_input("There can be one, two or three home relays."));
    }
    if let Some(mixnode) = &settings.mixnode {
        mixnode_addresses(mixnode).map_err(bad_input)?;
    }
    let renamed = core.settings.read().name != settings.name;
    let mut work = Work::begin(core).await?;
    save(work.conn(), &settings).await?;
    if renamed {
        let issued = renew_card(&mut work).await?;
        crate::contacts::send_card_to_all(&mut work, &settings.name, issued).await?;
        crate::records::publish_name(&mut work, &settings.name).await?;
    }
    work.after(After::Wake);
    work.commit().await?;
    *core.settings.write() = settings.clone();
    if renamed {
        core.keep_name(&settings.name);
        core.bus.emit(EventBody::State(core.app_state()));
    }
    core.road.set_mean_delay(Duration::from_millis(settings.mean_delay_ms.into()));
    core.network.apply(&settings);
    core.look_direct.notify_one();
    crate::compute::apply(core, &settings.jobs);
    Ok(settings)
}
