//! The bytes of one direction of a stream, at its sender and at its receiver.

use super::ranges::RangeSet;
use super::{INITIAL_WINDOW, MAX_GAPS, SEND_BUFFER};
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes that were written and not yet acknowledged.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    /// Everything before is acknowledged and gone.
    base: u64,
    data: VecDeque<u8>,
    /// Everything from here on was never sent.
    sent: u64,
    acked: RangeSet,
    lost: RangeSet,
    /// Up to where the other side lets us send.
    pub(super) limit: u64,
    fin: Fin,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Fin {
    /// More may be written.
    #[default]
    None,
    Waiting,
    Sent,
    Acked,
}

/// A part to send: where it is, and whether it is the last.
pub(super) struct Chunk {
    pub(super) range: Range<u64>,
    pub(super) last: bool,
}

impl SendBuffer {
    pub(super) fn new() -> Self {
        Self { limit: INITIAL_WINDOW, ..Self::default() }
    }

    fn end(&self) -> u64 {
        self.base + self.data.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    pub(super) fn room(&self) -> usize {
        if self.is_finished() { 0 } else { SEND_BUFFER - self.data.len() }
    }

    /// Takes as many bytes as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room());
        self.data.extend(&bytes[..n]);
        n
    }

    /// Nothing more will be written.
    pub(super) fn finish(&mut self) {
        if self.fin == Fin::None {
            self.fin = Fin::Waiting;
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.fin != Fin::None
    }

    /// Everything arrived, and the end, too.
    pub(super) fn is_done(&self) -> bool {
        self.fin == Fin::Acked && self.data.is_empty()
    }

    /// Takes what to send next, at most `max` bytes: what was lost first.
    pub(super) fn next(&mut self, max: usize) -> Option<Chunk> {
        let max = max as u64;
        let range = if let Some(lost) = self.lost.first() {
            let range = lost.start..lost.end.min(lost.start + max);
            self.lost.remove(range.clone());
            range
        } else {
            self.sent..self.end().min(self.limit).min(self.sent + max).max(self.sent)
        };
        let ends = self.is_finished() && range.end == self.end();
        let last = ends && (self.fin == Fin::Waiting || !range.is_empty());
        if range.is_empty() && !last {
            return None;
        }
        if last && self.fin == Fin::Waiting {
            self.fin = Fin::Sent;
        }
        self.sent = self.sent.max(range.end);
        Some(Chunk { range, last })
    }

    /// Appends the bytes of a chunk.
    pub(super) fn copy(&self, range: &Range<u64>, out: &mut Vec<u8>) {
        let at = |offset: u64| (offset.saturating_sub(self.base) as usize).min(self.data.len());
        out.extend(self.data.range(at(range.start)..at(range.end)));
    }

    pub(super) fn acked(&mut self, range: Range<u64>, last: bool) {
        if last {
            self.fin = Fin::Acked;
        }
        let range = range.start.max(self.base)..range.end.max(self.base);
        self.lost.remove(range.clone());
        self.acked.insert(range);
        if let Some(first) = self.acked.first()
            && first.start == self.base
        {
            self.data.drain(..((first.end - self.base) as usize).min(self.data.len()));
            self.base = first.end;
            self.acked.remove(first);
        }
    }

    pub(super) fn lost(&mut self, range: Range<u64>, last: bool) {
        if last && self.fin == Fin::Sent {
            self.fin = Fin::Waiting;
        }
        let range = range.start.max(self.base)..range.end.max(self.base);
        for part in self.acked.missing(range) {
            self.lost.insert(part);
        }
    }

    /// Drops everything: the stream was broken off.
    pub(super) fn clear(&mut self) {
        *self = Self { fin: Fin::Acked, ..Self::default() };
    }
}

/// What is wrong with a DATA frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation;

/// Bytes that came and were not yet read.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    /// Everything before was read and is gone.
    read: u64,
    /// From `read` on, with zeros where something is missing.
    data: VecDeque<u8>,
    got: RangeSet,
    /// Where the stream ends.
    size: Option<u64>,
    /// Up to where the other side may send: we told it, or are telling it.
    limit: u64,
    window: u64,
}

