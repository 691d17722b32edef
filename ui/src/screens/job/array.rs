//! The elements of an array: how many are in which state, and each of them.

use super::Shown;
use crate::components::{Button, Card, Loaded};
use crate::format;
use crate::keyed::Row;
use crate::screens::compute::Item;
use crate::store::store;
use crate::words::{self, Tone};
use fog_api::{ArraySummary, JobState, JobView, ListJobElements};
use leptos::prelude::*;

/// Elements read at a time.
const PAGE: u32 = 50;

/// The summary and the list.
#[component]
pub(super) fn Elements(job: Shown) -> impl IntoView {
    let store = store();
    let id = job.with_untracked(|j| j.as_ref().map(|j| j.id.clone())).unwrap_or_default();
    let summary = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.array)).unwrap_or_default());
    // What is left of another array is not this one's.
    let of_this = {
        let id = id.clone();
        move |j: &JobView| j.parent.as_deref() == Some(id.as_str())
    };
    let strange =
        store.elements.rows.with_untracked(|rows| !rows.iter().all(|r| r.value.with_untracked(&of_this)));
    if strange {
        store.elements.replace(Vec::new());
    }
    let more = RwSignal::new(false);
    let read = {
        let id = id.clone();
        move |from: u32| {
            let request = ListJobElements { id: id.clone(), from, limit: PAGE };
            store.elements.read_with(request, move |list, items| {
                more.try_set(items.len() == PAGE as usize);
                list.merge(items);
            });
        }
    };
    read(0);
    let rows = Signal::derive(move || -> Vec<Row<JobView>> {
        store
            .elements
            .rows
            .with(|rows| rows.iter().filter(|r| r.value.with_untracked(&of_this)).cloned().collect())
    });
    let next = move || {
        let last = rows.with_untracked(|rows| rows.last().and_then(|r| r.value.with_untracked(|j| j.index)));
        last.map_or(0, |index| index.saturating_add(1))
    };
    let (again, further) = (read.clone(), read);
    view! {
        <Card title="Elements" testid="job-elements">
            <Summary summary />
            <Loaded load=store.elements.load retry=move |()| again(0) lines=4>
                <ul class="rows">
                    <For each=move || rows.get() key=|row| row.id.clone() children=|row| view! { <Item job=row.value /> } />
                </ul>
            </Loaded>
            <Show when=move || more.get()>
                {
                    let further = further.clone();
                    view! { <Button label="Show more" on_press=move |()| further(next()) testid="job-elements-more" /> }
                }
            </Show>
        </Card>
    }
    .into_any()
}

/// How many there are in each state, in the order of a job's life.
fn counts(a: &ArraySummary) -> [(JobState, u32); 6] {
    [
        (JobState::Completed, a.completed),
        (JobState::Failed, a.failed),
        (JobState::Cancelled, a.cancelled),
        (JobState::Running, a.running),
        (JobState::Scheduled, a.scheduled),
        (JobState::Pending, a.pending),
    ]
}

#[component]
fn Summary(summary: Memo<ArraySummary>) -> impl IntoView {
    let all = move || counts(&summary.get()).iter().map(|(_, n)| u64::from(*n)).sum::<u64>().max(1) as f64;
    let bar = move || {
        let all = all();
        let part = |(state, n): (JobState, u32)| {
            let tone = if state == JobState::Pending { Tone::Calm } else { words::job(state).1 };
            let width = format!("{:.3}%", f64::from(n) / all * 100.0);
            (n > 0).then(|| view! { <span class=format!("part {}", tone.class()) style:width=width></span> })
        };
        counts(&summary.get()).map(part).collect_view()
    };
    let legend = move || {
        let part = |(state, n): (JobState, u32)| {
            let (word, tone) = words::job(state);
            (n > 0).then(|| {
                view! {
                    <li>
                        <span class=format!("dot {}", tone.class()) aria-hidden="true"></span>
                        {format!("{} {}", format::count(n.into()), word.to_lowercase())}
                    </li>
                }
            })
        };
        counts(&summary.get()).map(part).collect_view()
    };
    view! {
        <div class="parts" aria-hidden="true">{bar}</div>
        <ul class="legend" data-testid="job-array-summary">{legend}</ul>
    }
    .into_any()
}
