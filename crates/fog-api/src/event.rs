//! The stream of events: what changed, already in the form that the page shows.

use crate::view::*;
use serde::{Deserialize, Serialize};

/// One event. Numbers rise by one; a listener that sees a gap (or [`EventBody::Resync`]) reads everything anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Number within this run of the node.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. In JSON `{"event": "message", "data": {...}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum EventBody {
    /// The node became ready, locked or renamed.
    State(AppState),
    /// A contact is new or changed.
    Contact(Contact),
    /// A message is new or its status changed.
    Message(Message),
    /// The mixnet changed (at most once a second).
    Network(NetworkView),
    /// The harvester looked again.
    Harvest(Box<HarvestView>),
    /// A job is new or moved on.
    Job(Box<JobView>),
    /// A job wrote something.
    JobLog(JobLogPart),
    /// A possible worker said what it offers, or did well or badly.
    Worker(WorkerView),
    /// The ledger changed.
    Wallet(WalletView),
    /// A proposal is new, was voted on or ended.
    Proposal(ProposalView),
    /// Something that the user should know, once.
    Notice(Notice),
    /// Events were missed: read everything anew.
    Resync,
}
