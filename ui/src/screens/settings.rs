//! Settings: of the node, of its secrets, and of this page.

use crate::browser;
use crate::components::{Button, Card, CopyButton, Fact, Loaded, Look, Notice, Page, Switch, TextField};
use crate::core_link::call;
use crate::route::Route;
use crate::store::store;
use crate::theme::{self, Theme};
use crate::words::{self, Tone};
use fog_api::{
    AppState, DirectSettings, DirectView, GetNetwork, GetRuntimes, GetSettings, Me, RuntimesView,
    SecretStorage, SetPassphrase, Settings as Values,
};
use leptos::prelude::*;
use leptos::task::spawn_local;

/// All settings.
#[component]
pub(crate) fn Settings() -> impl IntoView {
    let settings = store().settings;
    settings.ensure(GetSettings {});
    store().network.ensure(GetNetwork {});
    view! {
        <Page title="Settings" testid="settings">
            <Loaded load=settings.load retry=move |()| settings.read(GetSettings {}) lines=6>
                <div class="columns">
                    <div class="column">
                        <Profile />
                        <Appearance />
                        <Privacy />
                    </div>
                    <div class="column">
                        <Secrets />
                        <Guests />
                        <Direct />
                        <About />
                    </div>
                </div>
            </Loaded>
        </Page>
    }
    .into_any()
}

/// Changes some settings and leaves the others as the node has them.
fn change(edit: impl FnOnce(&mut Values)) {
    store().change_settings(edit, |error| store().complain(&error));
}

/// A part of who I am. Reactive.
fn me(f: fn(&Me) -> String) -> String {
    store().app.with(|a| a.as_ref().and_then(|a| a.me.as_ref()).map(f)).unwrap_or_default()
}

#[component]
fn Profile() -> impl IntoView {
    let settings = store().settings;
    let saved = Memo::new(move |_| settings.part(|s| s.name.clone(), String::new()));
    let name = RwSignal::new(String::new());
    Effect::new(move |_| name.set(saved.get()));
    let changed = move || {
        name.with(|n| {
            let n = n.trim();
            !n.is_empty() && saved.with(|s| s != n)
        })
    };
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if untrack(changed) {
            change(|s| s.name = name.get_untracked().trim().to_owned());
        }
    };
    view! {
        <Card title="You">
            <form class="form inline" on:submit=submit>
                <TextField label="Name" value=name max_length=64 required=true autocomplete="nickname" testid="settings-name" />
                <Show when=changed>
                    <Button label="Save" look=Look::Primary testid="settings-name-save" />
                </Show>
            </form>
            <dl class="facts stacked">
                <div class="fact">
                    <dt>"Fingerprint"</dt>
                    <dd>
                        <code data-testid="fingerprint">{move || me(|m| m.fingerprint.clone())}</code>
                        <small>"Your contacts see the same for you. Compare it aloud to be sure."</small>
                    </dd>
                </div>
                <div class="fact">
                    <dt>"Id"</dt>
                    <dd>
                        <code class="break">{move || me(|m| m.id.clone())}</code>
                        <CopyButton text=Signal::derive(move || me(|m| m.id.clone())) look=Look::Quiet />
                    </dd>
                </div>
            </dl>
        </Card>
    }
    .into_any()
}

#[component]
fn Appearance() -> impl IntoView {
    let chosen = RwSignal::new(theme::current());
    let option = move |theme: Theme| {
        view! {
            <label class="segment">
                <input
                    type="radio"
                    name="theme"
                    class="visually-hidden"
                    value=theme.code()
                    prop:checked=move || chosen.get() == theme
                    on:change=move |_| {
                        chosen.set(theme);
                        theme::choose(theme);
                    }
                    data-testid=format!("theme-{}", theme.code())
                />
                <span>{theme.title()}</span>
            </label>
        }
    };
    view! {
        <Card title="Appearance">
            <fieldset class="segments">
                <legend>"Colours"</legend>
                <div class="segments-row">{Theme::ALL.map(option).collect_view()}</div>
            </fieldset>
            <p class="hint">"Kept on this device. Press " <kbd>"?"</kbd> " anywhere for the keyboard's shortcuts."</p>
        </Card>
    }
    .into_any()
}

