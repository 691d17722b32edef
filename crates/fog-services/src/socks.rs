//! The server side of SOCKS5 (RFC 1928) with user name and password (RFC 1929), as a state machine without IO.
//!
//! ```text
//! client: version 5, methods        ▶  ◀  version 5, chosen method
//!        [version 1, user, password  ▶  ◀  version 1, 0]
//!         version 5, CONNECT, where  ▶       [`Request`]; later ◀ [`Reply`]
//! ```
//!
//! User name and password do not authenticate anybody: every pair is accepted. They isolate: requests with different
//! pairs must not share a session ([`Isolation`]). So a program that can set a pair per task keeps the tasks apart. A
//! client that offers the method is always asked for it.
//!
//! Names are never resolved here. What comes is checked for form only; no input takes more than [`MAX_INPUT`] bytes.
//! Of SOCKS5 libraries, one is built into its sockets and resolver, and the other brings twenty more packages for what
//! is said in these two hundred lines.

mod reply;

pub use reply::Reply;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most bytes that a client may send before its request is complete: two methods' worth is less.
pub const MAX_INPUT: usize = 1024;

const VERSION: u8 = 5;
const AUTH_VERSION: u8 = 1;
const NO_AUTH: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;
const ISOLATION: &str = "fog-services 1 socks isolation";

/// What keeps streams apart: equal only for equal pairs of user name and password. The password is not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Isolation(Option<[u8; 32]>);

impl Isolation {
    fn new(user: &[u8], password: &[u8]) -> Self {
        let length = [user.len() as u8];
        let hash = blake3::Hasher::new_derive_key(ISOLATION)
            .update(&length)
            .update(user)
            .update(password)
            .finalize();
        Self(Some(hash.into()))
    }

    /// True if the client gave a user name and password.
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }
}

/// Where a client wants to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case: letters, digits, `-`, `_` and `.`, at most 255 characters.
    Name(String),
    /// An IP address.
    Ip(IpAddr),
}

/// A request to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to.
    pub host: Host,
    /// The port there; never 0.
    pub port: u16,
    /// What it must not be mixed with.
    pub isolation: Isolation,
}

/// Why a client is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// It does not speak SOCKS5.
    #[error("the client does not speak SOCKS5: its first byte is {0}")]
    Version(u8),
    /// It offers no method that we know.
    #[error("the client offers neither \"no authentication\" nor user name and password")]
    Method,
    /// What it sends breaks the protocol.
    #[error("the client breaks the SOCKS5 protocol")]
    Malformed,
    /// It asks for something that there is not.
    #[error("the client's request cannot be met: {0:?}")]
    Refused(Reply),
}

impl SocksError {
    /// What to tell the client before the connection is closed.
    pub fn answer(&self) -> Vec<u8> {
        match self {
            // It would not understand.
            Self::Version(_) | Self::Malformed => Vec::new(),
            Self::Method => vec![VERSION, NO_METHOD],
            Self::Refused(reply) => reply.encode(false).to_vec(),
        }
    }
}

/// What to do after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for more.
    More,
    /// Connect, and answer with [`Reply::encode`]. `rest` are bytes that a hasty client sent for the stream already.
    Connect {
        /// Where to.
        request: Request,
        /// The beginning of the stream.
        rest: Vec<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Methods,
    Password,
    Request,
    Done,
}

/// One client's handshake.
#[derive(Debug)]
pub struct Handshake {
    stage: Stage,
    input: Vec<u8>,
    isolation: Isolation,
}

impl Default for Handshake {
    fn default() -> Self {
        Self::new()
    }
}

impl Handshake {
    /// Before the first byte.
    pub fn new() -> Self {
        Self { stage: Stage::Methods, input: Vec::new(), isolation: Isolation::default() }
    }

