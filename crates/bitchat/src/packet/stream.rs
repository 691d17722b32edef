//! Packets out of a stream of bytes.
//!
//! A packet should be one operation of the radio, but one of the apps cuts packets over several and sends several in
//! one. Packets tell their length, so the stream can be cut again; what is between them (padding, rubbish) is skipped.

use super::view::Layout;
use super::{MAX_PACKET, padding};
use crate::error::DecodeError;

/// A packet whose next bytes do not come within this time is given up, milliseconds.
pub const STALL: u64 = 250;
/// The most bytes that wait for the rest of a packet: the longest packet there is.
pub const MAX_STREAM_BUFFER: usize = MAX_PACKET;

/// Puts together what one link brings.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    last: u64,
    skipped: u64,
}

impl StreamDecoder {
    /// Nothing waits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came at `now` (milliseconds) and hands each whole packet with its padding to `packet`. It is whole by
    /// the lengths that it tells; whether the rest makes sense, [`super::PacketRef::decode`] finds out.
    pub fn push(&mut self, bytes: &[u8], now: u64, mut packet: impl FnMut(&[u8])) {
        if now.saturating_sub(self.last) > STALL {
            self.skipped += self.buffer.len() as u64;
            self.buffer.clear();
        }
        self.last = now;
        // The usual case: whole packets, and nothing that waits.
        if self.buffer.is_empty() {
            let used = self.cut(bytes, &mut packet);
            self.keep(&bytes[used..]);
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(bytes);
        let used = self.cut(&buffer, &mut packet);
        if used == 0 {
            self.buffer = buffer;
            self.keep(&[]);
        } else {
            self.keep(&buffer[used..]);
        }
    }

    /// How many bytes belonged to no packet.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many bytes wait for more.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    fn keep(&mut self, rest: &[u8]) {
        self.buffer.extend_from_slice(rest);
        if self.buffer.len() > MAX_STREAM_BUFFER {
            self.skipped += self.buffer.len() as u64;
            self.buffer = Vec::new();
        }
    }

    /// Hands out the whole packets at the start of `bytes`, and says how many bytes are done with.
    fn cut(&mut self, bytes: &[u8], packet: &mut impl FnMut(&[u8])) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match Layout::read(rest) {
                Ok(layout) if layout.len <= rest.len() => {
                    let padding = usize::from(padding::padding_len(layout.len));
                    let end = match rest.get(layout.len..layout.len + padding) {
                        Some(tail) if padding::trailing_padding(tail) == padding => layout.len + padding,
                        _ => layout.len,
                    };
                    packet(&rest[..end]);
                    at += end;
                }
                Ok(_) | Err(DecodeError::Truncated { .. }) => break,
                // No packet starts here.
                Err(_) => {
                    self.skipped += 1;
                    at += 1;
                }
            }
        }
        at
    }
}
