//! The sealed datagram: what any road carries, of one fixed length per road.
//!
//! Noise pattern X (`Noise_X_25519_ChaChaPoly_BLAKE2s`): one message to a known static key, with the sender's
//! static key inside, encrypted. The receiver knows who sent it; nobody on the road does. The content is
//! padded to the road's length before it is sealed, so that a home relay learns nothing from lengths.

use crate::PeerKey;
use snow::Builder;
use x25519_dalek::StaticSecret;

const PATTERN: &str = "Noise_X_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"fog envelope 2";
/// Ephemeral key, sealed static key with its tag, the payload's tag.
pub const OVERHEAD: usize = 32 + 48 + 16;
/// Two bytes say how long the content is; the rest is padding.
const LENGTH: usize = 2;

/// Why an envelope cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The content does not fit.
    #[error("{0} bytes do not fit into an envelope")]
    TooLong(usize),
    /// Not for this receiver, altered, or not an envelope.
    #[error("not an envelope for this receiver")]
    Unreadable,
}

/// How much content an envelope of `len` bytes holds.
pub const fn capacity(len: usize) -> usize {
    len.saturating_sub(OVERHEAD + LENGTH)
}

/// Seals `content` from `sender` to `receiver` into exactly `len` bytes.
///
/// # Errors
/// [`EnvelopeError::TooLong`]; [`EnvelopeError::Unreadable`] for an unusable receiver key.
pub fn seal(
    sender: &StaticSecret,
    receiver: &PeerKey,
    content: &[u8],
    len: usize,
) -> Result<Vec<u8>, EnvelopeError> {
    if content.len() > capacity(len) {
        return Err(EnvelopeError::TooLong(content.len()));
    }
    let mut padded = vec![0; capacity(len) + LENGTH];
    padded[..LENGTH].copy_from_slice(&(content.len() as u16).to_be_bytes());
    padded[LENGTH..LENGTH + content.len()].copy_from_slice(content);
    let mut sealed = vec![0; len];
    let written = (|| {
        let params = PATTERN.parse()?;
        let mut noise = Builder::new(params)
            .prologue(PROLOGUE)?
            .local_private_key(sender.as_bytes())?
            .remote_public_key(receiver)?
            .build_initiator()?;
        noise.write_message(&padded, &mut sealed)
    })()
    .map_err(|_: snow::Error| EnvelopeError::Unreadable)?;
    debug_assert_eq!(written, len);
    Ok(sealed)
}

/// Opens an envelope: the proven sender and the content.
///
/// # Errors
/// [`EnvelopeError::Unreadable`].
pub fn open(receiver: &StaticSecret, sealed: &[u8]) -> Result<(PeerKey, Vec<u8>), EnvelopeError> {
    let mut plain = vec![0; sealed.len()];
    let result: Result<_, snow::Error> = (|| {
        let params = PATTERN.parse()?;
        let mut noise = Builder::new(params)
            .prologue(PROLOGUE)?
            .local_private_key(receiver.as_bytes())?
            .build_responder()?;
        let n = noise.read_message(sealed, &mut plain)?;
        let sender = noise.get_remote_static().and_then(|k| PeerKey::try_from(k).ok());
        Ok((n, sender))
    })();
    let (n, Some(sender)) = result.map_err(|_| EnvelopeError::Unreadable)? else {
        return Err(EnvelopeError::Unreadable);
    };
    plain.truncate(n);
    let len = plain.first_chunk::<LENGTH>().map(|b| usize::from(u16::from_be_bytes(*b)));
    match len.and_then(|len| plain.get(LENGTH..LENGTH + len)) {
        Some(content) => Ok((sender, content.to_vec())),
        None => Err(EnvelopeError::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use x25519_dalek::PublicKey;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn opens_for_the_receiver_only_and_hides_the_length(
            content in proptest::collection::vec(any::<u8>(), 0..=capacity(2031)), flip in 0usize..2031
        ) {
            let (a, b) = (StaticSecret::random(), StaticSecret::random());
            let to = PublicKey::from(&b).to_bytes();
            let mut sealed = seal(&a, &to, &content, 2031)?;
            prop_assert_eq!(sealed.len(), 2031);
            prop_assert_eq!(open(&b, &sealed)?, (PublicKey::from(&a).to_bytes(), content));
            prop_assert!(open(&a, &sealed).is_err());
            // The top bit of a Curve25519 point is ignored (RFC 7748), yet the handshake hash covers it.
            sealed[flip] ^= 0x80;
            prop_assert!(open(&b, &sealed).is_err());
        }

        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&StaticSecret::from([3; 32]), &bytes).is_err());
        }
    }

    #[test]
    fn too_long_is_refused() {
        let a = StaticSecret::random();
        let to = PublicKey::from(&a).to_bytes();
        assert_eq!(
            seal(&a, &to, &vec![0; capacity(500) + 1], 500),
            Err(EnvelopeError::TooLong(capacity(500) + 1))
        );
    }
}
