//! What a relay counts, for Prometheus (text format 0.0.4).

use anyhow::{Context, Result};
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use betanet::mix::MAX_HELD;
use betanet::relay::{Relay, Status};
use parking_lot::Mutex;
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Serves `/metrics` until the program ends; gives the address.
pub(super) async fn serve(relay: Arc<Relay>, listen: SocketAddr) -> Result<SocketAddr> {
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("the metrics cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let last = Arc::new(Mutex::new(Last { at: Instant::now(), busy: Duration::ZERO, saturation: 0.0 }));
    let page = move || async move {
        let status = relay.status();
        let saturation = last.lock().update(Instant::now(), status.busy);
        ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text(&status, saturation)).into_response()
    };
    let app = Router::new().route("/metrics", get(page));
    tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, app).await {
            tracing::error!("the metrics are not served any more: {e}");
        }
    });
    Ok(address)
}

/// The workers' time at the last look, against which the share since then is taken.
struct Last {
    at: Instant,
    busy: Duration,
    saturation: f64,
}

impl Last {
    /// The share of all processors that the relay's workers used since the last look (looks less than a second
    /// apart give the same).
    fn update(&mut self, now: Instant, busy: Duration) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed >= Duration::from_secs(1) {
            let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
            let share = busy.saturating_sub(self.busy).as_secs_f64() / elapsed.as_secs_f64() / cpus;
            *self = Self { at: now, busy, saturation: share };
        }
        self.saturation
    }
}

fn text(status: &Status, saturation: f64) -> String {
    let c = &status.counters;
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: &dyn Display| {
        // Writing to a string cannot fail.
        _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    metric("fog_mix_forwarded_total", "counter", "Packets sent on when their time came.", &c.forwarded);
    metric("fog_mix_delivered_total", "counter", "Messages put into a mailbox.", &c.delivered);
    metric("fog_mix_undeliverable_total", "counter", "Messages for mailboxes not here.", &c.undeliverable);
    metric("fog_mix_replays_total", "counter", "Replayed packets refused.", &c.replays);
    metric("fog_mix_malformed_total", "counter", "Malformed packets refused.", &c.malformed);
    metric("fog_mix_full_total", "counter", "Packets refused for want of room.", &c.full);
    metric("fog_mix_unsent_total", "counter", "Packets for relays not reached in time.", &c.unsent);
    metric("fog_mix_remembered_packets", "gauge", "Packets in the replay filter.", &c.remembered);
    metric("fog_mix_held_packets", "gauge", "Packets that wait for their time.", &c.held);
    let filled = c.held as f64 / MAX_HELD as f64;
    metric("fog_mix_held_ratio", "gauge", "The same, of the most that may wait.", &filled);
    metric("fog_mix_saturation_ratio", "gauge", "Share of all processors spent on packets.", &saturation);
    metric(
        "fog_mix_busy_seconds_total",
        "counter",
        "Time that workers spent on packets.",
        &status.busy.as_secs_f64(),
    );
    metric("fog_mix_links", "gauge", "Links that others have opened.", &status.links);
    metric(
        "fog_mix_links_refused_total",
        "counter",
        "Links refused for want of room.",
        &status.links_refused,
    );
    let b = &status.boxes;
    metric("fog_mix_boxes", "gauge", "Boxes of owners whom this relay does not know.", &b.boxes);
    metric("fog_mix_box_blocks", "gauge", "Reply blocks that wait in boxes.", &b.blocks);
    metric("fog_mix_box_passed_total", "counter", "Payloads passed on to owners of boxes.", &b.passed);
    metric("fog_mix_box_lost_total", "counter", "Payloads for boxes not here, or without room.", &b.lost);
    metric("fog_mix_descriptors", "gauge", "Descriptors of hidden services stored.", &b.descriptors);
    metric("fog_mix_requests_refused_total", "counter", "Requests to this relay refused.", &b.refused);

    let name = "fog_mix_lateness_seconds";
    _ = writeln!(out, "# HELP {name} How long after their time packets left.\n# TYPE {name} histogram");
    let mut count = 0;
    for (bound, n) in c.lateness.cumulative() {
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |b| b.as_secs_f64().to_string());
        _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {n}");
        count = n;
    }
    _ = writeln!(out, "{name}_sum {}\n{name}_count {count}", c.lateness.total().as_secs_f64());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use betanet::mix::{BoxCounters, Counters};

    #[test]
    fn every_line_is_one_that_prometheus_reads() {
        let counters = Counters { forwarded: 7, ..Counters::default() };
        let boxes = BoxCounters { passed: 9, ..BoxCounters::default() };
        let busy = Duration::from_millis(1500);
        let status = Status { counters, links: 2, links_refused: 0, boxes, busy };
        let text = text(&status, 0.25);
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(name.starts_with("fog_mix_") && value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("\nfog_mix_forwarded_total 7\n"));
        assert!(text.contains("\nfog_mix_box_passed_total 9\n"));
        assert!(text.contains("\nfog_mix_lateness_seconds_bucket{le=\"+Inf\"} 0\n"));
    }

    #[test]
    fn saturation_is_the_share_since_the_last_look() {
        let start = Instant::now();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let mut last = Last { at: start, busy: Duration::ZERO, saturation: 0.0 };
        let second = Duration::from_secs(1);
        assert_eq!(last.update(start + second / 2, second), 0.0);
        assert_eq!(last.update(start + second * 2, second), 0.5 / cpus);
        assert_eq!(last.update(start + second * 4, second), 0.0);
    }
}
