//! Are you there, and how far away?

use crate::error::{DecodeError, exact};

/// The payload of a ping and of the pong that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// What makes the pong fit the ping.
    pub nonce: [u8; 8],
    /// The time to live that the packet set out with.
    pub origin_ttl: u8,
}

impl Ping {
    /// Reads the payload.
    ///
    /// # Errors
    /// When it is not nine bytes.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let [nonce @ .., origin_ttl] = exact::<9>(payload, "the ping")?;
        Ok(Self { nonce, origin_ttl })
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        [&self.nonce[..], &[self.origin_ttl]].concat()
    }

    /// How many hops it took to come with `ttl` left; `None` if no honest packet could.
    pub fn hops(&self, ttl: u8) -> Option<u8> {
        self.origin_ttl.checked_sub(ttl)?.checked_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_counted() {
        let ping = Ping { nonce: [1; 8], origin_ttl: 7 };
        assert_eq!(Ping::decode(&ping.encode()), Ok(ping));
        assert_eq!((ping.hops(7), ping.hops(5), ping.hops(8)), (Some(1), Some(3), None));
        assert!(Ping::decode(&[0; 8]).is_err() && Ping::decode(&[0; 10]).is_err());
    }
}
