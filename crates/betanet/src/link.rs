//! Links: TCP connections with frames, encrypted and authenticated by Noise XK, on which versions are agreed.
//!
//! A frame is a 4-byte big-endian length and as many bytes; the length is checked before anything is
//! allocated. Handshake (`Noise_XK_25519_ChaChaPoly_BLAKE2s`, prologue [`PROTOCOL`]): the initiator knows the
//! responder's key from the consensus. Message 1 carries the initiator's versions, message 2 the choice or a
//! refusal, message 3 the initiator's [`Role`]. All three are bound into the session's keys, so that nobody in
//! between can lower the version.

use crate::packet::{Mail, PACKET_LEN, PAYLOAD_LEN};
use crate::sphinx::IDENTIFIER_LEN;
use crate::{Key, PROTOCOL, VERSIONS};
use serde::{Deserialize, Serialize};
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use x25519_dalek::StaticSecret;

/// The longest frame. The largest honest one is a packet with its type and the cipher's tag.
pub const MAX_FRAME: usize = 4096;
/// What stands before a packet that is to be passed on: the next relay's id.
const PASS_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Bytes of a packet in its frame: length, type, room for the next relay's id, packet, tag.
pub const PACKET_FRAME_LEN: usize = 4 + 1 + PASS_LEN + PACKET_LEN + TAG_LEN;
const MAX_PLAIN: usize = MAX_FRAME - TAG_LEN;
/// Bytes that a link reads at once, when there are as many.
const MAX_READ: usize = 256 * 1024;
/// Room for reading on a quiet link.
const FIRST_READ: usize = 2 * MAX_FRAME;
const PATTERN: &str = "Noise_XK_25519_ChaChaPoly_BLAKE2s";
/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A link on which nothing came for this long is dead; pings come three times as often.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection broke or could not be made.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// A frame is longer than allowed.
    #[error("a frame of {0} bytes was announced; {MAX_FRAME} is the most")]
    FrameLength(usize),
    /// Decryption failed: another key than expected, or altered bytes.
    #[error("the other side is not who it should be, or the bytes were altered ({0})")]
    Noise(#[from] snow::Error),
    /// No common version.
    #[error("no common version: this side speaks {PROTOCOL} {ours}, the other {theirs}", ours = VERSIONS.join(", "))]
    Version {
        /// What the other side offers or asks for.
        theirs: String,
    },
    /// A frame makes no sense.
    #[error("a frame makes no sense: {0}")]
    Protocol(&'static str),
    /// Nothing came in time.
    #[error("the other side was silent for too long")]
    Timeout,
}

/// What the initiator of a link wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Sends packets; its key means nothing.
    Sender,
    /// Owns the mailbox whose key is the link's static key, and fetches from it.
    Mailbox,
    /// A relay that forwards packets.
    Relay,
    /// Asks for documents of the directory, or hands them over.
    Directory,
    /// Is no part of a mixnet: two people's devices hand each other [`Frame::Datagram`]s. Relays refuse it.
    Peer,
}

/// What travels on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A Sphinx packet.
    Packet(Vec<u8>),
    /// A Sphinx packet for another relay, to which this one is to hand it as it is: an answer by a reply block whose
    /// first relay the sender has no link to.
    Pass {
        /// The relay that it is for.
        next: Key,
        /// The packet.
        packet: Vec<u8>,
    },
    /// Home relay to mailbox owner: what waited there, with its number. Messages and answers are of one length on
    /// the wire.
    Deliver(u64, Mail),
    /// Mailbox owner to home relay: everything up to this number is safe here.
    Received(u64),
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// A piece of a request to the directory, or of its answer ([`crate::directory::exchange`]).
    Document {
        /// True for the last piece.
        last: bool,
        /// The piece.
        piece: Vec<u8>,
    },
    /// Between two people's devices: what would otherwise be a packet's content.
    Datagram(Vec<u8>),
}

