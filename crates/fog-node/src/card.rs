//! The address card: a short text that says who I am and where my messages go.
//!
//! `fogcard1` and the base64url form of the card's postcard bytes, its Ed25519 signature and the first four
//! bytes of the BLAKE3 hash of both, so that a mistyped or cut card is told apart from a forged one. For a
//! test network the card carries the consensus, so that whoever adds the card can join.

use crate::identity::Identity;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use betanet::Key;
use betanet::directory::SignedConsensus;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use fog_p2p::mixnet::{MixAddress, MoreHomes};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "fogcard1";
const SIGNED_PREFIX: &[u8] = b"fog card 1\0";
const MAX_TEXT: usize = 8 * 1024;
const CHECKSUM: usize = 4;
/// The longest name, bytes of UTF-8.
pub(crate) const MAX_NAME: usize = 64;

/// What a card says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    /// The person's id: their Ed25519 key, which signs the card.
    pub(crate) id: Key,
    /// Their X25519 key.
    pub(crate) seal_key: Key,
    pub(crate) name: String,
    network: Key,
    home: Key,
    mailbox: Key,
    /// When what it says was last changed, Unix milliseconds: an older card does not replace a newer one.
    pub(crate) issued_ms: i64,
    /// The network's consensus, for networks that no directory publishes.
    pub(crate) consensus: Option<SignedConsensus>,
    /// Further home relays. They follow the rest, and only where there are any, as the first cards were without.
    #[serde(skip)]
    more: MoreHomes,
}

/// Why a text is not a good card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CardError {
    #[error("This is not an address card. A card is a text that begins with \"{PREFIX}\".")]
    NotACard,
    #[error("The card is damaged or incomplete. Copy the whole text again.")]
    Damaged,
    #[error("The card's signature is wrong: it was not made by the person it names. Do not use it.")]
    Forged,
}

impl Card {
    pub(crate) fn new(
        me: &Identity,
        name: &str,
        address: MixAddress,
        issued_ms: i64,
        consensus: Option<SignedConsensus>,
    ) -> Self {
        let MixAddress { network, home, mailbox, more } = address;
        Self {
            id: me.id(),
            seal_key: me.seal_key(),
            name: name.into(),
            network,
            home,
            mailbox,
            issued_ms,
            consensus,
            more,
        }
    }

    pub(crate) fn address(&self) -> MixAddress {
        MixAddress { network: self.network, home: self.home, mailbox: self.mailbox, more: self.more }
    }

    /// Signs and encodes.
    pub(crate) fn to_text(&self, me: &Identity) -> String {
        let mut bytes = postcard::to_allocvec(self).unwrap_or_default(); // plain data: cannot fail
        bytes.extend(self.more.to_bytes());
        let signature = me.signing().sign(&[SIGNED_PREFIX, &bytes].concat());
        bytes.extend(signature.to_bytes());
        bytes.extend(checksum(&bytes));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes))
    }

    /// Reads a stranger's text. White space, which mail programs add, is ignored.
    pub(crate) fn from_text(text: &str) -> Result<Self, CardError> {
        if text.len() > MAX_TEXT {
            return Err(CardError::NotACard);
        }
        let text: String = text.split_whitespace().collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(CardError::NotACard)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| CardError::Damaged)?;
        let (signed, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(CardError::Damaged)?;
        if checksum(signed) != *sum {
            return Err(CardError::Damaged);
        }
        let (body, signature) = signed.split_last_chunk::<64>().ok_or(CardError::Damaged)?;
        let (mut card, rest) = postcard::take_from_bytes::<Self>(body).map_err(|_| CardError::Damaged)?;
        card.more = MoreHomes::from_bytes(rest);
        if card.more.to_bytes() != rest || !valid_name(&card.name) {
            return Err(CardError::Damaged);
        }
        VerifyingKey::from_bytes(&card.id)
            .and_then(|key| {
                key.verify_strict(&[SIGNED_PREFIX, body].concat(), &Signature::from_bytes(signature))
            })
            .map_err(|_| CardError::Forged)?;
        if card.consensus.as_ref().is_some_and(|c| c.network() != card.network) {
            return Err(CardError::Forged);
        }
        Ok(card)
    }
}

/// A name that can be shown: not empty, not too long, no control characters.
pub(crate) fn valid_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use betanet::testnet::{LAYOUT, TestNetwork};

    fn card() -> (Identity, Card) {
        let me = Identity::generate();
        let consensus = TestNetwork::generate(&LAYOUT, 1000).expect("generates").consensus();
        let address = MixAddress {
            network: consensus.network(),
            home: [2; 32],
            mailbox: [3; 32],
            more: MoreHomes::default(),
        };
        let card = Card::new(&me, "Ada", address, 1, Some(consensus));
        (me, card)
    }

    #[test]
    fn a_card_survives_mail_and_fits_a_qr_code() {
        let (me, card) = card();
        let text = card.to_text(&me);
        assert!(text.len() < 1400, "{} characters", text.len());
        assert!(qrcode::QrCode::with_error_correction_level(&text, qrcode::EcLevel::L).is_ok());
        let wrapped: String = text
            .chars()
            .enumerate()
            .flat_map(|(i, c)| (i % 70 == 69).then_some('\n').into_iter().chain([c]))
            .collect();
        assert_eq!(Card::from_text(&wrapped), Ok(card));
    }

    #[test]
    fn a_card_names_up_to_three_homes() {
        let (me, one) = card();
        let address = MixAddress { more: MoreHomes::new([[4; 32], [5; 32]]), ..one.address() };
        let three = Card::new(&me, "Ada", address, 1, one.consensus.clone());
        assert_eq!(Card::from_text(&three.to_text(&me)).map(|c| c.address()), Ok(address));
        // What follows a card and is no home is no part of a good card, signed or not.
        for more in [&[4; 31][..], &[4; 64], &[[4; 32], [5; 32], [6; 32]].concat()] {
            let mut bytes = postcard::to_allocvec(&one).expect("encodes");
            bytes.extend(more);
            let signature = me.signing().sign(&[SIGNED_PREFIX, &bytes].concat());
            bytes.extend(signature.to_bytes());
            bytes.extend(checksum(&bytes));
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(Card::from_text(&text), Err(CardError::Damaged), "{more:?}");
        }
    }

    #[test]
    fn bad_cards_are_told_apart() {
        let (me, card) = card();
        let text = card.to_text(&me);
        assert_eq!(Card::from_text("hello"), Err(CardError::NotACard));
        assert_eq!(Card::from_text(""), Err(CardError::NotACard));
        assert_eq!(Card::from_text(&text[..text.len() - 3]), Err(CardError::Damaged));
        assert_eq!(
            Card::from_text(&text.replace(|c: char| c.is_ascii_digit(), "x")),
            Err(CardError::NotACard)
        );
        let other = Identity::generate();
        assert_eq!(Card::from_text(&card.to_text(&other)), Err(CardError::Forged));
        let mut nameless = card.clone();
        nameless.name = "\u{7}".into();
        assert_eq!(Card::from_text(&nameless.to_text(&me)), Err(CardError::Damaged));
    }
}
