//! One message layer over all roads.
//!
//! A message goes into the *outbox* in the same transaction as the state that caused it, and leaves the outbox
//! only when the other side has acknowledged it. The receiver acknowledges only after it has committed what
//! the message did, together with the message's id. So every message takes effect exactly once, whatever is
//! killed in between. Messages of one *lane* to one peer take effect in the order in which they were put; lanes do not
//! wait for each other, so that a long message holds up nobody but its own.
//!
//! ```text
//!  app tx ── outbox::put ──> commit ── Endpoint::wake
//!                                        │ fragments, each sealed to the receiver (envelope)
//!                                        ▼
//!                                    Transport (betanet, direct, later mesh)
//!                                        ▼
//!  app tx <── Event::Incoming ── reassembly ── open envelope
//!    └ inbox::first_time, effects, commit ── Endpoint::confirm ── acknowledgement ──> sender: Event::Delivered
//!                                                              └ the next of the lane
//! ```
//!
//! A message's last fragment brings a reply block where it has room for one, and the acknowledgement goes by it. Whatever
//! goes wrong with that, it goes to the sender's address when the message comes again.
//!
//! * [`envelope`]: the road-independent sealed datagram (Noise X: the sender is authenticated, and hidden).
//! * [`datagram`]: what is inside: fragments, acknowledgements, presence.
//! * [`session`]: fragmenting, reassembly, order, retransmission, acknowledgement for all peers; a state machine without
//!   IO.
//! * [`outbox`], [`inbox`]: the tables, used inside the caller's transactions.
//! * [`transport`]: the small trait that a road implements: [`mixnet`], and [`direct`] connections; [`roads`] are both.
//! * [`endpoint`]: the driver.
//!
//! A peer is known here by the X25519 key of their identity; who that is, the node above knows.

pub mod datagram;
pub mod direct;
pub mod endpoint;
pub mod envelope;
pub mod inbox;
pub mod mixnet;
pub mod outbox;
pub mod roads;
pub mod session;
pub mod transport;

use sqlx::migrate::Migrator;

/// A peer: the X25519 public key of their identity.
pub type PeerKey = [u8; 32];
/// A message's id: random, chosen by its sender.
pub type MessageId = [u8; 16];

/// The longest message body. More goes in chunks of the application's own.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Creates or updates this crate's tables.
///
/// # Errors
/// Those of the database.
pub async fn migrate(pool: &sqlx::SqlitePool) -> Result<(), sqlx::migrate::MigrateError> {
    let mut migrator: Migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name("_migrations_p2p");
    migrator.run(pool).await
}
