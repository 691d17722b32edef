//! The words between two neighbours that are both our own nodes, inside their Noise session.
//!
//! ```text
//! frame    flags u8 (1: carries items) | seq u16 | newest u16 | before u32 | items
//! item     tag u8 | length u16 | body
//! ```
//!
//! `seq` numbers the frames that carry items; `newest` is the highest number that came from the other side, and bit n of
//! `before` says that number `newest - 1 - n` came too. All integers are big-endian. Unknown tags are skipped.

use crate::PeerId;
use crate::mesh::bundle::{Ack, AckHash, Bundle, MAX_CARRIED};
use crate::mesh::filter::Filter;
use crate::mesh::types::MessageId;
use std::sync::Arc;

/// The most hops that a route names.
pub(crate) const MAX_ROUTE: usize = 32;
/// Names in one list.
pub(crate) const MAX_NAMES: usize = 64;
/// Values of one table, and acknowledgements of one list.
pub(crate) const MAX_TABLE: usize = 256;
/// Copies that one hand-over may give.
pub(crate) const MAX_COPIES: u16 = 1024;

/// Parts of a set.
pub(crate) const MAX_PARTS: usize = 16;
/// Values in one frame.
pub(crate) const TABLE_EACH: usize = 40;

const HAS_ITEMS: u8 = 1;

/// What one side has received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Received {
    pub(crate) newest: u16,
    pub(crate) before: u32,
}

/// A frame, decoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlFrame {
    /// None for a frame that only acknowledges.
    pub(crate) seq: Option<u16>,
    pub(crate) received: Received,
    pub(crate) items: Vec<Item>,
}

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// Whom this node meets. A part of its table; there may be more.
    Meets {
        /// How many others it has met lately.
        met: u16,
        /// It takes bundles to carry.
        carries: bool,
        /// Delivery predictabilities.
        table: Vec<(PeerId, f32)>,
    },
    /// The bundles that this node has had: not to be offered.
    Holds(Part),
    /// The acknowledgements that this node knows.
    Acked(Part),
    /// A bundle, with custody of so many copies.
    Bundle(Box<Handover>),
    /// The bundle is on disk here: custody has moved.
    Took(MessageId),
    /// The bundle is not taken: no room, or a limit. Custody stays where it was.
    Refuse(MessageId),
    /// Messages that have arrived.
    Acks(Vec<Ack>),
    /// Public packets that this node has and the other may lack.
    Have(Vec<MessageId>),
    /// Public packets that the other offered, please.
    Want(Vec<MessageId>),
    /// The newest public packets that this node has, combined, and how many: equal where both have the same.
    Digest {
        /// All names, combined by exclusive or.
        sum: MessageId,
        /// How many.
        count: u32,
        /// Of the packets up to this time, seconds since 1970: newer ones are still on their way.
        until_s: u32,
    },
    /// Send all public packets that this filter has not and that are not older than this.
    Missing {
        /// What this node has.
        part: Part,
        /// Seconds since 1970.
        since_s: u32,
    },
    /// All that was missing of a part has been sent: so many packets.
    Complete(u32),
    /// Who is this? Their announce, please.
    WhoIs(PeerId),
}

/// A set of names too large for one frame goes in parts: a name belongs to the part that its last byte says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) number: u8,
    pub(crate) of: u8,
    pub(crate) filter: Filter,
}

impl Part {
    /// Names that one part describes.
    const EACH: usize = 240;

    /// A set of names as parts; at least one, of at most `MAX_PARTS`.
    pub(crate) fn split(salt: u32, ids: &[MessageId]) -> Vec<Self> {
        let of = ids.len().div_ceil(Self::EACH).clamp(1, MAX_PARTS);
        let mut parts = vec![Vec::new(); of];
        for id in ids {
            parts[usize::from(id.0[15]) % of].push(*id);
        }
        let number = 0..of as u8;
        number
            .zip(parts)
            .map(|(n, ids)| Self { number: n, of: of as u8, filter: Filter::of(salt, ids.iter()) })
            .collect()
    }

