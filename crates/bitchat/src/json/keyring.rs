//! The keys that open, check and sign.

use ed25519_dalek::SigningKey;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

type Secret = Zeroizing<[u8; 32]>;

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Of no kind that is known.
    #[error(
        "a key is KIND:HEX, where KIND is noise, prekey:ID, group, session, signing or public; this one begins with {0:?}"
    )]
    Kind(String),
    /// Not 64 hexadecimal digits.
    #[error("the {0} key is not 64 hexadecimal digits")]
    Hex(&'static str),
    /// A one-time key without its number.
    #[error("a one-time key is prekey:ID:HEX, where ID is its number")]
    PrekeyId,
    /// Two keys to sign with.
    #[error("only one key can sign")]
    TwoSigningKeys,
}

/// Keys for [`describe`](super::describe) and [`build`](super::build). Nothing of it is printed.
#[derive(Default)]
pub struct Keyring {
    /// Static Noise keys: they open couriers' envelopes.
    pub(super) noise: Vec<Secret>,
    /// One-time keys.
    pub(super) prekeys: Vec<(u32, Secret)>,
    /// Keys of groups.
    pub(super) groups: Vec<Secret>,
    /// Keys of one direction of a session.
    pub(super) sessions: Vec<Secret>,
    /// Signs packets that are built.
    pub(super) signing: Option<SigningKey>,
    /// Public keys that signatures are checked by.
    pub(super) public: Vec<[u8; 32]>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// The kinds of keys.
    pub const KINDS: [&str; 6] = ["noise", "prekey", "group", "session", "signing", "public"];

    /// Adds a key: `noise:HEX`, `prekey:ID:HEX`, `group:HEX`, `session:HEX`, `signing:HEX` (all private), or `public:HEX`
    /// (an Ed25519 key to check by).
    ///
    /// # Errors
    /// When it is none of these.
    pub fn add(&mut self, key: &str) -> Result<(), KeyError> {
        let key = key.trim();
        let start = || KeyError::Kind(key.chars().take_while(|c| *c != ':').take(12).collect());
        let (kind, rest) = key.split_once(':').ok_or_else(start)?;
        match kind {
            "noise" => self.noise.push(secret(rest, "noise")?),
            "group" => self.groups.push(secret(rest, "group")?),
            "session" => self.sessions.push(secret(rest, "session")?),
            "prekey" => {
                let (id, rest) = rest.split_once(':').ok_or(KeyError::PrekeyId)?;
                let id = u32::from_str(id).map_err(|_| KeyError::PrekeyId)?;
                self.prekeys.push((id, secret(rest, "prekey")?));
            }
            "signing" => {
                let key = SigningKey::from_bytes(&*secret(rest, "signing")?);
                self.public.push(key.verifying_key().to_bytes());
                if self.signing.replace(key).is_some() {
                    return Err(KeyError::TwoSigningKeys);
                }
            }
            "public" => self.public.push(*secret(rest, "public")?),
            _ => return Err(start()),
        }
        Ok(())
    }
}

fn secret(text: &str, kind: &'static str) -> Result<Secret, KeyError> {
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, &mut *key).map_err(|_| KeyError::Hex(kind))?;
    Ok(key)
}
