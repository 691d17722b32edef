//! The chart of packets over the last ten minutes: from points to SVG paths and to words.
//!
//! Time runs to the right and ends at the newest point, so a short history begins on the right side. All bars of one
//! kind are one path: two hundred elements that change every few seconds would cost more than they show.

use fog_api::TrafficPoint;
use std::fmt::Write;

/// Seconds that the chart shows, and its width in units of its own.
pub const WINDOW: f64 = 600.0;
/// Its height in units of its own.
pub const HEIGHT: f64 = 120.0;

/// Seconds that a point covers where the one before does not tell.
const STEP: f64 = 5.0;
/// Points further apart than this have a gap between them: the device slept, say.
const GAP: f64 = 20.0;
/// Between two bars.
const SPACE: f64 = 1.0;
/// A bar is at least this high: one packet shows among hundreds.
const LEAST: f64 = 2.0;

/// What is drawn, in a box of [`WINDOW`] by [`HEIGHT`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drawing {
    /// Bars from the bottom: real packets sent.
    pub real: String,
    /// Bars on top of these, to be painted before them: cover packets sent.
    pub cover: String,
    /// A line: packets received.
    pub received: String,
    /// Packets a second at the upper edge.
    pub top: f64,
}

/// A point with its length and its rates.
struct Bar {
    /// Seconds before the newest point at which it ends.
    age: f64,
    seconds: f64,
    /// Directly after another one.
    joined: bool,
    real: f64,
    cover: f64,
    received: f64,
}

/// Rates of the points that the chart shows, oldest first.
fn bars(points: &[TrafficPoint]) -> Vec<Bar> {
    let Some(end) = points.last().map(|p| p.time) else { return Vec::new() };
    let mut before = None;
    let mut bars = Vec::with_capacity(points.len());
    for point in points {
        let distance = before.replace(point.time).map_or(0.0, |b| point.time - b);
        let joined = (1.0..=GAP).contains(&distance);
        let seconds = if joined { distance } else { STEP };
        let age = end - point.time;
        if !(0.0..WINDOW).contains(&age) {
            continue;
        }
        let rate = |packets: u32| f64::from(packets) / seconds;
        let (real, cover, received) = (rate(point.real), rate(point.cover), rate(point.received));
        bars.push(Bar { age, seconds, joined: joined && !bars.is_empty(), real, cover, received });
    }
    bars
}

/// The least of 1, 2, 4, 10, 20, 40 and so on that is not below `most`: its half is a short number, too.
fn round_up(most: f64) -> f64 {
    let mut unit = 1.0;
    // Rates are counts of 32 bits, so this ends.
    while most.is_finite() && unit * 4.0 < most {
        unit *= 10.0;
    }
    [1.0, 2.0, 4.0].into_iter().map(|n| n * unit).find(|n| *n >= most).unwrap_or(unit * 4.0)
}

/// Draws the points.
pub fn draw(points: &[TrafficPoint]) -> Drawing {
    let bars = bars(points);
    let most = bars.iter().map(|b| (b.real + b.cover).max(b.received)).fold(0.0, f64::max);
    let mut drawing = Drawing { top: round_up(most), ..Drawing::default() };
    let y = |rate: f64| HEIGHT * (1.0 - rate / drawing.top);
    let block = |path: &mut String, bar: &Bar, low: f64, high: f64| {
        if high > low {
            let (right, left) = (WINDOW - bar.age, (WINDOW - bar.age - bar.seconds + SPACE).max(0.0));
            let (foot, head) = (y(low), y(high).min(y(low) - LEAST).max(0.0));
            // Writing to a String cannot fail.
            let _ = write!(path, "M{left:.1} {foot:.1}V{head:.1}H{right:.1}V{foot:.1}Z");
        }
    };
    let (mut real, mut cover, mut received) = (String::new(), String::new(), String::new());
    for bar in &bars {
        block(&mut real, bar, 0.0, bar.real);
        block(&mut cover, bar, bar.real, bar.real + bar.cover);
        let (command, middle) = (if bar.joined { 'L' } else { 'M' }, WINDOW - bar.age - bar.seconds / 2.0);
        let _ = write!(received, "{command}{:.1} {:.1}", middle.max(0.0), y(bar.received));
    }
    drawing.real = real;
    drawing.cover = cover;
    drawing.received = received;
    drawing
}

/// True if there is nothing to draw.
pub fn is_empty(points: &[TrafficPoint]) -> bool {
    points.iter().all(|p| p.real == 0 && p.cover == 0 && p.received == 0)
}

