//! Is the other side there? A state machine without IO.
//!
//! What was written wants a sign of life: anything that comes back. So that there is one, a ping follows, and none more
//! until its pong came. A link on which nothing is written costs a ping now and then, and no more.

use crate::link::IDLE_TIMEOUT;
use std::time::Duration;
use tokio::time::Instant;

/// A relay with much to say may drop a pong. A ping that is older than this does not keep the next one back.
const PONG_LOST: Duration = Duration::from_secs(IDLE_TIMEOUT.as_secs() / 3);

/// What is known of one link's other side.
#[derive(Debug)]
pub(super) struct Pulse {
    /// How long a sign of life may take.
    limit: Duration,
    /// Since when something was written and nothing came.
    unanswered: Option<Instant>,
    /// When a ping was sent whose pong did not come yet.
    pinged: Option<Instant>,
    /// This side is busy with what came, and does not read.
    busy: bool,
}

impl Pulse {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, unanswered: None, pinged: None, busy: false }
    }

    /// Something is about to be written. True if a ping is to go with it.
    pub(super) fn write(&mut self, now: Instant) -> bool {
        self.unanswered.get_or_insert(now);
        let ask = self.pinged.is_none_or(|sent| now.saturating_duration_since(sent) >= PONG_LOST);
        if ask {
            self.pinged = Some(now);
        }
        ask
    }

    /// Something came. While it is handed on (`busy`), silence is this side's fault.
    pub(super) fn heard(&mut self, pong: bool, busy: bool) {
        self.unanswered = None;
        self.pinged = self.pinged.filter(|_| !pong);
        self.busy = busy;
    }

    /// It was handed on.
    pub(super) fn ready(&mut self, now: Instant) {
        self.busy = false;
        // What was written meanwhile has its time from now.
        self.unanswered = self.unanswered.map(|_| now);
    }

    /// When to look next whether the link is dead; none if it is.
    pub(super) fn look(&self, now: Instant) -> Option<Instant> {
        let since = self.unanswered.filter(|_| !self.busy).unwrap_or(now);
        Some(since + self.limit).filter(|due| *due > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(15);

    #[test]
    fn what_is_written_and_not_answered_in_time_is_the_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(LIMIT);
        assert_eq!(pulse.look(at(1000)), Some(at(1015)), "nothing was asked of an idle link");
        assert!(pulse.write(at(1000)));
        assert!(!pulse.write(at(1010)), "one ping is under way");
        assert_eq!(pulse.look(at(1014)), Some(at(1015)), "since the first that was not answered");
        assert_eq!(pulse.look(at(1015)), None);
    }

    #[test]
    fn anything_that_comes_is_a_sign_of_life_and_a_pong_allows_the_next_ping() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(LIMIT);
        assert!(pulse.write(at(0)));
        pulse.heard(false, false);
        assert_eq!(pulse.look(at(20)), Some(at(35)));
        assert!(!pulse.write(at(20)), "the pong is still to come");
        assert_eq!(pulse.look(at(35)), None);
        pulse.heard(true, false);
        assert!(pulse.write(at(36)));
        pulse.heard(false, false);
        assert!(!pulse.write(at(65)) && pulse.write(at(66)), "that pong was lost");
    }

    #[test]
    fn while_this_side_does_not_read_the_other_is_not_silent() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(LIMIT);
        pulse.heard(false, true);
        pulse.write(at(0));
        assert!(pulse.look(at(60)).is_some());
        pulse.ready(at(60));
        assert_eq!(pulse.look(at(61)), Some(at(75)));
    }
}
