//! Sessions between two peers: `Noise_XX_25519_ChaChaPoly_SHA256`, with empty prologue and payloads.
//!
//! ```text
//!  initiator                                   responder
//!      │ ── 1: ephemeral key (32) ─────────────▶ │
//!      │ ◀─ 2: ephemeral, sealed static (96) ─── │  the static key must hash to the peer id
//!      │ ── 3: sealed static (64) ─────────────▶ │  here, too
//!      │ ◀═══ counter ‖ sealed payload ════════▶ │
//! ```
//!
//! * [`Handshake`]: one handshake; [`Transport`]: what comes of it.
//! * [`Sessions`]: the sessions with everybody, with collisions, restarts, time limits and budgets. It is a state
//!   machine: packets, the time and random numbers go in; payloads come out.
//!
//! A session is renewed by a new handshake, so what was said before it stays secret if keys are lost later, and what was
//! said within it does not.

mod handshake;
mod replay;
mod rng;
mod sessions;
mod transport;

pub use handshake::{Established, Handshake, HandshakeError, PATTERN};
pub use replay::{ReplayWindow, WINDOW};
pub(crate) use rng::OnceRng;
pub use sessions::{Config, HandshakeStep, Received, SessionError, SessionOpened, Sessions};
pub use transport::{MAX_COUNTER, OVERHEAD, Transport, TransportError, open_with_key, seal_with_key};

#[cfg(test)]
mod tests;