#[component]
fn Privacy() -> impl IntoView {
    let settings = store().settings;
    let saved = Memo::new(move |_| settings.part(|s| s.mean_delay_ms, 0));
    let delay = RwSignal::new(String::new());
    Effect::new(move |_| delay.set(saved.get().to_string()));
    let read = move || delay.with(|d| d.trim().parse::<u32>().ok().filter(|d| *d <= 5000));
    let changed = move || read() != Some(saved.get());
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if let Some(delay) = untrack(read) {
            change(|s| s.mean_delay_ms = delay);
        }
    };
    let wanted = Memo::new(move |_| settings.part(|s| s.homes, 1));
    let homes = move |count: u8| {
        view! {
            <label class="segment">
                <input
                    type="radio"
                    name="homes"
                    class="visually-hidden"
                    value=count.to_string()
                    prop:checked=move || wanted.get() == count
                    on:change=move |_| change(|s| s.homes = count)
                    data-testid=format!("settings-homes-{count}")
                />
                <span>{words::homes(count)}</span>
            </label>
        }
    };
    view! {
        <Card title="Privacy">
            <form class="form inline" on:submit=submit>
                <TextField
                    label="Mean delay at each relay, milliseconds"
                    value=delay
                    kind="number"
                    min=0
                    max=5000
                    hint="0 to 5000. Longer delays mix your messages better with others'; at 0 they are as fast as can be, and easier to follow."
                    testid="settings-delay"
                />
                <Show when=changed>
                    <Button label="Save" look=Look::Primary disabled=Signal::derive(move || read().is_none()) testid="settings-delay-save" />
                </Show>
            </form>
            <fieldset class="segments">
                <legend>"Home relays"</legend>
                <div class="segments-row">{(1..=3).map(homes).collect_view()}</div>
            </fieldset>
            <p class="hint">
                "Where your messages wait while you are away. With several, they arrive also while one of these relays is down; \
                but each of them sees when this device is there."
            </p>
            <Switch
                label="Read receipts"
                hint="Tell people when you have read what they wrote."
                on=Signal::derive(move || settings.part(|s| s.read_receipts, false))
                set=|on| change(|s| s.read_receipts = on)
                testid="settings-receipts"
            />
            <Switch
                label="Jobs from accepted contacts only"
                hint="Otherwise also from people whom you have not answered yet."
                on=Signal::derive(move || settings.part(|s| s.jobs_from_accepted_only, false))
                set=|on| change(|s| s.jobs_from_accepted_only = on)
                testid="settings-accepted-only"
            />
            <p class="hint">
                "Cover traffic, and a mixnode on this device, are on the screen "
                <a href=Route::Circuits(None).href()>"Circuits"</a> "."
            </p>
        </Card>
    }
    .into_any()
}

/// What jobs of others may do here.
#[component]
fn Guests() -> impl IntoView {
    let settings = store().settings;
    let jobs = Memo::new(move |_| settings.part(|s| s.jobs.clone(), Default::default()));
    let socket = RwSignal::new(String::new());
    let runtimes = RwSignal::new(None::<RuntimesView>);
    Effect::new(move |_| {
        jobs.with(|jobs| socket.set(jobs.container_socket.clone().unwrap_or_default()));
        // An engine takes a moment to answer.
        spawn_local(async move {
            while let Ok(view) = call(GetRuntimes {}).await {
                let looking = view.looking;
                if runtimes.try_set(Some(view)).is_some() || !looking {
                    break;
                }
                browser::sleep(300).await;
            }
        });
    });
    let found = move || match (jobs.with(|jobs| jobs.containers), runtimes.get()) {
        (false, _) | (true, None) => String::new(),
        (true, Some(RuntimesView { engine: Some(engine), .. })) => format!("They run with {engine}."),
        (true, Some(RuntimesView { problem: Some(why), .. })) => format!("They cannot run: {why}."),
        (true, Some(_)) => "The container engine is being looked for.".into(),
    };
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        let wanted = socket.get_untracked().trim().to_owned();
        change(|s| s.jobs.container_socket = (!wanted.is_empty()).then_some(wanted));
    };
    let socket_changed = move || {
        socket
            .with(|new| jobs.with(|jobs| jobs.container_socket.as_deref().unwrap_or_default() != new.trim()))
    };
    view! {
        <Card title="Jobs of others">
            <Switch
                label="Run containers"
                hint="With Docker or Podman. They share this system's kernel, which is a larger risk than WebAssembly."
                on=Signal::derive(move || jobs.with(|jobs| jobs.containers))
                set=|on| change(|s| s.jobs.containers = on)
                testid="settings-containers"
            />
            <Show when=move || jobs.with(|jobs| jobs.containers)>
                <p class="hint" data-testid="settings-engine">{found}</p>
                <form class="form inline" on:submit=submit>
                    <TextField
                        label="The engine's socket"
                        value=socket
                        hint="Empty looks in the usual places."
                        placeholder="/var/run/docker.sock"
                        testid="settings-socket"
                    />
                    <Show when=socket_changed>
                        <Button label="Save" look=Look::Primary testid="settings-socket-save" />
                    </Show>
                </form>
            </Show>
            <Switch
                label="Let jobs use the network"
                hint="Only those that ask for it. They reach what a container or a program of yours would reach."
                on=Signal::derive(move || jobs.with(|jobs| jobs.network))
                set=|on| change(|s| s.jobs.network = on)
                testid="settings-job-network"
            />
        </Card>
    }
    .into_any()
}

