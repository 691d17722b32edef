//! Reliable byte streams over datagrams that come late, in any order, or never: a state machine without IO.
//!
//! ```text
//!   write ──▶ send buffer ──▶ frames ──poll_transmit──▶ datagram ···▶ receive ──▶ receive buffer ──▶ read
//!                  ▲             │ packet number, sent at                │
//!                  └── lost ◀── recovery ◀────────── ACK ◀───────────────┘
//! ```
//!
//! One [`Mux`] carries the streams of one session. The client opens them, naming a [`Target`]; the service accepts or
//! refuses. A datagram has a number and holds frames of any streams. Numbers are never used twice: what was in a lost
//! datagram goes out again in a new one (selective repeat). So every acknowledgement is also a measurement of the round
//! trip. An ACK names the highest number that came and, as a bitmap, the 512 below it; so a lost ACK costs nothing.
//!
//! A mixnet reorders heavily, so it says nothing that a datagram was overtaken by three others. One counts as lost
//! when it was overtaken by one that was acknowledged *and* is late for the measured round trip and its variation
//! (after RACK, RFC 8985), or when nothing comes back at all (RFC 6298, at least 2 s, doubled at each silence). An
//! acknowledgement that comes after all takes the loss back.
//!
//! A receiver never holds more of a stream than the window that it announced; a stream that nobody reads stays at
//! [`INITIAL_WINDOW`]. Whoever breaks this or another rule ends the session. A session that hears nothing for
//! [`Config::idle`] ends, so everything ends.
//!
//! Use: [`Mux::receive`] what comes; [`Mux::poll_transmit`] until it gives none; [`Mux::poll_event`] until there is
//! none; sleep until [`Mux::next_timeout`] or the next of these.

mod buffer;
mod frame;
mod mux;
mod ranges;
mod recovery;
#[cfg(test)]
mod tests;

pub use frame::{EndCode, MAX_HOST, Refusal, ResetCode, StreamId, Target};
pub use mux::Mux;

use std::time::Duration;

/// The most streams of a session at a time.
pub const MAX_STREAMS: usize = 64;
/// The most streams that a service keeps of one session: it may learn later than the client that one is over.
const MAX_LINGERING: usize = 2 * MAX_STREAMS;
/// The most bytes of a stream that wait to be sent or acknowledged.
pub const SEND_BUFFER: usize = 256 * 1024;
/// Bytes that each side may send before the other announces a window.
pub const INITIAL_WINDOW: u64 = 64 * 1024;
/// The largest window of a stream by default, in bytes.
pub const STREAM_WINDOW: u64 = 256 * 1024;
/// The most gaps in what came of a stream: 256 KiB of full datagrams have no more than 71.
const MAX_GAPS: usize = 256;
/// The most events that wait to be polled before new streams are put off.
const MAX_EVENTS: usize = 4 * MAX_STREAMS;
/// The least size of a datagram: an OPEN frame with the longest name fits, and so does an ACK.
pub const MIN_DATAGRAM: usize = 512;
/// An ACK waits so long for something that goes the same way.
const ACK_DELAY: Duration = Duration::from_millis(200);
/// After so many datagrams it waits no longer.
const ACK_EVERY: u32 = 8;
/// How often a closed session repeats that it is closed to who goes on sending.
const MAX_CLOSES: u32 = 4;

/// Which end of a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Opens streams.
    Client,
    /// Accepts or refuses them.
    Service,
}

/// How many datagrams may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Congestion {
    /// Always the same number: for a driver that sends on a fixed schedule.
    Fixed(usize),
    /// A slow start, then additive increase, and multiplicative decrease by 0.7 when more than an eighth of a round
    /// trip's datagrams is lost (compare RFC 5681). A mixnet loses some without being congested, so the window does not
    /// shrink for less, nor below 8.
    Aimd {
        /// At first.
        initial: usize,
        /// At most.
        max: usize,
    },
}

/// The settings of a [`Mux`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The largest window of a stream, in bytes; at least [`INITIAL_WINDOW`].
    pub window: u64,
    /// How many datagrams may be under way.
    pub congestion: Congestion,
    /// Silence after which a session with streams asks for a sign of life.
    pub keep_alive: Duration,
    /// Silence after which a session ends.
    pub idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: STREAM_WINDOW,
            congestion: Congestion::Aimd { initial: 16, max: 128 },
            keep_alive: Duration::from_secs(30),
            idle: Duration::from_secs(120),
        }
    }
}

/// What happened to the streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Client: the service accepted the stream.
    Opened(StreamId),
    /// Client: the service refused the stream, which is gone.
    Refused(StreamId, Refusal),
    /// Service: the client wants a stream. Answer with [`Mux::accept`] or [`Mux::refuse`].
    Incoming(StreamId, Target),
    /// There is something to read, or the stream's end. Told once until [`Mux::read`].
    Readable(StreamId),
    /// There is room again, after [`Mux::write`] took less than it was given.
    Writable(StreamId),
    /// The stream is gone: both sides ended it and everything was read and acknowledged (`None`), or the other side
    /// broke it off.
    Closed(StreamId, Option<ResetCode>),
    /// The session is over, with all its streams.
    Ended(End),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// [`Mux::close`] was called.
    Closed,
    /// The other side closed it.
    ByPeer(EndCode),
    /// The other side broke the protocol.
    Violation,
    /// Nothing was heard for [`Config::idle`].
    Silence,
}

/// What [`Mux::read`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Bytes that were appended.
    pub bytes: usize,
    /// True if the stream ends here.
    pub finished: bool,
}

/// Why nothing was done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// There is no such stream, or not any more.
    #[error("there is no such stream")]
    Unknown,
    /// The stream is not accepted yet, or was already, or was broken off.
    #[error("the stream is not in a state for this")]
    State,
    /// As many streams as there may be are open.
    #[error("the session has {MAX_STREAMS} streams: wait until one ends")]
    TooMany,
    /// The target's host is no name or address.
    #[error("the target's name cannot be sent")]
    Target,
    /// The session is over.
    #[error("the session is over")]
    Ended,
}
