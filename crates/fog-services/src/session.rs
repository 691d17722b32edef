//! End-to-end encryption between a client and a service, over datagrams that come late, in any order, or never.
//!
//! Noise `NK` (`Noise_NK_25519_ChaChaPoly_BLAKE2s`): the client knows the service's key from the descriptor and stays
//! unknown itself. Both sides' messages have [`DATAGRAM_LEN`] bytes, whatever is in them.
//!
//! ```text
//! client                        introduction point                                service
//!   │ message 1: its box, channel, cookie, time, early data ──PUT──▶ box ──SURB──▶ │
//!   │                              client's box                                    │
//!   │ ◀──SURB── box ◀──PUT── channel | message 2: its box, channel, early data     │
//!   │                     each other's boxes                                       │
//!   │ ◀─────────── channel 8 | number 8 | sealed, in both directions ────────────▶ │
//! ```
//!
//! The prologue binds the handshake to the service's name and to the introduction point's box. The *channel* is a
//! random number that the receiver chose, so that sessions may share a box. The number of a datagram is the nonce; a
//! [`ReplayWindow`] takes each once, in any order.
//!
//! Early data in message 1 is sealed to the service's key alone: who steals that key later can read it. It is taken
//! once, for [`Cookies`] refuses a replayed introduction.

mod replay;

pub use replay::{Cookies, INTRODUCTION_AGE, MAX_COOKIES, ReplayWindow, WINDOW};

use crate::BoxAddress;
use crate::address::Address;
use crate::descriptor::IntroductionPoint;
use rand::{CryptoRng, RngExt};
use snow::{Builder, HandshakeState, StatelessTransportState};
use x25519_dalek::StaticSecret;

/// Bytes of every datagram of a session. With the id of a box and the frame around it, it fits into the 1,950 that a
/// message of the mixnet carries.
pub const DATAGRAM_LEN: usize = 1_900;
/// The most content of a datagram, once the session stands.
pub const CONTENT_LEN: usize = DATAGRAM_LEN - CHANNEL_LEN - NUMBER_LEN - TAG_LEN - LENGTH_LEN;
/// The most early data in an introduction (message 1).
pub const INTRODUCTION_EARLY_LEN: usize = DATAGRAM_LEN - KEY_LEN - TAG_LEN - Introduction::LEN - LENGTH_LEN;
/// The most early data in the answer (message 2).
pub const ANSWER_EARLY_LEN: usize = DATAGRAM_LEN - CHANNEL_LEN - KEY_LEN - TAG_LEN - Answer::LEN - LENGTH_LEN;

const PATTERN: &str = "Noise_NK_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"fog-services session 1\0";
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const CHANNEL_LEN: usize = 8;
const NUMBER_LEN: usize = 8;
const LENGTH_LEN: usize = 2;

/// Why a datagram is not sealed or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The content does not fit.
    #[error("{0} bytes do not fit into a datagram")]
    TooLong(usize),
    /// Not of this session, altered, or no datagram at all.
    #[error("the datagram is not of this session")]
    Unreadable,
    /// It came before, or is too old to know.
    #[error("the datagram came before")]
    Replayed,
    /// The introduction is too old, or a clock is wrong.
    #[error("the introduction is too old, or from a wrong clock")]
    Stale,
    /// The service remembers as many introductions as it can.
    #[error("the service has too many introductions")]
    Busy,
    /// The key in the descriptor or of the service cannot be used.
    #[error("the service's key cannot be used")]
    Key,
    /// Everything that one session may send was sent.
    #[error("the session is used up: begin a new one")]
    Exhausted,
}

/// What a client tells the service in message 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The client's box.
    pub reply_to: BoxAddress,
    /// The channel of what is sent to the client.
    pub channel: u64,
    /// A random value by which the service knows the introduction if it comes again.
    pub cookie: [u8; 16],
    /// When it was made, in Unix seconds.
    pub made_at: u64,
}

/// What a service tells the client in message 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The service's box for this session.
    pub reply_to: BoxAddress,
    /// The channel of what is sent to the service.
    pub channel: u64,
}

impl BoxAddress {
    const LEN: usize = 64;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.relay);
        out.extend(self.id);
    }

    fn read(bytes: &[u8; Self::LEN]) -> Self {
        let (mut relay, mut id) = ([0; 32], [0; 32]);
        relay.copy_from_slice(&bytes[..32]);
        id.copy_from_slice(&bytes[32..]);
        Self { relay, id }
    }
}

