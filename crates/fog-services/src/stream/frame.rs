//! The bytes of a mux datagram: a packet number, then frames until the end. Integers are big-endian.
//!
//! | Frame | Content |
//! |---|---|
//! | 1 ACK | highest number 8, length of bitmap 1, bitmap: bit i is the number i + 1 below the highest |
//! | 2 OPEN | stream 4, then 0 and port 2, or length of host 1 to 255, host, port 2 |
//! | 3 ACCEPT | stream 4 |
//! | 4 REFUSE | stream 4, [`Refusal`] 1 |
//! | 5 DATA | stream 4, last 1, offset 8, length 2, bytes |
//! | 6 WINDOW | stream 4, offset up to which the other may send 8 |
//! | 7 RESET | stream 4, [`ResetCode`] 1 |
//! | 8 PING | |
//! | 9 CLOSE | [`EndCode`] 1 |

/// The number of a stream in its session.
pub type StreamId = u32;

/// Bytes before the first frame.
pub(super) const PACKET_HEADER: usize = 8;
/// Bytes of a DATA frame before its content.
pub(super) const DATA_HEADER: usize = 1 + 4 + 1 + 8 + 2;
/// How many numbers below the highest an ACK covers.
pub(super) const ACK_SPAN: u64 = 512;
/// The longest name of a host in an OPEN frame.
pub const MAX_HOST: usize = 255;

/// What a client wants a stream to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A port of the hidden service itself.
    Service {
        /// The port.
        port: u16,
    },
    /// A host on the internet, through an exit.
    Connect {
        /// A name or an IP address as text: 1 to [`MAX_HOST`] visible ASCII characters. Nothing more is checked.
        host: String,
        /// The port.
        port: u16,
    },
}

impl Target {
    /// True if it can be sent.
    pub(super) fn is_valid(&self) -> bool {
        match self {
            Self::Service { .. } => true,
            Self::Connect { host, .. } => {
                (1..=MAX_HOST).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic())
            }
        }
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident, $other:ident; $($(#[$each:meta])* $variant:ident = $code:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$each])* $variant = $code,)* }

        impl $name {
            /// The code on the wire.
            pub fn code(self) -> u8 {
                self as u8
            }

            /// From the wire; a code of later versions counts as the general one.
            pub fn from_code(code: u8) -> Self {
                match code { $($code => Self::$variant,)* _ => Self::$other }
            }
        }
    };
}

codes! {
    /// Why a stream was not opened.
    Refusal, General;
    /// No reason that the other side tells.
    General = 1,
    /// The target is not offered, or not to this client.
    NotAllowed = 2,
    /// The target's network cannot be reached.
    NetworkUnreachable = 3,
    /// The target's host cannot be reached, or does not exist.
    HostUnreachable = 4,
    /// The target's host refused the connection.
    ConnectionRefused = 5,
    /// The target did not answer in time.
    TimedOut = 6,
    /// Too many streams or connections.
    Busy = 7,
}

codes! {
    /// Why a stream was broken off.
    ResetCode, Unspecified;
    /// No reason that the other side tells.
    Unspecified = 1,
    /// The application lost interest.
    Cancelled = 2,
    /// The connection behind the stream broke.
    Broken = 3,
    /// The connection behind the stream was silent for too long.
    TimedOut = 4,
}

codes! {
    /// Why a session ended.
    EndCode, Unspecified;
    /// No reason that the other side tells.
    Unspecified = 1,
    /// It was not needed any more.
    Done = 2,
    /// The other side broke the protocol.
    Violation = 3,
    /// The other side shuts down.
    GoingAway = 4,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Ack { highest: u64, bitmap: &'a [u8] },
    Open { id: StreamId, target: Target },
    Accept { id: StreamId },
    Refuse { id: StreamId, why: Refusal },
    Data { id: StreamId, last: bool, offset: u64, bytes: &'a [u8] },
    Window { id: StreamId, limit: u64 },
    Reset { id: StreamId, why: ResetCode },
    Ping,
    Close { why: EndCode },
}

impl<'a> Frame<'a> {
    /// True if the other side is to acknowledge it.
    pub(super) fn asks_for_ack(&self) -> bool {
        !matches!(self, Self::Ack { .. } | Self::Close { .. })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ack { highest, bitmap } => {
                out.push(1);
                out.extend(highest.to_be_bytes());
                out.push(bitmap.len() as u8);
                out.extend(*bitmap);
            }
            Self::Open { id, target } => {
                out.push(2);
                out.extend(id.to_be_bytes());
                let port = match target {
                    Target::Service { port } => {
                        out.push(0);
                        port
                    }
                    Target::Connect { host, port } => {
                        out.push(host.len() as u8);
                        out.extend(host.as_bytes());
                        port
                    }
                };
                out.extend(port.to_be_bytes());
            }
            Self::Accept { id } => {
                out.push(3);
                out.extend(id.to_be_bytes());
            }
            Self::Refuse { id, why } => {
                out.push(4);
                out.extend(id.to_be_bytes());
                out.push(why.code());
            }
            Self::Data { id, last, offset, bytes } => {
                out.push(5);
                out.extend(id.to_be_bytes());
                out.push(u8::from(*last));
                out.extend(offset.to_be_bytes());
                out.extend((bytes.len() as u16).to_be_bytes());
                out.extend(*bytes);
            }
            Self::Window { id, limit } => {
                out.push(6);
                out.extend(id.to_be_bytes());
                out.extend(limit.to_be_bytes());
            }
            Self::Reset { id, why } => {
                out.push(7);
                out.extend(id.to_be_bytes());
                out.push(why.code());
            }
            Self::Ping => out.push(8),
            Self::Close { why } => {
                out.push(9);
                out.push(why.code());
            }
        }
    }

    fn read(bytes: &mut Reader<'a>) -> Option<Self> {
        Some(match bytes.u8()? {
            1 => {
                let highest = bytes.u64()?;
                let len = usize::from(bytes.u8()?);
                if len as u64 * 8 > ACK_SPAN {
                    return None;
                }
                Self::Ack { highest, bitmap: bytes.take(len)? }
            }
            2 => {
                let id = bytes.u32()?;
                let host = usize::from(bytes.u8()?);
                let host = bytes.take(host)?;
                let port = bytes.u16()?;
                let target = if host.is_empty() {
                    Target::Service { port }
                } else {
                    Target::Connect { host: String::from_utf8(host.to_vec()).ok()?, port }
                };
                if !target.is_valid() {
                    return None;
                }
                Self::Open { id, target }
            }
            3 => Self::Accept { id: bytes.u32()? },
            4 => Self::Refuse { id: bytes.u32()?, why: Refusal::from_code(bytes.u8()?) },
            5 => {
                let id = bytes.u32()?;
                let last = match bytes.u8()? {
                    0 => false,
                    1 => true,
                    _ => return None,
                };
                let offset = bytes.u64()?;
                let len = usize::from(bytes.u16()?);
                Self::Data { id, last, offset, bytes: bytes.take(len)? }
            }
            6 => Self::Window { id: bytes.u32()?, limit: bytes.u64()? },
            7 => Self::Reset { id: bytes.u32()?, why: ResetCode::from_code(bytes.u8()?) },
            8 => Self::Ping,
            9 => Self::Close { why: EndCode::from_code(bytes.u8()?) },
            _ => return None,
        })
    }
}

/// Reads a whole datagram: its number and its frames, of which it can hold no more than it has bytes.
pub(super) fn decode(datagram: &[u8]) -> Option<(u64, Vec<Frame<'_>>)> {
    let mut reader = Reader(datagram);
    let number = reader.u64()?;
    let mut frames = Vec::new();
    while !reader.0.is_empty() {
        frames.push(Frame::read(&mut reader)?);
    }
    Some((number, frames))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Parts(u8, u32, u64, Vec<u8>, String, u16, u8);

    fn parts() -> impl Strategy<Value = Parts> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..=64);
        (0u8..10, any::<u32>(), any::<u64>(), bytes, "[!-~]{1,255}", any::<u16>(), any::<u8>())
            .prop_map(|(a, b, c, d, e, f, g)| Parts(a, b, c, d, e, f, g))
    }

