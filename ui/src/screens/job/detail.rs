//! How far a job is, and the facts of it.

use super::{Shown, text};
use crate::browser;
use crate::components::{Badge, Button, Card, Dialog, Fact, Glyph, Look, Meter};
use crate::format;
use crate::screens::compute::{class, left, place, progress};
use crate::store::store;
use crate::words::{self, Tone};
use fog_api::{CancelJob, JobProgram, JobState, JobView, RetryJob};
use leptos::prelude::*;

/// State, progress, what can be done, and facts.
#[component]
pub(super) fn Detail(job: Shown) -> impl IntoView {
    let store = store();
    let state = Memo::new(move |_| job.with(|j| j.as_ref().map(|j| j.state)));
    let share = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| progress(j, store.now.get()))));
    let note = Memo::new(move |_| job.with(|j| j.as_ref().map(|j| j.note.clone())).unwrap_or_default());
    view! {
        <Card>
            <div class="headline">
                <Badge
                    text=Signal::derive(move || state.get().map(|s| words::job(s).0.to_owned()).unwrap_or_default())
                    tone=Signal::derive(move || state.get().map_or(Tone::Calm, |s| words::job(s).1))
                    testid="job-detail-state"
                />
                <Actions job />
            </div>
            {move || (!note.with(String::is_empty)).then(|| view! { <p class="lead" data-testid="job-note">{note.get()}</p> })}
            <Show when=move || share.with(Option::is_some)>
                <Meter label="Progress" share=Signal::derive(move || share.get().unwrap_or_default()) />
                <p class="hint" data-testid="job-progress">
                    {move || job.with(|j| j.as_ref().map(|j| how_far(j, share.get())))}
                </p>
            </Show>
            <Facts job />
        </Card>
    }
    .into_any()
}

/// What the bar above means.
fn how_far(job: &JobView, share: Option<f64>) -> String {
    let part = share.map(format::percent).unwrap_or_default();
    if let Some(array) = &job.array {
        let all = u64::from(array.last - array.first) + 1;
        return format!("{} of {} done", format::count(array.completed.into()), format::count(all));
    }
    if job.total_bytes > 0 && job.moved_bytes < job.total_bytes {
        return format!("{} of {} moved", format::bytes(job.moved_bytes), format::bytes(job.total_bytes));
    }
    let left = left(job).map(|l| format!(", {l}")).unwrap_or_default();
    match job.progress {
        Some(_) => format!("{part} done{left}"),
        None => format!("{part} of at most {}{left}", format::duration(f64::from(job.limits.seconds))),
    }
}

/// The buttons, and what they ask first.
#[component]
fn Actions(job: Shown) -> impl IntoView {
    let store = store();
    let open = Memo::new(move |_| job.with(|j| j.as_ref().is_some_and(|j| !j.state.is_final())));
    let again = Memo::new(move |_| {
        job.with(|j| {
            j.as_ref().is_some_and(|j| {
                j.mine && j.parent.is_none() && matches!(j.state, JobState::Failed | JobState::Cancelled)
            })
        })
    });
    let mine = job.with_untracked(|j| j.as_ref().is_some_and(|j| j.mine));
    let id = move || job.with_untracked(|j| j.as_ref().map(|j| j.id.clone()));
    let confirm = RwSignal::new(false);
    let cancel = move |()| {
        confirm.set(false);
        let Some(id) = id() else { return };
        store.act(CancelJob { id }, move |job| store.put_job(job));
    };
    let retry = move |()| {
        let Some(id) = id() else { return };
        // Events that followed may be here already; they are newer than the reply.
        store.act(RetryJob { id: id.clone() }, move |job| {
            let finished = |j: &JobView| j.state.is_final();
            if store.jobs.row(&id).is_none_or(|row| row.value.with_untracked(finished)) {
                store.jobs.put_newer(job);
            }
        });
    };
    let (title, sentence) = if mine {
        ("Cancel this job?", "It stops where it runs. What is held in escrow for it comes back to you.")
    } else {
        (
            "Stop this job?",
            "It ends here, and you earn nothing for it. Whoever sent it may have it run elsewhere.",
        )
    };
    let label = if mine { "Cancel job" } else { "Stop it here" };
    view! {
        <span class="headline-actions">
            <Show when=move || again.get()>
                <Button label="Try again" glyph=Glyph::Refresh on_press=retry testid="job-retry" />
            </Show>
            <Show when=move || open.get()>
                <Button label look=Look::Quiet on_press=move |()| confirm.set(true) testid="job-cancel" />
            </Show>
        </span>
        <Dialog open=confirm title>
            <p>{sentence}</p>
            <footer class="dialog-actions">
                <Button label="Keep it" look=Look::Quiet on_press=move |()| confirm.set(false) />
                <Button label look=Look::Danger on_press=cancel testid="job-cancel-confirm" />
            </footer>
        </Dialog>
    }
    .into_any()
}

