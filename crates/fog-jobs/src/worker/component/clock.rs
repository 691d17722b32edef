//! `wasi:clocks/monotonic-clock` over a program's clock.
//!
//! wasmtime-wasi reads our clock but waits by the system's. A deterministic program would then wait for a time that its own
//! clock, which counts looks, does not come to.

use super::{Data, Shared, lock};
use crate::worker::wasi::Clock;
use std::time::Instant;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// What the calls work on.
pub(super) struct View<'a> {
    table: &'a mut ResourceTable,
    clock: &'a Shared<Clock>,
}

struct HasView;

impl HasData for HasView {
    type Data<'a> = View<'a>;
}

pub(super) fn add_to_linker(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    fn view(data: &mut Data) -> View<'_> {
        View { table: &mut data.table, clock: &data.clock }
    }
    monotonic_clock::add_to_linker::<Data, HasView>(linker, view)
}

impl View<'_> {
    fn wait(&mut self, until: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = self.table.push(Wait { clock: Shared::clone(self.clock), until, yielded: false })?;
        subscribe(self.table, wait)
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(lock(self.clock).monotonic())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wait(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = lock(self.clock).monotonic();
        self.wait(now.saturating_add(duration))
    }
}

/// Waits for a moment of the program's clock.
struct Wait {
    clock: Shared<Clock>,
    /// ns.
    until: u64,
    yielded: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Wait {
    async fn ready(&mut self) {
        let due = |clock: &mut Clock| clock.is_deterministic() || clock.is_past(self.until);
        if due(&mut lock(&self.clock)) && !std::mem::replace(&mut self.yielded, true) {
            // What else is waited for comes first: other streams, and the system's own look at them.
            tokio::task::yield_now().await;
        }
        let moment: Option<Instant> = lock(&self.clock).moment(self.until);
        if let Some(moment) = moment {
            tokio::time::sleep_until(moment.into()).await;
        }
    }
}
