//! The sessions with everybody.

mod peer;

use super::handshake::LENGTHS;
use super::{Handshake, HandshakeError, TransportError};
use crate::bucket::Bucket;
use crate::identity::Identity;
use crate::peer::PeerId;
use peer::{Peer, Pending, Role};
use rand::CryptoRng;
use std::collections::HashMap;

/// Time limits and budgets. The defaults are the iPhone app's where it has one.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How long an initiator waits for message 2, milliseconds.
    pub initiator_timeout_ms: u64,
    /// How long a responder waits for message 3, milliseconds.
    pub responder_timeout_ms: u64,
    /// After this time a session should be renewed, milliseconds.
    pub renew_after_ms: u64,
    /// After so many sent messages a session should be renewed.
    pub renew_after_messages: u32,
    /// How long messages of a replaced session are still opened, milliseconds.
    pub grace_ms: u64,
    /// Failed messages in a row after which the peer seems to have another session.
    pub failures: u32,
    /// The least time between two renewals because of that, milliseconds.
    pub failure_cooldown_ms: u64,
    /// Handshakes a minute, of one peer and in all.
    pub handshakes: (u32, u32),
    /// Messages a second, of one peer and in all.
    pub messages: (u32, u32),
    /// Messages that wait for the end of a handshake, of one peer and in all.
    pub early: (usize, usize),
    /// Handshakes under way.
    pub pending: usize,
    /// Peers that anything is kept of.
    pub peers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initiator_timeout_ms: 10_000,
            responder_timeout_ms: 20_000,
            renew_after_ms: 24 * 3_600_000 / 10 * 9,
            renew_after_messages: 900_000_000,
            grace_ms: 30_000,
            failures: 3,
            failure_cooldown_ms: 60_000,
            handshakes: (10, 30),
            messages: (100, 500),
            early: (4, 32),
            pending: 64,
            peers: 1_024,
        }
    }
}

/// Why nothing came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// There is no session with this peer: begin a handshake.
    #[error("there is no session with {0}")]
    NoSession(PeerId),
    /// The handshake went wrong.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The message went wrong.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Too many handshakes or messages.
    #[error("{0} sends too much")]
    TooMuch(PeerId),
    /// A handshake with oneself.
    #[error("the packet says to be from here")]
    Oneself,
    /// There is no room for one more, since all are kept on purpose.
    #[error("there are too many sessions that are to be kept")]
    Full,
}

/// What a handshake message led to.
#[derive(Debug, PartialEq, Eq)]
pub enum HandshakeStep {
    /// Send this back.
    Reply(Vec<u8>),
    /// There is a session.
    Opened(SessionOpened),
    /// Both sides began; ours goes on and the peer answers it.
    Ignored,
}

/// A new session. Send the peer state first.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionOpened {
    /// Message 3, if it is ours to send.
    pub reply: Option<Vec<u8>>,
    /// The peer's static key, proven.
    pub remote_static: [u8; 32],
    /// What both sides share and nobody else can have made.
    pub handshake_hash: [u8; 32],
    /// Payloads that came before the handshake was over.
    pub early: Vec<Vec<u8>>,
}

/// What a message led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Its payload.
    Payload(Vec<u8>),
    /// It waits for the end of a handshake.
    Early,
}

/// Sessions and handshakes with everybody. All times are in milliseconds of one clock.
#[derive(Debug)]
pub struct Sessions {
    identity: Identity,
    me: PeerId,
    config: Config,
    peers: HashMap<PeerId, Peer>,
    handshakes: Bucket,
    messages: Bucket,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(identity: Identity, config: Config) -> Self {
        let me = identity.peer_id();
        let handshakes = Bucket::new(config.handshakes.1, 60_000);
        let messages = Bucket::new(config.messages.1, 1_000);
        Self { identity, me, config, peers: HashMap::new(), handshakes, messages }
    }

