//! The streams of one session.

use super::buffer::{ReceiveBuffer, SendBuffer, Violation};
use super::frame::{self, ACK_SPAN, DATA_HEADER, Frame, PACKET_HEADER};
use super::ranges::RangeSet;
use super::recovery::{Recovery, Sent};
use super::{
    ACK_DELAY, ACK_EVERY, Config, End, EndCode, Event, MAX_CLOSES, MAX_EVENTS, MAX_GAPS, MAX_LINGERING,
    MAX_STREAMS, MIN_DATAGRAM, Read, Refusal, ResetCode, SEND_BUFFER, Side, StreamError, StreamId, Target,
};
use crate::session::ReplayWindow;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A frame that must arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Delivery {
    /// Nothing to send.
    #[default]
    None,
    Waiting,
    Sent,
    Acked,
}

impl Delivery {
    fn lost(&mut self) {
        if *self == Self::Sent {
            *self = Self::Waiting;
        }
    }
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Service: bytes came before the OPEN.
    Unannounced,
    /// Not accepted yet.
    Pending,
    Open,
    /// Service: refused. Gone once the client knows.
    Refused(Refusal),
    /// Broken off by this side. Gone once the other knows.
    Reset(ResetCode),
}

#[derive(Debug)]
struct Stream {
    phase: Phase,
    /// Client: what to open.
    target: Option<Target>,
    /// OPEN of the client, ACCEPT or REFUSE of the service.
    opening: Delivery,
    reset: Delivery,
    window: Delivery,
    send: SendBuffer,
    receive: ReceiveBuffer,
    /// Told the application that there is something to read, and it did not read yet.
    told_readable: bool,
    wants_room: bool,
}

impl Stream {
    fn new(phase: Phase, window: u64) -> Self {
        Self {
            phase,
            target: None,
            opening: Delivery::None,
            reset: Delivery::None,
            window: Delivery::None,
            send: SendBuffer::new(),
            receive: ReceiveBuffer::new(window),
            told_readable: false,
            wants_room: false,
        }
    }

    /// Nothing of it is of interest any more but that the other side learns it.
    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.send.clear();
        self.receive = ReceiveBuffer::new(0);
        self.window = Delivery::None;
    }

    fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Unannounced | Phase::Pending | Phase::Open)
    }

    fn is_over(&self) -> bool {
        match self.phase {
            Phase::Unannounced | Phase::Pending => false,
            Phase::Open => self.opening == Delivery::Acked && self.send.is_done() && self.receive.is_done(),
            Phase::Refused(_) => self.opening == Delivery::Acked,
            Phase::Reset(_) => self.reset == Delivery::Acked,
        }
    }
}

#[derive(Debug)]
enum State {
    Open,
    /// Tell the other side, if it is there, that the session is over.
    Closing {
        why: EndCode,
        waiting: bool,
        told: u32,
    },
    /// Nothing more to say.
    Ended,
}

/// All streams of a session, on one side.
#[derive(Debug)]
pub struct Mux {
    side: Side,
    config: Config,
    max_datagram: usize,
    state: State,
    streams: BTreeMap<StreamId, Stream>,
    /// Client: the next stream's id.
    next_id: StreamId,
    /// Service: the ids that the client used.
    used_ids: RangeSet,
    /// The stream that fills the next datagram first.
    turn: StreamId,
    events: VecDeque<Event>,
    recovery: Recovery,
    /// Numbers of the datagrams that came.
    came: ReplayWindow,
    highest: Option<u64>,
    /// Datagrams that came and wait for an ACK, and until when.
    unacked: u32,
    ack_at: Option<Instant>,
    heard: Instant,
    ping_at: Instant,
    ping: bool,
}

impl Mux {
    /// A session's streams. `max_datagram`: what a datagram may hold, at least [`MIN_DATAGRAM`].
    pub fn new(side: Side, max_datagram: usize, config: Config, now: Instant) -> Self {
        Self {
            side,
            max_datagram: max_datagram.clamp(MIN_DATAGRAM, usize::from(u16::MAX)),
            state: State::Open,
            streams: BTreeMap::new(),
            next_id: 0,
            used_ids: RangeSet::default(),
            turn: 0,
            events: VecDeque::new(),
            recovery: Recovery::new(config.congestion, now),
            came: ReplayWindow::default(),
            highest: None,
            unacked: 0,
            ack_at: None,
            heard: now,
            ping_at: now + config.keep_alive,
            ping: false,
            config,
        }
    }