    /// Takes bytes from the client, in pieces of any size, and appends to `out` what is to be sent to it.
    ///
    /// # Errors
    /// [`SocksError`]; send `out`, then [`SocksError::answer`], and close. Nothing more is taken.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Step, SocksError> {
        let result = self.advance(bytes, out);
        if !matches!(result, Ok(Step::More)) {
            self.stage = Stage::Done;
            self.input.clear();
        }
        result
    }

    fn advance(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Step, SocksError> {
        self.input.extend(bytes);
        loop {
            let before = self.stage;
            let mut reader = Reader(&self.input);
            let step = match before {
                Stage::Methods => methods(&mut reader)?.map(|method| {
                    out.extend([VERSION, method]);
                    self.stage = if method == NO_AUTH { Stage::Request } else { Stage::Password };
                    None
                }),
                Stage::Password => password(&mut reader)?.map(|isolation| {
                    out.extend([AUTH_VERSION, 0]);
                    self.isolation = isolation;
                    self.stage = Stage::Request;
                    None
                }),
                Stage::Request => request(&mut reader, self.isolation)?.map(Some),
                Stage::Done => return Err(SocksError::Malformed),
            };
            let rest = reader.0.len();
            match step {
                None if self.input.len() > MAX_INPUT => return Err(SocksError::Malformed),
                None => return Ok(Step::More),
                Some(None) => _ = self.input.drain(..self.input.len() - rest),
                Some(Some(request)) => {
                    let rest = self.input.split_off(self.input.len() - rest);
                    return Ok(Step::Connect { request, rest });
                }
            }
        }
    }
}

/// The method to use, once the message is complete.
fn methods(reader: &mut Reader<'_>) -> Result<Option<u8>, SocksError> {
    match reader.u8() {
        None => return Ok(None),
        Some(VERSION) => {}
        Some(other) => return Err(SocksError::Version(other)),
    }
    let Some(offered) = reader.counted() else { return Ok(None) };
    match [USER_PASSWORD, NO_AUTH].into_iter().find(|m| offered.contains(m)) {
        Some(method) => Ok(Some(method)),
        None => Err(SocksError::Method),
    }
}

fn password(reader: &mut Reader<'_>) -> Result<Option<Isolation>, SocksError> {
    match reader.u8() {
        None => return Ok(None),
        Some(AUTH_VERSION) => {}
        Some(_) => return Err(SocksError::Malformed),
    }
    let Some(user) = reader.counted() else { return Ok(None) };
    let Some(password) = reader.counted() else { return Ok(None) };
    Ok(Some(Isolation::new(user, password)))
}

fn request(reader: &mut Reader<'_>, isolation: Isolation) -> Result<Option<Request>, SocksError> {
    let Some([version, command, _, kind]) = reader.array() else { return Ok(None) };
    if version != VERSION {
        return Err(SocksError::Malformed);
    }
    if command != CONNECT {
        return Err(SocksError::Refused(Reply::CommandNotSupported));
    }
    let host = match kind {
        ADDRESS_V4 => reader.array::<4>().map(|ip| Ok(Host::Ip(Ipv4Addr::from(ip).into()))),
        ADDRESS_V6 => reader.array::<16>().map(|ip| Ok(Host::Ip(Ipv6Addr::from(ip).into()))),
        ADDRESS_NAME => reader.counted().map(name),
        _ => return Err(SocksError::Refused(Reply::AddressTypeNotSupported)),
    };
    let (Some(host), Some(port)) = (host, reader.array()) else { return Ok(None) };
    let port = u16::from_be_bytes(port);
    if port == 0 {
        return Err(SocksError::Refused(Reply::GeneralFailure));
    }
    Ok(Some(Request { host: host?, port, isolation }))
}

