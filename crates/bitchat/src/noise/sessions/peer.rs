//! What is kept of one peer.

use super::super::{Established, Handshake, Transport, TransportError};
use super::Config;
use crate::bucket::Bucket;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

/// A handshake under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) handshake: Handshake,
    pub(super) role: Role,
    pub(super) began: u64,
    /// The message that was sent last.
    pub(super) sent: Vec<u8>,
    /// Message 1, if it was the peer's.
    pub(super) got: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) transport: Transport,
    pub(super) remote_static: [u8; 32],
    began: u64,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: Option<Session>,
    /// The session before: what was under way when it was replaced can still be opened until then.
    pub(super) previous: Option<(Session, u64)>,
    pub(super) pending: Option<Pending>,
    /// Messages that no session opens yet.
    pub(super) early: Vec<Vec<u8>>,
    pub(super) handshakes: Bucket,
    pub(super) messages: Bucket,
    pub(super) keep: bool,
    /// When anything was done with it.
    pub(super) last: u64,
    failures: u32,
    /// When failures last led to a new handshake.
    recovered: Option<u64>,
}

impl Peer {
    pub(super) fn new(handshakes: Bucket, messages: Bucket) -> Self {
        Self {
            session: None,
            previous: None,
            pending: None,
            early: Vec::new(),
            handshakes,
            messages,
            keep: false,
            last: 0,
            failures: 0,
            recovered: None,
        }
    }

    /// Begins a session, and opens what came before it.
    pub(super) fn open(&mut self, established: Established, now: u64, grace_ms: u64) -> Vec<Vec<u8>> {
        let Established { transport, remote_static, .. } = established;
        let session = Session { transport, remote_static, began: now };
        self.previous = self.session.replace(session).map(|old| (old, now.saturating_add(grace_ms)));
        self.pending = None;
        self.failures = 0;
        self.last = now;
        let early = std::mem::take(&mut self.early);
        early.iter().filter_map(|message| self.decrypt(message, now).ok()).collect()
    }

    /// Opens a message with the session, or the one before. `None` as the error: there is none.
    pub(super) fn decrypt(&mut self, message: &[u8], now: u64) -> Result<Vec<u8>, Option<TransportError>> {
        let mut error = None;
        let previous = self.previous.as_mut().filter(|(_, until)| now <= *until).map(|(s, _)| s);
        for session in self.session.as_mut().into_iter().chain(previous) {
            match session.transport.open(message) {
                Ok(plain) => {
                    self.failures = 0;
                    self.last = now;
                    return Ok(plain);
                }
                // The session's own complaint says more than that of the one before.
                Err(e) => error = error.or(Some(e)),
            }
        }
        if error == Some(TransportError::Sealed) {
            self.failures = self.failures.saturating_add(1);
        }
        Err(error)
    }

    pub(super) fn is_due(&mut self, config: &Config, now: u64) -> bool {
        let Some(session) = self.session.as_ref().filter(|_| self.pending.is_none()) else { return false };
        let old = now.saturating_sub(session.began) >= config.renew_after_ms
            || session.transport.sent() >= config.renew_after_messages;
        let cooled = self.recovered.is_none_or(|at| now.saturating_sub(at) >= config.failure_cooldown_ms);
        if self.failures >= config.failures && cooled {
            self.recovered = Some(now);
            self.failures = 0;
            return true;
        }
        old
    }
}
