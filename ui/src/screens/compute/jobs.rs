//! The lists of jobs: mine, and those that run here for others.

use crate::components::{Ago, Badge, Card, Empty, Glyph, Icon, Loaded, Meter};
use crate::format;
use crate::keyed::Row;
use crate::route::Route;
use crate::store::store;
use crate::words;
use fog_api::{JobState, JobTarget, JobView, ListJobs, SlaClass};
use leptos::prelude::*;

/// Both lists.
#[component]
pub(super) fn Jobs() -> impl IntoView {
    let jobs = store().jobs;
    let of = move |mine: bool| {
        Signal::derive(move || -> Vec<Row<JobView>> {
            let keep = |r: &Row<JobView>| r.value.with_untracked(|j| j.mine) == mine;
            jobs.rows.with(|rows| rows.iter().filter(|r| keep(r)).cloned().collect())
        })
    };
    view! {
        <Loaded load=jobs.load retry=move |()| jobs.read(ListJobs {}) lines=4>
            <Card title="My jobs" testid="jobs-mine">
                <List
                    rows=of(true)
                    title="You have sent no job yet"
                    text="A job is a WebAssembly module that runs on a contact's device, closed off from everything there. You pay for the time it takes."
                />
            </Card>
            <Card title="Here for others" testid="jobs-others">
                <List
                    rows=of(false)
                    title="No job has run here yet"
                    text="When this device is idle and a contact sends a job, it shows here, and what it earned."
                />
            </Card>
        </Loaded>
    }
    .into_any()
}

#[component]
fn List(rows: Signal<Vec<Row<JobView>>>, title: &'static str, text: &'static str) -> impl IntoView {
    let none = Memo::new(move |_| rows.with(Vec::is_empty));
    view! {
        <Show when=move || !none.get() fallback=move || view! { <Empty glyph=Glyph::Compute title text /> }>
            <ul class="rows">
                <For each=move || rows.get() key=|row| row.id.clone() children=|row| view! { <Item job=row.value /> } />
            </ul>
        </Show>
    }
    .into_any()
}

/// How far a job is, where that can be said: what the program says, elements that are done, data on its way, or time used of
/// the time allowed.
pub(in crate::screens) fn progress(job: &JobView, now: f64) -> Option<f64> {
    if job.state.is_final() {
        return None;
    }
    if let Some(array) = &job.array {
        return Some(f64::from(array.completed) / (f64::from(array.last - array.first) + 1.0));
    }
    match job.state {
        JobState::Running | JobState::Checkpointed if job.progress.is_some() => job.progress,
        JobState::Scheduled if job.total_bytes > 0 => Some(job.moved_bytes as f64 / job.total_bytes as f64),
        JobState::Running if job.total_bytes > 0 && job.moved_bytes < job.total_bytes => {
            Some(job.moved_bytes as f64 / job.total_bytes as f64)
        }
        JobState::Running => job.started.map(|s| (now - s).max(0.0) / f64::from(job.limits.seconds.max(1))),
        _ => None,
    }
}

/// How long it probably still takes.
pub(in crate::screens) fn left(job: &JobView) -> Option<String> {
    job.eta_seconds.filter(|s| s.is_finite()).map(|s| format!("about {} left", format::rough(s)))
}

/// Where a job runs or ran, or whose it is.
pub(in crate::screens) fn place(job: &JobView) -> String {
    match (&job.peer_name, &job.peer) {
        (Some(name), _) => name.clone(),
        (None, Some(peer)) => format::short_id(peer),
        (None, None) if job.array.is_some() => "several devices".into(),
        (None, None) if matches!(job.to, Some(JobTarget::ThisDevice)) => "this device".into(),
        (None, None) => "nobody yet".into(),
    }
}

/// What a class means.
pub(in crate::screens) fn class(class: SlaClass) -> &'static str {
    match class {
        SlaClass::S => "S: three copies that must agree",
        SlaClass::A => "A: one copy, another stands by",
        SlaClass::B => "B: one copy",
    }
}

/// A job in a list.
#[component]
pub(in crate::screens) fn Item(job: ArcRwSignal<JobView>) -> impl IntoView {
    let job = RwSignal::from(job);
    let (id, created, mine) = job.with_untracked(|j| (j.id.clone(), j.created, j.mine));
    let name = job.with_untracked(|j| match j.index {
        Some(index) => format!("{} [{index}]", j.name),
        None => j.name.clone(),
    });
    let state = Memo::new(move |_| job.with(|j| j.state));
    let peer = Memo::new(move |_| job.with(|j| (j.peer.is_some() || j.mine).then(|| place(j))));
    let array = Memo::new(move |_| job.with(|j| j.array));
    let left = Memo::new(move |_| job.with(left));
    let note = Memo::new(move |_| job.with(|j| j.note.clone()));
    let price = Memo::new(move |_| job.with(|j| j.price));
    let progress = Memo::new(move |_| job.with(|j| progress(j, store().now.get())));
    view! {
        <li>
            <a class="row link" href=Route::Job(id).href() data-testid="job">
                <span class="row-main">
                    <span class="row-title">{name}</span>
                    <span class="row-sub">
                        <Ago time=created />
                        {move || peer.get().map(|p| format!(" · {} {p}", if mine { "on" } else { "for" }))}
                        {move || {
                            array
                                .get()
                                .map(|a| {
                                    let failed = if a.failed > 0 { format!(", {} failed", a.failed) } else { String::new() };
                                    format!(" · {} of {} done{failed}", a.completed, a.last - a.first + 1)
                                })
                        }}
                        {move || left.get().map(|l| format!(" · {l}"))}
                        {move || price.get().map(|p| format!(" · {}", format::fog(p)))}
                    </span>
                    {move || (!note.with(String::is_empty)).then(|| view! { <span class="row-note">{note.get()}</span> })}
                    {move || {
                        progress
                            .get()
                            .map(|_| {
                                let share = Signal::derive(move || progress.get().unwrap_or_default());
                                view! { <Meter label="Progress" share /> }
                            })
                    }}
                </span>
                <Badge
                    text=Signal::derive(move || words::job(state.get()).0.to_owned())
                    tone=Signal::derive(move || words::job(state.get()).1)
                    testid="job-state"
                />
                <Icon glyph=Glyph::Next />
            </a>
        </li>
    }
    .into_any()
}
