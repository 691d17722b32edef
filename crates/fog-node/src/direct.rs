//! Direct connections with contacts for whom both sides chose them: no relays between us, and no anonymity.
//!
//! Each side says so with a [`wire::Direct`], which names its device's key and where that can be reached. As long as both have
//! said it, datagrams go over the connection where there is one, and over the mixnet where there is none. A side that does
//! not take connections (the settings' default) dials the other.

use crate::contacts::{self, Stored};
use crate::core::Core;
use crate::error::{Result, bad_input, database};
use crate::reach;
use crate::store;
use crate::wire::{self, Direct};
use crate::work::{After, Work};
use betanet::Key;
use fog_api::{ContactState, DirectSettings, DirectView, PrivacyLevel};
use fog_p2p::direct::{Listening, MAX_ADDRESSES};
use fog_p2p::outbox::Priority;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

const TOLD_KEY: &str = "direct_told";
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A contact's device, while they allow direct connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) key: Key,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The listening socket, and what it was opened for.
#[derive(Default)]
pub(crate) struct Socket(Mutex<Option<(DirectSettings, std::result::Result<Listening, String>)>>);

impl Socket {
    pub(crate) fn view(&self) -> DirectView {
        match &*self.0.lock() {
            None => DirectView { address: None, problem: None },
            Some((_, Ok(listening))) => {
                DirectView { address: Some(listening.address.to_string()), problem: None }
            }
            Some((_, Err(why))) => DirectView { address: None, problem: Some(why.clone()) },
        }
    }

    pub(crate) fn close(&self) {
        *self.0.lock() = None;
    }

    /// Where others reach this device.
    fn addresses(&self) -> Vec<SocketAddr> {
        let socket = self.0.lock();
        let Some((settings, Ok(listening))) = &*socket else { return Vec::new() };
        let public = settings.public_address.as_deref().and_then(|text| text.trim().parse().ok());
        let mut all: Vec<SocketAddr> = public.into_iter().collect();
        let here = match listening.address.ip() {
            ip if ip.is_unspecified() => outward(),
            ip => Some(ip),
        };
        let here = here.map(|ip| SocketAddr::new(ip, listening.address.port()));
        all.extend(here.filter(|here| !all.contains(here)));
        all
    }
}

/// This device's address in its network: that from which it would reach others. Nothing is sent.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation (RFC 5737), so no device is meant.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// Reads the addresses of the settings.
pub(crate) fn check(settings: &DirectSettings) -> std::result::Result<SocketAddr, String> {
    let parse = |text: &str| {
        let address = text.trim().parse::<SocketAddr>();
        address.map_err(|_| format!("{text:?} is no address with a port, such as 0.0.0.0:9200."))
    };
    if let Some(public) = settings.public_address.as_deref().filter(|text| !text.trim().is_empty()) {
        parse(public)?;
    }
    parse(&settings.listen)
}

/// Keeps the socket as the settings want it, and the contacts informed, until the node ends.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        open(&core).await;
        if let Err(e) = tell_new_addresses(&core).await {
            tracing::warn!("contacts are not told where this device is: {e}");
        }
        tokio::select! {
            () = core.cancel.cancelled() => return core.socket.close(),
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = core.look_direct.notified() => {}
        }
    }
}

async fn open(core: &Core) {
    let wanted = core.settings.read().direct.clone();
    let settled = match (&wanted, &*core.socket.0.lock()) {
        (None, None) => true,
        (Some(wanted), Some((settings, Ok(_)))) => wanted == settings,
        _ => false,
    };
    if settled {
        return;
    }
    core.socket.close();
    let Some(settings) = wanted else { return };
    let opened = match check(&settings) {
        Ok(address) => core.direct.listen(address).await.map_err(|e| format!("{}: {e}.", settings.listen)),
        Err(why) => Err(why),
    };
    if let Err(why) = &opened {
        tracing::warn!("direct connections are not taken: {why}");
    }
    *core.socket.0.lock() = Some((settings, opened));
}

async fn tell_new_addresses(core: &Arc<Core>) -> Result<()> {
    let addresses = format!("{:?}", core.socket.addresses());
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let told = store::meta(&mut conn, TOLD_KEY).await.map_err(database)?;
    drop(conn);
    if told.as_deref().unwrap_or("[]") == addresses {
        return Ok(());
    }
    let mut work = Work::begin(core).await?;
    for contact in contacts::all(work.conn()).await? {
        if contact.privacy == PrivacyLevel::Public && contact.state == ContactState::Accepted {
            tell(&mut work, &contact).await?;
        }
    }
    store::set_meta(work.conn(), TOLD_KEY, &addresses).await.map_err(database)?;
    work.commit().await
}

/// Tells a contact whether I allow direct connections with them, and where I am.
pub(crate) async fn tell(work: &mut Work, contact: &Stored) -> Result<()> {
    let core = work.core.clone();
    let direct = match contact.privacy {
        PrivacyLevel::Public => Some((core.direct.key(), core.socket.addresses())),
        _ => None,
    };
    let body = wire::encode(&Direct { device: direct });
    work.send(contact.seal_key, wire::DIRECT, Priority::High, body).await?;
    Ok(())
}

/// A contact allows direct connections, or does not any more.
pub(crate) async fn incoming(work: &mut Work, from: &Stored, body: &[u8]) -> Result<()> {
    let Direct { device } =
        wire::decode(body).ok_or_else(|| bad_input("not a word of direct connections"))?;
    if device.as_ref().is_some_and(|(_, addresses)| addresses.len() > MAX_ADDRESSES) {
        return Err(bad_input("more addresses than anybody has"));
    }
    let addresses = device.as_ref().map(|(_, a)| serde_json::to_string(a).unwrap_or_default());
    sqlx::query("UPDATE node_contacts SET direct_key = ?, direct_addresses = ? WHERE id = ?")
        .bind(device.as_ref().map(|(key, _)| key.to_vec()))
        .bind(addresses)
        .bind(from.id.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    let device = device.map(|(key, addresses)| Device { key, addresses });
    let contact = reach::arrange(work, Stored { device, ..from.clone() }, false).await?;
    work.after(After::Direct);
    contacts::emit(work, &contact).await?;
    Ok(())
}

/// Brings the road's peers to what the contacts are.
pub(crate) fn refresh_later(core: &Arc<Core>) {
    let core = core.clone();
    tokio::spawn(async move {
        let contacts = async {
            let mut conn = core.pool.acquire().await.map_err(database)?;
            contacts::all(&mut conn).await
        };
        match contacts.await {
            Ok(contacts) => set_peers(&core, &contacts),
            Err(e) => tracing::error!("the contacts cannot be read: {e}"),
        }
    });
}

/// Those with whom both sides want direct connections.
pub(crate) fn set_peers(core: &Core, contacts: &[Stored]) {
    let wanted = |c: &&Stored| c.state == ContactState::Accepted && c.level() == PrivacyLevel::Public;
    let peers: HashMap<Key, Vec<SocketAddr>> = contacts
        .iter()
        .filter(wanted)
        .filter_map(|c| c.device.as_ref())
        .map(|d| (d.key, d.addresses.clone()))
        .collect();
    core.direct.set_peers(&peers);
}
