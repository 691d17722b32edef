//! One job: how far it is, what it cost, where it ran, and what came out.

use crate::browser;
use crate::components::{Badge, Button, Card, Dialog, Empty, Fact, Glyph, Loaded, Look, Meter, Page};
use crate::core_link::download;
use crate::format;
use crate::route::Route;
use crate::screens::compute::progress;
use crate::store::store;
use crate::words::{self, Tone};
use fog_api::{CancelJob, JobView, ListJobs};
use leptos::prelude::*;
use leptos::task::spawn_local;

/// A job by its id.
#[component]
pub(crate) fn Job(id: String) -> impl IntoView {
    let jobs = store().jobs;
    jobs.ensure(ListJobs {});
    let job = {
        let id = id.clone();
        Signal::derive(move || jobs.find(&id).map(|j| j.get()))
    };
    let known = Memo::new(move |_| job.with(Option::is_some));
    let name = Signal::derive(move || {
        job.with(|j| j.as_ref().map(|j| j.name.clone())).unwrap_or_else(|| "Job".into())
    });
    view! {
        <Page title=name back=Route::Compute testid="job-detail">
            <Loaded load=jobs.load retry=move |()| jobs.read(ListJobs {}) lines=6>
                <Show
                    when=move || known.get()
                    fallback=|| view! { <Empty glyph=Glyph::Compute title="No such job" text="This node does not know a job with this id." /> }
                >
                    <Detail job />
                    <Output job />
                </Show>
            </Loaded>
        </Page>
    }
    .into_any()
}

#[component]
fn Detail(job: Signal<Option<JobView>>) -> impl IntoView {
    let store = store();
    // The job is there for as long as this shows; the fallback is for the moment in which it goes.
    let text = move |f: fn(&JobView) -> String| {
        Signal::derive(move || job.with(|j| j.as_ref().map(f)).unwrap_or_default())
    };
    let state = Memo::new(move |_| job.with(|j| j.as_ref().map(|j| j.state)));
    let share = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| progress(j, store.now.get()))));
    let running = Memo::new(move |_| job.with(|j| j.as_ref().is_some_and(|j| j.mine && !j.state.is_final())));
    let mine = job.with_untracked(|j| j.as_ref().is_some_and(|j| j.mine));
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
    let confirm = RwSignal::new(false);
    let cancel = move |()| {
        confirm.set(false);
        let Some(id) = job.with_untracked(|j| j.as_ref().map(|j| j.id.clone())) else { return };
        store.act(CancelJob { id }, move |job| store.jobs.put(job));
    };
    view! {
        <Card>
            <div class="headline">
                <Badge
                    text=Signal::derive(move || state.get().map(|s| words::job(s).0.to_owned()).unwrap_or_default())
                    tone=Signal::derive(move || state.get().map_or(Tone::Calm, |s| words::job(s).1))
                    testid="job-detail-state"
                />
                <Show when=move || running.get()>
                    <Button
                        label="Cancel job"
                        look=Look::Quiet
                        on_press=move |()| confirm.set(true)
                        testid="job-cancel"
                    />
                </Show>
            </div>
            {move || {
                let note = text(|j| j.note.clone()).get();
                (!note.is_empty()).then(|| view! { <p class="lead" data-testid="job-note">{note}</p> })
            }}
            <Show when=move || share.with(Option::is_some)>
                <Meter label="Progress" share=Signal::derive(move || share.get().unwrap_or_default()) />
                <p class="hint">
                    {text(|j| {
                        if j.total_bytes > 0 && j.moved_bytes < j.total_bytes {
                            format!("{} of {} moved", format::bytes(j.moved_bytes), format::bytes(j.total_bytes))
                        } else {
                            format!("of at most {}", format::duration(f64::from(j.limits.seconds)))
                        }
                    })}
                </p>
            </Show>
            <dl class="facts">
                <Fact
                    label=if mine { "Ran on" } else { "Sent by" }
                    value=text(|j| j.peer_name.clone().or_else(|| j.peer.as_deref().map(format::short_id)).unwrap_or_else(|| "nobody yet".into()))
                    testid="job-peer"
                />
                <Fact
                    label=if mine { "Cost" } else { "Earned" }
                    value=text(|j| match j.price {
                        Some(price) => format::fog(price),
                        None if j.state.is_final() => "nothing".into(),
                        None => "not settled yet".into(),
                    })
                    testid="job-price"
                />
                <Fact label="In escrow" value=text(|j| format::fog(j.escrow)) />
                <Fact
                    label="Fuel"
                    value=text(|j| j.fuel.map_or_else(|| "not measured yet".into(), format::count))
                    testid="job-fuel"
                />
                <Fact
                    label="CPU time"
                    value=text(|j| j.cpu_seconds.map_or_else(|| "not measured yet".into(), format::duration))
                />
                <Fact label="Run time" value=took />
                <Fact label="Module and input" value=text(|j| format::bytes(j.input_bytes)) />
                <Fact
                    label="Limits"
                    value=text(|j| format!("{}, {} MiB memory, {} MiB output", format::duration(f64::from(j.limits.seconds)), j.limits.memory_mib, j.limits.output_mib))
                />
                <Fact label="Sent" value=time(|j| Some(j.created)) />
                <Fact label="Started" value=time(|j| j.started) />
                <Fact label="Ended" value=time(|j| j.finished) />
            </dl>
        </Card>
        <Dialog open=confirm title="Cancel this job?">
            <p>"It stops where it runs. What is held in escrow for it comes back to you."</p>
            <footer class="dialog-actions">
                <Button label="Keep it" look=Look::Quiet on_press=move |()| confirm.set(false) />
                <Button label="Cancel job" look=Look::Danger on_press=cancel testid="job-cancel-confirm" />
            </footer>
        </Dialog>
    }
    .into_any()
}

