//! What one listens to at once, within bounds.

use super::{VoiceBody, VoiceFrame};
use crate::bucket::Bucket;
use crate::peer::PeerId;
use std::collections::{BTreeSet, HashMap};

/// Bursts that are heard at once.
pub const MAX_BURSTS: usize = 8;
/// A burst that was silent for this long is over, milliseconds.
pub const SILENCE_MS: u64 = 3_000;
/// Bytes of one burst.
pub const MAX_BURST_BYTES: usize = 384 << 10;
/// Bytes a second from one sender.
pub const MAX_RATE: u32 = 6_000;
/// After this time of silence a budget is full again, so it need not be kept.
const REFILL_MS: u64 = 1_000;
/// Senders whose budget is kept.
const MAX_SENDERS: usize = 64;

/// Why a piece of voice is not played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BurstError {
    /// Enough others speak.
    #[error("{MAX_BURSTS} others speak already")]
    TooMany,
    /// It came before.
    #[error("the piece came before")]
    Repeated,
    /// The sender sends faster than speech.
    #[error("more than {MAX_RATE} bytes a second from one sender")]
    TooFast,
    /// The burst is too long.
    #[error("more than {MAX_BURST_BYTES} bytes in one burst")]
    TooLong,
    /// A codec that nobody knows.
    #[error("codec {0} is unknown")]
    Codec(u8),
}

#[derive(Debug)]
struct Burst {
    last: u64,
    bytes: usize,
    heard: BTreeSet<u16>,
}

/// The bursts that are being heard.
#[derive(Debug, Default)]
pub struct Bursts {
    bursts: HashMap<(PeerId, [u8; 8]), Burst>,
    /// What each sender may still send, and when it last did.
    senders: HashMap<PeerId, (Bucket, u64)>,
}

impl Bursts {
    /// Silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides about a piece that came from `sender` at `now` (milliseconds). `Ok` means that it may be played; ordering
    /// is up to the player. A burst may be joined in its middle, since pieces get lost.
    ///
    /// # Errors
    /// Why it is not to be played.
    pub fn hear(&mut self, sender: PeerId, frame: &VoiceFrame<'_>, now: u64) -> Result<(), BurstError> {
        self.bursts.retain(|_, b| now.saturating_sub(b.last) <= SILENCE_MS);
        if let VoiceBody::Start { codec } = frame.body
            && codec != super::CODEC_AAC_LC_16K
        {
            return Err(BurstError::Codec(codec));
        }
        let key = (sender, frame.burst_id);
        if matches!(frame.body, VoiceBody::End { .. } | VoiceBody::Cancel) {
            return self.bursts.remove(&key).map(|_| ()).ok_or(BurstError::Repeated);
        }
        if !self.bursts.contains_key(&key) && self.bursts.len() >= MAX_BURSTS {
            return Err(BurstError::TooMany);
        }
        let len = match &frame.body {
            VoiceBody::Data(frames) => frames.iter().map(|f| f.len()).sum(),
            _ => 0,
        };
        self.senders.retain(|_, (_, last)| now.saturating_sub(*last) <= REFILL_MS);
        if !self.senders.contains_key(&sender) && self.senders.len() >= MAX_SENDERS {
            return Err(BurstError::TooMany);
        }
        let fresh = (Bucket::new(MAX_RATE, REFILL_MS), now);
        let (budget, last) = self.senders.entry(sender).or_insert(fresh);
        *last = now;
        if !budget.take(len as u32, now) {
            return Err(BurstError::TooFast);
        }
        let fresh = Burst { last: now, bytes: 0, heard: BTreeSet::new() };
        let burst = self.bursts.entry(key).or_insert(fresh);
        if burst.bytes + len > MAX_BURST_BYTES {
            return Err(BurstError::TooLong);
        }
        if !burst.heard.insert(frame.sequence) {
            return Err(BurstError::Repeated);
        }
        burst.bytes += len;
        burst.last = now;
        Ok(())
    }

    /// How many speak.
    pub fn len(&self) -> usize {
        self.bursts.len()
    }

    /// Whether nobody speaks.
    pub fn is_empty(&self) -> bool {
        self.bursts.is_empty()
    }
}
