//! `.fog` names: a service's public key, written so that people can pass it on.
//!
//! ```text
//! base32( identity key (32) | checksum (2) | version (1) ) ".fog"        56 characters and the ending
//! ```
//!
//! The name is the key, so nobody hands out names, and whoever knows one can check everything that the service
//! signs. The checksum finds all but one in 65,536 typing errors.

use crate::Key;
use curve25519_dalek::edwards::CompressedEdwardsY;
use data_encoding::BASE32_NOPAD;
use std::fmt;
use std::str::FromStr;

/// What every name ends with.
pub const SUFFIX: &str = ".fog";
/// Characters of a name before [`SUFFIX`].
pub const NAME_LEN: usize = 56;
/// The version of names that this build makes and reads.
pub const VERSION: u8 = 1;
/// The longest name of a host (RFC 1035, section 3.1): nothing longer is looked at.
const MAX_HOST: usize = 253;

/// The address of a hidden service: its Ed25519 identity key, known to be a usable one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Key);

/// Why a text is not the address of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not end with [`SUFFIX`].
    #[error("a hidden service's name ends with {SUFFIX}")]
    NotFog,
    /// The part before the ending has not [`NAME_LEN`] characters.
    #[error("a name has {NAME_LEN} characters before {SUFFIX}, this one has {0}: is it complete?")]
    Length(usize),
    /// A character that no name has, and its place (the first is 1).
    #[error("character {0} of the name is none of a to z and 2 to 7")]
    Alphabet(usize),
    /// The checksum does not match: the name was mistyped.
    #[error("the name is mistyped: its checksum does not match")]
    Checksum,
    /// The name is sound, and of a version that this build does not know.
    #[error("the name is of version {0}, and this program knows version {VERSION}: it needs an update")]
    Version(u8),
    /// No honest service has this key: not a point of the curve, or with a part of small order.
    #[error("the name holds no usable key")]
    Key,
}

impl Address {
    /// The address of the service with this Ed25519 identity key.
    ///
    /// # Errors
    /// [`AddressError::Key`].
    pub fn from_key(identity: Key) -> Result<Self, AddressError> {
        let point = CompressedEdwardsY(identity).decompress().ok_or(AddressError::Key)?;
        // Blinding a key with a part of small order would give keys that depend on how the factor is written. This also
        // refuses every second way to write a point (RFC 8032, 5.1.3): none of those points is of prime order. So a
        // service has one name.
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(AddressError::Key);
        }
        Ok(Self(identity))
    }

    /// The service's Ed25519 identity key.
    pub fn key(&self) -> &Key {
        &self.0
    }

    /// True if a host's name is meant for a hidden service, well-formed or not: it must never reach a public
    /// resolver.
    pub fn is_fog(host: &str) -> bool {
        split(host).is_some()
    }
}

/// What is before the ending.
fn split(host: &str) -> Option<&str> {
    let at = host.len().checked_sub(SUFFIX.len())?;
    host.get(at..).filter(|end| end.eq_ignore_ascii_case(SUFFIX)).and(host.get(..at))
}

