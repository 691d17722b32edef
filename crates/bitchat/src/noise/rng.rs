//! Handing the caller's random numbers to the Noise library.

use rand::CryptoRng;
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use std::fmt;
use zeroize::Zeroizing;

/// Random numbers for one ephemeral key, which is all that a party to a handshake draws. A second draw fails.
pub(crate) struct OnceRng(Option<Zeroizing<[u8; 32]>>);

impl OnceRng {
    /// Drawn from `rng` now.
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Box<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Box::new(Self(Some(bytes)))
    }

    /// For who only reads.
    pub(crate) fn none() -> Box<Self> {
        Box::new(Self(None))
    }
}

impl fmt::Debug for OnceRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceRng")
    }
}

impl Random for OnceRng {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        match self.0.take() {
            Some(bytes) if bytes.len() == out.len() => {
                out.copy_from_slice(&*bytes);
                Ok(())
            }
            _ => Err(Error::Rng),
        }
    }
}

impl CryptoResolver for OnceRng {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Self(self.0.clone())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}