/// A name, or an address that was written as one: some clients send what the user typed.
fn name(bytes: &[u8]) -> Result<Host, SocksError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SocksError::Refused(Reply::GeneralFailure))?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Ok(Host::Ip(ip));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(SocksError::Refused(Reply::GeneralFailure));
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }

    /// A byte that says how many follow, and these.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first()?;
        let (taken, rest) = rest.split_at_checked(usize::from(*len))?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn connect(kind: u8, address: &[u8], port: u16) -> Vec<u8> {
        [&[5, 1, 0, kind], address, &port.to_be_bytes()].concat()
    }

    fn counted(bytes: &[u8]) -> Vec<u8> {
        [&[bytes.len() as u8], bytes].concat()
    }

    /// The whole conversation at once: what is answered, and how it goes on.
    fn talk(bytes: &[u8]) -> (Vec<u8>, Result<Step, SocksError>) {
        let mut out = Vec::new();
        let step = Handshake::new().receive(bytes, &mut out);
        (out, step)
    }

    fn refused(bytes: &[u8]) -> SocksError {
        talk(&[&[5, 1, 0], bytes].concat()).1.expect_err("refused")
    }

    proptest! {
        /// However the bytes are cut, the outcome is the same, and none is lost.
        #[test]
        fn pieces_do_not_matter(
            pair in proptest::option::of((proptest::collection::vec(any::<u8>(), 0..=255), proptest::collection::vec(any::<u8>(), 0..=255))),
            name in "[a-z0-9.-]{1,100}\\.org", port in 1u16.., rest in proptest::collection::vec(any::<u8>(), 0..50),
            cuts in proptest::collection::vec(1usize..30, 0..100)
        ) {
            let mut bytes = vec![5, 2, 1, if pair.is_some() { 2 } else { 0 }];
            let mut isolation = Isolation::default();
            let mut expected = vec![5, bytes[3]];
            if let Some((user, password)) = &pair {
                bytes.push(1);
                bytes.extend(counted(user));
                bytes.extend(counted(password));
                isolation = Isolation::new(user, password);
                expected.extend([1, 0]);
            }
            bytes.extend(connect(3, &counted(name.as_bytes()), port));
            let whole = bytes.len();
            bytes.extend(&rest);
            let (mut handshake, mut out, mut at) = (Handshake::new(), Vec::new(), 0);
            let mut cuts = cuts.into_iter();
            let (request, early) = loop {
                let end = (at + cuts.next().unwrap_or(7)).min(bytes.len());
                match handshake.receive(&bytes[at..end], &mut out)? {
                    Step::More => prop_assert!(end < whole),
                    Step::Connect { request, rest } => {
                        prop_assert!(end >= whole);
                        break (request, [rest, bytes[end..].to_vec()].concat());
                    }
                }
                at = end;
            };
            prop_assert_eq!(out, expected);
            prop_assert_eq!(request, Request { host: Host::Name(name), port, isolation });
            prop_assert_eq!(early, rest);
            prop_assert_eq!(handshake.receive(b"", &mut Vec::new()), Err(SocksError::Malformed));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(
            start in proptest::sample::select(vec![vec![], vec![5], vec![5, 1, 0], vec![5, 1, 0, 5, 1, 0, 3], vec![5, 1, 2, 1]]),
            bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400
        ) {
            let bytes = [start, bytes].concat();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let (mut handshake, mut out) = (Handshake::new(), Vec::new());
            let cut = handshake.receive(first, &mut out);
            let cut = if cut == Ok(Step::More) { handshake.receive(second, &mut out) } else { cut };
            prop_assert!(handshake.input.len() <= MAX_INPUT && out.len() <= 4);
            let (_, whole) = talk(&bytes);
            if let (Ok(Step::Connect { request: a, .. }), Ok(Step::Connect { request: b, .. })) = (&cut, &whole) {
                prop_assert_eq!(a, b);
            } else {
                prop_assert_eq!(cut, whole);
            }
        }
    }

    #[test]
    fn addresses_of_all_kinds_are_understood() {
        let host = |kind, address: &[u8]| match talk(&[&[5, 1, 0][..], &connect(kind, address, 80)].concat())
        {
            (out, Ok(Step::Connect { request, rest })) if out == [5, 0] && rest.is_empty() => {
                Ok(request.host)
            }
            (_, other) => Err(other),
        };
        let ip = |text: &str| Ok(Host::Ip(text.parse().expect("an address")));
        assert_eq!(host(1, &[10, 0, 0, 1]), ip("10.0.0.1"));
        assert_eq!(host(4, &Ipv6Addr::LOCALHOST.octets()), ip("::1"));
        assert_eq!(host(3, &counted(b"Example.ORG")), Ok(Host::Name("example.org".into())));
        // An address in the form of a name is an address, so that a rule about addresses holds for it.
        assert_eq!(host(3, &counted(b"127.0.0.1")), ip("127.0.0.1"));
        assert_eq!(host(3, &counted(b"[::1]")), ip("::1"));
    }

    #[test]
    fn every_refusal_has_its_code() {
        let code = |bytes: &[u8]| refused(bytes).answer()[1];
        assert_eq!(code(&[5, 2, 0, 1, 1, 2, 3, 4, 0, 80]), 7, "BIND");
        assert_eq!(code(&[5, 3, 0, 1, 1, 2, 3, 4, 0, 80]), 7, "UDP ASSOCIATE");
        assert_eq!(code(&[5, 0xf0, 0, 3]), 7, "RESOLVE");
        assert_eq!(code(&[5, 1, 0, 9, 1, 2, 3, 4, 0, 80]), 8);
        assert_eq!(code(&connect(1, &[1, 2, 3, 4], 0)), 1);
        for name in [&b""[..], b"a b", b"a\0b", &[0xff], b"[::1"] {
            assert_eq!(code(&connect(3, &counted(name), 80)), 1);
        }
        assert_eq!(refused(&[4, 1, 0, 1]), SocksError::Malformed);
        assert_eq!(talk(b"GET / HTTP/1.1\r\n").1, Err(SocksError::Version(b'G')));
        assert_eq!(talk(&[4, 1, 0, 80]).1, Err(SocksError::Version(4)));
        assert_eq!(SocksError::Version(4).answer(), []);
        assert_eq!(talk(&[5, 1, 1]).1, Err(SocksError::Method));
        assert_eq!(talk(&[5, 0]).1, Err(SocksError::Method));
        assert_eq!(SocksError::Method.answer(), [5, 0xff]);
        assert_eq!(talk(&[5, 2, 0, 2]).0, [5, 2], "who can isolate is asked to");
        assert_eq!(talk(&[5, 1, 2, 5]).1, Err(SocksError::Malformed));
    }

    #[test]
    fn pairs_are_told_apart() {
        let pairs = [("", ""), ("a", ""), ("", "a"), ("ab", "c"), ("a", "bc"), ("abc", "")];
        let all: std::collections::HashSet<_> = pairs
            .iter()
            .map(|(u, p)| Isolation::new(u.as_bytes(), p.as_bytes()))
            .chain([Isolation::default()])
            .collect();
        assert_eq!(all.len(), pairs.len() + 1);
        assert_eq!(Isolation::new(b"a", b"b"), Isolation::new(b"a", b"b"));
    }

    #[test]
    fn who_knows_no_extended_codes_gets_basic_ones() {
        assert_eq!(Reply::Succeeded.encode(false), [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Reply::DescriptorNotFound.encode(true)[1], 0xf0);
        assert_eq!(Reply::DescriptorNotFound.encode(false)[1], 4);
        assert_eq!(Reply::IntroductionTimedOut.encode(false)[1], 6);
        for code in
            [Reply::DescriptorInvalid, Reply::BadAddress, Reply::RendezvousFailed, Reply::IntroductionFailed]
        {
            assert!((1..=8).contains(&code.encode(false)[1]));
            assert!(code.encode(true)[1] >= 0xf0);
        }
    }
}