impl ReceiveBuffer {
    /// `window`: bytes that may wait to be read, at least [`INITIAL_WINDOW`].
    pub(super) fn new(window: u64) -> Self {
        Self {
            read: 0,
            data: VecDeque::new(),
            got: RangeSet::default(),
            size: None,
            limit: INITIAL_WINDOW,
            window: window.max(INITIAL_WINDOW),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Takes a part. False if it must be sent again, because there are too many gaps.
    pub(super) fn receive(&mut self, offset: u64, bytes: &[u8], last: bool) -> Result<bool, Violation> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Violation)?;
        let highest = self.read + self.data.len() as u64;
        let beyond = self.size.is_some_and(|size| end > size || (last && end != size));
        if end > self.limit || beyond || (last && end < highest) {
            return Err(Violation);
        }
        let range = offset.max(self.read)..end.max(self.read);
        if !range.is_empty() {
            if self.got.len() >= MAX_GAPS && !self.got.touches(&range) {
                return Ok(false);
            }
            let (from, to) = ((range.start - self.read) as usize, (range.end - self.read) as usize);
            if self.data.len() < to {
                self.data.resize(to, 0);
            }
            let bytes = &bytes[bytes.len() - (to - from)..];
            self.data.range_mut(from..to).zip(bytes).for_each(|(place, b)| *place = *b);
            self.got.insert(range);
        }
        if last {
            self.size = Some(end);
        }
        Ok(true)
    }

    /// How many bytes can be read.
    pub(super) fn readable(&self) -> usize {
        match self.got.first() {
            Some(first) if first.start == self.read => (first.end - self.read) as usize,
            _ => 0,
        }
    }

    /// Moves what is complete to `out`.
    pub(super) fn read(&mut self, out: &mut Vec<u8>) -> usize {
        let n = self.readable();
        out.extend(self.data.drain(..n));
        self.got.remove(self.read..self.read + n as u64);
        self.read += n as u64;
        n
    }

    /// True when everything up to the stream's end was read.
    pub(super) fn is_done(&self) -> bool {
        self.size == Some(self.read)
    }

    /// Up to where the other side should be let to send. A stream that is not read stays at the initial window; each
    /// byte read lets the window grow by one, too.
    fn wanted(&self) -> u64 {
        self.read + self.window.min(INITIAL_WINDOW + self.read)
    }

    /// True if it is worth telling a new limit.
    pub(super) fn wants_window(&self) -> bool {
        self.size.is_none() && self.wanted().saturating_sub(self.limit) >= INITIAL_WINDOW / 2
    }

    /// True if a limit may matter at all.
    pub(super) fn is_open(&self) -> bool {
        self.size.is_none()
    }

