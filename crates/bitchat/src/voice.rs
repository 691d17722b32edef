//! Live voice: a burst of small packets while somebody holds the button, in public or inside a session.

mod bursts;

pub use bursts::{BurstError, Bursts, MAX_BURST_BYTES, MAX_BURSTS, MAX_RATE, SILENCE_MS};

use crate::error::{DecodeError, EncodeError, chunk, exact, fits, take};
use crate::tlv::put_len16;

/// The longest piece, so that one packet is one operation of the radio.
pub const MAX_LEN: usize = 210;
/// AAC-LC, 16 kHz, one channel: the only codec.
pub const CODEC_AAC_LC_16K: u8 = 1;
/// The most audio frames of a piece.
pub const MAX_FRAMES: usize = 8;
/// How old a public piece may be, milliseconds.
pub const MAX_AGE_MS: u64 = 30_000;

/// A piece of a burst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceFrame<'a> {
    /// What the pieces of a burst share.
    pub burst_id: [u8; 8],
    /// Which piece, from 0.
    pub sequence: u16,
    /// What it is.
    pub body: VoiceBody<'a>,
}

/// What a piece of a burst says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoiceBody<'a> {
    /// The burst begins.
    Start {
        /// How it is coded: [`CODEC_AAC_LC_16K`].
        codec: u8,
    },
    /// Audio frames, one to eight.
    Data(Vec<&'a [u8]>),
    /// The burst is over.
    End {
        /// How many pieces it had.
        packets: u16,
        /// How long it was, milliseconds.
        duration_ms: u32,
    },
    /// The burst is withdrawn.
    Cancel,
}

impl<'a> VoiceFrame<'a> {
    /// Reads a piece.
    ///
    /// # Errors
    /// When it is too long, cut off, or of a kind that nobody knows.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        if payload.len() > MAX_LEN {
            return Err(DecodeError::TooLong {
                what: "the piece of voice",
                len: payload.len(),
                max: MAX_LEN,
            });
        }
        let (burst_id, rest) = chunk(payload, "the burst's id")?;
        let (sequence, rest) = chunk(rest, "the sequence number")?;
        let (flags, rest) = chunk::<1>(rest, "the flags")?;
        let body = match flags[0] {
            0 => VoiceBody::Data(frames(rest)?),
            1 => {
                let [codec] = exact(rest, "the codec")?;
                VoiceBody::Start { codec }
            }
            2 => {
                let [a, b, c, d, e, f] = exact(rest, "the end of the burst")?;
                VoiceBody::End {
                    packets: u16::from_be_bytes([a, b]),
                    duration_ms: u32::from_be_bytes([c, d, e, f]),
                }
            }
            4 => {
                let [] = exact(rest, "the withdrawal")?;
                VoiceBody::Cancel
            }
            _ => {
                return Err(DecodeError::Invalid {
                    what: "the flags",
                    why: "none of start, data, end, cancel",
                });
            }
        };
        Ok(Self { burst_id: *burst_id, sequence: u16::from_be_bytes(*sequence), body })
    }

    /// The bytes.
    ///
    /// # Errors
    /// When there are no or too many frames, or they are too long together.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = [&self.burst_id[..], &self.sequence.to_be_bytes()].concat();
        match &self.body {
            VoiceBody::Data(frames) => {
                out.push(0);
                fits("the piece of voice (in frames)", frames.len(), MAX_FRAMES)?;
                if frames.is_empty() {
                    return Err(EncodeError::Invalid { what: "the piece of voice", why: "it has no frames" });
                }
                for frame in frames {
                    put_len16(&mut out, frame, "an audio frame")?;
                }
            }
            VoiceBody::Start { codec } => out.extend_from_slice(&[1, *codec]),
            VoiceBody::End { packets, duration_ms } => {
                out.push(2);
                out.extend_from_slice(&packets.to_be_bytes());
                out.extend_from_slice(&duration_ms.to_be_bytes());
            }
            VoiceBody::Cancel => out.push(4),
        }
        fits("the piece of voice", out.len(), MAX_LEN)?;
        Ok(out)
    }
}

fn frames(mut rest: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (len, after) = chunk(rest, "an audio frame")?;
        let (frame, after) = take(after, usize::from(u16::from_be_bytes(*len)), "an audio frame")?;
        if frames.len() == MAX_FRAMES {
            let what = "the piece of voice (in frames)";
            return Err(DecodeError::TooLong { what, len: MAX_FRAMES + 1, max: MAX_FRAMES });
        }
        frames.push(frame);
        rest = after;
    }
    if frames.is_empty() { Err(DecodeError::Missing("an audio frame")) } else { Ok(frames) }
}

#[cfg(test)]
mod tests;
