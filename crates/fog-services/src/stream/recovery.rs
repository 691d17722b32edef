//! What was sent, when it counts as lost, and how much may be under way.

use super::Congestion;
use super::buffer::Violation;
use super::frame::{ACK_SPAN, StreamId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Before the first measurement.
const INITIAL_RTO: Duration = Duration::from_secs(4);
/// The least time until a silence counts: a mixnet's delays are long and vary, and each needless copy costs a packet.
const MIN_RTO: Duration = Duration::from_secs(2);
/// The longest time between two attempts.
const MAX_RTO: Duration = Duration::from_secs(30);
/// The least allowance for packets that overtake one another, on top of the smoothed round trip.
const MIN_REORDERING: Duration = Duration::from_millis(500);
/// Longer measurements are of a network that was away, not of the path.
const MAX_SAMPLE: Duration = Duration::from_secs(30);
/// After so many silent attempts the window falls to its least.
const COLLAPSE_AFTER: u32 = 3;
/// The least window, in packets: a mixnet loses packets without being congested.
const MIN_WINDOW: usize = 8;
/// More than one in so many lost packets of a round trip, and the window shrinks.
const TOLERATED_LOSS: usize = 8;
/// How many times the variation an overtaken packet may be late (4 in RFC 6298): more after false alarms, up to this.
const MAX_PATIENCE: u32 = 12;
const MIN_PATIENCE: u32 = 4;
/// After so many acknowledged packets the patience falls by one.
const PATIENCE_LASTS: u32 = 512;
/// Packets whose acknowledgement may still come though they count as lost.
const MAX_REMEMBERED: usize = 1024;

/// The round trip (RFC 6298). Each packet has a number of its own, so that no sample is ambiguous (Karn's problem).
#[derive(Debug, Default)]
struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl Rtt {
    /// `share`: how many samples a round trip gives. So many of them weigh as much as one alone (RFC 7323, appendix G),
    /// else a row of quick ones would hide how much the path varies.
    fn sample(&mut self, rtt: Duration, share: u32) {
        let rtt = rtt.min(MAX_SAMPLE);
        let share = share.max(1);
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variation = rtt / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * (4 * share - 1) + smoothed.abs_diff(rtt)) / (4 * share);
                self.smoothed = Some((smoothed * (8 * share - 1) + rtt) / (8 * share));
            }
        }
    }

    fn timeout(&self) -> Duration {
        self.smoothed.map_or(INITIAL_RTO, |s| (s + self.variation * 4).max(MIN_RTO)).min(MAX_RTO)
    }

    /// How long after its sending a packet that was overtaken by an acknowledged one counts as lost.
    fn overtaken(&self, patience: u32) -> Duration {
        self.smoothed.map_or(INITIAL_RTO, |s| s + (self.variation * patience).max(MIN_REORDERING))
    }
}

/// What was in a packet, to be sent again if it is lost.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// OPEN, or its answer.
    Opening(StreamId),
    Data(StreamId, Range<u64>, bool),
    Window(StreamId),
    Reset(StreamId),
    Ping,
}

#[derive(Debug)]
struct Packet {
    at: Instant,
    content: Vec<Sent>,
    lost: bool,
}

/// The losses of one round trip.
#[derive(Debug, Default)]
struct Round {
    /// It is over when a packet with this number or a higher one is lost.
    end: u64,
    lost: usize,
    tolerated: usize,
    /// Window and threshold before it shrank.
    before: Option<(usize, usize)>,
}

/// Packets under way. Numbers rise with time, so the order of the one is that of the other.
#[derive(Debug)]
pub(super) struct Recovery {
    packets: BTreeMap<u64, Packet>,
    next: u64,
    in_flight: usize,
    highest_acked: Option<u64>,
    rtt: Rtt,
    /// Timeouts in a row.
    silent: u32,
    /// The last time that something was sent or acknowledged.
    progress: Instant,
    congestion: Congestion,
    window: usize,
    threshold: usize,
    acked_in_window: usize,
    patience: u32,
    acked_since_alarm: u32,
    round: Round,
}

