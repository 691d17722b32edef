//! Messages of an established session.
//!
//! A message is a counter of four bytes and the sealed payload. The Noise library limits messages to 65,535 bytes, which
//! files exceed, so sealing is done here with the two keys that the handshake gives.

use super::ReplayWindow;
use crate::packet::MAX_PAYLOAD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use std::fmt;

/// What sealing adds: the counter and the tag.
pub const OVERHEAD: usize = 4 + 16;
/// The last counter. Whoever comes to it needs a new session.
pub const MAX_COUNTER: u32 = u32::MAX - 1;

/// Why a message was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Too short to be one.
    #[error("a message of {0} bytes is too short")]
    TooShort(usize),
    /// Longer than a packet.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// The counter came already, or is too old to say.
    #[error("message {0} came before, or is too old")]
    Replayed(u32),
    /// Not sealed by this session's peer.
    #[error("the session's key does not open the message")]
    Sealed,
    /// All counters are used.
    #[error("the session has no more messages: make a new one")]
    Exhausted,
}

/// Both directions of a session.
#[derive(Clone)]
pub struct Transport {
    sender: ChaCha20Poly1305,
    receiver: ChaCha20Poly1305,
    next: u32,
    window: ReplayWindow,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Transport {
    /// A session with these keys, whose counters begin at 0.
    pub fn new(send_key: &[u8; 32], receive_key: &[u8; 32]) -> Self {
        let (sender, receiver) =
            (ChaCha20Poly1305::new(send_key.into()), ChaCha20Poly1305::new(receive_key.into()));
        Self { sender, receiver, next: 0, window: ReplayWindow::default() }
    }

    /// Seals a payload.
    ///
    /// # Errors
    /// When it is too long for a packet, or all counters are used.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, TransportError> {
        let message = seal(&self.sender, self.next, plain)?;
        self.next += 1;
        Ok(message)
    }

    /// Opens a message. One that fails leaves everything as it was.
    ///
    /// # Errors
    /// When it is not the peer's, or came before.
    pub fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, TransportError> {
        let (counter, sealed) = split(message)?;
        if counter > MAX_COUNTER || !self.window.is_fresh(counter) {
            return Err(TransportError::Replayed(counter));
        }
        let plain = self.receiver.decrypt(&nonce(counter), sealed).map_err(|_| TransportError::Sealed)?;
        self.window.mark(counter);
        Ok(plain)
    }

    /// How many messages were sealed.
    pub fn sent(&self) -> u32 {
        self.next
    }
}

/// Opens a message with a session's key alone, whatever its counter: for looking at recorded packets.
///
/// # Errors
/// When the key is another.
pub fn open_with_key(key: &[u8; 32], message: &[u8]) -> Result<(u32, Vec<u8>), TransportError> {
    let (counter, sealed) = split(message)?;
    let cipher = ChaCha20Poly1305::new(key.into());
    let plain = cipher.decrypt(&nonce(counter), sealed).map_err(|_| TransportError::Sealed)?;
    Ok((counter, plain))
}

/// Seals a payload with a session's key alone, under any counter: for making packets to test with. A session must never
/// use a counter twice.
///
/// # Errors
/// When the payload is too long, or there is no such counter.
pub fn seal_with_key(key: &[u8; 32], counter: u32, plain: &[u8]) -> Result<Vec<u8>, TransportError> {
    seal(&ChaCha20Poly1305::new(key.into()), counter, plain)
}

fn seal(cipher: &ChaCha20Poly1305, counter: u32, plain: &[u8]) -> Result<Vec<u8>, TransportError> {
    if plain.len() + OVERHEAD > MAX_PAYLOAD {
        return Err(TransportError::TooLong(plain.len()));
    }
    if counter > MAX_COUNTER {
        return Err(TransportError::Exhausted);
    }
    let sealed = cipher.encrypt(&nonce(counter), plain).map_err(|_| TransportError::TooLong(plain.len()))?;
    Ok([&counter.to_be_bytes()[..], &sealed].concat())
}

fn split(message: &[u8]) -> Result<(u32, &[u8]), TransportError> {
    match message.split_first_chunk() {
        Some(_) if message.len() > MAX_PAYLOAD => Err(TransportError::TooLong(message.len())),
        Some((counter, sealed)) if message.len() >= OVERHEAD => Ok((u32::from_be_bytes(*counter), sealed)),
        _ => Err(TransportError::TooShort(message.len())),
    }
}

/// Four zero bytes and the counter, little-endian.
fn nonce(counter: u32) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..8].copy_from_slice(&counter.to_le_bytes());
    nonce.into()
}