/// The same in words: what the last minute and the whole time brought.
pub fn describe(points: &[TrafficPoint]) -> String {
    let end = points.last().map_or(0.0, |p| p.time);
    let sum = |since: f64, part: fn(&TrafficPoint) -> u32| {
        points.iter().filter(|p| end - p.time < since).map(|p| u64::from(part(p))).sum::<u64>()
    };
    let over = |since: f64| {
        let (real, cover, received) =
            (sum(since, |p| p.real), sum(since, |p| p.cover), sum(since, |p| p.received));
        format!("{real} real and {cover} cover packets sent, {received} received")
    };
    format!("Last minute: {}. Last ten minutes: {}.", over(60.0), over(WINDOW))
}

/// A rate on the axis.
pub fn tick(rate: f64) -> String {
    if rate.fract() == 0.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(time: f64, real: u32, cover: u32, received: u32) -> TrafficPoint {
        TrafficPoint { time, real, cover, received }
    }

    #[test]
    fn a_short_history_begins_on_the_right() {
        // One point: five seconds, ten real packets and ten of cover: two a second each, four in all.
        let d = draw(&[point(1000.0, 10, 10, 5)]);
        assert_eq!(d.top, 4.0);
        assert_eq!(d.real, "M596.0 120.0V60.0H600.0V120.0Z");
        assert_eq!(d.cover, "M596.0 60.0V0.0H600.0V60.0Z");
        assert_eq!(d.received, "M597.5 90.0");
    }

    #[test]
    fn a_single_packet_shows_among_many() {
        let d = draw(&[point(1000.0, 1, 190, 0)]);
        assert_eq!(d.top, 40.0);
        assert_eq!(d.real, "M596.0 120.0V118.0H600.0V120.0Z");
        // The few units that it is too high cover the bar above; no bar leaves the box.
        assert!(d.cover.starts_with("M596.0 119.4V5.4"), "{}", d.cover);
        assert!(draw(&[point(1000.0, 200, 1, 0)]).cover.contains('V'));
    }

    #[test]
    fn points_cover_the_time_since_the_one_before() {
        // Six seconds apart: six packets are one a second. What is older than ten minutes is not drawn.
        let d = draw(&[point(0.0, 99, 0, 0), point(994.0, 5, 0, 0), point(1000.0, 6, 0, 0)]);
        assert_eq!(d.top, 1.0);
        assert_eq!(d.real, "M590.0 120.0V0.0H594.0V120.0ZM595.0 120.0V0.0H600.0V120.0Z");
        assert!(d.cover.is_empty());
        assert_eq!(d.received, "M591.5 120.0L597.0 120.0");
        // A gap breaks the line.
        let d = draw(&[point(900.0, 0, 0, 1), point(1000.0, 0, 0, 1)]);
        assert_eq!(d.received.matches('M').count(), 2);
    }

    #[test]
    fn hostile_clocks_do_no_harm() {
        let d = draw(&[point(1000.0, 1, 1, 1), point(10.0, u32::MAX, u32::MAX, 1)]);
        assert!(d.top.is_finite() && d.real.matches('M').count() == 1);
        for time in [f64::NAN, f64::INFINITY] {
            assert!(draw(&[point(time, 1, 1, 1), point(time, 1, 1, 1)]).top >= 1.0);
        }
        assert_eq!(draw(&[]), Drawing { top: 1.0, ..Drawing::default() });
    }

    #[test]
    fn the_axis_has_short_numbers() {
        for (most, top, half) in
            [(0.0, "1", "0.5"), (1.2, "2", "1"), (3.9, "4", "2"), (4.1, "10", "5"), (23.0, "40", "20")]
        {
            let rounded = round_up(most);
            assert_eq!((tick(rounded).as_str(), tick(rounded / 2.0).as_str()), (top, half), "{most}");
        }
    }

    #[test]
    fn words_say_what_the_picture_shows() {
        let points = [point(100.0, 1, 2, 3), point(695.0, 10, 20, 30), point(700.0, 1, 0, 0)];
        assert_eq!(
            describe(&points),
            "Last minute: 11 real and 20 cover packets sent, 30 received. \
             Last ten minutes: 11 real and 20 cover packets sent, 30 received."
        );
        assert!(!is_empty(&points));
        assert!(is_empty(&[]) && is_empty(&[point(1.0, 0, 0, 0)]));
    }
}