fn checksum(key: &Key, version: u8) -> [u8; 2] {
    let hash = blake3::Hasher::new().update(b".fog checksum").update(key).update(&[version]).finalize();
    [hash.as_bytes()[0], hash.as_bytes()[1]]
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads `<name>.fog` in upper or lower case. Labels before the name do not count: `www.<name>.fog` is the same
    /// service.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let labels = split(text).ok_or(AddressError::NotFog)?;
        let name = labels.rsplit('.').next().unwrap_or(labels);
        let length = name.chars().count();
        if length != NAME_LEN || text.len() > MAX_HOST {
            return Err(AddressError::Length(length));
        }
        if let Some(at) = name.chars().position(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '2'..='7')) {
            return Err(AddressError::Alphabet(at + 1));
        }
        let bytes = BASE32_NOPAD
            .decode(name.to_ascii_uppercase().as_bytes())
            .map_err(|e| AddressError::Alphabet(e.position + 1))?;
        let (key, rest) = bytes.split_first_chunk::<32>().ok_or(AddressError::Length(length))?;
        let &[first, second, version] = rest else { return Err(AddressError::Length(length)) };
        if checksum(key, version) != [first, second] {
            return Err(AddressError::Checksum);
        }
        if version != VERSION {
            return Err(AddressError::Version(version));
        }
        Self::from_key(*key)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.to_vec();
        bytes.extend(checksum(&self.0, VERSION));
        bytes.push(VERSION);
        write!(f, "{}{SUFFIX}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    fn address(seed: u8) -> Address {
        Address::from_key(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes()).expect("a good key")
    }

    fn written(key: &Key, version: u8) -> String {
        let sum = checksum(key, version);
        BASE32_NOPAD.encode(&[&key[..], &sum, &[version]].concat()) + SUFFIX
    }

    /// The form of names may not change by accident: people have written them down.
    #[test]
    fn a_name_stays_what_it_was() {
        let name = address(1).to_string();
        assert_eq!(name, "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5of3hyb.fog");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seed in any::<[u8; 32]>(), label in "[a-z]{0,10}", upper in any::<bool>()) {
            let key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
            let address = Address::from_key(key)?;
            let mut text = address.to_string();
            prop_assert_eq!(text.len(), NAME_LEN + SUFFIX.len());
            if upper {
                text = text.to_ascii_uppercase();
            }
            prop_assert_eq!(text.parse(), Ok(address));
            prop_assert_eq!(format!("{label}.{text}").parse(), Ok(address));
            prop_assert!(Address::is_fog(&text));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            prop_assert!(text.parse::<Address>().is_err());
            prop_assert!((text.clone() + SUFFIX).parse::<Address>().is_err());
        }

        /// Whatever is read is written in the same way: there are no two names of a service.
        #[test]
        fn a_name_has_one_form(key in any::<[u8; 32]>()) {
            if let Ok(address) = written(&key, VERSION).parse::<Address>() {
                prop_assert_eq!(address.to_string(), written(&key, VERSION).to_ascii_lowercase());
            }
        }
    }

    /// One wrong character is found but once in 65,536 times: some 10 of these 694,000.
    #[test]
    fn typing_errors_are_found() {
        let (mut tried, mut missed) = (0u32, 0u32);
        for n in 0..400u16 {
            let seed: [u8; 32] = blake3::hash(&n.to_le_bytes()).into();
            let key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
            let name = Address::from_key(key).expect("a good key").to_string();
            for at in 0..NAME_LEN {
                for c in "abcdefghijklmnopqrstuvwxyz234567".chars().filter(|c| !name[at..].starts_with(*c)) {
                    let wrong = format!("{}{c}{}", &name[..at], &name[at + 1..]);
                    tried += 1;
                    missed += u32::from(wrong.parse::<Address>() != Err(AddressError::Checksum));
                }
            }
        }
        assert_eq!(tried, 400 * 56 * 31);
        assert!((1..=25).contains(&missed), "{missed} of {tried}");
    }

    #[test]
    fn every_error_has_its_name() {
        let good = address(3).to_string();
        assert_eq!("example.org".parse::<Address>(), Err(AddressError::NotFog));
        assert_eq!("fog".parse::<Address>(), Err(AddressError::NotFog));
        assert_eq!(".fog".parse::<Address>(), Err(AddressError::Length(0)));
        assert_eq!(good[1..].parse::<Address>(), Err(AddressError::Length(55)));
        assert_eq!(format!("a{good}").parse::<Address>(), Err(AddressError::Length(57)));
        assert_eq!(
            good.replacen(&good[2..3], "1", 1)
                .parse::<Address>()
                .map_err(|e| matches!(e, AddressError::Alphabet(n) if n <= 3)),
            Err(true)
        );
        assert_eq!(format!("{}.{good}", "a".repeat(300)).parse::<Address>(), Err(AddressError::Length(56)));
        assert_eq!(written(address(3).key(), 2).parse::<Address>(), Err(AddressError::Version(2)));
        assert!(!Address::is_fog("fog.org") && Address::is_fog("short.FOG"));
    }

    #[test]
    fn keys_that_no_honest_service_has_are_refused() {
        let off_curve = (0..=255).map(|n| [n; 32]).find(|k| CompressedEdwardsY(*k).decompress().is_none());
        assert_eq!(Address::from_key(off_curve.expect("half of them")), Err(AddressError::Key));
        for small in EIGHT_TORSION {
            assert_eq!(Address::from_key(small.compress().0), Err(AddressError::Key));
            let mixed = ED25519_BASEPOINT_POINT + small;
            let identity = small == EIGHT_TORSION[0];
            assert_eq!(Address::from_key(mixed.compress().0).is_ok(), identity);
            assert_eq!(written(&mixed.compress().0, VERSION).parse::<Address>().is_ok(), identity);
        }
        // y = n + p is a second way to write the point with y = n.
        for (n, sign) in (0..19).flat_map(|n| [(n, 0), (n, 0x80)]) {
            let mut twice = [0xff; 32];
            (twice[0], twice[31]) = (0xed + n, 0x7f | sign);
            assert_eq!(Address::from_key(twice), Err(AddressError::Key));
        }
    }
}