    fn frame(Parts(kind, id, long, bytes, host, port, code): &Parts) -> Frame<'_> {
        let (id, port) = (*id, *port);
        match kind {
            0 => Frame::Ack { highest: *long, bitmap: bytes },
            1 => Frame::Open { id, target: Target::Service { port } },
            2 => Frame::Open { id, target: Target::Connect { host: host.clone(), port } },
            3 => Frame::Accept { id },
            4 => Frame::Refuse { id, why: Refusal::from_code(*code) },
            5 => Frame::Data { id, last: code % 2 == 0, offset: *long, bytes },
            6 => Frame::Window { id, limit: *long },
            7 => Frame::Reset { id, why: ResetCode::from_code(*code) },
            8 => Frame::Ping,
            _ => Frame::Close { why: EndCode::from_code(*code) },
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in any::<u64>(), all in proptest::collection::vec(parts(), 0..8)) {
            let frames: Vec<_> = all.iter().map(frame).collect();
            let mut bytes = number.to_be_bytes().to_vec();
            frames.iter().for_each(|f| f.write(&mut bytes));
            prop_assert_eq!(decode(&bytes), Some((number, frames)));
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), None, "no frame has type 0");
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..11) {
            let mut bytes = bytes;
            if let Some(b) = bytes.get_mut(PACKET_HEADER) {
                *b = kind;
            }
            if let Some((number, frames)) = decode(&bytes) {
                let mut again = number.to_be_bytes().to_vec();
                frames.iter().for_each(|f| f.write(&mut again));
                // Codes of later versions are read as the general one; all else has one form.
                prop_assert_eq!(again.len(), bytes.len());
            }
        }
    }

    #[test]
    fn hosts_that_are_no_names_are_refused() {
        for host in ["a b", "a\n", "\u{e9}", ""] {
            assert!(!Target::Connect { host: host.into(), port: 1 }.is_valid());
        }
        let mut bytes = vec![0; 8];
        bytes.extend([2, 0, 0, 0, 1, 2, b'a', b'\n', 0, 80]);
        assert_eq!(decode(&bytes), None);
    }
}
