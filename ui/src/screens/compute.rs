//! Compute: when this device works for others, and the jobs that were sent and taken.

mod drop;
mod harvest;
mod jobs;

use crate::components::{Glyph, Icon, Page};
use crate::route::Route;
use crate::store::store;
use drop::DropJob;
use fog_api::{GetHarvest, ListJobs};
use harvest::Harvest;
use jobs::Jobs;
pub(super) use jobs::{Item, class, left, place, progress};
use leptos::prelude::*;

/// The harvester above, the jobs below.
#[component]
pub(crate) fn Compute() -> impl IntoView {
    let store = store();
    store.harvest.ensure(GetHarvest {});
    store.jobs.ensure(ListJobs {});
    view! {
        <Page
            title="Compute"
            subtitle="Lend this device while you do not need it, and run your own jobs elsewhere."
            actions=|| {
                view! {
                    <a class="button primary" href=Route::NewJob.href() data-testid="new-job" data-new="">
                        <Icon glyph=Glyph::Plus />
                        <span>"New job"</span>
                    </a>
                }
            }
            testid="compute"
        >
            <Harvest />
            <DropJob />
            <Jobs />
        </Page>
    }
    .into_any()
}