impl Frame {
    /// Writes this frame in the place of what is there.
    fn encode_to(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        let mut put = |part: &[u8]| bytes.extend_from_slice(part);
        match self {
            // As long as one that is passed on: who watches the line sees no difference.
            Self::Packet(p) => {
                put(&[0; 1 + PASS_LEN]);
                put(p);
            }
            Self::Deliver(n, mail) => {
                put(&[1]);
                put(&n.to_be_bytes());
                put(&mail.identifier);
                put(&(mail.bytes.len() as u16).to_be_bytes());
                put(&mail.bytes);
                put(&[0; PAYLOAD_LEN][mail.bytes.len().min(PAYLOAD_LEN)..]);
            }
            Self::Received(n) => {
                put(&[2]);
                put(&n.to_be_bytes());
            }
            Self::Ping => put(&[3]),
            Self::Pong => put(&[4]),
            Self::Pass { next, packet } => {
                put(&[6]);
                put(next);
                put(packet);
            }
            Self::Datagram(datagram) => {
                put(&[7]);
                put(datagram);
            }
            Self::Document { last, piece } => {
                put(&[5, u8::from(*last)]);
                put(piece);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, LinkError> {
        let number = |b: &[u8]| b.first_chunk().map(|n| u64::from_be_bytes(*n));
        let mail = |b: &[u8]| {
            let (n, rest) = b.split_first_chunk::<8>()?;
            let (identifier, rest) = rest.split_first_chunk::<IDENTIFIER_LEN>()?;
            let (len, rest) = rest.split_first_chunk::<2>()?;
            let (bytes, padding) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            let whole = rest.len() == PAYLOAD_LEN && padding.iter().all(|b| *b == 0);
            whole.then(|| {
                Self::Deliver(u64::from_be_bytes(*n), Mail { identifier: *identifier, bytes: bytes.to_vec() })
            })
        };
        match bytes.split_first() {
            Some((0, p)) if p.len() == PASS_LEN + PACKET_LEN => match p.split_at(PASS_LEN) {
                (padding, packet) if padding.iter().all(|b| *b == 0) => Ok(Self::Packet(packet.to_vec())),
                _ => Err(LinkError::Protocol("a packet with padding that is none")),
            },
            Some((0, _)) => Err(LinkError::Protocol("a packet of another length")),
            Some((1, rest)) => mail(rest).ok_or(LinkError::Protocol("a delivery that is not one")),
            Some((2, rest)) if rest.len() == 8 => {
                number(rest).map(Self::Received).ok_or(LinkError::Protocol("a receipt without a number"))
            }
            Some((3, [])) => Ok(Self::Ping),
            Some((4, [])) => Ok(Self::Pong),
            Some((7, bytes)) => Ok(Self::Datagram(bytes.to_vec())),
            Some((6, rest)) if rest.len() == PASS_LEN + PACKET_LEN => match rest.split_first_chunk() {
                Some((next, packet)) => Ok(Self::Pass { next: *next, packet: packet.to_vec() }),
                None => Err(LinkError::Protocol("a packet for nobody")),
            },
            Some((5, [last @ (0 | 1), piece @ ..])) => {
                Ok(Self::Document { last: *last == 1, piece: piece.to_vec() })
            }
            _ => Err(LinkError::Protocol("an unknown type")),
        }
    }
}

async fn read_raw<R: AsyncRead + Unpin>(reader: &mut R, buffer: &mut Vec<u8>) -> Result<(), LinkError> {
    let len = reader.read_u32().await? as usize;
    if len > MAX_FRAME {
        return Err(LinkError::FrameLength(len));
    }
    buffer.resize(len, 0);
    reader.read_exact(buffer).await?;
    Ok(())
}

async fn write_raw<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> Result<(), LinkError> {
    writer.write_u32(bytes.len() as u32).await?;
    writer.write_all(bytes).await?;
    Ok(())
}

/// The reading half of a link. Reads what there is, up to [`MAX_READ`], and gives the frames in it together.
pub struct LinkReader {
    io: OwnedReadHalf,
    noise: Arc<StatelessTransportState>,
    nonce: u64,
    /// What was read and not yet given lies from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    plain: Vec<u8>,
}

/// The writing half of a link.
pub struct LinkWriter {
    io: BufWriter<OwnedWriteHalf>,
    noise: Arc<StatelessTransportState>,
    nonce: u64,
    plain: Vec<u8>,
    buffer: Vec<u8>,
}

impl LinkReader {
    /// The next frame.
    ///
    /// # Errors
    /// Any [`LinkError`]; the link is of no use afterwards.
    pub async fn read(&mut self) -> Result<Frame, LinkError> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Adds the frames that are there to `frames`, at least one.
    ///
    /// # Errors
    /// Any [`LinkError`]; the link is of no use afterwards.
    pub async fn read_batch(&mut self, frames: &mut Vec<Frame>) -> Result<(), LinkError> {
        frames.push(self.read().await?);
        while let Some(frame) = self.next()? {
            frames.push(frame);
        }
        Ok(())
    }

    /// The next frame that was read whole already.
    fn next(&mut self) -> Result<Option<Frame>, LinkError> {
        let waiting = &self.buffer[self.start..self.end];
        let Some((len, rest)) = waiting.split_first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*len) as usize;
        if len > MAX_FRAME {
            return Err(LinkError::FrameLength(len));
        }
        let Some(sealed) = rest.get(..len) else { return Ok(None) };
        self.plain.resize(MAX_FRAME, 0);
        let plain = self.noise.read_message(self.nonce, sealed, &mut self.plain)?;
        self.nonce += 1;
        self.start += 4 + len;
        Frame::decode(&self.plain[..plain]).map(Some)
    }

    /// Waits for more bytes. The buffer grows on links that fill it.
    async fn fill(&mut self) -> Result<(), LinkError> {
        let filled = self.end == self.buffer.len();
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if filled && self.buffer.len() < MAX_READ {
            self.buffer.resize((self.buffer.len() * 2).clamp(FIRST_READ, MAX_READ), 0);
        }
        let read = self.io.read(&mut self.buffer[self.end..]);
        let n = tokio::time::timeout(IDLE_TIMEOUT, read).await.map_err(|_| LinkError::Timeout)??;
        if n == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        self.end += n;
        Ok(())
    }
}

impl LinkWriter {
    /// Writes a frame into the buffer; [`LinkWriter::flush`] sends it.
    ///
    /// # Errors
    /// Any [`LinkError`]; the link is of no use afterwards.
    pub async fn write(&mut self, frame: &Frame) -> Result<(), LinkError> {
        frame.encode_to(&mut self.plain);
        if self.plain.len() > MAX_PLAIN {
            return Err(LinkError::FrameLength(self.plain.len()));
        }
        self.buffer.resize(self.plain.len() + TAG_LEN, 0);
        let len = self.noise.write_message(self.nonce, &self.plain, &mut self.buffer)?;
        self.nonce += 1;
        write_raw(&mut self.io, &self.buffer[..len]).await
    }

    /// Sends what was written.
    ///
    /// # Errors
    /// [`LinkError::Io`].
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        Ok(self.io.flush().await?)
    }
}

/// `batches` says whether whole batches will be written, as to the next relay, or a frame now and then.
fn halves(
    stream: TcpStream,
    state: HandshakeState,
    batches: bool,
) -> Result<(LinkReader, LinkWriter), LinkError> {
    let noise = Arc::new(state.into_stateless_transport_mode()?);
    let (read, write) = stream.into_split();
    let room = if batches { 160 * 1024 } else { 4 * MAX_FRAME };
    Ok((
        LinkReader {
            io: read,
            noise: noise.clone(),
            nonce: 0,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            plain: Vec::new(),
        },
        LinkWriter {
            io: BufWriter::with_capacity(room, write),
            noise,
            nonce: 0,
            plain: Vec::new(),
            buffer: Vec::new(),
        },
    ))
}

fn builder() -> Result<Builder<'static>, LinkError> {
    let params = PATTERN.parse().map_err(LinkError::Noise)?;
    Ok(Builder::new(params).prologue(PROTOCOL.as_bytes())?)
}