    /// Client: opens a stream, which may be written to at once.
    ///
    /// # Errors
    /// [`StreamError::TooMany`], [`StreamError::Target`], [`StreamError::Ended`], [`StreamError::State`] at a service.
    pub fn open(&mut self, target: Target) -> Result<StreamId, StreamError> {
        self.running()?;
        if self.side != Side::Client {
            return Err(StreamError::State);
        }
        if !target.is_valid() {
            return Err(StreamError::Target);
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(StreamError::TooMany);
        }
        let id = self.next_id;
        self.next_id = id.checked_add(1).ok_or(StreamError::TooMany)?;
        let mut stream = Stream::new(Phase::Pending, self.config.window);
        stream.target = Some(target);
        stream.opening = Delivery::Waiting;
        self.streams.insert(id, stream);
        Ok(id)
    }

    /// Service: accepts a stream.
    ///
    /// # Errors
    /// [`StreamError::Unknown`], [`StreamError::State`].
    pub fn accept(&mut self, id: StreamId) -> Result<(), StreamError> {
        let stream = self.incoming(id)?;
        stream.phase = Phase::Open;
        stream.opening = Delivery::Waiting;
        self.tell_readable(id);
        Ok(())
    }

    /// Service: refuses a stream.
    ///
    /// # Errors
    /// [`StreamError::Unknown`], [`StreamError::State`].
    pub fn refuse(&mut self, id: StreamId, why: Refusal) -> Result<(), StreamError> {
        let stream = self.incoming(id)?;
        stream.end(Phase::Refused(why));
        stream.opening = Delivery::Waiting;
        Ok(())
    }

    fn incoming(&mut self, id: StreamId) -> Result<&mut Stream, StreamError> {
        let side = self.side;
        let stream = self.streams.get_mut(&id).ok_or(StreamError::Unknown)?;
        if side != Side::Service || stream.phase != Phase::Pending {
            return Err(StreamError::State);
        }
        Ok(stream)
    }

    /// Takes as many bytes as there is room for; [`Event::Writable`] tells when there is more.
    ///
    /// # Errors
    /// [`StreamError::Unknown`], [`StreamError::State`].
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> Result<usize, StreamError> {
        let client = self.side == Side::Client;
        let stream = self.streams.get_mut(&id).ok_or(StreamError::Unknown)?;
        let open = stream.phase == Phase::Open || (client && stream.phase == Phase::Pending);
        if !open || stream.send.is_finished() {
            return Err(StreamError::State);
        }
        let n = stream.send.write(bytes);
        stream.wants_room = n < bytes.len();
        Ok(n)
    }

    /// Appends everything that came in order.
    ///
    /// # Errors
    /// [`StreamError::Unknown`], [`StreamError::State`] before the stream is accepted.
    pub fn read(&mut self, id: StreamId, out: &mut Vec<u8>) -> Result<Read, StreamError> {
        let stream = self.streams.get_mut(&id).ok_or(StreamError::Unknown)?;
        if stream.phase != Phase::Open {
            return Err(StreamError::State);
        }
        let bytes = stream.receive.read(out);
        stream.told_readable = false;
        let finished = stream.receive.is_done();
        // The end is told once.
        stream.told_readable |= finished;
        self.reap(id);
        Ok(Read { bytes, finished })
    }

