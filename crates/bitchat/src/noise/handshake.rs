//! One handshake.

use super::{OnceRng, Transport};
use crate::identity::{Identity, is_low_order};
use crate::peer::PeerId;
use rand::CryptoRng;
use snow::{Builder, HandshakeState};
use std::fmt;
use zeroize::Zeroizing;

/// The protocol's name.
pub const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
/// Lengths of the three messages; their number is not written anywhere.
pub(super) const LENGTHS: [usize; 3] = [32, 96, 64];

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The message is not what should come now, or was changed.
    #[error("the handshake message is not what should come now, or was changed")]
    Message,
    /// The other side has another key than its id says.
    #[error("the other side is {actual}, not {expected}")]
    Binding {
        /// Whom it should be.
        expected: PeerId,
        /// Who it is.
        actual: PeerId,
    },
    /// A key that gives nobody a secret.
    #[error("a key of the handshake is of low order")]
    LowOrderKey,
}

/// A session at its beginning.
#[derive(Debug)]
pub struct Established {
    /// Seals and opens messages.
    pub transport: Transport,
    /// The peer's static key, proven.
    pub remote_static: [u8; 32],
    /// What both sides share and nobody else can have made: for binding other things to this session.
    pub handshake_hash: [u8; 32],
}

/// A handshake that is under way.
pub struct Handshake {
    state: Box<HandshakeState>,
    initiator: bool,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("initiator", &self.initiator).finish_non_exhaustive()
    }
}

impl Handshake {
    /// Begins one. Returns message 1.
    ///
    /// # Errors
    /// None in practice.
    pub fn initiate(
        identity: &Identity,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut state = state(identity, rng, true)?;
        let message = write(&mut state)?;
        Ok((Self { state: Box::new(state), initiator: true }, message))
    }

    /// Answers message 1. Returns message 2.
    ///
    /// # Errors
    /// When message 1 is none, or its key is unusable.
    pub fn respond(
        identity: &Identity,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        ephemeral(message, LENGTHS[0])?;
        let mut state = state(identity, rng, false)?;
        read(&mut state, message)?;
        let answer = write(&mut state)?;
        Ok((Self { state: Box::new(state), initiator: false }, answer))
    }

    /// The initiator's end: takes message 2 of `peer`, returns message 3. A message that fails to open may be followed by
    /// the right one; after any other error the handshake is over.
    ///
    /// # Errors
    /// When the message is wrong, or somebody else's.
    pub fn finish_initiator(
        &mut self,
        message: &[u8],
        peer: PeerId,
    ) -> Result<(Vec<u8>, Established), HandshakeError> {
        if !self.initiator {
            return Err(HandshakeError::Message);
        }
        ephemeral(message, LENGTHS[1])?;
        read(&mut self.state, message)?;
        // Before the own static key is sent.
        let remote_static = remote(&self.state, peer)?;
        let answer = write(&mut self.state)?;
        Ok((answer, self.established(remote_static)))
    }

    /// The responder's end: takes message 3 of `peer`. A message that fails to open may be followed by the right one;
    /// after any other error the handshake is over.
    ///
    /// # Errors
    /// When the message is wrong, or somebody else's.
    pub fn finish_responder(&mut self, message: &[u8], peer: PeerId) -> Result<Established, HandshakeError> {
        if self.initiator || message.len() != LENGTHS[2] {
            return Err(HandshakeError::Message);
        }
        read(&mut self.state, message)?;
        let remote_static = remote(&self.state, peer)?;
        Ok(self.established(remote_static))
    }

    fn established(&mut self, remote_static: [u8; 32]) -> Established {
        let mut handshake_hash = [0; 32];
        handshake_hash.copy_from_slice(&self.state.get_handshake_hash()[..32]);
        let (first, second) = self.state.dangerously_get_raw_split();
        let (first, second) = (Zeroizing::new(first), Zeroizing::new(second));
        let transport = match self.initiator {
            true => Transport::new(&first, &second),
            false => Transport::new(&second, &first),
        };
        Established { transport, remote_static, handshake_hash }
    }
}

fn state(
    identity: &Identity,
    rng: &mut impl CryptoRng,
    initiator: bool,
) -> Result<HandshakeState, HandshakeError> {
    let private = identity.noise_private();
    let mut build = || -> Result<HandshakeState, snow::Error> {
        let builder =
            Builder::with_resolver(PATTERN.parse()?, OnceRng::draw(rng)).local_private_key(&*private)?;
        if initiator { builder.build_initiator() } else { builder.build_responder() }
    };
    build().map_err(|_| HandshakeError::Message)
}

/// Checks the length and the ephemeral key at the start.
fn ephemeral(message: &[u8], len: usize) -> Result<(), HandshakeError> {
    match message.first_chunk() {
        Some(_) if message.len() != len => Err(HandshakeError::Message),
        Some(key) if is_low_order(key) => Err(HandshakeError::LowOrderKey),
        Some(_) => Ok(()),
        None => Err(HandshakeError::Message),
    }
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Result<(), HandshakeError> {
    let mut payload = [0; 128];
    state.read_message(message, &mut payload).map(|_| ()).map_err(|_| HandshakeError::Message)
}

fn write(state: &mut HandshakeState) -> Result<Vec<u8>, HandshakeError> {
    let mut out = vec![0; 128];
    let len = state.write_message(&[], &mut out).map_err(|_| HandshakeError::Message)?;
    out.truncate(len);
    Ok(out)
}

/// The other side's static key, if it is `peer`'s.
fn remote(state: &HandshakeState, peer: PeerId) -> Result<[u8; 32], HandshakeError> {
    let key: [u8; 32] =
        state.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(HandshakeError::Message)?;
    if is_low_order(&key) {
        return Err(HandshakeError::LowOrderKey);
    }
    match PeerId::of(&key) {
        actual if actual != peer => Err(HandshakeError::Binding { expected: peer, actual }),
        _ => Ok(key),
    }
}