impl Introduction {
    const LEN: usize = BoxAddress::LEN + 8 + 16 + 8;

    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (place, rest) = bytes.split_first_chunk()?;
        let (channel, rest) = rest.split_first_chunk()?;
        let (cookie, rest) = rest.split_first_chunk()?;
        let (made_at, rest) = rest.split_first_chunk()?;
        let introduction = Self {
            reply_to: BoxAddress::read(place),
            channel: u64::from_be_bytes(*channel),
            cookie: *cookie,
            made_at: u64::from_be_bytes(*made_at),
        };
        Some((introduction, rest))
    }
}

impl Answer {
    const LEN: usize = BoxAddress::LEN + 8;

    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (place, rest) = bytes.split_first_chunk()?;
        let (channel, rest) = rest.split_first_chunk()?;
        Some((Self { reply_to: BoxAddress::read(place), channel: u64::from_be_bytes(*channel) }, rest))
    }
}

/// Appends the content with its length, and zeros up to `len` bytes.
fn pad(out: &mut Vec<u8>, content: &[u8], len: usize) -> Result<(), SessionError> {
    let length = u16::try_from(content.len()).map_err(|_| SessionError::TooLong(content.len()))?;
    if out.len() + LENGTH_LEN + content.len() > len {
        return Err(SessionError::TooLong(content.len()));
    }
    out.extend(length.to_be_bytes());
    out.extend(content);
    out.resize(len, 0);
    Ok(())
}

fn unpad(padded: &[u8]) -> Result<&[u8], SessionError> {
    let (length, rest) = padded.split_first_chunk().ok_or(SessionError::Unreadable)?;
    rest.get(..usize::from(u16::from_be_bytes(*length))).ok_or(SessionError::Unreadable)
}

fn prologue(service: &Address, point: &BoxAddress) -> Vec<u8> {
    let mut bytes = PROLOGUE.to_vec();
    bytes.extend(service.key());
    point.write(&mut bytes);
    bytes
}

fn builder(prologue: &[u8]) -> Result<Builder<'_>, snow::Error> {
    Builder::new(PATTERN.parse()?).prologue(prologue)
}

/// The channel that a datagram names: says which session of a box it may be for.
pub fn channel(datagram: &[u8]) -> Option<u64> {
    (datagram.len() == DATAGRAM_LEN).then(|| datagram.first_chunk().map(|c| u64::from_be_bytes(*c)))?
}

/// The client's side until the service answers.
pub struct Dialing {
    /// None once it was answered.
    noise: Option<Box<HandshakeState>>,
    channel: u64,
}

impl Dialing {
    /// Makes the introduction (message 1), to be PUT into the introduction point's box, and again if no answer comes.
    /// `reply_to` is the client's own box.
    ///
    /// # Errors
    /// [`SessionError::TooLong`] for more than [`INTRODUCTION_EARLY_LEN`] bytes of early data; [`SessionError::Key`].
    pub fn new(
        service: &Address,
        point: &IntroductionPoint,
        reply_to: BoxAddress,
        early: &[u8],
        now_unix: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), SessionError> {
        let prologue = prologue(service, &point.at);
        let mut noise = builder(&prologue)
            .and_then(|b| b.remote_public_key(&point.key)?.build_initiator())
            .map_err(|_| SessionError::Key)?;
        let channel = rng.random();
        let mut content = Vec::with_capacity(DATAGRAM_LEN);
        reply_to.write(&mut content);
        content.extend(u64::to_be_bytes(channel));
        content.extend(rng.random::<[u8; 16]>());
        content.extend(now_unix.to_be_bytes());
        pad(&mut content, early, DATAGRAM_LEN - KEY_LEN - TAG_LEN)?;
        let mut message = vec![0; DATAGRAM_LEN];
        noise.write_message(&content, &mut message).map_err(|_| SessionError::Key)?;
        Ok((Self { noise: Some(Box::new(noise)), channel }, message))
    }

    /// Reads what came to the client's box: if it is the service's answer (message 2), the session stands. What is
    /// refused changes nothing, so datagrams that overtook the answer may be tried.
    ///
    /// # Errors
    /// [`SessionError::Unreadable`].
    pub fn answered(&mut self, datagram: &[u8]) -> Result<(Session, Answer, Vec<u8>), SessionError> {
        if channel(datagram) != Some(self.channel) {
            return Err(SessionError::Unreadable);
        }
        let message = datagram.get(CHANNEL_LEN..).ok_or(SessionError::Unreadable)?;
        let noise = self.noise.as_mut().ok_or(SessionError::Unreadable)?;
        let mut plain = vec![0; DATAGRAM_LEN];
        let n = noise.read_message(message, &mut plain).map_err(|_| SessionError::Unreadable)?;
        let (answer, rest) = plain.get(..n).and_then(Answer::read).ok_or(SessionError::Unreadable)?;
        let early = unpad(rest)?.to_vec();
        let noise = self.noise.take().ok_or(SessionError::Unreadable)?;
        let session = Session::new(*noise, answer.channel, self.channel)?;
        Ok((session, answer, early))
    }
}

