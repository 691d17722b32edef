//! One link: what waits to be sent over it, and what its other end has told.

use crate::PeerId;
use crate::mesh::arq::{Arq, Kind, Urgency};
use crate::mesh::bucket::{Bucket, Rate};
use crate::mesh::config::Limits;
use crate::mesh::control::{Item, MAX_PARTS, MAX_TABLE, Part};
use crate::mesh::types::{Frame, LinkId, MessageId, Millis};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Names that are remembered of a contact.
const MAX_TOLD: usize = 4096;

/// Which side connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRole {
    /// This node did.
    Central,
    /// The other one did.
    Peripheral,
}

/// In which order packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// For one receiver, and own ones.
    Direct,
    /// Public ones of others.
    Public,
    /// Announces of others.
    Announce,
}

#[derive(Debug)]
struct Queued {
    packet: Arc<[u8]>,
    id: MessageId,
}

/// What a frame is, for the counters.
pub(crate) struct Sending {
    pub(crate) frame: Frame,
    pub(crate) bundles: usize,
    pub(crate) acks: bool,
    pub(crate) items: bool,
}

/// What the neighbour has told in this contact.
#[derive(Debug, Default)]
pub(crate) struct Contact {
    pub(crate) begun: bool,
    /// It has spoken in the session: it is who it says.
    pub(crate) proven: bool,
    pub(crate) carries: bool,
    pub(crate) met: u16,
    table: Vec<(PeerId, f32)>,
    holds: Vec<Part>,
    /// Acknowledgements that were told in one direction or the other.
    acked: BTreeSet<MessageId>,
    /// Bundles that were offered, or came from there.
    pub(crate) offered: BTreeSet<MessageId>,
    /// Bundles to look at.
    pub(crate) todo: VecDeque<MessageId>,
    /// The digest that was told last.
    pub(crate) told: Option<(MessageId, u32)>,
    /// The digest that it told last.
    pub(crate) heard: Option<(MessageId, u32)>,
    /// Up to which time that one goes.
    pub(crate) heard_until: Millis,
    /// Parts of a request for missed packets that are not answered yet, and since when.
    pub(crate) asked: Option<(usize, Millis)>,
    /// What it has differs from what this node has.
    pub(crate) differs: bool,
    /// Not to be asked before, and how often asking has not helped.
    pub(crate) ask_again: (Millis, u8),
}

impl Contact {
    pub(crate) fn learn(&mut self, met: u16, carries: bool, table: Vec<(PeerId, f32)>) {
        (self.met, self.carries) = (met, carries);
        if self.table.len() < MAX_TABLE {
            self.table.extend(table);
            self.table.sort_by_key(|(peer, _)| *peer);
            self.table.dedup_by_key(|(peer, _)| *peer);
        }
    }

    /// Its predictability for somebody.
    pub(crate) fn p(&self, peer: PeerId) -> f32 {
        self.table.binary_search_by_key(&peer, |(p, _)| *p).map_or(0.0, |at| self.table[at].1)
    }

    pub(crate) fn hold(&mut self, part: Part) {
        if self.holds.len() < MAX_PARTS {
            self.holds.push(part);
        }
    }

    /// None: it has not told yet.
    pub(crate) fn has(&self, id: &MessageId) -> Option<bool> {
        self.holds.iter().find(|part| part.has(id)).map(|part| part.filter.contains(id))
    }

    /// True if it is known to know this acknowledgement. Exact, since what it is not told now it may never learn.
    pub(crate) fn knows(&self, id: &MessageId) -> bool {
        self.acked.contains(id)
    }

    /// From now on it knows this acknowledgement.
    pub(crate) fn told_ack(&mut self, id: &MessageId) {
        if self.acked.len() < MAX_TOLD {
            self.acked.insert(*id);
        }
    }
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// One bit, for sets of links.
    pub(crate) bit: u64,
    pub(crate) role: LinkRole,
    pub(crate) rssi: i8,
    pub(crate) peer: Option<PeerId>,
    pub(crate) bound_at: Millis,
    pub(crate) native: bool,
    pub(crate) busy: bool,
    pub(crate) announced: Option<Millis>,
    queues: [VecDeque<Queued>; 3],
    queued: usize,
    pub(crate) arq: Arq,
    /// Public packets that it asked for.
    pub(crate) answers: VecDeque<MessageId>,
    /// The parts asked for that `answers` completes, as the number of packets that must be left, and their count.
    pub(crate) completes: VecDeque<(usize, u32)>,
    /// Senders whose announce went before the packets that it asked for.
    pub(crate) introduced: BTreeSet<PeerId>,
    pub(crate) offers: Vec<MessageId>,
    pub(crate) offers_due: Option<Millis>,
    pub(crate) acks: Vec<MessageId>,
    pub(crate) acks_due: Option<Millis>,
    /// Answers to own requests are taken until then.
    pub(crate) answers_until: Millis,
    pub(crate) contact: Contact,
    /// When the engine's timer for this link goes off.
    pub(crate) timer: Option<Millis>,
    pub(crate) strangers: Option<Bucket>,
    pub(crate) new_peers: Option<Bucket>,
    pub(crate) bundles: Option<Bucket>,
    pub(crate) ack_rate: Option<Bucket>,
}