    /// The name belongs to this part.
    pub(crate) fn has(&self, id: &MessageId) -> bool {
        id.0[15] % self.of == self.number
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.number);
        out.push(self.of);
        self.filter.encode(out);
    }

    fn decode(body: &mut Reader<'_>) -> Option<Self> {
        let (number, of) = (body.u8()?, body.u8()?);
        if number >= of || usize::from(of) > MAX_PARTS {
            return None;
        }
        Some(Self { number, of, filter: Filter::decode(body)? })
    }
}

/// One bundle on its way to the next carrier.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Handover {
    pub(crate) bundle: Bundle,
    /// Copies that go over.
    pub(crate) copies: u16,
    /// Carriers so far.
    pub(crate) hops: u8,
    /// The hops after the receiver of this frame, where the sender knows a way; empty: carry it.
    pub(crate) route: Vec<PeerId>,
    /// It goes along a way that somebody knows, at once.
    pub(crate) routed: bool,
}

mod tag {
    pub(super) const MEETS: u8 = 1;
    pub(super) const BUNDLE: u8 = 2;
    pub(super) const REFUSE: u8 = 3;
    pub(super) const ACKS: u8 = 4;
    pub(super) const HAVE: u8 = 5;
    pub(super) const WANT: u8 = 6;
    pub(super) const DIGEST: u8 = 7;
    pub(super) const MISSING: u8 = 8;
    pub(super) const COMPLETE: u8 = 9;
    pub(super) const HOLDS: u8 = 10;
    pub(super) const ACKED: u8 = 11;
    pub(super) const WHO_IS: u8 = 12;
    pub(super) const TOOK: u8 = 13;
}

impl ControlFrame {
    /// Header only.
    pub(crate) const HEADER: usize = 9;

    pub(crate) fn encode(seq: Option<u16>, received: Received, items: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::HEADER + items.len());
        out.push(if seq.is_some() { HAS_ITEMS } else { 0 });
        out.extend_from_slice(&seq.unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&received.newest.to_be_bytes());
        out.extend_from_slice(&received.before.to_be_bytes());
        out.extend_from_slice(items);
        out
    }

    /// None for what is no frame.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let flags = input.u8()?;
        let seq = input.u16()?;
        let received = Received { newest: input.u16()?, before: input.u32()? };
        let mut items = Vec::new();
        while !input.0.is_empty() {
            let tag = input.u8()?;
            let length = usize::from(input.u16()?);
            let mut body = Reader(input.take(length)?);
            if let Some(item) = Item::decode(tag, &mut body)? {
                items.push(item);
            }
        }
        Some(Self { seq: (flags & HAS_ITEMS != 0).then_some(seq), received, items })
    }
}

