//! The form for a new job.

use crate::components::{Button, Card, Glyph, Icon, Look, Notice, Page, TextArea, TextField};
use crate::core_link::{call, upload};
use crate::format;
use crate::route::Route;
use crate::store::store;
use crate::words::Tone;
use fog_api::{
    Amount, ApiError, ContactState, ErrorKind, JobLimits, JobSource, JobTarget, ListContacts, SubmitJob,
};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;

/// A chosen file; the browser's handle is no Rust value that could be sent about, so it stays on this thread.
type Chosen = RwSignal<Option<web_sys::File>, LocalStorage>;

/// What the numbers of the form say, or what is wrong with them.
fn limits(seconds: &str, memory: &str, output: &str) -> Result<JobLimits, String> {
    let number = |text: &str, what: &str| match text.trim().parse::<u32>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("{what} must be a whole number above 0.")),
    };
    Ok(JobLimits {
        seconds: number(seconds, "The run time")?,
        memory_mib: number(memory, "The memory")?,
        output_mib: number(output, "The output")?,
    })
}

fn price(text: &str) -> Result<Option<Amount>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|e| format!("The price limit is {e}.")),
    }
}

/// Module, input, limits and price.
#[component]
pub(crate) fn NewJob() -> impl IntoView {
    let store = store();
    store.contacts.ensure(ListContacts {});
    let defaults = JobLimits::default();
    let name = RwSignal::new(String::new());
    let module: Chosen = RwSignal::new_local(None);
    let input: Chosen = RwSignal::new_local(None);
    let args = RwSignal::new(String::new());
    let to = RwSignal::new(String::new());
    let seconds = RwSignal::new(defaults.seconds.to_string());
    let memory = RwSignal::new(defaults.memory_mib.to_string());
    let output = RwSignal::new(defaults.output_mib.to_string());
    let most = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let refusal = RwSignal::new(None::<String>);

    // A name is proposed from the module's, and never written over.
    Effect::new(move |_| {
        if let Some(file) = module.get()
            && name.with_untracked(String::is_empty)
        {
            let file = file.name();
            name.set(file.strip_suffix(".wasm").unwrap_or(&file).to_owned());
        }
    });

    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if busy.get_untracked() {
            return;
        }
        refusal.set(None);
        busy.set(true);
        spawn_local(async move {
            let sent = async {
                let wrong = |text: String| ApiError::new(ErrorKind::BadInput, text);
                let limits =
                    limits(&seconds.get_untracked(), &memory.get_untracked(), &output.get_untracked())
                        .map_err(wrong)?;
                let price_limit = price(&most.get_untracked()).map_err(wrong)?;
                let module = module.get_untracked().ok_or_else(|| wrong("Choose a module first.".into()))?;
                let module = upload(&module).await?;
                let input = match input.get_untracked() {
                    Some(file) => Some(upload(&file).await?),
                    None => None,
                };
                let args =
                    args.get_untracked().lines().map(str::to_owned).filter(|a| !a.is_empty()).collect();
                let to = Some(to.get_untracked())
                    .filter(|t| !t.is_empty())
                    .map_or(JobTarget::Anyone, |peer| JobTarget::Contacts { peers: vec![peer] });
                let name = name.get_untracked().trim().to_owned();
                let stdin = input.map(|hash| JobSource::Upload { hash });
                call(SubmitJob { stdin, args, to, limits, price_limit, ..SubmitJob::wasm(name, module) })
                    .await
            };
            match sent.await {
                Ok(job) => {
                    let id = job.id.clone();
                    store.jobs.put(job);
                    store.go(&Route::Job(id));
                }
                Err(error) => refusal.set(Some(error.message)),
            }
            busy.set(false);
        });
    };
    let people = move || {
        let accepted = store.contacts.values().into_iter().filter(|c| c.state == ContactState::Accepted);
        accepted
            .map(|c| {
                let label = if c.online { c.name } else { format!("{} (offline)", c.name) };
                view! { <option value=c.id>{label}</option> }
            })
            .collect_view()
    };
    view! {
        <Page
            title="New job"
            subtitle="A WebAssembly module runs on a contact's device. It sees its arguments and its input, and nothing else there."
            back=Route::Compute
            testid="new-job-form"
        >
            <form class="form wide" on:submit=submit>
                <Card title="What to run">
                    <div class="fields two">
                        <FileField label="Module (.wasm)" accept=".wasm,application/wasm" file=module testid="job-module" />
                        <FileField label="Input (optional)" accept="" file=input testid="job-input" />
                    </div>
                    <TextField label="Name" value=name hint="For you and whoever runs it." max_length=120 required=true testid="job-name" />
                    <TextArea label="Arguments (optional)" value=args rows=2 hint="One on each line." code=true testid="job-args" />
                </Card>
                <Card title="Where, and how much">
                    <div class="field">
                        <label for="job-to">"Run on"</label>
                        <select
                            id="job-to"
                            class="input"
                            data-testid="job-to"
                            prop:value=move || to.get()
                            on:change=move |e| to.set(event_target_value(&e))
                        >
                            <option value="">"Whoever of my contacts is free"</option>
                            {people}
                        </select>
                    </div>
                    <div class="fields three">
                        <TextField label="Run time, seconds" value=seconds kind="number" min=1 testid="job-seconds" />
                        <TextField label="Memory, MiB" value=memory kind="number" min=1 testid="job-memory" />
                        <TextField label="Output, MiB" value=output kind="number" min=1 testid="job-output-limit" />
                    </div>
                    <TextField
                        label="Price limit, FOG (optional)"
                        value=most
                        hint="This much is held in escrow until the job ends; what is not used comes back. Empty: the price of running until the time limit."
                        placeholder="for example 0.5"
                        testid="job-price-limit"
                    />
                </Card>
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text testid="job-error" /> })}
                <footer class="form-actions">
                    <a class="button quiet" href=Route::Compute.href()>"Cancel"</a>
                    <Button
                        label=Signal::derive(move || if busy.get() { "Sending…" } else { "Send job" }.to_owned())
                        look=Look::Primary
                        busy
                        disabled=Signal::derive(move || {
                            module.with(Option::is_none) || name.with(|n| n.trim().is_empty())
                        })
                        testid="job-submit"
                    />
                </footer>
            </form>
        </Page>
    }
    .into_any()
}

