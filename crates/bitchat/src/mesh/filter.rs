//! Summary vectors: which names a node has, in ten bits each (a Bloom filter).

use crate::mesh::types::MessageId;

const BITS_EACH: usize = 10;
const PROBES: u64 = 5;
/// The most names that one filter describes: 2,000 take 2,500 bytes.
pub(crate) const MOST: usize = 2000;
const MOST_BYTES: usize = MOST * BITS_EACH / 8;

/// A set of names that may say yes wrongly, once in about a hundred cases, and never no wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    /// Mixed into every probe, so that nobody can make names that collide for all.
    salt: u32,
    bits: Vec<u8>,
}

impl Filter {
    /// Of at most [`MOST`] names; what is over is left out.
    pub(crate) fn of<'a>(salt: u32, ids: impl ExactSizeIterator<Item = &'a MessageId>) -> Self {
        let count = ids.len().min(MOST);
        let mut filter = Self { salt, bits: vec![0; (count * BITS_EACH).div_ceil(8)] };
        for id in ids.take(count) {
            filter.probes(id).for_each(|(byte, bit)| filter.bits[byte] |= bit);
        }
        filter
    }

    pub(crate) fn contains(&self, id: &MessageId) -> bool {
        !self.bits.is_empty() && self.probes(id).all(|(byte, bit)| self.bits[byte] & bit != 0)
    }

    fn probes(&self, id: &MessageId) -> impl Iterator<Item = (usize, u8)> + use<> {
        let (a, b) = id.0.split_at(8);
        let number = |half: &[u8]| half.iter().fold(0, |n, b| (n << 8) | u64::from(*b));
        let salt = u64::from(self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let first = (number(a) ^ salt).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let step = number(b) | 1;
        let bits = (self.bits.len() * 8).max(1) as u64;
        (0..PROBES).map(move |k| {
            let at = (first.wrapping_add(k.wrapping_mul(step)) >> 7) % bits;
            ((at / 8) as usize, 1 << (at % 8))
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.salt.to_be_bytes());
        out.extend_from_slice(&(self.bits.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.bits);
    }

    pub(crate) fn decode(input: &mut crate::mesh::control::Reader<'_>) -> Option<Self> {
        let salt = input.u32()?;
        let length = usize::from(input.u16()?);
        if length > MOST_BYTES {
            return None;
        }
        Some(Self { salt, bits: input.take(length)?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn id(n: u32) -> MessageId {
        let hash: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        MessageId(id)
    }

    #[test]
    fn it_never_says_no_wrongly_and_seldom_yes() {
        for count in [1, 7, 100, 2000] {
            let ids: Vec<_> = (0..count).map(id).collect();
            let filter = Filter::of(count, ids.iter());
            assert!(ids.iter().all(|id| filter.contains(id)));
            let wrong = (10_000..20_000).filter(|n| filter.contains(&id(*n))).count();
            assert!(wrong < 300 || count < 7, "{wrong} of 10,000 with {count}");
        }
        assert!(!Filter::of(0, [].iter()).contains(&id(1)), "an empty one has nothing");
    }
}