impl Item {
    /// Tag, length and body.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0, 0];
        out[0] = match self {
            Self::Meets { met, carries, table } => {
                out.extend_from_slice(&met.to_be_bytes());
                out.push(u8::from(*carries));
                for (peer, p) in table.iter().take(MAX_TABLE) {
                    out.extend_from_slice(&peer.0);
                    out.push((p * 255.0).round() as u8);
                }
                tag::MEETS
            }
            Self::Holds(part) => {
                part.encode(&mut out);
                tag::HOLDS
            }
            Self::Acked(part) => {
                part.encode(&mut out);
                tag::ACKED
            }
            Self::Bundle(h) => {
                out.extend_from_slice(&h.copies.to_be_bytes());
                out.push(h.hops);
                out.push(u8::from(h.routed));
                let route = &h.route[..h.route.len().min(MAX_ROUTE)];
                out.push(route.len() as u8);
                route.iter().for_each(|p| out.extend_from_slice(&p.0));
                out.extend_from_slice(&h.bundle.ack.0);
                out.extend_from_slice(&h.bundle.expires_s.to_be_bytes());
                out.extend_from_slice(&h.bundle.packet);
                tag::BUNDLE
            }
            Self::Took(id) => {
                out.extend_from_slice(&id.0);
                tag::TOOK
            }
            Self::Refuse(id) => {
                out.extend_from_slice(&id.0);
                tag::REFUSE
            }
            Self::Acks(acks) => {
                acks.iter().take(MAX_TABLE).for_each(|a| a.encode(&mut out));
                tag::ACKS
            }
            Self::Have(ids) => names(&mut out, ids, tag::HAVE),
            Self::Want(ids) => names(&mut out, ids, tag::WANT),
            Self::Digest { sum, count, until_s } => {
                out.extend_from_slice(&sum.0);
                out.extend_from_slice(&count.to_be_bytes());
                out.extend_from_slice(&until_s.to_be_bytes());
                tag::DIGEST
            }
            Self::Missing { part, since_s } => {
                part.encode(&mut out);
                out.extend_from_slice(&since_s.to_be_bytes());
                tag::MISSING
            }
            Self::Complete(count) => {
                out.extend_from_slice(&count.to_be_bytes());
                tag::COMPLETE
            }
            Self::WhoIs(peer) => {
                out.extend_from_slice(&peer.0);
                tag::WHO_IS
            }
        };
        // Everything above is bounded far below 64 KiB.
        let length = u16::try_from(out.len() - 3).unwrap_or(u16::MAX);
        out[1..3].copy_from_slice(&length.to_be_bytes());
        out
    }

    /// `Some(None)` for an unknown tag, `None` for a malformed one.
    fn decode(tag: u8, body: &mut Reader<'_>) -> Option<Option<Self>> {
        let item = match tag {
            tag::MEETS => {
                let (met, carries) = (body.u16()?, body.u8()? != 0);
                let mut table = Vec::new();
                while !body.0.is_empty() {
                    if table.len() == MAX_TABLE {
                        return None;
                    }
                    table.push((PeerId(body.array()?), f32::from(body.u8()?) / 255.0));
                }
                Self::Meets { met, carries, table }
            }
            tag::HOLDS => Self::Holds(Part::decode(body)?),
            tag::ACKED => Self::Acked(Part::decode(body)?),
            tag::WHO_IS => Self::WhoIs(PeerId(body.array()?)),
            tag::BUNDLE => {
                let (copies, hops, routed) = (body.u16()?, body.u8()?, body.u8()? != 0);
                let hops_left = usize::from(body.u8()?);
                if hops_left > MAX_ROUTE || copies > MAX_COPIES {
                    return None;
                }
                let route = (0..hops_left).map(|_| body.array().map(PeerId)).collect::<Option<_>>()?;
                let ack = AckHash(body.array()?);
                let expires_s = body.u32()?;
                if body.0.len() > MAX_CARRIED {
                    return None;
                }
                let bundle = Bundle::new(Arc::from(body.0), ack, expires_s)?;
                Self::Bundle(Box::new(Handover { bundle, copies, hops, route, routed }))
            }
            tag::TOOK => Self::Took(MessageId(body.array()?)),
            tag::REFUSE => Self::Refuse(MessageId(body.array()?)),
            tag::ACKS => {
                let mut acks = Vec::new();
                while !body.0.is_empty() {
                    if acks.len() == MAX_TABLE {
                        return None;
                    }
                    acks.push(Ack::decode(body)?);
                }
                Self::Acks(acks)
            }
            tag::HAVE => Self::Have(read_names(body)?),
            tag::WANT => Self::Want(read_names(body)?),
            tag::DIGEST => {
                Self::Digest { sum: MessageId(body.array()?), count: body.u32()?, until_s: body.u32()? }
            }
            tag::MISSING => Self::Missing { part: Part::decode(body)?, since_s: body.u32()? },
            tag::COMPLETE => Self::Complete(body.u32()?),
            _ => return Some(None),
        };
        Some(Some(item))
    }
}

fn names(out: &mut Vec<u8>, ids: &[MessageId], tag: u8) -> u8 {
    ids.iter().take(MAX_NAMES).for_each(|id| out.extend_from_slice(&id.0));
    tag
}

fn read_names(body: &mut Reader<'_>) -> Option<Vec<MessageId>> {
    let (ids, rest) = body.0.as_chunks::<16>();
    (rest.is_empty() && ids.len() <= MAX_NAMES).then(|| ids.iter().copied().map(MessageId).collect())
}

/// Reads from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|b| b[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}