    /// Ends this side's direction, after what was written. The other direction goes on.
    ///
    /// # Errors
    /// [`StreamError::Unknown`].
    pub fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        let stream = self.streams.get_mut(&id).ok_or(StreamError::Unknown)?;
        stream.send.finish();
        Ok(())
    }

    /// Breaks a stream off, in both directions. Nothing more is told of it.
    ///
    /// # Errors
    /// [`StreamError::Unknown`].
    pub fn reset(&mut self, id: StreamId, why: ResetCode) -> Result<(), StreamError> {
        let stream = self.streams.get_mut(&id).ok_or(StreamError::Unknown)?;
        if stream.is_live() {
            stream.end(Phase::Reset(why));
            stream.reset = Delivery::Waiting;
        }
        Ok(())
    }

    /// Ends the session at once. The other side is told, if the datagram arrives.
    pub fn close(&mut self, why: EndCode) {
        if matches!(self.state, State::Open) {
            self.end(End::Closed, Some(why));
        }
    }

    fn running(&self) -> Result<(), StreamError> {
        if matches!(self.state, State::Open) { Ok(()) } else { Err(StreamError::Ended) }
    }

    fn end(&mut self, end: End, tell: Option<EndCode>) {
        self.state = match tell {
            Some(why) => State::Closing { why, waiting: true, told: 0 },
            None => State::Ended,
        };
        self.streams.clear();
        self.events.clear();
        self.events.push_back(Event::Ended(end));
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Streams that are open or not quite over.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// True once the session is over.
    pub fn is_ended(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    /// The smoothed round trip, once measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.recovery.rtt()
    }

    /// Bytes of streams that are held, and entries about datagrams and events: what an attacker would make grow.
    pub fn held(&self) -> (usize, usize) {
        let bytes = self.streams.values().map(|s| s.send.len() + s.receive.len()).sum();
        (bytes, self.recovery.len() + self.events.len() + self.used_ids.len())
    }

    // What comes in.

    /// Takes a datagram from the other side. It must be authentic; what is in it is not trusted.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) {
        match &mut self.state {
            State::Open => {}
            State::Closing { waiting, told, .. } => {
                *waiting = *told < MAX_CLOSES;
                return;
            }
            State::Ended => return,
        }
        if self.take(now, datagram).is_err() {
            self.end(End::Violation, Some(EndCode::Violation));
        }
    }

    fn take(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Violation> {
        let (number, frames) = frame::decode(datagram).ok_or(Violation)?;
        self.heard = now;
        self.ping_at = now + self.config.keep_alive;
        if !self.came.is_new(number) || number == u64::MAX {
            return Ok(());
        }
        // What cannot be kept now is not acknowledged, so it will come again. Frames may be taken twice.
        let mut kept = true;
        for frame in &frames {
            if let Frame::Close { why } = frame {
                self.end(End::ByPeer(*why), None);
                return Ok(());
            }
            kept &= self.take_frame(now, frame)?;
        }
        if kept {
            self.came.take(number);
            self.highest = self.highest.max(Some(number));
            if frames.iter().any(Frame::asks_for_ack) {
                self.unacked += 1;
                self.ack_at = self.ack_at.or(Some(now + ACK_DELAY));
                if self.unacked >= ACK_EVERY {
                    self.ack_at = Some(now);
                }
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, now: Instant, frame: &Frame<'_>) -> Result<bool, Violation> {
        match frame {
            Frame::Ack { highest, bitmap } => {
                for sent in self.recovery.acked(now, *highest, bitmap)? {
                    self.arrived(&sent);
                }
            }
            Frame::Open { id, target } => return self.take_open(*id, target),
            Frame::Accept { id } => {
                if let Some(stream) = self.answered(*id)? {
                    stream.phase = Phase::Open;
                    stream.opening = Delivery::Acked;
                    stream.target = None;
                    self.events.push_back(Event::Opened(*id));
                    self.tell_readable(*id);
                }
            }
            Frame::Refuse { id, why } => {
                if self.answered(*id)?.is_some() {
                    self.streams.remove(id);
                    self.events.push_back(Event::Refused(*id, *why));
                }
            }
            Frame::Data { id, last, offset, bytes } => {
                if !self.find(*id)? {
                    return Ok(!self.is_unused(*id));
                }
                if let Some(stream) = self.streams.get_mut(id).filter(|s| s.is_live()) {
                    let kept = stream.receive.receive(*offset, bytes, *last)?;
                    self.tell_readable(*id);
                    return Ok(kept);
                }
            }
            Frame::Window { id, limit } => {
                if !self.find(*id)? {
                    return Ok(!self.is_unused(*id));
                }
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.send.limit = stream.send.limit.max(*limit);
                }
            }
            Frame::Reset { id, why } => {
                if !self.find(*id)? {
                    return Ok(!self.is_unused(*id));
                }
                if let Some(stream) = self.streams.remove(id)
                    && matches!(stream.phase, Phase::Pending | Phase::Open)
                {
                    self.events.push_back(Event::Closed(*id, Some(*why)));
                }
            }
            Frame::Ping | Frame::Close { .. } => {}
        }
        Ok(true)
    }

    /// Client: the stream that waits for this answer, if it does.
    fn answered(&mut self, id: StreamId) -> Result<Option<&mut Stream>, Violation> {
        if self.side == Side::Service || id >= self.next_id {
            return Err(Violation);
        }
        Ok(self.streams.get_mut(&id).filter(|s| s.phase == Phase::Pending))
    }

    fn is_unused(&self, id: StreamId) -> bool {
        self.side == Side::Service && !self.used_ids.contains(u64::from(id))
    }

    /// True if the stream is there; a service makes one if the client used this id for the first time and there is
    /// room. The client's own streams are there, or over; it never heard of others.
    fn find(&mut self, id: StreamId) -> Result<bool, Violation> {
        if self.streams.contains_key(&id) {
            return Ok(true);
        }
        if self.side == Side::Client {
            return if id < self.next_id { Ok(false) } else { Err(Violation) };
        }
        let range = u64::from(id)..u64::from(id) + 1;
        let room = self.streams.len() < MAX_LINGERING
            && self.events.len() < MAX_EVENTS
            && (self.used_ids.len() < MAX_GAPS || self.used_ids.touches(&range));
        if !self.is_unused(id) || !room {
            return Ok(false);
        }
        self.used_ids.insert(range);
        self.streams.insert(id, Stream::new(Phase::Unannounced, self.config.window));
        Ok(true)
    }

    fn take_open(&mut self, id: StreamId, target: &Target) -> Result<bool, Violation> {
        if self.side == Side::Client {
            return Err(Violation);
        }
        if !self.find(id)? {
            return Ok(!self.is_unused(id));
        }
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.phase == Phase::Unannounced
        {
            stream.phase = Phase::Pending;
            self.events.push_back(Event::Incoming(id, target.clone()));
        }
        Ok(true)
    }

    fn tell_readable(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.phase == Phase::Open
            && !stream.told_readable
            && (stream.receive.readable() > 0 || stream.receive.is_done())
        {
            stream.told_readable = true;
            self.events.push_back(Event::Readable(id));
        }
    }

    /// Something that was sent is acknowledged.
    fn arrived(&mut self, sent: &Sent) {
        let (id, stream) = match sent {
            Sent::Opening(id) | Sent::Data(id, ..) | Sent::Reset(id) => (*id, self.streams.get_mut(id)),
            Sent::Window(_) | Sent::Ping => return,
        };
        let Some(stream) = stream else { return };
        match sent {
            Sent::Opening(_) => stream.opening = Delivery::Acked,
            Sent::Reset(_) => stream.reset = Delivery::Acked,
            Sent::Data(_, range, last) if stream.is_live() => {
                stream.send.acked(range.clone(), *last);
                if stream.wants_room && stream.send.room() >= SEND_BUFFER / 4 {
                    stream.wants_room = false;
                    self.events.push_back(Event::Writable(id));
                }
            }
            _ => {}
        }
        self.reap(id);
    }

    /// Something that was sent is lost.
    fn lost(&mut self, sent: Sent) {
        match sent {
            Sent::Opening(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.opening.lost();
                }
            }
            Sent::Reset(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.reset.lost();
                }
            }
            Sent::Window(id) => {
                if let Some(stream) = self.streams.get_mut(&id).filter(|s| s.is_live() && s.receive.is_open())
                {
                    stream.window = Delivery::Waiting;
                }
            }
            Sent::Data(id, range, last) => {
                if let Some(stream) = self.streams.get_mut(&id).filter(|s| s.is_live()) {
                    stream.send.lost(range, last);
                }
            }
            Sent::Ping => {}
        }
    }

    /// Removes a stream that is over.
    fn reap(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_over)
            && let Some(stream) = self.streams.remove(&id)
            && stream.phase == Phase::Open
        {
            self.events.push_back(Event::Closed(id, None));
        }
    }

    // What goes out.

    /// When [`Self::poll_transmit`] is to be called again, if nothing comes before. It is then in the future, once
    /// [`Self::poll_transmit`] gave none.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Open => {}
            State::Closing { .. } | State::Ended => return None,
        }
        let ping = (!self.streams.is_empty()).then_some(self.ping_at);
        let idle = Some(self.heard + self.config.idle);
        [self.recovery.next_timeout(), self.ack_at, ping, idle].into_iter().flatten().min()
    }

    /// The next datagram for the other side.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.poll_transmit_within(now, self.max_datagram)
    }

    /// [`Self::poll_transmit`] where there is less room this time: at least [`MIN_DATAGRAM`] bytes.
    pub fn poll_transmit_within(&mut self, now: Instant, max: usize) -> Option<Vec<u8>> {
        let max = max.clamp(MIN_DATAGRAM, self.max_datagram);
        if matches!(self.state, State::Open) && now >= self.heard + self.config.idle {
            self.end(End::Silence, None);
        }
        let mut out = self.recovery.next_number().to_be_bytes().to_vec();
        match &mut self.state {
            State::Open => {}
            State::Closing { waiting: waiting @ true, told, why } => {
                *waiting = false;
                *told += 1;
                Frame::Close { why: *why }.write(&mut out);
                self.recovery.sent(now, Vec::new());
                return Some(out);
            }
            State::Closing { .. } | State::Ended => return None,
        }
        for lost in self.recovery.lost(now) {
            self.lost(lost);
        }
        if !self.streams.is_empty() && now >= self.ping_at {
            self.ping = true;
            self.ping_at = now + self.config.keep_alive;
        }
        let acks = self.ack_at.is_some();
        if acks {
            self.write_ack(&mut out);
        }
        let mut content = Vec::new();
        if self.recovery.may_send() {
            self.write_frames(&mut out, max, &mut content);
        }
        if content.is_empty() && self.ack_at.is_none_or(|at| at > now) {
            return None;
        }
        if acks {
            self.unacked = 0;
            self.ack_at = None;
        }
        self.recovery.sent(now, content);
        Some(out)
    }

    fn write_ack(&self, out: &mut Vec<u8>) {
        let Some(highest) = self.highest else { return };
        let mut bitmap = [0u8; (ACK_SPAN / 8) as usize];
        for below in 0..ACK_SPAN.min(highest) {
            if !self.came.is_new(highest - 1 - below) {
                bitmap[(below / 8) as usize] |= 1 << (below % 8);
            }
        }
        let len = bitmap.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        Frame::Ack { highest, bitmap: &bitmap[..len] }.write(out);
    }

    fn write_frames(&mut self, out: &mut Vec<u8>, max: usize, content: &mut Vec<Sent>) {
        if std::mem::take(&mut self.ping) {
            Frame::Ping.write(out);
            content.push(Sent::Ping);
        }
        // Each datagram begins with another stream, so that none starves.
        let turn = self.turn;
        let ids: Vec<StreamId> =
            self.streams.range(turn..).chain(self.streams.range(..turn)).map(|(id, _)| *id).collect();
        if let Some(next) = ids.get(1) {
            self.turn = *next;
        }
        for id in ids {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if !stream.write_control(id, self.side, out, max, content) {
                break;
            }
            let announced = stream.opening != Delivery::Waiting && stream.phase != Phase::Unannounced;
            while announced
                && stream.is_live()
                && out.len() + DATA_HEADER < max
                && let Some(chunk) = stream.send.next(max - out.len() - DATA_HEADER)
            {
                let mut bytes = Vec::new();
                stream.send.copy(&chunk.range, &mut bytes);
                Frame::Data { id, last: chunk.last, offset: chunk.range.start, bytes: &bytes }.write(out);
                content.push(Sent::Data(id, chunk.range, chunk.last));
            }
            if out.len() + PACKET_HEADER >= max {
                break;
            }
        }
    }
}

