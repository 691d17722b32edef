//! What services say over D-Bus: UPower, NetworkManager and logind on the system's bus; the desktop's idle monitor and
//! screen saver on the session's.
//!
//! ```text
//!   thread "fog-sensors" ── one connection to each bus, one task for each service
//!        │  signals and answers                     ▲ poll (once for each reading)
//!        ▼                                          │
//!      Told (behind a lock) ────────────────▶ Bus::read, which never waits
//!        └── what is worth a reading at once ──▶ wake
//! ```
//!
//! A bus or a service that is absent, silent or wrong leaves its part unknown; it is tried again when its name appears
//! on the bus, and every minute. No service is started by being asked.

mod desktop;
mod network;
mod power;
mod session;
#[cfg(test)]
mod tests;

use crate::Readings;
use crate::sensors::Wake;
use futures_util::StreamExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use zbus::Connection;
use zbus::fdo::DBusProxy;

/// A connection or an answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// What failed is tried again after this long.
const RETRY: Duration = Duration::from_secs(60);
/// The user came back after at least this long without input: worth a reading at once.
const AWAY: Duration = Duration::from_secs(2);

/// All that was told. None: not told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Told {
    /// The device draws on its battery.
    pub(super) on_battery: Option<bool>,
    /// The device's battery, if it has one.
    pub(super) battery: Option<Battery>,
    /// The network costs by volume.
    pub(super) metered: Option<bool>,
    /// People's login sessions.
    pub(super) sessions: Option<Vec<Session>>,
    /// The last input.
    pub(super) input: Option<LastInput>,
    /// The screen is off, or the screen saver covers it.
    pub(super) blank: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Battery {
    /// 0 to 1.
    pub(super) charge: Option<f64>,
    pub(super) charging: Option<bool>,
}

/// One person's session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Session {
    /// It has a screen of this device.
    pub(super) screen: bool,
    pub(super) locked: bool,
    /// The desktop says: idle since, seconds since 1970.
    pub(super) idle_since: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LastInput {
    pub(super) at: Instant,
    pub(super) source: &'static str,
}

impl Told {
    fn screens(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().flatten().filter(|session| session.screen)
    }

    pub(super) fn has_screen(&self) -> bool {
        self.screens().next().is_some()
    }

    /// Every session with a screen is locked.
    pub(super) fn locked(&self) -> Option<bool> {
        self.has_screen().then(|| self.screens().all(|session| session.locked))
    }

    /// Every session with a screen is idle, the last one since then.
    pub(super) fn idle_since(&self) -> Option<f64> {
        let idle: Option<Vec<f64>> = self.screens().map(|session| session.idle_since).collect();
        idle?.into_iter().max_by(f64::total_cmp)
    }

    /// Fills in what the kernel's files left open.
    pub(super) fn power(&self, readings: &mut Readings) {
        if let Some(battery) = self.battery
            && !readings.has_battery
        {
            readings.has_battery = true;
            readings.battery = battery.charge;
            readings.plugged_in = self.on_battery.map(|on| !on).or(battery.charging);
        }
        if readings.has_battery && readings.plugged_in.is_none() {
            readings.plugged_in = self.on_battery.map(|on| !on);
        }
    }
}

/// What the tasks share with the reader.
struct Shared {
    told: Mutex<Told>,
    wake: Option<Wake>,
}

impl Shared {
    /// Changes what is known, and wakes the reader if it should know at once.
    fn change(&self, change: impl FnOnce(&mut Told)) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.clone();
        change(&mut told);
        let news = worth_a_reading(&before, &told);
        drop(told);
        if let Some(wake) = self.wake.as_ref().filter(|_| news) {
            wake();
        }
    }
}

