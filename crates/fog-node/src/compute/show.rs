//! Tells the page what looks different. Many changes at once are one: a thousand small jobs a second must not wait for
//! the page, nor the page for them.

use super::{view, workers};
use crate::core::Core;
use crate::error::{Result, database};
use fog_api::EventBody;
use fog_jobs::{JobId, OrderId};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Changes are told at most this often.
const EVERY: Duration = Duration::from_millis(100);
/// More orders than this in one round are an array's elements, or a flood: the list is read anew.
const MANY: usize = 200;

#[derive(Default)]
struct Set {
    orders: HashSet<OrderId>,
    jobs: HashSet<JobId>,
    people: HashSet<[u8; 32]>,
}

/// What changed since it was last told.
#[derive(Default)]
pub(super) struct Changed {
    set: Mutex<Set>,
    notify: Notify,
}

impl Changed {
    pub(super) fn add(&self, orders: HashSet<OrderId>, jobs: HashSet<JobId>, people: HashSet<[u8; 32]>) {
        let mut set = self.set.lock();
        set.orders.extend(orders);
        set.jobs.extend(jobs);
        set.people.extend(people);
        drop(set);
        self.notify.notify_one();
    }
}

/// Runs until the node ends.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::select! {
            () = core.cancel.cancelled() => return,
            () = core.compute.changed.notify.notified() => {}
        }
        let set = std::mem::take(&mut *core.compute.changed.set.lock());
        if let Err(e) = tell(&core, set).await
            && !core.cancel.is_cancelled()
        {
            tracing::error!("changed jobs cannot be shown: {e}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn tell(core: &Core, set: Set) -> Result<()> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let many = set.orders.len() > MANY;
    let mut views = Vec::new();
    for id in &set.orders {
        // Elements are read by whoever looks at their array.
        if let Some(view) = view::top(&mut conn, core, id, many).await? {
            views.push(EventBody::Job(Box::new(view)));
        }
    }
    for id in &set.jobs {
        if let Some(view) = view::taken_one(&mut conn, core, id).await? {
            views.push(EventBody::Job(Box::new(view)));
        }
    }
    for person in &set.people {
        if let Some(view) = workers::one(&mut conn, core, person).await? {
            views.push(EventBody::Worker(view));
        }
    }
    drop(conn);
    views.into_iter().for_each(|body| core.bus.emit(body));
    Ok(())
}