impl Link {
    pub(crate) fn new(
        id: LinkId,
        bit: u64,
        role: LinkRole,
        rssi: i8,
        now: Millis,
        limits: Option<&Limits>,
    ) -> Self {
        let bucket = |rate: fn(&Limits) -> Rate| limits.map(|l| Bucket::full(rate(l), now));
        Self {
            id,
            bit,
            role,
            rssi,
            peer: None,
            bound_at: 0,
            native: false,
            busy: false,
            announced: None,
            queues: Default::default(),
            queued: 0,
            arq: Arq::default(),
            answers: VecDeque::new(),
            completes: VecDeque::new(),
            introduced: BTreeSet::new(),
            offers: Vec::new(),
            offers_due: None,
            acks: Vec::new(),
            acks_due: None,
            answers_until: 0,
            contact: Contact::default(),
            timer: None,
            strangers: bucket(|l| l.strangers),
            new_peers: bucket(|l| l.new_peers),
            bundles: bucket(|l| l.bundles),
            ack_rate: bucket(|l| l.acks),
        }
    }

    /// Queues a packet. Where the queue is full, the oldest of the least important make room.
    pub(crate) fn push(&mut self, class: Class, packet: Arc<[u8]>, id: MessageId, most: usize) {
        self.queued += packet.len();
        self.queues[class as usize].push_back(Queued { packet, id });
        while self.queued > most {
            let Some(dropped) = self.queues.iter_mut().rev().find_map(VecDeque::pop_front) else { break };
            self.queued -= dropped.packet.len();
        }
    }

    /// Takes a packet out again that the other end has got from somebody else.
    pub(crate) fn cancel(&mut self, id: &MessageId) {
        for queue in &mut self.queues {
            if let Some(at) = queue.iter().position(|q| q.id == *id)
                && let Some(gone) = queue.remove(at)
            {
                self.queued -= gone.packet.len();
            }
        }
    }

    /// Queues words to the neighbour.
    pub(crate) fn say(&mut self, urgency: Urgency, item: &Item) -> bool {
        let (bundle, kind) = match item {
            Item::Bundle(h) => (Some(h.bundle.id), Kind::Bundle),
            Item::Acks(_) => (None, Kind::Acks),
            _ => (None, Kind::Other),
        };
        self.arq.push(urgency, item.encode(), bundle, kind)
    }

    /// The next frame, in order of urgency. Answers to requests are the caller's to look up.
    pub(crate) fn next(&mut self, now: Millis) -> Option<Sending> {
        if let Some(frame) = self.control(now, false) {
            return Some(frame);
        }
        for class in [Class::Direct, Class::Public] {
            if let Some(frame) = self.packet(class) {
                return Some(frame);
            }
        }
        self.control(now, true).or_else(|| self.packet(Class::Announce))
    }

    fn packet(&mut self, class: Class) -> Option<Sending> {
        let queued = self.queues[class as usize].pop_front()?;
        self.queued -= queued.packet.len();
        let frame = Frame::Packet(queued.packet);
        Some(Sending { frame, bundles: 0, acks: false, items: false })
    }

    fn control(&mut self, now: Millis, bulk: bool) -> Option<Sending> {
        if !self.native {
            return None;
        }
        let out = self.arq.next(now, bulk)?;
        Some(Sending {
            frame: Frame::Control(out.bytes.into()),
            bundles: out.bundles,
            acks: out.acks,
            items: out.items,
        })
    }

    /// When something is due.
    pub(crate) fn wake(&self) -> Option<Millis> {
        [self.arq.wake(), self.offers_due, self.acks_due].into_iter().flatten().min()
    }
}