#[component]
fn Facts(job: Shown) -> impl IntoView {
    let store = store();
    let (mine, array) =
        job.with_untracked(|j| j.as_ref().map_or((true, false), |j| (j.mine, j.array.is_some())));
    let time = move |f: fn(&JobView) -> Option<f64>| {
        Signal::derive(move || {
            job.with(|j| j.as_ref().and_then(f)).map_or_else(|| "not yet".into(), browser::date_time)
        })
    };
    let took = Signal::derive(move || {
        let now = store.now.get();
        job.with(|j| match j.as_ref().map(|j| (j.started, j.finished)) {
            Some((Some(start), Some(end))) => format::duration(end - start),
            Some((Some(start), None)) => format::duration((now - start).max(1.0).floor()),
            _ => "not yet".into(),
        })
    });
    // Facts that most jobs do not have show only where they are.
    let rare = move |label: &'static str, testid: &'static str, f: fn(&JobView) -> Option<String>| {
        let value = Memo::new(move |_| job.with(|j| j.as_ref().and_then(f)));
        view! {
            <Show when=move || value.with(Option::is_some)>
                <Fact label value=Signal::derive(move || value.get().unwrap_or_default()) testid />
            </Show>
        }
    };
    view! {
        <dl class="facts">
            <Fact
                label=if mine { "Runs on" } else { "Sent by" }
                value=text(job, place)
                testid="job-peer"
            />
            <Fact
                label=if mine { "Cost" } else { "Earned" }
                value=text(job, |j| match j.price {
                    Some(price) => format::fog(price),
                    None if j.state.is_final() => "nothing".into(),
                    None => "not settled yet".into(),
                })
                testid="job-price"
            />
            <Fact label="In escrow" value=text(job, |j| format::fog(j.escrow)) />
            <Fact
                label="Fuel"
                value=text(job, |j| j.fuel.map_or_else(|| "not measured yet".into(), format::count))
                testid="job-fuel"
            />
            <Fact
                label="CPU time"
                value=text(job, |j| j.cpu_seconds.map_or_else(|| "not measured yet".into(), format::duration))
            />
            {rare("Memory used", "job-memory-peak", |j| j.memory_peak.map(format::bytes))}
            <Fact label=if array { "Since the start" } else { "Run time" } value=took />
            {rare("Last checkpoint", "job-checkpoint", |j| {
                j.checkpoint.as_ref().map(|c| format!("number {}, {}", c.number, format::bytes(c.bytes)))
            })}
            {rare("Exit code", "job-exit-code", |j| j.exit_code.map(|c| c.to_string()))}
            {rare("Checked", "job-checked", |j| j.checked.clone())}
            <Fact label="Program and inputs" value=text(job, |j| format::bytes(j.input_bytes)) />
            {rare("Program", "job-program", program)}
            {rare("Arguments", "job-arguments", |j| (!j.args.is_empty()).then(|| j.args.join(" ")))}
            <Fact label="Class" value=text(job, |j| class(j.class).into()) />
            <Fact label="Limits" value=text(job, limits) />
            {rare("Network", "job-network", |j| j.network.then(|| "asked for".into()))}
            {rare("Waits for", "job-waits-for", |j| {
                let n = j.depends_on.len() as u64;
                (n > 0 && !j.state.is_final()).then(|| format::plural(n, "other job", "other jobs"))
            })}
            {rare("Must be done by", "job-deadline", |j| j.deadline.map(browser::date_time))}
            <Fact label="Sent" value=time(|j| Some(j.created)) />
            <Fact label="Started" value=time(|j| j.started) />
            <Fact label="Ended" value=time(|j| j.finished) />
        </dl>
    }
    .into_any()
}

fn program(job: &JobView) -> Option<String> {
    Some(match job.program.as_ref()? {
        JobProgram::Wasm { module, deterministic } => {
            let kind = if *deterministic { "deterministic" } else { "with real clock and chance" };
            format!("WASM {}, {kind}", format::short_id(module))
        }
        JobProgram::Container { image, .. } => format!("container {image}"),
    })
}

fn limits(job: &JobView) -> String {
    let l = &job.limits;
    let cores = f64::from(l.millicores) / 1000.0;
    format!(
        "{}, {cores} {}, {} MiB memory, {} MiB output",
        format::duration(f64::from(l.seconds)),
        if l.millicores == 1000 { "core" } else { "cores" },
        l.memory_mib,
        l.output_mib
    )
}