/// Opens a link to the relay with key `remote` as the owner of `local`.
///
/// # Errors
/// [`LinkError`], with [`LinkError::Version`] when the relay is too old or too new.
pub async fn connect(
    stream: TcpStream,
    local: &StaticSecret,
    remote: &Key,
    role: Role,
) -> Result<(LinkReader, LinkWriter), LinkError> {
    connect_as(stream, local, remote, role, VERSIONS).await
}

async fn connect_as(
    mut stream: TcpStream,
    local: &StaticSecret,
    remote: &Key,
    role: Role,
    versions: &[&str],
) -> Result<(LinkReader, LinkWriter), LinkError> {
    let handshake = async {
        stream.set_nodelay(true)?;
        let mut noise =
            builder()?.local_private_key(local.as_bytes())?.remote_public_key(remote)?.build_initiator()?;
        let mut buffer = vec![0; MAX_FRAME];
        let n = noise.write_message(versions.join(",").as_bytes(), &mut buffer)?;
        write_raw(&mut stream, &buffer[..n]).await?;

        let mut received = Vec::new();
        read_raw(&mut stream, &mut received).await?;
        let n = noise.read_message(&received, &mut buffer)?;
        let answer = String::from_utf8_lossy(&buffer[..n]).into_owned();
        let chosen = answer.strip_prefix("ok ").unwrap_or_default();
        if !versions.contains(&chosen) {
            let theirs = answer.strip_prefix("no ").unwrap_or(&answer).to_string();
            return Err(LinkError::Version { theirs });
        }

        let role_of_relay = role == Role::Relay;
        let role = postcard::to_allocvec(&role).map_err(|_| LinkError::Protocol("role"))?;
        let n = noise.write_message(&role, &mut buffer)?;
        write_raw(&mut stream, &buffer[..n]).await?;
        halves(stream, noise, role_of_relay)
    };
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| LinkError::Timeout)?
}

