//! Cover traffic: packets leave at random times that say nothing about what the user does.
//!
//! ```text
//!  Schedule ── a slot ──▶ 20 %: a loop, a message to oneself      ──▶ LoopBook: path, sent at
//!  (Poisson)              80 %: waiting mail, or a drop packet         │
//!                                                                      ▼
//!  delivered message ──▶ LoopTag::recognise ── number ──▶ LoopBook: arrived, or overdue ──▶ health of the relays
//! ```
//!
//! This is the client's side of Loopix (Piotrowska et al. 2017). The times of the slots, and which of them are loops,
//! do not depend on whether mail waits. Mail, loops and drop packets look the same to everybody on the way, and as far
//! as their form goes also to the home relay that unwraps them: an X25519 key and bytes that look random.
//!
//! What it does not hide: that the program runs, and with what profile; and what *arrives*. Mail comes in on top of
//! the loops that come back, so who watches the receiver's line sees it when there is much of it.
//!
//! Everything here is without IO; time and chance are parameters.

mod book;
mod profile;
mod schedule;
mod tag;

pub use book::{LoopBook, MAX_LOOPS};
pub use profile::{LOOP_SHARE, Profile, UnknownProfile};
pub use schedule::{Fill, Schedule, Slot};
pub use tag::{LoopTag, MIN_MESSAGE, drop_message};
