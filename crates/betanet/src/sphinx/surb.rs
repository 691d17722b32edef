//! Single-use reply blocks: a header that its maker built in advance, with which somebody else can answer without
//! knowing the way.

use super::keys::{PayloadKey, SEED_LEN, Seed};
use super::{
    Destination, Error, HEADER_LEN, Hop, IDENTIFIER_LEN, Identifier, MAX_HOPS, MIN_PAYLOAD, Version, build,
    payload,
};
use crate::Key;
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A reply block, for whoever is to answer. Worth one answer: relays refuse the second as a replay.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Surb {
    header: [u8; HEADER_LEN],
    first_hop: Key,
    seeds: Vec<Seed>,
}

/// What the maker of a [`Version::SINGLE_SEED`] block keeps, to read the answer.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Recovery {
    identifier: Identifier,
    seeds: Vec<Seed>,
}

impl Surb {
    /// Bytes of a block of the network's version ([`Version::SINGLE_SEED`]).
    pub const LEN: usize = HEADER_LEN + 32 + SEED_LEN;

    /// A block in which only its maker reads the answer ([`Version::SINGLE_SEED`]).
    ///
    /// # Errors
    /// [`Error::Path`]; [`Error::Surb`] if the identifier is all zero, by which the answer could not be told from
    /// other packets.
    pub fn new(
        rng: &mut impl CryptoRng,
        path: &[Hop<'_>],
        destination: &Destination,
    ) -> Result<(Self, Recovery), Error> {
        if destination.identifier == [0; IDENTIFIER_LEN] {
            return Err(Error::Surb);
        }
        let (block, seeds) = Self::with_seeds(rng, Version::SINGLE_SEED, path, destination)?;
        let last = seeds.last().copied().ok_or(Error::Surb)?;
        let recovery = Recovery { identifier: destination.identifier, seeds };
        Ok((Self { seeds: vec![last], ..block.clone() }, recovery))
    }

    /// A block of [`Version::SEEDS`], whose answer the last relay can read.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn open_at_last_hop(
        rng: &mut impl CryptoRng,
        path: &[Hop<'_>],
        destination: &Destination,
    ) -> Result<Self, Error> {
        Ok(Self::with_seeds(rng, Version::SEEDS, path, destination)?.0)
    }

    fn with_seeds(
        rng: &mut impl CryptoRng,
        version: Version,
        path: &[Hop<'_>],
        destination: &Destination,
    ) -> Result<(Self, Vec<Seed>), Error> {
        let first_hop = path.first().ok_or(Error::Path(0))?.address;
        let built = build::header(rng, version, path, destination)?;
        let seeds: Vec<Seed> = built.keys.iter().map(|k| *k.payload_seed()).collect();
        Ok((Self { header: built.header, first_hop, seeds: seeds.clone() }, seeds))
    }

    /// The relay that the answer goes to first.
    pub fn first_hop(&self) -> Key {
        self.first_hop
    }

    /// The packet that answers with this message.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn answer(self, message: &[u8], payload_len: usize) -> Result<Vec<u8>, Error> {
        let mut packet = self.header.to_vec();
        packet.resize(HEADER_LEN + payload_len.max(MIN_PAYLOAD), 0);
        let sealed = &mut packet[HEADER_LEN..];
        payload::pad(message, sealed)?;
        for seed in self.seeds.iter().rev() {
            payload::encrypt(&PayloadKey::from_seed(seed), sealed);
        }
        Ok(packet)
    }

    /// Header, first hop, seeds.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.first_hop, self.seeds.as_flattened()].concat()
    }

    /// Reads what [`Surb::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Surb`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(Error::Surb)?;
        let (first_hop, seeds) = rest.split_first_chunk::<32>().ok_or(Error::Surb)?;
        Ok(Self { header: *header, first_hop: *first_hop, seeds: read_seeds(seeds)? })
    }
}

impl Recovery {
    /// By which the answer is recognised.
    pub fn identifier(&self) -> Identifier {
        self.identifier
    }

    /// Reads the answer, in place, as the last relay delivered it.
    ///
    /// # Errors
    /// [`Error::Payload`].
    pub fn open<'a>(&self, answer: &'a mut [u8]) -> Result<&'a [u8], Error> {
        // Each relay took off a layer that was never there.
        for seed in self.seeds.iter().rev() {
            payload::encrypt(&PayloadKey::from_seed(seed), answer);
        }
        let last = self.seeds.last().ok_or(Error::Surb)?;
        payload::decrypt(&PayloadKey::from_seed(last), answer);
        payload::unpad(answer)
    }

    /// Identifier, seeds. Secret: who has it reads the answer.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.identifier[..], self.seeds.as_flattened()].concat()
    }

    /// Reads what [`Recovery::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Surb`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (identifier, seeds) = bytes.split_first_chunk::<IDENTIFIER_LEN>().ok_or(Error::Surb)?;
        Ok(Self { identifier: *identifier, seeds: read_seeds(seeds)? })
    }
}

fn read_seeds(bytes: &[u8]) -> Result<Vec<Seed>, Error> {
    let (seeds, rest) = bytes.as_chunks::<SEED_LEN>();
    let valid = rest.is_empty() && (1..=MAX_HOPS).contains(&seeds.len());
    valid.then(|| seeds.to_vec()).ok_or(Error::Surb)
}