impl Stream {
    /// Writes what is due beside DATA. False if the datagram is full.
    fn write_control(
        &mut self,
        id: StreamId,
        side: Side,
        out: &mut Vec<u8>,
        max: usize,
        content: &mut Vec<Sent>,
    ) -> bool {
        let mut write = |frame: &Frame<'_>, sent: Sent| {
            let start = out.len();
            frame.write(out);
            if out.len() > max {
                out.truncate(start);
                return false;
            }
            content.push(sent);
            true
        };
        if self.opening == Delivery::Waiting {
            let frame = match (side, self.phase, &self.target) {
                (Side::Client, _, Some(target)) => Frame::Open { id, target: target.clone() },
                (Side::Service, Phase::Refused(why), _) => Frame::Refuse { id, why },
                _ => Frame::Accept { id },
            };
            if !write(&frame, Sent::Opening(id)) {
                return false;
            }
            self.opening = Delivery::Sent;
        }
        if let (Phase::Reset(why), Delivery::Waiting) = (self.phase, self.reset) {
            if !write(&Frame::Reset { id, why }, Sent::Reset(id)) {
                return false;
            }
            self.reset = Delivery::Sent;
        }
        let due = self.window == Delivery::Waiting || self.receive.wants_window();
        if due && self.phase == Phase::Open {
            let limit = self.receive.announce();
            if !write(&Frame::Window { id, limit }, Sent::Window(id)) {
                return false;
            }
            self.window = Delivery::Sent;
        }
        true
    }
}
