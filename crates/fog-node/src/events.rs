//! The one stream of events.

use fog_api::{Event, EventBody};
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// A listener that is further behind than this is told to read everything anew.
const BACKLOG: usize = 1024;

/// Where events come from and listeners subscribe.
pub(crate) struct Bus {
    sender: broadcast::Sender<Event>,
    next: Mutex<u64>,
}

impl Bus {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0, next: Mutex::new(1) }
    }

    pub(crate) fn emit(&self, body: EventBody) {
        // Held while sending, so that the numbers arrive in order.
        let mut next = self.next.lock();
        let event = Event { seq: *next, body };
        *next += 1;
        _ = self.sender.send(event); // nobody listens: fine
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}