/// An accepted link with what its handshake told.
pub struct Accepted {
    /// The reading half.
    pub reader: LinkReader,
    /// The writing half.
    pub writer: LinkWriter,
    /// What the initiator wants to be.
    pub role: Role,
    /// The initiator's proven key.
    pub remote: Key,
}

/// Answers a link as the relay that owns `local`.
///
/// # Errors
/// [`LinkError`].
pub async fn accept(mut stream: TcpStream, local: &StaticSecret) -> Result<Accepted, LinkError> {
    let handshake = async {
        stream.set_nodelay(true)?;
        let mut noise = builder()?.local_private_key(local.as_bytes())?.build_responder()?;
        let (mut received, mut buffer) = (Vec::new(), vec![0; MAX_FRAME]);
        read_raw(&mut stream, &mut received).await?;
        let n = noise.read_message(&received, &mut buffer)?;
        let offered = String::from_utf8_lossy(&buffer[..n]).into_owned();
        let chosen = VERSIONS.iter().find(|v| offered.split(',').any(|o| o == **v));
        let answer = chosen.map_or_else(|| format!("no {}", VERSIONS.join(",")), |v| format!("ok {v}"));
        let n = noise.write_message(answer.as_bytes(), &mut buffer)?;
        write_raw(&mut stream, &buffer[..n]).await?;
        if chosen.is_none() {
            return Err(LinkError::Version { theirs: offered });
        }

        read_raw(&mut stream, &mut received).await?;
        let n = noise.read_message(&received, &mut buffer)?;
        let role = postcard::from_bytes(&buffer[..n]).map_err(|_| LinkError::Protocol("role"))?;
        let remote = noise
            .get_remote_static()
            .and_then(|k| k.try_into().ok())
            .ok_or(LinkError::Protocol("no static key"))?;
        let (reader, writer) = halves(stream, noise, false)?;
        Ok(Accepted { reader, writer, role, remote })
    };
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| LinkError::Timeout)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::net::TcpListener;
    use x25519_dalek::PublicKey;

    fn encoded(frame: &Frame) -> Vec<u8> {
        let mut bytes = vec![7; 3];
        frame.encode_to(&mut bytes);
        bytes
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (a, b) = tokio::join!(TcpStream::connect(address), listener.accept());
        (a.expect("connects"), b.expect("accepts").0)
    }

    #[tokio::test]
    async fn frames_pass_both_ways_and_identities_are_proven() {
        let (relay, client) = (StaticSecret::random(), StaticSecret::random());
        let (a, b) = pair().await;
        let key = PublicKey::from(&relay).to_bytes();
        let (c, s) = tokio::join!(connect(a, &client, &key, Role::Mailbox), accept(b, &relay));
        let ((mut cr, mut cw), mut s) = (c.expect("connects"), s.expect("accepts"));
        assert_eq!((s.role, s.remote), (Role::Mailbox, PublicKey::from(&client).to_bytes()));
        let frames = [
            Frame::Packet(vec![5; PACKET_LEN]),
            Frame::Ping,
            Frame::Received(u64::MAX),
            Frame::Deliver(1, Mail { identifier: [0; IDENTIFIER_LEN], bytes: vec![2; 2031] }),
            Frame::Deliver(2, Mail { identifier: [1; IDENTIFIER_LEN], bytes: vec![2; PAYLOAD_LEN] }),
            Frame::Deliver(3, Mail { identifier: [1; IDENTIFIER_LEN], bytes: Vec::new() }),
            Frame::Pass { next: [4; 32], packet: vec![6; PACKET_LEN] },
            Frame::Document { last: true, piece: vec![1; 3072] },
        ];
        for f in &frames {
            cw.write(f).await.expect("writes");
            s.writer.write(f).await.expect("writes");
        }
        cw.flush().await.expect("flushes");
        s.writer.flush().await.expect("flushes");
        for f in &frames {
            assert_eq!(&s.reader.read().await.expect("reads"), f);
            assert_eq!(&cr.read().await.expect("reads"), f);
        }
    }

    #[test]
    fn packets_and_answers_look_alike_on_the_line() {
        let packet = encoded(&Frame::Packet(vec![5; PACKET_LEN]));
        let pass = encoded(&Frame::Pass { next: [1; 32], packet: vec![5; PACKET_LEN] });
        assert_eq!(packet.len(), pass.len());
        assert_eq!(packet.len() + TAG_LEN + 4, PACKET_FRAME_LEN);
    }

    #[tokio::test]
    async fn a_batch_is_what_was_written_in_whole_and_in_order() {
        let (relay, client) = (StaticSecret::random(), StaticSecret::random());
        let (a, b) = pair().await;
        let key = PublicKey::from(&relay).to_bytes();
        let (c, s) = tokio::join!(connect(a, &client, &key, Role::Sender), accept(b, &relay));
        let ((_cr, mut cw), mut s) = (c.expect("connects"), s.expect("accepts"));
        const MANY: usize = 500;
        let write = async {
            for i in 0..MANY {
                let frame = match i % 3 {
                    0 => Frame::Packet(vec![i as u8; PACKET_LEN]),
                    1 => Frame::Ping,
                    _ => Frame::Received(i as u64),
                };
                cw.write(&frame).await.expect("writes");
            }
            cw.flush().await.expect("flushes");
        };
        let read = async {
            let (mut frames, mut batches) = (Vec::new(), 0);
            while frames.len() < MANY {
                s.reader.read_batch(&mut frames).await.expect("reads");
                batches += 1;
            }
            (frames, batches)
        };
        let ((), (frames, batches)) = tokio::join!(write, read);
        assert_eq!(frames.len(), MANY);
        for (i, frame) in frames.iter().enumerate().filter(|(i, _)| i % 3 == 2) {
            assert_eq!(*frame, Frame::Received(i as u64));
        }
        assert!(batches < MANY / 2, "{batches} batches");
        assert!(s.reader.buffer.len() > 8 * FIRST_READ, "a busy link reads more at once");
    }

    #[tokio::test]
    async fn a_relay_with_another_key_is_noticed() {
        let (a, b) = pair().await;
        let (me, relay) = (StaticSecret::random(), StaticSecret::random());
        let (c, s) = tokio::join!(connect(a, &me, &[1; 32], Role::Sender), accept(b, &relay));
        assert!(matches!(s, Err(LinkError::Noise(_))));
        assert!(c.is_err());
    }

    #[tokio::test]
    async fn an_unknown_version_is_refused_with_both_sides_versions() {
        let (a, b) = pair().await;
        let (me, relay) = (StaticSecret::random(), StaticSecret::random());
        let key = PublicKey::from(&relay).to_bytes();
        let (c, s) = tokio::join!(connect_as(a, &me, &key, Role::Sender, &["2.0.0"]), accept(b, &relay));
        let Err(LinkError::Version { theirs }) = c else { panic!("must be refused") };
        assert_eq!(theirs, "1.2.0");
        assert!(matches!(s, Err(LinkError::Version { theirs }) if theirs == "2.0.0"));
    }

    #[tokio::test]
    async fn a_length_is_checked_before_it_is_believed() {
        let (mut a, b) = pair().await;
        a.write_u32(u32::MAX).await.expect("writes");
        let refused = accept(b, &StaticSecret::random()).await;
        assert!(matches!(refused, Err(LinkError::FrameLength(n)) if n == u32::MAX as usize));
    }

    #[tokio::test]
    async fn an_altered_frame_ends_the_link() {
        let (relay, client) = (StaticSecret::random(), StaticSecret::random());
        let (a, b) = pair().await;
        let key = PublicKey::from(&relay).to_bytes();
        let (c, s) = tokio::join!(connect(a, &client, &key, Role::Sender), accept(b, &relay));
        let ((_cr, mut cw), mut s) = (c.expect("connects"), s.expect("accepts"));
        write_raw(&mut cw.io, &[0; 40]).await.expect("writes");
        cw.flush().await.expect("flushes");
        assert!(matches!(s.reader.read().await, Err(LinkError::Noise(_))));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(f) = Frame::decode(&bytes) {
                prop_assert_eq!(encoded(&f), bytes);
            }
        }
    }
}
