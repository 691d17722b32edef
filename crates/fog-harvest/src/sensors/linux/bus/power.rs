//! UPower: whether the device draws on its battery, and how full that is.

use super::{Battery, Shared, attend, ended, patient};
use futures_util::{StreamExt, stream};
use zbus::{Connection, Proxy};

const NAME: &str = "org.freedesktop.UPower";
/// UPower's kinds and states of a device.
const KIND_BATTERY: u32 = 2;
const CHARGING: u32 = 1;
const DISCHARGING: u32 = 2;
const EMPTY: u32 = 3;
const FULL: u32 = 4;
const HELD: u32 = 5;

pub(super) async fn watch(bus: &Connection, shared: &Shared) {
    let forget = || shared.change(|told| (told.on_battery, told.battery) = (None, None));
    ended(attend(bus, NAME, async || listen(bus, shared).await, forget).await, NAME);
}

async fn listen(bus: &Connection, shared: &Shared) -> zbus::Result<()> {
    let upower = Proxy::new(bus, NAME, "/org/freedesktop/UPower", NAME).await?;
    let device: Proxy<'_> = Proxy::new(
        bus,
        NAME,
        "/org/freedesktop/UPower/devices/DisplayDevice",
        "org.freedesktop.UPower.Device",
    )
    .await?;
    let flag = upower.receive_property_changed::<bool>("OnBattery").await;
    let state = device.receive_property_changed::<u32>("State").await;
    let charge = device.receive_property_changed::<f64>("Percentage").await;
    let mut changes = stream::select(flag.map(drop), stream::select(state.map(drop), charge.map(drop)));
    loop {
        let on_battery = patient(upower.get_property::<bool>("OnBattery")).await.ok();
        let battery = read(&device).await;
        shared.change(|told| (told.on_battery, told.battery) = (on_battery, battery));
        if changes.next().await.is_none() {
            return Ok(());
        }
    }
}

async fn read(device: &Proxy<'_>) -> Option<Battery> {
    let kind = patient(device.get_property::<u32>("Type")).await.ok()?;
    let present = patient(device.get_property::<bool>("IsPresent")).await.unwrap_or(false);
    if kind != KIND_BATTERY || !present {
        return None;
    }
    let percent = patient(device.get_property::<f64>("Percentage")).await.ok();
    let charging = match patient(device.get_property::<u32>("State")).await.ok() {
        Some(CHARGING | FULL | HELD) => Some(true),
        Some(DISCHARGING | EMPTY) => Some(false),
        _ => None,
    };
    let charge = percent.filter(|p| (0.0..=100.0).contains(p)).map(|p| p / 100.0);
    Some(Battery { charge, charging })
}