#[component]
fn Output(job: Signal<Option<JobView>>) -> impl IntoView {
    let output = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.output.clone())));
    let size = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.output_bytes)).unwrap_or_default());
    let preview = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.output_preview.clone())));
    let busy = RwSignal::new(false);
    let save = move |()| {
        let Some(hash) = output.get_untracked() else { return };
        let name = job.with_untracked(|j| j.as_ref().map(|j| file_name(&j.name))).unwrap_or_default();
        busy.set(true);
        spawn_local(async move {
            match download(&hash, &name).await {
                Ok(Some(path)) => store().toast(Tone::Good, format!("Saved to {path}.")),
                Ok(None) => {}
                Err(error) => store().complain(&error),
            }
            busy.set(false);
        });
    };
    view! {
        <Show when=move || output.with(Option::is_some)>
            <Card
                title="Output"
                aside=move || {
                    view! {
                        <span class="hint">{move || format::bytes(size.get())}</span>
                        <Button label="Download" glyph=Glyph::Download busy on_press=save testid="job-download" />
                    }
                }
            >
                {move || match preview.get() {
                    Some(text) if !text.is_empty() => view! {
                        <pre class="output" tabindex="0" data-testid="job-output">{text}</pre>
                        {(size.get() > 4096).then(|| view! { <p class="hint">"This is the beginning. Download it to see the rest."</p> })}
                    }
                    .into_any(),
                    _ if size.get() == 0 => view! { <p class="hint">"The job wrote nothing."</p> }.into_any(),
                    _ => view! { <p class="hint">"The output is not text. Download it to use it."</p> }.into_any(),
                }}
            </Card>
        </Show>
    }
    .into_any()
}

/// A file name from a job's label.
fn file_name(label: &str) -> String {
    let safe: String = label
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .collect();
    let safe = safe.trim_matches(['-', '.']);
    format!("{}-output", if safe.is_empty() { "job" } else { safe })
}
