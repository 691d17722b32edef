//! Relay, routing, store and forward: one engine for phones and for our own nodes.
//!
//! [`Engine`] is a state machine without input or output. A driver tells it that a link came up, that a frame came in, that
//! time has passed; the engine answers with a list of [`Output`]s. It asks no clock, no disk and no random numbers of the
//! system, so a thousand engines run in one process under a simulated clock, and every run can be repeated exactly.
//!
//! ```text
//!            link_up, link_down, receive, link_ready, tick           publish, carry, acknowledge
//!  radio ─────────────────────────────────────────────▶ Engine ◀──────────────────────────────── sessions, chat
//!        ◀───────────────────────────────────────────── │    │ ─────────────────────────────────▶
//!            Transmit                                    │    └── Deliver, Acknowledged, Carried, SendAgain
//!                                                        ▼
//!                                            Persist (the driver's disk), before what it makes known
//! ```
//!
//! Two rule sets run on it ([`Config`]):
//!
//! - **Compatible**: as the apps relay. TTL, jitter, a clamp by the number of links, a part of the links, duplicates that
//!   cancel, announces, answers to sync requests. Phones and nodes mix freely.
//! - **Native**, between our own nodes. Public packets keep their bytes, so phones still understand them. Who is heard
//!   weakly relays first, and who has heard the packet from others stays silent; a few links get the packet, the others
//!   its name, and fetch it if they lack it. So coverage does not depend on the TTL. Messages for one receiver are *bundles*
//!   ([`bundle`]): they go hop by hop with custody along a known way; where there is none, a number of copies is sprayed
//!   over those who are met, and the last copy goes to who is likelier to meet the receiver ([`prophet`]). The receiver's
//!   proof travels back and clears all buffers.
//!
//! Whatever comes in is a stranger's word. Signatures are checked before a public packet is shown or passed on; each sender
//! has a budget ([`Limits`]); every table is bounded, and a sender that floods loses its own packets first.

mod arq;
mod bucket;
pub mod bundle;
mod config;
mod control;
mod counters;
mod duty;
mod engine;
mod filter;
mod history;
mod keys;
mod link;
mod outbox;
mod peers;
pub mod prophet;
mod record;
mod seen;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod view;

pub use bucket::Rate;
pub use bundle::{AckHash, Secret};
pub use config::{CarryRule, Config, Limits, NativeCarry, NativeRelay, RelayRule};
pub use counters::Counters;
pub use duty::{PowerMode, ScanPlan, scan_plan};
pub use engine::{Engine, Nearby};
pub use keys::{Announced, Keys};
pub use link::LinkRole;
pub use prophet::ProphetConfig;
pub use record::{Change, Key, Record};
pub use types::{Delivered, Frame, LinkId, MessageId, Millis, Output, SendError};
