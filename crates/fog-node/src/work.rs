//! One unit of work: a transaction, and what follows once it is committed.

use crate::core::Core;
use crate::error::{Result, database, internal};
use crate::reach::Route;
use crate::time::now_ms;
use crate::wire;
use betanet::Key;
use fog_api::EventBody;
use fog_p2p::outbox::{self, OutboxError, Outgoing, Priority};
use fog_p2p::{MessageId, PeerKey};
use rand::RngExt;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use std::collections::HashSet;
use std::sync::Arc;

/// What follows a commit.
#[allow(
    clippy::large_enum_variant,
    reason = "the lists are short, live for one commit, and most hold an event"
)]
pub(crate) enum After {
    /// Tell the page.
    Emit(EventBody),
    /// A peer's address is known or changed.
    SetPeer(PeerKey, Route),
    /// Own boxes were opened or closed.
    Boxes,
    /// Nothing of this peer any more.
    Block(PeerKey),
    /// The outbox has something new.
    Wake,
    /// Join this network's mixnet.
    StartNetwork(Key),
    /// Another network is primary.
    Moved,
    /// Other contacts are reached directly now.
    Direct,
    /// Look for jobs to start, stop these.
    Jobs,
    /// Tell the page how this proposal ended, when it ends.
    AnnounceEnd(fog_api::ProposalView),
    /// Stop this job's process.
    Kill(fog_jobs::JobId),
    /// Have this job's process take a checkpoint and end.
    Preempt(fog_jobs::JobId),
    /// A job wrote something.
    Log { order: fog_jobs::OrderId, job: fog_jobs::JobId, offset: u64, data: Vec<u8> },
    /// Nothing more comes of this order's log.
    LogEnds(fog_jobs::OrderId),
    /// These orders, jobs and workers look different now.
    Changed { orders: HashSet<fog_jobs::OrderId>, jobs: HashSet<fog_jobs::JobId>, people: HashSet<Key> },
}

/// A transaction and what follows it.
pub(crate) struct Work {
    pub(crate) core: Arc<Core>,
    tx: Transaction<'static, Sqlite>,
    after: Vec<After>,
    /// The time at which all of it happens.
    pub(crate) now_ms: i64,
}

impl Work {
    /// Begins. The database's write lock is taken at once, so that two works never fail half way.
    pub(crate) async fn begin(core: &Arc<Core>) -> Result<Self> {
        let tx = core.pool.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
        Ok(Self { core: core.clone(), tx, after: Vec::new(), now_ms: now_ms() })
    }

    pub(crate) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    pub(crate) fn now(&self) -> u64 {
        self.now_ms.unsigned_abs()
    }

    pub(crate) fn after(&mut self, what: After) {
        self.after.push(what);
    }

    /// The look for jobs itself does not ask for another.
    pub(crate) fn forget_jobs(&mut self) {
        self.after.retain(|a| !matches!(a, After::Jobs));
    }

    pub(crate) fn emit(&mut self, event: EventBody) {
        self.after.push(After::Emit(event));
    }

    /// Puts a message into the outbox, as part of this work, in the lane of its kind.
    pub(crate) async fn send(
        &mut self,
        peer: PeerKey,
        kind: u16,
        priority: Priority,
        body: Vec<u8>,
    ) -> Result<MessageId> {
        self.send_in(wire::lane(kind), peer, kind, priority, body).await
    }

    /// Puts a message into this lane of the outbox.
    pub(crate) async fn send_in(
        &mut self,
        lane: u8,
        peer: PeerKey,
        kind: u16,
        priority: Priority,
        body: Vec<u8>,
    ) -> Result<MessageId> {
        let id: MessageId = rand::rng().random();
        let message = Outgoing { id, peer, kind, lane, priority, body };
        match outbox::put(&mut self.tx, &message, self.now_ms).await {
            Ok(()) => {}
            Err(OutboxError::Database(e)) => return Err(database(e)),
            Err(e) => return Err(internal(e)),
        }
        self.after.push(After::Wake);
        Ok(id)
    }

    /// Commits, then does what follows. On an error nothing has happened.
    pub(crate) async fn commit(self) -> Result<()> {
        let Self { core, tx, after, .. } = self;
        tx.commit().await.map_err(database)?;
        let (mut wake, mut jobs, mut boxes) = (false, false, false);
        for what in after {
            match what {
                After::Emit(event) => core.bus.emit(event),
                After::SetPeer(peer, route) => {
                    core.endpoint.set_peer_only(peer, Some(route.address), route.only);
                }
                After::Boxes => boxes = true,
                After::Direct => crate::direct::refresh_later(&core),
                After::Block(peer) => core.endpoint.block(peer),
                After::StartNetwork(network) => core.network.start_later(&core, Some(network)),
                After::Moved => core.network.start_later(&core, None),
                After::AnnounceEnd(view) => crate::governance::announce_end(&core, &view),
                After::Kill(job) => core.compute.kill(&job),
                After::Preempt(job) => core.compute.preempt(&job),
                After::Log { order, job, offset, data } => {
                    core.compute.write_log(&core, &order, &job, offset, &data);
                }
                After::LogEnds(order) => core.compute.log_ends(&order),
                After::Changed { orders, jobs, people } => core.compute.changed(orders, jobs, people),
                After::Wake => wake = true,
                After::Jobs => jobs = true,
            }
        }
        if wake {
            core.endpoint.wake();
        }
        if boxes {
            crate::network::look_after_boxes_later(&core);
        }
        if jobs {
            core.compute.look();
        }
        Ok(())
    }
}
