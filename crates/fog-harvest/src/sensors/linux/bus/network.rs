//! NetworkManager: whether the network costs by volume.

use super::{Shared, attend, ended, patient};
use futures_util::StreamExt;
use zbus::{Connection, Proxy};

const NAME: &str = "org.freedesktop.NetworkManager";

pub(super) async fn watch(bus: &Connection, shared: &Shared) {
    let forget = || shared.change(|told| told.metered = None);
    ended(attend(bus, NAME, async || listen(bus, shared).await, forget).await, NAME);
}

async fn listen(bus: &Connection, shared: &Shared) -> zbus::Result<()> {
    let manager: Proxy<'_> = Proxy::new(bus, NAME, "/org/freedesktop/NetworkManager", NAME).await?;
    let mut changes = manager.receive_property_changed::<u32>("Metered").await;
    loop {
        let metered = match patient(manager.get_property::<u32>("Metered")).await.ok() {
            // Yes, and a guess that it is.
            Some(1 | 3) => Some(true),
            Some(2 | 4) => Some(false),
            _ => None,
        };
        shared.change(|told| told.metered = metered);
        if changes.next().await.is_none() {
            return Ok(());
        }
    }
}