/// Whether contacts at the public level may connect to this device.
#[component]
fn Direct() -> impl IntoView {
    let store = store();
    let saved = Memo::new(move |_| store.settings.part(|s| s.direct.clone(), None));
    let state = Memo::new(move |_| store.network.part(|n| n.direct.clone(), Default::default()));
    let (listen, public) = (RwSignal::new("0.0.0.0:9200".to_owned()), RwSignal::new(String::new()));
    let refusal = RwSignal::new(None::<String>);
    Effect::new(move |_| {
        if let Some(direct) = saved.get() {
            listen.set(direct.listen);
            public.set(direct.public_address.unwrap_or_default());
        }
    });
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        refusal.set(None);
        let public = public.get_untracked().trim().to_owned();
        let wanted = DirectSettings {
            listen: listen.get_untracked(),
            public_address: (!public.is_empty()).then_some(public),
        };
        store.change_settings(|s| s.direct = Some(wanted), move |error| refusal.set(Some(error.message)));
    };
    let told = move || {
        match (saved.with(Option::is_some), state.get()) {
        (false, _) => "None are taken. This device still dials contacts who take them, where both of you chose the level \"Directly\".".to_owned(),
        (true, DirectView { problem: Some(why), .. }) => format!("They cannot be taken: {why}"),
        (true, DirectView { address: Some(address), .. }) => format!("They are taken at {address}."),
        (true, _) => "They are about to be taken.".to_owned(),
    }
    };
    view! {
        <Card title="Direct connections">
            <p class="hint" data-testid="direct-state">{told}</p>
            <form class="form" on:submit=submit>
                <TextField
                    label="Listen at"
                    value=listen
                    hint="Address and port on this device. 0.0.0.0 is every address."
                    testid="direct-listen"
                />
                <TextField
                    label="Address for others"
                    value=public
                    hint="How they reach this device, if that is another address: behind a router, say."
                    placeholder="198.51.100.7:9200"
                    testid="direct-public"
                />
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text testid="direct-error" /> })}
                <div>
                    <Button
                        label=Signal::derive(move || if saved.with(Option::is_some) { "Change" } else { "Take direct connections" }.to_owned())
                        testid="direct-start"
                    />
                    <Show when=move || saved.with(Option::is_some)>
                        <Button label="Stop" look=Look::Quiet on_press=move |()| change(|s| s.direct = None) testid="direct-stop" />
                    </Show>
                </div>
            </form>
        </Card>
    }
    .into_any()
}

#[component]
fn Secrets() -> impl IntoView {
    let store = store();
    let storage =
        Memo::new(move |_| store.app.with(|a| a.as_ref().and_then(|a| a.me.as_ref()).map(|m| m.secrets)));
    let sealed = move || storage.get() == Some(SecretStorage::SealedFile);
    let current = RwSignal::new(String::new());
    let new = RwSignal::new(String::new());
    let again = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let refusal = RwSignal::new(None::<String>);
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if busy.get_untracked() {
            return;
        }
        let wanted = new.get_untracked();
        let wrong = if wanted.chars().count() < 8 {
            Some("The passphrase needs at least 8 characters.")
        } else if wanted != again.get_untracked() {
            Some("The two new passphrases differ.")
        } else {
            None
        };
        refusal.set(wrong.map(str::to_owned));
        if wrong.is_some() {
            return;
        }
        busy.set(true);
        let old = untrack(sealed).then(|| current.get_untracked());
        spawn_local(async move {
            match call(SetPassphrase { current: old, new: wanted }).await {
                Ok(()) => {
                    for field in [current, new, again] {
                        field.set(String::new());
                    }
                    store.toast(Tone::Good, "Your keys are sealed with the new passphrase.");
                    store.read_state().await;
                }
                Err(error) => refusal.set(Some(error.message)),
            }
            busy.set(false);
        });
    };
    view! {
        <Card title="Your keys">
            <p class="headline">
                <strong data-testid="secret-storage">
                    {move || storage.get().map(|s| words::secrets(s).0)}
                </strong>
            </p>
            <p class="hint">{move || storage.get().map(|s| words::secrets(s).1)}</p>
            <form class="form" on:submit=submit>
                <Show when=sealed>
                    <TextField
                        label="Present passphrase"
                        value=current
                        kind="password"
                        autocomplete="current-password"
                        required=true
                        testid="passphrase-current"
                    />
                </Show>
                <TextField
                    label="New passphrase"
                    value=new
                    kind="password"
                    autocomplete="new-password"
                    hint="At least 8 characters; several words are easier to keep. Nobody can restore it."
                    testid="passphrase-new"
                />
                <TextField
                    label="New passphrase again"
                    value=again
                    kind="password"
                    autocomplete="new-password"
                    testid="passphrase-again"
                />
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text testid="passphrase-error" /> })}
                <div>
                    <Button
                        label=Signal::derive(move || if sealed() { "Change passphrase" } else { "Set passphrase" }.to_owned())
                        busy
                        disabled=Signal::derive(move || new.with(String::is_empty))
                        testid="passphrase-submit"
                    />
                </div>
            </form>
        </Card>
    }
    .into_any()
}

#[component]
fn About() -> impl IntoView {
    let store = store();
    let part = move |f: fn(&AppState) -> String| {
        Signal::derive(move || store.app.with(|a| a.as_ref().map(f)).unwrap_or_default())
    };
    view! {
        <Card title="This node">
            <dl class="facts stacked">
                <Fact label="Version" value=part(|a| a.version.clone()) testid="version" />
                <Fact label="Data" value=part(|a| a.data_dir.clone()) testid="data-dir" />
            </dl>
        </Card>
    }
    .into_any()
}
