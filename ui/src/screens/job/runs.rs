//! Where a job ran: each run on a device, with its checkpoints, its end and its receipt.

use super::Shown;
use crate::components::{Ago, Badge, Card};
use crate::format;
use crate::words;
use fog_api::JobAttempt;
use leptos::prelude::*;

/// All runs, the first one first.
#[component]
pub(super) fn Runs(job: Shown) -> impl IntoView {
    let count = Memo::new(move |_| job.with(|j| j.as_ref().map_or(0, |j| j.attempts.len())));
    let run = move |number: usize| {
        Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.attempts.get(number)).map(RunFacts::of)))
    };
    view! {
        <Show when=move || { count.get() > 0 }>
            <Card title="Where it ran" testid="job-runs">
                <ol class="rows">
                    <For each=move || 0..count.get() key=|number| *number children=move |number| view! { <Run number run=run(number) /> } />
                </ol>
            </Card>
        </Show>
    }
    .into_any()
}

/// What a row shows, so that it is drawn anew only when that changes.
#[derive(Clone, PartialEq)]
struct RunFacts {
    who: String,
    state: (&'static str, words::Tone),
    created: f64,
    about: String,
    note: String,
}

impl RunFacts {
    fn of(run: &JobAttempt) -> Self {
        let who = match (&run.peer_name, &run.peer) {
            (Some(name), _) => name.clone(),
            (None, Some(peer)) => format::short_id(peer),
            (None, None) => "This device".into(),
        };
        let mut about = Vec::new();
        if let Some(number) = run.resumed_from {
            about.push(format!("went on from checkpoint {number}"));
        }
        if let Some(number) = run.checkpoint {
            about.push(format!("checkpoint {number} is here"));
        }
        if let (Some(start), Some(end)) = (run.started, run.finished) {
            about.push(format!("ran for {}", format::duration(end - start)));
        }
        if let Some(receipt) = &run.receipt {
            about.push(format!(
                "{} of CPU, fuel {}",
                format::duration(receipt.cpu_seconds),
                format::count(receipt.fuel)
            ));
        }
        if let Some(paid) = run.paid.filter(|p| p.0 > 0) {
            about.push(format!("paid {}", format::fog(paid)));
        }
        Self {
            who,
            state: words::job(run.state),
            created: run.created,
            about: about.join(" · "),
            note: run.note.clone(),
        }
    }
}

#[component]
fn Run(number: usize, run: Memo<Option<RunFacts>>) -> impl IntoView {
    move || {
        run.get().map(|run| {
            view! {
                <li>
                    <div class="row" data-testid="job-run">
                        <span class="run-number" aria-hidden="true">{number + 1}</span>
                        <span class="row-main">
                            <span class="row-title">{run.who}</span>
                            <span class="row-sub">
                                <Ago time=run.created />
                                {(!run.about.is_empty()).then(|| format!(" · {}", run.about))}
                            </span>
                            {(!run.note.is_empty()).then(|| view! { <span class="row-note">{run.note}</span> })}
                        </span>
                        <Badge text=run.state.0.to_owned() tone=run.state.1 testid="job-run-state" />
                    </div>
                </li>
            }
        })
    }
}