    /// The limit to tell, which is from now on kept to.
    pub(super) fn announce(&mut self) -> u64 {
        self.limit = self.limit.max(self.wanted());
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Parts are taken, lost, sent again, repeated and swapped; what comes out is what went in.
        #[test]
        fn all_bytes_come_out_in_order(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
            steps in proptest::collection::vec((0u8..5, 1usize..400, any::<usize>()), 0..200)
        ) {
            let (mut send, mut receive) = (SendBuffer::new(), ReceiveBuffer::new(INITIAL_WINDOW));
            prop_assert_eq!(send.write(&bytes), bytes.len());
            send.finish();
            let (mut out, mut flying): (Vec<u8>, Vec<(Chunk, Vec<u8>)>) = (Vec::new(), Vec::new());
            // Then an orderly end.
            let orderly = [(0, 300, 0), (1, 1, 0)].into_iter().cycle().take(20_000);
            let steps = steps.into_iter().chain(orderly);
            for (what, max, index) in steps {
                match what {
                    0 => if let Some(chunk) = send.next(max) {
                        let mut content = Vec::new();
                        send.copy(&chunk.range, &mut content);
                        prop_assert_eq!(content.len() as u64, chunk.range.end - chunk.range.start);
                        flying.push((chunk, content));
                    },
                    1 | 2 if !flying.is_empty() => {
                        let (chunk, content) = flying.swap_remove(index % flying.len());
                        for _ in 0..what {
                            prop_assert_eq!(receive.receive(chunk.range.start, &content, chunk.last), Ok(true));
                        }
                        receive.read(&mut out);
                        send.acked(chunk.range, chunk.last);
                    }
                    3 if !flying.is_empty() => {
                        let (chunk, _) = flying.swap_remove(index % flying.len());
                        send.lost(chunk.range, chunk.last);
                    }
                    // Arrives, and the acknowledgement is lost.
                    4 if !flying.is_empty() => {
                        let (chunk, content) = flying.swap_remove(index % flying.len());
                        prop_assert_eq!(receive.receive(chunk.range.start, &content, chunk.last), Ok(true));
                        send.lost(chunk.range, chunk.last);
                    }
                    _ => {}
                }
                if send.is_done() { break; }
            }
            prop_assert!(send.is_done() && receive.is_done());
            prop_assert_eq!(out, bytes);
            prop_assert_eq!((send.lost.len(), send.acked.len(), receive.got.len()), (0, 0, 0));
        }

        #[test]
        fn any_frames_leave_the_memory_bounded(
            frames in proptest::collection::vec((0u64..200_000, 0usize..1000, any::<bool>()), 0..50)
        ) {
            let mut receive = ReceiveBuffer::new(INITIAL_WINDOW);
            for (offset, len, last) in frames {
                let result = receive.receive(offset, &vec![1; len], last);
                prop_assert!(offset + len as u64 <= INITIAL_WINDOW || result == Err(Violation));
                prop_assert!(receive.len() as u64 <= INITIAL_WINDOW);
            }
        }
    }

    #[test]
    fn what_breaks_the_limit_or_the_end_is_a_violation() {
        let mut receive = ReceiveBuffer::new(INITIAL_WINDOW);
        assert_eq!(receive.receive(u64::MAX, b"ab", false), Err(Violation));
        assert_eq!(receive.receive(INITIAL_WINDOW, b"a", false), Err(Violation));
        assert_eq!(receive.receive(10, b"abc", false), Ok(true));
        assert_eq!(receive.receive(5, b"abc", true), Err(Violation), "an end before what came");
        assert_eq!(receive.receive(13, b"", true), Ok(true));
        assert_eq!(receive.receive(13, b"a", false), Err(Violation), "beyond the end");
        assert_eq!(receive.receive(10, b"ab", true), Err(Violation), "another end");
        assert_eq!(receive.receive(13, b"", true), Ok(true));
    }

    #[test]
    fn many_gaps_are_not_kept() {
        let mut receive = ReceiveBuffer::new(INITIAL_WINDOW);
        for n in 0..MAX_GAPS as u64 {
            assert_eq!(receive.receive(2 * n + 1, b"x", false), Ok(true));
        }
        assert_eq!(receive.receive(2 * MAX_GAPS as u64 + 1, b"x", false), Ok(false));
        assert_eq!(receive.receive(0, b"x", false), Ok(true), "what closes a gap is taken");
        assert_eq!(receive.readable(), 2);
    }

    /// The window opens as the bytes are read, and not before.
    #[test]
    fn only_reading_opens_the_window() {
        let mut receive = ReceiveBuffer::new(4 * INITIAL_WINDOW);
        let all = vec![0; INITIAL_WINDOW as usize];
        assert_eq!(receive.receive(0, &all, false), Ok(true));
        assert!(!receive.wants_window());
        receive.read(&mut Vec::new());
        assert!(receive.wants_window());
        assert_eq!(receive.announce(), 3 * INITIAL_WINDOW);
        assert!(!receive.wants_window());
    }
}