/// A place to drop a file, or to choose one.
#[component]
fn FileField(label: &'static str, accept: &'static str, file: Chosen, testid: &'static str) -> impl IntoView {
    let over = RwSignal::new(false);
    let about = move || file.with(|f| f.as_ref().map(|f| (f.name(), format::bytes(f.size() as u64))));
    let choose = move |e: leptos::ev::Event| {
        let input = e.target().and_then(|t| t.dyn_into::<web_sys::HtmlInputElement>().ok());
        file.set(input.and_then(|i| i.files()).and_then(|f| f.get(0)));
    };
    let dropped = move |e: leptos::ev::DragEvent| {
        e.prevent_default();
        over.set(false);
        if let Some(first) = e.data_transfer().and_then(|d| d.files()).and_then(|f| f.get(0)) {
            file.set(Some(first));
        }
    };
    view! {
        <div class="field">
            <span class="field-label" aria-hidden="true">{label}</span>
            <label
                class="drop"
                class:over=move || over.get()
                on:dragover=move |e| {
                    e.prevent_default();
                    over.set(true);
                }
                on:dragleave=move |_| over.set(false)
                on:drop=dropped
            >
                <input type="file" class="visually-hidden" accept=accept aria-label=label on:change=choose data-testid=testid />
                <Icon glyph=Glyph::File />
                {move || match about() {
                    Some((name, size)) => view! {
                        <strong>{name}</strong>
                        <small>{size}</small>
                    }
                    .into_any(),
                    None => view! {
                        <strong>"Choose a file"</strong>
                        <small>"or drop it here"</small>
                    }
                    .into_any(),
                }}
            </label>
        </div>
    }
    .into_any()
}
