//! Golomb-coded sets.

use crate::error::DecodeError;
use crate::packet::PacketId;
use sha2::{Digest, Sha256};

/// Bits of the remainder that the apps use: one false answer in about a hundred.
pub const DEFAULT_P: u8 = 7;
/// The most bits of the remainder.
pub const MAX_P: u8 = 32;
/// The longest data of a request, bytes.
pub const MAX_DATA: usize = 1_024;

/// A set of packets as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcsFilter {
    p: u8,
    modulus: u32,
    data: Vec<u8>,
    /// What the data says, in order. Each value takes two bits or more, so there are at most 4,096.
    values: Vec<u64>,
}

impl GcsFilter {
    /// The set of these packets, newest first, in at most `max_bytes` (and [`MAX_DATA`]). What does not fit is left out
    /// from the end; the second value says how many of the packets are in it. `p` is the number of bits of a remainder,
    /// 1 to 32: one in `2^p` other packets will seem to be in the set.
    pub fn build(newest_first: &[PacketId], p: u8, max_bytes: usize) -> (Self, usize) {
        let p = p.clamp(1, MAX_P);
        let max_bytes = max_bytes.min(MAX_DATA);
        let most = max_bytes * 8 / (usize::from(p) + 2);
        let mut count = newest_first.len().min(most);
        // The modulus stays that of the first try, as one of the apps does it: readers must take it from the request.
        let modulus = u32::try_from((count.max(1) as u64) << p).unwrap_or(u32::MAX);
        if count == 0 {
            return (Self { p, modulus: 1, data: Vec::new(), values: Vec::new() }, 0);
        }
        loop {
            let mut values: Vec<u64> = newest_first[..count].iter().map(|id| value(id, modulus)).collect();
            values.sort_unstable();
            values.dedup();
            let data = write(&values, p);
            if data.len() <= max_bytes || count == 0 {
                // As a reader sees it: with a P below 7, the zeros that fill the last byte can be one value more.
                let values = read(&data, p, modulus);
                return (Self { p, modulus, data, values }, count);
            }
            count -= count.div_ceil(10);
        }
    }

    /// Reads a set.
    ///
    /// # Errors
    /// When the parameters are impossible, or the data is too long.
    pub fn decode(p: u8, modulus: u32, data: &[u8]) -> Result<Self, DecodeError> {
        if p == 0 || p > MAX_P {
            return Err(DecodeError::Invalid { what: "the filter's P", why: "not 1 to 32" });
        }
        if modulus == 0 {
            return Err(DecodeError::Invalid { what: "the filter's M", why: "it is 0" });
        }
        if data.len() > MAX_DATA {
            return Err(DecodeError::TooLong { what: "the filter", len: data.len(), max: MAX_DATA });
        }
        let values = read(data, p, modulus);
        Ok(Self { p, modulus, data: data.to_vec(), values })
    }

    /// Whether the packet is in the set. One that is not may seem to be.
    pub fn contains(&self, id: &PacketId) -> bool {
        self.values.binary_search(&value(id, self.modulus)).is_ok()
    }

    /// Bits of a remainder.
    pub fn p(&self) -> u8 {
        self.p
    }

    /// What hashes are reduced by.
    pub fn modulus(&self) -> u32 {
        self.modulus
    }

    /// The coded values.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The values, in order.
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// The share of packets that seem to be in the set though they are not.
    pub fn false_positive_rate(&self) -> f64 {
        self.values.len() as f64 / f64::from(self.modulus)
    }

    /// Whether the set claims so much that an answer makes no sense: a quarter of everything or more. Whoever asks with
    /// it gets little or nothing and should not cost the one who is asked a walk through the store.
    pub fn is_saturated(&self) -> bool {
        !self.values.is_empty() && self.false_positive_rate() >= 0.25
    }
}

/// A packet's place in a set.
fn value(id: &PacketId, modulus: u32) -> u64 {
    let hash = Sha256::digest(id.0);
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    let h = u64::from_be_bytes(first) & (u64::MAX >> 1);
    (h % u64::from(modulus)).max(1)
}

fn write(values: &[u64], p: u8) -> Vec<u8> {
    let mut out = Bits::default();
    let mut previous = 0;
    for value in values {
        let d = value - previous - 1;
        previous = *value;
        (0..d >> p).for_each(|_| out.push(true));
        out.push(false);
        (0..p).rev().for_each(|bit| out.push(d >> bit & 1 == 1));
    }
    out.bytes
}

/// All whole values below the modulus. What is left over at the end is padding.
fn read(data: &[u8], p: u8, modulus: u32) -> Vec<u64> {
    let mut bits = data.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut values = Vec::new();
    let mut value = 0u64;
    loop {
        let mut quotient = 0u64;
        loop {
            match bits.next() {
                Some(1) => quotient += 1,
                Some(_) => break,
                None => return values,
            }
        }
        let mut remainder = 0;
        for _ in 0..p {
            let Some(bit) = bits.next() else { return values };
            remainder = remainder << 1 | u64::from(bit);
        }
        value += (quotient << p | remainder) + 1;
        if value >= u64::from(modulus) {
            return values;
        }
        values.push(value);
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u8,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.used);
        }
        self.used = (self.used + 1) % 8;
    }
}