fn worth_a_reading(before: &Told, now: &Told) -> bool {
    let back = match (&before.input, &now.input) {
        (Some(before), Some(now)) => now.at.saturating_duration_since(before.at) >= AWAY,
        (before, now) => before.is_some() != now.is_some(),
    };
    let battery = |told: &Told| told.battery.map(|battery| battery.charging);
    back || before.on_battery != now.on_battery
        || battery(before) != battery(now)
        || before.metered != now.metered
        || before.sessions != now.sessions
        || before.blank != now.blank
}

/// The buses, asked by a thread of their own.
pub(super) struct Bus {
    shared: Arc<Shared>,
    /// Counted up for each reading; the thread ends when this is gone.
    poll: watch::Sender<u64>,
}

impl Bus {
    /// Starts the thread, if there is a bus to ask.
    pub(super) fn start(system: Option<String>, session: Option<String>, wake: Option<Wake>) -> Self {
        let shared = Arc::new(Shared { told: Mutex::default(), wake });
        let poll = watch::Sender::new(0);
        if system.is_some() || session.is_some() {
            let (seen, polled) = (Arc::clone(&shared), poll.subscribe());
            let thread = std::thread::Builder::new().name("fog-sensors".into());
            if let Err(error) = thread.spawn(move || listen(system, session, &seen, &polled)) {
                tracing::warn!(%error, "no thread for the sensors on the message bus");
            }
        }
        Self { shared, poll }
    }

    /// What is known now. What this reading makes the services say comes with the next one, or wakes the reader.
    pub(super) fn read(&self) -> Told {
        self.poll.send_modify(|count| *count = count.wrapping_add(1));
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Poll = watch::Receiver<u64>;

fn listen(system: Option<String>, session: Option<String>, shared: &Shared, poll: &Poll) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::warn!(%error, "no sensors on the message bus"),
    };
    let mut end = poll.clone();
    runtime.block_on(async {
        let all = async {
            tokio::join!(
                keep(system, async |bus: &Connection| {
                    tokio::join!(
                        power::watch(bus, shared),
                        network::watch(bus, shared),
                        session::watch(bus, shared)
                    );
                }),
                keep(session, async |bus: &Connection| desktop::watch(bus, shared, poll).await),
            )
        };
        tokio::select! {
            _ = all => {}
            // Fails when the sender is gone.
            _ = end.wait_for(|_| false) => {}
        }
    });
}

/// Keeps a connection to a bus for as long as the thread lives.
async fn keep(address: Option<String>, attend: impl AsyncFn(&Connection)) {
    let Some(address) = address else { return };
    loop {
        match connect(&address).await {
            Ok(bus) => attend(&bus).await,
            Err(error) => tracing::debug!(%error, address, "a message bus cannot be reached"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn connect(address: &str) -> zbus::Result<Connection> {
    patient(zbus::connection::Builder::address(address)?.build()).await
}

/// An answer, or that none came in time. Everything that is asked of a service goes through here: one that falls silent
/// must not leave its last word standing as if it were still true.
async fn patient<T>(answer: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// Calls `work` whenever the service is there, and `forget` when it is gone. Returns when the bus is.
async fn attend(
    bus: &Connection,
    name: &'static str,
    work: impl AsyncFn() -> zbus::Result<()>,
    forget: impl Fn(),
) -> zbus::Result<()> {
    let dbus = DBusProxy::new(bus).await?;
    let mut owners = dbus.receive_name_owner_changed_with_args(&[(0, name)]).await?;
    loop {
        if patient(async { Ok(dbus.name_has_owner(name.try_into()?).await?) }).await? {
            let gone = tokio::select! {
                ended = work() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, name, "a service on the message bus");
                    }
                    false
                }
                changed = owners.next() => changed.is_none(),
            };
            forget();
            if gone {
                return Ok(());
            }
        }
        if let Ok(None) = tokio::time::timeout(RETRY, owners.next()).await {
            return Ok(());
        }
    }
}

/// For a task's end, which only the bus's own end is.
fn ended(result: zbus::Result<()>, what: &str) {
    if let Err(error) = result {
        tracing::debug!(%error, what, "the message bus");
    }
}