impl Recovery {
    pub(super) fn new(congestion: Congestion, now: Instant) -> Self {
        let (window, max) = match congestion {
            Congestion::Fixed(n) => (n, n),
            Congestion::Aimd { initial, max } => (initial, max),
        };
        Self {
            packets: BTreeMap::new(),
            next: 0,
            in_flight: 0,
            highest_acked: None,
            rtt: Rtt::default(),
            silent: 0,
            progress: now,
            congestion,
            window: window.clamp(1, max.max(1)),
            threshold: max,
            acked_in_window: 0,
            patience: MIN_PATIENCE,
            acked_since_alarm: 0,
            round: Round::default(),
        }
    }

    /// The number of the next packet.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// True if one more packet may be under way.
    pub(super) fn may_send(&self) -> bool {
        self.in_flight < self.window
    }

    /// Notes a packet. Those with no content are not acknowledged and not kept.
    pub(super) fn sent(&mut self, now: Instant, content: Vec<Sent>) {
        if !content.is_empty() {
            self.packets.insert(self.next, Packet { at: now, content, lost: false });
            self.in_flight += 1;
            self.progress = now;
        }
        self.next += 1;
    }

    /// Takes an acknowledgement: what arrived.
    pub(super) fn acked(
        &mut self,
        now: Instant,
        highest: u64,
        bitmap: &[u8],
    ) -> Result<Vec<Sent>, Violation> {
        if highest >= self.next {
            return Err(Violation);
        }
        let from = highest.saturating_sub(ACK_SPAN);
        let covered = |number: u64| match highest - number {
            0 => true,
            below => {
                let at = below - 1;
                bitmap.get((at / 8) as usize).is_some_and(|b| b & (1 << (at % 8)) != 0)
            }
        };
        let arrived: Vec<u64> =
            self.packets.range(from..=highest).map(|(n, _)| *n).filter(|n| covered(*n)).collect();
        let mut content = Vec::new();
        for number in &arrived {
            if let Some(packet) = self.packets.remove(number) {
                let share = self.in_flight.clamp(1, 64) as u32;
                self.rtt.sample(now.saturating_duration_since(packet.at), share);
                if packet.lost {
                    self.take_back(*number);
                } else {
                    self.in_flight -= 1;
                }
                content.extend(packet.content);
            }
        }
        if let Some(last) = arrived.last() {
            self.highest_acked = self.highest_acked.max(Some(*last));
            self.silent = 0;
            self.progress = now;
            self.acked_since_alarm += arrived.len() as u32;
            if self.acked_since_alarm >= PATIENCE_LASTS {
                self.acked_since_alarm = 0;
                self.patience = (self.patience - 1).max(MIN_PATIENCE);
            }
            self.grow(arrived.len());
        }
        Ok(content)
    }

    fn grow(&mut self, acked: usize) {
        let Congestion::Aimd { max, .. } = self.congestion else { return };
        if self.window < self.threshold {
            self.window += acked;
        } else {
            self.acked_in_window += acked;
            if self.acked_in_window >= self.window {
                self.acked_in_window = 0;
                self.window += 1;
            }
        }
        self.window = self.window.min(max);
    }

    fn shrink(&mut self, lost: u64) {
        let Congestion::Aimd { max, .. } = self.congestion else { return };
        if lost >= self.round.end {
            let tolerated = self.window / TOLERATED_LOSS + 1;
            self.round = Round { end: self.next, lost: 0, tolerated, before: None };
        }
        self.round.lost += 1;
        if self.round.lost > self.round.tolerated && self.round.before.is_none() {
            self.round.before = Some((self.window, self.threshold));
            self.window = (self.window * 7 / 10).max(MIN_WINDOW.min(max));
            self.threshold = self.window;
            self.acked_in_window = 0;
        }
    }

    /// A packet that counted as lost was only late (as the Eifel algorithm, RFC 4015).
    fn take_back(&mut self, number: u64) {
        self.patience = (self.patience + 1).min(MAX_PATIENCE);
        self.acked_since_alarm = 0;
        if number < self.round.end {
            self.round.lost = self.round.lost.saturating_sub(1);
            if self.round.lost <= self.round.tolerated
                && let Some((window, threshold)) = self.round.before.take()
            {
                self.window = self.window.max(window);
                self.threshold = self.threshold.max(threshold);
            }
        }
    }

