//! Notices that this machine slept or came into another network: its connections are dead then, and nothing says so.
//!
//! Every few seconds [`Watch::look`] compares two clocks and the address that the system would use towards the relays.
//! If it finds a change, all kept links that hold a [`Kick`] are dropped and made anew at once, with their back-off
//! forgotten. Nothing is sent to find out.
//!
//! ```text
//!  clocks, local addresses ──> Watch::look ──> Wakeup ──kick──> Kick::kicked in every kept link
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Time that passed unseen and means sleep. A busy machine and a corrected clock stay below it.
const ASLEEP: Duration = Duration::from_secs(10);
/// Relays towards which the local address is looked up: a machine has few networks at once.
const MOST_RELAYS: usize = 4;

/// What is remembered from one look to the next. Does no IO.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    clocks: Option<(Instant, SystemTime)>,
    local: Vec<Option<IpAddr>>,
}

impl Watch {
    /// Looks at the monotonic clock, the wall clock, and the local address towards each of the relays (none without a
    /// way there). True if the links are to be made anew.
    pub(crate) fn look(&mut self, mono: Instant, wall: SystemTime, local: &[Option<IpAddr>]) -> bool {
        let slept = self.clocks.is_some_and(|(mono_before, wall_before)| {
            let seen = mono.saturating_duration_since(mono_before);
            // A clock that was set back says nothing.
            let passed = wall.duration_since(wall_before).unwrap_or_default();
            // Most systems stop the monotonic clock in sleep; where it goes on, the look itself comes late.
            passed.saturating_sub(seen) > ASLEEP || seen > LOOK_EVERY + ASLEEP
        });
        // Without any way the links are lost anyhow; it is the new way that they are made anew for.
        let moved = self.clocks.is_some()
            && local
                .iter()
                .enumerate()
                .any(|(i, now)| now.is_some() && self.local.get(i).is_some_and(|before| before != now));
        self.clocks = Some((mono, wall));
        self.local = local.to_vec();
        slept || moved
    }
}

/// The address that this machine would use towards `relay`. Connecting a UDP socket only asks the routing table.
fn local_towards(relay: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if relay.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(relay).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

/// Kicks all links that it was given to.
#[derive(Debug, Clone)]
pub(crate) struct Wakeup(watch::Sender<()>);

/// A kept link's ear for a [`Wakeup`].
#[derive(Debug, Clone)]
pub(crate) struct Kick(Option<watch::Receiver<()>>);

impl Wakeup {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Starts to watch what may cut the links to these relays, until `cancel`.
    pub(crate) fn start(relays: impl IntoIterator<Item = SocketAddr>, cancel: CancellationToken) -> Self {
        let wakeup = Self::new();
        let mut relays: Vec<_> = relays.into_iter().collect();
        relays.sort_unstable_by_key(SocketAddr::ip);
        relays.dedup_by_key(|r| r.ip());
        relays.truncate(MOST_RELAYS);
        let kicks = wakeup.clone();
        tokio::spawn(async move {
            let mut watch = Watch::default();
            let mut ticks = interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let local: Vec<_> = relays.iter().map(|r| local_towards(*r)).collect();
                if watch.look(Instant::now(), SystemTime::now(), &local) {
                    tracing::info!("the machine slept or changed its network: all links are made anew");
                    kicks.kick();
                }
            }
        });
        wakeup
    }

    /// Has all links made anew.
    pub(crate) fn kick(&self) {
        self.0.send_replace(());
    }

    /// For a link that is to hear of the kicks to come.
    pub(crate) fn listen(&self) -> Kick {
        Kick(Some(self.0.subscribe()))
    }
}

impl Kick {
    /// For links of a machine that neither sleeps nor moves.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    /// Waits for the next kick. It is not lost when this is cancelled, and several count as one.
    pub(crate) async fn kicked(&mut self) {
        if let Some(kicks) = &mut self.0
            && kicks.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7)));
    const CAFE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99)));

    /// Looks after so much of both clocks.
    struct Machine {
        watch: Watch,
        mono: Instant,
        wall: SystemTime,
    }

    impl Machine {
        fn new() -> Self {
            let mut machine = Self { watch: Watch::default(), mono: Instant::now(), wall: SystemTime::now() };
            assert!(!machine.after(0, 0, &[HOME]), "the first look finds nothing");
            machine
        }

        fn after(&mut self, mono: u64, wall: i64, local: &[Option<IpAddr>]) -> bool {
            self.mono += Duration::from_secs(mono);
            let change = Duration::from_secs(wall.unsigned_abs());
            self.wall = if wall < 0 { self.wall - change } else { self.wall + change };
            self.watch.look(self.mono, self.wall, local)
        }
    }

    #[test]
    fn sleep_is_time_that_nobody_saw() {
        let mut machine = Machine::new();
        assert!(!machine.after(5, 5, &[HOME]));
        assert!(machine.after(5, 3600, &[HOME]), "an hour under the lid");
        assert!(!machine.after(5, 5, &[HOME]), "told once");
        assert!(machine.after(3600, 3600, &[HOME]), "on a system whose clocks go on");
        assert!(!machine.after(12, 12, &[HOME]), "a busy machine");
        assert!(!machine.after(5, 14, &[HOME]), "the clock was corrected a little");
        assert!(!machine.after(5, -3600, &[HOME]), "and was set back");
        assert!(!machine.after(5, 5, &[HOME]));
    }

    #[test]
    fn another_network_is_another_address_towards_a_relay() {
        let mut machine = Machine::new();
        assert!(machine.after(5, 5, &[CAFE]));
        assert!(!machine.after(5, 5, &[CAFE]));
        assert!(!machine.after(5, 5, &[None]), "without a way there is nothing to make anew");
        assert!(!machine.after(5, 5, &[None]));
        assert!(machine.after(5, 5, &[CAFE]), "the way is back");
        // One of several relays, over a tunnel that was opened, say.
        assert!(!machine.after(5, 5, &[CAFE, CAFE]));
        assert!(machine.after(5, 5, &[CAFE, HOME]));
    }

    #[test]
    fn the_way_to_this_machine_is_over_itself() {
        let relay = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        assert_eq!(local_towards(relay), Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[tokio::test]
    async fn a_kick_is_heard_by_all_and_once() {
        let wakeup = Wakeup::new();
        let (mut a, mut b) = (wakeup.listen(), wakeup.listen());
        wakeup.kick();
        wakeup.kick();
        for kick in [&mut a, &mut b] {
            let heard = tokio::time::timeout(Duration::from_secs(60), kick.kicked());
            heard.await.expect("in time");
        }
        let mut never = Kick::never();
        let again = tokio::select! {
            biased;
            () = a.kicked() => true,
            () = never.kicked() => true,
            () = tokio::task::yield_now() => false,
        };
        assert!(!again);
        drop(wakeup);
        let ended = tokio::select! {
            biased;
            () = a.kicked() => true,
            () = tokio::task::yield_now() => false,
        };
        assert!(!ended, "nobody kicks any more");
    }
}