    /// Whether messages can be sealed for this peer.
    pub fn has_session(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|p| p.session.is_some())
    }

    /// The static key of a peer with a session.
    pub fn remote_static(&self, peer: PeerId) -> Option<&[u8; 32]> {
        self.peers.get(&peer)?.session.as_ref().map(|s| &s.remote_static)
    }

    /// How many peers anything is kept of.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Keeps a peer's session whoever comes: a contact.
    pub fn keep(&mut self, peer: PeerId, keep: bool) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.keep = keep;
        }
    }

    /// Ends everything with a peer.
    pub fn close(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// Begins a handshake, also beside a session. Returns message 1: the same one again while it is being waited for.
    ///
    /// # Errors
    /// When there is no room, or it is oneself.
    pub fn initiate(
        &mut self,
        peer: PeerId,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SessionError> {
        self.expire(now);
        if peer == self.me {
            return Err(SessionError::Oneself);
        }
        let waiting = self.peers.get(&peer).and_then(|p| p.pending.as_ref());
        if let Some(pending) = waiting.filter(|p| p.role == Role::Initiator) {
            return Ok(pending.sent.clone());
        }
        let (handshake, sent) = Handshake::initiate(&self.identity, rng)?;
        let pending = Pending { handshake, role: Role::Initiator, began: now, sent: sent.clone(), got: None };
        self.pend(peer, pending, now)?;
        Ok(sent)
    }

    /// Takes the payload of a handshake packet that says to be from `peer`.
    ///
    /// # Errors
    /// When it is not what should come, somebody else's, or one too many.
    pub fn handshake(
        &mut self,
        peer: PeerId,
        message: &[u8],
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<HandshakeStep, SessionError> {
        self.expire(now);
        if peer == self.me {
            return Err(SessionError::Oneself);
        }
        match message.len() {
            len if len == LENGTHS[0] => self.answer(peer, message, now, rng),
            len if len == LENGTHS[1] => self.finish(peer, message, now, Role::Initiator),
            len if len == LENGTHS[2] => self.finish(peer, message, now, Role::Responder),
            _ => Err(HandshakeError::Message.into()),
        }
    }

    fn answer(
        &mut self,
        peer: PeerId,
        message: &[u8],
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<HandshakeStep, SessionError> {
        match self.peers.get(&peer).and_then(|p| p.pending.as_ref()) {
            // Both began: who has the lower id goes on.
            Some(pending) if pending.role == Role::Initiator && self.me < peer => {
                return Ok(HandshakeStep::Ignored);
            }
            // The same message by another way.
            Some(pending) if pending.got.as_deref() == Some(message) => {
                return Ok(HandshakeStep::Reply(pending.sent.clone()));
            }
            _ => {}
        }
        let per_peer = self.config.handshakes.0;
        let allowed = match self.peers.get_mut(&peer) {
            Some(known) => known.handshakes.take(1, now),
            None => per_peer > 0,
        };
        if !allowed || !self.handshakes.take(1, now) {
            return Err(SessionError::TooMuch(peer));
        }
        let (handshake, sent) = Handshake::respond(&self.identity, message, rng)?;
        let pending = Pending {
            handshake,
            role: Role::Responder,
            began: now,
            sent: sent.clone(),
            got: Some(message.to_vec()),
        };
        self.pend(peer, pending, now)?;
        Ok(HandshakeStep::Reply(sent))
    }

    fn finish(
        &mut self,
        peer: PeerId,
        message: &[u8],
        now: u64,
        role: Role,
    ) -> Result<HandshakeStep, SessionError> {
        let known = self.peers.get_mut(&peer).ok_or(HandshakeError::Message)?;
        let pending = known.pending.as_mut().filter(|p| p.role == role).ok_or(HandshakeError::Message)?;
        let finished = match role {
            Role::Initiator => {
                pending.handshake.finish_initiator(message, peer).map(|(reply, e)| (Some(reply), e))
            }
            Role::Responder => pending.handshake.finish_responder(message, peer).map(|e| (None, e)),
        };
        let (reply, established) = match finished {
            Ok(done) => done,
            // Anybody can send rubbish; the right message may still come.
            Err(HandshakeError::Message) => return Err(HandshakeError::Message.into()),
            Err(other) => {
                known.pending = None;
                self.forget_if_empty(peer);
                return Err(other.into());
            }
        };
        let (remote_static, handshake_hash) = (established.remote_static, established.handshake_hash);
        let early = known.open(established, now, self.config.grace_ms);
        Ok(HandshakeStep::Opened(SessionOpened { reply, remote_static, handshake_hash, early }))
    }

    /// Seals a private payload for `peer`.
    ///
    /// # Errors
    /// When there is no session, it is used up, or the payload is too long.
    pub fn encrypt(&mut self, peer: PeerId, plain: &[u8], now: u64) -> Result<Vec<u8>, SessionError> {
        let known = self.peers.get_mut(&peer).ok_or(SessionError::NoSession(peer))?;
        let session = known.session.as_mut().ok_or(SessionError::NoSession(peer))?;
        known.last = now;
        Ok(session.transport.seal(plain)?)
    }

    /// Opens the payload of an encrypted packet that says to be from `peer`.
    ///
    /// # Errors
    /// When there is no session, it is not the peer's, came before, or is one too many.
    pub fn decrypt(&mut self, peer: PeerId, message: &[u8], now: u64) -> Result<Received, SessionError> {
        let early: usize = self.peers.values().map(|p| p.early.len()).sum();
        let known = self.peers.get_mut(&peer).ok_or(SessionError::NoSession(peer))?;
        if !known.messages.take(1, now) || !self.messages.take(1, now) {
            return Err(SessionError::TooMuch(peer));
        }
        let error = match known.decrypt(message, now) {
            Ok(plain) => return Ok(Received::Payload(plain)),
            Err(error) => error,
        };
        let may_be_early = matches!(error, None | Some(TransportError::Sealed | TransportError::Replayed(_)));
        if known.pending.is_some() && may_be_early {
            if known.early.len() >= self.config.early.0 || early >= self.config.early.1 {
                return Err(SessionError::TooMuch(peer));
            }
            known.early.push(message.to_vec());
            return Ok(Received::Early);
        }
        match error {
            None => Err(SessionError::NoSession(peer)),
            Some(error) => Err(error.into()),
        }
    }

    /// Forgets handshakes that took too long. Returns the peers that did not answer ours.
    pub fn expire(&mut self, now: u64) -> Vec<PeerId> {
        let config = self.config;
        let mut silent = Vec::new();
        self.peers.retain(|id, peer| {
            if peer.previous.as_ref().is_some_and(|(_, until)| now > *until) {
                peer.previous = None;
            }
            let limit = |role| match role {
                Role::Initiator => config.initiator_timeout_ms,
                Role::Responder => config.responder_timeout_ms,
            };
            let late = |p: &Pending| now.saturating_sub(p.began) > limit(p.role);
            if let Some(pending) = peer.pending.take_if(|p| late(p)) {
                peer.early.clear();
                if pending.role == Role::Initiator {
                    silent.push(*id);
                }
            }
            // Budgets stay for a minute, so that going away does not refill them.
            peer.session.is_some() || peer.pending.is_some() || now.saturating_sub(peer.last) < 60_000
        });
        silent.sort_unstable();
        silent
    }

    /// Peers with whom a new handshake should begin now: the session is old, used up, or the peer seems to have another.
    pub fn due(&mut self, now: u64) -> Vec<PeerId> {
        let config = self.config;
        let due = |(id, peer): (&PeerId, &mut Peer)| peer.is_due(&config, now).then_some(*id);
        let mut due: Vec<PeerId> = self.peers.iter_mut().filter_map(due).collect();
        due.sort_unstable();
        due
    }

    fn pend(&mut self, peer: PeerId, pending: Pending, now: u64) -> Result<(), SessionError> {
        self.make_room(peer)?;
        let config = self.config;
        let known = self.peers.entry(peer).or_insert_with(|| {
            let mut handshakes = Bucket::new(config.handshakes.0, 60_000);
            // The one that brought it here.
            handshakes.take(1, now);
            Peer::new(handshakes, Bucket::new(config.messages.0, 1_000))
        });
        known.pending = Some(pending);
        known.last = now;
        Ok(())
    }

    /// Room for one more handshake, and for one more peer.
    fn make_room(&mut self, newcomer: PeerId) -> Result<(), SessionError> {
        let pending = self.peers.iter().filter(|(_, p)| p.pending.is_some());
        if pending.clone().count() >= self.config.pending {
            let others = pending.filter(|(id, _)| **id != newcomer);
            let oldest = others.min_by_key(|(id, p)| (p.pending.as_ref().map(|h| h.began), **id));
            if let Some(id) = oldest.map(|(id, _)| *id) {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.pending = None;
                    peer.early.clear();
                }
                self.forget_if_empty(id);
            }
        }
        if self.peers.len() >= self.config.peers && !self.peers.contains_key(&newcomer) {
            let strangers = self.peers.iter().filter(|(_, p)| !p.keep);
            let oldest =
                strangers.min_by_key(|(id, p)| (p.session.is_some(), p.last, **id)).map(|(id, _)| *id);
            self.peers.remove(&oldest.ok_or(SessionError::Full)?);
        }
        Ok(())
    }

    fn forget_if_empty(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|p| p.session.is_none() && p.pending.is_none() && !p.keep) {
            self.peers.remove(&peer);
        }
    }
}
