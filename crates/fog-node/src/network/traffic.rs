//! Cover traffic as the settings want it, and packets over time for the page's chart.

use betanet::client::{Client, Traffic};
use betanet::cover::Profile;
use fog_api::{CoverChoice, CoverProfile, CoverView, TrafficPoint};
use std::collections::VecDeque;

/// Seconds of one point.
const STEP: f64 = 5.0;
/// Points: ten minutes.
const POINTS: usize = 120;

/// What the settings want: in a test network there is nothing to hide from whom one asks, so none is the default. With a
/// contact at the secret level it is the standard profile at least.
pub(super) fn profile(wanted: Option<CoverProfile>, test: bool, secret: bool) -> Profile {
    let chosen = match wanted {
        None if test => Profile::Off,
        None => Profile::Standard,
        Some(CoverProfile::Off) => Profile::Off,
        Some(CoverProfile::Mobile) => Profile::Mobile,
        Some(CoverProfile::Standard) => Profile::Standard,
        Some(CoverProfile::Strong) => Profile::Strong,
    };
    match chosen {
        Profile::Off | Profile::Mobile if secret => Profile::Standard,
        chosen => chosen,
    }
}

fn shown(profile: Profile) -> CoverProfile {
    match profile {
        Profile::Off => CoverProfile::Off,
        Profile::Mobile => CoverProfile::Mobile,
        Profile::Standard => CoverProfile::Standard,
        Profile::Strong => CoverProfile::Strong,
    }
}

pub(super) fn view(client: Option<&Client>, wanted: Option<CoverProfile>, secret: bool) -> CoverView {
    let traffic = client.map(Client::traffic).unwrap_or_default();
    let choice = |profile: Profile| CoverChoice {
        profile: shown(profile),
        up_a_day: profile.bytes_a_day_up(),
        down_a_day: profile.bytes_a_day_down(),
        promise: profile.promise().into(),
    };
    CoverView {
        profile: shown(client.map_or(Profile::Off, Client::cover)),
        automatic: wanted.is_none(),
        forced: secret,
        choices: [Profile::Off, Profile::Mobile, Profile::Standard, Profile::Strong].map(choice).to_vec(),
        loops: traffic.loops,
        drops: traffic.drops,
        loops_back: traffic.loops_back,
        loops_lost: traffic.loops_lost,
    }
}

/// The last ten minutes.
#[derive(Default)]
pub(super) struct History {
    points: VecDeque<TrafficPoint>,
    last: Option<(f64, Traffic)>,
}

impl History {
    /// Notes the counters as they are now (Unix seconds); a point comes of it every [`STEP`].
    pub(super) fn note(&mut self, now: f64, traffic: Traffic) {
        let Some((since, before)) = self.last else {
            self.last = Some((now, traffic));
            return;
        };
        // After a sleep, or when the client was replaced, there is nothing to compare with.
        let fresh = traffic.sent >= before.sent && (0.0..STEP * 4.0).contains(&(now - since));
        if !fresh {
            self.last = Some((now, traffic));
            return;
        }
        if now - since < STEP {
            return;
        }
        let more = |now: u64, before: u64| u32::try_from(now - before.min(now)).unwrap_or(u32::MAX);
        self.points.push_back(TrafficPoint {
            time: now.round(),
            real: more(traffic.sent, before.sent),
            cover: more(traffic.loops + traffic.drops, before.loops + before.drops),
            received: more(traffic.received, before.received),
        });
        while self.points.len() > POINTS {
            self.points.pop_front();
        }
        self.last = Some((now, traffic));
    }

    pub(super) fn points(&self) -> Vec<TrafficPoint> {
        self.points.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_what_came_in_five_seconds() {
        let mut history = History::default();
        let traffic = |sent, loops, received| Traffic { sent, loops, received, ..Traffic::default() };
        history.note(100.0, traffic(10, 5, 1));
        history.note(103.0, traffic(12, 5, 1));
        history.note(105.0, traffic(13, 9, 4));
        assert_eq!(history.points(), [TrafficPoint { time: 105.0, real: 3, cover: 4, received: 3 }]);
        // A new client counts from nothing; a machine that slept has no point of an hour.
        history.note(110.0, traffic(1, 0, 0));
        history.note(5000.0, traffic(9, 0, 0));
        assert_eq!(history.points().len(), 1);
        for i in 1..=200 {
            history.note(5000.0 + 5.0 * f64::from(i), traffic(9, u64::try_from(i).expect("positive"), 0));
        }
        assert_eq!(history.points().len(), POINTS);
        assert!(history.points().iter().all(|p| p.cover == 1 && p.real == 0));
    }

    #[test]
    fn a_test_network_has_no_cover_unless_it_is_asked_for() {
        let profile = |wanted, test| super::profile(wanted, test, false);
        assert_eq!(profile(None, true), Profile::Off);
        assert_eq!(profile(None, false), Profile::Standard);
        assert_eq!(profile(Some(CoverProfile::Mobile), true), Profile::Mobile);
        assert_eq!(profile(Some(CoverProfile::Off), false), Profile::Off);
    }

    #[test]
    fn a_secret_contact_forces_at_least_the_standard_profile() {
        use CoverProfile::{Mobile, Off, Standard, Strong};
        for wanted in [None, Some(Off), Some(Mobile), Some(Standard)] {
            assert_eq!(profile(wanted, true, true), Profile::Standard);
        }
        assert_eq!(profile(Some(Strong), false, true), Profile::Strong);
    }
}
