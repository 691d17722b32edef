//! The form for a new job.

mod fields;
mod inputs;
mod send;

use crate::components::{Button, Card, Choice, Look, Notice, Page, Switch, TextArea, TextField};
use crate::files::{Given, MOST_FILES};
use crate::job_form::{self, Numbers};
use crate::route::Route;
use crate::screens::compute::class;
use crate::store::store;
use crate::words::Tone;
use fields::{FileField, Target};
use fog_api::{JobState, ListContacts, ListJobs, SlaClass};
use inputs::Inputs;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// A chosen file; the browser's handle is no Rust value that could be sent about, so it stays on this thread.
type Chosen = RwSignal<Option<web_sys::File>, LocalStorage>;

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runtime {
    Wasm,
    Container,
}

/// What the person has filled in.
#[derive(Clone, Copy)]
struct Form {
    runtime: RwSignal<Runtime>,
    name: RwSignal<String>,
    module: Chosen,
    image: RwSignal<String>,
    stdin: Chosen,
    /// Files for /in with their names there.
    inputs: RwSignal<Vec<Given>, LocalStorage>,
    args: RwSignal<String>,
    env: RwSignal<String>,
    to: RwSignal<String>,
    class: RwSignal<SlaClass>,
    array: RwSignal<String>,
    after: RwSignal<String>,
    seconds: RwSignal<String>,
    memory: RwSignal<String>,
    output: RwSignal<String>,
    cores: RwSignal<String>,
    most: RwSignal<String>,
    deadline: RwSignal<String>,
    network: RwSignal<bool>,
    deterministic: RwSignal<bool>,
}

impl Form {
    fn new() -> Self {
        let numbers = Numbers::default();
        let empty = || RwSignal::new(String::new());
        Self {
            runtime: RwSignal::new(Runtime::Wasm),
            name: empty(),
            module: RwSignal::new_local(None),
            image: empty(),
            stdin: RwSignal::new_local(None),
            inputs: RwSignal::new_local(Vec::new()),
            args: empty(),
            env: empty(),
            to: empty(),
            class: RwSignal::new(SlaClass::B),
            array: empty(),
            after: empty(),
            seconds: RwSignal::new(numbers.seconds),
            memory: RwSignal::new(numbers.memory),
            output: RwSignal::new(numbers.output),
            cores: RwSignal::new(numbers.cores),
            most: empty(),
            deadline: empty(),
            network: RwSignal::new(false),
            deterministic: RwSignal::new(true),
        }
    }

    /// Files that were dropped or chosen together: the module among them, and the others as inputs.
    fn take(self, given: Vec<Given>) {
        if given.len() > MOST_FILES {
            store()
                .toast(Tone::Warn, format!("Only {MOST_FILES} files were taken: pack more into an archive."));
        }
        let given: Vec<Given> = given.into_iter().take(MOST_FILES).collect();
        let paths: Vec<String> = given.iter().map(|g| g.path.clone()).collect();
        let (module, inputs) = job_form::sort_out(&paths);
        if let Some(module) = module {
            self.runtime.set(Runtime::Wasm);
            self.module.set(Some(given[module].file.clone()));
        }
        self.add_inputs(inputs.into_iter().map(|(i, path)| Given { path, file: given[i].file.clone() }));
    }

    /// A later file takes the place of one with the same name.
    fn add_inputs(self, more: impl Iterator<Item = Given>) {
        self.inputs.update(|inputs| {
            for new in more {
                inputs.retain(|old| old.path != new.path);
                inputs.push(new);
            }
            inputs.truncate(MOST_FILES);
            inputs.sort_by(|a, b| a.path.cmp(&b.path));
        });
    }
}

