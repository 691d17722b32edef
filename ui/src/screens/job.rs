//! One job: how far it is, what it cost, where it ran, what it writes, and what came out.

mod array;
mod detail;
mod files;
mod log;
mod output;
mod preview;
mod runs;

use crate::components::{Empty, Glyph, Page};
use crate::core_link::call;
use crate::route::Route;
use crate::store::store;
use array::Elements;
use detail::Detail;
use files::Files;
use fog_api::{ErrorKind, GetJob, JobView, ListJobs};
use leptos::prelude::*;
use leptos::task::spawn_local;
use log::Log;
use output::Output;
use runs::Runs;

/// The job that a screen shows. It is there for as long as its parts show.
type Shown = Signal<Option<JobView>>;

/// A text made of the job.
fn text(job: Shown, f: fn(&JobView) -> String) -> Signal<String> {
    Signal::derive(move || job.with(|j| j.as_ref().map(f)).unwrap_or_default())
}

/// A job by its id.
#[component]
pub(crate) fn Job(id: String) -> impl IntoView {
    let store = store();
    store.jobs.ensure(ListJobs {});
    let job: Shown = {
        let id = id.clone();
        Signal::derive(move || store.jobs.find(&id).or_else(|| store.elements.find(&id)).map(|j| j.get()))
    };
    let known = Memo::new(move |_| job.with(Option::is_some));
    // Elements of arrays are in no list, and the list may be on its way.
    let trouble = RwSignal::new(None::<(bool, String)>);
    let ask = move |id: String| {
        trouble.set(None);
        spawn_local(async move {
            match call(GetJob { id }).await {
                Ok(job) if job.parent.is_some() => store.elements.put(job),
                Ok(job) => store.jobs.put(job),
                Err(error) => trouble.set(Some((error.kind == ErrorKind::NotFound, error.message))),
            }
        });
    };
    ask(id.clone());
    // Events of a job that no list has do not come here, so after a break it is asked for again.
    {
        let id = id.clone();
        Effect::new(move |before: Option<u32>| {
            let now = store.missed.get();
            if before.is_some_and(|before| before != now) {
                ask(id.clone());
            }
            now
        });
    }
    let name = Signal::derive(move || {
        job.with(|j| {
            j.as_ref().map(|j| match j.index {
                Some(index) => format!("{} [{index}]", j.name),
                None => j.name.clone(),
            })
        })
        .unwrap_or_else(|| "Job".into())
    });
    let back =
        job.with_untracked(|j| j.as_ref().and_then(|j| j.parent.clone())).map_or(Route::Compute, Route::Job);
    let array = Memo::new(move |_| job.with(|j| j.as_ref().is_some_and(|j| j.array.is_some())));
    let mine = Memo::new(move |_| job.with(|j| j.as_ref().is_some_and(|j| j.mine)));
    view! {
        <Page title=name back testid="job-detail">
            {move || {
                if known.get() {
                    return view! {
                        <Detail job />
                        <Show when=move || array.get()>
                            <Elements job />
                        </Show>
                        <Show when=move || mine.get() && !array.get()>
                            <Runs job />
                        </Show>
                        <Show when=move || !array.get()>
                            <Log job />
                            <Output job />
                            <Files job />
                        </Show>
                    }
                    .into_any();
                }
                let id = id.clone();
                match trouble.get() {
                    None => view! {
                        <div class="skeleton" role="status" aria-label="Loading">
                            {std::iter::repeat_with(|| view! { <span></span> }).take(6).collect_view()}
                        </div>
                    }
                    .into_any(),
                    Some((true, _)) => view! {
                        <Empty glyph=Glyph::Compute title="No such job" text="This node does not know a job with this id." />
                    }
                    .into_any(),
                    Some((false, reason)) => view! {
                        <Empty glyph=Glyph::Alert title="The job could not be read" text=reason>
                            <crate::components::Button
                                label="Try again"
                                glyph=Glyph::Refresh
                                on_press=move |()| ask(id.clone())
                            />
                        </Empty>
                    }
                    .into_any(),
                }
            }}
        </Page>
    }
    .into_any()
}