/// The service's side of an introduction that it could read.
pub struct Introduced {
    noise: Box<HandshakeState>,
    /// What the client told. Give it to [`Cookies::take`] before anything else.
    pub introduction: Introduction,
    /// The client's early data.
    pub early: Vec<u8>,
}

impl Introduced {
    /// Reads what came to the box of an introduction point.
    ///
    /// # Errors
    /// [`SessionError::Unreadable`], [`SessionError::Key`].
    pub fn read(
        service: &Address,
        point: &BoxAddress,
        secret: &StaticSecret,
        datagram: &[u8],
    ) -> Result<Self, SessionError> {
        if datagram.len() != DATAGRAM_LEN {
            return Err(SessionError::Unreadable);
        }
        let prologue = prologue(service, point);
        let mut noise = builder(&prologue)
            .and_then(|b| b.local_private_key(secret.as_bytes())?.build_responder())
            .map_err(|_| SessionError::Key)?;
        let mut plain = vec![0; DATAGRAM_LEN];
        let n = noise.read_message(datagram, &mut plain).map_err(|_| SessionError::Unreadable)?;
        let (introduction, rest) =
            plain.get(..n).and_then(Introduction::read).ok_or(SessionError::Unreadable)?;
        let early = unpad(rest)?.to_vec();
        Ok(Self { noise: Box::new(noise), introduction, early })
    }

    /// Makes the answer (message 2), to be PUT into the client's box, and again whenever the introduction comes again.
    /// `reply_to` is the service's box for this session.
    ///
    /// # Errors
    /// [`SessionError::TooLong`] for more than [`ANSWER_EARLY_LEN`] bytes of early data; [`SessionError::Key`].
    pub fn answer(
        mut self,
        reply_to: BoxAddress,
        early: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Session, Vec<u8>), SessionError> {
        let channel = rng.random();
        let mut content = Vec::with_capacity(DATAGRAM_LEN);
        reply_to.write(&mut content);
        content.extend(u64::to_be_bytes(channel));
        pad(&mut content, early, DATAGRAM_LEN - CHANNEL_LEN - KEY_LEN - TAG_LEN)?;
        let mut datagram = self.introduction.channel.to_be_bytes().to_vec();
        datagram.resize(DATAGRAM_LEN, 0);
        self.noise.write_message(&content, &mut datagram[CHANNEL_LEN..]).map_err(|_| SessionError::Key)?;
        let session = Session::new(*self.noise, self.introduction.channel, channel)?;
        Ok((session, datagram))
    }
}

/// A session that stands, on either side.
pub struct Session {
    noise: StatelessTransportState,
    /// Named by what we send, and by what we receive.
    outgoing: u64,
    incoming: u64,
    next: u64,
    seen: ReplayWindow,
}

impl Session {
    fn new(noise: HandshakeState, outgoing: u64, incoming: u64) -> Result<Self, SessionError> {
        let noise = noise.into_stateless_transport_mode().map_err(|_| SessionError::Key)?;
        Ok(Self { noise, outgoing, incoming, next: 0, seen: ReplayWindow::default() })
    }

    /// Seals at most [`CONTENT_LEN`] bytes into a datagram for the other side's box.
    ///
    /// # Errors
    /// [`SessionError::TooLong`], [`SessionError::Exhausted`].
    pub fn seal(&mut self, content: &[u8]) -> Result<Vec<u8>, SessionError> {
        let number = self.next;
        if number == u64::MAX {
            return Err(SessionError::Exhausted);
        }
        let mut padded = Vec::with_capacity(CONTENT_LEN + LENGTH_LEN);
        pad(&mut padded, content, CONTENT_LEN + LENGTH_LEN)?;
        let mut datagram = self.outgoing.to_be_bytes().to_vec();
        datagram.extend(number.to_be_bytes());
        datagram.resize(DATAGRAM_LEN, 0);
        let sealed = &mut datagram[CHANNEL_LEN + NUMBER_LEN..];
        self.noise.write_message(number, &padded, sealed).map_err(|_| SessionError::Exhausted)?;
        self.next += 1;
        Ok(datagram)
    }