/// Program, inputs, where, limits and price.
#[component]
pub(crate) fn NewJob() -> impl IntoView {
    let store = store();
    store.contacts.ensure(ListContacts {});
    store.jobs.ensure(ListJobs {});
    let form = Form::new();
    // What was dropped elsewhere.
    let handed = store.handed.try_update(std::mem::take).unwrap_or_default();
    if !handed.is_empty() {
        form.take(handed);
    }
    // A name is proposed from the module's, and never written over.
    Effect::new(move |_| {
        if let Some(file) = form.module.get()
            && form.name.with_untracked(String::is_empty)
        {
            let file = file.name();
            form.name.set(file.strip_suffix(".wasm").unwrap_or(&file).to_owned());
        }
    });
    let busy = RwSignal::new(None::<String>);
    let refusal = RwSignal::new(None::<String>);
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if busy.with_untracked(Option::is_some) {
            return;
        }
        refusal.set(None);
        busy.set(Some("Sending…".into()));
        spawn_local(async move {
            match send::send(form, busy).await {
                Ok(job) => {
                    let id = job.id.clone();
                    store.put_job(job);
                    store.go(&Route::Job(id));
                }
                Err(error) => _ = refusal.try_set(Some(error.message)),
            }
            busy.try_set(None);
        });
    };
    let nothing_to_run = move || match form.runtime.get() {
        Runtime::Wasm => form.module.with(Option::is_none),
        Runtime::Container => form.image.with(|i| i.trim().is_empty()),
    };
    view! {
        <Page
            title="New job"
            subtitle="A program that runs on another device, or on this one. It sees its arguments and its inputs, and nothing else there."
            back=Route::Compute
            testid="new-job-form"
        >
            <form class="form wide" on:submit=submit>
                <Program form />
                <WhereTo form />
                <Limits form />
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text testid="job-error" /> })}
                <footer class="form-actions">
                    <a class="button quiet" href=Route::Compute.href()>"Cancel"</a>
                    <Button
                        label=Signal::derive(move || busy.get().unwrap_or_else(|| "Send job".to_owned()))
                        look=Look::Primary
                        busy=Signal::derive(move || busy.with(Option::is_some))
                        disabled=Signal::derive(move || nothing_to_run() || form.name.with(|n| n.trim().is_empty()))
                        testid="job-submit"
                    />
                </footer>
            </form>
        </Page>
    }
    .into_any()
}

#[component]
fn Program(form: Form) -> impl IntoView {
    let first = move |given: Vec<Given>| form.stdin.set(given.into_iter().next().map(|g| g.file));
    let is = move |runtime: Runtime| Signal::derive(move || form.runtime.get() == runtime);
    view! {
        <Card title="What to run">
            <fieldset class="choices two">
                <legend>"Kind of program"</legend>
                <Choice
                    group="runtime"
                    title="WebAssembly"
                    hint="A module for WASI. Any device can run it, and it can move."
                    chosen=is(Runtime::Wasm)
                    choose=move |()| form.runtime.set(Runtime::Wasm)
                    testid="job-runtime-wasm".into()
                />
                <Choice
                    group="runtime"
                    title="Container"
                    hint="An image by its digest, on devices with Docker or Podman."
                    chosen=is(Runtime::Container)
                    choose=move |()| form.runtime.set(Runtime::Container)
                    testid="job-runtime-container".into()
                />
            </fieldset>
            <div class="fields two">
                {move || match form.runtime.get() {
                    Runtime::Wasm => view! {
                        <FileField label="Module (.wasm)" accept=".wasm,application/wasm" file=form.module taken=move |given| form.take(given) testid="job-module" />
                    }
                    .into_any(),
                    Runtime::Container => view! {
                        <TextField
                            label="Image"
                            value=form.image
                            placeholder="name@sha256:…"
                            hint="With its digest, so that what runs is what you named."
                            max_length=512
                            testid="job-image"
                        />
                    }
                    .into_any(),
                }}
                <FileField
                    label="Standard input (optional)"
                    accept=""
                    file=form.stdin
                    taken=first
                    testid="job-input"
                />
            </div>
            <Inputs form />
            <TextField label="Name" value=form.name hint="For you and whoever runs it." max_length=120 required=true testid="job-name" />
            <TextArea label="Arguments (optional)" value=form.args rows=2 hint="One on each line." code=true testid="job-args" />
        </Card>
    }
    .into_any()
}

