//! Sealing to somebody who is not there: the one-way Noise pattern X, which also says who wrote it.

use crate::identity::{Identity, is_low_order};
use crate::noise::OnceRng;
use crate::peer::PeerId;
use rand::CryptoRng;
use snow::Builder;
use zeroize::Zeroizing;

const PATTERN: &str = "Noise_X_25519_ChaChaPoly_SHA256";
const STATIC_PROLOGUE: &[u8] = b"bitchat-courier-v1";
const PREKEY_PROLOGUE: &[u8] = b"bitchat-prekey-v1";
/// What sealing adds: an ephemeral key, the writer's sealed key, a tag.
const OVERHEAD: usize = 32 + 48 + 16;

/// The key that a message is sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// The receiver's static Noise key.
    Static(&'a [u8; 32]),
    /// One of the receiver's one-time keys.
    Prekey {
        /// Its number.
        id: u32,
        /// Its public half.
        public: &'a [u8; 32],
    },
}

/// Why something was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too long for an envelope.
    #[error("a message of {0} bytes does not fit into an envelope")]
    TooLong(usize),
    /// The receiver's key gives nobody a secret.
    #[error("the key is of low order")]
    LowOrderKey,
    /// Sealed to another key, or changed on the way.
    #[error("the key does not open the envelope")]
    Sealed,
}

/// What was in an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who wrote it: their static Noise key, proven.
    pub sender: [u8; 32],
    /// A private payload: normally a text.
    pub plain: Vec<u8>,
}

impl Opened {
    /// Who wrote it.
    pub fn sender_id(&self) -> PeerId {
        PeerId::of(&self.sender)
    }
}

/// Seals a private payload.
///
/// # Errors
/// When it is too long, or the key is unusable.
pub fn seal(
    identity: &Identity,
    target: Target<'_>,
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    if plain.len() + OVERHEAD > super::MAX_CIPHERTEXT {
        return Err(SealError::TooLong(plain.len()));
    }
    let (public, prologue) = match target {
        Target::Static(public) => (public, STATIC_PROLOGUE.to_vec()),
        Target::Prekey { id, public } => (public, prekey_prologue(id)),
    };
    if is_low_order(public) {
        return Err(SealError::LowOrderKey);
    }
    let private = identity.noise_private();
    let mut sealed = || -> Result<Vec<u8>, snow::Error> {
        let mut noise = Builder::with_resolver(PATTERN.parse()?, OnceRng::draw(rng))
            .prologue(&prologue)?
            .local_private_key(&*private)?
            .remote_public_key(public)?
            .build_initiator()?;
        let mut out = vec![0; plain.len() + OVERHEAD];
        let len = noise.write_message(plain, &mut out)?;
        out.truncate(len);
        Ok(out)
    };
    sealed().map_err(|_| SealError::Sealed)
}

/// Opens what was sealed to the own static key.
///
/// # Errors
/// When it was sealed to another key, or changed.
pub fn open(identity: &Identity, ciphertext: &[u8]) -> Result<Opened, SealError> {
    open_private(&identity.noise_private(), STATIC_PROLOGUE, ciphertext)
}

/// Opens what was sealed to a one-time key, given its private half.
///
/// # Errors
/// When it was sealed to another key, or changed.
pub fn open_with_prekey(private: &[u8; 32], id: u32, ciphertext: &[u8]) -> Result<Opened, SealError> {
    open_private(&Zeroizing::new(*private), &prekey_prologue(id), ciphertext)
}

fn prekey_prologue(id: u32) -> Vec<u8> {
    [PREKEY_PROLOGUE, &id.to_be_bytes()].concat()
}

fn open_private(
    private: &Zeroizing<[u8; 32]>,
    prologue: &[u8],
    ciphertext: &[u8],
) -> Result<Opened, SealError> {
    if ciphertext.len() < OVERHEAD || ciphertext.len() > super::MAX_CIPHERTEXT {
        return Err(SealError::Sealed);
    }
    let opened = || -> Result<Opened, snow::Error> {
        let mut noise = Builder::with_resolver(PATTERN.parse()?, OnceRng::none())
            .prologue(prologue)?
            .local_private_key(&**private)?
            .build_responder()?;
        let mut plain = vec![0; ciphertext.len()];
        let len = noise.read_message(ciphertext, &mut plain)?;
        plain.truncate(len);
        let sender =
            noise.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(snow::Error::Decrypt)?;
        Ok(Opened { sender, plain })
    };
    let opened = opened().map_err(|_| SealError::Sealed)?;
    if is_low_order(&opened.sender) { Err(SealError::LowOrderKey) } else { Ok(opened) }
}