    /// Opens a datagram from this side's box.
    ///
    /// # Errors
    /// [`SessionError::Unreadable`], [`SessionError::Replayed`].
    pub fn open(&mut self, datagram: &[u8]) -> Result<Vec<u8>, SessionError> {
        if channel(datagram) != Some(self.incoming) {
            return Err(SessionError::Unreadable);
        }
        let rest = datagram.get(CHANNEL_LEN..).ok_or(SessionError::Unreadable)?;
        let (number, sealed) = rest.split_first_chunk().ok_or(SessionError::Unreadable)?;
        let number = u64::from_be_bytes(*number);
        if !self.seen.is_new(number) {
            return Err(SessionError::Replayed);
        }
        let mut padded = vec![0; sealed.len()];
        let n = self.noise.read_message(number, sealed, &mut padded).map_err(|_| SessionError::Unreadable)?;
        // The window moves for authentic datagrams only, else a stranger could close it.
        if !self.seen.take(number) {
            return Err(SessionError::Replayed);
        }
        padded.truncate(n);
        unpad(&padded).map(<[u8]>::to_vec)
    }

    /// The channel of what this side receives.
    pub fn channel(&self) -> u64 {
        self.incoming
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;
    use x25519_dalek::PublicKey;

    const NOW: u64 = 1_800_000_000;

    fn service(seed: u8) -> Address {
        Address::from_key(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes()).expect("a good key")
    }

    fn place(n: u8) -> BoxAddress {
        BoxAddress { relay: [n; 32], id: [n + 1; 32] }
    }

    fn secret() -> StaticSecret {
        StaticSecret::from([9; 32])
    }

    fn point() -> IntroductionPoint {
        IntroductionPoint { at: place(1), key: PublicKey::from(&secret()).to_bytes() }
    }

    fn dial(early: &[u8]) -> (Dialing, Vec<u8>) {
        Dialing::new(&service(1), &point(), place(3), early, NOW, &mut rand::rng()).expect("dials")
    }

    /// A session that stands: client and service.
    fn pair() -> (Session, Session) {
        let (mut dialing, message) = dial(b"");
        let introduced = Introduced::read(&service(1), &place(1), &secret(), &message).expect("reads");
        let (at_service, answer) = introduced.answer(place(5), b"", &mut rand::rng()).expect("answers");
        (dialing.answered(&answer).expect("stands").0, at_service)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_handshake_carries_boxes_and_early_data_and_hides_their_lengths(
            hello in proptest::collection::vec(any::<u8>(), 0..=INTRODUCTION_EARLY_LEN),
            reply in proptest::collection::vec(any::<u8>(), 0..=ANSWER_EARLY_LEN),
        ) {
            let (mut dialing, message) = dial(&hello);
            prop_assert_eq!(message.len(), DATAGRAM_LEN);
            let introduced = Introduced::read(&service(1), &place(1), &secret(), &message)?;
            prop_assert_eq!(&introduced.early, &hello);
            prop_assert_eq!(introduced.introduction.reply_to, place(3));
            prop_assert_eq!(introduced.introduction.made_at, NOW);
            let (at_service, datagram) = introduced.answer(place(5), &reply, &mut rand::rng())?;
            prop_assert_eq!(datagram.len(), DATAGRAM_LEN);
            let (at_client, answer, early) = dialing.answered(&datagram)?;
            prop_assert_eq!((answer.reply_to, early), (place(5), reply));
            prop_assert_eq!(answer.channel, at_service.channel());
            prop_assert_eq!(channel(&datagram), Some(at_client.channel()));
        }

        /// Any order, any repetition: each content comes out once.
        #[test]
        fn datagrams_are_opened_once_in_any_order(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..=CONTENT_LEN), 1..12),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40), to_client in any::<bool>()
        ) {
            let (client, service) = pair();
            let (mut from, mut to) = if to_client { (service, client) } else { (client, service) };
            let sealed = contents.iter().map(|c| from.seal(c)).collect::<Result<Vec<_>, _>>()?;
            let mut seen = std::collections::HashSet::new();
            for index in order {
                let i = index.index(sealed.len());
                prop_assert_eq!(sealed[i].len(), DATAGRAM_LEN);
                let expected = if seen.insert(i) { Ok(contents[i].clone()) } else { Err(SessionError::Replayed) };
                prop_assert_eq!(to.open(&sealed[i]), expected);
            }
            prop_assert_eq!(from.open(&sealed[0]), Err(SessionError::Unreadable), "its own datagram, sent back");
        }

        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), whole in any::<bool>()) {
            let mut bytes = bytes;
            if whole {
                bytes.resize(DATAGRAM_LEN, 1);
            }
            let (mut client, mut at_service) = pair();
            prop_assert!(client.open(&bytes).is_err() && at_service.open(&bytes).is_err());
            prop_assert!(Introduced::read(&service(1), &place(1), &secret(), &bytes).is_err());
            let (mut dialing, _) = dial(b"");
            prop_assert!(dialing.answered(&bytes).is_err());
            if let Some(start) = bytes.get_mut(..8) {
                start.copy_from_slice(&dialing.channel.to_be_bytes());
            }
            prop_assert!(dialing.answered(&bytes).is_err());
        }
    }

    #[test]
    fn every_altered_byte_is_found() {
        let (mut dialing, message) = dial(b"hello");
        let read = |m: &[u8]| Introduced::read(&service(1), &place(1), &secret(), m);
        let (_, answer) =
            read(&message).expect("reads").answer(place(5), b"", &mut rand::rng()).expect("answers");
        let (mut client, mut at_service) = pair();
        let sealed = client.seal(b"content").expect("seals");
        for at in 0..DATAGRAM_LEN {
            let altered = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 0x80;
                bytes
            };
            assert!(read(&altered(&message)).is_err(), "message 1, byte {at}");
            assert!(dialing.answered(&altered(&answer)).is_err(), "message 2, byte {at}");
            assert!(at_service.open(&altered(&sealed)).is_err(), "transport, byte {at}");
        }
        // What was refused did no harm.
        assert!(dialing.answered(&answer).is_ok());
        assert_eq!(at_service.open(&sealed), Ok(b"content".to_vec()));
        assert!(dialing.answered(&answer).is_err(), "answered already");
    }

    #[test]
    fn another_service_key_name_or_box_cannot_read_the_introduction() {
        let (_, message) = dial(b"");
        let read = |name, at, key: &StaticSecret| {
            Introduced::read(&service(name), &place(at), key, &message).is_ok()
        };
        assert!(read(1, 1, &secret()));
        assert!(!read(2, 1, &secret()));
        assert!(!read(1, 2, &secret()));
        assert!(!read(1, 1, &StaticSecret::from([8; 32])));
    }

    /// An answer from who does not have the service's key, or to another introduction.
    #[test]
    fn only_the_service_can_answer() {
        let (_, to_impostor) = Dialing::new(
            &service(1),
            &IntroductionPoint {
                at: place(1),
                key: PublicKey::from(&StaticSecret::from([8; 32])).to_bytes(),
            },
            place(3),
            b"",
            NOW,
            &mut rand::rng(),
        )
        .expect("dials");
        let (mut dialing, message) = dial(b"");
        for (key, message) in [(StaticSecret::from([8; 32]), to_impostor), (secret(), dial(b"").1)] {
            let mut introduced = Introduced::read(&service(1), &place(1), &key, &message).expect("reads");
            introduced.introduction.channel = dialing.channel;
            let (_, answer) = introduced.answer(place(5), b"", &mut rand::rng()).expect("answers");
            assert_eq!(dialing.answered(&answer).map(|_| ()), Err(SessionError::Unreadable));
        }
        let introduced = Introduced::read(&service(1), &place(1), &secret(), &message).expect("reads");
        let (_, answer) = introduced.answer(place(5), b"", &mut rand::rng()).expect("answers");
        assert!(dialing.answered(&answer).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_uses_no_number() {
        let (mut client, mut at_service) = pair();
        assert_eq!(client.seal(&[0; CONTENT_LEN + 1]), Err(SessionError::TooLong(CONTENT_LEN + 1)));
        assert_eq!(client.seal(&[0; 70_000]), Err(SessionError::TooLong(70_000)));
        let first = client.seal(&[1; CONTENT_LEN]).expect("fits");
        assert_eq!(first[CHANNEL_LEN..][..NUMBER_LEN], [0; NUMBER_LEN]);
        assert_eq!(at_service.open(&first), Ok(vec![1; CONTENT_LEN]));
        let early = vec![0; INTRODUCTION_EARLY_LEN + 1];
        let refused = Dialing::new(&service(1), &point(), place(3), &early, NOW, &mut rand::rng());
        assert!(matches!(refused, Err(SessionError::TooLong(_))));
        client.next = u64::MAX;
        assert_eq!(client.seal(b""), Err(SessionError::Exhausted));
    }

    /// Late datagrams are taken within the window, and no later.
    #[test]
    fn a_datagram_may_be_overtaken_by_a_thousand() {
        let (mut client, mut at_service) = pair();
        let sealed: Vec<_> = (0..=WINDOW).map(|_| client.seal(b"x").expect("seals")).collect();
        assert!(at_service.open(&sealed[WINDOW as usize]).is_ok());
        assert_eq!(at_service.open(&sealed[0]), Err(SessionError::Replayed));
        assert!(at_service.open(&sealed[1]).is_ok());
    }
}