#[component]
fn WhereTo(form: Form) -> impl IntoView {
    let store = store();
    let is = move |class: SlaClass| Signal::derive(move || form.class.get() == class);
    // Whatever may still complete, the newest first.
    let others = move || {
        let mine = store.jobs.values().into_iter().filter(|j| {
            j.mine && !matches!(j.state, JobState::Failed | JobState::Cancelled | JobState::Completed)
        });
        mine.map(|j| view! { <option value=j.id>{j.name}</option> }).collect_view()
    };
    view! {
        <Card title="Where">
            <Target to=form.to />
            <fieldset class="choices three">
                <legend>"How much it matters"</legend>
                {[(SlaClass::B, "B", "x1"), (SlaClass::A, "A", "x1.5"), (SlaClass::S, "S", "x2")]
                    .map(|(c, title, price)| {
                        let hint = class(c).split_once(": ").map_or("", |(_, words)| words);
                        view! {
                            <Choice
                                group="class"
                                title
                                hint
                                aside=price
                                chosen=is(c)
                                choose=move |()| form.class.set(c)
                                testid=format!("job-class-{}", title.to_lowercase())
                            />
                        }
                    })
                    .collect_view()}
            </fieldset>
            <div class="fields two">
                <TextField
                    label="Array (optional)"
                    value=form.array
                    placeholder="0-99"
                    hint="Runs once for each number; the program finds its own in FOG_ARRAY_INDEX."
                    testid="job-array"
                />
                <div class="field">
                    <label for="job-after">"After (optional)"</label>
                    <select
                        id="job-after"
                        class="input"
                        data-testid="job-after"
                        prop:value=move || form.after.get()
                        on:change=move |e| form.after.set(event_target_value(&e))
                    >
                        <option value="">"Begin as soon as possible"</option>
                        {others}
                    </select>
                    <small>"Waits until that job is completed."</small>
                </div>
            </div>
        </Card>
    }
    .into_any()
}

#[component]
fn Limits(form: Form) -> impl IntoView {
    view! {
        <Card title="Limits and price">
            <div class="fields four">
                <TextField label="Run time, seconds" value=form.seconds kind="number" min=1 testid="job-seconds" />
                <TextField label="Memory, MiB" value=form.memory kind="number" min=1 testid="job-memory" />
                <TextField label="Output, MiB" value=form.output kind="number" min=1 testid="job-output-limit" />
                <TextField label="Cores" value=form.cores testid="job-cores" />
            </div>
            <TextField
                label="Price limit, FOG (optional)"
                value=form.most
                hint="This much is held in escrow until the job ends; what is not used comes back. Empty: the price of running until the time limit."
                placeholder="for example 0.5"
                testid="job-price-limit"
            />
            <details class="more">
                <summary data-testid="job-more">"More"</summary>
                <div class="more-body">
                    <TextArea label="Environment (optional)" value=form.env rows=2 hint="NAME=VALUE, one on each line." code=true testid="job-env" />
                    <TextField
                        label="Must be done within, minutes (optional)"
                        value=form.deadline
                        hint="If it is not, it fails and nothing more is paid."
                        testid="job-deadline-minutes"
                    />
                    <Switch
                        label="Same result everywhere"
                        hint="Clock and chance are replaced, so that copies can be compared. WebAssembly only."
                        on=form.deterministic
                        set=move |on| form.deterministic.set(on)
                        testid="job-deterministic"
                    />
                    <Switch
                        label="Ask for the network"
                        hint="A device gives it only if its owner allows that."
                        on=form.network
                        set=move |on| form.network.set(on)
                        testid="job-network-asked"
                    />
                </div>
            </details>
        </Card>
    }
    .into_any()
}