    /// When the first packet that was overtaken counts as lost (RACK, RFC 8985: by time, never by the number of those
    /// that overtook it).
    fn overtaken_at(&self) -> Option<Instant> {
        let highest = self.highest_acked?;
        let first = self.packets.range(..highest).map(|(_, p)| p).find(|p| !p.lost)?;
        Some(first.at + self.rtt.overtaken(self.patience))
    }

    /// When the silence counts as a loss.
    fn silence_at(&self) -> Option<Instant> {
        let wait = self.rtt.timeout().saturating_mul(1 << self.silent.min(5)).min(MAX_RTO);
        (self.in_flight > 0).then(|| self.progress + wait)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.overtaken_at(), self.silence_at()].into_iter().flatten().min()
    }

    /// What counts as lost by now, to be sent again.
    pub(super) fn lost(&mut self, now: Instant) -> Vec<Sent> {
        let mut lost = Vec::new();
        if let Some(highest) = self.highest_acked {
            let wait = self.rtt.overtaken(self.patience);
            // One that no acknowledgement can name any more is lost, too.
            let old = |n: u64, p: &Packet| p.at + wait <= now || n + ACK_SPAN < highest;
            lost = self
                .packets
                .range(..highest)
                .filter(|(n, p)| !p.lost && old(**n, p))
                .map(|(n, _)| *n)
                .collect();
        }
        if let Some(at) = self.silence_at()
            && at <= now
        {
            // A probe of two packets; if it is acknowledged, the others were overtaken.
            lost.extend(self.packets.iter().filter(|(_, p)| !p.lost).take(2).map(|(n, _)| *n));
            self.silent += 1;
            self.progress = now;
            if self.silent >= COLLAPSE_AFTER
                && let Congestion::Aimd { max, .. } = self.congestion
            {
                self.window = MIN_WINDOW.min(max);
            }
        }
        let mut content = Vec::new();
        for number in lost {
            if let Some(packet) = self.packets.get_mut(&number).filter(|p| !p.lost) {
                packet.lost = true;
                content.extend(packet.content.iter().cloned());
                self.in_flight -= 1;
                self.shrink(number);
            }
        }
        self.forget();
        content
    }

    /// Lost packets are remembered for as long as an acknowledgement may name them: it takes back the loss.
    fn forget(&mut self) {
        let highest = self.highest_acked.unwrap_or(0);
        while let Some(entry) = self.packets.first_entry()
            && entry.get().lost
            && entry.key() + ACK_SPAN < highest
        {
            entry.remove();
        }
        while self.packets.len() > MAX_REMEMBERED.max(self.in_flight) {
            let Some(first) = self.packets.iter().find(|(_, p)| p.lost).map(|(n, _)| *n) else { break };
            self.packets.remove(&first);
        }
    }

    /// Packets that are remembered.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// The smoothed round trip.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ping() -> Vec<Sent> {
        vec![Sent::Ping]
    }

    #[test]
    fn the_timeout_follows_rfc_6298() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(), INITIAL_RTO);
        rtt.sample(SECOND, 1);
        assert_eq!(rtt.timeout(), SECOND * 3);
        for _ in 0..100 {
            rtt.sample(SECOND, 1);
        }
        assert_eq!(rtt.timeout(), MIN_RTO, "not below the minimum");
        rtt.sample(SECOND * 9, 1);
        assert!(rtt.timeout() > SECOND * 9, "one late answer makes it careful: {:?}", rtt.timeout());
        rtt.sample(SECOND * 1000, 1);
        assert!(rtt.timeout() <= MAX_RTO);
    }

    /// Being overtaken by many is no loss; being overtaken for long is.
    #[test]
    fn a_loss_is_told_by_time_and_taken_back_by_a_late_acknowledgement() {
        let start = Instant::now();
        let mut recovery = Recovery::new(Congestion::Fixed(100), start);
        for _ in 0..20 {
            recovery.sent(start, ping());
        }
        let now = start + SECOND;
        // All but the first.
        assert_eq!(recovery.acked(now, 19, &[0xff, 0xff, 0b011]).expect("sent").len(), 19);
        assert!(recovery.lost(now).is_empty());
        let at = recovery.next_timeout().expect("a packet is under way");
        assert!(at > now);
        assert_eq!(recovery.lost(at).len(), 1);
        assert_eq!((recovery.in_flight, recovery.next_timeout()), (0, None));
        assert_eq!(recovery.acked(at + SECOND, 19, &[0xff, 0xff, 0b111]).expect("sent").len(), 1);
        assert_eq!((recovery.in_flight, recovery.len()), (0, 0));
        assert_eq!(recovery.acked(at, 20, &[]).map(|_| ()), Err(Violation), "never sent");
    }

    #[test]
    fn silence_is_probed_less_and_less_often() {
        let start = Instant::now();
        let mut recovery = Recovery::new(Congestion::Fixed(100), start);
        let mut last = start;
        let mut gaps = Vec::new();
        for _ in 0..8 {
            recovery.sent(last, ping());
            let at = recovery.next_timeout().expect("under way");
            assert!(recovery.lost(at - Duration::from_millis(1)).is_empty());
            assert_eq!(recovery.lost(at).len(), 1);
            gaps.push((at - last).as_secs());
            last = at;
        }
        assert_eq!(gaps, [4, 8, 16, 30, 30, 30, 30, 30]);
    }

    #[test]
    fn the_window_grows_without_loss_and_shrinks_once_for_one_loss() {
        let start = Instant::now();
        let mut recovery = Recovery::new(Congestion::Aimd { initial: 16, max: 64 }, start);
        for round in 0..10u64 {
            let first = recovery.next;
            while recovery.may_send() {
                recovery.sent(start + SECOND * round as u32, ping());
            }
            let acked = recovery.acked(start + SECOND * (round as u32 + 1), recovery.next - 1, &[0xff; 64]);
            assert_eq!(acked.expect("sent").len() as u64, recovery.next - first);
        }
        assert_eq!(recovery.window, 64);
        let now = start + SECOND * 20;
        for _ in 0..64 {
            recovery.sent(now, ping());
        }
        assert!(!recovery.may_send());
        let acked = recovery.acked(now + SECOND, recovery.next - 1, &[]);
        assert_eq!(acked.expect("sent").len(), 1);
        assert_eq!(recovery.lost(now + SECOND * 10).len(), 63);
        assert_eq!(recovery.window, 44);
        // They come after all: nothing was congested.
        assert_eq!(recovery.acked(now + SECOND * 11, recovery.next - 1, &[0xff; 8]).expect("sent").len(), 63);
        assert_eq!((recovery.window, recovery.patience), (64, MAX_PATIENCE));
    }

    #[test]
    fn a_few_losses_are_a_mixnets_way() {
        let start = Instant::now();
        let mut recovery = Recovery::new(Congestion::Aimd { initial: 32, max: 32 }, start);
        for _ in 0..32 {
            recovery.sent(start, ping());
        }
        // All but four, which is an eighth.
        recovery.acked(start + SECOND, 31, &[0xff, 0xff, 0xff, 0b111]).expect("sent");
        assert_eq!(recovery.lost(start + SECOND * 9).len(), 4);
        assert_eq!(recovery.window, 32);
    }

    #[test]
    fn what_no_acknowledgement_can_name_any_more_is_lost() {
        let start = Instant::now();
        let mut recovery = Recovery::new(Congestion::Fixed(1000), start);
        for _ in 0..ACK_SPAN + 3 {
            recovery.sent(start, ping());
        }
        recovery.acked(start, ACK_SPAN, &[]).expect("sent");
        assert!(recovery.lost(start).is_empty());
        recovery.acked(start, ACK_SPAN + 2, &[]).expect("sent");
        assert_eq!(recovery.lost(start).len(), 2, "numbers 0 and 1");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let mut recovery = Recovery::new(Congestion::Fixed(1), start);
        let mut now = start;
        for _ in 0..3 * MAX_REMEMBERED {
            recovery.sent(now, ping());
            now = recovery.next_timeout().expect("under way");
            recovery.lost(now);
        }
        assert_eq!(recovery.len(), MAX_REMEMBERED);
    }
}
